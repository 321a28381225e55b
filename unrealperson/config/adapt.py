"""Configuration section [adapt]: training on unlabelled crops of a site."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from unrealperson.config.check import require


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """Adaptation to unlabelled crops (paper section 4.3); epochs within it are those of the published length."""

    method: Literal["jvtc", "cluster_contrast"] = "jvtc"
    """JVTC (the paper's), or contrast with a memory of clusters."""
    epochs: int = 0
    """Passes; every constant that is an epoch scales with it. 0: as published, 60 or 50."""
    steps: int = 0
    """Steps of an epoch. 0: as published, one pass and at most 300, or 200."""
    learning_rate: float = 0.0
    """Step size. 0: as published, 0.01 (SGD) or 0.00035 (Adam)."""
    momentum: float = 0.9
    """Momentum of SGD, Nesterov's."""
    weight_decay: float = 5e-4
    """L2 penalty."""
    norm: Literal["cbn", "domain"] = "cbn"
    """Statistics of batch norm for each camera, or for the source and the target."""
    source_weight: float = 1.0
    """Weight of the source's cross-entropy, where --data gives a source."""
    source_identities: int = 4
    """Identities of each source camera in a batch; cameras and images as in the run's [train]."""
    images: int = 32
    """JVTC: target images of a batch."""
    views: int = 4
    """JVTC: views of each, itself included."""
    style: Literal["reinhard", "histogram", "fourier"] = "reinhard"
    """JVTC: how views take the other camera's colours."""
    camstyle: str = ""
    """JVTC: folder of CamStyle images (X_fake_1to2.jpg) to take where they exist."""
    local_temperature: float = 0.1
    """JVTC: beta of the loss within a batch."""
    temperature: float = 0.05
    """Of the loss against the memory."""
    global_weight: float = 0.2
    """JVTC: weight of that loss."""
    eps_share: float = 0.0016
    """JVTC: share of all pairs whose mean distance joins images; small sets of few people need more."""
    joint_eps_share: float = 0.0
    """JVTC: the same by looks and times; 0: eps_share."""
    eps_factor: float = 1.0
    """JVTC: multiplies that mean distance by looks; published for MSMT17: 0.8."""
    slot_frames: int = 0
    """JVTC: by looks and times, images of each so many frames are clustered apart (MSMT17: 10000); 0: all together."""
    lambda_visual: float = 0.3
    """JVTC: share of the original distance in re-ranking by looks."""
    lambda_joint: float = 0.5
    """JVTC: the same by looks and times."""
    identities: int = 16
    """Cluster contrast: clusters of a batch."""
    images_per_identity: int = 16
    """Cluster contrast: images of each."""
    clusters: Literal["dbscan", "infomap"] = "dbscan"
    """Cluster contrast: joined by density, or groups in which a random walk between neighbours stays longest."""
    eps: float = 0.6
    """Cluster contrast: Jaccard distance up to which images are neighbours."""
    min_samples: int = 4
    """Cluster contrast: neighbours that make an image the core of a cluster (infomap: images that make a cluster)."""
    outliers: Literal["drop", "alone"] = "drop"
    """Cluster contrast: leave images without a cluster out, or give each one of its own."""
    memory_momentum: float = 0.1
    """Cluster contrast: share of its old vector that a cluster keeps."""
    memory_update: Literal["momentum", "hard"] = "momentum"
    """Cluster contrast: clusters follow each of their images, or the one least alike."""
    proxy_weight: float = 0.0
    """Cluster contrast: weight of the camera-aware proxies' loss, such as 0.5; 0: without."""
    k1: int = 0
    """Neighbours that have to be mutual in re-ranking. 0: as published, 20 or 30."""
    k2: int = 6
    """Rows over which neighbourhoods are averaged."""
    clock: Literal["frame", "time", "off"] = "frame"
    """What tells the time between cameras: the frame number, the true time_s of our simulator, or nothing."""
    ticks_per_s: float = 25.0
    """Frames of a second, for the clock "time"."""
    bin_frames: int = 100
    """Frames of one bin of the times between cameras."""
    bins: int = 3000
    """Number of bins; longer times are not told apart."""
    sigma: float = 50.0
    """Of the smoothing of these times, in bins."""
    flip: float = 0.5
    """Probability of a horizontal mirror of a target image."""
    erasing: float = 0.5
    """Probability that a random rectangle of a target image becomes the mean colour."""
    score_every: int = 5
    """Epochs between two scores, where the target has labelled images to score; 0: only at the ends."""
    seed: int = 0
    """Seed of batches, views and augmentation."""

    def __post_init__(self) -> None:
        for name in (
            "epochs", "steps", "learning_rate", "k1", "sigma", "score_every", "source_weight", "proxy_weight",
            "slot_frames", "eps_factor",
        ):  # fmt: skip
            require(getattr(self, name) >= 0, f"adapt.{name} must not be negative, got {getattr(self, name)}")
        for name in ("views", "k2", "bins", "bin_frames", "min_samples", "source_identities"):
            require(getattr(self, name) >= 1, f"adapt.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("images", "identities", "images_per_identity"):
            require(getattr(self, name) >= 2, f"adapt.{name} must be at least 2, got {getattr(self, name)}")
        for name in (
            "lambda_visual", "lambda_joint", "memory_momentum", "flip", "erasing", "eps_share",
            "joint_eps_share", "eps",
        ):  # fmt: skip
            require(0 <= getattr(self, name) <= 1, f"adapt.{name} must lie in 0 ... 1, got {getattr(self, name)}")
        for name in ("temperature", "local_temperature", "ticks_per_s"):
            require(getattr(self, name) > 0, f"adapt.{name} must be positive, got {getattr(self, name)}")

    @property
    def published_epochs(self) -> int:
        """The length that the constants of the schedule belong to."""
        return 60 if self.method == "jvtc" else 50

    def resolved(self) -> AdaptConfig:
        """The same with the published value in the place of each 0 that asks for it."""
        steps, rate, k1 = (300, 0.01, 20) if self.method == "jvtc" else (200, 3.5e-4, 30)
        return dataclasses.replace(
            self,
            epochs=self.epochs or self.published_epochs,
            steps=self.steps or steps,
            learning_rate=self.learning_rate or rate,
            k1=self.k1 or k1,
        )
