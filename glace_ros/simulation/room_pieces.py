"""What stands and hangs in a room of the ring building, and what people move from day to day.

Every piece and picture is drawn by a generator of its own: moved elsewhere, it is still the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.simulation import furniture, wall_hangings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from glace_ros.simulation.panels import Placement

_MOVED = 0.35
"""Ratio of the pieces, and of the pictures, that are elsewhere on another day."""


@dataclass(frozen=True)
class Look:
    """What a room or corridor looks like.

    seed: of the building.
    name: of the look; equal for rooms that look alike.
    day: 0 is the first; on others some things are elsewhere.
    """

    seed: int
    name: int
    day: int = 0

    def rng(self, *of: int) -> Generator:
        """A generator for one thing of it."""
        return np.random.default_rng([self.seed, self.name, *of])

    def order(self, count: int, what: int) -> list[int]:
        """Which of so many things is at each spot: on the first day, each at its own."""
        order = np.arange(count)
        if self.day:
            rng = self.rng(9000 + what, self.day)
            spots = rng.permutation(count)[: max(2, round(_MOVED * count))]
            order[spots] = np.roll(spots, 1)
        return order.tolist()


def _whiteboard_and_cabinet(place: Placement, rng: Generator) -> None:
    wall_hangings.whiteboard(place, rng)
    furniture.cabinet(place, rng, (1.4, 0.4, 0.5))


_PIECES: tuple[Callable[[Placement, Generator], None], ...] = (
    lambda place, rng: furniture.sofa(place, rng, 1.6),
    lambda place, rng: furniture.book_case(place, rng, 1.4, 1.8),
    lambda place, rng: furniture.book_case(place, rng, 1.5, 1.1),
    lambda place, rng: furniture.desk(place, rng, 1.4),
    lambda place, rng: furniture.cabinet(place, rng, (1.0, 0.45, 1.8)),
    lambda place, rng: furniture.cabinet(place, rng, (1.4, 0.4, 0.8)),
    lambda place, rng: furniture.coats(place, rng),
    furniture.television,
    furniture.boxes,
    _whiteboard_and_cabinet,
)


def furnish_room(place: Placement, look: Look, width_m: float, depth_m: float) -> None:
    """Two pieces at each wall but the front, a window, a rug, pictures everywhere."""
    spots = [place.at(ratio * width_m, depth_m, 0) for ratio in (0.27, 0.73)]
    spots += [place.at(0, ratio * depth_m, 1) for ratio in (0.2, 0.62)]
    spots += [place.at(width_m, ratio * depth_m, 3) for ratio in (0.2, 0.62)]
    kinds = look.rng(1).permutation(len(_PIECES))[: len(spots)]
    for spot, piece in zip(spots, look.order(len(spots), 0), strict=True):
        _PIECES[kinds[piece]](spot, look.rng(2, piece))
    wall_hangings.window(place.at(0.5 * width_m, depth_m), look.rng(3))
    furniture.rug(place.at(0.5 * width_m, 0.5 * depth_m), look.rng(4), (1.6, 1.8))
    hung = [place.at(ratio * width_m, depth_m, 0) for ratio in (0.08, 0.92)]
    hung += [place.at(0, ratio * depth_m, 1) for ratio in (0.1, 0.41, 0.9)]
    hung += [place.at(width_m, ratio * depth_m, 3) for ratio in (0.1, 0.41, 0.9)]
    hung += [place.at(ratio * width_m, 0, 2) for ratio in (0.08, 0.27, 0.73, 0.92)]
    hang_pictures(hung, look)


def hang_pictures(spots: list[Placement], look: Look) -> None:
    """One at each spot of a wall."""
    for spot, picture in zip(spots, look.order(len(spots), 1), strict=True):
        rng = look.rng(5, picture)
        size_m = (float(rng.uniform(0.4, 0.8)), float(rng.uniform(0.35, 0.6)))
        wall_hangings.picture(spot, rng, size_m, rng.uniform(0.8, 1.5))
