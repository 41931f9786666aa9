"""Images and the odometry between them tell what one image cannot, and never pretend."""

from dataclasses import replace

import numpy as np
import pytest
from support.core_scenes import CAMERA
from support.twin_rooms import (
    APART_M,
    BASE_FROM_CAMERA,
    IMAGE,
    MAP_FROM_ODOM,
    TwinRooms,
)

from glace_ros.geometry.pose import Pose
from glace_ros.localization.generalized_solver import RigImage, solve_together
from glace_ros.localization.image_window import ImageMotion
from glace_ros.localization.image_window_config import ImageWindowConfig, WindowConfig
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LandmarkSearchConfig, LocalizerConfig
from glace_ros.localization.pose_estimate import Hypothesis, PoseEstimate
from glace_ros.localization.pose_solver import PoseSolverConfig
from glace_ros.localization.window_localizer import WindowLocalizer
from glace_ros.rejection import Rejection

FRONT, BEHIND = 0.0, np.pi


@pytest.fixture
def rooms():
    return TwinRooms()


def test_what_a_wall_cannot_tell_the_one_before_it_can(rooms):
    first = rooms.look(2.4, 0.0)
    assert not first.ambiguous  # the wall behind is in one room alone
    assert rooms.off_m(first, 2.4) < 0.03
    for seconds, yaw_rad in ((0.6, 1.6), (1.2, 0.8), (1.8, FRONT)):
        found = rooms.look(yaw_rad, seconds)
    assert isinstance(found, PoseEstimate)
    assert not found.ambiguous
    assert found.images >= 3
    assert rooms.off_m(found, FRONT) < 0.03
    # the same wall alone
    alone = TwinRooms().look(FRONT, 0.0)
    assert alone.ambiguous
    assert alone.images == 1


def test_walls_that_all_look_alike_stay_ambiguous_and_the_places_are_told(rooms):
    for seconds, yaw_rad in ((0.0, 0.3), (0.4, 0.1), (0.8, -0.1), (1.2, -0.3)):
        found = rooms.look(yaw_rad, seconds)
    assert found.ambiguous
    assert found.second_best_ratio > 0.9
    (rival,) = found.rivals
    assert rival.distance_m(found.map_from_camera) == pytest.approx(APART_M, abs=0.05)


@pytest.mark.parametrize(
    ("metadata", "ambiguous"),
    [
        ({}, False),
        ({"window_rivals": (1.0, 0.9, 0.85, 0.7)}, False),
        ({"window_rivals": (1.0, 0.9, 0.4)}, True),
        ({"max_rival": 0.5}, True),  # and nothing is known of windows
        ({"max_rival": 0.5, "window_rivals": (1.0, 0.9, 0.9)}, False),
    ],
)
def test_the_map_says_how_much_the_second_best_place_may_have(metadata, ambiguous):
    """Of these four images two are of the walls that look alike: a ratio of 0.55."""
    rooms = TwinRooms()
    scene_map = rooms.localizer.scene_map
    rooms.localizer.scene_map = scene_map.with_metadata(**metadata)
    rooms.windows = WindowLocalizer(rooms.localizer)
    for seconds, yaw_rad in ((0.0, 2.4), (0.6, 1.6), (1.2, 0.6), (1.8, FRONT)):
        found = rooms.look(yaw_rad, seconds)
    assert found.images == 4
    assert 0.54 < found.second_best_ratio < 0.6
    assert found.ambiguous == ambiguous


def test_an_image_that_is_too_weak_alone_is_carried_by_those_before_it():
    """The map keeps a quarter of the corners: 30 to 45 in view, fewer than the 60 that verify."""
    rooms = TwinRooms(landmarks=0.35)
    for seconds, yaw_rad in ((0.0, BEHIND), (0.4, 2.7), (0.8, 2.4), (1.2, 2.1)):
        found = rooms.look(yaw_rad, seconds, known=45)
        assert isinstance(rooms.localizer.solve(rooms._shown, CAMERA, 0.0), Rejection)
    assert isinstance(found, PoseEstimate)
    assert not found.ambiguous
    assert rooms.off_m(found, 2.1) < 0.05
    assert found.images >= 3


