"""Landmark selection: triangulated patches of many views -> the keypoints worth keeping in the map.

Every view triangulates its own patches. Patches of several views that lie within a pixel or two of
each other and look alike are one keypoint; those that most views agree on and that look like no
other place are kept, first for the views that have few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from glace_ros.geometry.places import APART_M
from glace_ros.mapping.parallel import in_parallel
from glace_ros.maps.landmarks import Landmarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.mapping.views.feature_buffer import FeatureBuffer

_NEIGHBOURS = 24
"""Patches, at most, that are held against a patch as the same keypoint; itself is one."""
_CHUNK = 20_000
_MERGED_AT_ONCE = 4096
_AT_ONCE = 8
_MOST_TWINS = 30_000
"""Keypoints that each is held against, a random sample where there are more."""
_TWINS_AT_ONCE = 512, 2048
"""Keypoints at a time, and of those that they are held against: their products stay in the cache.
"""
_TWIN_COSINES = 0.6, 1.0
"""To the most similar keypoint elsewhere: no twin up to the first, a full one at the second."""


@dataclass(frozen=True)
class LandmarkConfig:
    """Which triangulated keypoints are landmarks."""

    most: int = 18_000
    """Landmarks of a map of few views, 0 = none."""
    per_view: int = 60
    """So many for each of many views: what verifies a pose. A large building needs them: with
    30,000 for 1,756 views 93 % of the queries were found, with 80,000 97 % (docs/building.md)."""
    limit: int = 200_000
    """However many views there are: 16 MB of a map file."""
    min_views: int = 2
    """That must have triangulated a keypoint."""
    radius_px: float = 2.0
    """Patches this near to each other, seen from their views, may be one keypoint."""
    radius_max_m: float = 0.08
    """No farther apart than this, however far their views are."""
    min_cosine: float = 0.75
    """Of the descriptors of patches of one keypoint."""
    twin_views: float = 3.0
    """So many views less a keypoint counts with a perfect twin, which tells nobody where he is."""
    apart_m: float = APART_M
    """From where on a keypoint that looks the same is a twin."""
    observations: int = 1_500_000
    """Patches looked at, a random sample of more: bounds the memory for long recordings."""


class _Observations(NamedTuple):
    """Patches with a triangulated point.

    radius_n: metres, within which others may be the same.
    """

    view_n: NDArray[np.int32]
    points_n3: torch.Tensor
    descriptors_nC: torch.Tensor
    depth_n: torch.Tensor
    radius_n: NDArray[np.float32]


def select_landmarks(buffer: FeatureBuffer, config: LandmarkConfig, seed: int) -> Landmarks | None:
    """Landmarks from the buffer's triangulated samples; None where there are none."""
    rng = np.random.default_rng(seed)
    seen = _observations(buffer, config, rng)
    if config.most == 0 or len(seen.view_n) == 0:
        return None
    index_nk, same_nk = _same_keypoint(seen.points_n3, seen.descriptors_nC, seen.radius_n, config)
    views_nk = np.where(same_nk, seen.view_n[index_nk], np.int32(-1))
    # no ties: where there is room for some of equals only, no part of the drive may come first
    worth_n = _distinct(views_nk) + 0.5 * rng.random(len(views_nk))
    seeds_m = _seeds(index_nk, same_nk, worth_n)
    seeds_m = seeds_m[worth_n[seeds_m] >= config.min_views]
    if len(seeds_m) == 0:
        return None
    alike_m = _alike_elsewhere(seen.points_n3[seeds_m], seen.descriptors_nC[seeds_m], config, rng)
    seeds_m = seeds_m[np.argsort(config.twin_views * alike_m - worth_n[seeds_m])]
    kept_m = seeds_m[_cover(views_nk[seeds_m], len(buffer.views), _room(len(buffer.views), config))]
    centres_v3 = -torch.einsum(
        "vji,vj->vi", buffer.camera_from_map_v34[:, :, :3], buffer.camera_from_map_v34[:, :, 3]
    ).cpu()
    return _merged(seen, index_nk[kept_m], same_nk[kept_m], centres_v3)


