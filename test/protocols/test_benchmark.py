"""`glace benchmark`: which programs run on what, what is kept, and what the tables make of it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.published_layouts import photographed_rooms

from glace_ros.cli import main as glace
from glace_ros.maps.scene_map import SceneMap
from glace_ros.protocols import reported_metrics as reported
from glace_ros.protocols.protocols import PROTOCOLS, protocol
from glace_ros.recording.scene_reader import SceneReader


class Programs:
    """Stands in for build_map and evaluate. recall, medians: by scene or room. rooms: of a list,
    with their images. fails: by the number of the call, an exit code or what is raised.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.recall: dict[str, float] = {}
        self.medians: dict[str, tuple[float, float] | tuple[None, None]] = {}
        self.rooms: dict[str, int] = {}
        self.truth = True
        self.heads = 1
        self.fails: dict[int, int | type[BaseException]] = {}

    def maps(self) -> list[str]:
        return [
            Path(words[words.index("--output") + 1]).stem for name, words in self.of("build_map")
        ]

    def of(self, program: str) -> list[tuple[str, list[str]]]:
        return [call for call in self.calls if call[0] == program]

    @contextmanager
    def child_process(self, subcommand, arguments):
        self.calls.append((subcommand, list(arguments)))
        failure = self.fails.get(len(self.calls), 0)
        if not isinstance(failure, int):
            Path(arguments[arguments.index("--output") + 1] + ".checkpoint").touch()
            raise failure
        if failure == 0:
            name = Path(arguments[arguments.index("--scene") + 1]).stem
            metrics = self.built() if subcommand == "build_map" else self.evaluated(name)
            Path(arguments[arguments.index("--json") + 1]).write_text(json.dumps(metrics))
        yield SimpleNamespace(wait=lambda: failure)

    def built(self) -> dict:
        size = 1_000_000 * len(self.calls)
        return {"map_bytes": size, "heads": self.heads, "seconds": {"total": 90.0}}

    def evaluated(self, name: str) -> dict:
        metrics = self.metrics(name, 10)
        if self.rooms:
            metrics["rooms"] = {
                f"../x/{room}": self.metrics(room, frames) for room, frames in self.rooms.items()
            }
        return metrics

    def metrics(self, name: str, frames: int) -> dict:
        metres, degrees = self.medians.get(name, (0.1, 0.5))
        share = self.recall.get(name, 0.5) if self.truth else None
        return {
            "frames": frames * self.truth,
            "frames_without_truth": frames * (not self.truth),
            "median_translation_m": metres,
            "median_rotation_deg": degrees,
            "recall": dict.fromkeys(("5cm_5deg", "25cm_2deg", "50cm_5deg", "5m_10deg"), share),
        }


@pytest.fixture
def programs(monkeypatch) -> Programs:
    stand_in = Programs()
    monkeypatch.setattr("glace_ros.protocols.jobs.child_process", stand_in.child_process)
    return stand_in


@pytest.fixture
def benchmark(tmp_path, capsys):
    """Runs `glace benchmark` on tmp_path/data, and gives what it said on stderr, on one line."""

    def run(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        folders = ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "out")]
        assert glace(["benchmark", *words, *folders]) == code
        stderr = capsys.readouterr().err
        assert "Traceback" not in stderr
        return " ".join(stderr.split())

    return run


def scene_folders(tmp_path, name: str, sfm: bool = False) -> list[str]:
    """As far as the stand-ins read them."""
    folders = list(protocol(name, sfm=sfm, ablation=False).folders)
    for folder in folders:
        for split in ("train", "test"):
            (tmp_path / "data" / folder / split / "rgb").mkdir(parents=True)
    return folders


def tables(tmp_path, ending: str) -> str:
    """What was written last."""
    files = (tmp_path / "out").glob(f"benchmark_*.{ending}")
    return max(files, key=lambda file: file.stat().st_mtime_ns).read_text()


