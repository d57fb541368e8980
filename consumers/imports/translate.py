"""Rows of a log into statements, by a map.

An event without an id of its own is known by case, activity and time (in UTC, to the microsecond)
and, where several share all three, by its place among them. So the same log as XES and as CSV,
read twice or exported anew with more rows, gives the same touchpoints.

What every row of an activity, a case or a person has in common is worked out once: a log of a
million events leaves ten microseconds for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from pydantic import ValidationError

from consumers.ats_adapters.mapping import time_fields
from consumers.imports.log_file import BrokenRow
from consumers.imports.log_map import IGNORE, LogMap, Meaning
from consumers.imports.moments import Moments, When
from schemas.event import Actor, Touchpoint
from schemas.identifiers import PersonKey, touchpoint_id
from schemas.personal import Personal
from schemas.registry import touchpoint_class
from schemas.statement import Statement

_MOST_CACHED = 50_000
_LONGEST_ID = 500
_LONGEST_LABEL = 200
_PRECISIONS = ("day", "minute", "instant")

Key = int | str
Translate = Callable[[Any], Sequence[Statement]]


@dataclass(slots=True)
class _Activity:
    """What one activity means, with everything its touchpoints share."""

    name: str
    kind: type[Touchpoint] | None
    values: dict[str, Any]
    fields: tuple[tuple[str, Key], ...]
    by: Key | None = None
    values_of: dict[str, _Activity] = field(default_factory=dict)
    kind_name: str = field(init=False, default="")
    touchpoint: Callable[[dict[str, Any]], Touchpoint] = field(init=False)

    def __post_init__(self) -> None:
        # At hand for each row: what is asked of a class costs several times what a slot does.
        if self.kind is not None:
            self.kind_name, self.touchpoint = self.kind.KIND, self.kind.trusted

    def by_value(self, cells: Any) -> _Activity:
        """What it means in this row, where another column decides."""
        return self.values_of.get(cells[self.by], self)


@dataclass(slots=True)
class _Person:
    application_id: str | None
    keys: tuple[PersonKey, ...]


class Translator:
    """Makes statements of the rows of one log, in the order of the file."""

    def __init__(self, log_map: LogMap, key: Callable[[str], Key]) -> None:
        """`key` is the log file's: what its rows take for a column."""
        self._map = log_map
        self._key = key

        def maybe(column: str | None) -> Key | None:
            return None if column is None else key(column)

        self._case = maybe(log_map.case)
        self._candidate = maybe(log_map.candidate)
        self._event_id = maybe(log_map.event_id)
        self._activity = maybe(log_map.activity)
        self._time = maybe(log_map.time)
        self._precision = maybe(log_map.precision)
        self._job = maybe(log_map.job)
        self._stage = maybe(log_map.stage)
        self._actor = maybe(log_map.actor)
        self._lifecycle = maybe(log_map.lifecycle.column if log_map.lifecycle else None)
        self._kept = frozenset(log_map.lifecycle.keep) if log_map.lifecycle else frozenset()
        self._named = [(namespace, key(column)) for namespace, column in log_map.person.items()]
        self._has_personal = bool(log_map.personal.columns())
        self._has_extras = any(key is not None for key in (self._precision, self._job, self._stage))
        self._moments = Moments(log_map.time_zone, log_map.time_formats)
        self._activities: dict[str, _Activity] = {}
        self._people: dict[str, _Person] = {}
        self._actors: dict[str, Actor] = {}
        self._places = _Places()
        self._steps = [
            (self._meaning(column, meaning), key(column))
            for column, meaning in log_map.steps.items()
        ]
        self.other: dict[str, int] = {}
        """Activities that the map does not name, with how many rows have them."""
        self.translate = self._wide_translator() if self._steps else self._row_translator()

    def __call__(self, cells: Any) -> Sequence[Statement]:
        """What a row says: usually one statement, none when it is ignored, several if wide.

        Raises BrokenRow with a reason that is never personal.
        """
        return self.translate(cells)

    def _row_translator(self) -> Translate:
        """`translate` for rows that are an event each, with everything it needs at hand."""
        activity_key, time_key = self._activity, self._time
        lifecycle, kept = self._lifecycle, self._kept
        activities, other = self._activities, self.other
        read, statement = self._moments.read, self._statement_maker()

        def translate(cells: Any) -> Sequence[Statement]:
            if lifecycle is not None and cells[lifecycle] not in kept:
                return ()
            name = cells[activity_key]
            activity = activities.get(name) or self._new_activity(name)
            if name in other:
                other[name] += 1
            if activity.by is not None:
                activity = activity.by_value(cells)
            if activity.kind is None:
                return ()
            text = cells[time_key]
            return (statement(cells, activity, text, read(text)),)

        return translate

    def _wide_translator(self) -> Translate:
        """`translate` for rows that are a case each, with a column a step."""
        read, statement = self._moments.read, self._statement_maker()

        def translate(cells: Any) -> Sequence[Statement]:
            said = []
            for step, key in self._steps:
                activity = step.by_value(cells) if step.by is not None else step
                if activity.kind is not None and (text := cells[key].strip()):
                    said.append(statement(cells, activity, text, read(text)))
            return said

        return translate

    def _statement_maker(self) -> Callable[[Any, _Activity, str, When], Statement]:
        source, case_key, event_id_key = self._map.source, self._case, self._event_id
        people, place_of, person_of = self._people, self._places.of, self._person
        has_extras, has_personal = self._has_extras, self._has_personal
        actor_key, actors = self._actor, self._actors

        def statement(cells: Any, activity: _Activity, text: str, when: When) -> Statement:
            case = cells[case_key] if case_key is not None else ""
            person = people.get(case) or person_of(cells, case)
            at, offset_minutes, quality, precision = when
            if event_id_key is None:
                event_id = place_of(f"{case}/{activity.name}/{_canonical(text, when)}")
            else:
                event_id = _checked_text(cells[event_id_key], "event id")
            values = activity.values.copy()
            values["touchpoint_id"] = touchpoint_id(source, event_id, activity.kind_name)
            values["application_id"] = person.application_id
            values["occurred_at"] = at
            values["occurred_offset_minutes"] = offset_minutes
            values["occurred_quality"] = quality
            values["occurred_precision"] = precision
            values["source_event_id"] = event_id
            if actor_key is not None and (name := cells[actor_key]):
                values["actor"] = actors.get(name) or self._new_actor(name)
            if has_extras:
                self._fill(values, cells)
            if activity.fields:
                touchpoint = self._with_fields(values, activity, cells)
            else:
                touchpoint = activity.touchpoint(values)
            if has_personal:
                return Statement(touchpoint, person.keys, self._personal(cells))
            return Statement(touchpoint, person.keys)

        return statement

    # --- what rows share --------------------------------------------------------------------

    def _new_activity(self, name: str) -> _Activity:
        if not name.strip():
            raise BrokenRow("it has no activity")
        if "\0" in name or len(name) > _LONGEST_LABEL:
            raise BrokenRow(f"its activity is longer than {_LONGEST_LABEL} characters, or binary")
        meaning = self._map.activities.get(name)
        if meaning is None:
            meaning = self._map.other
            if len(self.other) < _MOST_CACHED:
                self.other[name] = 0
        if len(self._activities) >= _MOST_CACHED:
            self._activities.clear()
        activity = self._activities[name] = self._meaning(name, meaning)
        return activity

    def _meaning(self, name: str, meaning: Meaning) -> _Activity:
        activity = self._plain_meaning(name, meaning)
        if meaning.by is not None:
            activity.by = self._key(meaning.by)
            activity.values_of = {
                value: self._meaning(name, within) for value, within in meaning.values.items()
            }
        return activity

    def _plain_meaning(self, name: str, meaning: Meaning) -> _Activity:
        if meaning.kind == IGNORE:
            return _Activity(name, None, {}, ())
        kind = touchpoint_class(meaning.kind)
        constants: dict[str, Any] = {
            "source": self._map.source,
            "channel": self._map.channel,
            "stage": meaning.stage,
            **meaning.constants,
        }
        if "label" in kind.model_fields and "label" not in meaning.constants:
            constants["label"] = name
        fields = tuple((field, self._key(column)) for field, column in meaning.fields.items())
        return _Activity(name, kind, kind.blank(**constants), fields)

    def _person(self, cells: Any, case: str) -> _Person:
        source = self._map.source
        if self._case is not None:
            _checked_id(case, "case")
        keys = []
        if self._candidate is not None:
            keys.append(
                PersonKey(f"{source}:candidate", _checked_id(cells[self._candidate], "candidate"))
            )
        elif self._case is not None:
            keys.append(PersonKey(f"{source}:candidate", case))
        shared = self._candidate is None and not self._named and self._case is not None
        for namespace, key in self._named:
            if value := cells[key].strip():
                keys.append(PersonKey(namespace, value))
        if not keys:
            raise BrokenRow("it names nobody: every column of `person` is empty")
        person = _Person(f"{source}:{case}" if self._case is not None else None, tuple(keys))
        # Where a row tells more of its person than the case, the next row may tell otherwise.
        if shared:
            if len(self._people) >= _MOST_CACHED:
                self._people.clear()
            self._people[case] = person
        return person

    # --- what only some maps tell -----------------------------------------------------------

    def _fill(self, values: dict[str, Any], cells: Any) -> None:
        if self._precision is not None and (told := cells[self._precision]):
            if told not in _PRECISIONS:
                raise BrokenRow("its precision is none of day, minute and instant")
            values["occurred_precision"] = told
        if self._job is not None and (job := cells[self._job]):
            values["job_id"] = f"{self._map.source}:{_checked_id(job, 'job')}"
        if self._stage is not None and (stage := cells[self._stage]):
            if "\0" in stage or len(stage) > _LONGEST_LABEL:
                raise BrokenRow(f"its stage is longer than {_LONGEST_LABEL} characters, or binary")
            values["stage"] = stage

    def _new_actor(self, name: str) -> Actor:
        if len(self._actors) >= _MOST_CACHED:
            self._actors.clear()
        actor = self._actors[name] = Actor(type="person", id=self._opaque(name))
        return actor

    def _opaque(self, name: str) -> str:
        """Who did it: the log's own id, or a digest where that is a name or an address."""
        if "@" not in name and not any(character.isspace() for character in name):
            return _checked_id(name, "actor")
        digest = blake2b(f"{self._map.source}\x1f{name}".encode(), digest_size=8).hexdigest()
        return f"digest:{digest}"

    def _with_fields(self, values: dict[str, Any], activity: _Activity, cells: Any) -> Touchpoint:
        kind = activity.kind
        assert kind is not None
        times = time_fields(kind)
        for name, key in activity.fields:
            if text := cells[key].strip():
                values[name] = self._moments.read(text)[0] if name in times else text
        try:
            return kind.model_validate(values)
        except ValidationError as error:
            # Only place and message: the input may be personal.
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise BrokenRow(f"its {field} is wrong: {first['msg']}") from None

    def _personal(self, cells: Any) -> Personal | None:
        named = self._map.personal

        def told(columns: Sequence[str]) -> tuple[str, ...]:
            return tuple(text for column in columns if (text := cells[self._key(column)].strip()))

        personal = Personal(
            name=(cells[self._key(named.name)].strip() or None) if named.name else None,
            emails=told(named.emails),
            phones=told(named.phones),
            addresses=told(named.addresses),
            links=told(named.links),
            text={
                name: text
                for name, column in named.text.items()
                if (text := cells[self._key(column)].strip())
            },
        )
        return None if personal.is_empty() else personal


