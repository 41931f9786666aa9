"""The tree gives back the motion that was put in, and nothing that was not."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glace_ros.geometry.pose import Pose
from glace_ros.geometry.timed_transforms import SAME_INSTANT_NS
from glace_ros.geometry.transform_tree import TransformError, TransformTree

S = 1_000_000_000
numbers = st.floats(-10, 10)
poses = st.builds(
    lambda t, r: Pose.from_rotation_vector(t, r),
    st.tuples(numbers, numbers, numbers),
    st.tuples(*[st.floats(-1.5, 1.5)] * 3),
)


def assert_same(a: Pose, b: Pose, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(a.matrix_44, b.matrix_44, atol=atol)


def samples(tree: TransformTree) -> np.ndarray:
    """Stamps of odom->base."""
    (link,) = tree.links("odom", "base")
    return link.stamps_n


def moving(stamp_ns: int) -> Pose:
    """A screw motion: interpolation between any two samples is exact."""
    t_s = stamp_ns / 1e9
    return Pose.from_rotation_vector([0.5 * t_s, 1.0, -0.2 * t_s], [0.0, 0.0, 0.3 * t_s])


@given(st.lists(poses, min_size=5, max_size=5), st.integers(0, 4), st.integers(0, 4))
def test_any_two_frames_of_a_static_tree(links, a, b):
    """r -> f0 -> f1, r -> f2 -> f3, f2 -> f4: every lookup is the product along the way."""
    parents = ["r", "f0", "r", "f2", "f2"]
    tree = TransformTree()
    root_from = {"r": Pose.identity()}
    for i, (parent, link) in enumerate(zip(parents, links, strict=True)):
        tree.add_static(parent, f"f{i}", link)
        root_from[f"f{i}"] = root_from[parent] @ link
    found = tree.lookup(f"f{a}", f"f{b}", 123)
    assert_same(found, root_from[f"f{a}"].inverse() @ root_from[f"f{b}"], 1e-7)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 100), min_size=2, max_size=40, unique=True),
    st.floats(0.0, 1.0),
    st.randoms(),
)
def test_samples_in_any_order_give_the_motion(tenths, fraction, random):
    tree = TransformTree()
    shuffled = list(tenths)
    random.shuffle(shuffled)
    for tenth in shuffled:
        tree.add("odom", "base", tenth * S // 10, moving(tenth * S // 10))
    stamps_n = samples(tree)
    assert stamps_n.tolist() == sorted(tenth * S // 10 for tenth in tenths)
    at = int(stamps_n[0] + fraction * (stamps_n[-1] - stamps_n[0]))
    # within a microsecond of a sample, the sample itself is the answer
    nearest = int(stamps_n[np.abs(stamps_n - at).argmin()])
    answered_at = nearest if abs(nearest - at) <= SAME_INSTANT_NS else at
    assert_same(tree.lookup("odom", "base", at), moving(answered_at), 1e-6)
    assert_same(tree.lookup("base", "odom", at), moving(answered_at).inverse(), 1e-6)
    for outside in (int(stamps_n[0]) - 2_000, int(stamps_n[-1]) + 2_000):
        with pytest.raises(TransformError):
            tree.lookup("odom", "base", outside)


def test_the_order_of_the_chain_is_right():
    tree = TransformTree()
    map_from_odom, base_from_camera = Pose.from_planar(3, 1, 0.7), Pose.from_planar(0.1, 0, -1.2)
    tree.add_static("map", "odom", map_from_odom)
    tree.add("odom", "base", 0, moving(0))
    tree.add("odom", "base", S, moving(S))
    tree.add_static("base", "camera", base_from_camera)
    expected = map_from_odom @ moving(S // 3) @ base_from_camera
    assert_same(tree.lookup("map", "camera", S // 3), expected, 1e-8)
    assert tree.path("map", "camera") == ["camera", "base", "odom", "map"]
    assert tree.path("base", "odom") == ["odom", "base"]
    assert tree.static_root("camera") == "base"
    assert tree.latest_stamp_ns("map", "camera") == S
    assert tree.latest_stamp_ns("base", "camera") is None


def test_what_is_missing_is_named_with_its_age():
    tree = TransformTree(max_gap_s=0.5)
    for stamp in (2 * S, 3 * S):
        tree.add("odom", "base_footprint", stamp, moving(stamp))
    tree.add_static("base_footprint", "camera", Pose.identity())
    for stamp, sentence, reason in (
        (
            3 * S + 410_000_000,
            "No odom->base_footprint at image time (latest is 0.41 s older)",
            "no newer transform",
        ),
        (
            S,
            "No odom->base_footprint at image time (earliest is 1.00 s newer)",
            "no transform yet",
        ),
        (
            2 * S + S // 2,
            "No odom->base_footprint at image time (its neighbours are 1.00 s apart)",
            "gap between transforms",
        ),
    ):
        with pytest.raises(TransformError) as caught:
            tree.lookup("odom", "camera", stamp)
        assert (str(caught.value), caught.value.reason) == (sentence, reason)
    assert_same(tree.lookup("odom", "camera", 2 * S), moving(2 * S))  # at a sample, no gap matters


def test_unknown_and_unconnected_frames_are_errors_and_never_the_identity():
    tree = TransformTree()
    tree.add_static("base", "camera", Pose.identity())
    tree.add_static("world", "table", Pose.identity())
    with pytest.raises(TransformError, match="'odom'") as caught:
        tree.lookup("odom", "camera", 0)
    assert caught.value.reason == "unknown frame"
    with pytest.raises(TransformError, match=r"'odom' \(there are none at all\)"):
        TransformTree().lookup("odom", "camera", 0)
    with pytest.raises(TransformError, match="world to camera") as caught:
        tree.lookup("world", "camera", 0)
    assert caught.value.reason == "not connected"


def test_history_is_bounded():
    tree = TransformTree(history_s=10.0)
    for i in range(50 * 600):
        tree.add("odom", "base", i * S // 50, POSE)
    assert len(samples(tree)) == 501
    assert samples(tree)[-1] == (50 * 600 - 1) * S // 50
    assert len(tree._edges["base"].samples._stamps_n) < 2100
    tree.add("odom", "base", S, POSE)  # older than the history: dropped
    assert len(samples(tree)) == 501


POSE = Pose.from_planar(1.0, 2.0, 0.5)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=200))
def test_history_keeps_exactly_the_newest_seconds(stamps):
    """Against the plain rule: what is kept is what was not too old when it came, nor since."""
    tree, kept = TransformTree(history_s=100 / 1e9), set()
    for stamp in stamps:
        tree.add("odom", "base", stamp, POSE)
        kept.add(stamp)
        kept = {s for s in kept if s >= max(kept) - 100}
        assert samples(tree).tolist() == sorted(kept)


def test_the_first_of_a_repeated_stamp_stays():
    tree = TransformTree()
    tree.add("odom", "base", S, moving(S))
    tree.add("odom", "base", S, moving(2 * S))
    assert_same(tree.lookup("odom", "base", S), moving(S))


def test_loops_are_refused_and_leave_the_tree_whole():
    tree = TransformTree()
    tree.add_static("a", "b", POSE)
    tree.add_static("b", "c", POSE)
    for parent, child in (("c", "a"), ("b", "a"), ("d", "d"), ("", "e"), ("e", "")):
        with pytest.raises(TransformError, match="loop"):
            tree.add_static(parent, child, POSE)
    assert_same(tree.lookup("a", "c", 0), POSE @ POSE)


def test_a_second_parent_is_a_conflict_until_the_first_falls_silent():
    tree = TransformTree()
    tree.add("odom", "base", S, moving(S))
    with pytest.raises(TransformError, match="two parents, odom and map"):
        tree.add("map", "base", S + S // 2, POSE)
    assert_same(tree.lookup("odom", "base", S), moving(S))
    tree.add("map", "base", 3 * S, POSE)  # the old publisher has been gone for two seconds
    assert_same(tree.lookup("map", "base", 3 * S), POSE)
    tree.add_static("base", "camera", POSE)
    with pytest.raises(TransformError, match="two parents"):
        tree.add_static("chassis", "camera", POSE)
    with pytest.raises(TransformError, match="/tf_static"):
        tree.add("base", "camera", S, POSE)


def test_a_frame_that_was_given_away_is_known_at_the_times_before():
    tree = TransformTree()
    for second in (1, 2, 5, 6):
        tree.add("odom" if second < 3 else "map", "base", second * S, moving(second * S))
    assert_same(tree.lookup("odom", "base", 3 * S // 2), moving(3 * S // 2), 1e-2)
    assert_same(tree.lookup("map", "base", 5 * S), moving(5 * S))
    tree.add("odom", "base", 3 * S, moving(3 * S))  # late, but of its time
    assert_same(tree.lookup("odom", "base", 3 * S), moving(3 * S))
    for parent, at in (("odom", 4), ("odom", 5), ("map", 1)):
        with pytest.raises(TransformError):
            tree.lookup(parent, "base", at * S)


def test_numbers_that_are_not_finite_do_not_enter():
    tree = TransformTree()
    with pytest.raises(TransformError, match="not finite"):
        tree.add("odom", "base", S, Pose(np.eye(3), np.array([np.nan, 0, 0])))
    assert tree.frames() == set()


def test_clear_and_slashes():
    tree = TransformTree()
    tree.add_static("/base", "/camera", POSE)
    assert_same(tree.lookup("base", "/camera", 0), POSE)
    tree.clear()
    with pytest.raises(TransformError):
        tree.lookup("base", "camera", 0)


@given(st.lists(poses, min_size=3, max_size=3))
def test_the_links_of_a_chain_multiply_to_what_is_looked_up(three):
    """map <- odom <- base, and a tree that hangs the map frame below: inverted."""
    tree, upside_down = TransformTree(), TransformTree()
    tree.add("map", "odom", 5 * S, three[0])
    tree.add("odom", "base", 4 * S, three[1])
    tree.add("odom", "base", 5 * S, three[1])
    tree.add_static("base", "camera", three[2])
    upside_down.add("odom", "map", 5 * S, three[0].inverse())
    upside_down.add("odom", "base", 5 * S, three[1])
    upside_down.add_static("base", "camera", three[2])
    for each in (tree, upside_down):
        links = each.links("map", "camera")
        chained = Pose.identity()
        for link in links:
            chained = Pose.from_matrix(link.nearest(np.array([5 * S]))[0]) @ chained
        assert_same(chained, each.lookup("map", "camera", 5 * S), 1e-6)
        assert [link.is_static for link in links] == [True, False, False]
    assert [link.name for link in tree.links("map", "base")] == ["odom->base", "map->odom"]
    assert len(tree.links("odom", "base")[0].stamps_n) == 2


def test_the_nearest_sample_is_taken_however_far():
    tree = TransformTree()
    for second in (1, 2, 4):
        tree.add("odom", "base", second * S, Pose.from_planar(second, 0.0, 0.0))
    (link,) = tree.links("odom", "base")
    stamps_n = np.array([0, 1 * S, 14 * S // 10, 16 * S // 10, 31 * S // 10, 9 * S])
    assert link.nearest(stamps_n)[:, 0, 3].tolist() == [1, 1, 1, 2, 4, 4]


def test_adding_and_looking_up_from_several_threads():
    """Lookups during additions either fail as too new or are exact."""
    tree = TransformTree(history_s=2.0)
    tree.add("odom", "base", 0, moving(0))
    done, wrong = threading.Event(), []

    def look():
        while not done.is_set():
            stamps_n = samples(tree)
            at = int(stamps_n[len(stamps_n) // 2]) + 3_000_000
            try:
                error_m = tree.lookup("odom", "base", at).distance_m(moving(at))
                if error_m > 1e-6:
                    wrong.append(error_m)
            except TransformError:
                pass
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(3000):
        tree.add("odom", "base", i * S // 50, moving(i * S // 50))
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
