"""A copy of a recording whose odometry drifts, with what it was before as /ground_truth/pose.

    python -m benchmark.drifted_recording office/mapping wrong/office_1 --seed 1

Everything but /odom and /tf's odom -> base is copied byte by byte.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from glace_ros.ros_messages.reading import pose_of, stamp_to_ns
from glace_ros.simulation.bag_messages import TRUTH_TOPIC
from glace_ros.simulation.odometry import OdometryNoise, drifted

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

    from glace_ros.geometry.pose import Pose

TRUTH_TYPE = "geometry_msgs/msg/PoseStamped"
WHEELS = OdometryNoise(
    distance_scale=-0.02, distance_per_root_m=0.01, yaw_per_m_rad=0.0, turn_scale=0.02,
    yaw_per_root_m_rad=float(np.radians(0.6)), yaw_per_root_rad=float(np.radians(0.6)),
)  # fmt: skip


def main() -> int:
    """Writes the copy."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.drifted_recording", description=__doc__
    )
    parser.add_argument("bag", type=Path, help="its odometry, on /odom and /tf, is the truth")
    parser.add_argument("output", type=Path, help="new folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=WHEELS.distance_scale, help="relative")
    parser.add_argument("--turn-scale", type=float, default=WHEELS.turn_scale, help="relative")
    parser.add_argument("--yaw-deg-per-m", type=float, default=0.0, help="always the same way")
    parser.add_argument("--noise", type=float, default=1.0, help="times the wheels' random errors")
    args = parser.parse_args()
    noise = OdometryNoise(
        args.scale, args.noise * WHEELS.distance_per_root_m,
        float(np.radians(args.yaw_deg_per_m)), args.noise * WHEELS.yaw_per_root_m_rad,
        args.noise * WHEELS.yaw_per_root_rad, args.turn_scale,
    )  # fmt: skip
    write_drifted(args.bag, args.output, noise, args.seed)
    return 0


def write_drifted(bag: Path, output: Path, noise: OdometryNoise, seed: int) -> None:
    """The copy; the folder `output` must not be there."""
    store = get_typestore(Stores.ROS2_JAZZY)
    with Reader(bag) as reader, Writer(output, version=9, storage_plugin=StoragePlugin.MCAP) as out:
        odometry: list[Any] = [
            store.deserialize_cdr(data, connection.msgtype)
            for connection, _, data in reader.messages()
            if connection.topic == "/odom"
        ]
        truth = [pose_of(message) for message in odometry]
        stamps_ns = [stamp_to_ns(message.header.stamp) for message in odometry]
        wrong = dict(zip(stamps_ns, drifted(truth, noise, seed), strict=True))
        child = odometry[0].child_frame_id
        copied = {
            connection.id: out.add_connection(
                connection.topic, connection.msgtype, typestore=store,
                offered_qos_profiles=connection.ext.offered_qos_profiles,  # type: ignore[union-attr]
            )
            for connection in reader.connections
        }  # fmt: skip
        truth_connection = out.add_connection(TRUTH_TOPIC, TRUTH_TYPE, typestore=store)
        for connection, received_ns, data in reader.messages():
            written: Any = data
            if connection.topic in ("/odom", "/tf"):
                message: Any = store.deserialize_cdr(data, connection.msgtype)
                if connection.topic == "/odom":
                    truth_data = store.serialize_cdr(truth_of(message, store), TRUTH_TYPE)
                    out.write(truth_connection, received_ns, truth_data)
                    set_pose(message.pose.pose, wrong[stamp_to_ns(message.header.stamp)])
                else:
                    bend(message, child, wrong)
                written = store.serialize_cdr(message, connection.msgtype)
            out.write(copied[connection.id], received_ns, written)


def truth_of(message: Any, store: Typestore) -> Any:
    """The odometry's pose as PoseStamped in the map."""
    header = store.types["std_msgs/msg/Header"](message.header.stamp, "map")
    return store.types[TRUTH_TYPE](header, copy.deepcopy(message.pose.pose))


def bend(message: Any, child: str, wrong: dict[int, Pose]) -> None:
    """Replaces the base's transform in a TFMessage."""
    for stamped in message.transforms:
        if stamped.child_frame_id == child:
            pose = wrong[stamp_to_ns(stamped.header.stamp)]
            place, turn = stamped.transform.translation, stamped.transform.rotation
            place.x, place.y, place.z = pose.translation_3
            turn.x, turn.y, turn.z, turn.w = pose.quaternion_xyzw


def set_pose(message: Any, pose: Pose) -> None:
    """Into a geometry_msgs/Pose."""
    place, turn = message.position, message.orientation
    place.x, place.y, place.z = pose.translation_3
    turn.x, turn.y, turn.z, turn.w = pose.quaternion_xyzw


if __name__ == "__main__":
    sys.exit(main())
