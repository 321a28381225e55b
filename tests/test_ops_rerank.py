"""unrealperson.ops.rerank against dense float64 statements, by hand, and on each kind of input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.cluster import DBSCAN

from unrealperson import ops
from unrealperson.ops import _native, products, reference, rerank

RANKED, JACCARD = 1e-5, 1e-6
SETTINGS = [(20, 6, 0.3), (5, 3, 0.5), (7, 1, 0.0), (1000, 6, 1.0), (1, 2, 0.3), (4, 1000, 0.2)]


def clustered(n: int, d: int, seed: int, spread: float = 0.5) -> np.ndarray:
    """Unit vectors around a few directions."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(max(1, n // 12), d))[rng.integers(0, max(1, n // 12), n)] + spread * rng.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def whole_numbers(n: int, d: int, seed: int) -> np.ndarray:
    """Small integers, whose distances float32 holds exactly; full of ties and duplicates."""
    return np.random.default_rng(seed).integers(-2, 3, (n, d)).astype(np.float32)


def dense(graph: ops.JaccardGraph) -> np.ndarray:
    n = len(graph.indptr) - 1
    matrix = np.ones((n, n), np.float32)
    rows = np.repeat(np.arange(n), np.diff(np.asarray(graph.indptr)))
    matrix[rows, np.asarray(graph.indices)] = np.asarray(graph.data)
    return matrix


def test_hand_made_example():
    """Points on a line at 0 (query), 1, 3 and 10, k1 = 1: lists of two, half lists of one (round(0.5) = 0).

    Mutual pairs: 0 with 1; 3 lists 1 and 10 lists 3, without an answer, so 3 and 10 stand alone. Weights of 0 are e^0
    and e^(-1/100), of 1 e^0 and e^(-1/81), each divided by their sum.
    """
    x = np.array([[0.0], [1.0], [3.0], [10.0]], np.float32)
    far, near = 1 / (1 + np.exp(-1 / 100)), 1 / (1 + np.exp(1 / 81))
    shared = min(far, near) + min(1 - far, 1 - near)
    expected = [0.7 * (1 - shared / (2 - shared)) + 0.3 / 100, 0.7 + 0.3 * 9 / 100, 1.0]
    result = ops.k_reciprocal(x[:1], x[1:], k1=1, k2=1, lambda_=0.3)
    np.testing.assert_allclose(result, [expected], atol=1e-7)
    graph = ops.jaccard_graph(x, k1=1, k2=1, rule="zhong")
    assert graph.indptr.tolist() == [0, 2, 4, 5, 6] and graph.indices.tolist() == [0, 1, 1, 0, 2, 3]
    np.testing.assert_allclose(graph.data[1], 1 - shared / (2 - shared), atol=1e-7)


@pytest.mark.parametrize(("k1", "k2", "lambda_"), SETTINGS)
@pytest.mark.parametrize(("queries", "gallery"), [(30, 120), (1, 60), (9, 1), (1, 1)])
def test_re_ranking_equals_the_dense_statement(queries, gallery, k1, k2, lambda_):
    x = clustered(queries + gallery, 24, queries)
    q, g = x[:queries], x[queries:]
    expected = reference.k_reciprocal(q, g, k1=k1, k2=k2, lambda_=lambda_)
    result = ops.k_reciprocal(q, g, k1=k1, k2=k2, lambda_=lambda_)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=RANKED)
    again = ops.k_reciprocal(q, g, k1=k1, k2=k2, lambda_=lambda_, neighbors=ops.find_neighbors(q, g, k=max(k1 + 1, k2)))
    np.testing.assert_allclose(again, result, atol=JACCARD)


@pytest.mark.parametrize("rule", ["spcl", "zhong"])
@pytest.mark.parametrize(("k1", "k2", "_"), SETTINGS)
@pytest.mark.parametrize("n", [1, 2, 7, 150])
def test_graph_equals_the_dense_statement(n, k1, k2, _, rule):
    x = clustered(n, 24, n)
    graph = ops.jaccard_graph(x, k1=k1, k2=k2, rule=rule)
    expected = reference.jaccard_distance(x, k1=k1, k2=k2, rule=rule)
    np.testing.assert_allclose(dense(graph), expected, atol=JACCARD)
    np.testing.assert_array_equal(dense(graph), dense(graph).T)
    np.testing.assert_array_equal(dense(graph).diagonal(), 0)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 70),
    d=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    k1=st.integers(1, 25),
    k2=st.integers(1, 9),
    threads=st.integers(0, 3),
    data=st.data(),
)
def test_ties_and_duplicates_by_hypothesis(n, d, seed, k1, k2, threads, data):
    x = whole_numbers(n, d, seed)
    queries = data.draw(st.integers(1, n))
    q, g = x[:queries], x[queries:]
    result = ops.k_reciprocal(q, g, k1=k1, k2=k2, num_threads=threads)
    np.testing.assert_allclose(result, reference.k_reciprocal(q, g, k1=k1, k2=k2, lambda_=0.3), atol=RANKED)
    rule = data.draw(st.sampled_from(["spcl", "zhong"]))
    graph = ops.jaccard_graph(x, k1=k1, k2=k2, rule=rule, num_threads=threads)
    np.testing.assert_allclose(dense(graph), reference.jaccard_distance(x, k1=k1, k2=k2, rule=rule), atol=JACCARD)


