"""Triangle sheets over a body, and what tailoring does to them: cut, hem, smooth, weld.

Every vertex remembers its place on the neutral base mesh, so cut lines and texture charts fit every body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from unrealperson.synth.people.body import Body, Template, load_template, strongest_weights

SLOTS = (
    "skin", "eyes", "hair", "top", "outer", "bottom", "shoes", "backpack", "headwear", "glasses", "handheld", "scarf",
    "mask", "vehicle",
)  # fmt: skip
"""What a triangle of a dressed person belongs to; a dress is a top, with legs below it in the bottom's place.
Bags worn on back, shoulder or hip are backpacks; the names never change, new ones are added at the end."""


@dataclass(frozen=True)
class Sheet:
    """A welded triangle mesh that knows its place on the template.

    Attributes:
        position: [n, 3] metres on this body.
        template: [n, 3] metres on the neutral base mesh.
        guide: [n, 4] arm, along, around, head.
        normal: [n, 3].
        weight: [n, B] dense bone weights.
        triangles: [T, 3] int.
        chart: [T, 3, 2] texture coordinates of the corners, or empty.
        slot: index into `SLOTS`.
        soft: whether light sees `normal`, rather than the triangles as they lie.
    """

    position: np.ndarray
    template: np.ndarray
    guide: np.ndarray
    normal: np.ndarray
    weight: np.ndarray
    triangles: np.ndarray
    chart: np.ndarray
    slot: int = 0
    soft: bool = False


@dataclass(frozen=True)
class Mesh:
    """A dressed person at rest.

    Attributes:
        positions: [V, 3] float32 metres, soles at z = 0.
        normals: [V, 3] float32.
        uv: [V, 2] float32.
        faces: [T, 3] uint32.
        bone_index: [V, 4] uint8.
        bone_weight: [V, 4] float32.
        lift_m: metres by which the soles raise the body.
        slot: [T] uint8 index into `SLOTS` of each triangle.
    """

    positions: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    bone_index: np.ndarray
    bone_weight: np.ndarray
    lift_m: float
    slot: np.ndarray


@dataclass(frozen=True)
class Guides:
    """Per vertex of the base mesh: where it lies along the limbs.

    Attributes:
        arm: [V] share of weights of arm and hand.
        along: [V] position along the arm; 0 shoulder, 1 elbow, 2 wrist.
        around: [V] angle about the arm's axis in radians.
        head: [V] share of weights of the head.
        weight: [V, B] bone weights.
    """

    arm: np.ndarray
    along: np.ndarray
    around: np.ndarray
    head: np.ndarray
    weight: np.ndarray


@lru_cache(maxsize=1)
def body_guides() -> Guides:
    """Where the vertices of the base mesh lie along the limbs."""
    template = load_template()
    dense = np.zeros((len(template.vertices), len(template.bone_names)), np.float32)
    np.put_along_axis(dense, template.bone_index.astype(np.int64), template.bone_weight, 1)
    names = [str(name) for name in template.bone_names]
    fingers = ("index", "middle", "ring", "pinky", "thumb")
    arm = dense[:, [n.startswith(("upperarm", "lowerarm", "hand", *fingers)) for n in names]].sum(1)
    joints = template.joints(template.vertices).astype(np.float64)
    shoulder, elbow, wrist = (joints[template.bone(f"{n}_l")] for n in ("upperarm", "lowerarm", "hand"))
    mirrored = template.vertices.astype(np.float64)
    mirrored[:, 1] = np.abs(mirrored[:, 1])
    upper = (mirrored - shoulder) @ (elbow - shoulder) / ((elbow - shoulder) @ (elbow - shoulder))
    lower = (mirrored - elbow) @ (wrist - elbow) / ((wrist - elbow) @ (wrist - elbow))
    along = np.where(lower > 0, 1 + lower, np.minimum(upper, 1.0))
    axis = np.where(
        (lower > 0)[:, None],
        elbow + np.clip(lower, 0, 2)[:, None] * (wrist - elbow),
        shoulder + np.clip(upper, -1, 1)[:, None] * (elbow - shoulder),
    )
    away = mirrored - axis
    direction = (wrist - shoulder) / np.linalg.norm(wrist - shoulder)
    front = np.array([1.0, 0, 0]) - direction[0] * direction
    front /= np.linalg.norm(front)
    around = np.arctan2(away @ np.cross(direction, front), away @ front)
    head = dense[:, [n == "head" for n in names]].sum(1)
    return Guides(arm=arm, along=along, around=around, head=head, weight=dense)


@lru_cache(maxsize=1)
def skin_faces() -> np.ndarray:
    """[T, 3] triangles of the body without the inside of mouth and eye sockets, coarser on face and hands."""
    template = load_template()
    rows = template.faces_of("body")
    centre = template.uv[template.quad_uv[rows]].mean(1)
    # Two islands of the UV map lie inside the head; the rim of the mouth stays.
    mouth = (centre[:, 0] > 0.75) & (centre[:, 1] < 0.144)
    mouth &= template.vertices[template.quads[rows], 0].mean(1) < 0.125
    sockets = (centre[:, 0] < 0.155) & (np.abs(centre[:, 1] - 0.59) < 0.045)
    quads = template.quads[rows[~(mouth | sockets)]]
    point, guides = template.vertices, body_guides()
    hand = (guides.arm > 0.5) & (guides.along > 1.9)
    kind = np.where(hand, 2, np.where(guides.head > 0.5, 1, 0))
    cell = np.where(on_nails(point), 0.0024, np.array([0.0005, 0.0016, 0.004])[kind])
    code = np.round(point / cell[:, None]).astype(np.int64) @ np.array([1, 1 << 16, 1 << 32]) + (kind << 48)
    used = np.unique(quads)
    _, first, inverse = np.unique(code[used], return_index=True, return_inverse=True)
    merged = np.zeros(len(point), np.int64)
    merged[used] = used[first][inverse]
    triangles = merged[triangles_of(quads)]
    a, b, c = triangles.T
    return triangles[(a != b) & (b != c) & (c != a)]


@lru_cache(maxsize=1)
def nails() -> tuple[np.ndarray, np.ndarray]:
    """Where the ten fingernails lie on the neutral base mesh.

    Returns:
        Middles [10, 3], and axes [10, 3, 3] as rows: to the tip, across, away from the finger.
    """
    template, guides = load_template(), body_guides()
    joints = dict(zip(template.bone_names.tolist(), template.joints(template.vertices).astype(np.float64), strict=True))
    middles, axes = [], []
    for side, sign in (("l", 1.0), ("r", -1.0)):
        palm = sign * np.cross(
            joints[f"middle_01_{side}"] - joints[f"hand_{side}"],
            joints[f"index_01_{side}"] - joints[f"pinky_01_{side}"],
        )
        for finger in ("thumb", "index", "middle", "ring", "pinky"):
            last = joints[f"{finger}_03_{side}"]
            tip_vertices = template.vertices[guides.weight[:, template.bone(f"{finger}_03_{side}")] > 0.7]
            along = last - joints[f"{finger}_02_{side}"]
            along /= np.linalg.norm(along)
            back = -palm / np.linalg.norm(palm)
            if finger == "thumb":
                to_index = joints[f"index_01_{side}"] - joints[f"pinky_01_{side}"]
                back = 0.55 * back + 0.85 * to_index / np.linalg.norm(to_index)
            back -= (back @ along) * along
            back /= np.linalg.norm(back)
            from_joint = tip_vertices - last
            reach = (from_joint @ along).max()
            tip = from_joint @ along > reach - 0.014
            middles.append(last + (reach - 0.0105) * along + (from_joint @ back)[tip].max() * back)
            axes.append(np.stack([along, np.cross(back, along), back]))
    return np.array(middles), np.array(axes)


def on_nails(points: np.ndarray) -> np.ndarray:
    """Which places on the neutral base mesh lie on a fingernail.

    Args:
        points: [n, 3] metres.

    Returns:
        [n] bool.
    """
    found = np.zeros(len(points), bool)
    middle, axes = nails()
    near = (points > middle.min(0) - 0.01) & (points < middle.max(0) + 0.01)
    fingers = np.flatnonzero(near.all(1) & (np.abs(points[:, 1]) > np.abs(middle[:, 1]).min() - 0.01))
    apart = (points[fingers] ** 2).sum(1)[:, None] - 2 * points[fingers] @ middle.T + (middle**2).sum(1)
    fingers = fingers[apart.min(1) < 0.01**2]
    away = np.einsum("kij,nkj->nki", axes, points[fingers, None] - middle)
    inside = (away[..., 0] / 0.0075) ** 2 + (away[..., 1] / 0.006) ** 2 < 1
    found[fingers] = (inside & (np.abs(away[..., 2]) < 0.005)).any(1)
    return found


def sheet_from(template: Template, body: Body, *groups: str) -> Sheet:
    """The sheet of whole groups of the base mesh.

    Args:
        template: the base mesh.
        body: the person's shape.
        groups: names out of `body.GROUPS`.
    """
    return sheet_of(template, body, triangles_of(template.quads[template.faces_of(*groups)]))


def sheet_of(template: Template, body: Body, faces: np.ndarray) -> Sheet:
    """The sheet of chosen triangles of the base mesh.

    Args:
        template: the base mesh.
        body: the person's shape.
        faces: [T, 3] vertices of the base mesh.
    """
    used, inverse = np.unique(faces, return_inverse=True)
    triangles = inverse.reshape(faces.shape)
    guides = body_guides()
    position = body.vertices[used].astype(np.float64)
    return Sheet(
        position,
        template.vertices[used].astype(np.float64),
        np.stack([guides.arm[used], guides.along[used], guides.around[used], guides.head[used]], 1).astype(np.float64),
        normals(position, triangles),
        guides.weight[used].astype(np.float64),
        triangles,
        np.zeros((0, 3, 2)),
    )


def triangles_of(quads: np.ndarray) -> np.ndarray:
    """Splits quads; a quad that repeats its third corner is one triangle.

    Args:
        quads: [F, 4] int.
    """
    return np.concatenate([quads[:, [0, 1, 2]], quads[quads[:, 3] != quads[:, 2]][:, [0, 2, 3]]])


def normals(position: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals, upwards where a vertex has no area.

    Args:
        position: [n, 3] metres.
        triangles: [T, 3] int.

    Returns:
        [n, 3] of unit length.
    """
    corner = position[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(face[:, axis], 3), len(position)) for axis in range(3)], 1
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-12, total / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])


