"""From decoded images to a network's input."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn

from unrealperson.config import TrainConfig

MEAN = 127.0
STD = 128.0
"""Every network here takes (pixel - MEAN) / STD of 8-bit RGB."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""What most ImageNet weights expect of 8-bit RGB."""


def resize(image: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Bilinear resize with anti-aliasing, the aspect ratio changed as needed.

    Args:
        image: [H, W, 3] uint8 RGB.
        height: of the result, pixels.
        width: of the result, pixels.

    Returns:
        [height, width, 3] uint8.
    """
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Augmentation:
    """What happens to each image of a batch, drawn before any pixel is touched, so that any loader can do it.

    Attributes:
        mirrored: [n] bool.
        shift: [n, 2] int64 pixels down and right.
        gain: [n, 3] float32 factor of each colour channel; None: none.
        contrast: [n] float32 factor of the distance from the image's mean; None: none.
        saturation: [n] float32 factor of the distance from grey; None: none.
        blur_px: [n] float64 standard deviation of a Gaussian blur, 0 for none; None: none.
        quality: [n] int64 JPEG quality, 0 for none; None: none.
        erased: [n, 4] int64 top, left, bottom, right of the erased box, empty for none; None: none.
    """

    mirrored: np.ndarray
    shift: np.ndarray
    gain: np.ndarray | None = None
    contrast: np.ndarray | None = None
    saturation: np.ndarray | None = None
    blur_px: np.ndarray | None = None
    quality: np.ndarray | None = None
    erased: np.ndarray | None = None

    def __getitem__(self, rows: slice) -> Augmentation:
        """That of some of the images."""
        values = {key.name: getattr(self, key.name) for key in fields(self)}
        return replace(self, **{name: value[rows] for name, value in values.items() if value is not None})


def draw_augmentation(n: int, config: TrainConfig, rng: np.random.Generator) -> Augmentation:
    """Draws what happens to a batch; what the configuration leaves out costs no random number.

    Args:
        n: images.
        config: section [train]: flip, pad, erasing, jitter, brightness, blur, jpeg, height, width.
        rng: source of randomness.

    Source: the authors' training transforms (flip, pad 10, random crop); Zhong et al., "Random Erasing Data
    Augmentation", AAAI 2020, with the sizes of Bag of Tricks (area 0.02 to 0.4, aspect 0.3 to 3.3).
    """
    mirrored = np.less(rng.random(n), config.flip)
    shift = rng.integers(-config.pad, config.pad + 1, size=(n, 2))
    gain = contrast = saturation = blur_px = quality = erased = None
    if config.brightness or config.jitter:
        light = 2.0 ** rng.uniform(-config.brightness, config.brightness, (n, 1))
        gain = (light * rng.uniform(1 - config.jitter / 2, 1 + config.jitter / 2, (n, 3))).astype(np.float32)
    if config.jitter:
        contrast, saturation = rng.uniform(1 - config.jitter, 1 + config.jitter, (2, n)).astype(np.float32)
    if config.blur:
        blur_px = np.where(rng.random(n) < config.blur, rng.uniform(0.3, 1.6, n) * config.height / 256, 0.0)
    if config.jpeg:
        quality = np.where(rng.random(n) < config.jpeg, rng.integers(20, 81, n), 0)
    if config.erasing:
        erased = _draw_boxes(n, config, rng)
    return Augmentation(mirrored, shift, gain, contrast, saturation, blur_px, quality, erased)


def augment(images: np.ndarray, drawn: Augmentation) -> np.ndarray:
    """Light and colour, blur, compression; then mirror, black padding and crop back to the size; then erasing.

    Args:
        images: [n, h, w, 3] uint8.
        drawn: what happens to each of them.

    Returns:
        [n, h, w, 3] uint8, a new array.
    """
    images = _develop(images, drawn)
    _, height, width, _ = images.shape
    result = np.zeros_like(images)
    for image, out, mirror, (down, right) in zip(images, result, drawn.mirrored, drawn.shift.tolist(), strict=True):
        source = image[:, ::-1] if mirror else image
        rows, columns = height - abs(down), width - abs(right)
        if rows <= 0 or columns <= 0:
            continue
        top, left = max(down, 0), max(right, 0)
        from_top, from_left = max(-down, 0), max(-right, 0)
        out[top : top + rows, left : left + columns] = source[
            from_top : from_top + rows, from_left : from_left + columns
        ]
    if drawn.erased is not None:
        for out, (top, left, bottom, right) in zip(result, drawn.erased.tolist(), strict=True):
            out[top:bottom, left:right] = _ERASED
    return result


def normalise(images: np.ndarray) -> Tensor:
    """Scales pixels to what the backbone expects.

    Args:
        images: [n, h, w, 3] uint8 RGB.

    Returns:
        [n, 3, h, w] float32 in channels-last memory format.
    """
    return ((torch.from_numpy(images).float() - MEAN) / STD).permute(0, 3, 1, 2)


class ImagenetColors(nn.Module):
    """From what `normalise` gives to ImageNet's mean and deviation, at the entrance of networks that expect those."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("scale", STD / std, persistent=False)
        self.register_buffer("shift", (MEAN - mean) / std, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


_ERASED = np.round(IMAGENET_MEAN).astype(np.uint8)
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def _develop(images: np.ndarray, drawn: Augmentation) -> np.ndarray:
    """What a camera does to the light, in its order: colours, lens, compression."""
    if drawn.gain is not None:
        values = images * drawn.gain[:, None, None]
        if drawn.contrast is not None and drawn.saturation is not None:
            mean = values.mean((1, 2, 3), keepdims=True)
            values = mean + (values - mean) * drawn.contrast[:, None, None, None]
            grey = (values @ _GREY)[..., None]
            values = grey + (values - grey) * drawn.saturation[:, None, None, None]
        images = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    for values, change in ((drawn.blur_px, _blurred), (drawn.quality, _compressed)):
        if values is not None:
            images = np.stack(
                [change(image, value) if value else image for image, value in zip(images, values.tolist(), strict=True)]
            )
    return images


def _blurred(image: np.ndarray, blur_px: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(blur_px)))


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def _draw_boxes(n: int, config: TrainConfig, rng: np.random.Generator) -> np.ndarray:
    """[n, 4] boxes that lie in the image; the first of ten draws that does, as the original tries again and again."""
    chosen = rng.random(n) < config.erasing
    area = rng.uniform(0.02, 0.4, (n, 10)) * config.height * config.width
    aspect = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3), (n, 10)))
    heights, widths = np.rint(np.sqrt(area * aspect)).astype(int), np.rint(np.sqrt(area / aspect)).astype(int)
    fits = (heights < config.height) & (widths < config.width)
    first = fits.argmax(1)
    each = np.arange(n)
    height, width = heights[each, first], widths[each, first]
    used = chosen & fits[each, first]
    top = np.floor(rng.random(n) * (config.height - height + 1)).astype(int)
    left = np.floor(rng.random(n) * (config.width - width + 1)).astype(int)
    return np.where(used[:, None], np.stack([top, left, top + height, left + width], axis=1), 0)
