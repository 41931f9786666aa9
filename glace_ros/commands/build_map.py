"""`build_map`: a rosbag or a scene folder with images and poses becomes a map file, judged on
blocks that training never saw.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console

from glace_ros.command_line.output_files import write_json
from glace_ros.command_line.program import run
from glace_ros.command_line.progress import progress_bar
from glace_ros.command_line.recording_options import open_drives, recording_name
from glace_ros.command_line.shortages import shortages_in_a_sentence
from glace_ros.commands.build_map_config import BuildRequest, build_request, weights_of
from glace_ros.commands.build_map_features import feature_cache, print_features
from glace_ros.commands.build_map_fingerprint import fingerprint
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.commands.build_map_output import (
    map_metrics,
    print_left_out,
    print_result,
    print_source,
    print_survey,
)
from glace_ros.commands.build_map_poses import PoseChoice
from glace_ros.device import choose_device
from glace_ros.errors import interruption_says
from glace_ros.evaluation.map_validation import MapValidation, validate_map
from glace_ros.evaluation.training_gain import TrainingGain, TrainingGainConfig
from glace_ros.mapping.build_steps import Trained, seconds_of
from glace_ros.mapping.map_builder import MapBuilder
from glace_ros.mapping.resume.saved_work import SavedWork
from glace_ros.maps.default_location import point_latest_at
from glace_ros.maps.map_metadata import RecordingDescription
from glace_ros.ranks import Ranks
from glace_ros.recording.held_out import HeldOutImages, blocks_of, mapping_count, mapping_images
from glace_ros.report.build_record import BuildRecord
from glace_ros.report.map_report import map_report
from glace_ros.report.map_report_files import (
    REPORT_S,
    report_paths,
    trajectory_path,
    write_map_report,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from glace_ros.mapping.build_steps import Encoded, Prepared
    from glace_ros.mapping.training.schedule import TrainingProgress
    from glace_ros.mapping.views.encoded_views import EncodedViews
    from glace_ros.maps.coordinate_head import CoordinateHead
    from glace_ros.maps.scene_map import SceneMap
    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.recording.posed_images import PosedImage


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 done, 2 bag or scene unusable, 3 failed its check, 6 cannot train, 130
    interrupted.
    """
    args = build_map_parser(__doc__).parse_args(argv)
    return run("build_map", lambda: _build_or_say_why_not(args))


def _build_or_say_why_not(args: argparse.Namespace) -> int:
    with shortages_in_a_sentence():
        return _build(build_request(args))


