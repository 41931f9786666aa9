"""One image message -> where the robot's base was at its exposure, or why that is not known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from glace_ros.geometry.covariance import base_covariance
from glace_ros.geometry.rolling_shutter import CameraMotion
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.localization.image_window import ImageMotion
from glace_ros.node.input.seen_image import undistorted_image
from glace_ros.rejection import Rejection, RejectionCode

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from glace_ros.geometry.camera import Camera
    from glace_ros.geometry.mount_correction import MountCorrection
    from glace_ros.geometry.pose import Pose
    from glace_ros.localization.pose_estimate import PoseEstimate
    from glace_ros.node.input.incoming_image import IncomingImage
    from glace_ros.node.input.transform_listener import TransformListener
    from glace_ros.node.localizing.loaded_map import LocalizesImages, LocalizesWindows
    from glace_ros.node.ros_interface.parameters import LocalizeParameters
    from glace_ros.ros_messages.value_range import ValueRange


_KINDS = {
    RejectionCode.IMAGE_TOO_OLD: "age",
    RejectionCode.IMAGE_IN_FUTURE: "age",
    RejectionCode.NO_CAMERA_INFO: "camera_info",
    RejectionCode.NO_FRAME_ID: "frame",
    RejectionCode.UNUSABLE_IMAGE: "image",
    RejectionCode.NO_TRANSFORM: "tf",
    RejectionCode.LOCALIZER_FAILED: "exception",
}


def kind_of(code: RejectionCode) -> str:
    """What the diagnostics count a rejection as, and what the log says once while it lasts."""
    if code in _KINDS:
        return _KINDS[code]
    return "fusion" if code >= RejectionCode.NOT_NEWER_THAN_CAMERA else "pose"


class ImageRejected(Exception):
    """The image gives no fix. The text: a sentence for log and status.

    code: why.
    outcome: what the localizer said; None where it did not come to that.
    places: map_from_base in the places that the image may be of, best first; none where it is not
        for these that it is rejected.
    """

    def __init__(
        self,
        rejection: Rejection,
        outcome: PoseEstimate | Rejection | None = None,
        *,
        camera: str | None = None,
        places: tuple[Pose, ...] = (),
    ) -> None:
        """camera: see IncomingImage, where it is the fix that is rejected; else None."""
        said_of = ""
        if camera is not None:
            said_of = f"Rejected fix of {camera}: " if camera else "Rejected fix: "
        super().__init__(said_of + rejection.reason)
        self.code, self.outcome, self.places = rejection.code, outcome, places

    @property
    def kind(self) -> str:
        """See `kind_of`."""
        return kind_of(self.code)


@dataclass(frozen=True, eq=False)
class LocatedBase:
    """Where the robot's base was at the exposure of an image.

    estimate: of the camera.
    map_from_base: at the exposure.
    covariance_66: of the base's position (m) and of small rotations (rad) about the map's axes.
    odom_from_base: at the exposure too; None where map->odom is not published.
    exposure_ns: where the map says that it was not at the image's stamp; None: it was.
    """

    estimate: PoseEstimate
    map_from_base: Pose
    covariance_66: NDArray[np.float64]
    odom_from_base: Pose | None
    exposure_ns: int | None = None

    def places(self) -> tuple[Pose, ...]:
        """map_from_base wherever the image may be of, best first; none where it is clear."""
        estimate = self.estimate
        if not estimate.ambiguous:
            return ()
        camera_from_base = estimate.map_from_camera.inverse() @ self.map_from_base
        return (self.map_from_base, *(each @ camera_from_base for each in estimate.rivals))


class BaseLocator:
    """Localizes the camera and carries its pose over to the base, through TF at exposure time.

    parameters: of the node.
    localizer: of the map in use.
    tf: where the camera sits on the base, and the odometry.
    calibration_of: for the frame of a camera, what the map knows better.
    window: of the same localizer; None: each image is localized alone.
    value_range: of 16-bit images, as the map has it; None: the high byte.
    """

    def __init__(
        self,
        parameters: LocalizeParameters,
        localizer: LocalizesImages,
        tf: TransformListener,
        calibration_of: Callable[[str], MountCorrection | None] = lambda _: None,
        window: LocalizesWindows | None = None,
        value_range: ValueRange | None = None,
    ) -> None:
        self._calibration_of, self._window = calibration_of, window
        self._value_range = value_range
        self._parameters = parameters
        self._localizer = localizer
        self._tf = tf

    def locate(self, image: IncomingImage, now_ns: int, *, tracking: bool = False) -> LocatedBase:
        """The base at the exposure of the image.

        image: as it came in.
        now_ns: on the node's clock.
        tracking: it is known where the robot is, so that an image that is clear is enough.
        Raises ImageRejected where that cannot be said.
        """
        self._check_age(image, now_ns)
        image_rgb_hwc, pinhole, camera_frame = self._readable(image)
        stamp_ns, correction = image.stamp_ns, self._calibration_of(camera_frame)
        if correction:
            stamp_ns = correction.exposure_ns(stamp_ns)
        moved = partial(self._moved, image, camera_frame, stamp_ns, correction)
        window, glance = self._window, None
        if window is None:
            outcome = self._localizer.localize(image_rgb_hwc, pinhole, moved)
            self._require_pose(outcome, image)
        else:
            glance = window.look(image_rgb_hwc, pinhole, moved)
            outcome = glance.alone
        try:
            camera_from_base, odom_from_base = self._transforms(image, camera_frame, stamp_ns)
        except TransformError as error:
            if window is not None and glance is not None:
                window.resolve(glance, None)  # of what comes next, the motion is not known
                self._require_pose(outcome, image)
            rejection = Rejection(RejectionCode.NO_TRANSFORM, detail=str(error))
            raise ImageRejected(rejection, outcome) from None
        if correction:
            camera_from_base = correction.pose.inverse() @ camera_from_base
        if window is not None and glance is not None:
            motion = ImageMotion(stamp_ns, odom_from_base, camera_from_base.inverse(), image.camera)
            outcome = window.resolve(glance, motion, tracking=tracking)
        estimate = self._require_pose(outcome, image)
        map_from_base = estimate.map_from_camera @ camera_from_base
        covariance_66 = base_covariance(
            estimate.covariance_66, estimate.map_from_camera, map_from_base
        )
        return LocatedBase(
            estimate, map_from_base, covariance_66, odom_from_base,
            stamp_ns if correction else None,
        )  # fmt: skip

    def _moved(
        self,
        image: IncomingImage,
        camera_frame: str,
        exposed_ns: int,
        correction: MountCorrection | None,
    ) -> CameraMotion | None:
        """How the camera moved at an exposure; waits for odometry, where there is to be any, as for
        that of the exposure, but for none of after it: that is mostly here once it is asked.
        """
        parameters = self._parameters
        odom, base_frame = parameters.odom_frame_id, parameters.base_frame_id
        timeout_s = parameters.transform_timeout if parameters.tf_broadcast else 0.0

        def odom_from_camera(at_ns: int) -> Pose | None:
            wait_s = timeout_s if at_ns <= exposed_ns else 0.0
            try:
                odom_from_base = self._tf.lookup(odom, base_frame, at_ns, wait_s)
                base_from_camera = parameters.camera_pose_of(image.camera)
                if base_from_camera is None:
                    base_from_camera = self._tf.lookup(base_frame, camera_frame, at_ns)
            except TransformError:
                return None
            described = odom_from_base @ base_from_camera
            return described @ correction.pose if correction else described

        return CameraMotion.at(exposed_ns, odom_from_camera)

    def _transforms(
        self, image: IncomingImage, camera_frame: str, stamp_ns: int
    ) -> tuple[Pose, Pose | None]:
        """camera_from_base as given or by TF, and odometry where map->odom is published."""
        parameters, odom_from_base = self._parameters, None
        base_frame, timeout_s = parameters.base_frame_id, parameters.transform_timeout
        given = parameters.camera_pose_of(image.camera)
        camera_from_base = (
            given.inverse()
            if given is not None
            else self._tf.lookup(camera_frame, base_frame, stamp_ns, timeout_s)
        )
        if parameters.tf_broadcast:
            odom_from_base = self._tf.lookup(
                parameters.odom_frame_id, base_frame, stamp_ns, timeout_s
            )
        return camera_from_base, odom_from_base

    def _require_pose(
        self, outcome: PoseEstimate | Rejection, image: IncomingImage
    ) -> PoseEstimate:
        if isinstance(outcome, Rejection):
            raise ImageRejected(outcome, outcome, camera=image.camera)
        return outcome

    def _check_age(self, image: IncomingImage, now_ns: int) -> None:
        age_s, limit_s = (now_ns - image.stamp_ns) * 1e-9, self._parameters.max_image_age
        if abs(age_s) > limit_s:
            code = RejectionCode.IMAGE_TOO_OLD if age_s > 0.0 else RejectionCode.IMAGE_IN_FUTURE
            raise ImageRejected(
                Rejection(code, topic=image.topic, age_s=abs(age_s), limit_s=limit_s)
            )

    def _readable(self, image: IncomingImage) -> tuple[NDArray[np.uint8], Camera, str]:
        """The image undistorted, its pinhole, and the name of the camera's frame."""
        parameters, info = self._parameters, image.camera_info
        if info is None and not parameters.camera_info_file_of(image.camera):
            code, topic = RejectionCode.NO_CAMERA_INFO, image.camera_info_topic
            raise ImageRejected(Rejection(code, topic=topic))
        camera_frame = image.frame_id or (info.header.frame_id if info else "")
        if not camera_frame and parameters.camera_pose_of(image.camera) is None:
            raise ImageRejected(Rejection(RejectionCode.NO_FRAME_ID, topic=image.topic))
        try:
            image_rgb_hwc, pinhole = undistorted_image(image, parameters, self._value_range)
        except ValueError as error:
            code = RejectionCode.UNUSABLE_IMAGE
            raise ImageRejected(Rejection(code, topic=image.topic, detail=str(error))) from None
        return image_rgb_hwc, pinhole, camera_frame
