"""The four fates of a delivery (design §13), told apart by type.

DeliveryError
 ├── NotAuthentic     refused at the door, kept apart to look at, never translated
 ├── Untranslatable   dead letter with a reason; can be redriven after a fix
 └── Unavailable      wait and try again; nothing is committed
      └── KafkaUnavailable   no broker answers, or none lets us in
(anything else)       our bug: stop, loudly, with nothing lost

The texts name deliveries, connections and fields; never a person, never a piece of a body.
"""

from __future__ import annotations


class DeliveryError(Exception):
    """Something stands between a delivery and its touchpoints; the text says what."""


class NotAuthentic(DeliveryError):
    """The delivery does not prove that it comes from the connection's system."""


class Untranslatable(DeliveryError):
    """The delivery is authentic and says nothing an adapter can read; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unavailable(DeliveryError):
    """Something the delivery needs does not answer now; the same delivery may pass later."""


class KafkaUnavailable(Unavailable):
    """Kafka does not answer or does not let us in; the text says where, why and what to do."""
