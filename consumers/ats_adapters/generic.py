"""Any system that speaks CloudEvents 1.0 or Standard Webhooks, read by a mapping file.

CloudEvents come structured, binary (attributes in `ce-` headers, percent-encoded) or as a batch;
Standard Webhooks as `{type, timestamp, data}` with the id in a header. Both prove themselves by
the Standard Webhooks signature headers.

Nothing is made up: an event without an id is untranslatable, because a retry of it could not be
told from a new one; an event without a time happened at an unknown one. Each event of a batch is
decided on its own: the good ones are recorded, and the delivery stays a dead letter for the rest.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import orjson
from pydantic import ValidationError

from consumers.ats_adapters.adapter import Delivery, Probe, Translation
from consumers.ats_adapters.mapping import (
    EventMapping,
    PersonalPaths,
    found_at,
    load_mapping,
    text_fields,
    time_fields,
)
from consumers.ats_adapters.mapping import Mapping as EventMappings
from consumers.ats_adapters.told import json_body
from consumers.connections import Connection
from consumers.errors import Untranslatable
from consumers.webhooks.signatures import verify_standard_webhooks
from journey.errors import ConfigurationError
from schemas.ats.lenient import Json, opaque_id, plain_id, text
from schemas.event import Moment, Quality
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from schemas.registry import touchpoint_class
from schemas.statement import Statement

_BATCH = "application/cloudevents-batch"
_STRUCTURED = "application/cloudevents"
_ORIGIN = re.compile(r"^[A-Za-z0-9.:/*_-]{1,255}\Z")
_LONGEST_LABEL = 200
_MOST_PROBLEMS = 5


class Generic:
    """The adapter of CloudEvents and Standard Webhooks."""

    name = "generic"
    # Any 2xx will do for both; 202 says what is true: kept, and not yet read.
    success_code = 202
    refusal_code = 401
    content_types = frozenset(
        {
            "application/json",
            "application/cloudevents",
            "application/cloudevents+json",
            "application/cloudevents-batch+json",
        }
    )

    def verify(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> None:
        """Standard Webhooks signature over id, time and raw body. Raises NotAuthentic."""
        verify_standard_webhooks(headers, body, secrets, now)

    def is_probe(self, headers: Mapping[str, str], body: Any | None, method: str) -> Probe | None:
        """The CloudEvents handshake: OPTIONS with the origin that asks to send."""
        origin = headers.get("webhook-request-origin", "")
        if method.upper() == "OPTIONS" and _ORIGIN.match(origin):
            return Probe("cloudevents handshake", headers={"WebHook-Allowed-Origin": origin})
        return None

    def reference(
        self, headers: Mapping[str, str], body: Any | None, connection: Connection
    ) -> str | None:
        """The first id of the tool's own that the mapping names; never an address or a number."""
        if not isinstance(body, dict) or connection.mapping is None:
            return None
        try:
            mapping = load_mapping(connection.mapping)
        except ConfigurationError:
            return None
        binary = "ce-specversion" in headers or "ce-id" in headers
        places = mapping.events.get(str(body.get("type"))) if not binary else None
        paths = (places.person if places is not None else None) or mapping.person
        root = {"data": body} if binary else body
        own = {name: found for name, found in paths.items() if not _is_shared(name)}
        named = (key.value for key in _person(root, own, ""))
        return next((found for found in map(plain_id, named) if found), None)

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        """What the delivery says. Raises Untranslatable when no event of it can be read."""
        events = list(_events(delivery))
        if not events:
            return Translation(context="an empty batch")
        mapping = _mapping(connection)
        statements: list[Statement] = []
        problems: list[str] = []
        for number, event in enumerate(events, start=1):
            try:
                statement = _statement(event, delivery, connection, mapping)
            except Untranslatable as error:
                problems.append(
                    error.reason if len(events) == 1 else f"event {number}: {error.reason}"
                )
                continue
            if statement is not None:
                statements.append(statement)
        if problems and not statements:
            raise Untranslatable(_summary(problems, len(events)))
        if not statements:
            return Translation(context="of a type that the mapping ignores")
        return Translation(tuple(statements), problems=tuple(problems))


