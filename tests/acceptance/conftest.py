"""An installation with its server running, for stories from delivery to alert."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.demo.story import at
from journey.database import Database
from tests.support.installations import World, a_world


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    """It is the first of January in the story's year."""
    with a_world(database, tmp_path, at("01-02", "00:00")) as world:
        yield world
