"""Gathers flat and round faces: what things in scenes and vehicles of people are built from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


class Faces:
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
        normal = _cross(corners[1] - corners[0], corners[2] - corners[0])
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
        side = _cross(axis, (1.0, 0, 0) if abs(axis[0]) < 0.9 else (0, 1.0, 0))
        other = _cross(axis, side)
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

    def sheet(self, points: np.ndarray, color: ArrayLike = (1, 1, 1), *, tile_m: float = 1.0) -> None:
        """A smooth surface through a grid of points.

        Args:
            points: [m, n, 3]; rows run to the right and columns up as seen from outside.
            color: one colour, or [m, n, 3].
            tile_m: metres that its texture covers.
        """
        points = np.asarray(points, float)
        rows, columns = points.shape[:2]
        normals = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
        uv = np.stack(
            [
                np.cumsum(np.linalg.norm(np.diff(points, axis=axis, prepend=points.take([0], axis)), axis=-1), axis)
                for axis in (0, 1)
            ],
            -1,
        )
        i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
        a = (i * columns + j).ravel()
        faces = np.concatenate(
            [np.stack([a, a + columns, a + columns + 1], 1), np.stack([a, a + columns + 1, a + 1], 1)]
        )
        colors = np.broadcast_to(np.asarray(color, float), points.shape).reshape(-1, 3)
        self.add(points.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2) / tile_m, colors, faces)

    def rod(self, points: ArrayLike, radius: float, color: ArrayLike = (1, 1, 1), *, sides: int = 6) -> None:
        """A bent round bar through points, swept in one piece."""
        points = np.asarray(points, float)
        steps = np.diff(points, axis=0)
        steps /= np.linalg.norm(steps, axis=1, keepdims=True)
        along = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]])
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        side = np.cross(along[0], [1.0, 0, 0] if abs(along[0, 0]) < 0.9 else [0, 1.0, 0])
        side /= np.linalg.norm(side)
        angle = np.linspace(0, 2 * np.pi, sides + 1)
        rings = []
        for before, axis in zip(along[[0, *range(len(along) - 1)]], along, strict=True):
            turn, straight = np.cross(before, axis), before @ axis
            side = straight * side + np.cross(turn, side) + (turn @ side) / max(1 + straight, 1e-6) * turn
            rings.append(np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(axis, side))
        ring = np.stack(rings)
        length = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
        uv = np.stack(np.broadcast_arrays(np.linspace(0, 1, sides + 1), length[:, None]), -1)
        i, j = np.meshgrid(np.arange(len(points) - 1), np.arange(sides), indexing="ij")
        a = (i * (sides + 1) + j).ravel()
        up = a + sides + 1
        faces = np.concatenate([np.stack([a, a + 1, up + 1], 1), np.stack([a, up + 1, up], 1)])
        positions = points[:, None] + radius * ring
        self.add(positions.reshape(-1, 3), ring.reshape(-1, 3), uv.reshape(-1, 2), np.asarray(color), faces)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Everything gathered so far.

        Returns:
            `positions` [V, 3], `normals` [V, 3], `uv` [V, 2], `colors` [V, 3] float32, and `faces` [T, 3] uint32.
        """
        positions, normals, uv, colors, faces = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        single = np.float32
        return (
            positions.astype(single), normals.astype(single), uv.astype(single), colors.astype(single),
            faces.astype(np.uint32),
        )  # fmt: skip


def _cross(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> np.ndarray:
    """Unit vector along the product of two vectors; for one pair many times quicker than numpy's."""
    x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    return np.array([x, y, z]) / math.sqrt(x * x + y * y + z * z)
