from __future__ import annotations

import numpy as np
import pytest
import torch

from unrealperson.data.transforms import augment, normalise, resize

IMAGES = np.random.default_rng(0).integers(1, 256, (40, 12, 8, 3), dtype=np.uint8)


def test_resize_changes_the_size_and_keeps_a_flat_colour():
    image = np.full((50, 20, 3), (10, 200, 30), np.uint8)
    small = resize(image, height=16, width=8)
    assert small.shape == (16, 8, 3) and small.dtype == np.uint8
    assert (small == (10, 200, 30)).all()
    assert resize(image, height=50, width=20) is image


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_mirror_alone(flip):
    result = augment(IMAGES, np.random.default_rng(0), flip=flip, pad=0)
    assert np.array_equal(result, IMAGES[:, :, ::-1] if flip else IMAGES)
    assert not np.shares_memory(result, IMAGES)


def test_the_crop_is_a_shifted_image_on_black():
    result = augment(IMAGES, np.random.default_rng(1), flip=0, pad=3)
    padded = np.pad(IMAGES, ((0, 0), (3, 3), (3, 3), (0, 0)))
    shifts = set()
    for image, wide in zip(result, padded, strict=True):
        found = [(y, x) for y in range(7) for x in range(7) if np.array_equal(wide[y : y + 12, x : x + 8], image)]
        assert len(found) == 1
        shifts.add(found[0])
    assert {y for y, _ in shifts} == {x for _, x in shifts} == set(range(7))


def test_augmentation_follows_its_generator():
    first = augment(IMAGES, np.random.default_rng(5), flip=0.5, pad=2)
    assert np.array_equal(first, augment(IMAGES, np.random.default_rng(5), flip=0.5, pad=2))
    assert not np.array_equal(first, augment(IMAGES, np.random.default_rng(6), flip=0.5, pad=2))


def test_padding_larger_than_the_image_leaves_black():
    result = augment(IMAGES, np.random.default_rng(0), flip=0, pad=100)
    assert result.shape == IMAGES.shape and (result == 0).any()


def test_normalised_images_are_channels_last():
    pixels = np.zeros((2, 4, 3, 3), np.uint8)
    pixels[1] = 255
    x = normalise(pixels)
    assert x.shape == (2, 3, 4, 3) and x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x[0].unique().tolist() == [-127 / 128] and x[1].unique().tolist() == [1.0]
