"""Loops compiled by numba, kept on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a loop over numpy arrays: compiled at its first call, without the interpreter's lock.

    Args:
        function: in the part of Python that numba compiles.
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder for the cache can be written: each process compiles anew
        return numba.njit(nogil=True)(function)
