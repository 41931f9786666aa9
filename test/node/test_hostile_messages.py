"""Whatever comes in a message, the node has a pose or one sentence, and never anything else."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from geometry_msgs.msg import (
    Point,
    PoseWithCovarianceStamped,
    Quaternion,
    TransformStamped,
    Vector3,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from tf2_msgs.msg import TFMessage

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.mount_correction import MountCorrection
from glace_ros.geometry.pose import Pose
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.localization.pose_estimate import PoseEstimate
from glace_ros.node.input.incoming_image import IncomingImage
from glace_ros.node.input.initial_pose import InitialPose
from glace_ros.node.input.transform_listener import TransformListener
from glace_ros.node.localizing.base_locator import BaseLocator, ImageRejected, LocatedBase
from glace_ros.node.localizing.localization_run import LocalizationRun
from glace_ros.node.ros_interface.parameters import LocalizeParameters, ParameterError
from glace_ros.rejection import Rejection, RejectionCode
from glace_ros.ros_messages.image_decoding import _RAW_8_BIT, _RAW_16_BIT
from glace_ros.ros_messages.value_range import ValueRange

pytestmark = pytest.mark.slow

NOW_NS = 1_700_000_000_000_000_000
FRAMES = ("map", "odom", "base_footprint", "camera", "camera", "/camera", "", "a" * 300, "ümläut")
NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, 30.0]),
    st.floats(-1e3, 1e3),
)
SIZES = st.one_of(st.sampled_from([0, 1, 2, 3, 32, 24, 2**16, 2**32 - 1]), st.integers(1, 40))
ENCODINGS = st.sampled_from([*_RAW_8_BIT, *_RAW_16_BIT, "", "32FC1", "16UC1", "nv12", "RGB8"])
STAMPS = st.sampled_from([NOW_NS, NOW_NS - 300_000_000, NOW_NS + 7, NOW_NS - 10**9, -1, 0])
MANY = settings(
    max_examples=1000,
    derandomize=True,  # the same ones every time: which outcomes they have is asserted, too
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class Accepting:
    """A localizer that finds a pose in every image that a real one could be given."""

    def localize(self, image_rgb_hwc, camera, motion=None):
        assert image_rgb_hwc.dtype == np.uint8
        assert image_rgb_hwc.shape == (camera.height_px, camera.width_px, 3)
        if image_rgb_hwc[0, 0, 0] < 100:
            return Rejection(RejectionCode.FEW_INLIERS, inliers=9, points=1000, needed_inliers=50)
        none_2, none_3 = np.zeros((0, 2)), np.zeros((0, 3))
        pose = Pose.from_planar(1.0, 2.0, 0.3)
        return PoseEstimate(pose, 1e-4 * np.eye(6), 400, 1000, 1.5, 0.01, none_2, none_3, camera)


class Frames:
    """TF that knows one camera, standing still."""

    def lookup(self, target, source, stamp_ns, timeout_s=0.0):
        if {target, source} - {"odom", "base_footprint", "camera"}:
            raise TransformError(f"No transform has a frame '{target}'.", "unknown frame")
        return Pose.identity()


@st.composite
def camera_infos(draw) -> CameraInfo:
    """Some that could be, most of which could not; every third is as it should be."""
    if draw(st.integers(0, 2)) == 0:
        info = CameraInfo(width=32, height=24, distortion_model="plumb_bob", k=GOOD_K, d=[0.1] * 5)
        info.header.frame_id = draw(st.sampled_from(["camera", ""]))
        return info
    info = CameraInfo(
        width=draw(SIZES),
        height=draw(SIZES),
        distortion_model=draw(st.sampled_from(MODELS)),
        binning_x=draw(st.sampled_from([0, 0, 1, 2, 2**32 - 1])),
        roi=RegionOfInterest(width=draw(SIZES), height=draw(SIZES), x_offset=draw(SIZES))
        if draw(st.booleans())
        else RegionOfInterest(),
    )  # fmt: skip
    info.k = [draw(NUMBERS) for _ in range(9)] if draw(st.booleans()) else GOOD_K
    if draw(st.booleans()):
        info.width, info.height, info.binning_x = 32, 24, 0
        info.distortion_model, info.roi, info.k = "plumb_bob", RegionOfInterest(), GOOD_K
    info.p = [draw(NUMBERS) for _ in range(12)]
    if draw(st.booleans()):
        info.d = [draw(NUMBERS) for _ in range(draw(st.integers(0, 15)))]
    info.header.frame_id = draw(st.sampled_from(FRAMES))
    return info


MODELS = ("plumb_bob", "equidistant", "rational_polynomial", "", "?")
GOOD_K = [30.0, 0.0, 15.5, 0.0, 30.0, 11.5, 0.0, 0.0, 1.0]


@st.composite
def images(draw) -> Image | CompressedImage:
    """Sizes, steps and bytes that may fit together; every third is as it should be."""
    if draw(st.integers(0, 2)) == 0:
        message = Image(width=32, height=24, encoding="rgb8", step=96)
        message.data = bytes([draw(st.integers(0, 255))]) * (24 * 96)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(NOW_NS, 10**9)
        message.header.frame_id = draw(st.sampled_from(["camera", "camera", "", "nowhere"]))
        return message
    if draw(st.integers(0, 4)) == 0:
        data = draw(st.binary(max_size=200))
        if draw(st.booleans()):
            data = cv2.imencode(".jpg", np.full((24, 32, 3), 99, np.uint8))[1].tobytes()
            data = data[: draw(st.integers(0, len(data)))]
        message = CompressedImage(format=draw(st.sampled_from(["jpeg", "", "x; compressedDepth"])))
    else:
        encoding = draw(ENCODINGS)
        message = Image(width=draw(SIZES), height=draw(SIZES), encoding=encoding, step=draw(SIZES))
        if draw(st.booleans()):
            pixel = _RAW_8_BIT.get(encoding, (2 * _RAW_16_BIT.get(encoding, (1,))[0],))[0]
            message.width, message.height, message.step = 32, 24, 32 * pixel
        full = message.height * message.step
        filled = full < 20_000 and draw(st.integers(0, 4)) > 0
        data = bytes([draw(st.integers(0, 255))]) * full if filled else draw(st.binary())
        message.is_bigendian = draw(st.integers(0, 1))
    message.data = data
    stamp_ns = draw(STAMPS)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    message.header.frame_id = draw(st.sampled_from(FRAMES))
    return message


def test_images_and_camera_infos():
    locator = BaseLocator(LocalizeParameters(max_image_age=0.5), Accepting(), Frames())
    kinds: dict[str, int] = {}
    sentences: list[str] = []

    @MANY
    @given(
        images(), st.one_of(st.none(), camera_infos()), st.sampled_from(["/image", "/c/image_rect"])
    )
    def check(message, info, topic):
        try:
            found = locator.locate(IncomingImage(message, topic, info, "/camera_info"), NOW_NS)
            assert isinstance(found, LocatedBase)
            kinds["fix"] = kinds.get("fix", 0) + 1
        except ImageRejected as rejection:
            sentences.append(str(rejection))
            kinds[rejection.kind] = kinds.get(rejection.kind, 0) + 1

    check()
    print(kinds)
    assert all("\n" not in said and 10 < len(said) < 1000 for said in sentences)
    assert set(kinds) >= {"fix", "age", "camera_info", "frame", "image", "pose", "tf"}


class Moving:
    """TF of a robot that drives 1 m/s along x."""

    def __init__(self):
        self.waited_for = {}

    def lookup(self, target, source, stamp_ns, timeout_s=0.0):
        if source == "camera" or target == "camera":
            return Pose.identity()
        self.waited_for[stamp_ns - NOW_NS] = timeout_s
        return Pose.from_planar(1e-9 * (stamp_ns - NOW_NS), 0.0, 0.0)


def test_what_a_calibrated_map_knows_of_the_camera_is_applied():
    """Mount and exposure; of the map's camera alone."""
    asked = []

    class Asking(Accepting):
        def localize(self, image_rgb_hwc, camera, motion=None):
            asked.append(motion())
            return super().localize(image_rgb_hwc, camera)

    correction, tf = MountCorrection.of(Pose.from_planar(0.03, 0.0, 0.1), -0.04), Moving()
    locator = BaseLocator(
        LocalizeParameters(max_image_age=0.5, odom_frame_id="odom"), Asking(), tf,
        lambda frame: correction if frame == "camera" else None,
    )  # fmt: skip
    message = Image(width=32, height=24, encoding="rgb8", step=96, data=bytes([200]) * (24 * 96))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(NOW_NS, 10**9)
    message.header.frame_id = "camera"
    info = CameraInfo(width=32, height=24, distortion_model="plumb_bob", k=GOOD_K, d=[0.0] * 5)
    image = IncomingImage(message, "/image", info, "/camera_info")
    located = locator.locate(image, NOW_NS)
    assert located.exposure_ns == NOW_NS - 40_000_000
    assert located.odom_from_base.translation_3[0] == pytest.approx(-0.04)
    expected = Pose.from_planar(1.0, 2.0, 0.3) @ correction.pose.inverse()
    assert located.map_from_base.distance_m(expected) < 1e-9
    assert located.map_from_base.angle_rad(expected) < 1e-6
    # the localizer may ask how the camera moved when it was exposed: 1 m/s along the base's x
    moving_3 = correction.pose.rotation_33.T @ [1.0, 0.0, 0.0]
    assert asked[-1].moving_3 == pytest.approx(moving_3, abs=1e-6)
    assert asked[-1].turning_3 == pytest.approx(np.zeros(3), abs=1e-6)
    # by what odometry said before and after; for what is still to come no image waits
    assert {at_ns: wait_s > 0.0 for at_ns, wait_s in tf.waited_for.items()} == {
        -60_000_000: True, -40_000_000: True, -20_000_000: False,
    }  # fmt: skip
    message.header.frame_id = "other"
    other = BaseLocator(
        LocalizeParameters(max_image_age=0.5), Accepting(), Moving(), lambda _: None
    ).locate(image, NOW_NS)
    assert other.exposure_ns is None
    assert other.map_from_base.distance_m(Pose.from_planar(1.0, 2.0, 0.3)) < 1e-9
    # without odometry nobody knows
    message.header.frame_id = "camera"
    parameters = LocalizeParameters(max_image_age=0.5, odom_frame_id="nowhere", tf_broadcast=False)
    BaseLocator(parameters, Asking(), Frames()).locate(image, NOW_NS)
    assert asked[-1] is None


