"""Which Kafka, how one is let in, and the three clients: producer, consumer, admin.

What the settings say is turned into kafka-python's options here and nowhere else. Passwords are
in the options alone: not in `repr`, and kafka-python's log, which on its lower levels shows
options, keys and bodies, is kept at warnings.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consumers.errors import KafkaUnavailable
from consumers.settings import KafkaCompression, KafkaMechanism, KafkaSecurity, Settings
from journey.errors import ConfigurationError

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

CLIENT_ID = "candidate-journey"
PATIENCE_SECONDS = 10.0
"""How long a client looks for a broker before it is said that none answers."""
LOOK_SECONDS = 4.0
"""The same where somebody waits at a terminal."""

LARGEST_RECORD_BYTES = 64 * 1024**2
"""A broker takes no request beyond 100 MB unless told to; a record has to fit well into one."""
_ABANDON_SECONDS = 5.0
_CUT_OFF = "socket disconnected"
"""What kafka-python says of a broker that ended the connection."""

ROOM_BYTES = 128 * 1024
"""For headers and framing around the largest body; and again for what a dead letter adds."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where Kafka is and how one is let in. Secrets stay out of `repr`.

    `largest_body_bytes` is the largest body a record may have to carry.
    """

    bootstrap: tuple[str, ...]
    prefix: str = "journey"
    partitions: int = 12
    replication: int = 1
    security: KafkaSecurity = "PLAINTEXT"
    mechanism: KafkaMechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    compression: KafkaCompression = "none"
    largest_body_bytes: int = 8 * 1024**2
    session_seconds: float = 15.0
    """How long a consumer that says nothing keeps its partitions."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Cluster:
        """The cluster of an installation. Raises ConfigurationError when none is set."""
        if not settings.kafka:
            raise ConfigurationError(
                "JOURNEY_KAFKA is not set, so there is no Kafka to work with; set it to host:port "
                "of a broker"
            )
        return cls(
            bootstrap=settings.kafka,
            prefix=settings.kafka_prefix,
            partitions=settings.kafka_partitions,
            replication=settings.kafka_replication,
            security=settings.kafka_security,
            mechanism=settings.kafka_mechanism,
            username=settings.kafka_username,
            password=settings.kafka_password,
            ca=settings.kafka_ca,
            certificate=settings.kafka_certificate,
            key=settings.kafka_key,
            key_password=settings.kafka_key_password,
            compression=settings.kafka_compression,
            session_seconds=settings.kafka_session_seconds,
            # The door keeps what is up to eight times as large as what is translated.
            largest_body_bytes=settings.max_body_bytes * 8,
        )

    @property
    def address(self) -> str:
        """The servers as people write them."""
        return ",".join(self.bootstrap)

    @property
    def largest_record_bytes(self) -> int:
        """The largest record that a topic lets in; dead letters may be larger by ROOM_BYTES."""
        return min(self.largest_body_bytes, LARGEST_RECORD_BYTES) + ROOM_BYTES

    @property
    def told(self) -> str:
        """Where it is and how one is let in, without a secret: for people and the doctor."""
        if self.security.startswith("SASL_"):
            return f"{self.address} ({self.security}, {self.mechanism} as {self.username})"
        return f"{self.address} ({self.security})"

    def topic(self, name: str) -> str:
        """The whole name of a topic: `deliveries` → `journey.deliveries`."""
        return f"{self.prefix}.{name}"

    def group(self, name: str) -> str:
        """The whole name of a consumer group: `ingest` → `journey.ingest`."""
        return f"{self.prefix}.{name}"

    def client_options(self) -> dict[str, Any]:
        """What every client of kafka-python needs to get in. Holds the secrets; never log it.

        Raises ConfigurationError for a certificate or key that cannot be read.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.bootstrap),
            "client_id": CLIENT_ID,
            "security_protocol": self.security,
            # A broker that comes back is found within a second or two, not in half a minute.
            "reconnect_backoff_max_ms": 2_000,
        }
        if self.security.endswith("SSL"):
            options["ssl_context"] = self._ssl_context()
        if self.security.startswith("SASL_"):
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    def producer(self, *, patience_seconds: float = PATIENCE_SECONDS, **more: Any) -> KafkaProducer:
        """A producer whose success means: written by every replica in sync, once and in order.

        It keeps what is not sent yet in memory without a limit of its own (kafka-python has
        none): wait for a batch (`flush`, or the futures) before making the next one.
        `more` are options of kafka-python. Raises KafkaUnavailable, ConfigurationError.
        """
        from kafka import KafkaProducer

        return self._made(
            KafkaProducer,
            patience_seconds,
            {
                "acks": "all",
                "enable_idempotence": True,
                "compression_type": self._codec(),
                "linger_ms": 5,
                "batch_size": 128 * 1024,
                "max_request_size": self.largest_record_bytes + ROOM_BYTES,
                "allow_auto_create_topics": False,
                # Beyond it a record fails, rather than waiting for a broker for two minutes.
                "delivery_timeout_ms": 30_000,
                "request_timeout_ms": 20_000,
                "max_block_ms": int(patience_seconds * 1000),
                "metrics_enabled": False,
            }
            | more,
        )

    def consumer(
        self, group: str | None, *, patience_seconds: float = PATIENCE_SECONDS, **more: Any
    ) -> KafkaConsumer:
        """A consumer of a group (`ingest`), or of none for `assign` and looking around.

        Not subscribed yet. Offsets are committed by whoever handles the records. Partitions move
        one by one (cooperative-sticky), so that the others go on through a rebalance. Everything
        from the beginning is read by a group that is new. `more` are options of kafka-python.
        Raises KafkaUnavailable, ConfigurationError.
        """
        from kafka import KafkaConsumer
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

        return self._made(
            KafkaConsumer,
            patience_seconds,
            {
                "group_id": self.group(group) if group else None,
                "enable_auto_commit": False,
                "auto_offset_reset": "earliest",
                "isolation_level": "read_committed",
                "session_timeout_ms": int(self.session_seconds * 1000),
                "heartbeat_interval_ms": int(min(self.session_seconds / 5, 3) * 1000),
                "allow_auto_create_topics": False,
                "partition_assignment_strategy": [CooperativeStickyAssignor],
                # What is fetched ahead of `poll` is kept in memory.
                "fetch_max_bytes": 16 * 1024**2,
                "metrics_enabled": False,
            }
            | more,
        )

    def admin(self, *, patience_seconds: float = PATIENCE_SECONDS, **more: Any) -> KafkaAdminClient:
        """A client that makes and describes topics. Raises KafkaUnavailable, ConfigurationError."""
        from kafka import KafkaAdminClient

        options = {"request_timeout_ms": int(patience_seconds * 1000)} | more
        return self._made(KafkaAdminClient, patience_seconds, options)

    def unavailable(self, why: str) -> KafkaUnavailable:
        """The error that says why this cluster cannot be worked with now."""
        if why == _CUT_OFF and self.security.startswith("SASL_"):
            why += ", perhaps for the user, password or mechanism"
        return KafkaUnavailable(
            f"Kafka at {self.address} cannot be reached ({why}); start it, or mend JOURNEY_KAFKA "
            "and the settings beside it"
        )

    def _made(self, make: Callable[..., Any], patience: float, options: dict[str, Any]) -> Any:
        """A client, made and connected; what was begun is closed again when that fails."""
        from kafka.errors import KafkaError, SaslAuthenticationFailedError
        from kafka.net.compat import KafkaNetClient

        from consumers.kafka_stream.sockets import DIRECTLY

        _quiet()
        begun: list[Any] = []

        def connecting(*arguments: Any, **given: Any) -> Any:
            begun.append(KafkaNetClient(*arguments, **(given | {"proxy_url": DIRECTLY})))
            return begun[-1]

        options = (
            self.client_options()
            | {
                "bootstrap_timeout_ms": int(patience * 1000),
                "kafka_client": connecting,
            }
            | options
        )
        try:
            return make(**options)
        except KafkaError as error:
            for client in begun:
                client._net.stop()
                client.close()
            if _complaints.denied or isinstance(error, SaslAuthenticationFailedError):
                raise ConfigurationError(
                    f"Kafka at {self.address} does not let {self.username or 'us'} in; mend "
                    "JOURNEY_KAFKA_USERNAME, JOURNEY_KAFKA_PASSWORD or JOURNEY_KAFKA_MECHANISM"
                ) from None
            raise self.unavailable(_complaints.last or "no answer in time") from None

    def _ssl_context(self) -> ssl.SSLContext:
        # Made here rather than by the library for each connection: a file that is no certificate
        # is then told at once, and not taken for a broker that does not answer.
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        except (OSError, ssl.SSLError):
            raise ConfigurationError(
                f"JOURNEY_KAFKA_CA is {str(self.ca)!r}, which holds no certificate; give a PEM file"
            ) from None
        if self.certificate is not None:
            try:
                # A password that is not there is asked for on the terminal unless one is given.
                context.load_cert_chain(self.certificate, self.key, self.key_password or "")
            except (OSError, ssl.SSLError):
                raise ConfigurationError(
                    "JOURNEY_KAFKA_CERTIFICATE and JOURNEY_KAFKA_KEY do not go together; give PEM "
                    "files of one pair, and JOURNEY_KAFKA_KEY_PASSWORD if the key has one"
                ) from None
        return context

    def _codec(self) -> str | None:
        if self.compression == "none":
            return None
        from kafka import codec

        if not getattr(codec, f"has_{self.compression}")():
            raise ConfigurationError(
                f"JOURNEY_KAFKA_COMPRESSION is {self.compression}, and its Python package is not "
                "installed; install it with every process, or use gzip"
            )
        return self.compression


def is_settled(consumer: KafkaConsumer) -> bool:
    """Whether a consumer is in its group, and no partition is about to move. Call it after `poll`.

    Where a broker hangs while partitions move, kafka-python may forget that it still has to join:
    it reads on, is in no group, and can commit nothing. It is reminded here.
    """
    from kafka.coordinator.base import MemberState

    settled: bool = consumer.group_metadata().state is MemberState.STABLE
    if not settled and not consumer._coordinator.need_rejoin():
        consumer._coordinator.request_rejoin()
    return settled


def send_no_more(producer: KafkaProducer) -> None:
    """Have it send nothing of what waits, from any thread; `close` alone would send it."""
    from kafka.errors import KafkaError

    producer._sender.force_close()
    producer._accumulator.abort_undrained_batches(KafkaError("its producer was given up"))


def abandon(producer: KafkaProducer) -> None:
    """Close a producer without what it has not sent.

    `close` alone gives up where a broker hangs, and leaves the producer's thread, connections and
    memory as they are.
    """
    from kafka.errors import KafkaError

    send_no_more(producer)
    producer._sender.join(_ABANDON_SECONDS)
    with contextlib.suppress(KafkaError):
        producer.close(timeout=1)


class _Complaints(logging.Handler):
    """Why there is no connection: kafka-python says it in its log and nowhere else.

    Being a handler, it also keeps the library's complaints from a command's terminal; processes,
    which set up a log, log them.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.begin()

    def begin(self) -> None:
        """Forget what was said of other connections."""
        self.last = ""
        self.denied = False

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("Bootstrap connection") and isinstance(record.args, tuple):
            for given in record.args:
                if isinstance(given, Exception):
                    self._hear(given)

    def _hear(self, error: Exception) -> None:
        from kafka import errors

        denials = (
            errors.SaslAuthenticationFailedError,
            errors.UnsupportedSaslMechanismError,
            errors.AuthorizationError,
        )
        # Of many tries only some hear why: the library drops an answer that the end of the
        # connection comes right behind.
        self.denied |= isinstance(error, denials)
        out_of_time = (errors.KafkaTimeoutError, errors.RequestTimedOutError)
        why = str(error.args[0]) if error.args else ""
        # The last try ends when patience does, wherever it has come to: that says less than
        # those before it. Where no try heard more, there was no answer in time.
        if why and not isinstance(error, out_of_time) and not why.endswith("timed out"):
            self.last = why


_complaints = _Complaints()


def _quiet() -> None:
    logger = logging.getLogger("kafka")
    logger.setLevel(logging.WARNING)
    if _complaints not in logger.handlers:
        logger.addHandler(_complaints)
    _complaints.begin()


__all__ = ["Cluster", "abandon", "is_settled", "send_no_more"]
