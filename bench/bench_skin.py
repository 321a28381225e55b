"""Skinning one person against numpy and torch, with the bytes that have to move beside each time.

Run: make bench
"""

from __future__ import annotations

import numpy as np
import torch

from unrealperson import ops

VERTICES, BONES = 17_000, 53


def mesh() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    weight = rng.random((VERTICES, 4), dtype=np.float32)
    return (
        rng.standard_normal((VERTICES, 3), dtype=np.float32),
        rng.standard_normal((VERTICES, 3), dtype=np.float32),
        rng.integers(0, BONES, (VERTICES, 4)).astype(np.uint8),
        weight / weight.sum(1, keepdims=True),
        rng.standard_normal((BONES, 3, 4), dtype=np.float32),
    )


def numpy_skin(positions, normals, index, weight, bones):
    blend = (bones[index] * weight[:, :, None, None]).sum(1)
    posed = (blend[:, :, :3] @ positions[:, :, None])[:, :, 0] + blend[:, :, 3]
    turned = (blend[:, :, :3] @ normals[:, :, None])[:, :, 0]
    return posed, turned / np.linalg.norm(turned, axis=1, keepdims=True)


def torch_skin(positions, normals, index, weight, bones):
    blend = (bones[index.long()] * weight[:, :, None, None]).sum(1)
    posed = torch.baddbmm(blend[:, :, 3:], blend[:, :, :3], positions[:, :, None])[:, :, 0]
    turned = (blend[:, :, :3] @ normals[:, :, None])[:, :, 0]
    return posed, torch.nn.functional.normalize(turned, dim=1)


def bench_skin_one_person(race):
    arrays = mesh()
    tensors = tuple(torch.from_numpy(x) for x in arrays)
    race(
        lambda: ops.skin(*arrays),
        {"numpy": lambda: numpy_skin(*arrays), "torch": lambda: torch_skin(*tensors)},
        rounds=20,
        traffic=VERTICES * (4 * 12 + 4 + 16),
        goals={"numpy": 0.2, "torch": 0.5},
    )


def bench_skin_twenty_people(race):
    people = [mesh() for _ in range(20)]
    joined = [np.concatenate(parts) for parts in list(zip(*people, strict=True))[:4]]
    bones = np.stack([person[4] for person in people])
    race(
        lambda: ops.skin(*joined, bones, vertices=[VERTICES] * 20),
        {"ours, one call a person": lambda: [ops.skin(*person) for person in people]},
        rounds=10,
        traffic=20 * VERTICES * (4 * 12 + 4 + 16),
    )
