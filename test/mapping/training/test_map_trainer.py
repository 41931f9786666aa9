"""Training recovers a known world, goes on where it was interrupted, and stops where it cannot."""

import resource

import numpy as np
import pytest
import torch
from support.core_scenes import CAMERA, buffer_of, ring_of_views, seen_points, unit_rows
from support.told_world import CPU, POINTS, STEPS, TARGET_3, VIEWS, World

from glace_ros.errors import MappingError
from glace_ros.mapping.resume.training_checkpoint import TrainingCheckpoint
from glace_ros.mapping.training.map_trainer import MapTrainer
from glace_ros.mapping.training.map_trainer_config import MapTrainerConfig, OpenEndConfig
from glace_ros.mapping.training.schedule import OpenEnd, one_cycle
from glace_ros.maps.coordinate_head import CoordinateHeadConfig


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(autouse=True, scope="module")
def always_float32():
    """A clock decides whether bfloat16 pays; a busy machine must not decide about a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "glace_ros.mapping.training.map_trainer.faster_dtype", lambda *_: torch.float32
        )
        yield


def test_points_are_regressed_from_pixels_and_poses_alone(world):
    """No point is told: reprojection from eight views is all there is."""
    trainer = world.trainer()
    errors_m = world.errors_m(trainer.train(None))
    assert np.median(errors_m) < 0.05
    assert np.mean(errors_m < 0.2) > 0.85
    assert trainer.step == STEPS
    assert world.errors_m(world.trainer().head).min() > 0.5  # the untrained head knows nothing


def test_descriptors_of_no_unit_norm_are_trained_on_as_they_are():
    """512 numbers, as long as ACE's may be, and no scale to unit variance."""
    rng = np.random.default_rng(0)
    points_n3, codes_nC = TARGET_3 + rng.uniform(-1, 1, (POINTS, 3)), unit_rows(rng, POINTS, 512)
    poses = ring_of_views(VIEWS, 4.0, TARGET_3, arc_rad=1.5)
    views = []
    for pose in poses:
        seen = seen_points(points_n3, codes_nC, pose, rng, code_noise=0.1)
        views.append((seen._replace(descriptors_nC=95.0 * seen.descriptors_nC), pose))
    origin_3 = np.mean([pose.translation_3 for pose in poses], axis=0)
    head = CoordinateHeadConfig(512, global_channels=0, width=64, scaled_inputs=False)
    trainer = MapTrainer(
        MapTrainerConfig(batch=192, learning_rate=5e-3, iterations=STEPS, seed=3),
        buffer_of(views, origin_3), None, 0.0, head, torch.zeros(1, 3), CPU,
    )  # fmt: skip
    trained = trainer.train(None).eval()
    with torch.inference_mode():
        found_n3 = trained(95.0 * torch.from_numpy(codes_nC).float()).numpy()
    errors_m = np.linalg.norm(found_n3 + origin_3 - points_n3, axis=1)
    assert np.median(errors_m) < 0.05


def test_triangulated_points_and_no_global_code_work_as_well(world):
    head = world.trainer(world.told_buffer, with_code=False, iterations=150).train(None)
    assert np.median(world.errors_m(head)) < 0.05


def test_the_seed_decides(world):
    def weights(seed: int) -> torch.Tensor:
        return world.trainer(seed=seed, iterations=5).train(None).fc3.weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_in_bfloat16_it_still_learns(world, monkeypatch):
    monkeypatch.setattr(
        "glace_ros.mapping.training.map_trainer.faster_dtype", lambda *_: torch.bfloat16
    )
    losses = []
    trainer = world.trainer(iterations=40, batch=64)
    trainer.train(None, lambda progress: losses.append(progress.loss))
    assert losses[-1] < losses[0]
    assert trainer.head.fc1.weight.dtype == torch.float32


def test_one_cycle_warms_up_and_falls_to_nothing():
    rates = [one_cycle(t, 5e-3, 0.3) for t in np.linspace(0, 1, 101)]
    assert rates[0] == pytest.approx(2e-4)
    assert rates[30] == pytest.approx(5e-3)
    assert rates[100] == pytest.approx(2e-8)
    assert np.argmax(rates) == 30
    assert (np.diff(rates[:31]) > 0).all()
    assert (np.diff(rates[30:]) < 0).all()


def test_progress_is_reported_and_reaches_the_end(world):
    told = []
    world.trainer(iterations=40).train(None, told.append)
    assert [progress.step for progress in told] == [20, 40]
    assert [progress.done for progress in told] == pytest.approx([0.5, 1.0])
    assert all(0 <= progress.inlier_ratio <= 1 for progress in told)


def test_a_clock_ends_training_whatever_the_iterations(world):
    trainer = world.trainer(iterations=10**9)
    trainer.train(seconds=0.3)
    assert trainer.done == 1.0
    assert 1 <= trainer.step < 10**6


