"""Metrics as rows of words, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glace_ros.evaluation.metrics import FALSE_ACCEPT

if TYPE_CHECKING:
    from glace_ros.evaluation.alignment import Alignment

_FAR = f"{FALSE_ACCEPT[0]:g} m / {FALSE_ACCEPT[1]:g} deg"


def metrics_table(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, value with its unit) of what `summarize_frames` gives."""
    return [
        ("frames", f"{metrics['frames']} with truth, {metrics['frames_without_truth']} without"),
        ("localized", f"{metrics['localized']}, {metrics['by_landmarks']} of them by landmarks"),
        *_error_rows(metrics),
        ("NEES (1 = calibrated)", _show(metrics["nees_mean"], 1, "mean") + ", "
         + _show(metrics["nees_median"], 1, "median")),
        ("latency", f"{_show(metrics['latency_ms']['p50'], 1, 'ms median')}, "
         f"{_show(metrics['latency_ms']['p95'], 1, 'ms p95')}"),
    ]  # fmt: skip


def aligned_table(alignment: Alignment, metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """The same of poses once they are aligned, each row named so.

    metrics: what `Alignment.metrics` gives.
    """
    return [
        (f"aligned ({alignment.kind})", str(alignment)),
        *((f"aligned: {what}", value) for what, value in _error_rows(metrics)),
    ]


def map_size(metrics: dict[str, Any]) -> str:
    """Size of the map file in words, from `map_bytes` and `heads`."""
    heads = f", {metrics['heads']} heads" if metrics["heads"] > 1 else ""
    return f"{metrics['map_bytes'] / 1e6:.2f} MB{heads}"


def _error_rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows on how far poses are off."""
    rows = [
        ("median error", f"{_show(metrics['median_translation_m'], 100, 'cm')}, "
         f"{_show(metrics['median_rotation_deg'], 1, 'deg')}"),
    ]  # fmt: skip
    for name, ratio in metrics["recall"].items():
        words = name.replace("_", " / ").replace("cm", " cm").replace("deg", " deg")
        rows.append((f"within {words.replace('5m', '5 m')}", _show(ratio, 100, "%")))
    return [*rows, (f"off by over {_FAR}", str(metrics["false_accepts"]))]


def _show(value: float | None, factor: float, unit: str) -> str:
    return "none" if value is None else f"{factor * value:.2f} {unit}"
