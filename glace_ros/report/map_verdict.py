"""The verdict on a map in words: whether it can be used, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glace_ros.evaluation.map_validation import USABLE_RECALL
from glace_ros.recording.pose_jumps import ALTERNATING
from glace_ros.recording.recording_time import clock
from glace_ros.report.page import Verdict
from glace_ros.report.words import place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.report.coverage import WeakRegion
    from glace_ros.report.map_report import MapReport

_REGIONS_NAMED = 3  # weak places in the verdict; of more it gives the number
_WELL_SEEN = 10  # mapping views: if each weak place has so many, more minutes may help as well


def verdict(report: MapReport) -> Verdict:
    """In words: whether the map can be used, and where to record more."""
    regions, metrics = report.regions, report.metrics
    more = f" Record more at {_places(regions)}." if regions else ""
    if report.validation.usable is None:
        why = "No images were held out (--holdout 0), so it is unknown how good the map is."
        return Verdict("partly", "Not judged", why + more)
    recall, frames = metrics["recall"], metrics["frames"]
    within = f"{recall['50cm_5deg']:.0%} of the {frames} held-out images come within 50 cm / 5°"
    if not report.validation.usable:
        mend = more or " Record more views of the same places, or give it more --minutes."
        if report.misfit:
            mend = f" {report.misfit[0].upper()}{report.misfit[1:]}."
        return Verdict("bad", "Not usable", f"Only {within}; {USABLE_RECALL:.0%} must.{mend}")
    if report.jumps_remain:
        but = f"{within}, but their poses jump as the map's do, so that this says little.{more}"
        return Verdict("bad", "Bent: the poses jump", _jumps(metrics["pose_jumps"]) + but)
    if report.misfit:
        why = f"{report.misfit[0].upper()}{report.misfit[1:]}. "
        but = f"{within}, but their poses are wrong as the map's are, so that this says little."
        return Verdict("bad", "Bent: the poses do not fit the images", why + but + more)
    exact = f"{within}, {recall['5cm_5deg']:.0%} within 5 cm / 5°."
    if regions and all(region.mapping_views >= _WELL_SEEN for region in regions):
        more += " Many mapping views are there already: more --minutes may help as well."
    if regions:
        return Verdict("partly", "Usable, but record more", exact + more)
    return Verdict("good", "Usable", f"{exact} Nowhere on the recorded way is it weak.")


def _jumps(jumps: Sequence[dict[str, Any]]) -> str:
    """How often the recorded poses jump, and the largest jump, in a sentence."""
    largest = max(jumps, key=lambda jump: jump["distance_m"])
    size = f"{largest['distance_m']:.2f} m and {largest['angle_deg']:.0f}°"
    if largest["kind"] == ALTERNATING:
        what = f"alternate between two tracks up to {size} apart from {clock(largest['time_s'])} on"
    else:
        times = f"{len(jumps)} times, most" if len(jumps) > 1 else "once"
        what = f"jump {times} by {size} at {clock(largest['time_s'])}"
    return (
        f"The recorded poses {what}, as no robot moves: parts of the map do not fit together. "
        "Record the drive again. "
    )


def _places(regions: Sequence[WeakRegion]) -> str:
    named = [place(region) for region in regions[:_REGIONS_NAMED]]
    if len(regions) > _REGIONS_NAMED:
        named.append(f"{len(regions) - _REGIONS_NAMED} more places")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
