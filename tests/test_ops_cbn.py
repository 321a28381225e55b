"""unrealperson.ops.cbn against float64, on each instruction path, kind, layout and type, and on simulated kernels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from op_cases import ISAS
from torch.nn import functional as F

from unrealperson import ops
from unrealperson.ops import _native, reference

EPS = 1e-5
G = 4
CAMERAS = {
    "sorted, one camera absent": [0, 0, 0, 1, 1, 3, 3, 3],
    "any order": [3, 0, 2, 0, 3, 2, 1, 1],
    "one camera": [2] * 8,
    "some with one image": [2, 0, 0, 1, 0, 3, 0, 0],
    "all with one image": [3, 1, 0, 2],
    "one image": [1],
}
SHAPES = {
    "table": (5,),
    "one position": (5, 1, 1),
    "odd plane": (19, 7, 7),
    "line": (6, 21),
    "wide": (40, 16, 8),
    "many channels": (600, 3),
    "long plane": (3, 70, 70),
}
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def sliced(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, x, x], axis=1)[:, x.shape[1] : 2 * x.shape[1]]


LAYOUTS = {
    "planes": lambda x: x,
    "channels last": channels_last,
    "slice of planes": sliced,
    "slice of channels last": lambda x: channels_last(np.concatenate([x, x], axis=1))[:, : x.shape[1]],
    "every second image": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed images": lambda x: x[::-1].copy()[::-1],
    "images innermost": lambda x: np.ascontiguousarray(x.T).T,
}


def batch(cameras: str, shape: str, seed: int = 0) -> tuple[np.ndarray, ...]:
    """x, camera, weight, bias and a gradient of y."""
    rng = np.random.default_rng(seed)
    camera = np.array(CAMERAS[cameras])
    size = (len(camera), *SHAPES[shape])
    x = rng.normal(1, 2, size) + camera.reshape(-1, *[1] * (len(size) - 1))
    weight, bias = rng.uniform(0.5, 1.5, size[1]), rng.normal(size=size[1])
    return tuple(
        a if a.dtype == np.int64 else a.astype(np.float32) for a in (x, camera, weight, bias, rng.normal(size=size))
    )


def assert_near(found, expected: np.ndarray, dtype: str = "float32") -> None:
    found = np.asarray(found.detach().double() if isinstance(found, torch.Tensor) else found, np.float64)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def assert_matches_reference(x, camera, weight, bias, grad, *, min_images: int = 2, dtype: str = "float32") -> None:
    """Forward and backward through autograd; the arrays are tensors on any device or layout."""
    x, weight, bias = (a.detach().requires_grad_() for a in (x, weight, bias))
    y, found = ops.normalise_by_camera(x, camera, weight, bias, cameras=G, eps=EPS, min_images=min_images)
    assert y.dtype == x.dtype and y.shape == x.shape
    gradients = torch.autograd.grad(y, (x, weight, bias), grad)
    assert [g.dtype for g in gradients] == [x.dtype, weight.dtype, bias.dtype]
    host = [
        a.detach().double().numpy() if a.is_floating_point() else a.numpy() for a in (x, camera, weight, bias, grad)
    ]
    options = {"cameras": G, "eps": EPS, "min_images": min_images}
    expected = reference.camera_batch_norm(*host[:4], **options)
    for got, want in zip((y, found.mean, found.var), expected, strict=True):
        assert_near(got, want, dtype)
    wanted = reference.camera_batch_norm_gradient(host[4], host[0], host[1], host[2], **options)
    for got, want in zip(gradients, wanted, strict=True):
        assert_near(got, want, dtype)
    assert found.images.tolist() == [*np.bincount(host[1], minlength=G), len(host[1])]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cameras", CAMERAS)
def test_values_and_gradients_match_float64(cameras, shape, isa):
    arrays = [torch.from_numpy(a) for a in batch(cameras, shape)]
    assert_matches_reference(*arrays)
    last = [torch.from_numpy(channels_last(a.numpy())) if a.ndim > 1 else a for a in arrays]
    assert_matches_reference(*last)


@pytest.mark.parametrize("min_images", [0, 1, 3, 99])
def test_min_images_decides_who_takes_the_batch(min_images):
    assert_matches_reference(*map(torch.from_numpy, batch("any order", "odd plane")), min_images=min_images)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("shape", ["table", "odd plane", "wide", "long plane"])
def test_other_types_keep_their_type_and_float32_statistics(shape, dtype, isa):
    x, camera, weight, bias, grad = map(torch.from_numpy, batch("some with one image", shape))
    x, grad = x.to(getattr(torch, dtype)), grad.to(getattr(torch, dtype))
    if dtype == "float64":
        weight, bias = weight.double(), bias.double()
    assert_matches_reference(x, camera, weight, bias, grad, dtype=dtype)
    last = [torch.from_numpy(channels_last(a.float().numpy())).to(x.dtype) for a in (x, grad)]
    assert_matches_reference(last[0], camera, weight.to(x.dtype), bias.to(x.dtype), last[1], dtype=dtype)
    mean = ops.normalise_by_camera(x, camera, weight, bias, cameras=G)[1].mean
    assert mean.dtype == (torch.float64 if dtype == "float64" else torch.float32)


def test_sixteen_bit_values_convert_as_torch_does(isa):
    bits = torch.arange(65536, dtype=torch.int32).to(torch.int16)
    camera, one, zero, none = torch.tensor([0]), torch.ones(1), torch.zeros(1), torch.zeros(1, 1)
    for dtype in (torch.float16, torch.bfloat16):
        x = bits.view(dtype).reshape(1, 1, -1)
        for scale in (1.0, 0.37):
            y = ops.normalise_by_tables(x, camera, one * scale, zero, none, none + 1, eps=0)
            wanted = ((x.float() - 0) * np.float32(scale) + 0).to(dtype)
            assert torch.equal(y.isnan(), wanted.isnan())
            assert torch.equal(y.nan_to_num(), wanted.nan_to_num())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", ["table", "odd plane", "wide"])
def test_layouts_and_kinds_agree(layout, shape):
    x, camera, weight, bias, grad = batch("any order", shape)
    y, statistics = ops.normalise_by_camera(x, camera, weight, bias, cameras=G)
    wanted = ops.camera_batch_norm_backward(grad, x, camera, weight, *statistics)
    given = LAYOUTS[layout](x)
    again, same = ops.normalise_by_camera(given, camera, weight, bias, cameras=G)
    assert isinstance(again, np.ndarray) and again.dtype == np.float32
    for got, want in zip((again, *same), (y, *statistics), strict=True):
        assert_near(got, want)
    gradient = grad[:, ::-1].copy()[:, ::-1]
    for got, want in zip(ops.camera_batch_norm_backward(gradient, given, camera, weight, *same), wanted, strict=True):
        assert_near(got, want)
    if layout != "reversed images":
        assert_matches_reference(*map(torch.from_numpy, (given, camera, weight, bias, grad)))


@pytest.mark.parametrize("layout", ["planes", "channels last", "slice of planes", "slice of channels last"])
def test_usable_layouts_are_not_copied(layout):
    from unrealperson.ops import cbn

    x = LAYOUTS[layout](batch("any order", "odd plane")[0])
    assert np.shares_memory(cbn._as_values(x), x)
    tensor = torch.from_numpy(x)
    assert cbn._as_values(tensor).data_ptr() == tensor.data_ptr()
    y = ops.normalise_by_camera(tensor, torch.zeros(8, dtype=torch.int64), torch.ones(19), torch.zeros(19), cameras=1)[
        0
    ]
    assert y.is_contiguous(memory_format=torch.channels_last) == ("last" in layout)


def test_every_instruction_path_and_number_of_threads_gives_the_same_bits():
    x, camera, weight, bias, grad = batch("some with one image", "wide", 3)
    before, results = ops.build_info()["isa"], []
    for last in (False, True):
        given, gradient = (channels_last(a) if last else a for a in (x, grad))
        for isa in ISAS:
            _native.load().use_isa(isa)
            for threads in (1, 2, 3):
                y, s = ops.normalise_by_camera(given, camera, weight, bias, cameras=G, num_threads=threads)
                back = ops.camera_batch_norm_backward(gradient, given, camera, weight, *s, num_threads=threads)
                results.append((last, (y, *s, *back)))
    _native.load().use_isa(before)
    for last, found in results:
        wanted = next(arrays for kind, arrays in results if kind == last)
        for got, want in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("channels", [64, 65])
@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
def test_outputs_beyond_the_cache_are_written_whole(last, channels):
    x = np.random.default_rng(0).normal(size=(8, channels, 16411)).astype(np.float32)
    x = channels_last(x[..., :16400]) if last else x
    camera, terms = np.array(CAMERAS["any order"]), (np.ones(channels), np.zeros(channels))
    table = np.arange(2.0 * G * channels, dtype=np.float32).reshape(2, G, channels) + 1
    y = ops.normalise_by_tables(x, camera, *terms, *table)
    assert y.nbytes > 32 << 20
    for n in range(8):
        own = slice(n, n + 1)
        np.testing.assert_array_equal(y[own], ops.normalise_by_tables(x[own], camera[own], *terms, *table))


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
def test_large_means_cost_no_accuracy(last):
    """E[x^2] - m^2 would leave nothing of a variance of 1 beside a mean of 1e4."""
    rng = np.random.default_rng(0)
    x = (1e4 + rng.normal(size=(8, 16, 24, 24))).astype(np.float32)
    camera = np.array(CAMERAS["any order"])
    _, statistics = ops.normalise_by_camera(
        channels_last(x) if last else x, camera, np.ones(16), np.zeros(16), cameras=G
    )
    _, mean, var = reference.camera_batch_norm(x, camera, np.ones(16), np.zeros(16), cameras=G, eps=EPS, min_images=2)
    np.testing.assert_allclose(statistics.var, var, rtol=3e-6)
    np.testing.assert_allclose(statistics.mean, mean, rtol=1e-7)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["planes", "channels last"])
def test_one_camera_is_plain_batch_norm(layout):
    x = torch.randn(6, 7, 5, 4, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    plain = torch.nn.BatchNorm2d(7, momentum=0.3)
    mean, var = torch.zeros(2, 7), torch.ones(2, 7)
    camera = torch.full((6,), 1)
    for training in (True, True, False):
        found = ops.camera_batch_norm(x, camera, plain.weight, plain.bias, mean, var, training=training, momentum=0.3)
        torch.testing.assert_close(found.y, plain.train(training)(x))
        assert found.few == 0
    torch.testing.assert_close(mean[1], plain.running_mean)
    torch.testing.assert_close(var[1], plain.running_var)
    assert (mean[0] == 0).all() and (var[0] == 1).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["planes", "channels last"])
@pytest.mark.parametrize("training", [True, False])
def test_an_activation_may_work_in_place(training, layout):
    x, camera, weight, bias, grad = map(torch.from_numpy, batch("any order", "odd plane"))
    x = x.contiguous(memory_format=layout)
    results = []
    for inplace in (True, False):
        given = x.clone(memory_format=torch.preserve_format).requires_grad_()
        tables = torch.zeros(G, 19), torch.ones(G, 19)
        y = ops.camera_batch_norm(given, camera, weight, bias, *tables, training=training).y
        results.append(torch.autograd.grad(F.relu6(y, inplace=inplace), given, grad)[0])
    assert torch.equal(*results)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_few_images_are_counted_and_leave_their_row_alone(kind):
    x, camera, weight, bias, _ = batch("some with one image", "odd plane")
    tables = np.zeros((G, 19), np.float32), np.ones((G, 19), np.float32)
    arrays = (x, camera, weight, bias, *tables)
    if kind == "torch":
        arrays = tuple(map(torch.from_numpy, arrays))
    found = ops.camera_batch_norm(*arrays, training=True, momentum=0.5)
    _, mean, var = reference.camera_batch_norm(x, camera, weight, bias, cameras=G, eps=EPS, min_images=2)
    assert int(found.few) == 3
    values = 5 * 49
    assert_near(tables[0][0], 0.5 * mean[0])
    assert_near(tables[1][0], 0.5 + 0.5 * var[0] * values / (values - 1))
    assert (tables[0][1:] == 0).all() and (tables[1][1:] == 1).all()


def test_evaluation_takes_the_tables():
    x, camera, weight, bias, grad = map(torch.from_numpy, batch("any order", "odd plane"))
    rng = np.random.default_rng(1)
    mean, var = (torch.from_numpy(rng.uniform(0.5, 2, (G, 19)).astype(np.float32)) for _ in range(2))
    given = [a.clone().requires_grad_() for a in (x, weight, bias)]
    found = ops.camera_batch_norm(given[0], camera, given[1], given[2], mean, var, training=False)
    rows = mean[camera], var[camera]
    plain = [a.double().requires_grad_() for a in (x, weight, bias)]
    expected = (plain[0] - rows[0][..., None, None]) / (rows[1].double() + EPS).sqrt()[..., None, None]
    expected = expected * plain[1][:, None, None] + plain[2][:, None, None]
    assert_near(found.y, expected.detach().numpy())
    assert int(found.few) == 0
    for got, want in zip(
        torch.autograd.grad(found.y, given, grad), torch.autograd.grad(expected, plain, grad.double()), strict=True
    ):
        assert_near(got, want.numpy())


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 2, 2), (5, 2, 17)])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_exact_in_double_precision(shape, training):
    generator = torch.Generator().manual_seed(0)
    camera = torch.tensor([0, 2, 0, 1, 2])
    values = [torch.randn(size, dtype=torch.double, generator=generator) for size in (shape, shape[1], shape[1])]
    mean, var = torch.zeros(3, shape[1]).double(), torch.ones(3, shape[1]).double()

    def run(x, weight, bias):
        tables = mean.clone(), var.clone()
        return ops.camera_batch_norm(x, camera, weight, bias, *tables, training=training, min_images=2).y

    assert torch.autograd.gradcheck(run, [value.requires_grad_() for value in values])


def test_operators_are_registered_as_torch_wants_them():
    x, camera, weight, bias, grad = map(torch.from_numpy, batch("any order", "odd plane"))
    x, grad = x.flatten(2), grad.flatten(2)
    given = [a.requires_grad_() for a in (x, weight, bias)]
    mean, var = torch.zeros(G, 19), torch.ones(G, 19)
    images = torch.tensor([2, 2, 2, 2, 8])
    table = torch.ones(G + 1, 19)
    operators = torch.ops.unrealperson
    calls = [
        (operators.camera_norm, (x, camera, weight, bias, G, EPS, 2, "", 0)),
        (operators.camera_look_up, (x, camera, weight, bias, mean, var, EPS, 0)),
        (
            operators.camera_norm_backward,
            (grad, x.detach(), camera, weight.detach(), table, table, images, EPS, 2, "", 0),
        ),
    ]
    for operator, arguments in calls:
        torch.library.opcheck(operator.default, arguments)
    assert all(a.grad is None for a in given)


def test_compiles_without_a_graph_break():
    x, camera, weight, bias, grad = map(torch.from_numpy, batch("any order", "odd plane"))

    def step(x, weight, bias, mean, var):
        y = ops.camera_batch_norm(x * 2, camera, weight, bias, mean, var, training=True)
        return y.y.relu(), y.few

    results = []
    for run in (step, torch.compile(step, fullgraph=True, backend="aot_eager")):
        given = [a.clone().requires_grad_() for a in (x, weight, bias)]
        tables = [torch.zeros(G, 19), torch.ones(G, 19)]
        y, few = run(*given, *tables)
        results.append((y.detach(), few, *tables, *torch.autograd.grad(y, given, grad)))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager)


def test_autocast_leaves_statistics_in_float32():
    x, camera, weight, bias, _ = map(torch.from_numpy, batch("any order", "odd plane"))
    weight.requires_grad_()
    kernel = torch.ones(19, 19, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = F.conv2d(x, kernel)
        y, statistics = ops.normalise_by_camera(hidden, camera, weight, bias, cameras=G)
    assert hidden.dtype == y.dtype == F.batch_norm(hidden, None, None, weight, bias, True).dtype == torch.bfloat16
    assert statistics.mean.dtype == torch.float32
    assert not any(s.requires_grad for s in statistics)
    y.float().sum().backward()
    assert weight.grad.dtype == torch.float32


def run_rank(rank: int, folder: Path) -> dict[str, torch.Tensor]:
    """Its share of the batch in FOLDER/batch.pt, normalised together with the other rank's."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    data = torch.load(folder / "batch.pt", weights_only=True)
    own = slice(0, 3) if rank == 0 else slice(3, None)
    given = [a.clone().requires_grad_() for a in (data["x"][own], data["weight"], data["bias"])]
    mean, var = torch.zeros(G, 19), torch.ones(G, 19)
    y, few = ops.camera_batch_norm(
        given[0], data["camera"][own], given[1], given[2], mean, var, training=True,
        process_group=torch.distributed.group.WORLD,
    )  # fmt: skip
    dx, dweight, dbias = torch.autograd.grad(y, given, data["grad"][own])
    torch.distributed.destroy_process_group()
    return dict(y=y.detach(), dx=dx, dweight=dweight, dbias=dbias, mean=mean, var=var, few=few)


