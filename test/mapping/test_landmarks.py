"""Landmarks are the corners that views agree on, fit in a file, and make a rough pose exact."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.core_scenes import (
    CAMERA,
    buffer_of,
    poses,
    ring_of_views,
    seen_points,
    tiny_map,
    unit_rows,
)

from glace_ros.features.local_features import LocalFeatures
from glace_ros.geometry.pose import Pose
from glace_ros.localization import landmark_refinement
from glace_ros.localization.landmark_refinement import refine_pose
from glace_ros.localization.localizer_config import LandmarkRefinementConfig
from glace_ros.mapping.landmark_selection import LandmarkConfig, select_landmarks
from glace_ros.maps.landmarks import Landmarks
from glace_ros.maps.scene_map import SceneMap

TARGET_3 = np.array([2.0, -1.0, 1.0])
CONFIG = LandmarkRefinementConfig(radii_px=(24.0, 6.0), inlier_px=3.0)


@pytest.fixture
def world():
    """120 points with a code of their own, eight cameras on an arc of 40 degrees."""
    rng = np.random.default_rng(0)
    points_n3 = TARGET_3 + rng.uniform(-0.9, 0.9, (120, 3))
    return points_n3, unit_rows(rng, 120, 64), ring_of_views(8, 4.0, TARGET_3, np.radians(40))


def landmarks_of(world) -> Landmarks:
    points_n3, codes_nC, views = world
    to_cameras_n3 = np.mean([view.translation_3 for view in views], axis=0) - points_n3
    return Landmarks(
        *(torch.from_numpy(part).float() for part in (points_n3, codes_nC, to_cameras_n3))
    )


def drive(world, told_noise_m=0.0, code_noise=0.2):
    """The buffer of all views; each view's triangulation is off by a noise of its own."""
    points_n3, codes_nC, views = world
    rng = np.random.default_rng(1)
    seen = [(seen_points(points_n3, codes_nC, v, rng, code_noise=code_noise), v) for v in views]
    buffer = buffer_of(seen, TARGET_3, points_n3)
    noise_n3 = torch.from_numpy(rng.normal(scale=told_noise_m, size=(len(buffer), 3))).float()
    return buffer, buffer.samples._replace(points_n3=buffer.samples.points_n3 + noise_n3)


def nearest_m(landmarks: Landmarks, points_n3: np.ndarray) -> np.ndarray:
    found_l3 = landmarks.points_l3.numpy() + TARGET_3
    return np.linalg.norm(points_n3[:, None] - found_l3, axis=2).min(axis=1)


def test_patches_of_one_corner_become_one_landmark_better_than_each(world):
    buffer, samples = drive(world, told_noise_m=0.01)
    buffer.samples = samples
    landmarks = select_landmarks(buffer, LandmarkConfig(), seed=0)
    assert 120 <= len(landmarks) <= 130
    assert np.median(nearest_m(landmarks, world[0])) < 0.5 * 0.01 * np.sqrt(3)
    codes_nC = torch.from_numpy(world[1]).float()
    cosine_n = (codes_nC @ landmarks.descriptors_lC.T).max(dim=1).values
    assert cosine_n.min() > 0.97  # each view's is 0.98 in the mean, at 0.2 of noise


def test_corners_in_one_place_that_look_different_stay_apart(world):
    points_n3, codes_nC, views = world
    points_n3[60:] = points_n3[:60]
    buffer, _ = drive((points_n3, codes_nC, views))
    assert len(select_landmarks(buffer, LandmarkConfig(), seed=0)) == 120


def test_a_corner_that_one_view_alone_placed_is_dropped(world):
    buffer, samples = drive(world)
    has_n = samples.has_point_n.clone()
    of_point_n = torch.arange(len(has_n)) % 120
    has_n[(of_point_n < 30) & (samples.view_n != 2)] = False
    buffer.samples = samples._replace(has_point_n=has_n)
    landmarks = select_landmarks(buffer, LandmarkConfig(), seed=0)
    assert len(landmarks) == 90
    assert (nearest_m(landmarks, world[0])[:30] > 1e-3).all()
    assert select_landmarks(buffer, LandmarkConfig(min_views=9), seed=0) is None
    assert select_landmarks(buffer, LandmarkConfig(most=0), seed=0) is None


