"""Joint visual-temporal distance at Market-1501's size, against the plain statements, a copy and the product alone.

Run: make bench
"""

from __future__ import annotations

import numpy as np
import torch

from unrealperson import ops

QUERIES, GALLERY, DIMENSIONS, CAMERAS, BINS, BIN_FRAMES, K = 3368, 15_913, 2048, 6, 3000, 100, 20
PAIRS = QUERIES * GALLERY
LOOP_QUERIES = 4
"""The loop over pairs runs for minutes on all queries: it races on a few."""


def model() -> ops.TemporalModel:
    table = np.random.default_rng(1).random((CAMERAS, CAMERAS, BINS), np.float32) ** 4
    return ops.TemporalModel(table / table.sum(2, keepdims=True), BIN_FRAMES)


def seen(queries: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        "query_camera": rng.integers(0, CAMERAS, queries),
        "query_frame": rng.integers(0, BINS * BIN_FRAMES, queries),
        "gallery_camera": rng.integers(0, CAMERAS, GALLERY),
        "gallery_frame": rng.integers(0, BINS * BIN_FRAMES, GALLERY),
    }


def similarities(queries: int) -> np.ndarray:
    return np.random.default_rng(3).random((queries, GALLERY), np.float32)


def unit(n: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, DIMENSIONS), np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def numpy_statement(similarity: np.ndarray, table: np.ndarray, sides: dict[str, np.ndarray]) -> np.ndarray:
    """By blocks of queries, which suits it best."""
    out = np.empty_like(similarity)
    for first in range(0, len(similarity), 64):
        rows = slice(first, first + 64)
        camera, frame = sides["query_camera"][rows, None], sides["query_frame"][rows, None]
        steps = frame - sides["gallery_frame"]
        later = np.where(steps > 0, camera, sides["gallery_camera"])
        earlier = np.where(steps > 0, sides["gallery_camera"], camera)
        p = table[later, earlier, np.abs(steps) // BIN_FRAMES]
        out[rows] = 1 - 1 / (1 + np.exp(-5 * similarity[rows])) / (1 + 2 * np.exp(-5 * p))
    return out


def torch_statement(
    similarity: torch.Tensor, table: torch.Tensor, sides: dict[str, torch.Tensor], out: torch.Tensor
) -> torch.Tensor:
    for first in range(0, len(similarity), 64):
        rows = slice(first, first + 64)
        camera, frame = sides["query_camera"][rows, None], sides["query_frame"][rows, None]
        steps = frame - sides["gallery_frame"]
        later = torch.where(steps > 0, camera, sides["gallery_camera"])
        earlier = torch.where(steps > 0, sides["gallery_camera"], camera)
        p = table[later, earlier, steps.abs() // BIN_FRAMES]
        out[rows] = 1 - torch.sigmoid(5 * similarity[rows]) / (1 + 2 * torch.exp(-5 * p))
    return out


def loop_over_pairs(similarity: np.ndarray, table: np.ndarray, sides: dict[str, np.ndarray]) -> np.ndarray:
    """The published look-up: a pair at a time."""
    out = np.empty(similarity.shape)
    for i, (camera, frame) in enumerate(zip(sides["query_camera"], sides["query_frame"], strict=True)):
        p = np.empty(GALLERY)
        for j, (other, time) in enumerate(zip(sides["gallery_camera"], sides["gallery_frame"], strict=True)):
            pair = (camera, other) if frame > time else (other, camera)
            p[j] = table[pair][int(abs(frame - time) / BIN_FRAMES)]
        out[i] = 1 - 1 / (1 + np.exp(-5 * similarity[i])) / (1 + 2 * np.exp(-5 * p))
    return out


def bench_similarities_given(race):
    similarity, known, sides = similarities(QUERIES), model(), seen(QUERIES)
    tensors = {name: torch.from_numpy(x) for name, x in sides.items()}
    out, copied = np.empty_like(similarity), np.empty_like(similarity)
    as_tensor, table = torch.from_numpy(similarity), torch.from_numpy(known.probability)
    result = torch.empty_like(as_tensor)
    race(
        lambda: ops.joint_similarity(similarity, known, out=out, **sides),
        {
            "copy of the matrix": lambda: np.copyto(copied, similarity),
            "numpy": lambda: numpy_statement(similarity, known.probability, sides),
            "torch": lambda: torch_statement(as_tensor, table, tensors, result),
        },
        rounds=5,
        traffic=8 * PAIRS,
        goals={"copy of the matrix": 2.5, "torch": 0.1},
    )


def bench_similarities_given_a_loop_over_pairs(race):
    similarity, known, sides = similarities(LOOP_QUERIES), model(), seen(LOOP_QUERIES)
    race(
        lambda: ops.joint_similarity(similarity, known, **sides),
        {"loop over pairs": lambda: loop_over_pairs(similarity, known.probability, sides)},
        traffic=8 * similarity.size,
    )


def bench_topk_of_given_similarities(race):
    similarity, known, sides = similarities(QUERIES), model(), seen(QUERIES)
    as_tensor = torch.from_numpy(similarity)
    race(
        lambda: ops.joint_topk(similarity, known, k=K, **sides),
        {"torch.topk of the plain similarities": lambda: torch.topk(as_tensor, K)},
        traffic=4 * PAIRS,
    )


def bench_topk_from_features(race):
    q, g, known, sides = unit(QUERIES, 4), unit(GALLERY, 5), model(), seen(QUERIES)
    product = np.empty((QUERIES, GALLERY), np.float32)
    race(
        lambda: ops.joint_topk((q, g), known, k=K, **sides),
        {"the product alone": lambda: np.matmul(q, g.T, out=product)},
        flop=2 * PAIRS * DIMENSIONS,
        goals={"the product alone": 1.15},
    )
