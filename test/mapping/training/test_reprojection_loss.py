"""The loss is nothing at the truth, leads to it from afar, and does not care for outliers."""

import math

import numpy as np
import pytest
import torch
from support.core_scenes import CAMERA, intrinsics, looking_at, ring_of_views

from glace_ros.mapping.training.reprojection_loss import (
    ReprojectionLossConfig,
    reprojection_loss,
    tau_px,
)
from glace_ros.mapping.views.feature_buffer import Observations

CONFIG = ReprojectionLossConfig()
REPROJECTION = ReprojectionLossConfig(point_weight=0.0)
TARGET_3 = np.array([5.0, 1.0, 0.5])


def observe(points_n3, poses, told=False) -> Observations:
    """All points in all views, view after view; `told`: their places are triangulated."""
    matrices, pixels = [], []
    for pose in poses:
        camera_from_map = pose.inverse()
        matrices += [camera_from_map.matrix_44[:3]] * len(points_n3)
        pixels.append(CAMERA.project(camera_from_map.transform(points_n3)))
    count = len(points_n3) * len(poses)
    return Observations(
        torch.tensor(np.array(matrices)).float(),
        intrinsics(CAMERA).expand(count, 4),
        torch.tensor(np.concatenate(pixels)).float(),
        torch.tensor(points_n3).float().repeat(len(poses), 1),
        torch.full((count,), told),
    )


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    points_n3 = TARGET_3 + rng.uniform(-1, 1, (20, 3))
    return points_n3, ring_of_views(3, 4.0, TARGET_3, arc_rad=1.2)


