"""Bundle adjustment: cameras, points and what all images have in common, odometry kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.mapping.pose_refinement.factor_graph import Expected, FactorGraph
from glace_ros.mapping.pose_refinement.freed_memory import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.factor_graph import SharedCamera
    from glace_ros.mapping.pose_refinement.mount_calibration import Calibration
    from glace_ros.mapping.pose_refinement.observations import Observations
    from glace_ros.mapping.pose_refinement.odometry_edges import OdometryEdge
    from glace_ros.mapping.pose_refinement.refinement_config import BundleConfig
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView


class OdometryShown(NamedTuple):
    """What an adjustment shows of odometry.

    redundancy_2: for rotations and positions, which part of what it says the images could have
    contradicted: 0 where it alone decides, 1 where images do.
    calibration: of the edges' common mount and stamps, after this.
    """

    redundancy_2: NDArray[np.float64]
    calibration: Calibration


class BundleResult(NamedTuple):
    """Everything adjusted.

    map_from_camera: of each view.
    observations: with their points.
    camera: of all views.
    cost: half the squared errors of all, in standard deviations.
    odometry: None where it was not asked for, there is none, or it cannot be told.
    """

    map_from_camera: list[Pose]
    observations: list[Observations]
    camera: SharedCamera
    cost: float
    odometry: OdometryShown | None


def adjust(
    map_from_camera: Sequence[Pose],
    observations: Sequence[Observations],
    camera: SharedCamera,
    edges: Sequence[OdometryEdge],
    constrain: Callable[[FactorGraph], None],
    config: BundleConfig,
    views: Sequence[RefinementView] = (),
    calibration: Calibration | None = None,
) -> BundleResult:
    """The most likely cameras and points.

    map_from_camera, observations, camera: where to start; the camera is also what it was recorded
    as. Of each kind of keypoints the observations are one item.
    constrain: adds what else is known of the views, such as the first pose.
    views, calibration: what the edges are made with, where it is asked what this shows of odometry.
    """
    factors = FactorGraph()
    for view, pose in enumerate(map_from_camera):
        factors.add_view(view, pose)
    constrain(factors)
    odometry = range(factors.graph.size(), factors.graph.size() + len(edges))
    for edge in edges:
        factors.add_odometry(edge)
    factors.add_camera(camera, config)
    points = [factors.add_observations(seen) for seen in observations]
    factors.optimize(config.iterations)
    poses = [factors.pose(view) for view in range(len(map_from_camera))]
    shown = None
    if calibration is not None and edges:
        shown = _odometry_shown(factors, poses, odometry, edges, config, views, calibration)
    adjusted = [
        seen._replace(points_k3=factors.points(numbers))
        for seen, numbers in zip(observations, points, strict=True)
    ]
    result = BundleResult(poses, adjusted, factors.camera(), factors.cost, shown)
    del factors
    give_back()
    return result


def _odometry_shown(
    factors: FactorGraph,
    poses: Sequence[Pose],
    odometry: range,
    edges: Sequence[OdometryEdge],
    config: BundleConfig,
    views: Sequence[RefinementView],
    calibration: Calibration,
) -> OdometryShown | None:
    """None where the system about the result, which nothing damps any more, has no solution."""
    motions = [poses[edge.first].inverse() @ poses[edge.second] for edge in edges]
    derivatives_n67 = np.stack([
        calibration.derivatives_67(edge, motion, views)
        for edge, motion in zip(edges, motions, strict=True)
    ])  # fmt: skip
    expected = Expected(-calibration.values_7, config.mount_sigmas_7)
    linear = factors.linearized()
    try:
        changes = factors.calibration(linear, odometry, derivatives_n67, expected)
        redundancy_2 = factors.redundancy_2(linear, odometry)
    except RuntimeError:
        return None
    return OdometryShown(redundancy_2, calibration.changed(*changes))
