"""One HTML page about a run: verdict, figures, plan, errors, map and pictures, all inside one file.

Takes plain data; what ran, and where, is not known here. The page asks the network for nothing.
"""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_GREY, _TRUTH, _MAPPING, _ACCENT = "#c9ced6", "#2f6f4f", "#9bb4d1", "#3b6fb6"
_COLOURS = [[0.0, "#2a9d5c"], [0.5, "#f2c14e"], [1.0, "#c8352b"]]
_TICKS_CM = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class Figure:
    """A row of the table. wanted: what was asked for; met: whether it was reached, if asked."""

    name: str
    value: str
    wanted: str = ""
    met: bool | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """An image uint8 (height, width, 3), RGB, with a caption and pixels (m, 2) to be marked in it.

    error_px_m: how far each mark is from where it ought to be; colours it.
    """

    image_rgb_hwc: NDArray[np.uint8]
    caption: str
    pixels_m2: Floats = field(default_factory=lambda: np.empty((0, 2)))
    error_px_m: Floats = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, eq=False)
class Report:
    """What the page shows. Frames (f of them) are those of one run, in order of time.

    passed: whether everything that was wanted is met; verdict: that in a sentence or two.
    time_s_f, truth_f3, estimate_f3, error_m_f, error_deg_f: x, y, z in the map; the estimate and
    the errors are NaN where there is none. between_*: the same between the frames, from TF.
    mapping_xy_n2: where the map was recorded. obstacles_m: rectangles (n, 4) x0, y0, x1, y1 of the
    plan. points_p3, colours_p3: points of the map and their colours (uint8).
    left_out: (what was left out and why, how many). timings: (what, seconds).
    """

    title: str
    passed: bool
    verdict: str
    figures: list[Figure]
    time_s_f: Floats
    truth_f3: Floats
    estimate_f3: Floats
    error_m_f: Floats
    error_deg_f: Floats
    between_time_s_n: Floats = field(default_factory=lambda: np.empty(0))
    between_error_m_n: Floats = field(default_factory=lambda: np.empty(0))
    mapping_xy_n2: Floats = field(default_factory=lambda: np.empty((0, 2)))
    obstacles_m: Floats = field(default_factory=lambda: np.empty((0, 4)))
    points_p3: Floats = field(default_factory=lambda: np.empty((0, 3)))
    colours_p3: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 3), np.uint8))
    pictures: list[Picture] = field(default_factory=list)
    left_out: list[tuple[str, int]] = field(default_factory=list)
    timings: list[tuple[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write_report(path: Path, report: Report) -> None:
    """Writes the page."""
    path.write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """The page's HTML."""
    mark = "pass" if report.passed else "fail"
    word = "Passed" if report.passed else "Not reached"
    sections = [
        f'<header><h1>{html.escape(report.title)}</h1><p class="verdict {mark}"><b>{word}.</b> '
        f"{html.escape(report.verdict)}</p></header>",
        _section("Figures", _figure_table(report.figures)),
        _section(
            "Seen from above",
            _chart(plan_view(report), 620),
            "Each dot is the pose published for one image; a line joins it to where the robot was.",
        ),
        _section("How many images are how exact", _chart(error_curve(report), 380)),
        _section("Error along the drive", _chart(error_over_time(report), 420)),
    ]
    if len(report.points_p3):
        caption = "Points that the network sees in the pictures, where it says they are. Turn it."
        sections.append(_section("The map", _chart(map_points(report), 640), caption))
    if report.pictures:
        marked = "".join(_picture(picture) for picture in report.pictures)
        caption = "Circles: patches that agree with the pose (green: within 1 px, red: 10 px)."
        sections.append(_section("Pictures", f'<div class="pictures">{marked}</div>', caption))
    rows = [Figure(what, str(count)) for what, count in report.left_out]
    nothing = "<p>Nothing was left out.</p>"
    sections.append(_section("Left out, and why", _figure_table(rows) if rows else nothing))
    if report.timings:
        rows = [Figure(what, f"{seconds:.1f} s") for what, seconds in report.timings]
        sections.append(_section("Time it took", _figure_table(rows)))
    if report.notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in report.notes)
        sections.append(_section("Notes", f"<ul>{items}</ul>"))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(report.title)}</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>{''.join(sections)}</body></html>\n"
    )


