"""unrealperson.ops.metrics against rankings worked out by hand and by a plain loop."""

from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import ISAS, misaligned, read_only, whole_numbers

from unrealperson import ops
from unrealperson.ops import _native, metrics, reference

PER_QUERY = ("query", "matches", "first", "precision", "inverse", "hits", "values")


def labels(q: int, g: int, seed: int, *, people: int = 5, cameras: int = 3) -> dict[str, np.ndarray]:
    """Random labels with unknown identities and cameras among them; a query of each kind that can be scored."""
    rng = np.random.default_rng(seed)
    drawn = {
        "query_pid": rng.integers(-1, people, q),
        "gallery_pid": rng.integers(-1, people, g),
        "query_camera": rng.integers(-1, cameras, q),
        "gallery_camera": rng.integers(-1, cameras, g),
    }
    drawn["query_pid"][0] = drawn["gallery_pid"][-1] = 1
    drawn["query_camera"][0], drawn["gallery_camera"][-1] = 0, 1
    return drawn


def assert_same(found: ops.CmcMap, expected: ops.CmcMap) -> None:
    for name, value, wanted in zip(ops.CmcMap._fields, found, expected, strict=True):
        if isinstance(wanted, np.ndarray):
            np.testing.assert_array_equal(value, wanted, err_msg=name)
        else:
            assert value == wanted, name


def assert_ranked(found: ops.CmcMap, distance: np.ndarray, *, hits: int = 10, **arguments) -> None:
    """Compare with the plain loop over `distance`."""
    expected = reference.cmc_map(distance, **arguments)
    assert found.query.tolist() == list(expected)
    for place, (kept, ranks) in enumerate(expected.values()):
        assert found.first[place] == ranks[0] and found.matches[place] == len(ranks)
        assert found.inverse[place] == len(ranks) / ranks[-1]
        assert found.precision[place] == sum(i / rank for i, rank in enumerate(ranks, 1)) / len(ranks)
        width = min(hits, distance.shape[1])
        near = kept[:width]
        assert found.hits[place].tolist() == near + [-1] * (width - len(near))
    firsts = np.array([ranks[0] for _, ranks in expected.values()])
    assert found.cmc.tolist() == [np.mean(firsts <= rank) for rank in range(1, len(found.cmc) + 1)]
    assert found.map == found.precision.mean() and found.minp == found.inverse.mean()
    assert sum(found.skipped.values()) == len(distance) - len(expected)


# Three queries of persons 1, 2 and 3 under camera 1.
HAND = dict(
    query_pid=np.array([1, 2, 3]),
    gallery_pid=np.array([1, 2, 1, 0, -1]),
    query_camera=np.array([1, 1, 1]),
    gallery_camera=np.array([2, 2, 1, 2, 2]),
)
HAND_DISTANCE = np.array(
    [
        [0.3, 0.2, 0.1, 0.4, 0.0],  # row 2 is the same camera, row 4 junk: 1, 0, 3 remain and the match is second
        [0.3, 0.5, 0.2, 0.4, 0.1],  # 2, 0, 3, 1 remain and the match is fourth
        [0.1, 0.2, 0.3, 0.4, 0.5],  # nobody of this identity
    ],
    np.float32,
)


@pytest.mark.parametrize("similarity", [False, True])
@pytest.mark.parametrize("protocol", get_args(metrics.Protocol))
def test_three_by_five_worked_out_by_hand(protocol, similarity):
    matrix = -HAND_DISTANCE if similarity else HAND_DISTANCE
    found = ops.cmc_map_of_matrix(matrix, **HAND, protocol=protocol, similarity=similarity, max_rank=4, hits=4)
    assert found.query.tolist() == [0, 1] and found.matches.tolist() == [1, 1]
    assert found.first.tolist() == [2, 4]
    assert found.precision.tolist() == [0.5, 0.25] and found.inverse.tolist() == [0.5, 0.25]
    assert found.cmc.tolist() == [0, 0.5, 0.5, 1]
    assert (found.map, found.minp) == (0.375, 0.375)
    assert found.hits.tolist() == [[1, 0, 3, -1], [2, 0, 3, 1]]
    np.testing.assert_array_equal(
        -found.values if similarity else found.values, np.float32([[0.2, 0.3, 0.4, np.inf], [0.2, 0.3, 0.4, 0.5]])
    )
    assert found.skipped == {"no match": 1}


