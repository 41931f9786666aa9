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

    With several lanes (cameras) the newest job of each waits, and the lane that was worked on
    longest ago is next, so that none starves another. An exception in `work` goes to `on_error`
    with its job, and the next job is worked on. From `start` to `stop`, once: jobs that are offered
    before wait for it.

    work: called in the thread with each job whose turn it is.
    on_error: called in the thread with the job and what `work` has raised.
    max_rate_hz: of the calls.
    dropped: how many jobs a newer one has replaced.
    begun: how many jobs were begun.
    done: how many of these are done with; where it is less, one is being worked on.
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
        self._jobs: dict[str, Job] = {}  # by lane
        self._worked_on: dict[str, int] = {}  # when, counted in jobs
        self._hurried = self._stopping = False
        self._held_until_s = -math.inf
        self._changed = Condition()
        self.dropped = self.begun = self.done = 0
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begins the thread, unless it was begun."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="images", daemon=True)
            self._thread.start()

    def offer(self, job: Job, lane: str = "") -> None:
        """Puts the job in the place of the one that waits in its lane."""
        with self._changed:
            self.dropped += lane in self._jobs
            self._jobs[lane] = job
            self._changed.notify()

    def hurry(self) -> None:
        """Works on a waiting job at once, whatever the rate; where none waits, on the next one."""
        with self._changed:
            self._hurried = True
            self._changed.notify()

    def hold_off(self, seconds: float) -> None:
        """Works on no job for so long, unless hurried."""
        with self._changed:
            self._held_until_s = time.monotonic() + seconds

    def clear(self) -> None:
        """Drops the jobs that wait; one that is being worked on goes on."""
        with self._changed:
            self._jobs.clear()

    def stop(self, wait_s: float | None = None) -> None:
        """Ends the thread after the job that it is working on.

        wait_s: for that, at most; None: without limit.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(wait_s)

    def _run(self) -> None:
        due = time.monotonic()
        while (job := self._next(due)) is not None:
            # counted from when it was due, or jitter in the arrivals would lower the rate; of a
            # delay over a period one period, or images that come as often as this rate would each
            # wait for their turn from the first slow one on
            begun_s = time.monotonic()
            late_s = begun_s - due
            due = begun_s + self._period_s - min(max(late_s, 0.0), self._period_s)
            self.begun += 1
            try:
                self._work(job)
            except Exception as error:  # whatever it is, the next image may be good
                self._on_error(job, error)
            self.done += 1

    def _next(self, due: float) -> Job | None:
        """The job whose turn it is, once it is due or hurried; None when stopped."""
        with self._changed:
            while not self._stopping:
                until_s = -math.inf if self._hurried else max(due, self._held_until_s)
                wait_s = until_s - time.monotonic()
                if wait_s > 0.0:
                    self._changed.wait(min(wait_s, TIMEOUT_MAX))
                elif not self._jobs:
                    self._changed.wait()
                else:
                    self._hurried = False
                    lane = min(self._jobs, key=lambda lane: self._worked_on.get(lane, 0))
                    self._worked_on[lane] = 1 + max(self._worked_on.values(), default=0)
                    return self._jobs.pop(lane)
        return None
