"""Two processes train one map as one process with the same batches would."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from support.small_builds import arguments, write_wall
from support.told_world import VIEWS, World

from glace_ros.device import choose_device
from glace_ros.errors import MappingError
from glace_ros.features.local_features import LocalFeatures
from glace_ros.mapping.share_exchange import exchange_features, gather_triangulated
from glace_ros.mapping.training import map_trainer
from glace_ros.mapping.views.feature_buffer import FeatureBuffer
from glace_ros.mapping.views.mapping_views import MappingView, MappingViews, Samples
from glace_ros.ranks import Ranks

RANKS = 2


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def in_two_processes(work, *arguments) -> None:
    """work(ranks, *arguments) in each, as torchrun would start it."""
    port = free_port()
    torch.multiprocessing.start_processes(
        _start, (work, port, arguments), nprocs=RANKS, start_method="spawn"
    )


def _start(rank: int, work, port: int, arguments) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": str(RANKS), "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    map_trainer.faster_dtype = lambda *_: torch.float32
    ranks = Ranks.join(torch.device("cpu"))
    assert (ranks.rank, ranks.count) == (rank, RANKS)
    work(ranks, *arguments)
    ranks.leave()


def share_of(world: World, ranks: Ranks) -> FeatureBuffer:
    """Of the world's samples those that are of this rank's views."""
    samples = world.buffer.samples
    own_n = samples.view_n % ranks.count == ranks.rank
    return FeatureBuffer(
        Samples(*(tensor[own_n] for tensor in samples)),
        world.buffer.views, world.buffer.origin_3, torch.device("cpu"),
    )  # fmt: skip


def curve(trainer) -> list[float]:
    """Loss every 20 steps."""
    losses: list[float] = []
    trainer.train(None, lambda progress: losses.append(progress.loss))
    return losses


def _train(ranks: Ranks, folder) -> None:
    world = World()
    trainer = world.trainer(share_of(world, ranks), ranks=ranks)
    losses = curve(trainer)
    found = {"losses": torch.tensor(losses)}
    found |= trainer.head.state_dict()
    # one step on the batch that all ranks draw together
    trainer = world.trainer(share_of(world, ranks), ranks=ranks)
    rows = trainer._draw()
    trainer._draw = lambda: rows
    samples = trainer._buffer.samples
    found |= {"view_n": samples.view_n[rows], "pixels_n2": samples.pixels_n2[rows]}
    trainer._sigma = 0.0
    trainer._take_step()
    gradients = {f"gradient.{n}": p.grad for n, p in trainer.head.named_parameters()}
    # of an ensemble each head has its own views, of which either rank has some
    part = world.trainer(
        share_of(world, ranks), ranks=ranks, of_view_v=np.arange(VIEWS) < VIEWS // 2
    )
    found["part_view_n"] = part._buffer.samples.view_n[part._draw()]
    try:
        world.trainer(share_of(world, ranks), ranks=ranks, of_view_v=np.arange(VIEWS) == 1)
    except MappingError as error:
        found["refused"] = str(error)
    # the first rank's clock decides for both
    timed = world.trainer(share_of(world, ranks), ranks=ranks, iterations=10**9)
    if ranks.rank == 1:  # the slower one
        timed._take_step = lambda: (time.sleep(0.002), type(timed)._take_step(timed))[1]
    timed.train(seconds=1.5 if ranks.rank == 0 else 1e6)
    found["timed_steps"] = torch.tensor(timed.step)
    torch.save(found | gradients, folder / f"{ranks.rank}.pt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(what the two ranks found, the world)."""
    folder = tmp_path_factory.mktemp("ranks")
    in_two_processes(_train, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)], World()


@pytest.fixture(autouse=True, scope="module")
def always_float32():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "glace_ros.mapping.training.map_trainer.faster_dtype", lambda *_: torch.float32
        )
        yield


