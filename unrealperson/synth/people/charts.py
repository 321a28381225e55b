"""Where cloth, skin and hair lie in the texture atlas: charts from the neutral base mesh to the atlas.

Cloth of a trunk or skirt has two panels, front and back, that meet at the side seams; both are measured in
metres from their middle, so that patterns are not stretched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrealperson.synth.people.cuts import Garment
from unrealperson.synth.people.drape import AXIS_X
from unrealperson.synth.people.haircuts import RIBBON_V
from unrealperson.synth.people.sheets import Sheet, on_nails

HEAD_Z = (0.50, 0.87)
_FACE_Z, _FACE_V = (0.50, 0.63, 0.79, 0.87), (1.0, 0.86, 0.15, 0.0)
"""Heights on head and neck, and how far down the head's chart they lie: the face has most of it."""
HAIR_Z = (0.62, 0.87)
COLLAR_Z = 0.69
"""Upper end of the panels of a trunk: collars and hoods included."""
LEG_Z = (-0.83, 0.24)
SHOE_Z = (-0.83, -0.26)
SLEEVE_M = 0.55
"""Length of a sleeve's chart, from the shoulder to the wrist and a little further."""
WRAP = 1.1
"""A chart that goes once around a body is this much wider, so that triangles across its seam stay whole."""
NAIL_UV = (0.95, 0.95)
"""Where the colour of fingernails lies in the chart of bare limbs: no limb reaches so far."""
MARGIN = 0.008
"""Share of the atlas's side that separates the charts of two regions, against bleeding in mipmaps."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the texture atlas, as shares of its side, from the top left."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Panels:
    """Measures of the two panels of a trunk or skirt.

    Attributes:
        high_z: upper end on the neutral base mesh.
        low_z: lower end.
        half_m: from the middle of a panel to its side seam, at most.
    """

    high_z: float
    low_z: float
    half_m: float


REGIONS = {
    "top": Region(0.0, 0.0, 0.34375, 0.5),
    "outer": Region(0.34375, 0.0, 0.375, 0.5),
    "legs": Region(0.71875, 0.0, 0.28125, 0.5),
    "head": Region(0.0, 0.5, 0.375, 0.5),
    "hair": Region(0.375, 0.5, 0.1875, 0.28125),
    "back bag": Region(0.375, 0.78125, 0.09375, 0.125),
    "hand bag": Region(0.46875, 0.78125, 0.09375, 0.125),
    "hat": Region(0.375, 0.90625, 0.09375, 0.09375),
    "scarf": Region(0.46875, 0.90625, 0.046875, 0.09375),
    "gear": Region(0.515625, 0.90625, 0.046875, 0.09375),
    "top sleeve": Region(0.5625, 0.5, 0.09375, 0.5),
    "outer sleeve": Region(0.65625, 0.5, 0.09375, 0.5),
    "skin": Region(0.75, 0.5, 0.25, 0.25),
    "shoes": Region(0.75, 0.75, 0.25, 0.25),
}


def grid(region: str, side_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Chart coordinates of a region's texels; beyond 0 ... 1 in the margin.

    Args:
        region: name in `REGIONS`.
        side_px: side of the atlas in pixels.

    Returns:
        u to the right and v downwards, each [h, w].
    """
    box = REGIONS[region]
    v, u = np.mgrid[0 : round(box.height * side_px), 0 : round(box.width * side_px)]
    u = ((u + 0.5) / side_px - MARGIN) / (box.width - 2 * MARGIN)
    v = ((v + 0.5) / side_px - MARGIN) / (box.height - 2 * MARGIN)
    return u, v


def panels_of(garment: Garment) -> Panels:
    """How large the panels of a garment are: as large as its cut needs.

    Args:
        garment: with an upper part, or a skirt.
    """
    upper, lower = garment.upper, garment.lower
    flare = max(upper.flare if upper else 0.0, lower.flare if lower and lower.skirt else 0.0, 0.0)
    skirt_z = lower.leg_z if lower and lower.skirt else 1.0
    if upper is None:
        return Panels(0.24, skirt_z - 0.03, 0.235 * (1 + flare))
    low_z = min(upper.hem_z, skirt_z, 0.0) - 0.04
    return Panels(COLLAR_Z, low_z, 0.27 + 0.23 * flare)


