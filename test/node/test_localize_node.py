"""The live node as a real process in a real graph: what it publishes, when, and what it refuses."""

from __future__ import annotations

import signal
import time
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from support.random_map import random_map

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

from glace_ros.msg import LocalizationStatus
from lifecycle_msgs.msg import Transition
from support.fake_localizer_process import RAISE, REJECT, SLEEP, SLEEP_S
from support.published_networks import official_head, seeded
from support.robot import (
    BASE_FROM_CAMERA,
    LATCHED,
    NS,
    odometry_at,
    stamp_of,
)
from support.waiting import holds, let_pass, wait_until

from glace_ros.features.ace_encoder import AceNetwork
from glace_ros.features.local_encoder import local_encoder
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.acceptance import AcceptanceConfig
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.maps.ace_format import read_official_map
from glace_ros.maps.scene_map import SceneMap
from glace_ros.ros_messages.reading import pose_from_message, pose_from_transform

pytestmark = pytest.mark.ros

MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)


def test_poses_and_map_to_odom_of_a_moving_robot(live):
    robot, _ = live
    robot.activate()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 3.0)
    assert len(robot.poses) >= 8  # max_rate is 5 Hz
    for message in robot.poses:
        assert message.header.frame_id == "map"
        truth = MAP_FROM_ODOM @ odometry_at(stamp_of(message))  # at exposure, not at arrival
        pose = pose_from_message(message.pose.pose)
        assert pose.distance_m(truth) < 1e-6
        assert pose.angle_rad(truth) < 1e-6
        covariance_66 = np.array(message.pose.covariance).reshape(6, 6)
        assert np.linalg.eigvalsh(covariance_66).min() > 0.0
        np.testing.assert_allclose(covariance_66, covariance_66.T)
        assert 0.0 < covariance_66.diagonal().min() <= covariance_66.diagonal().max() < 1e3
    assert len(robot.transforms) > 20
    for transform in robot.transforms:
        assert (transform.header.frame_id, transform.child_frame_id) == ("map", "odom")
        found = pose_from_transform(transform.transform)
        assert found.distance_m(MAP_FROM_ODOM) < 1e-5
        assert found.angle_rad(MAP_FROM_ODOM) < 1e-6
    stamps = [stamp_of(transform) for transform in robot.transforms]
    assert all(earlier < later for earlier, later in pairwise(stamps))
    assert 0.0 < (stamps[-1] - robot.now_ns()) / NS + 0.15 < 0.3  # ahead by transform_tolerance


def test_status_and_diagnostics_say_what_happens(live):
    robot, _ = live
    robot.activate(degraded_timeout=60.0, lost_timeout=60.0)
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.5)
    robot.drive(MAP_FROM_ODOM, 1.0, REJECT)
    status = robot.statuses[-1]
    assert status.state == LocalizationStatus.TRACKING
    assert status.header.frame_id == "map"
    assert status.map_id == "fake.glace 01234567"
    assert not status.accepted
    assert (status.points, status.inliers) == (1000, 9)
    assert status.rejection_reason == "Rejected fix: 9 inliers of 1000 points, fewer than 50"
    assert stamp_of_time(status.rejection_stamp) == stamp_of_time(status.image_stamp)
    assert 0.0 < status.latency < 0.7  # max_image_age, and what the localizer takes
    assert 0.5 < status.seconds_since_fix < 30.0
    assert status.reprojection_error == 1.5
    # the camera is 0.2 m beside the yaw axis, so its heading's variance moves the base, too
    assert status.sigma_x == pytest.approx(0.02)  # min_sigma_xy
    assert status.sigma_yaw == pytest.approx(np.sqrt(9e-5))
    tasks = wait_until(lambda: robot.diagnostics and robot.diagnostics[-1].status)
    names = [task.name.removeprefix("glace_localizer: ") for task in tasks]
    assert names == ["localization", "input", "inference", "tf", "map"]


