"""Metrics as rows of words, for a person."""

from __future__ import annotations

from typing import Any

from glace_ros.evaluation.metrics import FALSE_ACCEPT

_FAR = f"{FALSE_ACCEPT[0]:g} m / {FALSE_ACCEPT[1]:g} deg"


def metrics_table(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, value with its unit) of what `summarize_frames` gives."""

    def show(value: float | None, factor: float, unit: str) -> str:
        return "none" if value is None else f"{factor * value:.2f} {unit}"

    rows = [
        ("frames", f"{metrics['frames']} with truth, {metrics['frames_without_truth']} without"),
        ("localized", f"{metrics['localized']}, {metrics['by_landmarks']} of them by landmarks"),
        ("median error", f"{show(metrics['median_translation_m'], 100, 'cm')}, "
         f"{show(metrics['median_rotation_deg'], 1, 'deg')}"),
    ]  # fmt: skip
    for name, ratio in metrics["recall"].items():
        words = name.replace("_", " / ").replace("cm", " cm").replace("deg", " deg")
        rows.append((f"within {words.replace('5m', '5 m')}", show(ratio, 100, "%")))
    rows += [
        (f"off by over {_FAR}", str(metrics["false_accepts"])),
        ("NEES (1 = calibrated)", show(metrics["nees_mean"], 1, "mean") + ", "
         + show(metrics["nees_median"], 1, "median")),
        ("latency", f"{show(metrics['latency_ms']['p50'], 1, 'ms median')}, "
         f"{show(metrics['latency_ms']['p95'], 1, 'ms p95')}"),
    ]  # fmt: skip
    return rows


def map_size(metrics: dict[str, Any]) -> str:
    """Size of the map file in words, from `map_bytes` and `heads`."""
    heads = f", {metrics['heads']} heads" if metrics["heads"] > 1 else ""
    return f"{metrics['map_bytes'] / 1e6:.2f} MB{heads}"
