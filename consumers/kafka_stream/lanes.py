"""The project process on Kafka: its consumer group says which lanes are whose.

Lane i goes with partition i of `journey.touchpoints`, counted round where there are more lanes than
partitions. The group is asked for nothing else: facts come from the log, which also says when there
are some, so nothing is fetched and projecting never waits for a broker.

For the group only shares the work out. Two processes that believe a lane is theirs, in a rebalance
or after one was given up for dead, are kept apart by the lane's row (`projections/positions.py`).
So while no broker answers, a process goes on with the lanes it had, or with all before it had any.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import structlog

from consumers.errors import KafkaUnavailable
from consumers.kafka_stream.cluster import LOOK_SECONDS, Cluster, is_settled
from consumers.kafka_stream.topics import TOUCHPOINTS
from journey.errors import ConfigurationError
from projections.runner import Runner

if TYPE_CHECKING:
    from kafka import KafkaConsumer

log = structlog.get_logger()

GROUP = "project"

_POLL_SECONDS = 0.5
_LEAVE_SECONDS = 5.0


class KafkaProject:
    """Projects the lanes that the group gives to this process."""

    def __init__(self, runner: Runner, cluster: Cluster) -> None:
        self.runner = runner
        self._cluster = cluster
        self._topic = cluster.topic(TOUCHPOINTS.name)
        self._partitions: frozenset[int] | None = None
        self._partition_count = 1
        self._is_member = False
        self._said = ""
        self._ended = threading.Event()
        runner.lanes_of_mine = self.mine

    def mine(self, of: int) -> Collection[int]:
        """Which of so many lanes are this process's: all, until a group said otherwise."""
        partitions, count = self._partitions, self._partition_count
        if partitions is None:
            return range(of)
        return [lane for lane in range(of) if lane % count in partitions]

    def run(self, stop: threading.Event) -> None:
        """Project until `stop` is set, following the group."""
        following = threading.Thread(target=self._follow, args=(stop,), name="project: group")
        following.start()
        try:
            self.runner.run(stop)
        finally:
            # Also when the runner met a bug of ours: nobody may hold lanes that nobody folds.
            self._ended.set()
            following.join()

    # --- the group ---------------------------------------------------------------------------

    def _follow(self, stop: threading.Event) -> None:
        while not (stop.is_set() or self._ended.is_set()):
            try:
                self._be_member(stop)
            except (KafkaUnavailable, ConfigurationError) as error:
                self._say(str(error))
            except Exception as error:
                # Ours or the library's: lanes are folded all the same.
                self._say(f"the consumer group failed with {type(error).__name__}")
                self._partitions = None
            self._ended.wait(_POLL_SECONDS)

    def _be_member(self, stop: threading.Event) -> None:
        consumer = self._cluster.consumer(GROUP, patience_seconds=LOOK_SECONDS)
        try:
            if not consumer.partitions_for_topic(self._topic):
                raise ConfigurationError(
                    f"Kafka at {self._cluster.address} has no topic {self._topic}; "
                    "make it with `journey kafka init`"
                )
            consumer.subscribe([self._topic], listener=_listener(self, consumer))
            while not (stop.is_set() or self._ended.is_set()):
                # Whether it was given something or lost its place, the listener is told.
                self._poll(consumer)
        finally:
            self._is_member = False
            # Leaves the group, so that others need not wait to find out.
            consumer.close(timeout_ms=int(_LEAVE_SECONDS * 1000))

    def _poll(self, consumer: KafkaConsumer) -> None:
        from kafka.errors import KafkaError, RetriableError

        try:
            consumer.poll(int(_POLL_SECONDS * 1000))
        except KafkaError as error:
            if not isinstance(error, RetriableError):
                raise
            self._say(str(error))
            self._ended.wait(_POLL_SECONDS)
            return
        if is_settled(consumer) and self._is_member:
            partitions = frozenset(each.partition for each in consumer.assignment())
            self._partition_count = len(consumer.partitions_for_topic(self._topic) or [0])
            if partitions != self._partitions:
                log.info("partitions of the project group", partitions=sorted(partitions))
            self._partitions, self._said = partitions, ""

    def _say(self, problem: str) -> None:
        if problem != self._said:
            log.warning(
                "the project group is away; projecting goes on with the lanes there are",
                problem=problem,
            )
        self._said = problem


def _listener(project: KafkaProject, consumer: KafkaConsumer) -> Any:
    from kafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_assigned(self, assigned: Any) -> None:
            # Nothing is read of them.
            consumer.pause(*assigned)
            project._is_member = True

        def on_partitions_revoked(self, revoked: Any) -> None:
            pass

        def on_partitions_lost(self, lost: Any) -> None:
            # Whoever has them now is told so, and keeps them from us by the lane's row.
            project._is_member = False

    return Listener()


__all__ = ["KafkaProject"]
