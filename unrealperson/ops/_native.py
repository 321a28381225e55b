"""The compiled module, loaded on first use."""

from __future__ import annotations

import importlib
import os
from functools import cache
from typing import Any

from unrealperson.log import get_logger
from unrealperson.ops import arrays

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


def load_for(x: Any, name: str) -> Any:
    """Load the compiled module for an array.

    Args:
        x: numpy, torch or cupy.
        name: What messages call it.

    Raises:
        RuntimeError: As `load`, or the array lies on a GPU and the module has no CUDA.
    """
    module = load()
    if arrays.on_gpu(x) and not _with_cuda(module):
        raise RuntimeError(
            f"{name} lies on a GPU, but the native module has no CUDA; rebuild with nvcc on PATH: make install"
        )
    return module


@cache
def _with_cuda(module: Any) -> bool:
    return bool(module.build_info()["cuda"])


def build_info() -> dict[str, Any]:
    """Tell how the native module was built and what it uses on this machine.

    Returns:
        version, compiler, cuda (built in or not), cuda_version, cuda_archs, cuda_devices (found now), openmp, threads,
        isa_compiled, isa_supported and isa (in use; environment UP_ISA chooses scalar, avx2 or avx512).

    Raises:
        RuntimeError: The native module does not load.
    """
    return dict(load().build_info())


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
