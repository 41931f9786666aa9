"""Loops: views that see what another view, much earlier or of another drive, saw.

A global descriptor names candidates, matched keypoints and a pose that they agree on verify them.
The points are those of the view's own stretch of way, metric by its odometry, so that a loop says
where one camera is from the other, scale included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import poselib
import torch

from glace_ros.features.descriptor_matching import mutual_matches
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.parallel import in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.refinement_config import KeypointConfig, LoopConfig
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView
    from glace_ros.mapping.pose_refinement.tracks import Tracks

_RANSAC = {"max_iterations": 300, "min_iterations": 30, "seed": 0}
_VIEWS_OF_PASS = 100
"""At least, from which loops are looked for at once where some suffice."""


class Loop(NamedTuple):
    """Two views of the same place.

    first, second: the views.
    first_from_second: of the cameras, by the first one's points; metres.
    points_m3: in the first camera, metres: what agrees with that.
    pixels_m2: where the second one sees them.
    """

    first: int
    second: int
    first_from_second: Pose
    points_m3: NDArray[np.float64]
    pixels_m2: NDArray[np.float64]


class ViewPoints(NamedTuple):
    """The points that one view sees.

    patch_m: which of its patches, int64.
    points_m3: in the camera, metres.
    """

    patch_m: NDArray[np.int64]
    points_m3: NDArray[np.float64]


def points_of_views(
    tracks: Tracks, points_k3: NDArray[np.float64], map_from_camera: Sequence[Pose]
) -> list[ViewPoints]:
    """What each view sees of triangulated tracks."""
    order_n = np.argsort(tracks.view_n, kind="stable")
    ends_v = np.searchsorted(tracks.view_n[order_n], np.arange(len(map_from_camera) + 1))
    seen = []
    for view, pose in enumerate(map_from_camera):
        rows = order_n[ends_v[view] : ends_v[view + 1]]
        points_m3 = pose.inverse().transform(points_k3[tracks.track_n[rows]])
        seen.append(ViewPoints(tracks.patch_n[rows], points_m3))
    return seen


def find_loops(
    views: Sequence[RefinementView],
    seen: Sequence[ViewPoints],
    descriptors_vG: torch.Tensor,
    loops: LoopConfig,
    keypoints: KeypointConfig,
    counts: Callable[[Loop], bool] = lambda _: True,
    enough: int | None = None,
) -> list[Loop]:
    """Loops from each view to any others, in the order of the views.

    seen: what each view sees.
    descriptors_vG: global ones, unit norm.
    counts: of a loop: the others are left out.
    enough: so many suffice: they are looked for from evenly spread views, then from those between;
        None: from all views.
    """
    stretches_v = np.array([view.stretch for view in views])

    def loops_of(first: int) -> list[Loop]:
        if len(seen[first].patch_m) < loops.min_inliers:
            return []
        similarity_v = (descriptors_vG @ descriptors_vG[first]).numpy()
        along_v = np.abs(np.arange(len(views)) - first) < loops.apart
        # where poses jump, the next stretch begins with what this one saw last
        similarity_v[along_v & (stretches_v != views[first].stretch)] = np.inf
        similarity_v[along_v & (stretches_v == views[first].stretch)] = -np.inf
        nearest = np.argsort(-similarity_v)[: loops.candidates]
        found = [
            _loop(first, second, views, seen[first], loops, keypoints)
            for second in nearest[similarity_v[nearest] > -np.inf].tolist()
        ]
        return [loop for loop in found if loop and counts(loop)]

    passes = 1 if enough is None else max(1, len(views) // _VIEWS_OF_PASS)
    found: list[Loop] = []
    for offset in range(passes):
        firsts = range(offset, len(views), passes)
        found += [loop for of_view in in_parallel(loops_of, firsts) for loop in of_view]
        if enough is not None and len(found) >= enough:
            break
    return sorted(found, key=lambda loop: loop.first)


def _loop(
    first: int,
    second: int,
    views: Sequence[RefinementView],
    seen: ViewPoints,
    loops: LoopConfig,
    keypoints: KeypointConfig,
) -> Loop | None:
    """Where the second view is among the first one's points, if enough of them agree."""
    other = views[second]
    if not len(other.pixels_n2):
        return None
    known_mC = views[first].descriptors_nC[torch.from_numpy(seen.patch_m)].float()
    similarity_mn = known_mC @ other.descriptors_nC.float().T
    best_m, index_m, mutual_m = mutual_matches(similarity_mn)
    good_m = (mutual_m & (best_m > keypoints.min_cosine)).numpy()
    if int(good_m.sum()) < loops.min_inliers:
        return None
    points_m3, pixels_m2 = seen.points_m3[good_m], other.pixels_n2[index_m.numpy()[good_m]]
    options = _RANSAC | {"max_reproj_error": loops.reprojection_px}
    pose, result = poselib.estimate_absolute_pose(
        pixels_m2, points_m3, other.poselib_camera, options, {}
    )
    if result["num_inliers"] < loops.min_inliers:
        return None
    second_from_first = Pose(np.asarray(pose.R), np.asarray(pose.t))
    agree_m = np.asarray(result["inliers"])
    return Loop(first, second, second_from_first.inverse(), points_m3[agree_m], pixels_m2[agree_m])
