"""The live runner: pages of the log in, rows and position out, in one transaction.

Killed at any instant it resumes with nothing lost or doubled, since what it wrote and how far it
read commit together. Two runners at once take turns on the position's row.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import structlog
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from psycopg import sql

from journey.arrays import ByteaArray, TextArray, UuidArray, use_arrays
from journey.collector import collector_paused
from journey.database import Connection, Database
from journey.errors import DatabaseUnavailable
from journey.storage import JourneyDatastore
from projections.all_views import ALL_VIEWS
from projections.effective import effective, is_amended, order
from projections.fact import Fact
from projections.feeds import fold as feeds
from projections.feeds.view import add_feeds
from projections.merging import members_up_to, merges_in
from projections.projection import (
    DEADLINE_COLUMNS,
    DEADLINE_TYPES,
    Journey,
    JourneyFold,
    Meaning,
    Row,
    View,
    decode_journey,
    encode_journey,
)
from projections.reading import Page, read_page, read_streams
from projections.writing import copy_rows, use_fast_json

log = structlog.get_logger()

TRACKED = "projections"
"""The name under which all projections share one position."""

PAGE = 20_000
"""Touchpoints a step at most. A journey costs a read and a write a step however many of its
touchpoints are in the page, so a backlog is caught up in large ones; live pages are small."""

_RETRY_SECONDS = 0.5
_STOP_CHECK_SECONDS = 0.5


class ViewTracking(PostgresTrackingRecorder):
    """The library's tracking recorder, writing the position in our transaction."""

    def __init__(self, database: Database) -> None:
        super().__init__(JourneyDatastore(database), tracking_table_name="projection_tracking")

    def create_table(self) -> None:
        """Nothing: the numbered migrations make the table."""

    def lock(self, connection: Connection) -> int:
        """The position, locked until the end of the transaction; 0 at the start."""
        return self.lock_in(connection, self.datastore.schema)

    def lock_in(self, connection: Connection, schema: str) -> int:
        """`lock` for the tables of a schema that need not be first on the connection's path."""
        table = sql.Identifier(schema, self.tracking_table_name)
        connection.execute(
            sql.SQL("INSERT INTO {} VALUES (%s, 0) ON CONFLICT DO NOTHING").format(table),
            [TRACKED],
        )
        row = connection.execute(
            sql.SQL("SELECT notification_id FROM {} WHERE application_name = %s FOR UPDATE").format(
                table
            ),
            [TRACKED],
        ).fetchone()
        assert row is not None
        return int(row[0])

    def move(self, connection: Connection, position: int) -> None:
        """Write the position. Raises the library's IntegrityError if it would go back."""
        self._insert_tracking(connection.cursor(), Tracking(TRACKED, position))  # type: ignore[arg-type]


@dataclass(slots=True)
class Change:
    """What a step does to one journey: its rows before, its state after."""

    journey: Journey
    before: dict[str, list[Row]]
    refolded: bool


@dataclass(slots=True)
class Stepped:
    """What a step did: touchpoints read, journeys touched, the position reached."""

    touchpoints: int = 0
    journeys: int = 0
    position: int = 0
    refolded: int = 0


