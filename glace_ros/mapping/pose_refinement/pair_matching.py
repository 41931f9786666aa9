"""Pairs of views, and which of their keypoints match: mutual, alike, and near the epipolar line
that the poses known so far say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.mapping.pose_refinement.parallel import in_parallel
from glace_ros.mapping.pose_refinement.tracks import PairMatches
from glace_ros.mapping.views.triangulation import (
    TriangulationConfig,
    View,
    choose_neighbours,
    match_views,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.cameras import Cameras
    from glace_ros.mapping.pose_refinement.refinement_config import MatchingConfig
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

_PAIRS_AT_ONCE = 32
"""Matched one after the other before what they show is laid into one array. Small arrays that stay,
each between large ones that go, leave the heap full of gaps: 5 GB of 1,263 views, for 40 MB.
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
    return [pair for some in found for pair in some]


def near_epipolar(
    matches: Iterable[PairMatches],
    views: Sequence[RefinementView],
    cameras: Cameras,
    epipolar_px: float,
) -> list[PairMatches]:
    """The matches that lie near the epipolar lines of other poses than they were found with."""
    near = []
    for pair in matches:
        rays = [
            cameras.rays(np.full(len(patch_p), view), views[view].pixels_n2[patch_p])
            for view, patch_p in ((pair.first, pair.first_p), (pair.second, pair.second_p))
        ]
        baseline_3 = cameras.centres_v3[pair.first] - cameras.centres_v3[pair.second]
        normal_p3 = np.cross(baseline_3, rays[0])
        normal_p3 /= np.linalg.norm(normal_p3, axis=1, keepdims=True).clip(1e-12)
        sine_p = np.abs((normal_p3 * rays[1]).sum(axis=1))
        good_p = sine_p * cameras.intrinsics_v4[pair.second, 0] < epipolar_px
        near.append(
            pair._replace(
                first_p=pair.first_p[good_p],
                second_p=pair.second_p[good_p],
                cosine_p=pair.cosine_p[good_p],
            )
        )
    return near


def _together(matches: Sequence[PairMatches]) -> list[PairMatches]:
    """The same; of all pairs together each part is one array, of which each pair has a slice."""
    ends = np.cumsum([len(pair.first_p) for pair in matches])[:-1]
    first_p, second_p, cosine_p = (
        np.split(np.concatenate(parts), ends)
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
