"""Trees, shrubs, hedges, flower beds, ivy, grass tufts: opaque geometry that reads as plants from every side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.surfaces import Rgb

LEAF_TILE_M = 1.3


@dataclass(frozen=True)
class Growth:
    """How a kind of broad-leaved tree grows.

    Attributes:
        height_m: from the ground to the top.
        clear_m: height of the lowest leaves.
        spread_m: radius of the crown.
        trunk_m: radius of the trunk at the ground.
        clumps: tufts of leaves that the crown is made of.
        sprays: twigs full of leaves a tuft.
        tips: small sprays a tuft.
        spray_m: size of a spray.
        droop: how far twigs hang, 0 to 1.
        tint: factor on the colour of the leaves.
    """

    height_m: float
    clear_m: float
    spread_m: float
    trunk_m: float
    clumps: int
    sprays: int
    tips: int
    spray_m: float
    droop: float
    tint: Rgb


KINDS = {
    "street": Growth(6.2, 2.7, 1.9, 0.15, 10, 8, 12, 0.38, 0.2, (1.25, 1.25, 1.25)),
    "linden": Growth(9.5, 2.9, 3.2, 0.24, 13, 8, 12, 0.54, 0.25, (1.2, 1.25, 1.1)),
    "maple": Growth(8.0, 2.6, 3.0, 0.2, 12, 8, 12, 0.52, 0.15, (1.45, 1.36, 1.05)),
    "birch": Growth(9.0, 2.4, 1.7, 0.13, 15, 5, 13, 0.32, 0.8, (1.45, 1.4, 1.1)),
    "apple": Growth(4.2, 1.7, 1.7, 0.13, 9, 8, 11, 0.35, 0.15, (1.3, 1.25, 1.18)),
}
"""Kinds of tree that `make_tree` knows."""


def make_tree(
    rng: np.random.Generator,
    name: str,
    x: float,
    y: float,
    bark: np.ndarray,
    leaves: np.ndarray,
    painted: np.ndarray | None = None,
    *,
    kind: str = "street",
) -> list[Mesh]:
    """A broad-leaved tree: trunk, limbs that carry tufts of leaves, dark within, light on top.

    Args:
        rng: source of its shape.
        name: what its meshes' names start with.
        x: metres.
        y: metres.
        bark: texture of trunk and limbs.
        leaves: texture of the crown.
        painted: texture of an iron grate around its foot; None leaves it out.
        kind: one of `KINDS`.

    Raises:
        ValueError: no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    growth = KINDS[kind]
    trunk, crown = Solid(), Solid()
    foot = np.array([x, y, 0.0])
    middle_z = (growth.clear_m + growth.height_m) / 2
    radii = np.array([growth.spread_m, growth.spread_m, (growth.height_m - growth.clear_m) / 2])
    lean = np.append(rng.uniform(-0.04, 0.04, 2) * growth.height_m, 0.0)
    stem = [foot, foot + 0.3 * lean + (0, 0, 0.35 * growth.clear_m), foot + lean + (0, 0, growth.clear_m * 1.05)]
    stem.append(stem[-1] + (*rng.uniform(-0.2, 0.2, 2), 0.6 * (growth.height_m - growth.clear_m)))
    thick = growth.trunk_m * np.array([1.0, 0.78, 0.62, 0.2])
    trunk.tube(foot - (0, 0, 0.02), foot + (0, 0, 0.22), 1.55 * thick[0], (0.55,) * 3, end_radius=thick[0], sides=9)
    for (start, end), (low, high) in zip(pairwise(stem), pairwise(thick), strict=True):
        trunk.tube(start, end, low, (0.8,) * 3, end_radius=high, sides=9, cap=False)
    centre = foot + lean + (0, 0, middle_z)
    for direction in _directions(rng, growth.clumps):
        heart = centre + direction * radii * rng.uniform(0.55, 0.72)
        fork = stem[2] + (stem[3] - stem[2]) * rng.uniform(0, 0.7) * max(direction[2] * 0.5 + 0.5, 0.1)
        bend = fork + 0.5 * (heart - fork) + (0, 0, -0.12 * np.linalg.norm(heart - fork))
        trunk.tube(fork, bend, 0.34 * growth.trunk_m, (0.65,) * 3, end_radius=0.2 * growth.trunk_m, sides=5, cap=False)
        trunk.tube(bend, heart, 0.2 * growth.trunk_m, (0.55,) * 3, end_radius=0.02, sides=4, cap=False)
        size = 0.4 * radii * rng.uniform(0.8, 1.15)
        size[2] *= 1 + 0.4 * growth.droop
        _clump(rng, crown, heart, size, centre, radii, growth)
    meshes = [trunk.mesh(f"{name}_Trunk", bark), crown.mesh(f"{name}_Crown", leaves)]
    if painted is not None:
        grate = Solid()
        grate.floor(x - 0.6, y - 0.6, x + 0.6, y + 0.6, 0.004, (0.12, 0.1, 0.08))
        meshes.append(grate.mesh(f"{name}_Grate", painted))
    return meshes