class _Places:
    """Tells events apart that share case, activity and time, by their place among them.

    Only the newest some hundred thousand are remembered: such events stand near each other, since
    logs are in the order of cases or of times. Two generations, so that forgetting costs nothing.
    """

    def __init__(self) -> None:
        self._newer: dict[str, int] = {}
        self._older: dict[str, int] = {}

    def of(self, event: str) -> str:
        seen = self._newer.get(event)
        if seen is None:
            seen = self._older.get(event, 0)
            if len(self._newer) >= _MOST_CACHED:
                self._older, self._newer = self._newer, {}
        self._newer[event] = seen + 1
        return f"{event}/{seen + 1}" if seen else event


def _canonical(text: str, when: When) -> str:
    """The moment in UTC as one text, whatever text told it."""
    # The usual cases, taken from the text itself: formatting costs as much as all the rest.
    ending = _ENDINGS.get(text[19:])
    if ending is None or text[7] != "-" or when[1]:
        return when[0].isoformat().removesuffix("+00:00")
    return text[:19] + ending if text[10] == "T" else f"{text[:10]}T{text[11:19]}{ending}"


_ENDINGS = {
    fraction + zone: f"{fraction}000" if fraction.strip(".0") else ""
    for fraction in ("", *(f".{thousandth:03}" for thousandth in range(1_000)))
    for zone in ("Z", "+00:00")
}
"""What follows a second of UTC, to the thousandth: as it is told, and as we write it."""


def _checked_id(text: str, what: str) -> str:
    if "@" in text:
        raise BrokenRow(
            f"its {what} looks like an e-mail address; ids may not be personal: "
            "name that column under `person` as `email`, and another one here"
        )
    return _checked_text(text, what)


def _checked_text(text: str, what: str) -> str:
    if not text:
        raise BrokenRow(f"its {what} is empty")
    if "\0" in text or len(text) > _LONGEST_ID:
        raise BrokenRow(f"its {what} is longer than {_LONGEST_ID} characters, or binary")
    return text


__all__ = ["Translate", "Translator"]
