"""Bundle adjustment: cameras, points and what all images have in common, odometry kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.mapping.pose_refinement.factor_graph import FactorGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.factor_graph import SharedCamera
    from glace_ros.mapping.pose_refinement.odometry_edges import OdometryEdge
    from glace_ros.mapping.pose_refinement.refinement_config import BundleConfig
    from glace_ros.mapping.pose_refinement.tracks import Tracks


class BundleResult(NamedTuple):
    """Everything adjusted.

    map_from_camera: of each view.
    points_k3: of each track, metres.
    camera: of all views.
    redundancy_2: for rotations and positions of odometry, which part of what it says the images
    could have contradicted: 0 where it alone decides, 1 where images do.
    cost: half the squared errors of all, in standard deviations.
    """

    map_from_camera: list[Pose]
    points_k3: NDArray[np.float64]
    camera: SharedCamera
    redundancy_2: NDArray[np.float64]
    cost: float


def adjust(
    map_from_camera: Sequence[Pose],
    tracks: Tracks,
    points_k3: NDArray[np.float64],
    camera: SharedCamera,
    edges: Sequence[OdometryEdge],
    constrain: Callable[[FactorGraph], None],
    config: BundleConfig,
) -> BundleResult:
    """The most likely cameras and points.

    map_from_camera, points_k3, camera: where to start; the camera is also what it was recorded as.
    tracks: what the views saw.
    constrain: adds what else is known of the views, such as the first pose.
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
    return BundleResult(
        [factors.pose(view) for view in range(len(map_from_camera))],
        factors.points(len(points_k3)),
        factors.camera(),
        factors.redundancy_2(odometry),
        factors.cost,
    )