def test_average_precision_is_not_interpolated():
    found = ops.cmc_map_of_matrix(
        np.arange(6, dtype=np.float32)[None],
        query_pid=np.array([7]),
        gallery_pid=np.array([1, 7, 2, 7, 7, 3]),
    )
    assert found.first.tolist() == [2] and found.inverse.tolist() == [3 / 5]
    assert found.precision.tolist() == pytest.approx([(1 / 2 + 2 / 4 + 3 / 5) / 3])


@pytest.mark.parametrize(
    ("change", "first", "skipped"),
    [
        (dict(), [2, 4], {"no match": 1}),
        (dict(query_camera=None, gallery_camera=None), [1, 4], {"no match": 1}),
        (dict(gallery_camera=np.array([2, -1, -1, -1, 2])), [2], {"no match": 2}),
        (dict(query_camera=np.array([-1, 1, 1])), [4], {"camera unknown": 1, "no match": 1}),
        (dict(query_pid=np.array([1, -1, 3])), [2], {"identity unknown": 1, "no match": 1}),
        (dict(query_pid=np.array([1, 0, 3])), [2, 3], {"no match": 1}),
        (dict(query_pid=np.array([1, 0, 3]), protocol="market1501"), [2], {"distractor": 1, "no match": 1}),
        (dict(query_pid=np.array([-1, 2, 3]), query_camera=np.array([-1, 1, 1])), [4],
         {"identity unknown": 1, "no match": 1}),
    ],
    ids=["as it is", "no cameras", "unknown gallery cameras", "unknown query camera", "unknown identity",
         "identity 0 is a person", "identity 0 is a distractor", "a query is counted once"],
)  # fmt: skip
def test_who_is_asked_and_who_is_ignored(change, first, skipped):
    found = ops.cmc_map_of_matrix(HAND_DISTANCE, **(HAND | change))
    assert found.first.tolist() == first and found.skipped == skipped


def test_equal_distances_rank_by_gallery_row(isa):
    pid = np.tile([2, 1], 100)
    found = ops.cmc_map_of_matrix(np.zeros((1, 200), np.float32), query_pid=np.array([1]), gallery_pid=pid, hits=200)
    assert found.hits.tolist() == [list(range(200))]
    assert found.first[0] == 2 and found.inverse[0] == 0.5


@settings(max_examples=150, deadline=None)
@given(data=st.data(), metric=st.sampled_from(get_args(ops.Metric)), protocol=st.sampled_from(["known", "market1501"]))
def test_scores_equal_the_plain_loop_by_hypothesis(data, metric, protocol):
    q, g, d = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 90)), data.draw(st.integers(1, 4))
    seed, hits = data.draw(st.integers(0, 2**31)), data.draw(st.integers(0, 100))
    arguments = labels(q, g, seed, people=data.draw(st.integers(2, 8)), cameras=data.draw(st.integers(2, 4)))
    if data.draw(st.booleans()):
        arguments |= dict(query_camera=None, gallery_camera=None)
    x, y = whole_numbers(q, d, seed), whole_numbers(g, d, seed + 1)
    # The documented keys, exact here but for the cosine's one rounding.
    keys = {"sqeuclidean": (y**2).sum(1) - 2 * x @ y.T, "inner_product": -(x @ y.T)}
    length = np.sqrt((y**2).sum(1, dtype=np.float32))
    keys["cosine"] = -(x @ y.T) * np.divide(np.float32(1), length, out=np.zeros_like(length), where=length > 0)
    found = ops.cmc_map(
        x,
        y,
        **arguments,
        metric=metric,
        protocol=protocol,
        hits=hits,
        max_rank=7,
        num_threads=data.draw(st.integers(0, 3)),
    )
    assert_ranked(found, keys[metric], hits=hits, **arguments, protocol=protocol)
    distance = ops.pairwise_distance(x, y, metric=metric)
    near = np.take_along_axis(distance[found.query], np.maximum(found.hits, 0), axis=1)
    missing = -np.inf if metric == "inner_product" else np.inf
    np.testing.assert_array_equal(found.values, np.where(found.hits < 0, missing, near))
    if metric != "cosine":  # whose distance rounds once more than its key
        assert_same(
            ops.cmc_map_of_matrix(
                distance, **arguments, similarity=metric == "inner_product", protocol=protocol, hits=hits, max_rank=7
            ),
            found,
        )


