"""From decoded images to a network's input."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

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


def augment(images: np.ndarray, rng: np.random.Generator, *, flip: float, pad: int) -> np.ndarray:
    """Random horizontal mirror, then black padding and a random crop back to the size, image by image.

    Args:
        images: [n, h, w, 3] uint8.
        rng: source of randomness.
        flip: probability of the mirror, 0 to 1.
        pad: pixels added on each side.

    Returns:
        [n, h, w, 3] uint8, a new array.

    Source: the authors' training transforms (flip, pad 10, random crop).
    """
    n, height, width, _ = images.shape
    mirrored = np.less(rng.random(n), flip)
    shifts: list[list[int]] = rng.integers(-pad, pad + 1, size=(n, 2)).tolist()
    result = np.zeros_like(images)
    for image, out, mirror, (down, right) in zip(images, result, mirrored, shifts, strict=True):
        source = image[:, ::-1] if mirror else image
        rows, columns = height - abs(down), width - abs(right)
        if rows <= 0 or columns <= 0:
            continue
        top, left = max(down, 0), max(right, 0)
        from_top, from_left = max(-down, 0), max(-right, 0)
        out[top : top + rows, left : left + columns] = source[
            from_top : from_top + rows, from_left : from_left + columns
        ]
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
