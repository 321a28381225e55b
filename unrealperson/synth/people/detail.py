"""Levels of detail: a mesh thinned by collapsing edges onto vertices that stay where they are.

Vertices that lie at one place with different texture coordinates move together, so seams stay closed; open edges
and seams only collapse along themselves; no triangle turns over and no hole opens or closes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unrealperson.compiled import compiled
from unrealperson.synth.people.sheets import SLOTS

SHARES = (1.0, 0.4, 0.15)
"""Triangles of each level as shares of those of the full mesh."""
_TEXTURE_M = 0.7
"""Metres of displacement that weigh as much as one side of the texture atlas."""
_BORDER, _SEAM = 3.0, 1.0
"""Weight of leaving an open edge or a texture seam sideways, relative to leaving the surface."""
_HAIR = 0.03
"""Weight of an error in hair: hundreds of small ribbons would take most triangles otherwise."""
_MOST = 64
_LEAST_COSINE = 0.25


class Level(NamedTuple):
    """One level of detail.

    Attributes:
        vertices: the level uses the mesh's first so many vertices.
        faces: [T, 3] uint32.
        slots: [T] uint8 slot of each triangle.
    """

    vertices: int
    faces: np.ndarray
    slots: np.ndarray


def make_levels(
    positions: np.ndarray, uv: np.ndarray, faces: np.ndarray, slots: np.ndarray
) -> tuple[np.ndarray, tuple[Level, ...]]:
    """Thins a mesh to the levels of `SHARES` and sorts its vertices, those of the lowest level first.

    A level with fewer triangles uses a subset of the vertices, so after sorting each level needs only the first
    rows of positions, normals, texture coordinates and weights.

    Args:
        positions: [V, 3] float32 metres; vertices of equal position are one point with several texture coordinates.
        uv: [V, 2] float32.
        faces: [T, 3] uint32, each vertex used.
        slots: [T] uint8; triangles that share a vertex share their slot.

    Returns:
        The vertices in their new order, [V] int64, and the levels, full one first, that index the sorted vertices.

    Source: Garland and Heckbert, Simplifying surfaces with color and texture using quadric error metrics, 1998;
    half-edge collapses in passes over the points in the order of their error.
    """
    point = _points(positions)
    place = np.concatenate([positions, _TEXTURE_M * uv], 1).astype(np.float64)
    corner = faces.astype(np.int64)
    quadric = _quadrics(corner, point, place, *_rings(corner, point, int(point.max()) + 1))
    slot_of = np.zeros(len(positions), np.uint8)
    slot_of[corner] = slots[:, None]
    quadric[slot_of == SLOTS.index("hair")] *= _HAIR
    cost = np.full(int(point.max()) + 1, np.nan)
    thinned = [corner]
    for share in SHARES[1:]:
        thinned.append(_thin(thinned[-1], point, place, quadric, cost, int(share * len(faces))))
    level_of = np.zeros(len(positions), np.int64)
    for number, kept in enumerate(thinned):
        level_of[kept] = number
    order = np.argsort(-level_of, kind="stable")
    row_of = np.empty(len(order), np.uint32)
    row_of[order] = np.arange(len(order), dtype=np.uint32)
    levels = (
        Level(int((level_of >= number).sum()), row_of[kept], slot_of[kept[:, 0]]) for number, kept in enumerate(thinned)
    )
    return order, tuple(levels)


def _points(positions: np.ndarray) -> np.ndarray:
    """[V] int64 number of the place of each vertex."""
    word = np.ascontiguousarray(positions + np.float32(0)).view(np.uint32).astype(np.uint64)
    code = (word[:, 0] * np.uint64(0x9E3779B97F4A7C15) + word[:, 1]) * np.uint64(0xC2B2AE3D27D4EB4F) + word[:, 2]
    return np.unique(code, return_inverse=True)[1].reshape(-1)


def _thin(
    faces: np.ndarray, point: np.ndarray, place: np.ndarray, quadric: np.ndarray, cost: np.ndarray, target: int
) -> np.ndarray:
    """Collapses edges until at most `target` triangles are left or none can go; quadrics move with the vertices."""
    while len(faces) > target:
        surplus, into = len(faces) - target, np.arange(len(point))
        mesh = faces, point, place, quadric, into, *_rings(faces, point, len(cost))
        _measure(mesh, cost)
        # What is dear now may be cheap to avoid once its neighbours have moved.
        limit = 1.5 * np.partition(cost, surplus // 2)[surplus // 2]
        order = np.flatnonzero((cost <= limit) & (cost < np.inf))
        _collapse(mesh, cost, order[np.argsort(cost[order], kind="stable")], limit, surplus)
        moved = into[faces]
        a, b, c = point[moved].T
        kept = moved[(a != b) & (b != c) & (c != a)]
        if len(kept) == len(faces):
            break
        faces = kept
    return faces


@compiled
def _rings(faces, point, count):  # int64 [T, 3], int64 [V], int -> int64 [count + 1], int64 [3 T]
    """Where each point's triangles begin, and the triangles of one point after the other."""
    start = np.zeros(count + 1, np.int64)
    for t in range(len(faces)):
        for k in range(3):
            start[point[faces[t, k]] + 1] += 1
    for p in range(count):
        start[p + 1] += start[p]
    end, ring = start.copy(), np.empty(start[count], np.int64)
    for t in range(len(faces)):
        for k in range(3):
            p = point[faces[t, k]]
            ring[end[p]] = t
            end[p] += 1
    return start, ring


