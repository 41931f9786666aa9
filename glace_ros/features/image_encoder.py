"""Image -> what the coordinate head takes: one code for the image, one descriptor per patch.

Mapping and localization both come through here, so that a robot sees what the map was made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from glace_ros.features.image_tensors import grey_at_working_size, to_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.features.local_encoder import LocalEncoder, LocalFeatures
    from glace_ros.geometry.camera import Camera


def encode_image(
    encoder: LocalEncoder,
    image_rgb_hwc: NDArray[np.uint8],
    camera: Camera,
    short_side_px: int,
    patches: int,
) -> tuple[LocalFeatures, Camera]:
    """The image's best patches, and the pinhole camera in whose pixels they are given.

    Raises ValueError where image and camera differ in size.
    """
    grey_hw, working_camera = grey_as_encoded(encoder, image_rgb_hwc, camera, short_side_px)
    return encoder.encode(to_tensor(grey_hw, encoder.device), patches), working_camera


def grey_as_encoded(
    encoder: LocalEncoder, image_rgb_hwc: NDArray[np.uint8], camera: Camera, short_side_px: int
) -> tuple[NDArray[np.uint8], Camera]:
    """The undistorted image in grey, of a size that the encoder takes, and its pinhole camera.

    Raises ValueError where image and camera differ in size.
    """
    return grey_at_working_size(
        image_rgb_hwc, camera, short_side_px, encoder.size_multiple_px, enlarge=encoder.enlarges
    )


def head_input(
    descriptors_nC: torch.Tensor,
    codes_nG: torch.Tensor | None,
    dtype: torch.dtype = torch.float32,
    *,
    scaled: bool = True,
) -> torch.Tensor:
    """[global | local] (n, G + C), each part scaled to unit variance per channel.

    Unit vectors of C numbers have a variance of 1 / C: a freshly initialised network would see
    little but its own biases (docs/method.md has what the scale is worth). Not scaled: as they
    are, for descriptors of no unit norm, and as the published networks take them.
    """
    parts = [descriptors_nC] if codes_nG is None else [codes_nG, descriptors_nC]
    factors = [part.shape[1] ** 0.5 if scaled else 1.0 for part in parts]
    return torch.cat(
        [part.to(dtype) * factor for part, factor in zip(parts, factors, strict=True)], dim=1
    )
