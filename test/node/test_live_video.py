"""A camera that publishes H.264, packet by packet: the node as a real process in a real graph, with
the message types of the transports (dev/), localizes it in a room.
"""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("av")
pytest.importorskip("glace_ros.msg", reason="the messages are not built")
pytest.importorskip("ffmpeg_image_transport_msgs.msg", reason="dev/ is not built")
pytest.importorskip("foxglove_msgs.msg", reason="dev/ is not built")

from ffmpeg_image_transport_msgs.msg import FFMPEGPacket
from foxglove_msgs.msg import CompressedVideo
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo
from support.published_stand_in import CAMERA, SHORT_SIDE_PX, PublishedRoom, imported
from support.robot import BASE_FROM_CAMERA, STATIC, stamp_of
from support.video import encoded
from support.waiting import let_pass, wait_until
from tf2_msgs.msg import TFMessage

from glace_ros.geometry.pose import Pose
from glace_ros.node.ros_interface.conversions import ns_to_stamp, pose_to_transform
from glace_ros.ros_messages.reading import pose_from_message, stamp_to_ns

pytestmark = [pytest.mark.ros, pytest.mark.slow]

HZ, GOP = 5.0, 8
MAP_FROM_ODOM = Pose.from_planar(20.0, -9.0, -0.4)
TYPES = {"ffmpeg": FFMPEGPacket, "foxglove": CompressedVideo}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The room and its map, of small images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glace_ros.maps.ace_format.SHORT_SIDE_PX", SHORT_SIDE_PX)
        return imported(tmp_path_factory.mktemp("room"), PublishedRoom())


class VideoCamera:
    """Publishes views of the room as packets; of which, the test says.

    stamps_ns: of each view that was published.
    """

    def __init__(self, robot, room, views, transport="ffmpeg", prefix="", base_from=None):
        self._robot, self._transport, self._frame = robot, transport, f"{prefix or 'a_'}camera"
        self._base_from_camera = base_from or BASE_FROM_CAMERA
        self._bases = views
        self._packets = encoded(
            [room.view(base @ self._base_from_camera, CAMERA).image_rgb_hwc for base in views],
            gop=GOP,
        )
        node = robot.node
        self.images = node.create_publisher(TYPES[transport], f"{prefix}image/{transport}", 10)
        self._infos = node.create_publisher(CameraInfo, f"{prefix}camera_info", 10)
        self._static = node.create_publisher(TFMessage, "/tf_static", STATIC)
        self.stamps_ns: dict[int, int] = {}

    def wait_for_listeners(self):
        wait_until(lambda: self.images.get_subscription_count())
        wait_until(lambda: self._infos.get_subscription_count())
        wait_until(lambda: self._static.get_subscription_count())
        mount = TransformStamped(transform=pose_to_transform(self._base_from_camera))
        mount.header.frame_id, mount.child_frame_id = "base_footprint", self._frame
        self._static.publish(TFMessage(transforms=[mount]))
        info = CameraInfo(width=CAMERA.width_px, height=CAMERA.height_px)
        info.k, info.header.frame_id = CAMERA.matrix_33.ravel(), self._frame
        info.header.stamp = ns_to_stamp(self._robot.now_ns())
        self._infos.publish(info)

    def publish(self, index, stamp_ns):
        self.stamps_ns[index] = stamp_ns
        data, stamp = array.array("B", self._packets[index]), ns_to_stamp(stamp_ns)
        if self._transport == "foxglove":
            message = CompressedVideo(timestamp=stamp, frame_id=self._frame, format="h264")
        else:
            message = FFMPEGPacket(width=CAMERA.width_px, height=CAMERA.height_px, pts=index)
            message.encoding, message.flags = "h264;yuv420p;rgb8;rgb8", int(index % GOP == 0)
            message.header.stamp, message.header.frame_id = stamp, self._frame
        message.data = data
        self.images.publish(message)


def bases_of(room, count):
    """map_from_base there and back along the way around the room's desk."""
    there = [view.pose @ BASE_FROM_CAMERA.inverse() for view in room.test]
    back = [*there, *there[-2:0:-1]]
    return [back[index % len(back)] for index in range(count)]


def drive(robot, cameras, bases, indices, lost=()):
    """A packet of each camera at HZ, stamped so whenever this process gets to publish it, with
    odometry around it.
    """
    first_ns = robot.now_ns()
    for index in indices:
        stamp_ns = first_ns + round((index - indices[0]) * 1e9 / HZ)
        let_pass(max(0.0, (stamp_ns - robot.now_ns()) * 1e-9), "a camera's rate")
        for near_ns in (stamp_ns - 1, stamp_ns + len(cameras)):
            robot.publish_odometry(near_ns, MAP_FROM_ODOM.inverse() @ bases[index])
        for number, camera in enumerate(cameras):
            if index not in lost:
                camera.publish(index, stamp_ns + number)


