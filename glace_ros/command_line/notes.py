"""What is odd about a recording, but usable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


def print_notes(console: Console, notes: Sequence[str], said: Sequence[str] = ()) -> None:
    """One line each.

    said: those that were printed before.
    """
    for note in notes:
        if note not in said:
            console.print(f"note: {note}", highlight=False)
