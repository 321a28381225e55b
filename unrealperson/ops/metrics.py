"""CMC, mAP and mINP of a ranking, block by block: counting the rows before each correct answer replaces the sort.

BLAS makes 256 queries' products with the gallery, the native module scores them while they are in the cache, and their
memory is used again. Shapes: q queries, s of them scored, g gallery rows, d dimensions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from unrealperson.ops import _native, arrays, products
from unrealperson.ops.products import Metric

Protocol = Literal["known", "market1501"]
"""What identities mean. "known": -1 is unknown, all others are people. "market1501": -1 is junk, 0 a distractor."""
Pooling = Literal["mean", "max"]

UNKNOWN = -1
_DISTRACTOR = 0
_BLOCK_BYTES = 16 << 20
_LEAST_ROWS, _MOST_ROWS = 64, 256
_GALLERY_ROWS = 2048


class CmcMap(NamedTuple):
    """How well each query found its identity, and the means over the queries.

    Attributes:
        cmc: [max_rank] float64 share of the scored queries whose first correct answer has rank 1, 2, ... or better.
        map: mean average precision.
        minp: mean inverse negative penalty.
        query: [s] int64 queries that were scored, ascending.
        matches: [s] int64 correct answers in the gallery.
        first: [s] int64 rank of the first correct answer, from 1.
        precision: [s] float64 average precision, not interpolated.
        inverse: [s] float64 inverse negative penalty: matches over the rank of the last one.
        hits: [s, min(hits, g)] int64 nearest gallery rows that are not ignored, -1 where there are fewer.
        values: [s, min(hits, g)] float32 their distances (similarities where larger is nearer), +-Inf where hits is -1.
        skipped: number of queries left out, by reason.
    """

    cmc: np.ndarray
    map: float
    minp: float
    query: np.ndarray
    matches: np.ndarray
    first: np.ndarray
    precision: np.ndarray
    inverse: np.ndarray
    hits: np.ndarray
    values: np.ndarray
    skipped: dict[str, int]


class MultiQuery(NamedTuple):
    """One query for each identity and camera, ordered by (identity, camera).

    Attributes:
        features: [m, d] float32 of the kind of the input.
        pid: [m] int64.
        camera: [m] int64.
    """

    features: Any
    pid: np.ndarray
    camera: np.ndarray


def cmc_map(
    q: Any,  # [q, d] float
    g: Any,  # [g, d] float
    *,
    query_pid: Any,  # [q] int
    gallery_pid: Any,  # [g] int
    query_camera: Any = None,  # [q] int
    gallery_camera: Any = None,  # [g] int
    metric: Metric = "sqeuclidean",
    protocol: Protocol = "known",
    max_rank: int = 50,
    hits: int = 10,
    num_threads: int = 0,
) -> CmcMap:
    """Score how well features find the images of the same identity, without making the distance matrix.

    The gallery of a query is ranked by the float32 key of csrc/distance.h, equal keys by gallery row. Ignored are rows
    of identity -1, and rows of the query's own identity under the query's camera or under an unknown camera (-1); a row
    of another identity under an unknown camera counts as a wrong answer. A query is left out, and counted, where its
    identity or camera is unknown, where it is a distractor, or where the gallery has no match for it.

    Args:
        q: [q, d] float32 (float16 and float64 are converted); numpy, torch or cupy.
        g: [g, d] of the same kind and device.
        query_pid: [q] identities, of any integer type and kind of array; -1 is unknown.
        gallery_pid: [g] identities.
        query_camera: [q] cameras, -1 where unknown; None, for both sides, compares all images, whatever their camera.
        gallery_camera: [g] cameras.
        metric: As for `pairwise_distance`.
        protocol: "known" takes every identity but -1 for a person. "market1501" takes 0 for a distractor too: always a
            wrong answer, never a query.
        max_rank: Length of `cmc`.
        hits: How many of the nearest rows to return for each query; 0 for none.
        num_threads: OpenMP threads of the part after the product; 0 lets OpenMP choose. They do not change a bit.

    Returns:
        Scores of each query and their means, as numpy arrays.

    Raises:
        ValueError: Wrong kind, dtype or shape, NaN or Inf, an empty gallery, or no query that can be scored.

    Source: single-query protocol of Market-1501 (Zheng et al., ICCV 2015); mINP of Ye et al., TPAMI 2021.
    """
    native, q, g, threads = products.checked_pair(q, g, metric, num_threads)
    g = arrays.float_matrix(g, "g")
    sides = _Sides(len(q), len(g), query_pid, gallery_pid, query_camera, gallery_camera, protocol)
    if arrays.on_gpu(q):
        gpu = products.GpuProducts(native, q, g, metric)
        gpu.require_usable()
        query_norm2 = arrays.on_host(gpu.query_norm2)
        terms = products.plain_terms(len(g))

        def block_of(rows: Any) -> Any:
            return arrays.on_host(gpu.block(rows if isinstance(rows, slice) else gpu.library.asarray(rows), keys=True))
    else:
        query_norm2 = products.norms(native, q, "q", threads)
        terms = products.key_terms(native, metric, products.norms(native, g, "g", threads))
        multiply = products.multiplier(q)
        buffer = arrays.empty(q, (len(g) * min(_rows_per_block(len(g)), len(q)),), "float32")

        def block_of(rows: Any) -> Any:
            # For a few hundred queries, BLAS libraries are faster at this product than at its transpose. They pack
            # operands into memory of their own, which stays small where the gallery comes in parts.
            part = q[rows]
            block = buffer[: len(g) * len(part)].reshape(len(g), len(part))
            for columns in arrays.blocks(len(g), _GALLERY_ROWS):
                multiply(g[columns], part.T, block[columns])
            return block.T

    found, keys = _score(native, sides, block_of, terms, max_rank, hits, threads)
    if keys.size:
        terms = products.plain_terms(keys.shape[1])
        native.products_to_values(keys, terms, query_norm2[found.query], metric, threads)
    keys[found.hits < 0] = -np.inf if metric == "inner_product" else np.inf
    return found._replace(values=keys)


def cmc_map_of_matrix(
    matrix: Any,  # [q, g] float
    *,
    query_pid: Any,  # [q] int
    gallery_pid: Any,  # [g] int
    query_camera: Any = None,  # [q] int
    gallery_camera: Any = None,  # [g] int
    similarity: bool = False,
    protocol: Protocol = "known",
    max_rank: int = 50,
    hits: int = 10,
    num_threads: int = 0,
) -> CmcMap:
    """Score a matrix of distances, such as re-ranked ones, as `cmc_map` scores features.

    Args:
        matrix: [q, g] float32, ranked as it is; other float types are converted to it, 256 rows at a time. numpy, torch
            or cupy.
        query_pid: [q] identities, of any integer type and kind of array; -1 is unknown.
        gallery_pid: [g] identities.
        query_camera: [q] cameras, -1 where unknown; None, for both sides, compares all images, whatever their camera.
        gallery_camera: [g] cameras.
        similarity: Larger is nearer.
        protocol: As for `cmc_map`.
        max_rank: Length of `cmc`.
        hits: How many of the nearest rows to return for each query; 0 for none.
        num_threads: OpenMP threads; 0 lets OpenMP choose. They do not change a bit.

    Returns:
        Scores of each query and their means, as numpy arrays.

    Raises:
        ValueError: Wrong kind, dtype or shape, NaN or Inf in a scored row, an empty gallery, or no query that can be
            scored.
    """
    arrays.kind_of(matrix, "matrix")
    if matrix.ndim != 2:
        raise ValueError(f"matrix must be [q, g], got shape {tuple(matrix.shape)}")
    native, threads = _native.load(), _native.thread_count(num_threads)
    queries, rows = matrix.shape
    sides = _Sides(queries, rows, query_pid, gallery_pid, query_camera, gallery_camera, protocol)
    terms = products.plain_terms(rows)
    if similarity:
        terms[0] = -1

    def block_of(part: Any) -> Any:
        return arrays.on_host(arrays.float_matrix(matrix[part], "matrix"))

    found, keys = _score(native, sides, block_of, terms, max_rank, hits, threads)
    return found._replace(values=-keys if similarity else keys)


def multi_query(
    x: Any,  # [n, d] float
    *,
    pid: Any,  # [n] int
    camera: Any,  # [n] int
    pooling: Pooling = "mean",
) -> MultiQuery:
    """Pool the features of all images of each identity under each camera into one query.

    The multi-query protocol of Market-1501 scores these instead of single images. Pooled features have no particular
    length: score them with metric="cosine", or normalise them.

    Args:
        x: [n, d] float32 (float16 and float64 are converted); numpy, torch or cupy.
        pid: [n] identities; images of -1 are left out.
        camera: [n] cameras; images of -1 are left out.
        pooling: "mean", summed in float64, or "max" of each dimension.

    Returns:
        The queries, with features of the kind of `x`.

    Raises:
        ValueError: Wrong kind, dtype or shape, an unknown pooling, or no image of known identity and camera.

    Source: multi-query protocol of Market-1501 (Zheng et al., ICCV 2015), average and max pooling.
    """
    if pooling not in get_args(Pooling):
        raise ValueError(f"pooling must be one of {', '.join(get_args(Pooling))}, got {pooling!r}")
    library = sys.modules[arrays.kind_of(x, "x")]
    x = arrays.float_matrix(x, "x")
    labels = np.stack([arrays.labels(pid, "pid", len(x)), arrays.labels(camera, "camera", len(x))], axis=1)
    known = np.flatnonzero((labels != UNKNOWN).all(axis=1))
    if not len(known):
        raise ValueError(f"none of the {len(x)} images has a known identity and camera, so none can be a query")
    pairs, owner, sizes = np.unique(labels[known], axis=0, return_inverse=True, return_counts=True)
    groups = np.split(known[np.argsort(owner.reshape(-1), kind="stable")], np.cumsum(sizes)[:-1])
    result = arrays.empty(x, (len(groups), x.shape[1]), "float32")
    for row, group in enumerate(groups):
        images = x[library.asarray(group)]
        result[row] = library.mean(images, 0, dtype=library.float64) if pooling == "mean" else library.amax(images, 0)
    return MultiQuery(result, pairs[:, 0].copy(), pairs[:, 1].copy())


class _Sides:
    """Labels of both sides under a protocol, and which queries they leave out."""

    def __init__(
        self,
        queries: int,
        rows: int,
        query_pid: Any,
        gallery_pid: Any,
        query_camera: Any,
        gallery_camera: Any,
        protocol: str,
    ) -> None:
        if protocol not in get_args(Protocol):
            raise ValueError(f"protocol must be one of {', '.join(get_args(Protocol))}, got {protocol!r}")
        if (query_camera is None) != (gallery_camera is None):
            raise ValueError("query_camera and gallery_camera must both be given or both be None")
        pid, gallery_pid = (
            arrays.labels(query_pid, "query_pid", queries),
            arrays.labels(gallery_pid, "gallery_pid", rows),
        )
        if rows == 0:
            raise ValueError("the gallery must hold at least one row, got none")
        self.by_camera = query_camera is not None
        # Without cameras, queries and gallery have different ones.
        self.camera = (
            arrays.labels(query_camera, "query_camera", queries) if self.by_camera else np.zeros(queries, np.int64)
        )
        self.gallery_camera = (
            arrays.labels(gallery_camera, "gallery_camera", rows) if self.by_camera else np.ones(rows, np.int64)
        )
        self.junk = np.flatnonzero(gallery_pid == UNKNOWN)
        self.by_identity = np.argsort(gallery_pid, kind="stable")
        ordered = gallery_pid[self.by_identity]
        self.identity = np.stack([np.searchsorted(ordered, pid, side) for side in ("left", "right")], axis=1)
        distractor = (pid == _DISTRACTOR) & (protocol == "market1501")
        person = (pid != UNKNOWN) & ~distractor
        self.askable = person & (self.camera != UNKNOWN)
        self.reasons = {
            "identity unknown": pid == UNKNOWN,
            "distractor": distractor,
            "camera unknown": person & ~self.askable,
        }

    def scored(self, labels: Any) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Queries to score, their matches, and how many are left out for which reason."""
        matches = np.empty(len(self.camera), np.int64)
        labels.count_matches(self.identity, self.camera, matches)
        query = np.flatnonzero(self.askable & (matches > 0))
        if not len(query):
            under = " under another camera" if self.by_camera else ""
            raise ValueError(
                f"none of the {int(self.askable.sum())} queries has an image of the same identity{under} in the "
                "gallery; scoring needs people seen "
                + ("by at least two cameras" if self.by_camera else "on both sides")
            )
        counts = {reason: int(rows.sum()) for reason, rows in self.reasons.items()}
        counts["no match"] = int(self.askable.sum()) - len(query)
        return query, matches[query], {reason: count for reason, count in counts.items() if count}


