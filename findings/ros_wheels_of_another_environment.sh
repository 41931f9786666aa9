#!/usr/bin/env bash
# ros-wheels-bootstrapper 0.1.2: a child process in another virtual environment runs this one's ROS.
#
# Surprising: with ROS 2 from PyPI, each start of Python puts the libraries of its environment into
#   LD_LIBRARY_PATH, notes that in _ROS_WHEELS_BOOTSTRAP_COMPLETE and starts itself again. Both variables
#   are inherited: python of environment B, started by a program of environment A, takes the note for
#   its own and loads A's shared libraries into B's rclpy. Without the note alone, B adds its own
#   folders, but A's are still among them, in an order that differs from run to run.
# Expected: each environment uses its own libraries, whoever started it.
# Matters: builds, launchers and test runners start processes of other environments. As long as both
#   hold the same release all seems well; after an update of one of them, rclpy runs with libraries that
#   it was not built for.
# We: take out the note in the Makefile and in dev/check_colcon.sh, and LD_LIBRARY_PATH where the note is
#   set or a ROS is sourced; elsewhere it is the user's own.
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for name in a b; do
    python3 -m venv "$folder/$name"
    "$folder/$name/bin/pip" install --quiet --disable-pip-version-check \
        "ros-jazzy-rclpy[fastrtps]==7.1.6" ros-wheels-bootstrapper==0.1.2
done

cat >"$folder/whose.py" <<'END'  # prints how many ROS libraries of which environments are loaded
import sys
from collections import Counter

from rclpy.impl.implementation_singleton import rclpy_implementation  # noqa: F401

with open("/proc/self/maps") as maps:
    files = {line.split()[-1] for line in maps if ".libs/" in line and "/site-packages/ros_" in line}
count = Counter(file[len(sys.argv[1]) + 1 :].split("/")[0] for file in files)
print(count["a"], count["b"])
END

cat >"$folder/start.py" <<'END'  # starts its arguments without the variables named in the first one
import os
import subprocess
import sys

left_out = sys.argv[1].split(",")
environment = {name: value for name, value in os.environ.items() if name not in left_out}
subprocess.run(sys.argv[2:], env=environment, check=True)
END

b() { "$@" "$folder/b/bin/python" "$folder/whose.py" "$folder"; }
note=_ROS_WHEELS_BOOTSTRAP_COMPLETE
alone=$(b env)
from_a=$(b "$folder/a/bin/python" "$folder/start.py" "")
neither=$(b "$folder/a/bin/python" "$folder/start.py" "$note,LD_LIBRARY_PATH")
"$folder/a/bin/pip" list --disable-pip-version-check | grep -E "ros-jazzy-rclpy|bootstrapper"
echo "libraries of a and of b, loaded by b's python"
echo "  started from the shell:                $alone"
echo "  started by a's python:                 $from_a"
for _ in 1 2 3; do
    echo "  the same without the note alone:       $(b "$folder/a/bin/python" "$folder/start.py" "$note")"
done
echo "  without the note and LD_LIBRARY_PATH:  $neither"

if [ "${alone% *}" -ne 0 ] || [ "${from_a% *}" -eq 0 ] || [ "${neither% *}" -ne 0 ]; then
    echo "changed: whose libraries a child process loads" >&2
    exit 1
fi
