"""Messages <-> the core's types, with and without a ROS installation's own helpers."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import Point, Quaternion, Transform
from geometry_msgs.msg import Pose as PoseMessage
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from glace_ros.geometry.pose import Pose
from glace_ros.node.ros_interface import conversions
from glace_ros.node.ros_interface.conversions import (
    image_to_rgb,
    ns_to_stamp,
    points_to_cloud,
    pose_to_message,
    pose_to_transform,
    pose_with_covariance,
    rgb_to_image,
)
from glace_ros.node.ros_interface.from_ros import import_from_ros
from glace_ros.ros_messages.reading import pose_from_message, pose_from_transform, stamp_to_ns

coordinates = arrays(np.float64, 3, elements=st.floats(-1e5, 1e5))
turns = arrays(np.float64, 3, elements=st.floats(-3.0, 3.0))


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_are_exact(stamp_ns):
    stamp = ns_to_stamp(stamp_ns)
    assert 0 <= stamp.nanosec < 1_000_000_000
    assert stamp_to_ns(stamp) == stamp_ns


def test_a_stamp_that_ros_cannot_say_is_an_error():
    assert stamp_to_ns(ns_to_stamp(-1)) == -1
    with pytest.raises(ValueError, match="do not fit"):
        ns_to_stamp(2**31 * 10**9)


@given(coordinates, turns)
def test_poses_survive_messages(translation_3, rotation_vector_3):
    pose = Pose.from_rotation_vector(translation_3, rotation_vector_3)
    for back in (
        pose_from_message(pose_to_message(pose)),
        pose_from_transform(pose_to_transform(pose)),
    ):
        assert back.translation_3 == pytest.approx(translation_3)
        assert back.angle_rad(pose) < 1e-9


def test_a_quarter_turn_is_what_ros_takes_it_for():
    message = pose_to_message(Pose.from_planar(1.0, 2.0, np.pi / 2))
    assert (message.position.x, message.position.y, message.position.z) == (1.0, 2.0, 0.0)
    orientation = message.orientation
    assert (orientation.z, orientation.w) == pytest.approx((np.sqrt(0.5), np.sqrt(0.5)))
    # base_from_camera of a camera that looks ahead: its z axis is the base's x axis
    look_ahead = Transform(rotation=Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5))
    np.testing.assert_allclose(pose_from_transform(look_ahead).rotation_33[:, 2], [1, 0, 0])


@pytest.mark.parametrize(
    "message",
    [
        PoseMessage(position=Point(x=float("nan"))),
        PoseMessage(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)),
        PoseMessage(orientation=Quaternion(w=float("inf"))),
    ],
)
def test_a_pose_that_is_none_is_an_error(message):
    with pytest.raises(ValueError, match="the pose has"):
        pose_from_message(message)


def test_a_pose_with_covariance_says_when_where_and_how_sure():
    covariance_66 = np.arange(36.0).reshape(6, 6)
    message = pose_with_covariance("map", 5_000_000_007, Pose.identity(), covariance_66)
    assert message.header.frame_id == "map"
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (5, 7)
    assert list(message.pose.covariance) == list(range(36))  # row by row
    assert message.pose.pose.orientation.w == 1.0


def padded_bgr_image(image_rgb_hwc: np.ndarray, padding: int) -> Image:
    height, width, _ = image_rgb_hwc.shape
    rows = [row[:, ::-1].tobytes() + b"\xff" * padding for row in image_rgb_hwc]
    return Image(
        height=height, width=width, encoding="bgr8", step=3 * width + padding, data=b"".join(rows)
    )


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    st.integers(0, 5),
)
def test_raw_images_lose_their_padding(image_rgb_hwc, padding):
    message = padded_bgr_image(image_rgb_hwc, padding)
    np.testing.assert_array_equal(image_to_rgb(message), image_rgb_hwc)


def test_compressed_images_are_rgb():
    import cv2

    image_rgb_hwc = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    png = cv2.imencode(".png", image_rgb_hwc[:, :, ::-1])[1].tobytes()
    message = CompressedImage(format="rgb8; png compressed bgr8", data=png)
    np.testing.assert_array_equal(image_to_rgb(message), image_rgb_hwc)


@pytest.mark.parametrize(
    "message",
    [
        Image(height=2, width=2, encoding="rgb8", step=6, data=b"\0" * 11),
        Image(height=2, width=2, encoding="nonsense", step=6, data=b"\0" * 12),
        CompressedImage(format="jpeg", data=b"no picture"),
        CompressedImage(format="jpeg"),
    ],
)
def test_an_image_that_is_none_is_an_error(message):
    with pytest.raises(ValueError, match=r"."):
        image_to_rgb(message)


@pytest.fixture
def fake_module(tmp_path, monkeypatch):
    """Puts a Python module where PyPI would, or below a prefix that ament knows."""

    def fake(name, source, in_ros):
        folder = tmp_path / "lib" / "python3" / "site-packages"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(source)
        index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
        index.mkdir(parents=True, exist_ok=True)
        if in_ros:
            (index / name).write_text("")
        monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return import_from_ros(name)

    return fake


def test_an_image_goes_into_a_message_and_back():
    image_rgb_hwc = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    header = Header(frame_id="camera", stamp=ns_to_stamp(5))
    message = rgb_to_image(header, image_rgb_hwc)
    assert (message.header, message.step) == (header, 9)
    np.testing.assert_array_equal(image_to_rgb(message), image_rgb_hwc)


# as the real one makes them: never dense
SENSOR_MSGS_PY = """
from sensor_msgs.msg import PointCloud2, PointField
def create_cloud_xyz32(header, points):
    fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
    return PointCloud2(
        header=header, height=1, width=len(points), fields=fields, is_dense=False,
        point_step=12, row_step=12 * len(points), data=points.astype("<f4").tobytes(),
    )
