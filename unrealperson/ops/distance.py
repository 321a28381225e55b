"""Distances between feature vectors and the nearest of a gallery, by blocks that stay in the cache.

BLAS makes the products (torch's for tensors, numpy's otherwise); the native module turns each block into distances or
takes the nearest from it, so the whole matrix never exists for `topk`. Shapes: q queries, g gallery rows, d dimensions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from unrealperson.ops import _native, shortlist
from unrealperson.ops.shortlist import Precision, PreparedGallery

Metric = Literal["sqeuclidean", "cosine", "inner_product"]
"""Squared Euclidean distance; 1 - cosine, 1 where a vector is zero; or the product, where larger is nearer."""

BLOCK_QUERIES = 512
BLOCK_PRODUCTS = 4 << 20
"""Elements of a block of products, and of a gallery's block of features."""
FEW_QUERIES = 8
"""Up to so many queries, one pass over the gallery by our own kernel beats BLAS."""
_POOL_BYTES = 64 << 20
_GPU_MAX_PARTS, _GPU_PART_ROWS, _GPU_BLOCKS = 32, 1024, 1024
_GPU_SELECT_QUERIES, _GPU_CHUNK = 2048, 16384
_GPU_SORT_ELEMENTS = 64 << 20


class TopK(NamedTuple):
    """The nearest gallery rows of each query, nearest first.

    Attributes:
        values: [q, k] float32 distances, or products for the metric "inner_product".
        indices: [q, k] int64 rows of the gallery.
    """

    values: Any
    indices: Any


def pairwise_distance(
    q: Any,  # [q, d] float
    g: Any,  # [g, d] float
    *,
    metric: Metric = "sqeuclidean",
    num_threads: int = 0,
) -> Any:
    """Compute the distance of every query to every gallery row.

    Args:
        q: [q, d] float32 (float16 and float64 are converted); numpy, torch or cupy. No gradient flows through it.
        g: [g, d] of the same kind and device.
        metric: "sqeuclidean" is |q|^2 + |g|^2 - 2 q.g, never below 0; "cosine" is 1 - q.g / (|q| |g|) within [0, 2], 1
            where a vector is zero; "inner_product" is q.g itself, a similarity.
        num_threads: OpenMP threads of the part after the product; 0 lets OpenMP choose.

    Returns:
        [q, g] float32 of the kind of `q`.

    Raises:
        ValueError: Wrong kind, dtype or shape, unknown metric, NaN or Inf, vectors longer than about 9e18.
    """
    native, q, g, threads = _enter(q, g, metric, num_threads)
    if _native.on_gpu(q):
        return _Gpu(native, q, _native.float_matrix(g, "g"), metric).matrix()
    result = _empty(q, (len(q), len(g)), "float32")
    query_norm2 = _norms(native, q, "q", threads)
    multiply = _multiplier(q)
    for columns, gallery in _gallery_blocks(q, g):
        terms = _terms(native, metric, _norms(native, gallery, "g", threads, columns.start))
        for rows in _blocks(len(q), BLOCK_QUERIES):
            block = result[rows, columns]
            multiply(q[rows], gallery.T, block)
            native.products_to_values(block, terms, query_norm2[rows], metric, threads)
    return result