OTHER_RANK = """
import sys, torch
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import test_ops_cbn
folder = Path(sys.argv[1])
torch.save(test_ops_cbn.run_rank(1, folder), folder / "second.pt")
"""


def test_two_processes_equal_one_on_the_joined_batch(tmp_path: Path):
    names = ("x", "camera", "weight", "bias", "grad")
    data = dict(zip(names, map(torch.from_numpy, batch("any order", "odd plane")), strict=True))
    torch.save(data, tmp_path / "batch.pt")
    paths = [str(Path(__file__).parent), str(Path(ops.__file__).parents[2])]
    other = subprocess.Popen([sys.executable, "-c", OTHER_RANK, str(tmp_path), *paths])
    first = run_rank(0, tmp_path)
    assert other.wait(timeout=120) == 0
    second = torch.load(tmp_path / "second.pt", weights_only=True)
    given = [data[name].clone().requires_grad_() for name in ("x", "weight", "bias")]
    mean, var = torch.zeros(G, 19), torch.ones(G, 19)
    y, few = ops.camera_batch_norm(given[0], data["camera"], given[1], given[2], mean, var, training=True)
    dx, dweight, dbias = torch.autograd.grad(y, given, data["grad"])
    torch.testing.assert_close(torch.cat([first["y"], second["y"]]), y.detach())
    torch.testing.assert_close(torch.cat([first["dx"], second["dx"]]), dx)
    torch.testing.assert_close(first["dweight"] + second["dweight"], dweight)
    torch.testing.assert_close(first["dbias"] + second["dbias"], dbias)
    for rank in (first, second):
        torch.testing.assert_close((rank["mean"], rank["var"], rank["few"]), (mean, var, few))


