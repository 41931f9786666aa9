"""Seen from above: where cameras were, how many and looking where, and how wrong poses are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from glace_ros.recording.recording_time import clock
from glace_ros.report.colours import (
    COVERAGE_SCALE,
    DARK,
    DRIVES,
    ERROR_SCALE,
    GREY,
    LOOP,
    ORANGE,
    PURPLE,
    VERMILLION,
    WAY,
)
from glace_ros.report.coverage import SECTORS, coverage_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.report.charts import Run
    from glace_ros.report.coverage import CoverageGrid, Views, WeakRegion
    from glace_ros.report.refined_way import RefinedWay

    Floats = NDArray[np.float64]

_LEAST_CM, _MOST_CM = 1.0, 100.0
"""Ends of the colour scale of errors, which is logarithmic."""
_TICKS_CM = (1, 3, 10, 30, 100)
_ARROWS = 800
"""Headings drawn at most: more of them cover the plan."""
_LOOPS = 250
"""The same of loops."""
_RECORDED_LINE = {"color": WAY, "width": 1.3, "dash": "5px,3px"}


def plan_of_run(run: Run, mapping_xy_n2: Floats, obstacles_m: Floats) -> go.Figure:
    """Truth and published poses of a drive through a known building.

    run: in the map, metres.
    mapping_xy_n2: where the mapping drive led, (n, 2) metres in the map; may be empty.
    obstacles_m: rectangles (n, 4) x0, y0, x1, y1 in the map.
    """
    figure = go.Figure()
    for x0, y0, x1, y1 in obstacles_m:
        figure.add_shape(
            type="rect", x0=x0, y0=y0, x1=x1, y1=y1, fillcolor=GREY, line_width=0, layer="below"
        )
    if len(mapping_xy_n2):
        x, y = mapping_xy_n2.T
        line = {"color": ORANGE, "width": 1, "dash": "dot"}
        figure.add_scatter(x=x, y=y, mode="lines", line=line, name="mapping drive")
    x, y = run.truth_f3[:, :2].T
    line = {"color": DARK, "width": 1.2}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, name="truth")
    _add_poses(figure, run, run.estimate_f3, "published pose")
    return _in_metres(figure)


def plan_of_map(
    run: Run,
    mapping: Views,
    near_m: float,
    regions: Sequence[WeakRegion],
    drives: Sequence[tuple[str, Views]] = (),
    way: RefinedWay | None = None,
) -> go.Figure:
    """What the mapping cameras cover, the held-out images with their errors, the weak regions.

    run: the held-out images. They are shown where they were taken; a line leads to where the map
        says.
    mapping: views of the mapping cameras; may be empty.
    near_m: how near a mapping view covers a place.
    drives: name and mapping views of each drive, where there are several.
    way: as recorded and as refined, where poses were refined.
    """
    figure = go.Figure()
    if len(mapping.time_s_n):
        _add_coverage(figure, coverage_grid(mapping, near_m), near_m)
        if way:
            _add_way(figure, way)
        for number, (name, views) in enumerate(drives or [("", mapping)]):
            name = f"mapping, {name}" if name else "mapping"
            _add_headings(figure, views, 0.3 * near_m, name, DRIVES[number % len(DRIVES)])
    _add_poses(figure, run, run.truth_f3, "held out")
    for region in regions:
        _add_region(figure, region)
    return _in_metres(figure)


def _add_coverage(figure: go.Figure, grid: CoverageGrid, near_m: float) -> None:
    for values_rc, what, most, visible in (
        (grid.views_rc, f"mapping views within {near_m:.1f} m", None, True),
        (grid.sectors_rc, f"directions they look, of {SECTORS}", SECTORS, False),
    ):
        figure.add_heatmap(
            x=grid.x_c, y=grid.y_r, z=values_rc, zmin=0, zmax=most, colorscale=COVERAGE_SCALE,
            showscale=False, visible=visible, hovertemplate=f"%{{z:.0f}} {what}<extra></extra>",
        )  # fmt: skip
    buttons = [
        {"label": label, "method": "restyle", "args": [{"visible": visible}, [0, 1]]}
        for label, visible in (
            ("Views nearby", [True, False]),
            ("Directions", [False, True]),
            ("Neither", [False, False]),
        )
    ]
    figure.update_layout(
        updatemenus=[
            {
                "type": "buttons", "direction": "right", "buttons": buttons, "showactive": True,
                "x": 0.0, "xanchor": "left", "y": 1.0, "yanchor": "bottom",
                "pad": {"b": 4}, "font": {"size": 12}, "bgcolor": "#fff",
            }
        ]
    )  # fmt: skip


def _add_headings(
    figure: go.Figure, mapping: Views, length_m: float, name: str, colour: str
) -> None:
    """A short line from each mapping camera along its optical axis."""
    every = max(1, math.ceil(len(mapping.time_s_n) / _ARROWS))
    start_n2 = mapping.positions_n3[::every, :2]
    end_n2 = start_n2 + length_m * mapping.directions_n3[::every, :2]
    x, y = _segments(start_n2, end_n2)
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": colour, "width": 1}, name=name, hoverinfo="skip",
    )  # fmt: skip


def _add_way(figure: go.Figure, way: RefinedWay) -> None:
    """Both ways, over faint lines between the ends of loops."""
    loops_n2 = way.loops_n2[:: max(1, math.ceil(len(way.loops_n2) / _LOOPS))]
    loops_xy = _segments(*way.refined_v3[loops_n2.T, :2])
    for (x, y), line, name in (
        (loops_xy, {"color": LOOP, "width": 0.7}, "loops"),
        (_lines(way.recorded_v3, way.stretches_v), _RECORDED_LINE, "as recorded"),
        (_lines(way.refined_v3, way.stretches_v), {"color": DARK, "width": 1}, "refined"),
    ):
        figure.add_scatter(x=x, y=y, mode="lines", line=line, name=name, hoverinfo="skip")


def _add_poses(figure: go.Figure, run: Run, shown_f3: Floats, name: str) -> None:
    """Frames as dots in the colour of their error, at shown_f3; lines from truth to estimate."""
    found_f = run.found_f
    x, y = _segments(run.truth_f3[found_f, :2], run.estimate_f3[found_f, :2])
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": VERMILLION, "width": 1}, showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip
    x, y = shown_f3[found_f, :2].T
    texts = [
        f"{clock(time_s)}: {100 * error_m:.1f} cm, {error_deg:.2f}°"
        for time_s, error_m, error_deg in zip(
            run.time_s_f[found_f], run.error_m_f[found_f], run.error_deg_f[found_f], strict=True
        )
    ]
    figure.add_scatter(
        x=x, y=y, mode="markers", name=name, text=texts, hoverinfo="text",
        marker={
            "color": np.log10(np.clip(run.error_cm_f[found_f], _LEAST_CM, _MOST_CM)),
            "size": 9, "line": {"width": 0.7, "color": DARK}, "colorscale": ERROR_SCALE,
            "cmin": np.log10(_LEAST_CM), "cmax": np.log10(_MOST_CM), "colorbar": _ERROR_BAR,
        },
    )  # fmt: skip
    if not found_f.all():
        x, y = run.truth_f3[~found_f, :2].T
        figure.add_scatter(
            x=x, y=y, mode="markers", name="no pose", hoverinfo="text",
            text=[f"{clock(time_s)}: no pose" for time_s in run.time_s_f[~found_f]],
            marker={"symbol": "x", "size": 9, "color": DARK},
        )  # fmt: skip


_ERROR_BAR: dict[str, Any] = {
    "orientation": "h", "thickness": 12, "len": 0.8,
    "yref": "container", "y": 0.0, "yanchor": "bottom",
    "tickvals": [float(np.log10(tick)) for tick in _TICKS_CM],
    "ticktext": ["≤ 1 cm", *map(str, _TICKS_CM[1:-1]), "≥ 100 cm"],
}  # fmt: skip


def _add_region(figure: go.Figure, region: WeakRegion) -> None:
    x, y, _ = region.centre_3
    r = region.radius_m
    figure.add_shape(
        type="circle", x0=x - r, y0=y - r, x1=x + r, y1=y + r,
        line={"color": PURPLE, "width": 2, "dash": "dash"},
    )  # fmt: skip
    figure.add_annotation(
        x=x, y=y + r, text=f"<b>{region.name}</b>", showarrow=False, yanchor="bottom",
        font={"color": "#fff", "size": 13}, bgcolor=PURPLE, borderpad=3,
    )  # fmt: skip


def _segments(start_n2: Floats, end_n2: Floats) -> tuple[Floats, Floats]:
    """x and y of separate lines for one trace: a NaN ends each."""
    gap_n2 = np.full_like(start_n2, np.nan)
    x, y = np.stack([start_n2, end_n2, gap_n2], axis=1).reshape(-1, 2).T
    return x, y


def _lines(positions_v3: Floats, stretches_v: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """x and y of one line along each stretch for one trace: a NaN parts them."""
    ends = np.flatnonzero(np.diff(stretches_v)) + 1
    x, y = np.insert(positions_v3[:, :2], ends, np.nan, axis=0).T
    return x, y


def _in_metres(figure: go.Figure) -> go.Figure:
    figure.update_yaxes(scaleanchor="x", title="y [m]", zeroline=False, showgrid=False)
    figure.update_xaxes(title="x [m]", zeroline=False, showgrid=False)
    return figure
