"""Sprays and leaves: the pieces of opaque geometry that crowns, shrubs, hedges and ivy are made of."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.scenes.solid import Solid

LEAF_TILE_M = 1.3
"""Metres that a texture of leaves covers."""
UP = np.array([0.0, 0.0, 1.0])


def spread(rng: np.random.Generator, count: int) -> np.ndarray:
    """Directions spread evenly over the sphere, with a random start.

    Args:
        rng: source of the start.
        count: number of directions.

    Returns:
        [count, 3] unit vectors.
    """
    at = (np.arange(count) + rng.uniform(0.3, 0.7, count)) / count
    around = 2.399963 * np.arange(count) + rng.uniform(0, 2 * np.pi) + rng.uniform(-0.4, 0.4, count)
    z = 1 - 2 * at
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(around), flat * np.sin(around), z], -1)


def add_sprays(
    rng: np.random.Generator,
    solid: Solid,
    place: np.ndarray,
    facing: np.ndarray,
    size: np.ndarray,
    color: np.ndarray,
    *,
    droop: float,
    points: int = 7,
) -> None:
    """Adds bent stars with ragged tips.

    Args:
        rng: source of their shapes.
        solid: gathers them.
        place: [n, 3] metres.
        facing: [n, 3] where each looks, of any length.
        size: [n] radii in metres.
        color: [n, 3].
        droop: how far tips hang, 0 to 1.
        points: tips and notches of a star.
    """
    count = len(place)
    normal, side, other = _frames(rng, facing)
    angle = (np.arange(points) + rng.uniform(-0.3, 0.3, (count, points))) * 2 * np.pi / points
    reach = np.where(np.arange(points) % 2, 0.48, 1.05) * rng.uniform(0.7, 1.25, (count, points)) * size[:, None]
    flat = reach[..., None] * (np.cos(angle)[..., None] * side[:, None] + np.sin(angle)[..., None] * other[:, None])
    ring = place[:, None] + flat - 0.3 * (reach**2 / size[:, None])[..., None] * normal[:, None]
    ring[..., 2] -= droop * rng.uniform(0.2, 0.9, (count, points)) * reach
    positions = np.concatenate([place[:, None], ring], 1)
    normals = normal[:, None] + np.concatenate([np.zeros((count, 1, 3)), 0.7 * flat / size[:, None, None]], 1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    local = np.stack([reach * np.cos(angle), reach * np.sin(angle)], -1)
    uv = np.concatenate([np.zeros((count, 1, 2)), local], 1) / LEAF_TILE_M + rng.uniform(0, 1, (count, 1, 2))
    colors = np.repeat(color[:, None], points + 1, 1)
    colors[:, 1:] *= rng.uniform(0.85, 1.2, (count, points, 1))
    at = np.arange(points)
    fan = np.stack([np.zeros(points, int), 1 + at, 1 + (at + 1) % points], 1)
    faces = (fan[None] + (points + 1) * np.arange(count)[:, None, None]).reshape(-1, 3)
    solid.add(positions.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2), colors.reshape(-1, 3), faces)


def add_leaves(
    rng: np.random.Generator,
    solid: Solid,
    place: np.ndarray,
    facing: np.ndarray,
    size: np.ndarray,
    color: np.ndarray,
    droop: float,
) -> None:
    """Adds leaves: slim triangles.

    Args:
        rng: source of their angles.
        solid: gathers them.
        place: [n, 3] metres.
        facing: [n, 3] where each looks, of any length.
        size: [n] lengths in metres.
        color: [n, 3].
        droop: how far tips hang, 0 to 1.
    """
    count = len(place)
    normal, side, other = _frames(rng, facing)
    tip = side * size[:, None] * 0.75 - 0.5 * droop * UP * size[:, None]
    wide = 0.3 * size[:, None] * other
    positions = np.stack([place - wide, place + tip, place + wide], 1)
    corner = np.array([[0.0, 0.0], [0.75, 0.3], [0.0, 0.6]])
    uv = corner * (size[:, None, None] / LEAF_TILE_M) + rng.uniform(0, 1, (count, 1, 2))
    faces = np.arange(3 * count).reshape(-1, 3)
    normals = np.repeat(normal, 3, 0)
    solid.add(positions.reshape(-1, 3), normals, uv.reshape(-1, 2), np.repeat(color, 3, 0), faces)


def add_lump(
    rng: np.random.Generator,
    crown: Solid,
    heart: np.ndarray,
    size: np.ndarray,
    centre: np.ndarray,
    radii: np.ndarray,
    tone: np.ndarray,
) -> None:
    """Adds a lumpy ellipsoid of 4 x 7 faces that fills a tuft.

    Args:
        rng: source of its lumps.
        crown: gathers it.
        heart: its middle, in metres.
        size: [3] its radii in metres.
        centre: middle of the crown that it is a part of, in metres.
        radii: [3] radii of the crown in metres.
        tone: [3] its colour.
    """
    polar, around = np.meshgrid(np.linspace(0, np.pi, 5), np.linspace(0, 2 * np.pi, 8), indexing="ij")
    out = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
    rough = rng.uniform(0.68, 1.12, (5, 8, 1))
    rough[:, -1], rough[[0, -1]] = rough[:, 0], 1.0
    place = heart + out * size * rough
    shade = depth_shade(place, out, centre, radii) * 0.8 * rough[..., 0] ** 2
    uv = np.stack([around * size[0], polar * size[2]], -1) / LEAF_TILE_M + rng.uniform(0, 1, 2)
    i, j = np.meshgrid(np.arange(4), np.arange(7), indexing="ij")
    a = (i * 8 + j).ravel()
    faces = np.concatenate([np.stack([a, a + 8, a + 9], 1), np.stack([a, a + 9, a + 1], 1)])
    color = shade[..., None] * tone
    crown.add(place.reshape(-1, 3), out.reshape(-1, 3), uv.reshape(-1, 2), color.reshape(-1, 3), faces)


def depth_shade(place: np.ndarray, out: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Share of the light that reaches places of a crown: less within and below.

    Args:
        place: [..., 3] metres.
        out: [..., 3] unit vectors out of the tuft.
        centre: [3] middle of the crown in metres.
        radii: [3] radii of the crown in metres.

    Returns:
        [...] factors.
    """
    depth = np.linalg.norm((place - centre) / radii, axis=-1)
    return np.clip(0.38 + 0.6 * depth, 0.4, 1.05) * (0.78 + 0.26 * out[..., 2])


def _frames(rng: np.random.Generator, facing: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit normals and two tangents at random angles, each [n, 3]."""
    normal = facing / np.linalg.norm(facing, axis=1, keepdims=True)
    side = np.cross(normal, rng.normal(0, 1, normal.shape))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return normal, side, np.cross(normal, side)