def gains_until(looks: int, asked: list[int], trainer: MapTrainer):
    """What validation says: so many looks find the head better than before."""

    def still_gains() -> bool:
        asked.append(trainer.step)
        return len(asked) <= looks

    return still_gains


def test_training_ends_when_validation_no_longer_gains(world):
    """Looks at 10, 20, 30, 45: the last one finds nothing more, and half as many steps follow."""
    steps = OpenEndConfig(warm_up_steps=5, first_look=10, second_look=20)
    trainer, asked, rates = world.trainer(open_end=steps), [], []
    step = trainer._optimizer.step
    trainer._optimizer.step = lambda rate: (step(rate), rates.append(rate))[0]
    trainer.train(3600.0, still_gains=gains_until(3, asked, trainer))
    assert asked == [10, 20, 30, 45]
    assert trainer.step == 68
    assert trainer.done == 1.0
    peak = trainer.config.learning_rate
    assert rates[5:45] == pytest.approx([peak] * 40)
    assert np.all(np.diff(rates[45:]) < 0)
    assert rates[-1] < 0.05 * peak


def test_the_minutes_bound_a_training_that_always_gains():
    """The clock: cooling begins in time to end in time."""
    open_end = OpenEnd(OpenEndConfig(), 0.3, seconds=90.0, still_gains=lambda: True)
    done = [open_end.done(step, elapsed_s=0.1 * step) for step in range(1, 901)]
    assert done[599] == pytest.approx(0.3)
    assert done[700] > 0.3
    assert done[-1] == pytest.approx(1.0)
    assert done[-2] < 1.0
    # a machine that gets slower while it cools down
    slower = OpenEnd(OpenEndConfig(), 0.3, seconds=90.0, still_gains=lambda: True)
    slower.done(600, 61.0)
    assert slower.done(610, 90.0) == 1.0


def test_progress_of_an_open_end_is_of_what_it_takes_at_least():
    open_end = OpenEnd(OpenEndConfig(first_look=400), 0.3, 1e6, still_gains=lambda: True)
    assert open_end.ratio(300) == pytest.approx(0.5)  # 400, and 200 to cool down
    open_end.done(400, 1.0)
    assert open_end.ratio(450) == pytest.approx(0.5)  # 600 and 300 now


def test_an_interrupted_training_with_an_open_end_goes_on_to_the_same_end(world, tmp_path):
    """Also while it cools down; a look that was taken is not taken again."""
    steps = OpenEndConfig(warm_up_steps=5, first_look=30, second_look=45)
    whole, asked = world.trainer(open_end=steps), []
    whole.train(3600.0, still_gains=gains_until(1, asked, whole))
    assert (asked, whole.step) == ([30, 45], 68)
    for stop in (40, 60):
        checkpoint = TrainingCheckpoint(tmp_path / f"{stop}.checkpoint", "mine", resume=True)
        cut, cut_asked = world.trainer(open_end=steps), []
        with pytest.raises(KeyboardInterrupt):
            cut.train(3600.0, interrupt_at(stop), checkpoint, gains_until(1, cut_asked, cut))
        resumed = world.trainer(open_end=steps)
        looks = gains_until(1 - len(cut_asked), again := [], resumed)
        resumed.train(3600.0, lambda _: None, checkpoint, looks)
        assert cut_asked + again == asked
        assert torch.equal(resumed.head.fc3.weight, whole.head.fc3.weight)


def interrupt_at(step: int):
    """An on_progress as Ctrl-C in the middle of training."""

    def on_progress(progress) -> None:
        if progress.step >= step:
            raise KeyboardInterrupt

    return on_progress


def test_an_interrupted_training_goes_on_to_the_same_end(world, tmp_path):
    """Weights, optimiser, random state and schedule: all of it, to the last bit."""
    whole = world.trainer(iterations=80).train(None)
    path = tmp_path / "map.checkpoint"
    checkpoint = TrainingCheckpoint(path, "mine", resume=False)
    with pytest.raises(KeyboardInterrupt):
        world.trainer(iterations=80).train(None, interrupt_at(40), checkpoint)
    resumed, steps = world.trainer(iterations=80), []
    checkpoint = TrainingCheckpoint(path, "mine", resume=True)
    resumed.train(None, lambda progress: steps.append(progress.step), checkpoint)
    assert steps == [60, 80]  # not from 20 again
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(resumed.head.state_dict()[name], tensor, atol=1e-5), name


