"""Arrays of numpy, torch and cupy treated alike, without importing a library that the caller has not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

Kind = Literal["numpy", "torch", "cupy"]
"""Library of an array; results come back in the kind that went in."""


def kind_of(x: Any, name: str) -> Kind:
    """Find an array's library without importing one.

    Args:
        x: The array.
        name: What messages call it.

    Returns:
        "numpy", "torch" or "cupy".

    Raises:
        ValueError: `x` is none of them.
    """
    if isinstance(x, np.ndarray):
        return "numpy"
    for library, type_name in (("torch", "Tensor"), ("cupy", "ndarray")):
        module = sys.modules.get(library)
        if module is not None and isinstance(x, getattr(module, type_name)):
            return "torch" if library == "torch" else "cupy"
    raise ValueError(f"{name} must be a numpy array, torch tensor or cupy array, got {type(x).__name__}")


def on_gpu(x: Any) -> bool:
    """Tell whether an array lies in GPU memory.

    Args:
        x: A numpy, torch or cupy array.

    Raises:
        ValueError: It lies neither in host nor in CUDA memory.
    """
    if isinstance(x, np.ndarray):
        return False
    device = getattr(x.device, "type", "cuda")
    if device not in ("cpu", "cuda"):
        raise ValueError(f"arrays must lie on cpu or cuda, got {device}; move them with .to()")
    return bool(device == "cuda")


def empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Make an uninitialised array beside another.

    Args:
        like: Gives kind and device.
        shape: Of the result.
        dtype: A name that all libraries share, such as "float32".
    """
    kind = kind_of(like, "like")
    if kind == "numpy":
        return np.empty(shape, dtype)
    if kind == "torch":
        return like.new_empty(shape, dtype=getattr(sys.modules["torch"], dtype))
    with like.device:
        return sys.modules["cupy"].empty(shape, dtype)


def beside(like: Any, x: np.ndarray) -> Any:
    """Bring a small array of the host to where another lies.

    Args:
        like: Gives kind and device; one in host memory gets `x` itself.
        x: Any shape.
    """
    if not on_gpu(like):
        return x
    if kind_of(like, "like") == "torch":
        return sys.modules["torch"].from_numpy(x).to(like.device)
    with like.device:
        return sys.modules["cupy"].asarray(x)


def on_host(x: Any) -> np.ndarray:
    """Give an array as numpy's, copied only from a GPU.

    Args:
        x: numpy, torch or cupy.
    """
    kind = kind_of(x, "x")
    return x if kind == "numpy" else x.detach().cpu().numpy() if kind == "torch" else x.get()


def place(x: Any) -> tuple[int, int]:
    """Find where kernels on an array have to run.

    Args:
        x: torch or cupy, on a GPU.

    Returns:
        The device's number and the caller's current stream there.
    """
    if kind_of(x, "x") == "torch":
        return x.device.index, sys.modules["torch"].cuda.current_stream(x.device).cuda_stream
    with x.device:
        return x.device.id, sys.modules["cupy"].cuda.get_current_stream().ptr


def blocks(stop: int, size: int, start: int = 0) -> Iterator[slice]:
    """Cut a range into slices.

    Args:
        stop: End of the range.
        size: Of every slice but the last.
        start: Of the range.
    """
    return (slice(first, min(first + size, stop)) for first in range(start, stop, size))


def smallest(x: Any, k: int) -> Any:
    """Find the smallest of each row on a GPU by a stable sort, for what its kernels do not hold.

    Args:
        x: [n, m]; torch or cupy.
        k: How many.

    Returns:
        [n, k] int64 columns, ascending by value, equal ones by column.
    """
    if kind_of(x, "x") == "torch":
        return x.argsort(dim=1, stable=True)[:, :k]
    return sys.modules["cupy"].argsort(x, axis=1, kind="stable")[:, :k]


