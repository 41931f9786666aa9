"""The status message and the diagnostics, made of what the run reports."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseArray

from glace_ros.fusion.localization_state import LocalizationState
from glace_ros.msg import LocalizationStatus
from glace_ros.node.ros_interface.conversions import ns_to_stamp, pose_to_message
from glace_ros.node.ros_interface.parameters import FRAME_PARAMETERS
from glace_ros.rejection import RejectionCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from glace_ros.node.input.camera_input import CameraInput
    from glace_ros.node.localizing.localization_run import RunReport
    from glace_ros.node.ros_interface.parameters import LocalizeParameters

LEVEL_OF_STATE = {
    LocalizationState.UNLOCALIZED: DiagnosticStatus.WARN,
    LocalizationState.TRACKING: DiagnosticStatus.OK,
    LocalizationState.DEGRADED: DiagnosticStatus.WARN,
    LocalizationState.LOST: DiagnosticStatus.ERROR,
    LocalizationState.ERROR: DiagnosticStatus.ERROR,
}
# that a task shows; the others are of single images, which `localization` has in its message
CODES_OF_TASK = {
    "input": (
        RejectionCode.IMAGE_TOO_OLD,
        RejectionCode.IMAGE_IN_FUTURE,
        RejectionCode.NO_CAMERA_INFO,
        RejectionCode.NO_FRAME_ID,
        RejectionCode.UNUSABLE_IMAGE,
    ),
    "inference": (RejectionCode.LOCALIZER_FAILED,),
    "tf": (RejectionCode.NO_TRANSFORM,),
}


def status_message(
    report: RunReport, map_id: str, frame_id: str, now_ns: int
) -> LocalizationStatus:
    """~/status as of now_ns (of the node's clock).

    frame_id: of the map, for the header.
    """
    sigma_6 = [math.nan] * 6
    if report.last_fix is not None:
        sigma_6 = [math.sqrt(v) for v in report.last_fix.covariance_66.diagonal()]
    message = LocalizationStatus(
        state=int(report.state),
        map_id=map_id,
        seconds_since_fix=report.seconds_since_fix,
        camera=report.camera,
        image_stamp=ns_to_stamp(report.image_stamp_ns),
        accepted=report.accepted,
        points=report.points,
        inliers=report.inliers,
        inlier_ratio=report.inliers / report.points if report.points else math.nan,
        inference_time=report.inference_s,
        latency=report.latency_s,
        reprojection_error=report.reprojection_px,
        sigma_x=sigma_6[0],
        sigma_y=sigma_6[1],
        sigma_yaw=sigma_6[5],
        rejection_stamp=ns_to_stamp(report.rejection_stamp_ns),
        rejection_code=int(report.rejection_code),
        rejection_reason=report.rejection_reason,
    )
    message.header.frame_id, message.header.stamp = frame_id, ns_to_stamp(now_ns)
    return message


def places_message(report: RunReport, frame_id: str) -> PoseArray:
    """~/places: where the base may have been at the exposure of the newest image.

    frame_id: of the map, for the header.
    """
    message = PoseArray(poses=[pose_to_message(pose) for pose in report.places])
    message.header.frame_id = frame_id
    message.header.stamp = ns_to_stamp(report.image_stamp_ns)
    return message


def run_tasks(
    report: RunReport, counts: Mapping[str, int], input_problem: str | None, *, received: bool
) -> dict[str, DiagnosticStatus]:
    """The tasks localization, input, inference and tf.

    counts: images by what became of them.
    input_problem: what keeps images from coming.
    received: whether one has come.
    """
    rejected = RejectionCode.NONE if report.accepted else report.rejection_code
    reason = report.rejection_reason

    def problem(task_name: str) -> str | None:
        return reason if rejected in CODES_OF_TASK[task_name] else None

    message = f"{report.state.name}. {reason}" if rejected else report.state.name
    localization = task(
        message,
        {
            "seconds since fix": f"{report.seconds_since_fix:.2f}",
            "inliers": report.inliers,
            "points": report.points,
            "reprojection error px": f"{report.reprojection_px:.2f}",
            "images of the fix": report.fix_images,
            "suggestion": report.suggestion,
        },
        LEVEL_OF_STATE[report.state],
    )
    inference_values = {
        "latency s": f"{report.latency_s:.3f}",
        "inference s": f"{report.inference_s:.3f}",
        **{f"images: {kind}": count for kind, count in sorted(counts.items())},
    }
    return {
        "localization": localization,
        "input": _problem_task(
            input_problem or problem("input"),
            "Images come" if received else "No image has come yet",
            {},
        ),
        "inference": _problem_task(
            problem("inference"),
            "Runs",
            inference_values,
            severe=report.state == LocalizationState.ERROR,
        ),
        "tf": _problem_task(problem("tf"), "Transforms come", {}),
    }


def task(
    message: str, values: Mapping[str, object], level: bytes = DiagnosticStatus.OK
) -> DiagnosticStatus:
    """One task of the diagnostics; `diagnostic_array` gives it its name."""
    return DiagnosticStatus(level=level, message=message, values=_key_values(values))


def input_values(cameras: Sequence[CameraInput], replaced: int) -> list[KeyValue]:
    """What has come.

    cameras: that images come from.
    replaced: images that gave way to a newer one.
    """
    values = {key: value for camera in cameras for key, value in camera.values().items()}
    return _key_values({**values, "images replaced by a newer one": replaced})


def frame_values(parameters: LocalizeParameters, *, published: bool) -> list[KeyValue]:
    """The frames' names.

    parameters: of the node.
    published: whether there is a map->odom now.
    """
    frames = {name: getattr(parameters, name) for name in FRAME_PARAMETERS}
    return _key_values({**frames, "published": published})


def _key_values(values: Mapping[str, object]) -> list[KeyValue]:
    """As diagnostics want them: text."""
    return [KeyValue(key=key, value=str(value)) for key, value in values.items()]


def diagnostic_array(
    node_name: str, now_ns: int, tasks: Mapping[str, DiagnosticStatus]
) -> DiagnosticArray:
    """The tasks under the node's name, in the form of diagnostic_updater (which has no wheel)."""
    message = DiagnosticArray()
    message.header.stamp = ns_to_stamp(now_ns)
    for name, status in tasks.items():
        status.hardware_id = node_name
        status.name = f"{node_name}: {name}"
        message.status.append(status)
    return message


def _problem_task(
    problem: str | None, good: str, values: Mapping[str, object], *, severe: bool = False
) -> DiagnosticStatus:
    if problem is None:
        return task(good, values)
    return task(problem, values, DiagnosticStatus.ERROR if severe else DiagnosticStatus.WARN)
