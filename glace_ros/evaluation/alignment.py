"""The one motion that takes a map's poses best to the truth: a map of odometry lies in odometry's
frame, and in its scale.

It explains metrics to a person; no pose is ever corrected by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glace_ros.evaluation.metrics import summarize_frames
from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.evaluation.localized_frame import LocalizedFrame

KINDS = ("similarity", "rigid")
"""A rigid motion with one scale, or without."""
_METRICS = (
    "frames", "localized", "median_translation_m", "median_rotation_deg", "recall", "false_accepts",
)  # fmt: skip
"""Those of `summarize_frames` that make sense of aligned poses: a covariance is in the map's frame
and scale."""
_FEWEST = 10
"""Of fewer poses the errors are what the fit to them has left."""
_EXTENT_M = 0.5
"""Within less, the error of the poses decides on rotation and scale."""
_STEP_M = 0.05
"""From one place to the next: a robot that stands must not outvote its drive."""
_MOST = 500
"""Of more places an even part is looked at while hypotheses are compared."""
_HYPOTHESES = 400
"""Of three poses each: with half of the poses gross errors, 50 have none of them."""
_GROSS = 5.0
"""Times the median distance from the truth: poses further off do not take part in the fit. Of a map
that is bent all do: with 3, the fit was to the better half of it.
"""
_LEAST_GROSS_M = 0.01
"""Poses this near always take part."""
_ROUNDS = 30
"""The fit settles after three or four."""
_POINT_M2 = 1e-12
"""Poses that spread less are at one point."""
_ARM_M = 0.05
"""Each pose also stands for points so far along its axes. Of a drive along a line, these tell the
rotation about it, which positions do not; of others they change nothing that could be measured.
"""


class AlignmentImpossible(ValueError):
    """There are too few poses for an alignment, or all at one place. Says which, in a sentence."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """p_truth = scale * rotation @ p_map + translation; orientations are turned alone."""

    kind: str
    """One of KINDS."""
    scale: float
    """1 of a rigid motion."""
    truth_from_map: Pose
    """Rotation and translation, metres of the truth; the scale comes before it."""
    fitted: int
    """Poses that it was fitted to."""
    poses: int
    """Poses that have a truth; those that were not fitted to are gross errors."""

    def applied(self, map_from_base: Pose) -> Pose:
        """truth_from_base, scaled."""
        scaled = Pose(map_from_base.rotation_33, self.scale * map_from_base.translation_3)
        return self.truth_from_map @ scaled

    def metrics(self, frames: Sequence[LocalizedFrame]) -> dict[str, Any]:
        """What `evaluate --json` has as `aligned`: the alignment, and the metrics after it.

        frames: as localized, in the map; a rejected one stays infinitely wrong.
        """
        aligned = [
            replace(frame, estimate=self.applied(frame.estimate), covariance_66=None)
            if frame.estimate
            else frame
            for frame in frames
        ]
        summary = summarize_frames(aligned)
        moved = self.truth_from_map
        return {
            "kind": self.kind,
            "scale": self.scale,
            "truth_from_map": [*moved.translation_3.tolist(), *moved.quaternion_xyzw.tolist()],
            "fitted": self.fitted,
            **{name: summary[name] for name in _METRICS},
        }

    def __str__(self) -> str:
        x_m, y_m, z_m = self.truth_from_map.translation_3.round(2) + 0.0  # no -0.0
        turn_deg = np.degrees(np.linalg.norm(self.truth_from_map.rotation_vector_3))
        scaled = f"scale {self.scale:.4f}, " if self.kind == "similarity" else ""
        return (
            f"{scaled}turned by {turn_deg:.2f} deg, moved by ({x_m:.2f}, {y_m:.2f}, {z_m:.2f}) m; "
            f"fitted to {self.fitted} of {self.poses} poses"
        )


def align(frames: Sequence[LocalizedFrame], kind: str) -> Alignment:
    """The motion that takes the estimates to their truth, after Umeyama (1991), least squares over
    all poses but gross errors, which may be up to nearly half of them. The same for the same poses.

    kind: one of KINDS.
    Raises AlignmentImpossible with a sentence.
    """
    pairs = [
        (frame.truth, frame.estimate)
        for frame in frames
        if frame.truth is not None and frame.estimate is not None
    ]
    if len(pairs) < _FEWEST:
        raise AlignmentImpossible(
            f"there are {len(pairs)} accepted poses with a truth; an alignment needs {_FEWEST}"
        )
    truth, estimates = (_Poses.of([pair[side] for pair in pairs]) for side in (0, 1))
    places_m = _places(truth.positions_n3)
    extent_m = float(np.ptp(truth.positions_n3, axis=0).max())
    if len(places_m) < _FEWEST or extent_m < _EXTENT_M:
        raise AlignmentImpossible(
            f"the {len(pairs)} accepted poses with a truth are at {len(places_m)} places within "
            f"{extent_m:.2f} m; an alignment needs {_FEWEST} places within {_EXTENT_M:g} m or more"
        )
    motion = _hypothesis(truth, estimates, places_m, kind)
    fitted_n: NDArray[np.bool_] = np.zeros(len(pairs), bool)
    for _ in range(_ROUNDS):
        off_n = motion.distances_m(truth, estimates)
        near_n = off_n <= max(_GROSS * float(np.median(off_n[places_m])), _LEAST_GROSS_M)
        if (near_n == fitted_n).all():
            break
        fitted_n = near_n
        motion = _fit(truth.chosen(fitted_n), estimates.chosen(fitted_n), kind)
    truth_from_map = Pose(motion.rotation_33, motion.translation_3)
    return Alignment(kind, float(motion.scale), truth_from_map, int(fitted_n.sum()), len(pairs))


@dataclass(frozen=True, eq=False)
class _Poses:
    """Poses as arrays, (n, ...) or b groups of them (b, n, ...)."""

    positions_n3: NDArray[np.float64]
    rotations_n33: NDArray[np.float64]

    @staticmethod
    def of(poses: Sequence[Pose]) -> _Poses:
        return _Poses(
            np.array([pose.translation_3 for pose in poses]),
            np.array([pose.rotation_33 for pose in poses]),
        )

    def chosen(self, chosen: NDArray[Any]) -> _Poses:
        """Some of them, as numpy indexes."""
        return _Poses(self.positions_n3[chosen], self.rotations_n33[chosen])


class _Motion(NamedTuple):
    """As in `Alignment`; of b groups of poses, each with b in front."""

    scale: NDArray[np.float64]
    rotation_33: NDArray[np.float64]
    translation_3: NDArray[np.float64]

    def distances_m(self, truth: _Poses, estimates: _Poses) -> NDArray[np.float64]:
        """(n,) or (b, n) that the estimates are off their truth once they are moved."""
        moved_n3 = estimates.positions_n3 @ np.swapaxes(self.rotation_33, -1, -2)
        moved_n3 = self.scale[..., None, None] * moved_n3 + self.translation_3[..., None, :]
        return np.asarray(np.linalg.norm(moved_n3 - truth.positions_n3, axis=-1))


def _places(positions_n3: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices (m,) of positions that are a step from the one before."""
    places = [0]
    for index, position_3 in enumerate(positions_n3):
        if np.linalg.norm(position_3 - positions_n3[places[-1]]) >= _STEP_M:
            places.append(index)
    return np.array(places)


