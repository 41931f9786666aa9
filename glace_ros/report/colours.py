"""The colours of all pages, told apart by colour-blind people too (after Okabe and Ito)."""

from __future__ import annotations

import numpy as np

BLUE, ORANGE, VERMILLION = "#0072B2", "#E69F00", "#D55E00"
PURPLE, GREY, DARK = "#8A4B9C", "#c9ced6", "#1d2430"
WAY, LOOP = "#565c66", "#8fc1e3"
"""Of the way as it was recorded, where it was refined: darker than what is covered; of loops."""
DRIVES = ("#5b6675", "#009E73", "#CC79A7", "#000000")
"""Of the mapping images of one drive after the other, and from the start again."""
ERROR_SCALE = [
    (0.0, "#0072B2"),
    (0.25, "#56B4E9"),
    (0.5, "#F0E442"),
    (0.75, "#E69F00"),
    (1.0, "#B03A00"),
]
"""From what is good to what is bad, as plotly takes it."""
COVERAGE_SCALE = [(0.0, "#f1f3f6"), (1.0, "#8b99ab")]
"""Under the errors: greys, so that colour means error alone."""


def error_rgb(error: float, least: float, most: float) -> tuple[int, int, int]:
    """The colour of an error on a logarithmic scale from `least` to `most`."""
    error = error if np.isfinite(error) else most
    share = np.log(max(error, least) / least) / np.log(most / least)
    places = [place for place, _ in ERROR_SCALE]
    rgb_n3 = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for _, c in ERROR_SCALE])
    red, green, blue = (round(np.interp(share, places, channel)) for channel in rgb_n3.T)
    return red, green, blue
