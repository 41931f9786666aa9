"""An image message and what is known of its camera -> the undistorted image and its pinhole."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from glace_ros.node.ros_interface.conversions import image_to_rgb
from glace_ros.ros_messages.camera_info import camera_of_image_topic
from glace_ros.ros_messages.camera_info_file import read_camera_info
from glace_ros.ros_messages.value_range import FULL_RANGE, ValueRange

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.node.input.incoming_image import IncomingImage
    from glace_ros.node.ros_interface.parameters import LocalizeParameters


def undistorted_image(
    image: IncomingImage, parameters: LocalizeParameters, values: ValueRange | None = None
) -> tuple[NDArray[np.uint8], Camera]:
    """RGB (height, width, 3) and its pinhole.

    image: as it came in, with a camera_info where no file is given for its camera.
    parameters: of the node.
    values: of 16-bit images, as the map has it; None: the high byte.
    Raises ValueError, with a sentence, where the image, its camera_info or the file cannot be used.
    """
    if isinstance(image.video, ValueError):
        raise image.video
    if image.video is not None:
        stream, number = image.video
        image_rgb_hwc = stream.picture(number)
    else:
        image_rgb_hwc = image_to_rgb(image.message, values or FULL_RANGE)
    height, width = image_rgb_hwc.shape[:2]
    file = parameters.camera_info_file_of(image.camera)
    if file:
        camera = _of_file(file, image.topic)
    else:
        camera = camera_of_image_topic(image.camera_info, image.topic, (width, height))
    return camera.undistort(image_rgb_hwc), camera.undistorted


@lru_cache(maxsize=16)
def _of_file(file: str, image_topic: str) -> Camera:
    return read_camera_info(file, image_topic)
