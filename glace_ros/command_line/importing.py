"""Importing what takes seconds: SciPy, PyTorch and what localizes with them."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector, which finds nothing in modules, but would go through all of
    their objects again and again: a tenth of the time. Nor does it go through them later: that
    takes a tenth of a second each time, which an image may have to wait for.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
