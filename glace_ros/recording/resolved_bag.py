"""What of a bag is read: topics and frames are chosen, and its small messages gathered."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glace_ros.errors import RecordingError
from glace_ros.geometry.transform_tree import TransformError
from glace_ros.recording.bag_tracks import CameraTrack, PoseTrack, read_tracks
from glace_ros.recording.carried_poses import CarriedPoses
from glace_ros.recording.counted import are, counted
from glace_ros.recording.header_checks import clocks_sentence, frame_sentence
from glace_ros.recording.recording_info import RecordingInfo
from glace_ros.recording.stray_stamps import (
    ONE_DAY_NS,
    leave_out_strays,
    recorded_span_ns,
    silence_sentences,
)
from glace_ros.recording.tf_topics import choose_tf_topics, twins_of
from glace_ros.recording.topic_choice import (
    choose_camera_info_topic,
    choose_carrying_odometry,
    choose_image_topic,
    choose_pose_source,
    choose_pose_topic,
)
from glace_ros.ros_messages.camera_info_file import read_camera_info
from glace_ros.ros_messages.reading import (
    ODOMETRY,
    image_frame,
    image_of,
    image_stamp_ns,
    push_packet,
    values_of_16_bits,
    video_codec_of,
)
from glace_ros.ros_messages.value_range import ValueRange, used_range
from glace_ros.ros_messages.video import VideoStream, require_pyav

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glace_ros.geometry.pose import Pose
    from glace_ros.geometry.transform_tree import TransformTree
    from glace_ros.recording.bag_file import BagFile
    from glace_ros.recording.bag_tracks import TransformTrack

MAX_POSE_GAP_S = 0.5
"""Where nothing else is asked for."""
# Frames that poses are reported of by convention (REP-105), the one on the ground first.
_BASE_FRAMES = ("base_footprint", "base_link")
_TRIED = 5
"""Images, one of which is likely to be whole."""
_TRIED_OF_VIDEO = 600
"""Packets, one of which is likely to be a key frame."""
_VALUE_SAMPLES = 24
"""Images of 16 bits, spread over the bag, whose values are looked at."""


@dataclass(frozen=True)
class BagRequest:
    """What is to be read of a bag; what is None is found (see `topic_choice`)."""

    image_topic: str | None = None
    """Raw or compressed images."""
    camera_info_topic: str | None = None
    """Their calibration."""
    pose_source: str | None = None
    """`tf:FRAME`, or a topic of poses."""
    base_frame: str | None = None
    """What a pose topic without a child frame gives the pose of; None: the root of the camera's
    static transforms.
    """
    tf_topic: str | None = None
    """Of transforms over time; None: that of the images' namespace (see `tf_topics`)."""
    tf_static_topic: str | None = None
    """Of static transforms; None: as before."""
    max_pose_gap_s: float = MAX_POSE_GAP_S
    """No pose is interpolated over a longer gap."""
    camera_info_file: str | None = None
    """A calibration that holds instead of what is recorded (see `read_camera_info`)."""
    base_from_camera: Pose | None = None
    """The camera on the robot, instead of what is recorded."""
    value_range: ValueRange | None = None
    """Of 16-bit images, what becomes black and white; None: what the recording uses."""


@dataclass(frozen=True, eq=False)
class ResolvedBag:
    """What a request means for a certain bag, with its transforms, calibrations and poses."""

    info: RecordingInfo
    """Topics and frames as chosen."""
    tree: TransformTree
    """All of /tf and /tf_static."""
    cameras: CameraTrack
    """The calibration over time."""
    track: PoseTrack | None
    """The poses of a topic; None where they come from /tf."""
    carried: CarriedPoses | None = None
    """The same, with odometry where they are far apart; None where the bag has none."""
    video_codec: str | None = None
    """Of images that are packets of a video; None of others."""


class _Frames(NamedTuple):
    """As in `RecordingInfo`."""

    map_frame: str
    base_frame: str
    camera_frame: str


