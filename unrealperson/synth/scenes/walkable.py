"""Where people can walk among given triangles: free ground, what stands around it, and closed paths through it.

A grid seen from above says of each cell whether floor is there, whether something stands in the way of a body, and
how high the lowest thing overhead is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

CLEAR_M = 0.8
"""Paths keep at least so far from everything."""
_CELL_M, _WIDEST_GROUND_M, _BESIDE_M, _WIDEST_PATHS_M = 0.15, 60.0, 8.0, 250.0
"""Of larger ground the part around what stands on it counts, or so much beside given paths."""
_BLOCKS_M = (0.25, 1.9)
"""Only what lies between these heights above the floor is in the way."""
_LEVEL_M = 0.12
"""Steps up to this height still count as floor."""
_BODY_M = 0.35
_FAR_M = 2.5
_MOST_CIRCLES, _WIDEST_M, _TRIED = 1000, 1.2, 60
_PATHS, _STOPS, _DRAWS = 6, 24, 40
_SPLIT_M, _CHUNK = 30.0, 1_000_000
_MOST_BLOCKS = 160
"""Ways are sought among so many blocks of cells a side."""

Grid = np.ndarray
"""[X, Y], one value a cell."""


@dataclass(frozen=True)
class Ground:
    """Ground that people can reach.

    Attributes:
        low_m: [2] corner of the grid.
        free: [X, Y] bool: one connected area.
        gap_m: [X, Y] float32 distance from its middle to the nearest cell that is not free, at most `_FAR_M`.
        covered: share of the free cells below a ceiling.
        ceiling_m: its height, infinite where there is none.
    """

    low_m: np.ndarray
    free: Grid
    gap_m: Grid
    covered: float
    ceiling_m: float

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in metres of the free area."""
        cells = np.argwhere(self.free)
        (x0, y0), (x1, y1) = self.low_m + cells.min(0) * _CELL_M, self.low_m + (cells.max(0) + 1) * _CELL_M
        return float(x0), float(y0), float(x1), float(y1)

    def middle(self, cells: np.ndarray, side: int = 1) -> np.ndarray:
        """Middles, in metres, of blocks [n, 2] of `side` cells a side."""
        return self.low_m + (cells + 0.5) * side * _CELL_M


def floor_height(corners: np.ndarray) -> float:
    """Height of the floor: the lowest level with at least half as much ground as the largest one.

    Args:
        corners: [T, 3, 3] metres.

    Raises:
        ValueError: nothing is level.
    """
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = 0.5 * np.linalg.norm(normal, axis=1)
    level = normal[:, 2] > 0.95 * 2 * np.maximum(area, 1e-12)
    if not level.any():
        raise ValueError("it has no level ground; faces must look up, and metres are the unit")
    height, area = corners[level].mean(1)[:, 2], area[level]
    step = np.rint((height - height.min()) / _LEVEL_M).astype(np.int64)
    steps, number = np.unique(step, return_inverse=True)
    total = np.bincount(number, area)
    chosen = step == steps[np.argmax(total >= 0.5 * total.max())]
    return float(np.average(height[chosen], weights=area[chosen]))


