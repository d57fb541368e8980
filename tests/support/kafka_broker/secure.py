"""A broker that lets nobody in without proof: SASL/SCRAM over TLS, and TLS with a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.kafka_broker.brokers import NativeBroker

USERNAME = "journey"
PASSWORD = "correct horse battery staple"

_SCRAM = "SCRAM-SHA-512"


@dataclass(frozen=True)
class SecureBroker:
    """Where its two ways in are, and what a client needs for them, as PEM files."""

    scram: str
    mutual: str
    ca: Path
    certificate: Path
    key: Path


@contextmanager
def secure_broker(folder: Path) -> Iterator[SecureBroker]:
    """A running broker; its certificates are written to `folder`."""
    authority = _Authority()
    ca, certificate, key = (folder / f"{name}.pem" for name in ("ca", "certificate", "key"))
    ca.write_bytes(authority.certificate)
    own_key, own = authority.issued("journey")
    key.write_bytes(own_key)
    certificate.write_bytes(own)
    server = folder / "server.pem"
    server.write_bytes(b"".join(authority.issued("broker")))
    tls = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
    }
    scram, mutual = "listener.name.scram", "listener.name.mutual"
    broker = NativeBroker(
        listeners={"SCRAM": "SASL_SSL", "MUTUAL": "SSL"},
        settings={
            **{f"{listener}.{name}": tls[name] for listener in (scram, mutual) for name in tls},
            f"{mutual}.ssl.client.auth": "required",
            f"{scram}.sasl.enabled.mechanisms": _SCRAM,
            f"{scram}.{_SCRAM.lower()}.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
        },
        formatted_with=("--add-scram", f"{_SCRAM}=[name={USERNAME},password={PASSWORD}]"),
    )
    with broker:
        broker.start()
        where = broker.addresses
        yield SecureBroker(where["SCRAM"], where["MUTUAL"], ca, certificate, key)


class _Authority:
    """Vouches for whom it has issued a certificate."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self._name = _named("test authority")
        self._certificate = self._signed(self._name, self._key.public_key(), authority=True)
        self.certificate = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issued(self, name: str) -> tuple[bytes, bytes]:
        """A new key and its certificate, as PEM."""
        key = rsa.generate_private_key(65537, 2048)
        certificate = self._signed(_named(name), key.public_key(), authority=False)
        return (
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            certificate.public_bytes(serialization.Encoding.PEM),
        )

    def _signed(
        self, subject: x509.Name, public_key: rsa.RSAPublicKey, *, authority: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        here = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        return (
            x509.CertificateBuilder(self._name, subject, public_key, x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(here, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


__all__ = ["PASSWORD", "USERNAME", "SecureBroker", "secure_broker"]
