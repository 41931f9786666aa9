"""Rolling shutter: pixels at the middle row's time, and which readout costs least."""

from __future__ import annotations

import numpy as np
import pytest
from support.drifting_drive import (
    BASE_FROM_CAMERA,
    HEIGHT,
    INTRINSICS_4,
    record,
    room,
    rounds,
    without_velocity,
)

from glace_ros.mapping.pose_refinement.cameras import Cameras
from glace_ros.mapping.pose_refinement.observations import Observations
from glace_ros.mapping.pose_refinement.refinement_config import KeypointConfig
from glace_ros.mapping.pose_refinement.rolling_shutter import RollingShutter, most_likely_readout_s
from glace_ros.mapping.pose_refinement.tracks import Tracks


@pytest.mark.parametrize("readout_s", [0.02, -0.03])
def test_pixels_are_put_where_the_middle_row_s_time_sees_them(readout_s):
    truth = rounds(5, 0.3)
    views = [
        record(room(1), truth, truth, np.random.default_rng(0), readout_s=read_s, noise_px=0.0)
        for read_s in (readout_s, 0.0)
    ]
    poses = [pose @ BASE_FROM_CAMERA for pose in truth]
    cameras = Cameras.of(poses, np.tile(INTRINSICS_4, (5, 1)))
    moved = []
    for rolling, still in zip(*views, strict=True):
        points_n3 = room(1).points_n3
        known = {}
        for view, kind in ((rolling, "rolling"), (still, "still")):
            looks_nC = view.descriptors_nC.numpy() @ room(1).descriptors_nC.T
            for pixel_2, point in zip(view.pixels_n2, looks_nC.argmax(axis=1), strict=True):
                known.setdefault(int(point), {})[kind] = pixel_2
        both = [point for point, pixels in known.items() if len(pixels) == 2]
        number = [view is rolling for view in views[0]].index(True)
        view_n = np.full(len(both), number)
        seen_n2 = np.array([known[point]["rolling"] for point in both])
        expected_n2 = np.array([known[point]["still"] for point in both])
        shutter = RollingShutter(views[0], readout_s)
        tracks = Tracks(view_n, view_n, np.arange(len(both)), seen_n2)
        seen = Observations(tracks, points_n3[both], KeypointConfig())
        found_n2 = shutter.at_middle(seen, cameras).tracks.pixels_n2
        moved.append(np.abs(seen_n2 - expected_n2).max())
        assert np.abs(found_n2 - expected_n2).max() < 0.1 * moved[-1]
        shutter.readout_s = 0.0
        assert shutter.at_middle(seen, cameras) is seen
        unknown = RollingShutter(without_velocity(views[0]), readout_s)
        as_seen_n2 = unknown.at_middle(seen, cameras).tracks.pixels_n2
        assert np.abs(as_seen_n2 - seen_n2).max() < 1e-9
    assert max(moved) > 0.5
    assert views[0][0].rows_px == HEIGHT


@pytest.mark.parametrize("true_s", [-0.045, -0.008, 0.012, 0.02, 0.033])
def test_the_bottom_of_a_parabola_is_found(true_s):
    tried_s = []

    def cost(readout_s: float) -> float:
        tried_s.append(readout_s)
        return 1e4 + 2e6 * (readout_s - true_s) ** 2

    assert most_likely_readout_s(cost) == pytest.approx(true_s, abs=0.002)
    assert len(tried_s) <= 5


def test_chance_is_no_rolling_shutter():
    assert most_likely_readout_s(lambda readout_s: 1e3 + 2e5 * (readout_s - 0.01) ** 2) == 0.0
    assert most_likely_readout_s(lambda _: 7.0) == 0.0


def test_a_shutter_slower_than_any_is_not_believed():
    found_s = most_likely_readout_s(lambda readout_s: 1e7 * (readout_s - 0.5) ** 2)
    assert abs(found_s) <= 0.06