def test_nothing_is_published_before_the_first_fix(live):
    robot, node = live
    robot.activate()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 6.0, REJECT)
    assert robot.poses == []
    assert robot.transforms == []
    assert robot.statuses[-1].state == LocalizationStatus.UNLOCALIZED
    assert np.isnan(robot.statuses[-1].seconds_since_fix)
    assert node.log().count(": Rejected fix: 9 inliers of 1000 points, fewer than 50") == 1
    assert node.log().count("No fix yet, hence no pose and no transform.") in (1, 2)  # every 5 s
    robot.drive(MAP_FROM_ODOM, 1.0)
    node.wait_for("First fix: x=")
    assert "The map's recording calls its frame 'odom'; poses in it are published as 'map'" in (
        node.log()
    )
    assert "calls the robot 'base_link'; here it is 'base_footprint'" in node.log()
    wait_until(lambda: robot.transforms)


def test_without_odometry_no_pose_and_a_sentence(live):
    robot, node = live
    robot.activate()
    robot.publish_static()
    robot.publish_odometry(robot.now_ns(), odometry_at(robot.now_ns()))
    robot.photograph(5, 0.3)
    node.wait_for("No odom->base_footprint at image time (latest is 0.")
    assert robot.poses == []
    assert robot.transforms == []


def test_without_the_camera_s_transform_no_pose_and_a_sentence(live):
    robot, node = live
    robot.activate(transform_timeout=0.1)
    robot.drive(MAP_FROM_ODOM, 1.5)
    node.wait_for("No transform has a frame 'camera'")
    assert robot.poses == []
    robot.publish_static()  # and the node goes on as soon as it is there
    robot.drive(MAP_FROM_ODOM, 1.5)
    assert robot.poses != []


def test_without_tf_broadcast_a_pose_needs_no_odometry(live):
    robot, _ = live
    robot.activate(tf_broadcast=False, two_d_mode=False)
    robot.publish_static()
    truth = Pose.from_rotation_vector([1.0, 2.0, 0.3], [0.05, -0.1, 0.4])
    robot.photograph(8, 0.2, truth)
    pose = pose_from_message(robot.poses[-1].pose.pose)
    assert pose.distance_m(truth) < 1e-9
    assert pose.angle_rad(truth) < 1e-9
    assert robot.transforms == []


def test_two_rounds_of_the_lifecycle_and_answers_during_inference(robot, start):
    node = start()
    assert robot.state() == "unconfigured"
    for times in (1, 2):
        assert robot.transition(Transition.TRANSITION_CONFIGURE)
        assert robot.state() == "inactive"
        robot.publish_static()
        robot.drive(MAP_FROM_ODOM, 0.5)
        assert robot.poses == []
        assert robot.transition(Transition.TRANSITION_ACTIVATE)
        robot.wait_for_listeners()
        robot.drive(MAP_FROM_ODOM, 1.0)
        wait_until(lambda: robot.transforms)
        robot.publish_image(robot.now_ns(), None, SLEEP)  # 3 s
        node.wait_for_sleep(times)
        began_s = time.monotonic()
        assert robot.state() == "active"
        assert time.monotonic() - began_s < 1.0
        assert robot.transition(Transition.TRANSITION_DEACTIVATE)
        robot.poses.clear()
        robot.transforms.clear()
        robot.drive(MAP_FROM_ODOM, 0.5)
        assert (robot.poses, robot.transforms) == ([], [])
        assert robot.transition(Transition.TRANSITION_CLEANUP)
        assert robot.state() == "unconfigured"
    assert node.interrupt() == 0
    assert "Traceback" not in node.log()


def test_the_newest_image_wins_and_an_image_that_sleeps_loses_no_transforms(live):
    robot, node = live
    robot.activate(max_rate=60.0)
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.0)
    sleeper_ns = robot.now_ns()
    for stamp_ns in (sleeper_ns - 1, sleeper_ns + 1):
        robot.publish_odometry(stamp_ns, odometry_at(stamp_ns))
    robot.publish_image(sleeper_ns, None, SLEEP)
    node.wait_for_sleep()  # a newer one would take its place
    before = len(robot.transforms)
    began_ns = last_ns = robot.now_ns()
    for _ in range(45):  # while it sleeps
        last_ns = robot.now_ns()
        robot.publish_odometry(last_ns - 1, odometry_at(last_ns - 1))
        robot.publish_odometry(last_ns + 1, odometry_at(last_ns + 1))
        robot.publish_image(last_ns, MAP_FROM_ODOM @ odometry_at(last_ns))
        time.sleep(0.1)  # a camera's rate
    assert len(robot.transforms) - before > 50  # 20 Hz, from the timer
    wait_until(lambda: stamp_of(robot.poses[-1]) == last_ns)
    asleep = (began_ns, began_ns + round((SLEEP_S - 0.6) * NS))
    assert not [pose for pose in robot.poses if asleep[0] < stamp_of(pose) < asleep[1]]


