"""What policy files promise: read strictly, refused clearly, and the right one holds."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from journey.errors import ConfigurationError
from projections.silence.policy import (
    DEFAULT_POLICIES,
    Policy,
    PolicySet,
    WrongPolicy,
    load_policies,
)

CALENDARS = """
default: {zone: UTC}
"""


def policy_text(name: str = "mine", **fields: object) -> str:
    """A policy file with boring defaults, and what the test cares about."""
    written: dict[str, object] = {
        "name": name,
        "version": 1,
        "title": "A policy of a test",
        "calendar": "default",
        "levels": {"breach": "5 working days"},
        "source": "a test",
        "explanation": "Nothing since {since}.",
        "examples": [
            {
                "title": "any",
                "silence": {"began_kind": "message_received", "since": "2026-06-01T09:00:00Z"},
                "due": {"breach": "2026-06-08T09:00:00Z"},
            }
        ],
        **fields,
    }
    return yaml.safe_dump({key: value for key, value in written.items() if value is not None})


def folder_of(path: Path, *policies: str, calendars: str | None = CALENDARS) -> Path:
    """A folder with these policies, each under its own name."""
    path.mkdir(exist_ok=True)
    if calendars is not None:
        (path / "calendars.yaml").write_text(calendars)
    for text in policies:
        (path / f"{yaml.safe_load(text)['name']}.yaml").write_text(text)
    return path


def of(path: Path, *policies: str, places: dict[str, str] | None = None) -> PolicySet:
    """These policies alone, loaded from a folder."""
    return load_policies([folder_of(path, *policies)], places)


def names(policies: tuple[Policy, ...]) -> list[str]:
    return [policy.name for policy in policies]


def statute(**scope: object) -> dict[str, object]:
    return {
        "place": "CA-ON",
        "place_name": "Ontario, Canada",
        "in_force": "2026-01-01",
        "scope": scope,
    }


# --- reading --------------------------------------------------------------------------------


def test_the_defaults_load() -> None:
    """The policies that come with the product are in force, fallback and statute among them."""
    loaded = load_policies()
    assert {"after_anything", "after_interview", "ontario_after_interview"} <= set(
        names(loaded.policies)
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"levels": {"breach": "5 werkdays"}}, "levels.breach: '5 werkdays' is no duration"),
        ({"levels": {}}, "at least one of nudge, breach, ghosted"),
        ({"levels": {"nudge": "3 days", "breach": "2 days"}}, "nudge, breach must come one after"),
        ({"levels": {"shout": "3 days"}}, "levels.shout"),
        ({"calendar": "moon"}, "calendar: no calendar is called 'moon'; there are: default"),
        ({"applies_to": {"began_by": ["interview_hold"]}}, "did you mean interview_held"),
        ({"applies_to": {"stage": ["x"]}}, "applies_to.stage: Extra inputs"),
        ({"applies_to": {"jobs": [7]}}, "applies_to.jobs.0: Input should be a valid string"),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"severity": "terrible"}, "severity: "),
        ({"source": None}, "source: Field required"),
        ({"examples": []}, "examples: "),
        ({"explanation": "Ask {candidate}"}, r"explanation: the sentence may hold only"),
        ({"explanation": "{since.__class__}"}, r"explanation: the sentence may hold only"),
        ({"explanation": "{since!r}"}, r"explanation: the sentence may hold only"),
        ({"explanation": "{stage:>9999999}"}, r"explanation: the sentence may hold only"),
        ({"explanation": "{0}"}, r"explanation: the sentence may hold only"),
        ({"explanation": "Nothing since {since"}, "explanation: the sentence has a stray brace"),
        ({"statutory": {"place": "ontario"}}, "statutory.place: "),
    ],
)
def test_what_is_wrong_is_told_with_file_and_field(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    """One sentence names the file, the field and what was expected there."""
    with pytest.raises(WrongPolicy) as raised:
        of(tmp_path, policy_text(**fields))
    assert "mine.yaml: " in str(raised.value)
    assert message in str(raised.value)


def test_an_example_needs_times_with_a_zone(tmp_path: Path) -> None:
    """A naive time in an example names no moment and is refused."""
    silence = {"began_kind": "message_received", "since": "2026-06-01T09:00:00"}
    example = {"title": "naive", "silence": silence, "applies": False}
    with pytest.raises(WrongPolicy, match=r"examples\.0\.silence\.since: .*timezone"):
        of(tmp_path, policy_text(examples=[example]))


def test_an_example_says_what_is_due_or_that_nothing_is(tmp_path: Path) -> None:
    """An example that promises nothing is refused."""
    silence = {"began_kind": "message_received", "since": "2026-06-01T09:00:00Z"}
    with pytest.raises(WrongPolicy, match="either lists what is `due` or says"):
        of(tmp_path, policy_text(examples=[{"title": "empty", "silence": silence}]))


def test_a_wrong_policy_is_a_fault_of_configuration(tmp_path: Path) -> None:
    """So that the command line ends with the exit code for it."""
    with pytest.raises(ConfigurationError):
        of(tmp_path, policy_text(colour="red"))


def test_a_policy_is_named_as_its_file(tmp_path: Path) -> None:
    """Alert keys hold the name: it must be found, and be the only one."""
    folder = folder_of(tmp_path)
    (folder / "other.yaml").write_text(policy_text("mine"))
    with pytest.raises(WrongPolicy, match=r"name: is 'mine', but the file is other\.yaml"):
        load_policies([folder])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "cannot be read"),
        ("- 1", "holds no fields"),
        ("", "holds no fields"),
        ("[a, b]: c", "a key must be a word"),
        ("name: a\nname: b", "'name' is written twice"),
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
        ("since: 2026-13-45", "cannot be read"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Broken YAML, a list, nothing, a key written twice, a Python object: one sentence each."""
    folder = folder_of(tmp_path)
    (folder / "broken.yaml").write_text(text)
    with pytest.raises(WrongPolicy, match=r"broken\.yaml: ") as raised:
        load_policies([folder])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """UTF-8 or one clear sentence."""
    folder = folder_of(tmp_path)
    (folder / "latin.yaml").write_bytes("title: Größe".encode("latin-1"))
    with pytest.raises(WrongPolicy, match=r"latin\.yaml: cannot be read"):
        load_policies([folder])


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """A folder that is not there is not an empty one."""
    with pytest.raises(WrongPolicy, match="no such folder"):
        load_policies([tmp_path / "nowhere"])


