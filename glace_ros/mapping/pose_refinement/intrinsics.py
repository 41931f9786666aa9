"""Intrinsics that fit the images better than the recorded ones, where poses are known.

A focal length that is recorded 1 % too long moves what lies at the image's border by several
pixels, in all views alike: bundle adjustment can answer for its own poses, but a map made with the
recorded intrinsics, and a robot that localizes with them, are off by what is left of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glace_ros.geometry.camera import projection_by_point
from glace_ros.geometry.intrinsics_correction import IntrinsicsCorrection
from glace_ros.mapping.pose_refinement.cameras import LEAST_DEPTH_M
from glace_ros.mapping.pose_refinement.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.cameras import Cameras
    from glace_ros.mapping.pose_refinement.observations import Observations
    from glace_ros.mapping.pose_refinement.refinement_config import BundleConfig
    from glace_ros.mapping.pose_refinement.rolling_shutter import RollingShutter

_PARTS = 8
"""Of the way, each of which gives intrinsics of its own: how these scatter tells how well they are
known, since errors of poses last over many views.
"""
_ROUNDS = 8
"""Of Gauss-Newton."""
_ROBUST_PX = 1.0
"""Scale of the Cauchy loss."""
_FEWEST = 500
"""Observations of a part."""
_READOUT_S = 0.02
"""Standard deviation of the rolling shutter's time, which is estimated beside."""
_SIGMAS = 4.0
"""From as many standard deviations on something is significant."""
_LEAST_READOUT_S = 3e-3
"""A camera that turns by 30 deg/s moves what it sees by half a pixel meanwhile."""
_WORTH_PX = 0.5
"""What a correction has to move at the image's border."""


class IntrinsicsEstimate(NamedTuple):
    """What images say of the camera they were recorded with.

    values_4: true fx, fy by recorded, less 1; true less recorded cx, cy, in focal lengths.
    sigmas_4: standard deviations; infinite where nothing is known.
    border_4: by how many px of the working image each moves its border, for each unit.
    shutter_s: time from the first row to the last that the images show, negative where rows are
    read from below.
    shutter_sigma_s: its standard deviation; infinite where nothing is known.
    """

    values_4: NDArray[np.float64]
    sigmas_4: NDArray[np.float64]
    border_4: NDArray[np.float64]
    shutter_s: float = 0.0
    shutter_sigma_s: float = np.inf

    @property
    def correction(self) -> IntrinsicsCorrection | None:
        """What is to be corrected; None where the recorded intrinsics are right, as far as is
        known.
        """
        sure_4 = np.abs(self.values_4) > _SIGMAS * self.sigmas_4
        worth_4 = np.abs(self.values_4) * self.border_4 > _WORTH_PX
        if not (sure_4 & worth_4).any():
            return None
        return IntrinsicsCorrection(*self.values_4.tolist())

    @property
    def readout_s(self) -> float:
        """Of the rolling shutter; 0 where rows may be exposed at once, as far as is known."""
        if abs(self.shutter_s) < max(_SIGMAS * self.shutter_sigma_s, _LEAST_READOUT_S):
            return 0.0
        return self.shutter_s

    def sentence(self) -> str:
        """What is wrong with the recorded intrinsics; empty where nothing is known against them."""
        if self.correction is None:
            return ""
        (fx, fy, cx, cy), (sigma, *_) = (1.0 + self.values_4).tolist(), self.sigmas_4.tolist()
        k_2 = self.border_4[2:]
        return (
            f"the camera_info does not fit the images: fx is {fx:.4f} and fy {fy:.4f} times the "
            f"recorded one (+-{sigma:.4f}), the centre off by {(cx - 1) * k_2[0]:+.1f}, "
            f"{(cy - 1) * k_2[1]:+.1f} px at working size; better calibrate the camera"
        )

    def as_json(self) -> dict[str, Any]:
        """As `--json` has it; None for standard deviations of what is unknown."""
        sigmas = [value if np.isfinite(value) else None for value in self.sigmas_4.tolist()]
        fx, fy, cx, cy = self.values_4.tolist()
        return {
            "focal_ratio": [1.0 + fx, 1.0 + fy],
            "focal_ratio_sigma": sigmas[:2],
            "centre_shift": [cx, cy],
            "centre_shift_sigma": sigmas[2:],
            "readout_ms": 1e3 * self.readout_s,
        }


