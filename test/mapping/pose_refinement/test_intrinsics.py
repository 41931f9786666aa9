"""What camera fits the images is seen by true poses, and only where they show it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.drifting_drive import INTRINSICS_4, drifted, record, room, rounds

from glace_ros.mapping.pose_refinement.intrinsics import IntrinsicsEstimate
from glace_ros.mapping.pose_refinement.pose_refinement import PoseRefinement
from glace_ros.mapping.pose_refinement.refinement_config import PoseRefinementConfig

pytest.importorskip("gtsam")

BORDER_4 = np.array([270.0, 170.0, 480.0, 480.0])


def estimate(views) -> IntrinsicsEstimate:
    return PoseRefinement(views, ["drive"], PoseRefinementConfig()).as_recorded()[1]


def seen(recorded=None, **how):
    rng = np.random.default_rng(4)
    truth = rounds(80, 2.0)
    return record(room(1), truth, recorded(truth, rng) if recorded else truth, rng, **how)


@pytest.mark.parametrize("readout_s", [0.0, 0.02])
def test_by_true_poses_the_camera_is_found_and_the_shutter_does_not_matter(readout_s):
    views = seen(focal_ratio=0.985, readout_s=readout_s)
    shift_4 = [0.0, 0.0, 2.0, -1.0]  # px; the true centre is where the images were made
    found = estimate([replace(view, intrinsics_4=view.intrinsics_4 - shift_4) for view in views])
    correction = found.correction
    assert correction.focal_x == pytest.approx(-0.015, abs=0.001)
    assert correction.focal_y == pytest.approx(-0.015, abs=0.001)
    recorded_2 = INTRINSICS_4[:2] / 0.985
    assert correction.centre_x * recorded_2[0] == pytest.approx(2.0, abs=0.3)
    assert correction.centre_y * recorded_2[1] == pytest.approx(-1.0, abs=0.3)
    assert "fx is 0.98" in found.sentence()
    assert found.readout_s == pytest.approx(readout_s, abs=0.0015)
    assert found.as_json()["readout_ms"] == 1e3 * found.readout_s


def test_of_a_right_camera_nothing_is_said():
    found = estimate(seen())
    assert found.correction is None
    assert found.sentence() == ""
    assert np.abs(found.values_4[:2]).max() < 0.001


def test_poses_that_drift_do_not_make_a_camera_wrong():
    """Drift looks like a wrong focal length here and like another one there."""
    found = estimate(seen(lambda truth, rng: drifted(truth, rng, scale=1.0, yaw_deg=3.0)))
    assert found.sigmas_4[0] > 0.001
    assert found.correction is None


def test_several_cameras_have_no_common_correction():
    views = seen(focal_ratio=0.985)
    views[::2] = [replace(view, intrinsics_4=0.9 * view.intrinsics_4) for view in views[::2]]
    found = estimate(views)
    assert found.correction is None
    assert np.isinf(found.sigmas_4).all()
    assert found.as_json()["focal_ratio_sigma"] == [None, None]


def test_a_drive_that_shows_too_little_says_nothing():
    found = estimate(seen(focal_ratio=0.985)[:6])
    assert found.correction is None
    assert np.isinf(found.sigmas_4).all()


def test_a_shutter_counts_where_it_is_sure_and_long_enough():
    unknown = IntrinsicsEstimate(np.zeros(4), np.full(4, np.inf), BORDER_4)
    assert unknown.readout_s == 0.0
    assert unknown._replace(shutter_s=-0.02, shutter_sigma_s=0.004).readout_s == -0.02
    assert unknown._replace(shutter_s=0.02, shutter_sigma_s=0.006).readout_s == 0.0
    assert unknown._replace(shutter_s=0.002, shutter_sigma_s=1e-4).readout_s == 0.0


def test_what_is_sure_but_too_small_to_matter_is_left():
    found = IntrinsicsEstimate(np.array([1e-3, 0, 0, 0]), np.full(4, 1e-4), BORDER_4)
    assert found.correction is None
    found = found._replace(values_4=np.array([3e-3, 0, 0, 0]))  # 0.8 px
    assert found.correction.focal_x == 3e-3
    assert found._replace(sigmas_4=np.full(4, 1e-3)).correction is None  # three sigma
