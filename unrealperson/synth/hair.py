"""Haircuts: a cap over the scalp, a curtain that falls from it, a ponytail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unrealperson.synth.body import Body, Template
from unrealperson.synth.charts import hair_chart
from unrealperson.synth.outfits import Outfit
from unrealperson.synth.sheets import Sheet, cut, hem, normals, ramp, sheet_of, skin_faces, triangles_of


def hairline(x: np.ndarray, y: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Height of the hairline on the neutral base mesh: high over the forehead, round the ears, low at the nape.

    Args:
        x: metres forward.
        y: metres to the left.
        outfit: its fringe lowers the line over the forehead.
    """
    side = np.interp(x, [-0.07, 0.0, 0.03, 0.06, 0.085], [0.655, 0.665, 0.725, 0.735, 0.765])
    forehead = 0.803 - outfit.fringe * np.clip(1.3 - (y / 0.055) ** 2, 0, 1) - 9 * y**2
    ragged = 0.003 * np.sin(170 * y + 90 * x + 300 * outfit.hair_volume) + 0.002 * np.sin(410 * y - 230 * x)
    return side + (forehead - side) * ramp(x, 0.06, 0.1) + ragged


def scalp_field(template: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Metres above the hairline.

    Args:
        template: [n, 3] places on the neutral base mesh.
        outfit: its fringe lowers the line.
    """
    return template[:, 2] - hairline(template[:, 0], template[:, 1], outfit)


def grow_hair(template: Template, body: Body, outfit: Outfit, top: Sheet) -> list[Sheet]:
    """Builds the hair of one person; nothing for shaved heads.

    Args:
        template: the base mesh.
        body: the person's shape.
        outfit: names the cut, its length and volume.
        top: the upper garment's trunk, over which long hair falls.
    """
    if outfit.hair in ("bald", "cropped"):
        return []
    scale = body.height_m / 1.67
    sheet = sheet_of(template, body, skin_faces())
    field = np.where(sheet.guide[:, 3] > 0.5, scalp_field(sheet.template, outfit), -1.0)
    rise = outfit.hair_volume * scale * np.clip((field + 0.004) / 0.045, 0.1, 1) ** 0.6
    cap = replace(sheet, position=sheet.position + rise[:, None] * sheet.normal)
    cap = hem(cut(cap, field), 0.008)
    cap = replace(cap, chart=hair_chart(cap))
    if outfit.hair in ("short", "medium"):
        return [cap]
    outer = (
        _tail(template, body, outfit, cap, top)
        if outfit.hair == "ponytail"
        else _curtain(template, body, outfit, cap, top)
    )
    outer = replace(outer, chart=hair_chart(outer))
    if outfit.hair == "ponytail":
        return [cap, outer]
    thick_m = 0.018
    rim = hem(outer, thick_m)
    inner = replace(
        outer,
        position=outer.position - thick_m * outer.normal,
        triangles=outer.triangles[:, ::-1],
        chart=outer.chart[:, ::-1],
    )
    return [cap, replace(rim, chart=hair_chart(rim)), inner]


def _back(body: Body, cap: Sheet, top: Sheet, z: np.ndarray) -> np.ndarray:
    """How far back hair has to hang at each height to clear head and clothes: x in metres."""
    points = np.concatenate([cap.position, top.position])
    points = points[np.abs(points[:, 1]) < 0.1 * body.height_m / 1.67]
    near = np.abs(points[:, 2] - z[:, None]) < 0.025
    x = np.where(near, points[:, 0], np.inf).min(1)
    x = np.interp(z[::-1], z[np.isfinite(x)][::-1], x[np.isfinite(x)][::-1])[::-1]
    for _ in range(3):
        padded = np.concatenate([x[:1], x, x[-1:]])
        x = np.minimum(x, (padded[:-2] + padded[2:]) / 2)
    return x - 0.02


def _heights(template: Template, body: Body, z: np.ndarray) -> np.ndarray:
    """Heights in this body of heights on the neutral base mesh."""
    spine = [template.bone(name) for name in ("spine_01", "spine_03", "neck_01", "head")]
    rest = template.joints(template.vertices)[spine, 2]
    crown = body.vertices[:, 2].max()
    return np.interp(z, np.append(rest, template.vertices[:, 2].max()), np.append(body.joints[spine, 2], crown))


def _curtain(template: Template, body: Body, outfit: Outfit, cap: Sheet, top: Sheet) -> Sheet:
    """Hair that falls from the head: around the ears and the nape, down to the shoulders or the back."""
    rows, columns = 14, 19
    level = np.linspace(0, 1, rows)[:, None]
    turn = np.linspace(-1, 1, columns)[None] * np.radians(105)
    uneven = 0.012 * np.sin(7 * turn + 40 * outfit.hair_volume) + 0.01 * np.cos(turn * 3)
    uneven += 0.05 * np.abs(turn / 1.83) ** 6
    rest_z = 0.775 + (outfit.hair_z + uneven - 0.775) * level
    z = _heights(template, body, rest_z)
    middle = z[:, columns // 2]
    scale = body.height_m / 1.67
    back = np.interp(z, middle[::-1], _back(body, cap, top, middle)[::-1])
    # The first row lies inside the cap; at the ears the curtain clears the head.
    tucked = 0.8 + 0.2 * ramp(rest_z, 0.775, 0.74)
    half = np.abs(cap.position[:, 1]).max()
    wide = half * tucked * (1.01 + 0.08 * ramp(rest_z, 0.74, 0.62) - 0.1 * ramp(rest_z, 0.6, 0.35))
    low = ramp(rest_z, 0.62, 0.54)
    ear = body.joints[template.bone("head"), 0] + (0.04 if outfit.hair == "bob" else 0.025) * scale
    front = ear * (1 - low) + (back + 0.05) * low
    x = front - (front - back) * np.cos(turn) * tucked
    y = wide * np.sin(turn)
    position = np.stack([x, y, z], -1).reshape(-1, 3)
    rest = np.stack([0.03 - 0.1 * np.cos(turn) + 0 * z, 0.1 * np.sin(turn) + 0 * z, rest_z], -1).reshape(-1, 3)
    return _grid_sheet(template, position, rest, rows, columns)


def _tail(template: Template, body: Body, outfit: Outfit, cap: Sheet, top: Sheet) -> Sheet:
    """A ponytail: a tapering tube from the back of the head."""
    rows, columns = 12, 9
    level = np.linspace(0, 1, rows)
    scale = body.height_m / 1.67
    start = cap.position[cap.position[:, 0].argmin()] + [0.012, 0, 0.03 * scale]
    rest_z = 0.78 + (outfit.hair_z - 0.78) * level
    z = _heights(template, body, rest_z)
    z += start[2] - z[0]
    radius = 0.026 * scale * np.sin(np.pi * np.clip(0.15 + 0.85 * level, 0, 0.97)) ** 0.7
    x = start[0] - 0.045 * scale * np.sin(np.pi * np.clip(level * 1.6, 0, 0.62))
    x = np.minimum(x, np.where(level > 0.25, _back(body, cap, top, z) - 0.5 * radius, x))
    turn = np.linspace(-np.pi, np.pi, columns)
    position = np.stack(
        [
            x[:, None] - radius[:, None] * np.cos(turn),
            radius[:, None] * 1.1 * np.sin(turn),
            np.broadcast_to(z[:, None], (rows, columns)),
        ],
        -1,
    ).reshape(-1, 3)
    rest = np.stack(
        np.broadcast_arrays(-0.07 - 0.03 * np.cos(turn)[None], 0.03 * np.sin(turn)[None], rest_z[:, None]), -1
    ).reshape(-1, 3)
    return _grid_sheet(template, position, rest, rows, columns)


def _grid_sheet(template: Template, position: np.ndarray, rest: np.ndarray, rows: int, columns: int) -> Sheet:
    """A sheet from rows (downwards) and columns (to the left); it hangs from the head over the upper back."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
    quads = corner + np.array([0, 1, columns + 1, columns])
    triangles = triangles_of(quads)
    weight = np.zeros((len(position), len(template.bone_names)))
    weight[:, template.bone("head")] = ramp(rest[:, 2], 0.5, 0.62)
    weight[:, template.bone("spine_03")] = 1 - weight[:, template.bone("head")]
    normal = normals(position, triangles)
    return Sheet(position, rest, np.zeros((len(position), 4)), normal, weight, triangles, np.zeros((0, 3, 2)))
