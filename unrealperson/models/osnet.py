"""OSNet as a feature network: blocks of four streams whose receptive fields differ, weighed by one gate.

Values are named as in the published weight files. The 512 numbers of the network's own last layer are its feature.

Source: Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019, table 1 and figures 2 to 4.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from unrealperson.data.transforms import ImagenetColors
from unrealperson.models.weights import Release, fill

DIMENSION = 512
"""Length of the feature."""

Width = Literal["x0_25", "x1_0"]

RELEASES = {
    "x0_25": Release(
        "OSNet x0.25",
        "osnet_x0_25_imagenet.pth",
        "https://drive.google.com/uc?id=1rb8UN5ZzPKRc_xvtHlyDh-cSz88YX9hs",
        "f54941a66bad4ddd07f2907f498c810ce639ce7a1abeaf2a151f8da118d84693",
    ),
    "x1_0": Release(
        "OSNet x1.0",
        "osnet_x1_0_imagenet.pth",
        "https://drive.google.com/uc?id=1LaG1EJpHrxdAxKnSCJ_i0u-nbxSAeiFY",
        "",
    ),
}
_CHANNELS = {"x0_25": (16, 64, 96, 128), "x1_0": (64, 256, 384, 512)}
_STREAMS = "abcd"  # of 1 to 4 light convolutions
_GATE_REDUCTION = 16


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, and ReLU where asked for."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x


class LightConv(nn.Module):
    """A 3 x 3 convolution as a linear 1 x 1 and a depthwise 3 x 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv2(self.conv1(x))), inplace=True)


class Gate(nn.Module):
    """Weighs each channel of a stream by what the stream holds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = channels // _GATE_REDUCTION
        self.fc1 = nn.Conv2d(channels, middle, 1)
        self.fc2 = nn.Conv2d(middle, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class OmniScaleBlock(nn.Module):
    """Residual block of four streams with 1 to 4 light convolutions, added up behind one gate."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 4
        self.conv1 = ConvNorm(inputs, middle)
        for depth, stream in enumerate(_STREAMS, 1):
            layers = [LightConv(middle) for _ in range(depth)]
            setattr(self, f"conv2{stream}", layers[0] if depth == 1 else nn.Sequential(*layers))
        self.gate = Gate(middle)
        self.conv3 = ConvNorm(middle, outputs, relu=False)
        self.downsample = ConvNorm(inputs, outputs, relu=False) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        first, *others = (self.gate(getattr(self, f"conv2{stream}")(y)) for stream in _STREAMS)
        joint = self.conv3(sum(others, first))
        return F.relu(joint + (x if self.downsample is None else self.downsample(x)), inplace=True)


class OSNet(nn.Module):
    """[n, 3, h, w] images, normalised by `data.transforms`, to features [n, 512].

    Args:
        width: of all layers; x0_25 has a quarter of the channels of x1_0.
    """

    def __init__(self, width: Width) -> None:
        super().__init__()
        stem, second, third, fourth = _CHANNELS[width]
        self.colors = ImagenetColors()
        self.conv1 = ConvNorm(3, stem, kernel=7, stride=2)
        self.conv2 = _stage(stem, second, halve=True)
        self.conv3 = _stage(second, third, halve=True)
        self.conv4 = _stage(third, fourth, halve=False)
        self.conv5 = ConvNorm(fourth, fourth)
        self.fc = nn.Sequential(nn.Linear(fourth, DIMENSION), nn.BatchNorm1d(DIMENSION), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(self.colors(x)), 3, 2, 1)
        x = self.conv5(self.conv4(self.conv3(self.conv2(x))))
        return self.fc(x.mean((2, 3)))


def load_osnet(width: Width, weights: str = "") -> OSNet:
    """Builds the network with its ImageNet weights.

    Args:
        width: x0_25 or x1_0.
        weights: file of a state dict named as torchreid does; empty: the published one, from torch's cache folder or,
            where its hash is known, from its address.

    Raises:
        RuntimeError: no file is given and the published one cannot be fetched.
        ValueError: the file is missing, is no state dict, or belongs to another network.
    """
    release = RELEASES[width]
    model = OSNet(width)
    fill(model, weights or release.fetch(), network=release.network, left_out="classifier.")
    return model


def _stage(inputs: int, outputs: int, *, halve: bool) -> nn.Sequential:
    blocks: list[nn.Module] = [OmniScaleBlock(inputs, outputs), OmniScaleBlock(outputs, outputs)]
    if halve:
        blocks.append(nn.Sequential(ConvNorm(outputs, outputs), nn.AvgPool2d(2, 2)))
    return nn.Sequential(*blocks)
