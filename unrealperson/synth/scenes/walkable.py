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
_CELL_M, _MOST_CELLS = 0.15, 1_500_000
_BLOCKS_M = (0.25, 1.9)
"""Only what lies between these heights above the floor is in the way."""
_LEVEL_M = 0.12
"""Steps up to this height still count as floor."""
_BODY_M = 0.35
_FAR_M = 2.5
_MOST_CIRCLES, _WIDEST_M, _TRIED = 1000, 1.2, 60
_PATHS, _STOPS, _DRAWS = 6, 24, 40
_CHUNK = 1_000_000

Grid = np.ndarray
"""[X, Y], one value a cell."""


@dataclass(frozen=True)
class Ground:
    """Ground that people can reach.

    Attributes:
        low_m: [2] corner of the grid.
        cell_m: side of a cell.
        free: [X, Y] bool: one connected area.
        gap_m: [X, Y] float32 distance from its middle to the nearest cell that is not free, at most `_FAR_M`.
        covered: share of the free cells below a ceiling.
        ceiling_m: its height, infinite where there is none.
    """

    low_m: np.ndarray
    cell_m: float
    free: Grid
    gap_m: Grid
    covered: float
    ceiling_m: float

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in metres of the free area."""
        cells = np.argwhere(self.free)
        (x0, y0), (x1, y1) = self.low_m + cells.min(0) * self.cell_m, self.low_m + (cells.max(0) + 1) * self.cell_m
        return float(x0), float(y0), float(x1), float(y1)

    def middle(self, cells: np.ndarray) -> np.ndarray:
        """Middles of cells [n, 2], in metres."""
        return self.low_m + (cells + 0.5) * self.cell_m

    def gap_at(self, points: np.ndarray) -> np.ndarray:
        """Distance to what is not free at points [n, 2] of the grid, in metres."""
        cells = np.clip(((points - self.low_m) / self.cell_m).astype(int), 0, np.array(self.free.shape) - 1)
        return self.gap_m[cells[:, 0], cells[:, 1]]


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


def find_ground(floor: np.ndarray, others: np.ndarray, forbidden: np.ndarray) -> Ground:
    """The largest connected area of floor where a body has room.

    Args:
        floor: [T, 3, 3] triangles that may be walked on, metres; the floor's height is 0.
        others: [T, 3, 3] triangles that are in the way where they are at a body's height; they may be the same ones.
        forbidden: [T, 3, 3] triangles below and above which nobody may walk, at any height.

    Raises:
        ValueError: no such area, or it is too large.
    """
    looks_up = np.cross(floor[:, 1] - floor[:, 0], floor[:, 2] - floor[:, 0])[:, 2] > 0
    flat = floor[looks_up & (np.abs(floor[..., 2]) <= 2 * _LEVEL_M).all(1)]
    if not len(flat):
        raise ValueError("it has no ground to walk on at the height of its floor")
    low, high = flat[..., :2].min((0, 1)), flat[..., :2].max((0, 1))
    cell_m = max(_CELL_M, math.sqrt(float(np.prod(high - low)) / _MOST_CELLS))
    if cell_m > 2 * _CELL_M:
        raise ValueError(f"its ground measures {high[0] - low[0]:.0f} x {high[1] - low[1]:.0f} m; mark a part as floor")
    margin_m = _WIDEST_M + 2 * cell_m
    low = low - margin_m
    shape = tuple(np.ceil((high + margin_m - low) / cell_m).astype(int))
    is_floor, blocked, overhead = np.zeros(shape, bool), np.zeros(shape, bool), np.full(shape, np.inf)
    for points in _samples(flat, 0.45 * cell_m):
        x, y, _ = _cells(points, low, cell_m, shape)
        is_floor[x, y] = True
    for points in _samples(others, 0.45 * cell_m):
        x, y, z = _cells(points, low, cell_m, shape)
        at_body = (z > _BLOCKS_M[0]) & (z < _BLOCKS_M[1])
        blocked[x[at_body], y[at_body]] = True
        above = z >= _BLOCKS_M[1]
        np.minimum.at(overhead, (x[above], y[above]), z[above])
    for points in _samples(forbidden, 0.45 * cell_m):
        x, y, _ = _cells(points, low, cell_m, shape)
        blocked[x, y] = True
    open_ground = is_floor & ~blocked
    core = _largest(_distance(open_ground, cell_m) > _BODY_M)
    if not core.any():
        raise ValueError("it has no free ground that is wide enough for a person")
    free = open_ground & (_distance(~core, cell_m) <= _BODY_M + cell_m)
    heights = overhead[free]
    covered = np.isfinite(heights)
    ceiling_m = float(np.median(heights[covered])) if covered.any() else math.inf
    return Ground(low, cell_m, free, _distance(free, cell_m), float(covered.mean()), ceiling_m)


def cover_with_circles(ground: Ground) -> np.ndarray:
    """Circles that cover the edge of the free area from outside, the ones with the most ground nearby first.

    Args:
        ground: where people walk.

    Returns:
        [k, 3] float64: x, y, radius in metres; at most 1,000.
    """
    depth = _distance(~ground.free, ground.cell_m, beyond=True)
    outside = np.argwhere((depth > 0) & (depth < _WIDEST_M + ground.cell_m))
    edge = np.argwhere((depth > 0) & (depth < 1.5 * ground.cell_m))
    middles, targets = ground.middle(outside), ground.middle(edge)
    radius = np.minimum(depth[outside[:, 0], outside[:, 1]] - 0.4 * ground.cell_m, _WIDEST_M)
    slack = 0.8 * ground.cell_m
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
    cells = np.argwhere(wide)
    if len(cells) * ground.cell_m**2 < 2.0:
        raise ValueError(f"its free ground is nowhere wide enough for a path {2 * CLEAR_M:g} m wide")
    rng = np.random.default_rng(0)
    stops = _spread(cells, _STOPS)
    paths = []
    for number in range(_PATHS):
        count = min(len(stops), 8 if number == 0 else 5)
        drawn = [_around(stops[rng.choice(len(stops), count, replace=False)]) for _ in range(_DRAWS)]
        chosen = max(drawn, key=_roundness)
        corners = np.concatenate([_way(wide, a, b)[:-1] for a, b in pairwise([*chosen, chosen[0]])])
        paths.append(_dense(ground.middle(corners)))
    return tuple(paths)


def _cells(points: np.ndarray, low: np.ndarray, cell_m: float, shape: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Cells and heights of the points that lie on the grid."""
    cells = np.floor((points[:, :2] - low) / cell_m).astype(np.int64)
    on = ((cells >= 0) & (cells < shape)).all(1)
    return cells[on, 0], cells[on, 1], points[on, 2]


