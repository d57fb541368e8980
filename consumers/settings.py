"""Every environment variable, its meaning and its default, in one table.

The reference page of the docs is made from `SETTINGS`, and `Settings.from_environment` reads
nothing that does not stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from journey.errors import ConfigurationError

LogForm = Literal["json", "console", "auto"]
KafkaSecurity = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
KafkaMechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
KafkaCompression = Literal["none", "gzip", "lz4", "zstd", "snappy"]
KafkaFallback = Literal["database", "none"]

_TENANT = re.compile(r"^[a-z][a-z0-9_]{0,40}\Z")
_NAME = re.compile(r"^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?\Z")
_KAFKA_PREFIX = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}\Z")
_KAFKA_SERVER = re.compile(r"^(?P<host>\[[0-9a-fA-F:]+\]|[a-zA-Z0-9._-]+):(?P<port>[0-9]{1,5})\Z")


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. `default` is what the docs show; empty means unset."""

    name: str
    meaning: str
    default: str = ""
    secret: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "JOURNEY_HOME",
        "Data folder: embedded PostgreSQL, master key, connections file.",
        ".journey",
    ),
    Setting(
        "JOURNEY_DATABASE_URL",
        "PostgreSQL server to use; unset starts the embedded one in the data folder.",
        secret=True,
    ),
    Setting("JOURNEY_TENANT", "PostgreSQL schema that holds everything of one tenant.", "journey"),
    Setting(
        "JOURNEY_MASTER_KEY",
        "Key that wraps the data keys of persons, 32 bytes in base64; required with a database "
        "URL, otherwise created in the data folder with mode 0600.",
        secret=True,
    ),
    Setting(
        "JOURNEY_CONNECTIONS",
        "YAML file of the connections that may deliver.",
        "$JOURNEY_HOME/connections.yaml",
    ),
    Setting("JOURNEY_HOST", "Address the receiver listens on.", "127.0.0.1"),
    Setting("JOURNEY_PORT", "Port the receiver listens on; 0 takes a free one.", "8080"),
    Setting(
        "JOURNEY_WEB_HOST",
        "Address `journey run web` listens on. Its pages have no log-in: leave it, or have a "
        "firewall or a proxy with a log-in before it.",
        "127.0.0.1",
    ),
    Setting("JOURNEY_WEB_PORT", "Port `journey run web` listens on; 0 takes a free one.", "8081"),
    Setting(
        "JOURNEY_WEB_NAMES",
        "Names with a dot by which its pages may be asked for, commas between, such as that of the "
        "proxy before it. Addresses, `localhost` and other names without a dot always may.",
    ),
    Setting(
        "JOURNEY_MAX_BODY_BYTES",
        "Largest delivery that is translated, in bytes. A larger authentic one, up to eight "
        "times this, is kept as a dead letter and answered 413. The largest documented payload "
        "is some 30 kB; 1 MiB bounds what a hostile sender can make us hold.",
        "1048576",
    ),
    Setting("JOURNEY_ALERT_WEBHOOK_URL", "Where alerts are posted; unset sends none by HTTP."),
    Setting(
        "JOURNEY_ALERT_WEBHOOK_SECRET",
        "Standard Webhooks secret (whsec_…) that signs posted alerts; required with the URL.",
        secret=True,
    ),
    Setting(
        "JOURNEY_LOG",
        "Form of the log: json, console, or auto (console on a terminal, json elsewhere).",
        "auto",
    ),
    Setting("JOURNEY_POLICIES", "Folder of silence policies read beside the built-in ones."),
    Setting("JOURNEY_RULES", "Folder of contradiction rules read beside the built-in ones."),
    Setting(
        "JOURNEY_DEPARTMENTS",
        "YAML file of departments and the ids of their jobs, for `journey map --department`.",
        "$JOURNEY_HOME/departments.yaml",
    ),
    Setting(
        "JOURNEY_REFUSED_KEEP",
        "How many of the newest refused deliveries are kept to look at; 0 keeps none.",
        "1000",
    ),
    Setting(
        "JOURNEY_PROJECT_LANES",
        "Lanes that projecting is shared by, 1 to 256: so many `project` processes can work at "
        "once. Give each the same number; the last one to start decides.",
        "1",
    ),
    Setting(
        "JOURNEY_PHONE_REGION",
        "Country (such as DE or US) of phone numbers told without one; unset, such a number "
        "names nobody.",
    ),
    Setting(
        "JOURNEY_KAFKA",
        "Bootstrap servers of Apache Kafka, host:port with commas between; unset works without "
        "Kafka.",
    ),
    Setting("JOURNEY_KAFKA_PREFIX", "What topics and consumer groups begin with.", "journey"),
    Setting(
        "JOURNEY_KAFKA_PARTITIONS",
        "Partitions that `journey kafka init` gives a topic: the most processes of one kind that "
        "can share its work.",
        "12",
    ),
    Setting(
        "JOURNEY_KAFKA_REPLICATION",
        "Copies that `journey kafka init` has Kafka keep of a topic; 3 in production, where a "
        "broker may fail.",
        "1",
    ),
    Setting(
        "JOURNEY_KAFKA_SECURITY",
        "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
        "PLAINTEXT",
    ),
    Setting(
        "JOURNEY_KAFKA_MECHANISM",
        "How user and password are proved under SASL: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN.",
        "SCRAM-SHA-512",
    ),
    Setting("JOURNEY_KAFKA_USERNAME", "User under SASL."),
    Setting("JOURNEY_KAFKA_PASSWORD", "Password under SASL.", secret=True),
    Setting(
        "JOURNEY_KAFKA_CA",
        "PEM file of the authorities that may vouch for a broker; unset trusts the system's.",
    ),
    Setting("JOURNEY_KAFKA_CERTIFICATE", "PEM file of our own certificate, where brokers ask it."),
    Setting("JOURNEY_KAFKA_KEY", "PEM file of that certificate's private key."),
    Setting("JOURNEY_KAFKA_KEY_PASSWORD", "Password of that key, if it has one.", secret=True),
    Setting(
        "JOURNEY_KAFKA_COMPRESSION",
        "How records are compressed: none, gzip, lz4, zstd or snappy; for the last three the "
        "Python package of that name must be installed with every process.",
        "none",
    ),
    Setting(
        "JOURNEY_KAFKA_FALLBACK",
        "Where the receiver keeps deliveries while Kafka does not answer: database, or none, "
        "which answers 503 so that senders try again.",
        "database",
    ),
    Setting(
        "JOURNEY_KAFKA_SESSION_SECONDS",
        "How long a consumer that says nothing keeps its partitions: so long others wait after "
        "one was killed, and so long one may lose its network unnoticed.",
        "15",
    ),
    Setting(
        "JOURNEY_DEAD_LETTER_LIMIT",
        "More dead letters than this among the last deliveries stop ingest on Kafka, as the fault "
        "is then ours: 20/200 allows 20 among 200.",
        "20/200",
    ),
)
"""In the order a reader needs them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, checked. Secrets stay out of `repr`."""

    home: Path = Path(".journey")
    database_url: str | None = field(default=None, repr=False)
    tenant: str = "journey"
    master_key: str | None = field(default=None, repr=False)
    connections: Path = Path(".journey/connections.yaml")
    host: str = "127.0.0.1"
    port: int = 8080
    web_host: str = "127.0.0.1"
    web_port: int = 8081
    web_names: tuple[str, ...] = ()
    max_body_bytes: int = 1024 * 1024
    alert_webhook_url: str | None = None
    alert_webhook_secret: str | None = field(default=None, repr=False)
    log: LogForm = "auto"
    policies: Path | None = None
    rules: Path | None = None
    departments: Path = Path(".journey/departments.yaml")
    refused_keep: int = 1000
    project_lanes: int = 1
    phone_region: str | None = None
    kafka: tuple[str, ...] = ()
    kafka_prefix: str = "journey"
    kafka_partitions: int = 12
    kafka_replication: int = 1
    kafka_security: KafkaSecurity = "PLAINTEXT"
    kafka_mechanism: KafkaMechanism = "SCRAM-SHA-512"
    kafka_username: str | None = None
    kafka_password: str | None = field(default=None, repr=False)
    kafka_ca: Path | None = None
    kafka_certificate: Path | None = None
    kafka_key: Path | None = None
    kafka_key_password: str | None = field(default=None, repr=False)
    kafka_compression: KafkaCompression = "none"
    kafka_fallback: KafkaFallback = "database"
    kafka_session_seconds: int = 15
    dead_letter_limit: tuple[int, int] = (20, 200)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read every variable of the table. An empty one counts as unset.

        Raises ConfigurationError: one sentence with the variable, its value (unless secret) and
        what to do.
        """
        read = _Reader(environment)
        home = Path(read.text("JOURNEY_HOME") or ".journey")
        connections = read.text("JOURNEY_CONNECTIONS")
        departments = read.text("JOURNEY_DEPARTMENTS")
        settings = cls(
            home=home,
            database_url=read.checked("JOURNEY_DATABASE_URL", _database_url, None),
            tenant=read.checked("JOURNEY_TENANT", _tenant, "journey"),
            master_key=read.text("JOURNEY_MASTER_KEY"),
            connections=Path(connections) if connections else home / "connections.yaml",
            host=read.text("JOURNEY_HOST") or "127.0.0.1",
            port=read.number("JOURNEY_PORT", 0, 65535, 8080),
            web_host=read.text("JOURNEY_WEB_HOST") or "127.0.0.1",
            web_port=read.number("JOURNEY_WEB_PORT", 0, 65535, 8081),
            web_names=read.checked("JOURNEY_WEB_NAMES", _names, ()),
            max_body_bytes=read.number("JOURNEY_MAX_BODY_BYTES", 1024, 64 * 1024**2, 1024 * 1024),
            alert_webhook_url=read.checked("JOURNEY_ALERT_WEBHOOK_URL", _http_url, None),
            alert_webhook_secret=read.text("JOURNEY_ALERT_WEBHOOK_SECRET"),
            log=read.checked("JOURNEY_LOG", _log_form, "auto"),
            policies=read.checked("JOURNEY_POLICIES", _folder, None),
            rules=read.checked("JOURNEY_RULES", _folder, None),
            departments=Path(departments) if departments else home / "departments.yaml",
            refused_keep=read.number("JOURNEY_REFUSED_KEEP", 0, 1_000_000, 1000),
            project_lanes=read.number("JOURNEY_PROJECT_LANES", 1, 256, 1),
            phone_region=read.checked("JOURNEY_PHONE_REGION", _region, None),
            kafka=read.checked("JOURNEY_KAFKA", _kafka_servers, ()),
            kafka_prefix=read.checked("JOURNEY_KAFKA_PREFIX", _kafka_prefix, "journey"),
            kafka_partitions=read.number("JOURNEY_KAFKA_PARTITIONS", 1, 10_000, 12),
            kafka_replication=read.number("JOURNEY_KAFKA_REPLICATION", 1, 9, 1),
            kafka_security=read.one_of("JOURNEY_KAFKA_SECURITY", KafkaSecurity, "PLAINTEXT"),
            kafka_mechanism=read.one_of("JOURNEY_KAFKA_MECHANISM", KafkaMechanism, "SCRAM-SHA-512"),
            kafka_username=read.text("JOURNEY_KAFKA_USERNAME"),
            kafka_password=read.text("JOURNEY_KAFKA_PASSWORD"),
            kafka_ca=read.checked("JOURNEY_KAFKA_CA", _file, None),
            kafka_certificate=read.checked("JOURNEY_KAFKA_CERTIFICATE", _file, None),
            kafka_key=read.checked("JOURNEY_KAFKA_KEY", _file, None),
            kafka_key_password=read.text("JOURNEY_KAFKA_KEY_PASSWORD"),
            kafka_compression=read.one_of("JOURNEY_KAFKA_COMPRESSION", KafkaCompression, "none"),
            kafka_fallback=read.one_of("JOURNEY_KAFKA_FALLBACK", KafkaFallback, "database"),
            kafka_session_seconds=read.number("JOURNEY_KAFKA_SESSION_SECONDS", 1, 300, 15),
            dead_letter_limit=read.checked("JOURNEY_DEAD_LETTER_LIMIT", _share, (20, 200)),
        )
        _kafka_agrees(settings)
        if settings.alert_webhook_url and not settings.alert_webhook_secret:
            raise ConfigurationError(
                "JOURNEY_ALERT_WEBHOOK_URL is set without JOURNEY_ALERT_WEBHOOK_SECRET; "
                "set the secret, so that the receiver can tell our alerts from anyone's"
            )
        return settings


class _Reader:
    """The environment, held to the table: only what stands there can be read."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._table = {setting.name: setting for setting in SETTINGS}

    def text(self, name: str) -> str | None:
        assert name in self._table
        return self._environment.get(name, "").strip() or None

    def checked(self, name: str, check: Callable[[str], Any], default: Any) -> Any:
        """`check` returns the value or raises ValueError with "…; what to do"."""
        text = self.text(name)
        if text is None:
            return default
        try:
            return check(text)
        except ValueError as error:
            shown = "set" if self._table[name].secret else repr(text)
            raise ConfigurationError(f"{name} is {shown}, {error}") from None

    def one_of(self, name: str, words: Any, default: str) -> Any:
        """One of the words of a Literal."""

        def check(text: str) -> str:
            if text not in get_args(words):
                raise ValueError(f"use one of {', '.join(get_args(words))}")
            return text

        return self.checked(name, check, default)

    def number(self, name: str, least: int, most: int, default: int) -> int:
        def check(text: str) -> int:
            if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
                raise ValueError(
                    f"which is no whole number from {least} to {most}; "
                    f"set one or leave it unset for {default}"
                )
            return int(text)

        return int(self.checked(name, check, default))


