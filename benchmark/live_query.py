"""The office's query sequence, played to the live node as the robot drove it: fixes, and
where map->odom puts the robot at each image, before that image could help.

    python -m benchmark.live_query --map office.glace

Exit code 0 if the bounds hold, 1 if not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from bisect import bisect_right
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmark.__main__ import OFFICE
from glace_ros.demo.live_run import LiveRun, play_to_localizer
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.bag_reader import RecordingReader

IMAGES = "/camera/image_raw/compressed"
TOPICS = [IMAGES, "/camera/camera_info", "/tf", "/tf_static", "/odom"]
FIX = (0.25, 5.0)
WORST_M = 0.5


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.live_query")
    parser.add_argument("--map", type=Path, required=True, help="a .glace map of the office")
    parser.add_argument("--data", type=Path, default=OFFICE, help="folder with the query bag")
    args = parser.parse_args()
    bag = args.data / "query"
    parameters = {"map": args.map, "base_frame_id": "base_link", "two_d_mode": "false"}
    remappings = {"image": "/camera/image_raw", "camera_info": "/camera/camera_info"}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "localize.log"
        run = play_to_localizer(bag, TOPICS, IMAGES, parameters, remappings, log)
    with (
        RecordingReader(bag, pose_source="/ground_truth/pose") as truth,
        RecordingReader(bag, pose_source="/odom") as odometry,
    ):
        fixes_n2, off_n = errors(run, truth, odometry)
    if len(fixes_n2) == 0:
        print("no image was localized", file=sys.stderr)
        return 1
    near = float(np.mean((fixes_n2[:, 0] <= FIX[0]) & (fixes_n2[:, 1] <= FIX[1])))
    rows = Table(title=f"{args.map.name}, live", show_header=False)
    rows.add_row("images looked at / fixes", f"{len(run.outcomes)} / {len(fixes_n2)}")
    rows.add_row(f"fixes within {100 * FIX[0]:g} cm / {FIX[1]:g} deg (95 %)", f"{100 * near:.1f} %")
    rows.add_row(
        "fixes, median and worst", f"{np.median(fixes_n2[:, 0]):.3f}, {fixes_n2[:, 0].max():.3f} m"
    )
    rows.add_row(
        f"map->odom at {len(off_n)} images, median and worst ({WORST_M:g} m)",
        f"{np.median(off_n):.3f}, {off_n.max():.3f} m",
    )
    Console().print(rows)
    return 0 if near >= 0.95 and off_n.max() <= WORST_M else 1


def errors(
    run: LiveRun, truth: RecordingReader, odometry: RecordingReader
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 2) m and deg of the fixes; (m,) m by which the newest map->odom of before an image's
    exposure puts the base wrong at it.
    """
    fixes = []
    for stamp_ns, map_from_base in run.fixes.items():
        true = truth.map_from_base(stamp_ns)
        angle_deg = np.degrees(map_from_base.angle_rad(true))
        fixes.append((map_from_base.distance_m(true), angle_deg))
    stamps_ns = [stamp_ns for stamp_ns, _ in run.map_from_odom]
    off_m = []
    for image in truth.images():
        before = bisect_right(stamps_ns, image.stamp_ns) - 1
        if before < 0 or image.map_from_camera is None:
            continue
        true = image.map_from_camera @ truth.info.base_from_camera.inverse()
        try:
            odom_from_base = odometry.map_from_base(image.stamp_ns)
        except TransformError:
            continue  # the recording ends between two odometry messages
        off_m.append((run.map_from_odom[before][1] @ odom_from_base).distance_m(true))
    return np.array(fixes).reshape(-1, 2), np.array(off_m)


if __name__ == "__main__":
    sys.exit(main())
