"""A list of rooms from prepared scenes, for one map of them all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.errors import RecordingError
from glace_ros.recording.room_list import text_of_room_list
from glace_ros.recording.scene_reader import SceneReader

if TYPE_CHECKING:
    from pathlib import Path


def room_list(path: Path, scenes: list[Path]) -> str:
    """The text of a list at `path`: each scene beside its centre, the mean place of the cameras
    that it is mapped from.
    """
    centres = {}
    for scene in scenes:
        name = os.path.relpath(scene, path.parent)
        if len(name.split()) != 1:
            raise RecordingError(f"{scene} has a blank in its name, which a list of rooms cannot")
        with SceneReader(scene, "train") as reader:
            poses = [reader.map_from_camera(int(stamp)) for stamp in reader.pose_stamps_n()]
        if not poses:
            raise RecordingError(f"{scene} has no image with a pose to map from")
        centres[name] = np.mean([pose.translation_3 for pose in poses], axis=0)
    return text_of_room_list(centres)
