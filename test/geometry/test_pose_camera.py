"""Poses chain and interpolate; pixels, bearings and distortion agree with the camera's geometry."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_scenes import cameras, centroid, coordinates, dots, poses

from glace_ros.geometry.camera import Camera, cell_centres
from glace_ros.geometry.pose import Pose, interpolate, stack

points = st.lists(st.tuples(*[coordinates()] * 3), min_size=1, max_size=4).map(np.array)


def is_rotation(matrix_33):
    return np.allclose(matrix_33 @ matrix_33.T, np.eye(3)) and np.linalg.det(matrix_33) > 0


@given(poses(), poses(), points)
@settings(max_examples=40)
def test_a_chain_moves_points_as_its_links_do(a_from_b, b_from_c, points_n3):
    chained_n3 = (a_from_b @ b_from_c).transform(points_n3)
    assert np.allclose(chained_n3, a_from_b.transform(b_from_c.transform(points_n3)))
    assert np.allclose((a_from_b @ b_from_c).matrix_44, a_from_b.matrix_44 @ b_from_c.matrix_44)


@given(poses(), points)
@settings(max_examples=40)
def test_the_inverse_leads_back(pose, points_n3):
    assert np.allclose(pose.inverse().transform(pose.transform(points_n3)), points_n3)
    assert np.allclose(pose.inverse().matrix_44, np.linalg.inv(pose.matrix_44))


@given(poses())
@settings(max_examples=40)
def test_quaternion_matrix_and_rotation_vector_name_the_same_pose(pose):
    again = (
        Pose.from_quaternion(pose.translation_3, -3.0 * pose.quaternion_xyzw),
        Pose.from_matrix(pose.matrix_44),
        Pose.from_rotation_vector(pose.translation_3, pose.rotation_vector_3),
    )
    for other in again:
        assert pose.distance_m(other) < 1e-9
        assert pose.angle_rad(other) < 1e-7
    assert pose.quaternion_xyzw[3] >= 0


def test_rotation_by_hand():
    quarter_about_z = Pose.from_planar(1.0, 2.0, np.pi / 2)
    assert np.allclose(quarter_about_z.transform(np.array([[1.0, 0.0, 5.0]])), [[1.0, 3.0, 5.0]])
    assert quarter_about_z.yaw_rad == pytest.approx(np.pi / 2)
    assert quarter_about_z.angle_rad(Pose.identity()) == pytest.approx(np.pi / 2)
    assert quarter_about_z.distance_m(Pose.identity()) == pytest.approx(np.sqrt(5.0))


@given(poses(), poses(), st.floats(0.0, 1.0))
@settings(max_examples=40)
def test_interpolation_goes_straight_and_turns_evenly(before, after, fraction):
    between = interpolate(before, after, fraction)
    assert is_rotation(between.rotation_33)
    whole_m, whole_rad = before.distance_m(after), before.angle_rad(after)
    assert before.distance_m(between) == pytest.approx(fraction * whole_m, abs=1e-9)
    assert between.distance_m(after) == pytest.approx((1 - fraction) * whole_m, abs=1e-9)
    assert before.angle_rad(between) == pytest.approx(fraction * whole_rad, abs=1e-6)
    assert between.angle_rad(after) == pytest.approx((1 - fraction) * whole_rad, abs=1e-6)


@given(poses())
@settings(max_examples=20)
def test_the_planar_part_keeps_x_y_and_heading(pose):
    planar = pose.planar()
    assert np.allclose(planar.translation_3[:2], pose.translation_3[:2])
    assert planar.translation_3[2] == 0.0
    assert planar.yaw_rad == pytest.approx(pose.yaw_rad)
    assert np.allclose(planar.rotation_33[:, 2], [0, 0, 1])


@pytest.mark.parametrize(
    "numbers",
    [([np.nan, 0, 0], [0, 0, 0, 1]), ([0, 0, 0], [0, np.inf, 0, 1]), ([0, 0, 0], [0, 0, 0, 0])],
)
def test_a_pose_that_is_none_is_refused(numbers):
    with pytest.raises(ValueError, match="the pose"):
        Pose.from_quaternion(*numbers)


@pytest.mark.parametrize(
    "matrix_44", [np.diag([1.0, 1.0, -1.0, 1.0]), 2.0 * np.eye(4), np.full((4, 4), np.nan)]
)
def test_a_matrix_that_is_no_rigid_transform_is_refused(matrix_44):
    with pytest.raises(ValueError, match="the pose"):
        Pose.from_matrix(matrix_44)


def test_a_rounded_matrix_becomes_a_rotation():
    exact = Pose.from_rotation_vector([1, 2, 3], [0.3, -0.5, 0.7])
    rounded = Pose.from_matrix(exact.matrix_44.round(4))
    assert is_rotation(rounded.rotation_33)
    assert exact.angle_rad(rounded) < 2e-4


def test_stack_holds_the_poses_in_their_order():
    pair = [Pose.from_planar(1, 2, 0.3), Pose.from_planar(4, 5, -0.6)]
    assert stack(pair).shape == (2, 3, 4)
    assert np.array_equal(stack(pair)[1], pair[1].matrix_44[:3])


# --- camera ---


@given(cameras(), st.data())
@settings(max_examples=40)
def test_bearings_undo_the_projection(camera, data):
    x, y = data.draw(coordinates(2.0)), data.draw(coordinates(2.0))
    z = data.draw(st.floats(0.2, 50.0))
    pixel_12 = camera.project(np.array([[x * z, y * z, z]]))
    assert np.allclose(camera.bearings(pixel_12), [[x, y, 1.0]], atol=1e-9)
    # by hand: what the intrinsics mean
    assert pixel_12[0, 0] == pytest.approx(camera.fx_px * x + camera.cx_px)
    assert pixel_12[0, 1] == pytest.approx(camera.fy_px * y + camera.cy_px)


@given(cameras(), st.integers(32, 1500), st.integers(32, 1500), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60)
def test_a_resized_camera_keeps_the_bearings_of_its_pixels(camera, width, height, across, down):
    """fx != fy, off-centre, portrait and landscape, each axis by its own factor."""
    resized = camera.scaled_to(width, height)
    # positions with their origin at the image's corner scale with the image
    corner_2 = np.array([across * camera.width_px, down * camera.height_px])
    resized_corner_2 = np.array([across * width, down * height])
    before_13 = camera.bearings(corner_2[None] - 0.5)
    after_13 = resized.bearings(resized_corner_2[None] - 0.5)
    assert np.allclose(before_13, after_13, atol=1e-9)
    assert (resized.width_px, resized.height_px) == (width, height)


@pytest.mark.parametrize("size", [(128, 64), (64, 96), (384, 200)])
def test_a_dot_in_a_resized_image_is_seen_under_the_same_angle(size):
    """Against OpenCV's resize: the half-pixel convention is the picture's own."""
    camera = Camera(256, 128, 210.0, 190.0, 90.0, 75.0)
    pixel_2 = np.array([100.3, 60.8])
    interpolation = cv2.INTER_AREA if size[0] < 256 else cv2.INTER_LINEAR
    small_hw = cv2.resize(dots(256, 128, [pixel_2], 4.0), size, interpolation=interpolation)
    resized = camera.scaled_to(*size)
    expected_2 = resized.project(camera.bearings(pixel_2[None]))[0]
    assert centroid(small_hw, expected_2, 20) == pytest.approx(expected_2, abs=0.06)


@pytest.mark.parametrize(
    ("model", "distortion"),
    [
        ("plumb_bob", (-0.25, 0.08, 0.002, -0.003, 0.01)),
        ("rational_polynomial", (-0.3, 0.12, 0.001, -0.002, 0.02, 0.05, -0.02, 0.01)),
        ("equidistant", (-0.02, 0.03, -0.01, 0.002)),
    ],
)
def test_undistortion_puts_points_where_the_pinhole_sees_them(model, distortion):
    camera = Camera(320, 240, 180.0, 190.0, 150.0, 125.0, model, distortion)
    xy_n2 = np.stack(np.meshgrid([-0.6, -0.2, 0.25, 0.65], [-0.5, -0.1, 0.45]), -1).reshape(-1, 2)
    points_n3 = np.column_stack([xy_n2, np.ones(len(xy_n2))]) * 3.0
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    shape = (-1, 1, 3)
    zero_3 = np.zeros(3)
    arguments = (points_n3.reshape(shape), zero_3, zero_3, camera.matrix_33, np.array(distortion))
    seen_n2 = project(*arguments)[0].reshape(-1, 2)
    pinhole_n2 = camera.undistorted.project(points_n3)
    assert abs(seen_n2 - pinhole_n2).max() > 4.0  # there is something to undo
    image_hwc = np.repeat(dots(320, 240, seen_n2)[..., None], 3, axis=2)
    undistorted_hwc = camera.undistort(image_hwc)
    assert undistorted_hwc.shape == image_hwc.shape
    for pixel_2 in pinhole_n2:
        found_2 = centroid(undistorted_hwc[..., 1], pixel_2)
        assert found_2 == pytest.approx(pixel_2, abs=0.3)


PINCUSHION = Camera(320, 240, 180.0, 190.0, 150.0, 125.0, "plumb_bob", (0.35, 0.05, 0, 0, 0))
# k1 to k6 of a wide lens: it turns back at a tangent of 1.1, and the corners are at 1.5
WIDE = Camera(
    320, 240, 130.0, 130.0, 159.5, 119.5, "rational_polynomial",
    (-0.25, -0.012, 0.0, 0.0, 0.0, 0.05, 0.06, 0.0),
)  # fmt: skip


@pytest.mark.parametrize("camera", [PINCUSHION, WIDE])
def test_what_the_lens_did_not_see_is_black_and_said_to_be(camera):
    """On a blank wall all that is bright was seen, but for a pixel of interpolation."""
    seen_hwc = camera.undistort(np.full((240, 320, 3), 200, np.uint8))
    valid_hw = camera.undistorted.valid_hw
    assert 0.02 < (~valid_hw).mean() < 0.5
    assert (seen_hwc[valid_hw] >= 50).all()
    inner_hw = cv2.erode(valid_hw.astype(np.uint8), np.ones((5, 5)), borderValue=1) > 0
    assert (seen_hwc[inner_hw] == 200).all()
    assert (seen_hwc[~valid_hw] <= 150).all()
    with pytest.raises(ValueError, match="read-only"):
        valid_hw[0, 0] = True


def test_no_pixel_of_a_lens_is_seen_twice():
    """By OpenCV's forward model: outwards on any ray of valid pixels, further out in the image."""
    valid_hw = WIDE.undistorted.valid_hw
    v_n, u_n = np.nonzero(valid_hw)
    rays_n3 = WIDE.bearings(np.stack([u_n, v_n], axis=1).astype(float))
    zero_3 = np.zeros(3)
    for scale in (0.9, 0.99):
        inner_n3 = rays_n3 * [scale, scale, 1.0]
        at_n2, inner_n2 = (
            cv2.projectPoints(rays, zero_3, zero_3, WIDE.matrix_33, np.array(WIDE.distortion))[0][
                :, 0
            ]
            for rays in (rays_n3, inner_n3)
        )
        centre_2 = [WIDE.cx_px, WIDE.cy_px]
        radius_n, inner_n = (np.linalg.norm(each - centre_2, axis=1) for each in (at_n2, inner_n2))
        assert (radius_n >= inner_n).all()
    x_hw, y_hw = np.meshgrid(np.arange(320) - WIDE.cx_px, np.arange(240) - WIDE.cy_px)
    tangent_hw = np.hypot(x_hw, y_hw) / 130.0
    first = tangent_hw[~valid_hw].min()  # ... and all that is seen once is kept
    assert valid_hw[tangent_hw < first].all()
    before, after = (
        cv2.projectPoints(
            np.array([[t, 0.0, 1.0]]), zero_3, zero_3, np.eye(3), np.array(WIDE.distortion)
        )[0][0, 0, 0]
        for t in (first - 0.02, first + 0.02)
    )
    assert after < before + 1e-3


