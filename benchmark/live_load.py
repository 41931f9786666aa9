"""The live node under load: its share of the processor, latency, memory and map->odom, over time.

    python -m benchmark.live_load --map office.glace --minutes 2                 # as on a robot
    python -m benchmark.live_load --map office.glace --minutes 12 --speed 10     # two hours

The office's query sequence, forth and back, as images of 640x480 at --rate beside odometry
that is right: every map->odom but one is then an error. The robot stands still for five images in
each place that the recording has an image of, as there are none from between. --speed: of
/clock; images come as often for each second of it. Exit code 0 if the bounds hold, 1 if not.

One file of 300 lines, to be read from its top: nothing else uses a part of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from glace_ros.msg import LocalizationStatus
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rich.console import Console
from rich.table import Table
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from benchmark.__main__ import OFFICE, REPO
from glace_ros.demo.live_run import LocalizerProcess, running_localizer
from glace_ros.geometry.pose import Pose, interpolate
from glace_ros.node.output.publishers import LATCHED
from glace_ros.node.ros_interface.conversions import ns_to_stamp
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.rejection import RejectionCode
from glace_ros.ros_messages.reading import pose_from_transform

WIDTH_PX, HEIGHT_PX = 640, 480
IMAGES_A_STOP = 5
ODOM_FROM_MAP = Pose.from_planar(4.0, -7.0, 1.0)
BOUNDS = {"latency, p95": 250.0, "processors": 1.0, "map->odom, worst": 0.5}


@dataclass(frozen=True, eq=False)
class Drive:
    """Images with their camera's message, and where the base was; forth and back without end."""

    images: list[Image]
    camera_info: CameraInfo
    map_from_base: list[Pose]
    base_from_camera: Pose

    @staticmethod
    def read(bag: Path) -> Drive:
        """Of the office's query sequence, resized."""
        images, poses = [], []
        with RecordingReader(bag, pose_source="/ground_truth/pose") as reader:
            for posed in reader.images():
                picture_hwc = cv2.resize(posed.image_rgb_hwc, (WIDTH_PX, HEIGHT_PX))
                image = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding="rgb8", step=3 * WIDTH_PX)
                image.header.frame_id = "camera"
                image.data.frombytes(picture_hwc.tobytes())
                images.append(image)
                if posed.map_from_camera is None:
                    raise SystemExit(f"the truth of {bag} does not cover all of its images")
                poses.append(posed.map_from_camera @ reader.info.base_from_camera.inverse())
            camera = posed.camera.scaled_to(WIDTH_PX, HEIGHT_PX)
            info = CameraInfo(height=HEIGHT_PX, width=WIDTH_PX, distortion_model="plumb_bob")
            info.header.frame_id = "camera"
            info.d = [float(d) for d in camera.distortion] or [0.0] * 5
            info.k = [
                camera.fx_px,
                0.0,
                camera.cx_px,
                0.0,
                camera.fy_px,
                camera.cy_px,
                0.0,
                0.0,
                1.0,
            ]
            return Drive(images, info, poses, reader.info.base_from_camera)

    def at(self, position: float) -> tuple[int, Pose]:
        """The image, and the base's pose, at a position (in images sent since the start)."""
        stop, sent = divmod(position, IMAGES_A_STOP)
        # from a stop's last image to the next one's first, clear of both exposures
        moved = min(1.0, max(0.0, 2.0 * (sent - (IMAGES_A_STOP - 1)) - 0.5))
        before, after = self._index(int(stop)), self._index(int(stop) + 1)
        return before, interpolate(self.map_from_base[before], self.map_from_base[after], moved)

    def _index(self, stop: int) -> int:
        last = len(self.images) - 1
        return abs((stop + last) % (2 * last) - last)


@dataclass(eq=False)
class Measured:
    """By wall seconds since the start.

    latency_ms: from exposure to result.
    localizer_ms: what the localizer took of it.
    off_m: where map->odom puts the robot.
    """

    latency_ms: list[tuple[float, float]] = field(default_factory=list)
    localizer_ms: list[tuple[float, float]] = field(default_factory=list)
    processors: list[tuple[float, float]] = field(default_factory=list)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    off_m: list[tuple[float, float]] = field(default_factory=list)
    sent: int = 0
    looked_at: int = 0
    accepted: int = 0
    rejections: Counter[RejectionCode] = field(default_factory=Counter)