def test_weak_images_of_walls_that_look_alike_begin_nothing():
    """The head knows but one of the rooms, and no image is clear enough to look for another."""
    rooms = TwinRooms(landmarks=0.35)
    for seconds, yaw_rad in ((0.0, 0.3), (0.5, 0.1), (1.0, -0.1), (1.5, -0.3)):
        found = rooms.look(yaw_rad, seconds, known=45)
    assert isinstance(found, PoseEstimate)
    assert found.ambiguous


@pytest.mark.parametrize("blank", [True, False])
def test_an_image_of_elsewhere_is_not_carried_by_those_before_it(rooms, blank):
    for seconds, yaw_rad in ((0.0, BEHIND), (0.4, 2.7), (0.8, 2.4)):
        assert isinstance(rooms.look(yaw_rad, seconds), PoseEstimate)
    if blank:
        newest = rooms.look(2.1, 1.2, blank=True)
    else:
        rooms.descriptors[0] = rooms.rng.permutation(rooms.descriptors[0])
        newest = rooms.look(2.1, 1.2)
    assert isinstance(newest, Rejection)


def test_an_image_of_elsewhere_among_them_carries_no_pose(rooms):
    rooms.look(BEHIND, 0.0)
    rooms.look(2.7, 0.4, room=1)  # as if the robot were in the other room
    rooms.look(2.4, 0.8)
    found = rooms.look(2.1, 1.2)
    assert not found.ambiguous
    assert found.images == 3
    assert rooms.off_m(found, 2.1) < 0.03


def test_carried_to_the_other_room_unnoticed_no_pose_begins_until_the_images_say_one_thing(rooms):
    for seconds, yaw_rad in ((0.0, BEHIND), (0.4, 2.8), (0.8, 2.5)):
        rooms.look(yaw_rad, seconds)
    first = rooms.look(2.2, 1.2, room=1)
    assert first.ambiguous  # clear by itself, but three images before it say otherwise
    for seconds, yaw_rad in ((1.6, 2.5), (2.0, 2.8), (2.4, 3.1), (3.6, 2.6), (4.3, 2.2)):
        found = rooms.look(yaw_rad, seconds, room=1)
        assert found.ambiguous or rooms.off_m(found, yaw_rad, room=1) < 0.03
    assert not found.ambiguous


def test_carried_to_the_same_spot_of_a_room_that_looks_alike_the_newest_images_count():
    """Odometry contradicts nothing: the wall aside is half the same in both rooms."""
    yaws_rad = (BEHIND, 2.8, 2.5, 2.2, 1.9)
    for most_since, begins_wrongly in ((WindowConfig.most_since, False), (np.inf, True)):
        rooms = TwinRooms(config=WindowConfig(most_since=most_since))
        for index, yaw_rad in enumerate(yaws_rad):
            rooms.look(yaw_rad, 0.3 * index)
        found = rooms.look(1.6, 0.3 * len(yaws_rad), room=1)
        assert found.images > 3  # those of the other room are with it
        assert found.ambiguous != begins_wrongly
        if not begins_wrongly:
            places = [found.map_from_camera, *found.rivals]
            truth = rooms.base(1.6, room=1) @ BASE_FROM_CAMERA
            assert min(pose.distance_m(truth) for pose in places) < 0.1


def test_while_tracking_an_ambiguous_image_confirms_by_itself_alone():
    """Not by those before it, which are of the room where the robot was before it was carried."""
    rooms = TwinRooms(config=WindowConfig(most_since=1.1))
    for seconds, yaw_rad in ((0.0, BEHIND), (0.3, 2.8), (0.6, 2.5), (0.9, 2.2), (1.2, 1.9)):
        rooms.look(yaw_rad, seconds)
    found = rooms.look(1.2, 1.5, room=1, tracking=True)
    assert found.ambiguous
    assert rooms.off_m(found, 1.2, room=1) < 0.05


@pytest.mark.parametrize(
    ("odom_from_base", "seconds"),
    [
        (MAP_FROM_ODOM.inverse() @ Pose.from_planar(3.0, 0.0, FRONT), 1.2),  # odometry jumps
        (None, -50.0),  # the clock jumps back
        (None, 50.0),  # and forward
    ],
)
def test_after_a_jump_the_image_stands_alone(rooms, odom_from_base, seconds):
    for at_s, yaw_rad in ((0.0, 1.6), (0.4, 1.2), (0.8, 0.8)):
        rooms.look(yaw_rad, at_s)
    found = rooms.look(FRONT, seconds, odom_from_base=odom_from_base)
    assert found.ambiguous
    assert found.images == 1