@pytest.mark.slow
def test_the_loss_curve_is_that_of_one_process(trained):
    ranks, world = trained
    two = np.mean([rank["losses"].numpy() for rank in ranks], axis=0)
    alone = np.array([curve(world.trainer(seed=seed)) for seed in (3, 4, 5)])
    assert two.shape == alone[0].shape
    # noise: what other seeds do, at the single steps that are reported
    assert (
        np.abs(np.log(two / alone.mean(axis=0))).mean()
        < 2 * np.abs(np.log(alone / alone.mean(axis=0))).mean() + 0.05
    )
    assert two[-1] < 0.2 * two[0]


@pytest.mark.slow
def test_the_gradient_is_that_of_both_batches_together(trained):
    ranks, world = trained
    trainer = world.trainer()
    samples = trainer._buffer.samples
    rows = []
    for rank in ranks:
        for view, pixel_2 in zip(rank["view_n"], rank["pixels_n2"], strict=True):
            same_n = (samples.view_n == view) & (samples.pixels_n2 == pixel_2).all(dim=1)
            rows.append(int(torch.nonzero(same_n)[0]))
    assert len(rows) == trainer.config.batch
    trainer._draw = lambda: torch.tensor(rows)
    trainer._sigma = 0.0
    trainer._take_step()
    for name, parameter in trainer.head.named_parameters():
        gradient = ranks[0][f"gradient.{name}"]
        assert torch.equal(gradient, ranks[1][f"gradient.{name}"])
        scale = parameter.grad.abs().max()
        assert torch.allclose(gradient, parameter.grad, atol=1e-4 * float(scale)), name


@pytest.mark.slow
def test_both_end_with_the_same_network_which_knows_the_world(trained):
    ranks, world = trained
    trainer = world.trainer()
    names = list(trainer.head.state_dict())
    for name in names:
        assert torch.equal(ranks[0][name], ranks[1][name]), name
    trainer.head.load_state_dict({name: ranks[0][name] for name in names})
    assert np.median(world.errors_m(trainer.head)) < 0.05


@pytest.mark.slow
def test_both_draw_for_a_head_from_its_own_views_or_both_refuse(trained):
    ranks, _ = trained
    views = [set(rank["part_view_n"].tolist()) for rank in ranks]
    assert views == [{0, 2}, {1, 3}]
    assert all("start fewer processes" in rank["refused"] for rank in ranks)  # view 1 is of rank 1


@pytest.mark.slow
def test_one_clock_decides_for_both(trained):
    ranks, _ = trained
    steps = [int(rank["timed_steps"]) for rank in ranks]
    assert steps[0] == steps[1] > 3


def _exchange(ranks: Ranks, folder) -> None:
    """Each rank has patches of its own views alone, and of more views than go at once."""
    rng = np.random.default_rng(0)
    views, everything = MappingViews(64, 2, patches=9, max_bytes=10**7), []
    for view in range(600):
        count = int(rng.integers(0, 12))
        features = LocalFeatures(
            torch.from_numpy(rng.normal(size=(count, 64))).half(),
            torch.from_numpy(rng.normal(size=(count, 2))).float(),
            torch.from_numpy(rng.uniform(size=count)).float(),
        )
        everything.append(features)
        nothing = features.head(0)
        own = [features, features] if ranks.owns(view) else [nothing, nothing]
        pose = ring_pose(view)
        views.append(MappingView(own[0], pose, torch.full((4,), 100.0)), own[1:])
    exchange_features(views, ranks, max_bytes=10**7)
    for view, features in enumerate(everything):
        for found, expected in zip(views.features(view), features.head(9), strict=True):
            assert torch.equal(found, expected), view
    views.forget_lent()
    exchange_features(views, ranks, max_bytes=600 * 4 * 140)
    assert max(len(views.features(v).scores_n) for v in range(600) if not ranks.owns(v)) == 4
    views.forget_lent()
    assert not any(len(views.features(v).scores_n) for v in range(600) if not ranks.owns(v))
    placed = gather_triangulated(share_of_told_world(ranks), ranks, most=10**6, seed=0)
    torch.save([*placed.samples], folder / f"placed{ranks.rank}.pt")


