"""A real recording becomes a map that localizes a later drive through the same rooms.

Steps and not minutes: on a machine that is busy with other tests, minutes are but a few steps. The
floors are loose, since these are a tenth of the steps that a map gets in five minutes, and a CPU
with bfloat16 rounds otherwise than one without; README.md has what five minutes reach.
"""

from __future__ import annotations

import json
import re
import shutil

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from support.bag_writing import bag_writer
from support.readme import run_example

from glace_ros.commands.build_map import main as build_map
from glace_ros.commands.evaluate import main as evaluate
from glace_ros.geometry.pose import Pose

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def office_map(shared_data, tmp_path_factory):
    """(map, figures) of 15 s of training on two quiet cores: as exact as of more."""
    folder = tmp_path_factory.mktemp("office")
    map_path, figures_path = folder / "office.glace", folder / "m.json"
    code = build_map(
        [
            "--bag", str(shared_data / "mapping"), "--output", str(map_path),
            "--iterations", "600", "--json", str(figures_path),
        ]
    )  # fmt: skip
    assert code == 0
    return map_path, json.loads(figures_path.read_text())


def validate_map(map_path, shared_data, folder):
    """(figures, TUM lines) of the later drive."""
    arguments = [
        "--map", str(map_path), "--bag", str(shared_data / "query"),
        "--pose-source", "/ground_truth/pose",
        "--json", str(folder / "q.json"), "--tum", str(folder / "q.tum"),
    ]  # fmt: skip
    assert evaluate(arguments) == 0
    return json.loads((folder / "q.json").read_text()), (folder / "q.tum").read_text()


def test_a_later_drive_is_localized_and_twice_the_same(office_map, shared_data, tmp_path):
    map_path, built = office_map
    metrics, poses = validate_map(map_path, shared_data, tmp_path)
    assert metrics["frames"] >= 45
    assert metrics["median_translation_m"] <= 0.015
    assert metrics["median_rotation_deg"] <= 0.5
    assert metrics["recall"]["5cm_5deg"] >= 0.9
    assert metrics["localized"] >= 45
    assert metrics["false_accepts"] == 0
    assert metrics["localized"] == len(poses.splitlines())
    assert metrics["map_bytes"] == map_path.stat().st_size <= 5_000_000
    assert built["map_bytes"] == metrics["map_bytes"]
    # the same map and images give the same poses, to the last digit
    _, again = validate_map(map_path, shared_data, tmp_path)
    assert again == poses


def test_windows_are_no_worse_than_images_and_no_surer(office_map, shared_data, tmp_path):
    words = ["--map", str(office_map[0]), "--bag", str(shared_data / "query")]
    words += ["--pose-source", "/ground_truth/pose", "--json", str(tmp_path / "q.json")]
    assert evaluate([*words, "--window", "8"]) == 0
    alone = json.loads((tmp_path / "q.json").read_text())
    window = alone["window"]
    assert window["images_mean"] > 1.5
    assert window["localized"] >= alone["localized"]
    assert window["median_translation_m"] <= 1.1 * alone["median_translation_m"]
    assert window["false_accepts"] == 0
    assert window["nees_mean"] == pytest.approx(alone["nees_mean"], rel=0.3)


def test_the_built_maps_figures(office_map):
    _, built = office_map
    assert built["frames"] >= 15  # held out
    assert built["recall"]["50cm_5deg"] >= 0.4
    assert built["steps"] == 600
    assert 5_000 < built["landmarks"] <= 30_000
    assert built["points_share"] > 0.2
    assert built["codes"]["auc"] > 0.8


def test_the_camera_info_is_a_little_wrong_and_the_map_corrects_it(office_map):
    """By SIFT's keypoints at the true poses fx is 0.988 and fy 0.990 times the recorded one."""
    found = office_map[1]["pose_refinement"]["intrinsics"]
    assert found["applied"]
    assert found["focal_ratio"] == pytest.approx([0.989, 0.991], abs=0.003)
    assert any("camera_info" in said for said in office_map[1]["pose_refinement"]["sentences"])