"""


@pytest.fixture(params=["sensor_msgs_py", "without"])
def maker_of_clouds(request, tmp_path, monkeypatch):
    """Both ways in which points_to_cloud makes one."""
    if request.param == "without":
        monkeypatch.setattr(conversions, "_point_cloud2", None)
        return
    package = tmp_path / "lib" / "sensor_msgs_py"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "point_cloud2.py").write_text(SENSOR_MSGS_PY)
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "sensor_msgs_py").write_text("")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.syspath_prepend(package.parent)
    for name in ("sensor_msgs_py", "sensor_msgs_py.point_cloud2"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = import_from_ros("sensor_msgs_py.point_cloud2")
    assert module is not None
    monkeypatch.setattr(conversions, "_point_cloud2", module)


@pytest.mark.usefixtures("maker_of_clouds")
def test_points_are_float32_with_or_without_sensor_msgs_py():
    header = Header(frame_id="map", stamp=ns_to_stamp(5))
    points_n3 = np.array([[1.5, -2.0, 0.25], [1e3, 0.0, 7.0]])
    cloud = points_to_cloud(header, points_n3)
    assert cloud.header == header
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 2, 12, 24)
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1),
    ]  # fmt: skip
    assert np.frombuffer(bytes(cloud.data), "<f4").reshape(2, 3).tolist() == points_n3.tolist()
    assert not cloud.is_bigendian


@pytest.mark.usefixtures("maker_of_clouds")
@pytest.mark.parametrize(
    ("strange", "is_dense"),
    [(0.0, True), (-1e38, True), (np.nan, False), (np.inf, False), (1e39, False)],
)
def test_a_cloud_is_dense_where_all_its_points_are_finite(strange, is_dense):
    points_n3 = np.array([[1.0, 2.0, 3.0], [4.0, strange, 6.0]])
    assert points_to_cloud(Header(), points_n3).is_dense is is_dense
    assert points_to_cloud(Header(), np.zeros((0, 3))).is_dense is True


CV_BRIDGE = """
import numpy
calls = []
class CvBridge:
    def imgmsg_to_cv2(self, message, desired_encoding):
        calls.append((message.encoding, desired_encoding))
        return numpy.full((message.height, message.width, 3), 7, numpy.uint8)
"""


def test_cv_bridge_of_a_ros_installation_is_used(fake_module, monkeypatch):
    cv_bridge = fake_module("cv_bridge", CV_BRIDGE, in_ros=True)
    monkeypatch.setattr(conversions, "_cv_bridge", cv_bridge)
    image = padded_bgr_image(np.zeros((2, 3, 3), np.uint8), 1)
    assert (image_to_rgb(image) == 7).all()
    assert cv_bridge.calls == [("bgr8", "rgb8")]
    image = Image(height=1, width=2, encoding="mono16", step=4, data=b"\0\1\0\2")
    assert image_to_rgb(image)[0, :, 0].tolist() == [1, 2]  # not cv_bridge's


def test_cv_bridge_that_fails_is_replaced(fake_module, monkeypatch):
    source = CV_BRIDGE.replace("calls.append", "raise SystemError")
    monkeypatch.setattr(conversions, "_cv_bridge", fake_module("cv_bridge", source, in_ros=True))
    image_rgb_hwc = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(image_to_rgb(padded_bgr_image(image_rgb_hwc, 1)), image_rgb_hwc)


def test_cv_bridge_of_pypi_is_not_used(fake_module):
    assert fake_module("cv_bridge", CV_BRIDGE, in_ros=False) is None


def test_a_module_that_another_numpy_breaks_is_not_used(fake_module):
    assert fake_module("tf_transformations", "raise SystemError('numpy')", in_ros=True) is None


def test_tf_transformations_gives_the_same_quaternions(fake_module, monkeypatch):
    source = """
from scipy.spatial.transform import Rotation
def quaternion_from_matrix(matrix_44):
    return -Rotation.from_matrix(matrix_44[:3, :3]).as_quat(canonical=True)
"""
    module = fake_module("tf_transformations", source, in_ros=True)
    monkeypatch.setattr(conversions, "_tf_transformations", module)
    pose = Pose(Rotation.from_rotvec([0.1, 0.2, 2.0]).as_matrix(), np.zeros(3))
    message = pose_to_message(pose)
    assert message.orientation.w == pytest.approx(pose.quaternion_xyzw[3])
    assert pose_from_message(message).angle_rad(pose) < 1e-9
