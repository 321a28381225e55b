"""Pseudo-labels against slow float64 statements of JVTC: dense matrices, a triangle, a loop."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from unrealperson.adapt import pseudo_labels
from unrealperson.adapt.jvtc import time_clusters
from unrealperson.adapt.pseudo_labels import Clusters, agreement, cluster, nearest_graph, silhouette, smallest_mean
from unrealperson.adapt.reciprocal import joint_graph, pair_probability, visual_graph
from unrealperson.config import AdaptConfig
from unrealperson.data.passages import temporal_distribution
from unrealperson.ops import JaccardGraph, TemporalModel, joint_similarity, reference

SHARE = 0.0016


def people(n: int = 150, d: int = 12, identities: int = 15, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    pid = rng.integers(0, identities, n)
    x = rng.standard_normal((identities, d))[pid] + noise * rng.standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), pid


def walks(pid: np.ndarray, cameras: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Each person goes from camera to camera, 900 frames apart."""
    rng = np.random.default_rng(4)
    camera = rng.integers(0, cameras, len(pid))
    return camera, 5000 * pid + 900 * camera + rng.integers(0, 150, len(pid))


def dense(graph: JaccardGraph, missing: float = np.nan) -> np.ndarray:
    n = len(graph.indptr) - 1
    matrix = np.full((n, n), missing)
    matrix[np.repeat(np.arange(n), np.diff(graph.indptr)), graph.indices] = graph.data
    return matrix


def slow_reranking(original: np.ndarray, lambda_: float, k1: int = 20, k2: int = 6) -> np.ndarray:
    scaled = original / original.max(1, keepdims=True)
    return (1 - lambda_) * reference._jaccard(scaled, k1 + 1, round(k1 / 2) + 1, k2) + lambda_ * scaled


def slow_labels(distance: np.ndarray, share: float) -> tuple[np.ndarray, float]:
    triangle = np.triu(distance, 1)
    triangle = np.sort(triangle[np.nonzero(triangle)])
    eps = triangle[: round(share * triangle.size)].mean()
    distance = distance * (1 - np.eye(len(distance)))  # an image is its own neighbour, however alike the joint distance
    return DBSCAN(eps=eps, min_samples=1, metric="precomputed").fit(distance).labels_, eps


