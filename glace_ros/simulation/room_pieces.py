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

_NOTES = 8
"""Small papers on the walls of a room, two on each."""


@dataclass(frozen=True)
class Look:
    """What a room or corridor looks like.

    seed: of the building.
    name: of the look; equal for rooms that look alike.
    day: 0 is the first; on others some things are elsewhere.
    own: of what even such rooms have each for themselves.
    """

    seed: int
    name: int
    day: int = 0
    own: int = 0

    def rng(self, *of: int) -> Generator:
        """A generator for one thing of it."""
        return np.random.default_rng([self.seed, self.name, *of])

    def own_rng(self, *of: int) -> Generator:
        """A generator for something that no other room has."""
        return np.random.default_rng([self.seed, 500 + self.own, *of])

    def order(self, count: int, what: int) -> list[int]:
        """Which of so many things is at each spot: on the first day, each at its own."""
        order = np.arange(count)
        if self.day:
            rng = self.rng(9000 + what, self.day)
            spots = rng.permutation(count)[: max(2, round(_MOVED * count))]
            order[spots] = np.roll(spots, 1)
        return order.tolist()


def _whiteboard_and_cabinet(place: Placement, rng: Generator, things: Generator) -> None:
    wall_hangings.whiteboard(place, rng)
    furniture.cabinet(place, rng, (1.4, 0.4, 0.5), things=things)


_PIECES: tuple[Callable[[Placement, Generator, Generator], None], ...] = (
    lambda place, rng, _: furniture.sofa(place, rng, 1.6),
    lambda place, rng, _: furniture.book_case(place, rng, 1.4, 1.8),
    lambda place, rng, _: furniture.book_case(place, rng, 1.5, 1.1),
    lambda place, rng, things: furniture.desk(place, rng, 1.4, things=things),
    lambda place, rng, things: furniture.cabinet(place, rng, (1.0, 0.45, 1.8), things=things),
    lambda place, rng, things: furniture.cabinet(place, rng, (1.4, 0.4, 0.8), things=things),
    lambda place, rng, _: furniture.coats(place, rng),
    lambda place, rng, _: furniture.television(place, rng),
    lambda place, rng, _: furniture.boxes(place, rng),
    _whiteboard_and_cabinet,
)
"""The last argument draws what people leave on a piece."""


def furnish_room(place: Placement, look: Look, width_m: float, depth_m: float) -> None:
    """Two pieces at each wall but the front, a window, a rug, pictures everywhere, and notes.

    The view from the window, the notes and some of what lies about are the room's own.
    """
    spots = [place.at(ratio * width_m, depth_m, 0) for ratio in (0.27, 0.73)]
    spots += [place.at(0, ratio * depth_m, 1) for ratio in (0.2, 0.62)]
    spots += [place.at(width_m, ratio * depth_m, 3) for ratio in (0.2, 0.62)]
    kinds = look.rng(1).permutation(len(_PIECES))[: len(spots)]
    for spot, piece in zip(spots, look.order(len(spots), 0), strict=True):
        _PIECES[kinds[piece]](spot, look.rng(2, piece), look.own_rng(2, piece))
    wall_hangings.window(place.at(0.5 * width_m, depth_m), look.own_rng(3))
    furniture.rug(place.at(0.5 * width_m, 0.5 * depth_m), look.rng(4), (1.6, 1.8))
    hung = [place.at(ratio * width_m, depth_m, 0) for ratio in (0.08, 0.92)]
    hung += [place.at(0, ratio * depth_m, 1) for ratio in (0.1, 0.41, 0.9)]
    hung += [place.at(width_m, ratio * depth_m, 3) for ratio in (0.1, 0.41, 0.9)]
    hung += [place.at(ratio * width_m, 0, 2) for ratio in (0.08, 0.27, 0.73, 0.92)]
    hang_pictures(hung, look)
    for note in range(_NOTES):
        rng = look.own_rng(4, note)
        wall, along_m = (
            (place.at(0, 0, 1), depth_m), (place.at(width_m, depth_m, 3), depth_m),
            (place.at(width_m, 0, 2), width_m), (place.at(0, depth_m, 0), width_m),
        )[note % 4]  # fmt: skip
        spot = wall.at(rng.choice([0.16, 0.35, 0.66, 0.86]) * along_m, -0.035)
        wall_hangings.picture(spot, rng, (0.28, 0.21), rng.uniform(1.2, 1.9))


def hang_pictures(spots: list[Placement], look: Look) -> None:
    """One at each spot of a wall."""
    for spot, picture in zip(spots, look.order(len(spots), 1), strict=True):
        rng = look.rng(5, picture)
        size_m = (float(rng.uniform(0.4, 0.8)), float(rng.uniform(0.35, 0.6)))
        wall_hangings.picture(spot, rng, size_m, rng.uniform(0.8, 1.5))
