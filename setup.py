"""What pip needs beyond pyproject.toml (colcon does without: package.xml says ament_cmake).

pip runs the same CMakeLists.txt as colcon and puts its install tree (generated messages,
typesupport libraries, ament index, launch and config files) into the wheel's "data", which pip
installs into the environment's prefix: <venv>/lib, <venv>/share.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup  # before distutils, which is setuptools' copy then

# isort: split
from distutils.command.install_data import install_data

HERE = Path(__file__).resolve().parent


class CMakeInstallData(install_data):
    """Builds the messages against the wheels and stages CMake's install tree as data files."""

    def run(self) -> None:
        if "AMENT_PREFIX_PATH" in os.environ:
            sys.exit(
                "A ROS environment is sourced (AMENT_PREFIX_PATH is set): use `colcon build` "
                "there, or run pip in a shell where none is sourced."
            )
        stage, build = Path(self.install_dir).resolve(), HERE / "build" / "pip"
        package = importlib.util.find_spec("ament_package")
        if package is None or package.origin is None:
            sys.exit(
                "The ROS 2 wheels that build the messages are missing: install without "
                "--no-build-isolation, or run `make setup`."
            )
        prefix = Path(package.origin).parents[4]  # <prefix>/lib/python3.x/site-packages/...
        shutil.rmtree(build, ignore_errors=True)
        options = [
            "-DBUILD_TESTING=OFF",
            "-DGLACE_ROS_INSTALL_PYTHON=OFF",
            "-DGLACE_ROS_BUILD_STAND_INS=ON",
            f"-DPython3_EXECUTABLE={sys.executable}",
            f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_INSTALL_PREFIX={stage}",
        ]
        env = dict(os.environ, AMENT_PREFIX_PATH=str(prefix))
        for command in (
            ["cmake", "-S", str(HERE), "-B", str(build), "-G", "Ninja", *options],
            ["cmake", "--build", str(build), "--parallel", str(os.cpu_count() or 1)],
            ["cmake", "--install", str(build)],
        ):
            subprocess.run(command, check=True, env=env)
        # setuptools installs our modules: drop rosidl's empty __init__.py and its metadata
        site_packages = next(stage.glob("lib/python*/*-packages"))
        (site_packages / "glace_ros" / "__init__.py").unlink()
        for egg_info in site_packages.glob("*.egg-info"):
            shutil.rmtree(egg_info)
        self.outfiles = [str(path) for path in stage.rglob("*") if path.is_file()]


class BinaryDistribution(Distribution):
    """Compiled, and with data files, although setuptools sees neither."""

    def has_ext_modules(self) -> bool:
        return True

    def has_data(self) -> bool:  # editable installs ask this before they run install_data
        return True


setup(
    data_files=[("share/glace_ros", ["package.xml"])],  # not empty, so that install_data runs
    distclass=BinaryDistribution,
    cmdclass={"install_data": CMakeInstallData},
)
