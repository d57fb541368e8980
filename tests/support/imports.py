"""Importing a file in a test, as `journey import` does it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from consumers.imports.formats import open_log
from consumers.imports.history import BATCH, Imported, Importer, aside_of
from consumers.imports.log_map import LogMap
from consumers.imports.translate import Translator
from journey.clock import Clock
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault
from tests.support.fakes import FrozenClock

NOW = datetime.fromisoformat("2026-03-02T09:00:00+00:00")
FIELDS: dict[str, Any] = {
    "source": "old-ats",
    "case": "case",
    "activity": "activity",
    "time": "time",
    "activities": {
        "applied": "application_submitted",
        "interview": "interview_held",
        "rejected": "rejection_sent",
        "offer": "offer_sent",
    },
}


def a_map(**changes: Any) -> LogMap:
    """The map of `a_csv`, with changes."""
    return LogMap.model_validate({**FIELDS, **changes})


def a_csv(path: Path, rows: Sequence[Sequence[str]], header: str = "case,activity,time") -> Path:
    """A CSV of these rows."""
    lines = [header, *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def import_file(
    database: Database,
    path: Path,
    log_map: LogMap,
    *,
    clock: Clock | None = None,
    quiet_until: datetime = NOW,
    batch: int = BATCH,
    most_broken: float = 0.05,
    correct: bool = True,
    dry_run: bool = False,
) -> Imported:
    """Import a file into the tenant."""
    clock = clock or FrozenClock(NOW)
    log_file = open_log(path, log_map)
    importer = Importer(database, JourneyLog(database, Vault(bytes(32)), clock), clock)
    translate = Translator(log_map, log_file.key)
    if dry_run:
        return importer.forecast(log_file, translate, log_map, batch=batch)
    return importer.run(
        log_file,
        translate,
        log_map,
        quiet_until=quiet_until,
        aside=aside_of(path),
        most_broken=most_broken,
        correct=correct,
        batch=batch,
    )