@dataclass
class Runner:
    """Keeps every projection up to date with the log."""

    database: Database
    meaning: Meaning
    page: int = PAGE
    views: Sequence[View] = ALL_VIEWS
    knows_meaning: bool = False
    """Whether it has been compared with what the tables were built with; a rebuild need not."""
    _tracking: ViewTracking = field(init=False)

    def __post_init__(self) -> None:
        self._tracking = ViewTracking(self.database)
        self._fold = JourneyFold(self.meaning)

    def step(self, up_to: int | None = None) -> Stepped:
        """Fold the next page of the log, if any, and commit rows and position together."""
        with self.database.transaction() as connection:
            return self.step_in(connection, up_to)

    def step_in(self, connection: Connection, up_to: int | None = None) -> Stepped:
        """`step` in the caller's transaction; `up_to` limits how far it reads."""
        with collector_paused():
            return self._step(connection, up_to)

    def _step(self, connection: Connection, up_to: int | None) -> Stepped:
        use_fast_json(connection)
        use_arrays(connection)
        position = self._tracking.lock(connection)
        limit = self.page if up_to is None else min(self.page, max(0, up_to - position))
        page = read_page(connection, position, limit)
        if not page.facts:
            return Stepped(position=position)
        if not self.knows_meaning:
            self._compare_meaning(connection)
        changes = self._changes(connection, page)
        self._write(connection, changes)
        sums: feeds.FeedState = {}
        feeds.apply(sums, (fact for _, fact in page.facts))
        add_feeds(connection, sums)
        self._tracking.move(connection, page.last_position)
        return Stepped(
            len(page.facts),
            len(changes),
            page.last_position,
            sum(change.refolded for change in changes.values()),
        )

    def catch_up(self) -> int:
        """Step until the end of the log; returns the position."""
        while (stepped := self.step()).touchpoints:
            pass
        return stepped.position

    def run(self, stop: threading.Event) -> None:
        """Step while there is something, else sleep on NOTIFY; wait while the database is away."""
        waiting = False
        while not stop.is_set():
            try:
                with self.database.connect(autocommit=True) as listener:
                    listener.execute("LISTEN journey_events")
                    stepped = self.step()
                    if waiting:
                        log.info("the database is back; projections resume")
                        waiting = False
                    self._run_listening(listener, stop, stepped)
            except (DatabaseUnavailable, psycopg.OperationalError) as error:
                if not waiting:
                    log.warning(
                        "the database is away; projections wait", error=" ".join(str(error).split())
                    )
                waiting = True
                stop.wait(_RETRY_SECONDS)

    def _run_listening(self, listener: Connection, stop: threading.Event, stepped: Stepped) -> None:
        while not stop.is_set():
            if stepped.touchpoints:
                log.info(
                    "projected",
                    touchpoints=stepped.touchpoints,
                    journeys=stepped.journeys,
                    position=stepped.position,
                )
            else:
                for _ in listener.notifies(timeout=_STOP_CHECK_SECONDS, stop_after=1):
                    pass
            stepped = self.step()

    def _compare_meaning(self, connection: Connection) -> None:
        """Say so, once, when the tables were built under other policies or rules."""
        self.knows_meaning = True
        built = built_with(connection)
        if built is None:
            note_meaning(connection, self.meaning)
        elif built != self.meaning.fingerprint:
            log.warning("policies or rules changed; what is past is judged anew by a rebuild")

    # --- what changed -----------------------------------------------------------------------

    def _changes(self, connection: Connection, page: Page) -> dict[UUID, Change]:
        by_candidate: dict[UUID, list[Fact]] = {}
        for candidate_id, fact in page.facts:
            facts = by_candidate.get(candidate_id)
            if facts is None:
                by_candidate[candidate_id] = [fact]
            else:
                facts.append(fact)
        regrouped = self._regroup(connection, page)
        roots = self._roots(connection, by_candidate)
        by_journey: dict[UUID, list[Fact]] = {}
        for candidate_id, facts in by_candidate.items():
            by_journey.setdefault(roots.get(candidate_id, candidate_id), []).extend(facts)
        states = self._load(connection, list(by_journey))
        changes: dict[UUID, Change] = {}
        again: set[UUID] = set(regrouped)
        for journey_id, facts in by_journey.items():
            if journey_id in again:
                continue
            journey = states.get(journey_id)
            if journey is None:
                journey, before = Journey(), {}
            else:
                before = {v.table: v.snapshot(journey_id, journey) for v in self.views}
            if len(facts) > 1:
                facts.sort(key=order)
            if (
                journey.amended
                or (facts[0].occurred_at, facts[0].position)
                < (journey.last_at, journey.last_position)
                or is_amended(facts)
            ):
                again.add(journey_id)
                continue
            self._fold.apply(journey, facts, journey_id)
            changes[journey_id] = Change(journey, before, refolded=False)
        if again:
            changes |= self._refold(connection, again, page.last_position)
        return changes

    def _regroup(self, connection: Connection, page: Page) -> set[UUID]:
        """Take merges and their undoing into `journey_members`; returns the journeys concerned."""
        merges = merges_in(page.facts)
        if not merges:
            return set()
        rows = connection.execute("SELECT candidate_id, journey_id FROM journey_members")
        old: dict[UUID, UUID] = dict(rows.fetchall())
        members = members_up_to(connection, page.last_position)
        new = {c: root for root, group in members.groups().items() for c in group}
        concerned: set[UUID] = set()
        for candidate_id in old.keys() | new.keys():
            was, now = old.get(candidate_id, candidate_id), new.get(candidate_id, candidate_id)
            if was != now or (candidate_id in old) != (candidate_id in new):
                concerned |= {candidate_id, was, now}
        connection.execute("DELETE FROM journey_members")
        connection.execute(
            "INSERT INTO journey_members SELECT * FROM unnest(%s::uuid[], %s::uuid[])",
            [list(new), list(new.values())],
        )
        return concerned

    def _roots(
        self, connection: Connection, candidates: dict[UUID, list[Fact]]
    ) -> dict[UUID, UUID]:
        return dict(
            connection.execute(
                "SELECT candidate_id, journey_id FROM journey_members WHERE candidate_id = ANY(%b)",
                [_ids(candidates)],
                binary=True,
            ).fetchall()
        )

    def _load(self, connection: Connection, journeys: list[UUID]) -> dict[UUID, Journey]:
        rows = connection.execute(
            "SELECT candidate_id, state FROM journeys WHERE candidate_id = ANY(%b)",
            [_ids(journeys)],
            binary=True,
        )
        return {journey_id: decode_journey(state) for journey_id, state in rows}

    def _refold(
        self, connection: Connection, journeys: set[UUID], up_to: int
    ) -> dict[UUID, Change]:
        """Fold journeys from their first touchpoint; one absorbed elsewhere ends up empty."""
        groups: dict[UUID, list[UUID]] = {journey_id: [] for journey_id in journeys}
        rows = connection.execute(
            "SELECT candidate_id, journey_id FROM journey_members "
            "WHERE candidate_id = ANY(%(ids)s) OR journey_id = ANY(%(ids)s)",
            {"ids": list(journeys)},
        ).fetchall()
        absorbed = set()
        for candidate_id, journey_id in rows:
            groups.setdefault(journey_id, []).append(candidate_id)
            if candidate_id != journey_id:
                absorbed.add(candidate_id)
        wanted = {c for members in groups.values() for c in members} | groups.keys()
        streams = read_streams(connection, list(wanted), up_to)
        changes = {}
        for journey_id, members in groups.items():
            facts: list[Fact] = []
            if journey_id not in absorbed:
                for candidate_id in {journey_id, *members}:
                    facts += streams.get(candidate_id, [])
            changes[journey_id] = Change(fold_whole(self._fold, facts, journey_id), {}, True)
        return changes

    # --- writing ----------------------------------------------------------------------------

    def _write(self, connection: Connection, changes: dict[UUID, Change]) -> None:
        refolded = [journey_id for journey_id, change in changes.items() if change.refolded]
        if refolded:
            for table in ("journeys", "deadlines", *(view.table for view in self.views)):
                _delete_journeys(connection, table, refolded)
        connection.execute(
            "INSERT INTO journeys SELECT * FROM unnest(%b, %b) "
            "ON CONFLICT (candidate_id) DO UPDATE SET state = excluded.state",
            self._write_views(connection, changes),
        )
        connection.execute(
            "INSERT INTO alert_checks SELECT DISTINCT candidate_id FROM alerts "
            "WHERE state <> 'resolved' AND candidate_id = ANY(%b) ON CONFLICT DO NOTHING",
            [_ids(changes)],
        )
        connection.execute("NOTIFY deadlines")

    def _write_views(
        self, connection: Connection, changes: dict[UUID, Change]
    ) -> tuple[UuidArray, ByteaArray]:
        """Write what changed of every view; returns the states to keep, once drained."""
        deadlines: list[Row] = []
        for view in self.views:
            rows: list[Row] = []
            stale: list[tuple[Any, ...]] = []
            for journey_id, change in changes.items():
                before = change.before.get(view.table, [])
                changed = view.changes(journey_id, before, change.journey, self.meaning)
                rows += changed.rows
                deadlines += changed.deadlines
                if not change.refolded:
                    stale += [(journey_id, *key) for key in changed.stale]
            if stale:
                _delete_stale(connection, view, stale)
            if rows:
                copy_rows(connection, view.table, view.columns, view.types, rows)
        if deadlines:
            copy_rows(connection, "deadlines", DEADLINE_COLUMNS, DEADLINE_TYPES, deadlines)
        kept = {
            journey_id: encode_journey(change.journey)
            for journey_id, change in changes.items()
            if change.journey.last_position
        }
        return _ids(kept), ByteaArray.of(kept.values())


