"""Cambridge Landmarks: SCENE.zip with dataset_train.txt, dataset_test.txt, reconstruction.nvm and
the images of seq1 and so on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.datasets.archive import lines_of
from glace_ros.datasets.pose_lists import floats, image_key, pose_at, read_nvm
from glace_ros.datasets.published import PublishedImage
from glace_ros.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glace_ros.datasets.archive import Source
    from glace_ros.datasets.pose_lists import SfmCamera
    from glace_ros.geometry.pose import Pose

SCENES = ("KingsCollege", "OldHospital", "ShopFacade", "StMarysChurch", "GreatCourt")
_HEADER_LINES = 3
"""Of the lists of images."""
_FARTHEST_M = 10_000.0
"""Images from farther off the origin are left out."""


def cambridge_images(scene: Source) -> Iterator[PublishedImage]:
    """The images of both lists: poses of the lists, focal lengths of the reconstruction, whose
    radial distortion nobody uses on these images. What the reconstruction lacks is left out.
    """
    cameras = read_nvm(scene, "reconstruction.nvm")
    listed = [
        (split, name, pose)
        for split in ("train", "test")
        for name, pose in _listed(scene, f"dataset_{split}.txt")
    ]
    for number, (split, name, pose) in enumerate(listed, 1):
        camera = cameras.get(image_key(name))
        focal_px = camera.focal_px if camera else 0.0
        yield PublishedImage(
            split, name.replace("/", "_"), partial(scene.place, name), f"{focal_px!r}\n",
            _why_left_out(camera, pose) or pose, number / len(listed),
        )  # fmt: skip


def _why_left_out(camera: SfmCamera | None, pose: Pose) -> str:
    if camera is None:
        return "not in reconstruction.nvm"
    if np.linalg.norm(pose.translation_3) > _FARTHEST_M:
        return "over 10 km away"
    return ""


def _listed(scene: Source, name: str) -> Iterator[tuple[str, Pose]]:
    """Of the lines `file x y z qw qx qy qz`: position of the camera, rotation scene to camera."""
    for number, line in enumerate(lines_of(scene, name), 1):
        if number <= _HEADER_LINES or not line.strip():
            continue
        words = line.split()
        where = f"{scene.words}/{name}, line {number}"
        numbers = floats(words[1:], 7, where)
        if not scene.has(words[0]):
            raise RecordingError(f"{where} names {words[0]}, which is missing")
        yield words[0], pose_at(numbers[:3], numbers[3:], where)
