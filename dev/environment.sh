#!/bin/sh
# Makes a virtual environment with everything that glace_ros needs, at pinned versions:
#   dev/environment.sh FOLDER PYTHON DISTRO    (jazzy or kilted: whose ROS 2 wheels)
# glace_ros itself is not installed. Where PYTHON can import a torch of pyproject.toml's range, that
# one is kept (it may be a build for this machine's GPU); otherwise the pinned one is installed.
set -eu
cd "$(dirname "$0")/.."
venv=$1 python=$2 distro=$3

fail() {
    echo "setup: $*" >&2
    exit 1
}

check_machine() {
    [ "$(uname -sm)" = "Linux x86_64" ] ||
        fail "the ROS 2 wheels are for Linux on x86-64 only; elsewhere, docs/installation.md tells how colcon builds it on a ROS 2 installation."
    [ "$distro" = jazzy ] || [ -f "dev/$distro.txt" ] ||
        fail "there are no pins for ROS 2 '$distro': ROS_DISTRO=jazzy or kilted."
    command -v "$python" >/dev/null || fail "there is no $python: apt install python3, or make PYTHON=..."
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
        fail "$("$python" --version) is not supported, 3.10 to 3.13 are: name one with make PYTHON=..."
    command -v g++ >/dev/null || fail "there is no C++ compiler for the messages: apt install g++"
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        fail "Python.h is missing, the messages need it: apt install python3-dev"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python's venv module is missing: apt install python3-venv"
}

find_torch() { # PYTHON: prints its torch's version and folder; nothing where none can be used
    "$1" - 2>/dev/null <<'END' || true
import pathlib, torch
if (2, 4) <= tuple(map(int, torch.__version__.split(".")[:2])) < (3, 0):
    print(torch.__version__, pathlib.Path(torch.__file__).parents[1])
END
}

create() { # a new environment, which finds the packages beside PYTHON's torch behind its own
    echo "setup: creating $venv with $("$python" --version)"
    base=$("$python" -c 'import sys; print(sys._base_executable)')
    # Not if these hold ROS wheels, whose libraries are found only in the environment of their own,
    # nor if PYTHON is of the folder that is about to be removed.
    if "$python" -c 'import importlib.util as u, sys
sys.exit(u.find_spec("ros_wheels_bootstrapper") is None and sys.prefix != sys.argv[1])' \
        "$(realpath -m "$venv")"; then
        python=$base
    fi
    torch=$(find_torch "$python")
    rm -rf "$venv"
    "$base" -m venv "$venv" || fail "cannot create $venv (see above)."
    echo "$distro" >"$venv/ros_distro"
    if [ -n "$torch" ]; then
        echo "setup: keeping torch ${torch%% *} of $python"
        echo "${torch#* }" >"$(echo "$venv"/lib/python*/site-packages)/torch_of_this_machine.pth"
    fi
}

check_machine
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || create
made_for=$(cat "$venv/ros_distro" 2>/dev/null || echo jazzy)
[ "$made_for" = "$distro" ] || fail "$venv is for ROS 2 $made_for: name another with VENV=..., or remove it."
torch=$(find_torch "$venv/bin/python")
torch=${torch%% *}
sed "${torch:+s/^torch==.*/torch==$torch/}" dev/constraints.txt >"$venv/constraints.txt"
if [ "$distro" = jazzy ]; then
    "$venv/bin/python" dev/requirements.py >"$venv/requirements.txt"
else # whose wheels are all pinned as requirements; Jazzy's of the same name would contradict them
    sed -i /^ros-/d "$venv/constraints.txt"
    "$venv/bin/python" dev/requirements.py "$distro" >"$venv/requirements.txt"
fi

echo "setup: installing the dependencies (minutes the first time)"
# -qq: errors only
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --prefer-binary \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    -c "$venv/constraints.txt" -r "$venv/requirements.txt" ||
    fail "pip could not install the dependencies (see above); 'make setup' tries again."
