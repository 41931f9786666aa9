"""Imports go one way, and ROS stays in the nodes: read from the source, module by module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "glace_ros"

# A module or folder of glace_ros may import those of the lines above its own, and itself.
# Two on one line never meet.
LAYERS = (
    {"errors"},
    {"geometry", "device", "ranks", "rejection"},
    {"ros_messages"},
    {"recording", "features", "fusion"},
    {"maps"},
    {"mapping", "localization", "datasets", "simulation", "command_line"},
    {"evaluation"},
    {"report"},
    {"node"},
    {"protocols", "demo"},
    {"commands"},
    {"cli"},
)
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
ROS = re.compile(
    r"(rclpy|\w+_msgs|std_srvs|rosgraph_msgs|cv_bridge|sensor_msgs_py|tf_transformations|tf2_\w+"
    r"|launch|launch_ros|ament_\w+|message_filters|bond|bondpy|diagnostic_updater)(\.|$)"
)


def imported_modules(source: str, module: str, *, is_package: bool) -> set[str]:
    """Dotted names that `source`, the text of `module`, imports anywhere in it."""
    names = set()
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def broken_rules(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """One sentence for each import that must not be."""
    unit = module.split(".")[1] if "." in module else ""
    broken = []
    for name in sorted(imported_modules(source, module, is_package=is_package)):
        if (
            unit not in {"node", "demo"}
            and module != "glace_ros.commands.localize"
            and (ROS.match(name) or re.match(r"glace_ros\.(msg|srv)(\.|$)", name))
        ):
            broken.append(
                f"{module} imports {name}: ROS stays in node/, demo/ and commands/localize"
            )
        if name.split(".")[0] == "rosbags" and unit not in {"recording", "simulation"}:
            broken.append(f"{module} imports {name}: bags are read in glace_ros/recording only")
        other = name.split(".")[1] if name.startswith("glace_ros.") else unit
        if other in LEVEL and unit in LEVEL and other != unit and LEVEL[other] >= LEVEL[unit]:
            broken.append(f"{module} imports {name}: imports go from cli down to errors")
    return broken


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_module_has_a_layer() -> None:
    units = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in source_files()}
    assert units - set(LEVEL) - {"__init__", "__main__"} == set(), "name its layer in LAYERS"


def test_imports_go_one_way() -> None:
    broken = [
        sentence
        for path in source_files()
        for sentence in broken_rules(
            path.read_text(encoding="utf-8"),
            module_name(path),
            is_package=path.name == "__init__.py",
        )
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("glace_ros.maps.scene_map", "import rclpy"),
        ("glace_ros.recording.bag_reader", "def f():\n    from sensor_msgs.msg import Image"),
        ("glace_ros.localization.localizer", "import cv_bridge.core"),
        ("glace_ros.localization.localizer", "from glace_ros.msg import LocalizationStatus"),
        ("glace_ros.mapping.training.map_trainer", "from rosbags.highlevel import AnyReader"),
        (
            "glace_ros.mapping.training.map_trainer",
            "from glace_ros.localization.localizer import Localizer",
        ),
        ("glace_ros.localization.localizer", "from glace_ros import mapping"),
        ("glace_ros.localization.localizer", "from ..mapping import map_trainer"),
        ("glace_ros.geometry.pose", "import glace_ros.recording.bag_reader"),
        ("glace_ros.evaluation.localized_frame", "import glace_ros.commands.evaluate"),
        (
            "glace_ros.geometry.camera",
            "if TYPE_CHECKING:\n    from glace_ros.maps.scene_map import SceneMap",
        ),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(set(broken_rules(source, module))) >= 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "glace_ros.node.localizer_node",
            "import rclpy\nfrom glace_ros.msg import LocalizationStatus",
        ),
        (
            "glace_ros.commands.build_map",
            "from glace_ros.mapping.training.map_trainer import MapTrainer",
        ),
        ("glace_ros.recording.bag_reader", "from rosbags.highlevel import AnyReader"),
        ("glace_ros.localization.localizer", "from glace_ros.maps.scene_map import SceneMap"),
        ("glace_ros.localization.localizer", "from .pose_solver import solve_pose"),
        (
            "glace_ros.maps.scene_map",
            "import json, numpy as np\nfrom glace_ros.geometry.pose import Pose",
        ),
    ],
)
def test_an_allowed_import_passes(module: str, source: str) -> None:
    assert broken_rules(source, module) == []
