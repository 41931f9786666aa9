#!/usr/bin/env bash
# torch 2.13.0: on a CPU it takes as long to say which of a row is largest as to compute the row.
#
# Surprising: of a contiguous float32 matrix of 1000 x 1000, amax(dim=1) takes a tenth of a millisecond.
#   max(dim=1) and argmax(dim=1), which say where that is besides, take over five times as long, about as
#   long as the product of 1000 x 64 by 64 x 1000 that made the matrix. NumPy's argmax, on the same
#   memory, takes about as long as amax. One thread each.
# Expected: where the largest is costs little more than how large it is, as with NumPy.
# Matters: matching descriptors is such a product and such a search, once each way, for each pair of
#   images; argmax in both directions was half of matching and triangulating a map.
# We: amax by torch, argmax by NumPy on the tensor's own memory, where it is on a CPU
#   (features/descriptor_matching.py).
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.2.6 torch==2.13.0

cat >"$folder/largest.py" <<'END'
import sys
import time

import torch

torch.set_num_threads(1)
torch.manual_seed(0)
first, second = (torch.nn.functional.normalize(torch.randn(1000, 64), dim=1) for _ in range(2))
cosines = first @ second.T


def median_ms(work):
    work()
    taken = []
    for _ in range(51):
        begun = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - begun))
    return sorted(taken)[25]


took = {
    "the product": median_ms(lambda: first @ second.T),
    "torch amax": median_ms(lambda: cosines.amax(dim=1)),
    "torch max": median_ms(lambda: cosines.max(dim=1)),
    "torch argmax": median_ms(lambda: cosines.argmax(dim=1)),
    "NumPy argmax": median_ms(lambda: cosines.numpy().argmax(axis=1)),
}
for name, each in took.items():
    print(f"{name}: {each:.2f} ms, {each / took['torch amax']:.1f} times amax")
assert (cosines.argmax(dim=1).numpy() == cosines.numpy().argmax(axis=1)).all()
slow = min(took["torch max"], took["torch argmax"])
sys.exit(0 if slow > 4 * max(took["torch amax"], took["NumPy argmax"]) else "changed: it is no slower")
END

"$folder/venv/bin/python" -c 'import numpy, torch; print("torch", torch.__version__, "numpy", numpy.__version__)'
"$folder/venv/bin/python" "$folder/largest.py"
