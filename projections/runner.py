"""The live runner: pages of the log in, rows and position out, in one transaction.

Killed at any instant it resumes with nothing lost or doubled, since what it wrote and how far it
read commit together. Two runners at once take turns on the position's row; with several lanes
(`positions.py`) they work side by side.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg import sql

from journey.arrays import ByteaArray, TextArray, UuidArray, use_arrays
from journey.collector import collector_paused
from journey.database import Connection, Database
from journey.errors import DatabaseUnavailable
from projections.all_views import ALL_VIEWS
from projections.effective import effective, is_amended, order
from projections.fact import Fact
from projections.feeds import fold as feeds
from projections.feeds.view import add_feeds
from projections.merging import Regrouped, merges_between, merges_in, regroup
from projections.positions import Positions, ViewTracking, Work
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
from projections.reading import read_lanes, read_page, read_streams
from projections.writing import copy_rows, use_fast_json

log = structlog.get_logger()

PAGE = 20_000
"""Touchpoints a step at most. A journey costs a read and a write a step however many of its
touchpoints are in the page, so a backlog is caught up in large ones; live pages are small."""

SHARE = 500
"""Touchpoints that one process takes on alone, whatever their lanes: a transaction costs more."""

_REFOLDED_AT_ONCE = 1_000
_TURN_SECONDS = 0.02
_RETRY_SECONDS = 0.5
_STOP_CHECK_SECONDS = 0.5


Lanes = Callable[[int], Collection[int]]
"""Given how many lanes there are, which of them: `range` is all."""


@dataclass(slots=True)
class Change:
    """What a step does to one journey: its rows before, its state after."""

    journey: Journey
    before: dict[str, list[Row]]
    refolded: bool


@dataclass(slots=True)
class Stepped:
    """What a step did: touchpoints read, journeys touched, the position reached.

    `moved`: there may be more to do. `others`: what is left to do is in the hands of others.
    `needs_all`: nothing was done, since every lane must be at rest first.
    """

    touchpoints: int = 0
    journeys: int = 0
    position: int = 0
    refolded: int = 0
    lanes: tuple[int, ...] = (0,)
    moved: bool = False
    others: bool = False
    needs_all: bool = False


@dataclass
class Runner:
    """Keeps every projection up to date with the log.

    `run` sees to it that there are `lanes` of them and folds those that `lanes_of_mine` names,
    given how many there are: all, unless told otherwise. Everything else takes them as they are.
    """

    database: Database
    meaning: Meaning
    page: int = PAGE
    views: Sequence[View] = ALL_VIEWS
    knows_meaning: bool = False
    """Whether it has been compared with what the tables were built with; a rebuild need not."""
    lanes: int = 1
    lanes_of_mine: Lanes = range
    _tracking: ViewTracking = field(init=False)
    _found_lanes: int = 1
    """How many there were when it last looked; looked at again in every step."""

    def __post_init__(self) -> None:
        self._tracking = ViewTracking(self.database)
        self._fold = JourneyFold(self.meaning)

    def step(self, up_to: int | None = None, lanes: Lanes | None = None) -> Stepped:
        """Fold the next page of the log, if any, and commit rows and position together.

        `up_to` limits how far it reads; `lanes` are taken instead of those that are mine.
        """
        while True:
            with self.database.transaction() as connection, collector_paused():
                stepped = self._step(connection, up_to, lanes)
            if not stepped.needs_all:
                return stepped
            with self.database.transaction() as connection, collector_paused():
                self.make_way_in(connection, up_to)

    def step_in(
        self, connection: Connection, up_to: int | None = None, lanes: Lanes | None = None
    ) -> Stepped:
        """`step` in the caller's transaction, where nobody else works on the tables."""
        with collector_paused():
            while (stepped := self._step(connection, up_to, lanes)).needs_all:
                self.make_way_in(connection, up_to)
            return stepped

    def _step(self, connection: Connection, up_to: int | None, lanes: Lanes | None) -> Stepped:
        use_fast_json(connection)
        use_arrays(connection)
        # Nearly always there is one lane, and then its row is all that is asked for.
        if self._found_lanes == 1:
            position = self._tracking.lock(connection)
            if position is not None:
                return self._step_whole(connection, position, up_to)
        self._tracking.share(connection)
        work = self._tracking.work(connection, up_to)
        self._found_lanes = len(work.positions.lanes)
        if self._found_lanes == 1:
            position = self._tracking.lock(connection)
            assert position is not None  # since the lanes are shared, they stay as they are
            return self._step_whole(connection, position, up_to)
        if not work.positions.lanes or work.unread_merges:
            return Stepped(needs_all=True)
        return self._step_lanes(connection, work, lanes or self.lanes_of_mine)

    def _step_whole(self, connection: Connection, position: int, up_to: int | None) -> Stepped:
        limit = self.page if up_to is None else min(self.page, max(0, up_to - position))
        page = read_page(connection, position, limit)
        if not page.facts:
            return Stepped(position=position)
        by_candidate = _by_id(page.facts)
        concerned: Regrouped = {}
        if merges := merges_in(page.facts):
            concerned = regroup(connection, merges, page.last_position)
        roots = self._roots(connection, by_candidate)
        by_journey: dict[UUID, list[Fact]] = {}
        for candidate_id, facts in by_candidate.items():
            by_journey.setdefault(roots.get(candidate_id, candidate_id), []).extend(facts)
        stepped = self._fold_page(
            connection, by_journey, page.facts, _journeys(concerned), page.last_position
        )
        self._tracking.move(connection, page.last_position)
        return stepped

    def _step_lanes(self, connection: Connection, work: Work, lanes: Lanes) -> Stepped:
        of, head = len(work.positions.lanes), work.head
        behind = [lane for lane in lanes(of) if work.positions.lanes[lane] < head]
        if not behind:
            return Stepped(position=work.positions.least)
        waiting = head - min(work.positions.lanes[lane] for lane in behind)
        at_most = min(of, max(1, SHARE * of // waiting))
        taken = self._tracking.take(connection, behind, of, at_most, head)
        if not taken:
            return Stepped(position=work.positions.least, others=True)
        # About a page of facts, and no more of the log than holds so many.
        up_to = min(head, min(taken.values()) + self.page * of // len(taken))
        page = read_lanes(connection, taken, of, up_to, self.page)
        stepped = Stepped()
        if page.facts:
            stepped = self._fold_page(
                connection, _by_id(page.facts), page.facts, set(), page.last_position
            )
        self._tracking.move_lanes(connection, taken, of, page.last_position)
        stepped.position, stepped.lanes, stepped.moved = page.last_position, tuple(taken), True
        return stepped

    def _fold_page(
        self,
        connection: Connection,
        by_journey: dict[UUID, list[Fact]],
        facts: Sequence[tuple[UUID, Fact]],
        regrouped: set[UUID],
        position: int,
    ) -> Stepped:
        """Fold and write everything but the position: a page of facts, and what was regrouped."""
        if not self.knows_meaning:
            self._compare_meaning(connection)
        changes = self._changes(connection, by_journey, regrouped, position)
        self._write(connection, changes)
        # Last, since other lanes wait for these rows.
        sums: feeds.FeedState = {}
        feeds.apply(sums, (fact for _, fact in facts))
        add_feeds(connection, sums)
        return Stepped(
            len(facts),
            len(changes),
            position,
            sum(change.refolded for change in changes.values()),
            moved=True,
        )

    def catch_up(self) -> int:
        """Step until the end of the log, every lane; returns the position."""
        while True:
            stepped = self.step(lanes=range)
            if stepped.others:
                time.sleep(_TURN_SECONDS)
            elif not stepped.moved:
                return stepped.position

    def run(self, stop: threading.Event) -> None:
        """Step while there is something, else sleep on NOTIFY; wait while the database is away."""
        waiting = settled = False
        while not stop.is_set():
            try:
                with self.database.connect(autocommit=True) as listener:
                    listener.execute("LISTEN journey_events")
                    if not settled:
                        self.settle()
                        settled = True
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
                    **({"lanes": sorted(stepped.lanes)} if self._found_lanes > 1 else {}),
                )
            elif not stepped.moved:
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

    # --- all lanes at once ------------------------------------------------------------------

    def settle(self) -> None:
        """Have as many lanes as were asked for; beside others, the last one to start decides."""
        with self.database.transaction() as connection:
            before = len(self._tracking.positions(connection).lanes)
        if before == self.lanes:
            return
        with self.database.transaction() as connection:
            self.settle_in(connection)
        if before:
            log.info("lanes changed", lanes=self.lanes, before=before)

    def settle_in(self, connection: Connection) -> None:
        """`settle` in the caller's transaction.

        Lanes of another number hold other journeys, so all go to where the first of them is.
        """
        use_fast_json(connection)
        use_arrays(connection)
        positions = self._tracking.alone(connection)
        if len(positions.lanes) == self.lanes:
            return
        if len(positions.lanes) > 1:
            while self.step_in(connection, positions.most, range).moved:
                pass
        members = positions.members if len(positions.lanes) > 1 else positions.most
        self._tracking.lay_out(connection, self.lanes, positions.most, members)
        self._found_lanes = self.lanes

    def make_way_in(self, connection: Connection, up_to: int | None = None) -> None:
        """Do what needs every lane at rest, in the caller's transaction: take in who was merged.

        Of journeys that become one, each lane has read up to its own position. What belongs
        together from now on is folded up to where the lane is that has it now.
        """
        use_fast_json(connection)
        use_arrays(connection)
        positions = self._tracking.alone(connection)
        if not positions.lanes:
            self._tracking.lay_out(connection, self.lanes, 0, 0)
        head = self._tracking.work(connection, up_to).head
        # Another process may have been first.
        if len(positions.lanes) <= 1 or head <= positions.members:
            return
        merges = merges_between(connection, positions.members, head)
        concerned = sorted(regroup(connection, merges, head).items(), key=lambda pair: pair[1][1])
        if positions.most:
            for start in range(0, len(concerned), _REFOLDED_AT_ONCE):
                some = dict(concerned[start : start + _REFOLDED_AT_ONCE])
                self._write(connection, self._refold(connection, _journeys(some), positions.of))
                self._recount(connection, some, positions)
        self._tracking.move_members(connection, head)

    def _recount(self, connection: Connection, moved: Regrouped, positions: Positions) -> None:
        """Keep feeds true where a stream went to a lane that is further on, or less far.

        What the new lane skips is counted here, and what it reads again is counted off.
        """
        spans = {
            candidate_id: (positions.of(was), positions.of(now))
            for candidate_id, (was, now) in moved.items()
            if positions.of(was) != positions.of(now)
        }
        skipped: feeds.FeedState = {}
        again: feeds.FeedState = {}
        for candidate_id, facts in read_streams(connection, list(spans), positions.most).items():
            before, after = spans[candidate_id]
            feeds.apply(skipped, (f for f in facts if before < f.position <= after))
            feeds.apply(again, (f for f in facts if after < f.position <= before))
        for feed in again.values():
            feed.touchpoints = -feed.touchpoints
        for sums in (skipped, again):
            if sums:
                add_feeds(connection, sums)

    # --- what changed -----------------------------------------------------------------------

    def _changes(
        self,
        connection: Connection,
        by_journey: dict[UUID, list[Fact]],
        regrouped: set[UUID],
        position: int,
    ) -> dict[UUID, Change]:
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
            changes |= self._refold(connection, again, lambda _: position)
        return changes

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
        self, connection: Connection, journeys: set[UUID], up_to: Callable[[UUID], int]
    ) -> dict[UUID, Change]:
        """Fold journeys from their first touchpoint, each up to a position.

        One absorbed elsewhere ends up empty.
        """
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
        streams = read_streams(connection, list(wanted), max(map(up_to, groups)))
        changes = {}
        for journey_id, members in groups.items():
            facts: list[Fact] = []
            if journey_id not in absorbed:
                for candidate_id in {journey_id, *members}:
                    facts += streams.get(candidate_id, [])
            until = up_to(journey_id)
            facts = [fact for fact in facts if fact.position <= until]
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


def _by_id(facts: Iterable[tuple[UUID, Fact]]) -> dict[UUID, list[Fact]]:
    by_id: dict[UUID, list[Fact]] = {}
    for some_id, fact in facts:
        known = by_id.get(some_id)
        if known is None:
            by_id[some_id] = [fact]
        else:
            known.append(fact)
    return by_id


def _journeys(concerned: Regrouped) -> set[UUID]:
    """Every journey that a regrouping may have changed."""
    return {j for candidate_id, pair in concerned.items() for j in (candidate_id, *pair)}


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
    facts = effective(facts) if journey.amended else sorted(facts, key=order)
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
