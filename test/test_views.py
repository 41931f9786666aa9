"""What config/ has for RViz and Foxglove: it parses, and shows what the node publishes."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[1]
RVIZ = yaml.safe_load((REPO / "config" / "localize.rviz").read_text(encoding="utf-8"))
FOXGLOVE = json.loads((REPO / "config" / "foxglove_layout.json").read_text(encoding="utf-8"))
STATUS = (REPO / "msg" / "LocalizationStatus.msg").read_text(encoding="utf-8")
# theirs, not ours: Nav2's map server and its goals, and what Foxglove wants a name for
NAV2 = {"map", "goal_pose", "clicked_point"}


def node_topics() -> set[str]:
    """Names in the sources of the node, without namespace and as the launch file remaps them."""
    sources = [path.read_text(encoding="utf-8") for path in (REPO / "glace_ros/node").rglob("*.py")]
    names = {
        name.lstrip("/").replace("~/", "glace_localizer/")
        for source in sources
        for name in re.findall(r'\w+, "((?:~/|/)?[a-z_]+)"', source)
    }
    assert {"pose", "diagnostics", "glace_localizer/status"} <= names
    return names - {"pose"} | {"amcl_pose"}


def rviz_topics() -> set[str]:
    manager = RVIZ["Visualization Manager"]
    parts = [*manager["Displays"], *manager["Tools"]]
    return {part["Topic"]["Value"] for part in parts if "Topic" in part}


def foxglove_topics() -> set[str]:
    text = json.dumps(FOXGLOVE["configById"])
    return {name.split(".")[0] for name in re.findall(r'"/([a-z_/.]+)"', text)}


@pytest.mark.parametrize("topics", [rviz_topics(), foxglove_topics()], ids=["rviz", "foxglove"])
def test_every_topic_is_one_of_the_node_s_or_of_nav2(topics):
    assert {"amcl_pose", "glace_localizer/inliers_image", "initialpose"} <= topics
    assert topics - NAV2 <= node_topics()


def test_what_is_installed_is_complete():
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    folders = [Path(prefix) / "share" / "glace_ros" for prefix in prefixes]
    installed = next((folder for folder in folders if folder.is_dir()), None)
    if installed is None:
        pytest.skip("glace_ros is not installed")
    for folder in ("config", "launch"):
        ours = {path.name for path in (REPO / folder).iterdir() if path.is_file()}
        theirs = {path.name for path in (installed / folder).iterdir()}
        assert ours - theirs == set(), "run `make setup`"


def test_rviz_shows_the_map_frame_in_the_launch_file_s_namespace():
    assert RVIZ["Visualization Manager"]["Global Options"]["Fixed Frame"] == "map"
    assert not any(topic.startswith("/") for topic in rviz_topics())
    classes = {display["Class"] for display in RVIZ["Visualization Manager"]["Displays"]}
    assert {f"rviz_default_plugins/{name}" for name in ("TF", "PoseWithCovariance")} <= classes


def test_rviz_asks_for_no_more_than_is_offered():
    """A subscription that is latched gets nothing from a publisher that is not."""
    latched = {
        display["Topic"]["Value"]
        for display in RVIZ["Visualization Manager"]["Displays"]
        if display.get("Topic", {}).get("Durability Policy") == "Transient Local"
    }
    assert latched == {"map", "amcl_pose", "glace_localizer/coverage"}


def test_foxglove_s_panels_are_laid_out_and_plot_fields_that_exist():
    def panels(part):
        if isinstance(part, str):
            return [part]
        return panels(part["first"]) + panels(part["second"])

    assert sorted(panels(FOXGLOVE["layout"])) == sorted(FOXGLOVE["configById"])
    plotted = set(re.findall(r'"/glace_localizer/status\.(\w+)"', json.dumps(FOXGLOVE)))
    assert len(plotted) > 4
    assert plotted <= set(re.findall(r"^[\w/]+ +([a-z]\w*)", STATUS, re.MULTILINE))
