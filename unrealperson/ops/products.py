"""What distances, rankings and re-ranking share: checked pairs of features, their products by BLAS, and their keys."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import numpy as np

from unrealperson.ops import _native, arrays

_GPU_QUERIES, _GPU_PRODUCTS = 2048, 64 << 20
_GPU_THREAD_BLOCKS, _GPU_PART_COLUMNS = 2048, 4096

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
    """Choose what multiplies: the BLAS of the arrays' library, but our own kernel where that BLAS may round to TF32.

    The caller's choice of TF32 is one for the whole process, and other threads rely on it: it is read, never changed.

    Args:
        like: One of the arrays.

    Returns:
        A function of (a [n, d], b [d, m], out [n, m]).
    """
    if isinstance(like, np.ndarray):
        return lambda a, b, out: np.matmul(a, b, out=out)
    if arrays.on_gpu(like) and _rounds_to_tf32(arrays.kind_of(like, "like")):
        native, place = _native.load_for(like, "like"), arrays.place(like)
        return lambda a, b, out: native.cuda_products(a, b.T, out, *place)
    if arrays.kind_of(like, "like") == "cupy":
        return _multiply_by_cupy
    torch = sys.modules["torch"]
    return lambda a, b, out: torch.mm(a, b, out=out)


def _multiply_by_cupy(a: Any, b: Any, out: Any) -> None:
    with out.device:
        sys.modules["cupy"].matmul(a, b, out=out)


def _rounds_to_tf32(kind: str) -> bool:
    """Whether the library's products of float32 on a GPU may have less than its precision."""
    if kind == "cupy":
        return os.environ.get("CUPY_TF32", "0") != "0"
    matmul = sys.modules["torch"].backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return matmul.fp32_precision not in ("ieee", "none")
    return bool(matmul.allow_tf32)


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
    """One call on a GPU: inputs with their squared lengths, on the caller's current stream.

    What cannot be used is noted there as well; `require_usable` waits for it, once, when all is queued.
    """

    def __init__(self, native: Any, q: Any, g: Any, metric: str, *, few: bool = False) -> None:
        """Compute the squared lengths.

        Args:
            native: The native module.
            q: [q, d] float32.
            g: [g, d] float32 beside it.
            metric: One of `Metric`.
            few: Leave the gallery's squared lengths to `chunks`, which makes them along with the products of a few
                queries.
        """
        self.native, self.q, self.g, self.metric, self.few = native, q, g, metric, few
        self.kind = arrays.kind_of(q, "q")
        self.library = sys.modules[self.kind]
        self.place = arrays.place(q)
        self.multiply = multiplier(q)
        self.bad_rows = arrays.empty(q, (2,), "int64")
        self.bad_rows[...] = -1
        self.query_norm2 = self._norm2(q, 0)
        if few:
            self.gallery_norm2 = arrays.empty(g, (len(g),), "float32")
        else:
            self.gallery_norm2 = self.query_norm2 if g is q else self._norm2(g, 1)

    def _norm2(self, x: Any, side: int) -> Any:
        norm2 = arrays.empty(x, (len(x),), "float32")
        if len(x):
            self.native.cuda_row_norms(x, norm2, self.bad_rows[side : side + 1], *self.place)
        return norm2

    def require_usable(self) -> None:
        """Wait for the GPU and refuse vectors that it found to be unusable.

        Raises:
            ValueError: NaN or Inf, or a vector longer than about 9e18.
        """
        for name, bad_row in zip("qg", arrays.on_host(self.bad_rows), strict=True):
            arrays.require_usable(name, int(bad_row))

    def block(self, rows: Any, *, keys: bool = False) -> Any:
        """[rows, g] float32 distances of some queries, or the keys that rank them."""
        q, norm2 = self.q[rows], self.query_norm2[rows]
        out = arrays.empty(q, (len(q), len(self.g)), "float32")
        if len(q) and len(self.g):
            self.multiply(q, self.g.T, out)
            self.to_values(out, slice(None), norm2, out, keys=keys)
        return out

    def to_values(self, products: Any, columns: slice, query_norm2: Any, out: Any, *, keys: bool = False) -> None:
        """Write the distances, or keys, of some queries' products with some columns to `out`, or in place."""
        norm2 = self.gallery_norm2[columns]
        self.native.cuda_products_to_values(products, norm2, query_norm2, self.metric, keys, out, *self.place)

    def row_blocks(self) -> Iterator[slice]:
        """Queries that go through the gallery together."""
        return arrays.blocks(len(self.q), _GPU_QUERIES)

    def chunk_columns(self, queries: int) -> int:
        """Gallery rows whose products with so many queries fill the buffer."""
        return max(1, min(len(self.g), _GPU_PRODUCTS // max(1, queries)))

    def chunks(self, rows: slice) -> Iterator[tuple[slice, Any]]:
        """Products of some queries with the gallery, columns and [rows, columns]; each is overwritten by the next."""
        q = self.q[rows]
        step = self.chunk_columns(len(q))
        buffer = arrays.empty(q, (len(q) * step,), "float32")
        for columns in arrays.blocks(len(self.g), step):
            g, norm2 = self.g[columns], self.gallery_norm2[columns]
            block = buffer[: len(q) * len(g)].reshape(len(q), len(g))
            if self.few:
                self.native.cuda_products_and_norms(q, g, columns.start, block, norm2, self.bad_rows[1:], *self.place)
            else:
                self.multiply(q, g.T, block)
            yield columns, block


class GpuNearest:
    """The nearest k of the columns seen so far, for some queries of a pair on a GPU."""

    def __init__(self, pair: GpuProducts, rows: slice, k: int, *, largest: bool = False) -> None:
        """Make room for the lists.

        Args:
            pair: Whose products will be added.
            rows: The queries.
            k: How many, from 1 to the kernel's limit.
            largest: Keep the largest key as well.
        """
        self._pair, self._norm2 = pair, pair.query_norm2[rows]
        queries = len(self._norm2)
        # Few queries need many parts of the gallery to fill the device; a part is worth its list from some columns on.
        parts = min(-(-_GPU_THREAD_BLOCKS // queries), pair.chunk_columns(queries) // max(_GPU_PART_COLUMNS, 8 * k))
        self._lists = arrays.empty(pair.q, (queries, max(1, parts), k), "int64")
        self._largest: Any = arrays.empty(pair.q, (queries, max(1, parts)), "float32") if largest else None

    def add(self, columns: slice, products: Any) -> None:
        """Take a chunk; chunks come along the gallery."""
        pair = self._pair
        pair.native.cuda_nearest_add(
            products, pair.gallery_norm2[columns], columns.start, pair.metric, self._lists, self._largest, *pair.place
        )

    def finish(self, values: Any, indices: Any) -> None:
        """Write values and indices [rows, k], nearest first."""
        pair = self._pair
        pair.native.cuda_nearest_finish(self._lists, self._norm2, pair.metric, values, indices, *pair.place)

    def largest_key(self) -> Any:
        """[rows] float32."""
        return self._largest.amax(1) if self._pair.kind == "torch" else self._largest.max(axis=1)
