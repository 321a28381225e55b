"""Scene 2, a downtown plaza: a fountain between glass towers, an arcade, stairs, cafe tables, a street at its side.

Layout (metres): arcade and stone block in the west (x < -18), stairs to a terrace and a glass tower in the north
(y > 17), a glass tower with its entrance in the east (x > 22), a promenade with trees at y -17 ... -12 and the
street south of it.
"""

from __future__ import annotations

import math
from itertools import count

import numpy as np

from unrealperson.synth.scenes import foliage, furniture, landmarks, pavements, roadside, surfaces, vehicles
from unrealperson.synth.scenes.downtown import (
    ARCADE_WALL_X_M,
    EAST_X_M,
    FAR_KERB_Y_M,
    KERB_HEIGHT_M,
    KERB_Y_M,
    PILLARS_X_M,
    SOUTH_Y_M,
    STAIRS_Y_M,
    make_buildings,
    make_street,
)
from unrealperson.synth.scenes.pavements import Ground
from unrealperson.synth.scenes.plants import make_tree
from unrealperson.synth.scenes.scene import Mesh, Prop, Scene
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.view import aimed

Area = tuple[float, float, float, float]

NUMBER = 2
BOUNDS = (-22.4, -17.2, 22.3, 17.0)
PROMENADE_Y_M = -12.0
FOUNTAIN = (0.5, 3.0)
SUBWAY = (-11.0, -9.6)
CAFE = (-17.8, 5.2, -12.2, 14.6)
BEDS = ((-8.6, -4.6, 0.0), (9.4, -4.6, 180.0), (-8.2, 11.2, 90.0), (9.4, 11.2, -90.0))
VIEWS = (
    aimed((7.5, 8.1, 4.2), (2.8, 13.4, 0.7), 48.0, 0.6),
    aimed((-12.4, 16.8, 3.3), (-3.6, 14.7, 0.8), 42.0),
    aimed((-18.2, -4.0, 3.6), (-13.4, -1.6, 0.6), 54.0, -0.8),
    aimed((15.6, -4.2, 4.4), (9.0, -0.6, 0.6), 48.0),
    aimed((-20.9, -16.8, 3.2), (-20.3, -9.5, 0.8), 40.0),
    aimed((3.4, -16.9, 5.4), (-2.0, -11.6, 0.5), 48.0),
    aimed((-10.0, 16.9, 4.4), (-11.4, 9.5, 0.5), 42.0, 1.0),
    aimed((6.4, 21.4, 5.8), (1.8, 13.6, 0.5), 44.0, 0.4),
    aimed((13.5, -6.0, 2.6), (7.0, -8.6, 0.9), 38.0, 0.5),
    aimed((22.3, 7.4, 5.2), (15.0, 12.4, 0.6), 44.0),
    aimed((-6.4, 0.2, 3.0), (-12.0, -1.2, 0.7), 48.0, -0.6),
    aimed((22.4, -11.1, 5.8), (15.6, -12.4, 0.4), 48.0),
    aimed((-13.2, -16.9, 2.4), (-6.5, -13.8, 0.9), 34.0),
    aimed((7.9, 7.6, 7.2), (4.0, -0.4, 0.3), 40.0, -0.5),
    aimed((-22.2, 12.6, 2.9), (-20.4, 5.6, 0.8), 42.0),
    aimed((16.4, -16.9, 3.4), (9.6, -12.6, 0.9), 33.0, 0.4),
)


_PANELS = (
    ("along", "across", "along", "setts", "across", "setts"),
    ("across", "along", "along", "across", "along", "setts"),
    ("along", "setts", "across", "along", "setts", "across"),
    ("along", "along", "along", "across", "along", "along"),
)
"""How the stones of the field lie, from south to north, west to east."""