def find_ground(floor: np.ndarray, others: np.ndarray, forbidden: np.ndarray, paths: Sequence[np.ndarray]) -> Ground:
    """The largest connected area of floor where a body has room.

    Args:
        floor: [T, 3, 3] triangles that may be walked on, metres; the floor's height is 0.
        others: [T, 3, 3] triangles that are in the way where they are at a body's height; they may be the same ones.
        forbidden: [T, 3, 3] triangles below and above which nobody may walk, at any height.
        paths: [n, 2] metres each, where they are given; they say which part of the ground counts.

    Raises:
        ValueError: no such area, or a path leaves it.
    """
    looks_up = np.cross(floor[:, 1] - floor[:, 0], floor[:, 2] - floor[:, 0])[:, 2] > 0
    flat = floor[looks_up & (np.abs(floor[..., 2]) <= 2 * _LEVEL_M).all(1)]
    if not len(flat):
        raise ValueError("it has no ground to walk on at the height of its floor")
    low, high = flat[..., :2].min((0, 1)), flat[..., :2].max((0, 1))
    if len(paths):
        corners = np.concatenate(paths)
        low, high = np.maximum(low, corners.min(0) - _BESIDE_M), np.minimum(high, corners.max(0) + _BESIDE_M)
        if (high - low).max() > _WIDEST_PATHS_M:
            raise ValueError(f"its paths span more than {_WIDEST_PATHS_M:g} m")
    elif (high - low).max() > _WIDEST_GROUND_M:
        standing = others[np.ptp(others[..., 2], axis=1) > _BLOCKS_M[0]]
        middle = np.median(standing.mean(1)[:, :2], axis=0) if len(standing) else (low + high) / 2
        low, high = np.maximum(low, middle - _WIDEST_GROUND_M / 2), np.minimum(high, middle + _WIDEST_GROUND_M / 2)
    margin_m = _WIDEST_M + 2 * _CELL_M
    columns, rows = np.ceil((high - low + 2 * margin_m) / _CELL_M).astype(int)
    if min(columns, rows) <= 0:
        raise ValueError("its paths, or what stands in it, lie beside its ground")
    low, shape = low - margin_m, (int(columns), int(rows))
    high = low + np.array(shape) * _CELL_M
    is_floor, blocked, overhead = np.zeros(shape, bool), np.zeros(shape, bool), np.full(shape, np.inf)
    for points in _samples(flat, low, high):
        x, y, _ = _cells(points, low, shape)
        is_floor[x, y] = True
    for points in _samples(others, low, high):
        x, y, z = _cells(points, low, shape)
        at_body = (z > _BLOCKS_M[0]) & (z < _BLOCKS_M[1])
        blocked[x[at_body], y[at_body]] = True
        above = z >= _BLOCKS_M[1]
        np.minimum.at(overhead, (x[above], y[above]), z[above])
    for points in _samples(forbidden, low, high):
        x, y, _ = _cells(points, low, shape)
        blocked[x, y] = True
    open_ground = is_floor & ~blocked
    core = _largest(_distance(open_ground) > _BODY_M)
    if not core.any():
        raise ValueError("it has no free ground that is wide enough for a person")
    free = open_ground & (_distance(~core) <= _BODY_M + _CELL_M)
    for x, y in np.concatenate([np.zeros((0, 2)), *paths]):
        column, row = np.clip(((x - low[0]) / _CELL_M, (y - low[1]) / _CELL_M), 0, np.array(shape) - 1).astype(int)
        if not free[column, row]:
            raise ValueError(f"a path leaves the largest free ground at ({x:.1f}, {y:.1f}); move it or mark the floor")
    heights = overhead[free]
    covered = np.isfinite(heights)
    ceiling_m = float(np.median(heights[covered])) if covered.any() else math.inf
    return Ground(low, free, _distance(free), float(covered.mean()), ceiling_m)


def cover_with_circles(ground: Ground) -> np.ndarray:
    """Circles that cover the edge of the free area from outside; of too many the ones next to paths.

    Args:
        ground: where people walk.

    Returns:
        [k, 3] float64: x, y, radius in metres; at most 1,000.
    """
    depth = _distance(~ground.free, beyond=True)
    outside = np.argwhere((depth > 0) & (depth < _WIDEST_M + _CELL_M))
    edge = np.argwhere((depth > 0) & (depth < 1.5 * _CELL_M))
    middles, targets = ground.middle(outside), ground.middle(edge)
    radius = np.minimum(depth[outside[:, 0], outside[:, 1]] - 0.4 * _CELL_M, _WIDEST_M)
    slack = 0.8 * _CELL_M
    circles = []
    while len(targets):
        near = np.abs(middles - targets[0]).max(1) <= _WIDEST_M + slack
        reach = radius[near] + slack - np.hypot(*(middles[near] - targets[0]).T)
        able = np.flatnonzero(reach >= 0)
        able = able[radius[near][able] >= 0.7 * radius[near][able].max()]
        able = able[:: math.ceil(len(able) / _TRIED)]
        around = targets[np.abs(targets - targets[0]).max(1) <= 3 * _WIDEST_M]
        gap = np.hypot(*(middles[near][able][:, None] - around).transpose(2, 0, 1)) - radius[near][able][:, None]
        best = able[np.argmax((gap <= slack).sum(1))]
        at, wide = middles[near][best], radius[near][best]
        circles.append((*at, wide))
        targets = targets[np.hypot(*(targets - at).T) > wide + slack]
    found = np.array(circles)
    if len(found) > _MOST_CIRCLES:
        cells = ground.middle(np.argwhere(ground.gap_m >= CLEAR_M)[::7])
        gap = np.array([np.hypot(*(cells - circle[:2]).T).min() - circle[2] for circle in found])
        found = found[np.argsort(gap, kind="stable")[:_MOST_CIRCLES]]
    return found


