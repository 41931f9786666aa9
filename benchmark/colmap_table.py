"""The table of benchmark/colmap.py: COLMAP's figures, ours, and their ratio."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from glace_ros.evaluation.metrics import FALSE_ACCEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NONE = "-"
_FAR = f"{FALSE_ACCEPT[0]:g} m / {FALSE_ACCEPT[1]:g} deg"
STEPS = (
    ("read the images", ("read",), ("read",)),
    ("features", ("extract",), ("encode",)),
    ("poses checked or refined", (), ("refine",)),
    ("matched and triangulated", ("match", "triangulate"), ("prepare",)),
    ("points described", ("describe",), ()),
    ("trained", (), ("train",)),
    ("validated on images held out", (), ("judge",)),
    ("report", (), ("report",)),
    ("mapping in all", ("total",), ("total",)),
)
"""What a step does; the keys of `seconds` that it adds up, of COLMAP and of build_map."""
RECALL = {"5cm_5deg": "5 cm / 5 deg", "10cm_5deg": "10 cm / 5 deg", "25cm_2deg": "25 cm / 2 deg"}


@dataclass(frozen=True)
class Side:
    """One of the two.

    mapping: `seconds`, `cpu_s`, `mapping_frames`, `map_bytes`.
    query: as `evaluate --json` has it.
    foreign: the same of images out of the map, with `foreign_accepts`; None: there are none.
    """

    mapping: Mapping[str, Any]
    query: Mapping[str, Any]
    foreign: Mapping[str, Any] | None


@dataclass(frozen=True)
class Row:
    """A figure of both.

    peer, ours: None: it does not have that, or too few poses for it.
    shown: a figure in words.
    """

    what: str
    peer: float | None
    ours: float | None
    shown: Callable[[float], str]

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's; None where that says nothing."""
        if self.peer is None or self.ours is None or self.peer == 0:
            return None
        return self.ours / self.peer

    def cells(self) -> tuple[str, str, str, str]:
        """As they are printed."""
        peer, ours = (NONE if v is None else self.shown(v) for v in (self.peer, self.ours))
        return self.what, peer, ours, NONE if self.ratio is None else f"{self.ratio:.2f}"

    def as_json(self) -> dict[str, float | str | None]:
        """Plain numbers: seconds, bytes, ms, metres, shares, counts."""
        return {"what": self.what, "colmap": self.peer, "glace": self.ours, "ratio": self.ratio}


def rows(peer: Side, ours: Side) -> list[Row]:
    """All of the table, in its order."""
    return [*_mapping_rows(peer.mapping, ours.mapping), *_query_rows(peer, ours)]


def _mapping_rows(peer: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Row]:
    def seconds(side: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
        return sum(side["seconds"].get(key, 0.0) for key in keys) if keys else None

    steps = [
        Row(f"{what}, s", seconds(peer, theirs), seconds(ours, own), "{:.1f}".format)
        for what, theirs, own in STEPS
    ]
    return [
        Row("images mapped from", peer["mapping_frames"], ours["mapping_frames"], "{:.0f}".format),
        *steps,
        Row("the same, CPU time of all threads, s", peer["cpu_s"], ours["cpu_s"], "{:.1f}".format),
        Row("map, MB", peer["map_bytes"], ours["map_bytes"], lambda b: f"{b / 1e6:.2f}"),
    ]


def _query_rows(peer: Side, ours: Side) -> list[Row]:
    def row(
        what: str, value: Callable[[Mapping[str, Any]], Any], shown: Callable[[float], str]
    ) -> Row:
        return Row(what, value(peer.query), value(ours.query), shown)

    count = "{:.0f}".format
    return [
        row("images with truth", itemgetter("frames"), count),
        row("with a pose", itemgetter("localized"), count),
        row("a query, median, ms", lambda q: q["latency_ms"]["p50"], count),
        row("a query, p95, ms", lambda q: q["latency_ms"]["p95"], count),
        row("error, median, cm", itemgetter("median_translation_m"), lambda m: f"{100 * m:.2f}"),
        row("error, median, deg", itemgetter("median_rotation_deg"), "{:.2f}".format),
        *(_recall_row(peer, ours, key, words) for key, words in RECALL.items()),
        row(f"off by over {_FAR}", itemgetter("false_accepts"), count),
        *_foreign_rows(peer.foreign, ours.foreign),
    ]


def _recall_row(peer: Side, ours: Side, key: str, words: str) -> Row:
    theirs, own = (side.query["recall"][key] for side in (peer, ours))
    return Row(f"within {words}", theirs, own, "{:.0%}".format)


def _foreign_rows(peer: Mapping[str, Any] | None, ours: Mapping[str, Any] | None) -> list[Row]:
    if peer is None or ours is None:
        return []
    return [
        Row(what, peer[key], ours[key], "{:.0f}".format)
        for what, key in (
            ("images of another place", "frames_without_truth"),
            ("false accepts among them", "foreign_accepts"),
        )
    ]
