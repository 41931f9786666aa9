"""Landmark search: what an image shows of all landmarks of the map, wherever the head puts it.

The first way to a pose in a map that is not too large, by the image's best features; and the last,
by all of them, where the head does not know its way either: in blurred images, and views from
beside the mapped way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.features.descriptor_matching import best_in_parts, entries_above
from glace_ros.maps.landmarks import COARSE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.localization.localizer_config import LandmarkSearchConfig
    from glace_ros.maps.landmarks import Landmarks

_AT_ONCE = 2048
"""Landmarks that all local features are held against in one product, so small that the cosines of
the best features stay in a processor's cache until the best of them is found."""
_NEAR_AT_ONCE = 128
"""Landmarks of a pose that all landmarks are measured from at once: bounds the memory."""
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
    coarse_mC, index_m = landmarks.coarse_lC, None
    if elsewhere_l is not None:
        (index_m,) = torch.nonzero(elsewhere_l, as_tuple=True)
        coarse_mC = coarse_mC[index_m]
    if not len(coarse_mC) or not len(features.pixels_n2):
        return np.empty((0, 2)), np.empty((0, 3))
    descriptors_nC = features.descriptors_nC.float()
    best_n = _most_alike(descriptors_nC, coarse_mC)
    if index_m is not None:
        best_n = index_m[best_n]
    good_n = (descriptors_nC * landmarks.descriptors_lC[best_n]).sum(dim=1) > config.min_cosine
    return (
        features.pixels_n2[good_n].cpu().numpy().astype(np.float64),
        landmarks.points_l3[best_n[good_n]].cpu().numpy().astype(np.float64),
    )


def _most_alike(descriptors_nC: torch.Tensor, coarse_mC: torch.Tensor) -> torch.Tensor:
    """Number (n,) of the one that looks most like each feature; of two alike to COARSE, either."""
    coarse_nC = descriptors_nC.to(coarse_mC.dtype)
    parts = (coarse_nC @ part_pC.T for part_pC in torch.split(coarse_mC, _AT_ONCE))
    return best_in_parts(parts, _AT_ONCE)[1]


def elsewhere(landmarks: Landmarks, index_m: torch.Tensor, apart_m: float) -> torch.Tensor:
    """bool (l,), the landmarks that are farther than that from all of these."""
    points_l3 = landmarks.points_l3
    near_l = torch.zeros(len(landmarks), dtype=torch.bool, device=points_l3.device)
    for part_p in torch.split(index_m.to(points_l3.device), _NEAR_AT_ONCE):
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
        coarse_lC, twin_cosine = self._landmarks.coarse_lC, self.config.twin_cosine
        # the few on the right: what stands there is laid out anew for the product
        alike_r, row_r = entries_above(coarse_lC @ coarse_lC[index_p].T, twin_cosine - COARSE)
        own_r = index_p[row_r]
        cosine_r = (descriptors_lC[own_r] * descriptors_lC[alike_r]).sum(dim=1)
        off_r = (points_l3[own_r] - points_l3[alike_r]).norm(dim=1)
        twins_p = torch.zeros(len(index_p), dtype=torch.bool, device=points_l3.device)
        twins_p[row_r[(cosine_r > twin_cosine) & (off_r > self.config.apart_m)]] = True
        return twins_p.cpu()
