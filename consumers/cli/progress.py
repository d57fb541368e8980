"""Progress of long work: a bar on standard error with rate and time left, on a terminal only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task


@contextlib.contextmanager
def counting(description: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """For work that counts what it does: told `done` of `total`, whose rate is in `unit`."""
    from rich.progress import MofNCompleteColumn, TextColumn

    rate = TextColumn(f"{{task.fields[rate]}} {unit}, left")
    with _drawn(description, MofNCompleteColumn(), rate) as (bar, task):

        def show(done: int, total: int) -> None:
            rate = f"{task.speed:,.0f}" if task.speed else "–"
            bar.update(task.id, completed=done, total=total, rate=rate)

        yield show


@contextlib.contextmanager
def of_rows(first: str, then: str) -> Iterator[Callable[[int, int, int, int], None]]:
    """For rows out of a whole that is known in other terms, such as bytes.

    Told `done` of `total`, the rows so far, and how many of them this run did. `first` describes
    what it does until it is told something, `then` what it does afterwards.
    """
    from rich.progress import TextColumn

    said = "{task.percentage:>3.0f} %  {task.fields[rows]} rows, {task.fields[rate]}/s, left"
    with _drawn(first, TextColumn(said)) as (bar, task):

        def show(done: int, total: int, rows: int, rows_of_this_run: int) -> None:
            rate = f"{rows_of_this_run / task.elapsed:,.0f}" if task.elapsed else "–"
            bar.update(
                task.id, description=then, completed=done, total=total, rows=f"{rows:,}", rate=rate
            )

        yield show


@contextlib.contextmanager
def _drawn(description: str, *columns: ProgressColumn) -> Iterator[tuple[Progress, Task]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    ) as bar:
        bar.add_task(description, total=None, rows="0", rate="–")
        yield bar, bar.tasks[0]