def plan_view(report: Report) -> go.Figure:
    """Truth and estimates from above, coloured by error; walls and furniture underneath."""
    figure = go.Figure()
    for x0, y0, x1, y1 in report.obstacles_m:
        figure.add_shape(
            type="rect", x0=x0, y0=y0, x1=x1, y1=y1, fillcolor=_GREY, line_width=0, layer="below"
        )
    if len(report.mapping_xy_n2):
        x, y = report.mapping_xy_n2.T
        figure.add_scatter(
            x=x, y=y, mode="lines", line={"color": _MAPPING, "width": 1, "dash": "dot"},
            name="mapping drive",
        )  # fmt: skip
    x, y = report.truth_f3[:, :2].T
    line = {"color": _TRUTH, "width": 1.5}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, name="truth")
    apart_f32 = np.stack([report.truth_f3[:, :2], report.estimate_f3[:, :2]], axis=1)
    apart_f32 = apart_f32[np.isfinite(report.error_m_f)]
    gaps = np.concatenate([apart_f32, np.full((len(apart_f32), 1, 2), np.nan)], axis=1)
    x, y = gaps.reshape(-1, 2).T
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": "#c8352b", "width": 1}, showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip
    _add_estimates(figure, report)
    missing_f = ~np.isfinite(report.error_m_f)
    if missing_f.any():
        x, y = report.truth_f3[missing_f, :2].T
        figure.add_scatter(
            x=x, y=y, mode="markers", name="no pose",
            marker={"symbol": "x", "size": 8, "color": "#222"},
        )  # fmt: skip
    figure.update_yaxes(scaleanchor="x", title="y [m]", zeroline=False)
    figure.update_xaxes(title="x [m]", zeroline=False)
    return figure


def _add_estimates(figure: go.Figure, report: Report) -> None:
    found_f = np.isfinite(report.error_m_f)
    x, y = report.estimate_f3[found_f, :2].T
    error_cm = 100.0 * report.error_m_f[found_f]
    texts = [
        f"{time_s:.1f} s: {cm:.1f} cm, {degrees:.2f}°"
        for time_s, cm, degrees in zip(
            report.time_s_f[found_f], error_cm, report.error_deg_f[found_f], strict=True
        )
    ]
    figure.add_scatter(
        x=x, y=y, mode="markers", name="published pose", text=texts, hoverinfo="text",
        marker={
            "color": np.minimum(error_cm, 10.0), "cmin": 0, "cmax": 10, "colorscale": _COLOURS,
            "size": 8, "line": {"width": 0.5, "color": "#333"},
            "colorbar": {"title": "error [cm]", "len": 0.7, "ticksuffix": ""},
        },
    )  # fmt: skip


def error_curve(report: Report) -> go.Figure:
    """The share of all frames whose error is at most so much; a frame without a pose never is."""
    figure = go.Figure()
    frames = max(1, len(report.error_m_f))
    for values, name, colour, axis in (
        (100.0 * report.error_m_f, "position [cm]", _ACCENT, "x"),
        (report.error_deg_f, "heading [deg]", "#b5651d", "x2"),
    ):
        found = np.sort(values[np.isfinite(values)])
        share = 100.0 * np.arange(1, len(found) + 1) / frames
        x, y = np.concatenate([[0.0], found]), np.concatenate([[0.0], share])
        figure.add_scatter(
            x=x, y=y, mode="lines", line={"color": colour, "shape": "hv", "width": 2}, name=name,
            xaxis=axis,
        )  # fmt: skip
    limit_cm = _upper(100.0 * report.error_m_f, 20.0)
    limit_deg = _upper(report.error_deg_f, 4.0)
    figure.update_layout(
        xaxis={"title": "position error [cm]", "domain": [0, 0.48], "range": [0, limit_cm]},
        xaxis2={"title": "angle [deg]", "domain": [0.52, 1], "range": [0, limit_deg]},
        yaxis={"title": "images at most that wrong [%]", "range": [0, 101]},
        showlegend=False,
    )
    return figure


def error_over_time(report: Report) -> go.Figure:
    """Position errors along the drive, of the fixes and of map->odom between them."""
    figure = go.Figure()
    if len(report.between_time_s_n):
        figure.add_scatter(
            x=report.between_time_s_n, y=100.0 * report.between_error_m_n, mode="lines",
            line={"color": _MAPPING, "width": 1.5}, name="map → odom → base, all the time",
        )  # fmt: skip
    found_f = np.isfinite(report.error_m_f)
    figure.add_scatter(
        x=report.time_s_f[found_f], y=100.0 * report.error_m_f[found_f], mode="markers",
        marker={"color": _ACCENT, "size": 6}, name="pose of one image",
    )  # fmt: skip
    if not found_f.all():
        figure.add_scatter(
            x=report.time_s_f[~found_f], y=np.full((~found_f).sum(), _TICKS_CM[0]),
            mode="markers", marker={"symbol": "x", "color": "#222", "size": 8}, name="no pose",
        )  # fmt: skip
    figure.update_xaxes(title="time [s]")
    figure.update_yaxes(
        title="position error [cm]",
        type="log",
        tickvals=_TICKS_CM,
        ticktext=list(map(str, _TICKS_CM)),
    )
    return figure