def cut(sheet: Sheet, field: np.ndarray) -> Sheet:
    """Keeps the part of a sheet where the field is positive, with new vertices along the cut line.

    Args:
        sheet: what is cut; its chart is kept as it is.
        field: [n] value of each vertex.
    """
    t = sheet.triangles
    inside = field > 0
    count = inside[t].sum(1)
    keep, one, two = t[count == 3], t[count == 1], t[count == 2]
    one = _roll_first(one, inside[one])
    two = _roll_first(two, ~inside[two])
    # One corner inside: cut both its edges. Two inside: the corner outside comes first after the roll.
    edges = np.concatenate([one[:, [0, 1]], one[:, [0, 2]], two[:, [1, 0]], two[:, [2, 0]]])
    pair, inverse = np.unique(np.sort(edges, 1), axis=0, return_inverse=True)
    inverse = inverse.reshape(-1) + len(field)
    a, b = pair[:, 0], pair[:, 1]
    share = (field[a] / (field[a] - field[b]))[:, None] if len(pair) else np.zeros((0, 1))
    n1, n2 = len(one), len(two)
    e01, e02, e10, e20 = np.split(inverse, np.cumsum([n1, n1, n2]))
    triangles = np.concatenate(
        [
            keep,
            np.stack([one[:, 0], e01, e02], 1),
            np.stack([e10, two[:, 1], two[:, 2]], 1),
            np.stack([e10, two[:, 2], e20], 1),
        ]
    )
    used, inverse = np.unique(triangles, return_inverse=True)

    def grown(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, values[a] * (1 - share) + values[b] * share])[used]

    return replace(
        sheet,
        position=grown(sheet.position),
        template=grown(sheet.template),
        guide=grown(sheet.guide),
        normal=grown(sheet.normal),
        weight=grown(sheet.weight),
        triangles=inverse.reshape(-1, 3),
    )


