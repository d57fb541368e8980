"""The questions that CLI and web ask; they ask nowhere else.

Lists (open silences, contradictions, applications, feeds) are read from the views' tables. One
journey, now or as it stood at any moment, is folded from the log by the same folds, so it is
never behind and cannot disagree with what the runner writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent

from journey.database import Connection, Database
from journey.errors import KeyDestroyed, UnknownCandidate
from journey.journey_log import JourneyLog
from projections.alerts.alert_log import AlertMapper
from projections.contradictions.templates import Finding
from projections.contradictions.view import ContradictionView
from projections.deadline import Evidence
from projections.effective import effective, standing
from projections.fact import Fact
from projections.feeds.fold import Feed
from projections.feeds.view import feeds_of
from projections.journey_map.view import JourneyMapView
from projections.merging import Members, merges_in
from projections.positions import projected_up_to
from projections.projection import Journey, JourneyFold, Meaning
from projections.reading import fact_of, read_streams
from projections.replay import Step, replay
from projections.runner import fold_whole
from projections.silence.policy import Level
from projections.silence.rows import SilenceRow, in_order
from projections.silence.view import SilenceView
from projections.standing import (
    Application,
    Contradiction,
    ExpectedAlert,
    Silence,
    alerts_at,
    application_of,
    contradiction_at,
    gravity,
    is_found,
    is_pending,
    silences_at,
)
from projections.timeline import Entry, timeline
from schemas.event import Touchpoint
from schemas.findings import AlertEvent, AlertRaised
from schemas.personal import Personal

if TYPE_CHECKING:
    from projections.directly_follows import By
    from projections.measures import AggregateMap, Cohort

AsOf = datetime | int | None
"""A recorded moment, a position of the log, or None for all that is known."""

_LAST = 2**62
_SILENCE = ", ".join(SilenceView.columns)
_FINDING = ", ".join(ContradictionView.columns)
_to_evidence = msgspec.json.Decoder(tuple[Evidence, ...]).decode


@dataclass(frozen=True, slots=True)
class JourneyMap:
    """One journey as it stood at `now`.

    `candidate_id` names the journey; `candidates` are all that are read as part of it, itself
    first. `silences` holds ended ones too, one entry a policy; `alerts` are those the folds keep
    open at `now`; `timeline` is everything on one line of time.
    """

    candidate_id: UUID
    candidates: tuple[UUID, ...]
    now: datetime
    position: int
    applications: list[Application]
    silences: list[Silence]
    contradictions: list[Contradiction]
    pending: list[Contradiction]
    alerts: list[ExpectedAlert]
    timeline: list[Entry]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was known of a journey at a moment: whose streams, which facts, in order."""

    journey_id: UUID
    candidates: tuple[UUID, ...]
    facts: list[Fact]
    now: datetime


