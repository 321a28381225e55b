"""Training batches by NVIDIA DALI: decoded and augmented on a GPU, or on the CPU where there is none."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrealperson.config import TrainConfig
from unrealperson.data.loader import Plan
from unrealperson.data.manifest import Manifest
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
        ahead: deque[np.ndarray] = deque()

        def feed() -> tuple[Any, ...]:
            rows, drawn = next(plans)
            ahead.append(rows)
            return self._encoded(rows), *self._inputs(drawn).values()

        pipeline = self._pipeline(feed)
        while True:
            try:
                (images,) = pipeline.run()
            except StopIteration:
                return
            except RuntimeError as error:
                for row in np.concatenate(ahead):
                    load_image(self._manifest.image_path(row))  # tells which one is broken
                raise RuntimeError(f"DALI could not load a batch: {error}") from error
            ahead.popleft()
            pixels = torch.from_dlpack(images.as_tensor())
            if pixels.is_cuda:  # DALI fills its memory anew while torch's stream may still read it
                pixels = pixels.clone()
                torch.cuda.current_stream(pixels.device).synchronize()
            yield pixels

    def _encoded(self, rows: np.ndarray) -> list[np.ndarray]:
        paths = [self._manifest.image_path(row) for row in rows]
        for row, path in zip(rows, paths, strict=True):
            if not self._known[row]:
                image_size(path)  # refuses what is no image or too large
                self._known[row] = True
        return [np.frombuffer(read_bytes(path), np.uint8) for path in paths]

    def _pipeline(self, feed: Callable[[], tuple[Any, ...]]) -> Any:
        from nvidia.dali import fn, pipeline_def, types

        height, width = self._config.height, self._config.width
        gpu = self._device.type == "cuda"
        names = list(self._inputs(draw_augmentation(1, self._config, np.random.default_rng(0))))

        def graph() -> Any:
            encoded, *values = fn.external_source(source=feed, num_outputs=1 + len(names))
            given = dict(zip(names, values))  # noqa: B905 (DALI rewrites zip, without strict)
            size = fn.peek_image_shape(encoded)
            images = fn.decoders.image(encoded, device="mixed" if gpu else "cpu", output_type=types.RGB)
            if size[0] != height or size[1] != width:
                images = fn.resize(images, size=(height, width), interp_type=types.INTERP_TRIANGULAR)
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
                    images, matrix=given["box"], size=(height, width), fill_value=0, interp_type=types.INTERP_LINEAR
                )
            elif "reduced" in names:
                images = fn.resize(images, size=(height, width), interp_type=types.INTERP_TRIANGULAR)
            # Rows as bytes are copied whole; as pixels, one by one.
            images = fn.reshape(images, shape=(height, 3 * width), layout="HW")
            images = fn.slice(
                images, start=given["start"], shape=(height, 3 * width), axes=(0, 1), out_of_bounds_policy="pad"
            )
            images = fn.reshape(images, shape=(height, width, 3), layout="HWC")
            images = fn.flip(images, horizontal=given["mirrored"])
            if "anchor" in names:
                if given["shape"][0] > 0.0:
                    images = fn.erase(
                        images, anchor=given["anchor"], shape=given["shape"], axes=(0, 1), fill_value=ERASED.tolist()
                    )
            return images

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
        """What was drawn, as the operators take it."""
        height, width = self._config.height, self._config.width
        down, right = drawn.shift.T
        values: dict[str, Any] = {
            "mirrored": drawn.mirrored.astype(np.int32),
            "start": np.column_stack([-down, 3 * np.where(drawn.mirrored, right, -right)]).astype(np.int32),
        }
        if drawn.matrix is not None and drawn.tint is not None:
            values |= {"matrix": drawn.matrix, "tint": drawn.tint}
        if drawn.blur_px is not None:
            values["blur_px"] = drawn.blur_px.astype(np.float32)
        size = np.tile([height, width], (len(down), 1))
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
            values["box"] = _enlarging(drawn.box * np.tile(size, 2), height, width)
        if drawn.erased is not None:
            anchor, end = drawn.erased[:, :2], drawn.erased[:, 2:]
            values |= {"anchor": anchor.astype(np.float32), "shape": (end - anchor).astype(np.float32)}
        return values


def _enlarging(box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Matrices [n, 2, 3] that tell where in an image a pixel of its box comes from, at the size of the network."""
    top, left, bottom, right = box.T
    matrix = np.zeros((len(box), 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 0, 2] = (right - left) / width, left
    matrix[:, 1, 1], matrix[:, 1, 2] = (bottom - top) / height, top
    return matrix
