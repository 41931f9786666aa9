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
from glace_ros.geometry.covariance import CovarianceModel
from glace_ros.geometry.intrinsics_correction import IntrinsicsCorrection, is_same_calibration
from glace_ros.geometry.mount_correction import MountCorrection
from glace_ros.geometry.pose import Pose
from glace_ros.maps.coordinate_head import CoordinateHeadConfig, HomogeneousScale
from glace_ros.ros_messages.value_range import ValueRange

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_HEADS = 64
"""Of an ensemble. Each makes a query slower; the largest that the paper compares with has 50."""

_MOST_READOUT_S = 0.1
"""No camera takes longer from its first row to its last."""


@dataclass(frozen=True)
class RecordingDescription:
    """What a map keeps of the recording it was made from."""

    map_frame: str
    """Of the recorded poses, and of the map."""
    base_frame: str
    """Of the robot."""
    camera_frame: str
    """Of the images, optical axes."""
    image_topic: str
    camera_info_topic: str
    camera: Camera
    """Intrinsics and distortion of the images."""
    bag_name: str
    bag_hash: str
    """SHA-256 of the recording, in hex digits."""
    value_range: ValueRange | None = None
    """Of images of 16 bits, what became black and white; None of those that have 8."""
    camera_pose: tuple[float, ...] | None = None
    """Where the camera sits on the robot (x y z qx qy qz qw), as it was given with --camera-pose;
    None: as it was recorded.
    """


