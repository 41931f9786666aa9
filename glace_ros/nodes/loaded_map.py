"""The map that the node works with, ready to localize."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from glace_ros.errors import MapFileError
from glace_ros.localization.localizer import Localizer
from glace_ros.scene.scene_map import SceneMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.camera import Camera
    from glace_ros.localization.localizer import PoseEstimate, Rejection
    from glace_ros.nodes.parameters import LocalizeParameters


class LocalizesImages(Protocol):
    """What the node needs of a Localizer."""

    def localize(
        self, image_rgb_hwc: NDArray[np.uint8], camera: Camera
    ) -> PoseEstimate | Rejection:
        """The camera's pose in the map."""


@dataclass(frozen=True)
class LoadedMap:
    """localizer: ready for its first image. map_id: file name and hash of the map's contents.

    map_frame, base_frame: what the recording called the frame that its poses are in, and the robot.
    """

    localizer: LocalizesImages
    map_id: str
    map_frame: str
    base_frame: str


def newest_map_path() -> Path:
    """Where `build_map` without --output leaves a link to its newest map."""
    ros_home = os.environ.get("ROS_HOME") or "~/.ros"
    return Path(ros_home).expanduser() / "glace" / "latest.glace"


def load_map(parameters: LocalizeParameters) -> LoadedMap:
    """Reads the map, and localizes one blank image, so that the first real one is not slow.

    Raises MapFileError, WeightsError, or GlaceError for a device that is not there.
    """
    path = Path(parameters.map).expanduser() if parameters.map else newest_map_path()
    if not parameters.map and not path.exists():
        raise MapFileError(
            f"Parameter 'map' is empty and there is no {path}: "
            "give a map file, or make one with `glace build_map --bag BAG`."
        )
    scene_map = SceneMap.load(path)
    localizer = Localizer(scene_map, parameters.localizer, device=parameters.device)
    camera = scene_map.metadata.camera
    localizer.localize(np.zeros((camera.height_px, camera.width_px, 3), np.uint8), camera)
    map_id = f"{path.resolve().name} {scene_map.map_id}"
    metadata = scene_map.metadata
    return LoadedMap(localizer, map_id, metadata.map_frame, metadata.base_frame)
