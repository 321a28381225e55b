"""Images of a manifest as arrays and training batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from unrealperson.config import TrainConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.samplers import CameraBalancedSampler
from unrealperson.data.sources import load_image
from unrealperson.data.transforms import augment, normalise, resize
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN, Batch

logger = get_logger(__name__)

CACHE_BYTES = 2**30
"""Decoded images are kept in memory where all of a manifest's fit in this."""


class Images:
    """A manifest's images at one size, decoded on first use and kept in memory where they all fit.

    Args:
        manifest: the images.
        height: of every image, pixels.
        width: of every image, pixels.
        cache_bytes: keep decoded images only if all of them need no more memory than this.
    """

    def __init__(self, manifest: Manifest, *, height: int, width: int, cache_bytes: int = CACHE_BYTES) -> None:
        self.manifest = manifest
        self.height = height
        self.width = width
        keep = len(manifest) * height * width * 3 <= cache_bytes
        self._pixels = np.empty((len(manifest), height, width, 3), np.uint8) if keep else None
        self._known = np.zeros(len(manifest), dtype=bool)

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """The images of the given rows.

        Args:
            rows: [n] int row of each.

        Returns:
            [n, height, width, 3] uint8 RGB.

        Raises:
            ValueError: an image cannot be read; the message names the file.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if self._pixels is None:
            return np.stack(self._decode(rows)) if len(rows) else np.empty((0, self.height, self.width, 3), np.uint8)
        new = np.unique(rows[~self._known[rows]])
        for row, image in zip(new, self._decode(new), strict=True):
            self._pixels[row] = image
        self._known[new] = True
        return self._pixels[rows]

    def _decode(self, rows: np.ndarray) -> list[np.ndarray]:
        with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow decodes outside the interpreter lock
            return list(threads.map(self._decode_one, rows))

    def _decode_one(self, row: int) -> np.ndarray:
        return resize(load_image(self.manifest.image_path(row)), height=self.height, width=self.width)


class TrainLoader:
    """Augmented, normalised training batches of a manifest.

    Args:
        manifest: rows to train on; every identity and camera known.
        config: section [train]: size, augmentation, sampler, seed.

    Attributes:
        identity_keys: [classes] int64 global identity of each label.
        camera_keys: [cameras] int64 global camera of each camera index.
    """

    def __init__(self, manifest: Manifest, config: TrainConfig) -> None:
        self.identity_keys, self.label = np.unique(manifest.pid, return_inverse=True)
        self.camera_keys, self.camera = np.unique(manifest.camid, return_inverse=True)
        self.images = Images(manifest, height=config.height, width=config.width)
        self.sampler = CameraBalancedSampler(
            self.label,
            self.camera,
            cameras_per_batch=config.cameras_per_batch,
            identities_per_camera=config.identities_per_camera,
            images_per_identity=config.images_per_identity,
            seed=config.seed,
        )
        self._config = config

    def __len__(self) -> int:
        """Batches in one epoch."""
        return len(self.sampler)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, a pure function of the configuration and the epoch's number.

        Args:
            number: 0 for the first epoch.
        """
        rng = np.random.default_rng([self._config.seed, number, 1])
        for rows in self.sampler.epoch(number):
            pixels = augment(self.images[rows], rng, flip=self._config.flip, pad=self._config.pad)
            yield Batch(normalise(pixels), torch.from_numpy(self.label[rows]), torch.from_numpy(self.camera[rows]))


def training_rows(manifest: Manifest) -> Manifest:
    """The rows to train on, checked.

    Args:
        manifest: crops; rows with split "train" are chosen, all where no row has a split.

    Raises:
        ValueError: nothing to train on, or nothing to learn from it.
    """
    split = manifest.split
    chosen = split == "train" if (split != "").any() else np.ones(len(manifest), dtype=bool)
    if not chosen.any():
        raise ValueError(
            f"no row of {manifest.root} has split 'train' (there are {', '.join(sorted(set(split))) or 'no rows'}); "
            "lower synth.test_people, or give a data set with a training part"
        )
    usable = chosen & (manifest.pid != UNKNOWN) & (manifest.camid != UNKNOWN)
    if usable.sum() < chosen.sum():
        logger.warning("%d images without identity or camera are not trained on", chosen.sum() - usable.sum())
    rows = manifest.select(usable)
    identities, counts = np.unique(rows.pid, return_counts=True)
    cameras = np.unique(rows.camid)
    where = f"the training part of {manifest.root}"
    if len(identities) < 2:
        known = "1 known identity" if len(identities) == 1 else "no known identity"
        raise ValueError(f"{where} has {known}; training tells at least 2 apart")
    if len(cameras) < 2:
        raise ValueError(
            f"{where} has 1 known camera; a network that recognises people across cameras needs images from at least 2"
        )
    if counts.max() < 2:
        raise ValueError(f"{where} has one image per identity; training needs several images of a person")
    return rows
