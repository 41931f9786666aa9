#!/usr/bin/env bash
# torch 2.13.0: an optimizer that nobody compiles imports PyTorch's compiler all the same.
#
# Surprising: making torch.optim.AdamW or SGD imports torch._dynamo, hundreds of modules that take as
#   long as a second of `import torch`. Nothing asks for torch.compile, and forward and backward passes
#   do without. The functions behind the classes, torch.optim.adamw.adamw and the like, import none of it.
# Expected: what is not compiled does not import a compiler; `import torch` leaves it out for that reason.
# Matters: a small map trains in seconds. Each process that makes one pays for it again, and on a slow
#   processor it was 1.3 to 2.9 s of a build; a profile shows it as a slow first step.
# We: AdamW by torch's function, with a state of our own (mapping/training/adam_w.py).
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.2.6 torch==2.13.0

cat >"$folder/step.py" <<'END'
import sys
import time

import torch
from torch.optim.adamw import adamw

way = sys.argv[1]
torch.manual_seed(0)
weight = torch.zeros(3, requires_grad=True)
(torch.ones(3) @ weight).backward()
before = set(sys.modules)
assert "torch._dynamo" not in before
begun = time.process_time()
if way == "function":
    state = [[torch.zeros(3)], [torch.zeros(3)], [], [torch.zeros(())]]
    with torch.no_grad():
        adamw([weight], [weight.grad], *state, amsgrad=False, beta1=0.9, beta2=0.999, lr=0.1,
              weight_decay=0.0, eps=1e-8, maximize=False)
else:
    optimizer = getattr(torch.optim, way)([weight], lr=0.1)
    made = "torch._dynamo" in sys.modules
    optimizer.step()
    print(f"  imported when it was made: {made}")
took_s = time.process_time() - begun
new = set(sys.modules) - before
dynamo = "torch._dynamo" in new
print(f"{way}: {len(new)} modules in {took_s:.1f} s of a processor, torch._dynamo {'imported' if dynamo else 'not'}")
sys.exit(0 if dynamo == (way != "function") else f"changed: {way}")
END

"$folder/venv/bin/python" -c 'import torch; print("torch", torch.__version__)'
for way in AdamW SGD function; do
    "$folder/venv/bin/python" "$folder/step.py" "$way"
done
