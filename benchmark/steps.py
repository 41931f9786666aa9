"""Steps of a benchmark: each is done once, and what came of it is kept as JSON in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console

from glace_ros.atomic_write import write_atomically

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable
    from pathlib import Path

GLACE = (sys.executable, "-c", "import sys; from glace_ros.cli import main; sys.exit(main())")
DONE = (0, 3)
"""Exit codes of build_map that leave a map; 3: it failed its own check."""


def once(folder: Path, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` gave, now or in an earlier run.

    folder: it is kept there, as NAME.json.
    work: gives what JSON can hold.
    """
    file = folder / f"{name}.json"
    if file.is_file():
        return dict(json.loads(file.read_text()))
    Console().print(f"{time.strftime('%H:%M:%S')} {name}")
    found = work()
    write_atomically(file, json.dumps(found))
    return found


def glace_once(folder: Path, name: str, command: str, *arguments: object) -> dict[str, Any]:
    """The JSON of a glace command, with `wall_s`, `cpu_s` (of all threads), `peak_gb` and
    `exit_code`.

    Ends the benchmark with its exit code where it fails.
    """

    def work() -> dict[str, Any]:
        written = folder / f"{name}.new"
        written.unlink(missing_ok=True)
        start = time.perf_counter()
        code, usage = glace(command, *arguments, "--json", written)
        if code not in DONE or not written.is_file():
            sys.exit(code or 1)
        metrics = dict(json.loads(written.read_text()))
        written.unlink()
        return metrics | {
            "wall_s": time.perf_counter() - start,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_gb": usage.ru_maxrss / 1e6,  # kB on Linux
            "exit_code": code,
        }

    return once(folder, name, work)


def glace(*arguments: object) -> tuple[int, resource.struct_rusage]:
    """Runs a glace command: exit code, and what it used."""
    process = subprocess.Popen([*GLACE, *map(str, arguments)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage
