"""Noise turns a code by the angle that it should, and the recording says which angle that is."""

import math

import numpy as np
import pytest
import torch
from support.core_scenes import unit_rows

from glace_ros.geometry.covisibility import covisible_views
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.descriptor_statistics import ANGLE_MAX_DEG, descriptor_pairs
from glace_ros.mapping.training.feature_diffusion import diffuse, sample_descriptors
from glace_ros.report.descriptor_angles import AngleBins


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("sigma", "channels"), [(0.1, 256), (0.2, 32), (0.05, 64)])
def test_noise_turns_codes_by_atan_of_its_length(sigma, channels):
    """sigma = 0.1 in 256 dimensions is the paper's: 58 degrees."""
    descriptors_nG = torch.from_numpy(unit_rows(np.random.default_rng(0), 1500, channels)).float()
    noisy_nG = diffuse(descriptors_nG, sigma, generator())
    assert torch.allclose(noisy_nG.norm(dim=1), torch.ones(1500), atol=1e-5)
    angle_n = torch.rad2deg(torch.acos((descriptors_nG * noisy_nG).sum(dim=1)))
    expected_deg = math.degrees(math.atan(sigma * math.sqrt(channels)))
    assert angle_n.mean().item() == pytest.approx(expected_deg, abs=1.5)


def test_every_row_gets_noise_of_its_own_and_a_seed_repeats_it():
    descriptors_nG = torch.eye(8)[:1].expand(50, 8)
    first_nG, again_nG = (diffuse(descriptors_nG, 0.2, generator(3)) for _ in range(2))
    assert torch.equal(first_nG, again_nG)
    assert not torch.equal(first_nG, diffuse(descriptors_nG, 0.2, generator(4)))
    assert torch.unique(first_nG, dim=0).shape[0] == 50


def test_no_noise_is_no_change():
    descriptors_nG = torch.from_numpy(unit_rows(np.random.default_rng(0), 10, 16)).float()
    assert torch.allclose(diffuse(descriptors_nG, 0.0, generator()), descriptors_nG, atol=1e-6)


def three_places(turn_deg: float, views: int = 6) -> tuple[np.ndarray, list[Pose]]:
    """Views of three places 10 m apart; codes of a place lie `turn_deg` around its own axis."""
    channels = 3 + 3 * views
    codes, poses = [], []
    for place in range(3):
        for view in range(views):
            descriptor_G = np.zeros(channels)
            descriptor_G[place] = math.cos(math.radians(turn_deg))
            descriptor_G[3 + place * views + view] = math.sin(math.radians(turn_deg))
            codes.append(descriptor_G)
            poses.append(Pose(np.eye(3), np.array([10.0 * place, 0.1 * view, 0.0])))
    return np.array(codes, dtype=np.float32), poses


def test_known_codes_give_the_known_angles():
    descriptors_nG, poses = three_places(turn_deg=20.0)
    measured = descriptor_pairs(descriptors_nG, poses).statistics()
    covisible_deg = math.degrees(math.acos(math.cos(math.radians(20.0)) ** 2))
    assert measured.covisible_deg == pytest.approx(covisible_deg, abs=0.01)
    assert measured.other_deg == pytest.approx(90.0, abs=0.01)
    assert measured.auc == pytest.approx(1.0)
    # sigma turns a code as far as co-visible views differ
    turned_deg = math.degrees(math.atan(measured.sigma * math.sqrt(descriptors_nG.shape[1])))
    assert turned_deg == pytest.approx(covisible_deg, abs=0.01)


def test_known_codes_fall_into_the_bins_of_their_angles():
    descriptors_nG, poses = three_places(turn_deg=20.0)
    pairs = descriptor_pairs(descriptors_nG, poses)
    bins = AngleBins.of(pairs.angle_deg_p, pairs.covisible_p)
    (covisible,), (other,) = np.nonzero(bins.covisible_b)[0], np.nonzero(bins.other_b > 0)[0]
    assert bins.upper_deg_b[covisible] == 28.0  # acos(cos(20 deg)^2) = 27.98 deg
    assert bins.upper_deg_b[other] in (90.0, 92.0)
    total = len(pairs.covisible_p)
    assert bins.covisible_b.sum() + bins.other_b.sum() == total
    assert np.isnan(bins.covisible_below_b[covisible - 1])
    assert bins.covisible_below_b[covisible] == 1.0
    assert bins.covisible_below_b[-1] == pytest.approx(pairs.covisible_p.sum() / total)
    assert bins.as_json()["covisible_below_b"][0] is None


