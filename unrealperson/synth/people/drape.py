"""How cloth hangs: shells pushed off the layer below, sleeves and legs that fall, skirts and coat tails.

All shells share the vertices and weights of one body shell and are only ever pushed outwards from the layer
below, so layers stay nested in every pose.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from unrealperson.synth.people.body import Body, Template, load_template
from unrealperson.synth.people.sheets import Sheet, normals, ramp, smooth, triangles_of

AXIS_X = 0.012
_SECTORS = 48
_TURN = np.linspace(-np.pi, np.pi, _SECTORS, endpoint=False)
_LEVEL_STEP_M = 0.03
_JOINTS = ("foot_l", "calf_l", "thigh_l", "spine_01", "spine_02", "spine_03", "neck_01")


def push(sheet: Sheet, offset: np.ndarray) -> Sheet:
    """Moves a sheet along its normals.

    Args:
        sheet: what is moved.
        offset: [n] metres.
    """
    position = sheet.position + offset[:, None] * sheet.normal
    return replace(sheet, position=position, normal=normals(position, sheet.triangles))


def resting(direction: np.ndarray, sheet: Sheet) -> np.ndarray:
    """How much cloth lies on what is below it: 1 where it faces up, 0 where it hangs free.

    Args:
        direction: [n, 3] unit vectors away from what is below.
        sheet: the cloth; arms hang down once they are lowered, so that their outside faces up at rest.
    """
    side = np.where(sheet.template[:, 1] > 0, 0.62, -0.62) * sheet.guide[:, 0]
    return np.clip(side * direction[:, 1] + 0.78 * direction[:, 2], 0, 1)


def fall_straight(sheet: Sheet, share: float) -> Sheet:
    """Lets the cloth of a trunk span hollows and fall from chest, shoulder blades and belly.

    Args:
        sheet: the cloth, lying on the layer below.
        share: 0 follows the body ... 1 falls straight.
    """
    z = sheet.template[:, 2]
    trunk = sheet.guide[:, 0] < 0.5
    axis = _axis(sheet)
    levels = np.arange(0.47, -0.1, -_LEVEL_STEP_M)
    reach = hull(sheet.position[trunk, :2] - axis, z[trunk], levels)
    reach = reach + share * (_never_narrower(reach, 0.1 * _LEVEL_STEP_M) - reach)
    away = sheet.position[:, :2] - axis
    radius = np.linalg.norm(away, axis=1)
    turn = np.arctan2(away[:, 1], away[:, 0])
    wanted = _look_up(reach, levels, z, turn)
    move = (0.2 + 0.8 * share) * ramp(z, 0.50, 0.42) * ramp(z, -0.03, 0.03) * (1 - ramp(sheet.guide[:, 0], 0.1, 0.5))
    move = move * (1 - 0.6 * np.sin(turn) ** 4 * ramp(z, 0.3, 0.2))
    grown = smooth(sheet, (move * np.maximum(wanted - radius, 0))[:, None], 2)[:, 0] * ramp(
        -sheet.guide[:, 0], -0.6, -0.2
    )
    position = sheet.position.copy()
    position[:, :2] += away * (grown / np.maximum(radius, 1e-6))[:, None]
    return replace(sheet, position=position, normal=normals(position, sheet.triangles))


def widen(sheet: Sheet, body: Body, limb: tuple[str, str, str], least: np.ndarray) -> Sheet:
    """Pushes cloth away from the axis of a limb, at least to a radius.

    Args:
        sheet: the cloth.
        body: gives the joints.
        limb: names of three bones from the trunk outwards, without the side.
        least: [n] wanted radius in metres; 0 leaves a vertex alone.
    """
    template = load_template()
    left = sheet.template[:, 1] > 0
    nearest, shortest = np.zeros_like(sheet.position), np.full(len(left), np.inf)
    for first, second in pairwise(limb):
        a, b = (
            np.where(left[:, None], body.joints[template.bone(f"{n}_l")], body.joints[template.bone(f"{n}_r")])
            for n in (first, second)
        )
        along = ((sheet.position - a) * (b - a)).sum(1) / ((b - a) ** 2).sum(1)
        foot = a + np.clip(along, 0, 1.15)[:, None] * (b - a)
        distance = np.linalg.norm(sheet.position - foot, axis=1)
        closer = distance < shortest
        nearest[closer], shortest[closer] = foot[closer], distance[closer]
    side = np.where(left, 1.0, -1.0)
    away = (sheet.position - nearest) / np.maximum(shortest, 1e-6)[:, None]
    gap = np.clip(least - shortest, 0, 0.12)
    if limb[0] == "upperarm":
        gap = gap * (1 - 0.95 * resting(away, sheet))
    gap = smooth(sheet, gap[:, None], 2)
    position = sheet.position + gap * away
    # The cloth of one leg ends where the other begins.
    crossed = (sheet.template[:, 2] < -0.08) & (side * position[:, 1] < 0.004) & (least > 0)
    position[crossed, 1] = 0.004 * side[crossed]
    return replace(sheet, position=position, normal=normals(position, sheet.triangles))


def hang(
    under: Sheet, body: Body, *, top_z: float, hem_z: float, room_m: float, flare: float, pleats: int, wave_m: float
) -> Sheet:
    """A skirt: rows of cloth around hips and legs, from the waist down.

    Args:
        under: shell of the layer it lies on; the upper rows follow it.
        body: gives the joints.
        top_z: first row, on the neutral base mesh.
        hem_z: last row.
        room_m: gap to the layer below.
        flare: share by which it widens to its edge; below 0 it narrows as far as the legs allow.
        pleats: number of waves around it.
        wave_m: height of those waves at the edge.
    """
    template = load_template()
    rows = max(4, round((top_z - hem_z) / 0.034) + 1)
    level = np.linspace(top_z, hem_z, rows)
    near = (under.guide[:, 0] < 0.3) & (under.template[:, 2] < top_z + 0.08)
    points, z = under.position[near], under.template[near, 2]
    axis = _axis(under)
    reach = hull(points[:, :2] - axis, z, level) + room_m
    reach = _never_narrower(reach, (0.0 if flare >= 0 else 0.22) * (top_z - hem_z) / (rows - 1))
    resting = _resting_radius(points[:, :2] - axis, z, level) + room_m
    on_body = ramp(level, top_z - 0.13, top_z - 0.035)[:, None]
    down = np.clip((top_z - 0.04 - level) / max(top_z - 0.04 - hem_z, 0.05), 0, 1)[:, None]
    # Arms press the sides in; without that they would pass through a wide skirt.
    pressed = np.sin(_TURN)[None] ** 2 * ramp(level, -0.4, -0.2)[:, None]
    spread = 1 + max(flare, 0.0) * down**1.5 * (1 - pressed)
    radius = (reach + on_body * (resting - reach)) * spread
    radius = radius + wave_m * down**0.7 * np.cos(pleats * _TURN) - 0.002 * ramp(level, top_z - 0.03, top_z)[:, None]
    height = _body_height(template, body, level)
    position = np.stack(
        [
            axis[0] + radius * np.cos(_TURN),
            axis[1] + radius * np.sin(_TURN),
            np.broadcast_to(height[:, None], radius.shape),
        ],
        -1,
    ).reshape(-1, 3)
    rest_radius = neutral_reach(_TURN)[None] * spread
    rest = np.stack(
        [
            AXIS_X + rest_radius * np.cos(_TURN),
            rest_radius * np.sin(_TURN),
            np.broadcast_to(level[:, None], radius.shape),
        ],
        -1,
    ).reshape(-1, 3)
    return _around_sheet(template, under, position, rest, rows, max(flare, 0.0))


def neutral_reach(turn: np.ndarray) -> np.ndarray:
    """Metres from the axis to the trunk's surface on the neutral base mesh.

    Args:
        turn: angle, 0 in front.
    """
    return 1 / np.hypot(np.cos(turn) / 0.115, np.sin(turn) / 0.165)


def hull(away: np.ndarray, z: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Radius of the convex outline around an axis, level by level.

    Args:
        away: [n, 2] metres from the axis.
        z: [n] height of each point.
        levels: [L] heights.

    Returns:
        [L, 48] metres by angle.
    """
    direction = np.stack([np.cos(_TURN), np.sin(_TURN)])
    support = away @ direction
    apart = np.cos(_TURN[:, None] - _TURN[None])
    reach = np.zeros((len(levels), _SECTORS))
    for row, level in enumerate(levels):
        for width in (0.03, 0.05, 0.1):
            chosen = np.abs(z - level) < width
            if chosen.sum() >= 8:
                break
        high = support[chosen].max(0)
        reach[row] = np.where(apart > 0.17, high[None] / np.maximum(apart, 0.17), np.inf).min(1)
    return reach


