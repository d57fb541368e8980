"""Times as logs write them: ISO 8601 or a format of the map, with or without a zone.

A million of them are read in a row, so what neighbours share is worked out once: the offset a text
ends in, and the offset of a named zone in that hour.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from consumers.imports.log_file import BrokenRow
from schemas.event import Precision, Quality

_MOST_CACHED = 50_000
_DAY_LENGTHS = (len("2026-03-02"), len("20260302"))
_SECOND_LENGTH = len("20260302T090000")
_NO_TIME = timedelta(0)
_OUTSIDE = "its time lies outside the years 1 to 9999"


When = tuple[datetime, int, Quality, Precision]
"""A moment in UTC, the minutes of the offset it was told in, and how well it is known."""


class Moments:
    """Reads the times of one log."""

    def __init__(self, time_zone: str | None, formats: tuple[str, ...] = ()) -> None:
        self._zone = ZoneInfo(time_zone) if time_zone else None
        self._formats = formats
        self._hours: dict[str, tuple[timedelta, int, Quality]] = {}

    def read(self, text: str) -> When:
        """The moment a text names. Raises BrokenRow, without quoting the text.

        A time that a clock shows twice (autumn) is taken as the first, with quality `inferred`.
        """
        # The usual case first: to the second, in UTC. Parsing makes the very object `UTC` of it.
        if not self._formats:
            try:
                at = datetime.fromisoformat(text)
            except ValueError:
                pass
            else:
                if at.tzinfo is UTC and text[16:17] == ":":
                    return at, 0, "exact", "instant"
        at, precision = self._parsed(text)
        if at.tzinfo is None:
            return self._local(at, precision)
        offset = at.utcoffset() or _NO_TIME
        try:
            return at.astimezone(UTC), offset // timedelta(minutes=1), "exact", precision
        except OverflowError:
            raise BrokenRow(_OUTSIDE) from None

    def _parsed(self, text: str) -> tuple[datetime, Precision]:
        for form in self._formats:
            try:
                return datetime.strptime(text, form), _precision_of(form)  # noqa: DTZ007
            except ValueError:
                continue
        try:
            return datetime.fromisoformat(text), _told_precision(text)
        except ValueError:
            # RFC 3339 allows small letters, and what filled a column with blanks meant none.
            plain = text.strip().upper()
            if plain != text:
                return self._parsed(plain)
            raise BrokenRow(
                "its time is no ISO 8601 time"
                + (" and of none of the map's `time_formats`" if self._formats else "")
                + "; mend it or add its form to `time_formats`"
            ) from None

    def _local(self, at: datetime, precision: Precision) -> When:
        if self._zone is None:
            if precision == "day":
                return at.replace(tzinfo=UTC), 0, "exact", precision
            raise BrokenRow("its time has no zone; name the log's own under `time_zone`")
        hour = at.isoformat(timespec="hours")
        known = self._hours.get(hour)
        if known is None:
            known = self._hour(at, hour)
        offset, minutes, quality = known
        try:
            return (at - offset).replace(tzinfo=UTC), minutes, quality, precision
        except OverflowError:
            raise BrokenRow(_OUTSIDE) from None

    def _hour(self, at: datetime, hour: str) -> tuple[timedelta, int, Quality]:
        """The zone's offset at a local time; whole hours share it unless the clock changes then."""
        first = at.replace(tzinfo=self._zone, fold=0).utcoffset() or _NO_TIME
        second = at.replace(tzinfo=self._zone, fold=1).utcoffset() or _NO_TIME
        quality: Quality = "exact" if first == second else "inferred"
        known = (first, first // timedelta(minutes=1), quality)
        start = at.replace(minute=0, second=0, microsecond=0, tzinfo=self._zone)
        end = start.replace(minute=59, second=59)
        # Some zones change within an hour (Lord Howe by half of one): such an hour is not kept.
        if start.utcoffset() == end.utcoffset() == first and quality == "exact":
            if len(self._hours) >= _MOST_CACHED:
                self._hours.clear()
            self._hours[hour] = known
        return known


def _told_precision(text: str) -> Precision:
    """How finely a time of ISO 8601 is told, with or without `-` and `:` between its parts."""
    if text[16:17] == ":":
        return "instant"
    if len(text) in _DAY_LENGTHS:
        return "day"
    is_basic = text[4:5] != "-" and len(text) >= _SECOND_LENGTH
    return "instant" if is_basic and text[13:_SECOND_LENGTH].isdigit() else "minute"


def _precision_of(form: str) -> Precision:
    if not any(part in form for part in ("%H", "%I", "%X", "%c")):
        return "day"
    return "instant" if any(part in form for part in ("%S", "%X", "%c", "%f")) else "minute"


__all__ = ["Moments", "When"]
