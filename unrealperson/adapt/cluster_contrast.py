"""Cluster contrast: the target's clusters, made anew each epoch, are the classes; one memory vector stands for each.

Alone it needs no labelled image; with a source its cross-entropy is added. Camera-aware proxies may join.

Source: Dai et al., "Cluster Contrast for Unsupervised Person Re-Identification", ACCV 2022; Wang et al., "Camera-aware
Proxies for Unsupervised Person Re-Identification", AAAI 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrealperson.adapt.batches import TargetBatch, augmented, cycled
from unrealperson.adapt.memory import ClusterMemory, ProxyMemory
from unrealperson.adapt.pseudo_labels import (
    OUTLIER,
    Clusters,
    cluster,
    cluster_means,
    infomap,
    shared_clusters,
    trouble,
)
from unrealperson.adapt.target import Target
from unrealperson.config import AdaptConfig, TrainConfig
from unrealperson.data.samplers import IdentitySampler
from unrealperson.distributed import Team
from unrealperson.log import get_logger
from unrealperson.ops import jaccard_graph

logger = get_logger(__name__)

EPOCHS, DECAY_EVERY, PAD = 50, 20, 10


class ClusterContrast:
    """What cluster contrast keeps of the target, its batches and its loss.

    Args:
        target: the site.
        config: section [adapt], resolved.
        train: section [train] of the run: size.
        team: the processes that share each batch.

    Attributes:
        schedule: published number of epochs, and after how many of them the learning rate falls to a tenth.

    Raises:
        ValueError: a batch cannot be shared alike.
    """

    schedule = EPOCHS, DECAY_EVERY

    def __init__(self, target: Target, config: AdaptConfig, train: TrainConfig, team: Team) -> None:
        self.batch_size = config.identities * config.images_per_identity
        if self.batch_size % team.world:
            raise ValueError(
                f"a batch of {self.batch_size} images cannot be shared by {team.world} processes alike; change "
                "adapt.identities or adapt.images_per_identity"
            )
        self.target, self.config, self.train, self.team = target, config, train, team
        self.steps = config.steps
        self._label = np.arange(len(target))
        self._clusters = ClusterMemory(torch.zeros(0, 0))
        self._proxies: ProxyMemory | None = None

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Adam.

        Args:
            groups: parameters.
        """
        return torch.optim.Adam(groups, lr=self.config.learning_rate, weight_decay=self.config.weight_decay)

    def begin(self, epoch: int, extract: Callable[[], np.ndarray]) -> Clusters | None:
        """Clusters the target and fills the memories; clusters that teach nothing leave the labels of before.

        Args:
            epoch: 1 for the first.
            extract: gives the features of the target.
        """
        config = self.config
        vectors = extract()

        def clusters() -> Clusters:
            graph = jaccard_graph(vectors, k1=config.k1, k2=config.k2, rule="spcl", eps=config.eps)
            if config.clusters == "dbscan":
                return cluster(graph, eps=config.eps, min_samples=config.min_samples)
            rng = np.random.default_rng([config.seed, epoch])
            return infomap(graph, eps=config.eps, min_samples=config.min_samples, rng=rng)

        found = shared_clusters(self.team, clusters)
        reason = trouble(found)
        if reason:
            way = "raise adapt.eps or lower adapt.min_samples" if found.groups == 0 else "lower adapt.eps"
            logger.warning(
                "epoch %d: %s; %s (%g, %d). Training goes on with the labels of before",
                epoch, reason, way, config.eps, config.min_samples,
            )  # fmt: skip
        else:
            self._label = found.label if config.outliers == "drop" else found.alone
        self._fill(vectors)
        return found

    def batches(self, epoch: int) -> Iterator[TargetBatch]:
        """The target's part of each step: images of some clusters, this process's share of them.

        Args:
            epoch: 1 for the first.
        """
        config, team, target = self.config, self.team, self.target
        kept = np.flatnonzero(self._label != OUTLIER)
        sampler = IdentitySampler(
            self._label[kept], identities=config.identities, images_per_identity=config.images_per_identity,
            seed=config.seed,
        )  # fmt: skip
        part = self.batch_size // team.world
        own = slice(team.rank * part, (team.rank + 1) * part)
        for step, drawn in enumerate(cycled(sampler, epoch, self.steps)):
            rows = kept[drawn]
            rng = np.random.default_rng([config.seed, epoch, step])
            images = augmented(
                target.images[rows[own]], own, count=len(rows), train=self.train, config=config,
                pad=PAD * self.train.height // 256, rng=rng,
            )  # fmt: skip
            yield TargetBatch(images, torch.from_numpy(target.camera[rows[own]]), torch.from_numpy(rows))

    def loss(self, features: Tensor, rows: Tensor, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Contrast with the clusters, and with the proxies where these are asked for.

        Args:
            features: [b, d] unit vectors of all processes' images.
            rows: [b] int64 rows of the target.
            epoch: 1 for the first.
        """
        config = self.config
        label, proxy = self._places(rows)
        contrast = self._clusters.loss(features, label, temperature=config.temperature)
        parts = {"contrast": contrast}
        total = contrast
        if self._proxies is not None and proxy is not None:
            parts["proxies"] = self._proxies.proxy_loss(features, proxy)
            total = total + config.proxy_weight * parts["proxies"]
        return total, parts

    def remember(self, features: Tensor, rows: Tensor, epoch: int) -> None:
        """Moves the memories after a step.

        Args:
            features: [b, d] unit vectors of all processes' images.
            rows: [b] int64 rows of the target.
            epoch: 1 for the first.
        """
        config = self.config
        label, proxy = self._places(rows)
        self._clusters.update(features, label, momentum=config.memory_momentum, rule=config.memory_update)
        if self._proxies is not None and proxy is not None:
            self._proxies.update(features, proxy, momentum=config.memory_momentum)

    def label(self) -> np.ndarray:
        """[n] int64 present cluster of each image, -1 in none."""
        return self._label

    def state(self) -> dict[str, Any]:
        """What going on takes: the memories are made anew each epoch."""
        return {"label": torch.from_numpy(self._label)}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`.

        Args:
            state: as `state` gave it.
        """
        self._label = state["label"].numpy()

    def _places(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Cluster and proxy of rows of the target."""
        label = torch.from_numpy(self._label[rows.cpu().numpy()]).to(rows.device)
        if self._proxies is None:
            return label, None
        camera = torch.from_numpy(self.target.camera[rows.cpu().numpy()]).to(rows.device)
        return label, self._proxies.rows(label, camera)

    def _fill(self, vectors: np.ndarray) -> None:
        device = self.team.device
        label = self._label
        self._clusters = ClusterMemory(_unit(cluster_means(vectors, label, int(label.max()) + 1)).to(device))
        if not self.config.proxy_weight:
            return
        kept = label != OUTLIER
        cameras = len(self.target.camera_keys)
        keys, of = np.unique(label[kept] * cameras + self.target.camera[kept], return_inverse=True)
        means = _unit(cluster_means(vectors[kept], of, len(keys))).to(device)
        cluster_of, camera = (torch.from_numpy(part).to(device) for part in np.divmod(keys, cameras))
        self._proxies = ProxyMemory(means, cluster_of, camera)


def _unit(x: np.ndarray) -> Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(x))
