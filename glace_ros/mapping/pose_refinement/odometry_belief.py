"""What is believed of a recording's odometry: how noisy it is, and how the camera is mounted. Each
bundle adjustment shows more of both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.mapping.pose_refinement.mount_calibration import AS_RECORDED
from glace_ros.mapping.pose_refinement.odometry_edges import (
    is_planar,
    learned_noise_2,
    odometry_edges,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.bundle_adjustment import OdometryShown
    from glace_ros.mapping.pose_refinement.factor_graph import FactorGraph
    from glace_ros.mapping.pose_refinement.odometry_edges import OdometryEdge
    from glace_ros.mapping.pose_refinement.refinement_config import OdometryNoiseModel
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView


class OdometryBelief:
    """Begins with the noise model, and the mount as it was recorded.

    views: all of them.
    stretches_v: which stretch of way each is of.
    """

    def __init__(
        self,
        views: Sequence[RefinementView],
        stretches_v: NDArray[np.int64],
        noise: OdometryNoiseModel,
    ) -> None:
        self._views, self._noise = views, noise
        recorded = [view.recorded for view in views]
        self._recorded_edges = odometry_edges(
            recorded, stretches_v, [view.base_from_camera for view in views], noise
        )
        self._edges = self._recorded_edges
        self._noise_2: NDArray[np.float64] = np.ones(2)
        self.calibration = AS_RECORDED
        """Of mount and stamps, as far as images show."""
        self.applied = AS_RECORDED
        """The same where it is significant: chance would bend a map, if only a little."""
        self.planar = is_planar([v.recorded @ v.base_from_camera.inverse() for v in views])
        """Whether it knows neither height nor tilt."""

    @property
    def modelled_edges(self) -> list[OdometryEdge]:
        """With the noise model's noise, and the mount that is applied."""
        return self._edges

    @property
    def edges(self) -> list[OdometryEdge]:
        """As noisy as it was seen to be."""
        return [edge.scaled(*self._noise_2) for edge in self._edges]

    @property
    def rotation_noise_rad(self) -> float:
        """Standard deviation after one metre of way."""
        return float(self._noise_2[0]) * self._noise.rotation_rad

    @property
    def position_noise_m(self) -> float:
        """The same of the position."""
        return float(self._noise_2[1]) * self._noise.translation_m

    def visual_edges(self, poses: Sequence[Pose]) -> list[OdometryEdge]:
        """With the motions that images and odometry agreed on along the way."""
        return [
            replace(edge, first_from_second=poses[edge.first].inverse() @ poses[edge.second])
            for edge in self.edges
        ]

    def learn(self, shown: OdometryShown, poses: Sequence[Pose], image_noise: float) -> None:
        """From an adjustment with `edges`.

        poses: that it gave.
        image_noise: of keypoints by that which was assumed of them.
        """
        self._noise_2 = learned_noise_2(
            self.edges, poses, self._noise_2, shown.redundancy_2, image_noise, self._noise
        )
        self.calibration = shown.calibration
        wrong = any(self.calibration.significant_3)
        self.applied = self.calibration if wrong else AS_RECORDED
        self._edges = [self.applied.edge(edge, self._views) for edge in self._recorded_edges]

    def keep_planar(self, factors: FactorGraph, map_from_camera: Sequence[Pose]) -> None:
        """What the odometry of wheels does not know stays: height and tilt.

        map_from_camera: with the recorded mount.
        """
        if not self.planar:
            return
        correction = self.applied.correction
        for view, pose in enumerate(map_from_camera):
            factors.add_planar(
                view, pose @ correction, self._views[view].base_from_camera @ correction,
                self._noise.planar_tilt_rad, self._noise.planar_height_m,
            )  # fmt: skip
