"""Landmarks are where the images show them, by views of a wall whose texture is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.textured_wall import CAMERA, WALL_X_M, Wall, camera_at, moved

from glace_ros.geometry.rolling_shutter import CameraMotion
from glace_ros.mapping.landmark_tracks import (
    LandmarkTrackConfig,
    TrackedViews,
    ViewsShutter,
    place_landmarks,
)
from glace_ros.mapping.pose_refinement.cameras import Cameras
from glace_ros.maps.landmarks import Landmarks

WALL = Wall(2)
POSES = [
    camera_at(0.15 * column, 0.2 * row, x_m=0.1 * (column % 3), turned_deg=(0, 3.0 * row, 0))
    for column in range(-3, 4)
    for row in (-1, 0, 1)
]
INTRINSICS_4 = np.array([CAMERA.fx_px, CAMERA.fy_px, CAMERA.cx_px, CAMERA.cy_px])
READOUT_S = 0.025


def seen(points_n3, codes_nC, motions=None, keypoint_px=1.2, seed=0):
    """What each view has: keypoints that scatter, as learned ones do; and its image."""
    rng = np.random.default_rng(seed)
    pixels, descriptors, greys = [], [], []
    for view, pose in enumerate(POSES):
        motion = motions[view] if motions else None
        pixels_n2 = CAMERA.project(pose.inverse().transform(points_n3))
        for _ in range(5 if motion else 0):
            late_n = READOUT_S * (pixels_n2[:, 1] / CAMERA.height_px - 0.5)
            pixels_n2 = np.concatenate([
                CAMERA.project((pose @ moved(motion, late)).inverse().transform(point_3[None]))
                for late, point_3 in zip(late_n, points_n3, strict=True)
            ])  # fmt: skip
        inside_n = ((pixels_n2 > 8) & (pixels_n2 < [311, 231])).all(axis=1)
        scatter_n2 = rng.normal(scale=keypoint_px, size=(int(inside_n.sum()), 2))
        pixels.append(pixels_n2[inside_n] + scatter_n2)
        descriptors.append(torch.from_numpy(codes_nC[inside_n]).half())
        greys.append((view, WALL.seen_from(pose, motion, READOUT_S)))
    return pixels, descriptors, greys


def world(count=150, off_m=0.02, seed=0):
    """Points on the wall, their codes, and landmarks that are about there."""
    rng = np.random.default_rng(seed)
    points_n3 = np.column_stack([np.full(count, WALL_X_M), rng.uniform(-0.9, 0.9, (count, 2))])
    codes_nC = rng.normal(size=(count, 64))
    codes_nC /= np.linalg.norm(codes_nC, axis=1, keepdims=True)
    about_n3 = points_n3 + rng.normal(scale=off_m, size=points_n3.shape)
    directions_n3 = -about_n3 / np.linalg.norm(about_n3, axis=1, keepdims=True)
    tensors = (torch.from_numpy(each).float() for each in (about_n3, codes_nC, directions_n3))
    return points_n3, codes_nC, Landmarks(*tensors)


def placed(landmarks, views, motions=None, readout_s=0.0, config=None):
    pixels, descriptors, greys = views
    velocities_v6 = np.zeros((len(POSES), 6))
    if motions:
        velocities_v6 = np.stack([np.concatenate(motion) for motion in motions])
    rows_v = np.full(len(POSES), 240.0)
    cameras = Cameras.of(POSES, np.tile(INTRINSICS_4, (len(POSES), 1)))
    tracked = TrackedViews(
        descriptors, pixels, cameras, rows_v, ViewsShutter(velocities_v6, readout_s)
    )
    return place_landmarks(landmarks, tracked, greys, config or LandmarkTrackConfig())


def on_wall_m(landmarks):
    """How far each landmark with a template is from the wall."""
    return np.abs(landmarks.points_l3[: len(landmarks.templates), 0].numpy() - WALL_X_M)


def test_they_lie_on_the_wall_though_keypoints_scatter():
    points_n3, codes_nC, about = world()
    views = seen(points_n3, codes_nC)
    exact = placed(about, views)
    assert len(exact) == len(about)
    assert len(exact.templates) > 100
    assert np.median(on_wall_m(exact)) < 0.003
    # by their keypoints alone they are several times as far from it
    no_templates = LandmarkTrackConfig(min_likeness=1.1)
    rough = placed(about, views, config=no_templates)
    assert rough.templates is None or len(rough.templates) < 5
    rough_m = np.abs(rough.points_l3[:, 0].numpy() - WALL_X_M)
    assert np.median(rough_m) > 3 * np.median(on_wall_m(exact))
    assert np.median(rough_m) < 0.02


def test_each_keeps_its_descriptor_and_direction():
    points_n3, codes_nC, about = world()
    exact = placed(about, seen(points_n3, codes_nC))
    before = {tuple(code_C): row for row, code_C in enumerate(about.descriptors_lC.tolist())}
    rows = [before[tuple(code_C)] for code_C in exact.descriptors_lC.tolist()]
    assert sorted(rows) == list(range(len(about)))
    assert torch.equal(exact.directions_l3, about.directions_l3[rows])
    off_l = np.linalg.norm(exact.points_l3.numpy() - points_n3[rows], axis=1)
    assert np.median(off_l[: len(exact.templates)]) < 0.012  # within some scatter of keypoints


def test_a_rolling_shutter_that_is_known_bends_nothing():
    rng = np.random.default_rng(3)
    motions = [
        CameraMotion(rng.normal(scale=0.25, size=3), rng.normal(scale=0.3, size=3)) for _ in POSES
    ]
    points_n3, codes_nC, about = world()
    views = seen(points_n3, codes_nC, motions)
    known = placed(about, views, motions, READOUT_S)
    unknown = placed(about, views)
    assert np.median(on_wall_m(known)) < 0.004
    assert np.median(on_wall_m(unknown)) > 1.5 * np.median(on_wall_m(known))
    assert len(known.templates) >= len(unknown.templates)


def test_no_more_templates_than_wanted_and_none_of_what_few_views_see():
    points_n3, codes_nC, about = world()
    views = seen(points_n3, codes_nC)
    some = placed(about, views, config=LandmarkTrackConfig(templates=20, per_view=1))
    assert len(some.templates) == len(POSES)
    pixels, descriptors, greys = views
    blind = [each[:0] for each in pixels], [each[:0] for each in descriptors], greys
    assert placed(about, blind) is about
    # two views are not enough
    two = (
        [each if view < 2 else each[:0] for view, each in enumerate(pixels)],
        [each if view < 2 else each[:0] for view, each in enumerate(descriptors)],
        greys,
    )
    alone = placed(about, two)
    assert alone.templates is None
    assert torch.equal(alone.points_l3, about.points_l3)


def test_images_that_show_something_else_give_no_templates():
    points_n3, codes_nC, about = world()
    pixels, descriptors, _ = seen(points_n3, codes_nC)
    others = [(view, Wall(50 + view).seen_from(pose)) for view, pose in enumerate(POSES)]
    wrong = placed(about, (pixels, descriptors, others))
    assert wrong.templates is None or len(wrong.templates) < 0.03 * len(about)
    assert np.median(np.abs(wrong.points_l3[:, 0].numpy() - WALL_X_M)) < 0.02


@pytest.mark.parametrize("missing", [0, 10])
def test_an_image_that_cannot_be_read_again_costs_its_own_templates_alone(missing):
    points_n3, codes_nC, about = world()
    pixels, descriptors, greys = seen(points_n3, codes_nC)
    fewer = placed(about, (pixels, descriptors, greys[:missing] + greys[missing + 1 :]))
    assert len(fewer.templates) > 90
    assert np.median(on_wall_m(fewer)) < 0.003
