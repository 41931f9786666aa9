"""How good poses are: errors, recall, consistency of the covariance, and the figures printed of
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.geometry.covariance import pose_error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose

RECALL_THRESHOLDS = {
    "5cm_5deg": (0.05, 5.0),
    "10cm_5deg": (0.10, 5.0),
    "25cm_2deg": (0.25, 2.0),
    "50cm_5deg": (0.50, 5.0),
    "5m_10deg": (5.0, 10.0),
}
FALSE_ACCEPT = (1.0, 10.0)
"""An accepted pose further off than this (m, deg) would send a robot astray."""
ASTRAY = (0.5, 10.0)
"""(m, deg) beyond which a held-out frame speaks for a stricter acceptance."""
RATIO_BOUNDS = (0.10, 0.25)
"""Photographs of other places reach 0.095 on the office's map: docs/method.md."""
RATIO_MARGIN = 1.25
RIVAL_BOUNDS = (0.5, 0.8)
RIVAL_MARGIN = 0.95
_FAR = f"{FALSE_ACCEPT[0]:g} m / {FALSE_ACCEPT[1]:g} deg"


@dataclass(frozen=True, eq=False)
class LocalizedFrame:
    """One image's outcome. truth and estimate are of the same frame (base or camera); None: there
    is none.

    covariance_66 as in localization/pose_covariance.py. reason: why it was rejected. landmarks:
    that refined the pose; sure: so many that they vouch for it, whatever the inliers. rival: share
    of the pose's agreement that one in another place has.
    """

    stamp_ns: int
    truth: Pose | None
    estimate: Pose | None
    covariance_66: NDArray[np.float64] | None
    inliers: int
    points: int
    seconds: float
    reason: str = ""
    landmarks: int = 0
    sure: bool = False
    rival: float = 0.0

    @property
    def errors(self) -> tuple[float, float]:
        """(m, deg); infinite where nothing was localized."""
        if self.estimate is None or self.truth is None:
            return float("inf"), float("inf")
        angle_deg = float(np.degrees(self.estimate.angle_rad(self.truth)))
        return self.estimate.distance_m(self.truth), angle_deg

    def accepted_from(self, min_inlier_ratio: float) -> LocalizedFrame:
        """The frame as a localizer with that threshold would have it."""
        if self.estimate is None or self.sure or self.inliers >= min_inlier_ratio * self.points:
            return self
        reason = f"a smaller share of inliers than {min_inlier_ratio:.2f}"
        return replace(self, estimate=None, covariance_66=None, reason=reason)

    def with_covariance_scaled(self, scale: float) -> LocalizedFrame:
        """The frame with its covariance multiplied."""
        if self.covariance_66 is None:
            return self
        return replace(self, covariance_66=scale * self.covariance_66)

    @property
    def nees(self) -> float | None:
        """Normalised estimation error squared over its 6 degrees of freedom: 1 is calibrated."""
        if self.estimate is None or self.truth is None or self.covariance_66 is None:
            return None
        error_6 = pose_error(self.estimate, self.truth)
        return float(error_6 @ np.linalg.solve(self.covariance_66, error_6)) / 6.0


def is_astray(estimate: Pose, truth: Pose) -> bool:
    """Whether a pose is further off than ASTRAY."""
    metres, degrees = ASTRAY
    angle_deg = float(np.degrees(estimate.angle_rad(truth)))
    return estimate.distance_m(truth) > metres or angle_deg > degrees


def acceptance_threshold(
    frames: Sequence[LocalizedFrame], wrong_ratios: Sequence[float] = ()
) -> float:
    """Inlier ratio, by RATIO_MARGIN above that of every held-out frame that was astray and of every
    wrong place.

    frames: accepted whatever their ratio. The result is within RATIO_BOUNDS.
    """
    astray = [frame.inliers / frame.points for frame in _astray(frames) if not frame.sure]
    lowest, highest = RATIO_BOUNDS
    return float(
        np.clip(RATIO_MARGIN * max([*astray, *wrong_ratios], default=0.0), lowest, highest)
    )


def rival_threshold(frames: Sequence[LocalizedFrame]) -> float:
    """The rival's share of agreement from which a pose is ambiguous: by RIVAL_MARGIN under that of
    every held-out frame that was astray, within RIVAL_BOUNDS.
    """
    rivals = [frame.rival for frame in _astray(frames) if frame.rival > 0.0]
    lowest, highest = RIVAL_BOUNDS
    return float(np.clip(RIVAL_MARGIN * min(rivals, default=1.0), lowest, highest))


def _astray(frames: Sequence[LocalizedFrame]) -> list[LocalizedFrame]:
    return [
        frame
        for frame in frames
        if frame.estimate is not None
        and frame.truth is not None
        and is_astray(frame.estimate, frame.truth)
    ]


def covariance_scale(frames: Sequence[LocalizedFrame]) -> float:
    """What makes the mean NEES of these held-out frames that of a consistent filter, at least 1.

    The residuals of neighbouring patches err together, which the solver's Jacobian cannot know.
    The largest tenth is left out, so that one wrong pose does not blur all others. 1 where fewer
    than five frames can tell.
    """
    nees = sorted(value for frame in frames if (value := frame.nees) is not None)
    if len(nees) < 5:
        return 1.0
    return max(1.0, float(np.mean(nees[: math.ceil(0.9 * len(nees))])))


