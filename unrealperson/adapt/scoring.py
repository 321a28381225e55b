"""Features of a target, and scores by looks (JVTC) and by looks and times between cameras (JVTC+)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.adapt.pseudo_labels import cluster, nearest_graph, smallest_mean
from unrealperson.adapt.target import Target, clock
from unrealperson.config import AdaptConfig, EvaluateConfig
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.passages import temporal_distribution
from unrealperson.evaluate.features import extract
from unrealperson.evaluate.metrics import split_rows
from unrealperson.files import replacing
from unrealperson.models.reid import ReidModel
from unrealperson.ops import TemporalModel, cmc_map, cmc_map_of_matrix, joint_similarity
from unrealperson.schema import UNKNOWN, Features

TEMPORAL_FILE = "temporal.npz"
TEMPORAL_VERSION = 1
_QUERIES = 256


def features_of(model: ReidModel, images: Images, config: AdaptConfig, evaluate: EvaluateConfig) -> Features:
    """Features by the statistics that adaptation normalises by.

    Args:
        model: the network; its tables are replaced.
        images: the images.
        config: section [adapt]: with norm "domain" all cameras share their statistics.
        evaluate: section [evaluate].
    """
    evaluate = replace(evaluate, statistics="pooled")  # the site's images are not queries and gallery here
    if config.norm == "cbn":
        return extract(model, images, evaluate)[0]
    manifest = images.manifest
    images.manifest = manifest.replaced("camid", np.zeros(len(manifest), np.int64))  # as if of one camera
    try:
        found = extract(model, images, evaluate)[0]
    finally:
        images.manifest = manifest
    return Features(found.vectors, found.pid, manifest.camid.copy(), found.frame, found.path)


def estimate_times(vectors: np.ndarray, target: Target, config: AdaptConfig) -> TemporalModel:
    """The target's times between cameras, from clusters of its features without re-ranking.

    Args:
        vectors: [n, d] float32 features of the target's images.
        target: whose cameras and frames count.
        config: section [adapt]: eps_share, bin_frames, bins, sigma.

    Source: the authors' test of JVTC+.
    """
    graph = nearest_graph(vectors, share=config.eps_share)
    found = cluster(graph, eps=smallest_mean(graph, config.eps_share), min_samples=1)
    return times_of(found.label, target, config)


def times_of(label: np.ndarray, target: Target, config: AdaptConfig) -> TemporalModel:
    """The times between cameras of given clusters.

    Args:
        label: [n] int64 cluster of each image of the target.
        target: whose cameras and frames count.
        config: section [adapt]: bin_frames, bins, sigma.
    """
    return temporal_distribution(
        label, target.camera, target.frame, cameras=len(target.camera_keys),
        bin_frames=config.bin_frames, bins=config.bins, sigma=config.sigma,
    )  # fmt: skip


def score(features: Features, manifest: Manifest) -> dict[str, float]:
    """Rank-1 and mAP by looks.

    Args:
        features: of the manifest's images.
        manifest: with splits query and gallery, or none.
    """
    query, gallery = sides(features, manifest)
    found = cmc_map(features.vectors[query], features.vectors[gallery], **_truth(features, query, gallery))
    return {"rank1": float((found.first == 1).mean()), "map": float(found.map)}


def score_joint(
    features: Features, manifest: Manifest, model: TemporalModel, camera_keys: np.ndarray, config: AdaptConfig
) -> dict[str, float]:
    """Rank-1 and mAP by the joint distance of looks and times.

    Args:
        features: of the manifest's images.
        manifest: with splits query and gallery, or none.
        model: times between the cameras.
        camera_keys: [cameras] int64 global camera of each of the model's; those of other images are unknown.
        config: section [adapt]: clock, ticks_per_s.

    Source: paper section 4.3 (JVTC+).
    """
    query, gallery = sides(features, manifest)
    looks = cmc_map(features.vectors[query], features.vectors[gallery], **_truth(features, query, gallery))
    query = query[looks.query]  # those that can be scored at all
    known = np.isin(features.camid, camera_keys)
    camera = np.where(known, np.searchsorted(camera_keys, features.camid), UNKNOWN)
    frame = clock(manifest, config)
    first, precision = [], []
    for start in range(0, len(query), _QUERIES):
        rows = query[start : start + _QUERIES]
        distance = joint_similarity(
            (features.vectors[rows], features.vectors[gallery]), model,
            query_camera=camera[rows], query_frame=frame[rows],
            gallery_camera=camera[gallery], gallery_frame=frame[gallery],
        )  # fmt: skip
        found = cmc_map_of_matrix(distance, **_truth(features, rows, gallery))
        first.append(found.first)
        precision.append(found.precision)
    return {"rank1": float((np.concatenate(first) == 1).mean()), "map": float(np.concatenate(precision).mean())}


def save_times(path: str | Path, model: TemporalModel, camera_keys: np.ndarray, frames_per_s: float) -> None:
    """Writes a temporal model; the file appears complete or not at all.

    Args:
        path: file to write (.npz).
        model: the model.
        camera_keys: [cameras] int64 global camera of each of its cameras.
        frames_per_s: of its clock.
    """
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(
            stream, version=TEMPORAL_VERSION, probability=model.probability, bin_frames=model.bin_frames,
            camera_keys=camera_keys, frames_per_s=frames_per_s,
        )  # fmt: skip


def sides(features: Features, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the queries and of the gallery.

    Args:
        features: of the manifest's images.
        manifest: with splits query and gallery, or none.
    """
    if {"query", "gallery"} <= set(manifest.split):
        return np.flatnonzero(manifest.split == "query"), np.flatnonzero(manifest.split == "gallery")
    return split_rows(features)


def _truth(features: Features, query: np.ndarray, gallery: np.ndarray) -> dict[str, Any]:
    return dict(
        query_pid=features.pid[query], gallery_pid=features.pid[gallery],
        query_camera=features.camid[query], gallery_camera=features.camid[gallery],
    )  # fmt: skip
