"""Buildings: blocks, glazed ground floors, entrances, arcades, stairs, railings.

A front runs from `start` to `end`, two points on the ground; it faces to the right of that direction, so fronts
that go counter-clockwise around a building face outward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes.evening import SHOP_GLOW
from unrealperson.synth.scenes.scene import Glow, Mesh
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.surfaces import Rgb

Point = Sequence[float]


def add_wall(
    solid: Solid,
    start: Point,
    end: Point,
    low_m: float,
    high_m: float,
    tile: tuple[float, float],
    *,
    foot: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Adds an upright face, darker at its foot.

    Args:
        solid: gathers it.
        start: x, y.
        end: x, y.
        low_m: height of its foot.
        high_m: height of its top.
        tile: metres across and up that the texture covers.
        foot: brightness at the foot.
        offset: of the texture, in textures.
    """
    length = math.dist(start, end)
    middle = min(low_m + 0.9, high_m)
    levels = [(low_m, middle, foot)] + ([(middle, high_m, 1.0)] if high_m > middle and foot < 1.0 else [])
    if foot >= 1.0:
        levels = [(low_m, high_m, 1.0)]
    for bottom, top, tone in levels:
        corners = np.array([[*start, bottom], [*end, bottom], [*end, top], [*start, top]])
        u = np.array([0, length, length, 0]) / tile[0] + offset[0]
        v = (np.array([bottom, bottom, top, top]) - low_m) / tile[1] + offset[1]
        solid.quad(corners, np.array([tone, tone, 1.0, 1.0])[:, None] * np.ones(3), np.column_stack([u, v]))


def make_block(
    name: str,
    area: tuple[float, float, float, float],
    low_m: float,
    high_m: float,
    texture: np.ndarray,
    tile: tuple[float, float],
    *,
    color: float = 1.0,
    gloss: float = 0.0,
    glow: Glow = 0.0,
    offset: float = 0.0,
) -> Mesh:
    """The upper floors of a building with a parapet and a plant room.

    Args:
        name: of the mesh.
        area: x0, y0, x1, y1.
        low_m: height of the lowest floor.
        high_m: height of the roof.
        texture: of its fronts.
        tile: metres across and up that the texture covers.
        color: factor on the texture.
        gloss: strength of the highlight.
        glow: of its lit windows.
        offset: of the texture, in textures, so that neighbours differ.
    """
    x0, y0, x1, y1 = area
    solid = Solid()
    ring = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    for side, (start, end) in enumerate(zip(ring, ring[1:] + ring[:1], strict=True)):
        add_wall(solid, start, end, low_m, high_m, tile, offset=(offset + 0.37 * side, 0.0))
        along = np.subtract(end, start) / math.dist(start, end)
        corners = np.array([[*start, high_m], [*end, high_m], [*end, high_m + 0.9], [*start, high_m + 0.9]])
        corners[:, :2] += 0.08 * np.array([along[1], -along[0]])
        solid.quad(corners, (0.6,) * 3, np.full((4, 2), 0.003))
    for height, inset in ((high_m, 0.0), (low_m, 0.0), (high_m + 3.2, 0.28)):
        dx, dy = inset * (x1 - x0), inset * (y1 - y0)
        corners = np.array([[x0 + dx, y0 + dy], [x1 - dx, y0 + dy], [x1 - dx, y1 - dy], [x0 + dx, y1 - dy]])
        solid.quad(np.column_stack([corners, np.full(4, height)]), (0.4,) * 3, np.full((4, 2), 0.003))
        if inset:
            for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
                add_wall(solid, start, end, high_m, height, tile)
    mesh = solid.mesh(name, texture, gloss, glow)
    mesh.colors[:] *= color
    return mesh