X, IDS, ONE = np.ones((3, 4, 2), np.float32), np.array([0, 1, 0]), np.ones(4, np.float32)
TABLE = np.ones((2, 4), np.float32)
GOOD = dict(x=X, camera=IDS, weight=ONE, bias=ONE, running_mean=TABLE, running_var=TABLE)
BAD_CALLS = [
    (dict(x=X[:, 0, 0]), r"the tables must be \[cameras, C\] for x \[N, C, ...\]"),
    (dict(running_mean=TABLE[:, :3]), r"the tables must be \[cameras, C\].* got mean \[2, 3\]"),
    (dict(running_var=TABLE[:1]), r"got mean \[2, 4\], var \[1, 4\]"),
    (dict(x=X[:0], camera=IDS[:0]), r"x must be \[N, C, ...\] and not empty, got shape \[0, 4, 2\]"),
    (dict(x=X.astype(int)), r"x must be float32, float16, bfloat16 or \(CPU only\) float64, got int64"),
    (dict(camera=IDS[:2]), r"camera must be \[3\] for x \[3, 4, 2\], got \[2\]"),
    (dict(camera=IDS * 1.0), r"camera must hold integers, got float64"),
    (dict(camera=IDS - 1), r"camera must lie in \[0, 2\), got -1 for image 0"),
    (dict(camera=IDS * 2), r"camera must lie in \[0, 2\), got 2 for image 1"),
    (dict(weight=ONE[:3]), r"weight must be \[4\] for x \[3, 4, 2\], got \[3\]"),
    (dict(bias=torch.ones(4)), r"bias must be of the kind of x, numpy, got Tensor"),
    (dict(x=X.tolist()), r"x must be a numpy array, torch tensor or cupy array, got list"),
    (dict(num_threads=-1), r"num_threads must be an integer of 0 or more"),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("change", "message"), BAD_CALLS, ids=[message for _, message in BAD_CALLS])
