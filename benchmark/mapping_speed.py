"""Samples that training takes a second: our trainer, a straightforward one, and the roofline.

The straightforward one does what the published trainer does: every sample keeps its own matrices,
a permutation made on the CPU picks the batches, and valid and invalid samples are parted by boolean
masks. Same network, batch, precision and machine, taken in turns.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from glace_ros.device import choose_device, faster_dtype
from glace_ros.features.local_features import LocalFeatures
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.training.map_trainer import MapTrainer
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.mapping.training.reprojection_loss import tau_px
from glace_ros.mapping.views.feature_buffer import FeatureBuffer
from glace_ros.mapping.views.mapping_views import MappingView, Samples
from glace_ros.maps.coordinate_head import CoordinateHead, CoordinateHeadConfig

if TYPE_CHECKING:
    from collections.abc import Callable

VIEWS, PATCHES, FOCAL_PX = 200, 1000, 400.0


def random_buffer(device: torch.device) -> tuple[FeatureBuffer, torch.Tensor]:
    """A buffer of random samples with points, and a global descriptor for each view."""
    rng = np.random.default_rng(0)
    count = VIEWS * PATCHES
    descriptors_nC = torch.nn.functional.normalize(torch.randn(count, 64), dim=1).half()
    pixels_n2 = torch.rand(count, 2) * torch.tensor([640.0, 480.0])
    intrinsics_4 = torch.tensor([FOCAL_PX, FOCAL_PX, 320.0, 240.0])
    nothing = LocalFeatures(torch.empty(0, 64), torch.empty(0, 2), torch.empty(0))
    views = [
        MappingView(
            nothing,
            Pose.from_rotation_vector(rng.uniform(-3, 3, 3), rng.uniform(-1, 1, 3)),
            intrinsics_4,
        )
        for _ in range(VIEWS)
    ]
    samples = Samples(
        descriptors_nC,
        pixels_n2,
        torch.arange(VIEWS, dtype=torch.int32).repeat_interleave(PATCHES),
        torch.randn(count, 3) * 3,
        torch.rand(count) < 0.5,
    )
    descriptors_vG = torch.nn.functional.normalize(torch.randn(VIEWS, 32), dim=1)
    return FeatureBuffer(samples, views, np.zeros(3), device), descriptors_vG


class StraightforwardTrainer:
    """Paper section 3 and supplement, written down as it reads."""

    def __init__(
        self, buffer: FeatureBuffer, descriptors_vG: torch.Tensor, head: CoordinateHeadConfig,
        batch: int, device: torch.device,
    ) -> None:  # fmt: skip
        view_n = buffer.samples.view_n.long()
        self.features_nC = torch.cat(
            [descriptors_vG.to(device)[view_n].half(), buffer.samples.descriptors_nC], dim=1
        )
        pose_n34 = buffer.camera_from_map_v34[view_n]
        bottom_n14 = torch.tensor([0.0, 0, 0, 1], device=device).expand(len(view_n), 1, 4)
        self.pose_n44 = torch.cat([pose_n34, bottom_n14], dim=1)
        matrix_33 = torch.tensor([[FOCAL_PX, 0, 320.0], [0, FOCAL_PX, 240.0], [0, 0, 1]])
        self.matrix_n33 = matrix_33.to(device).expand(len(view_n), 3, 3).contiguous()
        self.inverse_n33 = torch.linalg.inv(matrix_33).to(device).expand_as(self.matrix_n33)
        self.inverse_n33 = self.inverse_n33.contiguous()
        self.pixels_n2 = buffer.samples.pixels_n2
        self.head = CoordinateHead(head).to(device)
        self.optimizer = torch.optim.AdamW(self.head.parameters(), lr=1e-3, foreach=False)
        # the published code has float16; CPUs have it only in emulation
        self.dtype = torch.float16 if device.type == "cuda" else torch.bfloat16
        self.device, self.batch, self.order_n, self.at = device, batch, torch.empty(0), 0

    def step(self) -> None:
        if self.at + self.batch > len(self.order_n):
            self.order_n, self.at = torch.randperm(len(self.features_nC)), 0
        index_n = self.order_n[self.at : self.at + self.batch].to(self.device)
        self.at += self.batch
        input_nC = self.features_nC[index_n].float()
        descriptors_nG = input_nC[:, :32] + 0.1 * torch.randn_like(input_nC[:, :32])
        descriptors_nG = torch.nn.functional.normalize(descriptors_nG, dim=1)
        with torch.autocast(self.device.type, dtype=self.dtype):
            points_n3 = self.head(torch.cat([descriptors_nG, input_nC[:, 32:]], dim=1)).float()
        ones_n1 = torch.ones(len(points_n3), 1, device=self.device)
        in_camera_n31 = (self.pose_n44[index_n] @ torch.cat([points_n3, ones_n1], 1)[..., None])[
            :, :3
        ]
        projected_n31 = self.matrix_n33[index_n] @ in_camera_n31
        pixels_n2 = projected_n31[:, :2, 0] / projected_n31[:, 2:, 0].clamp(min=0.1)
        error_n = (pixels_n2 - self.pixels_n2[index_n]).abs().sum(dim=1)
        depth_n = in_camera_n31[:, 2, 0]
        valid_n = (depth_n > 0.1) & (depth_n < 1000.0) & (error_n <= 1000.0)
        tau = tau_px(0.5, MapTrainerConfig().loss)
        loss = (tau * torch.tanh(error_n[valid_n] / tau)).sum()
        pixels_n31 = torch.cat([self.pixels_n2[index_n], ones_n1], dim=1)[..., None]
        target_n31 = 10.0 * (self.inverse_n33[index_n] @ pixels_n31)
        loss = loss + (in_camera_n31 - target_n31)[~valid_n].abs().sum()
        self.optimizer.zero_grad()
        (loss / len(points_n3)).backward()
        self.optimizer.step()


def roofline(head: CoordinateHead, batch: int, dtype: torch.dtype, device: torch.device) -> float:
    """Samples a second if there were nothing but the layers' matrix products, forth and back."""
    layers = [m for m in head.modules() if isinstance(m, torch.nn.Linear)]
    pairs = [
        (
            torch.randn(batch, layer.in_features, device=device, dtype=dtype),
            torch.randn(layer.in_features, layer.out_features, device=device, dtype=dtype),
        )
        for layer in layers
    ]

    def products() -> None:
        for input_nC, weight_CD in pairs:
            output_nD = input_nC @ weight_CD
            _ = output_nD @ weight_CD.T
            _ = input_nC.T @ output_nD

    return batch * rate(products, device, 1.0)


