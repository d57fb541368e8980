"""docs/reference/asyncapi.yaml: the topics and every message on them, as AsyncAPI 3.0.

Made from the table of topics, the forms of the messages and the classes of the events, so that
another team can generate a reader from it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

_REF = "#/components/schemas/{model}"
_TEXT = {"type": "string"}
_MOMENT = {"type": "string", "format": "date-time"}
_ID = {"type": "string", "format": "uuid"}
_BYTES = {"type": "string", "format": "binary"}


def document() -> str:
    """The whole document as YAML."""
    return yaml.dump(_document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)


class _Plain(yaml.SafeDumper):
    """Without anchors: what is said twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _document() -> dict[str, Any]:
    from consumers.kafka_stream.cluster import Cluster
    from consumers.kafka_stream.topics import TOPICS
    from schemas.analyst_actions import ALL_ALERT_EVENTS
    from schemas.event import Touchpoint
    from schemas.findings import AlertEvent
    from schemas.registry import BY_TOPIC

    alerts = {cls.TOPIC: cls for cls in ALL_ALERT_EVENTS}
    on_topic = {
        "deliveries": ["delivery"],
        "touchpoints": list(BY_TOPIC),
        "alerts": list(alerts),
        "dead-letters": ["dead_letter"],
    }
    cluster = Cluster(("localhost:9092",))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Candidate journey",
            "version": "1",
            "description": (
                "What Apache Kafka carries between the processes of an installation, and to other "
                "teams. Topics begin with JOURNEY_KAFKA_PREFIX; they are made by `journey kafka "
                "init`, with the partitions and replicas of the settings. Only touchpoints and "
                "alerts are for other teams: the other two hold what arrived, personal or not."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "As JOURNEY_KAFKA names it; with TLS or SASL as the settings say.",
                "variables": {"bootstrap": {"default": cluster.address}},
            }
        },
        "channels": {
            _word(topic.name): _channel(cluster, topic, on_topic[topic.name]) for topic in TOPICS
        },
        "operations": {
            name: _operation(action, channel, says)
            for name, (action, channel, says) in _DONE.items()
        },
        "components": {
            "messages": {
                "delivery": _delivery(),
                **{name: _event(cls, "Touchpoint") for name, cls in BY_TOPIC.items()},
                **{name: _event(cls, "AlertEvent") for name, cls in alerts.items()},
                "dead_letter": _dead_letter(),
            },
            "messageTraits": {
                "cloudEvent": _cloud_event(),
            },
            "schemas": {
                "Touchpoint": _own_schema(Touchpoint, ("personal",))
                | {
                    "description": "What every touchpoint says, in its newest version. What holds "
                    "its default is left out; what is sealed is not published."
                },
                "AlertEvent": _own_schema(AlertEvent, ()),
                **{
                    name: _extended(cls, "Touchpoint", Touchpoint) for name, cls in BY_TOPIC.items()
                },
                **{name: _extended(cls, "AlertEvent", AlertEvent) for name, cls in alerts.items()},
                **_parts([*BY_TOPIC.values(), *alerts.values()]),
            },
        },
    }


_DONE = {
    "acceptDelivery": ("send", "deliveries", "The receiver answers success after all replicas in "
                       "sync have a delivery."),
    "ingest": ("receive", "deliveries", "Deliveries are translated and their touchpoints recorded, "
               "then offsets are committed."),
    "publishTouchpoint": ("send", "touchpoints", "Every touchpoint of the log, in the order of "
                          "positions within a candidate; again after a restart, with the same "
                          "position."),
    "publishAlert": ("send", "alerts", "Every event of an alert, likewise."),
    "keepDeadLetter": ("send", "deadLetters", "What cannot be translated is kept with the reason."),
    "readDeadLetter": ("receive", "deadLetters", "Each is found in the inbox as dead, from where "
                       "`journey deliveries redrive` has it handled again."),
}  # fmt: skip
"""Operation → what our application does, where, and what that means."""


