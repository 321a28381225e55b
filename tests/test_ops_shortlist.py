"""Integer bounds with float32 keys (unrealperson.ops.shortlist): always the nearest rows, whatever the data."""

from __future__ import annotations

import threading
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import ISAS, whole_numbers

from unrealperson import ops
from unrealperson.ops import _native

METRICS = get_args(ops.Metric)
INTEGERS = ("int8", "int16")


def unit(n: int, d: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_our_products(q: np.ndarray, g: np.ndarray, k: int, metric: str) -> ops.TopK:
    """All keys from the float32 product that integer searches decide by: up to 8 queries a call take no other."""
    parts = [ops.topk(q[i : i + 8], g, k=k, metric=metric, precision="float32") for i in range(0, len(q), 8)]
    return ops.TopK(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def assert_same(found: ops.TopK, expected: ops.TopK) -> None:
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("precision", INTEGERS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (7, 300, 33, 5), (520, 2100, 16, 10), (20, 700, 65, 690)], ids=str)
def test_exact_products_give_the_same_as_float32(shape, precision, metric, isa):
    q, g, k = whole_numbers(shape[0], shape[2], 1), whole_numbers(shape[1], shape[2], 2), shape[3]
    expected = ops.topk(q, g, k=k, metric=metric, precision="float32")
    assert_same(ops.topk(q, g, k=k, metric=metric, precision=precision), expected)
    assert_same(ops.topk(q, ops.prepare(g, precision=precision), k=k, metric=metric), expected)


BASE = unit(1500, 96, 1)
GALLERIES = {
    "gaussian": BASE,
    "all equal": np.tile(BASE[:1], (1500, 1)),
    "near duplicates": np.tile(BASE[:30], (50, 1)) + 1e-4 * unit(1500, 96, 2),
    "zeros": np.zeros_like(BASE),
    "half zeros": BASE * (np.arange(1500) % 2)[:, None].astype(np.float32),
    "outlier component": np.where(np.arange(96) == 7, np.float32(1000), BASE),
    "outlier row": np.vstack([BASE[:-1], BASE[-1:] * np.float32(1e18)]),
    "longest": BASE * np.float32(8e18),
    "denormal": BASE * np.float32(1e-40),
    "squares underflow": BASE * np.float32(1e-25),
    "many scales": BASE * np.logspace(-30, 10, 1500, dtype=np.float32)[:, None],
    "rectified": np.maximum(BASE - 0.1, 0),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("precision", INTEGERS)
@pytest.mark.parametrize("name", GALLERIES)
def test_no_neighbour_is_lost_whatever_the_data(name, precision, metric):
    g = GALLERIES[name].astype(np.float32)
    q = np.vstack([unit(20, 96, 3), g[:20], np.zeros((1, 96), np.float32), np.float32(1e-42) * unit(1, 96, 4)])
    found = ops.topk(q, g, k=13, metric=metric, precision=precision)
    assert_same(found, by_our_products(q, g, 13, metric))
    if metric == "sqeuclidean":
        itself = ops.topk(g, g, k=13, precision=precision)
        assert_same(ops.TopK(*(x[:40] for x in itself)), by_our_products(g[:40], g, 13, metric))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31), d=st.integers(1, 70), k=st.integers(1, 60), spread=st.floats(-18, 8),
    metric=st.sampled_from(METRICS), precision=st.sampled_from(INTEGERS), threads=st.integers(0, 3),
)  # fmt: skip
def test_no_neighbour_is_lost_by_hypothesis(seed, d, k, spread, metric, precision, threads):
    rng = np.random.default_rng(seed)
    q, g = (
        (unit(n, d, seed + n) * 10 ** (spread * rng.random((n, 1)))).astype(np.float32)
        for n in (int(rng.integers(1, 20)), 500)
    )
    found = ops.topk(q, g, k=k, metric=metric, precision=precision, num_threads=threads)
    assert_same(found, by_our_products(q, g, k, metric))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("precision", INTEGERS)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (70, 70), (767, 5), (2000, 21)])
def test_a_set_against_itself_gives_what_two_sets_give(n, k, precision, metric):
    for x in (whole_numbers(n, 24, 5), unit(n, 24, 6)):
        itself = ops.topk(x, x, k=k, metric=metric, precision=precision)
        assert_same(itself, ops.topk(x, x.copy(), k=k, metric=metric, precision=precision))


@pytest.mark.parametrize("precision", INTEGERS)
def test_threads_and_instruction_paths_give_the_same_bits(precision):
    q, g = unit(40, 130, 7), unit(5000, 130, 8)
    before = ops.build_info()["isa"]
    results = []
    for isa in ISAS:
        _native.load().use_isa(isa)
        results += [ops.topk(q, g, k=25, precision=precision, num_threads=n) for n in (1, 2, 5)]
    _native.load().use_isa(before)
    for result in results[1:]:
        assert_same(result, results[0])


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_prepared_gallery_serves_every_metric_and_thread_at_once(kind):
    q, g = kind(unit(60, 64, 9)), kind(unit(4000, 64, 10))
    prepared = ops.prepare(g)
    assert len(prepared) == 4000 and np.shares_memory(np.asarray(prepared.features), np.asarray(g))
    expected = {metric: ops.topk(q, g, k=7, metric=metric, precision=prepared.precision) for metric in METRICS}
    found = {}
    callers = [
        threading.Thread(target=lambda m=m: found.update({m: ops.topk(q, prepared, k=7, metric=m)})) for m in METRICS
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for metric in METRICS:
        assert type(found[metric].indices) is type(q)
        assert_same(found[metric], expected[metric])
    assert_same(ops.topk(g, prepared, k=7), ops.topk(g, g, k=7, precision=prepared.precision))


def test_bounds_that_tell_nothing_leave_the_search_to_float32(monkeypatch):
    searched = []
    search = ops.distance._search
    monkeypatch.setattr(ops.distance, "_search", lambda *arguments: (searched.append(1), search(*arguments)))
    q = unit(30, 64, 11)
    equal, different = np.ones((20000, 64), np.float32), unit(20000, 64, 12)
    for g, k, expected in ((equal, 10, 1), (different, 10, 0), (different, 100, 1)):
        searched.clear()
        ops.topk(q, ops.prepare(g, precision="int16"), k=k)
        assert len(searched) == expected


@pytest.mark.parametrize("rows", [0, 3])
def test_empty_sides(rows):
    q, none = np.ones((rows, 3), np.float32), np.ones((0, 3), np.float32)
    assert ops.topk(q, ops.prepare(none), k=3).indices.shape == (rows, 0)
    assert ops.topk(none, ops.prepare(np.ones((5, 3), np.float32)), k=3).values.shape == (0, 3)


GOOD = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.topk(GOOD, GOOD, k=1, precision="int4"), "one of float32, int8, int16, got 'int4'"),
        (lambda: ops.prepare(GOOD, precision="float32"), 'precision must be "int8" or "int16" to prepare'),
        (lambda: ops.prepare(np.ones((2, 65537), np.float32)), "1 to 65536 dimensions to be prepared, got 65537"),
        (lambda: ops.prepare(np.full((70, 3), np.nan, np.float32)), "g must be finite .* see row 0;"),
        (lambda: ops.prepare(GOOD[0]), r"g must be \[n, d\]"),
        (lambda: ops.topk(np.ones((1, 2), np.float32), ops.prepare(GOOD), k=1), "one number of dimensions"),
        (lambda: ops.topk(torch.ones(1, 3), ops.prepare(GOOD), k=1), "one kind, got torch and numpy"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
