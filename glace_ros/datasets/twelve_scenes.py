"""12-Scenes: apt1.zip and so on, with ROOM/{info.txt, split.txt, data/frame-*} for each room."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.datasets.archive import inside, text_of
from glace_ros.datasets.pose_lists import image_key
from glace_ros.datasets.published import PublishedImage
from glace_ros.errors import RecordingError
from glace_ros.geometry.camera import Camera
from glace_ros.recording.scene_files import pose_of_text, text_of_calibration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from glace_ros.datasets.archive import Source
    from glace_ros.datasets.pose_lists import SfmPoses
    from glace_ros.geometry.pose import Pose

SCENES = {
    "apt1": ("kitchen", "living"),
    "apt2": ("bed", "kitchen", "living", "luke"),
    "office1": ("gates362", "gates381", "lounge", "manolis"),
    "office2": ("5a", "5b"),
}
_COLOR, _POSE = ".color.jpg", ".pose.txt"


def twelve_scenes_images(
    room: Source, sfm: SfmPoses | None, scratch: Path
) -> Iterator[PublishedImage]:
    """The frames of a room: its first sequence is to test with, the others are to map from.

    sfm: for train and test, poses by `data/frame-000000`, used instead of the recorded ones.
    """
    recorded = _calibration(room)
    test_frames = _test_frames(room)
    with inside(room, "data", scratch) as data:
        if data is None:
            raise RecordingError(f"{room.words} has neither data nor data.zip")
        colors = [file for file in data.files_in("") if file.endswith(_COLOR)]
        if test_frames >= len(colors):
            raise RecordingError(
                f"{data.words} has {len(colors)} frames (*{_COLOR}), but the first sequence alone "
                f"has {test_frames} by split.txt"
            )
        for index, color in enumerate(colors):
            split = "test" if index < test_frames else "train"
            camera = sfm[split].get(f"data/{image_key(color)}") if sfm else None
            calibration = f"{camera.focal_px!r}\n" if camera else recorded
            pose: Pose | str
            if sfm:
                pose = camera.map_from_camera if camera else "no pose by structure from motion"
            else:
                pose = _pose(data, color)
            yield PublishedImage(
                split, color, partial(data.place, color), calibration, pose,
                (index + 1) / len(colors),
            )  # fmt: skip


def _pose(data: Source, color: str) -> Pose | str:
    """The pose, or why there is none: some are infinite."""
    try:
        return pose_of_text(text_of(data, color.removesuffix(_COLOR) + _POSE))
    except ValueError as error:
        return str(error)


def _calibration(room: Source) -> str:
    """The colour camera's, as its owners give it: a 4x4 matrix row by row."""
    match = re.search(r"^m_calibrationColorIntrinsic\s*=(.*)$", text_of(room, "info.txt"), re.M)
    try:
        k_44 = np.array([float(word) for word in match[1].split()] if match else []).reshape(4, 4)
        centre = k_44[0, 2] - 0.5, k_44[1, 2] - 0.5
        size = round(2 * k_44[0, 2]), round(2 * k_44[1, 2])
        return text_of_calibration(Camera(*size, k_44[0, 0], k_44[1, 1], *centre))
    except (ValueError, OverflowError) as error:
        raise RecordingError(
            f"{room.words}/info.txt has no camera matrix m_calibrationColorIntrinsic"
        ) from error


def _test_frames(room: Source) -> int:
    """Of lines such as 'sequence0 [frames=357] [start=0 ; end=356]', the first one's frames."""
    match = re.match(r"\s*sequence0\s*\[frames=(\d{1,7})\]", text_of(room, "split.txt"))
    if not match:
        raise RecordingError(f"{room.words}/split.txt does not say how many frames sequence0 has")
    return int(match[1])
