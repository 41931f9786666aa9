"""Landmark templates: small pictures of landmarks, by which they are found to a tenth of a pixel.

A learned keypoint tells which landmark is seen, but its place scatters by more than a pixel; a
picture of what was there, warped as the camera sees it, does not. 12 x 12 pixels of 16 greys: 74
bytes a landmark.

The picture lies in the plane through the landmark that faces where it was seen from; its rows run
from left to right as a camera that stands upright sees them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.features.template_alignment import TEMPLATE_PX

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PACKED = TEMPLATE_PX * TEMPLATE_PX // 2
_GREYS = 15
"""Of which there are one more."""
_CONTRAST = 255.0 / _GREYS
"""Brightness and contrast are not kept: they change with the light."""
_STEEP = 0.95
"""Of the vertical part of a direction, beyond which another axis than the vertical is upright."""


class LandmarkTemplates:
    """Of the first landmarks of a map.

    packed_tb: uint8 (t, 72), two pixels a byte, the first one in its upper half.
    metres_by_px_t: float16, size of a pixel.
    """

    def __init__(self, packed_tb: torch.Tensor, metres_by_px_t: torch.Tensor) -> None:
        """Raises ValueError where they are not of these types and shapes."""
        if (
            packed_tb.dtype != torch.uint8
            or packed_tb.shape != (len(metres_by_px_t), _PACKED)
            or metres_by_px_t.dim() != 1
        ):
            raise ValueError("its templates do not fit together")
        self.packed_tb, self.metres_by_px_t = packed_tb.cpu(), metres_by_px_t.half().cpu()
        sizes_t = self.metres_by_px_t.numpy().astype(np.float64)
        if not (np.isfinite(sizes_t).all() and (sizes_t > 0.0).all()):
            raise ValueError("its templates have sizes that are not positive")
        self._sizes_t = sizes_t

    @staticmethod
    def of(grey_ntt: NDArray[np.float32], metres_by_px_n: NDArray[np.float64]) -> LandmarkTemplates:
        """Made of pictures (n, 12, 12) of any brightness and contrast."""
        return LandmarkTemplates(
            torch.from_numpy(_packed(grey_ntt)), torch.from_numpy(metres_by_px_n).half()
        )

    def __len__(self) -> int:
        return len(self.packed_tb)

    def pictures(self, index_n: NDArray[np.int64]) -> NDArray[np.float32]:
        """The templates (n, 12, 12) with these numbers, 0 to 255, of the most contrast."""
        return _unpacked(self.packed_tb.numpy()[index_n])

    def metres_by_px(self, index_n: NDArray[np.int64]) -> NDArray[np.float64]:
        """The size of a pixel of the templates with these numbers."""
        return np.asarray(self._sizes_t[index_n], np.float64)


def as_kept(grey_ntt: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a map gives back of pictures (n, 12, 12)."""
    return _unpacked(_packed(grey_ntt))


def image_from_template(
    directions_n3: NDArray[np.float64],
    metres_by_px_n: NDArray[np.float64],
    by_point_n23: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Pixels of an image by pixels of the templates, (n, 2, 2), about the landmarks.

    directions_n3: from each landmark to where it was seen from, unit norm.
    by_point_n23: pixels by metres of the landmark's place.
    """
    upright_n3 = np.zeros_like(directions_n3)
    steep_n = np.abs(directions_n3[:, 2]) > _STEEP
    upright_n3[~steep_n, 2] = upright_n3[steep_n, 0] = 1.0
    across_n3 = np.cross(upright_n3, directions_n3)
    across_n3 /= np.linalg.norm(across_n3, axis=1, keepdims=True)
    down_n3 = np.cross(across_n3, directions_n3)
    axes_n32 = np.stack([across_n3, down_n3], axis=2) * metres_by_px_n[:, None, None]
    return np.asarray(by_point_n23 @ axes_n32)


def _packed(grey_ntt: NDArray[np.float32]) -> NDArray[np.uint8]:
    flat_nk = grey_ntt.reshape(len(grey_ntt), TEMPLATE_PX * TEMPLATE_PX)
    darkest_n1 = flat_nk.min(axis=1, keepdims=True)
    range_n1 = np.maximum(flat_nk.max(axis=1, keepdims=True) - darkest_n1, 1e-6)
    level_nk = np.round((flat_nk - darkest_n1) / range_n1 * _GREYS).astype(np.uint8)
    return np.asarray(level_nk[:, ::2] << 4 | level_nk[:, 1::2], np.uint8)


def _unpacked(packed_nb: NDArray[np.uint8]) -> NDArray[np.float32]:
    level_nk = np.stack([packed_nb >> 4, packed_nb & 15], axis=2).astype(np.float32)
    return (level_nk * np.float32(_CONTRAST)).reshape(-1, TEMPLATE_PX, TEMPLATE_PX)
