"""The topics: what each carries, who may read it, how long it is kept; and making them.

`TOPICS` is the one table that `journey kafka init`, the doctor and the reference page read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from consumers.errors import KafkaUnavailable
from consumers.kafka_stream.cluster import PATIENCE_SECONDS, ROOM_BYTES, Cluster

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

Fate = Literal["created", "exists", "differs"]

_DAY_MS = 24 * 3600 * 1000
_MAKING_SECONDS = 30
"""A busy broker takes its time to make topics; connecting to it is another matter."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `name` is without the prefix; `kept_days` None keeps records for ever."""

    name: str
    carries: str
    key: str
    kept_days: int | None
    personal: bool
    """Whether it holds what arrived, and so may be read by nobody but our processes."""

    def configuration(self, cluster: Cluster) -> dict[str, str]:
        """Kafka's own settings of the topic, as it is made."""
        kept = -1 if self.kept_days is None else self.kept_days * _DAY_MS
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(kept),
            "retention.bytes": "-1",
            # Success means: on a majority of the copies. With one copy that one.
            "min.insync.replicas": str(cluster.replication // 2 + 1),
            "unclean.leader.election.enable": "false",
            # What was let in has to fit with the reason why nobody could read it.
            "max.message.bytes": str(
                cluster.largest_record_bytes + (ROOM_BYTES if self is DEAD_LETTERS else 0)
            ),
        }


DELIVERIES = Topic(
    "deliveries",
    "Deliveries as they arrived, raw, before anyone read them. Who accepted one keeps it: it is "
    "read by `ingest`, and a fortnight is how long ingest may stand still.",
    "source and the candidate's id there, so that one candidate's deliveries stay in order; none "
    "where a delivery names no candidate early",
    14,
    personal=True,
)
TOUCHPOINTS = Topic(
    "touchpoints",
    "Every recorded touchpoint, for other teams: kept for ever, so that a new reader can begin at "
    "the beginning. May be repeated after a restart; a reader that passes over positions it has "
    "seen reads the log exactly.",
    "candidate",
    None,
    personal=False,
)
ALERTS = Topic(
    "alerts",
    "What happened to alerts: raised, escalated, acknowledged, resolved, reopened. May be "
    "repeated after a restart; a position seen before is to be passed over.",
    "candidate",
    90,
    personal=False,
)
DEAD_LETTERS = Topic(
    "dead-letters",
    "Records that could not be translated, as they were, with the reason. The inbox has them, too; "
    "`journey deliveries redrive` takes them from there.",
    "as it was",
    30,
    personal=True,
)

TOPICS = (DELIVERIES, TOUCHPOINTS, ALERTS, DEAD_LETTERS)


@dataclass(frozen=True, slots=True)
class Standing:
    """A topic as it is. `partitions` and `replication` are None where there is no such topic.

    `settings` are Kafka's own of the topic; empty where we may not see them.
    """

    topic: str
    partitions: int | None
    replication: int | None
    settings: Mapping[str, str] = field(default_factory=dict)

    def differences(self, cluster: Cluster) -> list[str]:
        """What is not as the settings have it, in words; empty when all is."""
        if self.partitions is None:
            return ["it is not there"]
        wanted = (
            (self.partitions, cluster.partitions, "partitions", "JOURNEY_KAFKA_PARTITIONS"),
            (self.replication, cluster.replication, "copies", "JOURNEY_KAFKA_REPLICATION"),
        )
        differ = [
            f"it has {found} {what}, {setting} says {asked}"
            for found, asked, what, setting in wanted
            if found != asked
        ]
        return [*differ, *self._unsafe(cluster)]

    def _unsafe(self, cluster: Cluster) -> Iterator[str]:
        """Settings under which something may be lost or refused; how long it is kept may differ,
        unless that is for ever."""
        topic = next(each for each in TOPICS if cluster.topic(each.name) == self.topic)
        asked = topic.configuration(cluster)
        for name in ("cleanup.policy", "unclean.leader.election.enable", "retention.bytes"):
            if (found := self.settings.get(name, asked[name])) != asked[name]:
                yield f"its {name} is {found} and has to be {asked[name]}"
        for name in ("min.insync.replicas", "max.message.bytes"):
            if int(found := self.settings.get(name, asked[name])) < int(asked[name]):
                yield f"its {name} is {found} and has to be {asked[name]} or more"
        found = self.settings.get("retention.ms", "-1")
        if topic.kept_days is None and found != "-1":
            yield f"its retention.ms is {found} and has to be -1, for ever"


@dataclass(frozen=True, slots=True)
class Made:
    """What `init` did with a topic, and what it is now; `differs` says why it is not as set."""

    topic: str
    fate: Fate
    partitions: int | None
    replication: int | None
    differs: tuple[str, ...] = ()


def standings(cluster: Cluster, *, patience_seconds: float = PATIENCE_SECONDS) -> list[Standing]:
    """Our topics as they are, in the order of the table. Raises KafkaUnavailable."""
    with cluster.admin(patience_seconds=patience_seconds) as admin:
        return _standings(cluster, admin)


