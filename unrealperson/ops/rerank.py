"""k-reciprocal re-ranking and the Jaccard distance of neighbourhoods, sparse from the lists of nearest rows onwards.

The lists cost the products of all rows with all; everything after them is native and linear in the number of rows. For
re-ranking, each block of products is made once and serves both of its sides: the lists and the largest distance of its
rows and of its columns, and the distances of queries to the gallery. Shapes: q queries, g gallery rows, n = q + g rows
together, queries first; d dimensions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from unrealperson.ops import arrays, distance, products
from unrealperson.ops.distance import TopK

Rule = Literal["spcl", "zhong"]
"""Whose lists: SpCL's hold k1 rows with the row itself among them, Zhong's k1 + 1, and only Zhong's rule divides each
row's distances by the largest of them."""

_BLOCK = 2048
_BLEND_ELEMENTS = 8 << 20
_GPU_WORKERS, _GPU_ELEMENTS = 1024, 64 << 20
_CSR = ("int64", "int32", "float32")


class Neighbors(NamedTuple):
    """The nearest rows of each of n rows among all of them, itself included, and the distance of its farthest.

    Attributes:
        values: [n, k] float32 squared distances.
        indices: [n, k] int64, nearest first, equal ones by lower index.
        farthest: [n] float32 squared distance to the farthest row.
    """

    values: Any
    indices: Any
    farthest: Any


class JaccardGraph(NamedTuple):
    """Sparse rows of distances, as `scipy.sparse.csr_matrix((data, indices, indptr))` takes them.

    Attributes:
        indptr: [n + 1] int64.
        indices: [entries] int32; those of a row lie at indptr[row] up to indptr[row + 1], nearest first, equal ones by
            lower index: the order that `sklearn.cluster.DBSCAN(metric="precomputed")` wants.
        data: [entries] float32 distances below 1, or at most eps; that of a row to itself is stored, 0.
    """

    indptr: Any
    indices: Any
    data: Any


class _Sizes(NamedTuple):
    """How much of a row's list each step reads."""

    forward: int
    half: int
    k2: int

    @property
    def width(self) -> int:
        return max(self.forward, self.k2)


def find_neighbors(
    q: Any,  # [q, d] float
    g: Any,  # [g, d] float
    *,
    k: int,
    num_threads: int = 0,
) -> Neighbors:
    """List the nearest of all rows for each row, queries and gallery alike, as `k_reciprocal` takes them.

    Args:
        q: [q, d] float32 (float16 and float64 are converted); numpy, torch or cupy. No gradient flows through it.
        g: [g, d] of the same kind and device.
        k: Length of the lists, itself included; max(k1 + 1, k2) for `k_reciprocal`. Clamped to q + g.
        num_threads: OpenMP threads of the part after the product; 0 lets OpenMP choose.

    Returns:
        Lists of the q + g rows, queries first, of the kind of `q`.

    Raises:
        ValueError: Wrong kind, dtype or shape, k below 1, NaN or Inf, vectors longer than about 9e18.
    """
    native, q, g, threads = _enter(q, g, num_threads)
    return _survey(native, q, g, min(arrays.count(k, "k"), len(q) + len(g)), threads, None)


