"""Map builder: posed images in, scene map out. The order of the steps, and how the minutes are
spent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.errors import MappingError
from glace_ros.features.encoder_names import r2former_part
from glace_ros.features.local_encoder import local_encoder
from glace_ros.features.r2former_encoder import R2FormerEncoder
from glace_ros.mapping.camera_groups import camera_groups, cluster_centres
from glace_ros.mapping.global_descriptors import GlobalDescriptors
from glace_ros.mapping.landmark_selection import select_landmarks
from glace_ros.mapping.map_builder_config import MapBuilderConfig
from glace_ros.mapping.share_exchange import exchange_features, gather_triangulated
from glace_ros.mapping.training.head_training import train_heads
from glace_ros.mapping.training.map_trainer import MapTrainer
from glace_ros.mapping.training.schedule import TrainingProgress
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.maps.coordinate_head import CoordinateHeadConfig
from glace_ros.maps.landmarks import Landmarks
from glace_ros.maps.map_metadata import MapMetadata, RecordingDescription
from glace_ros.maps.scene_map import SceneMap
from glace_ros.ranks import Ranks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glace_ros.mapping.descriptor_statistics import DescriptorStatistics
    from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint
    from glace_ros.mapping.views.feature_buffer import FeatureBuffer
    from glace_ros.recording.posed_images import PosedImage

Cached = Callable[[str, Callable[[], dict[str, torch.Tensor]]], dict[str, torch.Tensor]]

MIN_VIEWS = 10


class MapBuilder:
    """Call `encode`, `prepare`, `train`, then `scene_map`. Training gets the minutes that are left.

    seconds: what each step took. started: perf_counter at construction, from which minutes count.
    image_count: of the recording, where known. ranks: that make the map together; all of them call
    all but `scene_map`, which is for rank 0.
    """

    def __init__(
        self,
        config: MapBuilderConfig,
        device: torch.device,
        image_count: int | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.config = config
        self._device = device
        self._ranks = ranks = ranks or Ranks()
        self._started = time.perf_counter()
        self._encoder = local_encoder(config.local_encoder, device)
        self._r2former: R2FormerEncoder | None = None
        if codes := r2former_part(config.global_encoder):
            self._r2former = R2FormerEncoder(codes, device)
        self.seconds: dict[str, float] = {}
        self.encoded = EncodedViews(
            self._encoder, config.buffer, config.augmentation, config.seed, image_count, ranks,
            self._r2former,
        )  # fmt: skip
        self.triangulated_ratio = 0.0
        self.steps = 0
        self._landmarks: Landmarks | None = None
        self._descriptors: GlobalDescriptors | None = None

    def encode(
        self, images: Iterable[PosedImage], on_image: Callable[[], None] = lambda: None
    ) -> None:
        """All mapping images. Raises MappingError for fewer than MIN_VIEWS."""
        start, reading = time.perf_counter(), 0.0
        iterator = iter(images)
        while True:
            read_at = time.perf_counter()
            image = next(iterator, None)
            reading += time.perf_counter() - read_at
            if image is None:
                break
            self.encoded.add(image)
            on_image()
        self.seconds["read"] = reading
        self.seconds["encode"] = time.perf_counter() - start - reading
        if len(self.encoded.views) < MIN_VIEWS:
            raise MappingError(
                f"only {len(self.encoded.views)} usable keyframes, a map needs {MIN_VIEWS}: give "
                "it more images (a longer drive), or lower --keyframe-dist and --keyframe-angle"
            )

    def prepare(
        self, on_view: Callable[[], None] = lambda: None, cached: Cached = lambda _, make: make()
    ) -> None:
        """Triangulate what matches, choose landmarks, and learn the global codes.

        kept: gives the tensors of that name from an earlier run, or those that are made now.
        Raises MappingError where the cameras are too few for the ensemble.
        """
        start = time.perf_counter()
        views, config, ranks = self.encoded.views, self.config, self._ranks
        self._positions_v3 = np.stack([pose.translation_3 for pose in views.map_from_camera])
        self._origin_3 = self._positions_v3.mean(axis=0)
        self._group_v = ranks.from_first(
            camera_groups(self._positions_v3, config.ensemble, MIN_VIEWS, config.seed)
        )
        if ranks.count > 1:
            exchange_features(views, ranks, config.buffer.max_bytes)
        self._buffer = self.encoded.buffer(
            self._origin_3,
            config.triangulation if self._encoder.finds_keypoints else None,
            self._device,
            on_view,
        )
        self.triangulated_ratio = float(self._buffer.samples.has_point_n.float().mean())
        triangulated = gather_triangulated(
            self._buffer, ranks, config.landmarks.observations, config.seed
        )
        learned, descriptors_vG = None, views.descriptors_vG
        if descriptors_vG is not None:  # each rank has those of its own images, and zeros
            descriptors_vG = torch.stack(ranks.gather(descriptors_vG)).sum(dim=0)
        if ranks.rank == 0:
            landmarks = cached("landmarks", lambda: self._selected_landmarks(triangulated))
            self._landmarks = Landmarks(**landmarks) if landmarks else None
            learned = self._learned_descriptors(cached, descriptors_vG)
        self._descriptors = ranks.from_first(learned)
        self._sigma = self._descriptors.sigma(config.sigma) if self._descriptors else 0.0
        views.forget_lent()
        self.seconds["prepare"] = time.perf_counter() - start

    def train(
        self,
        reserve_s: float = 0.0,
        on_progress: Callable[[TrainingProgress], None] = lambda _: None,
        checkpoint: TrainingCheckpoint | None = None,
    ) -> None:
        """Train all heads. reserve_s of the minutes are left over for the caller."""
        start = time.perf_counter()
        self._heads, self.steps = train_heads(
            self._trainer, self.config.ensemble, lambda: self._training_seconds(reserve_s),
            on_progress, checkpoint,
        )  # fmt: skip
        self.seconds["train"] = time.perf_counter() - start

    def _trainer(self, head: int) -> MapTrainer:
        """Of one head, on the views of its group."""
        of_view_v, shape, seed = self._group_v == head, self._head_config(), self.config.seed
        positions_v3 = (self._positions_v3 - self._origin_3)[of_view_v]
        return MapTrainer(
            replace(self.config.trainer, seed=seed + head),
            self._buffer,
            self._descriptors.descriptors_vG if self._descriptors else None,
            self._sigma,
            shape,
            torch.from_numpy(cluster_centres(positions_v3, shape.clusters, seed)).float(),
            self._device,
            self._descriptors.neighbours_vk if self._descriptors else None,
            self._ranks,
            of_view_v if self.config.ensemble > 1 else None,
        )

    @property
    def codes(self) -> DescriptorStatistics | None:
        """How well global codes tell co-visible views; None where there are none."""
        return self._descriptors.statistics if self._descriptors else None

    @property
    def samples_per_second(self) -> float:
        """Patches trained on a second."""
        return self.steps * self.config.trainer.batch / max(1e-9, self.seconds["train"])

    def scene_map(self, description: RecordingDescription) -> SceneMap:
        """The trained map, not judged yet."""
        config = self.config
        encoder = self._descriptors.encoder if self._descriptors else None
        metadata = MapMetadata(
            **vars(description),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            preset=config.preset,
            seed=config.seed,
            local_encoder=config.local_encoder,
            local_encoder_hash=self._encoder.weights_hash,
            global_encoder=self._descriptors.name if self._descriptors else config.global_encoder,
            global_encoder_hash=self._r2former.weights_hash if self._r2former else "",
            vlad_patches=config.vlad.patches,
            sigma=self._sigma,
            short_side_px=config.buffer.short_side_px,
            origin_m=tuple(float(value) for value in self._origin_3),  # type: ignore[arg-type]
            head=self._head_config(),
            heads=config.ensemble,
            training={
                "steps": self.steps,
                "views": len(self.encoded.views),
                "points_share": self.triangulated_ratio,
            },
        )
        heads = [head.rounded() for head in self._heads]
        return SceneMap(metadata, heads, encoder, self._landmarks)

    def _selected_landmarks(self, triangulated: FeatureBuffer) -> dict[str, torch.Tensor]:
        landmarks = select_landmarks(triangulated, self.config.landmarks, self.config.seed)
        return landmarks.tensors() if landmarks else {}

    def _learned_descriptors(
        self, cached: Cached, descriptors_vG: torch.Tensor | None
    ) -> GlobalDescriptors | None:
        config, views = self.config, self.encoded.views
        if config.global_encoder == "none":
            return None
        if descriptors_vG is not None:
            return GlobalDescriptors.given(
                descriptors_vG, views.map_from_camera, config.global_encoder, config.seed,
                neighbour_descriptors=config.neighbour_descriptors,
            )  # fmt: skip

        def learn() -> dict[str, torch.Tensor]:
            return GlobalDescriptors.learn(
                [view.features for view in views], views.map_from_camera, self._origin_3,
                config.global_encoder, config.vlad, config.seed,
                neighbour_descriptors=config.neighbour_descriptors,
            ).tensors()  # fmt: skip

        return GlobalDescriptors.from_tensors(cached("codes", learn), config.vlad.patches)

    def _head_config(self) -> CoordinateHeadConfig:
        channels = self._descriptors.channels if self._descriptors else 0
        clusters = min(self.config.head.clusters, int(np.bincount(self._group_v).min()))
        return replace(
            self.config.head,
            local_channels=self._encoder.channels,
            global_channels=channels,
            clusters=clusters,
            scaled_inputs=self._encoder.unit_norm,
        )

    def _training_seconds(self, reserve_s: float) -> float | None:
        if self.config.minutes <= 0:
            return None
        left = 60 * self.config.minutes - (time.perf_counter() - self._started) - reserve_s
        # a schedule squeezed into nothing would give a map of noise: rather late than useless
        return max(left, 0.3 * 60 * self.config.minutes)
