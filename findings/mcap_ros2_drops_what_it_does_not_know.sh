#!/usr/bin/env bash
# mcap-ros2-support 0.6.0 writes zeros for each field whose name it was not given exactly.
#
# Surprising: a message is a dictionary, and names that the definition does not have are passed over
#   without a word, as are missing ones. A stamp in ROS 1's words (secs, nsecs) is written as time 0, one
#   with "nsec" loses its fraction; an array that is too short is filled up with zeros (and the
#   caller's own list with None), and of one that is too long the end is cut off.
# Expected: an exception that names the unknown field, as message classes raise.
# Matters: bags are converted field by field, and a stamp that is cut to the second puts the pose of
#   a robot at 1 m/s up to a metre away from its image.
# We: write bags with rosbags, whose message classes refuse unknown and missing fields; when reading,
#   images without a stamp are left out and counted.
set -euo pipefail
unset PYTHONPATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    mcap-ros2-support==0.6.0 mcap==1.6.0

"$folder/venv/bin/python" - <<'END'
import io
import sys
from importlib.metadata import version

from mcap_ros2.reader import read_ros2_messages
from mcap_ros2.writer import Writer

print("mcap-ros2-support", version("mcap-ros2-support"), "mcap", version("mcap"))
DEFINITION = """\
std_msgs/Header header
float64[9] k
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""
k_9 = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
stamps = [
    {"sec": 17, "nanosec": 250_000_000},
    {"sec": 17, "nsec": 250_000_000},
    {"secs": 17, "nsecs": 250_000_000},
]
messages = [{"header": {"stamp": stamp}, "k": k_9} for stamp in stamps]
messages.append({"header": {"stamp": stamps[0]}, "K": k_9})
messages.append({"header": {"stamp": stamps[0]}, "k": k_9[:2]})
messages.append({"header": {"stamp": stamps[0]}, "k": k_9 + [7.0]})

file = io.BytesIO()
writer = Writer(file)
schema = writer.register_msgdef("example_msgs/msg/Info", DEFINITION)
given = [str(message) for message in messages]  # the writer changes what it is given
for message in messages:
    writer.write_message("/info", schema, message)
writer.finish()
file.seek(0)

seen = []
for text, read in zip(given, read_ros2_messages(file)):
    stamp, k = read.ros_msg.header.stamp, list(read.ros_msg.k)
    seen.append((stamp.sec, stamp.nanosec, k))
    print(text, "->", *seen[-1])

whole = (17, 250_000_000)
same = seen == [
    (*whole, k_9),
    (17, 0, k_9),
    (0, 0, k_9),
    (*whole, [0.0] * 9),
    (*whole, k_9[:2] + [0.0] * 7),
    (*whole, k_9),
]
print("the short list, after it was written:", messages[4]["k"])
same = same and messages[4]["k"] == k_9[:2] + [None] * 7
sys.exit(None if same else "changed: what becomes of fields that the definition does not have")
END
