"""Corners seen from several places are put where they are; wrong ones are not believed."""

import numpy as np
import pytest
import torch
from support.core_scenes import (
    CAMERA,
    intrinsics,
    looking_at,
    ring_of_views,
    seen_points,
    unit_rows,
)

from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.views.augmentation import AugmentationConfig
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.mapping.views.mapping_views import MappingView
from glace_ros.mapping.views.triangulation import (
    TriangulationConfig,
    View,
    choose_neighbours,
    triangulate_view,
)

CONFIG = TriangulationConfig(min_cosine=0.8, reprojection_px=3.0, min_parallax_deg=1.5)
TARGET_3 = np.array([2.0, -1.0, 1.0])
RADIUS_M = 4.0


def view_of(features: LocalFeatures, pose: Pose) -> View:
    camera_from_map_34 = torch.from_numpy(pose.inverse().matrix_44[:3]).float()
    return View(features.descriptors_nC, features.pixels_n2, camera_from_map_34, intrinsics(CAMERA))


@pytest.fixture
def world():
    """150 points, each with a code of its own, six cameras on an arc of 40 degrees."""
    rng = np.random.default_rng(0)
    points_n3 = TARGET_3 + rng.uniform(-0.9, 0.9, (150, 3))
    codes_nC = unit_rows(rng, 150, 64)
    poses = ring_of_views(6, RADIUS_M, TARGET_3, arc_rad=np.radians(40))
    return points_n3, codes_nC, poses


def views_of(world, pixel_noise=0.5, seed=1) -> list[View]:
    points_n3, codes_nC, poses = world
    rng = np.random.default_rng(seed)
    noise = {"pixel_noise": pixel_noise, "code_noise": 0.2}
    return [view_of(seen_points(points_n3, codes_nC, p, rng, **noise), p) for p in poses]


def test_points_are_recovered_as_exactly_as_the_pixels_allow(world):
    views = views_of(world)
    found_n3, good_n = triangulate_view(views[2], views[:2] + views[3:], CONFIG)
    error_n = np.linalg.norm(found_n3.numpy() - world[0], axis=1)[good_n.numpy()]
    assert good_n.float().mean() > 0.95
    # 0.5 px at 4 m are 18 mm across; along the ray the arc of 40 deg makes it about 30 mm
    assert np.median(error_n) < 0.03
    assert np.quantile(error_n, 0.95) < 0.1
    exact_n3, exact_n = triangulate_view(*_first_and_rest(views_of(world, 0.0)), CONFIG)
    assert exact_n.all()
    assert np.abs(exact_n3.numpy() - world[0]).max() < 1e-3


def _first_and_rest(views):
    return views[0], views[1:]


def test_a_descriptor_on_the_wrong_corner_is_not_believed(world):
    """In half of the other views 40 patches carry each other's descriptors."""
    views = views_of(world)
    swapped = []
    for index, view in enumerate(views[1:]):
        codes_nC = view.descriptors_nC.clone()
        if index % 2:
            codes_nC[:40] = codes_nC[:40].roll(1, dims=0)
        swapped.append(view._replace(descriptors_nC=codes_nC))
    found_n3, good_n = triangulate_view(views[0], swapped, CONFIG)
    error_n = np.linalg.norm(found_n3.numpy() - world[0], axis=1)
    assert good_n.sum() > 100
    assert error_n[good_n.numpy()].max() < 0.25

    mixed, believed = torch.Generator().manual_seed(0), []
    for _ in range(10):
        everywhere = [
            v._replace(descriptors_nC=v.descriptors_nC[torch.randperm(150, generator=mixed)])
            for v in views[1:]
        ]
        _, nothing_n = triangulate_view(views[0], everywhere, CONFIG)
        believed.append(float(nothing_n.float().mean()))
    assert np.mean(believed) < 0.03


def test_dissimilar_descriptors_do_not_match(world):
    points_n3, codes_nC, poses = world
    rng = np.random.default_rng(2)
    views = [
        view_of(seen_points(points_n3, codes_nC, pose, rng, code_noise=1.2), pose) for pose in poses
    ]
    _, good_n = triangulate_view(*_first_and_rest(views), CONFIG)
    assert good_n.float().mean() < 0.1


def test_without_parallax_there_is_no_place(world):
    points_n3, codes_nC, _ = world
    poses = ring_of_views(6, RADIUS_M, TARGET_3, arc_rad=np.radians(0.5))
    near = views_of((points_n3, codes_nC, poses), pixel_noise=0.2)
    _, good_n = triangulate_view(*_first_and_rest(near), CONFIG)
    assert good_n.float().mean() < 0.02


