"""Where a map is covered, and where it is weak: what to record more of.

A view is where a camera was and what it looked at. Weak is a place on the recording's own way where
few mapping views looked the same way, or where held-out images were not found again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SECTORS = 8
_GRID_CELLS = 100
_ALIKE = 0.6
"""Length of the mean of unit vectors, above which they look the same way by and large."""


@dataclass(frozen=True)
class CoverageConfig:
    """Views within near_m and near_deg of each other show the same; fewer than least_views of them
    are sparse. far_off_m, far_off_deg: a held-out image beyond either counts as missed.

    region_m: how far a region's places may be from the first of them. least_s, least_missed: a
    region is sparse for so long, or has so many missed images and least_missed_share of all there.
    """

    near_m: float = 1.0
    near_deg: float = 45.0
    least_views: int = 3
    far_off_m: float = 0.25
    far_off_deg: float = 5.0
    region_m: float = 1.5
    least_s: float = 1.0
    least_missed: int = 2
    least_missed_share: float = 0.3


class Views(NamedTuple):
    """time_s_n: of the recording; positions_n3, directions_n3 (unit, optical axis) in the map."""

    time_s_n: Floats
    positions_n3: Floats
    directions_n3: Floats

    def at(self, chosen_n: NDArray[np.bool_]) -> Views:
        """Those chosen."""
        return Views(*(values[chosen_n] for values in self))


class CoverageGrid(NamedTuple):
    """Of cells with centres x_c, y_r: mapping views near each, and from how many of the SECTORS
    they look. NaN where there is none.
    """

    x_c: Floats
    y_r: Floats
    views_rc: Floats
    sectors_rc: Floats


@dataclass(frozen=True)
class WeakRegion:
    """name: a letter. centre_3, radius_m: in the map. spans_s: (start, end), when the robot was
    weak there. missed of judged held-out images; sparse_s: seconds of the way with few views.
    mapping_views: how many mapping views are near the weak ones, in the median.
    heading_deg: where the weak views look in the map's plane, from x towards y; None: all around.
    """

    name: str
    centre_3: tuple[float, float, float]
    radius_m: float
    spans_s: list[tuple[float, float]]
    missed: int
    judged: int
    sparse_s: float
    mapping_views: int
    heading_deg: float | None


def views_near(asked: Views, mapping: Views, config: CoverageConfig) -> NDArray[np.int64]:
    """How many mapping views (n,) are near each view that is asked about.

    Near: distance over near_m and angle over near_deg, together as the legs of a right triangle,
    at most 1.
    """
    if not len(mapping.time_s_n) or not len(asked.time_s_n):
        return np.zeros(len(asked.time_s_n), np.int64)
    chord = 2.0 * math.sin(math.radians(config.near_deg) / 2.0)
    tree_6, asked_n6 = (
        np.hstack([views.positions_n3 / config.near_m, views.directions_n3 / chord])
        for views in (mapping, asked)
    )
    return np.asarray(KDTree(tree_6).query_ball_point(asked_n6, 1.0, return_length=True))


def coverage_grid(mapping: Views, near_m: float) -> CoverageGrid:
    """The plan in cells of near_m / 4, or larger ones where these were too many."""
    xy_n2 = mapping.positions_n3[:, :2]
    low_2, high_2 = xy_n2.min(axis=0) - near_m, xy_n2.max(axis=0) + near_m
    cell_m = max(near_m / 4.0, float((high_2 - low_2).max()) / _GRID_CELLS)
    x_c, y_r = (np.arange(low, high, cell_m) for low, high in zip(low_2, high_2, strict=True))
    cells_n2 = np.stack(np.meshgrid(x_c, y_r), axis=-1).reshape(-1, 2)
    heading_n = np.arctan2(mapping.directions_n3[:, 1], mapping.directions_n3[:, 0])
    sector_n = np.floor(heading_n / (2 * np.pi) * SECTORS).astype(int) % SECTORS
    counts_sn = np.zeros((SECTORS, len(cells_n2)))
    for sector in np.unique(sector_n):
        tree = KDTree(xy_n2[sector_n == sector])
        counts_sn[sector] = tree.query_ball_point(cells_n2, near_m, return_length=True)
    views_n, shape = counts_sn.sum(axis=0), (len(y_r), len(x_c))
    none_n = views_n == 0
    sectors_n = (counts_sn > 0).sum(axis=0)
    return CoverageGrid(
        x_c, y_r,
        np.where(none_n, np.nan, views_n).reshape(shape),
        np.where(none_n, np.nan, sectors_n).reshape(shape),
    )  # fmt: skip


def missed(error_m_f: Floats, error_deg_f: Floats, config: CoverageConfig) -> NDArray[np.bool_]:
    """Which images (f,) got no pose (NaN or infinite errors), or one that is far off."""
    return ~((error_m_f <= config.far_off_m) & (error_deg_f <= config.far_off_deg))


def weak_regions(
    trajectory: Views,
    step_s: float,
    mapping: Views,
    held_out: Views,
    missed_f: NDArray[np.bool_],
    config: CoverageConfig,
) -> list[WeakRegion]:
    """Where to record more, the weakest first, at most as many as there are letters.

    way: the recording's own way, a view every step_s. missed_f: of the held-out images. Where these
    were taken the way is not sparse: they are no gap in the recording.
    """
    near_n = views_near(trajectory, _together(mapping, held_out), config)
    weak = _together(held_out.at(missed_f), trajectory.at(near_n < config.least_views))
    missed_n = np.arange(len(weak.time_s_n)) < missed_f.sum()
    cluster_n = _clusters(weak.positions_n3, config.region_m)
    regions = []
    for cluster in np.unique(cluster_n):
        inside_n = cluster_n == cluster
        missed_here, sparse_s = missed_n[inside_n].sum(), step_s * (~missed_n[inside_n]).sum()
        region = replace(
            _region(weak.at(inside_n), mapping, held_out, step_s, config),
            missed=int(missed_here),
            sparse_s=float(sparse_s),
        )
        often = region.missed >= config.least_missed_share * region.judged
        if sparse_s >= config.least_s or (missed_here >= config.least_missed and often):
            regions.append(region)
    regions.sort(key=lambda region: -(region.missed + region.sparse_s))
    return [replace(region, name=name) for region, name in zip(regions, ascii_uppercase)]  # noqa: B905


def _clusters(positions_n3: Floats, reach_m: float) -> NDArray[np.int64]:
    """For each place, which cluster (n,) it is in: that of the nearest first place, if in reach."""
    seeds_3: list[Floats] = []
    cluster_n = np.zeros(len(positions_n3), np.int64)
    for index, position_3 in enumerate(positions_n3):
        if seeds_3:
            distances = np.linalg.norm(np.array(seeds_3) - position_3, axis=1)
            cluster_n[index] = distances.argmin()
        if not seeds_3 or distances.min() > reach_m:
            cluster_n[index] = len(seeds_3)
            seeds_3.append(position_3)
    return cluster_n


def _together(first: Views, second: Views) -> Views:
    return Views(*(np.concatenate(values) for values in zip(first, second, strict=True)))


def _region(
    weak: Views, mapping: Views, held_out: Views, step_s: float, config: CoverageConfig
) -> WeakRegion:
    """Of these weak views; not named, nothing of them counted yet."""
    centre_3 = weak.positions_n3.mean(axis=0)
    reach_m = float(np.linalg.norm(weak.positions_n3 - centre_3, axis=1).max())
    radius_m = max(config.near_m / 2.0, 1.1 * reach_m)
    near_f = np.linalg.norm(held_out.positions_n3 - centre_3, axis=1) <= radius_m
    mean_2 = weak.directions_n3[:, :2].mean(axis=0)
    alike = np.linalg.norm(mean_2) > _ALIKE
    return WeakRegion(
        name="",
        centre_3=(float(centre_3[0]), float(centre_3[1]), float(centre_3[2])),
        radius_m=radius_m,
        spans_s=_spans(np.sort(weak.time_s_n), longest_gap_s=max(1.0, 2 * step_s)),
        missed=0,
        judged=int(near_f.sum()),
        sparse_s=0.0,
        mapping_views=int(np.median(views_near(weak, mapping, config))),
        heading_deg=float(np.degrees(np.arctan2(mean_2[1], mean_2[0]))) if alike else None,
    )


def _spans(time_s_n: Floats, longest_gap_s: float) -> list[tuple[float, float]]:
    """(start, end) of the runs of times without a longer gap."""
    runs = np.split(time_s_n, np.flatnonzero(np.diff(time_s_n) > longest_gap_s) + 1)
    return [(float(run[0]), float(run[-1])) for run in runs]
