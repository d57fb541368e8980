"""A log that was imported before with another map: what differs is corrected, nothing is doubled.

What an earlier map told need not be looked for: reading the file with it once more gives the ids.
So the file is read with each earlier map, to know which of its facts are in the log, and with the
new one, to know which of them are told no more. Both stand in tables of the session. Then it is
read a last time, and each batch is compared with what was recorded and appended whole, with
what is taken back of the same rows: readers never see half of one, and doing it again does the
rest and nothing twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from consumers.amending import append_steps, comparison_of
from consumers.comparison import Comparison, Copy, Step, Told
from consumers.imports.formats import open_log
from consumers.imports.log_file import BrokenRow, LogFile, UnreadableLog
from consumers.imports.log_map import LogMap, Meaning, PersonalColumns
from consumers.imports.registry import Log
from consumers.imports.translate import Translator
from consumers.recorded import find_copies, read_copies
from journey.arrays import UuidArray
from journey.collector import collector_paused
from journey.database import Connection
from journey.errors import ConfigurationError
from journey.identity import Forest, Resolved
from journey.journey_log import JourneyLog
from schemas.statement import Statement

_PAGE = 5_000
"""Facts that are noted at a time."""

Translate = Callable[[Any], Sequence[Statement]]


class Progress(Protocol):
    """Told what is being read."""

    def __call__(self, log_file: LogFile, reading: int) -> None:
        """`reading` says which reading of the file this is, from 0."""


class Broken(NamedTuple):
    """Rows of the file, how many of them are broken with the new map, and the first such."""

    rows: int
    broken: int
    line: int
    reason: str


@dataclass(slots=True)
class Amended:
    """What a batch came to. `steps` are those that count, `repeated` facts told before in the file,
    `candidates` all whom it is about."""

    steps: list[Step] = field(default_factory=list)
    repeated: int = 0
    candidates: set[UUID] = field(default_factory=set)


class Again:
    """Imports one file with a map after files of its source were imported with others.

    `broken` counts all rows of the file, as the new map reads them.
    """

    def __init__(self, session: Connection, log: JourneyLog, imported: Log) -> None:
        self._session = session
        self._log = log
        assert imported.log_map is not None
        self._path, self._log_map = imported.path, imported.log_map
        self.broken = Broken(0, 0, 0, "")

    @classmethod
    def prepared(
        cls,
        session: Connection,
        log: JourneyLog,
        imported: Log,
        log_file: LogFile,
        earlier: Sequence[LogMap],
        progress: Progress,
    ) -> Again | None:
        """One that knows what is told, and what no longer; None where no earlier map told anything
        of this file. `session` is in autocommit mode; nobody else imports the source meanwhile.

        Raises ConfigurationError where people were named in a way that cannot be taken back.
        """
        again = cls(session, log, imported)
        for table in ("import_told", "import_gone"):
            session.execute(
                f"CREATE TEMP TABLE {table} (fact uuid PRIMARY KEY, row bigint NOT NULL)"
            )
        told = [
            again._note_before(log_map, partial(progress, reading=reading))
            for reading, log_map in enumerate(earlier)
        ]
        if not any(told):
            return None
        again._note_told(log_file, partial(progress, reading=len(earlier)))
        return again

    def _note_before(self, log_map: LogMap, progress: Callable[[LogFile], None]) -> bool:
        """Whether an earlier map told anything of this file; it is noted as gone until told."""
        opened = self._opened(log_map)
        if opened is None:
            return False
        told = 0
        for page in _Facts(*opened).pages():
            row = self._session.execute(_NOTE_BEFORE, page).fetchone()
            told += row[0] if row is not None else 0
            progress(opened[0])
        if told:
            self._check_people(log_map)
        return told > 0

    def _note_told(self, log_file: LogFile, progress: Callable[[LogFile], None]) -> None:
        facts = _Facts(log_file, Translator(self._log_map, log_file.key).translate)
        for page in facts.pages():
            self._session.execute(_NOTE_TOLD, page)
            progress(log_file)
        self.broken = facts.broken
        self._session.execute("ANALYZE import_told")
        self._session.execute(
            "DELETE FROM import_gone USING import_told WHERE import_told.fact = import_gone.fact"
        )
        for table in ("import_told", "import_gone"):
            self._session.execute(f"CREATE INDEX ON {table} (row)")
            self._session.execute(f"ANALYZE {table}")
        find_copies(self._session)

    def _opened(self, log_map: LogMap) -> tuple[LogFile, Translate] | None:
        """The file as an earlier map reads it; None where it cannot, and so told nothing of it."""
        bare = _bare(log_map)
        written = {"encoding": self._log_map.encoding, "delimiter": self._log_map.delimiter}
        # A file that has grown may need another encoding than when that map read its first rows.
        for each in (bare, bare.model_copy(update=written)):
            try:
                log_file = open_log(self._path, each)
                for column in each.columns:
                    log_file.key(column)
                log_file.check()
                return log_file, Translator(each, log_file.key).translate
            except UnreadableLog:
                continue
        return None

    def _check_people(self, earlier: LogMap) -> None:
        """Columns that were said to name one person made their keys one person's, for good.

        With one column only, nothing was made one.
        """
        named, now = _named(earlier), _named(self._log_map)
        if len(named) > 1 and not named <= now:
            lost = ", ".join(f"{column!r} ({what})" for what, column in sorted(named - now))
            raise ConfigurationError(
                f"{self._path.name} was imported with a map that names people also by {lost}, and "
                "keys of one person never part again, so with this map touchpoints would go to "
                "the wrong people; name people by these columns too, or import into a new tenant"
            )

    # --- batch by batch ---------------------------------------------------------------------

    def record(
        self, statements: Sequence[Statement], rows: range, connection: Connection
    ) -> Amended:
        """Append what differs of these rows of the file, in the transaction of the session."""
        with collector_paused():
            return self._record(statements, rows, connection)

    def rows_left(self, after: int, size: int) -> Iterator[range]:
        """Rows behind the last one, `size` at a time, as an earlier map saw them: it may have made
        more of them."""
        row = self._session.execute("SELECT max(row) FROM import_gone").fetchone()
        last = row[0] if row is not None and row[0] is not None else -1
        for start in range(after, last + 1, size):
            yield range(start, start + size)

    def _record(
        self, statements: Sequence[Statement], rows: range, connection: Connection
    ) -> Amended:
        resolved = self._log.resolve(statements, connection) if statements else Resolved()
        told: dict[UUID, Told] = {}
        first = self._of_rows("import_told", rows)
        for said, candidate_id in zip(statements, resolved.candidates, strict=True):
            fact = said.touchpoint.touchpoint_id
            if fact in first:
                told.setdefault(fact, Told(said, candidate_id))
        gone = self._of_rows("import_gone", rows)
        copies = self._copies(connection, [*told, *gone])
        streams = {copy.candidate_id for each in copies.values() for copy in each}
        forest = Forest.load(connection, streams | set(resolved.candidates))
        comparison = comparison_of(self._log, forest.root)
        steps: list[Step] = []
        for fact in (*gone, *told):
            steps += _steps(comparison, told.get(fact), copies.get(fact, ()))
        counting, _ = append_steps(connection, self._log, steps, statements, resolved)
        return Amended(
            counting,
            len(statements) - len(told),
            {*resolved.candidates, *(step.candidate_id for step in steps if step.statement)},
        )

    def _of_rows(self, table: str, rows: range) -> dict[UUID, None]:
        found = self._session.execute(
            f"SELECT fact FROM {table} WHERE row >= %s AND row < %s ORDER BY row, fact",
            [rows.start, rows.stop],
        )
        return dict.fromkeys(row[0] for row in found)

    def _copies(self, connection: Connection, facts: Sequence[UUID]) -> Mapping[UUID, list[Copy]]:
        rows = connection.execute(
            "WITH asked AS (SELECT unnest(%b) AS fact) "
            "SELECT e.originator_id, e.originator_version, e.topic, e.state, e.notification_id, "
            "chosen.fact FROM (SELECT fact, fact AS touchpoint_id FROM asked UNION ALL "
            "SELECT fact, touchpoint_id FROM found_copies JOIN asked USING (fact)) AS chosen "
            "JOIN journey_events e USING (touchpoint_id) ORDER BY e.notification_id",
            [UuidArray.of([fact.bytes for fact in facts])],
            binary=True,
        ).fetchall()
        copies: dict[UUID, list[Copy]] = defaultdict(list)
        for copy, row in zip(read_copies(connection, self._log, rows), rows, strict=True):
            copies[row[5]].append(copy)
        return copies


_NOTE_TOLD = "INSERT INTO import_told SELECT * FROM unnest(%b, %s::bigint[]) ON CONFLICT DO NOTHING"
_NOTE_BEFORE = (
    "WITH recorded AS (SELECT fact, row FROM unnest(%b, %s::bigint[]) AS told (fact, row) "
    "WHERE EXISTS (SELECT FROM journey_events WHERE touchpoint_id = fact)), noted AS ("
    "INSERT INTO import_gone SELECT fact, row FROM recorded ON CONFLICT DO NOTHING) "
    "SELECT count(*) FROM recorded"
)


class _Facts:
    """The ids of what a file tells, with the number of the row, from 0."""

    def __init__(self, log_file: LogFile, translate: Translate) -> None:
        self._log_file = log_file
        self._translate = translate
        self.broken = Broken(0, 0, 0, "")

    def pages(self) -> Iterator[tuple[UuidArray, list[int]]]:
        facts = self._facts()
        while page := list(islice(facts, _PAGE)):
            yield UuidArray.of([fact for fact, _ in page]), [row for _, row in page]

    def _facts(self) -> Iterator[tuple[bytes, int]]:
        number, broken = -1, 0
        first = (0, "")
        for number, (line, cells, problem) in enumerate(self._log_file.rows()):
            try:
                if problem is not None:
                    raise BrokenRow(problem)
                for said in self._translate(cells):
                    yield said.touchpoint.touchpoint_id.bytes, number
            except BrokenRow as error:
                broken += 1
                if broken == 1:
                    first = (line, error.reason)
        self.broken = Broken(number + 1, broken, *first)


def _steps(comparison: Comparison, told: Told | None, copies: Sequence[Copy]) -> Iterator[Step]:
    delivered = next((copy for copy in copies if copy.touchpoint.delivery_id is not None), None)
    if delivered is not None:
        # A webhook or a poll told it: no map of a log knows better.
        yield Step("elsewhere", delivered.touchpoint, delivered.candidate_id)
    else:
        yield from comparison.steps(told, copies)


def _bare(log_map: LogMap) -> LogMap:
    """What of a map settles which facts it tells: columns that it needs for no id may be gone."""

    def meaning(of: Meaning) -> Meaning:
        values = {value: meaning(within) for value, within in of.values.items()}
        return of.model_copy(update={"fields": {}, "constants": {}, "values": values})

    changes: dict[str, Any] = {
        "precision": None,
        "job": None,
        "stage": None,
        "actor": None,
        "personal": PersonalColumns(),
        "activities": {name: meaning(each) for name, each in log_map.activities.items()},
        "other": meaning(log_map.other),
        "steps": {name: meaning(each) for name, each in log_map.steps.items()},
    }
    if log_map.case is not None:
        changes |= {"candidate": None, "person": {}}
    return log_map.model_copy(update=changes)


def _named(log_map: LogMap) -> set[tuple[str, str]]:
    """(namespace, column) of all that names a person."""
    candidate = log_map.candidate or log_map.case
    own = {("candidate", candidate)} if candidate is not None else set()
    return own | set(log_map.person.items())


__all__ = ["Again", "Amended", "Broken"]
