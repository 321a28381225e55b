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


@dataclass(frozen=True)
class Augmentation:
    """What happens to each image of a batch, drawn before any pixel is touched, so that any loader can do it.

    In this order, which is a camera's: colour, blur, resolution, noise, sharpening, compression, box; then mirror,
    shift on black, erasing.

    Attributes:
        mirrored: [n] bool.
        shift: [n, 2] int64 pixels down and right.
        matrix: [n, 3, 3] float32; a pixel v becomes matrix @ v + tint . (the image's mean colour); None: stays.
        tint: [n, 3] float32; None where matrix is.
        blur_px: [n] float64 standard deviation of a Gaussian blur, 0 for none; None: none.
        detail: [n] float64 share of its pixels a side that the image keeps until its box is cut; None: all.
        noise: [n] float64 standard deviation of the noise, in 255ths; None: none.
        noise_seed: [n] int64 of `grain`; None where noise is.
        sharpening: [n] float64 strength of an unsharp mask of SHARPENING_PX; None: none.
        quality: [n] int64 JPEG quality, 0 for none; None: none.
        box: [n, 4] float64 top, left, bottom, right of what is shown, as shares of height and width; black outside the
            image. None: the image.
        erased: [n, 4] int64 top, left, bottom, right of the erased box, empty for none; None: none.
    """

    mirrored: np.ndarray
    shift: np.ndarray
    matrix: np.ndarray | None = None
    tint: np.ndarray | None = None
    blur_px: np.ndarray | None = None
    detail: np.ndarray | None = None
    noise: np.ndarray | None = None
    noise_seed: np.ndarray | None = None
    sharpening: np.ndarray | None = None
    quality: np.ndarray | None = None
    box: np.ndarray | None = None
    erased: np.ndarray | None = None

    @property
    def by_camera(self) -> bool:
        """Whether something happens before the mirror."""
        steps = (self.matrix, self.blur_px, self.detail, self.noise, self.sharpening, self.quality, self.box)
        return any(step is not None for step in steps)

    def __getitem__(self, rows: slice) -> Augmentation:
        """That of some of the images."""
        values = {key.name: getattr(self, key.name) for key in fields(self)}
        return replace(self, **{name: value[rows] for name, value in values.items() if value is not None})


def draw_augmentation(n: int, config: TrainConfig, rng: np.random.Generator) -> Augmentation:
    """Draws what happens to a batch; what the configuration leaves out costs no random number.

    Args:
        n: images.
        config: section [train]: height, width, and flip to erasing.
        rng: source of randomness.

    Source: the authors' training transforms (flip, pad 10, random crop); Zhong et al., "Random Erasing Data
    Augmentation", AAAI 2020, with the sizes of Bag of Tricks (area 0.02 to 0.4, aspect 0.3 to 3.3).
    """
    mirrored = np.less(rng.random(n), config.flip)
    shift = rng.integers(-config.pad, config.pad + 1, size=(n, 2))
    drawn: dict[str, np.ndarray] = {}
    if config.brightness or config.jitter or config.contrast or config.white_balance:
        drawn["matrix"], drawn["tint"] = _draw_colors(n, config, rng)
    if config.blur:
        drawn["blur_px"] = np.where(rng.random(n) < config.blur, rng.uniform(0.3, 1.6, n) * config.height / 256, 0.0)
    if config.resolution:
        drawn["detail"] = np.where(rng.random(n) < config.resolution, 2.0 ** rng.uniform(-2, 0, n), 1.0)
    if config.noise:
        drawn["noise"] = rng.uniform(0, config.noise, n)
        drawn["noise_seed"] = rng.integers(2**32, size=n)
    if config.sharpen:
        drawn["sharpening"] = rng.uniform(0, config.sharpen, n)
    if config.jpeg:
        drawn["quality"] = np.where(rng.random(n) < config.jpeg, rng.integers(20, 81, n), 0)
    if config.box:
        drawn["box"] = np.array([0, 0, 1, 1]) + rng.uniform(-config.box, config.box, (n, 4))
    if config.erasing:
        drawn["erased"] = _draw_boxes(n, config, rng)
    return Augmentation(mirrored, shift, **drawn)


def augment(images: np.ndarray, drawn: Augmentation) -> np.ndarray:
    """Does to each image what was drawn for it.

    Args:
        images: [n, h, w, 3] uint8.
        drawn: what happens to each of them.

    Returns:
        [n, h, w, 3] uint8, a new array.
    """
    _, height, width, _ = images.shape
    result = np.zeros(images.shape, np.uint8)
    for index, (out, mirror, (down, right)) in enumerate(
        zip(result, drawn.mirrored.tolist(), drawn.shift.tolist(), strict=True)
    ):
        rows, columns = height - abs(down), width - abs(right)
        if rows <= 0 or columns <= 0:
            continue
        source = _developed(images[index], drawn, index).view(_PIXEL)[:, :: -1 if mirror else 1]
        top, left = max(down, 0), max(right, 0)
        from_top, from_left = max(-down, 0), max(-right, 0)
        out.view(_PIXEL)[top : top + rows, left : left + columns] = source[
            from_top : from_top + rows, from_left : from_left + columns
        ]
    if drawn.erased is not None:
        for out, (top, left, bottom, right) in zip(result, drawn.erased.tolist(), strict=True):
            out[top:bottom, left:right] = ERASED
    return result


