"""Collars, hoods and lapels: strips around the neck that move with the shell below."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unrealperson.synth.people.cuts import Upper
from unrealperson.synth.people.drape import transfer
from unrealperson.synth.people.sheets import Sheet, cut, hem, normals, ramp, triangles_of

_NECK = (0.016, 0.586, 0.062, 0.068)
"""Middle x, height z, half depth and half width of the base of the neck on the neutral base mesh."""
_COLUMNS = 40
COLLAR_SPAN = (0.61, 0.685)
"""Heights on the neutral base mesh at which a panel holds the cloth of what stands around the neck."""

# Rows of a strip from its base: height above the neckline and radius relative to the neck.
_PROFILES = {
    "crew": ((-0.016, 1.13), (-0.007, 1.09), (0.002, 1.02), (0.0, 0.97)),
    "polo": ((-0.012, 1.04), (0.012, 0.95), (0.022, 0.93), (0.024, 0.97), (0.012, 1.06), (-0.003, 1.17)),
    "shirt": ((-0.012, 1.04), (0.014, 0.94), (0.027, 0.92), (0.0295, 0.96), (0.016, 1.06), (-0.002, 1.19)),
    "lapel": ((-0.006, 1.08), (0.014, 0.99), (0.022, 1.0), (0.021, 1.05), (0.006, 1.16), (-0.012, 1.3)),
    "shawl": ((-0.006, 1.1), (0.012, 1.02), (0.022, 1.04), (0.021, 1.1), (0.004, 1.24), (-0.024, 1.38)),
    "stand": ((-0.012, 1.08), (0.012, 0.99), (0.034, 0.96), (0.037, 0.93), (0.028, 0.9)),
    "turtle": ((-0.012, 1.06), (0.02, 0.93), (0.05, 0.86), (0.054, 0.9), (0.035, 0.99), (0.01, 1.04)),
    "cowl": ((-0.012, 1.06), (0.018, 1.0), (0.026, 1.1), (0.008, 1.25), (-0.025, 1.32), (-0.04, 1.22)),
}
_GAP = {"polo": 0.13, "shirt": 0.13, "stand": 0.06, "lapel": 0.75, "shawl": 0.5}
"""Half the angle in radians that a collar leaves open in front."""
_LEAF = ("polo", "shirt", "lapel", "shawl", "cowl")
"""Collars whose last rows are turned down."""


def collar_of(shell: Sheet, upper: Upper) -> list[tuple[Sheet, np.ndarray]]:
    """The collar of a garment; nothing for those without.

    Args:
        shell: the garment's whole shell.
        upper: its cut.

    Returns:
        Each part, and [n, 3] where its cloth is taken from on the neutral base mesh: the strip around the neck lies
        in `COLLAR_SPAN` above the panel, from its base on top to its free edge.
    """
    if upper.collar == "none":
        return []
    gap = _GAP.get(upper.collar, 0.0)
    if upper.opening == "open":
        gap = max(gap, 0.45)
    if upper.collar == "hood":
        return [_hood(shell, max(gap, 0.22))]
    turn = np.linspace(gap, 2 * np.pi - gap, _COLUMNS)
    height, reach = (
        np.repeat(np.array(column)[:, None], _COLUMNS, 1) for column in zip(*_PROFILES[upper.collar], strict=True)
    )
    front = ((1 + np.cos(turn)) / 2) ** 1.5
    base = -0.036 * front - max(upper.neck_m, 0.0) * front * (upper.collar in ("crew", "cowl"))
    side = np.sin(turn) ** 2
    height = height + base + 0.012 * side
    if upper.collar in ("shirt", "polo"):
        points = np.exp(-(((turn - gap) / 0.5) ** 2)) + np.exp(-(((2 * np.pi - gap - turn) / 0.5) ** 2))
        low = 0.052 if upper.collar == "shirt" else 0.04
        height[-3:] -= np.array([[0.12], [0.5], [1.0]]) * low * points
        reach[-2:] += np.array([[0.06], [0.12]]) * points
        spread = np.zeros_like(height)
        spread[-2:] = np.array([[0.12], [0.38]]) * points * np.sign(np.pi - turn)
        turn = turn + spread
    if upper.collar == "cowl":
        height[-3:] -= np.array([[0.4], [0.8], [1.0]]) * 0.05 * front
    parts = [
        _strip(shell, turn, height, reach, leaf=3 if upper.collar in _LEAF else 4 if upper.collar == "crew" else 0)
    ]
    if upper.collar in ("lapel", "shawl"):
        parts += [(flap, flap.template) for flap in _lapels(shell, upper)]
    return parts


def opening_gap(upper: Upper, z: np.ndarray) -> np.ndarray:
    """Half the width of an opening in front at each height, in metres; below 0 where it is closed.

    Args:
        upper: the cut.
        z: [n] heights on the neutral base mesh.
    """
    if upper.opening == "none":
        return np.full_like(z, -1.0)
    notch = (z - upper.notch_z) * (0.07 / max(0.55 - upper.notch_z, 0.05)) if upper.notch_z < 0.6 else -1.0 + 0 * z
    if upper.opening == "closed":
        return notch
    hanging = 0.04 + 0.055 * np.clip((0.48 - z) / 0.5, 0, 1.2)
    return np.maximum(hanging, notch)


def lapel_width(upper: Upper, z: np.ndarray) -> np.ndarray:
    """How wide lapels are at each height, in metres.

    Args:
        upper: the cut.
        z: heights on the neutral base mesh.
    """
    level = np.clip((z - upper.notch_z) / (0.53 - upper.notch_z), 0, 1)
    if upper.collar == "lapel":
        return 0.07 * level**0.75
    return 0.075 * level**0.75 * (1 - 0.25 * ramp(z, 0.5, 0.56))


def _strip(
    shell: Sheet, turn: np.ndarray, height: np.ndarray, reach: np.ndarray, *, leaf: int = 0
) -> tuple[Sheet, np.ndarray]:
    """A strip around the neck, and where its cloth is taken from; the last `leaf` rows lie on the shell."""
    middle, neck_z, deep, wide = _NECK
    x = middle + 0.3 * height + deep * reach * np.cos(turn)
    y = wide * reach * np.sin(turn)
    rest = np.stack([x, y, neck_z + height], -1).reshape(-1, 3)
    rows, columns = height.shape
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
    triangles = triangles_of(corner + np.array([0, 1, columns + 1, columns]))
    position, weight = transfer(rest, shell)
    if leaf:
        outside = slice((rows - leaf) * columns, None)
        clear_m = np.repeat(
            ([0.001, 0.012, 0.008, 0.006] if leaf < 4 else [0.001, 0.003, 0.004, 0.001])[-leaf:], columns
        )
        position[outside] = _lay(position[outside], shell, clear_m, most_m=0.03 if leaf < 4 else 0.0)
    sheet = Sheet(
        position, rest, np.zeros((len(rest), 4)), normals(position, triangles), weight, triangles, np.zeros((0, 3, 2))
    )
    # A strip is seen from both sides.
    inner = replace(sheet, position=position - 0.003 * sheet.normal, triangles=triangles[:, ::-1])
    both = Sheet(
        np.concatenate([sheet.position, inner.position]),
        np.concatenate([rest, rest]),
        np.zeros((2 * len(rest), 4)),
        np.concatenate([sheet.normal, -sheet.normal]),
        np.concatenate([weight, weight]),
        np.concatenate([triangles, inner.triangles + len(rest)]),
        np.zeros((0, 3, 2)),
    )
    place = rest.copy()
    place[:, 2] = np.repeat(np.linspace(COLLAR_SPAN[1], COLLAR_SPAN[0], rows), columns)
    return both, np.concatenate([place, place])


def _lay(points: np.ndarray, shell: Sheet, clear_m: np.ndarray, *, most_m: float) -> np.ndarray:
    """Moves points until they lie above a shell by at least `clear_m`, and by at most `most_m` more."""
    near = np.flatnonzero((shell.template[:, 2] > 0.38) & (shell.guide[:, 0] < 0.5))
    place, normal = shell.position[near], shell.normal[near]
    square = (points**2).sum(1)[:, None] + (place**2).sum(1) - 2 * points @ place.T
    chosen = np.argpartition(square, 3, axis=1)[:, :3]
    depth = ((points[:, None] - place[chosen]) * normal[chosen]).sum(2).mean(1)
    direction = normal[chosen].mean(1)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    move = np.maximum(clear_m - depth, 0) - np.maximum(depth - clear_m - most_m, 0)
    return points + move[:, None] * direction


def _hood(shell: Sheet, gap: float) -> tuple[Sheet, np.ndarray]:
    """A hood that lies on the back of the neck and the shoulders."""
    turn = np.linspace(gap, 2 * np.pi - gap, _COLUMNS)
    back = ((1 - np.cos(turn)) / 2) ** 1.3
    size = 0.02 + 0.03 * back
    up = np.array([-0.3, 0.5, 1.0, 1.05, 0.5, -0.5, -1.3])[:, None]
    out = np.array([-0.1, 0.0, 0.2, 0.65, 1.05, 1.05, 0.5])[:, None]
    droop = np.array([0, 0, 0, 0.1, 0.5, 1.0, 1.2])[:, None]
    height = size * up - 0.05 * droop * back - 0.03 * (1 - back)
    reach = 1.02 + size * out / 0.068
    return _strip(shell, turn, height, reach, leaf=2)


def _lapels(shell: Sheet, upper: Upper) -> list[Sheet]:
    """The turned-back front edges of a jacket."""
    x, _, z = shell.template.T
    scale = np.ptp(shell.position[:, 2]) / np.ptp(z)
    inner = np.maximum(opening_gap(upper, z), 0.002)
    wide = lapel_width(upper, z)
    away = np.abs(shell.position[:, 1]) / scale
    notch = 0.548 - z if upper.collar == "lapel" else 0.585 - z
    on_front = (shell.guide[:, 0] < 0.4) & (x > 0.0)
    flap = replace(shell, position=shell.position + 0.006 * scale * shell.normal)
    values = np.stack([away - inner, inner + wide - away, z - upper.notch_z, notch, np.where(on_front, 1.0, -1.0)], 1)
    # One cut after the other keeps every edge straight.
    for column in range(values.shape[1]):
        flap, values = _cut_with(flap, values, column)
    return [hem(flap, 0.006)] if len(flap.triangles) else []


def _cut_with(sheet: Sheet, values: np.ndarray, column: int) -> tuple[Sheet, np.ndarray]:
    """Cuts by one column of values and carries all of them over to the new vertices."""
    carried = cut(replace(sheet, weight=np.concatenate([sheet.weight, values], 1)), values[:, column])
    bones = sheet.weight.shape[1]
    return replace(carried, weight=carried.weight[:, :bones]), carried.weight[:, bones:]
