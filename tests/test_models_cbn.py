from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unrealperson.models.cbn import (
    CameraBatchNorm1d,
    CameraBatchNorm2d,
    CameraContext,
    convert_camera_batch_norm,
    copy_statistics,
    fold_statistics,
    freeze_statistics,
    reset_statistics,
    resize_tables,
)

C = 5


def make_layer(cameras: int = 3, *, flat: bool = False, **options) -> CameraBatchNorm2d:
    kind = CameraBatchNorm1d if flat else CameraBatchNorm2d
    layer = kind(C, cameras, CameraContext(), **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        layer.weight.copy_(torch.rand(C, generator=generator) + 0.5)
        layer.bias.copy_(torch.randn(C, generator=generator))
    return layer


def images(n: int, *, flat: bool = False, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((n, C) if flat else (n, C, 4, 3), generator=generator)
    return x * 3 + 2 if flat else (x * 3 + 2).contiguous(memory_format=torch.channels_last)


def reference(x: torch.Tensor, camera: torch.Tensor, layer: CameraBatchNorm2d) -> torch.Tensor:
    """Each camera's images through plain batch norm; cameras with too few images by the whole batch."""
    y = F.batch_norm(x, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)
    for key in camera.unique():
        own = camera == key
        if own.sum() >= layer.min_images:
            part = F.batch_norm(x[own], None, None, layer.weight, layer.bias, training=True, eps=layer.eps)
            y = y.index_put((own.nonzero()[:, 0],), part)
    return y


CAMERAS = {
    "sorted": [0, 0, 0, 1, 1, 2, 2, 2],
    "mixed order": [2, 0, 1, 0, 2, 1, 2, 0],
    "one camera": [1] * 8,
    "one image of a camera": [0, 0, 0, 1, 2, 2, 2, 2],
    "single images, mixed": [2, 0, 0, 1, 0, 0, 0, 0],
    "unknown camera": [0, 0, 0, 3, 3, 3, 1, 1],
}


@pytest.mark.parametrize("flat", [False, True], ids=["2d", "1d"])
@pytest.mark.parametrize("cameras", CAMERAS.values(), ids=CAMERAS.keys())
def test_training_normalises_each_camera_by_its_own_statistics(cameras, flat):
    layer = make_layer(flat=flat)
    camera = torch.tensor(cameras)
    x = images(len(camera), flat=flat).requires_grad_()
    with layer.context.use(camera):
        y = layer(x)
    expected = reference(x, camera, layer)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    inputs = (x, layer.weight, layer.bias)
    found = torch.autograd.grad((y * weight).sum(), inputs)
    wanted = torch.autograd.grad((expected * weight).sum(), inputs)
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_gradients_are_exact_in_double_precision():
    layer = make_layer().double()
    camera = torch.tensor([0, 1, 0, 1, 2])

    def run(x, weight, bias):
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        with layer.context.use(camera):
            return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    x = torch.randn(5, C, 2, 2, dtype=torch.double, generator=torch.Generator().manual_seed(3), requires_grad=True)
    weight, bias = layer.weight.detach().requires_grad_(), layer.bias.detach().requires_grad_()
    assert torch.autograd.gradcheck(run, (x, weight, bias))


def test_tables_hold_the_mean_of_all_batches_and_the_last_row_that_of_whole_batches():
    layer = make_layer(cameras=2, min_images=1)
    batches = [(images(8, seed=1), [0, 0, 0, 0, 1, 1, 1, 1]), (images(8, seed=2), [1, 0, 1, 0, 1, 0, 1, 0])]
    for x, cameras in batches:
        with layer.context.use(torch.tensor(cameras)):
            layer(x)
    for row in range(3):
        parts = [x if row == 2 else x[torch.tensor(cameras) == row] for x, cameras in batches]
        mean = torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0)
        var = torch.stack([part.var((0, 2, 3)) for part in parts]).mean(0)
        torch.testing.assert_close(layer.running_mean[row], mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(layer.running_var[row], var, rtol=1e-5, atol=1e-5)
    assert layer.images.tolist() == [8, 8, 16]


def test_batches_weigh_as_many_images_as_they_hold():
    layer = make_layer(cameras=1)
    x, y = images(6, seed=1), images(2, seed=2)
    for part in (x, y):
        with layer.context.use(torch.zeros(len(part), dtype=torch.int64)):
            layer(part)
    expected = (6 * x.mean((0, 2, 3)) + 2 * y.mean((0, 2, 3))) / 8
    torch.testing.assert_close(layer.running_mean[0], expected, rtol=1e-5, atol=1e-5)


def test_a_camera_with_too_few_images_leaves_its_table_row_alone():
    layer = make_layer(cameras=2)
    with layer.context.use(torch.tensor([0, 0, 0, 1])):
        layer(images(4))
    assert layer.running_mean[1].tolist() == [0.0] * C
    assert layer.images.tolist() == [3, 0, 4]


@pytest.mark.parametrize("flat", [False, True], ids=["2d", "1d"])
def test_evaluation_gathers_the_tables_by_camera_and_takes_the_last_row_for_unknown_ones(flat):
    layer = make_layer(flat=flat).eval()
    generator = torch.Generator().manual_seed(4)
    layer.running_mean.copy_(torch.randn(4, C, generator=generator))
    layer.running_var.copy_(torch.rand(4, C, generator=generator) + 0.1)
    x, camera = images(6, flat=flat), torch.tensor([2, 0, -1, 1, 99, 3])
    with layer.context.use(camera):
        y = layer(x)
    for i, row in enumerate([2, 0, 3, 1, 3, 3]):
        expected = F.batch_norm(
            x[i : i + 1], layer.running_mean[row], layer.running_var[row], layer.weight, layer.bias, eps=layer.eps
        )
        torch.testing.assert_close(y[i : i + 1], expected, rtol=1e-4, atol=1e-4)


def small_network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(6),
        )  # fmt: skip


def test_conversion_keeps_what_the_network_computes():
    plain = small_network()
    plain(torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(0)))
    converted = copy.deepcopy(plain)
    context = convert_camera_batch_norm(converted, 2)
    layers = [layer for layer in converted.modules() if isinstance(layer, CameraBatchNorm2d)]
    assert [type(layer).__name__ for layer in layers] == ["CameraBatchNorm2d"] * 2 + ["CameraBatchNorm1d"]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in converted.modules())
    x = torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    with context.use(torch.tensor([0, 1, -1, 0])):
        torch.testing.assert_close(converted.eval()(x), plain.eval()(x), rtol=1e-4, atol=1e-5)


