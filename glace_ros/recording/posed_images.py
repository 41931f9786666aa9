"""What a recording yields: images with the pose at which they were taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.geometry.rolling_shutter import CameraMotion


@dataclass(frozen=True, eq=False)
class PosedImage:
    """One image of a recording, undistorted."""

    stamp_ns: int
    """When it was exposed."""
    image_rgb_hwc: NDArray[np.uint8]
    """(height, width, 3)."""
    camera: Camera
    """A pinhole, of the undistorted image."""
    map_from_camera: Pose | None
    """Optical axes (z forward); None where the recording has no pose at `stamp_ns`. Such images
    are only yielded when asked for.
    """
    drive: int = 0
    """Which of several recordings it is from; the poses of one drive share one frame."""
    motion: CameraMotion | None = None
    """Of the camera at `stamp_ns`, as the recorded poses have it; None where they do not tell."""

    def moved(self) -> CameraMotion | None:
        """`motion`, as a MotionSource."""
        return self.motion
