#!/usr/bin/env bash
# rclpy 7.1.6: spin_until_future_complete keeps some 250 bytes of each message, timer and request.
#
# Surprising: each round adds one more callback to the future that is waited for, and none is taken
#   away before that future is done. spin_once in a loop stays where it is.
# Expected: memory that does not depend on how much came by meanwhile.
# Matters: "spin until somebody asks to stop" is how a node with an exit code is written, and that
#   future is done at the end only. Images, TF and odometry come at some hundreds a second; with
#   300 that is 6 GB a day.
# We: spin_once in a loop that looks at a flag.
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((RANDOM % 100 + 1))

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export ROS_HOME=$folder/ros
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "ros-jazzy-rclpy[fastrtps]==7.1.6"

cat >"$folder/node.py" <<'END'
import gc
import sys
import time
import tracemalloc
from importlib.metadata import version

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future

print("ros-jazzy-rclpy", version("ros-jazzy-rclpy"))
SECONDS = 4.0


def spin_once_in_a_loop(executor):
    end_s = time.monotonic() + SECONDS
    while time.monotonic() < end_s:
        executor.spin_once(timeout_sec=0.1)


def until_a_future_is_done(executor):
    executor.spin_until_future_complete(stop, SECONDS)


def bytes_a_tick(spin):
    ticks = []
    node = rclpy.create_node("robot")
    node.create_timer(0.001, lambda: ticks.append(None))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spin(executor)  # what is made once is made now
    ticks.clear()
    gc.collect()
    tracemalloc.start()
    spin(executor)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] - sys.getsizeof(ticks)
    tracemalloc.stop()
    executor.shutdown()
    node.destroy_node()
    print(f"{spin.__name__:22} {len(ticks):5} ticks, {kept / len(ticks):6.1f} bytes kept of each")
    return kept / len(ticks)


rclpy.init()
stop = Future()
loop, until = bytes_a_tick(spin_once_in_a_loop), bytes_a_tick(until_a_future_is_done)
same = loop < 20.0 and until > 100.0
sys.exit(None if same else "changed: what spin_until_future_complete keeps")
END

"$folder/venv/bin/python" "$folder/node.py"
