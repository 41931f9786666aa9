"""What pose refinement found: poses, and what it says of the odometry."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from glace_ros.geometry.mount_correction import MountCorrection
from glace_ros.geometry.pose import Pose, interpolate, stack
from glace_ros.mapping.pose_refinement.pose_check import PoseCheck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class RefinementFindings:
    """What was found on the way, for people and for `--json`."""

    loops_found: int
    """Views that saw what another, much earlier or of another drive, saw."""
    loops: list[tuple[int, int]]
    """Those that fit, as (first, second) view."""
    loops_between_drives: int
    """How many of these are of two drives."""
    way_m: float
    """Driven, by odometry."""
    drift_ratio: float | None
    """Metres that odometry is off by for each metre of way between the ends of a loop, the median;
    None where no loop closes."""
    drift_deg_per_m: float | None
    """The same of the orientation."""
    moved_median_m: float
    """How far poses were moved."""
    moved_most: list[tuple[int, float, float]]
    """The worst corrections, as (view, metres, degrees); apart from each other."""
    rotation_noise_deg: float
    """Standard deviation of odometry's rotation after a metre of way, as seen here."""
    position_noise_m: float
    """The same of its position."""
    readout_ms: float
    """Of the rolling shutter, from the first row to the last; 0: none was seen."""
    reprojection_px: float
    """Median distance from a keypoint to its point, in the end."""
    mount_rotation_deg: list[float] = field(default_factory=lambda: [0.0] * 3)
    """The camera's true mount in its recorded frame, as a rotation vector about its axes."""
    mount_rotation_sigma_deg: list[float] = field(default_factory=lambda: [0.0] * 3)
    """Its standard deviations; 0 where nothing is known of it."""
    mount_translation_m: list[float] = field(default_factory=lambda: [0.0] * 3)
    """The same of its position."""
    mount_translation_sigma_m: list[float] = field(default_factory=lambda: [0.0] * 3)
    """Its standard deviations."""
    time_offset_ms: float = 0.0
    """Odometry at stamp + offset is that of the exposure; negative: images are stamped late."""
    time_offset_sigma_ms: float = 0.0
    """Its standard deviation."""
    miscalibrated: list[str] = field(default_factory=list)
    """What of rotation, translation and time is wrong by more than chance explains."""

    @property
    def correction(self) -> MountCorrection | None:
        """What a calibrated map keeps; None where mount and stamps are right."""
        if not self.miscalibrated:
            return None
        turned_3 = np.radians(self.mount_rotation_deg)
        pose = Pose.from_rotation_vector(self.mount_translation_m, turned_3)
        return MountCorrection.of(pose, 1e-3 * self.time_offset_ms)

    def sentences(self) -> list[str]:
        """What a user should know, most important first."""
        moved = f"poses were moved by {100 * self.moved_median_m:.0f} cm (median)"
        if self.moved_most:
            _, metres, degrees = self.moved_most[0]
            moved += f", at most by {100 * metres:.0f} cm and {degrees:.1f} deg"
        said = [f"poses refined: {len(self.loops)} loops over {self.way_m:.0f} m; {moved}"]
        if self.drift_ratio is None:
            said[0] = f"poses refined over {self.way_m:.0f} m; {moved}"
            said.append(
                "no loop closes (no place was passed twice in the same view): drift between "
                "distant places could not be corrected"
            )
        else:
            said.append(
                f"odometry drifts by {100 * self.drift_ratio:.1f} cm and "
                f"{self.drift_deg_per_m:.2f} deg for each metre of way (median over the loops)"
            )
        if out := self.loops_found - len(self.loops):
            said.append(f"{out} of {self.loops_found} loops contradict the others, left out")
        if abs(self.readout_ms) > 1:
            said.append(
                f"the camera has a rolling shutter of about {abs(self.readout_ms):.0f} ms, which "
                "was taken into account"
            )
        return said + self._of_calibration()

    def _of_calibration(self) -> list[str]:
        said = []
        if {"rotation", "translation"} & set(self.miscalibrated):
            degrees = float(np.linalg.norm(self.mount_rotation_deg))
            turn = " ".join(f"{value:+.1f}" for value in self.mount_rotation_deg)
            move = " ".join(f"{100 * value:+.1f}" for value in self.mount_translation_m)
            said.append(
                f"the camera's mount differs from the recorded one by {degrees:.1f} deg and "
                f"{100 * float(np.linalg.norm(self.mount_translation_m)):.1f} cm (rotation "
                f"vector {turn} deg, position {move} cm, in the camera's axes); --calibrate makes "
                "the map with what was found; better correct the robot's description"
            )
        if "time" in self.miscalibrated:
            late = "late" if self.time_offset_ms < 0 else "early"
            said.append(
                f"images are stamped {abs(self.time_offset_ms):.0f} ms {late}, by odometry's clock "
                f"(+-{self.time_offset_sigma_ms:.0f} ms); --calibrate makes the map with that"
            )
        return said


