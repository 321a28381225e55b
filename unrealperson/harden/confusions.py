"""Whom a network takes for whom: each image against its own person and everybody else, under other cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrealperson.schema import UNKNOWN, Features

_BLOCK = 256


@dataclass(frozen=True)
class Confusions:
    """The images whose nearest other person is nearest, compared with the nearest image of their own person.

    Attributes:
        asked: [a] int64 rows of all images that have an image of their own under another camera.
        image: [c] int64 rows of the confused ones, the worst first.
        other: [c] int64 row of the nearest image of somebody else under another camera.
        margin: [c] float32 by how much the cosine with the other is greater than that with the own.
    """

    asked: np.ndarray
    image: np.ndarray
    other: np.ndarray
    margin: np.ndarray

    @property
    def missed(self) -> np.ndarray:
        """[c] bool: the other is nearer than any image of the own person."""
        return self.margin > 0


@dataclass(frozen=True)
class Pair:
    """Two people who are confused.

    Attributes:
        pid: their global identities, the lower one first.
        images: how many images of either have the other as their nearest.
        missed: how many of these are nearer to the other than to their own.
        example: rows of the worst of these images and of what it is taken for.
    """

    pid: tuple[int, int]
    images: int
    missed: int
    example: tuple[int, int]


def find_confusions(features: Features, *, hardest: float) -> Confusions:
    """Finds the images that are wrong, or nearest to it.

    Args:
        features: of all images, of length 1; those without identity or camera are left out.
        hardest: share of the images asked that count as confused even where fewer are missed, 0 ... 1.

    Raises:
        ValueError: nobody is seen by two cameras, or there is nobody else.
    """
    known = np.flatnonzero((features.pid != UNKNOWN) & (features.camid != UNKNOWN))
    vectors, pid, camid = features.vectors[known], features.pid[known], features.camid[known]
    own, wrong = (np.full(len(known), -np.inf, np.float32) for _ in range(2))
    nearest = np.zeros(len(known), np.int64)
    for start in range(0, len(known), _BLOCK):
        part = slice(start, start + _BLOCK)
        cosine = vectors[part] @ vectors.T
        cosine[camid[part, None] == camid] = -np.inf
        same = pid[part, None] == pid
        own[part] = np.where(same, cosine, -np.inf).max(1)
        cosine[same] = -np.inf
        nearest[part] = cosine.argmax(1)
        wrong[part] = cosine.max(1)
    asked = np.flatnonzero(np.isfinite(own) & np.isfinite(wrong))
    if not len(asked):
        raise ValueError("no image can be asked: each needs one of its own and one of another person under other cameras")
    margin = (wrong - own)[asked]
    count = max(int((margin > 0).sum()), int(np.ceil(hardest * len(asked))))
    worst = np.argsort(-margin, kind="stable")[:count]
    image = asked[worst]
    return Confusions(known[asked], known[image], known[nearest[image]], margin[worst])


def count_pairs(features: Features, confusions: Confusions) -> list[Pair]:
    """The pairs of people behind the confused images, the most confused first.

    Args:
        features: that the confusions were found in.
        confusions: of its images.
    """
    both = np.stack([features.pid[confusions.image], features.pid[confusions.other]], 1)
    keys, first, owner = np.unique(np.sort(both, 1), axis=0, return_index=True, return_inverse=True)
    images = np.bincount(owner.ravel())
    missed = np.bincount(owner.ravel(), confusions.missed).astype(np.int64)
    # Confusions are sorted, so the first of a pair is its worst.
    order = np.lexsort((first, -images, -missed))
    return [
        Pair(
            (int(keys[row, 0]), int(keys[row, 1])),
            int(images[row]),
            int(missed[row]),
            (int(confusions.image[first[row]]), int(confusions.other[first[row]])),
        )
        for row in order
    ]
