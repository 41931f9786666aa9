"""An image -> pose in a map of `colmap_mapping`, by COLMAP's features and its pose estimation."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pycolmap

from benchmark.colmap_images import grey, intrinsics
from benchmark.colmap_mapping import PeerMap, extraction
from glace_ros.evaluation.localized_frame import LocalizedFrame
from glace_ros.evaluation.metrics import summarize_frames
from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.rejection import Rejection, RejectionCode

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.recording.posed_images import PosedImage


@dataclass(frozen=True)
class PeerLocalizerConfig:
    """COLMAP's own defaults, where it has one."""

    most_features: int = 2048
    """Of an image."""
    most_ratio: float = 0.8
    """Of the distances to the nearest and the second-nearest point of the map."""
    ransac_px: float = 12.0
    """An inlier's reprojection error (`abs_pose_max_error`)."""
    min_inliers: int = 30
    """A pose with fewer is rejected, as where COLMAP registers an image
    (`abs_pose_min_num_inliers`).
    """


def evaluated(
    map_file: Path,
    config: PeerLocalizerConfig,
    bag: Path,
    pose_source: str | None,
    *,
    foreign: bool,
) -> dict[str, Any]:
    """What `evaluate --json` has of our map, of COLMAP's, by the same reader and metrics.

    map_file: of `PeerMap.save`.
    pose_source: the truth, as `evaluate` takes it.
    foreign: the bag is of another place, and every pose a false one.
    Raises RecordingError where the bag cannot be used.
    """
    localizer = PeerLocalizer(PeerMap.load(map_file), config)
    with RecordingReader(bag, pose_source=pose_source) as reader:
        base_from_camera = reader.info.base_from_camera
        frames = [localizer.localize(image, base_from_camera) for image in reader.images()]
    if not foreign:
        return summarize_frames(frames)
    frames = [replace(frame, truth=None) for frame in frames]
    accepts = sum(frame.estimate is not None for frame in frames)
    return {**summarize_frames(frames), "foreign_accepts": accepts}


class PeerLocalizer:
    """Matches an image's SIFT to the whole map, then solves the pose."""

    def __init__(self, peer_map: PeerMap, config: PeerLocalizerConfig | None = None) -> None:
        self._config = config or PeerLocalizerConfig()
        # one thread: an image is not divided
        self._extractor = pycolmap.FeatureExtractor.create(
            extraction(self._config.most_features, 1), pycolmap.Device.cpu
        )
        self._map = peer_map
        descriptors_lC = peer_map.descriptors_lC.astype(np.float32)
        squares_l1 = np.square(descriptors_lC).sum(axis=1, keepdims=True)
        # times (descriptor, 1): squared distances, but for the feature's own square
        self._distances_ol = np.hstack([-2.0 * descriptors_lC, squares_l1]).T.copy()

    def localize(self, image: PosedImage, base_from_camera: Pose) -> LocalizedFrame:
        """The base's pose beside its truth, as `evaluate` has it; the time is of the whole way from
        the undistorted image to the pose.
        """
        start = time.perf_counter()
        keypoints, descriptors = self._extractor.extract_from_uint8_array(grey(image))
        features_m, points_m = self.matches(descriptors.data)
        pixels_m2 = np.array([(keypoints[i].x, keypoints[i].y) for i in features_m.tolist()])
        found = self._pose(pixels_m2.reshape(-1, 2), points_m, image.camera)
        seconds = time.perf_counter() - start
        camera_from_base = base_from_camera.inverse()
        truth = image.map_from_camera @ camera_from_base if image.map_from_camera else None
        inliers = 0 if found is None else found[1]
        frame = LocalizedFrame(image.stamp_ns, truth, None, None, inliers, len(points_m), seconds)
        if found is None:
            return replace(frame, rejection=Rejection(RejectionCode.NO_POSE, points=len(points_m)))
        if inliers < self._config.min_inliers:
            few = Rejection(
                RejectionCode.FEW_INLIERS, points=len(points_m), inliers=inliers,
                needed_inliers=self._config.min_inliers,
            )  # fmt: skip
            return replace(frame, rejection=few)
        return replace(frame, estimate=found[0] @ camera_from_base)

    def matches(
        self, descriptors_nC: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Features (m,) of an image, and the points (m,) of the map that they are of.

        descriptors_nC: uint8 (n, 128).
        """
        if len(self._map.points_l3) < 2:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        own_nC = descriptors_nC.astype(np.float32)
        all_n = np.arange(len(own_nC))
        table_nl = np.hstack([own_nC, np.ones_like(own_nC[:, :1])]) @ self._distances_ol
        best_n = table_nl.argmin(axis=1)
        squares_n = np.square(own_nC).sum(axis=1)
        nearest_n = table_nl[all_n, best_n] + squares_n
        table_nl[all_n, best_n] = np.inf
        second_n = table_nl.min(axis=1) + squares_n
        good_n = nearest_n < self._config.most_ratio**2 * second_n
        return all_n[good_n], best_n[good_n]

    def _pose(
        self, pixels_m2: NDArray[np.float64], points_m: NDArray[np.int64], camera: Camera
    ) -> tuple[Pose, int] | None:
        """map_from_camera and its inliers; None where nothing fits.

        pixels_m2: from the first pixel's corner.
        points_m: of the map.
        """
        estimation = pycolmap.AbsolutePoseEstimationOptions()
        estimation.ransac.max_error = self._config.ransac_px
        estimation.ransac.random_seed = 0
        found = pycolmap.estimate_and_refine_absolute_pose(
            pixels_m2,
            self._map.points_l3[points_m].astype(np.float64),
            pycolmap.Camera(
                model="PINHOLE", width=camera.width_px, height=camera.height_px,
                params=intrinsics(camera),
            ),
            estimation,
        )  # fmt: skip
        if found is None:
            return None
        matrix_34 = found["cam_from_world"].matrix()
        from_origin = Pose(matrix_34[:, :3], matrix_34[:, 3]).inverse()
        position_3 = from_origin.translation_3 + self._map.origin_3
        return Pose(from_origin.rotation_33, position_3), int(found["num_inliers"])
