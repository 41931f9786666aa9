"""What the offline programs share: arguments, errors as one sentence, progress that a log can
hold.
"""

from __future__ import annotations

import argparse
import sys
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

from glace_ros.errors import GlaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERRUPTED = 130


def add_bag_arguments(parser: argparse.ArgumentParser) -> None:
    """--bag and what in it to use."""
    parser.add_argument(
        "--bag",
        required=True,
        metavar="PATH",
        help="rosbag2 folder or file (sqlite3, mcap, zstd) or ROS 1 .bag",
    )
    parser.add_argument(
        "--image-topic",
        metavar="TOPIC",
        help="raw or compressed; found by itself where there is one",
    )
    parser.add_argument(
        "--camera-info-topic", metavar="TOPIC", help="found by itself beside the image topic"
    )
    parser.add_argument(
        "--pose-source", metavar="SOURCE",
        help="tf:FRAME, or a topic of Odometry, PoseStamped or PoseWithCovarianceStamped; left "
        "out: tf:map if the bag has it, else the odometry topic",
    )  # fmt: skip


def run(program: str, work: Callable[[], int]) -> int:
    """The exit code of `work`; a GlaceError or Ctrl-C becomes one sentence on stderr and its
    code.
    """
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
