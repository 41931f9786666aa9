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

from glace_ros.errors import MappingError
from glace_ros.features.global_encoder import VladConfig, VladEncoder
from glace_ros.features.local_features import LocalFeatures
from glace_ros.mapping.pose_refinement.bundle_adjustment import adjust
from glace_ros.mapping.pose_refinement.drive_joining import join_stretches, unrelated
from glace_ros.mapping.pose_refinement.factor_graph import SharedCamera
from glace_ros.mapping.pose_refinement.findings import describe_findings
from glace_ros.mapping.pose_refinement.loop_closures import find_loops, points_of_views
from glace_ros.mapping.pose_refinement.mount_calibration import AS_RECORDED
from glace_ros.mapping.pose_refinement.odometry_edges import (
    is_planar,
    learned_noise_2,
    odometry_edges,
    way_until_v,
)
from glace_ros.mapping.pose_refinement.pair_matching import (
    match_pairs,
    near_epipolar,
    pairs_along_way,
    pairs_in_reach,
)
from glace_ros.mapping.pose_refinement.pose_consistency import (
    PoseConsistency,
    epipolar_ratio,
    loops_agreeing,
    stretch_fits,
)
from glace_ros.mapping.pose_refinement.pose_graph import optimize_pose_graph
from glace_ros.mapping.pose_refinement.refined_poses import RefinedPoses
from glace_ros.mapping.pose_refinement.rolling_shutter import RollingShutter, most_likely_readout_s
from glace_ros.mapping.pose_refinement.tracks import (
    Cameras,
    PairMatches,
    Tracks,
    shortened,
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
    from glace_ros.mapping.pose_refinement.loop_closures import Loop
    from glace_ros.mapping.pose_refinement.odometry_edges import OdometryEdge
    from glace_ros.mapping.pose_refinement.refinement_config import (
        BundleConfig,
        PoseRefinementConfig,
    )
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

_SHARES = {"matching": 0.2, "along the way": 0.35, "loops": 0.5, "matching more": 0.7}
"""Of the time, when that step is done."""
_TIGHT_PX = 4.0
"""From a keypoint to its point, where the points are those that loops are found by."""


class _Scene(NamedTuple):
    """What is known after a bundle adjustment."""

    map_from_camera: list[Pose]
    camera: SharedCamera
    tracks: Tracks
    points_k3: NDArray[np.float64]


class PoseRefinement:
    """Takes its steps in `run`.

    views: in order of time within each stretch of way; the stretches one after the other.
    names: of the stretches, for people.
    on_progress: is told how much is done, 0 to 1, and in words what is being done.
    """

    def __init__(
        self,
        views: Sequence[RefinementView],
        names: Sequence[str],
        config: PoseRefinementConfig,
        on_progress: Callable[[float, str], None] = lambda _, __: None,
    ) -> None:
        self._views, self._names, self._config = views, names, config
        self._on_progress = on_progress
        self._stretches_v = np.array([view.stretch for view in views])
        self._recorded = [view.recorded for view in views]
        self._pixels = [view.pixels_n2 for view in views]
        self._camera = SharedCamera(views[0].intrinsics_4)
        self._intrinsics_v4 = np.stack([view.intrinsics_4 for view in views])
        self._shutter = RollingShutter(views)
        self._edges = odometry_edges(
            self._recorded, self._stretches_v, [v.base_from_camera for v in views], config.noise
        )
        self._way_v = way_until_v(self._edges, len(views))
        self._recorded_edges = self._edges
        self._calibration, self._applied = AS_RECORDED, AS_RECORDED
        self._noise_2: NDArray[np.float64] = np.ones(2)
        self._planar = is_planar([v.recorded @ v.base_from_camera.inverse() for v in views])
        self._joined = self._recorded

    def run(self) -> RefinedPoses:
        """The poses of all views in the frame of the first one, which stays where it is; where the
        camera's mount is calibrated, the robot stays where it is then.

        Raises MappingError where a stretch shows nothing of the others.
        """
        scene = self._along_way()
        self._say("along the way")
        loops = self._loops(scene)
        self._say("loops")
        poses = self._in_one_frame(scene.map_from_camera, loops)
        self._joined = self._in_one_frame(self._recorded, loops)
        possible = [loop for loop in loops if self._odometry_allows(loop, poses)]
        edges = [self._visual(edge, poses) for edge in self._edges]
        graph = optimize_pose_graph(poses, edges, possible, self._constrain, self._config.loops)
        scene = self._everywhere(scene._replace(map_from_camera=graph.map_from_camera))
        self._require_one_place(scene)
        return self._refined(scene, loops, graph.kept)

    def _in_one_frame(self, poses: Sequence[Pose], loops: Sequence[Loop]) -> list[Pose]:
        return join_stretches(
            poses, self._stretches_v, loops, self._names,
            self._config.loops.min_joining, planar=self._planar,
        )  # fmt: skip

    def _require_one_place(self, scene: _Scene) -> None:
        """Loops between places that look alike can agree with each other; then the views that they
        bring together do not match.
        """
        poses = scene.map_from_camera
        stretches = set(self._stretches_v.tolist())
        if len(stretches) == 1:
            return
        pairs = pairs_in_reach(poses, self._config.matching)
        for stretch in sorted(stretches - {0}):
            if not stretch_fits(stretch, self._views, poses, pairs):
                why = "what its views and theirs should both see does not match"
                raise MappingError(unrelated(self._names, stretch, why))

    def consistency(self) -> PoseConsistency:
        """Whether the recorded poses fit the images as they are; adjusts nothing."""
        matches, gate_px = self._matches_along_way(), self._config.matching.along_epipolar_px
        seen = self._tracks(self._recorded, self._camera, matches, gate_px, self._all_of_each_view)
        loops = [
            loop
            for loop in self._loops(_Scene(self._recorded, self._camera, *seen))
            if self._stretches_v[loop.first] == self._stretches_v[loop.second]
            and self._odometry_allows(loop, self._recorded)
        ]
        # between rooms that look alike many loops are wrong: those count that odometry allows
        graph = optimize_pose_graph(
            self._recorded, self._edges, loops, self._fix_each_stretch, self._config.loops
        )
        self._on_progress(1.0, "loops")
        return PoseConsistency(
            epipolar_ratio(self._views, self._recorded),
            len(graph.kept),
            loops_agreeing(graph.kept, self._recorded),
        )

    def _say(self, step: str) -> None:
        self._on_progress(_SHARES[step], step)

    def _along_way(self) -> _Scene:
        """Each stretch by itself: neighbouring views alone, which odometry puts rightly."""
        matches, gate_px = self._matches_along_way(), self._config.matching.along_epipolar_px
        recorded = (self._recorded, self._camera)
        self._shutter.readout_s = self._readout_s(matches)
        scene = self._adjusted(*recorded, matches, gate_px, self._fix_each_stretch)
        if self._applied is not AS_RECORDED:  # odometry as it was recorded misled the shutter's
            self._shutter.readout_s = self._readout_s(matches)
            scene = self._adjusted(
                scene.map_from_camera, scene.camera, matches, gate_px, self._fix_each_stretch
            )
        seen = self._tracks(
            scene.map_from_camera, scene.camera, matches, _TIGHT_PX, self._all_of_each_view
        )
        return scene._replace(tracks=seen[0], points_k3=seen[1])

    def _matches_along_way(self) -> list[PairMatches]:
        matching = self._config.matching
        pairs = pairs_along_way(self._stretches_v, matching.along_way)
        matches = match_pairs(
            self._views, self._recorded, pairs, matching.along_epipolar_px, matching.min_cosine
        )
        self._say("matching")
        return matches

    @property
    def _all_of_each_view(self) -> BundleConfig:
        """Which tracks loops are found by: all of them, as long as they are."""
        observations, views = self._config.matching.patches, len(self._views)
        return replace(self._config.bundle, observations=observations, most_views=views)

    def _readout_s(self, matches: Sequence[PairMatches]) -> float:
        bundle = self._config.bundle
        config = replace(
            bundle, observations=bundle.readout_observations, sigma_px=bundle.readout_sigma_px,
            huber=bundle.readout_huber,
        )  # fmt: skip
        gate_px = self._config.matching.along_epipolar_px
        tracks, points_k3 = self._tracks(self._recorded, self._camera, matches, gate_px, config)
        cameras = self._cameras(self._recorded, self._camera)
        _, depth_n = cameras.reprojection(tracks, points_k3)

        def cost(readout_s: float) -> float:
            seen = RollingShutter(self._views, readout_s).at_middle(tracks, depth_n, cameras)
            return adjust(
                self._recorded, seen, points_k3, self._camera, self._edges, self._fix_each_stretch,
                config,
            ).cost  # fmt: skip

        return most_likely_readout_s(cost) if tracks.track_count else 0.0

    def _loops(self, scene: _Scene) -> list[Loop]:
        """Views that see what another one saw, along the way of each by itself."""
        features = [
            LocalFeatures(
                view.descriptors_nC, torch.from_numpy(view.pixels_n2), torch.ones(len(pixels_n2))
            )
            for view, pixels_n2 in zip(self._views, self._pixels, strict=True)
        ]
        encoder = VladEncoder.learn(features, scene.map_from_camera, VladConfig(), 0)
        descriptors_vG = torch.stack([encoder.encode(view) for view in features])
        seen = points_of_views(scene.tracks, scene.points_k3, scene.map_from_camera)
        config = self._config
        return find_loops(self._views, seen, descriptors_vG, config.loops, config.matching)

    def _everywhere(self, scene: _Scene) -> _Scene:
        """All views that see the same, until nothing moves."""
        matching, bundle = self._config.matching, self._config.bundle
        pairs = pairs_in_reach(scene.map_from_camera, matching)
        matches = match_pairs(
            self._views, scene.map_from_camera, pairs, matching.epipolar_px[0], matching.min_cosine
        )
        self._say("matching more")
        for step, gate_px in enumerate(matching.epipolar_px, 1):
            cameras = self._cameras(scene.map_from_camera, scene.camera)
            matches = near_epipolar(matches, self._views, cameras, gate_px)
            before = scene
            scene = self._adjusted(
                before.map_from_camera, before.camera, matches, gate_px, self._constrain
            )
            done = _SHARES["matching more"]
            self._on_progress(
                done + (1 - done) * step / len(matching.epipolar_px), "adjusting all views"
            )
            moved_v = [
                pose.distance_m(other)
                for pose, other in zip(scene.map_from_camera, before.map_from_camera, strict=True)
            ]
            if np.median(moved_v) < bundle.still_m:
                break
        return scene

    def _tracks(
        self,
        poses: Sequence[Pose],
        camera: SharedCamera,
        matches: Sequence[PairMatches],
        gate_px: float,
        config: BundleConfig,
    ) -> tuple[Tracks, NDArray[np.float64]]:
        """Tracks that these poses explain, enough of each view, and their points (k, 3)."""
        cameras = self._cameras(poses, camera)
        tracks = tracks_of(matches, self._pixels, config.min_views)
        points_k3 = triangulate(tracks, cameras, gate_px)
        good_n = trustworthy(
            tracks, points_k3, cameras, gate_px, config.min_views, config.min_parallax_deg
        )
        tracks, old_k = tracks.only(good_n)
        points_k3 = points_k3[old_k]
        tracks, _ = tracks.only(shortened(tracks, config.most_views))
        per_view = min(config.observations, config.most_observations // len(self._views))
        tracks, old_k = tracks.only(thinned(tracks, per_view))
        return tracks, points_k3[old_k]

    def _adjusted(
        self,
        poses: Sequence[Pose],
        camera: SharedCamera,
        matches: Sequence[PairMatches],
        gate_px: float,
        constrain: Callable[[FactorGraph], None],
    ) -> _Scene:
        """A bundle adjustment of what matches, which also shows how good odometry is."""
        config = self._config.bundle
        tracks, points_k3 = self._tracks(poses, camera, matches, gate_px, config)
        cameras = self._cameras(poses, camera)
        _, depth_n = cameras.reprojection(tracks, points_k3)
        tracks = self._shutter.at_middle(tracks, depth_n, cameras)
        edges = [edge.scaled(*self._noise_2) for edge in self._edges]
        result = adjust(
            poses, tracks, points_k3, self._camera, edges, constrain, config, self._views,
            self._applied,
        )  # fmt: skip
        cameras = self._cameras(result.map_from_camera, result.camera)
        error_n, _ = cameras.reprojection(tracks, result.points_k3)
        sigma_px = np.median(error_n) / 1.177 if len(error_n) else config.sigma_px
        if shown := result.odometry:
            self._noise_2 = learned_noise_2(
                edges, result.map_from_camera, self._noise_2, shown.redundancy_2,
                float(sigma_px / config.sigma_px), self._config.noise,
            )  # fmt: skip
            self._calibration = shown.calibration
            # chance would bend a map, if only a little
            wrong = any(self._calibration.significant_3)
            self._applied = self._calibration if wrong else AS_RECORDED
            self._edges = [self._applied.edge(edge, self._views) for edge in self._recorded_edges]
        return _Scene(result.map_from_camera, result.camera, tracks, result.points_k3)

    def _visual(self, edge: OdometryEdge, poses: Sequence[Pose]) -> OdometryEdge:
        """The edge with the motion that images and odometry agreed on along the way."""
        motion = poses[edge.first].inverse() @ poses[edge.second]
        return replace(edge, first_from_second=motion).scaled(*self._noise_2)

    def _cameras(self, poses: Sequence[Pose], camera: SharedCamera) -> Cameras:
        changed_4 = camera.intrinsics_4 / self._camera.intrinsics_4
        return Cameras.of(poses, self._intrinsics_v4 * changed_4)

    def _constrain(self, factors: FactorGraph) -> None:
        factors.fix(0, self._joined[0] @ self._applied.correction)
        self._keep_planar(factors)

    def _fix_each_stretch(self, factors: FactorGraph) -> None:
        for view in np.unique(self._stretches_v, return_index=True)[1].tolist():
            factors.fix(view, self._recorded[view] @ self._applied.correction)
        self._keep_planar(factors)

    def _keep_planar(self, factors: FactorGraph) -> None:
        """What the odometry of wheels does not know stays: height and tilt."""
        if not self._planar:
            return
        noise, correction = self._config.noise, self._applied.correction
        for view, pose in enumerate(self._joined):
            factors.add_planar(
                view, pose @ correction, self._views[view].base_from_camera @ correction,
                noise.planar_tilt_rad, noise.planar_height_m,
            )  # fmt: skip

    def _odometry_allows(self, loop: Loop, poses: Sequence[Pose]) -> bool:
        """Whether drift could explain what a loop contradicts. Without this bound loops between
        rooms that look alike win where there are enough of them: each bends odometry a little.
        """
        if self._stretches_v[loop.first] != self._stretches_v[loop.second]:
            return True
        way_m = abs(float(self._way_v[loop.second] - self._way_v[loop.first]))
        by_odometry = poses[loop.first].inverse() @ poses[loop.second]
        config = self._config.loops
        allowed_m = config.most_drift_m + config.most_drift_ratio * way_m
        return by_odometry.distance_m(loop.first_from_second) < allowed_m

    def _refined(
        self,
        scene: _Scene,
        loops: Sequence[Loop],
        kept: Sequence[Loop],
    ) -> RefinedPoses:
        cameras = self._cameras(scene.map_from_camera, scene.camera)
        error_n, _ = cameras.reprojection(scene.tracks, scene.points_k3)
        refined = scene.map_from_camera
        if not self._config.calibrate:
            # the first camera stays; with the corrected mount, the robot does
            moved = self._joined[0] @ refined[0].inverse()
            refined = [moved @ pose for pose in refined]
        findings = describe_findings(
            self._views, self._joined, refined, self._way_v, loops, kept,
            rotation_noise_rad=self._noise_2[0] * self._config.noise.rotation_rad,
            position_noise_m=self._noise_2[1] * self._config.noise.translation_m,
            readout_s=self._shutter.readout_s,
            focal_ratio=float(scene.camera.intrinsics_4[0] / self._camera.intrinsics_4[0]),
            reprojection_px=float(np.median(error_n)) if len(error_n) else 0.0,
            calibration=self._calibration,
        )  # fmt: skip
        consistency = PoseConsistency(
            epipolar_ratio(self._views, refined), len(kept), loops_agreeing(kept, refined)
        )
        return RefinedPoses(refined, findings, consistency)