def resolve_bag(bag: BagFile, request: BagRequest) -> ResolvedBag:
    """Chooses topics and frames and reads the small messages.

    What is odd but usable becomes a note of the bag. Raises RecordingError with a sentence where
    the bag lacks what was asked for, or what is needed.
    """
    image_topic = choose_image_topic(bag, request.image_topic)
    first = _first_image(bag, image_topic)
    codec = _video_codec(first, image_topic)
    cameras = _calibrations(bag, image_topic, request)
    asked_pose = request.pose_source if (request.pose_source or "").startswith("/") else None
    given_file = request.camera_info_file is not None
    near = [image_topic, *([] if given_file else [cameras.topic]), *filter(None, [asked_pose])]
    tf_topics = choose_tf_topics(bag, near, request.tf_topic, request.tf_static_topic)
    # robots may share /tf, with frames of their own
    odometries = [topic.name for topic in bag.topics.values() if topic.msgtype == ODOMETRY]
    others = (*tf_topics.other_namespaces, *twins_of(image_topic, odometries))
    pose_topic = choose_pose_topic(bag, request.pose_source, others)
    track = PoseTrack(pose_topic, request.max_pose_gap_s) if pose_topic else None
    camera_frame, first_ns = image_frame(first), image_stamp_ns(first)
    odometry_topic = choose_carrying_odometry(bag, pose_topic, others)
    odometry = PoseTrack(odometry_topic, request.max_pose_gap_s) if odometry_topic else None
    transforms = read_tracks(
        bag, cameras, track, camera_frame, (*tf_topics.timed, *tf_topics.static),
        request.max_pose_gap_s, odometry=odometry,
    )  # fmt: skip
    cameras.require_camera()
    _leave_out_strays(bag, transforms, track, [first_ns, *cameras.stamps_ns])
    start_ns, duration_s = _recorded_span(bag, transforms)
    for sentence in silence_sentences(transforms.received_ns, start_ns):
        bag.note(sentence)
    camera_frame = camera_frame or _frame_of_calibration(bag, cameras, image_topic)
    zero_ns = first_ns if abs(first_ns - start_ns) > ONE_DAY_NS else start_ns
    for note in transforms.notes() + transforms.parent_sentences(zero_ns) + cameras.notes():
        bag.note(note)
    tree, base_frame, carrier = transforms.tree, request.base_frame, camera_frame
    if request.base_from_camera is not None:
        base_frame = carrier = base_frame or _base_of_mount(transforms, track)
    with _naming_what_was_left_out(transforms):
        pose_source, why = choose_pose_source(bag, tree, carrier, request.pose_source, others)
        if pose_source.startswith("tf:"):
            track = None
        frames = _frames(bag, tree, pose_source, track, camera_frame, base_frame)
        base_from_camera = request.base_from_camera
        if base_from_camera is None:
            base_from_camera = _base_from_camera(tree, frames, pose_source, image_topic, first_ns)
            # where the mount is given, what the frame means does not matter
            if sentence := frame_sentence(image_topic, base_from_camera, frames.camera_frame):
                bag.note(sentence)
    ahead_ns = transforms.camera_ahead_ns, transforms.poses_ahead_ns
    if sentence := clocks_sentence(image_topic, *ahead_ns):
        bag.note(sentence)
    info = RecordingInfo(
        kind="bag",
        path=bag.path,
        start_ns=start_ns,
        duration_s=duration_s,
        topics=bag.topics,
        image_topic=image_topic,
        camera_info_topic=cameras.topic,
        image_count=bag.topics[image_topic].count,
        pose_source=pose_source,
        pose_source_why=why,
        map_frame=frames.map_frame,
        base_frame=frames.base_frame,
        camera_frame=frames.camera_frame,
        base_from_camera=base_from_camera,
        camera=cameras.at(first_ns),
        value_range=request.value_range or (None if codec else _used_values(bag, image_topic)),
        camera_pose_given=request.base_from_camera is not None,
    )
    carried = _carried(tree, track, odometry, frames, request.max_pose_gap_s)
    for sentence in carried.sentences() if carried else []:
        bag.note(sentence)
    return ResolvedBag(info, tree, cameras, track, carried, codec)


@contextmanager
def _naming_what_was_left_out(transforms: TransformTrack) -> Iterator[None]:
    """What is missing may have been there without a stamp."""
    try:
        yield
    except RecordingError as error:
        if not (left_out := transforms.unstamped_sentences()):
            raise
        raise RecordingError("; ".join([str(error), *left_out])) from error


