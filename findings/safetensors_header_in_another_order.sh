#!/usr/bin/env bash
# safetensors 0.8.0: the same tensors and metadata give other bytes in each process.
#
# Surprising: what is in `metadata` is written in an order that changes from one process to the next,
#   and so does the order in which `load` gives the tensors back. One entry is harmless, several make
#   files that differ although nothing in them does.
# Expected: equal content, equal bytes; the tensors in the order of the file.
# Matters: "the same seed gives the same map" cannot be shown with sha256sum, caches by content hash
#   miss, and whatever is summed over the loaded dictionary in its order is not repeatable.
# We: a map has one metadata entry, JSON with a fixed order, and its checksum goes over the tensors by
#   sorted name, not over the file.
set -euo pipefail
unset PYTHONPATH

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    safetensors==0.8.0 numpy==2.2.6

cat >"$folder/save.py" <<'END'
import hashlib
import sys

import numpy as np
from safetensors.numpy import load, save

tensors = {f"t{n}": np.full(4, n, np.float32) for n in range(8)}
names = ["origin", "encoder", "centre", "scale", "camera", "frame", "units", "seed"]
data = save(tensors, {name: "1" for name in names[: int(sys.argv[1])]})
print(hashlib.sha256(data).hexdigest()[:12], *load(data))
END

"$folder/venv/bin/pip" list --disable-pip-version-check | grep safetensors
for entries in 1 8; do
    echo "metadata of $entries: sha256 of the file, tensors as loaded, in six processes"
    for _ in 1 2 3 4 5 6; do
        "$folder/venv/bin/python" "$folder/save.py" "$entries"
    done | tee "$folder/seen_$entries"
done

files() { cut -d ' ' -f 1 "$folder/seen_$1" | sort -u | wc -l; }
orders=$(cut -d ' ' -f 2- "$folder/seen_8" | sort -u | wc -l)
if [ "$(files 1)" -ne 1 ] || [ "$(files 8)" -eq 1 ] || [ "$orders" -eq 1 ]; then
    echo "changed: the order of metadata or of loaded tensors" >&2
    exit 1
fi
