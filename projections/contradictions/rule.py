"""What a contradiction rule is: one YAML file, read strictly, with its own examples inside.

A rule takes one *template* of design §10 and fills in its roles with *selectors*:

    rule: offer_after_rejection         # = the file's name
    version: 1
    title: Offer after a rejection
    template: not_succession            # first … then …, unless …
    scope: application                  # or candidate: over all applications of the journey
    severity: high                      # low, medium, high
    reason: why this hurts, and where that is known from
    first: [rejection_decided, rejection_sent]
    then: offer_sent                    # a kind, a list of kinds, or a list of mappings:
    unless:                             #   {kinds: […], traits: {…}, where: {…}, after: anchor}
      - kinds: application_reopened
    explain: "An offer went out {gap} after {first_kind}."
    examples: […]                       # at least one positive, one negative, one borderline

Built templates and their roles:

- `not_succession`: `first`, `then`, `unless`. Some `then` later than the *first* `first`, with no
  `unless` between. `first: {silence: 5 working days}` takes the neighbouring silence fold instead
  of a touchpoint: nothing the candidate received for that long.
- `response`: `first` must be followed by `by` within `within`, counted from `anchor` (fields of
  `first`, such as `ends_at`; else from when it happened). `unless` makes it moot, `replaced_by`
  hands it over to a newer one, `violated_by` breaks it at once, `beforehand` says what settles it
  in advance, `match` names the field by which two touchpoints belong together: they do if it is
  equal, missing on either side, or given by different sources, whose ids tell nothing apart.
- `requires`: a touchpoint of `of` must carry `field`.

`precedence`, `at_most` and `conflict` are planned: a rule that names one is refused with a
sentence that says so. `docs/decisions/0005-contradiction-rules.md` writes every rule of design
§10 in this format.

Conditions (`where`) name fields of `projections.fact.Fact`; their tests are a closed list.
Nothing here is evaluated as code: `explain` takes a fixed set of names and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from journey.errors import ConfigurationError
from projections.working_time import Duration
from projections.yaml_parser import SafeLoader
from schemas.event import Direction, Lifecycle, Turn
from schemas.registry import TOUCHPOINTS, TRAITS

Severity = Literal["low", "medium", "high"]
Scope = Literal["application", "candidate"]
Verdict = Literal["satisfied", "pending", "mendable", "violated"]
FieldType = Literal["text", "number", "flag", "moment"]

PACKS = Path(__file__).parent / "packs"
"""The folder of packs that come with the program; a pack is a folder of rules."""

FIRST_PACK = PACKS / "candidate_reports"
"""What candidates report: the pack that is on unless settings name others."""

BUILT = ("not_succession", "response", "requires")
PLANNED = ("precedence", "at_most", "conflict")

FIELDS: dict[str, FieldType] = {
    "source": "text",
    "occurred_precision": "text",
    "occurred_quality": "text",
    "application_id": "text",
    "job_id": "text",
    "stage": "text",
    "channel": "text",
    "starts_at": "moment",
    "ends_at": "moment",
    "due_at": "moment",
    "time_zone": "text",
    "interview_id": "text",
    "offer_id": "text",
    "survey_id": "text",
    "reason": "text",
    "what": "text",
    "label": "text",
    "score": "number",
    "asks": "flag",
}
"""What a condition, `match`, `anchor` or `field` may name, and what kind of value it holds."""

EXPLAIN_FIELDS: dict[str, frozenset[str]] = {
    "not_succession": frozenset(
        {"first_kind", "first_at", "then_kind", "then_at", "gap", "silent_since", "application_id"}
    ),
    "response": frozenset(
        {
            "first_kind", "first_at", "then_kind", "then_at", "anchor_at", "due_at", "within",
            "until", "application_id",
        }
    ),
    "requires": frozenset({"then_kind", "then_at", "field", "application_id"}),
}  # fmt: skip
"""Template → the names its `explain` may use, each in braces."""


class RuleError(ConfigurationError):
    """A rule file is not a rule; the text names the file, the field and what is wrong."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


# --- conditions and selectors ---------------------------------------------------------------


class Condition(_Strict):
    """Tests on one field; all given ones must hold.

    `stage: onsite` is short for `{equals: onsite}`; `missing` and `present` are short for
    `{present: false}` and `{present: true}`. A missing field fails every test but those that say
    `not_equals`, `none_of` or `present: false`.
    """

    present: bool | None = None
    equals: str | bool | int | None = None
    not_equals: str | bool | int | None = None
    one_of: tuple[str | bool | int, ...] | None = None
    none_of: tuple[str | bool | int, ...] | None = None
    greater_than: int | None = None
    at_least: int | None = None
    less_than: int | None = None
    at_most: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        if given in ("missing", "present"):
            return {"present": given == "present"}
        if isinstance(given, str | bool | int):
            return {"equals": given}
        return given

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if not self.tests():
            raise ValueError("names no test; write for example `missing` or {one_of: [a, b]}")
        return self

    def tests(self) -> dict[str, Any]:
        """The tests given: name → value."""
        return self.model_dump(exclude_none=True)