def _build(request: BuildRequest) -> int:
    started = time.perf_counter()
    config, selection = request.config, request.selection
    device = choose_device(request.device)
    ranks = Ranks.join(device)
    console = Console(stderr=True, quiet=ranks.rank > 0)
    with open_drives(request.recording, "train") as reader:
        if request.dry_run:
            print_survey(reader, selection, config, device)
            return 0
        output = request.writable_output()
        weights = weights_of(config)  # are they here: said before the images are counted
        print_source(console, reader, device)
        said = list(reader.notes)
        blocks = blocks_of(reader, request.holdout)
        held_out = HeldOutImages(reader)
        image_count = reader.info.image_count
        if config.buffer.samples:
            with progress_bar(console, "count", image_count) as advance:
                image_count = mapping_count(reader, selection, blocks, advance)
                advance(reader.info.image_count)
        poses = PoseChoice(request, reader, ranks)
        builder, record = MapBuilder(config, device, ranks), BuildRecord()
        bag_hash = ranks.from_first("" if ranks.rank else reader.content_hash())
        collected = builder.no_views(image_count)
        collected.cache = feature_cache(request, reader, weights, device, ranks, console)
        saved = SavedWork(
            output, fingerprint(request, bag_hash, weights), reader, collected, held_out, ranks,
            resume=request.resume, every_s=config.trainer.checkpoint_every_s,
        )  # fmt: skip
        if request.resume and saved.latest is None:
            console.print(
                f"note: nothing of an earlier run lies beside {output}: --resume begins anew",
                highlight=False, soft_wrap=True,
            )  # fmt: skip
        position = saved.start()
        with saved.resumable():
            images = record.watch(mapping_images(reader, selection, blocks, held_out, position))
            encoded = _encode(builder, images, collected, reader.info.image_count, saved, console)
            left_out = dict(reader.left_out)  # of this pass: the next one counts anew
            print_left_out(console, reader, len(encoded.views), held_out, said)
            print_features(console, reader, collected)
            poses.refine(builder, encoded, saved, console)
            prepared = _prepare(builder, encoded, saved, console)
            prepared = _place_landmarks(builder, encoded, prepared, poses, reader, saved, console)
            # of a map without landmarks they would tell nothing
            between = held_out.some_non_keyframes if prepared.landmarks else set()
            validated = len(held_out) + len(between)
            reserve_s = _after_training_s(builder, encoded, validated, record, request)
            described = _described(reader, recording_name(request.recording), bag_hash)

            def map_of(trained: Trained) -> SceneMap:
                return poses.of_map(builder.scene_map(prepared, trained, described))

            gain = _training_gain(held_out, poses, request)
            trained = _train(builder, prepared, reserve_s, saved, console, record, gain, map_of)
            seconds = seconds_of(encoded, builder.refine_s, prepared, trained)
            if ranks.rank == 0:
                start = time.perf_counter()
                scene_map = map_of(trained)
                validation = _validate(
                    scene_map, reader, held_out, between, record, request, poses
                )  # fmt: skip
                seconds["judge"] = time.perf_counter() - start
                validation.scene_map.save(output)
                poses.write(trajectory_path(output))
            ranks.leave()
        saved.remove()
        if ranks.rank > 0:
            return 0
        seconds["total"] = time.perf_counter() - started
        metrics = map_metrics(validation, prepared, trained)
        metrics |= {"left_out": left_out, "seconds": seconds}
        metrics["non_keyframes"] = len(between)
        metrics["training_looks"] = [look._asdict() for look in gain.looks] if gain else []
        metrics["pose_refinement"] = poses.as_json()
        metrics["pose_jumps"] = [
            {"drive": number, **jump.as_json(drive.zero_ns())}
            for number, drive in enumerate(reader.drives)
            for jump in drive.pose_jumps()
        ]
        if validation.usable is not False and not request.output:
            point_latest_at(output)
        report = None
        if request.report:
            with interruption_says(lambda: f"; the map {output} is done, its report is not"):
                report = map_report(
                    reader, validation, record, encoded.views, metrics, poses.of_camera, poses.way
                )
                write_map_report(output, report)
            before_s = seconds.pop("total")
            total_s = time.perf_counter() - started
            seconds.update(report=total_s - before_s, total=total_s)
            write_json(report_paths(output).json, report.as_json())
    if request.json:
        write_json(request.json, metrics)
    print_result(output, metrics, report)
    return validation.exit_code(why=poses.misfit)


def _encode(
    builder: MapBuilder,
    images: Iterator[PosedImage],
    collected: EncodedViews,
    image_count: int,
    saved: SavedWork,
    console: Console,
) -> Encoded:
    with progress_bar(console, "encode", image_count) as advance:

        def on_image() -> None:
            advance()
            saved.journal.save_if_due()

        advance(len(collected.views))
        try:
            encoded = builder.encode(images, collected, on_image)
        finally:
            if collected.cache:
                collected.cache.write()
        advance(image_count)
    return encoded


def _prepare(builder: MapBuilder, encoded: Encoded, saved: SavedWork, console: Console) -> Prepared:
    views = len(encoded.views)
    with progress_bar(console, "triangulate", views) as advance:

        def on_view() -> None:
            advance(encoded.collected.triangulated)
            saved.journal.save_if_due()

        prepared = builder.prepare(encoded, on_view, saved.journal.cached)
        advance(views)
    return prepared


