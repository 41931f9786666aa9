"""The paper's table with the rows that were measured here, and a table of our scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.protocols.comparison_page import MEASURED, ComparedRow, Comparison
from glace_ros.protocols.reported_metrics import MEDIANS, RECALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.protocols.jobs import FinishedJob
    from glace_ros.protocols.protocols import Protocol
    from glace_ros.protocols.reported_metrics import ReportedTable

NOTES = (
    "figures marked 'reported' are the paper's own, copied from the table that is named; only "
    f"those marked '{MEASURED}' come from this run",
    "an image without a pose counts as infinitely wrong",
    "map: the mean size of a scene's map file; mapping: the mean wall time of build_map",
)
RESUMED = "the mapping of {} was interrupted: its time is that of the last part"
SUBMIT = (
    "the queries' poses are not published: upload the .submission.txt to visuallocalization.net"
)
_AACHEN = ("25cm_2deg", "50cm_5deg", "5m_10deg")


def comparisons(protocol: Protocol, finished: Sequence[FinishedJob]) -> list[Comparison]:
    """The paper's table with a row of ours for each variant; then our scenes, one by one."""
    unit = MEDIANS if protocol.name == "cambridge" else RECALL
    rows = [row for job in finished for row in _rows_of(job, unit)]
    scenes = Comparison("Scenes of this run", unit, ("images", "figure"), tuple(rows))
    return [_with_ours(protocol, protocol.table, finished), scenes]


def notes_on(protocol: Protocol, finished: Sequence[FinishedJob]) -> list[str]:
    """What a reader must know."""
    notes = [*NOTES]
    if not protocol.table.systems:
        notes.append(f"the paper has no figures of {protocol.name}")
    if protocol.one_map:
        notes.append("of several rooms: the mean of their shares, as in the paper's Figure 6")
    notes += [RESUMED.format(_name(job)) for job in finished if job.resumed]
    if any(job.evaluate["frames_without_truth"] for job in finished):
        notes.append(SUBMIT)
    return notes


def _with_ours(
    protocol: Protocol, table: ReportedTable, finished: Sequence[FinishedJob]
) -> Comparison:
    columns = [
        at
        for at, name in enumerate(table.columns)
        # of Table 1 the half that is of this data set
        if "," not in protocol.column or name.split(",")[0] == protocol.column.split(",")[0]
    ]
    names = tuple(table.columns[at] for at in columns)
    depth = {True: "yes", False: "no", None: ""}
    rows = [
        ComparedRow(
            system.name, f"reported, {table.source}", depth[system.depth], system.map_size, "",
            tuple(system.metrics[at] for at in columns),
        )
        for system in table.systems
    ]  # fmt: skip
    for variant in dict.fromkeys(done.job.variant for done in finished):
        of_it = [done for done in finished if done.job.variant == variant]
        rows.append(_our_row(protocol, variant, names, of_it))
    title = f"{table.source} of the paper" if table.systems else protocol.name
    return Comparison(title, table.unit, names, tuple(rows))


def _our_row(
    protocol: Protocol, variant: str, columns: tuple[str, ...], finished: Sequence[FinishedJob]
) -> ComparedRow:
    chosen = sum(len(done.job.folders) for done in finished)
    part = f", {chosen} of {len(protocol.folders)} scenes"
    heads = finished[0].build.get("heads", 1)
    name = "glace_ros" + (f" x{heads}" if heads > 1 else "") + (f", {variant}" if variant else "")
    name += part if chosen < len(protocol.folders) else ""
    return ComparedRow(
        name, MEASURED, "no",
        _megabytes([done.build["map_bytes"] for done in finished]),
        _minutes([done.build["seconds"]["total"] for done in finished]),
        tuple(_our_metrics(protocol, columns, finished)),
    )  # fmt: skip


def _our_metrics(
    protocol: Protocol, columns: tuple[str, ...], finished: Sequence[FinishedJob]
) -> list[str]:
    if protocol.name == "aachen-day":
        metrics = finished[0].evaluate
        return [_percent(metrics["recall"][name]) for name in _AACHEN]
    if protocol.name == "cambridge":
        by_scene = {done.job.name.partition("_")[2]: done.evaluate for done in finished}
        cells = [_median([by_scene[name]]) if name in by_scene else "" for name in columns[:-1]]
        return [*cells, _median(list(by_scene.values()))]
    ratios = [room["recall"]["5cm_5deg"] for done in finished for room in _rooms(done).values()]
    return [_percent(float(np.mean(ratios))) if name == protocol.column else "" for name in columns]


def _rows_of(done: FinishedJob, unit: str) -> list[ComparedRow]:
    rows = []
    for name, metrics in _rooms(done).items():
        cell = _median([metrics]) if unit == MEDIANS else _percent(metrics["recall"]["5cm_5deg"])
        images = str(metrics["frames"] + metrics["frames_without_truth"])
        whole = name == done.job.name
        rows.append(
            ComparedRow(
                "/".join(filter(None, (done.job.variant, name))), MEASURED, "no",
                _megabytes([done.build["map_bytes"]]) if whole else "",
                _minutes([done.build["seconds"]["total"]]) if whole else "",
                (images, cell),
            )
        )  # fmt: skip
    return rows


def _rooms(done: FinishedJob) -> dict[str, dict[str, Any]]:
    """Metrics by room of a list, else of the scene."""
    rooms = done.evaluate.get("rooms") or {done.job.name: done.evaluate}
    return {name.split("/")[-1]: metrics for name, metrics in rooms.items()}


def _name(done: FinishedJob) -> str:
    return "/".join(filter(None, (done.job.variant, done.job.name)))


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{100 * ratio:.1f}"


def _median(scenes: Sequence[dict[str, Any]]) -> str:
    """cm / deg, the mean over scenes; 'none' where half of a scene's images got no pose."""
    if any(scene["median_translation_m"] is None for scene in scenes):
        return "none"
    metres = np.mean([scene["median_translation_m"] for scene in scenes])
    degrees = np.mean([scene["median_rotation_deg"] for scene in scenes])
    return f"{100 * metres:.1f}/{degrees:.2f}"


def _megabytes(sizes: Sequence[int]) -> str:
    return f"{np.mean(sizes) / 1e6:.1f} MB"


def _minutes(seconds: Sequence[float]) -> str:
    return f"{np.mean(seconds) / 60:.1f} min"
