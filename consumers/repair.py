"""Repair: deliveries read anew after their adapter was mended; what differs is appended.

First every delivery is read, to know which facts are told at all and which delivery tells them
first. Then, batch by batch, each is compared with what was recorded from it, and corrections,
retractions and additions commit together with what became of the deliveries. So readers never
see half of a batch, a kill loses at most a batch, and doing it again does the rest and nothing
twice. A dry run does the same and rolls every batch back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

import orjson
import psycopg
from psycopg.types.json import set_json_loads

from consumers import inbox
from consumers.amending import append_steps, comparison_of
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.ats_adapters.adapter import Adapter, Delivery
from consumers.comparison import VERBS, Comparison, Copy, Step, Told, Verb
from consumers.connections import Connection
from consumers.inbox import Outcome, Span
from consumers.ingest import BATCH, Reading, outcome_of, read_delivery
from consumers.recorded import find_recorded, read_copies
from journey.clock import Clock
from journey.collector import collector_paused
from journey.database import Connection as DatabaseConnection
from journey.database import Database
from journey.errors import ConfigurationError, DatabaseUnavailable
from journey.identity import Forest, Resolved
from journey.journey_log import JourneyLog
from schemas.statement import Statement

EXAMPLES = 3
"""So many of each verb and kind, and of what cannot be translated, are named."""

Progress = Callable[[int, int], None]
"""Called with (deliveries done, deliveries in all); each is read twice and counts twice."""


@dataclass(frozen=True, slots=True)
class Example:
    """One thing found, by opaque ids."""

    verb: Verb
    kind: str
    touchpoint_id: UUID
    candidate_id: UUID
    delivery_id: str | None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A delivery that cannot be translated today; `recorded` touchpoints of it stay."""

    delivery_id: str
    reason: str
    recorded: int


@dataclass(slots=True)
class Repaired:
    """What a repair did, or would do.

    `verbs`: kind → how often which. `fields`: kind → how often which field was corrected.
    `merged`: candidates found to be one; `apart`: statements that name two people of whom one had
    wrongly been given what is said, so that they were not merged.
    """

    deliveries: int = 0
    became: Counter[str] = field(default_factory=Counter)
    verbs: dict[str, Counter[Verb]] = field(default_factory=lambda: defaultdict(Counter))
    fields: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    examples: list[Example] = field(default_factory=list)
    untranslatable: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    appended: int = 0
    merged: int = 0
    apart: int = 0

    def count(self, step: Step) -> None:
        """Take one finding in."""
        about = step.about
        seen = self.verbs[about.KIND]
        seen[step.verb] += 1
        self.fields[about.KIND].update(step.fields)
        if step.statement is None:
            return
        self.appended += 1
        if seen[step.verb] <= EXAMPLES:
            self.examples.append(
                Example(
                    step.verb,
                    about.KIND,
                    about.touchpoint_id,
                    step.candidate_id,
                    step.statement.touchpoint.delivery_id,
                    step.fields,
                )
            )


@dataclass(slots=True)
class _Fact:
    """What was recorded of a fact, and whether it is told today.

    `teller`: a delivery of those that are redriven tells it, another one does, or none.
    """

    copies: list[Copy] = field(default_factory=list)
    teller: Literal["redriven", "other", "none"] = "none"


@dataclass(slots=True)
class _Batch:
    """Deliveries of one transaction: what they say, and which statement of a fact counts."""

    readings: list[Reading]
    statements: list[Statement] = field(default_factory=list)
    resolved: Resolved = field(default_factory=Resolved)
    first: dict[UUID, int] = field(default_factory=dict)
    """Fact → the statement that tells it, where none before in the whole range does."""

    @property
    def sure(self) -> set[str | None]:
        """Deliveries that were read whole: what they do not say, they do not say."""
        return {
            reading.delivery.delivery_id
            for reading in self.readings
            if reading.untranslatable is None and not reading.translation.problems
        }