def _channel(cluster: Any, topic: Any, messages: list[str]) -> dict[str, Any]:
    kept = topic.configuration(cluster)
    return {
        "address": cluster.topic(topic.name),
        "description": topic.carries,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": cluster.topic(topic.name),
                "partitions": cluster.partitions,
                "replicas": cluster.replication,
                "topicConfiguration": {
                    "cleanup.policy": [kept["cleanup.policy"]],
                    "retention.ms": int(kept["retention.ms"]),
                    "retention.bytes": int(kept["retention.bytes"]),
                    "max.message.bytes": int(kept["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            }
        },
        "x-personal": topic.personal,
    }


def _operation(action: str, channel: str, says: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": says,
    }


def _delivery() -> dict[str, Any]:
    from consumers.kafka_stream import messages
    from consumers.kafka_stream.topics import DELIVERIES

    return {
        "title": "Delivery",
        "summary": "A delivery as it arrived; the value is the bytes of its body.",
        "contentType": "application/octet-stream",
        "headers": _object(
            {
                messages.DELIVERY_ID: _ID | {"description": "Under which the inbox keeps it."},
                messages.CONNECTION: _TEXT | {"description": "The connection that delivered it."},
                messages.SOURCE: _TEXT | {"description": "The adapter that reads it."},
                messages.RECEIVED_AT: _MOMENT | {"description": "When it arrived, in UTC."},
                messages.HEADERS: _TEXT
                | {
                    "contentMediaType": "application/json",
                    "description": "Its own headers, a mapping of lower-case names to texts.",
                },
            }
        ),
        "payload": _BYTES,
        "bindings": _key(DELIVERIES.key),
    }


def _dead_letter() -> dict[str, Any]:
    from consumers.kafka_stream import messages
    from consumers.kafka_stream.topics import DEAD_LETTERS

    return {
        "title": "Dead letter",
        "summary": "A record that could not be translated, as it was, headers included.",
        "contentType": "application/octet-stream",
        "headers": _object(
            {
                messages.DEAD_LETTER_REASON: _TEXT | {"description": "Why; never personal."},
                messages.DEAD_LETTER_AT: _MOMENT | {"description": "When it was put here, in UTC."},
                messages.DEAD_LETTER_FROM: _TEXT
                | {
                    "description": "Topic, partition and offset of the record it was, with "
                    "slashes between; empty for a delivery that the door put here."
                },
            }
        ),
        "payload": _BYTES,
        "bindings": _key(DEAD_LETTERS.key),
    }


def _cloud_event() -> dict[str, Any]:
    from consumers.kafka_stream import messages

    return {
        "contentType": "application/json",
        "headers": _object(
            {
                "ce_specversion": {"type": "string", "const": "1.0"},
                "ce_type": _TEXT | {"description": "The stored name: kind and version."},
                "ce_id": _TEXT
                | {"description": "The touchpoint; of an alert, its id, a slash, its version."},
                "ce_source": {
                    "type": "string",
                    "format": "uri-reference",
                    "description": "The system that told it; our own name for alerts.",
                },
                "ce_subject": _ID | {"description": "The candidate, or the alert."},
                "ce_time": _MOMENT | {"description": "When it happened, in UTC."},
                messages.CONTENT_TYPE: {"type": "string", "const": "application/json"},
                messages.POSITION: {
                    "type": "string",
                    "pattern": "^[0-9]+$",
                    "description": "Its place in the log, from 1: what a reader that has seen it "
                    "passes over. Those of touchpoints have no gap, those of alerts may.",
                },
            }
        ),
    }


def _event(cls: Any, base: str) -> dict[str, Any]:
    from consumers.kafka_stream.topics import ALERTS, TOUCHPOINTS

    topic = TOUCHPOINTS if base == "Touchpoint" else ALERTS
    return {
        "name": cls.TOPIC,
        "title": cls.TOPIC,
        "summary": _said(cls),
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        # Merged with the trait's; a list of what is required would take the place of its list.
        "headers": {"properties": {"ce_type": {"type": "string", "const": cls.TOPIC}}},
        "payload": {"$ref": _REF.format(model=cls.TOPIC)},
        "bindings": _key(topic.key),
    }


def _key(says: str) -> dict[str, Any]:
    return {"kafka": {"key": _TEXT | {"description": says}, "bindingVersion": "0.5.0"}}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


# --- schemas of the values ------------------------------------------------------------------


def _parts(classes: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """What the schemas of these classes refer to."""
    return {name: part for cls in classes for name, part in _schema(cls).get("$defs", {}).items()}


def _own_schema(cls: type[BaseModel], common: Any) -> dict[str, Any]:
    """The schema of the fields that a class has beside these: what is common, or sealed."""
    schema = _schema(cls)
    schema.pop("$defs", None)
    own = {name: each for name, each in schema["properties"].items() if name not in common}
    required = [name for name in schema.get("required", ()) if name in own]
    made: dict[str, Any] = {"type": "object", "description": _said(cls)}
    if own:
        made["properties"] = own
    if required:
        made["required"] = required
    return made


def _extended(cls: type[BaseModel], base: str, base_class: type[BaseModel]) -> dict[str, Any]:
    own = _own_schema(cls, base_class.model_fields)
    says = own.pop("description")
    parts: list[dict[str, Any]] = [{"$ref": _REF.format(model=base)}]
    if "properties" in own:
        parts.append(own)
    return {"description": says, "allOf": parts}


def _schema(cls: type[BaseModel]) -> dict[str, Any]:
    """As it is written: what holds its default is left out, so nothing with one is required."""
    schema: dict[str, Any] = _untitled(
        cls.model_json_schema(mode="serialization", ref_template=_REF)
    )
    schema.pop("additionalProperties", None)
    schema["description"] = _said(cls)
    return schema


def _untitled(node: Any) -> Any:
    """Without the titles that repeat a field's name."""
    if isinstance(node, dict):
        return {
            name: _untitled(each)
            for name, each in node.items()
            if not (name == "title" and isinstance(each, str))
        }
    return [_untitled(each) for each in node] if isinstance(node, list) else node


def _said(cls: type[BaseModel]) -> str:
    return " ".join((inspect.getdoc(cls) or "").split())


def _word(name: str) -> str:
    """`dead-letters` → `deadLetters`: names in the document are words."""
    first, *rest = name.split("-")
    return first + "".join(each.capitalize() for each in rest)


__all__ = ["document"]
