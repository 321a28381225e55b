"""What adaptation remembers of the target: a vector per image, per cluster, or per cluster and camera; and its losses.

Shapes: n images of the target, b of a batch, v views of each, d dimensions, c clusters, p proxies.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Update = Literal["momentum", "hard"]


def local_loss(views: Tensor, *, temperature: float = 0.1) -> Tensor:
    """One-hot loss within a batch: each view shall be nearest to the mean of its own image's views.

    Args:
        views: [b, v, d] unit vectors of the views of each image.
        temperature: beta.

    Source: Li and Zhang, JVTC, ECCV 2020 (local loss).
    """
    batch, count, _ = views.shape
    logits = views.flatten(0, 1) @ view_means(views).T / temperature
    return F.cross_entropy(logits, torch.arange(batch, device=views.device).repeat_interleave(count))


def view_means(views: Tensor) -> Tensor:
    """Unit vectors [b, d] of the views' means.

    Args:
        views: [b, v, d].
    """
    return F.normalize(views.mean(1))


def image_momentum(epoch: float) -> float:
    """Share of its old vector that an image keeps.

    Args:
        epoch: of 60, from 1.

    Source: the authors' code, min(0.01 epoch, 0.8).
    """
    return min(0.01 * epoch, 0.8)


class ImageMemory:
    """A vector of each image of the target, and the image's label.

    Args:
        vectors: [n, d] float32; kept.
        label: [n] int64 cluster of each image.
    """

    def __init__(self, vectors: Tensor, label: Tensor) -> None:
        self.vectors = vectors
        self.label = label

    def loss(self, views: Tensor, rows: Tensor, *, temperature: float = 0.05) -> Tensor:
        """Multi-class loss: a view shall be near to all images of its cluster, each with an equal share.

        Args:
            views: [b, v, d] unit vectors.
            rows: [b] int64 image of each.
            temperature: beta.

        Source: JVTC's global loss in the authors' code: the label vector is divided by its sum.
        """
        everyone = torch.logsumexp(views.flatten(0, 1) @ self.vectors.T / temperature, 1)
        same = (self.label == self.label[rows, None]).to(views.dtype)
        own = same @ self.vectors / same.sum(1, keepdim=True)  # equal shares: the members' mean does for all of them
        return (everyone - (views * own[:, None]).sum(2).flatten() / temperature).mean()

    @torch.no_grad()
    def update(self, rows: Tensor, means: Tensor, *, momentum: float) -> None:
        """Moves the images of a batch: M <- (1 - m) w + m M. The length is not made 1 again, as in the authors' code.

        Args:
            rows: [b] int64 images.
            means: [b, d] unit vectors of their views' means.
            momentum: m.
        """
        self.vectors[rows] = (1 - momentum) * means + momentum * self.vectors[rows]


class ClusterMemory:
    """A unit vector of each cluster.

    Args:
        vectors: [c, d] float32 unit vectors; kept.
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def loss(self, features: Tensor, label: Tensor, *, temperature: float = 0.05) -> Tensor:
        """Cross-entropy of the similarities to all clusters (InfoNCE).

        Args:
            features: [b, d] unit vectors.
            label: [b] int64 cluster of each.
            temperature: tau.

        Source: Dai et al., "Cluster Contrast", ACCV 2022, equation 2.
        """
        return F.cross_entropy(features @ self.vectors.T / temperature, label)

    @torch.no_grad()
    def update(self, features: Tensor, label: Tensor, *, momentum: float = 0.1, rule: Update = "momentum") -> None:
        """Moves the clusters of a batch towards its images: M <- m M + (1 - m) x, of length 1.

        Args:
            features: [b, d] unit vectors.
            label: [b] int64 cluster of each.
            momentum: m.
            rule: by every image in turn ("momentum"), or by the one that is least alike ("hard").

        Source: Dai et al., equations 4 and 5, and their code.
        """
        if rule == "hard":
            alike = (features * self.vectors[label]).sum(1)
            order = torch.argsort(alike, stable=True)
            chosen = order[_first_of_each(label[order])]
            features, label = features[chosen], label[chosen]
        for vector, row in zip(features, label.tolist(), strict=True):
            self.vectors[row] = F.normalize(momentum * self.vectors[row] + (1 - momentum) * vector, dim=0)


class ProxyMemory(ClusterMemory):
    """A unit vector of each cluster under each camera.

    Args:
        vectors: [p, d] float32 unit vectors; kept.
        cluster: [p] int64 cluster of each proxy.
        camera: [p] int64 camera of each proxy.
    """

    def __init__(self, vectors: Tensor, cluster: Tensor, camera: Tensor) -> None:
        super().__init__(vectors)
        self.cluster = cluster
        self.camera = camera

    def rows(self, cluster: Tensor, camera: Tensor) -> Tensor:
        """The proxy of each image, [b] int64.

        Args:
            cluster: [b] int64.
            camera: [b] int64.
        """
        found = (self.cluster == cluster[:, None]) & (self.camera == camera[:, None])
        return found.to(torch.int8).argmax(1)

    def proxy_loss(self, features: Tensor, rows: Tensor, *, temperature: float = 0.07, negatives: int = 50) -> Tensor:
        """Tells the people under one camera apart, and draws a person's cameras together.

        Within a camera: cross-entropy over that camera's proxies. Across cameras: minus the mean log-share of the
        proxies of the same cluster under other cameras, among them and the nearest proxies of other clusters.

        Args:
            features: [b, d] unit vectors.
            rows: [b] int64 proxy of each.
            temperature: tau.
            negatives: so many of the nearest proxies of other clusters.

        Source: Wang et al., "Camera-aware Proxies", AAAI 2021, equations 5 and 7.
        """
        logits = features @ self.vectors.T / temperature
        foreign = self.camera != self.camera[rows, None]
        within = F.cross_entropy(logits.masked_fill(foreign, -torch.inf), rows)
        same = self.cluster == self.cluster[rows, None]
        positive = same & foreign
        hardest = logits.masked_fill(same, -torch.inf).topk(min(negatives, logits.shape[1]), dim=1).values
        everyone = torch.logsumexp(torch.cat([logits.masked_fill(~positive, -torch.inf), hardest], 1), 1)
        count = positive.sum(1)
        usable = count > 0
        if not bool(usable.any()):
            return within
        mean_positive = logits.masked_fill(~positive, 0).sum(1)[usable] / count[usable]
        return within + 0.5 * (everyone[usable] - mean_positive).mean()


def _first_of_each(label: Tensor) -> Tensor:
    """Place of the first row of each label."""
    order = torch.argsort(label, stable=True)
    ordered = label[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return order[first]
