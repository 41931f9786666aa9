"""What was freed goes back to the system. The allocator of glibc keeps it where anything lies above
it, and matching and bundle adjustments free most of what they take: 1.1 GB stayed of 1,000 views,
of which 0.2 GB were in use, while what came next asked for more.
"""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Takes milliseconds. Nothing happens with another C library."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