def summarize_frames(frames: Sequence[LocalizedFrame]) -> dict[str, Any]:
    """The figures of docs/ros_interface.md. A refused frame counts as infinitely wrong; frames
    without truth count in `frames_without_truth` alone.

    NaN-free: what cannot be computed is None.
    """
    judged = [frame for frame in frames if frame.truth is not None]
    errors_n2 = np.array([frame.errors for frame in judged]).reshape(-1, 2)
    nees = [value for frame in judged if (value := frame.nees) is not None]
    latency_ms = [1e3 * frame.seconds for frame in frames]
    astray_n = np.isfinite(errors_n2[:, 0]) & (
        (errors_n2[:, 0] > FALSE_ACCEPT[0]) | (errors_n2[:, 1] > FALSE_ACCEPT[1])
    )
    return {
        "frames": len(judged),
        "frames_without_truth": len(frames) - len(judged),
        "localized": sum(frame.estimate is not None for frame in judged),
        "by_landmarks": sum(frame.landmarks > 0 and frame.estimate is not None for frame in judged),
        "median_translation_m": _finite(np.median(errors_n2[:, 0])) if judged else None,
        "median_rotation_deg": _finite(np.median(errors_n2[:, 1])) if judged else None,
        "recall": {
            name: float(np.mean((errors_n2[:, 0] <= metres) & (errors_n2[:, 1] <= degrees)))
            if judged
            else None
            for name, (metres, degrees) in RECALL_THRESHOLDS.items()
        },
        "false_accepts": int(astray_n.sum()),
        "nees_mean": float(np.mean(nees)) if nees else None,
        "nees_median": float(np.median(nees)) if nees else None,
        "latency_ms": {
            name: float(np.percentile(latency_ms, percent)) if latency_ms else None
            for name, percent in (("p50", 50), ("p95", 95))
        },
        "rejections": _counts(frame.reason for frame in frames if frame.estimate is None),
    }


def figures_table(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The same as rows of words, for a person."""

    def show(value: float | None, factor: float, unit: str) -> str:
        return "none" if value is None else f"{factor * value:.2f} {unit}"

    rows = [
        ("frames", f"{figures['frames']} with truth, {figures['frames_without_truth']} without"),
        ("localized", f"{figures['localized']}, {figures['by_landmarks']} of them by landmarks"),
        ("median error", f"{show(figures['median_translation_m'], 100, 'cm')}, "
         f"{show(figures['median_rotation_deg'], 1, 'deg')}"),
    ]  # fmt: skip
    for name, share in figures["recall"].items():
        words = name.replace("_", " / ").replace("cm", " cm").replace("deg", " deg")
        rows.append((f"within {words.replace('5m', '5 m')}", show(share, 100, "%")))
    rows += [
        (f"off by over {_FAR}", str(figures["false_accepts"])),
        ("NEES (1 = calibrated)", show(figures["nees_mean"], 1, "mean") + ", "
         + show(figures["nees_median"], 1, "median")),
        ("latency", f"{show(figures['latency_ms']['p50'], 1, 'ms median')}, "
         f"{show(figures['latency_ms']['p95'], 1, 'ms p95')}"),
    ]  # fmt: skip
    return rows


def map_size(figures: dict[str, Any]) -> str:
    """In words, from `map_bytes` and `heads`."""
    heads = f", {figures['heads']} heads" if figures["heads"] > 1 else ""
    return f"{figures['map_bytes'] / 1e6:.2f} MB{heads}"


def write_tum(path: Path, frames: Sequence[LocalizedFrame]) -> None:
    """Accepted poses as TUM lines: seconds x y z qx qy qz qw."""
    lines = []
    for frame in frames:
        if frame.estimate is not None:
            numbers = [*frame.estimate.translation_3, *frame.estimate.quaternion_xyzw]
            seconds = f"{frame.stamp_ns // 10**9}.{frame.stamp_ns % 10**9:09d}"
            lines.append(" ".join([seconds, *(f"{number:.9f}" for number in numbers)]))
    path.write_text("".join(line + "\n" for line in lines))


def write_submission(path: Path, names: Sequence[str], frames: Sequence[LocalizedFrame]) -> None:
    """Accepted poses as visuallocalization.net takes them: file name, then qw qx qy qz tx ty tz of
    the rotation and translation that lead from the scene to the camera.

    names: of the frames' images; folders in them are left out. frames: of the camera.
    """
    lines = []
    for name, frame in zip(names, frames, strict=True):
        if frame.estimate is not None:
            camera_from_map = frame.estimate.inverse()
            x, y, z, w = camera_from_map.quaternion_xyzw
            numbers = [w, x, y, z, *camera_from_map.translation_3]
            lines.append(" ".join([name.split("/")[-1], *(f"{number:.9f}" for number in numbers)]))
    path.write_text("".join(line + "\n" for line in lines))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _counts(reasons: Any) -> dict[str, int]:
    counted: dict[str, int] = {}
    for reason in reasons:
        # numbers out: "12 inliers of 900 points ..." are one reason
        words = " ".join(word for word in reason.split() if not word.strip(",.").isdigit())
        counted[words] = counted.get(words, 0) + 1
    return counted
