"""Where an image may be of: by its code, and by the landmarks that no other place has."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.core_scenes import unit_rows

from glace_ros.features.local_features import LocalFeatures
from glace_ros.localization.localizer_config import PlaceConfig
from glace_ros.localization.place_candidates import place_candidates
from glace_ros.maps.landmarks import Landmarks

POSITIONS_V3 = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [10.0, 0, 0], [20.0, 0, 0]])
CODE_G = torch.eye(6)[0]
ANYTHING = LocalFeatures(torch.ones(1, 64) / 8, torch.zeros(1, 2), torch.ones(1))


def remembering(cosines_v):
    """Views whose codes have these cosines with CODE_G, in one plane."""
    cosines_v = torch.tensor(cosines_v)
    views_vG = torch.zeros(4, 6)
    views_vG[:, 0], views_vG[:, 1] = cosines_v, (1 - cosines_v**2).sqrt()
    return SimpleNamespace(views_vG=views_vG, positions_v3=POSITIONS_V3)


def places(encoder, landmarks=None, features=ANYTHING, **config):
    """Indices of the views whose codes are proposed, by those codes alone."""
    found = place_candidates(features, CODE_G, encoder, landmarks, PlaceConfig(own=0.0, **config))
    return [int((encoder.views_vG @ place.descriptor_G).argmax()) for place in found]


def test_an_image_that_is_like_views_of_two_places_may_be_of_both():
    encoder = remembering([0.9, 0.85, 0.8, 0.3])
    assert places(encoder) == [0, 2, 3]  # one view of each place
    assert places(encoder, most=2) == [0, 2]
    assert places(remembering([0.85, 0.9, 0.8, 0.95])) == [3, 1, 2]


def test_one_place_alone_is_nothing_to_be_told_apart():
    encoder = remembering([0.9, 0.85, 0.6, 0.3])
    assert places(encoder) == []
    assert places(encoder, margin=0.35) == [0, 2, 3]
    assert places(remembering([0.9, 0.85, 0.8, 0.3]), apart_m=15.0) == []
    assert places(SimpleNamespace(views_vG=None, positions_v3=None)) == []


def test_a_candidates_code_is_between_the_views_and_the_images():
    encoder = remembering([0.6, 0.5, 0.6, 0.3])
    for own, cosine in ((0.0, 0.6), (0.5, 1.1 / np.hypot(1.1, 0.8))):
        found = place_candidates(ANYTHING, CODE_G, encoder, None, PlaceConfig(own=own))
        assert np.isclose(float(found[0].descriptor_G @ CODE_G), cosine, atol=1e-6)
        assert np.isclose(found[0].similarity, 0.6, atol=1e-6)


def furnished(own, furniture, looks_nC):
    """Landmarks: `furniture` corners in all three places, `own` corners of each."""
    rng = np.random.default_rng(0)
    rooms = POSITIONS_V3[[0, 2, 3]].numpy()
    points_l3 = np.concatenate(
        [room_3 + rng.uniform(-1, 1, (furniture + own, 3)) for room_3 in rooms]
    )
    shared = looks_nC[:furniture]
    codes_lC = np.concatenate(
        [
            part
            for room in range(3)
            for part in (shared, looks_nC[furniture + room * own : furniture + (room + 1) * own])
        ]
    )
    return Landmarks(
        *(torch.from_numpy(part).float() for part in (points_l3, codes_lC, np.ones_like(points_l3)))
    )


@pytest.mark.parametrize("at_once", [2048, 37])
def test_a_few_things_of_ones_own_outvote_much_furniture(at_once, monkeypatch):
    """The code says the first room; 90 patches of furniture say all, 10 patches say the third. Also
    where landmarks are too many for one product.
    """
    monkeypatch.setattr("glace_ros.localization.place_candidates._AT_ONCE", at_once)
    rng = np.random.default_rng(1)
    looks_nC = unit_rows(rng, 90 + 3 * 20, 64)
    landmarks = furnished(20, 90, looks_nC)
    seen_nC = np.concatenate([looks_nC[:90], looks_nC[90 + 40 : 90 + 50]])
    seen_nC = seen_nC + rng.normal(scale=0.02, size=seen_nC.shape)
    seen_nC /= np.linalg.norm(seen_nC, axis=1, keepdims=True)
    features = LocalFeatures(
        torch.from_numpy(seen_nC).float(), torch.zeros(100, 2), torch.ones(100)
    )
    encoder = remembering([0.9, 0.85, 0.8, 0.7])
    assert places(encoder) == [0, 2, 3]
    assert places(encoder, landmarks, features)[0] == 3
    similarity = place_candidates(features, CODE_G, encoder, landmarks, PlaceConfig())[0].similarity
    assert 1.6 < similarity < 1.7  # its cosine, and nearly all the votes
    # furniture alone says nothing: the codes' order stands
    assert places(encoder, landmarks, features.head(90)) == [0, 2, 3]