def _carried(
    tree: TransformTree,
    track: PoseTrack | None,
    odometry: PoseTrack | None,
    frames: _Frames,
    max_gap_s: float,
) -> CarriedPoses | None:
    """Poses of a topic with the odometry that leads from one to the next, on /tf or as a topic."""
    if track is None:
        return None
    base = frames.base_frame
    above = [frame for frame in tree.ancestors(base)[1:] if frame != frames.map_frame]
    if above and len(tree.stamps_n(tree.ancestors(base)[len(above) - 1])):
        odom = above[-1]
        return CarriedPoses(
            track, lambda at_ns: tree.lookup(odom, base, at_ns), f"{odom}->{base}", max_gap_s
        )
    if odometry is None or not odometry.count:
        return None
    of_topic, child = odometry, odometry.child or base

    def odom_from_base(at_ns: int) -> Pose:
        pose = of_topic.tree.lookup(of_topic.parent_name, of_topic.child_name, at_ns)
        return pose if child == base else pose @ tree.lookup(child, base, at_ns)

    return CarriedPoses(track, odom_from_base, of_topic.topic, max_gap_s)


def _calibrations(bag: BagFile, image_topic: str, request: BagRequest) -> CameraTrack:
    """Still empty, unless it is from a file."""
    if request.camera_info_file is None:
        topic = choose_camera_info_topic(bag, image_topic, request.camera_info_topic)
        return CameraTrack(topic, image_topic, _image_size(bag, image_topic))
    try:
        camera = read_camera_info(request.camera_info_file, image_topic)
    except ValueError as error:
        raise RecordingError(f"--camera-info: {error}") from error
    return CameraTrack(request.camera_info_file, image_topic, given=camera)


def _video_codec(first: Any, topic: str) -> str | None:
    """Of the first message of a topic that is a video; None of images.

    Raises RecordingError where it cannot be decoded here.
    """
    try:
        if (codec := video_codec_of(first)) is not None:
            require_pyav()
    except ValueError as error:
        raise RecordingError(f"{topic}: {error}") from error
    return codec


def _image_size(bag: BagFile, topic: str) -> tuple[int, int] | None:
    """(width, height) of the first image that can be decoded of a few; None where none can."""
    stream: VideoStream | None = None
    for number, message in enumerate(bag.messages([topic])):
        if number >= (_TRIED if stream is None else _TRIED_OF_VIDEO):
            break
        with suppress(ValueError):
            if (codec := video_codec_of(message.content)) is not None:
                stream = stream or VideoStream(codec)
                picture = stream.picture(push_packet(stream, message.content))
            else:
                picture = image_of(message.content)
            height, width = picture.shape[:2]
            return width, height
    return None


def _used_values(bag: BagFile, topic: str) -> ValueRange | None:
    """What images of 16 bits use of them; None where they have 8, or none can be read.

    Raises RecordingError where they are distances.
    """
    images = []
    for message in bag.samples(topic, _VALUE_SAMPLES):
        if getattr(message, "encoding", "") == "16UC1" and "depth" in topic.lower():
            raise RecordingError(
                f"{topic} has distances (16UC1, and depth in its name), no pictures; choose "
                "another topic with --image-topic"
            )
        with suppress(ValueError):
            values = values_of_16_bits(message)
            if values is None:
                return None
            images.append(values)
    return used_range(images)


def _base_of_mount(transforms: TransformTrack, track: PoseTrack | None) -> str:
    """What a camera's pose that was given is on: what odometry is of, else the robot's frame by
    its usual name.
    """
    if track is not None and track.child:
        return track.child
    known = set(transforms.parents) | set(transforms.parents.values())
    for frame in _BASE_FRAMES:
        if frame in known:
            return frame
    raise RecordingError(
        "--camera-pose is the camera's place on the robot, but neither odometry nor /tf names "
        f"the robot's frame ({' or '.join(_BASE_FRAMES)}); record one of them"
    )


def _first_image(bag: BagFile, topic: str) -> Any:
    """The first image message that can be read."""
    for message in bag.messages([topic]):
        stamp = image_stamp_ns(message.content)
        if stamp and abs(stamp - message.received_ns) > ONE_DAY_NS:
            days = abs(message.received_ns - stamp) / ONE_DAY_NS
            bag.note(f"{topic}: its stamps are {days:.1f} days off the time of recording")
        return message.content
    raise RecordingError(f"None of the messages on {topic} can be read")


def _leave_out_strays(
    bag: BagFile, transforms: TransformTrack, track: PoseTrack | None, camera_stamps: list[int]
) -> None:
    """Takes out the poses whose stamps cannot belong to the recording, and says so."""
    camera_stamps_n = np.array(camera_stamps, np.int64)
    trees = {"/tf": transforms.tree}
    if track:
        trees[track.topic] = track.tree
    for topic, tree in trees.items():
        for sentence in leave_out_strays(tree, camera_stamps_n):
            bag.note(f"{topic}: {sentence}")


