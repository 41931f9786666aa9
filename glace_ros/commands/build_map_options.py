"""The command line of `build_map`: what can be chosen."""

from __future__ import annotations

import argparse
from contextlib import suppress

from glace_ros.command_line.arguments import finite, not_negative, positive, share, whole_number
from glace_ros.command_line.recording_options import add_recording_arguments
from glace_ros.errors import GlaceError
from glace_ros.features.encoder_names import GlobalEncoderName, LocalEncoderName
from glace_ros.mapping.map_builder_config import MapBuilderConfig, NarrowHeadConfig
from glace_ros.mapping.presets import PRESETS
from glace_ros.recording.frame_selection import FrameSelection


def global_encoder_name(text: str) -> str:
    """An argument: vlad, none, kmeans:K, r2former:FILE or kmeans:K+r2former:FILE."""
    with suppress(GlaceError):
        r2former = GlobalEncoderName.parse(text).r2former
        if r2former is None or r2former.file:
            return text
    raise argparse.ArgumentTypeError(
        "must be vlad, none or kmeans:K, r2former:FILE or kmeans:K+r2former:FILE"
    )


def local_encoder_name(text: str) -> str:
    """An argument: a name that `features/encoder_names.py` can parse."""
    try:
        LocalEncoderName.parse(text)
    except GlaceError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def build_map_parser(description: str | None) -> argparse.ArgumentParser:
    """All that `build_map` can be told."""
    defaults, frames = MapBuilderConfig(), FrameSelection()
    narrow = NarrowHeadConfig()
    parser = argparse.ArgumentParser(
        prog="build_map",
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_recording_arguments(parser, "train", several=True)
    parser.add_argument(
        "--output",
        metavar="MAP.glace",
        help="left out: NAME.glace, of the first bag or scene, in ~/.ros/glace, and latest.glace "
        "points at it",
    )
    parser.add_argument(
        "--preset",
        default=defaults.preset,
        choices=PRESETS,
        help="at most 2 (fast), 5 (default) or 15 minutes (quality); paper-*: as the paper trains, "
        "for GPUs",
    )
    parser.add_argument(
        "--minutes",
        type=positive,
        help="wall time, everything included, instead of the preset's: less where held-out images "
        "gain nothing more",
    )
    parser.add_argument(
        "--iterations", type=whole_number(1), help="train for so many steps, however long they take"
    )
    parser.add_argument(
        "--keyframe-dist", type=not_negative, default=frames.keyframe_distance_m, metavar="M"
    )
    parser.add_argument(
        "--keyframe-angle", type=not_negative, default=frames.keyframe_angle_deg, metavar="DEG"
    )
    parser.add_argument(
        "--holdout",
        type=share,
        default=0.1,
        help="share of the drive, in contiguous blocks, that judges the map",
    )
    parser.add_argument(
        "--refine-poses",
        default="auto",
        choices=("auto", "on", "off"),
        help="correct the recorded poses by what the images show: auto does so where they are "
        "odometry that does not fit the images as it is, and leaves those of a map frame (SLAM, "
        "AMCL) as they are where views that see a place again do not say that they drift",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="where refinement finds the camera's mount or its stamps wrong, make the map with "
        "what it finds, and keep that in the map for evaluate and the live node",
    )
    parser.add_argument(
        "--refine-intrinsics",
        default="auto",
        choices=("auto", "off"),
        help="where the images show that the recorded camera_info is wrong, make the map with the "
        "intrinsics that fit them, and keep those for images of that camera_info",
    )
    parser.add_argument(
        "--local-encoder",
        type=local_encoder_name,
        default=defaults.local_encoder,
        help="xfeat, aliked or superpoint:FILE, ace:FILE (the paper's: no landmarks), or one of "
        "the first three where patches lie and ACE beside it: xfeat+ace:FILE; FILE: your own "
        "weights",
    )
    parser.add_argument(
        "--global-encoder",
        type=global_encoder_name,
        default=defaults.global_encoder,
        help="vlad, none, kmeans:K (K of vlad's codes, without diffusion), or r2former:FILE (the "
        "paper's, with your own weights) and kmeans:K+r2former:FILE",
    )
    parser.add_argument(
        "--sigma",
        type=finite,
        help="of the feature diffusion, negative: measured (left out: measured, and 0.1 with a "
        "paper-* preset and r2former)",
    )
    parser.add_argument(
        "--clusters",
        type=whole_number(1),
        help="K of the position decoder, instead of the preset's",
    )
    parser.add_argument(
        "--width",
        type=whole_number(8),
        help="of the network's layers, instead of the preset's "
        f"({defaults.head.width}, or {narrow.width} of at most {narrow.most_views} views with "
        "landmarks)",
    )
    parser.add_argument(
        "--ensemble",
        type=whole_number(1),
        default=defaults.ensemble,
        metavar="N",
        help="networks in one map, each trained on its own group of mapping cameras; they share "
        "--minutes, and --iterations are of each",
    )
    parser.add_argument(
        "--landmarks",
        type=whole_number(0),
        metavar="N",
        help="at most so many, 79 bytes each; 0: poses of the network alone "
        f"(preset: {defaults.landmarks.most}, or {defaults.landmarks.per_view} for each view)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--seed", type=whole_number(0), default=defaults.seed)
    parser.add_argument(
        "--buffer-gb",
        type=positive,
        metavar="GB",
        help="memory for the patches of each process, instead of the preset's "
        f"{defaults.buffer.max_bytes / 2**30:g} (paper-*: 15.7): of more images, fewer patches "
        "are kept",
    )
    parser.add_argument(
        "--features-cache-gb",
        type=not_negative,
        default=4.0,
        metavar="GB",
        help="disk for what the encoders made of the images, in ~/.ros/glace/features: another "
        "build of the same drive does not encode it again; 0: none is kept or used",
    )
    parser.add_argument(
        "--checkpoint-every",
        type=not_negative,
        default=defaults.trainer.checkpoint_every_s,
        metavar="S",
        help="save the work after so many seconds, for --resume",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint of an interrupted run"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what the recording holds and what would be used, then stop",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write MAP.report.html, MAP.report.json and MAP.ply (the points) beside the map",
    )
    return parser
