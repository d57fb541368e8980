"""What stands in the columns of a log: dates and how they are written, addresses, few words.

Facts of a sample of rows, for `suggest.py`. Values are looked at and never told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

_MOST_VALUES = 300
_MOST_DISTINCT = 2_000
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+?[\d(][\d\s().\-/]{6,18}\d")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)")
_MIDNIGHT = re.compile(r"^(.{10}[T ])00:00(:00(\.0+)?)?$")
_DATES = (
    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%Y年%m月%d日", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y",
    "%b %d, %Y", "%B %d, %Y",
)  # fmt: skip
_CLOCKS = (
    "", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S", " %H:%M:%S%z", " %I:%M %p",
    " %I:%M:%S %p", ", %H:%M", ", %H:%M:%S", "%H時%M分", " %Hh%M",
)  # fmt: skip
_LIKE_A_DATE = re.compile(
    r"\d{1,4}[/.年-]\d{1,2}[/.月-]\d{1,4}"
    r"|\d{1,2}[ -][^\W\d]{3,9}[ -]\d{4}|[^\W\d]{3,9} \d{1,2}, \d{4}"
)
_OTHER_ORDER = {"%d/%m": "%m/%d", "%d-%m": "%m-%d"}


@dataclass
class Column:
    """A column of the sample: how many cells are filled, and some of their values.

    It is asked only once all its cells are added.
    """

    name: str
    filled: int = 0
    values: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, value: str) -> None:
        """One cell that is not empty."""
        self.filled += 1
        if len(self.values) < _MOST_VALUES:
            self.values.append(value)
        if len(self.counts) < _MOST_DISTINCT or value in self.counts:
            self.counts[value] += 1

    @property
    def is_unique(self) -> bool:
        """No two rows have the same."""
        return self.filled > 0 and len(self.counts) == self.filled

    @property
    def repeats(self) -> bool:
        """Rows belong together by it."""
        return self.filled > len(self.counts)

    def share(self, pattern: re.Pattern[str]) -> float:
        """How many of the values are nothing else."""
        told = sum(1 for value in self.values if pattern.fullmatch(value.strip()))
        return told / len(self.values) if self.values else 0.0

    @property
    def has_emails(self) -> bool:
        """Most are e-mail addresses."""
        return self.share(_EMAIL) >= 0.5

    @property
    def has_phones(self) -> bool:
        """Looks like phone numbers; ids of digits alone do not."""
        spelled = [value for value in self.values if re.search(r"[+\s()\-/]", value.strip())]
        return (
            len(spelled) * 2 > len(self.values)
            and self.share(_PHONE) >= 0.8
            and not (self.dates and self.dates.share > 0.5)
        )

    @cached_property
    def dates(self) -> Dates | None:
        """How dates are written in it; None when it holds none."""
        return dates_in(self.values)


@dataclass(frozen=True, slots=True)
class Dates:
    """How the dates of a column are written.

    `formats` is empty for ISO 8601. `share` is how many values are dates, `doubtful` whether
    day and month may be the other way round.
    """

    share: float
    formats: tuple[str, ...] = ()
    is_naive: bool = False
    has_days: bool = False
    has_clocks: bool = False
    all_midnight: bool = False
    doubtful: bool = False


def dates_in(values: Sequence[str]) -> Dates | None:
    """How dates are written here; None when fewer than half of the values are some."""
    told = [value.strip() for value in values]
    if not told:
        return None
    iso = [value for value in told if _is_iso(value)]
    if len(iso) * 2 > len(told):
        return _iso_dates(iso, len(iso) / len(told))
    # Trying every way to write a date is slow, and most columns hold none.
    if sum(1 for value in told if _LIKE_A_DATE.match(value)) * 2 <= len(told):
        return None
    best: tuple[int, str, dict[str, None]] | None = None
    for date in _DATES:
        used, count = _read(told, date)
        if count * 2 > len(told) and (best is None or count > best[0]):
            best = count, date, used
    if best is None:
        return None
    count, date, used = best
    return Dates(
        share=count / len(told),
        formats=tuple(used),
        is_naive=not all("%z" in form for form in used),
        has_days=date in used,
        has_clocks=any(form != date for form in used),
        doubtful=_read_as_other(told, date) == count,
    )


def _iso_dates(values: Sequence[str], share: float) -> Dates:
    clocks = [value for value in values if len(value) > 10]
    return Dates(
        share=share,
        is_naive=any(datetime.fromisoformat(value).tzinfo is None for value in clocks),
        has_days=len(clocks) < len(values),
        has_clocks=bool(clocks),
        all_midnight=len(clocks) >= 10 and all(_MIDNIGHT.match(value) for value in clocks),
    )


def _is_iso(value: str) -> bool:
    if not _ISO.match(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _read(values: Iterable[str], date: str) -> tuple[dict[str, None], int]:
    """The formats of this way to write a date that are in use, and how many values they read."""
    used: dict[str, None] = {}
    count = 0
    for value in values:
        form = next((date + clock for clock in _CLOCKS if _fits(value, date + clock)), None)
        if form is not None:
            used[form] = None
            count += 1
    return used, count


def _read_as_other(values: Sequence[str], date: str) -> int:
    other = _OTHER_ORDER.get(date[:5])
    return _read(values, other + date[5:])[1] if other else -1


def _fits(value: str, form: str) -> bool:
    try:
        datetime.strptime(value, form)  # noqa: DTZ007
    except ValueError:
        return False
    return True


__all__ = ["Column", "Dates", "dates_in"]
