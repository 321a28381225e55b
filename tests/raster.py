"""A small orthographic z-buffer, for tests that look at silhouettes and layers."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def draw(points, faces, depth, number):
    """Draws triangles seen along the third axis, larger values nearer; `number` takes the nearest triangle's row."""
    height, width = depth.shape
    for t in range(len(faces)):
        a, b, c = points[faces[t, 0]], points[faces[t, 1]], points[faces[t, 2]]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area >= -1e-9:
            continue
        x0, x1 = max(0, int(min(a[0], b[0], c[0]))), min(width - 1, int(max(a[0], b[0], c[0])) + 1)
        y0, y1 = max(0, int(min(a[1], b[1], c[1]))), min(height - 1, int(max(a[1], b[1], c[1])) + 1)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                px, py = x + 0.5, y + 0.5
                u = ((b[0] - px) * (c[1] - py) - (b[1] - py) * (c[0] - px)) / area
                v = ((c[0] - px) * (a[1] - py) - (c[1] - py) * (a[0] - px)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * a[2] + v * b[2] + w * c[2]
                if z > depth[y, x]:
                    depth[y, x], number[y, x] = z, t


def look(positions: np.ndarray, faces: np.ndarray, yaw_deg: float, *, px_per_m: float = 110.0):
    """Depth [h, w] in metres and number [h, w] of the nearest triangle (-1 nowhere) of faces turned to the viewer."""
    turn = np.radians(yaw_deg)
    x = positions[:, 0] * np.cos(turn) + positions[:, 1] * np.sin(turn)
    y = positions[:, 1] * np.cos(turn) - positions[:, 0] * np.sin(turn)
    height, width = round(2.2 * px_per_m), round(1.6 * px_per_m)
    points = np.stack([width / 2 + y * px_per_m, height - 10 - positions[:, 2] * px_per_m, x], 1).astype(np.float64)
    depth, number = np.full((height, width), -1e9), np.full((height, width), -1, np.int64)
    draw(points, faces.astype(np.int64), depth, number)
    return depth, number


def seen_through(positions: np.ndarray, faces: np.ndarray, slot: np.ndarray, limb: np.ndarray, layers, yaw_deg: float):
    """Garment pixels, and those where a lower layer lies in front of a higher one by less than 4 cm.

    `slot` and `limb` hold one number a triangle; only surfaces of the same limb are compared.
    """
    views = [look(positions, faces[slot == layer], yaw_deg) for layer in layers]
    rows = [np.flatnonzero(slot == layer) for layer in layers]
    depth = np.stack([view[0] for view in views])
    part = np.stack(
        [np.where(v[1] >= 0, limb[r[v[1]]] if len(r) else -1, -1) for v, r in zip(views, rows, strict=True)]
    )
    front = depth.argmax(0)
    cloth = (depth.max(0) > -1e8) & (front > 0)
    bad = np.zeros(front.shape, bool)
    for lower in range(len(layers)):
        for upper in range(lower + 1, len(layers)):
            gap = depth[lower] - depth[upper]
            same = part[lower] == part[upper]
            bad |= (front == lower) & (depth[upper] > -1e8) & (gap > 0.0015) & (gap < 0.04) & same
    return int(cloth.sum()) + int((bad & ~cloth).sum()), int(bad.sum())