@dataclass(frozen=True)
class MapMetadata:
    """Everything about a map that is not a tensor.

    The first eight are as in RecordingDescription; empty, and None for the camera, where the map's
    maker did not say.
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
    """When, ISO 8601 in UTC."""
    preset: str
    """Of `--preset`, or "imported"."""
    seed: int
    local_encoder: str
    """The text of a LocalEncoderName; a file of the user's is where it was found, or has no folder
    where it was not. A map file has its name alone.
    """
    local_encoder_hash: str
    """SHA-256 of the weights, in hex digits."""
    global_encoder: str
    """The text of a GlobalEncoderName, its file as the local encoder's."""
    vlad_patches: int
    """Local features of an image that count for VLAD."""
    sigma: float
    """Of the feature diffusion's noise on unit-norm global descriptors; 0 = there was none."""
    short_side_px: int
    """Working size of images (features/preprocessing.py)."""
    origin_m: tuple[float, float, float]
    """Of the map's local coordinates in map_frame, float64."""
    head: CoordinateHeadConfig
    """Shape of each network."""
    held_out: dict[str, Any] | None = None
    """Accuracy on images that training never saw; None where the map was not validated: then the
    four that follow, and landmark_sigma_*, are unknown and have their neutral values.
    """
    covariance_scale: float = 1.0
    """What the solver's covariance of a head's pose has to be multiplied by to be true."""
    landmark_covariance_scale: float = 1.0
    """The same of poses that landmarks refined."""
    min_inlier_ratio: float = 0.1
    """Of a pose that is accepted: inliers / predicted points."""
    max_rival: float = 0.8
    """Ratio of the second-best hypothesis's agreement to the best's (`second_best_ratio` in
    localization/acceptance.py), above which an image is ambiguous. The name is the file's.
    """
    window_rivals: tuple[float, ...] | None = None
    """As max_rival, of the last images together: of one, two, ..., the last one of more; None where
    held-out images showed too few places that look alike.
    """
    training: dict[str, Any] = field(default_factory=dict)
    """What is told of it: steps, views, ratio of triangulated features; or where it is from."""
    global_encoder_hash: str = ""
    """SHA-256 of R2Former's weights, in hex digits; empty for other encoders."""
    heads: int = 1
    """Networks of this shape, each of its own part of the scene; more than one is an ensemble."""
    calibration: MountCorrection | None = None
    """Of images with this camera frame; None: mount and stamps are as the robot describes them."""
    intrinsics: IntrinsicsCorrection | None = None
    """Of images with the intrinsics of `camera`; None: these are right."""
    value_range: ValueRange | None = None
    """As in RecordingDescription; None for the high byte, too."""
    camera_pose: tuple[float, ...] | None = None
    """As in RecordingDescription."""
    readout_s: float = 0.0
    """Of images with the intrinsics of `camera`, from the first row to the last, negative where
    rows are read from below; 0: they are exposed at once, or nothing is known.
    """
    landmark_sigma_m: float = 0.0
    """Standard deviation of what poses that landmarks refined err by however many they are."""
    landmark_sigma_rad: float = 0.0
    """The same of their rotation."""

    @property
    def landmark_covariance(self) -> CovarianceModel:
        """What poses err by that landmarks refined."""
        return CovarianceModel(
            self.landmark_covariance_scale, self.landmark_sigma_m, self.landmark_sigma_rad
        )

    def readout_of(self, pinhole: Camera) -> float:
        """Seconds from the first row to the last of an undistorted image, which may be resized; 0
        for a camera that is not the map's own.
        """
        own = self.camera
        return self.readout_s if own and is_same_calibration(pinhole, own) else 0.0

    def calibration_of(self, camera_frame: str) -> MountCorrection | None:
        """What applies to images of a camera: other cameras have mounts of their own."""
        same = camera_frame.lstrip("/") == self.camera_frame.lstrip("/")
        return self.calibration if same else None

    def true_pinhole(self, pinhole: Camera) -> Camera:
        """The camera of an undistorted image, which may be resized: the map's own as the map knows
        it; one of another calibration as it is.
        """
        own, correction = self.camera, self.intrinsics
        if own is None or correction is None or not is_same_calibration(pinhole, own):
            return pinhole
        return correction.of(pinhole)

    def check_encoders(self) -> None:
        """Raises WeightsError where the encoders are not here, or with other weights."""
        local = LocalEncoderName.parse(self.local_encoder)
        check_weights(local.networks, self.local_encoder_hash)
        if r2former := GlobalEncoderName.parse(self.global_encoder).r2former:
            check_weights([r2former], self.global_encoder_hash)

    def as_header(self) -> dict[str, Any]:
        """For a map file, as JSON: of the encoders' files the names alone."""
        header = asdict(self)
        if self.camera is not None:
            del header["camera"]["lens"]  # this is the lens
        if self.heads == 1:
            del header["heads"]  # as files were before there were ensembles
        if self.calibration is None:
            del header["calibration"]  # as files were before maps were calibrated
        for later in ("intrinsics", "value_range", "camera_pose", "window_rivals"):
            if header[later] is None:
                del header[later]
        for later in ("readout_s", "landmark_sigma_m", "landmark_sigma_rad"):
            if not header[later]:
                del header[later]
        return header | _encoders_with(header, NetworkName.without_folder)

    @staticmethod
    def from_header(header: dict[str, Any], folder: Path) -> MapMetadata:
        """What `as_header` gave.

        header: of a map file.
        folder: of the map; the encoders' files are looked for from there.

        Raises whatever wrong fields make Python raise, or ValueError.
        """
        fields = header | _encoders_with(header, lambda network: found_beside(network, folder))
        if fields["camera"] is not None:
            distortion = tuple(fields["camera"]["distortion"])
            fields["camera"] = Camera(**{**fields["camera"], "distortion": distortion})
        shape = dict(fields["head"])
        if shape.get("scale") is not None:
            shape["scale"] = HomogeneousScale(**shape["scale"])
        fields["head"] = CoordinateHeadConfig(**shape)
        if fields.get("calibration") is not None:
            fields["calibration"] = MountCorrection.from_header(fields["calibration"])
        if fields.get("intrinsics") is not None:
            fields["intrinsics"] = IntrinsicsCorrection.from_header(fields["intrinsics"])
        if fields.get("value_range") is not None:
            fields["value_range"] = ValueRange(**fields["value_range"])
        if fields.get("camera_pose") is not None:
            fields["camera_pose"] = Pose.of_seven(fields["camera_pose"]).as_seven()
        if fields.get("window_rivals") is not None:
            ratios = fields["window_rivals"] = tuple(map(float, fields["window_rivals"]))
            if not ratios or not all(0.0 < ratio <= 1.0 for ratio in ratios):
                raise ValueError("its window_rivals are not ratios of 0 to 1")
        fields["origin_m"] = tuple(float(value) for value in fields["origin_m"])
        metadata = MapMetadata(**fields)
        if not abs(float(metadata.readout_s)) < _MOST_READOUT_S:
            raise ValueError("its camera's readout time is not of a tenth of a second at most")
        if not (metadata.landmark_sigma_m >= 0.0 and metadata.landmark_sigma_rad >= 0.0):
            raise ValueError("a standard deviation of its poses is not a number from 0 on")
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
