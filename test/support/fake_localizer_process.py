"""The real node in a real process, with a localizer that reads the pose out of the image's bytes.

So a test decides what "the network" finds in each image, and how long it takes. The map's name
decides what becomes of it: see `read`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import Event

import numpy as np

from glace_ros.commands.localize import main
from glace_ros.errors import MapFileError, WeightsError
from glace_ros.geometry.pose import Pose
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.node.localizing import localizing_thread
from glace_ros.node.localizing.loaded_map import CheckedMap, LoadedMap
from glace_ros.rejection import Rejection, RejectionCode

HEIGHT, WIDTH = 24, 32
POSE, REJECT, RAISE, SLEEP, FULL, BREAK, HANG = map(float, range(7))
SLEEP_S = 3.0
ASLEEP, AWAKE = "the fake localizer sleeps", "the fake localizer is awake"
COVARIANCE_66 = np.diag([1e-4, 4e-4, 9e-4, 1e-5, 4e-5, 9e-5])
PIXELS_M2 = np.array([[4.0, 14.0], [12.0, 14.0], [20.0, 14.0], [28.0, 14.0]])
ERRORS_M = np.array([0.0, 2.0, 5.0, 10.0])  # px, by which the points' v is too large
VIEWS_V3 = np.array([[1.0, 2.0, 0.5], [3.0, 4.0, 0.5]])
OTHER_MAP_M = 100.0  # by which another map's poses are moved along x


def image_bytes(map_from_camera: Pose, what: float = POSE) -> bytes:
    """An rgb8 image of WIDTH x HEIGHT that says what the localizer shall do with it."""
    numbers = np.array([what, *map_from_camera.translation_3, *map_from_camera.quaternion_xyzw])
    return numbers.tobytes().ljust(HEIGHT * WIDTH * 3, b"\0")


class FakeLocalizer:
    def __init__(self, moved_m=0.0):
        self._moved_3 = np.array([moved_m, 0.0, 0.0])
        self._broken = False

    def still_computes(self):
        return not self._broken

    def localize(self, image_rgb_hwc, camera, motion=None):
        assert image_rgb_hwc.shape == (camera.height_px, camera.width_px, 3)
        what, x, y, z, *quaternion_xyzw = np.frombuffer(image_rgb_hwc.tobytes()[:64])
        self._broken = self._broken or what == BREAK
        if self._broken:
            raise RuntimeError(
                "CUDA error: device-side assert triggered\nCompile with TORCH_USE..."
            )
        if what == FULL:
            import torch  # at last: the process comes up without it

            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        if what == RAISE:
            raise RuntimeError("a bug in the network")
        if what == REJECT:
            return Rejection(
                RejectionCode.FEW_INLIERS, inliers=9, points=1000, needed_inliers=50, seconds=0.01
            )
        if what == SLEEP:
            print(ASLEEP, flush=True)  # so that a test need not guess when it has begun
            time.sleep(SLEEP_S)
            print(AWAKE, flush=True)
        if what == HANG:
            print("the fake localizer hangs", flush=True)
            Event().wait()
        pose = Pose.from_quaternion(np.array([x, y, z]) + self._moved_3, quaternion_xyzw)
        return PoseEstimate(
            pose, COVARIANCE_66, 400, 1000, 1.5, 0.01, PIXELS_M2,
            points_seen_from(pose, camera), camera,
        )  # fmt: skip


def points_seen_from(map_from_camera, camera):
    """2 m ahead of the camera, ERRORS_M below PIXELS_M2."""
    seen_m2 = PIXELS_M2 + np.stack([0.0 * ERRORS_M, ERRORS_M], axis=1)
    rays_m2 = (seen_m2 - [camera.cx_px, camera.cy_px]) / [camera.fx_px, camera.fy_px]
    return map_from_camera.transform(2.0 * np.column_stack([rays_m2, np.ones(len(rays_m2))]))


def fake_map(name, moved_m=0.0, views_v3=VIEWS_V3):
    localizer = FakeLocalizer(moved_m)
    return LoadedMap(
        localizer, name, "odom", "base_link",
        views_v3=views_v3, still_computes=localizer.still_computes,
    )  # fmt: skip


def twin_rooms_map(window, weak):
    """Two rooms that are the same in front of the robot; images say where they are of. REJECT is a
    blank wall.

    weak: each image is too weak to give a pose alone.
    """
    sys.path.append(str(Path(__file__).parents[1]))
    from support import twin_rooms

    from glace_ros.localization.image_window_config import WindowConfig
    from glace_ros.localization.window_localizer import WindowLocalizer

    rooms = twin_rooms.TwinRooms(landmarks=0.35 if weak else 1.0)

    def regress(image_rgb_hwc, camera, motion=None):
        what, x, y, z, *quaternion_xyzw = np.frombuffer(image_rgb_hwc.tobytes()[:64])
        map_from_camera = Pose.from_quaternion([x, y, z], quaternion_xyzw)
        map_from_base = map_from_camera @ twin_rooms.BASE_FROM_CAMERA.inverse()
        room = round(z / twin_rooms.APART_M)
        rooms.show(map_from_base, room, known=45 if weak else 0, blank=what == REJECT)
        return rooms._shown

    rooms.localizer.regress = regress
    config = WindowConfig(window=window)
    return LoadedMap(
        rooms.localizer, "twins.glace 76543210", "map", "base_footprint",
        new_window=(lambda: WindowLocalizer(rooms.localizer, config)) if window.images else None,
    )  # fmt: skip


def read(parameters):
    """`bad` is no map, `broken` turns out to be none, `slow` takes its time, `blind` has no views.
    `twins` and `weak_twins` are twin rooms with image windows.
    `other`, `slow` and `blind` are other maps than all the rest, of which `copy` has another name.
    With `impatient` the localizer is soon taken for stuck. A file, where there is one, decides by
    its bytes whether it is the same.
    """
    path = Path(parameters.map)
    name = path.stem
    if name == "impatient":
        localizing_thread.STUCK_S, localizing_thread.LOST_S = 1, 6

    def make_ready():
        if name == "broken":
            raise WeightsError("the map was made with other weights")
        if name == "buggy":
            raise RuntimeError("out of memory")
        if name == "slow":
            time.sleep(SLEEP_S)
        if name in ("twins", "weak_twins"):
            return twin_rooms_map(parameters.window, weak=name == "weak_twins")
        if name in ("other", "slow", "blind"):
            return fake_map(
                f"{name}.glace 89abcdef", OTHER_MAP_M, None if name == "blind" else VIEWS_V3
            )
        return fake_map(f"{'copy' if name == 'copy' else 'fake'}.glace 01234567")

    if name == "bad":
        raise MapFileError(f"{parameters.map} is not a whole .glace map")
    return CheckedMap((name, path.read_bytes() if path.is_file() else b""), make_ready)


if __name__ == "__main__":
    sys.exit(main(read=read))