def test_without_odometry_the_image_stands_alone(rooms):
    for at_s, yaw_rad in ((0.0, 1.6), (0.4, 1.2), (0.8, 0.8)):
        rooms.look(yaw_rad, at_s)
    rooms.show(rooms.base(FRONT))
    for motion in (None, ImageMotion(101_200_000_000, None, BASE_FROM_CAMERA)):
        found = rooms.windows.localize(IMAGE, CAMERA, motion)
        assert found.ambiguous
        assert found.images == 1


def test_odometry_that_jumps_a_little_gives_no_wrong_pose(rooms):
    """By less than what a robot may have driven meanwhile."""
    for at_s, yaw_rad in ((0.0, BEHIND), (0.4, 2.7), (0.8, 2.4)):
        rooms.look(yaw_rad, at_s)
    jumped = MAP_FROM_ODOM.inverse() @ Pose.from_planar(0.6, 0.3, 2.1 + 0.4)
    found = rooms.look(2.1, 1.2, odom_from_base=jumped)
    assert isinstance(found, Rejection) or found.ambiguous or rooms.off_m(found, 2.1) < 0.03


def test_images_from_before_a_little_jump_carry_nothing(rooms):
    """The wall in front is looked at after odometry slipped by 0.4 m, as fast as a robot drives."""
    for at_s, yaw_rad in ((0.0, 1.9), (0.4, 1.5), (0.8, 1.1)):
        rooms.look(yaw_rad, at_s)
    slipped = MAP_FROM_ODOM.inverse() @ Pose.from_planar(0.4, 0.0, 0.2)
    assert rooms.look(0.2, 1.2, odom_from_base=slipped).ambiguous
    rooms.windows.clear()
    for at_s, yaw_rad in ((2.0, 1.9), (2.4, 1.5), (2.8, 1.1)):
        rooms.look(yaw_rad, at_s)
    assert not rooms.look(0.2, 3.2).ambiguous  # without the jump they do


@pytest.mark.parametrize(("slips_m", "carried"), [((0.9, 0.0, -0.9), 3), ((0.9, -0.9, 1.8), 0)])
def test_odometry_that_is_worthless_carries_nothing(slips_m, carried):
    """The first three images are as far as that from where odometry says, and clear."""
    window = ImageWindowConfig(max_age_s=30.0, max_distance_m=30.0)
    rooms = TwinRooms(config=WindowConfig(window=window))
    for at_s, (yaw_rad, slip_m) in enumerate(zip((3.1, 2.9, 2.7), slips_m, strict=True)):
        slipped = MAP_FROM_ODOM.inverse() @ Pose.from_planar(slip_m, 0.0, yaw_rad)
        rooms.look(yaw_rad, at_s, odom_from_base=slipped)
    rooms.look(1.6, 3.0)
    found = rooms.look(0.2, 4.0)  # ambiguous by itself
    assert found.ambiguous == (not carried)
    assert found.images == (carried or 1)


def test_a_clear_image_whose_place_is_not_looked_at_begins_nothing():
    rooms = TwinRooms(config=WindowConfig(places=1))
    for at_s, yaw_rad in ((0.0, BEHIND), (0.4, 2.8), (0.8, 2.5)):
        rooms.look(yaw_rad, at_s)
    assert rooms.look(2.2, 1.2, room=1).ambiguous


def test_standing_still_adds_nothing(rooms):
    for index in range(6):
        found = rooms.look(FRONT, 0.2 * index)
    assert found.ambiguous
    assert found.images == 1


def test_while_nothing_is_known_one_image_waits_for_the_next_ones_sooner(rooms):
    """It has a ratio of 0.75: less than max_rival, which is what counts while tracking."""
    assert rooms.look(1.25, 0.0).ambiguous
    rooms.windows.clear()
    alone = rooms.look(1.25, 0.4, tracking=True)
    assert 0.7 < alone.second_best_ratio < 0.8
    assert not alone.ambiguous