def make_glass_front(
    name: str,
    start: Point,
    end: Point,
    low_m: float,
    high_m: float,
    texture: np.ndarray,
    painted: np.ndarray,
    *,
    bay_m: float = 1.5,
    width_m: float = 12.0,
    offset: float = 0.0,
) -> list[Mesh]:
    """A glazed ground floor with real mullions, a stone plinth and a fascia.

    Args:
        name: of the meshes.
        start: x, y.
        end: x, y.
        low_m: height of its foot.
        high_m: height of its top.
        texture: what `lobby` made.
        painted: texture of painted things.
        bay_m: between mullions.
        width_m: that the texture covers.
        offset: of the texture, in textures.
    """
    glass, frame = Solid(), Solid()
    add_wall(glass, start, end, low_m, high_m, (width_m, high_m - low_m), foot=0.8, offset=(offset, 0.0))
    length = math.dist(start, end)
    along = np.subtract(end, start) / length
    out = np.array([along[1], -along[0]])
    yaw = math.degrees(math.atan2(along[1], along[0]))
    middle = np.add(start, end) / 2
    for at in np.arange(0, length + 0.01, bay_m * 2):
        foot = np.asarray(start) + along * at + 0.05 * out
        frame.box((*foot, low_m), (0.09, 0.16, high_m - low_m), (0.1, 0.105, 0.11), yaw_deg=yaw)
    frame.box((*(middle + 0.04 * out), low_m), (length, 0.2, 0.16), (0.3, 0.295, 0.28), yaw_deg=yaw)
    frame.box((*(middle + 0.1 * out), high_m - 0.25), (length, 0.34, 0.6), (0.16, 0.165, 0.17), yaw_deg=yaw)
    return [glass.mesh(f"{name}_Glass", texture, 0.45, SHOP_GLOW), frame.mesh(f"{name}_Frame", painted, 0.2)]


def make_entrance(name: str, at: Point, facing_deg: float, texture: np.ndarray, painted: np.ndarray) -> list[Mesh]:
    """A revolving door under a canopy, a leaf on each side.

    Args:
        name: of the meshes.
        at: x, y, z of the middle of the door on the wall.
        facing_deg: direction in which one leaves the building.
        texture: of its glass, what `lobby` made.
        painted: texture of painted things.
    """
    cos, sin = math.cos(math.radians(facing_deg)), math.sin(math.radians(facing_deg))
    x, y, z = at
    steel = (0.42, 0.43, 0.44)

    def place(out: float, aside: float, up: float) -> tuple[float, float, float]:
        return x + cos * out - sin * aside, y + sin * out + cos * aside, z + up

    drum, frame = Solid(), Solid()
    drum.tube(place(0.3, 0, 0), place(0.3, 0, 2.4), 1.15, (0.8,) * 3, sides=20, cap=False)
    for side in (-1, 1):
        corners = [place(0.16, side * 2.1 - 0.85, 0), place(0.16, side * 2.1 + 0.85, 0)]
        add_wall(drum, corners[0][:2], corners[1][:2], z, z + 2.4, (12.0, 5.0), offset=(0.13 * side, 0.0))
    frame.tube(place(0.3, 0, 2.35), place(0.3, 0, 2.95), 1.24, steel, sides=24)
    frame.tube(place(0.3, 0, 0), place(0.3, 0, 0.05), 1.22, (0.2,) * 3, sides=24)
    for angle in np.radians([-80, -38, 38, 80]):
        out, aside = 0.3 + 1.17 * math.cos(angle), 1.17 * math.sin(angle)
        frame.tube(place(out, aside, 0), place(out, aside, 2.4), 0.035, steel, sides=6, cap=False)
    for wing in np.radians([25, 115, 205, 295]):
        tip = place(0.3 + 1.08 * math.cos(wing), 1.08 * math.sin(wing), 0)
        frame.box(tip, (0.05, 0.05, 2.3), (0.12,) * 3, yaw_deg=facing_deg)
    for side in (-1, 1):
        for aside in (side * 2.1 - 0.85, side * 2.1, side * 2.1 + 0.85):
            frame.box(place(0.2, aside, 0), (0.08, 0.07, 2.4), steel, yaw_deg=facing_deg)
        frame.box(place(0.2, side * 2.1, 2.4), (0.1, 1.8, 0.1), steel, yaw_deg=facing_deg)
        for handle in (-0.1, 0.1):
            frame.box(place(0.3, side * 2.1 + handle, 0.75), (0.03, 0.03, 0.8), (0.6,) * 3, yaw_deg=facing_deg)
    canopy = Solid()
    canopy.box(place(1.5, 0, 3.25), (3.0, 7.6, 0.12), (0.3, 0.31, 0.32), yaw_deg=facing_deg)
    canopy.box(place(1.5, 0, 3.2), (3.06, 7.66, 0.05), (0.62,) * 3, yaw_deg=facing_deg)
    for aside in (-3.2, 0.0, 3.2):
        canopy.tube(place(2.7, aside, 3.37), place(0.1, aside, 4.7), 0.025, steel, sides=6, cap=False)
    mat = Solid()
    mat.box(place(2.0, 0, 0), (1.5, 3.6, 0.006), (0.06, 0.06, 0.065), yaw_deg=facing_deg)
    return [
        drum.mesh(f"{name}_Door", texture, 0.5, SHOP_GLOW),
        frame.mesh(f"{name}_Frame", painted, 0.35),
        canopy.mesh(f"{name}_Canopy", painted, 0.2),
        mat.mesh(f"{name}_Mat", painted),
    ]


