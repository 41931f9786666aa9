"""Errors, recall and consistency over many images."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from glace_ros.evaluation.localized_frame import LocalizedFrame
    from glace_ros.rejection import RejectionCode


# key -> (m, deg)
RECALL_THRESHOLDS = {
    "5cm_5deg": (0.05, 5.0),
    "10cm_5deg": (0.10, 5.0),
    "25cm_2deg": (0.25, 2.0),
    "50cm_5deg": (0.50, 5.0),
    "5m_10deg": (5.0, 10.0),
}


FALSE_ACCEPT = (1.0, 10.0)
"""(m, deg); an accepted pose further off than this would send a robot to another place."""


def summarize_frames(frames: Sequence[LocalizedFrame]) -> dict[str, Any]:
    """The metrics of docs/ros_interface.md, as they go into JSON: what cannot be computed is None.

    A rejected frame counts as infinitely wrong; one without truth counts in `frames_without_truth`
    and `rejections`, and its time in `latency_ms`.
    """
    validated = [frame for frame in frames if frame.truth is not None]
    errors_n2 = np.array([frame.errors for frame in validated]).reshape(-1, 2)
    nees = [value for frame in validated if (value := frame.nees) is not None]
    latency_ms = [1e3 * frame.seconds for frame in frames]
    gross_n = np.isfinite(errors_n2[:, 0]) & (
        (errors_n2[:, 0] > FALSE_ACCEPT[0]) | (errors_n2[:, 1] > FALSE_ACCEPT[1])
    )
    return {
        "frames": len(validated),
        "frames_without_truth": len(frames) - len(validated),
        "localized": sum(frame.estimate is not None for frame in validated),
        "by_landmarks": sum(
            frame.landmarks > 0 and frame.estimate is not None for frame in validated
        ),
        "median_translation_m": _finite(np.median(errors_n2[:, 0])) if validated else None,
        "median_rotation_deg": _finite(np.median(errors_n2[:, 1])) if validated else None,
        "recall": {
            name: float(np.mean((errors_n2[:, 0] <= metres) & (errors_n2[:, 1] <= degrees)))
            if validated
            else None
            for name, (metres, degrees) in RECALL_THRESHOLDS.items()
        },
        "false_accepts": int(gross_n.sum()),
        "nees_mean": float(np.mean(nees)) if nees else None,
        "nees_median": float(np.median(nees)) if nees else None,
        "latency_ms": {
            name: float(np.percentile(latency_ms, percent)) if latency_ms else None
            for name, percent in (("p50", 50), ("p95", 95))
        },
        "rejections": {code.key: count for code, count in rejection_counts(frames).items()},
    }


def rejection_counts(frames: Iterable[LocalizedFrame]) -> Counter[RejectionCode]:
    """How many frames were rejected for which reason, in the order in which reasons come first."""
    return Counter(frame.rejection.code for frame in frames if frame.rejection is not None)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
