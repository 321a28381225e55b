"""Re-ranked distances of a set to itself as sparse rows: by looks, or by looks and the time between cameras.

Shapes: n images, d dimensions. Nothing of n x n size is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unrealperson.ops import JaccardGraph, TemporalModel, find_neighbors, jaccard_graph, joint_similarity, joint_topk
from unrealperson.schema import UNKNOWN

PairDistance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Distances [pairs] of rows [pairs] to other rows [pairs]."""

_BLOCK_ROWS, _BLOCK_PAIRS, _BLOCK_MEETINGS = 512, 1 << 15, 1 << 22


def visual_graph(
    x: np.ndarray,  # [n, d] float32
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
) -> JaccardGraph:
    """Compute (1 - lambda) Jaccard distance + lambda squared distance / the row's largest, for pairs that share a row.

    A pair that is not stored has a Jaccard distance of 1. The graph is not symmetric: the second term is the row's.

    Args:
        x: [n, d] unit vectors.
        k1: neighbours that have to be mutual.
        k2: rows over which neighbourhoods are averaged.
        lambda_: share of the original distance, 0 ... 1.

    Source: Zhong et al., CVPR 2017, as JVTC uses it.
    """
    lists = find_neighbors(x[:0], x, k=max(k1 + 1, k2))
    graph = jaccard_graph(x, k1=k1, k2=k2, rule="zhong", neighbors=lists)

    def squared(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return np.square(x[rows] - x[columns]).sum(1)

    return _blended(graph, squared, lists.farthest, lambda_)


def joint_graph(
    x: np.ndarray,  # [n, d] float32
    model: TemporalModel,
    *,
    camera: np.ndarray,  # [n] int64
    frame: np.ndarray,  # [n] int64
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.5,
) -> JaccardGraph:
    """Compute the same of JVTC's joint distance instead of the squared one, in the lists, the weights and the blend.

    Args:
        x: [n, d] unit vectors.
        model: times between the cameras.
        camera: [n] camera of the model, -1 unknown.
        frame: [n] frame on one clock of all cameras, -1 unknown.
        k1: neighbours that have to be mutual.
        k2: rows over which neighbourhoods are averaged.
        lambda_: share of the joint distance, 0 ... 1.

    Source: Li and Zhang, "Joint visual and temporal consistency", ECCV 2020, and the authors' code.
    """
    lists = joint_topk(
        (x, x), model, k=max(k1 + 1, k2),
        query_camera=camera, query_frame=frame, gallery_camera=camera, gallery_frame=frame,
    )  # fmt: skip
    farthest = np.empty(len(x), np.float32)
    for rows in _blocks(len(x), _BLOCK_ROWS):
        farthest[rows] = joint_similarity(
            (x[rows], x), model,
            query_camera=camera[rows], query_frame=frame[rows], gallery_camera=camera, gallery_frame=frame,
        ).max(1)  # fmt: skip

    def joint(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        looks = np.einsum("pd,pd->p", x[rows], x[columns], dtype=np.float64)
        probability = pair_probability(model, (camera[rows], frame[rows]), (camera[columns], frame[columns]))
        return 1 - 1 / (1 + np.exp(-5 * looks)) / (1 + 2 * np.exp(-5 * probability))

    graph = _jaccard(lists.indices, joint, farthest, k1=k1, k2=k2)
    return _blended(graph, joint, farthest, lambda_)


def pair_probability(
    model: TemporalModel,
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Look the times of single pairs up, as `ops.joint_similarity` does for all pairs.

    Args:
        model: times between the cameras.
        first: camera [pairs] and frame [pairs], -1 unknown.
        second: likewise.

    Returns:
        [pairs] float64 probabilities.
    """
    (camera, frame), (other, other_frame) = first, second
    bins = model.probability.shape[2]
    later = frame > other_frame
    gap = np.abs(frame - other_frame) // model.bin_frames
    found = model.probability[
        np.where(later, camera, other), np.where(later, other, camera), np.minimum(gap, bins - 1)
    ].astype(np.float64)
    found[gap >= bins] = 0
    found[np.minimum.reduce([camera, frame, other, other_frame]) == UNKNOWN] = 1 / bins
    return found


def _jaccard(lists: np.ndarray, distance: PairDistance, farthest: np.ndarray, *, k1: int, k2: int) -> JaccardGraph:
    """The Jaccard graph of lists by any distance, by the steps that csrc/rerank.h states."""
    from scipy import sparse

    n = len(lists)
    members = _members(lists, forward=k1 + 1, half=round(k1 / 2) + 1)
    rows = np.repeat(np.arange(n), np.diff(members.indptr))
    scaled = _by_pairs(distance, rows, members.indices)
    scaled = np.divide(scaled, farthest[rows], out=np.zeros_like(scaled), where=farthest[rows] > 0)
    weights = sparse.csr_matrix((np.exp(-scaled), members.indices, members.indptr), (n, n))
    total = np.asarray(weights.sum(1)).ravel()
    weights = sparse.diags(np.divide(1, total, out=np.zeros(n), where=total > 0)) @ weights
    expanded = sparse.csr_matrix(weights if k2 == 1 else _listed(lists, k2) @ weights / min(k2, lists.shape[1]))
    columns = expanded.tocsc()
    held = np.diff(columns.indptr)
    meetings = np.concatenate([[0], np.cumsum(held[expanded.indices], dtype=np.int64)])
    done, parts = 0, []
    while done < n:
        budget = meetings[expanded.indptr[done]] + _BLOCK_MEETINGS
        stop = max(done + 1, int(np.searchsorted(meetings[expanded.indptr], budget, side="right")) - 1)
        parts.append(_overlaps(expanded[done:stop], columns, held))
        done = stop
    shared = sparse.vstack(parts, format="csr")
    nearness = shared.data / (2 - shared.data)
    return JaccardGraph(shared.indptr, shared.indices, np.maximum(0, 1 - nearness))


def _members(lists: np.ndarray, *, forward: int, half: int) -> Any:
    """E of each row: mutual neighbours, and the half sets of those that share more than two thirds with them."""
    forward_lists, half_lists = _listed(lists, forward), _listed(lists, half)
    mutual, half_sets = forward_lists.multiply(forward_lists.T).tocsr(), half_lists.multiply(half_lists.T).tocsr()
    common = (mutual @ half_sets.T).multiply(mutual).tocsr()
    sizes = np.diff(half_sets.indptr)
    common.data = (3 * common.data > 2 * sizes[common.indices]).astype(np.float64)
    common.eliminate_zeros()
    members = (mutual + common @ half_sets).tocsr()
    members.sort_indices()
    return members


def _listed(lists: np.ndarray, k: int) -> Any:
    from scipy import sparse

    n, k = len(lists), min(k, lists.shape[1])
    indptr = np.arange(0, n * k + 1, k)
    return sparse.csr_matrix((np.ones(n * k), lists[:, :k].ravel(), indptr), (n, n))


def _overlaps(rows: Any, columns: Any, held: np.ndarray) -> Any:
    """Sums of the smaller values of some rows and of each row that has a column in common with them."""
    from scipy import sparse

    counts = held[rows.indices]
    owner = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = columns.indptr[rows.indices][owner] + within
    value = np.minimum(rows.data[owner], columns.data[at])
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[owner]
    return sparse.coo_matrix((value, (row, columns.indices[at])), rows.shape).tocsr()


def _blended(graph: JaccardGraph, distance: PairDistance, farthest: np.ndarray, lambda_: float) -> JaccardGraph:
    rows = np.repeat(np.arange(len(graph.indptr) - 1), np.diff(graph.indptr))
    original = _by_pairs(distance, rows, graph.indices)
    original = np.divide(original, farthest[rows], out=np.zeros_like(original), where=farthest[rows] > 0)
    return graph._replace(data=(1 - lambda_) * graph.data + lambda_ * original)


def _by_pairs(distance: PairDistance, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    result = np.empty(len(rows), np.float64)
    for part in _blocks(len(rows), _BLOCK_PAIRS):
        result[part] = distance(rows[part], columns[part])
    return result


def _blocks(stop: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, stop)) for start in range(0, stop, size))
