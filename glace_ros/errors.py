"""The errors a user can cause and mend. Their text is one sentence: what is wrong, where, what to
do.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class GlaceError(Exception):
    """Base of all errors below; a command line turns it into one sentence and `exit_code`."""

    exit_code = 1


class RecordingError(GlaceError):
    """The bag (or a topic, a transform, a pose in it) cannot be used."""

    exit_code = 2


class MapFileError(GlaceError):
    """The map file cannot be loaded: no map, truncated, altered, or of a newer version."""

    exit_code = 4


class WeightsError(GlaceError):
    """Encoder weights are missing or are not the ones that the map was made with."""

    exit_code = 5


class MappingError(GlaceError):
    """Training cannot start or go on."""

    exit_code = 6


@contextmanager
def interruption_says(words: Callable[[], str]) -> Iterator[None]:
    """What `run` says of a Ctrl-C in here, after "interrupted"."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(words()) from None