def build_plaza(seed: int) -> Scene:
    """Builds the plaza.

    Args:
        seed: chooses textures, colours and clutter.
    """
    rng = np.random.default_rng([seed, NUMBER, 10])
    props = _props(rng)
    circles = np.array([circle for prop in props for circle in prop.obstacles])
    meshes = [*make_buildings(rng), *make_street(rng), *_paving(rng, circles), *_litter(rng)]
    meshes += [mesh for prop in props for mesh in prop.meshes]
    obstacles = np.concatenate([circles, _walls()])
    lamps = tuple(lamp for prop in props for lamp in prop.lamps)
    return Scene(NUMBER, "DowntownPlaza", seed, tuple(meshes), _paths(), obstacles, BOUNDS, VIEWS, lamps)


def _paths() -> tuple[np.ndarray, ...]:
    loops = (
        "-16.6 -13.2, 20 -13, 20.8 -14.4, 20 -15.8, -16.6 -15.8",
        "-16.4 -6.4, -5.2 -7, 6 -7.2, 19.4 -6.6, 19.9 -1, 13.6 -1.6, 5 -1.8, -6 -1.9, -16.4 -1",
        "-10.9 4.2, -10.9 15.4, 0 15.6, 10.8 14.9, 12.4 12, 12.2 4, 6.2 6.2, 0.5 8.4, -5 6.4",
        "-4.6 3, -3.4 -0.6, 0.5 -2.2, 4.4 -0.6, 5.6 3, 4.4 6.6, 0.5 8.2, -3.4 6.6",
        "-20.6 -15, -20.6 15.2, -19.4 16.1, -11.4 16.1, -10.9 4.6, -16 2.2, -16 -13.4, -19.2 -14.4",
        "2.8 -13.4, 2.6 -8, 3.2 -2.4, 6 1.4, 6.2 9, 3 14.8, -3 14.8, -5 8, -4.9 1, -2.8 -3, -2.6 -8, -2.4 -13.4",
        "19.6 2, 14 1.6, 7 0.2, 4.6 -3.4, 4.4 -9, 13 -8.6, 13.4 -12.4, 20 -12.4, 19.9 -5",
        "19.4 1, 18.2 9, 13.6 14, 8 15.2, 6.2 11, 6.4 6.2, 12.4 2.4",
        "13.2 9.4, 16.8 8, 17.6 2.6, 19.4 10.4, 18.6 14.8, 14 14.6",
        "-10.8 5, -11 15.2, -7.6 15.2, -4 13.6, 3.8 13.8, 4.4 9.6, -3.4 9.4, -6.6 6",
        "-21.3 -15.6, -21.3 15, -20 15, -20 -15.6",
        "-16 0.4, -6 1.6, -4.6 -1.4, 5.4 -2.1, 7.4 1, 13.8 0.4, 13.8 -1.4, 4.8 -3.2, -4.6 -3.2, -15.8 -1.6",
    )
    return tuple(np.array([point.split() for point in loop.split(",")], float) for loop in loops)


def _walls() -> list[tuple[float, float, float]]:
    """Circles along stairs, shop fronts and pillars."""
    circles = [(PILLARS_X_M, float(y), 0.5) for y in np.linspace(-16, 14, 7)]
    circles += [(ARCADE_WALL_X_M - 0.3, float(y), 0.5) for y in np.arange(-17, 17, 0.5)]
    circles += [(float(x), STAIRS_Y_M + 0.4, 0.5) for x in np.arange(-22, 22.1, 0.5)]
    circles += [(EAST_X_M + 0.2, float(y), 0.5) for y in np.arange(-11, 17, 0.5)]
    circles += [(EAST_X_M - 0.35, 2.0 + y, 1.2) for y in (-0.4, 0.0, 0.4)]
    return [(float(x), float(y), radius) for x, y, radius in circles]


