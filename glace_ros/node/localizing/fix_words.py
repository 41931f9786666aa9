"""A fix in words, for log lines and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glace_ros.fusion.odometry_fusion import Fix
    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_estimate import PoseEstimate


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
