"""Camera-based batch norm: every camera's images are normalised by that camera's statistics.

The authors' code splits a batch by camera and runs the whole network once per camera. Here the
network runs once: the camera ids reach each layer through one `CameraContext`, and a layer
normalises the whole batch in one native operation, for less than the price of plain batch norm.

Source: paper section 4.1; Zhuang et al., "Rethinking the Distribution Gap of Person
Re-identification with Camera-based Batch Normalization" (CBN), ECCV 2020.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unrealperson.ops import Statistics, normalise_by_camera, normalise_by_tables

Model = TypeVar("Model", bound=nn.Module)


class CameraContext:
    """The camera ids of the batch that is in flight, shared by all layers of one model.

    Args:
        process_group: a torch.distributed group over whose processes the layers take a training batch's statistics
            together; None is this process alone.
    """

    def __init__(self, process_group: Any = None) -> None:
        self.process_group = process_group
        self._camera: Tensor | None = None
        self._rows: dict[int, Tensor] = {}
        self._counts: dict[tuple[int, int], Counts] = {}

    @contextmanager
    def use(self, camera: Tensor) -> Iterator[None]:
        """Makes the ids known to the layers while the block runs.

        Args:
            camera: [n] int64, one id per image; an id outside a layer's tables means "unknown camera".
        """
        previous = self._camera
        self._set(camera)
        try:
            yield
        finally:
            self._set(previous)

    @property
    def camera(self) -> Tensor:
        """[n] int64 ids, as they were given."""
        if self._camera is None:
            raise RuntimeError("no camera ids are set: run the model inside `with context.use(camera):`")
        return self._camera

    def rows(self, cameras: int) -> Tensor:
        """[n] int64 table rows: the ids, and `cameras` where the camera is unknown."""
        camera = self.camera
        if cameras not in self._rows:
            self._rows[cameras] = torch.where((camera < 0) | (camera >= cameras), cameras, camera)
        return self._rows[cameras]

    def counts(self, cameras: int, min_images: int, images: Tensor) -> Counts:
        """The batch's images as the tables count them; all layers that see the batch share them.

        Args:
            cameras: of the layer.
            min_images: of the layer.
            images: [cameras + 2] int64, of each known camera, of unknown ones, of the batch.
        """
        key = cameras, min_images
        if key not in self._counts:
            self._counts[key] = Counts(cameras, min_images, images)
        return self._counts[key]

    def _set(self, camera: Tensor | None) -> None:
        self._camera = camera
        self._rows = {}
        self._counts = {}


class Counts:
    """Images of a batch by row of the tables: [cameras + 1], known cameras and the batch.

    Args:
        cameras: number of known cameras.
        min_images: a camera with fewer does not count.
        images: [cameras + 2] int64; unknown cameras, the row before the last, have no row in the tables.

    Attributes:
        rows: [cameras + 1] int64 rows of the batch's statistics that the tables have.
        counted: [cameras + 1] int64 images that move the row, 0 where they are too few.
    """

    def __init__(self, cameras: int, min_images: int, images: Tensor) -> None:
        self.rows = torch.arange(cameras + 1, device=images.device)
        self.rows[-1] = cameras + 1
        self._images = images.index_select(0, self.rows)
        enough = self._images >= min_images
        enough[-1] = True
        self.counted = self._images * enough
        self._unbiased: dict[int, Tensor] = {}

    def unbiased(self, positions: int) -> Tensor:
        """[cameras + 1, 1] float32 from the mean squared deviation to the unbiased variance.

        Args:
            positions: of each image.
        """
        if positions not in self._unbiased:
            values = self._images * positions
            self._unbiased[positions] = (values / (values - 1).clamp(min=1))[:, None]
        return self._unbiased[positions]


class CameraBatchNorm2d(nn.Module):
    """Batch norm over [n, c, h, w] with statistics per camera.

    Training normalises each camera's images by their own statistics; a camera with fewer than
    `min_images` images in the batch is normalised by the whole batch (the authors' code drops such
    images). The tables hold the image-weighted mean of all batch statistics since the last
    `reset_statistics`; their last row is that of the batches as a whole, for unknown cameras.

    Args:
        channels: c.
        cameras: number of known cameras, 0 or more; ids are 0 ... cameras - 1.
        context: where the layer finds the batch's camera ids.
        eps: added to the variance.
        min_images: fewest images of a camera that give statistics of their own.
    """

    running_mean: Tensor  # [cameras + 1, c] float32
    running_var: Tensor  # [cameras + 1, c] float32
    images: Tensor  # [cameras + 1] float32, images that the row has seen
    dimensions: tuple[int, ...] = (4,)

    def __init__(
        self, channels: int, cameras: int, context: CameraContext, *, eps: float = 1e-5, min_images: int = 2
    ) -> None:
        super().__init__()
        if cameras < 0:
            raise ValueError(f"cameras must be 0 or more, got {cameras}")
        self.context = context
        self.cameras = cameras
        self.eps = eps
        self.min_images = min_images
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(cameras + 1, channels))
        self.register_buffer("running_var", torch.ones(cameras + 1, channels))
        self.register_buffer("images", torch.zeros(cameras + 1))

    def forward(self, x: Tensor) -> Tensor:  # [n, c, ...] float
        if x.ndim not in self.dimensions:
            expected = " or ".join(map(str, self.dimensions))
            raise ValueError(f"{type(self).__name__} expects {expected} dimensions, got {list(x.shape)}")
        return self._train_batch(x) if self.training else self._evaluate(x)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, cameras={self.cameras}, eps={self.eps}, min_images={self.min_images}"

    def _train_batch(self, x: Tensor) -> Tensor:
        rows = self.context.rows(self.cameras)
        if len(rows) != len(x):
            raise ValueError(f"{len(x)} images but {len(rows)} camera ids")
        y, statistics = normalise_by_camera(
            x, rows, self.weight, self.bias, cameras=self.cameras + 1, eps=self.eps, min_images=self.min_images,
            process_group=self.context.process_group,
        )  # fmt: skip
        self._update(statistics, positions=x[0, 0].numel())
        return y

    def _evaluate(self, x: Tensor) -> Tensor:
        rows = self.context.rows(self.cameras)
        return normalise_by_tables(x, rows, self.weight, self.bias, self.running_mean, self.running_var, eps=self.eps)

    def affine_tables(self) -> tuple[Tensor, Tensor]:
        """What evaluation multiplies by and adds, per camera, each [cameras + 1, c]."""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    @torch.no_grad()
    def _update(self, statistics: Statistics, *, positions: int) -> None:
        counts = self.context.counts(self.cameras, self.min_images, statistics.images)
        self.images += counts.counted
        share = (counts.counted / self.images.clamp(min=1))[:, None]
        self.running_mean.lerp_(statistics.mean.index_select(0, counts.rows), share)
        var = statistics.var.index_select(0, counts.rows).mul_(counts.unbiased(positions))
        self.running_var.lerp_(var, share)


class CameraBatchNorm1d(CameraBatchNorm2d):
    """Batch norm over [n, c] or [n, c, length] with statistics per camera; see `CameraBatchNorm2d`."""

    dimensions = (2, 3)


class CameraBatchNorm3d(CameraBatchNorm2d):
    """Batch norm over [n, c, depth, h, w] with statistics per camera; see `CameraBatchNorm2d`."""

    dimensions = (5,)


class CameraBatchNorm(CameraBatchNorm2d):
    """Batch norm over [n, c, ...] with statistics per camera, in the place of SyncBatchNorm."""

    dimensions = (2, 3, 4, 5)


class FrozenCameraNorm(nn.Module):
    """A camera batch-norm layer in evaluation, reduced to two table look-ups and a multiply-add.

    The tables are [cameras + 2, c]: known cameras, the others, and a last row that no camera id selects: the layer's
    weight and bias, from which the row of a further camera can be made.

    Args:
        layer: the layer whose statistics are final.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, layer: CameraBatchNorm2d) -> None:
        super().__init__()
        self.context = layer.context
        self.eps = layer.eps
        tables = zip(layer.affine_tables(), (layer.weight, layer.bias), strict=True)
        scale, shift = (torch.cat([table, own[None]]).detach() for table, own in tables)
        shape = (*scale.shape, *[1] * (layer.dimensions[0] - 2))
        self.register_buffer("scale", scale.reshape(shape).clone())
        self.register_buffer("shift", shift.reshape(shape).clone())

    def forward(self, x: Tensor) -> Tensor:
        rows = self.context.camera
        scale, shift = self.scale.index_select(0, rows), self.shift.index_select(0, rows)
        for _ in range(x.ndim - scale.ndim):
            scale, shift = scale.unsqueeze(-1), shift.unsqueeze(-1)
        return x * scale + shift


