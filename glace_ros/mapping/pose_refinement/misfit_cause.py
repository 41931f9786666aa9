"""Why poses do not fit the images, where these tell: they are stamped late or early, the camera's
frame is turned (the link in place of the optical frame), the focal length is another one.

Each is tried by itself on the same matches, which are found without any pose: a cause that lets
the poses fit after all, and no other value of which does, is what was wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.misfit_look import FEWEST_OF_PAIR, MisfitLook
from glace_ros.mapping.pose_refinement.mount_turn import large_turn, slight_turn, turned
from glace_ros.mapping.pose_refinement.pose_consistency import LEAST_EPIPOLAR

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from glace_ros.mapping.pose_refinement.misfit_look import PoseAt
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

    Found = tuple[float, float]

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
_LEAST_TURNED_RAD = math.radians(4.0)
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

    @property
    def is_slight(self) -> bool:
        """Whether poses fit as recorded, and better with that mended."""
        return self.as_recorded >= LEAST_EPIPOLAR

    def sentence(self, base_from_camera: Pose, fx_px: float) -> str:
        """What is wrong, and what to do, without a beginning.

        base_from_camera: as recorded.
        fx_px: the recorded focal length, of full-size images.
        """
        with_it = f"{self.ratio:.0%} would"
        if self.is_slight:
            with_it = (
                f"{self.ratio:.0%} of what neighbouring images match would lie where the poses "
                f"say, as recorded {self.as_recorded:.0%}"
            )
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
            do = "mend /tf_static" + ", take --calibrate" * self.is_slight + ", or give"
        what, also = (
            (f"{what}, and they are {late}", " both mended")
            if self.offset_s
            else (what, " the turn")
        )
        return f'{what}: with{also} {with_it}; {do} --camera-pose "{numbers}"'


def misfit_cause(views: Sequence[RefinementView], pose_at: PoseAt) -> MisfitCause | None:
    """The cause that lets the poses fit best; None where none clearly does. Of poses that fit, a
    mount that is turned so little that they do.

    views: in order of time within each stretch of way.
    pose_at: map_from_camera of a view at its stamp plus so many seconds; None where the recording
        has none.
    """
    look = MisfitLook.at(views, pose_at)
    as_recorded = look.ratio(look.poses(0.0))
    if as_recorded >= LEAST_EPIPOLAR:
        slight = _slightly_turned(look)
        return slight and replace(slight, as_recorded=as_recorded)
    least = max(_LEAST_RATIO, _LEAST_GAIN * as_recorded)
    for looked_for in ((_late, _turned, _focal), (_late_and_turned,)):
        found = [cause for step in looked_for if (cause := step(look)) and cause.ratio >= least]
        if found:
            best = max(found, key=lambda cause: cause.ratio)
            return replace(best, as_recorded=as_recorded)
    return None


def _best(found: Iterable[Found], other: float) -> Found | None:
    """The (value, ratio) with the greatest ratio; None where one `other` away is as good."""
    found = list(found)
    best = max(found, key=lambda each: each[1])
    elsewhere = max((ratio for value, ratio in found if abs(value - best[0]) >= other), default=0.0)
    return best if elsewhere < _MOST_ELSEWHERE * best[1] else None


def _late(look: MisfitLook) -> MisfitCause | None:
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


def _focal(look: MisfitLook) -> MisfitCause | None:
    recorded, logs = look.poses(0.0), _FOCAL_LOGS.tolist()
    found = [(log, look.ratio(recorded, math.exp(log))) for log in logs]
    best = _best(found, _OTHER_FOCAL)
    if best is None or best[0] in (logs[0], logs[-1]):
        return None
    log = float(np.mean([log for log, ratio in found if ratio > _AS_GOOD * best[1]]))
    if abs(log) < _LEAST_FOCAL:
        return None
    return MisfitCause(FOCAL, best[1], focal_ratio=math.exp(log))


def _late_and_turned(look: MisfitLook) -> MisfitCause | None:
    """The angle of a rotation is the same about any axes: it tells the offset by itself."""
    off_rad = []
    for offset_s in _OFFSETS_S.tolist():
        poses = look.poses(offset_s)
        angles = [
            abs(before.angle_rad(after) - seen.angle_rad(Pose.identity()))
            for first, second, seen in look.motions
            if (before := poses[first]) and (after := poses[second])
        ]
        enough = len(angles) > max(FEWEST_OF_PAIR, 0.5 * len(look.motions))
        off_rad.append(float(np.median(angles)) if enough else math.inf)
    return _turned(look, float(_OFFSETS_S[np.argmin(off_rad)]))


def _turned(look: MisfitLook, offset_s: float = 0.0) -> MisfitCause | None:
    poses = look.poses(offset_s)
    turn = large_turn(look, poses)
    if turn is None or turn.angle_rad(Pose.identity()) < _LEAST_TURNED_RAD:
        return None
    return MisfitCause(TURNED, look.ratio(turned(poses, turn)), offset_s=offset_s, turn=turn)


def _slightly_turned(look: MisfitLook) -> MisfitCause | None:
    """Where no offset and no focal length explains as much."""
    turn = slight_turn(look)
    if turn is None:
        return None
    ratio = look.ratio(turned(look.poses(0.0), turn))
    others = [cause.ratio for step in (_late, _focal) if (cause := step(look))]
    if max(others, default=0.0) >= ratio:
        return None
    return MisfitCause(TURNED, ratio, turn=turn)
