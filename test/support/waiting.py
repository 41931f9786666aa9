"""Waiting for what another thread or process does: for an event, and for that it does not come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(condition: Callable[[], Any], timeout_s: float = 40.0) -> Any:
    """What `condition` returns once it is true; fails the test where it never is."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.01)  # a look costs less than the work that is waited for
    return result


def holds(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` is true all that time: that nothing comes is no event to wait for."""
    deadline = time.monotonic() + seconds
    while condition():
        if time.monotonic() >= deadline:
            return True
        time.sleep(0.02)
    return False


def let_pass(seconds: float, why: str) -> None:
    """Lets time pass where nothing tells that it is enough; `why` there is no event."""
    time.sleep(seconds)