def freeze_statistics(model: Model) -> Model:
    """A copy of a model for evaluation only, its camera batch-norm layers as look-up tables.

    Its camera ids are rows of the tables: it takes `cameras`, not any other id, for an unknown camera.

    Args:
        model: a model with camera batch-norm layers, their statistics estimated.
    """
    return _with_layers(model, FrozenCameraNorm)


def fold_statistics(model: Model, row: int) -> Model:
    """A copy of a model for evaluation only, its camera batch-norm layers as plain ones with one row's statistics.

    Args:
        model: a model with camera batch-norm layers, their statistics estimated.
        row: of the tables; -1 is that of all cameras.
    """

    def plain(layer: CameraBatchNorm2d) -> nn.Module:
        kind = {2: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[layer.dimensions[0]]
        folded = kind(len(layer.weight), eps=layer.eps).to(layer.weight.device).eval()
        folded.weight, folded.bias = layer.weight, layer.bias
        folded.running_mean, folded.running_var = layer.running_mean[row].clone(), layer.running_var[row].clone()
        return folded

    return _with_layers(model, plain)


def _with_layers(model: Model, convert: Callable[[CameraBatchNorm2d], nn.Module]) -> Model:
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, CameraBatchNorm2d):
                setattr(parent, name, convert(layer))
    return model


