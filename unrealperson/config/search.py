"""Configuration section [search]: galleries and queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unrealperson.config.check import require

Device = Literal["cpu", "cuda", "auto"]
"""Where `exact` searches: "auto" is the GPU where one answers and holds the vectors."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Gallery building and search."""

    k: int = 10
    """Hits to return."""
    batch_size: int = 32
    """Images in one run of the ONNX model."""
    precision: Literal["float32", "float16", "int8"] = "float32"
    """Of the stored vectors; int8 chooses candidates, which float16 vectors beside it decide."""
    backend: Literal["exact", "faiss_hnsw", "faiss_ivfpq", "milvus"] = "exact"
    """What finds candidates: all rows, a graph or compressed lists of faiss, or Milvus."""
    milvus_uri: str = ""
    """Address of a Milvus cluster, such as http://127.0.0.1:19530; empty: a file of milvus-lite in the gallery."""
    device: Device = "cpu"
    """Where "exact" searches: cuda copies the vectors to a GPU, which pays for many queries; auto: if one answers."""
    cameras: tuple[int, ...] = ()
    """Only hits under these cameras."""
    not_cameras: tuple[int, ...] = ()
    """No hits under these cameras, such as the query's own."""
    sources: tuple[str, ...] = ()
    """Only hits in these folders below the root."""
    attributes: tuple[str, ...] = ()
    """Only hits of people with these attributes, "name=value"."""
    from_frame: int = -1
    """Only hits from this frame number on; -1: any."""
    to_frame: int = -1
    """Only hits before this frame number; -1: any."""
    from_s: float = -1.0
    """Only hits from this time on, seconds; -1: any. Images without a time do not pass."""
    to_s: float = -1.0
    """Only hits before this time, seconds; -1: any."""
    group: Literal["none", "identity", "tracklet"] = "none"
    """Return one hit for each person, or for each passage of a person under a camera."""
    rerank: bool = False
    """Order the first hits by their common neighbours (k-reciprocal re-ranking)."""
    rerank_hits: int = 100
    """How many are ordered so."""
    joint: bool = False
    """Order hits by looks and times together: how long people take from camera to camera, which the gallery's
    identities tell or else images that look alike. The query's camera and frame must be known."""
    false_accept_rate: float = 0.01
    """Share of pairs of different people that the threshold for one person lets pass."""

    def __post_init__(self) -> None:
        for name in ("k", "batch_size", "rerank_hits"):
            require(getattr(self, name) >= 1, f"search.{name} must be at least 1, got {getattr(self, name)}")
        require(
            0 < self.false_accept_rate < 1,
            f"search.false_accept_rate must lie between 0 and 1, got {self.false_accept_rate}",
        )
        for text in self.attributes:
            require("=" in text, f'search.attributes must be "name=value", got {text!r}')
