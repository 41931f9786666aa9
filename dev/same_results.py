"""Show that a restructuring changed no result: run the same commands with two checkouts, compare.

    python dev/same_results.py OLD_CHECKOUT NEW_CHECKOUT --bags ../shared/data/office

Only the command line of either checkout is used, on the CPU with one thread: maps are compared to
the bit, poses and exported files byte by byte, JSON but for wall time; how many images were
rejected has to be the same, the words and keys for it may change. Maps of the old checkout are also
read by the new one. Exit code 1: something differs; 2: a checkout cannot be used.

Results stay in --work, and are used again as long as the modules of the checkout are the same.
Not compared: the pages, --minutes, GPUs, the live node. Whether training uses bfloat16 is measured
by the program: both need the same machine, one where bfloat16 is clearly faster or slower.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from result_differences import MAY, file_rows, first_difference

WORK = Path(tempfile.gettempdir()) / "same_results"
WORDS_OF_TIME = re.compile(r"ETA|latency|│ time|^time: |refused: |accepted poses of")
# Seeded stand-ins for the encoders whose weights are not ours to ship.
MAKE_WEIGHTS = """
import numpy as np, torch
from glace_ros.features.ace_encoder import AceNetwork
from glace_ros.features.r2former_encoder import R2FormerNetwork
def seeded(net, seed, before=""):
    rng, state = np.random.RandomState(seed), {}
    for name, part in sorted(net.state_dict().items()):
        spread = (2.0 / max(1, np.prod(part.shape[1:]))) ** 0.5 if part.dim() > 1 else 0.1
        norm = "norm" in name and name.endswith("weight")
        values = spread * rng.standard_normal(tuple(part.shape)) + norm
        state[before + name] = torch.from_numpy(np.asarray(values)).float()
    return state
