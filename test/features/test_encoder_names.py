"""The grammar of encoder names: what a text means, and which texts mean nothing."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from glace_ros.errors import MappingError, WeightsError
from glace_ros.features.encoder_names import GlobalEncoderName, LocalEncoderName, NetworkName

PIECES = ["xfeat", "aliked", "superpoint", "ace", "r2former", "kmeans", "vlad", "none", ":", "+",
          "0", "7", "~", "..", "a.pth", "/b c/", "+ace:", "+r2former:"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
FILES = st.text().filter(lambda file: not re.search(r"\+(ace|r2former):", file))
CORNERS = st.sampled_from(["xfeat", "aliked"]).map(NetworkName) | FILES.map(
    lambda file: NetworkName("superpoint", file)
)


def of_file(kind):
    return FILES.map(lambda file: NetworkName(kind, file))


LOCAL = st.one_of(
    CORNERS.map(lambda where: LocalEncoderName((where,))),
    of_file("ace").map(lambda ace: LocalEncoderName((ace,))),
    st.tuples(CORNERS, of_file("ace")).map(LocalEncoderName),
)
GLOBAL = st.just(GlobalEncoderName("none")) | st.builds(
    GlobalEncoderName, st.just("vlad") | of_file("r2former"), st.integers(0)
)


def said_of(text, parse, error):
    try:
        return str(parse(text))
    except error as refusal:
        return str(refusal)


@given(LOCAL)
def test_a_local_name_is_what_its_text_says(name):
    assert LocalEncoderName.parse(str(name)) == name


@given(GLOBAL)
def test_a_global_name_is_what_its_text_says(name):
    assert GlobalEncoderName.parse(str(name)) == name


@given(TEXTS)
def test_a_local_text_stays_as_it_is_or_is_refused(text):
    assert said_of(text, LocalEncoderName.parse, WeightsError) in (
        text,
        f"the local encoder '{text}' is unknown; there are: xfeat, aliked, superpoint:FILE, "
        "ace:FILE, and one of the first three with +ace:FILE",
    )


@given(TEXTS)
def test_a_global_text_stays_as_it_is_or_is_refused(text):
    assume(not re.match("kmeans:0+[1-9]", text))
    assert said_of(text, GlobalEncoderName.parse, MappingError) in (
        text,
        f"the global encoder '{text}' is unknown: use vlad, none, kmeans:K or r2former:FILE",
    )


def test_zeros_before_k_are_none():
    assert str(GlobalEncoderName.parse("kmeans:007+r2former:a")) == "kmeans:7+r2former:a"


@pytest.mark.parametrize("name", ["xfeat", "aliked", "superpoint:a+b.pth", "superpoint:/a:b/c"])
def test_the_names_of_local_encoders(name):
    kind, _, file = name.partition(":")
    where = NetworkName(kind, file or None)
    assert LocalEncoderName.parse(name).networks == (where,)
    assert LocalEncoderName.parse(name).finds_keypoints
    both = LocalEncoderName.parse(f"{name}+ace:d/e.pt")
    assert both.networks == (where, NetworkName("ace", "d/e.pt"))
    assert not both.finds_keypoints


@pytest.mark.parametrize(
    "name",
    [
        "",
        "superpoint",
        "aliked:n16.pth",
        "ace",
        "xfeat:x",
        "+ace:x",
        "xfeat+aliked",
        "sift+ace:x",
        "xfeat+r2former:x",
        "ace:x+ace:y",
    ],
)
def test_names_of_no_local_encoder(name):
    with pytest.raises(WeightsError, match="is unknown; there are: xfeat, aliked"):
        LocalEncoderName.parse(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("none", GlobalEncoderName("none")),
        ("vlad", GlobalEncoderName("vlad")),
        ("kmeans:4", GlobalEncoderName("vlad", 4)),
        ("r2former:a+b:c", GlobalEncoderName(NetworkName("r2former", "a+b:c"))),
        ("kmeans:32+r2former:a", GlobalEncoderName(NetworkName("r2former", "a"), 32)),
    ],
)
def test_the_names_of_global_encoders(text, name):
    assert GlobalEncoderName.parse(text) == name
    assert name.r2former == (None if isinstance(name.source, str) else name.source)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "netvlad",
        "kmeans",
        "kmeans:0",
        "kmeans:-4",
        "kmeans:\u0664",
        "kmeans:4+vlad",
        "kmeans:4+ace:a",
        "kmeans:0+r2former:a",
        "none+r2former:a",
        "r2former",
        "r2former:a+r2former:b",
    ],
)
def test_names_of_no_global_encoder(name):
    with pytest.raises(MappingError, match="is unknown: use vlad, none, kmeans:K or r2former:FILE"):
        GlobalEncoderName.parse(name)


def test_a_file_s_folder_is_left_out_and_the_user_s_folder_known(monkeypatch):
    monkeypatch.setenv("HOME", "/home/robot")
    name = LocalEncoderName.parse("superpoint:~/s.pth+ace:/x/a.pt")
    assert [str(network.path) for network in name.networks] == ["/home/robot/s.pth", "/x/a.pt"]
    bare = name.with_networks(NetworkName.without_folder)
    assert str(bare) == "superpoint:s.pth+ace:a.pt"
    learned = GlobalEncoderName.parse("kmeans:4")
    assert learned.with_networks(NetworkName.without_folder) == learned
    given_name = GlobalEncoderName.parse("kmeans:4+r2former:d/r.pth")
    assert str(given_name.with_networks(NetworkName.without_folder)) == "kmeans:4+r2former:r.pth"
