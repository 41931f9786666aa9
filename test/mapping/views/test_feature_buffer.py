"""The buffer is small, knows each sample's camera by its view, and stays within its memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.core_scenes import (
    CAMERA,
    buffer_of,
    intrinsics,
    patchwork,
    poses,
    rgb,
    ring_of_views,
    seen_points,
    unit_rows,
)

from glace_ros.errors import MappingError
from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.intrinsics_correction import IntrinsicsCorrection
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.resume.encoding_journal import EncodingJournal
from glace_ros.mapping.training.map_trainer import MapTrainer
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.mapping.views.augmentation import AugmentationConfig
from glace_ros.mapping.views.encoded_views import EncodedViews, _transfer
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.mapping.views.mapping_views import MappingView, MappingViews, sample_bytes
from glace_ros.maps.coordinate_head import CoordinateHeadConfig
from glace_ros.ranks import Ranks
from glace_ros.recording.posed_images import PosedImage

CPU = torch.device("cpu")
TARGET_3 = np.array([2.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def encoder():
    return XFeatEncoder(CPU)


def drive(images: int) -> list[PosedImage]:
    views = ring_of_views(images, 4.0, TARGET_3, arc_rad=0.5)
    return [
        PosedImage(i, rgb(patchwork(128, 96, seed=i)), CAMERA, pose) for i, pose in enumerate(views)
    ]


def encoded_drive(encoder, images: int, config: FeatureBufferConfig, augmented_views: int = 1):
    encoded = EncodedViews(encoder, config, AugmentationConfig(views=augmented_views), seed=0)
    for image in drive(images):
        encoded.add(image)
    return encoded


def bytes_each(samples) -> float:
    """Memory of one sample."""
    whole = sum(tensor.numel() * tensor.element_size() for tensor in samples)
    return whole / len(samples.view_n)


@pytest.fixture(scope="module")
def buffer(encoder):
    config = FeatureBufferConfig(patches=100, short_side_px=96)
    return encoded_drive(encoder, 4, config).buffer(np.zeros(3), None, CPU)


def test_a_sample_is_small_and_holds_an_index_in_place_of_matrices(buffer):
    """Defect 8 of the reference: 1160 bytes, with pose and intrinsics in each."""
    assert bytes_each(buffer.samples) <= 160
    for tensor in buffer.samples:
        assert tensor.shape[0] == len(buffer)
        assert tensor.dim() == 1 or tensor.shape[1] in (2, 3, XFeatEncoder.channels)
    assert not buffer.samples.view_n.is_floating_point()
    assert buffer.camera_from_map_v34.shape == (4, 3, 4)
    assert sorted(buffer.samples.view_n.unique().tolist()) == [0, 1, 2, 3]


def test_observations_are_those_of_the_samples_view(buffer):
    images = drive(4)
    index_n = torch.randperm(len(buffer), generator=torch.Generator().manual_seed(0))[:50]
    observed = buffer.observations(index_n)
    assert torch.equal(observed.pixels_n2, buffer.samples.pixels_n2[index_n])
    for row, view in enumerate(buffer.samples.view_n[index_n].tolist()):
        matrix_34 = images[view].map_from_camera.inverse().matrix_44[:3]
        assert np.allclose(observed.camera_from_map_n34[row].numpy(), matrix_34, atol=1e-5)
        # defect 4 of the reference: fx != fy is refused there
        assert torch.equal(observed.intrinsics_n4[row], intrinsics(CAMERA))


def test_batches_are_drawn_where_the_buffer_lies(buffer):
    """Defect 8 of the reference: a permutation on the CPU indexes the GPU at every step. On the
    "meta" device, which has no memory to copy from, only code that never leaves it works.
    """
    trainer = MapTrainer(
        MapTrainerConfig(batch=16), buffer, None, 0.0,
        CoordinateHeadConfig(global_channels=0, width=8), torch.zeros(1, 3), CPU,
    )  # fmt: skip
    assert trainer._generator.device == buffer.samples.view_n.device
    drawn_n = trainer._draw()
    assert drawn_n.device == buffer.samples.view_n.device
    assert drawn_n.shape == (16,)
    trainer._batches._device = torch.device("meta")
    trainer._generator = None
    assert trainer._draw().device.type == "meta"


@given(poses(limit_m=10.0))
@settings(max_examples=15)
def test_world_points_land_on_their_pixels_through_the_observations(pose):
    """Matrix, intrinsics and pixel of one sample belong together, at any origin."""
    rng = np.random.default_rng(0)
    in_camera_n3 = rng.uniform([-1, -1, 2], [1, 1, 5], (8, 3))
    points_n3 = pose.transform(in_camera_n3)
    origin_3 = pose.translation_3 + 0.7
    seen = seen_points(points_n3, unit_rows(rng, 8, 64), pose, rng)
    observed = buffer_of([(seen, pose)], origin_3, points_n3).observations(torch.arange(8))
    local_n3 = torch.from_numpy(points_n3 - origin_3).float()
    again_n3 = torch.einsum("nij,nj->ni", observed.camera_from_map_n34[:, :, :3], local_n3)
    again_n3 = again_n3 + observed.camera_from_map_n34[:, :, 3]
    pixels_n2 = again_n3[:, :2] / again_n3[:, 2:] * observed.intrinsics_n4[:, :2]
    pixels_n2 = pixels_n2 + observed.intrinsics_n4[:, 2:]
    assert torch.allclose(pixels_n2, observed.pixels_n2, atol=2e-3)


def test_a_far_origin_is_taken_off_in_float64(encoder):
    far_3 = np.array([4.5e5, 4.5e6, 300.0])
    config = FeatureBufferConfig(patches=20, short_side_px=96)
    encoded = EncodedViews(encoder, config, AugmentationConfig(views=0), seed=0)
    near, far = (
        Pose(p.rotation_33, p.translation_3 + shift_3)
        for p in [drive(1)[0].map_from_camera]
        for shift_3 in (np.zeros(3), far_3)
    )
    encoded.add(PosedImage(0, rgb(patchwork(128, 96)), CAMERA, far))
    matrix_34 = encoded.buffer(far_3, None, CPU).camera_from_map_v34[0]
    assert np.allclose(matrix_34.numpy(), near.inverse().matrix_44[:3], atol=1e-5)


def test_memory_stays_within_its_bound_and_every_view_keeps_its_best(encoder):
    whole = encoded_drive(encoder, 5, FeatureBufferConfig(patches=100, short_side_px=96))
    bound = 5 * 2 * 30 * 160  # 30 patches of each image and its augmented view, at most
    config = FeatureBufferConfig(patches=100, short_side_px=96, max_bytes=bound)
    buffer = encoded_drive(encoder, 5, config).buffer(np.zeros(3), None, CPU)
    assert bytes_each(buffer.samples) * len(buffer) <= bound
    counts = buffer.samples.view_n.bincount()
    assert counts.min() == counts.max() >= 40
    best_n2 = whole.views[3].features.pixels_n2[: int(counts[3]) // 2]
    kept_n2 = buffer.samples.pixels_n2[buffer.samples.view_n == 3]
    assert torch.equal(kept_n2[: len(best_n2)], best_n2)


def features_of(rng: np.random.Generator, count: int) -> LocalFeatures:
    """Patches that tell where they belong: a pixel and a score of their own."""
    scores_n = np.sort(rng.uniform(0.1, 1.0, count))[::-1].copy()
    return LocalFeatures(
        torch.from_numpy(unit_rows(rng, count, 64)).float(),
        torch.from_numpy(rng.uniform(0, 100, (count, 2))).float(),
        torch.from_numpy(scores_n).float(),
    )


def test_a_full_memory_lets_every_view_keep_its_best_and_mixes_nothing_up():
    """However many views come: the memory is what it was, and each patch is its view's."""
    rng = np.random.default_rng(0)
    views = MappingViews(64, 2, patches=50, max_bytes=500 * sample_bytes(64))
    whole, rooms = [], set()
    for index in range(40):
        copies = [features_of(rng, rng.integers(30, 80)), features_of(rng, rng.integers(3, 60))]
        pose = Pose.from_planar(float(index), 0.0, 0.0)
        views.append(MappingView(copies[0], pose, torch.full((4,), float(index))), copies[1:])
        whole.append(copies)
        rooms.add(views.samples.pixels_n2.untyped_storage().nbytes())
        assert len(views.samples.view_n) <= 500
    assert len(rooms) == 1
    assert 0.8 * 500 / 80 <= views.patches <= 500 / 80
    for index, copies in enumerate(whole):
        for copy, features in enumerate(copies):
            kept, rows = views.features(index, copy), views.rows(index, copy)
            assert len(kept.scores_n) == min(views.patches, len(features.scores_n))
            for found, expected in zip(kept, features.head(views.patches), strict=True):
                assert torch.equal(found, expected.to(found.dtype))
            assert (views.samples.view_n[rows] == index).all()
        assert views[index].map_from_camera.translation_3[0] == index
        assert views[index].intrinsics_4.tolist() == [index] * 4


