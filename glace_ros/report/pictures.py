"""Pictures with marks in them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from glace_ros.report.colours import error_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GOOD_PX, BAD_PX = 1.0, 20.0
_WIDTH_PX = 720
_FRACTION_BITS = 4  # of a pixel, in what OpenCV takes


@dataclass(frozen=True, eq=False)
class Picture:
    """An image uint8 (height, width, 3), RGB, with a caption and pixels (m, 2) to be marked in it.

    error_px_m: how far each mark is from where it ought to be; colours it, from GOOD_PX to BAD_PX.
    """

    image_rgb_hwc: NDArray[np.uint8]
    caption: str
    pixels_m2: Floats = field(default_factory=lambda: np.empty((0, 2)))
    error_px_m: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def jpeg_base64(self) -> str:
        """With its marks, for a page."""
        quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
        _, data_n = cv2.imencode(".jpg", marked(self)[..., ::-1], quality)
        return base64.b64encode(data_n.tobytes()).decode()


def marked(picture: Picture) -> NDArray[np.uint8]:
    """The image at the page's width, RGB, with a ring around each mark."""
    height, width = picture.image_rgb_hwc.shape[:2]
    scale = _WIDTH_PX / width
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    size = (_WIDTH_PX, round(height * scale))
    resized = cv2.resize(picture.image_rgb_hwc, size, interpolation=method)
    image: NDArray[np.uint8] = np.ascontiguousarray(resized, dtype=np.uint8)
    one = 2**_FRACTION_BITS
    # the worst last, so that none of them is covered
    for index in np.argsort(picture.error_px_m):
        u, v = (picture.pixels_m2[index] + 0.5) * scale - 0.5
        centre = (round(one * float(u)), round(one * float(v)))
        colour = error_rgb(float(picture.error_px_m[index]), GOOD_PX, BAD_PX)
        for rgb, thickness in (((20, 24, 30), 3), (colour, 2)):
            cv2.circle(image, centre, one * 4, rgb, thickness, cv2.LINE_AA, _FRACTION_BITS)
    return image
