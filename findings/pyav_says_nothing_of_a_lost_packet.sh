#!/usr/bin/env bash
# PyAV 18.1 (FFmpeg) gives wrong pictures behind a lost H.264 packet, without an error or a flag.
#
# Surprising: of a stream as robots send it (no B-frames, a packet a picture) one packet is left out.
#   Every later packet up to the next key frame still gives a picture; it is wrong, is_corrupt is
#   False, decode_error_flags (where there are any) are 0, and nothing is raised. The number of a
#   frame that would show the gap is in every slice.
# Expected: is_corrupt, or an error, until the next key frame.
# Matters: video comes over best effort; what was lost shows as ghosts of earlier places, in a map or in
#   the image that a pose is sought of.
# We: find gaps by FFMPEGPacket's count, else by the stamps, and take no picture up to the next key
#   frame; how many is said.
set -euo pipefail
unset PYTHONPATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.2.6

"$folder/venv/bin/python" - <<'END'
import sys
from fractions import Fraction

import av
import numpy as np

av.logging.set_level(av.logging.PANIC)
print("av", av.__version__)
wide = np.random.default_rng(0).integers(0, 256, (15, 100, 3), dtype=np.uint8)
wide = wide.repeat(16, axis=0).repeat(16, axis=1)
pictures = [np.ascontiguousarray(wide[:, 12 * i : 12 * i + 320]) for i in range(30)]
encoder = av.CodecContext.create("libx264", "w")
encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
encoder.time_base, encoder.framerate = Fraction(1, 30), Fraction(30, 1)
encoder.gop_size, encoder.max_b_frames = 15, 0
encoder.options = {"crf": "18", "tune": "zerolatency", "sc_threshold": "0"}
packets = []
for number, picture in enumerate(pictures):
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.pts = number
    packets += [bytes(packet) for packet in encoder.encode(frame)]
assert len(packets) == 30


def decode(numbers):
    """How far each picture is off, and whether it says so."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_type = "SLICE"
    seen = {}
    for number in numbers:
        for frame in decoder.decode(av.Packet(packets[number])):
            off = np.abs(frame.to_ndarray(format="rgb24").astype(int) - pictures[number]).mean()
            flags = getattr(frame, "decode_error_flags", 0)
            seen[number] = off, bool(frame.is_corrupt), int(flags or 0)
    return seen


complete = decode(range(30))
lossy = decode([number for number in range(30) if number not in (4, 5)])
worst = max(lossy[n][0] / complete[n][0] for n in range(6, 15))
flagged = [n for n in lossy if lossy[n][1] or lossy[n][2]]
print(f"pictures: {len(complete)} of 30; without packets 4 and 5: {len(lossy)} of 28")
print(f"up to {worst:.1f} times as far off behind the gap, until the key frame; flagged: {flagged}")
print(f"behind the next key frame: {lossy[15][0] / complete[15][0]:.1f} times")
same = len(lossy) == 28 and worst > 3 and not flagged and lossy[15] == complete[15]
sys.exit(None if same else "changed: a lost packet is noticed, or does no harm")
END
