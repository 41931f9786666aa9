"""The camera on the robot, as numbers, in a URDF, or in transforms that ROS printed."""

from __future__ import annotations

import numpy as np
import pytest

from glace_ros.geometry.pose import Pose
from glace_ros.ros_messages.camera_pose_file import read_camera_pose

OPTICAL = Pose.from_quaternion([0, 0, 0], [-0.5, 0.5, -0.5, 0.5])
BASE_FROM_CAMERA = Pose.from_rotation_vector([0.2, 0.01, 0.5], [0, 0.1, 0]) @ OPTICAL

URDF = """<?xml version="1.0"?>
<robot name="r">
  <link name="base_footprint"/><link name="base_link"/><link name="camera_link"/>
  <joint name="base" type="fixed">
    <parent link="base_footprint"/><child link="base_link"/><origin xyz="0 0 0.1"/>
  </joint>
  <joint name="camera" type="fixed">
    <origin xyz="0.2 0.01 0.4" rpy="0 0.1 0"/>
    <parent link="base_link"/><child link="camera_link"/>
  </joint>
  <joint name="optical" type="fixed">
    <origin rpy="-1.5707963267948966 0 -1.5707963267948966"/>
    <parent link="camera_link"/><child link="camera_optical_frame"/>
  </joint>
  <joint name="tilt" type="revolute">
    <parent link="base_link"/><child link="tilt_link"/><origin xyz="0 0 1"/>
  </joint>
  <transmission name="t"><joint name="tilt"/></transmission>
</robot>
"""
ECHO = """transforms:
- header:
    stamp: {sec: 0, nanosec: 0}
    frame_id: base_footprint
  child_frame_id: camera_link
  transform:
    translation: {x: 0.2, y: 0.01, z: 0.5}
    rotation: {x: 0.0, y: 0.04997916927067833, z: 0.0, w: 0.9987502603949663}
---
transforms:
- header: {frame_id: camera_link}
  child_frame_id: camera_optical_frame
  transform:
    translation: {x: 0.0, y: 0.0, z: 0.0}
    rotation: {x: -0.5, y: 0.5, z: -0.5, w: 0.5}
---
"""


def file_of(folder, name, content):
    path = folder / name
    path.write_text(content)
    return path


@pytest.mark.parametrize(("name", "content"), [("a robot.urdf", URDF), ("tf.yaml", ECHO)])
def test_frames_of_a_file(tmp_path, name, content):
    path = file_of(tmp_path, name, content)
    pose = read_camera_pose(f"{path} base_footprint camera_optical_frame")
    np.testing.assert_allclose(pose.matrix_44, BASE_FROM_CAMERA.matrix_44, atol=1e-9)
    back = read_camera_pose(f"{path} camera_optical_frame base_footprint")
    np.testing.assert_allclose((pose @ back).matrix_44, np.eye(4), atol=1e-9)


def test_numbers():
    pose = read_camera_pose("0.2 0.01 0.5 0 0 0 1")
    np.testing.assert_allclose(pose.translation_3, [0.2, 0.01, 0.5])


@pytest.mark.parametrize(
    ("name", "content", "frames", "words"),
    [
        ("r.urdf", URDF, "base_link tilt_link", "r.urdf: .*joints that move are not read: tilt"),
        ("r.urdf", URDF, "base_link nose", "no transform|No transform has a frame 'nose'"),
        ("r.urdf", "<robot>", "a b", "it is no XML"),
        ("r.urdf", '<robot xmlns:xacro="http://www.ros.org/wiki/xacro"/>', "a b", "expand it"),
        ("r.urdf", '<!DOCTYPE r [<!ENTITY a "aa">]><robot/>', "a b", "entities"),
        ("r.urdf", URDF.replace("0.2 0.01 0.4", "0.2 nan"), "base_link camera_link", "three num"),
        ("r.urdf", URDF.replace("0.2 0.01 0.4", "a b c"), "base_link camera_link", "r.urdf: "),
        ("t.yaml", "a: [", "a b", "neither URDF nor YAML"),
        ("t.yaml", "a: 1", "a b", "it has no transforms"),
        ("t.yaml", "transforms: [1, 2]", "a b", "as ROS writes them"),
        ("t.yaml", ECHO.replace("x: 0.2", "y: 0.2"), "base_footprint camera_link", "as ROS writes"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, name, content, frames, words):
    path = file_of(tmp_path, name, content)
    with pytest.raises(ValueError, match=words) as caught:
        read_camera_pose(f"{path} {frames}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no\.urdf cannot be read"):
        read_camera_pose(f"{tmp_path}/no.urdf base_link camera")
