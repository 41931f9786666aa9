"""Map trainer: a feature buffer and its views' global descriptors -> a coordinate head.

The steps of the paper (GLACE, CVPR 2024), and where each is:

- buffer (section 4.2): `mapping/views/feature_buffer.py`
- sampling (4.2): `batch_sampler.py`
- feature diffusion (3.2): `feature_diffusion.py`
- position decoder (3.3): `maps/coordinate_head.py`, its centres `mapping/camera_groups.py`
- loss (3.1, eq. 2 to 4): `reprojection_loss.py`
- schedule (4.2: that of ACE): AdamW, and one cycle in `schedule.py`

Where minutes are given the schedule follows a clock: a busy machine takes fewer steps, not longer.
Where validation can tell what training is still good for, minutes are only the most that it takes.
Several ranks each sample their part of a batch from their own buffers and add up their gradients.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from glace_ros.device import faster_dtype
from glace_ros.errors import MappingError
from glace_ros.mapping.training.adam_w import AdamW
from glace_ros.mapping.training.batch_parts import BatchParts
from glace_ros.mapping.training.batch_sampler import BatchSampler
from glace_ros.mapping.training.feature_diffusion import sample_descriptors
from glace_ros.mapping.training.reprojection_loss import reprojection_loss
from glace_ros.mapping.training.schedule import OpenEnd, TrainingProgress, one_cycle
from glace_ros.maps.coordinate_head import CoordinateHead, CoordinateHeadConfig, head_input
from glace_ros.ranks import Ranks

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint
    from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
    from glace_ros.mapping.views.feature_buffer import FeatureBuffer

_REPORT_STEPS = 20
"""Steps between two looks at the loss: each waits for a GPU to be done with its queue."""


class MapTrainer:
    """Trains one head.

    head: the network, at any time as good as it is by then.
    step: steps taken.
    seconds: that these took, interruptions not counted.
    done: how much of the schedule is behind, in [0, 1].
    """

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
        """Raises MappingError where a rank has no patch of the head's views.

        descriptors_vG: float32, the global descriptor of each view; None = the head has none.
        sigma: standard deviation of the feature diffusion, of each dimension.
        centres_k3: of the position decoder, in metres from the buffer's origin.
        device: where the buffer is.
        neighbours_vk: of each view, those whose descriptors stand in for its own; see
        `sample_descriptors`.
        ranks: that train the head together.
        of_view_v: the views that the head is trained on; None = all.
        """
        self.config = config
        self._neighbours_vk = None if neighbours_vk is None else neighbours_vk.to(device)
        self._buffer = buffer
        self._descriptors_vG = None if descriptors_vG is None else descriptors_vG.to(device)
        self._sigma = sigma
        self._device = device
        self._ranks = ranks = ranks or Ranks()
        self._parts = BatchParts(device)
        torch.manual_seed(config.seed)  # the same network on every rank
        self.head = CoordinateHead(head_config)
        self.head.centres_k3.copy_(centres_k3)
        self.head.to(device)
        self._generator = torch.Generator(device).manual_seed(config.seed + (ranks.rank << 32))
        self._optimizer = AdamW(self.head.parameters(), config.weight_decay)
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
        self._open_end: OpenEnd | None = None

    def train(
        self,
        seconds: float | None,
        on_progress: Callable[[TrainingProgress], None] = lambda _: None,
        checkpoint: TrainingCheckpoint | None = None,
        still_gains: Callable[[], bool] | None = None,
    ) -> CoordinateHead:
        """Go through the schedule, or from a checkpoint through the rest of it.

        seconds: that the whole schedule takes; None = config.iterations steps.
        checkpoint: of rank 0, whose clock also decides for all ranks.
        still_gains: asked, on rank 0, whether more training makes the head as it is then any
            better; training ends when it does not, and `seconds` are only the most that it takes.
            None = it takes all of them.
        Raises MappingError where the loss stops being finite. KeyboardInterrupt passes through
        after the checkpoint is written.
        """
        if still_gains and seconds is not None:
            own = self.config
            self._open_end = OpenEnd(own.open_end, own.warm_up, seconds, still_gains)
        if checkpoint:
            checkpoint.load(self)
        self._start_as_rank_0()
        start = saved_at = time.perf_counter()
        done_before, seconds_before = self.done, self.seconds
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
                    if self._open_end and self._ranks.rank == 0:
                        done = self._open_end.done(self.step, elapsed)
                    self.done = min(1.0, self._ranks.number_from_first(done))
                if self.step % _REPORT_STEPS == 0:
                    self._report(loss, inlier_ratio, on_progress)
                if checkpoint and time.perf_counter() - saved_at > self.config.checkpoint_every_s:
                    checkpoint.save(self)
                    saved_at = time.perf_counter()
        except KeyboardInterrupt:
            if checkpoint:
                checkpoint.save(self)
            raise
        return self.head

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """(tensors on the CPU, progress): all that the rest of the training depends on."""
        tensors = {f"head.{k}": v.detach().cpu() for k, v in self.head.state_dict().items()}
        tensors |= self._optimizer.tensors()
        tensors["generator"] = self._generator.get_state()
        progress: dict[str, float] = {
            "step": self.step, "seconds": self.seconds, "done": self.done
        }  # fmt: skip
        if self._open_end:
            progress["next_look"] = self._open_end.next_look
            progress["cooling_from"] = self._open_end.cooling_from
        return {k: v.contiguous() for k, v in tensors.items()}, progress

    def restore(self, tensors: dict[str, torch.Tensor], progress: dict[str, float]) -> None:
        """Go on from what `state` gave. Raises KeyError, TypeError, ValueError or RuntimeError for
        that of another network.
        """
        self.head.load_state_dict({k[5:]: v for k, v in tensors.items() if k.startswith("head.")})
        self._optimizer.load(tensors)
        self._generator.set_state(tensors["generator"])
        self.step, self.seconds = int(progress["step"]), progress["seconds"]
        self.done = progress["done"]
        if self._open_end and "next_look" in progress:
            self._open_end.next_look = int(progress["next_look"])
            self._open_end.cooling_from = int(progress["cooling_from"])

    def _start_as_rank_0(self) -> None:
        """Only rank 0 has the checkpoint; the others sample what it does not."""
        if self._ranks.count > 1:
            self.restore(*self._ranks.from_first(self.state()))
        if self._ranks.rank > 0:
            seed = self.config.seed + (self._ranks.rank << 32) + self.step
            self._generator.manual_seed(seed)

    def _take_step(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean loss, inlier ratio) of the batch."""
        # schedule: the learning rate of one cycle; the loss's clamp follows the same progress
        rate = one_cycle(self.done, self.config.learning_rate, self.config.warm_up)
        # sampling: several patches of the same point in a batch triangulate it (section 4.2)
        index_n = self._draw()
        # feature diffusion: new noise in each step, so that the network cannot tell co-visible
        # views apart by their descriptors (section 3.2)
        descriptors_nG = None
        if self._descriptors_vG is not None:
            view_n = self._buffer.samples.view_n[index_n]
            descriptors_nG = sample_descriptors(
                self._descriptors_vG, view_n, self._sigma, self._neighbours_vk, self._generator
            )
        loss, inlier_ratio = self._parts.fitting(
            len(index_n), lambda parts: self._gradients(parts, index_n, descriptors_nG)
        )
        self._ranks.sum_gradients(self.head.parameters())
        self._optimizer.step(rate)
        return loss, inlier_ratio

    def _gradients(
        self, parts: list[slice], index_n: torch.Tensor, descriptors_nG: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean loss, inlier ratio) of this rank's samples, whose gradients are set to their part
        in those of the whole batch.
        """
        self.head.zero_grad(set_to_none=True)
        loss, inlier_ratio = torch.zeros(2, device=self._device)
        for part in parts:
            part_loss, part_inliers = self._loss(
                index_n[part], None if descriptors_nG is None else descriptors_nG[part]
            )
            count = len(index_n[part])
            (part_loss * (count / self.config.batch)).backward()  # type: ignore[no-untyped-call]
            loss += part_loss.detach() * (count / len(index_n))
            inlier_ratio += part_inliers * (count / len(index_n))
        return loss, inlier_ratio

    def _loss(
        self, index_n: torch.Tensor, descriptors_nG: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # global and local encoding side by side (section 3.2, figure 2)
        input_nC = head_input(
            self._buffer.samples.descriptors_nC[index_n], descriptors_nG,
            scaled=self.head.config.scaled_inputs,
        )  # fmt: skip
        half = self._dtype == torch.bfloat16
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=half):
            predicted_n3 = self.head(input_nC)  # the position decoder is its last layer (eq. 8)
        # loss: reprojection under a clamp that tightens (eq. 2 to 4)
        observed = self._buffer.observations(index_n)
        return reprojection_loss(predicted_n3, observed, self.done, self.config.loss)

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
        done = self._open_end.ratio(self.step) if self._open_end else self.done
        on_progress(TrainingProgress(done, self.step, value, float(inlier_ratio), self.seconds))
