"""How the camera is turned against its recorded mount, by what neighbouring images match: all
motions by the poses are then the true ones about axes that are turned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.misfit_look import FEWEST_OF_PAIR, MisfitLook
from glace_ros.mapping.pose_refinement.pose_consistency import EPIPOLAR_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.misfit_look import Poses

_LEAST_TURN_RAD, _LEAST_WAY_M = math.radians(0.5), 0.05
"""Between two images, from which on a rotation and a direction tell something."""
_OFF = 0.35
"""From a direction to what it should be, at most: unit vectors; farther ones are wrong."""
_SNAPPED_RAD = math.radians(3.5)
"""From a turn by right angles, which is then what was meant."""
_MOST_PX = 2.0 * EPIPOLAR_PX
"""Off an epipolar line: farther counts as much."""
_FIRST_STEP_RAD, _DONE_RAD, _MOST_STEPS = 0.1, 1e-3, 120
_LEAST_RAD = math.radians(4.5)
"""Of a slight turn. Of the office's bags 0.4 to 0.7 degrees come out, 1.9 where odometry drifts;
4.4 where it drifts by 3 degrees a metre, always to the same side."""
_LEAST_GAIN, _LEAST_RATIO, _CLEAR_GAIN = 1.06, 0.8, 1.15
"""Times the matches near their epipolar lines as recorded, with the turn, and of all of them; or
so many times. With a mount that is turned by 5 degrees 1.07 at least, where odometry drifts 1.04
for 1.9 degrees, 1.1 for what noise makes of it."""
_HALVES_RAD = math.radians(3.0)
"""That either half of a drive may be off what all of it says."""


def large_turn(look: MisfitLook, poses: Poses) -> Pose | None:
    """recorded_from_true, without translation, whatever its size; None where too little tells."""
    true_n3: list[NDArray[np.float64]] = []
    said_n3: list[NDArray[np.float64]] = []
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
    turn = _turn(np.array(true_n3), np.array(said_n3)) if len(true_n3) >= FEWEST_OF_PAIR else None
    if turn is None:
        return None
    fitted = _fitted(look, poses, Pose(np.asarray(turn.as_matrix()), np.zeros(3)))
    turn = Rotation.from_matrix(fitted.rotation_33)
    nearest = min(Rotation.create_group("O"), key=lambda each: (each.inv() * turn).magnitude())
    if nearest.magnitude() > _SNAPPED_RAD > (nearest.inv() * turn).magnitude():
        return Pose(np.asarray(nearest.as_matrix()), np.zeros(3))
    return fitted


def slight_turn(look: MisfitLook) -> Pose | None:
    """As `large_turn`, of poses that fit the images all the same; None where they would not fit
    clearly better, and where halves of the drive say different things.
    """
    poses = look.poses(0.0)
    turn = _fitted(look, poses, Pose.identity())
    ratio = look.ratio(turned(poses, turn))
    gain = ratio / max(look.ratio(poses), 1e-9)
    clear = gain > _LEAST_GAIN and (ratio > _LEAST_RATIO or gain > _CLEAR_GAIN)
    if turn.angle_rad(Pose.identity()) < _LEAST_RAD or not clear:
        return None
    for half in look.halves():
        of_half = _fitted(half, half.poses(0.0), Pose.identity())
        if of_half.angle_rad(turn) > _HALVES_RAD:
            return None
    return turn


def turned(poses: Poses, recorded_from_true: Pose) -> Poses:
    """The poses with the mount mended."""
    return {view: pose and pose @ recorded_from_true for view, pose in poses.items()}


def _fitted(look: MisfitLook, poses: Poses, start: Pose) -> Pose:
    """The turn near the first one with which matches lie nearest to their epipolar lines."""

    def off_px(turn_3: NDArray[np.float64]) -> float:
        turn = start @ Pose.from_rotation_vector([0.0, 0.0, 0.0], turn_3)
        off_px_n = look.off_px_n(turned(poses, turn))
        return float(np.minimum(off_px_n, _MOST_PX).mean()) if len(off_px_n) else 0.0

    simplex_43 = np.vstack([np.zeros(3), _FIRST_STEP_RAD * np.eye(3)])
    options = {"initial_simplex": simplex_43, "xatol": _DONE_RAD, "maxfev": _MOST_STEPS}
    found = minimize(off_px, np.zeros(3), method="Nelder-Mead", options={**options, "fatol": 1e-4})
    return start @ Pose.from_rotation_vector([0.0, 0.0, 0.0], found.x)


def _turn(true_n3: NDArray[np.float64], said_n3: NDArray[np.float64]) -> Rotation | None:
    """Which turns most of the first directions into the second ones; None where few agree."""

    def off_n(turn: Rotation) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(turn.apply(true_n3) - said_n3, axis=1))

    turn = min(Rotation.create_group("O"), key=lambda each: np.minimum(off_n(each), 1.0).sum())
    for within in (1.0, 0.6, _OFF, _OFF):
        near_n = off_n(turn) < within
        if near_n.sum() < max(FEWEST_OF_PAIR, 0.4 * len(true_n3)):
            return None
        turn, _ = Rotation.align_vectors(said_n3[near_n], true_n3[near_n])
    return turn
