"""JVTC: joint visual and temporal consistency, with camera-based batch norm.

Each image of the target stands beside views of it as other cameras show it. Within a batch it is a class of its own;
against a memory of all images it belongs to those that its label says. Labels come from clusters of the memory: by
looks, and later by looks and the times between cameras.

Source: paper section 4.3; Li and Zhang, "Joint Visual and Temporal Consistency for Unsupervised Domain Adaptive Person
Re-Identification", ECCV 2020, and the UnrealPerson authors' code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrealperson.adapt.batches import TargetBatch, augmented, cycled
from unrealperson.adapt.camera_style import CameraStyles
from unrealperson.adapt.memory import ImageMemory, image_momentum, local_loss, view_means
from unrealperson.adapt.pseudo_labels import Clusters, cluster, shared_clusters, smallest_mean, trouble
from unrealperson.adapt.reciprocal import joint_graph, visual_graph
from unrealperson.adapt.scoring import times_of
from unrealperson.adapt.target import Target
from unrealperson.config import AdaptConfig, TrainConfig
from unrealperson.data.samplers import RandomSampler
from unrealperson.distributed import Team
from unrealperson.log import get_logger
from unrealperson.ops import TemporalModel

logger = get_logger(__name__)

EPOCHS = 60
DECAY_EVERY, GLOBAL_FROM = 40, 10
LABEL_EVERY, VISUAL_FROM, JOINT_FROM = 5, 10, 30
"""Epochs, from 1, of the published length."""


def labels_due(epoch: int, epochs: int) -> str:
    """Which labels are made before an epoch.

    Args:
        epoch: 1 for the first.
        epochs: length of the run; what is published for 60 epochs scales with it.

    Returns:
        "visual", "joint", or "" for none.

    Source: the authors' code: every 5 epochs, by looks in 10 ... 25 and jointly from 30 on, not at the last.
    """
    now, before = epoch * EPOCHS / epochs, (epoch - 1) * EPOCHS / epochs
    step = now // LABEL_EVERY
    if step == before // LABEL_EVERY or now < VISUAL_FROM or (epoch == epochs and epochs > 1):
        return ""
    return "joint" if now >= JOINT_FROM else "visual"


class Jvtc:
    """What JVTC keeps of the target, its batches and its loss.

    Args:
        target: the site.
        config: section [adapt], resolved.
        train: section [train] of the run: size and batch norm.
        team: the processes that share each batch.

    Attributes:
        schedule: published number of epochs, and after how many of them the learning rate falls to a tenth.

    Raises:
        ValueError: a batch cannot be shared alike, or the CamStyle folder is none.
    """

    schedule = EPOCHS, DECAY_EVERY

    def __init__(self, target: Target, config: AdaptConfig, train: TrainConfig, team: Team) -> None:
        if config.images % team.world:
            raise ValueError(f"adapt.images = {config.images} cannot be shared by {team.world} processes alike")
        self.target, self.config, self.train, self.team = target, config, train, team
        self.styles = CameraStyles(
            target.images, target.camera, style=config.style, seed=config.seed, folder=config.camstyle
        )
        self.memory: ImageMemory | None = None
        self.steps = min(config.steps, max(1, round(len(target) / config.images)))

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """SGD with Nesterov's momentum.

        Args:
            groups: parameters.
        """
        config = self.config
        return torch.optim.SGD(
            groups, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay,
            nesterov=config.momentum > 0,
        )  # fmt: skip

    def begin(self, epoch: int, extract: Callable[[], np.ndarray]) -> Clusters | None:
        """Makes the labels that are due before an epoch; clusters that teach nothing leave those of before.

        Args:
            epoch: 1 for the first.
            extract: gives the features of the target, with which the memory starts.

        Returns:
            The clusters, or None where none were due.
        """
        if self.memory is None:
            vectors = torch.from_numpy(extract()).to(self.team.device)
            self.memory = ImageMemory(vectors, torch.arange(len(vectors), device=self.team.device))
        due = labels_due(epoch, self.config.epochs)
        if not due:
            return None
        found = shared_clusters(self.team, lambda: self._clusters(joint=due == "joint"))
        reason = trouble(found)
        if reason:
            way = "raise" if found.groups == 0 else "lower"
            logger.warning(
                "epoch %d: %s; %s adapt.eps_share (%g). Training goes on with the labels of before",
                epoch, reason, way, self.config.eps_share,
            )  # fmt: skip
        else:
            self.memory.label = torch.from_numpy(found.label).to(self.team.device)
        return found

    def batches(self, epoch: int) -> Iterator[TargetBatch]:
        """The target's part of each step: views of random images, this process's share of them.

        Args:
            epoch: 1 for the first.
        """
        config, team, target = self.config, self.team, self.target
        cameras, views = len(target.camera_keys), config.views
        sampler = RandomSampler(len(target), batch_size=config.images, seed=config.seed)
        part = config.images // team.world
        for step, rows in enumerate(cycled(sampler, epoch, self.steps)):
            rng = np.random.default_rng([config.seed, epoch, step])
            order = np.argsort(rng.random((len(rows), max(1, cameras - 1))), axis=1)
            # Other cameras at random, none twice before each came once; the first view is the image itself.
            shift = np.concatenate([np.zeros((1, len(rows)), int), np.resize(1 + order.T, (views - 1, len(rows)))]).T
            camera = (target.camera[rows, None] + shift) % cameras
            own = slice(team.rank * part, (team.rank + 1) * part)
            flat_rows, flat_camera = np.repeat(rows[own], views), camera[own].ravel()
            images = augmented(
                self.styles.views(flat_rows, flat_camera, [config.seed, epoch, step], own.start * views),
                slice(own.start * views, own.stop * views),
                count=len(rows) * views, train=self.train, config=config, pad=0, rng=rng,
            )  # fmt: skip
            yield TargetBatch(images, torch.from_numpy(flat_camera), torch.from_numpy(rows))

    def loss(self, features: Tensor, rows: Tensor, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss within the batch, and from epoch 10 on 0.2 of that against the memory.

        Args:
            features: [b v, d] unit vectors of all processes' views.
            rows: [b] int64 their images.
            epoch: 1 for the first.
        """
        config, memory = self.config, self._memory()
        views = features.unflatten(0, (len(rows), config.views))
        local = local_loss(views, temperature=config.local_temperature)
        parts = {"local": local}
        total = local
        if epoch * EPOCHS >= GLOBAL_FROM * config.epochs:
            parts["global"] = memory.loss(views, rows, temperature=config.temperature)
            total = total + config.global_weight * parts["global"]
        return total, parts

    def remember(self, features: Tensor, rows: Tensor, epoch: int) -> None:
        """Moves the memory after a step.

        Args:
            features: [b v, d] unit vectors of all processes' views.
            rows: [b] int64 their images.
            epoch: 1 for the first.
        """
        means = view_means(features.unflatten(0, (len(rows), self.config.views)))
        self._memory().update(rows, means, momentum=image_momentum(epoch * EPOCHS / self.config.epochs))

    def label(self) -> np.ndarray:
        """[n] int64 present cluster of each image."""
        return self._memory().label.cpu().numpy()

    def state(self) -> dict[str, Any]:
        """What going on takes."""
        return {"vectors": self._memory().vectors.cpu(), "label": self._memory().label.cpu()}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`.

        Args:
            state: as `state` gave it.
        """
        self.memory = ImageMemory(*(state[name].to(self.team.device) for name in ("vectors", "label")))

    def _memory(self) -> ImageMemory:
        if self.memory is None:
            raise RuntimeError("the memory is empty before the first epoch has begun")
        return self.memory

    def _clusters(self, *, joint: bool) -> Clusters:
        config, vectors = self.config, self._memory().vectors.cpu().numpy()
        graph = visual_graph(vectors, lambda_=config.lambda_visual, k1=config.k1, k2=config.k2)
        eps = config.eps_factor * smallest_mean(graph, config.eps_share)
        found = cluster(graph, eps=eps, min_samples=1)
        if not joint or not self.target.timed:
            return found
        times = times_of(found.label, self.target, config)
        return time_clusters(vectors, times, self.target.camera, self.target.frame, config)


def time_clusters(
    vectors: np.ndarray, times: TemporalModel, camera: np.ndarray, frame: np.ndarray, config: AdaptConfig
) -> Clusters:
    """Clusters by looks and times, those of each slot of adapt.slot_frames frames apart.

    Args:
        vectors: [n, d] float32 unit vectors.
        times: between cameras.
        camera: [n] int64 row of `times`.
        frame: [n] int64, -1 unknown.
        config: section [adapt], resolved.

    Source: the authors' code; for MSMT17 by its twelve slots.
    """
    slot = np.floor_divide(frame, config.slot_frames) if config.slot_frames else np.zeros_like(frame)
    label, count, eps = np.empty(len(vectors), np.int64), 0, 0.0
    for number in np.unique(slot):
        rows = np.flatnonzero(slot == number)
        graph = joint_graph(
            vectors[rows], times, camera=camera[rows], frame=frame[rows],
            lambda_=config.lambda_joint, k1=config.k1, k2=config.k2,
        )  # fmt: skip
        mean = smallest_mean(graph, config.joint_eps_share or config.eps_share)
        part = cluster(graph, eps=mean, min_samples=1)
        label[rows], count, eps = part.label + count, count + part.count, max(eps, mean)
    return Clusters(label, eps)
