"""Head training: the heads of a map, one after the other, as one training."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from glace_ros.mapping.training.schedule import TrainingProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint
    from glace_ros.mapping.training.map_trainer import MapTrainer
    from glace_ros.maps.coordinate_head import CoordinateHead


class TrainedHeads(NamedTuple):
    """The networks of a map.

    steps: of all of them together.
    """

    heads: list[CoordinateHead]
    steps: int


def train_heads(
    trainer_of: Callable[[int], MapTrainer],
    heads: int,
    seconds_left: Callable[[], float | None],
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
    checkpoint: TrainingCheckpoint | None = None,
    still_gains: Callable[[CoordinateHead, int], bool] | None = None,
) -> TrainedHeads:
    """Train one head after the other.

    trainer_of: makes a head's trainer when its turn comes.
    heads: how many.
    seconds_left: for all of them, asked when the first one's trainer is there, which takes a while;
    None = each for its own iterations.
    on_progress: told of all heads together.
    checkpoint: each head has one of its own; that of a head that is done lets `--resume` pass over
    it.
    still_gains: whether more training makes the head of a map better than it is after so many
    steps; see `MapTrainer.train`. Several heads take all of their time.
    Raises what `MapTrainer.train` does.
    """
    if checkpoint:
        checkpoint.forget_unless_resumed()
    trained, steps, spent_s = [], 0, 0.0
    ends: float | None = None
    for index in range(heads):
        trainer = trainer_of(index)
        own = checkpoint.of_head(index) if checkpoint else None
        now = time.perf_counter()
        if index == 0 and (seconds := seconds_left()) is not None:
            ends = now + seconds
        trainer.train(
            None if ends is None else (ends - now) / (heads - index),
            _as_part(on_progress, index, heads, steps, spent_s),
            own,
            partial(_asked_of, trainer, still_gains) if still_gains and heads == 1 else None,
        )
        if own and index + 1 < heads:
            own.save(trainer)
        trained.append(trainer.head)
        steps, spent_s = steps + trainer.step, spent_s + trainer.seconds
    return TrainedHeads(trained, steps)


def _asked_of(trainer: MapTrainer, still_gains: Callable[[CoordinateHead, int], bool]) -> bool:
    return still_gains(trainer.head, trainer.step)


def _as_part(
    on_progress: Callable[[TrainingProgress], None],
    index: int,
    heads: int,
    steps: int,
    seconds: float,
) -> Callable[[TrainingProgress], None]:
    """Tells a head's progress as that of all heads, of which so many took so long before."""

    def told(own: TrainingProgress) -> None:
        on_progress(
            own._replace(
                done=(index + own.done) / heads,
                step=steps + own.step,
                seconds=seconds + own.seconds,
            )
        )

    return told
