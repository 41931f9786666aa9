#!/usr/bin/env bash
# OpenCV 4.12 refuses a JPEG that lacks its last two bytes, and takes half of one that has them.
#
# Surprising: without the end mark (FF D9), which some cameras leave out, imdecode gives nothing though
#   every pixel is there: with a hundred zero bytes behind the data it gives the very picture. Half of
#   the file with an end mark behind it gives a picture of full size, whose lower rows are grey, and
#   no flag or exception; libjpeg's warning goes to stderr.
# Expected: the picture of the first, and nothing of the second, or a way to be told of it.
# Matters: a whole recording is "no pictures"; and half-grey pictures go into a map, and into the count
#   of images that were looked at.
# We: put the end mark there where nothing is decoded; and where the last cell of a picture has the grey
#   of what is missing, decode it again with other data behind: what is complete does not change by it.
set -euo pipefail
unset PYTHONPATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  opencv-python-headless==4.12.0.88 numpy==2.2.6

"$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys

import cv2
import numpy as np

noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
picture = cv2.GaussianBlur(noise, (0, 0), 2)
whole = cv2.imencode(".jpg", picture)[1].tobytes()
print("opencv", cv2.__version__, "end mark:", whole[-2:].hex())


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


expected = decoded(whole)
without = decoded(whole[:-2])
zeros = decoded(whole[:-2] + bytes(100))
half = decoded(whole[: len(whole) // 2] + whole[-2:])
grey_rows = 0 if half is None else int((half == 128).all(axis=(1, 2)).sum())
print("without its end mark:", "nothing" if without is None else "a picture")
print("with zeros instead:", "the picture" if np.array_equal(zeros, expected) else "something else")
print("half, with an end mark:", "nothing" if half is None else f"480 rows, {grey_rows} of them grey")
same = without is None and np.array_equal(zeros, expected) and grey_rows > 200
if not same:
    print("changed: OpenCV does something else with the ends of JPEGs")
sys.exit(0 if same else 1)
END