def topic_id(cluster: Cluster, topic: Topic) -> UUID | None:
    """Kafka's id of a topic, another one when it was deleted and made again.

    None where the broker is older than such ids. Raises KafkaUnavailable, also without the topic.
    """
    name = cluster.topic(topic.name)
    with cluster.admin() as admin:
        for each in _described(cluster, admin):
            if each["name"] == name:
                return each["topic_id"] or None
    raise KafkaUnavailable(
        f"Kafka at {cluster.address} has no topic {name}; run `journey kafka init`"
    )


def init(cluster: Cluster, *, patience_seconds: float = PATIENCE_SECONDS) -> list[Made]:
    """Make the topics that are missing; those that are there stay as they are.

    Partitions are never added to a topic that has records: keys would move to other partitions,
    and a candidate's deliveries get out of order. Raises KafkaUnavailable, and ConfigurationError
    where the brokers refuse (such as more copies than brokers).
    """
    with cluster.admin(
        patience_seconds=patience_seconds, request_timeout_ms=_MAKING_SECONDS * 1000
    ) as admin:
        before = _standings(cluster, admin)
        missing = [
            topic for topic, each in zip(TOPICS, before, strict=True) if each.partitions is None
        ]
        created = _create(cluster, admin, missing)
        return list(_made(cluster, _standings(cluster, admin), created))


def _made(cluster: Cluster, now: Sequence[Standing], created: set[str]) -> Iterator[Made]:
    for each in now:
        differs = tuple(each.differences(cluster))
        fate: Fate = "created" if each.topic in created else "differs" if differs else "exists"
        yield Made(each.topic, fate, each.partitions, each.replication, differs)


def _standings(cluster: Cluster, admin: KafkaAdminClient) -> list[Standing]:
    names = [cluster.topic(topic.name) for topic in TOPICS]
    described = {each["name"]: each for each in _described(cluster, admin)}
    settings = _settings(cluster, admin, [name for name in names if name in described])
    return [_standing(name, described.get(name), settings.get(name, {})) for name in names]


def _settings(
    cluster: Cluster, admin: KafkaAdminClient, names: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Topic → Kafka's settings of it; none for those that we may not see."""
    from kafka.admin import ConfigResource, ConfigResourceType
    from kafka.errors import KafkaError

    if not names:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    try:
        told = admin.describe_configs(asked, config_filter="all")["topic"]
    except KafkaError as error:
        raise cluster.unavailable(type(error).__name__) from None
    return {
        topic: {name: each["value"] for name, each in of_it.items()}
        for topic, of_it in told.items()
    }


def _described(cluster: Cluster, admin: KafkaAdminClient) -> list[dict[str, Any]]:
    from kafka.errors import KafkaError

    try:
        # Asked for by name, a topic that is missing would be made where brokers make them.
        return [each for each in admin.describe_topics() if _is_there(each)]
    except KafkaError as error:
        raise cluster.unavailable(type(error).__name__) from None


def _is_there(described: dict[str, Any]) -> bool:
    return described["error_code"] == 0 and bool(described["partitions"])


def _standing(name: str, described: dict[str, Any] | None, settings: Mapping[str, str]) -> Standing:
    if described is None:
        return Standing(name, None, None)
    partitions = described["partitions"]
    copies = min(len(each["replica_nodes"]) for each in partitions)
    return Standing(name, len(partitions), copies, settings)


def _create(cluster: Cluster, admin: KafkaAdminClient, topics: Sequence[Topic]) -> set[str]:
    """Make these topics; returns those we made, which leaves out what another made meanwhile."""
    from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

    from journey.errors import ConfigurationError

    if not topics:
        return set()
    wanted = {
        cluster.topic(topic.name): {
            "num_partitions": cluster.partitions,
            "replication_factor": cluster.replication,
            "configs": topic.configuration(cluster),
        }
        for topic in topics
    }
    try:
        answer = admin.create_topics(wanted, raise_errors=False)
        outcomes = {each["name"]: for_code(each["error_code"]) for each in answer["topics"]}
        for each in answer["topics"]:
            kind = outcomes[each["name"]]
            if kind.errno not in (0, TopicAlreadyExistsError.errno):
                said = f"{kind.__name__}: {each.get('error_message') or ''}".rstrip(": ")
                raise ConfigurationError(
                    f"Kafka at {cluster.address} refuses to make {each['name']} ({said}); mend "
                    "JOURNEY_KAFKA_REPLICATION, JOURNEY_KAFKA_PARTITIONS or what the user may do"
                )
        admin.wait_for_topics(list(wanted))
    except KafkaError as error:
        raise cluster.unavailable(type(error).__name__) from None
    return {name for name, kind in outcomes.items() if kind.errno == 0}


__all__ = [
    "ALERTS",
    "DEAD_LETTERS",
    "DELIVERIES",
    "TOPICS",
    "TOUCHPOINTS",
    "Made",
    "Standing",
    "Topic",
    "init",
    "standings",
    "topic_id",
]