def rate(step: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Calls a second, after a few to warm up."""

    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(5):
        step()
    synchronize()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        count += 1
    synchronize()
    return count / (time.perf_counter() - start)


def training_rate(trainer: MapTrainer, seconds: float) -> float:
    """Steps a second of a whole schedule that takes so long, at least 1 s."""
    trainer.done, before = 0.0, trainer.step
    start = time.perf_counter()
    trainer.train(seconds)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (trainer.step - before) / (time.perf_counter() - start)


def main() -> None:
    """Prints medians of `--repeat` turns and their ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.mapping_speed", description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--width", type=int, nargs="+", default=[256, 768])
    parser.add_argument("--batch", type=int, nargs="+", default=[1024, 5120])
    args = parser.parse_args()
    device = choose_device(args.device)
    buffer, descriptors_vG = random_buffer(device)
    table = Table(
        "width", "batch", "straightforward", "ours", "roofline", "ours / straight", "of roofline",
        title=f"samples a second, {device}, {torch.get_num_threads()} threads",
    )  # fmt: skip
    for width in args.width:
        for batch in args.batch:
            head = replace(CoordinateHeadConfig(), width=width)
            config = MapTrainerConfig(batch=batch)
            ours = MapTrainer(config, buffer, descriptors_vG, 0.1, head, torch.zeros(1, 3), device)
            training_rate(ours, 1.0)  # warms up
            plain = StraightforwardTrainer(buffer, descriptors_vG, head, batch, device)
            dtype = faster_dtype(device, width)
            turns = np.array(
                [
                    (
                        batch * rate(plain.step, device, args.seconds),
                        batch * training_rate(ours, args.seconds),
                        roofline(ours.head, batch, dtype, device),
                    )
                    for _ in range(args.repeat)
                ]
            )
            straight, own, roof = np.median(turns, axis=0)
            table.add_row(
                str(width), str(batch), f"{straight:,.0f}", f"{own:,.0f}", f"{roof:,.0f}",
                f"{own / straight:.2f}", f"{own / roof:.0%}",
            )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
