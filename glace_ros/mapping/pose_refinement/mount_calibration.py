"""What all odometry edges have in common when they are wrong: the camera's mount and its clock.

A mount that is recorded wrongly, or images that are stamped late, bend every motion that odometry
says of the camera, in a way that its turns and its speed tell: seven numbers for a whole recording.
They are taken from the joint system of a bundle adjustment, in which poses, points and the lens
answer, and so is how well they are known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.odometry_edges import adjoint_66

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.odometry_edges import OdometryEdge
    from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

_SIGMAS = 4.0
"""From as many standard deviations on something is significant."""
_SAID_RAD, _SAID_M, _SAID_S = np.radians(0.3), 0.01, 0.005
"""Smaller ones are not worth a word."""


class Calibration(NamedTuple):
    """What a recording says of its camera's mount and stamps.

    correction: recorded_from_true: base_from_camera is the recorded one times this.
    time_offset_s: odometry at stamp + offset is that of the exposure; negative: stamps are late.
    sigmas_7: standard deviations: rotation (rad), translation (m), about the camera's axes; time
    (s).
    """

    correction: Pose
    time_offset_s: float
    sigmas_7: NDArray[np.float64]

    @property
    def values_7(self) -> NDArray[np.float64]:
        """As the standard deviations."""
        correction = self.correction
        return np.concatenate(
            [correction.rotation_vector_3, correction.translation_3, [self.time_offset_s]]
        )

    @property
    def significant_3(self) -> tuple[bool, bool, bool]:
        """Whether rotation, translation and time are wrong, more than chance explains."""
        values_7 = self.values_7
        sure_7 = np.where(np.abs(values_7) > _SIGMAS * self.sigmas_7, values_7, 0.0)
        return (
            bool(np.linalg.norm(sure_7[:3]) > _SAID_RAD),
            bool(np.linalg.norm(sure_7[3:6]) > _SAID_M),
            bool(abs(sure_7[6]) > _SAID_S),
        )

    def changed(self, change_7: NDArray[np.float64], sigmas_7: NDArray[np.float64]) -> Calibration:
        """After a step of the optimisation."""
        step = motion(change_7[:6])
        return Calibration(self.correction @ step, self.time_offset_s + change_7[6], sigmas_7)

    def edge(self, edge: OdometryEdge, views: Sequence[RefinementView]) -> OdometryEdge:
        """A recorded edge as it is with this mount and these stamps."""
        before, after = (
            motion(_twist_6(views[view]) * self.time_offset_s) for view in (edge.first, edge.second)
        )
        first_from_second = before.inverse() @ edge.first_from_second @ after
        correction = self.correction
        return replace(
            edge,
            first_from_second=correction.inverse() @ first_from_second @ correction,
            base_from_camera=edge.base_from_camera @ correction,
        )

    def derivatives_67(
        self, edge: OdometryEdge, first_from_second: Pose, views: Sequence[RefinementView]
    ) -> NDArray[np.float64]:
        """Of an edge's error, about the second camera's axes, by a further change: of the mount
        (rotation, translation about the camera's axes) and of the offset.

        edge: with this mount and these stamps.
        first_from_second: of the cameras, as they are estimated.
        """
        second_from_first_66 = adjoint_66(first_from_second.inverse())
        to_true_66 = adjoint_66(self.correction.inverse())
        first_6, second_6 = (to_true_66 @ _twist_6(views[v]) for v in (edge.first, edge.second))
        by_time_6 = second_from_first_66 @ first_6 - second_6
        return np.column_stack([second_from_first_66 - np.eye(6), by_time_6])


AS_RECORDED = Calibration(Pose.identity(), 0.0, np.full(7, np.inf))


def motion(twist_6: NDArray[np.float64]) -> Pose:
    """A small motion (rotation, translation): to first order."""
    return Pose.from_rotation_vector(twist_6[3:], twist_6[:3])


def _twist_6(view: RefinementView) -> NDArray[np.float64]:
    return np.zeros(6) if view.velocity_6 is None else view.velocity_6
