"""Small bags, damaged in ways that a seed tells: bytes, stamps, frames, values, definitions, QoS.

Each must be read, or be refused in one sentence (a GlaceError), soon and in little memory. The
tests read a few hundred; more, from where the last run stopped, in the repository's root:

    PYTHONPATH=.:test python -m support.mutated_bags --count 10000 --results mutated.tsv

`--videos` takes those of `mutated_videos` instead. A line a bag: seed, kind, what became of it,
seconds, most memory of the process so far in MB. The process ends with 1 where one crashed, hung,
or took too much.
"""

from __future__ import annotations

import argparse
import copy
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from rosbags.highlevel import AnyReader
from support.bag_writing import (
    BASE_FROM_CAMERA,
    IMAGE_PERIOD_NS,
    POSE_PERIOD_NS,
    START_NS,
    bag_writer,
    map_from_base,
    picture,
    write_pose,
)

from glace_ros.errors import GlaceError
from glace_ros.geometry.pose import Pose
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.recording.held_out import HeldOutBlocks

IMAGES = 5
LIMIT_S = 8.0
"""For one bag, which takes 0.1 s where it is whole."""
MOST_MEMORY = 1.5
"""Times what the process had after the whole bags."""
_LATEST_NS = (2**32 - 1) * 10**9
"""Of a ROS 1 bag."""
_HEADROOM_BYTES = 3 << 30
_EVERY_FRAME = FrameSelection(0.0, 0.0, min_sharpness=0.0, skip_repeated=False)
_KINDS = {  # storage, compression, image topic, poses
    "mcap": ("mcap", None, "/camera/image_raw", "odometry"),
    "mcap_compressed_images": ("mcap", None, "/camera/image_raw/compressed", "tf:map"),
    "sqlite3": ("sqlite3", None, "/camera/image_raw/compressed", "odometry"),
    "sqlite3_tf": ("sqlite3", None, "/camera/image_raw", "tf:odom"),
    "zstd_file": ("mcap", "file", "/camera/image_raw/compressed", "odometry"),
    "zstd_message": ("sqlite3", "message", "/camera/image_raw/compressed", "odometry"),
    "ros1": ("ros1", None, "/camera/image_raw", "odometry"),
}
_NUMBERS = [0.0, -1.0, 1e-300, 1e300, np.inf, -np.inf, np.nan]
_WORDS = [
    "",
    "/",
    "map",
    "odom",
    "base_link",
    "camera",
    "/camera",
    "a" * 3000,
    "\N{SNOWMAN}",
    "x y",
]
_WORDS += ["bayer_rggb8", "mono16", "16UC1", "nv12", "rgb8; jpeg compressed", "h264", "8UC9"]
_INTEGERS = [0, 1, -1, 2, 255, 2**15, 2**16, 2**31 - 1, 2**32 - 1, -(2**31)]
_YAML = [
    "0",
    "-1",
    "null",
    "[]",
    "{}",
    "'x'",
    "9" * 30,
    "zstd",
    "message",
    "mcap",
    "\t",
    "?",
    "- a",
]


class Outcome(NamedTuple):
    """What became of one bag."""

    seed: int
    kind: str
    said: str
    """`read`, `refused: SENTENCE`, `hung`, or `crashed: ERROR`."""
    seconds: float
    memory_mb: float
    """The most that the process had so far."""

    @property
    def is_fine(self) -> bool:
        return self.said.startswith(("read", "refused"))


