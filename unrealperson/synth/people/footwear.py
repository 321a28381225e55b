"""Shoes, boots, sandals and heels, cut from the feet of the body's shell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unrealperson.synth.people.body import Body
from unrealperson.synth.people.cuts import Shoe
from unrealperson.synth.people.drape import push, widen
from unrealperson.synth.people.sheets import Sheet, cut, hem, ramp, smooth, triangles_of

_SOLE_Z = -0.797
_BALL_X, _HEEL_X = 0.11, -0.03


def lower_toes(points: np.ndarray, template: np.ndarray, shoe: Shoe, scale: float) -> np.ndarray:
    """Tilts feet for a heel: the toes go down, the heels stay.

    Args:
        points: [n, 3] metres on this body.
        template: [n, 3] their places on the neutral base mesh.
        shoe: says how high the heel is.
        scale: size of this body relative to the base mesh.

    Returns:
        [n, 3] metres.
    """
    tilt = ramp(template[:, 0], _HEEL_X, _BALL_X) * ramp(template[:, 2], -0.70, -0.76)
    moved = points.copy()
    moved[:, 2] -= shoe.heel_m * scale * tilt
    return moved


def shoe_field(template: np.ndarray, guide: np.ndarray, shoe: Shoe) -> np.ndarray:
    """Above 0 where a shoe covers the foot, in metres.

    Args:
        template: [n, 3] places on the neutral base mesh.
        guide: [n, 4] as in `Sheet.guide`.
        shoe: the cut.
    """
    x, _, z = template.T
    below = shoe.shaft_z - 0.02 * np.clip((x - 0.02) / 0.1, 0, 1) - z
    if shoe.straps:
        bands = np.max([0.013 - np.abs(x - at - 0.35 * (z + 0.78)) for at in shoe.straps], axis=0)
        ankle = np.minimum(0.012 - np.abs(z + 0.748), bands + 1) if min(shoe.straps) < 0 else -1.0 + 0 * x
        below = np.maximum(np.maximum(np.minimum(bands, -0.755 - z), ankle), _SOLE_Z - 0.004 - z)
    elif shoe.vamp_x > -0.1:
        instep = np.where(x > shoe.vamp_x, (x - shoe.vamp_x) * 1.2 - 0.012, -0.012 - 0.1 * ramp(x, -0.02, 0.02) * 0)
        low = -0.772 - z + ramp(x, 0.02, -0.045) * 0.012
        below = np.minimum(below, np.maximum(low, instep))
    return np.where(guide[:, 0] > 0.5, -1.0, below)


def make_shoes(shell: Sheet, body: Body, shoe: Shoe, scale: float) -> Sheet:
    """Builds a pair of shoes without a chart.

    Args:
        shell: the body's shell, or stockings and trousers below a boot's shaft.
        body: gives the joints.
        shoe: the cut.
        scale: size of this body relative to the base mesh.
    """
    x, _, z = shell.template.T
    sheet = push(shell, np.where(z < -0.70, 0.007, 0.009) * scale)
    if shoe.shaft_m:
        sheet = widen(sheet, body, ("thigh", "calf", "foot"), shoe.shaft_m * scale * ramp(z, -0.74, -0.70) * (z < -0.2))
    position = sheet.position
    if not shoe.straps:
        # A shoe spans the hollows between the toes.
        rounded = smooth(shell, position, 4)
        position = position + (ramp(z, -0.73, -0.76) * ramp(x, 0.02, 0.08))[:, None] * (rounded - position)
    position = lower_toes(position, shell.template, shoe, scale)
    toes = ramp(x, 0.12, 0.2) * ramp(z, -0.76, -0.79)
    position[:, 0] += shoe.toe_m * scale * toes
    down = np.clip((_SOLE_Z - z) / 0.012, 0, 1)
    grounded = ramp(x, 0.02, 0.07) if shoe.heel_m > 0.03 else np.ones_like(x)
    position[:, 2] -= (shoe.sole_m * (0.35 + 0.65 * grounded)) * scale * down
    flat = position[:, 2].min()
    if 0 < shoe.heel_m <= 0.03 or (shoe.sole_m >= 0.03 and shoe.heel_m):
        # A low heel or a wedge reaches the ground along the whole sole.
        bottom = down > 0.6
        position[bottom, 2] = flat + 0.004 * scale
    else:
        bottom = (down > 0.6) & (x > 0.04)
        position[bottom, 2] = np.minimum(position[bottom, 2], flat + 0.006 * scale)
    sheet = replace(sheet, position=position)
    sheet = hem(cut(sheet, shoe_field(sheet.template, sheet.guide, shoe)), 0.012)
    if shoe.heel_m > 0.03 and shoe.sole_m < 0.03:
        sheet = _add_heels(sheet, shoe, scale, flat)
    return sheet


def _add_heels(sheet: Sheet, shoe: Shoe, scale: float, ground_z: float) -> Sheet:
    """Two tapering posts below the heels."""
    for side in (1.0, -1.0):
        near = (side * sheet.template[:, 1] > 0) & (sheet.template[:, 2] < -0.79) & (sheet.template[:, 0] < 0.0)
        if not near.any():
            continue
        under = sheet.position[near]
        middle = np.array([under[:, 0].min() + 0.024 * scale, (under[:, 1].min() + under[:, 1].max()) / 2])
        top_z = under[:, 2].min() + 0.012 * scale
        turn = np.linspace(0, 2 * np.pi, 9)[:-1]
        thick = np.array([0.024, shoe.peg_m or 0.022, shoe.peg_m or 0.022, 0.0])[:, None] * scale
        z = np.array([top_z, 0.6 * top_z + 0.4 * ground_z, ground_z, ground_z])[:, None] + 0 * turn
        ring = np.stack([middle[0] + thick * np.cos(turn), middle[1] + thick * np.sin(turn), z], -1).reshape(-1, 3)
        corner = (np.arange(3)[:, None] * 8 + np.arange(8)).reshape(-1, 1)
        step = np.where(corner % 8 == 7, -7, 1)
        triangles = triangles_of(np.concatenate([corner, corner + 8, corner + 8 + step, corner + step], 1))
        count = len(sheet.position)
        source = np.flatnonzero(near)[under[:, 2].argmin()]
        sheet = replace(
            sheet,
            position=np.concatenate([sheet.position, ring]),
            template=np.concatenate([sheet.template, np.tile([-0.03, side * 0.22, -0.815], (len(ring), 1))]),
            guide=np.concatenate([sheet.guide, np.tile(sheet.guide[source], (len(ring), 1))]),
            normal=np.concatenate([sheet.normal, np.tile([0.0, 0.0, -1.0], (len(ring), 1))]),
            weight=np.concatenate([sheet.weight, np.tile(sheet.weight[source], (len(ring), 1))]),
            triangles=np.concatenate([sheet.triangles, triangles + count]),
        )
    return sheet
