"""Scores of features: CMC, mAP and mINP across cameras, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unrealperson import ops
from unrealperson.config import EvaluateConfig
from unrealperson.schema import UNKNOWN, Features

METRICS_VERSION = 1
HITS = 10
SHOWN_QUERIES = 50


@dataclass(frozen=True)
class Scores:
    """What became of each query.

    Attributes:
        query: [q] int64 row of the features; only queries that have a match under another camera.
        first: [q] int64 rank of the first correct hit, from 1.
        precision: [q] float64 average precision, not interpolated.
        inverse: [q] float64 inverse negative penalty: matches over the rank of the last one.
        hits: [q, k] int64 rows of the nearest gallery images, -1 where there are fewer; k is 10 or the gallery's size.
        distance: [q, k] float32 their squared Euclidean distances.
        skipped: number of queries left out, by reason.
    """

    query: np.ndarray
    first: np.ndarray
    precision: np.ndarray
    inverse: np.ndarray
    hits: np.ndarray
    distance: np.ndarray
    skipped: dict[str, int]


def split_rows(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Queries and gallery of a set that has no split of its own.

    Args:
        features: of all images.

    Returns:
        Rows of the queries, the first image of each known identity under each known camera; and rows of the
        gallery, all images with known identity. A query never meets images of its own identity under its own
        camera, so it does not meet itself.
    """
    named = features.pid != UNKNOWN
    known = np.flatnonzero(named & (features.camid != UNKNOWN))
    pairs = np.stack([features.pid[known], features.camid[known]], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    return known[np.sort(first)], np.flatnonzero(named)


def score(features: Features, query: np.ndarray, gallery: np.ndarray) -> Scores:
    """Ranks the gallery for each query and scores the ranking.

    Gallery images of the query's identity under the query's camera or an unknown one are left out, and images without
    identity altogether. Equal distances rank by the order of the gallery; see `ops.cmc_map`.

    Args:
        features: of all images.
        query: [q] int64 rows of the queries.
        gallery: [g] int64 rows of the gallery.

    Raises:
        ValueError: nothing to score; the message says what the data lack.

    Source: single-query protocol of Market-1501; mINP of Ye et al., TPAMI 2021.
    """
    _require_scorable(features)
    found = ops.cmc_map(
        features.vectors[query],
        features.vectors[gallery],
        query_pid=features.pid[query],
        gallery_pid=features.pid[gallery],
        query_camera=features.camid[query],
        gallery_camera=features.camid[gallery],
        hits=HITS,
    )
    reasons = {
        "identity or camera unknown": ("identity unknown", "camera unknown"),
        "no other camera": ("no match",),
    }
    counts = {ours: sum(found.skipped.get(name, 0) for name in names) for ours, names in reasons.items()}
    return Scores(
        query[found.query],
        found.first,
        found.precision,
        found.inverse,
        np.where(found.hits < 0, UNKNOWN, gallery[found.hits]),
        found.values,
        {reason: count for reason, count in counts.items() if count},
    )


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
        format_version, identities, cameras, queries, gallery, skipped (reason -> queries), cmc (rank -> share),
        map, minp and interval ("cmc@K", "map", "minp" -> low and high end of the 95 % interval).

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
        "skipped": scores.skipped,
        "cmc": {str(rank): mean[f"cmc@{rank}"] for rank in config.ranks},
        "map": mean["map"],
        "minp": mean["minp"],
        "interval": _intervals(values, features.pid[scores.query], config) if config.bootstrap else {},
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


def format_metrics(metrics: dict[str, Any]) -> str:
    """A few lines for people.

    Args:
        metrics: what `evaluate` returns.
    """
    named = [(f"rank-{rank}", f"cmc@{rank}", share) for rank, share in metrics["cmc"].items()]
    named += [("mAP", "map", metrics["map"]), ("mINP", "minp", metrics["minp"])]
    lines = []
    for label, key, share in named:
        interval = metrics["interval"].get(key)
        spread = f"  ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
        lines.append(f"  {label:<8}{100 * share:5.1f} %{spread}")
    lines.append(
        f"  {metrics['queries']} queries of {metrics['identities']} identities, {metrics['gallery']} gallery images, "
        f"{metrics['cameras']} cameras"
    )
    lines += [f"  {count} queries left out: {reason}" for reason, count in metrics["skipped"].items()]
    return "\n".join(lines)


def _require_scorable(features: Features) -> None:
    identities = np.unique(features.pid[features.pid != UNKNOWN])
    if len(identities) == 0:
        raise ValueError(
            "no image has a known identity, so nothing can be scored; name the files as in Market-1501 "
            "(0001_c1_000123.jpg: identity, camera, frame), or use 'unrealperson index' and 'search' without labels"
        )
    if (features.camid == UNKNOWN).all():
        raise ValueError(
            "no image has a known camera, so a person cannot be sought under another one; name the files as in "
            "Market-1501 (0001_c1_000123.jpg: identity, camera, frame)"
        )
    if len(identities) == 1:
        raise ValueError(
            f"all images show one identity ({identities[0]}), so every answer is correct; add images of other people"
        )


def _intervals(values: dict[str, np.ndarray], pid: np.ndarray, config: EvaluateConfig) -> dict[str, list[float]]:
    """Identities are drawn, each with all of its queries: queries of one person succeed and fail together."""
    rng = np.random.default_rng(config.seed)
    table = np.stack(list(values.values()), axis=1)
    identities, owner = np.unique(pid, return_inverse=True)
    draws = rng.multinomial(len(identities), np.full(len(identities), 1 / len(identities)), size=config.bootstrap)
    means = np.stack([np.average(table, axis=0, weights=draw[owner]) for draw in draws])
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return {name: [float(a), float(b)] for name, a, b in zip(values, low, high, strict=True)}
