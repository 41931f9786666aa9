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
"""Local features that are held against all landmarks in one product: bounds the memory."""


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


def elsewhere(landmarks: Landmarks, points_m3: NDArray[np.float64], apart_m: float) -> torch.Tensor:
    """bool (l,), the landmarks that are farther than that from all of these points."""
    near_l = torch.zeros(len(landmarks), dtype=torch.bool, device=landmarks.points_l3.device)
    points = torch.from_numpy(points_m3).to(landmarks.points_l3)
    for part_p3 in torch.split(points, _AT_ONCE):
        near_l |= (torch.cdist(landmarks.points_l3, part_p3) <= apart_m).any(dim=1)
    return ~near_l