def _room(views: int, config: LandmarkConfig) -> int:
    """For how many landmarks a map of so many views has room."""
    return max(config.most, min(config.per_view * views, config.limit))


def _observations(
    buffer: FeatureBuffer, config: LandmarkConfig, rng: np.random.Generator
) -> _Observations:
    samples = buffer.samples
    (index_n,) = torch.nonzero(samples.has_point_n, as_tuple=True)
    if len(index_n) > config.observations:
        chosen_n = rng.choice(len(index_n), config.observations, replace=False)
        index_n = index_n[torch.from_numpy(np.sort(chosen_n)).to(index_n.device)]
    view_n = samples.view_n[index_n].cpu().numpy().astype(np.int32)
    points_n3 = samples.points_n3[index_n].cpu()
    axis_n4 = buffer.camera_from_map_v34.cpu()[view_n][:, 2]
    depth_n = (axis_n4[:, :3] * points_n3).sum(dim=1) + axis_n4[:, 3]
    focal_n = buffer.intrinsics_v4.cpu()[view_n, 0]
    radius_n = (config.radius_px * depth_n / focal_n).clamp(0.004, config.radius_max_m).numpy()
    return _Observations(
        view_n, points_n3, samples.descriptors_nC[index_n].cpu(), depth_n, radius_n
    )


