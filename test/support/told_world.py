"""A world whose points are known, to train on."""

from __future__ import annotations

import numpy as np
import torch
from support.core_scenes import buffer_of, ring_of_views, seen_points, unit_rows

from glace_ros.mapping.training.map_trainer import MapTrainer
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.maps.coordinate_head import CoordinateHeadConfig, head_input

CPU = torch.device("cpu")
TARGET_3 = np.array([1.0, 2.0, 0.5])

POINTS, VIEWS, STEPS = 40, 8, 240


class World:
    """40 points with codes of their own, 8 views of all of them, a global code of each view."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.points_n3 = TARGET_3 + rng.uniform(-1, 1, (POINTS, 3))
        self.codes_nC = unit_rows(rng, POINTS, 64)
        poses = ring_of_views(VIEWS, 4.0, TARGET_3, arc_rad=1.5)
        views = [
            (seen_points(self.points_n3, self.codes_nC, pose, rng, code_noise=0.1), pose)
            for pose in poses
        ]
        self.origin_3 = np.mean([pose.translation_3 for pose in poses], axis=0)
        self.buffer = buffer_of(views, self.origin_3)
        self.told_buffer = buffer_of(views, self.origin_3, self.points_n3)
        self.global_vG = torch.from_numpy(unit_rows(rng, VIEWS, 8)).float()

    def trainer(
        self, buffer=None, with_code=True, ranks=None, of_view_v=None, **config
    ) -> MapTrainer:
        settings = {"batch": 192, "learning_rate": 5e-3, "iterations": STEPS, "seed": 3, **config}
        head = CoordinateHeadConfig(global_channels=8 if with_code else 0, width=64)
        return MapTrainer(
            MapTrainerConfig(**settings), buffer or self.buffer,
            self.global_vG if with_code else None, 0.1, head, torch.zeros(1, 3), CPU, ranks=ranks,
            of_view_v=of_view_v,
        )  # fmt: skip

    @torch.inference_mode()
    def errors_m(self, head) -> np.ndarray:
        """Of the points, from descriptors without noise and the first view's code."""
        descriptors_nG = (
            self.global_vG[:1].expand(POINTS, -1) if head.config.global_channels else None
        )
        found_n3 = head.eval()(head_input(torch.from_numpy(self.codes_nC).float(), descriptors_nG))
        return np.linalg.norm(found_n3.numpy() + self.origin_3 - self.points_n3, axis=1)