@pytest.mark.parametrize("distortion", [(0.1, -0.5, 0.0, 0.0), (-0.02, 0.03, -0.01, 0.002)])
def test_a_fisheye_that_turns_back_is_cut_there(distortion):
    camera = Camera(400, 400, 120.0, 120.0, 199.5, 199.5, "equidistant", distortion)
    theta_n = np.linspace(0.0, np.arctan(2.4), 2000)
    k_4 = np.array(distortion)
    seen_n = theta_n * (1 + sum(k * theta_n ** (2 * i + 2) for i, k in enumerate(k_4)))
    turns = np.diff(seen_n) <= 0
    valid_hw = camera.undistorted.valid_hw
    if not turns.any():
        assert valid_hw is None
        return
    turn = np.tan(theta_n[turns.argmax()])
    x_w = (np.arange(400) - 199.5) / 120.0
    tangent_hw = np.hypot(x_w[None, :], x_w[:, None])
    assert not valid_hw[tangent_hw > turn + 0.02].any()
    assert valid_hw[tangent_hw < turn - 0.02].all()


def test_valid_pixels_are_those_of_the_resized_image_too():
    whole_hw = PINCUSHION.undistorted.valid_hw
    half_hw = PINCUSHION.undistorted.scaled_to(160, 120).valid_hw
    blocks_hw = whole_hw.reshape(120, 2, 160, 2).all(axis=(1, 3))
    np.testing.assert_array_equal(half_hw, blocks_hw)
    assert PINCUSHION.undistorted.undistorted.valid_hw is whole_hw
    assert Camera(320, 240, 180.0, 190.0, 150.0, 125.0).valid_hw is None
    barrel = replace(PINCUSHION, distortion=(-0.2, 0.02, 0.0, 0.0, 0.0))
    assert barrel.undistorted.valid_hw is None
    assert PINCUSHION.undistorted == Camera(320, 240, 180.0, 190.0, 150.0, 125.0)


