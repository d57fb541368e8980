"""What working time promises, at its borders most of all."""

from __future__ import annotations

import pickle
import random
import threading
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from projections.working_time import (
    END_OF_TIME,
    Calendar,
    Duration,
    Unit,
    WrongCalendar,
    WrongDuration,
)

NINE_TO_FIVE = ((540, 1020),)
WEEK = (*(NINE_TO_FIVE,) * 5, (), ())
TORONTO = Calendar("toronto", "America/Toronto", country="CA", subdivision="ON")
BERLIN = Calendar("berlin", "Europe/Berlin", country="DE", subdivision="BE")
PLAIN = Calendar("plain")


def local(calendar: Calendar, text: str) -> datetime:
    """A wall-clock time of a calendar, as a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(calendar.zone)).astimezone(UTC)


def after(calendar: Calendar, start: str, duration: str) -> str:
    """What lies `duration` after a wall-clock time, on the same wall clock."""
    due = calendar.add(local(calendar, start), Duration.parse(duration))
    return due.astimezone(ZoneInfo(calendar.zone)).strftime("%a %Y-%m-%d %H:%M")


# --- durations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "count", "unit"),
    [
        ("5 working days", 5, Unit.WORKING_DAYS),
        ("1 working day", 1, Unit.WORKING_DAYS),
        ("36 working hours", 36, Unit.WORKING_HOURS),
        ("3 days", 3, Unit.DAYS),
        ("45 whole days", 45, Unit.WHOLE_DAYS),
        (" 4  hours ", 4, Unit.HOURS),
        ("1 hour", 1, Unit.HOURS),
        ("2 weeks", 2, Unit.WEEKS),
        ("30 minutes", 30, Unit.MINUTES),
    ],
)
def test_a_duration_is_read_as_people_write_it(written: str, count: int, unit: Unit) -> None:
    """A number and a unit, singular or plural."""
    assert Duration.parse(written) == Duration(count, unit)


@pytest.mark.parametrize(
    "written",
    ["", "5", "days", "5 werkdays", "-1 days", "1.5 hours", "5 working minutes", "whole days 5"],
)
def test_what_is_no_duration_is_refused_with_the_units_there_are(written: str) -> None:
    """The error names the units, so that the next try is right."""
    with pytest.raises(WrongDuration, match="working days"):
        Duration.parse(written)


@pytest.mark.parametrize("written", ["0 days", "3661 days", "999999 weeks", "100000 working hours"])
def test_a_duration_of_nothing_or_of_more_than_ten_years_is_refused(written: str) -> None:
    """Such a figure is a slip of the pen."""
    with pytest.raises(WrongDuration):
        Duration.parse(written)


@pytest.mark.parametrize("written", ["1 day", "2 working days", "45 whole days", "1 hour"])
def test_a_duration_writes_itself_as_it_is_read(written: str) -> None:
    """Text and duration are two forms of one thing."""
    assert str(Duration.parse(written)) == written


# --- working days ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "duration", "due"),
    [
        # within the day, and over the weekend
        ("2026-06-04 12:00", "1 working day", "Fri 2026-06-05 12:00"),
        ("2026-06-05 12:00", "1 working day", "Mon 2026-06-08 12:00"),
        # Friday: the last working moment, closing time, the evening; all meet Monday's opening
        ("2026-06-05 16:59", "1 working day", "Mon 2026-06-08 16:59"),
        ("2026-06-05 17:00", "1 working day", "Tue 2026-06-09 09:00"),
        ("2026-06-05 21:00", "1 working day", "Tue 2026-06-09 09:00"),
        ("2026-06-07 03:00", "1 working day", "Tue 2026-06-09 09:00"),
        ("2026-06-08 09:00", "1 working day", "Tue 2026-06-09 09:00"),
        # Victoria Day, a holiday Monday
        ("2026-05-15 10:00", "1 working day", "Tue 2026-05-19 10:00"),
        ("2026-05-15 18:00", "1 working day", "Wed 2026-05-20 09:00"),
        ("2026-05-18 10:00", "1 working day", "Wed 2026-05-20 09:00"),
        # the clocks change on Sunday 8 March and Sunday 1 November
        ("2026-03-06 10:00", "1 working day", "Mon 2026-03-09 10:00"),
        ("2026-10-30 10:00", "1 working day", "Mon 2026-11-02 10:00"),
        # 29 February, and no 29 February
        ("2028-02-28 10:00", "1 working day", "Tue 2028-02-29 10:00"),
        ("2028-02-29 10:00", "1 working day", "Wed 2028-03-01 10:00"),
        ("2027-02-26 10:00", "1 working day", "Mon 2027-03-01 10:00"),
        # year end: Boxing Day 2026 is a Saturday, kept on Monday 28
        ("2026-12-24 10:00", "1 working day", "Tue 2026-12-29 10:00"),
        ("2026-12-31 10:00", "1 working day", "Mon 2027-01-04 10:00"),
        ("2026-12-31 20:00", "1 working day", "Tue 2027-01-05 09:00"),
        ("2026-12-31 10:00", "400 working days", "Tue 2028-08-01 10:00"),
    ],
)
def test_working_days_end_at_the_same_local_time(start: str, duration: str, due: str) -> None:
    """Counted from the next working moment, over weekends, holidays, clock changes and years."""
    assert after(TORONTO, start, duration) == due


def test_a_working_day_that_closes_early_ends_at_its_close() -> None:
    """Thursday 16:00 plus a working day, where Friday closes at 13:00, is Friday 13:00."""
    short = Calendar("short", hours=(*(NINE_TO_FIVE,) * 4, ((540, 780),), (), ()))
    assert after(short, "2026-06-04 16:00", "1 working day") == "Fri 2026-06-05 13:00"


def test_a_working_day_does_not_end_in_a_lunch_break() -> None:
    """Thursday 12:30, where Friday breaks from 12:00 to 13:00, is Friday 13:00."""
    breaks = Calendar("breaks", hours=(*(NINE_TO_FIVE,) * 4, ((540, 720), (780, 1020)), (), ()))
    assert after(breaks, "2026-06-04 12:30", "1 working day") == "Fri 2026-06-05 13:00"


def test_a_working_day_that_opens_late_does_not_end_before_it() -> None:
    """Thursday 9:00, where Friday opens at 11:00, is Friday 11:00."""
    late = Calendar("late", hours=(*(NINE_TO_FIVE,) * 4, ((660, 1020),), (), ()))
    assert after(late, "2026-06-04 09:00", "1 working day") == "Fri 2026-06-05 11:00"


# --- calendar days and passing hours --------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "duration", "due"),
    [
        ("2026-06-05 21:00", "3 days", "Mon 2026-06-08 21:00"),
        ("2026-06-05 21:00", "2 weeks", "Fri 2026-06-19 21:00"),
        # the days of the clock change are days like others
        ("2026-03-07 12:00", "1 day", "Sun 2026-03-08 12:00"),
        ("2026-03-08 12:00", "1 day", "Mon 2026-03-09 12:00"),
        ("2026-10-31 12:00", "1 day", "Sun 2026-11-01 12:00"),
        # 2:30 does not exist on 8 March: taken as far behind the gap
        ("2026-03-07 02:30", "1 day", "Sun 2026-03-08 03:30"),
        ("2028-02-28 23:00", "1 day", "Tue 2028-02-29 23:00"),
        ("2026-12-31 23:59", "1 day", "Fri 2027-01-01 23:59"),
    ],
)
def test_days_end_at_the_same_local_time(start: str, duration: str, due: str) -> None:
    """Calendar days go by the wall clock, weekends and holidays included."""
    assert after(TORONTO, start, duration) == due


@pytest.mark.parametrize(
    ("start", "duration", "due"),
    [
        ("2026-03-02 00:00", "45 whole days", "Fri 2026-04-17 00:00"),
        ("2026-03-02 23:59", "45 whole days", "Fri 2026-04-17 00:00"),
        ("2026-03-03 00:00", "45 whole days", "Sat 2026-04-18 00:00"),
        ("2026-01-01 12:00", "1 whole day", "Sat 2026-01-03 00:00"),
        ("2028-02-27 12:00", "2 whole days", "Wed 2028-03-01 00:00"),
        ("2026-12-30 12:00", "1 whole day", "Fri 2027-01-01 00:00"),
    ],
)
def test_whole_days_end_with_the_last_day(start: str, duration: str, due: str) -> None:
    """The first day does not count, the last one does to its end, as laws count."""
    assert after(TORONTO, start, duration) == due


def test_hours_pass_day_and_night_whatever_the_clocks_say() -> None:
    """24 hours over the night the clocks go forward end an hour later on the wall."""
    assert after(TORONTO, "2026-03-07 12:00", "24 hours") == "Sun 2026-03-08 13:00"
    assert after(TORONTO, "2026-03-07 12:00", "90 minutes") == "Sat 2026-03-07 13:30"


# --- working hours --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "duration", "due"),
    [
        ("2026-06-08 09:00", "8 working hours", "Mon 2026-06-08 17:00"),
        ("2026-06-08 09:00", "9 working hours", "Tue 2026-06-09 10:00"),
        ("2026-06-05 16:00", "2 working hours", "Mon 2026-06-08 10:00"),
        ("2026-06-05 23:00", "2 working hours", "Mon 2026-06-08 11:00"),
        ("2026-05-15 16:00", "2 working hours", "Tue 2026-05-19 10:00"),
        ("2026-03-06 16:00", "2 working hours", "Mon 2026-03-09 10:00"),
        ("2026-12-31 16:00", "2 working hours", "Mon 2027-01-04 10:00"),
        ("2026-06-08 09:00", "36 working hours", "Fri 2026-06-12 13:00"),
    ],
)
def test_working_hours_run_only_while_the_office_works(start: str, duration: str, due: str) -> None:
    """They are due as soon as they have passed."""
    assert after(TORONTO, start, duration) == due


def test_hours_that_cross_the_clock_change_have_their_real_length() -> None:
    """A night shift from 0:00 to 8:00 works 7 hours when the clocks go forward, 9 when back."""
    night = Calendar("night", "America/Toronto", hours=(((0, 480),),) * 7)
    forward = night.between(local(night, "2026-03-08 00:00"), local(night, "2026-03-09 00:00"))
    back = night.between(local(night, "2026-11-01 00:00"), local(night, "2026-11-02 00:00"))
    assert (forward, back) == (timedelta(hours=7), timedelta(hours=9))


def test_a_working_day_onto_a_changing_day_keeps_the_wall_clock() -> None:
    """Saturday 6:00 on a night shift plus a working day is Sunday 6:00, change or no change."""
    night = Calendar("night", "America/Toronto", hours=(((0, 480),),) * 7)
    assert after(night, "2026-03-07 06:00", "1 working day") == "Sun 2026-03-08 06:00"
    assert after(night, "2026-03-08 06:00", "1 working day") == "Mon 2026-03-09 06:00"
    assert after(night, "2026-10-31 06:00", "1 working day") == "Sun 2026-11-01 06:00"
    assert after(night, "2026-11-01 06:00", "1 working day") == "Mon 2026-11-02 06:00"


def test_an_office_may_work_round_the_clock() -> None:
    """Hours from 0:00 to 24:00 on every day are all of time."""
    always = Calendar("always", "Europe/Berlin", hours=(((0, 1440),),) * 7)
    start = local(always, "2026-03-28 12:00")
    assert always.add(start, timedelta(hours=100)) == start + timedelta(hours=100)


# --- moments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "works"),
    [
        ("2026-06-08 08:59", False),
        ("2026-06-08 09:00", True),
        ("2026-06-08 16:59", True),
        ("2026-06-08 17:00", False),
        ("2026-06-07 12:00", False),
        ("2026-05-18 12:00", False),
    ],
)
def test_the_office_works_from_opening_until_before_closing(moment: str, works: bool) -> None:
    """The opening moment is working time, the closing moment, Sundays and holidays are not."""
    assert TORONTO.is_working(local(TORONTO, moment)) is works


def test_a_holiday_kept_on_another_day_of_the_year_before_is_a_holiday() -> None:
    """1 January 2022 was a Saturday: the United States kept it on Friday 31 December 2021."""
    america = Calendar("us", "America/New_York", country="US")
    assert date(2021, 12, 31) in america.holidays_of(2021)


def test_time_between_is_what_was_added() -> None:
    """`between` undoes `add`, for every moment and any working time."""
    seed = 20260302
    rng = random.Random(seed)
    for calendar in (TORONTO, BERLIN, PLAIN):
        for _ in range(500):
            start = datetime(2015, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**9 // 2))
            working = timedelta(microseconds=rng.randrange(1, 10**13))
            due = calendar.add(start, working)
            assert calendar.between(start, due) == working, f"seed {seed}: {start} {working}"
            assert calendar.between(due, start) == -working


def test_the_tables_agree_with_counting_quarter_hours() -> None:
    """Bisection gives what somebody gets who walks through the weeks by the wall clock."""
    seed = 7
    rng = random.Random(seed)
    odd = (
        ((0, 90), (105, 480)),
        ((540, 720), (780, 1020)),
        ((0, 1440),),
        ((1320, 1440),),
        (),
        (),
        ((0, 480),),
    )
    quarter = timedelta(minutes=15)
    for zone in ("America/Toronto", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati"):
        calendar = Calendar("odd", zone, hours=odd, country="CA")
        free = calendar.holidays_of(2026) | calendar.holidays_of(2027)
        for begin in ("2026-03-05", "2026-03-26", "2026-10-22", "2026-10-29", "2026-12-29"):
            start = datetime.fromisoformat(begin).replace(tzinfo=UTC) + quarter * rng.randrange(96)
            worked, moment = timedelta(0), start
            for _ in range(96 * 8):
                if calendar.is_working(moment):
                    worked += quarter
                    assert calendar.is_working(moment) is _works(calendar, free, moment)
                else:
                    assert not _works(calendar, free, moment), f"{zone} {moment}"
                moment += quarter
                assert calendar.between(start, moment) == worked, f"seed {seed}: {zone} {moment}"


def _works(calendar: Calendar, free: frozenset[date], moment: datetime) -> bool:
    on_the_wall = moment.astimezone(ZoneInfo(calendar.zone))
    minute = on_the_wall.hour * 60 + on_the_wall.minute
    hours = calendar.hours[on_the_wall.weekday()]
    return on_the_wall.date() not in free and any(begin <= minute < end for begin, end in hours)


def test_moments_of_any_zone_are_taken_and_answered_in_utc() -> None:
    """The same moment told in another zone has the same deadline, in UTC."""
    moment = local(TORONTO, "2026-06-05 12:00")
    elsewhere = moment.astimezone(timezone(timedelta(hours=9)))
    due = TORONTO.add(elsewhere, Duration.parse("1 working day"))
    assert due == TORONTO.add(moment, Duration.parse("1 working day"))
    assert due.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    """It names no moment."""
    with pytest.raises(ValueError, match="no zone"):
        PLAIN.add(datetime(2026, 1, 1), timedelta(hours=1))  # noqa: DTZ001


def test_negative_working_time_is_refused_and_none_changes_nothing() -> None:
    """`add` goes forward only."""
    sunday = datetime(2026, 6, 7, tzinfo=UTC)
    assert PLAIN.add(sunday, timedelta(0)) == sunday
    with pytest.raises(ValueError, match="negative"):
        PLAIN.add(sunday, timedelta(hours=-1))


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Toronto"])
def test_the_never_of_a_source_is_a_moment_like_any_other(unit: Unit, zone: str) -> None:
    """Year 1 and year 9999 neither fail nor lie beyond the end of time."""
    calendar = Calendar("any", zone)
    for year in (1, 2, 9997, 9998, 9999):
        for moment in (datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, 23, tzinfo=UTC)):
            due = calendar.add(moment, Duration(3, unit))
            assert due <= END_OF_TIME
            assert due > moment or due == END_OF_TIME


def test_a_day_the_clocks_skipped_is_no_working_day() -> None:
    """Samoa went from Thursday 29 to Saturday 31 December 2011."""
    samoa = Calendar("samoa", "Pacific/Apia")
    assert after(samoa, "2011-12-29 10:00", "1 working day") == "Mon 2012-01-02 10:00"


# --- calendars as things --------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"zone": "Mars/Olympus"},
        {"zone": "../etc/passwd"},
        {"country": "XX"},
        {"country": "CA", "subdivision": "ZZ"},
        {"hours": ((),) * 7},
        {"hours": WEEK[:5]},
        {"hours": (((600, 540),), *WEEK[1:])},
        {"hours": (((540, 700), (690, 900)), *WEEK[1:])},
        {"hours": (((540, 1441),), *WEEK[1:])},
    ],
)
def test_a_calendar_of_no_place_is_refused_by_name(wrong: dict[str, object]) -> None:
    """Unknown zone, country, subdivision or impossible hours fail when the calendar is made."""
    with pytest.raises(WrongCalendar, match="calendar office"):
        Calendar("office", **wrong)  # type: ignore[arg-type]


def test_a_calendar_pickles_without_its_tables() -> None:
    """Worker processes get an equal calendar and make their own tables."""
    used = Calendar("used", "America/Toronto", country="CA", subdivision="ON")
    fresh = pickle.dumps(used)
    due = used.add(datetime(2026, 6, 5, tzinfo=UTC), Duration.parse("5 working days"))
    assert pickle.dumps(used) == fresh
    copy = pickle.loads(fresh)
    assert copy == used
    assert hash(copy) == hash(used)
    assert copy.add(datetime(2026, 6, 5, tzinfo=UTC), Duration.parse("5 working days")) == due


def test_threads_may_share_a_calendar() -> None:
    """Eight threads that make its tables at once all get the same answers."""
    shared = Calendar("shared", "America/Toronto", country="CA", subdivision="ON")
    moments = [datetime(year, 7, 1, tzinfo=UTC) for year in range(2000, 2040)]
    duration = Duration.parse("300 working days")
    answers: list[list[datetime]] = []

    def ask() -> None:
        answers.append([shared.add(moment, duration) for moment in moments])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert all(answer == answers[0] for answer in answers)


def test_far_years_are_not_kept_in_memory() -> None:
    """A log full of impossible dates cannot fill the memory with calendars."""
    calendar = Calendar("far")
    for year in range(3000, 3100):
        calendar.add(datetime(year, 6, 1, tzinfo=UTC), Duration.parse("5 working days"))
        calendar.add(datetime(year, 6, 1, tzinfo=UTC), Duration.parse("5 days"))
    assert not calendar._years
    assert not calendar._midnights
