#!/bin/bash
# `colcon build` and `colcon test` on the wheels, as docs/installation.md tells it, in an
# environment without glace_ros: one that has it from pip must never see it from colcon too. That is
# .venv before `make setup`, or else one of its own.
#   dev/check_colcon.sh [kilted]    on Jazzy's wheels, or on Kilted's in folders of their own
set -eu
cd "$(dirname "$0")/.."
distro=${1:-jazzy} venv=.venv build=build install=install log=log
[ ! -e .venv/.installed ] || venv=.venv-colcon
[ "$distro" = jazzy ] ||
    venv=.venv-colcon-$distro build=.colcon-$distro/build install=.colcon-$distro/install log=.colcon-$distro/log
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
# Of the packages little is imported here: that is compiled then, and not all of them by pip.
export PIP_COMPILE=0
unset PYTHONDONTWRITEBYTECODE
# Of the fast tests, which `make test` runs all, those of what an installation can get wrong: messages,
# commands, and the files that come along. The others would compute the same once more.
export GLACE_ROS_PYTEST_ADDOPTS="-n 2 --dist worksteal" OMP_NUM_THREADS=1
for computes in evaluation fusion geometry localization mapping protocols recording simulation \
    commands/test_{several_drives,refine_poses,trajectory_file}.py; do
    GLACE_ROS_PYTEST_ADDOPTS+=" --ignore=$PWD/test/$computes"
done
# Libraries of a ROS that is sourced, or of another environment's wheels whose Python started this.
[ -z "${AMENT_PREFIX_PATH:-}${_ROS_WHEELS_BOOTSTRAP_COMPLETE:-}" ] || unset LD_LIBRARY_PATH
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH

make --silent dependencies ROS_DISTRO="$distro" VENV="$venv"
source "$venv/bin/activate"
colcon --log-base "$log" build --build-base "$build" --install-base "$install" \
    --event-handlers console_cohesion- --cmake-args -DBUILD_TESTING=ON
set +u
source "$install/setup.sh"
set -u
names=$(python -c 'from glace_ros.cli import SUBCOMMANDS; print(*SUBCOMMANDS)')
# what `ros2 run glace_ros NAME` starts; most import torch, which takes seconds
printf '%s\n' $names | xargs -P 2 -I NAME sh -c \
    "'$install/glace_ros/lib/glace_ros/NAME' --help >/dev/null && echo 'colcon: NAME --help works'"
# The node's process starts, declares its parameters and says what is wrong: exit code 4, no map.
code=0
"$install/glace_ros/lib/glace_ros/localize" --map "$build/no_such_map.glace" || code=$?
[ "$code" -eq 4 ] || { echo "colcon: localize without a map ended with $code, not 4" >&2; exit 1; }
colcon --log-base "$log" test --build-base "$build" --install-base "$install" \
    --return-code-on-test-failure || { cat "$build/glace_ros/ament_cmake_pytest/pytest.txt"; exit 1; }
tail -n 5 "$build/glace_ros/ament_cmake_pytest/pytest.txt"
colcon test-result --verbose --test-result-base "$build"