def test_a_buffer_that_cannot_hold_one_patch_of_each_view_says_so():
    rng = np.random.default_rng(0)
    views = MappingViews(64, 1, patches=50, max_bytes=3 * sample_bytes(64))
    view = MappingView(features_of(rng, 50), Pose.identity(), torch.zeros(4))
    for _ in range(3):
        views.append(view)
    with pytest.raises(MappingError, match="more than 3 images.*--buffer-gb"):
        views.append(view)


def test_poses_can_be_replaced_when_all_is_encoded(encoder):
    """What is made of the views takes the new ones; what was recorded is still known."""
    encoded = encoded_drive(encoder, 3, FeatureBufferConfig(patches=20))
    views, recorded = encoded.views, [image.map_from_camera for image in drive(3)]
    refined = [Pose.from_planar(float(index), 2.0, 0.5) for index in range(3)]
    with pytest.raises(ValueError, match="2 poses for 3 views"):
        views.set_poses(refined[:2])
    views.set_poses(refined)
    buffer = encoded.buffer(np.zeros(3), None, CPU)
    for index, (before, after) in enumerate(zip(recorded, refined, strict=True)):
        assert views[index].map_from_camera is views.map_from_camera[index] is after
        np.testing.assert_array_equal(
            views.recorded_map_from_camera[index].matrix_44, before.matrix_44
        )
        camera_from_map_34 = buffer.camera_from_map_v34[index].numpy()
        np.testing.assert_allclose(
            camera_from_map_34, after.inverse().matrix_44[:3], rtol=0, atol=1e-6
        )


