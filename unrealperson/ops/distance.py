"""Distances between feature vectors and the nearest of a gallery, by blocks that stay in the cache.

The BLAS of the arrays' own library makes the products; the native module turns each block into distances or
takes the nearest from it, so the whole matrix never exists for `topk`. Shapes: q queries, g gallery rows, d dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from unrealperson.ops import arrays, shortlist
from unrealperson.ops.products import GpuNearest, GpuProducts, Metric, checked_pair, key_terms, multiplier, norms
from unrealperson.ops.shortlist import Precision, PreparedGallery

BLOCK_QUERIES = 512
BLOCK_PRODUCTS = 4 << 20
"""Elements of a block of products, and of a gallery's block of features."""
FEW_QUERIES = 8
"""Up to so many queries, one pass over the gallery by our own kernel beats BLAS."""
_POOL_BYTES = 64 << 20
_GPU_SORT_ELEMENTS = 64 << 20


class TopK(NamedTuple):
    """The nearest gallery rows of each query, nearest first.

    Attributes:
        values: [q, k] float32 distances, or products for the metric "inner_product".
        indices: [q, k] int64 rows of the gallery.
    """

    values: Any
    indices: Any


def empty_topk(like: Any, k: int) -> TopK:
    """Make room for the nearest k of each row.

    Args:
        like: [n, ...] gives the number of rows, kind and device.
        k: How many.
    """
    return TopK(*(arrays.empty(like, (len(like), k), dtype) for dtype in ("float32", "int64")))


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
    native, q, g, threads = checked_pair(q, g, metric, num_threads)
    if arrays.on_gpu(q):
        pair = GpuProducts(native, q, arrays.float_matrix(g, "g"), metric)
        result = pair.block(slice(None))
        pair.require_usable()
        return result
    result = arrays.empty(q, (len(q), len(g)), "float32")
    query_norm2 = norms(native, q, "q", threads)
    multiply = multiplier(q)
    for columns, gallery in _gallery_blocks(q, g):
        terms = key_terms(native, metric, norms(native, gallery, "g", threads, columns.start))
        for rows in arrays.blocks(len(q), BLOCK_QUERIES):
            block = result[rows, columns]
            multiply(q[rows], gallery.T, block)
            native.products_to_values(block, terms, query_norm2[rows], metric, threads)
    return result


