"""The fields every touchpoint carries, and the traits that folds read.

Three ideas meet here: *occurred_at* (when it happened in the world, with its quality and
precision), *recorded_at* (when we learned it), and the *traits* of a kind, so that adding a
kind changes no fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self, cast
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from schemas.errors import NaiveDatetime
from schemas.identifiers import touchpoint_id

Direction = Literal["to_candidate", "from_candidate", "both", "internal", "third_party"]
Turn = Literal["employer", "candidate", "nobody", "unchanged"]
Lifecycle = Literal["opens", "closes", "reopens", "none"]
Quality = Literal["exact", "inferred", "unknown"]
Precision = Literal["instant", "minute", "day"]
Channel = Literal[
    "ats", "email", "phone", "sms", "chat", "calendar", "survey", "video", "in_person", "web",
    "import", "other",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Traits:
    """What a kind means for a journey, read by every fold.

    `answers` says whether receiving it ends a silence. It is apart from `candidate_sees`
    because a survey or a newsletter is seen, and yet tells nobody where they stand.
    """

    direction: Direction
    candidate_sees: bool
    turn: Turn = "unchanged"
    lifecycle: Lifecycle = "none"
    answers: bool = False


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""An aware datetime, in UTC once inside; as JSON it ends in `Z`."""


class Actor(BaseModel):
    """Who did it: a kind and an opaque id of the source, never a name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["person", "automation", "candidate", "third_party"]
    id: str | None = None


class Moment(BaseModel):
    """When something happened, how well we know it, and the offset it was told in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: UtcDatetime
    offset_minutes: int = 0
    quality: Quality = "exact"
    precision: Precision = "instant"

    @classmethod
    def of(
        cls, at: datetime, *, quality: Quality = "exact", precision: Precision = "instant"
    ) -> Moment:
        """A moment from an aware datetime. Raises NaiveDatetime for one without a zone."""
        offset = at.utcoffset()
        if offset is None:
            raise NaiveDatetime(f"the time {at.isoformat()} has no zone; say which zone it is in")
        return cls(
            at=at,
            offset_minutes=int(offset.total_seconds() // 60),
            quality=quality,
            precision=precision,
        )

    @classmethod
    def parse(cls, text: str, *, quality: Quality = "exact") -> Moment:
        """A moment from ISO 8601 text. `2013-03-22` is a day; a time needs an offset or `Z`.

        Raises NaiveDatetime for a time without a zone and ValueError for anything else.
        """
        text = text.strip()
        if len(text) == 10:
            day = datetime.fromisoformat(text).replace(tzinfo=UTC)
            return cls(at=day, quality=quality, precision="day")
        return cls.of(datetime.fromisoformat(text), quality=quality)


PRECISION_SPAN: dict[str, timedelta] = {
    "instant": timedelta(0),
    "minute": timedelta(minutes=1),
    "day": timedelta(days=1),
}
"""How much time a fact of this precision may cover, from `occurred_at` on."""


NOT_CONTENT = frozenset(
    {
        "candidate_id", "version", "touchpoint_id", "recorded_at", "source", "source_event_id",
        "delivery_id",
    }
)  # fmt: skip
"""Fields that say whose a touchpoint is and how we have it, not what happened."""


class Touchpoint(BaseModel):
    """One immutable fact a candidate, or the employer about that candidate, lived through.

    `candidate_id` and `version` are the stream and the place in it; they are stored as the
    stream's key, not in the state. `personal` is the sealed token, never plain text. `late` says
    that we came upon it by looking (a poll), since its source does not tell it by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    TOPIC: ClassVar[str]
    KIND: ClassVar[str]
    TRAITS: ClassVar[Traits]

    candidate_id: UUID | None = Field(default=None, exclude=True)
    version: int = Field(default=0, exclude=True)

    touchpoint_id: UUID
    application_id: str | None = None
    job_id: str | None = None
    occurred_at: UtcDatetime
    occurred_offset_minutes: int = 0
    occurred_quality: Quality = "exact"
    occurred_precision: Precision = "instant"
    recorded_at: UtcDatetime | None = None
    source: str
    source_event_id: str
    delivery_id: str | None = None
    stage: str | None = None
    channel: Channel = "ats"
    actor: Actor | None = None
    late: bool = False
    personal: str | None = None

    @property
    def originator_id(self) -> UUID:
        """The stream, in the words of the eventsourcing library."""
        if self.candidate_id is None:
            raise ValueError(f"touchpoint {self.touchpoint_id} has no candidate yet")
        return self.candidate_id

    @property
    def originator_version(self) -> int:
        """The place in the stream, from 1, in the words of the eventsourcing library."""
        return self.version

    def content(self) -> dict[str, Any]:
        """What it says happened: every field as it is stored, without what is sealed."""
        return self.model_dump(mode="json", exclude=_NOT_SAID)

    @classmethod
    def told(
        cls, *, source: str, source_event_id: str, moment: Moment, **fields: Any
    ) -> Touchpoint:
        """This kind of touchpoint as a source tells it: id and time filled in from both.

        Raises pydantic.ValidationError for fields the kind does not have.
        """
        return cls(
            touchpoint_id=touchpoint_id(source, source_event_id, cls.KIND),
            source=source,
            source_event_id=source_event_id,
            occurred_at=moment.at,
            occurred_offset_minutes=moment.offset_minutes,
            occurred_quality=moment.quality,
            occurred_precision=moment.precision,
            **fields,
        )

    @classmethod
    def blank(cls, **constants: Any) -> dict[str, Any]:
        """Every field of the kind with its default, or the constant given: a start for `trusted`.

        In the class's order, since states are written in the order of the values.
        """
        fields = cls.model_fields
        return {
            name: None if field.is_required() else field.get_default(call_default_factory=True)
            for name, field in fields.items()
        } | {name: value for name, value in constants.items() if name in fields}

    @classmethod
    def trusted(cls, values: dict[str, Any]) -> Self:
        """This kind of touchpoint from values that are known to be right, without validation.

        For readers that make a million of them from values they have made themselves. `values`
        is a filled-in `blank`, and every value is what validation would make of it (times in UTC,
        ids as text); it belongs to the touchpoint from here on.
        """
        made: Any = _new(_Unfinished)
        made.__dict__ = values
        made.__pydantic_fields_set__ = _NONE_SET
        made.__pydantic_extra__ = None
        made.__pydantic_private__ = None
        made.__class__ = cls
        return cast("Self", made)


class _Unfinished(BaseModel):
    """A model whose slots are set one by one, before it is made one of a kind that never changes.

    The same that pydantic's own `model_construct` does, only faster.
    """

    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


_new = object.__new__
_NONE_SET: set[str] = set()
_NOT_SAID = {*NOT_CONTENT, "personal"}


__all__ = ["Actor", "Channel", "Moment", "Touchpoint", "Traits", "UtcDatetime"]