def test_intrinsics_can_be_corrected_when_all_is_encoded(encoder):
    encoded = encoded_drive(encoder, 3, FeatureBufferConfig(patches=20))
    recorded_v4 = encoded.views.recorded_intrinsics_v4
    correction = IntrinsicsCorrection(-0.01, 0.02, 0.004, -0.002)
    for _ in range(2):  # of what is recorded: twice is once
        encoded.views.correct_intrinsics(correction)
    buffer = encoded.buffer(np.zeros(3), None, CPU)
    expected_v4 = correction.corrected_n4(recorded_v4.double().numpy())
    np.testing.assert_allclose(buffer.intrinsics_v4.numpy(), expected_v4, rtol=1e-6)
    assert not np.allclose(expected_v4, recorded_v4.numpy(), rtol=1e-3)
    assert torch.equal(encoded.views.recorded_intrinsics_v4, recorded_v4)


def test_each_view_knows_its_drive_and_its_time(encoder):
    encoded = EncodedViews(encoder, FeatureBufferConfig(patches=9), AugmentationConfig(), seed=0)
    for index, image in enumerate(drive(4)):
        encoded.add(replace(image, stamp_ns=10**18 + index % 2, drive=index // 2))
    assert encoded.views.stamps_v.tolist() == [10**18, 10**18 + 1] * 2
    assert encoded.views.drives_v.tolist() == [0, 0, 1, 1]
    assert (encoded.views[3].stamp_ns, encoded.views[3].drive) == (10**18 + 1, 1)


def test_few_expected_views_ask_for_no_more_memory_than_they_need():
    small = MappingViews(64, 2, patches=10, max_bytes=1 << 30, expected_views=7)
    assert small.samples.pixels_n2.untyped_storage().nbytes() == 7 * 2 * 10 * 8


def test_training_reads_the_memory_that_encoding_filled(encoder):
    """A copy would double the largest thing in memory."""
    config = FeatureBufferConfig(patches=50, short_side_px=96)
    encoded = encoded_drive(encoder, 2, config)
    buffer = encoded.buffer(np.zeros(3), None, CPU)
    for tensor, filled in zip(buffer.samples, encoded.views.samples, strict=True):
        assert tensor.data_ptr() == filled.data_ptr()


def test_augmented_patches_lie_in_the_recorded_image(encoder):
    """They keep the pose and camera of the recording: their pixels are carried back to it."""
    config = FeatureBufferConfig(patches=150, short_side_px=96)
    plain = encoded_drive(encoder, 2, config, augmented_views=0).buffer(np.zeros(3), None, CPU)
    more = encoded_drive(encoder, 2, config, augmented_views=3).buffer(np.zeros(3), None, CPU)
    assert len(more) > 2 * len(plain)
    low, high = more.samples.pixels_n2.amin(dim=0), more.samples.pixels_n2.amax(dim=0)
    assert (low >= -0.5).all()
    assert (high <= torch.tensor([127.5, 95.5])).all()


def test_the_same_seed_makes_the_same_buffer(encoder):
    """--resume goes on with the buffer that it left."""
    config = FeatureBufferConfig(patches=50, short_side_px=96)
    first, second = (
        encoded_drive(encoder, 2, config).buffer(np.zeros(3), None, CPU).samples for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("ranks", [1, 2])
def test_passes_over_the_images_fill_each_ranks_buffer_and_no_more(encoder, ranks):
    """11 encodings of so many images: each as often as the others, or once more."""
    config = FeatureBufferConfig(patches=20, short_side_px=96, samples=11 * 20 + 7)
    for rank in range(ranks):
        encoded = EncodedViews(
            encoder, config, AugmentationConfig(), 0, len(drive(7)), Ranks(rank, ranks)
        )
        for image in drive(7):
            encoded.add(image)
        counts = encoded.views.samples.view_n.bincount(minlength=7) // 20
        assert counts.sum() == 11
        assert len(encoded.views.scores_n) == 220
        own = counts[rank::ranks]
        assert own.max() - own.min() == 1
        samples = encoded.views.samples
        seen = torch.column_stack([samples.view_n, samples.pixels_n2])
        assert len(seen.unique(dim=0)) > 0.9 * 220  # each pass is augmented anew


def test_of_more_images_than_a_pass_can_take_each_gives_less(encoder):
    config = FeatureBufferConfig(patches=40, short_side_px=96, samples=100)
    encoded = EncodedViews(encoder, config, AugmentationConfig(), 0, 5)
    for image in drive(5):
        encoded.add(image)
    counts = encoded.views.samples.view_n.bincount()
    assert counts.min() == counts.max() >= 16
    assert counts.sum() <= 100


@pytest.mark.parametrize("plain", [True, False])
def test_the_image_as_it_is_comes_first_where_it_is_wanted(encoder, plain):
    config = FeatureBufferConfig(patches=50, short_side_px=96)
    once = encoded_drive(encoder, 1, config, augmented_views=0).views
    augmentation = AugmentationConfig(views=2, plain_first=plain)
    encoded = EncodedViews(encoder, config, augmentation, seed=0)
    encoded.add(drive(1)[0])
    first = encoded.views.features(0)
    assert torch.equal(first.pixels_n2, once.features(0).pixels_n2) is plain
    assert all(len(encoded.views.features(0, copy).scores_n) for copy in range(3))


def test_passes_need_the_number_of_images(encoder):
    with pytest.raises(ValueError, match="number of images"):
        EncodedViews(encoder, FeatureBufferConfig(samples=100), AugmentationConfig(), 0)


@pytest.mark.parametrize("drawn", [False, True])
def test_the_passes_are_gone_on_with_where_they_were_left(encoder, tmp_path, drawn):
    """Images that were taken twice and three times."""
    config = FeatureBufferConfig(patches=20, short_side_px=96, samples=220, sampled=drawn)

    def passes() -> tuple[EncodedViews, EncodingJournal]:
        encoded = EncodedViews(encoder, config, AugmentationConfig(), 0, 5)
        return encoded, EncodingJournal(tmp_path / "x", "mine", encoded, dict)

    (whole, _), (cut, journal), (resumed, again) = passes(), passes(), passes()
    images = drive(5)
    for image in images:
        whole.add(image)
    for image in images[:3]:
        cut.add(image)
        journal.save()
    again.restore()
    for image in images[3:]:
        resumed.add(image)
    for a, b in zip(resumed.views.samples, whole.views.samples, strict=True):
        assert torch.equal(a, b)


def test_an_augmented_patch_takes_over_the_point_it_falls_on():
    pixels_n2 = torch.tensor([[10.0, 10.0], [50.0, 50.0], [90.0, 20.0]])
    points_n3 = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    good_n = torch.tensor([True, False, True])
    seen_a2 = torch.tensor([[90.7, 20.7], [50.0, 50.0], [10.0, 11.9]])
    points_a3, good_a = _transfer(pixels_n2, points_n3, good_n, seen_a2, radius_px=1.5)
    assert good_a.tolist() == [True, False, False]  # untriangulated, and too far
    assert points_a3[0].tolist() == [7.0, 8.0, 9.0]


def test_an_image_without_a_pose_is_refused(encoder):
    encoded = EncodedViews(encoder, FeatureBufferConfig(), AugmentationConfig(), seed=0)
    with pytest.raises(ValueError, match="no pose"):
        encoded.add(PosedImage(0, rgb(patchwork(128, 96)), CAMERA, None))


def test_different_cameras_may_share_a_recording(encoder):
    """A zoomed image keeps its own intrinsics."""
    other = Camera(128, 96, 150.0, 140.0, 70.0, 40.0)
    encoded = EncodedViews(
        encoder, FeatureBufferConfig(20, 96), AugmentationConfig(views=0), seed=0
    )
    pose = drive(1)[0].map_from_camera
    for camera in (CAMERA, other):
        encoded.add(PosedImage(0, rgb(patchwork(128, 96)), camera, pose))
    buffer = encoded.buffer(np.zeros(3), None, CPU)
    assert torch.equal(buffer.intrinsics_v4, torch.stack([intrinsics(CAMERA), intrinsics(other)]))
