#!/usr/bin/env bash
# rclpy 7.1.6: a Future that gets its result in another thread does not wake the executor.
#
# Surprising: a service callback is a coroutine that awaits a Future. A worker thread sets the result
#   after half a second, and nothing happens: the executor sleeps until some message or timer comes by
#   chance. Given the executor when it is made (Future(executor=...)), the Future does no better;
#   executor.wake() after set_result answers at once.
# Expected: set_result wakes whoever awaits it, as in asyncio and concurrent.futures.
# Matters: work on images belongs in a thread of its own, so a service that waits for it ("where am I
#   now?") answers late or never, and in tests, where timers run, it seems to work.
# We: call executor.wake() after each set_result.
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=$((RANDOM % 100 + 1))

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export ROS_HOME=$folder/ros
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "ros-jazzy-rclpy[fastrtps]==7.1.6" ros-jazzy-std-srvs==5.3.6

cat >"$folder/node.py" <<'END'
import sys
import threading
import time
from importlib.metadata import version

import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.task import Future
from std_srvs.srv import Trigger

print("ros-jazzy-rclpy", version("ros-jazzy-rclpy"))


def seconds_to_answer(executor, make_future, wake, name):
    """Of a service whose answer another thread has after 0.5 s; None where none came in 4 s."""

    async def answer(request, response):
        future = make_future()

        def work():
            time.sleep(0.5)
            future.set_result(True)
            if wake:
                executor.wake()

        threading.Thread(target=work, daemon=True).start()
        response.success = await future
        return response

    robot, asker = rclpy.create_node(f"{name}_robot"), rclpy.create_node(f"{name}_asker")
    robot.create_service(Trigger, name, answer)
    executor.add_node(robot)
    threading.Thread(target=executor.spin, daemon=True).start()
    asking = SingleThreadedExecutor()
    asking.add_node(asker)
    client = asker.create_client(Trigger, name)
    if not client.wait_for_service(timeout_sec=20.0):
        sys.exit("the service was not discovered")
    start_s = time.monotonic()
    asked = client.call_async(Trigger.Request())
    asking.spin_until_future_complete(asked, 4.0)
    waited_s = time.monotonic() - start_s if asked.done() else None
    executor.shutdown()
    asking.shutdown()
    robot.destroy_node()
    asker.destroy_node()
    return waited_s


rclpy.init()
answers = []
for kind in (SingleThreadedExecutor, MultiThreadedExecutor):
    for given, wake in ((False, False), (True, False), (False, True)):
        executor = kind()
        waited_s = seconds_to_answer(
            executor,
            lambda: Future(executor=executor) if given else Future(),
            wake,
            f"trial_{len(answers)}",
        )
        said = "no answer in 4 s" if waited_s is None else f"answer after {waited_s:.1f} s"
        print(f"{kind.__name__:22} knows executor: {given!s:5}  wake(): {wake!s:5}  {said}")
        answers.append((wake, waited_s))

same = all((waited_s is not None) == wake for wake, waited_s in answers)
sys.exit(None if same else "changed: what wakes an executor")
END

"$folder/venv/bin/python" "$folder/node.py"
