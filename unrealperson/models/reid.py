"""The re-identification network: backbone, global average pooling, neck, classifier."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from unrealperson.config import TrainConfig
from unrealperson.models import efficientnet, osnet, resnet
from unrealperson.models.cbn import CameraContext, convert_camera_batch_norm, synchronise_batch_norm
from unrealperson.models.weights import draw_weights


class ReidModel(nn.Module):
    """Images and their cameras to features, and in training also to identity logits.

    Attributes:
        dimension: d, length of a feature.
        context: hands the camera ids to the camera batch-norm layers; None with plain batch norm.
    """

    def __init__(self, backbone: nn.Module, dimension: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = nn.BatchNorm1d(dimension)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(dimension, classes, bias=False)
        self.dimension = dimension
        self.context: CameraContext | None = None

    def forward(self, images: Tensor, camera: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """One pass over a batch.

        Args:
            images: [n, 3, h, w] float32, normalised.
            camera: [n] int64; any id outside 0 ... cameras - 1 means "unknown camera".

        Returns:
            Features [n, d]; in training what enters the neck [n, d], which losses of distances take, and
            logits [n, classes].

        Source: Luo et al., "Bag of Tricks" (BNNeck), CVPRW 2019; paper section 4.1.
        """
        with self.context.use(camera) if self.context else nullcontext():
            pooled = self.backbone(images)
            if pooled.ndim == 4:
                pooled = pooled.mean((2, 3))
            features = self.neck(pooled)
        return (pooled, self.classifier(features)) if self.training else features


def build_model(
    config: TrainConfig, *, classes: int, cameras: int, pretrained: bool = True, process_group: Any = None
) -> ReidModel:
    """Builds the network with ImageNet weights in its backbone, and a new neck and classifier.

    Args:
        config: section [train]: backbone, weights, norm, sync_norm, min_images, seed.
        classes: number of training identities.
        cameras: number of cameras; ids are 0 ... cameras - 1.
        pretrained: False leaves the backbone as drawn, for weights that are loaded afterwards.
        process_group: torch.distributed group of the processes that train together, or None.

    Returns:
        The model on the CPU, in training mode and in channels-last memory format.

    Raises:
        RuntimeError: the weights are not on this machine and cannot be fetched.
        ValueError: the weights do not fit the backbone.

    Source: paper section 4.1; the neck's frozen bias and the classifier without bias, drawn with
    standard deviation 0.001, are the authors' code.
    """
    model = ReidModel(*_backbone(config, pretrained=pretrained), classes)
    generator = torch.Generator().manual_seed(config.seed)
    nn.init.normal_(model.classifier.weight, std=0.001, generator=generator)
    group = process_group if config.sync_norm else None
    if config.norm == "cbn":
        model.context = convert_camera_batch_norm(model, cameras, min_images=config.min_images, process_group=group)
    elif group is not None:
        synchronise_batch_norm(model, group)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _backbone(config: TrainConfig, *, pretrained: bool) -> tuple[nn.Module, int]:
    name, weights = config.backbone, config.weights
    published = pretrained and weights != "none"
    backbone: nn.Module
    if name == "efficientnet_lite0":
        dimension = efficientnet.DIMENSION
        backbone = efficientnet.load_imagenet(weights) if published else efficientnet.EfficientNetLite0()
    elif name in ("osnet_x0_25", "osnet_x1_0"):
        dimension = osnet.DIMENSION
        width: osnet.Width = "x0_25" if name == "osnet_x0_25" else "x1_0"
        backbone = osnet.load_osnet(width, weights) if published else osnet.OSNet(width)
    else:
        dimension = resnet.DIMENSION
        ibn = name == "resnet50_ibn_a"
        backbone = resnet.load_resnet50(weights, instance_norm=ibn) if published else resnet.ResNet50(instance_norm=ibn)
    if pretrained and not published:
        draw_weights(backbone, config.seed)
    return backbone, dimension
