"""Paved ground: textures of stone, and level meshes with stains and contact shade."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.surfaces import Rgb, finish, noise

STAIN_REACH_M = 96.0


def stone(rng: np.random.Generator, size: int, *, speckle: float = 0.1, cloud: float = 0.06) -> np.ndarray:
    """Brightness factor of natural stone: crystals, a few dark ones, and soft clouds.

    Args:
        rng: source of the values.
        size: side in pixels.
        speckle: strength of the crystals.
        cloud: strength of the clouds.

    Returns:
        [size, size] float32 around 1.
    """
    crystals = rng.standard_normal((size, size), dtype=np.float32)
    dark = crystals > 2.2
    value = 1 + speckle * (0.45 * np.clip(crystals, -2, 2) + 0.5 * noise(rng, size, size // 3))
    value += cloud * (noise(rng, size, 5) + 0.6 * noise(rng, size, 17))
    value[dark] *= 1 - 2.2 * speckle
    return value


def courses(rng: np.random.Generator, size: int, rows: int, columns: int, *, ragged: float) -> tuple[np.ndarray, ...]:
    """Where stones laid in rows lie; it tiles.

    Args:
        rng: source of the cuts.
        size: side in pixels.
        rows: rows of stones.
        columns: mean number of stones a row.
        ragged: 0 makes stones of equal length, 1 of very unequal length.

    Returns:
        Number of the stone, [size, size] int64, and distance from its edge in pixels, [size, size] float32.
    """
    across = np.arange(size) + 0.5
    edges = np.linspace(0, size, rows + 1).round().astype(int)
    label, gap = np.empty((size, size), np.int64), np.empty((size, size), np.float32)
    for row, (top, bottom) in enumerate(pairwise(edges)):
        lengths = 1 + ragged * rng.uniform(-0.55, 0.55, columns)
        cuts = np.cumsum(lengths) * size / lengths.sum()
        shifted = (across + (row % 2 + ragged * rng.uniform(0, 1)) * size / (2 * columns)) % size
        stone_at = np.minimum(np.searchsorted(cuts, shifted, side="right"), columns - 1)
        start = np.concatenate([[0.0], cuts[:-1]])[stone_at]
        aside = np.minimum(shifted - start, cuts[stone_at] - shifted)
        down = np.arange(bottom - top) + 0.5
        label[top:bottom] = row * columns + stone_at
        gap[top:bottom] = np.minimum(aside[None], np.minimum(down, bottom - top - down)[:, None])
    return label, gap


def paving(
    rng: np.random.Generator,
    color: Rgb,
    rows: int,
    columns: int,
    size: int = 512,
    *,
    ragged: float = 0.0,
    tone: float = 0.06,
    joint_px: float = 2.0,
    round_px: float = 0.0,
    speckle: float = 0.1,
) -> np.ndarray:
    """Stones in rows: slabs, granite setts, brick, by their proportions.

    Args:
        rng: source of the values.
        color: sRGB, 0 ... 1.
        rows: rows of stones.
        columns: mean number of stones a row.
        size: side in pixels.
        ragged: 0 makes stones of equal length, 1 of very unequal length.
        tone: how much brightness differs between stones.
        joint_px: width of the joints.
        round_px: width over which a stone's edge falls off; such stones are hewn, and their rows waver.
        speckle: strength of the crystals.
    """
    label, gap = courses(rng, size, rows, columns, ragged=ragged)
    if round_px:
        down, across = (1.6 * round_px * noise(rng, size, rows // 2) for _ in range(2))
        y, x = np.mgrid[0:size, 0:size]
        y, x = (y + 0.6 * down).round().astype(int) % size, (x + 0.6 * across).round().astype(int) % size
        label, gap = label[y, x], gap[y, x]
    count = rows * columns
    each = 1 + tone * rng.standard_normal((count, 1)) + 0.1 * tone * rng.standard_normal((count, 3))
    odd = rng.random(count) < 0.04
    each[odd] *= rng.uniform(0.8, 1.12, (int(odd.sum()), 1))
    value = np.asarray(color, np.float32) * each.astype(np.float32)[label]
    value *= stone(rng, size, speckle=speckle)[..., None]
    if round_px:
        value *= (0.72 + 0.28 * np.clip((gap - joint_px / 2) / round_px, 0, 1) ** 0.6)[..., None]
    worn = noise(rng, size, 23)
    depth = np.clip(joint_px / 2 + 0.4 * worn - gap + 0.5, 0, 1)[..., None]
    dirt = (0.55 + 0.12 * noise(rng, size, 9))[..., None]
    value = value * (1 - depth) + value * dirt * depth
    rim = np.clip(1 - gap / 9, 0, 1) * np.clip(noise(rng, size, 7) + 0.5 * noise(rng, size, 31), 0, 1)
    value *= 1 - 0.22 * rim[..., None]
    for _ in range(size // 10):
        y, x = rng.integers(3, size - 3, 2)
        radius = rng.uniform(0.8, 2.4)
        yy, xx = np.ogrid[-3:4, -3:4]
        spot = np.clip(radius - np.hypot(yy, xx) + 0.5, 0, 1)[: min(7, size - y + 3), : min(7, size - x + 3), None]
        value[y - 3 : y + 4, x - 3 : x + 4] *= 1 - rng.uniform(0.12, 0.4) * spot
    return finish(value)


def tactile(rng: np.random.Generator, color: Rgb, size: int = 256, *, bars: bool) -> np.ndarray:
    """Paving that a foot or a cane can read; the texture is two plates wide and two high.

    Args:
        rng: source of the values.
        color: sRGB, 0 ... 1.
        size: side in pixels.
        bars: guiding bars that run across the texture; otherwise warning domes.
    """
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) * (2.0 / size)
    low, across = (y * 4) % 1 - 0.5, (x * (0.5 if bars else 4)) % 1 - 0.5
    away = np.abs(low) * 2.2 if bars else np.hypot(low, across) * 2.6
    raised = np.clip((1 - away) * 4, 0, 1)
    shade = 1 + 0.16 * raised - 0.32 * np.clip(1 - np.abs(away - 1) * 4, 0, 1) * (low > 0)
    value = np.asarray(color, np.float32) * (shade * stone(rng, size, speckle=0.07, cloud=0.16))[..., None]
    plate = rng.uniform(0.9, 1.05, (2, 2))[y.astype(int), x.astype(int)]
    value *= plate[..., None]
    value[((x % 1) < 0.012) | ((y % 1) < 0.012)] *= 0.6
    return finish(value)


def herringbone(rng: np.random.Generator, color: Rgb, size: int = 512, bricks: int = 24) -> np.ndarray:
    """Brick on edge, two to one, laid in a herringbone.

    Args:
        rng: source of the values.
        color: sRGB, 0 ... 1.
        size: side in pixels.
        bricks: brick widths along a side, a multiple of 4.
    """
    cell = size / bricks
    y, x = np.mgrid[0:size, 0:size]
    column, row = (x / cell).astype(int), (y / cell).astype(int)
    phase = (column + row) % 4
    left = np.where(phase == 1, column - 1, column) % bricks
    top = np.where(phase == 3, row - 1, row) % bricks
    down, across = (y / cell) % 1, (x / cell) % 1
    aside = np.where(phase == 0, across, np.where(phase == 1, 1 - across, np.minimum(across, 1 - across)))
    edge = np.where(phase == 2, down, np.where(phase == 3, 1 - down, np.minimum(down, 1 - down)))
    gap = cell * np.minimum(aside, edge)
    each = 1 + 0.1 * rng.standard_normal((bricks, bricks, 1)) + 0.02 * rng.standard_normal((bricks, bricks, 3))
    value = np.asarray(color, np.float32) * each[top, left].astype(np.float32)
    value *= stone(rng, size, speckle=0.09, cloud=0.1)[..., None]
    value *= np.where(gap < 1.2, 0.62, np.clip(0.88 + gap / 40, 0, 1))[..., None]
    return finish(value)


class Ground:
    """What all paving of one place has in common: where things stand on it, and its stains.

    Args:
        rng: source of the stains.
        contacts: [k, 5] float: x, y, half width, half depth and rounding in metres of each thing that stands on it;
            a post has zero halves and its radius as rounding.
        strength: how dark the ground is at the foot of things, 0 to 1.
    """

    def __init__(self, rng: np.random.Generator, contacts: np.ndarray, *, strength: float = 0.5) -> None:
        self._contacts = contacts
        self._strength = strength
        fine = noise(rng, 384, 96) * noise(rng, 384, 11)
        self._stains = 0.55 * noise(rng, 384, 23) + 0.45 * noise(rng, 384, 61) + 0.5 * fine

    def shade(self, xy: np.ndarray) -> np.ndarray:
        """Brightness factor of places.

        Args:
            xy: [n, 2] metres.

        Returns:
            [n] float64.
        """
        at = np.floor(xy * (384 / STAIN_REACH_M)).astype(int) % 384
        stain = self._stains[at[:, 1], at[:, 0]]
        value = 1 + 0.25 * stain - 0.45 * np.clip(-stain - 0.25, 0, None)
        gap = self._gaps(xy)
        near = np.clip(1 - np.exp(-np.maximum(gap, 0.0) / 0.28), 0, 1)
        wide = 0.4 * np.exp(-np.maximum(gap, 0.0) / 1.6)
        return value * (1 - self._strength * (1 - near)) * (1 - self._strength * wide)

    def _gaps(self, xy: np.ndarray, *, round_only: bool = False) -> np.ndarray:
        gap = np.full(len(xy), 9.0)
        middle, extent = (xy.max(0) + xy.min(0)) / 2, (xy.max(0) - xy.min(0)) / 2
        spread = self._contacts[:, 2:4] + self._contacts[:, 4:] + 4.5 + extent
        near = (np.abs(self._contacts[:, :2] - middle) < spread).all(1)
        if round_only:
            near &= self._contacts[:, 4] > 0
        for x, y, half_x, half_y, radius in self._contacts[near]:
            reach = 4.5 + radius
            close = np.flatnonzero((np.abs(xy[:, 0] - x) < half_x + reach) & (np.abs(xy[:, 1] - y) < half_y + reach))
            aside = np.maximum(np.abs(xy[close] - (x, y)) - (half_x, half_y), 0.0)
            gap[close] = np.minimum(gap[close], np.hypot(aside[:, 0], aside[:, 1]) - radius)
        return gap

    def pave(
        self,
        name: str,
        areas: Sequence[tuple[float, float, float, float]],
        texture: np.ndarray,
        tile_m: float,
        *,
        z_m: float = 0.0,
        cell_m: float = 0.6,
        color: Rgb = (1.0, 1.0, 1.0),
        turned: bool = False,
        gloss: float = 0.0,
    ) -> Mesh:
        """Covers rectangles with paving; its grid is finer where things stand.

        Args:
            name: of the mesh.
            areas: x0, y0, x1, y1 of each rectangle in metres.
            texture: [S, S, 3] uint8.
            tile_m: side of the texture on the ground.
            z_m: height.
            cell_m: distance between vertices of the grid.
            color: linear factor.
            turned: lays the rows along Y.
            gloss: strength of the highlight.
        """
        solid = Solid()
        for x0, y0, x1, y1 in areas:
            xs = np.linspace(x0, x1, max(round((x1 - x0) / cell_m), 1) + 1)
            ys = np.linspace(y0, y1, max(round((y1 - y0) / cell_m), 1) + 1)
            middle = np.stack(np.meshgrid((xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2, indexing="ij"), -1)
            fine = np.abs(self._gaps(middle.reshape(-1, 2), round_only=True) - 0.1) < 0.7 * cell_m
            i, j = np.divmod(np.arange(len(fine)), len(ys) - 1)
            whole = np.stack(np.meshgrid(xs, ys, indexing="ij"), -1).reshape(-1, 2)
            a, step = i * len(ys) + j, len(ys)
            coarse = a[~fine]
            if len(coarse):
                faces = np.concatenate([np.stack([coarse, coarse + step, coarse + step + 1], 1)] * 2)
                faces[len(coarse) :, 1:] = np.stack([coarse + step + 1, coarse + 1], 1)
                used, index = np.unique(faces, return_inverse=True)
                self._level(solid, whole[used], index.reshape(-1, 3), z_m, tile_m, color, turned)
            if fine.any():
                parts = 3
                share = np.stack(np.meshgrid(*[np.linspace(0, 1, parts + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
                corner = np.stack([xs[i[fine]], ys[j[fine]]], -1)
                cell = np.array([xs[1] - xs[0], ys[1] - ys[0]])
                points = (corner[:, None] + share * cell).reshape(-1, 2)
                u, v = np.divmod(np.arange(parts * parts), parts)
                own = u * (parts + 1) + v
                one = np.concatenate(
                    [np.stack([own, own + parts + 1, own + parts + 2], 1), np.stack([own, own + parts + 2, own + 1], 1)]
                )
                each = np.arange(len(corner))[:, None, None] * len(share) + one
                _, first, shared = np.unique((points * 1024).round(), axis=0, return_index=True, return_inverse=True)
                faces = shared.reshape(-1)[each.reshape(-1, 3)]
                self._level(solid, points[first], faces, z_m, tile_m, color, turned)
        return solid.mesh(name, texture, gloss)

    def _level(
        self, solid: Solid, xy: np.ndarray, faces: np.ndarray, z_m: float, tile_m: float, color: Rgb, turned: bool
    ) -> None:
        positions = np.column_stack([xy, np.full(len(xy), z_m)])
        uv = (xy[:, ::-1] if turned else xy) / tile_m
        colors = self.shade(xy)[:, None] * np.asarray(color)
        solid.add(positions, np.tile([0.0, 0.0, 1.0], (len(xy), 1)), uv, colors, faces)
