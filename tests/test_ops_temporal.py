"""unrealperson.ops.temporal and the model it looks up, against float64, on each instruction path and awkward layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import ISAS, misaligned, read_only

from unrealperson import ops
from unrealperson.data.passages import temporal_distribution
from unrealperson.ops import _native, reference, temporal

ABSOLUTE, RELATIVE = 3e-7, 5e-7
SHAPES = [(1, 1), (1, 700), (3, 17), (40, 513), (520, 90), (5, 9000)]
CAMERAS, BINS, BIN_FRAMES = 3, 40, 25


def model(seed: int = 0) -> ops.TemporalModel:
    table = np.random.default_rng(seed).random((CAMERAS, CAMERAS, BINS), np.float32) ** 4
    return ops.TemporalModel(table / table.sum(2, keepdims=True), BIN_FRAMES)


def seen(queries: int, gallery: int, seed: int = 1, start: int = 0) -> dict[str, np.ndarray]:
    """Cameras and frames of both sides: some unknown, some gaps beyond the table, many equal."""
    rng = np.random.default_rng(seed)
    sides = {}
    for side, n in (("query", queries), ("gallery", gallery)):
        frame = start + rng.integers(0, 2 * BINS * BIN_FRAMES, n)
        sides[f"{side}_camera"] = rng.integers(-1, CAMERAS, n)
        sides[f"{side}_frame"] = np.where(rng.random(n) < 0.1, -1, frame)
    return sides


def similarities(queries: int, gallery: int, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (queries, gallery)).astype(np.float32)


def unit(n: int, d: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def exact(similarity: np.ndarray, known: ops.TemporalModel, sides: dict, *parameters: float) -> np.ndarray:
    query, gallery = ((sides[f"{side}_camera"], sides[f"{side}_frame"]) for side in ("query", "gallery"))
    table = np.asarray(known.probability, np.float64)
    chosen = (parameters,) if parameters else ()
    return reference.joint_similarity(similarity, table, known.bin_frames, query, gallery, *chosen)


def whole(**sides: list[int]) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in sides.items()}


def test_hand_made_example():
    table = np.zeros((2, 2, 3), np.float32)
    table[1, 0] = [0.5, 0.25, 0.25]
    table[0, 1] = [0.0, 1.0, 0.0]
    sides = whole(
        query_camera=[0, 1, -1], query_frame=[100, 100, 5], gallery_camera=[1, 0, 1], gallery_frame=[100, 81, 400]
    )
    p = [
        [0.5, 0, 0],  # at once: the gallery row counts as later; camera 0 after 0, never; 300 frames: beyond the table
        [0, 0.25, 0],  # camera 1 after camera 1, never; camera 1 at 19 frames after camera 0: bin 1; beyond the table
        [1 / 3, 1 / 3, 1 / 3],  # unknown camera
    ]
    similarity = np.full((3, 3), 0.5, np.float32)
    expected = 1 - 1 / (1 + np.exp(-2.5)) / (1 + 2 * np.exp(-5 * np.array(p)))
    found = ops.joint_similarity(similarity, ops.TemporalModel(table, 10), **sides)
    np.testing.assert_allclose(found, expected, atol=ABSOLUTE)
    nearest = ops.joint_topk(similarity, ops.TemporalModel(table, 10), k=2, **sides)
    assert nearest.indices.tolist() == [[0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_distances_match_float64(shape, isa):
    similarity, sides = similarities(*shape), seen(*shape)
    found = ops.joint_similarity(similarity, model(), **sides)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact(similarity, model(), sides), atol=ABSOLUTE, rtol=RELATIVE)


def key_order(similarity: np.ndarray, sides: dict) -> np.ndarray:
    """Order by the float32 key, taken from the native module itself."""
    fusion = temporal._Fusion(
        pairs := temporal._Visual(similarity),
        model(),
        (sides["query_camera"], sides["query_frame"]),
        (sides["gallery_camera"], sides["gallery_frame"]),
        (1.0, 5.0, 2.0, 5.0),
        0,
    )
    keys = np.empty_like(similarity)
    fusion.fuse(similarity, *(slice(0, n) for n in pairs.shape), True, keys)
    return np.argsort(keys, axis=1, kind="stable")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("k", [1, 10, 5000])
def test_topk_is_the_stable_order_of_the_key(shape, k, isa):
    similarity, sides = np.round(similarities(*shape), 1), seen(*shape)
    found = ops.joint_topk(similarity, model(), k=k, **sides)
    matrix = ops.joint_similarity(similarity, model(), **sides)
    kept = min(k, shape[1])
    assert found.indices.shape == found.values.shape == (shape[0], kept)
    assert found.indices.dtype == np.int64 and found.values.dtype == np.float32
    np.testing.assert_array_equal(found.indices, key_order(similarity, sides)[:, :kept])
    np.testing.assert_array_equal(found.values, np.take_along_axis(matrix, found.indices, axis=1))


def test_the_key_separates_what_the_distance_rounds_together():
    similarity = np.array([[np.nextafter(np.float32(0.9), np.float32(0)), 0.9]], np.float32)
    sides = whole(query_camera=[0], query_frame=[50], gallery_camera=[1, 1], gallery_frame=[9, 9])
    distance = ops.joint_similarity(similarity, model(), **sides)
    assert distance[0, 0] == distance[0, 1]
    assert ops.joint_topk(similarity, model(), k=1, **sides).indices.tolist() == [[1]]


def test_every_instruction_path_and_thread_count_gives_the_same_bits():
    q, g, sides = unit(70, 33, 5), unit(5000, 33, 6), seen(70, 5000)
    similarity = q @ g.T
    before, results = ops.build_info()["isa"], []
    for name in ISAS:
        _native.load().use_isa(name)
        for threads in (1, 2, 3):
            matrix = ops.joint_similarity(similarity, model(), num_threads=threads, **sides)
            results.append((matrix, *ops.joint_topk(similarity, model(), k=50, num_threads=threads, **sides)))
    _native.load().use_isa(before)
    for result in results[1:]:
        for found, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), k=st.integers(1, 40), threads=st.integers(0, 3))
def test_topk_from_features_agrees_with_float64_by_hypothesis(data, k, threads):
    shape = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 80))
    seed = data.draw(st.integers(0, 2**31))
    parameters = tuple(data.draw(st.sampled_from([0.25, 1.0, 2.0, 5.0, 20.0])) for _ in range(4))
    names = ("visual_weight", "visual_rate", "temporal_weight", "temporal_rate")
    sides, chosen = seen(*shape, seed), dict(zip(names, parameters, strict=True))
    q, g = unit(shape[0], 9, seed), unit(shape[1], 9, seed + 1)
    expected = exact(q @ g.T, model(seed), sides, *parameters)
    found = ops.joint_topk((q, g), model(seed), k=k, num_threads=threads, **chosen, **sides)
    matrix = ops.joint_similarity((q, g), model(seed), num_threads=threads, **chosen, **sides)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    np.testing.assert_allclose(found.values, np.sort(expected, axis=1)[:, :k], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(expected, found.indices, axis=1), found.values, atol=1e-6)


def test_equal_keys_come_in_gallery_order():
    similarity = np.full((2, 9000), 0.25, np.float32)
    sides = whole(query_camera=[0, 1], query_frame=[7, 8], gallery_camera=[2] * 9000, gallery_frame=[30] * 9000)
    found = ops.joint_topk(similarity, model(), k=60, **sides)
    np.testing.assert_array_equal(found.indices, np.tile(np.arange(60), (2, 1)))


@pytest.mark.parametrize("start", [2**31 - 500, 2**40, 2**62])
def test_frames_beyond_32_bits(start):
    start -= start % BIN_FRAMES
    similarity, near, far = similarities(8, 300), seen(8, 300), seen(8, 300, start=start)
    np.testing.assert_array_equal(
        ops.joint_similarity(similarity, model(), **near), ops.joint_similarity(similarity, model(), **far)
    )
    far["gallery_frame"][::2] = 3  # a gap beyond 32 bits, and beyond any table
    np.testing.assert_allclose(
        ops.joint_similarity(similarity, model(), **far), exact(similarity, model(), far), atol=ABSOLUTE
    )


@pytest.mark.parametrize("frames_a_bin", [1, 7, 2**31 - 1])
def test_every_gap_falls_into_its_bin(frames_a_bin):
    """One query amid all gaps around the edges of bins, both ways."""
    table = np.arange(2 * 2 * 5, dtype=np.float32).reshape(2, 2, 5)
    edges = np.arange(-6, 7) * frames_a_bin
    frame = 10 * frames_a_bin + np.concatenate([edges - 1, edges, edges + 1])
    for offset in {0, 1, frames_a_bin // 2, frames_a_bin - 1}:
        sides = dict(
            query_camera=np.array([0]),
            query_frame=np.array([10 * frames_a_bin + offset]),
            gallery_camera=np.ones(len(frame), int),
            gallery_frame=frame + offset,
        )
        similarity, known = np.zeros((1, len(frame)), np.float32), ops.TemporalModel(table / 100, frames_a_bin)
        np.testing.assert_allclose(
            ops.joint_similarity(similarity, known, **sides), exact(similarity, known, sides), atol=ABSOLUTE
        )


@pytest.mark.parametrize("size", [3.0, 20.0, 1e4, 3e38])
def test_similarities_of_any_size_saturate(size):
    similarity, sides = np.array([[-size, size]], np.float32), seen(1, 2)
    found = ops.joint_similarity(similarity, model(), **sides)
    np.testing.assert_allclose(found, exact(similarity, model(), sides), atol=ABSOLUTE)


LAYOUTS = {
    "columns of a wider array": lambda x: np.hstack([x, x])[:, : x.shape[1]],
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed rows": lambda x: x[::-1].copy()[::-1],
    "transposed": np.asfortranarray,
    "misaligned": misaligned,
    "read-only": read_only,
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "torch": torch.from_numpy,
    "torch transposed": lambda x: torch.from_numpy(np.ascontiguousarray(x.T)).T,
    "torch bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
    "torch with gradient": lambda x: torch.from_numpy(x.copy()).requires_grad_(),
}
SIDES = {
    "misaligned": misaligned,
    "read-only": read_only,
    "every second": lambda x: np.repeat(x, 2)[::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "int32": lambda x: x.astype(np.int32),
    "int16": lambda x: x.astype(np.int16),
    "big-endian": lambda x: x.astype(">i8"),
    "torch": torch.from_numpy,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_kinds_give_one_result(layout):
    change, sides = LAYOUTS[layout], seen(9, 400)
    similarity = np.round(similarities(9, 400) * 16) / 16
    features = tuple(np.sign(unit(n, 16, n)) / 4 for n in (9, 400))
    kind = torch.Tensor if layout.startswith("torch") else np.ndarray
    for plain, changed in ((similarity, change(similarity)), (features, tuple(map(change, features)))):
        found = ops.joint_similarity(changed, model(), **sides), *ops.joint_topk(changed, model(), k=7, **sides)
        expected = ops.joint_similarity(plain, model(), **sides), *ops.joint_topk(plain, model(), k=7, **sides)
        for x, y in zip(found, expected, strict=True):
            assert isinstance(x, kind)
            np.testing.assert_array_equal(np.asarray(x), y)


@pytest.mark.parametrize("layout", SIDES)
def test_cameras_and_frames_may_lie_anyhow(layout):
    similarity, sides = similarities(9, 400), seen(9, 400)
    changed = {name: SIDES[layout](x) for name, x in sides.items()}
    np.testing.assert_array_equal(
        ops.joint_similarity(similarity, model(), **changed), ops.joint_similarity(similarity, model(), **sides)
    )


@pytest.mark.parametrize("convert", [np.copy, torch.from_numpy], ids=["numpy", "torch"])
def test_out_takes_the_result_and_may_be_the_input(convert):
    similarity, sides = similarities(30, 700), seen(30, 700)
    expected = ops.joint_similarity(similarity, model(), **sides)
    given = convert(similarity.copy())
    wide = convert(np.zeros((30, 900), np.float32))
    assert ops.joint_similarity(given, model(), out=given, **sides) is given
    ops.joint_similarity(convert(similarity.copy()), model(), out=wide[:, 100:800], **sides)
    np.testing.assert_array_equal(np.asarray(given), expected)
    np.testing.assert_array_equal(np.asarray(wide)[:, 100:800], expected)
    assert not np.asarray(wide)[:, :100].any() and not np.asarray(wide)[:, 800:].any()


@pytest.mark.parametrize("queries", [0, 4])
@pytest.mark.parametrize("gallery", [0, 5])
def test_empty_sides(queries, gallery):
    sides = seen(queries, gallery)
    for visual in (similarities(queries, gallery), (unit(queries, 3, 1), unit(gallery, 3, 2))):
        assert ops.joint_similarity(visual, model(), **sides).shape == (queries, gallery)
        assert ops.joint_topk(visual, model(), k=3, **sides).indices.shape == (queries, min(3, gallery))


GOOD = np.full((4, 5), 0.5, np.float32)
FEATURES = unit(4, 6, 1), unit(5, 6, 2)
BAD_CALLS = [
    (dict(visual=GOOD[0]), r"visual must be \[n, d\], got shape \(5,\)"),
    (dict(visual=GOOD.astype(int)), r"visual must be float32, float16 or float64, got int64"),
    (dict(visual=[[1.0]]), r"visual must be a numpy array, torch tensor or cupy array, got list"),
    (dict(visual=(GOOD,)), r"similarities or a pair of features \(q, g\), got 1 arrays"),
    (dict(visual=(FEATURES[0], GOOD)), r"one number of dimensions, got shapes \(4, 6\) and \(4, 5\)"),
    (dict(visual=(FEATURES[0], torch.ones(5, 6))), r"one kind, got numpy and torch"),
    (dict(visual=torch.ones(4, 5, device="meta")), r"cpu or cuda, got meta"),
    (dict(query_camera=np.zeros(3, int)), r"query_camera must be integers \[4\] that fit int64, got int64 \[3\]"),
    (dict(gallery_frame=np.zeros(5)), r"gallery_frame must be integers \[5\] that fit int64, got float64 \[5\]"),
    (dict(gallery_camera=np.array([0, 1, 3, 0, 0])), r"gallery_camera must be below the model's 3, got 3 in row 2"),
    (dict(query_frame=np.array([0, -2, 0, 0])), r"query_frame must be 0 or more, or -1 where unknown, got -2 in row 1"),
    (dict(query_frame=np.full(4, 2**63, np.uint64)), r"query_frame must be integers \[4\] that fit int64, got uint64"),
    (dict(model=ops.TemporalModel(np.ones((2, 3, 4)))), r"\[cameras, cameras, bins\], got shape \(2, 3, 4\)"),
    (dict(model=ops.TemporalModel(np.ones((3, 3, 4), int))), r"finite floats of 0 or more"),
    (dict(model=ops.TemporalModel(np.full((3, 3, 4), np.nan))), r"finite floats of 0 or more"),
    (dict(model=ops.TemporalModel(np.full((3, 3, 4), -0.1))), r"finite floats of 0 or more"),
    (
        dict(model=ops.TemporalModel(np.ones((3, 3, 4)), 0)),
        r"bin_frames must be an integer from 1 to 2147483647, got 0",
    ),
    (dict(visual_rate=0.0), r"visual_rate must lie above 0, to 1e\+06, got 0.0"),
    (dict(temporal_weight=float("nan")), r"temporal_weight must lie above 0"),
    (dict(num_threads=-1), r"num_threads must be an integer of 0 or more, got -1"),
]


def both(message: str, visual=GOOD, model=model(), **arguments) -> None:  # noqa: B008
    for call in (ops.joint_similarity, lambda *a, **b: ops.joint_topk(*a, k=2, **b)):
        with pytest.raises(ValueError, match=message):
            call(visual, model, **(seen(4, 5) | arguments))


@pytest.mark.parametrize(("change", "message"), BAD_CALLS, ids=[message for _, message in BAD_CALLS])
def test_bad_input_is_named(change, message):
    both(message, **change)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_similarities_must_be_finite(bad):
    for place in ((0, 0), (2, 4), (3, 1)):
        visual = GOOD.copy()
        visual[place] = bad
        both(f"similarities must be finite in float32, see row {place[0]};", visual)
        q, g = (x.copy() for x in FEATURES)
        q[place[0], 5] = bad
        both(f"q must be finite, see row {place[0]};", (q, g))
        both(f"g must be finite, see row {place[0]};", (g[:4], np.vstack([q, q])[:5]))
    both("similarities must be finite in float32, see row 0;", (np.full((4, 6), 1e30), np.full((5, 6), 1e30)))


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None])
def test_k_must_be_a_positive_integer(k):
    with pytest.raises(ValueError, match="k must be an integer of 1 or more"):
        ops.joint_topk(GOOD, model(), k=k, **seen(4, 5))


@pytest.mark.parametrize("out", [np.zeros((4, 6), np.float32), GOOD.astype(np.float64), torch.zeros(4, 5)], ids=str)
def test_out_must_fit(out):
    with pytest.raises(ValueError, match="out must be"):
        ops.joint_similarity(GOOD, model(), out=out, **seen(4, 5))
    with pytest.raises((ValueError, BufferError), match=r"read-only|not writable"):
        ops.joint_similarity(GOOD, model(), out=read_only(GOOD), **seen(4, 5))


def test_the_matrix_never_exists_for_topk(monkeypatch):
    sizes = []
    similarity = temporal._Visual.similarity

    def spy(pairs, rows, columns, out):
        sizes.append(out.size)
        return similarity(pairs, rows, columns, out)

    monkeypatch.setattr(temporal._Visual, "similarity", spy)
    monkeypatch.setattr(temporal, "_CPU_BLOCK", (400, 3000))
    ops.joint_topk((unit(700, 8, 1), unit(5000, 8, 2)), model(), k=3, **seen(700, 5000))
    assert len(sizes) == 4 and max(sizes) == 400 * 3000


def test_distribution_of_a_hand_made_walk():
    cluster = np.array([4, 4, 4, 9, 9, 4, -1, 9])
    camera = np.array([0, 0, 1, 1, 0, 0, 0, -1])
    frame = np.array([10, 30, 120, 50, 50, 20, 7, 80])
    found = temporal_distribution(cluster, camera, frame, cameras=3, bin_frames=10, bins=11, sigma=0)
    expected = np.zeros((3, 3, 11))
    expected[1, 0, [0, 10]] = 0.5  # cluster 4: mean 20 to 120; cluster 9: at once, so the higher camera is the later
    expected[0, 0, :3] = 1 / 3  # cluster 4 under camera 0: gaps 0, 10, 20, thrice each
    np.testing.assert_allclose(found.probability, expected, rtol=1e-6)
    assert found.bin_frames == 10 and found.probability.dtype == np.float32
    shorter = temporal_distribution(cluster, camera, frame, cameras=3, bin_frames=10, bins=10, sigma=0)
    assert shorter.probability[1, 0].tolist() == [1.0] + [0.0] * 9  # the gap beyond the table does not count


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 60), cameras=st.integers(1, 5), sigma=st.sampled_from([0, 0.2, 1.5, 50]), seed=st.integers(0))
def test_distribution_agrees_with_pairs_of_visits(n, cameras, sigma, seed):
    rng = np.random.default_rng(seed)
    arrays = rng.integers(0, 6, n), rng.integers(0, cameras, n), rng.integers(0, 900, n)
    size = dict(cameras=cameras, bin_frames=10, bins=70)
    found = temporal_distribution(*arrays, **size, sigma=sigma).probability
    expected = reference.temporal_histogram(*arrays, **size)
    far = np.abs(np.subtract.outer(np.arange(70), np.arange(70)))
    expected = expected @ (np.where(far <= 3 * sigma, np.exp(-((far / max(sigma, 1e-9)) ** 2) / 2), 0))
    total = expected.sum(2, keepdims=True)
    expected = np.divide(expected, total, out=np.zeros_like(expected), where=total > 0)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    late = temporal_distribution(arrays[0] * 7 + 2**40, arrays[1], arrays[2] + 2**50, **size, sigma=sigma)
    np.testing.assert_allclose(late.probability, found, atol=1e-7)


def test_distribution_of_nothing_and_of_wrong_arrays():
    none = np.zeros(0, int)
    assert not temporal_distribution(none, none, none, cameras=2, bins=5).probability.any()
    one = np.ones(3, int)
    for arguments, message in (
        ((one, one, one[:2]), "integers of one length, got int64"),
        ((one, one, one / 2), "integers of one length, got int64.*float64"),
        ((one, one + 1, one), "camera must be below 2, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            temporal_distribution(*arguments, cameras=2)
    for bad in (dict(cameras=0), dict(bins=0), dict(bin_frames=0), dict(sigma=-1.0), dict(sigma=np.nan)):
        with pytest.raises(ValueError, match="must be 1 or more and sigma 0 or more"):
            temporal_distribution(one, one, one, **dict(cameras=2) | bad)


def test_building_and_looking_up_share_the_bin():
    """Two visits at every gap: the model is certain of the bin in which the same pair is then looked up."""
    for gap in (0, 1, 99, 100, 101, 2999):
        known = temporal_distribution(
            np.zeros(2, int), np.array([0, 1]), np.array([gap, 0]), cameras=2, bins=30, sigma=0
        )
        sides = whole(query_camera=[0], query_frame=[gap], gallery_camera=[1], gallery_frame=[0])
        found = ops.joint_similarity(np.zeros((1, 1), np.float32), known, **sides)
        np.testing.assert_allclose(found, 1 - 0.5 / (1 + 2 * np.exp(-5)), atol=ABSOLUTE)


def on(gpu, x):
    return tuple(map(gpu.array, x)) if isinstance(x, tuple) else gpu.array(x)


def assert_gpu_agrees(gpu, visual, sides: dict, k: int) -> None:
    """GPU kernels fuse multiplications with additions and the CPU does not: equal but for the last bits."""
    expected = ops.joint_topk(visual, model(), k=k, **sides)
    matrix = ops.joint_similarity(on(gpu, visual), model(), **sides)
    found = ops.joint_topk(on(gpu, visual), model(), k=k, **sides)
    assert all(isinstance(x, gpu.cupy.ndarray) for x in (matrix, *found))
    np.testing.assert_allclose(matrix.get(), ops.joint_similarity(visual, model(), **sides), atol=ABSOLUTE)
    np.testing.assert_array_equal(found.indices.get(), expected.indices)
    np.testing.assert_allclose(found.values.get(), expected.values, atol=ABSOLUTE)


@pytest.fixture
def small_gpu_blocks(monkeypatch):
    """Lists go from block to block, and large k is sorted by parts."""
    monkeypatch.setattr(temporal, "_GPU_BLOCK", (16, 300))


GPU_SHAPES = [(1, 1), (3, 17), (17, 1030), (9, 1024)]


@pytest.mark.parametrize("kind", ["similarities", "features"])
@pytest.mark.parametrize("shape", GPU_SHAPES, ids=str)
def test_simulated_kernels_agree(shape, kind, small_gpu_blocks, simulated_gpu):
    products = np.round(similarities(*shape) * 8) / 8
    visual = products if kind == "similarities" else tuple(np.sign(unit(n, 16, n)) / 4 for n in shape)
    for k in (5, 128, 200):
        assert_gpu_agrees(simulated_gpu, visual, seen(*shape), k)


def test_simulated_rows_of_any_alignment(simulated_gpu):
    """Rows that start off 16 bytes take the narrow loads; neighbours in memory stay as they are."""
    wide = np.zeros((5, 40), np.float32)
    for columns in (slice(0, 36), slice(1, 37), slice(3, 10)):
        wide[:, columns] = similarities(5, columns.stop - columns.start)
        sides = seen(5, columns.stop - columns.start)
        out, given = simulated_gpu.array(np.full((5, 40), 7, np.float32)), simulated_gpu.array(wide)
        ops.joint_similarity(given[:, columns], model(), out=out[:, columns], **sides)
        expected = np.full((5, 40), 7, np.float32)
        expected[:, columns] = exact(wide[:, columns], model(), sides)
        np.testing.assert_allclose(out.get(), expected, atol=ABSOLUTE)


def test_simulated_gpu_takes_its_own_integers_and_refuses_nan(simulated_gpu, monkeypatch):
    similarity, sides = similarities(6, 50), seen(6, 50)
    placed = {name: simulated_gpu.array(x) for name, x in sides.items()}
    placed["query_camera"] = simulated_gpu.array(np.repeat(sides["query_camera"].astype(np.int8), 2))[::2]
    with monkeypatch.context() as patch:
        patch.setattr(temporal, "_integers", None)  # none of them passes through the host
        found = ops.joint_similarity(simulated_gpu.array(similarity), model(), **placed)
    np.testing.assert_allclose(found.get(), exact(similarity, model(), sides), atol=ABSOLUTE)
    similarity[4, 49] = similarity[5, 0] = np.nan
    bad = placed | {"gallery_camera": simulated_gpu.array(np.full(50, 9))}
    with pytest.raises(ValueError, match=r"gallery_camera must be below the model's .* got 9 in row 0"):
        ops.joint_topk(simulated_gpu.array(similarity), model(), k=2, **bad)
    for call in (ops.joint_similarity, lambda *a, **b: ops.joint_topk(*a, k=2, **b)):
        with pytest.raises(ValueError, match="similarities must be finite in float32, see row 4;"):
            call(simulated_gpu.array(similarity), model(), **sides)
        with pytest.raises(ValueError, match="g must be finite, see row 2;"):
            call(
                on(simulated_gpu, (np.ones((6, 50), np.float32), np.tile(similarity[2:5], (17, 1))[:50])),
                model(),
                **sides,
            )


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (9, 33), (3, 130)], ids=str)
def test_kernels_under_the_checker(shape, small_gpu_blocks, checked_gpu):
    assert_gpu_agrees(checked_gpu, np.full(shape, 0.5, np.float32), seen(*shape), 5)


@pytest.mark.gpu
@pytest.mark.skipif(ops.build_info()["cuda_devices"] == 0, reason="no CUDA device")
@pytest.mark.parametrize("shape", [*GPU_SHAPES, (520, 20_000)], ids=str)
def test_gpu_equals_cpu(shape):
    similarity, sides = torch.from_numpy(np.round(similarities(*shape) * 8) / 8), seen(*shape)
    found = ops.joint_similarity(similarity.cuda(), model(), **sides).cpu()
    placed = {name: torch.from_numpy(x).cuda() for name, x in sides.items()}
    assert torch.equal(ops.joint_similarity(similarity.cuda(), model(), **placed).cpu(), found)
    torch.testing.assert_close(found, ops.joint_similarity(similarity, model(), **sides))
    for k in (1, 20, 128, 129, 5000):
        top, expected = (ops.joint_topk(x, model(), k=k, **sides) for x in (similarity.cuda(), similarity))
        torch.testing.assert_close(top.values.cpu(), expected.values)
        # The device rounds exponentials in its own way: rows as near as each other may come in another order.
        rows = top.indices.cpu()
        assert top.indices.is_cuda and (rows.sort(1).values.diff() > 0).all()
        torch.testing.assert_close(found.gather(1, rows), expected.values)
