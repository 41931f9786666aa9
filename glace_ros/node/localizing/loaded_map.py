"""The map that the node works with, ready to localize."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from glace_ros.maps.validation import NOT_VALIDATED

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.mount_correction import MountCorrection
    from glace_ros.geometry.rolling_shutter import MotionSource
    from glace_ros.localization.image_window import ImageMotion
    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.localization.window_localizer import Glance
    from glace_ros.node.ros_interface.parameters import LocalizeParameters
    from glace_ros.rejection import Rejection
    from glace_ros.ros_messages.value_range import ValueRange


class LocalizesImages(Protocol):
    """What the node needs of a Localizer."""

    def localize(
        self, image_rgb_hwc: NDArray[np.uint8], camera: Camera, motion: MotionSource = ...
    ) -> PoseEstimate | Rejection:
        """The camera's pose in the map."""


class LocalizesWindows(Protocol):
    """What the node needs of a WindowLocalizer."""

    def look(
        self, image_rgb_hwc: NDArray[np.uint8], camera: Camera, moved: MotionSource = ...
    ) -> Glance:
        """The image by itself."""

    def resolve(
        self, glance: Glance, motion: ImageMotion | None, *, tracking: bool = False
    ) -> PoseEstimate | Rejection:
        """The image together with those before it."""


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
    calibration_of: for the frame of a camera, what the map knows better of it than TF.
    new_window: an image window of this localizer without any image; None: each image is localized
        alone.
    still_computes: whether the localizer's device does, asked after an exception.
    value_range: of 16-bit images, what is black and white in the map; None: the high byte.
    """

    localizer: LocalizesImages
    map_id: str
    map_frame: str
    base_frame: str
    origin_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    views_v3: NDArray[np.float64] | None = None
    validated: bool = True
    still_computes: Callable[[], bool] = lambda: True
    calibration_of: Callable[[str], MountCorrection | None] = lambda _: None
    new_window: Callable[[], LocalizesWindows] | None = None
    value_range: ValueRange | None = None

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
    make_ready: what takes longer: to bring it to the device and warm it up by a blank image, so
        that the first real one is not slow. Raises GlaceError for a device that is not there.
    """

    contents: object
    make_ready: Callable[[], LoadedMap]


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
