"""What long hair falls on: how far shoulders, chest and back reach, in front and behind."""

from __future__ import annotations

import numpy as np

_LOW_Z, _HIGH_Z, _HALF_M = 0.15, 0.70, 0.24
_LEVELS, _COLUMNS = 28, 25
_NOTHING = -9.0


class Backdrop:
    """Depth of dressed shoulders, seen from the front and from behind.

    Args:
        points: [n, 3] places on clothes and skin, in the measures of the neutral base mesh.
    """

    def __init__(self, points: np.ndarray) -> None:
        level, column = self._cell(points)
        cell = (np.round(level).astype(int), np.round(column).astype(int))
        inside = (cell[0] >= 0) & (cell[0] < _LEVELS) & (cell[1] >= 0) & (cell[1] < _COLUMNS)
        self.depth = np.full((2, _LEVELS, _COLUMNS), _NOTHING)
        for side, sign in enumerate((-1.0, 1.0)):
            np.maximum.at(self.depth[side], (cell[0][inside], cell[1][inside]), sign * points[inside, 0])
            self.depth[side] = _spread(self.depth[side])

    def clear(self, points: np.ndarray, front: np.ndarray, gap: np.ndarray) -> np.ndarray:
        """Moves places forwards or backwards until nothing reaches through them.

        Args:
            points: [n, 3] places.
            front: [n] whether they lie in front of the shoulders, rather than behind.
            gap: [n] metres that they keep away.

        Returns:
            [n, 3] places.
        """
        level, column = self._cell(points)
        level, column = np.clip(level, 0, _LEVELS - 1.001), np.clip(column, 0, _COLUMNS - 1.001)
        i, j = level.astype(int), column.astype(int)
        a, b = level - i, column - j
        depth, side = self.depth, front.astype(int)
        low = depth[side, i, j] * (1 - b) + depth[side, i, j + 1] * b
        high = depth[side, i + 1, j] * (1 - b) + depth[side, i + 1, j + 1] * b
        sign = np.where(front, 1.0, -1.0)
        reach = np.maximum(sign * points[:, 0], low * (1 - a) + high * a + gap)
        return np.stack([sign * reach, points[:, 1], points[:, 2]], 1)

    @staticmethod
    def _cell(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        level = (points[:, 2] - _LOW_Z) / (_HIGH_Z - _LOW_Z) * (_LEVELS - 1)
        column = (points[:, 1] + _HALF_M) / (2 * _HALF_M) * (_COLUMNS - 1)
        return level, column


def _spread(depth: np.ndarray) -> np.ndarray:
    """Fills gaps between places and rounds what stands out alone."""
    for _ in range(2):
        wide = np.pad(depth, 1, constant_values=_NOTHING)
        near = np.maximum.reduce([wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]])
        depth = np.maximum(depth, near - 0.012)
    return depth
