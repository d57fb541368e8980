"""Proposes a map for a log nobody described: what its columns and activities seem to be.

The proposal is a map that loads, with a comment wherever somebody who knows the log must look:
`# CHECK`. It names columns and activities, and never what stands in a row.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import yaml

from consumers.imports import column_words
from consumers.imports.activity_words import Guess, guess, plain
from consumers.imports.column_facts import Column, Dates
from consumers.imports.csv_log import ROW_NUMBER, CsvLog
from consumers.imports.formats import open_log
from consumers.imports.log_file import LogFile, UnreadableLog
from consumers.imports.ocel import EVENT_ID, OBJECT_TYPE
from consumers.imports.reading import Opened

SAMPLE = 2_000
"""Rows from which columns are judged."""

MOST_ROWS = 200_000
"""Rows in which activities are counted."""

_MOST_ACTIVITIES = 200
_LONGEST_ACTIVITY = 200
_CHECK = "  # CHECK"
_WIDE_FROM = 3
_MOST_EVENTS_A_CASE = 20


@dataclass(slots=True)
class _Sampled:
    """What was read of a log."""

    name: str
    rows: int = 0
    columns: dict[str, Column] = field(default_factory=dict)
    is_object_centric: bool = False
    is_table: bool = False
    encoding: str | None = None

    def find(self, names: Sequence[str], *, but: Sequence[str | None] = ()) -> str | None:
        """The column that has the first of these names."""
        by_name: dict[str, str] = {}
        for column in self.columns:
            by_name.setdefault(plain(column), column)
        return next(
            (by_name[each] for each in names if by_name.get(each) not in (None, *but)), None
        )


@dataclass(slots=True)
class _Proposal:
    """The lines of a map, and what was decided on the way."""

    lines: list[str] = field(default_factory=list)
    used: dict[str, None] = field(default_factory=dict)

    def say(self, key: str, value: str, remark: str = "") -> None:
        """A line of its own."""
        self.lines.append(f"{key}: {_quoted(value)}{remark}")

    def column(self, key: str, column: str, remark: str = "") -> None:
        """A line that names a column."""
        self.used[column] = None
        self.say(key, column, remark)


def suggest(log: LogFile | Path) -> str:
    """A map for this log as commented YAML; it loads. Raises UnreadableLog.

    Reads at most `MOST_ROWS` rows, holding a sample of each column and no row.
    """
    if isinstance(log, Path):
        log = open_log(log)
    encoding = None
    if isinstance(log, CsvLog):
        encoding = _encoding_of(log.path)
        log = CsvLog(log.path, encoding=encoding) if encoding else log
    sampled = _sample(log, encoding)
    if not sampled.rows:
        raise UnreadableLog(f"{log.path.name} has no rows from which a map could be proposed")
    proposal = _Proposal()
    case = _say_whose(proposal, sampled)
    if _is_wide(sampled, case):
        _say_steps(proposal, sampled)
    else:
        _say_events(proposal, sampled, log, case)
    return "\n".join((*_head(sampled), *proposal.lines)) + "\n"


# --- reading --------------------------------------------------------------------------------


def _sample(log: LogFile, encoding: str | None) -> _Sampled:
    sampled = _Sampled(log.path.name, encoding=encoding)
    columns = log.columns
    for column in columns or ():
        sampled.columns[column] = Column(column)
    for _, cells, broken in islice(log.rows(), SAMPLE):
        if broken is not None:
            continue
        sampled.rows += 1
        sampled.is_table = isinstance(cells, list)
        told = zip(columns or (), cells, strict=False) if sampled.is_table else cells.items()
        for column, value in told:
            if value.strip():
                sampled.columns.setdefault(column, Column(column)).add(value)
    sampled.is_object_centric = EVENT_ID in sampled.columns
    return sampled


def _encoding_of(path: Path) -> str | None:
    """The encoding of a table that is not in UTF-8; None for one that is."""
    opened = Opened(path)
    try:
        start = opened.read(1 << 20)
    finally:
        opened.close()
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    text = start.rsplit(b"\n", 1)[0]
    if _decodes(text, "utf-8-sig"):
        return None
    if _decodes(text, "cp932") and re.search("[ぁ-ヿ一-鿿]{2}", text.decode("cp932")):
        return "cp932"
    return "cp1252" if _decodes(text, "cp1252") else "latin-1"


def _decodes(text: bytes, encoding: str) -> bool:
    try:
        text.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _counted(log: LogFile, column: str) -> tuple[Counter[str], bool]:
    """How often each activity occurs, and whether that was counted to the end."""
    key = log.key(column)
    counts: Counter[str] = Counter()
    rows = log.rows()
    for _, cells, broken in islice(rows, MOST_ROWS):
        if broken is None:
            activity = cells[key]
            if activity in counts or len(counts) < 10 * _MOST_ACTIVITIES:
                counts[activity] += 1
    return counts, next(rows, None) is None


# --- whose ----------------------------------------------------------------------------------


def _head(sampled: _Sampled) -> Iterator[str]:
    yield f"# A proposal for {_comment(sampled.name)}, from its columns and activities."
    yield "# Look at every line that says CHECK, then: journey import FILE --map THIS --dry-run"
    yield f"source: {_source(sampled.name)}{_CHECK}: what this log's system is called"
    if sampled.encoding is not None:
        yield f"encoding: {sampled.encoding}{_CHECK}: it is not UTF-8"


def _say_whose(proposal: _Proposal, sampled: _Sampled) -> str | None:
    """`case`, `candidate`, `person` and what is personal. The case's column."""
    personal = _personal(sampled)
    # A column called Application may hold its date.
    no_ids = (*personal.values(), *(name for name, each in sampled.columns.items() if each.dates))
    case = _case(proposal, sampled, no_ids)
    candidate = sampled.find(column_words.CANDIDATES, but=(case, *no_ids))
    is_subject = candidate is not None and plain(candidate) == "subject"
    if candidate is not None and not is_subject and case is not None:
        proposal.column("candidate", candidate, f"{_CHECK}: the person, by an id")
    _say_personal(proposal, sampled, personal)
    return case


