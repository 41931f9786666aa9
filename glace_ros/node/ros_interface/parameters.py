"""The parameters of the localize node: names, defaults, ranges, descriptions, in this one place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from glace_ros.errors import GlaceError
from glace_ros.fusion.odometry_fusion_config import OdometryFusionConfig
from glace_ros.localization.acceptance import AcceptanceConfig
from glace_ros.localization.image_window_config import ImageWindowConfig
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.ros_messages.camera_pose_file import read_camera_pose

if TYPE_CHECKING:
    from dataclasses import Field

    from glace_ros.geometry.pose import Pose


class ParameterError(GlaceError):
    """A parameter is unknown, out of its range or of another type."""

    exit_code = 2


def _parameter(
    default: Any,
    description: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with what a ParameterDescriptor says."""
    metadata = {"description": description, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class LocalizeParameters:
    """Every parameter of the node, under its ROS name (`__` is a dot there). Times in s, lengths in
    m, angles in rad.
    """

    map: str = _parameter(
        "",
        "Map file (.glace); empty: latest.glace in $ROS_HOME/glace. May be set while the node "
        "runs: a map that cannot be used is refused, another one takes over between two images",
    )
    autostart: bool = _parameter(
        False, "Configure and activate at start, without a lifecycle manager"
    )
    camera_names: tuple[str, ...] = _parameter(
        ("",),
        "Names of several cameras: each has the topics NAME/image and NAME/camera_info. One empty "
        "name: a single camera with image and camera_info (ROS has no empty lists in files)",
    )
    camera_info_file: tuple[str, ...] = _parameter(
        ("",),
        "Calibration file (YAML of ROS or Kalibr) of each camera, in the order of camera_names, "
        "which holds instead of camera_info; empty: camera_info",
    )
    camera_pose: tuple[str, ...] = _parameter(
        ("",),
        "Place of each camera on base_frame_id, in the order of camera_names: 'x y z qx qy qz qw' "
        "of its optical frame, or 'FILE BASE CAMERA' with these frames in a URDF or in YAML of "
        "transforms; holds instead of TF; empty: TF",
    )
    image_transport: str = _parameter(
        "auto",
        "Topic of the images: raw is `image`, compressed is `image` with /compressed added, auto "
        "is the one of the two that is published (raw if both are); ffmpeg and foxglove are H.264 "
        "or H.265 with that added",
        choices=("auto", "raw", "compressed", "ffmpeg", "foxglove"),
    )
    image_qos: str = _parameter(
        "sensor_data",
        "sensor_data (best effort) takes images from any publisher; reliable loses none of the "
        "large ones, but needs a reliable publisher",
        choices=("sensor_data", "reliable"),
    )
    global_frame_id: str = _parameter("map", "Frame of the published poses")
    odom_frame_id: str = _parameter("odom", "Frame of the odometry")
    base_frame_id: str = _parameter("base_footprint", "Frame of the robot, whose pose is published")
    tf_broadcast: bool = _parameter(
        True, "Publish map->odom; without it no odometry is needed for a pose"
    )
    transform_tolerance: float = _parameter(
        0.1, "How far ahead of now map->odom is stamped, s", 0.0, 2.0
    )
    tf_publish_rate: float = _parameter(20.0, "How often map->odom is published, Hz", 1.0, 100.0)
    transform_timeout: float = _parameter(
        0.3, "How long an image waits for the transforms of its exposure time, s", 0.0, 2.0
    )
    tf_on_lost: str = _parameter(
        "hold", "Whether map->odom is still published when LOST", choices=("hold", "stop")
    )
    two_d_mode: bool = _parameter(
        OdometryFusionConfig.two_d_mode, "Poses are x, y and yaw alone (a robot on a flat floor)"
    )
    max_rate: float = _parameter(5.0, "Images looked at in a second, at most, Hz", 0.1, 60.0)
    max_image_age: float = _parameter(
        0.5, "Images older than this when their turn comes are left out, s", 0.05, 60.0
    )
    min_inliers: int = _parameter(
        AcceptanceConfig.min_inliers, "Scene points that must agree with a pose", 4, 100_000
    )
    ransac_px: float = _parameter(
        LocalizerConfig.ransac_px, "Largest reprojection error of an inlier, px", 0.5, 100.0
    )
    window_images: int = _parameter(
        ImageWindowConfig.images,
        "While it is not known where the robot is, or an image does not tell, so many of the last "
        "images and the odometry between them give a fix together; 0: each image alone",
        0, 32,
    )  # fmt: skip
    window_max_age: float = _parameter(
        ImageWindowConfig.max_age_s,
        "Images older than that before the newest do not count in it, s", 0.1, 60.0,
    )  # fmt: skip
    window_max_distance: float = _parameter(
        ImageWindowConfig.max_distance_m,
        "Images from farther back on the robot's way do not count in it, m", 0.05, 100.0,
    )  # fmt: skip
    covariance_scale: float = _parameter(
        OdometryFusionConfig.covariance_scale, "Factor on the covariance of poses", 0.01, 100.0
    )
    min_sigma_xy: float = _parameter(
        OdometryFusionConfig.min_sigma_xy_m, "Smallest standard deviation of a position, m",
        0.0001, 10.0,
    )  # fmt: skip
    min_sigma_yaw: float = _parameter(
        OdometryFusionConfig.min_sigma_yaw_rad, "Smallest standard deviation of an angle, rad",
        0.0001, 3.0,
    )  # fmt: skip
    gate_sigma: float = _parameter(
        OdometryFusionConfig.gate_sigma,
        "A fix further from the prediction is not used, in standard deviations; 0: all are used",
        0.0, 100.0,
    )  # fmt: skip
    reinit_consensus: int = _parameter(
        OdometryFusionConfig.reinit_consensus,
        "So many fixes in a row that agree with each other overrule the prediction", 1, 100,
    )  # fmt: skip
    set_initial_pose: bool = _parameter(
        False, "Whether the robot is expected at initial_pose when the node is activated"
    )
    initial_pose__x: float = _parameter(0.0, "In global_frame_id, m", -1e7, 1e7)
    initial_pose__y: float = _parameter(0.0, "In global_frame_id, m", -1e7, 1e7)
    initial_pose__z: float = _parameter(0.0, "In global_frame_id, m", -1e7, 1e7)
    initial_pose__yaw: float = _parameter(0.0, "About z, rad", -7.0, 7.0)
    saved_pose_file: str = _parameter(
        "",
        "File (.json) in which the last pose is kept; the robot is expected there when the node is "
        "activated. Empty: none",
    )
    degraded_timeout: float = _parameter(
        OdometryFusionConfig.degraded_timeout_s, "Age of the last fix for state DEGRADED, s",
        0.1, 3600.0,
    )  # fmt: skip
    lost_timeout: float = _parameter(
        OdometryFusionConfig.lost_timeout_s, "Age of the last fix for state LOST, s", 0.1, 3600.0
    )
    relocalize_timeout: float = _parameter(
        10.0, "How long a call of ~/relocalize waits for a fix, s", 0.1, 600.0
    )
    device: str = _parameter(
        "auto", "Where the network runs; auto is cuda where there is one",
        choices=("auto", "cpu", "cuda"),
    )  # fmt: skip
    threads: int = _parameter(
        0, "Threads that the networks compute with on a CPU; 0: one for each core", 0, 256
    )

    def __post_init__(self) -> None:
        """Raises ParameterError where two values contradict each other or a frame has no name."""
        if self.lost_timeout < self.degraded_timeout:
            raise ParameterError(
                f"Parameter 'lost_timeout' ({self.lost_timeout:g}) must not be less than "
                f"'degraded_timeout' ({self.degraded_timeout:g})."
            )
        names = self.camera_names
        good = names and all(re.fullmatch(CAMERA_NAME, name) for name in names)
        if names != ("",) and not (good and len(set(names)) == len(names)):
            raise ParameterError(
                f"Parameter 'camera_names' is {list(names)}, but must be different names that can "
                "begin a topic's, such as front, rear."
            )
        self._check_given_cameras()
        frames = {name: getattr(self, name) for name in FRAME_PARAMETERS}
        for name, frame in frames.items():
            if not frame.strip("/"):
                raise ParameterError(f"Parameter '{name}' is empty: give the name of a frame.")
        if len({frame.lstrip("/") for frame in frames.values()}) < len(frames):
            raise ParameterError(
                f"The frames of {', '.join(frames)} must differ, but are {list(frames.values())}."
            )

    def _check_given_cameras(self) -> None:
        for name in ("camera_info_file", "camera_pose"):
            given = getattr(self, name)
            if any(given) and len(given) != len(self.camera_names):
                raise ParameterError(
                    f"Parameter '{name}' has {len(given)} values, but 'camera_names' names "
                    f"{len(self.camera_names)} cameras: give one for each, empty for none."
                )
        try:
            _ = self._camera_poses
        except ValueError as error:
            raise ParameterError(f"Parameter 'camera_pose': {error}.") from None

    def camera_info_file_of(self, camera: str) -> str:
        """The calibration file of one of camera_names; empty: camera_info holds."""
        return self._of_camera(self.camera_info_file, camera)

    def camera_pose_of(self, camera: str) -> Pose | None:
        """base_from_camera of one of camera_names; None: TF holds."""
        text = self._of_camera(self.camera_pose, camera)
        return self._camera_poses[text] if text else None

    @cached_property
    def _camera_poses(self) -> dict[str, Pose]:
        """By what is said of them; files are read once."""
        return {text: read_camera_pose(text) for text in filter(None, self.camera_pose)}

    def _of_camera(self, values: tuple[str, ...], camera: str) -> str:
        return values[self.camera_names.index(camera)] if any(values) else ""

    @property
    def fusion(self) -> OdometryFusionConfig:
        """What OdometryFusion is made with."""
        return OdometryFusionConfig(
            two_d_mode=self.two_d_mode,
            degraded_timeout_s=self.degraded_timeout,
            lost_timeout_s=self.lost_timeout,
            covariance_scale=self.covariance_scale,
            min_sigma_xy_m=self.min_sigma_xy,
            min_sigma_yaw_rad=self.min_sigma_yaw,
            gate_sigma=self.gate_sigma,
            reinit_consensus=self.reinit_consensus,
        )

    @property
    def window(self) -> ImageWindowConfig:
        """What an image window is made with."""
        return ImageWindowConfig(
            images=self.window_images,
            max_age_s=self.window_max_age,
            max_distance_m=self.window_max_distance,
        )

    @property
    def localizer(self) -> LocalizerConfig:
        """What Localizer is made with."""
        return LocalizerConfig(
            ransac_px=self.ransac_px, acceptance=AcceptanceConfig(min_inliers=self.min_inliers)
        )


CAMERA_NAME = r"[A-Za-z]\w*(/[A-Za-z]\w*)*"
FRAME_PARAMETERS = ("global_frame_id", "odom_frame_id", "base_frame_id")
# a dot in a parameter's name is __ in the field's
PARAMETERS: dict[str, Field[Any]] = {
    field_.name.replace("__", "."): field_ for field_ in fields(LocalizeParameters)
}
