"""Known drives come out of bags of every kind, exactly."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.bag_writing import (
    BASE_FROM_CAMERA,
    HEIGHT,
    IMAGE_OFFSET_NS,
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
from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.drives_reader import DrivesReader
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.recording.held_out import HeldOutImages
from glace_ros.recording.recording_summary import describe, summarize, survey, topic_rate_hz

OFFICE = Path(__file__).parents[3] / "shared" / "data" / "office"
EVERY_FRAME = FrameSelection(0.0, 0.0, min_sharpness=0.0)
needs_office = pytest.mark.skipif(not OFFICE.exists(), reason="the office recording is not here")


def assert_is_the_drive(reader: RecordingReader, images: int = 20) -> None:
    """All images, with their pixels and with the true camera poses."""
    posed = list(reader.posed_images(EVERY_FRAME))
    assert len(posed) == images
    assert not reader.left_out
    for index, image in enumerate(posed):
        assert image.stamp_ns == START_NS + IMAGE_OFFSET_NS + index * IMAGE_PERIOD_NS
        np.testing.assert_array_equal(image.image_rgb_hwc, picture(index))
        true = map_from_base(image.stamp_ns) @ BASE_FROM_CAMERA
        np.testing.assert_allclose(image.map_from_camera.matrix_44, true.matrix_44, atol=1e-6)
        assert image.camera == Camera(WIDTH, HEIGHT, 50.0, 50.0, 31.5, 23.5)


@pytest.mark.parametrize(
    ("storage", "compression"),
    [
        ("mcap", None),
        ("sqlite3", None),
        ("ros1", None),
        ("mcap", "file"),
        ("mcap", "message"),
        ("sqlite3", "file"),
        ("sqlite3", "message"),
    ],
)
def test_every_storage_gives_the_drive(tmp_path, storage, compression):
    path = write_drive(tmp_path / "drive.bag", storage, compression)
    with RecordingReader(path) as reader:
        assert_is_the_drive(reader)
        assert (reader.info.pose_source, reader.info.map_frame) == ("/odom", "odom")
        assert (reader.info.base_frame, reader.info.camera_frame) == ("base_link", "camera")
        assert reader.info.base_from_camera.distance_m(BASE_FROM_CAMERA) < 1e-9
        assert not reader.notes


@pytest.mark.parametrize(
    ("poses", "source", "map_frame"),
    [
        ("tf:map", "tf:map", "map"),
        ("tf:odom", "tf:odom", "odom"),
        ("odometry", "/odom", "odom"),
        ("pose", "/pose", "map"),
        ("pose_cov", "/pose", "map"),
    ],
)
def test_every_pose_source_gives_the_drive(tmp_path, poses, source, map_frame):
    path = write_drive(tmp_path / "drive", poses=poses)
    asked = "pose" if source == "/pose" else None  # bare poses are only read when asked for
    with RecordingReader(path, pose_source=asked) as reader:
        assert (reader.info.pose_source, reader.info.map_frame) == (source, map_frame)
        assert reader.info.base_frame == "base_link"
        assert_is_the_drive(reader)


def test_compressed_images_are_found_under_the_raw_name(tmp_path):
    path = write_drive(tmp_path / "drive", image_topic="/camera/image_raw/compressed")
    for asked in (None, "/camera/image_raw"):
        with RecordingReader(path, asked) as reader:
            assert reader.info.image_topic == "/camera/image_raw/compressed"
            assert_is_the_drive(reader)


def test_a_camera_recorded_raw_and_compressed_is_one_camera(tmp_path):
    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS)
        write_pose(bag, "odometry", START_NS)
        for topic in ("/camera/image_raw/compressed", "/camera/image_raw"):
            bag.image(topic, START_NS, picture(0))
    with RecordingReader(tmp_path / "drive") as reader:
        assert reader.info.image_topic == "/camera/image_raw"


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_without_metadata_is_read_and_said(tmp_path, storage):
    path = write_drive(tmp_path / "drive", storage)
    (path / "metadata.yaml").unlink()
    with RecordingReader(path) as reader:
        assert_is_the_drive(reader)
        assert "metadata.yaml" in reader.notes[0]
    with RecordingReader(next(path.iterdir())) as reader:  # and the bare file
        assert_is_the_drive(reader)


def test_a_split_bag_without_metadata_is_read_whole(tmp_path):
    whole = tmp_path / "split"
    whole.mkdir()
    for part in range(2):
        with bag_writer(tmp_path / f"part{part}") as bag:
            for i in range(part * 5, part * 5 + 5):
                stamp = START_NS + i * IMAGE_PERIOD_NS
                if part == 0 and i == 0:
                    bag.tf("base_link", "camera", stamp, BASE_FROM_CAMERA, "/tf_static")
                write_pose(bag, "odometry", stamp)
                bag.image("/camera/image_raw", stamp, picture(i))
                bag.camera_info("/camera/camera_info", stamp)
        (tmp_path / f"part{part}" / f"part{part}.mcap").rename(whole / f"part{part}.mcap")
    with RecordingReader(whole) as reader:
        assert len(list(reader.posed_images(EVERY_FRAME))) == 10
        assert reader.info.image_count == 10


def test_a_joint_on_tf_moves_the_camera(tmp_path):
    """The neck turns; the pose of the camera follows it at exposure time."""

    def base_from_neck(stamp):
        return Pose.from_planar(0.0, 0.0, 0.3 * (stamp - START_NS) / 1e9)

    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("neck", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for stamp in range(START_NS, START_NS + 10**9, 50_000_000):
            bag.tf("base_link", "neck", stamp, base_from_neck(stamp))
            write_pose(bag, "odometry", stamp)
        stamp = START_NS + 333_000_000
        bag.image("/camera/image_raw", stamp, picture(0))
        bag.camera_info("/camera/camera_info", stamp)
    with RecordingReader(tmp_path / "drive") as reader:
        (image,) = reader.posed_images()
    true = map_from_base(stamp) @ base_from_neck(stamp) @ BASE_FROM_CAMERA
    np.testing.assert_allclose(image.map_from_camera.matrix_44, true.matrix_44, atol=1e-6)


def test_images_outside_the_poses_or_in_a_gap_have_none(tmp_path):
    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS)
        for ms in (-100, 50, 150, 1050, 1500, 2100):
            bag.image("/camera/image_raw", START_NS + ms * 1_000_000, picture(ms + 100))
        for ms in [*range(0, 201, 20), 1500, *range(1900, 2001, 20)]:
            write_pose(bag, "odometry", START_NS + ms * 1_000_000)
    with RecordingReader(tmp_path / "drive") as reader:
        has_pose = [image.map_from_camera is not None for image in reader.images()]
        # 1500 lies in a gap, but on a sample of its own
        assert has_pose == [False, True, True, False, True, False]
        assert not reader.left_out
        assert len(list(reader.posed_images(EVERY_FRAME))) == 3
        assert reader.left_out == {
            "no pose: no transform yet": 1,
            "no pose: gap between transforms": 1,
            "no pose: no newer transform": 1,
        }


def test_unusable_poses_are_left_out_and_said(tmp_path):
    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for i in range(40):
            stamp = START_NS + i * POSE_STEP_NS
            pose = bag.pose(map_from_base(stamp))
            if i % 4 == 1:
                pose.position.x = float("nan")
            if i % 4 == 2:
                o = pose.orientation
                o.x = o.y = o.z = o.w = 0.0
            bag.odometry("/odom", stamp, pose)
            bag.image("/camera/image_raw", stamp, picture(i))
            bag.camera_info("/camera/camera_info", stamp)
    with RecordingReader(tmp_path / "drive") as reader:
        posed = list(reader.posed_images(EVERY_FRAME))
        assert len(posed) == 40
        for image in posed:
            true = map_from_base(image.stamp_ns) @ BASE_FROM_CAMERA
            np.testing.assert_allclose(image.map_from_camera.matrix_44, true.matrix_44, atol=1e-6)
        assert sum("10 poses left out" in note for note in reader.notes) == 2


POSE_STEP_NS = 20_000_000


@pytest.mark.parametrize(
    ("model", "d"),
    [
        ("plumb_bob", (-0.3, 0.1, 0.001, -0.002, 0.0)),
        ("rational_polynomial", (0.3, 0.05, 0.001, 0.0, 0.01, 0.6, 0.1, 0.02)),
        ("equidistant", (0.05, -0.01, 0.003, 0.0)),
    ],
)
def test_distorted_images_come_out_straight(tmp_path, model, d):
    """A white dot lies, after reading, where the pinhole camera projects its point."""
    size, k_33 = (320, 240), np.array([[200.0, 0, 159.5], [0, 200.0, 119.5], [0, 0, 1]])
    point_13 = np.array([[0.35, -0.25, 1.0]])
    if model == "equidistant":
        pixel, _ = cv2.fisheye.projectPoints(
            point_13[None], np.zeros(3), np.zeros(3), k_33, np.array(d)
        )
    else:
        pixel, _ = cv2.projectPoints(point_13, np.zeros(3), np.zeros(3), k_33, np.array(d))
    u, v = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    dot = np.exp(-((u - pixel.ravel()[0]) ** 2 + (v - pixel.ravel()[1]) ** 2) / 8)
    rgb = np.repeat((255 * dot).astype(np.uint8)[..., None], 3, axis=2)
    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS, k_33=k_33, d=d, model=model, size=size)
        bag.image("/camera/image_raw", START_NS, rgb)
        write_pose(bag, "odometry", START_NS)
    with RecordingReader(tmp_path / "drive") as reader:
        assert reader.info.camera.distortion_model == model
        (image,) = reader.posed_images()
    weights = image.image_rgb_hwc[..., 0].astype(float)
    seen = [(weights * u).sum() / weights.sum(), (weights * v).sum() / weights.sum()]
    assert np.linalg.norm(pixel.ravel() - seen) > 2  # it did move
    np.testing.assert_allclose(seen, image.camera.project(point_13)[0], atol=0.1)
    assert image.camera.distortion_model == "none"


def test_binning_and_region_of_interest_are_applied(tmp_path):
    k_33 = np.array([[200.0, 0, 160.5], [0, 200.0, 120.5], [0, 0, 1]])
    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info(
            "/camera/camera_info", START_NS, k_33=k_33, size=(320, 240), binning=2,
            roi=(100, 60, 2 * WIDTH, 2 * HEIGHT),
        )  # fmt: skip
        bag.image("/camera/image_raw", START_NS, picture(0))
        write_pose(bag, "odometry", START_NS)
    with RecordingReader(tmp_path / "drive") as reader:
        (image,) = reader.posed_images()
    # full-resolution pixel 160.5 has its place 61 pixels right of the region's left edge (-0.5)
    assert image.camera == Camera(WIDTH, HEIGHT, 100.0, 100.0, 61 / 2 - 0.5, 61 / 2 - 0.5)


def test_a_changing_calibration_is_followed(tmp_path):
    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        for i in range(10):
            stamp = START_NS + i * IMAGE_PERIOD_NS
            zoom = np.diag([1.0, 1.0, 1.0]) if i < 5 else np.diag([2.0, 2.0, 1.0])
            bag.camera_info("/camera/camera_info", stamp, k_33=zoom @ K_33)
            bag.image("/camera/image_raw", stamp, picture(i))
            write_pose(bag, "odometry", stamp)
    with RecordingReader(tmp_path / "drive") as reader:
        fx = [image.camera.fx_px for image in reader.posed_images(EVERY_FRAME)]
        assert fx == [50.0] * 5 + [100.0] * 5
        assert any("calibration changes" in note for note in reader.notes)


def test_rectified_images_are_not_undistorted_again(tmp_path):
    with bag_writer(tmp_path / "drive") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS, d=(-0.3, 0.1, 0, 0, 0))
        bag.image("/camera/image_rect", START_NS, picture(0))
        write_pose(bag, "odometry", START_NS)
    with RecordingReader(tmp_path / "drive") as reader:
        (image,) = reader.posed_images()
    np.testing.assert_array_equal(image.image_rgb_hwc, picture(0))


def write_troubled_drive(path: Path) -> Path:
    """A frozen driver, no stamp, another camera, a wrong size, blur, standing still."""
    with bag_writer(path) as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS)
        for stamp in range(START_NS, START_NS + 3 * 10**9, 20_000_000):
            write_pose(bag, "odometry", stamp)
        at = iter(range(START_NS + 1, START_NS + 3 * 10**9, IMAGE_PERIOD_NS * 2))
        for i in range(7):
            bag.image("/camera/image_raw", next(at), picture(i))
        for _ in range(2):
            bag.image("/camera/image_raw", next(at), picture(6))  # frozen
        bag.image("/camera/image_raw", 0, picture(20), received_ns=START_NS)
        bag.image("/camera/image_raw", next(at), picture(21), frame="rear_camera")
        bag.image("/camera/image_raw", next(at), picture(22)[:40])
        bag.image("/camera/image_raw", next(at), cv2.GaussianBlur(picture(23), (0, 0), 4))
        stamp = next(at)
        bag.image("/camera/image_raw", stamp, picture(24))
        bag.image("/camera/image_raw", stamp + 1_000_000, picture(25))  # 1 mm further
    return path


def test_frames_of_no_use_are_counted(tmp_path):
    write_troubled_drive(tmp_path / "drive")
    with RecordingReader(tmp_path / "drive") as reader:
        assert len(list(reader.posed_images())) == 8
        assert reader.left_out == {
            "repeated image": 2,
            "no time stamp": 1,
            "of another camera frame": 1,
            "cannot be decoded": 1,
            "blurred": 1,
            "too close to the last keyframe": 1,
        }
        assert any("64x40" in note and "64x48" in note for note in reader.notes)
        between_ns = [reader.non_keyframe_ns for _ in reader.posed_images()]
        # of all these what could be localized in: neither repeated nor damaged
        blurred_ns = START_NS + 1 + 11 * 2 * IMAGE_PERIOD_NS
        assert between_ns == [None] * 7 + [blurred_ns]
        summary = summarize(reader)
        assert summary.frames_used == 8
        assert sum(summary.left_out.values()) + summary.frames_used == summary.info.image_count


def test_reading_goes_on_where_an_earlier_pass_stopped(tmp_path):
    """Wherever that was: the same images follow, and the same frames are counted as left out."""
    write_troubled_drive(tmp_path / "drive")
    with RecordingReader(tmp_path / "drive") as reader:
        stamps, positions = [], []
        for image in reader.posed_images():
            stamps.append(image.stamp_ns)
            positions.append(json.loads(json.dumps(reader.position)))
        left_out, used = dict(reader.left_out), reader.frames_used
        for done, position in enumerate(positions, 1):
            rest = [image.stamp_ns for image in reader.posed_images(resume=position)]
            assert rest == stamps[done:]
            assert (reader.left_out, reader.frames_used) == (left_out, used)


def test_images_are_found_again_by_their_stamps(tmp_path):
    path = write_drive(tmp_path / "drive", images=12)
    with RecordingReader(path) as reader:
        images = list(reader.posed_images(EVERY_FRAME))
        left_out = dict(reader.left_out)
        found = list(reader.images_at({images[9].stamp_ns, images[2].stamp_ns, 17}))
        assert reader.left_out == left_out
    assert [image.stamp_ns for image in found] == [images[2].stamp_ns, images[9].stamp_ns]
    np.testing.assert_array_equal(found[0].image_rgb_hwc, picture(2))
    expected_44 = images[9].map_from_camera.matrix_44
    np.testing.assert_array_equal(found[1].map_from_camera.matrix_44, expected_44)


def test_held_out_images_are_read_again_and_no_more_than_can_be_judged(tmp_path, monkeypatch):
    path = write_drive(tmp_path / "drive", images=12)
    with RecordingReader(path) as reader:
        held_out = HeldOutImages(DrivesReader([reader]))
        assert (len(held_out), list(held_out)) == (0, [])
        for index, image in enumerate(reader.posed_images(EVERY_FRAME)):
            if index >= 5:
                held_out.append(image)
        assert [(0, image.stamp_ns) for image in held_out] == held_out.noted
        assert len(held_out) == 7
        monkeypatch.setattr(HeldOutImages, "MOST_VALIDATED", 3)
        assert [(0, image.stamp_ns) for image in held_out] == held_out.noted[::3]
        assert len(held_out) == 3


def test_the_summary_says_what_there_is_and_what_was_chosen(tmp_path):
    path = write_drive(tmp_path / "drive", images=50)
    with RecordingReader(path) as reader:
        summary = survey(reader)
    assert summary.path_length_m == pytest.approx(np.hypot(0.8, 0.3) * 5.0, abs=0.25)
    assert summary.info.duration_s == pytest.approx(5.0, abs=0.1)
    assert topic_rate_hz(summary.info.topics["/odom"], summary.info.duration_s) == pytest.approx(
        50.0, rel=0.05
    )
    text = describe(summary)
    for word in ("/camera/image_raw", "/camera/camera_info", "/odom", "base_link", "frames used"):
        assert word in text


def test_reading_holds_one_image_at_a_time(tmp_path):
    """50 images of 0.9 MB each go through a memory that holds a dozen."""
    import tracemalloc

    with bag_writer(tmp_path / "drive", "sqlite3") as bag:
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        bag.camera_info("/camera/camera_info", START_NS, size=(640, 480))
        big = np.zeros((480, 640, 3), np.uint8)
        for i in range(50):
            stamp = START_NS + i * IMAGE_PERIOD_NS
            write_pose(bag, "odometry", stamp)
            big[0, 0] = i
            bag.image("/camera/image_raw", stamp, big)
    with RecordingReader(tmp_path / "drive") as reader:
        tracemalloc.start()
        count = sum(1 for _ in reader.posed_images(EVERY_FRAME))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 50
    assert peak < 12e6


def test_the_hash_is_of_the_data(tmp_path):
    first, second = write_drive(tmp_path / "a", "sqlite3"), tmp_path / "b"
    shutil.copytree(first, second)
    (second / "metadata.yaml").write_text((first / "metadata.yaml").read_text() + "\n")
    other = write_drive(tmp_path / "c", "sqlite3", images=19)
    hashes = []
    for path in (first, second, other):
        with RecordingReader(path) as reader:
            hashes.append(reader.content_hash())
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[0]) == 64


def test_reading_needs_no_ros():
    code = (
        "import sys, glace_ros.recording.bag_reader; "
        "assert not {'rclpy', 'sensor_msgs', 'tf2_msgs', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@needs_office
def test_office_mapping():
    with RecordingReader(OFFICE / "mapping") as reader:
        summary = survey(reader)
    assert summary.info.image_count == 280
    assert summary.frames_used > 200
    assert summary.frames_used + sum(summary.left_out.values()) == 280
    # the last exposure is newer than the last odometry, and nothing is extrapolated
    assert summary.left_out["no pose: no newer transform"] == 1
    assert summary.path_length_m == pytest.approx(30, abs=1.5)


@needs_office
def test_office_query_truth_differs_from_its_odometry_by_one_transform():
    with RecordingReader(OFFICE / "query", pose_source="/ground_truth/pose") as reader:
        truth = {image.stamp_ns: image.map_from_camera for image in reader.images()}
    assert len(truth) == 47
    assert all(pose is not None for pose in truth.values())
    spreads_deg = {}
    with RecordingReader(OFFICE / "query", pose_source="tf:odom") as reader:
        for shift_ms in (-20, 0, 20):
            map_from_odom = [
                pose @ reader.map_from_camera(stamp + shift_ms * 1_000_000).inverse()
                for stamp, pose in sorted(truth.items())[1:-1]
            ]
            middle = map_from_odom[3]
            angles_deg = [np.rad2deg(middle.angle_rad(pose)) for pose in map_from_odom]
            spreads_deg[shift_ms] = np.median(angles_deg)
            if shift_ms == 0:
                assert abs(np.rad2deg(middle.yaw_rad)) == pytest.approx(40, abs=0.5)
                assert max(angles_deg) < 0.5
                assert max(middle.distance_m(pose) for pose in map_from_odom) < 0.03
    # the odometry of the bag is resampled, so the spread is not zero; but it is least at no shift
    assert spreads_deg[0] < 0.2
    assert min(spreads_deg[-20], spreads_deg[20]) > 2 * spreads_deg[0]


def test_a_closed_reader_refuses(tmp_path):
    with RecordingReader(write_drive(tmp_path / "drive")) as reader:
        pass
    with pytest.raises(RecordingError, match="not open"):
        next(reader.images())


def test_a_reader_knows_its_recording_before_it_is_entered(tmp_path):
    reader = RecordingReader(write_drive(tmp_path / "drive"))
    assert (reader.info.kind, reader.info.path) == ("bag", tmp_path / "drive")
    assert reader.info.image_count == 20
    assert set(reader.info.topics) >= {reader.info.image_topic, reader.info.camera_info_topic}
    assert reader.frames_used is None
    reader.close()
    reader.close()  # twice is no mistake
    with pytest.raises(RecordingError, match="not open"):
        next(reader.posed_images())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed in /proc")
def test_a_bag_that_is_refused_is_not_left_open(tmp_path):
    path = write_drive(tmp_path / "drive", "sqlite3")

    def open_files():
        files = (file for file in Path("/proc/self/fd").iterdir() if file.is_symlink())
        return [file for file in files if str(tmp_path) in os.readlink(file)]

    with pytest.raises(RecordingError, match="no topic /nowhere"):
        RecordingReader(path, "/nowhere")
    assert not open_files()
    reader = RecordingReader(path)
    assert open_files()
    reader.close()
    assert not open_files()
