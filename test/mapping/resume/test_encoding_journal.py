"""What was encoded and triangulated comes back from disk as it was, or is refused."""

import resource
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.core_scenes import unit_rows

from glace_ros.errors import MappingError
from glace_ros.features.local_features import LocalFeatures
from glace_ros.geometry.intrinsics_correction import IntrinsicsCorrection
from glace_ros.geometry.pose import Pose
from glace_ros.mapping.resume.encoding_journal import EncodingJournal
from glace_ros.mapping.views.mapping_views import MappingView, MappingViews, sample_bytes

ROOM = 600  # patches


@contextmanager
def largest_file(size_bytes: int):
    """A disk that takes no larger file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def empty() -> SimpleNamespace:
    """As EncodedViews, without an encoder."""
    views = MappingViews(64, 2, patches=40, max_bytes=ROOM * sample_bytes(64))
    return SimpleNamespace(views=views, triangulated=0)


def add_views(encoded: SimpleNamespace, first: int, last: int) -> None:
    """The same for the same index; from about the eighth on they do not all fit."""
    for index in range(first, last):
        rng = np.random.default_rng(index)
        copies = []
        for _ in range(2):
            count = int(rng.integers(35, 45))
            copies.append(
                LocalFeatures(
                    torch.from_numpy(unit_rows(rng, count, 64)).float(),
                    torch.from_numpy(rng.uniform(0, 90, (count, 2))).float(),
                    torch.from_numpy(np.sort(rng.uniform(size=count))[::-1].copy()).float(),
                )
            )
        pose = Pose.from_rotation_vector(rng.normal(size=3) + 4e5, rng.normal(size=3))
        own = MappingView(copies[0], pose, torch.rand(4), None, 10**18 + index, index // 3)
        encoded.views.append(own, copies[1:])


def place(encoded: SimpleNamespace, last: int) -> None:
    """Points for the views up to there."""
    for index in range(encoded.triangulated, last):
        for copy in range(2):
            rows = encoded.views.rows(index, copy)
            encoded.views.samples.points_n3[rows] = 10.0 * index + copy
            encoded.views.samples.has_point_n[rows] = torch.arange(rows.stop - rows.start) % 3 == 0
    encoded.triangulated = last


def journal(folder, encoded, state=None, fingerprint="mine", every_s=0.0) -> EncodingJournal:
    """Writes at every opportunity."""
    return EncodingJournal(folder, fingerprint, encoded, lambda: state or {}, every_s)


def assert_same(found: SimpleNamespace, expected: SimpleNamespace) -> None:
    assert found.triangulated == expected.triangulated
    assert found.views.patches == expected.views.patches
    assert len(found.views) == len(expected.views)
    for a, b in zip(found.views.samples, expected.views.samples, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(found.views.scores_n, expected.views.scores_n)
    for a, b in zip(found.views, expected.views, strict=True):
        np.testing.assert_array_equal(a.map_from_camera.matrix_44, b.map_from_camera.matrix_44)
        assert torch.equal(a.intrinsics_4, b.intrinsics_4)
        assert (a.stamp_ns, a.drive) == (b.stamp_ns, b.drive)
        assert torch.equal(a.features.pixels_n2, b.features.pixels_n2)


@pytest.fixture
def written(tmp_path):
    """(folder, what was encoded): in four files, the memory filling up on the way, and points."""
    encoded, state = empty(), {}
    book = journal(tmp_path / "map.encoded", encoded, state)
    for last in (2, 6, 12, 20):
        add_views(encoded, len(encoded.views), last)
        state["last"] = last
        book.save_if_due()
    for last in (5, 13):
        place(encoded, last)
        book.save_if_due()
    assert encoded.views.patches < 20
    return tmp_path / "map.encoded", encoded


def test_all_of_it_comes_back(written):
    folder, encoded = written
    found = empty()
    assert journal(folder, found).restore() == {"last": 20}
    assert_same(found, encoded)


def test_what_comes_after_is_written_behind_it(written):
    """Interrupted, resumed, interrupted again."""
    folder, encoded = written
    found = empty()
    book = journal(folder, found)
    book.restore()
    place(found, 20)
    book.save_if_due()
    place(encoded, 20)
    again = empty()
    journal(folder, again).restore()
    assert_same(again, encoded)


def test_views_are_written_as_recorded_also_once_their_intrinsics_are_corrected(tmp_path):
    """Who goes on corrects them again, all of them."""
    encoded = empty()
    book = journal(tmp_path / "x", encoded)
    add_views(encoded, 0, 9)
    book.save()
    add_views(encoded, 9, 20)
    recorded_v4 = torch.stack([view.intrinsics_4 for view in encoded.views])
    encoded.views.correct_intrinsics(IntrinsicsCorrection(-0.01, -0.02, 0.001, 0.0))
    place(encoded, 5)
    book.save()
    found = empty()
    journal(tmp_path / "x", found).restore()
    assert torch.equal(torch.stack([view.intrinsics_4 for view in found.views]), recorded_v4)


def test_encoding_goes_on_in_the_middle(tmp_path):
    whole = empty()
    add_views(whole, 0, 20)
    first = empty()
    add_views(first, 0, 9)
    journal(tmp_path / "x", first).save()
    second = empty()
    book = journal(tmp_path / "x", second)
    book.restore()
    for view in second.views, whole.views:
        assert view.patches <= 40
    add_views(second, len(second.views), 20)
    assert torch.equal(second.views.samples.pixels_n2, whole.views.samples.pixels_n2)


def test_recorded_poses_are_written_whatever_they_were_refined_to(tmp_path):
    """Else some files had these and some those; a resumed build refines them all again."""
    refined, plain = empty(), empty()
    for encoded in (refined, plain):
        torch.manual_seed(0)
        add_views(encoded, 0, 3)
    refined.views.set_poses([Pose.identity()] * 3)
    journal(tmp_path / "x", refined).save()
    found = empty()
    journal(tmp_path / "x", found).restore()
    assert_same(found, plain)


def test_what_other_ranks_lent_is_not_written(tmp_path):
    """The last views of a share may be saved while triangulation has the others' patches."""
    encoded = empty()
    for index in range(6):
        add_views(encoded, index, index + 1)
        nothing = encoded.views.features(0).head(0)
        encoded.views.append(MappingView(nothing, Pose.identity(), torch.ones(4)))
    encoded.views.lend([encoded.views.features(2 * (index // 2)) for index in range(12)])
    journal(tmp_path / "x", encoded).save()
    found = empty()
    journal(tmp_path / "x", found).restore()
    encoded.views.forget_lent()
    assert_same(found, encoded)


def test_nothing_is_written_before_it_is_due(tmp_path):
    encoded = empty()
    book = journal(tmp_path / "x", encoded, every_s=1e6)
    add_views(encoded, 0, 5)
    book.save_if_due()
    assert not (tmp_path / "x").exists()
    assert book.restore() == {}
    book.remove()  # of nothing, is no error


def test_a_full_disk_is_said_and_what_was_written_stays(written):
    folder, encoded = written
    files = sorted(path.name for path in folder.iterdir())
    book = journal(folder, encoded)
    with largest_file(2000), pytest.raises(MappingError, match="cannot be written.*--resume"):
        book.save()
    assert sorted(path.name for path in folder.iterdir()) == files
    found = empty()
    journal(folder, found).restore()
    assert_same(found, encoded)


def test_a_file_of_somebody_else_stays_where_it_is(written):
    folder, encoded = written
    (folder / "notes.txt").write_text("mine")
    journal(folder, encoded).remove()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_file_that_was_being_written_does_not_count(written):
    folder, encoded = written
    (folder / "encoded-00000020.safetensors.partial").write_bytes(b"half of i")
    found = empty()
    book = journal(folder, found)
    book.restore()
    assert_same(found, encoded)
    book.remove()
    assert not folder.exists()


def test_with_less_memory_the_points_are_made_anew(written):
    folder, encoded = written
    found = empty()
    found.views = MappingViews(64, 2, patches=40, max_bytes=ROOM // 2 * sample_bytes(64))
    book = journal(folder, found)
    assert book.restore() == {"last": 20}
    assert found.views.patches < encoded.views.patches
    assert found.triangulated == 0
    assert not found.views.samples.has_point_n.any()
    kept_n2 = found.views.features(7).pixels_n2
    assert torch.equal(kept_n2, encoded.views.features(7).pixels_n2[: len(kept_n2)])
    place(found, 9)
    book.save()
    again = empty()
    again.views = MappingViews(64, 2, patches=40, max_bytes=ROOM // 2 * sample_bytes(64))
    journal(folder, again).restore()
    assert_same(again, found)


@pytest.mark.parametrize("damage", ["cut", "missing", "points missing", "foreign"])
def test_other_and_damaged_files_are_refused(written, damage):
    folder, _ = written
    paths = sorted(folder.glob("encoded-*"))
    if damage == "cut":
        paths[1].write_bytes(paths[1].read_bytes()[:-50])
    elif damage == "missing":
        paths[1].unlink()
    elif damage == "points missing":
        min(folder.glob("points-*")).unlink()
    fingerprint = "other" if damage == "foreign" else "mine"
    with pytest.raises(MappingError, match=r"(damaged|another bag).*--resume") as caught:
        journal(folder, empty(), fingerprint=fingerprint).restore()
    assert "\n" not in str(caught.value)


def test_what_was_learned_of_the_views_comes_back_unless_they_changed(tmp_path):
    encoded = empty()
    add_views(encoded, 0, 6)
    made = []

    def make():
        made.append(len(made))
        return {"codes": torch.full((3, 2), float(len(made))).T, "index": torch.arange(3)}

    first = journal(tmp_path, encoded).cached("codes", make)
    again = journal(tmp_path, encoded).cached("codes", make)
    assert made == [0]
    assert all(torch.equal(again[name], first[name]) for name in first)
    assert journal(tmp_path, encoded).cached("nothing", dict) == {}
    assert journal(tmp_path, encoded).cached("nothing", make) == {}  # nothing is a result too
    add_views(encoded, 6, 7)
    assert journal(tmp_path, encoded).cached("codes", make)["codes"][0, 0] == 2.0
    encoded.views.thin(20)
    assert journal(tmp_path, encoded).cached("codes", make)["codes"][0, 0] == 3.0
    with pytest.raises(MappingError, match=r"learned-codes\.safetensors is of another bag"):
        journal(tmp_path, encoded, fingerprint="another").cached("codes", make)
    # what is made quickly is not worth a file
    journal(tmp_path / "quick", encoded, every_s=60.0).cached("codes", make)
    assert not (tmp_path / "quick").exists()
    journal(tmp_path, encoded).remove()
    assert not tmp_path.exists()