class TraitCondition(_Strict):
    """Kinds chosen by what they mean (design §5), so that a new kind joins by itself."""

    direction: Annotated[tuple[Direction, ...], BeforeValidator(_as_list)] | None = None
    turn: Annotated[tuple[Turn, ...], BeforeValidator(_as_list)] | None = None
    lifecycle: Annotated[tuple[Lifecycle, ...], BeforeValidator(_as_list)] | None = None
    candidate_sees: bool | None = None
    answers: bool | None = None

    def kinds(self) -> list[str]:
        """Every registered kind whose traits fit all that is given."""
        return [kind for kind, traits in TRAITS.items() if self._fits(traits)]

    def _fits(self, traits: Any) -> bool:
        for name in ("direction", "turn", "lifecycle"):
            wanted = getattr(self, name)
            if wanted is not None and getattr(traits, name) not in wanted:
                return False
        for name in ("candidate_sees", "answers"):
            wanted = getattr(self, name)
            if wanted is not None and getattr(traits, name) is not wanted:
                return False
        return True


class Selector(_Strict):
    """Which touchpoints fill a role: kinds (or traits), and conditions on their fields.

    `after: anchor` (response only) lets a touchpoint count once the anchor has passed: a
    decision says that an interview took place only when it comes after its end.
    """

    kinds: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    traits: TraitCondition | None = None
    where: dict[str, Condition] = Field(default_factory=dict)
    after: Literal["first", "anchor"] = "first"

    @field_validator("kinds")
    @classmethod
    def _known_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if kind not in TOUCHPOINTS:
                raise ValueError(f"no touchpoint kind is called {kind!r}{_near(kind, TOUCHPOINTS)}")
        return kinds

    @model_validator(mode="after")
    def _fits_together(self) -> Selector:
        if bool(self.kinds) == (self.traits is not None):
            raise ValueError("needs either kinds or traits")
        for name, condition in self.where.items():
            _check_field(name, self.chosen(), "where: ")
            _check_tests(name, condition)
        return self

    def chosen(self) -> list[str]:
        """The kinds it means, traits resolved."""
        return list(self.kinds) if self.traits is None else self.traits.kinds()


def _as_selectors(given: Any) -> Any:
    """A kind, a mapping, or a list of both → a list of mappings, the plain kinds in the first."""
    if isinstance(given, str | dict):
        given = [given]
    if not isinstance(given, list | tuple):
        return given
    plain = [one for one in given if isinstance(one, str)]
    selectors: list[Any] = [{"kinds": plain}] if plain else []
    return selectors + [one for one in given if not isinstance(one, str)]


Selectors = Annotated[tuple[Selector, ...], BeforeValidator(_as_selectors), Field(min_length=1)]


def _near(word: str, words: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, words, n=3)
    return f"; did you mean {', '.join(near)}?" if near else ""


def _check_field(name: str, kinds: Iterable[str], place: str = "") -> None:
    """Raises ValueError for a field no rule may name, or that one of the kinds does not have."""
    if name not in FIELDS:
        raise ValueError(f"{place}no field is called {name!r}{_near(name, FIELDS)}")
    for kind in kinds:
        if name not in TOUCHPOINTS[kind].model_fields:
            raise ValueError(f"{place}{kind} has no field {name!r}")


def _check_tests(name: str, condition: Condition) -> None:
    """Raises ValueError for a test that the field's values cannot meet."""
    wanted: dict[FieldType, type] = {"text": str, "number": int, "flag": bool}
    for test, value in condition.tests().items():
        if test == "present":
            continue
        ordering = test in ("greater_than", "at_least", "less_than", "at_most")
        if FIELDS[name] == "moment" or (ordering and FIELDS[name] != "number"):
            raise ValueError(f"where: {name} holds a {FIELDS[name]}, not for {test}")
        for one in value if isinstance(value, tuple) else (value,):
            if type(one) is not wanted[FIELDS[name]]:
                raise ValueError(f"where: {name} holds a {FIELDS[name]}; {test}: {one!r}")


# --- examples -------------------------------------------------------------------------------


