"""Pose refinement: recorded poses that drift become poses that fit the images.

Along the way first, where odometry is right over a metre; then loops, which odometry cannot see;
then all views together. Odometry stays in as what it is: precise from view to view, and the only
thing that knows how long a metre is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from glace_ros.features.global_encoder import VladConfig, VladEncoder
from glace_ros.features.local_features import LocalFeatures
from glace_ros.mapping.pose_refinement.bundle_adjustment import BundleResult, adjust
from glace_ros.mapping.pose_refinement.factor_graph import SharedCamera
from glace_ros.mapping.pose_refinement.loop_closures import Loop, find_loops, points_of_views
from glace_ros.mapping.pose_refinement.odometry_edges import is_planar, odometry_edges
from glace_ros.mapping.pose_refinement.pair_matching import (
    match_pairs,
    near_epipolar,
    pairs_along_way,
    pairs_in_reach,
)
from glace_ros.mapping.pose_refinement.pose_graph import optimize_pose_graph
from glace_ros.mapping.pose_refinement.rolling_shutter import RollingShutter, most_likely_readout_s
from glace_ros.mapping.pose_refinement.tracks import (
    Cameras,
    Tracks,
    thinned,
    tracks_of,
    triangulate,
    trustworthy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.factor_graph import FactorGraph
    from glace_ros.mapping.pose_refinement.odometry_edges import OdometryEdge
    from glace_ros.mapping.pose_refinement.refinement_config import PoseRefinementConfig
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView


score_hook = lambda p: None


class Refinement(NamedTuple):
    """What became of the poses."""

    map_from_camera: list[Pose]
    loops: list[Loop]
    kept_n: NDArray[np.bool_]
    camera: SharedCamera
    readout_s: float
    noise_2: NDArray[np.float64]
    error_px: float


class PoseRefinement:
    """Takes its steps in `run`."""

    def __init__(
        self,
        views: Sequence[RefinementView],
        config: PoseRefinementConfig,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._views = views
        self._config = config
        self._on_progress = on_progress
        self._drives_v = np.array([view.drive for view in views])
        self._recorded = [view.recorded for view in views]
        self._camera = SharedCamera(views[0].intrinsics_4)
        self._intrinsics_v4 = np.stack([view.intrinsics_4 for view in views])
        self._shutter = RollingShutter(views)
        base = views[0].base_from_camera
        self._edges = odometry_edges(self._recorded, self._drives_v, base, config.noise)
        self._noise_2 = np.ones(2)
        self._planar = {
            drive: is_planar([v.recorded @ v.base_from_camera.inverse() for v in views if v.drive == drive])
            for drive in set(self._drives_v.tolist())
        }

    def run(self) -> Refinement:
        bundle, tracks = self._along_way()
        self._on_progress("along way")
        loops = self._loops(bundle, tracks)
        self._on_progress("loops")
        poses = bundle.map_from_camera
        graph = optimize_pose_graph(
            poses, self._edges_like(poses), loops, self._constrain, self._config.loops
        )
        self._on_progress("graph"); score_hook(graph.map_from_camera)
        poses, camera = graph.map_from_camera, bundle.camera
        matching = self._config.matching
        pairs = pairs_in_reach(poses, matching)
        matches = match_pairs(self._views, poses, pairs, matching.epipolar_px[1], matching.min_cosine)
        self._on_progress(f"  match {len(pairs)}")
        for gate_px in self._config.matching.epipolar_px[1:]:
            matches = near_epipolar(matches, self._views, self._cameras(poses, camera), gate_px)
            self._on_progress("  gate")
            bundle, tracks = self._adjusted(poses, camera, matches, gate_px, False)
            poses, camera = bundle.map_from_camera, bundle.camera
            self._on_progress("everywhere")
        cameras = self._cameras(poses, camera)
        error_n, _ = cameras.reprojection(tracks, bundle.points_k3)
        return Refinement(poses, loops, graph.kept_n, camera, self._shutter.readout_s, self._noise_2, float(np.median(error_n)))

    def _cameras(self, poses: Sequence[Pose], camera: SharedCamera) -> Cameras:
        intrinsics_v4 = self._intrinsics_v4 * (camera.intrinsics_4 / self._camera.intrinsics_4)
        return Cameras.of(poses, intrinsics_v4)

    def _along_way(self) -> tuple[BundleResult, Tracks]:
        matching = self._config.matching
        pairs = pairs_along_way(self._drives_v, matching.along_way)
        gate_px = matching.epipolar_px[0]
        matches = match_pairs(self._views, self._recorded, pairs, gate_px, matching.min_cosine)
        self._on_progress(f"  match {len(pairs)}")
        few = replace(self._config.bundle, observations=60, sigma_px=1.0)
        tracks, points_k3 = self._tracks(self._recorded, self._camera, matches, gate_px, few)
        self._shutter.readout_s = self._readout_s(tracks, points_k3, few)
        self._on_progress(f"  shutter {self._shutter.readout_s}")
        bundle, _ = self._adjusted(self._recorded, self._camera, matches, gate_px, True)
        every = replace(self._config.bundle, observations=len(self._views[0].pixels_n2))
        tracks, points_k3 = self._tracks(bundle.map_from_camera, bundle.camera, matches, 4.0, every)
        return bundle._replace(points_k3=points_k3), tracks

    def _readout_s(self, tracks, points_k3, config) -> float:
        cameras = self._cameras(self._recorded, self._camera)
        _, depth_n = cameras.reprojection(tracks, points_k3)
        def cost(readout_s):
            seen = RollingShutter(self._views, readout_s).at_middle(tracks, depth_n, cameras)
            return adjust(self._recorded, seen, points_k3, self._camera, self._edges, self._constrain_drives, config).cost
        return most_likely_readout_s(cost)

    def _tracks(self, poses, camera, matches, gate_px, config):
        cameras = self._cameras(poses, camera)
        tracks = tracks_of(matches, [view.pixels_n2 for view in self._views], config.min_views)
        points_k3 = triangulate(tracks, cameras, gate_px)
        good_n = trustworthy(tracks, points_k3, cameras, gate_px, config.min_views, config.min_parallax_deg)
        tracks, old_k = tracks.only(good_n)
        per_view = min(config.observations, config.most_observations // len(self._views))
        tracks, old_k2 = tracks.only(thinned(tracks, per_view))
        return tracks, points_k3[old_k][old_k2]

    def _adjusted(self, poses, camera, matches, gate_px, along) -> tuple[BundleResult, Tracks]:
        config = self._config.bundle
        cameras = self._cameras(poses, camera)
        tracks, points_k3 = self._tracks(poses, camera, matches, gate_px, config)
        _, depth_n = cameras.reprojection(tracks, points_k3)
        self._on_progress("  tracks")
        seen = self._shutter.at_middle(tracks, depth_n, cameras)
        edges = [edge.scaled(*self._noise_2) for edge in self._edges]
        start = SharedCamera(self._camera.intrinsics_4)
        result = adjust(poses, seen, points_k3, start, edges, self._constrain_drives if along else self._constrain, config)
        self._on_progress(f"  adjust obs {len(seen.view_n)}")
        self._learn_noise(edges, result, seen)
        self._on_progress(f"  noise {self._noise_2} redundancy {result.redundancy_2} cam {result.camera}")
        score_hook(result.map_from_camera)
        return result, seen

    def _learn_noise(self, edges: Sequence[OdometryEdge], result: BundleResult, tracks: Tracks) -> None:
        poses = result.map_from_camera
        errors_n6 = np.array([e.errors_6(poses[e.first].inverse() @ poses[e.second]) for e in edges])
        squares_2 = np.array([(errors_n6[:, :3] ** 2).mean(), (errors_n6[:, 3:] ** 2).mean()])
        noise, r_2 = self._config.noise, np.clip(result.redundancy_2, 0.01, 1.0)
        cameras = self._cameras(poses, result.camera)
        error_n, _ = cameras.reprojection(tracks, result.points_k3)
        kappa = (np.median(error_n) / 1.177 / self._config.bundle.sigma_px) ** 2
        factor_2 = np.sqrt(np.maximum(squares_2 / r_2**2 - kappa * (1 - r_2) / r_2, 0.0))
        self._noise_2 = np.clip(self._noise_2 * np.clip(factor_2, 0.3, 3.0), noise.least_scale, noise.most_scale)

    def _loops(self, bundle: BundleResult, tracks: Tracks) -> list[Loop]:
        features = [LocalFeatures(view.descriptors_nC, torch.from_numpy(view.pixels_n2), torch.ones(len(view.pixels_n2))) for view in self._views]
        encoder = VladEncoder.learn(features, bundle.map_from_camera, VladConfig(), 0)
        descriptors_vG = torch.stack([encoder.encode(view) for view in features])
        seen = points_of_views(tracks, bundle.points_k3, bundle.map_from_camera)
        return find_loops(self._views, seen, descriptors_vG, self._config.loops, self._config.matching)

    def _edges_like(self, poses) -> list[OdometryEdge]:
        return [replace(e, first_from_second=poses[e.first].inverse() @ poses[e.second]).scaled(*self._noise_2) for e in self._edges]

    def _constrain(self, factors: FactorGraph) -> None:
        factors.fix(0, self._recorded[0])
        self._keep_planar(factors)

    def _constrain_drives(self, factors: FactorGraph) -> None:
        for view in np.unique(self._drives_v, return_index=True)[1].tolist():
            factors.fix(view, self._recorded[view])
        self._keep_planar(factors)

    def _keep_planar(self, factors: FactorGraph) -> None:
        noise = self._config.noise
        for number, view in enumerate(self._views):
            if self._planar[view.drive]:
                factors.add_planar(number, view.recorded, view.base_from_camera, noise.planar_tilt_rad, noise.planar_height_m)
