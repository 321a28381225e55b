"""unrealperson.ops.distance against float64, on each instruction path, kind and awkward layout."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import ISAS, misaligned, read_only, whole_numbers

from unrealperson import ops
from unrealperson.ops import _native, arrays, distance, products, reference

METRICS = get_args(ops.Metric)
SHAPES = [
    (1, 1, 1),
    (1, 300, 64),
    (2, 257, 31),
    (3, 5, 7),
    (17, 1000, 33),
    (520, 2100, 16),
    (20, 9000, 8),
    (1, 70000, 4),
]
TOLERANCE = 2e-5


def features(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def key_order(q: np.ndarray, g: np.ndarray, metric: str) -> np.ndarray:
    """The documented order, from exact products: stable by the float32 key."""
    products = q @ g.T
    if metric == "sqeuclidean":
        key = (g**2).sum(1) - 2 * products
    elif metric == "cosine":
        length = np.sqrt((g**2).sum(1, dtype=np.float32))
        key = products * -np.divide(np.float32(1), length, out=np.zeros_like(length), where=length > 0)
    else:
        key = -products
    return np.argsort(key, axis=1, kind="stable")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_distances_match_float64(shape, metric, isa):
    q, g = features(shape[0], shape[2], 1), features(shape[1], shape[2], 2)
    scale = 1 if metric == "cosine" else shape[2]
    np.testing.assert_allclose(
        ops.pairwise_distance(q, g, metric=metric),
        np.concatenate([reference.pairwise_distance(row[None], g, metric=metric) for row in q]),
        atol=TOLERANCE * scale,
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("k", [1, 10, 5000])
def test_topk_of_exact_products_is_the_stable_order(shape, k, metric, isa):
    q, g = whole_numbers(shape[0], shape[2], 3), whole_numbers(shape[1], shape[2], 4)
    found = ops.topk(q, g, k=k, metric=metric)
    kept = min(k, len(g))
    assert found.indices.shape == found.values.shape == (len(q), kept)
    assert found.indices.dtype == np.int64 and found.values.dtype == np.float32
    np.testing.assert_array_equal(found.indices, key_order(q, g, metric)[:, :kept])
    expected = np.take_along_axis(ops.pairwise_distance(q, g, metric=metric), found.indices, axis=1)
    np.testing.assert_array_equal(found.values, expected)


@pytest.mark.parametrize("metric", METRICS)
def test_every_instruction_path_gives_the_same_bits(metric):
    q, g = features(1, 77, 5), features(4000, 77, 6)
    before = ops.build_info()["isa"]
    results = []
    for name in ISAS:
        _native.load().use_isa(name)
        results.append((ops.topk(q, g, k=50, metric=metric), ops.pairwise_distance(q, g, metric=metric)))
    _native.load().use_isa(before)
    for found, matrix in results[1:]:
        np.testing.assert_array_equal(found.values, results[0][0].values)
        np.testing.assert_array_equal(found.indices, results[0][0].indices)
        np.testing.assert_array_equal(matrix, results[0][1])


def test_single_query_agrees_with_many():
    q, g = whole_numbers(9, 40, 7), whole_numbers(3000, 40, 8)
    many = ops.topk(q, g, k=30, metric="cosine")
    for row in range(len(q)):
        one = ops.topk(q[row : row + 1], g, k=30, metric="cosine")
        np.testing.assert_array_equal(one.indices[0], many.indices[row])
        np.testing.assert_array_equal(one.values[0], many.values[row])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), metric=st.sampled_from(METRICS), k=st.integers(1, 40), threads=st.integers(0, 3))
def test_topk_equals_reference_by_hypothesis(data, metric, k, threads):
    rows, gallery, d = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 150)), data.draw(st.integers(1, 40))
    seed = data.draw(st.integers(0, 2**31))
    q, g = whole_numbers(rows, d, seed), whole_numbers(gallery, d, seed + 1)
    found = ops.topk(q, g, k=k, metric=metric, num_threads=threads)
    values, _ = reference.topk(q, g, k=k, metric=metric)
    np.testing.assert_allclose(found.values, values, atol=1e-6)
    np.testing.assert_array_equal(found.indices, key_order(q, g, metric)[:, :k])


def test_equal_rows_come_in_gallery_order_and_zero_vectors_are_at_cosine_distance_one():
    g = np.tile(np.array([[1, 2, 3]], np.float32), (5000, 1))
    found = ops.topk(np.array([[3, 2, 1]], np.float32), g, k=100)
    np.testing.assert_array_equal(found.indices[0], np.arange(100))
    zero, one = np.zeros((3, 4), np.float32), np.ones((3, 4), np.float32)
    for q, gallery in ((zero, one), (one, zero), (zero, zero)):
        np.testing.assert_array_equal(ops.pairwise_distance(q, gallery, metric="cosine"), np.ones((3, 3)))
    assert (ops.pairwise_distance(features(50, 300, 1), features(50, 300, 1)) >= 0).all()


def test_inner_product_returns_the_largest_first():
    g = np.array([[1.0], [3.0], [2.0]], np.float32)
    found = ops.topk(np.ones((1, 1), np.float32), g, k=2, metric="inner_product")
    assert found.indices.tolist() == [[1, 2]] and found.values.tolist() == [[3.0, 2.0]]


LAYOUTS = {
    "columns of a wider array": lambda x: np.hstack([x, x])[:, : x.shape[1]],
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed rows": lambda x: x[::-1].copy()[::-1],
    "transposed": lambda x: np.asfortranarray(x),
    "every second column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "misaligned": misaligned,
    "read-only": read_only,
    "big-endian": lambda x: x.astype(">f4"),
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "torch": torch.from_numpy,
    "torch columns": lambda x: torch.from_numpy(np.hstack([x, x]))[:, : x.shape[1]],
    "torch transposed": lambda x: torch.from_numpy(np.ascontiguousarray(x.T)).T,
    "torch bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
    "torch with gradient": lambda x: torch.from_numpy(x.copy()).requires_grad_(),
    "torch parameter": lambda x: torch.nn.Parameter(torch.from_numpy(x.copy())),
}


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_kinds_give_one_result(layout, rows):
    q, g = whole_numbers(rows, 24, 9), whole_numbers(400, 24, 10)
    expected, matrix = ops.topk(q, g, k=7), ops.pairwise_distance(q, g)
    found = ops.topk(LAYOUTS[layout](q), LAYOUTS[layout](g), k=7)
    result = ops.pairwise_distance(LAYOUTS[layout](q), LAYOUTS[layout](g))
    kind = torch.Tensor if layout.startswith("torch") else np.ndarray
    assert all(isinstance(x, kind) for x in (found.values, found.indices, result))
    np.testing.assert_array_equal(np.asarray(found.indices), expected.indices)
    np.testing.assert_array_equal(np.asarray(found.values), expected.values)
    np.testing.assert_array_equal(np.asarray(result), matrix)


def test_usable_layouts_are_not_copied():
    wide = np.zeros((4, 10), np.float32)
    tensor = torch.zeros(4, 10)
    assert arrays.float_matrix(wide[:, :6], "q") is not None
    assert np.shares_memory(arrays.float_matrix(wide[:, :6], "q"), wide)
    assert arrays.float_matrix(tensor[:, :6], "q").data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_empty_sides(rows):
    q, g, none = np.ones((rows, 3), np.float32), np.ones((5, 3), np.float32), np.ones((0, 3), np.float32)
    assert ops.pairwise_distance(q, none).shape == (rows, 0)
    assert ops.pairwise_distance(none, g).shape == (0, 5)
    assert ops.topk(q, none, k=3).indices.shape == (rows, 0)
    assert ops.topk(none, g, k=3).values.shape == (0, 3)


GOOD = np.ones((4, 3), np.float32)
BAD_CALLS = [
    (dict(q=GOOD[0]), r"q must be \[n, d\], got shape \(3,\)"),
    (dict(g=np.ones((4, 2), np.float32)), r"one number of dimensions, got shapes \(4, 3\) and \(4, 2\)"),
    (dict(q=GOOD.astype(int)), r"q must be float32, float16 or float64, got int64"),
    (dict(g=GOOD.astype(np.complex64)), r"g must be float32"),
    (dict(q=torch.ones(4, 3, dtype=torch.int32), g=torch.ones(4, 3)), r"q must be float32.*got torch.int32"),
    (dict(q=[[1.0]]), r"q must be a numpy array, torch tensor or cupy array, got list"),
    (dict(q=torch.ones(4, 3)), r"one kind, got torch and numpy"),
    (dict(q=np.ones((4, 0)), g=np.ones((4, 0))), r"one number of dimensions"),
    (dict(metric="l2"), r"metric must be one of sqeuclidean, cosine, inner_product, got 'l2'"),
    (dict(num_threads=-1), r"num_threads must be an integer of 0 or more, got -1"),
    (dict(q=torch.ones(4, 3, device="meta"), g=torch.ones(4, 3, device="meta")), r"cpu or cuda, got meta"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CALLS, ids=[message for _, message in BAD_CALLS])
def test_bad_input_is_named(change, message):
    arguments = dict(q=GOOD, g=GOOD) | change
    with pytest.raises(ValueError, match=message):
        ops.pairwise_distance(**arguments)
    with pytest.raises(ValueError, match=message):
        ops.topk(**arguments, k=2)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None])
def test_k_must_be_a_positive_integer(k):
    with pytest.raises(ValueError, match="k must be an integer of 1 or more"):
        ops.topk(GOOD, GOOD, k=k)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e19])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("name", ["q", "g"])
def test_unusable_values_name_argument_and_row(name, rows, bad):
    arrays = {"q": np.ones((rows, 40), np.float32), "g": np.ones((300, 40), np.float32)}
    row = 0 if name == "q" else 299
    arrays[name][row, 37] = bad
    with pytest.raises(ValueError, match=f"{name} must be finite .* see row {row};"):
        ops.topk(**arrays, k=2)
    with pytest.raises(ValueError, match=f"{name} must be finite .* see row {row};"):
        ops.pairwise_distance(**arrays)
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        ops.topk(torch.from_numpy(arrays["q"]), torch.from_numpy(arrays["g"]), k=2)


def test_float64_beyond_float32_is_refused_without_a_warning():
    with pytest.raises(ValueError, match="g must be finite"):
        ops.pairwise_distance(np.ones((1, 1)), np.full((1, 1), 1e300))


def test_the_gallery_is_never_multiplied_whole(monkeypatch):
    sizes = []
    multiplier = distance.multiplier

    def spy(like):
        multiply = multiplier(like)
        return lambda a, b, out: (sizes.append(out.size), multiply(a, b, out))

    monkeypatch.setattr(distance, "multiplier", spy)
    monkeypatch.setattr(distance, "BLOCK_PRODUCTS", 1 << 20)
    ops.topk(features(700, 8, 1), features(5000, 8, 2), k=3)
    assert len(sizes) == 6 and max(sizes) <= distance.BLOCK_PRODUCTS


def test_a_half_gallery_is_converted_by_blocks(monkeypatch):
    sizes = []
    convert = arrays.float_matrix
    monkeypatch.setattr(arrays, "float_matrix", lambda x, name: (sizes.append(len(x)), convert(x, name))[1])
    monkeypatch.setattr(distance, "BLOCK_PRODUCTS", 1 << 14)
    q, g = whole_numbers(20, 16, 1), whole_numbers(5000, 16, 2)
    found = ops.topk(torch.from_numpy(q), torch.from_numpy(g).bfloat16(), k=9)
    assert len(sizes) > 5 and max(sizes) < 1000
    np.testing.assert_array_equal(found.indices, key_order(q, g, "sqeuclidean")[:, :9])


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_float32_symmetry_gives_the_plain_order(kind, monkeypatch):
    monkeypatch.setattr(distance, "BLOCK_QUERIES", 64)
    x = whole_numbers(500, 12, 3)
    found = ops.topk(kind(x), kind(x.copy()), k=30, precision="float32")
    x = kind(x)
    multiplied = []
    multiplier = distance.multiplier

    def spy(like):
        multiply = multiplier(like)
        return lambda a, b, out: (multiplied.append(len(a) * b.shape[1]), multiply(a, b, out))

    monkeypatch.setattr(distance, "multiplier", spy)
    itself = ops.topk(x, x, k=30, precision="float32")
    np.testing.assert_array_equal(itself.indices, found.indices)
    np.testing.assert_array_equal(itself.values, found.values)
    assert sum(multiplied) < 0.6 * 500 * 500


@pytest.mark.parametrize("metric", METRICS)
def test_gpu_sort_for_large_k_keeps_the_order(metric, monkeypatch):
    """The stable sort that a GPU uses beyond the fused kernel's k, its matrices taken from the CPU."""
    q, g = (torch.from_numpy(whole_numbers(n, 6, n)) for n in (7, 300))
    values = ops.pairwise_distance(q, g, metric=metric)
    keys = -values if metric == "inner_product" else values
    if metric == "cosine":
        keys = -(q @ g.T) * torch.nan_to_num(1 / g.square().sum(1).sqrt(), posinf=0)
    pair = SimpleNamespace(q=q, g=g, block=lambda rows, **of: (keys if of else values)[rows])
    monkeypatch.setattr(distance, "_GPU_SORT_ELEMENTS", 900)
    found = ops.TopK(torch.empty(7, 200), torch.empty(7, 200, dtype=torch.int64))
    distance._sort_on_gpu(pair, 200, found)
    expected = ops.topk(q, g, k=200, metric=metric)
    assert torch.equal(found.indices, expected.indices) and torch.equal(found.values, expected.values)