def test_equal_rows_are_listed_by_lower_index():
    x = np.ones((50, 3), np.float32)
    found = ops.find_neighbors(x[:20], x[20:], k=8)
    np.testing.assert_array_equal(found.indices, np.tile(np.arange(8), (50, 1)))
    np.testing.assert_array_equal(found.farthest, np.zeros(50))
    result = ops.k_reciprocal(x[:20], x[20:], k1=60)
    np.testing.assert_allclose(result, 0, atol=JACCARD)


@pytest.mark.parametrize("shape", [(3, 9), (700, 2500), (1, 2060), (0, 2500)])
def test_neighbors_are_those_of_topk(shape):
    q, g = whole_numbers(shape[0], 6, 1), whole_numbers(shape[1], 6, 2)
    x = np.concatenate([q, g])
    found, expected = ops.find_neighbors(q, g, k=12), ops.topk(x, x, k=12)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.farthest, ops.pairwise_distance(x, x).max(1))


def test_blocks_reach_the_whole_matrix(monkeypatch):
    x = clustered(200, 16, 3)
    expected = ops.k_reciprocal(x[:70], x[70:])
    monkeypatch.setattr(rerank, "_BLOCK", 16)
    np.testing.assert_allclose(ops.k_reciprocal(x[:70], x[70:]), expected, atol=JACCARD)


@pytest.mark.parametrize("k", [1, 10, 500])
def test_nearest_k_are_those_of_the_matrix(k, monkeypatch):
    monkeypatch.setattr(rerank, "_BLEND_ELEMENTS", 1000)
    x = clustered(160, 16, 4)
    q, g = x[:40], x[40:]
    matrix = ops.k_reciprocal(q, g)
    found = ops.k_reciprocal(q, g, k=k)
    order = np.argsort(matrix, axis=1, kind="stable")[:, :k]
    assert isinstance(found, ops.TopK)
    np.testing.assert_allclose(found.values, np.take_along_axis(matrix, order, axis=1), atol=JACCARD)
    np.testing.assert_allclose(np.take_along_axis(matrix, found.indices, axis=1), found.values, atol=JACCARD)


@pytest.mark.parametrize(("k1", "k2", "lambda_"), SETTINGS)
@pytest.mark.parametrize("gallery", [1, 5, 130])
@pytest.mark.parametrize("make", [clustered, whole_numbers])
def test_live_query_equals_a_call_with_that_query(make, gallery, k1, k2, lambda_):
    x = make(12 + gallery, 10, 5)
    q, g = x[:12], x[12:]
    prepared = ops.RerankGallery(g, k1=k1, k2=k2, lambda_=lambda_)
    expected = [ops.k_reciprocal(row[None], g, k1=k1, k2=k2, lambda_=lambda_)[0] for row in q]
    np.testing.assert_allclose(prepared.rerank(q), expected, atol=JACCARD)
    nearest = prepared.rerank(torch.from_numpy(q).numpy()[:1], k=3)
    np.testing.assert_allclose(nearest.values[0], np.sort(expected[0])[:3], atol=JACCARD)


def test_live_query_that_is_farther_than_all_raises_the_scale():
    g = clustered(60, 8, 6)
    q = 30 * clustered(1, 8, 7)
    np.testing.assert_allclose(ops.RerankGallery(g).rerank(q), ops.k_reciprocal(q, g), atol=JACCARD)


