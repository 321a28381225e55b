"""Configuration section [crop]: what becomes a crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unrealperson.config.check import require


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Rules that turn a frame and its instance mask into crops."""

    rules: Literal["visibility", "compat"] = "visibility"
    """How people are judged: by the share of them that is seen, or to the pixel as the original's toolkit does."""
    tolerance: int = 3
    """A pixel belongs to a person if each channel of the mask is within this of the person's colour."""
    min_pixels: int = 2000
    """A person needs more mask pixels than this."""
    border: int = 5
    """Reject boxes closer than this many pixels to the frame's edge."""
    enlarge: float = 0.1
    """Each side grows by a random whole number of pixels, up to this share of the box's side."""
    min_area: int = 2000
    """Reject enlarged boxes of fewer square pixels than this."""
    min_visibility: float = 0.3
    """Reject persons of whom less than this share is seen (rules "visibility", where the truth is known)."""
    min_keypoints: int = 4
    """Reject persons with fewer visible key points of 17 (rules "visibility", where the truth is known)."""
    min_fill: float = 0.3
    """Reject persons whose mask fills less than this share of its tight box (rules "compat", or no truth)."""
    quality: int = 90
    """JPEG quality of the crops."""
    seed: int = 0
    """Seed of the random enlargement."""

    def __post_init__(self) -> None:
        require(0 <= self.tolerance <= 7, f"crop.tolerance must lie in 0 ... 7, got {self.tolerance}")
        require(self.min_pixels >= 0, f"crop.min_pixels must not be negative, got {self.min_pixels}")
        require(self.border >= 0, f"crop.border must not be negative, got {self.border}")
        require(0 <= self.enlarge <= 1, f"crop.enlarge must lie in 0 ... 1, got {self.enlarge}")
        require(0 <= self.min_visibility <= 1, f"crop.min_visibility must lie in 0 ... 1, got {self.min_visibility}")
        require(0 <= self.min_keypoints <= 17, f"crop.min_keypoints must lie in 0 ... 17, got {self.min_keypoints}")
        require(0 <= self.min_fill <= 1, f"crop.min_fill must lie in 0 ... 1, got {self.min_fill}")
        require(1 <= self.quality <= 100, f"crop.quality must lie in 1 ... 100, got {self.quality}")
