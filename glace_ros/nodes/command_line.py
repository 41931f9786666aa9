"""What the offline programs share: arguments, errors as one sentence, progress that a log can
hold.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
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

from glace_ros.errors import GlaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

INTERRUPTED = 130


def finite(text: str) -> float:
    """An argument that is a number."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError("must be a finite number")
    return value


def positive(text: str) -> float:
    """An argument greater than 0."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


def not_negative(text: str) -> float:
    """An argument of 0 or more."""
    value = finite(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def share(text: str) -> float:
    """An argument between 0 and 0.5."""
    value = finite(text)
    if not 0 <= value <= 0.5:
        raise argparse.ArgumentTypeError("must be between 0 and 0.5")
    return value


def whole_number(least: int) -> Callable[[str], int]:
    """For an argument that is a whole number, `least` or more."""

    def parse(text: str) -> int:
        value = int(text)
        if not least <= value < 2**31:
            raise argparse.ArgumentTypeError(f"must be {least} or more, and below 2^31")
        return value

    parse.__name__ = "whole number"  # argparse: "invalid whole number value: 'x'"
    return parse


def require_writable(option: str, path: Path) -> None:
    """Make the file's folder. Raises GlaceError where the file cannot be written: said at once,
    not when the work is done.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise GlaceError(f"{option} {path} is a folder: name a file")
        probe = path.with_name(path.name + ".probe")
        probe.touch()
        probe.unlink(missing_ok=True)  # another rank may have looked at the same time
    except OSError as error:
        raise GlaceError(f"{option} {path} cannot be written: {error.strerror}") from error


def require_distinct(files: Mapping[str, str | Path | None]) -> None:
    """Raises GlaceError where two options name one file, which would be written over. files: by
    option; None where it is not given.
    """
    options: dict[str, str] = {}
    for option, file in files.items():
        if not file:
            continue
        place = os.path.realpath(file)
        if place in options:
            raise GlaceError(
                f"{option} and {options[place]} name the same file, {file}: name another for one "
                "of them"
            )
        options[place] = option


def run(program: str, work: Callable[[], int]) -> int:
    """The exit code of `work`; a GlaceError, Ctrl-C or SIGTERM becomes one sentence on stderr and
    its code.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        return work()
    except GlaceError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        print(
            f"{program}: interrupted{interrupt.args[0] if interrupt.args else ''}", file=sys.stderr
        )
        return INTERRUPTED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_ctrl_c(_number: int, _frame: object) -> None:
    # systemd sends it to all of a service's processes: of two of ours, the one that started the
    # other sends its own SIGINT, which must not cut short what is being saved
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def interruption_says(words: Callable[[], str]) -> Iterator[None]:
    """What `run` says of a Ctrl-C in here, after "interrupted"."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(words()) from None


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
