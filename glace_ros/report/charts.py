"""Charts of one run of images: how exact, when, and what training did on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from glace_ros.report.colours import BLUE, DARK, ORANGE, PURPLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.report.coverage import WeakRegion
    from glace_ros.report.point_cloud import PointCloud

    Floats = NDArray[np.float64]

POINTS_SHOWN = 30_000
"""Of a cloud in 3D; it is thinned to these."""
_TICKS_CM = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_TICKS_LOSS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_TICKS_DEG = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 45, 90, 180)


@dataclass(frozen=True, eq=False)
class Run:
    """Frames (f of them) of one run in order of time.

    time_s_f: from the start of the recording.
    truth_f3: x, y, z in the map, metres.
    estimate_f3: likewise; NaN where there is none.
    error_m_f, error_deg_f: m and deg; NaN where there is no estimate.
    """

    time_s_f: Floats
    truth_f3: Floats
    estimate_f3: Floats
    error_m_f: Floats
    error_deg_f: Floats

    @property
    def found_f(self) -> NDArray[np.bool_]:
        """Which frames got a pose."""
        return np.isfinite(self.error_m_f)

    @property
    def error_cm_f(self) -> Floats:
        """Position errors as people say them."""
        return 100.0 * self.error_m_f


def recall_curve(errors_f: Floats, unit: str) -> go.Figure:
    """The ratio of all frames whose error (cm or deg) is at most so much.

    A frame without a pose never is.
    """
    found = np.sort(errors_f[np.isfinite(errors_f)])
    share = 100.0 * np.arange(1, len(found) + 1) / max(1, len(errors_f))
    ticks, least, most = (_TICKS_CM, 1.0, 100.0) if unit == "cm" else (_TICKS_DEG, 0.1, 10.0)
    low, high = _decades(found, least, most)
    end = [share[-1]] if len(share) else [0.0]
    x = np.concatenate([[low], np.maximum(found, low), [high]])
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=np.concatenate([[0.0], share, end]), mode="lines", name="images",
        line={"color": BLUE, "shape": "hv", "width": 2.5}, fill="tozeroy",
        fillcolor="rgba(0, 114, 178, 0.08)",
        hovertemplate=f"%{{y:.0f}} % within %{{x:.2g}} {unit}<extra></extra>",
    )  # fmt: skip
    what = "position error at most [cm]" if unit == "cm" else "angle error at most [deg]"
    figure.update_xaxes(title=what, **_log_axis(ticks, low, high))
    figure.update_yaxes(title="share of images [%]", range=[0, 102])
    return figure


def error_over_time(
    run: Run,
    between_time_s_n: Floats | None = None,
    between_error_m_n: Floats | None = None,
    regions: Sequence[WeakRegion] = (),
) -> go.Figure:
    """Position errors along the drive, those between the frames too where given, and when the
    robot was in a weak region.
    """
    figure = go.Figure()
    low, high = _decades(run.error_cm_f[run.found_f], 1.0, 100.0)
    if between_time_s_n is not None and between_error_m_n is not None and len(between_time_s_n):
        figure.add_scatter(
            x=_clock_times(between_time_s_n), y=100.0 * between_error_m_n, mode="lines",
            line={"color": ORANGE, "width": 1.5}, name="map → odom → base, all the time",
        )  # fmt: skip
    figure.add_scatter(
        x=_clock_times(run.time_s_f[run.found_f]), y=run.error_cm_f[run.found_f], mode="markers",
        marker={"color": BLUE, "size": 6}, name="pose of one image",
        hovertemplate="%{x|%M:%S}: %{y:.1f} cm<extra></extra>",
    )  # fmt: skip
    if not run.found_f.all():
        times = run.time_s_f[~run.found_f]
        figure.add_scatter(
            x=_clock_times(times), y=np.full(len(times), high), mode="markers", name="no pose",
            marker={"symbol": "x", "color": DARK, "size": 8}, cliponaxis=False,
            hovertemplate="%{x|%M:%S}: no pose<extra></extra>",
        )  # fmt: skip
    for region in regions:
        for start_s, end_s in region.spans_s:
            x0, x1 = _clock_times(np.array([start_s - 0.5, end_s + 0.5]))
            figure.add_vrect(x0=x0, x1=x1, fillcolor=PURPLE, opacity=0.15, line_width=0)
            figure.add_annotation(
                x=x0 + (x1 - x0) / 2, y=0.0, yref="paper", yanchor="bottom", showarrow=False,
                text=f"<b>{region.name}</b>", font={"color": PURPLE, "size": 13},
            )  # fmt: skip
    duration_s = float(run.time_s_f.max(initial=0.0))
    hours = "%-H:%M:%S" if duration_s >= 3600 else "%-M:%S"
    figure.update_xaxes(title="time [min:s]", type="date", tickformat=hours)
    figure.update_yaxes(title="position error [cm]", **_log_axis(_TICKS_CM, low, high))
    return figure


def training_curve(step_n: Floats, loss_n: Floats, inlier_ratio_n: Floats) -> go.Figure:
    """Loss and inlier ratio over the steps: each report faintly, their running median boldly."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, (values, colour, title) in enumerate(
        ((loss_n, BLUE, "loss"), (100.0 * inlier_ratio_n, ORANGE, "within 10 px [%]")), start=1
    ):
        smooth = _running_median(values)
        for y, width, opacity in ((values, 1, 0.3), (smooth, 2.5, 1.0)):
            figure.add_scatter(
                x=step_n, y=y, mode="lines", line={"color": colour, "width": width},
                opacity=opacity, row=row, col=1, hoverinfo="x+y" if opacity == 1.0 else "skip",
            )  # fmt: skip
        figure.update_yaxes(title=title, row=row, col=1)
    low, high = (float(end) for end in np.percentile(np.maximum(loss_n, 1e-3), [0, 100]))
    figure.update_yaxes(row=1, col=1, **_log_axis(_TICKS_LOSS, 0.9 * low, 1.1 * high))
    figure.update_xaxes(title="training step", row=2, col=1)
    figure.update_layout(showlegend=False)
    return figure


