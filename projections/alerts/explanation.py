"""The sentence an alert carries: from its policy or rule, about the silence or finding itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from projections.alerts.lifecycle import DueDeadline
from projections.contradictions.templates import Finding
from projections.projection import Meaning
from projections.silence.deadlines import explain as explain_silence
from projections.silence.policy import Level
from projections.silence.rows import SilenceRow

Explain = Callable[[DueDeadline, SilenceRow | Finding], str]
"""A deadline and what it is about → one sentence without anything personal."""


def explainer(meaning: Meaning) -> Explain:
    """Sentences by the policies and rules in force, as things stood at the deadline.

    At the deadline and not at the sweep, so that a late sweep tells the same story.
    """

    def explain(deadline: DueDeadline, subject: SilenceRow | Finding) -> str:
        if isinstance(subject, Finding):
            return meaning.rules.explain(subject)
        policy = meaning.policies.named(deadline.name)
        if policy is None:
            return plain(deadline, subject)
        return explain_silence(policy, subject, cast(Level, deadline.level), deadline.due_at)

    return explain


def plain(deadline: DueDeadline, subject: SilenceRow | Finding) -> str:
    """What can be said without the policy or rule, which may have been taken out of force."""
    since = f"{deadline.since:%Y-%m-%d %H:%M} UTC"
    if isinstance(subject, Finding):
        return f"The rule {deadline.name} found this, as of {since}."
    return f"Nothing received since {since}; {deadline.name} calls that a {deadline.level}."