def _score(
    native: Any,
    sides: _Sides,
    block_of: Callable[[Any], Any],
    terms: np.ndarray,
    max_rank: int,
    hits: int,
    threads: int,
) -> tuple[CmcMap, np.ndarray]:
    """Scores with no values yet, and the keys of the hits."""
    max_rank, hits = arrays.count(max_rank, "max_rank", 1), arrays.count(hits, "hits", 0)
    labels = native.GalleryLabels(sides.by_identity, sides.gallery_camera)
    query, matches, skipped = sides.scored(labels)
    terms[1, sides.junk] = np.inf
    first = np.empty(len(query), np.int64)
    precision, inverse = np.empty(len(query)), np.empty(len(query))
    near = np.empty((len(query), min(hits, terms.shape[1])), np.int64)
    keys = np.empty(near.shape, np.float32)
    for part in arrays.blocks(len(query), _rows_per_block(terms.shape[1])):
        rows: Any = query[part]
        if rows[-1] - rows[0] == len(rows) - 1:
            rows = slice(int(rows[0]), int(rows[-1]) + 1)
        bad_row = labels.score_rows(
            block_of(rows), terms, sides.identity[rows], sides.camera[rows],
            first[part], precision[part], inverse[part], near[part], keys[part], threads,
        )  # fmt: skip
        if bad_row >= 0:
            raise ValueError(f"distances must be finite, see row {query[part][bad_row]}; got NaN or Inf")
    reached = np.bincount(np.minimum(first, max_rank + 1), minlength=max_rank + 2)[1:-1].cumsum()
    found = CmcMap(
        cmc=reached / len(query),
        map=float(precision.mean()),
        minp=float(inverse.mean()),
        query=query,
        matches=matches,
        first=first,
        precision=precision,
        inverse=inverse,
        hits=near,
        values=keys,
        skipped=skipped,
    )
    return found, keys


def _rows_per_block(gallery: int) -> int:
    return min(_MOST_ROWS, max(_LEAST_ROWS, _BLOCK_BYTES // (4 * gallery)))
