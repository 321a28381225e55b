"""The native calls behind `ops.cbn`, and the torch operators made of them.

Results have the shape of x from the start: autograd copies what an activation changes in place if it is a view.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from unrealperson.ops import _native, arrays


class _Native:
    """The native methods for arrays like x, [N, C, S], on its device and the caller's current stream."""

    def __init__(self, x: Any, threads: int) -> None:
        module = _native.load_for(x, "x")
        self.x, self.table = x, table_dtype(x)
        self.gpu = arrays.on_gpu(x)
        if not self.gpu:
            self.methods = module.CbnCpu(threads)
            return
        # Freed with the methods: the library's pool puts its reuse behind what the stream still has to do.
        self.methods = module.CbnCuda(self.empty(module.cbn_scratch(_view(x))), *arrays.place(x))

    def empty(self, *shape: int, dtype: str = "") -> Any:
        return arrays.empty(self.x, shape, dtype or self.table)

    def count(self, camera: Any, groups: int) -> Any:
        images = self.empty(groups + 1, dtype="int64")
        self("count", camera, images)
        return images

    def __call__(self, method: str, *arguments: Any) -> None:
        getattr(self.methods, method)(*map(_view, arguments))


def _view(argument: Any) -> Any:
    """What the binding takes: of tensors what costs least, on the CPU the buffer protocol, on a GPU a bare capsule."""
    if not hasattr(argument, "detach"):
        return argument
    if argument.is_cuda:
        return sys.modules["torch"].utils.dlpack.to_dlpack(argument)
    argument = argument.detach()
    return argument if dtype_name(argument) == "bfloat16" else argument.numpy()


def forward(
    x: Any, camera: Any, weight: Any, bias: Any, groups: int, eps: float, min_images: int, group: str, threads: int
) -> tuple[Any, Any, Any, Any]:
    """y, mean, var and images of a training batch; `group` names a process group, or is empty."""
    y, x = _empty_like(x), flat(x)
    native = _Native(x, threads)
    images = native.count(camera, groups)
    mean, var = native.empty(groups + 1, x.shape[1]), native.empty(groups + 1, x.shape[1])
    terms = (cast(weight, native.table), cast(bias, native.table))
    if group:
        native("statistics", x, camera, images, mean, var)
        images, mean, var = _join_ranks(images, mean, var, group)
    native("normalise", x, camera, images, min_images, mean, var, *terms, eps, flat(y), not group)
    return y, mean, var, images


def look_up(x: Any, camera: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: float, threads: int) -> Any:
    """y by tables of statistics."""
    y, x = _empty_like(x), flat(x)
    native = _Native(x, threads)
    if not native.gpu:
        native.count(camera, len(mean))  # refuses ids outside of the tables
    terms = (cast(weight, native.table), cast(bias, native.table))
    native(
        "normalise", x, camera, None, 0, cast(mean, native.table), cast(var, native.table), *terms, eps, flat(y), False
    )
    return y


