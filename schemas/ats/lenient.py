"""Reading somebody else's JSON without ever raising: what is missing or odd is None or empty."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

Json = dict[str, Any]

# Before it are "never" (year 1), empty spreadsheet cells (1900), and seconds since 1970 that are
# taken for milliseconds.
FIRST_ATS = datetime(1990, 1, 1, tzinfo=UTC)
"""No system that could tell of it is older."""
LONGEST_AHEAD = timedelta(days=5 * 365)
"""No appointment is made for a later time; what says so stands for "never"."""

# An id is text of the source; longer than this it is something else in the wrong place.
_LONGEST_ID = 200
# Not an e-mail (@), a telephone number (+), nor words with blanks between.
_PLAIN_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}\Z")
_LONGEST_TIME = 40


def opaque_id(value: Any) -> str | None:
    """An id as text, exactly as it came: `7`, `"007"` and `"NA"` are ids, `7.0` and `""` are not.

    A number too long for 64 bits arrives here as a float; it has lost digits, so it is no id.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip() and len(value) <= _LONGEST_ID:
        return value
    return None


def plain_id(value: Any) -> str | None:
    """An id that may be shown: as `opaque_id`, and nothing that could be an address or a name."""
    found = opaque_id(value)
    return found if found is not None and _PLAIN_ID.match(found) else None


def part(holder: Any, key: str) -> Json:
    """The object under `key`, or an empty one."""
    found = holder.get(key) if isinstance(holder, dict) else None
    return found if isinstance(found, dict) else {}


def text(value: Any) -> str | None:
    """Text with something in it, without the blanks around it; None for anything else."""
    return value.strip() or None if isinstance(value, str) else None


def objects(entries: Any) -> list[Json]:
    """The objects of a list; nothing of anything else."""
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def values(entries: Any) -> tuple[str, ...]:
    """The values of `[{"value": …, "type": …}]`, each once; others are skipped."""
    if not isinstance(entries, list) or not entries:
        return ()
    found: dict[str, None] = {}
    for entry in entries:
        value = entry.get("value") if isinstance(entry, dict) else None
        if isinstance(value, str) and (value := value.strip()):
            found[value] = None
    return tuple(found)


def iso_instant(value: Any) -> datetime | None:
    """The aware time of an ISO 8601 date-time; None for anything else.

    A time without a zone names no moment, and a date no time.
    """
    return _iso_instant(value) if isinstance(value, str) and len(value) <= _LONGEST_TIME else None


@lru_cache(maxsize=4_096)
def _iso_instant(written: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(written.strip())
        # Also asks whether it has an equivalent in UTC: the first hours of year 1 may not.
        return None if at.tzinfo is None or at.astimezone(UTC) is None else at
    except (ValueError, OverflowError):
        return None