def test_one_pass_equals_one_pass_per_camera():
    """The authors' code runs the whole network once per camera."""
    network = small_network()
    context = convert_camera_batch_norm(network, 2)
    x = torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(2))
    camera = torch.tensor([1, 0, 0, 1, 0, 1, 0, 1])
    with context.use(camera):
        together = network(x)
    for key in (0, 1):
        own = camera == key
        with context.use(camera[own]):
            torch.testing.assert_close(network(x[own]), together[own], rtol=1e-4, atol=1e-5)


def test_tables_can_be_resized_reset_and_shared():
    layer = make_layer(cameras=2)
    with layer.context.use(torch.tensor([0, 0, 1, 1])):
        layer(images(4))
    last = layer.running_mean[-1].clone()
    reset_statistics(layer, -1)
    assert layer.images.tolist() == [2, 2, 0]
    resize_tables(layer, 4, min_images=2)
    assert layer.running_mean.shape == (5, C) and torch.equal(layer.running_mean[0], last)
    layer.running_mean[-1] = 7
    copy_statistics(layer, -1, 1)
    copy_statistics(layer, -1, 3)
    assert (layer.running_mean[[1, 3, 4]] == 7).all() and torch.equal(layer.running_mean[2], last)


def test_without_camera_ids_the_error_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"no camera ids are set: run the model inside"):
        make_layer()(images(2))


