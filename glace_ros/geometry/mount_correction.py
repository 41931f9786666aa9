"""What is wrong with a robot's description of its camera, as a map keeps it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glace_ros.geometry.pose import Pose


@dataclass(frozen=True)
class MountCorrection:
    """Of the camera that a map was recorded with; a map has none unless it was made with
    `--calibrate`.
    """

    described_from_true: tuple[float, ...]
    """The camera's pose in its frame of /tf_static, as x, y, z (m), qx, qy, qz, qw."""
    time_offset_s: float
    """Odometry at stamp + offset is that of the exposure; negative: images are stamped late."""

    @staticmethod
    def of(described_from_true: Pose, time_offset_s: float) -> MountCorrection:
        """From the pose itself."""
        numbers_7 = [*described_from_true.translation_3, *described_from_true.quaternion_xyzw]
        return MountCorrection(tuple(float(number) for number in numbers_7), time_offset_s)

    @staticmethod
    def from_header(fields: dict[str, object]) -> MountCorrection:
        """Of a map file's. Raises whatever wrong fields make Python raise, or ValueError."""
        correction = MountCorrection(**fields)  # type: ignore[arg-type]
        numbers_7 = tuple(float(number) for number in correction.described_from_true)
        offset_s = float(correction.time_offset_s)
        if len(numbers_7) != 7 or not np.isfinite(offset_s):
            raise ValueError("its calibration is not seven numbers and a time")
        Pose.from_quaternion(numbers_7[:3], numbers_7[3:])
        return MountCorrection(numbers_7, offset_s)

    @property
    def pose(self) -> Pose:
        """described_from_true: base_from_camera is the described one times this."""
        return Pose.from_quaternion(self.described_from_true[:3], self.described_from_true[3:])

    def exposure_ns(self, stamp_ns: int) -> int:
        """When odometry was where the image saw it, of an image's stamp."""
        return stamp_ns + round(1e9 * self.time_offset_s)
