"""Losses over a batch: of identities' logits, and of the distances between features.

Shapes: n images, d dimensions, c identities.

Source: paper section 4.1 (softmax cross-entropy); the others as each function says.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrealperson.config import TrainConfig


class Losses(nn.Module):
    """The weighed sum of the losses that a configuration asks for.

    Args:
        config: section [train]: label_smoothing, triplet, triplet_margin, circle, center.
        dimension: d.
        classes: c.

    Attributes:
        centers: [c, d] float32, the identities' centers, or [0, d] without that loss; they follow the features.
    """

    centers: Tensor

    def __init__(self, config: TrainConfig, *, dimension: int, classes: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("centers", torch.zeros(classes if config.center else 0, dimension))

    def forward(
        self, features: Tensor, logits: Tensor, label: Tensor, gather: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """The loss of a batch, a float32 scalar.

        Args:
            features: [n, d] before the neck.
            logits: [n, c].
            label: [n] int64.
            gather: joins the rows of all processes, so that distances are taken over the whole batch; None where
                there is one process.
        """
        config = self.config
        loss = cross_entropy(logits, label, smoothing=config.label_smoothing)
        if not (config.triplet or config.circle or config.center):
            return loss
        features = features.float()
        if gather is not None:
            features, label = gather(features), gather(label)
        if config.triplet:
            loss = loss + config.triplet * triplet_loss(features, label, margin=config.triplet_margin)
        if config.circle:
            loss = loss + config.circle * circle_loss(features, label)
        if config.center:
            loss = loss + config.center * center_loss(features, label, self.centers)
            move_centers(self.centers, features.detach(), label)
        return loss


def cross_entropy(logits: Tensor, label: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean softmax cross-entropy.

    Args:
        logits: [n, c] float.
        label: [n] int64.
        smoothing: share of the label that is spread over all identities, 0 to 1.

    Source: Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016 (label smoothing).
    """
    return F.cross_entropy(logits.float(), label, label_smoothing=smoothing)


def triplet_loss(features: Tensor, label: Tensor, *, margin: float = 0.3) -> Tensor:
    """Mean triplet loss over the images as anchors, each with its farthest positive and nearest negative.

    Anchors without another image of their identity in the batch, or without one of another identity, are left out.

    Args:
        features: [n, d] float32.
        label: [n] int64.
        margin: by how much the negative shall be farther, in Euclidean distance; 0 takes the soft margin log(1 + exp).

    Source: Hermans et al., "In Defense of the Triplet Loss", 2017 (batch hard, soft margin).
    """
    distance = _distances(features)
    same, other = _pairs(label)
    farthest = distance.masked_fill(~same, -torch.inf).amax(1)
    nearest = distance.masked_fill(~other, torch.inf).amin(1)
    usable = same.any(1) & other.any(1)
    if not bool(usable.any()):
        return features.sum() * 0.0
    gap = (farthest - nearest)[usable]
    return F.relu(gap + margin).mean() if margin > 0 else F.softplus(gap).mean()


def circle_loss(features: Tensor, label: Tensor, *, margin: float = 0.25, scale: float = 128.0) -> Tensor:
    """Circle loss over the cosines of all pairs of a batch; the farther a cosine is from its goal, the more it weighs.

    Args:
        features: [n, d] float32.
        label: [n] int64.
        margin: m: cosines of one identity shall reach 1 - m, those of two stay below m.
        scale: gamma.

    Source: Sun et al., "Circle Loss", CVPR 2020, equations 6 and 8.
    """
    vectors = F.normalize(features)
    cosine = vectors @ vectors.T
    same, other = _pairs(label)
    usable = same.any(1) & other.any(1)
    if not bool(usable.any()):
        return features.sum() * 0.0
    positive = (1 + margin - cosine.detach()).clamp(min=0) * (cosine - (1 - margin))
    negative = (cosine.detach() + margin).clamp(min=0) * (cosine - margin)
    pull = torch.logsumexp((-scale * positive).masked_fill(~same, -torch.inf)[usable], dim=1)
    push = torch.logsumexp((scale * negative).masked_fill(~other, -torch.inf)[usable], dim=1)
    return F.softplus(pull + push).mean()


def center_loss(features: Tensor, label: Tensor, centers: Tensor) -> Tensor:
    """Half the mean squared distance of the features from their identities' centers.

    Args:
        features: [n, d] float32.
        label: [n] int64.
        centers: [c, d] float32, constants.

    Source: Wen et al., "A Discriminative Feature Learning Approach", ECCV 2016, equation 2.
    """
    return 0.5 * (features - centers[label]).square().sum(1).mean()


def move_centers(centers: Tensor, features: Tensor, label: Tensor, *, rate: float = 0.5) -> None:
    """Moves the centers of a batch's identities towards its features.

    Args:
        centers: [c, d] float32, changed in place.
        features: [n, d] float32 without gradient.
        label: [n] int64.
        rate: alpha.

    Source: Wen et al., equation 4.
    """
    pull = torch.zeros_like(centers).index_add_(0, label, centers[label] - features)
    count = torch.bincount(label, minlength=len(centers))
    centers -= rate * pull / (1 + count[:, None])


def _distances(features: Tensor) -> Tensor:
    """[n, n] Euclidean; its gradient is finite where two features are equal."""
    squares = features.square().sum(1)
    squared = squares[:, None] + squares - 2 * features @ features.T
    return squared.clamp(min=1e-12).sqrt()


def _pairs(label: Tensor) -> tuple[Tensor, Tensor]:
    """[n, n] bool each: another image of the same identity, and an image of another identity."""
    same = label[:, None] == label
    other = ~same
    return same & ~torch.eye(len(label), dtype=torch.bool, device=label.device), other
