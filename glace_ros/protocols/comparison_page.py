"""A measured row among those that a paper reports: as Markdown, and as a page with bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import plotly.graph_objects as go
from markupsafe import Markup

from glace_ros.report.colours import GREY, ORANGE
from glace_ros.report.page import Page, Verdict, chart, listed, section, table

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROW_PX = 26
MEASURED = "measured here"


class ComparedRow(NamedTuple):
    """Cells as they are shown.

    from_: where the metrics are from, MEASURED or a paper's table.
    metrics: one for each column of the table, empty where there is none.
    """

    system: str
    from_: str
    depth: str
    map_size: str
    mapping_time: str
    metrics: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """By the names that the file of results has for its columns."""
        cells = self._asdict()
        cells["figures"] = cells.pop("metrics")
        return cells


class Comparison(NamedTuple):
    """A table of the paper with our row.

    unit: of the metrics.
    """

    title: str
    unit: str
    columns: tuple[str, ...]
    rows: tuple[ComparedRow, ...]

    @property
    def head(self) -> tuple[str, ...]:
        """The names over all cells of a row."""
        return ("system", "source", "depth", "map", "mapping", *self.columns)

    def cells(self) -> list[tuple[str, ...]]:
        """The rows below the head; what is not known is a dash."""
        return [tuple(cell or "-" for cell in (*row[:5], *row.metrics)) for row in self.rows]


def markdown(title: str, tables: Sequence[Comparison], notes: Sequence[str]) -> str:
    """The tables as Markdown, each with its unit."""
    parts = [f"# {title}"]
    for compared in tables:
        lines = [compared.head, tuple("---" for _ in compared.head), *compared.cells()]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"## {compared.title}\n\n{compared.unit}\n\n{body}")
    parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def comparison_page(
    title: str, sentence: str, tables: Sequence[Comparison], notes: Sequence[str]
) -> Page:
    """The tables, below each the bars of one of its columns."""
    sections = []
    for compared in tables:
        body = table(compared.head, compared.cells())
        sections.append(section(compared.title, body + _bars(compared), compared.unit))
    sections.append(section("Notes", listed(notes)))
    return Page(title, Verdict("good", "measured", sentence), sections)


def number(cell: str) -> float | None:
    """The first of a cell's numbers, which bars show."""
    try:
        return float(cell.partition("/")[0])
    except ValueError:
        return None


def _bars(compared: Comparison) -> Markup:
    """Of the last column that has a measured value."""
    ours = [row for row in compared.rows if row.from_ == MEASURED]
    shown = [
        column
        for column in range(len(compared.columns))
        if any(number(row.metrics[column]) is not None for row in ours)
    ]
    if not shown:
        return Markup()
    column = shown[-1]
    rows = [row for row in compared.rows if number(row.metrics[column]) is not None]
    figure = go.Figure()
    for whose, colour in ((MEASURED, ORANGE), ("reported", GREY)):
        of_these = [row for row in rows if (row.from_ == MEASURED) == (whose == MEASURED)]
        figure.add_bar(
            y=[row.system for row in of_these],
            x=[number(row.metrics[column]) for row in of_these],
            text=[row.metrics[column] for row in of_these],
            orientation="h", marker={"color": colour}, name=whose,
        )  # fmt: skip
    figure.update_xaxes(title=f"{compared.columns[column]}: {compared.unit}", rangemode="tozero")
    figure.update_yaxes(
        categoryorder="array", categoryarray=[row.system for row in reversed(rows)], automargin=True
    )
    return chart(figure, 110 + _ROW_PX * len(rows))
