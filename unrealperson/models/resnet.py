"""ResNet-50 and ResNet-50-IBN-a as feature networks, whose values are named as in the published weight files.

As re-identification wants it, the last stage keeps its resolution (stride 1): the map is a sixteenth of the image.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, with the stride in the 3 x 3
convolution as in torchvision; Pan et al., "Two at Once" (IBN-Net), ECCV 2018; paper section 4.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrealperson.data.transforms import ImagenetColors
from unrealperson.models.weights import Release, fill

DIMENSION = 2048
"""Channels of the feature map."""

RESNET50 = Release(
    "ResNet-50", "resnet50-0676ba61.pth", "https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61"
)
RESNET50_IBN_A = Release(
    "ResNet-50-IBN-a",
    "resnet50_ibn_a-d9d0bb7b.pth",
    "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
    "d9d0bb7b",
)

_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 1))  # width, blocks, stride of the first block


class InstanceBatchNorm(nn.Module):
    """Instance norm for the first half of the channels, batch norm for the others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.instances = channels // 2
        self.IN = nn.InstanceNorm2d(self.instances, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.instances)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.split([self.instances, x.shape[1] - self.instances], dim=1)
        return torch.cat([self.IN(first), self.BN(second)], dim=1)


class Bottleneck(nn.Module):
    """Residual block: 1 x 1, 3 x 3 with the stride, 1 x 1 to four times the width."""

    def __init__(self, inputs: int, width: int, *, stride: int, instance_norm: bool) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1: nn.Module = InstanceBatchNorm(width) if instance_norm else nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class ResNet50(nn.Module):
    """[n, 3, h, w] images, normalised by `data.transforms`, to a feature map [n, 2048, h / 16, w / 16].

    Args:
        instance_norm: IBN-a: instance norm for half of the channels of each block's first layer, but in the last stage.
    """

    def __init__(self, *, instance_norm: bool = False) -> None:
        super().__init__()
        self.colors = ImagenetColors()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for number, (width, blocks, stride) in enumerate(_STAGES, 1):
            stage = []
            for index in range(blocks):
                stage.append(
                    Bottleneck(
                        inputs,
                        width,
                        stride=stride if index == 0 else 1,
                        instance_norm=instance_norm and number < len(_STAGES),
                    )
                )
                inputs = 4 * width
            setattr(self, f"layer{number}", nn.Sequential(*stage))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(self.colors(x))), inplace=True)
        x = F.max_pool2d(x, 3, 2, 1)
        for number in range(1, len(_STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
        return x


def load_resnet50(weights: str = "", *, instance_norm: bool = False) -> ResNet50:
    """Builds the network with its ImageNet weights.

    Args:
        weights: file of a state dict as torchvision (or, for IBN-a, IBN-Net) names its values; empty: the published
            one, fetched where it is not in torch's cache folder.
        instance_norm: ResNet-50-IBN-a.

    Raises:
        RuntimeError: no file is given and the published one cannot be fetched.
        ValueError: the file is missing, is no state dict, or belongs to another network.
    """
    release = RESNET50_IBN_A if instance_norm else RESNET50
    model = ResNet50(instance_norm=instance_norm)
    fill(model, weights or release.fetch(), network=release.network, left_out="fc.")
    return model