def topk(
    q: Any,  # [q, d] float
    g: Any,  # [g, d] float, or prepared
    *,
    k: int,
    metric: Metric = "sqeuclidean",
    precision: Precision | None = None,
    num_threads: int = 0,
) -> TopK:
    """Find the nearest k gallery rows of each query without making the distance matrix.

    Rows are ordered by the float32 key that csrc/distance.h states (|g|^2 - 2 q.g; -q.g / |g|; -q.g), which drops the
    query's own term and so has fewer ties than the distance; equal keys go to the lower gallery index. Where products
    are exact in float32, every path gives the same indices.

    Integer products only rule out rows that cannot be among the nearest k, by a bound that holds for any data; keys
    come from float32 products. A set against itself (`q` and `g` in one place) is multiplied once for both directions
    of a pair.

    Args:
        q: [q, d] float32 (float16 and float64 are converted); numpy, torch or cupy. No gradient flows through it.
        g: [g, d] of the same kind and device, or what `prepare` made of it.
        k: How many, 1 or more; no more than g come back.
        metric: As for `pairwise_distance`; nearest means smallest, and largest for "inner_product".
        precision: Of the products that rule rows out. None takes integers where the gallery has 256 k rows or more and
            either is prepared or there are 128 queries or more, 32 to 65,536 dimensions and a machine that multiplies
            integers in one instruction; it goes over to float32 where a probe finds that the bounds rule out too
            little, as among equal rows. It takes float32 in all other cases and on a GPU.
        num_threads: OpenMP threads of the part after the product; 0 lets OpenMP choose.

    Returns:
        values and indices, [q, min(k, g)] of the kind of `q`.

    Raises:
        ValueError: Wrong kind, dtype or shape, k below 1, unknown metric, NaN or Inf, vectors longer than about 9e18.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k must be an integer of 1 or more, got {k!r}")
    shortlist.check_precision(precision)
    prepared = g if isinstance(g, PreparedGallery) else None
    source = g.features if isinstance(g, PreparedGallery) else g
    itself = _same(q, source)
    native, q, g, threads = _enter(q, source, metric, num_threads)
    k = min(int(k), len(g))
    if _native.on_gpu(q):
        if precision not in (None, "float32"):
            raise ValueError(f'precision must be "float32" on a GPU, got {precision!r}')
        return _Gpu(native, q, _native.float_matrix(g, "g"), metric).topk(k)
    if precision is None and prepared is None and shortlist.pays(native, q, g, k):
        prepared = shortlist.prepare(g, num_threads=threads)
    elif precision in ("int8", "int16") and (prepared is None or prepared.precision != precision):
        prepared = shortlist.prepare(g, precision=precision, num_threads=threads)
    query_norm2 = _norms(native, q, "q", threads)
    result = TopK(_empty(q, (len(q), k), "float32"), _empty(q, (len(q), k), "int64"))
    if k == 0 or len(q) == 0:
        for columns, gallery in _gallery_blocks(q, g):
            _norms(native, gallery, "g", threads, columns.start)
    elif (
        prepared is None
        or precision == "float32"
        or (precision is None and len(g) < shortlist.ROWS_PER_NEIGHBOUR * k)
        or not native.shortlist_topk(
            q, query_norm2, prepared.features, prepared.integers, prepared.norm2, metric,
            *result, itself, precision is not None, threads,
        )
    ):  # fmt: skip
        _search(native, q, g, itself, query_norm2, metric, result, threads)
    return result


def _search(
    native: Any, q: Any, g: Any, itself: bool, query_norm2: np.ndarray, metric: str, result: TopK, threads: int
) -> None:
    """Fill `result` from float32 products of whole blocks."""
    k = result.values.shape[1]
    # A pool holds 2 k + 16 candidates of 16 bytes a query.
    queries = len(q) if itself else max(BLOCK_QUERIES, _POOL_BYTES // (16 * (2 * k + 16)))
    for part in _blocks(len(q), queries):
        blocks = _blocks(part.stop, BLOCK_QUERIES, part.start)
        pools = [(rows, native.Nearest(rows.stop - rows.start, k)) for rows in blocks]
        if itself and len(pools) > 1:
            _search_itself(native, q, pools, metric, threads)
        elif len(q) <= FEW_QUERIES:
            for columns, gallery in _gallery_blocks(q, g):
                block, terms = _few_products(native, q, gallery, columns.start, metric, threads)
                pools[0][1].add(block, terms, columns.start, threads)
        else:
            multiply = _multiplier(q)
            buffer = _empty(q, (BLOCK_PRODUCTS,), "float32")
            for columns, gallery in _gallery_blocks(q, g):
                terms = _terms(native, metric, _norms(native, gallery, "g", threads, columns.start))
                for rows, nearest in pools:
                    shape = (rows.stop - rows.start, len(gallery))
                    block = buffer[: shape[0] * shape[1]].reshape(shape)
                    multiply(q[rows], gallery.T, block)
                    nearest.add(block, terms, columns.start, threads)
        for rows, nearest in pools:
            nearest.finish(query_norm2[rows], metric, result.values[rows], result.indices[rows], threads)


def _search_itself(native: Any, x: Any, pools: list[tuple[slice, Any]], metric: str, threads: int) -> None:
    """Multiply each pair of blocks once, for both directions; every pool meets the columns in ascending order."""
    terms = _terms(native, metric, _norms(native, x, "q", threads))
    multiply = _multiplier(x)
    buffer = _empty(x, (2, BLOCK_QUERIES * BLOCK_QUERIES), "float32")
    for i, (rows, nearest) in enumerate(pools):
        for columns, other in pools[i:]:
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            block, turned = (half[: shape[0] * shape[1]] for half in buffer)
            block, turned = block.reshape(shape), turned.reshape(shape[::-1])
            multiply(x[rows], x[columns].T, block)
            nearest.add(block, terms[:, columns], columns.start, threads)
            if other is not nearest:
                turned[:] = block.T
                other.add(turned, terms[:, rows], rows.start, threads)


def _enter(q: Any, g: Any, metric: str, num_threads: int) -> tuple[Any, Any, Any, int]:
    """Checked inputs, the gallery not yet converted, and the native module."""
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be one of {', '.join(get_args(Metric))}, got {metric!r}")
    kinds = _native.kind_of(q, "q"), _native.kind_of(g, "g")
    if kinds[0] != kinds[1]:
        raise ValueError(f"q and g must be of one kind, got {kinds[0]} and {kinds[1]}")
    q = _native.float_matrix(q, "q")
    _native.check_float_matrix(g, "g")
    if q.shape[1] != g.shape[1] or q.shape[1] == 0:
        raise ValueError(
            f"q and g must have one number of dimensions, got shapes {tuple(q.shape)} and {tuple(g.shape)}"
        )
    if kinds[0] != "numpy" and q.device != g.device:
        raise ValueError(f"q and g must lie on one device, got {q.device} and {g.device}")
    native = _native.load()
    if _native.on_gpu(q) and not native.build_info()["cuda"]:
        raise RuntimeError(
            "q lies on a GPU, but the native module has no CUDA; rebuild with nvcc on PATH: make install"
        )
    return native, q, g, _native.thread_count(num_threads)


def _same(q: Any, g: Any) -> bool:
    """Whether both are one array, or views of it that are alike."""
    if q is g or type(q) is not type(g) or q.shape != g.shape:
        return q is g
    if isinstance(q, np.ndarray):
        return q.ctypes.data == g.ctypes.data and q.strides == g.strides and q.dtype == g.dtype
    if hasattr(q, "data_ptr"):
        return q.data_ptr() == g.data_ptr() and q.stride() == g.stride() and q.dtype == g.dtype
    return False


def _blocks(stop: int, size: int, start: int = 0) -> Iterator[slice]:
    return (slice(first, min(first + size, stop)) for first in range(start, stop, size))


def _gallery_blocks(q: Any, g: Any) -> Iterator[tuple[slice, Any]]:
    """Blocks of a gallery as float32: one that is not so already is never converted whole."""
    rows = BLOCK_PRODUCTS // max(1, min(len(q), BLOCK_QUERIES), q.shape[1])
    for columns in _blocks(len(g), max(64, rows)):
        yield columns, _native.float_matrix(g[columns], "g")


def _empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    if isinstance(like, np.ndarray):
        return np.empty(shape, dtype)
    if _native.kind_of(like, "q") == "torch":
        torch = sys.modules["torch"]
        return torch.empty(shape, dtype=getattr(torch, dtype), device=like.device)
    with like.device:
        return sys.modules["cupy"].empty(shape, dtype)


def _multiplier(like: Any) -> Callable[[Any, Any, Any], Any]:
    if isinstance(like, np.ndarray):
        return lambda a, b, out: np.matmul(a, b, out=out)
    torch = sys.modules["torch"]
    return lambda a, b, out: torch.mm(a, b, out=out)


def _norms(native: Any, x: Any, name: str, threads: int, first: int = 0) -> np.ndarray:
    norm2 = np.empty(len(x), np.float32)
    if len(x):
        bad_row = native.row_norms(x, norm2, threads)
        _native.require_usable(name, bad_row if bad_row < 0 else first + bad_row)
    return norm2


def _terms(native: Any, metric: str, norm2: np.ndarray) -> np.ndarray:
    terms = np.empty((2, len(norm2)), np.float32)
    if len(norm2):
        native.key_terms(metric, norm2, terms)
    return terms


def _few_products(
    native: Any, q: Any, gallery: Any, first: int, metric: str, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Products of a few queries, with the key's terms: each gallery row is read from memory once."""
    block, norm2 = np.empty((len(q), len(gallery)), np.float32), np.empty(len(gallery), np.float32)
    bad_row = native.products_and_norms(q, gallery, block, norm2, threads)
    _native.require_usable("g", bad_row if bad_row < 0 else first + bad_row)
    return block, _terms(native, metric, norm2)


