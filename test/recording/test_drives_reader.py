"""Several bags are read as one: each image knows its drive, whatever the stamps of the others."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.bag_writing import picture, write_drive

from glace_ros.errors import RecordingError
from glace_ros.recording.bag_reader import RecordingReader
from glace_ros.recording.drives_reader import DrivesReader
from glace_ros.recording.frame_selection import FrameSelection
from glace_ros.recording.held_out import (
    HeldOutBlocks,
    HeldOutImages,
    blocks_of,
    mapping_images,
)

EVERY_FRAME = FrameSelection(0.0, 0.0, min_sharpness=0.0)
SOME = FrameSelection(0.2, 90.0)


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """Two drives at the same times, the second one longer and in other light."""
    folder = tmp_path_factory.mktemp("bags")
    return [
        write_drive(folder / "first", images=30),
        write_drive(folder / "second", "sqlite3", images=40, first_picture=100),
    ]


def opened(bags) -> DrivesReader:
    return DrivesReader([RecordingReader(path) for path in bags])


def of(image) -> tuple[int, int]:
    return image.drive, image.stamp_ns


@pytest.mark.parametrize("selection", [EVERY_FRAME, SOME])
def test_the_images_are_those_of_each_bag_in_turn(bags, selection):
    """The first image of a drive is a keyframe, wherever the one before it ended."""
    expected, left_out = [], {}
    for drive, path in enumerate(bags):
        with RecordingReader(path) as reader:
            expected += [replace(image, drive=drive) for image in reader.posed_images(selection)]
            for reason, count in reader.left_out.items():
                left_out[reason] = left_out.get(reason, 0) + count
    with opened(bags) as reader:
        images = list(reader.posed_images(selection))
        assert reader.left_out == left_out
    assert [of(image) for image in images] == [of(image) for image in expected]
    assert {image.drive for image in images} == {0, 1}
    for image, same in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image.image_rgb_hwc, same.image_rgb_hwc)
        np.testing.assert_array_equal(
            image.map_from_camera.matrix_44, same.map_from_camera.matrix_44
        )


@pytest.mark.parametrize("stop", [1, 10, 29, 30, 31, 69, 70])
def test_reading_goes_on_where_it_stopped_in_whichever_drive(bags, stop):
    with opened(bags) as reader:
        whole = [of(image) for image in reader.posed_images(EVERY_FRAME)]
    assert len(whole) == 70
    with opened(bags) as reader:
        images = reader.posed_images(EVERY_FRAME)
        before = [of(next(images)) for _ in range(stop)]
        position = json.loads(json.dumps(reader.position))
    with opened(bags) as reader:
        rest = [of(image) for image in reader.posed_images(EVERY_FRAME, position)]
    assert before + rest == whole


def test_what_was_left_out_before_a_stop_is_counted(bags):
    with opened(bags) as reader:
        list(reader.posed_images(SOME))
        left_out = dict(reader.left_out)
        of_second = len(list(reader.drives[1].posed_images(SOME)))
        images = list(reader.posed_images(SOME))
    for stop in (3, len(images) - of_second + 2):
        with opened(bags) as reader:
            stopped = reader.posed_images(SOME)
            for _ in range(stop):
                next(stopped)
            position = reader.position
        with opened(bags) as reader:
            list(reader.posed_images(SOME, position))
            assert reader.left_out == left_out


def test_held_out_blocks_are_of_each_drive_and_read_again(bags):
    with opened(bags) as reader:
        blocks, held_out = blocks_of(reader, 0.3), HeldOutImages(reader)
        mapped = list(mapping_images(reader, EVERY_FRAME, blocks, held_out))
        again = list(held_out)
    assert [of(image) for image in again] == held_out.noted
    by_drive = np.bincount([drive for drive, _ in held_out.noted])
    assert by_drive.tolist() == pytest.approx([0.3 * 30, 0.3 * 40], abs=2)
    assert len(mapped) + len(again) == 70
    for image in again:
        shown = 100 * image.drive + round((image.stamp_ns - again[0].stamp_ns) / 1e8)
        first = round((again[0].stamp_ns - mapped[0].stamp_ns) / 1e8)
        np.testing.assert_array_equal(image.image_rgb_hwc, picture(shown + first))


def test_of_the_images_between_two_keyframes_the_middle_one_is_noted(bags, monkeypatch):
    """It is no neighbour of what is held out, and a robot that stands notes one in all."""
    with opened(bags) as reader:
        every = [of(image) for image in reader.posed_images(EVERY_FRAME)]
        kept = [every.index(of(image)) for image in reader.posed_images(SOME)]
        # a block of the second drive, with the frames on both sides of a keyframe in it
        begin, end = every[kept[-3] - 1][1], every[kept[-3] + 2][1]
        blocks = [HeldOutBlocks(np.array([0]), 0.0) for _ in bags]
        blocks[1].intervals_ns.append((begin, end))
        middles = [
            every[first + 1 + (last - first - 1) // 2]
            for first, last in pairwise(kept)
            if last - first > 1 and every[first][0] == every[last][0]
        ]
        expected = [
            (drive, stamp) for drive, stamp in middles if drive == 0 or not begin <= stamp < end
        ]
        assert {drive for drive, _ in expected} == {0, 1}
        assert len(expected) < len(middles)

        held_out = HeldOutImages(reader)
        list(mapping_images(reader, SOME, blocks, held_out))
        assert held_out.non_keyframes == expected
        assert held_out.noted == [every[kept[-3]]]
        both = [of(image) for image in held_out.together_with(held_out.some_non_keyframes)]
        assert both == sorted([*expected, *held_out.noted])
        assert held_out.some_non_keyframes == set(expected)
        monkeypatch.setattr(HeldOutImages, "MOST_NON_KEYFRAMES", 2)
        assert held_out.some_non_keyframes == {expected[0], expected[-1]}
        assert len(list(held_out.together_with(held_out.some_non_keyframes))) == 3
        held_out.noted.clear()  # such a map is not validated
        assert list(held_out.together_with(held_out.some_non_keyframes)) == []

        resumed = HeldOutImages(reader)
        images = mapping_images(reader, SOME, blocks, resumed)
        for _ in range(4):
            next(images)
        list(mapping_images(reader, SOME, blocks, resumed, reader.position))
        assert resumed.non_keyframes == expected


def test_what_is_told_of_all_of_them(bags, tmp_path):
    with opened(bags) as reader:
        infos = [drive.info for drive in reader.drives]
        assert reader.info.image_count == 70
        assert reader.info.duration_s == sum(info.duration_s for info in infos)
        assert (reader.info.path, reader.info.camera) == (bags[0], infos[0].camera)
        assert reader.names == ("first", "second")
        for drive, path in zip(reader.drives, bags, strict=True):
            drive._note(f"{path.name} is odd")
        assert {"first: first is odd", "second: second is odd"} <= set(reader.notes)
    same_name = write_drive(tmp_path / "first", images=3)
    with opened([bags[0], same_name]) as reader:
        assert reader.names == (str(bags[0]), str(same_name))


def test_one_drive_is_told_as_it_is(bags):
    with RecordingReader(bags[0]) as single, opened(bags[:1]) as reader:
        single._note("odd")
        reader.drives[0]._note("odd")
        assert reader.notes == single.notes
        assert reader.content_hash() == single.content_hash()
        assert reader.info.image_count == single.info.image_count


def test_the_hash_is_of_all_drives_in_their_order(bags):
    hashes = set()
    for paths in (bags, bags[::-1], bags[:1], bags[1:]):
        with opened(paths) as reader:
            hashes.add(reader.content_hash())
    assert len(hashes) == 4


def test_the_same_drive_twice_is_refused_by_its_content(bags, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in bags[0].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with (
        opened([*bags, copy]) as reader,
        pytest.raises(RecordingError, match=f"{copy} is the same recording as {bags[0]}"),
    ):
        reader.content_hash()


def test_drives_of_two_robots_are_refused_and_the_second_one_is_named(bags, tmp_path):
    other = write_drive(tmp_path / "other", images=3, base_frame="truck")
    with pytest.raises(RecordingError, match=f"{other}: its base frame is 'truck'.*'base_link'"):
        opened([bags[0], other])


def test_a_drive_without_a_usable_image_is_named(bags, tmp_path, monkeypatch):
    blind = write_drive(tmp_path / "blind", images=3)

    def broken(_):
        raise ValueError("it is black")

    with opened([bags[0], blind]) as reader:
        monkeypatch.setattr(reader.drives[1], "_image_of", broken)
        with pytest.raises(RecordingError, match=f"^{blind}: None of the 3 images"):
            list(reader.posed_images(EVERY_FRAME))


def test_closing_closes_all_of_them(bags):
    reader = opened(bags)
    reader.close()
    for drive in reader.drives:
        with pytest.raises(RecordingError, match="is not open"):
            list(drive.images())
