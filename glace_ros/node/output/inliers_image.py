"""The picture of an image with the patches that carried its pose."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import cv2
import numpy as np

from glace_ros.localization.pose_estimate import errors_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.localization.pose_estimate import PoseEstimate

PATCHES_PER_WIDTH = 80  # a patch is 8 px of 640
FONT = cv2.FONT_HERSHEY_SIMPLEX
SMALLEST_SCALE = 0.35  # of letters that can be read


def draw_inliers(
    image_rgb_hwc: NDArray[np.uint8],
    estimate: PoseEstimate | None,
    largest_px: float,
    line: str,
) -> NDArray[np.uint8]:
    """A copy with a square around each inlier, and the text along the top.

    Colours: green where a scene point, seen from the pose, is at its patch, yellow at half of
    largest_px from it, red at largest_px.

    image_rgb_hwc: uint8 (height, width, 3), without distortion.
    estimate: None where the image has no pose.
    largest_px: the largest reprojection error of an inlier.
    line: the text.
    """
    drawn_rgb_hwc = np.ascontiguousarray(image_rgb_hwc).copy()
    if estimate is not None:
        half_px = max(1, round(image_rgb_hwc.shape[1] / PATCHES_PER_WIDTH / 2))
        errors_m = errors_px(estimate, estimate.map_from_camera)
        colours_m3 = error_colours(errors_m, largest_px)
        corners_m2 = np.round(estimate.pixels_m2).astype(int) - half_px
        for corner, colour in zip(corners_m2.tolist(), colours_m3.tolist(), strict=True):
            opposite = [value + 2 * half_px for value in corner]
            cv2.rectangle(drawn_rgb_hwc, corner, opposite, colour)
    _write(drawn_rgb_hwc, line)
    return drawn_rgb_hwc


def error_colours(errors_m: NDArray[np.float64], largest_px: float) -> NDArray[np.uint8]:
    """RGB (m, 3): green at 0 px, yellow at half of largest_px, red from largest_px on."""
    ratio_m = np.clip(errors_m / largest_px, 0.0, 1.0)
    red_m, green_m = np.minimum(1.0, 2.0 * ratio_m), np.minimum(1.0, 2.0 - 2.0 * ratio_m)
    return np.round(255.0 * np.stack([red_m, green_m, 0.0 * ratio_m], axis=1)).astype(np.uint8)


def _write(drawn_rgb_hwc: NDArray[np.uint8], line: str) -> None:
    """White on black, in letters that can be read; on at most a quarter of the picture."""
    height_px, width_px = drawn_rgb_hwc.shape[:2]
    scale = max(SMALLEST_SCALE, width_px / 1400.0)
    (length_px, tall_px), below_px = cv2.getTextSize(line, FONT, scale, 1)
    row_px = tall_px + 2 * below_px + 2
    letters = int(0.9 * width_px * len(line) / max(1, length_px))  # of a row, not all equally wide
    rows = textwrap.wrap(line, max(1, letters))[: height_px // 4 // row_px]
    drawn_rgb_hwc[: row_px * len(rows)] = 0
    for row, text in enumerate(rows, start=1):
        baseline = (0, row_px * row - below_px - 2)
        cv2.putText(drawn_rgb_hwc, text, baseline, FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
