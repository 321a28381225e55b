"""Lamps, and the field of their light in the room: any number of them costs the renderer the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CELL_M = 0.75
_LAYERS = 8
_MARGIN_M = 8.0
_SOFT_M2 = 0.35
"""Keeps the light beside a lamp finite."""


@dataclass(frozen=True)
class Lamp:
    """A light that burns at night, and by day where a roof keeps the sky out; it shines downwards most.

    Attributes:
        position_m: x, y, z.
        color: linear RGB of its light on a surface that faces it one metre away.
        reach_m: beyond it, its light is nothing.
    """

    position_m: tuple[float, float, float]
    color: tuple[float, float, float]
    reach_m: float


@dataclass(frozen=True)
class LampField:
    """Light of all lamps on a grid.

    Attributes:
        low_m: [3] float64 corner of the grid.
        size_m: [3] float64 its extent.
        light: [Z, Y, X, 3] float32 linear RGB that falls on a surface which faces the light.
        towards: [Z, Y, X, 3] float32 mean direction to the lamps, weighted by their light; shorter than 1 where it
            comes from several sides.
    """

    low_m: np.ndarray
    size_m: np.ndarray
    light: np.ndarray
    towards: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """Light at the nearest cells.

        Args:
            points: [n, 3] metres.

        Returns:
            [n, 3] float32 linear RGB.
        """
        shape = np.array(self.light.shape[2::-1])
        cell = ((np.asarray(points) - self.low_m) / self.size_m * shape).astype(int)
        x, y, z = np.clip(cell, 0, shape - 1).T
        return self.light[z, y, x]


def lamp_field(lamps: Sequence[Lamp], bounds: tuple[float, float, float, float], height_m: float) -> LampField:
    """Adds up the light of lamps around the ground that people can reach.

    Args:
        lamps: any number.
        bounds: x0, y0, x1, y1 in metres.
        height_m: upper end of the grid.
    """
    x0, y0, x1, y1 = bounds
    low = np.array([x0 - _MARGIN_M, y0 - _MARGIN_M, -0.2])
    size = np.array([x1 + _MARGIN_M, y1 + _MARGIN_M, height_m]) - low
    counts = [max(round(size[0] / _CELL_M), 2), max(round(size[1] / _CELL_M), 2), _LAYERS]
    axes = [
        start + (np.arange(count) + 0.5) * extent / count
        for start, extent, count in zip(low, size, counts, strict=True)
    ]
    z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
    cells = np.stack([x, y, z], -1)
    light, towards, weight = np.zeros_like(cells), np.zeros_like(cells), np.zeros(cells.shape[:3])
    for lamp in lamps:
        way = np.asarray(lamp.position_m) - cells
        square = (way**2).sum(-1)
        distance = np.sqrt(square + 1e-9)
        direction = way / distance[..., None]
        down = np.clip((direction[..., 2] - 0.05) / 0.5, 0.0, 1.0)
        strength = np.clip(1 - (distance / lamp.reach_m) ** 2, 0, 1) ** 2 / (square + _SOFT_M2) * (0.2 + 0.8 * down)
        light += strength[..., None] * np.asarray(lamp.color)
        share = strength * float(np.mean(lamp.color))
        towards += share[..., None] * direction
        weight += share
    towards /= np.maximum(weight, 1e-9)[..., None]
    return LampField(low, size, light.astype(np.float32), towards.astype(np.float32))