@pytest.fixture(scope="module")
def checkpoint_bytes(world, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "map.checkpoint"
    trainer = world.trainer()
    with pytest.raises(KeyboardInterrupt):
        trainer.train(None, interrupt_at(20), TrainingCheckpoint(path, "mine", resume=False))
    return path.read_bytes()


def test_without_resume_training_starts_anew(world, checkpoint_bytes, tmp_path):
    path = tmp_path / "map.checkpoint"
    path.write_bytes(checkpoint_bytes)
    trainer = world.trainer()
    assert not TrainingCheckpoint(path, "mine", resume=False).load(trainer)
    assert trainer.step == 0
    assert not TrainingCheckpoint(tmp_path / "none", "mine", resume=True).load(trainer)
    assert TrainingCheckpoint(path, "mine", resume=True).load(trainer)
    assert trainer.step == 20


def test_a_checkpoint_of_another_bag_or_other_settings_is_refused(
    world, checkpoint_bytes, tmp_path
):
    path = tmp_path / "map.checkpoint"
    path.write_bytes(checkpoint_bytes)
    with pytest.raises(MappingError, match=r"another bag or scene, other settings.*--resume"):
        TrainingCheckpoint(path, "other", resume=True).load(world.trainer())


def without_progress(data: bytes) -> bytes:
    """Where it stands is an empty list: JSON, but not what is asked for."""
    start = data.index(b'{\\"step')
    end = data.index(b"}", start) + 1
    return data[:start] + b"[]".ljust(end - start) + data[end:]


@pytest.mark.parametrize("damage", ["cut", "empty", "png", "progress", "shape"])
def test_a_damaged_checkpoint_is_refused_in_one_sentence(world, checkpoint_bytes, tmp_path, damage):
    path = tmp_path / "map.checkpoint"
    damaged = {
        "cut": checkpoint_bytes[: len(checkpoint_bytes) // 2],
        "empty": b"",
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "progress": without_progress(checkpoint_bytes),
        "shape": checkpoint_bytes,
    }[damage]
    path.write_bytes(damaged)
    trainer = world.trainer(with_code=damage != "shape")
    with pytest.raises(MappingError, match=r"damaged.*--resume") as caught:
        TrainingCheckpoint(path, "mine", resume=True).load(trainer)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 6


def test_a_checkpoint_that_cannot_be_written_is_named(world, tmp_path):
    checkpoint = TrainingCheckpoint(tmp_path / "no" / "such" / "file", "mine", resume=False)
    with pytest.raises(MappingError, match="cannot be written"):
        checkpoint.save(world.trainer())


def test_on_a_full_disk_the_last_checkpoint_stays(world, checkpoint_bytes, tmp_path):
    path = tmp_path / "map.checkpoint"
    path.write_bytes(checkpoint_bytes)
    trainer = world.trainer()
    trainer.step = 77
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(MappingError, match="cannot be written.*--resume") as caught:
            TrainingCheckpoint(path, "mine", resume=False).save(trainer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 6
    assert [file.name for file in tmp_path.iterdir()] == ["map.checkpoint"]
    assert TrainingCheckpoint(path, "mine", resume=True).load(trainer)
    assert trainer.step == 20


def gpu_with_room_for(samples: int):
    """MapTrainer._loss on a GPU whose memory is full beyond so many samples."""
    loss = MapTrainer._loss

    def limited(trainer, index_n, descriptors_nG):
        if len(index_n) > samples:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return loss(trainer, index_n, descriptors_nG)

    return limited


def test_a_gpu_without_memory_takes_smaller_parts_of_the_same_batches(world, monkeypatch, caplog):
    whole = world.trainer(batch=512, iterations=5).train(None)
    monkeypatch.setattr(MapTrainer, "_loss", gpu_with_room_for(150))
    parts = world.trainer(batch=512, iterations=5).train(None)
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(parts.state_dict()[name], tensor, atol=1e-4), name
    said = [record.getMessage() for record in caplog.records]
    assert [line.endswith("4 parts") for line in said] == [False, True]
    assert "memory is full" in said[1]


def test_a_gpu_without_any_memory_is_no_endless_loop(world, monkeypatch):
    monkeypatch.setattr(MapTrainer, "_loss", gpu_with_room_for(0))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        world.trainer().train(None)


def test_a_finished_training_removes_its_checkpoint(checkpoint_bytes, tmp_path):
    path = tmp_path / "map.checkpoint"
    path.write_bytes(checkpoint_bytes)
    checkpoint = TrainingCheckpoint(path, "mine", resume=True)
    checkpoint.remove()
    assert not path.exists()
    checkpoint.remove()  # twice is no error


def test_a_loss_that_is_no_number_stops_training():
    broken = World()
    broken.buffer.samples.pixels_n2[:, 0] = float("nan")
    broken.buffer.camera_from_map_v34[:] = float("nan")
    with pytest.raises(MappingError, match="no longer finite at step 20"):
        broken.trainer().train(None)


def test_the_world_is_what_it_claims(world):
    """The truth of the tests above: pixels are those of the points."""
    observed = world.told_buffer.observations(torch.arange(POINTS))
    pose_n3 = (
        torch.einsum("nij,nj->ni", observed.camera_from_map_n34[:, :, :3], observed.points_n3)
        + observed.camera_from_map_n34[:, :, 3]
    )
    assert np.allclose(CAMERA.project(pose_n3.numpy()), observed.pixels_n2.numpy(), atol=0.01)