def _aware(given: Any) -> Any:
    if isinstance(given, str):
        moment = datetime.fromisoformat(given)
        if moment.tzinfo is None and len(given) > 10:
            raise ValueError(f"the time {given!r} has no zone; end it with Z or an offset")
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return given


ExampleTime = Annotated[datetime, BeforeValidator(_aware)]
"""ISO 8601 text with a zone; a date alone is midnight UTC."""


class ExampleTouchpoint(_Strict):
    """One line of an example: `2026-01-05T10:00Z survey_sent survey_id=s1`, or a mapping.

    A date alone is a day-only fact. A touchpoint belongs to application `a1` unless it says
    otherwise; `application_id=` (nothing after it) or null leaves it without one.
    """

    at: ExampleTime
    precision: Literal["instant", "minute", "day"] = "instant"
    kind: str
    fields: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_line(cls, given: Any) -> Any:
        if isinstance(given, str):
            at, _, rest = given.partition(" ")
            kind, *pairs = rest.split()
            given = {"at": at, "kind": kind}
            for pair in pairs:
                name, found, value = pair.partition("=")
                if not found:
                    raise ValueError(f"{pair!r} is not field=value")
                given[name] = value or None
        if not isinstance(given, dict):
            raise ValueError("write `TIME KIND [field=value …]` or a mapping with at and kind")
        own = {name: given[name] for name in ("at", "kind", "precision") if name in given}
        if isinstance(own.get("at"), str) and len(own["at"]) == 10:
            own.setdefault("precision", "day")
        own["fields"] = {name: value for name, value in given.items() if name not in own}
        return own

    @model_validator(mode="after")
    def _fits_its_kind(self) -> ExampleTouchpoint:
        if self.kind not in TOUCHPOINTS:
            raise ValueError(f"no touchpoint kind is called {self.kind!r}")
        for name, value in self.fields.items():
            _check_field(name, [self.kind])
            self.fields[name] = None if value is None else _READ[FIELDS[name]](value)
        return self


def _read_text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"{given!r} is no text; write it in quotes")
    return given


