"""What the benchmark at building scale says of trajectories, loops and poses is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.simulation import drive
from glace_ros.simulation.bag import DEMO_CAMERA, BagConfig, write_bag
from glace_ros.simulation.building import BuildingConfig, build
from glace_ros.simulation.odometry import OdometryNoise
from glace_ros.simulation.photographer import Photographer

pytest.importorskip("benchmark", reason="benchmark/ is not installed: tests of it run in the repo")
from benchmark.building import without
from benchmark.building_figures import (
    Similarity,
    Track,
    bag_track,
    cut,
    own_recall,
    recall,
    rmse_m,
    tum_track,
    wrong_loops,
)
from benchmark.drifted_recording import WHEELS, write_drifted

EXACT = OdometryNoise(0.0, 0.0, 0.0, 0.0, 0.0)
ELSEWHERE = Similarity(
    1.03, Rotation.from_euler("ZYX", [0.7, 0.1, -0.2]), np.array([3.0, -2.0, 0.4])
)


def a_track(count: int = 200) -> Track:
    """Twice around a circle of 5 m on the floor, looking ahead, 0.1 s from pose to pose."""
    around_n = np.linspace(0, 4 * np.pi, count)
    xyz_n3 = 5.0 * np.stack([np.cos(around_n), np.sin(around_n), 0 * around_n], axis=1)
    stamps_n = 1_700_000_000_000_000_000 + 100_000_000 * np.arange(count)
    return Track(stamps_n, xyz_n3, Rotation.from_euler("z", around_n[:, None] + np.pi / 2))


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """5 s of a drive with exact odometry, whose frame is where the robot started."""
    building = build(BuildingConfig(rooms=1, texels_per_m=10.0, seed=3))
    way = drive.drive(building, drive.query_route(building, seed=5))
    config = BagConfig(
        camera=DEMO_CAMERA.scaled_to(40, 30), noise=EXACT, with_truth=True, duration_s=5.0
    )
    path = tmp_path_factory.mktemp("drive") / "bag"
    with Photographer(building, workers=0) as photographer:
        write_bag(path, way, photographer, config)
    return path


def test_the_rmse_is_what_no_similarity_can_take_away():
    truth = a_track(2000)
    assert rmse_m(ELSEWHERE.applied(truth), truth) < 1e-9
    error_n3 = np.random.default_rng(1).normal(0, 0.1, truth.xyz_n3.shape)
    noisy = replace(truth, xyz_n3=truth.xyz_n3 + error_n3)
    assert rmse_m(ELSEWHERE.applied(noisy), truth) == pytest.approx(0.1 * np.sqrt(3), rel=0.03)


def test_loops_between_views_that_cannot_see_the_same_are_wrong():
    truth = a_track()
    stamps = [(0, stamp_ns) for stamp_ns in truth.stamps_n.tolist()]
    right = [[stamps[0], stamps[100]], [stamps[10], stamps[105]]]
    wrong = [[stamps[0], stamps[50]], [stamps[20], stamps[45]]]  # across; 1/8 around: 90 deg
    assert wrong_loops([], truth) == 0
    assert wrong_loops(right, truth) == 0
    assert wrong_loops(right + wrong, truth) == 2
    near = replace(truth, xyz_n3=0.1 * truth.xyz_n3)  # within a metre: only the turn tells
    turned = [[stamps[20], stamps[42]], [stamps[20], stamps[45]]]  # 79 and 90 deg
    assert wrong_loops(turned, near) == 1
    ahead = replace(truth, rotations=Rotation.identity(len(truth.stamps_n)))
    apart = [[stamps[0], stamps[8]], [stamps[0], stamps[20]]]  # 2.5 and 5.9 m
    assert wrong_loops(apart, ahead) == 1


def test_recall_counts_rejected_images_and_takes_the_alignment_of_evaluate(tmp_path, bag):
    truth = bag_track(bag).at(bag_track(bag).stamps_n[10:200:10])
    moved = ELSEWHERE.applied(truth)
    off = replace(truth, xyz_n3=truth.xyz_n3 + np.array([0.3, 0.0, 0.0]))
    frames = len(truth.stamps_n)
    assert recall(truth, truth, frames) == 1.0
    assert recall(truth, truth, 2 * frames) == 0.5
    assert recall(off, truth, frames) == 0.0
    tum = tmp_path / "poses.tum"
    tum.write_text(
        "# stamp x y z qx qy qz qw\n"
        + "".join(
            f"{stamp // 10**9}.{stamp % 10**9:09d} {' '.join(map(repr, [*xyz, *turn]))}\n"
            for stamp, xyz, turn in zip(
                moved.stamps_n.tolist(), moved.xyz_n3.tolist(),
                moved.rotations.as_quat().tolist(), strict=True,
            )
        )
    )  # fmt: skip
    read = tum_track(tum)
    assert np.array_equal(read.stamps_n, moved.stamps_n)
    assert read.xyz_n3 == pytest.approx(moved.xyz_n3)
    back = Similarity.best(moved.xyz_n3, truth.xyz_n3)
    moved_7 = [*back.translation_3, *back.rotation.as_quat()]
    said = {"scale": back.scale, "truth_from_map": moved_7}
    found = own_recall(tum, bag, {"frames": frames, "aligned": said})
    assert found == {"plain": 0.0, "aligned": 1.0}
    assert own_recall(tum, bag, {"frames": frames})["aligned"] is None


def test_a_recordings_beginning_is_a_recording(tmp_path, bag):
    cut(bag, 6, tmp_path / "first_6")
    with RecordingReader(tmp_path / "first_6") as reader:
        assert reader.info.image_count == 6
        assert len(list(reader.images())) >= 5  # odometry after the last image is cut off
    assert [path.name for path in tmp_path.iterdir()] == ["first_6"]


def test_a_drifted_recording_has_the_truth_that_it_drifted_from(tmp_path, bag):
    noise = replace(WHEELS, distance_per_root_m=0.2)
    write_drifted(bag, tmp_path / "drifted", noise, seed=1)
    odometry, drifted = bag_track(bag, "/odom"), bag_track(tmp_path / "drifted", "/odom")
    with RecordingReader(tmp_path / "drifted", pose_source="tf:odom") as reader:
        images = list(reader.images())
        base_from_camera = reader.info.base_from_camera
    assert len(images) == len(list(RecordingReader(bag).images())) > 5
    assert np.abs(odometry.xyz_n3 - drifted.xyz_n3).max() > 0.05
    for image in images:
        at = drifted.at(np.array([image.stamp_ns]))
        map_from_base = image.map_from_camera @ base_from_camera.inverse()
        assert map_from_base.translation_3 == pytest.approx(at.xyz_n3[0], abs=1e-3)


def test_options_that_a_checkout_lacks_are_left_out():
    arguments = ("--minutes", 5, "--refine-poses", "off", "--pose-source", "tf:odom")
    assert without("--refine-poses", arguments, "... --refine-poses {auto,on,off}") == [*arguments]
    left = without("--refine-poses", arguments, "... --minutes M")
    assert left == ["--minutes", 5, "--pose-source", "tf:odom"]
