"""Memory and time of a map of a long recording: 10,000 images, spread over a building.

Writes a bag of the office recording's images, lap after lap, every lap in rooms of its own, and
builds a map of it in a process of its own, whose largest resident memory is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from rosbags.rosbag2 import StoragePlugin, Writer

from benchmark.__main__ import OFFICE
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.views.mapping_views import patches_per_view, sample_bytes
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.simulation.bag_messages import BagMessages

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera

BOUND_GB = 6.0
ROOM_M = 12.0
PERIOD_NS, PAUSE_NS, ODOMETRY_NS = 400_000_000, 3_000_000_000, 50_000_000
COPIES, PATCHES = 2, 1000
PROGRAM_BYTES = 2.0e9
"""What a measured 10,000 images took beside their patches: Python, PyTorch, the network, and for a
while landmarks and global descriptors, both from a sample of a recording that is longer.
"""
VIEW_BYTES = 4000
"""A view's poses, matrices, rows, neighbours (2.3 kB, measured with 50,000), global descriptor."""


def main() -> int:
    """Exit code 0 where the memory stays below the bound, else 1 or that of build_map."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.long_recording", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=320, help="of the images, in pixels")
    parser.add_argument("--iterations", type=int, default=200, help="of training: time, not memory")
    parser.add_argument("--buffer-gb", type=float, default=2.0)
    parser.add_argument("--data", type=Path, default=OFFICE, help="folder with the mapping bag")
    parser.add_argument("--folder", type=Path, help="for the bag and the map; a temporary one")
    args = parser.parse_args()
    print_calculation(args.buffer_gb)
    if not args.data.is_dir():
        print(f"long_recording: there is no recording at {args.data}: name its folder with --data")
        return 2
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        start = time.perf_counter()
        images = write_long_bag(folder / "long", args.data / "mapping", args.images, args.width)
        print(f"{images} images written in {time.perf_counter() - start:.0f} s", flush=True)
        return measure(folder, args)


def measure(folder: Path, args: argparse.Namespace) -> int:
    """Build the map and print what it took."""
    command = "import sys; from glace_ros.cli import main; sys.exit(main())"
    arguments = [
        "build_map", "--bag", folder / "long", "--output", folder / "long.glace",
        "--json", folder / "figures.json", "--iterations", args.iterations,
        "--buffer-gb", args.buffer_gb, "--keyframe-dist", 0, "--keyframe-angle", 0,
        "--features-cache-gb", 0,
    ]  # fmt: skip
    code = subprocess.call([sys.executable, "-c", command, *map(str, arguments)])
    if code not in (0, 3):  # so few iterations need not pass the check
        return code
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6  # kB on Linux
    metrics = json.loads((folder / "figures.json").read_text())
    table = Table(title="long recording", show_header=False)
    table.add_row("images", f"{args.images}, {args.width} px wide")
    table.add_row("mapping views", str(metrics["mapping_frames"]))
    patches = patches_per_view(
        int(args.buffer_gb * 2**30), XFeatEncoder.channels, COPIES, metrics["mapping_frames"],
        PATCHES,
    )  # fmt: skip
    table.add_row("patches a view, at most", str(patches))
    table.add_row("peak memory", f"{peak_gb:.2f} GB (bound {BOUND_GB:g} GB)")
    for stage, seconds in metrics["seconds"].items():
        table.add_row(stage, f"{seconds:.0f} s")
    table.add_row("CPUs", str(os.cpu_count()))
    Console().print(table)
    return int(peak_gb >= BOUND_GB)


def print_calculation(buffer_gb: float) -> None:
    """What longer recordings take, by the sizes of what is kept."""
    table = Table(title=f"by calculation, --buffer-gb {buffer_gb:g}")
    for name in ("mapping images", "patches a view", "buffer", "views", "memory in all"):
        table.add_column(name, justify="right")
    max_bytes = int(buffer_gb * 2**30)
    for images in (1_000, 10_000, 30_000, 100_000):
        patches = patches_per_view(max_bytes, XFeatEncoder.channels, COPIES, images, PATCHES)
        buffer = sample_bytes(XFeatEncoder.channels) * COPIES * images * patches
        views = VIEW_BYTES * images
        whole = buffer + views + PROGRAM_BYTES
        table.add_row(
            f"{images:,}", str(patches),
            *(f"{size / 1e9:.2f} GB" for size in (buffer, views, whole)),
        )  # fmt: skip
    Console().print(table)


def write_long_bag(path: Path, office: Path, count: int, width_px: int) -> int:
    """A bag of so many images; one after the other, laps through rooms on a square grid."""
    pngs, poses, camera, base_from_camera = office_frames(office, width_px)
    laps = -(-count // len(pngs))
    side = int(np.ceil(np.sqrt(laps)))
    stamp_ns, written = 1_700_000_000_000_000_000, 0
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        messages = BagMessages(writer, camera, jpeg_quality=90)
        static = [
            ("base_footprint", "base_link", Pose.identity()),
            ("base_link", "camera_optical_frame", base_from_camera),
        ]
        messages.write_static(static, stamp_ns)
        for lap in range(laps):
            room_3 = np.array([ROOM_M * (lap % side), ROOM_M * (lap // side), 0.0])
            for png, pose in zip(pngs, poses, strict=True):
                if written == count:
                    break
                moved = Pose(pose.rotation_33, pose.translation_3 + room_3)
                for offset_ns in (-ODOMETRY_NS, 0, ODOMETRY_NS):
                    at_ns = stamp_ns + offset_ns
                    messages.write_odometry(moved, (0.0, 0.0), at_ns, at_ns)
                bgr_hwc = np.asarray(cv2.imdecode(png, cv2.IMREAD_COLOR), dtype=np.uint8)
                messages.write_image(bgr_hwc[..., ::-1], stamp_ns, stamp_ns)
                stamp_ns, written = stamp_ns + PERIOD_NS, written + 1
            stamp_ns += PAUSE_NS
    return written


def office_frames(
    office: Path, width_px: int
) -> tuple[list[NDArray[np.uint8]], list[Pose], Camera, Pose]:
    """(PNG files, map_from_base, camera, base_from_camera) of all usable frames, resized."""
    pngs: list[NDArray[np.uint8]] = []
    poses: list[Pose] = []
    with RecordingReader(office) as reader:
        height_px = round(width_px * reader.info.camera.height_px / reader.info.camera.width_px)
        camera_from_base = reader.info.base_from_camera.inverse()
        for image in reader.posed_images(FrameSelection(0.0, 0.0)):
            small = cv2.resize(
                image.image_rgb_hwc, (width_px, height_px), interpolation=cv2.INTER_AREA
            )
            png = cv2.imencode(".png", small[..., ::-1])[1].ravel()
            pngs.append(np.asarray(png, dtype=np.uint8))
            assert image.map_from_camera is not None
            poses.append(image.map_from_camera @ camera_from_base)
        camera = reader.info.camera.undistorted.scaled_to(width_px, height_px)
        return pngs, poses, camera, reader.info.base_from_camera


if __name__ == "__main__":
    sys.exit(main())