def _clump(
    rng: np.random.Generator,
    crown: Solid,
    heart: np.ndarray,
    size: np.ndarray,
    centre: np.ndarray,
    radii: np.ndarray,
    growth: Growth,
) -> None:
    """One tuft: a rough heart, sprays and single leaves on it, shaded by their depth in the crown."""
    tone = np.asarray(growth.tint) * rng.uniform(0.86, 1.1) * (1 + rng.uniform(-0.05, 0.05, 3))
    if growth.droop < 0.5:
        _heart(rng, crown, heart, 0.66 * size, centre, radii, 0.8 * tone)
    for count, length, points in ((growth.sprays, growth.spray_m, 7), (growth.tips, 0.62 * growth.spray_m, 5)):
        out = _directions(rng, count)
        place = heart + out * size * rng.uniform(0.66, 1.12, (count, 1))
        shade = _depth_shade(place, out, centre, radii) * rng.uniform(0.8, 1.2, count)
        facing = out + 0.5 * (place - centre) / np.linalg.norm(radii) + (0, 0, 0.4)
        facing += rng.normal(0, 0.3, (count, 3))
        length_m = rng.uniform(0.7, 1.2, count) * length
        _sprays(rng, crown, place, facing, length_m, shade[:, None] * tone, droop=growth.droop, points=points)


