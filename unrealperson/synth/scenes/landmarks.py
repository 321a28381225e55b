"""What squares have: a fountain, a way down to the trains, flags, steles, raised beds, masts, vents.

Makers have the signature of `furniture`; what faces people looks along -Y at 0 degrees.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes import foliage, prints, surfaces
from unrealperson.synth.scenes.buildings import add_railing, make_stairs
from unrealperson.synth.scenes.facades import louvres
from unrealperson.synth.scenes.furniture import STEEL, Point
from unrealperson.synth.scenes.pavements import paving
from unrealperson.synth.scenes.scene import Lamp, Prop
from unrealperson.synth.scenes.shrubs import hedge, shrub
from unrealperson.synth.scenes.solid import Solid

BASIN_M = 2.9
GREENS = ((0.27, 0.33, 0.18), (0.31, 0.36, 0.2), (0.24, 0.29, 0.16), (0.36, 0.38, 0.23))
BED_HEIGHT_M = 0.48
SUBWAY_M = (6.0, 2.8)


@lru_cache(maxsize=1)
def greenery() -> np.ndarray:
    """Leaves that all plants of a square share; their vertices carry the tone."""
    return foliage.foliage(np.random.default_rng(2), GREENS)


def water(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Shallow water over dark stone, with ripples that mirror the sky.

    Args:
        rng: source of the values.
        size: side in pixels.
    """
    ripple = surfaces.noise(rng, size, 21) + 0.7 * surfaces.noise(rng, size, 43)
    crest = np.clip(1 - np.abs(ripple) * 4, 0, 1) ** 2
    value = np.array([0.2, 0.27, 0.28]) * (1 + 0.2 * surfaces.noise(rng, size, 6)[..., None])
    return surfaces.finish(value + 0.3 * crest[..., None] * np.array([0.9, 1.0, 1.05]))