def row(tmp_path, system: str, table: int = 0) -> dict[str, str]:
    """The cells of a system in the JSON, by their heads; the Markdown has the same."""
    table = json.loads(tables(tmp_path, "json"))["tables"][table]
    found = next(row for row in table["rows"] if row["system"] == system)
    metrics = dict(zip(table["columns"], found.pop("figures"), strict=True))
    text = tables(tmp_path, "md")
    line = next(line for line in text.splitlines() if line.startswith(f"| {system} |"))
    assert all(cell in line for cell in metrics.values())
    return {**found, **metrics}


# --- the tables ---


@pytest.mark.parametrize(
    ("sfm", "poses", "other"), [(False, "D-SLAM", "SfM"), (True, "SfM", "D-SLAM")]
)
def test_our_row_of_7_scenes_is_the_mean_beside_what_the_paper_reports(
    tmp_path, programs, benchmark, sfm, poses, other
):
    folders = scene_folders(tmp_path, "7scenes", sfm)
    programs.recall = {folder: 0.1 * number for number, folder in enumerate(folders)}
    benchmark("7scenes", "--device", "cpu", "--minutes", "2", *["--sfm"] * sfm)
    ours = row(tmp_path, "glace_ros")
    assert ours[f"7-Scenes, {poses}"] == "30.0"
    assert ours[f"7-Scenes, {other}"] == ""
    assert (ours["from_"], ours["mapping_time"]) == ("measured here", "1.5 min")
    assert ours["map_size"] == "7.0 MB"  # 1, 3, ... 13
    theirs = row(tmp_path, "GLACE")
    assert theirs["from_"] == "reported, Table 1"
    assert [theirs["7-Scenes, SfM"], theirs["7-Scenes, D-SLAM"]] == ["95.6", "81.4"]
    assert not any("12-Scenes" in name for name in theirs)
    assert row(tmp_path, folders[2], 1)["figure"] == "20.0"
    for name, words in programs.calls:
        told = " ".join(words)
        assert "--device cpu" in told
        if name == "build_map":
            for option in ("--preset paper-7scenes", "--minutes 2", "--holdout 0"):
                assert option in told
    page = tables(tmp_path, "html")
    assert "pixLoc" in page
    assert "reported, Table 1" in page
    bars = page.replace("\\u002f", "/")
    assert f"7-Scenes, {poses}: % of images within" in bars  # the column that ours is in
    assert "figure: % of images within" in bars
    assert "images: % of images" not in bars


def test_a_part_of_the_scenes_says_so(tmp_path, programs, benchmark):
    scene_folders(tmp_path, "12scenes")
    benchmark("12scenes", "--scenes", "apt1_kitchen,12scenes_office2_5b", "--preset", "fast")
    assert programs.maps() == ["12scenes_apt1_kitchen", "12scenes_office2_5b"]
    assert row(tmp_path, "glace_ros, 2 of 12 scenes")["12-Scenes, D-SLAM"] == "50.0"
    assert "--preset fast" in " ".join(programs.calls[0][1])


def test_an_ensemble_is_handed_on_and_named_as_the_papers_are(tmp_path, programs, benchmark):
    scene_folders(tmp_path, "cambridge")
    programs.heads = 4
    benchmark("cambridge", "--ensemble", "4")
    assert len(programs.of("build_map")) == 5
    for _, words in programs.of("build_map"):
        assert words[words.index("--ensemble") + 1] == "4"
    assert row(tmp_path, "glace_ros x4")["from_"] == "measured here"


def test_tables_of_several_protocols_lie_in_one_folder(tmp_path, programs, benchmark):
    written = {}
    for name, *words in (["7scenes"], ["7scenes", "--sfm"], ["cambridge"]):
        scene_folders(tmp_path, name, bool(words))
        benchmark(name, *words, "--preset", "fast")
        written["_".join(["benchmark", name, *(word[2:] for word in words)])] = tables(
            tmp_path, "json"
        )
    files = {file.stem: file.read_text() for file in (tmp_path / "out").glob("benchmark_*.json")}
    assert files == written
    protocols = [json.loads(text)["protocol"] for text in written.values()]
    assert protocols == ["7scenes", "7scenes", "cambridge"]