@pytest.mark.parametrize(
    ("name", "model", "count"),
    [
        ("radtan", "plumb_bob", 4),
        ("PLUMB_BOB", "plumb_bob", 5),
        ("Plumb Bob", "plumb_bob", 5),
        ("opencv", "plumb_bob", 5),
        ("pinhole-radtan", "plumb_bob", 4),
        ("pinhole-equi", "equidistant", 4),
        ("Brown-Conrady", "plumb_bob", 5),
        ("", "plumb_bob", 5),
        ("rational_polynomial", "rational_polynomial", 8),
        ("rational_polynomial", "rational_polynomial", 12),
        ("Rational_Polynomial", "rational_polynomial", 14),
        ("equi", "equidistant", 4),
        ("kannala_brandt", "equidistant", 4),
        ("FISHEYE", "equidistant", 4),
    ],
)
def test_distortion_models_by_their_other_names(name, model, count):
    k_9 = np.array([500.0, 0, 320, 0, 510, 240, 0, 0, 1])
    d_n = 0.001 * np.arange(1, count + 1)
    camera = Camera.from_camera_info(640, 480, k_9, name, d_n)
    assert (camera.distortion_model, camera.distortion) == (model, tuple(d_n))
    camera.undistort(np.zeros((480, 640, 3), np.uint8))


