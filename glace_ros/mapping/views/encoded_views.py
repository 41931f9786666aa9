"""Encoded views: mapping images become patches of each view and its copies, with points."""

from __future__ import annotations

import time
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.preprocessing import grey_as_encoded, patches_see, to_tensor
from glace_ros.mapping.parallel import in_parallel
from glace_ros.mapping.views.augmentation import AugmentationConfig, augment
from glace_ros.mapping.views.buffer_passes import BufferPasses
from glace_ros.mapping.views.feature_buffer import (
    FeatureBuffer,
    FeatureBufferConfig,
    camera_from_map,
)
from glace_ros.mapping.views.feature_cache import EncodedImage, FeatureCache
from glace_ros.mapping.views.mapping_views import MappingView, MappingViews, sample_bytes
from glace_ros.mapping.views.triangulation import (
    TriangulationConfig,
    View,
    choose_neighbours,
    triangulate_view,
)
from glace_ros.ranks import Ranks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from glace_ros.features.local_features import LocalEncoder
    from glace_ros.features.r2former_encoder import R2FormerEncoder
    from glace_ros.geometry.camera import Camera
    from glace_ros.recording.posed_images import PosedImage

_VIEWS_AT_ONCE = 32
"""Triangulated by all cores together, before what was found of them is noted."""
_VIEWS_ON_DEVICE = 256
"""Cached there by triangulation, those used last."""


class EncodedViews:
    """Encodes mapping images as they stream by, and collects patches of each view.

    views: all so far.
    triangulated: how many of them are.
    cache: what earlier builds encoded; only where one process takes each image once.
    encode_s: what encoding takes, for each image that was encoded here or found in the cache.
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
        """Raises ValueError where passes fill the buffer and image_count is None.

        image_count: how many there are at most, where that is known; exactly, where passes fill
        the buffer.
        ranks: that share the images.
        r2former: gives each image a global descriptor, before it is augmented.
        """
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
        self.triangulated = 0
        self.cache: FeatureCache | None = None
        self.encode_s: list[float] = []
        self._encoder = encoder
        self._augmentation = augmentation
        self._seed = seed

    def add(self, image: PosedImage) -> None:
        """Encode one image and its augmented views; of another rank's part, only note the pose.

        image.map_from_camera must be there.
        """
        if image.map_from_camera is None:
            raise ValueError("a mapping image has no pose")
        if self._ranks.owns(len(self.views)):
            copies, intrinsics_4, descriptor_G, seconds = self._found_or_encoded(image)
            self.encode_s.append(seconds)
        else:
            intrinsics_4 = _intrinsics(self._grey(image)[1])
            nothing_nC = torch.empty(0, self._encoder.channels)
            copies = [LocalFeatures(nothing_nC, torch.empty(0, 2), torch.empty(0))]
            descriptor_G = torch.zeros(self._r2former.channels) if self._r2former else None
        view = MappingView(
            copies[0], image.map_from_camera, intrinsics_4, descriptor_G, image.stamp_ns,
            image.drive,
        )  # fmt: skip
        self.views.append(view, copies[1:])

    def _found_or_encoded(self, image: PosedImage) -> EncodedImage:
        """The same whatever drives are before and behind it: so it can be found again."""
        views, drive, stamp_ns = self.views, image.drive, image.stamp_ns
        index = len(views) - bisect_left(views, drive, key=lambda view: view.drive)
        # a full buffer has thinned its views, and asks for fewer patches of those that come
        cache = self.cache if views.patches == self.config.patches else None
        if cache and (found := cache.find(drive, index, stamp_ns)):
            return found
        start = time.perf_counter()
        encoded = self._encoded(image, index)
        encoded = encoded._replace(seconds=time.perf_counter() - start)
        if cache:
            cache.add(drive, index, stamp_ns, encoded)
        return encoded

    def _encoded(self, image: PosedImage, index: int) -> EncodedImage:
        """index: among the views of its drive."""
        grey_hw, camera = self._grey(image)
        intrinsics_4 = _intrinsics(camera)
        descriptor_G = self._r2former.encode(image.image_rgb_hwc) if self._r2former else None
        count = self.views.copies
        if self._passes:
            count = self._passes.of(len(self.views) // self._ranks.count)
        rng = np.random.default_rng((self._seed, index))
        valid_hw = patches_see(camera.valid_hw)
        copies = [self._encode(grey_hw, valid_hw)] if self._augmentation.plain_first else []
        while len(copies) < count:
            warped = augment(grey_hw, camera, self._augmentation, rng)
            found = self._encode(warped.grey_hw, warped.valid_hw, rng)
            recorded_n2 = warped.to_recorded(found.pixels_n2.numpy().astype(np.float64))
            copies.append(found._replace(pixels_n2=torch.from_numpy(recorded_n2).float()))
        return EncodedImage(copies, intrinsics_4, descriptor_G)

    def _grey(self, image: PosedImage) -> tuple[NDArray[np.uint8], Camera]:
        """The image as the encoder takes it, and its camera."""
        return grey_as_encoded(
            self._encoder, image.image_rgb_hwc, image.camera, self.config.short_side_px
        )

    def _encode(
        self,
        grey_hw: NDArray[np.uint8],
        valid_hw: NDArray[np.bool_] | None = None,
        rng: np.random.Generator | None = None,
    ) -> LocalFeatures:
        encoder, patches = self._encoder, self.views.patches
        valid_HW = None if valid_hw is None else torch.from_numpy(valid_hw).to(encoder.device)
        grey_11HW = to_tensor(grey_hw, encoder.device)
        if rng is None or not self.config.sampled:
            found = encoder.encode(grey_11HW, patches, valid_HW)
        else:
            cells = grey_hw.size // encoder.stride_px**2
            found = encoder.encode(grey_11HW, cells, valid_HW).sampled(patches, rng)
        # there may be hundreds of them: in the memory where they will stay
        descriptors_nC = found.descriptors_nC.half().cpu()
        return LocalFeatures(descriptors_nC, found.pixels_n2.cpu(), found.scores_n.cpu())

    def buffer(
        self,
        origin_3: NDArray[np.float64],
        triangulation: TriangulationConfig | None,
        device: torch.device,
        on_view: Callable[[], None] = lambda: None,
    ) -> FeatureBuffer:
        """All samples, with points where keypoints could be triangulated. On a CPU they are the
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
        camera_from_map_v34 = torch.stack([camera_from_map(pose, origin_3) for pose in poses])
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

        def triangulated(index: int) -> tuple[torch.Tensor, torch.Tensor]:
            near = [at(other) for other in neighbours[index]]
            return triangulate_view(at(index), near, config)

        own = [i for i in range(self.triangulated, len(self.views)) if self._ranks.owns(i)]
        for start in range(0, len(own), _VIEWS_AT_ONCE):
            some = own[start : start + _VIEWS_AT_ONCE]
            for index, (points_n3, good_n) in zip(
                some, in_parallel(triangulated, some), strict=True
            ):
                self._place(index, points_n3.cpu(), good_n.cpu())
                self.triangulated = index + 1
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


def _intrinsics(camera: Camera) -> torch.Tensor:
    return torch.tensor(
        [camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px], dtype=torch.float32
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