def test_bad_input_is_named(change, message, training):
    with pytest.raises(ValueError, match=message):
        ops.camera_batch_norm(**GOOD | change, training=training)


def test_a_process_group_needs_tensors():
    with pytest.raises(ValueError, match="process_group needs torch tensors"):
        ops.camera_batch_norm(**GOOD, training=True, process_group=object())


def test_read_only_misaligned_and_swapped_arrays_are_taken():
    x, camera, weight, bias, _ = batch("any order", "odd plane")
    expected = ops.normalise_by_camera(x, camera, weight, bias, cameras=G)[0]
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(x.tobytes(), np.uint8)
    locked = x.copy()
    locked.flags.writeable = False
    for given in (locked, raw[1:].view(np.float32).reshape(x.shape), x.astype(">f4")):
        np.testing.assert_array_equal(ops.normalise_by_camera(given, camera, weight, bias, cameras=G)[0], expected)


GPU_SHAPES = {
    "table": (5,),
    "wide table": (64,),
    "one position": (8, 1, 1),
    "odd plane": (3, 7, 7),
    "whole packs": (8, 4, 8),
    "two runs": (2, 2100),
    "many channels": (136, 5),
}


def gpu_batch(cameras: str, shape: str, dtype: str, last: bool) -> tuple[np.ndarray, ...]:
    SHAPES[shape] = GPU_SHAPES[shape]
    x, camera, weight, bias, grad = batch(cameras, shape)
    if last:
        x, grad = channels_last(x), channels_last(grad)
    return x.astype(dtype, order="K"), camera, weight, bias, grad.astype(dtype, order="K")


