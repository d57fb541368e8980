"""What a format is: it takes rows and makes a file of them, without keeping them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from projections.columns import Column, FlatTouchpoint


class Writer(Protocol):
    """Writes one file."""

    def write(self, touchpoints: Sequence[FlatTouchpoint]) -> None:
        """The next rows: of a format that is written by journey, one journey."""
        ...

    def close(self) -> None:
        """What comes last. Not called when an export is given up."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """A format of `journey export`.

    `open` makes a writer on an open file whose path is given beside it, for these columns.
    `by_journey`: it needs each journey whole; the others are written in the order of recording.
    `streams`: it may be written to standard output. `holds` says in words what a reader finds.
    """

    name: str
    holds: str
    open: Callable[[BinaryIO, Path | None, Sequence[Column]], Writer]
    by_journey: bool = False
    streams: bool = True


__all__ = ["Format", "Writer"]
