#!/usr/bin/env bash
# safetensors 0.8.0: a transposed NumPy array is saved as if it had not been transposed.
#
# Surprising: safetensors.numpy.save writes an array's memory as it lies there, whatever its strides,
#   under the shape that the view has. R.T of a rotation comes back as R, every second column of a
#   table as its first columns. No error; safetensors.torch refuses the like.
# Expected: what was saved, or a refusal.
# Matters: a rotation and its inverse differ by a transpose. map_from_camera saved as the transpose of
#   camera_from_map is a proper rotation after loading too, only the wrong one: no check of
#   orthogonality finds it.
# We: save through safetensors.torch alone, and a map's checksum is taken from contiguous tensors.
set -euo pipefail
unset PYTHONPATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    safetensors==0.8.0 numpy==2.2.6

"$folder/venv/bin/python" - <<'END'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load, save

print("safetensors", safetensors.__version__)
turn_rad = np.radians(30.0)
cosine, sine = np.cos(turn_rad), np.sin(turn_rad)
map_from_camera_33 = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
table_34 = np.arange(12.0).reshape(3, 4)


def through_a_file(array):
    return load(save({"array": array}))["array"]


plain_33 = through_a_file(map_from_camera_33)
transposed_33 = through_a_file(map_from_camera_33.T)
copied_33 = through_a_file(np.ascontiguousarray(map_from_camera_33.T))
every_second_32 = through_a_file(table_34[:, ::2])
print("R.T:", map_from_camera_33.T.round(3).tolist())
print("R.T as loaded:", transposed_33.round(3).tolist())
print("every second column:", table_34[:, ::2].tolist())
print("the same as loaded:", every_second_32.tolist())

same = (
    (plain_33 == map_from_camera_33).all()
    and (transposed_33 == map_from_camera_33).all()
    and (copied_33 == map_from_camera_33.T).all()
    and (every_second_32.ravel() == np.arange(6.0)).all()
)
sys.exit(None if same else "changed: what becomes of arrays that are views")
END
