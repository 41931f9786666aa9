"""Why poses do not fit the images, where these tell: they are stamped late or early, the camera's
frame is turned (the link in place of the optical frame), the focal length is another one.

Each is tried by itself on the same matches, which are found without any pose: a cause that lets
the poses fit after all, and no other value of which does, is what was wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import poselib
from scipy.spatial.transform import Rotation

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
    LEAST_EPIPOLAR,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView
    from glace_ros.mapping.pose_refinement.tracks import PairMatches

    Found = tuple[float, float]
    PoseAt = Callable[[int, float], Pose | None]
    Poses = dict[int, Pose | None]

_REACH = 2
"""Views after each that it is held against."""
_MOST_PAIRS = 150
_MOVED = 0.3
"""Of all matches, those of views that have moved, at least: without motion everything fits."""
_FEWEST_OF_PAIR = 20
"""Matches of two images, by fewer of which nobody knows how one camera is turned to the other."""
_LEAST_RATIO, _LEAST_GAIN = 0.5, 1.5
"""Matches near their epipolar lines with that mended: at least, and times those as recorded."""
_MOST_ELSEWHERE = 0.85
"""Times the best ratio: with values well off the best one there are fewer."""
_OFFSETS_S = np.arange(-1.5, 1.5001, 0.05)
_FINE_OFFSETS_S = np.arange(-0.1, 0.1001, 0.01)
_AS_GOOD = 0.99
"""Times the best ratio: between the values that are as good, the truth is in the middle."""
_OTHER_OFFSET_S = 0.3
"""From the best offset on another one."""
_LEAST_OFFSET_S = 0.03
_FOCAL_LOGS = np.arange(-0.7, 0.7001, 0.02)
"""Natural logarithms of the true focal length by the recorded one."""
_OTHER_FOCAL, _LEAST_FOCAL = 0.25, 0.03
_LEAST_TURN_RAD, _LEAST_WAY_M = math.radians(0.5), 0.05
"""Between two images, from which on a rotation and a direction tell something."""
_OFF = 0.35
"""From a direction to what it should be, at most: unit vectors; farther ones are wrong."""
_RANSAC_PX = 1.5
_LEAST_TURNED_RAD = math.radians(5.0)
_SNAPPED_RAD = math.radians(12.0)
"""From a turn by right angles, which is then what was meant."""
_OPTICAL = Rotation.from_quat([-0.5, 0.5, -0.5, 0.5])
"""Of an optical frame (z forward) on the link (x forward) that it hangs from."""

LATE, TURNED, FOCAL = "late", "turned", "focal"


@dataclass(frozen=True, eq=False)
class MisfitCause:
    """What lets the poses fit after all; an offset may come with a turn."""

    kind: str
    """LATE, TURNED or FOCAL."""
    ratio: float
    """Of confident matches near their epipolar lines with that mended."""
    as_recorded: float = 0.0
    """The same with poses and camera as recorded."""
    offset_s: float = 0.0
    """LATE: poses at stamp + offset are those of the exposure; negative: stamps are late."""
    turn: Pose | None = None
    """TURNED: recorded_from_true, without translation."""
    focal_ratio: float = 1.0
    """FOCAL: the true focal length by the recorded one."""

    def sentence(self, base_from_camera: Pose, fx_px: float) -> str:
        """What is wrong, and what to do, without a beginning.

        base_from_camera: as recorded.
        fx_px: the recorded focal length, of full-size images.
        """
        with_it = f"{self.ratio:.0%} would"
        late = f"stamped {abs(self.offset_s):.2f} s {'late' if self.offset_s < 0 else 'early'}"
        if self.kind == LATE:
            return (
                f"the images are {late}: with the poses of {abs(self.offset_s):.2f} s "
                f"{'before' if self.offset_s < 0 else 'after'} their stamps {with_it}; let the "
                "camera's driver stamp exposures by the robot's clock, and record again"
            )
        if self.kind == FOCAL:
            return (
                f"the focal length of the calibration is wrong: with {self.focal_ratio:.2f} times "
                f"that, about {self.focal_ratio * fx_px:.0f} px, {with_it}; calibrate the camera "
                "and give that with --camera-info FILE"
            )
        assert self.turn is not None
        numbers = " ".join(f"{x:.4g}" for x in (base_from_camera @ self.turn).as_seven())
        turn = Rotation.from_matrix(self.turn.rotation_33)
        if (turn * _OPTICAL.inv()).magnitude() < 1e-6:
            what = "the images' frame is the camera's link (x forward), not its optical frame"
            do = "set the driver's frame_id to the optical frame, or give"
        else:
            what = (
                f"the camera is turned by {math.degrees(turn.magnitude()):.0f} deg against its "
                "recorded mount"
            )
            do = "mend /tf_static, or give"
        what, also = (
            (f"{what}, and they are {late}", " both mended")
            if self.offset_s
            else (what, " the turn")
        )
        return f'{what}: with{also} {with_it}; {do} --camera-pose "{numbers}"'


def misfit_cause(views: Sequence[RefinementView], pose_at: PoseAt) -> MisfitCause | None:
    """The cause that lets the poses fit best; None where none clearly does, and where they fit.

    views: in order of time within each stretch of way.
    pose_at: map_from_camera of a view at its stamp plus so many seconds; None where the recording
        has none.
    """
    pairs = pairs_along_way(np.array([view.stretch for view in views]), _REACH)
    some = pairs[:: max(1, -(-len(pairs) // _MOST_PAIRS))]
    anywhere = [Pose.identity()] * len(views)
    matches = match_pairs(views, anywhere, some, np.inf, CONFIDENT_COSINE)
    look = _Look(views, [pair for pair in matches if len(pair.first_p)], pose_at)
    recorded = look.poses(0.0)
    as_recorded = look.ratio(recorded)
    if as_recorded >= LEAST_EPIPOLAR:
        return None
    least = max(_LEAST_RATIO, _LEAST_GAIN * as_recorded)
    for looked_for in ((_late, _turned, _focal), (_late_and_turned,)):
        found = [cause for step in looked_for if (cause := step(look)) and cause.ratio >= least]
        if found:
            best = max(found, key=lambda cause: cause.ratio)
            return replace(best, as_recorded=as_recorded)
    return None


class _Look:
    """Matches, and which poses and cameras they fit."""

    def __init__(
        self, views: Sequence[RefinementView], matches: Sequence[PairMatches], pose_at: PoseAt
    ) -> None:
        self._views, self._matches, self._pose_at = views, matches, pose_at
        self._seen_by = sorted({view for pair in matches for view in pair[:2]})
        self._intrinsics_v4 = np.stack([view.intrinsics_4 for view in views])
        self._count = sum(len(pair.first_p) for pair in matches)

    def poses(self, offset_s: float) -> Poses:
        """Of the views with matches, so many seconds after their stamps."""
        return {view: self._pose_at(view, offset_s) for view in self._seen_by}

    def ratio(self, poses: Poses, focal_ratio: float = 1.0) -> float:
        """Of matches between views that have moved, those near their epipolar lines; 0 where too
        few have.
        """
        moved = []
        for pair in self._matches:
            first, second = poses[pair.first], poses[pair.second]
            if first and second and first.distance_m(second) > LEAST_BASELINE_M:
                moved.append(pair)
        if sum(len(pair.first_p) for pair in moved) < max(FEWEST_MATCHES, _MOVED * self._count):
            return 0.0
        known = [poses.get(view) or Pose.identity() for view in range(len(self._views))]
        scale_4 = np.array([focal_ratio, focal_ratio, 1.0, 1.0])
        cameras = Cameras.of(known, self._intrinsics_v4 * scale_4)
        off_px_n = epipolar_off_px_n(moved, self._views, cameras) / focal_ratio
        return float((off_px_n < EPIPOLAR_PX).mean())

    @cached_property
    def motions(self) -> list[tuple[int, int, Pose]]:
        """(first, second, first_from_second by the matches alone, its way of length 1)."""
        found = []
        for pair in self._matches:
            if len(pair.first_p) >= _FEWEST_OF_PAIR:
                seen = _seen_motion(self._views[pair.first], self._views[pair.second], pair)
                if seen is not None:
                    found.append((pair.first, pair.second, seen))
        return found


def _best(found: Iterable[Found], other: float) -> Found | None:
    """The (value, ratio) with the greatest ratio; None where one `other` away is as good."""
    found = list(found)
    best = max(found, key=lambda each: each[1])
    elsewhere = max((ratio for value, ratio in found if abs(value - best[0]) >= other), default=0.0)
    return best if elsewhere < _MOST_ELSEWHERE * best[1] else None


def _late(look: _Look) -> MisfitCause | None:
    offsets = _OFFSETS_S.tolist()
    coarse = _best([(at, look.ratio(look.poses(at))) for at in offsets], _OTHER_OFFSET_S)
    if coarse is None or coarse[0] in (offsets[0], offsets[-1]):
        return None
    around_n = coarse[0] + _FINE_OFFSETS_S
    ratio_n = np.array([look.ratio(look.poses(at)) for at in around_n.tolist()])
    ratio = float(ratio_n.max())
    offset_s = float(around_n[ratio_n > _AS_GOOD * ratio].mean())
    if abs(offset_s) < _LEAST_OFFSET_S:
        return None
    return MisfitCause(LATE, ratio, offset_s=offset_s)


def _focal(look: _Look) -> MisfitCause | None:
    recorded, logs = look.poses(0.0), _FOCAL_LOGS.tolist()
    found = [(log, look.ratio(recorded, math.exp(log))) for log in logs]
    best = _best(found, _OTHER_FOCAL)
    if best is None or best[0] in (logs[0], logs[-1]):
        return None
    log = float(np.mean([log for log, ratio in found if ratio > _AS_GOOD * best[1]]))
    if abs(log) < _LEAST_FOCAL:
        return None
    return MisfitCause(FOCAL, best[1], focal_ratio=math.exp(log))


def _late_and_turned(look: _Look) -> MisfitCause | None:
    """The angle of a rotation is the same about any axes: it tells the offset by itself."""
    off_rad = []
    for offset_s in _OFFSETS_S.tolist():
        poses = look.poses(offset_s)
        angles = [
            abs(before.angle_rad(after) - seen.angle_rad(Pose.identity()))
            for first, second, seen in look.motions
            if (before := poses[first]) and (after := poses[second])
        ]
        enough = len(angles) > max(_FEWEST_OF_PAIR, 0.5 * len(look.motions))
        off_rad.append(float(np.median(angles)) if enough else math.inf)
    return _turned(look, float(_OFFSETS_S[np.argmin(off_rad)]))


def _turned(look: _Look, offset_s: float = 0.0) -> MisfitCause | None:
    """Motions by the images and by the poses are the same ones about axes that are turned."""
    true_n3: list[NDArray[np.float64]] = []
    said_n3: list[NDArray[np.float64]] = []
    poses = look.poses(offset_s)
    for first, second, seen in look.motions:
        before, after = poses[first], poses[second]
        if not before or not after:
            continue
        said = before.inverse() @ after
        for true_3, said_3, least in (
            (seen.rotation_vector_3, said.rotation_vector_3, _LEAST_TURN_RAD),
            (seen.translation_3, said.translation_3, _LEAST_WAY_M),
        ):
            lengths = float(np.linalg.norm(true_3)), float(np.linalg.norm(said_3))
            if min(lengths) > least:
                true_n3.append(true_3 / lengths[0])
                said_n3.append(said_3 / lengths[1])
    turn = _turn(np.array(true_n3), np.array(said_n3)) if len(true_n3) >= _FEWEST_OF_PAIR else None
    if turn is None or turn.magnitude() < _LEAST_TURNED_RAD:
        return None
    said_from_true = Pose(np.asarray(turn.as_matrix()), np.zeros(3))
    ratio = look.ratio({view: pose and pose @ said_from_true for view, pose in poses.items()})
    return MisfitCause(TURNED, ratio, offset_s=offset_s, turn=said_from_true)


def _turn(true_n3: NDArray[np.float64], said_n3: NDArray[np.float64]) -> Rotation | None:
    """Which turns most of the first directions into the second ones; None where few agree."""

    def off_n(turn: Rotation) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(turn.apply(true_n3) - said_n3, axis=1))

    right_angles = Rotation.create_group("O")
    turn = min(right_angles, key=lambda each: np.minimum(off_n(each), 1.0).sum())
    for within in (1.0, 0.6, _OFF, _OFF):
        near_n = off_n(turn) < within
        if near_n.sum() < max(_FEWEST_OF_PAIR, 0.4 * len(true_n3)):
            return None
        turn, _ = Rotation.align_vectors(said_n3[near_n], true_n3[near_n])
    nearest = min(right_angles, key=lambda each: (each.inv() * turn).magnitude())
    return nearest if (nearest.inv() * turn).magnitude() < _SNAPPED_RAD else turn


def _seen_motion(first: RefinementView, second: RefinementView, pair: PairMatches) -> Pose | None:
    """first_from_second by the matches alone, its way of length 1; None where too few agree."""
    options = {"max_epipolar_error": _RANSAC_PX, "max_iterations": 1000, "seed": 0}
    found, said = poselib.estimate_relative_pose(
        first.pixels_n2[pair.first_p], second.pixels_n2[pair.second_p],
        first.poselib_camera, second.poselib_camera, options, {},
    )  # fmt: skip
    matrix_34 = np.column_stack([found.R, found.t])
    way = float(np.linalg.norm(found.t))
    if said["num_inliers"] < _FEWEST_OF_PAIR or not np.isfinite(matrix_34).all() or way < 1e-9:
        return None
    return Pose(np.array(found.R), np.array(found.t) / way).inverse()
