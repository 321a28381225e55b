"""What a search finds, and orders that look at the hits of one query together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from unrealperson import ops
from unrealperson.data.manifest import Manifest
from unrealperson.data.passages import cluster_crops, temporal_distribution
from unrealperson.schema import UNKNOWN

MOST_CLUSTERED = 20_000
"""Of more images without identity, so many are drawn to learn how long people take between cameras."""

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


def learn_passages(manifest: Manifest, vectors: Callable[[], np.ndarray], bin_frames: int, sigma: float) -> Sighting:
    """How long people take from camera to camera, from their identities or else from looks.

    Args:
        manifest: the images.
        vectors: gives [n, d] of them, for images that nobody has named.
        bin_frames: frames a bin.
        sigma: of the smoothing, in bins.

    Returns:
        A sighting under no camera yet.

    Raises:
        ValueError: no image has a camera and a frame number.
    """
    pid, camid, frame = manifest.pid, manifest.camid, manifest.frame
    known = np.flatnonzero((camid != UNKNOWN) & (frame != UNKNOWN))
    if not len(known):
        raise ValueError(
            "joint scores need images whose camera and frame number are known: in a manifest, or in their names as in "
            "Market-1501 (0001_c1s1_000123_00.jpg)"
        )
    person = pid[known]
    if (person == UNKNOWN).all():
        known = np.sort(np.random.default_rng(0).permutation(known)[:MOST_CLUSTERED])
        person = cluster_crops(np.asarray(vectors()[known], np.float32))
    cameras = np.unique(camid[known])
    model = temporal_distribution(
        person,
        np.searchsorted(cameras, camid[known]),
        frame[known],
        cameras=len(cameras),
        bin_frames=bin_frames,
        sigma=sigma,
    )
    return Sighting(model, UNKNOWN, UNKNOWN, tuple(map(int, cameras)))


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