def topk(
    q: Any,  # [q, d] float
    g: Any,  # [g, d] float or int8, or prepared
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
        g: [g, d] of the same kind and device, or what `prepare` made of it. Of numpy, int8 rows as well. Up to
            8 queries read float16 and int8 rows as they are stored.
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
    k = arrays.count(k, "k")
    shortlist.check_precision(precision)
    prepared = g if isinstance(g, PreparedGallery) else None
    source = g.features if isinstance(g, PreparedGallery) else g
    itself = _same(q, source)
    native, q, g, threads = checked_pair(q, source, metric, num_threads)
    k = min(k, len(g))
    if arrays.on_gpu(q):
        if precision not in (None, "float32"):
            raise ValueError(f'precision must be "float32" on a GPU, got {precision!r}')
        return _topk_on_gpu(native, q, arrays.float_matrix(g, "g"), metric, k)
    if precision is None and prepared is None and shortlist.pays(native, q, g, k):
        prepared = shortlist.prepare(g, num_threads=threads)
    elif precision in ("int8", "int16") and (prepared is None or prepared.precision != precision):
        prepared = shortlist.prepare(g, precision=precision, num_threads=threads)
    query_norm2 = norms(native, q, "q", threads)
    result = empty_topk(q, k)
    if k == 0 or len(q) == 0:
        for columns, gallery in _gallery_blocks(q, g):
            norms(native, gallery, "g", threads, columns.start)
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
    for part in arrays.blocks(len(q), queries):
        blocks = arrays.blocks(part.stop, BLOCK_QUERIES, part.start)
        pools = [(rows, native.Nearest(rows.stop - rows.start, k)) for rows in blocks]
        if itself and len(pools) > 1:
            _search_itself(native, q, pools, metric, threads)
        elif len(q) <= FEW_QUERIES:
            for columns, gallery in [(slice(0, len(g)), g)] if _is_stored(g) else _gallery_blocks(q, g):
                bad_row = pools[0][1].add_rows(q, gallery, metric, columns.start, threads)
                arrays.require_usable("g", bad_row if bad_row < 0 else columns.start + bad_row)
        else:
            multiply = multiplier(q)
            buffer = arrays.empty(q, (BLOCK_PRODUCTS,), "float32")
            for columns, gallery in _gallery_blocks(q, g):
                terms = key_terms(native, metric, norms(native, gallery, "g", threads, columns.start))
                for rows, nearest in pools:
                    shape = (rows.stop - rows.start, len(gallery))
                    block = buffer[: shape[0] * shape[1]].reshape(shape)
                    multiply(q[rows], gallery.T, block)
                    nearest.add(block, terms, columns.start, threads)
        for rows, nearest in pools:
            nearest.finish(query_norm2[rows], metric, result.values[rows], result.indices[rows], threads)


def _search_itself(native: Any, x: Any, pools: list[tuple[slice, Any]], metric: str, threads: int) -> None:
    """Multiply each pair of blocks once, for both directions; every pool meets the columns in ascending order."""
    terms = key_terms(native, metric, norms(native, x, "q", threads))
    multiply = multiplier(x)
    buffer = arrays.empty(x, (2, BLOCK_QUERIES * BLOCK_QUERIES), "float32")
    for i, (rows, nearest) in enumerate(pools):
        for columns, other in pools[i:]:
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            block, turned = (half[: shape[0] * shape[1]] for half in buffer)
            block, turned = block.reshape(shape), turned.reshape(shape[::-1])
            multiply(x[rows], x[columns].T, block)
            nearest.add(block, terms[:, columns], columns.start, threads)
            if other is not nearest:
                native.transpose(block, turned, threads)
                other.add(turned, terms[:, rows], rows.start, threads)


def _same(q: Any, g: Any) -> bool:
    """Whether both are one array, or views of it that are alike."""
    if q is g or type(q) is not type(g) or q.shape != g.shape:
        return q is g
    if isinstance(q, np.ndarray):
        return q.ctypes.data == g.ctypes.data and q.strides == g.strides and q.dtype == g.dtype
    if hasattr(q, "data_ptr"):
        return q.data_ptr() == g.data_ptr() and q.stride() == g.stride() and q.dtype == g.dtype
    return False


def _is_stored(g: Any) -> bool:
    """Whether our own kernel reads the rows of a gallery as they are, where they may be mapped from a file."""
    return (
        isinstance(g, np.ndarray)
        and g.dtype in (np.float32, np.float16, np.int8)
        and g.flags.c_contiguous
        and g.flags.aligned
    )


def _gallery_blocks(q: Any, g: Any) -> Iterator[tuple[slice, Any]]:
    """Blocks of a gallery as float32, never converted whole."""
    rows = BLOCK_PRODUCTS // max(1, min(len(q), BLOCK_QUERIES), q.shape[1])
    for columns in arrays.blocks(len(g), max(64, rows)):
        yield columns, arrays.float_matrix(g[columns], "g")


def _topk_on_gpu(native: Any, q: Any, g: Any, metric: str, k: int) -> TopK:
    result = empty_topk(q, k)
    selects = 0 < k <= native.cuda_nearest_limit
    pair = GpuProducts(native, q, g, metric, few=selects and 0 < len(q) <= native.cuda_few_queries)
    if selects:
        for rows in pair.row_blocks():
            nearest = GpuNearest(pair, rows, k)
            for columns, products in pair.chunks(rows):
                nearest.add(columns, products)
            nearest.finish(result.values[rows], result.indices[rows])
    elif k:
        _sort_on_gpu(pair, k, result)
    pair.require_usable()
    return result


def _sort_on_gpu(pair: GpuProducts, k: int, result: TopK) -> None:
    """Stable sort of whole rows of keys, for a k beyond what the lists hold."""
    for rows in arrays.blocks(len(pair.q), max(1, _GPU_SORT_ELEMENTS // len(pair.g))):
        keys, values = pair.block(rows, keys=True), pair.block(rows)
        order = arrays.smallest(keys, k)
        result.values[rows], result.indices[rows] = arrays.along_rows(values, order), order
