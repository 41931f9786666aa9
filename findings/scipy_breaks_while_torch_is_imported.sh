#!/usr/bin/env bash
# scipy 1.17.1: a rotation raises AttributeError while another thread imports torch.
#
# Surprising: Rotation.from_quat and the like, called with plain numbers, ask whether these are PyTorch's.
#   To know, SciPy takes torch from sys.modules, where it lies from the first moment of its import, and
#   uses what it does not have yet. Other threads get "partially initialized module 'torch' has no
#   attribute 'Tensor'" until torch.Tensor is there. Not where a rotation was made before the import
#   began: the answer is cached.
# Expected: SciPy works whatever another thread imports, above all where torch has no part in it.
# Matters: a ROS node that imports PyTorch in the background, so that its services answer soon, dies of
#   the first transform that it hears.
# We: nothing that computes runs before that import has ended (`read_with_all_imported` in commands/localize.py).
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.2.6 scipy==1.17.1 torch==2.13.0

cat >"$folder/turn.py" <<'END'
import sys
from importlib import import_module
from importlib.metadata import version
from threading import Thread

from scipy.spatial.transform import Rotation

print("scipy", version("scipy"), "torch", version("torch"))
raised, turned = set(), 0
importing = Thread(target=import_module, args=("torch",))
importing.start()
while "torch" not in sys.modules:
    pass
while importing.is_alive():
    try:
        Rotation.from_quat([0.0, 0.0, 0.0, 1.0])
        turned += 1
    except AttributeError as error:
        raised.add(str(error))
Rotation.from_quat([0.0, 0.0, 0.0, 1.0])  # fine after it
print(turned, "rotations while torch was imported, but also:", *raised, sep="\n")
sys.exit(None if raised else "changed: SciPy minds a torch that is being imported")
END

"$folder/venv/bin/python" "$folder/turn.py"