def test_torch_gives_torch():
    x = clustered(90, 12, 8)
    q, g = torch.from_numpy(x[:20]), torch.from_numpy(x[20:])
    result, expected = ops.k_reciprocal(q, g), ops.k_reciprocal(x[:20], x[20:])
    assert isinstance(result, torch.Tensor) and result.dtype == torch.float32
    np.testing.assert_allclose(result, expected, atol=JACCARD)
    nearest = ops.k_reciprocal(q, g, k=4, neighbors=ops.find_neighbors(q, g, k=21))
    assert all(isinstance(part, torch.Tensor) for part in nearest)
    graph, expected_graph = ops.jaccard_graph(torch.from_numpy(x)), ops.jaccard_graph(x)
    assert [part.dtype for part in graph] == [torch.int64, torch.int32, torch.float32]
    np.testing.assert_allclose(dense(graph), dense(expected_graph), atol=JACCARD)
    live = ops.RerankGallery(g).rerank(q[:1])
    np.testing.assert_allclose(live, ops.k_reciprocal(q[:1], g), atol=JACCARD)


def test_float64_and_strided_inputs():
    x = clustered(80, 12, 9)
    expected = ops.k_reciprocal(x[:20], x[20:])
    wide = np.hstack([x, x])[:, :12]
    for given_ in (x.astype(np.float64), wide, np.asfortranarray(x), x[::-1].copy()[::-1]):
        np.testing.assert_array_equal(ops.k_reciprocal(given_[:20], given_[20:]), expected)


def test_threads_and_instruction_sets_give_the_same_bits():
    x = clustered(700, 40, 10)
    lists = ops.find_neighbors(x[:100], x[100:], k=31)
    before, results = ops.build_info()["isa"], []
    for isa in ops.build_info()["isa_supported"]:
        _native.load().use_isa(isa)
        for threads in (1, 2, 5):
            matrix = ops.k_reciprocal(x[:100], x[100:], neighbors=lists, num_threads=threads)
            results.append((matrix, *ops.jaccard_graph(x, neighbors=lists, num_threads=threads)))
    _native.load().use_isa(before)
    for other in results[1:]:
        for array, first in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(array, first)


@pytest.mark.parametrize("rule", ["spcl", "zhong"])
@pytest.mark.parametrize("eps", [0.3, 0.6])
def test_clusters_of_the_sparse_graph_are_those_of_the_dense_one(rule, eps):
    x = clustered(300, 24, 11, spread=0.7)
    labels = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit_predict(
        reference.jaccard_distance(x, k1=20, k2=6, rule=rule)
    )
    assert labels.max() > 3
    for limit in (None, eps):
        graph = ops.jaccard_graph(x, k1=20, rule=rule, eps=limit)
        matrix = csr_matrix((graph.data, graph.indices, graph.indptr), shape=(300, 300))
        found = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit_predict(matrix)
        np.testing.assert_array_equal(found, labels)


def test_graph_holds_what_eps_allows_nearest_first():
    x = clustered(120, 12, 12)
    whole, near = ops.jaccard_graph(x), ops.jaccard_graph(x, eps=0.5)
    expected = dense(whole)
    np.testing.assert_array_equal(dense(near), np.where(expected <= 0.5, expected, 1))
    for begin, end in zip(whole.indptr[:-1], whole.indptr[1:], strict=True):
        order = np.lexsort((whole.indices[begin:end], whole.data[begin:end]))
        np.testing.assert_array_equal(order, np.arange(end - begin))


def test_given_lists_rank():
    """Lists are taken as they are: topk's for SpCL's rule, find_neighbors' for Zhong's."""
    x = clustered(90, 12, 13)
    for rule, lists in (("spcl", ops.topk(x, x, k=40)), ("zhong", ops.find_neighbors(x[:0], x, k=40))):
        graph = ops.jaccard_graph(x, rule=rule, neighbors=lists)
        np.testing.assert_allclose(dense(graph), dense(ops.jaccard_graph(x, rule=rule)), atol=JACCARD)


def test_empty_sides():
    x, none = clustered(5, 4, 14), np.empty((0, 4), np.float32)
    assert ops.k_reciprocal(x, none).shape == (5, 0) and ops.k_reciprocal(none, x).shape == (0, 5)
    assert ops.k_reciprocal(none, x, k=2).indices.shape == (0, 2)
    assert ops.k_reciprocal(x, none, k=2).indices.shape == (5, 0)
    assert ops.find_neighbors(none, none, k=2).indices.shape == (0, 0)
    graph = ops.jaccard_graph(none)
    assert graph.indptr.tolist() == [0] and len(graph.indices) == 0


