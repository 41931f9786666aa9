"""What can be chosen of an image window. Read before torch is imported, as localizer_config.py."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from glace_ros.fusion.odometry_fusion_config import OdometryNoise


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


@dataclass(frozen=True)
class WindowConfig:
    """When several images together give a pose."""

    window: ImageWindowConfig = field(default_factory=ImageWindowConfig)
    """Which images."""
    places: int = 4
    """That the images together are tried in, those with most agreement first."""
    verifying_landmarks: int = 30
    """So many show that an image sees a place where odometry says that it does; alone, an image
    needs more (`LandmarkRefinementConfig.verifying_inliers`)."""
    landmarks: int = 100
    """So many of all images together, where none of them has a pose there by itself."""
    points: int = 300
    """Of each image, best first, from which a pose is solved where no image has one by itself."""
    gate_sigma: float = 4.0
    """By so much an image may differ from what the newest one and odometry say."""
    same_m: float = 0.5
    """Nearer poses of the newest image, turned by less than same_rad, are one hypothesis."""
    same_rad: float = 0.35
    """As same_m."""
    most_second_best: tuple[float, ...] = (0.6, 0.65, 0.7, 0.75, 0.85, 0.9)
    """Agreement of the second-best hypothesis, as a ratio of the best one's, from which on the
    images do not tell which it is: where one supports the best, two, ..., the last one for more.
    Less where the map asks for it (`max_rival`, `window_rivals`). It is less of one image than
    `max_rival`: while it is not known where the robot is, the next ones can be waited for."""
    similarity_weight: float = 1.0
    """Of an image's similarity to a place, beside the landmarks that it sees there (`agreement` in
    acceptance.py). It is worth more than of one image, as its errors even out."""
    most_since: float = 1.25
    """The same of the newest images alone, however few: where another place has more, the robot may
    have been carried there."""
    odometry: OdometryNoise = field(default_factory=OdometryNoise)
    """What the way between two images adds to the uncertainty."""
