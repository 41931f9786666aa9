"""A map that was killed while it was made is the map that it would have become."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.published_networks import seeded
from support.small_builds import arguments, write_wall

from glace_ros.commands.build_map import main as build_map
from glace_ros.commands.build_map_config import build_request, weights_of
from glace_ros.commands.build_map_fingerprint import fingerprint
from glace_ros.commands.build_map_options import build_map_parser
from glace_ros.errors import MappingError
from glace_ros.evaluation import map_validation as map_judgement
from glace_ros.features.ace_encoder import AceNetwork
from glace_ros.features.local_features import LocalFeatures
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.resume.encoding_journal import EncodingJournal
from glace_ros.mapping.resume.saved_work import SavedWork
from glace_ros.mapping.training import map_trainer
from glace_ros.mapping.training.map_trainer import MapTrainer
from glace_ros.mapping.views import encoded_views
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.mapping.views.mapping_views import MappingView, MappingViews
from glace_ros.maps.scene_map import SceneMap
from glace_ros.ranks import Ranks
from glace_ros.recording.held_out import HeldOutBlocks

# a clock decides whether bfloat16 pays: a busy machine must not decide about a test; and poses of a
# robot that hardly moves are not looked at, which each run would do anew
PROGRAM = """
import math, sys, torch
torch.set_num_threads(1)
from glace_ros.commands import build_map_poses
from glace_ros.mapping.training import map_trainer
build_map_poses._LEAST_WAY_M = math.inf
map_trainer.faster_dtype = lambda *_: torch.float32
from glace_ros.cli import main
sys.exit(main(["build_map", *sys.argv[1:]]))
"""


def start(words: list[str], **more) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True, **more,
    )  # fmt: skip


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def killed_when(process: subprocess.Popen, is_time: Callable[[], bool]) -> bool:
    """Whether it lived until then, and was killed."""
    while process.poll() is None:
        if is_time():
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
            return process.returncode == -signal.SIGKILL
        time.sleep(0.02)  # the kernel tells of no CPU time
    return False


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    return write_wall(tmp_path_factory.mktemp("bag") / "wall", 160)


def stage(folder: Path) -> str:
    """What a run left behind."""
    if (folder / "map.glace.checkpoint").exists():
        return "training"
    names = [path.name for path in folder.glob("map.glace.encoded/*.safetensors")]
    if any(name.startswith("points") for name in names):
        return "triangulation"
    return "encoding" if names else "nothing"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_build_that_is_killed_again_and_again_ends_in_the_same_map(wall, tmp_path):
    """Killed at random, at first soon and then later and later, and while it trains."""
    whole, folder = tmp_path / "whole.glace", tmp_path / "killed"
    as_recorded = "--refine-poses", "off"  # true poses; resuming refinement has a test of its own
    process = start(arguments(wall, whole, *as_recorded))
    used_s, idle_s = 0.0, None
    while process.poll() is None:
        used_s = cpu_seconds(process.pid)
        if idle_s is None and used_s and (tmp_path / "whole.glace.encoded").is_dir():
            idle_s = used_s  # until then nothing could be saved
        time.sleep(0.01)  # the kernel tells of no CPU time
    assert process.returncode == 0, process.stderr.read()
    expected = SceneMap.load(whole)
    assert idle_s is not None
    assert not (tmp_path / "whole.glace.encoded").exists()

    rng = np.random.default_rng(0)
    words = arguments(wall, folder / "map.glace", "--resume", *as_recorded)
    stages, work_s = [], used_s - idle_s
    checkpoint = folder / "map.glace.checkpoint"
    for latest in (*np.linspace(0.05, 0.4, 5), None):
        process = start(words)
        if latest is None:
            killed = killed_when(process, checkpoint.exists)
        else:
            until_s = idle_s + rng.uniform(0.0, latest) * work_s
            killed = killed_when(process, lambda: cpu_seconds(process.pid) > until_s)  # noqa: B023
        if not killed or (folder / "map.glace").exists():
            break  # it was done, if only just
        stages.append(stage(folder))
    if not killed:
        assert process.returncode == 0, process.stderr.read()
    process = start(words)  # from the last kill, or from what it left while it cleaned up
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    print("killed with, on disk:", stages)
    assert len(stages) >= 4
    assert {"encoding", "training"} <= set(stages)
    order = ["nothing", "encoding", "triangulation", "training"]
    assert [order.index(name) for name in stages] == sorted(order.index(name) for name in stages)
    found = SceneMap.load(folder / "map.glace")
    assert found.metadata.training == expected.metadata.training
    assert found.map_id == expected.map_id
    assert found.metadata.held_out["recall"]["5cm_5deg"] > 0.9  # and it is a good one
    assert sorted(path.name for path in folder.iterdir()) == ["map.glace"]


@pytest.mark.slow
def test_a_disk_that_is_full_is_said_and_what_was_saved_is_gone_on_from(wall, tmp_path):
    """Room for a view at a time, but not for the network."""
    output = tmp_path / "map.glace"

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000))

    small = "--landmarks", 0, "--global-encoder", "none", "--refine-poses", "off"
    words = arguments(wall, output, *small)
    words[words.index("--checkpoint-every") + 1] = "0"
    process = start(words, preexec_fn=small_disk)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 6, stderr
    assert "Traceback" not in stderr
    (said,) = re.findall(r"^build_map: .*$", stderr, re.MULTILINE)
    assert "map.glace.checkpoint cannot be written: File too large" in said
    assert "--resume" in said
    assert stage(tmp_path) == "triangulation"
    process = start(arguments(wall, output, *small, "--resume"))
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    assert SceneMap.load(output).metadata.training["steps"] == 500
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.glace"]


@pytest.fixture(scope="module")
def short_wall(tmp_path_factory):
    return write_wall(tmp_path_factory.mktemp("bag") / "wall", 20)


@pytest.fixture
def small(short_wall, tmp_path):
    """All views are co-visible here: there is no diffusion to be measured."""
    return arguments(short_wall, tmp_path / "map.glace", "--iterations", 3, "--sigma", 0.1)


def test_ctrl_c_while_encoding_names_what_was_saved(small, tmp_path, monkeypatch, capsys):
    add = EncodedViews.add

    def ctrl_c_at_the_eighth(encoded, image):
        if len(encoded.views) == 8:
            raise KeyboardInterrupt
        add(encoded, image)

    every = small.index("--checkpoint-every") + 1
    small[every] = "0"
    with monkeypatch.context() as patch:
        patch.setattr(EncodedViews, "add", ctrl_c_at_the_eighth)
        assert build_map(small) == 130
    assert f"--resume goes on from {tmp_path / 'map.glace.encoded'}" in capsys.readouterr().err
    encoded = []
    with monkeypatch.context() as patch:
        patch.setattr(
            EncodedViews, "add", lambda self, image: encoded.append(image) or add(self, image)
        )
        assert build_map([*small, "--resume"]) in (0, 3)
    assert len(encoded) + 8 == SceneMap.load(tmp_path / "map.glace").metadata.training["views"]


@pytest.fixture
def stubborn(monkeypatch):
    """Where SIGTERM is nobody's, the test fails and not the process that runs it."""
    monkeypatch.setattr(map_trainer, "faster_dtype", lambda *_: torch.float32)

    def fail(*_):
        pytest.fail("SIGTERM would have ended it without a word")

    before = signal.signal(signal.SIGTERM, fail)
    yield
    assert signal.getsignal(signal.SIGTERM) is fail  # as it was
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("phase", "every_s", "words"),
    [
        ((HeldOutBlocks, "__contains__"), 0, "map.glace.encoded"),
        ((EncodedViews, "add"), 1e6, None),
        ((encoded_views, "triangulate_view"), 0, "map.glace.encoded"),
        ((MapTrainer, "_take_step"), 1e6, "map.glace.checkpoint"),
        ((map_judgement, "localized_frame"), 0, "map.glace.checkpoint"),
        ((map_judgement, "localized_frame"), 1e6, None),
    ],
)
def test_sigterm_is_taken_as_ctrl_c_in_every_phase(
    small, tmp_path, monkeypatch, capsys, stubborn, phase, every_s, words
):
    """As systemd, docker and launch send it. The second time that something is done."""
    real, calls = getattr(*phase), []

    def sigterm(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    small[small.index("--checkpoint-every") + 1] = str(every_s)
    small += ["--global-encoder", "none", "--sigma", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(*phase, sigterm)
        assert build_map(small) == 130
    stderr = capsys.readouterr().err
    assert "Traceback" not in stderr
    (said,) = [line for line in stderr.splitlines() if line.startswith("build_map: ")]
    if words is None:
        assert said == "build_map: interrupted; nothing was saved yet"
        return
    assert said == f"build_map: interrupted; --resume goes on from {tmp_path / words}"
    assert (tmp_path / words).exists()


def test_sigterm_while_the_report_is_drawn_says_that_the_map_is_done(
    small, tmp_path, monkeypatch, capsys, stubborn
):
    monkeypatch.setattr(
        "glace_ros.commands.build_map.map_report", lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    small.remove("--no-report")
    assert build_map(small) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    output = tmp_path / "map.glace"
    assert said == f"build_map: interrupted; the map {output} is done, its report is not"
    assert SceneMap.load(output).metadata.training["steps"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_torch_is_imported_is_one_line(tmp_path, number):
    """Of all programs; the seconds that it takes are most of what `evaluate` takes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "glace_ros.cli", "build_map", "--bag", "x"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None
        time.sleep(0.01)  # the kernel tells of no mapping
    process.send_signal(number)
    _, stderr = process.communicate(timeout=300)
    assert (process.returncode, stderr) == (130, "build_map: interrupted\n")


def test_weights_that_were_replaced_since_are_noticed(small, tmp_path, monkeypatch, capsys):
    """Under the same path: what was encoded with the old ones does not go with the new ones."""
    add, weights = EncodedViews.add, tmp_path / "ace_encoder.pt"
    shapes = {name: tuple(part.shape) for name, part in AceNetwork().state_dict().items()}

    def ctrl_c_at_the_second(encoded, image):
        if len(encoded.views) == 2:
            raise KeyboardInterrupt
        add(encoded, image)

    monkeypatch.setattr(EncodedViews, "add", ctrl_c_at_the_second)
    small[small.index("--checkpoint-every") + 1] = "0"
    small += ["--local-encoder", f"ace:{weights}"]
    torch.save(seeded(shapes, 0), weights)
    assert build_map(small) == 130
    torch.save(seeded(shapes, 1), weights)
    assert build_map([*small, "--resume"]) == 6
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("build_map: ")]
    assert re.search("map.glace.encoded/.* other weights of an encoder: leave out", said[1])
    torch.save(seeded(shapes, 0), weights)
    assert build_map([*small, "--resume"]) == 130


def test_replaced_weights_of_global_codes_are_noticed(tmp_path):
    weights = tmp_path / "r2former.pth"
    words = ["--bag", "x", "--global-encoder", f"r2former:{weights}"]
    request = build_request(build_map_parser(None).parse_args(words))
    marks = []
    for content in (b"one", b"two", b"one"):
        weights.write_bytes(content)
        marks.append(fingerprint(request, "0" * 64, weights_of(request.config)))
    assert marks[0] == marks[2] != marks[1]


def work_beside(
    output: Path,
    resume: bool,
    held_out: list[tuple[int, int]],
    encoded=None,
    non_keyframes: list[tuple[int, int]] | None = None,
) -> SavedWork:
    """Of a reader that stands at the seventh image; no patch is encoded."""
    encoded = encoded or SimpleNamespace(views=MappingViews(64, 1, 10, 10_000), triangulated=0)
    return SavedWork(
        output, "mine", SimpleNamespace(position={"image": 7}), encoded,
        SimpleNamespace(
            noted=held_out, non_keyframes=[] if non_keyframes is None else non_keyframes
        ),
        Ranks(), resume=resume, every_s=0.0,
    )  # fmt: skip


@pytest.fixture
def left_behind(tmp_path) -> list[Path]:
    """What an earlier run saved: two files that nobody can read."""
    folder = tmp_path / "map.glace.encoded"
    folder.mkdir()
    files = [folder / "encoded-00000000.safetensors", tmp_path / "map.glace.checkpoint"]
    for file in files:
        file.write_bytes(b"work")
    return files


@pytest.mark.parametrize("resume", [True, False])
def test_saved_work_touches_no_file_before_it_is_started(left_behind, tmp_path, resume):
    work_beside(tmp_path / "map.glace", resume, [])
    assert [file.read_bytes() for file in left_behind] == [b"work"] * 2


def test_a_new_start_deletes_what_an_earlier_run_encoded(left_behind, tmp_path):
    """Its checkpoint stays until training begins: an encoding that fails costs no training."""
    held_out = [(0, 1), (0, 2)]
    assert work_beside(tmp_path / "map.glace", False, held_out).start() is None
    assert held_out == []
    assert [file.exists() for file in left_behind] == [False, True]


def test_a_resumed_start_deletes_nothing_it_cannot_read(left_behind, tmp_path):
    with pytest.raises(MappingError, match="damaged"):
        work_beside(tmp_path / "map.glace", True, []).start()
    assert [file.read_bytes() for file in left_behind] == [b"work"] * 2


def test_a_resumed_start_goes_on_where_the_files_end(tmp_path):
    nothing = work_beside(tmp_path / "map.glace", True, [])
    assert nothing.latest is None
    assert nothing.start() is None
    encoded = SimpleNamespace(views=MappingViews(64, 1, 10, 10_000), triangulated=0)
    patches = LocalFeatures(torch.rand(3, 64), torch.rand(3, 2), torch.rand(3))
    encoded.views.append(MappingView(patches, Pose.from_planar(1.0, 2.0, 0.5), torch.rand(4)))
    before = work_beside(tmp_path / "map.glace", False, [(0, 9), (1, 5)], encoded, [(1, 8)])
    before.journal.save()
    held_out, non_keyframes, again = (
        [(0, 3)],
        [(0, 4)],
        SimpleNamespace(views=MappingViews(64, 1, 10, 10_000), triangulated=0),
    )
    work = work_beside(tmp_path / "map.glace", True, held_out, again, non_keyframes)
    assert work.latest == tmp_path / "map.glace.encoded"
    assert work.start() == {"image": 7}
    assert held_out == [(0, 9), (1, 5)]
    assert non_keyframes == [(1, 8)]
    assert torch.equal(again.views.samples.pixels_n2, patches.pixels_n2)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "the memory is full.*--buffer-gb"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "the memory is full.*--buffer-gb",
        ),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), "GPU's memory is full.*--buffer-gb"),
        (OSError(28, "No space left on device", "/x/y"), "the disk is full.*/x/y.*room"),
    ],
)
def test_a_shortage_is_one_sentence_and_the_last_work_stays(
    small, tmp_path, monkeypatch, capsys, error, words
):
    save = EncodingJournal.save_if_due

    def save_until_the_tenth(journal):
        save(journal)
        if len(journal._encoded.views) == 10:
            raise error

    monkeypatch.setattr(EncodingJournal, "save_if_due", save_until_the_tenth)
    small[small.index("--checkpoint-every") + 1] = "0"
    assert build_map(small) == 6
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("build_map: ")]
    assert len(said) == 1
    assert re.search(words, said[0])
    assert "--resume" in said[0]
    assert len(list((tmp_path / "map.glace.encoded").glob("*.safetensors"))) == 10


def test_an_error_of_ours_is_not_mistaken_for_a_shortage(small, monkeypatch):
    def broken(journal):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(EncodingJournal, "save_if_due", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        build_map(small)
