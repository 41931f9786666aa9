"""The thread that works on images, so that the node answers while the network runs."""

from __future__ import annotations

import math
import time
from threading import TIMEOUT_MAX, Condition, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Job = TypeVar("Job")


class NewestFirstWorker(Generic[Job]):
    """Calls `work` with the newest job, at most max_rate_hz times a second; older ones are dropped.

    An exception in `work` goes to `on_error` with its job, and the next job is worked on.
    dropped: how many jobs a newer one has replaced.
    """

    def __init__(
        self,
        work: Callable[[Job], None],
        on_error: Callable[[Job, Exception], None],
        max_rate_hz: float,
    ) -> None:
        self._work = work
        self._on_error = on_error
        self._period_s = 1.0 / max_rate_hz
        self._job: Job | None = None
        self._hurried = self._stopping = False
        self._held_until_s = -math.inf
        self._changed = Condition()
        self.dropped = 0
        self._thread = Thread(target=self._run, name="images", daemon=True)
        self._thread.start()

    def offer(self, job: Job) -> None:
        """Puts the job in the place of the one that waits."""
        with self._changed:
            self.dropped += self._job is not None
            self._job = job
            self._changed.notify()

    def hurry(self) -> None:
        """Works on the newest job at once, whatever the rate; where none waits, on the next one."""
        with self._changed:
            self._hurried = True
            self._changed.notify()

    def hold_off(self, seconds: float) -> None:
        """Works on no job for so long, unless hurried."""
        with self._changed:
            self._held_until_s = time.monotonic() + seconds

    def clear(self) -> None:
        """Drops the job that waits; one that is being worked on goes on."""
        with self._changed:
            self._job = None

    def stop(self) -> None:
        """Ends the thread after the job that it is working on."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while (job := self._next(due)) is not None:
            # counted from when it was due, or jitter in the arrivals would lower the rate
            late_s = time.monotonic() - due
            due += self._period_s + (0.0 if 0.0 <= late_s <= self._period_s else late_s)
            try:
                self._work(job)
            except Exception as error:  # whatever it is, the next image may be good
                self._on_error(job, error)

    def _next(self, due: float) -> Job | None:
        """The newest job, once it is due or hurried; None when stopped."""
        with self._changed:
            while not self._stopping:
                until_s = -math.inf if self._hurried else max(due, self._held_until_s)
                wait_s = until_s - time.monotonic()
                if wait_s > 0.0:
                    self._changed.wait(min(wait_s, TIMEOUT_MAX))
                elif self._job is None:
                    self._changed.wait()
                else:
                    job, self._job, self._hurried = self._job, None, False
                    return job
        return None