def whole_bags(folder: Path) -> dict[str, Path]:
    """One of each kind, of half a second."""
    bags = {}
    for name, (storage, compression, image_topic, poses) in _KINDS.items():
        path = bags[name] = folder / (f"{name}.bag" if storage == "ros1" else name)
        last_ns = START_NS + IMAGES * IMAGE_PERIOD_NS
        with bag_writer(path, storage, compression) as bag:
            bag.tf("base_link", "camera", START_NS, BASE_FROM_CAMERA, "/tf_static")
            if poses == "tf:map":
                bag.tf("map", "odom", START_NS, Pose.identity(), "/tf_static")
            for stamp in range(START_NS, last_ns + 1, POSE_PERIOD_NS):
                form = "tf:odom" if poses.startswith("tf:") else poses
                write_pose(bag, form, stamp, map_from_base(stamp))
                number, rest_ns = divmod(stamp - START_NS, IMAGE_PERIOD_NS)
                if rest_ns == 0 and number < IMAGES:
                    bag.image(image_topic, stamp, picture(number))
                    bag.camera_info("/camera/camera_info", stamp)
    return bags


def mutated(seed: int, bags: dict[str, Path], folder: Path) -> tuple[str, Path]:
    """(kind, a damaged copy in the folder), the same for a seed."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(list(bags)))
    source, target = bags[kind], folder / f"{seed}_{bags[kind].name}"
    damage = str(rng.choice(["bytes", "bytes", "messages", "messages", "messages", "definitions",
                             "metadata"]))  # fmt: skip
    if kind == "ros1" and damage == "metadata":
        damage = "bytes"
    if damage == "messages":
        _rewrite(rng, kind, source, target)
    elif source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    if damage == "bytes":
        damage_bytes(rng, data_file(target))
    elif damage == "definitions":
        _damage_definition(rng, data_file(target))
    elif damage == "metadata":
        _damage_metadata(rng, target / "metadata.yaml")
    return f"{kind} {damage}", target


def look(path: Path) -> str:
    """`read`, or `refused` with the sentence; raises whatever else goes wrong."""
    try:
        with RecordingReader(path) as reader:
            HeldOutBlocks(reader.pose_stamps_n(), 0.1)
            assert all("\n" not in note for note in reader.notes), reader.notes
            for image in reader.posed_images(_EVERY_FRAME):
                assert np.isfinite(image.map_from_camera.matrix_44).all()
    except GlaceError as error:
        sentence = str(error)
        assert sentence, "an empty sentence"
        assert "\n" not in sentence, f"more than a sentence: {sentence!r}"
        return f"refused: {sentence}"
    return "read"


def try_bags(
    seeds: range, on_outcome: Any, whole: Any = whole_bags, damaged: Any = mutated
) -> None:
    """Reads the bags of these seeds in this process, whose memory is bounded from then on.

    whole, damaged: as `whole_bags` and `mutated`.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        bags = whole(folder / "whole") if (folder / "whole").mkdir() is None else {}
        for path in bags.values():
            assert look(path) == "read", path
        on_outcome(Outcome(-1, "whole", "read", 0.0, _memory_mb()))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _HEADROOM_BYTES, used + _HEADROOM_BYTES))
        signal.signal(signal.SIGALRM, _too_long)
        for seed in seeds:
            kind, path = damaged(seed, bags, folder)
            start = time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
            try:
                said = look(path)
            except _Hung:
                said = "hung"
            except BaseException as error:
                said = f"crashed: {type(error).__name__}: {error}"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            seconds = time.perf_counter() - start
            on_outcome(Outcome(seed, kind, " ".join(said.split()), seconds, _memory_mb()))
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


class _Hung(BaseException):
    pass


def _too_long(*_: Any) -> None:
    raise _Hung


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def data_file(path: Path) -> Path:
    """Of a bag: what holds its messages."""
    if not path.is_dir():
        return path
    return next(file for file in sorted(path.iterdir()) if file.name != "metadata.yaml")


def damage_bytes(rng: np.random.Generator, file: Path) -> None:
    """A few places of a file."""
    file.write_bytes(damaged_bytes(rng, file.read_bytes()))


