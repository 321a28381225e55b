"""Scores of rankings: CMC, mAP and mINP across cameras, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unrealperson import ops
from unrealperson.config import EvaluateConfig
from unrealperson.evaluate.bootstrap import intervals
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN, Features

logger = get_logger(__name__)

METRICS_VERSION = 1
HITS = 10
SHOWN_QUERIES = 50
SKIPPED = {
    "identity unknown": "their person has no name, so no answer can be right",
    "camera unknown": "images of their own camera cannot be told from others",
    "not in the gallery": "no image of their person is there",
    "own camera only": "their person's images are all of the query's own camera, which do not count",
    "other cameras unknown": "their person's other images are of unknown cameras, which do not count",
}
"""Why a query is left out."""


@dataclass(frozen=True)
class Scores:
    """What became of each query.

    Attributes:
        query: [q] int64 row of the features; only queries that have a match under another camera.
        first: [q] int64 rank of the first correct hit, from 1.
        precision: [q] float64 average precision, not interpolated.
        inverse: [q] float64 inverse negative penalty: matches over the rank of the last one.
        hits: [q, k] int64 rows of the nearest gallery images, -1 where there are fewer; k is 10 or the gallery's size.
        distance: [q, k] float32 their distances, squared Euclidean ones unless a matrix was scored.
        skipped: rows of the queries left out, by reason.
    """

    query: np.ndarray
    first: np.ndarray
    precision: np.ndarray
    inverse: np.ndarray
    hits: np.ndarray
    distance: np.ndarray
    skipped: dict[str, np.ndarray]


def split_rows(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Queries and gallery of a set that has no split of its own.

    Args:
        features: of all images.

    Returns:
        Rows of the queries, the first image of each known identity under each known camera; and rows of the
        gallery, all images with known identity. A query never meets images of its own identity under its own
        camera, so it does not meet itself. Where no camera is known at all, the first image of each identity is
        a query and all others are the gallery.
    """
    named = features.pid != UNKNOWN
    if not cameras_known(features):
        people, first, count = np.unique(features.pid, return_index=True, return_counts=True)
        query = np.sort(first[(people != UNKNOWN) & (count > 1)])
        return query, np.setdiff1d(np.flatnonzero(named), query)
    known = np.flatnonzero(named & (features.camid != UNKNOWN))
    pairs = np.stack([features.pid[known], features.camid[known]], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    return known[np.sort(first)], np.flatnonzero(named)


def cameras_known(features: Features) -> bool:
    """Whether at least one image has a known camera, so that scores can leave out a query's own.

    Args:
        features: of all images.
    """
    return bool((features.camid != UNKNOWN).any())


def score(features: Features, query: np.ndarray, gallery: np.ndarray, *, matrix: np.ndarray | None = None) -> Scores:
    """Ranks the gallery for each query and scores the ranking.

    Gallery images of the query's identity under the query's camera or an unknown one are left out, and images without
    identity altogether. Equal distances rank by the order of the gallery; see `ops.cmc_map`. Where no image has a known
    camera, all images of the gallery count.

    Args:
        features: of all images.
        query: [q] int64 rows of the queries.
        gallery: [g] int64 rows of the gallery.
        matrix: [q, g] float32 distances to rank by; None is the squared Euclidean distance of the features.

    Raises:
        ValueError: nothing to score; the message says what the data lack.

    Source: single-query protocol of Market-1501; mINP of Ye et al., TPAMI 2021.
    """
    _require_scorable(features)
    by_camera = cameras_known(features)
    labels: dict[str, Any] = {
        "query_pid": features.pid[query],
        "gallery_pid": features.pid[gallery],
        "query_camera": features.camid[query] if by_camera else None,
        "gallery_camera": features.camid[gallery] if by_camera else None,
        "hits": HITS,
    }
    if matrix is None:
        found = ops.cmc_map(features.vectors[query], features.vectors[gallery], **labels)
    else:
        found = ops.cmc_map_of_matrix(matrix, **labels)
    left_out = np.delete(query, found.query)
    return Scores(
        query[found.query],
        found.first,
        found.precision,
        found.inverse,
        np.where(found.hits < 0, UNKNOWN, gallery[np.maximum(found.hits, 0)]),
        found.values,
        _reasons(features, left_out, gallery) if len(left_out) else {},
    )


def _reasons(features: Features, query: np.ndarray, gallery: np.ndarray) -> dict[str, np.ndarray]:
    pid, camid = features.pid[query], features.camid[query]
    seen = np.unique(features.pid[gallery])
    elsewhere = np.unique(features.pid[gallery[features.camid[gallery] == UNKNOWN]])
    tests = (
        ("identity unknown", pid == UNKNOWN),
        ("camera unknown", (camid == UNKNOWN) & cameras_known(features)),
        ("not in the gallery", ~np.isin(pid, seen)),
        ("other cameras unknown", np.isin(pid, elsewhere)),
        ("own camera only", np.ones(len(query), bool)),
    )
    reasons: dict[str, np.ndarray] = {}
    open_ = np.ones(len(query), bool)
    for reason, holds in tests:
        if (open_ & holds).any():
            reasons[reason] = query[open_ & holds]
        open_ &= ~holds
    return reasons


def evaluate(
    features: Features,
    config: EvaluateConfig,
    *,
    query: np.ndarray | None = None,
    gallery: np.ndarray | None = None,
) -> dict[str, Any]:
    """Scores features across cameras.

    Args:
        features: of all images.
        config: section [evaluate]: ranks, bootstrap, seed.
        query: [q] int64 rows of the queries; None chooses them and the gallery as `split_rows` does.
        gallery: [g] int64 rows of the gallery; given if and only if `query` is.

    Returns:
        format_version, identities, cameras, queries, gallery, skipped (reason -> queries), skipped_examples (reason ->
        up to five paths), cmc (rank -> share), map, minp and interval ("cmc@K", "map", "minp" -> low and high end of
        the 95 % interval).

    Raises:
        ValueError: nothing to score; the message says what the data lack.
    """
    if query is None or gallery is None:
        query, gallery = split_rows(features)
    return summarise(features, score(features, query, gallery), config, gallery=len(gallery))


def summarise(features: Features, scores: Scores, config: EvaluateConfig, *, gallery: int) -> dict[str, Any]:
    """Means over the queries and their intervals; see `evaluate`.

    Args:
        features: of all images.
        scores: of the queries.
        config: section [evaluate]: ranks, bootstrap, seed.
        gallery: images in the gallery.
    """
    values = {f"cmc@{rank}": (scores.first <= rank).astype(np.float64) for rank in config.ranks}
    values |= {"map": scores.precision, "minp": scores.inverse}
    mean = {name: float(value.mean()) for name, value in values.items()}
    return {
        "format_version": METRICS_VERSION,
        "identities": len(np.unique(features.pid[scores.query])),
        "cameras": len(np.unique(features.camid[features.camid != UNKNOWN])),
        "queries": len(scores.query),
        "gallery": gallery,
        "skipped": {reason: len(rows) for reason, rows in scores.skipped.items()},
        "skipped_examples": {
            reason: [features.path[row] for row in rows[:5]] for reason, rows in scores.skipped.items()
        },
        "cmc": {str(rank): mean[f"cmc@{rank}"] for rank in config.ranks},
        "map": mean["map"],
        "minp": mean["minp"],
        "interval": intervals(values, features.pid[scores.query], config),
    }


def ranking(features: Features, scores: Scores) -> list[dict[str, Any]]:
    """The nearest gallery images of up to 50 queries, spread evenly over the identities.

    Args:
        features: of all images.
        scores: of the queries.
    """
    order = np.argsort(features.pid[scores.query], kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(SHOWN_QUERIES, len(order))).round().astype(int))]
    result = []
    for i in shown:
        row = int(scores.query[i])
        hits = [
            {
                "path": features.path[hit],
                "pid": int(features.pid[hit]),
                "camid": int(features.camid[hit]),
                "distance": round(float(distance), 6),
                "correct": bool(features.pid[hit] == features.pid[row]),
            }
            for hit, distance in zip(scores.hits[i], scores.distance[i], strict=True)
            if hit >= 0
        ]
        result.append(
            {
                "query": features.path[row],
                "pid": int(features.pid[row]),
                "camid": int(features.camid[row]),
                "hits": hits,
            }
        )
    return result


def _require_scorable(features: Features) -> None:
    identities = np.unique(features.pid[features.pid != UNKNOWN])
    if len(identities) == 0:
        raise ValueError(
            "no image has a known identity, so nothing can be scored; name the files as in Market-1501 "
            "(0001_c1_000123.jpg: identity, camera, frame), or use 'unrealperson index' and 'search' without labels"
        )
    if not cameras_known(features):
        logger.warning("no image has a known camera, so images of the query's own camera count as well: an easier task")
    if len(identities) == 1:
        raise ValueError(
            f"all images show one identity ({identities[0]}), so every answer is correct; add images of other people"
        )
