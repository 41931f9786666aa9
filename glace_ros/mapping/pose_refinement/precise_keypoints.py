"""Precise keypoints, which bundle adjustment ends with.

Learned keypoints match from afar, but their matches scatter by 1.4 px (XFeat on a real recording at
true poses; 8 px cells are what its network decides by). Those of SIFT (Lowe, International Journal
of Computer Vision 60, 2004) scatter by half a pixel there, and what is left of drift shrinks from
1.8 to 1.3 cm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_CONTRAST = 0.01
"""A quarter of the usual: rooms have walls, and wrong matches are found out by geometry."""
_APART_PX = 0.1
"""Nearer keypoints are one, seen with two orientations."""


class PreciseKeypoints(NamedTuple):
    """Of one image.

    descriptors_nC: unit norm, fp16.
    pixels_n2: where, of the undistorted image at working size.
    """

    descriptors_nC: torch.Tensor
    pixels_n2: NDArray[np.float64]


NONE = PreciseKeypoints(torch.empty(0, 128, dtype=torch.float16), np.empty((0, 2)))
"""Of a covered lens."""


def precise_keypoints(grey_hw: NDArray[np.uint8], most: int) -> PreciseKeypoints:
    """The keypoints of an image with the most contrast.

    grey_hw: undistorted.

    Descriptors are RootSIFT (Arandjelovic and Zisserman, CVPR 2012), so that their product is a
    similarity of histograms.
    """
    sift = cv2.SIFT.create(nfeatures=most, contrastThreshold=_LEAST_CONTRAST)
    found, histograms_nC = sift.detectAndCompute(grey_hw, None)  # type: ignore[call-overload]
    if not found:
        return NONE
    pixels_n2 = np.array([keypoint.pt for keypoint in found], dtype=np.float64)
    _, first = np.unique(np.round(pixels_n2 / _APART_PX), axis=0, return_index=True)
    first = np.sort(first)
    sums_n1 = histograms_nC[first].sum(axis=1, keepdims=True).clip(1e-6)
    descriptors_nC = np.sqrt(histograms_nC[first] / sums_n1)
    return PreciseKeypoints(torch.from_numpy(descriptors_nC).half(), pixels_n2[first])
