"""What people look at: the inliers in the image, their points, where the map was recorded."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")

import rclpy
from rclpy.context import Context
from sensor_msgs.msg import Image, PointCloud2
from support.fake_localizer_process import (
    ERRORS_M,
    HEIGHT,
    PIXELS_M2,
    REJECT,
    VIEWS_V3,
    WIDTH,
    points_seen_from,
)
from support.robot import BASE_FROM_CAMERA, LATCHED, odometry_at, stamp_of
from support.waiting import holds, wait_until
from visualization_msgs.msg import Marker, MarkerArray

from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.node.localizing.localization_run import RunReport
from glace_ros.node.output import introspection
from glace_ros.node.output.inliers_image import draw_inliers, error_colours
from glace_ros.node.output.introspection import Introspection
from glace_ros.node.output.publishers import Publishers
from glace_ros.node.ros_interface.parameters import LocalizeParameters

pytestmark = pytest.mark.ros

MAP_FROM_ODOM = Pose.from_planar(3.0, -2.0, 0.7)
PATIENT = {"max_image_age": 20.0, "degraded_timeout": 60.0, "lost_timeout": 60.0}
CAMERA = Camera(320, 240, 300.0, 300.0, 159.5, 119.5)
POSE = Pose.from_rotation_vector([1.0, 2.0, 0.5], [0.1, -0.2, 0.3])


def estimate_of(pixels_m2, camera=CAMERA, points_m3=None):
    if points_m3 is None:
        rays_m2 = (pixels_m2 - [camera.cx_px, camera.cy_px]) / [camera.fx_px, camera.fy_px]
        points_m3 = POSE.transform(3.0 * np.column_stack([rays_m2, np.ones(len(rays_m2))]))
    count = len(pixels_m2)
    return PoseEstimate(POSE, np.eye(6), count, 1000, 1.5, 0.01, pixels_m2, points_m3, camera)


# --- the picture ---


def test_colours_go_from_green_over_yellow_to_red():
    colours_m3 = error_colours(np.array([0.0, 5.0, 10.0, 99.0, np.inf]), 10.0)
    assert colours_m3.tolist() == [
        [0, 255, 0], [255, 255, 0], [255, 0, 0], [255, 0, 0], [255, 0, 0],
    ]  # fmt: skip


def test_inliers_are_framed_in_the_colour_of_their_error():
    pixels_m2 = np.array([[60.0, 100.0], [160.0, 100.0]])
    estimate = estimate_of(pixels_m2)
    points_m3 = estimate_of(pixels_m2 + [[0.0, 0.0], [0.0, 20.0]]).points_m3
    estimate = estimate_of(pixels_m2, points_m3=points_m3)  # the second point is 20 px off
    image_rgb_hwc = np.full((240, 320, 3), 90, np.uint8)
    drawn = draw_inliers(image_rgb_hwc, estimate, 10.0, "TRACKING")
    assert (image_rgb_hwc == 90).all()  # which others may still need
    assert drawn[98, 58:63].tolist() == [[0, 255, 0]] * 5
    assert drawn[102, 158:163].tolist() == [[255, 0, 0]] * 5
    assert (drawn[100, 60] == 90).all()  # the patch itself can be seen
    changed_hw = (drawn[40:] != 90).any(axis=2)
    assert changed_hw.sum() == 2 * 16


def test_the_line_of_text_is_in_the_picture_whatever_its_length():
    image_rgb_hwc = np.full((240, 320, 3), 90, np.uint8)
    for line in ("LOST", "UNLOCALIZED  9 of 1000 inliers. " + 10 * "Rejected fix, and why. "):
        drawn = draw_inliers(image_rgb_hwc, None, 10.0, line)
        changed_h = (drawn != 90).any(axis=(1, 2))
        assert 5 < changed_h.sum() <= 60
        assert changed_h[: changed_h.sum()].all()  # along the top
        bar = drawn[: changed_h.sum()]
        assert bar.max() > 100  # letters
        ends = np.flatnonzero((bar > 60).any(axis=(0, 2)))
        assert ends[-1] < 319  # none of them is cut off


# --- nobody subscribes, nothing is done ---


@pytest.fixture
def graph(ros_domain_id):
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    node = rclpy.create_node("glace_localizer", context=context)
    yield SimpleNamespace(node=node, publishers=Publishers.create(node))
    node.destroy_node()
    context.shutdown()


class Untouchable:
    """An image or a map that must not be looked at."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was looked at")


REPORT = RunReport(LocalizationState.TRACKING, 0.1, None, accepted=True, inliers=2, points=1000)


@pytest.mark.parametrize("topic", ["inliers_image", "scene_points", "coverage"])
def test_without_subscribers_nothing_is_computed(graph, monkeypatch, topic):
    log = graph.node.get_logger()
    shown = Introspection(graph.publishers, LocalizeParameters(), log)
    for work in ("draw_inliers", "undistorted_image", "points_to_cloud", "Marker", "MarkerArray"):
        monkeypatch.setattr(introspection, work, fail)
    estimate = estimate_of(np.array([[60.0, 100.0]]))

    def show_all():
        shown.show(Untouchable(), estimate, REPORT)
        shown.show_coverage(Untouchable())

    show_all()
    types = {"inliers_image": Image, "scene_points": PointCloud2, "coverage": MarkerArray}
    graph.node.create_subscription(types[topic], f"~/{topic}", print, 1)
    wait_until(lambda: getattr(graph.publishers, topic).get_subscription_count())
    with pytest.raises(AssertionError):  # then there is something to do, for this topic
        show_all()


