"""What an active node says: ~/status, /diagnostics, and in the log where input is missing."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.node.output.status import (
    diagnostic_array,
    frame_values,
    places_message,
    run_tasks,
    status_message,
    task,
)
from glace_ros.node.ros_interface.transition_log import TransitionLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diagnostic_msgs.msg import KeyValue
    from rclpy.node import Node

    from glace_ros.node.input.camera_input import CameraInput
    from glace_ros.node.localizing.loaded_map import LoadedMap
    from glace_ros.node.localizing.localization_run import RunReport
    from glace_ros.node.output.publishers import Publishers
    from glace_ros.node.ros_interface.parameters import LocalizeParameters

NO_FIX_PERIOD_S = 5.0  # of the warning before the first fix


class LiveReports:
    """`status` and `places` may be called from any thread, the rest from the executor's.

    node: whose log it writes to.
    parameters: of the node.
    publishers: of status and diagnostics.
    """

    def __init__(self, node: Node, parameters: LocalizeParameters, publishers: Publishers) -> None:
        self._node, self._log = node, node.get_logger()
        self._parameters = parameters
        self._publishers = publishers
        self._transitions = TransitionLog()
        self._warned_s = time.monotonic()
        self._said_places = False

    def status(self, report: RunReport, loaded_map: LoadedMap, now_ns: int) -> None:
        """Publishes ~/status."""
        frame_id = self._parameters.global_frame_id
        message = status_message(report, loaded_map.map_id, frame_id, now_ns)
        self._publishers.status.publish(message)

    def places(self, report: RunReport) -> None:
        """Publishes ~/places, and once that there are none any more. From the thread that
        localizes, or that begins a run.
        """
        if report.places or self._said_places:
            self._publishers.places.publish(
                places_message(report, self._parameters.global_frame_id)
            )
        self._said_places = bool(report.places)

    def diagnostics(
        self,
        report: RunReport,
        counts: Mapping[str, int],
        loaded_map: LoadedMap,
        input_problem: str | None,
        input_values: Sequence[KeyValue],
        now_ns: int,
        *,
        received: bool,
        tf_published: bool,
    ) -> None:
        """Publishes /diagnostics.

        report: of the run, as of now_ns.
        counts: images by what became of them.
        loaded_map: in use.
        input_problem: what keeps images from coming; None where they come.
        input_values: what has come.
        now_ns: on the node's clock.
        received: whether an image has come.
        tf_published: whether there is a map->odom now.
        """
        tasks = run_tasks(report, counts, input_problem, received=received)
        tasks["input"].values += input_values
        tasks["tf"].values += frame_values(self._parameters, published=tf_published)
        tasks["map"] = task(loaded_map.map_id, {"made in frame": loaded_map.map_frame})
        name = self._node.get_fully_qualified_name().lstrip("/")
        self._publishers.diagnostics.publish(diagnostic_array(name, now_ns, tasks))

    def say_what_is_missing(
        self, report: RunReport, input_problem: str | None, cameras: Sequence[CameraInput]
    ) -> None:
        """In the log: again and again before the first fix, then at transitions.

        input_problem: of all cameras, or of the clock.
        """
        if report.state == LocalizationState.UNLOCALIZED:
            now_s = time.monotonic()
            if now_s - self._warned_s >= NO_FIX_PERIOD_S:
                self._warned_s = now_s
                reason = input_problem or report.rejection_reason or "No image has come yet."
                self._log.warning(f"No fix yet, hence no pose and no transform. {reason}")
            return
        for camera in cameras:
            problem, subject = camera.problem(), f"input {camera.name}"
            if problem is not None:
                self._transitions.enter(subject, problem, partial(self._log.warning, problem))
            elif self._transitions.leave(subject):
                self._log.info(f"Images come again on {camera.topic}.")