def k_reciprocal(
    q: Any,  # [q, d] float
    g: Any,  # [g, d] float
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    k: int | None = None,
    neighbors: Neighbors | None = None,
    max_memory: int | None = None,
    num_threads: int = 0,
) -> Any:
    """Re-rank a gallery by k-reciprocal neighbours: (1 - lambda) Jaccard distance + lambda original distance.

    The original distance is the squared Euclidean one, each row of it divided by the row's largest over queries and
    gallery together (0 where that is 0). Lists are ordered as `topk` orders them. Apart from rounding, results are
    those of the authors' dense code on the same lists; nothing of n x n size is ever held.

    Args:
        q: [q, d] float32 (float16 and float64 are converted); numpy, torch or cupy. No gradient flows through it.
        g: [g, d] of the same kind and device.
        k1: Neighbours that have to be mutual, 1 or more; lists hold k1 + 1 rows, the row itself among them.
        k2: Rows over which neighbourhoods are averaged, the row itself among them; 1 averages nothing.
        lambda_: Share of the original distance, within [0, 1].
        k: Return only the k nearest by the re-ranked distance, without making the matrix.
        neighbors: Lists and largest distances from `find_neighbors`, at least max(k1 + 1, k2) wide, to be used again.
        max_memory: Bytes beyond the inputs that the call may take; it is refused where the estimate is higher.
        num_threads: OpenMP threads of the parts after a product; 0 lets OpenMP choose.

    Returns:
        [q, g] float32 of the kind of `q`; with `k`, a TopK of [q, min(k, g)].

    Raises:
        ValueError: Wrong kind, dtype, shape or range, NaN or Inf, or an estimate above max_memory.

    Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017, and their python.
    """
    sizes = _list_sizes(k1, k2, "zhong", len(q) + len(g))
    share = _share(lambda_)
    if k is not None:
        k = min(arrays.count(k, "k"), len(g))
    native, q, g, threads = _enter(q, g, num_threads)
    block = min(len(q) * len(g), max(len(g), _BLEND_ELEMENTS))
    _require_memory(
        len(q) + len(g), sizes, 4 * len(q) * len(g) if k is None else 4 * block + 48 * len(q) * k, max_memory
    )
    result = arrays.empty(q, (len(q), len(g)), "float32") if k is None else distance.empty_topk(q, k)
    if len(q) == 0 or len(g) == 0:
        return result
    if neighbors is None:
        lists = _survey(native, q, g, sizes.width, threads, result if k is None else None)
    else:
        lists = _checked(neighbors, q, g, sizes.width, farthest=True)
    all_rows = _neighborhoods(native, lists, q, g, sizes, threads)
    if k is not None:
        _fill_nearest(native, all_rows, q, g, lists.farthest, share, result, threads)
        return result
    if neighbors is not None:
        _squared_distances(native, q, g, _gallery_terms(native, g, threads), result, threads)
    all_rows.blend(result, 0, lists.farthest[: len(q)], share, threads)
    return result


