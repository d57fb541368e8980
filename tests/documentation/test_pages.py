"""Pages that people read: links lead somewhere, words are defined once, examples are true."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import orjson
import pytest

from consumers.alert_channels import channel
from projections.contradictions.examples import run_example
from projections.contradictions.rule import load_rules
from projections.fact import Fact
from projections.silence.deadlines import failures
from projections.silence.policy import DEFAULT_POLICIES, PolicySet, load_policies
from tests.documentation.blocks import ROOT, blocks

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

WORDS = (
    "delivery", "touchpoint", "application", "journey", "stream", "occurred_at", "recorded_at",
    "position", "silence", "policy", "rule", "pack", "finding", "alert", "feed",
)  # fmt: skip
"""Every word of design §2."""

HOW_TO = [
    "add-an-ats", "add-a-rule", "add-a-policy", "add-a-projection", "add-an-alert-channel",
]  # fmt: skip


def text_of(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """The anchors that its headings make."""
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in HEADING.findall(text_of(page))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file or heading of ours has one."""
    for link in LINK.findall(text_of(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link} names no heading"


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_defined_once(word: str) -> None:
    """One definition, in one place: `**word**: …` at the beginning of a paragraph."""
    found = [
        page
        for page in sorted((ROOT / "docs" / "concepts").glob("*.md"))
        for line in text_of(page).splitlines()
        if re.match(rf"^(?:- )?\*\*{word}\*\*: ", line)
    ]
    assert len(found) == 1, f"{word}: {[page.name for page in found]}"


def test_nothing_else_is_defined_as_a_word() -> None:
    """A new word goes into the list above as well."""
    text = (ROOT / "docs" / "concepts" / "words.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\*\*(\w+)\*\*: ", text, re.MULTILINE)) == WORDS


@pytest.mark.parametrize("name", HOW_TO)
def test_a_guide_opens_with_its_neighbour_and_names_at_most_four_places(name: str) -> None:
    """More places than four, and the design wants a look."""
    text = text_of(ROOT / "docs" / "how-to" / f"{name}.md")
    assert "**Nearest neighbour:**" in text.split("\n\n")[1] + text.split("\n\n")[2]
    assert len(re.findall(r"^\d\. ", text, re.MULTILINE)) <= 4
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_of_somebodys_machine(page: Path) -> None:
    """No path of a machine on which it was written."""
    assert not re.search(r"/(?:home|work|tmp|Users|root)/", page.read_text(encoding="utf-8"))


def test_decisions_are_numbered_without_a_gap_and_have_their_three_parts() -> None:
    """Context, decision, consequences."""
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        headings = HEADING.findall(text_of(page))
        assert {"Context", "Decision", "Consequences"} <= set(headings), page.name


def test_the_rule_of_the_guide_loads_and_its_examples_come_true(tmp_path: Path) -> None:
    """What one copies from the page works."""
    (written,) = _blocks("add-a-rule", "yaml")
    (tmp_path / "interview_after_withdrawal.yaml").write_text(written, encoding="utf-8")
    (rule,) = load_rules([tmp_path])
    for example in rule.examples:
        assert run_example(rule, example).faults == ()


def test_the_policy_and_calendar_of_the_guide_load_and_come_true(tmp_path: Path) -> None:
    """What one copies from the page works."""
    written, calendar = _blocks("add-a-policy", "yaml")
    (tmp_path / "after_final_interview.yaml").write_text(written, encoding="utf-8")
    policies = load_policies([DEFAULT_POLICIES, tmp_path])
    policy = policies.named("after_final_interview")
    assert policy is not None
    for example in policy.examples:
        assert failures(example, policy, PolicySet([policy])) == []
    (tmp_path / "calendars.yaml").write_text(calendar, encoding="utf-8")
    assert load_policies([DEFAULT_POLICIES, tmp_path]).calendars["default"].country == "NL"


def test_the_channel_of_the_guide_sends(tmp_path: Path) -> None:
    """What one copies from the page works."""
    (code,) = _blocks("add-an-alert-channel", "python")
    names: dict[str, Any] = {**vars(channel), "Path": Path, "orjson": orjson}
    exec(code, names)
    message = channel.Message(UUID(int=1), UUID(int=2), {"type": "x"}, 1, datetime.now(UTC))
    sender: channel.Channel = names["FileChannel"](tmp_path / "alerts")
    assert sender.send(message) == channel.Sent()
    assert (tmp_path / "alerts").read_bytes() == b'{"type":"x"}\n'
    assert isinstance(names["FileChannel"](tmp_path).send(message), channel.GiveUp)
    assert isinstance(names["FileChannel"](tmp_path / "a" / "b").send(message), channel.Retry)


def test_the_fold_of_the_guide_folds() -> None:
    """What one copies from the page works, and its state survives msgpack."""
    (code,) = _blocks("add-a-projection", "python")
    names: dict[str, Any] = {"__name__": __name__, "msgspec": msgspec, "Fact": Fact}
    exec(code, names)
    state: dict[str, Any] = {}
    for kind in ("survey_sent", "survey_reminded", "survey_answered"):
        told = Fact(touchpoint_id="1", occurred_at=datetime.now(UTC), source="s", survey_id="7")
        names["apply"](state, msgspec.structs.replace(told, kind=kind))
    packed = msgspec.msgpack.encode(state)
    assert msgspec.msgpack.decode(packed) == {"7": {"asked": 2, "answered": True}}


def _blocks(name: str, language: str) -> list[str]:
    page = ROOT / "docs" / "how-to" / f"{name}.md"
    return [block.text for block in blocks(page) if block.language == language]
