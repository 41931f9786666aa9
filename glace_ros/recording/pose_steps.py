"""The steps between neighbouring poses, and which of them the motion around does not explain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.transform_link import TransformLink

FEWEST_POSES = 6
"""Of fewer nobody knows how they move."""
_AROUND_NS = 500_000_000
"""A step is held against the motion so long before and after it, and of at least two steps each."""
_LEAST_2 = np.array([0.10, math.radians(3.0)])
"""(m, rad) of a jump. AMCL corrects by less all the time."""
_AT_SPEED = 1.5
"""Times the speed: so far off what its motion before and after lets expect a robot may be."""
_QUARTER_TURN_RAD = math.pi / 2
"""Of a robot that may have turned by more, nobody knows by how much, nor where it drove."""
_FAST_PERCENT = 90.0
"""Of the speeds of a drive: so fast may it be where nothing was recorded."""
_MOVING_2 = np.array([0.05, 0.05])
"""(m/s, rad/s); slower, it stands."""
SLOWEST_2 = np.array([0.3, 0.3])
"""(m/s, rad/s) that any robot may reach where nothing was recorded."""
_USUAL = 6.0
"""Times the usual unsteadiness of these poses."""
_EXACT_2 = np.array([1e-4, 1e-4])
"""(m, rad): steps this steady do not count for what is usual; a correction is seldom, 0 often."""
_FEWEST_USUAL = 20
"""Of fewer unsteady steps nobody knows what is usual: they may be the jumps."""
_BACK = 0.4
"""Two jumps that cancel but for this ratio of the smaller are there and back."""
_BACK_NS = 2_000_000_000
"""There and back within."""
_FEWEST_ALTERNATING = 10
"""Steps there and back of two senders; fewer are single wrong poses."""
_PAUSE_NS = 5_000_000_000
"""Two senders that agree, or of whom one is silent, for longer alternate anew."""


class PoseSteps:
    """The n steps between the n + 1 poses of a link, and how far each is off the motion around it.

    A vector of six is a translation in m and a rotation vector in rad, both about the axes of the
    link's parent.
    """

    def __init__(
        self, link: TransformLink, base_n3: NDArray[np.float64], slowest_2: NDArray[np.float64]
    ) -> None:
        """link: with FEWEST_POSES or more.
        base_n3: the base in the link's child frame.
        slowest_2: m/s, rad/s that it may have had unseen.
        """
        self._stamps_n = link.stamps_n
        before_n34, after_n34 = link.poses_n34[:-1], link.poses_n34[1:]
        moved_n3 = np.einsum("nij,nj->ni", (after_n34 - before_n34)[:, :, :3], base_n3[1:])
        moved_n3 += after_n34[:, :, 3] - before_n34[:, :, 3]
        turned_n33 = after_n34[:, :, :3] @ before_n34[:, :, :3].swapaxes(1, 2)
        turned_n3 = Rotation.from_matrix(turned_n33).as_rotvec()
        self._steps_n6 = np.hstack([moved_n3, turned_n3])
        self._times_n = (self._stamps_n - self._stamps_n[0]) * 1e-9
        self._durations_n = np.diff(self._times_n)
        usual_s = float(np.median(self._durations_n))
        # of messages that are stamped as they come, two may have nearly one stamp
        self._unhurried_n1 = np.maximum(self._durations_n, usual_s)[:, None]
        self._slowest_2 = slowest_2
        self._settled_n = np.zeros(len(self._durations_n), bool)
        self.sizes_n2 = _sizes(self._steps_n6)
        """(m, rad) of each step."""
        self.off_n2 = self.sizes_n2
        """(m, rad) that it is off what the motion around it lets expect."""
        self._look()

    def alternating_runs(self) -> list[NDArray[np.int64]]:
        """Steps there and back between two tracks, each run by its indices.

        White noise, too, goes there and back, but seldom by the same.
        """
        far = np.flatnonzero((self.off_n2 > self._possible_n2).any(axis=1))
        scaled_f6 = self._off_n6[far] / np.repeat(_LEAST_2, 3)
        sizes_f = np.linalg.norm(scaled_f6, axis=1)
        left_over = np.linalg.norm(scaled_f6[1:] + scaled_f6[:-1], axis=1)
        back = left_over < _BACK * np.minimum(sizes_f[1:], sizes_f[:-1])
        back &= np.diff(self._stamps_n[far]) < _BACK_NS
        alternating = np.append(back, False) | np.append(False, back)
        if alternating.sum() < max(_FEWEST_ALTERNATING, 0.5 * len(far)):
            return []
        there_and_back = far[alternating]
        pauses = np.flatnonzero(np.diff(self._stamps_n[there_and_back]) > _PAUSE_NS) + 1
        runs = np.split(there_and_back, pauses)
        runs = [run for run in runs if len(run) >= _FEWEST_ALTERNATING]
        return [far[self.near(far, run)] for run in runs]

    def near(self, at_m: NDArray[np.int64], run: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these steps lie within an alternating run, or so little before or after that
        they belong to it: at its ends, some have nothing to be paired with.
        """
        stamps_m, (first_ns, last_ns) = self._stamps_n[at_m], self._stamps_n[run[[0, -1]]]
        return np.asarray((stamps_m > first_ns - _BACK_NS) & (stamps_m < last_ns + _BACK_NS))

    def jumps(self) -> NDArray[np.int64]:
        """Indices of the steps that are jumps. The motion around a large one looks wrong, and so
        fast that others near it are found only once it is smoothed away.
        """
        usual_2 = [
            np.median(off_n[off_n > exact]) if (off_n > exact).sum() >= _FEWEST_USUAL else 0.0
            for off_n, exact in zip(self.off_n2[~self._settled_n].T, _EXACT_2, strict=True)
        ]
        possible_n2 = np.maximum(self._possible_n2, _USUAL * np.array(usual_2))
        is_jump_n = (self.off_n2 > possible_n2).any(axis=1) & ~self._settled_n
        return np.flatnonzero(is_jump_n)

    def smooth_away(self, at_m: NDArray[np.int64]) -> None:
        """Takes these steps for what the motion around them lets expect, and looks anew."""
        self._steps_n6[at_m] -= self._off_n6[at_m]
        self._settled_n[at_m] = True
        self._look()

    def _look(self) -> None:
        before_n6, after_n6 = self._speeds_around()
        both_n26 = np.stack([before_n6, after_n6], axis=1)
        both_n26 = np.where(np.isnan(both_n26), both_n26[:, ::-1], both_n26)  # at either end
        expected_n6 = both_n26.mean(axis=1) * self._durations_n[:, None]
        self._off_n6 = self._steps_n6 - expected_n6
        self.off_n2 = _sizes(self._off_n6)
        around_n22 = _sizes(both_n26)
        fast_2 = [
            np.percentile(speeds_n[speeds_n > moving], _FAST_PERCENT)
            if (speeds_n > moving).any()
            else 0.0
            for speeds_n, moving in zip(around_n22[:, 0].T, _MOVING_2, strict=True)
        ]
        speeds_n2 = np.maximum(around_n22.max(axis=1), np.maximum(fast_2, self._slowest_2))
        driven_n2 = _AT_SPEED * speeds_n2 * self._unhurried_n1
        # at either end one side alone is known, and a turn that began or ended there is not
        driven_n2[np.isnan(before_n6[:, 0]) | np.isnan(after_n6[:, 0])] *= 2.0
        driven_n2[driven_n2[:, 1] > _QUARTER_TURN_RAD] *= [2.0, np.inf]
        self._possible_n2 = _LEAST_2 + driven_n2

    def _speeds_around(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The mean motion before and after each step; NaN where there is none.

        Over an even number of steps, which two senders in turn leave on one track.
        """
        way_n6 = np.vstack([np.zeros(6), np.cumsum(self._steps_n6, axis=0)])
        poses = np.arange(len(self._stamps_n))
        first = np.searchsorted(self._stamps_n, self._stamps_n - _AROUND_NS)
        last = np.searchsorted(self._stamps_n, self._stamps_n + _AROUND_NS, side="right") - 1
        first = np.maximum(np.minimum(first, poses - 2), 0)
        last = np.minimum(np.maximum(last, poses + 2), len(poses) - 1)
        first, last = first + (poses - first) % 2, last - (last - poses) % 2
        with np.errstate(invalid="ignore"):  # 0 / 0 at either end
            before_n6 = (way_n6 - way_n6[first]) / (self._times_n - self._times_n[first])[:, None]
            after_n6 = (way_n6[last] - way_n6) / (self._times_n[last] - self._times_n)[:, None]
        return before_n6[:-1], after_n6[1:]


def _sizes(vectors_n6: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 2) lengths in m, rad."""
    parts = (vectors_n6[..., :3], vectors_n6[..., 3:])
    return np.stack([np.linalg.norm(part, axis=-1) for part in parts], axis=-1)
