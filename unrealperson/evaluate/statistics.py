"""Batch-norm statistics of cameras, estimated on their unlabelled images, and what stands in where they cannot be.

What training learnt of its cameras says nothing about other cameras, so each camera's statistics are estimated
before features are taken. Shapes: n images, r rows of the tables, one for each group of images, and one row more for
images of no group.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from unrealperson.config import EvaluateConfig
from unrealperson.data.loader import Images
from unrealperson.data.transforms import normalise
from unrealperson.export.calibrate import statistics_batches
from unrealperson.log import get_logger, track
from unrealperson.models import reuse_memory
from unrealperson.models.cbn import (
    copy_statistics,
    nearest_statistics,
    reset_statistics,
    resize_tables,
)
from unrealperson.models.reid import ReidModel
from unrealperson.schema import UNKNOWN

logger = get_logger(__name__)

OWN, ALL, TRAINING = "own", "all images", "training"
"""What a camera's statistics can be; "as KEY" are those of another one."""


class Tables(NamedTuple):
    """What each row of a model's tables stands for.

    Attributes:
        keys: [r] int64 camera (or other group) of each row, increasing; the row after them is that of images without.
        images: [r] int64 how many images each has.
        source: what each row's statistics are: "own", "as KEY" of the camera nearest in style, "all images", or
            "training".
    """

    keys: np.ndarray
    images: np.ndarray
    source: tuple[str, ...]

    def rows(self, group: np.ndarray) -> np.ndarray:
        """Table row of each image.

        Args:
            group: [n] int64 camera or other group, -1 where unknown.

        Returns:
            [n] int64; r where the group is not among the keys.
        """
        return camera_index(group, self.keys)


def camera_index(camid: np.ndarray, camera_keys: np.ndarray) -> np.ndarray:
    """Table row of each image's camera.

    Args:
        camid: [n] int64 global camera, -1 where unknown.
        camera_keys: [cameras] int64 global camera of each table row, increasing.

    Returns:
        [n] int64; `cameras` where the camera is not among the keys.
    """
    row = np.searchsorted(camera_keys, camid)
    return np.where(np.isin(camid, camera_keys), row, len(camera_keys)).astype(np.int64)


def statistics_groups(images: Images, config: EvaluateConfig, query: np.ndarray | None = None) -> np.ndarray:
    """Which images share their statistics.

    Args:
        images: the images.
        config: section [evaluate]: statistics, unknown_cameras, pseudo_cameras, seed.
        query: [q] int64 rows of the queries, which "split" keeps apart from all others.

    Returns:
        [n] int64: the camera; with "split", twice the camera for a query and one more for any other image; for an
        image of unknown camera -1, or with "clusters" a number above all cameras.

    Raises:
        ValueError: "split" without queries.
    """
    group = images.manifest.camid.copy()
    unknown = np.flatnonzero(group == UNKNOWN)
    if config.unknown_cameras == "clusters" and len(unknown):
        from unrealperson.evaluate.pseudo_cameras import cluster_styles

        group[unknown] = group.max() + 1 + cluster_styles(images, unknown, config)
    if config.statistics == "split":
        if query is None:
            raise ValueError('evaluate.statistics = "split" needs queries; without labels take "pooled"')
        asked = np.isin(np.arange(len(group)), query)
        group = np.where(group == UNKNOWN, UNKNOWN, 2 * group + ~asked)
    return group


def group_name(key: int, config: EvaluateConfig) -> str:
    """What people call a group: its camera, and with "split" which part of it.

    Args:
        key: one of `statistics_groups`.
        config: section [evaluate]: statistics.
    """
    return f"{key // 2} {'gallery' if key % 2 else 'query'}" if config.statistics == "split" else str(key)


def estimate_statistics(
    model: ReidModel, images: Images, config: EvaluateConfig, *, with_unknown: bool = False
) -> np.ndarray:
    """Replaces the tables of a model by the statistics of the images' cameras; see `estimate_tables`.

    Args:
        model: the network; nothing is done where it has plain batch norm.
        images: the images; no labels are used.
        config: section [evaluate].
        with_unknown: estimate the row of unknown cameras even if no image needs it.

    Returns:
        [cameras] int64 global camera of each table row, increasing; the row after them is that of unknown cameras.
    """
    pooled = replace(config, statistics="pooled")
    return estimate_tables(model, images, pooled, images.manifest.camid, with_unknown=with_unknown).keys


