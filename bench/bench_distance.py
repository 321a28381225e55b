"""Distances and nearest neighbours against torch and numpy, with the floor of the product beside each time.

Run: make bench
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unrealperson import ops

SHAPES = {
    "search 1x100000x512": (1, 100_000, 512, 10),
    "search 8x100000x512": (8, 100_000, 512, 10),
    "search 256x100000x512": (256, 100_000, 512, 10),
    "market 3368x15913x2048": (3368, 15_913, 2048, 20),
}


def torch_topk(q: torch.Tensor, g: torch.Tensor, k: int) -> torch.Tensor:
    distance = torch.addmm(torch.linalg.vector_norm(g, dim=1).square()[None], q, g.T, alpha=-2)
    return torch.topk(distance, k, largest=False).indices


def numpy_topk(q: np.ndarray, g: np.ndarray, k: int) -> np.ndarray:
    distance = (g * g).sum(1) - 2 * (q @ g.T)
    rows = np.arange(len(q))[:, None]
    nearest = np.argpartition(distance, k, axis=1)[:, :k]
    return nearest[rows, np.argsort(distance[rows, nearest], axis=1)]


def torch_matrix(q: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    return torch.addmm((g * g).sum(1)[None] + (q * q).sum(1)[:, None], q, g.T, alpha=-2).clamp_(min=0)


TOPK = {
    "ours, torch arrays": (True, lambda q, g, k: ops.topk(q, g, k=k).indices),
    "ours, numpy arrays": (False, lambda q, g, k: ops.topk(q, g, k=k).indices),
    "torch product + topk": (True, torch_topk),
    "numpy product + argpartition": (False, numpy_topk),
    "torch product alone": (True, lambda q, g, k: q @ g.T),
}
MATRIX = {
    "ours, torch arrays": (True, lambda q, g: ops.pairwise_distance(q, g)),
    "ours, numpy arrays": (False, lambda q, g: ops.pairwise_distance(q, g)),
    "torch addmm + clamp": (True, torch_matrix),
    "torch product alone": (True, lambda q, g: q @ g.T),
}


def arrays(shape: tuple[int, ...], tensors: bool) -> tuple:
    rng = np.random.default_rng(0)
    both = [rng.standard_normal((n, shape[2]), dtype=np.float32) for n in shape[:2]]
    return tuple(torch.from_numpy(x) for x in both) if tensors else tuple(both)


def note_floor(benchmark, shape: tuple[int, ...], result_bytes: int) -> None:
    rows, gallery, d, _ = shape
    benchmark.extra_info["floor_flop"] = 2 * rows * gallery * d
    benchmark.extra_info["floor_bytes"] = 4 * d * (rows + gallery) + result_bytes
    seconds = benchmark.stats.stats.min
    benchmark.extra_info["gflop_per_s"] = round(benchmark.extra_info["floor_flop"] / seconds / 1e9, 1)
    benchmark.extra_info["gb_per_s"] = round(benchmark.extra_info["floor_bytes"] / seconds / 1e9, 2)
    benchmark.extra_info["isa"] = ops.build_info()["isa"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("who", TOPK)
def bench_topk(benchmark, who, shape):
    benchmark.group = f"topk {shape}"
    tensors, run = TOPK[who]
    rows, _, _, k = SHAPES[shape]
    q, g = arrays(SHAPES[shape], tensors)
    benchmark.pedantic(run, (q, g, k), rounds=3, warmup_rounds=1)
    note_floor(benchmark, SHAPES[shape], 12 * rows * k)


@pytest.mark.parametrize("who", MATRIX)
def bench_pairwise_distance(benchmark, who):
    benchmark.group = "pairwise_distance 1024x15913x2048"
    shape = (1024, 15_913, 2048, 0)
    tensors, run = MATRIX[who]
    benchmark.pedantic(run, arrays(shape, tensors), rounds=3, warmup_rounds=1)
    note_floor(benchmark, shape, 4 * shape[0] * shape[1])
