"""Training batches by NVIDIA DALI: decoded and augmented on a GPU, or on the CPU where there is none."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrealperson.config import TrainConfig
from unrealperson.data.loader import Plan
from unrealperson.data.manifest import Manifest
from unrealperson.data.pixels import place, resize
from unrealperson.data.sources import image_size, load_image, read_bytes
from unrealperson.data.transforms import ERASED, SHARPENING_PX, Augmentation, draw_augmentation, grain, reduced_size

_BATCHES_AHEAD = 2


class DaliBackEnd:
    """Does with a batch what `transforms.augment` does, in one graph of DALI operators.

    Every random value comes with the plan, as an external source; the graph draws none. Files, and images in tar
    shards, are read here, so that each image is checked before DALI sees it.

    Args:
        manifest: the images.
        config: section [train]: size, and which augmentations there are.
        batch_size: most images in a plan.
        threads: that decode on the CPU.
        device: a GPU, or the CPU.

    Raises:
        RuntimeError: DALI is not installed.
    """

    def __init__(
        self, manifest: Manifest, config: TrainConfig, *, batch_size: int, threads: int, device: torch.device
    ) -> None:
        try:
            import nvidia.dali  # noqa: F401
        except ImportError as error:
            raise RuntimeError(
                "train.loader = dali needs NVIDIA DALI: pip install 'unrealperson[dali]', or set train.loader to torch"
            ) from error
        self._manifest = manifest
        self._config = config
        self._batch_size = batch_size
        self._threads = threads
        self._device = device
        self._known = np.zeros(len(manifest), dtype=bool)
        self._idle: list[_Feed] = []
        self._copying: torch.cuda.Stream | None = None

    def __call__(self, plans: Iterator[Plan]) -> Iterator[Tensor]:
        """Decodes and augments.

        Args:
            plans: batch by batch.

        Yields:
            [n, height, width, 3] uint8 on the device; its content stays until the next is asked for.

        Raises:
            ValueError: an image cannot be read; the message names the file.
            RuntimeError: DALI fails.
        """
        feed = self._idle.pop() if self._idle else _Feed(self._values)
        feed.plans = plans
        if feed.pipeline is None:
            feed.pipeline = self._pipeline(feed)
        gpu = self._device.type == "cuda"
        while True:
            try:
                (images,) = feed.pipeline.run()
            except StopIteration:
                feed.pipeline.reset()
                self._idle.append(feed)
                return
            except RuntimeError as error:
                for row in np.concatenate(feed.ahead):
                    load_image(self._manifest.image_path(row))  # tells which one is broken
                raise RuntimeError(f"DALI could not load a batch: {error}") from error
            feed.ahead.popleft()
            pixels = self._owned(images.as_tensor()) if gpu else torch.from_dlpack(images.as_tensor())
            yield pixels

    def _values(self, plan: Plan) -> tuple[Any, ...]:
        rows, drawn = plan
        return self._encoded(rows), *self._inputs(drawn).values()

    def _encoded(self, rows: np.ndarray) -> list[np.ndarray]:
        paths = [self._manifest.image_path(row) for row in rows]
        for row, path in zip(rows, paths, strict=True):
            if not self._known[row]:
                image_size(path)  # refuses what is no image or too large
                self._known[row] = True
        return [np.frombuffer(read_bytes(path), np.uint8) for path in paths]

    def _owned(self, images: Any) -> Tensor:
        """A copy, since DALI fills its memory anew while steps of training that read it still wait for their turn.

        The copy itself waits for none of them: it has a stream of its own.
        """
        if self._copying is None:
            self._copying = torch.cuda.Stream(self._device)
        with torch.cuda.stream(self._copying):
            pixels = torch.from_dlpack(images).clone()
        self._copying.synchronize()
        pixels.record_stream(torch.cuda.current_stream(self._device))
        return pixels

    def _pipeline(self, feed: _Feed) -> Any:
        from nvidia.dali import fn, pipeline_def, types

        height, width = self._config.height, self._config.width
        gpu = self._device.type == "cuda"
        resized, placed = (_by_operators if gpu else _by_loops)(height, width)
        names = list(self._inputs(draw_augmentation(1, self._config, np.random.default_rng(0))))

        def graph() -> Any:
            encoded, *values = fn.external_source(source=feed, num_outputs=1 + len(names))
            given = dict(zip(names, values))  # noqa: B905 (DALI rewrites zip, without strict)
            images = fn.decoders.image(
                encoded, device="mixed" if gpu else "cpu", output_type=types.RGB, jpeg_fancy_upsampling=True
            )
            images = resized(images)
            if "matrix" in names:
                mean = fn.reductions.mean(images, axes=(0, 1))
                offset = fn.reductions.sum(mean * (given["tint"].gpu() if gpu else given["tint"]), axes=0)
                colored = fn.coord_transform(images, M=given["matrix"], dtype=types.FLOAT) + offset
                images = fn.reinterpret(fn.cast(colored, dtype=types.UINT8), layout="HWC")
            if "blur_px" in names:
                if given["blur_px"] > 0.0:
                    images = fn.gaussian_blur(images, sigma=given["blur_px"])
            if "reduced" in names:
                images = fn.resize(images, size=given["reduced"], interp_type=types.INTERP_TRIANGULAR)
            if "grain" in names:
                images = fn.cast_like(images + (given["grain"].gpu() if gpu else given["grain"]), images)
                images = fn.reinterpret(images, layout="HWC")
            if "sharpening" in names:
                strength = given["sharpening"].gpu() if gpu else given["sharpening"]
                smooth = fn.gaussian_blur(images, sigma=SHARPENING_PX, dtype=types.FLOAT)
                images = fn.cast_like(images + strength * (images - smooth), images)
                images = fn.reinterpret(images, layout="HWC")
            if "quality" in names:
                if given["quality"] > 0:
                    images = fn.jpeg_compression_distortion(images, quality=given["quality"])
            if "box" in names:
                images = fn.warp_affine(
                    images, matrix=given["box"], size=(height, width), interp_type=types.INTERP_LINEAR
                )
                start, shape = given["inside"][:2], given["inside"][2:]
                images = fn.slice(images, start=start, shape=shape, axes=(0, 1))
                images = fn.slice(images, start=-start, shape=(height, width), axes=(0, 1), out_of_bounds_policy="pad")
            elif "reduced" in names:
                images = resized(images)
            return placed(images, given["placement"])

        pipeline = pipeline_def(
            graph,
            batch_size=self._batch_size,
            num_threads=self._threads,
            device_id=self._device.index or 0 if gpu else None,
            prefetch_queue_depth=_BATCHES_AHEAD,
            enable_conditionals=True,
        )()
        pipeline.build()
        return pipeline

    def _inputs(self, drawn: Augmentation) -> dict[str, Any]:
        """What was drawn, as the operators take it; a placement is mirrored, down, right, and the erased box."""
        height, width = self._config.height, self._config.width
        count = len(drawn.mirrored)
        erased = np.zeros((count, 4)) if drawn.erased is None else drawn.erased
        placement = np.column_stack([drawn.mirrored, drawn.shift, erased])
        values: dict[str, Any] = {"placement": placement.astype(np.int32)}
        if drawn.matrix is not None and drawn.tint is not None:
            values |= {"matrix": drawn.matrix, "tint": drawn.tint}
        if drawn.blur_px is not None:
            values["blur_px"] = drawn.blur_px.astype(np.float32)
        size = np.tile([height, width], (count, 1))
        if drawn.detail is not None:
            size = reduced_size(drawn.detail, height, width)
            values["reduced"] = size.astype(np.float32)
        if drawn.noise is not None and drawn.noise_seed is not None:
            each = zip(drawn.noise_seed.tolist(), drawn.noise.tolist(), size.tolist(), strict=True)
            values["grain"] = [grain(seed, scale, *shape)[..., None] for seed, scale, shape in each]
        if drawn.sharpening is not None:
            values["sharpening"] = drawn.sharpening.astype(np.float32)
        if drawn.quality is not None:
            values["quality"] = drawn.quality.astype(np.int32)
        if drawn.box is not None:
            values["box"], values["inside"] = _enlarging(drawn.box * np.tile(size, 2), size, height, width)
        return values


class _Feed:
    """What a pipeline takes its batches from.

    Attributes:
        plans: of this epoch.
        pipeline: that is fed; None until it is built.
        ahead: rows of the batches that it has taken and not given yet.
    """

    def __init__(self, values: Callable[[Plan], tuple[Any, ...]]) -> None:
        self.plans: Iterator[Plan] = iter(())
        self.pipeline: Any = None
        self.ahead: deque[np.ndarray] = deque()
        self._values = values

    def __call__(self) -> tuple[Any, ...]:
        plan = next(self.plans)
        self.ahead.append(plan[0])
        return self._values(plan)


_ERASED = tuple(ERASED.tolist())


@cache  # which compiles the loops once
def _by_loops(height: int, width: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Resizing and placing on the CPU, by the loops of `pixels`: DALI's own take four times as long."""
    from nvidia.dali import fn, types
    from nvidia.dali.plugin.numba import NumbaFunction

    def set_shape(outs: Any, ins: Any) -> None:
        for shape in outs[0]:
            shape[0], shape[1], shape[2] = height, width, 3

    image = {"out_types": [types.UINT8], "outs_ndim": [3], "setup_fn": set_shape}
    resizing = NumbaFunction(_resize, in_types=[types.UINT8], ins_ndim=[3], **image)
    placing = NumbaFunction(_place, in_types=[types.UINT8, types.INT32], ins_ndim=[3, 1], **image)

    def resized(images: Any) -> Any:
        return fn.reshape(resizing(images), layout="HWC")

    def placed(images: Any, placement: Any) -> Any:
        return placing(images, placement)

    return resized, placed


