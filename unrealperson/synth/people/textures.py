"""One texture atlas per person: skin and face, hair, and the cloth of every layer with its folds and details."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unrealperson.data.sources import load_image
from unrealperson.synth.people import skin as skins
from unrealperson.synth.people.body import Body
from unrealperson.synth.people.charts import (
    LEG_Z,
    MARGIN,
    REGIONS,
    SHOE_Z,
    SLEEVE_M,
    WRAP,
    Panels,
    grid,
    panels_of,
)
from unrealperson.synth.people.cloth import (
    Cloth,
    Colors,
    choose_cloth,
    choose_shirt,
    noise,
    take_picture,
    weave,
)
from unrealperson.synth.people.collars import opening_gap
from unrealperson.synth.people.cuts import Garment, Lower, Shoe
from unrealperson.synth.people.folds import leg_shade, skirt_shade, sleeve_shade, trunk_shade
from unrealperson.synth.people.haircuts import choose_color, paint_strands
from unrealperson.synth.people.outfits import Outfit
from unrealperson.synth.people.photographs import AnyPictures, GarmentPatches
from unrealperson.synth.people.trims import finish_sleeve, finish_trunk

ATLAS_PX = 768
_STIFF = {"leather": 0.6, "canvas": 0.5, "denim": 0.35, "wool": 0.35, "herringbone": 0.35, "cable": 0.6, "tech": 0.2}
_LAYERS = ("top", "outer", "bottom", "shoes")


@dataclass(frozen=True)
class Look:
    """A finished atlas and what it shows.

    Attributes:
        texture: [S, S, 3] uint8 sRGB, row 0 on top.
        words: colours and patterns by name.
    """

    texture: np.ndarray
    words: dict[str, str]


def paint(
    rng: np.random.Generator,
    body: Body,
    outfit: Outfit,
    *,
    colors: Colors = "wardrobe",
    pictures: AnyPictures | GarmentPatches | None = None,
    picture_share: float = 1.0,
) -> Look:
    """Paints the atlas of one person.

    Args:
        rng: source of randomness.
        body: age and ethnicity decide skin and hair.
        outfit: what is worn, and where it ends.
        colors: how the colours of clothes are drawn.
        pictures: what garments take as cloth; None paints all of it.
        picture_share: how many garments take a picture, 0 ... 1.
    """
    words: dict[str, str] = {}
    atlas = np.full((ATLAS_PX, ATLAS_PX, 3), 0.1, np.float32)
    skin = skins.random_tone(rng, body)
    words["skin"] = skins.describe_tone(skin)
    hair_name, hair, natural = choose_color(rng, gender=body.gender, age=body.age, ethnicity=body.ethnicity)
    words["hair_color"] = "none" if outfit.hair == "bald" else hair_name

    garments = {"top": outfit.top, "outer": outfit.outer, "bottom": outfit.lower_garment, "shoes": outfit.shoes}
    formal = outfit.outer is not None and outfit.outer.category in ("suit", "blazer")
    cloths: dict[str, Cloth] = {}
    for layer in _LAYERS:
        garment = garments[layer]
        if garment is None:
            continue
        if layer == "bottom" and outfit.bottom is None:
            cloths[layer] = cloths["top" if garment is outfit.top else "outer"]
        else:
            choose = choose_shirt if layer == "top" and formal else choose_cloth
            cloths[layer] = choose(rng, garment, colors)
            if pictures is not None and choose is choose_cloth:
                cloths[layer] = take_picture(cloths[layer], garment, pictures, share=picture_share, colors=colors)
        words[f"{layer}_color"], words[f"{layer}_pattern"] = cloths[layer].color, cloths[layer].pattern
    tie = formal and body.gender == "male" and outfit.top.category == "shirt" and rng.random() < 0.6
    for layer in ("top", "outer"):
        garment = garments[layer]
        if garment is not None:
            _paint_upper(rng, atlas, layer, garment, cloths[layer], outfit)
    for fitted in outfit.fitted:
        if fitted.texture is not None and fitted.slot == "suit":
            _put(atlas, "outer", _picture(fitted.texture))
            words["top_pattern"] = words["bottom_pattern"] = "picture"
    if tie:
        _paint_tie(rng, atlas, panels_of(outfit.top), choose_cloth(rng, outfit.shoes, colors))
    _paint_lower(rng, atlas, cloths["bottom"], outfit)
    if outfit.shoes.shoe is not None:
        _put(atlas, "shoes", _shoes(rng, cloths["shoes"], outfit.shoes.shoe, outfit.shoes))
    _put(atlas, "skin", skins.paint_limbs(rng, body, skin, ATLAS_PX))
    _put(atlas, "hair", paint_strands(rng, hair, _shape("hair")))
    head, seen = skins.paint_head(rng, body, skin, natural, outfit, ATLAS_PX, scalp=hair)
    _put(atlas, "head", head)
    words |= seen
    return Look((np.clip(atlas, 0, 1) * 255 + 0.5).astype(np.uint8), words)


def paint_shoes(rng: np.random.Generator, texture: np.ndarray, outfit: Outfit, colors: Colors) -> dict[str, str]:
    """Paints other shoes into a finished atlas, in place.

    Args:
        rng: source of randomness.
        texture: [S, S, 3] uint8.
        outfit: its shoes are painted.
        colors: how the colours of clothes are drawn.

    Returns:
        Their colour and pattern by name.
    """
    cloth = choose_cloth(rng, outfit.shoes, colors)
    if outfit.shoes.shoe is not None:
        image = _shoes(rng, cloth, outfit.shoes.shoe, outfit.shoes)
        _put(texture, "shoes", (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    return {"shoes_color": cloth.color, "shoes_pattern": cloth.family}


def _shape(region: str) -> tuple[int, int]:
    box = REGIONS[region]
    return round(box.height * ATLAS_PX), round(box.width * ATLAS_PX)


def _grid(region: str) -> tuple[np.ndarray, np.ndarray]:
    return grid(region, ATLAS_PX)


def _put(atlas: np.ndarray, region: str, image: np.ndarray) -> None:
    _view(atlas, region)[...] = image


def _picture(path: Path) -> np.ndarray:
    """A material's picture, as large as its region and with its edges repeated into the margin."""
    from PIL import Image

    height, width = _shape("outer")
    margin = round(MARGIN * ATLAS_PX)
    opened = Image.fromarray(load_image(path))
    small = opened.resize((width - 2 * margin, height - 2 * margin), Image.Resampling.BOX)
    return np.pad(np.asarray(small, np.float32) / 255, ((margin, margin), (margin, margin), (0, 0)), "edge")


