"""Landmark visibility: of the landmarks that a pose should show, how many the image does.

Of places that look alike each has pictures of its own on the walls. In the wrong one the image
shows what both share; that it lacks what is that place's own tells them apart as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.maps.landmarks import Landmarks

_NEAREST = 5
"""Landmarks of the image that tell how far away its surface is. The map does not know which
landmarks a wall hides; the image does, and of a few one may be a wrong match."""
_BEHIND = 1.02
"""Farther than by this ratio, a landmark is hidden by that surface."""


def seen_ratio(
    map_from_camera: Pose,
    seen_m: torch.Tensor,
    landmarks: Landmarks,
    camera: Camera,
    most_oblique_deg: float,
) -> float:
    """Of the landmarks that a camera at this pose should see, those that it does: in (0, 1]; 1
    where too few are in the image. It should see those that are not behind most of the nearest
    ones in the image that it does see.

    map_from_camera: from the map's origin.
    seen_m: int64 (m,), which landmarks the image shows.
    landmarks: of the map.
    camera: the image's pinhole.
    most_oblique_deg: as of `Landmarks.in_view`.
    """
    index_v, at_v2 = landmarks.in_view(map_from_camera, camera, 0.0, most_oblique_deg)
    is_seen_v = torch.isin(index_v, seen_m.to(index_v.device)).cpu().numpy()
    if is_seen_v.sum() < _NEAREST:
        return 1.0
    points_v3 = landmarks.points_l3[index_v].cpu().numpy().astype(np.float64)
    depth_v = map_from_camera.inverse().transform(points_v3)[:, 2]
    pixels_v2 = at_v2.cpu().numpy()
    _, nearest_vk = cKDTree(pixels_v2[is_seen_v]).query(pixels_v2, k=_NEAREST)
    surface_v = np.median(depth_v[is_seen_v][nearest_vk], axis=1)
    expected_v = is_seen_v | (depth_v < _BEHIND * surface_v)
    return float(is_seen_v.sum() / expected_v.sum())
