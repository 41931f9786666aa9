"""Several heads in one map: each learns its own part of the scene, and the one that knows the place
is believed.
"""

import hashlib
import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_scenes import (
    CAMERA,
    buffer_of,
    looking_at,
    patchwork,
    rgb,
    ring_of_views,
    seen_points,
    tiny_map,
    unit_rows,
)
from support.map_bytes import descriptors, refused_bytes, resigned, taken_apart
from support.small_builds import arguments, write_wall

from glace_ros.commands.build_map import main as build_map
from glace_ros.errors import MappingError
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.geometry.pose import Pose
from glace_ros.localization.acceptance import AcceptanceConfig
from glace_ros.localization.localizer import Localizer
from glace_ros.localization.localizer_config import (
    LandmarkRefinementConfig,
    LandmarkSearchConfig,
    LocalizerConfig,
)
from glace_ros.mapping.camera_groups import camera_groups
from glace_ros.mapping.map_builder import MapBuilder
from glace_ros.mapping.presets import preset
from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint
from glace_ros.mapping.training.head_training import train_heads
from glace_ros.mapping.training.map_trainer import MapTrainer
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig
from glace_ros.mapping.training.schedule import TrainingProgress
from glace_ros.maps.coordinate_head import CoordinateHead, CoordinateHeadConfig
from glace_ros.maps.landmarks import Landmarks
from glace_ros.maps.map_metadata import MOST_HEADS, RecordingDescription
from glace_ros.maps.scene_map import SceneMap
from glace_ros.recording.posed_images import PosedImage
from glace_ros.rejection import Rejection

CPU = torch.device("cpu")
TARGETS = np.array([[1.0, 2.0, 0.5], [21.0, 2.0, 0.5]])
POINTS, VIEWS, STEPS = 40, 8, 120
OWN_CODE = torch.tensor([1.0, 0.0])
SHAPE = CoordinateHeadConfig(global_channels=0, width=64)