def _place(region: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    box = REGIONS[region]
    u = box.left + MARGIN + np.clip(u, 0, 1) * (box.width - 2 * MARGIN)
    v = box.top + MARGIN + np.clip(v, 0, 1) * (box.height - 2 * MARGIN)
    return np.stack([u, 1 - v], -1)


def _around(sheet: Sheet, centre_x: float, squeeze: float) -> np.ndarray:
    """Turns about the body's axis, 0 at the back ... 1, corners of one triangle on the same turn."""
    x, y = sheet.template[:, 0] - centre_x, sheet.template[:, 1] / squeeze
    turn = (np.arctan2(y, x) / (2 * np.pi) + 0.5)[sheet.triangles]
    return _unwrap(turn)


def _unwrap(turn: np.ndarray) -> np.ndarray:
    crosses = turn.max(1) - turn.min(1) > 0.5
    return np.where(crosses[:, None] & (turn < 0.5), turn + 1, turn) / WRAP


def _height(sheet: Sheet, span: tuple[float, float]) -> np.ndarray:
    return (span[1] - sheet.template[sheet.triangles, 2]) / (span[1] - span[0])


_ANGLE = np.linspace(0, np.pi, 181)
_ARC_M = np.append(
    0.0,
    np.cumsum(np.hypot(np.diff(0.165 * np.sin(_ANGLE)), np.diff(0.115 * np.cos(_ANGLE)))),
)


def panel_chart(sheet: Sheet, region: str, panels: Panels) -> np.ndarray:
    """Texture coordinates of the cloth of a trunk or a skirt: a panel in front, one behind.

    Args:
        sheet: the part.
        region: name in `REGIONS`.
        panels: their measures.

    Returns:
        [T, 3, 2] of the triangles' corners.
    """
    across, along = sheet.template[:, 0] - AXIS_X, sheet.template[:, 1]
    x, y = across / 0.115, np.abs(along) / 0.165
    reach = np.hypot(x, y)
    to_front = reach * np.interp(np.arctan2(y, x), _ANGLE, _ARC_M)
    to_back = reach * np.interp(np.arctan2(y, -x), _ANGLE, _ARC_M)
    front = across[sheet.triangles].mean(1) > 0
    away = np.where(front[:, None], to_front[sheet.triangles], to_back[sheet.triangles])
    side = np.sign(along)[sheet.triangles]
    u = np.where(front, 0.25, 0.75)[:, None] + side * np.minimum(away / panels.half_m, 1.0) * 0.245
    return _place(region, u, _height(sheet, (panels.low_z, panels.high_z)))


def picture_chart(uv: np.ndarray) -> np.ndarray:
    """Texture coordinates of cloth with a picture of its own, in the place of an outer layer.

    Args:
        uv: [T, 3, 2] coordinates in the picture, v up.
    """
    return _place("outer", uv[..., 0] % 1.0, 1 - uv[..., 1] % 1.0)


def head_chart(sheet: Sheet) -> np.ndarray:
    """Texture coordinates of head and neck: around from the nape, and down, with most texels for the face.

    Args:
        sheet: the part.

    Returns:
        [T, 3, 2] of the triangles' corners.
    """
    turn = _widen_front(WRAP * _around(sheet, 0.035, 1.0)) / WRAP
    return _place("head", turn, np.interp(sheet.template[sheet.triangles, 2], _FACE_Z, _FACE_V))


def head_angle(turn: np.ndarray) -> np.ndarray:
    """Angle about the head's axis of places in the head's chart, 0 at the nose, positive to the left.

    Args:
        turn: place across the chart, `WRAP` times its u, rising.

    Returns:
        Radians.
    """
    fine = np.linspace(-0.2, 1.3, 1501)
    return (np.interp(turn, _widen_front(fine), fine) - 0.5) * 2 * np.pi


def head_height(v: np.ndarray) -> np.ndarray:
    """Height on the neutral base mesh of places in the head's chart.

    Args:
        v: place down the chart.

    Returns:
        Metres.
    """
    return np.interp(v, _FACE_V[::-1], _FACE_Z[::-1])


def _widen_front(turn: np.ndarray) -> np.ndarray:
    """Gives the face more room around the head than the back of it; whole turns stay whole."""
    return turn + 0.11 * np.sin(2 * np.pi * (turn - 0.5))


def hair_chart(sheet: Sheet) -> np.ndarray:
    """Texture coordinates of what covers the scalp: around the head, and down, below the locks' ribbons.

    Args:
        sheet: the part.

    Returns:
        [T, 3, 2] of the triangles' corners.
    """
    down = np.clip(_height(sheet, HAIR_Z), 0, 1)
    return _place("hair", _around(sheet, 0.03, 1.0), RIBBON_V + 0.02 + (0.98 - RIBBON_V) * down)


def lock_chart(uv: np.ndarray) -> np.ndarray:
    """Texture coordinates of locks.

    Args:
        uv: [n, 2] place across all ribbons, and from root to tip; both 0 ... 1.

    Returns:
        [n, 2] in the atlas.
    """
    return _place("hair", uv[:, 0], (RIBBON_V - 0.02) * uv[:, 1])


def tile_chart(region: str, uv: np.ndarray) -> np.ndarray:
    """Texture coordinates of things that have a tile of their own.

    Args:
        region: name in `REGIONS`.
        uv: [..., 2] place to the right and downwards, 0 ... 1.

    Returns:
        [..., 2] in the atlas.
    """
    return _place(region, uv[..., 0], uv[..., 1])


def sleeve_chart(sheet: Sheet, region: str) -> np.ndarray:
    """Texture coordinates of a sleeve: half around, mirrored, and along the arm.

    Args:
        sheet: the part.
        region: name in `REGIONS`.

    Returns:
        [T, 3, 2] of the triangles' corners.
    """
    turn = np.abs(sheet.guide[sheet.triangles, 2]) / np.pi
    return _place(region, turn, sheet.guide[sheet.triangles, 1] / 2)


def leg_chart(sheet: Sheet) -> np.ndarray:
    """Texture coordinates of a trouser leg: around from the inside, and down, mirrored.

    Args:
        sheet: the part.

    Returns:
        [T, 3, 2] of the triangles' corners.
    """
    x, y, z = sheet.template.T
    axis_y = np.interp(-z, [-0.05, 0.37, 0.745], [0.11, 0.158, 0.22])
    axis_x = np.interp(-z, [-0.05, 0.37, 0.745], [0.0, 0.032, -0.001])
    side = np.where(y[sheet.triangles].mean(1) > 0, 1.0, -1.0)[:, None]
    away_y = side * y[sheet.triangles] - axis_y[sheet.triangles]
    turn = np.arctan2(away_y, (x - axis_x)[sheet.triangles]) / (2 * np.pi) + 0.25
    return _place("legs", _unwrap(turn % 1.0), _height(sheet, LEG_Z))


def shoe_chart(sheet: Sheet) -> np.ndarray:
    """Texture coordinates of a shoe: from heel to toe, and down.

    Args:
        sheet: the part.

    Returns:
        [T, 3, 2] of the triangles' corners.
    """
    x, _, z = sheet.template[sheet.triangles].transpose(2, 0, 1)
    return _place("shoes", (x + 0.1) / 0.32, (SHOE_Z[1] - z) / (SHOE_Z[1] - SHOE_Z[0]))


def limb_chart(sheet: Sheet) -> np.ndarray:
    """Texture coordinates of bare arms, legs and hands.

    Args:
        sheet: the part.

    Returns:
        [T, 3, 2] of the triangles' corners.
    """
    corner = sheet.template[sheet.triangles]
    x, y, z = corner.transpose(2, 0, 1)
    nail = on_nails(corner.mean(1))[:, None]
    u, v = np.clip(np.abs(y) / 0.55 + 0.1 * x, 0, 1), (0.6 - z) / 1.4
    return _place("skin", np.where(nail, NAIL_UV[0], u), np.where(nail, NAIL_UV[1], v))
