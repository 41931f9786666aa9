"""A map's report whose truth is known: a drive in a circle through a room of coloured points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from support.core_scenes import looking_at, tiny_map

from glace_ros.evaluation.localized_frame import LocalizedFrame
from glace_ros.evaluation.map_validation import USABLE_RECALL, MapValidation
from glace_ros.evaluation.metrics import summarize_frames
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.mapping.training.schedule import TrainingProgress
from glace_ros.recording.posed_images import PosedImage
from glace_ros.rejection import Rejection, RejectionCode
from glace_ros.report.build_record import BuildRecord, views_of
from glace_ros.report.map_report import MapReport

if TYPE_CHECKING:
    from glace_ros.report.coverage import Views
    from glace_ros.report.refined_way import RefinedWay

CAMERA = Camera(160, 120, fx_px=120.0, fy_px=120.0, cx_px=79.5, cy_px=59.5)
START_NS = 1_700_000_000 * 10**9
ROUND_S = 40.0
RADIUS_M = 2.0
MISSED_S = (20.0, 22.0)
"""Held-out images of this time get no pose in `example_report`."""


def pose_at(time_s: float) -> Pose:
    """The camera: once around, at a height of 1 m, looking outwards."""
    angle = 2 * np.pi * time_s / ROUND_S
    outwards_3 = np.array([np.cos(angle), np.sin(angle), 0.0])
    position_3 = RADIUS_M * outwards_3 + [0.0, 0.0, 1.0]
    return looking_at(position_3, position_3 + outwards_3)


def example_report(
    missed_s: tuple[float, float] = MISSED_S,
    error_m: float = 0.03,
    *,
    held_out: bool = True,
    refinement: dict[str, Any] | None = None,
    way: RefinedWay | None = None,
) -> MapReport:
    """Blocks of 2 s in every 5 are held out, each image off by error_m; none has a pose in
    missed_s.
    """
    rng = np.random.default_rng(0)
    points_n3 = rng.uniform([-5, -5, 0], [5, 5, 2.6], (4000, 3))
    times_s = np.arange(0, ROUND_S, 0.1)
    is_held_out = (times_s % 5.0 < 2.0) & held_out
    record, frames = BuildRecord(), []
    for step in range(0, 600, 20):
        done = step / 600
        record.training.append(TrainingProgress(done, step, 80 * (1 - done) + 2, 0.6 * done, step))
    for time_s in times_s[is_held_out]:
        missed = missed_s[0] <= time_s < missed_s[1]
        frames.append(_add(record, float(time_s), points_n3, None if missed else error_m))
    metrics = summarize_frames(frames)
    usable = metrics["recall"]["50cm_5deg"] >= USABLE_RECALL if frames else None
    mapping = [pose_at(time_s) for time_s in times_s[~is_held_out]]
    metrics |= {
        "map_bytes": 1_234_567, "seconds": {"read": 1.5, "train": 100.0, "total": 123.0},
        "heads": 1, "steps": 600, "mapping_frames": len(mapping), "left_out": {"blurred": 16},
        "pose_jumps": [], "pose_refinement": refinement or {"refined": False, "why": "tf:map"},
    }  # fmt: skip
    validation = MapValidation(tiny_map(), frames, metrics, usable, None)
    words = [("bag", "office"), ("map frame", "map")]
    return MapReport(
        validation, record, mapping, _way(times_s), 0.1, [START_NS], metrics, words, ["a note"],
        way=way,
    )  # fmt: skip


def _way(times_s: np.ndarray) -> Views:
    return views_of([pose_at(time_s) for time_s in times_s], list(times_s))


def _add(
    record: BuildRecord, time_s: float, points_n3: np.ndarray, error_m: float | None
) -> LocalizedFrame:
    """One held-out image, off by error_m along x, or without a pose."""
    truth = pose_at(time_s)
    stamp_ns = START_NS + round(time_s * 1e9)
    image = PosedImage(stamp_ns, _picture(time_s), CAMERA, truth)
    if error_m is None:
        rejection = Rejection(
            RejectionCode.FEW_INLIERS, inliers=9, points=1000, needed_inliers=50, seconds=0.1
        )
        record.add_held_out(image, rejection)
        return LocalizedFrame(stamp_ns, truth, None, None, 9, 1000, 0.1, rejection)
    estimate = Pose(truth.rotation_33, truth.translation_3 + [error_m, 0.0, 0.0])
    in_camera_n3 = truth.inverse().transform(points_n3)
    seen_n3 = points_n3[in_camera_n3[:, 2] > 0.5]
    pixels_n2 = CAMERA.project(truth.inverse().transform(seen_n3))
    inside_n = ((pixels_n2 >= 0) & (pixels_n2 <= [159, 119])).all(axis=1)
    result = PoseEstimate(
        estimate, 1e-4 * np.eye(6), int(inside_n.sum()), 1000, 1.0, 0.1, pixels_n2[inside_n],
        seen_n3[inside_n], CAMERA,
    )  # fmt: skip
    record.add_held_out(image, result)
    return LocalizedFrame(
        stamp_ns, truth, estimate, result.covariance_66, result.inliers, 1000, 0.1
    )


def _picture(time_s: float) -> np.ndarray:
    picture = np.full((120, 160, 3), 90, np.uint8)
    picture[:, :, 0] = np.linspace(40, 220, 160).astype(np.uint8)
    picture[:, :, 2] = np.uint8(6 * time_s)
    return picture
