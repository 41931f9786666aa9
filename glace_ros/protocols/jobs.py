"""The maps of a benchmark: each built and evaluated by the programs that a user would start, and
what they found cached, so that the same command goes on where it was interrupted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glace_ros.command_line.child_process import child_process
from glace_ros.command_line.output_files import write_json
from glace_ros.errors import GlaceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


class BenchmarkError(GlaceError):
    """A program ended with an error, which it has told; its exit code becomes ours."""


class Job(NamedTuple):
    """One map.

    name: its files are called so.
    variant: the folder that they are in; empty where there is one kind of map only.
    scene: a scene folder, or a list of rooms.
    folders: the scene folders.
    build: what `build_map` is told besides.
    device: what both programs are told.
    submission: whether `evaluate` writes poses for visuallocalization.net.
    """

    name: str
    variant: str
    scene: Path
    folders: tuple[Path, ...]
    build: tuple[str, ...]
    device: str
    submission: bool = False

    def options(self) -> dict[str, Any]:
        """All that decides the metrics."""
        return {
            "build_map": list(self.build),
            "device": self.device,
            "scene": str(self.scene.resolve()),
            "data": {str(folder.resolve()): _made_from(folder) for folder in self.folders},
            "rooms": self.scene.read_text(encoding="utf-8") if self.scene.is_file() else "",
        }


class FinishedJob(NamedTuple):
    """A map that was built and evaluated.

    job: which one.
    build, evaluate: the metrics that the programs wrote.
    resumed: the mapping was interrupted, so its time is that of its last part.
    """

    job: Job
    build: dict[str, Any]
    evaluate: dict[str, Any]
    resumed: bool


def run_jobs(jobs: Sequence[Job], output: Path, console: Console) -> list[FinishedJob]:
    """Each job's metrics; those that are in `output` already are taken from there.

    jobs: in the order of the work.
    output: folder of the maps and of what is done.
    console: is told of each job.
    Raises GlaceError where they are of other options, BenchmarkError where a program fails.
    """
    records = [_Record(output, job) for job in jobs]  # before hours of work, not after
    finished = []
    for number, record in enumerate(records, 1):
        words = f"[{number}/{len(jobs)}] {record.name}"
        if "evaluate" in record.content:
            console.print(f"{words}: there already", highlight=False, markup=False)
        else:
            console.print(words, highlight=False, markup=False)
            _run(record)
        content = record.content
        finished.append(
            FinishedJob(record.job, content["build_map"], content["evaluate"], content["resumed"])
        )
    return finished


class _Record:
    """What is cached of a job.

    content: options, resumed, and the metrics of the programs that ended well.
    """

    def __init__(self, output: Path, job: Job) -> None:
        folder = output / job.variant
        self.job, self.name = job, "/".join(filter(None, (job.variant, job.name)))
        self.path, self.map = folder / f"{job.name}.json", folder / f"{job.name}.glace"
        self.content = self._read()
        saved = [*folder.glob(f"{self.map.name}.*"), self.metrics("build_map")]
        if "build_map" not in self.content and not any(path.exists() for path in saved):
            self.content = {}  # nothing was saved that could be gone on with
        self.begun = bool(self.content)
        options = job.options()
        before = self.content.setdefault("options", options)
        self.content.setdefault("resumed", False)
        if changed := [name for name in options if options[name] != before.get(name)]:
            raise GlaceError(
                f"{self.path} is of a run with another choice of {', '.join(changed)}: name "
                "another folder with --output, or remove this one"
            )

    def metrics(self, program: str) -> Path:
        """What it writes when it is done; gone once it is cached here."""
        return self.path.with_name(f"{self.job.name}.{program}.json")

    def save(self) -> None:
        """As a whole or not at all."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, self.content)
        except OSError as error:
            raise GlaceError(f"{self.path} cannot be written: {error.strerror}") from error

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise GlaceError(f"{self.path} cannot be read ({error}): remove it") from error
        if not isinstance(content, dict):
            raise GlaceError(f"{self.path} is no record of a benchmark: remove it")
        return content


def _run(record: _Record) -> None:
    job = record.job
    of_both = ["--scene", str(job.scene), "--device", job.device]
    if not record.begun:
        record.metrics("build_map").unlink(missing_ok=True)
    elif done := _whole(record.metrics("build_map")):  # we were interrupted, it was not
        record.content["build_map"] = done
    if "build_map" not in record.content:
        record.content["resumed"] = record.begun
        record.save()
        # every image is mapped from, and none is held out, as in the papers
        words = ["--keyframe-dist", "0", "--holdout", "0", "--no-report", *job.build]
        words += ["--features-cache-gb", "0"]  # the time of a build is reported
        words += ["--resume"] if record.begun else []
        output = ["--output", str(record.map)]
        _program(record, "build_map", [*of_both, *words, *output])
    words = ["--map", str(record.map)]
    if job.submission:
        words += ["--submission", str(record.map.with_suffix(".submission.txt"))]
    _program(record, "evaluate", [*of_both, *words])


def _program(record: _Record, subcommand: str, arguments: list[str]) -> None:
    """Runs it and keeps its metrics."""
    metrics = record.metrics(subcommand)
    metrics.unlink(missing_ok=True)
    with child_process(subcommand, [*arguments, "--json", str(metrics)]) as process:
        code = process.wait()
    if code != 0:
        error = BenchmarkError(
            f"{subcommand} of {record.name} ended with exit code {code} (see above); the same "
            "command goes on from here"
        )
        error.exit_code = code if code > 0 else 1
        raise error
    record.content[subcommand] = json.loads(metrics.read_text(encoding="utf-8"))
    record.save()
    metrics.unlink()


def _whole(metrics: Path) -> dict[str, Any]:
    """Empty where the program did not come to the end."""
    try:
        content = json.loads(metrics.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _made_from(folder: Path) -> str:
    """What `prepare` noted, empty for a folder that it did not make."""
    path = folder / "prepared.json"
    return path.read_text(encoding="utf-8") if path.is_file() else ""
