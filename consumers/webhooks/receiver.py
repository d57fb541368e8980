"""The path of a delivery: verify, keep, answer.

A success code means "never lost": raw bytes, headers and arrival time are committed before it
is sent. A plain ASGI function, since it is run for every delivery.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from consumers.ats_adapters.adapter import OWN_HEADERS, Adapter, Delivery, Probe
from consumers.connections import Connection
from consumers.errors import NotAuthentic, Unavailable
from consumers.inbox import Arrival, Status, new_delivery_id
from consumers.webhooks.group_commit import Keeper
from consumers.webhooks.refusals import (
    BUSY,
    NOT_AUTHENTIC,
    NOT_AUTHENTIC_YET,
    NOT_JSON,
    NOT_STORED,
    TOO_LARGE,
    TOO_SLOW,
    UNKNOWN_CONNECTION,
    WRONG_CONTENT_TYPE,
    WRONG_METHOD,
    Refusal,
)
from journey.clock import Clock

log = structlog.get_logger()

PREFIX = "/webhooks/"
MAX_BODY_BYTES = 1024 * 1024
READ_FACTOR = 8
"""An authentic delivery of up to so many times the limit is kept, though not translated."""

_READ_SECONDS = 30.0
_HELD_FACTOR = 64
_MOST_REFUSED_WAITING = 256
_MOST_HEADER_CHARACTERS = 8192
# Of no use later, or somebody's password, or an address on the way.
_WITHHELD_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"}
)
_SKIPPED_HEADERS = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "connection", "content-length", "expect",
        "forwarded", "host", "keep-alive", "te", "traceparent", "tracestate",
        "transfer-encoding", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port",
        "x-forwarded-proto", "x-real-ip", "x-request-id",
    }
)  # fmt: skip
_JSON_HEADER = (b"content-type", b"application/json")


class _Refused(Exception):
    """A request ends here, with this answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class _Gone(Exception):
    """The sender hung up before the body was complete; nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class _Door:
    """A connection with its adapter and success code at hand."""

    connection: Connection
    adapter: Adapter
    success_code: int
    success_start: dict[str, Any]
    not_authentic: Refusal


class Receiver:
    """The ASGI function behind `/webhooks/<connection>`."""

    def __init__(
        self,
        keeper: Keeper,
        connections: Mapping[str, Connection],
        adapters: Mapping[str, Adapter],
        clock: Clock,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._doors = {
            name: _door(connection, adapters[connection.source])
            for name, connection in connections.items()
        }
        self._held_bytes = 0
        self._refused_waiting = 0

    @property
    def success_codes(self) -> set[int]:
        """The codes that say "never lost", one or more."""
        return {door.success_code for door in self._doors.values()} or {200}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            door = self._doors.get(_connection_name(scope))
            if door is None:
                _refuse(UNKNOWN_CONNECTION)
            headers = _headers(scope)
            if scope["method"] == "POST":
                await self._deliver(door, headers, receive, send)
            else:
                await _shake_hands(door, headers, scope["method"], send)
        except _Refused as refused:
            refusal = refused.refusal
            body = b"" if scope["method"] == "HEAD" else refusal.body
            await _answer(send, refusal.status, body, refusal.headers)
        except _Gone:
            pass
        except Exception:
            # Our bug. The sender keeps the delivery and tries again, so nothing is lost.
            log.exception("the receiver failed")
            await _answer(send, NOT_STORED.status, NOT_STORED.body, NOT_STORED.headers)

    async def _deliver(
        self, door: _Door, headers: dict[str, str], receive: Receive, send: Send
    ) -> None:
        held_bytes = 0
        if _declared_bytes(headers) > self._max_body_bytes * READ_FACTOR:
            await self._refuse_too_large(door, headers)
        try:
            message = await receive()
            body = message.get("body", b"")
            held_bytes = len(body)
            self._held_bytes += held_bytes
            if message["type"] == "http.disconnect":
                raise _Gone
            if message.get("more_body", False) or held_bytes > self._max_body_bytes:
                self._held_bytes -= held_bytes
                held_bytes = 0
                body = await self._read_on(door, headers, body, message, receive)
                held_bytes = len(body)
                self._held_bytes += held_bytes
            delivery, probe = await self._keep(door, headers, body)
        except TimeoutError:
            _refuse(TOO_SLOW)
        finally:
            self._held_bytes -= held_bytes
        if probe is not None:
            await _answer_probe(send, probe, door.success_code)
        elif door.success_code == 204:
            await _answer(send, 204, b"", ())
        else:
            await send(door.success_start)
            answer = b'{"delivery_id":"%b"}' % delivery.delivery_id.encode()
            await send({"type": "http.response.body", "body": answer})

    async def _read_on(
        self,
        door: _Door,
        headers: dict[str, str],
        body: bytes,
        message: Mapping[str, Any],
        receive: Receive,
    ) -> bytes:
        """The whole of a body that came in pieces. Raises _Refused(TOO_LARGE) past the most."""
        most_bytes = self._max_body_bytes * READ_FACTOR
        size_bytes = len(body)
        too_large = size_bytes > most_bytes
        pieces = [body]
        self._held_bytes += size_bytes
        try:
            async with asyncio.timeout(_READ_SECONDS):
                while not too_large and message.get("more_body", False):
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    piece = message.get("body", b"")
                    pieces.append(piece)
                    size_bytes += len(piece)
                    self._held_bytes += len(piece)
                    too_large = size_bytes > most_bytes
                    if self._held_bytes > self._max_body_bytes * _HELD_FACTOR:
                        _refuse(BUSY)
        finally:
            self._held_bytes -= size_bytes
        if too_large:
            await self._refuse_too_large(door, headers)
        return b"".join(pieces)

    async def _refuse_too_large(self, door: _Door, headers: dict[str, str]) -> NoReturn:
        """Whether it is authentic cannot be known without all of it, so only a trace is kept."""
        most_bytes = self._max_body_bytes * READ_FACTOR
        delivery = self._delivery(door, headers, b"")
        await self._keep_refused(delivery, f"the body is larger than {most_bytes} bytes")
        _refuse(TOO_LARGE)

    async def _keep(
        self, door: _Door, headers: dict[str, str], body: bytes
    ) -> tuple[Delivery, Probe | None]:
        """Verify, look once, commit. Raises _Refused when the answer is no."""
        delivery = self._delivery(door, headers, body)
        await self._verify(door, delivery, headers)
        refusal: Refusal | None = None
        probe: Probe | None = None
        status: Status = "pending"
        reason: str | None = None
        reference: str | None = None
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if len(body) > self._max_body_bytes:
            refusal, reason = TOO_LARGE, f"the body has {len(body)} bytes"
        elif content_type and not _reads(door.adapter, content_type):
            refusal, reason = WRONG_CONTENT_TYPE, "the content type is not one the adapter reads"
        else:
            document: Any | None = None
            if not content_type or "json" in content_type:
                try:
                    document = orjson.loads(body)
                except orjson.JSONDecodeError:
                    refusal, reason = NOT_JSON, "the body is not JSON"
            if refusal is None:
                probe = self._probe(door, delivery, headers, document)
                if probe is not None:
                    status, reason = "probe", probe.name
                else:
                    reference = self._reference(door, delivery, headers, document)
        if refusal is not None:
            # Authentic, so it is kept, and can be redriven when the adapter or limit changed.
            status = "dead"
        try:
            await self._keeper.keep(Arrival(delivery, status, reason, reference))
        except Unavailable:
            raise _Refused(NOT_STORED) from None
        if refusal is not None:
            _refuse(refusal)
        return delivery, probe

    async def _verify(self, door: _Door, delivery: Delivery, headers: dict[str, str]) -> None:
        try:
            door.adapter.verify(
                headers, delivery.body, door.connection.secrets, delivery.received_at
            )
        except NotAuthentic as error:
            await self._keep_refused(delivery, str(error))
            raise _Refused(door.not_authentic) from None
        except Exception:
            # Our bug. The sender keeps the delivery and tries again, so nothing is lost.
            log.exception(
                "the adapter failed to verify a delivery",
                delivery_id=delivery.delivery_id,
                connection=delivery.connection,
            )
            await self._keep_refused(delivery, "the adapter failed to verify it")
            raise _Refused(NOT_STORED) from None

    def _probe(
        self, door: _Door, delivery: Delivery, headers: dict[str, str], document: Any | None
    ) -> Probe | None:
        try:
            return door.adapter.is_probe(headers, document, "POST")
        except Exception:
            # Our bug; an authentic delivery is kept all the same and looked at by ingest.
            log.exception(
                "the adapter failed to look for a probe",
                delivery_id=delivery.delivery_id,
                connection=delivery.connection,
            )
            return None

    def _reference(
        self, door: _Door, delivery: Delivery, headers: dict[str, str], document: Any | None
    ) -> str | None:
        """Whom it is about, where its keeper goes by that."""
        if not self._keeper.goes_by_reference:
            return None
        try:
            return door.adapter.reference(headers, document, door.connection)
        except Exception:
            # Our bug; a delivery without a reference only loses its order.
            log.exception(
                "the adapter failed to look whom a delivery is about",
                delivery_id=delivery.delivery_id,
                connection=delivery.connection,
            )
            return None

    async def _keep_refused(self, delivery: Delivery, reason: str) -> None:
        """Keep it to look at, if there is room: whoever floods us must not crowd others out."""
        log.info(
            "a delivery was refused",
            delivery_id=delivery.delivery_id,
            connection=delivery.connection,
            reason=reason,
        )
        if self._refused_waiting >= _MOST_REFUSED_WAITING:
            return
        self._refused_waiting += 1
        try:
            # It is refused all the same when it cannot be stored.
            with contextlib.suppress(Unavailable):
                await self._keeper.keep(Arrival(delivery, "refused", reason))
        finally:
            self._refused_waiting -= 1

    def _delivery(self, door: _Door, headers: dict[str, str], body: bytes) -> Delivery:
        now = self._clock.now()
        connection = door.connection
        return Delivery(
            new_delivery_id(now),
            connection.name,
            connection.source,
            now,
            _kept_headers(headers),
            body,
        )


def _door(connection: Connection, adapter: Adapter) -> _Door:
    code = connection.success_code or adapter.success_code
    # {"delivery_id":"<36 characters>"}
    start = _start(code, ((b"content-length", b"54"), _JSON_HEADER))
    not_authentic = NOT_AUTHENTIC if adapter.refusal_code == 401 else NOT_AUTHENTIC_YET
    return _Door(connection, adapter, code, start, not_authentic)


def _refuse(refusal: Refusal) -> NoReturn:
    raise _Refused(refusal)


def _connection_name(scope: Scope) -> str:
    """What stands after the prefix; a slash at the end is forgiven."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path.removeprefix(PREFIX).removesuffix("/")