def _hypothesis(
    truth: _Poses, estimates: _Poses, places_m: NDArray[np.int64], kind: str
) -> _Motion:
    """Of motions fitted to three poses each, the one with the least median distance."""
    looked_at_m = places_m[:: math.ceil(len(places_m) / _MOST)]
    rng = np.random.default_rng(0)
    chosen_b3 = np.array([rng.choice(places_m, 3, replace=False) for _ in range(_HYPOTHESES)])
    motions = _fit(truth.chosen(chosen_b3), estimates.chosen(chosen_b3), kind)
    off_bm = motions.distances_m(truth.chosen(looked_at_m), estimates.chosen(looked_at_m))
    medians_b = np.median(off_bm, axis=1)
    medians_b[motions.scale <= 0.0] = np.inf
    best = int(np.argmin(medians_b))
    if not np.isfinite(medians_b[best]):
        raise AlignmentImpossible("the accepted poses are all at one place of the map")
    return _Motion(*(part[best] for part in motions))


def _fit(truth: _Poses, estimates: _Poses, kind: str) -> _Motion:
    """Least squares over all of the poses, or of each group of them."""
    truth_mean_13 = truth.positions_n3.mean(axis=-2, keepdims=True)
    mean_13 = estimates.positions_n3.mean(axis=-2, keepdims=True)
    truth_n3, from_mean_n3 = truth.positions_n3 - truth_mean_13, estimates.positions_n3 - mean_13
    spread_m2 = (from_mean_n3**2).sum(axis=(-2, -1))
    spread_m2 = np.where(spread_m2 > _POINT_M2, spread_m2, np.inf)  # of a point the scale is 0
    one = np.ones_like(spread_m2)
    # so that the arms weigh the same in a map of any scale
    size = np.sqrt((truth_n3**2).sum(axis=(-2, -1)) / spread_m2) if kind == "similarity" else one
    arms_33 = truth.rotations_n33 @ np.swapaxes(estimates.rotations_n33, -1, -2)
    cross_33 = size[..., None, None] * (np.swapaxes(truth_n3, -1, -2) @ from_mean_n3)
    left_33, _, right_33 = np.linalg.svd(cross_33 + _ARM_M**2 * arms_33.sum(axis=-3))
    left_33[..., :, 2] *= np.linalg.det(left_33 @ right_33)[..., None]  # no mirror image
    rotation_33 = left_33 @ right_33
    turned_n3 = from_mean_n3 @ np.swapaxes(rotation_33, -1, -2)
    scale = (truth_n3 * turned_n3).sum(axis=(-2, -1)) / spread_m2 if kind == "similarity" else one
    turned_mean_3 = (mean_13 @ np.swapaxes(rotation_33, -1, -2))[..., 0, :]
    return _Motion(scale, rotation_33, truth_mean_13[..., 0, :] - scale[..., None] * turned_mean_3)
