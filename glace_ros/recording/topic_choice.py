"""Which topics of a bag to read: what was asked for, held against what there is, or found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glace_ros.errors import RecordingError
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.tf_topics import in_namespace
from glace_ros.ros_messages.camera_info import (
    TRANSPORTS,
    is_rectified,
    raw_image_topic,
    sibling_camera_info_topic,
)
from glace_ros.ros_messages.reading import CAMERA_INFO, IMAGE_TYPES, ODOMETRY, POSE_TYPES, RAW_IMAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.geometry.transform_tree import TransformTree
    from glace_ros.recording.bag_file import BagFile


def choose_image_topic(bag: BagFile, requested: str | None) -> str:
    """The image topic as asked for, or the only one; raw where a camera is recorded twice.

    requested: None: to be found.
    Raises RecordingError where there is none, or several and none was asked for.
    """
    there = _topics_of(bag, IMAGE_TYPES)
    if requested is not None:
        name = _named(bag, requested)
        of_transports = [f"{name}/{each}" for each in TRANSPORTS if f"{name}/{each}" in there]
        if name not in bag.topics and of_transports:
            name = of_transports[0]
            bag.note(f"{requested} is not recorded; reading {name}")
        return _existing(bag, name, IMAGE_TYPES, "image", "--image-topic")
    pictures = [name for name in there if not name.endswith("/compressedDepth")]
    if not pictures:
        raise RecordingError(f"{bag.path} has no image topic {_having(bag)}")
    # a camera recorded raw and compressed is one camera; raw has no artefacts, JPEGs have fewer
    # than a video
    of_camera: dict[str, list[str]] = {}
    for name in pictures:
        of_camera.setdefault(raw_image_topic(name), []).append(name)
    cameras = [min(names, key=_artefacts) for names in of_camera.values()]
    if len(cameras) > 1:
        raise RecordingError(
            f"{bag.path} has several image topics ({', '.join(cameras)}); "
            "choose one with --image-topic"
        )
    return cameras[0]


def choose_camera_info_topic(bag: BagFile, image_topic: str, requested: str | None) -> str:
    """The camera_info topic: as asked for, the image topic's sibling, or the only one.

    Raises RecordingError where there is none that is plainly the image topic's.
    """
    if requested is not None:
        name = _named(bag, requested)
        return _existing(bag, name, (CAMERA_INFO,), "camera_info", "--camera-info-topic")
    there = _topics_of(bag, (CAMERA_INFO,))
    sibling = sibling_camera_info_topic(image_topic)
    of_raw = f"{sibling}_raw"
    if of_raw in there and sibling in there and not is_rectified(image_topic):
        bag.note(
            f"{of_raw} and {sibling} are recorded: the first is taken for the calibration of "
            f"{image_topic}, which is not rectified"
        )
        return of_raw
    if sibling in there:
        return sibling
    if len(there) == 1 and len(_topics_of(bag, (RAW_IMAGE,))) <= 1:
        bag.note(f"{sibling} is not recorded; the calibration is taken from {there[0]}")
        return there[0]
    if not there:
        raise RecordingError(
            f"{bag.path} has no camera_info topic for {image_topic}; record {sibling}, or give a "
            "calibration with --camera-info FILE"
        )
    raise RecordingError(
        f"{bag.path} has no {sibling}; choose the calibration of {image_topic} with "
        f"--camera-info-topic out of {', '.join(there)}"
    )


def choose_pose_topic(
    bag: BagFile, requested: str | None, others: Sequence[str] = ()
) -> str | None:
    """The topic whose poses to read: as asked for, else the only odometry; None for `tf:`.

    others: namespaces of other robots, whose odometry is not looked at.
    None, too, where nothing was asked for and there is not exactly one odometry topic.
    Raises RecordingError where the topic that was asked for is not there, or has no poses.
    """
    if requested is None:
        odometry = _own(_topics_of(bag, (ODOMETRY,)), others)
        return odometry[0] if len(odometry) == 1 else None
    if requested.startswith("tf:"):
        return None
    return _existing(bag, _named(bag, requested), POSE_TYPES, "pose", "--pose-source")


def choose_carrying_odometry(
    bag: BagFile, pose_topic: str | None, others: Sequence[str] = ()
) -> str | None:
    """The one odometry topic beside a topic of poses that is none; None where there is not one.

    others: namespaces of other robots.
    """
    if pose_topic is None or bag.topics[pose_topic].msgtype == ODOMETRY:
        return None
    odometry = _own(_topics_of(bag, (ODOMETRY,)), others)
    return odometry[0] if len(odometry) == 1 else None


def choose_pose_source(
    bag: BagFile,
    tree: TransformTree,
    camera_frame: str,
    requested: str | None,
    others: Sequence[str] = (),
) -> tuple[str, str]:
    """`tf:FRAME` or a topic, and why, in words.

    others: namespaces of other robots, whose poses are not looked at.
    Found in this order where nothing was asked for: tf:map, the only odometry, tf:odom.
    Raises RecordingError where transforms do not lead from what was asked for to the camera, and
    where nothing is found.
    """
    if requested is not None:
        if not requested.startswith("tf:"):
            return _named(bag, requested), "as asked for"
        frame = requested[3:].lstrip("/")
        try:
            tree.path(frame, camera_frame)
        except TransformError as error:
            raise RecordingError(f"--pose-source {requested}: {error}") from error
        return f"tf:{frame}", "as asked for"
    if _connected(tree, "map", camera_frame):
        return "tf:map", "found: transforms lead from map to the camera"
    odometry = _own(_topics_of(bag, (ODOMETRY,)), others)
    if len(odometry) == 1:
        return odometry[0], "found: the only odometry, and no transforms from map"
    if not odometry and _connected(tree, "odom", camera_frame):
        return "tf:odom", "found: transforms lead from odom to the camera, and none from map"
    there = _own(_topics_of(bag, POSE_TYPES), others)
    if there:
        raise RecordingError(
            f"{bag.path} has no transform from map to {camera_frame} and not exactly one odometry "
            f"topic; choose the poses with --pose-source out of {', '.join(there)}"
        )
    unusable = [note for note in bag.notes if note.startswith("/tf:")]
    raise RecordingError(
        f"{bag.path} has no poses: neither transforms from map or odom to {camera_frame} nor a "
        f"topic of {', '.join(POSE_TYPES)}; {'; '.join(unusable) or 'record /tf, or odometry'}"
    )


def _artefacts(image_topic: str) -> int:
    """0 of raw images, more of each transport that loses more."""
    last = image_topic.split("/")[-1]
    return 1 + TRANSPORTS.index(last) if last in TRANSPORTS else 0


def _connected(tree: TransformTree, frame: str, camera_frame: str) -> bool:
    try:
        tree.path(frame, camera_frame)
    except TransformError:
        return False
    return True


def _own(topics: list[str], others: Sequence[str]) -> list[str]:
    """Those that are not in another robot's namespace."""
    return [name for name in topics if not any(in_namespace(name, other) for other in others)]


def _topics_of(bag: BagFile, types: Sequence[str]) -> list[str]:
    return sorted(t.name for t in bag.topics.values() if t.msgtype in types and t.count)


def _existing(bag: BagFile, name: str, types: Sequence[str], kind: str, flag: str) -> str:
    topic = bag.topics.get(name)
    there = ", ".join(_topics_of(bag, types)) or "none"
    if topic is None:
        raise RecordingError(
            f"{bag.path} has no topic {name}; {flag} can be one of its {kind} topics: {there}"
        )
    if topic.msgtype not in types:
        raise RecordingError(
            f"{name} is of type {topic.msgtype}, not {' or '.join(types)}; "
            f"{flag} can be one of: {there}"
        )
    if topic.count == 0:
        raise RecordingError(f"{name} has no messages in {bag.path}; {flag} can be one of: {there}")
    return name


def _having(bag: BagFile) -> str:
    return f"(its topics: {', '.join(sorted(bag.topics)) or 'none'})"


def _named(bag: BagFile, name: str) -> str:
    """The topic as the bag calls it: with a leading slash, but for some ROS 1 bags."""
    return name if name.startswith("/") or name in bag.topics else f"/{name}"
