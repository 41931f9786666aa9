"""Progress with an ETA, that a log can hold."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress_bar(console: Console, what: str, total: float | None) -> Iterator[Callable[..., None]]:
    """A bar with an ETA; yields `advance(completed=None, note="")`. One line in a log that is no
    terminal.
    """
    columns = [TextColumn(f"{what:<12}"), BarColumn(30)]
    if total is not None and total > 1:
        columns.append(MofNCompleteColumn())
    columns += [
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task(what, total=total, note="")

        def advance(completed: float | None = None, note: str = "") -> None:
            if completed is None:
                bar.advance(task)
            else:
                bar.update(task, completed=completed)
            if note:
                bar.update(task, note=note)

        yield advance
