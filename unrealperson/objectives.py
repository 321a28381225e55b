"""What training minimises over a batch: the network and its losses as one module, so that DDP sees the whole step.

An objective gives the loss of a batch and the share of images that it gets right; `model` is the network that is saved.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrealperson.config import TrainConfig
from unrealperson.distributed import Team
from unrealperson.models.cbn import CameraBatchNorm1d
from unrealperson.models.losses import Losses
from unrealperson.models.reid import ReidModel, build_model
from unrealperson.models.weights import draw_weights
from unrealperson.schema import Batch

EMBEDDING = 128
"""Length of the vectors that momentum contrast compares."""


class IdentityObjective(nn.Module):
    """Tells the identities of labelled images, or of tracklets of `train.frames` images each.

    Args:
        model: the network.
        config: section [train]: losses, precision, frames.
        team: the processes that share each batch.

    Source: paper section 4.1; the losses as `models.losses` says.
    """

    def __init__(self, model: ReidModel, config: TrainConfig, team: Team) -> None:
        super().__init__()
        self.model = model
        self.losses = Losses(config, dimension=model.dimension, classes=len(model.classifier.weight))
        self._frames = config.frames
        self._gather = team.gather if team.world > 1 else None
        self._mixed = _mixed_precision(config, team)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and the share of images (or tracklets) whose identity is told."""
        label = batch.label[:: self._frames]
        with torch.autocast(**self._mixed):
            features, logits = self.model(batch.images, batch.camera, frames=self._frames)
        loss = self.losses(features, logits, label, self._gather)
        return loss, (logits.argmax(1) == label).float().mean()


class ContrastObjective(nn.Module):
    """Momentum contrast: learns, without labels, which of many images is another view of this one.

    A batch holds two views of each image, next to each other. The network describes the first; a slowly following
    copy of it, the teacher, the second, and a queue of the teacher's last vectors gives the others. The teacher
    normalises by running means of the network's statistics, so that a batch cannot betray which views belong together.

    Args:
        model: the network; its neck and classifier are not trained.
        config: section [train]: queue, temperature, teacher_decay, precision, seed.
        team: the processes that share each batch.

    Source: He et al., "Momentum Contrast", CVPR 2020; Chen et al., "Improved Baselines with Momentum Contrastive
    Learning", 2020 (head, temperature); Cai et al., "Exponential Moving Average Normalization", CVPR 2021 (statistics).
    """

    queue: Tensor  # [queue, EMBEDDING] float32 of length 1
    cursor: Tensor  # int64: where the next vectors go

    def __init__(self, model: ReidModel, config: TrainConfig, team: Team) -> None:
        super().__init__()
        self.model = model
        model.neck.requires_grad_(False)
        model.classifier.requires_grad_(False)
        self.head = _head(model.dimension, config.seed)
        cameras = model.neck.cameras if isinstance(model.neck, CameraBatchNorm1d) else 0
        self.teacher = build_model(config, classes=1, cameras=cameras, pretrained=False).eval()
        self.teacher_head = _head(model.dimension, config.seed)
        self.teacher.load_state_dict(model.state_dict())
        self.teacher.requires_grad_(False)
        self.teacher_head.requires_grad_(False)
        generator = torch.Generator().manual_seed(config.seed)
        self.register_buffer("queue", F.normalize(torch.randn(config.queue, EMBEDDING, generator=generator)))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))
        self._temperature = config.temperature
        self._decay = config.teacher_decay
        self._gather = team.gather
        self._mixed = _mixed_precision(config, team)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and the share of images whose other view is nearer than all of the queue."""
        images, camera = batch.images, batch.camera
        with torch.autocast(**self._mixed):
            pooled, _ = self.model(images[0::2], camera[0::2])
            student = self.head(pooled)
            with torch.no_grad():
                self._follow()
                teacher = self.teacher_head(self.teacher.pool(images[1::2], camera[1::2]))
        student, teacher = F.normalize(student.float()), F.normalize(teacher.float())
        own = (student * teacher).sum(1, keepdim=True)
        # A copy, since the queue changes before the gradient is taken.
        logits = torch.cat([own, student @ self.queue.clone().T], dim=1) / self._temperature
        loss = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))
        self._remember(self._gather(teacher))
        return loss, (logits.argmax(1) == 0).float().mean()

    def _follow(self) -> None:
        pairs = ((self.teacher, self.model), (self.teacher_head, self.head))
        for mean, value in (pair for one, two in pairs for pair in zip(_values(one), _values(two), strict=True)):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - self._decay)
            else:
                mean.copy_(value)

    @torch.no_grad()
    def _remember(self, vectors: Tensor) -> None:
        places = (self.cursor + torch.arange(len(vectors), device=vectors.device)) % len(self.queue)
        self.queue[places] = vectors
        self.cursor += len(vectors)


def build_objective(model: ReidModel, config: TrainConfig, team: Team) -> IdentityObjective | ContrastObjective:
    """The objective that a configuration asks for.

    Args:
        model: the network, its first weights loaded.
        config: section [train].
        team: the processes that share each batch.
    """
    kind = ContrastObjective if config.objective == "contrast" else IdentityObjective
    return kind(model, config, team).to(team.device)


def own_state(objective: nn.Module) -> dict[str, Tensor]:
    """What an objective remembers beside the network: centers, or teacher and queue.

    Args:
        objective: of `build_objective`.
    """
    return {name: value for name, value in objective.state_dict().items() if not name.startswith("model.")}


def load_own_state(objective: nn.Module, state: dict[str, Tensor]) -> None:
    """Gives an objective what `own_state` kept.

    Args:
        objective: of `build_objective`, of the same configuration.
        state: the values.

    Raises:
        RuntimeError: the values do not fit.
    """
    network = {name: value for name, value in objective.state_dict().items() if name.startswith("model.")}
    objective.load_state_dict(network | state, strict=True)


def _mixed_precision(config: TrainConfig, team: Team) -> dict[str, Any]:
    """Arguments of `torch.autocast`."""
    mixed = config.precision != "float32"
    return {
        "device_type": team.device.type,
        "dtype": getattr(torch, config.precision) if mixed else torch.bfloat16,
        "enabled": mixed,
    }


def _head(dimension: int, seed: int) -> nn.Sequential:
    head = nn.Sequential(nn.Linear(dimension, dimension), nn.ReLU(), nn.Linear(dimension, EMBEDDING))
    draw_weights(head, seed)
    return head


def _values(module: nn.Module) -> list[Tensor]:
    return list(module.state_dict().values())
