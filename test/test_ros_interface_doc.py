"""docs/ros_interface.md says of the parameters what the code says.

`python test/test_ros_interface_doc.py` brings its table up to date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from glace_ros.nodes.parameters import PARAMETERS

REPO = Path(__file__).resolve().parents[1]
DOC = REPO / "docs" / "ros_interface.md"
BEGIN, END = "<!-- parameters: made by test/test_ros_interface_doc.py -->\n", "<!-- /parameters -->"


def parameter_table() -> str:
    """A Markdown table of all parameters, in the code's order."""
    rows = ["| parameter | default | range | |", "|---|---|---|---|"]
    for name, field in PARAMETERS.items():
        metadata = field.metadata
        values = ""
        if metadata["choices"]:
            values = ", ".join(metadata["choices"])
        elif metadata["low"] is not None:
            values = f"{metadata['low']:g} to {metadata['high']:g}"
        default = field.default
        if isinstance(default, bool):
            default = str(default).lower()
        shown = (
            '""' if default == "" else json.dumps(default) if type(default) is tuple else default
        )
        rows.append(f"| `{name}` | {shown} | {values} | {metadata['description']} |")
    return "\n".join(rows) + "\n"


def test_the_parameter_table_is_the_code_s():
    text = DOC.read_text(encoding="utf-8")
    table = text.split(BEGIN)[1].split(END)[0]
    assert table == parameter_table(), "run `python test/test_ros_interface_doc.py`"


def test_links_between_the_documents_lead_somewhere():
    for name in ("ros_interface.md", "nav2.md"):
        text = (REPO / "docs" / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (REPO / "docs" / target).exists(), f"{name} links to {target}"


def test_every_launch_argument_is_told():
    source = (REPO / "launch" / "localize.launch.py").read_text(encoding="utf-8")
    arguments = re.findall(r'^    "(\w+)": \(', source, re.MULTILINE)
    assert len(arguments) > 8
    text = (REPO / "docs" / "nav2.md").read_text(encoding="utf-8")
    assert [name for name in arguments if f"`{name}`" not in text] == []


if __name__ == "__main__":
    before, rest = DOC.read_text(encoding="utf-8").split(BEGIN)
    DOC.write_text(before + BEGIN + parameter_table() + END + rest.split(END)[1], encoding="utf-8")
    sys.exit()