def ring_pose(view: int):
    from glace_ros.geometry.pose import Pose

    return Pose.from_planar(0.1 * view, 0.0, 0.0)


def share_of_told_world(ranks: Ranks) -> FeatureBuffer:
    world = World()
    world.buffer = world.told_buffer
    return share_of(world, ranks)


@pytest.mark.slow
def test_shares_are_exchanged_for_triangulation_and_landmarks(tmp_path):
    in_two_processes(_exchange, tmp_path)
    told = World().told_buffer.samples
    found = [Samples(*torch.load(tmp_path / f"placed{rank}.pt")) for rank in range(RANKS)]
    for samples in found:
        order_n = torch.argsort(samples.view_n, stable=True)
        for tensor, expected in zip(samples, told, strict=True):
            assert torch.equal(tensor[order_n], expected)
    assert sorted(set(found[0].view_n.tolist())) == list(range(VIEWS))


@pytest.mark.slow
def test_torchrun_makes_the_map_that_one_process_makes(tmp_path):
    """Half of the memory each. The codes are of all images, the landmarks of all points. An
    ensemble's heads train on both processes' shares of their views.
    """
    wall, short = write_wall(tmp_path / "wall", 120), write_wall(tmp_path / "short", 60)
    alone = ["-m", "glace_ros.cli"]
    together = ["-m", "torch.distributed.run", "--nproc-per-node", str(RANKS)]
    together += ["--master-addr", "127.0.0.1", "--master-port", str(free_port()), *alone]
    metrics = []
    two_heads = "--ensemble", 2, "--iterations", 60
    runs = (
        (alone, wall, "0.008"),
        (together, wall, "0.004"),
        (together, short, "0.004", *two_heads),
    )
    for program, bag, buffer_gb, *more in runs:
        output = tmp_path / f"{len(metrics)}.glace"
        words = arguments(bag, output, "--json", tmp_path / "figures.json", *more)
        words[words.index("--buffer-gb") + 1] = buffer_gb
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        finished = subprocess.run(
            [sys.executable, *program, "build_map", *words],
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr
        metrics.append(json.loads((tmp_path / "figures.json").read_text()))
        assert finished.stdout.count("held-out blocks") == 1  # rank 0 alone speaks
        assert sorted(path.name for path in tmp_path.glob("*.glace*"))[-1] == output.name
    one, two, ensemble = metrics
    assert (ensemble["heads"], ensemble["steps"]) == (2, 120)
    assert ensemble["mapping_frames"] == 54
    assert ensemble["median_translation_m"] < 0.02
    assert two["mapping_frames"] == one["mapping_frames"]
    assert two["steps"] == one["steps"]
    assert two["points_share"] == pytest.approx(one["points_share"], abs=0.03)
    assert two["landmarks"] == pytest.approx(one["landmarks"], rel=0.1)
    assert two["codes"]["auc"] == pytest.approx(one["codes"]["auc"], abs=0.02)
    assert two["median_translation_m"] < 0.02
    assert two["recall"]["5cm_5deg"] == pytest.approx(one["recall"]["5cm_5deg"], abs=0.1)


def test_a_process_alone_needs_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks = Ranks.join(torch.device("cpu"))
    assert (ranks.rank, ranks.count, ranks.share(7)) == (0, 1, 7)
    assert ranks.from_first("x") == "x"
    assert ranks.owns(5)
    assert [Ranks(rank, 3).share(8) for rank in range(3)] == [3, 3, 2]


def test_each_process_of_a_machine_takes_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda:3")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.delenv("LOCAL_RANK")
    assert choose_device("auto") == torch.device("cuda")
