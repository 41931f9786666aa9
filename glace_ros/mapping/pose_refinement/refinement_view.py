"""What pose refinement knows of a mapping view."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose


class RecordedMotion(NamedTuple):
    """What odometry says of a camera at an exposure; as in RefinementView."""

    recorded: Pose
    base_from_camera: Pose
    stretch: int
    velocity_6: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class RefinementView:
    """One mapping image, its best patches."""

    descriptors_nC: torch.Tensor
    """Unit norm, fp16: as they are kept anyway, which on the CPU takes no memory once more."""
    pixels_n2: NDArray[np.float64]
    """Of the recorded image at working size."""
    intrinsics_4: NDArray[np.float64]
    """fx, fy, cx, cy of that image."""
    rows_px: float
    """Its height."""
    recorded: Pose
    """map_from_camera by the drive's odometry, in the frame of that."""
    base_from_camera: Pose
    """The camera on the robot."""
    stretch: int
    """Of which stretch of way it is: poses of one share one frame, and odometry leads from each
    view to the next one."""
    velocity_6: NDArray[np.float64] | None
    """Of the camera at exposure, about its own axes: rotation (rad/s), position (m/s); None where
    the recording does not tell."""

    @cached_property
    def poselib_camera(self) -> dict[str, Any]:
        """As PoseLib wants it."""
        return {
            "model": "PINHOLE",
            "width": int(2 * self.intrinsics_4[2]),
            "height": int(self.rows_px),
            "params": self.intrinsics_4.tolist(),
        }
