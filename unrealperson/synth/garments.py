"""Dresses a body: clothes cut from the base mesh's helper shells, with offset, drape, cut lines and hems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unrealperson.synth.body import Body, Template, load_template
from unrealperson.synth.charts import (
    HEAD_Z,
    head_chart,
    leg_chart,
    limb_chart,
    shoe_chart,
    skirt_chart,
    sleeve_chart,
    torso_chart,
)
from unrealperson.synth.hair import grow_hair, scalp_field
from unrealperson.synth.outfits import Outfit
from unrealperson.synth.sheets import (
    Mesh,
    Sheet,
    cut,
    drape,
    hem,
    ramp,
    sheet_from,
    sheet_of,
    skin_faces,
    smooth,
    weld,
    widen,
)

_NECK_Z = 0.575
"""Height of the base of the neck on the neutral base mesh."""
_SCALE_HEIGHT_M = 1.67
"""Height of the body that the thicknesses below are meant for."""


def dress(body: Body, outfit: Outfit) -> Mesh:
    """Builds the mesh of a dressed person.

    Args:
        body: the shape.
        outfit: what it wears.

    Returns:
        The mesh; body faces below clothes are left out.
    """
    template = load_template()
    scale = body.height_m / _SCALE_HEIGHT_M
    shell = sheet_from(template, body, "helper-tights")
    parts = [_bare(template, body, outfit), _eyes(template, body)]
    top = _top(shell, body, outfit, scale)
    parts.extend(top)
    if outfit.top == "coat":
        parts.append(_skirt(sheet_from(template, body, "helper-skirt"), outfit, scale, coat=True))
    if outfit.skirted:
        parts.append(_skirt(sheet_from(template, body, "helper-skirt"), outfit, scale, coat=False))
    else:
        parts.append(_trousers(shell, body, outfit, scale))
    parts.append(_shoes(shell, outfit, scale))
    parts.extend(grow_hair(template, body, outfit, top[0]))
    return weld([part for part in parts if len(part.triangles)])


def _top_field(template: np.ndarray, guide: np.ndarray, outfit: Outfit) -> np.ndarray:
    arm, along = guide[:, 0], guide[:, 1]
    x, y, z = template.T
    on_arm = (arm > 0.5) & (along > 0.15)
    sleeve = np.where(on_arm, (outfit.sleeve - along) * 0.23, 1.0)
    hem = np.where(on_arm, 1.0, z - outfit.hem_z)
    # The neckline is half an ellipse on the chest, a V where the norm's power falls to one.
    front = np.clip((x + 0.03) / 0.12, 0, 1)
    edge_z = _NECK_Z + 0.03 - min(outfit.neck_drop, 0.0)
    deep = 0.012 + front * (0.05 + outfit.neck_drop + 0.09 * outfit.v_neck)
    power = 2.0 - outfit.v_neck
    wide = 0.078 + max(outfit.neck_drop, 0.0)
    reach = ((np.abs(y) / wide) ** power + (np.maximum(edge_z - z, 0) / deep) ** power) ** (1 / power)
    return np.minimum(np.minimum(sleeve, hem), 0.05 * (reach - 1))


def _bottom_field(template: np.ndarray, guide: np.ndarray, outfit: Outfit) -> np.ndarray:
    z = template[:, 2]
    on_arm = guide[:, 0] > 0.5
    return np.where(on_arm, -1.0, np.minimum(outfit.waist_z - z, z - outfit.leg_z))


def _shoe_field(template: np.ndarray, guide: np.ndarray, outfit: Outfit) -> np.ndarray:
    x, _, z = template.T
    front = np.clip((x - 0.02) / 0.1, 0, 1)
    return np.where(guide[:, 0] > 0.5, -1.0, outfit.shaft_z - 0.02 * front - z)


def _bare(template: Template, body: Body, outfit: Outfit) -> Sheet:
    sheet = sheet_of(template, body, skin_faces())
    place = (sheet.template, sheet.guide, outfit)
    below = 0.05 if outfit.skirted else 0.025
    cover = np.max([_top_field(*place) - 0.02, _bottom_field(*place) - below, _shoe_field(*place) - 0.015], axis=0)
    if outfit.hair not in ("bald", "cropped"):
        scalp = np.where(sheet.guide[:, 3] > 0.5, scalp_field(sheet.template, outfit) - 0.03, -1)
        cover = np.maximum(cover, scalp)
    triangles = sheet.triangles[~(cover[sheet.triangles] > 0).all(1)]
    sheet = replace(sheet, triangles=triangles)
    head = sheet.template[triangles, 2].mean(1) > HEAD_Z[0]
    head &= sheet.guide[triangles, 0].mean(1) < 0.3
    limb = limb_chart(sheet)
    return replace(sheet, chart=np.where(head[:, None, None], head_chart(sheet), limb))


def _eyes(template: Template, body: Body) -> Sheet:
    sheet = sheet_from(template, body, "helper-l-eye", "helper-r-eye")
    front = sheet.normal[sheet.triangles, 0].mean(1) > 0.0
    sheet = replace(sheet, triangles=sheet.triangles[front])
    return replace(sheet, chart=head_chart(sheet))


def _top(shell: Sheet, body: Body, outfit: Outfit, scale: float) -> list[Sheet]:
    sheet = drape(shell, outfit.top_offset * scale, outfit.top_drape)
    share = ramp(sheet.guide[:, 0], 0.5, 0.9) * ramp(sheet.guide[:, 1], 0.45, 0.95)
    sheet = widen(sheet, body, ("upperarm", "lowerarm", "hand"), outfit.sleeve_width * scale, share)
    sheet = cut(sheet, _top_field(sheet.template, sheet.guide, outfit))
    if outfit.top == "coat":
        sheet = cut(sheet, np.where(sheet.guide[:, 0] > 0.5, 1.0, sheet.template[:, 2] - 0.05))
    sheet = hem(sheet, outfit.top_offset * scale + 0.012)
    # The sleeves have their own chart: part them from the trunk along a clean armhole.
    trunk, sleeves = cut(sheet, 0.5 - sheet.guide[:, 0]), cut(sheet, sheet.guide[:, 0] - 0.5)
    return [replace(trunk, chart=torso_chart(trunk)), replace(sleeves, chart=sleeve_chart(sleeves))]


def _trousers(shell: Sheet, body: Body, outfit: Outfit, scale: float) -> Sheet:
    offset = (0.003 if outfit.bottom == "leggings" else 0.007) * scale
    sheet = replace(shell, position=shell.position + offset * shell.normal)
    if outfit.leg_width:
        z = sheet.template[:, 2]
        share = ramp(z, -0.1, -0.3) * ramp(z, -0.805, -0.78) * (sheet.guide[:, 0] < 0.3)
        sheet = widen(sheet, body, ("thigh", "calf", "foot"), outfit.leg_width * scale, share)
    sheet = cut(sheet, _bottom_field(sheet.template, sheet.guide, outfit))
    sheet = hem(sheet, offset + 0.012)
    return replace(sheet, chart=leg_chart(sheet))


def _skirt(sheet: Sheet, outfit: Outfit, scale: float, *, coat: bool) -> Sheet:
    top_z, low_z = (0.155, outfit.hem_z) if coat else (outfit.waist_z, outfit.leg_z)
    down = np.clip((top_z - sheet.template[:, 2]) / max(top_z - low_z, 0.05), 0, 1)
    # The waistband lies over a tucked-in top, the hips below it follow the body.
    tucked = outfit.top_offset + 0.009 - (outfit.top_offset + 0.002) * ramp(down, 0.15, 0.5)
    offset = (np.full_like(down, outfit.top_offset + 0.004) if coat else tucked)[:, None] * scale
    widen = (0.08 if coat else outfit.flare) * down**1.5
    position = sheet.position + offset * sheet.normal
    centre = np.array([position[:, 0].mean(), 0.0])
    position[:, :2] = centre + (position[:, :2] - centre) * (1 + widen[:, None])
    sheet = replace(sheet, position=position, weight=smooth(sheet, sheet.weight, 16))
    sheet = cut(sheet, np.minimum(top_z - sheet.template[:, 2], sheet.template[:, 2] - low_z))
    sheet = hem(sheet, 0.03)
    return replace(sheet, chart=torso_chart(sheet) if coat else skirt_chart(sheet))


def _shoes(shell: Sheet, outfit: Outfit, scale: float) -> Sheet:
    position = shell.position + 0.009 * scale * shell.normal
    down = np.clip((-0.795 - shell.template[:, 2]) / 0.012, 0, 1)
    position[:, 2] -= outfit.sole_m * down
    sheet = replace(shell, position=position)
    sheet = cut(sheet, _shoe_field(sheet.template, sheet.guide, outfit))
    sheet = hem(sheet, 0.02)
    return replace(sheet, chart=shoe_chart(sheet))
