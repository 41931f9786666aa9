"""A recording without calibration or mount, or with half of one, gives the drive all the same."""

import numpy as np
import pytest
from support.bag_writing import (
    BASE_FROM_CAMERA,
    HEIGHT,
    IMAGE_PERIOD_NS,
    K_33,
    START_NS,
    WIDTH,
    bag_writer,
    map_from_base,
    picture,
    write_drive,
    write_pose,
)

from glace_ros.errors import RecordingError
from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose, pose_of_text
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.recording.recording_summary import describe, summarize
from glace_ros.ros_messages.value_range import FULL_RANGE, ValueRange

EVERY_FRAME = FrameSelection(0.0, 0.0, min_sharpness=0.0)
CALIBRATION = (
    f"image_width: {WIDTH}\nimage_height: {HEIGHT}\n"
    f"camera_matrix: {{data: {K_33.ravel().tolist()}}}\n"
)


def assert_is_the_drive(reader: RecordingReader, images: int = 20) -> None:
    posed = list(reader.posed_images(EVERY_FRAME))
    assert len(posed) == images
    for image in posed:
        true = map_from_base(image.stamp_ns) @ BASE_FROM_CAMERA
        np.testing.assert_allclose(image.map_from_camera.matrix_44, true.matrix_44, atol=1e-6)
        assert image.camera == Camera(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 23.5)


def test_a_calibration_from_a_file(tmp_path):
    path = write_drive(tmp_path / "drive", camera_info=False)
    with pytest.raises(RecordingError, match="--camera-info FILE"):
        RecordingReader(path)
    file = tmp_path / "camera.yaml"
    file.write_text(CALIBRATION)
    with RecordingReader(path, camera_info_file=str(file)) as reader:
        assert_is_the_drive(reader)
        assert reader.info.camera_info_topic == str(file)
        assert not reader.notes
    with pytest.raises(RecordingError, match=r"--camera-info: .*no.yaml cannot be read"):
        RecordingReader(path, camera_info_file=str(tmp_path / "no.yaml"))


@pytest.mark.parametrize("poses", ["odometry", "tf:map", "tf:odom"])
@pytest.mark.parametrize("tf_static", [True, False])
def test_a_mount_that_is_given(tmp_path, poses, tf_static):
    """It holds where none is recorded, and instead of a recorded one."""
    path = write_drive(tmp_path / "drive", poses=poses, tf_static=tf_static)
    if not tf_static and poses == "odometry":
        with pytest.raises(RecordingError, match="--camera-pose"):
            RecordingReader(path)
    given = pose_of_text(" ".join(map(repr, BASE_FROM_CAMERA.as_seven())))
    with RecordingReader(path, base_from_camera=given) as reader:
        assert_is_the_drive(reader)
        assert reader.info.base_frame == "base_link"
        assert reader.info.base_from_camera is given
        assert "at 0.100 0.020 0.300 m on base_link, as given" in describe(summarize(reader))
    other = Pose.from_quaternion([1.0, 2.0, 3.0], [0, 0, 0, 1])
    with RecordingReader(path, base_from_camera=other) as reader:
        image = next(iter(reader.posed_images(EVERY_FRAME)))
        true = map_from_base(image.stamp_ns) @ other
        np.testing.assert_allclose(image.map_from_camera.matrix_44, true.matrix_44, atol=1e-6)


@pytest.mark.parametrize(
    "text", ["", "1 2 3", "1 2 3 0 0 0 0", "1 2 3 0 0 0 2", "1 2 3 0 0 0 nan", "a b c d e f g"]
)
def test_no_pose_of_a_camera(text):
    with pytest.raises(ValueError, match="must"):
        pose_of_text(text)


@pytest.mark.parametrize("topic", ["/camera/image_raw", "/camera/image_raw/compressed"])
def test_a_camera_info_without_size_has_that_of_the_images(tmp_path, topic):
    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for i in range(5):
            stamp = START_NS + i * IMAGE_PERIOD_NS
            write_pose(bag, "odometry", stamp)
            bag.camera_info("/camera/camera_info", stamp, size=(0, 0))
            bag.image(topic, stamp, picture(i))
    with RecordingReader(tmp_path / "drive") as reader:
        assert_is_the_drive(reader, 5)
        (note,) = reader.notes
        assert note == "/camera/camera_info does not say how large the images are; they are 64x48"


def test_a_raw_topic_has_its_camera_info_raw(tmp_path):
    """As an older driver has it: camera_info is that of the rectified image."""
    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for i in range(3):
            stamp = START_NS + i * IMAGE_PERIOD_NS
            write_pose(bag, "odometry", stamp)
            bag.camera_info("/zed/camera_info", stamp, k_33=K_33 * [[2], [2], [1]])
            bag.camera_info("/zed/camera_info_raw", stamp)
            bag.image("/zed/image_raw_color", stamp, picture(i))
            bag.image("/zed/image_rect_color", stamp, picture(i))
    with RecordingReader(tmp_path / "drive", "/zed/image_raw_color") as reader:
        assert reader.info.camera_info_topic == "/zed/camera_info_raw"
        assert "camera_info_raw" in reader.notes[0]
    with RecordingReader(tmp_path / "drive", "/zed/image_rect_color") as reader:
        assert reader.info.camera_info_topic == "/zed/camera_info"


def grey_drive(path, factor: int, offset: int = 0, encoding: str = "mono16", name: str = "image"):
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for i in range(8):
            stamp = START_NS + i * IMAGE_PERIOD_NS
            write_pose(bag, "odometry", stamp)
            bag.camera_info(f"/{name}/camera_info", stamp)
            grey = (picture(i)[..., 1].astype(np.uint16) * factor + offset).astype("<u2")
            message = bag.make(
                "sensor_msgs/msg/Image", header=bag.header(stamp, "camera"), height=HEIGHT,
                width=WIDTH, encoding=encoding, is_bigendian=0, step=2 * WIDTH,
                data=grey.view(np.uint8).ravel(),
            )  # fmt: skip
            bag.write(f"/{name}/image_raw", message, stamp)
    return path


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(4, ValueRange(0, 1023)), (16, ValueRange(0, 4095)), (256, FULL_RANGE)],
)
def test_16_bits_are_scaled_by_what_the_recording_uses(tmp_path, factor, expected):
    with RecordingReader(grey_drive(tmp_path / "drive", factor)) as reader:
        assert reader.info.value_range == expected
        for index, image in enumerate(reader.posed_images(EVERY_FRAME)):
            np.testing.assert_array_equal(image.image_rgb_hwc[..., 0], picture(index)[..., 1])
        assert f"16 bits:     {expected} become black to white" in describe(summarize(reader))


def test_the_range_of_a_map_holds_for_other_recordings(tmp_path):
    path = grey_drive(tmp_path / "drive", 4, 29000)
    with RecordingReader(path) as reader:
        assert 28880 < reader.info.value_range.low < 29010
    with RecordingReader(path, value_range=FULL_RANGE) as reader:
        assert next(iter(reader.images())).image_rgb_hwc.max() <= 30100 // 256
    with RecordingReader(write_drive(tmp_path / "colour")) as reader:
        assert reader.info.value_range is None


def test_distances_are_no_pictures(tmp_path):
    path = grey_drive(tmp_path / "drive", 16, encoding="16UC1", name="depth")
    with pytest.raises(RecordingError, match="/depth/image_raw has distances"):
        RecordingReader(path)