class FakeNode:
    """Takes subscriptions, keeps what is said."""

    def __init__(self):
        self.said = []

    def create_subscription(self, kind, topic, callback, qos, **_):
        return SimpleNamespace(topic_name="/" + topic.lstrip("/"))

    def create_service(self, *_):
        return None

    def get_logger(self):
        return SimpleNamespace(warning=self.said.append, info=self.said.append)


@st.composite
def transforms(draw) -> TransformStamped:
    message = TransformStamped(child_frame_id=draw(st.sampled_from(FRAMES)))
    message.header.frame_id = draw(st.sampled_from(FRAMES))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(draw(STAMPS), 10**9)
    x, y, z = (draw(NUMBERS) for _ in range(3))
    message.transform.translation = Vector3(x=x, y=y, z=z)
    x, y, z, w = (draw(NUMBERS) for _ in range(4))
    message.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
    return message


def test_transforms():
    said, found = [], []

    @MANY
    @given(st.lists(transforms(), max_size=6), st.lists(transforms(), max_size=3))
    def check(moving, static):
        listener = TransformListener(FakeNode(), said.append)
        listener.start()
        listener._on_tf(TFMessage(transforms=moving))
        listener._on_tf_static(TFMessage(transforms=static))
        for frame in ("map", "camera"):
            try:
                pose = listener.lookup(frame, "base_footprint", NOW_NS)
            except TransformError as error:
                said.append(str(error))
                continue
            found.append(pose)
            assert np.isfinite(pose.matrix_44).all()
            assert np.allclose(pose.rotation_33 @ pose.rotation_33.T, np.eye(3), atol=1e-6)

    check()
    assert said
    assert found
    assert all("\n" not in sentence for sentence in said)


