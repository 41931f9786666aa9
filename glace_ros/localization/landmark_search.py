"""Landmark search: what an image shows of all landmarks of the map, wherever the head puts it.

A second way to a first pose, for images in which the head does not know its way: blurred ones, and
views from beside the mapped way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.localization.localizer_config import LandmarkSearchConfig
    from glace_ros.maps.landmarks import Landmarks

_AT_ONCE = 128
"""Local features, or landmarks, that are held against all landmarks in one product: bounds time and
memory.
"""
_SAMPLED = 64
"""Landmarks of a pose that tell whether it has a twin."""


def matched_landmarks(
    features: LocalFeatures,
    landmarks: Landmarks,
    config: LandmarkSearchConfig,
    elsewhere_l: torch.Tensor | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each local feature the landmark that looks most like it: pixels (m, 2) of the encoded
    image and points (m, 3), metres from the map's origin.

    elsewhere_l: bool (l,), the landmarks that count; None: all.
    """
    points_l3, descriptors_lC = landmarks.points_l3, landmarks.descriptors_lC
    if elsewhere_l is not None:
        points_l3, descriptors_lC = points_l3[elsewhere_l], descriptors_lC[elsewhere_l]
    if not len(points_l3) or not len(features.pixels_n2):
        return np.empty((0, 2)), np.empty((0, 3))
    best = [
        (descriptors_pC.float() @ descriptors_lC.T).max(dim=1)
        for descriptors_pC in torch.split(features.descriptors_nC, _AT_ONCE)
    ]
    good_n = torch.cat([values_p for values_p, _ in best]) > config.min_cosine
    points_n3 = points_l3[torch.cat([index_p for _, index_p in best])]
    return (
        features.pixels_n2[good_n].cpu().numpy().astype(np.float64),
        points_n3[good_n].cpu().numpy().astype(np.float64),
    )


def elsewhere(landmarks: Landmarks, index_m: torch.Tensor, apart_m: float) -> torch.Tensor:
    """bool (l,), the landmarks that are farther than that from all of these."""
    points_l3 = landmarks.points_l3
    near_l = torch.zeros(len(landmarks), dtype=torch.bool, device=points_l3.device)
    for part_p in torch.split(index_m.to(points_l3.device), _AT_ONCE):
        near_l |= (torch.cdist(points_l3, points_l3[part_p]) <= apart_m).any(dim=1)
    return ~near_l


class LandmarkTwins:
    """Which landmarks look like others elsewhere; of each it is worked out once.

    config: from which similarity on, and how far elsewhere is.
    """

    def __init__(self, landmarks: Landmarks, config: LandmarkSearchConfig) -> None:
        self._landmarks, self.config = landmarks, config
        self._has_twin_l = torch.full((len(landmarks),), torch.nan)

    def ratio(self, index_m: torch.Tensor) -> float:
        """Of these landmarks, or some of them where they are many, those that have a twin."""
        some_n = index_m[:: max(1, len(index_m) // _SAMPLED)]
        if not len(some_n):
            return 0.0
        new_p = some_n[self._has_twin_l[some_n].isnan()]
        if len(new_p):
            self._has_twin_l[new_p] = self._have_twins(new_p).float()
        return float(self._has_twin_l[some_n].mean())

    def _have_twins(self, index_p: torch.Tensor) -> torch.Tensor:
        points_l3, descriptors_lC = self._landmarks.points_l3, self._landmarks.descriptors_lC
        index_p = index_p.to(points_l3.device)
        alike_pl = descriptors_lC[index_p] @ descriptors_lC.T > self.config.twin_cosine
        row_r, alike_r = torch.nonzero(alike_pl, as_tuple=True)
        off_r = (points_l3[index_p[row_r]] - points_l3[alike_r]).norm(dim=1)
        twins_p = torch.zeros(len(index_p), dtype=torch.bool, device=points_l3.device)
        twins_p[row_r[off_r > self.config.apart_m]] = True
        return twins_p.cpu()
