#!/usr/bin/env bash
# rmw_fastrtps 8.4.3 (Jazzy): the service of a killed process stays "ready", and a request to it is lost,
#   though its successor runs.
#
# Surprising: after kill -9 of the only server, service_is_ready() and wait_for_service() say yes until
#   Fast DDS's lease has run out. A request sent in that time has no answer and no error, and it does not
#   reach the new server of the same name either, which runs a second later and answers what is asked
#   afterwards.
# Expected: the request is kept for the server that comes (its QoS is reliable), or fails.
# Matters: a supervisor that asks without a limit of time (Nav2's lifecycle manager, of a node that is
#   respawned) hangs for good, although all processes run.
# We: the docs have the successor found before the manager asks, by a profile or a longer bond_timeout.
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((RANDOM % 100 + 1))

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export ROS_HOME=$folder/ros
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "ros-jazzy-rclpy[fastrtps]==7.1.6" ros-jazzy-rmw-fastrtps-cpp==8.4.3 ros-jazzy-std-srvs==5.3.6

cat >"$folder/server.py" <<'END'
import os

import rclpy
from std_srvs.srv import Trigger

rclpy.init()
node = rclpy.create_node("server")


def answer(request, response):
    response.success, response.message = True, str(os.getpid())
    return response


node.create_service(Trigger, "question", answer)
rclpy.spin(node)
END

cat >"$folder/client.py" <<'END'
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

print("ros-jazzy-rmw-fastrtps-cpp", version("ros-jazzy-rmw-fastrtps-cpp"))
SERVER = [sys.executable, str(Path(__file__).with_name("server.py"))]
rclpy.init()
node = rclpy.create_node("client")
executor = SingleThreadedExecutor()
executor.add_node(node)
client = node.create_client(Trigger, "question")


def wait(done, limit_s):
    """Seconds until it is so; None where it is not within the limit."""
    start_s = time.monotonic()
    while not done():
        if time.monotonic() - start_s > limit_s:
            return None
        executor.spin_once(timeout_sec=0.05)
    return time.monotonic() - start_s


servers = [subprocess.Popen(SERVER)]
try:
    if wait(client.service_is_ready, 20.0) is None:
        sys.exit("the service was not discovered")
    first = client.call_async(Trigger.Request())
    if wait(first.done, 10.0) is None:
        sys.exit("changed: a living server does not answer")
    servers[0].kill()
    servers[0].wait()
    time.sleep(0.5)
    print("0.5 s after kill -9, is the service ready?", client.service_is_ready())
    lost = client.call_async(Trigger.Request())
    servers.append(subprocess.Popen(SERVER))
    new, asked = None, []
    start_s = time.monotonic()
    while new is None and time.monotonic() - start_s < 30.0:  # until the successor answers one
        asked.append(client.call_async(Trigger.Request()))
        wait(lambda: asked[-1].done(), 1.0)
        new = next((call for call in asked if call.done()), None)
    if new is None or new.result().message != str(servers[1].pid):
        sys.exit("changed: the successor does not answer")
    print(f"the successor answers after {time.monotonic() - start_s:.0f} s")
    answered = wait(lost.done, 30.0) is not None
    print("the request that was sent before it ran, 30 s later:", "answered" if answered else "no answer")
    lost_later = sum(not call.done() for call in asked)
    print(f"of {len(asked)} requests after it was started, {lost_later} without an answer")
    sys.exit("changed: the request is answered" if answered else None)
finally:
    for server in servers:
        server.kill()
        server.wait()
END

"$folder/venv/bin/python" "$folder/client.py"