def damaged_bytes(rng: np.random.Generator, whole: bytes) -> bytes:
    """A few places of them."""
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, max(1, len(data) - 1)))
        many = int(rng.choice([1, 4, 64, 4000]))
        how = rng.choice(["random", "zero", "ones", "cut out", "twice", "end"])
        if how == "random":
            data[at : at + many] = rng.bytes(len(data[at : at + many]))
        elif how in ("zero", "ones"):
            data[at : at + many] = (b"\0" if how == "zero" else b"\xff") * len(data[at : at + many])
        elif how == "cut out":
            del data[at : at + many]
        elif how == "twice":
            data[at:at] = data[at : at + many]
        else:
            del data[at:]
    return bytes(data)


def _damage_definition(rng: np.random.Generator, file: Path) -> None:
    """Of a message type: words of its text become others of the same length."""
    data = file.read_bytes()
    words = [b"float64", b"uint32", b"string", b"uint8[]", b"int32", b"geometry_msgs", b"MSG: ",
             b"Header", b"float64[36]", b"sensor_msgs", b"frame_id", b"stamp", b"pose"]  # fmt: skip
    there = [word for word in words if word in data]
    for _ in range(int(rng.integers(1, 4)) if there else 0):
        word = bytes(rng.choice(there))
        others = [
            b"float32",
            b"int64",
            b"time",
            b"char",
            b"wstring",
            b"uint8[<=9]",
            b"=====",
            b"\n",
        ]
        other = bytes(rng.choice(others))[: len(word)].ljust(len(word))
        starts = [at for at in range(len(data)) if data.startswith(word, at)][:200]
        at = int(rng.choice(starts)) if starts else 0
        data = data[:at] + other + data[at + len(other) :]
    file.write_bytes(data)


def _damage_metadata(rng: np.random.Generator, file: Path) -> None:
    lines = file.read_text().splitlines()
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(lines)))
        how = rng.choice(["value", "gone", "twice", "indent", "cut"])
        if how == "value":
            lines[at] = lines[at].split(":")[0] + ": " + str(rng.choice(_YAML))
        elif how == "gone":
            lines[at] = ""
        elif how == "twice":
            lines.insert(at, lines[at])
        elif how == "indent":
            lines[at] = "  " + lines[at]
        else:
            lines = lines[: at + 1]
    file.write_text("\n".join(lines))


_messages: dict[Path, list[tuple[Any, int, Any]]] = {}


def read_all(source: Path) -> list[tuple[Any, int, Any]]:
    """(connection, received_ns, message) of a whole bag."""
    if source not in _messages:
        with AnyReader([source]) as reader:
            _messages[source] = [
                (connection, received_ns, reader.deserialize(raw, connection.msgtype))
                for connection, received_ns, raw in reader.messages()
            ]
    return _messages[source]


def _rewrite(rng: np.random.Generator, kind: str, source: Path, target: Path) -> None:
    """The bag anew, some fields of some of its messages changed, left out or out of order."""
    messages = read_all(source)
    topics = sorted({connection.topic for connection, _, _ in messages})
    some = {str(topic) for topic in rng.choice(topics, int(rng.integers(1, 3)))}
    share = float(rng.choice([0.05, 0.3, 1.0]))
    field = str(rng.choice(["stamp", "frame", "number", "received", "gone", "array", "text"]))
    integer, number, word = (
        int(rng.choice(_INTEGERS)),
        float(rng.choice(_NUMBERS)),
        str(rng.choice(_WORDS)),
    )
    with TemporaryDirectory() as folder:
        made = Path(folder) / source.name
        storage, compression, *_ = _KINDS[kind]
        with bag_writer(made, storage, compression) as bag:
            for connection, received_ns, message in messages:
                changed = message
                if connection.topic in some and rng.random() < share:
                    if field == "gone":
                        continue
                    if field == "received":
                        received_ns = START_NS + integer * int(rng.integers(0, 10**9))
                        received_ns = min(max(0, received_ns), _LATEST_NS)
                    else:
                        changed = copy.deepcopy(message)
                        _change(rng, changed, field, integer, number, word)
                try:
                    bag.write(connection.topic, changed, received_ns)
                except Exception:  # what no writer writes; rosbags raises nearly anything
                    bag.write(connection.topic, message, received_ns)
        shutil.move(made, target)


