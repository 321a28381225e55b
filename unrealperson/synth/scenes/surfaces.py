"""Procedural textures of streets: slabs, asphalt, facades, shop fronts, leaves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from unrealperson.synth.scenes import evening

Rgb = Sequence[float]


def noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise that tiles.

    Args:
        rng: source of the values.
        size: side in pixels.
        cells: random values a side.

    Returns:
        [size, size] float32, mean about 0, range about -1 ... 1.
    """
    grid = rng.uniform(-1.0, 1.0, (cells, cells)).astype(np.float32)
    at = np.arange(size) * cells / size
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    part = part * part * (3 - 2 * part)
    high = (low + 1) % cells
    rows = grid[low] * (1 - part)[:, None] + grid[high] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, high] * part


def grain(rng: np.random.Generator, size: int, *, fine: float, coarse: float) -> np.ndarray:
    """Brightness factor of a worn surface.

    Args:
        rng: source of the values.
        size: side in pixels.
        fine: strength of the pixel-sized part.
        coarse: strength of stains.

    Returns:
        [size, size, 1] float32 around 1.
    """
    value = 1 + fine * (rng.standard_normal((size, size), dtype=np.float32) * 0.5 + noise(rng, size, size // 4))
    value += coarse * (0.5 * noise(rng, size, 5) + 0.35 * noise(rng, size, 13) + 0.25 * noise(rng, size, 37))
    return value[..., None].astype(np.float32)


def finish(values: np.ndarray) -> np.ndarray:
    """Turns sRGB values in 0 ... 1 into a texture.

    Args:
        values: [H, W, 3] float.

    Returns:
        [H, W, 3] uint8.
    """
    return np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)


def asphalt(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    """Worn road surface with repairs and cracks.

    Args:
        rng: source of the values.
        size: side in pixels.
    """
    tone = np.full((size, size, 3), (0.33, 0.33, 0.335), np.float32) * grain(rng, size, fine=0.09, coarse=0.16)
    for _ in range(3):
        top, left = rng.integers(0, size - 150, 2)
        high, wide = rng.integers(40, 150, 2)
        tone[top : top + high, left : left + wide] *= rng.uniform(0.82, 1.12)
    crack = np.abs(noise(rng, size, 6) + 0.4 * noise(rng, size, 24)) < 0.012
    tone[crack] *= 0.7
    return finish(tone)


def slabs(rng: np.random.Generator, color: Rgb, rows: int, columns: int, size: int = 512) -> np.ndarray:
    """Paving slabs, every second row shifted, each with its own tone.

    Args:
        rng: source of the values.
        color: sRGB, 0 ... 1.
        rows: slabs down the texture.
        columns: slabs across it.
        size: side in pixels.
    """
    y, x = np.mgrid[0:size, 0:size]
    row = y * rows // size
    shifted = (x + (row % 2) * size // (2 * columns)) % size
    column = shifted * columns // size
    tone = 1 + 0.07 * rng.standard_normal((rows, columns, 1)) + 0.012 * rng.standard_normal((rows, columns, 3))
    value = np.asarray(color, np.float32) * tone[row, column].astype(np.float32)
    value *= grain(rng, size, fine=0.05, coarse=0.14)
    joint = (y * rows % size < 2 * rows) | (shifted * columns % size < 2 * columns)
    value[joint] *= 0.62
    spots = noise(rng, size, 64) > 0.93
    value[spots] *= 0.8
    return finish(value)


def bricks(rng: np.random.Generator, color: Rgb, size: int = 256) -> np.ndarray:
    """Masonry: 16 courses of 6 bricks.

    Args:
        rng: source of the values.
        color: sRGB, 0 ... 1.
        size: side in pixels.
    """
    return slabs(rng, color, 16, 6, size)


def plaster(rng: np.random.Generator, color: Rgb = (1.0, 1.0, 1.0), size: int = 256) -> np.ndarray:
    """Even surface with faint stains, for painted things.

    Args:
        rng: source of the values.
        color: sRGB, 0 ... 1.
        size: side in pixels.
    """
    return finish(np.asarray(color, np.float32) * 0.95 * grain(rng, size, fine=0.02, coarse=0.06))


@lru_cache(maxsize=1)
def paint() -> np.ndarray:
    """The texture that all painted props share; their vertices carry the colour."""
    return plaster(np.random.default_rng(0))


@lru_cache(maxsize=1)
def wood() -> np.ndarray:
    """Planed boards, grain along the texture's rows; vertices carry the tone."""
    rng = np.random.default_rng(1)
    grain_lines = noise(rng, 256, 64)[:, :1] * 0.14 + noise(rng, 256, 24)[:, :1] * 0.1
    wavy = np.roll(np.repeat(grain_lines, 256, 1), 3, 0) + 0.05 * noise(rng, 256, 12)
    return finish(np.array([0.54, 0.45, 0.36], np.float32) * (1.0 + wavy[..., None]))


def leaves(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Dense foliage.

    Args:
        rng: source of the values.
        size: side in pixels.
    """
    light = 0.5 + 0.5 * noise(rng, size, 40) + 0.35 * noise(rng, size, 90) + 0.3 * noise(rng, size, 7)
    tint = noise(rng, size, 50)[..., None] * np.array([0.06, 0.02, 0.0], np.float32)
    return finish((np.array([0.27, 0.33, 0.17], np.float32) + tint) * (0.35 + 0.9 * np.clip(light, 0, 1.3))[..., None])


def bark(rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """Tree bark, grain running up.

    Args:
        rng: source of the values.
        size: side in pixels.
    """
    ridges = noise(rng, size, 32)[:1] * 0.3 + noise(rng, size, 24) * 0.25
    return finish(np.array([0.36, 0.3, 0.24], np.float32) * (0.9 + ridges[..., None]))


def facade(rng: np.random.Generator, wall: Rgb, storeys: int, bays: int, size: int = 512) -> np.ndarray:
    """Upper storeys: rows of windows with frames, sills, curtains and reflections of the sky, some lit at night.

    Args:
        rng: source of the values.
        wall: sRGB of the wall, 0 ... 1.
        storeys: rows of windows.
        bays: windows a row.
        size: side in pixels.

    Returns:
        [size, size, 4] uint8.
    """
    masonry = rng.random() < 0.5
    base = slabs(rng, wall, 48, 18, size) if masonry else plaster(rng, wall, size)
    value = base.astype(np.float32) / 255
    streaks = noise(rng, size, 48)[:1].repeat(size, 0) * np.linspace(0.02, 0.1, size)[:, None]
    value *= 1 + streaks[..., None].astype(np.float32)
    frame = np.array(rng.choice([0.85, 0.3, 0.2, 0.75])) * np.array([1.0, 0.98, 0.94])
    cell_h, cell_w = size // storeys, size // bays
    wide, high = int(cell_w * rng.uniform(0.42, 0.62)), int(cell_h * rng.uniform(0.5, 0.66))
    lit = evening.lit_rooms(evening.own_stream(rng), storeys, bays, 0.4)
    shine = np.zeros((size, size), np.float32)
    for storey in range(storeys):
        for bay in range(bays):
            top, left = storey * cell_h + (cell_h - high) // 2, bay * cell_w + (cell_w - wide) // 2
            value[top - 6 : top + high + 6, left - 6 : left + wide + 6] *= 0.8
            value[top - 3 : top + high + 3, left - 3 : left + wide + 3] = frame
            value[top : top + high, left : left + wide] = _pane(rng, high, wide)
            shine[top : top + high, left : left + wide] = lit[storey, bay]
            shine[top : top + high, left + wide // 2 - 2 : left + wide // 2 + 2] = 0
            value[top : top + high, left + wide // 2 - 2 : left + wide // 2 + 2] = frame
            value[top + high + 4 : top + high + 12, left - 10 : left + wide + 10] = np.asarray(wall) * 1.15
    return evening.with_shine(finish(value), shine)


def shop_front(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    """Ground floor of a shop: sign board, display windows with goods, a door, a plinth.

    Args:
        rng: source of the values.
        size: side in pixels.
    """
    body = rng.choice(
        [
            [0.16, 0.2, 0.24],
            [0.3, 0.14, 0.12],
            [0.13, 0.22, 0.17],
            [0.6, 0.57, 0.5],
            [0.24, 0.23, 0.22],
            [0.7, 0.68, 0.64],
        ]
    )
    value = plaster(rng, body, size).astype(np.float32) / 255
    sign = rng.choice([[0.75, 0.72, 0.65], [0.2, 0.25, 0.4], [0.5, 0.16, 0.14], [0.14, 0.14, 0.15], [0.2, 0.38, 0.3]])
    value[20:110, 10:-10] = sign
    letters = np.array([0.92, 0.9, 0.84]) if sign.mean() < 0.5 else np.array([0.16, 0.15, 0.15])
    at = 60 + int(rng.integers(0, 60))
    for _ in range(rng.integers(6, 12)):
        wide = int(rng.integers(12, 30))
        value[42:88, at : at + wide] = letters
        value[56 : 56 + int(rng.integers(6, 18)), at + 6 : at + wide - 4] = sign
        at += wide + 8
        if at > size - 80:
            break
    door = int(rng.choice([30, size - 150]))
    spans = [(20, door - 12), (door, door + 110), (door + 122, size - 20)]
    for left, right in spans:
        if right - left < 60:
            continue
        top, bottom = 128, (498 if left == door else 430)
        value[top - 6 : bottom + 6, left - 6 : right + 6] = body * 0.6
        value[top:bottom, left:right] = _pane(rng, bottom - top, right - left, display=True)
        for x in range(left + 140, right - 40, 150):
            value[top:bottom, x : x + 6] = body * 0.8
    value[-14:] *= 0.6
    return finish(value)


def _pane(rng: np.random.Generator, high: int, wide: int, *, display: bool = False) -> np.ndarray:
    """Glass: the dim room behind it, blinds or goods, and a soft reflection of the sky."""
    room = np.ones((high, wide, 3)) * np.array([0.11, 0.12, 0.14]) * rng.uniform(0.7, 1.6)
    if display:
        room += np.linspace(0.12, 0.0, high)[:, None, None] * np.array([1.0, 0.9, 0.7])
        for _ in range(wide // 16):
            left, tall = int(rng.integers(0, max(wide - 14, 1))), int(rng.integers(20, max(high * 2 // 3, 21)))
            goods = rng.uniform(0.08, 0.4) + rng.uniform(-0.05, 0.05, 3)
            room[high - tall :, left : left + int(rng.integers(8, 34))] = goods
    elif rng.random() < 0.5:
        room[: int(high * rng.uniform(0.2, 1.0))] = rng.uniform(0.35, 0.7) * np.array([1.0, 0.97, 0.9])
    slope = np.linspace(-1, 1, wide)[None] * rng.uniform(-1, 1) + np.linspace(1, -1, high)[:, None]
    glint = np.clip(slope * 0.5 + 0.3, 0, 1)[..., None] * np.array([0.55, 0.62, 0.72])
    return room * 0.75 + glint * rng.uniform(0.12, 0.4)
