"""Scene 1, a city street: a wide pavement with shops, a road with a crossing, clutter that hides people.

Layout (metres): shops along y = 9 face south, pavement y -3 ... 9, road y -9 ... -3, southern pavement
y -13 ... -9, shops along y = -13.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from unrealperson.synth import surfaces
from unrealperson.synth.scenes import Mesh

NORTH_M, KERB_NORTH_M, KERB_SOUTH_M, SOUTH_M = 9.0, -3.0, -9.0, -13.0
REACH_M = 60.0
KERB_HEIGHT_M = 0.12
BOUNDS = (-15.0, -12.9, 15.0, 8.9)
CROSSINGS_M = (-5.0, 6.0)


class _Solid:
    """Gathers the faces of one object."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self._count = 0

    def add(
        self, positions: np.ndarray, normals: np.ndarray, uv: np.ndarray, color: ArrayLike, faces: np.ndarray
    ) -> None:
        colors = np.broadcast_to(np.asarray(color, np.float32), positions.shape)
        self._parts.append((positions, normals, uv, colors, np.asarray(faces) + self._count))
        self._count += len(positions)

    def quad(self, corners: np.ndarray, color: ArrayLike = (1, 1, 1), uv: np.ndarray | None = None) -> None:
        """A flat face; corners counter-clockwise as seen from outside, the first one at uv 0, 0."""
        corners = np.asarray(corners, float)
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        normal /= np.linalg.norm(normal)
        if uv is None:
            uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
        self.add(corners, np.tile(normal, (4, 1)), np.asarray(uv, float), color, np.array([[0, 1, 2], [0, 2, 3]]))

    def floor(self, x0: float, y0: float, x1: float, y1: float, z: float, color: ArrayLike) -> None:
        """A level rectangle; its texture covers one metre."""
        flat = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        self.quad(np.column_stack([flat, np.full(4, z)]), color, flat)

    def box(
        self,
        center: Sequence[float],
        size: Sequence[float],
        color: ArrayLike = (1, 1, 1),
        *,
        yaw_deg: float = 0.0,
        taper: float = 1.0,
        tile_m: float = 1.0,
    ) -> None:
        """A box that stands on `center` (its foot); `taper` scales its top."""
        cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
        x, y, z = (0.5 * size[0], 0.5 * size[1], size[2])

        def corner(sx: float, sy: float, top: bool) -> tuple[float, float, float]:
            scale = taper if top else 1.0
            px, py = sx * x * scale, sy * y * scale
            return center[0] + cos * px - sin * py, center[1] + sin * px + cos * py, center[2] + (z if top else 0.0)

        ring = [(1, -1), (1, 1), (-1, 1), (-1, -1)]
        for (ax, ay), (bx, by) in zip(ring, ring[1:] + ring[:1], strict=True):
            wide = 2 * (y if ax == bx else x) / tile_m
            uv = np.array([[0, 0], [wide, 0], [wide, z / tile_m], [0, z / tile_m]])
            self.quad(
                np.array([corner(ax, ay, False), corner(bx, by, False), corner(bx, by, True), corner(ax, ay, True)]),
                color,
                uv,
            )
        uv = np.array([[0, 0], [2 * x, 0], [2 * x, 2 * y], [0, 2 * y]]) / tile_m
        self.quad(
            np.array([corner(-1, -1, True), corner(1, -1, True), corner(1, 1, True), corner(-1, 1, True)]), color, uv
        )

    def tube(
        self,
        start: ArrayLike,
        end: ArrayLike,
        radius: float,
        color: ArrayLike = (1, 1, 1),
        *,
        end_radius: float | None = None,
        sides: int = 10,
        cap: bool = True,
    ) -> None:
        """A cylinder or cone between two points."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        axis = (b - a) / np.linalg.norm(b - a)
        side = np.cross(axis, [1.0, 0, 0] if abs(axis[0]) < 0.9 else [0, 1.0, 0])
        side /= np.linalg.norm(side)
        other = np.cross(axis, side)
        angle = np.linspace(0, 2 * np.pi, sides + 1)
        ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
        top = ring * (radius if end_radius is None else end_radius)
        positions = np.concatenate([a + ring * radius, b + top])
        share = np.linspace(0, 1, sides + 1)
        length = np.linalg.norm(b - a)
        uv = np.concatenate(
            [np.stack([share, np.zeros_like(share)], 1), np.stack([share, np.full_like(share, length)], 1)]
        )
        i = np.arange(sides)
        low, high = i, i + sides + 1
        faces = np.concatenate([np.stack([low, low + 1, high + 1], 1), np.stack([low, high + 1, high], 1)])
        self.add(positions, np.concatenate([ring, ring]), uv, np.asarray(color), faces)
        if cap:
            fan = np.stack([np.zeros(sides - 2, int), np.arange(1, sides - 1), np.arange(2, sides)], 1)
            self.add(b + top[:-1], np.tile(axis, (sides, 1)), 0.5 + 0.5 * ring[:-1, :2], np.asarray(color), fan)

    def ball(
        self, center: Sequence[float], radii: Sequence[float], color: ArrayLike, *, rough: np.ndarray | None = None
    ) -> None:
        """An ellipsoid of 8 x 14 faces; `rough` [9, 15] scales its radius."""
        polar, around = np.meshgrid(np.linspace(0, np.pi, 9), np.linspace(0, 2 * np.pi, 15), indexing="ij")
        unit = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
        scale = np.ones((9, 15)) if rough is None else rough
        positions = np.asarray(center) + unit * np.asarray(radii) * scale[..., None]
        uv = np.stack([around, polar], -1) * (2 / np.pi)
        i, j = np.meshgrid(np.arange(8), np.arange(14), indexing="ij")
        a = (i * 15 + j).ravel()
        faces = np.concatenate([np.stack([a, a + 15, a + 16], 1), np.stack([a, a + 16, a + 1], 1)])
        self.add(positions.reshape(-1, 3), unit.reshape(-1, 3), uv.reshape(-1, 2), np.asarray(color), faces)

    def mesh(self, name: str, texture: np.ndarray, gloss: float = 0.0) -> Mesh:
        positions, normals, uv, colors, faces = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        return Mesh(
            name,
            positions.astype(np.float32),
            normals.astype(np.float32),
            uv.astype(np.float32),
            colors.astype(np.float32),
            faces.astype(np.uint32),
            texture,
            gloss,
        )


def build_street(
    rng: np.random.Generator,
) -> tuple[tuple[Mesh, ...], tuple[np.ndarray, ...], np.ndarray, tuple[float, float, float, float]]:
    """Builds the street.

    Args:
        rng: chooses textures and clutter.

    Returns:
        Meshes, paths, obstacles and bounds, as in `Scene`.
    """
    painted = surfaces.plaster(rng)
    meshes = _ground(rng, painted) + _buildings(rng, painted)
    props, obstacles = _props(rng, painted)
    return tuple(meshes + props), _paths(), np.array(obstacles), BOUNDS


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
        solid = _Solid()
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
    kerbs = _Solid()
    for y, facing in ((KERB_NORTH_M, -1), (KERB_SOUTH_M, 1)):
        for x in np.arange(-40.0, 40.0, 1.0):
            tone = rng.uniform(0.75, 1.0)
            kerbs.box(
                (x + 0.5, y - facing * 0.08, road_z), (0.985, 0.2, KERB_HEIGHT_M + 0.012), (tone, tone, tone * 0.98)
            )
    meshes.append(kerbs.mesh("Kerbs", surfaces.plaster(rng, (0.62, 0.61, 0.59))))
    paint = _Solid()
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
    iron = _Solid()
    for x, y, size in ((-3.0, -1.6, 0.6), (7.2, 4.4, 0.5), (1.6, -5.0, 0.65), (-9.0, -7.4, 0.65), (3.0, 7.6, 0.4)):
        iron.floor(x, y, x + size, y + size, 0.004 if y > KERB_NORTH_M else road_z + 0.004, (0.25,) * 3)
    meshes.append(iron.mesh("Covers", surfaces.slabs(rng, (0.5, 0.48, 0.46), 10, 5, 128), 0.3))
    bands = _Solid()
    for x in np.arange(-30.0, 30.1, 6.0):
        bands.floor(x - 0.3, KERB_NORTH_M + 0.12, x + 0.3, NORTH_M, 0.003, (0.5, 0.48, 0.46))
    bands.floor(-30.0, 2.7, 30.0, 3.3, 0.0035, (0.5, 0.48, 0.46))
    for crossing in CROSSINGS_M:
        bands.floor(crossing - 1.5, KERB_NORTH_M + 0.15, crossing + 1.5, KERB_NORTH_M + 0.95, 0.005, (0.85, 0.62, 0.3))
        bands.floor(crossing - 1.5, KERB_SOUTH_M - 0.95, crossing + 1.5, KERB_SOUTH_M - 0.15, 0.005, (0.85, 0.62, 0.3))
    meshes.append(bands.mesh("Bands", surfaces.slabs(rng, (0.6, 0.58, 0.56), 6, 6, 256)))
    litter = _Solid()
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
            name = f"Building_{side}_{number}"
            x0, x1 = (x, x + wide) if facing < 0 else (x + wide, x)
            low, top = 3.6, 3.6 + 3.1 * int(rng.integers(2, 5))
            front = _Solid()
            front.quad(np.array([[x0, y, 0], [x1, y, 0], [x1, y, low], [x0, y, low]]))
            meshes.append(front.mesh(f"Shop_{side}_{number}", surfaces.shop_front(rng), 0.25))
            upper = _Solid()
            upper.quad(np.array([[x0, y, low], [x1, y, low], [x1, y, top], [x0, y, top]]))
            back = y - facing * 10.0
            upper.quad(
                np.array([[x0, y, top], [x1, y, top], [x1, back, top], [x0, back, top]]), (0.5,) * 3, np.zeros((4, 2))
            )
            wall = walls[int(rng.integers(len(walls)))]
            meshes.append(
                upper.mesh(name, surfaces.facade(rng, wall, round((top - low) / 3.1), max(int(wide / 1.9), 2)))
            )
            trim = _Solid()
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
        end = _Solid()
        uv = np.array([[0, 0], [3, 0], [3, 1.5], [0, 1.5]])
        end.quad(np.array([[x, y0, -0.2], [x, y1, -0.2], [x, y1, 16], [x, y0, 16]]), (0.9,) * 3, uv)
        meshes.append(end.mesh(f"Building_{side}", surfaces.facade(rng, walls[int(rng.integers(len(walls)))], 4, 5)))
    return meshes


def _props(rng: np.random.Generator, painted: np.ndarray) -> tuple[list[Mesh], list[tuple[float, float, float]]]:
    meshes: list[Mesh] = []
    obstacles: list[tuple[float, float, float]] = []
    bark, leaves = surfaces.bark(rng), surfaces.leaves(rng)
    for number, x in enumerate((-13.6, -2.6, 2.6, 13.8), 1):
        meshes += _tree(rng, f"Tree_{number}", x, -2.1, bark, leaves, painted)
        obstacles.append((x, -2.1, 0.35))
    for number, (x, y) in enumerate(((-10.2, -2.5), (0.0, -2.5), (10.2, -2.5), (1.5, -9.5), (-13.0, -9.5)), 1):
        lamp = _Solid()
        lamp.tube((x, y, 0), (x, y, 0.9), 0.09, (0.09, 0.1, 0.1))
        lamp.tube((x, y, 0.9), (x, y, 5.6), 0.055, (0.09, 0.1, 0.1))
        lamp.tube((x, y, 5.55), (x, y - 1.1, 5.75), 0.04, (0.09, 0.1, 0.1))
        lamp.box((x, y - 1.25, 5.7), (0.25, 0.6, 0.1), (0.12, 0.12, 0.13))
        meshes.append(lamp.mesh(f"Lamp_{number}", painted, 0.2))
        obstacles.append((x, y, 0.15))
    for number, (x, y, yaw) in enumerate(((-5.6, 8.2, 0), (2.2, 8.2, 0), (-11.6, 8.2, 0), (8.6, -2.3, 0)), 1):
        bench = _Solid()
        for offset in (-0.18, 0.0, 0.18):
            bench.box((x, y + offset, 0.42), (1.7, 0.14, 0.045), (0.3, 0.19, 0.11), yaw_deg=yaw)
        for height in (0.6, 0.78):
            bench.box((x, y + 0.28, height), (1.7, 0.04, 0.13), (0.3, 0.19, 0.11), yaw_deg=yaw)
        for offset in (-0.7, 0.7):
            bench.box((x + offset, y, 0), (0.06, 0.45, 0.42), (0.05, 0.05, 0.055))
            bench.box((x + offset, y + 0.25, 0), (0.05, 0.05, 0.9), (0.05, 0.05, 0.055))
        meshes.append(bench.mesh(f"Bench_{number}", painted, 0.05))
        obstacles += [(x - 0.5, y, 0.4), (x, y, 0.4), (x + 0.5, y, 0.4)]
    for number, (x, y) in enumerate(((-4.0, 8.3), (-7.4, -2.4), (12.6, 8.3), (-7.6, -12.3)), 1):
        bin_ = _Solid()
        bin_.tube((x, y, 0.05), (x, y, 0.85), 0.24, (0.06, 0.09, 0.075), sides=14)
        bin_.tube((x, y, 0.85), (x, y, 0.95), 0.27, (0.03, 0.03, 0.03), sides=14, end_radius=0.2)
        meshes.append(bin_.mesh(f"Bin_{number}", painted, 0.15))
        obstacles.append((x, y, 0.3))
    for number, x in enumerate((-3.3, -6.7, 4.3, 7.7), 1):
        bollard = _Solid()
        bollard.tube((x, -2.75, 0), (x, -2.75, 0.95), 0.07, (0.07, 0.07, 0.075))
        bollard.tube((x, -2.75, 0.78), (x, -2.75, 0.86), 0.073, (0.7, 0.68, 0.62))
        meshes.append(bollard.mesh(f"Bollard_{number}", painted, 0.2))
        obstacles.append((x, -2.75, 0.1))
    for number, (x, y) in enumerate(((-10.8, 3.4), (10.9, 3.2)), 1):
        meshes += _planter(rng, f"Planter_{number}", x, y, leaves)
        obstacles += [(x - 0.35, y, 0.55), (x + 0.35, y, 0.55)]
    paints = [
        (0.32, 0.03, 0.03),
        (0.5, 0.5, 0.52),
        (0.03, 0.035, 0.05),
        (0.05, 0.09, 0.2),
        (0.6, 0.6, 0.58),
        (0.12, 0.13, 0.13),
    ]
    cars = (
        (-12.0, -4.0),
        (-17.5, -4.0),
        (0.2, -8.0),
        (12.0, -4.0),
        (17.6, -4.0),
        (-10.4, -8.0),
        (11.8, -8.0),
    )
    for number, (x, y) in enumerate(cars, 1):
        meshes.append(_car(f"Car_{number}", x, y, paints[int(rng.integers(len(paints)))], painted, 1 if y > -6 else -1))
        obstacles += [(x + offset, y, 0.95) for offset in (-1.4, -0.5, 0.5, 1.4)]
    for number, (x, y, kind) in enumerate(((-8.6, -2.7, 0), (10.2, -2.7, 1), (4.0, -9.4, 2), (-2.9, -9.4, 0)), 1):
        sign = _Solid()
        sign.tube((x, y, 0), (x, y, 2.5), 0.03, (0.4, 0.41, 0.42))
        face = ((0.02, 0.1, 0.45), (0.5, 0.03, 0.03), (0.7, 0.68, 0.6))[kind]
        sign.box((x, y - 0.05, 2.0), (0.5, 0.02, 0.55), face)
        sign.box((x, y - 0.065, 2.2), (0.3, 0.01, 0.12), (0.85, 0.85, 0.85))
        meshes.append(sign.mesh(f"Sign_{number}", painted, 0.2))
        obstacles.append((x, y, 0.1))
    for number, (x, y, yaw) in enumerate(((-7.9, -2.6, 62), (-8.5, -2.6, 70), (10.9, -2.5, 100), (7.2, 8.3, 4)), 1):
        tone = rng.choice([[0.4, 0.04, 0.04], [0.05, 0.12, 0.3], [0.03, 0.03, 0.03], [0.3, 0.32, 0.33]])
        meshes.append(_bicycle(f"Bicycle_{number}", x, y, yaw, tone, painted))
        along = np.array([math.cos(math.radians(yaw)), math.sin(math.radians(yaw))])
        obstacles += [(x + along[0] * at, y + along[1] * at, 0.3) for at in (-0.5, 0.0, 0.5)]
    for number, (x, y) in enumerate(((-0.9, 7.8), (9.9, 6.0), (-6.9, 7.9)), 1):
        board = _Solid()
        tone = rng.choice([[0.05, 0.05, 0.05], [0.35, 0.06, 0.05], [0.05, 0.15, 0.1]])
        for side in (-1, 1):
            for half, low, high, out, color in ((0.3, 0.0, 1.0, 0.0, tone), (0.25, 0.12, 0.92, 0.01, (0.6, 0.58, 0.5))):
                near, far = y + side * (0.05 + out), y + side * (0.3 + out)
                at_low, at_high = far + (near - far) * low, far + (near - far) * high
                corners = [(x - half, at_low, low), (x + half, at_low, low), (x + half, at_high, high)]
                corners.append((x - half, at_high, high))
                board.quad(np.array(corners if side < 0 else corners[::-1]), color)
        meshes.append(board.mesh(f"Board_{number}", painted))
        obstacles.append((x, y, 0.38))
    for number, (x, y) in enumerate(((-12.6, 5.4), (-12.9, 1.0), (12.8, 5.6), (12.9, 1.2)), 1):
        meshes.append(_cafe_table(rng, f"Table_{number}", x, y, painted))
        obstacles.append((x, y, 1.0))
    return meshes, obstacles


def _bicycle(name: str, x: float, y: float, yaw_deg: float, paint: Sequence[float], painted: np.ndarray) -> Mesh:
    bicycle = _Solid()
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))

    def at(along: float, up: float, across: float = 0.0) -> tuple[float, float, float]:
        return x + cos * along - sin * (across + 0.1 * up), y + sin * along + cos * (across + 0.1 * up), up

    for hub in (-0.52, 0.52):
        rim = [at(hub + 0.33 * math.cos(a), 0.34 + 0.33 * math.sin(a)) for a in np.linspace(0, 2 * np.pi, 15)]
        for start, end in pairwise(rim):
            bicycle.tube(start, end, 0.022, (0.02,) * 3, sides=5, cap=False)
        for angle in np.linspace(0, np.pi, 6)[:-1]:
            across = 0.32 * math.cos(angle), 0.32 * math.sin(angle)
            bicycle.tube(
                at(hub - across[0], 0.34 - across[1]), at(hub + across[0], 0.34 + across[1]), 0.004, (0.4,) * 3, sides=3
            )
    crank, saddle, head, front, rear = (-0.08, 0.3), (-0.22, 0.85), (0.36, 0.82), (0.52, 0.34), (-0.52, 0.34)
    for a, b in ((crank, saddle), (crank, head), (saddle, head), (head, front), (saddle, rear), (crank, rear)):
        bicycle.tube(at(*a), at(*b), 0.02, paint, sides=6)
    bicycle.tube(at(0.32, 1.0, -0.26), at(0.32, 1.0, 0.26), 0.014, (0.1,) * 3, sides=6)
    bicycle.tube(at(*head), at(0.32, 1.0), 0.016, (0.3,) * 3, sides=6)
    bicycle.box(at(-0.24, 0.88), (0.26, 0.14, 0.06), (0.03,) * 3, yaw_deg=yaw_deg)
    return bicycle.mesh(name, painted, 0.2)


def _cafe_table(rng: np.random.Generator, name: str, x: float, y: float, painted: np.ndarray) -> Mesh:
    table = _Solid()
    table.tube((x, y, 0.02), (x, y, 0.72), 0.035, (0.1,) * 3)
    table.tube((x, y, 0.7), (x, y, 0.73), 0.36, (0.55, 0.42, 0.28), sides=16)
    table.tube((x, y, 0), (x, y, 0.03), 0.22, (0.1,) * 3)
    wood = (0.32, 0.2, 0.11)
    for angle in rng.uniform(0, 1) + np.arange(3) * 2.1:
        cx, cy, yaw = x + 0.72 * math.cos(angle), y + 0.72 * math.sin(angle), math.degrees(angle)
        table.box((cx, cy, 0.43), (0.4, 0.4, 0.035), wood, yaw_deg=yaw)
        back = (cx + 0.2 * math.cos(angle), cy + 0.2 * math.sin(angle))
        table.box((*back, 0.55), (0.03, 0.38, 0.32), wood, yaw_deg=yaw)
        for side in (-0.17, 0.17):
            dx, dy = -side * math.sin(angle), side * math.cos(angle)
            table.box((back[0] + dx, back[1] + dy, 0), (0.03, 0.03, 0.88), wood, yaw_deg=yaw)
            leg = (cx - 0.17 * math.cos(angle) + dx, cy - 0.17 * math.sin(angle) + dy)
            table.box((*leg, 0), (0.03, 0.03, 0.44), wood, yaw_deg=yaw)
    tone = rng.choice([[0.5, 0.46, 0.38], [0.3, 0.05, 0.05], [0.06, 0.13, 0.1]])
    table.tube((x, y, 0.7), (x, y, 2.5), 0.025, (0.25,) * 3)
    table.tube((x, y, 2.15), (x, y, 2.6), 1.25, tone, end_radius=0.03, sides=8, cap=False)
    return table.mesh(name, painted)


def _tree(
    rng: np.random.Generator, name: str, x: float, y: float, bark: np.ndarray, leaves: np.ndarray, painted: np.ndarray
) -> list[Mesh]:
    trunk = _Solid()
    lean = rng.uniform(-0.25, 0.25, 2)
    trunk.tube((x, y, 0), (x + lean[0], y + lean[1], 3.0), 0.15, (0.8,) * 3, end_radius=0.1)
    crown = _Solid()
    for _ in range(5):
        tip = np.array([x, y, 4.4]) + rng.uniform(-1, 1, 3) * (1.1, 1.1, 0.7)
        trunk.tube((x + lean[0], y + lean[1], 2.8), tip, 0.06, (0.7,) * 3, end_radius=0.03, cap=False)
        for _ in range(130):
            spread = rng.normal(0, 1, 3)
            at = tip + spread * (0.55, 0.55, 0.4)
            u, v = rng.normal(0, 1, (2, 3))
            u *= rng.uniform(0.1, 0.17) / np.linalg.norm(u)
            v *= rng.uniform(0.06, 0.14) / np.linalg.norm(v)
            shade = rng.uniform(0.45, 1.0) * (1 + 0.2 * spread[2])
            patch = rng.uniform(0, 1, 2) + np.array([[0, 0], [0.3, 0], [0.3, 0.3], [0, 0.3]])
            crown.quad(np.array([at - u, at - v, at + u, at + v]), (shade, shade, shade), patch)
    grate = _Solid()
    grate.floor(x - 0.6, y - 0.6, x + 0.6, y + 0.6, 0.004, (0.12, 0.1, 0.08))
    return [
        trunk.mesh(f"{name}_Trunk", bark),
        crown.mesh(f"{name}_Crown", leaves),
        grate.mesh(f"{name}_Grate", painted),
    ]


def _planter(rng: np.random.Generator, name: str, x: float, y: float, leaves: np.ndarray) -> list[Mesh]:
    tub = _Solid()
    tub.box((x, y, 0), (1.5, 0.8, 0.5), (0.55, 0.54, 0.52))
    shrub = _Solid()
    for offset in (-0.5, -0.15, 0.2, 0.52):
        rough = 1 + 0.22 * rng.standard_normal((9, 15))
        rough[:, -1] = rough[:, 0]
        tone = rng.uniform(0.7, 1.1)
        shrub.ball((x + offset, y, 0.65), (0.3, 0.36, rng.uniform(0.3, 0.45)), (tone,) * 3, rough=rough)
    return [
        tub.mesh(f"{name}_Tub", surfaces.slabs(rng, (0.6, 0.58, 0.55), 3, 2, 128)),
        shrub.mesh(f"{name}_Shrub", leaves),
    ]


def _car(name: str, x: float, y: float, paint: Sequence[float], painted: np.ndarray, heading: int) -> Mesh:
    car = _Solid()
    glass, rubber, low = (0.03, 0.035, 0.04), (0.015,) * 3, -KERB_HEIGHT_M
    car.box((x, y, low + 0.28), (4.3, 1.76, 0.3), paint, taper=1.0)
    car.box((x, y, low + 0.58), (4.26, 1.74, 0.28), paint, taper=0.96)
    car.box((x - 0.25 * heading, y, low + 0.86), (2.7, 1.6, 0.5), glass, taper=0.72)
    car.box((x - 0.25 * heading, y, low + 1.355), (1.96, 1.17, 0.03), paint)
    for sx in (-1.35, 1.35):
        for sy in (-0.8, 0.8):
            car.tube((x + sx, y + sy - 0.1, low + 0.32), (x + sx, y + sy + 0.1, low + 0.32), 0.32, rubber, sides=16)
            outer = y + sy + math.copysign(0.105, sy)
            car.tube(
                (x + sx, outer, low + 0.32),
                (x + sx, outer + math.copysign(0.01, sy), low + 0.32),
                0.2,
                (0.35,) * 3,
                sides=12,
            )
    for sy in (-0.62, 0.62):
        car.box((x + 2.13 * heading, y + sy, low + 0.55), (0.06, 0.34, 0.16), (0.8, 0.8, 0.75))
        car.box((x - 2.13 * heading, y + sy, low + 0.58), (0.06, 0.3, 0.16), (0.35, 0.02, 0.02))
    return car.mesh(name, painted, 0.6)
