"""Time from an image of 640x480 to its pose, by stage, on the office recording's later drive.

`--busy N`: then again beside so many processes that want a core each, as on a robot. Start it with
OMP_WAIT_POLICY=PASSIVE, which is what the live node sets for itself. The whole is timed alone, the
stages in a second call under Python's profiler. On a GPU, start it with CUDA_LAUNCH_BLOCKING=1: a
stage is otherwise over before its work is.
"""

from __future__ import annotations

import argparse
import inspect
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from cProfile import Profile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmark.__main__ import OFFICE
from glace_ros.features.preprocessing import encode_image
from glace_ros.localization.landmark_refinement import refine_pose
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.localization.pose_solver import solve_pose
from glace_ros.maps.scene_map import SceneMap
from glace_ros.recording.bag_reader import RecordingReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera

WIDTH_PX, HEIGHT_PX = 640, 480
STAGES: dict[str, Callable[..., Any]] = {
    "encode": encode_image,
    "code": Localizer.regress,
    "head": SceneMap.points,
    "solve": solve_pose,
    "landmarks": refine_pose,
}


def stage_ms(work: Callable[[], object]) -> dict[str, float]:
    """Milliseconds that Python's profiler finds in each stage of `work` that was reached."""
    profile = Profile()
    profile.runcall(work)
    entries = {entry.code: entry for entry in profile.getstats()}
    code_of = {stage: inspect.unwrap(function).__code__ for stage, function in STAGES.items()}
    found = {stage: entries[code] for stage, code in code_of.items() if code in entries}
    ms = {stage: 1e3 * entry.totaltime for stage, entry in found.items()}
    ms["code"] -= ms["encode"]  # what a global descriptor costs beyond the local features
    if "landmarks" in found:  # they solve again, which is time of their own
        calls = found["landmarks"].calls or ()
        ms["solve"] -= sum(1e3 * c.totaltime for c in calls if c.code is code_of["solve"])
    return ms


def main() -> None:
    """Localizes each image `--repeat` times and prints percentiles."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.query_latency", description=__doc__)
    parser.add_argument("--map", type=Path, required=True, help="a .glace map of the office")
    parser.add_argument("--data", type=Path, default=OFFICE, help="folder with the query bag")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="as the node's parameter")
    parser.add_argument("--busy", type=int, default=0, help="processes beside, of a second table")
    args = parser.parse_args()
    with RecordingReader(args.data / "query", None, None, "/ground_truth/pose") as reader:
        images = [_enlarged(image.image_rgb_hwc, image.camera) for image in reader.images()]
    if args.threads:
        torch.set_num_threads(args.threads)
    scene_map = SceneMap.load(args.map)
    localizer = Localizer(scene_map, LocalizerConfig(), args.device)
    localizer.localize(*images[0])  # the first call warms up
    Console().print(measured(localizer, images, args.repeat, "quiet"))
    if args.busy:
        with _busy(args.busy):
            title = f"beside {args.busy} busy processes"
            Console().print(measured(localizer, images, args.repeat, title))


def measured(
    localizer: Localizer,
    images: list[tuple[NDArray[np.uint8], Camera]],
    repeat: int,
    title: str,
) -> Table:
    """Times of all stages, each image so many times."""
    ms: dict[str, list[float]] = {stage: [] for stage in (*STAGES, "whole")}
    for _ in range(repeat):
        for image, camera in images:
            start = time.perf_counter()
            localizer.localize(image, camera)
            ms["whole"].append(1e3 * (time.perf_counter() - start))
            for stage, value in stage_ms(partial(localizer.localize, image, camera)).items():
                ms[stage].append(value)
    table = Table(
        "stage", "median", "p95", "worst", "share",
        title=f"{title}: {WIDTH_PX}x{HEIGHT_PX}, {len(ms['whole'])} images, {localizer.device}, "
        f"{torch.get_num_threads()} threads",
    )  # fmt: skip
    whole = float(np.median(ms["whole"]))
    for stage, values in ms.items():
        if values:
            median, *late = np.percentile(values, [50, 95, 100])
            times = [f"{value:.1f} ms" for value in (median, *late)]
            table.add_row(stage, *times, f"{median / whole:.0%}")
    return table


@contextmanager
def _busy(count: int) -> Iterator[None]:
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def _enlarged(image_hwc: NDArray[np.uint8], camera: Camera) -> tuple[NDArray[np.uint8], Camera]:
    """The image stretched to WIDTH_PX x HEIGHT_PX: what counts here is its size."""
    resized_hwc = cv2.resize(image_hwc, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized_hwc, dtype=np.uint8), camera.scaled_to(WIDTH_PX, HEIGHT_PX)


if __name__ == "__main__":
    main()
