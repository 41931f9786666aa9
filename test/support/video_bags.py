"""Writes the drive of `bag_writing` with its camera as a video; for tests that have PyAV."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path

import numpy as np
from rosbags.typesys import get_types_from_msg
from support.bag_writing import (
    BASE_FROM_CAMERA,
    IMAGE_OFFSET_NS,
    IMAGE_PERIOD_NS,
    POSE_PERIOD_NS,
    START_NS,
    BagWriter,
    bag_writer,
    write_pose,
)
from support.video import encoded, moving_pictures

from glace_ros.ros_messages.reading import (
    COMPRESSED_IMAGE,
    FFMPEG_PACKET,
    FOXGLOVE_VIDEO,
    VIDEO_DEFINITIONS,
)

WIDTH, HEIGHT = 96, 64
PICTURES = moving_pictures(24, WIDTH, HEIGHT)
TOPICS = {
    FOXGLOVE_VIDEO: "/camera/video",
    FFMPEG_PACKET: "/camera/image_raw/ffmpeg",
    COMPRESSED_IMAGE: "/camera/image_raw/compressed",
}


def stamp_of(index: int) -> int:
    """When PICTURES[index] was exposed."""
    return START_NS + IMAGE_OFFSET_NS + index * IMAGE_PERIOD_NS


def video_drive(
    path: Path,
    kind: str = FFMPEG_PACKET,
    codec: str = "h264",
    lost: Collection[int] = (),
    storage: str = "mcap",
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    """A packet for each picture but the lost ones; size: of the CameraInfo."""
    with bag_writer(path, storage) as bag:
        register_videos(bag)
        bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
        last_ns = START_NS + len(PICTURES) * IMAGE_PERIOD_NS
        events = [(stamp_of(i), i) for i in range(len(PICTURES)) if i not in lost]
        events += [(stamp, -1) for stamp in range(START_NS, last_ns + 1, POSE_PERIOD_NS)]
        for stamp, index in sorted(events):
            if index < 0:
                write_pose(bag, "odometry", stamp)
                continue
            bag.camera_info("/camera/camera_info", stamp, size=size)
            bag.write(TOPICS[kind], _packet(bag, kind, codec, index), stamp)
    return path


def register_videos(bag: BagWriter) -> None:
    """The types of videos, which are not among ROS's own."""
    for name, definition in VIDEO_DEFINITIONS.items():
        if name not in bag.store.types:
            bag.store.register(get_types_from_msg(definition, name))


def _packet(bag: BagWriter, kind: str, codec: str, index: int):
    header = bag.header(stamp_of(index), "camera")
    data = np.frombuffer(_packets(codec)[index], np.uint8)
    fields = {
        FOXGLOVE_VIDEO: {
            "timestamp": header.stamp, "frame_id": "camera", "format": codec, "data": data
        },
        FFMPEG_PACKET: {
            "header": header, "width": WIDTH, "height": HEIGHT, "encoding": f"lib{codec}",
            "pts": index, "flags": 0, "is_bigendian": False, "data": data,
        },
        COMPRESSED_IMAGE: {"header": header, "format": codec, "data": data},
    }[kind]  # fmt: skip
    return bag.make(kind, **fields)


@cache
def _packets(codec: str) -> list[bytes]:
    return encoded(PICTURES, codec)
