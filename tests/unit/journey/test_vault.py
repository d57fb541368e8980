"""The vault's own arithmetic, against the plain definitions."""

from __future__ import annotations

import hashlib
import hmac
import os

from journey.vault import Vault, _derive


def test_a_fingerprint_is_an_hmac() -> None:
    """Hashing the key's blocks beforehand gives the HMAC-SHA256 of the standard library."""
    master = os.urandom(32)
    key = _derive(master, b"fingerprint")
    told = hmac.digest(key, b"email\x00ada@example.com", hashlib.sha256)
    assert Vault(master).fingerprint("email", "ada@example.com") == told[:16]


def test_a_fingerprint_depends_on_namespace_value_and_key() -> None:
    """The same text in another namespace, or under another key, is another person."""
    one, other = Vault(bytes(32)), Vault(bytes(31) + b"\x01")
    prints = {
        one.fingerprint("email", "1"),
        one.fingerprint("phone", "1"),
        one.fingerprint("email", "2"),
        other.fingerprint("email", "1"),
    }
    assert len(prints) == 4
