"""The simulated recording: its pictures, odometry and bag agree with the truth that it claims."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from glace_ros.geometry.camera import Camera
from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.simulation import drive
from glace_ros.simulation.bag import BagConfig, RobotConfig, write_bag
from glace_ros.simulation.building import BuildingConfig, build
from glace_ros.simulation.free_space import FreeSpace
from glace_ros.simulation.odometry import OdometryNoise, odometry
from glace_ros.simulation.photographer import Photographer
from glace_ros.simulation.renderer import Renderer

SMALL = BuildingConfig(rooms=1, texels_per_m=30.0, seed=3)
CAMERA = Camera(160, 120, 115.0, 112.0, 83.2, 57.6, "plumb_bob", (-0.06, 0.02, 5e-4, -4e-4, 0.0))
NO_NOISE = OdometryNoise(0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def building():
    return build(SMALL)


@pytest.fixture(scope="module")
def renderer(building):
    return Renderer(building)


@pytest.fixture(scope="module")
def photographer(building):
    with Photographer(building, workers=0) as photographer:
        yield photographer


@pytest.fixture(scope="module")
def trajectory(building):
    return drive.drive(building, drive.query_route(building, seed=5))


def camera_pose(x_m: float, y_m: float, yaw_rad: float) -> Pose:
    return Pose.from_planar(x_m, y_m, yaw_rad) @ RobotConfig().base_from_camera


def project(camera: Camera, map_from_camera: Pose, points_n3: np.ndarray) -> np.ndarray:
    """Pixels (n, 2), with distortion, by OpenCV: independent of the renderer's rays."""
    camera_from_map = map_from_camera.inverse()
    pixels, _ = cv2.projectPoints(
        points_n3,
        camera_from_map.rotation_vector_3,
        camera_from_map.translation_3,
        camera.matrix_33,
        np.array(camera.distortion or (0.0,) * 5),
    )
    return pixels[:, 0]


@pytest.mark.parametrize("camera", [CAMERA, CAMERA.undistorted], ids=["plumb_bob", "pinhole"])
def test_points_seen_at_pixels_project_back_to_them(renderer, camera):
    rng = np.random.default_rng(1)
    pixels_n2 = rng.uniform([0, 0], [camera.width_px - 1, camera.height_px - 1], (200, 2))
    for pose in (camera_pose(2.0, 3.0, 1.3), camera_pose(1.0, 1.0, -0.4)):
        points_n3 = renderer.points(camera, pose, pixels_n2)
        assert np.isfinite(points_n3).all()  # the building is closed
        error_n = np.linalg.norm(project(camera, pose, points_n3) - pixels_n2, axis=1)
        assert error_n.max() < 0.02


def test_points_lie_on_the_panels_that_are_known(renderer):
    """A ray straight up meets the ceiling at its height."""
    camera = CAMERA.undistorted
    up = Pose(np.eye(3), np.array([3.0, 3.4, 1.0]))
    centre = np.array([[camera.cx_px, camera.cy_px]])
    assert renderer.points(camera, up, centre)[0] == pytest.approx([3.0, 3.4, 2.6], abs=1e-5)


def test_a_panels_corner_appears_at_the_pixel_that_it_projects_to(building):
    """A chess board in a room: its middle in the picture is where the geometry says."""
    wall = max(
        (p for p in building.panels if p.normal_3 @ [0, -1, 0] > 0.99),
        key=lambda p: p.corner_3[1],
    )
    black = np.zeros((64, 64, 3), np.uint8)
    chess = black.copy()
    chess[:32, :32] = chess[32:, 32:] = 255
    middle_3 = np.array([2.0, 5.0, 0.9])
    edge_m = 0.8
    poster = replace(
        wall,
        corner_3=middle_3 + np.array([-edge_m / 2, 0, edge_m / 2]),
        across_3=np.array([edge_m, 0, 0]),
        down_3=np.array([0, 0, -edge_m]),
        texture_hwc=chess,
        glows=True,
    )
    camera = CAMERA.scaled_to(640, 480)
    pose = camera_pose(1.8, 3.6, np.pi / 2 - 0.1)
    picture = Renderer(replace(building, panels=[*building.panels, poster])).light(camera, pose)
    expected_2 = project(camera, pose, middle_3[None])[0]
    grey = picture.mean(axis=2).astype(np.uint8)
    start = (expected_2 + np.array([1.5, -1.5])).astype(np.float32).reshape(1, 1, 2)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
    found_2 = cv2.cornerSubPix(grey, start, (6, 6), (-1, -1), stop)[0, 0]
    assert np.linalg.norm(found_2 - expected_2) < 0.1