class _Gpu:
    """One call on a GPU: inputs with their squared lengths, on the caller's current stream."""

    def __init__(self, native: Any, q: Any, g: Any, metric: str) -> None:
        self.native, self.q, self.g, self.metric = native, q, g, metric
        self.kind = _native.kind_of(q, "q")
        self.library = sys.modules[self.kind]
        if self.kind == "torch":
            self.device = q.device.index
            self.stream = self.library.cuda.current_stream(q.device).cuda_stream
        else:
            self.device = q.device.id
            with q.device:
                self.stream = self.library.cuda.get_current_stream().ptr
        self.query_norm2, self.gallery_norm2 = self._norms(q, "q"), self._norms(g, "g")

    def _norms(self, x: Any, name: str) -> Any:
        norm2, bad_row = _empty(x, (len(x),), "float32"), _empty(x, (1,), "int64")
        if len(x):
            self.native.cuda_row_norms(x, norm2, bad_row, self.device, self.stream)
            _native.require_usable(name, int(bad_row[0]))
        return norm2

    def _matrix(self, rows: slice, keys: bool) -> Any:
        q, norm2 = self.q[rows], self.query_norm2[rows]
        out = _empty(q, (len(q), len(self.g)), "float32")
        if len(q) and len(self.g):
            self.native.cuda_distance_matrix(
                q, self.g, norm2, self.gallery_norm2, out, self.metric, keys, self.device, self.stream
            )
        return out

    def matrix(self) -> Any:
        return self._matrix(slice(0, len(self.q)), False)

    def topk(self, k: int) -> TopK:
        result = TopK(_empty(self.q, (len(self.q), k), "float32"), _empty(self.q, (len(self.q), k), "int64"))
        if k == 0 or len(self.q) == 0:
            return result
        if k > self.native.cuda_select_limit:
            return self._sorted(k, result)
        if k > self.native.cuda_topk_limit:
            return self._selected(k, result)
        # The gallery is split so far that even few queries make enough thread blocks, of 32 queries each.
        wanted = max(1, _GPU_BLOCKS * 32 // len(self.q))
        parts = min(_GPU_MAX_PARTS, wanted, -(-len(self.g) // _GPU_PART_ROWS))
        part_keys = _empty(self.q, (parts, len(self.q), k), "float32")
        part_indices = _empty(self.q, (parts, len(self.q), k), "int64")
        self.native.cuda_topk(
            self.q, self.g, self.query_norm2, self.gallery_norm2, part_keys, part_indices,
            result.values, result.indices, self.metric, self.device, self.stream,
        )  # fmt: skip
        return result

    def _selected(self, k: int, result: TopK) -> TopK:
        """By chunks of keys from which a block of threads for each query takes the nearest so far."""
        chunk = min(len(self.g), _GPU_CHUNK)
        for rows in _blocks(len(self.q), _GPU_SELECT_QUERIES):
            q = self.q[rows]
            keys = _empty(q, (len(q), chunk), "float32")
            best = _empty(q, (len(q), self.native.cuda_select_limit), "int64")
            self.native.cuda_select(
                q, self.g, self.query_norm2[rows], self.gallery_norm2, keys, best,
                result.values[rows], result.indices[rows], self.metric, self.device, self.stream,
            )  # fmt: skip
        return result

    def _sorted(self, k: int, result: TopK) -> TopK:
        """Stable sort of whole rows of keys, for a k beyond what the fused kernel holds."""
        for rows in _blocks(len(self.q), max(1, _GPU_SORT_ELEMENTS // len(self.g))):
            keys, values = self._matrix(rows, True), self._matrix(rows, False)
            if self.kind == "torch":
                order = self.library.sort(keys, dim=1, stable=True).indices[:, :k]
                result.values[rows] = values.gather(1, order)
            else:
                order = self.library.argsort(keys, axis=1, kind="stable")[:, :k]
                result.values[rows] = self.library.take_along_axis(values, order, axis=1)
            result.indices[rows] = order
        return result