def _paving(rng: np.random.Generator, obstacles: np.ndarray) -> list[Mesh]:
    contacts = np.zeros((len(obstacles), 5))
    contacts[:, [0, 1, 4]] = obstacles * (1, 1, 0.85)
    front = [(0.0, STAIRS_Y_M + 2, 22.0, 2.0, 0.0), (EAST_X_M + 5, 2.0, 5.0, 13.0, 0.0), (-27.6, -1.0, 5.0, 15.4, 0.0)]
    front += [(0.0, SOUTH_Y_M - 3, 60.0, 3.0, 0.0), (*SUBWAY, 3.2, 1.6, 0.0)]
    front += [(PILLARS_X_M, float(y), 0.35, 0.35, 0.0) for y in np.linspace(-16, 14, 7)]
    ground = Ground(rng, np.concatenate([contacts, np.array(front, float)]))
    granite = pavements.paving(rng, (0.465, 0.455, 0.44), 12, 7, 1024, ragged=0.8, tone=0.055, joint_px=1.8)
    limestone = pavements.paving(rng, (0.6, 0.56, 0.49), 5, 5, 512, tone=0.045, joint_px=1.6, speckle=0.06)
    concrete = pavements.paving(rng, (0.45, 0.445, 0.43), 8, 8, 512, ragged=0.0, tone=0.045, joint_px=1.8)
    setts = pavements.paving(
        rng, (0.41, 0.405, 0.395), 20, 18, 512, ragged=0.45, tone=0.1, joint_px=2.6, round_px=4.0, speckle=0.12
    )
    brick = pavements.herringbone(rng, (0.52, 0.4, 0.33))
    dark = pavements.paving(rng, (0.33, 0.33, 0.335), 4, 3, 256, ragged=0.3, joint_px=1.6, speckle=0.16)
    tactile = pavements.tactile(rng, (0.5, 0.455, 0.35), bars=True)
    domes = pavements.tactile(rng, (0.5, 0.455, 0.35), bars=False)
    west = PILLARS_X_M + 0.5
    hole = (SUBWAY[0] - 3.0, SUBWAY[1] - 1.4, SUBWAY[0] + 3.0, SUBWAY[1] + 1.4)
    field: dict[str, list[Area]] = {"along": [], "across": [], "setts": []}
    columns, rows = (west, -12.0, -6.0, 6.0, 12.0, 18.0, EAST_X_M), (PROMENADE_Y_M, -6.0, 9.0, 15.0, STAIRS_Y_M)
    for row, kinds in enumerate(_PANELS):
        for column, kind in enumerate(kinds):
            panel = (columns[column], rows[row], columns[column + 1], rows[row + 1])
            field[kind] += [part for rest in _without(panel, CAFE) for part in _without(rest, hole)]
    meshes = [
        ground.pave("Paving_Along", field["along"], granite, 4.6),
        ground.pave("Paving_Across", field["across"], granite, 4.6, turned=True, color=(0.9, 0.9, 0.9)),
        ground.pave("Paving_Cubes", field["setts"], setts, 2.2, color=(1.2, 1.18, 1.14)),
        ground.pave("Paving_Cafe", [CAFE], brick, 2.4),
        ground.pave("Paving_Arcade", [(ARCADE_WALL_X_M, KERB_Y_M + 1, west, STAIRS_Y_M)], limestone, 4.5, gloss=0.06),
        ground.pave("Paving_Promenade", [(west, KERB_Y_M + 1.2, EAST_X_M, PROMENADE_Y_M)], concrete, 4.8, turned=True),
        ground.pave(
            "Paving_Lanes",
            [
                (-70, KERB_Y_M + 1.2, ARCADE_WALL_X_M, -16.4),
                (ARCADE_WALL_X_M, KERB_Y_M + 1.0, west, KERB_Y_M + 1.2),
                (-70, 14.4, ARCADE_WALL_X_M, 26),
                (EAST_X_M, 15, 70, 26),
                (EAST_X_M, KERB_Y_M + 1.2, 70, -11),
                (-70, SOUTH_Y_M, -4, FAR_KERB_Y_M),
                (10, SOUTH_Y_M, 70, FAR_KERB_Y_M),
                (ARCADE_WALL_X_M, STAIRS_Y_M, -21, 26),
                (21, STAIRS_Y_M, EAST_X_M, 26),
            ],
            concrete,
            4.8,
            cell_m=2.5,
        ),
        ground.pave("Paving_Setts", [(-70, KERB_Y_M, 70, KERB_Y_M + 1.2)], setts, 2.2, cell_m=1.2),
    ]
    bands = [(x - 0.3, PROMENADE_Y_M, x + 0.3, STAIRS_Y_M) for x in columns[1:-1]]
    bands += [(west, y - 0.3, EAST_X_M, y + 0.3) for y in rows[:-1]]
    keep = [part for band in bands for rest in _without(band, CAFE) for part in _without(rest, hole)]
    meshes.append(ground.pave("Paving_Bands", keep, dark, 1.5, z_m=0.003, cell_m=0.6))
    repairs = [
        (9.6, -12.0, 10.3, -6.3),
        (-15.2, -5.4, -13.4, -4.0),
        (13.6, 5.0, 15.4, 6.1),
        (-15.6, -11.6, -14.6, -6.4),
    ]
    meshes.append(ground.pave("Paving_Repairs", repairs, concrete, 2.4, z_m=0.002, color=(0.72,) * 3))
    strip = [(EAST_X_M - 2.2, 2 - 3.0, EAST_X_M - 1.6, 2 + 3.0), (-9.0, STAIRS_Y_M - 0.75, 9.0, STAIRS_Y_M - 0.3)]
    strip += [(hole[2] + 0.3, hole[1], hole[2] + 0.75, hole[3]), (1.5, KERB_Y_M + 0.3, 5.5, KERB_Y_M + 0.9)]
    meshes.append(ground.pave("Tactile_Warning", strip, domes, 0.6, z_m=0.005, color=(0.9,) * 3))
    guide = (3.3, PROMENADE_Y_M - 4.9, 3.7, -3.0)
    meshes.append(ground.pave("Tactile_Guide", [guide], tactile, 0.6, z_m=0.005, turned=True, color=(0.9,) * 3))
    return [*meshes, _ring(rng, ground, setts), _covers(rng, ground)]


