"""Pose graph: odometry and loops brought together, and loops that do not fit left out.

Graduated non-convexity (Yang et al., RA-L 2020) over the loops alone: odometry's edges are known to
be inliers. Without being told so it fails, and so do robust kernels where wrong loops agree with
each other, as between rooms that look alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.mapping.pose_refinement.factor_graph import FactorGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.loop_closures import Loop
    from glace_ros.mapping.pose_refinement.odometry_edges import OdometryEdge
    from glace_ros.mapping.pose_refinement.refinement_config import LoopConfig

_KEPT = 0.5
"""Weight from which on a loop counts as right: they end near 0 or 1."""


class PoseGraphResult(NamedTuple):
    """Cameras after loops have been closed.

    map_from_camera: of each view.
    kept: the loops that fit.
    """

    map_from_camera: list[Pose]
    kept: list[Loop]


def optimize_pose_graph(
    map_from_camera: Sequence[Pose],
    edges: Sequence[OdometryEdge],
    loops: Sequence[Loop],
    constrain: Callable[[FactorGraph], None],
    config: LoopConfig,
) -> PoseGraphResult:
    """The poses that odometry and the loops which fit agree on.

    map_from_camera: where to start; all drives in one frame.
    constrain: adds what else is known of the views, such as the first pose.
    """
    factors = FactorGraph()
    for view, pose in enumerate(map_from_camera):
        factors.add_view(view, pose)
    constrain(factors)
    for edge in edges:
        factors.add_odometry(edge)
    known = factors.graph.size()
    for loop in loops:
        depth_m = float(np.linalg.norm(loop.first_from_second.translation_3))
        metres = float(np.hypot(config.translation_m, config.translation_ratio * depth_m))
        factors.add_motion(
            loop.first, loop.second, loop.first_from_second, config.rotation_rad, metres
        )
    weights_n = factors.graduated(known)
    poses = [factors.pose(view) for view in range(len(map_from_camera))]
    weighed = zip(loops, weights_n.tolist(), strict=True)
    return PoseGraphResult(poses, [loop for loop, weight in weighed if weight > _KEPT])
