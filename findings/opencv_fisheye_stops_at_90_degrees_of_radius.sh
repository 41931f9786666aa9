#!/usr/bin/env bash
# OpenCV 4.12 takes fisheye pixels that its own model has made back to wrong rays.
#
# Surprising: cv2.fisheye.undistortPoints cuts the radius in the image (radius / focal length) off at
#   pi / 2, as if it were the angle of the ray. A lens whose radius grows faster than the angle is past
#   that before 90 degrees: a stereographic one from 76.3 degrees on. A ray of 84 degrees goes out
#   through distortPoints and comes back as one of 78, over 50 pixels away. No error, no -1e6, which
#   it answers elsewhere for what did not converge, and more iterations change nothing.
# Expected: the ray that the pixel came from, or a refusal.
# Matters: these are the points that a wide lens was bought for, and they are bent inwards by up to 6
#   degrees, all in the same way: a pose that fits them is wrong, not noisy.
# We: never invert a lens on a robot. Images are undistorted with initUndistortRectifyMap, which needs
#   the forward model alone; only the simulation's renderer inverts.
set -euo pipefail
unset PYTHONPATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    opencv-python-headless==4.12.0.88 numpy==2.2.6

"$folder/venv/bin/python" - <<'END'
import sys

import cv2
import numpy as np

print("opencv", cv2.__version__)
# the four coefficients of a stereographic lens, radius = 2 tan(angle / 2)
angle_n = np.radians(np.linspace(1.0, 85.0, 200))
powers_n4 = angle_n[:, None] ** [2, 4, 6, 8]
coefficients_4 = np.linalg.lstsq(powers_n4, 2 * np.tan(angle_n / 2) / angle_n - 1, rcond=None)[0]
k_33 = np.array([[300.0, 0.0, 640.0], [0.0, 300.0, 480.0], [0.0, 0.0, 1.0]])


def distort(flat_n2):
    return cv2.fisheye.distortPoints(flat_n2[:, None], k_33, coefficients_4)[:, 0]


angle_deg_n = np.array([30.0, 60.0, 75.0, 76.0, 77.0, 80.0, 84.0])
tangent_n = np.tan(np.radians(angle_deg_n))
pixel_n2 = distort(np.stack([tangent_n, 0 * tangent_n], axis=1))
stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 1000, 1e-12)
flat_n2 = cv2.fisheye.undistortPoints(pixel_n2[:, None], k_33, coefficients_4, criteria=stop)[:, 0]
back_deg_n = np.degrees(np.arctan(flat_n2[:, 0]))
off_px_n = np.abs(distort(flat_n2)[:, 0] - pixel_n2[:, 0])

print("ray, deg   column, px   and back, deg   off by, px")
for row in zip(angle_deg_n, pixel_n2[:, 0], back_deg_n, off_px_n):
    print("{:8.1f} {:12.1f} {:15.2f} {:12.2f}".format(*row))

beyond_n = angle_deg_n > 76.3
same = (
    (np.abs(back_deg_n - angle_deg_n)[~beyond_n] < 0.01).all()
    and (off_px_n[beyond_n] > 4.0).all()
    and off_px_n[-1] > 50.0
)
sys.exit(None if same else "changed: other rays come back from beyond 76 degrees")
END
