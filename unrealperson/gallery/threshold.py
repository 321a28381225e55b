"""From which similarity two images show one person, at a stated share of false alarms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrealperson.schema import UNKNOWN

MOST_IMAGES = 4000
"""Of more labelled images, so many are drawn."""


@dataclass(frozen=True)
class Threshold:
    """A decision between one person and two.

    Attributes:
        similarity: least cosine that passes.
        false_accept_rate: share of pairs of different people that pass, as it was asked for.
        true_accept_rate: share of pairs of one person under different cameras that pass.
        different_pairs: pairs of different people that it was found with.
        same_pairs: pairs of one person under different cameras.
    """

    similarity: float
    false_accept_rate: float
    true_accept_rate: float
    different_pairs: int
    same_pairs: int


def calibrate_threshold(
    vectors: np.ndarray, pid: np.ndarray, camid: np.ndarray, false_accept_rate: float, *, seed: int = 0
) -> Threshold:
    """Finds the similarity that a stated share of pairs of different people reaches.

    Args:
        vectors: [n, d] float32 of length 1.
        pid: [n] int64 identity, -1 where unknown; such images are left out.
        camid: [n] int64 camera; pairs of one person count under different cameras, or where cameras are unknown.
        false_accept_rate: above 0, below 1.
        seed: draws the images where there are more than 4,000.

    Returns:
        The threshold and what it does to pairs of one person.

    Raises:
        ValueError: a rate out of range, or fewer than 10 expected false alarms among the pairs.
    """
    if not 0 < false_accept_rate < 1:
        raise ValueError(f"false_accept_rate must lie between 0 and 1, got {false_accept_rate}")
    rows = np.flatnonzero(pid != UNKNOWN)
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_IMAGES])
    first, second = np.triu_indices(len(rows), 1)
    similarity = (vectors[rows] @ vectors[rows].T)[first, second]
    same = pid[rows][first] == pid[rows][second]
    across = (camid[rows][first] != camid[rows][second]) | (camid[rows][first] == UNKNOWN)
    different = similarity[~same]
    if len(different) * false_accept_rate < 10:
        raise ValueError(
            f"{len(different)} pairs of different people are too few for a false accept rate of {false_accept_rate}: "
            "10 false alarms must be expected; give more labelled images or a greater rate"
        )
    # The next number above the quantile, so that no more than the stated share reaches it.
    limit = np.nextafter(np.quantile(different, 1 - false_accept_rate, method="higher"), np.float32(np.inf))
    own = similarity[same & across]
    return Threshold(
        similarity=float(limit),
        false_accept_rate=false_accept_rate,
        true_accept_rate=float((own >= limit).mean()) if len(own) else float("nan"),
        different_pairs=len(different),
        same_pairs=len(own),
    )
