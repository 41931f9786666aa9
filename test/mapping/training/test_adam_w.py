"""The trainer's AdamW beside torch's own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from glace_ros.mapping.training.adam_w import AdamW

RATES = [1e-3, 5e-3, 2e-3, 1e-4]


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3))


def backward(model: torch.nn.Sequential, step: int) -> None:
    model.zero_grad()
    inputs = torch.randn(16, 5, generator=torch.Generator().manual_seed(step))
    (model(inputs) - 3.0).square().mean().backward()


def test_it_steps_as_torch_s_own_does():
    model, theirs = network(), network()
    own = AdamW(model.parameters(), 0.1)
    reference = torch.optim.AdamW(theirs.parameters(), weight_decay=0.1, fused=True)
    for step, rate in enumerate(RATES):
        backward(model, step)
        own.step(rate)
        backward(theirs, step)
        reference.param_groups[0]["lr"] = rate
        reference.step()
    for ours, other in zip(model.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(ours, other)


def test_it_goes_on_from_its_tensors_to_the_last_bit():
    whole, resumed = network(), network()
    optimizer = AdamW(whole.parameters(), 0.1)
    for step, rate in enumerate(RATES):
        if step == 2:
            saved, weights = optimizer.tensors(), whole.state_dict()
            resumed.load_state_dict({name: tensor.clone() for name, tensor in weights.items()})
            another = AdamW(resumed.parameters(), 0.1)
            another.load({**saved, "generator": torch.zeros(3)})
        backward(whole, step)
        optimizer.step(rate)
        if step >= 2:
            backward(resumed, step)
            another.step(rate)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_state_of_another_network_is_refused():
    optimizer = AdamW(network().parameters(), 0.1)
    saved = optimizer.tensors()
    saved["optimizer.0.exp_avg"] = torch.zeros(7, 6)
    with pytest.raises(ValueError, match=r"optimizer\.0\.exp_avg has the shape \(7, 6\)"):
        optimizer.load(saved)
    del saved["optimizer.0.exp_avg"]
    with pytest.raises(KeyError, match="exp_avg"):
        optimizer.load(saved)


def test_torch_s_compiler_stays_out():
    program = (
        "import sys, torch; from glace_ros.mapping.training.adam_w import AdamW\n"
        "model = torch.nn.Linear(2, 2); model(torch.ones(1, 2)).sum().backward()\n"
        "AdamW(model.parameters(), 0.1).step(1e-3)\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