@pytest.fixture(autouse=True, scope="module")
def always_float32():
    """A clock decides whether bfloat16 pays; a busy machine must not decide about a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "glace_ros.mapping.training.map_trainer.faster_dtype", lambda *_: torch.float32
        )
        yield


class TwoRooms:
    """40 points and 8 views in each of two rooms 20 m apart; where they are alike, the points of
    both have the same descriptors.
    """

    def __init__(self, *, alike: bool) -> None:
        rng = np.random.default_rng(0)
        inside_n3, codes_nC = rng.uniform(-1, 1, (POINTS, 3)), unit_rows(rng, POINTS, 64)
        self.points = [target_3 + inside_n3 for target_3 in TARGETS]
        self.codes = [codes_nC, codes_nC if alike else unit_rows(rng, POINTS, 64)]
        views = [
            (seen_points(points_n3, own_nC, pose, rng, code_noise=0.1), pose)
            for points_n3, own_nC, target_3 in zip(self.points, self.codes, TARGETS, strict=True)
            for pose in ring_of_views(VIEWS, 4.0, target_3, arc_rad=1.5)
        ]
        self.positions_v3 = np.stack([pose.translation_3 for _, pose in views])
        self.origin_3 = self.positions_v3.mean(axis=0)
        self.group_v = np.repeat([0, 1], VIEWS)
        self.buffer = buffer_of(views, self.origin_3)

    def trainer(self, head: int, iterations: int = STEPS) -> MapTrainer:
        """Of the head of one room."""
        of_view_v = self.group_v == head
        centre_13 = (self.positions_v3[of_view_v] - self.origin_3).mean(axis=0, keepdims=True)
        return MapTrainer(
            MapTrainerConfig(batch=128, learning_rate=5e-3, iterations=iterations, seed=head),
            self.buffer, None, 0.0, SHAPE, torch.from_numpy(centre_13).float(), CPU,
            of_view_v=of_view_v,
        )  # fmt: skip

    def localizer(
        self, heads: list[CoordinateHead], verifying_inliers: int | None = None
    ) -> Localizer:
        """Of a map of these. sure_inliers: landmarks that vouch for a pose; None: it has none."""
        encoder = XFeatEncoder(CPU)
        metadata = replace(
            tiny_map(local_encoder_hash=encoder.weights_hash).metadata,
            head=SHAPE, heads=len(heads), origin_m=tuple(self.origin_3),
        )  # fmt: skip
        acceptance = AcceptanceConfig(min_inliers=POINTS // 3)
        refinement = LandmarkRefinementConfig(
            min_inliers=10, verifying_inliers=verifying_inliers or 60
        )
        landmarks = self.landmarks() if verifying_inliers else None
        return Localizer(
            SceneMap(metadata, heads, None, landmarks),
            LocalizerConfig(
                acceptance=acceptance, refinement=refinement,
                search=LandmarkSearchConfig(most_searched_first=0),  # the heads are asked
            ), "cpu",
        )  # fmt: skip

    def landmarks(self) -> Landmarks:
        """The points of both rooms."""
        points_l3 = torch.from_numpy(np.concatenate(self.points) - self.origin_3)
        to_camera_l3 = torch.tensor([[-3.6, 0.8, 0.3]]).expand(2 * POINTS, 3)
        codes_lC = torch.from_numpy(np.concatenate(self.codes)).float()
        return Landmarks(points_l3, codes_lC, to_camera_l3)

    def remembered(self, localizer: Localizer, rooms: list[int], cosines: list[float]) -> list:
        """Gives the map a view of each room, so like OWN_CODE. Returns (head, view) of whom it will
        ask: with a code that is most like that view's.
        """
        asked, points = [], localizer.scene_map.points
        across = np.sqrt(1.0 - np.square(cosines)) * [1.0, -1.0]
        codes_2G = torch.from_numpy(np.stack([cosines, across], axis=1)).float()
        positions_23 = self.positions_v3[np.multiply(rooms, VIEWS)] - self.origin_3
        localizer.scene_map.global_encoder = SimpleNamespace(
            views_vG=codes_2G, positions_v3=torch.from_numpy(positions_23).float()
        )

        def spy(descriptors_nC, descriptor_G, head):
            asked.append((head, int((codes_2G @ descriptor_G).argmax())))
            return points(descriptors_nC, None, head)  # these heads take no code

        localizer.scene_map.points = spy
        return asked

    def asked(self, localizer: Localizer, room: int):
        """(what it says of a view that training did not see, where that is)."""
        truth = looking_at(TARGETS[room] + [-3.6, 0.8, 0.3], TARGETS[room])
        rng = np.random.default_rng(1)
        seen = seen_points(self.points[room], self.codes[room], truth, rng, pixel_noise=0.2)
        descriptor_G = OWN_CODE if localizer.scene_map.global_encoder else None
        return localizer.solve(
            localizer.regressed(seen, lambda: descriptor_G, CAMERA), CAMERA, 0.0
        ), truth


@pytest.fixture(scope="module")
def rooms() -> tuple[TwoRooms, list[CoordinateHead]]:
    world = TwoRooms(alike=False)
    return world, train_heads(world.trainer, 2, lambda: None).heads


# --- what the heads learn, and which is believed ---


def test_an_ensemble_of_two_localizes_in_both_rooms(rooms):
    """A head by itself knows one of them; which of the two comes first does not matter."""
    world, heads = rooms
    for order in (heads, heads[::-1]):
        localizer = world.localizer(order)
        for room, target_3 in enumerate(TARGETS):
            found, truth = world.asked(localizer, room)
            assert found.map_from_camera.distance_m(truth) < 0.15
            assert np.abs(found.points_m3 - target_3).max() < 1.6  # the points are of that head
            assert found.inliers > 0.8 * POINTS
            assert not found.ambiguous
            assert found.second_best_ratio == 0.0
    for room in range(2):
        result, _ = world.asked(world.localizer([heads[1 - room]]), room)
        assert isinstance(result, Rejection)


def test_of_rooms_that_look_alike_each_head_is_as_sure_and_the_image_is_ambiguous():
    """As with two places of one head: 20 m away as much of the map agrees."""
    world = TwoRooms(alike=True)
    heads = train_heads(world.trainer, 2, lambda: None).heads
    speaks_for_one = [0.99, 0.5], [0.5, 0.99]  # which is not enough
    for room, cosines in itertools.product(range(2), (None, *speaks_for_one)):
        localizer = world.localizer(heads, verifying_inliers=20)
        if cosines:
            world.remembered(localizer, [0, 1], cosines)
        found, _ = world.asked(localizer, room)
        assert found.landmark_verified
        assert found.second_best_ratio > 0.9
        assert found.ambiguous


def test_where_an_image_is_like_several_places_the_head_of_each_is_asked(rooms):
    """All heads in all places would take as many times as long as there are places."""
    world, heads = rooms
    localizer = world.localizer(heads)
    asked = world.remembered(localizer, [1, 0], [0.8, 0.8])
    found, truth = world.asked(localizer, 0)
    assert sorted(asked) == [(0, 1), (1, 0)]  # the second view's place is the first head's
    assert found.map_from_camera.distance_m(truth) < 0.15


@pytest.mark.parametrize(
    ("other_cosine", "verifying_inliers", "expected"),
    [(0.3, 20, [1]), (0.3, 1000, [1, 0]), (0.5, 20, [0, 1])],
)
def test_where_the_code_leaves_no_doubt_a_sure_pose_of_its_head_suffices(
    rooms, other_cosine, verifying_inliers, expected
):
    """The other is asked where landmarks do not vouch for the pose, or the code does for less."""
    world, heads = rooms
    localizer = world.localizer(heads, verifying_inliers)
    asked = world.remembered(localizer, [0, 1], [other_cosine, 0.99])
    found, truth = world.asked(localizer, 1)
    assert list(dict.fromkeys(head for head, _ in asked)) == expected
    assert found.map_from_camera.distance_m(truth) < 0.05
    assert found.landmarks > 30
    assert found.landmark_verified == (verifying_inliers < 1000)


def test_a_head_draws_from_its_own_views_alone(rooms):
    """With triangulated points, too, and all of its samples."""
    world, _ = rooms
    samples = world.buffer.samples
    for has_point in (False, True):
        samples.has_point_n[::3] = has_point
        trainer = world.trainer(1)
        rows_n = torch.cat([trainer._draw() for _ in range(40)])
        assert set(samples.view_n[rows_n].tolist()) == set(np.flatnonzero(world.group_v == 1))
        assert len(rows_n.unique()) > 0.98 * len(samples.view_n) / 2
        share = float(samples.has_point_n[rows_n].float().mean())
        # a third of the samples, drawn by themselves eight times as often, and with the others
        assert share == pytest.approx(0.8 + 0.2 / 3 if has_point else 0.0, abs=0.03)
    samples.has_point_n[:] = False


# --- the groups ---


@given(st.integers(1, 5), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_rooms_become_groups(rooms, seed):
    """As many as there are rooms far apart, of unequal size, in any order."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(10, 14, rooms)
    room_v = rng.permutation(np.repeat(np.arange(rooms), sizes))
    positions_v3 = 30.0 * np.stack([room_v, room_v**2, 0 * room_v], axis=1)
    positions_v3 = positions_v3 + rng.uniform(-1, 1, positions_v3.shape)
    group_v = camera_groups(positions_v3, rooms, 1, seed)
    assert set(group_v) == set(range(rooms))
    if rooms <= 2:  # more need not be found by halves
        assert len(set(zip(room_v, group_v, strict=True))) == rooms


