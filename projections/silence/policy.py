"""Policies: how long a silence may last, by what began it. They are data: one YAML file each.

A folder holds policies (`<name>.yaml`) and, in `calendars.yaml`, the calendars they name. Folders
are read in order; a policy or calendar of a later folder replaces one of the same name, so an
installation changes a default, or switches it off with `enabled: false`, without touching ours.

Which policy holds for a silence:

- *Ordinary* policies: the most specific one that matches, and only that. Conditions are compared
  in this order: job, stage, source, place, what began it. An exact name is more specific than a
  pattern (`Tech*`), a pattern more than no condition. Of equals the later folder wins, then the
  later name.
- *Statutory* policies (those with `statutory`): each one that matches, always, beside it.

Nothing on a silence says where the job is, so places belong to sources: `load_policies(…,
places={"greenhouse": "CA-ON"})`. A statute holds where its scope lists the source or the job, or
where the source's place lies in the statute's. With `everywhere: true` it also holds where the
place is not known; where it is known to be another, it never holds.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from journey.errors import ConfigurationError
from projections.silence.rows import SilenceRow
from projections.working_time import Calendar, Duration, Hours, WrongCalendar
from projections.yaml_parser import SafeLoader
from schemas.errors import UnknownKind
from schemas.registry import touchpoint_class

Level = Literal["nudge", "breach", "ghosted"]
LEVELS: tuple[Level, ...] = ("nudge", "breach", "ghosted")
"""From mild to grave: remind someone; the policy is broken; the candidate was left behind."""

DEFAULT_POLICIES = Path(__file__).parent / "policies"
"""The policies this product comes with."""

EXPLANATION_FIELDS = frozenset({"since", "due", "days", "began_kind", "stage"})
"""What an explanation may say. None of it is personal."""

CALENDARS_FILE = "calendars.yaml"

_REFERENCE = datetime.fromisoformat("2026-03-02T12:00:00+00:00")


class WrongPolicy(ConfigurationError):
    """A policy or calendar file does not say what it should; the text names file and field."""


# --- the words of a policy file -------------------------------------------------------------


def _kind(kind: str) -> str:
    try:
        touchpoint_class(kind)
    except UnknownKind as error:
        raise ValueError(str(error)) from None
    return kind


def _duration(written: object) -> object:
    return Duration.parse(written) if isinstance(written, str) else written


def _calendar(written: object, info: ValidationInfo) -> object:
    if not isinstance(written, str):
        return written
    calendars: Mapping[str, Calendar] = (info.context or {}).get("calendars", {})
    if written not in calendars:
        raise ValueError(f"no calendar is called {written!r}; there are: {_listed(calendars)}")
    return calendars[written]


def _safe_template(template: str) -> str:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"the sentence has a stray brace: {error}") from None
    for _, name, specification, conversion in parts:
        if name is not None and (name not in EXPLANATION_FIELDS or specification or conversion):
            known = ", ".join(f"{{{known}}}" for known in sorted(EXPLANATION_FIELDS))
            raise ValueError(f"the sentence may hold only {known}, not {{{name}}}")
    return template


Kind = Annotated[str, AfterValidator(_kind)]
Pattern = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Sentence = Annotated[str, Field(min_length=1), AfterValidator(_safe_template)]
WrittenDuration = Annotated[Duration, BeforeValidator(_duration), PlainSerializer(str)]
NamedCalendar = Annotated[
    Calendar, BeforeValidator(_calendar), PlainSerializer(lambda calendar: calendar.name)
]


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class AppliesTo(_Written):
    """On which silences an ordinary policy may be laid. What is left empty matches everything.

    `began_by`: kinds of the touchpoint that began the silence; `not_began_by`: kinds that rule
    the policy out. `stages`, `jobs`, `sources`: names or shell patterns; upper and lower case
    are one in stages, ids are taken as they came. `places`: ISO codes, `CA` or `CA-ON`.
    """

    began_by: tuple[Kind, ...] = ()
    not_began_by: tuple[Kind, ...] = ()
    stages: tuple[Pattern, ...] = ()
    jobs: tuple[Pattern, ...] = ()
    sources: tuple[Pattern, ...] = ()
    places: tuple[Pattern, ...] = ()

    def specificity(
        self,
        began_kind: str,
        stage: str | None,
        job_id: str | None,
        source: str,
        place: str | None,
    ) -> tuple[int, ...] | None:
        """How closely this fits a silence (greater is closer), or None if it does not."""
        if began_kind in self.not_began_by:
            return None
        if self.began_by and began_kind not in self.began_by:
            return None
        stages = tuple(pattern.casefold() for pattern in self.stages)
        scores = (
            _closeness(self.jobs, job_id),
            _closeness(stages, None if stage is None else stage.casefold()),
            _closeness(self.sources, source),
            _place_closeness(self.places, place),
            2 if self.began_by else 0,
        )
        return None if None in scores else tuple(score or 0 for score in scores)


class Levels(_Written):
    """After how long a silence becomes what. At least one; each later than the one before."""

    nudge: WrittenDuration | None = None
    breach: WrittenDuration | None = None
    ghosted: WrittenDuration | None = None


class Scope(_Written):
    """Where a statute is applied: listed sources and jobs, and with `everywhere` also where
    nobody said which place a source belongs to."""

    everywhere: bool = False
    sources: tuple[Pattern, ...] = ()
    jobs: tuple[Pattern, ...] = ()


class Statute(_Written):
    """What makes a policy law: its place (ISO code), the first day of its force, its scope.

    It covers what is counted from a moment on or after `in_force`, in the policy's zone.
    """

    place: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
    place_name: str
    in_force: date
    scope: Scope = Scope()

    def holds(self, job_id: str | None, source: str, place: str | None) -> bool:
        """Whether the statute holds for a source, its job, and its place if that is known."""
        if _closeness(self.scope.sources, source) and self.scope.sources:
            return True
        if self.scope.jobs and _closeness(self.scope.jobs, job_id):
            return True
        if place is None:
            return self.scope.everywhere
        return _lies_in(place, self.place)


class ExampleSilence(_Written):
    """A silence as an example writes it: only what matters."""

    began_kind: Kind
    since: AwareDatetime
    stage: str | None = None
    job_id: str | None = None
    source: str = "example"
    last_interview_at: AwareDatetime | None = None
    interviews: int = 0
    chases: int = 0

    def row(self) -> SilenceRow:
        """The open silence it stands for."""
        return SilenceRow(
            candidate_id=UUID(int=1),
            application_id="example",
            began_by=str(UUID(int=2)),
            **{name: getattr(self, name) for name in type(self).model_fields},
        )


class Standing(_Written):
    """Which level a silence has reached at a moment; none before the first."""

    at: AwareDatetime
    level: Level | None


class Example(_Written):
    """A silence and what the policy says about it. `journey rules test` runs these."""

    title: str
    silence: ExampleSilence
    applies: bool = True
    due: dict[Level, AwareDatetime] = Field(default_factory=dict)
    standing: tuple[Standing, ...] = ()

    @model_validator(mode="after")
    def _says_something(self) -> Example:
        if self.applies != bool(self.due):
            raise ValueError("an example either lists what is `due` or says `applies: false`")
        return self


class Policy(_Written):
    """How long a silence may last. See the module for which policy holds when."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    title: str
    enabled: bool = True
    severity: Literal["low", "medium", "high"] = "medium"
    applies_to: AppliesTo = AppliesTo()
    anchor: Literal["since", "last_interview"] = "since"
    """What is counted from: the silence's beginning, or the last interview if one was held."""
    calendar: NamedCalendar
    levels: Levels
    statutory: Statute | None = None
    source: Annotated[str, Field(min_length=1)]
    """Where the figures come from; a default of our own says so."""
    explanation: Sentence
    examples: Annotated[tuple[Example, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _levels_in_order(self) -> Policy:
        if not self.level_names:
            raise ValueError("levels: give at least one of nudge, breach, ghosted")
        due = self.calendar.add_each(_REFERENCE, self.durations)
        if any(later <= earlier for earlier, later in pairwise(due)):
            raise ValueError(f"levels: {', '.join(self.level_names)} must come one after another")
        return self

    @cached_property
    def level_names(self) -> tuple[Level, ...]:
        """The levels this policy has, from mild to grave."""
        return tuple(level for level in LEVELS if getattr(self.levels, level) is not None)

    @cached_property
    def durations(self) -> tuple[Duration, ...]:
        """The durations of `level_names`."""
        return tuple(getattr(self.levels, level) for level in self.level_names)

    @cached_property
    def from_moment(self) -> datetime | None:
        """The first moment of its force, in UTC; None for an ordinary policy."""
        if self.statutory is None:
            return None
        return self.calendar.at_local(self.statutory.in_force, time(0))


def _closeness(patterns: tuple[str, ...], value: str | None) -> int | None:
    """0 without a condition, 2 for an exact name, 1 for a pattern, None if nothing fits."""
    if not patterns:
        return 0
    if value is None:
        return None
    if value in patterns:
        return 2
    return 1 if any(fnmatchcase(value, pattern) for pattern in patterns) else None


def _lies_in(place: str, wider: str) -> bool:
    return place == wider or place.startswith(f"{wider}-")


def _place_closeness(places: tuple[str, ...], place: str | None) -> int | None:
    if not places:
        return 0
    if place is None or not any(_lies_in(place, wider) for wider in places):
        return None
    return 2 if place in places else 1


# --- all policies of an installation --------------------------------------------------------

_CACHED_ANSWERS = 100_000


class PolicySet:
    """Policies in force, and quick answers to which of them hold for a silence.

    Answers are cached by what the conditions can see, so most silences cost one look-up.
    `calendars` are those the folders define, by name; rules may measure by them too.
    """

    def __init__(
        self,
        policies: Iterable[Policy],
        places: Mapping[str, str] | None = None,
        calendars: Mapping[str, Calendar] | None = None,
    ) -> None:
        enabled = [policy for policy in policies if policy.enabled]
        self.policies: tuple[Policy, ...] = tuple(enabled)
        self.places: dict[str, str] = dict(places or {})
        self.calendars: dict[str, Calendar] = dict(calendars or {})
        self._by_name = {policy.name: policy for policy in enabled}
        self._looks_at_jobs = any(
            policy.applies_to.jobs or (policy.statutory and policy.statutory.scope.jobs)
            for policy in enabled
        )
        self._looks_at_stages = any(policy.applies_to.stages for policy in enabled)
        self._answers: dict[tuple[str, str | None, str | None, str], tuple[Policy, ...]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_answers": {}}

    @property
    def fingerprint(self) -> str:
        """Changes when a policy, calendar or place changes what is due: deadlines are then stale.

        Examples and words about a policy do not count.
        """
        digest = hashlib.sha256()
        for policy in self.policies:
            words = {"title", "examples", "explanation", "source"}
            digest.update(policy.model_dump_json(exclude=words).encode())
            digest.update(repr(policy.calendar).encode())
        digest.update(repr(sorted(self.places.items())).encode())
        return digest.hexdigest()

    def named(self, name: str) -> Policy | None:
        """The policy of a name, if it is in force."""
        return self._by_name.get(name)

    def matching(
        self, began_kind: str, stage: str | None, job_id: str | None, source: str
    ) -> tuple[Policy, ...]:
        """The policies that hold for such a silence: the ordinary one, then the statutes."""
        key = (
            began_kind,
            stage if self._looks_at_stages else None,
            job_id if self._looks_at_jobs else None,
            source,
        )
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= _CACHED_ANSWERS:
                self._answers.clear()
            answer = self._answers[key] = self._match(*key)
        return answer

    def _match(
        self, began_kind: str, stage: str | None, job_id: str | None, source: str
    ) -> tuple[Policy, ...]:
        place = self.places.get(source)
        ordinary: list[tuple[tuple[int, ...], int]] = []
        statutes: list[Policy] = []
        for order, policy in enumerate(self.policies):
            fit = policy.applies_to.specificity(began_kind, stage, job_id, source, place)
            if fit is None:
                continue
            if policy.statutory is None:
                ordinary.append((fit, order))
            elif policy.statutory.holds(job_id, source, place):
                statutes.append(policy)
        best = [self.policies[max(ordinary)[1]]] if ordinary else []
        return (*best, *statutes)


# --- reading the files ----------------------------------------------------------------------


class _Loader(SafeLoader):
    """YAML in which `ON` is Ontario and `NO` Norway, and a key written twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: a key must be a word")
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: {key.value!r} is written twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL or first in set("tTfF")]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}


class _CalendarFile(_Written):
    """A calendar as written: weekdays name their hours, `weekdays` stands for Monday to Friday."""

    zone: str
    country: str | None = None
    subdivision: str | None = None
    hours: dict[str, tuple[str, ...]] = {"weekdays": ("09:00-17:00",)}


_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _minute(written: str) -> int:
    hour, _, minute = written.strip().partition(":")
    if not (hour.isdecimal() and (minute or "0").isdecimal() and int(minute or 0) < 60):
        raise ValueError(f"{written!r} is no time of day; write 09:00")
    return int(hour) * 60 + int(minute or 0)


def _hours(spans: tuple[str, ...]) -> Hours:
    parts = [span.partition("-") for span in spans]
    return tuple((_minute(begin), _minute(end)) for begin, _, end in parts)


def _week(hours: dict[str, tuple[str, ...]]) -> tuple[Hours, ...]:
    if unknown := hours.keys() - {*_WEEKDAYS, "weekdays"}:
        raise ValueError(f"{', '.join(sorted(unknown))} is no weekday")
    usual = hours.get("weekdays", ())
    return tuple(
        _hours(hours.get(day, usual if index < 5 else ())) for index, day in enumerate(_WEEKDAYS)
    )


def load_policies(
    folders: Sequence[Path] = (DEFAULT_POLICIES,), places: Mapping[str, str] | None = None
) -> PolicySet:
    """The policies of these folders; later ones replace earlier ones of the same name.

    `places`: source → ISO code of the place its jobs are in, as far as known. Raises WrongPolicy.
    """
    calendars: dict[str, Calendar] = {}
    for folder in folders:
        if not folder.is_dir():
            raise WrongPolicy(f"{folder}: there is no such folder of policies")
        calendars.update(_read_calendars(folder / CALENDARS_FILE))
    policies: dict[str, Policy] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.yaml")):
            if file.name != CALENDARS_FILE:
                policy = read_policy(file, calendars)
                policies.pop(policy.name, None)
                policies[policy.name] = policy
    return PolicySet(policies.values(), places, calendars)


def read_policy(file: Path, calendars: Mapping[str, Calendar]) -> Policy:
    """One policy from its file. Raises WrongPolicy, naming the file and the field."""
    written = _read(file)
    try:
        policy = Policy.model_validate(written, context={"calendars": calendars})
    except ValidationError as error:
        raise WrongPolicy(_told(file, error)) from None
    if policy.name != file.stem:
        raise WrongPolicy(f"{file}: name: is {policy.name!r}, but the file is {file.name}")
    return policy


def _read_calendars(file: Path) -> dict[str, Calendar]:
    if not file.exists():
        return {}
    calendars: dict[str, Calendar] = {}
    for name, written in _read(file).items():
        try:
            told = _CalendarFile.model_validate(written)
            week = _week(told.hours)
            calendars[name] = Calendar(name, told.zone, week, told.country, told.subdivision)
        except ValidationError as error:
            raise WrongPolicy(_told(file, error, name)) from None
        except WrongCalendar as error:
            raise WrongPolicy(f"{file}: {error}") from None
        except ValueError as error:
            raise WrongPolicy(f"{file}: {name}.hours: {error}") from None
    return calendars


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open(encoding="utf-8") as opened:
            written = yaml.load(opened, _Loader)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise WrongPolicy(f"{file}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(written, dict):
        raise WrongPolicy(f"{file}: holds no fields")
    return written


def _told(file: Path, error: ValidationError, *within: str) -> str:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        at = ".".join(str(part) for part in (*within, *fault["loc"]))
        message = fault["msg"].removeprefix("Value error, ")
        lines.append(f"{at}: {message}" if at else message)
    return f"{file}: {'; '.join(lines)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
