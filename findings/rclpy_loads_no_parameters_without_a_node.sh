#!/usr/bin/env bash
# rclpy 9.1.2 (Kilted): parameter_dict_from_yaml_file loads nothing unless it is told which node's.
#
# Surprising: "will load all parameters if target_nodes is None or empty", says its documentation, and so
#   did 7.1.6 (Jazzy). 9.1.2 raises "Param file does not contain any valid parameters" of a file that
#   `ros2 param dump` wrote, with use_wildcard too (ros2/rclpy#1552 mends it, after 9.1.2).
# Expected: the file's parameters.
# Matters: a tool that reads a node's dump, to compare it or to send it back, works on Jazzy and finds the
#   same file invalid on Kilted. `ros2 param load` names the node and is not concerned.
# We: name the node, which both understand (test/node/test_live_services.py).
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ros-kilted-rclpy[fastrtps]==9.1.2"

cat >"$folder/dump.yaml" <<'END'
/robot:
  ros__parameters:
    max_rate: 5.0
END
cat >"$folder/load.py" <<'END'
import sys
from importlib.metadata import version

from rclpy.parameter import parameter_dict_from_yaml_file

print("rclpy", version("ros-rclpy"))
results = []
for options in ({}, {"use_wildcard": True}, {"target_nodes": ["/robot"]}):
    try:
        results.append(list(parameter_dict_from_yaml_file(sys.argv[1], **options)))
    except RuntimeError as error:
        results.append(str(error))
    print(f"{options or 'no options'}: {results[-1]}")
nothing = "Param file does not contain any valid parameters"
sys.exit(None if results == [nothing, nothing, ["max_rate"]] else "changed: what is loaded")
END
"$folder/venv/bin/python" "$folder/load.py" "$folder/dump.yaml"
