"""From which similarity two images show one person, at a stated share of false alarms."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True, eq=False)
class Pairs:
    """Similarities of labelled images, two by two.

    Attributes:
        different: [n] float32 cosines of images of different people.
        same: [m] float32 cosines of images of one person under different cameras, or where cameras are unknown.
    """

    different: np.ndarray
    same: np.ndarray

    def errors(self, points: int = 200) -> dict[str, Sequence[float]]:
        """Both kinds of error against the threshold.

        Args:
            points: of the curve.

        Returns:
            threshold, far (share of different people's pairs that pass) and frr (share of one person's that do not).
        """
        both = np.concatenate([self.different, self.same])
        threshold = np.linspace(both.min(), both.max(), points)
        below = [np.searchsorted(np.sort(part), threshold) / max(1, len(part)) for part in (self.different, self.same)]
        return {"threshold": threshold.tolist(), "far": (1 - below[0]).tolist(), "frr": below[1].tolist()}

    def threshold(self, false_accept_rate: float) -> Threshold:
        """The similarity that a stated share of pairs of different people reaches.

        Args:
            false_accept_rate: above 0, below 1.

        Raises:
            ValueError: a rate out of range, or fewer than 10 expected false alarms among the pairs.
        """
        if not 0 < false_accept_rate < 1:
            raise ValueError(f"false_accept_rate must lie between 0 and 1, got {false_accept_rate}")
        if len(self.different) * false_accept_rate < 10:
            raise ValueError(
                f"{len(self.different)} pairs of different people are too few for a false accept rate of "
                f"{false_accept_rate}: 10 false alarms must be expected; give more labelled images or a greater rate"
            )
        # The next number above the quantile, so that no more than the stated share reaches it.
        limit = np.nextafter(np.quantile(self.different, 1 - false_accept_rate, method="higher"), np.float32(np.inf))
        return Threshold(
            similarity=float(limit),
            false_accept_rate=false_accept_rate,
            true_accept_rate=float((self.same >= limit).mean()) if len(self.same) else float("nan"),
            different_pairs=len(self.different),
            same_pairs=len(self.same),
        )


def labelled_pairs(vectors: np.ndarray, pid: np.ndarray, camid: np.ndarray, *, seed: int = 0) -> Pairs:
    """Compares labelled images two by two.

    Args:
        vectors: [n, d] of length 1.
        pid: [n] int64 identity, -1 where unknown; such images are left out.
        camid: [n] int64 camera, -1 where unknown.
        seed: draws the images where there are more than 4,000.
    """
    rows = np.flatnonzero(pid != UNKNOWN)
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_IMAGES])
    own = np.asarray(vectors[rows], np.float32)
    first, second = np.triu_indices(len(rows), 1)
    similarity = (own @ own.T)[first, second]
    same = pid[rows][first] == pid[rows][second]
    across = (camid[rows][first] != camid[rows][second]) | (camid[rows][first] == UNKNOWN)
    return Pairs(similarity[~same], similarity[same & across])