def estimate_intrinsics(
    observations: Sequence[Observations],
    cameras: Cameras,
    shutter: RollingShutter,
    config: BundleConfig,
    least_sigma: float,
) -> IntrinsicsEstimate:
    """Of views whose poses are known; their points are adjusted with the intrinsics.

    observations: as they were made, or as a global shutter would have seen them.
    least_sigma: how well focal lengths can be known at best, a ratio. Poses that were adjusted
    together with the camera agree with it all along the way, so that its parts say nothing.
    """
    k_4 = cameras.intrinsics_v4[0]
    border_4 = np.array([k_4[2], k_4[3], k_4[0], k_4[1]])
    unknown = IntrinsicsEstimate(np.zeros(4), np.full(4, np.inf), border_4)
    if np.ptp(cameras.intrinsics_v4, axis=0).max() > 1e-3 * k_4[0]:
        return unknown  # of several cameras, each would have its own
    tracks, points_k3 = _joined(observations)
    prior_55 = np.asarray(np.linalg.inv(_covariance_55(k_4, config)), np.float64)
    part_n = tracks.view_n * _PARTS // len(cameras.centres_v3)
    of_parts = []
    for part in range(_PARTS):
        own, old_k = tracks.only(part_n == part)
        if len(own.view_n) >= _FEWEST:
            of_parts.append(_adjusted_5(own, points_k3[old_k], cameras, shutter, prior_55))
    if len(of_parts) < _PARTS // 2:
        return unknown
    values_5 = _adjusted_5(tracks, points_k3, cameras, shutter, prior_55)
    spread_5 = np.std(of_parts, axis=0, ddof=1) / np.sqrt(len(of_parts))
    # where the observations are those of a global shutter already, this is what was left of it
    return IntrinsicsEstimate(
        values_5[:4], np.maximum(spread_5[:4], least_sigma), border_4,
        shutter.readout_s + float(values_5[4]), float(spread_5[4]),
    )  # fmt: skip


def _covariance_55(intrinsics_4: NDArray[np.float64], config: BundleConfig) -> NDArray[np.float64]:
    """Of what is not known before images are seen."""
    sigmas_5 = [config.oblong_ratio] * 2 + (config.centre_px / intrinsics_4[:2]).tolist()
    covariance_55 = np.diag(np.square([*sigmas_5, _READOUT_S]))
    covariance_55[:2, :2] += config.focal_ratio**2
    return covariance_55


def _joined(observations: Sequence[Observations]) -> tuple[Tracks, NDArray[np.float64]]:
    """All kinds of keypoints as one, with their points."""
    first_k = np.cumsum([0, *(len(seen.points_k3) for seen in observations)])
    tracks = Tracks(
        np.concatenate([seen.tracks.view_n for seen in observations]),
        np.concatenate([seen.tracks.patch_n for seen in observations]),
        np.concatenate([
            seen.tracks.track_n + k for seen, k in zip(observations, first_k, strict=False)
        ]),
        np.concatenate([seen.tracks.pixels_n2 for seen in observations]),
    )  # fmt: skip
    return tracks, np.concatenate([seen.points_k3 for seen in observations])


