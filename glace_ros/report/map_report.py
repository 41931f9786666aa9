"""What the report of a new map says: its metrics, its verdict, where to record more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.evaluation.map_validation import USABLE_RECALL
from glace_ros.report.build_record import (
    drive_starts_ns,
    recorded_trajectory,
    views_of,
)
from glace_ros.report.coverage import (
    CoverageConfig,
    Views,
    WeakRegion,
    missed,
    weak_regions,
)
from glace_ros.report.map_description import map_description
from glace_ros.report.point_cloud import PointCloud, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.evaluation.map_validation import MapValidation
    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.views.mapping_views import MappingViews
    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.report.build_record import BuildRecord
    from glace_ros.report.map_description import Words
    from glace_ros.report.refined_way import RefinedWay


@dataclass(frozen=True, eq=False)
class MapReport:
    """What is known of a map when it is done."""

    validation: MapValidation
    """The map, and what held-out images say of it."""
    record: BuildRecord
    """What was remembered while it was built."""
    mapping: Sequence[Pose]
    """map_from_camera of the mapping images."""
    trajectory: Views
    """The camera along all drives."""
    trajectory_step_s: float
    """From view to view of it."""
    starts_ns: Sequence[int]
    """0:00 by the clock of each drive; drives count as made one right after the other."""
    metrics: dict[str, Any]
    """As `--json` has them."""
    description: Words
    """(what, words) of the recording, which comes first, and the settings."""
    notes: list[str]
    """What was odd about the recording."""
    mapping_drives_v: NDArray[np.int64] | None = None
    """Which drive each mapping image is from; None: all from one."""
    drives: Sequence[str] = ()
    """What the drives are called, where there are several."""
    way: RefinedWay | None = None
    """As recorded and as refined, where poses were refined."""

    @cached_property
    def config(self) -> CoverageConfig:
        """How near counts as near: a third of how far the camera looks."""
        depths_m = self.record.depths_m
        near_m = float(np.clip(np.median(depths_m) / 3.0, 0.5, 10.0)) if depths_m else 1.0
        return replace(CoverageConfig(), near_m=near_m, region_m=1.5 * near_m)

    @cached_property
    def mapping_views(self) -> Views:
        """Where the mapping cameras were; when is not known any more, and is 0 s for all."""
        return views_of(self.mapping, [0.0] * len(self.mapping))

    @property
    def mapping_of_drives(self) -> list[tuple[str, Views]]:
        """Name and mapping views of each drive, where there are several."""
        views, drives_v = self.mapping_views, self.mapping_drives_v
        if drives_v is None:
            return []
        return [(name, views.at(drives_v == drive)) for drive, name in enumerate(self.drives)]

    def time_s(self, drive: int, stamp_ns: int) -> float:
        """From 0:00 to that stamp of a drive."""
        return (stamp_ns - self.starts_ns[drive]) * 1e-9

    @cached_property
    def held_out_views(self) -> Views:
        """Where the held-out images were taken, and when."""
        held_out = self.record.held_out
        times_s = [self.time_s(view.drive, view.stamp_ns) for view in held_out]
        return views_of([view.map_from_camera for view in held_out], times_s)

    @cached_property
    def errors_f2(self) -> NDArray[np.float64]:
        """(m, deg) of the held-out images; NaN where the pose was rejected, or there is none."""
        errors = [frame.errors for frame in self.validation.frames if frame.truth is not None]
        errors_f2 = np.array(errors, dtype=np.float64).reshape(-1, 2)
        return np.where(np.isfinite(errors_f2), errors_f2, np.nan)

    @cached_property
    def reasons(self) -> dict[tuple[int, int], str]:
        """Why held-out images were rejected, by (drive, stamp); empty where they were not."""
        with_truth = [frame for frame in self.validation.frames if frame.truth is not None]
        judged = zip(self.record.held_out, with_truth, strict=True)
        return {(view.drive, view.stamp_ns): frame.reason for view, frame in judged}

    @cached_property
    def regions(self) -> list[WeakRegion]:
        """Where to record more."""
        return weak_regions(
            self.trajectory,
            self.trajectory_step_s,
            self.mapping_views,
            self.held_out_views,
            missed(self.errors_f2[:, 0], self.errors_f2[:, 1], self.config),
            self.config,
        )

    @cached_property
    def cloud(self) -> PointCloud:
        """All points that the map was seen to give rightly."""
        return joined(self.record.clouds)

    @property
    def jumps_remain(self) -> bool:
        """Whether poses jump and the map is made with them as they are. Refinement takes what lies
        between two jumps for a stretch of its own, and places each by what it sees.
        """
        return bool(self.metrics["pose_jumps"]) and not self.metrics["pose_refinement"]["refined"]

    @property
    def misfit(self) -> str:
        """Why the map's poses do not fit the images, a sentence; empty where they do, or nobody
        knows.
        """
        refinement = self.metrics["pose_refinement"]
        if (consistency := refinement.get("consistency")) and not consistency["fits"]:
            return str(refinement["sentences"][-1])  # whether they fit is said last
        return ""

    @property
    def verdict(self) -> str:
        """usable, usable but weak in places, bent (held-out images have the map's wrong poses and
        cannot tell), unusable, or not judged (not validated).
        """
        if self.validation.usable is None:
            return "not judged"
        if not self.validation.usable:
            return "unusable"
        if self.jumps_remain:
            return "bent, the poses jump"
        if self.misfit:
            return "bent, the poses do not fit the images"
        return "usable, record more" if self.regions else "usable"

    def as_json(self) -> dict[str, Any]:
        """All of it but the pictures; NaN is None."""
        return {
            "verdict": self.verdict,
            "usable_recall": USABLE_RECALL,
            "figures": self.metrics,
            "recording": dict(self.description),
            "notes": self.notes,
            "coverage": vars(self.config),
            "record_more": [vars(region) for region in self.regions],
            "held_out": self._held_out_json(),
            "training": [
                {"step": p.step, "seconds": p.seconds, "loss": p.loss, "inliers": p.inlier_ratio}
                for p in self.record.training
            ],
            "points": len(self.cloud),
        }

    def _held_out_json(self) -> list[dict[str, Any]]:
        with_truth = [frame for frame in self.validation.frames if frame.truth is not None]
        return [
            {
                "drive": view.drive,
                "stamp_ns": frame.stamp_ns,
                "time_s": float(time_s),
                "camera_m": position_3.tolist(),
                "error_m": None if np.isnan(error_2[0]) else float(error_2[0]),
                "error_deg": None if np.isnan(error_2[1]) else float(error_2[1]),
                "inliers": frame.inliers,
                "points": frame.points,
                "reason": frame.reason,
            }
            for frame, view, time_s, position_3, error_2 in zip(
                with_truth, self.record.held_out, self.held_out_views.time_s_n,
                self.held_out_views.positions_n3, self.errors_f2, strict=True,
            )
        ]  # fmt: skip


def map_report(
    reader: DrivesReader,
    validation: MapValidation,
    record: BuildRecord,
    mapping: MappingViews,
    metrics: dict[str, Any],
    of_camera: Callable[[int, int, Pose], Pose],
    way: RefinedWay | None,
) -> MapReport:
    """The report of a map made from the reader's drives.

    mapping: the mapping images.
    metrics: as `--json` has them.
    of_camera: map_from_camera as the map was made with it, of drive, stamp in ns, and the same as
        recorded.
    way: as recorded and as refined, where poses were refined.
    """
    starts_ns = drive_starts_ns(reader)
    trajectory, step_s = recorded_trajectory(reader, starts_ns, of_camera)
    description = map_description(reader, validation.scene_map.metadata, metrics)
    return MapReport(
        validation,
        record,
        mapping.map_from_camera,
        trajectory,
        step_s,
        starts_ns,
        metrics,
        description,
        reader.notes,
        mapping.drives_v,
        reader.names if len(reader.drives) > 1 else (),
        way,
    )