@pytest.mark.parametrize("matches", [1, metrics.UNKNOWN + 2, 511, 512, 513, 2000])
def test_many_matches_rank_as_few_do(matches, isa):
    """Beyond 512 matches of a query, the ranks are found by another route."""
    rng = np.random.default_rng(matches)
    arguments = dict(query_pid=np.array([1, 1]), gallery_pid=rng.permutation(np.repeat([1, 2], [matches, 900])))
    distance = rng.integers(-30, 30, (2, matches + 900)).astype(np.float32)
    assert_ranked(ops.cmc_map_of_matrix(distance, **arguments), distance, **arguments)


def test_instruction_sets_and_threads_give_the_same_bits():
    rng = np.random.default_rng(3)
    q, g = rng.normal(size=(300, 19)).astype(np.float32), rng.normal(size=(1111, 19)).astype(np.float32)
    arguments = labels(300, 1111, 4, people=30)
    matrix = ops.pairwise_distance(q, g)
    before = ops.build_info()["isa"]
    of_features, of_matrix = [], []
    for isa in ISAS:
        _native.load().use_isa(isa)
        for threads in (1, 2, 5):
            of_features.append(ops.cmc_map(q, g, **arguments, num_threads=threads))
            of_matrix.append(ops.cmc_map_of_matrix(matrix, **arguments, num_threads=threads))
    _native.load().use_isa(before)
    for found in of_matrix[1:]:
        assert_same(found, of_matrix[0])
    for found in of_features[1:]:
        assert_same(found, of_features[0])


def test_blocks_and_left_out_queries_do_not_change_a_score(monkeypatch):
    q, g = whole_numbers(150, 6, 1), whole_numbers(400, 6, 2)
    arguments = labels(150, 400, 5, people=40)
    whole = ops.cmc_map(q, g, **arguments)
    monkeypatch.setattr(metrics, "_LEAST_ROWS", 7)
    monkeypatch.setattr(metrics, "_MOST_ROWS", 7)
    assert_same(ops.cmc_map(q, g, **arguments), whole)
    assert 0 < len(whole.query) < 150


def test_the_gallery_is_multiplied_by_blocks_of_queries_that_are_scored(monkeypatch):
    sizes = []
    multiplier = metrics.products.multiplier

    def spy(like):
        multiply = multiplier(like)
        return lambda a, b, out: (sizes.append(out.shape), multiply(a, b, out))

    monkeypatch.setattr(metrics.products, "multiplier", spy)
    pid = np.arange(700) % 70
    ops.cmc_map(
        whole_numbers(700, 4, 1),
        whole_numbers(90, 4, 2),
        query_pid=np.where(pid < 50, pid, -1),
        gallery_pid=np.arange(90),
    )
    assert sizes == [(90, 256), (90, 244)]
    assert metrics._rows_per_block(15_913) == 256 and metrics._rows_per_block(10_000_000) == 64


