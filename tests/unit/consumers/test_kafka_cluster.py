"""What the settings say of Kafka reaches its client, and secrets go nowhere else."""

from __future__ import annotations

import gc
import logging
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.abstract import RebalanceProtocol
from kafka.errors import KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError

from consumers.errors import KafkaUnavailable
from consumers.kafka_stream import cluster as module
from consumers.kafka_stream.cluster import ROOM_BYTES, Cluster, _Complaints
from consumers.kafka_stream.topics import DEAD_LETTERS, TOPICS, TOUCHPOINTS, Standing
from consumers.settings import Settings
from journey.errors import ConfigurationError

PASSWORD = "correct horse battery staple"
NOBODY = Cluster(("127.0.0.1:1",))
SCRAM = {
    "JOURNEY_KAFKA": "kafka-1:9093, kafka-2:9093",
    "JOURNEY_KAFKA_SECURITY": "SASL_SSL",
    "JOURNEY_KAFKA_MECHANISM": "SCRAM-SHA-256",
    "JOURNEY_KAFKA_USERNAME": "journey",
    "JOURNEY_KAFKA_PASSWORD": PASSWORD,
}


def cluster_of(environment: dict[str, str]) -> Cluster:
    return Cluster.from_settings(Settings.from_environment(environment))


def written_pair(folder: Path, password: str | None = None) -> tuple[Path, Path]:
    """A self-signed certificate and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    sealed = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)
    )
    return paths


def test_without_kafka_there_is_no_cluster() -> None:
    """The sentence names the variable."""
    with pytest.raises(ConfigurationError, match=r"^JOURNEY_KAFKA is not set"):
        cluster_of({})


def test_plain_settings_need_nothing_else() -> None:
    """A broker of one's own is one variable."""
    options = cluster_of({"JOURNEY_KAFKA": "127.0.0.1:9092"}).client_options()
    assert options["bootstrap_servers"] == ["127.0.0.1:9092"]
    assert options["security_protocol"] == "PLAINTEXT"
    assert not [name for name in options if name.startswith(("sasl_", "ssl_"))]