def _samples(corners: np.ndarray, spacing_m: float) -> Iterator[np.ndarray]:
    """Points [n, 3] all over triangles, so many at a time; lines along the longest side, ever shorter to the tip."""
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    turn = (sides.argmax(1)[:, None] + np.arange(3)) % 3
    a, b, c = np.take_along_axis(corners, turn[..., None], 1).swapaxes(0, 1)
    longest = sides.max(1, initial=0.0)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    needed = np.stack([longest, area / np.maximum(longest, 1e-9)], 1) / spacing_m
    counts = 2 ** np.ceil(np.log2(np.clip(needed, 1, 4096))).astype(np.int64)
    for along, across in np.unique(counts, axis=0):
        rows = np.flatnonzero((counts == (along, across)).all(1))
        u, v = np.meshgrid(np.linspace(0, 1, along + 1), np.linspace(0, 1, across + 1), indexing="ij")
        share = np.stack([(1 - u) * (1 - v), u * (1 - v), v], -1).reshape(-1, 3)
        for part in np.array_split(rows, math.ceil(len(rows) * len(share) / _CHUNK)):
            yield np.einsum("sk,ktc->tsc", share, np.stack([a[part], b[part], c[part]])).reshape(-1, 3)


def _distance(inside: Grid, cell_m: float, *, beyond: bool = False) -> Grid:
    """Metres from the middle of each cell to that of the nearest one that is not inside, at most `_FAR_M`; `beyond`
    says whether the world beyond the grid is inside."""
    far = math.ceil(_FAR_M / cell_m)
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
    metres = np.sqrt(best[far:-far, far:-far]).astype(np.float32) * np.float32(cell_m)
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
