"""The picture of an image with the patches that carried its pose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from glace_ros.nodes.map_points import errors_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.camera import Camera
    from glace_ros.localization.localizer import PoseEstimate

PATCHES_PER_WIDTH = 80  # a patch is 8 px of 640
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_inliers(
    image_rgb_hwc: NDArray[np.uint8],
    camera: Camera,
    estimate: PoseEstimate | None,
    largest_px: float,
    line: str,
) -> NDArray[np.uint8]:
    """A copy with a square around each inlier, and the line of text along the top.

    camera: without distortion, as the image. estimate: None where the image has no pose.
    Colours: green where a scene point, seen from the pose, is at its patch, yellow at half of
    largest_px from it, red from there on.
    """
    drawn_rgb_hwc = np.ascontiguousarray(image_rgb_hwc).copy()
    if estimate is not None:
        half_px = max(1, round(camera.width_px / PATCHES_PER_WIDTH / 2))
        errors_m = errors_px(estimate, camera, estimate.map_from_camera)
        colours_m3 = error_colours(errors_m, largest_px)
        corners_m2 = np.round(estimate.pixels_m2).astype(int) - half_px
        for corner, colour in zip(corners_m2.tolist(), colours_m3.tolist(), strict=True):
            opposite = [value + 2 * half_px for value in corner]
            cv2.rectangle(drawn_rgb_hwc, corner, opposite, colour)
    _write(drawn_rgb_hwc, line)
    return drawn_rgb_hwc


def error_colours(errors_m: NDArray[np.float64], largest_px: float) -> NDArray[np.uint8]:
    """RGB (m, 3): green at 0 px, yellow at half of largest_px, red from largest_px on."""
    share_m = np.clip(errors_m / largest_px, 0.0, 1.0)
    red_m, green_m = np.minimum(1.0, 2.0 * share_m), np.minimum(1.0, 2.0 - 2.0 * share_m)
    return np.round(255.0 * np.stack([red_m, green_m, 0.0 * share_m], axis=1)).astype(np.uint8)


def _write(drawn_rgb_hwc: NDArray[np.uint8], line: str) -> None:
    """White on black, as large as fits."""
    height_px, width_px = drawn_rgb_hwc.shape[:2]
    (length_px, letters_px), below_px = cv2.getTextSize(line, FONT, 1.0, 1)
    scale = min(width_px / 900.0, width_px / max(1, length_px))
    bar_px = min(height_px, round(1.5 * scale * (letters_px + below_px)))
    drawn_rgb_hwc[:bar_px] = 0
    baseline = (0, bar_px - round(1.2 * scale * below_px))
    cv2.putText(drawn_rgb_hwc, line, baseline, FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
