"""The report's plan shows a drive as it was recorded and as it was refined."""

from __future__ import annotations

import numpy as np
import pytest
from support.report_examples import example_report

from glace_ros.geometry.pose import Pose
from glace_ros.report.charts import Run
from glace_ros.report.map_page import map_page
from glace_ros.report.page import page_html
from glace_ros.report.plan import plan_of_map
from glace_ros.report.refined_way import refined_way


def no_run() -> Run:
    """No held-out images."""
    none = np.empty(0)
    return Run(none, np.empty((0, 3)), np.empty((0, 3)), none, none)


@pytest.fixture
def way():
    """Three views along x whose odometry drifts in y; then, in a frame of its own, two views of a
    drive along y, whose odometry is 10 % too long.
    """
    refined = [Pose.from_planar(x, 0.0, 0.0) for x in (0.0, 1.0, 2.0)]
    recorded = [Pose.from_planar(x, 0.1 * x, 0.0) for x in (0.0, 1.0, 2.0)]
    quarter = np.pi / 2
    refined += [Pose.from_planar(2.0, y, quarter) for y in (0.0, 1.0)]
    recorded += [Pose.from_planar(50.0 + x, 7.0, 0.0) for x in (0.0, 1.1)]
    return refined_way(recorded, refined, [0, 0, 0, 1, 1], [(2, 3), (3, 2), (0, 4)])


def test_each_stretch_as_recorded_begins_where_it_was_placed(way):
    expected_v2 = [[0.0, 0.0], [1.0, 0.1], [2.0, 0.2], [2.0, 0.0], [2.0, 1.1]]
    assert way.recorded_v3[:, :2] == pytest.approx(np.array(expected_v2))
    assert way.loops_n2.tolist() == [[0, 4], [2, 3]]


def test_the_plan_draws_both_ways_and_the_loops_and_no_line_between_two_drives(way):
    figure = plan_of_map(no_run(), example_report().mapping_views, 1.0, [], (), way)
    drawn = {trace.name: trace for trace in figure.data if trace.type == "scatter"}
    gap = [np.nan]
    assert list(drawn["refined"].x) == pytest.approx([0, 1, 2, *gap, 2, 2], nan_ok=True)
    assert list(drawn["as recorded"].y) == pytest.approx([0, 0.1, 0.2, *gap, 0, 1.1], nan_ok=True)
    assert drawn["as recorded"].line.dash
    assert drawn["refined"].line.dash is None
    ends = [0, 2, *gap, 2, 2, *gap]
    assert list(drawn["loops"].x) == pytest.approx(ends, nan_ok=True)


def test_of_very_many_loops_some_are_drawn():
    poses = [Pose.from_planar(x, 0.0, 0.0) for x in range(3000)]
    way = refined_way(poses, poses, [0] * 3000, [(n, n + 1000) for n in range(2000)])
    figure = plan_of_map(no_run(), example_report().mapping_views, 1.0, [], (), way)
    (loops,) = (trace for trace in figure.data if trace.name == "loops")
    assert 150 <= len(loops.x) / 3 <= 250


def test_the_page_says_what_was_found_and_explains_the_lines(way):
    said = ["poses refined: 2 loops over 3 m", "odometry drifts by 10 cm a metre"]
    report = example_report(way=way, refinement={"refined": True, "sentences": said})
    page = page_html(map_page("m.glace", report))
    assert "<h2>What the images say of the poses</h2>" in page
    assert all(f"<li>{sentence}</li>" in page for sentence in said)
    assert "Dashed: the way as odometry recorded it" in page
    assert report.as_json()["figures"]["pose_refinement"]["sentences"] == said


def test_without_refinement_the_page_has_none_of_it():
    page = page_html(map_page("m.glace", example_report()))
    assert "What the images say of" not in page
    assert "Dashed" not in page