def on_device(gpu, host: np.ndarray):
    """A GPU array of the host's layout, planes or channels last."""
    if host.flags.c_contiguous:
        return gpu.array(host)
    made = gpu.array(np.ascontiguousarray(np.moveaxis(host, 1, -1)))
    return made.transpose(0, host.ndim - 1, *range(1, host.ndim - 1))


def assert_gpu_matches_reference(gpu, arrays: tuple[np.ndarray, ...], *, min_images: int = 2) -> None:
    x, camera, weight, bias, grad = arrays
    dtype = x.dtype.name
    device = [on_device(gpu, a) for a in arrays]
    y, statistics = ops.normalise_by_camera(*device[:4], cameras=G, min_images=min_images)
    assert isinstance(y, gpu.cupy.ndarray) and y.dtype == x.dtype and y.strides[1:] == device[0].strides[1:]
    gradients = ops.camera_batch_norm_backward(device[4], *device[:3], *statistics, min_images=min_images)
    options = {"cameras": G, "eps": EPS, "min_images": min_images}
    expected = reference.camera_batch_norm(x, camera, weight, bias, **options)
    wanted = reference.camera_batch_norm_gradient(grad, x, camera, weight, **options)
    for got, want in zip((y, *statistics[:2], *gradients), (*expected, *wanted), strict=True):
        assert_near(gpu.numpy(got), want, dtype)
    assert gpu.numpy(statistics.images).tolist() == [*np.bincount(camera, minlength=G), len(camera)]


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", GPU_SHAPES)
def test_simulated_kernels_match_float64(shape, dtype, last, simulated_gpu):
    assert_gpu_matches_reference(simulated_gpu, gpu_batch("some with one image", shape, dtype, last))


