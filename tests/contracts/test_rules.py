"""Every rule that comes with the program keeps the promises of a rule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from projections.contradictions.examples import run_example
from projections.contradictions.fold import compile_rules
from projections.contradictions.rule import (
    BUILT,
    FIELDS,
    FIRST_PACK,
    PACKS,
    PLANNED,
    Example,
    Rule,
    RuleError,
    load_rules,
    parse_rule,
)
from projections.fact import Fact

ALL_RULES = load_rules(sorted(folder for folder in PACKS.iterdir() if folder.is_dir()))
ALL_EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.rule}: {example.name}")
    for rule in ALL_RULES
    for example in rule.examples
]
DECISION = Path(__file__).parents[2] / "docs/decisions/0005-contradiction-rules.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", DECISION.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(("rule", "example"), ALL_EXAMPLES)
def test_each_example_of_a_rule_comes_out_as_it_says(rule: Rule, example: Example) -> None:
    """A rule says of its own examples what they expect, and explains each finding in words."""
    outcome = run_example(rule, example)
    assert outcome.faults == ()
    for explanation in outcome.explanations:
        assert explanation.endswith(".")
        assert "{" not in explanation
        assert "no time" not in explanation


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.rule)
def test_each_rule_shows_what_it_finds_and_what_it_leaves_alone(rule: Rule) -> None:
    """A rule has a positive, a negative and a borderline example."""
    assert {"positive", "negative", "borderline"} <= {one.shows for one in rule.examples}


def test_the_first_pack_holds_what_candidates_report() -> None:
    """The six rules of the first cut are on from the start, and compile together."""
    rules = load_rules([FIRST_PACK])
    assert [rule.rule for rule in rules] == [
        "availability_without_time_zone",
        "interview_nobody_came",
        "offer_after_rejection_or_withdrawal",
        "reference_after_rejection",
        "rejection_not_sent",
        "survey_while_silent",
    ]
    assert "stage_changed" not in compile_rules(rules).kinds


def test_every_field_that_a_rule_may_name_is_one_the_folds_read() -> None:
    """The list of fields for rules and the struct that folds read agree."""
    assert set(FIELDS) <= set(Fact.__struct_fields__)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_each_rule_of_the_design_fits_the_format(block: str) -> None:
    """The documented rules load if their template is built, and are refused as planned if not."""
    given: dict[str, Any] = {
        "version": 1,
        "title": "from the documentation",
        "scope": "application",
        "severity": "low",
        "reason": "from the documentation",
        "explain": "Found.",
    } | yaml.safe_load(block)
    text, file = yaml.safe_dump(given), f"{given['rule']}.yaml"
    if given["template"] in BUILT:
        assert compile_rules([parse_rule(text, file, examples=False)]).kinds
    else:
        assert given["template"] in PLANNED
        with pytest.raises(RuleError, match=f"template: {given['template']} is planned, not built"):
            parse_rule(text, file, examples=False)
