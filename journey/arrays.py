"""Arrays as Postgres reads them in binary form, built by joining bytes.

psycopg dumps a list an element at a time in Python; a batch of a thousand ids has no time for that.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from journey.database import Connection

_HEADER = struct.Struct(">iiIii").pack
_LENGTH = struct.Struct(">i").pack
_UUID_OID, _UUID_ARRAY_OID = 2950, 2951
_BYTEA_OID, _BYTEA_ARRAY_OID = 17, 1001
_TEXT_OID, _TEXT_ARRAY_OID = 25, 1009


class UuidArray(bytes):
    """A `uuid[]` parameter."""

    @classmethod
    def of(cls, ids: Collection[bytes]) -> UuidArray:
        """From ids of 16 bytes each."""
        prefix = b"\x00\x00\x00\x10"
        body = prefix + prefix.join(ids) if ids else b""
        return cls(_header(len(ids), _UUID_OID) + body)


class ByteaArray(bytes):
    """A `bytea[]` parameter."""

    @classmethod
    def of(cls, values: Collection[bytes]) -> ByteaArray:
        """From byte strings of any length."""
        return cls(_header(len(values), _BYTEA_OID) + _joined(values))


class TextArray(bytes):
    """A `text[]` parameter."""

    @classmethod
    def of(cls, values: Collection[str]) -> TextArray:
        """From text of any length."""
        return cls(_header(len(values), _TEXT_OID) + _joined([value.encode() for value in values]))


def _header(count: int, oid: int) -> bytes:
    return _HEADER(1, 0, oid, count, 1) if count else struct.pack(">iiI", 0, 0, oid)


def _joined(values: Collection[bytes]) -> bytes:
    lengths = {len(value) for value in values}
    if len(lengths) == 1:
        prefix = _LENGTH(lengths.pop())
        return prefix + prefix.join(values)
    return b"".join([part for value in values for part in (_LENGTH(len(value)), value)])


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> Buffer | None:
        """The bytes as they are."""
        return bytes(obj)


class _UuidArrayDumper(_ArrayDumper):
    oid = _UUID_ARRAY_OID


class _ByteaArrayDumper(_ArrayDumper):
    oid = _BYTEA_ARRAY_OID


class _TextArrayDumper(_ArrayDumper):
    oid = _TEXT_ARRAY_OID


def use_arrays(connection: Connection) -> None:
    """Let this connection take these as parameters."""
    if connection.info.encoding != "utf-8":
        raise ValueError("the connection's encoding must be UTF-8")
    adapters = connection.adapters
    adapters.register_dumper(UuidArray, _UuidArrayDumper)
    adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
    adapters.register_dumper(TextArray, _TextArrayDumper)