def _roll_first(triangles: np.ndarray, marked: np.ndarray) -> np.ndarray:
    first = marked.argmax(1)[:, None]
    return np.take_along_axis(triangles, (first + np.arange(3)) % 3, 1)


def hem(sheet: Sheet, depth: float) -> Sheet:
    """Turns the open edges of a sheet inwards, so that clothes have thickness and no view under them.

    Args:
        sheet: without a chart.
        depth: metres.
    """
    t = sheet.triangles
    edges = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    code = edges.min(1) * len(sheet.position) + edges.max(1)
    _, first, count = np.unique(code, return_index=True, return_counts=True)
    border = edges[first[count == 1]]
    ring, inverse = np.unique(border, return_inverse=True)
    inverse = inverse.reshape(-1, 2) + len(sheet.position)
    a, b, c, d = border[:, 0], border[:, 1], inverse[:, 0], inverse[:, 1]
    triangles = np.concatenate([t, np.stack([b, a, c], 1), np.stack([b, c, d], 1)])
    inner = sheet.position[ring] - depth * sheet.normal[ring]
    return replace(
        sheet,
        position=np.concatenate([sheet.position, inner]),
        template=np.concatenate([sheet.template, sheet.template[ring]]),
        guide=np.concatenate([sheet.guide, sheet.guide[ring]]),
        normal=np.concatenate([sheet.normal, sheet.normal[ring]]),
        weight=np.concatenate([sheet.weight, sheet.weight[ring]]),
        triangles=triangles,
    )