def _place_landmarks(
    builder: MapBuilder,
    encoded: Encoded,
    prepared: Prepared,
    poses: PoseChoice,
    reader: DrivesReader,
    saved: SavedWork,
    console: Console,
) -> Prepared:
    saved.before_training(encoded.encode_s + prepared.seconds)
    if prepared.landmarks is None:
        return prepared
    images = 2 * len(encoded.views)
    with progress_bar(console, "landmarks", images) as advance:
        prepared = builder.place_landmarks(
            encoded, prepared, poses.shutter, reader.images_at, advance, saved.journal.cached
        )
        advance(images)
    saved.before_training(encoded.encode_s + prepared.seconds)
    return prepared


def _after_training_s(
    builder: MapBuilder,
    encoded: Encoded,
    validated: int,
    record: BuildRecord,
    request: BuildRequest,
) -> float:
    """How much of the minutes what comes after training is likely to take."""
    localized = validated + (len(record.mapping_images) if request.report else 0)
    of_all_heads = localized * builder.config.ensemble
    reserve_s = 2.0 + 1.5 * encoded.image_s * of_all_heads
    return reserve_s + (REPORT_S if request.report else 0.0)


def _train(
    builder: MapBuilder,
    prepared: Prepared,
    reserve_s: float,
    saved: SavedWork,
    console: Console,
    record: BuildRecord,
    gain: TrainingGain | None,
    map_of: Callable[[Trained], SceneMap],
) -> Trained:
    """gain: None where training takes its minutes or iterations whatever comes of them."""
    with progress_bar(console, "train", 1.0) as advance:

        def show(progress: TrainingProgress) -> None:
            record.training.append(progress)
            advance(
                progress.done,
                # first what it waits for: a narrow terminal cuts the rest off
                (f"{gain.sentence()}; " if gain else "")
                + f"step {progress.step}, loss {progress.loss:.2f}, "
                f"{progress.inlier_ratio:.0%} within 10 px",
            )

        def still_gains(head: CoordinateHead, steps: int) -> bool:
            return gain is not None and gain.still_gains(map_of(Trained([head], steps, 0, 0.0)))

        return builder.train(
            prepared, reserve_s, show, saved.checkpoint, still_gains if gain else None
        )


def _training_gain(
    held_out: HeldOutImages, poses: PoseChoice, request: BuildRequest
) -> TrainingGain | None:
    """Where the minutes are the most that training takes, and enough images can tell its gain."""
    settings = TrainingGainConfig()
    if request.config.minutes <= 0 or len(held_out) < settings.least_images:
        return None
    images = map(poses.of_image, held_out.some(settings.most_images))
    return TrainingGain(images, request.device, settings)


def _validate(
    scene_map: SceneMap,
    reader: DrivesReader,
    held_out: HeldOutImages,
    non_keyframes: set[tuple[int, int]],
    record: BuildRecord,
    request: BuildRequest,
    poses: PoseChoice,
) -> MapValidation:
    validation = validate_map(
        scene_map, map(poses.of_image, held_out.together_with(non_keyframes)),
        poses.base_from_camera(reader.info.base_from_camera), request.device, record.add_held_out,
        non_keyframes,
    )  # fmt: skip
    if request.report:
        record.mapping_images[:] = map(poses.of_image, record.mapping_images)
        record.look_at_mapping_images(validation.localizer)
    return validation


def _described(reader: DrivesReader, name: str, content_hash: str) -> RecordingDescription:
    info = reader.info
    return RecordingDescription(
        info.map_frame, info.base_frame, info.camera_frame, info.image_topic,
        info.camera_info_topic, info.camera, name, content_hash, info.value_range,
        info.base_from_camera.as_seven() if info.camera_pose_given else None,
    )  # fmt: skip