def test_a_point_needs_as_many_views_as_asked_for(world):
    views = views_of(world)
    three = TriangulationConfig(min_cosine=0.8, min_views=3, min_parallax_deg=1.5)
    _, pair_n = triangulate_view(views[0], views[5:], three)
    assert not pair_n.any()
    _, trio_n = triangulate_view(views[0], views[4:], three)
    assert trio_n.float().mean() > 0.9


def test_no_patches_and_no_neighbours_are_no_error(world):
    views = views_of(world)
    points_n3, good_n = triangulate_view(views[0], [], CONFIG)
    assert points_n3.shape == (150, 3)
    assert not good_n.any()
    empty = views[0]._replace(
        descriptors_nC=views[0].descriptors_nC[:0], pixels_n2=views[0].pixels_n2[:0]
    )
    points_n3, good_n = triangulate_view(empty, views[1:], CONFIG)
    assert points_n3.shape == (0, 3)
    assert good_n.shape == (0,)


def test_far_from_the_maps_origin_it_is_as_exact(world):
    """UTM-like coordinates: the buffer moves them to a float64 origin before anything is fp32."""
    points_n3, codes_nC, poses = world
    far_3 = np.array([4.5e5, -3.2e6, 120.0])
    far_poses = [Pose(p.rotation_33, p.translation_3 + far_3) for p in poses]
    encoded = EncodedViews(
        XFeatEncoder(torch.device("cpu")), FeatureBufferConfig(), AugmentationConfig(views=0), 0
    )
    rng = np.random.default_rng(1)
    for pose, far_pose in zip(poses, far_poses, strict=True):
        seen = seen_points(points_n3, codes_nC, pose, rng, pixel_noise=0.1)
        seen = seen._replace(descriptors_nC=seen.descriptors_nC.half())
        encoded.views.append(MappingView(seen, far_pose, intrinsics(CAMERA)))
    origin_3 = np.mean([pose.translation_3 for pose in far_poses], axis=0)
    buffer = encoded.buffer(origin_3, CONFIG, torch.device("cpu"))
    samples = buffer.samples
    assert samples.has_point_n.float().mean() > 0.95
    found_n3 = samples.points_n3.numpy().astype(float) + origin_3 - far_3
    error_n = np.linalg.norm(found_n3 - np.tile(points_n3, (6, 1)), axis=1)
    assert np.median(error_n[samples.has_point_n.numpy()]) < 0.01


# --- which views are matched ---


def matrices(poses: list[Pose]) -> np.ndarray:
    """camera_from_map (v, 3, 4)."""
    return np.stack([pose.inverse().matrix_44[:3] for pose in poses]).astype(np.float32)


def test_neighbours_are_near_enough_and_look_the_same_way():
    rng = np.random.default_rng(0)
    places_n3 = rng.uniform(0, 8, (60, 3)) * [1, 1, 0.1]
    headings_n = rng.uniform(-np.pi, np.pi, 60)
    poses = [
        looking_at(place_3, place_3 + [np.cos(a), np.sin(a), 0])
        for place_3, a in zip(places_n3, headings_n, strict=True)
    ]
    config = TriangulationConfig(neighbours=4, distance_m=2.0, angle_deg=40.0)
    chosen = choose_neighbours(matrices(poses), config)
    assert len(chosen) == 60
    for index, others in enumerate(chosen):
        fitting = [
            other
            for other in range(60)
            if other != index
            and poses[index].distance_m(poses[other]) < 2.0
            and abs((headings_n[index] - headings_n[other] + np.pi) % (2 * np.pi) - np.pi)
            < np.radians(40.0)
        ]
        assert set(others) <= set(fitting)
        assert len(others) == len(set(others)) == min(4, len(fitting))


def test_neighbours_are_spread_over_the_baselines():
    poses = [looking_at(np.array([0.0, 0.1 * i, 0.0]), np.array([9.0, 0.1 * i, 0.0]))
             for i in range(20)]  # fmt: skip
    config = TriangulationConfig(neighbours=5, distance_m=1.55, angle_deg=40.0)
    (others, *_) = choose_neighbours(matrices(poses), config)
    assert {1, 15} <= set(others)
    assert max(np.diff(sorted(others))) <= 4
