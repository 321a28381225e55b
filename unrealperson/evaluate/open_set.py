"""Open-set search: from which similarity on is a person somebody of the gallery, and how often is that wrong?

A ranking always has a first place, even for a person who is not in the gallery. A threshold decides whether the first
place is believed. Shapes: q queries, g gallery images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unrealperson.config import EvaluateConfig
from unrealperson.evaluate.bootstrap import intervals
from unrealperson.evaluate.metrics import cameras_known
from unrealperson.schema import UNKNOWN, Features

_BLOCK_BYTES = 64 << 20
_CURVE_POINTS = 61


@dataclass(frozen=True)
class Nearest:
    """How alike the most alike image of the query's own person and of anybody else is, by cosine.

    Attributes:
        query: [q] int64 row of each query; of known identity and camera.
        same: [q] float32 most alike image of the same person elsewhere; -Inf where the gallery has none.
        other: [q] float32 most alike image of anybody else.
    """

    query: np.ndarray
    same: np.ndarray
    other: np.ndarray


def nearest_same_and_other(features: Features, query: np.ndarray, gallery: np.ndarray) -> Nearest:
    """Finds both for each query, by blocks: the matrix of all similarities never exists.

    Args:
        features: of all images, of length 1.
        query: [q] int64 rows of the queries.
        gallery: [g] int64 rows of the gallery.
    """
    by_camera = cameras_known(features)
    gallery = gallery[features.pid[gallery] != UNKNOWN]
    query = query[features.pid[query] != UNKNOWN]
    if by_camera:
        query = query[features.camid[query] != UNKNOWN]
    same, other = np.empty((2, len(query)), np.float32)
    vectors, pid, camid = features.vectors[gallery], features.pid[gallery], features.camid[gallery]
    step = max(1, _BLOCK_BYTES // (4 * max(1, len(gallery))))
    for start in range(0, len(query), step):
        rows = query[start : start + step]
        similarity = features.vectors[rows] @ vectors.T
        mine = features.pid[rows, None] == pid
        theirs = ~mine
        if by_camera:
            mine &= (features.camid[rows, None] != camid) & (camid != UNKNOWN)
        part = slice(start, start + len(rows))
        same[part] = np.where(mine, similarity, -np.inf).max(1, initial=-np.inf)
        other[part] = np.where(theirs, similarity, -np.inf).max(1, initial=-np.inf)
    return Nearest(query, same, other)


def score_open_set(
    features: Features, query: np.ndarray, gallery: np.ndarray, config: EvaluateConfig
) -> dict[str, Any]:
    """False accepts and false rejects of searches that may be for somebody who is not there.

    Every query is asked twice: with its person in the gallery, and with its person taken out. At a threshold t on the
    cosine similarity of the first place:

    - FAR: share of the searches for somebody absent that name anybody all the same.
    - FRR: share of the searches for somebody present that do not name that person: nobody is named ("missed"), or
      somebody else ("mistaken").

    Args:
        features: of all images, of length 1.
        query: [q] int64 rows of the queries.
        gallery: [g] int64 rows of the gallery.
        config: section [evaluate]: false_accepts, threshold, bootstrap, seed.

    Returns:
        absent and present (numbers of searches), points (wanted, threshold, far, frr, missed, mistaken, interval; a
        threshold of None where too few searches tell so small a rate), and curve (threshold, far, frr: lists).

    Source: open-set identification of Grother and Ngan, NIST IR 8009 (false positive and negative identification).
    """
    near = nearest_same_and_other(features, query, gallery)
    absent = np.isfinite(near.other)
    present = np.isfinite(near.same)
    result: dict[str, Any] = {"absent": int(absent.sum()), "present": int(present.sum()), "points": [], "curve": {}}
    if not absent.any() or not present.any():
        return result
    wanted: list[tuple[float | None, float | None]] = [
        (rate, _threshold(near.other[absent], rate)) for rate in config.false_accepts
    ]
    if config.threshold:
        wanted.append((None, config.threshold))
    for rate, threshold in wanted:
        point: dict[str, Any] = {"wanted": rate, "threshold": threshold}
        result["points"].append(point if threshold is None else point | _rates(features, near, threshold, config))
    highest = np.maximum(near.same, near.other)
    grid = np.linspace(min(near.other[absent].min(), highest[present].min()), highest.max(), _CURVE_POINTS)
    found = near.same > near.other
    result["curve"] = {
        "threshold": [round(float(t), 4) for t in grid],
        "far": [float((near.other[absent] >= t).mean()) for t in grid],
        "frr": [float(1 - (found & (near.same >= t))[present].mean()) for t in grid],
    }
    return result


def explain_point(point: dict[str, Any]) -> str:
    """What a threshold means, in words.

    Args:
        point: one of the points of `score_open_set`.
    """
    if point["threshold"] is None:
        return f"a false accept rate of {100 * point['wanted']:g} % cannot be told from so few searches"
    return (
        f"threshold {point['threshold']:.4f}: of 100 searches for somebody who is not in the gallery, "
        f"{100 * point['far']:.1f} name somebody all the same; of 100 for somebody who is, "
        f"{100 * (1 - point['frr']):.1f} name that person, {100 * point['missed']:.1f} nobody, "
        f"{100 * point['mistaken']:.1f} somebody else"
    )


def _threshold(other: np.ndarray, rate: float) -> float | None:
    """Least threshold, of four digits, that at most this share of the searches for absent people reaches."""
    allowed = int(rate * len(other) + 1e-9)
    if allowed < 1:
        return None
    return float(np.floor(np.sort(other)[::-1][allowed] * 1e4 + 1) / 1e4) if allowed < len(other) else -1.0


def _rates(features: Features, near: Nearest, threshold: float, config: EvaluateConfig) -> dict[str, Any]:
    absent, present = np.isfinite(near.other), np.isfinite(near.same)
    pid = features.pid[near.query]
    accepted = (near.other[absent] >= threshold).astype(np.float64)
    same, other = near.same[present], near.other[present]
    missed = np.maximum(same, other) < threshold
    mistaken = ~missed & (other >= same)
    rejected = (missed | mistaken).astype(np.float64)
    return {
        "far": float(accepted.mean()),
        "frr": float(rejected.mean()),
        "missed": float(missed.mean()),
        "mistaken": float(mistaken.mean()),
        "interval": intervals({"far": accepted}, pid[absent], config)
        | intervals({"frr": rejected}, pid[present], config),
    }
