"""A page: its verdict on top, then sections; style, charts and pictures are inside the file.

What ran, and where, is not known here. The page asks the network for nothing.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

if TYPE_CHECKING:
    from collections.abc import Sequence

# charts are drawn while the page is read, when nothing has its final width yet; phones are turned
_FIT = """
const fit = new ResizeObserver((entries) => entries.forEach(({target}) => {
  const width = target.clientWidth;
  const height = Math.min(target.dataset.height, Math.round(width * target.dataset.slender));
  const plot = target.querySelector(".js-plotly-plot");
  if (plot._fullLayout.width != width || plot._fullLayout.height != height)
    Plotly.relayout(plot, {width, height});
  plot.style.height = plot.parentElement.style.height = height + "px";
}));
document.querySelectorAll(".chart").forEach((chart) => fit.observe(chart));
"""
_SIGNS = {"good": "✓", "partly": "!", "bad": "✗"}


@dataclass(frozen=True)
class Metric:
    """A row of a table. wanted: what was asked for; met: whether it was reached, if asked."""

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
    """sections: HTML, made by `section`. subtitle: a line below the title."""

    title: str
    verdict: Verdict
    sections: Sequence[str]
    subtitle: str = ""


def write_page(path: Path, page: Page) -> None:
    """Writes the page."""
    path.write_text(page_html(page), encoding="utf-8")


def page_html(page: Page) -> str:
    """The whole page."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    title, verdict = html.escape(page.title), page.verdict
    subtitle = f'<p class="caption">{html.escape(page.subtitle)}</p>' if page.subtitle else ""
    header = (
        f'<header><h1>{title}</h1>{subtitle}<p class="verdict {verdict.level}">'
        f'<span class="sign">{_SIGNS[verdict.level]}</span><span><b>{html.escape(verdict.word)}.'
        f"</b> {html.escape(verdict.sentence)}</span></p></header>"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style><script>{get_plotlyjs()}</script></head>"
        f"<body>{header}{''.join(page.sections)}<script>{_FIT}</script></body></html>\n"
    )


def section(title: str, body: str, caption: str = "") -> str:
    """A card with a heading. body: HTML."""
    note = f'<p class="caption">{html.escape(caption)}</p>' if caption else ""
    return f"<section><h2>{html.escape(title)}</h2>{note}{body}</section>"


def chart(
    figure: go.Figure,
    height_px: int,
    top_px: int = 34,
    bottom_px: int = 50,
    most_slender: float = 1.6,
) -> str:
    """The chart as HTML that draws itself once the page is there.

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
    bounds = f'data-height="{height_px}" data-slender="{most_slender}"'
    return f'<div class="chart" {bounds}>{drawn}</div>'


def side_by_side(*parts: str) -> str:
    """HTML parts in a row, or below each other where the window is narrow."""
    return f'<div class="row">{"".join(parts)}</div>'


def tiles(metrics: Sequence[Metric]) -> str:
    """The figures that matter most, large."""
    cells = (
        f'<div class="tile"><b>{html.escape(figure.value)}</b>{html.escape(figure.name)}</div>'
        for figure in metrics
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def metric_table(metrics: Sequence[Metric]) -> str:
    """Names and values, and what was wanted where anything was."""
    wanted = any(figure.wanted for figure in metrics)
    rows = []
    for figure in metrics:
        cells = f"<th>{html.escape(figure.name)}</th><td>{html.escape(figure.value)}</td>"
        if wanted:
            mark = "" if figure.met is None else ("pass" if figure.met else "fail")
            sign = {"pass": "✓ ", "fail": "✗ "}.get(mark, "")
            cells += f'<td class="{mark}">{sign}{html.escape(figure.wanted)}</td>'
        rows.append(f"<tr>{cells}</tr>")
    head = "<tr><th></th><th>reached</th><th>wanted</th></tr>" if wanted else ""
    return f'<div class="table"><table>{head}{"".join(rows)}</table></div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of words; on a phone each row becomes lines with the head's names."""
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = ""
    for row in rows:
        named = zip(head, row, strict=True)
        line = (f'<td data-name="{html.escape(n)}">{html.escape(cell)}</td>' for n, cell in named)
        body += f"<tr>{''.join(line)}</tr>"
    return f'<div class="table"><table class="words"><tr>{cells}</tr>{body}</table></div>'


def listed(sentences: Sequence[str]) -> str:
    """Sentences as a list."""
    return f"<ul>{''.join(f'<li>{html.escape(sentence)}</li>' for sentence in sentences)}</ul>"
