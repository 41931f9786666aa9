"""How the angle of global descriptors goes with co-visibility (the paper's Figures 3 and 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from glace_ros.report.colours import BLUE, GREY, ORANGE
from glace_ros.report.page import Metric, Page, Verdict, chart, metric_table, section

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BIN_DEG = 2.0


class AngleBins(NamedTuple):
    """Pairs of views by the angle between their global descriptors.

    upper_deg_b: where bin b ends.
    covisible_b, other_b: pairs of either kind in it.
    """

    upper_deg_b: NDArray[np.float64]
    covisible_b: NDArray[np.int64]
    other_b: NDArray[np.int64]

    @staticmethod
    def of(angle_deg_p: NDArray[np.float64], covisible_p: NDArray[np.bool_]) -> AngleBins:
        """Counts the pairs."""
        edges_deg = np.linspace(0.0, 180.0, round(180.0 / _BIN_DEG) + 1)
        near_b, _ = np.histogram(angle_deg_p[covisible_p], edges_deg)
        other_b, _ = np.histogram(angle_deg_p[~covisible_p], edges_deg)
        return AngleBins(np.asarray(edges_deg[1:], np.float64), near_b, other_b)

    @property
    def covisible_below_b(self) -> NDArray[np.float64]:
        """Of the pairs below each bin's end, the ratio that is co-visible; NaN where are none."""
        near_b, all_b = np.cumsum(self.covisible_b), np.cumsum(self.covisible_b + self.other_b)
        return np.where(all_b > 0, near_b / np.maximum(1, all_b), np.nan)

    def as_json(self) -> dict[str, list[Any]]:
        """The same as lists; None where there is no pair."""
        below = [None if np.isnan(ratio) else float(ratio) for ratio in self.covisible_below_b]
        lists = {name: part.tolist() for name, part in self._asdict().items()}
        return {**lists, "covisible_below_b": below}


def descriptor_angles_page(
    title: str, rule: str, sentence: str, rows: list[Metric], bins: AngleBins
) -> Page:
    """The page of a recording.

    rule: which pairs count as co-visible.
    sentence: what follows.
    """
    middle_deg_b = bins.upper_deg_b - 0.5 * _BIN_DEG
    distribution, covisible = go.Figure(), go.Figure()
    for name, count_b, colour in (
        ("co-visible", bins.covisible_b, ORANGE), ("others", bins.other_b, GREY),
    ):  # fmt: skip
        share_b = 100.0 * count_b / max(1, count_b.sum())
        distribution.add_bar(x=middle_deg_b, y=share_b, name=name, marker={"color": colour})
    distribution.update_layout(barmode="overlay", bargap=0.0)
    distribution.update_traces(opacity=0.7)
    distribution.update_yaxes(title="share of these pairs [%]")
    covisible.add_scatter(
        x=bins.upper_deg_b, y=100.0 * bins.covisible_below_b, mode="lines", name="co-visible",
        line={"color": BLUE, "width": 2.5},
    )  # fmt: skip
    covisible.update_yaxes(title="co-visible pairs [%]", range=[0, 102])
    distribution.update_xaxes(title="angle between the codes [deg]")
    covisible.update_xaxes(title="angle at most [deg]")
    sections = [
        section("Figures", metric_table(rows)),
        section("Angles of co-visible pairs and of others", chart(distribution, 380), rule),
        section("Co-visible among the pairs within an angle", chart(covisible, 380), rule),
    ]
    return Page(title, Verdict("good", "measured", sentence), sections)