def test_initial_poses():
    """Whatever somebody says: a fix afterwards has a transform that can be used."""
    node, taken, reasons = FakeNode(), [], set()
    parameters = LocalizeParameters()

    @MANY
    @given(
        st.sampled_from(["map", "/map", "odom", ""]),
        st.tuples(*[NUMBERS] * 7),
        st.one_of(
            st.lists(NUMBERS, min_size=36, max_size=36),
            st.lists(st.floats(0.0, 2.0), min_size=6, max_size=6).map(
                lambda variances_6: np.diag(variances_6).ravel().tolist()
            ),
        ),
    )
    def check(frame_id, numbers_7, covariance_36):
        log = SimpleNamespace(info=lambda _: None, warning=lambda _: None)
        fixes = []
        run = LocalizationRun(parameters, log, lambda fix, _: fixes.append(fix))
        initial = InitialPose(node, parameters, run.expect)
        initial.start()
        message = PoseWithCovarianceStamped()
        message.header.frame_id = frame_id
        x, y, z, *xyzw = numbers_7
        message.pose.pose.position = Point(x=x, y=y, z=z)
        message.pose.pose.orientation = Quaternion(**dict(zip("xyzw", xyzw, strict=True)))
        message.pose.covariance = covariance_36
        initial._on_message(message)
        for index in range(4):
            located = LocatedBase(
                ESTIMATE,
                Pose.from_planar(1.0, 2.0, 0.3),
                1e-4 * np.eye(6),
                Pose.identity(),
            )
            try:
                run.accept(NOW_NS + index, 0.1, located)
            except ImageRejected as rejection:
                reasons.add(re.sub(r"[0-9.]+", "N", str(rejection)))
        taken.append(len(fixes))
        assert fixes  # at the latest when three agree
        assert run.map_from_odom(NOW_NS).distance_m(Pose.from_planar(1.0, 2.0, 0.3)) < 0.2

    check()
    assert {2, 4} <= set(taken)
    assert reasons == {"Rejected fix: N sigma from the prediction (N/N toward re-initialisation)"}
    assert any("not in 'map'" in sentence for sentence in node.said)
    assert any("covariance that is none" in sentence for sentence in node.said)
    assert any("cannot be used" in sentence for sentence in node.said)