def _without(area: Area, hole: Area) -> list[Area]:
    """What is left of a rectangle, as rectangles, around another one."""
    x0, y0, x1, y1 = area
    left, low, right, high = max(x0, hole[0]), max(y0, hole[1]), min(x1, hole[2]), min(y1, hole[3])
    if left >= right or low >= high:
        return [area]
    parts = [(x0, y0, x1, low), (x0, high, x1, y1), (x0, low, left, high), (right, low, x1, high)]
    return [part for part in parts if part[0] < part[2] and part[1] < part[3]]


def _ring(rng: np.random.Generator, ground: Ground, setts: np.ndarray) -> Mesh:
    """Setts laid around the fountain, between two dark courses."""
    solid = Solid()
    for inner, outer, tone in ((2.8, 3.9, 1.0), (3.9, 4.15, 0.5), (4.15, 5.6, 1.12), (5.6, 5.95, 0.5)):
        radius, angle = np.meshgrid([inner, outer], np.linspace(0, 2 * np.pi, 73), indexing="ij")
        xy = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1, 2) + FOUNTAIN
        uv = np.stack([angle * 4.8, radius], -1).reshape(-1, 2) / 2.2
        a = np.arange(72)
        faces = np.concatenate([np.stack([a, a + 73, a + 74], 1), np.stack([a, a + 74, a + 1], 1)])
        color = tone * ground.shade(xy)[:, None] * np.ones(3)
        up = np.tile([0.0, 0.0, 1.0], (len(xy), 1))
        solid.add(np.column_stack([xy, np.full(len(xy), 0.004)]), up, uv, color, faces)
    return solid.mesh("Paving_Ring", setts)


