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

DISTANCE_M = 1.0
ANGLE_DEG = 30.0
"""Co-visible views differ by less than both."""
_MOST_PAIRS = 50_000
"""Of more pairs every so many is taken."""


def are_covisible(
    map_from_camera: Sequence[Pose],
    first_p: NDArray[np.int64],
    second_p: NDArray[np.int64],
    distance_m: float = DISTANCE_M,
    angle_deg: float = ANGLE_DEG,
) -> NDArray[np.bool_]:
    """Whether pairs of views are near each other and look the same way: bool (p,).

    map_from_camera: poses of all views, in optical axes.
    first_p, second_p: indices (p,) of each pair's views.
    distance_m: co-visible views are less than this apart.
    angle_deg: the angle between their viewing directions is less than this.
    """
    positions_n3, axes_n3 = _positions_and_axes(map_from_camera)
    near_p = np.linalg.norm(positions_n3[first_p] - positions_n3[second_p], axis=1) < distance_m
    return np.asarray(near_p & _aligned(axes_n3, first_p, second_p, angle_deg))


def covisible_pairs(
    map_from_camera: Sequence[Pose], distance_m: float = DISTANCE_M, angle_deg: float = ANGLE_DEG
) -> NDArray[np.int64]:
    """Indices (p, 2) of co-visible views, in the order of the recording, each pair once.

    Of many pairs every so many; found without looking at all pairs.
    map_from_camera: poses of all views, in optical axes.
    distance_m: co-visible views are at most this far apart.
    angle_deg: the angle between their viewing directions is less than this.
    """
    positions_n3, axes_n3 = _positions_and_axes(map_from_camera)
    near_p2 = cKDTree(positions_n3).query_pairs(distance_m, output_type="ndarray")
    near_p2 = near_p2[np.lexsort(near_p2.T[::-1])]
    pairs_p2 = near_p2[_aligned(axes_n3, near_p2[:, 0], near_p2[:, 1], angle_deg)]
    every = max(1, math.ceil(len(pairs_p2) / _MOST_PAIRS))
    return np.asarray(pairs_p2[::every], dtype=np.int64)


def covisible_views(
    map_from_camera: Sequence[Pose],
    seed: int,
    count: int = 16,
    distance_m: float = DISTANCE_M,
    angle_deg: float = ANGLE_DEG,
) -> NDArray[np.int64]:
    """Indices (v, count): of each view, a random choice of the views that are co-visible with it.

    With repetitions where there are fewer; the view itself where there are none.
    map_from_camera: poses of all views, in optical axes.
    seed: of the choice.
    count: how many are chosen for a view.
    distance_m: co-visible views are less than this apart.
    angle_deg: the angle between their viewing directions is less than this.
    """
    rng = np.random.default_rng(seed)
    positions_n3, axes_n3 = _positions_and_axes(map_from_camera)
    neighbours_vk = np.empty((len(positions_n3), count), dtype=np.int64)
    for view, (position_3, axis_3) in enumerate(zip(positions_n3, axes_n3, strict=True)):
        # not `are_covisible`: a matrix product rounds otherwise, and views exactly angle_deg apart
        # (turns of 30 deg are usual) could change sides, and the maps with them
        near_n = np.linalg.norm(positions_n3 - position_3, axis=1) < distance_m
        near_n &= axes_n3 @ axis_3 > math.cos(math.radians(angle_deg))
        near_n[view] = False
        (found_m,) = np.nonzero(near_n)
        found_m = rng.permutation(found_m)[:count] if len(found_m) else np.array([view])
        neighbours_vk[view] = np.resize(found_m, count)
    return neighbours_vk


def _positions_and_axes(
    map_from_camera: Sequence[Pose],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 3) metres in the map, and (n, 3) unit viewing directions."""
    positions_n3 = np.stack([pose.translation_3 for pose in map_from_camera])
    axes_n3 = np.stack([pose.rotation_33[:, 2] for pose in map_from_camera])
    return positions_n3, axes_n3


def _aligned(
    axes_n3: NDArray[np.float64],
    first_p: NDArray[np.int64],
    second_p: NDArray[np.int64],
    angle_deg: float,
) -> NDArray[np.bool_]:
    cosine_p = (axes_n3[first_p] * axes_n3[second_p]).sum(axis=1)
    return np.asarray(cosine_p > math.cos(math.radians(angle_deg)))
