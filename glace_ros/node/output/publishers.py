"""What the node publishes besides TF, while it is configured."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseWithCovarianceStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from glace_ros.msg import LocalizationStatus
from glace_ros.node.ros_interface.unwatched import UNWATCHED_PUBLISHER

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.publisher import Publisher

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


class Publishers(NamedTuple):
    """What stands from configure to cleanup; the last three are for people: see introspection.py.

    pose: of the base in the map, PoseWithCovarianceStamped, latched.
    status: LocalizationStatus, latched.
    diagnostics: DiagnosticArray.
    places: of the base, where the newest image may be of several, PoseArray, latched.
    inliers_image: the image with its inliers.
    scene_points: the inliers' scene points in the map.
    coverage: where the mapping cameras were, latched.
    """

    pose: Publisher
    status: Publisher
    diagnostics: Publisher
    places: Publisher
    inliers_image: Publisher
    scene_points: Publisher
    coverage: Publisher

    @staticmethod
    def create(node: Node) -> Publishers:
        """On the topics of the README."""
        create = partial(node.create_publisher, event_callbacks=UNWATCHED_PUBLISHER)
        return Publishers(
            create(PoseWithCovarianceStamped, "pose", LATCHED),
            create(LocalizationStatus, "~/status", LATCHED),
            create(DiagnosticArray, "/diagnostics", 10),
            create(PoseArray, "~/places", LATCHED),
            create(Image, "~/inliers_image", 1),
            create(PointCloud2, "~/scene_points", 1),
            create(MarkerArray, "~/coverage", LATCHED),
        )
