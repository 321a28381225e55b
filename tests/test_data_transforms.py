from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from unrealperson.config import TrainConfig
from unrealperson.data.transforms import Augmentation, augment, draw_augmentation, normalise

PLAIN = TrainConfig(height=32, width=32, flip=0, pad=0)
IMAGES = np.random.default_rng(0).integers(1, 256, (40, 12, 8, 3), dtype=np.uint8)


def augmented(seed: int, images: np.ndarray = IMAGES, **options) -> np.ndarray:
    config = dataclasses.replace(PLAIN, **options)
    return augment(images, draw_augmentation(len(images), config, np.random.default_rng(seed)))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_mirror_alone(flip):
    result = augmented(0, flip=flip, pad=0)
    assert np.array_equal(result, IMAGES[:, :, ::-1] if flip else IMAGES)
    assert not np.shares_memory(result, IMAGES)


def test_the_crop_is_a_shifted_image_on_black():
    result = augmented(1, flip=0, pad=3)
    padded = np.pad(IMAGES, ((0, 0), (3, 3), (3, 3), (0, 0)))
    shifts = set()
    for image, wide in zip(result, padded, strict=True):
        found = [(y, x) for y in range(7) for x in range(7) if np.array_equal(wide[y : y + 12, x : x + 8], image)]
        assert len(found) == 1
        shifts.add(found[0])
    assert {y for y, _ in shifts} == {x for _, x in shifts} == set(range(7))


def test_augmentation_follows_its_generator():
    first = augmented(5, flip=0.5, pad=2)
    assert np.array_equal(first, augmented(5, flip=0.5, pad=2))
    assert not np.array_equal(first, augmented(6, flip=0.5, pad=2))


def test_padding_larger_than_the_image_leaves_black():
    result = augmented(0, flip=0, pad=100)
    assert result.shape == IMAGES.shape and (result == 0).any()


def test_normalised_images_are_channels_last():
    pixels = np.zeros((2, 4, 3, 3), np.uint8)
    pixels[1] = 255
    x = normalise(pixels)
    assert x.shape == (2, 3, 4, 3) and x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x[0].unique().tolist() == [-127 / 128] and x[1].unique().tolist() == [1.0]


def test_what_is_drawn_can_be_shared_out():
    config = TrainConfig(
        height=64, width=32, erasing=0.5, jitter=0.3, brightness=1, white_balance=0.2, contrast=0.2, blur=0.5,
        resolution=0.5, noise=5.0, sharpen=1.0, jpeg=0.5, box=0.1,
    )  # fmt: skip
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 32, 3), dtype=np.uint8)
    drawn = draw_augmentation(8, config, np.random.default_rng(3))
    whole = augment(images, drawn)
    parts = [augment(images[part], drawn[part]) for part in (slice(0, 4), slice(4, 8))]
    assert np.array_equal(whole, np.concatenate(parts))


def test_by_default_only_mirror_and_crop_are_drawn():
    ours, theirs = np.random.default_rng(0), np.random.default_rng(0)
    drawn = draw_augmentation(5, TrainConfig(), ours)
    theirs.random(5), theirs.integers(-10, 11, size=(5, 2))
    assert ours.random() == theirs.random()
    assert [key.name for key in dataclasses.fields(Augmentation) if getattr(drawn, key.name) is not None] == [
        "mirrored", "shift",
    ]  # fmt: skip


GREY = np.full((200, 64, 32, 3), 90, np.uint8)


