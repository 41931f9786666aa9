"""Of the landmarks that a pose should show, how many an image does."""

import numpy as np
import pytest
import torch
from support.core_scenes import unit_rows
from support.twin_rooms import TwinRooms

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.localization.landmark_visibility import seen_ratio
from glace_ros.maps.landmarks import Landmarks

CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)


def wall(rng: np.random.Generator, depth_m: float, count: int) -> np.ndarray:
    """(count, 3) points in view of a camera at the origin, on a wall across its axis."""
    pixels_n2 = rng.uniform([1, 1], [638, 478], (count, 2))
    rays_n2 = (pixels_n2 - [CAMERA.cx_px, CAMERA.cy_px]) / CAMERA.fx_px
    return depth_m * np.column_stack([rays_n2, np.ones(count)])


def landmarks_at(rng: np.random.Generator, points_n3: np.ndarray, toward_3) -> Landmarks:
    directions_n3 = np.broadcast_to(np.asarray(toward_3, float), points_n3.shape)
    return Landmarks(
        torch.from_numpy(points_n3),
        torch.from_numpy(unit_rows(rng, len(points_n3), 64)),
        torch.from_numpy(directions_n3.copy()),
    )


def ratio(landmarks: Landmarks, seen: np.ndarray, pose: Pose | None = None) -> float:
    seen_m = torch.from_numpy(np.asarray(seen))
    return seen_ratio(pose or Pose.identity(), seen_m, landmarks, CAMERA, 70.0)


@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_it_is_the_ratio_of_those_on_the_wall_that_is_seen(share):
    rng = np.random.default_rng(0)
    pose = Pose.from_rotation_vector([2.0, -1.0, 0.5], [0.3, -1.2, 0.8])
    points_n3 = pose.transform(wall(rng, 3.0, 400))
    toward_3 = pose.transform(np.zeros((1, 3)))[0] - points_n3.mean(axis=0)
    landmarks = landmarks_at(rng, points_n3, toward_3)
    seen = rng.permutation(400)[: round(400 * share)]
    assert ratio(landmarks, seen, pose) == pytest.approx(share)


def test_what_the_wall_hides_does_not_count_and_what_stands_before_it_does():
    rng = np.random.default_rng(1)
    points_n3 = np.concatenate(
        [wall(rng, 3.0, 300), wall(rng, 5.0, 900), wall(rng, 2.0, 100), wall(rng, 3.0, 80)]
    )
    landmarks = landmarks_at(rng, points_n3, [0.0, 0.0, -1.0])
    landmarks.directions_l3[-80:] *= -1.0  # on the other side of the wall
    assert ratio(landmarks, np.arange(150)) == pytest.approx(150 / 400)


def test_a_few_wrong_matches_open_no_wall():
    """Each far landmark that is wrongly taken for seen has some 30 others about it."""
    rng = np.random.default_rng(2)
    far_n3 = np.concatenate(
        [
            np.column_stack([rng.normal(x_m, 0.3, (30, 2)), np.full(30, 16.0)])
            for x_m in (-4.0, 0.0, 4.0)
        ]
    )
    landmarks = landmarks_at(rng, np.concatenate([wall(rng, 3.0, 400), far_n3]), [0.0, 0.0, -1.0])
    clean = ratio(landmarks, np.arange(200))
    wrong = ratio(landmarks, np.concatenate([np.arange(200), [400, 430, 460]]))
    assert clean == pytest.approx(0.5)
    assert wrong == pytest.approx(203 / 403)


def test_too_few_say_nothing():
    rng = np.random.default_rng(3)
    landmarks = landmarks_at(rng, wall(rng, 3.0, 50), [0.0, 0.0, -1.0])
    assert ratio(landmarks, np.arange(4)) == 1.0
    assert ratio(landmarks, np.arange(5)) == pytest.approx(0.1)
    assert ratio(landmarks, np.empty(0, np.int64)) == 1.0


def test_a_room_whose_own_pictures_are_missing_has_less_agreement_than_its_landmarks_say():
    """What the other room has on the part of the view that does not look alike is not there."""
    rooms = TwinRooms()
    rooms.show(rooms.base(1.4))
    _, first, second = (
        each.result for each in rooms.localizer.hypotheses(rooms._shown, CAMERA, 0.0)
    )
    assert first.seen_ratio() > 0.95
    assert second.seen_ratio() < 0.85
    found = rooms.localizer.solve(rooms._shown, CAMERA, 0.0)
    by_number = second.landmarks / first.landmarks
    assert found.second_best_ratio < 0.9 * by_number
