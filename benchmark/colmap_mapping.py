"""A map by COLMAP, of the images and poses that `build_map` would map from.

As COLMAP's documentation describes reconstruction from known poses: SIFT, matches that two-view
geometry verifies, points triangulated by the recorded poses, which stay as they are. A point's
descriptor is the mean of those of the features that see it, so that the map needs no images.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pycolmap

from benchmark.colmap_images import write_images
from benchmark.steps import once
from glace_ros.atomic_write import replacing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from glace_ros.commands.build_map_config import BuildRequest

DESCRIPTOR = 128
"""Numbers of SIFT's descriptor."""


@dataclass(frozen=True)
class PeerMappingConfig:
    """COLMAP's own defaults, but for what is said here."""

    most_features: int = 2048
    """Of an image; of more, those of the largest scale stay. COLMAP's own 8192 take longer."""
    neighbours: int = 20
    """Images that each is matched with, the nearest by their positions (COLMAP's `spatial`); 0:
    all others (`exhaustive`).
    """
    two_view_tracks: bool = True
    """Points that two images alone see are kept, which COLMAP's default leaves out: poses are known
    here, and more points make a query's more exact.
    """
    threads: int = -1
    """-1: one for each core."""


@dataclass(frozen=True, eq=False)
class PeerMap:
    """What COLMAP's map holds.

    origin_3: float64, metres, in the map.
    points_l3: float32, metres, from the origin.
    descriptors_lC: uint8 (l, 128).
    """

    origin_3: NDArray[np.float64]
    points_l3: NDArray[np.float32]
    descriptors_lC: NDArray[np.uint8]

    def save(self, path: Path) -> None:
        """As a file, uncompressed: descriptors hardly get smaller."""
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(
                file, origin_3=self.origin_3, points_l3=self.points_l3,
                descriptors_lC=self.descriptors_lC,
            )  # fmt: skip

    @staticmethod
    def load(path: Path) -> PeerMap:
        """From a file of `save`."""
        with np.load(path) as arrays:
            return PeerMap(*(arrays[name] for name in ("origin_3", "points_l3", "descriptors_lC")))