LAYOUTS = {
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "transposed": np.asfortranarray,
    "misaligned": misaligned,
    "read-only": read_only,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "other widths": lambda x: x.astype(np.float64 if x.dtype.kind == "f" else np.int16),
    "float16": lambda x: x.astype(np.float16 if x.dtype.kind == "f" else np.uint8 if x.min() >= 0 else np.int8),
    "torch": torch.from_numpy,
    "torch every second": lambda x: torch.from_numpy(np.repeat(x, 2, axis=-1))[..., ::2],
    "torch with gradient": lambda x: torch.from_numpy(x.copy()).requires_grad_(x.dtype.kind == "f"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_kinds_give_one_result(layout):
    change = LAYOUTS[layout]
    q, g, arguments = whole_numbers(9, 5, 1), whole_numbers(70, 5, 2), labels(9, 70, 3)
    matrix = ops.pairwise_distance(q, g)
    changed = {name: change(value) for name, value in arguments.items()}
    assert_same(ops.cmc_map(change(q), change(g), **changed), ops.cmc_map(q, g, **arguments))
    assert_same(ops.cmc_map_of_matrix(change(matrix), **changed), ops.cmc_map_of_matrix(matrix, **arguments))


GOOD = dict(q=np.eye(3, 2, dtype=np.float32), g=np.eye(5, 2, dtype=np.float32), **HAND)
BAD_CALLS = [
    (dict(query_pid=np.array([1, 2])), "query_pid must be integers [3] that fit int64, got int64 [2]"),
    (dict(gallery_pid=np.ones(5)), "gallery_pid must be integers [5] that fit int64, got float64 [5]"),
    (dict(query_camera=np.ones(3, np.uint64)), "query_camera must be integers [3] that fit int64, got uint64 [3]"),
    (dict(gallery_camera=np.ones(5, bool)), "gallery_camera must be integers [5] that fit int64, got bool [5]"),
    (dict(gallery_pid=[1, 2, 3, 4, 5]), "gallery_pid must be a numpy array, torch tensor or cupy array, got list"),
    (dict(query_camera=None), "query_camera and gallery_camera must both be given or both be None"),
    (dict(protocol="duke"), "protocol must be one of known, market1501, got 'duke'"),
    (dict(max_rank=0), "max_rank must be an integer of 1 or more, got 0"),
    (dict(hits=-1), "hits must be an integer of 0 or more, got -1"),
    (dict(num_threads=-1), "num_threads must be an integer of 0 or more, got -1"),
    (dict(query_pid=np.array([8, -1, 3])),
     "none of the 2 queries has an image of the same identity under another camera in the gallery; scoring needs "
     "people seen by at least two cameras"),
    (dict(query_pid=np.array([8, 9, 3]), query_camera=None, gallery_camera=None),
     "none of the 3 queries has an image of the same identity in the gallery; scoring needs people seen on both sides"),
    (dict(q=np.zeros((0, 2), np.float32), query_pid=np.zeros(0, int), query_camera=np.zeros(0, int)),
     "none of the 0 queries has"),
    (dict(g=np.zeros((0, 2), np.float32), gallery_pid=np.zeros(0, int), gallery_camera=np.zeros(0, int)),
     "the gallery must hold at least one row, got none"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD_CALLS, ids=[message for _, message in BAD_CALLS])
def test_bad_input_is_named(change, message):
    arguments = GOOD | change
    with pytest.raises(ValueError, match=re.escape(message)):
        ops.cmc_map(**arguments)
    matrix = np.ones((len(arguments.pop("q")), len(arguments.pop("g"))), np.float32)
    with pytest.raises(ValueError, match=re.escape(message)):
        ops.cmc_map_of_matrix(matrix, **arguments)


def test_what_is_wrong_with_numbers_is_named():
    with pytest.raises(ValueError, match=r"metric must be one of .*, got 'l2'"):
        ops.cmc_map(**GOOD | dict(metric="l2"))
    with pytest.raises(ValueError, match=r"matrix must be \[q, g\], got shape \(5,\)"):
        ops.cmc_map_of_matrix(HAND_DISTANCE[0], **HAND)
    with pytest.raises(ValueError, match=r"matrix must be float32, float16 or float64, got int64"):
        ops.cmc_map_of_matrix(HAND_DISTANCE.astype(np.int64), **HAND)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 4])
def test_unusable_values_name_their_row(bad, column, isa):
    matrix = HAND_DISTANCE.copy()
    matrix[1, column] = bad
    with pytest.raises(ValueError, match=r"distances must be finite, see row 1; got NaN or Inf"):
        ops.cmc_map_of_matrix(matrix, **HAND)
    matrix = np.repeat(matrix, 50, axis=1)  # columns beyond a whole number of vectors, and within
    wide = {name: np.repeat(value, 50) if name.startswith("gallery") else value for name, value in HAND.items()}
    with pytest.raises(ValueError, match=r"see row 1;"):
        ops.cmc_map_of_matrix(matrix, **wide)
    features = GOOD | dict(g=GOOD["g"].copy())
    features["g"][3, 1] = bad
    with pytest.raises(ValueError, match=r"g must be finite .* see row 3;"):
        ops.cmc_map(**features)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("pooling", get_args(metrics.Pooling))
def test_multi_query_pools_the_images_of_each_identity_and_camera(pooling, kind):
    x = np.array([[1, 8], [2, 2], [3, 4], [5, 5], [7, 7], [9, 9]], np.float32)
    pid, camera = np.array([2, 1, 2, -1, 2, 1]), np.array([1, 1, 1, 1, 3, -1])
    pooled = ops.multi_query(kind(x), pid=pid, camera=camera, pooling=pooling)
    assert pooled.pid.tolist() == [1, 2, 2] and pooled.camera.tolist() == [1, 1, 3]
    both = [2.0, 6.0] if pooling == "mean" else [3.0, 8.0]
    assert pooled.features.tolist() == [[2, 2], both, [7, 7]]
    assert type(pooled.features) is type(kind(x))


def test_multi_queries_are_scored_like_single_ones():
    rng = np.random.default_rng(0)
    pid, camera = np.repeat(np.arange(20), 8), np.tile(np.repeat([1, 2], 4), 20)
    x = (rng.normal(size=(20, 6))[pid] + 2 * rng.normal(size=(160, 6))).astype(np.float32)
    gallery = dict(gallery_pid=pid, gallery_camera=camera, metric="cosine")
    pooled = ops.multi_query(x, pid=pid, camera=camera)
    single = ops.cmc_map(x, x, query_pid=pid, query_camera=camera, **gallery)
    multiple = ops.cmc_map(pooled.features, x, query_pid=pooled.pid, query_camera=pooled.camera, **gallery)
    assert len(single.query) == 160 and len(multiple.query) == 40
    assert multiple.map > single.map


def test_multi_query_refuses_what_it_cannot_pool():
    x, ones = np.ones((2, 3), np.float32), np.ones(2, int)
    with pytest.raises(ValueError, match="pooling must be one of mean, max, got 'sum'"):
        ops.multi_query(x, pid=ones, camera=ones, pooling="sum")
    with pytest.raises(ValueError, match="none of the 2 images has a known identity and camera"):
        ops.multi_query(x, pid=ones, camera=-ones)
    with pytest.raises(ValueError, match=r"pid must be integers \[2\]"):
        ops.multi_query(x, pid=np.ones(3, int), camera=ones)


def gpu_equals_cpu(array) -> None:
    """Scores of arrays that `array` puts on a GPU, labels too; some of the queries are left out."""
    q, g, arguments = whole_numbers(40, 5, 1), whole_numbers(130, 5, 2), labels(40, 130, 3)
    on_gpu = {name: array(value) for name, value in arguments.items()}
    for metric in get_args(ops.Metric):
        assert_same(
            ops.cmc_map(array(q), array(g), **on_gpu, metric=metric), ops.cmc_map(q, g, **arguments, metric=metric)
        )
    matrix = ops.pairwise_distance(q, g)
    assert_same(ops.cmc_map_of_matrix(array(matrix), **on_gpu), ops.cmc_map_of_matrix(matrix, **arguments))
    x, pid, camera = g, arguments["gallery_pid"], arguments["gallery_camera"]
    for pooling in get_args(metrics.Pooling):
        pooled = ops.multi_query(array(x), pid=array(pid), camera=array(camera), pooling=pooling)
        expected = ops.multi_query(x, pid=pid, camera=camera, pooling=pooling)
        assert type(pooled.features) is type(array(x)) and pooled.pid.tolist() == expected.pid.tolist()
        np.testing.assert_allclose(metrics.arrays.on_host(pooled.features), expected.features, rtol=1e-6)


def test_simulated_gpu_equals_cpu(simulated_gpu):
    gpu_equals_cpu(simulated_gpu.array)


@pytest.mark.gpu
@pytest.mark.skipif(ops.build_info()["cuda_devices"] == 0, reason="no CUDA device")
def test_gpu_equals_cpu():
    gpu_equals_cpu(lambda x: torch.from_numpy(x).cuda())