torch.save(seeded(AceNetwork(), 1), "ace.pt")
state = seeded(R2FormerNetwork(), 2, "module.backbone.")
torch.save({"model_state_dict": state}, "r2former.pth")
"""


class Step(NamedTuple):
    """One command. makes: files and folders that it leaves. like: what the old
    checkout runs instead, whose files have to be the same. words: what it prints has to be, too.
    """

    name: str
    command: str
    makes: tuple[str, ...] = ()
    like: Step | None = None
    words: bool = False


def steps(paper: bool) -> list[Step]:
    """All of it. `{...}`: see `Side`."""
    few = "--keyframe-dist 1 --keyframe-angle 60 --holdout 0.05 --no-report"
    report = (".glace", ".json", ".report.json", ".ply")
    fewest = few.replace("-dist 1", "-dist 1.5").replace("60", "180")
    truth = "--pose-source /ground_truth/pose"
    commands = [
        # a folder lies where the map would go: the demo ends once its drives are recorded
        Step("demo", "demo --size small --output sim", ("sim/recording",)),
        *(Step(f"dry_run_{name}", f"build_map --bag {bag} --dry-run", words=True)
          for name, bag in (("office", "{office}/mapping"), ("sim", "{sim}/mapping"))),
        _build("office", "{office}/mapping", "--iterations {n} --seed 3", report),
        *_evaluate("office", "{office}/query"),
        _evaluate("options", "{office}/query", "--min-inliers 4 --ransac-px 5 --seed 7",
                  of="office")[0],
        _evaluate("foreign", "{sim}/query", "--foreign", of="office")[0],
        _build("sim", "{sim}/mapping", "--iterations {n} --keyframe-dist 0.5", report),
        *_evaluate("sim", "{sim}/query", truth),
        _build("ensemble", "{office}/mapping", "--iterations {n} --ensemble 2 --keyframe-dist 0.4"),
        *_evaluate("ensemble", "{office}/query"),
        _build("none", "{office}/mapping", f"--iterations {{n}} --global-encoder none {few}"),
        *_evaluate("none", "{office}/query"),
        _build("kmeans", "{sim}/mapping", "--iterations 50 --global-encoder kmeans:4 --preset "
               f"quality --landmarks 500 --width 128 --clusters 3 {few}"),
        _build("both", "{office}/mapping", "--iterations 20 --local-encoder xfeat+ace:"
               "{weights}/ace.pt --global-encoder kmeans:4+r2former:{weights}/r2former.pth "
               + fewest),
        _build("ace", "{office}/mapping", "--iterations 50 --local-encoder ace:{weights}/ace.pt "
               f"--global-encoder none {fewest}"),
        Step("export", "export_map ace.glace --output out.pt", ("out.pt",),
             words=True),
        Step("import", "import_map --encoder {weights}/ace.pt --head out.pt out.pt --output "
             "imported.glace", ("imported.glace",), words=True),
        Step("prepare", f"prepare bag {{sim}}/query scene --split test {truth}", ("scene",)),
        Step("scene", "evaluate --map sim.glace --scene scene --submission scene.txt --json "
             "scene.eval.json", ("scene.txt", "scene.eval.json")),
        Step("covisibility", "covisibility --bag {sim}/mapping --keyframe-dist 0.5 --json "
             "covisibility.json", ("covisibility.json",)),
        *(Step(f"usage_{name}", f"{name} --help", words=True)
          for name in ("build_map", "localize", "evaluate", "prepare", "benchmark",
                       "covisibility", "import_map", "export_map", "demo")),
        _evaluate("truth", "{office}/query", truth, of="office")[0],
    ]  # fmt: skip
    if paper:  # fills its buffer with 16 million patches, however small the rest is
        few += " --iterations 20 --preset paper-7scenes --width 64 --buffer-gb 0.3"
        commands.append(_build("paper", "{sim}/mapping", few))
    return commands


def _build(name: str, bag: str, options: str, ends: tuple[str, ...] = (".glace", ".json")) -> Step:
    files = f"--output {name}.glace --json {name}.json --checkpoint-every 100000"
    makes = tuple(name + end for end in ends)
    return Step(f"build_{name}", f"build_map --bag {bag} {files} {options}", makes)


def _evaluate(name: str, bag: str, options: str = "", of: str = "") -> list[Step]:
    """With the map of the same checkout, and both with the old one's."""

    def step(called: str, folder: str, like: Step | None = None) -> Step:
        makes = f"{called}.eval.json", f"{called}.tum"
        command = f"evaluate --map {folder}{of or name}.glace --bag {bag} {options} "
        command += f"--json {makes[0]} --tum {makes[1]}"
        return Step(f"evaluate_{called}", command, makes, like)

    own = step(name, "")
    return [own, step(f"{name}_old_map", "{old}/", own)]


class Side:
    """One checkout and the folder with its results. old: the old side, whose drives and weights
    both use; None where this is it.
    """

    def __init__(self, checkout: Path, folder: Path, args: argparse.Namespace, old: Side | None):
        self.folder, self._ready, self._again = folder, dict[str, dict[str, Any]](), False
        source = old.folder if old else folder
        self._where = {
            "office": args.bags.resolve(), "sim": source / "sim" / "recording", "old": source,
            "weights": source / "weights", "n": args.iterations,
        }  # fmt: skip
        one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
        self._environment = os.environ | one_thread | {
            "PYTHONPATH": str(checkout), "PYTHONPYCACHEPREFIX": str(folder / "pycache"),
            "ROS_HOME": str(folder / "ros"), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "300",
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }  # fmt: skip
        shutil.rmtree(folder / "ros" / "glace" / "features", ignore_errors=True)  # of other modules
        (folder / "sim" / "flat.glace").mkdir(parents=True, exist_ok=True)
        (folder / "weights").mkdir(exist_ok=True)
        code = "import glace_ros; print(glace_ros.__file__)"
        found = self._python(folder, "-c", code).stdout.strip()
        if not Path(found).is_relative_to(checkout):
            sys.exit(f"{checkout}: glace_ros is imported from {found or 'nowhere'}")
        digest = hashlib.sha256()
        for module in sorted((checkout / "glace_ros").rglob("*.py")):
            digest.update(f"{module.relative_to(checkout)}\n".encode() + module.read_bytes())
        self._program = digest.hexdigest()
        if old is None and not (folder / "weights" / "r2former.pth").is_file():
            self._python(folder / "weights", "-c", MAKE_WEIGHTS).check_returncode()

    def _python(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=self._environment, text=True,
            capture_output=True, check=False,
        )  # fmt: skip

    def run(self, step: Step) -> dict[str, Any]:
        """What the step printed, and its exit code; from before where nothing changed."""
        if step.name not in self._ready:
            self._ready[step.name] = self._kept_or_run(step)
        return self._ready[step.name]

    def _kept_or_run(self, step: Step) -> dict[str, Any]:
        command = step.command.format(**self._where).split()
        asked, note = [self._program, command], self.folder / f"{step.name}.step"
        if not self._again and note.is_file():
            done: dict[str, Any] = json.loads(note.read_text())
            if done["asked"] == asked:
                return done
        self._again = True  # what follows may depend on it
        note.unlink(missing_ok=True)
        for path in (self.folder / made for made in step.makes):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        started_s = time.monotonic()
        ended = self._python(self.folder, "-m", "glace_ros.cli", *command)
        print(
            f"  {self.folder.name}: {step.name}, {time.monotonic() - started_s:.0f} s", flush=True
        )
        if "Traceback" in ended.stderr:
            print(ended.stderr, file=sys.stderr)
        done = {"asked": asked, "code": ended.returncode, "out": ended.stdout, "err": ended.stderr}
        note.write_text(json.dumps(done))
        return done