GPU_SHAPES = [(1, 1, 1), (2, 257, 31), (3, 300, 130), (8, 70, 5), (33, 300, 32), (1, 2500, 4), (0, 5, 3), (3, 0, 3)]


def gpu_equals_cpu(gpu, shape: tuple[int, int, int], metric: str, ks: tuple[int, ...]) -> None:
    q, g = whole_numbers(shape[0], shape[2], 3), whole_numbers(shape[1], shape[2], 4)
    found = ops.pairwise_distance(gpu.array(q), gpu.array(g), metric=metric)
    np.testing.assert_allclose(gpu.numpy(found), ops.pairwise_distance(q, g, metric=metric), rtol=1e-6)
    for k in ks:
        nearest, expected = ops.topk(gpu.array(q), gpu.array(g), k=k, metric=metric), ops.topk(q, g, k=k, metric=metric)
        np.testing.assert_array_equal(gpu.numpy(nearest.indices), expected.indices)
        np.testing.assert_allclose(gpu.numpy(nearest.values), expected.values, rtol=1e-6)


@pytest.fixture
def small_gpu_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of queries and of the gallery, and several lists a query, at a test's size."""
    monkeypatch.setattr(products, "_GPU_QUERIES", 20)
    monkeypatch.setattr(products, "_GPU_PRODUCTS", 1000)
    monkeypatch.setattr(products, "_GPU_PART_COLUMNS", 30)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", GPU_SHAPES, ids=str)
