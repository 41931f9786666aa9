"""How a head is trained: the settings of the map trainer and of its loss."""

from __future__ import annotations

from dataclasses import dataclass, field

from glace_ros.mapping.training.reprojection_loss import ReprojectionLossConfig


@dataclass(frozen=True)
class OpenEndConfig:
    """Of a training that ends when validation no longer gains; all in steps."""

    warm_up_steps: int = 250
    """Until the learning rate is at its peak."""
    first_look: int = 250
    """When validation is looked at first: often no image of it needs the head."""
    second_look: int = 600
    """When it is looked at again: before, what it gains is within what chance gives."""
    look_growth: float = 1.5
    """At how many times the steps so far it is looked at after that: looks stay few, and what is
    trained in vain is a third."""
    cool_down: float = 0.5
    """In how many times the steps so far the rate goes to nothing then."""


@dataclass(frozen=True)
class MapTrainerConfig:
    """How a head is trained."""

    batch: int = 1024
    """Samples of a step, of all ranks together."""
    learning_rate: float = 3e-3
    """The peak of the one cycle, which begins at a 25th of it and falls to nothing."""
    weight_decay: float = 0.01
    """Of AdamW."""
    warm_up: float = 0.3
    """Ratio of the training after which the peak is reached."""
    point_preference: float = 8.0
    """How much likelier a sample with a triangulated point is sampled than another: those without
    are mostly patches that no second view found again."""
    iterations: int = 6000
    """Length of the schedule where no minutes are given."""
    open_end: OpenEndConfig = field(default_factory=OpenEndConfig)
    """Of a training that validation ends."""
    checkpoint_every_s: float = 20.0
    """Seconds between two checkpoints."""
    seed: int = 0
    """Of the network's first weights, and of all sampling."""
    loss: ReprojectionLossConfig = field(default_factory=ReprojectionLossConfig)
    """What predictions are pulled to."""
