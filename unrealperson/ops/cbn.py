"""Batch norm with statistics per camera, forward and backward, for ids in any order.

Shapes: N images, C channels, any number of trailing dimensions; G cameras. Tables of statistics are [G + 1, C]: a row for
each camera and the last one for the batch as a whole. csrc/cbn.h states the arithmetic.

Source: Zhuang et al., "Rethinking the Distribution Gap of Person Re-identification with Camera-based Batch
Normalization", ECCV 2020. Unlike theirs, images of a camera with too few of them in a batch are kept.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from unrealperson.ops import _native


class CameraNorm(NamedTuple):
    """A batch, normalised.

    Attributes:
        y: Shape, dtype and kind of the input.
        few: int64 number of images that took the whole batch's statistics for want of others of their camera.
    """

    y: Any
    few: Any


class Statistics(NamedTuple):
    """What a batch was normalised by.

    Attributes:
        mean: [G + 1, C] float32 (float64 for float64 input); 0 for a camera without images.
        var: [G + 1, C] of the same dtype: mean squared deviation, the biased variance.
        images: [G + 1] int64, images of each camera; the last entry is N.
    """

    mean: Any
    var: Any
    images: Any


def camera_batch_norm(
    x: Any,  # [N, C, ...] float
    camera: Any,  # [N] int64
    weight: Any,  # [C]
    bias: Any,  # [C]
    running_mean: Any,  # [G, C]
    running_var: Any,  # [G, C]
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    min_images: int = 2,
    process_group: Any = None,
    num_threads: int = 0,
) -> CameraNorm:
    """Normalise each image by its camera's statistics; gradients flow through torch tensors.

    In training they are the batch's, per camera and channel over images and positions, and the tables move towards them
    as in BatchNorm; a camera with fewer than `min_images` images takes the whole batch's and leaves its row alone. In
    evaluation they are the tables'. Neither NCHW nor channels-last input is copied, nor are slices of such.

    Args:
        x: [N, C, ...] float32, float16, bfloat16 or (CPU only) float64; numpy, torch or cupy. Statistics of 16-bit input
            are float32.
        camera: [N] int64 ids in [0, G), in any order.
        weight: [C], any float dtype.
        bias: [C].
        running_mean: [G, C] float, best float32 (float64 for float64 input); changed in place in training.
        running_var: [G, C], likewise, the unbiased variance.
        training: Whether to take the batch's statistics.
        momentum: Share of the batch in the new tables, 0 to 1.
        eps: Added to the variance.
        min_images: Fewest images of a camera in the batch that give statistics of their own.
        process_group: A torch.distributed group over whose ranks statistics and their gradients are taken together; None
            is this process alone.
        num_threads: OpenMP threads; 0 lets OpenMP choose. The result does not depend on it.

    Returns:
        y like `x`, and how many images fell back to the whole batch (over all ranks).

    Raises:
        ValueError: Wrong kind, dtype or shape, an empty input, or an id outside of the tables.
    """
    groups = _check_tables(x, running_mean, running_var)
    if not training:
        _check_ids(x, camera, groups)
        y = normalise_by_tables(x, camera, weight, bias, running_mean, running_var, eps=eps, num_threads=num_threads)
        return CameraNorm(y, _empty(x, (0,), "int64").sum())
    y, (mean, var, images) = normalise_by_camera(
        x, camera, weight, bias, cameras=groups, eps=eps, min_images=min_images, process_group=process_group,
        num_threads=num_threads,
    )  # fmt: skip
    if _native.on_gpu(x) and process_group is None and not _compiling():
        _check_ids(x, camera, groups)
    count = images[:groups]
    own = count >= max(1, min_images)
    share = momentum * own[:, None]
    values = count[:, None] * _positions(x)
    with _no_gradient():
        running_mean += share * (mean[:groups] - running_mean)
        running_var += share * (var[:groups] * (values / (values - 1).clip(1, None)) - running_var)
    return CameraNorm(y, (count * ~own).sum())


def normalise_by_camera(
    x: Any,  # [N, C, ...] float
    camera: Any,  # [N] int64
    weight: Any,  # [C]
    bias: Any,  # [C]
    *,
    cameras: int,
    eps: float = 1e-5,
    min_images: int = 2,
    process_group: Any = None,
    num_threads: int = 0,
) -> tuple[Any, Statistics]:
    """The training half of `camera_batch_norm`, for callers that keep tables of their own.

    Args:
        x: As for `camera_batch_norm`.
        camera: [N] int64 ids in [0, cameras); on a GPU nobody checks them, and any other id means the whole batch.
        weight: [C].
        bias: [C].
        cameras: G.
        eps: Added to the variance.
        min_images: Fewest images of a camera that give statistics of their own.
        process_group: As for `camera_batch_norm`.
        num_threads: OpenMP threads; 0 lets OpenMP choose.

    Returns:
        y like `x`, and the statistics of every camera and of the whole batch, through which no gradient flows.

    Raises:
        ValueError: Wrong kind, dtype or shape, an empty input, or an id outside of [0, cameras).
    """
    values = _as_values(x)
    camera, weight, bias = _check_terms(values, camera, weight, bias)
    threads = _native.thread_count(num_threads)
    torch_in = _native.kind_of(x, "x") == "torch"
    if process_group is not None and not torch_in:
        raise ValueError("process_group needs torch tensors")
    if not torch_in:
        y, *statistics = _forward(values, camera, weight, bias, cameras, eps, min_images, "", threads)
    else:
        group = "" if process_group is None else process_group.group_name
        y, *statistics = _operators().camera_norm(
            values, camera, weight, bias, cameras, eps, min_images, group, threads
        )
    return y.reshape(x.shape), Statistics(*(s.detach() if torch_in else s for s in statistics))


def normalise_by_tables(
    x: Any,  # [N, C, ...] float
    camera: Any,  # [N] int64
    weight: Any,  # [C]
    bias: Any,  # [C]
    mean: Any,  # [G, C]
    var: Any,  # [G, C]
    *,
    eps: float = 1e-5,
    num_threads: int = 0,
) -> Any:
    """The evaluation half of `camera_batch_norm`.

    Args:
        x: As for `camera_batch_norm`.
        camera: [N] int64 rows of the tables; on a GPU nobody checks them, and any other id means the last row.
        weight: [C].
        bias: [C].
        mean: [G, C].
        var: [G, C].
        eps: Added to the variance.
        num_threads: OpenMP threads; 0 lets OpenMP choose.

    Returns:
        y like `x`.

    Raises:
        ValueError: Wrong kind, dtype or shape, an empty input, or an id outside of the tables.
    """
    _check_tables(x, mean, var)
    values = _as_values(x)
    camera, weight, bias = _check_terms(values, camera, weight, bias)
    threads = _native.thread_count(num_threads)
    look_up = _operators().camera_look_up if _native.kind_of(x, "x") == "torch" else _look_up
    return look_up(values, camera, weight, bias, mean, var, eps, threads).reshape(x.shape)


def camera_batch_norm_backward(
    grad: Any,  # [N, C, ...]
    x: Any,  # [N, C, ...]
    camera: Any,  # [N] int64
    weight: Any,  # [C]
    mean: Any,
    var: Any,
    images: Any = None,
    *,
    eps: float = 1e-5,
    min_images: int = 2,
    num_threads: int = 0,
) -> tuple[Any, Any, Any]:
    """Gradients of `normalise_by_camera` or, without `images`, of `normalise_by_tables`; torch calls it by itself.

    Args:
        grad: Gradient of y, of the shape, dtype and kind of `x`.
        x: As for `camera_batch_norm`.
        camera: [N] int64.
        weight: [C].
        mean: The table that y was normalised by: [G + 1, C], or [G, C] without `images`.
        var: Likewise.
        images: [G + 1] int64 of the `Statistics`; None takes mean and var for constants.
        eps: As in the forward pass.
        min_images: As in the forward pass.
        num_threads: OpenMP threads; 0 lets OpenMP choose.

    Returns:
        Gradients of x, weight and bias; those of weight and bias have the dtype of the statistics.

    Raises:
        ValueError: Wrong kind, dtype or shape.
    """
    values, grads = _as_values(x), _as_values(grad)
    camera, weight, _ = _check_terms(values, camera, weight, weight)
    threads = _native.thread_count(num_threads)
    dx, *terms = _backward(grads, values, camera, weight, mean, var, images, eps, min_images, "", threads)
    return (dx.reshape(x.shape), *terms)


class _Native:
    """The native methods for arrays like x, [N, C, S], on its device and the caller's current stream."""

    def __init__(self, x: Any, threads: int) -> None:
        module = _native.load()
        self.x, self.table = x, _table_dtype(x)
        self.gpu = _native.on_gpu(x)
        if not self.gpu:
            self.methods = module.CbnCpu(threads)
            return
        if not module.build_info()["cuda"]:
            raise RuntimeError(
                "x lies on a GPU, but the native module has no CUDA; rebuild with nvcc on PATH: make install"
            )
        if _native.kind_of(x, "x") == "torch":
            device, stream = x.device.index, sys.modules["torch"].cuda.current_stream(x.device).cuda_stream
        else:
            with x.device:
                device, stream = x.device.id, sys.modules["cupy"].cuda.get_current_stream().ptr
        # Freed with the methods: the library's pool puts its reuse behind what the stream still has to do.
        self.methods = module.CbnCuda(self.empty(module.cbn_scratch(_view(x))), device, stream)

    def empty(self, *shape: int, dtype: str = "") -> Any:
        return _empty(self.x, shape, dtype or self.table)

    def count(self, camera: Any, groups: int) -> Any:
        images = self.empty(groups + 1, dtype="int64")
        self("count", camera, images)
        return images

    def __call__(self, method: str, *arguments: Any) -> None:
        getattr(self.methods, method)(*map(_view, arguments))