def test_groups_of_one_long_drive_are_of_about_one_size():
    positions_v3 = np.stack([np.linspace(0, 60, 400), np.zeros(400), np.zeros(400)], axis=1)
    sizes = np.bincount(camera_groups(positions_v3, 4, 10, seed=0))
    assert len(sizes) == 4
    assert sizes.min() > 80
    assert (np.diff(camera_groups(positions_v3, 4, 10, seed=0)) != 0).sum() == 3  # contiguous


def test_too_few_views_for_so_many_heads_are_one_sentence():
    positions_v3 = np.random.default_rng(0).uniform(size=(35, 3))
    with pytest.raises(MappingError, match=r"a head needs 10: ask for fewer with --ensemble"):
        camera_groups(positions_v3, 4, 10, seed=0)
    with pytest.raises(MappingError, match="has 0 views"):
        camera_groups(np.zeros((35, 3)), 2, 10, seed=0)  # a robot that stood still


def test_a_head_without_a_patch_is_one_sentence():
    """As where a process under torchrun has none of the group's views."""
    world = TwoRooms(alike=True)
    samples = world.buffer.samples
    world.buffer.samples = type(samples)(*(part[samples.view_n < VIEWS] for part in samples))
    world.trainer(0)
    with pytest.raises(MappingError, match="no patches here: ask for fewer heads"):
        world.trainer(1)


