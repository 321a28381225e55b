"""Configuration section [fit]: how closely a world is fitted to a site's crops."""

from __future__ import annotations

from dataclasses import dataclass

from unrealperson.config.check import require


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How much is looked at, and how much is rendered to try it."""

    crops: int = 600
    """Crops of the target that are measured; half of them are fitted to, the other half judges the fit."""
    people: int = 16
    """People of each probe, a small set that is rendered to try one setting."""
    cameras: int = 6
    """Cameras of each probe."""
    instants: int = 8
    """Instants of each probe."""
    trials: int = 120
    """Settings of the sensors that are tried, on rendered crops, without rendering again."""
    margin: float = 0.03
    """A setting of the world is changed only if the distance falls by more than this share."""
    seed: int = 0
    """Seed of the halves, of the probes' people and of the search."""

    def __post_init__(self) -> None:
        require(self.crops >= 20, f"fit.crops must be at least 20, got {self.crops}")
        for name in ("people", "cameras", "instants", "trials"):
            require(getattr(self, name) >= 1, f"fit.{name} must be at least 1, got {getattr(self, name)}")
        require(0 <= self.margin < 1, f"fit.margin must lie in 0 ... 1, 1 excluded, got {self.margin}")
