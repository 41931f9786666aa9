"""A simulated drive for pose refinement: points whose descriptors tell them apart, what a camera
sees of them, and an odometry that drifts as that of wheels does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.pose_refinement import PoseRefinement
from glace_ros.mapping.pose_refinement.precise_keypoints import PreciseKeypoints
from glace_ros.mapping.pose_refinement.refined_poses import RefinedPoses
from glace_ros.mapping.pose_refinement.refinement_config import PoseRefinementConfig
from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

WIDTH, HEIGHT = 320, 240
INTRINSICS_4 = np.array([160.0, 160.0, 160.0, 120.0])
OPTICAL = Pose.from_quaternion([0.0, 0.0, 0.0], [-0.5, 0.5, -0.5, 0.5])
BASE_FROM_CAMERA = Pose.from_quaternion([0.15, 0.03, 0.4], [0, 0, 0, 1]) @ OPTICAL
PERIOD_S = 0.25
_FAR_M, _NEAR_M = 6.0, 0.4
_CHANNELS = 48


@dataclass(frozen=True)
class World:
    """points_n3: metres. descriptors_nC: unit norm. seen_n2: least and most x of a camera that sees
    the point, as walls hide it from others.
    """

    points_n3: np.ndarray
    descriptors_nC: np.ndarray
    seen_n2: np.ndarray

    def __add__(self, other: World) -> World:
        return World(
            np.concatenate([self.points_n3, other.points_n3]),
            np.concatenate([self.descriptors_nC, other.descriptors_nC]),
            np.concatenate([self.seen_n2, other.seen_n2]),
        )

    def at(self, x_m: float, seen_2: tuple[float, float]) -> World:
        """The same points, and the same looks, elsewhere."""
        seen_n2 = np.tile(seen_2, (len(self.points_n3), 1))
        return World(self.points_n3 + [x_m, 0.0, 0.0], self.descriptors_nC, seen_n2)


def unit(rows_nC: np.ndarray) -> np.ndarray:
    return rows_nC / np.linalg.norm(rows_nC, axis=1, keepdims=True)


def room(seed: int, half_x_m: float = 3.0, half_y_m: float = 2.5, points: int = 700) -> World:
    """Points in front of the walls of a room, whose middle is the origin."""
    rng = np.random.default_rng(seed)
    inside_n3 = rng.uniform(-1, 1, (points, 3))
    along_x_n = rng.random(points) < 0.5
    sides_n = rng.choice([-1.0, 1.0], points) * rng.uniform(0.75, 1.0, points)
    inside_n3[:, 0] = np.where(along_x_n, inside_n3[:, 0], sides_n) * half_x_m
    inside_n3[:, 1] = np.where(along_x_n, sides_n, inside_n3[:, 1]) * half_y_m
    inside_n3[:, 2] = 0.5 + 1.2 * inside_n3[:, 2]
    anywhere_n2 = np.tile([-np.inf, np.inf], (points, 1))
    return World(inside_n3, unit(rng.normal(size=(points, _CHANNELS))), anywhere_n2)


def corridor(seed: int, length_m: float, near_m: float, per_m: int = 120) -> World:
    """Points of a corridor along x, each seen by cameras nearer than that alone."""
    rng = np.random.default_rng(seed)
    count = round(per_m * length_m)
    x_n = rng.uniform(0, length_m, count)
    y_n = rng.choice([-1.0, 1.0], count) * rng.uniform(0.7, 1.0, count)
    points_n3 = np.stack([x_n, y_n, rng.uniform(-0.4, 1.2, count)], axis=1)
    looks_nC = unit(rng.normal(size=(count, _CHANNELS)))
    return World(points_n3, looks_nC, np.stack([x_n - near_m, x_n + near_m], axis=1))


def rounds(views: int, count: float = 2.0, middle: tuple[float, float] = (0.0, 0.0)) -> list[Pose]:
    """map_from_base of rounds through a room; no round is quite like another, and the robot turns
    now faster and now slower.
    """
    poses = []
    for s in np.linspace(0.0, 2 * np.pi * count, views):
        x = middle[0] + (1.35 + 0.1 * np.sin(0.37 * s)) * np.cos(s)
        y = middle[1] + (1.0 + 0.1 * np.sin(0.61 * s)) * np.sin(s)
        poses.append(Pose.from_planar(x, y, s + np.pi / 2 + 0.25 * np.sin(3.3 * s)))
    return poses


def drifted(
    map_from_base: list[Pose],
    rng: np.random.Generator,
    *,
    scale: float = 1.02,
    yaw_deg: float = 1.0,
    metres: float = 0.0,
) -> list[Pose]:
    """The same by the odometry of wheels, from the true first pose on.

    yaw_deg, metres: standard deviations of heading and position after a metre of way.
    """
    poses = map_from_base[:1]
    for before, after in itertools.pairwise(map_from_base):
        motion = before.inverse() @ after
        way_m = np.linalg.norm(motion.translation_3) + 0.5 * abs(motion.yaw_rad)
        root = np.sqrt(way_m)
        x, y = scale * motion.translation_3[:2] + metres * root * rng.normal(size=2)
        yaw = motion.yaw_rad + np.radians(yaw_deg) * root * rng.normal()
        poses.append(poses[-1] @ Pose.from_planar(x, y, yaw))
    return poses


def velocities(map_from_base: list[Pose]) -> list[np.ndarray]:
    """Of the cameras, about their own axes, from the poses before and after."""
    cameras = [pose @ BASE_FROM_CAMERA for pose in map_from_base]
    last = len(cameras) - 1
    found = []
    for view in range(len(cameras)):
        before, after = max(view - 1, 0), min(view + 1, last)
        motion = cameras[before].inverse() @ cameras[after]
        moved_6 = np.concatenate([motion.rotation_vector_3, motion.translation_3])
        found.append(moved_6 / (PERIOD_S * (after - before)))
    return found


def project(points_n3: np.ndarray) -> np.ndarray:
    """Of points in the camera."""
    safe_n1 = np.maximum(points_n3[:, 2:], 0.1)
    return points_n3[:, :2] / safe_n1 * INTRINSICS_4[:2] + INTRINSICS_4[2:]


def see(
    world: World,
    map_from_camera: Pose,
    velocity_6: np.ndarray,
    readout_s: float,
    noise_px: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(pixels (n, 2), descriptors (n, C)) of one image."""  # fmt: skip
    in_camera_n3 = map_from_camera.inverse().transform(world.points_n3)
    pixels_n2 = project(in_camera_n3)
    for _ in range(4 if readout_s else 0):
        late_n = readout_s * (pixels_n2[:, 1] / HEIGHT - 0.5)
        late_n1 = np.clip(late_n, -abs(readout_s), abs(readout_s))[:, None]
        turned = Rotation.from_rotvec(late_n1 * velocity_6[:3]).inv()
        pixels_n2 = project(turned.apply(in_camera_n3 - late_n1 * velocity_6[3:]))
    depth_n = in_camera_n3[:, 2]
    seen_n = (depth_n > _NEAR_M) & (depth_n < _FAR_M)
    x_m = map_from_camera.translation_3[0]
    seen_n &= (world.seen_n2[:, 0] < x_m) & (x_m < world.seen_n2[:, 1])
    seen_n &= ((pixels_n2 > 0) & (pixels_n2 < [WIDTH, HEIGHT])).all(axis=1)
    order = rng.permutation(np.flatnonzero(seen_n))
    looks_nC = world.descriptors_nC[order]
    looks_nC = unit(looks_nC + 0.25 / np.sqrt(_CHANNELS) * rng.normal(size=looks_nC.shape))
    return pixels_n2[order] + noise_px * rng.normal(size=(len(order), 2)), looks_nC