def test_max_memory_refuses_before_any_work(monkeypatch):
    x = clustered(200, 16, 15)
    needed = 4 * 100 * 100 + 200 * 1000
    assert ops.k_reciprocal(x[:100], x[100:], max_memory=100 << 20).shape == (100, 100)
    monkeypatch.setattr(rerank, "_survey", lambda *_: pytest.fail("work began"))
    with pytest.raises(ValueError, match=r"would take about \d+ MiB \(\d+ bytes\) .* max_memory allows 100000;"):
        ops.k_reciprocal(x[:100], x[100:], max_memory=100_000)
    with pytest.raises(ValueError, match="max_memory allows"):
        ops.jaccard_graph(x, rule="zhong", max_memory=needed // 10)


GOOD = clustered(9, 4, 16)
LISTS = ops.find_neighbors(GOOD[:4], GOOD[4:], k=9)
BAD_CALLS = [
    (dict(k1=0), "k1 must be an integer of 1 or more, got 0"),
    (dict(k2=1.5), "k2 must be an integer of 1 or more, got 1.5"),
    (dict(k=True), "k must be an integer of 1 or more, got True"),
    (dict(lambda_=1.1), r"lambda_ must lie within \[0, 1\], got 1.1"),
    (dict(lambda_=float("nan")), r"lambda_ must lie within \[0, 1\], got nan"),
    (dict(q=torch.from_numpy(GOOD[:4])), "one kind, got torch and numpy"),
    (dict(g=GOOD[4:, :2]), "one number of dimensions"),
    (dict(q=np.full((4, 4), np.nan, np.float32)), "q must be finite"),
    (dict(g=np.full((5, 4), np.inf, np.float32)), "g must be finite"),
    (dict(num_threads=-1), "num_threads must be an integer of 0 or more"),
    (dict(neighbors=ops.topk(GOOD, GOOD, k=9)), "neighbors must have farthest"),
    (dict(neighbors=ops.Neighbors(*(part[:5] for part in LISTS))), r"\[9, 9\] or wider, got \(5, 9\)"),
    (dict(neighbors=LISTS._replace(farthest=LISTS.farthest[:3])), r"farthest must be \[9\], got \(3,\)"),
    (dict(neighbors=LISTS._replace(indices=LISTS.indices + 1)), r"lie in \[0, 9\), got 9"),
    (dict(neighbors=LISTS._replace(values=LISTS.values - 9)), "squared distances of 0 or more"),
    (dict(neighbors=LISTS._replace(farthest=LISTS.farthest * np.nan)), "squared distances of 0 or more"),
    (dict(neighbors=LISTS._replace(indices=torch.from_numpy(LISTS.indices))), "of the kind of the features"),
    (dict(neighbors=LISTS._replace(indices=LISTS.indices - 2)), r"lie in \[0, 9\), got -2"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CALLS, ids=[message for _, message in BAD_CALLS])
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        ops.k_reciprocal(**(dict(q=GOOD[:4], g=GOOD[4:]) | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(rule="sklearn"), "rule must be one of spcl, zhong, got 'sklearn'"),
        (dict(eps=-0.1), "eps must be 0 or more, got -0.1"),
        (dict(eps=float("nan")), "eps must be 0 or more, got nan"),
        (dict(rule="zhong", neighbors=ops.topk(GOOD, GOOD, k=9)), "neighbors must have farthest"),
        (dict(x=GOOD[0]), r"\[n, d\], got shape"),
    ],
)
def test_bad_graph_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        ops.jaccard_graph(**(dict(x=GOOD) | change))


def test_a_prepared_gallery_needs_rows():
    with pytest.raises(ValueError, match="g must have a row or more in host memory, got 0"):
        ops.RerankGallery(GOOD[:0])


@pytest.mark.parametrize(("make", "n", "k1", "k2"), [(clustered, 70, 12, 4), (whole_numbers, 41, 40, 1)])
def test_simulated_gpu_equals_the_cpu(simulated_gpu, make, n, k1, k2):
    x = make(n, 5, 17)
    q, g = simulated_gpu.array(x[:9]), simulated_gpu.array(x[9:])
    expected = ops.k_reciprocal(x[:9], x[9:], k1=k1, k2=k2)
    result = ops.k_reciprocal(q, g, k1=k1, k2=k2)
    np.testing.assert_allclose(simulated_gpu.numpy(result), expected, atol=RANKED)
    lists = ops.find_neighbors(q, g, k=max(k1 + 1, k2))
    nearest = ops.k_reciprocal(q, g, k1=k1, k2=k2, k=5, neighbors=lists)
    order = np.argsort(simulated_gpu.numpy(result), axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(simulated_gpu.numpy(nearest.indices), order)
    for rule in ("spcl", "zhong"):
        graph = ops.jaccard_graph(simulated_gpu.array(x), k1=k1, k2=k2, rule=rule)
        graph = ops.JaccardGraph(*(simulated_gpu.numpy(part) for part in graph))
        expected = reference.jaccard_distance(x, k1=k1, k2=k2, rule=rule)
        np.testing.assert_allclose(dense(graph), expected, atol=RANKED)
        np.testing.assert_array_equal(dense(graph), dense(graph).T)
        for begin, end in zip(graph.indptr[:-1], graph.indptr[1:], strict=True):
            in_order = np.lexsort((graph.indices[begin:end], graph.data[begin:end]))
            np.testing.assert_array_equal(in_order, np.arange(end - begin))


@pytest.mark.parametrize(("n", "d", "k1", "k2"), [(1, 3, 20, 6), (13, 4, 3, 2), (29, 3, 6, 1), (17, 1, 5, 4)])
def test_kernels_under_the_checker(checked_gpu, n, d, k1, k2):
    x = whole_numbers(n, d, 18)
    x[n // 2 :] = x[: n - n // 2]  # duplicates
    for rule in ("spcl", "zhong"):
        graph = ops.jaccard_graph(checked_gpu.array(x), k1=k1, k2=k2, rule=rule)
        graph = ops.JaccardGraph(*(checked_gpu.numpy(part) for part in graph))
        expected = reference.jaccard_distance(x, k1=k1, k2=k2, rule=rule)
        np.testing.assert_allclose(dense(graph), expected, atol=RANKED)
    queries = n // 3
    result = ops.k_reciprocal(checked_gpu.array(x[:queries]), checked_gpu.array(x[queries:]), k1=k1, k2=k2)
    expected = reference.k_reciprocal(x[:queries], x[queries:], k1=k1, k2=k2, lambda_=0.3)
    np.testing.assert_allclose(checked_gpu.numpy(result), expected, atol=RANKED)


def test_gpu_lists_and_distances_go_from_block_to_block(simulated_gpu, monkeypatch):
    """Blocks that end within queries and gallery, several lists a row, and lists beyond what a kernel holds."""
    monkeypatch.setattr(products, "_GPU_QUERIES", 7)
    monkeypatch.setattr(products, "_GPU_PRODUCTS", 7 * 20)
    monkeypatch.setattr(products, "_GPU_PART_COLUMNS", 1)
    x = whole_numbers(61, 3, 5)
    q, g = x[:10], x[10:]
    result = simulated_gpu.numpy(ops.k_reciprocal(simulated_gpu.array(q), simulated_gpu.array(g), k1=4, k2=2))
    np.testing.assert_allclose(result, ops.k_reciprocal(q, g, k1=4, k2=2), atol=RANKED)
    for limit in (1024, 6):
        monkeypatch.setattr(simulated_gpu.native, "cuda_nearest_limit", limit)
        found = ops.find_neighbors(simulated_gpu.array(q), simulated_gpu.array(g), k=9)
        for got, want in zip(found, ops.find_neighbors(q, g, k=9), strict=True):
            np.testing.assert_array_equal(simulated_gpu.numpy(got), want)
    g[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"g must be finite .* see row 4;"):
        ops.k_reciprocal(simulated_gpu.array(q), simulated_gpu.array(g), k1=4, k2=2)


def test_gpu_refuses_what_does_not_fit(simulated_gpu):
    x = simulated_gpu.array(clustered(300, 4, 19))
    with pytest.raises(ValueError, match="lists of 251 rows do not fit"):
        ops.jaccard_graph(x, k1=250, rule="zhong")
    lists = ops.find_neighbors(x[:0], x, k=31)
    with pytest.raises(ValueError, match=r"neighbors.indices must lie in \[0, 300\), got -1"):
        ops.jaccard_graph(x, neighbors=lists._replace(indices=lists.indices - 1))
    with pytest.raises(ValueError, match="in host memory"):
        ops.RerankGallery(x)


@pytest.mark.gpu
@pytest.mark.skipif(ops.build_info()["cuda_devices"] == 0, reason="no CUDA device")
@pytest.mark.parametrize("rule", ["spcl", "zhong"])
def test_gpu_equals_the_cpu(rule):
    x = torch.from_numpy(clustered(3000, 64, 20))
    result = ops.k_reciprocal(x[:500].cuda(), x[500:].cuda())
    np.testing.assert_allclose(result.cpu(), ops.k_reciprocal(x[:500], x[500:]), atol=RANKED)
    graph = ops.JaccardGraph(*(part.cpu() for part in ops.jaccard_graph(x.cuda(), rule=rule)))
    np.testing.assert_allclose(dense(graph), dense(ops.jaccard_graph(x, rule=rule)), atol=RANKED)