@dataclass(frozen=True, eq=False)
class RefinedPoses:
    """map_from_camera of all views, and what was found on the way to them."""

    map_from_camera: list[Pose]
    findings: RefinementFindings
    check: PoseCheck
    """Of these poses."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a file of unfinished work."""
        text = bytearray(json.dumps(asdict(self.findings)).encode())
        return {
            "map_from_camera_v34": torch.from_numpy(stack(self.map_from_camera)),
            "findings": torch.frombuffer(text, dtype=torch.uint8),
            **self.check.tensors(),
        }

    @staticmethod
    def of(tensors: dict[str, torch.Tensor]) -> RefinedPoses:
        """What `tensors` gave."""
        matrices_v34 = tensors["map_from_camera_v34"].numpy()
        found = json.loads(tensors["findings"].numpy().tobytes())
        found["loops"] = [(first, second) for first, second in found["loops"]]
        found["moved_most"] = [(view, metres, deg) for view, metres, deg in found["moved_most"]]
        return RefinedPoses(
            [Pose(matrix_34[:, :3], matrix_34[:, 3]) for matrix_34 in matrices_v34],
            RefinementFindings(**found),
            PoseCheck.of(tensors),
        )


class _Part(NamedTuple):
    """The views of a drive between two jumps of its poses, in order of time."""

    begin_ns: int
    stamps_v: NDArray[np.int64]
    recorded: list[Pose]
    refined: list[Pose]


class RefinedTrajectory:
    """Takes recorded poses at any time to where refinement puts them."""

    def __init__(
        self,
        places: Sequence[tuple[int, int]],
        parts: Sequence[int],
        begins_ns: Sequence[int],
        recorded: Sequence[Pose],
        refined: Sequence[Pose],
    ) -> None:
        """Of all mapping views.

        places: (drive, stamp in ns) of each.
        parts: which part of its drive, between two jumps of its poses, each is of; those of one
            part follow each other.
        begins_ns: of each part: the stamp of the first pose after the jump.
        recorded, refined: map_from_camera of each.
        """
        self._of_drive: dict[int, list[_Part]] = {}
        numbers = np.asarray(parts)
        for number in dict.fromkeys(parts):
            views = np.flatnonzero(numbers == number).tolist()
            stamps_v = np.array([places[view][1] for view in views], np.int64)
            part = _Part(
                begins_ns[number], stamps_v, [recorded[v] for v in views],
                [refined[v] for v in views],
            )  # fmt: skip
            self._of_drive.setdefault(places[views[0]][0], []).append(part)

    def pose(self, drive: int, stamp_ns: int, recorded: Pose) -> Pose:
        """map_from_camera, refined: between the corrections of the views before and after.

        recorded: the same by odometry.
        """
        parts = self._of_drive[drive]
        begun = [part for part in parts if part.begin_ns <= stamp_ns]
        part = begun[-1] if begun else parts[0]
        after = int(np.searchsorted(part.stamps_v, stamp_ns))
        before = max(after - 1, 0)
        after = min(after, len(part.stamps_v) - 1)
        by_before, by_after = (
            part.refined[view] @ part.recorded[view].inverse() @ recorded
            for view in (before, after)
        )
        span_ns = int(part.stamps_v[after] - part.stamps_v[before])
        if not span_ns:
            return by_after
        return interpolate(by_before, by_after, (stamp_ns - int(part.stamps_v[before])) / span_ns)


def findings_json(
    findings: RefinementFindings, places: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """As `--json` has them: views by their drive and stamp.

    places: (drive, stamp in ns) of each view.
    """
    values = asdict(findings)
    values["loops"] = [[list(places[a]), list(places[b])] for a, b in findings.loops]
    values["moved_most"] = [
        {"drive": places[view][0], "stamp_ns": places[view][1], "m": metres, "deg": degrees}
        for view, metres, degrees in findings.moved_most
    ]
    return values
