from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from unrealperson.config import TrainConfig
from unrealperson.descent import Descent, learning_rate

CPU = torch.device("cpu")


def make(**settings) -> tuple[nn.Linear, Descent]:
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    config = TrainConfig(learning_rate=0.1, momentum=0.0, weight_decay=0.0, **settings)
    return model, Descent(model, model, config, CPU)


@pytest.mark.parametrize(("epoch", "rate"), [(0, 0.01), (9, 0.01), (10, 0.001), (14, 0.001)])
def test_the_learning_rate_drops_once(epoch, rate):
    assert learning_rate(TrainConfig(), epoch) == pytest.approx(rate)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_step_takes_the_mean_of_its_batches(precision):
    model, descent = make(precision=precision)
    for value in (1.0, 3.0):
        descent.add(model(torch.tensor([value, 0.0])).sum(), 0.5)
    assert descent.step(0.1)
    torch.testing.assert_close(model.weight.detach(), torch.tensor([[0.8, 1.0]]))
    assert model.weight.grad is None


def test_gradients_that_are_not_finite_change_nothing():
    model, descent = make()
    descent.add(model(torch.tensor([float("inf"), 1.0])).sum(), 1)
    assert not descent.step(0.1)
    assert torch.equal(model.weight.detach(), torch.ones(1, 2))


def test_16_bit_gradients_are_scaled_down_until_they_are_taken_for_broken():
    model, descent = make(precision="float16")
    scales, finite = [], True
    while finite:
        scales.append(descent.state()["scaler"]["scale"])
        descent.add(model(torch.tensor([float("nan"), 1.0])).sum(), 1)
        finite = descent.step(0.1)
    assert scales[:3] == [65536, 32768, 16384] and scales[-1] == 2.0**-10
    assert torch.equal(model.weight.detach(), torch.ones(1, 2))


def test_the_running_mean_follows_and_is_kept():
    model, descent = make(ema=0.75)
    descent.add(model(torch.tensor([4.0, 0.0])).sum(), 1)
    descent.step(0.1)
    assert descent.mean["weight"].tolist() == [[pytest.approx(0.9), 1.0]]
    kept = copy.deepcopy(descent.state())
    with torch.no_grad():
        model.weight.copy_(descent.mean["weight"])  # what a run saves as its network
    again = Descent(model, model, TrainConfig(ema=0.75), CPU)
    again.load(kept)
    assert model.weight.tolist() == [[pytest.approx(0.6), 1.0]]
    assert torch.equal(again.mean["weight"], descent.mean["weight"])
