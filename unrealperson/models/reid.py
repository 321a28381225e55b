"""The re-identification network: backbone, global average pooling, neck, classifier."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from unrealperson.config import TrainConfig
from unrealperson.models.cbn import CameraContext, convert_camera_batch_norm
from unrealperson.models.efficientnet import DIMENSION, EfficientNetLite0, load_imagenet


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
            Features [n, d]; in training features [n, d] and logits [n, classes].
        """
        if not self.training:
            return self._features(images, camera)
        features = self._features(images, camera)
        return features, self.classifier(features)

    def _features(self, images: Tensor, camera: Tensor) -> Tensor:
        with self.context.use(camera) if self.context else nullcontext():
            return self.neck(self.backbone(images).mean((2, 3)))


def build_model(config: TrainConfig, *, classes: int, cameras: int, pretrained: bool = True) -> ReidModel:
    """Builds the network with ImageNet weights in its backbone, and a new neck and classifier.

    Args:
        config: section [train]: backbone, weights, norm, min_images, seed.
        classes: number of training identities.
        cameras: number of cameras; ids are 0 ... cameras - 1.
        pretrained: False leaves the backbone as drawn, for weights that are loaded afterwards.

    Returns:
        The model on the CPU, in training mode and in channels-last memory format.

    Source: paper section 4.1; the neck's frozen bias and the classifier without bias, drawn with
    standard deviation 0.001, are the authors' code.
    """
    backbone = load_imagenet(config.weights) if pretrained else EfficientNetLite0()
    model = ReidModel(backbone, DIMENSION, classes)
    generator = torch.Generator().manual_seed(config.seed)
    nn.init.normal_(model.classifier.weight, std=0.001, generator=generator)
    if config.norm == "cbn":
        model.context = convert_camera_batch_norm(model, cameras, min_images=config.min_images)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
