"""What the demo measured: errors of images and of map->odom, the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from glace_ros.evaluation.metrics import RECALL_THRESHOLDS
from glace_ros.rejection import RejectionCode
from glace_ros.report.page import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose

WANTED_RATIO = 0.9
WANTED_M = 0.05
WANTED_DEG = 1.0
"""What the demo has to reach: images with a pose, and the median errors of these."""


class NotRejected(Enum):
    """Why an image got no pose that the node did not reject; the value in words."""

    NOT_LOOKED_AT = "not looked at (a newer image was there)"
    NOT_ARRIVED = "accepted, but its pose did not arrive"

    @property
    def key(self) -> str:
        """The name in JSON."""
        return self.name.lower()

    @property
    def words(self) -> str:
        """For a table."""
        return self.value


WithoutPose: TypeAlias = RejectionCode | NotRejected


@dataclass(frozen=True, eq=False)
class DemoResults:
    """What the node published beside the truth of the query's f images.

    stamps_ns: of the images (f,), in the bag.
    truth: base_footprint in the map at each.
    estimates: as published; None where there was none.
    error_m_f, error_deg_f: m and deg (f,); NaN without an estimate.
    between_ns: stamps (n,) of the odometry from the first map -> odom on.
    between_m_n, between_deg_n: m and deg, errors of map -> odom -> base at these.
    mapping_xy_n2: m, the mapping drive.
    without_pose: how many images got no pose, by why.
    latency_s, inference_s: of those images that the node looked at.
    """

    stamps_ns: NDArray[np.int64]
    truth: list[Pose]
    estimates: list[Pose | None]
    error_m_f: NDArray[np.float64]
    error_deg_f: NDArray[np.float64]
    between_ns: NDArray[np.int64]
    between_m_n: NDArray[np.float64]
    between_deg_n: NDArray[np.float64]
    mapping_xy_n2: NDArray[np.float64]
    without_pose: dict[WithoutPose, int]
    latency_s: NDArray[np.float64]
    inference_s: NDArray[np.float64]

    @property
    def ratio(self) -> float:
        """Ratio of the images that got a pose."""
        return float(np.isfinite(self.error_m_f).mean())

    @property
    def median_m(self) -> float:
        """Over all images; one without a pose counts as infinitely wrong."""
        return _median(self.error_m_f)

    @property
    def median_deg(self) -> float:
        """Likewise."""
        return _median(self.error_deg_f)

    @property
    def passed(self) -> bool:
        """Whether the demo shows what it is to show."""
        exact = self.median_m <= WANTED_M and self.median_deg <= WANTED_DEG
        return self.ratio >= WANTED_RATIO and exact

    @property
    def verdict(self) -> str:
        """The result in a sentence or two."""
        found, frames = int(np.isfinite(self.error_m_f).sum()), len(self.error_m_f)
        if self.passed:
            return (
                f"In the live ROS 2 graph {found} of {frames} images of a drive that the map has "
                f"not seen got a pose, with a median error of {100 * self.median_m:.1f} cm and "
                f"{self.median_deg:.2f} degrees."
            )
        missed = []
        if self.ratio < WANTED_RATIO:
            missed.append(f"only {found} of {frames} images got a pose")
        if self.median_m > WANTED_M or self.median_deg > WANTED_DEG:
            missed.append(f"the median error is {_cm(self.median_m)} and {_deg(self.median_deg)}")
        return (
            f"The demo has not reached what it should: {' and '.join(missed)} (wanted: "
            f"{WANTED_RATIO:.0%}, {100 * WANTED_M:g} cm, {WANTED_DEG:g} degree); with more "
            "--minutes the map becomes better."
        )

    def recall(self) -> dict[str, float]:
        """Ratio of all images within each of the usual thresholds."""
        return {
            name: float(np.mean((self.error_m_f <= metres) & (self.error_deg_f <= degrees)))
            for name, (metres, degrees) in RECALL_THRESHOLDS.items()
        }

    def metrics(self) -> list[Metric]:
        """The rows of the table."""
        recall = self.recall()
        found = int(np.isfinite(self.error_m_f).sum())
        return [
            Metric(
                "images with a pose",
                f"{found} of {len(self.error_m_f)} ({self.ratio:.0%})",
                f"at least {WANTED_RATIO:.0%}",
                self.ratio >= WANTED_RATIO,
            ),
            Metric(
                "median position error",
                _cm(self.median_m),
                f"at most {100 * WANTED_M:g} cm",
                self.median_m <= WANTED_M,
            ),
            Metric(
                "median angle error",
                _deg(self.median_deg),
                f"at most {WANTED_DEG:g}°",
                self.median_deg <= WANTED_DEG,
            ),
            Metric("within 5 cm / 5°", f"{recall['5cm_5deg']:.0%}"),
            Metric("within 25 cm / 2°", f"{recall['25cm_2deg']:.0%}"),
            Metric("worst pose published", _cm(_largest(self.error_m_f))),
            Metric(
                "map → odom → base, all the time",
                f"{_cm(_median(self.between_m_n))} and {_deg(_median(self.between_deg_n))} median, "
                f"{_cm(_largest(self.between_m_n))} at worst",
            ),
            Metric("time from exposure to pose", _milliseconds(self.latency_s)),
            Metric("of which in the localizer", _milliseconds(self.inference_s)),
        ]

    def as_json(self) -> dict[str, Any]:
        """Plain metrics; what does not exist is None."""
        return {
            "passed": self.passed,
            "frames": len(self.error_m_f),
            "localized": int(np.isfinite(self.error_m_f).sum()),
            "median_translation_m": _finite(self.median_m),
            "median_rotation_deg": _finite(self.median_deg),
            "recall": self.recall(),
            "map_odom_base": {
                "samples": len(self.between_m_n),
                "median_translation_m": _finite(_median(self.between_m_n)),
                "median_rotation_deg": _finite(_median(self.between_deg_n)),
                "max_translation_m": _finite(_largest(self.between_m_n)),
            },
            "latency_ms": {
                name: _finite(1e3 * _percentile(self.latency_s, percent))
                for name, percent in (("p50", 50), ("p95", 95))
            },
            "without_pose": {why.key: count for why, count in self.without_pose.items()},
        }


def _median(values: NDArray[np.float64]) -> float:
    return _percentile(np.where(np.isfinite(values), values, np.inf), 50)


def _percentile(values: NDArray[np.float64], percent: float) -> float:
    # "lower": no interpolation between a number and infinity
    return float(np.percentile(values, percent, method="lower")) if len(values) else float("inf")


def _largest(values: NDArray[np.float64]) -> float:
    found = values[np.isfinite(values)]
    return float(found.max()) if len(found) else float("inf")


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cm(metres: float) -> str:
    return f"{100 * metres:.1f} cm" if np.isfinite(metres) else "none"


def _deg(degrees: float) -> str:
    return f"{degrees:.2f}°" if np.isfinite(degrees) else "none"


def _milliseconds(seconds: NDArray[np.float64]) -> str:
    if not len(seconds):
        return "none"
    p50, p95 = (1e3 * _percentile(seconds, percent) for percent in (50, 95))
    return f"{p50:.0f} ms median, {p95:.0f} ms at the 95th percentile"
