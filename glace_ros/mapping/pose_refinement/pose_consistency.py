"""Whether poses fit the images: what neighbouring views match lies on epipolar lines, and views
that see the same place again are where that puts them.

Held-out images cannot tell: their poses are wrong in the same way as those of the map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glace_ros.mapping.pose_refinement.cameras import Cameras
from glace_ros.mapping.pose_refinement.pair_matching import (
    match_pairs,
    near_epipolar,
    pairs_along_way,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.loop_closures import Loop
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

CONFIDENT_COSINE = 0.82
"""Of descriptors that match wherever they lie."""
EPIPOLAR_PX = 4.0
LEAST_BASELINE_M = 0.03
"""Between two views; nearer ones have no epipolar lines to speak of."""
_REACH = 3
"""Views after each that it is held against."""
_MOST_PAIRS = 400
FEWEST_MATCHES = 200
LEAST_EPIPOLAR = 0.45
"""Ratio of confident matches near their epipolar lines from which on poses fit along the way. On
the office 0.85 do, 0.6 to 0.7 with odometry that drifts, 0.35 with stamps that are off by 0.1 s."""
_AGREE_M, _AGREE_RATIO, _AGREE_RAD = 0.15, 0.08, 0.1
"""A loop agrees with poses within so much, and so much of the distance between its views."""
_AGREE_PX, _AGREE_MATCHES = 8.0, 0.7
"""Or where the poses put so much of what it matches so near: few matches, or those of one wall,
leave a loop's own pose open by decimetres. Of the office as H.264 23 loops of 225 were off by up to
0.8 m, and the true poses put so much of 19 of them right; with odometry that drifts they put 0%."""
_FEWEST_LOOPS = 10
_LEAST_LOOPS = 0.8
"""Ratio of loops that agree from which on poses fit where a place is seen again. On the office 0.99
do, 0.1 to 0.6 with odometry that drifts."""

_GOOD_EPIPOLAR, _GOOD_LOOPS = 0.8, 0.95
"""Ratios from which on poses are left as they are. Refined all the same, the office's true poses
moved by 2 cm, and its map found the query with 2.0 cm instead of 1.0."""


class PoseConsistency(NamedTuple):
    """What images say of poses."""

    epipolar_ratio: float | None
    """Of confident matches of neighbouring views, those near their epipolar lines; None where too
    little matches to say so."""
    loops: int
    """Pairs of views, far apart in time, that see the same place."""
    loops_agreeing: int
    """Those which the poses put rightly."""
    cause: str = ""
    """What is wrong with them and what to do, where the images tell (see `misfit_cause`)."""

    def as_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {**self._asdict(), "fits": self.fits}

    @property
    def fit_along_way(self) -> bool:
        """Whether neighbouring views fit, as far as is known."""
        return self.epipolar_ratio is None or self.epipolar_ratio >= LEAST_EPIPOLAR

    @property
    def fit_loops(self) -> bool:
        """Whether views that see a place again fit, as far as is known."""
        return self.loops < _FEWEST_LOOPS or self.loops_agreeing >= _LEAST_LOOPS * self.loops

    @property
    def fits(self) -> bool:
        """Whether nothing is known against the poses."""
        return self.fit_along_way and self.fit_loops

    @property
    def need_nothing(self) -> bool:
        """Whether the poses are so good, by loops too, that images would hardly better them."""
        return (
            self.epipolar_ratio is not None
            and self.epipolar_ratio >= _GOOD_EPIPOLAR
            and self.loops >= _FEWEST_LOOPS
            and self.loops_agreeing >= _GOOD_LOOPS * self.loops
        )

    def sentence(self) -> str:
        """Why they do not fit; empty where they do."""
        if not self.fit_along_way:
            return (
                f"the poses do not fit the images: only {self.epipolar_ratio:.0%} of what "
                "neighbouring images match lies where the poses say (of a good recording, 85%); "
            ) + (
                self.cause
                or "likely causes: image stamps that are late or of another clock, a wrong camera "
                "frame or mount, a wrong calibration"
            )
        if not self.fit_loops:
            return (
                f"the poses drift: of {self.loops} views that see a place again, only "
                f"{self.loops_agreeing} are where the poses put them; --refine-poses on mends that"
            )
        return ""


def epipolar_ratio(
    views: Sequence[RefinementView], map_from_camera: Sequence[Pose]
) -> float | None:
    """Of confident matches of neighbouring views, those near their epipolar lines; None where too
    little matches.
    """
    pairs = pairs_along_way(np.array([view.stretch for view in views]), _REACH)
    return epipolar_ratio_of(views, map_from_camera, pairs)


def stretch_fits(
    stretch: int,
    views: Sequence[RefinementView],
    map_from_camera: Sequence[Pose],
    pairs: Sequence[tuple[int, int]],
) -> bool:
    """Whether views of the stretch and of others that should see the same do.

    pairs: of views near each other.
    """
    across = [
        (first, second)
        for first, second in pairs
        if (views[first].stretch == stretch) != (views[second].stretch == stretch)
    ]
    ratio = epipolar_ratio_of(views, map_from_camera, across)
    return ratio is not None and ratio >= LEAST_EPIPOLAR


def epipolar_ratio_of(
    views: Sequence[RefinementView],
    map_from_camera: Sequence[Pose],
    pairs: Sequence[tuple[int, int]],
) -> float | None:
    """Of confident matches in pairs of views, those near their epipolar lines; None where too
    little matches.
    """
    apart = [
        (first, second)
        for first, second in pairs
        if map_from_camera[first].distance_m(map_from_camera[second]) > LEAST_BASELINE_M
    ]
    some = apart[:: max(1, -(-len(apart) // _MOST_PAIRS))]
    matches = match_pairs(views, map_from_camera, some, np.inf, CONFIDENT_COSINE)
    cameras = Cameras.of(map_from_camera, np.stack([view.intrinsics_4 for view in views]))
    found = sum(len(pair.first_p) for pair in matches)
    if found < FEWEST_MATCHES:
        return None
    near = near_epipolar(matches, views, cameras, EPIPOLAR_PX)
    return sum(len(pair.first_p) for pair in near) / found


def loops_agreeing(
    loops: Sequence[Loop], views: Sequence[RefinementView], map_from_camera: Sequence[Pose]
) -> int:
    """How many loops the poses put rightly: where the loop says, or where its matches do."""
    agreeing = 0
    for loop in loops:
        by_poses = map_from_camera[loop.first].inverse() @ map_from_camera[loop.second]
        off_m = by_poses.distance_m(loop.first_from_second)
        apart_m = float(np.linalg.norm(loop.first_from_second.translation_3))
        within = off_m < _AGREE_M + _AGREE_RATIO * apart_m
        near = within and by_poses.angle_rad(loop.first_from_second) < _AGREE_RAD
        agreeing += int(near or _matches_agree(loop, views[loop.second], by_poses))
    return agreeing


def _matches_agree(loop: Loop, second: RefinementView, first_from_second: Pose) -> bool:
    """Whether the second view sees the loop's points where its pose puts them."""
    points_m3 = first_from_second.inverse().transform(loop.points_m3)
    in_front_m = points_m3[:, 2] > 0.0
    depths_m1 = np.where(in_front_m, points_m3[:, 2], 1.0)[:, None]
    pixels_m2 = points_m3[:, :2] / depths_m1 * second.intrinsics_4[:2] + second.intrinsics_4[2:]
    near_m = np.linalg.norm(pixels_m2 - loop.pixels_m2, axis=1) < _AGREE_PX
    return float((near_m & in_front_m).mean()) >= _AGREE_MATCHES
