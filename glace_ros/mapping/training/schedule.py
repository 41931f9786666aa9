"""Schedule: where a training stands, and the learning rate there."""

from __future__ import annotations

import math
from typing import NamedTuple


class TrainingProgress(NamedTuple):
    """Where training stands.

    done: in [0, 1].
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
