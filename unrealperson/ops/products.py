"""What distances, rankings and re-ranking share: checked pairs of features, their products by BLAS, and their keys."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from unrealperson.ops import _native, arrays

Metric = Literal["sqeuclidean", "cosine", "inner_product"]
"""Squared Euclidean distance; 1 - cosine, 1 where a vector is zero; or the product, where larger is nearer."""


def checked_pair(q: Any, g: Any, metric: str, num_threads: int) -> tuple[Any, Any, Any, int]:
    """Check features that are to be compared.

    Args:
        q: [q, d] float; numpy, torch or cupy.
        g: [g, d] of the same kind and device.
        metric: One of `Metric`.
        num_threads: 0 or more.

    Returns:
        The native module, q as float32, g as it is (it may be converted by blocks), and the number of threads.

    Raises:
        ValueError: Wrong kind, dtype or shape, an unknown metric.
        RuntimeError: No native module, or none for a GPU.
    """
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be one of {', '.join(get_args(Metric))}, got {metric!r}")
    kinds = arrays.kind_of(q, "q"), arrays.kind_of(g, "g")
    if kinds[0] != kinds[1]:
        raise ValueError(f"q and g must be of one kind, got {kinds[0]} and {kinds[1]}")
    q = arrays.float_matrix(q, "q")
    arrays.check_float_matrix(g, "g")
    if q.shape[1] != g.shape[1] or q.shape[1] == 0:
        raise ValueError(
            f"q and g must have one number of dimensions, got shapes {tuple(q.shape)} and {tuple(g.shape)}"
        )
    if kinds[0] != "numpy" and q.device != g.device:
        raise ValueError(f"q and g must lie on one device, got {q.device} and {g.device}")
    return _native.load_for(q, "q"), q, g, _native.thread_count(num_threads)


def multiplier(like: Any) -> Callable[[Any, Any, Any], Any]:
    """Choose the library whose BLAS multiplies: torch's for tensors, numpy's otherwise.

    Args:
        like: One of the arrays, in host memory.

    Returns:
        A function of (a [n, d], b [d, m], out [n, m]).
    """
    if isinstance(like, np.ndarray):
        return lambda a, b, out: np.matmul(a, b, out=out)
    torch = sys.modules["torch"]
    return lambda a, b, out: torch.mm(a, b, out=out)


def norms(native: Any, x: Any, name: str, threads: int, first: int = 0) -> np.ndarray:
    """Compute squared lengths.

    Args:
        native: The native module.
        x: [n, d] float32 in host memory.
        name: What messages call it.
        threads: 0 lets OpenMP choose.
        first: Number of row 0 in messages.

    Returns:
        [n] float32.

    Raises:
        ValueError: NaN or Inf, or a vector longer than about 9e18.
    """
    norm2 = np.empty(len(x), np.float32)
    if len(x):
        bad_row = native.row_norms(x, norm2, threads)
        arrays.require_usable(name, bad_row if bad_row < 0 else first + bad_row)
    return norm2


def key_terms(native: Any, metric: str, norm2: np.ndarray) -> np.ndarray:
    """Compute what turns products into the keys of csrc/distance.h: key = terms[1] + terms[0] * product.

    Args:
        native: The native module.
        metric: One of `Metric`.
        norm2: [g] float32 squared lengths of the gallery.

    Returns:
        [2, g] float32.
    """
    terms = np.empty((2, len(norm2)), np.float32)
    if len(norm2):
        native.key_terms(metric, norm2, terms)
    return terms


def plain_terms(columns: int) -> np.ndarray:
    """What `key_terms` would have to be for blocks that hold keys already.

    Args:
        columns: g.

    Returns:
        [2, g] float32.
    """
    return np.stack([np.ones(columns, np.float32), np.zeros(columns, np.float32)])


class GpuProducts:
    """One call on a GPU: inputs with their squared lengths, on the caller's current stream."""

    def __init__(self, native: Any, q: Any, g: Any, metric: str) -> None:
        self.native, self.q, self.g, self.metric = native, q, g, metric
        self.kind = arrays.kind_of(q, "q")
        self.library = sys.modules[self.kind]
        self.place = arrays.place(q)
        self.query_norm2, self.gallery_norm2 = self._norms(q, "q"), self._norms(g, "g")

    def _norms(self, x: Any, name: str) -> Any:
        norm2, bad_row = arrays.empty(x, (len(x),), "float32"), arrays.empty(x, (1,), "int64")
        if len(x):
            self.native.cuda_row_norms(x, norm2, bad_row, *self.place)
            arrays.require_usable(name, int(bad_row[0]))
        return norm2

    def block(self, rows: Any, *, keys: bool = False) -> Any:
        """[rows, g] float32 distances of some queries, or the keys that rank them."""
        q, norm2 = self.q[rows], self.query_norm2[rows]
        out = arrays.empty(q, (len(q), len(self.g)), "float32")
        if len(q) and len(self.g):
            self.native.cuda_distance_matrix(q, self.g, norm2, self.gallery_norm2, out, self.metric, keys, *self.place)
        return out
