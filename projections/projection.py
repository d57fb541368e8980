"""What a projection is: a pure fold over one journey, and a view, the rows it wants kept.

`Journey` is the state of every fold for one journey: plain data that pickles and encodes to
msgpack. `JourneyFold` runs all folds over facts in order. Views say which rows a journey has; the
runner and the rebuild write them, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol
from uuid import UUID

import msgspec

from projections.contradictions.fold import CompiledRules, ContradictionState
from projections.contradictions.rule import NotSuccession, SilenceFirst
from projections.fact import Fact
from projections.journey_map import fold as journey_map
from projections.paths import fold as paths
from projections.silence import fold as silence
from projections.silence.policy import PolicySet

_application = attrgetter("application_id")
_BEGINNING = datetime.min.replace(tzinfo=UTC)

Row = tuple[Any, ...]


class Journey(msgspec.Struct, omit_defaults=True, gc=False):
    """Everything the folds know of one journey after its last fact.

    `amended` says that a correction or retraction is part of it: such a journey is folded anew
    each time, since any fact may change how an earlier one is read.
    """

    last_at: datetime = _BEGINNING
    last_position: int = 0
    amended: bool = False
    map: journey_map.MapState = msgspec.field(default_factory=dict)
    silence: silence.SilenceState = msgspec.field(default_factory=silence.SilenceState)
    contradictions: ContradictionState = msgspec.field(default_factory=ContradictionState)
    paths: paths.PathState = msgspec.field(default_factory=paths.PathState)


encode_journey = msgspec.msgpack.Encoder().encode
decode_journey = msgspec.msgpack.Decoder(Journey).decode


@dataclass(frozen=True)
class Meaning:
    """What the folds and views are told besides facts: policies and compiled rules."""

    policies: PolicySet
    rules: CompiledRules

    @property
    def fingerprint(self) -> str:
        """Changes when what is found changes: tables built under another one need a rebuild."""
        return f"{self.policies.fingerprint[:16]}-{self.rules.fingerprint[:16]}"


class JourneyFold:
    """Runs every fold over the facts of one journey."""

    def __init__(self, meaning: Meaning) -> None:
        self._rules = meaning.rules
        self._checked = meaning.rules.kinds
        self._needs_silence = frozenset(
            kind
            for rule in meaning.rules.rules.values()
            if isinstance(rule, NotSuccession) and isinstance(rule.first, SilenceFirst)
            for selector in rule.then
            for kind in selector.chosen()
        )

    def apply(self, journey: Journey, facts: Sequence[Fact], candidate_id: UUID) -> None:
        """Take facts that follow the journey's last one, in order (changes the state in place)."""
        contradictions, silences = journey.contradictions, journey.silence
        check, listen = self._rules.apply, silence.apply
        checked, needs_silence = self._checked, self._needs_silence
        for fact in facts:
            # Rules see the silence as it stood just before the fact.
            kind = fact.kind
            if kind in checked:
                check(
                    contradictions,
                    fact,
                    silence.open_since(silences) if kind in needs_silence else _NO_SILENCES,
                )
            listen(silences, fact, candidate_id)
        for application_id, run in groupby(facts, _application):
            # Touchpoints that name no application are steps of none.
            if application_id is not None:
                steps = list(run)
                journey_map.apply(journey.map, application_id, steps)
                paths.apply(journey.paths, application_id, steps)
        last = facts[-1]
        journey.last_at, journey.last_position = last.occurred_at, last.position


_NO_SILENCES: dict[str, datetime] = {}


@dataclass(slots=True)
class Changes:
    """What one journey's step changes in one table.

    `rows` are to be there, `stale` are keys (within the journey) whose old rows are not; a row
    that replaces another stands in both. `deadlines` follow from the rows.
    """

    rows: list[Row]
    stale: Sequence[tuple[str, ...]]
    deadlines: list[Row]


class View(Protocol):
    """The rows one projection keeps of a journey, in one table."""

    @property
    def table(self) -> str:
        """The table's name."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns, `candidate_id` first."""
        ...

    @property
    def types(self) -> tuple[str, ...]:
        """Their Postgres types."""
        ...

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that tell the rows of one journey apart; all text."""
        ...

    def snapshot(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """The rows as they stand, as far as `changes` compares with them."""
        ...

    def changes(
        self, journey_id: UUID, before: list[Row], journey: Journey, meaning: Meaning
    ) -> Changes:
        """What differs from the snapshot taken before the facts were folded; drains the state."""
        ...


DEADLINE_COLUMNS = (
    "due_at", "subject", "candidate_id", "application_id", "name", "level", "alert_key", "since",
    "evidence", "row_key",
)  # fmt: skip
DEADLINE_TYPES = (
    "timestamptz", "text", "uuid", "text", "text", "text", "text", "timestamptz", "jsonb", "text",
)  # fmt: skip
