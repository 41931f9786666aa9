"""A wrong mount and late stamps are found in the joint optimisation, and right ones are left."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("gtsam")

from glace_ros.commands.build_map_config import build_request
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.commands.build_map_poses import PoseChoice
from glace_ros.commands.evaluate import calibrated
from glace_ros.errors import MappingError
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.mount_correction import MountCorrection
from glace_ros.geometry.pose import Pose
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.mapping.pose_refinement.bundle_adjustment import adjust
from glace_ros.mapping.pose_refinement.factor_graph import SharedCamera
from glace_ros.mapping.pose_refinement.mount_calibration import AS_RECORDED, Calibration, motion
from glace_ros.mapping.pose_refinement.observations import Observations
from glace_ros.mapping.pose_refinement.odometry_edges import odometry_edges
from glace_ros.mapping.pose_refinement.refined_poses import RefinementFindings
from glace_ros.mapping.pose_refinement.refinement_config import (
    BundleConfig,
    KeypointConfig,
    OdometryNoiseModel,
)
from glace_ros.mapping.pose_refinement.refinement_view import RefinementView
from glace_ros.mapping.pose_refinement.tracks import Tracks
from glace_ros.ranks import Ranks
from glace_ros.recording.posed_images import PosedImage

INTRINSICS_4 = np.array([300.0, 300.0, 200.0, 150.0])
TRUE_MOUNT = Pose(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([0.2, 0.05, 0.4]))
WRONG = Pose.from_rotation_vector([0.02, 0.0, -0.022], np.radians([1.2, -1.2, 1.0]))
LATE_S = 0.04
NOISE = OdometryNoiseModel(rotation_rad=0.001, translation_m=0.001)
CONFIG, KEYPOINTS = BundleConfig(), KeypointConfig(sigma_px=0.5)
VIEWS, SPACING_S = 50, 0.6


def base_at(time_s: float) -> Pose:
    """Curves both ways, at changing speed."""
    yaw = 0.8 * np.sin(0.55 * time_s) + 0.25 * time_s
    x, y = 1.5 * np.sin(0.3 * time_s), 1.2 * np.sin(0.43 * time_s)
    return Pose.from_planar(x, y, yaw)


def views_of(described: Pose) -> list[RefinementView]:
    views = []
    for view in range(VIEWS):
        time_s = view * SPACING_S
        before, now, after = (base_at(time_s + s) @ described for s in (-0.03, 0.0, 0.03))
        moved = before.inverse() @ after
        velocity_6 = np.concatenate([moved.rotation_vector_3, moved.translation_3]) / 0.06
        none = torch.zeros(0, 64), np.zeros((0, 2))
        views.append(RefinementView(*none, INTRINSICS_4, 300.0, now, described, 0, velocity_6))
    return views


def seen_by(truth: list[Pose], rng: np.random.Generator) -> tuple[Tracks, np.ndarray]:
    """Points of a room's walls, with half a pixel of noise."""
    angles, heights = rng.uniform(-np.pi, np.pi, 400), rng.uniform(-0.5, 1.8, 400)
    points_k3 = np.stack([4 * np.cos(angles), 3.5 * np.sin(angles), heights], axis=1)
    found = []
    for view, pose in enumerate(truth):
        inside_k3 = (points_k3 - pose.translation_3) @ pose.rotation_33
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels_k2 = INTRINSICS_4[:2] * inside_k3[:, :2] / inside_k3[:, 2:] + INTRINSICS_4[2:]
        good_k = (inside_k3[:, 2] > 0.3) & (np.abs(pixels_k2 - [200, 150]) < [200, 150]).all(axis=1)
        found += [(view, track, *pixels_k2[track]) for track in np.flatnonzero(good_k)]
    seen = np.array(found)
    tracks = Tracks(
        seen[:, 0].astype(int), np.arange(len(seen)), seen[:, 1].astype(int),
        seen[:, 2:] + rng.normal(0, 0.5, (len(seen), 2)),
    )  # fmt: skip
    kept = np.isin(tracks.track_n, np.flatnonzero(np.bincount(tracks.track_n, minlength=400) > 2))
    tracks, old_k = tracks.only(kept)
    return Observations(tracks, points_k3[old_k], KEYPOINTS)