def record(
    world: World,
    truth: list[Pose],
    recorded: list[Pose],
    rng: np.random.Generator,
    *,
    readout_s: float = 0.0,
    noise_px: float = 0.5,
    focal_ratio: float = 1.0,
    stretch: int = 0,
) -> list[RefinementView]:
    """What a drive knows of itself.

    truth, recorded: of the base, at each image.
    focal_ratio: the true focal length by the recorded one.
    """
    views = []
    intrinsics_4 = INTRINSICS_4 / [focal_ratio, focal_ratio, 1.0, 1.0]
    for true, by_odometry, velocity_6 in zip(truth, recorded, velocities(truth), strict=True):
        pixels_n2, looks_nC = see(
            world, true @ BASE_FROM_CAMERA, velocity_6, readout_s, noise_px, rng
        )
        views.append(
            RefinementView(
                torch.from_numpy(looks_nC).float(), pixels_n2, intrinsics_4, float(HEIGHT),
                by_odometry @ BASE_FROM_CAMERA, BASE_FROM_CAMERA, stretch, velocity_6,
            )
        )  # fmt: skip
    return views


def refined(
    views: list[RefinementView],
    config: PoseRefinementConfig | None = None,
    precise: Callable[[], list[PreciseKeypoints]] | None = None,
) -> RefinedPoses:
    """Stretches are called drive 0, drive 1."""
    names = [f"drive {number}" for number in range(1 + max(view.stretch for view in views))]
    return PoseRefinement(views, names, config or PoseRefinementConfig(), precise).run()


def bases(map_from_camera: list[Pose]) -> list[Pose]:
    return [pose @ BASE_FROM_CAMERA.inverse() for pose in map_from_camera]


def rmse_m(poses: list[Pose], truth: list[Pose], *, similarity: bool = True) -> float:
    """Of positions, after the best similarity (Umeyama); or as they are."""
    p_n3 = np.stack([pose.translation_3 for pose in poses])
    t_n3 = np.stack([pose.translation_3 for pose in truth])
    if similarity:
        from_mean_n3, true_n3 = p_n3 - p_n3.mean(axis=0), t_n3 - t_n3.mean(axis=0)
        left_33, size_3, right_33 = np.linalg.svd(true_n3.T @ from_mean_n3)
        flip_3 = np.array([1.0, 1.0, np.sign(np.linalg.det(left_33 @ right_33))])
        scale = (size_3 * flip_3).sum() / (from_mean_n3**2).sum()
        p_n3 = scale * from_mean_n3 @ (left_33 * flip_3 @ right_33).T
        t_n3 = true_n3
    return float(np.sqrt(((p_n3 - t_n3) ** 2).sum(axis=1).mean()))


def other_frame(poses: list[Pose], new_from_old: Pose) -> list[Pose]:
    return [new_from_old @ pose for pose in poses]


def without_velocity(views: list[RefinementView]) -> list[RefinementView]:
    return [replace(view, velocity_6=None) for view in views]
