"""Bundle adjustment: cameras, points and what all images have in common, odometry kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.mapping.pose_refinement.factor_graph import Expected, FactorGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.factor_graph import SharedCamera
    from glace_ros.mapping.pose_refinement.mount_calibration import Calibration
    from glace_ros.mapping.pose_refinement.odometry_edges import OdometryEdge
    from glace_ros.mapping.pose_refinement.refinement_config import BundleConfig
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView
    from glace_ros.mapping.pose_refinement.tracks import Tracks


class BundleResult(NamedTuple):
    """Everything adjusted.

    map_from_camera: of each view.
    points_k3: of each track, metres.
    camera: of all views.
    redundancy_2: for rotations and positions of odometry, which part of what it says the images
    could have contradicted: 0 where it alone decides, 1 where images do.
    cost: half the squared errors of all, in standard deviations.
    calibration: of the edges' common mount and stamps, after this; None where it was not asked for.
    """

    map_from_camera: list[Pose]
    points_k3: NDArray[np.float64]
    camera: SharedCamera
    redundancy_2: NDArray[np.float64]
    cost: float
    calibration: Calibration | None


def adjust(
    map_from_camera: Sequence[Pose],
    tracks: Tracks,
    points_k3: NDArray[np.float64],
    camera: SharedCamera,
    edges: Sequence[OdometryEdge],
    constrain: Callable[[FactorGraph], None],
    config: BundleConfig,
    views: Sequence[RefinementView] = (),
    calibration: Calibration | None = None,
) -> BundleResult:
    """The most likely cameras and points.

    map_from_camera, points_k3, camera: where to start; the camera is also what it was recorded as.
    tracks: what the views saw.
    constrain: adds what else is known of the views, such as the first pose.
    views, calibration: what the edges are made with, where that is asked for, too.
    """
    factors = FactorGraph()
    for view, pose in enumerate(map_from_camera):
        factors.add_view(view, pose)
    constrain(factors)
    odometry = range(factors.graph.size(), factors.graph.size() + len(edges))
    for edge in edges:
        factors.add_odometry(edge)
    factors.add_observations(tracks, points_k3, camera, config)
    factors.optimize(config.iterations)
    poses = [factors.pose(view) for view in range(len(map_from_camera))]
    if calibration is not None and edges:
        motions = [poses[edge.first].inverse() @ poses[edge.second] for edge in edges]
        derivatives_n67 = np.stack([
            calibration.derivatives_67(edge, motion, views)
            for edge, motion in zip(edges, motions, strict=True)
        ])  # fmt: skip
        expected = Expected(-calibration.values_7, config.mount_sigmas_7)
        calibration = calibration.changed(*factors.calibration(odometry, derivatives_n67, expected))
    return BundleResult(
        poses,
        factors.points(len(points_k3)),
        factors.camera(),
        factors.redundancy_2(odometry),
        factors.cost,
        calibration,
    )
