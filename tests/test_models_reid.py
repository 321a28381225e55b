from __future__ import annotations

import pytest
import torch
from torch import nn

from unrealperson.config import TrainConfig
from unrealperson.models.cbn import CameraBatchNorm1d, CameraBatchNorm2d
from unrealperson.models.reid import ReidModel, build_model


def build(norm: str = "cbn", **options) -> ReidModel:
    return build_model(TrainConfig(norm=norm, **options), classes=5, cameras=3, pretrained=False)


def batch(n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(n, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    return images, torch.tensor([2, 0, 1] * n)[:n]


@pytest.mark.parametrize("norm", ["cbn", "bn"])
def test_training_gives_features_and_logits_evaluation_features(norm):
    model = build(norm)
    images, camera = batch()
    features, logits = model(images, camera)
    assert features.shape == (6, 1280) and logits.shape == (6, 5)
    with torch.inference_mode():
        assert model.eval()(images, camera).shape == (6, 1280)


@pytest.mark.parametrize(("norm", "count"), [("cbn", 50), ("bn", 0)])
def test_every_batch_norm_is_camera_based_or_none(norm, count):
    model = build(norm)
    layers = [layer for layer in model.modules() if isinstance(layer, CameraBatchNorm2d)]
    assert len(layers) == count
    assert isinstance(model.neck, CameraBatchNorm1d if norm == "cbn" else nn.BatchNorm1d)
    assert not model.neck.bias.requires_grad


def test_the_classifier_has_no_bias_and_small_weights_that_depend_on_the_seed():
    model = build(seed=1)
    assert model.classifier.bias is None
    assert model.classifier.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert torch.equal(model.classifier.weight, build(seed=1).classifier.weight)
    assert not torch.equal(model.classifier.weight, build(seed=2).classifier.weight)


def test_the_order_of_a_batch_does_not_matter():
    model = build().double()
    images, camera = batch()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    _, logits = model(images.double(), camera)
    _, shuffled = model(images[order].double(), camera[order])
    torch.testing.assert_close(shuffled, logits[order])


def test_gradients_reach_every_trained_parameter():
    model = build()
    images, camera = batch()
    model(images, camera)[1].square().sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