def said(robot):
    """What the node said of each image: by stamp, the last status."""
    return {stamp_to_ns(status.image_stamp): status for status in robot.statuses}


def looked_at(robot, camera):
    """The status of each view of the camera that the node looked at; not all, where it is busy."""
    outcomes = said(robot)
    return {index: outcomes[at] for index, at in camera.stamps_ns.items() if at in outcomes}


def errors_of(robot, camera, bases):
    """(m, rad) of each pose that was published for the camera's views."""
    index_of = {stamp_ns: index for index, stamp_ns in camera.stamps_ns.items()}
    return [
        (found.distance_m(truth), found.angle_rad(truth))
        for message in robot.poses
        if (index := index_of.get(stamp_of(message))) is not None
        for found, truth in [(pose_from_message(message.pose.pose), bases[index])]
    ]


@pytest.mark.parametrize("transport", list(TYPES))
def test_a_video_is_localized_from_its_first_key_frame_on_but_behind_a_lost_packet(
    published, robot, start, transport
):
    """The node joins in the middle of a group of pictures; packet 19 is lost."""
    bases = bases_of(published.room, 32)
    camera = VideoCamera(robot, published.room, bases, transport)
    node = start(
        "--map", str(published.path), fake=False, image_transport=transport, two_d_mode="false",
        max_image_age=20.0, max_rate=30.0, window_images=0,
    )  # fmt: skip
    camera.wait_for_listeners()
    drive(robot, [camera], bases, range(3, 32), lost=[19])
    wait_until(lambda: camera.stamps_ns[31] in said(robot))
    outcomes = looked_at(robot, camera)
    for indices, words in (
        (range(3, GOP), "before its first key frame"),
        (range(20, 24), "packets of the video are missing"),
    ):
        without = [outcomes[index] for index in indices if index in outcomes]
        assert without, node.log()
        assert not any(status.accepted for status in without)
        assert all(words in status.rejection_reason for status in without)
    can_be = [*range(GOP, 19), *range(24, 32)]
    whole = [index for index in can_be if index in outcomes]
    assert len(whole) > 5, node.log()  # of a busy machine; all 19 of an idle one
    assert np.mean([outcomes[index].accepted for index in whole]) > 0.8, node.log()
    assert {stamp_of(message) for message in robot.poses} <= {
        camera.stamps_ns[index] for index in can_be
    }
    errors = np.array(errors_of(robot, camera, bases))
    assert np.median(errors[:, 0]) < 0.15
    assert np.median(errors[:, 1]) < np.radians(4.0)
    wait_until(lambda: input_values(robot).get("gaps in the video") == "1")
    assert input_values(robot)["image topic"] == f"/image/{transport}"
    assert node.interrupt() == 0
    assert "Traceback" not in node.log()


def test_each_camera_has_a_decoder_of_its_own(published, robot, start):
    """Two videos whose packets come in turn; the rear one begins in the middle."""
    bases, beside = bases_of(published.room, 24), Pose.from_planar(0.0, 0.12, 0.0)
    cameras = [
        VideoCamera(robot, published.room, bases, prefix="front/"),
        VideoCamera(
            robot, published.room, bases, prefix="rear/", base_from=beside @ BASE_FROM_CAMERA
        ),
    ]
    node = start(
        "--map", str(published.path), fake=False, image_transport="ffmpeg", two_d_mode="false",
        camera_names="[front,rear]", max_image_age=20.0, max_rate=60.0, window_images=0,
    )  # fmt: skip
    for camera in cameras:
        camera.wait_for_listeners()
    drive(robot, cameras[:1], bases, range(2))
    let_pass(1.0 / HZ, "a camera's rate")
    drive(robot, cameras, bases, range(2, 24))
    for camera in cameras:
        wait_until(lambda camera=camera: camera.stamps_ns[23] in said(robot))
    for first, camera in zip((0, GOP), cameras, strict=True):
        outcomes = looked_at(robot, camera)
        accepted = [index for index, status in outcomes.items() if status.accepted]
        assert min(accepted) >= first
        whole = [index for index in outcomes if index >= first]
        assert len(accepted) > 0.7 * len(whole) > 3, node.log()
        assert np.median([distance_m for distance_m, _ in errors_of(robot, camera, bases)]) < 0.15
    wait_until(lambda: "rear: gaps in the video" in input_values(robot))
    assert input_values(robot)["front: gaps in the video"] == "0"
    assert input_values(robot)["rear: gaps in the video"] == "0"


def input_values(robot):
    """The newest diagnostics of the task `input`."""
    tasks = robot.diagnostics[-1].status if robot.diagnostics else []
    return {v.key: v.value for task in tasks if task.name.endswith(": input") for v in task.values}
