"""The paper's global encoder: the published network's code of an image."""

import numpy as np
import pytest
import torch
from published_networks import GOLDEN, picture, seeded, some

from glace_ros.errors import WeightsError
from glace_ros.features.r2former_encoder import R2FormerEncoder, R2FormerNetwork

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint():
    """As it is published: the weights among what training goes on from, numpy's numbers too."""
    shapes = {name: tuple(part.shape) for name, part in R2FormerNetwork().state_dict().items()}
    weights = {f"module.backbone.{name}": part for name, part in seeded(shapes, seed=2).items()}
    return {
        "epoch_num": 7,
        "model_state_dict": {**weights, "module.Reranker.norm.bias": torch.zeros(32)},
        "recalls": np.array([70.5, 80.25]),
        "best_r5": np.float64(80.25),
        "not_improved_num": 3,
    }


@pytest.fixture(scope="module")
def encoder(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "deit.pth"
    torch.save(checkpoint, path)
    return R2FormerEncoder(f"r2former:{path}", CPU)


def test_the_code_is_that_of_the_published_network(encoder):
    code_G = encoder.encode(picture(96, 150, 3))
    assert code_G.shape == (encoder.channels,) == (256,)
    assert some(code_G) == pytest.approx(GOLDEN["r2former"], abs=1e-5)
    assert code_G.norm().item() == pytest.approx(1.0, abs=1e-5)


def test_a_wrong_checkpoint_is_named(checkpoint, tmp_path):
    def refusal(content) -> str:
        torch.save(content, tmp_path / "wrong.pth")
        with pytest.raises(WeightsError, match="wrong.pth") as caught:
            R2FormerEncoder(f"r2former:{tmp_path / 'wrong.pth'}", CPU)
        return str(caught.value)

    assert "no 'model_state_dict'" in refusal({"epoch_num": 3})
    assert "'cls_token' must be a tensor [1, 1, 384], there is none" in refusal(
        {"model_state_dict": {}}
    )
    small = {"module.backbone.cls_token": torch.zeros(1, 1, 192)}
    assert "there is [1, 1, 192]" in refusal({"model_state_dict": small})
    with pytest.raises(WeightsError, match="name R2Former's checkpoint"):
        R2FormerEncoder("r2former:", CPU)
