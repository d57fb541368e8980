"""A journey step by step: what was known and concluded at each moment of it. Pure.

The same folds as live run over the journey's facts in order. Steps are the touchpoints, the
deadlines that pass between them with nobody saying a word, and the present moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from projections.contradictions.fold import drain
from projections.contradictions.templates import Finding
from projections.fact import Fact
from projections.journey_map.view import JourneyMapView
from projections.projection import Journey, JourneyFold, Meaning
from projections.silence.deadlines import deadlines
from projections.silence.fold import row_of
from projections.silence.rows import SilenceRow, in_order
from projections.standing import (
    Application,
    Contradiction,
    ExpectedAlert,
    Silence,
    alerts_at,
    application_of,
    contradiction_at,
    is_found,
    silences_at,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One moment of a journey and everything as it stood right after it.

    `because`: a touchpoint happened, a deadline passed in silence, or it is the present.
    `silences` are the open ones, by policy; `begins` and `ends` are findings that began to be so,
    or were mended, at this step.
    """

    number: int
    at: datetime
    because: Literal["touchpoint", "deadline", "now"]
    fact: Fact | None
    applications: list[Application]
    silences: list[Silence]
    begins: list[Contradiction]
    ends: list[Contradiction]
    alerts: list[ExpectedAlert]


def replay(
    facts: Sequence[Fact], candidate_id: UUID, meaning: Meaning, now: datetime
) -> Iterator[Step]:
    """The steps of a journey up to `now`; `facts` are effective and in order.

    Facts after `now` are left out: they lie in the future of whoever asks.
    """
    return _Replay(candidate_id, meaning).steps([f for f in facts if f.occurred_at <= now], now)


class _Replay:
    """The folds' state on its way through a journey."""

    def __init__(self, candidate_id: UUID, meaning: Meaning) -> None:
        self._candidate_id = candidate_id
        self._meaning = meaning
        self._fold = JourneyFold(meaning)
        self._map = JourneyMapView()
        self._journey = Journey()
        self._findings: dict[str, Finding] = {}
        self._found: dict[str, Finding] = {}
        self._number = 0

    def steps(self, facts: Sequence[Fact], now: datetime) -> Iterator[Step]:
        for index, fact in enumerate(facts):
            self._fold.apply(self._journey, [fact], self._candidate_id)
            self._journey.silence.finished = []
            changed, gone = drain(self._journey.contradictions)
            self._findings.update({finding.finding_key: finding for finding in changed})
            for key in gone:
                self._findings.pop(key, None)
            yield self._step(fact.occurred_at, "touchpoint", fact)
            until = facts[index + 1].occurred_at if index + 1 < len(facts) else now
            for due_at in self._due_between(fact.occurred_at, until):
                yield self._step(due_at, "deadline", None)
        if facts:
            yield self._step(now, "now", None)

    def _due_between(self, after: datetime, until: datetime) -> list[datetime]:
        """Deadlines that pass before the next touchpoint, if it stays silent until then."""
        due = {
            deadline.due_at
            for row in self._open_silences()
            for deadline in deadlines(row, self._meaning.policies)
        }
        due |= {finding.since for finding in self._findings.values() if finding.until is None}
        return sorted(moment for moment in due if after < moment < until)

    def _open_silences(self) -> list[SilenceRow]:
        return sorted(
            (
                row_of(self._candidate_id, application_id, waiting)
                for application_id, waiting in self._journey.silence.applications.items()
                if waiting.since is not None
            ),
            key=in_order,
        )

    def _step(
        self, at: datetime, because: Literal["touchpoint", "deadline", "now"], fact: Fact | None
    ) -> Step:
        silences = self._open_silences()
        self._number += 1
        begins, ends = self._turned(at)
        return Step(
            self._number,
            at,
            because,
            fact,
            [application_of(row) for row in self._map.snapshot(self._candidate_id, self._journey)],
            [told for row in silences for told in silences_at(row, self._meaning.policies, at)],
            begins,
            ends,
            alerts_at(self._candidate_id, silences, self._findings.values(), self._meaning, at),
        )

    def _turned(self, at: datetime) -> tuple[list[Contradiction], list[Contradiction]]:
        """Findings that have begun since the last step, and those that have ended."""
        found = {key: each for key, each in self._findings.items() if is_found(each, at)}
        begins = [each for key, each in found.items() if key not in self._found]
        ends = [
            each
            for key, each in found.items()
            if each.until is not None and (key not in self._found or self._found[key].until is None)
        ]
        # One that turned out never to be so ends without having been mended.
        ends += [
            msgspec.structs.replace(each, until=at)
            for key, each in self._found.items()
            if key not in found
        ]
        self._found = found
        rules = self._meaning.rules
        return (
            [contradiction_at(each, self._candidate_id, rules, at) for each in begins],
            [contradiction_at(each, self._candidate_id, rules, at) for each in ends],
        )
