"""What a map is made from, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glace_ros.features.encoder_names import GlobalEncoderName, LocalEncoderName, NetworkName
from glace_ros.recording.recording_time import clock
from glace_ros.report.build_record import drive_begins_s

if TYPE_CHECKING:
    from glace_ros.maps.map_metadata import MapMetadata
    from glace_ros.recording.drives_reader import DrivesReader
    from glace_ros.recording.recording_info import RecordingInfo

    Words = list[tuple[str, str]]


def _of_camera(info: RecordingInfo) -> Words:
    """What is not as usual with its images, its calibration and its place."""
    words = []
    if info.topics and info.camera_info_topic not in info.topics:
        words.append(("calibration", f"{info.camera_info_topic}, as given"))
    if info.value_range:
        words.append(("16-bit values", f"{info.value_range} are black to white"))
    if info.camera_pose_given:
        numbers = " ".join(f"{number:.6g}" for number in info.base_from_camera.as_seven())
        words.append(("camera on the robot", f"{numbers} on {info.base_frame}, as given"))
    return words


def map_description(reader: DrivesReader, metadata: MapMetadata, metrics: dict[str, Any]) -> Words:
    """(what, words) of the recording, which comes first, and the settings.

    metrics: as `--json` has them.
    """
    info, camera = reader.info, reader.info.camera
    infos = [drive.info for drive in reader.drives]
    poses = {f"{of_drive.pose_source}: {of_drive.pose_source_why}": None for of_drive in infos}
    encoders = (
        LocalEncoderName.parse(metadata.local_encoder),
        GlobalEncoderName.parse(metadata.global_encoder),
    )
    refinement = metrics["pose_refinement"]
    names = [str(name.with_networks(NetworkName.without_folder)) for name in encoders]
    begins = zip(reader.names, drive_begins_s(reader), strict=True)
    times = ", ".join(f"{name} from {clock(begin_s)}" for name, begin_s in begins)
    return [
        (info.kind, ", ".join(str(of_drive.path) for of_drive in infos)),
        *([("times", times)] if len(infos) > 1 else []),
        ("poses", "; ".join(poses)),
        ("poses refined", "yes" if refinement["refined"] else f"no: {refinement['why']}"),
        ("map frame", metadata.map_frame),
        ("base frame", metadata.base_frame),
        ("images", f"{metadata.image_topic}, {camera.width_px}x{camera.height_px}"),
        *_of_camera(info),
        (f"images in the {info.kind}", str(info.image_count)),
        ("preset", metadata.preset),
        ("encoders", ", ".join(names)),
        ("heads", str(metadata.heads)),
        ("training steps", str(metrics["steps"])),
        ("made", metadata.created),
        (f"sha256 of the {info.kind}", metadata.bag_hash),
    ]
