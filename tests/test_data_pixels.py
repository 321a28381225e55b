from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unrealperson.config import TrainConfig
from unrealperson.data.pixels import place, resize
from unrealperson.data.transforms import ERASED, augment, draw_augmentation


@pytest.mark.parametrize(
    "shape", [(300, 120), (100, 40), (300, 40), (100, 80), (64, 32), (64, 90), (9, 32), (1, 1), (5, 2000)]
)
def test_resize_is_pillows(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image[:2] = 255
    ours = np.empty((64, 32, 3), np.uint8)
    resize(ours, image)
    theirs = np.asarray(Image.fromarray(image).resize((32, 64), Image.Resampling.BILINEAR))
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 1 and difference.mean() < 0.3


@pytest.mark.parametrize("pad", [0, 5, 40])
def test_place_is_what_augment_does(pad):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 48, 32, 3), dtype=np.uint8)
    drawn = draw_augmentation(len(images), TrainConfig(height=48, width=32, pad=pad, erasing=0.5), rng)
    ours = np.empty_like(images)
    color = tuple(ERASED.tolist())
    for out, image, *how in zip(ours, images, drawn.mirrored, drawn.shift, drawn.erased, strict=True):
        place(out, image, *how, color)
    assert np.array_equal(ours, augment(images, drawn))
