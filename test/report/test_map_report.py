"""A map's report says what is true of a drive whose errors are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.report_examples import MISSED_S, RADIUS_M, START_NS, example_report, pose_at

from glace_ros.errors import GlaceError
from glace_ros.geometry.pose import Pose
from glace_ros.recording.posed_images import PosedImage
from glace_ros.report.build_record import MAPPING_IMAGES, BuildRecord
from glace_ros.report.map_page import map_page
from glace_ros.report.map_report_files import report_paths, write_map_report
from glace_ros.report.map_verdict import verdict
from glace_ros.report.page import page_html


@pytest.fixture(scope="module")
def report():
    return example_report()


def test_where_images_were_missed_more_is_to_be_recorded_there_and_nowhere_else(report):
    assert report.verdict == "usable, record more"
    (region,) = report.regions
    middle_3 = pose_at(sum(MISSED_S) / 2).translation_3
    assert region.centre_3 == pytest.approx(middle_3, abs=0.1)
    assert region.missed == 20
    assert region.spans_s == [pytest.approx((20.0, 21.9))]
    away = math.degrees(math.atan2(middle_3[1], middle_3[0]))
    assert abs((region.heading_deg - away + 180) % 360 - 180) < 1.0
    words = verdict(report)
    assert words.level == "partly"
    assert "A (x -2.0, y -0.3; 0:20–0:22)" in words.sentence
    assert "88% of the 160 held-out images come within 50 cm / 5°" in words.sentence


def test_a_good_map_is_usable_and_nothing_is_asked_for():
    report = example_report(missed_s=(0.0, 0.0))
    assert (report.verdict, verdict(report).level) == ("usable", "good")
    assert report.regions == []
    assert "Record more" not in verdict(report).sentence


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "poses jump once by 2.50 m and 40° at 1:05, as no robot"),
        ([{"kind": "jump", "time_s": 3.0, "distance_m": 0.3, "angle_deg": 4.0}],
         "poses jump 2 times, most by 2.50 m and 40° at 1:05, as no robot"),
        ([{"kind": "alternating", "time_s": 3.0, "distance_m": 3.1, "angle_deg": 4.0}],
         "poses alternate between two tracks up to 3.10 m and 4° apart from 0:03 on, as no robot"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("missed_s", [MISSED_S, (0.0, 0.0)])
def test_where_poses_jump_the_map_is_bent_however_well_held_out_images_fit(missed_s, more, words):
    report = example_report(missed_s)
    jump = {"kind": "jump", "time_s": 65.0, "distance_m": 2.5, "angle_deg": 40.0}
    report.metrics["pose_jumps"] = [*more, jump]
    assert report.verdict == "bent, the poses jump"
    said = verdict(report)
    assert (said.level, said.word) == ("bad", "Bent: the poses jump")
    assert words in said.sentence
    assert "jump as the map's do, so that this says little." in said.sentence
    assert ("Record more at A" in said.sentence) == (missed_s == MISSED_S)


def test_where_refinement_placed_what_lies_between_jumps_the_held_out_images_count_again():
    jump = {"kind": "jump", "time_s": 65.0, "distance_m": 2.5, "angle_deg": 40.0}
    for refined, word in ((True, "usable"), (False, "bent, the poses jump")):
        report = example_report((0.0, 0.0), refinement={"refined": refined, "why": "no gtsam"})
        report.metrics["pose_jumps"] = [jump]
        assert report.verdict == word
        assert ("jump" in verdict(report).sentence) == (not refined)


def test_where_poses_do_not_fit_the_images_the_map_is_bent_however_well_held_out_images_fit():
    def told(fits: bool) -> dict[str, Any]:
        sentences = ["poses refined"] if fits else ["poses refined", "the poses drift: 3 of 40"]
        return {"refined": True, "sentences": sentences, "consistency": {"fits": fits}}

    report = example_report((0.0, 0.0), refinement=told(False))
    assert report.verdict == "bent, the poses do not fit the images"
    said = verdict(report)
    assert (said.level, said.word) == ("bad", "Bent: the poses do not fit the images")
    assert said.sentence.startswith("The poses drift: 3 of 40. 100% of the 160 held-out images")
    assert example_report((0.0, 0.0), refinement=told(True)).verdict == "usable"
    bad = verdict(example_report(error_m=0.8, refinement=told(False))).sentence
    assert bad.endswith("must. The poses drift: 3 of 40.")  # no more minutes would help


def test_a_bad_map_is_not_usable():
    report = example_report(error_m=0.8)
    assert (report.verdict, verdict(report).level) == ("unusable", "bad")
    assert "Only 0%" in verdict(report).sentence


def test_without_held_out_images_nobody_judges():
    report = example_report(held_out=False)
    assert report.verdict == "not judged"
    assert "--holdout 0" in verdict(report).sentence
    assert not any("how exact" in section for section in map_page("m.glace", report).sections)
    json.dumps(report.as_json(), allow_nan=False)


def test_the_json_has_the_figures_of_every_held_out_image(report):
    metrics = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert metrics["figures"]["frames"] == len(metrics["held_out"]) == 160
    first, *_ = metrics["held_out"]
    assert (first["time_s"], first["stamp_ns"]) == (0.0, START_NS)
    assert first["camera_m"] == pytest.approx([RADIUS_M, 0.0, 1.0])
    assert first["error_m"] == pytest.approx(0.03)
    without = [frame for frame in metrics["held_out"] if frame["error_m"] is None]
    assert len(without) == 20
    assert all(MISSED_S[0] <= frame["time_s"] < MISSED_S[1] for frame in without)
    assert metrics["record_more"][0]["name"] == "A"
    assert metrics["training"][-1]["step"] == 580


def test_the_cloud_has_the_points_that_were_seen_in_their_pixels_colours(report):
    cloud = report.cloud
    assert len(cloud) > 5000
    assert np.abs(cloud.points_p3[:, :2]).max() <= 5.0
    # the picture's red rises from left to right, its green is the same everywhere
    assert set(cloud.colours_p3[:, 1].tolist()) == {90}
    assert cloud.colours_p3[:, 0].min() < 60 < 200 < cloud.colours_p3[:, 0].max()


def test_points_that_the_recorded_pose_contradicts_are_left_out():
    record = example_report(error_m=0.03).record
    view, image = record.held_out[0], record.worst[0].image
    assert record.clouds
    elsewhere = BuildRecord()
    moved = PosedImage(image.stamp_ns, image.image_rgb_hwc, image.camera, pose_at(33.0))
    elsewhere.add_held_out(moved, record.worst[0].result)
    assert view.estimate is not None
    assert elsewhere.clouds == []


def test_the_page_has_all_parts(report):
    page = page_html(map_page("office.glace", report))
    for title in ("Figures", "Record more here", "Seen from above", "Error along the way",
                  "How many held-out images are how exact", "Training", "The map&#39;s points",
                  "The worst held-out images", "Left out, and why", "Time it took",
                  "What it is made from"):  # fmt: skip
        assert f"<h2>{title}</h2>" in page
    for text in ("Map office.glace", "3.0 cm", "1.23 MB", "image: blurred", "a note", "office",
                 "n inliers of n points, fewer than n", "off by 3.0 cm"):  # fmt: skip
        assert text in page
    assert page.count("<figure>") == 6  # four of the worst, and two of the stretch without a pose


def test_the_worst_images_are_a_second_apart_and_the_worst_ones(report):
    record = BuildRecord()
    example = report.record.worst[0]
    for tenth, error_m in enumerate([0.1, 0.5, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1] * 3):
        image = PosedImage(tenth * 10**8, example.image.image_rgb_hwc, example.image.camera,
                           example.image.map_from_camera)  # fmt: skip
        result = example.result
        truth = example.image.map_from_camera
        pose = Pose(truth.rotation_33, truth.translation_3 + [error_m, 0, 0])
        record.add_held_out(image, replace(result, map_from_camera=pose))
    stamps = [shown.image.stamp_ns // 10**8 for shown in record.worst]
    assert sorted(stamps) == [1, 11, 21]
    assert [shown.error_m for shown in record.worst] == pytest.approx([0.5] * 3)


def test_mapping_images_are_kept_evenly_and_few_however_many_there_are():
    record = BuildRecord()
    picture = np.zeros((2, 2, 3), np.uint8)
    images = [PosedImage(index, picture, None, None) for index in range(1000)]
    assert [image.stamp_ns for image in record.watch(iter(images))] == list(range(1000))
    stamps = [image.stamp_ns for image in record.mapping_images]
    assert MAPPING_IMAGES <= len(stamps) < 2 * MAPPING_IMAGES
    assert set(np.diff(stamps)) == {64}
    assert stamps[0] == 0


def test_a_report_that_cannot_be_written_is_one_sentence(report, tmp_path):
    output = tmp_path / "office.glace"
    report_paths(output).ply.mkdir()
    with pytest.raises(GlaceError, match="is done, but its report .*office.report.html cannot be"):
        write_map_report(output, report)
