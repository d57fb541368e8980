"""When a silence becomes something a person must see: silences and policies in, deadlines out.

Pure: no clock, no database. A deadline holds as long as the silence is open; what is due when
stands in the table, so finding the silent is one indexed query.
"""

from __future__ import annotations

from datetime import datetime

from projections.deadline import Deadline, Evidence
from projections.silence.policy import Example, Level, Policy, PolicySet
from projections.silence.rows import SilenceRow


def deadlines(silence: SilenceRow, policies: PolicySet) -> list[Deadline]:
    """When this silence reaches each level of each policy that holds for it.

    Empty for a silence that has ended. The ordinary policy comes before the statutes, mild levels
    before grave ones.
    """
    if silence.until is not None:
        return []
    matching = policies.matching(silence.began_kind, silence.stage, silence.job_id, silence.source)
    candidate_id, application_id = silence.candidate_id, silence.application_id
    since, began_by = silence.since, silence.began_by
    evidence = [Evidence(began_by, silence.began_kind, since)]
    found: list[Deadline] = []
    for policy in matching:
        name = policy.name
        key = f"silence:{name}:{application_id}:{began_by}"
        for level, due_at in due_times(policy, silence):
            # By place, in the order of the table's columns: this runs for every open silence.
            found.append(
                Deadline(
                    due_at, "silence", candidate_id, application_id, name, level, key, since,
                    evidence,
                )
            )  # fmt: skip
    return found


def due_times(policy: Policy, silence: SilenceRow) -> list[tuple[Level, datetime]]:
    """When a silence reaches each level of a policy, whether it is still open or not.

    Conditions of `applies_to` and scope are not asked again. Empty where the policy counts from
    an interview and none was held, or from a moment before the statute was in force. A level that
    was due before the silence began belongs to the silence before it, and is left out.
    """
    anchor, from_moment = _anchor(policy, silence), policy.from_moment
    if anchor is None or (from_moment is not None and anchor < from_moment):
        return []
    due = policy.calendar.add_each(anchor, policy.durations)
    levels = list(zip(policy.level_names, due, strict=True))
    if anchor is silence.since:
        return levels
    return [level for level in levels if level[1] > silence.since]


def standing(policy: Policy, silence: SilenceRow, now: datetime) -> Level | None:
    """The gravest level a silence has reached, or None.

    A level is reached at its due time. A silence that has ended is judged at its end: an answer
    that came at the due time came in time.
    """
    reached: Level | None = None
    for level, due_at in due_times(policy, silence):
        if due_at <= now and (silence.until is None or due_at < silence.until):
            reached = level
    return reached


def explain(policy: Policy, silence: SilenceRow, level: Level, now: datetime) -> str:
    """The policy's sentence about a silence at a level. It holds nothing personal.

    `{since}` is what is counted from, `{days}` the calendar days since then at `now` (or at the
    silence's end). Raises ValueError if the silence has no such level under this policy.
    """
    due = dict(due_times(policy, silence))
    anchor = _anchor(policy, silence)
    if level not in due or anchor is None:
        raise ValueError(f"policy {policy.name} has no {level} for this silence")
    end = now if silence.until is None else min(now, silence.until)
    calendar = policy.calendar
    days = max((calendar.local(end).date() - calendar.local(anchor).date()).days, 0)
    return policy.explanation.format(
        since=_wall_clock(policy, anchor),
        due=_wall_clock(policy, due[level], is_end=True),
        days="1 day" if days == 1 else f"{days} days",
        began_kind=silence.began_kind.replace("_", " "),
        stage=_one_line(silence.stage) or "no stage",
    )


def failures(example: Example, policy: Policy, policies: PolicySet) -> list[str]:
    """What an example promises and the policy does not keep, a sentence each; empty if it does.

    `policies` decides whether the policy matches at all; give a set of this policy alone.
    """
    silence = example.silence.row()
    expected_due: dict[str, datetime] = dict(example.due.items())
    due = {
        deadline.level: deadline.due_at
        for deadline in deadlines(silence, policies)
        if deadline.name == policy.name
    }
    told: list[str] = []
    for level in sorted({*due, *expected_due}):
        wanted = expected_due.get(level)
        if due.get(level) != wanted:
            told.append(f"{level} should be due {_utc(wanted)}, is due {_utc(due.get(level))}")
    for expected in example.standing:
        reached = standing(policy, silence, expected.at)
        if reached != expected.level:
            told.append(f"at {_utc(expected.at)} should stand at {expected.level}, is {reached}")
    return [f"{policy.name}: {example.title}: {fault}" for fault in told]


def _anchor(policy: Policy, silence: SilenceRow) -> datetime | None:
    if policy.anchor == "since":
        return silence.since
    return silence.last_interview_at if silence.interviews else None


def _wall_clock(policy: Policy, moment: datetime, *, is_end: bool = False) -> str:
    """`2026-03-02 09:00 EST`; the end of a day is its 24:00, which is what a law means."""
    local = policy.calendar.local(moment)
    zone = local.tzname()
    if is_end and (local.hour, local.minute, local.second) == (0, 0, 0):
        day = local.date().fromordinal(local.toordinal() - 1)
        return f"{day.isoformat()} 24:00 {zone}"
    return f"{local:%Y-%m-%d %H:%M} {zone}"


def _one_line(text: str | None) -> str:
    """Names of stages come from outside: printable characters only, on one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text or "").split())


def _utc(moment: datetime | None) -> str:
    return "never" if moment is None else moment.isoformat()