# --- calendars ------------------------------------------------------------------------------


def test_ontario_and_norway_are_places_not_booleans(tmp_path: Path) -> None:
    """`ON` and `NO` stay text, though YAML 1.1 would read them as true and false."""
    calendars = "default: {zone: UTC}\non: {zone: UTC, country: CA, subdivision: ON}\n"
    calendars += "oslo: {zone: Europe/Oslo, country: NO}\n"
    loaded = load_policies([folder_of(tmp_path, policy_text(), calendars=calendars)])
    assert loaded.calendars["on"].subdivision == "ON"
    assert loaded.calendars["oslo"].country == "NO"


def test_a_calendar_says_its_hours_by_weekday(tmp_path: Path) -> None:
    """`weekdays` is Monday to Friday; a day of its own replaces it."""
    calendars = """
default:
  zone: Europe/Berlin
  hours: {weekdays: ["08:30-12:00", "13-17:00"], friday: ["8-13"], saturday: []}
"""
    loaded = load_policies([folder_of(tmp_path, policy_text(), calendars=calendars)])
    usual = ((510, 720), (780, 1020))
    expected = (usual, usual, usual, usual, ((480, 780),), (), ())
    assert loaded.calendars["default"].hours == expected


@pytest.mark.parametrize(
    ("calendar", "message"),
    [
        ("{zone: Mars/X}", "no time zone 'Mars/X'"),
        ("{zone: UTC, country: XX}", "no holidays known"),
        ("{zone: UTC, colour: red}", "office.colour: Extra inputs"),
        ("{zone: UTC, hours: {monday: [9h-17h]}}", "office.hours: '9h' is no time of day"),
        ("{zone: UTC, hours: {monday: ['9-8']}}", "must be in order"),
        ("{zone: UTC, hours: {moonday: ['9-17']}}", "moonday is no weekday"),
        ("{}", "office.zone: Field required"),
    ],
)
def test_a_wrong_calendar_is_told_with_its_name(
    tmp_path: Path, calendar: str, message: str
) -> None:
    """The file, the calendar and what is wrong with it."""
    with pytest.raises(WrongPolicy, match=r"calendars\.yaml: .*office") as raised:
        load_policies([folder_of(tmp_path, calendars=f"office: {calendar}")])
    assert message in str(raised.value)


