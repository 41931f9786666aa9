"""`benchmark`: maps and asks the scenes of one of the paper's tables, and prints that table with
our row. What was interrupted goes on with the same command.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from glace_ros.atomic_write import write_output
from glace_ros.command_line.arguments import positive, whole_number
from glace_ros.command_line.output_files import require_writable, write_json
from glace_ros.command_line.program import run
from glace_ros.commands.build_map_options import global_encoder_name, local_encoder_name
from glace_ros.datasets.rooms import room_list
from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.mapping.presets import PRESETS
from glace_ros.protocols.comparison_page import Comparison, comparison_page, markdown
from glace_ros.protocols.jobs import Job, run_jobs
from glace_ros.protocols.protocols import ABLATIONS, PROTOCOLS, protocol
from glace_ros.protocols.results import comparisons, notes_on
from glace_ros.report.page import write_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.protocols.jobs import FinishedJob
    from glace_ros.protocols.protocols import Protocol

_HANDED_ON = (
    "minutes", "iterations", "local_encoder", "global_encoder", "ensemble", "buffer_gb", "seed",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 2 data unusable, 130 interrupted, else that of the program that failed."""
    args = _parser().parse_args(argv)
    return run("benchmark", lambda: _benchmark(args))


def _benchmark(args: argparse.Namespace) -> int:
    console = Console(stderr=True)
    asked = protocol(args.protocol, sfm=args.sfm, ablation=args.ablation)
    folders = asked.chosen(args.scenes)
    asked.require(args.data, folders)
    words = [args.protocol, *["sfm"] * args.sfm, *["ablation"] * args.ablation]
    name = "_".join(["benchmark", *words])  # several may be run into one folder
    output = args.output or Path(name)
    page = output / f"{name}.html"
    require_writable("--output", page)
    finished = run_jobs(_jobs(args, asked, folders, output), output, console)
    tables, notes = comparisons(asked, finished), notes_on(asked, finished)
    _write(page, asked, finished, tables, notes)
    _print(tables, notes, page)
    return 0


def _jobs(
    args: argparse.Namespace, asked: Protocol, folders: Sequence[str], output: Path
) -> list[Job]:
    build = ["--preset", args.preset or asked.preset]
    for name in _HANDED_ON:
        if (value := getattr(args, name)) is not None:
            build += [f"--{name.replace('_', '-')}", str(value)]
    paths = tuple(args.data / folder for folder in folders)
    scenes = [(path.name, path, (path,)) for path in paths]
    if asked.one_map:
        scenes = [(asked.name, _room_list(args, asked, paths, output), paths)]
    variants = ABLATIONS[asked.name] if args.ablation else {"": ()}
    return [
        # what is given last is what holds
        Job(name, variant, scene, of_it, (*build, *more), args.device, asked.name == "aachen-day")
        for variant, words in variants.items()
        for more in [_of_descriptors(words, args.global_encoder)]
        for name, scene, of_it in scenes
    ]


def _of_descriptors(words: tuple[str, ...], global_encoder: str | None) -> tuple[str, ...]:
    """A variant's words; where it asks for K global descriptors, they are R2Former's for whoever
    asks for R2Former.
    """
    given = GlobalEncoderName.parse(global_encoder) if global_encoder else None
    if words[:1] != ("--global-encoder",) or not given or not given.r2former or given.clusters:
        return words
    clusters = GlobalEncoderName.parse(words[1]).clusters
    return ("--global-encoder", str(replace(given, clusters=clusters)))


def _room_list(
    args: argparse.Namespace, asked: Protocol, paths: tuple[Path, ...], output: Path
) -> Path:
    """The one beside the scenes, if it is of all of them, or else one of our own."""
    published: Path = args.data / f"{'pgt_' if args.sfm else ''}{asked.name}.txt"
    if published.is_file() and len(paths) == len(asked.folders):
        return published
    own = output.resolve() / f"{asked.name}.txt"
    write_output(own, room_list(own, [path.resolve() for path in paths]))
    return own


def _write(
    page: Path,
    asked: Protocol,
    finished: Sequence[FinishedJob],
    tables: Sequence[Comparison],
    notes: Sequence[str],
) -> None:
    title = f"{asked.name}, {'SfM' if asked.sfm else 'recorded'} poses"
    content = {
        "protocol": asked.name,
        "sfm": asked.sfm,
        "tables": [
            {**table._asdict(), "rows": [row.as_json() for row in table.rows]} for table in tables
        ],
        "notes": notes,
        "jobs": [
            {
                "name": done.job.name, "variant": done.job.variant, "resumed": done.resumed,
                "build_map": done.build, "evaluate": done.evaluate,
            }
            for done in finished
        ],
    }  # fmt: skip
    write_json(page.with_suffix(".json"), content)
    write_output(page.with_suffix(".md"), markdown(title, tables, notes))
    images = sum(
        done.evaluate["frames"] + done.evaluate["frames_without_truth"] for done in finished
    )
    sentence = f"Maps: {len(finished)}. Images that were asked for: {images}."
    write_page(page, comparison_page(title, sentence, tables, notes))


def _print(tables: Sequence[Comparison], notes: Sequence[str], page: Path) -> None:
    console = Console()
    for compared in tables:
        table = Table(title=f"{compared.title}: {compared.unit}")
        for name in compared.head:
            table.add_column(name)
        for row in compared.cells():
            table.add_row(*row)
        console.print(table)
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    console.print(f"Open {page}", highlight=False, soft_wrap=True)


def _scenes(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmark", description=__doc__)
    parser.add_argument(
        "protocol", choices=PROTOCOLS, metavar="PROTOCOL", help=", ".join(PROTOCOLS)
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="scene folders, of glace prepare"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR",
        help="maps, what is done, benchmark_PROTOCOL.json, .md and .html (default "
        "benchmark_PROTOCOL)",
    )  # fmt: skip
    parser.add_argument(
        "--scenes", type=_scenes, default=[], metavar="A,B", help="these alone, such as chess,fire"
    )
    parser.add_argument(
        "--sfm", action="store_true", help="with the poses of structure from motion (pgt_...)"
    )
    parser.add_argument(
        "--ablation", action="store_true",
        help="Table 6 (cambridge) or Figure 6 (i19) instead: a map of each variant",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    build = parser.add_argument_group("handed to build_map")
    build.add_argument("--preset", choices=PRESETS, help="default: the paper's of this table")
    build.add_argument("--minutes", type=positive, help="wall time of each map")
    build.add_argument("--iterations", type=whole_number(1))
    build.add_argument("--local-encoder", type=local_encoder_name, metavar="NAME")
    build.add_argument("--global-encoder", type=global_encoder_name, metavar="NAME")
    build.add_argument("--ensemble", type=whole_number(1), metavar="N")
    build.add_argument("--buffer-gb", type=positive, metavar="GB")
    build.add_argument("--seed", type=whole_number(0))
    return parser
