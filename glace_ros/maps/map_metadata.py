"""What a map file says besides its tensors: where it is from, and what it needs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from glace_ros.errors import MappingError, WeightsError
from glace_ros.features.encoder_names import GlobalEncoderName, LocalEncoderName, NetworkName
from glace_ros.features.weights_location import check_weights, found_beside
from glace_ros.geometry.camera import Camera
from glace_ros.maps.coordinate_head import CoordinateHeadConfig, HomogeneousScale

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_HEADS = 64
"""Of an ensemble. Each makes a query slower; the largest that the paper compares with has 50."""


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


@dataclass(frozen=True)
class MapMetadata:
    """Everything about a map that is not a tensor.

    origin_m: of the map's local coordinates in map_frame, float64. map_frame, base_frame,
    camera_frame, camera and the topics: as recorded; empty and None where the map's maker did not
    say. local_encoder, global_encoder: of those with a file of the user's, "ENCODER:FILE", where
    it was found; a map file has its name alone. short_side_px: working size of images
    (features/image_tensors.py). sigma: of the feature diffusion. held_out: accuracy on images
    that training never saw, None where the map was not judged; then the following are
    unknown and have their neutral values. covariance_scale, landmark_covariance_scale: what the
    solver's covariance has to be multiplied by to be true on these, of poses of the head and of
    those that landmarks refined. min_inlier_ratio: of a pose that is accepted. max_rival: a pose in
    another place may have this share of the best one's agreement before the image is ambiguous.
    heads: networks of this shape, each of its own part of the scene; more than one is an ensemble.
    """

    map_frame: str
    base_frame: str
    camera_frame: str
    image_topic: str
    camera_info_topic: str
    camera: Camera | None
    bag_name: str
    bag_hash: str
    created: str
    preset: str
    seed: int
    local_encoder: str
    local_encoder_hash: str
    global_encoder: str
    vlad_patches: int
    sigma: float
    short_side_px: int
    origin_m: tuple[float, float, float]
    head: CoordinateHeadConfig
    held_out: dict[str, Any] | None = None
    covariance_scale: float = 1.0
    landmark_covariance_scale: float = 1.0
    min_inlier_ratio: float = 0.1
    max_rival: float = 0.8
    training: dict[str, Any] = field(default_factory=dict)
    global_encoder_hash: str = ""
    heads: int = 1

    def check_encoders(self) -> None:
        """Raises WeightsError where the encoders are not here, or with other weights."""
        local = LocalEncoderName.parse(self.local_encoder)
        check_weights(local.networks, self.local_encoder_hash)
        if r2former := GlobalEncoderName.parse(self.global_encoder).r2former:
            check_weights([r2former], self.global_encoder_hash)

    def as_header(self) -> dict[str, Any]:
        """For a map file, as JSON: of the encoders' files the names alone."""
        header = asdict(self)
        if self.heads == 1:
            del header["heads"]  # as files were before there were ensembles
        return header | _encoders_with(header, NetworkName.without_folder)

    @staticmethod
    def from_header(header: dict[str, Any], folder: Path) -> MapMetadata:
        """What `as_header` gave; the encoders' files with where they are, seen from the map's
        folder. Raises whatever wrong fields make Python raise, or ValueError.
        """
        fields = header | _encoders_with(header, lambda network: found_beside(network, folder))
        if fields["camera"] is not None:
            distortion = tuple(fields["camera"]["distortion"])
            fields["camera"] = Camera(**{**fields["camera"], "distortion": distortion})
        shape = dict(fields["head"])
        if shape.get("scale") is not None:
            shape["scale"] = HomogeneousScale(**shape["scale"])
        fields["head"] = CoordinateHeadConfig(**shape)
        fields["origin_m"] = tuple(float(value) for value in fields["origin_m"])
        metadata = MapMetadata(**fields)
        if len(metadata.origin_m) != 3 or not np.isfinite(metadata.origin_m).all():
            raise ValueError("its origin is not three finite numbers")
        if type(metadata.heads) is not int or not 1 <= metadata.heads <= MOST_HEADS:
            raise ValueError(f"its number of heads is not of 1 to {MOST_HEADS}")
        return metadata


def _encoders_with(
    header: dict[str, Any], change: Callable[[NetworkName], NetworkName]
) -> dict[str, str]:
    """The names of a header's encoders with their networks changed. An unknown name stays as it is:
    who needs the encoder says so.
    """
    changed = {}
    with suppress(WeightsError):
        local = LocalEncoderName.parse(header["local_encoder"])
        changed["local_encoder"] = str(local.with_networks(change))
    with suppress(MappingError):
        of_image = GlobalEncoderName.parse(header["global_encoder"])
        changed["global_encoder"] = str(of_image.with_networks(change))
    return changed


NOT_VALIDATED = (
    "it was never judged by images with known poses: from which share of inliers a pose is right, "
    "and how large its covariance has to be, is not known, and taken as if nothing had to be "
    "corrected"
)
"""What to say of a map with no accuracy on held-out images, before "it" is in use."""
