"""Image -> its local features: distortion, grey and working size on the way.

Mapping and localization both come through here, so that a robot sees what the map was made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.features.local_features import LocalEncoder, LocalFeatures
    from glace_ros.geometry.camera import Camera


class EncodedImage(NamedTuple):
    """An image as the map sees it.

    features: best first.
    camera: the pinhole in whose pixels they are given.
    grey_hw: undistorted, at working size.
    """

    features: LocalFeatures
    camera: Camera
    grey_hw: NDArray[np.uint8]


def encode_image(
    encoder: LocalEncoder,
    image_rgb_hwc: NDArray[np.uint8],
    camera: Camera,
    short_side_px: int,
    patches: int,
) -> EncodedImage:
    """The image's best local features.

    encoder: makes them.
    image_rgb_hwc: as the camera made it, distortion and all.
    camera: of the image.
    short_side_px: working size.
    patches: features, at most.

    Raises ValueError where image and camera differ in size.
    """
    grey_hw, working_camera = grey_as_encoded(encoder, image_rgb_hwc, camera, short_side_px)
    valid_hw = patches_see(working_camera.valid_hw)
    valid_HW = None if valid_hw is None else torch.from_numpy(valid_hw).to(encoder.device)
    found = encoder.encode(to_tensor(grey_hw, encoder.device), patches, valid_HW)
    return EncodedImage(found, working_camera, grey_hw)


def patches_see(valid_hw: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """The pixels about which a patch sees valid pixels alone, of those that are valid; the image's
    border counts as none. None: all are.
    """
    if valid_hw is None:
        return None
    window = np.ones((PATCH_PX, PATCH_PX), np.uint8)
    return cv2.erode(valid_hw.astype(np.uint8), window, borderValue=255) > 0


def grey_as_encoded(
    encoder: LocalEncoder, image_rgb_hwc: NDArray[np.uint8], camera: Camera, short_side_px: int
) -> tuple[NDArray[np.uint8], Camera]:
    """The undistorted image in grey, of a size that the encoder takes, and its pinhole camera.

    encoder: whose `size_multiple_px` and `enlarges` count.
    image_rgb_hwc: as the camera made it, distortion and all.
    camera: of the image.
    short_side_px: working size.

    Raises ValueError where image and camera differ in size.
    """
    return grey_at_working_size(
        image_rgb_hwc, camera, short_side_px, encoder.size_multiple_px, enlarge=encoder.enlarges
    )


SIZE_MULTIPLE_PX = 32
"""XFeat's deepest layer has stride 32; other sizes shift its cells against the pixels."""

PATCH_PX = 17
"""A feature sees some pixels around itself; those of an edge to black are of the edge."""


def working_size(
    width_px: int,
    height_px: int,
    short_side_px: int,
    multiple_px: int = SIZE_MULTIPLE_PX,
    *,
    enlarge: bool = False,
) -> tuple[int, int]:
    """(width, height) in pixels at which an image is encoded. The two axes' factors differ
    slightly: `Camera.scaled_to` knows both.

    width_px, height_px: of the image; portrait and landscape are alike.
    short_side_px: what the short side becomes (480 px in the paper).
    multiple_px: of which both sides are multiples.
    enlarge: without it nothing gets larger, beyond rounding.
    """
    factor = short_side_px / min(width_px, height_px)
    factor = factor if enlarge else min(1.0, factor)
    width, height = (
        max(multiple_px, multiple_px * round(side * factor / multiple_px))
        for side in (width_px, height_px)
    )
    return width, height


def grey_at_working_size(
    image_rgb_hwc: NDArray[np.uint8],
    camera: Camera,
    short_side_px: int,
    multiple_px: int = SIZE_MULTIPLE_PX,
    *,
    enlarge: bool = False,
) -> tuple[NDArray[np.uint8], Camera]:
    """The undistorted image in grey at its working size, and the pinhole camera that fits it.

    image_rgb_hwc: as the camera made it, distortion and all.
    camera: of the image.
    short_side_px, multiple_px, enlarge: as `working_size` takes them.

    Raises ValueError where image and camera differ in size.
    """
    image_rgb_hwc = camera.undistort(image_rgb_hwc)
    width, height = working_size(
        camera.width_px, camera.height_px, short_side_px, multiple_px, enlarge=enlarge
    )
    grey_hw = cv2.cvtColor(image_rgb_hwc, cv2.COLOR_RGB2GRAY)
    if (width, height) != (camera.width_px, camera.height_px):
        shrinks = width < camera.width_px
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        grey_hw = cv2.resize(grey_hw, (width, height), interpolation=interpolation)
    return np.asarray(grey_hw, dtype=np.uint8), camera.undistorted.scaled_to(width, height)


def to_tensor(grey_hw: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """(H, W) uint8 -> (1, 1, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(grey_hw))[None, None].to(device).float() / 255.0