def test_pictures_are_equal_for_equal_seeds_and_differ_for_others(building, renderer):
    pose = camera_pose(2.0, 3.0, 1.3)
    first = renderer.photograph(CAMERA, pose, np.random.default_rng(4))
    again = Renderer(build(SMALL)).photograph(CAMERA, pose, np.random.default_rng(4))
    other_noise = renderer.photograph(CAMERA, pose, np.random.default_rng(5))
    other_building = Renderer(build(replace(SMALL, seed=4))).light(CAMERA, pose)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other_noise)
    assert np.abs(other_building - renderer.light(CAMERA, pose)).mean() > 10


def test_pictures_have_the_contrast_of_photographs(renderer):
    for yaw_rad in np.arange(0, 6.2, 1.0):
        picture = renderer.photograph(CAMERA, camera_pose(2, 3.5, yaw_rad), np.random.default_rng())
        assert 60 < picture.mean() < 180
        assert picture.std() > 20


@pytest.mark.slow
def test_look_alike_rooms_look_alike_and_others_do_not():
    camera = CAMERA.undistorted
    alike = Renderer(build(BuildingConfig(rooms=2, look_alike=True, texels_per_m=30.0)))
    differ = Renderer(build(BuildingConfig(rooms=2, texels_per_m=30.0)))
    poses = [camera_pose(2.0 + 4.0 * room, 3.4, 1.4) for room in (0, 1)]
    first, second = (alike.light(camera, pose) for pose in poses)
    assert np.abs(first - second).mean() < 3
    first, second = (differ.light(camera, pose) for pose in poses)
    assert np.abs(first - second).mean() > 20