def test_simulated_gpu_equals_cpu(shape, metric, simulated_gpu):
    gpu_equals_cpu(simulated_gpu, shape, metric, (1, 20))


@pytest.mark.parametrize("shape", [(1, 2500, 4), (33, 300, 9)], ids=str)
def test_lists_go_from_block_to_block_on_a_gpu(shape, small_gpu_blocks, simulated_gpu):
    gpu_equals_cpu(simulated_gpu, shape, "sqeuclidean", (7, 130))


@pytest.mark.parametrize("k", [128, 129, 1024, 1025], ids=["short list", "long list", "longest list", "sorted"])
@pytest.mark.parametrize("queries", [2, 10])
def test_every_way_to_a_large_k_keeps_ties_in_order(queries, k, simulated_gpu):
    gpu_equals_cpu(simulated_gpu, (queries, 1100, 2), "cosine", (k,))


@pytest.mark.parametrize("make", [lambda n: np.arange(n), lambda n: np.arange(n)[::-1], lambda n: np.ones(n)])
def test_keys_that_rise_fall_or_tie_are_ranked_on_a_gpu(make, simulated_gpu):
    """Falling keys make every row a candidate."""
    g = make(1500).astype(np.float32)[:, None].copy()
    for q in (np.ones((1, 1), np.float32), np.ones((9, 1), np.float32)):
        found = ops.topk(simulated_gpu.array(q), simulated_gpu.array(g), k=12, metric="inner_product")
        expected = ops.topk(q, g, k=12, metric="inner_product")
        np.testing.assert_array_equal(found.indices.get(), expected.indices)


