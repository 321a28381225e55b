"""Dwelling houses: brick or plaster walls with recessed windows, balconies, entrance steps, cellar windows, pipes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes import evening
from unrealperson.synth.scenes.lamps import Lamp
from unrealperson.synth.scenes.scene import Prop
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.surfaces import Rgb, finish, grain, noise, plaster, slabs

PLINTH_M, STOREY_M, RECESS_M = 0.54, 2.9, 0.16
WALL_TILE_M = 2.4
SILL_M, LINTEL_M = 0.85, 2.4
CELLS = 4
METAL, STONE, DARK = (0.2, 0.205, 0.21), (0.32, 0.31, 0.29), (0.02, 0.02, 0.022)


def brickwork(rng: np.random.Generator, tones: Sequence[Rgb], size: int = 512) -> np.ndarray:
    """Running bond, 32 courses of 10 bricks, burnt unevenly, in grey mortar; covers `WALL_TILE_M` metres.

    Args:
        rng: source of the tones.
        tones: sRGB colours of the bricks, 0 ... 1.
        size: side in pixels.
    """
    y, x = np.mgrid[0:size, 0:size]
    course, rows, columns = y * 32 // size, 32, 10
    along = (x + (course % 2) * size // (2 * columns)) % size
    brick = along * columns // size
    tone = np.asarray(tones)[rng.integers(0, len(tones), (rows, columns))] * rng.uniform(0.82, 1.14, (rows, columns, 1))
    value = tone[course, brick] * grain(rng, size, fine=0.07, coarse=0.08)
    joint = (y * rows % size < 2 * rows) | (along * columns % size < 2 * columns)
    value[joint] = np.array([0.55, 0.53, 0.5]) * rng.uniform(0.85, 1.1, (int(joint.sum()), 1))
    return finish(value)


def render_coat(rng: np.random.Generator, color: Rgb, size: int = 512) -> np.ndarray:
    """Plaster with patches, rain streaks and cracks; covers `WALL_TILE_M` metres.

    Args:
        rng: source of the stains.
        color: sRGB, 0 ... 1.
        size: side in pixels.
    """
    value = plaster(rng, color, size).astype(np.float32) / 255 * grain(rng, size, fine=0.03, coarse=0.06)
    streaks = noise(rng, size, 48)[:1] * np.clip(noise(rng, size, 4), 0, 1)
    value *= 1 + 0.12 * streaks[..., None]
    crack = np.abs(noise(rng, size, 5) + 0.5 * noise(rng, size, 20)) < 0.006
    value[crack] *= 0.8
    return finish(value)


def windows(rng: np.random.Generator, frame: Rgb, size: int = 512) -> np.ndarray:
    """An atlas of 4 x 4 windows: curtains, blinds, plants on the sill, dark rooms, a mirrored sky.

    Args:
        rng: source of what each window shows.
        frame: sRGB of the frames, 0 ... 1.
        size: side in pixels.
    """
    cell = size // CELLS
    image, shine = np.empty((size, size, 3)), np.zeros((size, size), np.float32)
    lit = evening.lit_rooms(evening.own_stream(rng), CELLS, CELLS, 0.45)
    y, x = np.mgrid[0:cell, 0:cell] / cell
    for number in range(CELLS**2):
        top, left = number // CELLS * cell, number % CELLS * cell
        room = np.ones((cell, cell, 3)) * np.array([0.1, 0.11, 0.13]) * rng.uniform(0.6, 1.8)
        kind = number % 5
        cloth = rng.uniform(0.55, 0.85) * np.array([1.0, 0.97, 0.9]) * (0.85 + 0.12 * np.sin(60 * x))[..., None]
        if kind in (0, 3):
            drawn = np.abs(x - 0.5) > rng.uniform(0.18, 0.42)
            room[drawn] = cloth[drawn]
        if kind == 1:
            drop = rng.uniform(0.25, 0.95)
            slat = (0.62 + 0.12 * (np.floor(y * 42) % 2))[..., None] * np.array([1.0, 0.98, 0.94])
            room[y < drop] = slat[y < drop]
        if kind == 2:
            room = 0.55 * cloth + 0.3 * room
        if kind in (3, 4):
            for _ in range(int(rng.integers(1, 4))):
                u, high = rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.4)
                plant = (np.abs(x - u) < 0.07 + 0.05 * np.sin(40 * y)) & (y > 0.95 - high)
                room[plant] = (0.13, 0.2, 0.08)
                room[(np.abs(x - u) < 0.06) & (y > 0.86)] = rng.uniform(0.2, 0.5, 3)
        glint = np.clip(0.5 + (x - y) * rng.uniform(0.2, 0.9) * rng.choice([-1, 1]), 0, 1)[..., None]
        room = 0.8 * room + rng.uniform(0.12, 0.35) * glint * np.array([0.55, 0.62, 0.72])
        edge = np.minimum.reduce([x, 1 - x, y, 1 - y])
        sash = rng.choice([0.5, 0.64])
        bars = (edge < 0.055) | (np.abs(x - sash) < 0.03)
        if number % 3 == 0:
            bars |= (np.abs(y - 0.3) < 0.02) & (x < sash)
        room[bars] = np.asarray(frame) * (0.88 + 0.12 * rng.random())
        room[((np.abs(edge - 0.058) < 0.008) | (np.abs(np.abs(x - sash) - 0.034) < 0.006)) & ~bars] *= 0.55
        image[top : top + cell, left : left + cell] = room
        shine[top : top + cell, left : left + cell] = lit[number // CELLS, number % CELLS] * ~bars
    return evening.with_shine(finish(image), shine)


class Facade:
    """Gathers one front of a house: along X from 0, facing -Y, its foot at z = 0.

    Args:
        rng: source of details.
        length_m: length of the front.
        storeys: rows of windows.
        bays: windows a row.
        trim: colour of sills and door surrounds.
    """

    def __init__(self, rng: np.random.Generator, length_m: float, storeys: int, bays: int, *, trim: Rgb = STONE):
        self.rng, self.length_m, self.storeys, self.bays, self.trim_color = rng, length_m, storeys, bays, trim
        self.height_m = PLINTH_M + storeys * STOREY_M + 0.35
        self.bay_m = length_m / bays
        self.wall, self.plinth, self.glass, self.trim = Solid(), Solid(), Solid(), Solid()
        self.obstacles: list[tuple[float, float, float]] = []
        self.lamps: list[Lamp] = []

    def front(self, *, entrances: Sequence[int] = (), balconies: Sequence[int] = (), plain: bool = False) -> None:
        """Walls, windows, cellar windows, pipes; `entrances` and `balconies` name bays; `plain` is for far houses."""
        rng, wide_m = self.rng, 0.68 * self.bay_m
        self._band(0.0, PLINTH_M, self.plinth)
        for bay in range(self.bays):
            middle = (bay + 0.5) * self.bay_m
            if not plain and bay not in entrances and bay % 2 == 0:
                self._cellar_window(middle + rng.uniform(-0.3, 0.3))
        for storey in range(self.storeys):
            floor = PLINTH_M + storey * STOREY_M
            stairs = {bay for bay in entrances if storey == 0}
            doors = {bay for bay in balconies if storey > 0}
            low = floor if stairs or doors else floor + SILL_M
            if low > floor:
                self._band(floor, low, self.wall)
            self._band(floor + LINTEL_M, floor + STOREY_M, self.wall)
            left = 0.0
            for bay in range(self.bays):
                middle = (bay + 0.5) * self.bay_m
                x0, x1 = middle - wide_m / 2, middle + wide_m / 2
                self._wall(left, x0, low, floor + LINTEL_M)
                left = x1
                if bay in stairs:
                    self._entrance(x0, x1, floor)
                else:
                    sill = floor + (0.1 if bay in doors else SILL_M)
                    if sill > low:
                        self._wall(x0, x1, low, sill)
                    self._window(x0, x1, sill, floor + LINTEL_M, plain=plain)
                if bay in doors:
                    self._balcony(middle, floor)
            self._wall(left, self.length_m, low, floor + LINTEL_M)
        self._band(self.height_m - 0.35, self.height_m, self.wall)
        self.trim.box((self.length_m / 2, -0.2, self.height_m - 0.1), (self.length_m + 0.3, 0.5, 0.14), METAL)
        for x in (0.25, self.length_m - 0.25):
            self.trim.tube((x, -0.1, 0.05), (x, -0.1, self.height_m - 0.1), 0.055, METAL, sides=7, cap=False)
            for z in np.arange(1.2, 0.0 if plain else self.height_m, 2.6):
                self.trim.box((x, -0.07, z), (0.16, 0.15, 0.05), METAL)
            self.trim.tube((x, -0.1, 0.08), (x, -0.32, 0.02), 0.055, METAL, sides=7, cap=False)

    def roof(self, depth_m: float) -> None:
        """A shed behind the front: side walls and a flat roof, so that the house has a body."""
        long, top = self.length_m, self.height_m
        for x, y0, y1 in ((0.0, depth_m, 0.0), (long, 0.0, depth_m)):
            corners = np.array([[x, y0, 0], [x, y1, 0], [x, y1, top], [x, y0, top]])
            uv = np.array([[0, 0], [depth_m, 0], [depth_m, top], [0, top]]) / WALL_TILE_M
            self.wall.quad(corners, (0.95,) * 3, uv)
        flat = np.array([[0, 0, top], [long, 0, top], [long, depth_m, top], [0, depth_m, top]])
        self.trim.quad(flat, (0.2, 0.2, 0.21))

    def prop(self, number: int, wall: np.ndarray, glass: np.ndarray, painted: np.ndarray) -> Prop:
        """The finished front; `number` goes into the names of its meshes."""
        stone = slabs(self.rng, (0.5, 0.49, 0.47), 3, 2, 256)
        return Prop(
            (
                self.wall.mesh(f"Building_{number}", wall),
                self.plinth.mesh(f"Plinth_{number}", stone),
                self.glass.mesh(f"Windows_{number}", glass, 0.35, evening.random_glow(evening.own_stream(self.rng))),
                self.trim.mesh(f"Trim_{number}", painted, 0.05),
            ),
            tuple(self.obstacles),
            tuple(self.lamps),
        )

    def _wall(self, x0: float, x1: float, z0: float, z1: float, solid: Solid | None = None, y: float = 0.0) -> None:
        corners = np.array([[x0, y, z0], [x1, y, z0], [x1, y, z1], [x0, y, z1]])
        shade = np.interp(corners[:, 2], [0, 0.4, 2.0, self.height_m - 0.7, self.height_m], [0.6, 0.82, 1, 1, 0.7])
        shade = shade * self.rng.uniform(0.96, 1.03, 4)
        (solid or self.wall).quad(corners, np.repeat(shade[:, None], 3, 1), corners[:, [0, 2]] / WALL_TILE_M)

    def _band(self, z0: float, z1: float, solid: Solid) -> None:
        edges = np.linspace(0, self.length_m, max(self.bays // 2, 1) + 1)
        for x0, x1 in pairwise(edges):
            self._wall(x0, x1, z0, z1, solid)

    def _window(self, x0: float, x1: float, z0: float, z1: float, *, plain: bool) -> None:
        deep = 0.02 if plain else RECESS_M
        column, row = self.rng.integers(0, CELLS, 2)
        uv = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * 0.97 + 0.015 + (column, row)) / CELLS
        corners = np.array([[x0, deep, z0], [x1, deep, z0], [x1, deep, z1], [x0, deep, z1]])
        self.glass.quad(corners, (1.0,) * 3, uv)
        if plain:
            sill = np.array([[x0, -0.02, z0 - 0.12], [x1, -0.02, z0 - 0.12], [x1, -0.02, z0], [x0, -0.02, z0]])
            self.trim.quad(sill, self.trim_color)
            return
        self._hole(x0, x1, z0, z1, deep)
        left, right = x0 - 0.08, x1 + 0.08
        for low, high in (((-0.1, z0 - 0.05), (-0.1, z0)), ((-0.1, z0), (deep, z0 + 0.012))):
            edge = [(left, *low), (right, *low), (right, *high), (left, *high)]
            self.trim.quad(np.array(edge), self.trim_color)
        lintel = np.array([[x0 - 0.1, z1], [x1 + 0.1, z1], [x1 + 0.1, z1 + 0.23], [x0 - 0.1, z1 + 0.23]])
        corners = np.insert(lintel, 1, -0.006, axis=1)
        self.wall.quad(corners, (0.88,) * 3, lintel[:, ::-1] / WALL_TILE_M)
        if self.rng.random() < 0.1:
            self.trim.box(((x0 + x1) / 2, -0.13, z0), (x1 - x0 - 0.2, 0.2, 0.17), (0.3, 0.13, 0.08))

    def _hole(self, x0: float, x1: float, z0: float, z1: float, deep: float) -> None:
        """The four inner faces of an opening."""
        ring = [(x0, z0), (x1, z0), (x1, z1), (x0, z1)]
        for ((ax, az), (bx, bz)), shade in zip(
            zip(ring, ring[1:] + ring[:1], strict=True), (0.8, 0.6, 0.4, 0.6), strict=True
        ):
            corners = np.array([[ax, 0, az], [bx, 0, bz], [bx, deep, bz], [ax, deep, az]])
            flat = corners[:, [0, 1]] if az == bz else corners[:, [1, 2]]
            self.wall.quad(corners, (shade,) * 3, flat / WALL_TILE_M)

    def _cellar_window(self, x: float) -> None:
        for half, z0, z1, out, tone in ((0.45, 0.1, 0.46, 0.012, STONE), (0.38, 0.14, 0.42, 0.02, DARK)):
            corners = np.array([[x - half, -out, z0], [x + half, -out, z0], [x + half, -out, z1], [x - half, -out, z1]])
            self.trim.quad(corners, tone)
        for offset in (-0.2, 0.0, 0.2):
            self.trim.box((x + offset, -0.03, 0.14), (0.015, 0.015, 0.28), METAL)

    def _entrance(self, x0: float, x1: float, floor: float) -> None:
        """A door in a deep opening, steps with rails, a canopy with a lamp, bells, a house number."""
        rng, middle, deep, top = self.rng, (x0 + x1) / 2, 0.3, floor + LINTEL_M
        self._hole(x0, x1, floor, top, deep)
        tone = np.asarray(((0.2, 0.09, 0.05), (0.06, 0.12, 0.09), (0.3, 0.31, 0.32))[int(rng.integers(3))])
        y = deep
        for left, right, low, high, out, color in (
            (x0, x1, floor, top, 0.0, 0.7 * tone),
            (x0 + 0.06, x1 - 0.36, floor + 0.03, floor + 2.05, 0.02, tone),
            (x0 + 0.24, x1 - 0.54, floor + 0.95, floor + 1.85, 0.03, (0.06, 0.07, 0.08)),
            (x1 - 0.3, x1 - 0.06, floor + 0.2, floor + 2.05, 0.02, (0.07, 0.08, 0.09)),
            (x0 + 0.06, x1 - 0.06, floor + 2.1, top - 0.05, 0.02, (0.08, 0.09, 0.1)),
        ):
            corners = np.array([[left, y - out, low], [right, y - out, low], [right, y - out, high]])
            self.trim.quad(np.concatenate([corners, [[left, y - out, high]]]), color)
        self.trim.tube((x1 - 0.44, y - 0.08, floor + 0.85), (x1 - 0.44, y - 0.08, floor + 1.35), 0.015, METAL, sides=6)
        for step, reach in enumerate((1.5, 1.2, 0.9)):
            size = (x1 - x0 + 0.7, reach, PLINTH_M / 3)
            worn = 0.95 - 0.04 * step
            self.trim.box((middle, -reach / 2, step * PLINTH_M / 3), size, tuple(worn * c for c in self.trim_color))
        for side in (x0 - 0.28, x1 + 0.28):
            self.trim.rod(
                [(side, -0.1, floor + 0.95), (side, -0.8, floor + 0.95), (side, -1.42, 1.0), (side, -1.42, 0.1)],
                0.022,
                METAL,
                sides=5,
            )
            self.trim.tube((side, -0.8, 0.5), (side, -0.8, floor + 0.95), 0.018, METAL, sides=5, cap=False)
        self.trim.box((middle, -0.65, top + 0.1), (x1 - x0 + 1.0, 1.3, 0.12), (0.2, 0.2, 0.21))
        self.trim.box((middle, -0.25, top - 0.05), (0.3, 0.14, 0.12), (0.85, 0.83, 0.75))
        self.trim.box((x1 + 0.2, -0.02, floor + 1.2), (0.2, 0.04, 0.32), (0.35, 0.36, 0.37))
        self.trim.box((x0 - 0.25, -0.02, floor + 1.8), (0.24, 0.03, 0.24), (0.05, 0.1, 0.35))
        self.trim.box((x0 - 0.55, -0.1, floor + 0.7), (0.42, 0.18, 0.55), (0.5, 0.5, 0.48))
        self.obstacles += [(middle + dx, -0.55 - dy, 0.75) for dx in (-0.45, 0.45) for dy in (0.0, 0.35)]
        self.lamps.append(Lamp((middle, -0.5, top - 0.1), (5.0, 4.2, 3.0), 9.0))

    def _balcony(self, x: float, floor: float) -> None:
        """A slab with a rail, a panel or bars, and what people keep there."""
        rng, wide, deep = self.rng, 2.7, 1.15
        self.trim.box((x, -deep / 2, floor - 0.12), (wide, deep, 0.16), (0.3, 0.29, 0.28))
        top = floor + 1.0
        rail = [(x - wide / 2, 0, top), (x - wide / 2, -deep, top), (x + wide / 2, -deep, top), (x + wide / 2, 0, top)]
        self.trim.rod(rail, 0.022, METAL, sides=5)
        if int(x) % 2:
            tone = ((0.3, 0.32, 0.31), (0.2, 0.08, 0.06), (0.3, 0.27, 0.19))[int(rng.integers(3))]
            self.trim.box((x, -deep, floor + 0.12), (wide, 0.02, 0.8), tone)
            for side in (-1, 1):
                self.trim.box((x + side * wide / 2, -deep / 2, floor + 0.12), (0.02, deep, 0.8), tone)
        else:
            for at in np.arange(x - wide / 2, x + wide / 2, 0.135):
                low, high = floor + 0.04, top
                bar = [[at, -deep, low], [at + 0.02, -deep, low], [at + 0.02, -deep, high], [at, -deep, high]]
                self.trim.quad(np.array(bar), METAL)
        if rng.random() < 0.6:
            side = rng.choice([-0.7, 0.7])
            self.trim.box((x + side, -deep - 0.12, floor + 0.72), (0.9, 0.18, 0.17), (0.32, 0.15, 0.09))
            for _ in range(5):
                at = x + side + rng.uniform(-0.42, 0.42)
                tone = (0.06, 0.12, 0.03) if rng.random() < 0.6 else (0.55, 0.05, 0.09)
                self.trim.box(
                    (at, -deep - 0.12 + rng.uniform(-0.08, 0.08), floor + 0.85), (0.17, 0.14, 0.17), tone, taper=0.6
                )
        if rng.random() < 0.5:
            self.trim.box((x - 0.4, -0.5, floor + 0.04), (0.5, 0.5, 0.8), rng.uniform(0.1, 0.6, 3), taper=0.9)
