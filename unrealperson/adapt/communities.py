"""Communities of a sparse graph: the groups of images in which a random walk stays longest (two-level map equation).

Shapes: n images.

Source: Rosvall and Bergstrom, "Maps of random walks on complex networks reveal community structure", PNAS 2008. The
search is the greedy one of Blondel et al. 2008 (nodes move, groups become nodes, again), then single nodes once more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unrealperson.compiled import compiled

_GAIN = 1e-10
_ROUNDS = 20


def communities(weights: Any, rng: np.random.Generator) -> np.ndarray:
    """Divides a graph so that the steps of a random walk on it take the fewest bits to tell.

    Args:
        weights: scipy CSR matrix [n, n] of likenesses, symmetric, not negative; the diagonal is ignored.
        rng: the order in which nodes are looked at.

    Returns:
        [n] int64 community of each node, 0 ... by first node; a node without neighbours is alone in its own.
    """
    from scipy import sparse

    graph = sparse.csr_matrix(weights, dtype=np.float64)
    graph.setdiag(0)
    graph.eliminate_zeros()
    total = graph.sum()
    label = np.arange(graph.shape[0])
    if total == 0:
        return label
    graph = graph / total
    flow = np.asarray(graph.sum(1)).ravel()
    best = np.inf
    for _ in range(_ROUNDS):
        label = _climb(graph, flow, label, rng)
        length = description_length(graph, label)
        if length > best - _GAIN:
            break
        best = length
    return label


def description_length(flow: Any, label: np.ndarray) -> float:
    """Bits a step that a walk on the graph takes, by its groups; what all divisions share is left out.

    Args:
        flow: scipy CSR matrix [n, n], symmetric, without a diagonal: share of all steps along each edge.
        label: [n] int64 group of each node.
    """
    groups = int(label.max()) + 1
    rows = np.repeat(np.arange(len(label)), np.diff(flow.indptr))
    leaves = label[rows] != label[flow.indices]
    leaving = np.bincount(label[rows[leaves]], flow.data[leaves], groups)
    within = np.bincount(label, np.asarray(flow.sum(1)).ravel(), groups)
    return float(_bits(leaving.sum()) + (_bits(leaving + within) - 2 * _bits(leaving)).sum())


def _climb(graph: Any, flow: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moves single nodes, then the groups that came of it as wholes, until no group gains by joining another."""
    from scipy import sparse

    label = _moved(graph, flow, label, rng)
    while True:
        groups = int(label.max()) + 1
        members = sparse.csr_matrix((np.ones(len(label)), (np.arange(len(label)), label)), (len(label), groups))
        whole = (members.T @ graph @ members).tocsr()
        whole.setdiag(0)
        whole.eliminate_zeros()
        joined = _moved(whole, np.bincount(label, flow, groups), np.arange(groups), rng)
        if joined.max() + 1 == groups:
            return label
        label = joined[label]


def _moved(graph: Any, flow: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    label = label.astype(np.int64)
    order = rng.permutation(len(label))
    _move(graph.indptr, graph.indices, graph.data, flow, np.asarray(graph.sum(1)).ravel(), label, order)
    return _by_first(label)


def _by_first(label: np.ndarray) -> np.ndarray:
    """The same groups, numbered in the order of their first nodes."""
    _, first, group = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[group]


def _bits(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x * np.log2(np.maximum(x, 1e-300)), 0.0)


@compiled
def _move(indptr, indices, data, flow, node_leaving, label, order):
    """Moves each node to the neighbouring group that shortens the description most, until a pass moves none."""

    def bits(x):
        return x * np.log2(x) if x > 1e-15 else 0.0

    n = len(label)
    inside, leaving = np.zeros(n), np.zeros(n)
    for i in range(n):
        inside[label[i]] += flow[i]
        for e in range(indptr[i], indptr[i + 1]):
            if label[indices[e]] != label[i]:
                leaving[label[i]] += data[e]
    total = leaving.sum()
    toward, touched = np.zeros(n), np.empty(n, np.int64)
    moves = 1
    while moves > 0:
        moves = 0
        for i in order:
            own, count = label[i], 0
            for e in range(indptr[i], indptr[i + 1]):
                group = label[indices[e]]
                if toward[group] == 0:
                    touched[count] = group
                    count += 1
                toward[group] += data[e]
            before = leaving[own]
            without = max(before - node_leaving[i] + 2 * toward[own], 0.0)
            gone = -2 * (bits(without) - bits(before))
            gone += bits(without + inside[own] - flow[i]) - bits(before + inside[own])
            best, best_gain, best_leaving = own, -1e-12, 0.0
            for t in range(count):
                group = touched[t]
                if group == own:
                    continue
                there = leaving[group]
                joined = max(there + node_leaving[i] - 2 * toward[group], 0.0)
                change = gone - 2 * (bits(joined) - bits(there))
                change += bits(joined + inside[group] + flow[i]) - bits(there + inside[group])
                change += bits(max(total + without - before + joined - there, 0.0)) - bits(total)
                if change < best_gain:
                    best, best_gain, best_leaving = group, change, joined
            if best != own:
                total = max(total + without - before + best_leaving - leaving[best], 0.0)
                leaving[own], leaving[best] = without, best_leaving
                inside[own] -= flow[i]
                inside[best] += flow[i]
                label[i] = best
                moves += 1
            for t in range(count):
                toward[touched[t]] = 0
