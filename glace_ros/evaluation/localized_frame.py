"""One image's outcome beside its truth: error, and consistency of the covariance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.geometry.covariance import base_covariance, pose_error
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.rejection import Rejection, RejectionCode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.covariance import CovarianceModel
    from glace_ros.geometry.pose import Pose
    from glace_ros.recording.posed_images import PosedImage


@dataclass(frozen=True, eq=False)
class LocalizedFrame:
    """One image's outcome.

    stamp_ns: exposure time.
    truth, estimate: in the map, of the same frame (base or camera); None: there is none.
    covariance_66: of the estimate, as in localization/pose_covariance.py; None without one.
    inliers, points: of the predicted points those that agree, and all.
    seconds: s, spent in the localizer.
    rejection: why there is no estimate; None where there is one.
    landmarks: how many refined the pose.
    landmark_verified: they are so many that the pose counts whatever the inliers.
    second_best_ratio: agreement of the best pose in another place, as a ratio of this one's.
    """

    stamp_ns: int
    truth: Pose | None
    estimate: Pose | None
    covariance_66: NDArray[np.float64] | None
    inliers: int
    points: int
    seconds: float
    rejection: Rejection | None = None
    landmarks: int = 0
    landmark_verified: bool = False
    second_best_ratio: float = 0.0

    @property
    def reason(self) -> str:
        """Why it was rejected, in words; empty where it was not."""
        return "" if self.rejection is None else self.rejection.reason

    @property
    def errors(self) -> tuple[float, float]:
        """(m, deg); infinite where nothing was localized."""
        if self.estimate is None or self.truth is None:
            return float("inf"), float("inf")
        angle_deg = float(np.degrees(self.estimate.angle_rad(self.truth)))
        return self.estimate.distance_m(self.truth), angle_deg

    def accepted_from(self, min_inlier_ratio: float) -> LocalizedFrame:
        """The frame as a localizer with that threshold would have it.

        min_inlier_ratio: the least that counts where the pose is not landmark-verified.
        """
        if (
            self.estimate is None
            or self.landmark_verified
            or self.inliers >= min_inlier_ratio * self.points
        ):
            return self
        rejection = Rejection(RejectionCode.LOW_INLIER_RATIO, needed_ratio=min_inlier_ratio)
        return replace(self, estimate=None, covariance_66=None, rejection=rejection)

    def with_covariance_of(self, model: CovarianceModel) -> LocalizedFrame:
        """The frame with what the model makes of its covariance."""
        if self.covariance_66 is None:
            return self
        return replace(self, covariance_66=model.of(self.covariance_66))

    @property
    def error_6(self) -> NDArray[np.float64] | None:
        """As of `pose_error`; None where there is no pose or no truth."""
        if self.estimate is None or self.truth is None:
            return None
        return pose_error(self.estimate, self.truth)

    @property
    def nees(self) -> float | None:
        """Normalised estimation error squared over its 6 degrees of freedom: 1 is calibrated."""
        error_6 = self.error_6
        if error_6 is None or self.covariance_66 is None:
            return None
        return float(error_6 @ np.linalg.solve(self.covariance_66, error_6)) / 6.0


def localize_frame(
    localizer: Localizer, image: PosedImage, base_from_camera: Pose
) -> LocalizedFrame:
    """One image through the localizer, truth and estimate of the base as the node publishes it.

    image: with the motion that the robot would know.
    """
    result = localizer.localize(image.image_rgb_hwc, image.camera, image.moved)
    return localized_frame(result, image, base_from_camera)


def localized_frame(
    result: PoseEstimate | Rejection, image: PosedImage, base_from_camera: Pose
) -> LocalizedFrame:
    """The localizer's result as one of the base, beside its truth.

    result, image: of the same camera.
    base_from_camera: where it sits.
    """
    camera_from_base = base_from_camera.inverse()
    truth = image.map_from_camera @ camera_from_base if image.map_from_camera else None
    frame = LocalizedFrame(
        image.stamp_ns, truth, None, None, result.inliers, result.points, result.seconds
    )
    if not isinstance(result, PoseEstimate):
        return replace(frame, rejection=result)
    map_from_base = result.map_from_camera @ camera_from_base
    covariance_66 = base_covariance(result.covariance_66, result.map_from_camera, map_from_base)
    return replace(
        frame, estimate=map_from_base, covariance_66=covariance_66,
        landmarks=result.landmarks, landmark_verified=result.landmark_verified,
        second_best_ratio=result.second_best_ratio,
    )  # fmt: skip
