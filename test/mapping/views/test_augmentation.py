"""An augmented view is what a rolled and zoomed camera would have seen, and leads back."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.core_scenes import CAMERA, cameras, centroid, coordinates, dots, patchwork, poses

from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.views.augmentation import (
    AugmentationConfig,
    AugmentedView,
    augment,
    view_homography,
)
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.recording.posed_images import PosedImage

UNLIT = AugmentationConfig(brightness=0.0, contrast=0.0)


def zoomed(camera: Camera, scale: float) -> Camera:
    """Another lens on the same sensor: the principal point stays."""
    return Camera(
        camera.width_px, camera.height_px, scale * camera.fx_px, scale * camera.fy_px,
        camera.cx_px, camera.cy_px,
    )  # fmt: skip


@given(cameras(), poses(), st.floats(0.4, 2.5), st.floats(-3.0, 3.0), st.data())
@settings(max_examples=60)
def test_the_homography_is_that_of_a_camera_rolled_about_its_axis(
    camera, map_from_camera, scale, roll_rad, data
):
    """Defect 2 of the reference: it rotates about the image's centre. Here: fx != fy, principal
    point anywhere, against a point in the world and an explicit camera.
    """
    in_camera_13 = np.array([[data.draw(coordinates(2.0)), data.draw(coordinates(2.0)), 1.0]])
    point_13 = map_from_camera.transform(in_camera_13 * data.draw(st.floats(0.5, 20.0)))
    # the camera turns by -roll, so what it sees turns by +roll
    turned = map_from_camera @ Pose.from_rotation_vector([0, 0, 0], [0, 0, -roll_rad])
    seen_12 = zoomed(camera, scale).project(turned.inverse().transform(point_13))
    recorded_12 = camera.project(map_from_camera.inverse().transform(point_13))
    warped_3 = view_homography(camera, scale, roll_rad) @ [*recorded_12[0], 1.0]
    assert warped_3[:2] / warped_3[2] == pytest.approx(seen_12[0], rel=1e-6, abs=1e-4)


@given(cameras(), st.floats(0.4, 2.5), st.floats(-3.0, 3.0), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=40)
def test_pixels_of_a_view_lead_back_to_the_recorded_image(camera, scale, roll_rad, across, down):
    homography_33 = view_homography(camera, scale, roll_rad)
    view = AugmentedView(np.zeros((1, 1)), np.ones((1, 1)), np.linalg.inv(homography_33))
    recorded_2 = np.array([across * camera.width_px, down * camera.height_px])
    warped_3 = homography_33 @ [*recorded_2, 1.0]
    assume(abs(warped_3[2]) > 1e-6)
    back_12 = view.to_recorded((warped_3[:2] / warped_3[2])[None])
    assert back_12[0] == pytest.approx(recorded_2, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_found_in_the_view_lies_where_it_was_recorded(seed):
    """The warped pixels themselves: a dot in the view leads back to the dot in the recording."""
    recorded_n2 = np.array([[40.0, 30.0], [70.0, 60.0], [30.0, 70.0], [85.0, 35.0]])
    grey_hw = dots(128, 96, recorded_n2, sigma_px=2.5)
    view = augment(grey_hw, CAMERA, UNLIT, np.random.default_rng(seed))
    view_from_recorded_33 = np.linalg.inv(view.recorded_from_view_33)
    found = 0
    for recorded_2 in recorded_n2:
        warped_3 = view_from_recorded_33 @ [*recorded_2, 1.0]
        expected_2 = warped_3[:2] / warped_3[2]
        if (expected_2 < 9).any() or (expected_2 > [118, 86]).any():
            continue  # zoomed out of the picture
        seen_2 = centroid(view.grey_hw, expected_2, 8)
        assert view.to_recorded(seen_2[None])[0] == pytest.approx(recorded_2, abs=0.3)
        found += 1
    assert found >= 2


def test_views_roll_and_zoom_within_the_limits_and_use_them():
    rng = np.random.default_rng(0)
    grey_hw = patchwork(128, 96)
    scales, rolls_deg = [], []
    for _ in range(60):
        view = augment(grey_hw, CAMERA, AugmentationConfig(scale=1.5, roll_deg=15.0), rng)
        turn_33 = (
            np.linalg.inv(CAMERA.matrix_33)
            @ np.linalg.inv(view.recorded_from_view_33)
            @ CAMERA.matrix_33
        )
        scales.append(np.linalg.norm(turn_33[:2, 0]))
        rolls_deg.append(np.degrees(np.arctan2(turn_33[1, 0], turn_33[0, 0])))
    assert 1 / 1.5 - 1e-6 <= min(scales) < 0.8
    assert 1.25 < max(scales) <= 1.5 + 1e-6
    assert -15.001 <= min(rolls_deg) < -9
    assert 9 < max(rolls_deg) <= 15.001


@pytest.mark.parametrize("seed", range(5))
def test_patches_at_the_black_border_are_masked(seed):
    """Around a valid pixel, as far as a patch sees, there is nothing but the recorded image."""
    config = AugmentationConfig(scale=1.5, roll_deg=15.0, brightness=0.0, contrast=0.0)
    bright_hw = np.full((96, 128), 200, np.uint8)
    view = augment(bright_hw, CAMERA, config, np.random.default_rng(seed))
    recorded = view.grey_hw > 40  # the outermost pixels are blended with the black
    for v, u in zip(*np.nonzero(view.valid_hw), strict=True):
        assert recorded[max(0, v - 8) : v + 9, max(0, u - 8) : u + 9].all()
    assert view.valid_hw.mean() > 0.2


def test_some_view_has_a_border_to_mask():
    """Otherwise the test above would test nothing."""
    bright_hw = np.full((96, 128), 200, np.uint8)
    shares = [
        augment(bright_hw, CAMERA, UNLIT, np.random.default_rng(seed)).valid_hw.mean()
        for seed in range(5)
    ]
    assert min(shares) < 0.8


def test_nothing_changes_where_nothing_is_asked_for():
    still = AugmentationConfig(scale=1.0, roll_deg=0.0, brightness=0.0, contrast=0.0)
    view = augment(patchwork(128, 96), CAMERA, still, np.random.default_rng(0))
    assert np.abs(view.grey_hw.astype(int) - patchwork(128, 96)).max() <= 1
    assert view.valid_hw.all()
    assert np.allclose(view.recorded_from_view_33, np.eye(3))


def test_light_changes_within_its_limits():
    still = AugmentationConfig(scale=1.0, roll_deg=0.0, brightness=0.1, contrast=0.1)
    grey_hw, rng = patchwork(128, 96), np.random.default_rng(0)
    views = [augment(grey_hw, CAMERA, still, rng).grey_hw.astype(float) for _ in range(40)]
    shifts = [view.mean() - grey_hw.mean() for view in views]
    gains = [view.std() / grey_hw.std() for view in views]
    assert -26.5 < min(shifts) < -12 < 12 < max(shifts) < 26.5
    assert 0.85 < min(gains) < 0.96 < 1.03 < max(gains) < 1.11


def test_a_view_has_the_black_corners_of_an_undistorted_image_moved_with_it():
    """What the lens did not see is not valid in the view either, wherever it comes to lie."""
    lens = Camera(320, 240, 180.0, 190.0, 150.0, 125.0, "plumb_bob", (0.35, 0.05, 0.0, 0.0, 0.0))
    grey_hw = lens.undistort(np.full((240, 320), 200, np.uint8))
    for seed in range(4):
        view = augment(grey_hw, lens.undistorted, UNLIT, np.random.default_rng(seed))
        assert view.valid_hw.any()
        assert (view.grey_hw[view.valid_hw] > 100).all()  # half of it, at the image's border
        assert (~view.valid_hw).sum() > (
            ~augment(
                grey_hw,
                Camera(320, 240, 180.0, 190.0, 150.0, 125.0),
                UNLIT,
                np.random.default_rng(seed),
            ).valid_hw
        ).sum()


def test_no_view_or_copy_of_it_has_a_feature_on_the_edge_of_what_the_lens_saw():
    """A blank wall, in the black corners' frame that pincushion distortion leaves."""
    lens = Camera(320, 224, 180.0, 190.0, 150.0, 115.0, "plumb_bob", (0.35, 0.05, 0.0, 0.0, 0.0))
    wall = np.random.default_rng(2).integers(120, 124, (224, 320, 3), dtype=np.uint8)
    near_hw = cv2.dilate((~lens.undistorted.valid_hw).astype(np.uint8), np.ones((9, 9))) > 0

    def on_the_edge(pinhole: Camera) -> int:
        config = FeatureBufferConfig(patches=60, short_side_px=224)
        encoder = XFeatEncoder(torch.device("cpu"))
        encoded = EncodedViews(encoder, config, AugmentationConfig(views=2), 3, 1)
        encoded.add(PosedImage(0, lens.undistort(wall), pinhole, Pose.identity()))
        u_n, v_n = encoded.views.samples.pixels_n2.numpy().round().astype(int).T
        assert len(u_n) == 180
        return int(near_hw[v_n.clip(0, 223), u_n.clip(0, 319)].sum())

    assert on_the_edge(lens.undistorted) == 0
    assert on_the_edge(Camera(320, 224, 180.0, 190.0, 150.0, 115.0)) > 20  # who does not know
