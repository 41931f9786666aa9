"""Log lines at transitions only."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET_S = 5.0  # between two log lines on one subject


class TransitionLog:
    """Says a sentence when a subject's condition changes, not while it lasts.

    A condition that comes and goes is said at most every QUIET_S seconds.
    """

    def __init__(self) -> None:
        self._conditions: dict[str, str] = {}
        self._said_s: dict[str, float] = {}

    def enter(self, subject: str, condition: str, say: Callable[[], None]) -> None:
        """Calls `say` where the subject was in another condition before.

        subject: what is spoken of.
        condition: that it is in now.
        say: writes the sentence.
        """
        now_s = time.monotonic()
        if self._conditions.get(subject) == condition:
            return
        if now_s - self._said_s.get(subject, -math.inf) < QUIET_S:
            return  # stays unsaid for now: it is said later if it lasts
        self._conditions[subject] = condition
        self._said_s[subject] = now_s
        say()

    def leave(self, subject: str) -> bool:
        """All is well with the subject; returns whether something was wrong before."""
        return self._conditions.pop(subject, None) is not None

    def forget(self) -> None:
        """Starts anew: every condition will be said again."""
        self._conditions.clear()
        self._said_s.clear()
