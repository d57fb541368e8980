"""One suite for every policy that comes with the product: a new file is run without a line here."""

from __future__ import annotations

from pathlib import Path

import pytest

from projections.silence.deadlines import explain, failures
from projections.silence.policy import (
    CALENDARS_FILE,
    DEFAULT_POLICIES,
    Example,
    Policy,
    PolicySet,
    load_policies,
)
from schemas.registry import TRAITS

FILES = sorted(file for file in DEFAULT_POLICIES.glob("*.yaml") if file.name != CALENDARS_FILE)
POLICIES = load_policies().policies
EXAMPLES = [
    pytest.param(policy, example, id=f"{policy.name}: {example.title}")
    for policy in POLICIES
    for example in policy.examples
]
BEGINNINGS = sorted(
    kind
    for kind, traits in TRAITS.items()
    if traits.turn == "employer" or traits.answers or traits.lifecycle == "reopens"
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_is_a_policy_in_force(file: Path) -> None:
    """Nothing in the folder is dead weight."""
    assert load_policies().named(file.stem) is not None


@pytest.mark.parametrize(("policy", "example"), EXAMPLES)
def test_each_example_comes_true(policy: Policy, example: Example) -> None:
    """What a policy's own examples promise is what it says."""
    assert failures(example, policy, PolicySet([policy])) == []


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_each_policy_explains_each_of_its_levels(policy: Policy) -> None:
    """One printable sentence with a full stop, whatever its examples are about."""
    for example in policy.examples:
        for level, due in example.due.items():
            told = explain(policy, example.silence.row(), level, due)
            assert told.isprintable()
            assert told.endswith(".")


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_each_policy_has_an_example_that_reaches_every_level(policy: Policy) -> None:
    """No level goes without a date that somebody worked out by hand."""
    assert any(set(example.due) == set(policy.level_names) for example in policy.examples)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_each_policy_names_its_source(policy: Policy) -> None:
    """A law names the text and its address; a default of our own says that it is one."""
    if policy.statutory is None:
        assert "default of this product" in policy.source
    else:
        assert "https://" in policy.source


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_whatever_begins_a_silence_falls_under_a_policy(kind: str) -> None:
    """No silence is outside every policy: exactly one ordinary policy holds for it."""
    holding = load_policies().matching(kind, None, None, "any")
    assert len([policy for policy in holding if policy.statutory is None]) == 1


def test_a_broken_example_is_told() -> None:
    """The suite would notice: a wrong due time is named with the right one."""
    policy = POLICIES[0]
    example = policy.examples[0]
    level, due = next(iter(example.due.items()))
    wrong = example.model_copy(update={"due": {**example.due, level: due.replace(year=2001)}})
    assert "should be due 2001" in failures(wrong, policy, PolicySet([policy]))[0]
