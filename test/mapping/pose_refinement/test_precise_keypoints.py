"""Precise keypoints: they follow the picture by a fraction of a pixel, and better the poses."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from support.drifting_drive import bases, drifted, record, refined, rmse_m, room, rounds

from glace_ros.mapping.pose_refinement.pose_refinement import PoseRefinement
from glace_ros.mapping.pose_refinement.precise_keypoints import (
    NONE,
    PreciseKeypoints,
    precise_keypoints,
)
from glace_ros.mapping.pose_refinement.refinement_config import PRECISE, PoseRefinementConfig
from glace_ros.mapping.view_refinement import ViewImages, precise_keypoints_of


def picture(seed: int = 0) -> np.ndarray:
    """Blobs of all sizes, (240, 320) uint8."""
    rng = np.random.default_rng(seed)
    grey_hw = np.zeros((240, 320), np.float32)
    for sigma_px in (1.2, 2.0, 4.0):
        noise_hw = rng.normal(size=grey_hw.shape).astype(np.float32)
        grey_hw += sigma_px * cv2.GaussianBlur(noise_hw, (0, 0), sigma_px)
    return np.clip(128 + 60 * grey_hw, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shift_2", [(0.5, 0.25), (-1.3, 0.7), (3.0, -2.0)])
def test_they_follow_a_picture_that_moves_by_fractions_of_a_pixel(shift_2):
    grey_hw = picture()
    move_23 = np.array([[1.0, 0.0, shift_2[0]], [0.0, 1.0, shift_2[1]]])
    moved_hw = cv2.warpAffine(
        grey_hw, move_23, (320, 240), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    first, second = (precise_keypoints(image, 300) for image in (grey_hw, moved_hw))
    best_n, index_n = (first.descriptors_nC.float() @ second.descriptors_nC.float().T).max(dim=1)
    same_n = (best_n > 0.95).numpy()
    assert same_n.sum() > 100
    off_n2 = second.pixels_n2[index_n.numpy()[same_n]] - first.pixels_n2[same_n] - shift_2
    off_n = np.linalg.norm(off_n2, axis=1)
    assert np.median(off_n) < 0.15
    assert np.mean(off_n < 1.0) > 0.95


def test_descriptors_are_of_unit_norm_and_no_place_is_named_twice():
    found = precise_keypoints(picture(1), 200)
    assert 150 < len(found.pixels_n2) <= 200
    assert found.descriptors_nC.shape == (len(found.pixels_n2), 128)
    assert found.descriptors_nC.float().norm(dim=1).numpy() == pytest.approx(1.0, abs=2e-3)
    assert len(np.unique(np.round(found.pixels_n2, 2), axis=0)) == len(found.pixels_n2)
    assert (found.pixels_n2 >= 0).all()
    assert (found.pixels_n2 < [320, 240]).all()


def test_a_covered_lens_has_none():
    found = precise_keypoints(np.full((240, 320), 7, np.uint8), 200)
    assert found is NONE
    assert len(found.descriptors_nC) == len(found.pixels_n2) == 0


def test_each_view_gets_those_of_its_own_image():
    """Whatever the order; an image that is gone gives none."""
    pictures = {(0, 5): picture(1), (1, 5): picture(2), (1, 9): picture(3)}
    places = [(0, 5), (0, 7), (1, 5), (1, 9)]
    drives_v, stamps_v = np.array(places).T
    asked = []

    class Views:
        def __init__(self):
            self.drives_v, self.stamps_v = drives_v, stamps_v

        def __len__(self):
            return len(places)

    def images_at(wanted):
        asked.append(wanted)
        for drive, stamp_ns in reversed(pictures):
            yield SimpleNamespace(drive=drive, stamp_ns=stamp_ns)

    images = ViewImages(Views(), images_at, lambda image: pictures[image.drive, image.stamp_ns])
    found = precise_keypoints_of(Views(), images, PRECISE)
    assert asked == [set(places)]
    assert found[1] is NONE
    for number, place in enumerate(places):
        if place in pictures:
            expected = precise_keypoints(pictures[place], PRECISE.count)
            assert found[number].pixels_n2.tolist() == expected.pixels_n2.tolist()


@pytest.mark.parametrize("seed", [0, 1])
def test_poses_are_better_by_them(seed):
    """Keypoints of a local encoder that scatter by 2 px, and precise ones that scatter by 0.3."""
    pytest.importorskip("gtsam")
    rng = np.random.default_rng(seed)
    truth = rounds(64)
    recorded = drifted(truth, rng, yaw_deg=2.0, metres=0.02)
    coarse = record(room(1), truth, recorded, rng, noise_px=2.0)
    fine = record(room(2), truth, recorded, rng, noise_px=0.3)
    keypoints = [
        PreciseKeypoints(view.descriptors_nC.to(torch.float16), view.pixels_n2) for view in fine
    ]
    off_m = [
        rmse_m(bases(refined(coarse, precise=precise).map_from_camera), truth)
        for precise in (None, lambda: keypoints)
    ]
    assert off_m[1] < 0.5 * off_m[0]


def test_a_drive_whose_images_show_none_is_refined_without_them():
    pytest.importorskip("gtsam")
    rng = np.random.default_rng(0)
    truth = rounds(64)
    recorded = drifted(truth, rng)
    views = record(room(1), truth, recorded, rng)
    poses = bases(refined(views, precise=lambda: [NONE] * len(views)).map_from_camera)
    assert rmse_m(poses, truth) < 0.006


@pytest.mark.parametrize("with_precise", [False, True])
def test_progress_rises_to_the_end_however_soon_nothing_moves(with_precise):
    pytest.importorskip("gtsam")
    truth, told = rounds(32), []
    views = record(room(1), truth, truth, np.random.default_rng(0))
    precise = (lambda: [NONE] * len(views)) if with_precise else None
    PoseRefinement(
        views,
        ["drive"],
        PoseRefinementConfig(),
        precise,
        lambda share, step: told.append((share, step)),
    ).run()
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert told[-1] == (1.0, "adjusting all views")
    assert ("precise keypoints" in [step for _, step in told]) == with_precise