def closed_paths(ground: Ground) -> tuple[np.ndarray, ...]:
    """Loops through the free area that keep clear of its edge.

    Args:
        ground: where people walk.

    Returns:
        6 closed polylines [n, 2] in metres, corners about a metre apart; the same ground gives the same ones.

    Raises:
        ValueError: the area is too narrow.
    """
    wide = _largest(ground.gap_m >= CLEAR_M + 0.05)
    for clear_m in (1.5, 1.15):
        roomy = _largest(ground.gap_m >= clear_m)
        if roomy.sum() > 0.6 * wide.sum():
            wide = roomy
            break
    if wide.sum() * _CELL_M**2 < 2.0:
        raise ValueError(f"its free ground is nowhere wide enough for a path {2 * CLEAR_M:g} m wide")
    rng = np.random.default_rng(0)
    side, blocks = _in_blocks(wide)
    stops = _spread(np.argwhere(blocks), _STOPS)
    paths = []
    for number in range(_PATHS):
        count = min(len(stops), 8 if number == 0 else 5)
        drawn = [_around(stops[rng.choice(len(stops), count, replace=False)]) for _ in range(_DRAWS)]
        chosen = max(drawn, key=_roundness)
        corners = np.concatenate([_way(blocks, a, b)[:-1] for a, b in pairwise([*chosen, chosen[0]])])
        paths.append(_dense(ground.middle(corners, side)))
    return tuple(paths)