def _covers(rng: np.random.Generator, ground: Ground) -> Mesh:
    """Drains, channel gratings, manhole covers."""
    solid = Solid()
    for x, y, wide, deep in (
        (-14.6, -3.0, 0.6, 0.6),
        (4.6, -9.2, 0.7, 0.7),
        (15.4, 3.4, 0.6, 0.6),
        (-3.0, 11.8, 0.7, 0.7),
        (8.0, -14.2, 0.6, 0.6),
        (-9.6, -14.0, 0.6, 0.6),
        (17.0, -15.4, 0.45, 0.45),
    ):
        solid.quad(
            np.array([[x, y, 0.005], [x + wide, y, 0.005], [x + wide, y + deep, 0.005], [x, y + deep, 0.005]]),
            (0.3, 0.29, 0.28),
            np.array([[0, 0], [1, 0], [1, 1], [0, 1]]),
        )
    for x, y in (tree for tree in _TREES if tree[1] < PROMENADE_Y_M):
        for side in (0, 1):
            x0, x1 = x - 0.7 + 0.7 * side, x + 0.7 * side
            corners = np.array([[x0, y - 0.7, 0.006], [x1, y - 0.7, 0.006], [x1, y + 0.7, 0.006], [x0, y + 0.7, 0.006]])
            solid.quad(corners, (0.32, 0.28, 0.25), np.array([[0, 0], [0, 1], [2, 1], [2, 0]]))
    for x0, y0, x1, y1 in ((-17.9, PROMENADE_Y_M - 0.5, 22.4, PROMENADE_Y_M - 0.36), (-18.0, -16, -17.86, 16.8)):
        long = max(x1 - x0, y1 - y0) / 0.5
        corners = np.array([[x0, y0, 0.005], [x1, y0, 0.005], [x1, y1, 0.005], [x0, y1, 0.005]])
        uv = np.array(
            [[0, 0], [0, long], [0.3, long], [0.3, 0]] if x1 - x0 > 1 else [[0, 0], [0.3, 0], [0.3, long], [0, long]]
        )
        solid.quad(corners, (0.28,) * 3, uv)
    bars = np.where((np.arange(128) * 10 / 128) % 1 < 0.45, 0.25, 0.85)[:, None, None]
    texture = surfaces.finish(bars * np.array([0.5, 0.48, 0.46]) * surfaces.grain(rng, 128, fine=0.1, coarse=0.2))
    return solid.mesh("Covers", texture, 0.3)


def _litter(rng: np.random.Generator) -> list[Mesh]:
    """Leaves that lie in drifts under trees and along walls, a few papers."""
    litter = Solid()
    trees = np.array(_TREES)
    for _ in range(300):
        if rng.random() < 0.6:
            x, y = trees[rng.integers(len(trees))] + rng.normal(0, 1.4, 2)
        else:
            x, y = rng.uniform(-17, 21), rng.uniform(-16.5, 16.8)
        if math.hypot(x - FOUNTAIN[0], y - FOUNTAIN[1]) < 3.2 or (
            abs(x - SUBWAY[0]) < 3.2 and abs(y - SUBWAY[1]) < 1.6
        ):
            continue
        turn, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.07)
        paper = rng.random() < 0.04
        tone = np.array([0.6, 0.58, 0.52]) if paper else np.array([0.34, 0.22, 0.08]) * rng.uniform(0.4, 1.2)
        tone = tone * (1.0, rng.uniform(0.8, 1.2), 1.0)
        u = size * np.array([math.cos(turn), math.sin(turn)])
        v = rng.uniform(0.4, 0.7) * np.array([-u[1], u[0]])
        flat = np.array([x, y]) + np.stack([-u, -v, u, v])
        litter.quad(np.column_stack([flat, 0.007 + rng.uniform(0, 0.012, 4)]), tone)
    return [litter.mesh("Litter", surfaces.paint())]


_TREES = (
    (-13.4, -14.5),
    (-3.4, -14.7),
    (6.6, -14.5),
    (16.6, -14.5),
    (-8.2, 9.6),
    (9.4, 12.6),
    (11.0, -4.5),
    (-10.4, -4.4),
)


def _props(rng: np.random.Generator) -> list[Prop]:
    numbers = count(1)
    props = [
        landmarks.make_fountain(1, (*FOUNTAIN, 0.0), 0.0, rng),
        landmarks.make_subway_entrance(1, (*SUBWAY, 0.0), 0.0, rng),
    ]
    for x, y, yaw in BEDS:
        size = (6.0, 1.8) if yaw in (0.0, 180.0) else (5.0, 1.8)
        props.append(landmarks.make_bed(next(numbers), (x, y, 0.0), yaw, rng, size_m=size))
    for maker, spots in _SPOTS:
        for number, (x, y, yaw) in enumerate(spots, 1):
            z = -KERB_HEIGHT_M if y < KERB_Y_M else 0.0
            props.append(maker(number, (x, y, z), yaw, rng))
    for number, at in enumerate(_DOWNLIGHTS, 1):
        props.append(landmarks.make_downlight(number, at, 0.0, rng))
    bark, leaves = foliage.bark(rng), landmarks.greenery()
    for number, (x, y) in enumerate(_TREES, 1):
        meshes = make_tree(rng, f"Tree_{number}", x, y, bark, leaves)
        props.append(Prop(tuple(meshes), ((x, y, 0.35),)))
    return props


