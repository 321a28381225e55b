"""Part of together.py: one step of adaptation in two processes against the same step of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from unrealperson.adapt import training
from unrealperson.adapt.batches import TargetBatch
from unrealperson.config import AdaptConfig, Config, TrainConfig
from unrealperson.distributed import Team
from unrealperson.models.reid import ReidModel
from unrealperson.schema import Batch

SETTINGS = AdaptConfig(method="cluster_contrast", identities=2, images_per_identity=4, proxy_weight=0.5).resolved()


class Site:
    """What cluster contrast asks of a target."""

    camera, camera_keys = np.array([0, 1, 1, 0, 1, 0, 0, 1]), np.arange(2)

    def __len__(self) -> int:
        return 8


def compare_adaptation(team: Team, build: Callable[[Team], ReidModel]) -> None:
    def step(team: Team) -> training._Step:
        config = Config(train=TrainConfig(), adapt=SETTINGS)
        method = training.ClusterContrast(Site(), config.adapt, config.train, team)
        method._label = np.array([0, 1, 2, 3, 0, 1, 2, 3])
        method._fill(np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32))
        return training._Step(build(team), method, config, team)

    def batch(own: slice) -> tuple[Batch, TargetBatch, torch.Tensor, int]:
        images = torch.randn(8, 3, 8, 6, generator=torch.Generator().manual_seed(0))[own]
        camera = torch.from_numpy(Site.camera)[own]
        source = Batch(images, torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])[own], camera)
        return source, TargetBatch(images.flip(3), camera, torch.arange(8)), torch.cat([camera, camera]), 1

    alone, together = step(Team(0, 1, team.device)), step(team)
    whole, _, vectors = alone(*batch(slice(None)))
    whole.backward()
    parallel = DistributedDataParallel(together, broadcast_buffers=False)
    part, _, gathered = parallel(*batch(slice(4 * team.rank, 4 * team.rank + 4)))
    part.backward()
    torch.testing.assert_close(team.mean([part.item()])[0], whole.item(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gathered, vectors, rtol=1e-4, atol=1e-5)
    for value, other in zip(alone.model.parameters(), together.model.parameters(), strict=True):
        if value.grad is not None:
            torch.testing.assert_close(other.grad, value.grad, rtol=1e-3, atol=1e-5)