def test_an_exception_is_said_and_the_next_image_is_localized(live):
    robot, node = live
    robot.activate()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 0.5, RAISE)  # too few in a row for the state ERROR
    node.wait_for("RuntimeError: a bug in the network")
    assert node.log().count("Traceback (most recent call last)") == 1
    assert robot.poses == []
    robot.drive(MAP_FROM_ODOM, 1.0)
    assert robot.poses != []
    node.wait_for("First fix: ")


def test_a_late_joiner_gets_the_last_pose(live):
    robot, _ = live
    robot.activate()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.0)
    late = []
    let_pass(0.5, "the last image may be worked on, or have been replaced: nobody tells which")
    robot.node.create_subscription(type(robot.poses[-1]), "pose", late.append, LATCHED)
    wait_until(lambda: late)
    assert late == robot.poses[-1:]


def test_a_wrong_fix_moves_nothing_and_a_carried_robot_is_found(live):
    robot, node = live
    robot.activate()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 2.0)
    robot.transforms.clear()
    robot.poses.clear()
    carried = Pose.from_planar(6.0, 1.0, 1.5) @ MAP_FROM_ODOM
    robot.drive(carried, 0.1)
    node.wait_for("Rejected fix: ")
    assert "sigma from the prediction (1/3 toward re-initialisation)" in node.log()
    robot.drive(MAP_FROM_ODOM, 1.0)
    assert robot.transforms
    for transform in robot.transforms:
        assert pose_from_transform(transform.transform).distance_m(MAP_FROM_ODOM) < 1e-4
    began_ns = robot.now_ns()
    robot.drive(carried, 2.5)
    node.wait_for("Re-initialised, ")
    assert "m from the prediction: 3 fixes agree. x=" in node.log()
    found = [t for t in robot.transforms if is_at(t, carried)]
    # 3 fixes at 5 Hz; the stamp is 0.1 s ahead
    assert stamp_of(found[0]) - began_ns < 2 * NS
    assert is_at(robot.transforms[-1], carried)
    assert all(is_at(t, carried) or is_at(t, MAP_FROM_ODOM) for t in robot.transforms)


def test_an_initial_pose_is_no_fix_and_a_wrong_one_is_overruled(live):
    """Nav2's BasicNavigator says the identity with covariance zero until a pose comes."""
    robot, node = live
    robot.activate()
    robot.publish_static()
    for _ in range(10):
        robot.publish_initial_pose(Pose.identity())
        robot.drive(MAP_FROM_ODOM, 0.1, REJECT)
    node.wait_for("Initial pose x=0.00 y=0.00 yaw=0.000: fixes are measured by it")
    assert (robot.poses, robot.transforms) == ([], [])
    began_ns = robot.now_ns()
    for _ in range(25):
        robot.publish_initial_pose(Pose.identity())
        robot.drive(MAP_FROM_ODOM, 0.1)
    assert "sigma from the prediction (2/3 toward" in robot.rejections()
    assert stamp_of(robot.transforms[0]) - began_ns < 2 * NS
    assert is_at(robot.transforms[-1], MAP_FROM_ODOM)


