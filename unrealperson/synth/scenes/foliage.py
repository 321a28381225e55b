"""Procedural textures of what grows: leaves, needles, bark, grass, soil."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unrealperson.synth.scenes.surfaces import Rgb, finish, grain, noise


def strokes(
    rng: np.random.Generator,
    ground: np.ndarray,
    tones: Sequence[Rgb],
    *,
    count: int,
    length_px: tuple[float, float],
    width_px: float,
    angle: tuple[float, float] = (0.0, 2 * np.pi),
) -> np.ndarray:
    """Paints leaf-shaped strokes, the later ones brighter, as if they lay on the earlier ones; the result tiles.

    Args:
        rng: source of places, angles and tones.
        ground: [S, S, 3] float, sRGB 0 ... 1, what lies below.
        tones: sRGB colours to draw from, 0 ... 1.
        count: strokes.
        length_px: shortest and longest stroke.
        width_px: greatest width of a stroke.
        angle: range of directions in radians, 0 to the right, pi / 2 down.

    Returns:
        [S, S, 3] float.
    """
    image, size = ground.copy(), len(ground)
    reach = int(length_px[1] / 2 + width_px) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    column = rng.integers(0, size, (count, 2))
    turn, half = rng.uniform(*angle, count), rng.uniform(*length_px, count) / 2
    tone = np.asarray(tones)[rng.integers(0, len(tones), count)] * rng.uniform(0.85, 1.15, (count, 1))
    tone *= np.linspace(0.55, 1.1, count)[:, None]
    for place, cos, sin, reach_px, color in zip(column, np.cos(turn), np.sin(turn), half, tone, strict=True):
        along, across = cos * x + sin * y, cos * y - sin * x
        inside = np.abs(across) < 0.5 * width_px * (1 - (along / reach_px) ** 2)
        rows, columns = (place[0] + y[inside]) % size, (place[1] + x[inside]) % size
        vein = 1 - 0.22 * (np.abs(across[inside]) < 0.5) + 0.1 * np.sign(across[inside])
        image[rows, columns] = color * vein[:, None]
    return image


def foliage(rng: np.random.Generator, tones: Sequence[Rgb], *, leaf_px: float = 15.0, size: int = 256) -> np.ndarray:
    """Many leaves above each other, dark between them.

    Args:
        rng: source of the leaves.
        tones: sRGB colours of the leaves, 0 ... 1.
        leaf_px: length of a leaf.
        size: side in pixels.
    """
    dark = np.full((size, size, 3), 0.3) * np.mean(np.asarray(tones), 0)
    count = int(2.2 * (size / leaf_px) ** 2 * 2)
    image = strokes(rng, dark, tones, count=count, length_px=(0.7 * leaf_px, 1.2 * leaf_px), width_px=0.5 * leaf_px)
    return finish(image * grain(rng, size, fine=0.03, coarse=0.12))


def needles(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Boughs of a conifer, needles pointing to both sides of a twig that runs up the texture.

    Args:
        rng: source of the needles.
        size: side in pixels.
    """
    tones = ((0.2, 0.29, 0.2), (0.26, 0.35, 0.22), (0.17, 0.26, 0.2), (0.32, 0.39, 0.24))
    image = np.full((size, size, 3), (0.08, 0.11, 0.08))
    for low, high in ((0.5, 1.2), (1.95, 2.65)):
        image = strokes(rng, image, tones, count=900, length_px=(12, 26), width_px=3.0, angle=(low, high))
    return finish(image * grain(rng, size, fine=0.04, coarse=0.15))


def bark(rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """Furrowed bark, its ridges running up the texture.

    Args:
        rng: source of the ridges.
        size: side in pixels.
    """
    dark = np.full((size, size, 3), (0.19, 0.16, 0.13)) * grain(rng, size, fine=0.1, coarse=0.2)
    ridges = ((0.37, 0.32, 0.26), (0.31, 0.27, 0.22), (0.42, 0.38, 0.31))
    return finish(strokes(rng, dark, ridges, count=150, length_px=(16, 50), width_px=6.0, angle=(1.42, 1.72)))


def birch_bark(rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """White bark with dark bands across.

    Args:
        rng: source of the bands.
        size: side in pixels.
    """
    white = np.full((size, size, 3), (0.8, 0.78, 0.74)) * grain(rng, size, fine=0.03, coarse=0.1)
    dark = ((0.13, 0.12, 0.11), (0.22, 0.2, 0.18), (0.3, 0.28, 0.25))
    return finish(strokes(rng, white, dark, count=45, length_px=(6, 40), width_px=3.0, angle=(-0.08, 0.08)))


def grass(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    """A mown lawn: blades, clover, dry straw and bare earth between; its tint comes from vertex colours.

    Args:
        rng: source of the blades.
        size: side in pixels.
    """
    earth = np.full((size, size, 3), (0.3, 0.29, 0.2)) * grain(rng, size, fine=0.12, coarse=0.1)
    tones = ((0.36, 0.43, 0.22), (0.31, 0.4, 0.2), (0.42, 0.47, 0.26), (0.27, 0.36, 0.18), (0.5, 0.49, 0.32))
    image = strokes(rng, earth, tones, count=6500, length_px=(8, 19), width_px=2.8)
    patches = 1 + 0.16 * noise(rng, size, 9)[..., None] * np.array([1.0, 0.7, 0.9])
    return finish(image * patches)


def soil(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Dark garden earth with bark chips and crumbs.

    Args:
        rng: source of the crumbs.
        size: side in pixels.
    """
    earth = np.full((size, size, 3), (0.25, 0.2, 0.15)) * grain(rng, size, fine=0.16, coarse=0.2)
    chips = ((0.36, 0.26, 0.17), (0.27, 0.2, 0.14), (0.43, 0.34, 0.24))
    return finish(strokes(rng, earth, chips, count=900, length_px=(5, 14), width_px=4.0))


def sand(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Trodden sand.

    Args:
        rng: source of the hollows.
        size: side in pixels.
    """
    hollows = noise(rng, size, 21) + 0.7 * noise(rng, size, 45)
    lit = 1 + 0.05 * np.clip(hollows - np.roll(hollows, (3, 2), (0, 1)), -1.5, 1.5)
    light = np.full((size, size, 3), (0.62, 0.55, 0.43)) * grain(rng, size, fine=0.06, coarse=0.14)
    return finish(light * lit[..., None])
