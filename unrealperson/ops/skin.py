"""Linear-blend skinning on the CPU."""

from __future__ import annotations

import sys
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
    bones: Any,  # [B, 3, 4] float32
    *,
    num_threads: int = 0,
) -> Skinned:
    """Pose a mesh by its bones: each vertex moves by the weighted sum of up to four transforms.

    Sums run in one written order without fused multiply-add, so the result is the same to the bit on every machine.

    Args:
        positions: [V, 3] float32 rest positions; numpy, or torch on the CPU.
        normals: [V, 3] float32 rest normals, of the same kind. Their transform is the blend's linear part, which is
            right for rotations with uniform scale.
        bone_index: [V, 4] uint8 below B.
        bone_weight: [V, 4] float32, 0 or more, of sum 1 a vertex; unused places have weight 0.
        bones: [B, 3, 4] float32 transforms from rest to pose.
        num_threads: OpenMP threads; 0 lets OpenMP choose. Small meshes use one.

    Returns:
        Posed positions and unit normals, of the kind of `positions`.

    Raises:
        ValueError: Wrong shape, dtype, device or kind, NaN or Inf, a bone_index beyond B, weights not of sum 1.
    """
    vertices, count = len(positions), len(bones)
    native = _native.load()
    parts = {
        "positions": _checked(positions, "positions", (vertices, 3), "float32"),
        "normals": _checked(normals, "normals", (vertices, 3), "float32"),
        "bone_index": _checked(bone_index, "bone_index", (vertices, 4), "uint8"),
        "bone_weight": _checked(bone_weight, "bone_weight", (vertices, 4), "float32"),
        "bones": _checked(bones, "bones", (count, 3, 4), "float32"),
    }
    kinds = {name: arrays.kind_of(array, name) for name, array in parts.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"all arrays must be of one kind, got {kinds}")
    empty_like = np.empty_like if kinds["positions"] == "numpy" else sys.modules["torch"].empty_like
    result = Skinned(empty_like(parts["positions"]), empty_like(parts["positions"]))
    if vertices:
        native.skin(*parts.values(), result.positions, result.normals, _native.thread_count(num_threads))
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