def _case(proposal: _Proposal, sampled: _Sampled, no_ids: Sequence[str]) -> str | None:
    if sampled.is_object_centric:
        case = _case_object(sampled)
        if case is not None:
            others = [c for c in sampled.columns if c.startswith(OBJECT_TYPE) and c != case]
            remark = f"{_CHECK}: or {', '.join(others)}" if others else ""
            proposal.column("case", case, remark)
            return case
    named = sampled.find(column_words.CASES, but=no_ids)
    if named is not None and sampled.columns[named].filled:
        proposal.column("case", named)
        return named
    named = sampled.find(column_words.CANDIDATES, but=no_ids)
    if named is not None and sampled.columns[named].filled:
        proposal.column("case", named, f"{_CHECK}: the application has no column of its own?")
        return named
    if sampled.is_table:
        proposal.say("case", ROW_NUMBER, f"{_CHECK}: no column names the application")
        return None
    likely = [c for c in sampled.columns.values() if c.repeats and c.name not in no_ids]
    chosen = max(likely, key=lambda c: len(c.counts), default=None)
    name = chosen.name if chosen else next(iter(sampled.columns))
    proposal.column("case", name, f"{_CHECK}: which column names the application?")
    return name


def _case_object(sampled: _Sampled) -> str | None:
    """The object type most likely to be the application: by its name, else by how it is used."""
    named = [c for c in sampled.columns if c.startswith(OBJECT_TYPE)]
    for pattern in ("applications?$|candidatur|bewerbung|応募", "candidate|applicant|candidat"):
        for column in named:
            if re.search(pattern, plain(column)):
                return column

    def fits(column: str) -> float:
        """Events that have just one, unless it has so many events that it is no case."""
        counts = sampled.columns[column].counts
        alone = [count for value, count in counts.items() if "," not in value]
        return min(sum(alone), len(alone) * _MOST_EVENTS_A_CASE) if any(alone) else 0

    return max(named, key=fits, default=None)


def _personal(sampled: _Sampled) -> dict[str, str]:
    """What of the personal field stands in which column."""
    found: dict[str, str] = {}
    for column in sampled.columns.values():
        name = plain(column.name)
        last = plain(column.name.rpartition(".")[2].rpartition(":")[2])
        if column.has_emails or (re.search(r"\be ?mail\b", last) and not column.counts):
            found.setdefault("emails", column.name)
        elif column.has_phones and not re.search("id$|number$|no$", last):
            found.setdefault("phones", column.name)
        elif (
            column_words.NAMES.search(last)
            and not column_words.NO_NAMES.search(name)
            and not column.dates
        ):
            found.setdefault("name", column.name)
        elif column_words.TEXTS.search(last):
            found.setdefault("text", column.name)
        elif column_words.ADDRESSES.search(last):
            found.setdefault("addresses", column.name)
        elif column_words.LINKS.search(name):
            found.setdefault("links", column.name)
    return found


