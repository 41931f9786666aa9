"""The paper's presets draw patches at random, as often as the encoder's scores say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_scenes import patchwork, rgb

from glace_ros.features.keypoint_sampling import likeliest_keypoints
from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.views.augmentation import AugmentationConfig
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.recording.posed_images import PosedImage

CPU = torch.device("cpu")
UNCHANGED = AugmentationConfig(
    plain_first=False, scale=1.0, roll_deg=0.0, brightness=0.0, contrast=0.0
)


def patches(scores: list[float]) -> LocalFeatures:
    """Patches that tell by descriptor and pixel which they are."""
    number_n = torch.arange(len(scores)).float()
    return LocalFeatures(
        number_n[:, None], torch.stack([number_n, -number_n], dim=1), torch.tensor(scores)
    )


def image(width: int, height: int) -> PosedImage:
    camera = Camera(width, height, 100.0, 100.0, width / 2, height / 2)
    return PosedImage(0, rgb(patchwork(width, height)), camera, Pose.identity())


def require_frequencies(counts: np.ndarray, expected: np.ndarray) -> None:
    """Pearson's statistic within six standard deviations of its mean; nothing where none is."""
    assert (counts[expected == 0] == 0).all()
    likely = expected > 0
    expected = expected[likely] / expected.sum() * counts.sum()
    assert expected.min() > 5  # else the statistic is not distributed so
    statistic = ((counts[likely] - expected) ** 2 / expected).sum()
    freedom = likely.sum() - 1
    assert statistic < freedom + 6 * np.sqrt(2 * freedom)


def test_patches_are_drawn_one_after_the_other_as_likely_as_their_scores():
    """The first by its share of all, the second by its share of those that are left."""
    scores = [0.4, 0.0, 0.05, 0.3, 1e-3]  # of no sum in particular
    share_n = np.array(scores) / sum(scores)
    expected_nn = share_n[:, None] * share_n[None, :] / (1 - share_n[:, None])
    np.fill_diagonal(expected_nn, 0.0)
    rng, counts_nn = np.random.default_rng(0), np.zeros((5, 5))
    for _ in range(6000):
        first, second = patches(scores).sampled(2, rng).descriptors_nC[:, 0].int().tolist()
        counts_nn[first, second] += 1
    assert (counts_nn.diagonal() == 0).all()
    require_frequencies(counts_nn[:4, :4].ravel(), expected_nn[:4, :4].ravel())
    rare, frequent = counts_nn[4].sum(), counts_nn[0].sum()
    assert rare < 40 < frequent


@given(
    st.lists(st.sampled_from([0.0, 1e-30, 1e-4, 0.2, 0.2, 1.0]), max_size=30), st.integers(0, 40)
)
@settings(max_examples=60)
def test_no_patch_comes_twice_nor_one_without_a_score_and_of_few_all_come(scores, count):
    found = patches(scores)
    drawn, again = (found.sampled(count, np.random.default_rng(1)) for _ in range(2))
    chosen_n = drawn.descriptors_nC[:, 0].long()
    possible = sum(score > 0 for score in scores)
    assert len(chosen_n.unique()) == len(chosen_n) == min(count, possible)
    assert (drawn.scores_n > 0).all()
    for tensor, whole, same in zip(drawn, found, again, strict=True):
        assert torch.equal(tensor, whole[chosen_n])
        assert torch.equal(tensor, same)
    # memory that runs short keeps the first of them: a smaller draw
    fewer = found.sampled(count // 2, np.random.default_rng(1))
    assert torch.equal(fewer.pixels_n2, drawn.pixels_n2[: len(fewer.pixels_n2)])


class KnownScores:
    """Finds the corners of one map of scores, whatever the image."""

    channels, stride_px, size_multiple_px, enlarges, device = 1, 8, 8, False, CPU

    def __init__(self, score_HW: torch.Tensor) -> None:
        self.score_HW = score_HW

    def encode(self, grey_11HW, count, valid_HW=None):
        pixels_n2, scores_n = likeliest_keypoints(self.score_HW, count, 8, 1, valid_HW=valid_HW)
        return LocalFeatures(scores_n[:, None], pixels_n2, scores_n)


def test_over_many_passes_a_cell_comes_as_often_as_its_best_corner_scores():
    """12 cells of scores from 1 to 12, and two without a corner."""
    best_hw = np.append(np.arange(12) + 1.0, [0.0, 0.0]).reshape(2, 7)
    score_HW = np.zeros((16, 56), np.float32)
    score_HW[3::8, 3::8] = best_hw
    score_HW[6::8, 6::8] = 0.4 * best_hw  # another corner of the cell
    config = FeatureBufferConfig(patches=1, short_side_px=16, samples=2400, sampled=True)
    encoder = KnownScores(torch.from_numpy(score_HW))
    encoded = EncodedViews(encoder, config, UNCHANGED, seed=0, image_count=1)
    encoded.add(image(56, 16))
    pixels_n2 = encoded.views.samples.pixels_n2
    assert (pixels_n2 % 8 - 3).abs().max() < 1e-3
    u_n, v_n = (pixels_n2 / 8).long().T
    counts_hw = np.zeros((2, 7))
    np.add.at(counts_hw, (v_n.numpy(), u_n.numpy()), 1)
    assert counts_hw.sum() == 2400
    require_frequencies(counts_hw.ravel(), best_hw.ravel())


def encoded_image(plain_first: bool, drawn: bool, seed: int = 0) -> EncodedViews:
    config = FeatureBufferConfig(patches=40, short_side_px=96, sampled=drawn)
    augmentation = AugmentationConfig(views=2, plain_first=plain_first)
    encoded = EncodedViews(XFeatEncoder(CPU), config, augmentation, seed)
    encoded.add(image(128, 96))
    return encoded


@pytest.mark.parametrize("plain_first", [True, False])
def test_what_a_robot_will_see_is_not_drawn(plain_first):
    """Codes are learned of the image as it is, and its likeliest patches."""
    views, likeliest = (encoded_image(plain_first, drawn).views for drawn in (True, False))
    for copy in range(3):
        one, other = views.features(0, copy), likeliest.features(0, copy)
        assert len(one.scores_n) == len(other.scores_n) == 40
        best_first = bool((one.scores_n.diff() <= 0).all())
        assert best_first is (plain_first and copy == 0)
        assert torch.equal(one.pixels_n2, other.pixels_n2) is best_first
        assert (other.scores_n.diff() <= 0).all()


def test_each_pass_draws_anew_and_a_seed_says_all_of_it():
    first, second, other = (encoded_image(False, True, seed).views.samples for seed in (0, 0, 1))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.pixels_n2, other.pixels_n2)
