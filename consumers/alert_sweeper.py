"""Wakes up, asks which deadlines have passed, writes what that means for alerts.

What is due is found by the index on `deadlines`, never by looking through journeys. Two sweepers
at once share the work (SKIP LOCKED) and cannot double an alert: its id follows from candidate and
key, and the alert log takes each version once.

Nothing is missed beside a running projector, as long as that deletes a journey's deadlines before
it asks (for `alert_checks`) which alerts are unresolved, in one transaction: a deadline we hold
makes it wait, and then it sees the alert we raised; one it has deleted we never see.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
import structlog
from eventsourcing.persistence import IntegrityError

from consumers.waking import work_and_sleep
from journey.clock import Clock
from journey.database import Connection, Database
from projections.alerts import lifecycle
from projections.alerts.alert_log import (
    AlertLog,
    Change,
    alerts_by_id,
    change,
    unresolved_of,
)
from projections.alerts.explanation import Explain, plain
from projections.alerts.lifecycle import Alert, DueDeadline, Standing
from projections.contradictions.templates import Finding
from projections.deadline import Evidence
from projections.silence.rows import SilenceRow
from schemas.findings import AlertEscalated, AlertEvent, AlertRaised, AlertReopened, AlertResolved

log = structlog.get_logger()

BATCH = 500
"""Deadlines, or candidates to check, a transaction."""

_ATTEMPTS = 10
# Any fixed number, beside the schema's hash: sweepers of one tenant take turns at checks.
_CHECKS_LOCK = 0x616C72

_DEADLINE = "due_at, subject, candidate_id, application_id, name, level, alert_key, since, evidence"
# The inner SELECT walks the index and locks; the outer DELETE takes exactly those rows.
TAKE_DUE = (
    "DELETE FROM deadlines WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM deadlines WHERE due_at <= %s ORDER BY due_at LIMIT %s "
    f"FOR UPDATE SKIP LOCKED)) RETURNING {_DEADLINE}"
)
_SILENCE = ", ".join(SilenceRow.__struct_fields__)
_FINDING = "rule, application_id, finding_key, severity, since, until, evidence"

SilenceKey = tuple[UUID, str | None, str]
FindingKey = tuple[UUID, str]
AlertSubject = Alert | DueDeadline


@dataclass(slots=True)
class Swept:
    """What a sweep did. `next_due` is the earliest deadline that is left, if any."""

    deadlines: int = 0
    raised: int = 0
    escalated: int = 0
    reopened: int = 0
    resolved: int = 0
    checked: int = 0
    next_due: datetime | None = None

    def __add__(self, other: Swept) -> Swept:
        return Swept(
            self.deadlines + other.deadlines,
            self.raised + other.raised,
            self.escalated + other.escalated,
            self.reopened + other.reopened,
            self.resolved + other.resolved,
            self.checked + other.checked,
            other.next_due,
        )


@dataclass(frozen=True, slots=True)
class Reasons:
    """What alerts may be about, as it stands: rows of `silences` and `findings` by key."""

    silences: Mapping[SilenceKey, SilenceRow]
    findings: Mapping[FindingKey, Finding]

    def subject(self, about: AlertSubject) -> SilenceRow | Finding | None:
        """The silence or finding that an alert or deadline names, if it is still there."""
        if about.subject == "silence":
            return self.silences.get(_silence_key(about))
        return self.findings.get(_finding_key(about))

    def standing(self, about: AlertSubject) -> Standing:
        """Whether that is so."""
        if about.subject == "silence":
            silence = self.silences.get(_silence_key(about))
            return lifecycle.silence_standing(silence, about.due_at)
        return lifecycle.finding_standing(self.findings.get(_finding_key(about)))


class Sweeper:
    """Turns passed deadlines into alerts, and takes a second look at alerts whose journey moved."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        alerts: AlertLog,
        explain: Explain,
        *,
        batch: int = BATCH,
    ) -> None:
        self.database = database
        self.clock = clock
        self.alerts = alerts
        self.explain = explain
        self.batch = batch

    def sweep(self) -> Swept:
        """Everything that is due now, and every check that is asked for.

        Raises DatabaseUnavailable; what was not committed is due again then.
        """
        total = Swept()
        while (step := self._again_on_conflict(self._sweep_deadlines)).deadlines:
            total += step
        while (step := self._again_on_conflict(self._sweep_checks)).checked:
            total += step
        total.next_due = self.next_due()
        if total.deadlines or total.checked:
            log.info(
                "swept",
                deadlines=total.deadlines,
                raised=total.raised,
                escalated=total.escalated,
                reopened=total.reopened,
                resolved=total.resolved,
            )
        return total

    def next_due(self) -> datetime | None:
        """The earliest deadline there is."""
        with self.database.transaction() as connection:
            row = connection.execute("SELECT min(due_at) FROM deadlines").fetchone()
        return None if row is None else row[0]

    def run(self, stop: threading.Event) -> None:
        """Sweep, and sleep until the next deadline or NOTIFY `deadlines`, until `stop`."""
        work_and_sleep(
            self.database,
            self.clock,
            stop,
            channel="deadlines",
            what="sweeper",
            work=lambda: self.sweep().next_due,
        )

    def _again_on_conflict(self, step: Callable[[Connection], Swept]) -> Swept:
        """Another sweeper or a person was first on an alert: look again, as it stands now."""
        for _ in range(_ATTEMPTS - 1):
            try:
                with self.database.transaction() as connection:
                    return step(connection)
            except IntegrityError:
                continue
        with self.database.transaction() as connection:
            return step(connection)

    # --- deadlines --------------------------------------------------------------------------

    def _sweep_deadlines(self, connection: Connection) -> Swept:
        now = self.clock.now()
        rows = connection.execute(TAKE_DUE, [now, self.batch])
        taken = sorted((DueDeadline(*row) for row in rows), key=_by_time)
        if not taken:
            return Swept()
        due = _not_quiet(connection, taken)
        known = alerts_by_id(connection, {deadline.alert_id for deadline in due})
        reasons = reasons_of(connection, due)
        events: dict[UUID, list[AlertEvent]] = {}
        current = dict(known)
        whys: Counter[str] = Counter()
        for deadline in due:
            alert = current.get(deadline.alert_id)
            move = lifecycle.on_deadline(
                alert,
                deadline,
                reasons.standing(deadline),
                lambda deadline=deadline: self._explained(deadline, reasons),  # type: ignore[misc]
                now,
            )
            whys[move.why] += 1
            for event in move.events:
                alert = current[event.alert_id] = lifecycle.apply(alert, event)
                events.setdefault(event.alert_id, []).append(event)
        changes = [change(known.get(alert_id), each) for alert_id, each in events.items()]
        self.alerts.append(connection, changes)
        log.debug("deadlines passed", **whys)
        return _counted(changes, deadlines=len(taken))

    def _explained(self, deadline: DueDeadline, reasons: Reasons) -> str:
        subject = reasons.subject(deadline)
        assert subject is not None  # explained only when it stands
        try:
            return self.explain(deadline, subject)
        except Exception as error:
            # A sentence that cannot be made must not keep an alert from anyone.
            log.error(
                "an alert could not be explained",
                candidate_id=str(deadline.candidate_id),
                name=deadline.name,
                error=type(error).__name__,
            )
            return plain(deadline, subject)

    # --- second looks -----------------------------------------------------------------------

    def _sweep_checks(self, connection: Connection) -> Swept:
        # Taken away before anything is read: a projector that commits from here on asks anew.
        # One sweeper at a time, since DELETE knows no SKIP LOCKED and no order.
        connection.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(current_schema()))", [_CHECKS_LOCK]
        )
        candidates = [
            row[0]
            for row in connection.execute(
                "DELETE FROM alert_checks WHERE candidate_id = ANY(ARRAY("
                "SELECT candidate_id FROM alert_checks LIMIT %s)) RETURNING candidate_id",
                [self.batch],
            )
        ]
        if not candidates:
            return Swept()
        now = self.clock.now()
        alerts = unresolved_of(connection, candidates)
        reasons = reasons_of(connection, alerts)
        not_yet = _not_due_yet(connection, alerts, now)
        changes = []
        for alert in alerts:
            standing = reasons.standing(alert)
            if standing.verdict == "stands" and alert.alert_id in not_yet:
                standing = lifecycle.NEVER_WAS
            event = lifecycle.on_check(alert, standing, now)
            if event is not None:
                changes.append(change(alert, [event]))
        self.alerts.append(connection, changes)
        return _counted(changes, checked=len(candidates))


