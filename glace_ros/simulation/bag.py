"""The robot's recording as a rosbag2 (mcap): camera, odometry, TF, and the truth if wanted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.simulation.bag_messages import BagMessages
from glace_ros.simulation.odometry import OdometryNoise, odometry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.simulation.drive import Trajectory
    from glace_ros.simulation.kept_photographs import KeptPhotographs
    from glace_ros.simulation.photographer import Photographer

    Progress = Callable[[int, int], None]


# 70 degrees wide; nothing about it is ideal, so that nothing ideal is taken for granted
DEMO_CAMERA = Camera(
    480, 360, 343.9, 341.7, 244.8, 175.6, "plumb_bob", (-0.06, 0.02, 0.0005, -0.0004, 0.0)
)
_CAMERA_DELAY_NS = 35_000_000
_ODOMETRY_DELAY_NS = 3_000_000
"""From a sample or an exposure to when its message is recorded."""
# the first image comes when odometry is there already, the last one before it ends
_LEAD_S = 0.25


@dataclass(frozen=True)
class RobotConfig:
    """Where the camera sits: base_footprint (floor), base_link, camera_link, optical frame."""

    base_height_m: float = 0.09
    """Of base_link above base_footprint."""
    camera_xyz_m: tuple[float, float, float] = (0.17, 0.03, 0.36)
    """camera_link in base_link."""
    camera_up_rad: float = 0.14
    """By how much camera_link is tilted up."""
    camera_left_rad: float = 0.03
    """By how much it is turned to the left."""

    @property
    def transforms(self) -> list[tuple[str, str, Pose]]:
        """Static (parent, child, parent_from_child), from the floor to the camera."""
        turn_left = Pose.from_planar(0.0, 0.0, self.camera_left_rad)
        tilt_up = Pose.from_rotation_vector(np.zeros(3), [0.0, -self.camera_up_rad, 0.0])
        link = Pose(np.eye(3), np.array(self.camera_xyz_m)) @ turn_left @ tilt_up
        # REP-103: the optical frame looks along z, with x to the right and y down
        optical = Pose(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3))
        return [
            ("base_footprint", "base_link", Pose(np.eye(3), np.array([0, 0, self.base_height_m]))),
            ("base_link", "camera_link", link),
            ("camera_link", "camera_optical_frame", optical),
        ]

    @property
    def base_from_camera(self) -> Pose:
        """base_footprint from the camera's optical frame."""
        floor, link, optical = (pose for _, _, pose in self.transforms)
        return floor @ link @ optical


@dataclass(frozen=True)
class BagConfig:
    """What is recorded and how."""

    camera: Camera = DEMO_CAMERA
    """What photographs."""
    robot: RobotConfig = field(default_factory=RobotConfig)
    """Where it sits."""
    noise: OdometryNoise = field(default_factory=OdometryNoise)
    """Of the odometry."""
    image_rate_hz: float = 2.5
    """How often images come."""
    odometry_rate_hz: float = 50.0
    """How often odometry comes."""
    jpeg_quality: int = 90
    """0 records raw rgb8 images instead."""
    with_map_frame: bool = False
    """/tf holds a true map -> odom, as after a mapping run with SLAM."""
    with_truth: bool = False
    """Records /ground_truth/pose."""
    duration_s: float = float("inf")
    """Ends the drive early."""
    start_ns: int = 1_767_600_000_000_000_000
    """Stamp of the drive's start."""
    seed: int = 0
    """Of the pictures' and the odometry's noise, and of the images' stamps."""


@dataclass(frozen=True, eq=False)
class _Sample:
    """What one odometry message says, and the truth of that moment."""

    stamp_ns: int
    odom_from_base: Pose
    map_from_base: Pose
    speed_mps: float
    turn_radps: float


def write_bag(
    path: Path,
    trajectory: Trajectory,
    photographer: Photographer | KeptPhotographs,
    config: BagConfig,
    progress: Progress = lambda done, total: None,
) -> None:
    """Records the drive to the new folder `path`, which appears when it is complete."""
    samples = _samples(trajectory, config)
    exposures_s = _exposures(trajectory, config)
    cameras = [
        trajectory.map_from_base(time_s) @ config.robot.base_from_camera for time_s in exposures_s
    ]
    pictures = photographer.photographs(config.camera, cameras, config.seed)
    events: list[tuple[int, _Sample | int]] = []  # by the time of arrival; an image is its stamp
    events += [(sample.stamp_ns + _ODOMETRY_DELAY_NS, sample) for sample in samples]
    events += [(_stamp(config, s) + _CAMERA_DELAY_NS, _stamp(config, s)) for s in exposures_s]
    unfinished = path.parent / ".unfinished" / path.name  # the last part's name goes into the bag
    shutil.rmtree(unfinished.parent, ignore_errors=True)
    done = 0
    with Writer(unfinished, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        messages = BagMessages(writer, config.camera, config.jpeg_quality)
        messages.write_static(config.robot.transforms, config.start_ns)
        for received_ns, event in sorted(events, key=lambda entry: entry[0]):
            if isinstance(event, _Sample):
                _write_sample(messages, event, received_ns, config)
            else:
                messages.write_image(next(pictures), event, received_ns)
                done += 1
                progress(done, len(exposures_s))
    unfinished.rename(path)
    unfinished.parent.rmdir()


def _write_sample(
    messages: BagMessages, sample: _Sample, received_ns: int, config: BagConfig
) -> None:
    transforms = [("odom", "base_footprint", sample.odom_from_base)]
    if config.with_map_frame:
        map_from_odom = sample.map_from_base @ sample.odom_from_base.inverse()
        transforms.append(("map", "odom", map_from_odom))
    messages.write_transforms(transforms, sample.stamp_ns, received_ns)
    speed = (sample.speed_mps, sample.turn_radps)
    messages.write_odometry(sample.odom_from_base, speed, sample.stamp_ns, received_ns)
    if config.with_truth:
        messages.write_truth(sample.map_from_base, sample.stamp_ns, received_ns)


def _stamp(config: BagConfig, time_s: float) -> int:
    return config.start_ns + round(time_s * 1e9)


def _exposures(trajectory: Trajectory, config: BagConfig) -> NDArray[np.float64]:
    """Times of the images, not quite regular and never those of the odometry."""
    period_s = 1.0 / config.image_rate_hz
    until_s = min(trajectory.duration_s, config.duration_s) - _LEAD_S
    times_s = np.arange(_LEAD_S, until_s, period_s)
    jitter_s = np.random.default_rng([config.seed, 404]).uniform(0, 0.02 * period_s, len(times_s))
    return np.asarray(times_s + jitter_s)


def _samples(trajectory: Trajectory, config: BagConfig) -> list[_Sample]:
    duration_s = min(trajectory.duration_s, config.duration_s)
    times_s = np.arange(0.0, duration_s, 1.0 / config.odometry_rate_hz)
    poses = odometry(trajectory, np.asarray(times_s), config.noise, config.seed)
    samples = []
    for before, now, time_s in zip([poses[0], *poses], poses, times_s, strict=False):
        moved = before.inverse() @ now
        speed_mps = float(moved.translation_3[0]) * config.odometry_rate_hz
        turn_radps = moved.yaw_rad * config.odometry_rate_hz
        truth = trajectory.map_from_base(float(time_s))
        samples.append(_Sample(_stamp(config, float(time_s)), now, truth, speed_mps, turn_radps))
    return samples