@pytest.mark.parametrize(("yaw_rad", "ambiguous"), [(FRONT, True), (1.4, False), (BEHIND, False)])
def test_what_shows_nothing_of_its_own_is_ambiguous_though_no_other_place_is_found(
    rooms, yaw_rad, ambiguous
):
    """The head knows one room, and the search finds nothing: from 1.4 rad on a part of the view is
    in one room alone.
    """
    search = LandmarkSearchConfig(verifying_matches=10_000)
    config = LocalizerConfig(search=search)
    rooms.localizer = Localizer(rooms.localizer.scene_map, config, "cpu")
    rooms.localizer.regress = lambda image, camera, motion=None: rooms._shown
    rooms.windows = WindowLocalizer(rooms.localizer)
    for seconds in (0.0, 0.4, 0.8):  # one image, then those before it, too
        found = rooms.look(yaw_rad + 0.3 * seconds, seconds, known=10_000)
        assert found.second_best_ratio == 0.0
        assert found.rivals == ()
        assert found.ambiguous == ambiguous


def test_while_tracking_a_clear_image_costs_what_it_costs_alone(rooms, monkeypatch):
    rooms.look(BEHIND, 0.0)
    monkeypatch.setattr(rooms.windows, "_together", lambda *_: pytest.fail("was resolved"))
    assert not rooms.look(2.5, 0.4, tracking=True).ambiguous
    with pytest.raises(pytest.fail.Exception, match="was resolved"):
        rooms.look(FRONT, 1.0, tracking=True)  # ambiguous: here the window is asked


def test_many_images_are_no_surer_than_the_surest(rooms):
    for index in range(7):
        found = rooms.look(BEHIND - 0.15 * index, 0.4 * index)
        alone = rooms.localizer.solve(rooms._shown, CAMERA, 0.0)
        assert np.linalg.det(found.covariance_66) <= np.linalg.det(alone.covariance_66) * 1.001
    singles = []
    for index in range(7):
        rooms.show(rooms.base(BEHIND - 0.15 * index))
        singles.append(rooms.localizer.solve(rooms._shown, CAMERA, 0.0).covariance_66)
    assert found.images == 7
    smallest = min(np.linalg.det(each) for each in singles)
    assert np.linalg.det(found.covariance_66) > 0.3 * smallest


# --- the generalized solver ---


def test_a_few_points_of_each_image_give_the_pose_of_all():
    rng = np.random.default_rng(0)
    truth = Pose.from_rotation_vector([3.0, -2.0, 1.0], [0.4, -1.1, 0.8])
    images = []
    for index in range(5):
        rig_from_camera = Pose.from_rotation_vector([0.2 * index, 0.0, 0.1], [0.0, 0.2 * index, 0])
        pixels_n2 = rng.uniform([0, 0], [127, 95], (12, 2))
        depth_n1 = rng.uniform(2, 6, (12, 1))
        points_n3 = (truth @ rig_from_camera).transform(CAMERA.bearings(pixels_n2) * depth_n1)
        points_n3[5:] = rng.uniform(-9, 9, (7, 3))  # five of twelve are right
        images.append(RigImage(pixels_n2, points_n3, CAMERA, rig_from_camera))
    found = solve_together(images, PoseSolverConfig(ransac_px=4.0))
    assert found.distance_m(truth) < 0.01
    assert solve_together(images[:0], PoseSolverConfig()) is None
    nowhere = images[0]._replace(points_n3=np.full((12, 3), np.nan))
    assert solve_together([nowhere], PoseSolverConfig()) is None


def test_a_pose_that_the_search_verified_wins_over_one_that_nothing_verifies(rooms):
    """Beside each other; of the search's the similarity to its place is not known. An unverified
    one in another place makes it ambiguous.
    """
    rooms.show(rooms.base(BEHIND))
    found = rooms.localizer.solve(rooms._shown, CAMERA, 0.0)
    searched = replace(found, landmarks=45, landmark_verified=True)
    beside = replace(
        found, landmarks=50, landmark_verified=False,
        map_from_camera=found.map_from_camera @ Pose.from_planar(0.1, 0.0, 0.0),
    )  # fmt: skip
    there = Hypothesis(searched, rooms._shown)
    chosen = rooms.localizer.decide([Hypothesis(beside, rooms._shown, 1.0), there], 0.0)
    assert chosen.landmark_verified
    assert not chosen.ambiguous
    elsewhere = replace(
        beside, map_from_camera=found.map_from_camera @ Pose.from_planar(APART_M, 0.0, 0.0)
    )
    chosen = rooms.localizer.decide([Hypothesis(elsewhere, rooms._shown, 1.0), there], 0.0)
    assert chosen.landmark_verified
    assert chosen.ambiguous
