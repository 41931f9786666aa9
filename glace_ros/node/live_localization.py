"""What runs while the node is active: subscriptions, timers, and the thread that localizes.

Callbacks only store what comes; a thread localizes the newest image of each camera. A backward jump
of the clock begins a new LocalizationRun, so the outcome of an image from before changes nothing.
The file is longer than others: its callbacks, in two threads, share run, map and worker.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration

from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.node.input.camera_input import CameraInput
from glace_ros.node.input.initial_pose import InitialPose
from glace_ros.node.localizing.base_locator import BaseLocator
from glace_ros.node.localizing.localization_run import LocalizationRun
from glace_ros.node.localizing.localizing_thread import TICKS_A_S, ImageJob, LocalizingThread
from glace_ros.node.output.introspection import Introspection
from glace_ros.node.output.map_odom_broadcaster import MapOdomBroadcaster
from glace_ros.node.output.status import input_values
from glace_ros.node.output.status_reports import LiveReports
from glace_ros.node.ros_interface.conversions import pose_with_covariance
from glace_ros.node.saved_pose_file import PoseMemory
from glace_ros.rejection import RejectionCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.clock import JumpHandle
    from rclpy.node import Node
    from rclpy.timer import Timer

    from glace_ros.fusion.odometry_fusion import Fix
    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.node.input.incoming_image import IncomingImage
    from glace_ros.node.input.transform_listener import TransformListener
    from glace_ros.node.localizing.loaded_map import LoadedMap
    from glace_ros.node.localizing.localization_run import RunReport
    from glace_ros.node.localizing.localizing_thread import Outcome
    from glace_ros.node.output.publishers import Publishers
    from glace_ros.node.ros_interface.parameters import LocalizeParameters

REPORT_PERIOD_S = 1.0  # of diagnostics, and of the status where no images come
NO_TIME = "There is no time: use_sim_time is true, but nothing is published on /clock."


class LiveLocalization:
    """Works from `start` to `stop`, once.

    node: the live node.
    parameters: as they were read at configure.
    loaded_map: to localize in, until `use_map`.
    tf: listens already.
    publishers: of everything but TF.
    on_fix: called with each accepted fix, in the thread that localizes.
    on_broken: called with a sentence, in the executor's, where no later image can be localized
        either.
    """

    def __init__(
        self,
        node: Node,
        parameters: LocalizeParameters,
        loaded_map: LoadedMap,
        tf: TransformListener,
        publishers: Publishers,
        on_fix: Callable[[Fix, PoseEstimate], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._node, self._log = node, node.get_logger()
        self._parameters = parameters
        self._map = loaded_map
        self._tf = tf
        self._publishers = publishers
        self._on_fix, self._on_broken = on_fix, on_broken
        self._reports = LiveReports(node, parameters, publishers)
        self._introspection = Introspection(publishers, parameters, self._log)
        self._locator = self._new_locator()
        self._run = LocalizationRun(parameters, self._log, self._publish_pose)
        self._received_before = 0  # images, when the run began
        self._broken = False  # and said so
        self._worker = LocalizingThread(node, parameters, self._now_ns, self._on_done)
        self._failures = self._worker.failures
        self._cameras = [
            CameraInput(node, parameters, name, self._on_image) for name in parameters.camera_names
        ]
        self._memory = PoseMemory(parameters, self._log)
        self._initial_pose = InitialPose(node, parameters, lambda *pose: self._run.expect(*pose))
        self._broadcaster = MapOdomBroadcaster(node, parameters, self._map_from_odom)
        self._reported_s = time.monotonic()
        self._timer: Timer | None = None
        self._jumps: JumpHandle | None = None

    def start(self) -> None:
        """Listens, localizes and publishes from now on."""
        if self._timer is not None:
            return
        self._worker.start()
        for camera in self._cameras:
            camera.start()
        self._memory.start()
        self._memory.recall(self._map, self._run.expect)  # an initial_pose comes after it
        self._initial_pose.start()
        self._broadcaster.start()
        self._reported_s = time.monotonic()
        # not by the ROS clock: that /clock is silent has to be noticed, too
        self._timer = self._node.create_timer(
            1.0 / TICKS_A_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._jumps = self._node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1)),
            post_callback=self._on_clock_jump,
        )

    def stop(self) -> None:
        """Returns when the image that is being worked on is done with; it publishes nothing. At
        once where the localizer is stuck in it.
        """
        self._run.close()
        if self._jumps is not None:
            self._jumps.unregister()
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._jumps = self._timer = None
        for camera in self._cameras:
            camera.stop()
        self._initial_pose.stop()
        self._broadcaster.stop()
        self._worker.stop()
        self._memory.stop()

    # In the executor's thread

    def forget(self, why: str) -> None:
        """UNLOCALIZED, until a fix of an image that comes from now on. why: half a sentence."""
        self._begin_run()
        self._log.info(f"All fixes are forgotten: {why}.")
        self._publish_outcome(self._run, self._map)

    def localize_at_once(self) -> None:
        """The newest image, whatever max_rate says; where none waits, the next one."""
        self._worker.hurry()

    def use_map(self, loaded_map: LoadedMap) -> None:
        """For all images from now on. Where it is another map, all fixes are forgotten."""
        same = loaded_map.gives_poses_of(self._map)
        if not same:
            self._run.close()  # no pose in the old map counts as one in the new
        self._map = loaded_map
        self._locator = self._new_locator()
        if not same:
            self.forget("the map is another one")

    def why_no_fix(self) -> str:
        """A sentence on the time since the fixes were forgotten."""
        if self._has_no_time():
            return NO_TIME
        report = self._report(self._run, self._now_ns())
        if report.rejection_reason:
            return report.rejection_reason
        topics = " or ".join(camera.topic for camera in self._cameras)
        if self._received() > self._received_before:
            return f"Images come on {topics}, but none is through the localizer yet."
        return self._input_problem() or f"No image has come on {topics}."

    def _received(self) -> int:
        return sum(camera.received for camera in self._cameras)

    def _new_locator(self) -> BaseLocator:
        """Of the map in use, without images of before."""
        loaded_map = self._map
        return BaseLocator(
            self._parameters, loaded_map.localizer, self._tf, loaded_map.calibration_of,
            loaded_map.new_window() if loaded_map.new_window else None, loaded_map.value_range,
        )  # fmt: skip

    def _begin_run(self) -> None:
        self._run.close()
        self._locator = self._new_locator()
        self._run = LocalizationRun(self._parameters, self._log, self._publish_pose)
        self._received_before = self._received()
        self._worker.clear()
        self._memory.forget()

    def _on_image(self, image: IncomingImage) -> None:
        if self._has_no_time():
            return  # nobody can say how old it is
        self._worker.offer(ImageJob(self._run, self._map, self._locator, image))

    def _on_clock_jump(self, jump: Any) -> None:
        """Also called when the simulated clock takes over: what came before was another time."""
        self._begin_run()
        self._tf.clear()
        self._broadcaster.clear()
        back_s = -jump.delta.nanoseconds * 1e-9
        if back_s > 0.0:
            self._log.warning(f"The clock jumped back by {back_s:.1f} s: all fixes are forgotten.")

    def _map_from_odom(self) -> Pose | None:
        in_error = self._failures.problem is not None
        return self._run.map_from_odom(self._now_ns(), in_error=in_error)

    def _tick(self) -> None:
        for camera in self._cameras:
            camera.choose()
        self._introspection.show_coverage(self._map)
        now_ns, now_s = self._now_ns(), time.monotonic()
        stuck = self._worker.watch()
        newly_broken = self._failures.broken and not self._broken
        changed = self._run.watch(now_ns) or newly_broken or stuck
        if not changed and now_s - self._reported_s < REPORT_PERIOD_S:
            return
        self._reported_s = now_s
        self._say_all(now_ns)
        if newly_broken and (problem := self._failures.problem) is not None:
            self._broken = True
            self._on_broken(problem)

    def _say_all(self, now_ns: int) -> None:
        report, problem = self._report(self._run, now_ns), self._input_problem()
        self._reports.status(report, self._map, now_ns)
        inputs = input_values(self._cameras, self._worker.dropped)
        published = self._parameters.tf_broadcast and self._map_from_odom() is not None
        self._reports.diagnostics(
            report, self._run.counts, self._map, problem, inputs, now_ns,
            received=self._received() > 0, tf_published=published,
        )  # fmt: skip
        self._reports.say_what_is_missing(report, problem, self._cameras)

    # In the thread that localizes

    def _on_done(self, job: ImageJob, outcome: Outcome) -> None:
        if job.run is not self._run:
            return  # the image is of a time that was forgotten
        report = self._publish_outcome(job.run, job.loaded_map)
        if not isinstance(outcome, Exception):
            self._introspection.show(job.image, outcome, report, job.loaded_map.value_range)

    def _publish_pose(self, fix: Fix, estimate: PoseEstimate) -> None:
        frame_id = self._parameters.global_frame_id
        message = pose_with_covariance(frame_id, fix.stamp_ns, fix.map_from_base, fix.covariance_66)
        self._publishers.pose.publish(message)
        self._memory.keep(fix, self._map)
        self._on_fix(fix, estimate)

    # In either

    def _publish_outcome(self, run: LocalizationRun, loaded_map: LoadedMap) -> RunReport:
        now_ns = self._now_ns()
        report = self._report(run, now_ns)
        self._reports.status(report, loaded_map, now_ns)
        self._reports.places(report)
        return report

    def _report(self, run: LocalizationRun, now_ns: int) -> RunReport:
        report, problem = run.report(now_ns), self._failures.problem
        if problem is None:
            return report
        return replace(
            report, state=LocalizationState.ERROR, accepted=False,
            rejection_code=RejectionCode.LOCALIZER_FAILED, rejection_reason=problem,
        )  # fmt: skip

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _has_no_time(self) -> bool:
        """Before the first /clock, with use_sim_time."""
        return self._now_ns() == 0

    def _input_problem(self) -> str | None:
        """What keeps images from coming, by the topic's name."""
        if self._has_no_time():
            return NO_TIME
        return " ".join(filter(None, (camera.problem() for camera in self._cameras))) or None
