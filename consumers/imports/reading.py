"""Bytes of a log, gzipped or not, and how much of the file they are."""

from __future__ import annotations

import codecs
import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from consumers.imports.log_file import UnreadableLog

CHUNK = 1 << 18
"""Bytes read at a time."""

_GZIP = b"\x1f\x8b"


class Opened:
    """A file being read: `stream` gives its bytes unpacked, `progress` how far that is."""

    def __init__(self, path: Path) -> None:
        try:
            self._raw: BinaryIO = path.open("rb")
            self._size = path.stat().st_size
            packed = self._raw.read(2) == _GZIP
        except OSError as error:
            raise UnreadableLog(f"{path.name} cannot be read ({error.strerror})") from None
        self._raw.seek(0)
        self.path = path
        self.stream: IO[bytes] = (
            cast("IO[bytes]", gzip.GzipFile(fileobj=self._raw)) if packed else self._raw
        )

    def progress(self) -> tuple[int, int]:
        """(bytes of the file read, bytes in all)."""
        return (self._size if self._raw.closed else self._raw.tell()), self._size

    def chunks(self) -> Iterator[bytes]:
        """All of it. Raises UnreadableLog for a gzip that is cut off or damaged."""
        while chunk := self.read(CHUNK):
            yield chunk

    def read(self, size: int) -> bytes:
        """The next bytes. Raises UnreadableLog for a gzip that is cut off or damaged."""
        try:
            return self.stream.read(size)
        except EOFError:
            raise UnreadableLog(
                f"{self.path.name} ends in the middle of its gzip data; fetch it again"
            ) from None
        except (gzip.BadGzipFile, zlib.error):
            raise UnreadableLog(
                f"{self.path.name} is damaged: its gzip data cannot be unpacked; fetch it again"
            ) from None
        except OSError as error:
            raise UnreadableLog(f"{self.path.name} cannot be read ({error.strerror})") from None

    def close(self) -> None:
        """Give the file back."""
        self.stream.close()
        self._raw.close()


def check_encoding(
    path: Path, encoding: str, otherwise: str, *, longest_line: float = math.inf
) -> None:
    """Reads a text through: gzip and encoding are whole, no line is endless (in characters).

    Raises UnreadableLog, which ends in what holds `otherwise`, and what to do then.
    """
    opened = Opened(path)
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, length = 1, 0
    try:
        for chunk in opened.chunks():
            text = decoder.decode(chunk)
            lines += text.count("\n")
            end = max(text.rfind("\n"), text.rfind("\r"))
            length = len(text) - 1 - end if end >= 0 else length + len(text)
            if length > longest_line:
                raise UnreadableLog(
                    f"{path.name}, about line {lines:,}, has a line of more than "
                    f"{longest_line:,} characters; is it a table?"
                )
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        lines += error.object[: error.start].count(b"\n")
        name = encoding.removesuffix("-sig").upper()
        raise UnreadableLog(
            f"{path.name}, about line {lines:,}, is not {name}{otherwise}"
        ) from None
    finally:
        opened.close()


__all__ = ["CHUNK", "Opened", "check_encoding"]
