"""What the demo measured against the truth: errors of images and of map->odom, the verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.evaluation.metrics import RECALL_THRESHOLDS
from glace_ros.geometry.transform_tree import TransformError, TransformTree
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.report.page import Metric

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.demo.live_run import LiveRun
    from glace_ros.geometry.pose import Pose

WANTED_RATIO = 0.9
WANTED_M = 0.05
WANTED_DEG = 1.0


@dataclass(frozen=True, eq=False)
class DemoResults:
    """stamps_ns: of the query's f images (in the bag); truth: base_footprint in the map at each.

    estimates: as published, None where there was none; error_*_f: NaN there. between_*_n: of
    map -> odom -> base at the odometry's stamps, from the first map -> odom on. mapping_xy_n2: the
    mapping drive. reasons: why images got no pose, counted. latency_s, inference_s: of those
    images that the node looked at.
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
    reasons: dict[str, int]
    latency_s: NDArray[np.float64]
    inference_s: NDArray[np.float64]

    @property
    def share(self) -> float:
        """Of the images, those that got a pose."""
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
        return self.share >= WANTED_RATIO and exact

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
        if self.share < WANTED_RATIO:
            missed.append(f"only {found} of {frames} images got a pose")
        if self.median_m > WANTED_M or self.median_deg > WANTED_DEG:
            missed.append(f"the median error is {_cm(self.median_m)} and {_deg(self.median_deg)}")
        return (
            f"The demo has not reached what it should: {' and '.join(missed)} (wanted: "
            f"{WANTED_RATIO:.0%}, {100 * WANTED_M:g} cm, {WANTED_DEG:g} degree); with more "
            "--minutes the map becomes better."
        )

    def recall(self) -> dict[str, float]:
        """Share of all images within each of the usual thresholds."""
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
                f"{found} of {len(self.error_m_f)} ({self.share:.0%})",
                f"at least {WANTED_RATIO:.0%}",
                self.share >= WANTED_RATIO,
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
        """Plain figures; what does not exist is None."""
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
            "without_pose": self.reasons,
        }


def compare(mapping: Path, query: Path, truth_topic: str, run: LiveRun) -> DemoResults:
    """Holds what the node published against the query's truth, stamp by stamp."""
    with RecordingReader(mapping) as reader:
        stamps = reader.pose_stamps_n()[::10]
        mapping_xy_n2 = np.array([reader.map_from_base(int(s)).translation_3[:2] for s in stamps])
    with RecordingReader(query, pose_source=truth_topic) as reader:
        stamps_ns = np.array([image.stamp_ns for image in reader.images()])
        truth = [reader.map_from_base(int(stamp_ns)) for stamp_ns in stamps_ns]
        between_ns, between = _between(reader, query, run)
    estimates = [run.fixes.get(int(stamp_ns)) for stamp_ns in stamps_ns]
    errors_f2 = np.array([_errors(e, t) for e, t in zip(estimates, truth, strict=True)])
    missing = [s for s, e in zip(stamps_ns, estimates, strict=True) if e is None]
    outcomes = list(run.outcomes.values())
    return DemoResults(
        stamps_ns,
        truth,
        estimates,
        errors_f2[:, 0],
        errors_f2[:, 1],
        between_ns,
        between[:, 0],
        between[:, 1],
        mapping_xy_n2,
        dict(Counter(_reason(run, int(stamp_ns)) for stamp_ns in missing)),
        np.array([outcome.latency_s for outcome in outcomes]),
        np.array([outcome.inference_s for outcome in outcomes]),
    )


def _between(
    reader: RecordingReader, query: Path, run: LiveRun
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Errors (n, 2) of map -> odom -> base wherever a consumer of TF could have asked for it."""
    stamps, errors = [], [(np.nan, np.nan)][:0]
    with RecordingReader(query, pose_source="tf:odom") as odometry:
        tree = TransformTree()
        for stamp_ns, map_from_odom in run.map_from_odom:
            tree.add("map", "odom", stamp_ns, map_from_odom)
        for stamp_ns in odometry.pose_stamps_n():
            try:
                map_from_odom = tree.lookup("map", "odom", int(stamp_ns))
            except TransformError:  # before the first fix, or after the last transform
                continue
            map_from_base = map_from_odom @ odometry.map_from_base(int(stamp_ns))
            stamps.append(int(stamp_ns))
            errors.append(_errors(map_from_base, reader.map_from_base(int(stamp_ns))))
    return np.array(stamps, dtype=np.int64), np.array(errors).reshape(-1, 2)


def _errors(estimate: Pose | None, truth: Pose) -> tuple[float, float]:
    if estimate is None:
        return float("nan"), float("nan")
    return estimate.distance_m(truth), float(np.degrees(estimate.angle_rad(truth)))


def _reason(run: LiveRun, stamp_ns: int) -> str:
    """Why an image got no pose, without the numbers that differ from image to image."""
    outcome = run.outcomes.get(stamp_ns)
    if outcome is None:
        return "not looked at (a newer image was there)"
    words = [w for w in outcome.reason.split() if not w.strip(",.;:").replace(".", "").isdigit()]
    return " ".join(words) or "accepted, but its pose did not arrive"


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
