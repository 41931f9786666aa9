"""Time from an image of 640x480 to its pose, by stage, on the office recording's later drive."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmark.__main__ import OFFICE
from glace_ros.localization import localizer as localizer_module
from glace_ros.localization import pose_finder
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.maps.scene_map import SceneMap
from glace_ros.recording.bag_reader import RecordingReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera

WIDTH_PX, HEIGHT_PX = 640, 480
STAGES = ("encode", "code", "head", "solve", "landmarks", "whole")


@dataclass
class Stopwatch:
    """Milliseconds of each call, by stage."""

    ms: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with the time of each call written down."""

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = function(*args, **kwargs)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ms[stage].append(1e3 * (time.perf_counter() - start))
            return result

        return call


def main() -> None:
    """Localizes each image `--repeat` times and prints percentiles."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.query_latency", description=__doc__)
    parser.add_argument("--map", type=Path, required=True, help="a .glace map of the office")
    parser.add_argument("--data", type=Path, default=OFFICE, help="folder with the query bag")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    with RecordingReader(args.data / "query", None, None, "/ground_truth/pose") as reader:
        images = [_enlarged(image.image_rgb_hwc, image.camera) for image in reader.images()]
    scene_map = SceneMap.load(args.map)
    localizer = Localizer(scene_map, LocalizerConfig(), args.device)
    localizer.localize(*images[0])  # the first call warms up
    watch = Stopwatch()
    for stage, module, name in (("encode", localizer_module, "encode_image"),
                                ("solve", pose_finder, "solve_pose"),
                                ("landmarks", pose_finder, "refine_pose")):  # fmt: skip
        setattr(module, name, watch.timed(stage, getattr(module, name)))
    localizer.regress = watch.timed("code", localizer.regress)  # type: ignore[method-assign]
    points = watch.timed("head", localizer.scene_map.points)
    localizer.scene_map.points = points  # type: ignore[method-assign]
    localize = watch.timed("whole", localizer.localize)
    for _ in range(args.repeat):
        for image, camera in images:
            localize(image, camera)
    ms = {stage: np.array(values) for stage, values in watch.ms.items()}
    ms["code"] = ms["code"] - ms["encode"]
    table = Table(
        "stage", "median", "p95", "share",
        title=f"{WIDTH_PX}x{HEIGHT_PX}, {len(ms['whole'])} images, {localizer.device}, "
        f"{torch.get_num_threads()} threads",
    )  # fmt: skip
    whole = float(np.median(ms["whole"]))
    for stage in STAGES:
        if len(ms[stage]):
            median, p95 = np.percentile(ms[stage], [50, 95])
            table.add_row(stage, f"{median:.1f} ms", f"{p95:.1f} ms", f"{median / whole:.0%}")
    Console().print(table)


def _enlarged(image_hwc: NDArray[np.uint8], camera: Camera) -> tuple[NDArray[np.uint8], Camera]:
    """The image stretched to WIDTH_PX x HEIGHT_PX: what counts here is its size."""
    resized_hwc = cv2.resize(image_hwc, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized_hwc, dtype=np.uint8), camera.scaled_to(WIDTH_PX, HEIGHT_PX)


if __name__ == "__main__":
    main()