class Robot:
    """Publishes the drive and listens to the localizer."""

    def __init__(self, node: Node, drive: Drive, measured: Measured, speed: float) -> None:
        self._drive, self._measured, self._speed = drive, measured, speed
        self._start_s = time.monotonic()
        self._seen_ns = 0
        self._map_from_base = drive.map_from_base[0]
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._tf = node.create_publisher(TFMessage, "/tf", 100)
        self._image = node.create_publisher(Image, "image", qos_profile_sensor_data)
        self._info = node.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        static = transform(0, "base_footprint", "camera", drive.base_from_camera)
        self._static = node.create_publisher(TFMessage, "/tf_static", LATCHED)
        self._static.publish(TFMessage(transforms=[static]))
        node.create_subscription(LocalizationStatus, "glace_localizer/status", self._on_status, 10)
        node.create_subscription(TFMessage, "/tf", self._on_transforms, 100)

    def drive(self, minutes: float, rate_hz: float, local: LocalizerProcess) -> None:
        """Publishes in real time; measures the process every second."""
        tick_s, origin_ns = 0.02, 1_700_000_000 * 10**9
        process = ProcessWatch(local.process.pid)
        self._start_s = time.monotonic()
        sent, measured_at = -1, 0
        while (wall_s := time.monotonic() - self._start_s) < 60 * minutes:
            local.require_running()
            stamp_ns = origin_ns + int(wall_s * self._speed * 1e9)
            self._clock.publish(Clock(clock=ns_to_stamp(stamp_ns)))
            position = wall_s * self._speed * rate_hz
            self._map_from_base = self._drive.at(position)[1]
            odom_from_base = ODOM_FROM_MAP @ self._map_from_base
            pose = transform(stamp_ns, "odom", "base_footprint", odom_from_base)
            self._tf.publish(TFMessage(transforms=[pose]))
            if int(position) > sent:
                sent = int(position)
                # exposed where the recording has it, a little before now
                exposed_ns = origin_ns + int(sent / rate_hz * 1e9)
                image = self._drive.images[self._drive.at(float(sent))[0]]
                image.header.stamp = self._drive.camera_info.header.stamp = ns_to_stamp(exposed_ns)
                exact = ODOM_FROM_MAP @ self._drive.at(float(sent))[1]
                exact_tf = transform(exposed_ns, "odom", "base_footprint", exact)
                self._tf.publish(TFMessage(transforms=[exact_tf]))
                self._info.publish(self._drive.camera_info)
                self._image.publish(image)
                self._measured.sent += 1
            if wall_s >= measured_at + 1:
                measured_at = int(wall_s)
                self._measured.processors.append((wall_s, process.processors()))
                self._measured.memory_mb.append((wall_s, process.memory_mb()))
            time.sleep(max(0.0, tick_s - (time.monotonic() - self._start_s - wall_s)))

    def _on_status(self, status: LocalizationStatus) -> None:
        stamp_ns = status.image_stamp.sec * 10**9 + status.image_stamp.nanosec
        if stamp_ns == self._seen_ns:
            return
        self._seen_ns = stamp_ns
        now_s = time.monotonic() - self._start_s
        self._measured.looked_at += 1
        self._measured.accepted += status.accepted
        self._measured.latency_ms.append((now_s, 1e3 * status.latency / self._speed))
        self._measured.localizer_ms.append((now_s, 1e3 * status.inference_time))
        if not status.accepted:
            self._measured.rejections[RejectionCode(status.rejection_code)] += 1

    def _on_transforms(self, message: TFMessage) -> None:
        for each in message.transforms:
            if each.header.frame_id == "map":
                map_from_odom = pose_from_transform(each.transform)
                # where that puts the robot, which is what a user of the transform gets
                base = self._map_from_base
                off_m = (map_from_odom @ ODOM_FROM_MAP @ base).distance_m(base)
                self._measured.off_m.append((time.monotonic() - self._start_s, off_m))


