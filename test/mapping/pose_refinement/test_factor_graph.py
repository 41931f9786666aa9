"""Factor graphs stay solvable whatever points are in them."""

from __future__ import annotations

import numpy as np
import pytest
from support.drifting_drive import (
    INTRINSICS_4,
    bases,
    drifted,
    record,
    refined,
    rmse_m,
    room,
    rounds,
)

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.observations import Observations
from glace_ros.mapping.pose_refinement.refinement_config import (
    PRECISE,
    BundleConfig,
    KeypointConfig,
    PoseRefinementConfig,
)
from glace_ros.mapping.pose_refinement.tracks import Tracks

pytest.importorskip("gtsam")
from glace_ros.mapping.pose_refinement.factor_graph import FactorGraph, SharedCamera


@pytest.mark.parametrize("keypoints", [KeypointConfig(), PRECISE])
@pytest.mark.parametrize("depth_m", [0.5, 3.0, 30.0, 3000.0, -2.0])
def test_a_point_of_unknown_depth_leaves_the_rest_solvable(depth_m, keypoints):
    """Twelve views from one place show its direction alone; behind them all, not even that."""
    graph, views = FactorGraph(), np.arange(12)
    for view in views:
        graph.add_view(int(view), Pose.identity())
        graph.fix(int(view), Pose.identity())
    pixels_n2 = np.tile([270.0, 60.0], (12, 1))
    tracks = Tracks(views, views, np.zeros(12, int), pixels_n2)
    graph.add_camera(SharedCamera(INTRINSICS_4), BundleConfig())
    x, y = (pixels_n2[0] - INTRINSICS_4[2:]) / INTRINSICS_4[:2]
    point_13 = depth_m * np.array([[x, y, 1.0]])
    numbers = graph.add_observations(Observations(tracks, point_13, keypoints))
    step = graph.linearized().solution()
    assert np.isfinite(step.at(graph._gtsam.symbol("l", numbers[0]))).all()
    assert graph.points(numbers) == pytest.approx(point_13)


def test_poses_are_refined_where_nothing_can_be_told_of_odometry(monkeypatch):
    """And odometry counts for what it did before."""

    def unsolvable(*_):
        raise RuntimeError("Indeterminate linear system detected")

    monkeypatch.setattr(FactorGraph, "calibration", unsolvable)
    rng = np.random.default_rng(0)
    truth = rounds(64)
    result = refined(record(room(1), truth, drifted(truth, rng), rng))
    assert rmse_m(bases(result.map_from_camera), truth) < 0.01
    model = PoseRefinementConfig().noise
    assert result.findings.position_noise_m == model.translation_m
    assert result.findings.miscalibrated == []