def _view(argument: Any) -> Any:
    """What the binding takes: for tensors on the CPU the buffer protocol, at a tenth of DLPack's cost."""
    if not hasattr(argument, "detach"):
        return argument
    argument = argument.detach()
    return argument if argument.is_cuda or _dtype(argument) == "bfloat16" else argument.numpy()


def _forward(
    x: Any, camera: Any, weight: Any, bias: Any, groups: int, eps: float, min_images: int, group: str, threads: int
) -> tuple[Any, Any, Any, Any]:
    native = _Native(x, threads)
    images = native.count(camera, groups)
    mean, var = native.empty(groups + 1, x.shape[1]), native.empty(groups + 1, x.shape[1])
    y = _empty_like(x)
    terms = (_cast(weight, native.table), _cast(bias, native.table))
    if group:
        native("statistics", x, camera, images, mean, var)
        images, mean, var = _join_ranks(images, mean, var, x.shape[2], group)
    native("normalise", x, camera, images, min_images, mean, var, *terms, eps, y, not group)
    return y, mean, var, images


def _look_up(x: Any, camera: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: float, threads: int) -> Any:
    native = _Native(x, threads)
    if not native.gpu:
        native.count(camera, len(mean))  # refuses ids outside of the tables
    y = _empty_like(x)
    terms = (_cast(weight, native.table), _cast(bias, native.table))
    native("normalise", x, camera, None, 0, _cast(mean, native.table), _cast(var, native.table), *terms, eps, y, False)
    return y


