"""Map builder: posed images in, scene map out. The order of the steps, and how the minutes are
spent.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.cluster.vq import kmeans2

from glace_ros.errors import MappingError
from glace_ros.features.global_encoder import VladConfig, VladEncoder
from glace_ros.features.local_encoder import local_encoder
from glace_ros.mapping.augmentation import AugmentationConfig
from glace_ros.mapping.feature_buffer import EncodedViews, FeatureBufferConfig
from glace_ros.mapping.feature_diffusion import CodeStatistics, covisible_views, measure_codes
from glace_ros.mapping.landmark_selection import LandmarkConfig, select_landmarks
from glace_ros.mapping.map_trainer import MapTrainer, MapTrainerConfig, TrainingProgress
from glace_ros.mapping.ranks import Ranks
from glace_ros.mapping.share_exchange import exchange_features, gather_placed
from glace_ros.mapping.triangulation import TriangulationConfig
from glace_ros.scene.coordinate_head import CoordinateHead, CoordinateHeadConfig
from glace_ros.scene.scene_map import MapMetadata, SceneMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from glace_ros.camera import Camera
    from glace_ros.features.local_encoder import LocalFeatures
    from glace_ros.mapping.training_checkpoint import TrainingCheckpoint
    from glace_ros.pose import Pose
    from glace_ros.recording.posed_images import PosedImage
    from glace_ros.scene.landmarks import Landmarks

MIN_VIEWS = 10


@dataclass(frozen=True)
class MapBuilderConfig:
    """minutes: of wall time for the whole build, 0 = train for trainer.iterations instead.

    global_encoder: "vlad", "none", or "kmeans:K" for the paper's K codes without diffusion.
    sigma: of the feature diffusion, negative = measured. neighbour_codes: half of the samples get
    the code of a co-visible view.
    triangulation None: points are left to the network, as in the paper; there are no landmarks
    without them either.
    """

    minutes: float = 5.0
    local_encoder: str = "xfeat"
    global_encoder: str = "vlad"
    sigma: float = -1.0
    neighbour_codes: bool = False
    preset: str = "default"
    seed: int = 0
    head: CoordinateHeadConfig = field(default_factory=CoordinateHeadConfig)
    vlad: VladConfig = field(default_factory=VladConfig)
    buffer: FeatureBufferConfig = field(default_factory=FeatureBufferConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    triangulation: TriangulationConfig | None = field(default_factory=TriangulationConfig)
    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)
    trainer: MapTrainerConfig = field(default_factory=MapTrainerConfig)


@dataclass(frozen=True)
class RecordingDescription:
    """What a map keeps of the recording it was made from."""

    map_frame: str
    base_frame: str
    camera_frame: str
    image_topic: str
    camera_info_topic: str
    camera: Camera
    bag_name: str
    bag_hash: str


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
        self.seconds: dict[str, float] = {}
        self.encoded = EncodedViews(
            self._encoder, config.buffer, config.augmentation, config.seed, image_count, ranks
        )
        self.codes: CodeStatistics | None = None
        self.points_share = 0.0
        self.steps = 0
        self._landmarks: Landmarks | None = None
        self._vlad: VladEncoder | None = None
        self._neighbours_vk: torch.Tensor | None = None
        self._sigma = 0.0

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
                f"only {len(self.encoded.views)} usable keyframes, a map needs {MIN_VIEWS}: record "
                "a longer drive, or lower --keyframe-dist and --keyframe-angle"
            )

    def prepare(self, on_view: Callable[[], None] = lambda: None) -> None:
        """Triangulate what matches, choose landmarks, and learn the global codes."""
        start = time.perf_counter()
        views, config, ranks = self.encoded.views, self.config, self._ranks
        self._positions_v3 = np.stack([pose.translation_3 for pose in views.map_from_camera])
        self._origin_3 = self._positions_v3.mean(axis=0)
        if ranks.count > 1:
            exchange_features(views, ranks, config.buffer.max_bytes)
        self._buffer = self.encoded.buffer(
            self._origin_3, config.triangulation, self._device, on_view
        )
        self.points_share = float(self._buffer.samples.has_point_n.float().mean())
        placed = gather_placed(self._buffer, ranks, config.landmarks.observations, config.seed)
        learned = None
        if ranks.rank == 0:
            self._landmarks = select_landmarks(placed, config.landmarks, config.seed)
            learned = self._learn_codes(), self._vlad, self._sigma, self._neighbours_vk
        learned = ranks.from_first(learned)
        assert learned
        self._codes_vG, self._vlad, self._sigma, self._neighbours_vk = learned
        views.forget_lent()
        self.seconds["prepare"] = time.perf_counter() - start

    def train(
        self,
        reserve_s: float = 0.0,
        on_progress: Callable[[TrainingProgress], None] = lambda _: None,
        checkpoint: TrainingCheckpoint | None = None,
    ) -> None:
        """Train the head. reserve_s of the minutes are left over for the caller."""
        start = time.perf_counter()
        trainer = MapTrainer(
            replace(self.config.trainer, seed=self.config.seed),
            self._buffer,
            self._codes_vG,
            self._sigma,
            self._head_config(),
            self._centres(self._positions_v3 - self._origin_3),
            self._device,
            self._neighbours_vk,
            self._ranks,
        )
        trainer.train(self._training_seconds(reserve_s), on_progress, checkpoint)
        self.seconds["train"] = time.perf_counter() - start
        self.steps = trainer.step
        self._head: CoordinateHead = trainer.head

    @property
    def samples_per_second(self) -> float:
        """Patches trained on a second."""
        return self.steps * self.config.trainer.batch / max(1e-9, self.seconds["train"])

    def scene_map(self, description: RecordingDescription) -> SceneMap:
        """The trained map, not judged yet."""
        config = self.config
        metadata = MapMetadata(
            **vars(description),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            preset=config.preset,
            seed=config.seed,
            local_encoder=config.local_encoder,
            local_encoder_hash=self._encoder.weights_hash,
            global_encoder=self._vlad.name if self._vlad else "none",
            vlad_patches=config.vlad.patches,
            sigma=self._sigma,
            short_side_px=config.buffer.short_side_px,
            origin_m=tuple(float(value) for value in self._origin_3),  # type: ignore[arg-type]
            head=self._head_config(),
            training={
                "steps": self.steps,
                "views": len(self.encoded.views),
                "points_share": self.points_share,
            },
        )
        # through fp16, as the file will have it: what is judged is what is saved
        head = CoordinateHead(self._head_config())
        exact = set(head.full_precision_parameters())
        for name, tensor in self._head.state_dict().items():
            rounded = tensor.cpu() if name in exact else tensor.cpu().half().float()
            head.state_dict()[name].copy_(rounded)
        return SceneMap(metadata, head, self._vlad, self._landmarks)

    def _learn_codes(self) -> torch.Tensor | None:
        views, config = self.encoded.views, self.config
        if config.global_encoder == "none":
            return None
        clusters = _clusters(config.global_encoder)
        features = [view.features for view in views]
        poses = [view.map_from_camera for view in views]
        # through fp16, as the file will have it
        learned = VladEncoder.learn(features, poses, config.vlad, config.seed)
        self._vlad = learned.map_tensors(_rounded)
        codes_vG = torch.stack([self._vlad.encode(view) for view in features])
        self.codes = self._measured_codes(features, poses)
        if clusters:
            clustered = self._vlad.with_clusters(codes_vG, min(clusters, len(views)), config.seed)
            self._vlad = clustered.map_tensors(_rounded)
            return torch.stack([self._vlad.encode(view) for view in features])
        positions_v3 = torch.from_numpy(self._positions_v3 - self._origin_3).float()
        self._vlad = self._vlad.with_views(codes_vG, positions_v3).map_tensors(_rounded)
        if config.neighbour_codes:
            self._neighbours_vk = torch.from_numpy(covisible_views(poses, config.seed))
        self._sigma = config.sigma if config.sigma >= 0 else self._measured_sigma()
        return codes_vG

    def _measured_codes(
        self, features: list[LocalFeatures], poses: list[Pose]
    ) -> CodeStatistics | None:
        """Of views that the codes were not learned from: a query is none of those either."""
        held_out_n = np.arange(len(features)) % 4 == 2
        kept = np.flatnonzero(~held_out_n)
        encoder = VladEncoder.learn(
            [features[i] for i in kept], [poses[i] for i in kept],
            self.config.vlad, self.config.seed,
        )  # fmt: skip
        codes_vG = torch.stack([encoder.encode(view) for view in features])
        return measure_codes(codes_vG.numpy(), poses, held_out_n)

    def _measured_sigma(self) -> float:
        if self.codes is None:
            raise MappingError(
                "the strength of feature diffusion cannot be measured, since no two views are "
                "co-visible, or all are: give --sigma, or use --global-encoder none"
            )
        return self.codes.sigma

    def _head_config(self) -> CoordinateHeadConfig:
        channels = self._vlad.channels if self._vlad else 0
        clusters = min(self.config.head.clusters, len(self.encoded.views))
        return replace(self.config.head, global_channels=channels, clusters=clusters)

    def _centres(self, positions_v3: NDArray[np.float64]) -> torch.Tensor:
        clusters = self._head_config().clusters
        return torch.from_numpy(_cluster_centres(positions_v3, clusters, self.config.seed)).float()

    def _training_seconds(self, reserve_s: float) -> float | None:
        if self.config.minutes <= 0:
            return None
        left = 60 * self.config.minutes - (time.perf_counter() - self._started) - reserve_s
        # a schedule squeezed into nothing would give a map of noise: rather late than useless
        return max(left, 0.3 * 60 * self.config.minutes)


def _cluster_centres(
    positions_v3: NDArray[np.float64], clusters: int, seed: int
) -> NDArray[np.float64]:
    """K-means centres (clusters, 3), the best of several tries: one try alone easily leaves a room
    without a centre and gives another two.
    """
    rng = np.random.default_rng(seed)
    best_k3, least = positions_v3.mean(axis=0, keepdims=True), np.inf
    for _ in range(8 if clusters > 1 else 0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty cluster: not the best try
            centres_k3, label_v = kmeans2(positions_v3, clusters, minit="++", seed=rng)
        scatter = float(np.square(positions_v3 - centres_k3[label_v]).sum())
        if scatter < least:
            best_k3, least = centres_k3, scatter
    return np.asarray(best_k3)


def _rounded(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().float()


def _clusters(global_encoder: str) -> int:
    """K of "kmeans:K", 0 for "vlad". Raises MappingError for another name."""
    name, _, count = global_encoder.partition(":")
    if global_encoder == "vlad":
        return 0
    if name == "kmeans" and count.isdecimal() and int(count) > 0:
        return int(count)
    raise MappingError(
        f"the global encoder '{global_encoder}' is unknown: use vlad, none or kmeans:K"
    )