def test_your_calendar_replaces_ours_in_our_policies(tmp_path: Path) -> None:
    """A `default` calendar in a later folder is the one every default policy counts by."""
    mine = folder_of(tmp_path, calendars="default: {zone: Asia/Tokyo, country: JP}")
    loaded = load_policies([DEFAULT_POLICIES, mine])
    interview, ontario = loaded.named("after_interview"), loaded.named("ontario_after_interview")
    assert interview is not None
    assert ontario is not None
    assert (interview.calendar.zone, ontario.calendar.zone) == ("Asia/Tokyo", "America/Toronto")


def test_your_policy_replaces_ours_of_the_same_name(tmp_path: Path) -> None:
    """The later folder wins; a policy with `enabled: false` is out of force."""
    mine = folder_of(
        tmp_path,
        policy_text("after_interview", version=7),
        policy_text("ontario_after_interview", enabled=False),
    )
    loaded = load_policies([DEFAULT_POLICIES, mine])
    interview = loaded.named("after_interview")
    assert interview is not None
    assert interview.version == 7
    assert loaded.named("ontario_after_interview") is None


# --- which policy holds ---------------------------------------------------------------------


def test_the_most_specific_policy_holds_alone(tmp_path: Path) -> None:
    """Job before stage, stage before source, source before place, place before what began it."""
    policies = of(
        tmp_path,
        policy_text("anything"),
        policy_text("by_kind", applies_to={"began_by": ["interview_held"]}),
        policy_text("by_place", applies_to={"places": ["CA"]}),
        policy_text("by_source", applies_to={"sources": ["lever"]}),
        policy_text("by_stage", applies_to={"stages": ["Final"]}),
        policy_text("by_job", applies_to={"jobs": ["42"]}),
        places={"ashby": "CA-ON", "lever": "CA-ON"},
    )

    def holds(kind: str, stage: str | None, job: str | None, source: str) -> list[str]:
        return names(policies.matching(kind, stage, job, source))

    assert holds("message_sent", None, None, "greenhouse") == ["anything"]
    assert holds("interview_held", None, None, "greenhouse") == ["by_kind"]
    assert holds("interview_held", None, None, "ashby") == ["by_place"]
    assert holds("interview_held", None, None, "lever") == ["by_source"]
    assert holds("interview_held", "Final", None, "lever") == ["by_stage"]
    assert holds("interview_held", "Final", "42", "lever") == ["by_job"]


def test_an_exact_name_is_closer_than_a_pattern(tmp_path: Path) -> None:
    """`Final` beats `Fin*`, and two conditions beat one of them."""
    policies = of(
        tmp_path,
        policy_text("pattern", applies_to={"stages": ["Fin*"]}),
        policy_text("exact", applies_to={"stages": ["Final"]}),
        policy_text("both", applies_to={"stages": ["Fin*"], "began_by": ["interview_held"]}),
    )
    assert names(policies.matching("message_sent", "Final", None, "a")) == ["exact"]
    assert names(policies.matching("message_sent", "Finish", None, "a")) == ["pattern"]
    assert names(policies.matching("interview_held", "Finish", None, "a")) == ["both"]


def test_of_equally_specific_policies_the_later_folder_holds(tmp_path: Path) -> None:
    """Yours beats ours, whatever it is called."""
    ours = folder_of(tmp_path / "ours", policy_text("zebra", applies_to={"stages": ["Final"]}))
    mine = folder_of(tmp_path / "mine", policy_text("aardvark", applies_to={"stages": ["Final"]}))
    policies = load_policies([ours, mine])
    assert names(policies.matching("message_sent", "Final", None, "a")) == ["aardvark"]


def test_stages_match_in_any_case_and_ids_only_as_they_came(tmp_path: Path) -> None:
    """Stage names are people's words; ids are not."""
    policies = of(
        tmp_path,
        policy_text("stage", applies_to={"stages": ["Phone *"]}),
        policy_text("job", applies_to={"jobs": ["Na*"]}),
    )
    assert names(policies.matching("message_sent", "PHONE SCREEN", "NA", "a")) == ["stage"]
    assert names(policies.matching("message_sent", None, "Nadir", "a")) == ["job"]
    assert names(policies.matching("message_sent", None, "NA", "a")) == []