def test_a_pinhole_by_name_and_an_unknown_model():
    k_9 = np.array([500.0, 0, 320, 0, 510, 240, 0, 0, 1])
    assert Camera.from_camera_info(640, 480, k_9, "pinhole", np.zeros(0)).distortion_model == "none"
    with pytest.raises(ValueError, match="'Omni' is not one of"):
        Camera.from_camera_info(640, 480, k_9, "Omni", np.ones(5))
    with pytest.raises(ValueError, match="'pinhole' is given with 4 coefficients"):
        Camera.from_camera_info(640, 480, k_9, "pinhole", np.ones(4))


def test_an_image_of_another_size_than_its_camera_info_is_refused():
    camera = Camera(320, 240, 180.0, 190.0, 150.0, 125.0)
    with pytest.raises(ValueError, match=r"240x320.*320x240"):
        camera.undistort(np.zeros((320, 240, 3), np.uint8))


def test_camera_info_with_zero_coefficients_is_a_pinhole():
    k_9 = np.array([500.0, 0, 320, 0, 510, 240, 0, 0, 1])
    camera = Camera.from_camera_info(640, 480, k_9, "plumb_bob", np.zeros(5))
    assert camera == Camera(640, 480, 500.0, 510.0, 320.0, 240.0)
    bent = Camera.from_camera_info(640, 480, k_9, "fisheye", np.array([0.1, 0, 0, 0]))
    assert bent.distortion_model == "equidistant"
    assert np.array_equal(bent.matrix_33.ravel(), k_9)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((640, 480, 0.0, 0.0, 0.0, 0.0), "not calibrated"),
        ((0, 480, 500.0, 500.0, 0.0, 0.0), "image size"),
        ((640, 480, np.nan, 500.0, 0.0, 0.0), "not finite"),
        ((640, 480, 500.0, 500.0, 0.0, 0.0, "omni", (0.1,)), "'omni'"),
    ],
)
def test_intrinsics_no_camera_can_have_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        Camera(*fields)


def test_cells_look_at_the_middle_of_their_pixels():
    centres_hw2 = cell_centres(3, 4, stride_px=8)
    assert centres_hw2.shape == (3, 4, 2)
    columns_8, rows_8 = np.arange(16, 24), np.arange(8, 16)  # of the cell in row 1, column 2
    assert np.array_equal(centres_hw2[1, 2], [columns_8.mean(), rows_8.mean()])
