"""Dead letters on `journey.dead-letters`, and the limit beyond which the fault is ours.

One bad message is the sender's mistake. Many at once are a mapping, an adapter or a secret of
ours, and parking them one after another would empty the topic while everything looks healthy.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from consumers.errors import KafkaUnavailable
from consumers.kafka_stream.cluster import Cluster, abandon
from consumers.kafka_stream.messages import Record
from consumers.kafka_stream.topics import DEAD_LETTERS

if TYPE_CHECKING:
    from kafka import KafkaProducer

_PATIENCE_SECONDS = 30.0


class DeadLetterNotWritten(Exception):
    """A delivery cannot be translated, and its dead letter cannot be written; nothing is lost."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"a dead letter could not be written ({why}); nothing was committed, and the delivery "
            "is still in its topic: mend Kafka and start again"
        )


class DeadLetterLimitPassed(Exception):
    """Too many dead letters lately; those beyond the limit are unhandled in their topic."""

    def __init__(self, limit: DeadLetterLimit, delivery: str, reason: str) -> None:
        super().__init__(
            f"delivery {delivery} would be more than {limit.most} dead letters of the last "
            f"{limit.window} deliveries, so the fault is probably ours; it and what follows it "
            f"wait in the topic: mend the adapter, mapping or connection ({reason}), or raise "
            "JOURNEY_DEAD_LETTER_LIMIT, and start again"
        )


class DeadLetterLimit:
    """At most `most` dead letters among the last `window` deliveries."""

    def __init__(self, most: int, window: int) -> None:
        self.most = most
        self.window = window
        self._fates: deque[bool] = deque(maxlen=window)

    def begin_with(self, fates: Iterable[bool]) -> None:
        """The fates of those before, the oldest first (True is dead): a restart forgives none."""
        self._fates = deque(fates, maxlen=self.window)

    def handled(self, fates: Iterable[bool]) -> None:
        """These were committed."""
        self._fates.extend(fates)

    def allowed(self, fates: Sequence[bool]) -> int:
        """How many of these, from the first, may be handled before the limit is passed."""
        window = deque(self._fates, maxlen=self.window)
        dead = sum(window)
        for number, is_dead in enumerate(fates):
            if len(window) == self.window:
                dead -= window[0]
            window.append(is_dead)
            dead += is_dead
            # A good delivery never passes it, whatever came before.
            if is_dead and dead > self.most:
                return number
        return len(fates)


class DeadLetters:
    """Writes dead letters; each is acknowledged by every replica in sync when `write` returns."""

    def __init__(self, cluster: Cluster, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._cluster = cluster
        self._topic = cluster.topic(DEAD_LETTERS.name)
        self._patience_seconds = patience_seconds
        self._producer: KafkaProducer | None = None

    def write(self, records: Sequence[Record]) -> None:
        """Raises DeadLetterNotWritten; then some of them may be there."""
        from kafka.errors import KafkaError

        if not records:
            return
        try:
            producer = self._connected()
            sent = [producer.send(self._topic, **record._asdict()) for record in records]
            for each in sent:
                each.get(self._patience_seconds + 1)
        except KafkaUnavailable as error:
            raise DeadLetterNotWritten(str(error)) from None
        except (KafkaError, TypeError, ValueError) as error:
            self.close()
            raise DeadLetterNotWritten(type(error).__name__) from None

    def close(self) -> None:
        """Give the connection back."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):
                abandon(producer)

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = self._cluster.producer(
                patience_seconds=self._patience_seconds,
                linger_ms=0,
                request_timeout_ms=int(self._patience_seconds * 500),
                delivery_timeout_ms=int(self._patience_seconds * 1000),
            )
        return self._producer


__all__ = ["DeadLetterLimit", "DeadLetterLimitPassed", "DeadLetterNotWritten", "DeadLetters"]
