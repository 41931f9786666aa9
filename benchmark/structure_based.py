"""A structure-based localizer on the same frames as a map: what a GLACE map is measured against.

As hloc does it, with the encoder that our maps use: the mapping images' patches are matched and
triangulated by the recorded poses and all kept; an image retrieves the mapping images with the
nearest codes, matches its patches to theirs, and PoseLib solves the pose.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmark.__main__ import OFFICE
from glace_ros.evaluation.localized_frame import LocalizedFrame, localize_frame
from glace_ros.evaluation.metrics import summarize_frames
from glace_ros.features.global_encoder import VladConfig, VladEncoder
from glace_ros.features.preprocessing import encode_image
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import LocalizerConfig
from glace_ros.localization.pose_solver import PoseSolverConfig, solve_pose
from glace_ros.mapping.views.triangulation import (
    TriangulationConfig,
    View,
    choose_neighbours,
    triangulate_view,
)
from glace_ros.maps.scene_map import SceneMap
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.frame_selection import FrameSelection

if TYPE_CHECKING:
    from glace_ros.features.local_features import LocalFeatures
    from glace_ros.recording.posed_images import PosedImage

CPU = torch.device("cpu")
SHORT_SIDE_PX, PATCHES = 480, 1000


class StructureBasedMap:
    """All patches of all mapping images, those that could be triangulated with their points."""

    def __init__(self, images: list[PosedImage]) -> None:
        self.encoder = XFeatEncoder(CPU)
        features, views = [], []
        for image in images:
            found, camera = self.encode(image)
            intrinsics_4 = torch.tensor(
                [camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px]
            ).float()
            assert image.map_from_camera is not None
            camera_from_map_34 = image.map_from_camera.inverse().matrix_44[:3]
            features.append(found)
            views.append(
                View(
                    found.descriptors_nC, found.pixels_n2,
                    torch.from_numpy(camera_from_map_34).float(), intrinsics_4,
                )
            )  # fmt: skip
        poses = [image.map_from_camera for image in images if image.map_from_camera]
        self.vlad = VladEncoder.learn(features, poses, VladConfig(), seed=0)
        self.descriptors_vG = torch.stack([self.vlad.encode(found) for found in features])
        config = TriangulationConfig()
        self.patches: list[tuple[torch.Tensor, torch.Tensor]] = []
        camera_from_map_v34 = np.stack([view.camera_from_map_34.numpy() for view in views])
        for index, near in enumerate(choose_neighbours(camera_from_map_v34, config)):
            points_n3, good_n = triangulate_view(views[index], [views[i] for i in near], config)
            self.patches.append((views[index].descriptors_nC[good_n], points_n3[good_n]))

    @property
    def megabytes(self) -> float:
        """As a file would hold them: local descriptors of fp16, points and global ones of fp32."""
        patches = sum(len(points_n3) for _, points_n3 in self.patches)
        return (patches * (2 * XFeatEncoder.channels + 12) + 4 * self.descriptors_vG.numel()) / 1e6

    def encode(self, image: PosedImage) -> tuple[LocalFeatures, Any]:
        """As the localizer encodes it."""
        return encode_image(
            self.encoder, image.image_rgb_hwc, image.camera, SHORT_SIDE_PX, PATCHES
        )[:2]

    def localize(self, image: PosedImage, retrieved: int) -> LocalizedFrame:
        """The camera's pose, from the mapping images with the nearest global descriptors.

        retrieved: how many of these.
        """
        start = time.perf_counter()
        features, camera = self.encode(image)
        nearest = (
            (self.descriptors_vG @ self.vlad.encode(features)).topk(retrieved).indices.tolist()
        )
        pixels, points = [], []
        for view in nearest:
            descriptors_mC, points_m3 = self.patches[view]
            cosine_nm = features.descriptors_nC @ descriptors_mC.T
            best_n, match_n = cosine_nm.max(dim=1)
            mutual_n = cosine_nm.argmax(dim=0)[match_n] == torch.arange(len(match_n))
            good_n = mutual_n & (best_n > 0.7)
            pixels.append(features.pixels_n2[good_n])
            points.append(points_m3[match_n[good_n]])
        pixels_n2 = torch.cat(pixels).numpy().astype(np.float64)
        points_n3 = torch.cat(points).numpy().astype(np.float64)
        config = PoseSolverConfig(ransac_px=6.0, refine_px=1.0)
        solution = solve_pose(pixels_n2, points_n3, camera, config)
        found = solution is not None and solution.inliers >= 30
        return LocalizedFrame(
            stamp_ns=image.stamp_ns,
            truth=image.map_from_camera,
            estimate=solution.map_from_camera if solution and found else None,
            covariance_66=None,
            inliers=solution.inliers if solution else 0,
            points=len(pixels_n2),
            seconds=time.perf_counter() - start,
        )


def main() -> None:
    """Builds one of the mapping bag, and prints it beside a map with and without landmarks."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.structure_based", description=__doc__
    )
    parser.add_argument("--data", type=Path, default=OFFICE, help="folder with mapping and query")
    parser.add_argument("--map", type=Path, help="a .glace map of the same mapping bag")
    parser.add_argument("--retrieved", type=int, default=8, help="mapping images matched")
    args = parser.parse_args()
    with RecordingReader(args.data / "mapping", None, None, None) as reader:
        built = StructureBasedMap(list(reader.posed_images(FrameSelection())))
    table = Table("method", "localized", "median", "5 cm / 5 deg", "map", "time an image")
    with RecordingReader(args.data / "query", None, None, "/ground_truth/pose") as reader:
        queries = [image for image in reader.images() if image.map_from_camera]
        base_from_camera = reader.info.base_from_camera
    rows = [
        ("structure-based", [built.localize(q, args.retrieved) for q in queries], built.megabytes)
    ]
    if args.map:
        scene_map = SceneMap.load(args.map)
        head_alone = Localizer(scene_map, LocalizerConfig(refinement=None))
        whole = Localizer(scene_map)
        landmark_bytes = sum(
            t.numel() * t.element_size()
            for t in (scene_map.landmarks.tensors().values() if scene_map.landmarks else ())
        )
        for name, localizer, size in (
            ("GLACE map, head alone", head_alone, scene_map.file_bytes - landmark_bytes),
            ("GLACE map with landmarks", whole, scene_map.file_bytes),
        ):
            frames = [localize_frame(localizer, q, base_from_camera) for q in queries]
            rows.append((name, frames, size / 1e6))
    for name, frames, megabytes in rows:
        metrics = summarize_frames(frames)
        table.add_row(
            name,
            f"{metrics['localized']} of {metrics['frames']}",
            f"{100 * (metrics['median_translation_m'] or np.nan):.2f} cm, "
            f"{metrics['median_rotation_deg'] or np.nan:.2f} deg",
            f"{metrics['recall']['5cm_5deg']:.0%}",
            f"{megabytes:.1f} MB, {megabytes / rows[0][2]:.0%}",
            f"{metrics['latency_ms']['p50']:.0f} ms",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