def turnable_points(cloud: PointCloud, trajectory_n3: Floats, name: str) -> go.Figure:
    """Points in 3D in the colours of the pictures, with a trajectory through them.

    What is well above the trajectory would hide the rest from above: it is there at a click.
    trajectory_n3: metres in the map, may be empty.
    name: of the trajectory, in the legend.
    """
    cloud = cloud.thinned(POINTS_SHOWN)
    ceiling_m = float(trajectory_n3[:, 2].max()) + 0.6 if len(trajectory_n3) else np.inf
    above_p = cloud.points_p3[:, 2] > ceiling_m
    figure = go.Figure()
    _add_points(figure, cloud.points_p3[~above_p], cloud.colours_p3[~above_p], "points")
    if above_p.any():
        above = f"above {ceiling_m:.1f} m (click)"
        _add_points(figure, cloud.points_p3[above_p], cloud.colours_p3[above_p], above)
        figure.data[-1].visible = "legendonly"
    x, y, z = trajectory_n3.T
    line = {"color": BLUE, "width": 5}
    figure.add_scatter3d(x=x, y=y, z=z, mode="lines", line=line, name=name)
    # looked at from a corner above: closer than plotly's own view
    camera = {"eye": {"x": -0.85, "y": -1.35, "z": 1.1}, "center": {"x": 0, "y": 0, "z": -0.2}}
    axes = {
        f"{letter}axis": {"title": f"{letter} [m]", "range": _bulk(cloud.points_p3[:, axis])}
        for axis, letter in enumerate("xyz")
    }
    figure.update_layout(scene={"aspectmode": "data", "camera": camera, **axes})
    return figure


def _add_points(
    figure: go.Figure, points_p3: Floats, colours_p3: NDArray[np.uint8], name: str
) -> None:
    x, y, z = points_p3.astype(np.float32).T
    colours = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colours_p3]
    figure.add_scatter3d(
        x=x, y=y, z=z, mode="markers", name=name, hoverinfo="skip",
        marker={"size": 2, "color": colours},
    )  # fmt: skip


def _clock_times(time_s_n: Floats) -> NDArray[np.datetime64]:
    """Seconds as a plot's axis of dates takes them: minutes stay minutes at every zoom."""
    return np.round(1e3 * np.maximum(time_s_n, 0.0)).astype("datetime64[ms]")


def _decades(values: Floats, least: float, most: float) -> tuple[float, float]:
    """A logarithmic axis' ends: [least, most], or further where the values go further."""
    found = values[np.isfinite(values) & (values > 0)]
    low = min(least, 0.9 * float(found.min())) if len(found) else least
    return max(low, 0.01), max(most, 1.1 * float(found.max())) if len(found) else most


def _log_axis(ticks: Sequence[float], low: float, high: float) -> dict[str, Any]:
    shown = [tick for tick in ticks if 0.99 * low <= tick <= 1.01 * high]
    return {
        "type": "log", "tickvals": shown, "ticktext": [f"{tick:g}" for tick in shown],
        "range": [np.log10(low), np.log10(high) + 0.02], "minor": {"ticks": ""},
    }  # fmt: skip


def _running_median(values: Floats) -> Floats:
    width = max(1, len(values) // 40) * 2 + 1
    padded = np.pad(values, width // 2, mode="edge") if len(values) else np.empty(0)
    if not len(padded):
        return padded
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))


def _bulk(values: Floats) -> list[float] | None:
    """The range of all but the outermost, so that a stray point does not make the rest small."""
    if not len(values):
        return None
    low, high = np.percentile(values, [0.5, 99.5])
    margin = 0.05 * (high - low) + 0.1
    return [float(low - margin), float(high + margin)]
