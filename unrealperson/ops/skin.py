"""Linear-blend skinning on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from unrealperson.ops import _native, arrays


class Skinned(NamedTuple):
    """Posed mesh.

    Attributes:
        positions: [V, 3] float32.
        normals: [V, 3] float32, unit length; a zero normal stays zero.
    """

    positions: Any
    normals: Any


def skin(
    positions: Any,  # [V, 3] float32
    normals: Any,  # [V, 3] float32
    bone_index: Any,  # [V, 4] uint8
    bone_weight: Any,  # [V, 4] float32
    bones: Any,  # [B, 3, 4] or [P, B, 3, 4] float32
    *,
    vertices: Sequence[int] | None = None,
    num_threads: int = 0,
) -> Skinned:
    """Pose a mesh by its bones, or the meshes of many people at once: each vertex moves by up to four transforms.

    Sums run in one written order without fused multiply-add, so the result is the same to the bit on every machine,
    for one person a call or many.

    Args:
        positions: [V, 3] float32 rest positions, people one after the other; numpy, or torch on the CPU.
        normals: [V, 3] float32 rest normals, of the same kind. Their transform is the blend's linear part, which is
            right for rotations with uniform scale.
        bone_index: [V, 4] uint8 below B.
        bone_weight: [V, 4] float32, 0 or more, of sum 1 a vertex; unused places have weight 0.
        bones: [B, 3, 4] float32 transforms from rest to pose, or [P, B, 3, 4], those of each person.
        vertices: How many belong to each of the P people, together V; None where there is one.
        num_threads: OpenMP threads; 0 lets OpenMP choose. Small meshes use one.

    Returns:
        Posed positions and unit normals, of the kind of `positions`.

    Raises:
        ValueError: Wrong shape, dtype, device or kind, NaN or Inf, a bone_index beyond B, weights not of sum 1,
            vertices that do not fit.
    """
    if bones.ndim not in (3, 4):
        raise ValueError(f"bones must be [B, 3, 4] or [P, B, 3, 4], got shape {list(bones.shape)}")
    total, people = len(positions), 1 if bones.ndim == 3 else len(bones)
    if vertices is None and people != 1:
        raise ValueError(f"vertices must say how many of the {total} belong to each of the {people} people")
    counts = np.array([total] if vertices is None else vertices, np.int64, ndmin=1)
    if counts.shape != (people,) or counts.min(initial=0) < 0 or counts.sum() != total:
        raise ValueError(f"vertices must be {people} counts that add up to {total}, got {counts.tolist()}")
    native = _native.load()
    parts = {
        "positions": _checked(positions, "positions", (total, 3), "float32"),
        "normals": _checked(normals, "normals", (total, 3), "float32"),
        "bone_index": _checked(bone_index, "bone_index", (total, 4), "uint8"),
        "bone_weight": _checked(bone_weight, "bone_weight", (total, 4), "float32"),
        "bones": _checked(bones, "bones", (*bones.shape[:-2], 3, 4), "float32"),
    }
    kinds = {name: arrays.kind_of(part, name) for name, part in parts.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"all arrays must be of one kind, got {kinds}")
    result = Skinned(*(arrays.empty(parts["positions"], (total, 3), "float32") for _ in range(2)))
    if total:
        parts["bones"] = parts["bones"].reshape(people, -1, 3, 4)
        begin = np.concatenate([[0], np.cumsum(counts)])
        native.skin(*parts.values(), begin, *result, _native.thread_count(num_threads))
    return result


def _checked(x: Any, name: str, shape: tuple[int, ...], dtype: str) -> Any:
    kind = arrays.kind_of(x, name)
    if arrays.on_gpu(x):
        raise ValueError(
            f"{name} must lie in host memory: skin runs on the CPU alone; use {name}.cpu() or cupy.asnumpy"
        )
    if tuple(x.shape) != shape or str(x.dtype).removeprefix("torch.") != dtype:
        raise ValueError(f"{name} must be {dtype} {list(shape)}, got {x.dtype} {list(x.shape)}")
    return np.require(x, requirements=["C", "A"]) if kind == "numpy" else x.detach().contiguous()