def test_views_with_few_landmarks_come_first():
    """100 corners that four views agree on, 40 elsewhere that two do: with room for 70, both."""
    rng = np.random.default_rng(0)
    elsewhere_3 = np.array([30.0, 0.0, 0.0])
    many, few = (
        TARGET_3 + rng.uniform(-0.9, 0.9, (100, 3)),
        TARGET_3 + elsewhere_3 + rng.uniform(-0.9, 0.9, (100, 3)),
    )
    codes_nC = unit_rows(rng, 200, 64)
    ring = ring_of_views(4, 4.0, TARGET_3, 0.5)
    far = [Pose(v.rotation_33, v.translation_3 + elsewhere_3) for v in ring[:2]]
    seen = [(seen_points(many, codes_nC[:100], v, rng), v) for v in ring]
    seen += [(seen_points(few, codes_nC[100:], v, rng), v) for v in far]
    buffer = buffer_of(seen, TARGET_3, many)
    points_n3 = buffer.samples.points_n3.clone()
    points_n3[400:] = torch.from_numpy(np.concatenate([few, few]) - TARGET_3).float()
    buffer.samples = buffer.samples._replace(points_n3=points_n3)
    landmarks = select_landmarks(buffer, LandmarkConfig(most=70, per_view=0), seed=0)
    assert len(landmarks) == 70
    by_view = LandmarkConfig(most=70, per_view=15)  # six views
    assert len(select_landmarks(buffer, by_view, seed=0)) == 90
    bounded = LandmarkConfig(most=70, per_view=15, limit=80)
    assert len(select_landmarks(buffer, bounded, seed=0)) == 80
    assert (landmarks.points_l3[:, 0] > 15).sum() >= 32


def two_rooms(corners, own_looks):
    """The buffer of two rooms 30 m apart, four views and as many corners in each; the second has
    the looks of the first but for so many.
    """
    rng = np.random.default_rng(0)
    offset_3 = np.array([30.0, 0.0, 0.0])
    points_n3 = TARGET_3 + rng.uniform(-0.9, 0.9, (corners, 3))
    looks_nC = unit_rows(rng, corners + own_looks, 64)
    ring = ring_of_views(4, 4.0, TARGET_3, 0.5)
    there = [Pose(v.rotation_33, v.translation_3 + offset_3) for v in ring]
    seen = [(seen_points(points_n3, looks_nC[:corners], v, rng), v) for v in ring]
    seen += [(seen_points(points_n3 + offset_3, looks_nC[own_looks:], v, rng), v) for v in there]
    buffer = buffer_of(seen, TARGET_3, points_n3)
    told_n3 = np.concatenate([points_n3] * 4 + [points_n3 + offset_3] * 4) - TARGET_3
    buffer.samples = buffer.samples._replace(points_n3=torch.from_numpy(told_n3).float())
    return buffer, looks_nC


def test_where_there_is_room_for_some_no_part_of_the_drive_comes_first():
    buffer, _ = two_rooms(corners=100, own_looks=0)
    landmarks = select_landmarks(buffer, LandmarkConfig(most=100, per_view=0), seed=0)
    assert len(landmarks) == 100
    assert 40 <= (landmarks.points_l3[:, 0] > 15).sum() <= 60


def test_corners_that_look_like_no_other_place_come_first():
    buffer, looks_nC = two_rooms(corners=100, own_looks=30)
    own_nC = torch.from_numpy(np.concatenate([looks_nC[:30], looks_nC[-30:]])).float()
    for twin_views, low, high in ((3.0, 55, 60), (0.0, 15, 45)):
        config = LandmarkConfig(most=100, per_view=0, twin_views=twin_views)
        found = select_landmarks(buffer, config, seed=0).descriptors_lC @ own_nC.T
        assert low <= (found.amax(dim=0) > 0.95).sum() <= high


@settings(max_examples=20, deadline=None)
@given(poses(50.0))
def test_in_view_is_what_the_camera_projects(map_from_camera):
    rng = np.random.default_rng(3)
    in_camera_n3 = rng.uniform([-1, -1, -1], [1, 1, 3], (200, 3))
    points_n3 = map_from_camera.transform(in_camera_n3)
    toward_n3 = map_from_camera.translation_3 - points_n3
    landmarks = Landmarks(
        torch.from_numpy(points_n3), torch.ones(200, 4), torch.from_numpy(toward_n3)
    )
    index_m, pixels_m2 = landmarks.in_view(map_from_camera, CAMERA, 0.0, 60.0)
    front_n = in_camera_n3[:, 2] > 0.11
    pixels_n2 = CAMERA.project(np.where(front_n[:, None], in_camera_n3, 1.0))
    inside_n = (pixels_n2 > 0.2).all(1) & (pixels_n2 < [127.8, 95.8]).all(1) & front_n
    found = set(index_m.tolist())
    assert found >= set(np.flatnonzero(inside_n))
    assert all(front_n[i] or in_camera_n3[i, 2] > 0.09 for i in found)
    assert np.abs(pixels_m2.numpy() - pixels_n2[index_m]).max(initial=0.0) < 0.1


def test_what_was_seen_from_the_other_side_is_not_in_view(world):
    landmarks, pose = landmarks_of(world), world[2][3]
    index_m, _ = landmarks.in_view(pose, CAMERA, 0.0, 60.0)
    assert len(index_m) > 100
    behind = ring_of_views(2, 4.0, TARGET_3, np.radians(360 - 1e-3))[0]
    assert len(landmarks.in_view(behind, CAMERA, 0.0, 60.0)[0]) == 0


