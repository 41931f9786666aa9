"""Times and places in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glace_ros.recording.recording_time import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.report.coverage import WeakRegion


def duration(seconds: float) -> str:
    """Such as 3.2 s or 1.5 min."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def times(spans_s: Sequence[tuple[float, float]], most: int) -> str:
    """Such as '0:12–0:14, 1:05–1:06 and 2 more times'.

    spans_s: (start, end) from 0:00 of the recording.
    most: how many are named.
    """
    shown = [f"{clock(start_s)}–{clock(max(end_s, start_s + 1.0))}" for start_s, end_s in spans_s]
    rest = len(shown) - most
    more = f" and {rest} more time{'s' if rest > 1 else ''}" if rest > 0 else ""
    return ", ".join(shown[:most]) + more


def place(region: WeakRegion) -> str:
    """Where and when, such as 'A (x 1.2, y -0.4; 0:12–0:14)'."""
    x, y, _ = region.centre_3
    return f"{region.name} (x {x:.1f}, y {y:.1f}; {times(region.spans_s, 1)})"


def why_weak(region: WeakRegion) -> str:
    """What is wrong there: missed images, few mapping views, or both."""
    reasons = []
    if region.missed:
        views = f"{region.mapping_views} mapping views nearby look that way"
        reasons.append(f"{region.missed} of {region.judged} held-out images missed, {views}")
    if region.sparse_s:
        reasons.append(f"few mapping views for {region.sparse_s:.0f} s of the way")
    return "; ".join(reasons)
