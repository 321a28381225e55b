"""Video re-identification: tracklets are sought among tracklets, as MARS scores it.

A tracklet's feature is the mean of its frames' features, weighed by the network's scores where it has learnt such; the
mirrored frames count as further ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unrealperson.config import Config, EvaluateConfig, save_config
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.tracklets import Tracklet, find_tracklets
from unrealperson.data.transforms import normalise
from unrealperson.evaluate import estimate_statistics, load_model
from unrealperson.evaluate.metrics import evaluate
from unrealperson.evaluate.statistics import camera_index
from unrealperson.files import write_json
from unrealperson.log import get_logger, track
from unrealperson.models.reid import ReidModel
from unrealperson.schema import Features

logger = get_logger(__name__)

DISTRACTOR = 0
"""Identity of tracklets that nobody seeks, as MARS and Market-1501 number them."""


def evaluate_tracklets(
    run: str | Path | None, manifest: Manifest, out: str | Path | None, config: Config
) -> dict[str, Any]:
    """Scores a network on tracklets, whether it was trained on such or on single images.

    Tracklets of the splits "query" and "gallery" are scored as such; otherwise those of the split "test", or all where
    no crop has a split, and the first tracklet of each identity and camera is a query. Tracklets of the query's
    identity under its own camera are left out of its ranking; distractors (identity 0) are never queries.

    Args:
        run: folder of a training run; None is the backbone with ImageNet weights, untrained.
        manifest: crops with frame numbers, as `data.tracklets.find_tracklets` groups them.
        out: folder for metrics.json and features.npz, one vector a tracklet; None writes nothing.
        config: section [evaluate]; [train] where `run` is None.

    Returns:
        What `evaluate.evaluate` returns, images being tracklets; and "model", "data", "frames".

    Raises:
        ValueError: no tracklet, or nothing to score; the message says what the data lack.
        FileNotFoundError: no such run.

    Source: Zheng et al., "MARS: A Video Benchmark for Large-Scale Person Re-Identification", ECCV 2016.
    """
    split = manifest.split
    divided = {"query", "gallery"} <= set(split)
    wanted = ("query", "gallery") if divided else ("test",) if (split == "test").any() else ("",)
    manifest = manifest.select(np.isin(split, wanted))
    tracklets = find_tracklets(manifest)
    if not tracklets:
        raise ValueError(
            f"{manifest.root} has no tracklets to score: they are made of crops with known identity, camera and frame "
            "number, in the splits query and gallery, test, or without a split"
        )
    model, trained = load_model(run, config)
    images = Images(manifest, height=trained.train.height, width=trained.train.width)
    features = extract_tracklets(model, images, tracklets, config.evaluate)
    if divided:
        part = manifest.split[[tracklet.rows[0] for tracklet in tracklets]]
        query, gallery = np.flatnonzero(part == "query"), np.flatnonzero(part == "gallery")
    else:
        query, gallery = _first_of_each(features), np.arange(len(features))
    metrics = evaluate(features, config.evaluate, query=query, gallery=gallery)
    name = f"{trained.train.backbone}, {'ImageNet weights' if run is None else run}"
    metrics |= {"model": name, "data": str(manifest.root.absolute()), "frames": sum(map(len, tracklets))}
    if out is not None:
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        save_config(config, out / "config.toml")
        features.save(out / "features.npz")
        write_json(out / "metrics.json", metrics)
    return metrics


def extract_tracklets(
    model: ReidModel, images: Images, tracklets: Sequence[Tracklet], config: EvaluateConfig
) -> Features:
    """Gives each tracklet its feature, with batch-norm statistics of the images' own cameras.

    Args:
        model: the network; its tables are replaced.
        images: images of the manifest that the tracklets were found in.
        tracklets: at least one.
        config: section [evaluate]: batch_size, mirror, and what the statistics take.

    Returns:
        One L2-normalised vector per tracklet, with identity and camera, frame number and path of its first image.

    Raises:
        ValueError: an image cannot be read.
    """
    keys = estimate_statistics(model, images, config)
    manifest = images.manifest
    camera = camera_index(manifest.camid, keys)
    vectors = []
    model.eval()
    with torch.inference_mode():
        for some in track(list(_together(tracklets, config.batch_size)), label="tracklets", unit="batches"):
            rows = np.concatenate([tracklet.rows for tracklet in some])
            found = [
                _describe(model, torch.from_numpy(images[part]), torch.from_numpy(camera[part]), mirror=config.mirror)
                for part in np.split(rows, range(config.batch_size, len(rows), config.batch_size))
            ]
            described, scores = (torch.cat(each, dim=1) for each in zip(*found, strict=True))
            lengths = [len(tracklet) for tracklet in some]
            for frames, score in zip(described.split(lengths, 1), scores.split(lengths, 1), strict=True):
                weight = score.flatten().softmax(0)
                vectors.append(F.normalize(weight @ frames.flatten(0, 1), dim=0).cpu().numpy())
    first = [tracklet.rows[0] for tracklet in tracklets]
    return Features(
        np.stack(vectors), manifest.pid[first], manifest.camid[first], manifest.frame[first],
        tuple(manifest.path[row] for row in first),
    )  # fmt: skip


def _describe(model: ReidModel, pixels: Tensor, camera: Tensor, *, mirror: bool) -> tuple[Tensor, Tensor]:
    """Features [v, n, d] and scores [v, n] of n frames in v views: as it is, and mirrored."""
    x, camera = normalise(pixels.to(model.device)), camera.to(model.device)
    views = torch.stack([model(view, camera) for view in ((x, x.flip(3)) if mirror else (x,))])
    return views, model.score_frames(views.flatten(0, 1)).view(len(views), -1)


def _together(tracklets: Sequence[Tracklet], images: int) -> Iterator[list[Tracklet]]:
    """Whole tracklets, as many as fill a batch at least."""
    some: list[Tracklet] = []
    for tracklet in tracklets:
        some.append(tracklet)
        if sum(map(len, some)) >= images:
            yield some
            some = []
    if some:
        yield some


def _first_of_each(features: Features) -> np.ndarray:
    """Rows of the first tracklet of each identity and camera."""
    sought = np.flatnonzero(features.pid != DISTRACTOR)
    _, first = np.unique(np.stack([features.pid[sought], features.camid[sought]]), axis=1, return_index=True)
    return sought[np.sort(first)]
