"""Factor graphs of gtsam, made from our types: the only module that imports it, and so longer than
others.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glace_ros.errors import MappingError
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.odometry_edges import adjoint_66

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from glace_ros.mapping.pose_refinement.observations import Observations
    from glace_ros.mapping.pose_refinement.odometry_edges import OdometryEdge
    from glace_ros.mapping.pose_refinement.refinement_config import BundleConfig

_ODOMETRY_HUBER = 3.0
"""Standard deviations from which odometry counts less: a slip of the wheels."""
_FIXED = 1e-6
"""Standard deviation, m and rad, of what is held fixed."""
_FREE_M, _FREE_RAD = 1e3, 1e2
"""Standard deviations of what a planar robot may do."""
_SOMEWHERE_M = 10.0
"""Standard deviation of a point before it is seen: where no parallax is left, nothing else is known
of its depth, and the library refuses to solve for what is known some 10,000 times less well than
the rest.
"""


def gtsam() -> Any:
    """The library. Raises MappingError with a sentence where it is not installed."""
    try:
        import gtsam as library
    except ImportError as error:
        raise MappingError(
            "--refine-poses needs gtsam, which is not installed (PyPI has it for Python 3.11 and "
            "newer, x86-64 and aarch64: pip install 'gtsam>=4.3'); --refine-poses off takes the "
            "poses as they are recorded"
        ) from error
    return library


def is_available() -> bool:
    """Whether gtsam is installed."""
    try:
        gtsam()
    except MappingError:
        return False
    return True


class SharedCamera(NamedTuple):
    """What all views of one camera have in common."""

    intrinsics_4: NDArray[np.float64]
    """fx, fy, cx, cy in pixels of the working size."""
    radial: float = 0.0
    """k1 of the distortion that the undistorted images still have."""


class Expected(NamedTuple):
    """What is thought likely of a change before images are seen."""

    change_7: NDArray[np.float64]
    sigmas_7: NDArray[np.float64]


class LinearSystem(NamedTuple):
    """Factors about some values, and the order in which their variables are eliminated.

    ordering: METIS's. That which the library takes by itself costs five times as much for 1,263
    views, and the more the more views there are.
    """

    factors: Any
    ordering: Any

    def solution(self) -> Any:
        """The step of each variable. Raises RuntimeError where there is no single one."""
        return self.factors.optimize(self.ordering)


class FactorGraph:
    """Cameras, points and what is known of them; `optimized` gives the most likely values.

    Poses are `map_from_camera`; keep the map's origin near, so that its numbers stay small.
    """

    def __init__(self) -> None:
        """Raises MappingError where gtsam is not installed."""
        self._gtsam = gtsam()
        self.graph = self._gtsam.NonlinearFactorGraph()
        self.values = self._gtsam.Values()
        self._lens_key = int(self._gtsam.symbol("c", 0))
        self._points = 0

    def view_key(self, view: int) -> int:
        """The variable of a camera."""
        return int(self._gtsam.symbol("x", view))

    def add_view(self, view: int, map_from_camera: Pose) -> None:
        """A camera, from where it is searched."""
        self.values.insert(self.view_key(view), self.pose3(map_from_camera))

    def fix(self, view: int, map_from_camera: Pose) -> None:
        """The camera stays there."""
        noise = self._gtsam.noiseModel.Isotropic.Sigma(6, _FIXED)
        factor = self._gtsam.PriorFactorPose3
        self.graph.add(factor(self.view_key(view), self.pose3(map_from_camera), noise))

    def add_planar(
        self, view: int, recorded: Pose, base_from_camera: Pose, tilt_rad: float, height_m: float
    ) -> None:
        """Height, roll and pitch of the base are as recorded, wherever else it is.

        recorded: map_from_camera.
        """
        sigmas_6 = np.array([tilt_rad, tilt_rad, _FREE_RAD, _FREE_M, _FREE_M, height_m])
        root_66 = adjoint_66(base_from_camera) / sigmas_6[:, None]
        noise = self._gtsam.noiseModel.Gaussian.SqrtInformation(root_66)
        factor = self._gtsam.PriorFactorPose3
        self.graph.add(factor(self.view_key(view), self.pose3(recorded), noise))

    def add_odometry(self, edge: OdometryEdge) -> None:
        """A motion between two cameras."""
        models = self._gtsam.noiseModel
        noise = models.Robust.Create(
            models.mEstimator.Huber.Create(_ODOMETRY_HUBER),
            models.Gaussian.SqrtInformation(edge.whitening_66),
        )
        self._between(edge.first, edge.second, edge.first_from_second, noise)

    def add_motion(
        self, first: int, second: int, first_from_second: Pose, rotation_rad: float, metres: float
    ) -> None:
        """What images say of the motion between two cameras, with its standard deviations."""
        noise = self._gtsam.noiseModel.Diagonal.Sigmas(np.repeat([rotation_rad, metres], 3))
        self._between(first, second, first_from_second, noise)

    def optimize(self, iterations: int) -> None:
        """Levenberg-Marquardt, from the values to more likely ones."""
        parameters = self._gtsam.LevenbergMarquardtParams()
        parameters.setMaxIterations(iterations)
        parameters.setRelativeErrorTol(1e-4)
        parameters.setOrderingType("METIS")
        with _without_stdout():
            optimizer = self._gtsam.LevenbergMarquardtOptimizer(self.graph, self.values, parameters)
            self.values = optimizer.optimize()

    @property
    def cost(self) -> float:
        """Half the squared errors, in standard deviations, of all that is known."""
        with _without_stdout():
            return float(self.graph.error(self.values))

    def add_camera(self, camera: SharedCamera, config: BundleConfig) -> None:
        """What all views were taken with, as it was recorded."""
        k1 = camera.radial
        lens = self._gtsam.Cal3DS2(*camera.intrinsics_4[:2], 0.0, *camera.intrinsics_4[2:], k1, 0.0)
        self.values.insert(self._lens_key, lens)
        covariance_99 = _lens_covariance_99(camera.intrinsics_4, config)
        prior = self._gtsam.noiseModel.Gaussian.Covariance(covariance_99)
        self.graph.add(self._gtsam.PriorFactorCal3DS2(self._lens_key, lens, prior))

    def add_observations(self, observations: Observations) -> range:
        """Points, the view that saw them, and where it did. After `add_camera`. Gives the numbers
        of the points.
        """
        models = self._gtsam.noiseModel
        tracks, points_k3, keypoints = observations
        noise = models.Robust.Create(
            models.mEstimator.Huber.Create(keypoints.huber),
            models.Isotropic.Sigma(2, keypoints.sigma_px),
        )
        numbers = range(self._points, self._points + len(points_k3))
        self._points = numbers.stop
        point_keys = [self._gtsam.symbol("l", number) for number in numbers]
        # a point that ends behind all its cameras would leave the system without a solution
        somewhere = models.Isotropic.Sigma(3, _SOMEWHERE_M)
        for key, point_3 in zip(point_keys, points_k3, strict=True):
            self.values.insert(key, point_3)
            self.graph.add(self._gtsam.PriorFactorPoint3(key, point_3, somewhere))
        view_keys = [self.view_key(view) for view in range(int(tracks.view_n.max(initial=-1)) + 1)]
        factor = self._gtsam.GeneralSFMFactor2Cal3DS2
        for view, track, pixel_2 in zip(
            tracks.view_n.tolist(), tracks.track_n.tolist(), tracks.pixels_n2, strict=True
        ):
            keys = view_keys[view], point_keys[track], self._lens_key
            self.graph.add(factor(pixel_2, noise, *keys))
        return numbers

    def points(self, numbers: range) -> NDArray[np.float64]:
        """The points (k, 3) with these numbers, metres."""
        symbol = self._gtsam.symbol
        points = [self.values.atPoint3(symbol("l", number)) for number in numbers]
        return np.array(points).reshape(-1, 3)

    def camera(self) -> SharedCamera:
        """The camera of `add_camera`."""
        lens = self.values.atCal3DS2(self._lens_key)
        return SharedCamera(np.array([lens.fx(), lens.fy(), lens.px(), lens.py()]), lens.k()[0])

    def linearized(self) -> LinearSystem:
        """The linear system about the values."""
        with _without_stdout():
            factors = self.graph.linearize(self.values)
        return LinearSystem(factors, self._gtsam.Ordering.MetisGaussianFactorGraph(factors))

    def redundancy_2(self, linear: LinearSystem, odometry: range) -> NDArray[np.float64]:
        """Of rotations and of positions of odometry: the part of a change in what it says that does
        not come out in the result, since images say otherwise. By how the solution answers to a
        random change (Hutchinson's estimate of a trace), so that it costs two linear solutions.

        linear: the system.
        odometry: numbers of its factors.
        """
        rng = np.random.default_rng(0)
        changed = self._gtsam.GaussianFactorGraph()
        changes = rng.choice([-1.0, 1.0], (len(odometry), 6))
        parts = []
        for number in range(linear.factors.size()):
            factor = linear.factors.at(number)
            if number in odometry:
                change_6 = changes[number - odometry.start]
                keys = list(factor.keys())
                matrix, right_6 = factor.jacobian()
                blocks = [matrix[:, 6 * i : 6 * i + 6] for i in range(len(keys))]
                right_6 = right_6 + change_6
                unit = self._gtsam.noiseModel.Unit.Create(6)
                pairs = [x for pair in zip(keys, blocks, strict=True) for x in pair]
                changed.add(self._gtsam.JacobianFactor(*pairs, right_6, unit))
                parts.append((keys, blocks))
            else:
                changed.push_back(factor)
        before, after = linear.solution(), linear._replace(factors=changed).solution()
        answers = [
            sum(
                block @ (after.at(key) - before.at(key))
                for key, block in zip(keys, blocks, strict=True)
            )
            for keys, blocks in parts
        ]
        along_n6 = changes * np.array(answers)
        return 1.0 - np.array([along_n6[:, :3].mean(), along_n6[:, 3:].mean()])

    def calibration(
        self,
        linear: LinearSystem,
        odometry: range,
        derivatives_n67: NDArray[np.float64],
        expected: Expected,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the edges of odometry have in common: the step of the joint system to the most
        likely mount (rotation, translation about the camera's axes) and offset of time, and their
        standard deviations.

        linear: the system.
        odometry: numbers of its factors; those before hold poses of the recording, which are of the
        base, and so turn with the mount.
        derivatives_n67: of each edge's error, about the second camera's axes.
        expected: of these seven, before any image was seen.
        """
        key = self._gtsam.symbol("m", 0)
        unit = self._gtsam.noiseModel.Unit.Create
        joint = self._gtsam.GaussianFactorGraph()
        for number in range(linear.factors.size()):
            factor = linear.factors.at(number)
            if number >= odometry.stop:
                joint.push_back(factor)
                continue
            keys = list(factor.keys())
            matrix, right_6 = factor.jacobian()
            last_66 = matrix[:, -6:]
            if number in odometry:
                first, second = keys
                common_67 = last_66 @ derivatives_n67[number - odometry.start]
                blocks = [first, matrix[:, :6], second, last_66]
            else:
                common_67 = np.column_stack([-last_66, np.zeros(6)])
                blocks = [keys[0], last_66]
            joint.add(self._gtsam.JacobianFactor(*blocks, key, common_67, right_6, unit(6)))
        root_77 = np.diag(1.0 / expected.sigmas_7)
        expected_7 = expected.change_7 / expected.sigmas_7
        joint.add(self._gtsam.JacobianFactor(key, root_77, expected_7, unit(7)))
        _, of_key = joint.eliminatePartialMultifrontal(linear.ordering)
        information_77, information_7 = of_key.hessian()
        covariance_77 = np.linalg.inv(information_77)
        return covariance_77 @ information_7, np.sqrt(np.diag(covariance_77))

    def graduated(self, known: int) -> NDArray[np.float64]:
        """Weights of the factors from number `known` on after graduated non-convexity with
        truncated least squares: those before are known to be inliers.
        """
        parameters = self._gtsam.GncLMParams(self._gtsam.LevenbergMarquardtParams())
        parameters.setKnownInliers(list(range(known)))
        optimizer = self._gtsam.GncLMOptimizer(self.graph, self.values, parameters)
        self.values = optimizer.optimize()
        return np.asarray(optimizer.getWeights())[known:]

    def pose(self, view: int) -> Pose:
        """map_from_camera of a view."""
        pose = self.values.atPose3(self.view_key(view))
        return Pose(pose.rotation().matrix(), np.array(pose.translation()))

    def pose3(self, pose: Pose) -> Any:
        """The library's type."""
        return self._gtsam.Pose3(self._gtsam.Rot3(pose.rotation_33), pose.translation_3)

    def _between(self, first: int, second: int, first_from_second: Pose, noise: Any) -> None:
        keys = self.view_key(first), self.view_key(second)
        factor = self._gtsam.BetweenFactorPose3
        self.graph.add(factor(*keys, self.pose3(first_from_second), noise))


@contextmanager
def _without_stdout() -> Iterator[None]:
    """Of C++: gtsam writes a line there for each point that an attempted step puts behind a camera,
    and has no way to be told not to.
    """
    sys.stdout.flush()
    stdout, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(nowhere)


def _lens_covariance_99(
    intrinsics_4: NDArray[np.float64], config: BundleConfig
) -> NDArray[np.float64]:
    """Of fx, fy, skew, cx, cy, k1, k2, p1, p2: one focal length, no skew, k1 alone."""
    sigmas_9 = np.full(9, _FIXED)
    sigmas_9[3:5], sigmas_9[5] = config.centre_px, config.radial
    sigmas_9[:2] = config.oblong_ratio * intrinsics_4[:2]
    together_9 = np.concatenate([config.focal_ratio * intrinsics_4[:2], np.zeros(7)])
    return np.diag(sigmas_9**2) + np.outer(together_9, together_9)
