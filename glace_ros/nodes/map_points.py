"""Points that a map sees in an image, held against the image's recorded pose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glace_ros.localization.pose_estimate import PoseEstimate, errors_px
from glace_ros.report.point_cloud import PointCloud, colours_at, joined

if TYPE_CHECKING:
    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_estimate import Rejection
    from glace_ros.recording.posed_images import PosedImage

CLOSE_SHARE = 1.0 / 80.0
"""Of the image's width: 8 px of 640."""


def points_seen(
    result: PoseEstimate | Rejection, image: PosedImage, map_from_camera: Pose
) -> PointCloud:
    """The inliers' points that fit the recorded pose too, in the colours of the image."""
    if not isinstance(result, PoseEstimate):
        return joined([])
    limit_px = CLOSE_SHARE * image.camera.width_px
    close_m = errors_px(result, image.camera, map_from_camera) < limit_px
    colours_m3 = colours_at(image.image_rgb_hwc, result.pixels_m2[close_m])
    return PointCloud(result.points_m3[close_m], colours_m3)
