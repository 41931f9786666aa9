"""What can be chosen of an image window. Read before torch is imported, as localizer_config.py."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageWindowConfig:
    """Which images are kept."""

    images: int = 8
    """At most; 0 or 1: each image is looked at alone."""
    max_age_s: float = 3.0
    """Of an image, by the newest one's stamp."""
    max_distance_m: float = 1.0
    """Of way, and odometry's error with it, from an image to the newest one."""
    min_way_m: float = 0.05
    """Two images of a camera that are nearer to each other, and turned less, show the same: the
    newer one takes the place of the older."""
    min_turn_rad: float = math.radians(4.0)
    """As min_way_m."""
    max_speed_mps: float = 3.0
    """Where odometry moves faster between two images, it has jumped."""
    max_turn_radps: float = 4.0
    """The same of turns."""
