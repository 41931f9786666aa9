"""Schedule: where a training stands, and the learning rate there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from glace_ros.mapping.training.map_trainer_config import OpenEndConfig


class TrainingProgress(NamedTuple):
    """Where training stands.

    done: in [0, 1]; of a training with an open end, the part of what it takes at least.
    step: steps taken.
    loss: mean of the last step's batch.
    inlier_ratio: of that batch, predictions within 10 px.
    seconds: that training took so far, interruptions not counted.
    """

    done: float
    step: int
    loss: float
    inlier_ratio: float
    seconds: float


def one_cycle(progress: float, peak: float, warm_up: float) -> float:
    """Learning rate at a point of the training: peak / 25 -> peak -> peak / 250,000, by cosines.

    progress: in [0, 1].
    peak: the highest rate.
    warm_up: the progress at which it is reached.
    """
    # not torch's OneCycleLR: that counts steps, whose number a clock decides here, and its state
    # would be one thing more in a checkpoint

    def cosine(start: float, end: float, fraction: float) -> float:
        return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * fraction))

    if progress < warm_up:
        return cosine(peak / 25, peak, progress / warm_up)
    return cosine(peak, peak / 250_000, (progress - warm_up) / (1.0 - warm_up))


@dataclass
class OpenEnd:
    """A training whose end is not set: warm up, stay at the peak as long as validation gains, cool
    down. The schedule of Haegele et al., "Scaling laws and compute-optimal training beyond fixed
    training durations", NeurIPS 2024; a map is good only once it has cooled down.

    config: of the steps.
    warm_up: how much of a one cycle is behind at its peak: training stands there while it stays.
    seconds: that all of it takes at most.
    still_gains: looks at what was trained so far.
    next_look: step at which it is asked next.
    cooling_from: step at which cooling down began; 0 = not yet.
    cooling_at_s: when that was, of this run.
    """

    config: OpenEndConfig
    warm_up: float
    seconds: float
    still_gains: Callable[[], bool]
    next_look: int = 0
    cooling_from: int = 0
    cooling_at_s: float = 0.0

    def __post_init__(self) -> None:
        self.next_look = self.config.first_look

    def done(self, step: int, elapsed_s: float) -> float:
        """How much of a one cycle is behind after a step, in [0, 1].

        step: steps taken, those of interrupted runs too.
        elapsed_s: since this run began to train.
        """
        if not self.cooling_from:
            # cooled down from here, training ends in time
            ends = elapsed_s * (1.0 + self.config.cool_down) > self.seconds
            if not ends and step >= self.next_look:
                ends = not self.still_gains()
                self.next_look = max(
                    self.config.second_look, math.ceil(self.config.look_growth * step)
                )
            if not ends:
                return self.warm_up * min(1.0, step / self.config.warm_up_steps)
            self.cooling_from, self.cooling_at_s = step, elapsed_s
        by_step = (step - self.cooling_from) / (self.config.cool_down * self.cooling_from)
        by_clock = (elapsed_s - self.cooling_at_s) / max(self.seconds - self.cooling_at_s, 1e-9)
        cooled = min(1.0, max(by_step, by_clock))
        return self.warm_up + (1.0 - self.warm_up) * cooled

    def ratio(self, step: int) -> float:
        """The part, in [0, 1], of what training takes at least."""
        least = (1.0 + self.config.cool_down) * (self.cooling_from or self.next_look)
        return min(1.0, step / least)
