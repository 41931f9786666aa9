"""Augmentation: the view that a camera turned about its optical axis and zoomed would have had.

Both are exact for a pinhole (a homography that does not depend on depth), with fx != fy and an
off-centre principal point: camera and pose move together. A patch found in such a view is carried
back
to its pixel in the recorded image, so that training needs no augmented poses or intrinsics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from glace_ros.features.preprocessing import patches_see

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera


@dataclass(frozen=True)
class AugmentationConfig:
    """How images are varied. Scale, roll, brightness and contrast are the paper's."""

    views: int = 1
    """Augmented copies of each image, 0 = none."""
    plain_first: bool = True
    """Before them the image as it is, for triangulation and VLAD descriptors; False: it too is
    augmented (paper)."""
    scale: float = 1.5
    """The most that a view is enlarged or made smaller by."""
    roll_deg: float = 15.0
    """The most that it is turned by, to either side."""
    brightness: float = 0.1
    """The most that is added or taken away, as a ratio of white."""
    contrast: float = 0.1
    """The most that contrast is raised or lowered by, as a ratio."""
    even_scale: bool = False
    """All scales are as likely (paper), else enlarging is as likely as making smaller."""


class AugmentedView(NamedTuple):
    """A recorded image as the camera, rolled and zoomed, in another light would have it.

    grey_hw: uint8.
    valid_hw: bool, pixels that the recorded image covers.
    recorded_from_view_33: homography of pixels.
    """

    grey_hw: NDArray[np.uint8]
    valid_hw: NDArray[np.bool_]
    recorded_from_view_33: NDArray[np.float64]

    def to_recorded(self, pixels_n2: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels (n, 2) of the view in the recorded image."""
        homogeneous_n3 = np.column_stack([pixels_n2, np.ones(len(pixels_n2))])
        homogeneous_n3 = homogeneous_n3 @ self.recorded_from_view_33.T
        return homogeneous_n3[:, :2] / homogeneous_n3[:, 2:]


def view_homography(camera: Camera, scale: float, roll_rad: float) -> NDArray[np.float64]:
    """view_from_recorded (3, 3): the camera rolled about its optical axis, its focal lengths
    scaled.

    The ray of a recorded pixel is K^-1 x; the rolled camera sees it at K' Rz K^-1 x.
    """
    cosine, sine = np.cos(roll_rad), np.sin(roll_rad)
    roll_33 = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    zoomed_33 = camera.matrix_33 @ np.diag([scale, scale, 1.0])
    return np.asarray(zoomed_33 @ roll_33 @ np.linalg.inv(camera.matrix_33))


def augment(
    grey_hw: NDArray[np.uint8],
    camera: Camera,
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> AugmentedView:
    """One random view of the image, in an image of the same size."""
    if config.even_scale:
        scale = float(rng.uniform(1.0 / config.scale, config.scale))
    else:
        scale = float(np.exp(rng.uniform(-1, 1) * np.log(config.scale)))
    roll_rad = float(np.radians(rng.uniform(-1, 1) * config.roll_deg))
    homography_33 = view_homography(camera, scale, roll_rad)
    size = (camera.width_px, camera.height_px)
    # area averaging where the view shrinks: bilinear alone would alias
    source_hw = cv2.GaussianBlur(grey_hw, (0, 0), 0.4 / scale) if scale < 0.8 else grey_hw
    warped_hw = cv2.warpPerspective(source_hw, homography_33, size, flags=cv2.INTER_LINEAR)
    recorded_hw = camera.valid_hw
    if recorded_hw is None:
        recorded_hw = np.ones(grey_hw.shape, np.bool_)
    covered_hw = cv2.warpPerspective(
        recorded_hw.astype(np.uint8), homography_33, size, flags=cv2.INTER_NEAREST
    )
    # those at the border show the black outside
    valid_hw = patches_see(covered_hw > 0)
    assert valid_hw is not None
    gain = 1.0 + rng.uniform(-1, 1) * config.contrast
    offset = 255.0 * rng.uniform(-1, 1) * config.brightness
    mean = float(warped_hw.mean())
    lit_hw = np.clip((warped_hw.astype(np.float32) - mean) * gain + mean + offset, 0, 255)
    return AugmentedView(
        lit_hw.astype(np.uint8),
        np.asarray(valid_hw),
        np.linalg.inv(homography_33).astype(np.float64),
    )