def _not_quiet(connection: Connection, due: Sequence[DueDeadline]) -> list[DueDeadline]:
    """Those that are not history: what an import brought may have been due years ago."""
    rows = connection.execute(
        "SELECT journey, max(quiet_until) FROM ("
        " SELECT candidate_id AS journey, quiet_until FROM quiet_candidates"
        " WHERE candidate_id = ANY(%(ids)s)"
        " UNION ALL SELECT journey_id, quiet_until FROM journey_members"
        " JOIN quiet_candidates USING (candidate_id) WHERE journey_id = ANY(%(ids)s)"
        ") AS quiet GROUP BY journey",
        {"ids": list({deadline.candidate_id for deadline in due})},
    )
    quiet_until: dict[UUID, datetime] = dict(rows.fetchall())
    return [
        deadline
        for deadline in due
        if deadline.candidate_id not in quiet_until
        or deadline.due_at >= quiet_until[deadline.candidate_id]
    ]


def reasons_of(connection: Connection, about: Iterable[AlertSubject]) -> Reasons:
    """The silences and findings that these alerts or deadlines are about, in two queries."""
    every = list(about)
    return Reasons(
        _silences(connection, [_silence_key(each) for each in every if each.subject == "silence"]),
        _findings(connection, [_finding_key(each) for each in every if each.subject != "silence"]),
    )