def _ids(journeys: Iterable[UUID]) -> UuidArray:
    return UuidArray.of([journey_id.bytes for journey_id in journeys])


def built_with(connection: Connection) -> str | None:
    """The fingerprint of the meaning that the tables were built with; None before the first."""
    row = connection.execute("SELECT fingerprint FROM projection_meaning").fetchone()
    return None if row is None else str(row[0])


def note_meaning(connection: Connection, meaning: Meaning) -> None:
    """Write down what the tables are built with."""
    connection.execute(
        "INSERT INTO projection_meaning (fingerprint) VALUES (%s) "
        "ON CONFLICT (only_row) DO UPDATE SET fingerprint = excluded.fingerprint",
        [meaning.fingerprint],
    )


def fold_whole(fold: JourneyFold, facts: list[Fact], journey_id: UUID) -> Journey:
    """A journey from all of its facts, in any order."""
    journey = Journey()
    journey.amended = is_amended(facts)
    facts = effective(facts)
    if facts:
        fold.apply(journey, facts, journey_id)
    return journey


def _delete_journeys(connection: Connection, table: str, journeys: list[UUID]) -> None:
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE candidate_id = ANY(%b)").format(sql.Identifier(table)),
        [_ids(journeys)],
    )


def _delete_stale(connection: Connection, view: View, stale: list[tuple[Any, ...]]) -> None:
    """Take rows away by journey and key, and the deadlines that followed from them."""
    key = sql.SQL(", ").join(map(sql.Identifier, view.key))
    journeys = _ids(row[0] for row in stale)
    keys = [TextArray.of([str(row[place + 1]) for row in stale]) for place in range(len(view.key))]
    connection.execute(
        sql.SQL(
            "DELETE FROM {table} t USING unnest(%b{arrays}) AS s (candidate_id, {key}) "
            "WHERE (t.candidate_id, {mine}) = (s.candidate_id, {theirs})"
        ).format(
            table=sql.Identifier(view.table),
            arrays=sql.SQL(", %b" * len(view.key)),
            key=key,
            mine=sql.SQL(", ").join(sql.Identifier("t", column) for column in view.key),
            theirs=sql.SQL(", ").join(sql.Identifier("s", column) for column in view.key),
        ),
        [journeys, *keys],
    )
    connection.execute(
        "DELETE FROM deadlines d USING unnest(%b, %b) AS s (candidate_id, key) "
        "WHERE d.candidate_id = s.candidate_id AND d.row_key = s.key",
        [journeys, TextArray.of(["/".join(row[1:]) for row in stale])],
    )
