"""The ingest process: pending deliveries in, touchpoints in the log, in one transaction.

What a delivery became and its touchpoints commit together, so a kill at any moment loses nothing
and doubles nothing, and any number of ingest processes share the work. The four fates (design
§13): what an adapter cannot translate is a dead letter with a reason; a database that does not
answer is waited for; anything else is our bug, and the process stops with the delivery's id,
nothing committed, the delivery still pending.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import orjson
import psycopg
import structlog
from psycopg.types.json import set_json_loads

from consumers import inbox
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.ats_adapters.adapter import Adapter, Delivery, Translation
from consumers.connections import Connection
from consumers.errors import Unavailable, Untranslatable
from consumers.inbox import Outcome
from journey.clock import Clock
from journey.database import Connection as DatabaseConnection
from journey.database import Database
from journey.errors import DatabaseUnavailable
from journey.journey_log import JourneyLog
from schemas.identifiers import DeliveryId

log = structlog.get_logger()

BATCH = 500
"""Deliveries a step: large enough that a commit is small beside the work."""

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
# Wake-ups come by NOTIFY; this bounds what a lost one costs, and how long a stop takes.
_IDLE_SECONDS = 10.0
_STOP_CHECK_SECONDS = 0.25

_MOST_PROBLEMS = 5


class IngestStopped(Exception):
    """A bug of ours met this delivery; it is still pending, and nothing was committed."""

    def __init__(self, delivery_id: DeliveryId, error: BaseException) -> None:
        # The error's own text may quote the body, so only its type and place are told.
        place = traceback.extract_tb(error.__traceback__)[-1]
        super().__init__(
            f"delivery {delivery_id} met a {type(error).__name__} in {place.name} "
            f"({Path(place.filename).name}, line {place.lineno}); it is kept as it was: "
            "mend the program and start again"
        )
        self.delivery_id = delivery_id


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a step did: deliveries taken, by what they became, and touchpoints newly recorded."""

    count: int = 0
    recorded: int = 0
    context: int = 0
    dead: int = 0
    touchpoints: int = 0
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A delivery and what its adapter made of it: a translation, or why there is none."""

    delivery: Delivery
    translation: Translation
    untranslatable: str | None = None


class Ingest:
    """Translates pending deliveries and records what they say."""

    def __init__(
        self,
        database: Database,
        journey_log: JourneyLog,
        connections: Mapping[str, Connection],
        clock: Clock,
        *,
        adapters: Mapping[str, Adapter] = ALL_ADAPTERS,
    ) -> None:
        self._database = database
        self._log = journey_log
        self._connections = connections
        self._clock = clock
        self._adapters = adapters

    def step(self, limit: int = BATCH) -> Stepped:
        """Take up to `limit` pending deliveries, translate, record and mark them; commit.

        Raises IngestStopped, DatabaseUnavailable and Unavailable, each with nothing committed.
        """
        with self._database.transaction() as connection:
            # Headers are jsonb; a tenth of a step went into the slower decoder.
            set_json_loads(orjson.loads, connection)
            read = [
                read_delivery(delivery, self._connections, self._adapters)
                for delivery in inbox.take(connection, limit)
            ]
            if not read:
                return Stepped()
            return self._record(connection, read)

    def drain(self, limit: int = BATCH) -> Stepped:
        """Step until nothing is pending; returns the sums."""
        steps = []
        while (stepped := self.step(limit)).count:
            steps.append(stepped)
        return Stepped(
            *(
                sum(getattr(stepped, name) for stepped in steps)
                for name in Stepped.__dataclass_fields__
            )
        )

    def run(self, stop: threading.Event) -> None:
        """Work while there is work, then sleep until a delivery is announced, until `stop` is set.

        While the database does not answer it waits, longer each time, and resumes. Raises
        IngestStopped.
        """
        wait = _FIRST_WAIT_SECONDS
        waiting = False
        while not stop.is_set():
            try:
                with self._database.connect(autocommit=True) as listening:
                    listening.execute(f"LISTEN {inbox.CHANNEL}")
                    if waiting:
                        log.info("the database is back; ingest resumes")
                    wait, waiting = _FIRST_WAIT_SECONDS, False
                    self._work(listening, stop)
            except (DatabaseUnavailable, Unavailable, psycopg.OperationalError) as error:
                if not waiting:
                    log.warning("ingest waits", error=type(error).__name__)
                waiting = True
                stop.wait(wait)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
            except IngestStopped as error:
                log.error("ingest stops", delivery_id=error.delivery_id, problem=str(error))
                raise

    def _work(self, listening: DatabaseConnection, stop: threading.Event) -> None:
        while not stop.is_set():
            stepped = self.step()
            if stepped.count:
                tell_stepped(stepped)
            else:
                _sleep(listening, stop)

    def _record(self, connection: DatabaseConnection, read: Sequence[Reading]) -> Stepped:
        outcomes, stepped = record_readings(self._log, connection, read)
        inbox.mark(connection, outcomes, self._clock.now())
        tell_dead_letters(outcomes)
        return stepped


def record_readings(
    journey_log: JourneyLog, connection: DatabaseConnection, read: Sequence[Reading]
) -> tuple[list[Outcome], Stepped]:
    """Record what deliveries say, in the caller's transaction: what each became, and the sums.

    Whoever keeps the deliveries writes the outcomes down in the same transaction.
    """
    statements = [said for one in read for said in one.translation.statements]
    recorded = journey_log.record(statements, connection)
    new = Counter(touchpoint.delivery_id for touchpoint in recorded.appended)
    outcomes = [outcome_of(one, new[one.delivery.delivery_id]) for one in read]
    became = Counter(outcome.status for outcome in outcomes)
    return outcomes, Stepped(
        len(read),
        became["recorded"],
        became["context"],
        became["dead"],
        len(recorded.appended),
        recorded.repeated,
    )


def tell_dead_letters(outcomes: Iterable[Outcome]) -> None:
    """A line of the log for each delivery that could not be translated."""
    for outcome in outcomes:
        if outcome.status == "dead":
            log.warning("dead letter", delivery_id=outcome.delivery_id, reason=outcome.reason)


def tell_stepped(stepped: Stepped) -> None:
    """A line of the log for each step."""
    log.info(
        "deliveries ingested",
        deliveries=stepped.count,
        touchpoints=stepped.touchpoints,
        repeated=stepped.repeated,
        dead=stepped.dead,
    )


def read_delivery(
    delivery: Delivery, connections: Mapping[str, Connection], adapters: Mapping[str, Adapter]
) -> Reading:
    """What a delivery says by its connection and adapter of today. Raises IngestStopped."""
    connection = connections.get(delivery.connection)
    adapter = adapters.get(delivery.source)
    if connection is None or adapter is None:
        what = "connection" if connection is None else "adapter"
        return Reading(
            delivery, Translation(), f"its {what} is not configured any more; configure it"
        )
    try:
        return Reading(delivery, adapter.translate(delivery, connection))
    except Untranslatable as error:
        return Reading(delivery, Translation(), error.reason)
    except Unavailable:
        raise
    except Exception as error:
        raise IngestStopped(delivery.delivery_id, error) from None


def outcome_of(read: Reading, touchpoints: int) -> Outcome:
    """What a delivery became. `touchpoints` counts those that were new; a repeat has none."""
    delivery_id, translation = read.delivery.delivery_id, read.translation
    if read.untranslatable is not None:
        return Outcome(delivery_id, "dead", read.untranslatable)
    if translation.problems:
        # Dead, so that a redrive after a fix records the rest; what is recorded stays recorded.
        return Outcome(delivery_id, "dead", _partly(translation), touchpoints)
    if translation.statements:
        return Outcome(delivery_id, "recorded", None, touchpoints)
    return Outcome(delivery_id, "context", translation.context)


def _partly(translation: Translation) -> str:
    problems = translation.problems
    more = len(problems) - _MOST_PROBLEMS
    return (
        f"recorded in part; {len(problems)} could not be translated: "
        + "; ".join(problems[:_MOST_PROBLEMS])
        + (f"; and {more} more" if more > 0 else "")
    )


def _sleep(listening: DatabaseConnection, stop: threading.Event) -> None:
    """Until a delivery is announced, a stop is asked for, or long enough has passed."""
    slept = 0.0
    while slept < _IDLE_SECONDS and not stop.is_set():
        if any(True for _ in listening.notifies(timeout=_STOP_CHECK_SECONDS, stop_after=1)):
            return
        slept += _STOP_CHECK_SECONDS


# --- deliveries from files ------------------------------------------------------------------


def ingest_payloads(
    database: Database,
    connection: Connection,
    sources: Iterable[Path | BinaryIO],
    clock: Clock,
    *,
    keep_at_once: int = BATCH,
) -> list[DeliveryId]:
    """Put raw bodies from files or streams into the inbox of a connection; returns their ids.

    A file holds one body, or one a line (NDJSON). They are local: nobody signed them, and whoever
    may read the files and the database vouches for them. Nothing is translated yet; the bodies
    go the way of every delivery. Raises OSError for a file that cannot be read.
    """
    kept: list[DeliveryId] = []
    bodies = chain.from_iterable(_bodies(source) for source in sources)
    while deliveries := [_local(body, connection, clock) for body in islice(bodies, keep_at_once)]:
        with database.transaction() as transaction:
            inbox.keep(transaction, deliveries)
        kept += [delivery.delivery_id for delivery in deliveries]
    return kept


def _bodies(source: Path | BinaryIO) -> Iterator[bytes]:
    if not isinstance(source, Path):
        yield from _split(source)
    elif str(source) == "-":
        yield from _split(sys.stdin.buffer)
    else:
        with source.open("rb") as stream:
            yield from _split(stream)


def _split(stream: BinaryIO) -> Iterator[bytes]:
    """One body a line when the first line is a whole one, else all of it as one body."""
    first = b""
    while not first.strip():
        first = stream.readline()
        if not first:
            return
    if not _is_json(first):
        yield first + stream.read()
        return
    yield first.strip()
    for line in stream:
        if line.strip():
            yield line.strip()


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _local(body: bytes, connection: Connection, clock: Clock) -> Delivery:
    now = clock.now()
    return Delivery(
        inbox.new_delivery_id(now),
        connection.name,
        connection.source,
        now,
        {"content-type": "application/json"},
        body,
    )


__all__ = [
    "BATCH",
    "Ingest",
    "IngestStopped",
    "Reading",
    "Stepped",
    "ingest_payloads",
    "outcome_of",
    "read_delivery",
    "record_readings",
    "tell_dead_letters",
    "tell_stepped",
]