class Queries:
    """Answers about one tenant. Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database, log: JourneyLog, meaning: Meaning) -> None:
        self._database = database
        self._log = log
        self._meaning = meaning
        self._fold = JourneyFold(meaning)

    # --- one journey ------------------------------------------------------------------------

    def journey(
        self, candidate_id: UUID, now: datetime, *, as_of: AsOf = None, at: datetime | None = None
    ) -> JourneyMap:
        """One journey, folded from the log. A merged candidate's id leads to its journey.

        `as_of` asks what we knew at a recorded moment or position; `at` what had happened by
        then, by all we know. It is judged at that moment, else at `now`. Raises UnknownCandidate.
        """
        with self._database.transaction() as connection:
            known = self._known(connection, candidate_id, now, as_of, at)
            events = self._alert_events(connection, known.candidates)
        journey = fold_whole(self._fold, list(known.facts), known.journey_id)
        now = known.now
        silences, findings = rows_of(known.journey_id, journey, self._meaning)
        applications = [
            application_of(row) for row in JourneyMapView().snapshot(known.journey_id, journey)
        ]
        found = self._judged([each for each in findings if is_found(each, now)], known)
        told = [
            (raised, event)
            for raised, event in events
            if (as_of is None or event.recorded_at <= now) and (at is None or event.at <= now)
        ]
        return JourneyMap(
            candidate_id=known.journey_id,
            candidates=known.candidates,
            now=now,
            position=max((fact.position for fact in known.facts), default=0),
            applications=applications,
            silences=[
                told for row in silences for told in silences_at(row, self._meaning.policies, now)
            ],
            contradictions=found,
            pending=self._judged([each for each in findings if is_pending(each, now)], known),
            alerts=alerts_at(known.journey_id, silences, findings, self._meaning, now),
            timeline=timeline(known.facts, silences, found, told, now),
        )

    def replay(
        self, candidate_id: UUID, now: datetime, *, as_of: AsOf = None, at: datetime | None = None
    ) -> list[Step]:
        """The steps of a journey, folded one by one. Raises UnknownCandidate."""
        with self._database.transaction() as connection:
            known = self._known(connection, candidate_id, now, as_of, at)
        return list(replay(known.facts, known.journey_id, self._meaning, known.now))

    def unsealed(
        self, candidate_id: UUID, *, as_of: AsOf = None, at: datetime | None = None
    ) -> dict[UUID, Personal | None]:
        """Touchpoint → what is sealed with it, as corrected; None where the key was destroyed.

        Raises UnknownCandidate, WrongMasterKey.
        """
        told = {
            str(each.touchpoint_id): each
            for each in self._log.history(candidate_id, as_of=as_of)
            if each.personal is not None
        }
        with self._database.transaction() as connection:
            streams = self._streams(connection, candidate_id, as_of)
        facts = effective([fact for facts in streams.values() for fact in facts])
        _, corrections = standing(facts)
        found: dict[UUID, Personal | None] = {}
        for fact in facts:
            if fact.corrects is not None or (at is not None and fact.occurred_at > at):
                continue
            sealed = told.get(fact.touchpoint_id)
            if by := corrections.get(fact.touchpoint_id):
                is_cleared = "personal" in (by.corrected or {})
                sealed = told.get(by.touchpoint_id, None if is_cleared else sealed)
            if sealed is not None:
                found[UUID(fact.touchpoint_id)] = self._opened(sealed)
        return found

    def _opened(self, sealed: Touchpoint) -> Personal | None:
        assert sealed.personal is not None
        try:
            return self._log.vault.unseal(self._database, sealed.originator_id, sealed.personal)
        except KeyDestroyed:
            return None

    def _streams(
        self, connection: Connection, candidate_id: UUID, as_of: AsOf
    ) -> dict[UUID, list[Fact]]:
        """Every stream of the journey, with what was known of it then."""
        members = self._log.members(connection, candidate_id, as_of)
        streams = read_streams(connection, members, as_of if isinstance(as_of, int) else _LAST)
        if isinstance(as_of, datetime):
            streams = {
                stream: [f for f in facts if f.recorded_at is None or f.recorded_at <= as_of]
                for stream, facts in streams.items()
            }
        return {member: streams.get(member, []) for member in members}

    def _known(
        self,
        connection: Connection,
        candidate_id: UUID,
        now: datetime,
        as_of: AsOf,
        at: datetime | None,
    ) -> _Known:
        streams = self._streams(connection, candidate_id, as_of)
        # Corrections first: what had happened by then is asked of the facts as they hold.
        facts = effective([fact for facts in streams.values() for fact in facts])
        if at is not None:
            facts = [fact for fact in facts if fact.occurred_at <= at]
        if not facts:
            since = "" if as_of is None and at is None else " by then"
            raise UnknownCandidate(f"nothing is known of {candidate_id}{since}")
        root = _root(candidate_id, streams)
        others = tuple(sorted(stream for stream in streams if stream != root))
        moment = at or self.moment(connection, as_of, now)
        return _Known(root, (root, *others), facts, moment)

    def moment(self, connection: Connection, as_of: AsOf, now: datetime) -> datetime:
        """When it was that we knew this much: the recording of a position is its moment."""
        if not isinstance(as_of, int):
            return as_of or now
        row = connection.execute(
            "SELECT topic, state, notification_id FROM journey_events "
            "WHERE notification_id <= %s ORDER BY notification_id DESC LIMIT 1",
            [as_of],
            binary=True,
        ).fetchone()
        recorded_at = fact_of(*row).recorded_at if row is not None else None
        return now if recorded_at is None else recorded_at

    def _judged(self, findings: Sequence[Finding], known: _Known) -> list[Contradiction]:
        rules = self._meaning.rules
        findings = sorted(findings, key=lambda each: (each.since, each.finding_key))
        return [contradiction_at(each, known.journey_id, rules, known.now) for each in findings]

    @staticmethod
    def _alert_events(
        connection: Connection, candidates: Sequence[UUID]
    ) -> list[tuple[AlertRaised, AlertEvent]]:
        rows = connection.execute(
            "SELECT e.originator_id, e.originator_version, e.topic, e.state FROM alerts a "
            "JOIN alert_events e ON e.originator_id = a.alert_id WHERE a.candidate_id = ANY(%s) "
            "ORDER BY e.originator_id, e.originator_version",
            [list(candidates)],
            binary=True,
        )
        mapper = AlertMapper()
        raised: dict[UUID, AlertRaised] = {}
        told: list[tuple[AlertRaised, AlertEvent]] = []
        for alert_id, version, topic, state in rows:
            event: Any = mapper.to_domain_event(StoredEvent(alert_id, version, topic, state))
            if isinstance(event, AlertRaised):
                raised[alert_id] = event
            told.append((raised[alert_id], event))
        return told

    # --- lists ------------------------------------------------------------------------------

    def open_silences(
        self,
        now: datetime,
        *,
        candidate_id: UUID | None = None,
        policy: str | None = None,
        at_least: Level | None = None,
    ) -> list[Silence]:
        """Silences open at `now` with their standing, gravest first, then longest.

        One entry a policy that holds; `at_least` leaves out milder ones. As known today: a `now`
        in the past tells which were open then.
        """
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT {_SILENCE} FROM silences WHERE since <= %(now)s "
                "AND (until IS NULL OR until > %(now)s) "
                "AND (%(ids)s::uuid[] IS NULL OR candidate_id = ANY(%(ids)s))",
                {"now": now, "ids": self._ids(connection, candidate_id)},
                binary=True,
            ).fetchall()
        told = [
            each
            for row in rows
            for each in silences_at(silence_row(row), self._meaning.policies, now)
            if (policy is None or each.policy == policy)
            and gravity(each.level) >= gravity(at_least)
        ]
        told.sort(
            key=lambda each: (
                -gravity(each.level),
                each.since,
                each.candidate_id,
                each.application_id,
                each.policy or "",
            )
        )
        return told

    def contradictions(
        self,
        now: datetime,
        *,
        candidate_id: UUID | None = None,
        rule: str | None = None,
        pending: bool = False,
    ) -> list[Contradiction]:
        """Findings and their verdicts at `now`, oldest first; mended ones are `satisfied`.

        With `pending` also obligations whose time has not run out.
        """
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT {_FINDING.replace('evidence', 'evidence::text')} FROM findings "
                "WHERE (since <= %(now)s OR %(pending)s) "
                "AND (%(ids)s::uuid[] IS NULL OR candidate_id = ANY(%(ids)s)) "
                "AND (%(rule)s::text IS NULL OR rule = %(rule)s) "
                "ORDER BY since, candidate_id, finding_key",
                {
                    "now": now,
                    "pending": pending,
                    "ids": self._ids(connection, candidate_id),
                    "rule": rule,
                },
                binary=True,
            ).fetchall()
        told = [(row[0], finding_of(row)) for row in rows]
        return [
            contradiction_at(finding, journey_id, self._meaning.rules, now)
            for journey_id, finding in told
            if is_found(finding, now) or (pending and is_pending(finding, now))
        ]

    def applications(self, *, candidate_id: UUID | None = None) -> list[Application]:
        """Where every application stands, by its last touchpoint, newest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(JourneyMapView.standing)} FROM applications "
                "WHERE %(ids)s::uuid[] IS NULL OR candidate_id = ANY(%(ids)s) "
                "ORDER BY last_at DESC, candidate_id, application_id",
                {"ids": self._ids(connection, candidate_id)},
            )
            return [application_of(row) for row in rows]

    def feeds(self) -> list[Feed]:
        """What each source has told us, and up to when."""
        with self._database.transaction() as connection:
            return feeds_of(connection)

    def map(self, now: datetime, cohort: Cohort, by: By = "kind") -> AggregateMap:
        """What all journeys of a cohort tell together at `now`. Raises PathsIncomplete."""
        # It takes NumPy, which no other question does.
        from projections.measures import aggregate_map

        return aggregate_map(self._database, now, cohort, by)

    def position(self) -> int:
        """How far the projections have read the log."""
        with self._database.transaction() as connection:
            return projected_up_to(connection)

    def _ids(self, connection: Connection, candidate_id: UUID | None) -> list[UUID] | None:
        """Every id of a candidate's journey: rows stand under the one that survived."""
        return None if candidate_id is None else self._log.members(connection, candidate_id)


