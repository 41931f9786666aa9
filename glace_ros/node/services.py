"""Services by which localization is started anew, two of them under the names that AMCL has."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.task import Future
from std_srvs.srv import Empty, Trigger

from glace_ros.node.localizing.fix_words import describe_fix

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node
    from rclpy.service import Service

    from glace_ros.fusion.odometry_fusion import Fix
    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.node.live_localization import LiveLocalization

INACTIVE = "The node is not active and localizes nothing: activate it first."
DEACTIVATED = "The node was deactivated before there was a fix."


class LocalizationServices:
    """Answers in every state of the node, as long as the node lives.

    An answer that is being waited for holds up nothing: its callback is a coroutine in a group that
    lets others run.

    node: whose services they are, from `start` to `stop`.
    live: what is running while the node is active, else None.
    """

    def __init__(self, node: Node, live: Callable[[], LiveLocalization | None]) -> None:
        self._node, self._log, self._live = node, node.get_logger(), live
        self._waiting: list[Future] = []  # of (success, message), for each caller of ~/relocalize
        self._lock = Lock()  # fixes come from the worker's thread
        self._group = ReentrantCallbackGroup()
        self._services: list[Service] = []

    def start(self) -> None:
        """Answers from now on."""
        if self._services:
            return
        for service_type, name, callback in (
            (Trigger, "~/relocalize", self._relocalize),
            (Empty, "reinitialize_global_localization", self._reinitialize),
            (Empty, "request_nomotion_update", self._update),
        ):
            self._services.append(
                self._node.create_service(service_type, name, callback, callback_group=self._group)
            )

    def stop(self) -> None:
        """Answers no more."""
        for service in self._services:
            self._node.destroy_service(service)
        self._services = []

    def on_fix(self, fix: Fix, estimate: PoseEstimate) -> None:
        """To be called with each accepted fix, from any thread."""
        self._answer(f"Fix at {describe_fix(fix, estimate)}.", success=True)

    def on_deactivate(self) -> None:
        """To be called when no more fixes will come."""
        self._answer(DEACTIVATED, success=False)

    async def _relocalize(self, _: Trigger.Request, response: Trigger.Response) -> Any:
        live = self._live()
        if live is None:
            response.message = INACTIVE
            return response
        live.forget("~/relocalize was called")  # no fix from before comes after this
        answer = Future()
        with self._lock:
            self._waiting.append(answer)
        live.localize_at_once()
        timeout_s = self._node.get_parameter("relocalize_timeout").value
        timer = self._node.create_timer(  # not by the ROS clock: that may stand still
            timeout_s,
            lambda: self._give_up(answer, live, timeout_s),
            callback_group=self._group,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        try:
            response.success, response.message = await answer
        finally:
            self._node.destroy_timer(timer)
        return response

    def _give_up(self, answer: Future, live: LiveLocalization, timeout_s: float) -> None:
        with self._lock:
            if answer not in self._waiting:
                return  # it has been answered just now
            self._waiting.remove(answer)
        answer.set_result((False, f"No fix within {timeout_s:g} s. {live.why_no_fix()}"))

    def _answer(self, message: str, *, success: bool) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer.set_result((success, message))
        if waiting and self._node.executor is not None:
            self._node.executor.wake()  # a result alone does not

    def _reinitialize(self, _: Empty.Request, response: Empty.Response) -> Empty.Response:
        live = self._live()
        if live is None:
            self._log.warning(f"reinitialize_global_localization was called. {INACTIVE}")
        else:
            live.forget("reinitialize_global_localization was called")
        return response

    def _update(self, _: Empty.Request, response: Empty.Response) -> Empty.Response:
        live = self._live()
        if live is None:
            self._log.warning(f"request_nomotion_update was called. {INACTIVE}")
        else:
            live.localize_at_once()
        return response