# --- from images to a map ---


def test_the_builder_gives_each_group_a_head_and_a_centre_of_its_own(tmp_path):
    """12 pictures of a wall here and 14 of another 8 m away; the network has three clusters."""
    config = preset("paper-rooms")
    config = replace(
        config, sigma=0.1, ensemble=2, global_encoder="none",
        trainer=replace(config.trainer, batch=64, iterations=4),
        head=replace(config.head, width=16, clusters=3),
        buffer=replace(config.buffer, patches=20, short_side_px=96, samples=26 * 60),
    )  # fmt: skip
    builder = MapBuilder(config, CPU)
    pictures = [rgb(patchwork(128, 96, seed=seed)) for seed in (0, 1)]
    images = (
        PosedImage(stamp, np.roll(pictures[stamp >= 12], -2 * stamp, axis=1), CAMERA,
                   Pose(np.eye(3), np.array([0.05 * stamp + 8.0 * (stamp >= 12), 0.0, 0.0])))
        for stamp in range(26)
    )  # fmt: skip
    encoded = builder.encode(images, builder.no_views(26))
    prepared = builder.prepare(encoded)
    told = []
    trained = builder.train(prepared, on_progress=told.append)
    description = RecordingDescription(
        "map", "base", "camera", "/image", "/info", CAMERA, "bag", "0" * 64
    )
    scene_map = builder.scene_map(prepared, trained, description)
    assert scene_map.metadata.heads == 2
    assert trained.steps == scene_map.metadata.training["steps"] == 8
    near_k, far_k = sorted(
        (
            head.centres_k3[:, 0].numpy() + scene_map.metadata.origin_m[0]
            for head in scene_map.heads
        ),
        key=np.mean,
    )
    assert len(near_k) == len(far_k) == 3
    assert near_k.min() > -0.01
    assert near_k.max() < 0.56
    assert far_k.min() > 8.59
    weights = [head.fc1.weight for head in scene_map.heads]
    assert not torch.equal(*weights)
    too_many = MapBuilder(replace(config, ensemble=3), CPU)
    with pytest.raises(MappingError, match="one has . views, and a head needs 10"):
        too_many.prepare(encoded)
    scene_map.save(tmp_path / "map.glace")
    assert SceneMap.load(tmp_path / "map.glace").map_id == scene_map.map_id


class TimedTrainer:
    """In a trainer's place: three seconds of a clock to be made, and then what it is given."""

    def __init__(self, clock: list[float], given: list) -> None:
        self.clock, self.given, self.head, self.step, self.seconds = clock, given, None, 7, 3.0
        clock[0] += 3.0

    def train(self, seconds, on_progress, checkpoint, still_gains) -> None:
        assert still_gains is None  # several heads take their time
        self.given.append(seconds)
        self.clock[0] += seconds or 50.0
        for done in (0.5, 1.0):
            on_progress(TrainingProgress(done, int(7 * done), 1.0, 0.5, 3 * done))