def make_arcade(
    name: str,
    start: Point,
    end: Point,
    stone: np.ndarray,
    *,
    depth_m: float,
    high_m: float = 4.6,
    bay_m: float = 5.0,
    pillar_m: float = 0.7,
) -> tuple[Mesh, np.ndarray]:
    """Round arches on pillars with a ceiling behind them.

    Args:
        name: of the mesh.
        start: x, y of the middle of the first pillar.
        end: x, y of the last one.
        stone: texture; covers two metres.
        depth_m: from the pillars to the wall behind.
        high_m: height of the ceiling.
        bay_m: between the middles of pillars.
        pillar_m: side of a pillar.

    Returns:
        The mesh, and the middles of the pillars, [n, 2].
    """
    solid = Solid()
    length = math.dist(start, end)
    along = np.subtract(end, start) / length
    out = np.array([along[1], -along[0]])
    yaw = math.degrees(math.atan2(along[1], along[0]))
    count = round(length / bay_m)
    feet = np.asarray(start) + along * np.linspace(0, length, count + 1)[:, None]
    half, radius = pillar_m / 2, (length / count - pillar_m) / 2
    spring, rise = high_m - 0.35 - min(radius, 1.5), min(radius, 1.5)
    tone = (0.92,) * 3
    for foot in feet:
        solid.box((*foot, 0), (pillar_m + 0.12, pillar_m + 0.12, 0.45), (0.72,) * 3, yaw_deg=yaw, tile_m=2.0)
        solid.box((*foot, 0.45), (pillar_m, pillar_m, spring - 0.45), tone, yaw_deg=yaw, tile_m=2.0)
        solid.box((*foot, spring - 0.18), (pillar_m + 0.14, pillar_m + 0.14, 0.18), tone, yaw_deg=yaw)
    bend = np.linspace(math.pi, 0, 13)
    for left, right in pairwise(feet):
        middle = (left + right) / 2
        arch = np.column_stack([radius * np.cos(bend), spring + rise * np.sin(bend)])
        for side in (1, -1):
            face = middle + side * half * out
            for (u0, v0), (u1, v1) in pairwise(arch):
                low = [[*(face + along * u0), v0], [*(face + along * u1), v1]]
                top = [[*(face + along * u1), high_m], [*(face + along * u0), high_m]]
                corners = np.array(low + top)
                uv = np.array([[u0, v0], [u1, v1], [u1, high_m], [u0, high_m]]) / 2
                solid.quad(corners if side > 0 else corners[::-1], tone, uv if side > 0 else uv[::-1])
        for (u0, v0), (u1, v1) in pairwise(arch):
            front, back = middle + half * out, middle - half * out
            vault = [[*(front + along * u1), v1], [*(front + along * u0), v0]]
            vault += [[*(back + along * u0), v0], [*(back + along * u1), v1]]
            solid.quad(np.array(vault), (0.6,) * 3, np.array([[0, u1], [0, u0], [pillar_m, u0], [pillar_m, u1]]) / 2)
    for foot in feet:
        for side in (1, -1):
            face = foot + side * (half + 0.002) * out
            corners = np.array(
                [
                    [*(face - along * half), spring],
                    [*(face + along * half), spring],
                    [*(face + along * half), high_m],
                    [*(face - along * half), high_m],
                ]
            )
            uv = np.array([[-half, spring], [half, spring], [half, high_m], [-half, high_m]]) / 2
            solid.quad(corners if side > 0 else corners[::-1], tone, uv if side > 0 else uv[::-1])
    back = [np.asarray(point) - depth_m * out for point in (start, end)]
    ceiling = [[*start, high_m], [*back[0], high_m], [*back[1], high_m], [*end, high_m]]
    solid.quad(np.array(ceiling), (0.75,) * 3, np.array([[0, 0], [depth_m, 0], [depth_m, length], [0, length]]) / 2)
    return solid.mesh(name, stone, 0.0), feet


