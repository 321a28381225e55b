"""One texture atlas per person: skin and face, hair, cloth patterns, weave and fold shading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrealperson.synth import skin as skins
from unrealperson.synth.body import Body
from unrealperson.synth.charts import LEG_Z, REGIONS, TORSO_Z, WRAP, grid
from unrealperson.synth.noise import smooth_noise as _noise
from unrealperson.synth.outfits import Outfit

ATLAS_PX = 512
_CROTCH_Z, _KNEE_Z = -0.045, -0.37

# sRGB 0 ... 1 and how often it is worn as (top, bottom, shoes).
_CLOTH = {
    "black": ((0.07, 0.07, 0.075), (24, 32, 34)),
    "charcoal": ((0.17, 0.17, 0.18), (9, 12, 8)),
    "grey": ((0.42, 0.42, 0.43), (9, 9, 9)),
    "light grey": ((0.66, 0.66, 0.66), (6, 3, 6)),
    "white": ((0.81, 0.81, 0.80), (12, 2.5, 22)),
    "beige": ((0.74, 0.66, 0.54), (5, 8, 3)),
    "brown": ((0.32, 0.22, 0.15), (4, 5, 11)),
    "navy": ((0.10, 0.13, 0.24), (11, 12, 5)),
    "blue": ((0.19, 0.31, 0.58), (6, 3, 2)),
    "light blue": ((0.56, 0.68, 0.82), (5, 1.5, 0)),
    "red": ((0.66, 0.13, 0.15), (4.5, 0.4, 1.5)),
    "burgundy": ((0.36, 0.10, 0.15), (3, 1.2, 1)),
    "pink": ((0.80, 0.56, 0.62), (3, 0.6, 1)),
    "green": ((0.20, 0.40, 0.25), (3, 1, 0.5)),
    "olive": ((0.34, 0.35, 0.22), (4, 5, 0)),
    "yellow": ((0.80, 0.66, 0.26), (2.2, 0.3, 0.3)),
    "orange": ((0.74, 0.39, 0.17), (1.5, 0.15, 0.4)),
    "purple": ((0.36, 0.23, 0.46), (2.5, 0.5, 0)),
    "teal": ((0.12, 0.43, 0.45), (2, 0.5, 0)),
}
_DENIM = {
    "dark denim": (0.13, 0.16, 0.24),
    "denim": (0.25, 0.33, 0.46),
    "light denim": (0.48, 0.57, 0.68),
    "black denim": (0.10, 0.10, 0.11),
}
_HAIR = {
    "black": (0.055, 0.05, 0.05),
    "dark brown": (0.12, 0.08, 0.06),
    "brown": (0.24, 0.16, 0.10),
    "blond": (0.56, 0.44, 0.27),
    "red": (0.38, 0.18, 0.10),
    "grey": (0.55, 0.54, 0.53),
}


@dataclass(frozen=True)
class Look:
    """A finished atlas and what it shows.

    Attributes:
        texture: [S, S, 3] uint8 sRGB, row 0 on top.
        words: colours and patterns by name.
    """

    texture: np.ndarray
    words: dict[str, str]


def paint(rng: np.random.Generator, body: Body, outfit: Outfit) -> Look:
    """Paints the atlas of one person.

    Args:
        rng: source of randomness.
        body: age and ethnicity decide skin and hair.
        outfit: what is worn, and where it ends.
    """
    words: dict[str, str] = {}
    atlas = np.zeros((ATLAS_PX, ATLAS_PX, 3))
    skin = skins.random_tone(rng, body)
    words["skin"] = skins.describe_tone(skin)
    hair_name, hair = _hair_tone(rng, body)
    words["hair_color"] = "none" if outfit.hair == "bald" else hair_name

    top_name, top = _cloth_tone(rng, 0)
    words["top_color"] = top_name
    pattern = str(
        rng.choice(
            ["plain", "stripes", "plaid", "block", "print", "motif", "gradient", "open"], p=_pattern_odds(outfit.top)
        )
    )
    words["top_pattern"] = pattern
    second = _contrast(rng, top)
    third = _contrast(rng, top)
    scale = _pattern_scale(rng)

    grid = _grid("torso")
    x, z = (grid[0] * WRAP - 0.5) * 1.0, TORSO_Z[1] - grid[1] * (TORSO_Z[1] - TORSO_Z[0])
    cloth = _pattern(pattern, x, z, top, second, third, scale, where="torso")
    _put(atlas, "torso", cloth * _weave(rng, x.shape) * _torso_folds(rng, x, z, outfit))

    grid = _grid("sleeve")
    x, z = grid[0] * 0.2, 0.5 - grid[1] * 0.55
    cloth = _pattern(pattern, x, z, top, second, third, scale, where="sleeve")
    _put(atlas, "sleeve", cloth * _weave(rng, x.shape) * _sleeve_folds(rng, x, grid[1] * 2))

    bottom_name, bottom = _bottom_tone(rng, outfit)
    words["bottom_color"] = bottom_name
    grid = _grid("legs")
    x, z = (grid[0] * WRAP) * 0.55, LEG_Z[1] - grid[1] * (LEG_Z[1] - LEG_Z[0])
    kind = "plain"
    if outfit.skirted and rng.random() < 0.35:
        kind = str(rng.choice(["plaid", "print", "stripes"]))
    words["bottom_pattern"] = "denim" if "denim" in bottom_name else kind
    cloth = _pattern(kind, x, z, bottom, _contrast(rng, bottom), _contrast(rng, bottom), scale, where="legs")
    if "denim" in bottom_name:
        cloth = _denim(rng, cloth, grid[0] * WRAP, z)
    folds = _leg_folds(rng, grid[0] * WRAP, z, outfit)
    _put(atlas, "legs", cloth * _weave(rng, x.shape) * folds)

    shoe_name, shoe = _cloth_tone(rng, 2)
    words["shoes_color"] = shoe_name
    _put(atlas, "shoes", _shoes(rng, shoe, outfit))
    _put(atlas, "skin", skins.paint_limbs(rng, body, skin, ATLAS_PX))
    _put(atlas, "hair", _hair_strands(rng, hair))
    head, seen = skins.paint_head(rng, body, skin, hair, outfit, ATLAS_PX)
    _put(atlas, "head", head)
    words |= seen
    return Look((np.clip(atlas, 0, 1) * 255 + 0.5).astype(np.uint8), words)


def _shape(region: str) -> tuple[int, int]:
    box = REGIONS[region]
    return round(box.height * ATLAS_PX), round(box.width * ATLAS_PX)


def _grid(region: str) -> tuple[np.ndarray, np.ndarray]:
    return grid(region, ATLAS_PX)


def _put(atlas: np.ndarray, region: str, image: np.ndarray) -> None:
    box = REGIONS[region]
    height, width = _shape(region)
    top, left = round(box.top * ATLAS_PX), round(box.left * ATLAS_PX)
    atlas[top : top + height, left : left + width] = image


def _hair_tone(rng: np.random.Generator, body: Body) -> tuple[str, np.ndarray]:
    caucasian = body.ethnicity[2]
    odds = np.array([6, 4, 1 + 3 * caucasian, 2.5 * caucasian**2, 0.6 * caucasian**2, 0.0])
    odds[5] = odds.sum() * float(np.clip((body.age - 45) / 20, 0, 4))
    name = str(rng.choice(list(_HAIR), p=odds / odds.sum()))
    return name, np.array(_HAIR[name]) * rng.uniform(0.8, 1.25)


def _cloth_tone(rng: np.random.Generator, use: int) -> tuple[str, np.ndarray]:
    odds = np.array([worn[use] for _, worn in _CLOTH.values()], np.float64)
    name = str(rng.choice(list(_CLOTH), p=odds / odds.sum()))
    tone = np.array(_CLOTH[name][0])
    tone = tone.mean() + (tone - tone.mean()) * rng.uniform(0.65, 1.05)
    return name, np.clip(tone * rng.uniform(0.82, 1.15) * (1 + rng.normal(0, 0.03, 3)), 0.03, 0.88)


def _bottom_tone(rng: np.random.Generator, outfit: Outfit) -> tuple[str, np.ndarray]:
    if outfit.bottom == "jeans" or (outfit.bottom == "shorts" and rng.random() < 0.3):
        name = str(rng.choice(list(_DENIM), p=[0.38, 0.34, 0.16, 0.12]))
        return name, np.array(_DENIM[name]) * rng.uniform(0.85, 1.15)
    name, tone = _cloth_tone(rng, 1)
    if outfit.bottom == "leggings":
        return ("black", np.array(_CLOTH["black"][0])) if rng.random() < 0.6 else (name, tone * 0.7)
    return name, tone


def _contrast(rng: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    """Another wardrobe colour that can be told from the first."""
    for _ in range(8):
        _, other = _cloth_tone(rng, 0)
        if np.abs(other - tone).max() > 0.22:
            break
    return other


def _pattern_odds(top: str) -> list[float]:
    plain, stripes, plaid, block, small, motif, gradient, opened = {
        "t-shirt": (56, 15, 2, 8, 9, 18, 5, 0),
        "shirt": (50, 11, 24, 3, 9, 0, 4, 0),
        "sweater": (62, 14, 2, 12, 6, 6, 4, 0),
        "jacket": (50, 0, 3, 14, 2, 0, 3, 28),
        "coat": (64, 0, 6, 2, 2, 0, 2, 24),
    }[top]
    total = plain + stripes + plaid + block + small + motif + gradient + opened
    return [n / total for n in (plain, stripes, plaid, block, small, motif, gradient, opened)]


@dataclass(frozen=True)
class _Scale:
    period_m: float
    ratio: float
    offset_m: float
    size_m: float
    seed: int


def _pattern_scale(rng: np.random.Generator) -> _Scale:
    return _Scale(
        float(rng.uniform(0.03, 0.11)),
        float(rng.uniform(0.3, 0.6)),
        float(rng.uniform(0, 0.1)),
        float(rng.uniform(0.014, 0.04)),
        int(rng.integers(1 << 31)),
    )


def _pattern(
    kind: str,
    x: np.ndarray,
    z: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    third: np.ndarray,
    scale: _Scale,
    *,
    where: str,
) -> np.ndarray:
    """Colours of a cloth at metres around (x, 0 in front) and up (z)."""
    a, b, c = (tone[None, None] for tone in (first, second, third))
    rng = np.random.default_rng(scale.seed)
    plain = np.broadcast_to(a, (*x.shape, 3))
    if kind == "stripes":
        band = (((z + scale.offset_m) / scale.period_m) % 1 < scale.ratio)[..., None]
        return np.where(band, b, a)
    if kind == "plaid":
        across = ((z / scale.period_m) % 1 < scale.ratio).astype(float)[..., None]
        along = ((x / scale.period_m) % 1 < scale.ratio).astype(float)[..., None]
        fine = (((z / scale.period_m + 0.25) % 1 < 0.07) | ((x / scale.period_m + 0.25) % 1 < 0.07))[..., None]
        woven = a * (1 - 0.4 * across - 0.4 * along) + b * 0.4 * across + b * 0.4 * along
        return np.where(fine, 0.5 * woven + 0.5 * c, woven)
    if kind == "block":
        level = {"torso": rng.uniform(0.2, 0.42), "sleeve": -1.0, "legs": -9.0}[where]
        stripe = 0.04 if rng.random() < 0.4 else 0.0
        other = z > level if rng.random() < 0.6 else np.full(z.shape, where == "sleeve")
        cloth = np.where(other[..., None], b, a)
        return np.where((np.abs(z - level) < stripe)[..., None], c, cloth)
    if kind == "print":
        cell = scale.size_m
        row = np.floor(z / cell)
        dx = (x / cell + 0.5 * (row % 2)) % 1 - 0.5
        dz = (z / cell) % 1 - 0.5
        column = np.floor(x / cell + 0.5 * (row % 2))
        flip = ((column * 7 + row * 13) % 3 == 0)[..., None]
        dot = (dx**2 + dz**2 < 0.09)[..., None]
        return np.where(dot, np.where(flip, c, b), a)
    if kind == "motif" and where == "torso":
        wide, high, level = rng.uniform(0.05, 0.11), rng.uniform(0.03, 0.09), rng.uniform(0.30, 0.40)
        wobble = _noise(rng, x.shape, 40)
        shape = (np.abs(x) / wide) ** 4 + (np.abs(z - level) / high) ** 4 < 0.4 + wobble
        return np.where((shape & (wobble > 0.35))[..., None], np.where((wobble > 0.7)[..., None], c, b), a)
    if kind == "gradient":
        share = np.clip((z + 0.1) / 0.6, 0, 1)[..., None]
        return a * share + (0.5 * a + 0.5 * b) * (1 - share)
    if kind == "open" and where == "torso":
        gap = 0.025 + 0.06 * np.clip(0.5 - z, 0, 0.6)
        return np.where((np.abs(x) < gap)[..., None], b, np.where((np.abs(x) < gap + 0.012)[..., None], 0.6 * a, a))
    return plain


def _weave(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    strength = rng.uniform(0.015, 0.05)
    grain = rng.normal(0, strength, shape)
    return (1 + grain + 0.10 * (_noise(rng, shape, 6) - 0.5))[..., None]


def _ridges(rng: np.random.Generator, shape: tuple[int, int], cells: int, cells_x: int) -> np.ndarray:
    """Creases: narrow where the noise crosses its middle, -1 (shadow) ... 1 (light)."""
    field = _noise(rng, shape, cells, cells_x) * 0.7 + _noise(rng, shape, 2 * cells, 2 * cells_x) * 0.3
    crease = np.exp(-(((field - 0.5) / 0.07) ** 2))
    return np.roll(crease, 2, 0) - crease


def _torso_folds(rng: np.random.Generator, x: np.ndarray, z: np.ndarray, outfit: Outfit) -> np.ndarray:
    strong = 0.10 + 0.12 * outfit.top_drape
    folds = _ridges(rng, x.shape, 7, 9) * 0.8 + (_noise(rng, x.shape, 3, 16) - 0.5)
    waist = np.exp(-(((z - 0.15) / 0.12) ** 2)) * (_noise(rng, x.shape, 22, 5) - 0.5)
    hem = 1 - 0.25 * (np.abs(z - outfit.hem_z - 0.008) < 0.004)
    return ((1 + strong * (folds + waist)) * hem)[..., None]


def _sleeve_folds(rng: np.random.Generator, x: np.ndarray, along: np.ndarray) -> np.ndarray:
    elbow = 0.4 + np.exp(-(((along - 1.05) / 0.25) ** 2))
    folds = _ridges(rng, x.shape, 16, 2) + (_noise(rng, x.shape, 24, 2) - 0.5)
    return (1 + 0.14 * elbow * folds)[..., None]


def _leg_folds(rng: np.random.Generator, turn: np.ndarray, z: np.ndarray, outfit: Outfit) -> np.ndarray:
    if outfit.skirted:
        return (1 + 0.3 * (_noise(rng, z.shape, 2, 22) - 0.5) + 0.1 * (_noise(rng, z.shape, 6, 8) - 0.5))[..., None]
    knee = np.exp(-(((z - _KNEE_Z) / 0.09) ** 2))
    ankle = np.exp(-(((z + 0.72) / 0.06) ** 2))
    groin = np.exp(-(((z - _CROTCH_Z) / 0.07) ** 2))
    folds = _ridges(rng, z.shape, 20, 5) + 0.8 * (_noise(rng, z.shape, 26, 4) - 0.5)
    along = _noise(rng, z.shape, 4, 9) - 0.5
    soft = 0.5 if outfit.bottom == "leggings" else 1.0
    inner = 1 - 0.18 * (np.minimum(turn % 1, 1 - turn % 1) < 0.08)
    return ((1 + soft * (0.15 * (0.25 + knee + ankle + groin) * folds + 0.14 * along)) * inner)[..., None]


def _denim(rng: np.random.Generator, cloth: np.ndarray, turn: np.ndarray, z: np.ndarray) -> np.ndarray:
    front = np.exp(-(((turn - 0.28) / 0.12) ** 2)) + 0.7 * np.exp(-(((turn - 0.78) / 0.12) ** 2))
    worn = rng.uniform(0, 0.16) * front * np.exp(-(((z + 0.2) / 0.25) ** 2))
    grain = rng.normal(0, 0.03, z.shape)
    seam = 1 - 0.25 * (np.abs(turn - 0.5) < 0.008)
    pocket = 1 - 0.2 * ((np.abs(turn - 0.75) < 0.08) & (np.abs(np.abs(z - 0.03) - 0.06) < 0.004))
    return (cloth + worn[..., None]) * ((1 + grain) * seam * pocket)[..., None]


def _shoes(rng: np.random.Generator, tone: np.ndarray, outfit: Outfit) -> np.ndarray:
    u, v = _grid("shoes")
    x, z = u * 0.32 - 0.1, -0.58 - v * 0.25
    image = np.broadcast_to(tone, (*u.shape, 3)) * _weave(rng, u.shape)
    if outfit.shoes == "trainers":
        if rng.random() < 0.5:
            _, accent = _cloth_tone(rng, 2)
            mark = (np.abs(x - 0.03 - 0.6 * (z + 0.78)) < 0.008) & (z < -0.765) | (x < -0.045)
            image = np.where(mark[..., None], accent, image)
        image = np.where(((np.abs(x - 0.075) < 0.02) & (z > -0.772))[..., None], 0.8 * image + 0.08, image)
        sole = np.array([0.8, 0.8, 0.78]) if rng.random() < 0.6 else tone * 0.4
    else:
        sole = tone * 0.35
    return np.where((z < -0.803)[..., None], sole, image)


def _hair_strands(rng: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    shape = _shape("hair")
    strands = 0.6 * (_noise(rng, shape, 5, 60) - 0.5) + 0.5 * (_noise(rng, shape, 3, 18) - 0.5)
    _, v = _grid("hair")
    return tone * (1 + 0.8 * strands + 0.15 * (0.5 - v))[..., None]
