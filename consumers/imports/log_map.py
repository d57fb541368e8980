"""A log map: which column of a log is what, and which activity is which touchpoint.

    source: hiring2015            # names the log; ids are of this source
    case: case:concept:name       # the application; also the candidate, unless one is told
    activity: concept:name
    time: time:timestamp
    time_zone: Europe/Berlin      # for times without an offset
    activities:
      Hand In Job Application: application_submitted
      Telephonic Screening: {kind: call_made, constants: {}}
      Housekeeping: ignore
    other: unrecognised_touchpoint   # or: ignore

Columns are named as the file names them. XES: `concept:name` of an event, `case:concept:name` of
its trace. OCEL: `ocel:eid`, `ocel:activity`, `ocel:timestamp`, `ocel:type:<object type>` and the
names of attributes. A wide table, a row a case and a date column a step, has `steps` instead of
`activity` and `time`; `row:number` is the case where a table has no column for it.
`consumers/imports/maps/` has one for each published log we know.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from consumers.ats_adapters.mapping import Zone, check_kind
from consumers.yaml_file import first_fault, read_yaml
from journey.errors import ConfigurationError
from schemas.event import Channel

BUILT_IN = Path(__file__).with_name("maps")
IGNORE = "ignore"

Column = Annotated[str, Field(min_length=1)]


def _as_columns(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Columns = Annotated[tuple[Column, ...], BeforeValidator(_as_columns)]


class Meaning(BaseModel):
    """What one activity, or one step of a wide table, means.

    `fields` are the kind's own fields by column, `constants` the same by value. `kind` may be
    `ignore`. Where another column decides (the final answer of a diary is a rejection by its
    status), `by` names it and `values` says what it means by what stands there, else `kind`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    stage: str | None = None
    fields: dict[str, Column] = Field(default_factory=dict)
    constants: dict[str, str | int | bool] = Field(default_factory=dict)
    by: Column | None = None
    values: dict[str, Meaning] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_kind(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_a_kind(self) -> Meaning:
        if bool(self.by) != bool(self.values):
            raise ValueError("has only one of `by` and `values`, and each needs the other")
        if self.kind == IGNORE:
            return self
        check_kind(self.kind, told=(*self.fields, *self.constants))
        return self

    def columns(self) -> list[str]:
        """Every column it names."""
        within = [column for meaning in self.values.values() for column in meaning.columns()]
        return [*self.fields.values(), *([self.by] if self.by else []), *within]


class Lifecycle(BaseModel):
    """Which transitions of a work item count: a log may tell its schedule, start and end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: Column
    keep: tuple[str, ...] = Field(min_length=1)


class PersonalColumns(BaseModel):
    """Where personal things are. They go into the sealed field and nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Column | None = None
    emails: Columns = ()
    phones: Columns = ()
    addresses: Columns = ()
    links: Columns = ()
    text: dict[str, Column] = Field(default_factory=dict)

    def columns(self) -> list[str]:
        """Every column it names."""
        named = [self.name] if self.name else []
        return [
            *named, *self.emails, *self.phones, *self.addresses, *self.links, *self.text.values()
        ]  # fmt: skip


class LogMap(BaseModel):
    """A whole map file.

    `case` is the application and `candidate` the person; one of the two is enough. `event_id` is
    the log's own id of an event; without one an event is known by case, activity and time, and
    by its place among those that share all three.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.:-]+$")
    case: Column | None = None
    candidate: Column | None = None
    event_id: Column | None = None
    activity: Column | None = None
    time: Column | None = None
    time_zone: Zone = None
    time_formats: tuple[str, ...] = ()
    precision: Column | None = None
    job: Column | None = None
    stage: Column | None = None
    actor: Column | None = None
    channel: Channel = "import"
    lifecycle: Lifecycle | None = None
    person: dict[str, Column] = Field(default_factory=dict)
    personal: PersonalColumns = PersonalColumns()
    activities: dict[str, Meaning] = Field(default_factory=dict)
    other: Meaning = Meaning(kind="unrecognised_touchpoint")
    steps: dict[Column, Meaning] = Field(default_factory=dict)
    encoding: str = "utf-8-sig"
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)

    @model_validator(mode="after")
    def _is_whole(self) -> LogMap:
        if self.case is None and self.candidate is None and not self.person:
            raise ValueError("says nowhere whose event a row is; name the `case` column")
        if self.case is None and self.event_id is None:
            raise ValueError("has neither `case` nor `event_id`, so a repeat could not be known")
        if self.steps:
            if self.activity or self.time or self.activities:
                raise ValueError("has `steps`, which a wide table has instead of `activity`")
        elif self.activity is None or self.time is None:
            raise ValueError("needs `activity` and `time`, or `steps` for a wide table")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(f"{self.encoding!r} is no encoding; write one as cp1252") from None
        return self

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Every column it names, in the order in which it names them."""
        meanings = [*self.activities.values(), self.other, *self.steps.values()]
        named = [
            self.case, self.candidate, self.event_id, self.activity, self.time, *self.steps,
            self.precision, self.lifecycle and self.lifecycle.column, self.job, self.stage,
            self.actor, *self.person.values(), *self.personal.columns(),
            *(column for meaning in meanings for column in meaning.columns()),
        ]  # fmt: skip
        return tuple(dict.fromkeys(column for column in named if column))


def load_log_map(name: str) -> LogMap:
    """The map of a file, or a built-in one by its name. Raises ConfigurationError."""
    path = Path(name)
    if not path.suffix and not path.exists():
        path = BUILT_IN / f"{name}.yaml"
        if not path.exists():
            known = ", ".join(sorted(each.stem for each in BUILT_IN.glob("*.yaml")))
            raise ConfigurationError(
                f"no map is called {name!r}; name a YAML file, or one of {known}"
            )
    document = read_yaml(path, f"the map {path.name}")
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"the map {path.name} holds no fields; `journey import --suggest LOG` makes one"
        )
    return checked_map(document, path.name)


def checked_map(document: dict[str, Any], name: str) -> LogMap:
    """A map from its fields. Raises ConfigurationError with the first field that is wrong."""
    try:
        return LogMap.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"the map {name}, {first_fault(error)}") from None


__all__ = ["IGNORE", "LogMap", "Meaning", "checked_map", "load_log_map"]