@compiled
def _quadrics(faces, point, place, start, ring):  # float64 [V, 5] -> float64 [V, 21]
    """Squared distance from the planes through each vertex: upper triangle, vector and constant of a polynomial."""
    quadric = np.zeros((len(place), 21))
    along, across, matrix, row = np.zeros(5), np.zeros(5), np.zeros((5, 5)), np.zeros(21)
    for t in range(len(faces)):
        a, b, c = place[faces[t, 0]], place[faces[t, 1]], place[faces[t, 2]]
        area = _span(a, b, c, along, across)
        for i in range(5):
            for j in range(5):
                matrix[i, j] = (1.0 if i == j else 0.0) - along[i] * along[j] - across[i] * across[j]
        row[:] = 0.0
        _add(row, matrix, a, area / 3)
        for k in range(3):
            for i in range(21):
                quadric[faces[t, k], i] += row[i]
        x, y, z = _normal(a, b, c)
        for k in range(3):
            v, w = faces[t, k], faces[t, (k + 1) % 3]
            weight = _edge_weight(v, w, faces, point, start, ring)
            if weight > 0:
                d, e, f = place[w, 0] - place[v, 0], place[w, 1] - place[v, 1], place[w, 2] - place[v, 2]
                side = (e * z - f * y, f * x - d * z, d * y - e * x, 0.0, 0.0)
                square = side[0] ** 2 + side[1] ** 2 + side[2] ** 2
                for i in range(5):
                    for j in range(5):
                        matrix[i, j] = side[i] * side[j] / max(square, 1e-30)
                for end in (v, w):
                    _add(quadric[end], matrix, place[v], 0.5 * weight * (d * d + e * e + f * f))
    return quadric


@compiled
def _span(a, b, c, along, across):
    """Two unit vectors in the plane of a triangle; returns its area."""
    length = share = height = 0.0
    for i in range(5):
        along[i], across[i] = b[i] - a[i], c[i] - a[i]
        length += along[i] ** 2
    length = max(np.sqrt(length), 1e-15)
    for i in range(5):
        along[i] /= length
        share += along[i] * across[i]
    for i in range(5):
        across[i] -= share * along[i]
        height += across[i] ** 2
    height = max(np.sqrt(height), 1e-15)
    for i in range(5):
        across[i] /= height
    return 0.5 * length * height


@compiled
def _add(row, matrix, origin, weight):
    k = 0
    for i in range(5):
        product = 0.0
        for j in range(5):
            product += matrix[i, j] * origin[j]
        row[15 + i] -= 2 * weight * product
        row[20] += weight * product * origin[i]
        for j in range(i, 5):
            row[k] += weight * matrix[i, j] * (1.0 if i == j else 2.0)
            k += 1


@compiled
def _error(row, at):
    total, k = row[20], 0
    for i in range(5):
        total += row[15 + i] * at[i]
        for j in range(i, 5):
            total += row[k] * at[i] * at[j]
            k += 1
    return max(total, 0.0)


@compiled
def _normal(a, b, c):
    x, y, z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    u, v, w = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    return y * w - z * v, z * u - x * w, x * v - y * u


@compiled
def _edge_weight(v, w, faces, point, start, ring):
    """By how much an edge resists sideways moves: open edges and seams do."""
    p, q, uses, whole = point[v], point[w], 0, 0
    for t in ring[start[p] : start[p + 1]]:
        for k in range(3):
            if point[faces[t, k]] == q:
                uses += 1
                whole += faces[t, k] == w and (faces[t, 0] == v or faces[t, 1] == v or faces[t, 2] == v)
    return _BORDER if uses == 1 else _SEAM if whole < uses else 0.0


@compiled
def _measure(mesh, cost):
    """Error of the best move of each point that has none yet."""
    scratch = _scratch()
    for p in range(len(cost)):
        if np.isnan(cost[p]):
            cost[p] = _best_move(p, mesh, scratch)[1]


