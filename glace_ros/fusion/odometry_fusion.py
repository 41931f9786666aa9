"""Fixes and odometry together: where the odometry frame lies in the map, how certain that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.fusion.odometry_fusion_config import OdometryFusionConfig
from glace_ros.fusion.pose_belief import PoseBelief
from glace_ros.geometry.covariance import is_covariance, planar_covariance, scaled_and_floored
from glace_ros.rejection import Rejection, RejectionCode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose

LARGEST_COVARIANCE = 1e3  # m^2 or rad^2; beyond it a consumer's filter loses its footing
LARGEST_COORDINATE_M = 1e8  # Earth-fixed frames need 1e7
LARGEST_TILT_RAD = math.radians(45.0)  # of the base; beyond it x, y and yaw say nothing


@dataclass(frozen=True, eq=False)
class Fix:
    """An accepted pose, as it is published.

    stamp_ns: exposure time.
    map_from_base: planar in two_d_mode.
    covariance_66: float64, symmetric, positive definite, of the base's position (x y z, metres)
        and of small rotations about the map's axes (roll pitch yaw, radians).
    map_from_odom: of all fixes so far; None where the odometry at stamp_ns is not known.
    jumped_m: how far it was from the prediction where a consensus overruled that; else None.
    """

    stamp_ns: int
    map_from_base: Pose
    covariance_66: NDArray[np.float64]
    map_from_odom: Pose | None
    jumped_m: float | None = None


class OdometryFusion:
    """Turns poses of the past into `map_from_odom`, which holds now.

    Between two fixes the robot's pose is map_from_odom @ odom_from_base(now). A fix is as old as
    its image, so it meets the belief that the odometry of that moment gives, never the latest. With
    several cameras a fix may be older than the last one: odometry then carries it to the exposure
    of that one, and what the trajectory between adds to its covariance makes it count for less.
    """

    def __init__(self, config: OdometryFusionConfig | None = None) -> None:
        self._config = config or OdometryFusionConfig()
        self.clear()

    def clear(self) -> None:
        """Forgets every fix: UNLOCALIZED again, without a map_from_odom."""
        self._last_fix: Fix | None = None
        self._map_from_odom: Pose | None = None
        self._belief: PoseBelief | None = None
        self._outliers: list[PoseBelief] = []
        self._stamps_ns: dict[str, int] = {}  # of the newest pose of each camera that took part

    @property
    def last_fix(self) -> Fix | None:
        """The accepted fix since `clear` that was exposed last."""
        return self._last_fix

    @property
    def map_from_odom(self) -> Pose | None:
        """None before the first fix with odometry: there is no transform to publish then."""
        return self._map_from_odom

    def expect(
        self, map_from_base: Pose, covariance_66: NDArray[np.float64], odom_from_base: Pose | None
    ) -> Rejection | None:
        """Somebody says where the base is. The next fixes are measured by that, where there is
        odometry; so many as `reinit_consensus` that agree on another place, those from before this
        call included, overrule it. It gives no transform by itself.
        The result is the rejection where no base can be there; it changes nothing then.

        map_from_base, covariance_66: axes as in `Fix`.
        odom_from_base: of the same moment; None where it is not known: the base is then taken
            to stand still until the next fix.
        """
        said = self._as_belief(map_from_base, covariance_66, odom_from_base, 1.0)
        if isinstance(said, Rejection):
            return said
        self._belief = said
        return None

    def fix(
        self,
        stamp_ns: int,
        map_from_base: Pose,
        covariance_66: NDArray[np.float64],
        odom_from_base: Pose | None,
        camera: str = "",
        *,
        ambiguous: bool = False,
    ) -> Fix | Rejection:
        """Takes a pose of the base. One that cannot be used changes nothing; one that is too far
        from the prediction counts toward a consensus.

        stamp_ns: exposure time; increases for each camera by itself.
        map_from_base: the pose at stamp_ns.
        covariance_66: of it, axes as in `Fix`.
        odom_from_base: odometry at stamp_ns; None where no map_from_odom is needed.
        camera: whose image it is of.
        ambiguous: the image may as well be of another place: the pose confirms the prediction,
            it begins nothing and overrules nothing.
        """
        late = self._last_fix is not None and stamp_ns <= self._last_fix.stamp_ns
        if stamp_ns <= self._stamps_ns.get(camera, stamp_ns - 1):
            return Rejection(RejectionCode.NOT_NEWER_THAN_CAMERA)
        if late and odom_from_base is None:
            return Rejection(RejectionCode.NOT_NEWER_THAN_FIX)
        measured = self._as_measured(map_from_base, covariance_66, odom_from_base)
        if isinstance(measured, Rejection):
            return measured
        self._stamps_ns[camera] = stamp_ns
        here = self._carried_forward(measured) if late else measured
        believed, jumped_m = self._fused(here, ambiguous=ambiguous)
        if isinstance(believed, Rejection):
            return believed
        self._belief, map_from_odom = believed, None
        if believed.odom_from_base is not None:
            self._map_from_odom = believed.map_from_base @ believed.odom_from_base.inverse()
            map_from_odom = self._map_from_odom
        fix = Fix(stamp_ns, measured.map_from_base, measured.covariance_66, map_from_odom, jumped_m)
        if not late:
            self._last_fix = fix
        return fix

    def _as_measured(
        self, map_from_base: Pose, covariance_66: NDArray[np.float64], odom_from_base: Pose | None
    ) -> PoseBelief | Rejection:
        """What the camera says, as it counts here; a rejection where that is of no use."""
        if not is_covariance(covariance_66):
            return Rejection(RejectionCode.INVALID_COVARIANCE)
        scale = self._config.covariance_scale
        measured = self._as_belief(map_from_base, covariance_66, odom_from_base, scale)
        if isinstance(measured, PoseBelief):
            covariance_66 = measured.covariance_66
            if np.abs(covariance_66).max() > LARGEST_COVARIANCE:
                sigma_m, sigma_rad = np.sqrt(covariance_66.diagonal().reshape(2, 3).max(axis=1))
                return Rejection(
                    RejectionCode.LARGE_COVARIANCE,
                    sigma_m=float(sigma_m), sigma_rad=float(sigma_rad),
                )  # fmt: skip
        return measured

    def _carried_forward(self, measured: PoseBelief) -> PoseBelief:
        """The pose as if it had been measured when the last fix was."""
        if self._belief is None or self._belief.odom_from_base is None:
            return measured  # what is believed since then is a place that somebody named
        return self._planar(measured.carried_to(self._belief.odom_from_base, self._config.odometry))

    def _fused(
        self, measured: PoseBelief, *, ambiguous: bool
    ) -> tuple[PoseBelief | Rejection, float | None]:
        """What is to be believed after a fix, and how far that is from what was, if overruled."""
        config = self._config
        if self._belief is None or measured.odom_from_base is None:
            return (Rejection(RejectionCode.AMBIGUOUS) if ambiguous else measured), None
        predicted = self._belief.carried_to(measured.odom_from_base, config.odometry)
        off = self._sigmas(predicted, measured)
        if config.gate_sigma == 0.0 or off <= config.gate_sigma:
            self._outliers = []
            fix = measured.map_from_base, measured.covariance_66
            corrected = predicted.corrected_by(*fix, config.odometry)
            return self._planar(corrected), None
        if ambiguous:
            return Rejection(RejectionCode.AMBIGUOUS_OUTSIDE_GATE, sigmas=off), None
        carried = [
            outlier.carried_to(measured.odom_from_base, config.odometry)
            for outlier in self._outliers
        ]
        agreeing = [each for each in carried if self._sigmas(each, measured) <= config.gate_sigma]
        self._outliers = [*agreeing, measured][-config.reinit_consensus :]
        if len(self._outliers) >= config.reinit_consensus:
            jumped_m = predicted.map_from_base.distance_m(measured.map_from_base)
            return measured, jumped_m
        return Rejection(
            RejectionCode.OUTSIDE_GATE, sigmas=off,
            agreeing=len(self._outliers), needed_agreeing=config.reinit_consensus,
        ), None  # fmt: skip

    def _as_belief(
        self,
        map_from_base: Pose,
        covariance_66: NDArray[np.float64],
        odom_from_base: Pose | None,
        scale: float,
    ) -> PoseBelief | Rejection:
        """What is given of a pose, as it counts here; a rejection where no base can be there."""
        if not np.abs(map_from_base.translation_3).max() < LARGEST_COORDINATE_M:
            return Rejection(RejectionCode.OFF_THE_EARTH)
        config = self._config
        if config.two_d_mode:
            tilt_rad = math.acos(min(1.0, max(-1.0, float(map_from_base.rotation_33[2, 2]))))
            if tilt_rad > LARGEST_TILT_RAD:
                return Rejection(RejectionCode.TILTED_BASE, tilt_deg=math.degrees(tilt_rad))
            covariance_66 = planar_covariance(covariance_66, map_from_base)
            map_from_base = map_from_base.planar()
        covariance_66 = scaled_and_floored(
            covariance_66, scale, config.min_sigma_xy_m, config.min_sigma_yaw_rad
        )
        return PoseBelief(map_from_base, covariance_66, odom_from_base)

    def _sigmas(self, believed: PoseBelief, measured: PoseBelief) -> float:
        freedoms = 3 if self._config.two_d_mode else 6
        return believed.sigmas_to(measured.map_from_base, measured.covariance_66, freedoms)

    def _planar(self, belief: PoseBelief) -> PoseBelief:
        """Odometry that tilts a little does not tilt a robot on a flat floor."""
        return belief.planar() if self._config.two_d_mode else belief

    def seconds_since_fix(self, now_ns: int) -> float:
        """From the last fix's exposure until now_ns, at least 0; NaN before the first fix."""
        if self._last_fix is None:
            return math.nan
        return max(0.0, (now_ns - self._last_fix.stamp_ns) * 1e-9)

    def state(self, now_ns: int) -> LocalizationState:
        """How far the last fix can be trusted at now_ns (the clock that stamps the images)."""
        if self._last_fix is None:
            return LocalizationState.UNLOCALIZED
        age_s = self.seconds_since_fix(now_ns)
        if age_s >= self._config.lost_timeout_s:
            return LocalizationState.LOST
        if age_s >= self._config.degraded_timeout_s:
            return LocalizationState.DEGRADED
        return LocalizationState.TRACKING
