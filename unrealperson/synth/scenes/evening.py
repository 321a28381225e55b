"""Windows that glow when lamps are on: which rooms are lit, how brightly, in what colour.

What is decided here comes from a stream of its own, so that nothing else in a scene changes.
"""

from __future__ import annotations

import numpy as np

GLOWS = ((3.4, 2.0, 0.95), (3.0, 2.1, 1.25), (2.1, 2.1, 2.0))
"""Colours of lit rooms, linear: bulbs, warm tubes, cold tubes."""
SHOP_GLOW, OFFICE_GLOW = (1.75, 1.45, 1.05), (0.85, 0.95, 0.9)


def own_stream(rng: np.random.Generator) -> np.random.Generator:
    """A source of randomness for the evening; what the scene draws by day stays what it is.

    Args:
        rng: source of a scene's looks.
    """
    return rng.spawn(1)[0]


def random_glow(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draws the colour of a house's lit rooms.

    Args:
        rng: source of randomness.
    """
    return GLOWS[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]


def lit_rooms(rng: np.random.Generator, rows: int, columns: int, share: float) -> np.ndarray:
    """Draws how brightly rooms are lit.

    Args:
        rng: source of randomness.
        rows: of windows.
        columns: of windows.
        share: how many are lit at all.

    Returns:
        [rows, columns] float32, 0 dark ... 1.
    """
    lit = rng.random((rows, columns)) < share
    return (lit * rng.uniform(0.35, 1.0, (rows, columns))).astype(np.float32)


def with_shine(texture: np.ndarray, shine: np.ndarray) -> np.ndarray:
    """Adds what a `Mesh` reads as the share of a place that shines.

    Args:
        texture: [H, W, 3] uint8 sRGB.
        shine: [H, W] 0 ... 1.

    Returns:
        [H, W, 4] uint8.
    """
    return np.dstack([texture, np.clip(255 * shine + 0.5, 0, 255).astype(np.uint8)])
