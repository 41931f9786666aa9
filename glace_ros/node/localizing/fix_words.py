"""A fix in words, for log lines and answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from glace_ros.geometry.pose import Pose
from glace_ros.localization.pose_estimate import PoseEstimate

if TYPE_CHECKING:
    from glace_ros.fusion.odometry_fusion import Fix


def describe_fix(fix: Fix, estimate: PoseEstimate) -> str:
    """Pose in m and rad, inliers, what it took."""
    return (
        f"{describe_pose(fix.map_from_base)}, "
        f"{estimate.inliers} inliers, {estimate.seconds * 1e3:.0f} ms"
    )


def describe_pose(map_from_base: Pose) -> str:
    """On the floor: x and y in m, yaw in rad."""
    x_m, y_m, _ = map_from_base.translation_3
    return f"x={x_m:.2f} y={y_m:.2f} yaw={map_from_base.yaw_rad:.3f}"


def suggestion(outcome: object) -> str:
    """What would tell the places apart that an image may be of, and the camera's poses there; empty
    where it may be of one alone, or of none.
    """
    if not isinstance(outcome, PoseEstimate) or not outcome.ambiguous:
        return ""
    poses = [outcome.map_from_camera, *outcome.rivals]
    places = "; ".join(describe_pose(_heading(pose)) for pose in poses)
    many = f"the last {outcome.images} images" if outcome.images > 1 else "the image"
    return f"turn, or drive on: {many} may be of places that look alike (camera at {places})"


def _heading(map_from_camera: Pose) -> Pose:
    """The camera's position, x along where it looks."""
    ahead_3, position_3 = map_from_camera.rotation_33[:, 2], map_from_camera.translation_3
    yaw_rad = math.atan2(ahead_3[1], ahead_3[0])
    return Pose.from_planar(position_3[0], position_3[1], yaw_rad)
