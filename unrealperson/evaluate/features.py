"""Feature vectors of images, with the batch-norm statistics of the images' own cameras.

What training learnt of its cameras says nothing about other cameras. So before features are taken,
each camera's statistics are estimated on unlabelled images of that camera.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional as F

from unrealperson.config import EvaluateConfig
from unrealperson.data.loader import Images
from unrealperson.data.transforms import normalise
from unrealperson.log import get_logger, track
from unrealperson.models import reuse_memory
from unrealperson.models.cbn import reset_statistics, resize_tables, share_global_statistics
from unrealperson.models.reid import ReidModel
from unrealperson.schema import UNKNOWN, Features

logger = get_logger(__name__)


def extract(model: ReidModel, images: Images, config: EvaluateConfig) -> Features:
    """Estimates the cameras' statistics on the images, then gives each image its feature.

    Args:
        model: the network; its tables are replaced.
        images: the images, at the size the network was trained on.
        config: section [evaluate].

    Returns:
        One L2-normalised vector per image, in the order of the images.

    Raises:
        ValueError: an image cannot be read.
    """
    camera_keys = estimate_statistics(model, images, config)
    manifest = images.manifest
    camera = camera_index(manifest.camid, camera_keys)
    model.eval()
    vectors = np.empty((len(images), model.dimension), np.float32)
    starts = range(0, len(images), config.batch_size)
    with torch.inference_mode():
        for start in track(starts, label="features", unit="batches"):
            rows = np.arange(start, min(start + config.batch_size, len(images)))
            pixels = normalise(images[rows])
            ids = torch.from_numpy(camera[rows])
            feature = model(pixels, ids)
            if config.mirror:
                feature = feature + model(pixels.flip(3), ids)
            vectors[rows] = F.normalize(feature).numpy()
    return Features(vectors, manifest.pid.copy(), manifest.camid.copy(), manifest.frame.copy(), manifest.path)


def estimate_statistics(
    model: ReidModel, images: Images, config: EvaluateConfig, *, with_unknown: bool = False
) -> np.ndarray:
    """Replaces the tables of a model by the statistics of the images' cameras.

    A camera's sample is cut into batches of nearly equal size, every other image mirrored, and the
    batches' statistics are averaged. The authors' code drops the last, incomplete batch, so a camera with fewer images
    than one batch gets no statistics at all; and it sees query and gallery images apart, here they are pooled.
    A camera with too few images gets the statistics of all images mixed, as does an unknown camera; where there
    are too few images altogether, the statistics that the network was trained with stay.

    Args:
        model: the network; nothing is done where it has plain batch norm.
        images: images whose cameras are known or not; no labels are used.
        config: section [evaluate]: statistics_images, min_statistics_images, batch_size, seed.
        with_unknown: estimate the row of unknown cameras even if no image needs it.

    Returns:
        [cameras] int64 global camera of each table row, increasing; the row after them is that of unknown cameras.

    Source: paper section 4.1 and the authors' evaluator (10 batches of 32 images per camera).
    """
    manifest = images.manifest
    keys, counts = np.unique(manifest.camid[manifest.camid != UNKNOWN], return_counts=True)
    if model.context is None:
        return keys
    reuse_memory()
    resize_tables(model, len(keys), min_images=1)  # each batch below is of one camera alone
    if len(images) < config.min_statistics_images:
        logger.warning(
            "%d images are too few for batch-norm statistics of their own (%d are needed): those of training are used",
            len(images), config.min_statistics_images,
        )  # fmt: skip
        return keys
    rng = np.random.default_rng(config.seed)
    few = [int(row) for row in np.flatnonzero(counts < config.min_statistics_images)]
    if few:
        named = ", ".join(f"{keys[row]} ({counts[row]} images)" for row in few[:8])
        logger.warning(
            "cameras with fewer than %d images use the statistics of all images: %s%s",
            config.min_statistics_images, named, ", ..." if len(few) > 8 else "",
        )  # fmt: skip
    samples = [(row, np.flatnonzero(manifest.camid == key)) for row, key in enumerate(keys) if row not in few]
    if with_unknown or few or (manifest.camid == UNKNOWN).any():
        samples.append((len(keys), np.arange(len(images))))
    batches = [(row, batch) for row, rows in samples for batch in _batches(rows, config, rng)]
    model.train()
    known = True
    with torch.no_grad():
        for row, batch in track(batches, label="statistics", unit="batches"):
            if known and row == len(keys):
                reset_statistics(model, -1)  # the batches of single cameras went into it
                known = False
            pixels = normalise(images[batch])
            pixels[1::2] = pixels[1::2].flip(3)
            model(pixels, torch.full((len(batch),), row))
    if few:
        share_global_statistics(model, few)
    model.eval()
    return keys


def camera_index(camid: np.ndarray, camera_keys: np.ndarray) -> np.ndarray:
    """Table row of each image's camera.

    Args:
        camid: [n] int64 global camera, -1 where unknown.
        camera_keys: [cameras] int64 global camera of each table row, increasing.

    Returns:
        [n] int64; `cameras` where the camera is not among the keys.
    """
    row = np.searchsorted(camera_keys, camid)
    found = np.isin(camid, camera_keys)
    return np.where(found, row, len(camera_keys)).astype(np.int64)


def _batches(rows: np.ndarray, config: EvaluateConfig, rng: np.random.Generator) -> Iterator[np.ndarray]:
    chosen = rng.permutation(rows)[: config.statistics_images]
    yield from np.array_split(chosen, -(-len(chosen) // config.batch_size))