def _change(
    rng: np.random.Generator, message: Any, field: str, integer: int, number: float, word: str
) -> None:
    """Changes one field of the message, or of a message in it."""
    holders = list(_parts(message))
    if field == "stamp":
        for part in holders:
            if hasattr(part, "nanosec"):
                part.sec = int(np.clip(integer, -(2**31), 2**31 - 1))
                part.nanosec = int(rng.choice([0, 5, 999_999_999, 2**32 - 1]))
        return
    wanted = {"frame": str, "text": str, "number": (int, float), "array": np.ndarray}[field]
    fields = [
        (part, name)
        for part in holders
        for name, value in vars(part).items()
        if isinstance(value, wanted) and not name.startswith("__")
    ]
    if field == "frame":
        fields = [(part, name) for part, name in fields if "frame" in name]
    if not fields:
        return
    part, name = fields[int(rng.integers(0, len(fields)))]
    value = getattr(part, name)
    if isinstance(value, str):
        setattr(part, name, word)
    elif isinstance(value, np.ndarray):
        setattr(part, name, _changed_array(rng, value, number))
    elif isinstance(value, float):
        setattr(part, name, number)
    else:
        setattr(part, name, max(0, integer))


def _changed_array(rng: np.random.Generator, values: np.ndarray, number: float) -> np.ndarray:
    how = rng.choice(["cut", "number", "noise"])
    if how == "cut" and len(values):
        return values[: int(rng.integers(0, len(values)))].copy()
    changed = values.copy()
    at = rng.random(len(values)) < 0.3
    with np.errstate(all="ignore"):
        changed[at] = (
            np.array(number if np.isfinite(number) else 0).astype(values.dtype)
            if how == "number" and values.dtype.kind != "f"
            else number
            if how == "number"
            else rng.integers(0, 255, int(at.sum()))
        )
    return changed


def _parts(message: Any) -> Any:
    """The message and all messages in it."""
    yield message
    for value in vars(message).values():
        if hasattr(value, "__msgtype__"):
            yield from _parts(value)
        elif isinstance(value, list):
            for each in value:
                if hasattr(each, "__msgtype__"):
                    yield from _parts(each)


def main() -> int:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="seed")
    parser.add_argument("--count", type=int, default=300, help="how many seeds from there")
    parser.add_argument("--videos", action="store_true", help="bags with H.264 and H.265")
    parser.add_argument("--results", help="gets a line a bag; a file that is there is gone on with")
    args = parser.parse_args()
    first, end = args.first, args.first + args.count
    before: list[str] = []
    if args.results and Path(args.results).exists():
        before = Path(args.results).read_text().splitlines()
        first = max([first, *(int(line.split("\t")[0]) + 1 for line in before)])
    out = open(args.results, "a") if args.results else sys.stdout  # noqa: SIM115
    bad = 0
    whole_mb = 0.0

    def on_outcome(outcome: Outcome) -> None:
        nonlocal bad, whole_mb
        if outcome.seed < 0:
            whole_mb = outcome.memory_mb
            return
        too_much = outcome.memory_mb > MOST_MEMORY * whole_mb
        bad += not outcome.is_fine or too_much
        seed, kind, said, seconds, memory_mb = outcome
        out.write(f"{seed}\t{kind}\t{said}\t{seconds:.2f}\t{memory_mb:.0f} of {whole_mb:.0f}\n")
        out.flush()

    makers = []
    if args.videos:
        from support import mutated_videos

        makers = [mutated_videos.whole_bags, mutated_videos.mutated]
    try_bags(range(first, end), on_outcome, *makers)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
