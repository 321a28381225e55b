"""Low plants: shrubs, hedges, flower beds, ivy, tufts of grass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.sprays import LEAF_TILE_M, UP, add_leaves, add_lump, add_sprays, spread
from unrealperson.synth.scenes.surfaces import Rgb


def shrub(rng: np.random.Generator, solid: Solid, at: Sequence[float], radii: ArrayLike, tint: Rgb = (1, 1, 1)) -> None:
    """Adds a bush: a dark rough heart in a coat of sprays and leaves.

    Args:
        rng: source of its shape.
        solid: gathers it.
        at: x, y, z of its foot.
        radii: its half width, half depth and half height in metres.
        tint: factor on the colour of the leaves.
    """
    size = np.asarray(radii, float)
    heart = np.asarray(at, float) + 0.9 * size[2] * UP
    add_lump(rng, solid, heart, 0.86 * size, heart, 1.6 * size, np.asarray(tint))
    area = float(np.prod(size)) ** (2 / 3)
    for count, length, points in ((20, 0.5, 7), (22, 0.34, 5)):
        count = max(int(count * min(max(area / 0.3, 0.6), 2.0)), 8)
        out = spread(rng, count)
        out = out[out[:, 2] > -0.75]
        place = heart + out * size * rng.uniform(0.85, 1.1, (len(out), 1))
        shade = (0.62 + 0.3 * out[:, 2]) * rng.uniform(0.75, 1.15, len(out))
        facing = out + 0.3 * UP + rng.normal(0, 0.25, out.shape)
        length_m = length * float(size.min()) * rng.uniform(0.7, 1.2, len(out))
        add_sprays(rng, solid, place, facing, length_m, shade[:, None] * np.asarray(tint), droop=0.1, points=points)


def hedge(
    rng: np.random.Generator,
    solid: Solid,
    start: tuple[float, float],
    end: tuple[float, float],
    height_m: float,
    *,
    thick_m: float = 0.6,
) -> None:
    """Adds a clipped hedge along a line.

    Args:
        rng: source of its leaves.
        solid: gathers it.
        start: x, y in metres.
        end: x, y in metres.
        height_m: its height.
        thick_m: its width.
    """
    a, b = np.asarray(start, float), np.asarray(end, float)
    long = float(np.hypot(*(b - a)))
    along = (b - a) / long
    across = np.array([-along[1], along[0]])
    half = thick_m / 2
    across_m = half * np.array([-1, -1, -1, -0.8, 0.8, 1, 1, 1])
    profile = np.stack([across_m, height_m * np.array([0, 0.45, 0.92, 1, 1, 0.92, 0.45, 0])], -1)
    steps = max(int(long / 0.5), 2)
    share = np.linspace(0, 1, steps + 1)
    rough = rng.normal(0, 0.035, (steps + 1, len(profile), 2)) * np.array([1.0, 0.8])
    local = profile[None] + rough
    ground = a + share[:, None, None] * (b - a) + local[..., :1] * across
    points = np.concatenate([ground, np.maximum(local[..., 1:], 0.0)], -1)
    tone = (0.35 + 0.5 * (profile[:, 1] / height_m) ** 0.7)[None] * rng.uniform(0.8, 1.15, (steps + 1, len(profile)))
    solid.sheet(points, np.repeat(tone[..., None], 3, 2), tile_m=LEAF_TILE_M)
    count = int(13 * long * max(height_m, 0.5))
    lane = rng.uniform(0, 1, count)
    edge = np.cumsum(np.r_[0, np.hypot(*np.diff(profile, axis=0).T)])
    where = rng.uniform(0.04, 0.96, count) * edge[-1]
    spot = np.stack([np.interp(where, edge, profile[:, axis]) for axis in (0, 1)], -1)
    place = np.concatenate([a + lane[:, None] * (b - a) + spot[:, :1] * across, spot[:, 1:]], 1)
    out = np.concatenate([(spot[:, :1] / half) * across, (spot[:, 1:] / height_m) ** 3], 1) + 0.05 * UP
    shade = (0.5 + 0.5 * spot[:, 1] / height_m) * rng.uniform(0.75, 1.2, count)
    facing = out + rng.normal(0, 0.3, out.shape)
    add_leaves(rng, solid, place, facing, rng.uniform(0.18, 0.34, count), np.repeat(shade[:, None], 3, 1), 0.0)


def flowers(
    rng: np.random.Generator,
    green: Solid,
    bloom: Solid,
    middle: tuple[float, float],
    radii: tuple[float, float],
    count: int,
) -> None:
    """Adds a bed of flowers: low leaves and blossoms in groups of one colour.

    Args:
        rng: source of places and colours.
        green: gathers the leaves.
        bloom: gathers the blossoms.
        middle: x, y in metres.
        radii: half length and half width of the bed, along X and Y.
        count: plants.
    """
    colors = np.array([[0.6, 0.05, 0.05], [0.75, 0.55, 0.05], [0.7, 0.68, 0.62], [0.35, 0.08, 0.3], [0.75, 0.25, 0.3]])
    groups = np.column_stack([rng.uniform(-1, 1, (6, 2)), rng.integers(0, len(colors), 6)])
    around, far = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    unit = np.stack([far * np.cos(around), far * np.sin(around)], -1)
    for spot in unit:
        nearest = groups[np.argmin(np.hypot(*(groups[:, :2] - spot).T))]
        foot = np.array([middle[0] + spot[0] * radii[0], middle[1] + spot[1] * radii[1], 0.05])
        tall = rng.uniform(0.16, 0.34)
        out = spread(rng, 5)
        out[:, 2] = np.abs(out[:, 2])
        place = foot + out * (0.1, 0.1, 0.6 * tall)
        shade = rng.uniform(0.5, 1.0, (5, 1)) * np.array([[0.95, 1.05, 0.9]])
        add_leaves(rng, green, place, out + 0.6 * UP, rng.uniform(0.16, 0.27, 5), shade, 0.2)
        head = foot + np.append(rng.uniform(-0.04, 0.04, 2), tall)
        tone = colors[int(nearest[2])] * rng.uniform(0.75, 1.15)
        turn = rng.uniform(0, 2 * np.pi) + np.arange(5) * 2 * np.pi / 5
        ring = head + 0.055 * np.stack([np.cos(turn), np.sin(turn), np.full(5, 0.3)], -1)
        tilt = np.tile([0.0, 0.0, 1.0], (5, 1)) + 0.6 * (ring - head) / 0.055
        bloom.add(
            ring,
            tilt / np.linalg.norm(tilt, axis=1, keepdims=True),
            rng.uniform(0, 1, (5, 2)),
            tone,
            np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4]]),
        )


def ivy(rng: np.random.Generator, solid: Solid, foot: ArrayLike, along: ArrayLike, size: tuple[float, float]) -> None:
    """Adds ivy that climbs a wall: wide below, fingers above.

    Args:
        rng: source of its shape.
        solid: gathers it.
        foot: x, y, z of the wall's foot at the plant's left end, seen from outside.
        along: unit vector in metres along the wall to the right, seen from outside.
        size: its width and height in metres.
    """
    right = np.asarray(along, float)
    out = np.cross(right, [0.0, 0.0, 1.0])
    fingers = rng.uniform(0.35, 1.0, 7)
    count = int(6 * size[0] * size[1])
    for number, length, points in ((count, 0.44, 7), (int(1.5 * count), 0.26, 5)):
        u = rng.uniform(0, 1, number)
        top = np.interp(u, np.linspace(0, 1, 7), fingers) * (1 - 0.3 * np.abs(2 * u - 1))
        v = rng.uniform(0, 1, number) ** 1.2 * top
        lift = 0.05 + 0.09 * rng.uniform(0, 1, number)
        place = np.asarray(foot, float) + u[:, None] * size[0] * right + lift[:, None] * out
        place[:, 2] += v * size[1]
        shade = rng.uniform(0.45, 1.0, (number, 1)) * np.array([[0.85, 0.95, 0.8]])
        facing = out + 0.3 * UP + rng.normal(0, 0.25, (number, 3))
        add_sprays(rng, solid, place, facing, rng.uniform(0.7, 1.2, number) * length, shade, droop=0.3, points=points)


def tufts(rng: np.random.Generator, solid: Solid, places: np.ndarray, *, height_m: float = 0.16) -> None:
    """Adds tufts of long grass, four blades each.

    Args:
        rng: source of the blades.
        solid: gathers them.
        places: [n, 2] metres.
        height_m: length of the longest blades.
    """
    count, blades = len(places), 4
    turn = rng.uniform(0, 2 * np.pi, (count, blades))
    out = np.stack([np.cos(turn), np.sin(turn)], -1)
    foot = places[:, None] + 0.05 * rng.normal(0, 1, (count, blades, 2))
    wide = np.stack([-out[..., 1], out[..., 0]], -1) * rng.uniform(0.008, 0.02, (count, blades, 1))
    tall = height_m * rng.uniform(0.45, 1.0, (count, blades, 1))
    tip = foot + out * tall * rng.uniform(0.25, 0.8, (count, blades, 1))
    flat = np.stack([foot - wide, foot + wide, tip], 2)
    z = np.concatenate([np.zeros((count, blades, 2, 1)), tall[:, :, None]], 2)
    positions = np.concatenate([flat, z], -1)
    normals = np.concatenate([0.5 * np.repeat(out[:, :, None], 3, 2), np.ones((count, blades, 3, 1))], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    tone = rng.uniform(0.8, 1.3, (count, blades, 1, 1)) * np.array([0.75, 0.75, 1.25])[:, None]
    color = tone * np.array([1.15, 1.15, 0.85])
    uv = rng.uniform(0, 1, (count, blades, 1, 2)) + np.array([[0, 0], [0.01, 0], [0.005, 0.04]])
    faces = np.arange(3 * count * blades).reshape(-1, 3)[:, ::-1]
    solid.add(positions.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2), color.reshape(-1, 3), faces)
