"""What can be chosen of a localizer."""

from __future__ import annotations

from dataclasses import dataclass, field

from glace_ros.localization.acceptance import AcceptanceConfig
from glace_ros.localization.landmark_refinement import LandmarkRefinementConfig
from glace_ros.localization.place_candidates import PlaceConfig


@dataclass(frozen=True)
class LocalizerConfig:
    """How an image is localized."""

    points: int = 1000
    """Local features of an image that points are predicted of, best first."""
    ransac_px: float = 10.0
    """In the encoded image, from which a point is no inlier."""
    max_iterations: int = 2000
    """Of RANSAC; bounds the latency."""
    seed: int = 0
    """Of RANSAC."""
    acceptance: AcceptanceConfig = field(default_factory=AcceptanceConfig)
    """What is rejected."""
    places: PlaceConfig | None = field(default_factory=PlaceConfig)
    """How an image that may be of several places is tried in each; None = with its own global
    descriptor alone."""
    refinement: LandmarkRefinementConfig | None = field(default_factory=LandmarkRefinementConfig)
    """By the map's landmarks; None = the pose of the coordinate head alone."""
