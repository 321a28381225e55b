"""Batch norm with statistics per camera, forward and backward, for ids in any order.

Shapes: N images, C channels, any number of trailing dimensions; G cameras. Tables of statistics are [G + 1, C]: a row
for each camera and the last one for the batch as a whole. csrc/cbn.h states the arithmetic.

Source: Zhuang et al., "Rethinking the Distribution Gap of Person Re-identification with Camera-based Batch
Normalization", ECCV 2020. Unlike theirs, images of a camera with too few of them in a batch are kept.
"""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from unrealperson.ops import _cbn, _native, arrays


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
        x: [N, C, ...] float32, float16, bfloat16 or (CPU only) float64; numpy, torch or cupy. Statistics of 16-bit
            input are float32.
        camera: [N] int64 ids in [0, G), in any order.
        weight: [C], any float dtype.
        bias: [C].
        running_mean: [G, C] float, best float32 (float64 for float64 input); changed in place in training.
        running_var: [G, C], likewise, the unbiased variance.
        training: Whether to take the batch's statistics.
        momentum: Share of the batch in the new tables, 0 to 1.
        eps: Added to the variance.
        min_images: Fewest images of a camera in the batch that give statistics of their own.
        process_group: A torch.distributed group over whose ranks statistics and their gradients are taken together;
            None is this process alone.
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
        return CameraNorm(y, arrays.empty(x, (0,), "int64").sum())
    y, (mean, var, images) = normalise_by_camera(
        x, camera, weight, bias, cameras=groups, eps=eps, min_images=min_images, process_group=process_group,
        num_threads=num_threads,
    )  # fmt: skip
    _check_ids(x, camera, groups)
    count = images[:groups]
    own = count >= max(1, min_images)
    share = momentum * own[:, None]
    values = count[:, None] * math.prod(x.shape[2:])
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
    torch_in = arrays.kind_of(x, "x") == "torch"
    if process_group is not None and not torch_in:
        raise ValueError("process_group needs torch tensors")
    if not torch_in:
        y, *statistics = _cbn.forward(values, camera, weight, bias, cameras, eps, min_images, "", threads)
    else:
        group = "" if process_group is None else process_group.group_name
        norm = _cbn.operators().camera_norm if _traced(x) else _cbn.eager_norm()
        y, *statistics = norm(_shaped(values, x), camera, weight, bias, cameras, eps, min_images, group, threads)
    return y if y.shape == x.shape else y.reshape(x.shape), Statistics(
        *(s.detach() if torch_in else s for s in statistics)
    )


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
    look_up = _cbn.operators().camera_look_up if arrays.kind_of(x, "x") == "torch" else _cbn.look_up
    y = look_up(_shaped(values, x), camera, weight, bias, mean, var, eps, threads)
    return y if y.shape == x.shape else y.reshape(x.shape)


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
    dx, *terms = _cbn.backward(grads, values, camera, weight, mean, var, images, eps, min_images, "", threads)
    return (dx.reshape(x.shape), *terms)


def _check_tables(x: Any, mean: Any, var: Any) -> int:
    kinds = [arrays.kind_of(a, name) for a, name in ((x, "x"), (mean, "mean"), (var, "var"))]
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
    kind = arrays.kind_of(x, "x")
    for name, value, length in (
        ("camera", camera, x.shape[0]),
        ("weight", weight, x.shape[1]),
        ("bias", bias, x.shape[1]),
    ):
        if arrays.kind_of(value, name) != kind:
            raise ValueError(f"{name} must be of the kind of x, {kind}, got {type(value).__name__}")
        if tuple(value.shape) != (length,):
            raise ValueError(f"{name} must be [{length}] for x {list(x.shape)}, got {list(value.shape)}")
    if not _cbn.dtype_name(camera).startswith("int"):
        raise ValueError(f"camera must hold integers, got {_cbn.dtype_name(camera)}; use int64")
    return _cbn.cast(camera, "int64"), weight, bias


def _check_ids(x: Any, camera: Any, groups: int) -> None:
    """Only for a GPU, where it waits for the device: on the CPU the native code looks at every id anyhow."""
    if arrays.on_gpu(x) and not _compiling() and not bool(((camera >= 0) & (camera < groups)).all()):
        raise ValueError(f"camera must lie in [0, {groups}), got {int(camera.min())} ... {int(camera.max())}")


def _as_values(x: Any) -> Any:
    """[N, C, S] with adjacent positions or adjacent channels: a view wherever x allows it."""
    kind = arrays.kind_of(x, "x")
    dtype = _cbn.dtype_name(x)
    if dtype not in ("float32", "float16", "bfloat16", "float64") or (dtype == "float64" and arrays.on_gpu(x)):
        raise ValueError(f"x must be float32, float16, bfloat16 or (CPU only) float64, got {dtype}")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"x must be [N, C, ...] and not empty, got shape {list(x.shape)}")
    if isinstance(x, np.ndarray) and not (x.flags.aligned and x.dtype.isnative):
        x = np.require(x, x.dtype.newbyteorder("="), ["A", "C"])
    x = x.reshape(x.shape[0], x.shape[1], -1)
    if _cbn.layouts(x) == (False, False):
        x = x.contiguous() if kind == "torch" else sys.modules[kind].ascontiguousarray(x)
    return x


def _shaped(values: Any, x: Any) -> Any:
    """What the torch operators take: x itself wherever its values need no copy."""
    if arrays.kind_of(x, "x") != "torch":
        return values
    return values.reshape(x.shape) if _cbn.layouts(_cbn.flat(x)) == (False, False) else x


def _no_gradient() -> Any:
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.no_grad()


def _traced(x: Any) -> bool:
    """Whether torch only looks at what would be computed."""
    torch = sys.modules["torch"]
    return _compiling() or type(x) not in (torch.Tensor, torch.nn.Parameter)


def _compiling() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()
