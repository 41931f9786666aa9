"""When something was in a recording, as players count."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """Minutes and seconds from 0:00 of the recording, such as 3:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