def map_points(report: Report) -> go.Figure:
    """The map's points in 3D, in the colours of the pictures, with the drive through them."""
    x, y, z = report.points_p3.T.astype(np.float32)
    colours = [f"rgb({r},{g},{b})" for r, g, b in report.colours_p3]
    figure = go.Figure(
        go.Scatter3d(
            x=x, y=y, z=z, mode="markers", name="points", hoverinfo="skip",
            marker={"size": 1.8, "color": colours, "opacity": 0.9},
        )
    )  # fmt: skip
    x, y, z = report.truth_f3.T
    line = {"color": _TRUTH, "width": 5}
    figure.add_scatter3d(x=x, y=y, z=z, mode="lines", line=line, name="robot")
    # looked at from a corner above: closer than plotly's own view
    camera = {"eye": {"x": -0.85, "y": -1.35, "z": 1.1}, "center": {"x": 0, "y": 0, "z": -0.2}}
    axes = {name: {"title": f"{name[0]} [m]"} for name in ("xaxis", "yaxis", "zaxis")}
    figure.update_layout(scene={"aspectmode": "data", "camera": camera, **axes}, showlegend=False)
    return figure


def _upper(values: Floats, least: float) -> float:
    """Where an axis ends: what 95 of 100 values stay below."""
    found = values[np.isfinite(values)]
    return float(max(least, np.percentile(found, 95))) if len(found) else least


def _chart(figure: go.Figure, height_px: int) -> str:
    figure.update_layout(
        template="plotly_white", height=height_px, margin={"l": 60, "r": 20, "t": 20, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        font={"family": "system-ui, sans-serif", "size": 13},
    )  # fmt: skip
    buttons = ["sendDataToCloud", "select2d", "lasso2d"]  # the first would leave the page
    config = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": buttons}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=config))


def _section(title: str, body: str, caption: str = "") -> str:
    note = f'<p class="caption">{html.escape(caption)}</p>' if caption else ""
    return f"<section><h2>{html.escape(title)}</h2>{note}{body}</section>"


def _figure_table(figures: list[Figure]) -> str:
    wanted = any(figure.wanted for figure in figures)
    rows = []
    for figure in figures:
        cells = f"<th>{html.escape(figure.name)}</th><td>{html.escape(figure.value)}</td>"
        if wanted:
            mark = "" if figure.met is None else ("pass" if figure.met else "fail")
            sign = {"pass": "✓ ", "fail": "✗ "}.get(mark, "")
            cells += f'<td class="{mark}">{sign}{html.escape(figure.wanted)}</td>'
        rows.append(f"<tr>{cells}</tr>")
    head = "<tr><th></th><th>reached</th><th>wanted</th></tr>" if wanted else ""
    return f"<table>{head}{''.join(rows)}</table>"


def _picture(picture: Picture) -> str:
    image = cv2.resize(picture.image_rgb_hwc, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    for (u, v), error_px in zip(picture.pixels_m2, picture.error_px_m, strict=True):
        share = float(np.clip(np.log10(max(error_px, 1.0)), 0.0, 1.0))
        colour = (int(40 + 190 * share), int(200 - 150 * share), 60)
        centre = (round(16 * (2 * float(u) + 0.5)), round(16 * (2 * float(v) + 0.5)))
        cv2.circle(image, centre, 16 * 4, colour, 1, cv2.LINE_AA, 4)
    _, data_n = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    source = base64.b64encode(data_n.tobytes()).decode()
    caption = html.escape(picture.caption)
    image_tag = f'<img src="data:image/jpeg;base64,{source}" alt="{caption}">'
    return f"<figure>{image_tag}<figcaption>{caption}</figcaption></figure>"


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2430; background: #f4f5f7; margin: 0 auto;
  max-width: 1160px; padding: 24px; }
header, section { background: #fff; border-radius: 10px; padding: 18px 26px; margin: 0 0 18px;
  box-shadow: 0 1px 3px rgba(20, 30, 50, .12); }
h1 { font-size: 26px; margin: 4px 0 8px; } h2 { font-size: 19px; margin: 2px 0 8px; }
.verdict { padding: 10px 16px; border-radius: 8px; margin: 8px 0; }
p.pass { background: #e3f4ea; } p.fail { background: #fbe6e4; }
td.pass { color: #1d7a45; } td.fail { color: #b3261e; font-weight: 600; }
.caption { color: #5b6675; margin: 0 0 8px; }
table { border-collapse: collapse; } tr + tr { border-top: 1px solid #e6e9ee; }
th { text-align: left; font-weight: 500; padding: 6px 28px 6px 0; vertical-align: top; }
td { padding: 6px 28px 6px 0; font-variant-numeric: tabular-nums; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 14px; }
figure { margin: 0; } img { width: 100%; border-radius: 6px; } figcaption { color: #5b6675; }
"""
