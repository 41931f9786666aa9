"""Generalized solver: images whose motion is known, as one camera with many centres -> its pose.

A few points of each image, too few for a pose of its own, may agree on one pose together
(generalized P3P in LO-RANSAC, PoseLib).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import poselib

from glace_ros.localization.pose_solver import (
    described_to_poselib,
    options_of_poselib,
    pose_of_poselib,
    pose_to_poselib,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_solver import PoseSolverConfig


class RigImage(NamedTuple):
    """An image as a part of the generalized camera.

    pixels_n2: (n, 2) px.
    points_n3: (n, 3), what the pixels show, metres from the map's origin.
    camera: the pinhole of these pixels.
    rig_from_camera: where it was, in the frame that the pose is wanted of.
    """

    pixels_n2: NDArray[np.float64]
    points_n3: NDArray[np.float64]
    camera: Camera
    rig_from_camera: Pose


def solve_together(images: Sequence[RigImage], config: PoseSolverConfig) -> Pose | None:
    """map_from_rig, from the map's origin, that the images' points agree on; None where there is
    none.

    images: at least one with points.
    config: of RANSAC and the last refinement.
    """
    used = [image for image in images if len(image.pixels_n2)]
    if sum(len(image.pixels_n2) for image in used) < 4:
        return None
    if not all(np.isfinite(image.points_n3).all() for image in used):
        return None
    found, _ = poselib.estimate_generalized_absolute_pose(
        [image.pixels_n2 for image in used],
        [image.points_n3 for image in used],
        [pose_to_poselib(image.rig_from_camera.inverse()) for image in used],
        [described_to_poselib(image.camera) for image in used],
        *options_of_poselib(config),
    )
    return pose_of_poselib(found)
