"""The real node in a real process, with a localizer that reads the pose out of the image's bytes.

So a test decides what "the network" finds in each image, and how long it takes.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from glace_ros.localization.localizer import PoseEstimate, Rejection
from glace_ros.nodes.loaded_map import LoadedMap
from glace_ros.nodes.localize import main
from glace_ros.pose import Pose

HEIGHT, WIDTH = 24, 32
POSE, REJECT, RAISE, SLEEP = 0.0, 1.0, 2.0, 3.0
SLEEP_S = 3.0
COVARIANCE_66 = np.diag([1e-4, 4e-4, 9e-4, 1e-5, 4e-5, 9e-5])


def image_bytes(map_from_camera: Pose, what: float = POSE) -> bytes:
    """An rgb8 image of WIDTH x HEIGHT that says what the localizer shall do with it."""
    numbers = np.array([what, *map_from_camera.translation_3, *map_from_camera.quaternion_xyzw])
    return numbers.tobytes().ljust(HEIGHT * WIDTH * 3, b"\0")


class FakeLocalizer:
    def localize(self, image_rgb_hwc, camera):
        assert image_rgb_hwc.shape == (camera.height_px, camera.width_px, 3)
        what, x, y, z, *quaternion_xyzw = np.frombuffer(image_rgb_hwc.tobytes()[:64])
        if what == RAISE:
            raise RuntimeError("a bug in the network")
        if what == REJECT:
            return Rejection("9 of 1000 points agree", 9, 1000, 0.01)
        if what == SLEEP:
            time.sleep(SLEEP_S)
        pose = Pose.from_quaternion([x, y, z], quaternion_xyzw)
        return PoseEstimate(
            pose, COVARIANCE_66, 400, 1000, 1.5, 0.01, np.zeros((0, 2)), np.zeros((0, 3))
        )


if __name__ == "__main__":
    fake_map = LoadedMap(FakeLocalizer(), "fake.glace 01234567", "odom", "base_link")
    sys.exit(main(read=lambda parameters: lambda: fake_map))
