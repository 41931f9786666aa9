"""Wrong places: what a map says where it should say nothing, to learn what a wrong pose looks like.

Made of images that training never saw: their local features with the global descriptor of another
place, and their local features shuffled, which no camera anywhere could have seen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.geometry.places import APART_M
from glace_ros.localization.acceptance import AcceptanceConfig
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.localization.pose_estimate import PoseEstimate, Regression

if TYPE_CHECKING:
    from collections.abc import Callable

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.maps.scene_map import SceneMap

_ANY_POSE = AcceptanceConfig(
    min_inliers=4, max_sigma_m=math.inf, repeat_m=math.inf, repeat_deg=math.inf
)
"""Accepts whatever RANSAC finds; a pose needs four inliers."""


class WrongPlaces:
    """Collects the inlier ratios of wrong poses of the coordinate head.

    scene_map: the new map.
    device: auto, cpu or cuda.
    is_gross_error: whether a pose of the camera is a wrong one, beside the true one.
    ratios: inliers of the features, of each wrong pose so far.
    """

    def __init__(
        self, scene_map: SceneMap, device: str, is_gross_error: Callable[[Pose, Pose], bool]
    ) -> None:
        config = LocalizerConfig(places=None, refinement=None, acceptance=_ANY_POSE)
        self._localizer = Localizer(scene_map.with_metadata(min_inlier_ratio=0.0), config, device)
        self._is_gross_error = is_gross_error
        self._origin_3 = np.array(scene_map.metadata.origin_m)
        self._rng = np.random.default_rng(scene_map.metadata.seed)
        self.ratios: list[float] = []

    def learn_from(self, regression: Regression, camera: Camera, map_from_camera: Pose) -> None:
        """Adds what an image gives with each kind of wrong input.

        regression: the map's points of the image.
        camera: of the image as it was given.
        map_from_camera: where it was taken.
        """
        shuffled = self._localizer.solve(self._shuffled(regression), camera, 0.0)
        self.ratios.append(shuffled.inlier_ratio)
        if (elsewhere := self._elsewhere(regression, map_from_camera)) is None:
            return
        result = self._localizer.solve(elsewhere, camera, 0.0)
        if not isinstance(result, PoseEstimate) or self._is_gross_error(
            result.map_from_camera, map_from_camera
        ):
            self.ratios.append(result.inlier_ratio)

    def _shuffled(self, regression: Regression) -> Regression:
        features = regression.features
        order_n = torch.from_numpy(self._rng.permutation(len(features.pixels_n2)))
        pixels_n2 = features.pixels_n2[order_n.to(features.pixels_n2.device)]
        return regression._replace(features=features._replace(pixels_n2=pixels_n2))

    def _elsewhere(self, regression: Regression, map_from_camera: Pose) -> Regression | None:
        """With the global descriptor of a view of another place; None where the map has none."""
        encoder = self._localizer.scene_map.global_encoder
        if encoder is None or encoder.views_vG is None or encoder.positions_v3 is None:
            return None
        away_v3 = (
            encoder.positions_v3.cpu().numpy() + self._origin_3 - map_from_camera.translation_3
        )
        far_n = np.flatnonzero(np.linalg.norm(away_v3, axis=1) > APART_M)
        if len(far_n) == 0:
            return None
        descriptor_G = encoder.views_vG[int(self._rng.choice(far_n))]
        return self._localizer.regressed(
            regression.features, lambda: descriptor_G, regression.camera
        )
