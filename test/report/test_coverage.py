"""Where a map is covered and where it is weak: drives whose gaps are known."""

from __future__ import annotations

import numpy as np
import pytest

from glace_ros.report.coverage import (
    CoverageConfig,
    Views,
    coverage_grid,
    missed,
    views_near,
    weak_regions,
)

ALONG_X, ALONG_Y = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
CONFIG = CoverageConfig(near_m=1.0, near_deg=45.0, least_views=3, region_m=3.0)
STEP_S = 0.25


def drive(start_m: float, end_m: float, step_m: float = STEP_S, direction=ALONG_X) -> Views:
    """Along x at 1 m/s from x = 0 at 0 s, always looking the same way."""
    x_n = np.arange(start_m, end_m, step_m)
    positions_n3 = np.stack([x_n, np.zeros_like(x_n), np.zeros_like(x_n)], axis=1)
    return Views(x_n, positions_n3, np.tile(direction, (len(x_n), 1)).astype(float))


def together(*parts: Views) -> Views:
    return Views(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def regions_of(way: Views, mapping: Views, held_out: Views, missed_f: np.ndarray):
    return weak_regions(way, STEP_S, mapping, held_out, missed_f, CONFIG)


NOBODY = drive(0, 0)


def test_a_view_counts_only_where_it_is_near_and_looks_alike():
    asked = drive(0, 1, 1.0)
    for position_3, degrees, near in (
        ([0.9, 0, 0], 0, 1), ([1.1, 0, 0], 0, 0), ([0, 0, 0], 40, 1), ([0, 0, 0], 50, 0),
        ([0.9, 0, 0], 40, 0),  # both at once are too much
    ):  # fmt: skip
        radians = np.radians(degrees)
        direction = np.array([[np.cos(radians), np.sin(radians), 0.0]])
        view = Views(np.zeros(1), np.array([position_3], float), direction)
        assert views_near(asked, view, CONFIG).tolist() == [near]
    assert views_near(asked, NOBODY, CONFIG).tolist() == [0]


def test_the_grid_counts_views_and_the_directions_they_look():
    two = Views(np.zeros(3), np.zeros((3, 3)), np.array([ALONG_X, ALONG_X, ALONG_Y]))
    far = Views(np.zeros(1), np.array([[5.0, 0, 0]]), np.array([ALONG_X]))
    grid = coverage_grid(together(two, far), 1.0)

    def at(values_rc, x, y):
        return values_rc[abs(grid.y_r - y).argmin(), abs(grid.x_c - x).argmin()]

    assert (at(grid.views_rc, 0, 0), at(grid.sectors_rc, 0, 0)) == (3.0, 2.0)
    assert (at(grid.views_rc, 5, 0), at(grid.sectors_rc, 5, 0)) == (1.0, 1.0)
    assert np.isnan(at(grid.views_rc, 2.5, 0))
    wide = coverage_grid(together(two, far._replace(positions_n3=np.array([[1e4, 0, 0]]))), 1.0)
    assert wide.views_rc.size <= 101 * 101


def test_missed_is_no_pose_or_one_far_off():
    errors_m, errors_deg = np.array([0.1, 0.3, 0.1, np.nan, np.inf]), np.array([1, 1, 6, np.nan, 0])
    assert missed(errors_m, errors_deg, CONFIG).tolist() == [False, True, True, True, True]


def test_a_well_covered_drive_has_no_weak_region():
    held_out = drive(5, 6, 0.1)
    assert regions_of(drive(0, 20), drive(-1, 21, 0.1), held_out, np.zeros(10, bool)) == []


def test_held_out_images_are_no_gap_in_the_recording():
    mapping = together(drive(-1, 8, 0.1), drive(12, 21, 0.1))
    held_out = drive(8, 12, 0.1)
    assert regions_of(drive(0, 20), mapping, held_out, np.zeros(40, bool)) == []
    short = drive(8, 10, 0.1)
    (region,) = regions_of(drive(0, 20), drive(-1, 21, 0.1), short, np.ones(20, bool))
    assert 17 <= region.mapping_views <= 21  # a view each 10 cm, within a metre on both sides


def test_a_gap_in_the_mapping_views_is_found_where_and_when_it_is():
    mapping = together(drive(-1, 8, 0.1), drive(12, 21, 0.1))
    (region,) = regions_of(drive(0, 20), mapping, NOBODY, np.zeros(0, bool))
    assert region.name == "A"
    assert region.centre_3 == pytest.approx((10.0, 0.0, 0.0), abs=0.3)
    ((start_s, end_s),) = region.spans_s  # 1 m from the last view, on both sides
    assert start_s == pytest.approx(8.75, abs=0.3)
    assert end_s == pytest.approx(11.25, abs=0.3)
    assert region.sparse_s == pytest.approx(2.75, abs=0.5)
    assert (region.missed, region.heading_deg) == (0, pytest.approx(0.0))
    assert region.mapping_views == 0


def test_a_place_seen_the_other_way_alone_is_weak():
    other_way = drive(8, 12, 0.1, direction=[-1.0, 0.0, 0.0])
    mapping = together(drive(-1, 8, 0.1), other_way, drive(12, 21, 0.1))
    (region,) = regions_of(drive(0, 20), mapping, NOBODY, np.zeros(0, bool))
    assert region.centre_3[0] == pytest.approx(10.0, abs=0.3)


def test_missed_held_out_images_make_a_region_a_single_one_does_not():
    held_out = together(drive(5, 6, 0.1), drive(15, 16, 0.1, direction=ALONG_Y))
    missed_f = np.zeros(20, bool)
    missed_f[3] = True
    missed_f[12:18] = True
    (region,) = regions_of(drive(0, 20), drive(-1, 21, 0.1), held_out, missed_f)
    assert region.missed == 6
    assert 6 <= region.judged <= 10
    assert region.centre_3[0] == pytest.approx(15.45, abs=0.1)
    assert region.heading_deg == pytest.approx(90.0)
    assert region.mapping_views == 0  # all mapping views look along x
    assert region.spans_s == [pytest.approx((15.2, 15.7))]


def test_the_weakest_comes_first_and_regions_stay_small():
    mapping = together(drive(-1, 4, 0.1), drive(8, 12, 0.1), drive(30, 41, 0.1))
    regions = regions_of(drive(0, 40), mapping, NOBODY, np.zeros(0, bool))
    assert [region.name for region in regions] == ["A", "B", "C", "D", "E", "F"][: len(regions)]
    sparse = [region.sparse_s for region in regions]
    assert sparse == sorted(sparse, reverse=True)
    assert all(region.radius_m <= 2.2 * CONFIG.region_m for region in regions)
    assert sum(sparse) == pytest.approx(2.75 + 16.75, abs=1.0)


def test_two_visits_of_one_place_are_two_spans_and_no_direction():
    there = drive(8, 12, direction=ALONG_X)
    back = there._replace(time_s_n=there.time_s_n + 60, directions_n3=-there.directions_n3)
    way = together(drive(0, 8), there, back)
    (region,) = regions_of(way, drive(-1, 8, 0.1), NOBODY, np.zeros(0, bool))
    # on the way back even the first metre: nobody looked that way
    assert [round(start) for start, _ in region.spans_s] == [9, 68]
    assert region.heading_deg is None