def _read_number(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise ValueError(f"{given!r} is no whole number")
    return int(given)


def _read_flag(given: Any) -> bool:
    if given not in (True, False, "true", "false"):
        raise ValueError(f"{given!r} is neither true nor false")
    return given in (True, "true")


def _read_moment(given: Any) -> Any:
    return _aware(_read_text(given))


_READ: dict[FieldType, Callable[[Any], Any]] = {
    "text": _read_text,
    "number": _read_number,
    "flag": _read_flag,
    "moment": _read_moment,
}


class Example(_Strict):
    """A short journey and what the rule must say of it at `now` (else: at its last touchpoint).

    `silences` gives the neighbouring fold's open silences (application → since) all along.
    `expect` is the worst verdict of the rule's findings; `findings` is how many there are, mended
    ones included; `evidence` names the worst one's touchpoints by their place in the journey,
    from 1; `since`, `until` and `due` are its times.
    """

    name: str = Field(min_length=1)
    shows: Literal["positive", "negative", "borderline"]
    journey: tuple[ExampleTouchpoint, ...] = Field(min_length=1)
    silences: dict[str, ExampleTime] = Field(default_factory=dict)
    now: ExampleTime | None = None
    expect: Verdict
    findings: int | None = None
    evidence: tuple[int, ...] | None = None
    since: ExampleTime | None = None
    until: ExampleTime | None = None
    due: ExampleTime | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Example:
        if self.shows == "negative" and self.expect != "satisfied":
            raise ValueError("a negative example expects `satisfied`")
        if self.shows == "positive" and self.expect == "satisfied" and not self.findings:
            raise ValueError("a positive example expects a finding")
        if self.expect == "pending" and self.due is None:
            raise ValueError("a pending verdict is expected with its `due` time")
        if any(not 1 <= place <= len(self.journey) for place in self.evidence or ()):
            raise ValueError("evidence names a place that the journey does not have")
        return self


# --- rules ----------------------------------------------------------------------------------


def _parse_duration(given: Any) -> Any:
    if isinstance(given, Duration):
        return given
    if not isinstance(given, str):
        raise ValueError("write a number and a unit, such as `5 working days`")
    return Duration.parse(given)


Window = Annotated[Duration, BeforeValidator(_parse_duration)]


class RuleBase(_Strict):
    """What every rule says, whatever its template."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    rule: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    title: str = Field(min_length=1)
    template: str
    scope: Scope
    severity: Severity
    reason: str = Field(min_length=1)
    source: str | None = None
    calendar: str = "default"
    enabled: bool = True
    explain: str
    examples: tuple[Example, ...] = ()

    @property
    def windows(self) -> tuple[Duration, ...]:
        """The durations it measures, for a check that the calendar it names is there."""
        return ()

    @model_validator(mode="after")
    def _has_examples(self, info: ValidationInfo) -> RuleBase:
        if info.context and not info.context.get("examples", True):
            return self
        shown = {example.shows for example in self.examples}
        for wanted in ("positive", "negative", "borderline"):
            if wanted not in shown:
                raise ValueError(f"examples: there is no {wanted} one")
        names = [example.name for example in self.examples]
        if len(set(names)) < len(names):
            raise ValueError("examples: two have the same name")
        return self

    def _check_sentence(self, field: str, sentence: str) -> None:
        allowed = EXPLAIN_FIELDS[self.template]
        try:
            parts = list(Formatter().parse(sentence))
        except ValueError as error:
            raise ValueError(f"{field}: {error}; braces hold one name each") from None
        for _, name, spec, conversion in parts:
            if name is None:
                continue
            if name not in allowed or spec or conversion:
                raise ValueError(
                    f"{field}: {{{name}}} is not a name this template explains with;"
                    f" it has {', '.join(sorted(allowed))}"
                )

    @model_validator(mode="after")
    def _explains_itself(self) -> RuleBase:
        self._check_sentence("explain", self.explain)
        return self


class SilenceFirst(_Strict):
    """`first: {silence: 5 working days}`: nothing the candidate received for that long."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    silence: Window


def _as_first(given: Any) -> Any:
    return given if _first_tag(given) == "<silence>" else _as_selectors(given)


def _first_tag(given: Any) -> str:
    is_silence = isinstance(given, SilenceFirst) or (isinstance(given, dict) and "silence" in given)
    return "<silence>" if is_silence else "<touchpoints>"


FirstOrSilence = Annotated[
    Annotated[SilenceFirst, Tag("<silence>")]
    | Annotated[tuple[Selector, ...], Tag("<touchpoints>")],
    Discriminator(_first_tag),
    BeforeValidator(_as_first),
]


class NotSuccession(RuleBase):
    """`then` must not come after `first`, unless `unless` came between."""

    template: Literal["not_succession"]
    first: FirstOrSilence
    then: Selectors
    unless: Selectors | None = None

    @property
    def windows(self) -> tuple[Duration, ...]:
        return (self.first.silence,) if isinstance(self.first, SilenceFirst) else ()

    @model_validator(mode="after")
    def _fits(self) -> NotSuccession:
        if isinstance(self.first, SilenceFirst):
            if self.unless is not None:
                raise ValueError("unless: a silence already ends by what the candidate received")
        elif not self.first:
            raise ValueError("first: names no touchpoint")
        _only_after_first(self.first, self.then, self.unless)
        return self


class Beforehand(_Strict):
    """What settles a response in advance, as long as nothing of `until` came in between."""

    by: Selectors
    until: Selectors | None = None


class Response(RuleBase):
    """`first` must be followed by `by` within `within`; until then it is pending.

    After its due time it is violated but mendable: a late `by` mends it (`until`). With
    `mendable: false` the due time is final. `opens: once` lets one obligation stand for all its
    repeats in an application; `each` (the default) gives every `first` its own.
    """

    template: Literal["response"]
    first: Selectors
    by: Selectors
    within: Window
    anchor: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    match: str | None = None
    unless: Selectors | None = None
    replaced_by: Selectors | None = None
    violated_by: Selectors | None = None
    beforehand: Beforehand | None = None
    opens: Literal["each", "once"] = "each"
    mendable: bool = True
    explain_violated_by: str | None = None

    @property
    def windows(self) -> tuple[Duration, ...]:
        return (self.within,)

    @model_validator(mode="after")
    def _fits(self) -> Response:
        firsts = kinds_of(self.first)
        for name in self.anchor:
            if FIELDS.get(name) != "moment":
                raise ValueError(f"anchor: {name!r} is not a field that holds a moment")
            _check_field(name, firsts, "anchor: ")
        if self.match is not None:
            _check_field(self.match, firsts, "match: ")
        later = (self.by, self.unless)
        if not self.anchor and any(one.after == "anchor" for role in later for one in role or ()):
            raise ValueError("after: anchor needs an anchor")
        _only_after_first(self.first, self.replaced_by, self.violated_by)
        if (self.violated_by is None) != (self.explain_violated_by is None):
            raise ValueError("violated_by and explain_violated_by come together")
        if self.explain_violated_by is not None:
            self._check_sentence("explain_violated_by", self.explain_violated_by)
        return self


def _only_after_first(*roles: SilenceFirst | tuple[Selector, ...] | None) -> None:
    for role in roles:
        if role is not None and not isinstance(role, SilenceFirst):
            for selector in role:
                if selector.after != "first":
                    raise ValueError("after: anchor belongs to by and unless of a response")


class Requires(RuleBase):
    """A touchpoint of `of` must carry `field`."""

    template: Literal["requires"]
    of: Selectors
    field: str

    @model_validator(mode="after")
    def _fits(self) -> Requires:
        _check_field(self.field, kinds_of(self.of), "field: ")
        _only_after_first(self.of)
        return self


Rule = NotSuccession | Response | Requires
_RULE: TypeAdapter[Rule] = TypeAdapter(Annotated[Rule, Field(discriminator="template")])


# --- reading --------------------------------------------------------------------------------


class _Loader(SafeLoader):
    """YAML without its traps: times stay text, `no` is a word, a key given twice is refused."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is a word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp"
        and not (tag == "tag:yaml.org,2002:bool" and first not in "tTfF")
    ]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}


def parse_rule(text: str, file: str, *, examples: bool = True) -> Rule:
    """One rule from the text of its file; `file` is its name, for the checks and the errors.

    With `examples=False` a rule may come without its three examples (documentation, sketches).
    Raises RuleError with one line a fault: file, field, what is wrong.
    """
    return _validated(_mapping(text, file), file, examples=examples)


def load_rule(path: Path) -> Rule:
    """The rule in one file. Raises RuleError, also for a file that cannot be read."""
    return parse_rule(_text(path), str(path))


def load_rules(folders: Iterable[Path] = (FIRST_PACK,)) -> tuple[Rule, ...]:
    """Every enabled rule of these packs, by name; a later pack's rule replaces an earlier one.

    Two lines, `rule: NAME` and `enabled: false`, are enough to switch off a rule of an earlier
    pack. Raises RuleError: a broken rule, no such pack, nothing to switch off.
    """
    rules: dict[str, Rule] = {}
    for folder in folders:
        if not folder.is_dir():
            raise RuleError(f"{folder}: there is no such pack")
        for path in sorted(folder.glob("*.yaml")):
            given = _mapping(_text(path), str(path))
            if given.keys() == {"rule", "enabled"} and given["enabled"] is False:
                name = str(given["rule"])
                if rules.pop(name, None) is None:
                    near = _near(name, rules)
                    raise RuleError(f"{path}: rule: no earlier pack has {name!r}{near}")
                continue
            rule = _validated(given, str(path), examples=True)
            rules.pop(rule.rule, None)
            if rule.enabled:
                rules[rule.rule] = rule
    return tuple(rules[name] for name in sorted(rules))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RuleError(f"{path}: cannot be read: {error}") from None


def _mapping(text: str, file: str) -> dict[str, Any]:
    try:
        given = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise RuleError(f"{file}: not YAML: {_one_line(str(error))}") from None
    if not isinstance(given, dict):
        raise RuleError(f"{file}: a rule is a mapping that begins with `rule:`")
    return given


def _validated(given: dict[str, Any], file: str, *, examples: bool) -> Rule:
    template = given.get("template")
    if template in PLANNED:
        raise RuleError(f"{file}: template: {template} is planned, not built")
    try:
        rule = _RULE.validate_python(given, context={"examples": examples})
    except ValidationError as error:
        raise RuleError("\n".join(_faults(file, error))) from None
    if rule.rule != Path(file).stem:
        raise RuleError(f"{file}: rule: is {rule.rule!r}, but its file is called {Path(file).name}")
    return rule


def kinds_of(role: tuple[Selector, ...] | None) -> list[str]:
    """Every kind a role names, once each, in order."""
    return list(dict.fromkeys(kind for selector in role or () for kind in selector.chosen()))


def _faults(file: str, error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False):
        # Discriminators put their tags into the place; readers look for the fields they wrote.
        place = [str(part) for part in fault["loc"] if part not in _TAGS]
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = f"no such field{_near(place[-1], _ROLE_NAMES)}"
        elif fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
            place, message = ["template"], f"must be one of {', '.join(BUILT)}"
        lines.append(f"{file}: {'.'.join(place) + ': ' if place else ''}{_one_line(message)}")
    return lines


_TAGS = (*BUILT, "<silence>", "<touchpoints>")


def _one_line(text: str) -> str:
    return " ".join(text.split())


_ROLE_NAMES: Mapping[str, None] = dict.fromkeys(
    name
    for model in (*get_args(Rule), Example, Selector, Condition, Beforehand)
    for name in model.model_fields
)