def slow_joint(x: np.ndarray, model: TemporalModel, camera: np.ndarray, frame: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return reference.joint_similarity(x @ x.T, model.probability, model.bin_frames, (camera, frame), (camera, frame))


def same_stored(graph: JaccardGraph, matrix: np.ndarray, lambda_: float) -> None:
    found = dense(graph)
    stored = np.isfinite(found)
    np.testing.assert_allclose(found[stored], matrix[stored], atol=2e-6)
    assert not stored.all() and (matrix[~stored] >= 1 - lambda_ - 1e-9).all()


def test_visual_labels_are_those_of_the_dense_statement():
    x, pid = people()
    matrix = slow_reranking(reference.pairwise_distance(x, x, metric="sqeuclidean"), 0.3)
    graph = visual_graph(x)
    same_stored(graph, matrix, 0.3)
    for share in (SHARE, 0.05):
        expected, eps = slow_labels(matrix, share)
        found = cluster(graph, eps=smallest_mean(graph, share), min_samples=1)
        assert found.eps == pytest.approx(eps, abs=1e-6)
        np.testing.assert_array_equal(found.label, expected)
    assert agreement(found.label, pid) > 0.5


def test_joint_labels_are_those_of_the_dense_statement():
    x, pid = people(noise=0.8)
    camera, frame = walks(pid)
    model = temporal_distribution(pid, camera, frame, cameras=3, bin_frames=50, bins=100, sigma=2)
    frame[5] = camera[9] = -1
    matrix = slow_reranking(slow_joint(x, model, camera, frame), 0.5)
    graph = joint_graph(x, model, camera=camera, frame=frame)
    same_stored(graph, matrix, 0.5)
    expected, eps = slow_labels(matrix, 0.02)
    found = cluster(graph, eps=smallest_mean(graph, 0.02), min_samples=1)
    assert found.eps == pytest.approx(eps, abs=1e-6)
    np.testing.assert_array_equal(found.label, expected)


def test_time_slots_are_clustered_apart():
    x, pid = people(noise=0.8)
    camera, frame = walks(pid)
    model = temporal_distribution(pid, camera, frame, cameras=3, bin_frames=50, bins=100, sigma=2)
    config = AdaptConfig(slot_frames=20_000, joint_eps_share=0.06, lambda_joint=0.3).resolved()
    found = time_clusters(x, model, camera, frame, config)
    matrix = slow_joint(x, model, camera, frame)
    expected, count, largest = np.full(len(x), -1), 0, 0.0
    for slot in range(int(frame.max()) // 20_000 + 1):
        rows = np.flatnonzero(frame // 20_000 == slot)
        label, eps = slow_labels(slow_reranking(matrix[np.ix_(rows, rows)], 0.3), 0.06)
        expected[rows] = label + count
        count, largest = expected.max() + 1, max(largest, eps)
    np.testing.assert_array_equal(found.label, expected)
    assert found.eps == pytest.approx(largest, abs=1e-6) and found.groups > 5


@pytest.mark.parametrize("rows", [1, 4, 40])
def test_sets_smaller_than_the_lists(rows):
    x, pid = people(n=rows)
    camera, frame = walks(pid)
    model = temporal_distribution(pid, camera, frame, cameras=3, bins=10, sigma=1)
    for graph, matrix in (
        (visual_graph(x), reference.pairwise_distance(x, x, metric="sqeuclidean")),
        (joint_graph(x, model, camera=camera, frame=frame), slow_joint(x, model, camera, frame)),
    ):
        found = cluster(graph, eps=smallest_mean(graph, 0.02), min_samples=1)
        if rows == 40:
            expected, _ = slow_labels(slow_reranking(matrix, 0.3 if matrix[0, 0] == 0 else 0.5), 0.02)
            np.testing.assert_array_equal(found.label, expected)
        assert len(found.label) == rows


def test_blocks_of_meetings_give_what_one_block_gives(monkeypatch):
    from unrealperson.adapt import reciprocal

    x, pid = people()
    camera, frame = walks(pid)
    model = temporal_distribution(pid, camera, frame, cameras=3, bins=100, sigma=2)
    whole = joint_graph(x, model, camera=camera, frame=frame)
    for name, value in (("_BLOCK_ROWS", 7), ("_BLOCK_PAIRS", 100), ("_BLOCK_MEETINGS", 3000)):
        monkeypatch.setattr(reciprocal, name, value)
    parts = joint_graph(x, model, camera=camera, frame=frame)
    np.testing.assert_array_equal(parts.indices, whole.indices)
    np.testing.assert_allclose(parts.data, whole.data, rtol=1e-6)


def test_the_time_of_a_pair_is_what_the_matrix_looks_up():
    """One width of bins in building and look-up, gaps beyond the last bin, the later camera first."""
    rng = np.random.default_rng(0)
    model = TemporalModel(rng.random((3, 3, 8)).astype(np.float32) / 8, 100)
    camera, frame = rng.integers(-1, 3, (2, 60)), rng.integers(-1, 1200, (2, 60))
    alike = np.zeros((60, 60), np.float32)
    matrix = joint_similarity(
        alike, model, query_camera=camera[0], query_frame=frame[0], gallery_camera=camera[1], gallery_frame=frame[1]
    )
    found = pair_probability(model, (camera[0], frame[0]), (camera[1], frame[1]))
    expected = 1 - 1 / (1 + np.exp(0)) / (1 + 2 * np.exp(-5 * found))
    np.testing.assert_allclose(np.diag(matrix), expected, atol=1e-6)
    far = np.array([0]), np.array([400_000])
    assert pair_probability(model, far, (np.array([1]), np.array([0]))) == 0


def test_distances_without_re_ranking():
    x, _ = people()
    matrix = reference.pairwise_distance(x, x, metric="sqeuclidean")
    expected, eps = slow_labels(matrix, SHARE)
    graph = nearest_graph(x, share=SHARE)
    found = cluster(graph, eps=smallest_mean(graph, SHARE), min_samples=1)
    assert found.eps == pytest.approx(eps, abs=1e-6)
    np.testing.assert_array_equal(found.label, expected)


def test_equal_images_do_not_shrink_eps_to_nothing():
    x, _ = people()
    x[1::2] = x[::2]
    graph = nearest_graph(x, share=SHARE)
    assert smallest_mean(graph, SHARE) > 0


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.arange(30), "none of the 30 images found another"),
        (np.full(30, -1), "none of the 30 images found another"),
        (np.zeros(30, int), "all but 0 of the 30 images fell into one cluster"),
        (np.minimum(np.arange(30) // 20, 1) * (np.arange(30) - 19).clip(0), "20 of the 30 images fell into one"),
        (np.arange(30) // 3, ""),
        (np.where(np.arange(30) < 4, 0, -1), ""),
    ],
)
def test_clusters_that_teach_nothing_are_told(label, message):
    found = pseudo_labels.trouble(Clusters(label, 0.1))
    assert message in found and bool(found) is bool(message)


def test_clusters_count_what_they_hold():
    found = Clusters(np.array([0, 0, -1, 1, 2, 2, -1]), 0.5)
    assert (found.count, found.groups, found.outliers) == (3, 2, 2)
    assert found.alone.tolist() == [0, 0, 3, 1, 2, 2, 4]


def test_silhouette_against_a_loop():
    x, pid = people(n=60, identities=4)
    pid[:3] = -1
    values = []
    centers = {p: x[pid == p].mean(0) / np.linalg.norm(x[pid == p].mean(0)) for p in range(4)}
    for row in range(3, 60):
        own = 1 - x[row] @ centers[pid[row]]
        other = min(1 - x[row] @ centers[p] for p in range(4) if p != pid[row])
        values.append((other - own) / max(own, other))
    assert silhouette(x, pid, np.random.default_rng(0)) == pytest.approx(np.mean(values), abs=1e-5)
    assert silhouette(x, np.arange(60), np.random.default_rng(0)) is None
