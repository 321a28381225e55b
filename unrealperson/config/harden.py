"""Configuration section [harden]: what is mined of a trained network's confusions, and how much is rendered for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unrealperson.config.check import require


@dataclass(frozen=True, kw_only=True)
class HardenConfig:
    """Which crops are asked, and what is made of the answers."""

    images: int = 1000
    """Crops to add, about so many: the number of people follows from how many crops each has in the data."""
    split: Literal["train", "test"] = "train"
    """Whose confusions are mined; held-out people (test) give regions and scenes but no looks, and stay held out."""
    per_identity: int = 16
    """Most images of each identity that are asked; 0: all."""
    hardest: float = 0.1
    """Confused are images nearer to somebody else than to their own, and in any case the nearest to it, this share."""
    seed: int = 0
    """Seed of the new people, whatever else is drawn; 0: 1,000 above the largest in the data."""
    rounds: int = 0
    """Above 0, also render, merge and train on, so many times over; 0: only the configuration for 'synth'."""
    epochs: int = 5
    """Epochs of each round's training, the learning rate a tenth for the last third; all else as the run had it."""

    def __post_init__(self) -> None:
        for name, least in (("images", 1), ("per_identity", 0), ("seed", 0), ("rounds", 0), ("epochs", 1)):
            require(getattr(self, name) >= least, f"harden.{name} must be at least {least}, got {getattr(self, name)}")
        require(0 < self.hardest <= 1, f"harden.hardest must lie in 0 ... 1, 0 excluded, got {self.hardest}")
