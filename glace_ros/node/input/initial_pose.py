"""Where somebody says that the robot is: `initialpose` of RViz and Nav2, the service
`set_initial_pose` where nav2_msgs is there, and the parameters of that name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy

from glace_ros.fusion.odometry_fusion import LARGEST_COVARIANCE
from glace_ros.geometry.pose import Pose
from glace_ros.ros_messages.reading import pose_from_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from rclpy.node import Node
    from rclpy.service import Service
    from rclpy.subscription import Subscription

    from glace_ros.node.ros_interface.parameters import LocalizeParameters

QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
# a person points to within half a metre and 15 degrees, as RViz and AMCL have it
POINTED_AT_66 = np.diag([0.25, 0.25, 0.25, 0.0685, 0.0685, 0.0685])


class InitialPose:
    """Hands each pose that can be used to `expect`, with its covariance (as in a Fix).

    A covariance of zeros means that none was given (Nav2's BasicNavigator does so).

    node: that listens.
    parameters: of the node.
    expect: called with map_from_base and its covariance (6, 6).
    """

    def __init__(
        self,
        node: Node,
        parameters: LocalizeParameters,
        expect: Callable[[Pose, NDArray[np.float64]], None],
    ) -> None:
        self._node, self._parameters, self._expect = node, parameters, expect
        self._frame_id = parameters.global_frame_id.lstrip("/")
        self._subscription: Subscription | None = None
        self._service: Service | None = None

    def start(self) -> None:
        """Listens, and hands over the pose of the parameters where they say so."""
        if self._subscription is not None:
            return
        self._subscription = self._node.create_subscription(
            PoseWithCovarianceStamped, "initialpose", self._on_message, QOS
        )
        if (set_initial_pose := _nav2_service()) is not None:
            self._service = self._node.create_service(
                set_initial_pose, "set_initial_pose", self._on_request
            )
        parameters = self._parameters
        if parameters.set_initial_pose:
            x_m, y_m, z_m = (
                parameters.initial_pose__x, parameters.initial_pose__y, parameters.initial_pose__z
            )  # fmt: skip
            yaw_only_3 = [0.0, 0.0, parameters.initial_pose__yaw]
            self._expect(Pose.from_rotation_vector([x_m, y_m, z_m], yaw_only_3), POINTED_AT_66)

    def stop(self) -> None:
        """Listens no more."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        if self._service is not None:
            self._node.destroy_service(self._service)
        self._subscription = self._service = None

    def _on_request(self, request: Any, response: Any) -> Any:
        """The response is empty: what is wrong with a pose can only be said in the log."""
        assert self._service is not None
        self._hear(request.pose, f"The pose that {self._service.service_name} was called with")
        return response

    def _on_message(self, message: PoseWithCovarianceStamped) -> None:
        assert self._subscription is not None
        self._hear(message, f"The pose on {self._subscription.topic_name}")

    def _hear(self, message: PoseWithCovarianceStamped, called: str) -> None:
        frame_id = message.header.frame_id.lstrip("/")
        covariance_66 = np.array(message.pose.covariance, dtype=np.float64).reshape(6, 6)
        problem = None
        if frame_id != self._frame_id:
            problem = f"is in '{frame_id}', not in '{self._frame_id}' (global_frame_id)"
        elif not can_be_expected(covariance_66):
            problem = "has a covariance that is none"
        else:
            try:
                pose = pose_from_message(message.pose.pose)
            except ValueError as error:
                problem = f"cannot be used: {error}"
        if problem:
            self._node.get_logger().warning(f"{called} {problem}: it is left out.")
            return
        given = (covariance_66.diagonal() > 0.0).any()
        self._expect(pose, 0.5 * (covariance_66 + covariance_66.T) if given else POINTED_AT_66)


def can_be_expected(covariance_66: NDArray[np.float64]) -> bool:
    """Whether it is one. Zeros on the diagonal are allowed: z, roll and pitch on a floor."""
    if not np.isfinite(covariance_66).all() or np.abs(covariance_66).max() > LARGEST_COVARIANCE:
        return False
    return bool(np.linalg.eigvalsh(0.5 * (covariance_66 + covariance_66.T)).min() > -1e-9)


def _nav2_service() -> Any:
    """nav2_msgs/srv/SetInitialPose, which is not on PyPI; None where it is not installed."""
    try:
        return import_module("nav2_msgs.srv").SetInitialPose
    except (ImportError, AttributeError):
        return None