def normalise(images: np.ndarray | Tensor) -> Tensor:
    """Scales pixels to what the backbone expects.

    Args:
        images: [n, h, w, 3] uint8 RGB.

    Returns:
        [n, 3, h, w] float32 in channels-last memory format, where the images are.
    """
    return torch.as_tensor(images).float().sub_(MEAN).div_(STD).permute(0, 3, 1, 2)


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


ERASED = np.round(IMAGENET_MEAN).astype(np.uint8)
"""Colour of an erased box."""
SHARPENING_PX = 1.0
"""Standard deviation of the blur that an unsharp mask takes away."""
_GREY = np.array([0.299, 0.587, 0.114])
_PIXEL = np.dtype("V3")  # copied whole, which mirrors a row twice as fast as byte by byte


def reduced_size(detail: np.ndarray, height: int, width: int) -> np.ndarray:
    """Height and width of images that keep a share of their pixels a side, [n, 2] int64.

    Args:
        detail: [n] share.
        height: of the whole image.
        width: of the whole image.
    """
    return np.maximum(np.rint(np.outer(detail, (height, width))), 1).astype(np.int64)


def grain(seed: int, scale: float, height: int, width: int) -> np.ndarray:
    """Brightness noise of an image, [height, width] int16, the same for all colours.

    Args:
        seed: of the noise.
        scale: standard deviation, in 255ths.
        height: of the image.
        width: of the image.
    """
    noise = np.random.default_rng(seed).standard_normal((height, width), dtype=np.float32)
    return np.rint(noise * scale).astype(np.int16)


def _developed(image: np.ndarray, drawn: Augmentation, index: int) -> np.ndarray:
    """What a camera does to the light, in its order, and the box that a detector cuts."""
    if not drawn.by_camera:
        return image
    height, width, _ = image.shape
    picture = Image.fromarray(image)
    if drawn.matrix is not None and drawn.tint is not None:
        mean = image.reshape(len(image), -1).sum(0, dtype=np.uint32).reshape(-1, 3).sum(0) / (image.size / 3)
        terms = np.column_stack([drawn.matrix[index], np.full(3, drawn.tint[index] @ mean)])
        picture = picture.convert("RGB", tuple(terms.ravel().tolist()))
    if drawn.blur_px is not None and drawn.blur_px[index]:
        picture = picture.filter(ImageFilter.GaussianBlur(float(drawn.blur_px[index])))
    if drawn.detail is not None and drawn.detail[index] < 1:
        ((rows, columns),) = reduced_size(drawn.detail[index : index + 1], height, width).tolist()
        picture = picture.resize((columns, rows), Image.Resampling.BILINEAR)
    if drawn.noise is not None and drawn.noise_seed is not None:
        seed, scale = int(drawn.noise_seed[index]), float(drawn.noise[index])
        noisy = np.asarray(picture) + grain(seed, scale, picture.height, picture.width)[..., None]
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    if drawn.sharpening is not None:
        percent = round(100 * float(drawn.sharpening[index]))
        picture = picture.filter(ImageFilter.UnsharpMask(SHARPENING_PX, percent, threshold=0))
    if drawn.quality is not None and drawn.quality[index]:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=int(drawn.quality[index]))
        picture = Image.open(stream, formats=("JPEG",))
    if drawn.box is not None:
        top, left, bottom, right = (drawn.box[index] * ([picture.height, picture.width] * 2)).tolist()
        picture = picture.transform(
            (width, height), Image.Transform.EXTENT, (left, top, right, bottom), Image.Resampling.BILINEAR
        )
    elif picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _draw_colors(n: int, config: TrainConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Brightness and a cast; contrast as distance from the image's mean, saturation as distance from grey."""
    light = 2.0 ** rng.uniform(-config.brightness, config.brightness, (n, 1))
    gain = light * rng.uniform(1 - config.jitter / 2, 1 + config.jitter / 2, (n, 3))
    contrast = saturation = np.ones(n)
    if config.jitter:
        contrast, saturation = rng.uniform(1 - config.jitter, 1 + config.jitter, (2, n))
    if config.contrast:
        contrast = contrast * rng.uniform(1 - config.contrast, 1 + config.contrast, n)
    if config.white_balance:
        gain[:, ::2] *= rng.uniform(1 - config.white_balance, 1 + config.white_balance, (n, 2))
    saturated = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * _GREY
    matrix = saturated * (contrast[:, None] * gain)[:, None]
    tint = (1 - contrast)[:, None] * gain / 3
    return matrix.astype(np.float32), tint.astype(np.float32)


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