def test_few_and_many_queries_find_the_same_on_a_gpu(simulated_gpu):
    """Norms have the same bits on both ways; products here are exact."""
    q, g = whole_numbers(9, 7, 1), features(300, 7, 2)
    q[:, 1:] = 0
    many, few = (ops.topk(simulated_gpu.array(x), simulated_gpu.array(g), k=5) for x in (q, q[:3]))
    np.testing.assert_array_equal(few.indices.get(), many.indices.get()[:3])
    np.testing.assert_array_equal(few.values.get(), many.values.get()[:3])


def test_products_that_would_round_are_our_own_on_a_gpu(simulated_gpu, monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "1")
    monkeypatch.setattr(simulated_gpu.cupy, "matmul", None)
    gpu_equals_cpu(simulated_gpu, (33, 300, 9), "cosine", (7,))


def test_the_choice_of_tf32_is_heeded_and_left_alone():
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        for allowed in (True, False):
            torch.backends.cuda.matmul.allow_tf32 = allowed
            assert products._rounds_to_tf32("torch") == allowed
            assert torch.backends.cuda.matmul.allow_tf32 == allowed
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("schedule", ["forward", "reverse", "random"])
@pytest.mark.parametrize(("shape", "ks"), [((1, 1, 1), (1,)), ((3, 5, 7), (1, 5)), ((10, 140, 33), (9,))], ids=str)
def test_gpu_kernels_pass_the_checker(shape, ks, schedule, checked_gpu, monkeypatch):
    checked_gpu.native.use_schedule(schedule, 2)
    for metric in METRICS:
        gpu_equals_cpu(checked_gpu, shape, metric, ks)
    monkeypatch.setenv("CUPY_TF32", "1")
    gpu_equals_cpu(checked_gpu, shape, "sqeuclidean", ks)


