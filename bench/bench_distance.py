"""Distances and nearest neighbours against faiss, torch and numpy, with the product alone beside them.

faiss reads OPENBLAS_CORETYPE when it is loaded: leave it unset, or set it to what suits the machine best (SkylakeX
where there is AVX-512), or the comparison is worthless. Run: make bench
"""

from __future__ import annotations

import faiss
import numpy as np
import pytest
import torch

from unrealperson import ops

GALLERY, DIMENSIONS, K = 100_000, 512, 10


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def gaussian(n: int, d: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32))


def clustered(n: int, d: int, seed: int) -> np.ndarray:
    """Images of 750 people: each a direction of its own, and as much again that differs from image to image."""
    people = np.random.default_rng(seed).integers(0, 750, n)
    return unit(gaussian(750, d, 99)[people] + 0.8 * gaussian(n, d, seed))


FEATURES = {"gaussian": gaussian, "clustered": clustered}


def flat(g: np.ndarray) -> faiss.IndexFlatL2:
    index = faiss.IndexFlatL2(g.shape[1])
    index.add(g)
    return index


def torch_topk(q: torch.Tensor, g: torch.Tensor, k: int) -> torch.Tensor:
    distance = torch.addmm(torch.linalg.vector_norm(g, dim=1).square()[None], q, g.T, alpha=-2)
    return torch.topk(distance, k, largest=False).indices


def numpy_topk(q: np.ndarray, g: np.ndarray, k: int) -> np.ndarray:
    distance = (g * g).sum(1) - 2 * (q @ g.T)
    nearest = np.argpartition(distance, k, axis=1)[:, :k]
    return np.take_along_axis(nearest, np.argsort(np.take_along_axis(distance, nearest, 1), axis=1), 1)


def peers(q: np.ndarray, g: np.ndarray, k: int) -> dict:
    index, tq, tg = flat(g), torch.from_numpy(q), torch.from_numpy(g)
    return {
        "faiss IndexFlatL2": lambda: index.search(q, k),
        "torch product + topk": lambda: torch_topk(tq, tg, k),
        "numpy product + argpartition": lambda: numpy_topk(q, g, k),
        "numpy product alone": lambda: q @ g.T,
    }


def sizes(q: np.ndarray, g: np.ndarray, k: int) -> dict[str, float]:
    return {"flop": 2.0 * len(q) * g.size, "traffic": 4.0 * (q.size + g.size) + 12 * len(q) * k}


@pytest.mark.parametrize("features", FEATURES)
def bench_256_queries_prepared_gallery(race, features):
    q, g = FEATURES[features](256, DIMENSIONS, 1), FEATURES[features](GALLERY, DIMENSIONS, 2)
    prepared = ops.prepare(g)
    exact = flat(g).search(q, K)[1]
    assert (ops.topk(q, prepared, k=K).indices == exact).mean() > 0.999  # the same but for roundings that tie
    goals = {"faiss IndexFlatL2": 0.5}
    race(lambda: ops.topk(q, prepared, k=K), peers(q, g, K), rounds=5, goals=goals, **sizes(q, g, K))


@pytest.mark.parametrize("features", FEATURES)
def bench_256_queries_int8(race, features):
    """With the gallery's rounding inside the time."""
    q, g = FEATURES[features](256, DIMENSIONS, 1), FEATURES[features](GALLERY, DIMENSIONS, 2)
    goals = {"faiss IndexFlatL2": 0.9}
    race(lambda: ops.topk(q, g, k=K, precision="int8"), peers(q, g, K), rounds=5, goals=goals, **sizes(q, g, K))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def bench_256_queries_float32(race, kind):
    q, g = gaussian(256, DIMENSIONS, 1), gaussian(GALLERY, DIMENSIONS, 2)
    ours = (q, g) if kind == "numpy" else (torch.from_numpy(q), torch.from_numpy(g))
    # Tensors are multiplied by torch's own BLAS, numpy arrays by numpy's.
    goals = {"faiss IndexFlatL2": 1.0} if kind == "numpy" else {"torch product + topk": 1.1}
    race(lambda: ops.topk(*ours, k=K, precision="float32"), peers(q, g, K), rounds=5, goals=goals, **sizes(q, g, K))


def bench_256_queries_k_1024(race):
    q, g = gaussian(256, DIMENSIONS, 1), gaussian(GALLERY, DIMENSIONS, 2)
    race(lambda: ops.topk(q, g, k=1024), peers(q, g, 1024), goals={"faiss IndexFlatL2": 1.5}, **sizes(q, g, 1024))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def bench_one_query(race, kind):
    q, g = gaussian(1, DIMENSIONS, 1), gaussian(GALLERY, DIMENSIONS, 2)
    ours = (q, g) if kind == "numpy" else (torch.from_numpy(q), torch.from_numpy(g))
    goals = {"faiss IndexFlatL2": 1 / 1.8}
    race(lambda: ops.topk(*ours, k=K), peers(q, g, K), rounds=20, goals=goals, **sizes(q, g, K))


def bench_one_query_prepared_gallery(race):
    q, g = gaussian(1, DIMENSIONS, 1), gaussian(GALLERY, DIMENSIONS, 2)
    prepared = ops.prepare(g)
    race(
        lambda: ops.topk(q, prepared, k=K),
        peers(q, g, K),
        rounds=20,
        goals={"faiss IndexFlatL2": 1 / 1.8},
        **sizes(q, g, K),
    )


@pytest.mark.parametrize("k", [21, 50])
@pytest.mark.parametrize("features", FEATURES)
def bench_market_against_itself(race, features, k):
    """What re-ranking stands on: the queries and the gallery of Market-1501, all against all."""
    x = FEATURES[features](19_281, 2048, 1)
    block = np.empty((512, len(x)), np.float32)

    def product() -> None:
        for first in range(0, len(x), len(block)):
            rows = x[first : first + len(block)]
            np.matmul(rows, x.T, out=block[: len(rows)])

    race(
        lambda: ops.topk(x, x, k=k),
        {"numpy product by blocks": product},
        rounds=1,
        goals={"numpy product by blocks": 0.6},
        **sizes(x, x, k),
    )


def bench_pairwise_distance(race):
    q, g = gaussian(1024, 2048, 1), gaussian(15_913, 2048, 2)
    tq, tg = torch.from_numpy(q), torch.from_numpy(g)

    def torch_matrix() -> torch.Tensor:
        lengths = (tg * tg).sum(1)[None] + (tq * tq).sum(1)[:, None]
        return torch.addmm(lengths, tq, tg.T, alpha=-2).clamp_(min=0)

    race(
        lambda: ops.pairwise_distance(q, g),
        {"torch addmm + clamp": torch_matrix, "numpy product alone": lambda: q @ g.T},
        flop=2.0 * len(q) * g.size,
        traffic=4.0 * (q.size + g.size + len(q) * len(g)),
    )
