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

# Rows of a strip from its base: height above the neckline and radius relative to the neck.
_PROFILES = {
    "crew": ((-0.014, 1.13), (-0.006, 1.1), (0.002, 1.03), (0.0, 0.97)),
    "polo": ((-0.012, 1.07), (0.006, 1.0), (0.014, 0.99), (0.0155, 1.05), (0.004, 1.13), (-0.012, 1.19)),
    "shirt": ((-0.012, 1.07), (0.008, 0.99), (0.019, 0.98), (0.0205, 1.05), (0.005, 1.15), (-0.016, 1.22)),
    "lapel": ((-0.006, 1.1), (0.01, 1.03), (0.017, 1.06), (0.004, 1.15), (-0.02, 1.22)),
    "shawl": ((-0.006, 1.1), (0.012, 1.04), (0.02, 1.1), (0.008, 1.19), (-0.024, 1.27)),
    "stand": ((-0.012, 1.1), (0.015, 1.03), (0.04, 1.02), (0.043, 0.98), (0.03, 0.94)),
    "turtle": ((-0.012, 1.08), (0.02, 0.97), (0.052, 0.9), (0.056, 0.95), (0.035, 1.02), (0.01, 1.06)),
    "cowl": ((-0.012, 1.06), (0.018, 1.0), (0.026, 1.1), (0.008, 1.25), (-0.025, 1.32), (-0.04, 1.22)),
}
_GAP = {"polo": 0.16, "shirt": 0.16, "stand": 0.1, "lapel": 0.75, "shawl": 0.5}
"""Half the angle in radians that a collar leaves open in front."""


def collar_of(shell: Sheet, upper: Upper) -> list[Sheet]:
    """The collar of a garment; nothing for those without.

    Args:
        shell: the garment's whole shell.
        upper: its cut.
    """
    if upper.collar == "none":
        return []
    gap = _GAP.get(upper.collar, 0.0)
    if upper.opening == "open":
        gap = max(gap, 0.5)
    if upper.collar == "hood":
        return [_hood(shell, max(gap, 0.22))]
    turn = np.linspace(gap, 2 * np.pi - gap, _COLUMNS)
    height, reach = (np.array(column)[:, None] for column in zip(*_PROFILES[upper.collar], strict=True))
    front = ((1 + np.cos(turn)) / 2) ** 1.5
    base = -0.036 * front - max(upper.neck_m, 0.0) * front * (upper.collar in ("crew", "cowl"))
    side = np.sin(turn) ** 2
    base = base + 0.012 * side
    height = height + base
    height[-2:] += np.array([[0.3], [1.0]]) * 0.01 * side * (upper.collar in ("polo", "shirt", "lapel", "shawl"))
    if upper.collar in ("shirt", "polo"):
        points = np.exp(-(((turn - gap) / 0.42) ** 2)) + np.exp(-(((2 * np.pi - gap - turn) / 0.42) ** 2))
        height[-2:] -= np.array([[0.3], [1.0]]) * 0.034 * points
    if upper.collar == "cowl":
        height[-3:] -= np.array([[0.4], [0.8], [1.0]]) * 0.05 * front
    sheets = [_strip(shell, turn, height, np.broadcast_to(reach, height.shape))]
    if upper.collar in ("lapel", "shawl"):
        sheets += _lapels(shell, upper)
    return sheets


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


def _strip(shell: Sheet, turn: np.ndarray, height: np.ndarray, reach: np.ndarray) -> Sheet:
    middle, neck_z, deep, wide = _NECK
    x = middle + 0.3 * height + deep * reach * np.cos(turn)
    y = wide * reach * np.sin(turn)
    rest = np.stack([x, y, neck_z + height], -1).reshape(-1, 3)
    rows, columns = height.shape
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
    triangles = triangles_of(corner + np.array([0, 1, columns + 1, columns]))
    position, weight = transfer(rest, shell)
    sheet = Sheet(
        position, rest, np.zeros((len(rest), 4)), normals(position, triangles), weight, triangles, np.zeros((0, 3, 2))
    )
    # A strip is seen from both sides.
    inner = replace(sheet, position=position - 0.003 * sheet.normal, triangles=triangles[:, ::-1])
    return Sheet(
        np.concatenate([sheet.position, inner.position]),
        np.concatenate([rest, rest]),
        np.zeros((2 * len(rest), 4)),
        np.concatenate([sheet.normal, -sheet.normal]),
        np.concatenate([weight, weight]),
        np.concatenate([triangles, inner.triangles + len(rest)]),
        np.zeros((0, 3, 2)),
    )


def _hood(shell: Sheet, gap: float) -> Sheet:
    """A hood that lies on the back of the neck and the shoulders."""
    turn = np.linspace(gap, 2 * np.pi - gap, _COLUMNS)
    back = ((1 - np.cos(turn)) / 2) ** 1.3
    size = 0.02 + 0.03 * back
    up = np.array([-0.3, 0.5, 1.0, 1.05, 0.5, -0.5, -1.3])[:, None]
    out = np.array([-0.1, 0.0, 0.25, 0.8, 1.5, 1.75, 1.3])[:, None]
    droop = np.array([0, 0, 0, 0.1, 0.5, 1.0, 1.2])[:, None]
    height = size * up - 0.05 * droop * back - 0.03 * (1 - back)
    reach = 1.02 + size * out / 0.068
    return _strip(shell, turn, height, reach)


def _lapels(shell: Sheet, upper: Upper) -> list[Sheet]:
    """The turned-back front edges of a jacket."""
    x, _, z = shell.template.T
    scale = np.ptp(shell.position[:, 2]) / np.ptp(z)
    level = np.clip((z - upper.notch_z) / (0.53 - upper.notch_z), 0, 1)
    inner = np.maximum(opening_gap(upper, z), 0.002)
    wide = (0.062 if upper.collar == "lapel" else 0.075) * level**0.75
    if upper.collar == "shawl":
        wide = wide * (1 - 0.25 * ramp(z, 0.5, 0.56))
    away = np.abs(shell.position[:, 1]) / scale
    notch = 0.548 - z if upper.collar == "lapel" else 0.585 - z
    field = np.minimum.reduce([away - inner, inner + wide - away, z - upper.notch_z, notch])
    field = np.where((shell.guide[:, 0] < 0.4) & (x > 0.0), field, -1.0)
    lifted = replace(shell, position=shell.position + 0.006 * scale * shell.normal)
    flap = cut(lifted, field)
    return [hem(flap, 0.006)] if len(flap.triangles) else []