def _adjusted_5(
    tracks: Tracks,
    points_k3: NDArray[np.float64],
    cameras: Cameras,
    shutter: RollingShutter,
    prior_55: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The most likely four intrinsics and the readout time in s: Gauss-Newton with a Cauchy loss,
    points eliminated by their Schur complement (Triggs et al., Bundle Adjustment, section 6.1).

    prior_55: information on these five before images are seen.
    """
    view_n, track_n, pixels_n2 = tracks.view_n, tracks.track_n, tracks.pixels_n2
    count, rotation_n33 = len(points_k3), cameras.rotations_v33[view_n]
    focal_n2, centre_n2 = np.split(cameras.intrinsics_v4[view_n], 2, axis=1)
    turn_n3, move_n3, late_n = shutter.motion_by_row(tracks)
    values_5 = np.zeros(5)
    for _ in range(_ROUNDS):
        to_point_n3 = points_k3[track_n] - cameras.centres_v3[view_n]
        at_middle_n3 = np.einsum("nji,nj->ni", rotation_n33, to_point_n3)
        by_readout_n3 = -late_n[:, None] * (np.cross(turn_n3, at_middle_n3) + move_n3)
        in_camera_n3 = at_middle_n3 + values_5[4] * by_readout_n3
        depth_n = np.maximum(in_camera_n3[:, 2], LEAST_DEPTH_M)
        xy_n2 = in_camera_n3[:, :2] / depth_n[:, None]
        stretched_n2 = focal_n2 * (1.0 + values_5[:2])
        projected_n2 = xy_n2 * stretched_n2 + centre_n2 + focal_n2 * values_5[2:4]
        off_n2 = pixels_n2 - projected_n2
        weight_n = 1.0 / (1.0 + (off_n2**2).sum(axis=1) / _ROBUST_PX**2)
        before_it_n3 = np.column_stack([in_camera_n3[:, :2], depth_n])
        by_camera_n23 = projection_by_point(before_it_n3, stretched_n2)
        by_point_n23 = np.einsum("nai,nji->naj", by_camera_n23, rotation_n33)
        by_value_n25 = np.zeros((len(view_n), 2, 5))
        for axis in range(2):
            by_value_n25[:, axis, axis] = focal_n2[:, axis] * xy_n2[:, axis]
            by_value_n25[:, axis, 2 + axis] = focal_n2[:, axis]
        by_value_n25[:, :, 4] = np.einsum("nai,ni->na", by_camera_n23, by_readout_n3)
        step_5, steps_k3 = _step(
            by_point_n23, by_value_n25, off_n2, weight_n, track_n, count,
            prior_55, prior_55 @ values_5,
        )  # fmt: skip
        values_5 += step_5
        points_k3 = points_k3 + steps_k3
    return values_5


def _step(
    by_point_n23: NDArray[np.float64],
    by_value_n25: NDArray[np.float64],
    off_n2: NDArray[np.float64],
    weight_n: NDArray[np.float64],
    track_n: NDArray[np.int64],
    count: int,
    prior_55: NDArray[np.float64],
    prior_5: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the values (5,) and the points (k, 3)."""
    weighted_n23 = weight_n[:, None, None] * by_point_n23
    point_k33 = _summed(np.einsum("nai,naj->nij", weighted_n23, by_point_n23), track_n, count)
    point_k33 += 1e-2 * np.eye(3)  # a point that is seen from one side stays about where it is
    cross_k35 = _summed(np.einsum("nai,naj->nij", weighted_n23, by_value_n25), track_n, count)
    right_k3 = _summed(np.einsum("nai,na->ni", weighted_n23, off_n2), track_n, count)
    weighted_n25 = weight_n[:, None, None] * by_value_n25
    value_55 = np.einsum("nai,naj->ij", weighted_n25, by_value_n25) + prior_55
    right_5 = np.einsum("nai,na->i", weighted_n25, off_n2) - prior_5
    solved_k36 = np.linalg.solve(
        point_k33, np.concatenate([cross_k35, right_k3[..., None]], axis=2)
    )
    schur_55 = value_55 - np.einsum("kia,kib->ab", cross_k35, solved_k36[..., :5])
    reduced_5 = right_5 - np.einsum("kia,ki->a", cross_k35, solved_k36[..., 5])
    step_5 = np.linalg.solve(schur_55, reduced_5)
    return step_5, solved_k36[..., 5] - solved_k36[..., :5] @ step_5


def _summed(
    values_n: NDArray[np.float64], track_n: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Of each track: (n, ...) becomes (k, ...)."""
    flat_nm = values_n.reshape(len(values_n), -1)
    summed_km = np.empty((count, flat_nm.shape[1]))
    for column in range(flat_nm.shape[1]):
        summed_km[:, column] = np.bincount(track_n, flat_nm[:, column], count)
    return summed_km.reshape(count, *values_n.shape[1:])
