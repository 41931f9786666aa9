"""What the live node published, held against the truth stamp by stamp."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.demo.results import DemoResults, NotRejected
from glace_ros.geometry.transform_tree import TransformError, TransformTree
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.rejection import RejectionCode

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.demo.live_run import LiveRun
    from glace_ros.demo.results import WithoutPose
    from glace_ros.geometry.pose import Pose


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
        dict(Counter(_why_no_pose(run, int(stamp_ns)) for stamp_ns in missing)),
        np.array([outcome.latency_s for outcome in outcomes]),
        np.array([outcome.inference_s for outcome in outcomes]),
    )


def _between(
    reader: RecordingReader, query: Path, run: LiveRun
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Errors (n, 2) of map -> odom -> base wherever a consumer of TF could have asked for it."""
    stamps: list[int] = []
    errors: list[tuple[float, float]] = []
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


def _why_no_pose(run: LiveRun, stamp_ns: int) -> WithoutPose:
    outcome = run.outcomes.get(stamp_ns)
    if outcome is None:
        return NotRejected.NOT_LOOKED_AT
    return NotRejected.NOT_ARRIVED if outcome.code == RejectionCode.NONE else outcome.code