@compiled
def _collapse(mesh, cost, order, limit, surplus):
    """Moves points onto neighbours, cheapest first, until `surplus` triangles are gone; notes whose cost changed."""
    faces, point, _, quadric, into, start, ring = mesh
    scratch = _scratch()
    fan, _, pair, _ = scratch
    settled = np.zeros(len(cost), np.bool_)
    for p in order:
        if surplus <= 0:
            break
        if settled[p]:
            continue
        q, error, number, pairs = _best_move(p, mesh, scratch)
        if q < 0 or error > limit or settled[q]:
            continue
        for k in range(number):
            surplus -= point[fan[k, 1]] == q or point[fan[k, 2]] == q
            cost[point[fan[k, 1]]] = cost[point[fan[k, 2]]] = np.nan
        for k in range(pairs):
            v, w = pair[k, 0], pair[k, 1]
            if point[w] == q:
                into[v] = w
                quadric[w] += quadric[v]
        cost[p] = np.inf
        settled[p] = settled[q] = True
        for t in ring[start[q] : start[q + 1]]:
            for k in range(3):
                cost[point[into[faces[t, k]]]] = np.nan


@compiled
def _scratch():
    """Room for one point's triangles, neighbours, pairs of vertices, and errors of moves to the neighbours."""
    fan, near, pair = (
        np.empty((_MOST, 3), np.int64),
        np.empty((2 * _MOST, 3), np.int64),
        np.empty((2 * _MOST, 2), np.int64),
    )
    return fan, near, pair, np.empty(2 * _MOST)


@compiled
def _best_move(p, mesh, scratch):
    """The neighbour onto which a point moves with the least error, its error, and the numbers of triangles and pairs.

    Each vertex of the point needs exactly one partner among the neighbour's vertices. A point on open edges moves
    along them; where more than two open or branching edges meet it stays.
    """
    point, place, quadric = mesh[1], mesh[2], mesh[3]
    fan, near, pair, error = scratch
    number = _fan(p, mesh, fan)
    vertices = found = pairs = edges = 0
    for k in range(number):
        v = fan[k, 0]
        first = True
        for j in range(k):
            first &= fan[j, 0] != v
        vertices += first
        for w in (fan[k, 1], fan[k, 2]):
            q, n = point[w], 0
            while n < found and near[n, 0] != q:
                n += 1
            if n == found:
                near[n, 0], near[n, 1], near[n, 2], error[n] = q, 0, 0, 0.0
                found += 1
            near[n, 1] += 1
            known = False
            for j in range(pairs):
                if pair[j, 0] == v and point[pair[j, 1]] == q:
                    known = True
                    if pair[j, 1] != w:
                        error[n] = np.inf
            if not known:
                pair[pairs, 0], pair[pairs, 1] = v, w
                pairs += 1
                near[n, 2] += 1
                error[n] += _error(quadric[v], place[w])
    for n in range(found):
        edges += near[n, 1] != 2
    for n in range(found):
        if near[n, 2] != vertices or edges not in (0, 2) or (edges == 2 and near[n, 1] == 2):
            error[n] = np.inf
    for _ in range(found):
        best = np.argmin(error[:found])
        if error[best] == np.inf:
            break
        if _is_sound(near[best, 0], near[best, 1], mesh, fan[:number], near[:found]):
            return near[best, 0], error[best], number, pairs
        error[best] = np.inf
    return -1, np.inf, 0, 0


@compiled
def _fan(p, mesh, fan):
    """Triangles around a point after the moves so far, its own vertex first; returns their number, 0 if too many."""
    faces, point, _, _, into, start, ring = mesh
    number = 0
    for t in ring[start[p] : start[p + 1]]:
        a, b, c = into[faces[t, 0]], into[faces[t, 1]], into[faces[t, 2]]
        if point[a] == point[b] or point[b] == point[c] or point[c] == point[a]:
            continue
        if number == _MOST:
            return 0
        if point[b] == p:
            a, b, c = b, c, a
        elif point[c] == p:
            a, b, c = c, a, b
        fan[number, 0], fan[number, 1], fan[number, 2] = a, b, c
        number += 1
    return number


@compiled
def _is_sound(q, uses, mesh, fan, near):
    """Whether no hole opens or closes and no triangle turns over when a point moves onto a neighbour."""
    faces, point, place, _, into, start, ring = mesh
    shared, goal = 0, -1
    for n in range(len(near)):
        near[n, 2] = 0
    for t in ring[start[q] : start[q + 1]]:
        a, b, c = into[faces[t, 0]], into[faces[t, 1]], into[faces[t, 2]]
        if point[a] == point[b] or point[b] == point[c] or point[c] == point[a]:
            continue
        for v in (a, b, c):
            if point[v] == q:
                goal = v
                continue
            for n in range(len(near)):
                if near[n, 0] == point[v] and near[n, 2] == 0:
                    near[n, 2] = 1
                    shared += 1
    if shared != uses or goal < 0:
        return False
    for k in range(len(fan)):
        a, b, c = fan[k]
        if point[b] == q or point[c] == q:
            continue
        x, y, z = _normal(place[a], place[b], place[c])
        u, v, w = _normal(place[goal], place[b], place[c])
        before, after = x * x + y * y + z * z, u * u + v * v + w * w
        if before > 0 and x * u + y * v + z * w <= _LEAST_COSINE * np.sqrt(before * after):
            return False
    return True