def _summary(problems: Sequence[str], count: int) -> str:
    if count == 1:
        return problems[0]
    more = f"; and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
    return (
        f"{len(problems)} of {count} events are untranslatable: "
        + "; ".join(problems[:_MOST_PROBLEMS])
        + more
    )


def _mapping(connection: Connection) -> EventMappings:
    if connection.mapping is None:
        raise Untranslatable(f"connection {connection.name} has no mapping; give it one")
    try:
        return load_mapping(connection.mapping)
    except ConfigurationError as error:
        raise Untranslatable(str(error)) from None


# --- envelopes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Event:
    """One event, whatever its envelope: `root` is what paths walk from."""

    event_type: str
    event_id: str | None
    time: Any
    root: Json
    problem: str | None = None


def _events(delivery: Delivery) -> Iterable[_Event]:
    content_type = delivery.headers.get("content-type", "").strip().lower()
    if content_type.startswith(_BATCH):
        return _batch(json_body(delivery.body))
    if content_type.startswith(_STRUCTURED):
        return [cloud_event(json_body(delivery.body))]
    if "ce-specversion" in delivery.headers or "ce-id" in delivery.headers:
        return [_binary(delivery)]
    document = json_body(delivery.body)
    # Sent as plain JSON by systems that cannot set the content type, and from files.
    if isinstance(document, list):
        return _batch(document)
    if isinstance(document, dict) and "specversion" in document:
        return [cloud_event(document)]
    return [_standard_webhook(document, delivery.headers)]


def _batch(document: Any) -> list[_Event]:
    if not isinstance(document, list):
        raise Untranslatable("a batch of CloudEvents is a JSON array, and this is none")
    return [cloud_event(event) for event in document]


def cloud_event(event: Any) -> _Event:
    if not isinstance(event, dict):
        return _Event("", None, None, {}, "the event is not a JSON object")
    problem = None
    if event.get("specversion") != "1.0":
        problem = "specversion is not 1.0"
    if "data_base64" in event and "data" not in event:
        data, problem = _decoded(event, problem)
        event = {**event, "data": data}
    return _from_attributes(event, problem)


