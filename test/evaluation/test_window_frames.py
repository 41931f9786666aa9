"""`evaluate --window`: the same images, alone and together, by the odometry of their bag."""

import numpy as np
import pytest
from support.bag_writing import HEIGHT, K_33, START_NS, WIDTH, map_from_base, write_drive
from support.core_scenes import CAMERA
from support.twin_rooms import BASE_FROM_CAMERA, IMAGE, MAP_FROM_ODOM, TwinRooms

from glace_ros.errors import RecordingError
from glace_ros.evaluation.window_frames import WindowFrames, open_odometry
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.posed_images import PosedImage


class Odometry:
    """A robot that turns; none at the stamps in `missing_ns`."""

    def __init__(self, rooms, missing_ns=()):
        self.rooms, self.missing_ns = rooms, missing_ns

    def map_from_base(self, at_ns):
        if at_ns in self.missing_ns:
            raise TransformError("none", "none")
        return MAP_FROM_ODOM.inverse() @ self.rooms.base(yaw_at(at_ns))


def yaw_at(at_ns):
    return np.pi - 1.5e-9 * at_ns


def driven(odometry_of=Odometry, offset_ns=0, **of_odometry):
    rooms = TwinRooms()
    windows = WindowFrames(rooms.localizer, 8)
    odometry, alone = odometry_of(rooms, **of_odometry), []
    for stamp_ns in range(0, 2_100_000_001, 300_000_000):
        truth = rooms.base(yaw_at(stamp_ns + offset_ns))
        rooms.show(truth)
        image = PosedImage(stamp_ns, IMAGE, CAMERA, truth @ BASE_FROM_CAMERA)
        exposed_ns = stamp_ns + offset_ns if offset_ns else None
        alone.append(windows.look(image, BASE_FROM_CAMERA, odometry, exposed_ns))
    return alone, windows.metrics(foreign=False), windows


def test_windows_tell_what_images_alone_do_not():
    alone, metrics, windows = driven()
    assert metrics["frames"] == metrics["localized"] == len(alone) == 8
    assert metrics["images"] == 8
    assert metrics["images_mean"] > 2.0
    assert metrics["ambiguous_alone"] >= 2
    assert metrics["ambiguous"] == 0
    assert metrics["recall"]["5cm_5deg"] == 1.0
    rows = dict(windows.rows(foreign=False))
    assert rows["window of 8: ambiguous"] == f"0, alone {metrics['ambiguous_alone']}"
    assert rows["window of 8: localized"].startswith("8")


def test_without_odometry_they_are_what_images_are_alone():
    every_ns = range(0, 2_100_000_001, 300_000_000)
    _, metrics, _ = driven(missing_ns=every_ns)
    assert metrics["images_mean"] == 1.0
    assert metrics["ambiguous"] == metrics["ambiguous_alone"] >= 2


def test_odometry_is_that_of_the_exposure():
    """Stamps are 0.2 s late, in which the robot turns by 17 degrees."""
    _, metrics, _ = driven(offset_ns=-200_000_000)
    assert metrics["images_mean"] > 2.0
    assert metrics["recall"]["5cm_5deg"] == 1.0


def test_out_of_map_each_pose_is_a_false_one():
    _, _, windows = driven()
    metrics = windows.metrics(foreign=True)
    assert metrics["foreign_accepts"] == 8
    assert metrics["frames"] == 0
    assert dict(windows.rows(foreign=True))["window of 8: accepted"] == "8"


@pytest.mark.parametrize("poses", ["odometry", "tf:odom"])
def test_odometry_is_found_in_the_bag(tmp_path, poses):
    bag = write_drive(tmp_path / "drive", images=3, poses=poses)
    with RecordingReader(bag) as reader, open_odometry(reader, None) as odometry:
        at_ns = START_NS + 200_000_000
        assert odometry.map_from_base(at_ns).distance_m(map_from_base(at_ns)) < 0.01


def test_odometry_is_read_with_the_calibration_and_the_mount_that_were_given(tmp_path):
    bag = write_drive(tmp_path / "drive", images=3, camera_info=False, tf_static=False)
    file = tmp_path / "camera.yaml"
    file.write_text(
        f"image_width: {WIDTH}\nimage_height: {HEIGHT}\n"
        f"camera_matrix: {{data: {K_33.ravel().tolist()}}}\n"
    )
    given = {"camera_info_file": str(file), "base_from_camera": BASE_FROM_CAMERA}
    with RecordingReader(bag, **given) as reader, open_odometry(reader, None) as odometry:
        at_ns = START_NS + 200_000_000
        assert odometry.map_from_base(at_ns).distance_m(map_from_base(at_ns)) < 0.01


def test_a_bag_without_odometry_is_told_so(tmp_path):
    bag = write_drive(tmp_path / "drive", images=3, poses="tf:map")
    with (
        RecordingReader(bag) as reader,
        pytest.raises(RecordingError, match="--window needs odometry between the images: .*odom"),
    ):
        open_odometry(reader, None)
    with (
        RecordingReader(bag) as reader,
        pytest.raises(RecordingError, match="has no topic /wheels.*--odometry"),
    ):
        open_odometry(reader, "/wheels")
