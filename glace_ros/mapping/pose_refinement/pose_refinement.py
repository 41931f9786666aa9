"""Pose refinement: recorded poses that drift become poses that fit the images.

Along the way first, where odometry is right over a metre; then loops, which odometry cannot see;
then all views together. Odometry stays in as what it is: precise from view to view, and the only
thing that knows how long a metre is. The file is longer than others: its steps share the views, the
shutter, and what is believed of odometry.
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
from glace_ros.mapping.pose_refinement.cameras import Cameras
from glace_ros.mapping.pose_refinement.drive_joining import join_stretches, unrelated
from glace_ros.mapping.pose_refinement.factor_graph import SharedCamera
from glace_ros.mapping.pose_refinement.findings import describe_findings
from glace_ros.mapping.pose_refinement.intrinsics import estimate_intrinsics
from glace_ros.mapping.pose_refinement.loop_closures import find_loops, points_of_views
from glace_ros.mapping.pose_refinement.mount_calibration import AS_RECORDED
from glace_ros.mapping.pose_refinement.observations import (
    MatchedKeypoints,
    noise_ratio,
    reprojection_px,
)
from glace_ros.mapping.pose_refinement.odometry_belief import OdometryBelief
from glace_ros.mapping.pose_refinement.odometry_edges import way_until_v
from glace_ros.mapping.pose_refinement.pair_matching import pairs_along_way, pairs_in_reach
from glace_ros.mapping.pose_refinement.pose_check import PoseCheck
from glace_ros.mapping.pose_refinement.pose_consistency import (
    PoseConsistency,
    epipolar_ratio,
    loops_agreeing,
    stretch_fits,
)
from glace_ros.mapping.pose_refinement.pose_graph import optimize_pose_graph
from glace_ros.mapping.pose_refinement.refined_poses import RefinedPoses
from glace_ros.mapping.pose_refinement.rolling_shutter import RollingShutter, most_likely_readout_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.factor_graph import FactorGraph
    from glace_ros.mapping.pose_refinement.intrinsics import IntrinsicsEstimate
    from glace_ros.mapping.pose_refinement.loop_closures import Loop
    from glace_ros.mapping.pose_refinement.observations import Observations
    from glace_ros.mapping.pose_refinement.precise_keypoints import PreciseKeypoints
    from glace_ros.mapping.pose_refinement.refinement_config import (
        KeypointConfig,
        PoseRefinementConfig,
    )
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

_SHARES = {"matching": 0.05, "along the way": 0.2, "loops": 0.25, "adjusting all views": 0.45}
"""Of the time, when that step is done."""
_SURE_OF_RECORDED, _SURE_OF_BOTH = 1e-4, 2e-3
"""How well focal lengths can be known at best, a ratio: by poses that are as recorded, and by poses
that were adjusted together with them.
"""
_TIGHT_PX = 4.0
"""From a keypoint to its point, where the points are those that loops are found by."""
_CHECKED_LOOPS = 100
"""So many tell whether poses fit: a ratio of 0.95 to about 2 %."""


class _Scene(NamedTuple):
    """What is known after a bundle adjustment."""

    map_from_camera: list[Pose]
    camera: SharedCamera
    observations: list[Observations]


class PoseRefinement:
    """Takes its steps in `run`.

    views: in order of time within each stretch of way; the stretches one after the other.
    names: of the stretches, for people.
    precise: gives the precise keypoints of each view, once and only if they are needed; None where
    the images are not there.
    on_progress: is told how much is done, 0 to 1, and in words what is being done.
    """

    def __init__(
        self,
        views: Sequence[RefinementView],
        names: Sequence[str],
        config: PoseRefinementConfig,
        precise: Callable[[], Sequence[PreciseKeypoints]] | None = None,
        on_progress: Callable[[float, str], None] = lambda _, __: None,
    ) -> None:
        self._views, self._names, self._config, self._precise = views, names, config, precise
        self._on_progress = on_progress
        self._stretches_v = np.array([view.stretch for view in views])
        self._recorded = [view.recorded for view in views]
        self._camera = SharedCamera(views[0].intrinsics_4)
        self._intrinsics_v4 = np.stack([view.intrinsics_4 for view in views])
        self._shutter = RollingShutter(views)
        self._odometry = OdometryBelief(views, self._stretches_v, config.noise)
        self._way_v = way_until_v(self._odometry.modelled_edges, len(views))
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
        edges = self._odometry.visual_edges(poses)
        graph = optimize_pose_graph(poses, edges, possible, self._constrain, self._config.loops)
        scene = self._everywhere(scene._replace(map_from_camera=graph.map_from_camera))
        self._require_one_place(scene)
        return self._refined(scene, loops, graph.kept)

    def as_recorded(self) -> PoseCheck:
        """Whether the recorded poses fit the images as they are, and what camera does; adjusts no
        pose.
        """
        seen = self._all_observed(self._recorded, self._camera, self._matched_along_way())

        def counts(loop: Loop) -> bool:  # between rooms that look alike many loops are wrong
            same_stretch = self._stretches_v[loop.first] == self._stretches_v[loop.second]
            return bool(same_stretch) and self._odometry_allows(loop, self._recorded)

        scene = _Scene(self._recorded, self._camera, [seen])
        loops = self._loops(scene, counts, _CHECKED_LOOPS)
        graph = optimize_pose_graph(
            self._recorded, self._odometry.modelled_edges, loops, self._fix_each_stretch,
            self._config.loops,
        )  # fmt: skip
        consistency = PoseConsistency(
            epipolar_ratio(self._views, self._recorded),
            len(graph.kept),
            loops_agreeing(graph.kept, self._views, self._recorded),
        )
        intrinsics = self._intrinsics(scene, _SURE_OF_RECORDED)
        self._on_progress(1.0, "loops")
        return PoseCheck(consistency, intrinsics)

    def _say(self, step: str) -> None:
        self._on_progress(_SHARES[step], step)

    def _along_way(self) -> _Scene:
        """Each stretch by itself: neighbouring views alone, which odometry puts rightly."""
        matched = self._matched_along_way()
        gate_px = self._config.matching.along_epipolar_px
        self._shutter.readout_s = self._readout_s(matched)
        poses, camera, _ = self._adjusted(
            self._recorded, self._camera, [matched], gate_px, self._fix_each_stretch
        )
        if self._odometry.applied is not AS_RECORDED:  # as it was recorded it misled the shutter's
            self._shutter.readout_s = self._readout_s(matched)
            poses, camera, _ = self._adjusted(
                poses, camera, [matched], gate_px, self._fix_each_stretch
            )
        return _Scene(
            poses, camera, [self._all_observed(poses, camera, matched, error_px=_TIGHT_PX)]
        )

    def _matched_along_way(self) -> MatchedKeypoints:
        matching = self._config.matching
        pairs = pairs_along_way(self._stretches_v, matching.along_way)
        matched = MatchedKeypoints.of(
            self._views, self._recorded, pairs, matching.along_epipolar_px, self._config.keypoints
        )
        self._say("matching")
        return matched

    def _all_observed(
        self,
        poses: Sequence[Pose],
        camera: SharedCamera,
        matched: MatchedKeypoints,
        error_px: float | None = None,
    ) -> Observations:
        """All that each view sees, by which loops are found: as many tracks as there are, and as
        long as they are.
        """
        config = replace(self._config.bundle, most_views=len(self._views))
        keypoints = replace(matched.keypoints, observations=matched.keypoints.count)
        return matched._replace(keypoints=keypoints).observed(
            self._cameras(poses, camera),
            error_px or self._config.matching.along_epipolar_px,
            config,
        )

    def _readout_s(self, matched: MatchedKeypoints) -> float:
        config, cameras = self._config, self._cameras(self._recorded, self._camera)
        seen = matched._replace(keypoints=config.readout).observed(
            cameras, config.matching.along_epipolar_px, config.bundle
        )

        def cost(readout_s: float) -> float:
            at_middle = RollingShutter(self._views, readout_s).at_middle(seen, cameras)
            return adjust(
                self._recorded, [at_middle], self._camera, self._odometry.modelled_edges,
                self._fix_each_stretch, config.bundle,
            ).cost  # fmt: skip

        return most_likely_readout_s(cost) if len(seen.points_k3) else 0.0

    def _loops(
        self,
        scene: _Scene,
        counts: Callable[[Loop], bool] = lambda _: True,
        enough: int | None = None,
    ) -> list[Loop]:
        """Views that see what another one saw, along the way of each by itself; counts and enough
        as of `find_loops`.
        """
        features = [
            LocalFeatures(
                view.descriptors_nC,
                torch.from_numpy(view.pixels_n2),
                torch.ones(len(view.pixels_n2)),
            )
            for view in self._views
        ]
        encoder = VladEncoder.learn(features, scene.map_from_camera, VladConfig(), 0)
        descriptors_vG = torch.stack([encoder.encode(view) for view in features])
        (along_way,) = scene.observations
        seen = points_of_views(along_way.tracks, along_way.points_k3, scene.map_from_camera)
        config = self._config
        return find_loops(
            self._views, seen, descriptors_vG, config.loops, config.keypoints, counts, enough
        )

    def _in_one_frame(self, poses: Sequence[Pose], loops: Sequence[Loop]) -> list[Pose]:
        return join_stretches(
            poses, self._stretches_v, loops, self._names,
            self._config.loops.min_joining, planar=self._odometry.planar,
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

    def _everywhere(self, scene: _Scene) -> _Scene:
        """All views that see the same, until nothing moves; then with precise keypoints again."""
        matching, begin = self._config.matching, _SHARES["loops"]
        end = _SHARES["adjusting all views"] if self._precise else 1.0
        matched = self._matched_in_reach(
            self._views, scene.map_from_camera, matching.epipolar_px[0], self._config.keypoints
        )
        scene, kinds = self._adjusted_until_still(
            scene, [matched], matching.epipolar_px, (begin, end)
        )
        if self._precise:
            self._on_progress(end, "precise keypoints")
            views = [
                replace(view, descriptors_nC=found.descriptors_nC, pixels_n2=found.pixels_n2)
                for view, found in zip(self._views, self._precise(), strict=True)
            ]
            beside = replace(self._config.keypoints, observations=self._config.beside_precise)
            precise = self._matched_in_reach(
                views, scene.map_from_camera, matching.precise_epipolar_px[0], self._config.precise
            )
            scene, _ = self._adjusted_until_still(
                scene, [kinds[0]._replace(keypoints=beside), precise],
                matching.precise_epipolar_px, (end, 1.0),
            )  # fmt: skip
        return scene

    def _matched_in_reach(
        self,
        views: Sequence[RefinementView],
        poses: Sequence[Pose],
        gate_px: float,
        keypoints: KeypointConfig,
    ) -> MatchedKeypoints:
        pairs = pairs_in_reach(poses, self._config.matching)
        return MatchedKeypoints.of(views, poses, pairs, gate_px, keypoints)

    def _adjusted_until_still(
        self,
        scene: _Scene,
        matched: list[MatchedKeypoints],
        gates_px: Sequence[float],
        shares_2: tuple[float, float],
    ) -> tuple[_Scene, list[MatchedKeypoints]]:
        """Of one adjustment after the other, each with what matches by the poses of the last one.

        gates_px: from a match to its epipolar line, for each adjustment.
        shares_2: of the time of all of it, when the first one begins and when the last one ends.
        """
        begin, end = shares_2
        for step, gate_px in enumerate(gates_px):
            before = scene
            cameras = self._cameras(before.map_from_camera, before.camera)
            matched = [kind.near(cameras, gate_px) for kind in matched]
            scene = self._adjusted(
                before.map_from_camera, before.camera, matched, gate_px, self._constrain,
                learn=step == 0,
            )  # fmt: skip
            moved_v = [
                pose.distance_m(other)
                for pose, other in zip(scene.map_from_camera, before.map_from_camera, strict=True)
            ]
            still = np.median(moved_v) < self._config.bundle.still_m
            share = 1.0 if still else (step + 1) / len(gates_px)
            self._on_progress(begin + share * (end - begin), "adjusting all views")
            if still:
                break
        return scene, matched

    def _adjusted(
        self,
        poses: Sequence[Pose],
        camera: SharedCamera,
        matched: Sequence[MatchedKeypoints],
        gate_px: float,
        constrain: Callable[[FactorGraph], None],
        *,
        learn: bool = True,
    ) -> _Scene:
        """A bundle adjustment of what matches.

        learn: how good odometry is, which takes as long as the adjustment.
        """
        config, cameras = self._config.bundle, self._cameras(poses, camera)
        seen = [
            self._shutter.at_middle(kind.observed(cameras, gate_px, config), cameras)
            for kind in matched
        ]
        result = adjust(
            poses, seen, self._camera, self._odometry.edges, constrain, config,
            self._views if learn else (), self._odometry.applied if learn else None,
        )  # fmt: skip
        if result.odometry:
            cameras = self._cameras(result.map_from_camera, result.camera)
            image_noise = noise_ratio(result.observations, cameras)
            self._odometry.learn(result.odometry, result.map_from_camera, image_noise)
        return _Scene(result.map_from_camera, result.camera, result.observations)

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

    def _cameras(self, poses: Sequence[Pose], camera: SharedCamera) -> Cameras:
        changed_4 = camera.intrinsics_4 / self._camera.intrinsics_4
        return Cameras.of(poses, self._intrinsics_v4 * changed_4)

    def _constrain(self, factors: FactorGraph) -> None:
        factors.fix(0, self._joined[0] @ self._odometry.applied.correction)
        self._odometry.keep_planar(factors, self._joined)

    def _fix_each_stretch(self, factors: FactorGraph) -> None:
        for view in np.unique(self._stretches_v, return_index=True)[1].tolist():
            factors.fix(view, self._recorded[view] @ self._odometry.applied.correction)
        self._odometry.keep_planar(factors, self._recorded)

    def _refined(
        self,
        scene: _Scene,
        loops: Sequence[Loop],
        kept: Sequence[Loop],
    ) -> RefinedPoses:
        cameras = self._cameras(scene.map_from_camera, scene.camera)
        error_n = np.concatenate(reprojection_px(scene.observations, cameras))
        refined = scene.map_from_camera
        if not self._config.calibrate:
            # the first camera stays; with the corrected mount, the robot does
            moved = self._joined[0] @ refined[0].inverse()
            refined = [moved @ pose for pose in refined]
        findings = describe_findings(
            self._views, self._joined, refined, self._way_v, loops, kept,
            rotation_noise_rad=self._odometry.rotation_noise_rad,
            position_noise_m=self._odometry.position_noise_m,
            readout_s=self._shutter.readout_s,
            reprojection_px=float(np.median(error_n)) if len(error_n) else 0.0,
            calibration=self._odometry.calibration,
        )  # fmt: skip
        consistency = PoseConsistency(
            epipolar_ratio(self._views, refined),
            len(kept),
            loops_agreeing(kept, self._views, refined),
        )
        check = PoseCheck(consistency, self._intrinsics(scene, _SURE_OF_BOTH))
        return RefinedPoses(refined, findings, check)

    def _intrinsics(self, scene: _Scene, least_sigma: float) -> IntrinsicsEstimate:
        cameras = self._cameras(scene.map_from_camera, self._camera)
        return estimate_intrinsics(
            scene.observations, cameras, self._shutter, self._config.bundle, least_sigma
        )
