"""What a search finds, and orders that look at the hits of one query together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from unrealperson import ops
from unrealperson.schema import UNKNOWN

_BEHIND = 10.0
"""Added to the distance of hits that are not re-ranked, which is 2 at most."""


@dataclass(frozen=True)
class Sighting:
    """When and where a query was seen, for joint visual-temporal scores.

    Attributes:
        model: how long people take from camera to camera.
        camid: global camera of the query.
        frame: frame number of the query, on the clock of the gallery's.
        cameras: global camera of each index of the model.
    """

    model: ops.TemporalModel
    camid: int
    frame: int
    cameras: tuple[int, ...]


@dataclass(frozen=True)
class Hit:
    """One image of a gallery that resembles a query.

    Attributes:
        path: path below the folder that was indexed.
        image: where the image lies.
        pid: global identity, -1 where unknown.
        camid: global camera, -1 where unknown.
        frame: frame number, -1 where unknown.
        similarity: cosine of the two feature vectors, -1 ... 1.
        same: whether that is above the gallery's threshold for one person; None where it has none.
    """

    path: str
    image: Path
    pid: int
    camid: int
    frame: int
    similarity: float
    same: bool | None = None

    @property
    def distance(self) -> float:
        """Cosine distance, 1 - similarity."""
        return 1.0 - self.similarity


def order_hits(
    query: np.ndarray,
    vectors: np.ndarray,
    similarity: np.ndarray,
    known: pa.Table,
    *,
    rerank: int,
    sighting: Sighting | None,
) -> np.ndarray:
    """Orders one query's hits.

    Args:
        query: [d] float32.
        vectors: [n, d] float32 of the hits, the most similar first.
        similarity: [n] float32 to the query.
        known: n rows with the columns of a manifest.
        rerank: order so many first hits by k-reciprocal re-ranking among themselves; 0: none.
        sighting: order by the joint visual-temporal distance; after re-ranking, by its product with the re-ranked one.

    Returns:
        [n] int64 positions.
    """
    distance = 1 - similarity
    if rerank:
        first = slice(0, rerank)
        distance = distance + _BEHIND
        distance[first] = ops.k_reciprocal(query[None], vectors[first])[0]
    if sighting is not None:
        number = {camera: place for place, camera in enumerate(sighting.cameras)}
        joint = ops.joint_similarity(
            (query[None], vectors),
            sighting.model,
            query_camera=np.array([number.get(sighting.camid, UNKNOWN)]),
            query_frame=np.array([sighting.frame]),
            gallery_camera=np.array([number.get(camera, UNKNOWN) for camera in known["camid"].to_pylist()]),
            gallery_frame=known["frame"].to_numpy(),
        )[0]
        distance = joint * distance if rerank else joint
    return np.argsort(distance, kind="stable")
