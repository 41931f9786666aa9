"""The heartbeat that Nav2's lifecycle manager listens for.

A bond has two ends, this node and the manager, which send Status with the same id on the topic
`bond`. It is formed when each hears the other, and broken by a message with active=False, which the
other end answers in kind, or by silence: the manager then stops all of Nav2.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration

try:
    from bond.msg import Status
except ImportError:  # a ROS without Nav2
    Status = None

from glace_ros.node.ros_interface.unwatched import UNWATCHED_PUBLISHER, UNWATCHED_SUBSCRIPTION

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.publisher import Publisher
    from rclpy.subscription import Subscription
    from rclpy.timer import Timer

PERIOD_S = 0.1
TIMEOUT_S = 4.0  # what Nav2's nodes say; the manager goes by its own bond_timeout
GOODBYE_S = 0.1  # to wait for the message that breaks the bond to arrive


class LifecycleBond:
    """This node's end, which never breaks the bond because the manager is silent.

    It beats on while nobody listens, too: a manager may come late or not at all.

    node: whose heartbeat it is.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._log = node, node.get_logger()
        self._beating = False
        self._instance_id = ""  # of this end, since `start`
        self._manager = ""  # the instance id of the other end; empty until it was heard
        self._publisher: Publisher | None = None
        self._subscription: Subscription | None = None
        self._timer: Timer | None = None

    def start(self) -> None:
        """A new bond, with an instance id of its own. Says once if there are no messages for it."""
        if Status is None:
            self._log.info(
                "The Python package 'bond' is missing, hence no heartbeat: install it "
                "(ros-$ROS_DISTRO-bond), or set bond_timeout of a lifecycle manager to 0.0.",
                once=True,
            )
            return
        if self._beating:
            return
        self._instance_id, self._manager = str(uuid.uuid4()), ""
        self._publisher = self._node.create_publisher(
            Status, "bond", 5, event_callbacks=UNWATCHED_PUBLISHER
        )
        self._subscription = self._node.create_subscription(
            Status, "bond", self._on_status, 100, event_callbacks=UNWATCHED_SUBSCRIPTION
        )
        # not by the ROS clock: a paused simulation is alive
        self._timer = self._node.create_timer(
            PERIOD_S, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._beating = True

    def stop(self) -> None:
        """Breaks the bond and tells the manager so. Does nothing where none was started."""
        if not self._beating:
            return
        assert self._publisher is not None
        self._beating = False
        with suppress(RuntimeError):  # Ctrl-C shuts the context down at any moment: nothing is sent
            self._send(active=False)
            self._publisher.wait_for_all_acked(Duration(nanoseconds=round(GOODBYE_S * 1e9)))
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)
        self._publisher = self._subscription = self._timer = None

    def _beat(self) -> None:
        self._send(active=True)

    def _send(self, *, active: bool) -> None:
        message = Status(
            id=self._node.get_name(),
            instance_id=self._instance_id,
            active=active,
            heartbeat_timeout=TIMEOUT_S,
            heartbeat_period=PERIOD_S,
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        if self._publisher is not None:
            self._publisher.publish(message)

    def _on_status(self, message: Status) -> None:
        sender = message.instance_id
        if message.id != self._node.get_name() or sender == self._instance_id:
            return  # another node's bond, or what we have sent
        if self._timer is None or self._timer.is_canceled():
            return  # broken until the next activation
        if message.active and sender != self._manager:
            self._log.info("Bond formed with the lifecycle manager.")
            self._manager = sender
        elif not message.active and sender == self._manager:
            self._log.info("The lifecycle manager has broken the bond.")
            self._timer.cancel()
            self._send(active=False)
