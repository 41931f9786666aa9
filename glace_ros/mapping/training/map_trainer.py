"""Map trainer: a feature buffer and its views' codes -> a coordinate head.

Paper section 3 and supplement: batches of patches from all over the recording, codes diffused
anew at each step, AdamW under a one-cycle schedule. The schedule follows a clock where minutes are
given, so that a busy machine takes fewer steps and not a longer time. Several ranks each draw their
part of a batch from their own buffers and add up their gradients.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch

from glace_ros.device import faster_dtype
from glace_ros.errors import MappingError
from glace_ros.mapping.training.batch_sampler import BatchSampler
from glace_ros.mapping.training.feature_diffusion import sample_descriptors
from glace_ros.mapping.training.reprojection_loss import ReprojectionLossConfig, reprojection_loss
from glace_ros.maps.coordinate_head import CoordinateHead, CoordinateHeadConfig, head_input
from glace_ros.ranks import Ranks

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint
    from glace_ros.mapping.views.feature_buffer import FeatureBuffer

_LOG = logging.getLogger(__name__)
_SMALLEST_CHUNK = 64


@dataclass(frozen=True)
class MapTrainerConfig:
    """One-cycle: learning_rate is reached at warm_up of the way from a 25th of it, and falls to
    nothing.

    batch: of all ranks together.
    point_preference: how much likelier a sample with a triangulated point is drawn than another:
    those without are mostly patches that no second view found again.
    iterations: length of the schedule where no minutes are given.
    """

    batch: int = 1024
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warm_up: float = 0.3
    point_preference: float = 8.0
    iterations: int = 6000
    checkpoint_every_s: float = 20.0
    seed: int = 0
    loss: ReprojectionLossConfig = field(default_factory=ReprojectionLossConfig)


class TrainingProgress(NamedTuple):
    """Where training stands: done in [0, 1], steps taken, mean loss and inlier share of late."""

    done: float
    step: int
    loss: float
    inlier_ratio: float
    seconds: float


def one_cycle(progress: float, peak: float, warm_up: float) -> float:
    """Learning rate at `progress` in [0, 1]: peak / 25 -> peak at warm_up -> peak / 250,000."""

    def cosine(start: float, end: float, fraction: float) -> float:
        return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * fraction))

    if progress < warm_up:
        return cosine(peak / 25, peak, progress / warm_up)
    return cosine(peak, peak / 250_000, (progress - warm_up) / (1.0 - warm_up))


class MapTrainer:
    """Trains one head. `seconds_left` in `train` is asked once, when the schedule begins."""

    def __init__(
        self,
        config: MapTrainerConfig,
        buffer: FeatureBuffer,
        descriptors_vG: torch.Tensor | None,
        sigma: float,
        head_config: CoordinateHeadConfig,
        centres_k3: torch.Tensor,
        device: torch.device,
        neighbours_vk: torch.Tensor | None = None,
        ranks: Ranks | None = None,
        of_view_v: NDArray[np.bool_] | None = None,
    ) -> None:
        """neighbours_vk: of each view, those whose codes stand in for its own; see draw_codes.
        of_view_v: (v,) the views that the head is trained on; None = all. Raises MappingError
        where a rank has no patch of them.
        """
        self.config = config
        self._neighbours_vk = None if neighbours_vk is None else neighbours_vk.to(device)
        self._buffer = buffer
        self._descriptors_vG = None if descriptors_vG is None else descriptors_vG.to(device)
        self._sigma = sigma
        self._device = device
        self._ranks = ranks = ranks or Ranks()
        self._chunks = 1
        torch.manual_seed(config.seed)  # the same network on every rank
        self.head = CoordinateHead(head_config)
        self.head.centres_k3.copy_(centres_k3)
        self.head.to(device)
        self._generator = torch.Generator(device).manual_seed(config.seed + (ranks.rank << 32))
        self._optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay,
            fused=True,
        )  # fmt: skip
        self._batches = BatchSampler(buffer.samples, config.point_preference, of_view_v)
        if min(ranks.gather_number(len(self._batches))) == 0:
            raise MappingError(
                "the views of a head have no patches here: ask for fewer heads with --ensemble, "
                "or start fewer processes"
            )
        self._dtype = ranks.from_first(faster_dtype(device, head_config.width))
        self.step = 0
        self.seconds = 0.0
        self.done = 0.0

    def train(
        self,
        seconds: float | None,
        on_progress: Callable[[TrainingProgress], None] = lambda _: None,
        checkpoint: TrainingCheckpoint | None = None,
    ) -> CoordinateHead:
        """Train for `seconds`, or for config.iterations where that is None. From a checkpoint it
        goes on with the rest of the schedule, which takes its share of the seconds.

        checkpoint: of rank 0, whose clock also decides for all ranks.
        Raises MappingError where the loss stops being finite. KeyboardInterrupt passes through
        after the checkpoint is written.
        """
        if checkpoint:
            checkpoint.load(self)
        if self._ranks.count > 1:
            restore(self, *self._ranks.from_first(state_of(self)))
            if self._ranks.rank > 0:
                seed = self.config.seed + (self._ranks.rank << 32) + self.step
                self._generator.manual_seed(seed)
        start, done_before = time.perf_counter(), self.done
        seconds_before, saved_at = self.seconds, time.perf_counter()
        try:
            while self.done < 1.0:
                loss, inlier_ratio = self._take_step()
                self.step += 1
                elapsed = time.perf_counter() - start
                self.seconds = seconds_before + elapsed
                if seconds is None:
                    self.done = min(1.0, self.step / self.config.iterations)
                else:
                    done = done_before + elapsed / max(seconds, 1.0)
                    self.done = min(1.0, self._ranks.number_from_first(done))
                if self.step % 20 == 0:
                    self._report(loss, inlier_ratio, on_progress)
                if checkpoint and time.perf_counter() - saved_at > self.config.checkpoint_every_s:
                    checkpoint.save(self)
                    saved_at = time.perf_counter()
        except KeyboardInterrupt:
            if checkpoint:
                checkpoint.save(self)
            raise
        return self.head

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """For the checkpoint."""
        return self._optimizer

    @property
    def generator(self) -> torch.Generator:
        """For the checkpoint."""
        return self._generator

    def _take_step(self) -> tuple[torch.Tensor, torch.Tensor]:
        rate = one_cycle(self.done, self.config.learning_rate, self.config.warm_up)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        index_n = self._draw()
        descriptors_nG = None
        if self._descriptors_vG is not None:
            view_n = self._buffer.samples.view_n[index_n]
            descriptors_nG = sample_descriptors(
                self._descriptors_vG, view_n, self._sigma, self._neighbours_vk, self._generator
            )
        while True:
            try:
                loss, inlier_ratio = self._gradients(index_n, descriptors_nG)
                break
            except torch.cuda.OutOfMemoryError:
                if not self._take_smaller_chunks(len(index_n)):
                    raise
        self._ranks.sum_gradients(self.head.parameters())
        self._optimizer.step()
        return loss, inlier_ratio

    def _gradients(
        self, index_n: torch.Tensor, descriptors_nG: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean loss, share of inliers) of this rank's samples, whose gradients are set to their
        part in those of the whole batch.
        """
        self._optimizer.zero_grad(set_to_none=True)
        loss, inlier_ratio = torch.zeros(2, device=self._device)
        size = -(-len(index_n) // self._chunks)
        for start in range(0, len(index_n), size):
            part = slice(start, start + size)
            chunk_loss, chunk_inliers = self._loss(
                index_n[part], None if descriptors_nG is None else descriptors_nG[part]
            )
            count = len(index_n[part])
            (chunk_loss * (count / self.config.batch)).backward()  # type: ignore[no-untyped-call]
            loss += chunk_loss.detach() * (count / len(index_n))
            inlier_ratio += chunk_inliers * (count / len(index_n))
        return loss, inlier_ratio

    def _loss(
        self, index_n: torch.Tensor, descriptors_nG: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        input_nC = head_input(
            self._buffer.samples.descriptors_nC[index_n], descriptors_nG,
            scaled=self.head.config.scaled_inputs,
        )  # fmt: skip
        half = self._dtype == torch.bfloat16
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=half):
            predicted_n3 = self.head(input_nC)
        observed = self._buffer.observations(index_n)
        return reprojection_loss(predicted_n3, observed, self.done, self.config.loss)

    def _take_smaller_chunks(self, count: int) -> bool:
        """Halve the parts in which a batch of so many goes through the network, if that helps."""
        if count // (2 * self._chunks) < _SMALLEST_CHUNK:
            return False
        self._chunks *= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        _LOG.warning(
            "the GPU's memory is full: a batch now goes through the network in %d parts",
            self._chunks,
        )
        return True

    def _draw(self) -> torch.Tensor:
        """Rows of this rank's part of a batch."""
        return self._batches.draw(self._ranks.share(self.config.batch), self._generator)

    def _report(
        self,
        loss: torch.Tensor,
        inlier_ratio: torch.Tensor,
        on_progress: Callable[[TrainingProgress], None],
    ) -> None:
        value = float(loss)
        if not math.isfinite(value):
            raise MappingError(
                f"the loss is no longer finite at step {self.step}: are the recorded poses right?"
            )
        on_progress(
            TrainingProgress(self.done, self.step, value, float(inlier_ratio), self.seconds)
        )


def state_of(trainer: MapTrainer) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """(tensors on the CPU, progress): all that the rest of a training depends on."""
    tensors = {f"head.{k}": v.detach().cpu() for k, v in trainer.head.state_dict().items()}
    for index, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v.detach().cpu() for k, v in state.items()}
    tensors["generator"] = trainer.generator.get_state()
    progress = {"step": trainer.step, "seconds": trainer.seconds, "done": trainer.done}
    return {k: v.contiguous() for k, v in tensors.items()}, progress


def restore(
    trainer: MapTrainer, tensors: dict[str, torch.Tensor], progress: dict[str, float]
) -> None:
    """Put a trainer into the state of `state_of`."""
    head = {k[5:]: v for k, v in tensors.items() if k.startswith("head.")}
    trainer.head.load_state_dict(head)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    whole = trainer.optimizer.state_dict()
    trainer.optimizer.load_state_dict({**whole, "state": state})
    trainer.generator.set_state(tensors["generator"])
    trainer.step, trainer.seconds = int(progress["step"]), progress["seconds"]
    trainer.done = progress["done"]
