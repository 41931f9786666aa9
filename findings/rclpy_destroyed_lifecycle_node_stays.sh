#!/usr/bin/env bash
# rclpy 7.1.6: a lifecycle node that was destroyed is still in the graph, and its services are offered.
#
# Surprising: destroy_node() of a LifecycleNode returns, and other processes still see the node's name
#   and its change_state and get_state services, also after rclpy's shutdown. They go when the Python
#   object is collected; where a process ends by os._exit, when the lease of its participant is over.
# Expected: as of a plain Node, whose name and services are gone.
# Matters: wait_for_service says that the node is there, requests are sent and never answered; Nav2's
#   lifecycle manager waits for such an answer without limit.
# We: destroy the state machine, which owns the services, together with the node.
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((RANDOM % 100 + 1))

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export ROS_HOME=$folder/ros
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "ros-jazzy-rclpy[fastrtps]==7.1.6" ros-jazzy-lifecycle-msgs==2.0.3

cat >"$folder/node.py" <<'END'
import gc
import sys
import time
from importlib.metadata import version

import rclpy
from lifecycle_msgs.srv import GetState
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

print("ros-jazzy-rclpy", version("ros-jazzy-rclpy"))
outside = Context()
rclpy.init(context=outside)
looking = Node("looking", context=outside)
client = looking.create_client(GetState, "/managed/get_state")


def settled(name):
    """Whether the node is in the graph, once two seconds have passed."""
    time.sleep(2.0)
    return name in looking.get_node_names()


rclpy.init()
gc.disable()  # only to show it each time: a cycle keeps the node until it is collected
plain, managed = Node("plain"), LifecycleNode("managed")
assert settled("plain") and settled("managed")
plain.destroy_node()
managed.destroy_node()
del plain, managed
after_destroy = settled("plain"), settled("managed"), client.service_is_ready()
print("plain, managed and get_state are there after destroy_node:", after_destroy)
rclpy.shutdown()
after_shutdown = settled("managed"), client.service_is_ready()
print("managed and get_state are there after shutdown:", after_shutdown)
gc.collect()
after_collect = settled("managed"), client.service_is_ready()
print("and after a collection:", after_collect)
same = (
    after_destroy == (False, True, True)
    and after_shutdown == (True, True)
    and after_collect == (False, False)
)
sys.exit(None if same else "changed: what becomes of a destroyed lifecycle node")
END

"$folder/venv/bin/python" "$folder/node.py"
