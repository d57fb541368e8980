"""Every way the receiver says no: status, code, and a sentence with what to do.

An answer is JSON, `{"error": code, "message": …}`, and never personal. The only 5xx is 503 with
Retry-After: a delivery could not be stored, or its sender takes 401 for the last word.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

RETRY_AFTER_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way to say no."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def body(self) -> bytes:
        """The answer as sent."""
        return orjson.dumps({"error": self.code, "message": self.message})


_CLOSE = (b"connection", b"close")
_RETRY = (b"retry-after", str(RETRY_AFTER_SECONDS).encode())

UNKNOWN_CONNECTION = Refusal(
    404,
    "unknown_connection",
    "No connection has this name; correct the address or add the connection.",
)
WRONG_METHOD = Refusal(
    405,
    "wrong_method",
    "Deliveries are sent with POST; set the sender to POST.",
    ((b"allow", b"POST"),),
)
NOT_AUTHENTIC = Refusal(
    401,
    "not_authentic",
    "The signature matches no live secret of this connection; "
    "compare the secrets of both sides and the clock.",
)
NOT_AUTHENTIC_YET = Refusal(
    503,
    NOT_AUTHENTIC.code,
    NOT_AUTHENTIC.message,
    (_RETRY,),
)
"""The same, to a sender that never tries again after 401 (`refusal_code` of its adapter)."""
TOO_LARGE = Refusal(
    413,
    "too_large",
    "The body is larger than this connection takes; send less, or raise JOURNEY_MAX_BODY_BYTES.",
    (_CLOSE,),
)
WRONG_CONTENT_TYPE = Refusal(
    415,
    "wrong_content_type",
    "The content type is not one that this connection reads; set the sender to JSON.",
)
NOT_JSON = Refusal(400, "not_json", "The body is not JSON; send the event as a JSON document.")
TOO_SLOW = Refusal(
    408, "too_slow", "The body did not arrive in time; send the delivery again.", (_CLOSE,)
)
NOT_STORED = Refusal(
    503,
    "not_stored",
    "The delivery could not be stored; send it again later.",
    (_RETRY,),
)
BUSY = Refusal(
    503,
    "busy",
    "Too much is arriving at once; send the delivery again later.",
    (_RETRY, _CLOSE),
)
REFUSALS = (
    UNKNOWN_CONNECTION, WRONG_METHOD, NOT_AUTHENTIC, NOT_AUTHENTIC_YET, TOO_LARGE,
    WRONG_CONTENT_TYPE, NOT_JSON, TOO_SLOW, NOT_STORED, BUSY,
)  # fmt: skip
"""Every refusal of the door, for the docs."""
