"""Rolling shutter: the rows of most cameras are exposed one after the other, while the robot turns.

Left alone it bends a bundle adjustment more than noise does: at 25 deg/s and 17 ms from the first
row to the last, a turn of 0.4 deg lies between them. How long the sensor takes is found as the time
with which images and odometry agree best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.geometry.rolling_shutter import moved_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.cameras import Cameras
    from glace_ros.mapping.pose_refinement.observations import Observations
    from glace_ros.mapping.pose_refinement.refinement_view import RecordedMotion, RefinementView
    from glace_ros.mapping.pose_refinement.tracks import Tracks

_TRIED_S = 0.02
"""What is tried first, both ways: negative where rows are read from below."""
_MOST_S = 0.06
"""Slower sensors are none."""
_LEAST_GAIN = 30.0
"""Of the cost over that of a global shutter: chance alone gives one or two."""


class RollingShutter:
    """How pixels move between the exposure of their row and that of the image's middle.

    readout_s: from the first row to the last.
    """

    def __init__(self, views: Sequence[RefinementView], readout_s: float = 0.0) -> None:
        self.readout_s = readout_s
        self._velocities_v6 = velocities_of(views)
        self._rows_v = np.array([view.rows_px for view in views])

    def at_middle(self, observations: Observations, cameras: Cameras) -> Observations:
        """As a global shutter would have seen them."""
        if not self.readout_s:
            return observations
        tracks = observations.tracks
        _, depth_n = cameras.reprojection(tracks, observations.points_k3)
        motions = self.motion_by_row(tracks)
        moved = tracks_at_middle(tracks, depth_n, cameras, motions, self.readout_s)
        return observations._replace(tracks=moved)

    def motion_by_row(
        self, tracks: Tracks
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """As the function of that name."""
        return motion_by_row(tracks, self._velocities_v6, self._rows_v)


def velocities_of(motions: Sequence[RefinementView | RecordedMotion]) -> NDArray[np.float64]:
    """Of all views (v, 6), as `velocity_6`; one that is not known stands still."""
    still_6 = np.zeros(6)
    return np.stack([still_6 if each.velocity_6 is None else each.velocity_6 for each in motions])


def motion_by_row(
    tracks: Tracks, velocities_v6: NDArray[np.float64], rows_v: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each observation: the camera's turning (n, 3) in rad/s and moving (n, 3) in m/s about its
    own axes, and its row (n,) from -0.5 to 0.5: times the readout time, how late it is.

    velocities_v6: as `velocities_of` gives them.
    rows_v: pixel rows of each view's image.
    """
    turning_n3, moving_n3 = np.split(velocities_v6[tracks.view_n], 2, axis=1)
    row_n = tracks.pixels_n2[:, 1] / rows_v[tracks.view_n] - 0.5
    return turning_n3, moving_n3, row_n


def tracks_at_middle(
    tracks: Tracks,
    depth_n: NDArray[np.float64],
    cameras: Cameras,
    motions: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    readout_s: float,
) -> Tracks:
    """Observations as a global shutter would have made them.

    depth_n: of what they show, metres.
    motions: as `motion_by_row` gives them.
    """
    turning_n3, moving_n3, row_n = motions
    pixels_n2 = moved_pixels(
        tracks.pixels_n2, depth_n, cameras.intrinsics_v4[tracks.view_n], turning_n3, moving_n3,
        readout_s * row_n,
    )  # fmt: skip
    return tracks._replace(pixels_n2=pixels_n2)


def most_likely_readout_s(cost: Callable[[float], float]) -> float:
    """From the first row to the last, seconds; 0 where a global shutter explains the images about
    as well, as it does where the camera hardly turns.

    cost: of all that is known (half the squared errors in standard deviations), poses adjusted to
    images of so slow a shutter: near its minimum a parabola.
    """
    costs = {readout_s: cost(readout_s) for readout_s in (-_TRIED_S, 0.0, _TRIED_S)}
    readout_s = _lowest(costs)
    if readout_s is None:
        return 0.0
    costs[readout_s] = cost(readout_s)
    return readout_s if costs[0.0] - costs[readout_s] > _LEAST_GAIN else 0.0


def _lowest(costs: dict[float, float]) -> float | None:
    """Of the parabola through the best and its neighbours."""
    tried_s = sorted(costs)
    best = min(max(tried_s.index(min(costs, key=costs.__getitem__)), 1), len(tried_s) - 2)
    near_s = tried_s[best - 1 : best + 2]
    bend, slope, _ = np.polyfit(near_s, [costs[readout_s] for readout_s in near_s], 2)
    if bend <= 0:
        return None
    return float(np.clip(-slope / (2 * bend), -_MOST_S, _MOST_S))
