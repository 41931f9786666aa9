"""Builds of small maps from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.bag_writing import OPTICAL, START_NS, bag_writer
from support.core_scenes import patchwork, rgb

from glace_ros.geometry.pose import Pose

WIDTH, HEIGHT, FOCAL_PX, WALL_M = 160, 128, 100.0, 2.0
STEP_M, PERIOD_NS = 0.04, 100_000_000
K_33 = np.array([[FOCAL_PX, 0, 79.5], [0, FOCAL_PX, 63.5], [0, 0, 1]])


def write_wall(path: Path, images: int) -> Path:
    """A drive along a wall of tiles, which the camera faces: each image is a piece of it."""
    pixels_per_m = FOCAL_PX / WALL_M
    wall_hw = patchwork(WIDTH + round(images * STEP_M * pixels_per_m), HEIGHT, seed=4, tile_px=9)
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, OPTICAL, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS, k_33=K_33, size=(WIDTH, HEIGHT))
        for index in range(images):
            stamp, way_m = START_NS + index * PERIOD_NS, index * STEP_M
            left = round(way_m * pixels_per_m)
            base = bag.pose(Pose.from_planar(0.0, -way_m, 0.0))
            bag.odometry("/odom", stamp, base)
            piece_hw = wall_hw[:, left : left + WIDTH]
            bag.image("/camera/image_raw", stamp, rgb(np.ascontiguousarray(piece_hw)))
    return path


def arguments(bag: Path, output: Path, *more: object) -> list[str]:
    """What both runs are started with; the buffer is too small for all patches."""
    return [
        str(word) for word in (
            "--bag", bag, "--output", output, "--iterations", 500, "--clusters", 1,
            "--width", 64, "--keyframe-dist", 0, "--keyframe-angle", 0, "--buffer-gb", 0.01,
            "--holdout", 0.1, "--no-report", "--checkpoint-every", 0.5,
            "--features-cache-gb", 0, *more,
        )
    ]  # fmt: skip
