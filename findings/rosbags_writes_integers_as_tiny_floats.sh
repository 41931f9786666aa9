#!/usr/bin/env bash
# rosbags 0.11.9 writes an int64 array into a float64 field bit by bit.
#
# Surprising: a covariance of np.diag([1, 1, 4, ...]), whose numbers are integers, goes into a bag as
#   5e-324, 5e-324, 2e-323. The message serializes, the bag is valid, every reader reads it. A float32
#   array in the same place is refused.
# Expected: 1.0, as Python does it everywhere else, or the refusal that float32 meets.
# Matters: variances of 1e-323 m2 tell a filter that odometry is exact, so it follows the wheels and
#   shrugs off each right fix; a camera matrix of integers becomes a focal length of nothing.
# We: write covariances as float64 and let the reader refuse a camera whose focal length is under 1 px.
set -euo pipefail
unset PYTHONPATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rosbags==0.11.9 numpy==2.2.6

"$folder/venv/bin/python" - "$folder/bag" <<'END'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore

print("rosbags", version("rosbags"))
store = get_typestore(Stores.ROS2_JAZZY)
types = store.types
KIND = "geometry_msgs/msg/PoseWithCovariance"


def message(covariance_36):
    pose = types["geometry_msgs/msg/Pose"](
        types["geometry_msgs/msg/Point"](1.0, 2.0, 0.0),
        types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
    )
    return types[KIND](pose, covariance_36)


variances_36 = np.diag([1, 1, 4, 1, 1, 1]).ravel()  # int64
with Writer(Path(sys.argv[1]), version=9) as writer:
    topic = writer.add_connection("/pose", KIND, typestore=store)
    for stamp_ns, array_36 in enumerate((variances_36.astype(np.float64), variances_36)):
        writer.write(topic, stamp_ns, store.serialize_cdr(message(array_36), KIND))
with AnyReader([Path(sys.argv[1])], default_typestore=store) as reader:
    as_float_36, as_integer_36 = (
        reader.deserialize(raw, kept.msgtype).covariance for kept, _, raw in reader.messages()
    )
print("variances written as float64:", as_float_36[::7])
print("variances written as int64:  ", as_integer_36[::7])
try:
    store.serialize_cdr(message(variances_36.astype(np.float32)), KIND)
    refused = False
except ValueError as error:
    refused = True
    print("variances written as float32:", error)

same = (as_float_36 == variances_36).all() and 0 < as_integer_36.max() < 1e-300 and refused
sys.exit(None if same else "changed: how arrays of other types are written")
END
