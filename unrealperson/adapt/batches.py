"""The target's part of a training step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from unrealperson.config import AdaptConfig, TrainConfig
from unrealperson.data.transforms import augment, draw_augmentation, normalise


@dataclass(frozen=True)
class TargetBatch:
    """Images of the target for one step.

    Attributes:
        images: [m, 3, h, w] float32, this process's share.
        camera: [m] int64 camera of the target that each is shown by.
        rows: rows of the target that all processes' images come from, as the method takes them.
    """

    images: Tensor
    camera: Tensor
    rows: Tensor


class _Sampler(Protocol):
    def epoch(self, number: int) -> Iterator[np.ndarray]: ...


def cycled(sampler: _Sampler, epoch: int, steps: int) -> Iterator[np.ndarray]:
    """So many batches, from as many passes as it takes.

    Args:
        sampler: gives the batches of a pass.
        epoch: a pure function of it.
        steps: number of batches.
    """
    done, turn = 0, 0
    while done < steps:
        for rows in sampler.epoch(10_000 * epoch + turn):
            yield rows
            done += 1
            if done == steps:
                return
        turn += 1


def augmented(
    pixels: np.ndarray,
    images: slice,
    *,
    count: int,
    train: TrainConfig,
    config: AdaptConfig,
    pad: int,
    rng: np.random.Generator,
) -> Tensor:
    """Mirrors, shifts and erases as the whole batch was drawn, whatever share of it this process has.

    Args:
        pixels: [m, h, w, 3] uint8, this process's share.
        images: which images of the whole batch these are.
        count: images of the whole batch.
        train: section [train]: size.
        config: section [adapt]: flip, erasing.
        pad: pixels of the random shift.
        rng: source of randomness.
    """
    light = TrainConfig(height=train.height, width=train.width, flip=config.flip, erasing=config.erasing, pad=pad)
    return normalise(augment(pixels, draw_augmentation(count, light, rng)[images]))