def test_rooms_of_one_map_count_alike_however_many_images_they_have(tmp_path, programs, benchmark):
    folders = scene_folders(tmp_path, "i12")
    (tmp_path / "data/i12.txt").write_text("".join(f"{folder} 0 0 0\n" for folder in folders))
    programs.rooms = {"12scenes_apt1_kitchen": 1, "12scenes_apt2_bed": 99}
    programs.recall = {"12scenes_apt1_kitchen": 1.0, "12scenes_apt2_bed": 0.0}
    benchmark("i12")
    assert programs.maps() == ["i12"]
    assert "--preset paper-rooms" in " ".join(programs.calls[0][1])
    assert row(tmp_path, "glace_ros")["i12"] == "50.0"
    assert row(tmp_path, "ESAC")["from_"] == "reported, Table 2"
    assert row(tmp_path, "12scenes_apt2_bed", 1)["images"] == "99"


def test_medians_of_cambridge_and_their_mean(tmp_path, programs, benchmark):
    folders = scene_folders(tmp_path, "cambridge")
    programs.medians = {folder: (0.1 * n, 1.0 * n) for n, folder in enumerate(folders)}
    programs.medians["Cambridge_GreatCourt"] = (None, None)
    benchmark("cambridge")
    ours = row(tmp_path, "glace_ros")
    assert ours["OldHospital"] == "10.0/1.00"
    assert (ours["GreatCourt"], ours["average"]) == ("none", "none")
    assert row(tmp_path, "GLACE")["GreatCourt"] == "19/0.1"
    benchmark("cambridge", "--scenes", "OldHospital,ShopFacade")
    assert row(tmp_path, "glace_ros, 2 of 5 scenes")["average"] == "15.0/1.50"


@pytest.mark.parametrize("name", ["cambridge", "i19"])
def test_an_ablation_maps_each_variant_under_the_papers_name(tmp_path, programs, benchmark, name):
    folders = scene_folders(tmp_path, name)
    (tmp_path / "data/i19.txt").write_text("".join(f"{folder} 0 0 0\n" for folder in folders))
    programs.recall["i19"] = 0.5
    benchmark(name, "--ablation", "--global-encoder", "r2former:x")
    table = reported.TABLE_6 if name == "cambridge" else reported.FIGURE_6
    ours = [s.name for s in table.systems if "ACE" not in s.name]
    for variant in ours:
        assert row(tmp_path, variant)["from_"] == f"reported, {table.source}"
        assert row(tmp_path, f"glace_ros, {variant}")["from_"] == "measured here"
    assert len(programs.maps()) == len(ours) * (5 if name == "cambridge" else 1)
    told = [" ".join(words) for _, words in programs.of("build_map")]
    if name == "i19":
        assert "--clusters 19" in told[2]
    else:
        assert "--sigma 0" in told[0]
        # what comes last holds
        assert told[5].index("r2former:x") < told[5].index("kmeans:4+r2former:x")


def test_aachens_queries_go_into_a_submission(tmp_path, programs, benchmark):
    scene_folders(tmp_path, "aachen-day")
    programs.truth = False
    benchmark("aachen-day")
    assert str(tmp_path / "out/aachen.submission.txt") in programs.calls[1][1]
    assert row(tmp_path, "glace_ros")["5 m, 10 deg"] == ""
    assert "visuallocalization.net" in tables(tmp_path, "md")


