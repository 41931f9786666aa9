"""Which views of a recording see the same: near each other, and looking the same way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose

_MOST_PAIRS = 50_000


def covisible_pairs(
    map_from_camera: Sequence[Pose], distance_m: float = 1.0, angle_deg: float = 30.0
) -> NDArray[np.int64]:
    """(p, 2) indices of views within distance_m and angle_deg of each other, each pair once.

    Of many pairs every so many, in the order of the recording.
    """
    positions_n3 = np.stack([pose.translation_3 for pose in map_from_camera])
    axes_n3 = np.stack([pose.rotation_33[:, 2] for pose in map_from_camera])
    near_p2 = cKDTree(positions_n3).query_pairs(distance_m, output_type="ndarray")
    near_p2 = near_p2[np.lexsort(near_p2.T[::-1])]
    cosine_p = (axes_n3[near_p2[:, 0]] * axes_n3[near_p2[:, 1]]).sum(axis=1)
    pairs_p2 = near_p2[cosine_p > math.cos(math.radians(angle_deg))]
    return np.asarray(pairs_p2[:: max(1, -(-len(pairs_p2) // _MOST_PAIRS))], dtype=np.int64)


def covisible_views(
    map_from_camera: Sequence[Pose],
    seed: int,
    count: int = 16,
    distance_m: float = 1.0,
    angle_deg: float = 30.0,
) -> NDArray[np.int64]:
    """(v, count) indices of views within distance_m and angle_deg of each view.

    A random choice of them; with repetitions where there are fewer; the view itself where there
    are none.
    """
    rng = np.random.default_rng(seed)
    positions_n3 = np.stack([pose.translation_3 for pose in map_from_camera])
    axes_n3 = np.stack([pose.rotation_33[:, 2] for pose in map_from_camera])
    neighbours_vk = np.empty((len(positions_n3), count), dtype=np.int64)
    for view, (position_3, axis_3) in enumerate(zip(positions_n3, axes_n3, strict=True)):
        near_n = np.linalg.norm(positions_n3 - position_3, axis=1) < distance_m
        near_n &= axes_n3 @ axis_3 > math.cos(math.radians(angle_deg))
        near_n[view] = False
        (found_m,) = np.nonzero(near_n)
        found_m = rng.permutation(found_m)[:count] if len(found_m) else np.array([view])
        neighbours_vk[view] = np.resize(found_m, count)
    return neighbours_vk
