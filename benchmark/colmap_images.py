"""The images that `build_map` would map from, as files and poses that COLMAP takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from glace_ros.command_line.recording_options import open_drives
from glace_ros.errors import RecordingError
from glace_ros.geometry.pose import Pose
from glace_ros.recording.held_out import HeldOutImages, blocks_of, mapping_images

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.commands.build_map_config import BuildRequest
    from glace_ros.geometry.camera import Camera
    from glace_ros.recording.posed_images import PosedImage

CORNER_PX = 0.5
"""COLMAP counts pixels from the corner of the first one, we from its centre."""


def write_images(request: BuildRequest, folder: Path) -> dict[str, Any]:
    """Writes the keyframes outside of held-out blocks, undistorted, and says how they were taken.

    request: the recording, and which frames of it are mapped from.
    folder: made where it is missing.
    Gives JSON: `intrinsics` as below, `origin_m` (3) in the map, and by the files' names
    `cameras_from_map`, 3x4 matrices whose map begins at the origin.
    Raises RecordingError where the recording cannot be used, or is of several cameras.
    """
    folder.mkdir(exist_ok=True)
    cameras, poses = set(), {}
    with open_drives(request.recording, "train") as reader:
        blocks = blocks_of(reader, request.holdout)
        images = mapping_images(reader, request.selection, blocks, HeldOutImages(reader))
        for number, image in enumerate(images):
            assert image.map_from_camera is not None  # keyframes have one
            name = f"{number:06d}.pgm"
            cv2.imwrite(str(folder / name), grey(image))
            poses[name] = image.map_from_camera
            cameras.add(image.camera)
    if len(cameras) != 1:
        raise RecordingError(
            f"{request.recording.bags[0]} has images to map from of {len(cameras)} cameras: this "
            "comparison needs those of one"
        )
    origin_3 = np.mean([pose.translation_3 for pose in poses.values()], axis=0)
    map_from_origin = Pose(np.eye(3), origin_3)
    return {
        "intrinsics": intrinsics(cameras.pop()),
        "origin_m": origin_3.tolist(),
        "cameras_from_map": {
            name: (pose.inverse() @ map_from_origin).matrix_44[:3].tolist()
            for name, pose in poses.items()
        },
    }


def grey(image: PosedImage) -> NDArray[np.uint8]:
    """What COLMAP sees of an image, mapped from or localized: uint8 (h, w)."""
    return np.asarray(cv2.cvtColor(image.image_rgb_hwc, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def intrinsics(camera: Camera) -> list[float]:
    """Of COLMAP's PINHOLE: fx, fy, cx, cy in pixels from the first pixel's corner."""
    centre_px = (camera.cx_px + CORNER_PX, camera.cy_px + CORNER_PX)
    return [camera.fx_px, camera.fy_px, *centre_px]