def fail(*_, **__):
    raise AssertionError("work was done that nobody asked for")


# --- in a graph ---


def subscribe(robot, message_type, topic, qos=10):
    """What comes, and the function that ends it."""
    came = []
    subscription = robot.node.create_subscription(
        message_type, f"glace_localizer/{topic}", came.append, qos
    )
    return came, lambda: robot.node.destroy_subscription(subscription)


def drive_until(robot, condition, *what):
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline
        robot.drive(MAP_FROM_ODOM, 0.5, *what)


def test_inliers_and_their_points_are_shown(live):
    robot, _ = live
    robot.activate(**PATIENT)
    robot.publish_static()
    pictures, _ = subscribe(robot, Image, "inliers_image")
    clouds, _ = subscribe(robot, PointCloud2, "scene_points")
    drive_until(robot, lambda: len(pictures) > 1 and len(clouds) > 1)
    picture, cloud = pictures[-1], clouds[-1]
    assert (picture.encoding, picture.height, picture.width) == ("rgb8", HEIGHT, WIDTH)
    assert picture.header.frame_id == "camera"
    drawn = np.asarray(picture.data, np.uint8).reshape(HEIGHT, picture.step)
    drawn = drawn[:, : 3 * WIDTH].reshape(HEIGHT, WIDTH, 3)
    corners = PIXELS_M2.astype(int) - 1  # patches of the smallest size: one pixel and its frame
    colours = [tuple(drawn[v, u].tolist()) for u, v in corners]
    assert colours == [tuple(c) for c in error_colours(ERRORS_M, 10.0).tolist()]
    assert (cloud.header.frame_id, cloud.width, cloud.height) == ("map", len(PIXELS_M2), 1)
    assert [field.name for field in cloud.fields] == ["x", "y", "z"]
    points_m3 = np.frombuffer(bytes(cloud.data), "<f4").reshape(-1, 3)
    truth = MAP_FROM_ODOM @ odometry_at(stamp_of(cloud)) @ BASE_FROM_CAMERA
    camera = Camera(WIDTH, HEIGHT, 30.0, 30.0, 15.5, 11.5)
    np.testing.assert_allclose(points_m3, points_seen_from(truth, camera), atol=1e-3)
    assert stamp_of(cloud) in [stamp_of(pose) for pose in robot.poses]


def test_a_rejected_image_is_shown_without_points(live):
    robot, node = live
    robot.activate(transform_timeout=0.0, **PATIENT)
    pictures, _ = subscribe(robot, Image, "inliers_image")
    clouds, _ = subscribe(robot, PointCloud2, "scene_points")
    drive_until(robot, lambda: len(pictures) > 2)  # has a pose, but the base is not known
    node.wait_for("No transform has a frame 'camera'")
    pictures.clear()
    drive_until(robot, lambda: len(pictures) > 2, REJECT)
    assert clouds == []
    assert "Traceback" not in node.log()


def test_coverage_is_where_the_map_was_recorded(live):
    robot, node = live
    robot.activate(**PATIENT)
    came, end = subscribe(robot, MarkerArray, "coverage", LATCHED)
    wait_until(lambda: came)
    assert holds(lambda: len(came) == 1, 1.0)
    end()
    late, _ = subscribe(robot, MarkerArray, "coverage", LATCHED)
    wait_until(lambda: late)
    for message in (came[0], late[0]):
        (marker,) = message.markers
        assert (marker.header.frame_id, marker.action) == ("map", Marker.ADD)
        assert [[p.x, p.y, p.z] for p in marker.points] == VIEWS_V3.tolist()
        assert min(marker.scale.x, marker.color.a, marker.pose.orientation.w) > 0.0
    assert robot.set_parameter("map", "/maps/other.glace").successful
    wait_until(lambda: len(late) == 2)
    assert [m.action for m in late[1].markers] == [Marker.DELETEALL, Marker.ADD]
    assert robot.set_parameter("map", "/maps/blind.glace").successful
    wait_until(lambda: len(late) == 3)
    assert [m.action for m in late[2].markers] == [Marker.DELETEALL]
    sentence = "The map blind.glace 89abcdef does not say where it was recorded"
    node.wait_for(sentence)
    assert holds(lambda: node.log().count(sentence) == 1, 1.0)


def test_a_map_without_views_says_so_once_and_shows_nothing(live):
    robot, node = live
    robot.activate(map="/maps/blind.glace", **PATIENT)
    sentence = "does not say where it was recorded"
    assert holds(lambda: sentence not in node.log(), 1.0)  # nobody has asked
    came, _ = subscribe(robot, MarkerArray, "coverage", LATCHED)
    node.wait_for("nothing is shown on /glace_localizer/coverage.")
    assert holds(lambda: came == [] and node.log().count(sentence) == 1, 1.0)
