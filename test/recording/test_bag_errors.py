"""A bag that cannot be used says so in one sentence, and what to do; none crashes or lies."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bag_writing import (
    BASE_FROM_CAMERA,
    IMAGE_PERIOD_NS,
    START_NS,
    bag_writer,
    map_from_base,
    picture,
    write_drive,
    write_pose,
)

from glace_ros.errors import RecordingError
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.frame_selection import FrameSelection

EVERY_FRAME = FrameSelection(0.0, 0.0, min_sharpness=0.0, skip_repeated=False)


def refusal(path: Path, *arguments, **options) -> str:
    """The sentence with which the bag is refused, at the door or while reading."""
    with (
        pytest.raises(RecordingError) as caught,
        RecordingReader(path, *arguments, **options) as reader,
    ):
        list(reader.posed_images(EVERY_FRAME))
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert caught.value.exit_code == 2
    return sentence


def cut(path: Path, fraction: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])


def only_file(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """Whole drives by storage, to be copied before they are broken."""
    root = tmp_path_factory.mktemp("drives")
    kinds = {
        "mcap": ("mcap", None),
        "sqlite3": ("sqlite3", None),
        "zstd_file": ("mcap", "file"),
        "zstd_message": ("sqlite3", "message"),
    }
    paths = {name: write_drive(root / name, *kind, images=10) for name, kind in kinds.items()}
    paths["ros1"] = write_drive(root / "ros1.bag", "ros1", images=10)
    return paths


@pytest.fixture
def broken(drives, tmp_path):
    """A copy of a whole drive."""

    def copy(name: str) -> Path:
        source = drives[name]
        target = tmp_path / source.name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
        return target

    return copy


def test_missing_path(tmp_path):
    assert "There is no bag at" in refusal(tmp_path / "nope")


def test_empty_folder(tmp_path):
    assert "holds no bag" in refusal(tmp_path)


def test_a_file_that_is_no_bag(tmp_path):
    (tmp_path / "bag.txt").write_text("hello")
    assert "metadata.yaml" in refusal(tmp_path / "bag.txt")


@pytest.mark.parametrize("name", ["x.mcap", "x.db3", "x.bag"])
@pytest.mark.parametrize("content", [b"", b"hello", bytes(5000)])
def test_files_with_the_name_of_a_bag_and_another_content(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert str(tmp_path / name) in refusal(tmp_path / name)


def test_a_bag_without_messages(tmp_path):
    with bag_writer(tmp_path / "bag"):
        pass
    assert "no messages" in refusal(tmp_path / "bag")


@pytest.mark.parametrize("fraction", [0.3, 0.7, 0.99])
def test_truncated_mcap_says_how_to_recover(broken, fraction):
    bag = broken("mcap")
    cut(only_file(bag, "*.mcap"), fraction)
    assert "mcap recover" in refusal(bag)
    (bag / "metadata.yaml").unlink()  # what a robot that lost its power leaves behind
    assert "mcap recover" in refusal(bag)
    assert "mcap recover" in refusal(only_file(bag, "*.mcap"))


@pytest.mark.parametrize("fraction", [0.01, 0.4, 0.95])
def test_truncated_compressed_file(broken, fraction):
    bag = broken("zstd_file")
    cut(only_file(bag, "*.zstd"), fraction)
    assert "cut off or damaged" in refusal(bag)


def test_compressed_files_without_metadata(broken):
    bag = broken("zstd_file")
    (bag / "metadata.yaml").unlink()
    assert "reindex" in refusal(bag)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_truncated_sqlite(broken, fraction):
    bag = broken("sqlite3")
    cut(only_file(bag, "*.db3"), fraction)
    assert str(bag) in refusal(bag)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_truncated_ros1_bag(broken, fraction):
    bag = broken("ros1")
    cut(bag, fraction)
    assert str(bag) in refusal(bag)


def test_a_data_file_is_missing(broken):
    bag = broken("mcap")
    only_file(bag, "*.mcap").unlink()
    assert "missing" in refusal(bag)


@pytest.mark.parametrize("content", ["", "{", "a: 1", "rosbag2_bagfile_information: 3", "\x00\x01"])
def test_broken_metadata(broken, content):
    bag = broken("mcap")
    (bag / "metadata.yaml").write_text(content)
    assert str(bag) in refusal(bag)


def test_a_write_ahead_log_holds_messages(broken):
    bag = broken("sqlite3")
    database = only_file(bag, "*.db3")
    database.with_name(database.name + "-wal").write_bytes(b"messages")
    assert "not closed" in refusal(bag)


def test_lost_messages_are_said(broken):
    """The index promises more than the file holds."""
    bag = broken("sqlite3")
    metadata = bag / "metadata.yaml"
    text = metadata.read_text()
    assert text.count("message_count: 10\n") == 2  # images and camera_info
    metadata.write_text(text.replace("message_count: 10\n", "message_count: 12\n"))
    with RecordingReader(bag) as reader:
        assert len(list(reader.posed_images(EVERY_FRAME))) == 10
        assert sum("10 messages found where" in note for note in reader.notes) == 2


@pytest.mark.parametrize("name", ["mcap", "sqlite3", "zstd_message", "zstd_file", "ros1"])
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0.0, 0.999), garbage=st.binary(min_size=1, max_size=400))
def test_garbage_anywhere_is_refused_or_said_or_does_no_harm(
    drives, tmp_path_factory, name, at, garbage
):
    bag = tmp_path_factory.mktemp("garbage") / drives[name].name
    (shutil.copytree if drives[name].is_dir() else shutil.copy)(drives[name], bag)
    file = bag if bag.is_file() else next(f for f in bag.iterdir() if f.suffix != ".yaml")
    data = bytearray(file.read_bytes())
    start = int(at * len(data))
    data[start : start + len(garbage)] = garbage
    file.write_bytes(data[: file.stat().st_size])
    images, sentences = [], []
    try:
        with RecordingReader(bag) as reader:
            images = list(reader.images())
            sentences = [*reader.notes, *reader.left_out]
    except RecordingError as error:
        sentences = [str(error)]
    assert len(images) == 10 or sentences
    assert "\n" not in "".join(sentences)


def test_unknown_topics_list_those_that_exist(drives):
    assert "/camera/image_raw" in refusal(drives["mcap"], "/nope")
    assert "/camera/camera_info" in refusal(drives["mcap"], None, "/nope")
    assert "/odom" in refusal(drives["mcap"], None, None, "/nope")


def test_topics_of_a_wrong_type(drives):
    assert "nav_msgs/msg/Odometry" in refusal(drives["mcap"], "/odom")
    assert "sensor_msgs/msg/Image" in refusal(drives["mcap"], None, "/camera/image_raw")
    assert "tf2_msgs/msg/TFMessage" in refusal(drives["mcap"], None, None, "/tf_static")


def test_unknown_pose_frame(drives):
    sentence = refusal(drives["mcap"], None, None, "tf:nope")
    assert "nope" in sentence
    assert "base_link" in sentence


def test_several_cameras_ask_for_a_choice(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        for camera in ("left", "right"):
            bag.image(f"/{camera}/image_raw", START_NS, picture(0))
    sentence = refusal(tmp_path / "bag")
    assert "/left/image_raw, /right/image_raw" in sentence
    assert "--image-topic" in sentence


def test_no_image_topic(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        write_pose(bag, "odometry", START_NS)
    assert "no image topic" in refusal(tmp_path / "bag")


def test_no_camera_info(tmp_path):
    sentence = refusal(write_drive(tmp_path / "bag", images=3, camera_info=False))
    assert "/camera/camera_info" in sentence


def test_an_uncalibrated_camera(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.camera_info("/camera/camera_info", START_NS, k_33=np.zeros((3, 3)))
        bag.image("/camera/image_raw", START_NS, picture(0))
    sentence = refusal(tmp_path / "bag")
    assert "/camera/camera_info" in sentence
    assert "not calibrated" in sentence


def test_no_poses(tmp_path):
    assert "no poses" in refusal(write_drive(tmp_path / "bag", images=3, poses="none"))


def test_bare_poses_are_not_taken_unasked(tmp_path):
    sentence = refusal(write_drive(tmp_path / "bag", images=3, poses="pose"))
    assert "--pose-source" in sentence
    assert "/pose" in sentence


def test_two_odometries_ask_for_a_choice(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.image("/camera/image_raw", START_NS, picture(0))
        bag.camera_info("/camera/camera_info", START_NS)
        for topic in ("/wheels", "/visual"):
            bag.odometry(topic, START_NS, bag.pose(map_from_base(START_NS)))
    assert "/visual, /wheels" in refusal(tmp_path / "bag")


@pytest.mark.parametrize(("poses", "source"), [("odometry", None), ("pose", "/pose")])
def test_a_missing_mounting_is_never_the_identity(tmp_path, poses, source):
    bag = write_drive(tmp_path / "bag", images=3, poses=poses, tf_static=False)
    sentence = refusal(bag, pose_source=source)
    assert "camera" in sentence
    assert "/tf_static" in sentence


def test_poses_that_are_all_nan_name_their_topic(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for i in range(5):
            stamp = START_NS + i * IMAGE_PERIOD_NS
            pose = bag.pose(map_from_base(stamp))
            pose.position.y = float("nan")
            bag.odometry("/odom", stamp, pose)
            bag.image("/camera/image_raw", stamp, picture(i))
            bag.camera_info("/camera/camera_info", stamp)
    sentence = refusal(tmp_path / "bag")
    assert "/odom" in sentence
    assert "not finite" in sentence


def test_transforms_that_are_all_nan_are_named(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS)
        bag.image("/camera/image_raw", START_NS, picture(0))
        pose = map_from_base(START_NS)
        pose.translation_3[0] = np.nan
        bag.tf("map", "base_link", START_NS, pose)
    sentence = refusal(tmp_path / "bag")
    assert "map->base_link" in sentence
    assert "not finite" in sentence


def test_clocks_that_do_not_meet(tmp_path):
    """Images stamped by the camera's own clock, poses by the computer's."""
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for i in range(5):
            stamp = START_NS + i * IMAGE_PERIOD_NS
            write_pose(bag, "odometry", stamp)
            bag.camera_info("/camera/camera_info", stamp)
            bag.image("/camera/image_raw", 10**9 + i, picture(i), received_ns=stamp)
    sentence = refusal(tmp_path / "bag")
    assert "None of the 5 images on /camera/image_raw" in sentence
    assert "19675.9 days off the time of recording" in sentence


def test_odometry_of_its_own_frame_would_count_the_motion_twice(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS)
        bag.tf("odom", "base_link", START_NS, map_from_base(START_NS))
        bag.odometry("/odom", START_NS, bag.pose(map_from_base(START_NS)), child="odom")
        bag.image("/camera/image_raw", START_NS, picture(0))
    assert "child_frame_id" in refusal(tmp_path / "bag")


def test_images_without_any_stamp(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS)
        write_pose(bag, "odometry", START_NS)
        bag.image("/camera/image_raw", 0, picture(0), received_ns=START_NS)
    assert "no time stamp" in refusal(tmp_path / "bag")


def test_images_of_another_size_than_the_calibration(tmp_path):
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS, size=(320, 240))
        write_pose(bag, "odometry", START_NS)
        bag.image("/camera/image_raw", START_NS, picture(0))
    sentence = refusal(tmp_path / "bag")
    assert "64x48" in sentence
    assert "320x240" in sentence


def test_a_robot_described_twice_is_said(tmp_path):
    """Two publishers give base_link two parents: the first stays, the poses stay true."""
    with bag_writer(tmp_path / "bag") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS)
        for i in range(5):
            stamp = START_NS + i * IMAGE_PERIOD_NS
            bag.tf("map", "base_link", stamp, map_from_base(stamp))
            bag.tf("odom", "base_link", stamp, map_from_base(stamp + 10**9))
            bag.image("/camera/image_raw", stamp, picture(i))
    with RecordingReader(tmp_path / "bag") as reader:
        for image in reader.posed_images(EVERY_FRAME):
            true = map_from_base(image.stamp_ns) @ BASE_FROM_CAMERA
            assert true.distance_m(image.map_from_camera) < 1e-6
        assert any("two parents" in note for note in reader.notes)
