"""The files of a map report."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from glace_ros.errors import GlaceError
from glace_ros.report.point_cloud import write_ply

if TYPE_CHECKING:
    from pathlib import Path

    from glace_ros.report.map_report import MapReport


REPORT_S = 4.0
"""What drawing and writing the page takes, the images not counted that the localizer looks at."""


class ReportPaths(NamedTuple):
    """The files of a report."""

    html: Path
    """The page, which needs no other file."""
    json: Path
    """What the page says, for programs."""
    ply: Path
    """The map's points."""


def report_paths(output: Path) -> ReportPaths:
    """MAP.report.html, MAP.report.json and MAP.ply beside MAP.glace."""
    endings = (".report.html", ".report.json", ".ply")
    return ReportPaths(*(output.with_name(output.stem + ending) for ending in endings))


def trajectory_path(output: Path) -> Path:
    """MAP.trajectory.tum beside MAP.glace: poses as they were refined."""
    return output.with_name(output.stem + ".trajectory.tum")


def write_map_report(output: Path, report: MapReport) -> None:
    """Writes the page and the points; the JSON is `write_json`'s.

    output: the map file, beside which they go.
    Raises GlaceError where they cannot be written; the map is not touched.
    """
    from glace_ros.report.map_page import map_page  # plotly takes a second, which few need
    from glace_ros.report.page import write_page

    paths = report_paths(output)
    try:
        write_ply(paths.ply, report.cloud)
        write_page(paths.html, map_page(output.name, report))
    except OSError as error:
        raise GlaceError(
            f"the map {output} is done, but its report {paths.html} cannot be written: "
            f"{error.strerror}; make room, or use --no-report"
        ) from error
