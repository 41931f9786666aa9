"""What is wrong with a camera_info, as a map keeps it."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera

_MOST = 0.2
"""A focal length that is off by a larger ratio is no small error of a calibration."""
_SAME = 1e-4
"""Ratio within which the intrinsics of two images are of one calibration, whatever their size."""


@dataclass(frozen=True)
class IntrinsicsCorrection:
    """Of the undistorted images of the camera that a map was recorded with."""

    focal_x: float
    """True fx by recorded, less 1."""
    focal_y: float
    """The same of fy."""
    centre_x: float
    """True less recorded cx, in (recorded) focal lengths: the same for an image of any size."""
    centre_y: float
    """The same of cy."""

    @staticmethod
    def from_header(fields: dict[str, object]) -> IntrinsicsCorrection:
        """Of a map file's. Raises whatever wrong fields make Python raise, or ValueError."""
        correction = IntrinsicsCorrection(**fields)  # type: ignore[arg-type]
        numbers = [float(number) for number in astuple(correction)]
        if not np.all(np.abs(numbers) < _MOST):
            raise ValueError("its correction of the intrinsics is not four small numbers")
        return IntrinsicsCorrection(*numbers)

    def corrected_n4(self, intrinsics_n4: NDArray[np.float64]) -> NDArray[np.float64]:
        """fx, fy, cx, cy of undistorted images (..., 4), from the recorded ones."""
        focal_n2, centre_n2 = intrinsics_n4[..., :2], intrinsics_n4[..., 2:]
        return np.concatenate([
            focal_n2 * (1.0 + np.array([self.focal_x, self.focal_y])),
            centre_n2 + focal_n2 * [self.centre_x, self.centre_y],
        ], axis=-1)  # fmt: skip

    def of(self, pinhole: Camera) -> Camera:
        """The true pinhole, from the recorded one."""
        recorded_4 = np.array([pinhole.fx_px, pinhole.fy_px, pinhole.cx_px, pinhole.cy_px])
        fx, fy, cx, cy = self.corrected_n4(recorded_4).tolist()
        return replace(pinhole, fx_px=fx, fy_px=fy, cx_px=cx, cy_px=cy)


def is_same_calibration(camera: Camera, other: Camera) -> bool:
    """Whether images of both, undistorted and maybe resized, have the same intrinsics."""
    resized = other.scaled_to(camera.width_px, camera.height_px)
    differences = [
        (camera.fx_px - resized.fx_px) / camera.fx_px,
        (camera.fy_px - resized.fy_px) / camera.fy_px,
        (camera.cx_px - resized.cx_px) / camera.fx_px,
        (camera.cy_px - resized.cy_px) / camera.fy_px,
    ]
    return bool(np.all(np.abs(differences) < _SAME))
