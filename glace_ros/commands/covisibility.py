"""`covisibility`: how well a global encoder's codes tell which images of a recording see the same,
and the sigma that this suggests (the paper's Figures 3 and 4).
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from glace_ros.command_line.arguments import not_negative, positive
from glace_ros.command_line.output_files import require_distinct, require_writable, write_json
from glace_ros.command_line.program import run
from glace_ros.command_line.progress import progress_bar
from glace_ros.command_line.recording_options import (
    add_recording_arguments,
    open_recording,
    recording_name,
)
from glace_ros.commands.build_map_options import local_encoder_name
from glace_ros.device import choose_device
from glace_ros.errors import GlaceError
from glace_ros.features.encoder_names import GlobalEncoderName
from glace_ros.mapping.descriptor_statistics import (
    DescriptorPairs,
    DescriptorStatistics,
    descriptor_pairs,
)
from glace_ros.mapping.global_descriptors import unseen_pairs
from glace_ros.mapping.map_builder import MapBuilder
from glace_ros.mapping.map_builder_config import MapBuilderConfig
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.report.descriptor_angles import AngleBins, descriptor_angles_page
from glace_ros.report.page import Metric, write_page

if TYPE_CHECKING:
    from glace_ros.recording.posed_image_reader import PosedImageReader


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 1 no two images or all are co-visible, 2 recording unusable, 5 weights
    unusable, 6 too few images, 130 interrupted.
    """
    args = _parser().parse_args(argv)
    return run("covisibility", lambda: _covisibility(args))


def _covisibility(args: argparse.Namespace) -> int:
    require_distinct(
        {"--bag": args.bag, "--scene": args.scene, "--json": args.json, "--html": args.html}
    )
    for option, file in (("--json", args.json), ("--html", args.html)):
        if file:
            require_writable(option, file)
    with open_recording(args, "train") as reader:
        pairs = _pairs(args, reader, Console(stderr=True))
    rule = f"co-visible: within {args.distance:g} m and {args.angle:g} deg of each other"
    statistics = pairs.statistics()
    if statistics is None:
        raise GlaceError(f"no two images of it, or all, are {rule}: change --distance or --angle")
    bins, rows = AngleBins.of(pairs.angle_deg_p, pairs.covisible_p), _rows(pairs, statistics)
    title = f"Codes of {args.global_encoder} on {recording_name(args)}"
    table = Table(title=f"{title}; {rule}", show_header=False)
    for row in rows:
        table.add_row(row.name, row.value)
    Console().print(table)
    if args.json:
        content = {**vars(statistics), "pairs": len(pairs.covisible_p), "bins": bins.as_json()}
        write_json(args.json, content)
    if args.html:
        sentence = f"It suggests --sigma {statistics.sigma:.3f}."
        write_page(args.html, descriptor_angles_page(title, rule, sentence, rows, bins))
    return 0


def _pairs(args: argparse.Namespace, reader: PosedImageReader, console: Console) -> DescriptorPairs:
    config = MapBuilderConfig(local_encoder=args.local_encoder, global_encoder=args.global_encoder)
    selection = FrameSelection(
        keyframe_distance_m=args.keyframe_dist, keyframe_angle_deg=args.keyframe_angle
    )
    builder = MapBuilder(config, choose_device(args.device))
    image_count = reader.info.image_count
    with progress_bar(console, "encode", image_count) as advance:
        images = reader.posed_images(selection, None)
        views = builder.encode(images, builder.no_views(image_count), advance).views
    if views.descriptors_vG is not None:
        descriptors_vG = views.descriptors_vG.numpy()
        return descriptor_pairs(
            descriptors_vG, views.map_from_camera, None, args.distance, args.angle
        )
    features = [view.features for view in views]
    return unseen_pairs(
        features, views.map_from_camera, config.vlad, config.seed, args.distance, args.angle
    )


def _rows(pairs: DescriptorPairs, statistics: DescriptorStatistics) -> list[Metric]:
    return [
        Metric(
            "pairs of images", f"{len(pairs.covisible_p)}, {pairs.covisible_p.sum()} co-visible"
        ),
        Metric("mean angle of co-visible pairs", f"{statistics.covisible_deg:.1f} deg"),
        Metric("mean angle of others", f"{statistics.other_deg:.1f} deg"),
        Metric("a co-visible pair has the smaller angle", f"{100 * statistics.auc:.1f} % of cases"),
        Metric("sigma that this suggests", f"{statistics.sigma:.3f}"),
    ]


def _global_encoder(text: str) -> str:
    with suppress(GlaceError):
        name = GlobalEncoderName.parse(text)
        own_file = name.r2former is not None and name.r2former.file
        if not name.clusters and (name.source == "vlad" or own_file):
            return text
    raise argparse.ArgumentTypeError("must be vlad or r2former:FILE")


def _parser() -> argparse.ArgumentParser:
    frames, defaults = FrameSelection(), MapBuilderConfig()
    parser = argparse.ArgumentParser(
        prog="covisibility",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_recording_arguments(parser, "train")
    parser.add_argument(
        "--global-encoder", type=_global_encoder, default="vlad",
        help="vlad (of a quarter of the images, learned from the others) or r2former:FILE",
    )  # fmt: skip
    parser.add_argument(
        "--local-encoder", type=local_encoder_name, default=defaults.local_encoder, help="of vlad"
    )
    parser.add_argument("--distance", type=positive, default=1.0, metavar="M", help="co-visible")
    parser.add_argument("--angle", type=positive, default=30.0, metavar="DEG", help="co-visible")
    for option, default, unit in (
        ("--keyframe-dist", frames.keyframe_distance_m, "M"),
        ("--keyframe-angle", frames.keyframe_angle_deg, "DEG"),
    ):
        parser.add_argument(option, type=not_negative, default=default, metavar=unit)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and the bins")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write both distributions")
    return parser
