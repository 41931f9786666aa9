"""Where a map is covered, and where it is weak: what to record more of.

A view is where a camera was and what it looked at. Weak is a place on the recording's trajectory
where few mapping views have a similar heading, or where held-out images were not localized.
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
"""Of 45 deg each: within one, views look alike (`near_deg`)."""
_GRID_CELLS = 100
"""Cells along the longer side of the plan, at most: more are too small to be seen."""
_ALIKE = 0.6
"""Length of the mean of unit vectors, above which they have one heading by and large."""


@dataclass(frozen=True)
class CoverageConfig:
    """When a place is weak. The names are keys of the report's JSON."""

    near_m: float = 1.0
    """Views so near each other, and with similar headings, show the same."""
    near_deg: float = 45.0
    """Headings within this are similar."""
    least_views: int = 3
    """Fewer mapping views near a view are sparse."""
    far_off_m: float = 0.25
    """A held-out image whose pose is off by more counts as missed."""
    far_off_deg: float = 5.0
    """The same of its angle."""
    region_m: float = 1.5
    """How far a region's places may be from the first of them."""
    least_s: float = 1.0
    """A region is weak where views are sparse for so long."""
    least_missed: int = 2
    """Or where so many held-out images are missed, and so many of all there:"""
    least_missed_share: float = 0.3
    """the ratio of missed to all held-out images of the region."""


class Views(NamedTuple):
    """Where cameras were, and what they looked at."""

    time_s_n: Floats
    """From 0:00 of the recording."""
    positions_n3: Floats
    """In the map, metres."""
    directions_n3: Floats
    """Of the optical axes in the map, unit vectors."""

    def at(self, chosen_n: NDArray[np.bool_]) -> Views:
        """Those chosen."""
        return Views(*(values[chosen_n] for values in self))


class CoverageGrid(NamedTuple):
    """The plan in cells. NaN where there is no view near."""

    x_c: Floats
    """Centres of the columns in the map, metres."""
    y_r: Floats
    """Centres of the rows in the map, metres."""
    views_rc: Floats
    """Mapping views near each cell."""
    sectors_rc: Floats
    """In how many of the SECTORS these look."""


@dataclass(frozen=True)
class WeakRegion:
    """A place of which more should be recorded. The names are keys of the report's JSON."""

    name: str
    """A letter."""
    centre_3: tuple[float, float, float]
    """In the map, metres."""
    radius_m: float
    spans_s: list[tuple[float, float]]
    """(start, end) from 0:00 of the recording, when the robot was there and views were weak."""
    missed: int
    """Held-out images that got no pose there, or one that is far off."""
    judged: int
    """Held-out images there."""
    sparse_s: float
    """Seconds of the trajectory with few mapping views."""
    mapping_views: int
    """How many mapping views are near the weak ones, in the median."""
    heading_deg: float | None
    """Where the weak views look in the map's plane, from x towards y; None: all around."""


def views_near(asked: Views, mapping: Views, config: CoverageConfig) -> NDArray[np.int64]:
    """How many mapping views (n,) are near each of the n views that are asked about.

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
    """The plan in cells of near_m / 4, or larger ones where these were too many.

    mapping: one view at least.
    """
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
    """Which of f images (f,) got no pose, or one that is far off.

    error_m_f, error_deg_f: (f,); NaN or infinite where there is no pose.
    """
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

    trajectory: the recording's own, a view every step_s seconds.
    mapping: the views that the map is made of.
    held_out: the f held-out ones. Where they were taken the trajectory is not sparse: they are no
        gap in the recording.
    missed_f: which of them were missed (`missed`).
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
    named = zip(regions, ascii_uppercase, strict=False)  # further regions go without
    return [replace(region, name=name) for region, name in named]


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
