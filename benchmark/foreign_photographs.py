"""Photographs of other places: how many of them a map takes for its own. Every pose is a false one.

    python -m benchmark.foreign_photographs --map office.glace --images FOLDER --hfov 60

FOLDER: any photographs that the map does not show; their cameras are not known, so a pinhole of the
given field of view stands for each. Prints a table; exit code 1 where a pose was accepted.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from glace_ros.geometry.camera import Camera
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.maps.scene_map import SceneMap
from glace_ros.rejection import Rejection

SUFFIXES = {".jpg", ".jpeg", ".png"}


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.foreign_photographs")
    parser.add_argument("--map", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--hfov", type=float, default=60.0, help="degrees (default %(default)g)")
    args = parser.parse_args()
    files = sorted(f for f in args.images.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        print(f"there are no photographs in {args.images}", file=sys.stderr)
        return 2
    localizer = Localizer(SceneMap.load(args.map))
    results = [result_of(localizer, file, args.hfov) for file in track(files, "localize")]
    Console().print(table(files, results))
    return int(any(isinstance(result, PoseEstimate) for result in results))


def result_of(localizer: Localizer, file: Path, hfov_deg: float) -> PoseEstimate | Rejection:
    """Of one photograph."""
    image_bgr_hwc = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image_bgr_hwc is None:
        raise SystemExit(f"{file} is no photograph that can be read")
    height, width = image_bgr_hwc.shape[:2]
    focal_px = width / 2 / np.tan(np.radians(hfov_deg) / 2)
    camera = Camera(width, height, focal_px, focal_px, (width - 1) / 2, (height - 1) / 2)
    image_rgb_hwc = np.ascontiguousarray(image_bgr_hwc[..., ::-1], dtype=np.uint8)
    return localizer.localize(image_rgb_hwc, camera)


def table(files: list[Path], results: list[PoseEstimate | Rejection]) -> Table:
    """What came of them, and how near the nearest came to being accepted."""
    rows = Table(title=f"{len(files)} photographs of other places", show_header=False)
    accepted = [
        file.name
        for file, result in zip(files, results, strict=True)
        if isinstance(result, PoseEstimate)
    ]
    rows.add_row("accepted", ", ".join(accepted) or "0")
    ratios = [result.inlier_ratio for result in results]
    rows.add_row("inlier ratio", f"median {np.median(ratios):.3f}, largest {max(ratios):.3f}")
    codes = Counter(result.code for result in results if isinstance(result, Rejection))
    for code, count in codes.most_common():
        rows.add_row(f"refused: {code.words}", str(count))
    return rows


if __name__ == "__main__":
    sys.exit(main())
