#!/usr/bin/env bash
# PoseLib 2.0.5 takes a camera model or an option that it does not have, and says nothing.
#
# Surprising: with {"model": "plumb_bob"}, ROS' name of the most common lens model, or plain nonsense,
#   estimate_absolute_pose works through all its 100,000 iterations and answers with a pose at the
#   origin and no inlier, on points that have no error at all. A misspelt option leaves its default.
# Expected: an exception that names the unknown model or option.
# Matters: CameraInfo.distortion_model is handed on as it stands, and the robot is never found. It
#   looks as if the place were unknown, and each image takes as long as the worst one.
# We: undistort first and always say "PINHOLE"; name the options in one place, where a test counts
#   PoseLib's iterations against the cap; and count the inliers ourselves.
set -euo pipefail
unset PYTHONPATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check poselib==2.0.5 numpy==2.2.6

"$folder/venv/bin/python" - <<'END'
import sys
from importlib.metadata import version

import numpy as np
import poselib

print("poselib", version("poselib"))
rng = np.random.default_rng(0)
points_n3 = rng.uniform(-2.0, 2.0, (200, 3)) + [0.0, 0.0, 6.0]
pixels_n2 = 500.0 * points_n3[:, :2] / points_n3[:, 2:] + [320.0, 240.0]


def solve(model, options):
    camera = {"model": model, "width": 640, "height": 480, "params": [500.0, 500.0, 320.0, 240.0]}
    try:
        _, info = poselib.estimate_absolute_pose(pixels_n2, points_n3, camera, options, {})
    except Exception as error:
        print(f"{model:12} {options}: {error!r}")
        return None
    print(f"{model:12} {options}: {info['num_inliers']} inliers, {info['iterations']} iterations")
    return info["num_inliers"], info["iterations"]


known = solve("PINHOLE", {})
capped = solve("PINHOLE", {"max_iterations": 10})
misspelt = solve("PINHOLE", {"max_iteration": 10})
unknown = [solve(model, {}) for model in ("plumb_bob", "equidistant", "no such lens")]

same = (
    known[0] == 200
    and capped[1] <= 10
    and misspelt == known
    and unknown == [(0, 100_000)] * 3
)
sys.exit(None if same else "changed: PoseLib does something else with names that it does not know")
END
