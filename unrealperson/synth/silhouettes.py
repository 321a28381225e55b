"""What a camera would see of one person if nothing else were there: a depth buffer of that person alone."""

from __future__ import annotations

import numpy as np

from unrealperson.compiled import compiled

SAMPLE_PX = (0.75, 0.25)
"""Where in a pixel the renderer's mask is sampled, with two samples a side: x to the right, y down."""


def silhouette(
    points: np.ndarray, depth_m: np.ndarray, faces: np.ndarray, box: tuple[int, int, int, int], *, near_m: float
) -> np.ndarray:
    """Depth of a mesh's foremost surface, sampled where the renderer's mask is.

    Args:
        points: [V, 2] float64 pixels.
        depth_m: [V] float64 along the optical axis.
        faces: [T, 3] uint32; those with a vertex nearer than `near_m` are left out.
        box: left, top, right, bottom in whole pixels, half-open.
        near_m: positive.

    Returns:
        [bottom - top, right - left] float32 metres, infinite beside the mesh.
    """
    left, top, right, bottom = box
    front = np.full((max(bottom - top, 0), max(right - left, 0)), np.inf, np.float32)
    if front.size:
        _fill(
            np.ascontiguousarray(points - (left + SAMPLE_PX[0], top + SAMPLE_PX[1]), np.float64),
            np.ascontiguousarray(depth_m, np.float64),
            np.ascontiguousarray(faces, np.uint32),
            near_m,
            front,
        )
    return front


def extents(points: np.ndarray, depth_m: np.ndarray, *, near_m: float) -> tuple[float, float, float, float, int]:
    """Where the points of a mesh that lie before a camera come to lie.

    Args:
        points: [V, 2] float64 pixels.
        depth_m: [V] float64 along the optical axis.
        near_m: nearer points do not count.

    Returns:
        Left, top, right and bottom in pixels, and how many points count; without any the others mean nothing.
    """
    left, top, right, bottom, known = _extents(points, depth_m, near_m)
    return float(left), float(top), float(right), float(bottom), int(known)


@compiled
def _extents(points, depth_m, near_m):
    left = top = np.inf
    right = bottom = -np.inf
    known = 0
    for v in range(len(points)):
        if depth_m[v] > near_m:
            known += 1
            left, right = min(left, points[v, 0]), max(right, points[v, 0])
            top, bottom = min(top, points[v, 1]), max(bottom, points[v, 1])
    return left, top, right, bottom, known


@compiled
def _fill(points, depth_m, faces, near_m, front):
    height, width = front.shape
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if depth_m[a] < near_m or depth_m[b] < near_m or depth_m[c] < near_m:
            continue
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        x0, x1 = max(int(np.ceil(min(ax, bx, cx))), 0), min(int(np.floor(max(ax, bx, cx))), width - 1)
        y0, y1 = max(int(np.ceil(min(ay, by, cy))), 0), min(int(np.floor(max(ay, by, cy))), height - 1)
        ia, ib, ic = 1.0 / depth_m[a], 1.0 / depth_m[b], 1.0 / depth_m[c]
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1.0 - u - v
                if u >= 0.0 and v >= 0.0 and w >= 0.0:
                    # Inverse depth is linear in the image.
                    z = 1.0 / (u * ia + v * ib + w * ic)
                    front[y, x] = min(z, front[y, x])
