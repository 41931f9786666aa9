"""More training is worth it while more of the held-out images are found, and no longer."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.core_scenes import CAMERA, tiny_map

from glace_ros.evaluation import training_gain
from glace_ros.evaluation.training_gain import Look, TrainingGain
from glace_ros.geometry.pose import Pose
from glace_ros.localization.pose_estimate import PoseEstimate, Regression


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


def test_an_image_that_needs_no_head_is_looked_at_once(monkeypatch):
    """Training changes nothing of it; one that landmarks put elsewhere counts as not found."""
    asked = []

    class Located:
        def __init__(self, scene_map, config=None, device="auto") -> None:
            self.searches = config is None or config.search is not None

        def regress(self, image, _camera, _motion):
            return Regression(None, [], None, lambda: image)

        def regressed(self, _features, descriptor, _camera):
            return Regression(None, [], None, descriptor)

        def found_without_head(self, regression, _camera, _start):
            assert self.searches
            asked.append(("without", name := regression.global_descriptor()))
            away_m = {"seen": 0.0, "mistaken": 9.0}.get(name)
            return None if away_m is None else at(away_m)

        def hypotheses(self, regression, _camera, _start):
            assert not self.searches
            asked.append(("head", name := regression.global_descriptor()))
            return [name]

        def decide(self, hypotheses, _start):
            return at(0.0 if hypotheses == ["blurred"] else 9.0)

    def at(away_m: float) -> PoseEstimate:
        none_2, none_3 = np.empty((0, 2)), np.empty((0, 3))
        pose = Pose(np.eye(3), np.array([away_m, 0.0, 0.0]))
        return PoseEstimate(
            pose, np.eye(6), 1, 2, 1.0, 0.0, none_2, none_3, CAMERA, landmark_verified=True
        )

    monkeypatch.setattr(training_gain, "Localizer", Located)
    images = [
        SimpleNamespace(
            image_rgb_hwc=name, camera=None, moved=None,
            map_from_camera=None if name == "no pose" else Pose(np.eye(3), np.zeros(3)),
        )
        for name in ("seen", "mistaken", "blurred", "no pose")
    ]  # fmt: skip
    gain = TrainingGain(images, "cpu")
    scene_map = tiny_map(training={"steps": 7})
    assert gain.still_gains(scene_map)  # the mistaken one is left
    gain.still_gains(scene_map)
    assert gain.looks == [Look(7, 3, 2, 0.25, 0.0)] * 2
    assert [name for how, name in asked if how == "without"] == ["seen", "mistaken", "blurred"]
    assert (
        sorted(name for how, name in asked if how == "head") == ["blurred"] * 2 + ["mistaken"] * 2
    )
