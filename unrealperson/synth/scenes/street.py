"""Scene 1, a city street: a wide pavement with shops, a road with a crossing, clutter that hides people.

Layout (metres): shops along y = 9 face south, pavement y -3 ... 9, road y -9 ... -3, southern pavement
y -13 ... -9, shops along y = -13.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from unrealperson.synth.scenes import surfaces
from unrealperson.synth.scenes.furniture import (
    make_bench,
    make_bin,
    make_board,
    make_bus_shelter,
    make_cafe_table,
    make_kiosk,
    make_market_stall,
    make_planter,
    make_vending_machine,
    make_wheeled_bin,
)
from unrealperson.synth.scenes.plants import make_tree
from unrealperson.synth.scenes.roadside import (
    make_barrier,
    make_bollard,
    make_cone,
    make_hydrant,
    make_letter_box,
    make_railing,
    make_sign,
    make_street_lamp,
    make_traffic_light,
)
from unrealperson.synth.scenes.scene import Mesh, Prop, Scene
from unrealperson.synth.scenes.shops import SHOPS, House, make_house
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.vehicles import (
    make_bicycle,
    make_bicycle_stand,
    make_car,
    make_kick_scooter,
    make_motor_scooter,
)
from unrealperson.synth.view import aimed

NUMBER = 1
NORTH_M, KERB_NORTH_M, KERB_SOUTH_M, SOUTH_M = 9.0, -3.0, -9.0, -13.0
REACH_M = 60.0
KERB_HEIGHT_M = 0.12
BOUNDS = (-15.0, -12.9, 15.0, 8.9)
CROSSINGS_M = (-5.0, 6.0)
TACTILE = (0.82, 0.68, 0.42)
TREES_M = ((-13.6, -2.1), (-2.6, -2.1), (2.6, -2.1), (13.8, -2.1))
VIEWS = (
    aimed((-10.4, 7.4, 3.8), (-2.4, 1.9, 0.6), 50.0),
    aimed((9.8, 7.3, 4.9), (2.6, 1.4, 0.6), 52.0, 0.8),
    aimed((-11.4, -2.6, 6.6), (-3.2, 3.2, 0.6), 46.0, -0.4),
    aimed((10.0, -2.3, 2.9), (1.6, 3.4, 0.9), 50.0, -0.6),
    aimed((-0.6, 8.4, 3.2), (0.3, 1.8, 0.7), 64.0, 0.3),
    aimed((2.4, -9.6, 5.2), (-4.0, -1.9, 0.7), 50.0, 1.1),
)


def build_street(seed: int) -> Scene:
    """Builds the street.

    Args:
        seed: chooses textures and clutter.
    """
    rng = np.random.default_rng([seed, NUMBER, 10])
    painted = surfaces.plaster(rng)
    props = _houses(rng) + _props(rng)
    meshes = _ground(rng, painted, np.array([circle for prop in props for circle in prop.obstacles]))
    obstacles = [circle for prop in props for circle in prop.obstacles]
    bark, leaves = surfaces.bark(rng), surfaces.leaves(rng)
    for number, (x, y) in enumerate(TREES_M, 1):
        meshes += make_tree(rng, f"Tree_{number}", x, y, bark, leaves, painted)
        obstacles.append((x, y, 0.35))
    meshes += [mesh for prop in props for mesh in prop.meshes]
    lamps = tuple(lamp for prop in props for lamp in prop.lamps)
    return Scene(NUMBER, "CityStreet", seed, tuple(meshes), _paths(), np.array(obstacles), BOUNDS, VIEWS, lamps)


def _paths() -> tuple[np.ndarray, ...]:
    west = CROSSINGS_M[0]
    return (
        np.array([[-8.5, -0.8], [8.5, -0.8], [9.3, 3.0], [8.5, 6.1], [-8.5, 6.1], [-9.3, 3.0]]),
        np.array([[-5.5, 1.2], [0.0, 0.8], [5.5, 1.2], [6.4, 3.2], [5.5, 5.1], [0.0, 5.5], [-5.5, 5.1], [-6.4, 3.2]]),
        np.array(
            [
                [west - 0.6, 0.9],
                [west - 0.6, -9.8],
                [west + 0.6, -9.8],
                [west + 0.6, 0.9],
                [0.0, 2.0],
                [4.5, 3.1],
                [0.0, 4.2],
                [west, 3.4],
            ]
        ),
        np.array([[-8.0, 0.6], [0.0, 2.6], [8.0, 0.6], [8.6, 3.0], [8.0, 5.8], [0.0, 3.5], [-8.0, 5.8], [-8.6, 3.0]]),
    )


def _ground(rng: np.random.Generator, painted: np.ndarray, obstacles: np.ndarray) -> list[Mesh]:
    def plane(name: str, y0: float, y1: float, z: float, texture: np.ndarray, tile_m: float) -> Mesh:
        solid = Solid()
        xs = np.concatenate([np.linspace(-REACH_M, -17, 14), np.arange(-16.6, 16.7, 0.4), np.linspace(17, REACH_M, 14)])
        ys = np.linspace(y0, y1, round((y1 - y0) / 0.4) + 1)
        x, y = np.meshgrid(xs, ys, indexing="ij")
        positions = np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3)
        stain = 0.5 * _smooth(rng, x.shape) + 0.1 * rng.standard_normal(x.shape)
        wall = np.minimum(np.abs(y - NORTH_M), np.abs(y - SOUTH_M))
        shade = (1 + 0.16 * stain) * (1 - 0.4 * np.exp(-wall / 0.8))
        if z < 0:
            kerb = np.minimum(np.abs(y - KERB_NORTH_M), np.abs(y - KERB_SOUTH_M))
            shade *= 1 - 0.3 * np.exp(-kerb / 0.25) - 0.1 * np.exp(-(((np.abs(y + 6.0) - 1.5) / 0.5) ** 2))
        for cx, cy, radius in obstacles:
            gap = np.maximum(np.hypot(x - cx, y - cy) - 0.7 * radius, 0.0)
            dark = 0.5 * min(2.2 * radius, 1.0) * np.exp(-gap / (0.12 + 0.3 * radius))
            shade = np.maximum(shade * (1 - dark), np.minimum(shade, 0.42))
        i, j = np.meshgrid(np.arange(len(xs) - 1), np.arange(len(ys) - 1), indexing="ij")
        a = (i * len(ys) + j).ravel()
        step = len(ys)
        faces = np.concatenate([np.stack([a, a + step, a + step + 1], 1), np.stack([a, a + step + 1, a + 1], 1)])
        colors = np.repeat(shade.reshape(-1, 1), 3, 1)
        solid.add(positions, np.tile([0.0, 0, 1], (len(positions), 1)), positions[:, :2] / tile_m, colors, faces)
        return solid.mesh(name, texture)

    road_z = -KERB_HEIGHT_M
    meshes = [
        plane("Pavement_North", KERB_NORTH_M, NORTH_M, 0.0, surfaces.slabs(rng, (0.5, 0.485, 0.46), 8, 5), 4.0),
        plane("Pavement_South", SOUTH_M, KERB_SOUTH_M, 0.0, surfaces.slabs(rng, (0.44, 0.44, 0.43), 10, 10), 4.0),
        plane("Road", KERB_SOUTH_M, KERB_NORTH_M, road_z, surfaces.asphalt(rng), 5.0),
    ]
    kerbs = Solid()
    for y, facing in ((KERB_NORTH_M, -1), (KERB_SOUTH_M, 1)):
        for x in (-40.0, 20.0):
            kerbs.box((x + 10.0, y - facing * 0.08, road_z), (20.0, 0.2, KERB_HEIGHT_M + 0.012), (0.85,) * 3)
        for x in np.arange(-20.0, 20.0, 1.0):
            tone = rng.uniform(0.75, 1.0)
            kerbs.box(
                (x + 0.5, y - facing * 0.08, road_z), (0.985, 0.2, KERB_HEIGHT_M + 0.012), (tone, tone, tone * 0.98)
            )
    meshes.append(kerbs.mesh("Kerbs", surfaces.plaster(rng, (0.62, 0.61, 0.59))))
    paint = Solid()
    z = road_z + 0.006
    middle = (KERB_NORTH_M + KERB_SOUTH_M) / 2

    def stripe(x0: float, x1: float, y0: float, y1: float) -> None:
        tone = rng.uniform(0.55, 0.85)
        paint.floor(x0, y0, x1, y1, z, (tone, tone, tone * 0.97))

    for x in np.arange(-40.0, 40.0, 3.0):
        if all(abs(x + 0.7 - crossing) > 2.6 for crossing in CROSSINGS_M):
            stripe(x, x + 1.5, middle - 0.06, middle + 0.06)
    for crossing in CROSSINGS_M:
        for y in np.arange(KERB_SOUTH_M + 0.35, KERB_NORTH_M - 0.4, 0.9):
            stripe(crossing - 1.5, crossing + 1.5, y, y + 0.48)
    for y in (KERB_NORTH_M - 0.35, KERB_SOUTH_M + 0.25):
        stripe(-40.0, 40.0, y, y + 0.08)
    meshes.append(paint.mesh("RoadMarkings", surfaces.plaster(rng, (0.85, 0.85, 0.82))))
    iron = Solid()
    for x, y, size in ((-3.0, -1.6, 0.6), (7.2, 4.4, 0.5), (3.0, 7.6, 0.4), (-8.0, 2.0, 0.7), (-7.3, 2.0, 0.7)):
        iron.floor(x, y, x + size, y + size, 0.004, (0.25,) * 3)
    for x, y in ((2.2, -5.6), (-8.7, -7.0), (-2.2, -5.0), (9.5, -5.2)):
        iron.tube((x, y, road_z - 0.02), (x, y, road_z + 0.005), 0.33, (0.22,) * 3, sides=20)
    for x in (-9.2, -1.9, 5.2, 14.0):
        iron.floor(x, KERB_NORTH_M - 0.42, x + 0.5, KERB_NORTH_M - 0.03, road_z + 0.004, (0.1,) * 3)
    meshes.append(iron.mesh("Covers", surfaces.slabs(rng, (0.5, 0.48, 0.46), 10, 5, 128), 0.3))
    patches = Solid()
    for x0, y0, x1, y1, tone in (
        (-9.6, -5.6, -6.9, -4.9, 0.72), (-3.2, -8.4, -2.5, -3.1, 0.66),
        (1.4, -6.4, 3.0, -4.9, 0.6), (7.8, -7.4, 10.9, -6.3, 0.78),
    ):  # fmt: skip
        patches.floor(x0, y0, x1, y1, road_z + 0.003, (tone,) * 3)
    meshes.append(patches.mesh("Patches", meshes[2].texture))
    bands = Solid()
    for x in np.arange(-30.0, 30.1, 6.0):
        bands.floor(x - 0.3, KERB_NORTH_M + 0.12, x + 0.3, NORTH_M, 0.003, (0.5, 0.48, 0.46))
    bands.floor(-30.0, 2.7, 30.0, 3.3, 0.0035, (0.5, 0.48, 0.46))
    for crossing in CROSSINGS_M:
        bands.floor(crossing - 1.5, KERB_NORTH_M + 0.15, crossing + 1.5, KERB_NORTH_M + 0.95, 0.005, TACTILE)
        bands.floor(crossing - 1.5, KERB_SOUTH_M - 0.95, crossing + 1.5, KERB_SOUTH_M - 0.15, 0.005, TACTILE)
    meshes.append(bands.mesh("Bands", surfaces.slabs(rng, (0.6, 0.58, 0.56), 6, 6, 256)))
    litter = Solid()

    def scrap(x: float, y: float, size: float, tone: ArrayLike) -> None:
        u = rng.normal(0, size, 2)
        v = rng.uniform(0.4, 1.0) * np.array([-u[1], u[0]])
        at = np.array([(x, y), (x + u[0], y + u[1]), (x + u[0] + v[0], y + u[1] + v[1]), (x + v[0], y + v[1])])
        litter.quad(np.column_stack([at, np.full(4, road_z if y < KERB_NORTH_M else 0.0) + 0.006]), tone)

    for _ in range(360):
        near_kerb = rng.random() < 0.5
        x, y = rng.uniform(-14, 14), KERB_NORTH_M + (rng.normal(0.0, 0.55) if near_kerb else rng.uniform(0, 12))
        tones = ((0.35, 0.2, 0.08), (0.3, 0.3, 0.1), (0.16, 0.13, 0.05))
        scrap(x, min(y, 8.9), 0.05, np.asarray(tones[int(rng.integers(3))]) * rng.uniform(0.4, 1.0))
    for _ in range(220):
        scrap(rng.uniform(-14, 14), rng.uniform(-2.8, 8.8), 0.025, (rng.uniform(0.12, 0.24),) * 3)
    for _ in range(12):
        scrap(rng.uniform(-12, 12), rng.uniform(-2.8, 8.8), 0.07, (rng.uniform(0.5, 0.8),) * 3)
    meshes.append(litter.mesh("Litter", painted))
    return meshes


def _smooth(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return surfaces.noise(rng, 128, 22)[: shape[0], : shape[1]]


def _houses(rng: np.random.Generator) -> list[Prop]:
    """Both rows of houses, and one across each end of the street."""
    houses = []
    for side, y, yaw in (("North", NORTH_M, 0.0), ("South", SOUTH_M, 180.0)):
        x, shops = -42.0, rng.permutation(SHOPS)
        for number in range(1, 20):
            wide = float(rng.uniform(5.5, 8.5))
            near = -16.0 < x + 0.5 * wide < 16.0
            house = House(f"{side}_{number}", str(shops[number % len(shops)]), wide, int(rng.integers(2, 5)), near)
            houses.append(make_house(house, (x + 0.5 * wide, y, 0.0), yaw, rng))
            x += wide
            if x > 42.0:
                break
    for side, x, yaw in (("West", -44.0, 90.0), ("East", 44.0, -90.0)):
        house = House(side, "HOTEL", NORTH_M - SOUTH_M + 8.0, 4, False)
        houses.append(make_house(house, (x, (NORTH_M + SOUTH_M) / 2, -KERB_HEIGHT_M), yaw, rng))
    return houses


def _props(rng: np.random.Generator) -> list[Prop]:
    def row(make: Callable[..., Prop], *spots: tuple[float, ...], z: float = 0.0, **how: object) -> list[Prop]:
        return [make(number, (x, y, z), yaw, rng, **how) for number, (x, y, yaw) in enumerate(spots, 1)]

    road_z = -KERB_HEIGHT_M
    parked = [(x, -4.0, 0) for x in (-12.0, -17.5, 12.0, 17.6, -24.0)]
    parked += [(x, -8.0, 180) for x in (0.6, -11.0, 11.8, -18.0)]
    van = make_car(20, (17.8, -8.0, road_z), 180, rng, kind="van")
    return [
        *row(make_street_lamp, (-10.2, -2.5, 0), (0.0, -2.5, 0), (10.2, -2.5, 0), (1.5, -9.5, 180), (-13.0, -9.5, 180)),
        *row(make_bench, (-5.6, 8.2, 0), (2.2, 8.2, 0), (-11.6, 8.2, 0), (8.6, -2.3, 180)),
        *row(make_bin, (-4.0, 8.3, 0), (-7.4, -2.4, 0), (12.6, 8.3, 0), (-7.6, -12.3, 180)),
        *row(make_wheeled_bin, (-9.5, 8.5, 0), (-8.9, 8.5, 4)),
        *row(make_bollard, (-3.3, -2.75, 0), (4.3, -2.75, 0), (-9.4, -2.75, 0), (-11.0, -9.25, 0), (-2.0, -9.25, 0)),
        *row(make_traffic_light, (-6.7, -2.75, 90), (7.7, -2.75, -90), (-3.3, -9.3, 90)),
        *row(make_railing, (-1.3, -2.8, 0), (1.3, -2.8, 0), (11.9, -2.8, 0), length_m=1.7),
        *row(make_planter, (-10.8, 3.4, 0), (10.9, 3.2, 0)),
        *row(make_car, *parked, z=road_z),
        van,
        *row(make_sign, (-8.6, -2.7, 0), (10.6, -2.7, 0), (4.0, -9.4, 180), (-2.6, -9.4, 180)),
        *row(make_bicycle, (-7.9, -2.55, 62), (-8.5, -2.55, 70), (10.9, -2.4, 100), (7.2, 8.3, 4), (-1.6, -2.55, 3)),
        *row(make_bicycle_stand, (-12.2, -1.7, 0), (12.5, -1.6, 0), hoops=3),
        *row(make_motor_scooter, (2.3, -3.75, 82), (3.1, -3.7, 78), (9.2, -3.6, 95), z=road_z),
        *row(make_kick_scooter, (3.5, -2.4, 70), (3.9, -2.35, 64), (-9.6, -2.2, 30)),
        *row(make_board, (-0.9, 7.8, 0), (9.9, 6.0, 20), (-6.9, 7.9, 0)),
        *row(make_cafe_table, (-12.6, 5.4, 0), (-12.9, 1.0, 0), (12.8, 5.6, 0), (12.9, 1.2, 0)),
        *row(make_kiosk, (-13.6, 3.2, 90)),
        *row(make_market_stall, (11.0, 8.05, 0)),
        *row(make_vending_machine, (4.7, 8.5, 0)),
        *row(make_letter_box, (-2.4, 8.45, 0)),
        *row(make_hydrant, (5.0, 8.0, 0), (-12.6, -9.4, 180)),
        *row(make_bus_shelter, (-9.4, -10.3, 180)),
        *row(make_barrier, (0.9, -5.6, 78), (3.6, -5.7, 98), z=road_z),
        *row(make_cone, (1.2, -4.5, 0), (2.2, -4.4, 0), (3.4, -4.5, 0), (1.5, -6.9, 0), (3.2, -6.9, 0), z=road_z),
    ]