@pytest.mark.parametrize("minutes", [True, False])
def test_heads_share_the_minutes_and_progress_is_of_all(minutes, monkeypatch):
    clock, given, told = [100.0], [], []
    monkeypatch.setattr(
        "glace_ros.mapping.training.head_training.time",
        SimpleNamespace(perf_counter=lambda: clock[0]),
    )
    trained = train_heads(
        lambda _: TimedTrainer(clock, given), 3, lambda: 163.0 - clock[0] if minutes else None,
        told.append, still_gains=lambda *_: True,
    )  # fmt: skip
    assert given == ([20.0, 18.5, 15.5] if minutes else [None] * 3)
    assert clock[0] == (163.0 if minutes else 259.0)  # as promised, making the trainers included
    assert trained.steps == 21
    assert [p.done for p in told] == pytest.approx(np.arange(1, 7) / 6)
    assert [p.step for p in told] == [3, 7, 10, 14, 17, 21]
    assert [p.seconds for p in told] == [1.5, 3.0, 4.5, 6.0, 7.5, 9.0]


# --- what was interrupted goes on ---


def test_a_training_that_ends_in_the_second_head_goes_on_there(rooms, tmp_path):
    world, _ = rooms
    whole = train_heads(lambda head: world.trainer(head, 60), 2, lambda: None)
    path = tmp_path / "[map].checkpoint"  # a name that is a pattern, too

    def interrupt(progress) -> None:
        if progress.step >= 100:
            raise KeyboardInterrupt

    def heads(on_progress, *, resume):
        checkpoint = TrainingCheckpoint(path, "mine", resume=resume)
        trained = train_heads(
            lambda head: world.trainer(head, 60), 2, lambda: None, on_progress, checkpoint
        )
        return trained, checkpoint

    with pytest.raises(KeyboardInterrupt):
        heads(interrupt, resume=False)
    told = []
    resumed, checkpoint = heads(told.append, resume=True)
    assert [progress.step for progress in told] == [120]  # nothing of the first head again
    assert resumed.steps == whole.steps == 120
    for one, other in zip(whole.heads, resumed.heads, strict=True):
        for name, tensor in one.state_dict().items():
            assert torch.allclose(other.state_dict()[name], tensor, atol=1e-5), name
    # anew: nothing of what lies there is gone on from, then or later
    with pytest.raises(KeyboardInterrupt):
        heads(lambda progress: interrupt(progress._replace(step=100)), resume=False)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    checkpoint.remove()
    assert not list(tmp_path.iterdir())


def test_build_map_goes_on_in_the_head_that_was_interrupted(tmp_path, monkeypatch, capsys):
    take_step = MapTrainer._take_step
    steps = []

    def ctrl_c_in_the_second_head(trainer):
        steps.append(trainer.config.seed)
        if steps == [0, 0, 0, 1, 1]:
            raise KeyboardInterrupt
        return take_step(trainer)

    words = arguments(
        write_wall(tmp_path / "wall", 24), tmp_path / "map.glace", "--iterations", 3,
        "--global-encoder", "none", "--landmarks", 0, "--ensemble", 2,
    )  # fmt: skip
    monkeypatch.setattr(MapTrainer, "_take_step", ctrl_c_in_the_second_head)
    assert build_map(words) == 130
    assert "--resume" in capsys.readouterr().err
    assert (tmp_path / "map.glace.checkpoint.head1").is_file()
    assert build_map([*words, "--resume"]) in (0, 3)
    assert steps == [0, 0, 0, 1, 1, 1, 1]  # the interrupted one once more
    scene_map = SceneMap.load(tmp_path / "map.glace")
    assert (len(scene_map.heads), scene_map.metadata.training["steps"]) == (2, 6)
    assert "2 heads" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.glace", "wall"]


