"""Trees of several kinds: opaque geometry that reads as a tree from above and from the side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.sprays import UP, add_lump, add_sprays, depth_shade, spread
from unrealperson.synth.scenes.surfaces import Rgb


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
    "linden": Growth(9.5, 2.9, 3.2, 0.24, 12, 8, 12, 0.56, 0.25, (1.2, 1.25, 1.1)),
    "maple": Growth(8.0, 2.6, 3.0, 0.2, 12, 8, 12, 0.52, 0.15, (1.45, 1.36, 1.05)),
    "birch": Growth(9.0, 2.4, 1.7, 0.13, 15, 5, 13, 0.32, 0.8, (1.45, 1.4, 1.1)),
    "apple": Growth(4.2, 1.7, 1.7, 0.13, 9, 8, 11, 0.35, 0.15, (1.3, 1.25, 1.18)),
}
"""Kinds of tree that `make_tree` knows."""
BOUGH_FACES = np.array([[a + i, b + i, c + i] for i in (0, 1, 3, 4, 6, 7) for a, b, c in ((0, 3, 4), (0, 4, 1))])
"""Faces of a strip of 4 x 3 vertices."""


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
    stem = [foot, foot + 0.3 * lean + 0.35 * growth.clear_m * UP, foot + lean + growth.clear_m * 1.05 * UP]
    stem.append(stem[-1] + np.append(rng.uniform(-0.2, 0.2, 2), 0.6 * (growth.height_m - growth.clear_m)))
    thick = growth.trunk_m * np.array([1.0, 0.78, 0.62, 0.2])
    trunk.tube(foot - 0.02 * UP, foot + 0.22 * UP, 1.55 * thick[0], (0.55,) * 3, end_radius=thick[0], sides=9)
    for (start, end), (low, high) in zip(pairwise(stem), pairwise(thick), strict=True):
        trunk.tube(start, end, low, (0.8,) * 3, end_radius=high, sides=9, cap=False)
    centre = foot + lean + middle_z * UP
    for direction in spread(rng, growth.clumps):
        heart = centre + direction * radii * rng.uniform(0.55, 0.72)
        fork = stem[2] + (stem[3] - stem[2]) * rng.uniform(0, 0.7) * max(direction[2] * 0.5 + 0.5, 0.1)
        bend = fork + 0.5 * (heart - fork) - 0.12 * np.linalg.norm(heart - fork) * UP
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
    """One tuft: a rough heart, large and small sprays on it, shaded by their depth in the crown."""
    tone = np.asarray(growth.tint) * rng.uniform(0.86, 1.1) * (1 + rng.uniform(-0.05, 0.05, 3))
    if growth.droop < 0.5:
        add_lump(rng, crown, heart, 0.66 * size, centre, radii, 0.8 * tone)
    for count, length, points in ((growth.sprays, growth.spray_m, 7), (growth.tips, 0.62 * growth.spray_m, 5)):
        out = spread(rng, count)
        place = heart + out * size * rng.uniform(0.66, 1.12, (count, 1))
        shade = depth_shade(place, out, centre, radii) * rng.uniform(0.8, 1.2, count)
        facing = out + 0.5 * (place - centre) / np.linalg.norm(radii) + 0.4 * UP
        facing += rng.normal(0, 0.3, (count, 3))
        length_m = rng.uniform(0.7, 1.2, count) * length
        add_sprays(rng, crown, place, facing, length_m, shade[:, None] * tone, droop=growth.droop, points=points)


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
            spine = np.array([x, y, z + lift]) + along[:, None] * out + drop[:, None] * UP
            hang = half[:, None] * 0.7 * UP
            rows = np.stack([spine - half[:, None] * across - hang, spine, spine + half[:, None] * across - hang], 1)
            tone = rng.uniform(0.75, 1.1) * np.array([0.5, 0.8, 1.0, 1.2])[:, None, None] * np.ones((4, 3, 1))
            normal = np.stack([out * 0.5 - 0.6 * across, out * 0.5, out * 0.5 + 0.6 * across]) + 0.7 * UP
            normals = np.broadcast_to(normal / np.linalg.norm(normal, axis=1, keepdims=True), (4, 3, 3))
            uv = np.stack([half[:, None] * (-1, 0, 1) + rng.uniform(), np.repeat(along[:, None], 3, 1)], -1) * 1.3
            color = np.repeat(tone, 3, 2)
            crown.add(rows.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2), color.reshape(-1, 3), BOUGH_FACES)
    return [trunk.mesh(f"{name}_Trunk", bark), crown.mesh(f"{name}_Crown", needles)]
