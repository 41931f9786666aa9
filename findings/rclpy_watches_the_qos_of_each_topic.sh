#!/usr/bin/env bash
# rclpy 7.1.6: two thirds of what an executor does for a message is for events that nobody asked for.
#
# Surprising: each publisher and each subscription brings two more things that the executor waits for:
#   default callbacks, which log a warning where another node's QoS or type does not fit. The executor
#   goes through all of them, in Python, whenever anything is ready. Of a node with 10 publishers and 8
#   subscriptions a turn takes three times as long as with use_default_callbacks=False.
# Expected: that what happens when nodes find each other costs nothing for each message of a topic; and
#   that publishers, of which no executor knows, do not slow down what it does for subscriptions.
# Matters: a node that listens to /tf and /clock, hundreds of messages a second, and publishes ten
#   topics spends a fifth of a core on it, while its other threads wait for the interpreter.
# We: no default callbacks where QoS cannot fail to fit or is checked otherwise
#   (node/ros_interface/unwatched.py).
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((RANDOM % 100 + 1))

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export ROS_HOME=$folder/ros
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "ros-jazzy-rclpy[fastrtps]==7.1.6" ros-builtin-interfaces==2.0.3

cat >"$folder/turns.py" <<'END'
import sys
import time
from importlib.metadata import version
from statistics import median

import rclpy
from builtin_interfaces.msg import Time
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

print("ros-jazzy-rclpy", version("ros-jazzy-rclpy"))
rclpy.init()


def executor_of(name, watched):
    node = Node(name)
    for index in range(10):
        callbacks = PublisherEventCallbacks(use_default_callbacks=watched)
        node.create_publisher(Time, f"{name}_out_{index}", 1, event_callbacks=callbacks)
    for index in range(8):
        callbacks = SubscriptionEventCallbacks(use_default_callbacks=watched)
        node.create_subscription(
            Time, f"{name}_in_{index}", lambda _: None, 1, event_callbacks=callbacks
        )
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    return node, executor


def turn_ms(executor):
    begun = time.thread_time()
    for _ in range(50):
        executor.spin_once(timeout_sec=0.0)
    return 1e3 * (time.thread_time() - begun) / 50


nodes = {name: executor_of(name, name == "default") for name in ("default", "without")}
took = {name: [] for name in nodes}
for _ in range(21):
    for name, (_, executor) in nodes.items():
        took[name].append(turn_ms(executor))
waits = {name: len(list(node.waitables)) for name, (node, _) in nodes.items()}
for name in nodes:
    print(f"{name}: {waits[name]} events to wait for, {median(took[name]):.2f} ms a turn")
rclpy.shutdown()
same = waits["default"] - waits["without"] == 36
same = same and median(took["default"]) > 1.5 * median(took["without"])
sys.exit(None if same else "changed: what an executor waits for, or how long it takes")
END

"$folder/venv/bin/python" "$folder/turns.py"
