"""How many images of a camera suffice for its statistics: accuracy against images per camera."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.config import EvaluateConfig
from unrealperson.data.loader import Images
from unrealperson.evaluate.features import embed
from unrealperson.evaluate.metrics import score
from unrealperson.evaluate.statistics import ALL, OWN, TRAINING, estimate_tables
from unrealperson.files import write_json
from unrealperson.log import track
from unrealperson.models.cbn import resize_tables
from unrealperson.models.reid import ReidModel
from unrealperson.schema import UNKNOWN, Features


def score_curve(
    model: ReidModel,
    images: Images,
    query: np.ndarray,
    gallery: np.ndarray,
    config: EvaluateConfig,
    path: Path | None = None,
) -> dict[str, Any]:
    """Scores the network with statistics from 2 ... 320 images of each camera, and with none of its cameras' own.

    Args:
        model: the network with camera-based batch norm; its tables are replaced.
        images: the images.
        query: [q] int64 rows of the queries.
        gallery: [g] int64 rows of the gallery.
        config: section [evaluate]: curve_images, curve_draws, seed and what `extract` needs.
        path: file that keeps finished points, so that the same call goes on where it was stopped.

    Returns:
        points: one for each number of images and draw, and two without images of the camera, "all images" and
        "training": images (0 for those), statistics, draw, rank1, map; largest: images of the best-filled camera.

    Raises:
        ValueError: plain batch norm, which has no statistics of cameras, or nothing can be scored.

    Source: question 11 of the CBN authors' users: how many images suffice for a camera's statistics.
    """
    if model.context is None:
        raise ValueError("--curve needs a network with camera-based batch norm (train.norm = 'cbn')")
    camid = images.manifest.camid
    largest = int(np.unique(camid[camid != UNKNOWN], return_counts=True)[1].max(initial=0))
    sizes = [size for size in config.curve_images if size < largest] + [largest]
    work = [(0, TRAINING, 0), (0, ALL, 0)]
    work += [(size, OWN, draw) for size in sizes for draw in range(config.curve_draws if size < largest else 1)]
    key = _fingerprint(model, images, query, config)
    done: dict[str, Any] = {}
    if path is not None and path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        done = {_name(point): point for point in stored["points"]} if stored.get("key") == key else {}
    resize_tables(model, 0, min_images=1)  # one row: what training learnt; the points after the first replace it
    result: dict[str, Any] = {"key": key, "largest": largest, "points": []}
    for size, statistics, draw in track(work, label="curve", unit="points"):
        point = {"images": size, "statistics": statistics, "draw": draw}
        if _name(point) not in done:
            row = np.zeros(len(images), np.int64)
            if statistics != TRAINING:
                group = camid if statistics == OWN else np.full(len(images), UNKNOWN)
                drawn = replace(
                    config,
                    statistics_images=size or config.statistics_images,
                    min_statistics_images=2,
                    few_images="nearest",
                    statistics="pooled",
                    seed=config.seed + draw,
                )
                row = estimate_tables(model, images, drawn, group).rows(group)
            features = _features(images, embed(model, images, row, config))
            scores = score(features, query, gallery)
            point |= {"rank1": float((scores.first == 1).mean()), "map": float(scores.precision.mean())}
            done[_name(point)] = point
        result["points"].append(done[_name(point)])
        if path is not None:
            write_json(path, result)
    return result


def _features(images: Images, vectors: np.ndarray) -> Features:
    manifest = images.manifest
    return Features(vectors, manifest.pid, manifest.camid, manifest.frame, manifest.path)


def _name(point: dict[str, Any]) -> str:
    return f"{point['statistics']} {point['images']} {point['draw']}"


def _fingerprint(model: ReidModel, images: Images, query: np.ndarray, config: EvaluateConfig) -> str:
    """Same network, crops and settings: points that are finished hold."""
    digest = hashlib.sha256(images.manifest.sha256().encode() + query.tobytes())
    digest.update(f"{images.height} {images.width} {config.batch_size} {config.mirror} {config.seed}".encode())
    for value in model.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