@pytest.mark.parametrize("rooms", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_drives_keep_clear_of_everything_and_within_the_limits(rooms):
    building = build(BuildingConfig(rooms=rooms, texels_per_m=10.0))
    space = FreeSpace(building.obstacles_m, 0.2)
    limits = drive.DriveConfig()
    for route in (drive.mapping_route(building), drive.query_route(building, seed=1)):
        way = drive.drive(building, route)
        xy_n2, yaw_n = way.xy_yaw_n3[:, :2], way.xy_yaw_n3[:, 2]
        assert min(space.clearance_m(xy_2) for xy_2 in xy_n2[::10]) > 0.2
        step_s = np.diff(way.times_s)
        moved_n2 = np.diff(xy_n2, axis=0)
        assert np.linalg.norm(moved_n2, axis=1).max() / step_s[0] < limits.speed_mps * 1.01
        assert np.abs(np.diff(yaw_n)).max() / step_s[0] < limits.turn_rate_radps * 1.01
        # wheels do not slip sideways
        middle_n = yaw_n[:-1] + 0.5 * np.diff(yaw_n)
        sideways_n = -np.sin(middle_n) * moved_n2[:, 0] + np.cos(middle_n) * moved_n2[:, 1]
        assert np.abs(sideways_n).max() < 1e-9
        for room in range(rooms):
            inside = (xy_n2[:, 0] // 4.0 == room) & (xy_n2[:, 1] > 3.0)
            assert inside.any()


def test_the_queries_take_other_ways_than_the_mapping(building, trajectory):
    mapping = drive.drive(building, drive.mapping_route(building)).xy_yaw_n3[::5]
    query = trajectory.xy_yaw_n3[::20]
    apart_qm = np.linalg.norm(query[:, None, :2] - mapping[None, :, :2], axis=2)
    turned_qm = np.abs((query[:, None, 2] - mapping[None, :, 2] + np.pi) % (2 * np.pi) - np.pi)
    same_q = ((apart_qm < 0.05) & (turned_qm < 0.09)).any(axis=1)
    assert same_q.mean() < 0.5


def test_odometry_without_noise_is_the_truth(trajectory):
    times_s = np.arange(0, trajectory.duration_s, 0.02)
    start = trajectory.map_from_base(0.0)
    for time_s, pose in zip(times_s, odometry(trajectory, times_s, NO_NOISE, 1), strict=True):
        truth = start.inverse() @ trajectory.map_from_base(float(time_s))
        assert pose.distance_m(truth) < 1e-9
        assert pose.angle_rad(truth) < 1e-9


def test_odometry_drifts_with_the_distance_by_the_chosen_amount(trajectory):
    times_s = np.arange(0, trajectory.duration_s, 0.02)
    start = trajectory.map_from_base(0.0)
    truth = [start.inverse() @ trajectory.map_from_base(float(t)) for t in times_s]
    # no error of heading: only lengths
    scaled = odometry(trajectory, times_s, OdometryNoise(0.02, 0.0, 0.0, 0.0, 0.0), 1)
    assert all(
        pose.translation_3 == pytest.approx(1.02 * true.translation_3, abs=1e-6)
        for pose, true in zip(scaled, truth, strict=True)
    )
    turned = odometry(trajectory, times_s, OdometryNoise(0.0, 0.0, 0.01, 0.0, 0.0), 1)
    error_rad = turned[-1].angle_rad(truth[-1])
    assert error_rad == pytest.approx(0.01 * trajectory.length_m, rel=0.01)
    quarter = len(times_s) // 4
    early, late = [], []
    for seed in range(6):
        noisy = odometry(trajectory, times_s, OdometryNoise(), seed)
        early.append(noisy[quarter].distance_m(truth[quarter]))
        late.append(noisy[-1].angle_rad(truth[-1]) + noisy[-1].distance_m(truth[-1]))
    assert np.mean(late) > 2 * np.mean(early) > 0.005
    again = odometry(trajectory, times_s, OdometryNoise(), 5)
    assert again[-1].distance_m(noisy[-1]) == 0.0


@pytest.mark.parametrize("jpeg_quality", [90, 0], ids=["jpeg", "raw"])
def test_the_bag_read_back_gives_the_true_poses(tmp_path, photographer, trajectory, jpeg_quality):
    config = BagConfig(
        camera=CAMERA, image_rate_hz=4.0, odometry_rate_hz=100.0, jpeg_quality=jpeg_quality,
        with_map_frame=True, with_truth=True, duration_s=3.0,
    )  # fmt: skip
    write_bag(tmp_path / "bag", trajectory, photographer, config)
    for source in ("tf:map", "/ground_truth/pose"):
        with RecordingReader(tmp_path / "bag", pose_source=source) as reader:
            assert reader.info.map_frame == "map"
            assert reader.info.base_frame == "base_footprint"
            images = list(reader.images())
        assert len(images) == 10
        for image in images:
            time_s = (image.stamp_ns - config.start_ns) * 1e-9
            truth = trajectory.map_from_base(time_s) @ config.robot.base_from_camera
            assert image.map_from_camera.distance_m(truth) < 1e-4
            assert image.map_from_camera.angle_rad(truth) < 1e-4
            assert image.image_rgb_hwc.shape == (120, 160, 3)


def test_a_bag_has_equal_bytes_for_equal_seeds(tmp_path, building, trajectory):
    config = BagConfig(camera=CAMERA, duration_s=1.5)
    for name in ("one", "two", "other"):
        seed = 1 if name == "other" else 0
        with Photographer(building, workers=0) as photographer:
            write_bag(tmp_path / name / "bag", trajectory, photographer, replace(config, seed=seed))
    one, two, other = (
        (tmp_path / n / "bag" / "bag.mcap").read_bytes() for n in ("one", "two", "other")
    )
    assert one == two
    assert one != other


def test_the_query_bag_keeps_the_truth_out_of_tf(tmp_path, photographer, trajectory):
    config = BagConfig(camera=CAMERA, with_truth=True, duration_s=1.5)
    write_bag(tmp_path / "bag", trajectory, photographer, config)
    with RecordingReader(tmp_path / "bag") as reader:
        assert reader.info.map_frame == "odom"
