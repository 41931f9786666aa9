"""Map builder: posed images in, scene map out. The order of the steps, and how the minutes are
spent. The file is longer than others: what one step gives, the next one takes.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np
import torch

from glace_ros.errors import MappingError
from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.features.local_encoder import local_encoder
from glace_ros.features.preprocessing import grey_as_encoded
from glace_ros.features.r2former_encoder import R2FormerEncoder
from glace_ros.mapping.build_steps import Encoded, Prepared, Trained
from glace_ros.mapping.camera_groups import camera_groups, cluster_centres
from glace_ros.mapping.global_descriptors import global_descriptors_of
from glace_ros.mapping.landmark_selection import select_landmarks
from glace_ros.mapping.landmark_tracks import ViewsShutter, place_landmarks, tracked_views
from glace_ros.mapping.pose_refinement.pose_check import PoseCheck
from glace_ros.mapping.pose_refinement.refined_poses import RefinedPoses
from glace_ros.mapping.share_exchange import exchange_features, gather_triangulated
from glace_ros.mapping.training.head_training import train_heads
from glace_ros.mapping.training.map_trainer import MapTrainer
from glace_ros.mapping.view_refinement import (
    ViewImages,
    cause_of_misfit,
    pose_refinement,
    precise_keypoints_of,
)
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.maps.coordinate_head import CoordinateHeadConfig
from glace_ros.maps.landmarks import Landmarks
from glace_ros.maps.map_metadata import MapMetadata, RecordingDescription
from glace_ros.maps.scene_map import SceneMap
from glace_ros.ranks import Ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.mapping.global_descriptors import GlobalDescriptors
    from glace_ros.mapping.map_builder_config import MapBuilderConfig
    from glace_ros.mapping.pose_refinement.misfit_cause import MisfitCause
    from glace_ros.mapping.pose_refinement.precise_keypoints import PreciseKeypoints
    from glace_ros.mapping.pose_refinement.refinement_view import RecordedMotion
    from glace_ros.mapping.resume.encoding_journal import Cached
    from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint
    from glace_ros.mapping.training.schedule import TrainingProgress
    from glace_ros.mapping.views.feature_buffer import FeatureBuffer
    from glace_ros.maps.coordinate_head import CoordinateHead
    from glace_ros.recording.posed_images import PosedImage

MIN_VIEWS = 10
"""Fewer show too little of a place from too few sides: their map would be a few photographs."""
_LEAST_TRAINING = 0.3
"""Ratio of the minutes that training gets, however long everything before it took."""


class MapBuilder:
    """`encode`, `prepare`, `train`, `scene_map`: each takes what the ones before it gave.

    config: what the map is made with.
    device: of the encoders and of training.
    ranks: that make the map together; all of them take all steps but `scene_map`, which is for
    rank 0.

    The minutes count from its construction; training gets those that are left.
    """

    def __init__(
        self, config: MapBuilderConfig, device: torch.device, ranks: Ranks | None = None
    ) -> None:
        """Raises WeightsError where an encoder's weights are not here."""
        self.config = config
        self._device = device
        self._ranks = ranks or Ranks()
        self._started = time.perf_counter()
        self.refine_s = 0.0
        """That looking at the poses took, and refining them."""
        self._encoder = local_encoder(config.local_encoder, device)
        network = GlobalEncoderName.parse(config.global_encoder).r2former
        self._r2former = R2FormerEncoder(network, device) if network else None

    def no_views(self, image_count: int | None = None) -> EncodedViews:
        """Where `encode` is to put its patches; those of an interrupted run can go there first.

        image_count: of the recording, at most; None = unknown. Exactly, where passes over the
        images fill the buffer, which takes it.
        """
        config = self.config
        return EncodedViews(
            self._encoder, config.buffer, config.augmentation, config.seed, image_count,
            self._ranks, self._r2former,
        )  # fmt: skip

    def encode(
        self,
        images: Iterable[PosedImage],
        collected: EncodedViews,
        on_image: Callable[[], None] = lambda: None,
    ) -> Encoded:
        """Add all mapping images to what is collected. Raises MappingError where that are then
        fewer than MIN_VIEWS.
        """
        start, read_s = time.perf_counter(), 0.0
        iterator = iter(images)
        while True:
            read_at = time.perf_counter()
            image = next(iterator, None)
            read_s += time.perf_counter() - read_at
            if image is None:
                break
            collected.add(image)
            on_image()
        encode_s = time.perf_counter() - start - read_s
        if len(collected.views) < MIN_VIEWS:
            raise MappingError(
                f"only {len(collected.views)} usable keyframes, a map needs {MIN_VIEWS}: give "
                "it more images (a longer drive), or lower --keyframe-dist and --keyframe-angle"
            )
        return Encoded(collected, read_s, encode_s)

    def refine(
        self,
        encoded: Encoded,
        motions: Sequence[RecordedMotion],
        names: Sequence[str],
        images_at: Callable[[set[tuple[int, int]]], Iterable[PosedImage]],
        on_progress: Callable[[float, str], None] = lambda _, __: None,
        cached: Cached = lambda _, make: make(),
    ) -> RefinedPoses:
        """Give all views the poses that fit the images, those of the first one's stretch in its
        frame. Only where the local encoder finds keypoints, in one process.

        motions: of each view.
        names: of the stretches of way, for people.
        images_at: gives the images with these (drive, stamp in ns) once more.
        on_progress: is told how much is done, 0 to 1, and what is being done.
        Raises MappingError where a stretch shows nothing of the others.
        """
        views, config = encoded.views, self.config.refinement

        def precise() -> list[PreciseKeypoints]:
            images = ViewImages(views, images_at, self._grey)
            return precise_keypoints_of(views, images, config.precise)

        def make() -> dict[str, torch.Tensor]:
            steps = pose_refinement(views, motions, names, config, precise, on_progress)
            return steps.run().tensors()

        start = time.perf_counter()
        refined = RefinedPoses.of(cached("poses", make))
        views.set_poses(refined.map_from_camera)
        self.refine_s += time.perf_counter() - start
        return refined

    def as_recorded(
        self,
        encoded: Encoded,
        motions: Sequence[RecordedMotion],
        names: Sequence[str],
        on_progress: Callable[[float, str], None] = lambda _, __: None,
        cached: Cached = lambda _, make: make(),
    ) -> PoseCheck:
        """Whether the recorded poses fit the images, and what camera does; arguments as of
        `refine`.
        """
        start, config = time.perf_counter(), self.config.refinement

        def check() -> dict[str, torch.Tensor]:
            steps = pose_refinement(encoded.views, motions, names, config, None, on_progress)
            return steps.as_recorded().tensors()

        found = PoseCheck.of(cached("check", check))
        self.refine_s += time.perf_counter() - start
        return found

    def misfit_cause(
        self,
        encoded: Encoded,
        motions: Sequence[RecordedMotion],
        pose_at: Callable[[int, float], Pose | None],
    ) -> MisfitCause | None:
        """Why recorded poses do not fit the images, where these tell.

        pose_at: as of `misfit_cause`.
        """
        start = time.perf_counter()
        cause = cause_of_misfit(encoded.views, motions, self.config.refinement, pose_at)
        self.refine_s += time.perf_counter() - start
        return cause

    def prepare(
        self,
        encoded: Encoded,
        on_view: Callable[[], None] = lambda: None,
        cached: Cached = lambda _, make: make(),
    ) -> Prepared:
        """Triangulate what matches, choose landmarks, and learn the global descriptors.

        on_view: called for each view that was triangulated.
        Raises MappingError where the cameras are too few for the ensemble.
        """
        start = time.perf_counter()
        views, config, ranks = encoded.views, self.config, self._ranks
        positions_v3 = np.stack([pose.translation_3 for pose in views.map_from_camera])
        group_v = ranks.from_first(
            camera_groups(positions_v3, config.ensemble, MIN_VIEWS, config.seed)
        )
        if ranks.count > 1:
            exchange_features(views, ranks, config.buffer.max_bytes)
        triangulation = config.triangulation if self._encoder.finds_keypoints else None
        buffer = encoded.collected.buffer(
            positions_v3.mean(axis=0), triangulation, self._device, on_view
        )
        triangulated_ratio = float(buffer.samples.has_point_n.float().mean())
        triangulated = gather_triangulated(
            buffer, ranks, config.landmarks.observations, config.seed
        )
        descriptors_vG = views.descriptors_vG
        if descriptors_vG is not None:  # each rank has those of its own images, and zeros
            descriptors_vG = torch.stack(ranks.gather(descriptors_vG)).sum(dim=0)
        landmarks, learned = None, None
        if ranks.rank == 0:
            landmarks = self._landmarks(triangulated, cached)
            learned = global_descriptors_of(views, descriptors_vG, buffer.origin_3, config, cached)
        descriptors = ranks.from_first(learned)
        sigma = descriptors.sigma(config.sigma) if descriptors else 0.0
        by_landmarks = triangulation is not None and config.landmarks.most > 0
        head = self._head_config(descriptors, group_v, by_landmarks=by_landmarks)
        views.forget_lent()
        seconds = time.perf_counter() - start
        return Prepared(
            buffer, positions_v3, group_v, triangulated_ratio, landmarks, descriptors, sigma, head,
            seconds,
        )  # fmt: skip

    def place_landmarks(
        self,
        encoded: Encoded,
        prepared: Prepared,
        shutter: ViewsShutter,
        images_at: Callable[[set[tuple[int, int]]], Iterable[PosedImage]],
        on_image: Callable[[], None] = lambda: None,
        cached: Cached = lambda _, make: make(),
    ) -> Prepared:
        """Place the landmarks by what all views see of them, and give them templates.

        shutter: of all views.
        images_at: gives the images with these (drive, stamp in ns) once more.
        on_image: called for each image, twice.
        """
        landmarks, start = prepared.landmarks, time.perf_counter()
        if landmarks is None:
            return prepared

        def place() -> dict[str, torch.Tensor]:
            tracked = tracked_views(encoded.views, prepared.buffer.origin_3, shutter)
            images = ViewImages(encoded.views, images_at, self._grey, on_image)
            return place_landmarks(landmarks, tracked, images, self.config.tracks).tensors()

        placed = Landmarks.from_tensors(cached("tracks", place), self._encoder.channels)
        seconds = prepared.seconds + time.perf_counter() - start
        return replace(prepared, landmarks=placed, seconds=seconds)

    def train(
        self,
        prepared: Prepared,
        reserve_s: float = 0.0,
        on_progress: Callable[[TrainingProgress], None] = lambda _: None,
        checkpoint: TrainingCheckpoint | None = None,
        still_gains: Callable[[CoordinateHead, int], bool] | None = None,
    ) -> Trained:
        """Train all heads. reserve_s of the minutes are left over for the caller.

        still_gains: whether more training makes a head better than it is after so many steps; then
            the minutes are the most that it takes.
        """
        start = time.perf_counter()
        heads, steps = train_heads(
            lambda head: self._trainer(prepared, head), self.config.ensemble,
            lambda: self._training_seconds(reserve_s), on_progress, checkpoint, still_gains,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        return Trained(heads, steps, steps * self.config.trainer.batch, seconds)

    def scene_map(
        self, prepared: Prepared, trained: Trained, description: RecordingDescription
    ) -> SceneMap:
        """The trained map, not validated yet."""
        config, descriptors = self.config, prepared.descriptors
        origin_3 = prepared.buffer.origin_3
        metadata = MapMetadata(
            **vars(description),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            preset=config.preset,
            seed=config.seed,
            local_encoder=config.local_encoder,
            local_encoder_hash=self._encoder.weights_hash,
            global_encoder=descriptors.name if descriptors else config.global_encoder,
            global_encoder_hash=self._r2former.weights_hash if self._r2former else "",
            vlad_patches=config.vlad.patches,
            sigma=prepared.sigma,
            short_side_px=config.buffer.short_side_px,
            origin_m=tuple(float(value) for value in origin_3),  # type: ignore[arg-type]
            head=prepared.head,
            heads=config.ensemble,
            training={
                "steps": trained.steps,
                "views": len(prepared.buffer.views),
                "points_share": prepared.triangulated_ratio,
            },
        )
        heads = [head.rounded() for head in trained.heads]
        encoder = descriptors.encoder if descriptors else None
        return SceneMap(metadata, heads, encoder, prepared.landmarks)

    def _trainer(self, prepared: Prepared, head: int) -> MapTrainer:
        """Of one head, on the views of its group."""
        of_view_v, shape, seed = prepared.group_v == head, prepared.head, self.config.seed
        buffer, descriptors = prepared.buffer, prepared.descriptors
        positions_v3 = (prepared.positions_v3 - buffer.origin_3)[of_view_v]
        return MapTrainer(
            replace(self.config.trainer, seed=seed + head),
            buffer,
            descriptors.descriptors_vG if descriptors else None,
            prepared.sigma,
            shape,
            torch.from_numpy(cluster_centres(positions_v3, shape.clusters, seed)).float(),
            self._device,
            descriptors.neighbours_vk if descriptors else None,
            self._ranks,
            of_view_v if self.config.ensemble > 1 else None,
        )

    def _landmarks(self, triangulated: FeatureBuffer, cached: Cached) -> Landmarks | None:
        def select() -> dict[str, torch.Tensor]:
            landmarks = select_landmarks(triangulated, self.config.landmarks, self.config.seed)
            return landmarks.tensors() if landmarks else {}

        tensors = cached("landmarks", select)
        return Landmarks.from_tensors(tensors, self._encoder.channels) if tensors else None

    def _head_config(
        self,
        descriptors: GlobalDescriptors | None,
        group_v: NDArray[np.int64],
        *,
        by_landmarks: bool,
    ) -> CoordinateHeadConfig:
        narrow, width = self.config.narrow_head, self.config.head.width
        if narrow and by_landmarks and len(group_v) <= narrow.most_views:
            width = min(width, narrow.width)
        return replace(
            self.config.head,
            width=width,
            local_channels=self._encoder.channels,
            global_channels=descriptors.channels if descriptors else 0,
            clusters=min(self.config.head.clusters, int(np.bincount(group_v).min())),
            scaled_inputs=self._encoder.unit_norm,
        )

    def _grey(self, image: PosedImage) -> NDArray[np.uint8]:
        short_side_px = self.config.buffer.short_side_px
        pixels, camera = image.image_rgb_hwc, image.camera
        return grey_as_encoded(self._encoder, pixels, camera, short_side_px)[0]

    def _training_seconds(self, reserve_s: float) -> float | None:
        if self.config.minutes <= 0:
            return None
        left = 60 * self.config.minutes - (time.perf_counter() - self._started) - reserve_s
        # a schedule squeezed into nothing would give a map of noise: rather late than useless
        return max(left, _LEAST_TRAINING * 60 * self.config.minutes)
