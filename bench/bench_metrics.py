"""Ranking metrics at Market-1501's shape against sorting in numpy and torch, scikit-learn, and the bare product.

Run: make bench
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from unrealperson import ops

QUERIES, GALLERY, DIMENSIONS = 3_368, 15_913, 2_048
SUBSET = 50


def labels() -> dict[str, np.ndarray]:
    """751 people under six cameras, and distractors; as many images as Market-1501 scores."""
    rng = np.random.default_rng(0)
    return {
        "query_pid": rng.integers(1, 752, QUERIES),
        "gallery_pid": np.where(rng.random(GALLERY) < 0.2, 0, rng.integers(1, 752, GALLERY)),
        "query_camera": rng.integers(1, 7, QUERIES),
        "gallery_camera": rng.integers(1, 7, GALLERY),
    }


def features() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return tuple(rng.standard_normal((n, DIMENSIONS), dtype=np.float32) for n in (QUERIES, GALLERY))


def sorted_scores(distance, query_pid, gallery_pid, query_camera, gallery_camera):
    """The usual statement: sort whole rows, then cumulative sums of the correct answers."""
    order = np.argsort(distance, axis=1, kind="stable")
    precision, first = [], []
    for i, row in enumerate(order):
        same = gallery_pid[row] == query_pid[i]
        kept = ~(same & (gallery_camera[row] == query_camera[i]))
        correct = same[kept]
        if not correct.any():
            continue
        ranks = np.flatnonzero(correct) + 1
        precision.append((np.cumsum(correct)[ranks - 1] / ranks).mean())
        first.append(ranks[0])
    return np.mean(precision), first


def sklearn_scores(distance, query_pid, gallery_pid, query_camera, gallery_camera):
    """Average precision of a few queries, one call each."""
    for i in range(SUBSET):
        same = gallery_pid == query_pid[i]
        kept = ~(same & (gallery_camera == query_camera[i]))
        average_precision_score(same[kept], -distance[i, kept])


def torch_scores(q, g, query_pid, gallery_pid, query_camera, gallery_camera):
    """Product, sort and cumulative sums of all queries at once."""
    order = torch.argsort(-(q @ g.T), dim=1, stable=True)
    same = query_pid[:, None] == gallery_pid
    kept = (~same | (query_camera[:, None] != gallery_camera)).gather(1, order)
    correct = same.gather(1, order) & kept
    precision = correct.cumsum(1) / kept.cumsum(1).clamp(min=1)
    return ((precision * correct).sum(1) / correct.sum(1).clamp(min=1)).mean()


def bench_ranking_alone(race):
    q, g = features()
    distance = ops.pairwise_distance(q, g)
    who = labels()
    tensors = torch.from_numpy(q), torch.from_numpy(g)
    race(
        lambda: ops.cmc_map_of_matrix(distance, **who),
        {
            "product of numpy": lambda: q @ g.T,
            "product of torch": lambda: tensors[0] @ tensors[1].T,
            "argsort and cumulative sums of numpy": lambda: sorted_scores(distance, **who),
            f"scikit-learn, {SUBSET} queries only": lambda: sklearn_scores(distance, **who),
        },
        traffic=4 * QUERIES * GALLERY,
        goals={"product of torch": 0.07, "argsort and cumulative sums of numpy": 0.05},
    )


def bench_fused(race):
    """OpenBLAS multiplies 256 queries at a time, which the bound on memory asks for, more slowly than all at once."""
    q, g = features()
    who = labels()
    race(
        lambda: ops.cmc_map(q, g, **who),
        {"product of numpy": lambda: q @ g.T},
        rounds=5,
        flop=2 * QUERIES * GALLERY * DIMENSIONS,
        goals={"product of numpy": 1.6},
    )


def bench_fused_tensors(race):
    q, g = (torch.from_numpy(x) for x in features())
    who = {name: torch.from_numpy(x) for name, x in labels().items()}
    race(
        lambda: ops.cmc_map(q, g, **who),
        {
            "product of torch": lambda: q @ g.T,
            "product and argsort of torch": lambda: torch_scores(q, g, **who),
        },
        flop=2 * QUERIES * GALLERY * DIMENSIONS,
        goals={"product of torch": 1.15},
    )


MEMORY = """
import resource, sys
sys.path.insert(0, "bench")
import bench_metrics, numpy as np
from unrealperson import ops
if "{kind}" == "torch":
    import torch as library
    q, g = (library.from_numpy(x) for x in bench_metrics.features())
else:
    q, g = bench_metrics.features()
who = bench_metrics.labels()
few = {{name: x[:64] for name, x in who.items()}}
ops.cmc_map(q[:64], g[:64], **few)  # what the libraries set up once
q[:512] @ g[:4096].T
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
ops.cmc_map(q, g, **who)
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def bench_memory(benchmark, kind):
    """MiB beyond the inputs, and beyond what a product sets up."""
    command = [sys.executable, "-c", MEMORY.format(kind=kind)]
    done = benchmark.pedantic(subprocess.run, (command,), dict(capture_output=True, text=True, check=True), rounds=1)
    benchmark.extra_info["mib"] = mib = float(done.stdout)
    assert mib <= 20, f"{mib:.1f} MiB"