def _merged(
    seen: _Observations,
    index_mk: NDArray[np.int32],
    same_mk: NDArray[np.bool_],
    centres_v3: torch.Tensor,
) -> Landmarks:
    """One landmark of each row's patches; near views place a point best."""

    def merged(start: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = slice(start, start + _MERGED_AT_ONCE)
        members_mk = torch.from_numpy(index_mk[rows]).long()
        same_mk1 = torch.from_numpy(same_mk[rows])[..., None]
        weight_mk1 = same_mk1 / seen.depth_n[members_mk].clamp(min=0.1)[..., None] ** 2
        points_m3 = (weight_mk1 * seen.points_n3[members_mk]).sum(dim=1) / weight_mk1.sum(dim=1)
        cameras_mk3 = centres_v3[torch.from_numpy(seen.view_n[index_mk[rows]]).long()]
        to_camera_mk3 = torch.nn.functional.normalize(cameras_mk3 - points_m3[:, None], dim=2)
        return (
            points_m3,
            (same_mk1 * seen.descriptors_nC[members_mk].float()).sum(dim=1),
            (same_mk1 * to_camera_mk3).sum(dim=1),
        )

    parts = [merged(start) for start in range(0, len(index_mk), _MERGED_AT_ONCE)]
    points_m3, descriptors_mC, to_camera_m3 = map(torch.cat, zip(*parts, strict=True))
    return Landmarks(points_m3, descriptors_mC, to_camera_m3)


def _alike_elsewhere(
    points_m3: torch.Tensor,
    descriptors_mC: torch.Tensor,
    config: LandmarkConfig,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """(m,) from 0, no other keypoint looks like it, to 1: one elsewhere has no other look.

    Against a sample of the keypoints, where there are very many.
    """
    others_o = torch.from_numpy(rng.permutation(len(points_m3))[:_MOST_TWINS])
    lowest, highest = _TWIN_COSINES
    rows, columns = _TWINS_AT_ONCE
    cosine_m = torch.full((len(points_m3),), lowest)

    def look(start: int) -> None:
        own_p = slice(start, start + rows)
        own_pC, own_p3, most_p = descriptors_mC[own_p].float(), points_m3[own_p], cosine_m[own_p]
        for others_q in torch.split(others_o, columns):
            cosine_pq = own_pC @ descriptors_mC[others_q].float().T
            # few are so alike: where they are is worked out for these alone
            row_r, column_r = torch.nonzero(cosine_pq > lowest, as_tuple=True)
            off_r = (own_p3[row_r] - points_m3[others_q][column_r]).norm(dim=1)
            apart_r = off_r > config.apart_m
            alike_r = cosine_pq[row_r, column_r]
            most_p.scatter_reduce_(0, row_r[apart_r], alike_r[apart_r], "amax")

    in_parallel(look, range(0, len(points_m3), rows))
    alike_m = (cosine_m - lowest) / (highest - lowest)
    return np.asarray(alike_m.clamp(0.0, 1.0).numpy().astype(np.float64))


def _same_keypoint(
    points_n3: torch.Tensor,
    descriptors_nC: torch.Tensor,
    radius_n: NDArray[np.float32],
    config: LandmarkConfig,
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """(index (n, k) of each patch's nearest ones, itself first; whether they are one keypoint)."""
    xyz_n3 = points_n3.numpy()
    tree = cKDTree(xyz_n3)
    neighbours = min(_NEIGHBOURS, len(xyz_n3))
    index_nk = np.empty((len(xyz_n3), neighbours), dtype=np.int32)
    same_nk = np.zeros((len(xyz_n3), neighbours), dtype=bool)
    for start in range(0, len(xyz_n3), _CHUNK):
        part = slice(start, start + _CHUNK)
        distance_nk, near_nk = tree.query(
            xyz_n3[part],
            k=np.arange(1, neighbours + 1),
            distance_upper_bound=config.radius_max_m,
            workers=-1,
        )
        close_nk = distance_nk < radius_n[part, None]
        near_nk = np.where(close_nk, near_nk, np.arange(start, start + len(near_nk))[:, None])
        alike_nk = torch.einsum(
            "nc,nkc->nk", descriptors_nC[part].float(), descriptors_nC[near_nk].float()
        ).numpy()
        index_nk[part], same_nk[part] = near_nk, close_nk & (alike_nk > config.min_cosine)
    return index_nk, same_nk


def _distinct(views_nk: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many views other than -1 each row names."""
    distinct_n = np.empty(len(views_nk), dtype=np.int64)
    for start in range(0, len(views_nk), _CHUNK):
        sorted_nk = np.sort(views_nk[start : start + _CHUNK], axis=1)
        new_nk = np.diff(sorted_nk, axis=1, prepend=-1) != 0
        distinct_n[start : start + _CHUNK] = (new_nk & (sorted_nk >= 0)).sum(axis=1)
    return distinct_n


def _seeds(
    index_nk: NDArray[np.int32], same_nk: NDArray[np.bool_], priority_n: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Indices of patches that come first among those of their keypoint."""
    alive_n = np.ones(len(index_nk), dtype=bool)
    seeds: list[NDArray[np.int64]] = []
    while alive_n.any():
        (rows_r,) = np.nonzero(alive_n)
        others_rk = np.where(
            same_nk[rows_r] & alive_n[index_nk[rows_r]], priority_n[index_nk[rows_r]], -1.0
        )
        new_r = rows_r[priority_n[rows_r] >= others_rk.max(axis=1)]
        seeds.append(new_r)
        alive_n[new_r] = False
        alive_n[index_nk[new_r][same_nk[new_r]]] = False
    return np.concatenate(seeds) if seeds else np.empty(0, dtype=np.int64)


def _cover(views_mk: NDArray[np.int32], views: int, most: int) -> NDArray[np.int64]:
    """Which of the candidates, best first, to keep: those that a view with few needs come first."""
    kept: list[NDArray[np.int64]] = []
    left_m = np.arange(len(views_mk))
    count_v = np.zeros(views + 1, dtype=np.int64)  # the last one for the view -1 that is none
    room, target = most, 32
    while room > 0 and len(left_m):
        taken_m = np.zeros(len(left_m), dtype=bool)
        for start in range(0, len(left_m), _AT_ONCE):
            part_bk = views_mk[left_m[start : start + _AT_ONCE]]
            count_v[-1] = target
            (wanted_b,) = np.nonzero((count_v[part_bk] < target).any(axis=1))
            wanted_b = wanted_b[: room - int(taken_m.sum())]
            taken_m[start + wanted_b] = True
            np.add.at(count_v, part_bk[wanted_b].ravel(), 1)
        kept.append(left_m[taken_m])
        room -= int(taken_m.sum())
        left_m, target = left_m[~taken_m], target * 2
    return np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
