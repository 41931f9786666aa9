"""What is believed of the base's pose: an estimate with its covariance, carried along by odometry
and corrected by fixes (an error-state Kalman filter).

Errors are of the base's position along the map's axes, and small rotations about these (x y z roll
pitch yaw), as in geometry_msgs/PoseWithCovariance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import chdtrc, ndtri  # scipy.stats takes 0.3 s to import

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glace_ros.fusion.odometry_fusion_config import OdometryNoise


@dataclass(frozen=True, eq=False)
class PoseBelief:
    """Where the base is believed to be at one moment.

    map_from_base: the pose, metres.
    covariance_66: (6, 6) in metres and radians, axes as above.
    odom_from_base: odometry at that moment; None where it is not known: the base is then taken
        to stand still.
    """

    map_from_base: Pose
    covariance_66: NDArray[np.float64]
    odom_from_base: Pose | None

    def carried_to(self, odom_from_base: Pose | None, noise: OdometryNoise) -> PoseBelief:
        """The belief when odometry says this.

        odom_from_base: the later odometry; None where it is not known.
        noise: what the trajectory until then adds.
        """
        if self.odom_from_base is None or odom_from_base is None:
            return PoseBelief(self.map_from_base, self.covariance_66, odom_from_base)
        then_from_now = self.odom_from_base.inverse() @ odom_from_base
        map_from_base = self.map_from_base @ then_from_now
        moved_3 = map_from_base.translation_3 - self.map_from_base.translation_3
        jacobian_66 = np.eye(6)
        jacobian_66[:3, 3:] = -_cross(moved_3)  # an error of heading moves its end aside
        covariance_66 = jacobian_66 @ self.covariance_66 @ jacobian_66.T
        turned_rad = then_from_now.angle_rad(Pose.identity())
        covariance_66 = covariance_66 + noise.covariance_66(
            float(np.linalg.norm(moved_3)), turned_rad
        )
        return PoseBelief(map_from_base, covariance_66, odom_from_base)

    def corrected_by(
        self, map_from_base: Pose, covariance_66: NDArray[np.float64], noise: OdometryNoise
    ) -> PoseBelief:
        """The belief after a fix of the same instant, with its covariance (6, 6)."""
        prior_66 = self.covariance_66 + noise.shared * covariance_66
        gain_66 = np.linalg.solve((prior_66 + covariance_66).T, prior_66.T).T
        step_6 = gain_66 @ self.error_of(map_from_base)
        # Joseph's form stays positive definite whatever the rounding
        kept_66 = np.eye(6) - gain_66
        posterior_66 = kept_66 @ prior_66 @ kept_66.T + gain_66 @ covariance_66 @ gain_66.T
        turn_33 = Rotation.from_rotvec(step_6[3:]).as_matrix()
        corrected = Pose(
            turn_33 @ self.map_from_base.rotation_33, self.map_from_base.translation_3 + step_6[:3]
        )
        return PoseBelief(corrected, 0.5 * (posterior_66 + posterior_66.T), self.odom_from_base)

    def planar(self) -> PoseBelief:
        """With the pose's x, y and yaw alone."""
        return PoseBelief(self.map_from_base.planar(), self.covariance_66, self.odom_from_base)

    def error_of(self, map_from_base: Pose) -> NDArray[np.float64]:
        """(6,) metres and radians, what leads from the believed pose to this one."""
        turn_33 = map_from_base.rotation_33 @ self.map_from_base.rotation_33.T
        shift_3 = map_from_base.translation_3 - self.map_from_base.translation_3
        return np.concatenate([shift_3, Rotation.from_matrix(turn_33).as_rotvec()])

    def sigmas_to(
        self, map_from_base: Pose, covariance_66: NDArray[np.float64], freedoms: int
    ) -> float:
        """How far off a fix of the same instant is, in standard deviations of one number: those
        that are as unlikely as the Mahalanobis distance in so many degrees of freedom (3 for x, y
        and yaw).
        """
        error_6 = self.error_of(map_from_base)
        squared = float(error_6 @ np.linalg.solve(self.covariance_66 + covariance_66, error_6))
        tail = float(chdtrc(freedoms, max(squared, 0.0)))
        return _sigmas_of_tail(tail, squared)


def _sigmas_of_tail(tail: float, squared: float) -> float:
    """The number of standard deviations that a normal number exceeds, either way, so rarely."""
    if tail < 1e-260:  # soon beyond doubles: the difference is small there
        return math.sqrt(squared)
    return max(0.0, -float(ndtri(0.5 * tail)))


def _cross(vector_3: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = vector_3
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
