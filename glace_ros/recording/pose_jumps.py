"""Where recorded poses jump as no robot moves: odometry that was reset, a pose that was set by
hand, a loop that SLAM closed, two senders that disagree. By the poses alone, without an image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glace_ros.recording.pose_steps import FEWEST_POSES, SLOWEST_2, PoseSteps
from glace_ros.recording.recording_time import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from glace_ros.geometry.transform_link import TransformLink

_ROUNDS = 10
"""Each takes away the largest jumps, until none are left."""
_SAID = 5
"""Jumps with a sentence of their own."""

JUMP, ALTERNATING = "jump", "alternating"


class PoseJump(NamedTuple):
    """The base is suddenly elsewhere in the map frame, by its poses."""

    stamp_ns: int
    """Of the first pose after it."""
    distance_m: float
    """How far, beyond what its motion explains; of alternating tracks, how far they come apart."""
    angle_rad: float
    """The same of its orientation."""
    kind: str
    """JUMP, or ALTERNATING: from then on, there and back again and again, as of two senders."""
    before_ns: int
    """Stamp of the last pose before it: what is interpolated between the two is worthless."""
    link: str
    """What jumps: `parent->child`, or the topic."""
    times: int = 1
    """How often, of ALTERNATING."""

    def as_json(self, start_ns: int) -> dict[str, int | float | str]:
        """As `--json` has it.

        start_ns: 0:00 of the recording.
        """
        return {
            "stamp_ns": self.stamp_ns,
            "time_s": (self.stamp_ns - start_ns) * 1e-9,
            "distance_m": self.distance_m,
            "angle_deg": math.degrees(self.angle_rad),
            "kind": self.kind,
        }

    def sentence(self, start_ns: int) -> str:
        """What jumps, when and how far.

        start_ns: 0:00 of the recording.
        """
        seconds, rest_ns = divmod(self.stamp_ns, 10**9)
        when = f"{clock((self.stamp_ns - start_ns) * 1e-9)} (stamp {seconds}.{rest_ns:09d})"
        size = f"{self.distance_m:.2f} m and {math.degrees(self.angle_rad):.0f} deg"
        if self.kind == ALTERNATING:
            return (
                f"{self.link}: from {when} on, poses alternate between two tracks up to {size} "
                f"apart ({self.times} times): two nodes send them; record with one of them stopped"
            )
        return (
            f"{self.link}: the pose jumps by {size} at {when}: odometry was reset, a pose was set "
            "by hand, or a loop was closed; a map of both sides as recorded is bent"
        )


def find_pose_jumps(links: Sequence[TransformLink]) -> list[PoseJump]:
    """All jumps, in order of time. Time and memory are linear in the samples.

    A step between neighbouring poses of a link is a jump where it differs from what the motion
    before and after lets expect by more than 10 cm or 3 degrees, than a robot of this drive's speed
    can do in that time, and than several times what is usual for these poses. A gap is none.

    links: from the base upwards, those that stand still too; each link is looked at by itself, for
        a correction of map->odom would be smeared over odometry's poses.
    """
    jumps: list[PoseJump] = []
    carries_motion = True
    for above, link in enumerate(links):
        if link.is_static or len(link.stamps_n) < FEWEST_POSES:
            continue
        base_n3 = np.zeros((len(link.stamps_n), 3))  # the base in the link's child frame
        for below in links[:above]:
            poses_n34 = below.nearest(link.stamps_n)
            base_n3 = np.einsum("nij,nj->ni", poses_n34[:, :, :3], base_n3) + poses_n34[:, :, 3]
        jumps += _jumps_of(link, base_n3, SLOWEST_2 if carries_motion else np.zeros(2))
        carries_motion = False
    return sorted(jumps)


def jump_sentences(jumps: Sequence[PoseJump], start_ns: int) -> list[str]:
    """The first jumps as sentences, and how many more there are.

    start_ns: 0:00 of the recording.
    """
    sentences = [jump.sentence(start_ns) for jump in jumps[:_SAID]]
    if (rest := len(jumps) - _SAID) > 0:
        sentences.append(f"{jumps[-1].link}: {rest} more jump{'s' if rest > 1 else ''} of the pose")
    return sentences


def _jumps_of(
    link: TransformLink, base_n3: NDArray[np.float64], slowest_2: NDArray[np.float64]
) -> list[PoseJump]:
    """The jumps of one link.

    base_n3: the base in the link's child frame.
    slowest_2: m/s, rad/s that it may have had unseen.
    """
    steps = PoseSteps(link, base_n3, slowest_2)

    def jump(at: int, off_2: NDArray[np.float64], kind: str, times: int = 1) -> PoseJump:
        before_ns, stamp_ns = map(int, link.stamps_n[at : at + 2])
        distance_m, angle_rad = map(float, off_2)
        return PoseJump(stamp_ns, distance_m, angle_rad, kind, before_ns, link.name, times)

    runs = steps.alternating_runs()
    jumps = [
        jump(int(run[0]), steps.sizes_n2[run].max(axis=0), ALTERNATING, len(run)) for run in runs
    ]
    for run in runs:
        steps.smooth_away(run)
    for _ in range(_ROUNDS):
        if not len(found := steps.jumps()):
            break
        alone = found
        for run in runs:
            alone = alone[~steps.near(alone, run)]
        jumps += [jump(int(at), steps.off_n2[at], JUMP) for at in alone]
        steps.smooth_away(found)
    return jumps
