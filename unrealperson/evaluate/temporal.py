"""Looks and times together: rankings that know how long people take from camera to camera (JVTC)."""

from __future__ import annotations

import numpy as np

from unrealperson.config import EvaluateConfig
from unrealperson.data.passages import cluster_crops, temporal_distribution
from unrealperson.evaluate.metrics import Scores, cameras_known, score
from unrealperson.evaluate.rerank import MATRIX_BYTES
from unrealperson.ops import joint_similarity
from unrealperson.schema import UNKNOWN, Features


def score_joint(features: Features, query: np.ndarray, gallery: np.ndarray, config: EvaluateConfig) -> Scores:
    """Scores the ranking by looks and times together.

    How long people take between cameras is learnt from clusters of the scored crops, no labels used; JVTC learns it
    from the target's training crops instead.

    Args:
        features: of all images, of length 1.
        query: [q] int64 rows of the queries.
        gallery: [g] int64 rows of the gallery.
        config: section [evaluate]: bin_frames, temporal_sigma.

    Raises:
        ValueError: no frame numbers, nothing to score, or too large.

    Source: section 4.3 (JVTC+); Li and Zhang, ECCV 2020.
    """
    if not (features.frame != UNKNOWN).any() or not cameras_known(features):
        raise ValueError(
            "evaluate.joint needs to know when and where images were taken: cameras and frame numbers in the manifest, "
            "or in the names as in Market-1501 (0001_c1s1_000123_00.jpg)"
        )
    if 4 * len(query) * len(gallery) > MATRIX_BYTES:
        raise ValueError(
            f"{len(query)} x {len(gallery)} joint distances take more than {MATRIX_BYTES >> 30} GiB; "
            "score fewer queries"
        )
    cameras = np.unique(features.camid[features.camid != UNKNOWN])
    camera = np.where(features.camid == UNKNOWN, UNKNOWN, np.searchsorted(cameras, features.camid))
    model = temporal_distribution(
        cluster_crops(features.vectors),
        camera,
        features.frame,
        cameras=len(cameras),
        bin_frames=config.bin_frames,
        sigma=config.temporal_sigma,
    )
    matrix = joint_similarity(
        (features.vectors[query], features.vectors[gallery]),
        model,
        query_camera=camera[query],
        query_frame=features.frame[query],
        gallery_camera=camera[gallery],
        gallery_frame=features.frame[gallery],
    )
    return score(features, query, gallery, matrix=matrix)
