"""map -> odom, sent at a steady rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geometry_msgs.msg import TransformStamped
from tf2_msgs.msg import TFMessage

from glace_ros.node.input.transform_listener import TF_QOS
from glace_ros.node.ros_interface.conversions import ns_to_stamp, pose_to_transform
from glace_ros.node.ros_interface.unwatched import UNWATCHED_PUBLISHER

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node
    from rclpy.publisher import Publisher
    from rclpy.timer import Timer

    from glace_ros.geometry.pose import Pose
    from glace_ros.node.ros_interface.parameters import LocalizeParameters


class MapOdomBroadcaster:
    """Publishes map->odom from a timer, stamped ahead of now, each stamp later than the last.

    Nav2 asks for the latest time that all transforms share: one that is not refreshed, or that
    repeats a stamp, makes the robot's pose stale. Nothing is published while nothing is known, nor
    where the parameter tf_broadcast is false.

    node: that publishes, from `start` to `stop`.
    parameters: of the node.
    map_from_odom: called at each tick; None while it is not known.
    """

    def __init__(
        self,
        node: Node,
        parameters: LocalizeParameters,
        map_from_odom: Callable[[], Pose | None],
    ) -> None:
        self._node = node
        self._wanted = parameters.tf_broadcast
        self._period_s = 1.0 / parameters.tf_publish_rate
        self._frames = (parameters.global_frame_id, parameters.odom_frame_id)
        self._tolerance_ns = round(parameters.transform_tolerance * 1e9)
        self._map_from_odom = map_from_odom
        self._last_stamp_ns: int | None = None
        self._publisher: Publisher | None = None
        self._timer: Timer | None = None

    def start(self) -> None:
        """Publishes from now on."""
        if self._wanted and self._publisher is None:
            self._publisher = self._node.create_publisher(
                TFMessage, "/tf", TF_QOS, event_callbacks=UNWATCHED_PUBLISHER
            )
            self._timer = self._node.create_timer(self._period_s, self._publish)

    def stop(self) -> None:
        """Publishes no more."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
        self._timer = self._publisher = None

    def clear(self) -> None:
        """The clock jumped back: stamps start again from there."""
        self._last_stamp_ns = None

    def _publish(self) -> None:
        map_from_odom = self._map_from_odom()
        stamp_ns = self._node.get_clock().now().nanoseconds + self._tolerance_ns
        if (
            self._publisher is None
            or map_from_odom is None
            or stamp_ns <= (self._last_stamp_ns or 0)
        ):
            return
        self._last_stamp_ns = stamp_ns
        message = TransformStamped(transform=pose_to_transform(map_from_odom))
        message.header.frame_id, message.child_frame_id = self._frames
        message.header.stamp = ns_to_stamp(stamp_ns)
        self._publisher.publish(TFMessage(transforms=[message]))
