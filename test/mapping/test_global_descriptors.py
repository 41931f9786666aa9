"""A recording's codes: what a file of unfinished work gives back is what was learned."""

import numpy as np
import pytest
import torch
from support.core_scenes import unit_rows

from glace_ros.errors import MappingError
from glace_ros.features.global_encoder import VladConfig
from glace_ros.features.local_features import LocalFeatures
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.global_descriptors import GlobalDescriptors

ORIGIN_3 = np.array([500.0, 0.0, 0.0])
CONFIG = VladConfig(words=8, channels=6, patches=30)


@pytest.fixture(scope="module")
def drive():
    """Twelve views of three places 10 m apart; those of a place see about the same patches."""
    rng = np.random.default_rng(0)
    features, poses = [], []
    for place in range(3):
        seen_nC = unit_rows(rng, 60, 64)
        for view in range(4):
            noisy_nC = seen_nC + 0.05 * rng.normal(size=seen_nC.shape)
            noisy_nC /= np.linalg.norm(noisy_nC, axis=1, keepdims=True)
            features.append(
                LocalFeatures(
                    torch.from_numpy(noisy_nC).float(), torch.zeros(60, 2), torch.ones(60)
                )
            )
            poses.append(Pose(np.eye(3), ORIGIN_3 + [10.0 * place, 0.1 * view, 0.0]))
    return features, poses


def learned(drive, name="vlad", **more):
    options = {"neighbour_descriptors": False, **more}
    return GlobalDescriptors.learn(*drive, ORIGIN_3, name, CONFIG, 0, **options)


@pytest.mark.parametrize(
    ("name", "neighbours"), [("vlad", False), ("vlad", True), ("kmeans:3", False)]
)
def test_nothing_is_lost_on_disk(drive, name, neighbours):
    codes = learned(drive, name, neighbour_descriptors=neighbours)
    again = GlobalDescriptors.from_tensors(codes.tensors(), CONFIG.patches)
    for key, tensor in codes.encoder.tensors().items():
        assert torch.equal(again.encoder.tensors()[key], tensor)
    assert torch.equal(again.descriptors_vG, codes.descriptors_vG)
    assert (again.neighbours_vk is None) == (not neighbours)
    assert again.statistics == codes.statistics
    features = drive[0][5]
    assert torch.equal(again.encoder.encode(features), codes.encoder.encode(features))


def test_codes_are_alike_in_a_place_and_places_are_from_the_maps_origin(drive):
    codes = learned(drive)
    same_vv = torch.block_diag(*[torch.ones(4, 4)] * 3).bool()
    cosine_vv = codes.descriptors_vG @ codes.descriptors_vG.T
    assert cosine_vv[same_vv].min() > cosine_vv[~same_vv].max()
    np.testing.assert_allclose(codes.encoder.positions_v3[:, 0], np.repeat([0, 10, 20], 4))
    assert codes.statistics.auc > 0.99
    assert codes.sigma(-1.0) == codes.statistics.sigma > 0
    assert codes.sigma(0.05) == 0.05


def test_clustered_codes_are_not_diffused(drive):
    codes = learned(drive, "kmeans:3")
    assert len(torch.unique(codes.descriptors_vG, dim=0)) == 3
    assert codes.sigma(-1.0) == codes.sigma(0.3) == 0.0


def test_a_sigma_that_cannot_be_measured_is_asked_for(drive):
    features, _ = drive
    apart = [Pose(np.eye(3), np.array([50.0 * index, 0.0, 0.0])) for index in range(12)]
    codes = learned((features, apart))
    assert codes.statistics is None
    assert GlobalDescriptors.from_tensors(codes.tensors(), 30).statistics is None
    assert codes.sigma(0.1) == 0.1
    with pytest.raises(MappingError, match="give --sigma"):
        codes.sigma(-1.0)


@pytest.mark.parametrize("name", ["netvlad", "kmeans:", "kmeans:0", "kmeans:many"])
def test_an_unknown_encoder_is_said(drive, name):
    with pytest.raises(MappingError, match=f"'{name}' is unknown"):
        learned(drive, name)
