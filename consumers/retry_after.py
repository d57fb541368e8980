"""The `Retry-After` header in both of its forms."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(text: str | None, now: datetime, *, longest_seconds: float) -> float | None:
    """Seconds to wait, at most `longest_seconds`; None for no header and for nonsense."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        # A number of hundreds of digits is as long as the longest wait, too.
        seconds = float(text[:12])
    else:
        try:
            seconds = (parsedate_to_datetime(text) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), longest_seconds)
