"""What halls are made of: tiled floors, walls, ceilings with light panels, columns, doors, signs.

Vertex colours above 1 make faces that shine: light panels, lit signs, screens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from unrealperson.synth.scenes import prints
from unrealperson.synth.scenes.lamps import Lamp
from unrealperson.synth.scenes.scene import Mesh, Prop
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.surfaces import finish, grain, noise

Rectangle = tuple[float, float, float, float]
GLOW = 2.6


@lru_cache(maxsize=1)
def enamel() -> np.ndarray:
    """The texture that smooth things of steel and plastic share; their vertices carry the colour.

    Returns:
        [128, 128, 3] uint8.
    """
    return finish(np.full((128, 128, 3), 0.96) * grain(np.random.default_rng(2), 128, fine=0.012, coarse=0.025))


def tiles(
    rng: np.random.Generator, color: ArrayLike, count: int, *, size: int = 512, speckle: float = 0.0, joint: float = 0.8
) -> np.ndarray:
    """Square floor or wall tiles, each with its own tone.

    Args:
        rng: source of the values.
        color: sRGB, 0 ... 1.
        count: tiles a side.
        size: side in pixels.
        speckle: strength of the stone chips of terrazzo.
        joint: brightness factor of the joints.
    """
    y, x = np.mgrid[0:size, 0:size] * count / size
    tone = 1 + 0.022 * rng.standard_normal((count, count, 1)) + 0.006 * rng.standard_normal((count, count, 3))
    value = np.asarray(color, np.float32) * tone[y.astype(int), x.astype(int)].astype(np.float32)
    value *= grain(rng, size, fine=0.02, coarse=0.035)
    if speckle:
        chips = noise(rng, size, size // 3) + 0.7 * rng.standard_normal((size, size))
        value *= (1 + speckle * np.clip(chips, -1.5, 1.5))[..., None]
    near = np.minimum(np.minimum(x % 1, 1 - x % 1), np.minimum(y % 1, 1 - y % 1))
    line = np.clip(1.6 - near * size / count, 0, 1)[..., None]
    return finish(value * (1 - (1 - joint) * line))


def panels(rng: np.random.Generator, color: ArrayLike, *, count: int = 8, size: int = 512) -> np.ndarray:
    """Suspended ceiling: mineral boards in a white metal grid.

    Args:
        rng: source of the values.
        color: sRGB of the boards, 0 ... 1.
        count: boards a side.
        size: side in pixels.
    """
    y, x = np.mgrid[0:size, 0:size] * count / size
    tone = 1 + 0.02 * rng.standard_normal((count, count, 1))
    value = np.asarray(color, np.float32) * tone[y.astype(int), x.astype(int)].astype(np.float32)
    value *= 1 - 0.12 * (rng.random((size, size, 1)) < 0.12)
    near = np.minimum(np.minimum(x % 1, 1 - x % 1), np.minimum(y % 1, 1 - y % 1)) * size / count
    value = np.where((near < 2.5)[..., None], np.asarray(color) * np.where(near < 1.2, 0.72, 1.08)[..., None], value)
    for _ in range(3):
        at = rng.integers(0, count, 2) * size // count
        value[at[0] : at[0] + size // count, at[1] : at[1] + size // count] *= (0.93, 0.9, 0.84)
    return finish(value)


def glazing(rng: np.random.Generator, size: int = 1024) -> np.ndarray:
    """A shop window seen from inside, eight panes of a metre: frames, posters, the bright street out of focus.

    Args:
        rng: source of what is outside.
        size: width in pixels; it is a quarter as high.
    """
    high, side = size // 4, size // 8
    y = np.linspace(1, 0, high)[:, None, None]
    value = np.where(y > 0.45, (0.78, 0.83, 0.88), (0.55, 0.55, 0.54)) * np.ones((high, size, 1), np.float32)
    for _ in range(40):
        left, wide = int(rng.integers(0, size)), int(rng.integers(15, 110))
        top, tall = int(rng.uniform(0.2, 0.62) * high), int(rng.integers(15, 90))
        value[top : top + tall, left : left + wide] = rng.uniform(0.3, 0.75) + rng.uniform(-0.05, 0.05, 3)
    for shift in (3, 5, 8, 13):
        for axis in (0, 1):
            value = 0.25 * (2 * value + np.roll(value, shift, axis) + np.roll(value, -shift, axis))
    for left in range(0, size, side):
        if rng.random() < 0.25:
            top, back = high // 3 + int(rng.integers(0, 20)), rng.uniform(0.25, 0.6) + rng.uniform(-0.12, 0.12, 3)
            value[top : top + 66, left + 34 : left + 84] = back
            value[top + 8 : top + 20, left + 40 : left + 78] = 0.85
            value[top + 28 : top + 54, left + 46 : left + 72] = np.roll(back, 1) * 1.2
        value[:, left : left + 7] = (0.2, 0.21, 0.22)
    value[:8] = value[-14:] = value[int(0.72 * high) :][:5] = (0.2, 0.21, 0.22)
    return finish(value)


@lru_cache(maxsize=256)
def _ink(text: str, high: int) -> np.ndarray:
    font = ImageFont.load_default(high * 1.35)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (max(int(right - left), 1), max(int(bottom - top), 1)))
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font)
    return np.asarray(image, np.float32)[..., None] / 255


def write(value: np.ndarray, text: str, at: tuple[int, int], high: int, color: ArrayLike) -> None:
    """Writes text into an image, cut at its border.

    Args:
        value: [H, W, 3] float, changed in place.
        text: one line.
        at: left and top in pixels.
        high: height of the letters in pixels.
        color: sRGB, 0 ... 1.
    """
    part = value[at[1] :, at[0] :]
    ink = _ink(text, high)[: part.shape[0], : part.shape[1]]
    part = part[: ink.shape[0], : ink.shape[1]]
    part += ink * (np.asarray(color) - part)


def boards(lines: Sequence[tuple[str, ArrayLike, ArrayLike]], *, wide: int = 512, high: int = 64) -> np.ndarray:
    """A texture of sign boards, one below the other.

    Args:
        lines: text, colour of the board, colour of the letters (sRGB, 0 ... 1).
        wide: pixels.
        high: pixels of one board.
    """
    return np.concatenate([prints.lettering(text, (wide, high), ground, ink) for text, ground, ink in lines])


def row_uv(row: int, rows: int) -> np.ndarray:
    """Texture coordinates of a face that shows one row of a texture.

    Args:
        row: counted from the top.
        rows: rows in all.

    Returns:
        [4, 2]: lower left, lower right, upper right, upper left.
    """
    low, high = 1 - (row + 0.98) / rows, 1 - (row + 0.02) / rows
    return np.array([[0.002, low], [0.998, low], [0.998, high], [0.002, high]])


def cell_uv(index: int, columns: int, rows: int) -> np.ndarray:
    """Texture coordinates of a face that shows one cell of a texture.

    Args:
        index: counted in reading order.
        columns: cells across.
        rows: cells down.

    Returns:
        [4, 2]: lower left, lower right, upper right, upper left.
    """
    uv = row_uv(index // columns, rows)
    uv[:, 0] = (index % columns + 0.02 + 0.96 * (uv[:, 0] > 0.5)) / columns
    return uv


def join(name: str, meshes: Iterable[Mesh]) -> Mesh:
    """One mesh of several that share a texture.

    Args:
        name: of the whole.
        meshes: its parts, one or more; the first one's texture and gloss are kept.
    """
    parts = list(meshes)
    offset = np.cumsum([0] + [len(part.positions) for part in parts[:-1]])
    return Mesh(
        name,
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.uv for part in parts]),
        np.concatenate([part.colors for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, offset, strict=True)]).astype(np.uint32),
        parts[0].texture,
        parts[0].gloss,
    )


def row_of_circles(start: Sequence[float], end: Sequence[float], radius: float) -> list[tuple[float, float, float]]:
    """Obstacles along a line, close enough that nobody slips between them.

    Args:
        start: x, y in metres of the first one's centre.
        end: x, y of the last one's centre.
        radius: metres.
    """
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    count = max(math.ceil(length / (1.1 * radius)), 1) + 1 if length > 0 else 1
    return [
        (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]), radius)
        for share in np.linspace(0, 1, count).tolist()
    ]


def make_floor(
    rng: np.random.Generator,
    area: Rectangle,
    texture: np.ndarray,
    *,
    tile_m: float,
    obstacles: np.ndarray,
    gloss: float,
    worn: Sequence[np.ndarray] = (),
) -> Mesh:
    """A floor, dark where things stand on it and along the walls, duller where people walk.

    Args:
        rng: source of stains.
        area: x0, y0, x1, y1 in metres.
        texture: tiles.
        tile_m: metres that the texture covers.
        obstacles: [k, 3] circles that stand on it.
        gloss: strength of the highlight.
        worn: closed polylines that people walk along.
    """
    x0, y0, x1, y1 = area
    x, y = np.meshgrid(np.arange(x0, x1 + 0.1, 0.25), np.arange(y0, y1 + 0.1, 0.25), indexing="ij")
    wall = np.minimum(np.minimum(x - x0, x1 - x), np.minimum(y - y0, y1 - y))
    gap = np.full(x.shape, np.inf)
    for cx, cy, radius in obstacles:
        np.minimum(gap, np.hypot(x - cx, y - cy) - radius, out=gap)
    shade = 1 - 0.3 * np.exp(-np.maximum(wall, 0) / 0.7)
    shade *= 1 - 0.42 * np.exp(-np.maximum(gap, 0) / 0.22) - 0.2 * np.exp(-np.maximum(gap, 0) / 0.8)
    stain = sum(share * noise(rng, 160, cells)[: x.shape[0], : x.shape[1]] for share, cells in ((1, 11), (0.6, 50)))
    shade *= 1 + 0.05 * stain
    for path in worn:
        closed = np.concatenate([path, path[:1]])
        for start, end in pairwise(closed):
            along = ((x - start[0]) * (end - start)[0] + (y - start[1]) * (end - start)[1]) / ((end - start) ** 2).sum()
            along = np.clip(along, 0, 1)
            away = np.hypot(x - start[0] - along * (end - start)[0], y - start[1] - along * (end - start)[1])
            shade *= 1 - 0.03 * np.exp(-((away / 0.8) ** 2))
    solid = Solid()
    points = np.stack([x, y, np.zeros_like(x)], -1)
    solid.sheet(points, np.repeat(shade[..., None], 3, -1), tile_m=tile_m)
    return solid.mesh("Floor_1", texture, gloss)


def make_wall(
    name: str,
    start: Sequence[float],
    end: Sequence[float],
    high_m: float,
    texture: np.ndarray,
    *,
    tile_m: float = 2.4,
    color: ArrayLike = (1, 1, 1),
    plinth: ArrayLike | None = (0.2, 0.2, 0.2),
) -> Prop:
    """A wall with a plinth, darker towards floor and ceiling; nobody walks through it.

    Args:
        name: of the mesh.
        start: x, y in metres; the room lies to the right of start ... end.
        end: x, y in metres.
        high_m: height.
        texture: of the wall.
        tile_m: metres that the texture covers.
        color: factor on the texture.
        plinth: its colour; None leaves it out.
    """
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = np.linspace(0, 1, max(int(np.hypot(*(b - a)) / 2.0), 1) + 1)
    up = np.array([0.0, 0.25, 0.8, 0.85 * high_m, high_m])
    flat = a + along[:, None] * (b - a)
    points = np.concatenate(
        [np.repeat(flat[:, None], len(up), 1), np.broadcast_to(up[None, :, None], (len(along), len(up), 1))], -1
    )
    shade = np.array([0.68, 0.86, 1.0, 1.0, 0.82])[None, :, None] * np.asarray(color)
    wall = Solid()
    wall.sheet(points, np.broadcast_to(shade, points.shape), tile_m=tile_m)
    if plinth is not None:
        inward = np.array([b[1] - a[1], a[0] - b[0]]) / np.hypot(*(b - a)) * 0.02
        p, q = a + inward, b + inward
        wall.quad(np.array([[*p, 0], [*q, 0], [*q, 0.12], [*p, 0.12]]), plinth, np.zeros((4, 2)))
    return Prop((wall.mesh(name, texture),))


def make_band(name: str, area: Rectangle, stripes: Sequence[tuple[float, float, ArrayLike]]) -> Prop:
    """Stripes of paint around a hall's walls.

    Args:
        name: of the mesh.
        area: x0, y0, x1, y1 in metres.
        stripes: lower and upper edge in metres and linear colour of each.
    """
    x0, y0, x1, y1 = (edge + inward for edge, inward in zip(area, (0.015, 0.015, -0.015, -0.015), strict=True))
    corners = [(x0, y1), (x1, y1), (x1, y0), (x0, y0)]
    band = Solid()
    for (ax, ay), (bx, by) in pairwise([*corners, corners[0]]):
        length = math.hypot(bx - ax, by - ay)
        for low, high, color in stripes:
            uv = np.array([[0, low], [length, low], [length, high], [0, high]])
            band.quad(np.array([[ax, ay, low], [bx, by, low], [bx, by, high], [ax, ay, high]]), color, uv)
    return Prop((band.mesh(name, enamel()),))


def settle(prop: Prop) -> Prop:
    """The prop with its sides darker towards the floor, where less light comes.

    Args:
        prop: at its place.
    """
    meshes = []
    for mesh in prop.meshes:
        height = mesh.positions[:, 2:]
        shade = np.where(mesh.normals[:, 2:] < 0.5, 0.55 + 0.45 * np.clip(height / 0.7, 0, 1) ** 0.6, 1.0)
        meshes.append(replace(mesh, colors=(mesh.colors * shade).astype(np.float32)))
    return replace(prop, meshes=tuple(meshes))


def make_ceiling(
    area: Rectangle,
    high_m: float,
    texture: np.ndarray,
    *,
    rows_m: Sequence[float],
    panel_m: tuple[float, float],
    every_m: float,
    light: tuple[float, float, float],
    tile_m: float = 4.8,
    color: ArrayLike = (1, 1, 1),
) -> Prop:
    """A ceiling with rows of light panels.

    Args:
        area: x0, y0, x1, y1 in metres.
        high_m: height.
        texture: of the ceiling.
        rows_m: y of each row of panels.
        panel_m: length along x and width of a panel.
        every_m: distance from panel to panel along x.
        light: linear colour of one lamp a metre below it.
        tile_m: metres that the texture covers.
        color: factor on the texture.
    """
    x0, y0, x1, y1 = area
    sheet, glass, frame = Solid(), Solid(), Solid()
    x, y = np.meshgrid(np.linspace(x1, x0, 21), np.linspace(y0, y1, 17), indexing="ij")
    wall = np.minimum(np.minimum(x - x0, x1 - x), np.minimum(y - y0, y1 - y))
    shade = 1 - 0.25 * np.exp(-wall / 1.2)
    sheet.sheet(np.stack([x, y, np.full_like(x, high_m)], -1), shade[..., None] * np.asarray(color), tile_m=tile_m)
    lamps = []
    half, wide = panel_m[0] / 2, panel_m[1] / 2
    for row in rows_m:
        for cx in np.arange(x0 + every_m / 2, x1 - half, every_m).tolist():
            for solid, out, z in ((frame, 0.05, high_m - 0.03), (glass, 0.0, high_m - 0.035)):
                left, right, low, high = cx - half - out, cx + half + out, row - wide - out, row + wide + out
                solid.quad(np.array([[left, high, z], [right, high, z], [right, low, z], [left, low, z]]), (0.9,) * 3)
            lamps.append(Lamp((cx, row, high_m - 0.1), light, 2.2 * high_m))
    meshes = (
        sheet.mesh("Ceiling_1", texture),
        frame.mesh("Ceiling_2", enamel()),
        glass.mesh("CeilingLight_1", enamel(), 0.0, GLOW),
    )
    return Prop(meshes, (), tuple(lamps))


def make_column(
    name: str, wide_m: float, high_m: float, texture: np.ndarray, section: Literal["round", "square"]
) -> Prop:
    """A pillar with a base of steel.

    Args:
        name: of the mesh.
        wide_m: side or diameter.
        high_m: height.
        texture: of its cladding.
        section: its plan.
    """
    column = Solid()
    if section == "round":
        for low, high, radius, tone in ((0.15, high_m, wide_m / 2, 1.0), (0.0, 0.15, wide_m / 2 + 0.02, 0.35)):
            column.tube((0, 0, low), (0, 0, high), radius, (tone,) * 3, sides=20, cap=low == 0)
    else:
        column.box((0, 0, 0.15), (wide_m, wide_m, high_m - 0.15))
        column.box((0, 0, 0), (wide_m + 0.04, wide_m + 0.04, 0.15), (0.35,) * 3)
    return Prop((column.mesh(name, texture, 0.15),), ((0.0, 0.0, 0.6 * wide_m),))


def make_hanging_sign(
    name: str,
    size_m: tuple[float, float],
    texture: np.ndarray,
    uv: np.ndarray,
    *,
    low_m: float,
    high_m: float,
    glow: float,
) -> Prop:
    """A two-sided board on two rods under the ceiling.

    Args:
        name: of the mesh.
        size_m: width and height.
        texture: what is on it.
        uv: [4, 2] the part of the texture that both sides show.
        low_m: height of its lower edge.
        high_m: height of the ceiling.
        glow: brightness of its own light.
    """
    sign = Solid()
    half, top = size_m[0] / 2, low_m + size_m[1]
    for side in (-0.045, 0.045):
        turn = math.copysign(1.0, -side)
        corners = [[-half * turn, side, low_m], [half * turn, side, low_m], [half * turn, side, top]]
        sign.quad(np.array([*corners, [-half * turn, side, top]]), (0.9,) * 3, uv)
    dark = Solid()
    dark.box((0, 0, low_m - 0.02), (2 * half + 0.04, 0.08, 0.02), (0.2,) * 3)
    dark.box((0, 0, top), (2 * half + 0.04, 0.08, 0.02), (0.2,) * 3)
    for x in (-half, half):
        dark.box((x, 0, low_m), (0.03, 0.085, size_m[1]), (0.2,) * 3)
    for x in (-0.7 * half, 0.7 * half):
        dark.tube((x, 0, top), (x, 0, high_m), 0.012, (0.3,) * 3, sides=5, cap=False)
    return Prop((sign.mesh(name, texture, 0.0, glow), dark.mesh(f"{name}_Frame", enamel())))
