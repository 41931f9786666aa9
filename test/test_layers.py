"""Imports go down the layers and in no circle, ROS and rosbags stay in their rooms: the contracts
of pyproject.toml's [tool.importlinter], and that each of them can be broken.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter is for Python 3.11 and later")

REPO = Path(__file__).resolve().parents[1]
LAYERS = "imports go down the layers, never up"
NODE = "the rooms of node/ follow the data"
CIRCLES = "no circle, of modules or of packages, at any depth"
ROS = "ROS only in node/, demo/ and commands/localize"
BAGS = "bags are read in recording/ and written in simulation/"


def broken_contracts(folder: Path) -> tuple[set[str], str]:
    """(names of the contracts that are broken, what was said) of the package in a folder."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache", "--no-logo", str(folder / "pyproject.toml")],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    said = done.stdout + done.stderr
    broken = {name for name in (LAYERS, NODE, CIRCLES, ROS, BAGS) if f"{name} BROKEN" in said}
    assert (done.returncode == 0) == (not broken), said
    for name in {LAYERS, NODE, CIRCLES, ROS, BAGS} - broken:
        assert f"{name} KEPT" in said, said
    return broken, said


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Path:
    """The package's modules and the contracts, to be changed."""
    folder = tmp_path_factory.mktemp("copy")
    only_modules = shutil.ignore_patterns("__pycache__", "*.css")
    shutil.copytree(REPO / "glace_ros", folder / "glace_ros", ignore=only_modules)
    shutil.copy(REPO / "pyproject.toml", folder)
    return folder


def broken_by(folder: Path, module: str, source: str) -> set[str]:
    """The contracts that this source at the end of a module breaks. Leaves the module as it was."""
    path = folder / f"{module.replace('.', '/')}.py"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text(f"{before or ''}\n{source}\n", encoding="utf-8")
    try:
        return broken_contracts(folder)[0]
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before, encoding="utf-8")


def test_imports_keep_to_the_contracts() -> None:
    broken, said = broken_contracts(REPO)
    assert not broken, said


@pytest.mark.parametrize(
    ("module", "source", "contract"),
    [
        ("glace_ros.maps.scene_map", "import rclpy", ROS),
        ("glace_ros.recording.bag_reader", "def f():\n    from sensor_msgs.msg import Image", ROS),
        ("glace_ros.localization.localizer", "import cv_bridge.core", ROS),
        ("glace_ros.commands.evaluate", "import rclpy", ROS),
        ("glace_ros.mapping.map_builder", "from rosbags.highlevel import AnyReader", BAGS),
        ("glace_ros.mapping.map_builder", "from glace_ros.localization import localizer", LAYERS),
        ("glace_ros.localization.localizer", "from glace_ros import mapping", LAYERS),
        ("glace_ros.localization.localizer", "from ..mapping import map_builder", LAYERS),
        ("glace_ros.geometry.pose", "import glace_ros.recording.bag_reader", LAYERS),
        ("glace_ros.evaluation.metrics", "import glace_ros.commands.evaluate", LAYERS),
        (
            "glace_ros.geometry.camera",
            "if TYPE_CHECKING:\n    from glace_ros.maps.scene_map import SceneMap",
            LAYERS,
        ),
        ("glace_ros.new_room", "", LAYERS),  # every room has its layer
        ("glace_ros.maps.landmarks", "import glace_ros.maps.scene_map", CIRCLES),
        ("glace_ros.node.input.input_topics", "import glace_ros.node.output.publishers", NODE),
        ("glace_ros.mapping.training.map_trainer", "import glace_ros.mapping.map_builder", CIRCLES),
        (
            "glace_ros.geometry.pose",
            "if TYPE_CHECKING:\n    from glace_ros.geometry.camera import Camera\n"
            "    from glace_ros.geometry.transform_tree import TransformTree",
            CIRCLES,
        ),
    ],
)
def test_a_forbidden_import_is_found(copied, module, source, contract) -> None:
    assert contract in broken_by(copied, module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("glace_ros.node.localizer_node", "import rclpy\nimport glace_ros.maps.scene_map"),
        ("glace_ros.commands.localize", "from sensor_msgs.msg import Image"),
        ("glace_ros.demo.live_run", "import rclpy"),
        ("glace_ros.commands.build_map", "import glace_ros.mapping.training.map_trainer"),
        ("glace_ros.recording.bag_reader", "from rosbags.highlevel import AnyReader"),
        ("glace_ros.localization.localizer", "from .pose_solver import solve_pose"),
        ("glace_ros.maps.scene_map", "import json\nfrom glace_ros.geometry.pose import Pose"),
    ],
)
def test_an_allowed_import_passes(copied, module, source) -> None:
    assert broken_by(copied, module, source) == set()