def _axis(sheet: Sheet) -> np.ndarray:
    trunk = (sheet.guide[:, 0] < 0.3) & (np.abs(sheet.template[:, 2] - 0.1) < 0.12)
    x = sheet.position[trunk, 0]
    return np.array([(x.min() + x.max()) / 2, 0.0])


def _never_narrower(reach: np.ndarray, per_row: float) -> np.ndarray:
    grown = reach.copy()
    for row in range(1, len(grown)):
        grown[row] = np.maximum(grown[row], grown[row - 1] - per_row)
    return grown


def _look_up(reach: np.ndarray, levels: np.ndarray, z: np.ndarray, turn: np.ndarray) -> np.ndarray:
    row = np.clip((levels[0] - z) / (levels[0] - levels[1]), 0, len(levels) - 1.001)
    column = np.mod((turn + np.pi) / (2 * np.pi) * _SECTORS, _SECTORS)
    r, c = row.astype(int), column.astype(int) % _SECTORS
    a, b = row - r, column - np.floor(column)
    d = (c + 1) % _SECTORS
    return (1 - a) * ((1 - b) * reach[r, c] + b * reach[r, d]) + a * ((1 - b) * reach[r + 1, c] + b * reach[r + 1, d])


def _resting_radius(away: np.ndarray, z: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Radius of the layer below where a skirt rests on it, [L, 48]."""
    turn, radius = np.arctan2(away[:, 1], away[:, 0]), np.linalg.norm(away, axis=1)
    apart = np.abs(np.mod(_TURN[:, None] - turn + np.pi, 2 * np.pi) - np.pi)
    found = np.zeros((len(levels), _SECTORS))
    for row, level in enumerate(levels):
        weight = 1 / ((0.15 * apart) ** 2 + (z - level) ** 2 + 2e-5) ** 2
        found[row] = (weight @ radius) / weight.sum(1)
    return found


def _body_height(template: Template, body: Body, z: np.ndarray) -> np.ndarray:
    """Heights in this body of heights on the neutral base mesh."""
    bones = [template.bone(name) for name in _JOINTS]
    rest = template.joints(template.vertices)[bones, 2].astype(np.float64)
    return np.interp(z, np.append(-0.818, rest), np.append(0.0, body.joints[bones, 2].astype(np.float64)))


def _around_sheet(
    template: Template, under: Sheet, position: np.ndarray, rest: np.ndarray, rows: int, flare: float
) -> Sheet:
    corner = (np.arange(rows - 1)[:, None] * _SECTORS + np.arange(_SECTORS)).reshape(-1, 1)
    step = np.where(corner % _SECTORS == _SECTORS - 1, 1 - _SECTORS, 1)
    quads = np.concatenate([corner, corner + _SECTORS, corner + _SECTORS + step, corner + step], 1)
    triangles = triangles_of(quads)
    weight = np.zeros((len(position), len(template.bone_names)))
    z, turn = rest[:, 2], np.arctan2(rest[:, 1], rest[:, 0] - AXIS_X)
    leg = ramp(z, 0.08, -0.1)
    left = ramp(np.sin(turn), -0.55, 0.55)
    calf = np.clip(0.95 - 1.4 * flare, 0.3, 0.95) * ramp(z, -0.31, -0.45)
    for side, share in (("l", left), ("r", 1 - left)):
        weight[:, template.bone(f"thigh_{side}")] = leg * share * (1 - calf)
        weight[:, template.bone(f"calf_{side}")] = leg * share * calf
    weight[:, template.bone("pelvis")] = 1 - leg
    high = z > -0.02
    _, borrowed = transfer(rest[high], under)
    follow = ramp(z[high], -0.02, 0.08)[:, None]
    weight[high] = follow * borrowed + (1 - follow) * weight[high]
    normal = normals(position, triangles)
    return Sheet(position, rest, np.zeros((len(position), 4)), normal, weight, triangles, np.zeros((0, 3, 2)))


def transfer(points: np.ndarray, sheet: Sheet) -> tuple[np.ndarray, np.ndarray]:
    """Carries points near the neutral base mesh's trunk over to a body, by the nearest vertices of a sheet.

    Args:
        points: [m, 3] metres on the neutral base mesh.
        sheet: a shell of that body.

    Returns:
        positions [m, 3] and bone weights [m, B].
    """
    scale = np.ptp(sheet.position[:, 2]) / np.ptp(sheet.template[:, 2])
    z = sheet.template[:, 2]
    near = np.flatnonzero((z > points[:, 2].min() - 0.06) & (z < points[:, 2].max() + 0.06) & (sheet.guide[:, 0] < 0.5))
    place = sheet.template[near]
    square = (points**2).sum(1)[:, None] + (place**2).sum(1) - 2 * points @ place.T
    chosen = np.argpartition(square, 6, axis=1)[:, :6]
    weight = 1 / (np.maximum(np.take_along_axis(square, chosen, 1), 0) + 1e-4) ** 2
    weight /= weight.sum(1, keepdims=True)
    chosen = near[chosen]
    shift = sheet.position - scale * sheet.template
    moved = (weight[..., None] * shift[chosen]).sum(1)
    return scale * points + moved, (weight[..., None] * sheet.weight[chosen]).sum(1)


def join(trunk: Sheet, tail: Sheet, *, gap_m: float) -> Sheet:
    """A trunk whose lower end lies just above the upper rows of the coat tail that takes over from it.

    Args:
        trunk: the shell of a garment.
        tail: made by `hang`, not yet cut.
        gap_m: how far the trunk lies beyond it.
    """
    z, levels = trunk.template[:, 2], tail.template[::_SECTORS, 2]
    share = ramp(z, levels[0] + 0.04, levels[0] - 0.03) * ramp(trunk.guide[:, 0], 0.3, 0.1) * (z > levels[-1])
    level_z = np.interp(-z, -levels, tail.position[::_SECTORS, 2])
    rise = np.interp(z, [levels[0], levels[0] + 0.1], [0.0, 0.1])
    position = trunk.position.copy()
    position[:, 2] += share * (level_z + rise - position[:, 2])
    return rest_on(replace(trunk, position=position), tail, gap_m=gap_m)


def rest_on(ground: Sheet, skirt: Sheet, *, gap_m: float = 0.0) -> Sheet:
    """The layer below, pushed out to a skirt or coat tail that now covers it.

    Args:
        ground: the layer below.
        skirt: made by `hang`, not yet cut.
        gap_m: how far beyond it.
    """
    axis = _axis(ground)
    levels = skirt.template[::_SECTORS, 2]
    reach = np.linalg.norm(skirt.position[:, :2] - axis, axis=1).reshape(-1, _SECTORS)
    away = ground.position[:, :2] - axis
    radius = np.linalg.norm(away, axis=1)
    z = ground.template[:, 2]
    covered = (ground.guide[:, 0] < 0.3) & (z < levels[0]) & (z > levels[-1])
    wanted = gap_m + _look_up(reach, levels, z, np.arctan2(away[:, 1], away[:, 0]))
    grown = np.where(covered, np.maximum(wanted - radius, 0), 0)
    position = ground.position.copy()
    position[:, :2] += away * (grown / np.maximum(radius, 1e-6))[:, None]
    return replace(ground, position=position, normal=normals(position, ground.triangles))
