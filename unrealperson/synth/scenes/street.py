"""Scene 1, a city street: a wide pavement with shops, a road with a crossing, clutter that hides people.

Layout (metres): shops along y = 9 face south, pavement y -3 ... 9, road y -9 ... -3, southern pavement
y -13 ... -9, shops along y = -13.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unrealperson.synth.scenes import surfaces
from unrealperson.synth.scenes.furniture import make_bench, make_bin, make_board, make_cafe_table, make_planter
from unrealperson.synth.scenes.plants import make_tree
from unrealperson.synth.scenes.roadside import make_bollard, make_sign, make_street_lamp
from unrealperson.synth.scenes.scene import Mesh, Prop, Scene
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.vehicles import make_bicycle, make_car
from unrealperson.synth.view import aimed

NUMBER = 1
NORTH_M, KERB_NORTH_M, KERB_SOUTH_M, SOUTH_M = 9.0, -3.0, -9.0, -13.0
REACH_M = 60.0
KERB_HEIGHT_M = 0.12
BOUNDS = (-15.0, -12.9, 15.0, 8.9)
CROSSINGS_M = (-5.0, 6.0)
TREES_M = ((-13.6, -2.1), (-2.6, -2.1), (2.6, -2.1), (13.8, -2.1))
VIEWS = (
    aimed((-10.4, 7.4, 3.8), (-3.2, 2.9, 0.6), 43.0),
    aimed((9.8, 7.3, 4.9), (3.0, 2.6, 0.6), 46.0, 0.8),
    aimed((-10.2, -2.4, 5.3), (-3.6, 2.2, 0.8), 46.0),
    aimed((10.0, -2.3, 2.9), (1.6, 3.2, 0.9), 44.0, -0.6),
    aimed((-0.6, 8.4, 3.2), (0.3, 1.8, 0.7), 62.0),
    aimed((1.5, -9.3, 4.6), (-4.3, -2.2, 0.7), 46.0),
)


def build_street(seed: int) -> Scene:
    """Builds the street.

    Args:
        seed: chooses textures and clutter.
    """
    rng = np.random.default_rng([seed, NUMBER, 10])
    painted = surfaces.plaster(rng)
    meshes = _ground(rng, painted) + _buildings(rng, painted)
    props = _props(rng)
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


def _ground(rng: np.random.Generator, painted: np.ndarray) -> list[Mesh]:
    def plane(name: str, y0: float, y1: float, z: float, texture: np.ndarray, tile_m: float) -> Mesh:
        solid = Solid()
        xs, ys = np.linspace(-REACH_M, REACH_M, 81), np.linspace(y0, y1, max(int((y1 - y0) / 1.0), 2) + 1)
        x, y = np.meshgrid(xs, ys, indexing="ij")
        positions = np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3)
        stain = 0.5 * _smooth(rng, x.shape) + 0.1 * rng.standard_normal(x.shape)
        wall = np.minimum(np.abs(y - NORTH_M), np.abs(y - SOUTH_M))
        shade = (1 + 0.16 * stain) * (1 - 0.4 * np.exp(-wall / 0.8))
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
        for x in np.arange(-40.0, 40.0, 1.0):
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
    for x, y, size in ((-3.0, -1.6, 0.6), (7.2, 4.4, 0.5), (1.6, -5.0, 0.65), (-9.0, -7.4, 0.65), (3.0, 7.6, 0.4)):
        iron.floor(x, y, x + size, y + size, 0.004 if y > KERB_NORTH_M else road_z + 0.004, (0.25,) * 3)
    meshes.append(iron.mesh("Covers", surfaces.slabs(rng, (0.5, 0.48, 0.46), 10, 5, 128), 0.3))
    bands = Solid()
    for x in np.arange(-30.0, 30.1, 6.0):
        bands.floor(x - 0.3, KERB_NORTH_M + 0.12, x + 0.3, NORTH_M, 0.003, (0.5, 0.48, 0.46))
    bands.floor(-30.0, 2.7, 30.0, 3.3, 0.0035, (0.5, 0.48, 0.46))
    for crossing in CROSSINGS_M:
        bands.floor(crossing - 1.5, KERB_NORTH_M + 0.15, crossing + 1.5, KERB_NORTH_M + 0.95, 0.005, (0.85, 0.62, 0.3))
        bands.floor(crossing - 1.5, KERB_SOUTH_M - 0.95, crossing + 1.5, KERB_SOUTH_M - 0.15, 0.005, (0.85, 0.62, 0.3))
    meshes.append(bands.mesh("Bands", surfaces.slabs(rng, (0.6, 0.58, 0.56), 6, 6, 256)))
    litter = Solid()
    for _ in range(260):
        x, y = rng.uniform(-14, 14), rng.uniform(KERB_NORTH_M, NORTH_M)
        u = rng.uniform(-0.07, 0.07, 2)
        leaf = rng.choice([[0.35, 0.2, 0.08], [0.3, 0.3, 0.1], [0.1, 0.09, 0.08]]) * rng.uniform(0.4, 1.0)
        corners = np.array([[x, y, 0.006], [x + u[0], y + u[1], 0.006], [x, y, 0.006], [x - u[1], y + u[0], 0.007]])
        corners[2] = corners[1] + corners[3] - corners[0]
        litter.quad(corners, leaf)
    meshes.append(litter.mesh("Litter", painted))
    return meshes


def _smooth(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return surfaces.noise(rng, 128, 14)[: shape[0], : shape[1]]


def _buildings(rng: np.random.Generator, painted: np.ndarray) -> list[Mesh]:
    walls = [
        (0.62, 0.5, 0.4),
        (0.52, 0.34, 0.28),
        (0.7, 0.66, 0.58),
        (0.48, 0.48, 0.47),
        (0.66, 0.6, 0.48),
        (0.56, 0.42, 0.36),
    ]
    meshes = []
    for side, y, facing in (("North", NORTH_M, -1), ("South", SOUTH_M, 1)):
        x = -42.0
        number = 0
        while x < 42.0:
            wide = float(rng.uniform(5.5, 8.5))
            number += 1
            step = 1 + (abs(x) > 8.0)
            name = f"Building_{side}_{number}"
            x0, x1 = (x, x + wide) if facing < 0 else (x + wide, x)
            low, top = 3.6, 3.6 + 3.1 * int(rng.integers(2, 5))
            front = Solid()
            front.quad(np.array([[x0, y, 0], [x1, y, 0], [x1, y, low], [x0, y, low]]))
            meshes.append(front.mesh(f"Shop_{side}_{number}", surfaces.shop_front(rng)[::step, ::step], 0.25))
            upper = Solid()
            upper.quad(np.array([[x0, y, low], [x1, y, low], [x1, y, top], [x0, y, top]]))
            back = y - facing * 10.0
            upper.quad(
                np.array([[x0, y, top], [x1, y, top], [x1, back, top], [x0, back, top]]), (0.5,) * 3, np.zeros((4, 2))
            )
            wall = walls[int(rng.integers(len(walls)))]
            meshes.append(
                upper.mesh(
                    name,
                    surfaces.facade(
                        rng, wall, round((top - low) / 3.1), max(int(wide / 1.9), 2), 512 if abs(x) < 14 else 256
                    ),
                )
            )
            trim = Solid()
            out = y + facing * 0.12
            for post in (x0, x1):
                trim.box((post, out, 0), (0.35, 0.24, low), (0.5, 0.49, 0.47))
            trim.box(((x0 + x1) / 2, out, low - 0.1), (wide, 0.3, 0.22), (0.55, 0.53, 0.5))
            if rng.random() < 0.6:
                tone = rng.choice([[0.35, 0.08, 0.07], [0.07, 0.14, 0.1], [0.5, 0.46, 0.36], [0.08, 0.1, 0.2]])
                near, far = y + facing * 0.05, y + facing * 1.25
                trim.quad(np.array([[x0, far, 2.45], [x1, far, 2.45], [x1, near, 2.95], [x0, near, 2.95]]), tone)
                trim.quad(np.array([[x0, far, 2.25], [x1, far, 2.25], [x1, far, 2.45], [x0, far, 2.45]]), tone * 0.9)
            meshes.append(trim.mesh(f"Trim_{side}_{number}", painted))
            x += wide
    for side, x, y0, y1 in (("West", -44.0, SOUTH_M - 4, NORTH_M + 4), ("East", 44.0, NORTH_M + 4, SOUTH_M - 4)):
        end = Solid()
        uv = np.array([[0, 0], [3, 0], [3, 1.5], [0, 1.5]])
        end.quad(np.array([[x, y0, -0.2], [x, y1, -0.2], [x, y1, 16], [x, y0, 16]]), (0.9,) * 3, uv)
        meshes.append(end.mesh(f"Building_{side}", surfaces.facade(rng, walls[int(rng.integers(len(walls)))], 4, 5)))
    return meshes


def _props(rng: np.random.Generator) -> list[Prop]:
    def row(make: Callable[..., Prop], *spots: tuple[float, ...], z: float = 0.0) -> list[Prop]:
        return [make(number, (x, y, z), yaw, rng) for number, (x, y, yaw) in enumerate(spots, 1)]

    cars = [
        (-12.0, -4.0, 0),
        (-17.5, -4.0, 0),
        (0.2, -8.0, 180),
        (12.0, -4.0, 0),
        (17.6, -4.0, 0),
        (-10.4, -8.0, 180),
        (11.8, -8.0, 180),
    ]
    return [
        *row(make_street_lamp, (-10.2, -2.5, 0), (0.0, -2.5, 0), (10.2, -2.5, 0), (1.5, -9.5, 180), (-13.0, -9.5, 180)),
        *row(make_bench, (-5.6, 8.2, 0), (2.2, 8.2, 0), (-11.6, 8.2, 0), (8.6, -2.3, 180)),
        *row(make_bin, (-4.0, 8.3, 0), (-7.4, -2.4, 0), (12.6, 8.3, 0), (-7.6, -12.3, 180)),
        *row(make_bollard, (-3.3, -2.75, 0), (-6.7, -2.75, 0), (4.3, -2.75, 0), (7.7, -2.75, 0)),
        *row(make_planter, (-10.8, 3.4, 0), (10.9, 3.2, 0)),
        *row(make_car, *cars, z=-KERB_HEIGHT_M),
        *row(make_sign, (-8.6, -2.7, 0), (10.2, -2.7, 0), (4.0, -9.4, 180), (-2.9, -9.4, 180)),
        *row(make_bicycle, (-7.9, -2.6, 62), (-8.5, -2.6, 70), (10.9, -2.5, 100), (7.2, 8.3, 4)),
        *row(make_board, (-0.9, 7.8, 0), (9.9, 6.0, 20), (-6.9, 7.9, 0)),
        *row(make_cafe_table, (-12.6, 5.4, 0), (-12.9, 1.0, 0), (12.8, 5.6, 0), (12.9, 1.2, 0)),
    ]
