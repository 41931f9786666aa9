"""TF on both sides: what the robot says about its frames, and map->odom, which the node says."""

from __future__ import annotations

import time
from threading import Condition
from typing import TYPE_CHECKING

from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from tf2_msgs.msg import TFMessage

from glace_ros.geometry.transform_tree import TransformError, TransformTree
from glace_ros.ros_messages.reading import pose_from_transform, stamp_to_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node
    from rclpy.subscription import Subscription

    from glace_ros.geometry.pose import Pose

HISTORY_S = 10.0  # as tf2 keeps
TF_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
TF_STATIC_QOS = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class TransformListener:
    """Collects /tf and /tf_static into a TransformTree; `lookup` may be called from any thread.

    node: that listens, from `start` to `stop`.
    on_problem: called with a sentence for each transform that cannot be used.
    """

    def __init__(self, node: Node, on_problem: Callable[[str], None]) -> None:
        self._node = node
        self._on_problem = on_problem
        self._tree = TransformTree(history_s=HISTORY_S)
        self._arrival = Condition()
        self._statics: dict[str, tuple[str, Pose]] = {}
        self._newest_ns: dict[str, int] = {}
        self._subscriptions: list[Subscription] = []

    def start(self) -> None:
        """Listens."""
        if not self._subscriptions:
            subscribe = self._node.create_subscription
            self._subscriptions = [
                subscribe(TFMessage, "/tf", self._on_tf, TF_QOS),
                subscribe(TFMessage, "/tf_static", self._on_tf_static, TF_STATIC_QOS),
            ]

    def stop(self) -> None:
        """Listens no more; what it has heard stays."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float = 0.0) -> Pose:
        """target_from_source at stamp_ns; waits up to timeout_s for it, as TF comes after images.

        Raises TransformError with a sentence: a missing transform is never the identity.
        """
        deadline = time.monotonic() + timeout_s
        with self._arrival:
            while True:
                try:
                    return self._tree.lookup(target, source, stamp_ns)
                except TransformError:
                    remaining_s = deadline - time.monotonic()
                    if remaining_s <= 0.0 or not self._arrival.wait(remaining_s):
                        raise

    def clear(self) -> None:
        """Forgets what was on /tf (the clock jumped back); /tf_static holds at all times."""
        with self._arrival:
            self._tree.clear()
            self._newest_ns.clear()
            for child, (parent, parent_from_child) in self._statics.items():
                self._tree.add_static(parent, child, parent_from_child)

    def _on_tf(self, message: TFMessage) -> None:
        for transform in message.transforms:
            stamp_ns = stamp_to_ns(transform.header.stamp)
            child = transform.child_frame_id
            if stamp_ns < self._newest_ns.get(child, stamp_ns) - round(HISTORY_S * 1e9):
                self.clear()  # a recording that started again: the tree would drop all of it
            self._add(transform, stamp_ns)
            self._newest_ns[child] = max(stamp_ns, self._newest_ns.get(child, stamp_ns))
        with self._arrival:
            self._arrival.notify_all()

    def _on_tf_static(self, message: TFMessage) -> None:
        for transform in message.transforms:
            self._add(transform, None)
        with self._arrival:
            self._arrival.notify_all()

    def _add(self, transform: TransformStamped, stamp_ns: int | None) -> None:
        """stamp_ns: None for a static transform."""
        parent, child = transform.header.frame_id, transform.child_frame_id
        try:
            parent_from_child = pose_from_transform(transform.transform)
            if stamp_ns is not None:
                self._tree.add(parent, child, stamp_ns, parent_from_child)
                return
            self._tree.add_static(parent, child, parent_from_child)
            self._statics[child] = (parent, parent_from_child)
        except ValueError as error:
            self._on_problem(f"The transform {parent}->{child} is left out: {error}.")
        except TransformError as error:
            self._on_problem(f"A transform is left out: {error}.")
