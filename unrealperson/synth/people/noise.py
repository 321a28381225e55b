"""Smooth noise for painted surfaces."""

from __future__ import annotations

import numpy as np


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: int, cells_x: int | None = None
) -> np.ndarray:
    """Noise in 0 ... 1, smoothly between a few random values per side.

    Args:
        rng: source of randomness.
        shape: height and width in pixels.
        cells: random values from top to bottom.
        cells_x: random values from left to right, by default the same number.

    Returns:
        [h, w] float64.
    """
    coarse = rng.random((cells + 1, (cells_x or cells) + 1))
    y = np.linspace(0, cells, shape[0], endpoint=False)
    x = np.linspace(0, cells_x or cells, shape[1], endpoint=False)
    yi, xi = y.astype(int), x.astype(int)
    fy, fx = y - yi, x - xi
    fy, fx = (fy * fy * (3 - 2 * fy))[:, None], (fx * fx * (3 - 2 * fx))[None]
    rows = coarse[yi] * (1 - fy) + coarse[yi + 1] * fy
    return rows[:, xi] * (1 - fx) + rows[:, xi + 1] * fx