def _silences(connection: Connection, keys: Sequence[SilenceKey]) -> dict[SilenceKey, SilenceRow]:
    if not keys:
        return {}
    candidates, applications, began_by = map(list, zip(*keys, strict=True))
    rows = connection.execute(
        f"SELECT {_SILENCE} FROM silences WHERE (candidate_id, application_id, began_by) IN "
        "(SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[]))",
        [candidates, applications, began_by],
    )
    found = [
        SilenceRow(**dict(zip(SilenceRow.__struct_fields__, row, strict=True))) for row in rows
    ]
    return {(each.candidate_id, each.application_id, each.began_by): each for each in found}


def _findings(connection: Connection, keys: Sequence[FindingKey]) -> dict[FindingKey, Finding]:
    if not keys:
        return {}
    candidates, finding_keys = map(list, zip(*keys, strict=True))
    rows = connection.execute(
        f"SELECT candidate_id, {_FINDING} FROM findings WHERE (candidate_id, finding_key) IN "
        "(SELECT * FROM unnest(%s::uuid[], %s::text[]))",
        [candidates, finding_keys],
    )
    found: dict[FindingKey, Finding] = {}
    for candidate_id, rule, application_id, key, severity, since, until, evidence in rows:
        found[candidate_id, key] = Finding(
            rule=rule,
            application_id=application_id,
            finding_key=key,
            severity=severity,
            since=since,
            until=until,
            evidence=msgspec.convert(evidence, tuple[Evidence, ...]),
        )
    return found


def _not_due_yet(connection: Connection, alerts: Sequence[Alert], now: datetime) -> set[UUID]:
    """Alerts whose level is due only later after all: an interview's end was moved, say."""
    rows = connection.execute(
        "SELECT candidate_id, alert_key, level FROM deadlines WHERE due_at > %s AND "
        "(candidate_id, alert_key, level) IN "
        "(SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[]))",
        [
            now,
            [alert.candidate_id for alert in alerts],
            [alert.alert_key for alert in alerts],
            [alert.level for alert in alerts],
        ],
    )
    return {lifecycle.alert_id(candidate_id, key) for candidate_id, key, _ in rows}


def _silence_key(about: AlertSubject) -> SilenceKey:
    # silence:{policy}:{application}:{began_by}; ids of applications may hold colons themselves.
    return about.candidate_id, about.application_id, about.alert_key.rpartition(":")[2]


def _finding_key(about: AlertSubject) -> FindingKey:
    return about.candidate_id, about.alert_key.removeprefix("rule:")


def _by_time(deadline: DueDeadline) -> tuple[datetime, str, str]:
    return deadline.due_at, deadline.alert_key, deadline.level


def _counted(changes: Sequence[Change], *, deadlines: int = 0, checked: int = 0) -> Swept:
    kinds = Counter(type(event) for each in changes for event in each.events)
    return Swept(
        deadlines=deadlines,
        raised=kinds[AlertRaised],
        escalated=kinds[AlertEscalated],
        reopened=kinds[AlertReopened],
        resolved=kinds[AlertResolved],
        checked=checked,
    )
