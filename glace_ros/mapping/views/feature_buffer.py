"""Feature buffer: every patch that training may see, encoded once.

A sample is its descriptor in fp16, a pixel, a score, a view index and perhaps a triangulated point:
157 bytes with XFeat, 1,053 with ACE.
Poses and intrinsics are kept once per view and looked up by index (the published code stores 1160
bytes a sample, matrices included).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from glace_ros.geometry.pose import Pose

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.mapping.views.mapping_views import MappingView, Samples


@dataclass(frozen=True)
class FeatureBufferConfig:
    """Which patches there are to train on (section 4.2 of the paper)."""

    patches: int = 1000
    """Of each view, best first."""
    short_side_px: int = 480
    """Working size of images."""
    max_bytes: int = 2 << 30
    """Bounds the samples' memory: with more images, each gives fewer patches."""
    samples: int = 0
    """The buffer is filled to so many by passes over the images, augmented anew (paper: 16 million
    in each process); 0: each image and its augmented views are taken once."""
    sampled: bool = False
    """Patches of augmented views at random, as likely as their scores say (paper)."""
    transfer_px: float = 1.5
    """An augmented view's patch this near to a triangulated one is the same keypoint."""


class FeatureBuffer:
    """Samples on the training device, with what each view knows: camera and pose.

    Coordinates are metres from origin_3 (float64), so that float32 is enough anywhere on Earth.
    """

    def __init__(
        self,
        samples: Samples,
        views: Sequence[MappingView],
        origin_3: NDArray[np.float64],
        device: torch.device,
    ) -> None:
        self.samples = samples.to(device)
        self.views = views
        self.origin_3 = origin_3
        self.camera_from_map_v34 = torch.stack(
            [camera_from_map(view.map_from_camera, origin_3) for view in views]
        ).to(device)
        self.intrinsics_v4 = torch.stack([view.intrinsics_4 for view in views]).to(device)

    def __len__(self) -> int:
        return len(self.samples.view_n)

    def observations(self, index_n: torch.Tensor) -> Observations:
        """What the cameras saw of the samples at these indices."""
        view_n = self.samples.view_n[index_n]
        return Observations(
            self.camera_from_map_v34[view_n],
            self.intrinsics_v4[view_n],
            self.samples.pixels_n2[index_n],
            self.samples.points_n3[index_n],
            self.samples.has_point_n[index_n],
        )


def camera_from_map(map_from_camera: Pose, origin_3: NDArray[np.float64]) -> torch.Tensor:
    """(3, 4) float32, of points in metres from origin_3."""
    local = Pose(map_from_camera.rotation_33, map_from_camera.translation_3 - origin_3)
    return torch.from_numpy(local.inverse().matrix_44[:3]).float()


class Observations(NamedTuple):
    """A batch of patches as their cameras saw them. Everything float32 but the mask.

    camera_from_map_n34: metres, from the buffer's origin.
    intrinsics_n4: fx, fy, cx, cy, px of the working size.
    pixels_n2: of the recorded image at working size.
    points_n3: the triangulated point, metres, where has_point_n, else arbitrary.
    has_point_n: whether they were triangulated.
    """

    camera_from_map_n34: torch.Tensor
    intrinsics_n4: torch.Tensor
    pixels_n2: torch.Tensor
    points_n3: torch.Tensor
    has_point_n: torch.Tensor
