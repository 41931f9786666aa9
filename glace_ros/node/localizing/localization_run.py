"""What the node knows from activation (or a backward jump of the clock) until the next one."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.fusion.odometry_fusion import Fix, OdometryFusion
from glace_ros.node.localizing.base_locator import ImageRejected, kind_of
from glace_ros.node.localizing.fix_words import describe_fix, describe_pose, suggestion
from glace_ros.node.ros_interface.transition_log import TransitionLog
from glace_ros.rejection import Rejection, RejectionCode

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.node.localizing.base_locator import LocatedBase
    from glace_ros.node.ros_interface.parameters import LocalizeParameters


_FIX = "fix"
CAMERA_INFO_LATE_S = 1.0  # after a camera's first image: no reason yet to warn of it


@dataclass(frozen=True)
class RunReport:
    """A snapshot; names and units as in msg/LocalizationStatus."""

    state: LocalizationState
    seconds_since_fix: float
    last_fix: Fix | None
    camera: str = ""
    image_stamp_ns: int = 0
    accepted: bool = False
    points: int = 0
    inliers: int = 0
    inference_s: float = math.nan
    latency_s: float = math.nan
    reprojection_px: float = math.nan
    rejection_stamp_ns: int = 0
    rejection_code: RejectionCode = RejectionCode.NONE
    rejection_reason: str = ""
    fix_images: int = 0
    """That the last fix was made of."""
    suggestion: str = ""
    """What would help, where the newest image may be of several places; else empty."""
    places: tuple[Pose, ...] = ()
    """map_from_base there, best first."""


class LocalizationRun:
    """Takes outcomes of images from the worker thread, and answers the timers. Thread-safe.

    parameters: of the node.
    log: an rclpy logger.
    publish_pose: called with each accepted fix and what it was made of, never after `close`,
        and with stamps that increase: a fix that is older than the last one (of another camera)
        moves map->odom alone.
    counts: images by what became of them ("fix", else the kind of rejection), and by camera.
    """

    def __init__(
        self,
        parameters: LocalizeParameters,
        log: Any,
        publish_pose: Callable[[Fix, PoseEstimate], None],
    ) -> None:
        self._parameters = parameters
        self._log = log
        self._publish_pose = publish_pose
        self._fusion = OdometryFusion(parameters.fusion)
        self._transitions = TransitionLog()
        self._state = LocalizationState.UNLOCALIZED
        self._newest: dict[str, Any] = {}  # the fields of RunReport that images fill
        self._without_info_s: dict[str, float] = {}  # since when images come so, by camera
        self._lock = Lock()
        self._closed = False
        self.counts: Counter[str] = Counter()

    def close(self) -> None:
        """An image that is still being worked on changes nothing and publishes nothing."""
        with self._lock:
            self._closed = True

    def accept(
        self, stamp_ns: int, latency_s: float, located: LocatedBase, camera: str = ""
    ) -> None:
        """Fuses and publishes the pose. Raises ImageRejected where it does not fit."""
        estimate = located.estimate
        with self._lock:
            if self._closed:
                return
            since_fix_s = self._fusion.seconds_since_fix(stamp_ns)
            fix = self._fusion.fix(
                stamp_ns, located.map_from_base, located.covariance_66, located.odom_from_base,
                camera, ambiguous=estimate.ambiguous,
            )  # fmt: skip
            if isinstance(fix, Rejection):
                raise ImageRejected(fix, estimate, camera=camera, places=located.places())
            self._note_image(stamp_ns, latency_s, camera, _FIX, estimate)
            self._newest["reprojection_px"] = estimate.reprojection_px
            self._newest["fix_images"] = estimate.images
            if fix is self._fusion.last_fix:
                self._publish_pose(fix, estimate)
            self._transitions.leave(f"image {camera}")
            what = describe_fix(fix, estimate)
            if self._state == LocalizationState.UNLOCALIZED:
                self._log.info(f"First fix: {what}")
            elif self._state != LocalizationState.TRACKING:
                self._log.info(f"Tracking again after {since_fix_s:.1f} s: {what}")
            if fix.jumped_m is not None:
                self._log.warning(
                    f"Re-initialised, {fix.jumped_m:.2f} m from the prediction: "
                    f"{self._parameters.reinit_consensus} fixes agree. {what}"
                )
            self._state = LocalizationState.TRACKING

    def expect(
        self, map_from_base: Pose, covariance_66: NDArray[np.float64], said_by: str = "Initial pose"
    ) -> None:
        """Somebody says where the base is; see OdometryFusion.expect. It is taken to stand there
        until the next fix.
        """
        with self._lock:
            if self._closed:
                return
            rejected = self._fusion.expect(map_from_base, covariance_66, None)
            what = f"{said_by} {describe_pose(map_from_base)}"
            if rejected is not None:
                said = f"{what} is left out: {rejected.reason}."
                self._transitions.enter("expected", what, lambda: self._log.warning(said))
                return
            said = f"{what}: fixes are measured by it until they agree on another."
            self._transitions.enter("expected", what, lambda: self._log.info(said))

    def reject(
        self, stamp_ns: int, latency_s: float, rejection: ImageRejected, camera: str = ""
    ) -> None:
        """The image gave no fix."""
        with self._lock:
            if self._closed:
                return
            kind = rejection.kind
            self._note_image(stamp_ns, latency_s, camera, kind, rejection.outcome)
            self._newest["places"] = rejection.places
            self._note_rejection(stamp_ns, rejection.code, str(rejection))
            if rejection.code == RejectionCode.NO_CAMERA_INFO:
                now_s = time.monotonic()
                if now_s - self._without_info_s.setdefault(camera, now_s) < CAMERA_INFO_LATE_S:
                    return
            self._transitions.enter(
                f"image {camera}", kind, lambda: self._log.warning(str(rejection))
            )

    def fail(self, stamp_ns: int, latency_s: float, sentence: str, camera: str = "") -> None:
        """The image has led to an exception."""
        with self._lock:
            if self._closed:
                return
            code = RejectionCode.LOCALIZER_FAILED
            self._note_image(stamp_ns, latency_s, camera, kind_of(code), None)
            self._note_rejection(stamp_ns, code, sentence)

    def _note_image(
        self,
        stamp_ns: int,
        latency_s: float,
        camera: str,
        kind: str,
        outcome: PoseEstimate | Rejection | None,
    ) -> None:
        self.counts[f"{camera}: {kind}" if camera else kind] += 1
        self._newest.update(
            camera=camera,
            image_stamp_ns=stamp_ns,
            accepted=kind == _FIX,
            suggestion="" if kind == _FIX else suggestion(outcome),
            places=(),
            latency_s=latency_s,
            points=0 if outcome is None else outcome.points,
            inliers=0 if outcome is None else outcome.inliers,
            inference_s=math.nan if outcome is None else outcome.seconds,
        )

    def _note_rejection(self, stamp_ns: int, code: RejectionCode, reason: str) -> None:
        self._newest.update(
            rejection_stamp_ns=stamp_ns, rejection_code=code, rejection_reason=reason
        )

    def watch(self, now_ns: int) -> bool:
        """Says when the last fix has become too old; returns whether the state has changed."""
        with self._lock:
            state = self._fusion.state(now_ns)
            if state <= self._state:  # it gets better by a fix alone
                return False
            self._state = state
            age_s = self._fusion.seconds_since_fix(now_ns)
            # a rejection from before the last fix is not why there was none since
            rejected = not self._newest.get("accepted", True)
            reason = self._newest["rejection_reason"] if rejected else "no image has come"
            if state == LocalizationState.LOST:
                then = what_becomes_of_tf(self._parameters) or reason
                self._log.error(f"LOST: no fix for {age_s:.1f} s; {then}")
            else:
                self._log.warning(f"DEGRADED: no fix for {age_s:.1f} s ({reason})")
            return True

    def is_tracking(self, now_ns: int) -> bool:
        """Whether it is known where the robot is: the last fix is not old."""
        with self._lock:
            return self._fusion.state(now_ns) == LocalizationState.TRACKING

    def map_from_odom(self, now_ns: int, *, in_error: bool = False) -> Pose | None:
        """What is to be published now; None before the first fix, and where tf_on_lost is stop.

        in_error: the localizer fails, which counts as being lost.
        """
        with self._lock:
            lost = in_error or self._fusion.state(now_ns) == LocalizationState.LOST
            if lost and self._parameters.tf_on_lost == "stop":
                return None
            return self._fusion.map_from_odom

    def report(self, now_ns: int) -> RunReport:
        """Where things stand at now_ns."""
        with self._lock:
            return RunReport(
                state=self._fusion.state(now_ns),
                seconds_since_fix=self._fusion.seconds_since_fix(now_ns),
                last_fix=self._fusion.last_fix,
                **self._newest,
            )


def what_becomes_of_tf(parameters: LocalizeParameters) -> str:
    """When lost: half a sentence; empty where map->odom is not published at all."""
    if not parameters.tf_broadcast:
        return ""
    does = "holding" if parameters.tf_on_lost == "hold" else "stopping"
    return f"{does} {parameters.global_frame_id}->{parameters.odom_frame_id}"
