"""How poses are refined: settings of all its steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class OdometryNoiseModel:
    """How far odometry drifts, before a recording has shown its own: variances grow with the way,
    where a way is metres driven and `turn_m` metres for each radian turned.
    """

    rotation_rad: float = 0.0175
    """Standard deviation of a rotation after one metre of way: 1 degree."""
    translation_m: float = 0.02
    """The same of the position."""
    turn_m: float = 0.5
    """Metres of way that a turn by one radian counts as."""
    least_rotation_rad: float = 0.0005
    """Of neighbouring views, however near: stamps and interpolation."""
    least_translation_m: float = 0.001
    """The same of the position."""
    planar_tilt_rad: float = 0.005
    """Roll and pitch of a robot whose recorded poses are planar: floors and springs."""
    planar_height_m: float = 0.01
    """Its height."""
    least_scale: float = 0.02
    """Recordings are never believed to be better than this ratio of the above."""
    most_scale: float = 10.0
    """Nor worse."""


@dataclass(frozen=True)
class KeypointConfig:
    """One kind of keypoints: which match, and how precise they are."""

    count: int = 500
    """Of each view, best first."""
    most: int = 3_000_000
    """In all: bounds the memory; of a longer recording each view has fewer."""
    min_cosine: float = 0.75
    """Of two descriptors that may be the same."""
    observations: int = 100
    """Adjusted of each view at least, where there are as many; longest tracks first."""
    most_observations: int = 600_000
    """In all: bounds the memory; a longer recording has fewer of each view."""
    sigma_px: float = 8.0
    """Standard deviation, much more than the one pixel that they scatter by: what those of a view
    have in common (rolling shutter, calibration) does not average out."""
    huber: float = 0.25
    """Standard deviations from which an observation counts less: 2 px."""


PRECISE = KeypointConfig(
    count=1000, min_cosine=0.88, observations=200, sigma_px=2.0, huber=0.5
)  # fmt: skip
"""SIFT's, which scatter by half a pixel."""
READOUT = KeypointConfig(observations=60, sigma_px=1.0, huber=2.0)
"""Where the rolling shutter is looked for: neighbouring views have most of what goes wrong in
common."""


@dataclass(frozen=True)
class MatchingConfig:
    """Which pairs of views are matched, and what geometry says of their matches."""

    along_way: int = 6
    """Views that each view is matched to among those after it in its stretch."""
    along_epipolar_px: float = 8.0
    """From a match along the way to its epipolar line, by odometry."""
    epipolar_px: tuple[float, ...] = (15.0, 6.0, 4.0)
    """From a match to its epipolar line, by the poses known then: after the pose graph, after the
    bundle adjustments."""
    precise_epipolar_px: tuple[float, ...] = (6.0, 4.0, 4.0)
    """The same, with precise keypoints in after those adjustments."""
    neighbours: int = 20
    """Views near each other by the poses, in whatever drive, that are matched."""
    distance_m: float = 2.5
    """How far apart such views are at most."""
    angle_deg: float = 60.0
    """And their viewing directions."""


@dataclass(frozen=True)
class LoopConfig:
    """When a view sees what another one, much earlier or of another drive, saw."""

    candidates: int = 16
    """Views with the most similar global descriptors that each view is held against."""
    apart: int = 10
    """Views of one drive nearer to each other in its order are along the way, no loop."""
    min_inliers: int = 30
    """Keypoints that agree with the pose of one view among the other's points."""
    reprojection_px: float = 4.0
    """Within which they agree."""
    translation_m: float = 0.06
    """Standard deviation of a loop's translation."""
    translation_ratio: float = 0.05
    """And of each metre between the two views."""
    rotation_rad: float = 0.02
    """Of its rotation."""
    most_drift_m: float = 0.5
    """A loop that contradicts odometry by more, and by more than the ratio of the way between its
    views, is between places that look alike."""
    most_drift_ratio: float = 0.05
    """Of the way: wheels that slip, with yaw that drifts, stay below."""
    min_joining: int = 8
    """Loops that have to agree before another drive is joined to those before it."""


@dataclass(frozen=True)
class BundleConfig:
    """How views, points and the camera are adjusted together."""

    min_views: int = 3
    """Of a track."""
    most_views: int = 12
    """Of a track, evenly from its first to its last."""
    min_parallax_deg: float = 1.0
    """Of a track's rays."""
    iterations: int = 8
    """Of Levenberg-Marquardt, at most."""
    still_m: float = 0.002
    """Poses that move less than this, the median, from one adjustment to the next are done."""
    focal_ratio: float = 0.02
    """Standard deviation of the recorded focal length."""
    oblong_ratio: float = 0.001
    """Of fx by fy: pixels are square, but for a little. A robot on a floor, which neither climbs
    nor nods, could not tell a wrong fy from rooms of another height.
    """
    centre_px: float = 3.0
    """Of the recorded principal point."""
    radial: float = 0.1
    """Of what is left of the first radial distortion."""
    mount_rad: float = 0.05
    """Of the recorded mount of the camera: 3 degrees about each axis."""
    mount_m: float = 0.05
    """Of its position."""
    stamp_s: float = 0.1
    """Of what is constant between the stamps of images and of odometry."""

    @property
    def mount_sigmas_7(self) -> NDArray[np.float64]:
        """Of rotation, translation and stamps."""
        return np.array([*[self.mount_rad] * 3, *[self.mount_m] * 3, self.stamp_s])


@dataclass(frozen=True)
class PoseRefinementConfig:
    """All of it."""

    noise: OdometryNoiseModel = field(default_factory=OdometryNoiseModel)
    """Of odometry."""
    keypoints: KeypointConfig = field(default_factory=KeypointConfig)
    """Of the local encoder, which match from afar: they find loops."""
    precise: KeypointConfig = PRECISE
    """Which bundle adjustment ends with."""
    beside_precise: int = 40
    """Observations of the local encoder's keypoints there, of each view: they hold together what
    precise keypoints do not match, such as drives in other light."""
    readout: KeypointConfig = READOUT
    """Where the rolling shutter is looked for."""
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    """Of all of them."""
    loops: LoopConfig = field(default_factory=LoopConfig)
    """Between views that are not neighbours along the way."""
    bundle: BundleConfig = field(default_factory=BundleConfig)
    """Of the bundle adjustments."""
    calibrate: bool = False
    """Whether the map is made with the mount that is found."""