def plain_batch_norm(model: Model, row: int = -1) -> Model:
    """A copy of a model with plain batch norm in the place of each camera batch-norm layer.

    Args:
        model: a model with camera batch-norm layers.
        row: row of the tables whose statistics it gets; -1 is that of unknown cameras.
    """
    for each in _layers(model):
        each.context.process_group = None  # which no copy can be made of
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, CameraBatchNorm2d):
                kind = nn.BatchNorm1d if isinstance(layer, CameraBatchNorm1d) else nn.BatchNorm2d
                plain = kind(len(layer.weight), eps=layer.eps)
                plain.weight, plain.bias = layer.weight, layer.bias
                plain.running_mean = layer.running_mean[row].clone()
                plain.running_var = layer.running_var[row].clone()
                setattr(parent, name, plain.train(layer.training))
    return model


def convert_camera_batch_norm(
    model: nn.Module, cameras: int, *, min_images: int = 2, process_group: Any = None
) -> CameraContext:
    """Replaces every batch-norm layer inside a model, in place: BatchNorm1d, 2d, 3d and SyncBatchNorm.

    Weights are kept, and each camera starts with the layer's running statistics. A layer that a model uses in
    several places stays one layer; a layer without weights gets constant ones.

    Args:
        model: any module that holds batch-norm layers; not itself such a layer.
        cameras: number of known cameras.
        min_images: fewest images of a camera that give statistics of their own.
        process_group: a torch.distributed group over whose processes statistics are taken together.

    Returns:
        What hands the layers their camera ids: run the model inside `with context.use(camera):`.

    Raises:
        ValueError: the model is a batch-norm layer itself, or holds none, or one whose size is not known yet or that
            has a forward pass of its own.

    Source: paper section 4.1.
    """
    context = CameraContext(process_group)
    _replace_batch_norm(model, lambda layer: _converted(layer, cameras, context, min_images))
    return context


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Plain batch norm whose training statistics are those of all processes, on a CPU as well as on a GPU."""

    process_group: Any = None
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        camera = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        y, statistics = normalise_by_camera(
            x, camera, self.weight, self.bias, cameras=1, eps=self.eps, min_images=1, process_group=self.process_group
        )
        with torch.no_grad():
            values = statistics.images[-1] * x[0, 0].numel()
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean += momentum * (statistics.mean[-1] - self.running_mean)
            self.running_var += momentum * (
                statistics.var[-1] * (values / (values - 1).clamp(min=1)) - self.running_var
            )
            self.num_batches_tracked.add_(1)
        return y


class SyncedBatchNorm1d(SyncedBatchNorm2d):
    """The same over [n, c] or [n, c, length]."""

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim not in (2, 3):
            raise ValueError(f"SyncedBatchNorm1d expects 2 or 3 dimensions, got {list(x.shape)}")


def synchronise_batch_norm(model: nn.Module, process_group: Any) -> None:
    """Makes every plain batch-norm layer inside a model take its statistics over all processes, in place.

    Args:
        model: any module that holds BatchNorm1d or BatchNorm2d layers; names and weights stay as they are.
        process_group: the torch.distributed group.

    Raises:
        ValueError: the model is a batch-norm layer itself, or holds none.
    """
    _replace_batch_norm(model, lambda layer: _synced(layer, process_group))


def reset_statistics(model: nn.Module, row: int | None = None) -> None:
    """Makes the tables start anew: the next batch of a camera replaces what a table says of it.

    Args:
        model: a model with camera batch-norm layers.
        row: only this row; -1 is that of unknown cameras. None is all rows.
    """
    for layer in _layers(model):
        layer.images[slice(None) if row is None else row] = 0


def resize_tables(model: nn.Module, cameras: int, *, min_images: int) -> None:
    """Makes room for other cameras, each of which starts from the tables' last row.

    Args:
        model: a model with camera batch-norm layers.
        cameras: number of known cameras, 0 or more.
        min_images: fewest images of a camera in a batch that give statistics of their own from now on.
    """
    for layer in _layers(model):
        layer.cameras = cameras
        layer.min_images = min_images
        layer.running_mean = layer.running_mean[-1:].repeat(cameras + 1, 1)
        layer.running_var = layer.running_var[-1:].repeat(cameras + 1, 1)
        layer.images = layer.images.new_zeros(cameras + 1)


def copy_statistics(model: nn.Module, source: int, row: int) -> None:
    """Gives one row of the tables the statistics of another.

    Args:
        model: a model with camera batch-norm layers.
        source: row to copy; -1 is that of unknown cameras.
        row: row to replace.
    """
    for layer in _layers(model):
        layer.running_mean[row] = layer.running_mean[source]
        layer.running_var[row] = layer.running_var[source]


def nearest_statistics(model: nn.Module, row: int, candidates: Sequence[int]) -> int:
    """The row whose camera is most alike in style.

    Compared are the means and standard deviations of all channels of all layers over image positions, in units of the
    candidates' mean variance.

    Args:
        model: a model with camera batch-norm layers.
        row: row of the camera, estimated from however few images.
        candidates: rows to choose among, at least one.
    """
    rows = list(candidates)
    gap = torch.zeros(len(rows))
    for layer in _layers(model):
        if layer.dimensions[0] > 2:  # one image has no variance where there are no positions
            mean, var = layer.running_mean.cpu(), layer.running_var.cpu()
            apart = (mean[rows] - mean[row]) ** 2 + (var[rows].sqrt() - var[row].sqrt()) ** 2
            gap += (apart / (var[rows].mean(0) + layer.eps)).mean(1)
    return rows[int(gap.argmin())]


def _layers(model: nn.Module) -> Iterator[CameraBatchNorm2d]:
    return (layer for layer in model.modules() if isinstance(layer, CameraBatchNorm2d))


_Plain = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
_PLAIN_FORWARDS = (nn.BatchNorm2d.forward, nn.SyncBatchNorm.forward, SyncedBatchNorm2d.forward)


def _replace_batch_norm(model: nn.Module, convert: Callable[[_Plain], nn.Module]) -> None:
    if isinstance(model, _Plain):
        raise ValueError(f"the model is itself a {type(model).__name__}; put it into torch.nn.Sequential(layer)")
    converted: dict[nn.Module, nn.Module] = {}
    for parent in list(model.modules()):
        for name, layer in parent._modules.items():  # named_children leaves out a second place of the same layer
            if isinstance(layer, nn.LazyBatchNorm1d | nn.LazyBatchNorm2d | nn.LazyBatchNorm3d):
                raise ValueError(f"{name} is a {type(layer).__name__} of unknown size; run the model once before")
            if isinstance(layer, _Plain):
                if type(layer).forward not in _PLAIN_FORWARDS:
                    raise ValueError(
                        f"{name} is a {type(layer).__name__}, which computes more than batch norm; put a plain "
                        "BatchNorm layer and what it adds in its place"
                    )
                if layer not in converted:
                    converted[layer] = convert(layer)
                parent._modules[name] = converted[layer]
    if not converted:
        raise ValueError(f"{type(model).__name__} holds no batch-norm layer to convert")


def _converted(layer: _Plain, cameras: int, context: CameraContext, min_images: int) -> CameraBatchNorm2d:
    kind: type[CameraBatchNorm2d] = CameraBatchNorm
    for plain, ours in (
        (nn.BatchNorm1d, CameraBatchNorm1d),
        (nn.BatchNorm2d, CameraBatchNorm2d),
        (nn.BatchNorm3d, CameraBatchNorm3d),
    ):
        if isinstance(layer, plain):
            kind = ours
    new = kind(layer.num_features, cameras, context, eps=layer.eps, min_images=min_images)
    if layer.affine:
        new.weight, new.bias = layer.weight, layer.bias
    else:
        new.weight.requires_grad_(False)
        new.bias.requires_grad_(False)
    if layer.running_mean is not None and layer.running_var is not None:
        new.running_mean.copy_(layer.running_mean)
        new.running_var.copy_(layer.running_var)
        new.to(layer.running_mean.device)
    return new.train(layer.training)


def _synced(layer: _Plain, process_group: Any) -> nn.Module:
    if not (isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.affine and layer.track_running_stats):
        raise ValueError(f"only BatchNorm1d and BatchNorm2d with weights and statistics can be synchronised: {layer}")
    kind = SyncedBatchNorm1d if isinstance(layer, nn.BatchNorm1d) else SyncedBatchNorm2d
    new = kind(layer.num_features, eps=layer.eps, momentum=layer.momentum)
    new.process_group = process_group
    new.load_state_dict(layer.state_dict())
    new.weight, new.bias = layer.weight, layer.bias
    return new.train(layer.training)
