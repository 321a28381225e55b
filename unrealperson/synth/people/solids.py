"""Solids that things are made of: lofts, tubes, bands and rounded boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unrealperson.synth.people.sheets import triangles_of


@dataclass(frozen=True)
class Solid:
    """A surface of quads.

    Attributes:
        place: [n, 3] metres.
        quads: [F, 4] int.
        uv: [n, 2] place in a picture, 0 ... 1, v down.
    """

    place: np.ndarray
    quads: np.ndarray
    uv: np.ndarray


def _grid(rows: int, columns: int, *, around: bool) -> np.ndarray:
    start = np.arange(rows - 1)[:, None] * columns
    left = np.arange(columns if around else columns - 1)
    following = (left + 1) % columns
    return np.stack([start + left, start + following, start + columns + following, start + columns + left], -1).reshape(
        -1, 4
    )


def _outwards(solid: Solid) -> Solid:
    """Turns the faces of a closed surface to its outside."""
    corner = solid.place[triangles_of(solid.quads)] - solid.place.mean(0)
    volume = (corner[:, 0] * np.cross(corner[:, 1], corner[:, 2])).sum()
    return replace(solid, quads=solid.quads[:, ::-1]) if volume < 0 else solid


def loft(rings: np.ndarray) -> Solid:
    """A surface through closed rings.

    Args:
        rings: [R, K, 3] metres; the first and the last may be points.
    """
    rows, columns = rings.shape[:2]
    u = 1 - np.abs(2 * np.arange(columns) / columns - 1)
    uv = np.stack(np.broadcast_arrays(u[None], np.linspace(0, 1, rows)[:, None]), -1).reshape(-1, 2)
    return _outwards(Solid(rings.reshape(-1, 3), _grid(rows, columns, around=True), uv))


def shell_of(rows: np.ndarray, u_share: float) -> Solid:
    """A surface through open rows that go out on one side and come back on the other.

    Args:
        rows: [R, K, 3] metres.
        u_share: how much of a picture's width it takes.
    """
    count, columns = rows.shape[:2]
    quads = _grid(count, columns, around=False)
    uv = np.stack(
        np.broadcast_arrays(np.linspace(0, u_share, columns)[None], np.linspace(0, 1, count)[:, None]), -1
    ).reshape(-1, 2)
    return _outwards(Solid(rows.reshape(-1, 3), quads, uv))


def tube(path: np.ndarray, radius: np.ndarray | float, *, sides: int = 6, caps: bool = True) -> Solid:
    """A round tube along a path.

    Args:
        path: [n, 3] metres.
        radius: metres, one or [n].
        sides: corners of its section.
        caps: whether it is closed at its ends; else the path is a ring.
    """
    radius = np.broadcast_to(np.asarray(radius, np.float64), len(path))
    along = np.gradient(path, axis=0)
    if not caps:
        along[0] = along[-1] = path[1] - path[-2]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    helper = np.eye(3)[np.abs(along).max(0).argmin()]
    first = np.cross(along, helper)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = np.cross(along, first)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(turn)[None, :, None] * first[:, None] + np.sin(turn)[None, :, None] * second[:, None]
    rings = path[:, None] + radius[:, None, None] * ring
    if caps:
        ends = [np.repeat(path[row][None, None], sides, 1) for row in (0, -1)]
        rings = np.concatenate([ends[0], rings, ends[1]])
    return loft(rings)


def band(path: np.ndarray, out: np.ndarray, wide: np.ndarray, thick: float) -> Solid:
    """A flat band along a path; four corners a place.

    Args:
        path: [n, 3] metres.
        out: [n, 3] directions away from what it lies on.
        wide: [n] metres.
        thick: metres.
    """
    along = np.gradient(path, axis=0)
    across = np.cross(along, out)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    out = np.cross(across, along)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    half, up = 0.5 * wide[:, None] * across, thick * out
    rings = np.stack(
        [path - half - 0.3 * up, path - half + 0.7 * up, path + half + 0.7 * up, path + half - 0.3 * up], 1
    )
    rows = len(path)
    uv = np.stack(
        np.broadcast_arrays(np.array([0.0, 0.0, 1.0, 1.0])[None], np.linspace(0, 1, rows)[:, None]), -1
    ).reshape(-1, 2)
    return _outwards(Solid(rings.reshape(-1, 3), _grid(rows, 4, around=True), uv))


def pillow(
    centre: np.ndarray, size: tuple[float, float, float], thin: str, *, turn: float = 0.0, power: float = 4.0
) -> Solid:
    """A rounded box.

    Args:
        centre: [3] metres.
        size: width, height and depth in metres.
        thin: axis of the depth: x, y, or local for z.
        turn: radians about the upright axis, for y.
        power: of the outline's superellipse.
    """
    wide, high, deep = size
    angle = np.linspace(0, 2 * np.pi, 29)[:-1]
    cosine, sine = np.cos(angle), np.sin(angle)
    a = 0.5 * wide * np.sign(cosine) * np.abs(cosine) ** (2 / power)
    b = 0.5 * high * np.sign(sine) * np.abs(sine) ** (2 / power)
    rings, uvs = [], []
    for share, level in (
        (0.0, -0.5),
        (0.55, -0.5),
        (0.93, -0.44),
        (1.0, -0.3),
        (1.0, 0.3),
        (0.93, 0.44),
        (0.55, 0.5),
        (0, 0.5),
    ):
        rings.append(np.stack([share * a, share * b, np.full(28, level * deep)], 1))
        uvs.append(np.stack([0.54 + 0.44 * share * 2 * a / wide, 0.5 - 0.5 * share * 2 * b / high], 1))
    place = np.stack(rings)
    if thin == "x":
        place = place[..., [2, 0, 1]]
    elif thin == "y":
        place = np.stack([place[..., 0], -place[..., 2], place[..., 1]], -1)
        rotated = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        place = place @ rotated.T
    solid = loft(place + centre)
    return replace(solid, uv=np.concatenate(uvs))


def leave(origin: np.ndarray, direction: np.ndarray, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays leave a surface for the last time.

    Args:
        origin: [n, 3] metres.
        direction: [n, 3] unit vectors.
        corner: [T, 3, 3] float32 corners of triangles.

    Returns:
        Distance [n] in metres, NaN for rays that hit nothing, and triangle [n].
    """
    origin, direction = origin.astype(np.float32), direction.astype(np.float32)
    edge1, edge2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    across = np.cross(edge1, edge2)
    distance, triangle = np.full(len(origin), np.nan), np.zeros(len(origin), np.int64)
    for row in range(len(origin)):
        start, towards = origin[row] - corner[:, 0], direction[row]
        facing = across @ towards
        facing = np.where(np.abs(facing) < 1e-12, np.float32(1e-12), facing)
        turned = np.cross(start, towards)
        u, v = (turned * edge2).sum(1) / -facing, (turned * edge1).sum(1) / facing
        away = -(start * across).sum(1) / facing
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (away > 0)
        if hit.any():
            triangle[row] = np.flatnonzero(hit)[away[hit].argmax()]
            distance[row] = away[triangle[row]]
    return distance, triangle
