"""Whether a recording's poses fit its images, by a few pairs of images: for a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glace_ros.commands.recorded_motions import pose_at
from glace_ros.features.encoder_names import LocalEncoderName
from glace_ros.features.local_encoder import local_encoder
from glace_ros.features.preprocessing import encode_image
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.pose_refinement.misfit_cause import misfit_cause
from glace_ros.mapping.pose_refinement.pose_consistency import PoseConsistency, epipolar_ratio
from glace_ros.mapping.pose_refinement.refinement_view import RefinementView

if TYPE_CHECKING:
    import torch

    from glace_ros.mapping.map_builder_config import MapBuilderConfig
    from glace_ros.recording.posed_image_reader import PosedImageReader
    from glace_ros.recording.posed_images import PosedImage

_PAIRS = 24
"""Of neighbouring keyframes, evenly over the drive: some seconds of a CPU."""


class PoseSample:
    """Hand it all keyframes; it encodes a few."""

    def __init__(
        self, drive: PosedImageReader, config: MapBuilderConfig, device: torch.device
    ) -> None:
        """Raises WeightsError where the local encoder's weights are not here.

        drive: the recording.
        """
        self._drive, self._config = drive, config
        self._every = max(2, drive.info.image_count // _PAIRS)
        self._count = 0
        self._stamps_ns: list[int] = []
        self._views: list[RefinementView] = []
        name = LocalEncoderName.parse(config.local_encoder)
        self._encoder = (
            local_encoder(config.local_encoder, device) if name.finds_keypoints else None
        )

    def add(self, image: PosedImage) -> None:
        """A keyframe, in order."""
        pair, second = divmod(self._count, self._every)
        self._count += 1
        if self._encoder is None or image.map_from_camera is None or second > 1:
            return
        found, camera, _ = encode_image(
            self._encoder, image.image_rgb_hwc, image.camera, self._config.buffer.short_side_px,
            self._config.refinement.keypoints.count,
        )  # fmt: skip
        intrinsics_4 = np.array([camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px])
        self._stamps_ns.append(image.stamp_ns)
        self._views.append(
            RefinementView(
                found.descriptors_nC.float().cpu(), found.pixels_n2.double().cpu().numpy(),
                intrinsics_4, float(camera.height_px), image.map_from_camera, Pose.identity(), pair,
                None,
            )
        )  # fmt: skip

    def sentence(self) -> str:
        """What the images say of the poses; empty where they say nothing."""
        if not self._views:
            return ""
        ratio = epipolar_ratio(self._views, [view.recorded for view in self._views])
        if ratio is None:
            return ""
        found, info = PoseConsistency(ratio, 0, 0), self._drive.info
        cause = misfit_cause(self._views, self._pose_at)
        said = cause.sentence(info.base_from_camera, info.camera.fx_px) if cause else ""
        if not found.fits:
            return f"note: {found._replace(cause=said).sentence()}"
        return (
            f"fit:         {ratio:.0%} of what neighbouring images match lies where the poses say "
            "(85% of a good recording)"
        ) + (f"\nnote: {said}" if said else "")

    def _pose_at(self, view: int, offset_s: float) -> Pose | None:
        return pose_at(self._drive, self._stamps_ns[view], offset_s)
