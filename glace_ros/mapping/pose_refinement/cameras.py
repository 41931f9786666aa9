"""All views' cameras as arrays: rays of pixels, and pixels of points."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.geometry.camera import projection_by_point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.pose_refinement.tracks import Tracks

LEAST_DEPTH_M = 0.1
"""What is nearer to a camera, or behind it, was not seen by it."""


class Cameras(NamedTuple):
    """All views' cameras as arrays.

    rotations_v33: map from camera.
    centres_v3: in the map, metres.
    intrinsics_v4: fx, fy, cx, cy.
    """

    rotations_v33: NDArray[np.float64]
    centres_v3: NDArray[np.float64]
    intrinsics_v4: NDArray[np.float64]

    @staticmethod
    def of(map_from_camera: Sequence[Pose], intrinsics_v4: NDArray[np.float64]) -> Cameras:
        """Of poses and pinholes."""
        return Cameras(
            np.stack([pose.rotation_33 for pose in map_from_camera]),
            np.stack([pose.translation_3 for pose in map_from_camera]),
            intrinsics_v4,
        )

    def rays(
        self, view_n: NDArray[np.int64], pixels_n2: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Unit rays (n, 3) in the map."""
        k_n4 = self.intrinsics_v4[view_n]
        rays_n3 = np.column_stack([(pixels_n2 - k_n4[:, 2:]) / k_n4[:, :2], np.ones(len(view_n))])
        rays_n3 = np.einsum("nij,nj->ni", self.rotations_v33[view_n], rays_n3)
        return np.asarray(rays_n3 / np.linalg.norm(rays_n3, axis=1, keepdims=True))

    def pixels(self, tracks: Tracks, points_k3: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where each observation's camera sees its point (n, 2)."""
        return self._seen(tracks, points_k3)[0]

    def reprojection(
        self, tracks: Tracks, points_k3: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(error (n,) in px, depth (n,) in m) of each observation."""
        projected_n2, depth_n = self._seen(tracks, points_k3)
        return np.linalg.norm(projected_n2 - tracks.pixels_n2, axis=1), depth_n

    def by_point(
        self, view_n: NDArray[np.int64], points_n3: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Pixels by metres of the points (n, 2, 3)."""
        rotations_n33 = self.rotations_v33[view_n]
        in_camera_n3 = np.einsum("nji,nj->ni", rotations_n33, points_n3 - self.centres_v3[view_n])
        by_camera_n23 = projection_by_point(in_camera_n3, self.intrinsics_v4[view_n, :2])
        return np.asarray(np.einsum("nai,nji->naj", by_camera_n23, rotations_n33))

    def _seen(
        self, tracks: Tracks, points_k3: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (n, 2), and depth (n,) in m, of each observation's point."""
        view_n = tracks.view_n
        to_points_n3 = points_k3[tracks.track_n] - self.centres_v3[view_n]
        in_camera_n3 = np.einsum("nji,nj->ni", self.rotations_v33[view_n], to_points_n3)
        depth_n, k_n4 = in_camera_n3[:, 2], self.intrinsics_v4[view_n]
        safe_n1 = np.maximum(depth_n, LEAST_DEPTH_M)[:, None]
        return in_camera_n3[:, :2] / safe_n1 * k_n4[:, :2] + k_n4[:, 2:], depth_n
