"""The report page: it holds its parts, shows what it was given, and needs nothing from outside."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from glace_ros import report as pages
from glace_ros.report import Figure, Picture, Report


def example(frames: int = 20) -> Report:
    """Errors of 1 to 19 cm and one frame without a pose; the picture has a mark at (10, 5)."""
    rng = np.random.default_rng(0)
    truth_f3 = np.cumsum(rng.normal(0, 0.2, (frames, 3)), axis=0)
    error_m_f = np.arange(frames) * 0.01
    estimate_f3 = truth_f3 + error_m_f[:, None] * [1.0, 0.0, 0.0]
    error_deg_f = np.linspace(0, 2, frames)
    for values in (error_m_f, error_deg_f, estimate_f3):
        values[0] = np.nan
    picture = np.full((40, 60, 3), 128, np.uint8)
    marks = np.array([[10.0, 5.0]])
    return Report(
        title="A <title> & more",
        passed=True,
        verdict="19 of 20 images got a pose.",
        figures=[
            Figure("share", "95 %", "at least 90 %", True),
            Figure("median", "9 cm", "at most 5 cm", False),
        ],
        time_s_f=np.arange(frames) * 0.5,
        truth_f3=truth_f3,
        estimate_f3=estimate_f3,
        error_m_f=error_m_f,
        error_deg_f=error_deg_f,
        between_time_s_n=np.arange(5.0),
        between_error_m_n=np.full(5, 0.03),
        mapping_xy_n2=truth_f3[:, :2] + 1.0,
        obstacles_m=np.array([[0.0, 0.0, 1.0, 2.0]]),
        points_p3=rng.uniform(0, 3, (50, 3)),
        colours_p3=rng.integers(0, 255, (50, 3)).astype(np.uint8),
        pictures=[Picture(picture, "the median image", marks, np.array([1.0]))],
        left_out=[("blurred", 16)],
        timings=[("training", 240.0)],
        notes=["simulated"],
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
    return pages.page(example())


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


def test_all_parts_are_there(page, tags):
    assert tags.headings == [
        "A <title> & more", "Figures", "Seen from above", "How many images are how exact",
        "Error along the drive", "The map", "Pictures", "Left out, and why", "Time it took",
        "Notes",
    ]  # fmt: skip
    assert page.count("Plotly.newPlot(") >= 4
    for text in ("19 of 20 images got a pose.", "at most 5 cm", "blurred", "240.0 s", "simulated"):
        assert text in page
    assert "<title>A &lt;title&gt; &amp; more</title>" in page


def test_what_was_wanted_and_missed_looks_so(page):
    assert '<td class="pass">✓ at least 90 %</td>' in page
    assert '<td class="fail">✗ at most 5 cm</td>' in page
    assert '<p class="verdict pass"><b>Passed.' in page
    failed = pages.page(replace(example(), passed=False))
    assert '<p class="verdict fail"><b>Not reached.' in failed


def test_the_plan_has_every_estimate_at_its_place_and_the_missing_one_marked():
    report = example()
    traces = {trace.name: trace for trace in pages.plan_view(report).data}
    estimates = traces["published pose"]
    assert np.array_equal(estimates.x, report.estimate_f3[1:, 0])
    assert np.array_equal(estimates.y, report.estimate_f3[1:, 1])
    assert estimates.marker.color[4] == pytest.approx(5.0)  # cm
    assert np.array_equal(traces["no pose"].x, report.truth_f3[:1, 0])


def test_the_curve_counts_a_frame_without_a_pose_as_never_exact():
    curve = pages.error_curve(example()).data[0]
    assert max(curve.y) == pytest.approx(95.0)  # 19 of 20
    at_5_cm = np.asarray(curve.y)[np.asarray(curve.x) <= 5.0 + 1e-9].max()
    assert at_5_cm == pytest.approx(25.0)  # 1, 2, 3, 4, 5 cm: 5 of 20


def test_marks_are_drawn_where_they_are(page):
    source = re.search(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert source is not None
    image = cv2.imdecode(np.frombuffer(base64.b64decode(source[1]), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[:2] == (80, 120)
    changed_hw = np.abs(image.astype(int) - 128).max(axis=2)
    weight_hw = np.where(changed_hw > 15, changed_hw, 0)  # JPEG's own ripples are smaller
    rows, columns = np.indices(weight_hw.shape)
    centre = [np.average(index, weights=weight_hw) for index in (rows, columns)]
    # pixel centres: u = 10 of the image is 2 * 10 + 0.5 of the one twice as large
    assert centre == pytest.approx([10.5, 20.5], abs=0.6)


def test_a_report_without_any_pose_or_extras_is_still_a_page():
    nothing = np.full(3, np.nan)
    report = Report(
        "none", False, "no image got a pose.", [Figure("share", "0 %")], np.arange(3.0),
        np.zeros((3, 3)), np.stack([nothing] * 3), nothing, nothing,
    )  # fmt: skip
    text = pages.page(report)
    assert "Nothing was left out." in text
    assert "The map</h2>" not in text
