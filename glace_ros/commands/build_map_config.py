"""What a command line of `build_map` asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from glace_ros.command_line.output_files import require_distinct, require_writable
from glace_ros.command_line.recording_options import RecordingChoice, recording_name
from glace_ros.errors import GlaceError
from glace_ros.features.encoder_names import GlobalEncoderName, LocalEncoderName
from glace_ros.features.weights_location import weights_hash
from glace_ros.mapping.presets import preset, with_global_encoder
from glace_ros.maps.default_location import default_folder
from glace_ros.maps.map_metadata import MOST_HEADS
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.report.map_report_files import report_paths, trajectory_path

if TYPE_CHECKING:
    import argparse

    from glace_ros.mapping.map_builder_config import MapBuilderConfig


@dataclass(frozen=True)
class BuildRequest:
    """A map to be built, and what else is to come of it."""

    recording: RecordingChoice
    """What is mapped."""
    selection: FrameSelection
    """Which frames of it."""
    holdout: float
    """Ratio of the drive that validates the map, in contiguous blocks."""
    config: MapBuilderConfig
    """What the map is made with."""
    refine_poses: str
    """auto, on or off: whether the images correct the recorded poses."""
    calibrate: bool
    """Whether the map is made with the mount and the stamps that refinement finds."""
    refine_intrinsics: str
    """auto or off: whether the map is made with the intrinsics that fit the images."""
    device: str
    """auto, cpu or cuda."""
    output: Path | None
    """The map file; None = named after the recording, and latest.glace is to point at it."""
    json: Path | None
    """Where the metrics go."""
    report: bool
    """Whether the report's files are written beside the map."""
    features_cache_gb: float
    """Disk for features of this build and later ones; 0: none."""
    resume: bool
    """Whether to go on from what an interrupted run saved."""
    dry_run: bool
    """Only say what would be used."""

    def writable_output(self) -> Path:
        """Where the map goes. Raises GlaceError where that or another file of the build cannot be
        written, or would be one that it reads or writes as well.
        """
        output = self.output or default_folder() / f"{recording_name(self.recording)}.glace"
        reports = {f"the report {path.name}": path for path in report_paths(output) if self.report}
        reports["the poses"] = trajectory_path(output)
        files: dict[str, str | Path | None] = {
            **self.recording.files,
            "--output": output,
            "--json": self.json,
        }
        require_distinct({**files, **reports})
        require_writable("--output", output)
        for path in reports.values():
            require_writable("--report", path)
        if self.json:
            require_writable("--json", self.json)
        return output


def build_request(args: argparse.Namespace) -> BuildRequest:
    """Of a parsed command line. Raises GlaceError where that contradicts itself."""
    return BuildRequest(
        recording=RecordingChoice.of(args),
        selection=FrameSelection(
            keyframe_distance_m=args.keyframe_dist, keyframe_angle_deg=args.keyframe_angle
        ),
        holdout=args.holdout,
        config=map_builder_config(args),
        refine_poses=args.refine_poses,
        calibrate=args.calibrate,
        refine_intrinsics=args.refine_intrinsics,
        device=args.device,
        output=Path(args.output) if args.output else None,
        json=Path(args.json) if args.json else None,
        report=args.report,
        features_cache_gb=args.features_cache_gb,
        resume=args.resume,
        dry_run=args.dry_run,
    )


def weights_of(config: MapBuilderConfig) -> tuple[str, ...]:
    """Hashes of the encoders' weights. Raises WeightsError where they are not here."""
    networks = [LocalEncoderName.parse(config.local_encoder).networks]
    if r2former := GlobalEncoderName.parse(config.global_encoder).r2former:
        networks.append((r2former,))
    return tuple(map(weights_hash, networks))


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
        head, config = replace(head, width=args.width), replace(config, narrow_head=None)
    if args.landmarks is not None:
        landmarks = replace(config.landmarks, most=args.landmarks, per_view=0)
        config = replace(config, landmarks=landmarks)
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
        refinement=replace(config.refinement, calibrate=args.calibrate),
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
    encoder = GlobalEncoderName.parse(args.global_encoder)
    if (args.sigma or 0.0) > 0 and (encoder.source == "none" or encoder.clusters):
        raise GlaceError(
            f"--sigma {args.sigma:g}: '--global-encoder {args.global_encoder}' has nothing to "
            "diffuse: leave one of the two out"
        )
