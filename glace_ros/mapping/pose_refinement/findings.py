"""What pose refinement says of a drive: its loops, and how far odometry was off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.mapping.pose_refinement.refined_poses import RefinementFindings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.loop_closures import Loop
    from glace_ros.mapping.pose_refinement.mount_calibration import Calibration
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

_WORST = 3
_APART_VIEWS = 20
"""Worst corrections nearer to each other are the same one."""
_LEAST_WAY_M = 5.0
"""Shorter loops say little about drift."""


def describe_findings(
    views: Sequence[RefinementView],
    recorded: Sequence[Pose],
    refined: Sequence[Pose],
    way_v: NDArray[np.float64],
    loops: Sequence[Loop],
    kept: Sequence[Loop],
    *,
    rotation_noise_rad: float,
    position_noise_m: float,
    readout_s: float,
    reprojection_px: float,
    calibration: Calibration,
) -> RefinementFindings:
    """All that is known in the end.

    recorded, refined: map_from_camera of each view, in the map's frame.
    way_v: metres driven until each view.
    loops, kept: all that were found, and those that fit.
    """
    stretches_v = np.array([view.stretch for view in views])
    moved_v = np.array([a.distance_m(b) for a, b in zip(recorded, refined, strict=True)])
    drift = _drift_2(recorded, refined, way_v, stretches_v, kept)
    return RefinementFindings(
        loops_found=len(_pairs(loops)),
        loops=_pairs(kept),
        loops_between_drives=sum(
            int(stretches_v[first] != stretches_v[second]) for first, second in _pairs(kept)
        ),
        way_m=float(way_v[-1]),
        drift_ratio=drift[0] if drift else None,
        drift_deg_per_m=drift[1] if drift else None,
        moved_median_m=float(np.median(moved_v)),
        moved_most=[
            (view, float(moved_v[view]), float(np.degrees(recorded[view].angle_rad(refined[view]))))
            for view in _worst(moved_v)
        ],
        rotation_noise_deg=float(np.degrees(rotation_noise_rad)),
        position_noise_m=position_noise_m,
        readout_ms=1e3 * readout_s,
        reprojection_px=reprojection_px,
        **_calibration(calibration),
    )


def _pairs(loops: Sequence[Loop]) -> list[tuple[int, int]]:
    """Of views, each once: either may have found the other."""
    return sorted({(min(loop[:2]), max(loop[:2])) for loop in loops})


def _calibration(calibration: Calibration) -> dict[str, Any]:
    values_7 = calibration.values_7
    sigmas_7 = np.where(np.isfinite(calibration.sigmas_7), calibration.sigmas_7, 0.0)
    wrong_3 = zip(("rotation", "translation", "time"), calibration.significant_3, strict=True)
    return {
        "mount_rotation_deg": np.degrees(values_7[:3]).tolist(),
        "mount_rotation_sigma_deg": np.degrees(sigmas_7[:3]).tolist(),
        "mount_translation_m": values_7[3:6].tolist(),
        "mount_translation_sigma_m": sigmas_7[3:6].tolist(),
        "time_offset_ms": 1e3 * float(values_7[6]),
        "time_offset_sigma_ms": 1e3 * float(sigmas_7[6]),
        "miscalibrated": [name for name, wrong in wrong_3 if wrong],
    }


def _drift_2(
    recorded: Sequence[Pose],
    refined: Sequence[Pose],
    way_v: NDArray[np.float64],
    stretches_v: NDArray[np.int64],
    loops: Sequence[Loop],
) -> tuple[float, float] | None:
    """(metres, degrees) for each metre of way between the ends of a loop, the medians."""
    rates = []
    for loop in loops:
        way_m = abs(float(way_v[loop.second] - way_v[loop.first]))
        if stretches_v[loop.first] != stretches_v[loop.second] or way_m < _LEAST_WAY_M:
            continue
        by_odometry = recorded[loop.first].inverse() @ recorded[loop.second]
        rightly = refined[loop.first].inverse() @ refined[loop.second]
        off = by_odometry.distance_m(rightly), np.degrees(by_odometry.angle_rad(rightly))
        rates.append([off[0] / way_m, off[1] / way_m])
    if not rates:
        return None
    ratio, degrees = np.median(rates, axis=0).tolist()
    return ratio, degrees


def _worst(moved_v: NDArray[np.float64]) -> list[int]:
    """The views that were moved most, apart from each other."""
    worst: list[int] = []
    for view in np.argsort(-moved_v).tolist():
        if len(worst) < _WORST and all(abs(view - other) >= _APART_VIEWS for other in worst):
            worst.append(view)
    return worst