def test_a_condition_on_what_a_silence_lacks_does_not_match(tmp_path: Path) -> None:
    """No stage is not any stage."""
    policies = of(tmp_path, policy_text(applies_to={"stages": ["*"]}))
    assert policies.matching("message_sent", None, None, "a") == ()


def test_statutes_hold_beside_the_ordinary_policy(tmp_path: Path) -> None:
    """The law does not give way to a closer rule of the house, nor two laws to each other."""
    policies = of(
        tmp_path,
        policy_text("house", applies_to={"jobs": ["42"]}),
        policy_text("law", statutory=statute(everywhere=True)),
        policy_text("law_too", statutory=statute(everywhere=True)),
    )
    assert names(policies.matching("message_sent", None, "42", "a")) == ["house", "law", "law_too"]
    assert names(policies.matching("message_sent", None, "43", "a")) == ["law", "law_too"]


@pytest.mark.parametrize(
    ("scope", "places", "holds"),
    [
        ({}, {}, False),
        ({}, {"ats": "CA-ON"}, True),
        ({}, {"ats": "CA-BC"}, False),
        ({}, {"ats": "CA"}, False),
        ({"everywhere": True}, {}, True),
        ({"everywhere": True}, {"ats": "CA-ON"}, True),
        ({"everywhere": True}, {"ats": "DE"}, False),
        ({"sources": ["ats"]}, {}, True),
        ({"sources": ["ats"]}, {"ats": "DE"}, True),
        ({"sources": ["other"]}, {}, False),
        ({"jobs": ["4*"]}, {}, True),
        ({"jobs": ["5*"]}, {}, False),
    ],
)
def test_a_statute_holds_in_its_scope_and_place(
    tmp_path: Path, scope: dict[str, object], places: dict[str, str], holds: bool
) -> None:
    """Listed sources and jobs always; its place; with `everywhere` also where none is known."""
    policies = of(tmp_path, policy_text(statutory=statute(**scope)), places=places)
    assert bool(policies.matching("interview_held", None, "42", "ats")) is holds


def test_a_policy_may_rule_out_what_began_a_silence(tmp_path: Path) -> None:
    """`not_began_by` keeps a policy from silences it has no say in."""
    policies = of(tmp_path, policy_text(applies_to={"not_began_by": ["offer_accepted"]}))
    assert policies.matching("offer_accepted", None, None, "a") == ()
    assert names(policies.matching("message_sent", None, None, "a")) == ["mine"]


def test_answers_are_kept_by_what_the_conditions_see(tmp_path: Path) -> None:
    """Ten thousand jobs cost one answer while no policy asks for the job."""
    policies = of(tmp_path, policy_text())
    for job in range(10_000):
        policies.matching("message_sent", f"stage {job}", str(job), "ats")
    assert len(policies._answers) == 1


def test_a_policy_set_pickles(tmp_path: Path) -> None:
    """Rebuild workers get the same policies, calendars included, and answer alike."""
    policies = of(tmp_path, policy_text("law", statutory=statute(everywhere=True)))
    copy = pickle.loads(pickle.dumps(policies))
    assert copy.policies == policies.policies
    assert names(copy.matching("message_sent", None, None, "a")) == ["law"]


def test_the_fingerprint_changes_with_what_is_due_and_with_nothing_else(tmp_path: Path) -> None:
    """Other levels, calendars or places make deadlines stale; another title does not."""
    plain = of(tmp_path / "plain", policy_text()).fingerprint
    assert of(tmp_path / "same", policy_text()).fingerprint == plain
    assert of(tmp_path / "titled", policy_text(title="Another")).fingerprint == plain
    levels = {"breach": "5 working days", "ghosted": "9 working days"}
    assert of(tmp_path / "levels", policy_text(levels=levels)).fingerprint != plain
    assert of(tmp_path / "places", policy_text(), places={"a": "DE"}).fingerprint != plain
    moved = folder_of(tmp_path / "moved", policy_text(), calendars="default: {zone: Asia/Tokyo}")
    assert load_policies([moved]).fingerprint != plain
