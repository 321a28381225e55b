"""The re-identification network: backbone, global average pooling, neck, classifier."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from unrealperson.config import TrainConfig
from unrealperson.models import efficientnet, osnet, resnet
from unrealperson.models.cbn import CameraContext, convert_camera_batch_norm, synchronise_batch_norm
from unrealperson.models.weights import draw_weights


class ReidModel(nn.Module):
    """Images and their cameras to features, and in training also to identity logits.

    Args:
        backbone: [n, 3, h, w] to [n, d] or [n, d, ...].
        dimension: d.
        classes: identities to tell apart.
        attention: whether the frames of a tracklet weigh by what they show, rather than alike.

    Attributes:
        dimension: d, length of a feature.
        attention: features [n, d] to a score each [n, 1], whose softmax weighs a tracklet's frames; None: all alike.
        context: hands the camera ids to the camera batch-norm layers; None with plain batch norm.
    """

    def __init__(self, backbone: nn.Module, dimension: int, classes: int, *, attention: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = nn.BatchNorm1d(dimension)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(dimension, classes, bias=False)
        self.attention: nn.Linear | None = None
        if attention:
            self.attention = nn.Linear(dimension, 1)
            nn.init.zeros_(self.attention.weight)
            nn.init.zeros_(self.attention.bias)
        self.dimension = dimension
        self.context: CameraContext | None = None

    @property
    def device(self) -> torch.device:
        """Where the network computes, and where images and cameras have to be."""
        return self.neck.weight.device

    def forward(self, images: Tensor, camera: Tensor, frames: int = 1) -> Tensor | tuple[Tensor, Tensor]:
        """One pass over a batch.

        Args:
            images: [n, 3, h, w] float32, normalised.
            camera: [n] int64; any id outside 0 ... cameras - 1 means "unknown camera".
            frames: t: so many images next to each other are a tracklet and give one feature.

        Returns:
            Features [n / t, d]; in training what enters the neck [n / t, d], which losses of distances take, and
            logits [n / t, classes].

        Source: Luo et al., "Bag of Tricks" (BNNeck), CVPRW 2019; paper section 4.1; Gao and Nevatia, "Revisiting
        Temporal Modeling for Video-based Person ReID", 2018 (temporal pooling and attention).
        """
        with self._cameras(camera):
            pooled = self._pool(images)
            features = self.neck(pooled)
        if frames > 1:
            weight = self.score_frames(features).view(-1, frames, 1).softmax(1)
            pooled, features = ((weight * each.unflatten(0, (-1, frames))).sum(1) for each in (pooled, features))
        return (pooled, self.classifier(features)) if self.training else features

    def pool(self, images: Tensor, camera: Tensor) -> Tensor:
        """What enters the neck, [n, d].

        Args:
            images: [n, 3, h, w] float32, normalised.
            camera: [n] int64, as in a whole pass.
        """
        with self._cameras(camera):
            return self._pool(images)

    def score_frames(self, features: Tensor) -> Tensor:
        """How much each frame tells, as a score whose softmax over a tracklet weighs its frames, [n].

        Args:
            features: [n, d], of single images.
        """
        return features.new_zeros(len(features)) if self.attention is None else self.attention(features)[:, 0]

    def _cameras(self, camera: Tensor) -> AbstractContextManager[None]:
        return self.context.use(camera) if self.context else nullcontext()

    def _pool(self, images: Tensor) -> Tensor:
        pooled = self.backbone(images)
        return pooled.mean((2, 3)) if pooled.ndim == 4 else pooled


def build_model(
    config: TrainConfig, *, classes: int, cameras: int, pretrained: bool = True, process_group: Any = None
) -> ReidModel:
    """Builds the network with ImageNet weights in its backbone, and a new neck and classifier.

    Args:
        config: section [train]: backbone, weights, norm, sync_norm, min_images, frame_pooling, seed.
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
    backbone, dimension = _backbone(config, pretrained=pretrained)
    model = ReidModel(backbone, dimension, classes, attention=config.frame_pooling == "attention")
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