@pytest.mark.parametrize("cameras", CAMERAS)
def test_simulated_kernels_take_any_cameras(cameras, simulated_gpu):
    for last in (False, True):
        assert_gpu_matches_reference(simulated_gpu, gpu_batch(cameras, "whole packs", "float32", last))


CHECKED = [
    ("some with one image", "odd plane", "float32", False),
    ("some with one image", "odd plane", "float16", True),
    ("sorted, one camera absent", "whole packs", "float16", False),
    ("sorted, one camera absent", "whole packs", "float32", True),
    ("all with one image", "table", "float32", False),
    ("one image", "one position", "float32", True),
]


@pytest.mark.parametrize("case", CHECKED, ids=str)
def test_kernels_under_the_checker(case, checked_gpu):
    assert_gpu_matches_reference(checked_gpu, gpu_batch(*case))


def test_simulated_evaluation_and_tables(simulated_gpu):
    x, camera, weight, bias, grad = gpu_batch("any order", "odd plane", "float32", False)
    tables = np.zeros((G, 3), np.float32), np.ones((G, 3), np.float32)
    device = [simulated_gpu.array(a) for a in (x, camera, weight, bias, *tables)]
    for training in (True, False):
        found = ops.camera_batch_norm(*device, training=training)
        wanted = ops.camera_batch_norm(x, camera, weight, bias, *tables, training=training)
        assert_near(simulated_gpu.numpy(found.y), wanted.y)
        assert int(found.few) == int(wanted.few)
        for got, want in zip(device[4:], tables, strict=True):
            assert_near(simulated_gpu.numpy(got), want)
    back = ops.camera_batch_norm_backward(simulated_gpu.array(grad), *device[:3], *device[4:])
    for got, want in zip(back, ops.camera_batch_norm_backward(grad, x, camera, weight, *tables), strict=True):
        assert_near(simulated_gpu.numpy(got), want)