def _cells(points: np.ndarray, low: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Cells and heights of the points that lie on the grid."""
    cells = np.floor((points[:, :2] - low) / _CELL_M).astype(np.int64)
    on = ((cells >= 0) & (cells < shape)).all(1)
    return cells[on, 0], cells[on, 1], points[on, 2]


def _samples(corners: np.ndarray, low: np.ndarray, high: np.ndarray) -> Iterator[np.ndarray]:
    """Points [n, 3] all over triangles on the grid, so many at a time that each cell has one; on lines along the
    longest side, ever shorter to the tip."""
    while True:
        on = (corners[..., :2].max(1) >= low).all(1) & (corners[..., :2].min(1) <= high).all(1)
        corners = corners[on]
        sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
        turn = (sides.argmax(1)[:, None] + np.arange(3)) % 3
        a, b, c = np.take_along_axis(corners, turn[..., None], 1).swapaxes(0, 1)
        longest = sides.max(1, initial=0.0)
        large = longest > _SPLIT_M
        if not large.any():
            break
        half = (a[large] + b[large]) / 2
        halves = [np.stack([a[large], half, c[large]], 1), np.stack([half, b[large], c[large]], 1)]
        corners = np.concatenate([corners[~large], *halves])
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    needed = np.stack([longest, area / np.maximum(longest, 1e-9)], 1) / (0.45 * _CELL_M)
    counts = 2 ** np.ceil(np.log2(np.maximum(needed, 1))).astype(np.int64)
    for along, across in np.unique(counts, axis=0):
        rows = np.flatnonzero((counts == (along, across)).all(1))
        u, v = np.meshgrid(np.linspace(0, 1, along + 1), np.linspace(0, 1, across + 1), indexing="ij")
        share = np.stack([(1 - u) * (1 - v), u * (1 - v), v], -1).reshape(-1, 3)
        for part in np.array_split(rows, math.ceil(len(rows) * len(share) / _CHUNK)):
            yield np.einsum("sk,ktc->tsc", share, np.stack([a[part], b[part], c[part]])).reshape(-1, 3)


def _distance(inside: Grid, *, beyond: bool = False) -> Grid:
    """Metres from the middle of each cell to that of the nearest one that is not inside, at most `_FAR_M`; `beyond`
    says whether the world beyond the grid is inside."""
    far = math.ceil(_FAR_M / _CELL_M)
    padded = np.pad(inside, far, constant_values=beyond)
    gap = np.where(padded, far, 0).astype(np.int32)
    for _ in range(far):
        gap[1:] = np.minimum(gap[1:], gap[:-1] + 1)
        gap[:-1] = np.minimum(gap[:-1], gap[1:] + 1)
    square = gap**2
    best = square.copy()
    for step in range(1, far):
        best[:, step:] = np.minimum(best[:, step:], square[:, :-step] + step**2)
        best[:, :-step] = np.minimum(best[:, :-step], square[:, step:] + step**2)
    metres = np.sqrt(best[far:-far, far:-far]).astype(np.float32) * np.float32(_CELL_M)
    return np.minimum(metres, np.float32(_FAR_M))


def _largest(inside: Grid) -> Grid:
    """The largest connected part."""
    label = np.where(inside, np.arange(inside.size).reshape(inside.shape), -1)
    while True:
        before = label
        label = _level_runs(_level_runs(label).T).T
        if np.array_equal(before, label):
            break
    if not inside.any():
        return inside
    labels, counts = np.unique(label[inside], return_counts=True)
    return label == labels[counts.argmax()]


def _level_runs(label: Grid) -> Grid:
    """Gives all cells of a run along a row the smallest label in it."""
    padded = np.pad(label, ((0, 0), (0, 1)), constant_values=-1).ravel()
    starts = np.flatnonzero(np.diff(padded >= 0, prepend=False))
    if not len(starts):
        return label
    smallest = np.minimum.reduceat(padded, starts)
    length = np.diff(np.append(starts, len(padded)))
    padded[starts[0] :] = np.repeat(smallest, length)
    return padded.reshape(len(label), -1)[:, :-1]


def _in_blocks(inside: Grid) -> tuple[int, Grid]:
    """Cells put together to blocks that lie inside with all of their cells, and cells a side of a block: as many as
    make a large grid small and keep most of a part that is connected."""
    for side in range(math.ceil(max(inside.shape) / _MOST_BLOCKS), 1, -1):
        columns, rows = inside.shape[0] // side, inside.shape[1] // side
        whole = inside[: columns * side, : rows * side].reshape(columns, side, rows, side).all((1, 3))
        blocks = _largest(np.pad(whole, ((0, 1), (0, 1))))
        if blocks.sum() * side**2 > 0.6 * inside.sum():
            return side, blocks
    return 1, inside


def _spread(cells: np.ndarray, count: int) -> np.ndarray:
    """Cells as far from each other as they can be."""
    chosen = [cells[np.argmax(((cells - cells.mean(0)) ** 2).sum(1))]]
    nearest = np.full(len(cells), np.inf)
    while len(chosen) < min(count, len(cells)):
        nearest = np.minimum(nearest, ((cells - chosen[-1]) ** 2).sum(1))
        chosen.append(cells[nearest.argmax()])
    return np.array(chosen)


def _around(points: np.ndarray) -> np.ndarray:
    """Points in their order around their middle."""
    away = points - points.mean(0)
    return points[np.argsort(np.arctan2(away[:, 1], away[:, 0]), kind="stable")]


def _roundness(polygon: np.ndarray) -> float:
    """Area over circumference: large for wide loops, small for thin ones and stars."""
    onward = np.roll(polygon, -1, axis=0)
    area = 0.5 * abs(float((polygon[:, 0] * onward[:, 1] - polygon[:, 1] * onward[:, 0]).sum()))
    return area / max(float(np.hypot(*(onward - polygon).T).sum()), 1e-9)


def _way(inside: Grid, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """A short way between two cells, as the cells [n, 2] of its corners."""
    if _in_sight(inside, start, end):
        return np.stack([start, end])
    steps = _steps_from(inside, end)
    way = [start]
    around = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)])
    while steps[tuple(way[-1])] > 0:
        next_to = way[-1] + around
        way.append(next_to[np.argmin(steps[next_to[:, 0], next_to[:, 1]])])
    corners = [way[0]]
    last = 0
    while last < len(way) - 1:
        ahead = len(way) - 1
        while ahead > last + 1 and not _in_sight(inside, way[last], way[ahead]):
            ahead = last + max((ahead - last) * 3 // 4, 1)
        corners.append(way[ahead])
        last = ahead
    return np.array(corners)


def _steps_from(inside: Grid, cell: np.ndarray) -> Grid:
    """Steps, straight and askew ones in turn, from a cell to each one inside; a large number where none lead."""
    steps = np.full(inside.shape, np.iinfo(np.int32).max, np.int32)
    front = np.zeros(inside.shape, bool)
    front[tuple(cell)] = True
    reached = front.copy()
    count = 0
    while front.any():
        steps[front] = count
        count += 1
        wide = front.copy()
        wide[1:] |= front[:-1]
        wide[:-1] |= front[1:]
        sideways = wide if count % 2 else front
        wide[:, 1:] |= sideways[:, :-1].copy()
        wide[:, :-1] |= sideways[:, 1:].copy()
        front = wide & inside & ~reached
        reached |= front
    return steps


def _in_sight(inside: Grid, start: np.ndarray, end: np.ndarray) -> bool:
    count = int(np.abs(end - start).max()) * 2 + 1
    line = np.rint(np.linspace(start, end, count)).astype(int)
    return bool(inside[line[:, 0], line[:, 1]].all())


def _dense(corners: np.ndarray) -> np.ndarray:
    """A closed polyline with corners about a metre apart."""
    parts = []
    for a, b in pairwise([*corners, corners[0]]):
        count = max(round(math.dist(a, b)), 1)
        parts.append(np.linspace(a, b, count, endpoint=False))
    return np.concatenate(parts)
