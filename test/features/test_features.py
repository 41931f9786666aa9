"""Features look where they say: any orientation, any size; codes tell co-visible views apart."""

import cv2
import numpy as np
import pytest
import torch
from support.core_scenes import centroid, dots, patchwork, rgb
from torch.nn import functional

from glace_ros.errors import WeightsError
from glace_ros.features.global_encoder import VladConfig, VladEncoder
from glace_ros.features.keypoint_sampling import (
    descriptors_at,
    highest_within,
    likeliest_keypoints,
)
from glace_ros.features.local_encoder import local_encoder
from glace_ros.features.preprocessing import (
    encode_image,
    grey_at_working_size,
    to_tensor,
    working_size,
)
from glace_ros.features.vlad_learning import projection
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.camera import Camera, cell_centres
from glace_ros.geometry.covisibility import covisible_pairs
from glace_ros.geometry.pose import Pose
from glace_ros.maps.coordinate_head import head_input

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder():
    return XFeatEncoder(CPU)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (640, 480)),
        ((480, 640), (480, 640)),
        ((1920, 1080), (864, 480)),
        ((1080, 1920), (480, 864)),
        ((100, 90), (96, 96)),  # never enlarged, beyond rounding
        ((20, 300), (32, 288)),
    ],
)
def test_the_short_side_shrinks_to_480_and_both_to_multiples_of_32(size, expected):
    assert working_size(*size, 480) == expected


@pytest.mark.parametrize("size", [(360, 640), (640, 360), (300, 301)])
def test_portrait_and_landscape_images_keep_the_bearings_of_what_they_show(size):
    """Defect 1 of the reference: resized by the short side, focal length scaled by the height."""
    width, height = size
    camera = Camera(width, height, 500.0, 460.0, 0.42 * width, 0.55 * height)
    pixel_2 = np.array([0.61 * width, 0.37 * height])
    image_hwc = rgb(dots(width, height, [pixel_2], sigma_px=6.0))
    grey_hw, working = grey_at_working_size(image_hwc, camera, short_side_px=128)
    assert min(working.width_px, working.height_px) == 128
    assert grey_hw.shape == (working.height_px, working.width_px)
    expected_2 = working.project(camera.bearings(pixel_2[None]))[0]
    assert centroid(grey_hw, expected_2, 12) == pytest.approx(expected_2, abs=0.1)


def test_distortion_is_gone_at_working_size():
    camera = Camera(320, 240, 180.0, 190.0, 150.0, 125.0, "plumb_bob", (-0.3, 0.1, 0, 0, 0))
    ray_3 = np.array([0.6, -0.45, 1.0])
    seen_2 = cv2.projectPoints(
        ray_3.reshape(1, 1, 3), np.zeros(3), np.zeros(3), camera.matrix_33,
        np.array(camera.distortion),
    )[0].ravel()  # fmt: skip
    image_hwc = rgb(dots(320, 240, [seen_2], sigma_px=4.0))
    grey_hw, working = grey_at_working_size(image_hwc, camera, short_side_px=128)
    assert working.distortion_model == "none"
    expected_2 = working.project(ray_3[None])[0]
    assert centroid(grey_hw, expected_2, 10) == pytest.approx(expected_2, abs=0.2)


