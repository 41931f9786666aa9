"""A list of rooms that one map shows: lines `scene cx cy cz`, laid out on a grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.errors import RecordingError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PITCH_M = 5.0
"""From room to room on the grid, as in the paper's integrated rooms."""
_MOST_BYTES = 1_000_000
"""A longer file is a bag that was given by mistake."""


class Room(NamedTuple):
    """A scene folder of the list."""

    name: str
    path: Path
    shift_3: NDArray[np.float64]
    """Metres, added to the positions of its cameras."""


def read_room_list(path: Path) -> list[Room]:
    """The rooms of a list, whose folders lie beside it.

    Room i of N goes to (-5 floor(i / G), -5 (i mod G), 0) m, G = ceil(sqrt(N)), after its centre
    (cx, cy, cz) was subtracted. Raises RecordingError with a sentence that names the line.
    """
    text = _text(path)
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, words) for number, words in lines if words]
    if not lines:
        raise RecordingError(f"{path} names no rooms: its lines must be 'scene cx cy cz'")
    side = math.ceil(math.sqrt(len(lines)))
    rooms = []
    for index, (number, words) in enumerate(lines):
        centre_3 = _centre(words)
        if centre_3 is None:
            raise RecordingError(f"{path}, line {number} is not 'scene cx cy cz'")
        cell_3 = np.array([-(index // side), -(index % side), 0.0])
        rooms.append(Room(words[0], path.parent / words[0], PITCH_M * cell_3 - centre_3))
    return rooms


def text_of_room_list(centres: dict[str, NDArray[np.float64]]) -> str:
    """What `read_room_list` reads.

    centres: scene -> (3,) metres in the scene's own frame.
    """
    lines = (" ".join([name, *(f"{c:.6f}" for c in c_3)]) for name, c_3 in centres.items())
    return "".join(line + "\n" for line in lines)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:  # a bag by mistake has no end
            text: str | None = file.read(_MOST_BYTES + 1).decode()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        text = None
    if text is None or len(text) > _MOST_BYTES:
        raise RecordingError(
            f"{path} is no list of rooms, whose lines are 'scene cx cy cz'; a bag is given with "
            "--bag"
        )
    return text


def _centre(words: list[str]) -> NDArray[np.float64] | None:
    try:
        centre_3 = np.array([float(word) for word in words[1:]])
    except ValueError:
        return None
    return centre_3 if centre_3.shape == (3,) and np.isfinite(centre_3).all() else None
