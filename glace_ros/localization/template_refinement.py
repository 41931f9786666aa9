"""Template refinement: a pose that landmarks verify, made exact to a part of a pixel.

The pictures that the map keeps of landmarks are aligned in the image, from where the pose so far
puts them; whatever keypoints there are does not matter any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.features.template_alignment import align_templates
from glace_ros.geometry.camera import projection_by_point
from glace_ros.localization.pose_solver import PoseSolution, PoseSolverConfig, solve_near
from glace_ros.localization.rolling_shutter_solver import solve_moving
from glace_ros.maps.landmark_templates import image_from_template

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.pose import Pose
    from glace_ros.geometry.rolling_shutter import Shutter
    from glace_ros.localization.localizer_config import TemplateConfig
    from glace_ros.localization.pose_covariance import Nuisance
    from glace_ros.maps.landmarks import Landmarks

_BORDER_PX = -4.0
"""So far inside of the image a landmark must lie."""


class AlignedPose(NamedTuple):
    """A pose by templates.

    solution: of the aligned ones.
    points_m3: those m that agree, metres from the map's origin.
    nuisance: what was estimated beside it; None: nothing.
    """

    solution: PoseSolution
    points_m3: NDArray[np.float64]
    nuisance: Nuisance | None


def align_pose(
    map_from_camera: Pose,
    grey_hw: NDArray[np.uint8],
    landmarks: Landmarks,
    camera: Camera,
    shutter: Shutter | None,
    config: TemplateConfig,
) -> AlignedPose | None:
    """The pose by the templates in view; None where too few agree.

    map_from_camera: the pose so far, from the map's origin.
    grey_hw: the image, undistorted, at working size.
    camera: its pinhole.
    shutter: of the image; None: all rows were exposed at once.
    """
    if landmarks.templates is None:
        return None
    index_m, pixels_m2 = landmarks.in_view(
        map_from_camera, camera, _BORDER_PX, config.most_oblique_deg
    )
    seen_m = index_m < len(landmarks.templates)
    every = -(-int(seen_m.sum()) // config.most) or 1
    index_m, pixels_m2 = index_m[seen_m][::every], pixels_m2[seen_m][::every]
    number_m = index_m.cpu().numpy()
    centres_m2 = pixels_m2.cpu().numpy().astype(np.float64)
    points_m3 = landmarks.points_l3[index_m].cpu().numpy().astype(np.float64)
    directions_m3 = landmarks.directions_l3[index_m].cpu().numpy().astype(np.float64)
    rotation_33 = map_from_camera.rotation_33
    in_camera_m3 = (points_m3 - map_from_camera.translation_3) @ rotation_33
    by_camera_m23 = projection_by_point(in_camera_m3, np.array([camera.fx_px, camera.fy_px]))
    exposed_m2 = centres_m2
    if shutter:
        exposed_m2 = shutter.as_exposed(centres_m2, in_camera_m3[:, 2], camera)
    templates = landmarks.templates
    aligned = align_templates(
        grey_hw.astype(np.float32),
        templates.pictures(number_m),
        image_from_template(
            directions_m3, templates.metres_by_px(number_m), by_camera_m23 @ rotation_33.T
        ),
        exposed_m2,
    )
    moved_m = np.linalg.norm(aligned.pixels_n2 - exposed_m2, axis=1)
    good_m = (aligned.likeness_n > config.min_likeness) & (moved_m < config.most_moved_px)
    if good_m.sum() < config.min_inliers:
        return None
    solver = PoseSolverConfig(ransac_px=config.inlier_px, refine_px=config.refine_px)
    seen = aligned.pixels_n2[good_m], points_m3[good_m], camera
    nuisance = None
    if shutter:
        found = solve_moving(map_from_camera, *seen, shutter, solver, config.pixel_sigma)
        solution, nuisance = (found.solution, found.nuisance) if found else (None, None)
    else:
        solution = solve_near(map_from_camera, *seen, solver)
    if solution is None or solution.inliers < config.min_inliers:
        return None
    return AlignedPose(solution, points_m3[good_m][solution.inlier_n], nuisance)