def test_noise_is_never_stronger_than_the_papers():
    descriptors_nG, poses = three_places(turn_deg=60.0)
    measured = descriptor_pairs(descriptors_nG, poses).statistics()
    assert measured.covisible_deg > ANGLE_MAX_DEG
    turned_deg = math.degrees(math.atan(measured.sigma * math.sqrt(descriptors_nG.shape[1])))
    assert turned_deg == pytest.approx(58.0, abs=0.1)


def test_codes_that_know_nothing_have_an_auc_of_one_half():
    _, poses = three_places(20.0, views=12)
    descriptors_nG = unit_rows(np.random.default_rng(0), 36, 16).astype(np.float32)
    assert descriptor_pairs(descriptors_nG, poses).statistics().auc == pytest.approx(0.5, abs=0.08)


def test_codes_that_tell_the_opposite_have_an_auc_near_0():
    descriptors_nG, poses = three_places(20.0)
    shuffled = [poses[i] for i in np.arange(18).reshape(3, 6).T.ravel()]
    assert descriptor_pairs(descriptors_nG, shuffled).statistics().auc < 0.5


def test_only_pairs_with_a_held_out_view_count_where_some_are():
    descriptors_nG, poses = three_places(20.0)
    held_out_n = np.arange(18) % 6 == 0
    descriptors_nG[held_out_n] = np.roll(descriptors_nG[held_out_n], 1, axis=0)  # of another place
    assert descriptor_pairs(descriptors_nG, poses, held_out_n).statistics().auc < 0.5
    assert descriptor_pairs(descriptors_nG, poses).statistics().auc > 0.5


def test_views_of_one_place_in_opposite_directions_are_not_covisible():
    descriptors_nG = np.eye(4, dtype=np.float32)
    descriptors_nG[1] = descriptors_nG[0]
    back = Pose.from_rotation_vector([0, 0, 0], [0, np.pi, 0])
    measured = descriptor_pairs(
        descriptors_nG, [Pose.identity(), Pose.identity(), back, back]
    ).statistics()
    assert measured.covisible_deg == pytest.approx((0.0 + 90.0) / 2, abs=0.1)
    assert measured.other_deg == pytest.approx(90.0, abs=0.1)


@pytest.mark.parametrize("spacing_m", [0.01, 50.0])
def test_where_all_views_are_alike_or_none_nothing_is_measured(spacing_m):
    descriptors_nG = unit_rows(np.random.default_rng(0), 5, 8).astype(np.float32)
    poses = [Pose(np.eye(3), np.array([spacing_m * i, 0.0, 0.0])) for i in range(5)]
    assert descriptor_pairs(descriptors_nG, poses).statistics() is None


def test_covisible_views_are_those_of_the_same_place():
    _, poses = three_places(20.0)
    far = Pose(np.eye(3), np.array([0.0, 50.0, 0.0]))
    neighbours_vk = covisible_views([*poses, far], seed=0, count=8)
    places_vk = neighbours_vk // 6
    assert (places_vk[:18] == np.arange(18)[:, None] // 6).all()
    assert (neighbours_vk[:18] != np.arange(18)[:, None]).all()
    for view in range(18):  # five others, eight columns: nobody is left out
        assert len(set(neighbours_vk[view])) == 5
    assert (neighbours_vk[18] == 18).all()  # nobody sees what it sees
    turned = Pose.from_rotation_vector([0, 0, 0], [0, np.pi / 2, 0])
    assert (covisible_views([Pose.identity(), turned], seed=0)[1] == 1).all()


def test_half_of_the_codes_are_a_neighbours():
    descriptors_vG = torch.eye(4)
    neighbours_vk = torch.tensor([[1, 2], [0, 0], [2, 2], [3, 3]])
    view_n = torch.zeros(4000, dtype=torch.int32)
    descriptors_nG = sample_descriptors(descriptors_vG, view_n, 0.0, neighbours_vk, generator())
    assert descriptors_nG.sum(dim=0).tolist() == pytest.approx([2000, 1000, 1000, 0], abs=150)
    assert torch.equal(
        sample_descriptors(descriptors_vG, view_n, 0.0, None, generator()), descriptors_vG[view_n]
    )
    # noise comes on top where it is asked for
    noisy_nG = sample_descriptors(descriptors_vG, view_n, 0.1, neighbours_vk, generator())
    assert torch.unique(noisy_nG, dim=0).shape[0] == 4000
