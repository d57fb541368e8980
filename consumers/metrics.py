"""How an installation does, in numbers: what `/-/metrics` tells, in Prometheus' text format.

All are gauges, read when asked for, from one transaction and, with Kafka, from its broker. What
cannot be asked is left out, and `journey_database_up` or `journey_kafka_up` is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from consumers.bootstrap import Installation
from consumers.figures import Figures, figures, published
from journey.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from consumers.kafka_stream.lag import FeedLag

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric: its samples are told apart by their labels."""

    name: str
    meaning: str
    samples: Sequence[Sample]


def metrics(installation: Installation) -> str:
    """All of them as text. Raises nothing when the database or Kafka is away."""
    return exposition(_gauges(installation))


def exposition(gauges: Iterable[Gauge]) -> str:
    """Gauges in Prometheus' text format; one without samples is left out."""
    return "".join(line for gauge in gauges if gauge.samples for line in _lines(gauge))


def _lines(gauge: Gauge) -> Iterator[str]:
    meaning = gauge.meaning.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {gauge.name} {meaning}\n# TYPE {gauge.name} gauge\n"
    for labels, value in gauge.samples:
        told = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        yield f"{gauge.name}{'{' + told + '}' if told else ''} {_number(value)}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.3f}"


def _gauges(installation: Installation) -> Iterator[Gauge]:
    now = installation.clock.now()
    found: list[Gauge] = []
    try:
        with installation.database.reading() as connection:
            found += _of_database(figures(connection, now), now)
            if installation.settings.kafka:
                found += _of_feeds(published(installation, connection), now)
    except DatabaseUnavailable:
        found = []
    yield _one("journey_database_up", "Whether the database answers.", bool(found))
    yield from found
    if installation.settings.kafka:
        yield from _of_groups(installation, now)


def _of_database(found: Figures, now: datetime) -> Iterator[Gauge]:
    yield Gauge(
        "journey_deliveries",
        "Deliveries in the inbox, by what became of them.",
        [({"status": status}, count) for status, count in found.inbox.items()],
    )
    yield _one(
        "journey_inbox_oldest_pending_seconds",
        "How long the oldest pending delivery of the inbox waits; 0 when none does.",
        _seconds(found.pending_since, now),
    )
    yield _one("journey_log_position", "Touchpoints recorded.", found.position)
    yield _one("journey_projections_position", "Up to where the views have read.", found.projected)
    yield _one(
        "journey_projections_lag_touchpoints",
        "Touchpoints that the views have not read yet.",
        found.lag_touchpoints,
    )
    yield Gauge(
        "journey_projections_lane_lag_touchpoints",
        "Positions of the log that a lane of the projections has not come to.",
        [({"lane": str(lane)}, lag) for lane, lag in enumerate(found.lag_by_lane)],
    )
    yield _one(
        "journey_deadlines_due",
        "Deadlines that passed and wait for the sweeper.",
        found.deadlines_due,
    )
    yield _one(
        "journey_deadlines_overdue_seconds",
        "How long the oldest of those is due; 0 when none is.",
        _seconds(found.due_since, now),
    )
    yield _one(
        "journey_alerts_unresolved",
        "Alerts that are open or acknowledged.",
        sum(found.alerts.values()),
    )
    yield Gauge(
        "journey_messages",
        "Messages about alerts that are not sent: they wait, or were given up.",
        [
            ({"state": "waiting"}, found.messages_waiting),
            ({"state": "given_up"}, found.messages_given_up),
        ],
    )


def _of_feeds(feeds: Sequence[FeedLag], now: datetime) -> Iterator[Gauge]:
    yield Gauge(
        "journey_published_position",
        "Up to where a log is published to its topic.",
        [({"topic": each.topic}, each.position) for each in feeds],
    )
    yield Gauge(
        "journey_publish_lag_positions",
        "Positions of a log that its topic does not hold yet.",
        [({"topic": each.topic}, each.lag_positions) for each in feeds],
    )
    yield Gauge(
        "journey_publish_lag_seconds",
        "How long what is published next has been recorded; 0 when all is published.",
        [({"topic": each.topic}, _seconds(each.since, now)) for each in feeds],
    )


def _of_groups(installation: Installation, now: datetime) -> Iterator[Gauge]:
    lag = installation.lag_watch.now()
    yield _one("journey_kafka_up", "Whether Kafka tells us how far we are.", lag.problem is None)
    yield Gauge(
        "journey_kafka_lag_records",
        "Records of a partition that a consumer group has not handled.",
        [
            (
                {"group": group.group, "topic": each.topic, "partition": str(each.partition)},
                each.lag_records,
            )
            for group in lag.groups
            for each in group.partitions
        ],
    )
    yield Gauge(
        "journey_kafka_oldest_unhandled_seconds",
        "How long the oldest record that a consumer group has not handled waits; 0 when none does.",
        [
            ({"group": group.group}, _seconds(group.oldest_at, now))
            for group in lag.groups
            # A 0 would say that nothing waits.
            if group.is_oldest_known
        ],
    )
    yield Gauge(
        "journey_kafka_ran_out_records",
        "Records that ran out of their topic before a consumer group handled them.",
        [({"group": group.group}, group.ran_out_records) for group in lag.groups],
    )


def _one(name: str, meaning: str, value: float) -> Gauge:
    return Gauge(name, meaning, [({}, float(value))])


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


__all__ = ["Gauge", "exposition", "metrics"]
