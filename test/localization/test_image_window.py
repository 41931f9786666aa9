"""Which images a window keeps: few, spread, young, near, and none across a jump."""

import itertools
import math

import pytest
from support.core_scenes import CAMERA

from glace_ros.geometry.pose import Pose
from glace_ros.localization.image_window import ImageMotion, ImageWindow
from glace_ros.localization.image_window_config import ImageWindowConfig

FORWARD = Pose.identity()


def motion(seconds, x_m=0.0, yaw_deg=0.0, camera=""):
    base = Pose.from_planar(x_m, 0.0, math.radians(yaw_deg))
    return ImageMotion(round(1e9 * (50 + seconds)), base, FORWARD, camera)


def window_of(motions, **config):
    window = ImageWindow(ImageWindowConfig(**config))
    for each in motions:
        window.add(each, CAMERA, [])
    return window


def seconds(window):
    return [round(image.stamp_ns * 1e-9 - 50, 3) for image in window.images]


def test_images_that_show_different_views_are_kept_in_order():
    window = window_of([motion(0.2 * i, yaw_deg=10.0 * i) for i in range(4)])
    assert seconds(window) == [0.0, 0.2, 0.4, 0.6]


def test_a_robot_that_stands_still_has_one_image():
    window = window_of([motion(0.2 * i, x_m=0.001 * i) for i in range(10)])
    assert seconds(window) == [1.8]


def test_slow_motion_adds_up_to_several_views():
    window = window_of([motion(0.2 * i, x_m=0.02 * i) for i in range(10)])
    kept = [image.odom_from_base.translation_3[0] for image in window.images]
    assert 3 <= len(kept) <= 4
    assert all(after - before >= 0.04 for before, after in itertools.pairwise(kept))


def test_it_never_has_more_than_so_many_and_drops_those_that_are_missed_least():
    at_deg = [0, 30, 36, 60, 90, 120]
    window = window_of([motion(0.2 * i, yaw_deg=deg) for i, deg in enumerate(at_deg)], images=5)
    assert seconds(window) == [0.0, 0.4, 0.6, 0.8, 1.0]  # one of the two at 30 and 36 deg is gone
    window = window_of([motion(0.2 * i, yaw_deg=7.0 * i) for i in range(14)], images=5)
    assert len(window.images) == 5


def test_images_are_forgotten_by_age_and_by_way():
    at = [motion(i, yaw_deg=20.0 * i) for i in range(6)]
    assert seconds(window_of(at, max_age_s=3.0)) == [2.0, 3.0, 4.0, 5.0]
    at = [motion(0.5 * i, x_m=0.3 * i) for i in range(6)]
    assert seconds(window_of(at, max_distance_m=1.0)) == [1.0, 1.5, 2.0, 2.5]


def test_way_counts_there_and_back():
    x_m = [0.0, 0.4, 0.8, 0.4, 0.0]  # back where it began: 1.6 m of odometry's errors later
    window = window_of([motion(0.5 * i, x_m=x) for i, x in enumerate(x_m)], max_distance_m=1.0)
    assert 0.0 not in seconds(window)


@pytest.mark.parametrize(
    "after",
    [
        motion(0.6, x_m=2.0),  # odometry jumps
        motion(0.6, yaw_deg=170.0),
        motion(-3600.0, yaw_deg=30.0),  # the clock jumps back
        motion(0.4, yaw_deg=30.0),  # or stands
        motion(7200.0, yaw_deg=30.0),  # or forward
    ],
)
def test_a_jump_leaves_the_newest_image_alone(after):
    window = window_of([*(motion(0.2 * i, yaw_deg=10.0 * i) for i in range(3)), after])
    assert [image.stamp_ns for image in window.images] == [after.stamp_ns]


def test_odometry_that_jumps_within_the_window_s_reach_is_a_jump_all_the_same():
    at = [motion(0.0), motion(0.2, x_m=0.2), motion(0.4, x_m=1.4)]
    assert seconds(window_of(at, max_distance_m=5.0)) == [0.4]
    at[-1] = motion(0.8, x_m=1.4)  # 2 m/s
    assert seconds(window_of(at, max_distance_m=5.0)) == [0.0, 0.2, 0.8]


def test_the_clock_of_another_camera_jumps_too():
    window = window_of([motion(0.0, camera="front"), motion(-3600.0, camera="rear")])
    assert [image.camera for image in window.images] == ["rear"]


def test_without_odometry_nothing_is_kept():
    window = window_of([motion(0.2 * i, yaw_deg=10.0 * i) for i in range(3)])
    window.add(motion(0.6)._replace(odom_from_base=None), CAMERA, [])
    assert window.images == []
    window.add(motion(0.8, yaw_deg=40.0), CAMERA, [])
    assert seconds(window) == [0.8]


def test_two_cameras_look_at_different_views_at_one_time():
    window = window_of([motion(0.0, camera="front"), motion(0.0, camera="rear")])
    assert [image.camera for image in window.images] == ["front", "rear"]
    window.add(motion(-0.05, camera="left"), CAMERA, [])  # exposed a little earlier
    assert len(window.images) == 3
    window.add(motion(-0.01, camera="rear"), CAMERA, [])  # older than the last of its camera
    assert [image.camera for image in window.images] == ["rear"]


def test_a_window_of_one_image_has_but_the_newest():
    for images in (0, 1):
        window = window_of([motion(0.2 * i, yaw_deg=10.0 * i) for i in range(3)], images=images)
        assert seconds(window) == [0.4]