@pytest.mark.parametrize("queries", [2, 9])
def test_gpu_lists_pass_the_checker(queries, small_gpu_blocks, checked_gpu):
    gpu_equals_cpu(checked_gpu, (queries, 600, 3), "sqeuclidean", (7, 130))


@pytest.mark.parametrize("first", [0, 1, 4])
def test_gpu_rows_need_no_alignment(first, checked_gpu):
    """Columns of a wider array, which start on 16 bytes or not, and end anywhere."""
    wide = {name: checked_gpu.array(whole_numbers(n, 24, n)) for name, n in (("q", 5), ("g", 130))}
    q, g = (x[:, first : first + 18] for x in wide.values())
    expected = q.get() @ g.get().T
    bad, norm2 = checked_gpu.array(np.array([-1], np.int64)), checked_gpu.cupy.empty(130, np.float32)
    checked_gpu.native.cuda_row_norms(g, norm2, bad, 0, 0)
    np.testing.assert_array_equal(norm2.get(), (g.get() ** 2).sum(1))
    out = checked_gpu.cupy.empty((5, 140), np.float32)[:, 3:133]
    checked_gpu.native.cuda_products(q, g, out, 0, 0)
    np.testing.assert_array_equal(out.get(), expected)
    out, again = checked_gpu.cupy.empty((5, 140), np.float32)[:, 3:133], checked_gpu.cupy.empty(130, np.float32)
    checked_gpu.native.cuda_products_and_norms(q, g, 0, out, again, bad, 0, 0)
    np.testing.assert_array_equal(out.get(), expected)
    np.testing.assert_array_equal(again.get(), norm2.get())


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e19])
@pytest.mark.parametrize("queries", [2, 9])
def test_simulated_gpu_refuses_unusable_values(queries, bad, small_gpu_blocks, simulated_gpu):
    q, g = np.ones((queries, 40), np.float32), np.ones((700, 40), np.float32)
    g[699, 37] = bad
    calls = (lambda q, g: ops.topk(q, g, k=2), ops.pairwise_distance)
    for call in calls:
        with pytest.raises(ValueError, match=r"g must be finite .* see row 699;"):
            call(simulated_gpu.array(q), simulated_gpu.array(g))
    q[1, 0] = bad
    for call in calls:
        with pytest.raises(ValueError, match=r"q must be finite .* see row 1;"):
            call(simulated_gpu.array(q), simulated_gpu.array(g))


