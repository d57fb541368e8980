"""Reading a rule: what is refused, and what the refusal says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.contradictions.examples import run_examples
from projections.contradictions.rule import (
    FIRST_PACK,
    NotSuccession,
    Response,
    RuleError,
    _Loader,
    load_rule,
    load_rules,
    parse_rule,
)
from projections.working_time import Duration, Unit

RULE: dict[str, Any] = {
    "rule": "sample",
    "version": 1,
    "title": "A sample",
    "template": "not_succession",
    "scope": "application",
    "severity": "low",
    "reason": "to see what is refused",
    "first": "rejection_sent",
    "then": "offer_sent",
    "explain": "{then_kind} after {first_kind}.",
}
RESPONSE: dict[str, Any] = {
    **{key: value for key, value in RULE.items() if key != "then"},
    "template": "response",
    "first": "interview_scheduled",
    "by": "interview_held",
    "within": "2 working days",
    "explain": "Due {due_at}.",
}


def read(given: dict[str, Any], **changes: Any) -> Any:
    told = {key: value for key, value in {**given, **changes}.items() if value is not ...}
    return parse_rule(yaml.safe_dump(told), "pack/sample.yaml", examples=False)


def refusal(given: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(RuleError) as caught:
        read(given, **changes)
    return str(caught.value)


def test_a_rule_is_read_from_kinds_lists_and_mappings() -> None:
    """A role may be a kind, a list of kinds, or mappings with conditions."""
    rule = read(RULE, then=["offer_sent", {"kinds": "offer_decided", "where": {"stage": "onsite"}}])
    assert isinstance(rule, NotSuccession)
    assert [selector.chosen() for selector in rule.then] == [["offer_sent"], ["offer_decided"]]
    assert rule.then[1].where["stage"].tests() == {"equals": "onsite"}


def test_a_window_is_a_duration() -> None:
    """`within` is read as working or calendar time."""
    rule = read(RESPONSE)
    assert isinstance(rule, Response)
    assert rule.within == Duration(2, Unit.WORKING_DAYS)


def test_kinds_may_be_chosen_by_traits() -> None:
    """A selector by traits takes every kind that means the same, also ones added later."""
    rule = read(RESPONSE, unless={"traits": {"lifecycle": "closes"}})
    assert set(rule.unless[0].chosen()) == {"rejection_sent", "withdrew", "hired"}


@pytest.mark.parametrize(
    ("given", "changes", "said"),
    [
        (RULE, {"than": "offer_sent"}, "than: no such field; did you mean then"),
        (RULE, {"then": "offer_send"}, "no touchpoint kind is called 'offer_send'; did you mean"),
        (RULE, {"then": ...}, "then: Field required"),
        (RULE, {"then": []}, "then: "),
        (RULE, {"first": []}, "first: names no touchpoint"),
        (RULE, {"severity": "fatal"}, "severity: "),
        (RULE, {"scope": "job"}, "scope: "),
        (RULE, {"rule": "other"}, "rule: is 'other', but its file is called sample.yaml"),
        (RULE, {"template": "precedence"}, "template: precedence is planned, not built"),
        (RULE, {"template": "at_most"}, "template: at_most is planned, not built"),
        (RULE, {"template": "conflict"}, "template: conflict is planned, not built"),
        (
            RULE,
            {"template": "chain"},
            "template: must be one of not_succession, response, requires",
        ),
        (RULE, {"template": ...}, "template: must be one of"),
        (RULE, {"explain": "{first_kind.__class__}"}, "is not a name this template explains with"),
        (RULE, {"explain": "{gap!r}"}, "is not a name this template explains with"),
        (RULE, {"explain": "{0}"}, "is not a name this template explains with"),
        (RULE, {"explain": "{due_at}"}, "is not a name this template explains with"),
        (RULE, {"explain": "{gap"}, "braces hold one name each"),
        (
            RULE,
            {"then": {"kinds": "offer_sent", "where": {"time_zone": "missing"}}},
            "then.0: where: offer_sent has no field 'time_zone'",
        ),
        (
            RULE,
            {"then": {"kinds": "offer_sent", "where": {"personal": "present"}}},
            "no field is called 'personal'",
        ),
        (
            RULE,
            {"then": {"kinds": "survey_answered", "where": {"score": {"at_most": "low"}}}},
            "score.at_most",
        ),
        (
            RULE,
            {"then": {"kinds": "survey_answered", "where": {"score": "low"}}},
            "where: score holds a number; equals: 'low'",
        ),
        (
            RULE,
            {"then": {"kinds": "offer_sent", "where": {"stage": {"greater_than": 3}}}},
            "where: stage holds a text, not for greater_than",
        ),
        (RULE, {"then": {"kinds": "offer_sent", "where": {"stage": {}}}}, "names no test"),
        (RULE, {"then": {"where": {"stage": "onsite"}}}, "needs either kinds or traits"),
        (RULE, {"then": {"kinds": "offer_sent", "after": "anchor"}}, "after: anchor belongs to"),
        (RULE, {"first": {"silence": "5 fortnights"}}, "first.silence: '5 fortnights' is no dur"),
        (RULE, {"first": {"silence": 5}}, "first.silence: write a number and a unit"),
        (
            RULE,
            {"first": {"silence": "5 working days"}, "unless": "message_sent"},
            "unless: a silence already ends",
        ),
        (RESPONSE, {"within": "soon"}, "within: "),
        (RESPONSE, {"anchor": "end"}, "anchor: 'end' is not a field that holds a moment"),
        (RESPONSE, {"anchor": "due_at"}, "interview_scheduled has no field 'due_at'"),
        (RESPONSE, {"match": "offer_id"}, "interview_scheduled has no field 'offer_id'"),
        (
            RESPONSE,
            {"by": {"kinds": "offer_sent", "after": "anchor"}},
            "after: anchor needs an anchor",
        ),
        (
            RESPONSE,
            {"violated_by": "interview_missed_by_employer"},
            "violated_by and explain_violated_by come together",
        ),
    ],
)
def test_a_faulty_rule_is_refused_with_its_file_and_field(
    given: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    """What is wrong in a rule file is told with the file, the field and what to write."""
    told = refusal(given, **changes)
    assert told.startswith("pack/sample.yaml: ")
    assert said in told


def test_several_faults_are_told_at_once() -> None:
    """A reader mends a file once, not once a fault."""
    assert len(refusal(RULE, severity="fatal", scope="job").splitlines()) == 2


def test_text_that_is_no_rule_is_refused() -> None:
    """A file that is not YAML, not a mapping, or repeats a key says so."""
    for text, said in [
        ("rule: [", "not YAML"),
        ("- rule", "a rule is a mapping"),
        ("", "a rule is a mapping"),
        ("rule: a\nrule: b", "not YAML: the key 'rule' is given twice"),
        ("? [a, b]\n: c", "not YAML"),
        ("rule: !!python/object:os.system {}", "not YAML"),
    ]:
        with pytest.raises(RuleError, match=f"^sample.yaml: {said}"):
            parse_rule(text, "sample.yaml")


def example(**changes: Any) -> dict[str, Any]:
    given = {
        "name": "one",
        "shows": "positive",
        "journey": ["2026-01-05T10:00Z rejection_sent", "2026-01-06T10:00Z offer_sent"],
        "expect": "violated",
    }
    return {**given, **changes}


def three(first: dict[str, Any]) -> dict[str, Any]:
    quiet = {"shows": "negative", "expect": "satisfied"}
    others = [example(name="two", **quiet), example(name="three", shows="borderline")]
    return {**RULE, "examples": [first, *others]}


@pytest.mark.parametrize("missing", ["positive", "negative", "borderline"])
def test_a_rule_without_one_of_its_three_examples_does_not_load(missing: str) -> None:
    """A positive, a negative and a borderline example are part of the rule."""
    given = three(example())
    given["examples"] = [one for one in given["examples"] if one["shows"] != missing]
    with pytest.raises(RuleError, match=f"examples: there is no {missing} one"):
        parse_rule(yaml.safe_dump(given), "sample.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"journey": ["2026-01-05T10:00 rejection_sent"]}, "has no zone"),
        ({"journey": ["yesterday rejection_sent"]}, "Invalid isoformat"),
        ({"journey": ["2026-01-05T10:00Z rejected"]}, "no touchpoint kind is called 'rejected'"),
        ({"journey": ["2026-01-05T10:00Z offer_sent survey_id=1"]}, "has no field 'survey_id'"),
        ({"journey": ["2026-01-05T10:00Z offer_sent now"]}, "is not field=value"),
        ({"journey": [{"at": "2026-01-05", "kind": "offer_sent", "offer_id": 7}]}, "7 is no text"),
        (
            {"journey": [{"at": "2026-01-05", "kind": "survey_answered", "score": [7]}]},
            "is no whole number",
        ),
        ({"journey": ["2026-01-05 message_sent asks=maybe"]}, "is neither true nor false"),
        ({"journey": ["2026-01-05 promise_made due_at=soon"]}, "Invalid isoformat"),
        ({"journey": [{"at": "2026-01-05", "kind": "offer_sent", "fields": {}}]}, "no field is ca"),
        ({"expect": "pending"}, "expected with its `due` time"),
        ({"expect": "satisfied"}, "a positive example expects a finding"),
        ({"shows": "negative"}, "a negative example expects `satisfied`"),
        ({"evidence": [3]}, "evidence names a place"),
        ({"name": "two"}, "two have the same name"),
    ],
)
def test_an_example_that_cannot_hold_is_refused(changes: dict[str, Any], said: str) -> None:
    """An example that contradicts itself, or names what does not exist, does not load."""
    with pytest.raises(RuleError, match=f"examples.*{said}"):
        parse_rule(yaml.safe_dump(three(example(**changes))), "sample.yaml")


def test_times_and_words_in_a_rule_stay_what_was_written() -> None:
    """YAML turns `no` and bare times into something else; a rule file does not."""
    text = yaml.safe_dump(three(example()))
    text = text.replace("reason: to see what is refused", "reason: no")
    text += "calendar: NO\n"
    text = text.replace("expect: violated", "expect: violated\n  since: 2026-01-06T10:00:00Z", 1)
    rule = parse_rule(text, "sample.yaml")
    assert (rule.reason, rule.calendar) == ("no", "NO")


JUNK = st.sampled_from(
    [
        None,
        True,
        0,
        -3,
        1.5,
        "",
        "x",
        "{gap}",
        "2026-01-05",
        [],
        ["x"],
        [[]],
        {},
        {"x": []},
        "9" * 5000,
    ]
)


def spoiled(given: Any, data: st.DataObject) -> Any:
    """The same nested value with one place, anywhere in it, turned into something else."""
    if data.draw(st.integers(0, 6)) == 0 or not isinstance(given, dict | list) or not given:
        return data.draw(JUNK)
    if isinstance(given, list):
        place = data.draw(st.integers(0, len(given) - 1))
        return [spoiled(one, data) if at == place else one for at, one in enumerate(given)]
    key = data.draw(st.sampled_from(sorted(given)))
    return {**given, key: spoiled(given[key], data)}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(FIRST_PACK.glob("*.yaml"))), st.data())
def test_a_spoiled_rule_loads_or_is_refused_in_words(path: Path, data: st.DataObject) -> None:
    """Whatever stands in a rule file, the answer is a rule that runs, or a RuleError."""
    told = spoiled(yaml.load(path.read_text(encoding="utf-8"), _Loader), data)
    said = path.name
    try:
        run_examples(parse_rule(yaml.safe_dump(told), path.name))
    except RuleError as error:
        said = str(error)
    assert said.startswith(path.name)


def test_a_later_pack_replaces_a_rule_or_switches_it_off(tmp_path: Path) -> None:
    """An installation changes a rule, or drops it, in a folder of its own."""
    ours = {rule.rule: rule for rule in load_rules()}
    text = (FIRST_PACK / "survey_while_silent.yaml").read_text(encoding="utf-8")
    changed = text.replace("severity: medium", "severity: low")
    (tmp_path / "survey_while_silent.yaml").write_text(changed, encoding="utf-8")
    off = tmp_path / "interview_nobody_came.yaml"
    off.write_text("rule: interview_nobody_came\nenabled: false\n")
    theirs = {rule.rule: rule for rule in load_rules([FIRST_PACK, tmp_path])}
    assert theirs["survey_while_silent"].severity == "low"
    assert ours.keys() - theirs.keys() == {"interview_nobody_came"}
    off.write_text("rule: interview_nobody_come\nenabled: false\n")
    with pytest.raises(RuleError, match=r"no earlier pack has .*; did you mean interview_nobody_"):
        load_rules([FIRST_PACK, tmp_path])


def test_a_pack_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A pack is a folder that is there, and its files are text."""
    with pytest.raises(RuleError, match="there is no such pack"):
        load_rules([tmp_path / "nowhere"])
    (tmp_path / "latin.yaml").write_bytes(b"rule: caf\xe9")
    with pytest.raises(RuleError, match=r"latin\.yaml: cannot be read"):
        load_rule(tmp_path / "latin.yaml")
    with pytest.raises(RuleError, match=r"latin\.yaml: cannot be read"):
        load_rules([tmp_path])
