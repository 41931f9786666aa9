"""How good poses are: errors, recall, consistency of the covariance, and the figures printed of
them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.geometry.covariance import base_covariance, pose_error
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.pose_estimate import PoseEstimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_estimate import Rejection
    from glace_ros.recording.posed_images import PosedImage


@dataclass(frozen=True, eq=False)
class LocalizedFrame:
    """One image's outcome. truth and estimate are of the same frame (base or camera); None: there
    is none.

    covariance_66 as in localization/pose_covariance.py. reason: why it was rejected. landmarks:
    that refined the pose; sure: so many that they vouch for it, whatever the inliers. rival: share
    of the pose's agreement that one in another place has.
    """

    stamp_ns: int
    truth: Pose | None
    estimate: Pose | None
    covariance_66: NDArray[np.float64] | None
    inliers: int
    points: int
    seconds: float
    reason: str = ""
    landmarks: int = 0
    landmark_verified: bool = False
    second_best_ratio: float = 0.0

    @property
    def errors(self) -> tuple[float, float]:
        """(m, deg); infinite where nothing was localized."""
        if self.estimate is None or self.truth is None:
            return float("inf"), float("inf")
        angle_deg = float(np.degrees(self.estimate.angle_rad(self.truth)))
        return self.estimate.distance_m(self.truth), angle_deg

    def accepted_from(self, min_inlier_ratio: float) -> LocalizedFrame:
        """The frame as a localizer with that threshold would have it."""
        if (
            self.estimate is None
            or self.landmark_verified
            or self.inliers >= min_inlier_ratio * self.points
        ):
            return self
        reason = f"a smaller share of inliers than {min_inlier_ratio:.2f}"
        return replace(self, estimate=None, covariance_66=None, reason=reason)

    def with_covariance_scaled(self, scale: float) -> LocalizedFrame:
        """The frame with its covariance multiplied."""
        if self.covariance_66 is None:
            return self
        return replace(self, covariance_66=scale * self.covariance_66)

    @property
    def nees(self) -> float | None:
        """Normalised estimation error squared over its 6 degrees of freedom: 1 is calibrated."""
        if self.estimate is None or self.truth is None or self.covariance_66 is None:
            return None
        error_6 = pose_error(self.estimate, self.truth)
        return float(error_6 @ np.linalg.solve(self.covariance_66, error_6)) / 6.0


def localize_frame(
    localizer: Localizer, image: PosedImage, base_from_camera: Pose
) -> LocalizedFrame:
    """One image through the localizer, truth and estimate of the base as the node publishes it."""
    result = localizer.localize(image.image_rgb_hwc, image.camera)
    return localized_frame(result, image, base_from_camera)


def localized_frame(
    result: PoseEstimate | Rejection, image: PosedImage, base_from_camera: Pose
) -> LocalizedFrame:
    """The localizer's result as one of the base, beside its truth."""
    camera_from_base = base_from_camera.inverse()
    truth = image.map_from_camera @ camera_from_base if image.map_from_camera else None
    frame = LocalizedFrame(
        image.stamp_ns, truth, None, None, result.inliers, result.points, result.seconds
    )
    if not isinstance(result, PoseEstimate):
        return replace(frame, reason=result.reason)
    map_from_base = result.map_from_camera @ camera_from_base
    covariance_66 = base_covariance(result.covariance_66, result.map_from_camera, map_from_base)
    return replace(
        frame, estimate=map_from_base, covariance_66=covariance_66,
        landmarks=result.landmarks, landmark_verified=result.landmark_verified,
        second_best_ratio=result.second_best_ratio,
    )  # fmt: skip
