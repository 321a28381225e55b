"""Configuration section [evaluate]: features, statistics, scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unrealperson.config.check import require


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How features are extracted and scored."""

    batch_size: int = 32
    """Images in one forward pass."""
    statistics_images: int = 320
    """At most so many images of a camera give its batch-norm statistics (10 batches of 32)."""
    min_statistics_images: int = 32
    """A camera with fewer images takes what few_images says."""
    norm: Literal["trained", "cbn"] = "trained"
    """The network's batch norm: as it was trained, or camera-based, which a network trained with plain one can take."""
    statistics: Literal["pooled", "split", "training"] = "pooled"
    """A camera's statistics come from all of its images, or apart for queries and gallery as in the authors' code, or
    are those of all training images together."""
    few_images: Literal["global", "nearest", "source"] = "global"
    """Statistics for a camera with few images: of all images, of the camera most alike, or of the training."""
    unknown_cameras: Literal["global", "clusters"] = "global"
    """Statistics for images of unknown cameras: of all images, or of clusters of images alike in style."""
    pseudo_cameras: int = 4
    """Number of those clusters."""
    where: tuple[str, ...] = ()
    """Score only the rows that meet all of these, such as "hours=night" or "top_color=black" (as data subset)."""
    mirror: bool = True
    """Add the feature of the mirrored image."""
    tracklets: bool = False
    """Score tracklets instead of single images (video re-identification, the protocol of MARS)."""
    ranks: tuple[int, ...] = (1, 5, 10)
    """Ranks of the cumulative matching characteristic."""
    bootstrap: int = 1000
    """Resamples of the identities for the 95 % intervals; 0 leaves them out."""
    rerank: bool = False
    """Also score k-reciprocal re-ranking."""
    rerank_k1: int = 20
    """Neighbours that have to be mutual."""
    rerank_k2: int = 6
    """Rows over which neighbourhoods are averaged."""
    rerank_lambda: float = 0.3
    """Share of the original distance, 0 ... 1."""
    joint: bool = False
    """Also score looks and times together (JVTC+), from cameras and frame numbers."""
    bin_frames: int = 100
    """Frames of one step of its time histograms: 100 for video, 1 where frames are numbered by instants."""
    temporal_sigma: float = 50.0
    """Smoothing of the histograms, in such steps; about 1 where people take a few steps from camera to camera."""
    false_accepts: tuple[float, ...] = (0.1, 0.01, 0.001)
    """Open-set search: shares of searches for absent people that may name somebody; each gives a threshold."""
    threshold: float = 0.0
    """Open-set search: also this threshold on the cosine similarity, such as one in use; 0: none."""
    curve_images: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 320)
    """--curve: images of each camera that its statistics are estimated from."""
    curve_draws: int = 3
    """--curve: random draws of those images."""
    seed: int = 0
    """Seed of the statistics' image sample and of the bootstrap."""

    def __post_init__(self) -> None:
        require(self.batch_size >= 2, f"evaluate.batch_size must be at least 2, got {self.batch_size}")
        require(
            self.statistics_images >= 2, f"evaluate.statistics_images must be at least 2, got {self.statistics_images}"
        )
        require(
            self.min_statistics_images >= 2,
            f"evaluate.min_statistics_images must be at least 2, got {self.min_statistics_images}",
        )
        require(self.bootstrap >= 0, f"evaluate.bootstrap must not be negative, got {self.bootstrap}")
        for name in ("pseudo_cameras", "rerank_k1", "rerank_k2", "bin_frames", "curve_draws"):
            require(getattr(self, name) >= 1, f"evaluate.{name} must be at least 1, got {getattr(self, name)}")
        require(0 <= self.rerank_lambda <= 1, f"evaluate.rerank_lambda must lie in 0 ... 1, got {self.rerank_lambda}")
        require(self.temporal_sigma >= 0, f"evaluate.temporal_sigma must not be negative, got {self.temporal_sigma}")
        require(
            all(0 < rate < 1 for rate in self.false_accepts),
            f"evaluate.false_accepts must lie between 0 and 1, got {self.false_accepts}",
        )
        require(-1 <= self.threshold <= 1, f"evaluate.threshold must lie in -1 ... 1, got {self.threshold}")
        require(
            bool(self.curve_images) and min(self.curve_images) >= 2,
            f"evaluate.curve_images must be 2 or more, got {self.curve_images}",
        )
        require(bool(self.ranks) and min(self.ranks) >= 1, f"evaluate.ranks must be 1 or more, got {self.ranks}")