def found(*, wrong: Pose, late_s: float, rounds: int = 3) -> tuple[Calibration, list[Pose]]:
    """What bundle adjustments, each with the edges as the one before says, find; and its poses."""
    rng = np.random.default_rng(0)
    views = views_of(TRUE_MOUNT @ wrong.inverse())
    truth = [base_at(view * SPACING_S - late_s) @ TRUE_MOUNT for view in range(VIEWS)]
    seen = seen_by(truth, rng)
    recorded = odometry_edges(
        [view.recorded for view in views], np.zeros(VIEWS, int),
        [view.base_from_camera for view in views], NOISE,
    )  # fmt: skip
    poses, calibration = [view.recorded for view in views], AS_RECORDED
    for _ in range(rounds):
        now = calibration
        edges = [now.edge(edge, views) for edge in recorded]

        def constrain(factors, now=now):
            factors.fix(0, views[0].recorded @ now.correction)
            for number, view in enumerate(views):
                factors.add_planar(
                    number, view.recorded @ now.correction,
                    view.base_from_camera @ now.correction, 0.005, 0.01,
                )  # fmt: skip

        result = adjust(
            poses, [seen], SharedCamera(INTRINSICS_4), edges, constrain, CONFIG, views, calibration
        )  # fmt: skip
        poses, calibration = result.map_from_camera, result.odometry.calibration
    return calibration, poses


@cache
def of_wrong() -> Calibration:
    return found(wrong=WRONG, late_s=LATE_S)[0]


def test_a_wrong_mount_is_found():
    """2 degrees and 3 cm."""
    off = of_wrong().correction.inverse() @ WRONG
    assert np.degrees(np.linalg.norm(off.rotation_vector_3)) < 0.3
    assert np.linalg.norm(off.translation_3[[0, 2]]) < 0.01


def test_late_stamps_are_found():
    assert of_wrong().time_offset_s == pytest.approx(-LATE_S, abs=0.005)


def test_what_is_wrong_is_significant():
    assert of_wrong().significant_3 == (True, True, True)


def test_the_height_of_a_camera_stays_unknown_to_a_robot_on_a_floor():
    """Its axis y looks down."""
    assert of_wrong().sigmas_7[4] > 0.02
    assert (of_wrong().sigmas_7[[3, 5]] < 0.01).all()


def test_a_right_mount_and_right_stamps_are_left_alone():
    calibration, _ = found(wrong=Pose.identity(), late_s=0.0)
    assert calibration.significant_3 == (False, False, False)
    assert (np.abs(calibration.values_7) < 4 * calibration.sigmas_7).all()


def test_standard_deviations_are_those_of_the_errors():
    """Chance of this seed alone: none is far off."""
    off = WRONG.inverse() @ of_wrong().correction
    error_7 = np.concatenate(
        [off.rotation_vector_3, off.translation_3, [of_wrong().time_offset_s + LATE_S]]
    )
    assert (np.abs(error_7) < 5 * of_wrong().sigmas_7).all()


@pytest.mark.parametrize("start", [AS_RECORDED, Calibration(WRONG, -0.03, np.ones(7))])
def test_the_derivatives_are_those_of_differences(start):
    views = views_of(TRUE_MOUNT)
    (recorded,) = odometry_edges(
        [view.recorded for view in views[3:5]], np.zeros(2, int), [TRUE_MOUNT] * 2, NOISE
    )
    near = [views[3], views[4]]
    seen = start.edge(recorded, near).first_from_second

    def error_6(change_7):
        off = start.changed(change_7, np.ones(7)).edge(recorded, near).first_from_second
        off = off.inverse() @ seen
        return np.concatenate([off.rotation_vector_3, off.translation_3])

    derivatives_67 = start.derivatives_67(recorded, seen, near)
    for axis, step_7 in enumerate(1e-5 * np.eye(7)):
        difference_6 = (error_6(step_7) - error_6(-step_7)) / 2e-5
        assert np.abs(difference_6 - derivatives_67[:, axis]).max() < 0.02, axis


