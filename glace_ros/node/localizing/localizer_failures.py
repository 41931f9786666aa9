"""Exceptions of the localizer: one may be of its image, many in a row are not.

A GPU whose memory is full may have room again later, so the node goes on trying, at a slower pace.
After an illegal access or a failed assertion in a kernel every later CUDA call of the process fails
too: then nothing helps but to start it again. So it is where a call does not return at all.
"""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Any

from glace_ros.errors import GlaceError
from glace_ros.node.ros_interface.transition_log import TransitionLog

if TYPE_CHECKING:
    from collections.abc import Callable

ERROR_AFTER = 5  # failures in a row
RETRY_S = 2.0  # between two images, while in error
STUCK_S = 10  # on one image: error
LOST_S = 60  # on one image: a GPU that hangs does not come back
LONGEST_SENTENCE = 300  # CUDA's advice on debugging follows in the traceback


class BrokenDeviceError(GlaceError):
    """Nothing can be computed in this process any more."""

    exit_code = 7


class LocalizerFailures:
    """Counts failures in a row. `passed` and `failed` are for the thread that localizes.

    log: an rclpy logger.
    then: what becomes of map->odom ("holding map->odom", or empty).
    problem: a sentence while the node is in error, else None.
    broken: in error for good.
    """

    def __init__(self, log: Any, then: str) -> None:
        self._log, self._then = log, then
        self._transitions = TransitionLog()
        self._count, self._since_s = 0, 0.0
        self.problem: str | None = None
        self.broken = False

    def passed(self) -> None:
        """The localizer has come to an end with an image, whatever it says of it."""
        if self.problem is not None and not self.broken:
            self.problem = None
            self._log.info(
                f"The localizer works again, after {time.monotonic() - self._since_s:.1f} s "
                f"and {self._count} failures."
            )
        self._count = 0
        self._transitions.leave("exception")

    def failed(self, error: Exception, still_computes: Callable[[], bool]) -> None:
        """The localizer has raised an exception on an image.

        error: the exception.
        still_computes: see LoadedMap.
        """
        sentence = in_one_line(error)
        self._since_s = self._since_s if self._count else time.monotonic()
        self._count += 1
        lines = "".join(traceback.format_exception(error))
        self._transitions.enter(
            "exception", sentence, lambda: self._log.error(f"The localizer failed:\n{lines}")
        )
        if not self.broken and not still_computes():
            self.broken = True
            self.problem = f"{sentence} (the GPU is lost to this process: it must be started again)"
            self._log.fatal(f"ERROR: {self.problem}")
        elif self.problem is None and self._count >= ERROR_AFTER:
            self.problem = sentence
            then = f"{self._then}, " if self._then else ""
            self._log.error(
                f"ERROR: the localizer has failed on {self._count} images in a row ({sentence}); "
                f"{then}trying again every {RETRY_S:g} s"
            )
        elif self.problem is not None and not self.broken:
            self.problem = sentence

    def stuck(self, seconds: int, *, lost: bool) -> None:
        """For another thread, while this one is on one image.

        seconds: for how long.
        lost: it will not come back.
        """
        sentence = f"the localizer has been working on one image for {seconds} s"
        then = f"; {self._then}" if self._then else ""
        if not self._count:
            self._since_s = time.monotonic() - seconds
        if lost:
            self.broken = True
            sentence = f"{sentence}: this process must be started again"
            self._log.fatal(f"ERROR: {sentence}")
        else:
            self._log.error(f"ERROR: {sentence}{then}")
        self.problem = sentence


def in_one_line(error: Exception) -> str:
    """Its type and the first line of its text."""
    first_line = next((line for line in str(error).splitlines() if line.strip()), "")
    sentence = f"{type(error).__name__}: {first_line.strip()}" if first_line else repr(error)
    return sentence[:LONGEST_SENTENCE]
