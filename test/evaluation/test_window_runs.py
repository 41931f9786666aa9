"""Held-out images, which come in runs, teach how much a second-best place may say."""

import numpy as np
import pytest
from support.core_scenes import CAMERA
from support.twin_rooms import BASE_FROM_CAMERA, IMAGE, TwinRooms

from glace_ros.evaluation import map_validation
from glace_ros.evaluation.calibration import (
    LEAST_LEADS,
    SECOND_BEST_MARGIN,
    WINDOW_BOUNDS,
    is_gross_error,
    window_thresholds,
)
from glace_ros.evaluation.window_runs import Lead, WindowRuns
from glace_ros.geometry.pose import Pose
from glace_ros.localization.localizer import Localizer
from glace_ros.recording.posed_images import PosedImage


def leads_of(ratios_by_images, spread, count=400, seed=0):
    """Windows of so many images, whose second-best place has that ratio in the median."""
    rng = np.random.default_rng(seed)
    return [
        Lead(images, float(rng.normal(-np.log(ratio), spread)))
        for images, ratio in ratios_by_images.items()
        for _ in range(count)
    ]


def test_one_in_a_thousand_wrong_places_passes():
    """Where both places are the same but for chance."""
    leads = leads_of({2: 1.0, 3: 1.0}, 0.1, count=2000)
    one, *thresholds = window_thresholds(leads)
    assert one == 1.0  # of which there is another threshold
    passing = [np.mean([np.exp(lead.log_ratio) < each for lead in leads]) for each in thresholds]
    assert all(share < 0.002 for share in passing)
    assert all(0.6 < each < 0.75 for each in thresholds)


def test_the_more_images_tell_the_more_the_second_best_may_have():
    """Leads are wide where some walls look alike and others do not: that alone asks for nothing."""
    leads = leads_of({2: 0.95}, 0.15) + leads_of({3: 0.9}, 0.1)
    leads += [lead for lead in leads_of({5: 0.6}, 0.4) if lead.log_ratio > 0.0]
    _, *thresholds = window_thresholds(leads)
    assert thresholds == sorted(thresholds)
    assert len(thresholds) == 4
    assert thresholds[0] < thresholds[1] < thresholds[-1] == WINDOW_BOUNDS[1]
    assert window_thresholds(leads_of({4: 1.1}, 0.3))[-1] == WINDOW_BOUNDS[0]


def test_a_wrong_place_that_led_bounds_all_that_have_as_few_images():
    right = leads_of({2: 0.5, 3: 0.5, 4: 0.5}, 0.03)
    astray = [*right, Lead(3, np.log(0.7))]
    _, two, three, four = window_thresholds(astray)
    assert two <= three <= SECOND_BEST_MARGIN * 0.7
    assert four == window_thresholds(right)[-1] == WINDOW_BOUNDS[1]


def test_a_few_windows_teach_nothing():
    assert window_thresholds(leads_of({2: 0.6}, 0.1, count=LEAST_LEADS - 1)) is None


def test_runs_know_twins_from_places_that_are_not_alike():
    """A turn in one of two rooms: in front they are the same, behind nothing else looks so."""
    rooms, leads = TwinRooms(), {}
    for begin_rad in (-0.4, 2.6):
        runs = WindowRuns(rooms.localizer, is_gross_error)
        for index in range(5):
            truth = rooms.base(begin_rad + 0.2 * index)
            rooms.show(truth)
            hypotheses = rooms.localizer.hypotheses(rooms._shown, CAMERA, 0.0)
            image = PosedImage(400_000_000 * index, IMAGE, CAMERA, truth @ BASE_FROM_CAMERA)
            runs.learn_from(image, hypotheses, BASE_FROM_CAMERA)
        leads[begin_rad] = runs.leads
    assert [lead.images for lead in leads[-0.4]] == [1, 2, 3, 4, 5]
    assert all(abs(lead.log_ratio) < 0.05 for lead in leads[-0.4])
    assert leads[2.6] == []
    # without a truth nothing is known of the motion since
    runs.learn_from(PosedImage(2_000_000_000, IMAGE, CAMERA, None), hypotheses, BASE_FROM_CAMERA)
    rooms.show(rooms.base(0.0))
    hypotheses = rooms.localizer.hypotheses(rooms._shown, CAMERA, 0.0)
    image = PosedImage(2_400_000_000, IMAGE, CAMERA, rooms.base(0.0) @ BASE_FROM_CAMERA)
    runs.learn_from(image, hypotheses, BASE_FROM_CAMERA)
    assert [lead.images for lead in runs.leads] == [1]


def validate_what_is_shown(rooms, monkeypatch):
    """validate_map's localizers regress what the rooms showed when the image was taken: images,
    each of one colour, are made by the function that this gives.
    """
    shown = []

    def take():
        shown.append(rooms._shown)
        return np.full_like(IMAGE, len(shown) - 1)

    def that_was_shown(*arguments, **more):
        localizer = Localizer(*arguments, **more)
        localizer.regress = lambda image_hwc, camera, motion=None: shown[int(image_hwc[0, 0, 0])]
        return localizer

    monkeypatch.setattr(map_validation, "Localizer", that_was_shown)
    return take


def test_a_validated_map_keeps_what_its_windows_taught(monkeypatch):
    rooms = TwinRooms()

    def turn(begin_rad):
        for index in range(2 * LEAST_LEADS):
            truth = rooms.base(begin_rad + 0.08 * abs(index - LEAST_LEADS))
            rooms.show(truth)
            yield PosedImage(300_000_000 * index, take(), CAMERA, truth @ BASE_FROM_CAMERA)

    take = validate_what_is_shown(rooms, monkeypatch)
    scene_map = rooms.localizer.scene_map
    taught = [
        map_validation.validate_map(scene_map, turn(begin_rad), BASE_FROM_CAMERA, "cpu")
        for begin_rad in (-0.5, 2.6)
    ]
    in_front, behind = (each.scene_map.metadata.window_rivals for each in taught)
    # the twin is never ahead by more than chance: a tie is all that has to be told
    assert in_front[0] == 1.0
    assert len(in_front) > 4
    assert in_front[1:] == pytest.approx([WINDOW_BOUNDS[1]] * (len(in_front) - 1), abs=0.02)
    assert behind is None


def test_images_between_mapped_ones_tell_what_poses_err_by_and_nothing_else(monkeypatch):
    """Twelve are held out, told without an error; those between are told to be 5 cm elsewhere."""
    rooms, heard = TwinRooms(), []

    def turn():
        for index in range(24):
            truth = rooms.base(2.6 + 0.04 * index)
            rooms.show(truth)
            if index % 2:
                truth = Pose.from_planar(*rooms.rng.normal(0.0, 0.05, 2), 0.0) @ truth
            yield PosedImage(300_000_000 * index, take(), CAMERA, truth @ BASE_FROM_CAMERA)

    take = validate_what_is_shown(rooms, monkeypatch)
    between = {(0, 300_000_000 * index) for index in range(1, 24, 2)}
    validation = map_validation.validate_map(
        rooms.localizer.scene_map, turn(), BASE_FROM_CAMERA, "cpu",
        lambda image, _: heard.append(image.stamp_ns), between,
    )  # fmt: skip
    assert heard == [300_000_000 * index for index in range(0, 24, 2)]
    assert validation.metrics["frames"] == validation.metrics["localized"] == 12
    assert validation.metrics["median_translation_m"] < 0.01
    model = validation.scene_map.metadata
    told_m = np.sqrt(model.landmark_sigma_m**2 + model.landmark_covariance_scale * 0.001**2)
    assert 0.02 < told_m < 0.1
