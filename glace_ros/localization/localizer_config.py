"""What can be chosen of a localizer.

Read before torch is imported: the live node's parameters have their defaults here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from glace_ros.geometry.places import APART_M
from glace_ros.localization.acceptance import AcceptanceConfig


@dataclass(frozen=True)
class PlaceConfig:
    """How an image that may be of several places is tried in each."""

    most: int = 3
    """Places tried."""
    apart_m: float = APART_M
    """Nearer views are of one place."""
    margin: float = 0.25
    """Of the cosine, within which a view is as similar as the best one."""
    certain_margin: float = 0.6
    """Beyond which there is no doubt between places: doubtful images stay under 0.4
    (docs/experiments/2026-11-23-ensembles.md, "When one head may predict first")."""
    patches: int = 200
    """Local features of the image, best first, that vote by landmarks."""
    own: float = 0.5
    """Weight of the image's global descriptor in that of a candidate, which else is the view's."""


@dataclass(frozen=True)
class LandmarkRefinementConfig:
    """How a pose is made exact. All pixels are those of the encoded image.

    How exact hardly depends on radii and cosines: docs/experiments/2026-11-22-landmarks.md.
    """

    radii_px: tuple[float, ...] = (48.0, 12.0)
    """How far from its projection a landmark is looked for, round by round."""
    patches: tuple[int, ...] = (400, 1000)
    """How many of the image's local features, best first, are matched in each round."""
    wide_px: float = 80.0
    """In place of the first radius where that finds too few."""
    begins_near: bool = False
    """The pose to begin with is right to some pixels: there is neither RANSAC nor a wider ring."""
    min_cosine: float = 0.7
    """Of descriptors that are matched."""
    inlier_px: float = 3.0
    """From which a landmark does not agree with the pose."""
    refine_px: float = 1.0
    """Scale of the Cauchy loss of the last refinement."""
    min_inliers: int = 30
    """With fewer the pose of the head stands."""
    verifying_inliers: int = 60
    """So many verify a pose whatever the head's points say: on the office's map, refinements from a
    wrong place end with at most 28 (docs/experiments/2026-11-22-wrong-poses.md)."""
    most_oblique_deg: float = 60.0
    """A keypoint seen from farther beside where the mapping cameras stood looks another."""
    max_iterations: int = 500
    """Of RANSAC."""
    seed: int = 0
    """Of RANSAC, and of the half samples."""
    half_samples: int = 12
    """Halves of the matches that a pose is solved from again, where no templates make it exact."""


@dataclass(frozen=True)
class TemplateConfig:
    """How the landmarks' templates make a pose exact. All pixels are those of the encoded image."""

    most_oblique_deg: float = 45.0
    """From where the mapping cameras saw a landmark to where this one does: a picture that is
    slanted more shows little."""
    min_likeness: float = 0.85
    """Normalised cross-correlation of an aligned template."""
    most_moved_px: float = 5.0
    """From a landmark's projection to where its template is aligned."""
    inlier_px: float = 2.5
    """From which a template does not agree with the pose."""
    refine_px: float = 1.0
    """Scale of the Cauchy loss of the refinement."""
    pixel_sigma: float = 0.4
    """Standard deviation of aligned templates about their pose: what odometry says of the camera's
    turning is worth as much beside them as its own standard deviation says."""
    most: int = 800
    """Templates that are aligned, evenly of those in view: more cost time and change little."""
    min_inliers: int = 30
    """With fewer the pose stays as it is."""


@dataclass(frozen=True)
class LandmarkSearchConfig:
    """How a pose is looked for among all landmarks."""

    min_cosine: float = 0.7
    """Of descriptors that match."""
    ransac_px: float = 6.0
    """In the encoded image, from which a landmark does not agree with the pose."""
    most_oblique_deg: float = 80.0
    """As of LandmarkRefinementConfig: whatever is seen here was found whatever its direction."""
    first_features: int = 300
    """Of the image, the best, that are looked for before a head is asked."""
    first_matches: int = 30
    """So many of these agree, or the heads are asked."""
    first_landmarks: int = 80
    """With fewer, as of a view from beside, they are looked for in a wider ring, too."""
    first_twins: float = 0.1
    """Ratio of them that look like others elsewhere, up to which no other place is thought of: of
    right poses of the office 0.09 at most, in rooms that look alike 0.45 in the median
    (docs/experiments/2026-11-30-landmarks-first.md, 2026-11-29-seen-landmarks.md)."""
    most_searched_first: int = 40_000
    """Landmarks; among more a search takes longer than asking a head."""
    verifying_matches: int = 60
    """So many different landmarks agree by chance nowhere, found among all of the map: at most 17
    do in images of elsewhere."""
    verifying_landmarks: int = 40
    """Then so many verify the pose, where a pose that had them looked for needs more."""
    max_sigma_m: float = 0.1
    """As of AcceptanceConfig, but narrower: from beside the mapped way, poses by landmarks that few
    views saw were off by up to 0.8 m, and said 0.14 m or more of themselves."""
    apart_m: float = APART_M
    """From where on landmarks lie in another place, and may show a second pose there."""
    twin_cosine: float = 0.9
    """Of two landmarks that look the same."""
    most_twins: float = 0.3
    """Ratio of the landmarks of a pose that look like others elsewhere, from which on a pose is
    looked for there too."""
    most_unfound_twins: float = 0.75
    """The same, from which on the pose is ambiguous though none was found there: the image shows
    nothing of its own. Of right poses in rooms that look alike 0.45 are like that in the median and
    0.77 at most (110 images), of wrong ones 0.8 to 0.97
    (docs/experiments/2026-11-29-seen-landmarks.md)."""


@dataclass(frozen=True)
class LocalizerConfig:
    """How an image is localized."""

    points: int = 1000
    """Local features of an image that points are predicted of, best first."""
    first_points: int = 400
    """Of these, the best, as many as a pose is solved from that landmarks then verify; where they
    do not, points are predicted of all, and all count."""
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
    search: LandmarkSearchConfig | None = field(default_factory=LandmarkSearchConfig)
    """Among all landmarks, where no pose so far is verified by them; None = never."""
    refinement: LandmarkRefinementConfig | None = field(default_factory=LandmarkRefinementConfig)
    """By the map's landmarks; None = the pose of the coordinate head alone."""
    templates: TemplateConfig | None = field(default_factory=TemplateConfig)
    """By the pictures that the map keeps of landmarks; None = by their keypoints alone."""