@pytest.mark.parametrize("table", [reported.TABLE_4, reported.TABLE_6])
def test_the_averages_that_the_paper_prints_are_those_of_its_cells(table):
    for system in table.systems:
        if all(system.metrics):
            cells_s2 = np.array([[float(n) for n in cell.split("/")] for cell in system.metrics])
            off_2 = np.abs(cells_s2[:-1].mean(axis=0) - cells_s2[-1])
            assert (off_2 <= [1.01, 0.13]).all(), system.name  # of rounded cells


def test_the_reported_tables_are_whole_and_agree():
    tables = [
        value for value in vars(reported).values() if isinstance(value, reported.ReportedTable)
    ]
    assert [table.source for table in tables] == [*(f"Table {n}" for n in range(1, 7)), "Figure 6"]
    assert [len(table.systems) for table in tables] == [12, 5, 4, 15, 5, 7, 4]
    for table in tables:
        assert all(len(system.metrics) == len(table.columns) for system in table.systems)
    assert reported.FIGURE_6.systems[-1].metrics[0] == reported.TABLE_3.systems[-1].metrics[1]
    assert reported.TABLE_6.systems[-1].metrics == reported.TABLE_4.systems[-1].metrics


# --- interrupted, done, in the way ---


def test_what_was_interrupted_goes_on(tmp_path, programs, benchmark):
    folders = scene_folders(tmp_path, "7scenes")
    programs.fails = {5: KeyboardInterrupt}  # the third map
    assert "interrupted" in benchmark("7scenes", code=130)
    assert not list((tmp_path / "out").glob("benchmark_*"))
    programs.fails = {7: 6}  # and then its images
    words = benchmark("7scenes", code=6)
    assert f"evaluate of {folders[2]} ended with exit code 6" in words
    assert "there already" in words
    resumed = ["--resume" in words for _, words in programs.of("build_map")]
    assert resumed == [False, False, False, True]
    benchmark("7scenes")
    assert programs.maps() == [*folders[:3], *folders[2:]]  # none but the third twice
    notes = json.loads(tables(tmp_path, "json"))["notes"]
    assert [note for note in notes if "interrupted" in note] == [
        f"the mapping of {folders[2]} was interrupted: its time is that of the last part"
    ]
    count = len(programs.calls)
    benchmark("7scenes")
    assert len(programs.calls) == count


def test_a_map_that_was_done_when_we_were_interrupted_is_kept(tmp_path, programs, benchmark):
    folders = scene_folders(tmp_path, "7scenes")
    programs.fails = {3: KeyboardInterrupt}
    benchmark("7scenes", code=130)
    metrics = tmp_path / "out" / f"{folders[1]}.build_map.json"
    metrics.write_text(json.dumps(programs.built()))
    benchmark("7scenes")
    assert programs.maps() == folders
    assert "interrupted" not in tables(tmp_path, "md")


def test_figures_of_other_options_are_not_taken_for_these(tmp_path, programs, benchmark):
    folders = scene_folders(tmp_path, "7scenes")
    benchmark("7scenes")
    count = len(programs.calls)
    assert "another choice of build_map:" in benchmark("7scenes", "--preset", "fast", code=1)
    (tmp_path / "data" / folders[3] / "prepared.json").write_text('{"images": 1}')
    words = benchmark("7scenes", code=1)
    assert f"{folders[3]}.json is of a run with another choice of data:" in words
    (tmp_path / "out" / f"{folders[0]}.json").write_text("{")
    assert f"{folders[0]}.json cannot be read" in benchmark("7scenes", code=1)
    assert len(programs.calls) == count


