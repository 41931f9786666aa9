"""One image message -> where the robot's base was at its exposure, or why that is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glace_ros.geometry.covariance import base_covariance
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.localization.pose_estimate import Rejection
from glace_ros.node.conversions import image_to_rgb
from glace_ros.ros_messages.camera_info import camera_of_image_topic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.node.input.incoming_image import IncomingImage
    from glace_ros.node.input.transform_listener import TransformListener
    from glace_ros.node.localizing.loaded_map import LocalizesImages
    from glace_ros.node.parameters import LocalizeParameters


class ImageRejected(Exception):
    """The image gives no fix. kind: a word to count by; the text: a sentence for log and status.

    outcome: what the localizer said, where it came to that.
    """

    def __init__(
        self, kind: str, sentence: str, outcome: PoseEstimate | Rejection | None = None
    ) -> None:
        super().__init__(sentence)
        self.kind, self.outcome = kind, outcome


@dataclass(frozen=True, eq=False)
class LocatedBase:
    """covariance_66: of the base's position and of small rotations about the map's axes.

    odom_from_base: at the exposure too; None where map->odom is not published.
    """

    estimate: PoseEstimate
    map_from_base: Pose
    covariance_66: NDArray[np.float64]
    odom_from_base: Pose | None


def rejected_fix(camera: str, reason: str) -> str:
    """A sentence. camera: see IncomingImage."""
    return f"Rejected fix of {camera}: {reason}" if camera else f"Rejected fix: {reason}"


class BaseLocator:
    """Localizes the camera and carries its pose over to the base, through TF at exposure time."""

    def __init__(
        self, parameters: LocalizeParameters, localizer: LocalizesImages, tf: TransformListener
    ) -> None:
        self._parameters = parameters
        self._localizer = localizer
        self._tf = tf

    def locate(self, image: IncomingImage, now_ns: int) -> LocatedBase:
        """Raises ImageRejected. now_ns: on the node's clock."""
        self._check_age(image, now_ns)
        estimate, camera_frame = self._camera_pose(image)
        parameters, stamp_ns = self._parameters, image.stamp_ns
        timeout_s, odom_from_base = parameters.transform_timeout, None
        try:
            camera_from_base = self._tf.lookup(
                camera_frame, parameters.base_frame_id, stamp_ns, timeout_s
            )
            if parameters.tf_broadcast:
                odom_from_base = self._tf.lookup(
                    parameters.odom_frame_id, parameters.base_frame_id, stamp_ns, timeout_s
                )
        except TransformError as error:
            raise ImageRejected("tf", str(error), estimate) from None
        map_from_base = estimate.map_from_camera @ camera_from_base
        covariance_66 = base_covariance(
            estimate.covariance_66, estimate.map_from_camera, map_from_base
        )
        return LocatedBase(estimate, map_from_base, covariance_66, odom_from_base)

    def _check_age(self, image: IncomingImage, now_ns: int) -> None:
        age_s = (now_ns - image.stamp_ns) * 1e-9
        if abs(age_s) > self._parameters.max_image_age:
            raise ImageRejected(
                "age",
                f"The image on {image.topic} is stamped {abs(age_s):.2f} s "
                f"{'ago' if age_s > 0.0 else 'in the future'}, more than max_image_age "
                f"({self._parameters.max_image_age:g} s): do the camera and this node use the "
                "same clock (use_sim_time)?",
            )

    def _camera_pose(self, image: IncomingImage) -> tuple[PoseEstimate, str]:
        """The pose and the name of the camera's frame."""
        if image.camera_info is None:
            raise ImageRejected("camera_info", f"No camera_info on {image.camera_info_topic} yet.")
        camera_frame = image.message.header.frame_id or image.camera_info.header.frame_id
        if not camera_frame:
            raise ImageRejected("frame", f"The images on {image.topic} have no frame_id.")
        try:
            camera = camera_of_image_topic(image.camera_info, image.topic)
            image_rgb_hwc = camera.undistort(image_to_rgb(image.message))
        except ValueError as error:
            sentence = f"The image on {image.topic} cannot be used: {error}."
            raise ImageRejected("image", sentence) from None
        outcome = self._localizer.localize(image_rgb_hwc, camera.undistorted)
        if isinstance(outcome, Rejection):
            raise ImageRejected("pose", rejected_fix(image.camera, outcome.reason), outcome)
        return outcome, camera_frame
