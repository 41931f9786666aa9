"""Rolling shutter: where a pixel would be, had all rows been exposed when the image's middle was.

The rows of most cameras are exposed one after the other. At 0.4 m/s and 17 ms from the first row to
the last the camera moves by 7 mm meanwhile, at 20 deg/s it turns by 0.3 deg, which is 3 px.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose

_LEAST_DEPTH_M = 1e-6
_SPANS_NS = ((-20_000_000, 20_000_000), (-50_000_000, 0))
"""About an exposure; the second where what comes after it is not known."""
_MOST_MPS, _MOST_RADPS = 10.0, 10.0
"""Faster, the poses jump, and the camera does something else."""


class CameraMotion(NamedTuple):
    """Of a camera at an exposure, about its own axes.

    turning_3: rad/s.
    moving_3: m/s.
    """

    turning_3: NDArray[np.float64]
    moving_3: NDArray[np.float64]

    @staticmethod
    def between(before: Pose, after: Pose, seconds: float) -> CameraMotion:
        """Of a camera that was here, and so much later there; both poses in one frame."""
        motion = before.inverse() @ after
        return CameraMotion(motion.rotation_vector_3 / seconds, motion.translation_3 / seconds)

    @staticmethod
    def at(exposed_ns: int, frame_from_camera: Callable[[int], Pose | None]) -> CameraMotion | None:
        """Of a camera whose poses about an exposure are known; None where they are not, or jump.

        frame_from_camera: its pose at a time, ns; None: unknown.
        """
        for from_ns, to_ns in _SPANS_NS:
            before = frame_from_camera(exposed_ns + from_ns)
            after = before and frame_from_camera(exposed_ns + to_ns)
            if before and after:
                motion = CameraMotion.between(before, after, 1e-9 * (to_ns - from_ns))
                return motion if motion.is_likely else None
        return None

    @property
    def is_likely(self) -> bool:
        """Whether a robot may move so."""
        turning, moving = np.linalg.norm(self.turning_3), np.linalg.norm(self.moving_3)
        return bool(turning < _MOST_RADPS and moving < _MOST_MPS)


_STILL = CameraMotion(np.zeros(3), np.zeros(3))
_OF_ROBOTS = 0.5, 0.4
"""rad/s and m/s about each axis, of a robot of which nothing else is known."""
MotionSource = Callable[[], "CameraMotion | None"]
"""Says how a camera moved at an exposure, when it is asked; None: that is not known."""


def unknown() -> CameraMotion | None:
    """Of a camera whose motion nobody knows."""
    return None


class Shutter(NamedTuple):
    """Of one image.

    motion: of its camera.
    readout_s: from the first row to the last; negative where rows are read from below.
    turning_sigma, moving_sigma: standard deviations of the motion, rad/s and m/s, about each axis.
    """

    motion: CameraMotion
    readout_s: float
    turning_sigma: float = 0.1
    moving_sigma: float = 0.1

    @staticmethod
    def of(motion: CameraMotion | None, readout_s: float) -> Shutter | None:
        """Of an image whose camera moves as odometry says, or, None, as robots do; None where all
        rows are exposed at once.
        """
        if not readout_s:
            return None
        if motion is None:
            return Shutter(_STILL, readout_s, *_OF_ROBOTS)
        return Shutter(motion, readout_s)

    def late(self, pixels_n2: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
        """How much later than the middle row those of pixels (n, 2) are exposed (n,), s.

        camera: the pinhole of the image.
        """
        return self.readout_s * (pixels_n2[:, 1] / camera.height_px - 0.5)

    def at_middle(
        self, pixels_n2: NDArray[np.float64], depth_n: NDArray[np.float64], camera: Camera
    ) -> NDArray[np.float64]:
        """What is seen at these pixels (n, 2), as it would be seen when the middle row was exposed.

        depth_n: metres along the optical axis.
        camera: the pinhole of the image.
        """
        count = len(pixels_n2)
        intrinsics_4 = np.array([camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px])
        return moved_pixels(
            pixels_n2, depth_n, np.broadcast_to(intrinsics_4, (count, 4)),
            np.broadcast_to(self.motion.turning_3, (count, 3)),
            np.broadcast_to(self.motion.moving_3, (count, 3)), self.late(pixels_n2, camera),
        )  # fmt: skip

    def as_exposed(
        self, pixels_n2: NDArray[np.float64], depth_n: NDArray[np.float64], camera: Camera
    ) -> NDArray[np.float64]:
        """The other way: where the image shows what is at these pixels when the middle row is
        exposed. To first order: within a tenth of a pixel where that moves by 10 px.
        """
        return 2.0 * pixels_n2 - self.at_middle(pixels_n2, depth_n, camera)


def moved_pixels(
    pixels_n2: NDArray[np.float64],
    depth_n: NDArray[np.float64],
    intrinsics_n4: NDArray[np.float64],
    turning_n3: NDArray[np.float64],
    moving_n3: NDArray[np.float64],
    late_n: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Where pixels (n, 2) go when their cameras are taken back by the motion of `late_n` seconds.

    depth_n: metres along the optical axis.
    intrinsics_n4: fx, fy, cx, cy.
    turning_n3, moving_n3: of each camera, as of CameraMotion.
    """
    (u_n, v_n), (fx_n, fy_n, cx_n, cy_n) = pixels_n2.T, intrinsics_n4.T
    points_n3 = np.stack([(u_n - cx_n) / fx_n, (v_n - cy_n) / fy_n, np.ones(len(u_n))], axis=1)
    points_n3 *= depth_n[:, None]
    turn_n3, move_n3 = turning_n3 * late_n[:, None], moving_n3 * late_n[:, None]
    x_n, y_n, z_n = (points_n3 + np.cross(turn_n3, points_n3) + move_n3).T
    z_n = np.where(np.abs(z_n) < _LEAST_DEPTH_M, _LEAST_DEPTH_M, z_n)
    return np.stack([fx_n * x_n / z_n + cx_n, fy_n * y_n / z_n + cy_n], axis=1)
