"""A program of ours as a process of its own that never outlives the one that started it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PATIENCE_S = 10.0
"""From Ctrl-C until the process is ended by force."""


@contextlib.contextmanager
def child_process(
    subcommand: str, arguments: Sequence[str], output: IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """`glace SUBCOMMAND ARGUMENTS`, ended on leaving: first as by Ctrl-C, then by force.

    output: where its stdout and stderr go; None: where ours go.
    """
    # a session of its own: a terminal's Ctrl-C reaches us alone, and we pass it on, once
    process = subprocess.Popen(
        [sys.executable, "-m", "glace_ros.cli", subcommand, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        except BaseException:  # a second Ctrl-C while we wait
            process.kill()
            process.wait()
            raise