@pytest.mark.parametrize(
    ("x", "camera", "message"),
    [
        (images(2, flat=True), [0, 0], r"CameraBatchNorm2d expects 4 dimensions, got \[2, 5\]"),
        (images(3), [0, 0], "3 images but 2 camera ids"),
    ],
)
def test_bad_input_is_refused(x, camera, message):
    layer = make_layer()
    with layer.context.use(torch.tensor(camera)), pytest.raises(ValueError, match=message):
        layer(x)


class Shared(nn.Module):
    """Batch norm in all the places where users have it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.again = self.norm
        self.listed = nn.ModuleList([nn.BatchNorm3d(3), nn.ModuleDict({"deep": nn.BatchNorm1d(3)})])
        self.bare = nn.BatchNorm2d(3, affine=False, track_running_stats=False)
        self.synced = nn.SyncBatchNorm(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bare(self.again(self.norm(x)))
        volume = self.listed[0](x[:, :, None])[:, :, 0]
        return self.synced(self.listed[1]["deep"](volume.flatten(2)))


def test_conversion_finds_every_kind_of_batch_norm_in_every_place():
    model = Shared()
    context = convert_camera_batch_norm(model, 2)
    kinds = {
        name: type(layer).__name__ for name, layer in model.named_modules() if isinstance(layer, CameraBatchNorm2d)
    }
    assert kinds == {
        "norm": "CameraBatchNorm2d",
        "listed.0": "CameraBatchNorm3d",
        "listed.1.deep": "CameraBatchNorm1d",
        "bare": "CameraBatchNorm2d",
        "synced": "CameraBatchNorm",
    }
    assert model.again is model.norm
    assert not model.bare.weight.requires_grad and model.norm.weight.requires_grad
    x = torch.randn(6, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    camera = torch.tensor([0, 1, 0, 1, 0, 1])
    with context.use(camera):
        y = model(x)
        for key in (0, 1):
            own = y[camera == key]
            assert own.mean((0, 2)).abs().max() < 1e-4 and (own.var((0, 2), correction=0) - 1).abs().max() < 1e-2


def test_frozen_layers_give_the_same_for_any_number_of_dimensions():
    model = Shared()
    context = convert_camera_batch_norm(model, 2)
    x = torch.randn(6, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    with context.use(torch.tensor([0, 1, 0, 1, 0, 1])):
        model(x)
    frozen = freeze_statistics(model)
    with context.use(torch.tensor([0, 1, 5, 1, 0, -1])):
        expected = model.eval()(x)
    with frozen.norm.context.use(torch.tensor([0, 1, 2, 1, 0, 2])):  # rows of the tables
        torch.testing.assert_close(frozen(x), expected, rtol=1e-4, atol=1e-5)
    assert len(frozen.norm.scale) == 4 and torch.equal(frozen.norm.scale[-1].flatten(), model.norm.weight.detach())


def test_folded_layers_are_plain_ones():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    context = convert_camera_batch_norm(model, 2)
    x = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    with context.use(torch.tensor([0, 1, 0, 1, 0, 1])):
        model(x)
    for row in (0, 1, -1):
        with context.use(torch.full((6,), row)):
            expected = model.eval()(x)
        folded = fold_statistics(model, row)
        assert type(folded[1]) is nn.BatchNorm2d
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)


class NormAndActivation(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).relu()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.BatchNorm2d(3), "the model is itself a BatchNorm2d; put it into torch.nn.Sequential"),
        (nn.Linear(2, 2), "Linear holds no batch-norm layer"),
        (nn.Sequential(nn.LazyBatchNorm2d()), "of unknown size; run the model once before"),
        (nn.Sequential(NormAndActivation(3)), "0 is a NormAndActivation, which computes more than batch norm"),
    ],
)
def test_what_cannot_be_converted_is_named(model, message):
    with pytest.raises(ValueError, match=message):
        convert_camera_batch_norm(model, 2)