def _decoded(event: Json, problem: str | None) -> tuple[Any, str | None]:
    """`data_base64` as JSON where it says it is; other media stay unread."""
    try:
        raw = base64.b64decode(event["data_base64"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        return None, problem or "data_base64 is not base64"
    media = str(event.get("datacontenttype") or "application/json").partition(";")[0].strip()
    if not media.endswith("json"):
        return None, problem
    try:
        return orjson.loads(raw), problem
    except orjson.JSONDecodeError:
        return None, problem or "data_base64 holds no JSON"


def _binary(delivery: Delivery) -> _Event:
    attributes: Json = {
        name.removeprefix("ce-"): unquote(value, errors="replace")
        for name, value in delivery.headers.items()
        if name.startswith("ce-")
    }
    problem = None if attributes.get("specversion") == "1.0" else "ce-specversion is not 1.0"
    media = delivery.headers.get("content-type", "application/json").partition(";")[0].strip()
    is_json = media.lower().endswith("json") and bool(delivery.body.strip())
    attributes["data"] = json_body(delivery.body) if is_json else None
    return _from_attributes(attributes, problem)


def _from_attributes(event: Json, problem: str | None) -> _Event:
    source, event_id, event_type = (event.get(key) for key in ("source", "id", "type"))
    for name, value in (("id", event_id), ("source", source), ("type", event_type)):
        if problem is None and not (isinstance(value, str) and value.strip()):
            problem = f"the attribute {name} is missing; it is required by CloudEvents 1.0"
    return _Event(
        event_type if isinstance(event_type, str) else "",
        # Source and id together name an event (CloudEvents 1.0, "id").
        f"{source}#{event_id}" if problem is None else None,
        event.get("time"),
        event,
        problem,
    )


def _standard_webhook(document: Any, headers: Mapping[str, str]) -> _Event:
    if not isinstance(document, dict):
        return _Event("", None, None, {}, "the body is not a JSON object")
    event_type = document.get("type")
    is_text = isinstance(event_type, str) and bool(event_type.strip())
    # The header's timestamp is that of the attempt, a new one each time, so it is no event time.
    return _Event(
        event_type if isinstance(event_type, str) else "",
        headers.get("webhook-id") or headers.get("svix-id"),
        document.get("timestamp"),
        document,
        None if is_text else "type is missing",
    )


# --- statements -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Places:
    """Where things are for one event: its own mapping before the one for all."""

    mapping: EventMappings
    event: EventMapping | None

    def get(self, name: str) -> Any:
        own = getattr(self.event, name) if self.event is not None else None
        return own if own not in (None, {}) else getattr(self.mapping, name)


def _statement(
    event: _Event, delivery: Delivery, connection: Connection, mapping: EventMappings
) -> Statement | None:
    """The statement of one event; None for a type the mapping ignores. Raises Untranslatable."""
    if event.problem is not None:
        raise Untranslatable(event.problem)
    meaning = mapping.events.get(event.event_type)
    if meaning is not None and meaning.ignore:
        return None
    places = _Places(mapping, meaning)
    source = _source(connection)
    person = _person(event.root, places.get("person"), source)
    if not person:
        raise Untranslatable(
            "nothing under the mapping's `person` is in the event"
            if meaning is not None
            else "the type is not in the mapping, and the event names no person"
        )
    kind = touchpoint_class(
        meaning.kind if meaning is not None and meaning.kind else "unrecognised_touchpoint"
    )
    own = _own_fields(event.root, meaning, places.get("time_zone"))
    if kind.KIND == "unrecognised_touchpoint":
        own.setdefault("label", event.event_type[:_LONGEST_LABEL])
    scope = mapping.application_source or source
    try:
        touchpoint = kind.told(
            source=source,
            source_event_id=_event_id(event, places),
            moment=_occurred(event, places, delivery),
            delivery_id=delivery.delivery_id,
            application_id=_scoped(event.root, places.get("application_id"), scope),
            job_id=_scoped(event.root, places.get("job_id"), scope),
            stage=_text_at(event.root, places.get("stage")),
            channel=places.get("channel") or "other",
            **own,
        )
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise Untranslatable(f"{field} does not fit {kind.KIND}") from None
    return Statement(touchpoint, person, _personal(event.root, places.get("personal")))


def _source(connection: Connection) -> str:
    """The tool's name: "generic" would let the ids of two tools be taken for each other's."""
    named = connection.source_name != Generic.name
    return connection.source_name if named else connection.name


def _event_id(event: _Event, places: _Places) -> str:
    path = places.get("event_id")
    found = _id_at(event.root, path) if path else event.event_id
    if found is None:
        raise Untranslatable(
            f"{path} holds no id"
            if path
            else "there is no webhook-id header; say in the mapping where the `event_id` is"
        )
    return found


def _person(root: Json, paths: Mapping[str, tuple[str, ...]], source: str) -> tuple[PersonKey, ...]:
    keys: dict[PersonKey, None] = {}
    for namespace, places in paths.items():
        full = namespace if _is_shared(namespace) else f"{source}:{namespace}"
        for path in places:
            for value in found_at(root, path):
                if (found := opaque_id(value)) is not None:
                    keys[PersonKey(full, found)] = None
    return tuple(keys)


def _is_shared(namespace: str) -> bool:
    return namespace in ("email", "phone") or ":" in namespace


def _own_fields(root: Json, meaning: EventMapping | None, time_zone: str | None) -> Json:
    if meaning is None or meaning.kind is None:
        return {}
    kind = touchpoint_class(meaning.kind)
    own: Json = dict(meaning.constants)
    for name, path in meaning.fields.items():
        value = next(iter(found_at(root, path)), None)
        if value is None:
            continue
        if name in time_fields(kind):
            value = _moment(value, time_zone, path).at
        elif name in text_fields(kind):
            value = opaque_id(value) if not isinstance(value, str) else value
        own[name] = value
    return own


def _occurred(event: _Event, places: _Places, delivery: Delivery) -> Moment:
    """The mapped time, else the event's own; when neither is there, the time it arrived."""
    zone = places.get("time_zone")
    if path := places.get("occurred_at"):
        found = next(iter(found_at(event.root, path)), None)
        if found is not None:
            return _moment(found, zone, path)
    if event.time is not None:
        # Where the mapping points elsewhere, the event's time is only when it was told.
        return _moment(event.time, zone, "time", "inferred" if path else "exact")
    return Moment.of(delivery.received_at, quality="unknown")


def _moment(value: Any, time_zone: str | None, path: str, quality: Quality = "exact") -> Moment:
    """A moment from ISO 8601 text. A naive time is taken in `time_zone`, or is untranslatable."""
    unreadable = Untranslatable(f"{path} is no ISO 8601 time")
    if not isinstance(value, str):
        raise unreadable
    written = value.strip().upper()
    try:
        if len(written) == 10:
            return Moment.parse(written, quality=quality)
        at = datetime.fromisoformat(written)
        if at.tzinfo is not None:
            return Moment.of(at, quality=quality)
        if time_zone is None:
            raise Untranslatable(
                f"{path} is a time without a zone; say in the mapping which `time_zone` it is in"
            )
        return _local(at, ZoneInfo(time_zone), quality)
    except (ValueError, OverflowError):
        raise unreadable from None


def _local(at: datetime, zone: ZoneInfo, quality: Quality) -> Moment:
    """A naive time in its zone; one that the clock shows twice or never is only inferred."""
    first, second = at.replace(tzinfo=zone, fold=0), at.replace(tzinfo=zone, fold=1)
    doubtful = first.utcoffset() != second.utcoffset()
    return Moment.of(first, quality="inferred" if doubtful else quality)


def _scoped(root: Json, path: str | None, source: str) -> str | None:
    found = _id_at(root, path)
    return None if found is None else f"{source}:{found}"


def _id_at(root: Json, path: str | None) -> str | None:
    return next((one for v in _at(root, path) if (one := opaque_id(v)) is not None), None)


def _text_at(root: Json, path: str | None) -> str | None:
    return next((one for v in _at(root, path) if (one := text(v)) is not None), None)


def _at(root: Json, path: str | None) -> list[Any]:
    return [] if path is None else found_at(root, path)


def _personal(root: Json, paths: PersonalPaths | None) -> Personal | None:
    if paths is None:
        return None
    words = {name: said for name, places in paths.text.items() if (said := _joined(root, places))}
    personal = Personal(
        name=_joined(root, paths.name),
        emails=_texts(root, paths.emails),
        phones=_texts(root, paths.phones),
        addresses=_texts(root, paths.addresses),
        links=_texts(root, paths.links),
        text=words,
    )
    return None if personal.is_empty() else personal


def _joined(root: Json, paths: tuple[str, ...]) -> str | None:
    return " ".join(_texts(root, paths)) or None


def _texts(root: Json, paths: tuple[str, ...]) -> tuple[str, ...]:
    found = (_as_text(value) for path in paths for value in found_at(root, path))
    return tuple(dict.fromkeys(one for one in found if one))


def _as_text(value: Any) -> str | None:
    """Text or a number as text; None for anything with parts."""
    if isinstance(value, str):
        return text(value)
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


__all__ = ["Generic"]
