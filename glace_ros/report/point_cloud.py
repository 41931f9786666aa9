"""Coloured points of a map, and the PLY file that other programs open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.atomic_write import write_output
from glace_ros.localization.pose_estimate import PoseEstimate, errors_px

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.recording.posed_images import PosedImage
    from glace_ros.rejection import Rejection

_FIELDS = ("x", "y", "z"), ("red", "green", "blue")


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points with the colours of what they were seen as.

    points_p3: metres in the map, float64.
    colours_p3: RGB, uint8.
    """

    points_p3: NDArray[np.float64]
    colours_p3: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points_p3)

    def thinned(self, most: int) -> PointCloud:
        """At most so many of the points, evenly over their order."""
        step = max(1, math.ceil(len(self) / most))
        return PointCloud(self.points_p3[::step], self.colours_p3[::step])


def joined(clouds: Sequence[PointCloud]) -> PointCloud:
    """All of them as one; no cloud at all is an empty one."""
    return PointCloud(
        np.concatenate([np.empty((0, 3)), *(cloud.points_p3 for cloud in clouds)]),
        np.concatenate([np.empty((0, 3), np.uint8), *(cloud.colours_p3 for cloud in clouds)]),
    )


def colours_at(
    image_rgb_hwc: NDArray[np.uint8], pixels_n2: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Colours (n, 3) of an image at pixels (n, 2) with their origin in the first one's centre."""
    height, width = image_rgb_hwc.shape[:2]
    columns_n, rows_n = np.round(pixels_n2).astype(int).T
    colours_n3 = image_rgb_hwc[rows_n.clip(0, height - 1), columns_n.clip(0, width - 1)]
    return np.asarray(colours_n3)


def write_ply(path: Path, cloud: PointCloud) -> None:
    """Binary PLY. Coordinates are doubles: floats would round a map in UTM to decimetres."""
    types = [(name, "<f8") for name in _FIELDS[0]] + [(name, "u1") for name in _FIELDS[1]]
    vertices = np.empty(len(cloud), dtype=types)
    for column in range(3):
        vertices[_FIELDS[0][column]] = cloud.points_p3[:, column]
        vertices[_FIELDS[1][column]] = cloud.colours_p3[:, column]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(cloud)}"]
    header += [f"property double {name}" for name in _FIELDS[0]]
    header += [f"property uchar {name}" for name in _FIELDS[1]]
    write_output(path, "\n".join([*header, "end_header\n"]).encode() + vertices.tobytes())


CLOSE_RATIO = 1.0 / 80.0
"""Of the image's width: 8 px of 640."""


def points_seen(
    result: PoseEstimate | Rejection, image: PosedImage, map_from_camera: Pose
) -> PointCloud:
    """The inliers' points that fit the recorded pose too, in the colours of the image."""
    if not isinstance(result, PoseEstimate):
        return joined([])
    limit_px = CLOSE_RATIO * image.camera.width_px
    close_m = errors_px(result, map_from_camera) < limit_px
    colours_m3 = colours_at(image.image_rgb_hwc, result.pixels_m2[close_m])
    return PointCloud(result.points_m3[close_m], colours_m3)
