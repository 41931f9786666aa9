"""What can be chosen of the fusion with odometry."""

from __future__ import annotations

from dataclasses import dataclass, field

from glace_ros.fusion.pose_belief import OdometryNoise


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
