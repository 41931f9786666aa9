"""A calibration in a file: camera_info as ROS keeps it, or Kalibr's camchain -> Camera."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml

from glace_ros.geometry.camera import Camera
from glace_ros.ros_messages.camera_info import camera_of_image_topic, raw_image_topic

_MOST_BYTES = 1_000_000


def read_camera_info(path: Path | str, image_topic: str) -> Camera:
    """The camera that the images of a topic are taken with, by a YAML file.

    path: as camera_calibration_parsers writes it (image_width, camera_matrix, ...), or a camchain
        of Kalibr (cam0: intrinsics, resolution, ...).
    image_topic: of a camchain with several cameras it is the one of this topic; for rectified
        images (see `camera_of_image_topic`) ROS's projection matrix holds.
    Raises ValueError, with a sentence that names the file, where it holds no calibration of that
    topic.
    """
    content = _content(Path(path))
    try:
        if "camera_matrix" in content:
            return camera_of_image_topic(_as_message(content), image_topic)
        cameras = {
            name: fields
            for name, fields in content.items()
            if isinstance(fields, dict) and "intrinsics" in fields
        }
        if cameras:
            return _of_kalibr(_chosen(cameras, image_topic))
    except KeyError as error:
        raise ValueError(f"{path} has no {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from None
    raise ValueError(
        f"{path} is no calibration: neither ROS's (camera_matrix) nor Kalibr's camchain (cam0)"
    )


def _content(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"{path} is too long for a calibration")
        content = yaml.safe_load(text.decode("utf-8", "replace"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, RecursionError):
        raise ValueError(f"{path} is no YAML file") from None
    return content if isinstance(content, dict) else {}


def _as_message(content: dict[str, Any]) -> Any:
    """With the fields of a sensor_msgs/CameraInfo."""
    k_9 = content["camera_matrix"]["data"]
    projection = content.get("projection_matrix") or {"data": [0.0] * 12}
    nothing = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    return SimpleNamespace(
        width=int(content["image_width"]),
        height=int(content["image_height"]),
        k=_numbers(k_9, 9, "camera_matrix"),
        p=_numbers(projection["data"], 12, "projection_matrix"),
        d=np.array((content.get("distortion_coefficients") or {"data": []})["data"], np.float64),
        distortion_model=str(content.get("distortion_model") or ""),
        roi=nothing,
        binning_x=0,
        binning_y=0,
    )


def _numbers(values: Any, count: int, name: str) -> Any:
    numbers_n = np.array(values, dtype=np.float64).ravel()
    if len(numbers_n) != count:
        raise ValueError(f"{name} has {len(numbers_n)} numbers, not {count}")
    return numbers_n


def _chosen(cameras: dict[str, dict[str, Any]], image_topic: str) -> dict[str, Any]:
    """The camera of a camchain that its rostopic names, or the only one."""
    if len(cameras) == 1:
        return next(iter(cameras.values()))
    wanted = raw_image_topic(image_topic).strip("/")
    topics = {name: str(fields.get("rostopic", "")) for name, fields in cameras.items()}
    named = [n for n, topic in topics.items() if raw_image_topic(topic).strip("/") == wanted]
    if len(named) != 1:
        known = ", ".join(f"{name} of {topic or 'no topic'}" for name, topic in topics.items())
        raise ValueError(f"it has {known}, and not one camera of {image_topic}; leave one of them")
    return cameras[named[0]]


def _of_kalibr(fields: dict[str, Any]) -> Camera:
    if fields.get("camera_model", "pinhole") != "pinhole":
        raise ValueError(
            f"its camera_model is '{fields['camera_model']}'; calibrate with pinhole-radtan or "
            "pinhole-equi"
        )
    fx, fy, cx, cy = _numbers(fields["intrinsics"], 4, "intrinsics")
    width, height = (int(side) for side in fields["resolution"])
    k_9 = np.array([fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0])
    distortion = np.array(fields.get("distortion_coeffs") or [], dtype=np.float64)
    return Camera.from_camera_info(
        width, height, k_9, str(fields.get("distortion_model") or ""), distortion
    )