def descend(start_n3, observed, config, steps=200, views=3, rate=0.1):
    """Where free points end up, the clamp closing as in training."""
    points_n3 = torch.tensor(start_n3, dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.Adam([points_n3], lr=rate)
    for step in range(steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = rate * (1.0 - progress)
        loss, _ = reprojection_loss(points_n3.repeat(views, 1), observed, progress, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return points_n3.detach().numpy()


def test_the_clamp_falls_along_a_quarter_circle():
    """Paper eq. 4."""
    assert tau_px(0.0, CONFIG) == pytest.approx(51.0)
    assert tau_px(0.6, CONFIG) == pytest.approx(41.0)
    assert tau_px(1.0, CONFIG) == pytest.approx(1.0)
    taus = [tau_px(t, CONFIG) for t in np.linspace(0, 1, 11)]
    assert taus == sorted(taus, reverse=True)
    assert tau_px(1.0 + 1e-9, CONFIG) == pytest.approx(1.0)  # a clock may overshoot


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("told", [False, True])
def test_nothing_is_lost_at_the_truth(world, progress, told):
    points_n3, poses = world
    observed = observe(points_n3, poses, told)
    truth_n3 = torch.tensor(points_n3).float().repeat(3, 1)
    loss, inlier_ratio = reprojection_loss(truth_n3, observed, progress, CONFIG)
    assert loss.item() < 1e-3
    assert inlier_ratio.item() == 1.0


@pytest.mark.parametrize("norm", [1, 2])
def test_three_views_pull_points_to_their_places(world, norm):
    points_n3, poses = world
    start_n3 = points_n3 + np.random.default_rng(1).normal(scale=0.7, size=points_n3.shape)
    config = ReprojectionLossConfig(point_weight=0.0, error_norm=norm)
    found_n3 = descend(start_n3, observe(points_n3, poses), config)
    assert np.linalg.norm(found_n3 - points_n3, axis=1).max() < 0.01


def test_a_point_behind_the_camera_is_pulled_to_10_m_in_front(world):
    _, (pose, *_) = world
    pixel_12 = np.array([[30.0, 70.0]])
    in_front_13 = pose.transform(10.0 * CAMERA.bearings(pixel_12))
    observed = observe(in_front_13, [pose])
    behind_13 = torch.tensor(pose.transform(np.array([[0.5, 0.2, -3.0]]))).float()
    behind_13.requires_grad_(True)
    loss, inlier_ratio = reprojection_loss(behind_13, observed, 0.0, REPROJECTION)
    in_camera_3 = np.array([0.5, 0.2, -3.0])
    l1_m = np.abs(10.0 * CAMERA.bearings(pixel_12)[0] - in_camera_3).sum()
    assert loss.item() == pytest.approx(l1_m, rel=1e-4)
    assert inlier_ratio.item() == 0.0
    loss.backward()
    towards_3 = -behind_13.grad[0].numpy()
    forward_3 = pose.rotation_33[:, 2]
    assert towards_3 @ forward_3 > 0.5

    found_13 = descend(behind_13.detach().numpy(), observed, REPROJECTION, views=1, rate=0.3)
    in_camera_13 = pose.inverse().transform(found_13)
    assert in_camera_13[0, 2] > 0.1
    assert CAMERA.project(in_camera_13)[0] == pytest.approx(pixel_12[0], abs=1.0)


@pytest.mark.parametrize("in_camera_3", [[0.0, 0.0, 0.05], [0.0, 0.0, 1500.0], [30.0, 0.0, 1.0]])
def test_too_near_too_far_and_wildly_off_are_pulled_as_well(world, in_camera_3):
    """Paper: valid is 0.1 < z < 1000 m and an error of at most 1000 px."""
    _, (pose, *_) = world
    observed = observe(pose.transform(10.0 * CAMERA.bearings(np.array([[54.0, 51.0]]))), [pose])
    predicted_13 = torch.tensor(pose.transform(np.array([in_camera_3]))).float()
    loss, _ = reprojection_loss(predicted_13, observed, 1.0, REPROJECTION)
    distance_m = np.abs(np.array([0, 0, 10.0]) - in_camera_3).sum()
    assert loss.item() == pytest.approx(distance_m, rel=1e-3)  # a clamped error would be 1 at most


def test_the_clamp_limits_what_an_outlier_weighs_and_pulls():
    pose = looking_at(np.zeros(3), np.array([1.0, 0.0, 0.0]))
    point_13 = pose.transform(np.array([[0.0, 0.0, 5.0]]))
    observed = observe(point_13, [pose])

    def loss_and_pull(off_px: float):
        moved_3 = np.array([[5.0 * off_px / CAMERA.fx_px, 0.0, 5.0]])
        moved_13 = torch.tensor(pose.transform(moved_3)).float().requires_grad_(True)
        loss, _ = reprojection_loss(moved_13, observed, 0.8, REPROJECTION)
        loss.backward()
        return loss.item(), moved_13.grad.norm().item()

    tau = tau_px(0.8, REPROJECTION)
    small, near_pull = loss_and_pull(1.0)
    assert small == pytest.approx(tau * math.tanh(1.0 / tau), rel=1e-3)
    large, far_pull = loss_and_pull(700.0)
    assert large == pytest.approx(tau, rel=1e-6)
    assert far_pull < 1e-6 * near_pull


def test_the_error_is_l1_or_l2_as_asked():
    pose = looking_at(np.zeros(3), np.array([1.0, 0.0, 0.0]))
    observed = observe(pose.transform(np.array([[0.0, 0.0, 5.0]])), [pose])
    moved_3 = np.array([[5.0 * 0.3 / CAMERA.fx_px, 5.0 * 0.4 / CAMERA.fy_px, 5.0]])
    moved_13 = torch.tensor(pose.transform(moved_3)).float()
    for norm, error_px in ((1, 0.7), (2, 0.5)):
        config = ReprojectionLossConfig(point_weight=0.0, error_norm=norm)
        loss, _ = reprojection_loss(moved_13, observed, 0.0, config)
        assert loss.item() == pytest.approx(error_px, rel=1e-3)


def test_a_triangulated_point_fixes_the_depth_that_one_view_cannot(world):
    points_n3, (pose, *_) = world
    observed = observe(points_n3, [pose], told=True)
    # twice as far along the same rays: no reprojection error at all
    far_n3 = torch.tensor(pose.translation_3 + 2 * (points_n3 - pose.translation_3)).float()
    blind, _ = reprojection_loss(far_n3, observed, 0.5, REPROJECTION)
    assert blind.item() < 1e-3
    told, _ = reprojection_loss(far_n3, observed, 0.5, CONFIG)
    assert told.item() > 1.0
    found_n3 = descend(far_n3.numpy(), observed, CONFIG, steps=300, views=1)
    assert np.linalg.norm(found_n3 - points_n3, axis=1).max() < 0.02


def test_a_triangulated_point_behind_the_camera_comes_home_and_not_to_10_m(world):
    points_n3, (pose, *_) = world
    observed = observe(points_n3, [pose], told=True)
    behind_n3 = pose.translation_3 - (points_n3 - pose.translation_3)
    pull, _ = reprojection_loss(torch.tensor(behind_n3).float(), observed, 0.5, REPROJECTION)
    assert pull.item() == 0.0  # the point alone tells where to go
    found_n3 = descend(behind_n3, observed, CONFIG, steps=300, views=1, rate=0.2)
    assert np.linalg.norm(found_n3 - points_n3, axis=1).max() < 0.05


def test_only_patches_with_a_triangulated_point_are_told(world):
    points_n3, (pose, *_) = world
    observed = observe(points_n3, [pose], told=True)
    nonsense_n3 = torch.full_like(observed.points_n3, 77.0)
    untold = observed._replace(points_n3=nonsense_n3, has_point_n=~observed.has_point_n)
    loss, _ = reprojection_loss(torch.tensor(points_n3).float(), untold, 0.5, CONFIG)
    assert loss.item() < 1e-3


def test_near_points_weigh_less_where_asked(world):
    """z / sqrt(z^2 + near^2), which is no reason to move a point away."""
    _, (pose, *_) = world
    in_camera_3 = np.array([[0.1, 0.0, 3.0]])
    observed = observe(pose.transform(np.array([[0.0, 0.0, 3.0]])), [pose])
    predicted_13 = torch.tensor(pose.transform(in_camera_3)).float()
    gradients, losses = [], []
    for near_m in (0.0, 3.0):
        moved_13 = predicted_13.clone().requires_grad_(True)
        config = ReprojectionLossConfig(point_weight=0.0, near_m=near_m)
        loss, _ = reprojection_loss(moved_13, observed, 0.0, config)
        loss.backward()
        losses.append(loss.item())
        gradients.append(moved_13.grad)
    assert losses[1] / losses[0] == pytest.approx(math.sqrt(0.5), rel=1e-3)
    assert torch.allclose(gradients[1], gradients[0] * math.sqrt(0.5), rtol=1e-3, atol=1e-5)


def test_the_inlier_share_counts_valid_predictions_within_10_px(world):
    points_n3, (pose, *_) = world
    observed = observe(points_n3, [pose])
    shift_n2 = torch.zeros(20, 2)
    shift_n2[:5, 0], shift_n2[5:8, 0] = 11.0, 9.0
    moved = observed._replace(pixels_n2=observed.pixels_n2 + shift_n2)
    _, share = reprojection_loss(torch.tensor(points_n3).float(), moved, 0.5, CONFIG)
    assert share.item() == pytest.approx(0.75)