@pytest.mark.parametrize("at_once_from", [0.0, 1.0])
def test_pairs_are_each_others_best_nearby(world, at_once_from, monkeypatch):
    """Of corners most of which look like several others, however their cosines are reckoned."""
    monkeypatch.setattr(landmark_refinement, "_MANY_PAIRS", at_once_from)
    points_n3, _, views = world
    rng = np.random.default_rng(3)
    codes_nC = np.pad(unit_rows(rng, 120, 4), ((0, 0), (0, 60)))
    landmarks = landmarks_of((points_n3, codes_nC, views))
    patches = seen_points(points_n3, codes_nC, views[3], rng, code_noise=0.2)
    index_m, pixels_m2 = landmarks.in_view(views[3], CAMERA, 30.0, 60.0)
    near_nm = torch.cdist(patches.pixels_n2, pixels_m2) <= 30.0
    cosine_nm = patches.descriptors_nC.double() @ landmarks.descriptors_lC[index_m].double().T
    cosine_nm = cosine_nm.masked_fill(~near_nm, -1.0)
    assert (cosine_nm > 0.7).sum() > 200
    best_nm = (cosine_nm == cosine_nm.amax(0)) & (cosine_nm == cosine_nm.amax(1, keepdim=True))
    patch_p, landmark_p = torch.nonzero(best_nm & (cosine_nm > 0.7), as_tuple=True)
    pixels_p2, points_p3, number_p = landmark_refinement._match(
        views[3], patches, landmarks, CAMERA, 30.0, LandmarkRefinementConfig(min_cosine=0.7)
    )
    found = set(map(tuple, np.hstack([pixels_p2, points_p3])))
    expected = patches.pixels_n2[patch_p], landmarks.points_l3[index_m[landmark_p]]
    assert found == set(map(tuple, torch.cat(expected, dim=1).double().numpy()))
    assert len(found) > 40
    assert np.array_equal(landmarks.points_l3[number_p].double().numpy(), points_p3)


def test_a_rough_pose_becomes_exact(world):
    points_n3, codes_nC, views = world
    rng = np.random.default_rng(2)
    truth = views[3]
    seen = seen_points(points_n3, codes_nC, truth, rng, pixel_noise=0.3, code_noise=0.3)
    off = Pose.from_rotation_vector([0.15, -0.1, 0.05], [0.02, -0.02, 0.03])
    found = refine_pose(truth @ off, seen, landmarks_of(world), CAMERA, CONFIG)
    assert found.solution.inliers > 100
    # from 19 cm and 2.4 deg; turning and stepping aside look alike to within 0.3 px here
    assert found.solution.map_from_camera.distance_m(truth) < 0.02
    assert found.solution.map_from_camera.angle_rad(truth) < 0.006


def test_wrong_patches_do_not_move_it(world):
    points_n3, codes_nC, views = world
    rng = np.random.default_rng(2)
    seen = seen_points(points_n3, codes_nC, views[3], rng, pixel_noise=0.3)
    pixels_n2 = seen.pixels_n2.clone()
    pixels_n2[:40] += torch.from_numpy(rng.uniform(-15, 15, (40, 2))).float()
    seen = seen._replace(pixels_n2=pixels_n2)
    found = refine_pose(views[3], seen, landmarks_of(world), CAMERA, CONFIG)
    assert 75 < found.solution.inliers < 95
    assert found.solution.map_from_camera.distance_m(views[3]) < 0.03


def test_without_landmarks_that_agree_there_is_no_pose(world):
    points_n3, _, views = world
    rng = np.random.default_rng(2)
    strange = seen_points(points_n3, unit_rows(rng, 120, 64), views[3], rng)
    assert refine_pose(views[3], strange, landmarks_of(world), CAMERA, CONFIG) is None
    nothing = LocalFeatures(torch.empty(0, 64), torch.empty(0, 2), torch.empty(0))
    assert refine_pose(views[3], nothing, landmarks_of(world), CAMERA, CONFIG) is None


def test_the_map_file_keeps_them_to_the_bit_in_80_bytes_each(world, tmp_path):
    plain = tiny_map()
    whole = SceneMap(plain.metadata, plain.heads, None, landmarks_of(world))
    whole.save(tmp_path / "a.glace")
    plain.save(tmp_path / "b.glace")
    loaded = SceneMap.load(tmp_path / "a.glace")
    for name, tensor in whole.landmarks.tensors().items():
        assert torch.equal(loaded.landmarks.tensors()[name], tensor)
    assert torch.equal(loaded.landmarks.descriptors_lC, whole.landmarks.descriptors_lC)
    assert loaded.map_id == whole.map_id != plain.map_id
    assert (whole.file_bytes - plain.file_bytes) / 120 < 84
    assert SceneMap.load(tmp_path / "b.glace").landmarks is None
    codes_nC = torch.from_numpy(world[1]).float()
    assert (whole.landmarks.descriptors_lC * codes_nC).sum(dim=1).min() > 0.9999
