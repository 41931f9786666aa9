"""Pairs of views, and which of their keypoints match: mutual, alike, and near the epipolar line
that the poses known so far say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.mapping.parallel import in_parallel
from glace_ros.mapping.pose_refinement.freed_memory import give_back
from glace_ros.mapping.pose_refinement.tracks import PairMatches
from glace_ros.mapping.views.triangulation import (
    TriangulationConfig,
    View,
    choose_neighbours,
    match_views,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.cameras import Cameras
    from glace_ros.mapping.pose_refinement.refinement_config import MatchingConfig
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

_PAIRS_AT_ONCE = 32
"""Whose matches are laid into one array as soon as all of them are found. Small arrays that stay,
each between large ones that go, leave the heap full of gaps: up to 4.7 GB for 1,263 views, whose
matches are 29 MB.
"""


def pairs_along_way(stretches_v: NDArray[np.int64], reach: int) -> list[tuple[int, int]]:
    """Each view and the `reach` views after it in its stretch."""
    count = len(stretches_v)
    return [
        (first, second)
        for first in range(count)
        for second in range(first + 1, min(count, first + 1 + reach))
        if stretches_v[first] == stretches_v[second]
    ]


def pairs_in_reach(
    map_from_camera: Sequence[Pose], config: MatchingConfig
) -> list[tuple[int, int]]:
    """Views near each other that look the same way, of whatever stretch; each pair once."""
    camera_from_map_v34 = np.stack([pose.inverse().matrix_44[:3] for pose in map_from_camera])
    chosen = choose_neighbours(
        camera_from_map_v34.astype(np.float32),
        TriangulationConfig(
            neighbours=config.neighbours, distance_m=config.distance_m, angle_deg=config.angle_deg
        ),
    )
    pairs = {(min(a, b), max(a, b)) for a, others in enumerate(chosen) for b in others}
    return sorted(pairs)


def match_pairs(
    views: Sequence[RefinementView],
    map_from_camera: Sequence[Pose],
    pairs: Sequence[tuple[int, int]],
    epipolar_px: float,
    min_cosine: float,
) -> list[PairMatches]:
    """What matches in each pair."""
    config = TriangulationConfig(min_cosine=min_cosine, epipolar_px=epipolar_px)
    seen = [_as_seen(view, pose) for view, pose in zip(views, map_from_camera, strict=True)]

    def match(pair: tuple[int, int]) -> PairMatches:
        first, second = pair
        if not len(views[first].pixels_n2) or not len(views[second].pixels_n2):
            none = np.empty(0, np.int64)  # a lens that is covered, a wall without a mark
            return PairMatches(first, second, none, none, np.empty(0, np.float32))
        index_n, good_n = match_views(seen[first], seen[second], config)
        first_p, second_p = good_n.nonzero()[:, 0], index_n[good_n]
        alike_pC = (
            views[first].descriptors_nC[first_p].float()
            * views[second].descriptors_nC[second_p].float()
        )
        return PairMatches(
            first, second, first_p.numpy(), second_p.numpy(), alike_pC.sum(dim=1).numpy()
        )

    def match_some(start: int) -> list[PairMatches]:
        return _together([match(pair) for pair in pairs[start : start + _PAIRS_AT_ONCE]])

    found = in_parallel(match_some, range(0, len(pairs), _PAIRS_AT_ONCE))
    give_back()
    return [pair for some in found for pair in some]


def near_epipolar(
    matches: Sequence[PairMatches],
    views: Sequence[RefinementView],
    cameras: Cameras,
    epipolar_px: float,
) -> list[PairMatches]:
    """The matches that lie near the epipolar lines of other poses than they were found with."""
    near = []
    for start in range(0, len(matches), _PAIRS_AT_ONCE):
        some = matches[start : start + _PAIRS_AT_ONCE]
        near += _together(some, epipolar_off_px_n(some, views, cameras) < epipolar_px)
    return near


def epipolar_off_px_n(
    matches: Sequence[PairMatches], views: Sequence[RefinementView], cameras: Cameras
) -> NDArray[np.float64]:
    """From each match (n,) of these pairs, one pair's after the other's, to its epipolar line."""
    lengths = [len(pair.first_p) for pair in matches]
    first_n = np.repeat([pair.first for pair in matches], lengths)
    second_n = np.repeat([pair.second for pair in matches], lengths)
    first_n2 = np.concatenate([views[pair.first].pixels_n2[pair.first_p] for pair in matches])
    second_n2 = np.concatenate([views[pair.second].pixels_n2[pair.second_p] for pair in matches])
    baseline_n3 = cameras.centres_v3[first_n] - cameras.centres_v3[second_n]
    normal_n3 = np.cross(baseline_n3, cameras.rays(first_n, first_n2))
    normal_n3 /= np.linalg.norm(normal_n3, axis=1, keepdims=True).clip(1e-12)
    sine_n = np.abs((normal_n3 * cameras.rays(second_n, second_n2)).sum(axis=1))
    return np.asarray(sine_n * cameras.intrinsics_v4[second_n, 0])


def _together(
    matches: Sequence[PairMatches], keep_n: NDArray[np.bool_] | slice = slice(None)
) -> list[PairMatches]:
    """The same; of all pairs together each part is one array, of which each pair has a slice.

    keep_n: which of all matches, one pair's after the other's.
    """
    lengths = [len(pair.first_p) for pair in matches]
    pair_n = np.repeat(np.arange(len(matches)), lengths)[keep_n]
    ends = np.cumsum(np.bincount(pair_n, minlength=len(matches)))[:-1]
    first_p, second_p, cosine_p = (
        np.split(np.concatenate(parts)[keep_n], ends)
        for parts in zip(*(pair[2:] for pair in matches), strict=True)
    )
    return [
        PairMatches(pair.first, pair.second, *parts)
        for pair, *parts in zip(matches, first_p, second_p, cosine_p, strict=True)
    ]


def _as_seen(view: RefinementView, map_from_camera: Pose) -> View:
    return View(
        view.descriptors_nC,
        torch.from_numpy(view.pixels_n2).float(),
        torch.from_numpy(map_from_camera.inverse().matrix_44[:3]).float(),
        torch.from_numpy(view.intrinsics_4).float(),
    )
