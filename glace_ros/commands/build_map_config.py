"""What a command line of `build_map` asks for: configuration, files, the name of the work."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from glace_ros.command_line.output_files import require_distinct, require_writable
from glace_ros.command_line.recording_options import recording_name
from glace_ros.errors import GlaceError
from glace_ros.features.encoder_names import GlobalEncoderName, LocalEncoderName
from glace_ros.features.weights_location import weights_hash
from glace_ros.mapping.presets import preset, with_global_encoder
from glace_ros.maps.default_location import default_folder
from glace_ros.maps.map_metadata import MOST_HEADS
from glace_ros.report.map_report_files import report_paths

if TYPE_CHECKING:
    import argparse

    from glace_ros.mapping.map_builder_config import MapBuilderConfig

_NOT_OF_THE_MAP = (
    "minutes", "resume", "json", "output", "device", "report", "buffer_gb", "checkpoint_every",
)  # fmt: skip


def writable_output(args: argparse.Namespace) -> Path:
    """Where the map goes; all that will be written there can be."""
    named = default_folder() / f"{recording_name(args)}.glace"
    output = Path(args.output) if args.output else named
    reports = {f"the report {path.name}": path for path in report_paths(output) if args.report}
    require_distinct(
        {"--bag": args.bag, "--scene": args.scene, "--output": output, "--json": args.json}
        | reports
    )
    require_writable("--output", output)
    for path in reports.values():
        require_writable("--report", path)
    if args.json:
        require_writable("--json", Path(args.json))
    return output


def weights_of(config: MapBuilderConfig) -> tuple[str, ...]:
    """Hashes of the encoders' weights. Raises WeightsError where they are not here."""
    networks = [LocalEncoderName.parse(config.local_encoder).networks]
    if r2former := GlobalEncoderName.parse(config.global_encoder).r2former:
        networks.append((r2former,))
    return tuple(map(weights_hash, networks))


def fingerprint(config: MapBuilderConfig, args: argparse.Namespace, bag_hash: str) -> str:
    """Names everything that a checkpoint depends on; minutes and memory may change."""
    choices = {k: v for k, v in vars(args).items() if k not in _NOT_OF_THE_MAP}
    buffer = replace(config.buffer, max_bytes=0)
    trainer = replace(config.trainer, checkpoint_every_s=0.0)
    config = replace(config, minutes=0.0, buffer=buffer, trainer=trainer)
    text = repr((config, sorted(choices.items()), bag_hash, weights_of(config)))
    return hashlib.sha256(text.encode()).hexdigest()


def map_builder_config(args: argparse.Namespace) -> MapBuilderConfig:
    """The preset, with what the command line says otherwise. Raises GlaceError where that
    contradicts itself.
    """
    config = with_global_encoder(preset(args.preset), args.global_encoder)
    _refuse_contradictions(args, config)
    head, trainer, buffer = config.head, config.trainer, config.buffer
    if args.iterations:
        trainer = replace(trainer, iterations=args.iterations)
        config = replace(config, minutes=0.0)
    elif args.minutes:
        config = replace(config, minutes=args.minutes)
    if args.clusters:
        head = replace(head, clusters=args.clusters)
    if args.width:
        head = replace(head, width=args.width)
    if args.landmarks is not None:
        config = replace(config, landmarks=replace(config.landmarks, most=args.landmarks))
    if args.buffer_gb:
        buffer = replace(buffer, max_bytes=int(args.buffer_gb * 2**30))
    if args.sigma is not None:
        config = replace(config, sigma=args.sigma)
    return replace(
        config,
        head=head,
        trainer=replace(trainer, checkpoint_every_s=args.checkpoint_every),
        buffer=buffer,
        local_encoder=args.local_encoder,
        ensemble=args.ensemble,
        seed=args.seed,
    )


def _refuse_contradictions(args: argparse.Namespace, config: MapBuilderConfig) -> None:
    if args.iterations and args.minutes:
        raise GlaceError(
            f"--iterations {args.iterations} and --minutes {args.minutes:g}: training ends by the "
            "one or by the other, leave one of them out"
        )
    if args.ensemble > MOST_HEADS:
        raise GlaceError(f"--ensemble {args.ensemble}: a map holds {MOST_HEADS} heads at most")
    if args.landmarks and not LocalEncoderName.parse(args.local_encoder).finds_keypoints:
        raise GlaceError(
            f"--landmarks {args.landmarks}: '{args.local_encoder}' has no descriptors of corners "
            "alone, which landmarks are: leave the option out, or use --local-encoder xfeat"
        )
    if args.landmarks and config.triangulation is None:
        raise GlaceError(
            f"--landmarks {args.landmarks}: --preset {args.preset} triangulates nothing, and so "
            "there are none: leave the option out, or use --preset quality"
        )
    codes = GlobalEncoderName.parse(args.global_encoder)
    if (args.sigma or 0.0) > 0 and (codes.source == "none" or codes.clusters):
        raise GlaceError(
            f"--sigma {args.sigma:g}: '--global-encoder {args.global_encoder}' has nothing to "
            "diffuse: leave one of the two out"
        )