def smooth(sheet: Sheet, values: np.ndarray, times: int) -> np.ndarray:
    """Averages values with those of the neighbouring vertices.

    Args:
        sheet: gives the neighbours.
        values: [n, k] value of each vertex.
        times: how often.
    """
    near, start, count = _links(sheet.triangles.tobytes(), str(sheet.triangles.dtype), len(values))
    for _ in range(times):
        values = 0.5 * values + 0.5 * np.add.reduceat(values[near], start) / count
    return values


@lru_cache(maxsize=4)
def _links(triangles: bytes, dtype: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbours of the vertices one after another, where each vertex's begin, and how many it has."""
    t = np.frombuffer(triangles, dtype).reshape(-1, 3)
    edges = np.unique(np.sort(np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]]), 1), axis=0)
    ends = np.concatenate([edges, edges[:, ::-1]])
    order = np.argsort(ends[:, 0], kind="stable")
    start = np.searchsorted(ends[order, 0], np.arange(count))
    return ends[order, 1], start, np.bincount(ends[:, 0], minlength=count)[:, None]


def ramp(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """Smooth step.

    Args:
        value: where.
        start: here and before it is 0.
        end: here and beyond it is 1; may lie below start.
    """
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def weld(parts: list[Sheet]) -> Mesh:
    """Joins charted parts into one mesh that stands on the ground.

    Normals are smooth within a part, and across the seams between parts of one slot; a vertex is split only where its
    texture coordinates differ.

    Args:
        parts: at least one, each with a chart.
    """
    pieces: list[tuple[np.ndarray, ...]] = []
    start = 0
    for part in parts:
        corner = part.chart.reshape(-1, 2)
        code = np.round(corner * 8192).astype(np.int64) @ np.array([1 << 14, 1])
        code += part.triangles.reshape(-1).astype(np.int64) << 28
        _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
        source = part.triangles.reshape(-1)[first]
        index, weight = strongest_weights(part.weight[source])
        normal = (part.normal if part.soft else normals(part.position, part.triangles))[source]
        slot = np.full(len(first), 0 if part.soft else part.slot + 1)
        pieces.append(
            (part.position[source], normal, corner[first], inverse.reshape(-1, 3) + start, index, weight, slot)
        )
        start += len(first)
    position, normal, uv, faces, index, weight, slot = (np.concatenate(column) for column in zip(*pieces, strict=True))
    normal = _across_seams(position, normal, slot)
    lift_m = -float(position[:, 2].min())
    position[:, 2] += lift_m
    return Mesh(
        position.astype(np.float32),
        normal.astype(np.float32),
        uv.astype(np.float32),
        faces.astype(np.uint32),
        index,
        weight,
        lift_m,
        np.repeat(np.array([part.slot for part in parts], np.uint8), [len(part.triangles) for part in parts]),
    )


def _across_seams(position: np.ndarray, normal: np.ndarray, slot: np.ndarray) -> np.ndarray:
    """Normals that vertices of one slot at one place share, but for a thin thing's two sides; slot 0 keeps its own."""
    place = np.round(position * 1e4).astype(np.int64)
    code = (place - place.min(0)) @ np.array([1, 1 << 17, 1 << 34]) * (len(SLOTS) + 1) + slot
    _, same = np.unique(code, return_inverse=True)
    shared = np.stack([np.bincount(same, normal[:, axis]) for axis in range(3)], 1)[same]
    length = np.linalg.norm(shared, axis=1, keepdims=True)
    agree = (shared * normal).sum(1, keepdims=True) > 0.5 * np.maximum(length, 1e-3)
    agree &= slot[:, None] > 0
    return np.where(agree, shared / np.maximum(length, 1e-3), normal)
