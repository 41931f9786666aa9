"""Which poses a map is made with: as recorded, or refined by the images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.atomic_write import write_output
from glace_ros.command_line.progress import progress_bar
from glace_ros.commands.recorded_motions import motion_of, pose_at, stretches_of
from glace_ros.commands.refined_or_not import AUTO, ON, what_prevents, why_not
from glace_ros.errors import MappingError
from glace_ros.evaluation.pose_files import tum_line
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.mapping.landmark_tracks import ViewsShutter
from glace_ros.mapping.pose_refinement.pose_consistency import PoseConsistency
from glace_ros.mapping.pose_refinement.refined_poses import RefinedTrajectory, findings_json
from glace_ros.mapping.pose_refinement.rolling_shutter import velocities_of
from glace_ros.report.refined_way import RefinedWay, refined_way

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from rich.console import Console

    from glace_ros.commands.build_map_config import BuildRequest
    from glace_ros.geometry.intrinsics_correction import IntrinsicsCorrection
    from glace_ros.geometry.mount_correction import MountCorrection
    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.build_steps import Encoded
    from glace_ros.mapping.map_builder import MapBuilder
    from glace_ros.mapping.pose_refinement.intrinsics import IntrinsicsEstimate
    from glace_ros.mapping.pose_refinement.refined_poses import RefinedPoses
    from glace_ros.mapping.pose_refinement.refinement_view import RecordedMotion
    from glace_ros.mapping.resume.saved_work import SavedWork
    from glace_ros.maps.scene_map import SceneMap
    from glace_ros.ranks import Ranks
    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.recording.posed_images import PosedImage

_LEAST_WAY_M = 0.3
"""From the first to the farthest view: a robot that stands still shows no points."""


class PoseChoice:
    """Whether the poses of a build are refined, and why."""

    def __init__(self, request: BuildRequest, reader: DrivesReader, ranks: Ranks) -> None:
        """Raises MappingError where that was asked for and cannot be."""
        self._reader = reader
        cannot = what_prevents(request, reader, ranks)
        self.why = why_not(request, reader, cannot)
        """Why they are not, as a sentence; empty: they are."""
        self._can_check = not cannot
        asked = request.refine_poses == ON or request.calibrate or len(reader.drives) > 1
        self._required = asked and not self.why
        # a scene folder's poses are what somebody worked out; a bag's are what a robot believed
        self._may_refine = request.refine_poses == AUTO and not cannot and bool(reader.info.topics)
        self.consistency: PoseConsistency | None = None
        """Of the poses with the images; None where that was not looked at."""
        self._misfit = ""
        """Of the recorded poses, where they are refined all the same."""
        self._slight = ""
        """What is wrong with recorded poses that fit the images all the same."""
        self._intrinsics: IntrinsicsEstimate | None = None
        """By those poses."""
        self._corrects_intrinsics = request.refine_intrinsics == AUTO
        self._calibrate = request.calibrate
        self._refuse_calibration()
        self.trajectory: RefinedTrajectory | None = None
        """Where refinement puts poses at any time; None where it did not run."""
        self.refined: RefinedPoses | None = None
        """Of the mapping views, and what was found; None where it did not run."""
        self.way: RefinedWay | None = None
        """As recorded and as refined, for the report; None where it did not run."""
        self._velocities_v6: NDArray[np.float64] = np.empty((0, 6))
        self.places: list[tuple[int, int]] = []
        """(drive, stamp in ns) of the mapping views."""

    def refine(
        self, builder: MapBuilder, encoded: Encoded, saved: SavedWork, console: Console
    ) -> None:
        """Gives the encoded views their poses and intrinsics, and says what was found.

        Raises MappingError where parts of the recording do not belong together.
        """
        self._refine(builder, encoded, saved, console)
        if self._intrinsics and (sentence := self._intrinsics.sentence()):
            console.print(f"note: {sentence}", highlight=False)
        if self.intrinsics:
            encoded.views.correct_intrinsics(self.intrinsics)

    def _refine(
        self, builder: MapBuilder, encoded: Encoded, saved: SavedWork, console: Console
    ) -> None:
        views, reader = encoded.views, self._reader
        self.places = list(zip(views.drives_v.tolist(), views.stamps_v.tolist(), strict=True))
        recorded = list(views.recorded_map_from_camera)
        positions_v3 = np.stack([pose.translation_3 for pose in recorded])
        if np.ptp(positions_v3, axis=0).max() < _LEAST_WAY_M:
            still = "the robot hardly moves, and images show no depth without motion"
            if self._required:
                raise MappingError(f"poses cannot be refined: {still}")
            self.why, self._can_check = self.why or still, False
        parts, begins_ns, stretches, names, continued = stretches_of(reader, self.places)
        motions = [
            motion_of(reader.drives[drive], stamp_ns, continued[part] @ pose, stretches[part])
            for (drive, stamp_ns), part, pose in zip(self.places, parts, recorded, strict=True)
        ]
        self._velocities_v6 = velocities_of(motions)
        look = self.why or (self._may_refine and not self._required and len(set(parts)) == 1)
        if look and self._can_check:
            with progress_bar(console, "check poses", 1.0) as advance:
                self.consistency, intrinsics = builder.as_recorded(
                    encoded, motions, names, advance, saved.journal.cached
                )
            if self.consistency.fit_along_way:
                self._intrinsics = intrinsics
            if not self.why and self.consistency.need_nothing:
                self.why = (
                    f"they fit the images: {self.consistency.loops_agreeing} of "
                    f"{self.consistency.loops} views that see a place again are where the poses "
                    "put them (--refine-poses on refines them)"
                )
            drifts = self.consistency.fit_along_way and not self.consistency.fits
            if self.why and self._may_refine and drifts:
                console.print(f"note: {self.consistency.sentence()}", highlight=False)
                self.why = ""
        fit = self.consistency is not None and self.consistency.fit_along_way
        if self._can_check and self._look_for_cause(builder, encoded, motions):
            if fit:
                console.print(f"note: {self._slight}", highlight=False)
            elif self._required and self.consistency:
                self._misfit = f"as recorded, {self.consistency.sentence()}"
                console.print(f"note: {self._misfit}", highlight=False)
            else:  # images would bend poses that are right but for this
                self.why = self.why or "they do not fit the images for a reason that is known"
        self._refuse_calibration()
        if self.why:
            console.print(f"poses are used as recorded: {self.why}", highlight=False)
            self._say_whether_they_fit(console)
            return
        try:
            with progress_bar(console, "refine poses", 1.0) as advance:
                self.refined = builder.refine(
                    encoded, motions, names, reader.images_at, advance, saved.journal.cached
                )
        except MappingError as error:
            if self._required:
                raise
            self.why = str(error)
            console.print(f"poses are used as recorded: {self.why}", highlight=False)
            return
        poses = self.refined.map_from_camera
        self.consistency, self._intrinsics = self.refined.check
        self.way = refined_way(
            [motion.recorded for motion in motions], poses, [motion.stretch for motion in motions],
            self.refined.findings.loops,
        )  # fmt: skip
        recorded = [
            self._corrected(*place, pose) for place, pose in zip(self.places, recorded, strict=True)
        ]
        self.trajectory = RefinedTrajectory(self.places, parts, begins_ns, recorded, poses)
        for sentence in self.refined.findings.sentences():
            console.print(sentence, highlight=False)
        self._say_whether_they_fit(console)

    def _look_for_cause(
        self, builder: MapBuilder, encoded: Encoded, motions: Sequence[RecordedMotion]
    ) -> bool:
        """Whether images tell what is wrong with the recorded poses; keeps it."""

        def at(view: int, offset_s: float) -> Pose | None:
            drive, stamp_ns = self.places[view]
            return pose_at(self._reader.drives[drive], stamp_ns, offset_s)

        cause, info = builder.misfit_cause(encoded, motions, at), self._reader.info
        if cause is None:
            return False
        found = self.consistency or PoseConsistency(cause.as_recorded, 0, 0)
        said = cause.sentence(info.base_from_camera, info.camera.fx_px)
        if found.fit_along_way:
            self._slight = said
        self.consistency = found._replace(cause=said)
        return True

    def _say_whether_they_fit(self, console: Console) -> None:
        if self.consistency and not self.consistency.fits:
            console.print(f"note: {self.consistency.sentence()}", highlight=False)

    @property
    def misfit(self) -> str:
        """Why the poses that the map is made with do not fit the images; empty where they do."""
        return self.consistency.sentence() if self.consistency else ""

    @property
    def correction(self) -> MountCorrection | None:
        """Of the camera's mount and stamps, where the map is made with one."""
        return self.refined.findings.correction if self.refined and self._calibrate else None

    @property
    def intrinsics(self) -> IntrinsicsCorrection | None:
        """Of the camera, where the map is made with one."""
        if not self._corrects_intrinsics or not self._intrinsics:
            return None
        return self._intrinsics.correction

    @property
    def shutter(self) -> ViewsShutter:
        """Of the mapping views, as the map is made with it."""
        readout_s = self._intrinsics.readout_s if self._intrinsics else 0.0
        return ViewsShutter(self._velocities_v6, readout_s)

    def of_map(self, scene_map: SceneMap) -> SceneMap:
        """The map with the corrections that it is made with."""
        return scene_map.with_metadata(
            calibration=self.correction, intrinsics=self.intrinsics,
            readout_s=self.shutter.readout_s,
        )  # fmt: skip

    def base_from_camera(self, described: Pose) -> Pose:
        """Of the map, from what the robot's description says."""
        return described @ self.correction.pose if self.correction else described

    def _refuse_calibration(self) -> None:
        if self._calibrate and self.why:
            raise MappingError(f"--calibrate needs poses that are refined: {self.why}")

    def of_image(self, image: PosedImage) -> PosedImage:
        """The image with the pose that the map is made with."""
        if self.trajectory is None or image.map_from_camera is None:
            return image
        pose = self.of_camera(image.drive, image.stamp_ns, image.map_from_camera)
        return replace(image, map_from_camera=pose)

    def of_camera(self, drive: int, stamp_ns: int, recorded: Pose) -> Pose:
        """map_from_camera, as the map is made with it.

        recorded: the same as recorded.
        """
        if self.trajectory is None:
            return recorded
        return self.trajectory.pose(drive, stamp_ns, self._corrected(drive, stamp_ns, recorded))

    def _corrected(self, drive: int, stamp_ns: int, recorded: Pose) -> Pose:
        """By the mount and the stamps that were found, which is where the camera was either way."""
        correction = self.refined.findings.correction if self.refined else None
        if correction is None:
            return recorded
        try:
            at_ns = correction.exposure_ns(stamp_ns)
            recorded = self._reader.drives[drive].map_from_camera(at_ns)
        except TransformError:
            pass  # where the recording begins or ends
        return recorded @ correction.pose

    def as_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        sentences: list[str] = []
        if self.refined is None:
            told: dict[str, Any] = {"refined": False, "why": self.why}
        else:
            told = {"refined": True, **findings_json(self.refined.findings, self.places)}
            sentences = self.refined.findings.sentences()
        intrinsics = None
        if self._intrinsics:
            intrinsics = {**self._intrinsics.as_json(), "applied": self.intrinsics is not None}
            sentences += filter(None, [self._intrinsics.sentence()])
        consistency = self.consistency
        if consistency and not consistency.fits:
            sentences.append(consistency.sentence())
        told["sentences"] = [*filter(None, [self._misfit, self._slight]), *sentences]
        told["consistency"] = consistency.as_json() if consistency else None
        return {**told, "intrinsics": intrinsics}

    def write(self, path: Path) -> None:
        """The refined poses of the base, where they were refined: lines
        `stamp x y z qx qy qz qw` (TUM), those of each drive after a comment with its name.
        """
        if self.refined is None:
            return
        lines, last = [], -1
        for (drive, stamp_ns), pose in zip(self.places, self.refined.map_from_camera, strict=True):
            if drive != last:
                lines.append(f"# {self._reader.names[drive]}")
                last = drive
            described = self._reader.drives[drive].info.base_from_camera
            camera_from_base = self.base_from_camera(described).inverse()
            lines.append(tum_line(stamp_ns, pose @ camera_from_base))
        write_output(path, "\n".join(lines) + "\n")
