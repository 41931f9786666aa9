"""Whether the poses of a build are refined: by what was asked for, and what the recording is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glace_ros.commands.recorded_motions import have_frames_of_their_own
from glace_ros.errors import MappingError
from glace_ros.features.encoder_names import LocalEncoderName
from glace_ros.mapping.pose_refinement.factor_graph import is_available
from glace_ros.recording.pose_jumps import ALTERNATING

if TYPE_CHECKING:
    from glace_ros.commands.build_map_config import BuildRequest
    from glace_ros.ranks import Ranks
    from glace_ros.recording.drives_reader import DrivesReader

AUTO, ON, OFF = "auto", "on", "off"


def why_not(request: BuildRequest, reader: DrivesReader, cannot: str) -> str:
    """Why poses are not refined; empty: they are.

    cannot: what stands in the way, if anything.
    """
    wanted = request.refine_poses
    several = len(reader.drives) > 1
    if wanted == OFF:
        return "--refine-poses off" + ("; all drives count as of one frame" if several else "")
    if wanted == AUTO and not have_frames_of_their_own(reader):
        return (
            f"{reader.info.pose_source} is taken for poses without drift (--refine-poses on "
            "refines them)"
        )
    if cannot and (wanted == ON or several):
        raise MappingError(
            f"poses cannot be refined: {cannot}"
            + ("; each drive has a frame of its own, which only images bring together" * several)
        )
    return cannot


def what_prevents(request: BuildRequest, reader: DrivesReader, ranks: Ranks) -> str:
    """What stands in the way, if anything."""
    config = request.config
    if ranks.count > 1:
        return "several processes share the images; build the map in one"
    if config.triangulation is None or config.buffer.samples:
        return f"--preset {config.preset} has no keypoints that match"
    if not LocalEncoderName.parse(config.local_encoder).finds_keypoints:
        return f"--local-encoder {config.local_encoder} finds no keypoints that match"
    if not is_available():
        return (
            "gtsam is not installed (pip install 'gtsam>=4.3'; there are wheels for Python 3.11 "
            "and newer)"
        )
    for drive in reader.drives:
        for jump in drive.pose_jumps():
            if jump.kind == ALTERNATING:
                return f"{drive.info.path} has poses of two senders"
    return ""