def test_a_fix_near_the_initial_pose_is_taken_at_once(live):
    robot, node = live
    now = MAP_FROM_ODOM @ odometry_at(robot.now_ns() + 4 * NS)  # it drives until then
    x_m, y_m, _ = now.translation_3
    robot.activate(
        **{"set_initial_pose": True, "initial_pose.x": x_m, "initial_pose.y": y_m,
           "initial_pose.yaw": now.yaw_rad},
    )  # fmt: skip
    node.wait_for(f"Initial pose x={x_m:.2f} y={y_m:.2f} yaw={now.yaw_rad:.3f}: ")
    robot.publish_static()
    robot.publish_initial_pose(MAP_FROM_ODOM @ odometry_at(robot.now_ns()))
    robot.drive(MAP_FROM_ODOM, 1.0)
    assert "sigma from the prediction" not in node.log()
    wait_until(lambda: robot.transforms)


def test_an_initial_pose_that_is_none_is_said(live):
    robot, node = live
    robot.activate()
    robot.publish_initial_pose(Pose.identity(), frame_id="odom")
    node.wait_for("The pose on /initialpose is in 'odom', not in 'map' (global_frame_id)")
    robot.publish_initial_pose(Pose(np.eye(3), np.array([np.nan, 0.0, 0.0])))
    node.wait_for("The pose on /initialpose cannot be used: the pose has a number that is not")
    robot.publish_initial_pose(Pose.identity(), variance=-1.0)
    node.wait_for("The pose on /initialpose has a covariance that is none: it is left out.")
    assert "Initial pose" not in node.log()


def is_at(transform, map_from_odom):
    return pose_from_transform(transform.transform).distance_m(map_from_odom) < 1e-4


def test_degraded_then_lost_then_found(live):
    robot, node = live
    robot.activate(degraded_timeout=0.5, lost_timeout=1.0, tf_on_lost="stop")
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.0)
    robot.drive(MAP_FROM_ODOM, 1.5, REJECT)
    node.wait_for("DEGRADED: no fix for 0.")
    node.wait_for("LOST: no fix for 1.")
    assert "s; stopping map->odom" in node.log()
    assert robot.statuses[-1].state == LocalizationStatus.LOST
    robot.transforms.clear()
    assert holds(lambda: robot.transforms == [], 0.3)
    robot.drive(MAP_FROM_ODOM, 1.0)
    node.wait_for("Tracking again after ")
    assert robot.transforms != []


def test_a_clock_that_jumps_back_clears_everything(robot, start):
    node = start(autostart="true", use_sim_time="true")
    robot.publish_static()
    robot.simulate_clock(100 * NS)
    robot.drive(MAP_FROM_ODOM, 1.5)
    assert robot.poses != []
    assert stamp_of(robot.poses[-1]) < 110 * NS
    wait_until(lambda: robot.transforms)
    robot.simulate_clock(50 * NS)
    node.wait_for("The clock jumped back by ")
    let_pass(0.2, "what was sent before may still be on its way")
    robot.transforms.clear()
    robot.poses.clear()
    robot.drive(MAP_FROM_ODOM, 0.5, REJECT)
    assert (robot.poses, robot.transforms) == ([], [])
    assert robot.statuses[-1].state == LocalizationStatus.UNLOCALIZED
    map_from_odom = Pose.from_planar(-1.0, 0.0, 0.1)  # the simulation was reset
    robot.drive(map_from_odom, 1.5)
    assert 50 * NS < stamp_of(robot.poses[-1]) < 60 * NS
    assert pose_from_transform(robot.transforms[-1].transform).distance_m(map_from_odom) < 1e-5
    assert all(50 * NS < stamp_of(transform) < 60 * NS for transform in robot.transforms)


def test_old_images_are_left_out(live):
    robot, node = live
    robot.activate()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.0)
    robot.poses.clear()
    old_ns = robot.now_ns() - 2 * NS
    robot.publish_image(old_ns)
    node.wait_for("The image on /image is stamped 2.")
    assert robot.poses == []


def test_compressed_images_are_found(live):
    robot, _ = live
    robot.compress()
    robot.activate()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 1.0)
    assert robot.poses != []
    assert pose_from_transform(robot.transforms[-1].transform).distance_m(MAP_FROM_ODOM) < 1e-5