def test_a_choice_that_no_map_could_be_built_with_can_be_changed(tmp_path, programs, benchmark):
    scene_folders(tmp_path, "7scenes")
    programs.fails = {1: 2}
    said = benchmark("7scenes", "--local-encoder", "ace:x", code=2)
    assert "build_map of 7scenes_chess" in said
    benchmark("7scenes")
    assert not any("--resume" in words for _, words in programs.calls)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_scene_that_is_not_there_is_named_with_the_command_that_makes_it(
    tmp_path, programs, benchmark, name
):
    folders = scene_folders(tmp_path, name)
    missing = tmp_path / "data" / folders[-1] / "test"
    (missing / "rgb").rmdir()
    data_set = protocol(name, sfm=False, ablation=False).folders[folders[-1]]
    words = benchmark(name, code=2)
    assert f"{missing} is not there: make it with 'glace prepare {data_set} SRC " in words
    assert not programs.calls


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("7scenes", "--scenes", "chess,hall"), "--scenes hall: 7scenes has chess, fire"),
        (("cambridge", "--sfm"), "--sfm: cambridge has one kind of poses"),
        (("7scenes", "--ablation"), "--ablation: the paper has none of 7scenes"),
    ],
)
def test_what_there_is_not(programs, benchmark, words, sentence):
    assert sentence in benchmark(*words, code=1)
    assert not programs.calls


# --- the programs themselves ---


@contextmanager
def in_this_process(subcommand, arguments):
    """Spares the seconds that a process needs to start."""
    yield SimpleNamespace(wait=lambda: glace([subcommand, *arguments]))


@pytest.mark.slow
def test_simulated_rooms_are_prepared_mapped_and_compared(tmp_path, benchmark, monkeypatch):
    """A scene in 7-Scenes' layout, and a list of two, in one command each."""
    photographed = photographed_rooms(
        tmp_path / "zips", 2, (320, 240), mapping=10, queries=3, texels_per_m=60.0
    )
    assert glace(["prepare", "7scenes", str(tmp_path / "zips"), str(tmp_path / "data")]) == 0
    scenes = ["7scenes_chess", "7scenes_fire"]
    for scene, true in zip(scenes, photographed, strict=True):
        for split, images in (("train", true.mapping), ("test", true.queries)):
            with SceneReader(tmp_path / "data" / scene, split) as reader:
                for image, expected in zip(reader.images(), images, strict=True):
                    np.testing.assert_array_equal(image.image_rgb_hwc, expected.image_rgb_hwc)
                    assert image.camera == expected.camera
                    assert image.map_from_camera.distance_m(expected.map_from_camera) < 1e-7
    quick = ("--preset", "fast", "--iterations", "3", "--device", "cpu")
    benchmark("i7", "--scenes", "chess,fire", *quick)
    for scene in scenes:
        assert row(tmp_path, scene, 1)["images"] == "3"
    record = json.loads((tmp_path / "out/i7.json").read_text())
    assert record["build_map"]["mapping_frames"] == 20
    scene_map = SceneMap.load(tmp_path / "out/i7.glace")
    assert scene_map.file_bytes == record["build_map"]["map_bytes"]
    assert (scene_map.metadata.bag_name, scene_map.metadata.camera.fx_px) == ("i7", 525.0)
    monkeypatch.setattr(
        "glace_ros.mapping.training.map_trainer.faster_dtype", lambda *_: torch.float32
    )
    monkeypatch.setattr("glace_ros.protocols.jobs.child_process", in_this_process)
    benchmark("7scenes", "--scenes", "chess", *quick)
    assert float(row(tmp_path, "glace_ros, 1 of 7 scenes")["7-Scenes, D-SLAM"]) >= 0
    metrics, page = tmp_path / "angles.json", tmp_path / "angles.html"
    words = ["--scene", str(tmp_path / "data/7scenes_chess"), "--keyframe-dist", "0"]
    words += ["--json", str(metrics), "--html", str(page), "--device", "cpu"]
    assert glace(["covisibility", *words]) == 0
    angles = json.loads(metrics.read_text())
    counted = sum(angles["bins"]["covisible_b"]) + sum(angles["bins"]["other_b"])
    assert counted == angles["pairs"] == 2 * 8  # two of ten views are held out of the encoder
    assert f"--sigma {angles['sigma']:.3f}" in page.read_text()
