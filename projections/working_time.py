"""Working time: when an office works, and which moment lies so much of it later.

A `Calendar` knows a place's working hours (local wall-clock hours), its time zone and its public
holidays. A `Duration` is what people write: `5 working days`, `36 working hours`, `3 days`. What
each unit means is told at `Unit`; the borderline cases (Friday evening, holiday Monday, the
weekend the clocks change, 29 February, year end) are promises in `test_working_time.py`.

Tens of thousands of deadlines are computed in a rebuild, so a calendar keeps a table of working
spans for each year, made when first needed, and finds its way in it by bisection.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import holidays

__all__ = ["END_OF_TIME", "Calendar", "Duration", "Hours", "Unit", "WrongCalendar", "WrongDuration"]

_NOTHING = timedelta(0)
_DAY = timedelta(days=1)
_MIDNIGHT = time(0)
_MINUTES_IN_DAY = 24 * 60

START_OF_TIME = datetime(2, 1, 1, tzinfo=UTC)
"""Sources write "never" as year 1. Earlier moments count as this one, so no zone overflows."""
END_OF_TIME = datetime(9998, 1, 1, tzinfo=UTC)
"""What would be due later than this (a source's other "never") is due then."""

_LAST_DAY = END_OF_TIME.toordinal() - 1
_YEARS_WITH_HOLIDAYS = range(1900, 2200)
"""Outside these years no holidays are known, and tables are not kept: a hostile log cannot fill
the memory with calendars of the year 5000."""


class WrongDuration(ValueError):
    """A duration is not written as one."""


class WrongCalendar(ValueError):
    """A calendar names a place, zone or hours that do not exist."""


class Unit(StrEnum):
    """What a duration counts. `moment` is where it is counted from.

    - `minutes`, `hours`: time as it passes, day and night.
    - `days`, `weeks`: the same local wall-clock time so many calendar days later, so a day on
      which the clocks change still counts as one. A local time the change skips is taken as far
      behind the gap; one that comes twice is taken the first time.
    - `whole days`: calendar days as laws count them. The day of `moment` does not count; due is
      the end of the last day, that is the local midnight after it.
    - `working hours`: hours in which the calendar works.
    - `working days`: counted from the next working moment, the same local time so many working
      days later. If that day does not work at that time, then at its next working moment, or
      else at its close.
    """

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    WHOLE_DAYS = "whole days"
    WORKING_HOURS = "working hours"
    WORKING_DAYS = "working days"


_HOURS, _WEEKS, _WHOLE_DAYS = Unit.HOURS, Unit.WEEKS, Unit.WHOLE_DAYS
_MINUTES, _WORKING_HOURS, _WORKING_DAYS = Unit.MINUTES, Unit.WORKING_HOURS, Unit.WORKING_DAYS
_WRITTEN = re.compile(r"\s*(\d{1,6})\s+((?:working |whole )?[a-z]+?)s?\s*")
_LONGEST = timedelta(days=3660)
_EACH = {_MINUTES: timedelta(minutes=1), _HOURS: timedelta(hours=1), _WEEKS: timedelta(weeks=1)}
_EACH[_WORKING_HOURS] = _EACH[_HOURS]


@dataclass(frozen=True, slots=True)
class Duration:
    """So many of a unit, at least one and at most about ten years. Raises WrongDuration."""

    count: int
    unit: Unit
    nominal: timedelta = field(init=False, repr=False, compare=False)
    """The duration with every day taken as 24 hours."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise WrongDuration(f"a duration of {self.count} {self.unit} is none; write 1 or more")
        object.__setattr__(self, "nominal", self.count * _EACH.get(self.unit, _DAY))
        if self.nominal > _LONGEST:
            raise WrongDuration(f"a duration of {self.count} {self.unit} is longer than ten years")

    @classmethod
    def parse(cls, text: str) -> Duration:
        """A duration from text such as `5 working days`, `1 day`, `36 working hours`.

        Raises WrongDuration, naming the units there are.
        """
        written = _WRITTEN.fullmatch(text)
        unit = " ".join(written[2].split()) + "s" if written else ""
        if written is None or unit not in {known.value for known in Unit}:
            units = ", ".join(known.value for known in Unit)
            raise WrongDuration(f"{text!r} is no duration; write a number and one of: {units}")
        return cls(int(written[1]), Unit(unit))

    def __str__(self) -> str:
        unit = self.unit.value
        return f"{self.count} {unit.removesuffix('s') if self.count == 1 else unit}"


Hours = tuple[tuple[int, int], ...]
"""The working spans of a day: minutes of the local day, from (included) and to (excluded)."""

_NINE_TO_FIVE: Hours = ((9 * 60, 17 * 60),)
_WEEKDAYS_NINE_TO_FIVE: tuple[Hours, ...] = (*(_NINE_TO_FIVE,) * 5, (), ())


class _Year:
    """The working spans of one local year of a calendar, in UTC, in order.

    `starts`, `ends`: the spans. `before`, `after`: working time of the year before and after
    each span. `day_of`: the working day of each span, an index into `days`.
    `days`: dates; `first`: a day's first span; `midnights`: from where its wall clock would have
    counted, had it run evenly to the first span; `even`: whether it runs so to the last.
    """

    __slots__ = (
        "after", "before", "begins", "day_of", "days", "ends", "even", "first", "following",
        "midnights", "starts", "total", "year",
    )  # fmt: skip

    def __init__(self, calendar: Calendar, year: int) -> None:
        self.year = year
        self.begins = calendar.at_local(date(year, 1, 1), _MIDNIGHT)
        self.following = calendar.at_local(date(year + 1, 1, 1), _MIDNIGHT)
        self.starts: list[datetime] = []
        self.ends: list[datetime] = []
        self.before: list[timedelta] = []
        self.after: list[timedelta] = []
        self.day_of: list[int] = []
        self.days: list[date] = []
        self.first: list[int] = []
        self.midnights: list[datetime] = []
        self.even: list[bool] = []
        self.total = _NOTHING
        free = calendar.holidays_of(year)
        for ordinal in range(date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal()):
            day = date.fromordinal(ordinal)
            hours = calendar.hours[day.weekday()]
            if hours and day not in free and calendar.has_day(ordinal):
                self._add_day(calendar, day, hours)

    def _add_day(self, calendar: Calendar, day: date, hours: Hours) -> None:
        first = len(self.starts)
        for begin, end in hours:
            start = calendar.at_minute(day, begin)
            if self.ends:  # a skipped hour may push one span into the next
                start = max(start, self.ends[-1])
            stop = calendar.at_minute(day, end)
            if stop <= start:
                continue
            self.starts.append(start)
            self.ends.append(stop)
            self.before.append(self.total)
            self.total += stop - start
            self.after.append(self.total)
            self.day_of.append(len(self.days))
        if len(self.starts) == first:
            return
        midnight = self.starts[first] - timedelta(minutes=hours[0][0])
        self.days.append(day)
        self.first.append(first)
        self.midnights.append(midnight)
        self.even.append(self.ends[-1] - midnight == timedelta(minutes=hours[-1][1]))

    def worked_by(self, moment: datetime) -> timedelta:
        """Working time of this year up to a moment within it."""
        index = bisect_right(self.starts, moment) - 1
        if index < 0:
            return _NOTHING
        if moment >= self.ends[index]:
            return self.after[index]
        return self.before[index] + (moment - self.starts[index])

    def spans_of(self, day: int) -> range:
        """The spans of a working day, by its index in `days`."""
        behind = self.first[day + 1] if day + 1 < len(self.first) else len(self.starts)
        return range(self.first[day], behind)


@dataclass(frozen=True)
class Calendar:
    """Working hours of a place. Equal calendars compute alike; it pickles without its tables.

    `zone` is an IANA name, `hours` one tuple of spans for each weekday from Monday, `country` and
    `subdivision` are the codes of the `holidays` library (`CA`, `ON`); no country, no holidays.
    Threads may share one: at worst two of them make the same table. Raises WrongCalendar.
    """

    name: str
    zone: str = "UTC"
    hours: tuple[Hours, ...] = _WEEKDAYS_NINE_TO_FIVE
    country: str | None = None
    subdivision: str | None = None
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)
    _years: dict[int, _Year] = field(init=False, repr=False, compare=False)
    _midnights: dict[int, datetime] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_hours(self.name, self.hours)
        self._prepare()
        self.holidays_of(2026)  # an unknown country is an error now, not at the first silence

    def _prepare(self) -> None:
        try:
            zone = ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise WrongCalendar(f"calendar {self.name}: no time zone {self.zone!r}") from error
        object.__setattr__(self, "_zone", zone)
        object.__setattr__(self, "_years", {})
        object.__setattr__(self, "_midnights", {})

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    # --- the questions -----------------------------------------------------------------------

    def is_working(self, moment: datetime) -> bool:
        """Whether the office works at this moment. Spans include their start, not their end."""
        moment = _within_time(moment)
        year = self._year_at(moment)
        index = bisect_right(year.starts, moment) - 1
        return index >= 0 and moment < year.ends[index]

    def between(self, begin: datetime, end: datetime) -> timedelta:
        """Working time from one moment to another; negative if they come the other way round."""
        if end < begin:
            return -self.between(end, begin)
        begin, end = _within_time(begin), _within_time(end)
        first, last = self._year_at(begin), self._year_at(end)
        worked = last.worked_by(end) - first.worked_by(begin)
        while first.year < last.year:
            worked += first.total
            first = self._table(first.year + 1)
        return worked

    def add(self, moment: datetime, duration: timedelta | Duration) -> datetime:
        """The moment (UTC) that lies a duration later; a timedelta is working time.

        Working time is due as soon as it has passed: 8 working hours from Monday 9:00 end on
        Monday 17:00, not on Tuesday 9:00. Raises ValueError for a negative timedelta.
        """
        if isinstance(duration, Duration):
            return self.add_each(moment, (duration,))[0]
        if duration < _NOTHING:
            raise ValueError(f"cannot add {duration} of working time: it is negative")
        return self._add_working_time(_within_time(moment), duration)

    def add_each(self, moment: datetime, durations: Sequence[Duration]) -> list[datetime]:
        """`add` for several durations from one moment, which costs little more than one."""
        moment = _within_time(moment)
        place: _Place | None = None
        due: list[datetime] = []
        for duration in durations:
            unit = duration.unit
            if unit is _WORKING_DAYS:
                place = place or self._place(moment)
                due.append(self._add_working_days(place, duration.count))
            elif unit is _WORKING_HOURS:
                due.append(self._add_working_time(moment, duration.nominal))
            elif unit is _HOURS or unit is _MINUTES:
                due.append(min(moment + duration.nominal, END_OF_TIME))
            else:
                due.append(self._add_days(moment, duration))
        return due

    def local(self, moment: datetime) -> datetime:
        """The moment on this calendar's wall clock."""
        return _within_time(moment).astimezone(self._zone)

    # --- days and holidays -------------------------------------------------------------------

    def at_local(self, day: date, at: time) -> datetime:
        """A local wall-clock time as a moment in UTC."""
        return datetime.combine(day, at, self._zone).astimezone(UTC)

    def at_minute(self, day: date, minute: int) -> datetime:
        """A minute of a local day, 1440 being the midnight after it, as a moment in UTC."""
        if minute == _MINUTES_IN_DAY:
            return self.at_local(day + _DAY, _MIDNIGHT)
        return self.at_local(day, time(minute // 60, minute % 60))

    def has_day(self, ordinal: int) -> bool:
        """Whether a day exists here: Samoa had no 30 December 2011."""
        return self._midnight(ordinal) < self._midnight(ordinal + 1)

    def holidays_of(self, year: int) -> frozenset[date]:
        """The public holidays of a year, those kept on another day (observed) included."""
        if self.country is None or year not in _YEARS_WITH_HOLIDAYS:
            return frozenset()
        # The year after is asked too: its 1 January may be kept on our 31 December.
        years = [year, year + 1]
        try:
            days = holidays.country_holidays(self.country, subdiv=self.subdivision, years=years)
        except NotImplementedError as error:
            raise WrongCalendar(f"calendar {self.name}: no holidays known: {error}") from error
        return frozenset(day for day in days if day.year == year)

    # --- tables ------------------------------------------------------------------------------

    def _table(self, year: int) -> _Year:
        table = self._years.get(year)
        if table is None:
            table = _Year(self, year)
            if year in _YEARS_WITH_HOLIDAYS:
                self._years[year] = table
        return table

    def _year_at(self, moment: datetime) -> _Year:
        """The table whose local year holds a moment; near New Year it is not the UTC year."""
        table = self._table(moment.year)
        if moment < table.begins:
            return self._table(moment.year - 1)
        if moment >= table.following:
            return self._table(moment.year + 1)
        return table

    def _after(self, table: _Year) -> _Year | None:
        """The table of the year after, unless time ends there."""
        return self._table(table.year + 1) if table.following < END_OF_TIME else None

    def _midnight(self, ordinal: int) -> datetime:
        """When a local day begins, in UTC; the day is its proleptic ordinal."""
        midnight = self._midnights.get(ordinal)
        if midnight is None:
            day = date.fromordinal(ordinal)
            midnight = self.at_local(day, _MIDNIGHT)
            if day.year in _YEARS_WITH_HOLIDAYS:
                self._midnights[ordinal] = midnight
        return midnight

    # --- the arithmetic ----------------------------------------------------------------------

    def _add_working_time(self, moment: datetime, working: timedelta) -> datetime:
        if not working:
            return moment
        table: _Year | None = self._year_at(moment)
        assert table is not None
        target = table.worked_by(moment) + working
        while target > table.total:
            target -= table.total
            table = self._after(table)
            if table is None:
                return END_OF_TIME
        if table.year >= END_OF_TIME.year:
            return END_OF_TIME
        index = bisect_left(table.after, target)
        return table.starts[index] + (target - table.before[index])

    def _place(self, moment: datetime) -> _Place:
        """The next working moment: its table, its working day, its wall-clock time.

        The time is a timedelta since midnight, or a `time` on a day whose clock changes while
        the office works.
        """
        table = self._year_at(moment)
        index = bisect_right(table.starts, moment) - 1
        if index < 0 or moment >= table.ends[index]:
            index += 1
            while index >= len(table.starts):
                table, index = self._table(table.year + 1), 0
            moment = table.starts[index]
        day = table.day_of[index]
        if table.even[day]:
            return table, day, moment - table.midnights[day]
        return table, day, moment.astimezone(self._zone).time()

    def _add_working_days(self, place: _Place, count: int) -> datetime:
        table, day, at = place
        day += count
        while day >= len(table.days):
            day -= len(table.days)
            following = self._after(table)
            if following is None:
                return END_OF_TIME
            table = following
        if table.year >= END_OF_TIME.year:
            return END_OF_TIME
        if isinstance(at, timedelta) and table.even[day]:
            wanted = table.midnights[day] + at
        else:
            clock = at if isinstance(at, time) else _clock(at)
            wanted = self.at_local(table.days[day], clock)
        return _fit(table, day, wanted)

    def _add_days(self, moment: datetime, duration: Duration) -> datetime:
        today = moment.toordinal()
        midnight = self._midnight(today)
        if moment < midnight:
            today, midnight = today - 1, self._midnight(today - 1)
        elif moment >= (following := self._midnight(today + 1)):
            today, midnight = today + 1, following
        day = today + duration.nominal.days + (duration.unit is _WHOLE_DAYS)
        if day >= _LAST_DAY:
            return END_OF_TIME
        due = self._midnight(day)
        if duration.unit is _WHOLE_DAYS:
            return due
        if self._midnight(today + 1) - midnight == _DAY == self._midnight(day + 1) - due:
            return due + (moment - midnight)
        return self.at_local(date.fromordinal(day), moment.astimezone(self._zone).time())


_Place = tuple[_Year, int, time | timedelta]


def _clock(since_midnight: timedelta) -> time:
    return (datetime.combine(date.min, _MIDNIGHT) + since_midnight).time()


def _fit(table: _Year, day: int, wanted: datetime) -> datetime:
    """A moment within a day's spans: itself, the next working moment, or the day's close."""
    index = table.first[day]
    if table.starts[index] <= wanted < table.ends[index]:
        return wanted
    for index in table.spans_of(day):
        if wanted < table.ends[index]:
            return max(wanted, table.starts[index])
    return table.ends[index]


def _within_time(moment: datetime) -> datetime:
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None:
            raise ValueError(f"the time {moment.isoformat()} has no zone, so it names no moment")
        if not START_OF_TIME.year < moment.year < END_OF_TIME.year - 1:
            # Changing zones would overflow, and hours do not matter to a "never".
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    if moment < START_OF_TIME:
        return START_OF_TIME
    return moment if moment < END_OF_TIME else END_OF_TIME


def _check_hours(name: str, hours: tuple[Hours, ...]) -> None:
    if len(hours) != 7 or not any(hours):
        raise WrongCalendar(f"calendar {name}: needs working hours on at least one weekday")
    for spans in hours:
        last = 0
        for begin, end in spans:
            if not last <= begin < end <= _MINUTES_IN_DAY:
                raise WrongCalendar(
                    f"calendar {name}: the hours of a day must be in order and not overlap"
                )
            last = end