def printed(done: dict[str, Any], step: Step) -> list[str]:
    """The lines without those that tell times; of a help the usage alone."""
    if "--help" in step.command:
        return str(done["out"]).split("\n\n")[0].splitlines()
    lines = (done["out"] + done["err"]).splitlines()
    return [re.sub("[─┌┐└┘├┤┬┴]+|  +", " ", s) for s in lines if not WORDS_OF_TIME.search(s)]


def compare(step: Step, old: Side, new: Side) -> dict[str, str]:
    """(what, first difference) of one step."""
    done, done_new = old.run(step.like or step), new.run(step)
    makes = (step.like or step).makes
    rows = {"exit code": first_difference([[done["code"]], [done_new["code"]]], "")}
    lines = printed(done, step), printed(done_new, step)
    rows["printed" + ("" if step.words else MAY)] = first_difference(lines, "line")
    for made, made_new in zip(makes, step.makes, strict=True):
        for what, difference in file_rows(old.folder / made, new.folder / made_new).items():
            rows[made_new + what] = difference
    return rows


def main() -> int:
    """The table; 1 where something differs that may not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path, metavar="OLD_CHECKOUT")
    parser.add_argument("new", type=Path, metavar="NEW_CHECKOUT")
    parser.add_argument("--bags", type=Path, required=True, help="with the bags mapping and query")
    parser.add_argument("--iterations", type=int, default=400, help="of the larger maps")
    parser.add_argument("--work", type=Path, default=WORK, help="for the new side")
    parser.add_argument("--old-results", type=Path, help="kept for later runs; WORK/old")
    parser.add_argument("--only", default="", metavar="REGEX", help="of steps, and those they need")
    parser.add_argument("--paper", action="store_true", help="a paper preset too: 7 minutes a side")
    args = parser.parse_args()
    started_s, count, different = time.monotonic(), 0, 0
    old = Side(args.old.resolve(), (args.old_results or args.work / "old").resolve(), args, None)
    new = Side(args.new.resolve(), (args.work / "new").resolve(), args, old)
    for step in steps(args.paper):
        rows = compare(step, old, new) if re.search(args.only, step.name) else {}
        for what, difference in rows.items():
            count, may = count + 1, MAY in what
            different += bool(difference) and not may
            result = ("other words: " if may else "DIFFERENT: ") + difference
            print(f"{step.name:<22} {what:<40} {result if difference else 'same'}", flush=True)
    print(f"{count} compared, {different} DIFFERENT, {time.monotonic() - started_s:.0f} s")
    return 1 if different or not count else 0


if __name__ == "__main__":
    sys.exit(main())