def test_silence_is_said_by_topic(robot, start):
    node = start("--image-topic", "/nope", autostart="true", wait=False)
    node.wait_for("Nothing is published on /nope or /nope/compressed", 150.0)
    tasks = wait_until(
        lambda: [
            task
            for diagnostics in robot.diagnostics
            for task in diagnostics.status
            if task.name.endswith(": input") and "/nope" in task.message
        ]
    )
    assert tasks[0].level == b"\x01"
    assert robot.transition(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert robot.state() == "finalized"
    assert node.interrupt() == 0
    assert "Traceback" not in node.log()


def test_a_qos_mismatch_is_said_by_topic(live):
    robot, node = live
    robot.publish_images_best_effort()
    robot.activate(matched=False, image_qos="reliable")
    node.wait_for("The QoS of /image does not match its publisher's")
    wait_until(
        lambda: any(
            t.name.endswith(": input") and "The QoS of /image does not match" in t.message
            for t in robot.diagnostics[-1].status
        )
    )


def test_missing_camera_info_is_said(live):
    robot, node = live
    robot.activate()
    robot.publish_static()
    robot.photograph(6, 0.3, info=False)
    node.wait_for("]: No camera_info on /camera_info yet.")


def test_a_camera_info_that_comes_a_moment_after_the_first_image_is_no_warning(live):
    robot, node = live
    robot.activate(tf_broadcast=False)
    robot.publish_static()
    robot.photograph(1, 0.2, info=False)
    wait_until(lambda: "No camera_info on /camera_info yet." in robot.rejections())
    assert robot.statuses[-1].rejection_code == LocalizationStatus.REJECTION_NO_CAMERA_INFO
    while not robot.poses:
        robot.photograph(1, 0.2)
    node.wait_for("First fix: ")
    assert "WARN" not in node.log().split(" is loaded.")[-1]


def test_bad_parameters_fail_configure_by_name_and_range(robot, start):
    node = start(two_d_mod="true", max_rate=200.0, transform_tolerance="fast")
    assert not robot.transition(Transition.TRANSITION_CONFIGURE)
    node.wait_for("Unknown parameter 'two_d_mod': did you mean 'two_d_mode'?")
    node.wait_for("Parameter 'max_rate' is 200.0, but must be in the range 0.1 to 60.")
    node.wait_for("'transform_tolerance' is 'fast', but must be a number in the range 0 to 2.")
    assert robot.state() == "unconfigured"
    assert node.interrupt() == 0
    assert "Traceback" not in node.log()


def test_a_parameter_can_be_mended_and_is_locked_while_in_use(robot, start):
    start(max_rate=200.0)
    assert not robot.transition(Transition.TRANSITION_CONFIGURE)
    assert not robot.set_parameter("max_rate", 0.0).successful
    assert robot.set_parameter("max_rate", 4.0).successful
    assert robot.transition(Transition.TRANSITION_CONFIGURE)
    refused = robot.set_parameter("max_rate", 3.0)
    assert not refused.successful
    assert "clean up first" in refused.reason


def test_a_map_that_is_none_fails_configure_and_the_node_lives(robot, start, tmp_path):
    picture = tmp_path / "office.glace"
    picture.write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    node = start(fake=False, map=str(picture))
    assert not robot.transition(Transition.TRANSITION_CONFIGURE)
    node.wait_for("Cannot configure: ")
    node.wait_for(str(picture))
    assert robot.state() == "unconfigured"
    assert robot.set_parameter("map", str(tmp_path / "missing.glace")).successful
    assert not robot.transition(Transition.TRANSITION_CONFIGURE)
    node.wait_for("missing.glace")
    assert robot.state() == "unconfigured"
    assert "Traceback" not in node.log()


def test_a_bad_map_on_the_command_line_is_exit_code_4(robot, start, tmp_path):
    picture = tmp_path / "office.glace"
    picture.write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    node = start("--map", str(picture), fake=False, wait=False)
    assert node.process.wait(150.0) == 4
    assert "Traceback" not in node.log()
    assert str(picture) in node.log()


def test_the_true_localizer_refuses_what_a_map_without_training_says(robot, start, tmp_path):
    random_map(tmp_path / "random.glace")
    node = start("--map", str(tmp_path / "random.glace"), "--image-topic", "/image", fake=False)
    robot.wait_for_listeners()
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 2.0)
    node.wait_for("Rejected fix: ")
    assert robot.poses == []
    assert robot.transforms == []
    assert robot.statuses[-1].map_id.startswith("random.glace ")
    assert robot.statuses[-1].inference_time > 0.0
    assert node.interrupt() == 0
    assert "Traceback" not in node.log()


