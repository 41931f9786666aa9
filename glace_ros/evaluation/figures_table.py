"""Metrics as rows of words, for a person."""

from __future__ import annotations

from typing import Any

from glace_ros.evaluation.metrics import FALSE_ACCEPT

_FAR = f"{FALSE_ACCEPT[0]:g} m / {FALSE_ACCEPT[1]:g} deg"


def figures_table(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The same as rows of words, for a person."""

    def show(value: float | None, factor: float, unit: str) -> str:
        return "none" if value is None else f"{factor * value:.2f} {unit}"

    rows = [
        ("frames", f"{figures['frames']} with truth, {figures['frames_without_truth']} without"),
        ("localized", f"{figures['localized']}, {figures['by_landmarks']} of them by landmarks"),
        ("median error", f"{show(figures['median_translation_m'], 100, 'cm')}, "
         f"{show(figures['median_rotation_deg'], 1, 'deg')}"),
    ]  # fmt: skip
    for name, share in figures["recall"].items():
        words = name.replace("_", " / ").replace("cm", " cm").replace("deg", " deg")
        rows.append((f"within {words.replace('5m', '5 m')}", show(share, 100, "%")))
    rows += [
        (f"off by over {_FAR}", str(figures["false_accepts"])),
        ("NEES (1 = calibrated)", show(figures["nees_mean"], 1, "mean") + ", "
         + show(figures["nees_median"], 1, "median")),
        ("latency", f"{show(figures['latency_ms']['p50'], 1, 'ms median')}, "
         f"{show(figures['latency_ms']['p95'], 1, 'ms p95')}"),
    ]  # fmt: skip
    return rows


def map_size(figures: dict[str, Any]) -> str:
    """In words, from `map_bytes` and `heads`."""
    heads = f", {figures['heads']} heads" if figures["heads"] > 1 else ""
    return f"{figures['map_bytes'] / 1e6:.2f} MB{heads}"
