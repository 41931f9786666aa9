"""Feature buffer: every patch that training may see, encoded once.

A sample is 64 fp16 numbers, a pixel, a view index and perhaps a triangulated point: 148 bytes.
Poses and intrinsics are kept
once per view and looked up by index (the published code stores 1160 bytes a sample, matrices
included).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from glace_ros.features.image_tensors import grey_at_working_size, to_tensor
from glace_ros.features.local_encoder import LocalFeatures
from glace_ros.mapping.augmentation import AugmentationConfig, augment
from glace_ros.mapping.reprojection_loss import Observations
from glace_ros.mapping.triangulation import (
    TriangulationConfig,
    View,
    choose_neighbours,
    triangulate_view,
)
from glace_ros.pose import Pose

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from glace_ros.features.local_encoder import XFeatEncoder
    from glace_ros.recording.posed_images import PosedImage


@dataclass(frozen=True)
class FeatureBufferConfig:
    """patches: of each view, best first. short_side_px: working size of images.

    max_bytes bounds the samples' memory: with more images, each gives fewer patches.
    transfer_px: an augmented view's patch this near to a triangulated one is the same corner.
    """

    patches: int = 1000
    short_side_px: int = 480
    max_bytes: int = 4 << 30
    transfer_px: float = 1.5


class MappingView(NamedTuple):
    """One mapping image, encoded: its unaugmented patches and where they were seen from."""

    features: LocalFeatures
    map_from_camera: Pose
    intrinsics_4: torch.Tensor


class Samples(NamedTuple):
    """All patches. descriptors_nC fp16; pixels_n2 (recorded image, working size), points_n3,
    fp32; view_n int32.
    """

    descriptors_nC: torch.Tensor
    pixels_n2: torch.Tensor
    view_n: torch.Tensor
    points_n3: torch.Tensor
    has_point_n: torch.Tensor

    def to(self, device: torch.device) -> Samples:
        """All of it on a device."""
        return Samples(*(tensor.to(device) for tensor in self))


class FeatureBuffer:
    """Samples on the training device, with what each view knows: camera and pose.

    Coordinates are metres from origin_3 (float64), so that float32 is enough anywhere on Earth.
    """

    def __init__(
        self,
        samples: Samples,
        views: list[MappingView],
        origin_3: NDArray[np.float64],
        device: torch.device,
    ) -> None:
        self.samples = samples.to(device)
        self.views = views
        self.origin_3 = origin_3
        self.camera_from_map_v34 = torch.stack(
            [_camera_from_map(view, origin_3) for view in views]
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


class EncodedViews:
    """Encodes mapping images as they stream by, and collects patches of each view."""

    def __init__(
        self,
        encoder: XFeatEncoder,
        config: FeatureBufferConfig,
        augmentation: AugmentationConfig,
        seed: int,
    ) -> None:
        self.config = config
        self.views: list[MappingView] = []
        self._encoder = encoder
        self._augmentation = augmentation
        self._seed = seed
        self._augmented: list[list[LocalFeatures]] = []

    def add(self, image: PosedImage) -> None:
        """Encode one image and its augmented views. image.map_from_camera must be there."""
        if image.map_from_camera is None:
            raise ValueError("a mapping image has no pose")
        grey_hw, camera = grey_at_working_size(
            image.image_rgb_hwc, image.camera, self.config.short_side_px
        )
        features = self._encode(grey_hw)
        intrinsics_4 = torch.tensor(
            [camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px], dtype=torch.float32
        )
        rng = np.random.default_rng((self._seed, len(self.views)))
        augmented = []
        for _ in range(self._augmentation.views):
            view = augment(grey_hw, camera, self._augmentation, rng)
            found = self._encode(view.grey_hw, view.valid_hw)
            recorded_n2 = view.to_recorded(found.pixels_n2.numpy().astype(np.float64))
            augmented.append(found._replace(pixels_n2=torch.from_numpy(recorded_n2).float()))
        self.views.append(MappingView(features, image.map_from_camera, intrinsics_4))
        self._augmented.append(augmented)

    def _encode(
        self, grey_hw: NDArray[np.uint8], valid_hw: NDArray[np.bool_] | None = None
    ) -> LocalFeatures:
        device = self._encoder.device
        valid_HW = None if valid_hw is None else torch.from_numpy(valid_hw).to(device)
        found = self._encoder.encode(to_tensor(grey_hw, device), self.config.patches, valid_HW)
        # kept in half: a long recording's descriptors are what fills the memory
        return LocalFeatures(
            found.descriptors_nC.half().cpu(), found.pixels_n2.cpu(), found.scores_n.cpu()
        )

    def buffer(
        self,
        origin_3: NDArray[np.float64],
        triangulation: TriangulationConfig | None,
        device: torch.device,
        on_view: Callable[[], None] = lambda: None,
    ) -> FeatureBuffer:
        """All samples, with points where corners could be triangulated."""
        sample_bytes = 2 * self._encoder.channels + 8 + 4 + 12 + 1
        copies = 1 + self._augmentation.views
        most = self.config.max_bytes // (sample_bytes * copies * max(1, len(self.views)))
        parts: list[Samples] = []
        views = [_triangulation_view(view, origin_3, device) for view in self.views]
        neighbours = choose_neighbours(views, triangulation) if triangulation else []
        for index, view in enumerate(self.views):
            points_n3 = torch.zeros(len(view.features.pixels_n2), 3)
            good_n = torch.zeros(len(points_n3), dtype=torch.bool)
            if triangulation:
                near = [views[other] for other in neighbours[index]]
                found_n3, found_n = triangulate_view(views[index], near, triangulation)
                points_n3[: len(found_n)], good_n[: len(found_n)] = found_n3.cpu(), found_n.cpu()
            parts.append(_samples(view.features, index, points_n3, good_n, most))
            for augmented in self._augmented[index]:
                points_a3, good_a = _transfer(
                    view.features.pixels_n2, points_n3, good_n, augmented.pixels_n2,
                    self.config.transfer_px,
                )  # fmt: skip
                parts.append(_samples(augmented, index, points_a3, good_a, most))
            on_view()
        samples = Samples(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
        return FeatureBuffer(samples, self.views, origin_3, device)


def _camera_from_map(view: MappingView, origin_3: NDArray[np.float64]) -> torch.Tensor:
    pose = view.map_from_camera
    local = Pose(pose.rotation_33, pose.translation_3 - origin_3)
    return torch.from_numpy(local.inverse().matrix_44[:3]).float()


def _triangulation_view(
    view: MappingView, origin_3: NDArray[np.float64], device: torch.device
) -> View:
    return View(
        view.features.descriptors_nC.to(device),
        view.features.pixels_n2.to(device),
        _camera_from_map(view, origin_3).to(device),
        view.intrinsics_4.to(device),
    )


def _samples(
    features: LocalFeatures, view: int, points_n3: torch.Tensor, good_n: torch.Tensor, most: int
) -> Samples:
    count = min(most, len(features.pixels_n2))
    return Samples(
        features.descriptors_nC[:count],
        features.pixels_n2[:count],
        torch.full((count,), view, dtype=torch.int32),
        points_n3[:count],
        good_n[:count],
    )


def _transfer(
    pixels_n2: torch.Tensor,
    points_n3: torch.Tensor,
    good_n: torch.Tensor,
    pixels_a2: torch.Tensor,
    radius_px: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The points of triangulated patches, for an augmented view's patches that fall on them."""
    if not good_n.any() or len(pixels_a2) == 0:
        return torch.zeros(len(pixels_a2), 3), torch.zeros(len(pixels_a2), dtype=torch.bool)
    distance_a, nearest_a = torch.cdist(pixels_a2, pixels_n2[good_n]).min(dim=1)
    return points_n3[good_n][nearest_a], distance_a < radius_px