def _headers(scope: Scope) -> dict[str, str]:
    """Headers as text with lower-case names; one that came twice is joined."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1")
        value = raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _declared_bytes(headers: dict[str, str]) -> int:
    declared = headers.get("content-length", "")
    return int(declared[:19]) if declared.isascii() and declared.isdigit() else 0


def _kept_headers(headers: dict[str, str]) -> dict[str, str]:
    """What of the headers is stored: enough to translate and to look into, no passwords."""
    kept: dict[str, str] = {}
    room = _MOST_HEADER_CHARACTERS
    for name, value in headers.items():
        # Names that are ours say how we came by a delivery; nobody outside may say that.
        if name in _SKIPPED_HEADERS or name.startswith(OWN_HEADERS):
            continue
        kept_value = "(not kept)" if name in _WITHHELD_HEADERS else value
        room -= len(name) + len(kept_value)
        if room < 0:
            kept["journey-headers"] = "(more were not kept)"
            break
        kept[name] = kept_value
    return kept


def _reads(adapter: Adapter, content_type: str) -> bool:
    return not adapter.content_types or content_type in adapter.content_types


async def _shake_hands(door: _Door, headers: dict[str, str], method: str, send: Send) -> None:
    """Answer a handshake that is not a POST. Nobody signs these, and nothing of them is kept."""
    try:
        probe = door.adapter.is_probe(headers, None, method)
    except Exception:
        log.exception("the adapter failed to look for a probe", connection=door.connection.name)
        probe = None
    if probe is None:
        _refuse(WRONG_METHOD)
    if method == "HEAD":
        probe = Probe(probe.name, probe.status, probe.headers, b"", probe.content_type)
    await _answer_probe(send, probe, door.success_code)


async def _answer_probe(send: Send, probe: Probe, success_code: int) -> None:
    headers = tuple(
        (name.lower().encode("latin-1", "ignore"), value.encode("latin-1", "ignore"))
        for name, value in probe.headers.items()
    )
    content_type = probe.content_type.encode("latin-1", "ignore")
    await _answer(send, probe.status or success_code, probe.body, headers, content_type)


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    headers: tuple[tuple[bytes, bytes], ...],
    content_type: bytes = b"application/json",
) -> None:
    own: list[tuple[bytes, bytes]] = []
    if status != 204:
        own.append((b"content-length", str(len(body)).encode()))
    if body:
        own.append((b"content-type", content_type))
    await send(_start(status, (*own, *headers)))
    await send({"type": "http.response.body", "body": body if status != 204 else b""})


def _start(status: int, headers: tuple[tuple[bytes, bytes], ...]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}
