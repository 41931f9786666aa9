"""What neighbouring views match, found without any pose, and how far that lies off epipolar lines
by poses and cameras that are tried.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import poselib

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.cameras import Cameras
from glace_ros.mapping.pose_refinement.pair_matching import (
    epipolar_off_px_n,
    match_pairs,
    pairs_along_way,
)
from glace_ros.mapping.pose_refinement.pose_consistency import (
    CONFIDENT_COSINE,
    EPIPOLAR_PX,
    FEWEST_MATCHES,
    LEAST_BASELINE_M,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView
    from glace_ros.mapping.pose_refinement.tracks import PairMatches

    PoseAt = Callable[[int, float], Pose | None]
    Poses = dict[int, Pose | None]

_REACH = 2
"""Views after each that it is held against."""
_MOST_PAIRS = 150
_MOVED = 0.3
"""Of all matches, those of views that have moved, at least: without motion everything fits."""
FEWEST_OF_PAIR = 20
"""Matches of two images, by fewer of which nobody knows how one camera is turned to the other."""
_RANSAC_PX = 1.5


class MisfitLook:
    """Matches of views, held against poses and cameras."""

    def __init__(
        self, views: Sequence[RefinementView], matches: Sequence[PairMatches], pose_at: PoseAt
    ) -> None:
        """matches: of pairs of these views, wherever they lie.
        pose_at: as of `misfit_cause`.
        """
        self._views, self._matches, self._pose_at = views, matches, pose_at
        self._seen_by = sorted({view for pair in matches for view in pair[:2]})
        self._intrinsics_v4 = np.stack([view.intrinsics_4 for view in views])
        self._count = sum(len(pair.first_p) for pair in matches)

    @classmethod
    def at(cls, views: Sequence[RefinementView], pose_at: PoseAt) -> MisfitLook:
        """At neighbouring views, some of these where they are many."""
        pairs = pairs_along_way(np.array([view.stretch for view in views]), _REACH)
        some = pairs[:: max(1, -(-len(pairs) // _MOST_PAIRS))]
        anywhere = [Pose.identity()] * len(views)
        matches = match_pairs(views, anywhere, some, np.inf, CONFIDENT_COSINE)
        return cls(views, [pair for pair in matches if len(pair.first_p)], pose_at)

    def halves(self) -> tuple[MisfitLook, MisfitLook]:
        """At the first and the second half of the way."""
        middle = len(self._matches) // 2
        first, second = (
            MisfitLook(self._views, matches, self._pose_at)
            for matches in (self._matches[:middle], self._matches[middle:])
        )
        return first, second

    def poses(self, offset_s: float) -> Poses:
        """Of the views with matches, so many seconds after their stamps."""
        return {view: self._pose_at(view, offset_s) for view in self._seen_by}

    def ratio(self, poses: Poses, focal_ratio: float = 1.0) -> float:
        """Of matches between views that have moved, those near their epipolar lines; 0 where too
        few have.
        """
        off_px_n = self.off_px_n(poses, focal_ratio)
        if len(off_px_n) < max(FEWEST_MATCHES, _MOVED * self._count):
            return 0.0
        return float((off_px_n < EPIPOLAR_PX).mean())

    def off_px_n(self, poses: Poses, focal_ratio: float = 1.0) -> NDArray[np.float64]:
        """Of matches between views that have moved: px (n,) from their epipolar lines."""
        moved = []
        for pair in self._matches:
            first, second = poses[pair.first], poses[pair.second]
            if first and second and first.distance_m(second) > LEAST_BASELINE_M:
                moved.append(pair)
        if not moved:
            return np.empty(0)
        known = [poses.get(view) or Pose.identity() for view in range(len(self._views))]
        scale_4 = np.array([focal_ratio, focal_ratio, 1.0, 1.0])
        cameras = Cameras.of(known, self._intrinsics_v4 * scale_4)
        return epipolar_off_px_n(moved, self._views, cameras) / focal_ratio

    @cached_property
    def motions(self) -> list[tuple[int, int, Pose]]:
        """(first, second, first_from_second by the matches alone, its way of length 1)."""
        found = []
        for pair in self._matches:
            if len(pair.first_p) >= FEWEST_OF_PAIR:
                seen = _seen_motion(self._views[pair.first], self._views[pair.second], pair)
                if seen is not None:
                    found.append((pair.first, pair.second, seen))
        return found


def _seen_motion(first: RefinementView, second: RefinementView, pair: PairMatches) -> Pose | None:
    """first_from_second by the matches alone, its way of length 1; None where too few agree."""
    options = {"max_epipolar_error": _RANSAC_PX, "max_iterations": 1000, "seed": 0}
    found, said = poselib.estimate_relative_pose(
        first.pixels_n2[pair.first_p], second.pixels_n2[pair.second_p],
        first.poselib_camera, second.poselib_camera, options, {},
    )  # fmt: skip
    matrix_34 = np.column_stack([found.R, found.t])
    way = float(np.linalg.norm(found.t))
    if said["num_inliers"] < FEWEST_OF_PAIR or not np.isfinite(matrix_34).all() or way < 1e-9:
        return None
    return Pose(np.array(found.R), np.array(found.t) / way).inverse()