def _say_personal(proposal: _Proposal, sampled: _Sampled, personal: dict[str, str]) -> None:
    keys = {"emails": "email", "phones": "phone"}
    named = {keys[what]: column for what, column in personal.items() if what in keys}
    if named:
        proposal.lines.append("person:  # known by these across sources")
        for key, column in named.items():
            proposal.used[column] = None
            proposal.lines.append(f"  {key}: {_quoted(column)}")
    if personal:
        proposal.lines.append("personal:  # sealed, and kept nowhere else")
        for what, column in personal.items():
            proposal.used[column] = None
            if what == "text":
                proposal.lines.append(f"  text: {{comment: {_quoted(column, flow=True)}}}{_CHECK}")
            else:
                remark = _CHECK if what in ("name", "addresses", "links") else ""
                proposal.lines.append(f"  {what}: {_quoted(column)}{remark}")


# --- long: an event a row -------------------------------------------------------------------


def _say_events(proposal: _Proposal, sampled: _Sampled, log: LogFile, case: str | None) -> None:
    event_id = sampled.find(column_words.EVENT_IDS, but=(case,))
    if event_id is not None and sampled.columns[event_id].is_unique:
        proposal.column("event_id", event_id)
    activity = _activity(sampled, tuple(proposal.used))
    if activity is None:
        activity = next(iter(sampled.columns))
        proposal.column("activity", activity, f"{_CHECK}: which column says what happened?")
    else:
        proposal.column("activity", activity)
    _say_time(proposal, sampled)
    _say_lifecycle(proposal, sampled)
    precision = sampled.find(("time precision", "precision", "occurred precision"))
    if precision and set(sampled.columns[precision].counts) <= {"day", "minute", "instant"}:
        proposal.column("precision", precision)
    for key, names in (("actor", column_words.ACTORS), ("job", column_words.JOBS)):
        column = sampled.find(names, but=tuple(proposal.used))
        if column is not None and sampled.columns[column].filled:
            proposal.column(key, column)
    proposal.lines += ["", *_unused(proposal, sampled), *_activities(log, activity)]
    proposal.lines.append("other: unrecognised_touchpoint  # kept by their own names; or: ignore")


def _activity(sampled: _Sampled, used: Sequence[str]) -> str | None:
    """By its name; else the column with few values of which words speak of hiring."""
    named = sampled.find(column_words.ACTIVITIES, but=used)
    if named is not None and sampled.columns[named].filled:
        return named
    best, most = None, 0
    for column in sampled.columns.values():
        if column.name in used or not column.repeats or len(column.counts) > _MOST_ACTIVITIES:
            continue
        known = sum(1 for value in column.counts if guess(value).sure)
        if known > most:
            best, most = column.name, known
    return best


def _say_time(proposal: _Proposal, sampled: _Sampled) -> None:
    used = tuple(proposal.used)
    dated = {
        column.name: dates
        for column in sampled.columns.values()
        if column.name not in used and (dates := column.dates) is not None
    }
    by_name = [
        name for each in column_words.TIMES if (name := sampled.find((each,), but=used)) is not None
    ]
    column = next((name for name in by_name if name in dated), None)
    if column is None and dated:
        column = max(dated, key=lambda name: sampled.columns[name].filled)
    if column is None:
        named = by_name[0] if by_name else next(iter(sampled.columns))
        proposal.column("time", named, f"{_CHECK}: which column says when, and how?")
        return
    is_named = column in by_name
    proposal.column("time", column, "" if is_named else f"{_CHECK}: which column says when?")
    _say_formats(proposal, [dated[column]])


def _say_formats(proposal: _Proposal, found: Sequence[Dates]) -> None:
    formats = tuple(dict.fromkeys(form for dates in found for form in dates.formats))
    if any(dates.is_naive or dates.has_days for dates in found):
        proposal.lines.append(
            f"time_zone: UTC{_CHECK}: the times have no offset; which zone are they in?"
        )
    if formats:
        listed = ", ".join(json.dumps(form, ensure_ascii=False) for form in formats)
        doubtful = any(dates.doubtful for dates in found)
        remark = f"{_CHECK}: is the day before the month?" if doubtful else ""
        proposal.lines.append(f"time_formats: [{listed}]{remark}")
    if any(dates.all_midnight for dates in found):
        proposal.lines.append(
            '# time_formats: ["%Y-%m-%dT00:00:00", "%Y-%m-%d 00:00:00"]'
            "  # CHECK: every time is midnight; say so if these are dates"
        )
    elif any(dates.has_days for dates in found) and any(dates.has_clocks for dates in found):
        proposal.lines.append(
            "# Dates stand beside times: a date neither precedes nor follows a time of its day."
        )


def _say_lifecycle(proposal: _Proposal, sampled: _Sampled) -> None:
    column = sampled.find(column_words.LIFECYCLES)
    if column is None or len(sampled.columns[column].counts) < 2:
        return
    complete = [value for value in sampled.columns[column].counts if plain(value) == "complete"]
    if complete:
        others = sorted(set(sampled.columns[column].counts) - set(complete))
        proposal.used[column] = None
        proposal.lines += [
            f"lifecycle:{_CHECK}: only what was completed, not {_comment(', '.join(others))}",
            f"  column: {_quoted(column)}",
            f"  keep: [{', '.join(_quoted(value, flow=True) for value in complete)}]",
        ]


