"""The compiled module, loaded on first use, and the arrays that may cross into it."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Literal

import numpy as np

from unrealperson.log import get_logger

Kind = Literal["numpy", "torch", "cupy"]
"""Library of an array; results come back in the kind that went in."""

_log = get_logger(__name__)
_module: Any = None
_failure: Exception | None = None


def load() -> Any:
    """Load the compiled module once; later calls return it or raise the first failure again.

    Returns:
        The module `unrealperson.ops._C`.

    Raises:
        RuntimeError: The module is missing or does not load, or UP_ISA names an instruction set that is not there.
    """
    global _module, _failure
    if _module is None and _failure is None:
        try:
            module = importlib.import_module("unrealperson.ops._C")
        except ImportError as error:
            _failure = error
        else:
            if isa := os.environ.get("UP_ISA"):
                try:
                    module.use_isa(isa)
                except ValueError as error:
                    raise RuntimeError(f"UP_ISA={isa} cannot be used: {error}") from error
            _module = module
            _log.debug("native module: %s", module.build_info())
    if _module is None:
        raise RuntimeError(
            f"the native module unrealperson.ops._C does not load ({_failure}); "
            "build it: make install, or pip install --no-build-isolation -e ."
        ) from _failure
    return _module


def build_info() -> dict[str, Any]:
    """Tell how the native module was built and what it uses on this machine.

    Returns:
        version, compiler, cuda (built in or not), cuda_version, cuda_archs, cuda_devices (found now), openmp, threads,
        isa_compiled, isa_supported and isa (in use; environment UP_ISA chooses scalar, avx2 or avx512).

    Raises:
        RuntimeError: The native module does not load.
    """
    return dict(load().build_info())


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
    elif x.dtype.kind != "f" or x.dtype.itemsize > 8:
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


def thread_count(num_threads: int) -> int:
    """Check a number of threads.

    Args:
        num_threads: Threads, or 0 for OpenMP's own choice.

    Raises:
        ValueError: It is negative or no integer.
    """
    if isinstance(num_threads, bool) or not isinstance(num_threads, int) or num_threads < 0:
        raise ValueError(f"num_threads must be an integer of 0 or more, got {num_threads!r}; 0 lets OpenMP choose")
    return num_threads


def _rows_adjacent(strides: Any, shape: Any) -> bool:
    return (strides[1] == 1 or shape[1] == 1) and (strides[0] >= shape[1] or shape[0] == 1)
