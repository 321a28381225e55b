"""The processes that train together, as torchrun starts them; one process alone needs none of it.

torchrun --nproc-per-node 2 -m unrealperson.cli train --data data --out runs/first
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from unrealperson.log import ROOT
from unrealperson.ops import build_info

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)
"""Longest wait for the others; the first process alone reads and checks the data set's folder."""


@dataclass(frozen=True)
class Team:
    """This process among those that train together.

    Attributes:
        rank: 0 is the one that writes.
        world: number of processes.
        device: where this one computes.
        norm_group: torch.distributed group for the statistics of batch norm; None where there is one process.
    """

    rank: int
    world: int
    device: torch.device
    norm_group: Any = None

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def mean(self, values: list[float]) -> list[float]:
        """The values' means over all processes, the same in each.

        Args:
            values: equally many in each process.
        """
        if self.world == 1:
            return values
        joint = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(joint)
        return (joint / self.world).tolist()

    def share(self, value: T) -> T:
        """What the first process holds.

        Args:
            value: ignored in the others.
        """
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, by rank; gradients flow back to this one's, as DDP's mean expects them.

        Args:
            rows: [n, ...], the same n in each process.
        """
        return rows if self.world == 1 else _Gather.apply(rows, self.rank, self.world)


def compute_device() -> torch.device:
    """This process's GPU where there is one and the native module was built for it, otherwise the CPU."""
    if torch.cuda.is_available() and build_info()["cuda"]:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


@contextmanager
def join_team() -> Iterator[Team]:
    """Joins the processes that torchrun started with this one, while the block runs, or takes those that are joined.

    NCCL joins GPUs, Gloo CPUs; Ray Train joins them before. Processes other than the first log only errors.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = compute_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        yield Team(0, 1, device)
        return
    if rank > 0:
        logging.getLogger(ROOT).setLevel(logging.ERROR)
    joined = distributed.is_initialized()
    if not joined:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        # A group of its own: DDP's sums of gradients run at the same time.
        yield Team(rank, world, device, distributed.new_group())
    finally:
        if not joined:
            distributed.destroy_process_group()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, world: int) -> Tensor:
        ctx.own = slice(rank * len(rows), (rank + 1) * len(rows))
        ctx.world = world
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world)]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        # Each process computes the same loss of all rows; DDP then divides the sum of gradients by their number.
        return grads[0][ctx.own] * ctx.world, None, None
