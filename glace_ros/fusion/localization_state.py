"""How well it is known where the robot is."""

from __future__ import annotations

from enum import IntEnum


class LocalizationState(IntEnum):
    """The numbers of glace_ros/msg/LocalizationStatus. ERROR is not for the fusion to say."""

    UNLOCALIZED = 0
    TRACKING = 1
    DEGRADED = 2
    LOST = 3
    ERROR = 4