def dark_spots(width: int, height: int, factor: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Dark spots, each at another place within its cell, and their centres.

    factor: how much larger the picture is than the one whose cells are meant.
    """
    rng, fine = np.random.default_rng(0), 8
    left_top_m2 = np.stack(
        np.meshgrid(np.arange(24, width - 16, 32), np.arange(24, height - 16, 32)), -1
    ).reshape(-1, 2)
    centres_m2 = (left_top_m2 + rng.uniform(1.0, 7.0, left_top_m2.shape)) * factor
    u_w = (np.arange(width * factor * fine) + 0.5) / fine  # corner-origin, sub-pixels
    v_h = (np.arange(height * factor * fine) + 0.5) / fine
    picture_hw = np.full((len(v_h), len(u_w)), 120, np.uint8)
    reach = 4 * factor
    for u, v in centres_m2:
        rows = slice(int((v - reach) * fine), int((v + reach) * fine))
        columns = slice(int((u - reach) * fine), int((u + reach) * fine))
        inside = np.hypot(*np.meshgrid(u_w[columns] - u, v_h[rows] - v)) < 2.0 * factor
        picture_hw[rows, columns][inside] = 20
    size = (width * factor, height * factor)
    return cv2.resize(picture_hw, size, interpolation=cv2.INTER_AREA), centres_m2 - 0.5


def offsets_of_nearest(found_n2: np.ndarray, centres_m2: np.ndarray) -> np.ndarray:
    """(m, 2) from each centre to the pixel found nearest to it."""
    apart_mn2 = found_n2[None] - centres_m2[:, None]
    nearest_m = np.linalg.norm(apart_mn2, axis=2).argmin(axis=1)
    return apart_mn2[np.arange(len(centres_m2)), nearest_m]


@pytest.mark.parametrize("factor", [1, 2])
def test_a_patch_lies_on_its_spot_wherever_in_the_cell_that_is(encoder, factor):
    """Also after a resize, through the camera that comes out. XFeat has a liking of its own for
    where at a spot (up to 2 px from its middle), but it is the same for all of them: cells'
    centres, or rows for columns, would scatter by more than 2 px.
    """
    grey_hw, centres_m2 = dark_spots(224, 160, factor)
    camera = Camera(224 * factor, 160 * factor, 300.0, 330.0, 200.0, 170.0)
    features, working, _ = encode_image(encoder, rgb(grey_hw), camera, 160, 2 * len(centres_m2))
    assert (working.width_px, working.height_px) == (224, 160)
    rays_n3 = working.bearings(features.pixels_n2.numpy().astype(float))
    offsets_m2 = offsets_of_nearest(camera.project(rays_n3), centres_m2) / factor
    assert np.linalg.norm(np.median(offsets_m2, axis=0)) < 2.5
    scatter_m = np.linalg.norm(offsets_m2 - np.median(offsets_m2, axis=0), axis=1)
    assert np.median(scatter_m) < 1.0
    assert np.mean(scatter_m < 2.0) > 0.9


def test_no_patch_lies_on_the_edge_of_what_the_lens_saw(encoder):
    """A blank wall, whose only edges are those to the black corners of the undistorted image: they
    move with the camera, not with the wall.
    """
    camera = Camera(320, 224, 180.0, 190.0, 150.0, 115.0, "plumb_bob", (0.35, 0.05, 0.0, 0.0, 0.0))
    wall = np.random.default_rng(2).integers(120, 124, (224, 320, 3), dtype=np.uint8)
    found, working, _ = encode_image(encoder, wall, camera, 224, 50)
    assert len(found.scores_n) == 50
    u_n, v_n = found.pixels_n2.numpy().round().astype(int).T
    black_hw = ~working.valid_hw
    near_hw = cv2.dilate(black_hw.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert near_hw[v_n, u_n].sum() == 0
    pinhole = Camera(320, 224, 180.0, 190.0, 150.0, 115.0)
    unmasked, *_ = encode_image(encoder, camera.undistort(wall), pinhole, 224, 50)
    u_n, v_n = unmasked.pixels_n2.numpy().round().astype(int).T
    assert near_hw[v_n, u_n].sum() > 10  # there is something to leave out


def test_descriptors_are_read_where_the_patch_is():
    """In a map of cells whose "descriptors" say where each cell looks, half a cell would show."""
    centres_hw2 = torch.from_numpy(cell_centres(12, 16, XFeatEncoder.stride_px)).float()
    dense_1chw = torch.cat([centres_hw2, torch.full((12, 16, 1), 50.0)], dim=2).permute(2, 0, 1)
    pixels_n2 = torch.tensor([[35.5, 43.5], [40.0, 30.0], [81.0, 55.0]])
    read_n3 = descriptors_at(dense_1chw[None], pixels_n2, XFeatEncoder.stride_px)
    # torch's bicubic kernel bends a ramp by a third of a pixel
    assert torch.allclose(50.0 * read_n3[:, :2] / read_n3[:, 2:], pixels_n2, atol=0.5)


def test_descriptors_are_unit_vectors_and_the_best_come_first(encoder):
    features = encoder.encode(to_tensor(patchwork(128, 96), CPU), 50)
    assert features.descriptors_nC.shape == (50, 64)
    assert torch.allclose(features.descriptors_nC.norm(dim=1), torch.ones(50), atol=1e-5)
    assert (features.scores_n.diff() <= 0).all()
    assert (features.scores_n > 0).all()
    assert torch.equal(features.head(7).pixels_n2, features.pixels_n2[:7])


def test_no_patch_lies_outside_of_the_valid_mask(encoder):
    valid_HW = torch.zeros(96, 128, dtype=torch.bool)
    valid_HW[20:70, 30:90] = True
    features = encoder.encode(to_tensor(patchwork(128, 96), CPU), 500, valid_HW)
    u_n, v_n = features.pixels_n2.long().T
    assert len(u_n) > 10
    assert valid_HW[v_n, u_n].all()
    nothing = encoder.encode(to_tensor(patchwork(128, 96), CPU), 500, torch.zeros_like(valid_HW))
    assert len(nothing.pixels_n2) == 0


def test_the_same_image_gives_the_same_features(encoder):
    first, second = (encoder.encode(to_tensor(patchwork(128, 96), CPU), 100) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("radius_px", [0, 1, 2, 5])
def test_the_highest_within_a_square_is_that_of_max_pooling(radius_px):
    score_hw = torch.rand(37, 24, generator=torch.Generator().manual_seed(radius_px))
    pooled_11hw = functional.max_pool2d(score_hw[None, None], 2 * radius_px + 1, 1, radius_px)
    assert torch.equal(highest_within(score_hw, radius_px), pooled_11hw[0, 0])


def test_an_unknown_local_encoder_is_named():
    with pytest.raises(WeightsError, match="'sift'"):
        local_encoder("sift", CPU)


def test_corners_keep_their_distance_and_keep_off_the_edge():
    score_HW = torch.from_numpy(np.random.default_rng(0).uniform(size=(96, 128))).float()
    pixels_n2, scores_n = likeliest_keypoints(score_HW, 100, 8, nms_px=6, border_px=5)
    assert len(pixels_n2) > 40
    assert pixels_n2.min() >= 5
    assert ((pixels_n2 + 5) < torch.tensor([128, 96])).all()
    u_n, v_n = pixels_n2.long().T
    assert torch.equal(scores_n, score_HW[v_n, u_n])
    apart_nn = (pixels_n2[:, None] - pixels_n2[None]).abs().amax(dim=2)
    apart_nn.fill_diagonal_(1e3)
    assert apart_nn.min() > 6


# --- global codes ---


@pytest.fixture(scope="module")
def walls(encoder):
    """Features of crops of two walls: five overlapping ones of each."""
    crops = []
    for seed in (1, 2):
        wall_hw = patchwork(256, 96, seed=seed, tile_px=14 + seed)
        crops += [wall_hw[:, 12 * i : 12 * i + 160] for i in range(5)]
    return [encoder.encode(to_tensor(np.ascontiguousarray(crop), CPU), 150) for crop in crops]


WALL_POSES = [
    Pose(np.eye(3), np.array([50.0 * wall, 0.1 * crop, 0.0]))
    for wall in range(2)
    for crop in range(5)
]


def test_codes_tell_views_of_one_wall_from_those_of_another(walls):
    vlad = VladEncoder.learn(walls, WALL_POSES, VladConfig(words=8, channels=6), seed=0)
    descriptors_nG = torch.stack([vlad.encode(features) for features in walls])
    assert torch.allclose(descriptors_nG.norm(dim=1), torch.ones(10), atol=1e-5)
    assert torch.equal(vlad.encode(walls[3]), descriptors_nG[3])
    cosine_nn = descriptors_nG @ descriptors_nG.T
    covisible, others = cosine_nn[:5, :5], cosine_nn[:5, 5:]
    assert covisible.mean() > others.mean() + 0.3
    # where no pose says what belongs together, neighbours on a wall are nearer than its ends
    apart = [Pose(np.eye(3), np.array([50.0 * i, 0.0, 0.0])) for i in range(10)]
    vlad = VladEncoder.learn(walls, apart, VladConfig(words=8, channels=6), seed=0)
    first, second, last = (vlad.encode(walls[i]) for i in (0, 1, 4))
    assert first @ second > first @ last


def test_the_projection_drops_what_changes_between_views_of_one_place():
    """Codes of places hide in one direction; another, ten times as strong, only tells views."""
    rng = np.random.default_rng(0)
    place_n, channels = np.repeat(np.arange(8), 6), 24
    vlads_nd = 0.05 * rng.normal(size=(48, channels))
    vlads_nd[:, 0] += 10.0 * rng.normal(size=48)
    vlads_nd[:, 1] += np.where(place_n % 2, 1.0, -1.0)
    vlads_nd = (vlads_nd - vlads_nd.mean(axis=0)).astype(np.float32)
    pairs_p2 = np.array([(a, b) for a in range(48) for b in range(a) if place_n[a] == place_n[b]])
    config = VladConfig(channels=1, shrinkage=0.01)
    with_poses_1d = projection(vlads_nd, pairs_p2, config.channels, config.shrinkage)
    without_1d = projection(vlads_nd, pairs_p2[:0], config.channels, config.shrinkage)
    assert abs(with_poses_1d[0]).argmax() == 1
    assert abs(without_1d[0]).argmax() == 0


def test_covisible_pairs_are_near_and_look_the_same_way():
    back = Pose.from_rotation_vector([0, 0, 0], [0, np.pi, 0])
    far = Pose(np.eye(3), np.array([1.5, 0.0, 0.0]))
    near = Pose(np.eye(3), np.array([0.9, 0.0, 0.0]))
    pairs_p2 = covisible_pairs([Pose.identity(), back, near, far])
    assert pairs_p2.tolist() == [[0, 2], [2, 3]]


def test_a_short_recording_gets_a_short_code(walls):
    config = VladConfig(words=8, channels=32)
    vlad = VladEncoder.learn(walls[:4], WALL_POSES[:4], config, seed=0)
    assert vlad.channels == 3  # four points span no more
    rebuilt = VladEncoder(**vlad.tensors(), patches=vlad.patches)
    assert torch.equal(rebuilt.encode(walls[0]), vlad.encode(walls[0]))


def test_the_vocabulary_depends_on_the_seed_alone(walls):
    config = VladConfig(words=8, channels=6)
    first, second = (
        VladEncoder.learn(walls, WALL_POSES, config, seed=5).tensors() for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_clustered_codes_are_one_per_wall(walls):
    vlad = VladEncoder.learn(walls, WALL_POSES, VladConfig(words=8, channels=6), seed=0)
    descriptors_vG = torch.stack([vlad.encode(features) for features in walls])
    clustered = vlad.with_clusters(descriptors_vG, 2, seed=0)
    assert (vlad.name, clustered.name) == ("vlad", "kmeans:2")
    centres_vG = torch.stack([clustered.encode(features) for features in walls])
    assert torch.unique(centres_vG[:5], dim=0).shape[0] == 1
    assert torch.unique(centres_vG[5:], dim=0).shape[0] == 1
    assert not torch.equal(centres_vG[0], centres_vG[5])
    assert torch.allclose(centres_vG.norm(dim=1), torch.ones(10), atol=1e-5)
    mean_G = torch.nn.functional.normalize(descriptors_vG[:5].mean(dim=0), dim=0)
    assert torch.allclose(centres_vG[0], mean_G, atol=1e-4)
    # through fp16 and back it is the same kind of encoder
    assert clustered.map_tensors(lambda tensor: tensor.half().float()).name == "kmeans:2"
    with pytest.raises(ValueError, match="10 codes"):
        vlad.with_clusters(descriptors_vG, 11, seed=0)


def test_there_is_a_place_for_each_view_that_is_remembered(walls):
    plain = VladEncoder.learn(walls, WALL_POSES, VladConfig(words=8, channels=6), seed=0)
    with pytest.raises(ValueError, match="as many places"):
        plain.with_views(torch.zeros(4, 6), torch.zeros(3, 3))


def test_both_parts_of_the_head_input_have_unit_variance():
    generator = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize
    descriptors_nC = unit(torch.randn(4000, 64, generator=generator), dim=1)
    descriptors_nG = unit(torch.randn(4000, 16, generator=generator), dim=1)
    input_nC = head_input(descriptors_nC.half(), descriptors_nG)
    assert input_nC.shape == (4000, 80)
    assert input_nC.dtype == torch.float32
    assert input_nC[:, :16].var().item() == pytest.approx(1.0, abs=0.03)
    assert input_nC[:, 16:].var().item() == pytest.approx(1.0, abs=0.03)
    # the global code comes first, as in the paper
    assert torch.allclose(unit(input_nC[:, :16], dim=1), descriptors_nG, atol=1e-6)
    assert head_input(descriptors_nC, None).shape == (4000, 64)
