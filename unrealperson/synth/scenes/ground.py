"""Ground of open places: level areas that show wear, edging stones, puddles, fallen leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes import surfaces
from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.scenes.solid import Solid

Area = tuple[float, float, float, float]
Line = Sequence[tuple[float, float]]
LUSH, WORN = np.array([0.82, 1.0, 0.75]), np.array([1.65, 1.12, 1.75])
"""Factors that turn the texture of a lawn into fresh grass and into trodden earth."""


def distance_to(points: np.ndarray, lines: Iterable[Line]) -> np.ndarray:
    """Distance to the nearest of several lines.

    Args:
        points: [..., 2] metres.
        lines: points x, y of each line.

    Returns:
        [...] metres.
    """
    nearest = np.full(points.shape[:-1], np.inf)
    for line in lines:
        for start, end in pairwise(np.asarray(line)):
            run = end - start
            share = np.clip((points - start) @ run / (run @ run), 0, 1)
            nearest = np.minimum(nearest, np.linalg.norm(points - start - share[..., None] * run, axis=-1))
    return nearest


def level_ground(
    rng: np.random.Generator,
    name: str,
    area: Area,
    texture: np.ndarray,
    *,
    tile_m: float,
    obstacles: np.ndarray,
    walls: Iterable[Line] = (),
    trodden: Sequence[Line] | None = None,
    z: float = 0.0,
    cell_m: float = 0.6,
) -> Mesh:
    """Level ground: stained, darker where things stand on it and along walls.

    Args:
        rng: source of the stains.
        name: of its mesh.
        area: x0, y0, x1, y1 in metres.
        texture: its surface.
        tile_m: metres that the texture covers.
        obstacles: [k, 3] circles x, y, radius in metres of what stands on it.
        walls: feet of the walls.
        trodden: makes it a lawn, worn along these lines and at its edges.
        z: height in metres.
        cell_m: distance of its vertices.
    """
    x0, y0, x1, y1 = area
    columns, rows = max(round((x1 - x0) / cell_m), 1), max(round((y1 - y0) / cell_m), 1)
    x, y = np.meshgrid(np.linspace(x0, x1, columns + 1), np.linspace(y0, y1, rows + 1), indexing="ij")
    flat = np.stack([x, y], -1)
    stain = surfaces.noise(rng, 64, 9)[np.ix_(np.arange(columns + 1) % 64, np.arange(rows + 1) % 64)]
    gap = np.full(x.shape, np.inf)
    for ox, oy, radius in obstacles:
        if x0 - 1.5 < ox < x1 + 1.5 and y0 - 1.5 < oy < y1 + 1.5:
            gap = np.minimum(gap, np.maximum(np.hypot(x - ox, y - oy) - radius, 0.0))
    shade = (1 + 0.14 * stain) * (1 - 0.42 * np.exp(-gap / 0.3)) * (1 - 0.42 * np.exp(-distance_to(flat, walls) / 0.7))
    color = np.repeat(shade[..., None], 3, -1)
    if trodden is not None:
        edge = np.minimum.reduce([x - x0, x1 - x, y - y0, y1 - y])
        worn = np.exp(-((distance_to(flat, trodden) / 0.55) ** 2)) * (0.95 + 0.35 * stain)
        worn = np.maximum(worn, 0.75 * np.exp(-edge / 0.22) * (0.6 + 0.7 * stain))
        worn = np.maximum(worn, 0.5 * np.exp(-gap / 0.35))
        worn = np.clip(worn + 0.1 * rng.standard_normal(x.shape), 0, 1)[..., None]
        lush = LUSH * (1 + 0.2 * stain[..., None] * np.array([1.6, 0.8, 0.4]))
        color = color * ((1 - worn) * lush + worn * WORN)
    points = np.concatenate([flat, np.full((*x.shape, 1), z)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(columns), np.arange(rows), indexing="ij")
    a, step = (i * (rows + 1) + j).ravel(), rows + 1
    faces = np.concatenate([np.stack([a, a + step, a + step + 1], 1), np.stack([a, a + step + 1, a + 1], 1)])
    solid = Solid()
    solid.add(points, np.tile([0.0, 0.0, 1.0], (len(points), 1)), points[:, :2] / tile_m, color.reshape(-1, 3), faces)
    return solid.mesh(name, texture)


def add_edging(rng: np.random.Generator, solid: Solid, area: Area, gaps: Sequence[Line]) -> None:
    """Adds edging stones around an area, open where people cross.

    Args:
        rng: source of their tones.
        solid: gathers them.
        area: x0, y0, x1, y1 in metres.
        gaps: lines that people walk along.
    """
    x0, y0, x1, y1 = area
    for start, end in pairwise(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])):
        long = float(np.hypot(*(end - start)))
        along, count = (end - start) / long, max(round(long / 1.6), 1)
        for middle in start + (np.arange(count)[:, None] + 0.5) / count * (end - start):
            if distance_to(middle, gaps) > 1.1:
                _stone(solid, middle, along, long / count - 0.012, rng.uniform(0.045, 0.06), rng.uniform(0.62, 0.95))


def _stone(solid: Solid, middle: np.ndarray, along: np.ndarray, long: float, high: float, tone: float) -> None:
    """One edging stone: its top and its two long sides."""
    across = 0.04 * np.array([-along[1], along[0]])
    profile = [(-1, 0.0), (-1, high), (1, high), (1, 0.0)]
    for (low_side, low), (high_side, top) in pairwise(profile):
        a, b = middle - 0.5 * long * along, middle + 0.5 * long * along
        corners = [(*(a + low_side * across), low), (*(b + low_side * across), low)]
        corners += [(*(b + high_side * across), top), (*(a + high_side * across), top)]
        uv = np.array([[0, 0], [long, 0], [long, 0.08], [0, 0.08]]) + middle
        solid.quad(np.array(corners)[::-1], (tone, tone, 0.97 * tone), uv[::-1])


def add_puddle(rng: np.random.Generator, water: Solid, damp: Solid, x: float, y: float, size_m: float) -> None:
    """Adds a puddle and the damp ground around it; both want the texture of the ground, the water also gloss.

    Args:
        rng: source of its outline.
        water: gathers the water.
        damp: gathers the rim.
        x: metres.
        y: metres.
        size_m: its radius along X.
    """
    turn = np.linspace(0, 2 * np.pi, 17)[:-1]
    reach = size_m * (1 + 0.11 * sum(np.sin(k * turn + rng.uniform(0, 6)) * 2 / k for k in (2, 3, 5)))
    fan = np.stack([np.zeros(16, int), 1 + np.arange(16), 1 + (1 + np.arange(16)) % 16], 1)
    for solid, share, tone, z in ((damp, 1.0, 0.62, 0.004), (water, 0.85, 0.36, 0.006)):
        ring = np.stack([x + share * reach * np.cos(turn), y + 0.6 * share * reach * np.sin(turn)], -1)
        points = np.column_stack([np.vstack([[x, y], ring]), np.full(17, z)])
        solid.add(points, np.tile([0.0, 0, 1], (17, 1)), points[:, :2] / 5.0, (tone, tone, tone), fan)


def add_fallen_leaves(rng: np.random.Generator, solid: Solid, places: np.ndarray) -> None:
    """Adds fallen leaves.

    Args:
        rng: source of their shapes and colours.
        solid: gathers them.
        places: [n, 2] metres.
    """
    for x, y in places:
        u, v = rng.uniform(-0.06, 0.06, 2)
        leaf = rng.choice([[0.35, 0.2, 0.06], [0.34, 0.3, 0.08], [0.14, 0.17, 0.05], [0.12, 0.08, 0.05]])
        corners = [
            (x, y, 0.02),
            (x + u, y + v, 0.022),
            (x + u - 0.8 * v, y + v + 0.8 * u, 0.034),
            (x - v, y + u, 0.022),
        ]
        solid.quad(np.array(corners), leaf * rng.uniform(0.5, 1.1))
