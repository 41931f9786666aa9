"""A page: its verdict on top, then sections; style, charts and pictures are inside the file.

What ran, and where, is not known here. The page asks the network for nothing. The HTML is in
parts.html; `Markup` is HTML that is made already, any other string is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from glace_ros.atomic_write import write_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.report.pictures import Picture

_HERE = Path(__file__).parent
_SIGNS = {"good": "✓", "partly": "!", "bad": "✗"}


@dataclass(frozen=True)
class Metric:
    """A row of a table.

    wanted: what was asked for, in words.
    met: whether it was reached; None where nothing was asked for.
    """

    name: str
    value: str
    wanted: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Verdict:
    """The result: a word or two, and what it means in a sentence or two."""

    level: Literal["good", "partly", "bad"]
    word: str
    sentence: str


@dataclass(frozen=True)
class Page:
    """What `page_html` makes a page of.

    sections: made by `section`.
    subtitle: a line below the title.
    """

    title: str
    verdict: Verdict
    sections: Sequence[Markup]
    subtitle: str = ""


def write_page(path: Path, page: Page) -> None:
    """Writes the page."""
    write_output(path, page_html(page))


def page_html(page: Page) -> str:
    """The whole page."""
    style, fit = (
        Markup((_HERE / name).read_text(encoding="utf-8")) for name in ("page.css", "fit.js")
    )
    made = _part(
        "page", page.title, page.subtitle, page.verdict, _SIGNS[page.verdict.level], page.sections,
        style, Markup(get_plotlyjs()), fit,
    )  # fmt: skip
    return str(made)


def section(title: str, body: Markup, caption: str = "") -> Markup:
    """A card with a heading."""
    return _part("section", title, body, caption)


def chart(
    figure: go.Figure,
    height_px: int,
    top_px: int = 34,
    bottom_px: int = 50,
    most_slender: float = 1.6,
) -> Markup:
    """The chart, which draws itself once the page is there.

    top_px, bottom_px: for the legend, and for the axis with its title and what is below.
    most_slender: height over width on phones, where it is less high than height_px.
    """
    figure.update_layout(
        template="plotly_white", height=height_px,
        margin={"l": 56, "r": 14, "t": top_px, "b": bottom_px},
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 1.0, "yanchor": "top"},
        font={"family": "system-ui, sans-serif", "size": 13},
    )  # fmt: skip
    # no bar of buttons: it covers the legend, and one of them would send the data elsewhere
    config = {"displayModeBar": False}
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config=config)
    return _part("chart", Markup(drawn), height_px, most_slender)


def side_by_side(*parts: Markup) -> Markup:
    """Parts in a row, or below each other where the window is narrow."""
    return _part("side_by_side", parts)


def paragraph(sentence: str) -> Markup:
    """A sentence by itself."""
    return _part("paragraph", sentence)


def tiles(metrics: Sequence[Metric]) -> Markup:
    """The metrics that matter most, large."""
    return _part("tiles", metrics)


def metric_table(metrics: Sequence[Metric]) -> Markup:
    """Names and values, and what was wanted where anything was."""
    return _part("metric_table", metrics, any(metric.wanted for metric in metrics))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table of words, whose rows are as long as its head."""
    return _part("table", head, rows)


def listed(sentences: Sequence[str]) -> Markup:
    """Sentences as a list."""
    return _part("listed", sentences)


def picture_grid(pictures: Sequence[Picture]) -> Markup:
    """The pictures beside and below each other."""
    return _part("picture_grid", pictures)


@cache
def _parts() -> object:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("parts.html").module


def _part(name: str, *arguments: object) -> Markup:
    made: Markup = getattr(_parts(), name)(*arguments)
    return made
