"""Dresses a body: any garment of the wardrobe, layer by layer from the skin outwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from unrealperson.synth.people.body import Body, Template, load_template
from unrealperson.synth.people.charts import (
    HEAD_Z,
    head_chart,
    leg_chart,
    limb_chart,
    panel_chart,
    panels_of,
    picture_chart,
    shoe_chart,
    sleeve_chart,
)
from unrealperson.synth.people.collars import collar_of, opening_gap
from unrealperson.synth.people.cuts import Garment, Lower, Shoe, Upper
from unrealperson.synth.people.drape import fall_straight, hang, join, push, rest_on, resting, widen
from unrealperson.synth.people.footwear import lower_toes, make_shoes, shoe_field
from unrealperson.synth.people.hair import grow_hair
from unrealperson.synth.people.haircuts import HAIRCUTS
from unrealperson.synth.people.mhclo import Fitted, fit
from unrealperson.synth.people.outfits import Outfit
from unrealperson.synth.people.scalp import scalp_field
from unrealperson.synth.people.sheets import (
    SLOTS,
    Mesh,
    Sheet,
    cut,
    hem,
    normals,
    ramp,
    sheet_from,
    sheet_of,
    skin_faces,
    weld,
)

_NECK_Z = 0.575
"""Height of the base of the neck on the neutral base mesh."""
_SCALE_HEIGHT_M = 1.67
"""Height of the body that the thicknesses are meant for."""
_SPLIT_Z = 0.075
"""Below this, cloth that ends lower than the hips hangs as a skirt around both legs."""

Field = Callable[[Sheet], np.ndarray]


def dress(body: Body, outfit: Outfit) -> Mesh:
    """Builds the mesh of a dressed person.

    Args:
        body: the shape.
        outfit: what it wears.

    Returns:
        The mesh; faces below clothes are left out.
    """
    return _Fitting(body, outfit).mesh()


def upper_field(sheet: Sheet, upper: Upper, scale: float) -> np.ndarray:
    """Above 0 where a garment covers the trunk and the arms, in metres.

    Args:
        sheet: a layer of that body.
        upper: the cut.
        scale: size of the body relative to the base mesh.
    """
    arm, along = sheet.guide[:, 0], sheet.guide[:, 1]
    x, y, z = sheet.template.T
    away = np.abs(y)
    if upper.bib:
        return _bib_field(x, away, z, arm)
    on_arm = along - 2.5 * (1 - arm)
    if upper.sleeve >= 0:
        sleeve = np.where(arm > 0.25, (upper.sleeve - on_arm) * 0.23, 1.0)
        strap = 1.0
    else:
        strap = 0.15 + 0.1 * upper.sleeve
        sleeve = strap - away + 0.16 * ramp(z, 0.47, 0.38)
        sleeve = np.where(arm > 0.3, np.minimum(sleeve, -0.02), sleeve)
    lower = np.where(arm > 0.5, 1.0, z - upper.hem_z)
    # The neckline is half an ellipse on the chest, a V where the norm's power falls to one.
    front = np.clip((x + 0.03) / 0.12, 0, 1)
    edge_z = _NECK_Z + 0.03 - min(upper.neck_m, 0.0)
    deep = 0.012 + front * (0.05 + upper.neck_m + 0.09 * upper.v_neck)
    power = 2.0 - upper.v_neck
    wide = min(0.078 + max(0.3 * upper.neck_m, 0.0) + upper.neck_wide_m, strap - 0.022)
    reach = ((away / wide) ** power + (np.maximum(edge_z - z, 0) / deep) ** power) ** (1 / power)
    field = np.minimum.reduce([sleeve, lower, 0.05 * (reach - 1)])
    in_front = (x > 0.0) & (arm < 0.4)
    gap = np.abs(sheet.position[:, 1]) / scale - opening_gap(upper, z)
    return np.where(in_front, np.minimum(field, gap), field)


def _bib_field(x: np.ndarray, away: np.ndarray, z: np.ndarray, arm: np.ndarray) -> np.ndarray:
    bib = np.where(x > 0.02, np.minimum(0.118 - away, 0.41 - z), np.minimum(0.15 - away, 0.22 - z))
    straps = np.minimum(0.02 - np.abs(away - 0.078), z - 0.1)
    sides = 0.16 - z
    return np.where(arm > 0.3, -1.0, np.minimum(np.maximum.reduce([bib, straps, sides]), z - 0.08))


def trouser_field(sheet: Sheet, lower: Lower) -> np.ndarray:
    """Above 0 where trousers cover hips and legs, in metres.

    Args:
        sheet: a layer of the body.
        lower: the cut.
    """
    z = sheet.template[:, 2]
    return np.where(sheet.guide[:, 0] > 0.5, -1.0, np.minimum(lower.waist_z - z, z - lower.leg_z))


class _Fitting:
    """One body being dressed: `ground` is the outermost layer so far, `covers` what lies below later layers."""

    def __init__(self, body: Body, outfit: Outfit) -> None:
        self.body, self.outfit = body, outfit
        self.template = load_template()
        self.scale = body.height_m / _SCALE_HEIGHT_M
        self.shell = sheet_from(self.template, body, "helper-tights")
        self.ground = self.shell
        self.layers: list[tuple[list[Sheet], Field]] = []
        self.shoe = outfit.shoes.shoe or Shoe()
        self.hidden = np.zeros(len(self.template.vertices), bool)

    def mesh(self) -> Mesh:
        """Wears everything and welds what is seen."""
        outfit, lower = self.outfit, self.outfit.lower
        fitted = {garment.slot: garment for garment in outfit.fitted}
        if "suit" in fitted:
            self.wear_fitted(fitted["suit"])
        elif outfit.tucked or outfit.top.slot == "dress":
            self.wear_upper(outfit.top, "top", tuck_z=lower.waist_z)
            self.wear_lower()
        else:
            self.wear_lower()
            self.wear_upper(outfit.top, "top")
        trunk = self.layers[0 if outfit.tucked else -1][0]
        if outfit.outer is not None and "suit" not in fitted:
            self.wear_upper(outfit.outer, "outer", tuck_z=lower.waist_z if _is_bib(outfit.outer) else None)
            trunk = trunk + self.layers[-1][0]
        if "shoes" in fitted:
            self.wear_fitted(fitted["shoes"])
        else:
            self.wear_shoes()
        parts = [_skin(self), _eyes(self.template, self.body)]
        for number, (sheets, _) in enumerate(self.layers):
            above = [field for _, field in self.layers[number + 1 :]]
            parts.extend(_without_hidden(sheet, above, 0.03) for sheet in sheets)
        over = replace(trunk[0], position=np.concatenate([sheet.position for sheet in trunk]))
        hair = grow_hair(self.template, self.body, outfit, over)
        parts.extend(replace(part, slot=SLOTS.index("hair")) for part in hair)
        return weld([part for part in parts if len(part.triangles)])

    def wear_upper(self, garment: Garment, region: str, *, tuck_z: float | None = None) -> None:
        """Puts on what hangs from the shoulders."""
        upper = garment.upper
        if upper is None:
            raise ValueError(f"{garment.name} has no upper part")
        scale, ground = self.scale, self.ground
        z = ground.template[:, 2]
        arm, along = ground.guide[:, 0], ground.guide[:, 1]
        shoulders = ramp(z, 0.26, 0.40)
        offset = upper.room_m * (1 - 0.6 * shoulders * resting(ground.normal, ground))
        fall = upper.fall
        if tuck_z is not None:
            offset = 0.003 + (offset - 0.003) * ramp(z, tuck_z - 0.01, tuck_z + 0.08)
            fall = min(fall, 0.12)
        sheet = push(ground, offset * scale)
        sheet = fall_straight(sheet, 0.0 if upper.bib else fall)
        sheet = widen(sheet, self.body, ("upperarm", "lowerarm", "hand"), _sleeve_radius(upper, along, arm) * scale)
        if not upper.bib:
            sheet = push(sheet, _crumple(sheet, self.outfit.creases, upper) * scale)
        field = upper_field(sheet, upper, scale)
        if tuck_z is not None and not upper.bib:
            field = np.minimum(field, np.where(arm > 0.5, 1.0, z - tuck_z + 0.03))
        panels = panels_of(garment)
        slot = SLOTS.index(region)
        tail = None
        hangs = tuck_z is None and upper.hem_z < 0.055
        if hangs:
            tail = hang(
                sheet,
                self.body,
                top_z=_SPLIT_Z + 0.04,
                hem_z=upper.hem_z,
                room_m=0.0,
                flare=upper.flare,
                pleats=0,
                wave_m=0.0,
            )
            # Where the tail takes over, the trunk lies just above it.
            sheet = join(sheet, tail, gap_m=0.0045 * scale)
        whole = hem(cut(sheet, field), 0.01 * scale)
        if hangs:
            whole = cut(whole, np.where(whole.guide[:, 0] > 0.5, 1.0, whole.template[:, 2] - _SPLIT_Z))
        trunk, sleeves = cut(whole, 0.5 - whole.guide[:, 0]), cut(whole, whole.guide[:, 0] - 0.5)
        flat = [trunk]
        if tail is not None:
            tail_field = upper_field(tail, replace(upper, hem_z=-1.0), scale)
            flat.append(hem(cut(tail, np.minimum(tail_field, _SPLIT_Z + 0.03 - tail.template[:, 2])), 0.01 * scale))
        parts = [replace(part, chart=panel_chart(part, region, panels), slot=slot) for part in flat]
        parts.append(replace(sleeves, chart=sleeve_chart(sleeves, f"{region} sleeve"), slot=slot))
        parts.extend(
            replace(part, chart=panel_chart(replace(part, template=place), region, panels), slot=slot)
            for part, place in collar_of(sheet, self.collar(upper, region))
        )
        share = ramp(field, -0.04, 0.0)[:, None]
        if tuck_z is not None:
            share = share * ramp(z, tuck_z - 0.05, tuck_z - 0.03)[:, None]
        position = ground.position + share * (sheet.position - ground.position)
        self.ground = replace(ground, position=position, normal=normals(position, ground.triangles))
        if tail is not None:
            self.ground = rest_on(self.ground, tail)
        self.layers.append((parts, lambda part: upper_field(part, upper, scale)))

    def collar(self, upper: Upper, region: str) -> Upper:
        """A collar that is turned down has no room below one that stands."""
        outer = self.outfit.outer
        above = "none" if region == "outer" or outer is None or outer.upper is None else outer.upper.collar
        if above in ("none", "lapel", "shawl") or upper.collar not in ("shirt", "polo", "hood", "stand", "cowl"):
            return upper
        return replace(upper, collar="crew", neck_m=0.0)

    def wear_lower(self) -> None:
        """Puts on what hangs from the waist."""
        garment, lower, ground = self.outfit.lower_garment, self.outfit.lower, self.ground
        scale, z = self.scale, ground.template[:, 2]
        if lower.skirt:
            region = {"bottom": "legs", "dress": "top"}.get(garment.slot, "outer")
            sheet = hang(
                ground,
                self.body,
                top_z=lower.waist_z,
                hem_z=lower.leg_z,
                room_m=(lower.room_m + lower.wave_m) * scale,
                flare=lower.flare,
                pleats=lower.pleats,
                wave_m=lower.wave_m * scale,
            )
            self.ground = rest_on(ground, sheet)
            sheet = hem(sheet, 0.012 * scale)
            chart = panel_chart(sheet, region, panels_of(garment))
            slot = SLOTS.index("bottom" if region == "legs" else region)
            self.layers.append(([replace(sheet, chart=chart, slot=slot)], lambda part: _skirt_field(part, lower)))
            return
        sheet = push(ground, np.full(len(z), lower.room_m * scale))
        if lower.thigh_m:
            at = [lower.leg_z, -0.37, -0.2, -0.1, -0.04]
            wide = [lower.hem_m, lower.knee_m, lower.thigh_m, 0.9 * lower.thigh_m, 0.0]
            order = np.argsort(at)
            least = np.interp(z, np.array(at)[order], np.array(wide)[order])
            least = np.where((ground.guide[:, 0] < 0.3) & (z < -0.04), least, 0.0)
            sheet = widen(sheet, self.body, ("thigh", "calf", "foot"), least * scale)
        field = trouser_field(sheet, lower)
        trousers = hem(cut(sheet, field), 0.01 * scale)
        trousers = replace(trousers, chart=leg_chart(trousers), slot=SLOTS.index("bottom"))
        position = ground.position + ramp(field, -0.04, 0.0)[:, None] * (sheet.position - ground.position)
        self.ground = replace(ground, position=position, normal=normals(position, ground.triangles))
        self.layers.append(([trousers], lambda part: trouser_field(part, lower)))

    def wear_fitted(self, garment: Fitted) -> None:
        """Puts on a garment made for MakeHuman, with its own picture or with cloth of ours."""
        sheet = fit(garment, self.body)
        self.hidden |= garment.hidden
        corner = sheet.triangles
        arm = sheet.guide[corner, 0].mean(1)
        kinds: list[tuple[str, np.ndarray, Callable[[Sheet], np.ndarray]]]
        if garment.slot == "shoes":
            self.shoe = replace(self.shoe, heel_m=0.0)
            kinds = [("shoes", np.ones(len(corner), bool), shoe_chart)]
        else:
            panels = panels_of(self.outfit.top)
            kinds = [
                ("top", (arm < 0.5) & garment.upper, lambda part: panel_chart(part, "top", panels)),
                ("top", arm >= 0.5, lambda part: sleeve_chart(part, "top sleeve")),
                ("bottom", (arm < 0.5) & ~garment.upper, leg_chart),
            ]
        parts = []
        for slot, chosen, chart in kinds:
            part = replace(sheet, triangles=corner[chosen], slot=SLOTS.index(slot))
            picture = garment.texture is not None and garment.slot == "suit"
            parts.append(replace(part, chart=picture_chart(garment.uv[chosen]) if picture else chart(part)))
        self.layers.append((parts, lambda part: np.full(len(part.position), -1.0)))

    def wear_shoes(self) -> None:
        """Puts on shoes: below wide trousers, over narrow ones."""
        shoe, lower = self.outfit.shoes.shoe, self.outfit.lower
        if shoe is None:
            raise ValueError(f"{self.outfit.shoes.name} is no pair of shoes")
        below = not lower.skirt and lower.leg_z < shoe.shaft_z
        if below and lower.hem_m > 0.052:
            shoe = replace(shoe, shaft_z=max(min(shoe.shaft_z, lower.leg_z + 0.03), -0.755), shaft_m=0.0)
            below = False
        sheet = make_shoes(self.ground if below else self.shell, self.body, shoe, self.scale)
        self.shoe = shoe
        seen_at = sheet.template.copy()
        if shoe.heel_m < 0.02:
            # The sole's edge is level, whatever the foot in it.
            level = sheet.position[:, 2] / self.scale - 0.804
            seen_at[:, 2] += ramp(seen_at[:, 2], -0.76, -0.78) * (np.maximum(level, -0.828) - seen_at[:, 2])
        chart = shoe_chart(replace(sheet, template=seen_at))
        sheet = replace(sheet, chart=chart, slot=SLOTS.index("shoes"))
        self.layers.append(([sheet], lambda part: shoe_field(part.template, part.guide, shoe)))


def _is_bib(garment: Garment) -> bool:
    return garment.upper is not None and garment.upper.bib


def _sleeve_radius(upper: Upper, along: np.ndarray, arm: np.ndarray) -> np.ndarray:
    if upper.arm_m > 1.8 * upper.wrist_m:
        radius = np.interp(
            along, [0.0, 0.6, 1.75, upper.sleeve], [0.8 * upper.arm_m, upper.arm_m, upper.arm_m, upper.wrist_m]
        )
    else:
        radius = np.interp(along, [0.0, 0.5, max(upper.sleeve, 0.6)], [upper.arm_m, upper.arm_m, upper.wrist_m])
    return radius * ramp(arm, 0.5, 0.9) * ramp(along, 0.05, 0.6)


def _crumple(sheet: Sheet, seed: int, upper: Upper) -> np.ndarray:
    """Soft wrinkles, outwards only: metres by which they lift the cloth."""
    rng = np.random.default_rng(seed)
    waves = np.zeros(len(sheet.template))
    for length_m in (0.17, 0.12, 0.09):
        direction = rng.normal(0, 1, 3) * [0.7, 0.7, 1.0]
        direction *= 2 * np.pi / length_m / np.linalg.norm(direction)
        waves += np.sin(sheet.template @ direction + rng.uniform(0, 2 * np.pi))
    loose = 0.25 + 0.75 * upper.fall
    low = ramp(sheet.template[:, 2], 0.5, 0.4) + ramp(sheet.guide[:, 1], 0.4, 0.8) * (sheet.guide[:, 0] > 0.5)
    return 0.0022 * loose * np.clip(waves + 1, 0, 3) * np.clip(low, 0, 1)


def _skirt_field(sheet: Sheet, lower: Lower) -> np.ndarray:
    z = sheet.template[:, 2]
    inside_m = 0.0 if lower.flare < 0.2 else 0.05
    return np.where(sheet.guide[:, 0] > 0.5, -1.0, np.minimum(lower.waist_z - z, z - lower.leg_z - inside_m))


def _without_hidden(sheet: Sheet, above: list[Field], margin: float) -> Sheet:
    if not above:
        return sheet
    cover = np.max([field(sheet) for field in above], axis=0) - margin
    keep = ~(cover[sheet.triangles] > 0).all(1)
    return replace(sheet, triangles=sheet.triangles[keep], chart=sheet.chart[keep])


def _skin(fitting: _Fitting) -> Sheet:
    outfit = fitting.outfit
    faces = skin_faces()
    faces = faces[~fitting.hidden[faces].all(1)]
    sheet = sheet_of(fitting.template, fitting.body, faces)
    cover = np.max([field(sheet) for _, field in fitting.layers], axis=0) - 0.022
    if HAIRCUTS[outfit.hair].flow or HAIRCUTS[outfit.hair].gather:
        scalp = np.where(sheet.guide[:, 3] > 0.5, scalp_field(sheet.template, outfit) - 0.03, -1)
        scalp = np.minimum(scalp, sheet.template[:, 2] - HAIRCUTS[outfit.hair].fade_z - 0.02)
        cover = np.maximum(cover, scalp)
    triangles = sheet.triangles[~(cover[sheet.triangles] > 0).all(1)]
    position = lower_toes(sheet.position, sheet.template, fitting.shoe, fitting.scale)
    sheet = replace(sheet, triangles=triangles, position=position)
    head = sheet.template[triangles, 2].mean(1) > HEAD_Z[0]
    head &= sheet.guide[triangles, 0].mean(1) < 0.3
    limb = limb_chart(sheet)
    return replace(sheet, chart=np.where(head[:, None, None], head_chart(sheet), limb))


def _eyes(template: Template, body: Body) -> Sheet:
    sheet = sheet_from(template, body, "helper-l-eye", "helper-r-eye")
    front = sheet.normal[sheet.triangles, 0].mean(1) > 0.0
    sheet = replace(sheet, triangles=sheet.triangles[front], slot=SLOTS.index("eyes"))
    return replace(sheet, chart=head_chart(sheet))