def estimate_tables(
    model: ReidModel, images: Images, config: EvaluateConfig, group: np.ndarray, *, with_unknown: bool = False
) -> Tables:
    """Replaces the tables of a model by the statistics of groups of images, each the images of one camera.

    A camera's sample is cut into batches of nearly equal size, every other image mirrored, and the
    batches' statistics are averaged. The authors' code drops the last, incomplete batch, so a camera with fewer images
    than one batch gets no statistics at all. A camera with too few images takes what `config.few_images` says; images
    of no camera take the statistics of all images mixed; where there are too few images altogether, the statistics
    that the network was trained with stay.

    Args:
        model: the network; nothing is done where it has plain batch norm.
        images: the images; no labels are used.
        config: section [evaluate]: statistics_images, min_statistics_images, few_images, batch_size, seed.
        group: [n] int64 which images share statistics, -1 for none.
        with_unknown: estimate the row of unknown cameras even if no image needs it.

    Returns:
        What the rows stand for.

    Source: paper section 4.1 and the authors' evaluator (10 batches of 32 images per camera).
    """
    keys, counts = np.unique(group[group != UNKNOWN], return_counts=True)
    if model.context is None:
        return Tables(keys, counts, (TRAINING,) * len(keys))
    reuse_memory()
    resize_tables(model, len(keys), min_images=1)  # each batch below is of one camera alone
    if config.statistics == "training":
        return Tables(keys, counts, (TRAINING,) * len(keys))
    if len(images) < config.min_statistics_images:
        logger.warning(
            "%d images are too few for batch-norm statistics of their own (%d are needed): those of training are used",
            len(images), config.min_statistics_images,
        )  # fmt: skip
        return Tables(keys, counts, (TRAINING,) * len(keys))
    rng = np.random.default_rng(config.seed)
    few = np.flatnonzero(counts < config.min_statistics_images)
    enough = np.setdiff1d(np.arange(len(keys)), few)
    nearest = config.few_images == "nearest" and len(enough) > 0
    measured = range(len(keys)) if nearest else enough
    _fill(
        model,
        images,
        [
            (int(row), batch)
            for row in measured
            for batch in statistics_batches(np.flatnonzero(group == keys[row]), config, rng)
        ],
    )
    stand_in = len(few) > 0 and not nearest and config.few_images != "source"
    if with_unknown or stand_in or (group == UNKNOWN).any():
        reset_statistics(model, -1)  # the batches of single cameras went into it
        _fill(model, images, [(len(keys), batch) for batch in statistics_batches(np.arange(len(group)), config, rng)])
    source = [OWN] * len(keys)
    for row in few.tolist():
        if nearest:
            chosen = nearest_statistics(model, row, enough.tolist())
            copy_statistics(model, chosen, row)
            source[row] = f"as {group_name(keys[chosen], config)}"
        elif stand_in:
            copy_statistics(model, -1, row)
            source[row] = ALL
        else:
            source[row] = TRAINING
    if len(few):
        named = ", ".join(f"{group_name(keys[row], config)} ({counts[row]} images): {source[row]}" for row in few[:8])
        logger.warning(
            "cameras with fewer than %d images use other statistics, see evaluate.few_images: %s%s",
            config.min_statistics_images, named, ", ..." if len(few) > 8 else "",
        )  # fmt: skip
    return Tables(keys, counts, tuple(source))


def _fill(model: ReidModel, images: Images, batches: list[tuple[int, np.ndarray]]) -> None:
    model.train()
    with torch.no_grad():
        for row, batch in track(batches, label="statistics", unit="batches"):
            pixels = normalise(torch.from_numpy(images[batch]).to(model.device))
            pixels[1::2] = pixels[1::2].flip(3)
            model(pixels, torch.full((len(batch),), row, device=model.device))
    model.eval()
