"""Sealing and unsealing what is personal: AES-GCM, one data key a person, one master key over all.

Destroying a person's wrapped key makes everything sealed under it unreadable for ever, while the
log stays append-only. The master key never leaves this module except as keys derived from it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from journey.arrays import ByteaArray, UuidArray, use_arrays
from journey.database import Connection, Database, settled
from journey.errors import ConfigurationError, KeyDestroyed, WrongMasterKey
from schemas.personal import Personal

_NONCE_BYTES = 12
_KEY_BYTES = 32
_CACHED_KEYS = 50_000


def master_key(configured: str | None, home: Path, *, embedded: bool) -> bytes:
    """The master key: from the setting, or in embedded mode from `home/master.key` (mode 0600).

    Raises ConfigurationError when there is none and none may be made, or it is not 32 bytes.
    """
    if configured:
        return _decode_key(configured, "JOURNEY_MASTER_KEY")
    if not embedded:
        raise ConfigurationError(
            "JOURNEY_MASTER_KEY is not set; with a database of your own it is required: "
            "32 random bytes in base64, kept apart from the database"
        )
    path = home / "master.key"
    home.mkdir(parents=True, exist_ok=True)
    try:
        # Made elsewhere and linked into place: of two processes that start at once, one wins.
        fresh = home / f".master.key.{os.getpid()}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        finally:
            fresh.unlink()
    except FileExistsError:
        pass
    return _decode_key(path.read_text().strip(), str(path))


def _decode_key(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigurationError(f"{where} must be {_KEY_BYTES} bytes in base64")
    return key


class Vault:
    """Seals and unseals under a person's own key; also the keyed fingerprints of identity."""

    def __init__(self, master: bytes) -> None:
        self._wrapping = AESGCM(_derive(master, b"wrap"))
        # HMAC-SHA256 with its two key blocks hashed once: half the time of hashing them each time.
        key = _derive(master, b"fingerprint").ljust(64, b"\x00")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key)).copy
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key)).copy
        self._made: dict[int, tuple[bytes, AESGCM]] = {}
        # By the id as a number, as all keys here: it is hashed in C.
        self._keys: OrderedDict[int, AESGCM] = OrderedDict()

    def fingerprint(self, namespace: str, value: str) -> bytes:
        """16 bytes that stand for a key of a person and tell nothing about it without ours."""
        inner = self._inner()
        inner.update(f"{namespace}\x00{value}".encode("utf-8", "surrogatepass"))
        outer = self._outer()
        outer.update(inner.digest())
        return outer.digest()[:16]

    def open_keys(self, connection: Connection, candidates: Iterable[UUID]) -> Mapping[int, AESGCM]:
        """The data keys of these candidates, by their ids as numbers.

        Made where there is none yet, in two statements.
        """
        cached = self._keys.get
        found: dict[int, AESGCM] = {}
        missing: list[UUID] = []
        for number, candidate in {candidate.int: candidate for candidate in candidates}.items():
            key = cached(number)
            if key is None:
                missing.append(candidate)
            else:
                found[number] = key
        if missing:
            use_arrays(connection)
            found |= self._load(connection, missing)
            if fresh := [candidate for candidate in missing if candidate.int not in found]:
                found |= self._create(connection, fresh)
        return found

    def _load(self, connection: Connection, candidates: list[UUID]) -> dict[int, AESGCM]:
        rows = connection.execute(
            f"SELECT candidate_id, wrapped_key, {settled('person_keys')} FROM person_keys "
            "WHERE candidate_id = ANY(%b)",
            [UuidArray.of([candidate.bytes for candidate in candidates])],
            binary=True,
        ).fetchall()
        opened = {}
        for candidate_id, wrapped, is_settled in rows:
            made = self._made.get(candidate_id.int)
            if made is not None and made[0] == wrapped:
                key = made[1]
            else:
                key = self._unwrap(candidate_id, wrapped)
            opened[candidate_id.int] = key
            if is_settled:
                self._made.pop(candidate_id.int, None)
                self._remember(candidate_id, key)
        return opened

    def _create(self, connection: Connection, candidates: list[UUID]) -> dict[int, AESGCM]:
        # Sorted, so that two processes that make the same keys wait for each other in one order.
        candidates.sort(key=lambda candidate: candidate.int)
        made = _random(len(candidates), _KEY_BYTES)
        wrapped = [
            nonce + self._wrapping.encrypt(nonce, key, candidate.bytes)
            for candidate, key, nonce in zip(candidates, made, nonces(len(made)), strict=True)
        ]
        rows = connection.execute(
            "INSERT INTO person_keys SELECT * FROM unnest(%b, %b) "
            "ON CONFLICT DO NOTHING RETURNING candidate_id",
            [
                UuidArray.of([candidate.bytes for candidate in candidates]),
                ByteaArray.of(wrapped),
            ],
            binary=True,
        ).fetchall()
        ours = {row[0].int for row in rows}
        # Not remembered as theirs: the transaction may yet roll back. When the same wrapped key is
        # read later, it need not be unwrapped again.
        opened = {}
        for candidate, key, sealed in zip(candidates, made, wrapped, strict=True):
            number = candidate.int
            if number in ours:
                opened[number] = AESGCM(key)
                self._made[number] = (sealed, opened[number])
        if len(self._made) > _CACHED_KEYS:
            self._made.clear()
        if theirs := [candidate for candidate in candidates if candidate.int not in ours]:
            opened |= self._load(connection, theirs)
        return opened

    def seal(self, key: AESGCM, candidate_id: UUID, personal: Personal, nonce: bytes) -> bytes:
        """A token that only this person's key opens, in base64. `nonce` is of `nonces`, fresh."""
        plain = personal.__pydantic_serializer__.to_json(personal, exclude_defaults=True)
        sealed = nonce + key.encrypt(nonce, plain, candidate_id.bytes)
        return binascii.b2a_base64(sealed, newline=False)

    def unseal(self, database: Database, candidate_id: UUID, token: str) -> Personal:
        """What was sealed. Raises KeyDestroyed after an erasure, WrongMasterKey."""
        with database.transaction() as connection:
            key = self.known_keys(connection, [candidate_id]).get(candidate_id)
        if key is None:
            raise KeyDestroyed(f"the key of candidate {candidate_id} was destroyed")
        return self.open(key, candidate_id, token)

    def known_keys(
        self, connection: Connection, candidates: Iterable[UUID]
    ) -> Mapping[UUID, AESGCM]:
        """The data keys that these candidates have; a destroyed one is missing, and not made."""
        use_arrays(connection)
        asked = list(set(candidates))
        found = self._load(connection, asked)
        return {candidate: found[candidate.int] for candidate in asked if candidate.int in found}

    def open(self, key: AESGCM, candidate_id: UUID, token: str) -> Personal:
        """What was sealed under this key of the candidate. Raises WrongMasterKey."""
        sealed = base64.b64decode(token)
        try:
            plain = key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], candidate_id.bytes)
        except InvalidTag:
            raise WrongMasterKey(f"a sealed field of candidate {candidate_id} is damaged") from None
        return Personal.model_validate_json(plain)

    def _unwrap(self, candidate_id: UUID, wrapped: bytes) -> AESGCM:
        try:
            return AESGCM(
                self._wrapping.decrypt(
                    wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], candidate_id.bytes
                )
            )
        except InvalidTag:
            raise WrongMasterKey(
                f"the key of candidate {candidate_id} was sealed with another master key; "
                "set JOURNEY_MASTER_KEY to the one this database was made with"
            ) from None

    def _remember(self, candidate_id: UUID, key: AESGCM) -> None:
        self._keys[candidate_id.int] = key
        if len(self._keys) > _CACHED_KEYS:
            self._keys.popitem(last=False)


def nonces(count: int) -> list[bytes]:
    """For sealing so many texts, each to be used once and never kept beyond its batch."""
    return _random(count, _NONCE_BYTES)


def _random(count: int, size: int) -> list[bytes]:
    """`count` times `size` random bytes, asked of the system at once."""
    drawn = os.urandom(count * size)
    return [drawn[start : start + size] for start in range(0, len(drawn), size)]


def _derive(master: bytes, purpose: bytes) -> bytes:
    return hmac.new(master, b"candidate-journey/" + purpose, hashlib.sha256).digest()
