"""The map's report in a real Chromium: it draws, fits, can be turned, and asks for nothing."""

from __future__ import annotations

import pytest
from support.browser import open_browser, why_no_browser
from support.report_examples import example_report
from support.waiting import wait_until

from glace_ros.report.map_page import map_page
from glace_ros.report.page import write_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser()),
]
CHARTS = 6
DRAWN = """
const plots = [...document.querySelectorAll(".js-plotly-plot")];
return plots.length > 0 && plots.every((plot) => plot.querySelector("svg.main-svg"));
"""
FITS = """
const tooWide = [...document.querySelectorAll("body *")].filter((element) =>
  !element.closest(".table") && !element.closest(".js-plotly-plot")
  && element.getBoundingClientRect().right > innerWidth + 1);
const wrong = [...document.querySelectorAll(".chart")].filter((chart) =>
  ["clientWidth", "clientHeight"].some((size) =>
    Math.abs(chart[size] - chart.querySelector("svg.main-svg")[size]) > 1));
return tooWide.length == 0 && wrong.length == 0
  && document.documentElement.scrollWidth <= innerWidth;
"""
CLOUD = '[...document.querySelectorAll(".js-plotly-plot")].find((p) => p._fullLayout.scene)'


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "office.report.html"
    write_page(path, map_page("office.glace", example_report()))
    return path


@pytest.fixture
def opened(browser, page):
    """The page in a wide window, drawn."""
    browser.errors()
    browser.asked_for()
    browser.open(page, 1280)
    browser.wait_for(DRAWN)
    return browser


def test_every_chart_is_drawn_without_an_error_and_without_the_network(opened, page):
    assert opened.evaluate('return document.querySelectorAll(".js-plotly-plot").length') == CHARTS
    points = opened.evaluate('return document.querySelectorAll(".scatterlayer .point").length')
    assert points >= 2 * 140  # the held-out images with a pose, in the plan and along the drive
    images = opened.evaluate("return [...document.images].every((image) => image.naturalWidth > 0)")
    assert images
    assert opened.errors() == []
    asked = [url for url in opened.asked_for() if not url.startswith(("data:", "blob:"))]
    assert asked == [page.as_uri()]


def test_the_cloud_can_be_turned_with_the_mouse(opened):
    opened.wait_for(f"return {CLOUD}.querySelector('canvas') !== null")
    assert "WebGL" not in opened.evaluate("return document.body.innerText")
    box = opened.evaluate(
        f"const plot = {CLOUD}; plot.scrollIntoView({{block: 'center'}});"
        "const box = plot.getBoundingClientRect();"
        "return [box.left + box.width / 2, box.top + box.height / 2];"
    )
    camera = f"return {CLOUD}._fullLayout.scene._scene.getCamera().eye"
    before = opened.evaluate(camera)
    opened.drag(*box, 150, 40)
    after = opened.evaluate(camera)
    assert sum(abs(before[axis] - after[axis]) for axis in "xyz") > 0.1


def test_a_click_shows_from_how_many_directions_a_place_was_seen(opened):
    plan = 'document.querySelector(".js-plotly-plot")'
    shown = f'return {plan}._fullData.filter((t) => t.type == "heatmap").map((t) => t.visible)'
    assert opened.evaluate(shown) == [True, False]
    box = opened.evaluate(
        f'const button = {plan}.querySelectorAll(".updatemenu-button")[1];'
        "button.scrollIntoView({block: 'center'}); const box = button.getBoundingClientRect();"
        "return [box.left + box.width / 2, box.top + box.height / 2];"
    )
    opened.click(*box)
    opened.wait_for(shown.replace("return ", "return String(") + ') == "false,true"')


@pytest.mark.parametrize("width_px", [360, 768, 1280])
def test_the_page_fits_phones_and_desks(browser, page, width_px, tmp_path):
    browser.open(page, width_px)
    browser.wait_for(DRAWN)
    browser.wait_for(FITS)
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 50_000


def test_a_page_that_breaks_the_rules_is_found_out(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text('<img src="http://example.invalid/x.png"><script>throw Error("oh")</script>')
    browser.errors()
    browser.asked_for()
    browser.open(bad, 1280)
    # the browser's log may lag behind the page
    wait_until(lambda: any("oh" in error for error in browser.errors()))
    wait_until(lambda: "http://example.invalid/x.png" in browser.asked_for())