# --- the file ---


def ensemble_of(heads: int) -> SceneMap:
    """Of untrained heads, each another."""
    plain = tiny_map()
    others = [CoordinateHead(plain.metadata.head).rounded() for _ in range(heads - 1)]
    return SceneMap(replace(plain.metadata, heads=heads), [*plain.heads, *others], None)


def saved(scene_map: SceneMap, folder) -> bytes:
    scene_map.save(folder / "map.glace")
    return (folder / "map.glace").read_bytes()


def test_a_file_of_one_head_is_as_it_was_before_there_were_ensembles(tmp_path):
    header, tensors = taken_apart(saved(tiny_map(), tmp_path))
    assert "heads" not in header
    assert header["version"] == 1
    names = hashlib.sha256("\n".join(sorted(tensors)).encode()).hexdigest()
    assert names.startswith("83fda79161b58c29")
    assert SceneMap.load(tmp_path / "map.glace").metadata.heads == 1


def test_an_ensemble_comes_back_to_the_bit(tmp_path):
    scene_map = ensemble_of(3)
    _, tensors = taken_apart(saved(scene_map, tmp_path))
    assert {name.split(".")[0] for name in tensors} == {"head", "head1", "head2"}
    again = SceneMap.load(tmp_path / "map.glace")
    points_hn3 = scene_map.points(descriptors(), None)
    assert points_hn3.shape == (3, 50, 3)
    assert torch.equal(again.points(descriptors(), None), points_hn3)
    alone = SceneMap(tiny_map().metadata, again.heads[2:], None)
    assert torch.equal(alone.points(descriptors(), None)[0], points_hn3[2])
    assert again.map_id == scene_map.map_id != tiny_map().map_id
    assert again.metadata == scene_map.metadata


def test_heads_that_the_metadata_do_not_know_of_are_a_mistake():
    with pytest.raises(ValueError, match="2 heads where the metadata say 1"):
        SceneMap(tiny_map().metadata, ensemble_of(2).heads, None)


@pytest.mark.parametrize(
    "heads", [0, -1, 1, 3, MOST_HEADS, MOST_HEADS + 1, 10**12, 2.0, True, "2", None, [2]]
)
def test_another_number_of_heads_than_there_are_is_refused(tmp_path, heads):
    header, tensors = taken_apart(saved(ensemble_of(2), tmp_path))
    data = resigned({**header, "heads": heads}, tensors)
    assert "damaged" in refused_bytes(tmp_path, data)


@pytest.mark.parametrize("name", ["head2.fc1.weight", "head01.fc1.bias", "head1", "tail.weight"])
def test_a_tensor_of_no_head_is_refused(tmp_path, name):
    header, tensors = taken_apart(saved(ensemble_of(2), tmp_path))
    data = resigned(header, {**tensors, name: torch.zeros(3)})
    assert f"the tensor {name} belongs to no part" in refused_bytes(tmp_path, data)


def test_a_head_that_lacks_a_tensor_or_has_another_shape_is_refused(tmp_path):
    header, tensors = taken_apart(saved(ensemble_of(2), tmp_path))
    lacking = {name: part for name, part in tensors.items() if name != "head1.fc1.bias"}
    assert "damaged" in refused_bytes(tmp_path, resigned(header, lacking))
    tensors["head1.fc1.bias"] = torch.zeros(7)
    assert "damaged" in refused_bytes(tmp_path, resigned(header, tensors))


def test_so_many_heads_of_a_huge_network_are_refused_before_they_are_made(tmp_path):
    """One of them alone would be of a size that is taken."""
    header, tensors = taken_apart(saved(ensemble_of(2), tmp_path))
    header = {**header, "heads": MOST_HEADS, "head": {**header["head"], "width": 3000}}
    assert "impossible size" in refused_bytes(tmp_path, resigned(header, tensors))
