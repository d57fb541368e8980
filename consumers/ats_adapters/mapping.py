"""A mapping file: how the words of a system we have no adapter for become touchpoints.

The file says where things are, by simple dotted paths, and nothing else: no expressions, no code.

    person:                                  # at least one of these must be found
      candidate: data.candidate_id           # "candidate" of this connection's source
      greenhouse:application: data.ats_id    # with a colon: as another source names them
      email: [data.email, data.emails.*.value]
    application_id: data.application_id
    time_zone: Europe/Amsterdam              # for times without an offset
    personal: {name: data.name, emails: data.email, text: {comment: data.comment}}
    events:
      com.example.interview.booked:
        kind: interview_scheduled
        fields: {starts_at: data.start, ends_at: data.end, interview_id: data.id}
        constants: {time_zone: Europe/Amsterdam}
      com.example.page.viewed: {ignore: true}

A path walks from the event's own attributes (`type`, `id`, `time`, `subject`, `data`…); a number
is a place in a list, `*` is every entry of one. What is set under an event wins over what is
set for all. `consumers/ats_adapters/mappings/sample.yaml` is a commented example.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from consumers.yaml_file import first_fault, read_yaml
from journey.errors import ConfigurationError
from schemas.errors import UnknownKind
from schemas.event import Channel, Touchpoint
from schemas.registry import touchpoint_class
from schemas.touchpoints import CandidatesMerged, CandidatesUnmerged, PersonErased

CONCLUDED = (CandidatesMerged, CandidatesUnmerged, PersonErased)
"""Kinds that this engine concludes itself; no mapping can state them."""


def _as_paths(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _is_path(path: str) -> str:
    if not path.strip() or any(not step for step in path.split(".")):
        raise ValueError(f"{path!r} is no path; write names with dots between them: data.email")
    return path


def _is_zone(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone; write one as Europe/Amsterdam") from None
    return name


FieldPath = Annotated[str, AfterValidator(_is_path)]
Paths = Annotated[tuple[FieldPath, ...], BeforeValidator(_as_paths)]
"""One path or a list of them."""
Zone = Annotated[str | None, AfterValidator(_is_zone)]


class PersonalPaths(BaseModel):
    """Where personal things are. They go into the sealed field and nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Paths = ()
    emails: Paths = ()
    phones: Paths = ()
    addresses: Paths = ()
    links: Paths = ()
    text: dict[str, Paths] = Field(default_factory=dict)


class Places(BaseModel):
    """Where things are, for all events or for one type."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: dict[str, Paths] = Field(default_factory=dict)
    application_id: FieldPath | None = None
    job_id: FieldPath | None = None
    stage: FieldPath | None = None
    event_id: FieldPath | None = None
    occurred_at: FieldPath | None = None
    time_zone: Zone = None
    channel: Channel | None = None
    personal: PersonalPaths | None = None


class EventMapping(Places):
    """What one event type means.

    `fields` are the kind's own fields by path, `constants` the same by value.
    """

    kind: str | None = None
    ignore: bool = False
    fields: dict[str, FieldPath] = Field(default_factory=dict)
    constants: dict[str, str | int | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one_thing(self) -> EventMapping:
        if self.ignore:
            if self.kind is not None:
                raise ValueError("has a kind and is ignored; remove one of the two")
            return self
        if self.kind is None:
            raise ValueError("has no kind; name one, or write `ignore: true`")
        check_kind(self.kind, told=(*self.fields, *self.constants))
        return self


class Mapping(Places):
    """A whole mapping file.

    `application_source`: the source whose application and job ids these are, if another than the
    connection's own, so that the touchpoints join its applications.
    """

    application_source: str | None = None
    events: dict[str, EventMapping] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_a_person(self) -> Mapping:
        for event_type, event in self.events.items():
            if not (self.person or event.person or event.ignore):
                raise ValueError(f"says nowhere whose event a {event_type} is; fill in `person`")
        return self


def check_kind(name: str, told: Collection[str]) -> None:
    """That a source may tell this kind by these of its own fields. Raises ValueError if not.

    A `label` may be left out: what has no kind here is called what its source calls it.
    """
    try:
        kind = touchpoint_class(name)
    except UnknownKind as error:
        raise ValueError(str(error)) from None
    if kind in CONCLUDED:
        raise ValueError(f"{name} is concluded by the engine, never told by a source")
    own = own_fields(kind)
    for field in told:
        if field not in own:
            known = ", ".join(own) or "none"
            raise ValueError(f"{name} has no field {field!r}; its own fields are: {known}")
    for field, info in own.items():
        if info.is_required() and field not in told and field != "label":
            raise ValueError(f"{name} needs {field}; say where it is under `fields`")


def own_fields(kind: type[Touchpoint]) -> dict[str, FieldInfo]:
    """The fields that a kind has beyond those of every touchpoint."""
    return {
        name: info
        for name, info in kind.model_fields.items()
        if name not in Touchpoint.model_fields
    }


@lru_cache(maxsize=256)
def time_fields(kind: type[Touchpoint]) -> frozenset[str]:
    """Those of a kind's own fields that are moments."""
    return frozenset(
        name for name, info in own_fields(kind).items() if _mentions_datetime(info.annotation)
    )


def _mentions_datetime(annotation: Any) -> bool:
    return annotation in (datetime, AwareDatetime) or any(
        _mentions_datetime(arg) for arg in get_args(annotation)
    )


@lru_cache(maxsize=256)
def text_fields(kind: type[Touchpoint]) -> frozenset[str]:
    """Those of a kind's own fields that are plain text: ids that come as numbers become text."""
    return frozenset(
        name
        for name, info in own_fields(kind).items()
        if info.annotation is str or str in get_args(info.annotation)
    )


_loaded: dict[Path, tuple[tuple[int, int], Mapping]] = {}


def load_mapping(path: Path) -> Mapping:
    """The mapping of a file, read again when the file has changed.

    So a mapping can be mended while the processes run, and dead letters redriven.
    Raises ConfigurationError that names file and field.
    """
    try:
        state = os.stat(path)
    except OSError as error:
        raise ConfigurationError(
            f"the mapping {path.name} cannot be read ({type(error).__name__})"
        ) from None
    seen = (state.st_mtime_ns, state.st_size)
    known = _loaded.get(path)
    if known is None or known[0] != seen:
        known = _loaded[path] = (seen, _read(path))
    return known[1]


def _read(path: Path) -> Mapping:
    called = f"the mapping {path.name}"
    document = read_yaml(path, called)
    if not isinstance(document, dict):
        raise ConfigurationError(f"{called} holds no fields; see the sample")
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"{called}, {first_fault(error)}") from None


def found_at(root: Any, path: str) -> list[Any]:
    """Everything a path leads to; an empty list when it leads nowhere. `None` is nothing."""
    here = [root]
    for step in path.split("."):
        here = [entry for one in here for entry in _step(one, step)]
    return [one for one in here if one is not None]


def _step(holder: Any, step: str) -> list[Any]:
    if isinstance(holder, dict):
        if step in holder:
            return [holder[step]]
        return list(holder.values()) if step == "*" else []
    if isinstance(holder, list):
        if step == "*":
            return holder
        if step.isascii() and step.isdigit() and int(step[:9]) < len(holder):
            return [holder[int(step[:9])]]
    return []


__all__ = [
    "EventMapping", "Mapping", "Places", "Zone", "check_kind", "found_at", "load_mapping",
    "text_fields", "time_fields",
]  # fmt: skip
