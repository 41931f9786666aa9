"""Camera poses as structure from motion gives them: lists with a line for each image, and NVM."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.datasets.archive import lines_of
from glace_ros.errors import RecordingError
from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from glace_ros.datasets.archive import Source

_MOST_CAMERAS = 1_000_000
"""A file that claims more is rejected."""


class SfmCamera(NamedTuple):
    """map_from_camera, a focal length in px, and VisualSFM's radial distortion (0: none)."""

    map_from_camera: Pose
    focal_px: float
    distortion: float = 0.0


SfmPoses = dict[str, dict[str, SfmCamera]]
"""For train and test, the cameras by `image_key`."""


def pose_at(
    centre_3: list[float], w_x_y_z: list[float], where: str, *, centre: bool = True
) -> Pose:
    """map_from_camera from what a list of poses gives.

    centre_3: position of the camera in the map, metres; with centre=False, that of the map's origin
        in the camera frame.
    w_x_y_z: quaternion of the rotation from map to camera.
    where: names the place in the list, for the sentence.
    centre: which of the two `centre_3` is.
    Raises RecordingError for a zero quaternion.
    """
    w, x, y, z = w_x_y_z
    try:
        camera_from_map = Pose.from_quaternion(centre_3, [x, y, z, w])
    except ValueError as error:
        raise RecordingError(f"{where}: {error}") from error
    if not centre:
        return camera_from_map.inverse()
    return Pose(camera_from_map.rotation_33.T, camera_from_map.translation_3)


def read_pose_list(source: Source, name: str) -> dict[str, SfmCamera]:
    """The lines `file qw qx qy qz tx ty tz focal`, scene to camera, of Brachmann et al., ICCV 2021
    (github.com/tsattler/visloc_pseudo_gt_limitations). Keys: `image_key` of the file.
    """
    cameras = {}
    for number, line in enumerate(lines_of(source, name), 1):
        words = line.split()
        if not words:
            continue
        where = f"{source.words}/{name}, line {number}"
        numbers = floats(words[1:], 8, where)
        pose = pose_at(numbers[4:7], numbers[:4], where, centre=False)
        cameras[image_key(words[0])] = SfmCamera(pose, numbers[7])
    return cameras


def read_nvm(source: Source, name: str) -> dict[str, SfmCamera]:
    """The cameras of the first model of a VisualSFM file. Keys: `image_key` of the file.

    Its lines are `file focal qw qx qy qz cx cy cz distortion 0`, c the camera's position.
    """
    lines = lines_of(source, name)
    where = f"{source.words}/{name}"
    if not next(lines, "").startswith("NVM_V3"):
        raise RecordingError(f"{where} is no NVM file: it does not begin with NVM_V3")
    count = next((line for line in lines if line.strip()), "")
    if not count.strip().isdecimal() or int(count) > _MOST_CAMERAS:
        raise RecordingError(f"{where} does not say how many cameras it has")
    cameras: dict[str, SfmCamera] = {}
    for number in range(int(count)):
        words = next(lines, "").split()
        of_camera = f"{where}, camera {number + 1}"
        numbers = floats(words[1:], 9, of_camera)
        pose = pose_at(numbers[5:8], numbers[1:5], of_camera)
        cameras.setdefault(image_key(words[0]), SfmCamera(pose, numbers[0], numbers[8]))
    return cameras


def image_key(name: str) -> str:
    """The path without what comes after the first dot of the file's name."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.split(".")[0]


def floats(words: list[str], count: int, where: str) -> list[float]:
    """The first so many words as numbers. RecordingError, naming `where`, where they are not."""
    try:
        numbers = [float(word) for word in words[:count]]
    except ValueError:
        numbers = []
    if len(numbers) < count or not np.isfinite(numbers).all():
        raise RecordingError(f"{where} is not a name and {count} numbers")
    return numbers
