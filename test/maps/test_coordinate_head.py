"""The coordinate head: what its last numbers mean, in which precision, and how large it is."""

import numpy as np
import pytest
import torch

from glace_ros.maps.coordinate_head import CoordinateHead, CoordinateHeadConfig

TINY = CoordinateHeadConfig(local_channels=8, global_channels=4, width=16)


def head_saying(d_3, w_hat: float, centres_k3, logits_k=None) -> CoordinateHead:
    """A head whose last layer says the same for every input."""
    torch.manual_seed(0)
    head = CoordinateHead(CoordinateHeadConfig(8, 4, 16, clusters=len(centres_k3)))
    head.requires_grad_(False)
    head.fc3.weight.zero_()
    head.fc3.bias.copy_(torch.tensor([*d_3, w_hat]))
    head.centres_k3.copy_(torch.tensor(centres_k3))
    if logits_k is not None:
        head.cluster_logits.weight.zero_()
        head.cluster_logits.bias.copy_(torch.tensor(logits_k))
    return head


def test_w_hat_0_is_the_offset_itself():
    head = head_saying([1.0, -2.0, 3.0], 0.0, [[10.0, 20.0, 30.0]])
    point_3 = head(torch.randn(1, 12))[0]
    assert point_3.tolist() == pytest.approx([11.0, 18.0, 33.0], abs=1e-5)


@pytest.mark.parametrize(("w_hat", "factor"), [(-1e4, 4.0), (1e4, 0.01), (99.0, 0.01)])
def test_points_stay_between_a_hundredth_and_four_times_the_offset(w_hat, factor):
    head = head_saying([1.0, -2.0, 3.0], w_hat, [[0.0, 0.0, 0.0]])
    point_3 = head(torch.randn(1, 12))[0]
    assert point_3.tolist() == pytest.approx([factor, -2 * factor, 3 * factor], rel=0.02)


def test_larger_w_hat_is_nearer():
    points = [
        head_saying([1.0, 0.0, 0.0], w, [[0.0] * 3])(torch.zeros(1, 12))[0, 0].item()
        for w in (-5.0, -1.0, 0.0, 1.0, 5.0)
    ]
    assert points == sorted(points, reverse=True)
    assert len(set(points)) == 5


def test_clusters_mix_the_centres_by_their_softmax():
    centres = [[0.0, 0.0, 0.0], [10.0, 0.0, 0.0], [0.0, 40.0, 0.0]]
    shares = np.array([0.5, 0.3, 0.2])
    head = head_saying([0.0, 0.0, 1.0], 0.0, centres, np.log(shares).tolist())
    assert head(torch.randn(1, 12))[0].tolist() == pytest.approx([3.0, 8.0, 1.0], abs=1e-5)


def test_each_patch_gets_a_point_of_its_own():
    torch.manual_seed(1)
    head = CoordinateHead(TINY)
    input_nC = torch.randn(5, 12)
    points_n3 = head(input_nC)
    assert points_n3.shape == (5, 3)
    assert torch.allclose(head(input_nC[2:3]), points_n3[2:3], atol=1e-6)
    assert torch.unique(points_n3, dim=0).shape[0] == 5


def test_under_autocast_points_10_m_away_keep_their_millimetres():
    """Defect 7 of the reference: its last layer in fp16 costs 8 mm at 10 m (bf16: 6 cm)."""
    torch.manual_seed(2)
    head = CoordinateHead(CoordinateHeadConfig(32, 0, 64, clusters=3)).requires_grad_(False)
    head.fc3.bias[:3] = torch.tensor([9.7, -10.3, 11.1])
    head.centres_k3.copy_(torch.tensor([[1.23, 4.56, 7.89], [0.1, 0.2, 0.3], [-3.3, 2.2, 1.1]]))
    before_decoding = []
    head.fc2.register_forward_hook(lambda _, __, out: before_decoding.append(out))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        points_n3 = head(3.0 * torch.randn(200, 32))
    (fc2_nC,) = before_decoding
    assert fc2_nC.dtype == torch.bfloat16  # autocast was on: the comparison means something
    assert points_n3.dtype == torch.float32

    x_nC = torch.relu(fc2_nC).double()
    raw_n4 = x_nC @ head.fc3.weight.double().T + head.fc3.bias.double()
    beta = np.log(2.0) / 0.75
    w_n1 = torch.log1p(torch.exp(beta * raw_n4[:, 3:])) / beta + 0.25
    logits_nk = x_nC @ head.cluster_logits.weight.double().T + head.cluster_logits.bias.double()
    exact_n3 = raw_n4[:, :3] / w_n1 + logits_nk.softmax(dim=1) @ head.centres_k3.double()
    assert exact_n3.abs().max() > 8.0
    assert (points_n3 - exact_n3).abs().max() < 1e-3
    assert (exact_n3.bfloat16() - exact_n3).abs().max() > 1e-2  # bf16 would have failed


@pytest.mark.parametrize(
    ("blocks", "ratio", "clusters", "megabytes"),
    [(1, 1.0, 1, 9.4), (2, 1.0, 1, 13.0), (3, 2.0, 50, 27.3)],
)
def test_in_the_papers_shape_it_has_the_papers_size(blocks, ratio, clusters, megabytes):
    config = CoordinateHeadConfig(512, 256, 768, blocks, ratio, clusters)
    with torch.device("meta"):
        head = CoordinateHead(config)
    parameters = sum(tensor.numel() for tensor in head.parameters())
    assert 2 * parameters / 1e6 == pytest.approx(megabytes, abs=0.06)


def test_the_skip_is_linear_only_where_the_widths_differ():
    def has_linear_skip(local: int, width: int) -> bool:
        head = CoordinateHead(CoordinateHeadConfig(local, 0, width))
        return "first.skip.weight" in head.state_dict()

    assert has_linear_skip(8, 16)
    assert not has_linear_skip(16, 16)


def test_the_centres_are_saved_but_not_trained():
    head = CoordinateHead(TINY)
    assert "centres_k3" in head.state_dict()
    assert "centres_k3" not in dict(head.named_parameters())
    assert set(head.full_precision_parameters()) == {"centres_k3"}
