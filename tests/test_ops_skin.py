"""unrealperson.ops.skin against float64 and, to the bit, against its own written order of operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unrealperson import ops
from unrealperson.ops import reference


def mesh(vertices: int, bones: int = 53, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    weight = rng.random((vertices, 4)).astype(np.float32)
    weight[:, 3] *= rng.random(vertices) < 0.5
    weight /= weight.sum(1, keepdims=True)
    return dict(
        positions=rng.normal(size=(vertices, 3)).astype(np.float32),
        normals=rng.normal(size=(vertices, 3)).astype(np.float32),
        bone_index=rng.integers(0, bones, (vertices, 4)).astype(np.uint8),
        bone_weight=weight,
        bones=rng.normal(size=(bones, 3, 4)).astype(np.float32),
    )


@pytest.mark.parametrize(("vertices", "bones"), [(1, 1), (3, 2), (1000, 53), (17001, 256), (70000, 20)])
def test_matches_float64(vertices, bones):
    arrays = mesh(vertices, bones)
    posed = ops.skin(**arrays)
    positions, normals = reference.skin(**arrays)
    np.testing.assert_allclose(posed.positions, positions, atol=5e-6)
    # A blend that nearly cancels a normal leaves few digits to normalise.
    assert np.quantile(np.abs(posed.normals - normals), 0.999) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(posed.normals, axis=1), 1, atol=1e-6)


def test_bits_follow_the_written_order():
    arrays = mesh(5000)
    blend = arrays["bones"][arrays["bone_index"]] * arrays["bone_weight"][:, :, None, None]
    blend = ((blend[:, 0] + blend[:, 1]) + blend[:, 2]) + blend[:, 3]
    p, n = arrays["positions"][:, None, :], arrays["normals"][:, None, :]
    x, y, z, translation = (blend[:, :, column] for column in range(4))
    positions = ((x * p[..., 0] + y * p[..., 1]) + z * p[..., 2]) + translation
    turned = (x * n[..., 0] + y * n[..., 1]) + z * n[..., 2]
    square = turned * turned
    normals = turned / np.sqrt((square[:, 0] + square[:, 1]) + square[:, 2])[:, None]
    for threads in (1, 2, 3):
        posed = ops.skin(**arrays, num_threads=threads)
        np.testing.assert_array_equal(posed.positions, positions)
        np.testing.assert_array_equal(posed.normals, normals)


def test_threads_do_not_change_bits():
    arrays = mesh(100_000, seed=2)
    one, three = ops.skin(**arrays, num_threads=1), ops.skin(**arrays, num_threads=3)
    np.testing.assert_array_equal(one.positions, three.positions)
    np.testing.assert_array_equal(one.normals, three.normals)


def test_many_people_in_one_call_get_the_bits_of_one_call_each():
    people = [mesh(n, 20, seed=n) for n in (70_000, 0, 1, 500)]
    joined = {name: np.concatenate([person[name] for person in people]) for name in people[0] if name != "bones"}
    bones = np.stack([person["bones"] for person in people])
    counts = [len(person["positions"]) for person in people]
    for threads in (1, 3):
        posed = ops.skin(**joined, bones=bones, vertices=counts, num_threads=threads)
        alone = [ops.skin(**person) for person in people]
        np.testing.assert_array_equal(posed.positions, np.concatenate([one.positions for one in alone]))
        np.testing.assert_array_equal(posed.normals, np.concatenate([one.normals for one in alone]))
    joined["bone_index"][70_000, 2] = 20
    with pytest.raises(ValueError, match="below the number of bones, 20, see vertex 70000"):
        ops.skin(**joined, bones=bones, vertices=counts)


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        (None, "vertices must say how many of the 40 belong to each of the 2 people"),
        ([20, 21], r"vertices must be 2 counts that add up to 40, got \[20, 21\]"),
        ([40], r"vertices must be 2 counts"),
        ([-1, 41], r"vertices must be 2 counts"),
    ],
)
def test_counts_of_vertices_are_checked(vertices, message):
    arrays = mesh(40, 9)
    arrays["bones"] = np.stack([arrays["bones"]] * 2)
    with pytest.raises(ValueError, match=message):
        ops.skin(**arrays, vertices=vertices)


def test_identity_keeps_the_mesh_and_zero_normals_stay_zero():
    arrays = mesh(10, 1)
    arrays["bones"] = np.eye(3, 4, dtype=np.float32)[None]
    arrays["bone_weight"] = np.tile(np.array([1, 0, 0, 0], np.float32), (10, 1))
    arrays["normals"][4] = 0
    posed = ops.skin(**arrays)
    np.testing.assert_array_equal(posed.positions, arrays["positions"])
    np.testing.assert_array_equal(posed.normals[4], np.zeros(3))


def test_torch_in_torch_out_and_layouts():
    arrays = mesh(500)
    expected = ops.skin(**arrays)
    tensors = ops.skin(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    assert isinstance(tensors.positions, torch.Tensor)
    strided = ops.skin(**{name: np.asfortranarray(array) for name, array in arrays.items()})
    frozen = {name: array.copy() for name, array in arrays.items()}
    for array in frozen.values():
        array.flags.writeable = False
    for posed in (tensors, strided, ops.skin(**frozen)):
        np.testing.assert_array_equal(np.asarray(posed.positions), expected.positions)
        np.testing.assert_array_equal(np.asarray(posed.normals), expected.normals)


def test_no_vertices():
    assert ops.skin(**mesh(0)).positions.shape == (0, 3)


def changed(name: str, at: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    arrays = mesh(40, 9)
    arrays[name][at] = value
    return arrays


BAD = [
    (
        mesh(40, 9) | {"normals": np.ones((39, 3), np.float32)},
        r"normals must be float32 \[40, 3\], got float32 \[39, 3\]",
    ),
    (mesh(40, 9) | {"bone_index": np.zeros((40, 4), int)}, r"bone_index must be uint8 \[40, 4\], got int64"),
    (mesh(40, 9) | {"bones": np.ones((9, 4, 4), np.float32)}, r"bones must be float32 \[9, 3, 4\]"),
    (mesh(40, 9) | {"bones": np.ones((3, 4), np.float32)}, r"bones must be \[B, 3, 4\] or \[P, B, 3, 4\]"),
    (mesh(40, 9) | {"positions": np.ones((40, 3))}, r"positions must be float32 \[40, 3\], got float64"),
    (mesh(40, 9) | {"bones": torch.ones(9, 3, 4)}, r"all arrays must be of one kind"),
    (changed("bone_index", (7, 3), 9), r"bone_index must be below the number of bones, 9, see vertex 7"),
    (changed("bone_weight", (5, 0), 2), r"bone_weight must be .* sum to 1 for every vertex, see vertex 5"),
    (changed("bone_weight", (5, 0), -0.5), r"bone_weight must be 0 or more"),
    (changed("bone_weight", (5, 0), np.nan), r"bone_weight must be finite"),
    (changed("positions", (39, 2), np.nan), r"positions must be finite"),
    (changed("normals", (0, 0), np.inf), r"normals must be finite"),
    (changed("bones", (8, 2, 3), -np.inf), r"bones must be finite"),
]


@pytest.mark.parametrize(("arrays", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_named(arrays, message):
    with pytest.raises(ValueError, match=message):
        ops.skin(**arrays)