def jaccard_graph(
    x: Any,  # [n, d] float
    *,
    k1: int = 30,
    k2: int = 6,
    rule: Rule = "spcl",
    eps: float | None = None,
    neighbors: TopK | Neighbors | None = None,
    max_memory: int | None = None,
    num_threads: int = 0,
) -> JaccardGraph:
    """Compute the Jaccard distances of all rows to all as a sparse graph for clustering; those not stored are 1.

    Rows are ranked by squared Euclidean distance as `topk(x, x)` ranks them: near-ties that another program ranks the
    other way change a few rows by up to some hundredths. Distances of weights are squared Euclidean too, which for unit
    vectors is SpCL's 2 - 2 x.y. The graph is symmetric to the bit.

    Args:
        x: [n, d] float32 (float16 and float64 are converted); numpy, torch or cupy. No gradient flows through it.
        k1: Neighbours that have to be mutual, 1 or more.
        k2: Rows over which neighbourhoods are averaged, the row itself among them; 1 averages nothing.
        rule: "spcl" (Cluster Contrast's too): lists of k1 rows with the row itself, weights exp(-distance). "zhong":
            lists of k1 + 1, weights exp(-distance / the row's largest). Expansion uses lists of round(k1 / 2) + 1.
        eps: Store only distances up to it.
        neighbors: Lists of x among x from `topk`, or for "zhong" from `find_neighbors(x[:0], x)`, to be used again.
        max_memory: Bytes beyond the inputs that the call may take, but for the graph itself, whose size no one knows
            before; it is refused where the estimate is higher.
        num_threads: OpenMP threads of the parts after a product; 0 lets OpenMP choose.

    Returns:
        The graph, of the kind of `x`.

    Raises:
        ValueError: Wrong kind, dtype, shape or range, NaN or Inf, or an estimate above max_memory.

    Source: Zhong et al., CVPR 2017; list rule of Ge et al., Self-paced Contrastive Learning, NeurIPS 2020, their code.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule must be one of {', '.join(get_args(Rule))}, got {rule!r}")
    sizes = _list_sizes(k1, k2, rule, len(x))
    if eps is not None and not 0 <= eps:
        raise ValueError(f"eps must be 0 or more, got {eps!r}")
    native, x, _, threads = _enter(x, x, num_threads)
    _require_memory(len(x), sizes, 0, max_memory)
    if len(x) == 0:
        graph = JaccardGraph(*(arrays.empty(x, (n,), t) for n, t in zip((1, 0, 0), _CSR, strict=True)))
        graph.indptr[0] = 0
        return graph
    none = x[:0]
    if neighbors is not None:
        lists = _checked(neighbors, none, x, sizes.width, farthest=rule == "zhong")
    elif rule == "zhong":
        lists = _survey(native, none, x, sizes.width, threads, None)
    else:
        lists = Neighbors(*distance.topk(x, x, k=sizes.width, num_threads=threads), None)
    all_rows = _neighborhoods(native, lists, none, x, sizes, threads)
    return all_rows.graph(np.inf if eps is None else float(eps), threads)


class RerankGallery:
    """A gallery prepared for queries that come one at a time."""

    def __init__(
        self,
        g: Any,  # [g, d] float
        *,
        k1: int = 20,
        k2: int = 6,
        lambda_: float = 0.3,
        num_threads: int = 0,
    ) -> None:
        """Find the gallery's lists and neighbourhoods.

        Args:
            g: [g, d] float32 in host memory, one row or more; numpy or torch. Kept, not copied where it is float32.
            k1: As for `k_reciprocal`.
            k2: As for `k_reciprocal`.
            lambda_: As for `k_reciprocal`.
            num_threads: As for `k_reciprocal`.

        Raises:
            ValueError: Wrong kind, device, dtype, shape or range, no row, NaN or Inf.
        """
        self._sizes = _list_sizes(k1, k2, "zhong", len(g) + 1)
        self._lambda = _share(lambda_)
        self._native, self._g, _, self._threads = _enter(g, g, num_threads)
        if arrays.on_gpu(self._g) or len(self._g) == 0:
            raise ValueError(f"g must have a row or more in host memory, got {len(g)}; use g.cpu() or cupy.asnumpy(g)")
        self._terms = _gallery_terms(self._native, self._g, self._threads)
        lists = _survey(self._native, self._g[:0], self._g, min(self._sizes.width, len(g)), self._threads, None)
        self._scale = np.asarray(lists.farthest)
        # Row 0 is left for the query, as it would lie in a call with that query alone.
        indices = np.full((len(g) + 1, lists.indices.shape[1]), -1, np.int64)
        indices[1:] = np.asarray(lists.indices) + 1
        values = np.full(indices.shape, np.inf, np.float32)
        values[1:] = np.asarray(lists.values)
        scale = np.concatenate([np.zeros(1, np.float32), self._scale])
        blank = np.zeros((1, self._g.shape[1]), np.float32)
        self._all_rows = self._native.Neighborhoods(indices, values, blank, self._g, scale, *self._sizes, self._threads)

    def rerank(self, q: Any, *, k: int | None = None) -> Any:
        """Re-rank the gallery for each query alone.

        Args:
            q: [q, d] of the kind of the gallery. Unlike in `k_reciprocal`, one query is no neighbour of another.
            k: Return only the k nearest.

        Returns:
            [q, g] float32: the rows that `k_reciprocal(q[i : i + 1], g)` gives. With `k`, a TopK of [q, min(k, g)].

        Raises:
            ValueError: Wrong kind, dtype or shape, k below 1, NaN or Inf.
        """
        if k is not None:
            k = min(arrays.count(k, "k"), len(self._g))
        _, q, _, threads = _enter(q, self._g, self._threads)
        result = arrays.empty(q, (len(q), len(self._g)), "float32")
        _squared_distances(self._native, q, self._g, self._terms, result, threads)
        for i in range(len(q)):
            row = result[i]
            self._all_rows.blend_query(q[i : i + 1], self._g, row, self._scale, float(row.max()), self._lambda, threads)
        if k is None:
            return result
        nearest = distance.empty_topk(q, k)
        if len(q):
            _fill_smallest(self._native, result, nearest, threads)
        return nearest


def _enter(q: Any, g: Any, num_threads: int) -> tuple[Any, Any, Any, int]:
    """Checked inputs as float32, and the native module."""
    native, q, g, threads = products.checked_pair(q, g, "sqeuclidean", num_threads)
    return native, q, arrays.float_matrix(g, "g"), threads


def _survey(native: Any, q: Any, g: Any, k: int, threads: int, matrix: Any) -> Neighbors:
    """Lists and largest distances of all rows from half of the products; `matrix` gets those of queries and gallery.

    Blocks come in an order in which each row meets the others by ascending index, as ties demand.
    """
    if arrays.on_gpu(q):
        return _gpu_survey(native, q, g, k, matrix)
    n = len(q) + len(g)
    lists = Neighbors(
        arrays.empty(q, (n, k), "float32"),
        arrays.empty(q, (n, k), "int64"),
        arrays.empty(q, (n,), "float32"),
    )
    norm2 = np.concatenate([products.norms(native, q, "q", threads), products.norms(native, g, "g", threads)])
    terms = products.key_terms(native, "sqeuclidean", norm2)
    blocks = [*_blocks(q, 0), *_blocks(g, len(q))]
    nearest = [native.Nearest(len(x), k) for x, _ in blocks]
    largest = np.full(n, -np.inf, np.float32)
    multiply = products.multiplier(q)
    straight, mirrored = (arrays.empty(q, (_BLOCK * _BLOCK,), "float32") for _ in range(2))

    def take(block: int, others: slice, seen: Any) -> None:
        nearest[block].add(seen, terms[:, others], others.start, threads)
        native.raise_to_largest_key(seen, terms[:, others], largest[blocks[block][1]], threads)

    for a, (x, rows) in enumerate(blocks):
        for b, (y, columns) in enumerate(blocks[a:], a):
            block = straight[: len(x) * len(y)].reshape(len(x), len(y))
            multiply(x, y.T, block)
            take(a, columns, block)
            if b > a:
                turned = mirrored[: len(x) * len(y)].reshape(len(y), len(x))
                native.transpose(block, turned, threads)
                take(b, rows, turned)
            if matrix is not None and rows.start < len(q) <= columns.start:
                part = matrix[rows, columns.start - len(q) : columns.stop - len(q)]
                part[...] = block
                native.products_to_values(part, terms[:, columns], norm2[rows], "sqeuclidean", threads)
        nearest[a].finish(norm2[rows], "sqeuclidean", lists.values[rows], lists.indices[rows], threads)
    np.maximum(0, largest + norm2, out=np.asarray(lists.farthest))
    return lists


def _gpu_survey(native: Any, q: Any, g: Any, k: int, matrix: Any) -> Neighbors:
    """The same from all products, each made once."""
    x = sys.modules[arrays.kind_of(g, "g")].concatenate((q, g))
    first, limit = len(q), native.cuda_nearest_limit
    lists = Neighbors(*distance.empty_topk(x, k), arrays.empty(x, (len(x),), "float32"))
    pair = products.GpuProducts(native, x, x, "sqeuclidean")
    for rows in pair.row_blocks():
        nearest = products.GpuNearest(pair, rows, min(k, limit), largest=True)
        for columns, block in pair.chunks(rows):
            nearest.add(columns, block)
            queries, others = slice(rows.start, min(rows.stop, first)), slice(max(columns.start, first), columns.stop)
            if matrix is not None and queries.start < queries.stop and others.start < others.stop:
                seen = block[: queries.stop - rows.start, others.start - columns.start :]
                out = matrix[queries, others.start - first : others.stop - first]
                pair.to_values(seen, others, pair.query_norm2[queries], out)
        if k <= limit:
            nearest.finish(lists.values[rows], lists.indices[rows])
        lists.farthest[rows] = (nearest.largest_key() + pair.query_norm2[rows]).clip(0)
    bad_row = int(pair.bad_rows[0])
    arrays.require_usable(*(("q", bad_row) if bad_row < first else ("g", bad_row - first)))
    return lists if k <= limit else Neighbors(*distance.topk(x, x, k=k), lists.farthest)


def _blocks(x: Any, first: int) -> Iterator[tuple[Any, slice]]:
    """Runs of rows with their places among all."""
    for start in range(0, len(x), _BLOCK):
        part = x[start : start + _BLOCK]
        yield part, slice(first + start, first + start + len(part))


def _gallery_terms(native: Any, g: Any, threads: int) -> Any:
    if arrays.on_gpu(g):
        return None
    return products.key_terms(native, "sqeuclidean", products.norms(native, g, "g", threads))


def _squared_distances(native: Any, q: Any, g: Any, terms: Any, out: Any, threads: int) -> None:
    if arrays.on_gpu(q):
        out[...] = distance.pairwise_distance(q, g)
        return
    products.multiplier(q)(q, g.T, out)
    native.products_to_values(out, terms, products.norms(native, q, "q", threads), "sqeuclidean", threads)


def _fill_nearest(
    native: Any, all_rows: Any, q: Any, g: Any, farthest: Any, share: float, result: TopK, threads: int
) -> None:
    """The smallest of each row of the re-ranked matrix, of which a few rows exist at a time."""
    terms = _gallery_terms(native, g, threads)
    step = max(1, _BLEND_ELEMENTS // len(g))
    block = arrays.empty(q, (min(step, len(q)), len(g)), "float32")
    for start in range(0, len(q), step):
        rows = slice(start, min(start + step, len(q)))
        part = block[: rows.stop - start]
        _squared_distances(native, q[rows], g, terms, part, threads)
        all_rows.blend(part, start, farthest[rows], share, threads)
        _fill_smallest(native, part, TopK(result.values[rows], result.indices[rows]), threads)


def _fill_smallest(native: Any, block: Any, result: TopK, threads: int) -> None:
    """The smallest of each row, equal ones by lower column."""
    k = result.values.shape[1]
    if not arrays.on_gpu(block):
        nearest = native.Nearest(len(block), k)
        nearest.add(block, products.plain_terms(block.shape[1]), 0, threads)
        nearest.finish(np.zeros(len(block), np.float32), "sqeuclidean", *result, threads)
        return
    order = arrays.smallest(block, k)
    result.values[...], result.indices[...] = arrays.along_rows(block, order), order


class _CpuNeighborhoods:
    """Neighbourhoods of all rows in host memory."""

    def __init__(self, native: Any, lists: Neighbors, q: Any, g: Any, sizes: _Sizes, threads: int) -> None:
        self._like, self._n = g, len(q) + len(g)
        self._rows = native.Neighborhoods(lists.indices, lists.values, q, g, lists.farthest, *sizes, threads)

    def blend(self, block: Any, first: int, scale: Any, share: float, threads: int) -> None:
        self._rows.blend(block, first, scale, share, threads)

    def graph(self, eps: float, threads: int) -> JaccardGraph:
        indptr = arrays.empty(self._like, (self._n + 1,), "int64")
        indptr[0] = 0
        self._rows.count_graph(eps, indptr[1:], threads)
        indptr[1:] = indptr[1:].cumsum(0)
        graph = JaccardGraph(indptr, *(arrays.empty(self._like, (int(indptr[-1]),), t) for t in _CSR[1:]))
        self._rows.fill_graph(eps, *graph, threads)
        return graph


class _GpuNeighborhoods:
    """The same in GPU memory, by the same steps, on the caller's current stream."""

    def __init__(self, native: Any, lists: Neighbors, q: Any, g: Any, sizes: _Sizes, threads: int) -> None:
        if not native.cuda_weights_fit(sizes.forward, sizes.half):
            raise ValueError(
                f"lists of {sizes.forward} rows do not fit a GPU's shared memory; take a k1 of 100 or less"
            )
        self._native, self._like, self._n = native, g, len(q) + len(g)
        self._place = arrays.place(g)
        ranked, apart = self._empty((self._n, sizes.width), "int32"), self._empty((self._n, sizes.width), "float32")
        ranked[...] = lists.indices[:, : sizes.width]
        apart[...] = lists.values[:, : sizes.width]
        half_sets = self._empty((self._n, sizes.half), "int32")
        self._call("half_sets", ranked, half_sets)
        weights = self._rows("weights", ranked, apart, sizes.forward, half_sets, q, g, lists.farthest)
        self._expanded = self._rows("expand", ranked, sizes.k2, weights)
        next_place = self._empty((self._n,), "int64")
        next_place[...] = 0
        self._call("count_columns", self._expanded[1], next_place)
        self._columns = self._allocated(next_place)
        next_place[...] = self._columns[0][:-1]
        self._call("fill_columns", self._expanded, next_place, *self._columns[1:])
        workers = max(1, min(_GPU_WORKERS, _GPU_ELEMENTS // self._n))
        self._sums = self._empty((workers, self._n), "int32")
        self._sums[...] = 0

    def blend(self, block: Any, first: int, scale: Any, share: float, threads: int) -> None:
        self._call("blend", self._expanded, self._columns, self._sums, block, first, scale, share)

    def graph(self, eps: float, threads: int) -> JaccardGraph:
        met = self._empty(tuple(self._sums.shape), "int32")
        found = self._rows("graph", self._expanded, self._columns, self._sums, met, eps)
        ordered = JaccardGraph(
            found[0], *(self._empty(tuple(part.shape), str(t)) for part, t in zip(found[1:], _CSR[1:], strict=True))
        )
        self._call("sort_rows", found, *ordered[1:])
        return ordered

    def _call(self, step: str, *arguments: Any) -> None:
        getattr(self._native, f"cuda_{step}")(*arguments, *self._place)

    def _empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return arrays.empty(self._like, shape, dtype)

    def _rows(self, step: str, *arguments: Any) -> tuple[Any, Any, Any]:
        """Sparse rows from a step that counts them first and then fills them."""
        counts = self._empty((self._n,), "int64")
        self._call(step, *arguments, counts)
        rows = self._allocated(counts)
        self._call(step, *arguments, rows)
        return rows

    def _allocated(self, counts: Any) -> tuple[Any, Any, Any]:
        offset = self._empty((self._n + 1,), "int64")
        offset[0] = 0
        offset[1:] = counts.cumsum(0)
        entries = (int(offset[-1]),)
        return offset, self._empty(entries, "int32"), self._empty(entries, "float32")


def _neighborhoods(native: Any, lists: Neighbors, q: Any, g: Any, sizes: _Sizes, threads: int) -> Any:
    make = _GpuNeighborhoods if arrays.on_gpu(g) else _CpuNeighborhoods
    return make(native, lists, q, g, sizes, threads)


def _share(lambda_: float) -> float:
    if not 0 <= lambda_ <= 1:
        raise ValueError(f"lambda_ must lie within [0, 1], got {lambda_!r}")
    return float(lambda_)


def _list_sizes(k1: Any, k2: Any, rule: Rule, n: int) -> _Sizes:
    k1, k2 = arrays.count(k1, "k1"), arrays.count(k2, "k2")
    # Python rounds halves to even, as the authors' np.around does.
    wanted = (k1 if rule == "spcl" else k1 + 1, min(round(k1 / 2) + 1, k1 + (rule == "zhong")), k2)
    return _Sizes(*(max(1, min(size, n)) for size in wanted))


def _checked(lists: Any, q: Any, g: Any, width: int, *, farthest: bool) -> Neighbors:
    """A caller's lists."""
    n = len(q) + len(g)
    largest = getattr(lists, "farthest", None) if farthest else None
    if farthest and largest is None:
        raise ValueError("neighbors must have farthest, which find_neighbors gives; got lists alone")
    numbers = [lists.values] if largest is None else [lists.values, largest]
    kinds = {arrays.kind_of(part, "neighbors") for part in (lists.indices, *numbers, g)}
    if len(kinds) > 1 or any(arrays.on_gpu(part) != arrays.on_gpu(g) for part in (lists.indices, *numbers)):
        raise ValueError(f"neighbors must be of the kind of the features and lie beside them, got {sorted(kinds)}")
    shape = tuple(lists.indices.shape)
    if shape != tuple(lists.values.shape) or len(shape) != 2 or shape[0] != n or shape[1] < width:
        raise ValueError(
            f"neighbors must have indices and values [{n}, {width}] or wider, "
            f"got {shape} and {tuple(lists.values.shape)}"
        )
    if largest is not None and tuple(largest.shape) != (n,):
        raise ValueError(f"neighbors.farthest must be [{n}], got {tuple(largest.shape)}")
    low, high = int(lists.indices.min()), int(lists.indices.max())
    if low < 0 or high >= n:
        raise ValueError(f"neighbors.indices must lie in [0, {n}), got {low if low < 0 else high}")
    if not all(bool((part >= 0).all()) for part in numbers):
        raise ValueError("neighbors must hold squared distances of 0 or more, got a negative one or NaN")
    return Neighbors(lists.values, lists.indices, largest)


def _require_memory(n: int, sizes: _Sizes, result_bytes: int, limit: int | None) -> None:
    """Refuse what would take more than the limit: lists, candidates, neighbourhoods and their transpose, result."""
    if limit is None:
        return
    entries = sizes.width * (20 + 32) + sizes.half * 4 + 8 * (2 * sizes.forward + 2 * sizes.k2 * sizes.forward) + 256
    estimate = n * entries + result_bytes + 8 * _BLOCK * _BLOCK
    if estimate > limit:
        raise ValueError(
            f"the call would take about {estimate / 2**20:.0f} MiB ({estimate} bytes) beyond its inputs, "
            f"max_memory allows {limit}; raise it, or ask k_reciprocal for k nearest instead of the matrix"
        )
