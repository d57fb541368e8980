"""What a poller is: it knows what its system lists, and reads an answer.

A poller is to a poll what an adapter is to a webhook: small, without clock, database or network.
Fetching, keeping and going on is done once for all, in `poll.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Found:
    """One object of an answer, to be kept as a delivery of its own.

    `fingerprint` changes when anything changes that says something about a candidate. `body` is
    the object as JSON and may be personal.
    """

    object_id: str
    updated_at: datetime | None
    fingerprint: bytes
    body: bytes = field(repr=False)


class Poller(Protocol):
    """One system's lists."""

    @property
    def source(self) -> str:
        """The adapter that translates what is found."""
        ...

    @property
    def url(self) -> str:
        """Where its API is, unless the connection says otherwise."""
        ...

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists of changed objects, in the order in which they are read."""
        ...

    @property
    def details(self) -> Mapping[str, str]:
        """List → what is asked about its objects one by one, when all lists are read."""
        ...

    def look_at(self, endpoint: str, body: bytes, now: datetime) -> datetime | None:
        """When to ask about an object of which this version is kept now; None: not at all."""
        ...

    def list_path(self, endpoint: str, changed_since: datetime | None) -> str:
        """Path and query of the first page: what changed at this moment or later, or all."""
        ...

    def list_found(self, endpoint: str, body: bytes) -> list[Found]:
        """The objects of a page. Raises Unavailable for an answer that is none."""
        ...

    def detail_path(self, endpoint: str, object_id: str) -> str:
        """Path of what is asked about one object."""
        ...

    def detail_found(self, endpoint: str, about: bytes, body: bytes) -> list[Found]:
        """The answer about one object, whose kept version is `about`: itself, or its parts."""
        ...

    def detail_joined(self, endpoint: str, about: bytes, new: list[Found]) -> bytes | None:
        """One body of those parts that are new; None where the answer is the object itself."""
        ...

    def before(self, endpoint: str, body: bytes) -> bytes | None:
        """What of an object's kept version its next one needs; ASCII, never personal."""
        ...


__all__ = ["Found", "Poller"]
