"""Drives for the kidnapping benchmark are what they say, and so are its figures."""

import numpy as np
import pytest

pytest.importorskip("embreex", reason="the rooms are rendered with it")
pytest.importorskip("benchmark", reason="benchmark/ is not installed: tests of it run in the repo")

from benchmark.kidnapping import (
    NOISE,
    RATE_HZ,
    drive_of,
    fixes_after,
    images_of,
    summary,
)
from glace_ros.simulation.lookalike_rooms import LookAlikeRoomsConfig, room_origin_m

CONFIG = LookAlikeRoomsConfig()
RIGHT, NEAR, ELSEWHERE = (0.02, 0.3), (0.4, 2.0), (5.0, 3.0)


@pytest.mark.parametrize("number", range(8))
def test_a_drive_stays_in_its_room_and_odometry_errs_little(number):
    drive = drive_of(number, 4, CONFIG)
    assert drive.carried == (number % 2 == 1)
    rooms = [shot.room for shot in drive.shots]
    assert len(set(rooms)) == 1 + drive.carried
    for shot in drive.shots:
        in_room_2 = (shot.map_from_base.translation_3 - room_origin_m(CONFIG, shot.room, 4))[:2]
        assert (np.abs(in_room_2 - CONFIG.side_m / 2) < 0.6).all()
    for before, after in zip(drive.shots[:-1], drive.shots[1:], strict=True):
        assert after.stamp_ns - before.stamp_ns == pytest.approx(1e9 / RATE_HZ, abs=2)
        moved = before.odom_from_base.inverse() @ after.odom_from_base
        truly = before.map_from_base.inverse() @ after.map_from_base
        if before.room == after.room:
            assert moved.distance_m(truly) < 0.02
            assert moved.angle_rad(truly) < 0.05
        else:  # nobody tells odometry
            assert moved.translation_3 == pytest.approx([0, 0, 0], abs=1e-9)
            assert truly.translation_3 != pytest.approx([0, 0, 0], abs=1.0)
    again = drive_of(number, 4, CONFIG).shots[-1]
    assert again.odom_from_base.distance_m(drive.shots[-1].odom_from_base) == 0.0
    assert NOISE.turn_scale > 0.0


def image(off=None, fix=False, clear=None, tf_off=None, images=1):
    said = {"ms": 100.0, "clear": fix if clear is None else clear, "fix": fix, "images": images}
    said |= {"off": off} if off else {}
    return said | ({"tf_off": tf_off} if tf_off else {})


def result(*there, before=()):
    return {"carried": bool(before), "before": len(before), "alone": [*before, *there]}


def test_the_first_fix_in_the_room_counts():
    waits = [image(ELSEWHERE, clear=False)] * 5
    right = result(*waits, image(RIGHT, fix=True, tf_off=RIGHT))
    assert summary([right], "alone") == {
        "starts": 1, "first_right": 1, "first_elsewhere": 0, "none": 0, "median_s": 1.0,
        "p95_s": 1.0, "wrong_over_1_s": 0,
    }  # fmt: skip
    near = result(image(NEAR, fix=True, tf_off=NEAR))
    wrong = result(*[image(ELSEWHERE, fix=True, tf_off=ELSEWHERE)] * 6)
    said = summary([right, near, wrong, result(*waits)], "alone")
    assert (said["first_right"], said["first_elsewhere"], said["none"]) == (1, 1, 1)
    assert said["wrong_over_1_s"] == 1
    assert said["median_s"] == 0.0


def test_what_was_in_the_room_before_does_not_count():
    carried = result(image(RIGHT, fix=True), before=[image(RIGHT, fix=True)] * 5)
    assert len(fixes_after(carried["alone"], carried["before"])) == 1
    assert summary([carried], "alone")["median_s"] == 0.0
    shown = images_of([carried, result(image(RIGHT, fix=True))], "alone")
    assert shown["images"] == 1  # windows of a robot that is carried hold the other room


def test_images_are_right_wrong_or_not_accepted():
    shown = result(
        image(RIGHT, fix=True), image(NEAR, fix=True), image(RIGHT, clear=False), image(),
        image(RIGHT, fix=True), image(ELSEWHERE, fix=True), image(RIGHT, clear=False),
    )  # fmt: skip
    said = images_of([shown], "alone")
    assert said["images"] == 7
    assert said["clear_right"] == pytest.approx(2 / 7)
    assert said["clear_wrong"] == 2
    assert said["from_fifth"] == 3  # whose windows have five images
    assert said["from_fifth_clear_right"] == pytest.approx(1 / 3)
    assert said["from_fifth_clear_wrong"] == 1
