"""Two rooms, one above the other, whose walls are the same in front, and each its own behind; a
robot turns in one.
"""

from __future__ import annotations

import numpy as np
import torch
from support.core_scenes import CAMERA, tiny_map, unit_rows

from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.pose import Pose
from glace_ros.localization.image_window import ImageMotion
from glace_ros.localization.image_window_config import WindowConfig
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.localization.pose_estimate import Regression
from glace_ros.localization.window_localizer import WindowLocalizer
from glace_ros.maps.landmarks import Landmarks
from glace_ros.maps.scene_map import SceneMap

APART_M = 30.0
BASE_FROM_CAMERA = Pose(
    np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([0.1, 0.0, 0.4])
)
WORKING = CAMERA.scaled_to(128, 96)
IMAGE = np.zeros((96, 128, 3), np.uint8)
CORNERS = 1200
MAP_FROM_ODOM = Pose.from_planar(1.0, -2.0, 0.4)


class TwinRooms:
    """A map of both, whose head knows nothing unless it is told."""

    def __init__(self, landmarks: float = 1.0, config: WindowConfig | None = None) -> None:
        """landmarks: ratio of the corners that the map keeps."""
        self.rng = rng = np.random.default_rng(0)
        azimuth_n = rng.uniform(-np.pi, np.pi, CORNERS)
        radius_n = rng.uniform(3.0, 5.0, CORNERS)
        self.corners_n3 = np.column_stack(
            [
                radius_n * np.cos(azimuth_n),
                radius_n * np.sin(azimuth_n),
                rng.uniform(-2, 2, CORNERS),
            ]
        )
        alike_nC = unit_rows(rng, CORNERS, 64)
        in_front_n = np.abs(azimuth_n) < np.pi / 2
        self.descriptors = [
            np.where(in_front_n[:, None], alike_nC, unit_rows(rng, CORNERS, 64)) for _ in range(2)
        ]
        kept = round(landmarks * CORNERS)
        offset_3 = np.array([0.0, 0.0, APART_M])
        points_l3 = np.concatenate([self.corners_n3[:kept], self.corners_n3[:kept] + offset_3])
        toward_n3 = -self.corners_n3[:kept]
        self.landmarks = Landmarks(
            torch.from_numpy(points_l3),
            torch.from_numpy(np.concatenate([own_nC[:kept] for own_nC in self.descriptors])),
            torch.from_numpy(np.concatenate([toward_n3, toward_n3])),
        )
        plain = tiny_map(
            local_encoder_hash=XFeatEncoder(torch.device("cpu")).weights_hash, max_rival=0.8
        )
        scene_map = SceneMap(plain.metadata, plain.heads, None, self.landmarks)
        self.localizer = Localizer(scene_map, LocalizerConfig(), "cpu")
        self.localizer.regress = lambda image, camera, motion=None: self._shown
        self.windows = WindowLocalizer(self.localizer, config)
        self._shown: Regression | None = None

    def base(self, yaw_rad: float, room: int = 0) -> Pose:
        """map_from_base of the robot in a room, turned: 0 is in front."""
        return Pose.from_rotation_vector([0.0, 0.0, APART_M * room], [0.0, 0.0, yaw_rad])

    def show(self, map_from_base: Pose, room: int = 0, known: int = 0, blank: bool = False) -> None:
        """What the next image is of.

        known: so many of its features the head puts right, the others anywhere.
        blank: there are hardly any features.
        """
        camera_from_room = (map_from_base @ BASE_FROM_CAMERA).inverse()
        points_n3 = self.corners_n3 + [0.0, 0.0, APART_M * room]
        in_camera_n3 = camera_from_room.transform(points_n3)
        pixels_n2 = WORKING.project(np.where(in_camera_n3[:, 2:] > 0.1, in_camera_n3, 1.0))
        seen_n = (
            (in_camera_n3[:, 2] > 0.1)
            & (pixels_n2 > 0).all(axis=1)
            & (pixels_n2 < [127, 95]).all(axis=1)
        )
        seen_n[np.flatnonzero(seen_n)[5 if blank else CORNERS :]] = False
        count = int(seen_n.sum())
        told_n3 = self.rng.uniform(-9, 9, (count, 3))
        told_n3[:known] = points_n3[seen_n][:known]
        noise_n2 = self.rng.normal(scale=0.2, size=(count, 2))
        features = LocalFeatures(
            torch.from_numpy(self.descriptors[room][seen_n]).float(),
            torch.from_numpy(pixels_n2[seen_n] + noise_n2).float(),
            torch.ones(count),
        )
        self._shown = Regression(features, [told_n3], WORKING)

    def look(self, yaw_rad, seconds, room=0, odom_from_base=None, tracking=False, **shown):
        """An image of the robot turned so, through the window. odom_from_base: None: as it is."""
        map_from_base = self.base(yaw_rad, room)
        self.show(map_from_base, room, **shown)
        if odom_from_base is None:
            odom_from_base = MAP_FROM_ODOM.inverse() @ self.base(yaw_rad)
        motion = ImageMotion(round(1e9 * (100 + seconds)), odom_from_base, BASE_FROM_CAMERA)
        return self.windows.localize(IMAGE, CAMERA, motion, tracking=tracking)

    def off_m(self, result, yaw_rad: float, room: int = 0) -> float:
        """Of a pose."""
        truth = self.base(yaw_rad, room) @ BASE_FROM_CAMERA
        return result.map_from_camera.distance_m(truth)