def _recorded_span(bag: BagFile, transforms: TransformTrack) -> tuple[int, float]:
    """The bag's start in ns and duration in s, without what was recorded before a clock was set."""
    if bag.duration_s * 1e9 <= ONE_DAY_NS or not transforms.received_ns:
        return bag.start_ns, bag.duration_s
    first_ns, last_ns, others = recorded_span_ns(transforms.received_ns)
    if not others:
        return bag.start_ns, bag.duration_s
    bag.note(
        f"{counted(others, 'message')} of poses, transforms or calibrations {are(others)} recorded "
        "more than a day off the others (the recorder's clock was not set yet); durations are "
        "without them"
    )
    return first_ns, (last_ns - first_ns) / 1e9


def _frame_of_calibration(bag: BagFile, cameras: CameraTrack, image_topic: str) -> str:
    """The camera's frame by its calibration, where images have no frame_id."""
    if not cameras.frame:
        raise RecordingError(
            f"Neither {image_topic} nor {cameras.topic} has a frame_id, so it "
            "is unknown how the camera sits on the robot; set the driver's frame_id"
        )
    bag.note(f"{image_topic} has no frame_id; {cameras.topic} says {cameras.frame}")
    return cameras.frame


def _frames(
    bag: BagFile,
    tree: TransformTree,
    pose_source: str,
    track: PoseTrack | None,
    camera_frame: str,
    requested_base: str | None,
) -> _Frames:
    """The frames of poses from /tf, or of a topic's poses."""
    if track is None:
        map_frame = pose_source.removeprefix("tf:")
        base_frame = requested_base or _base_of_tf(tree, map_frame, camera_frame)
        return _Frames(map_frame, base_frame, camera_frame)
    map_frame = _frame_of_poses(bag, track)
    base_frame = requested_base or track.child or _base_of_poses(bag, tree, track, camera_frame)
    if base_frame == map_frame:
        raise RecordingError(
            f"{track.topic} gives the pose of {base_frame} in itself; its child_frame_id "
            "must be the frame that moves"
        )
    return _Frames(map_frame, base_frame, camera_frame)


def _base_of_tf(tree: TransformTree, map_frame: str, camera_frame: str) -> str:
    """The robot's frame between map and camera: by its usual name, else the static root."""
    frames = tree.path(map_frame, camera_frame)
    by_name = [frame for frame in _BASE_FRAMES if frame in frames]
    return by_name[0] if by_name else tree.static_root(camera_frame)


def _frame_of_poses(bag: BagFile, track: PoseTrack) -> str:
    """The frame that a topic's poses are in; notes what is wrong with some of them."""
    track.require_poses()
    for note in track.notes():
        bag.note(note)
    if not track.frame:
        raise RecordingError(f"{track.topic} has no frame_id, so its poses have no known frame")
    return track.frame


def _base_of_poses(bag: BagFile, tree: TransformTree, track: PoseTrack, camera_frame: str) -> str:
    """What poses without a child frame are taken to be of: the camera's static root."""
    root = tree.static_root(camera_frame)
    if root == camera_frame:
        raise RecordingError(
            f"{track.topic} does not say what it is the pose of, and no static transform "
            f"leads to {camera_frame}; record /tf_static"
        )
    bag.note(
        f"{track.topic} does not say what it is the pose of; taken for {root}, the "
        "root of the camera's static transforms"
    )
    return root


def _base_from_camera(
    tree: TransformTree, frames: _Frames, pose_source: str, image_topic: str, at_ns: int
) -> Pose:
    """The camera on the robot at a time; where it is not known then, the newest that is."""
    base, camera = frames.base_frame, frames.camera_frame
    try:
        latest_ns = tree.latest_stamp_ns(base, camera)
        of_a_topic = not pose_source.startswith("tf:")
        if of_a_topic and frames.map_frame in tree.path(base, camera):
            raise RecordingError(
                f"The way from {base} to {camera} leads over {frames.map_frame}, in which "
                f"{pose_source} gives its poses; the motion would count twice"
            )
        try:
            return tree.lookup(base, camera, at_ns)
        except TransformError:
            return tree.lookup(base, camera, latest_ns or at_ns)
    except TransformError as error:
        raise RecordingError(
            f"It is unknown how the camera ({camera}, by {image_topic}) sits on {base}, "
            f"of which {pose_source} gives the poses: {error}; record /tf_static, or give it with "
            "--camera-pose"
        ) from error
