"""Per-camera batch norm, forward and backward through autograd, against plain batch norm and the usual work-arounds.

Traffic is the least that can be moved: forward reads x and writes y, backward reads x and dy and writes dx.

Run: make bench
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unrealperson import ops

SHAPES = {
    "64x64x64x32, 8 cameras": (64, 64, 64, 32, 8),
    "64x256x64x32, 8 cameras": (64, 256, 64, 32, 8),
    "64x256x64x32, 15 cameras": (64, 256, 64, 32, 15),
    "64x2048x16x8, 8 cameras": (64, 2048, 16, 8, 8),
}
LAYOUTS = {"nchw": torch.contiguous_format, "channels last": torch.channels_last}
LIMIT = 0.8


def forward_backward(norm: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> Callable[[], None]:
    def run() -> None:
        x.grad = None
        norm(x).backward(grad)

    return run


def split_and_join(camera: Tensor, weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """The batch sorted beforehand, so that each camera is a slice."""
    counts = camera.bincount().tolist()
    return lambda x: torch.cat([F.batch_norm(part, None, None, weight, bias, True) for part in x.split(counts)])


def mask_loop(camera: Tensor, weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    def norm(x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        for own in (camera == key for key in camera.unique()):
            y[own] = F.batch_norm(x[own], None, None, weight, bias, True)
        return y

    return norm


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def bench_camera_batch_norm(race, shape, layout):
    *size, cameras = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(size, generator=generator).to(memory_format=LAYOUTS[layout]) for _ in range(2))
    x.requires_grad_()
    camera = torch.arange(size[0]) % cameras
    camera = camera[torch.randperm(size[0], generator=generator)]
    terms = torch.ones(size[1], requires_grad=True), torch.zeros(size[1], requires_grad=True)
    tables = torch.zeros(cameras, size[1]), torch.ones(cameras, size[1])

    def ours(x: Tensor) -> Tensor:
        return ops.camera_batch_norm(x, camera, *terms, *tables, training=True).y

    peers = {
        "BatchNorm2d": torch.nn.BatchNorm2d(size[1]),
        "sorted split + cat": split_and_join(camera.sort().values, *terms),
        "mask loop": mask_loop(camera, *terms),
    }
    race(
        forward_backward(ours, x, grad),
        {name: forward_backward(norm, x, grad) for name, norm in peers.items()},
        rounds=5,
        traffic=5 * x.numel() * x.element_size(),
        goals={"BatchNorm2d": LIMIT} if layout == "nchw" else {},
    )
