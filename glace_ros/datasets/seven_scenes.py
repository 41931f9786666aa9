"""7-Scenes: SCENE.zip with TrainSplit.txt, TestSplit.txt and seq-01.zip, ... of frames.

The recorded poses (KinectFusion) are of the depth camera. The images are of the RGB camera beside
it, whose place is known from a calibration of another Kinect.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.datasets.archive import inside, lines_of, text_of
from glace_ros.datasets.pose_lists import image_key
from glace_ros.datasets.published import PublishedImage
from glace_ros.errors import RecordingError
from glace_ros.geometry.pose import Pose
from glace_ros.recording.scene_files import pose_of_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glace_ros.datasets.archive import Source
    from glace_ros.datasets.pose_lists import SfmCamera, SfmPoses

SCENES = ("chess", "fire", "heads", "office", "pumpkin", "redkitchen", "stairs")
FOCAL_PX = 525.0
"""Of the RGB camera, by the data set's page; the principal point is the image's centre."""

# LIRIS, https://projet.liris.cnrs.fr/voir/activities-dataset/kinect-calibration.html
RGB_FROM_DEPTH = Pose.from_matrix(
    np.array(
        [
            [0.999965180, 0.002676513, -0.007904101, -0.025558943],
            [-0.002740931, 0.999963023, -0.008150452, 0.000101096],
            [0.007881994, 0.008171833, 0.999935546, 0.002031832],
        ]
    )
)
_SPLIT_FILES = {"train": "TrainSplit.txt", "test": "TestSplit.txt"}
_COLOR, _POSE = ".color.png", ".pose.txt"


def seven_scenes_images(
    scene: Source, sfm: SfmPoses | None, scratch: Path
) -> Iterator[PublishedImage]:
    """The frames of a scene, with the recorded poses, those of the RGB camera, or with others.

    sfm: for train and test, poses by `seq-01/frame-000000`.
    """
    sequences = [
        (split, sequence)
        for split, file in _SPLIT_FILES.items()
        for sequence in _sequences(scene, file)
    ]
    pose: Pose | str
    for index, (split, name) in enumerate(sequences):
        with inside(scene, name, scratch) as sequence:
            if sequence is None:
                raise RecordingError(f"{scene.words} has neither {name} nor {name}.zip")
            colors = [file for file in sequence.files_in("") if file.endswith(_COLOR)]
            if not colors:
                raise RecordingError(f"{sequence.words} has no frames (*{_COLOR})")
            for number, color in enumerate(colors, 1):
                if sfm:
                    pose, focal_px = _of_sfm(sfm[split], f"{name}/{image_key(color)}")
                else:
                    pose, focal_px = _recorded(sequence, color)
                yield PublishedImage(
                    split, f"{name}-{color}", partial(sequence.place, color), f"{focal_px!r}\n",
                    pose, (index + number / len(colors)) / len(sequences),
                )  # fmt: skip


def _recorded(sequence: Source, color: str) -> tuple[Pose | str, float]:
    """The RGB camera's pose, or why there is none."""
    try:
        text = text_of(sequence, color.removesuffix(_COLOR) + _POSE)
        return pose_of_text(text) @ RGB_FROM_DEPTH.inverse(), FOCAL_PX
    except ValueError as error:
        return str(error), FOCAL_PX


def _of_sfm(cameras: dict[str, SfmCamera], key: str) -> tuple[Pose | str, float]:
    camera = cameras.get(key)
    if camera is None:
        return "no pose by structure from motion", FOCAL_PX
    return camera.map_from_camera, camera.focal_px


def _sequences(scene: Source, file: str) -> list[str]:
    """Names such as seq-01 of the lines 'sequence1'."""
    names = []
    for line in lines_of(scene, file):
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*sequence\s*(\d{1,4})\s*", line)
        if not match:
            raise RecordingError(f"{scene.words}/{file}: {line!r} names no sequence")
        names.append(f"seq-{int(match[1]):02d}")
    return names