def test_a_recorded_edge_becomes_that_of_the_true_camera():
    described = TRUE_MOUNT @ WRONG.inverse()
    views = views_of(described)
    edges = odometry_edges(
        [view.recorded for view in views], np.zeros(VIEWS, int), [described] * VIEWS, NOISE
    )
    calibration = Calibration(WRONG, -LATE_S, np.ones(7))
    for edge in edges:
        first, second = (
            base_at(view * SPACING_S - LATE_S) @ TRUE_MOUNT for view in (edge.first, edge.second)
        )
        corrected = calibration.edge(edge, views)
        off = corrected.first_from_second.inverse() @ first.inverse() @ second
        assert np.linalg.norm(off.translation_3) < 0.003
        assert off.rotation_vector_3 == pytest.approx(np.zeros(3), abs=0.003)
        assert corrected.base_from_camera.distance_m(TRUE_MOUNT) < 1e-9


def test_small_motions_are_about_their_own_axes():
    pose = motion(np.array([0.1, 0, 0, 0, 2.0, 0]))
    assert pose.rotation_vector_3 == pytest.approx([0.1, 0, 0])
    assert pose.translation_3 == pytest.approx([0, 2.0, 0])


class Driving:
    """A recording of a robot that drives 1 m/s, until second 1."""

    def __init__(self, msgtype="nav_msgs/msg/Odometry"):
        topics = {"/truth": SimpleNamespace(msgtype=msgtype)}
        self.info = SimpleNamespace(pose_source="/truth", topics=topics)

    def map_from_camera(self, at_ns):
        if at_ns > 10**9:
            raise TransformError("none", "no newer transform")
        return Pose.from_planar(1e-9 * at_ns, 0.0, 0.0)


def test_evaluate_takes_the_truth_of_the_exposure():
    correction = MountCorrection.of(Pose.from_planar(0.0, 0.03, 0.0), 0.04)
    camera = Camera(4, 4, 4.0, 4.0, 2.0, 2.0)
    image = PosedImage(500_000_000, np.zeros((4, 4, 3), np.uint8), camera, Pose.identity())
    seen = calibrated(image, Driving(), correction)
    assert seen.map_from_camera.translation_3 == pytest.approx([0.54, 0.03, 0.0])
    other = calibrated(image, Driving("geometry_msgs/msg/PoseStamped"), correction)
    assert other.map_from_camera.translation_3 == pytest.approx([0.0, 0.03, 0.0])
    late = replace(image, stamp_ns=980_000_000)
    assert calibrated(late, Driving(), correction).map_from_camera is None


def test_calibrate_is_refused_where_poses_are_not_refined():
    words = ["--bag", "x", "--calibrate", "--refine-poses", "off"]
    request = build_request(build_map_parser(None).parse_args(words))
    drive = SimpleNamespace(pose_jumps=list)
    with pytest.raises(MappingError, match="--calibrate needs poses that are refined"):
        PoseChoice(
            request, SimpleNamespace(drives=[drive], info=SimpleNamespace(topics={})), Ranks()
        )


def findings(**changes) -> RefinementFindings:
    known = {
        "loops_found": 0, "loops": [], "loops_between_drives": 0, "way_m": 9.0,
        "drift_ratio": None, "drift_deg_per_m": None, "moved_median_m": 0.1, "moved_most": [],
        "rotation_noise_deg": 0.1, "position_noise_m": 0.01, "readout_ms": 0.0,
        "reprojection_px": 1.0,
    }  # fmt: skip
    return RefinementFindings(**known, **changes)


def test_what_is_wrong_is_said_and_kept():
    said_of = findings(
        mount_rotation_deg=[2.0, 0.0, 0.0], mount_translation_m=[0.03, 0.0, 0.0],
        time_offset_ms=-40.0, miscalibrated=["rotation", "time"],
    )  # fmt: skip
    said = said_of.sentences()
    assert any("mount differs from the recorded one by 2.0 deg and 3.0 cm" in s for s in said)
    assert any("stamped 40 ms late" in s for s in said)
    assert sum("--calibrate" in s for s in said) == 2
    assert said_of.correction.time_offset_s == pytest.approx(-0.04)
    assert np.degrees(said_of.correction.pose.rotation_vector_3) == pytest.approx([2.0, 0, 0])


def test_nothing_is_said_of_what_chance_explains():
    said_of = findings(mount_rotation_deg=[0.2, 0.0, 0.0], time_offset_ms=-4.0)
    assert not any("calibrate" in sentence for sentence in said_of.sentences())
    assert said_of.correction is None