def _resize(out: np.ndarray, image: np.ndarray) -> None:
    resize(out, image)


def _place(out: np.ndarray, image: np.ndarray, placement: np.ndarray) -> None:
    place(out, image, placement[0] != 0, placement[1:3], placement[3:7], _ERASED)


def _by_operators(height: int, width: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Resizing and placing on a GPU, by DALI's own operators."""
    from nvidia.dali import fn, types

    def resized(images: Any) -> Any:
        return fn.resize(images, size=(height, width), interp_type=types.INTERP_TRIANGULAR)

    def placed(images: Any, placement: Any) -> Any:
        images = fn.flip(images, horizontal=placement[0])
        images = fn.slice(images, start=-placement[1:3], shape=(height, width), axes=(0, 1), out_of_bounds_policy="pad")
        anchor, shape = placement[3:5], placement[5:7] - placement[3:5]
        if shape[0] > 0:
            images = fn.erase(
                images,
                anchor=fn.cast(anchor, dtype=types.FLOAT),
                shape=fn.cast(shape, dtype=types.FLOAT),
                axes=(0, 1),
                fill_value=_ERASED,
            )
        return images

    return resized, placed


def _enlarging(box: np.ndarray, size: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """How boxes in pixels become images of the network's size.

    Returns:
        Matrices [n, 2, 3] that tell where in an image a pixel of the result comes from; and [n, 4] int32 top, left,
        height, width of the part of the result that comes from inside the image.
    """
    start, end = box[:, :2], box[:, 2:]
    scale = (end - start) / (height, width)
    matrix = np.zeros((len(box), 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 1, 1] = scale[:, 1], scale[:, 0]
    matrix[:, :, 2] = start[:, ::-1]
    first, last = (np.clip(np.ceil((edge - start) / scale - 0.5), 0, (height, width)) for edge in (0, size))
    return matrix, np.hstack([first, last - first]).astype(np.int32)
