"""`import_map`: a map that ACE's or GLACE's published code has trained becomes a `.glace` map."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from glace_ros.command_line.output_files import require_distinct, require_writable
from glace_ros.command_line.program import run
from glace_ros.command_line.progress import progress_bar
from glace_ros.command_line.recording_options import (
    add_recording_arguments,
    open_recording,
    recording_name,
    require_no_topics,
)
from glace_ros.device import choose_device
from glace_ros.errors import GlaceError, RecordingError
from glace_ros.evaluation.frame_offset import frame_offset
from glace_ros.evaluation.map_validation import validate_map
from glace_ros.evaluation.metrics_table import metrics_table
from glace_ros.features.encoder_names import GlobalEncoderName, LocalEncoderName, NetworkName
from glace_ros.features.local_encoder import local_encoder
from glace_ros.features.r2former_encoder import R2FormerEncoder
from glace_ros.features.weights_location import FOLDER_VARIABLE, found_beside
from glace_ros.maps.ace_format import read_official_ensemble
from glace_ros.maps.validation import NOT_VALIDATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from glace_ros.evaluation.map_validation import MapValidation
    from glace_ros.maps.scene_map import SceneMap
    from glace_ros.recording.posed_images import PosedImage


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 2 bag unusable, 3 failed its check, 4 map unusable, 5 weights unusable."""
    args = _parser().parse_args(argv)
    return run("import_map", lambda: _import(args))


def _import(args: argparse.Namespace) -> int:
    output = Path(args.output)
    for file in (args.encoder, *args.head):
        option = "--encoder" if file == args.encoder else "--head"
        require_distinct({option: file, "--output": output})
    require_writable("--output", output)
    if not (args.bag or args.scene):
        require_no_topics(args, "there is no bag")
    device = choose_device(args.device)
    ace = NetworkName("ace", str(Path(args.encoder).resolve()))
    local, descriptors = local_encoder(str(ace), device), None
    if args.global_encoder:
        file = Path(args.global_encoder.file).resolve()
        descriptors = R2FormerEncoder(NetworkName("r2former", str(file)), device)
    scene_map = read_official_ensemble([Path(file) for file in args.head], local, descriptors)
    validation = _validated(scene_map, args) if args.bag or args.scene else None
    if validation:
        scene_map = validation.scene_map
    scene_map.save(output)
    _say(output, scene_map)
    return validation.exit_code("import_map") if validation else 0


def _validated(scene_map: SceneMap, args: argparse.Namespace) -> MapValidation:
    """The map with what a recording says of its frames, its camera, and how good it is.

    Raises RecordingError where its poses are not in the map's own frame.
    """
    console = Console(stderr=True)
    with open_recording(args, "train") as reader:
        info = reader.info
        described = scene_map.with_metadata(
            map_frame=info.map_frame, base_frame=info.base_frame, camera_frame=info.camera_frame,
            image_topic=info.image_topic, camera_info_topic=info.camera_info_topic,
            camera=info.camera, value_range=info.value_range,
        )  # fmt: skip
        with progress_bar(console, "judge", info.image_count) as advance:
            images = _posed(reader.images(), advance)
            validation = validate_map(described, images, info.base_from_camera, args.device)
    if offset := frame_offset(validation.frames):
        raise RecordingError(f"the map is not judged by {recording_name(args)}: {offset}")
    for name, value in metrics_table(validation.metrics):
        console.print(f"{name}: {value}", highlight=False)
    return validation


def _posed(images: Iterable[PosedImage], advance: Callable[[], object]) -> Iterator[PosedImage]:
    """The images that have a pose; advance is called for each, with one or without."""
    for image in images:
        advance()
        if image.map_from_camera is not None:
            yield image


def _say(output: Path, scene_map: SceneMap) -> None:
    metadata = scene_map.metadata
    shape = metadata.head
    print(
        f"{output}: {scene_map.file_bytes / 1e6:.2f} MB, "
        + (f"{metadata.heads} heads, " if metadata.heads > 1 else "")
        + f"{shape.width} wide, {1 + shape.blocks} "
        f"blocks, {shape.clusters} cluster{'s' if shape.clusters > 1 else ''}, "
        f"{shape.local_channels} + {shape.global_channels} inputs"
    )
    if metadata.held_out is None:
        print(
            f"note: {NOT_VALIDATED}; a recording in the map's own frame would tell: --bag or "
            "--scene"
        )
    r2former = GlobalEncoderName.parse(metadata.global_encoder).r2former
    for network in LocalEncoderName.parse(metadata.local_encoder).networks + (r2former,):
        if network and found_beside(network, output.resolve().parent) != network:
            print(
                f"note: the map names {network.without_folder().file}, not where it is: copy it "
                f"beside the map, or name its folder in the environment as {FOLDER_VARIABLE}"
            )


def _global_encoder(text: str) -> NetworkName:
    with suppress(GlaceError):
        name = GlobalEncoderName.parse(text)
        if name.r2former and name.r2former.file and not name.clusters:
            return name.r2former
    raise argparse.ArgumentTypeError("must be r2former:FILE")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="import_map", description=__doc__)
    parser.add_argument(
        "--encoder", required=True, metavar="FILE", help="ace_encoder_pretrained.pt"
    )
    parser.add_argument(
        "--head", required=True, nargs="+", action="extend", metavar="MAP.pt",
        help="the published map; several, of parts of one scene, become one map that asks all",
    )  # fmt: skip
    parser.add_argument(
        "--global", dest="global_encoder", type=_global_encoder, metavar="r2former:FILE",
        help="the encoder of its global codes; maps of ACE have none",
    )  # fmt: skip
    parser.add_argument("--output", required=True, metavar="MAP.glace")
    add_recording_arguments(parser, "train", required=False)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    return parser
