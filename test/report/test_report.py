"""Pages of reports: they show what they were given, where it is, and need nothing from outside."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from glace_ros.recording.recording_time import clock
from glace_ros.report.charts import (
    Run,
    error_over_time,
    recall_curve,
    training_curve,
    turnable_points,
)
from glace_ros.report.colours import ERROR_SCALE, error_rgb
from glace_ros.report.coverage import Views, WeakRegion
from glace_ros.report.page import (
    Metric,
    Page,
    Verdict,
    chart,
    listed,
    metric_table,
    page_html,
    picture_grid,
    section,
    table,
)
from glace_ros.report.pictures import Picture, marked
from glace_ros.report.plan import plan_of_map, plan_of_run
from glace_ros.report.point_cloud import PointCloud
from glace_ros.report.words import place, times, why_weak


def example_run(frames: int = 20) -> Run:
    """Errors of 1 to 19 cm, at half a second each, and a first frame without a pose."""
    truth_f3 = np.cumsum(np.random.default_rng(0).normal(0, 0.2, (frames, 3)), axis=0)
    error_m_f = np.arange(frames) * 0.01
    estimate_f3 = truth_f3 + error_m_f[:, None] * [1.0, 0.0, 0.0]
    error_deg_f = np.linspace(0, 2, frames)
    for values in (error_m_f, error_deg_f, estimate_f3):
        values[0] = np.nan
    return Run(np.arange(frames) * 0.5, truth_f3, estimate_f3, error_m_f, error_deg_f)


REGION = WeakRegion(
    "A", (1.0, 2.0, 0.0), 0.5, [(62.0, 63.0), (70.0, 70.0), (90.0, 95.0)], 3, 4, 1.5, 7, 90.0
)


class Tags(HTMLParser):
    """Start tags with their attributes, and the headings' text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self._open = ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open = tag

    def handle_data(self, data):
        if self._open in ("h1", "h2"):
            self.headings.append(data)
        self._open = ""


@pytest.fixture(scope="module")
def page() -> str:
    run = example_run()
    marks = Picture(np.full((40, 60, 3), 128, np.uint8), "one <image>", np.array([[10.0, 5.0]]),
                    np.array([1.0]))  # fmt: skip
    metrics = [
        Metric("share", "95 %", "at least 90 %", True),
        Metric("median", "9 cm", "at most 5 cm", False),
    ]
    sections = [
        section("Figures", metric_table(metrics), "what & why"),
        section("Plan", chart(plan_of_run(run, np.empty((0, 2)), np.empty((0, 4))), 300)),
        section("Pictures", picture_grid([marks])),
        section("Words", table(["a", "b"], [["<1>", "2"]]) + listed(["x < y"])),
    ]
    verdict = Verdict("partly", "Usable", "19 of 20 images got a pose & more.")
    return page_html(Page("A <title> & more", verdict, sections, "below it"))


@pytest.fixture(scope="module")
def tags(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    return parser


def test_the_page_asks_for_nothing_outside_itself(page, tags):
    for tag, attributes in tags.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, value)
        assert "url(" not in (attributes.get("style") or "")
    assert "@import" not in page.split("</style>")[0]
    scripts = [attributes for tag, attributes in tags.tags if tag == "script"]
    assert scripts
    assert all("src" not in attributes for attributes in scripts)


def test_what_is_given_is_there_and_escaped(page, tags):
    assert tags.headings == ["A <title> & more", "Figures", "Plan", "Pictures", "Words"]
    assert page.count("Plotly.newPlot(") >= 1
    for text in ("19 of 20 images got a pose &amp; more.", "what &amp; why", "below it",
                 '<td data-name="a">&lt;1&gt;</td>', "x &lt; y", "one &lt;image&gt;"):  # fmt: skip
        assert text in page
    assert "<title>A &lt;title&gt; &amp; more</title>" in page
    assert '<p class="verdict partly"><span class="sign">!</span>' in page


def test_what_was_wanted_and_missed_looks_so(page):
    assert '<td class="pass">✓ at least 90 %</td>' in page
    assert '<td class="fail">✗ at most 5 cm</td>' in page


def test_the_plan_of_a_run_has_every_estimate_at_its_place_and_the_missing_one_marked():
    run = example_run()
    figure = plan_of_run(run, run.truth_f3[:, :2] + 1.0, np.array([[0.0, 0.0, 1.0, 2.0]]))
    traces = {trace.name: trace for trace in figure.data}
    estimates = traces["published pose"]
    assert np.array_equal(estimates.x, run.estimate_f3[1:, 0])
    assert np.array_equal(estimates.y, run.estimate_f3[1:, 1])
    assert estimates.marker.color[4] == pytest.approx(np.log10(5.0))  # cm
    assert np.array_equal(traces["no pose"].x, run.truth_f3[:1, 0])
    assert figure.layout.shapes[0].y1 == 2.0


def test_the_plan_of_a_map_shows_views_their_headings_errors_and_weak_regions():
    run = example_run()
    mapping = Views(np.zeros(2), np.array([[0.0, 0, 0], [3, 0, 0]]), np.array([[0.0, 1, 0]] * 2))
    figure = plan_of_map(run, mapping, 1.0, [REGION])
    views, sectors = (trace for trace in figure.data if trace.type == "heatmap")
    assert np.nanmax(views.z) == np.nanmax(sectors.z) == 1.0  # 3 m apart: never both
    (headings,) = (trace for trace in figure.data if trace.name == "mapping")
    assert list(headings.x[:2]) == [0.0, 0.0]  # from the camera along y
    assert headings.y[1] > headings.y[0]
    (held_out,) = (trace for trace in figure.data if trace.name == "held out")
    assert np.array_equal(held_out.x, run.truth_f3[1:, 0])  # where they were taken
    (ring,) = figure.layout.shapes
    assert (ring.x0, ring.x1, ring.y0, ring.y1) == (0.5, 1.5, 1.5, 2.5)
    assert "A" in figure.layout.annotations[0].text


