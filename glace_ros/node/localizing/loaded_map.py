"""The map that the node works with, ready to localize."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from glace_ros.device import still_computes
from glace_ros.errors import MapFileError
from glace_ros.geometry.camera import Camera
from glace_ros.localization.localizer import Localizer
from glace_ros.maps.default_location import newest_map_path
from glace_ros.maps.map_metadata import NOT_VALIDATED
from glace_ros.maps.scene_map import SceneMap

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.node.ros_interface.parameters import LocalizeParameters
    from glace_ros.rejection import Rejection


class LocalizesImages(Protocol):
    """What the node needs of a Localizer."""

    def localize(
        self, image_rgb_hwc: NDArray[np.uint8], camera: Camera
    ) -> PoseEstimate | Rejection:
        """The camera's pose in the map."""


_ANY_CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
"""For a blank first image where the map does not say what its camera was: its pose is not used."""


@dataclass(frozen=True, eq=False)
class LoadedMap:
    """A map on its device.

    localizer: ready for its first image.
    map_id: file name and hash of the map's contents.
    map_frame: what the recording called the frame that its poses are in; empty: unknown.
    base_frame: what the recording called the robot; empty: unknown.
    origin_m: of the map's coordinates, in map_frame.
    views_v3: where the mapping cameras were, metres in map_frame; None where the map does not
        say.
    validated: by images with known poses, so that its covariances and its inlier ratio are
        calibrated.
    still_computes: whether the localizer's device does, asked after an exception.
    """

    localizer: LocalizesImages
    map_id: str
    map_frame: str
    base_frame: str
    origin_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    views_v3: NDArray[np.float64] | None = None
    validated: bool = True
    still_computes: Callable[[], bool] = lambda: True

    def gives_poses_of(self, other: LoadedMap) -> bool:
        """Whether a pose in one is a pose in the other. The hash is of the tensors alone."""
        return (hash_in(self.map_id), self.origin_m) == (hash_in(other.map_id), other.origin_m)


def hash_in(map_id: str) -> str:
    """The same for a copy of the map under another name."""
    return map_id.rpartition(" ")[2]


@dataclass(frozen=True, eq=False)
class CheckedMap:
    """A map's file that was read and can be used.

    contents: equal to those of another where nothing differs, the file's name included.
    make_ready: what takes longer: to bring it to the device and localize one blank image, so that
        the first real one is not slow. Raises GlaceError for a device that is not there.
    """

    contents: object
    make_ready: Callable[[], LoadedMap]


def read_map(parameters: LocalizeParameters) -> CheckedMap:
    """Reads and checks the map's file, which takes a fraction of a second.

    Raises MapFileError or WeightsError.
    """
    path = Path(parameters.map).expanduser() if parameters.map else newest_map_path()
    if not parameters.map and not path.exists():
        raise MapFileError(
            f"Parameter 'map' is empty and there is no {path}: "
            "give a map file, or make one with `glace build_map --bag BAG`."
        )
    scene_map = SceneMap.load(path)
    metadata = scene_map.metadata
    metadata.check_encoders()
    map_id = f"{path.resolve().name} {scene_map.map_id}"

    def make_ready() -> LoadedMap:
        localizer = Localizer(scene_map, parameters.localizer, device=parameters.device)
        camera = metadata.camera or _ANY_CAMERA
        localizer.localize(np.zeros((camera.height_px, camera.width_px, 3), np.uint8), camera)
        return LoadedMap(
            localizer, map_id, metadata.map_frame, metadata.base_frame, metadata.origin_m,
            _views(scene_map), metadata.held_out is not None,
            lambda: still_computes(localizer.device),
        )  # fmt: skip

    return CheckedMap((map_id, metadata), make_ready)


def _views(scene_map: SceneMap) -> NDArray[np.float64] | None:
    encoder = scene_map.global_encoder
    if encoder is None or encoder.positions_v3 is None:
        return None
    positions_v3 = encoder.positions_v3.cpu().numpy().astype(np.float64)
    return np.asarray(positions_v3 + np.array(scene_map.metadata.origin_m))


def say_what_is_loaded(log: Any, loaded_map: LoadedMap, parameters: LocalizeParameters) -> None:
    """Frames of other names than the recording's may be right, but are worth a line.

    log: an rclpy logger.
    """
    log.info(f"Map {loaded_map.map_id} is loaded.")
    frame_id = parameters.global_frame_id
    if not loaded_map.validated:
        log.warning(f"Map {loaded_map.map_id}: {NOT_VALIDATED}.")
    if loaded_map.map_frame and loaded_map.map_frame.lstrip("/") != frame_id.lstrip("/"):
        log.info(
            f"The map's recording calls its frame '{loaded_map.map_frame}'; poses in it are "
            f"published as '{frame_id}' (global_frame_id)."
        )
    base_frame = loaded_map.base_frame
    if base_frame and base_frame.lstrip("/") != parameters.base_frame_id.lstrip("/"):
        log.info(
            f"The map's recording calls the robot '{loaded_map.base_frame}'; here it is "
            f"'{parameters.base_frame_id}' (base_frame_id)."
        )
