"""What is for sale: packages and fruit as textures, and shelves full of them as meshes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from unrealperson.synth.scenes.interior import cell_uv, write
from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.surfaces import finish, noise

COLUMNS, ROWS = 8, 16
RAIL_ROW = ROWS - 1
LEVELS_M = ((0.16, 0.36), (0.56, 0.3), (0.9, 0.28), (1.22, 0.27), (1.53, 0.25))
"""Height and clear room of each shelf board."""
HUES = np.array(
    [
        [0.72, 0.1, 0.1], [0.85, 0.45, 0.1], [0.88, 0.75, 0.2], [0.2, 0.45, 0.18], [0.1, 0.3, 0.6],
        [0.85, 0.84, 0.8], [0.35, 0.18, 0.1], [0.5, 0.15, 0.4], [0.55, 0.72, 0.8], [0.15, 0.15, 0.17],
        [0.8, 0.65, 0.5], [0.45, 0.5, 0.3],
    ]
)  # fmt: skip
_WORDS = ("RICE", "TEA", "COFFEE", "MILK", "PASTA", "OATS", "SOAP", "JUICE", "SALT", "HONEY", "NUTS", "SODA", "CRISPS")


def package_fronts(rng: np.random.Generator, size: int = 1024) -> np.ndarray:
    """Fronts of packages as they stand on shelves: 15 rows of 8 groups of equal ones, and a row of price tags.

    Args:
        rng: source of colours and shapes.
        size: side in pixels.
    """
    high, wide = size // ROWS, size // COLUMNS
    value = np.empty((size, size, 3), np.float32)
    for row in range(RAIL_ROW):
        for column in range(COLUMNS):
            cell = value[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
            cell[:] = np.linspace(0.05, 0.16, high)[:, None, None]
            _facings(rng, cell, ("carton", "bottle", "bag", "carton", "can")[row % 5])
    rail = value[RAIL_ROW * high :]
    rail[:] = rng.choice([[0.75, 0.75, 0.74], [0.55, 0.56, 0.58], [0.7, 0.15, 0.12]])
    for left in np.arange(4, size - 30, 26):
        if rng.random() < 0.8:
            tag = (0.9, 0.8, 0.2) if rng.random() < 0.18 else (0.95, 0.95, 0.93)
            rail[8:-8, left : left + 20] = tag
            rail[22:40, left + 3 : left + 3 + int(rng.integers(6, 14))] = 0.15
    return finish(value)


def _facings(rng: np.random.Generator, cell: np.ndarray, kind: str) -> None:
    high, wide = cell.shape[:2]
    count = int(rng.integers(2, 5)) if kind in ("carton", "bag") else int(rng.integers(4, 7))
    side = wide // count
    tall = int(high * rng.uniform(0.78, 0.98))
    main, second = HUES[rng.choice(len(HUES), 2, replace=False)] * rng.uniform(0.75, 1.0, (2, 1))
    item = np.ones((tall, side - 1, 3), np.float32) * main
    x = np.linspace(-1, 1, side - 1)[None]
    y = np.linspace(0, 1, tall)[:, None]
    band = sorted(rng.uniform(0.15, 0.9, 2))
    item[(y[:, 0] > band[0]) & (y[:, 0] < band[1])] = second
    if rng.random() < 0.6:
        blob = (x - rng.uniform(-0.3, 0.3)) ** 2 + ((y - rng.uniform(0.4, 0.7)) * 3) ** 2 < rng.uniform(0.1, 0.5)
        item[blob] = HUES[rng.integers(len(HUES))]
    ink = (0.95, 0.95, 0.92) if main.mean() < 0.5 else (0.1, 0.1, 0.12)
    if kind in ("carton", "bag"):
        write(item, str(rng.choice(_WORDS)), (2, int(tall * rng.uniform(0.1, 0.3))), max(int(side * 0.2), 5), ink)
    for top in (rng.uniform(0.5, 0.85, 2) * tall).astype(int):
        item[top : top + 2, 4 : 4 + int(rng.integers(5, side - 6))] = ink
    solid = np.ones((tall, side - 1), bool)
    if kind == "bottle":
        neck = np.clip((y - 0.12) / 0.22, 0, 1)
        solid = np.abs(x) < 0.3 + 0.6 * neck * neck * (3 - 2 * neck)
        item[y[:, 0] < 0.09] = HUES[rng.integers(len(HUES))]
    elif kind == "bag":
        item *= 1 + 0.16 * noise(rng, 128, 24)[:tall, : side - 1, None]
        solid = np.abs(x) < 0.97 - 0.1 * np.sin(6 * np.pi * y) ** 2
    elif kind == "can":
        solid = np.abs(x) < np.where((y * 2) % 1 < 0.06, 0.75, 0.94)
        item[((y * 2) % 1)[:, 0] < 0.06] = 0.6
    if kind in ("bottle", "can"):
        item *= (0.45 + 0.6 * np.sqrt(np.clip(1 - (x - 0.2) ** 2, 0, 1)))[..., None]
    for number in range(count):
        if rng.random() > 0.03:
            part = cell[high - tall :, number * side : (number + 1) * side - 1]
            part[solid] = (item * rng.uniform(0.9, 1.05))[solid]


def fruits(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    """Crates of fruit and vegetables from above, 4 rows of 4.

    Args:
        rng: source of their places.
        size: side in pixels.
    """
    tones = (
        (0.75, 0.1, 0.08), (0.92, 0.5, 0.08), (0.93, 0.82, 0.2), (0.45, 0.62, 0.15), (0.8, 0.18, 0.1),
        (0.3, 0.1, 0.28), (0.85, 0.78, 0.55), (0.2, 0.42, 0.12), (0.6, 0.75, 0.3), (0.88, 0.35, 0.1),
        (0.7, 0.6, 0.42), (0.55, 0.08, 0.15), (0.85, 0.6, 0.45), (0.35, 0.5, 0.2), (0.9, 0.88, 0.8), (0.15, 0.15, 0.28),
    )  # fmt: skip
    side = size // 4
    value = np.empty((size, size, 3), np.float32)
    for index, tone in enumerate(tones):
        cell = value[index // 4 * side : (index // 4 + 1) * side, index % 4 * side : (index % 4 + 1) * side]
        cell[:] = 0.25 * np.array(tone)
        radius = rng.uniform(6, 13)
        reach = int(radius)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] / radius
        away = np.hypot(x, y)
        light = 0.35 + 0.75 * np.sqrt(np.clip(1 - away**2, 0, 1)) + 0.25 * np.clip(-x - y, 0, 1)
        for cx, cy in rng.integers(reach, side - reach, (int((side / radius) ** 2), 2)):
            color = np.array(tone) * rng.uniform(0.75, 1.1) * (1 + 0.1 * rng.standard_normal(3))
            part = cell[cy - reach : cy + reach + 1, cx - reach : cx + reach + 1]
            part[away < 1] = (light[..., None] * color)[away < 1]
    return finish(value)


def stocked(
    rng: np.random.Generator,
    length_m: float,
    texture: np.ndarray,
    *,
    levels_m: Sequence[tuple[float, float]] = LEVELS_M,
    light: float = 1.0,
) -> Mesh:
    """Packages and price rails on shelf boards, seen from -Y; the boards' edges lie in y = 0, x is centred.

    Args:
        rng: source of what stands where.
        length_m: along X.
        texture: of `package_fronts`.
        levels_m: height and clear room of each board.
        light: factor on all colours.
    """
    solid = Solid()
    rows: list[tuple[float, float, float, float, float, float]] = []
    cells: list[int] = []
    start, end = -length_m / 2, length_m / 2
    for level, (z, room) in enumerate(levels_m):
        tag = np.array([[0, 0.01], [length_m / 2, 0.01], [length_m / 2, 0.99], [0, 0.99]]) / (1, ROWS)
        edge = [[start, -0.005, z - 0.045], [end, -0.005, z - 0.045], [end, -0.005, z], [start, -0.005, z]]
        solid.quad(np.array(edge), (light * (0.7 + 0.06 * level),) * 3, tag)
        left = start + 0.02
        kind = int(rng.integers(RAIL_ROW))
        while left < end - 0.15:
            span = min(float(rng.uniform(0.3, 0.62)), end - left - 0.01)
            if rng.random() < 0.3:
                kind = int(rng.integers(RAIL_ROW))
            if rng.random() > 0.04:
                deep = float(rng.choice([0.015, 0.03, 0.06, 0.14], p=[0.45, 0.25, 0.2, 0.1]))
                tone = light * (0.8 + 0.1 * level) * float(rng.uniform(0.9, 1.05))
                rows.append((left, deep, z, span, room * float(rng.uniform(0.68, 0.96)), tone))
                cells.append(kind * COLUMNS + int(rng.integers(COLUMNS)))
            left += span + 0.012
    x, y, low, wide, tall, tones = np.array(rows).T
    far, top, right = y + 0.3, low + tall, x + wide
    uv = np.stack([cell_uv(cell, COLUMNS, ROWS) for cell in cells])
    front = [(x, y, low), (right, y, low), (right, y, top), (x, y, top)]
    _faces(solid, front, (0, -1, 0), uv, tones)
    lid = [(x, y, top), (right, y, top), (right, far, top), (x, far, top)]
    _faces(solid, lid, (0, 0, 1), np.repeat(uv.mean(1, keepdims=True), 4, 1), 0.7 * tones)
    return solid.mesh("Goods", texture)


def _faces(
    solid: Solid, corners: Sequence[tuple[np.ndarray, ...]], normal: ArrayLike, uv: np.ndarray, tones: np.ndarray
) -> None:
    """Adds many flat faces of one normal: four corners, each x, y, z of [n]."""
    points = np.stack([np.stack(corner, -1) for corner in corners], 1)
    first = 4 * np.arange(len(points))[:, None]
    faces = np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])])
    colors = np.repeat(tones, 4)[:, None] * np.ones(3)
    solid.add(
        points.reshape(-1, 3),
        np.tile(np.asarray(normal, float), (4 * len(points), 1)),
        uv.reshape(-1, 2),
        colors,
        faces,
    )