def test_erased_boxes_have_the_published_sizes_and_the_mean_colour():
    result = augmented(0, GREY, height=64, width=32, erasing=0.5)
    erased = (result != 90).any(3)
    chosen = erased.any((1, 2))
    assert 0.4 < chosen.mean() < 0.6
    assert (result[erased] == (124, 116, 104)).all()
    share = erased[chosen].mean((1, 2))
    assert 0.015 <= share.min() < 0.05 and 0.3 < share.max() <= 0.42
    for mask in erased[chosen]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns)
        assert 0.25 < len(rows) / len(columns) < 4


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        (dict(brightness=1.0), 45, 180),
        (dict(jitter=0.4), 58, 122),
        (dict(brightness=0.5, jitter=0.2), 52, 147),
        (dict(white_balance=0.3), 63, 117),
    ],
)
def test_light_and_colour_stay_in_their_range(options, low, high):
    values = augmented(1, GREY, height=64, width=32, **options).astype(int)
    assert low - 1 <= values.min() < 90 < values.max() <= high + 1
    assert len({tuple(image[0, 0]) for image in values}) > 100
    colourful = np.ptp(values[:, 0, 0], axis=1).max()
    assert colourful == 0 if set(options) == {"brightness"} else colourful > 5


@pytest.mark.parametrize("name", ["jitter", "contrast"])
def test_contrast_changes_what_has_it(name):
    image = np.zeros((64, 64, 32, 3), np.uint8)
    image[:, :32] = (200, 100, 50)
    values = augmented(2, image, height=64, width=32, **{name: 0.5}).astype(int)
    contrast = values[:, 0].mean((1, 2)) - values[:, -1].mean((1, 2))
    assert contrast.std() > 5


@pytest.mark.parametrize("name", ["blur", "resolution", "jpeg"])
def test_blur_resolution_and_compression_soften_a_share_of_the_images(name):
    images = np.random.default_rng(0).integers(0, 256, (60, 64, 32, 3), dtype=np.uint8)
    result = augmented(4, images, height=64, width=32, **{name: 0.5})
    changed = (result != images).any((1, 2, 3))
    assert 0.3 < changed.mean() < 0.7 and result.shape == images.shape
    sharpness = np.abs(np.diff(result.astype(int), axis=1)).mean((1, 2, 3))
    assert sharpness[changed].mean() < sharpness[~changed].mean()


def test_sharpening_draws_rims_and_leaves_flat_parts():
    edge = np.full((40, 64, 32, 3), 80, np.uint8)
    edge[:, 32:] = 160
    result = augmented(7, edge, height=64, width=32, sharpen=2.0).astype(int)
    assert (result[:, :28] == 80).all() and (result[:, 36:] == 160).all()
    rims = 80 - result[:, 31, 16, 0]
    assert rims.min() < 8 and rims.max() > 30


def test_noise_is_as_strong_as_drawn_and_grey():
    result = augmented(5, GREY[:60], height=64, width=32, noise=20.0).astype(int) - 90
    assert (np.ptp(result, axis=3) == 0).all()
    spread = result.std((1, 2, 3))
    assert spread.min() < 3 and 15 < spread.max() < 21
    assert np.unique(result[:, 0, 0, 0]).size > 10, "each image has noise of its own"


def test_a_box_moves_its_edges_and_shows_black_outside():
    ramp = np.zeros((80, 64, 32, 3), np.uint8)
    ramp[..., 2] = 100
    ramp[..., 0] = 20 + 3 * np.arange(64)[:, None]
    ramp[..., 1] = 20 + 6 * np.arange(32)
    result = augmented(6, ramp, height=64, width=32, box=0.25).astype(int)
    middle = result[:, 30:34, 14:18]
    assert (middle > 0).all()
    top = 64 * np.where(result[:, 0, 16, 0] > 0, (result[:, 0, 16, 0] - 20) / 3 / 64, 0)
    assert top.max() > 10 and top.max() <= 17
    outside = (result[:, 0, 16] == 0).all(1)
    assert 0.3 < outside.mean() < 0.7, "half of the edges move out"
    steps = np.diff(result[:, 20:44, 16, 0], axis=1).mean(1) / 3
    assert 0.5 <= steps.min() < 0.9 and 1.1 < steps.max() <= 1.5, "shares of the height that fill it"
