"""Communities against the map equation in plain loops, over all divisions of small graphs."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

import numpy as np
import pytest
from scipy import sparse

from unrealperson.adapt.communities import communities, description_length
from unrealperson.adapt.pseudo_labels import agreement, cluster, infomap
from unrealperson.ops import JaccardGraph


def bits(*shares: float) -> float:
    return -sum(share * log2(share) for share in shares if share > 0)


def map_equation(weights: np.ndarray, label: np.ndarray) -> float:
    """Rosvall and Bergstrom, equation 1: bits to name the groups entered, and nodes and exits within each."""
    weights = weights / weights.sum()
    visits = weights.sum(1)
    exits = [weights[label == g][:, label != g].sum() for g in np.unique(label)]
    entering = sum(exits)
    length = entering * bits(*(q / entering for q in exits)) if entering else 0.0
    for g, leaving in zip(np.unique(label), exits, strict=True):
        within = leaving + visits[label == g].sum()
        length += within * bits(leaving / within, *(visits[label == g] / within))
    return length


def divisions(n: int) -> Iterator[np.ndarray]:
    def grown(label: list[int]) -> Iterator[list[int]]:
        if len(label) == n:
            yield label
            return
        for group in range(max(label, default=-1) + 2):
            yield from grown([*label, group])

    return (np.array(label) for label in grown([]))


def ring_of_cliques(cliques: int, size: int, bridge: float) -> np.ndarray:
    n = cliques * size
    weights = np.kron(np.eye(cliques), np.ones((size, size)) - np.eye(size))
    for first in range(0, n, size):
        one, other = first + size - 1, (first + size) % n
        weights[one, other] = weights[other, one] = bridge
    return weights


@pytest.mark.parametrize("seed", range(12))
def test_no_division_of_a_small_graph_is_shorter(seed):
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.random((7, 7)) * (rng.random((7, 7)) < 0.5), 1)
    weights[0, 1] = 0.5
    weights += weights.T
    nodes = weights.sum(1) > 0
    found = communities(sparse.csr_matrix(weights), np.random.default_rng(0))
    alone = bits(*(weights.sum(1)[nodes] / weights.sum()))
    lengths = [map_equation(weights[nodes][:, nodes], label) for label in divisions(nodes.sum())]
    flow = sparse.csr_matrix(weights / weights.sum())
    assert description_length(flow, found) + alone == pytest.approx(
        map_equation(weights[nodes][:, nodes], found[nodes])
    )
    assert map_equation(weights[nodes][:, nodes], found[nodes]) <= min(lengths) + 0.02  # greedy: near the best of all
    assert (np.bincount(found)[found[~nodes]] == 1).all()


def test_cliques_in_a_ring_are_told_apart_in_any_order():
    weights = sparse.csr_matrix(ring_of_cliques(12, 5, 0.5))
    for seed in range(3):
        found = communities(weights, np.random.default_rng(seed))
        np.testing.assert_array_equal(found, np.repeat(np.arange(12), 5))


def test_a_graph_without_edges_is_all_alone():
    found = communities(sparse.csr_matrix((4, 4)), np.random.default_rng(0))
    np.testing.assert_array_equal(found, np.arange(4))


def test_images_that_chain_two_people_join_them_for_dbscan_alone():
    near = ring_of_cliques(3, 6, 0.6)
    near[-1, 0] = near[0, -1] = 0  # a chain
    near = np.pad(near, (0, 1))  # and one who is like nobody
    rows = sparse.csr_matrix(near)
    graph = JaccardGraph(rows.indptr, rows.indices.astype(np.int32), (1 - rows.data).astype(np.float32))
    truth = np.append(np.repeat(np.arange(3), 6), 3)
    joined = cluster(graph, eps=0.5, min_samples=3)
    found = infomap(graph, eps=0.5, min_samples=3, rng=np.random.default_rng(0))
    assert joined.count == 1 and found.count == 3
    assert agreement(found.label, truth) == 1 and found.label[-1] == -1 and found.outliers == 1