def _tenant(text: str) -> str:
    if not _TENANT.match(text):
        raise ValueError(
            "which is no schema name; use lower-case letters, digits and _, starting with a letter"
        )
    return text


def _database_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("but does not begin with postgresql://; give the server's whole URL")
    return text


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("which is no web address; give one that begins with https://")
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(_NAME.match(name) for name in names):
        raise ValueError(
            "which is no list of names; write journey.example.com, without https:// or port, "
            "several with commas between"
        )
    return names


def _log_form(text: str) -> str:
    if text not in ("json", "console", "auto"):
        raise ValueError("which is no form of log; use json, console or auto")
    return text


def _region(text: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS

    if text not in SUPPORTED_REGIONS:
        raise ValueError("use a country's two capital letters, such as DE or US")
    return text


def _share(text: str) -> tuple[int, int]:
    most, _, window = text.partition("/")
    if not (most.isascii() and most.isdigit() and window.isascii() and window.isdigit()):
        raise ValueError("which is no share; write 20/200 for 20 among 200")
    if not 0 <= int(most) < int(window) <= 100_000:
        raise ValueError("which is no share; write less before the slash than after, up to 100000")
    return int(most), int(window)


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise ValueError("which is no folder; create it or correct the path")
    return path


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError("which is no file; create it or correct the path")
    return path


def _kafka_servers(text: str) -> tuple[str, ...]:
    servers = tuple(part.strip() for part in text.split(",") if part.strip())
    for server in servers:
        found = _KAFKA_SERVER.match(server)
        if found is None or not 0 < int(found["port"]) < 65536:
            raise ValueError("which names no server; write host:port, several with commas between")
    if not servers:
        raise ValueError("which names no server; write host:port, several with commas between")
    return servers


def _kafka_prefix(text: str) -> str:
    if not _KAFKA_PREFIX.match(text):
        raise ValueError(
            "which cannot begin the name of a topic; use letters, digits, -, _ and . only"
        )
    return text


def _kafka_agrees(settings: Settings) -> None:
    """What is set for Kafka goes together. Raises ConfigurationError."""
    security = settings.kafka_security
    if security.startswith("SASL_"):
        if not (settings.kafka_username and settings.kafka_password):
            raise ConfigurationError(
                f"JOURNEY_KAFKA_SECURITY is {security}, which needs JOURNEY_KAFKA_USERNAME and "
                "JOURNEY_KAFKA_PASSWORD; set both"
            )
    elif settings.kafka_username or settings.kafka_password:
        raise ConfigurationError(
            f"a user or password for Kafka is set, and JOURNEY_KAFKA_SECURITY is {security}, which "
            "sends neither; set it to SASL_SSL, or leave them unset"
        )
    files = (settings.kafka_ca, settings.kafka_certificate, settings.kafka_key)
    if any(files) and not security.endswith("SSL"):
        raise ConfigurationError(
            f"a certificate or key for Kafka is set, and JOURNEY_KAFKA_SECURITY is {security}, "
            "which encrypts nothing; set it to SSL or SASL_SSL, or leave them unset"
        )
    if bool(settings.kafka_certificate) != bool(settings.kafka_key):
        raise ConfigurationError(
            "of JOURNEY_KAFKA_CERTIFICATE and JOURNEY_KAFKA_KEY only one is set; set both or none"
        )