class Repair:
    """Reads deliveries of a connection anew and appends what differs from what was recorded."""

    def __init__(
        self,
        database: Database,
        journey_log: JourneyLog,
        connections: Mapping[str, Connection],
        clock: Clock,
        *,
        adapters: Mapping[str, Adapter] = ALL_ADAPTERS,
        batch: int = BATCH,
    ) -> None:
        self._database = database
        self._log = journey_log
        self._connections = connections
        self._clock = clock
        self._adapters = adapters
        self._size = batch

    def run(
        self,
        connection: str,
        since: datetime,
        *,
        dry_run: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> Repaired:
        """Repair what was recorded from deliveries of `connection` received since `since`.

        Raises ConfigurationError for a connection that is none, IngestStopped at a bug of the
        adapter, DatabaseUnavailable; what was committed before stays, and again does the rest.
        """
        if connection not in self._connections:
            raise ConfigurationError(
                f"no connection is called {connection!r}, so nothing says how to read its "
                "deliveries; `journey connections` lists them"
            )
        try:
            # One session, since what was found on the way stands in tables of the session.
            with self._database.connect(autocommit=True) as session:
                set_json_loads(orjson.loads, session)
                return self._run(session, connection, since, dry_run, progress)
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(" ".join(str(error).split())[:300]) from error

    def _run(
        self,
        session: DatabaseConnection,
        connection: str,
        since: datetime,
        dry_run: bool,
        progress: Progress,
    ) -> Repaired:
        chosen = inbox.span(session, connection, since)
        others = [inbox.span(session, name, since) for name in self._same_source(connection)]
        total = 2 * chosen.count + sum(each.count for each in others)
        done = 0
        find_recorded(session, chosen)
        session.execute("CREATE TEMP TABLE repair_told (fact uuid PRIMARY KEY, delivery_id uuid)")
        for span in (chosen, *others):
            for deliveries in self._pages(session, span):
                self._note_told(session, deliveries, is_redriven=span is chosen)
                done += len(deliveries)
                progress(done, total)
        session.execute("ANALYZE repair_told")
        repaired = Repaired()
        for size in self._steps(session, chosen, repaired, dry_run):
            done += size
            progress(done, total)
        return repaired

    def _same_source(self, connection: str) -> list[str]:
        """Other connections whose touchpoints have the same source: they may tell the same."""
        source_name = self._connections[connection].source_name
        return [
            name
            for name, each in self._connections.items()
            if name != connection and each.source_name == source_name
        ]

    def _read(self, delivery: Delivery) -> Reading:
        return read_delivery(delivery, self._connections, self._adapters)

    # --- first: what is told at all ---------------------------------------------------------

    def _pages(self, session: DatabaseConnection, span: Span) -> Iterator[list[Delivery]]:
        after = 0
        while page := inbox.of_span(session, span, after, self._size):
            after = page[-1][0]
            yield [delivery for _, delivery in page]

    def _note_told(
        self, session: DatabaseConnection, deliveries: Sequence[Delivery], *, is_redriven: bool
    ) -> None:
        """Fact → the first redriven delivery that tells it, or none if only others do.

        In a table, since there may be millions.
        """
        told = [
            (statement.touchpoint.touchpoint_id, reading.delivery.delivery_id)
            for reading in map(self._read, deliveries)
            for statement in reading.translation.statements
        ]
        session.execute(
            "INSERT INTO repair_told SELECT * FROM unnest(%s::uuid[], %s::uuid[]) "
            "ON CONFLICT DO NOTHING",
            [[fact for fact, _ in told], [each if is_redriven else None for _, each in told]],
        )

    # --- then: batch by batch ---------------------------------------------------------------

    def _steps(
        self, session: DatabaseConnection, chosen: Span, repaired: Repaired, dry_run: bool
    ) -> Iterator[int]:
        after = 0
        while True:
            with session.transaction(), collector_paused():
                page = inbox.of_span(session, chosen, after, self._size, lock=True)
                if page:
                    after = page[-1][0]
                    self._step(session, [delivery for _, delivery in page], repaired)
                if dry_run:
                    raise psycopg.Rollback
            if not page:
                return
            yield len(page)

    def _step(
        self, session: DatabaseConnection, deliveries: Sequence[Delivery], repaired: Repaired
    ) -> None:
        batch = self._batch(session, deliveries)
        told = {
            fact: Told(batch.statements[index], batch.resolved.candidates[index])
            for fact, index in batch.first.items()
        }
        facts = self._recorded(session, batch, told)
        streams = {copy.candidate_id for fact in facts.values() for copy in fact.copies}
        forest = Forest.load(session, streams | set(batch.resolved.candidates))
        comparison = comparison_of(self._log, forest.root)
        steps = list(self._compared(session, batch, told, facts, comparison))
        self._append(session, batch, steps, facts, forest, repaired)
        outcomes = _outcomes(batch, facts, steps, repaired)
        inbox.mark(session, outcomes, self._clock.now(), again=True)

    def _compared(
        self,
        session: DatabaseConnection,
        batch: _Batch,
        told: Mapping[UUID, Told],
        facts: Mapping[UUID, _Fact],
        comparison: Comparison,
    ) -> Iterator[Step]:
        unknown = [fact for fact in told if fact not in facts]
        rows = session.execute(
            "SELECT touchpoint_id FROM journey_events WHERE touchpoint_id = ANY(%s)", [unknown]
        )
        elsewhere = {row[0] for row in rows}
        for fact, said in told.items():
            if fact in elsewhere:
                yield Step("elsewhere", said.statement.touchpoint, said.candidate_id)
            else:
                known = facts.get(fact)
                yield from comparison.steps(said, known.copies if known else ())
        for fact, known in facts.items():
            if fact in told or known.teller == "redriven":
                continue
            copies = [copy for copy in known.copies if copy.touchpoint.delivery_id in batch.sure]
            if known.teller == "none":
                yield from comparison.steps(None, copies)
            else:
                for copy in copies:
                    yield Step("elsewhere", copy.touchpoint, copy.candidate_id)

    def _batch(self, session: DatabaseConnection, deliveries: Sequence[Delivery]) -> _Batch:
        batch = _Batch([self._read(delivery) for delivery in deliveries])
        owners = []
        for reading in batch.readings:
            batch.statements += reading.translation.statements
            owners += [reading.delivery.delivery_id] * len(reading.translation.statements)
        batch.resolved = self._log.resolve(batch.statements, session)
        facts = [statement.touchpoint.touchpoint_id for statement in batch.statements]
        rows = session.execute(
            "SELECT fact, delivery_id::text FROM repair_told "
            "WHERE fact = ANY(%s) AND delivery_id IS NOT NULL",
            [facts],
        )
        tellers: dict[UUID, str] = dict(rows.fetchall())
        for index, (fact, owner) in enumerate(zip(facts, owners, strict=True)):
            # One that is not noted: the mapping was changed while we are at work.
            if tellers.get(fact, owner) == owner:
                batch.first.setdefault(fact, index)
        return batch

    # --- what was recorded ------------------------------------------------------------------

    def _recorded(
        self, session: DatabaseConnection, batch: _Batch, told: Mapping[UUID, Told]
    ) -> dict[UUID, _Fact]:
        """What was recorded of the facts told here, and of any from these deliveries."""
        rows = session.execute(
            "WITH chosen AS ("
            "SELECT touchpoint_id, fact FROM repair_recorded WHERE fact = ANY(%s) UNION "
            "SELECT touchpoint_id, fact FROM repair_recorded WHERE delivery_id = ANY(%s::uuid[])) "
            "SELECT e.originator_id, e.originator_version, e.topic, e.state, e.notification_id, "
            "c.fact, t.fact IS NOT NULL, t.delivery_id IS NOT NULL FROM chosen c "
            "JOIN journey_events e USING (touchpoint_id) LEFT JOIN repair_told t USING (fact) "
            "ORDER BY e.notification_id",
            [list(told), [reading.delivery.delivery_id for reading in batch.readings]],
            binary=True,
        ).fetchall()
        facts: dict[UUID, _Fact] = {}
        for copy, (fact_id, is_told, is_told_here) in zip(
            read_copies(session, self._log, rows), (row[5:] for row in rows), strict=True
        ):
            fact = facts.setdefault(fact_id, _Fact())
            if is_told:
                fact.teller = "redriven" if is_told_here else "other"
            fact.copies.append(copy)
        return facts

    # --- what is appended -------------------------------------------------------------------

    def _append(
        self,
        session: DatabaseConnection,
        batch: _Batch,
        steps: Sequence[Step],
        facts: Mapping[UUID, _Fact],
        forest: Forest,
        repaired: Repaired,
    ) -> None:
        resolved = Resolved(batch.resolved.candidates)
        for index, group in batch.resolved.shared:
            # Keys that lead to somebody it was wrongly given to were given to them with it.
            owner = forest.root(resolved.candidates[index])
            known = facts.get(batch.statements[index].touchpoint.touchpoint_id)
            told_of = {forest.root(copy.candidate_id) for copy in known.copies} if known else set()
            wrong = told_of - {owner}
            right = [each for each in group if forest.root(each) not in wrong]
            repaired.apart += len(right) < len(group)
            if len(right) > 1:
                resolved.shared.append((index, right))
        counting, merged = append_steps(session, self._log, steps, batch.statements, resolved)
        repaired.merged += merged
        for step in counting:
            repaired.count(step)


def _outcomes(
    batch: _Batch, facts: Mapping[UUID, _Fact], steps: Sequence[Step], repaired: Repaired
) -> list[Outcome]:
    """What became of each delivery; `touchpoints` counts those of it that hold."""
    holding = Counter(
        copy.touchpoint.delivery_id
        for fact in facts.values()
        for copy in fact.copies
        if not copy.retractions
    )
    for step in steps:
        if step.verb in ("added", "restored"):
            holding[step.about.delivery_id] += 1
        elif step.verb == "retracted":
            holding[step.about.delivery_id] -= 1
    outcomes = []
    for reading in batch.readings:
        delivery_id = reading.delivery.delivery_id
        outcome = replace(outcome_of(reading, 0), touchpoints=holding[delivery_id])
        if reading.untranslatable is not None:
            if outcome.touchpoints:
                outcome = replace(
                    outcome,
                    reason=f"read before, and not today, so all of it stays: {outcome.reason}",
                )
            repaired.untranslatable += 1
            if repaired.untranslatable <= EXAMPLES:
                repaired.unreadable.append(
                    Unreadable(delivery_id, outcome.reason or "", outcome.touchpoints)
                )
        repaired.became[outcome.status] += 1
        outcomes.append(outcome)
    repaired.deliveries += len(outcomes)
    return outcomes


__all__ = ["VERBS", "Example", "Repair", "Repaired", "Unreadable"]
