"""What people look at while they set up a robot. Nobody subscribes, nothing is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.node.input.seen_image import undistorted_image
from glace_ros.node.output.inliers_image import draw_inliers
from glace_ros.node.ros_interface.conversions import (
    ns_to_stamp,
    points_to_cloud,
    rgb_to_image,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.node.input.incoming_image import IncomingImage
    from glace_ros.node.localizing.loaded_map import LoadedMap
    from glace_ros.node.localizing.localization_run import RunReport
    from glace_ros.node.output.publishers import Publishers
    from glace_ros.node.ros_interface.parameters import LocalizeParameters
    from glace_ros.rejection import Rejection
    from glace_ros.ros_messages.value_range import ValueRange

VIEW_M = 0.15  # diameter of a mapping camera's marker


class Introspection:
    """~/inliers_image, ~/scene_points and ~/coverage.

    `show` is for the thread that localizes, `show_coverage` for the executor's.

    publishers: of these three topics.
    parameters: of the node.
    log: an rclpy logger.
    """

    def __init__(self, publishers: Publishers, parameters: LocalizeParameters, log: Any) -> None:
        self._publishers = publishers
        self._frame_id = parameters.global_frame_id
        self._parameters, self._ransac_px = parameters, parameters.ransac_px
        self._log = log
        self._covered: LoadedMap | None = None  # the map that was dealt with last
        self._markers_stand = False

    def show(
        self,
        image: IncomingImage,
        outcome: PoseEstimate | Rejection | None,
        report: RunReport,
        values: ValueRange | None = None,
    ) -> None:
        """An image that was looked at.

        image: as it came in.
        outcome: what the localizer said; None where it did not come to that.
        report: as of then.
        values: of 16-bit images, as the map has it; None: the high byte.
        """
        if self._publishers.inliers_image.get_subscription_count():
            self._show_inliers(image, outcome, report, values)
        if (
            isinstance(outcome, PoseEstimate)
            and report.accepted
            and self._publishers.scene_points.get_subscription_count()
        ):
            header = Header(frame_id=self._frame_id, stamp=ns_to_stamp(image.stamp_ns))
            self._publishers.scene_points.publish(points_to_cloud(header, outcome.points_m3))

    def _show_inliers(
        self,
        image: IncomingImage,
        outcome: PoseEstimate | Rejection | None,
        report: RunReport,
        values: ValueRange | None,
    ) -> None:
        if image.camera_info is None and not self._parameters.camera_info_file_of(image.camera):
            return  # the status says so
        try:
            image_rgb_hwc, _ = undistorted_image(image, self._parameters, values)
        except ValueError:
            return  # likewise
        estimate = outcome if isinstance(outcome, PoseEstimate) else None
        drawn_rgb_hwc = draw_inliers(image_rgb_hwc, estimate, self._ransac_px, _line(report))
        header = Header(frame_id=image.frame_id, stamp=ns_to_stamp(image.stamp_ns))
        self._publishers.inliers_image.publish(rgb_to_image(header, drawn_rgb_hwc))

    def show_coverage(self, loaded_map: LoadedMap) -> None:
        """Where the map was recorded, once for each map; later subscribers get it from DDS."""
        if loaded_map is self._covered or not self._publishers.coverage.get_subscription_count():
            return
        self._covered = loaded_map
        # those of another map must not stand beside it
        markers = [Marker(action=Marker.DELETEALL)] if self._markers_stand else []
        if loaded_map.views_v3 is None:
            self._log.info(
                f"The map {loaded_map.map_id} does not say where it was recorded: "
                f"nothing is shown on {self._publishers.coverage.topic_name}."
            )
        else:
            markers.append(self._views_marker(loaded_map.views_v3))
        if markers:
            self._publishers.coverage.publish(MarkerArray(markers=markers))
        self._markers_stand = loaded_map.views_v3 is not None

    def _views_marker(self, views_v3: NDArray[np.float64]) -> Marker:
        marker = Marker(ns="mapping_views", type=Marker.SPHERE_LIST, action=Marker.ADD)
        marker.header.frame_id = self._frame_id  # stamp 0: holds at all times
        marker.pose.orientation.w = 1.0
        marker.scale.x = marker.scale.y = marker.scale.z = VIEW_M
        marker.color = ColorRGBA(r=0.1, g=0.6, b=1.0, a=0.8)
        marker.points = [Point(x=x, y=y, z=z) for x, y, z in views_v3.tolist()]
        return marker


def _line(report: RunReport) -> str:
    counted = f"{report.state.name}  {report.inliers} of {report.points} inliers"
    if report.accepted:
        return f"{counted}, {report.reprojection_px:.1f} px"
    return f"{counted}. {report.rejection_reason}"
