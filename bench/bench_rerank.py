"""Re-ranking and the Jaccard graph against the product of all rows with all, and against statements of the formulas.

The peers are our own plain statements: dense numpy as the paper's python is written, SciPy's sparse matrices, and lists
from faiss with a loop over rows, as SpCL is written. Run: make bench
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from scipy import sparse

from unrealperson import ops

MARKET, MSMT17 = (3368, 15_913), (11_659, 82_161)
DIMS = 2048


def features(n: int, d: int = DIMS) -> np.ndarray:
    """Unit vectors of identities with 24 images each, as far from each other as a trained network leaves them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n // 24 + 1, d), dtype=np.float32)[rng.integers(0, n // 24 + 1, n)]
    x += 0.9 * rng.standard_normal((n, d), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def full_product(x: np.ndarray, rows: int = 2048) -> None:
    """All rows with all, by blocks that nobody reads."""
    block = np.empty((rows, len(x)), np.float32)
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        np.matmul(part, x.T, out=block[: len(part)])


def reciprocal(rank: np.ndarray, row: int, k: int) -> np.ndarray:
    forward = rank[row, :k]
    return forward[(rank[forward, :k] == row).any(1)]


def expansion(rank: np.ndarray, row: int, forward: int, half: int) -> np.ndarray:
    members = reciprocal(rank, row, forward)
    parts = [members]
    for candidate in members:
        theirs = reciprocal(rank, candidate, half)
        if len(np.intersect1d(theirs, members)) > 2 / 3 * len(theirs):
            parts.append(theirs)
    return np.unique(np.concatenate(parts))


def dense_jaccard(weight: np.ndarray, rows: int) -> np.ndarray:
    """By inverted lists of the columns, as the published code does it."""
    inverted = [np.flatnonzero(column) for column in weight.T]
    result = np.zeros((rows, len(weight)), np.float32)
    for row in range(rows):
        for column in np.flatnonzero(weight[row]):
            result[row, inverted[column]] += np.minimum(weight[row, column], weight[inverted[column], column])
    return 1 - result / (2 - result)


def numpy_k_reciprocal(q: np.ndarray, g: np.ndarray, k1: int = 20, k2: int = 6, lambda_: float = 0.3) -> np.ndarray:
    x = np.concatenate([q, g])
    norm2 = (x**2).sum(1)
    original = np.maximum(0, norm2[:, None] + norm2[None] - 2 * x @ x.T)
    original /= original.max(1, keepdims=True)
    rank = np.argsort(original, axis=1)
    weight = np.zeros_like(original)
    for row in range(len(x)):
        members = expansion(rank, row, k1 + 1, round(k1 / 2) + 1)
        values = np.exp(-original[row, members])
        weight[row, members] = values / values.sum()
    weight = np.stack([weight[nearest].mean(0) for nearest in rank[:, :k2]])
    return ((1 - lambda_) * dense_jaccard(weight, len(q)) + lambda_ * original[: len(q)])[:, len(q) :]


def scipy_k_reciprocal(q: np.ndarray, g: np.ndarray, k1: int = 20, k2: int = 6, lambda_: float = 0.3) -> np.ndarray:
    x = np.concatenate([q, g])
    n, norm2 = len(x), (x**2).sum(1)
    original = np.maximum(0, norm2[:, None] + norm2[None] - 2 * x @ x.T)
    original /= original.max(1, keepdims=True)
    rank = np.argpartition(original, k1 + 1, axis=1)[:, : k1 + 1]
    rank = np.take_along_axis(rank, np.argsort(np.take_along_axis(original, rank, 1), axis=1), 1)

    def lists(k: int) -> sparse.csr_matrix:
        ones = np.ones(n * k, np.float32)
        return sparse.csr_matrix((ones, rank[:, :k].ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))

    full, half = (m.multiply(m.T).tocsr() for m in (lists(k1 + 1), lists(round(k1 / 2) + 1)))
    common = full.multiply(full @ half.T).tocsr()
    common.data = (3 * common.data > 2 * np.diff(half.indptr)[common.indices]).astype(np.float32)
    weight = (full + common @ half).tocsr()
    rows = np.repeat(np.arange(n), np.diff(weight.indptr))
    weight.data = np.exp(-original[rows, weight.indices])
    weight.data /= np.asarray(weight.sum(1)).ravel()[rows]
    weight = (lists(k2) @ weight / k2).tocsr()
    inverted = weight.tocsc()
    result = np.zeros((len(q), n), np.float32)
    for row in range(len(q)):
        for at in range(weight.indptr[row], weight.indptr[row + 1]):
            column = slice(*inverted.indptr[weight.indices[at] : weight.indices[at] + 2])
            result[row, inverted.indices[column]] += np.minimum(weight.data[at], inverted.data[column])
    return ((1 - lambda_) * (1 - result / (2 - result)) + lambda_ * original[: len(q)])[:, len(q) :]


def faiss_jaccard(x: np.ndarray, k1: int = 30, k2: int = 6) -> np.ndarray:
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    rank = index.search(x, k1)[1]
    weight = np.zeros((len(x), len(x)), np.float32)
    for row in range(len(x)):
        members = expansion(rank, row, k1 + 1, round(k1 / 2) + 1)
        values = np.exp(2 * x[members] @ x[row] - 2)
        weight[row, members] = values / values.sum()
    weight = np.stack([weight[nearest].mean(0) for nearest in rank[:, :k2]])
    return np.maximum(0, dense_jaccard(weight, len(x)))


def bench_k_reciprocal_market(race):
    x = features(sum(MARKET))
    q, g = x[: MARKET[0]], x[MARKET[0] :]
    race(
        lambda: ops.k_reciprocal(q, g),
        {"product of all rows with all": lambda: full_product(x)},
        flop=len(x) ** 2 * DIMS,
        goals={"product of all rows with all": 0.85},
    )


STATEMENTS = {"numpy, dense": (numpy_k_reciprocal, 3000, 0.5), "SciPy, sparse": (scipy_k_reciprocal, 8000, 0.6)}


@pytest.mark.parametrize("peer", STATEMENTS)
def bench_k_reciprocal_against_statements(race, peer):
    statement, rows, goal = STATEMENTS[peer]
    x = features(rows)
    q, g = x[: rows // 6], x[rows // 6 :]
    np.testing.assert_allclose(ops.k_reciprocal(q, g), statement(q, g), atol=1e-5)
    race(lambda: ops.k_reciprocal(q, g), {peer: lambda: statement(q, g)}, rounds=1, goals={peer: goal})


@pytest.mark.parametrize("shape", [MARKET, MSMT17], ids=["market", "msmt17"])
def bench_k_reciprocal_after_the_lists(race, shape):
    """At MSMT17 size with 64 dimensions, so that the lists, which are not part of it, take seconds."""
    x = features(sum(shape), DIMS if shape == MARKET else 64)
    q, g = x[: shape[0]], x[shape[0] :]
    lists = ops.find_neighbors(q, g, k=21)
    native = ops._native.load()
    block = np.ones((len(q), len(g)), np.float32)

    def rest() -> None:
        rows = native.Neighborhoods(lists.indices, lists.values, q, g, lists.farthest, 21, 11, 6, 0)
        rows.blend(block, 0, lists.farthest[: len(q)], 0.3, 0)

    race(rest, {"one pass over the result": lambda: np.multiply(block, 1.0, out=block)}, traffic=2 * block.nbytes)


def bench_live_query_market(race):
    g, q = features(MARKET[1]), features(1)
    gallery = ops.RerankGallery(g)
    race(lambda: gallery.rerank(q), {"product with the gallery": lambda: q @ g.T}, rounds=20, traffic=g.nbytes)


def bench_jaccard_graph(race):
    x = features(12_936)
    race(
        lambda: ops.jaccard_graph(x),
        {"product of all rows with all": lambda: full_product(x)},
        flop=len(x) ** 2 * DIMS,
        goals={"product of all rows with all": 1.0},
    )


def bench_jaccard_graph_against_faiss(race):
    x = features(3000)
    found = ops.jaccard_graph(x)
    dense = sparse.csr_matrix((1 - found.data, found.indices, found.indptr), shape=(len(x), len(x))).toarray()
    np.testing.assert_allclose(1 - dense, faiss_jaccard(x), atol=1e-5)
    race(
        lambda: ops.jaccard_graph(x),
        {"faiss lists, SpCL's loop": lambda: faiss_jaccard(x)},
        rounds=1,
        goals={"faiss lists, SpCL's loop": 0.3},
    )


MEMORY = {
    "k_reciprocal market": (sum(MARKET), "ops.k_reciprocal(x[:3368], x[3368:])", 0.6),
    "jaccard_graph 12936": (12_936, "ops.jaccard_graph(x)", 0.1),
    "jaccard_graph 32621": (32_621, "ops.jaccard_graph(x)", 1.0),
}
PEAK = """
import sys
sys.path.insert(0, "bench")
from bench_rerank import features, ops
x = features(int(sys.argv[1]))
ops.jaccard_graph(x[:2000])
def read(name):
    return int(open("/proc/self/status").read().split(name + ":")[1].split()[0]) / 2**20
open("/proc/self/clear_refs", "w").write("5")
before = read("VmRSS")
exec(sys.argv[2])
print(read("VmHWM") - before)
"""


@pytest.mark.parametrize("name", MEMORY)
def bench_memory_beyond_the_inputs(benchmark, name):
    """Peak of a process of its own, in GiB, beyond what lay there before the call."""
    rows, call, limit = MEMORY[name]
    command = [sys.executable, "-c", PEAK, str(rows), call]
    options = dict(capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    done = benchmark.pedantic(subprocess.run, (command,), options)
    benchmark.extra_info |= {"gib": float(done.stdout), "limit_gib": limit}
    assert float(done.stdout) <= limit, f"{float(done.stdout):.2f} GiB, limit {limit}"