ESTIMATE = PoseEstimate(
    Pose.from_planar(1.0, 2.0, 0.3), 1e-4 * np.eye(6), 400, 1000, 1.5, 0.01,
    np.zeros((0, 2)), np.zeros((0, 3)), Camera(64, 48, 60.0, 60.0, 31.5, 23.5),
)  # fmt: skip


def test_what_is_given_of_the_camera_holds_instead_of_what_comes(tmp_path):
    """A calibration in a file and a mount: neither camera_info nor TF to the camera is needed."""
    file = tmp_path / "camera.yaml"
    file.write_text(
        "image_width: 32\nimage_height: 24\ncamera_matrix: {data: [30, 0, 15, 0, 30, 11, 0, 0, 1]}"
    )
    mount = Pose.from_rotation_vector([0.2, 0.1, 0.5], [-0.4, 0.3, 1.0])
    seen = []

    class Remembering(Accepting):
        def localize(self, image_rgb_hwc, camera, motion=None):
            seen.append((image_rgb_hwc, camera))
            return super().localize(image_rgb_hwc, camera)

    parameters = LocalizeParameters(
        max_image_age=0.5, odom_frame_id="odom", camera_info_file=(str(file),),
        camera_pose=(" ".join(map(repr, mount.as_seven())),),
    )  # fmt: skip
    values = ValueRange(0, 4095)
    locator = BaseLocator(parameters, Remembering(), Moving(), value_range=values)
    grey = np.full((24, 32), 1600, "<u2")
    message = Image(width=32, height=24, encoding="mono16", step=64, data=grey.tobytes())
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(NOW_NS, 10**9)
    image = IncomingImage(message, "/image", None, "/camera_info")
    located = locator.locate(image, NOW_NS)
    assert seen[0][1] == Camera(32, 24, 30.0, 30.0, 15.0, 11.0)
    assert (seen[0][0] == 100).all()  # 12 bits, as the map was made of them
    expected = Pose.from_planar(1.0, 2.0, 0.3) @ mount.inverse()
    assert located.map_from_base.distance_m(expected) < 1e-9
    file_gone = replace(parameters, camera_info_file=(str(tmp_path / "gone.yaml"),))
    with pytest.raises(ImageRejected, match=r"gone.yaml cannot be read"):
        BaseLocator(file_gone, Remembering(), Moving()).locate(image, NOW_NS)
    without_size = CameraInfo(distortion_model="plumb_bob", k=GOOD_K, d=[0.0] * 5)
    message.header.frame_id = "camera"
    image = IncomingImage(message, "/image", without_size, "/camera_info")
    BaseLocator(LocalizeParameters(), Remembering(), Moving(), value_range=values).locate(
        image, NOW_NS
    )
    assert (seen[-1][1].width_px, seen[-1][1].height_px) == (32, 24)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"camera_pose": ("1 2 3",)}, "'camera_pose': '1 2 3' must be seven numbers"),
        ({"camera_info_file": ("a", "b")}, "'camera_info_file' has 2 values, but 'camera_names'"),
    ],
)
def test_what_is_given_wrongly_of_the_camera_is_refused(fields, words):
    with pytest.raises(ParameterError, match=words):
        LocalizeParameters(**fields)


def test_a_camera_is_given_by_a_robots_description(tmp_path):
    file = tmp_path / "robot.urdf"
    file.write_text(
        '<robot><joint name="j" type="fixed"><parent link="base_link"/><child link="eye"/>'
        '<origin xyz="0.1 0 0.3"/></joint></robot>'
    )
    parameters = LocalizeParameters(camera_pose=(f"{file} base_link eye",))
    file.unlink()  # it is read once
    given = parameters.camera_pose_of(parameters.camera_names[0])
    assert given.translation_3.tolist() == [0.1, 0.0, 0.3]
    with pytest.raises(ParameterError, match=r"'camera_pose': .*robot.urdf cannot be read"):
        LocalizeParameters(camera_pose=(f"{file} base_link eye",))


def test_several_cameras_are_given_each_its_own():
    parameters = LocalizeParameters(
        camera_names=("front", "rear"), camera_info_file=("", "rear.yaml"),
        camera_pose=("1 0 0 0 0 0 1", ""),
    )  # fmt: skip
    assert parameters.camera_info_file_of("front") == ""
    assert parameters.camera_info_file_of("rear") == "rear.yaml"
    assert parameters.camera_pose_of("front").translation_3.tolist() == [1.0, 0.0, 0.0]
    assert parameters.camera_pose_of("rear") is None
