"""Calibrations as ROS and Kalibr write them give the camera; anything else is a sentence."""

import numpy as np
import pytest

from glace_ros.geometry.camera import Camera
from glace_ros.ros_messages.camera_info_file import read_camera_info

ROS = """
image_width: 640
image_height: 480
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [500, 0, 320, 0, 510, 240, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0.001, 0.002, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [450, 0, 322, 0, 0, 460, 241, 0, 0, 0, 1, 0]}
"""
KALIBR = """
cam0:
  camera_model: pinhole
  intrinsics: [500.0, 510.0, 320.0, 240.0]
  distortion_model: radtan
  distortion_coeffs: [-0.3, 0.1, 0.001, 0.002]
  resolution: [640, 480]
  rostopic: /cam0/image_raw
"""
SECOND = """
cam1:
  camera_model: pinhole
  intrinsics: [300.0, 310.0, 319.0, 239.0]
  distortion_model: equi
  distortion_coeffs: [0.01, 0.02, 0.03, 0.04]
  resolution: [640, 480]
  rostopic: /cam1/image_raw
"""


def test_ros(tmp_path):
    file = tmp_path / "front.yaml"
    file.write_text(ROS)
    assert read_camera_info(file, "/front/image_raw") == Camera(
        640, 480, 500.0, 510.0, 320.0, 240.0, "plumb_bob", (-0.3, 0.1, 0.001, 0.002, 0.0)
    )
    rectified = Camera(640, 480, 450.0, 460.0, 322.0, 241.0)
    assert read_camera_info(file, "/front/image_rect/compressed") == rectified


def test_kalibr(tmp_path):
    file = tmp_path / "camchain.yaml"
    file.write_text(KALIBR)
    first = Camera(640, 480, 500.0, 510.0, 320.0, 240.0, "plumb_bob", (-0.3, 0.1, 0.001, 0.002))
    assert read_camera_info(file, "/any/image") == first
    file.write_text(KALIBR + SECOND)
    assert read_camera_info(file, "/cam0/image_raw/compressed") == first
    second = read_camera_info(file, "/cam1/image_raw")
    assert (second.distortion_model, second.fx_px) == ("equidistant", 300.0)
    with pytest.raises(ValueError, match=r"cam0 of /cam0/image_raw, cam1 .*not one camera of /x"):
        read_camera_info(file, "/x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no calibration"),
        ("[1, 2]", "is no calibration"),
        ("a: [", "is no YAML file"),
        (ROS.replace("image_width: 640", ""), "has no 'image_width'"),
        (ROS.replace("320, 0, 510", "0, 510"), "camera_matrix has 8 numbers, not 9"),
        (ROS.replace("plumb_bob", "omni"), "'omni' is not one of"),
        (ROS.replace("data: [500", "data: [x"), "x"),
        (KALIBR.replace("pinhole", "omni"), "camera_model is 'omni'"),
        (KALIBR.replace("resolution: [640, 480]", "a: 0"), "has no 'resolution'"),
        (KALIBR.replace("[640, 480]", "7"), "camera.yaml: "),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, text, words):
    file = tmp_path / "camera.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        read_camera_info(file, "/image")
    assert str(file) in str(caught.value)
    with pytest.raises(ValueError, match=r"nowhere.yaml cannot be read: No such file"):
        read_camera_info(tmp_path / "nowhere.yaml", "/image")


def test_numbers_are_float64(tmp_path):
    file = tmp_path / "front.yaml"
    file.write_text(ROS)
    assert read_camera_info(file, "/i").matrix_33.dtype == np.float64