class ProcessWatch:
    """What a process takes, by the kernel's books."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)
        self._before = time.monotonic(), self._cpu_s()

    def processors(self) -> float:
        """Busy ones, since the last call."""
        now = time.monotonic(), self._cpu_s()
        busy = (now[1] - self._before[1]) / max(1e-9, now[0] - self._before[0])
        self._before = now
        return busy

    def memory_mb(self) -> float:
        """Resident."""
        pages = int((self._folder / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _cpu_s(self) -> float:
        after_name = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def transform(stamp_ns: int, parent: str, child: str, pose: Pose) -> TransformStamped:
    """parent_from_child as a message."""
    message = TransformStamped()
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), parent
    message.child_frame_id = child
    target = message.transform
    for name, value in zip("xyz", pose.translation_3, strict=True):
        setattr(target.translation, name, float(value))
    for name, value in zip("xyzw", pose.quaternion_xyzw, strict=True):
        setattr(target.rotation, name, float(value))
    return message


def table(measured: Measured, minutes: float) -> tuple[Table, bool]:
    """The metrics by quarter of the time, and whether the bounds hold."""
    rows = Table("", "all", "1st quarter", "2nd", "3rd", "4th", "bound")
    end_s = 60.0 * minutes
    spans = [(0.0, end_s), *((end_s * i / 4, end_s * (i + 1) / 4) for i in range(4))]
    holds = measured.accepted > 0
    for name, samples, statistic, unit in (
        ("latency, p50", measured.latency_ms, lambda v: np.percentile(v, 50), "ms"),
        ("latency, p95", measured.latency_ms, lambda v: np.percentile(v, 95), "ms"),
        ("localizer, p50", measured.localizer_ms, lambda v: np.percentile(v, 50), "ms"),
        ("localizer, p95", measured.localizer_ms, lambda v: np.percentile(v, 95), "ms"),
        ("processors", measured.processors, np.mean, ""),
        ("memory, median", measured.memory_mb, np.median, "MB"),
        ("memory, largest", measured.memory_mb, np.max, "MB"),
        ("map->odom, worst", measured.off_m, np.max, "m"),
    ):
        parts = [[v for at_s, v in samples if first <= at_s <= last] for first, last in spans]
        values = [float(statistic(part)) if part else float("nan") for part in parts]
        bound = BOUNDS.get(name)
        holds &= bound is None or values[0] <= bound
        rows.add_row(
            name, *(f"{v:.2f} {unit}" for v in values), "" if bound is None else f"{bound:g}"
        )
    counts = f"{measured.sent} / {measured.looked_at} / {measured.accepted}"
    rows.add_row("images sent / looked at / accepted", counts)
    for code, count in measured.rejections.most_common():
        rows.add_row(f"refused: {code.words}", str(count))
    return rows, holds


def fast_dds_variable() -> str:
    """Names the environment variable with Fast DDS's XML file. Version 3, Kilted's, renamed it."""
    prefix = Path(rclpy.__file__).parents[4]  # <prefix>/lib/python3.x/site-packages/rclpy/...
    renamed = (prefix / "share" / "fastdds").is_dir()
    return f"{'FASTDDS' if renamed else 'FASTRTPS'}_DEFAULT_PROFILES_FILE"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.live_load")
    parser.add_argument("--map", type=Path, required=True, help="a .glace map of the office")
    parser.add_argument("--data", type=Path, default=OFFICE, help="folder with the query bag")
    parser.add_argument("--minutes", type=float, default=2.0, help="of real time")
    parser.add_argument("--speed", type=float, default=1.0, help="of /clock")
    parser.add_argument("--rate", type=float, default=5.0, help="images a second of /clock")
    args = parser.parse_args()
    # Fast DDS loses half of the raw images without (README, "Images get lost")
    os.environ.setdefault(fast_dds_variable(), str(REPO / "dev/fastdds_big_shm.xml"))
    drive, measured = Drive.read(args.data / "query"), Measured()
    parameters = {
        "map": args.map, "use_sim_time": "true", "two_d_mode": "false",
        "base_frame_id": "base_footprint", "max_image_age": 2.0 * args.speed,
    }  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as folder,
        running_localizer(parameters, {}, Path(folder) / "localize.log") as localizer,
    ):
        robot = Robot(localizer.node, drive, measured, args.speed)
        localizer.activate()
        robot.drive(args.minutes, args.rate, localizer)
    rows, holds = table(measured, args.minutes)
    Console().print(rows)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