@pytest.mark.gpu
@pytest.mark.skipif(ops.build_info()["cuda_devices"] == 0, reason="no CUDA device")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [*SHAPES, (5, 3000, 515), (8, 20_000, 128), (70, 40_000, 24)], ids=str)
def test_gpu_equals_cpu_on_exact_products(shape, metric):
    q, g = (torch.from_numpy(whole_numbers(n, shape[2], n)) for n in shape[:2])
    np.testing.assert_allclose(
        ops.pairwise_distance(q.cuda(), g.cuda(), metric=metric).cpu(), ops.pairwise_distance(q, g, metric=metric), 1e-6
    )
    for k in (1, 20, 100, 101, 1024, 5000):
        found, expected = ops.topk(q.cuda(), g.cuda(), k=k, metric=metric), ops.topk(q, g, k=k, metric=metric)
        assert found.indices.is_cuda and torch.equal(found.indices.cpu(), expected.indices)
        torch.testing.assert_close(found.values.cpu(), expected.values)


@pytest.mark.gpu
@pytest.mark.skipif(ops.build_info()["cuda_devices"] == 0, reason="no CUDA device")
@pytest.mark.parametrize("shape", [(1, 2500, 4), (33, 300, 9)], ids=str)
def test_lists_go_from_block_to_block_on_a_device(shape, small_gpu_blocks):
    device = SimpleNamespace(array=lambda x: torch.from_numpy(x).cuda(), numpy=lambda x: x.cpu().numpy())
    gpu_equals_cpu(device, shape, "sqeuclidean", (1, 7, 130))


@pytest.mark.gpu
@pytest.mark.skipif(ops.build_info()["cuda_devices"] == 0, reason="no CUDA device")
@pytest.mark.parametrize("queries", [1, 9])
def test_gpu_products_are_exact_where_tf32_is_allowed(queries, monkeypatch):
    """TF32 would round 2,049 and every second gallery row."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    g = torch.arange(4097.0, 7000.0, device="cuda")[:, None]
    found = ops.topk(torch.full((queries, 1), 2049.0, device="cuda"), g, k=50, metric="inner_product")
    assert torch.equal(found.indices, torch.arange(len(g) - 1, len(g) - 51, -1, device="cuda").expand(queries, -1))
    assert torch.equal(found.values[0], 2049 * g.flip(0)[:50, 0])
    assert torch.backends.cuda.matmul.allow_tf32


@pytest.mark.gpu
@pytest.mark.skipif(ops.build_info()["cuda_devices"] == 0, reason="no CUDA device")
def test_gpu_refuses_nan():
    g = torch.ones(500, 8, device="cuda")
    g[499, 3] = float("nan")
    with pytest.raises(ValueError, match=r"g must be finite .* see row 499;"):
        ops.topk(torch.ones(2, 8, device="cuda"), g, k=2)


@pytest.mark.parametrize("queries", [1, 2, 5, 12])
@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_narrow_rows_are_searched_as_they_are_stored(isa: str, dtype: type, queries: int) -> None:
    rng = np.random.default_rng(0)
    stored = rng.standard_normal((300, 37)).astype(np.float32)
    stored[:, 0] = rng.choice([6e-8, 3.05e-5, 6.1e-5, -2e-6, 0.0], 300)  # subnormal in 16 bits
    stored = (stored * 30).astype(dtype) if dtype is np.int8 else stored.astype(dtype)
    q = rng.standard_normal((queries, 37), dtype=np.float32)
    for metric in ("cosine", "sqeuclidean", "inner_product"):
        found, expected = (ops.topk(q, g, k=9, metric=metric) for g in (stored, stored.astype(np.float32)))
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.values, expected.values)


def test_narrow_rows_that_are_not_finite_are_refused() -> None:
    stored = np.ones((70, 40), np.float16)
    for bad in (np.inf, np.nan):
        stored[66, 3] = bad
        with pytest.raises(ValueError, match="66"):
            ops.topk(np.ones((1, 40), np.float32), stored, k=1)
