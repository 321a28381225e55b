"""Run by test_distributed.py under torchrun: two processes train as one does, and go on after an end in mid-epoch.

together.py OUT ARGUMENTS: ARGUMENTS are those of 'unrealperson train' but for --out.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from together_adapt import compare_adaptation
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from unrealperson import train as train_module
from unrealperson.cli import main as run_command
from unrealperson.config import TrainConfig
from unrealperson.distributed import Team, join_team
from unrealperson.models.cbn import convert_camera_batch_norm, synchronise_batch_norm
from unrealperson.models.reid import ReidModel
from unrealperson.objectives import IdentityObjective
from unrealperson.schema import Batch

CONFIG = TrainConfig(triplet=1.0, triplet_margin=0.0, circle=0.3, center=0.01, label_smoothing=0.1)


def build(norm: str, team: Team) -> IdentityObjective:
    backbone = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, bias=False), nn.BatchNorm2d(8)
    )
    model = ReidModel(backbone, 8, 4).train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value.copy_(0.2 * torch.randn(value.shape, generator=generator))
    if norm == "cbn":
        model.context = convert_camera_batch_norm(model, 2, process_group=team.norm_group)
    elif team.norm_group is not None:
        synchronise_batch_norm(model, team.norm_group)
    return IdentityObjective(model, CONFIG, team)


def compare_steps(team: Team) -> None:
    """A step of two processes is that of one: losses of distances, both batch norms, gradients, running statistics."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 8, 6, generator=generator)
    label, camera = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    own = slice(4 * team.rank, 4 * team.rank + 4)
    for norm in ("cbn", "bn"):
        alone, together = build(norm, Team(0, 1, team.device)), build(norm, team)
        loss, _ = alone(Batch(images, label, camera))
        loss.backward()
        parallel = DistributedDataParallel(together, broadcast_buffers=False)
        part, _ = parallel(Batch(images[own], label[own], camera[own]))
        part.backward()
        torch.testing.assert_close(team.mean([part.item()])[0], loss.item(), rtol=1e-5, atol=1e-6)
        for (name, value), other in zip(alone.named_parameters(), together.parameters(), strict=True):
            if value.grad is not None:
                torch.testing.assert_close(other.grad, value.grad, rtol=1e-3, atol=1e-5, msg=f"{norm} {name}")
        for (name, value), other in zip(alone.named_buffers(), together.buffers(), strict=True):
            torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-5, msg=f"{norm} {name}")
    compare_adaptation(team, lambda team: build("cbn", team).model)
    if team.share("first" if team.first else "") != "first":
        raise RuntimeError("the first process's value did not arrive")


def train_to_the_end_and_with_a_stop(out: Path, arguments: list[str]) -> None:
    """OUT/whole is trained without a stop; OUT/cut is told to end in its second step, and goes on."""
    if run_command([*arguments, "--out", str(out / "whole")]) != 0:
        raise RuntimeError("training in two processes failed")
    forward, steps = IdentityObjective.forward, []

    def stopped(*values):
        steps.append(1)
        if len(steps) == 2 and os.environ["RANK"] == "1":  # one is told, all end
            os.kill(os.getpid(), signal.SIGTERM)
        return forward(*values)

    IdentityObjective.forward = stopped
    ends = [run_command([*arguments, "--out", str(out / "cut")]) for _ in range(2)]
    if ends != [143, 0]:
        raise RuntimeError(f"the stopped run and the one that went on ended with {ends}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join_team() as joined:
        train_module.join_team = lambda: nullcontext(joined)  # torchrun's meeting place serves once
        compare_steps(joined)
        train_to_the_end_and_with_a_stop(Path(sys.argv[1]), sys.argv[2:])