def test_simulated_bfloat16_equals_the_cpu(simulated_gpu):
    for last in (False, True):
        x, camera, weight, bias, grad = gpu_batch("some with one image", "whole packs", "float32", last)
        tensors = [torch.from_numpy(a).bfloat16() for a in (x, grad)]
        y, statistics = ops.normalise_by_camera(tensors[0], *map(torch.from_numpy, (camera, weight, bias)), cameras=G)
        raw = [t.view(torch.int16).flatten(2).numpy().view("V2") for t in (*tensors, torch.empty_like(y))]
        device = [simulated_gpu.cupy.ndarray(a) for a in raw]
        scratch, mean, var = (simulated_gpu.cupy.empty(n, np.float32) for n in (10_000, (G + 1, 8), (G + 1, 8)))
        methods = simulated_gpu.native.CbnCuda(scratch, 0, 0)
        common = [simulated_gpu.array(a) for a in (camera, statistics.images.numpy())]
        terms = [simulated_gpu.array(a) for a in (weight, bias)]
        methods.normalise(device[0], *common, 2, mean, var, *terms, EPS, device[2], True)
        found = torch.from_numpy(raw[2].view(np.int16)).view(torch.bfloat16).reshape(y.shape)
        assert_near(found, y.double().numpy(), "bfloat16")
        assert_near(simulated_gpu.numpy(var), statistics.var.numpy())


def test_ids_outside_of_the_tables_are_refused_on_a_gpu(simulated_gpu):
    arrays = [simulated_gpu.array(a) for a in (X, IDS + 1, ONE, ONE, TABLE, TABLE)]
    for training in (True, False):
        with pytest.raises(ValueError, match=r"camera must lie in \[0, 2\), got 1 ... 2"):
            ops.camera_batch_norm(*arrays, training=training)
    with pytest.raises(ValueError, match=r"x must be float32"):
        ops.camera_batch_norm(simulated_gpu.array(X.astype(float)), *arrays[1:], training=True)


@pytest.mark.gpu
@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", ["table", "odd plane", "wide", "long plane"])
def test_gpu_equals_cpu(shape, dtype, last):
    x, camera, weight, bias, grad = map(torch.from_numpy, batch("some with one image", shape))
    if last and x.ndim == 4:
        x, grad = (a.contiguous(memory_format=torch.channels_last) for a in (x, grad))
    results = []
    for device in ("cpu", "cuda"):
        given = [a.to(device).requires_grad_() for a in (x.to(dtype), weight, bias)]
        y, statistics = ops.normalise_by_camera(given[0], camera.to(device), given[1], given[2], cameras=G)
        results.append((y.detach(), *statistics, *torch.autograd.grad(y, given, grad.to(device, dtype))))
    for cpu, cuda in zip(*results, strict=True):
        assert cuda.is_cuda
        assert_near(cuda.cpu(), cpu.double().numpy(), str(dtype).removeprefix("torch."))