def _depth_shade(place: np.ndarray, out: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Share of the light that reaches places of a crown: less within and below."""
    depth = np.linalg.norm((place - centre) / radii, axis=-1)
    return np.clip(0.38 + 0.6 * depth, 0.4, 1.05) * (0.78 + 0.26 * out[..., 2])


def _heart(
    rng: np.random.Generator,
    crown: Solid,
    heart: np.ndarray,
    size: np.ndarray,
    centre: np.ndarray,
    radii: np.ndarray,
    tone: np.ndarray,
) -> None:
    """A lumpy ellipsoid of 4 x 7 faces."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, 5), np.linspace(0, 2 * np.pi, 8), indexing="ij")
    out = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
    rough = rng.uniform(0.68, 1.12, (5, 8, 1))
    rough[:, -1], rough[[0, -1]] = rough[:, 0], 1.0
    place = heart + out * size * rough
    shade = _depth_shade(place, out, centre, radii) * 0.8 * rough[..., 0] ** 2
    uv = np.stack([around * size[0], polar * size[2]], -1) / LEAF_TILE_M + rng.uniform(0, 1, 2)
    i, j = np.meshgrid(np.arange(4), np.arange(7), indexing="ij")
    a = (i * 8 + j).ravel()
    faces = np.concatenate([np.stack([a, a + 8, a + 9], 1), np.stack([a, a + 9, a + 1], 1)])
    color = shade[..., None] * tone
    crown.add(place.reshape(-1, 3), out.reshape(-1, 3), uv.reshape(-1, 2), color.reshape(-1, 3), faces)


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Unit vectors spread evenly over the sphere with a random start, [count, 3]."""
    at = (np.arange(count) + rng.uniform(0.3, 0.7, count)) / count
    around = 2.399963 * np.arange(count) + rng.uniform(0, 2 * np.pi) + rng.uniform(-0.4, 0.4, count)
    z = 1 - 2 * at
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(around), flat * np.sin(around), z], -1)


def _frames(rng: np.random.Generator, facing: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit normals and two tangents at random angles, each [n, 3]."""
    normal = facing / np.linalg.norm(facing, axis=1, keepdims=True)
    side = np.cross(normal, rng.normal(0, 1, normal.shape))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return normal, side, np.cross(normal, side)


def _sprays(
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
    """Bent stars with ragged tips: [n, 3] places, normals and colours, [n] radii."""
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


def _leaves(
    rng: np.random.Generator,
    solid: Solid,
    place: np.ndarray,
    facing: np.ndarray,
    size: np.ndarray,
    color: np.ndarray,
    droop: float,
) -> None:
    """Slim triangles: [n, 3] places, normals and colours, [n] lengths."""
    count = len(place)
    normal, side, other = _frames(rng, facing)
    tip = side * size[:, None] * 0.75 - (0, 0, 0.5 * droop) * size[:, None]
    wide = 0.3 * size[:, None] * other
    positions = np.stack([place - wide, place + tip, place + wide], 1)
    corner = np.array([[0.0, 0.0], [0.75, 0.3], [0.0, 0.6]])
    uv = corner * (size[:, None, None] / LEAF_TILE_M) + rng.uniform(0, 1, (count, 1, 2))
    faces = np.arange(3 * count).reshape(-1, 3)
    normals = np.repeat(normal, 3, 0)
    solid.add(positions.reshape(-1, 3), normals, uv.reshape(-1, 2), np.repeat(color, 3, 0), faces)


def make_conifer(
    rng: np.random.Generator,
    name: str,
    x: float,
    y: float,
    bark: np.ndarray,
    needles: np.ndarray,
    height_m: float = 8.0,
) -> list[Mesh]:
    """A spruce: tiers of hanging boughs around a straight trunk.

    Args:
        rng: source of its shape.
        name: what its meshes' names start with.
        x: metres.
        y: metres.
        bark: texture of the trunk.
        needles: texture of the boughs.
        height_m: from the ground to the top.
    """
    trunk, crown = Solid(), Solid()
    trunk.tube((x, y, 0), (x, y, 0.7 * height_m), 0.021 * height_m, (0.6,) * 3, end_radius=0.03, sides=8, cap=False)
    wide = 0.25 * height_m
    crown.tube((x, y, 0.13 * height_m), (x, y, 0.97 * height_m), 0.62 * wide, (0.42,) * 3, end_radius=0.02, sides=11)
    tiers = 14
    for tier in range(tiers):
        share = tier / (tiers - 0.4)
        z, reach = height_m * (0.13 + 0.85 * share**0.92), wide * (1 - share) ** 0.85 + 0.12
        count = max(round(11 * (1 - 0.6 * share)), 5)
        turns = 2 * np.pi * (np.arange(count) + rng.uniform(-0.25, 0.25, count)) / count + tier * 0.9
        for turn in turns:
            out = np.array([math.cos(turn), math.sin(turn), 0.0])
            across = np.array([-out[1], out[0], 0.0])
            long, lift = reach * rng.uniform(0.75, 1.2), rng.uniform(-0.03, 0.03) * height_m
            along = np.array([0.12, 0.5, 0.85, 1.0]) * long
            half = np.array([0.1, 0.3, 0.2, 0.0]) * (0.35 + 0.55 * long)
            drop = -0.6 * along**1.25 / long**0.25 * rng.uniform(0.7, 1.2)
            drop[3] += 0.07 * long
            spine = np.array([x, y, z + lift]) + along[:, None] * out + drop[:, None] * (0, 0, 1)
            hang = half[:, None] * (0, 0, 0.7)
            rows = np.stack([spine - half[:, None] * across - hang, spine, spine + half[:, None] * across - hang], 1)
            tone = rng.uniform(0.75, 1.1) * np.array([0.5, 0.8, 1.0, 1.2])[:, None, None] * np.ones((4, 3, 1))
            normal = np.stack([out * 0.5 - 0.6 * across, out * 0.5, out * 0.5 + 0.6 * across]) + (0, 0, 0.7)
            normals = np.broadcast_to(normal / np.linalg.norm(normal, axis=1, keepdims=True), (4, 3, 3))
            uv = np.stack([half[:, None] * (-1, 0, 1) + rng.uniform(), np.repeat(along[:, None], 3, 1)], -1) * 1.3
            grid = np.arange(12).reshape(4, 3)
            a, b, c, d = grid[:-1, :-1].ravel(), grid[1:, :-1].ravel(), grid[1:, 1:].ravel(), grid[:-1, 1:].ravel()
            faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
            crown.add(
                rows.reshape(-1, 3),
                normals.reshape(-1, 3),
                uv.reshape(-1, 2),
                np.repeat(tone, 3, 2).reshape(-1, 3),
                faces,
            )
    return [trunk.mesh(f"{name}_Trunk", bark), crown.mesh(f"{name}_Crown", needles)]


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
    heart = np.asarray(at, float) + (0, 0, 0.9 * size[2])
    _heart(rng, solid, heart, 0.86 * size, heart, 1.6 * size, np.asarray(tint))
    area = float(np.prod(size)) ** (2 / 3)
    for count, length, points in ((20, 0.5, 7), (22, 0.34, 5)):
        count = max(int(count * min(max(area / 0.3, 0.6), 2.0)), 8)
        out = _directions(rng, count)
        out = out[out[:, 2] > -0.75]
        place = heart + out * size * rng.uniform(0.85, 1.1, (len(out), 1))
        shade = (0.62 + 0.3 * out[:, 2]) * rng.uniform(0.75, 1.15, len(out))
        facing = out + (0, 0, 0.3) + rng.normal(0, 0.25, out.shape)
        length_m = length * float(size.min()) * rng.uniform(0.7, 1.2, len(out))
        _sprays(rng, solid, place, facing, length_m, shade[:, None] * np.asarray(tint), droop=0.1, points=points)


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
    profile = np.array(
        [[-half, 0], [-half, 0.45], [-half, 0.92], [-0.8 * half, 1.0], [0.8 * half, 1.0], [half, 0.92], [half, 0.45]]
        + [[half, 0]]
    )
    profile[:, 1] *= height_m
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
    out = np.concatenate([(spot[:, :1] / half) * across, (spot[:, 1:] / height_m) ** 3], 1) + (0, 0, 0.05)
    shade = (0.5 + 0.5 * spot[:, 1] / height_m) * rng.uniform(0.75, 1.2, count)
    facing = out + rng.normal(0, 0.3, out.shape)
    _leaves(rng, solid, place, facing, rng.uniform(0.18, 0.34, count), np.repeat(shade[:, None], 3, 1), 0.0)


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
        out = _directions(rng, 5)
        out[:, 2] = np.abs(out[:, 2])
        place = foot + out * (0.1, 0.1, 0.6 * tall)
        shade = rng.uniform(0.5, 1.0, (5, 1)) * np.array([[0.95, 1.05, 0.9]])
        _leaves(rng, green, place, out + (0, 0, 0.6), rng.uniform(0.16, 0.27, 5), shade, 0.2)
        head = foot + (*rng.uniform(-0.04, 0.04, 2), tall)
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
        facing = out + (0, 0, 0.3) + rng.normal(0, 0.25, (number, 3))
        _sprays(rng, solid, place, facing, rng.uniform(0.7, 1.2, number) * length, shade, droop=0.3, points=points)


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
    solid.add(*(part.reshape(-1, part.shape[-1]) for part in (positions, normals, uv, color)), faces)