def _view(atlas: np.ndarray, region: str) -> np.ndarray:
    box = REGIONS[region]
    height, width = _shape(region)
    top, left = round(box.top * ATLAS_PX), round(box.left * ATLAS_PX)
    return atlas[top : top + height, left : left + width]


def _metres(region: str, panels: Panels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Metres from the middle of a panel, height, and which texels belong to the front."""
    u, v = (part.astype(np.float32) for part in _grid(region))
    front = u < 0.5
    x = (u - np.where(front, 0.25, 0.75).astype(np.float32)) * np.float32(panels.half_m / 0.245)
    return x, np.float32(panels.high_z) - v * np.float32(panels.high_z - panels.low_z), front


def _halves(x: np.ndarray, front: np.ndarray) -> tuple[slice, slice]:
    middle = int(front[0].sum())
    return slice(0, middle), slice(middle, x.shape[1])


def _paint_upper(
    rng: np.random.Generator, atlas: np.ndarray, layer: str, garment: Garment, cloth: Cloth, outfit: Outfit
) -> None:
    upper = garment.upper
    if upper is None:
        return
    stiff = _STIFF.get(cloth.family, 0.0)
    x, z, front = _metres(layer, panels_of(garment))
    image = np.empty((*x.shape, 3), np.float32)
    for where, columns in zip(("front", "back"), _halves(x, front), strict=True):
        px, pz = x[:, columns], z[:, columns]
        shade = trunk_shade(rng, px, pz, upper, stiff=stiff)
        if garment.lower is not None and garment.lower.skirt:
            below = skirt_shade(rng, px, pz, garment.lower, stiff=stiff)
            share = np.clip((garment.lower.waist_z - pz) / 0.02 + 0.5, 0, 1)
            shade = shade * (1 - share) + below * share
        image[:, columns] = weave(cloth, px, pz, where) * shade[..., None]
    finish_trunk(image, x, z, front, garment, cloth)
    if layer == "top" and outfit.outer is not None and outfit.outer.upper is not None:
        # The layer above keeps the light from what its opening shows.
        gap = opening_gap(outfit.outer.upper, z)
        image *= (1 - 0.4 * np.clip((np.abs(x) - gap + 0.035) / 0.035, 0, 1) * front)[..., None]
    _put(atlas, layer, image)
    if upper.sleeve > 0:
        u, v = _grid(f"{layer} sleeve")
        x, along = u * 0.2, v * 2
        z = 0.5 - along * SLEEVE_M / 2
        image = weave(cloth, x, z, "sleeve") * sleeve_shade(rng, x, along, upper, stiff=stiff)[..., None]
        image = finish_sleeve(image, x, along, garment, cloth)
        _put(atlas, f"{layer} sleeve", image)


def _paint_tie(rng: np.random.Generator, atlas: np.ndarray, panels: Panels, cloth: Cloth) -> None:
    x, z, front = _metres("top", panels)
    wide = 0.012 + 0.028 * np.clip((0.5 - z) / 0.33, 0, 1) + 0.01 * (np.abs(z - 0.535) < 0.018)
    tie = front & (np.abs(x) < wide) & (z < 0.555) & (z > 0.15)
    stripes = 1 + 0.35 * (((x + z) / 0.03) % 1 < 0.3) * (rng.random() < 0.5)
    region = _view(atlas, "top")
    region[tie] = (cloth.second * (1 - 2.0 * np.abs(x) ** 1.0)[..., None] * stripes[..., None])[tie]


def _paint_lower(rng: np.random.Generator, atlas: np.ndarray, cloth: Cloth, outfit: Outfit) -> None:
    garment, lower = outfit.lower_garment, outfit.lower
    stiff = _STIFF.get(cloth.family, 0.0)
    cover_z = (
        None if outfit.tucked or outfit.top.slot == "dress" or outfit.top.upper is None else outfit.top.upper.hem_z
    )
    if outfit.outer is not None and outfit.outer.upper is not None and outfit.outer.upper.opening != "open":
        cover_z = min(outfit.outer.upper.hem_z, cover_z if cover_z is not None else 1.0)
    if lower.skirt:
        if garment.slot != "bottom":
            return
        x, z, front = _metres("legs", panels_of(garment))
        image = np.empty((*x.shape, 3), np.float32)
        for columns in _halves(x, front):
            px, pz = x[:, columns], z[:, columns]
            image[:, columns] = weave(cloth, px, pz, "legs") * skirt_shade(rng, px, pz, lower, stiff=stiff)[..., None]
    else:
        u, v = _grid("legs")
        turn, z = u * WRAP, LEG_Z[1] - v * (LEG_Z[1] - LEG_Z[0])
        image = weave(cloth, (turn - 0.25) * 0.55, z, "legs")
        if cloth.pattern == "denim":
            image = _worn(rng, image, turn, z)
        image = image * leg_shade(rng, turn, z, lower, stiff=stiff)[..., None]
        image = image * _leg_details(garment, turn, z, lower)[..., None]
    if cover_z is not None:
        image = image * (1 - 0.3 * np.clip((z - cover_z + 0.06) / 0.06, 0, 1))[..., None]
    _put(atlas, "legs", image)


def _worn(rng: np.random.Generator, cloth: np.ndarray, turn: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Thighs, knees and seat of jeans fade; whiskers run from the crotch."""
    front = np.exp(-(((turn - 0.27) / 0.12) ** 2)) + 0.7 * np.exp(-(((turn - 0.77) / 0.12) ** 2))
    fade = np.exp(-(((z + 0.2) / 0.17) ** 2)) + 0.5 * np.exp(-(((z + 0.38) / 0.06) ** 2))
    amount = (
        rng.uniform(0.0, 0.22) * (rng.random() < 0.75) * front * fade * (0.6 + 0.8 * noise(rng, turn, z, 0.12, 0.3))
    )
    whisker = 0.05 * np.exp(-(((z + 0.06) / 0.06) ** 2)) * (noise(rng, turn * 0.5 + z, z * 1.0, 0.3, 0.02) > 0.62)
    worn = (amount + whisker * front * (turn < 0.5))[..., None]
    return cloth + worn * (np.array([0.75, 0.85, 0.95]) - cloth * 0.6)


def _leg_details(garment: Garment, turn: np.ndarray, z: np.ndarray, lower: Lower) -> np.ndarray:
    dark = np.ones(turn.shape)
    if lower.cuff_m:
        dark *= 1 - 0.10 * (z < lower.leg_z + lower.cuff_m)
    if garment.category in ("leggings", "joggers", "tracksuit"):
        stripe = (np.abs(turn - 0.5) < 0.03) & (garment.category == "tracksuit")
        return dark * (1 + 1.2 * stripe)
    slant = np.abs((turn - 0.40) * 0.5 + 0.35 * (z - 0.05)) < 0.003
    dark *= 1 - 0.3 * (slant & (np.abs(z - 0.055) < 0.055))
    back = np.maximum(np.abs(turn - 0.74) / 0.085, np.abs(z - 0.035) / 0.06)
    dark *= 1 - 0.22 * (np.abs(back - 1) < 0.05)
    if garment.pockets == "cargo":
        side = np.maximum(np.abs(turn - 0.5) / 0.12, np.abs(z + 0.24) / 0.085)
        dark *= (1 - 0.3 * (np.abs(side - 1) < 0.05)) * (1 - 0.12 * ((side < 1) & (np.abs(z + 0.18) < 0.012)))
    fly = (turn < 0.06) & (np.abs(turn - 0.05) < 0.006) & (z > -0.02)
    return dark * (1 - 0.2 * fly)


def _shoes(rng: np.random.Generator, cloth: Cloth, shoe: Shoe, garment: Garment) -> np.ndarray:
    u, v = _grid("shoes")
    x, z = u * 0.32 - 0.1, SHOE_Z[1] - v * (SHOE_Z[1] - SHOE_Z[0])
    image = weave(cloth, x, z, "shoe")
    tone = cloth.first
    if shoe.shaft_z > -0.6:
        crease = np.exp(-(((z + 0.72) / 0.05) ** 2))
        image = image * (1 + 0.22 * crease * (noise(rng, x, z, 0.2, 0.025) - 0.5))[..., None]
    if shoe.vamp_x < -0.1 and not shoe.straps and "chelsea" not in garment.name:
        laces = (np.abs(x - 0.07 - 0.6 * (z + 0.775)) < 0.028) & (z > -0.785) & (z < shoe.shaft_z)
        stripe = (((x + 1.3 * z) / 0.012) % 1 < 0.45) & laces
        light = 0.85 if garment.category == "sneakers" and rng.random() < 0.7 else 0.5 * float(tone.mean())
        image = np.where(laces[..., None], image * 0.82, image)
        image = np.where(stripe[..., None], light, image)
    sole_tone = tone * 0.3
    if garment.category == "sneakers" or garment.name in ("espadrilles", "slides"):
        sole_tone = np.array([0.8, 0.8, 0.78]) if rng.random() < 0.65 else tone * 0.45
    image = image * (1 - 0.25 * (np.abs(z + 0.797) < 0.004))[..., None]
    return np.where((z < -0.799)[..., None], sole_tone, image)
