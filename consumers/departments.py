"""Departments: which jobs belong to one, from a file written by hand.

No touchpoint says which department a job belongs to, so it is told in a YAML file:

    Engineering: ["greenhouse:400", "greenhouse:401"]
    Sales: ["greenhouse:500"]

Job ids are those of the touchpoints; a job may belong to several departments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from journey.errors import ConfigurationError

Departments = dict[str, tuple[str, ...]]
"""Department → its jobs."""


def load_departments(path: Path) -> Departments:
    """The departments of a file; none when there is no file. Raises ConfigurationError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the departments in {path} cannot be read: {error}") from error
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise ConfigurationError(f"the departments in {path} are no YAML{where}") from error
    if told is None:
        return {}
    if not isinstance(told, dict):
        raise ConfigurationError(
            f"the departments in {path} are no mapping; write a line `Name: [job id, …]` for each"
        )
    return {str(name): _jobs(path, name, jobs) for name, jobs in told.items()}


def _jobs(path: Path, name: Any, jobs: Any) -> tuple[str, ...]:
    if not isinstance(jobs, list) or not all(isinstance(job, str) for job in jobs):
        raise ConfigurationError(
            f"the department {str(name)!r} in {path} has no list of job ids; write each as text "
            'in quotes, as in `["greenhouse:400"]`'
        )
    return tuple(jobs)