def test_odometry_that_started_elsewhere_is_told_from_a_bad_map(office_map, shared_data, capfd):
    """As in the recording's README: by 40 degrees, 3 m and -2 m."""
    words = ["--map", str(office_map[0]), "--bag", str(shared_data / "query")]
    assert evaluate([*words, "--pose-source", "/odom"]) == 0
    said = " ".join(capfd.readouterr().err.split())
    found = re.search(r"turned by (\d+) deg and moved by \((.*?), (.*?), .*--pose-source", said)
    assert found, said
    turned_deg, x_m, y_m = map(float, found.groups())
    assert turned_deg == pytest.approx(40, abs=2)
    assert (x_m, y_m) == pytest.approx((3.0, -2.0), abs=0.3)


@pytest.mark.ros
def test_the_live_node_publishes_what_evaluate_computes(office_map, shared_data, tmp_path):
    from glace_ros.demo.live_run import play_to_localizer  # the fast tests do without ROS

    map_path, _ = office_map
    _, lines = validate_map(map_path, shared_data, tmp_path)
    offline = {}
    for line in lines.splitlines():
        seconds, *numbers = line.split()
        whole, fraction = seconds.split(".")
        values = [float(number) for number in numbers]
        offline[int(whole) * 10**9 + int(fraction)] = Pose.from_quaternion(values[:3], values[3:])
    images = "/camera/image_raw/compressed"
    live = play_to_localizer(
        with_late_images(shared_data / "query", images, 10**8, tmp_path / "late"),
        [images, "/camera/camera_info", "/tf", "/tf_static", "/odom"],
        images,
        {
            "map": map_path, "base_frame_id": "base_link", "two_d_mode": "false",
            "max_image_age": "5.0", "window_images": "0",
        },
        {"image": "/camera/image_raw", "camera_info": "/camera/camera_info"},
        tmp_path / "localize.log",
    )  # fmt: skip
    # the node waits for odometry on both sides of an image: the bag's ends have none
    assert len(live.fixes) >= 0.8 * len(offline) > 10
    for stamp_ns, map_from_base in live.fixes.items():
        assert map_from_base.distance_m(offline[stamp_ns]) < 1e-3
        assert map_from_base.angle_rad(offline[stamp_ns]) < 0.05 * 3.14159 / 180


def with_late_images(bag, topic, late_ns, output):
    """The bag, of which images come later than they did: odometry of after each exposure is there,
    however soon the node asks for it.
    """
    types = get_typestore(Stores.LATEST)
    with AnyReader([bag], default_typestore=types) as reader, bag_writer(output) as writer:
        for connection, received_ns, content in reader.messages():
            late = late_ns if connection.topic == topic else 0
            message = reader.deserialize(content, connection.msgtype)
            writer.write(connection.topic, message, received_ns + late)
    return output


def test_readme_s_python_example_prints_the_pose(
    office_map, shared_data, tmp_path, monkeypatch, capsys
):
    map_path, _ = office_map
    shutil.copy(map_path, tmp_path / "office.glace")
    with AnyReader(
        [shared_data / "query"], default_typestore=get_typestore(Stores.ROS2_JAZZY)
    ) as bag:
        images = [each for each in bag.connections if each.msgtype.endswith("CompressedImage")]
        _, _, raw = list(bag.messages(images))[10]
        image_bytes = bag.deserialize(raw, images[0].msgtype).data
    cv2.imwrite(str(tmp_path / "image.png"), cv2.imdecode(image_bytes, cv2.IMREAD_COLOR))
    run_example(tmp_path, monkeypatch)
    numbers = re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", capsys.readouterr().out)
    map_from_camera_44 = np.array(numbers, dtype=float).reshape(4, 4)
    np.testing.assert_array_equal(map_from_camera_44[3], [0.0, 0.0, 0.0, 1.0])
    rotation_33 = map_from_camera_44[:3, :3]
    np.testing.assert_allclose(rotation_33 @ rotation_33.T, np.eye(3), atol=1e-6)
    assert np.linalg.norm(map_from_camera_44[:3, 3]) < 12.0  # within the office
