"""Feature vectors of images, with the batch-norm statistics of the images' own cameras."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from unrealperson.config import EvaluateConfig
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.stored import copy_images
from unrealperson.data.transforms import normalise
from unrealperson.distributed import compute_device
from unrealperson.evaluate.statistics import Tables, estimate_tables, statistics_groups
from unrealperson.executor import Executor
from unrealperson.log import track
from unrealperson.models.reid import ReidModel
from unrealperson.schema import Features


def extract(
    model: ReidModel,
    images: Images,
    config: EvaluateConfig,
    *,
    query: np.ndarray | None = None,
    executor: Executor | None = None,
) -> tuple[Features, Tables]:
    """Estimates the cameras' statistics on the images, then gives each image its feature.

    Args:
        model: the network; its tables are replaced.
        images: the images, at the size the network was trained on.
        config: section [evaluate].
        query: [q] int64 rows of the queries; needed where config.statistics is "split".
        executor: who takes the features, once the statistics are known; None is this process.

    Returns:
        One L2-normalised vector per image, in the order of the images, and which statistics each camera has.

    Raises:
        ValueError: an image cannot be read, or "split" without queries.
    """
    group = statistics_groups(images, config, query)
    tables = estimate_tables(model, images, config, group)
    manifest = images.manifest
    row = tables.rows(group)
    vectors = embed(model, images, row, config) if executor is None else _embed_on(executor, model, images, row, config)
    return Features(vectors, manifest.pid.copy(), manifest.camid.copy(), manifest.frame.copy(), manifest.path), tables


def embed(model: ReidModel, images: Images, row: np.ndarray, config: EvaluateConfig) -> np.ndarray:
    """Features of images by tables that are there already: one new query needs no statistics of its own.

    Args:
        model: the network, its tables estimated.
        images: the images.
        row: [n] int64 table row of each image, as `Tables.rows` gives it for a known or unknown camera.
        config: section [evaluate]: batch_size, mirror.

    Returns:
        [n, d] float32 of length 1.

    Raises:
        ValueError: an image cannot be read.
    """
    model.eval()
    vectors = np.empty((len(images), model.dimension), np.float32)
    starts = range(0, len(images), config.batch_size)
    with torch.inference_mode():
        for start in track(starts, label="features", unit="batches"):
            rows = np.arange(start, min(start + config.batch_size, len(images)))
            pixels = normalise(torch.from_numpy(images[rows]).to(model.device))
            camera = torch.from_numpy(row[rows]).to(model.device)
            feature = model(pixels, camera)
            if config.mirror:
                feature = feature + model(pixels.flip(3), camera)
            vectors[rows] = F.normalize(feature).cpu().numpy()
    return vectors


_BATCHES = 16
"""Whose features one task of an executor takes."""


def _embed_on(
    executor: Executor, model: ReidModel, images: Images, row: np.ndarray, config: EvaluateConfig
) -> np.ndarray:
    parts = feature_parts(len(images), config)
    items = [(images.manifest.select(rows), row[rows]) for rows in parts]
    shared = (model.cpu(), (images.height, images.width), config)
    vectors = np.empty((len(images), model.dimension), np.float32)
    for index, made in track(executor(embed_part, shared, items, gpu=True), label="features", total=len(items)):
        vectors[parts[index]] = made
    return vectors


def feature_parts(images: int, config: EvaluateConfig) -> list[np.ndarray]:
    """Rows of the images whose features one task of an executor takes.

    Args:
        images: how many there are.
        config: section [evaluate]: batch_size.
    """
    step = _BATCHES * config.batch_size
    return [np.arange(first, min(first + step, images)) for first in range(0, images, step)]


def embed_part(
    shared: tuple[ReidModel, tuple[int, int], EvaluateConfig], item: tuple[Manifest, np.ndarray]
) -> np.ndarray:
    """Features of one part of the images, wherever this runs.

    Args:
        shared: the network with its tables, height and width of its input, and section [evaluate].
        item: the images of the part, and the table row of each.

    Returns:
        [n, d] float32 of length 1.
    """
    model, (height, width), config = shared
    manifest, row = item
    copy_images(manifest)
    images = Images(manifest, height=height, width=width, cache_bytes=0)
    return embed(model.to(compute_device()), images, row, config)