def backward(
    grad: Any, x: Any, camera: Any, weight: Any, mean: Any, var: Any, images: Any, eps: float, min_images: int,
    group: str, threads: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Gradients of x, weight and bias; without `images` those of `look_up`."""
    dx, x, grad = _empty_like(x), flat(x), flat(grad)
    native = _Native(x, threads)
    if not _same_layout(grad, x):
        copy = _empty_like(x)
        copy[...] = grad
        grad = copy
    sums = native.empty(2, *mean.shape)
    common = (x, grad, camera, images, min_images, mean, var, sums[0], sums[1])
    own = sums  # weight and bias get this rank's share: DDP adds up the ranks
    if group:
        native("sums", *common)
        own = sums.clone()
        _sum_ranks(sums, group)
    native("gradient", *common, cast(weight, native.table), eps, flat(dx), not group)
    return dx, (own[1] * (var + eps) ** -0.5).sum(0), own[0].sum(0)


def _join_ranks(images: Any, mean: Any, var: Any, group: str) -> tuple[Any, Any, Any]:
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
    # Operators take a group by its name; torch's own collectives find it in the same way.
    from torch.distributed import distributed_c10d

    resolve: Any = distributed_c10d._resolve_process_group
    return resolve(name)


def operators() -> Any:
    """torch.ops.unrealperson, whose operators autograd, autocast and torch.compile know."""
    import torch

    if not _registered:
        _register()
    return torch.ops.unrealperson


def eager_norm() -> Any:
    """The same as the operator camera_norm where nothing is traced: an operator written in Python costs several times
    what the arithmetic of a small layer does."""
    if not _registered:
        _register()
    return _eager_norm


_registered = False
_eager_norm: Any = None


def _register() -> None:
    global _registered, _eager_norm
    from torch.autograd import Function
    from torch.library import custom_op, register_autograd

    options: dict[str, Any] = {"mutates_args": ()}
    camera_norm = custom_op(
        "unrealperson::camera_norm", forward, **options,
        schema="(Tensor x, Tensor camera, Tensor weight, Tensor bias, int cameras, float eps, int min_images, "
        "str group, int threads) -> (Tensor, Tensor, Tensor, Tensor)",
    )  # fmt: skip
    camera_look_up = custom_op(
        "unrealperson::camera_look_up", look_up, **options,
        schema="(Tensor x, Tensor camera, Tensor weight, Tensor bias, Tensor mean, Tensor var, float eps, int threads) "
        "-> Tensor",
    )  # fmt: skip
    camera_backward = custom_op(
        "unrealperson::camera_norm_backward", backward, **options,
        schema="(Tensor grad, Tensor x, Tensor camera, Tensor weight, Tensor mean, Tensor var, Tensor? images, "
        "float eps, int min_images, str group, int threads) -> (Tensor, Tensor, Tensor)",
    )  # fmt: skip

    @camera_norm.register_fake
    def _(x: Any, camera: Any, weight: Any, bias: Any, cameras: int, *_: Any) -> tuple[Any, ...]:
        mean = arrays.empty(x, (cameras + 1, x.shape[1]), table_dtype(x))
        return _empty_like(x), mean, mean.clone(), arrays.empty(x, (cameras + 1,), "int64")

    @camera_look_up.register_fake
    def _(x: Any, *_: Any) -> Any:
        return _empty_like(x)

    @camera_backward.register_fake
    def _(grad: Any, x: Any, camera: Any, weight: Any, mean: Any, *_: Any) -> tuple[Any, ...]:
        return _empty_like(x), mean.new_empty(x.shape[1]), mean.new_empty(x.shape[1])

    def keep_norm(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        x, camera, weight, bias, _, *ctx.options = inputs
        ctx.save_for_backward(x, camera, weight, *output[1:])
        ctx.bias_dtype = bias.dtype

    def norm_backward(ctx: Any, grad: Any, *_: Any, compute: Any = camera_backward) -> tuple[Any, ...]:
        x, camera, weight, *statistics = ctx.saved_tensors
        dx, dweight, dbias = compute(grad, x, camera, weight, *statistics, *ctx.options)
        return dx, None, dweight.to(weight.dtype), dbias.to(ctx.bias_dtype), *[None] * 5

    class CameraNorm(Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            output = forward(*inputs)
            keep_norm(ctx, inputs, output)
            ctx.mark_non_differentiable(*output[1:])
            ctx.set_materialize_grads(False)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return (None,) * 9 if grads[0] is None else norm_backward(ctx, *grads, compute=backward)

    def keep_look_up(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, camera, weight, bias, mean, var, *ctx.options = inputs
        ctx.save_for_backward(x, camera, weight, mean, var)
        ctx.bias_dtype = bias.dtype

    def look_up_backward(ctx: Any, grad: Any) -> tuple[Any, ...]:
        x, camera, weight, mean, var = ctx.saved_tensors
        eps, threads = ctx.options
        dx, dweight, dbias = camera_backward(grad, x, camera, weight, mean, var, None, eps, 0, "", threads)
        return dx, None, dweight.to(weight.dtype), dbias.to(ctx.bias_dtype), *[None] * 4

    register_autograd(camera_norm, norm_backward, setup_context=keep_norm)
    register_autograd(camera_look_up, look_up_backward, setup_context=keep_look_up)
    _eager_norm = CameraNorm.apply
    _registered = True


def layouts(x: Any) -> tuple[bool, bool]:
    """Whether the positions of [N, C, S] are adjacent, and whether its channels are."""
    image, channel, position = x.stride() if hasattr(x, "stride") else (step // x.itemsize for step in x.strides)
    if min(image, channel, position) < 1:
        return False, False
    return x.shape[2] == 1 or position == 1, x.shape[1] == 1 or channel == 1


def _same_layout(grad: Any, x: Any) -> bool:
    return all(theirs or not own for own, theirs in zip(layouts(x), layouts(grad), strict=True))


def dtype_name(x: Any) -> str:
    """The name that numpy, torch and cupy share."""
    return str(getattr(x.dtype, "name", x.dtype)).removeprefix("torch.")


def table_dtype(x: Any) -> str:
    """The type of the statistics of x."""
    return "float64" if dtype_name(x) == "float64" else "float32"


def flat(x: Any) -> Any:
    """[N, C, S] of [N, C, ...]: a view of what has adjacent positions or channels."""
    return x if x.ndim == 3 else x.reshape(x.shape[0], x.shape[1], -1)


def _empty_like(x: Any) -> Any:
    """Uninitialised and dense, with the shape of [N, C, ...], and its layout."""
    images, channels, *sizes = x.shape
    if layouts(flat(x))[0]:
        return arrays.empty(x, tuple(x.shape), dtype_name(x))
    if hasattr(x, "new_empty_strided"):
        steps = [channels * math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
        return x.new_empty_strided(x.shape, (channels * math.prod(sizes), 1, *steps))
    return arrays.empty(x, (images, *sizes, channels), dtype_name(x)).swapaxes(1, 2)


def cast(x: Any, dtype: str) -> Any:
    """Contiguous and of the type, copied only where it is not so already."""
    if isinstance(x, np.ndarray):
        return np.require(x, dtype, ["C", "A"])
    if arrays.kind_of(x, "x") == "torch":
        return x.to(getattr(sys.modules["torch"], dtype)).contiguous()
    return sys.modules["cupy"].ascontiguousarray(x, dtype=dtype)


if sys.modules.get("torch") is not None:
    _register()
