"""Feature buffer: every patch that training may see, encoded once.

A sample is its descriptor in fp16, a pixel, a view index and perhaps a triangulated point: 153
bytes with XFeat, 1,053 with ACE.
Poses and intrinsics are kept once per view and looked up by index (the published code stores 1160
bytes a sample, matrices included).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.features.image_encoder import grey_as_encoded
from glace_ros.features.image_tensors import to_tensor
from glace_ros.features.local_encoder import LocalFeatures
from glace_ros.mapping.augmentation import AugmentationConfig, augment
from glace_ros.mapping.mapping_views import (
    BufferPasses,
    MappingView,
    MappingViews,
    Samples,
    sample_bytes,
)
from glace_ros.mapping.ranks import Ranks
from glace_ros.mapping.reprojection_loss import Observations
from glace_ros.mapping.triangulation import (
    TriangulationConfig,
    View,
    choose_neighbours,
    triangulate_view,
)
from glace_ros.pose import Pose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from glace_ros.camera import Camera
    from glace_ros.features.local_encoder import LocalEncoder
    from glace_ros.features.r2former_encoder import R2FormerEncoder
    from glace_ros.recording.posed_images import PosedImage

_VIEWS_ON_DEVICE = 256


@dataclass(frozen=True)
class FeatureBufferConfig:
    """patches: of each view, best first. short_side_px: working size of images.
    drawn: those of augmented views at random, as likely as their scores say (paper, section 4.2).

    max_bytes bounds the samples' memory: with more images, each gives fewer patches.
    samples: the buffer is filled to so many by passes over the images, augmented anew (paper: 16
    million in each process); 0: each image and its augmented views are taken once.
    transfer_px: an augmented view's patch this near to a triangulated one is the same corner.
    """

    patches: int = 1000
    short_side_px: int = 480
    max_bytes: int = 2 << 30
    samples: int = 0
    drawn: bool = False
    transfer_px: float = 1.5


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
            [_camera_from_map(view.map_from_camera, origin_3) for view in views]
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
    """Encodes mapping images as they stream by, and collects patches of each view.

    views: all so far; placed: how many of them are triangulated. image_count: how many there are
    at most, where that is known; exactly, where passes fill the buffer. r2former: gives each image
    a code, before it is augmented.
    """

    def __init__(
        self,
        encoder: LocalEncoder,
        config: FeatureBufferConfig,
        augmentation: AugmentationConfig,
        seed: int,
        image_count: int | None = None,
        ranks: Ranks | None = None,
        r2former: R2FormerEncoder | None = None,
    ) -> None:
        self.config = config
        self._r2former = r2former
        self._ranks = ranks or Ranks()
        own_count = None if image_count is None else self._ranks.share(image_count)
        copies, max_bytes = 1 + augmentation.views, config.max_bytes
        self._passes: BufferPasses | None = None
        if config.samples:
            if own_count is None:
                raise ValueError("passes that fill the buffer need the number of images")
            self._passes = BufferPasses(own_count, config.samples // config.patches)
            copies = self._passes.most
            max_bytes = min(max_bytes, config.samples * sample_bytes(encoder.channels))
        self.views = MappingViews(encoder.channels, copies, config.patches, max_bytes, own_count)
        self.placed = 0
        self._encoder = encoder
        self._augmentation = augmentation
        self._seed = seed

    def add(self, image: PosedImage) -> None:
        """Encode one image and its augmented views; of another rank's share, only note the pose.

        image.map_from_camera must be there.
        """
        if image.map_from_camera is None:
            raise ValueError("a mapping image has no pose")
        grey_hw, camera = grey_as_encoded(
            self._encoder, image.image_rgb_hwc, image.camera, self.config.short_side_px
        )
        intrinsics_4 = torch.tensor(
            [camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px], dtype=torch.float32
        )
        if not self._ranks.owns(len(self.views)):
            nothing = LocalFeatures(
                torch.empty(0, self._encoder.channels), torch.empty(0, 2), torch.empty(0)
            )
            code_G = torch.zeros(self._r2former.channels) if self._r2former else None
            self.views.append(MappingView(nothing, image.map_from_camera, intrinsics_4, code_G))
            return
        code_G = self._r2former.encode(image.image_rgb_hwc) if self._r2former else None
        copies = self._encoded_copies(grey_hw, camera)
        view = MappingView(copies[0], image.map_from_camera, intrinsics_4, code_G)
        self.views.append(view, copies[1:])

    def _encoded_copies(self, grey_hw: NDArray[np.uint8], camera: Camera) -> list[LocalFeatures]:
        index = len(self.views)
        count = self.views.copies
        if self._passes:
            count = self._passes.of(index // self._ranks.count)
        rng = np.random.default_rng((self._seed, index))
        copies = [self._encode(grey_hw)] if self._augmentation.plain_first else []
        while len(copies) < count:
            warped = augment(grey_hw, camera, self._augmentation, rng)
            found = self._encode(warped.grey_hw, warped.valid_hw, rng)
            recorded_n2 = warped.to_recorded(found.pixels_n2.cpu().numpy().astype(np.float64))
            # there may be hundreds of them: in the memory where they will stay
            descriptors_nC = found.descriptors_nC.half().cpu()
            pixels_n2 = torch.from_numpy(recorded_n2).float()
            copies.append(LocalFeatures(descriptors_nC, pixels_n2, found.scores_n.cpu()))
        return copies

    def _encode(
        self,
        grey_hw: NDArray[np.uint8],
        valid_hw: NDArray[np.bool_] | None = None,
        rng: np.random.Generator | None = None,
    ) -> LocalFeatures:
        encoder, patches = self._encoder, self.views.patches
        valid_HW = None if valid_hw is None else torch.from_numpy(valid_hw).to(encoder.device)
        grey_11HW = to_tensor(grey_hw, encoder.device)
        if rng is None or not self.config.drawn:
            return encoder.encode(grey_11HW, patches, valid_HW)
        cells = grey_hw.size // encoder.stride_px**2
        return encoder.encode(grey_11HW, cells, valid_HW).drawn(patches, rng)

    def buffer(
        self,
        origin_3: NDArray[np.float64],
        triangulation: TriangulationConfig | None,
        device: torch.device,
        on_view: Callable[[], None] = lambda: None,
    ) -> FeatureBuffer:
        """All samples, with points where corners could be triangulated. On a CPU they are the
        memory of `views`, not a copy.
        """
        if triangulation:
            self._triangulate(origin_3, triangulation, device, on_view)
        return FeatureBuffer(self.views.samples, self.views, origin_3, device)

    def _triangulate(
        self,
        origin_3: NDArray[np.float64],
        config: TriangulationConfig,
        device: torch.device,
        on_view: Callable[[], None],
    ) -> None:
        poses = self.views.map_from_camera
        camera_from_map_v34 = torch.stack([_camera_from_map(pose, origin_3) for pose in poses])
        neighbours = choose_neighbours(camera_from_map_v34.numpy(), config)

        @lru_cache(maxsize=_VIEWS_ON_DEVICE)
        def at(index: int) -> View:
            view = self.views[index]
            return View(
                view.features.descriptors_nC.to(device),
                view.features.pixels_n2.to(device),
                camera_from_map_v34[index].to(device),
                view.intrinsics_4.to(device),
            )

        for index in range(self.placed, len(self.views)):
            if not self._ranks.owns(index):
                continue
            near = [at(other) for other in neighbours[index]]
            points_n3, good_n = triangulate_view(at(index), near, config)
            self._place(index, points_n3.cpu(), good_n.cpu())
            self.placed = index + 1
            on_view()

    def _place(self, index: int, points_n3: torch.Tensor, good_n: torch.Tensor) -> None:
        """Note a view's points, also at the patches of its augmented views that fall on them."""
        samples, views = self.views.samples, self.views
        rows = views.rows(index)
        samples.points_n3[rows], samples.has_point_n[rows] = points_n3, good_n
        for copy in range(1, views.copies):
            rows_a = views.rows(index, copy)
            samples.points_n3[rows_a], samples.has_point_n[rows_a] = _transfer(
                samples.pixels_n2[rows], points_n3, good_n, samples.pixels_n2[rows_a],
                self.config.transfer_px,
            )  # fmt: skip


def _camera_from_map(map_from_camera: Pose, origin_3: NDArray[np.float64]) -> torch.Tensor:
    local = Pose(map_from_camera.rotation_33, map_from_camera.translation_3 - origin_3)
    return torch.from_numpy(local.inverse().matrix_44[:3]).float()


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