def make_fountain(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A round basin with a rim to sit on, and a steel sculpture on a plinth in its water."""
    rim, pool, steel = Solid(), Solid(), Solid()
    angle = np.linspace(0, 2 * np.pi, 33)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    profile = np.array([(BASIN_M, 0.0), (BASIN_M, 0.36), (BASIN_M + 0.06, 0.38), (BASIN_M + 0.06, 0.46)])
    profile = np.concatenate([profile, [(BASIN_M - 0.5, 0.46), (BASIN_M - 0.5, 0.2)]])
    tones = (0.5, 0.8, 0.6, 0.95, 0.9, 0.35)
    for (r0, z0), (r1, z1), tone0, tone1 in zip(profile[:-1], profile[1:], tones[:-1], tones[1:], strict=True):
        for a, b, u in zip(ring[:-1], ring[1:], angle, strict=False):
            corners = np.array([[*(r0 * a), z0], [*(r0 * b), z0], [*(r1 * b), z1], [*(r1 * a), z1]])
            tone = np.array([tone0, tone0, tone1, tone1])[:, None] * np.ones(3)
            high = math.hypot(r1 - r0, z1 - z0) / 1.2
            rim.quad(corners, tone, np.array([[u, 0], [u + 0.196, 0], [u + 0.196, high], [u, high]]) * (1.2, 1))
    for a, b in pairwise(ring):
        corners = np.array([[0, 0, 0.3], [*(2.5 * a), 0.3], [*(2.5 * b), 0.3], [0, 0, 0.3]])
        pool.add(corners[:3], np.tile([0.0, 0, 1], (3, 1)), corners[:3, :2] / 1.6, (0.9,) * 3, np.array([[0, 1, 2]]))
    rim.tube((0, 0, 0.2), (0, 0, 0.75), 0.95, (0.7,) * 3, sides=20, end_radius=0.9)
    turn, share = np.linspace(0, 2 * math.pi, 41), np.linspace(-1, 1, 5)
    u, v = np.meshgrid(turn, share, indexing="ij")
    half = 0.42 + 0.1 * np.sin(u)
    radius = 1.25 + v * half * np.cos(1.5 * u + 0.6)
    points = np.stack(
        [radius * np.cos(u) * 0.8, v * half * np.sin(1.5 * u + 0.6), 2.35 + 1.25 * radius * np.sin(u)], -1
    )
    steel.sheet(points, (0.62, 0.63, 0.65))
    steel.sheet((points + np.array([0.0, 0.05, 0.0]))[:, ::-1], (0.55, 0.56, 0.58))
    stone = paving(rng, (0.5, 0.49, 0.47), 2, 3, 256, joint_px=1.5, speckle=0.14)
    meshes = (
        rim.mesh(f"Fountain_{number}_Rim", stone),
        pool.mesh(f"Fountain_{number}_Water", water(rng), 0.7),
        steel.mesh(f"Fountain_{number}_Sculpture", surfaces.paint(), 0.8),
    )
    return Prop(meshes, ((0.0, 0.0, BASIN_M + 0.1),)).placed(at, yaw_deg)


def make_subway_entrance(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """Stairs that lead down along -X from an open end at +X, a parapet with a railing, a sign on a post.

    The paving needs a hole of `SUBWAY_M` there.
    """
    half_x, half_y = SUBWAY_M[0] / 2, SUBWAY_M[1] / 2
    tiles = paving(rng, (0.62, 0.61, 0.57), 6, 6, 256, tone=0.03, joint_px=1.6, speckle=0.03)
    stone = paving(rng, (0.45, 0.45, 0.44), 2, 2, 256, joint_px=1.5, speckle=0.14)
    walls, parapet, rail, sign = Solid(), Solid(), Solid(), Solid()
    depth = 3.0
    for y in (-half_y, half_y):
        corners = np.array([[half_x, y, -depth], [-half_x, y, -depth], [-half_x, y, 0], [half_x, y, 0]])
        if y < 0:
            corners = corners[[1, 0, 3, 2]]
        tones = np.array([0.2, 0.2, 0.9, 0.9])[:, None] * np.ones(3)
        walls.quad(corners, tones, np.array([[0, 0], [3, 0], [3, 1.5], [0, 1.5]]))
    end = np.array([[-half_x, half_y, -depth], [-half_x, -half_y, -depth], [-half_x, -half_y, 0], [-half_x, half_y, 0]])
    walls.quad(end, np.array([0.06, 0.06, 0.5, 0.5])[:, None] * np.ones(3), np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))
    foot = np.array([[-half_x, -half_y], [half_x, -half_y], [half_x, half_y], [-half_x, half_y]])
    walls.quad(np.column_stack([foot, np.full(4, -depth)]), (0.12,) * 3)
    steps = 16
    flight = make_stairs(
        f"Subway_{number}_Steps", (-half_x + 0.4, half_y), (-half_x + 0.4, -half_y), steps, stone, tread_m=0.34
    )
    flight.positions[:, 2] -= steps * 0.15
    for y in (-half_y - 0.12, half_y + 0.12):
        parapet.box((0, y, 0), (2 * half_x + 0.5, 0.24, 0.42), (0.85,) * 3, tile_m=1.2)
        posts = np.linspace(-half_x, half_x, 7)
        add_railing(rail, np.column_stack([posts, np.full(7, y), np.full(7, 0.42)]), high_m=0.72, bars=5)
    parapet.box((-half_x - 0.12, 0, 0), (0.24, 2 * half_y + 0.48, 0.42), (0.85,) * 3, tile_m=1.2)
    posts = np.linspace(-half_y - 0.12, half_y + 0.12, 5)
    add_railing(rail, np.column_stack([np.full(5, -half_x - 0.12), posts, np.full(5, 0.42)]), high_m=0.72, bars=5)
    for y in (-half_y + 0.1, half_y - 0.1):
        rail.tube((half_x, y, 0.9), (-half_x + 0.6, y, -1.5), 0.025, STEEL, sides=6)
    rail.tube((half_x + 0.1, -half_y - 0.12, 0.42), (half_x + 0.1, -half_y - 0.12, 3.1), 0.05, (0.12,) * 3)
    for side in (-1, 1):
        y, left, right = -half_y - 0.12 + 0.09 * side, half_x + 0.1 + 0.35 * side, half_x + 0.1 - 0.35 * side
        sign.quad(np.array([[left, y, 2.75], [right, y, 2.75], [right, y, 3.45], [left, y, 3.45]]))
    rail.box((half_x + 0.1, -half_y - 0.12, 2.74), (0.72, 0.16, 0.72), (0.03, 0.06, 0.2))
    meshes = (
        walls.mesh(f"Subway_{number}_Walls", tiles, 0.15),
        flight,
        parapet.mesh(f"Subway_{number}_Parapet", stone),
        rail.mesh(f"Subway_{number}_Railing", surfaces.paint(), 0.3),
        sign.mesh(f"Subway_{number}_Sign", prints.lettering("M", (128, 128), (0.12, 0.25, 0.55), (0.95,) * 3), 0.2),
    )
    circles = [(float(x), y, 0.5) for y in (-1.0, 0.0, 1.0) for x in np.arange(-half_x, half_x + 0.1, 0.6)]
    return Prop(meshes, tuple(circles)).placed(at, yaw_deg)


def make_flagpole(number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, height_m: float = 8.0) -> Prop:
    """A white pole with a flag that hangs in a light wind along X."""
    pole, flag = Solid(), Solid()
    pole.tube((0, 0, 0), (0, 0, 0.12), 0.16, (0.4,) * 3, sides=12)
    pole.tube((0, 0, 0.12), (0, 0, height_m), 0.055, (0.5,) * 3, end_radius=0.03, sides=8)
    pole.ball((0, 0, height_m), (0.06, 0.06, 0.06), (0.75, 0.6, 0.2))
    u, v = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 5), indexing="ij")
    swing = 0.18 * np.sin(7 * u + 2 * v + rng.uniform(0, 6)) * u
    drop = 0.55 * u**1.3
    points = np.stack([0.06 + 1.15 * u, swing, height_m - 1.35 + 1.15 * v - drop], -1)
    flag.sheet(points, (0.9,) * 3, tile_m=1.2)
    tones = ((0.12, 0.2, 0.45), (0.82, 0.8, 0.76), (0.6, 0.12, 0.12), (0.16, 0.38, 0.26))
    chosen = [tones[int(index)] for index in rng.choice(len(tones), 2, replace=False)]
    meshes = (
        pole.mesh(f"Flagpole_{number}_Pole", surfaces.paint(), 0.3),
        flag.mesh(f"Flagpole_{number}_Flag", prints.striped(chosen)),
    )
    return Prop(meshes, ((0.0, 0.0, 0.16),)).placed(at, yaw_deg)


def make_stele(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """An upright slab with a map or a poster on both faces, 2.3 m high."""
    slab, face = Solid(), Solid()
    slab.box((0, 0, 0), (1.1, 0.3, 0.08), (0.2,) * 3)
    slab.box((0, 0, 0.08), (0.95, 0.16, 2.2), (0.055, 0.06, 0.065))
    for side in (-1, 1):
        y, x = side * 0.085, side * 0.4
        face.quad(np.array([[x, y, 0.75], [-x, y, 0.75], [-x, y, 2.0], [x, y, 2.0]]), (0.85,) * 3)
        slab.box((0, side * 0.081, 2.06), (0.8, 0.01, 0.12), (0.12, 0.3, 0.5))
    meshes = (
        slab.mesh(f"Stele_{number}_Slab", surfaces.paint(), 0.35),
        face.mesh(f"Stele_{number}_Face", prints.poster(rng), 0.2),
    )
    return Prop(meshes, ((-0.3, 0.0, 0.28), (0.0, 0.0, 0.28), (0.3, 0.0, 0.28))).placed(at, yaw_deg)


def make_vent(number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, height_m: float = 2.8) -> Prop:
    """A round steel shaft that airs a garage below: a plinth, louvres, a slanted top."""
    shaft, blades = Solid(), Solid()
    shaft.tube((0, 0, 0), (0, 0, 0.3), 0.72, (0.3,) * 3, sides=18)
    shaft.tube((0, 0, 0.3), (0, 0, height_m - 1.1), 0.6, (0.16, 0.17, 0.18), sides=18)
    blades.tube((0, 0, height_m - 1.1), (0, 0, height_m - 0.1), 0.58, (0.4,) * 3, sides=18, cap=False)
    shaft.tube((0, 0, height_m - 0.1), (0, 0, height_m + 0.02), 0.68, (0.14, 0.15, 0.16), sides=18)
    meshes = (
        shaft.mesh(f"Vent_{number}_Shaft", surfaces.paint(), 0.35),
        blades.mesh(f"Vent_{number}_Louvres", louvres(rng, (0.6, 0.61, 0.62))),
    )
    return Prop(meshes, ((0.0, 0.0, 0.75),)).placed(at, yaw_deg)


def make_bed(
    number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, size_m: tuple[float, float] = (6.0, 1.8)
) -> Prop:
    """A raised bed of granite with shrubs; a slatted seat runs along its -Y side."""
    half_x, half_y = size_m[0] / 2, size_m[1] / 2
    stone, seat, soil, leaves = Solid(), Solid(), Solid(), Solid()
    wall = 0.14
    for y in (-half_y + wall / 2, half_y - wall / 2):
        stone.box((0, y, 0), (2 * half_x, wall, BED_HEIGHT_M), (0.95,) * 3, tile_m=1.2)
    for x in (-half_x + wall / 2, half_x - wall / 2):
        stone.box((x, 0, 0), (wall, 2 * half_y - 2 * wall, BED_HEIGHT_M), (0.95,) * 3, tile_m=1.2)
    stone.box((0, 0, 0), (2 * half_x + 0.02, 2 * half_y + 0.02, 0.07), (0.5,) * 3, tile_m=1.2)
    soil.box((0, 0, 0.1), (2 * half_x - wall, 2 * half_y - wall, BED_HEIGHT_M - 0.16), (0.9, 0.85, 0.8))
    for offset in (0.04, 0.16, 0.28):
        seat.box((0, -half_y + offset - 0.02, BED_HEIGHT_M), (2 * half_x - 1.2, 0.1, 0.045), (0.62, 0.55, 0.48))
    hedge(rng, leaves, (-half_x + 0.25, half_y - 0.5), (half_x - 0.25, half_y - 0.5), 0.95, thick_m=0.7)
    for x in np.arange(-half_x + 0.6, half_x - 0.5, 1.35):
        broad, tint = rng.uniform(0.36, 0.5), rng.uniform(0.75, 1.1) * np.array([1.0, rng.uniform(0.9, 1.1), 0.9])
        spot = (x + rng.uniform(-0.2, 0.2), rng.uniform(-half_y + 0.7, -half_y + 0.85), 0.4)
        shrub(rng, leaves, spot, (broad, broad, rng.uniform(0.16, 0.26)), tuple(tint))
    meshes = (
        stone.mesh(f"Bed_{number}_Stone", paving(rng, (0.52, 0.51, 0.5), 2, 2, 256, joint_px=1.5, speckle=0.14)),
        seat.mesh(f"Bed_{number}_Seat", surfaces.wood(), 0.05),
        soil.mesh(f"Bed_{number}_Soil", foliage.soil(rng)),
        leaves.mesh(f"Bed_{number}_Shrubs", greenery()),
    )
    rows = [(float(x), y, 0.5) for y in (-half_y + 0.5, half_y - 0.5) for x in np.arange(-half_x + 0.5, half_x, 0.5)]
    return Prop(meshes, tuple(rows)).placed(at, yaw_deg)


def make_mast(number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, height_m: float = 7.5) -> Prop:
    """A slim mast with three spotlights near its top."""
    mast = Solid()
    tone = np.array([0.1, 0.105, 0.11]) * rng.uniform(0.9, 1.2)
    mast.tube((0, 0, 0), (0, 0, 0.06), 0.2, tone, sides=12)
    mast.tube((0, 0, 0.06), (0, 0, height_m), 0.085, tone, end_radius=0.06, sides=10)
    mast.box((0, -0.085, 0.5), (0.09, 0.02, 0.4), tone * 1.5)
    for angle, drop in ((-1.57, 0.15), (0.5, 0.6), (2.6, 1.05)):
        root = np.array([0, 0, height_m - drop])
        out = np.array([math.cos(angle), math.sin(angle), 0.0])
        mast.tube(root, root + 0.3 * out, 0.025, tone, sides=6)
        mast.tube(root + 0.25 * out + (0, 0, 0.1), root + 0.55 * out - (0, 0, 0.16), 0.11, tone * 1.3, sides=10)
    lamp = Lamp((0.0, 0.0, height_m - 0.4), (60.0, 53.0, 42.0), 22.0)
    return Prop((mast.mesh(f"Mast_{number}", surfaces.paint(), 0.25),), ((0.0, 0.0, 0.2),), (lamp,)).placed(at, yaw_deg)


def make_downlight(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A round light set into a ceiling; `at` is on the ceiling."""
    light = Solid()
    light.tube((0, 0, 0.02), (0, 0, -0.05), 0.17, (0.2,) * 3, sides=12)
    light.tube((0, 0, -0.04), (0, 0, -0.055), 0.13, (0.95, 0.9, 0.8), sides=12)
    tone = rng.uniform(0.9, 1.1)
    lamp = Lamp((0.0, 0.0, -0.1), (10.0 * tone, 8.6 * tone, 6.4 * tone), 8.0)
    return Prop((light.mesh(f"Downlight_{number}", surfaces.paint()),), (), (lamp,)).placed(at, yaw_deg)