class PeerMapping:
    """The steps from a recording to COLMAP's map, each done once."""

    def __init__(self, request: BuildRequest, folder: Path, config: PeerMappingConfig) -> None:
        """request: of `build_map`: the recording, and which frames of it are mapped from.
        folder: for all that is made, `colmap.npz` (the map) among it.
        """
        self._request, self._folder, self._config = request, folder, config
        self._database = folder / "colmap.db"
        self._images = folder / "colmap_images"
        self._model = folder / "colmap_model"
        self.map_file = folder / "colmap.npz"
        """A file of `PeerMap.save`."""

    def figures(self) -> dict[str, Any]:
        """`seconds` of each step, `cpu_s` of all threads, `mapping_frames`, `pairs` that were
        matched, `points`, `map_bytes`; the map is there then.

        Raises RecordingError where the recording cannot be used.
        """
        seen = self._once("read", lambda: write_images(self._request, self._images))
        steps = {
            "read": seen,
            "extract": self._once("extract", lambda: self._extract(seen)),
            "match": self._once("match", lambda: self._match(seen)),
            "triangulate": self._once("triangulate", lambda: self._triangulate(seen)),
            "describe": self._once("describe", lambda: self._describe(seen)),
        }
        seconds = {name: step["seconds"] for name, step in steps.items()}
        return {
            "seconds": seconds | {"total": sum(seconds.values())},
            "cpu_s": sum(step["cpu_s"] for step in steps.values()),
            "mapping_frames": len(seen["cameras_from_map"]),
            "pairs": steps["match"]["pairs"],
            "points": steps["describe"]["points"],
            "map_bytes": self.map_file.stat().st_size,
        }

    def _once(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        def timed() -> dict[str, Any]:
            start, cpu = time.perf_counter(), time.process_time()
            found = work()
            return {
                **found,
                "seconds": time.perf_counter() - start,
                "cpu_s": time.process_time() - cpu,
            }

        return once(self._folder, f"colmap_{name}", timed)

    def _extract(self, seen: dict[str, Any]) -> dict[str, Any]:
        for left in self._folder.glob(f"{self._database.name}*"):
            left.unlink()  # by a run that was cut off
        pycolmap.extract_features(
            self._database,
            self._images,
            camera_mode=pycolmap.CameraMode.SINGLE,
            reader_options=pycolmap.ImageReaderOptions(
                camera_model="PINHOLE", camera_params=",".join(map(repr, seen["intrinsics"]))
            ),
            extraction_options=extraction(self._config.most_features, self._config.threads),
            device=pycolmap.Device.cpu,
        )
        with pycolmap.Database.open(self._database) as database:
            return {"features": database.num_keypoints()}

    def _match(self, seen: dict[str, Any]) -> dict[str, Any]:
        matching = pycolmap.FeatureMatchingOptions(num_threads=self._config.threads)
        with pycolmap.Database.open(self._database) as database:
            database.clear_matches()
            database.clear_two_view_geometries()
            database.clear_pose_priors()
            for image in database.read_all_images():
                database.write_pose_prior(_position_of(image, seen))
        if self._config.neighbours:
            nearest = pycolmap.SpatialPairingOptions(
                ignore_z=False, max_num_neighbors=self._config.neighbours,
                max_distance=math.inf, num_threads=self._config.threads,
            )  # fmt: skip
            pycolmap.match_spatial(self._database, matching, nearest, device=pycolmap.Device.cpu)
        else:
            pycolmap.match_exhaustive(self._database, matching, device=pycolmap.Device.cpu)
        with pycolmap.Database.open(self._database) as database:
            return {"pairs": database.num_matched_image_pairs()}

    def _triangulate(self, seen: dict[str, Any]) -> dict[str, Any]:
        posed = pycolmap.Reconstruction()
        with pycolmap.Database.open(self._database) as database:
            for camera in database.read_all_cameras():
                posed.add_camera_with_trivial_rig(camera)
            for image in database.read_all_images():
                keypoints_n2 = database.read_keypoints(image.image_id)[:, :2].astype(np.float64)
                posed.add_image_with_trivial_frame(
                    pycolmap.Image(image.name, keypoints_n2, image.camera_id, image.image_id),
                    pycolmap.Rigid3d(np.array(seen["cameras_from_map"][image.name])),
                )
        self._model.mkdir(exist_ok=True)
        options = pycolmap.IncrementalPipelineOptions(
            num_threads=self._config.threads, extract_colors=False, random_seed=0
        )
        options.triangulation.ignore_two_view_tracks = not self._config.two_view_tracks
        found = pycolmap.triangulate_points(
            posed, self._database, self._images, self._model, options=options
        )
        return {"points": found.num_points3D()}

    def _describe(self, seen: dict[str, Any]) -> dict[str, Any]:
        model = pycolmap.Reconstruction(self._model)
        with pycolmap.Database.open(self._database) as database:
            of_image = {number: database.read_descriptors(number).data for number in model.images}
        points = list(model.points3D.values())
        means = [
            np.mean([of_image[e.image_id][e.point2D_idx] for e in point.track.elements], axis=0)
            for point in points
        ]
        PeerMap(
            np.array(seen["origin_m"]),
            np.array([point.xyz for point in points], dtype=np.float32).reshape(-1, 3),
            np.rint(np.array(means)).astype(np.uint8).reshape(-1, DESCRIPTOR),
        ).save(self.map_file)
        return {"points": len(points)}


def quieten() -> None:
    """COLMAP logs errors alone, not a line for each image."""
    pycolmap.logging.minloglevel = pycolmap.logging.ERROR.value


def extraction(most_features: int, threads: int) -> pycolmap.FeatureExtractionOptions:
    """Of SIFT, on the CPU."""
    options = pycolmap.FeatureExtractionOptions(num_threads=threads, use_gpu=False)
    options.sift.max_num_features = most_features
    return options


def _position_of(image: pycolmap.Image, seen: dict[str, Any]) -> pycolmap.PosePrior:
    """Where the image was taken, by which its neighbours are chosen."""
    camera_from_map_34 = np.array(seen["cameras_from_map"][image.name])
    return pycolmap.PosePrior(
        corr_data_id=image.data_id,
        position=-camera_from_map_34[:, :3].T @ camera_from_map_34[:, 3],
        coordinate_system=pycolmap.PosePriorCoordinateSystem.CARTESIAN,
    )
