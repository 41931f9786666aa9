"""Which topics of transforms to read: those of the robot that has the camera, as its node does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from glace_ros.errors import RecordingError
from glace_ros.ros_messages.reading import TF_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glace_ros.recording.bag_file import BagFile


class TfTopics(NamedTuple):
    """The topics that go into one tree."""

    timed: tuple[str, ...]
    """Of transforms over time."""
    static: tuple[str, ...]
    """Of transforms for all times."""
    left_out: tuple[str, ...]
    """Those of others."""

    @property
    def other_namespaces(self) -> tuple[str, ...]:
        """Namespaces of other robots: whose transforms are left out."""
        used = {namespace_of(topic) for topic in (*self.timed, *self.static)}
        return tuple(sorted({namespace_of(topic) for topic in self.left_out} - used - {""}))


def namespace_of(topic: str) -> str:
    """All of a topic's name before its last slash; empty at the root."""
    return topic.rpartition("/")[0]


def in_namespace(topic: str, namespace: str) -> bool:
    """Whether the topic is in that namespace, or in one within it."""
    return namespace == "" or topic.startswith(f"{namespace}/")


def twins_of(topic: str, others: Sequence[str]) -> tuple[str, ...]:
    """Namespaces of robots that have the same topics as the one of this topic's first namespace.

    others: topics of one type, such as all odometry.
    """
    own, _, _ = topic.lstrip("/").partition("/")
    parts = [name.lstrip("/").partition("/") for name in others]
    rests = {rest for robot, _, rest in parts if robot == own and rest}
    return tuple(
        sorted({f"/{robot}" for robot, _, rest in parts if robot != own and rest in rests})
    )


def choose_tf_topics(
    bag: BagFile, near: Sequence[str], timed: str | None, static: str | None
) -> TfTopics:
    """The bag's one topic of each kind; of several, the one in the nearest namespace.

    near: topics of the robot: the first one that lies in the namespace of one decides.
    timed, static: as asked for; None: to be found.
    Raises RecordingError where what was asked for is not there, or where there are several and
    none is in a namespace of `near`.
    """
    there = sorted(t.name for t in bag.topics.values() if t.msgtype in TF_TYPES and t.count)
    statics = [name for name in there if name.endswith("tf_static")]
    chosen_timed = _chosen(
        bag, [name for name in there if name not in statics], near, timed, "--tf-topic"
    )
    chosen_static = _chosen(bag, statics, near, static, "--tf-static-topic")
    chosen = {*chosen_timed, *chosen_static}
    left_out = tuple(name for name in there if name not in chosen)
    if left_out:
        bag.note(
            f"transforms are read from {' and '.join(sorted(chosen)) or 'no topic'} alone; "
            f"{', '.join(left_out)} left out (--tf-topic and --tf-static-topic choose others)"
        )
    return TfTopics(chosen_timed, chosen_static, left_out)


def _chosen(
    bag: BagFile, there: list[str], near: Sequence[str], requested: str | None, flag: str
) -> tuple[str, ...]:
    if requested is not None:
        name = requested if requested.startswith("/") else f"/{requested}"
        if name not in there:
            raise RecordingError(
                f"{bag.path} has no transforms on {name}; {flag} can be one of: "
                f"{', '.join(there) or 'none'}"
            )
        return (name,)
    if len(there) < 2:
        return tuple(there)
    for topic in near:
        around = [name for name in there if in_namespace(topic, namespace_of(name))]
        if around:
            nearest = max(len(namespace_of(name)) for name in around)
            # in one namespace several may be meant for one tree: two senders' own topics
            return tuple(name for name in around if len(namespace_of(name)) == nearest)
    raise RecordingError(
        f"{bag.path} has transforms of several robots ({', '.join(there)}), none of them in the "
        f"namespace of {near[0]}; choose with {flag}"
    )
