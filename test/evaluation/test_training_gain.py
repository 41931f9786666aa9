"""More training is worth it while more of the held-out images are found, and no longer."""

import pytest

from glace_ros.evaluation.training_gain import Look, TrainingGain


class Looks(TrainingGain):
    """Sees what it is told to see."""

    def __init__(self, *seen: Look) -> None:
        super().__init__([], "cpu")
        self.seen = list(seen)

    def _look(self, _) -> Look:
        return self.seen[len(self.looks)]


class Map:
    """That has landmarks, or none."""

    def __init__(self, landmarks: object = "some") -> None:
        self.landmarks = landmarks


def look(verified: int, ratio: float = 0.2, alike: float = 0.0, images: int = 40) -> Look:
    return Look(0, images, verified, ratio, alike)


def said(*seen: Look, landmarks: object = "some") -> list[bool]:
    gain = Looks(*seen)
    return [gain.still_gains(Map(landmarks)) for _ in seen]


def test_it_gains_while_landmarks_verify_more_of_the_images():
    assert said(look(10), look(20), look(30), look(31)) == [True, True, True, False]
    # one image more of 40 may be chance
    assert said(look(30), look(32), look(35)) == [True, False, True]


def test_where_all_are_verified_nothing_is_left_to_gain():
    assert said(look(40)) == [False]


def test_images_without_poses_end_no_training():
    assert said(look(0, images=0), look(0, images=0)) == [True, True]


def test_a_head_that_agrees_better_does_not_count_where_landmarks_decide():
    assert said(look(30, 0.1), look(30, 0.2)) == [True, False]


@pytest.mark.parametrize(
    ("alike", "landmarks"), [(0.3, "some"), (0.0, None)], ids=["look-alike rooms", "no landmarks"]
)
def test_elsewhere_the_head_has_to_stop_gaining_too(alike, landmarks):
    seen = [look(40, ratio, alike) for ratio in (0.1, 0.2, 0.205)]
    assert said(*seen, landmarks=landmarks) == [True, True, False]


def test_what_it_waits_for_is_said():
    gain = Looks(look(18, images=22))
    assert gain.sentence() == "until held-out images gain no more"
    gain.still_gains(Map())
    assert gain.sentence() == "18 of 22 held out verified"
