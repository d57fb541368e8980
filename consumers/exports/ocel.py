"""What the encodings of OCEL 2.0 share: kinds as event types, and the objects of a touchpoint.

Objects are candidates, applications and jobs. Their ids have the type in front, since an
application and a job of one source may be called the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Generic, TypeVar

from consumers.scratch import scratch
from projections.columns import COMMON, Column, FlatTouchpoint, Type, own_columns
from schemas.registry import TOUCHPOINTS

OBJECT_TYPES = ("application", "candidate", "job")

IN_PLACE = frozenset({"touchpoint_id", "kind", "occurred_at"})
"""Columns that OCEL has a place for: id, type and time of an event."""

TYPES: dict[Type, str] = {
    "id": "string", "text": "string", "json": "string", "moment": "time", "number": "integer",
    "flag": "boolean",
}  # fmt: skip
"""What a cell holds, in the words of OCEL."""

BEGINNING = "1970-01-01T00:00:00Z"
"""Since when an object has the attributes that it always had."""

_REMEMBERED = 50_000

Related = list[tuple[str, str]]
"""(object id, qualifier) of each object of an event."""

_Written = TypeVar("_Written")


def attributes_of(kind: str, columns: Sequence[Column]) -> list[tuple[int, Column]]:
    """The columns that are attributes of an event of this kind, and their places in a row."""
    mine = (COMMON | own_columns(kind)) - IN_PLACE
    return [
        (place, each)
        for place, each in enumerate(columns)
        if each.name in mine or each.name.startswith("personal_")
    ]


def all_attributes(columns: Sequence[Column]) -> dict[str, list[tuple[int, Column]]]:
    """The same of every kind."""
    return {kind: attributes_of(kind, columns) for kind in TOUCHPOINTS}


class Objects(Generic[_Written]):
    """Every object once, and how objects are related, kept on disk.

    A log may have more people than fit in memory, and only at its end are all of them known.
    `written` makes of an event's objects what the encoding writes.
    """

    def __init__(self, written: Callable[[Related], _Written]) -> None:
        self._written = written
        self._database = scratch(
            "CREATE TABLE object (id TEXT PRIMARY KEY, type TEXT) WITHOUT ROWID;"
            "CREATE TABLE related (source TEXT, target TEXT, qualifier TEXT,"
            " PRIMARY KEY (source, target, qualifier)) WITHOUT ROWID;"
        )
        self._objects: list[tuple[str, str]] = []
        self._related: list[tuple[str, str, str]] = []
        self._noted = lru_cache(maxsize=_REMEMBERED)(self._note)

    def of(self, flat: FlatTouchpoint) -> _Written:
        """The objects of a touchpoint, noted, as they are written."""
        return self._noted(
            flat.candidate_id, flat.journey_id, flat.application_id, flat.job_id,
            flat.absorbed, flat.released,
        )  # fmt: skip

    def _note(
        self,
        candidate_id: str,
        journey_id: str,
        application_id: str | None,
        job_id: str | None,
        absorbed: str | None,
        released: str | None,
    ) -> _Written:
        candidate = self._object("candidate", candidate_id)
        told = [(candidate, "candidate")]
        if journey_id != candidate_id:
            self._relate(candidate, self._object("candidate", journey_id), "read as part of")
        job = None
        if job_id is not None:
            job = self._object("job", job_id)
            told.append((job, "job"))
        if application_id is not None:
            application = self._object("application", application_id)
            told.append((application, "application"))
            self._relate(application, candidate, "of")
            if job is not None:
                self._relate(application, job, "for")
        for qualifier, other in (("absorbed", absorbed), ("released", released)):
            if other is not None:
                told.append((self._object("candidate", other), qualifier))
        return self._written(told)

    def _object(self, object_type: str, name: str) -> str:
        object_id = f"{object_type}:{name}"
        self._objects.append((object_id, object_type))
        return object_id

    def _relate(self, source: str, target: str, qualifier: str) -> None:
        self._related.append((source, target, qualifier))

    def keep(self) -> None:
        """Put down what was noted since; to be called after every page."""
        put = self._database.executemany
        self._database.execute("BEGIN")
        put("INSERT OR IGNORE INTO object VALUES (?, ?)", self._objects)
        put("INSERT OR IGNORE INTO related VALUES (?, ?, ?)", self._related)
        self._database.execute("COMMIT")
        self._objects.clear()
        self._related.clear()

    def all(self) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
        """(id, type, [(id of a related object, qualifier)]) of every object, by id."""
        rows = self._database.execute(
            "SELECT id, type, target, qualifier FROM object LEFT JOIN related ON source = id "
            "ORDER BY id, target"
        )
        for (object_id, object_type), group in groupby(rows, key=lambda row: row[:2]):
            yield object_id, object_type, [(row[2], row[3]) for row in group if row[2] is not None]

    def close(self) -> None:
        """Give the disk back."""
        self._database.close()


__all__ = [
    "BEGINNING", "IN_PLACE", "OBJECT_TYPES", "TYPES", "Objects", "Related", "all_attributes",
    "attributes_of",
]  # fmt: skip