def _root(candidate_id: UUID, streams: dict[UUID, list[Fact]]) -> UUID:
    merges = merges_in((stream, fact) for stream, facts in streams.items() for fact in facts)
    members = Members()
    for survivor, fact in sorted(merges, key=lambda pair: pair[1].position):
        members.take(survivor, fact)
    return members.root(candidate_id)


def rows_of(
    journey_id: UUID, journey: Journey, meaning: Meaning
) -> tuple[list[SilenceRow], list[Finding]]:
    """The silences and findings of a folded journey, by the views that also store them."""
    silences = [
        silence_row(row) for row in SilenceView().changes(journey_id, [], journey, meaning).rows
    ]
    silences.sort(key=in_order)
    rows = ContradictionView().changes(journey_id, [], journey, meaning).rows
    return silences, [finding_of(row) for row in rows]


def silence_row(row: Sequence[Any]) -> SilenceRow:
    """A row of table `silences`, in the order of its view's columns."""
    return SilenceRow(**dict(zip(SilenceView.columns, row, strict=True)))


def finding_of(row: Sequence[Any]) -> Finding:
    """A row of table `findings`, in the order of its view's columns; evidence also as text."""
    _, application_id, rule, key, severity, since, until, evidence = row
    if isinstance(evidence, str):
        evidence = _to_evidence(evidence)
    return Finding(
        rule=rule,
        application_id=application_id,
        finding_key=key,
        severity=severity,
        since=since,
        until=until,
        evidence=tuple(evidence),
    )
