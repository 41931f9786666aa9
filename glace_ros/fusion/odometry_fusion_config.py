"""What can be chosen of the fusion with odometry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class OdometryNoise:
    """Standard deviations that odometry adds between two fixes: wheels that slip, a floor that is
    not even, a heading that drifts.
    """

    m_per_m: float = 0.1
    """Of the position, by metre driven."""
    m_per_rad: float = 0.02
    """Of the position, by radian turned."""
    rad_per_m: float = 0.03
    """Of the angles, by metre driven."""
    rad_per_rad: float = 0.1
    """Of the angles, by radian turned."""
    shared: float = 0.05
    """Fixes of one place err together, so this ratio of a fix's variance is new uncertainty at each
    fix: the belief never gets so certain that it no longer moves."""

    def covariance_66(self, path_m: float, turned_rad: float) -> NDArray[np.float64]:
        """(6, 6) in m^2 and rad^2, diagonal, of a trajectory so long (m, rad)."""
        sigma_m = self.m_per_m * path_m + self.m_per_rad * turned_rad
        sigma_rad = self.rad_per_m * path_m + self.rad_per_rad * turned_rad
        return np.diag(np.repeat([sigma_m**2, sigma_rad**2], 3))


@dataclass(frozen=True)
class OdometryFusionConfig:
    """Which fixes count, and for how long."""

    two_d_mode: bool = True
    """The robot drives on the map's x-y plane: a fix counts with x, y and yaw alone."""
    degraded_timeout_s: float = 2.0
    """Age of the last fix from which the state is DEGRADED."""
    lost_timeout_s: float = 10.0
    """Age of the last fix from which the state is LOST."""
    covariance_scale: float = 1.0
    """Factor on the solver's covariance."""
    min_sigma_xy_m: float = 0.02
    """No published standard deviation of a position is smaller."""
    min_sigma_yaw_rad: float = 0.005
    """No published standard deviation of an angle is smaller."""
    gate_sigma: float = 4.0
    """A fix further from the prediction is rejected; 0 = none is. Without odometry nothing is."""
    reinit_consensus: int = 3
    """So many of these in a row that agree with each other, of whichever cameras, overrule the
    prediction (the robot was kidnapped, or the prediction was wrong)."""
    odometry: OdometryNoise = field(default_factory=OdometryNoise)
    """What the trajectory since the last fix adds to the uncertainty."""
