"""A bag as a scene folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from glace_ros.errors import GlaceError
from glace_ros.recording.scene_files import text_of_calibration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.datasets.scene_writer import SceneWriter
    from glace_ros.recording.posed_image_reader import PosedImageReader


def write_posed_images(
    reader: PosedImageReader, writer: SceneWriter, advance: Callable[[], None]
) -> None:
    """All images that have a pose, undistorted, as PNG; their names are their stamps in ns."""
    for image in reader.images():
        advance()
        if image.map_from_camera is None:
            writer.left_out["no pose"] += 1
            continue
        name = f"{image.stamp_ns:019d}.png"
        calibration = text_of_calibration(image.camera)
        pixels = image.image_rgb_hwc
        writer.add("", name, _png_writer(pixels), calibration, image.map_from_camera)
    writer.left_out.update(reader.left_out)


def _png_writer(image_rgb_hwc: NDArray[np.uint8]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        if not cv2.imwrite(str(path), cv2.cvtColor(image_rgb_hwc, cv2.COLOR_RGB2BGR)):
            raise GlaceError(f"{path} cannot be written")

    return write
