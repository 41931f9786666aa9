"""The thread that localizes: from an image to its outcome in a LocalizationRun."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from glace_ros.node.localizing.base_locator import ImageRejected
from glace_ros.node.localizing.image_worker import NewestFirstWorker
from glace_ros.node.localizing.localization_run import what_becomes_of_tf
from glace_ros.node.localizing.localizer_failures import (
    LOST_S,
    RETRY_S,
    STUCK_S,
    LocalizerFailures,
    in_one_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.node.input.incoming_image import IncomingImage
    from glace_ros.node.localizing.base_locator import BaseLocator
    from glace_ros.node.localizing.loaded_map import LoadedMap
    from glace_ros.node.localizing.localization_run import LocalizationRun
    from glace_ros.node.ros_interface.parameters import LocalizeParameters
    from glace_ros.rejection import Rejection

    Outcome = PoseEstimate | Rejection | Exception | None


TICKS_A_S = 5
LAST_IMAGE_S = 2.0  # after Ctrl-C: launch kills what has not ended after 5 s


class ImageJob(NamedTuple):
    """An image, and what was in use when it came."""

    run: LocalizationRun
    loaded_map: LoadedMap
    locator: BaseLocator
    image: IncomingImage


class LocalizingThread:
    """Works on the newest image of each camera in turn, from `start` to `stop`.

    node: whose log it writes to.
    parameters: of the node.
    now_ns: of the node's clock.
    done: called in the thread with each job and what the localizer said (None: nothing was
        asked of it).
    failures: what the thread has to say of itself.
    """

    def __init__(
        self,
        node: Node,
        parameters: LocalizeParameters,
        now_ns: Callable[[], int],
        done: Callable[[ImageJob, Outcome], None],
    ) -> None:
        self._node, self._now_ns, self._done = node, now_ns, done
        self.failures = LocalizerFailures(node.get_logger(), what_becomes_of_tf(parameters))
        self._worker: NewestFirstWorker[ImageJob] = NewestFirstWorker(
            self._work, self._on_exception, parameters.max_rate
        )
        self._watched = self._ticks = 0  # the image at the last tick, and for how many of them

    @property
    def dropped(self) -> int:
        """How many images a newer one has replaced."""
        return self._worker.dropped

    @property
    def is_busy(self) -> bool:
        """Whether an image is being worked on."""
        return self._worker.begun > self._worker.done

    def offer(self, job: ImageJob) -> None:
        """In the place of the camera's image that waits."""
        self._worker.offer(job, job.image.camera)

    def hurry(self) -> None:
        """Works on an image at once, whatever max_rate and pauses after failures say."""
        self._worker.hurry()

    def clear(self) -> None:
        """Drops the images that wait."""
        self._worker.clear()

    def watch(self) -> bool:
        """To be called TICKS_A_S times a second; True where the localizer has just got stuck.

        Ticks are counted, not time: a process that was stopped for a while is not stuck.
        """
        if not self.is_busy or self._worker.begun != self._watched:
            self._watched, self._ticks = self._worker.begun, 0
            return False
        self._ticks += 1
        if self._ticks not in (STUCK_S * TICKS_A_S, LOST_S * TICKS_A_S):
            return False
        self.failures.stuck(self._ticks // TICKS_A_S, lost=self._ticks >= LOST_S * TICKS_A_S)
        return True

    def start(self) -> None:
        """Begins the thread."""
        self._worker.start()

    def stop(self) -> None:
        """Returns when the image that is being worked on is done with, or is stuck: nobody else
        can notice that any more. After Ctrl-C it soon is.
        """
        left_s = max(0.0, STUCK_S - self._ticks / TICKS_A_S)
        self._worker.stop(left_s if self._node.context.ok() else min(left_s, LAST_IMAGE_S))

    def _work(self, job: ImageJob) -> None:
        run, image = job.run, job.image
        outcome: Outcome
        try:
            now_ns = self._now_ns()
            located = job.locator.locate(image, now_ns, tracking=run.is_tracking(now_ns))
            exposed_ns = located.exposure_ns
            stamp_ns = image.stamp_ns if exposed_ns is None else exposed_ns
            run.accept(stamp_ns, self._age_s(image), located, image.camera)
            outcome = located.estimate
        except ImageRejected as rejection:
            run.reject(image.stamp_ns, self._age_s(image), rejection, image.camera)
            outcome = rejection.outcome
        if outcome is not None:
            self.failures.passed()
        self._done(job, outcome)

    def _on_exception(self, job: ImageJob, error: Exception) -> None:
        if not self._node.context.ok():
            return  # it comes of shutting down
        self.failures.failed(error, job.loaded_map.still_computes)
        if self.failures.problem is not None:
            self._worker.hold_off(math.inf if self.failures.broken else RETRY_S)
        image = job.image
        job.run.fail(image.stamp_ns, self._age_s(image), in_one_line(error), image.camera)
        self._done(job, error)

    def _age_s(self, image: IncomingImage) -> float:
        return (self._now_ns() - image.stamp_ns) * 1e-9