_DOWNLIGHTS = (
    *((-20.6, y, 4.6) for y in (-13.5, -8.5, -3.5, 1.5, 6.5, 11.5)),
    *((21.0, y, 3.2) for y in (-0.4, 4.4)),
    *((x, 23.6, 6.6) for x in (-12.0, -4.0, 4.0, 12.0)),
)

_SPOTS = (
    (
        landmarks.make_mast,
        (
            (-8.6, 0.1, 0),
            (7.9, 7.6, 120),
            (-6.4, 8.9, 240),
            (15.6, -4.4, 60),
            (16.4, 12.6, 0),
            (8.4, -11.5, 30),
            (-5.2, -11.7, 80),
        ),
    ),
    (landmarks.make_stele, ((-5.6, -10.6, 10), (21.0, 12.4, -80), (-7.6, 3.5, -20))),
    (landmarks.make_flagpole, ((13.6, 16.3, 20), (15.6, 16.3, 12), (17.6, 16.3, 25))),
    (landmarks.make_vent, ((20.4, 15.2, 0),)),
    (
        furniture.make_cafe_table,
        ((-16.2, 6.8, 0), (-13.7, 8.0, 40), (-16.0, 9.8, 80), (-13.6, 11.2, 20), (-16.2, 12.8, 60), (-13.8, 13.9, 0)),
    ),
    (furniture.make_kiosk, ((16.4, -9.4, 180),)),
    (furniture.make_market_stall, ((0.5, 11.8, 0),)),
    (furniture.make_vending_machine, ((21.9, -6.0, -90),)),
    (furniture.make_bench, ((0.0, -10.9, 0), (7.0, -10.9, 0), (-17.8, -8.5, 90), (20.9, 6.6, -90), (20.9, 9.4, -90))),
    (furniture.make_bin, ((1.3, -10.9, 0), (-21.6, 16.4, 0), (13.6, -4.0, 0), (-17.4, -1.0, 0), (9.4, 15.9, 0))),
    (furniture.make_board, ((-11.9, 5.6, 80), (18.9, -9.6, 70), (-17.6, 5.6, 90))),
    (furniture.make_planter, ((-16.5, 14.7, 0),)),
    (
        roadside.make_bollard,
        tuple((float(x), -17.2, 0) for x in np.arange(-20.2, 21.5, 3.2) if not 1.0 < x < 6.0),
    ),
    (
        roadside.make_street_lamp,
        ((-10.4, -14.5, 0), (11.6, -14.5, 0), (-21.0, -26.6, 180), (-1.0, -26.6, 180), (20, -26.6, 180)),
    ),
    (roadside.make_barrier, ((14.4, 4.4, 4), (14.4, 6.5, -3))),
    (roadside.make_cone, ((13.4, 5.5, 0), (15.6, 5.2, 0))),
    (roadside.make_letter_box, ((21.2, -10.4, -60),)),
    (vehicles.make_kick_scooter, ((8.2, 2.9, 30), (8.9, 2.7, 22))),
    (roadside.make_sign, ((0.6, -17.0, 180), (-19.4, -16.9, 180))),
    (roadside.make_traffic_light, ((6.0, -17.0, 0), (1.0, -26.4, 180))),
    (vehicles.make_bicycle, ((9.6, -10.8, 88), (10.3, -10.9, 92), (11.0, -10.8, 85), (-17.5, 1.4, 95))),
    (
        vehicles.make_car,
        (
            (-17.5, -19.0, 0),
            (-11.8, -18.95, 0),
            (11.4, -19.0, 0),
            (22.6, -19.0, 0),
            (-9.0, -21.7, 0),
            (15.5, -24.4, 180),
        ),
    ),
)
