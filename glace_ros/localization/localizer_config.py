"""What can be chosen of a localizer."""

from __future__ import annotations

from dataclasses import dataclass, field

from glace_ros.localization.acceptance import AcceptanceConfig
from glace_ros.localization.landmark_refinement import LandmarkRefinementConfig
from glace_ros.localization.place_candidates import PlaceConfig


@dataclass(frozen=True)
class LocalizerConfig:
    """How an image is localized.

    points: local features of an image that are regressed, best first.
    ransac_px: px in the encoded image, from which a point is no inlier.
    max_iterations: of RANSAC; bounds the latency.
    seed: of RANSAC.
    acceptance: what is rejected.
    places: how an image that may be of several places is tried in each; None = with its own
        global descriptor alone.
    refinement: by the map's landmarks; None = the pose of the coordinate head alone.
    """

    points: int = 1000
    ransac_px: float = 10.0
    max_iterations: int = 2000
    seed: int = 0
    acceptance: AcceptanceConfig = field(default_factory=AcceptanceConfig)
    places: PlaceConfig | None = field(default_factory=PlaceConfig)
    refinement: LandmarkRefinementConfig | None = field(default_factory=LandmarkRefinementConfig)