def test_the_plan_of_several_drives_tells_them_apart():
    """In colours that no error has."""
    mapping = Views(np.zeros(3), np.eye(3), np.array([[0.0, 1, 0]] * 3))
    first_n = np.array([True, False, True])
    drives = [("monday", mapping.at(first_n)), ("tuesday", mapping.at(~first_n))]
    figure = plan_of_map(example_run(), mapping, 1.0, [], drives)
    named = {trace.name: trace for trace in figure.data if trace.name}
    traces = {name: trace for name, trace in named.items() if name.startswith("mapping")}
    assert set(traces) == {"mapping, monday", "mapping, tuesday"}
    assert [len(trace.x) for trace in traces.values()] == [6, 3]  # start, end, gap of each
    colours = {trace.line.color for trace in traces.values()}
    assert len(colours) == 2
    assert not colours & {colour for _, colour in ERROR_SCALE}
    assert plan_of_map(example_run(), mapping, 1.0, []).data[2].name == "mapping"


def test_the_curve_counts_a_frame_without_a_pose_as_never_exact():
    curve = recall_curve(example_run().error_cm_f, "cm").data[0]
    assert max(curve.y) == pytest.approx(95.0)  # 19 of 20
    at_5_cm = np.asarray(curve.y)[np.asarray(curve.x) <= 5.0 + 1e-9].max()
    assert at_5_cm == pytest.approx(25.0)  # 1, 2, 3, 4, 5 cm: 5 of 20
    assert max(recall_curve(np.full(3, np.nan), "deg").data[0].y) == 0.0


def test_errors_over_time_are_at_their_minute_and_second():
    run = example_run()
    figure = error_over_time(run, np.array([61.0]), np.array([0.03]), [REGION])
    traces = {trace.name: trace for trace in figure.data}
    poses = traces["pose of one image"]
    assert poses.x[0] == np.datetime64("1970-01-01T00:00:00.500")
    assert poses.y[0] == pytest.approx(1.0)
    assert len(traces["no pose"].x) == 1
    between = traces["map → odom → base, all the time"]
    assert between.x[0] == np.datetime64("1970-01-01T00:01:01")
    assert len(figure.layout.shapes) == len(REGION.spans_s)


def test_the_training_curve_has_the_values_and_their_median():
    loss_n = np.where(np.arange(100) == 50, 1000.0, 10.0)
    figure = training_curve(np.arange(100) * 20, loss_n, np.linspace(0, 0.5, 100))
    told, smooth, shares, _ = figure.data
    assert max(told.y) == 1000.0
    assert max(smooth.y) == 10.0  # one outlier is none of the curve
    assert max(shares.y) == pytest.approx(50.0)  # %


def test_points_above_the_way_are_a_trace_of_their_own_and_hidden():
    cloud = PointCloud(np.array([[0.0, 0, 0], [1, 1, 3]]), np.array([[255, 0, 0], [0, 0, 255]]))
    points, ceiling, way = turnable_points(cloud, np.array([[0.0, 0, 1], [1, 0, 1]]), "way").data
    assert (points.z[0], list(points.marker.color)) == (0.0, ["#ff0000"])
    assert (ceiling.z[0], ceiling.visible) == (3.0, "legendonly")
    assert list(way.x) == [0.0, 1.0]


def test_marks_are_drawn_where_they_are(page):
    source = re.search(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert source is not None
    image = cv2.imdecode(np.frombuffer(base64.b64decode(source[1]), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[:2] == (480, 720)
    changed_hw = np.abs(image.astype(int) - 128).max(axis=2)
    weight_hw = np.where(changed_hw > 25, changed_hw, 0)  # JPEG's own ripples are smaller
    rows, columns = np.indices(weight_hw.shape)
    centre = [np.average(index, weights=weight_hw) for index in (rows, columns)]
    # pixel centres: u = 10 of 60 px is 10.5 * 12 - 0.5 of 720
    assert centre == pytest.approx([65.5, 125.5], abs=0.7)


def test_a_mark_has_the_colour_of_its_error():
    grey = np.full((40, 60, 3), 128, np.uint8)
    for error_px, rgb in ((0.0, (0, 114, 178)), (np.inf, (176, 58, 0))):
        image = marked(Picture(grey, "", np.array([[30.0, 20.0]]), np.array([error_px])))
        row = image[round(20.5 * 12 - 0.5), 340:395].astype(int)
        assert np.abs(row - rgb).sum(axis=1).min() < 40
    assert error_rgb(1.0, 1.0, 20.0) != error_rgb(5.0, 1.0, 20.0) != error_rgb(20.0, 1.0, 20.0)


def test_times_and_places_in_words():
    assert [clock(seconds) for seconds in (0, 59.6, 187, 3600)] == ["0:00", "1:00", "3:07", "60:00"]
    assert times(REGION.spans_s, 1) == "1:02–1:03 and 2 more times"
    assert times(REGION.spans_s, 3) == "1:02–1:03, 1:10–1:11, 1:30–1:35"
    assert place(REGION) == "A (x 1.0, y 2.0; 1:02–1:03 and 2 more times)"
    assert why_weak(REGION) == (
        "3 of 4 held-out images missed, 7 mapping views nearby look that way; "
        "few mapping views for 2 s of the way"
    )