def test_user_and_password_pass_through() -> None:
    """Under the names that kafka-python reads."""
    options = cluster_of(SCRAM).client_options()
    assert options["bootstrap_servers"] == ["kafka-1:9093", "kafka-2:9093"]
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-256"
    assert options["sasl_plain_username"] == "journey"
    assert options["sasl_plain_password"] == PASSWORD
    context = options["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("client", [KafkaProducer, KafkaConsumer, KafkaAdminClient])
def test_every_client_knows_the_options(client: type) -> None:
    """A name that the library dropped would end every process at its start."""
    assert cluster_of(SCRAM).client_options().keys() <= client.DEFAULT_CONFIG.keys()


def test_certificates_are_read(tmp_path: Path) -> None:
    """Authorities, our own certificate, and a key that is under a password."""
    certificate, key = written_pair(tmp_path, "opens")
    environment = {
        "JOURNEY_KAFKA": "kafka:9093",
        "JOURNEY_KAFKA_SECURITY": "SSL",
        "JOURNEY_KAFKA_CA": str(certificate),
        "JOURNEY_KAFKA_CERTIFICATE": str(certificate),
        "JOURNEY_KAFKA_KEY": str(key),
        "JOURNEY_KAFKA_KEY_PASSWORD": "opens",
    }
    context = cluster_of(environment).client_options()["ssl_context"]
    assert len(context.get_ca_certs()) == 1
    del environment["JOURNEY_KAFKA_KEY_PASSWORD"]
    with pytest.raises(ConfigurationError, match="JOURNEY_KAFKA_KEY_PASSWORD"):
        cluster_of(environment).client_options()


def test_a_file_that_is_no_certificate_is_told(tmp_path: Path) -> None:
    """At once, and not as a broker that does not answer."""
    path = tmp_path / "ca.pem"
    path.write_text("not a certificate")
    with pytest.raises(ConfigurationError, match=r"ca\.pem', which holds no certificate"):
        Cluster(("kafka:9093",), security="SSL", ca=path).client_options()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"JOURNEY_KAFKA": "localhost"}, "JOURNEY_KAFKA is 'localhost', which names no server"),
        ({"JOURNEY_KAFKA": "kafka:0"}, "which names no server"),
        ({"JOURNEY_KAFKA": "kafka:99999"}, "which names no server"),
        ({"JOURNEY_KAFKA": ","}, "which names no server"),
        ({"JOURNEY_KAFKA": "https://kafka:9092"}, "which names no server"),
        ({"JOURNEY_KAFKA_PREFIX": "a/b"}, "which cannot begin the name of a topic"),
        ({"JOURNEY_KAFKA_PARTITIONS": "0"}, "no whole number from 1"),
        ({"JOURNEY_KAFKA_SECURITY": "TLS"}, "use one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"JOURNEY_KAFKA_MECHANISM": "GSSAPI"}, "use one of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN"),
        ({"JOURNEY_KAFKA_PASSWORD": ""}, "needs JOURNEY_KAFKA_USERNAME and"),
        ({"JOURNEY_KAFKA_SECURITY": "SSL"}, "sends neither; set it to SASL_SSL"),
        ({"JOURNEY_KAFKA_CA": "/nowhere.pem"}, "which is no file"),
        ({"JOURNEY_KAFKA_KEY": __file__}, "only one is set"),
        (
            {"JOURNEY_KAFKA_SECURITY": "SASL_PLAINTEXT", "JOURNEY_KAFKA_CA": __file__},
            "encrypts nothing; set it to SSL or SASL_SSL",
        ),
        ({"JOURNEY_KAFKA_COMPRESSION": "best"}, "use one of none, gzip, lz4, zstd, snappy"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(change: dict[str, str], told: str) -> None:
    """In a sentence, and without the password."""
    with pytest.raises(ConfigurationError) as error:
        Settings.from_environment(SCRAM | change)
    assert told in str(error.value)
    assert PASSWORD not in str(error.value)


def test_ipv6_servers_are_servers() -> None:
    """In brackets, as everywhere."""
    assert cluster_of({"JOURNEY_KAFKA": "[::1]:9092"}).bootstrap == ("[::1]:9092",)


def test_secrets_stay_out_of_what_is_shown() -> None:
    """Neither settings nor cluster nor the doctor's line have them."""
    settings = Settings.from_environment(SCRAM)
    cluster = replace(Cluster.from_settings(settings), key_password="also secret")
    for shown in (repr(settings), repr(cluster), str(cluster), cluster.told):
        assert PASSWORD not in shown
        assert "also secret" not in shown
    assert cluster.told == "kafka-1:9093,kafka-2:9093 (SASL_SSL, SCRAM-SHA-256 as journey)"


def test_an_installed_codec_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that another process could not open is not written in the first place."""
    monkeypatch.setattr("kafka.codec.has_zstd", lambda: False)
    with pytest.raises(ConfigurationError, match="its Python package is not installed"):
        replace(NOBODY, compression="zstd").producer()


@pytest.mark.parametrize("make", ["producer", "admin", "consumer"])
def test_a_broker_that_is_away_is_told_in_a_sentence(
    make: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Which address, why, what to do; nothing of the library's on the terminal."""
    arguments = ["ingest"] if make == "consumer" else []
    for patience_seconds in (0.3, 10.0):
        with pytest.raises(KafkaUnavailable) as told:
            getattr(replace(NOBODY, password=PASSWORD), make)(
                *arguments, patience_seconds=patience_seconds
            )
        if "no answer in time" not in str(told.value):
            # On a busy machine there may have been none so soon.
            break
    assert str(told.value) == (
        "Kafka at 127.0.0.1:1 cannot be reached (111 ECONNREFUSED); start it, or mend "
        "JOURNEY_KAFKA and the settings beside it"
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "late",
    [
        KafkaConnectionError("Connection timed out"),
        KafkaConnectionError("Handshake failed: I/O wait timed out"),
        KafkaTimeoutError("Timeout during ApiVersions check"),
        KafkaTimeoutError("SASL Authentication timed out"),
        KafkaTimeoutError(),
        RequestTimedOutError("Request timed out after 30 ms"),
    ],
    ids=str,
)
def test_a_try_that_ran_out_of_time_says_less_than_those_before_it(late: Exception) -> None:
    """Wherever it had come to. Where no try heard more, it is said that none answered in time."""
    complaints = _Complaints()
    complaints._hear(late)
    assert complaints.last == ""
    complaints._hear(KafkaConnectionError("socket disconnected"))
    complaints._hear(late)
    assert complaints.last == "socket disconnected"


def test_the_library_logs_nothing_below_a_warning() -> None:
    """On lower levels it shows options, keys and bodies."""
    with pytest.raises(KafkaUnavailable):
        NOBODY.admin(patience_seconds=0.1)
    logger = logging.getLogger("kafka.producer.kafka")
    assert not logger.isEnabledFor(logging.INFO)
    assert logger.isEnabledFor(logging.WARNING)


def test_the_producer_waits_for_every_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """acks=all and idempotent, said outright, so that a conflict is an error and no warning."""
    given = options_given(monkeypatch, "KafkaProducer")
    NOBODY.producer(linger_ms=1)
    assert (given["acks"], given["enable_idempotence"]) == ("all", True)
    assert given["linger_ms"] == 1
    assert given["compression_type"] is None
    assert given["max_request_size"] == NOBODY.largest_record_bytes + ROOM_BYTES


def test_the_consumer_commits_nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets come after the database; partitions move one by one; a new group begins early."""
    given = options_given(monkeypatch, "KafkaConsumer")
    replace(NOBODY, prefix="acme").consumer("ingest", max_poll_records=1000)
    assert given["group_id"] == "acme.ingest"
    assert given["enable_auto_commit"] is False
    assert given["auto_offset_reset"] == "earliest"
    assert given["max_poll_records"] == 1000
    (assignor,) = given["partition_assignment_strategy"]
    assert assignor.supported_protocols(None) == [RebalanceProtocol.COOPERATIVE]


def options_given(monkeypatch: pytest.MonkeyPatch, client: str) -> dict[str, object]:
    given: dict[str, object] = {}
    monkeypatch.setattr(f"kafka.{client}", lambda **options: given.update(options))
    return given


def test_a_topic_lets_the_largest_body_in() -> None:
    """And the dead letter that it may become is larger by its reason."""
    cluster = cluster_of({"JOURNEY_KAFKA": "kafka:9092", "JOURNEY_MAX_BODY_BYTES": "1048576"})
    largest = {
        topic.name: int(topic.configuration(cluster)["max.message.bytes"]) for topic in TOPICS
    }
    assert largest["deliveries"] == 8 * 1048576 + ROOM_BYTES
    assert largest["dead-letters"] == largest["deliveries"] + ROOM_BYTES


def test_a_body_never_asks_for_more_than_a_broker_takes() -> None:
    """100 MB is what a broker's request may have unless it is told otherwise."""
    asked = {"JOURNEY_KAFKA": "kafka:9092", "JOURNEY_MAX_BODY_BYTES": str(64 * 1024**2)}
    assert cluster_of(asked).largest_record_bytes < 100 * 1000**2


@pytest.mark.parametrize(("copies", "majority"), [(1, "1"), (2, "2"), (3, "2"), (5, "3")])
def test_success_means_a_majority_of_the_copies(copies: int, majority: str) -> None:
    """With three copies one broker may be away, and none of the answered is lost."""
    found = TOUCHPOINTS.configuration(replace(NOBODY, replication=copies))
    assert found["min.insync.replicas"] == majority
    assert found["unclean.leader.election.enable"] == "false"


def test_only_what_arrived_is_personal_and_none_of_it_kept_for_ever() -> None:
    """An erasure has to come to an end: raw deliveries run out by themselves."""
    for topic in TOPICS:
        assert not topic.personal or topic.kept_days is not None
    assert TOUCHPOINTS.configuration(NOBODY)["retention.ms"] == "-1"
    assert DEAD_LETTERS.configuration(NOBODY)["retention.ms"] == str(30 * 24 * 3600 * 1000)


def test_a_topic_says_how_it_differs() -> None:
    """Each difference with the setting that asks for it."""
    cluster = replace(NOBODY, partitions=12, replication=3)
    assert Standing("journey.alerts", 12, 3).differences(cluster) == []
    assert Standing("journey.alerts", None, None).differences(cluster) == ["it is not there"]
    assert Standing("journey.alerts", 6, 1).differences(cluster) == [
        "it has 6 partitions, JOURNEY_KAFKA_PARTITIONS says 12",
        "it has 1 copies, JOURNEY_KAFKA_REPLICATION says 3",
    ]


@pytest.mark.parametrize(
    ("topic", "settings", "said"),
    [
        ("deliveries", {}, []),
        ("deliveries", {"retention.ms": "1000", "min.insync.replicas": "3"}, []),
        ("deliveries", {"cleanup.policy": "compact"}, ["cleanup.policy is compact"]),
        ("deliveries", {"min.insync.replicas": "1"}, ["1 and has to be 2 or more"]),
        ("alerts", {"unclean.leader.election.enable": "true"}, ["has to be false"]),
        ("alerts", {"retention.bytes": "1000"}, ["has to be -1"]),
        ("dead-letters", {"max.message.bytes": "1048588"}, ["max.message.bytes is 1048588"]),
        ("touchpoints", {"retention.ms": "1000"}, ["has to be -1, for ever"]),
    ],
)
def test_a_topic_says_which_setting_may_lose_something(
    topic: str, settings: dict[str, str], said: list[str]
) -> None:
    """Whoever made it: a success code is a promise. How long it is kept is everybody's own."""
    cluster = replace(NOBODY, partitions=12, replication=3)
    found = Standing(f"journey.{topic}", 12, 3, settings).differences(cluster)
    assert len(found) == len(said)
    assert all(words in each for words, each in zip(said, found, strict=True))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts what Linux tells")
def test_looking_for_a_broker_leaves_no_socket_open() -> None:
    """For as long as it is away, and whenever the collector comes."""

    def look() -> int:
        with pytest.raises(KafkaUnavailable):
            NOBODY.producer(patience_seconds=0.3)
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.disable()
    try:
        before = look()
        look()
        # What other tests left open may be closed meanwhile.
        assert look() <= before
    finally:
        gc.enable()


def test_every_complaint_has_one_handler() -> None:
    """However many clients a process makes."""
    for _ in range(2):
        module._quiet()
    assert logging.getLogger("kafka").handlers.count(module._complaints) == 1
