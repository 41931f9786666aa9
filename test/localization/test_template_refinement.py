"""Templates make a pose exact, by views of a wall whose texture is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.textured_wall import CAMERA, Wall, camera_at

from glace_ros.features.template_alignment import cut_templates
from glace_ros.geometry.camera import projection_by_point
from glace_ros.geometry.pose import Pose
from glace_ros.geometry.rolling_shutter import CameraMotion, Shutter
from glace_ros.localization.localizer_config import TemplateConfig
from glace_ros.localization.template_refinement import align_pose
from glace_ros.maps.landmark_templates import LandmarkTemplates, image_from_template
from glace_ros.maps.landmarks import Landmarks

WALL = Wall(4)
FIRST = camera_at(0.0, 0.0)
TRUTH = camera_at(0.15, -0.1, x_m=0.1, turned_deg=(1.0, -4.0, 2.0))
NEAR = Pose.from_rotation_vector((0.01, -0.015, 0.01), (0.002, -0.003, 0.001))


def known_landmarks(without=0):
    """On a grid of the first view, each with its template; and some more without one."""
    grid_n2 = np.stack(
        np.meshgrid(np.linspace(20, 300, 16), np.linspace(15, 225, 12)), axis=-1
    ).reshape(-1, 2)
    points_n3 = WALL.points(FIRST, grid_n2)
    away_n3 = FIRST.translation_3 - points_n3
    random_nC = torch.from_numpy(np.random.default_rng(0).normal(size=(len(grid_n2), 64))).float()
    tensors = torch.from_numpy(points_n3).float(), random_nC, torch.from_numpy(away_n3).float()
    directions_n3 = Landmarks(*tensors).directions_l3.numpy().astype(np.float64)
    in_camera_n3 = FIRST.inverse().transform(points_n3)
    sizes_n = in_camera_n3[:, 2] / CAMERA.fx_px
    by_camera_n23 = projection_by_point(in_camera_n3, np.array([CAMERA.fx_px, CAMERA.fy_px]))
    shapes_n22 = image_from_template(directions_n3, sizes_n, by_camera_n23 @ FIRST.rotation_33.T)
    cut_ntt = cut_templates(WALL.seen_from(FIRST).astype(np.float32), grid_n2, shapes_n22)
    count = len(grid_n2) - without
    return Landmarks(*tensors, LandmarkTemplates.of(cut_ntt[:count], sizes_n[:count]))


def aligned(landmarks, grey_hw, start, shutter=None, config=None):
    return align_pose(start, grey_hw, landmarks, CAMERA, shutter, config or TemplateConfig())


def test_a_pose_that_is_off_by_two_centimetres_becomes_exact():
    start = TRUTH @ NEAR
    assert start.distance_m(TRUTH) > 0.02
    found = aligned(known_landmarks(), WALL.seen_from(TRUTH), start)
    pose = found.solution.map_from_camera
    assert pose.distance_m(TRUTH) < 0.002
    assert pose.angle_rad(TRUTH) < 0.001
    assert len(found.points_m3) == found.solution.inliers > 100
    assert np.median(np.linalg.norm(found.solution.residuals_m2, axis=1)) < 0.2


def test_rows_that_are_exposed_one_after_the_other():
    motion = CameraMotion(np.array([0.2, 0.5, -0.3]), np.array([0.4, 0.1, -0.2]))
    image_hw = WALL.seen_from(TRUTH, motion, 0.02)
    wrong = CameraMotion(np.array([0.1, 0.4, -0.2]), np.array([0.3, 0.2, -0.1]))
    known, off, unknown, ignored, kept = (
        aligned(known_landmarks(), image_hw, TRUTH @ NEAR, shutter).solution.map_from_camera
        for shutter in (
            *(Shutter.of(said, 0.02) for said in (motion, wrong, None)),
            None, Shutter(wrong, 0.02, 1e-4, 1e-4),
        )
    )  # fmt: skip
    assert known.distance_m(TRUTH) < 0.001
    assert off.distance_m(TRUTH) < 0.003 < kept.distance_m(TRUTH)
    assert unknown.distance_m(TRUTH) < 0.006
    assert ignored.distance_m(TRUTH) > 0.02


@pytest.mark.parametrize(
    "image_hw",
    [np.full((240, 320), 128, np.uint8), Wall(9).seen_from(TRUTH)],
    ids=["blank", "elsewhere"],
)
def test_an_image_that_shows_none_gives_no_pose(image_hw):
    assert aligned(known_landmarks(), image_hw, TRUTH) is None


def test_from_too_far_off_or_with_too_few_there_is_no_pose():
    image_hw, far = WALL.seen_from(TRUTH), Pose.from_rotation_vector((0, 0.3, 0), (0.0, 0.0, 0.0))
    assert aligned(known_landmarks(), image_hw, TRUTH @ far) is None
    assert aligned(known_landmarks(without=180), image_hw, TRUTH) is None
    away = TRUTH @ Pose.from_rotation_vector((0, 0, 0), (0.0, np.pi, 0.0))
    assert aligned(known_landmarks(), image_hw, away) is None


def test_a_map_without_templates_has_no_say():
    plain = known_landmarks()
    without = Landmarks(plain.points_l3, plain.descriptors_lC, plain.directions_l3)
    assert aligned(without, WALL.seen_from(TRUTH), TRUTH) is None


def test_of_many_some_are_aligned():
    found = aligned(
        known_landmarks(), WALL.seen_from(TRUTH), TRUTH @ NEAR, config=TemplateConfig(most=60)
    )
    assert 30 <= found.solution.inliers <= 60
    assert found.solution.map_from_camera.distance_m(TRUTH) < 0.004
