"""What was encoded once is found again, and nothing that goes wrong on disk ends a build."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from support.core_scenes import CAMERA, patchwork, rgb, ring_of_views

from glace_ros.features.local_features import LocalFeatures
from glace_ros.features.xfeat_encoder import XFeatEncoder
from glace_ros.mapping.views import feature_cache
from glace_ros.mapping.views.augmentation import AugmentationConfig
from glace_ros.mapping.views.encoded_views import EncodedViews
from glace_ros.mapping.views.feature_buffer import FeatureBufferConfig
from glace_ros.mapping.views.feature_cache import EncodedImage, FeatureCache
from glace_ros.mapping.views.mapping_views import sample_bytes
from glace_ros.recording.posed_images import PosedImage

CPU = torch.device("cpu")


def encoded(seed: int, patches: int = 20, code: bool = False) -> EncodedImage:
    """As an encoder gives it: a view and an augmented one."""
    make = torch.Generator().manual_seed(seed)
    copies = [
        LocalFeatures(
            torch.randn(count, 64, generator=make).half(),
            torch.rand(count, 2, generator=make),
            torch.rand(count, generator=make),
        )
        for count in (patches, patches // 2 + seed % 3)
    ]
    code_G = torch.randn(8, generator=make) if code else None
    return EncodedImage(copies, torch.rand(4, generator=make), code_G, 0.25)


def opened(folder: Path, *keys: str, max_bytes: int = 1 << 30) -> FeatureCache:
    return FeatureCache(folder, keys or ("monday",), max_bytes)


def fill(cache: FeatureCache, drive: int, first: int, last: int, **kind) -> None:
    for index in range(first, last):
        cache.add(drive, index, 1000 + index, encoded(100 * drive + index, **kind))
    cache.write()


def found(cache: FeatureCache, drive: int, last: int) -> list[int]:
    """Which of the images are there, and as they were."""
    there = []
    for index in range(last):
        image = cache.find(drive, index, 1000 + index)
        if image is not None:
            there.append(index)
            expected = encoded(100 * drive + index, code=image.descriptor_G is not None)
            for copy, same in zip(image.copies, expected.copies, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(copy, same, strict=True))
                assert copy.descriptors_nC.dtype == torch.float16
            assert torch.equal(image.intrinsics_4, expected.intrinsics_4)
            if image.descriptor_G is not None:
                assert torch.equal(image.descriptor_G, expected.descriptor_G)
            assert image.seconds == 0.25
    return there


@pytest.fixture
def small_files(monkeypatch):
    """A file for every other image."""
    monkeypatch.setattr(feature_cache, "_FILE_BYTES", 5000)


@pytest.mark.parametrize("code", [False, True])
def test_what_was_encoded_is_found_by_the_next_build(tmp_path, small_files, code):
    cache = opened(tmp_path, "monday", "tuesday")
    fill(cache, 0, 0, 7, code=code)
    fill(cache, 1, 0, 4, code=code)
    assert len(list((tmp_path / "monday").iterdir())) == 4
    again = opened(tmp_path, "tuesday", "monday")  # the order of drives does not matter
    assert again.find(1, 6, 1006) is not None
    cache = opened(tmp_path, "monday", "tuesday")
    assert (found(cache, 0, 9), found(cache, 1, 9)) == (list(range(7)), list(range(4)))
    assert cache.found == {0: 7, 1: 4}
    assert cache.notes == []


def test_another_image_at_its_place_is_not_taken_for_it(tmp_path):
    fill(opened(tmp_path), 0, 0, 3)
    cache = opened(tmp_path)
    assert cache.find(0, 1, 1002) is None
    assert cache.find(0, 3, 1003) is None
    assert opened(tmp_path, "tuesday").find(0, 1, 1001) is None


def test_nothing_is_made_where_nothing_is_kept(tmp_path):
    cache = opened(tmp_path / "features")
    assert cache.find(0, 0, 0) is None
    cache.write()
    assert not (tmp_path / "features").exists()


def test_a_build_that_was_interrupted_leaves_what_it_has_done(tmp_path, small_files):
    """The next one adds what is missing, though it begins in the middle of a file."""
    fill(opened(tmp_path), 0, 0, 4)
    cache = opened(tmp_path)
    fill(cache, 0, 3, 9)
    assert found(opened(tmp_path), 0, 12) == list(range(9))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-50] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def of_others(file: Path) -> None:
    file.write_bytes(b"no safetensors at all, whatever it is called")


@pytest.mark.parametrize("damage", [cut, flip, empty, of_others])
def test_a_damaged_file_is_said_passed_over_and_written_again(tmp_path, small_files, damage):
    fill(opened(tmp_path), 0, 0, 6)
    file = tmp_path / "monday" / "00000002.safetensors"
    damage(file)
    cache = opened(tmp_path)
    assert found(cache, 0, 6) == [0, 1, 4, 5]
    assert cache.notes == [f"the features in {file} are damaged, and encoded anew"]
    fill(cache, 0, 2, 4)
    cache = opened(tmp_path)
    assert found(cache, 0, 6) == list(range(6))
    assert cache.notes == []


def test_drives_that_were_not_used_for_the_longest_time_make_way(tmp_path):
    for age, key in enumerate(("old", "older", "oldest")):
        fill(opened(tmp_path, key), 0, 0, 5)
        os.utime(tmp_path / key, (10**9 - age, 10**9 - age))
    (size,) = [file.stat().st_size for file in (tmp_path / "old").iterdir()]
    assert found(opened(tmp_path, "oldest"), 0, 5)  # used just now
    cache = opened(tmp_path, "new", max_bytes=round(3.5 * size))
    fill(cache, 0, 0, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old", "oldest"]
    assert cache.notes == []


def test_a_build_keeps_what_fits_and_never_throws_out_its_own(tmp_path, small_files):
    cache = opened(tmp_path, "monday", "tuesday", max_bytes=40_000)
    fill(cache, 0, 0, 4)
    fill(cache, 1, 0, 8)
    (note,) = cache.notes
    assert "not all features fit into --features-cache-gb" in note
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors")) <= 40_000
    cache = opened(tmp_path, "monday", "tuesday")
    assert found(cache, 0, 4) == list(range(4))
    assert 0 < len(found(cache, 1, 8)) < 8


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path, small_files):
    (tmp_path / "features").write_text("a file")
    cache = opened(tmp_path / "features")
    fill(cache, 0, 0, 8)
    (note,) = cache.notes
    assert "cannot be kept in" in note
    assert found(cache, 0, 8) == []


def test_two_builds_at_once_do_not_disturb_each_other(tmp_path, small_files):
    first, second = opened(tmp_path), opened(tmp_path)
    for index in range(8):
        for cache in (first, second):
            cache.add(0, index, 1000 + index, encoded(index))
    for cache in (first, second):
        cache.write()
    assert found(opened(tmp_path), 0, 8) == list(range(8))
    assert list((tmp_path / "monday").glob("*.partial")) == []


def test_what_another_build_takes_away_is_encoded_again(tmp_path, small_files):
    fill(opened(tmp_path), 0, 0, 6)
    cache = opened(tmp_path)
    assert cache.find(0, 0, 1000) is not None
    for file in (tmp_path / "monday").iterdir():
        file.unlink()
    (tmp_path / "monday").rmdir()
    assert cache.find(0, 4, 1004) is None
    assert cache.notes == []
    fill(cache, 0, 4, 6)
    assert found(opened(tmp_path), 0, 6) == [4, 5]


# --- views that are encoded, and found ---


@pytest.fixture(scope="module")
def encoder():
    return XFeatEncoder(CPU)


def drive(number: int, images: int) -> list[PosedImage]:
    around = ring_of_views(images, 4.0, np.array([2.0, -1.0, 1.0]), arc_rad=0.5)
    return [
        PosedImage(index, rgb(patchwork(128, 96, seed=50 * number + index)), CAMERA, pose)
        for index, pose in enumerate(around)
    ]


def views_of(encoder, drives, cache=None, patches: int = 30, max_bytes: int = 1 << 30):
    config = FeatureBufferConfig(patches=patches, max_bytes=max_bytes)
    collected = EncodedViews(encoder, config, AugmentationConfig(views=1), seed=3)
    collected.cache = cache
    for number, images in enumerate(drives):
        for image in images:
            collected.add(
                PosedImage(
                    image.stamp_ns, image.image_rgb_hwc, image.camera, image.map_from_camera, number
                )
            )
    if cache:
        cache.write()
    return collected


def assert_same(found, expected) -> None:
    assert len(found.views) == len(expected.views)
    for a, b in zip(found.views.samples, expected.views.samples, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(found.views.scores_n, expected.views.scores_n)
    for a, b in zip(found.views, expected.views, strict=True):
        assert torch.equal(a.intrinsics_4, b.intrinsics_4)
        assert (a.stamp_ns, a.drive) == (b.stamp_ns, b.drive)


class _Unused:
    """An encoder that must not be asked."""

    def __init__(self, encoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str):
        assert name != "encode", "it is encoded again"
        return getattr(self._encoder, name)


def test_a_drive_is_not_encoded_again_and_gives_the_same_views(encoder, tmp_path):
    monday, tuesday = drive(0, 4), drive(1, 5)
    expected = views_of(encoder, [monday, tuesday])
    views_of(encoder, [monday], opened(tmp_path, "monday"))
    cache = opened(tmp_path, "monday", "tuesday")
    assert_same(views_of(encoder, [monday, tuesday], cache), expected)
    assert cache.found == {0: 4}
    cache = opened(tmp_path, "monday", "tuesday")
    again = views_of(_Unused(encoder), [monday, tuesday], cache)
    assert_same(again, expected)
    assert cache.found == {0: 4, 1: 5}
    assert len(again.encode_s) == 9
    assert min(again.encode_s) > 0.0  # what it took when it was encoded


def test_a_drive_is_augmented_alike_wherever_it_stands(encoder):
    monday, tuesday = drive(0, 4), drive(1, 5)
    alone = views_of(encoder, [tuesday]).views
    second = views_of(encoder, [monday, tuesday]).views
    for index in range(5):
        for copy in range(2):
            for a, b in zip(alone.features(index, copy), second.features(4 + index, copy),
                            strict=True):  # fmt: skip
                assert torch.equal(a, b)


def test_views_of_a_full_buffer_are_neither_kept_nor_found(encoder, tmp_path):
    """They have fewer patches, and another buffer would want more of them."""
    images = [drive(0, 12)]
    full = 12 * 30 * sample_bytes(64)  # half of what they would take
    expected = views_of(encoder, images, max_bytes=full)
    assert expected.views.patches < 30
    assert_same(views_of(encoder, images, opened(tmp_path), max_bytes=full), expected)
    cache = opened(tmp_path)
    whole = views_of(encoder, images, cache)
    assert 0 < cache.found[0] < 12
    assert_same(whole, views_of(encoder, images))
    cache = opened(tmp_path)
    assert_same(views_of(encoder, images, cache, max_bytes=full), expected)
    assert 0 < cache.found[0] < 12


def test_poses_are_those_of_the_recording_not_of_the_cache(encoder, tmp_path):
    images = drive(0, 3)
    views_of(encoder, [images], opened(tmp_path))
    moved = [
        PosedImage(image.stamp_ns, image.image_rgb_hwc, image.camera, pose)
        for image, pose in zip(images, ring_of_views(3, 9.0, np.zeros(3), arc_rad=1.0), strict=True)
    ]
    found = views_of(_Unused(encoder), [moved], opened(tmp_path))
    for view, image in zip(found.views, moved, strict=True):
        assert view.map_from_camera is image.map_from_camera
