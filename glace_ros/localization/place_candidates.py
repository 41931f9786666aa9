"""Place candidates: where in the map an image may have been taken, before any pose is known.

The image's global descriptor is compared with those of the mapping views. Where views of several
places are about as similar, landmarks speak: a local feature whose best landmark has no twin
elsewhere tells its place (the ratio test of Lowe, IJCV 2004, between places instead of between
points).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from glace_ros.features.descriptor_matching import best_in_parts
from glace_ros.localization.localizer_config import PlaceConfig

if TYPE_CHECKING:
    from glace_ros.features.descriptor_centres import DescriptorCentres
    from glace_ros.features.global_encoder import VladEncoder
    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.maps.landmarks import Landmarks

_AT_ONCE = 2048
"""Landmarks that the features are held against in one product, which stays in the cache."""
_NO_VOTE = 0.01
"""A lead of this cosine says nothing: without it the furniture's noise would have to be a vote."""


class PlaceCandidate(NamedTuple):
    """A place that an image may be of.

    descriptor_G: unit norm, for the coordinate head.
    similarity: cosine of the global descriptors plus the ratio of the landmarks' votes, at
        most 2.
    position_3: of its mapping view, metres from the map's origin.
    """

    descriptor_G: torch.Tensor
    similarity: float
    position_3: torch.Tensor


def place_candidates(
    features: LocalFeatures,
    descriptor_G: torch.Tensor,
    encoder: VladEncoder | DescriptorCentres,
    landmarks: Landmarks | None,
    config: PlaceConfig,
) -> list[PlaceCandidate]:
    """Places that the image may be of, most similar first; none where it is similar to one place
    alone, or the encoder remembers no views.

    features: of the image, best first.
    descriptor_G: its global descriptor, unit norm.
    encoder: of the map, with its mapping views.
    landmarks: of the map; None where it has none.
    config: how many places, and what counts as one.
    """
    views_vG, positions_v3 = encoder.views_vG, encoder.positions_v3
    if views_vG is None or positions_v3 is None:
        return []
    cosine_v = views_vG @ descriptor_G
    if _only_place(cosine_v, positions_v3, config.margin, config.apart_m) is not None:
        return []
    similarity_v = cosine_v
    if landmarks is not None:
        similarity_v = cosine_v + _votes(
            features.head(config.patches), landmarks, positions_v3, config
        )
    chosen: list[int] = []
    for view in similarity_v.argsort(descending=True).tolist():
        away_c = (positions_v3[chosen] - positions_v3[view]).norm(dim=1)
        if bool((away_c > config.apart_m).all()):
            chosen.append(view)
        if len(chosen) == config.most:
            break
    descriptors_cG = functional.normalize(views_vG[chosen] + config.own * descriptor_G, dim=1)
    return [
        PlaceCandidate(candidate_G, float(similarity_v[view]), positions_v3[view])
        for candidate_G, view in zip(descriptors_cG, chosen, strict=True)
    ]


def certain_place(
    descriptor_G: torch.Tensor, encoder: VladEncoder | DescriptorCentres, config: PlaceConfig
) -> torch.Tensor | None:
    """Where the mapping view stood that the image is similar to, (3,) metres from the map's origin;
    None where a view of another place is anywhere near as similar, or the encoder remembers no
    views.
    """
    views_vG, positions_v3 = encoder.views_vG, encoder.positions_v3
    if views_vG is None or positions_v3 is None:
        return None
    return _only_place(views_vG @ descriptor_G, positions_v3, config.certain_margin, config.apart_m)


def _only_place(
    cosine_v: torch.Tensor, positions_v3: torch.Tensor, margin: float, apart_m: float
) -> torch.Tensor | None:
    """Where the most similar view stood; None where one apart from it is within the margin."""
    best_3 = positions_v3[cosine_v.argmax()]
    elsewhere_v = (positions_v3 - best_3).norm(dim=1) > apart_m
    as_similar_v = cosine_v[elsewhere_v] > cosine_v.max() - margin
    return None if bool(as_similar_v.any()) else best_3


def _votes(
    features: LocalFeatures, landmarks: Landmarks, positions_v3: torch.Tensor, config: PlaceConfig
) -> torch.Tensor:
    """(v,) ratio of the votes for landmarks near each view: 1 = all of them.

    A feature votes by how much more similar its best landmark is than any that is not near that
    one.
    """
    parts = [
        (features.descriptors_nC.float() @ descriptors_pC.T, points_p3)
        for descriptors_pC, points_p3 in zip(
            torch.split(landmarks.descriptors_lC, _AT_ONCE),
            torch.split(landmarks.points_l3, _AT_ONCE),
            strict=True,
        )
    ]
    best_n, index_n = best_in_parts((cosine_np for cosine_np, _ in parts), _AT_ONCE)
    points_n3 = landmarks.points_l3[index_n]
    runner_up_n = torch.stack(
        [
            cosine_np.masked_fill(torch.cdist(points_n3, points_p3) <= config.apart_m, -1.0).amax(1)
            for cosine_np, points_p3 in parts
        ]
    ).amax(dim=0)
    vote_n = (best_n - runner_up_n) ** 2
    near_vn = torch.cdist(positions_v3, points_n3) < config.apart_m
    return (near_vn * vote_n).sum(dim=1) / (vote_n.sum() + len(vote_n) * _NO_VOTE**2)