def _activities(log: LogFile, column: str) -> Iterator[str]:
    counts, is_all = _counted(log, column)
    named = [
        (activity, count)
        for activity, count in counts.most_common()
        if activity.strip() and "@" not in activity and len(activity) <= _LONGEST_ACTIVITY
    ]
    yield f"activities:{'' if is_all else f'  # counted in the first {MOST_ROWS:,} rows'}"
    for activity, count in named[:_MOST_ACTIVITIES]:
        yield f"  {_quoted(activity)}: {_meaning(activity, guess(activity), f'{count:,}')}"
    if len(named) > _MOST_ACTIVITIES:
        more = len(named) - _MOST_ACTIVITIES
        yield f"  # CHECK: and {more:,} more; is this really the activity?"
    if not named:
        yield "  {}"


def _meaning(activity: str, found: Guess, counted: str) -> str:
    """A kind and its comment. One that is not sure is only told in the comment."""
    if not found.sure:
        perhaps = "" if found.kind == "unrecognised_touchpoint" else f": perhaps {found.kind}"
        return f"unrecognised_touchpoint{_CHECK} ({counted}){perhaps}"
    remark = "; ".join(part for part in (counted, found.remark) if part)
    kind = found.kind
    if found.stage:
        kind = f"{{kind: {kind}, stage: {_quoted(activity, flow=True)}}}"
    return f"{kind}  # {remark}" if remark else kind


def _unused(proposal: _Proposal, sampled: _Sampled) -> Iterator[str]:
    left = [name for name in sampled.columns if name not in proposal.used]
    if left:
        shown = ", ".join(_comment(name) for name in left[:20])
        more = f" and {len(left) - 20} more" if len(left) > 20 else ""
        yield f"# Not used: {shown}{more}"


# --- wide: a case a row ---------------------------------------------------------------------


def _date_columns(sampled: _Sampled) -> dict[str, Dates]:
    return {
        column.name: dates
        for column in sampled.columns.values()
        if (dates := column.dates) is not None and dates.share >= 0.8
    }


def _is_wide(sampled: _Sampled, case: str | None) -> bool:
    """A date column a step, and a row a case."""
    if not sampled.is_table or len(_date_columns(sampled)) < _WIDE_FROM:
        return False
    if case is not None and sampled.columns[case].repeats:
        return False
    return case is not None or sampled.find(column_words.TIMES) is None


def _say_steps(proposal: _Proposal, sampled: _Sampled) -> None:
    dated = _date_columns(sampled)
    _say_formats(proposal, list(dated.values()))
    outcome = sampled.find(column_words.OUTCOMES, but=(*dated, *proposal.used))
    steps: list[str] = []
    for name in dated:
        proposal.used[name] = None
        count = f"{sampled.columns[name].filled:,}"
        if outcome is not None and column_words.FINALS.search(plain(name)):
            steps += _by_outcome(name, sampled.columns[outcome], count)
            proposal.used[outcome] = None
        else:
            steps.append(f"  {_quoted(name)}: {_meaning(name, guess(name), count)}")
    proposal.lines += ["", *_unused(proposal, sampled), "steps:", *steps]


def _by_outcome(name: str, outcome: Column, count: str) -> Iterator[str]:
    """A last step that says only when; what it was stands in another column."""
    yield f"  {_quoted(name)}:  # {count}{_CHECK}: what it was is told by {_comment(outcome.name)}"
    yield "    kind: unrecognised_touchpoint"
    yield f"    by: {_quoted(outcome.name)}"
    yield "    values:"
    for value, times in outcome.counts.most_common(20):
        if "@" not in value and len(value) <= _LONGEST_ACTIVITY:
            yield f"      {_quoted(value)}: {_meaning(value, guess(value), f'{times:,}')}"


# --- YAML -----------------------------------------------------------------------------------


def _quoted(text: str, *, flow: bool = False) -> str:
    """A text as YAML reads it back; plain where that is safe."""
    try:
        plainly = f"{{a: {text}}}" if flow else f"{text}: {text}"
        expected = {"a": text} if flow else {text: text}
        if text == text.strip() and "#" not in text and yaml.safe_load(plainly) == expected:
            return text
    except (yaml.YAMLError, ValueError, TypeError):
        pass
    return json.dumps(text) if not text.isprintable() else json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    """A text that stays within its comment."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _source(name: str) -> str:
    stem = name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_.:-]+", "-", stem).strip("-")[:100] or "log"


__all__ = ["MOST_ROWS", "SAMPLE", "suggest"]