@pytest.mark.parametrize("imported", [False, True], ids=["ours", "imported"])
def test_the_live_node_publishes_what_the_localizer_computes_offline(
    robot, start, tmp_path, imported
):
    """A map of noise that accepts anything gives wrong poses, but the same ones for an image."""
    path = tmp_path / "random.glace"
    (imported_map if imported else random_map)(path, min_inlier_ratio=0.0)
    camera = Camera(160, 120, 120.0, 118.0, 80.0, 58.0, "plumb_bob", (0.1, -0.05, 0.001, 0.0, 0.0))
    node = start(
        "--map", str(path), fake=False,
        min_inliers=4, ransac_px=30.0, gate_sigma=0.0, two_d_mode="false", max_image_age=20.0,
        window_images=0,
    )  # fmt: skip
    robot.wait_for_listeners()
    robot.publish_static()
    config = LocalizerConfig(ransac_px=30.0, acceptance=AcceptanceConfig(min_inliers=4))
    localizer = Localizer(SceneMap.load(path), config, device="cpu")
    random, agreed = np.random.default_rng(0), 0
    for _ in range(20):  # another seed of RANSAC does not find every one of these again
        if agreed == 3:
            break
        noise = random.integers(0, 256, (15, 20, 3), dtype=np.uint8)
        image_rgb_hwc = cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC)
        stamp_ns = robot.now_ns()
        for odometry_ns in (stamp_ns - 1, stamp_ns + 1):
            robot.publish_odometry(odometry_ns, odometry_at(odometry_ns))
        robot.publish_picture(stamp_ns, image_rgb_hwc, camera)
        offline = localizer.localize(camera.undistort(image_rgb_hwc), camera.undistorted)
        status = wait_until(
            lambda now=stamp_ns: next(
                (s for s in robot.statuses if stamp_of_time(s.image_stamp) == now), None
            )
        )
        assert status.accepted == isinstance(offline, PoseEstimate)
        assert status.inliers == offline.inliers
        if status.accepted:
            live = wait_until(lambda now=stamp_ns: [p for p in robot.poses if stamp_of(p) == now])[
                0
            ]
            pose = pose_from_message(live.pose.pose)
            expected = offline.map_from_camera @ BASE_FROM_CAMERA.inverse()
            assert pose.distance_m(expected) < 1e-6
            assert pose.angle_rad(expected) < 1e-6
            agreed += 1
    assert agreed == 3
    assert "it was never judged by images with known poses" in node.log()


def imported_map(path, **changes):
    """As the published code saves it, with the weights of its encoder beside it."""
    encoder_path = path.with_name("ace_encoder.pt")
    shapes = {name: tuple(part.shape) for name, part in AceNetwork().state_dict().items()}
    torch.save(seeded(shapes, seed=1), encoder_path)
    torch.save(official_head("ace"), path.with_name("MAP.pt"))
    encoder = local_encoder(f"ace:{encoder_path}", torch.device("cpu"))
    scene_map = read_official_map(path.with_name("MAP.pt"), encoder)
    scene_map.with_metadata(short_side_px=96, **changes).save(path)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_during_inference_is_exit_code_0(robot, start, times):
    node = start(autostart="true")
    robot.publish_static()
    robot.drive(MAP_FROM_ODOM, 0.5)
    robot.publish_image(robot.now_ns(), None, SLEEP)
    node.wait_for_sleep()
    for _ in range(times - 1):
        node.process.send_signal(signal.SIGINT)
        let_pass(0.2, "launch sends it again after a moment, whatever the node does")
    assert node.interrupt() == 0
    assert "Traceback" not in node.log()


def stamp_of_time(stamp):
    return stamp.sec * NS + stamp.nanosec
