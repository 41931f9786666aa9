"""How soon the live node answers after its process has begun: what a lifecycle manager waits for.

    python -m benchmark.node_start --map office.glace

Beside a Python that imports rclpy and nothing else, turn and turn about; medians. Processes
announce themselves often (dev/fastdds_discovery.xml): by default they may be found 3 s later.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rich.console import Console
from rich.table import Table

from benchmark.__main__ import REPO
from benchmark.live_load import fast_dds_variable
from glace_ros.demo.live_run import LocalizerProcess, running_localizer
from glace_ros.node.localizer_node import NODE_NAME


def main() -> int:
    """Measures and prints; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.node_start", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--map", type=Path, required=True, help="map file (.glace)")
    parser.add_argument("--times", type=int, default=10, help="of each; medians are printed")
    args = parser.parse_args()
    os.environ.setdefault(fast_dds_variable(), str(REPO / "dev/fastdds_discovery.xml"))
    took_s: dict[str, list[float]] = {}
    for _ in range(args.times):
        begun_s = time.monotonic()
        subprocess.run([sys.executable, "-c", "import rclpy"], check=True)
        took_s.setdefault("a Python that imports rclpy has ended", []).append(
            time.monotonic() - begun_s
        )
        for what, seconds in start_node(args.map).items():
            took_s.setdefault(what, []).append(seconds)
    medians_s = {what: statistics.median(seconds) for what, seconds in took_s.items()}
    unit_s = next(iter(medians_s.values()))
    table = Table("after the process has begun", "s", "ratio", "fastest", "slowest")
    for what, median_s in medians_s.items():
        ends_s = (f"{end(took_s[what]):.2f}" for end in (min, max))
        table.add_row(what, f"{median_s:.2f}", f"{median_s / unit_s:.1f}", *ends_s)
    Console().print(table)
    return 0


def start_node(scene_map: Path) -> dict[str, float]:
    """Seconds from the start of one `localize` process, by what has happened by then."""
    with tempfile.TemporaryDirectory() as folder:
        begun_s = time.monotonic()
        with running_localizer({"map": scene_map}, {}, Path(folder) / "log") as localizer:
            answer_of(localizer, GetState, "get_state", GetState.Request())
            answered_s = time.monotonic() - begun_s
            for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
                request = ChangeState.Request(transition=Transition(id=transition))
                if not answer_of(localizer, ChangeState, "change_state", request).success:
                    sys.exit(f"{scene_map} cannot be loaded: {localizer.log.read_text()}")
            return {
                "get_state is answered": answered_s,
                "the node is active": time.monotonic() - begun_s,
            }


def answer_of(localizer: LocalizerProcess, service_type: Any, name: str, request: Any) -> Any:
    """The answer of one of the node's services, as soon as that is there."""
    client = localizer.node.create_client(service_type, f"{NODE_NAME}/{name}")
    while not client.wait_for_service(0.01):
        localizer.require_running()
    answer = client.call_async(request)
    while not answer.done():
        localizer.require_running()
        time.sleep(0.002)
    localizer.node.destroy_client(client)
    return answer.result()


if __name__ == "__main__":
    sys.exit(main())