def along_rows(x: Any, columns: Any) -> Any:
    """Take chosen columns of each row.

    Args:
        x: [n, m]; torch or cupy.
        columns: [n, k] int64.

    Returns:
        [n, k] of the dtype of `x`.
    """
    return (
        x.gather(1, columns) if kind_of(x, "x") == "torch" else sys.modules["cupy"].take_along_axis(x, columns, axis=1)
    )


def count(n: Any, name: str, least: int = 1) -> int:
    """Check a whole number.

    Args:
        n: An integer of Python or numpy.
        name: What messages call it.
        least: The smallest that is allowed.

    Raises:
        ValueError: It is something else or smaller.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < least:
        raise ValueError(f"{name} must be an integer of {least} or more, got {n!r}")
    return int(n)


def labels(x: Any, name: str, n: int) -> np.ndarray:
    """Check integers, one for each row, and give them as int64 in host memory.

    Args:
        x: [n] of any integer type and kind of array.
        name: What messages call them.
        n: How many there must be.

    Raises:
        ValueError: Another shape, no integers, or integers that int64 cannot hold.
    """
    kind_of(x, name)
    array = on_host(x)
    if array.dtype.kind not in "iu" or not np.can_cast(array.dtype, np.int64) or array.shape != (n,):
        raise ValueError(f"{name} must be integers [{n}] that fit int64, got {array.dtype} {list(array.shape)}")
    return np.require(array, np.int64, ["C", "A"])


def check_float_matrix(x: Any, name: str) -> None:
    """Refuse what `float_matrix` could not convert.

    Args:
        x: [n, d] float32, float16, bfloat16 or float64; numpy, torch or cupy.
        name: What messages call it.

    Raises:
        ValueError: Wrong type, dtype or number of dimensions.
    """
    kind = kind_of(x, name)
    if x.ndim != 2:
        raise ValueError(f"{name} must be [n, d], got shape {tuple(x.shape)}")
    if kind == "torch":
        if not x.is_floating_point():
            raise ValueError(f"{name} must be float32, float16, bfloat16 or float64, got {x.dtype}; use {name}.float()")
    elif (x.dtype.kind != "f" or x.dtype.itemsize > 8) and not (kind == "numpy" and x.dtype == np.int8):
        raise ValueError(f"{name} must be float32, float16 or float64, got {x.dtype}; use {name}.astype('float32')")


def float_matrix(x: Any, name: str) -> Any:
    """Check a matrix and give it as float32 with adjacent elements in each row, copied only where it is not so already.

    Args:
        x: [n, d] float32, float16, bfloat16 or float64; numpy, torch or cupy.
        name: What messages call it.

    Returns:
        [n, d] float32 of the same kind and device.

    Raises:
        ValueError: Wrong type, dtype or number of dimensions.
    """
    check_float_matrix(x, name)
    kind = kind_of(x, name)
    if kind == "torch":
        x = x.detach().to(sys.modules["torch"].float32).resolve_neg()
        return x if _rows_adjacent(x.stride(), x.shape) else x.contiguous()
    if kind == "cupy":
        cupy = sys.modules["cupy"]
        return cupy.ascontiguousarray(x, dtype=cupy.float32)
    strides = tuple(step // 4 if step % 4 == 0 else -1 for step in x.strides)
    if x.dtype == np.float32 and x.dtype.isnative and x.flags.aligned and _rows_adjacent(strides, x.shape):
        return x
    with np.errstate(over="ignore"):
        return np.require(x, np.float32, ["C", "A"])


def require_usable(name: str, bad_row: int) -> None:
    """Refuse vectors whose squared length the native module found to be unusable.

    Args:
        name: What messages call them.
        bad_row: The first such row, or a negative number.

    Raises:
        ValueError: There is one.
    """
    if bad_row >= 0:
        raise ValueError(
            f"{name} must be finite and no row longer than 9e18, see row {bad_row}; got NaN, Inf or too long"
        )


def _rows_adjacent(strides: Any, shape: Any) -> bool:
    return (strides[1] == 1 or shape[1] == 1) and (strides[0] >= shape[1] or shape[0] == 1)
