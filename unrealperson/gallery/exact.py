"""The nearest of all rows of a gallery: one pass over its mapped files, or over a GPU's memory, and only over rows that
count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unrealperson import ops
from unrealperson.gallery.store import Segment
from unrealperson.ops import arrays

BLOCK_ROWS = 1 << 16
FEW_ABSENT = 64
"""Up to so many absent rows in a block, all of it is searched for as many rows more; beyond, rows are gathered."""
_CANDIDATES = 8
_MORE_CANDIDATES = 64

Found = tuple[np.ndarray, np.ndarray]
"""[q, k] float32 similarities and [q, k] int64 rows, the most similar first; -inf and -1 where there are fewer."""


def search_exact(segments: Sequence[Segment], queries: np.ndarray, k: int, wanted: np.ndarray | None) -> Found:
    """Finds the most similar rows.

    Where a segment has int8 directions they choose 8 k + 64 candidates, whose own vectors decide.

    Args:
        segments: of the gallery.
        queries: [q, d] float32.
        k: how many, 1 or more.
        wanted: [n] bool rows that count; None is all.
    """
    best: Found = (np.full((len(queries), 0), -np.inf, np.float32), np.full((len(queries), 0), -1, np.int64))
    first = 0
    for segment in segments:
        mask = None if wanted is None else wanted[first : first + len(segment)]
        if len(segment) and (mask is None or mask.any()):
            best = merge(best, _search_segment(segment, queries, k, mask, first), k)
        first += len(segment)
    return best


def merge(a: Found, b: Found, k: int) -> Found:
    """The most similar k of two lists; equal ones by row.

    Args:
        a: one list.
        b: another, of other rows.
        k: how many.
    """
    similarity, row = (np.concatenate(pair, axis=1) for pair in zip(a, b, strict=True))
    order = np.lexsort((row, -similarity), axis=1)[:, :k]
    return np.take_along_axis(similarity, order, 1), np.take_along_axis(row, order, 1)


def rescore(segments: Sequence[Segment], queries: np.ndarray, rows: np.ndarray, k: int) -> Found:
    """Orders candidates by their own vectors.

    Args:
        segments: of the gallery.
        queries: [q, d] float32.
        rows: [q, c] int64; -1 is none.
        k: how many.
    """
    vectors = take(segments, np.where(rows < 0, 0, rows).ravel()).reshape(*rows.shape, -1)
    length = np.linalg.norm(vectors, axis=2) * np.linalg.norm(queries, axis=1)[:, None]
    similarity = np.einsum("qcd,qd->qc", vectors, queries) / np.maximum(length, 1e-12)
    similarity = np.where(rows < 0, -np.inf, similarity).astype(np.float32)
    empty = similarity[:, :0], rows[:, :0]
    return merge(empty, (similarity, rows), k)


def take(segments: Sequence[Segment], rows: np.ndarray) -> np.ndarray:
    """Vectors of some rows.

    Args:
        segments: of the gallery.
        rows: [n] int64.

    Returns:
        [n, d] float32.
    """
    edges = np.cumsum([0, *map(len, segments)])
    owner = np.searchsorted(edges, rows, side="right") - 1
    out = np.empty((len(rows), segments[0].features.shape[1]), np.float32)
    for number in np.unique(owner):
        own = owner == number
        out[own] = segments[number].features[rows[own] - edges[number]]
    return out


def _search_segment(segment: Segment, queries: np.ndarray, k: int, mask: np.ndarray | None, first: int) -> Found:
    if segment.coarse is None:
        return _scan(segment.features, queries, k, mask, first)
    _, rows = _scan(segment.coarse, queries, _CANDIDATES * k + _MORE_CANDIDATES, mask, first)
    similarity, rows = rescore([segment], queries, np.where(rows < 0, rows, rows - first), k)
    return similarity, np.where(rows < 0, rows, rows + first)


def _scan(vectors: Any, queries: np.ndarray, k: int, mask: np.ndarray | None, first: int) -> Found:
    best: Found = (np.full((len(queries), 0), -np.inf, np.float32), np.full((len(queries), 0), -1, np.int64))
    asked = arrays.beside(vectors, queries)
    for begin, block, rows, spare in _blocks(vectors, mask):
        values, indices = map(arrays.on_host, ops.topk(asked, block, k=k + spare, metric="cosine"))
        similarity, place = 1 - values, indices
        if spare and mask is not None:
            similarity = np.where(mask[begin + place], similarity, -np.inf)
        index = np.where(np.isneginf(similarity), -1, first + begin + (place if rows is None else rows[place]))
        best = merge(best, (similarity.astype(np.float32), index), k)
    return best


def _blocks(vectors: Any, mask: np.ndarray | None) -> Iterator[tuple[int, Any, np.ndarray | None, int]]:
    """First row, vectors, their rows after the first (None: all), and how many of them are absent."""
    if mask is None:
        yield 0, vectors, None, 0
        return
    for begin in range(0, len(vectors), BLOCK_ROWS):
        own, block = mask[begin : begin + BLOCK_ROWS], vectors[begin : begin + BLOCK_ROWS]
        absent = len(own) - int(np.count_nonzero(own))
        if absent <= FEW_ABSENT and absent < len(own):
            yield begin, block, None, absent
        elif absent < len(own):
            rows = np.flatnonzero(own)
            yield begin, block[arrays.beside(block, rows)], rows, 0
