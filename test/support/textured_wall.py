"""A wall with a random texture, as a pinhole sees it that may move while its rows are exposed."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.geometry.rolling_shutter import CameraMotion

CAMERA = Camera(320, 240, fx_px=280.0, fy_px=290.0, cx_px=155.0, cy_px=123.0)
UPRIGHT_33 = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Of a camera that looks along the map's x."""
WALL_X_M = 2.0
_PX_BY_M = 250.0
_HALF_M = 4.0


def camera_at(y_m: float, z_m: float, x_m: float = 0.0, turned_deg=(0.0, 0.0, 0.0)) -> Pose:
    """A camera before the wall, turned about its own axes."""
    turned_33 = Rotation.from_rotvec(np.radians(turned_deg)).as_matrix()
    return Pose(UPRIGHT_33 @ turned_33, np.array([x_m, y_m, z_m]))


class Wall:
    """At x = 2 m; what it shows is the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        side = round(2 * _HALF_M * _PX_BY_M)
        texture_hw = np.zeros((side, side), np.float32)
        for sigma_px in (2.0, 4.0, 8.0):
            noise_hw = rng.normal(size=texture_hw.shape).astype(np.float32)
            texture_hw += sigma_px * cv2.GaussianBlur(noise_hw, (0, 0), sigma_px)
        self._texture_hw = np.clip(128 + 60 * texture_hw, 0, 255)

    def points(self, map_from_camera: Pose, pixels_n2: np.ndarray) -> np.ndarray:
        """What a camera sees at pixels: (n, 3) m on the wall."""
        rays_n3 = CAMERA.bearings(pixels_n2) @ map_from_camera.rotation_33.T
        centre_3 = map_from_camera.translation_3
        return centre_3 + rays_n3 * ((WALL_X_M - centre_3[0]) / rays_n3[:, :1])

    def seen_from(
        self, map_from_camera: Pose, motion: CameraMotion | None = None, readout_s: float = 0.0
    ) -> np.ndarray:
        """uint8 (240, 320). map_from_camera: when the middle row is exposed."""
        grid_hw2 = np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), axis=-1)
        at_hw2 = np.empty_like(grid_hw2, dtype=np.float32)
        for row in range(240):
            pose = map_from_camera
            if motion:
                late_s = readout_s * (row / 240 - 0.5)
                pose = pose @ moved(motion, late_s)
            at_w3 = self.points(pose, grid_hw2[row])
            at_hw2[row] = (at_w3[:, 1:] + _HALF_M) * _PX_BY_M
        grey_hw = cv2.remap(self._texture_hw, at_hw2[..., 0], at_hw2[..., 1], cv2.INTER_LINEAR)
        return np.round(grey_hw).astype(np.uint8)


def moved(motion: CameraMotion, seconds: float) -> Pose:
    """Of a camera after a time."""
    turned_33 = Rotation.from_rotvec(motion.turning_3 * seconds).as_matrix()
    return Pose(turned_33, motion.moving_3 * seconds)


def seen_by_rows(
    map_from_camera: Pose, points_n3: np.ndarray, motion: CameraMotion, readout_s: float
) -> np.ndarray:
    """Pixels (n, 2): each point by the pose at which the row was exposed that shows it.

    map_from_camera: when the middle row is exposed.
    """
    pixels_n2 = CAMERA.project(map_from_camera.inverse().transform(points_n3))
    for _ in range(20):  # which row that is, depends on where it is seen
        for number, point_3 in enumerate(points_n3):
            late_s = readout_s * (pixels_n2[number, 1] / CAMERA.height_px - 0.5)
            pose = map_from_camera @ moved(motion, late_s)
            pixels_n2[number] = CAMERA.project(pose.inverse().transform(point_3[None]))[0]
    return pixels_n2