def make_stairs(
    name: str,
    start: Point,
    end: Point,
    steps: int,
    stone: np.ndarray,
    *,
    rise_m: float = 0.15,
    tread_m: float = 0.36,
) -> Mesh:
    """A flight of stairs that climbs away from its front, each step with a dark nosing.

    Args:
        name: of the mesh.
        start: x, y of one end of the lowest step.
        end: x, y of the other.
        steps: number of steps.
        stone: texture; covers two metres.
        rise_m: height of a step.
        tread_m: depth of a step.
    """
    solid = Solid()
    length = math.dist(start, end)
    along = np.subtract(end, start) / length
    inward = -np.array([along[1], -along[0]])
    for step in range(steps):
        low, high = step * rise_m, (step + 1) * rise_m
        a, b = np.asarray(start) + inward * step * tread_m, np.asarray(end) + inward * step * tread_m
        c, d = b + inward * tread_m, a + inward * tread_m
        wide = np.array([0, length, length, 0]) / 2
        corners = np.array([[*a, low], [*b, low], [*b, high], [*a, high]])
        tones = np.array([0.55, 0.55, 0.85, 0.85])[:, None] * np.ones(3)
        solid.quad(corners, tones, np.column_stack([wide, np.array([0, 0, 1, 1]) * rise_m / 2 + 0.3 * step]))
        for depth0, depth1, front, rear in ((0.0, 0.05, 0.45, 0.45), (0.05, tread_m, 1.0, 0.72)):
            corners = np.array(
                [
                    [*(a + inward * depth0), high],
                    [*(b + inward * depth0), high],
                    [*(b + inward * depth1), high],
                    [*(a + inward * depth1), high],
                ]
            )
            tones = np.array([front, front, rear, rear])[:, None] * np.ones(3)
            v = np.array([depth0, depth0, depth1, depth1]) / 2 + 0.41 * step
            solid.quad(corners, tones, np.column_stack([wide, v]))
        for side in ((d, a), (b, c)):
            corners = np.array([[*side[0], 0], [*side[1], 0], [*side[1], high], [*side[0], high]])
            solid.quad(corners, (0.75,) * 3, np.array([[0, 0], [tread_m, 0], [tread_m, high], [0, high]]) / 2)
    return solid.mesh(name, stone)


def add_railing(
    solid: Solid, points: np.ndarray, *, high_m: float = 1.0, bars: int = 3, color: Rgb = (0.4,) * 3
) -> None:
    """Adds posts, a handrail and level bars along a line.

    Args:
        solid: gathers them.
        points: [n, 3] feet of the posts.
        high_m: of the handrail over the feet.
        bars: level bars under it.
        color: linear.
    """
    up = np.array([0, 0, high_m])
    for foot in points:
        solid.tube(foot, foot + up, 0.022, color, sides=6, cap=False)
    for a, b in pairwise(points):
        solid.tube(a + up, b + up, 0.026, color, sides=6, cap=False)
        for share in np.arange(1, bars + 1) / (bars + 1):
            solid.tube(a + share * up, b + share * up, 0.01, color, sides=4, cap=False)