def _backward(
    grad: Any, x: Any, camera: Any, weight: Any, mean: Any, var: Any, images: Any, eps: float, min_images: int,
    group: str, threads: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    native = _Native(x, threads)
    if not _same_layout(grad, x):
        copy = _empty_like(x)
        copy[...] = grad
        grad = copy
    sums = native.empty(2, *mean.shape)
    common = (x, grad, camera, images, min_images, mean, var, sums[0], sums[1])
    by_row = (var + eps) ** -0.5
    dx = _empty_like(x)
    if group:
        native("sums", *common)
        terms = (sums[1] * by_row).sum(0), sums[0].sum(0)
        _sum_ranks(sums, group)
    native("gradient", *common, _cast(weight, native.table), eps, dx, not group)
    if not group:
        terms = (sums[1] * by_row).sum(0), sums[0].sum(0)
    return dx, *terms


def _join_ranks(images: Any, mean: Any, var: Any, positions: int, group: str) -> tuple[Any, Any, Any]:
    """Statistics of all ranks' images together, by Chan's formula in the order of ranks."""
    import torch
    from torch import distributed

    process_group = _process_group(group)
    size = distributed.get_world_size(process_group)
    counts = [torch.empty_like(images) for _ in range(size)]
    parts = [torch.empty(2, *mean.shape, dtype=mean.dtype, device=mean.device) for _ in range(size)]
    distributed.all_gather(counts, images, group=process_group)
    distributed.all_gather(parts, torch.stack([mean, var]), group=process_group)
    count = torch.stack(counts)
    means, variances = torch.stack(parts, 1).double()
    share = (count / count.sum(0).clamp(min=1)).unsqueeze(-1)
    joint = (share * means).sum(0)
    spread = (share * (variances + (means - joint).square())).sum(0)
    return count.sum(0), joint.to(mean.dtype), spread.to(var.dtype)


def _sum_ranks(sums: Any, group: str) -> None:
    from torch import distributed

    distributed.all_reduce(sums, group=_process_group(group))


def _process_group(name: str) -> Any:
    from torch.distributed.distributed_c10d import _resolve_process_group

    return _resolve_process_group(name)


def _operators() -> Any:
    """torch.ops.unrealperson, whose operators autograd, autocast and torch.compile know."""
    import torch

    if not _registered:
        _register()
    return torch.ops.unrealperson


_registered = False


def _register() -> None:
    global _registered
    from torch.library import custom_op, register_autograd

    options: dict[str, Any] = {"mutates_args": ()}
    norm = custom_op(
        "unrealperson::camera_norm", _forward, **options,
        schema="(Tensor x, Tensor camera, Tensor weight, Tensor bias, int cameras, float eps, int min_images, str group, "
        "int threads) -> (Tensor, Tensor, Tensor, Tensor)",
    )  # fmt: skip
    look_up = custom_op(
        "unrealperson::camera_look_up", _look_up, **options,
        schema="(Tensor x, Tensor camera, Tensor weight, Tensor bias, Tensor mean, Tensor var, float eps, int threads) "
        "-> Tensor",
    )  # fmt: skip
    backward = custom_op(
        "unrealperson::camera_norm_backward", _backward, **options,
        schema="(Tensor grad, Tensor x, Tensor camera, Tensor weight, Tensor mean, Tensor var, Tensor? images, float eps, "
        "int min_images, str group, int threads) -> (Tensor, Tensor, Tensor)",
    )  # fmt: skip

    @norm.register_fake
    def _(x: Any, camera: Any, weight: Any, bias: Any, cameras: int, *_: Any) -> tuple[Any, ...]:
        mean = _empty(x, (cameras + 1, x.shape[1]), _table_dtype(x))
        return _empty_like(x), mean, mean.clone(), _empty(x, (cameras + 1,), "int64")

    @look_up.register_fake
    def _(x: Any, *_: Any) -> Any:
        return _empty_like(x)

    @backward.register_fake
    def _(grad: Any, x: Any, camera: Any, weight: Any, mean: Any, *_: Any) -> tuple[Any, ...]:
        return _empty_like(x), mean.new_empty(x.shape[1]), mean.new_empty(x.shape[1])

    def keep_norm(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        x, camera, weight, bias, _, *ctx.options = inputs
        ctx.save_for_backward(x, camera, weight, *output[1:])
        ctx.bias_dtype = bias.dtype

    def norm_backward(ctx: Any, grad: Any, *_: Any) -> tuple[Any, ...]:
        x, camera, weight, *statistics = ctx.saved_tensors
        dx, dweight, dbias = backward(grad, x, camera, weight, *statistics, *ctx.options)
        return dx, None, dweight.to(weight.dtype), dbias.to(ctx.bias_dtype), *[None] * 5

    def keep_look_up(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, camera, weight, bias, mean, var, *ctx.options = inputs
        ctx.save_for_backward(x, camera, weight, mean, var)
        ctx.bias_dtype = bias.dtype

    def look_up_backward(ctx: Any, grad: Any) -> tuple[Any, ...]:
        x, camera, weight, mean, var = ctx.saved_tensors
        eps, threads = ctx.options
        dx, dweight, dbias = backward(grad, x, camera, weight, mean, var, None, eps, 0, "", threads)
        return dx, None, dweight.to(weight.dtype), dbias.to(ctx.bias_dtype), *[None] * 4

    register_autograd(norm, norm_backward, setup_context=keep_norm)
    register_autograd(look_up, look_up_backward, setup_context=keep_look_up)
    _registered = True


def _check_tables(x: Any, mean: Any, var: Any) -> int:
    kinds = [_native.kind_of(a, name) for a, name in ((x, "x"), (mean, "mean"), (var, "var"))]
    if len(set(kinds)) > 1:
        raise ValueError(f"x and the tables must be of one kind, got {', '.join(kinds)}")
    shape = tuple(mean.shape)
    if len(shape) != 2 or shape[0] < 1 or tuple(var.shape) != shape or x.ndim < 2 or shape[1] != x.shape[1]:
        raise ValueError(
            f"the tables must be [cameras, C] for x [N, C, ...], got mean {list(shape)}, var {list(var.shape)} and x "
            f"{list(x.shape)}"
        )
    return shape[0]


def _check_terms(x: Any, camera: Any, weight: Any, bias: Any) -> tuple[Any, Any, Any]:
    kind = _native.kind_of(x, "x")
    for name, value, length in (
        ("camera", camera, x.shape[0]),
        ("weight", weight, x.shape[1]),
        ("bias", bias, x.shape[1]),
    ):
        if _native.kind_of(value, name) != kind:
            raise ValueError(f"{name} must be of the kind of x, {kind}, got {type(value).__name__}")
        if tuple(value.shape) != (length,):
            raise ValueError(f"{name} must be [{length}] for x {list(x.shape)}, got {list(value.shape)}")
    if not _dtype(camera).startswith("int"):
        raise ValueError(f"camera must hold integers, got {_dtype(camera)}; use int64")
    return _cast(camera, "int64"), weight, bias


def _check_ids(x: Any, camera: Any, groups: int) -> None:
    """Only for a GPU, where it waits for the device: on the CPU the native code looks at every id anyhow."""
    if _native.on_gpu(x) and not _compiling() and not bool(((camera >= 0) & (camera < groups)).all()):
        raise ValueError(f"camera must lie in [0, {groups}), got {int(camera.min())} ... {int(camera.max())}")


def _as_values(x: Any) -> Any:
    """[N, C, S] with adjacent positions or adjacent channels: a view wherever x allows it."""
    kind = _native.kind_of(x, "x")
    if _dtype(x) not in ("float32", "float16", "bfloat16", "float64") or (_dtype(x) == "float64" and kind == "cupy"):
        raise ValueError(f"x must be float32, float16, bfloat16 or (CPU only) float64, got {_dtype(x)}")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"x must be [N, C, ...] and not empty, got shape {list(x.shape)}")
    if isinstance(x, np.ndarray) and not (x.flags.aligned and x.dtype.isnative):
        x = np.require(x, x.dtype.newbyteorder("="), ["A", "C"])
    x = x.reshape(x.shape[0], x.shape[1], -1)
    if _layouts(x) == (False, False):
        x = x.contiguous() if kind == "torch" else sys.modules[kind].ascontiguousarray(x)
    return x


def _layouts(x: Any) -> tuple[bool, bool]:
    """Whether the positions of [N, C, S] are adjacent, and whether its channels are."""
    image, channel, position = x.stride() if hasattr(x, "stride") else (step // x.itemsize for step in x.strides)
    if min(image, channel, position) < 1:
        return False, False
    return x.shape[2] == 1 or position == 1, x.shape[1] == 1 or channel == 1


def _same_layout(grad: Any, x: Any) -> bool:
    return all(theirs or not own for own, theirs in zip(_layouts(x), _layouts(grad), strict=True))


def _dtype(x: Any) -> str:
    return str(getattr(x.dtype, "name", x.dtype)).removeprefix("torch.")


def _table_dtype(x: Any) -> str:
    return "float64" if _dtype(x) == "float64" else "float32"


def _empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    if isinstance(like, np.ndarray):
        return np.empty(shape, dtype)
    if _native.kind_of(like, "x") == "torch":
        return like.new_empty(shape, dtype=getattr(sys.modules["torch"], dtype))
    with like.device:
        return sys.modules["cupy"].empty(shape, dtype)


def _empty_like(x: Any) -> Any:
    """Uninitialised, dense, with the shape and the layout of [N, C, S]."""
    images, channels, positions = x.shape
    if _layouts(x)[0]:
        return _empty(x, (images, channels, positions), _dtype(x))
    return _empty(x, (images, positions, channels), _dtype(x)).swapaxes(1, 2)


def _cast(x: Any, dtype: str) -> Any:
    if isinstance(x, np.ndarray):
        return np.require(x, dtype, ["C", "A"])
    if _native.kind_of(x, "x") == "torch":
        return x.to(getattr(sys.modules["torch"], dtype)).contiguous()
    return sys.modules["cupy"].ascontiguousarray(x, dtype=dtype)


def _positions(x: Any) -> int:
    count = 1
    for size in x.shape[2:]:
        count *= size
    return count


def _no_gradient() -> Any:
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.no_grad()


def _compiling() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()


if "torch" in sys.modules:
    _register()
