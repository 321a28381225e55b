"""Cloth: which colours and patterns are worn, and what they look like at each place of a garment, in metres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from unrealperson.synth.people.cuts import Garment
from unrealperson.synth.people.patches import to_lab
from unrealperson.synth.people.photographs import AnyPictures, GarmentPatches, Picture, main_color

Colors = Literal["wardrobe", "black", "uniform"]
"""How colours are drawn: as people wear them, (almost) all black, or each as often as the others."""

# sRGB 0 ... 1 and how often it is worn as (top, bottom, shoes, outer).
_TONES = {
    "black": ((0.105, 0.105, 0.11), (16, 28, 36, 25)),
    "charcoal": ((0.19, 0.19, 0.2), (8, 12, 7, 10)),
    "grey": ((0.40, 0.40, 0.41), (11, 9, 7, 11)),
    "light grey": ((0.65, 0.65, 0.65), (8, 3, 5, 5)),
    "white": ((0.82, 0.82, 0.81), (20, 3, 24, 3)),
    "cream": ((0.79, 0.75, 0.66), (4, 3, 2, 3)),
    "beige": ((0.70, 0.61, 0.48), (4, 6, 3, 7)),
    "khaki": ((0.50, 0.44, 0.31), (1, 6, 1, 3)),
    "brown": ((0.29, 0.19, 0.13), (3, 5, 12, 5)),
    "navy": ((0.08, 0.11, 0.21), (11, 13, 4, 14)),
    "blue": ((0.17, 0.29, 0.55), (6, 3, 2, 3)),
    "light blue": ((0.56, 0.68, 0.82), (6, 1.5, 0, 1)),
    "red": ((0.62, 0.11, 0.13), (4, 0.5, 1.2, 2.5)),
    "burgundy": ((0.33, 0.08, 0.13), (3, 1.2, 0.8, 2)),
    "pink": ((0.79, 0.55, 0.61), (3, 0.7, 1, 1)),
    "green": ((0.16, 0.35, 0.22), (3, 1, 0.4, 1.5)),
    "olive": ((0.30, 0.31, 0.19), (3, 4.5, 0.3, 5)),
    "yellow": ((0.80, 0.64, 0.22), (1.6, 0.3, 0.2, 0.8)),
    "orange": ((0.72, 0.36, 0.14), (1.2, 0.2, 0.3, 0.6)),
    "rust": ((0.50, 0.22, 0.12), (1.4, 0.8, 0.4, 1)),
    "purple": ((0.33, 0.20, 0.42), (1.6, 0.4, 0, 0.6)),
    "lavender": ((0.64, 0.57, 0.74), (1.6, 0.3, 0, 0.5)),
    "teal": ((0.10, 0.38, 0.40), (1.6, 0.5, 0, 0.7)),
}
_USE = {"top": 0, "dress": 0, "bottom": 1, "shoes": 2, "outer": 3}
_DENIM = {
    "dark denim": (0.10, 0.13, 0.21),
    "denim": (0.21, 0.29, 0.42),
    "light denim": (0.46, 0.56, 0.67),
    "black denim": (0.09, 0.09, 0.10),
}
_SOBER = ("black", "charcoal", "grey", "navy", "brown", "beige", "light grey", "cream", "burgundy", "olive", "khaki")
_LEATHER = ("black", "brown", "charcoal", "burgundy", "beige", "white", "navy", "rust")
_COLORFUL_SHOES = ("sport", "canvas")


@dataclass(frozen=True)
class Cloth:
    """A cloth as it comes from the bale.

    Attributes:
        family: what it is made of or printed with.
        color: name of its main colour.
        first: [3] sRGB 0 ... 1.
        second: [3] of the pattern.
        third: [3] of the pattern's accents.
        period_m: length of a stripe's or check's repeat.
        ratio: share of the repeat in the second colour.
        size_m: size of dots, flowers, motifs.
        seed: of all that is irregular.
        picture: what is printed on it instead of the family's pattern, or None.
    """

    family: str
    color: str
    first: np.ndarray
    second: np.ndarray
    third: np.ndarray
    period_m: float
    ratio: float
    size_m: float
    seed: int
    picture: Picture | None = None

    @property
    def pattern(self) -> str:
        """What a person sees on it."""
        return self.family if self.picture is None else "picture"


def choose_cloth(rng: np.random.Generator, garment: Garment, colors: Colors = "wardrobe") -> Cloth:
    """Draws a cloth that a garment is sold in.

    Args:
        rng: source of randomness.
        garment: its families of cloth and its slot decide.
        colors: how colours are drawn.
    """
    family = str(rng.choice(garment.cloth))
    if family == "jersey" and rng.random() < 0.06:
        family = "gradient"
    use = _USE[garment.slot]
    if family == "denim":
        name = str(rng.choice(list(_DENIM), p=[0.36, 0.36, 0.16, 0.12]))
        name = "black denim" if colors == "black" else name
        first = np.array(_DENIM[name]) * rng.uniform(0.85, 1.15)
    else:
        only = _SOBER if family in ("wool", "herringbone", "twill") else _LEATHER if family == "leather" else None
        name, first = _tone(rng, use, colors, only)
        if family == "camouflage":
            name, first = "olive", np.array(_TONES["olive"][0])
        if family == "stretch" and rng.random() < 0.6 and colors == "wardrobe":
            name, first = "black", np.array(_TONES["black"][0])
    return Cloth(
        family=family,
        color=name,
        first=first,
        second=_contrast(rng, first, use, colors),
        third=_contrast(rng, first, use, colors),
        period_m=float(rng.choice([rng.uniform(0.018, 0.035), rng.uniform(0.035, 0.11)])),
        ratio=float(rng.uniform(0.3, 0.6)),
        size_m=float(rng.uniform(0.014, 0.04)),
        seed=int(rng.integers(1 << 31)),
    )


def choose_shirt(rng: np.random.Generator, garment: Garment, colors: Colors = "wardrobe") -> Cloth:
    """Draws the cloth of what is worn below a suit or blazer: light and quiet.

    Args:
        rng: source of randomness.
        garment: as for `choose_cloth`.
        colors: how colours are drawn.
    """
    cloth = choose_cloth(rng, garment, colors)
    if colors != "wardrobe" or rng.random() < 0.3:
        return cloth
    name = str(rng.choice(["white", "light blue", "light grey", "black", "pink"], p=[0.5, 0.25, 0.1, 0.1, 0.05]))
    return replace(cloth, family="oxford", color=name, first=np.array(_TONES[name][0]))


def take_picture(
    cloth: Cloth, garment: Garment, pictures: AnyPictures | GarmentPatches, *, share: float, colors: Colors
) -> Cloth:
    """Gives a cloth a picture, by its own chance: all else of a person stays as it is without pictures.

    Args:
        cloth: decides with its seed; what it is made of stays.
        garment: decides which patches suit; shoes take none.
        pictures: where pictures come from.
        share: how often a garment takes one, 0 ... 1.
        colors: patches come near to the cloth's own colour, so that they are as frequent as painted ones, and any
            pictures as they are; "black" dyes both: what was light in the picture is a lighter black.
    """
    rng = np.random.default_rng([cloth.seed, 3])
    if garment.slot == "shoes" or rng.random() >= share:
        return cloth
    wear: str = garment.slot
    if wear == "bottom":
        wear = "skirt" if garment.lower is not None and garment.lower.skirt else "trousers"
    picture = pictures.choose(rng, wear, cloth.first)
    if picture is None:
        return cloth
    if colors == "black":
        light = picture.pixels.mean(2, keepdims=True, dtype=np.float32) + 8
        dyed = 255 * cloth.first * np.clip(light / light.mean(), 0.45, 2.2)
        return replace(cloth, picture=replace(picture, pixels=np.clip(dyed, 0, 255).astype(np.uint8)))
    first = main_color(picture.pixels) / 255
    return replace(cloth, picture=picture, color=name_color(first), first=first)


def name_color(color: np.ndarray) -> str:
    """The wardrobe's name for a colour.

    Args:
        color: [3] sRGB 0 ... 1.
    """
    tones = to_lab(np.array([tone for tone, _ in _TONES.values()]))
    return list(_TONES)[int(np.linalg.norm(tones - to_lab(color), axis=1).argmin())]


def _tone(rng: np.random.Generator, use: int, colors: Colors, only: tuple[str, ...] | None) -> tuple[str, np.ndarray]:
    names = [name for name in _TONES if only is None or name in only]
    if colors == "black":
        name = str(rng.choice(["black", "charcoal"], p=[0.93, 0.07]))
    else:
        odds = np.array([_TONES[name][1][use] if colors == "wardrobe" else 1.0 for name in names], np.float64)
        name = str(rng.choice(names, p=odds / odds.sum()))
    tone = np.array(_TONES[name][0])
    tone = tone.mean() + (tone - tone.mean()) * rng.uniform(0.65, 1.05)
    return name, np.clip(tone * rng.uniform(0.85, 1.13) * (1 + rng.normal(0, 0.025, 3)), 0.03, 0.86)


def _contrast(rng: np.random.Generator, tone: np.ndarray, use: int, colors: Colors) -> np.ndarray:
    """Another colour that can be told from the first."""
    least = 0.05 if colors == "black" else 0.2
    for _ in range(8):
        _, other = _tone(rng, 0 if use == 3 else use, colors, None)
        if np.abs(other - tone).max() > least:
            break
    return other


@lru_cache(maxsize=1)
def _bank() -> np.ndarray:
    """A seamless tile of smooth noise, [512, 512] in 0 ... 1, with 16 cells a side."""
    coarse = np.random.default_rng(20210101).random((16, 16)).astype(np.float32)
    at = np.arange(512) / 32
    cell, part = at.astype(int), (at % 1).astype(np.float32)
    part = part * part * (3 - 2 * part)
    rows = coarse[cell] * (1 - part[:, None]) + coarse[(cell + 1) % 16] * part[:, None]
    return rows[:, cell] * (1 - part) + rows[:, (cell + 1) % 16] * part


def noise(rng: np.random.Generator, x: np.ndarray, z: np.ndarray, across_m: float, along_m: float) -> np.ndarray:
    """Smooth noise in 0 ... 1.

    Args:
        rng: chooses the place in the noise.
        x: metres across.
        z: metres along.
        across_m: size of a bump across.
        along_m: size of a bump along.
    """
    dx, dz = rng.integers(512, size=2)
    column, row = np.float32(32 / across_m) * x.astype(np.float32), np.float32(32 / along_m) * z.astype(np.float32)
    left, above = np.floor(column), np.floor(row)
    beside, below = column - left, row - above
    c, r = left.astype(np.intp) + dx & 511, (above.astype(np.intp) + dz & 511) << 9
    d, s = c + 1 & 511, r + 512 & 262143
    bank = _bank().ravel()
    upper, lower = bank.take(r + c), bank.take(s + c)
    upper += beside * (bank.take(r + d) - upper)
    lower += beside * (bank.take(s + d) - lower)
    return upper + below * (lower - upper)


def weave(cloth: Cloth, x: np.ndarray, z: np.ndarray, where: str) -> np.ndarray:
    """Colours of a cloth.

    Args:
        cloth: what is painted.
        x: [h, w] metres from the middle of a panel.
        z: [h, w] height on the neutral base mesh in metres; goes on down the sleeves.
        where: front, back, sleeve or legs: motifs sit on the front.

    Returns:
        [h, w, 3] sRGB.
    """
    rng = np.random.default_rng(cloth.seed)
    a, b, c = (np.asarray(tone, np.float32) for tone in (cloth.first, cloth.second, cloth.third))
    if cloth.picture is None:
        image = _pattern(cloth, x, z, where, rng, a, b, c)
    else:
        image = _printed(cloth.picture, x, z, where)
    grain = np.random.default_rng([cloth.seed, 1]).standard_normal(x.shape, np.float32)
    return image * _surface(cloth.family, x, z, grain, rng)[..., None]


_EDGE_Z = {"front": 0.56, "back": 0.56, "sleeve": 0.56, "legs": 0.14}


def _printed(picture: Picture, x: np.ndarray, z: np.ndarray, where: str) -> np.ndarray:
    """A picture in its true size where it was on its own garment, mirrored beyond its edges so that no seam shows."""
    left, top, right, bottom = (0, 0, picture.pixels.shape[1], picture.pixels.shape[0])
    if where != "front":
        left, top, right, bottom = picture.plain
    # No cloth is as dark or as light as a picture can be.
    part = 0.035 + picture.pixels[top:bottom, left:right].astype(np.float32) * (0.825 / 255)
    column = x / picture.pixel_m + 0.5 * (right - left)
    row = (_EDGE_Z[where] - picture.drop_m - z) / picture.pixel_m + 0.5 * (bottom - top)
    x0, x1, dx = _mirrored(column, right - left)
    y0, y1, dy = _mirrored(row, bottom - top)
    upper = part[y0, x0] * (1 - dx) + part[y0, x1] * dx
    lower = part[y1, x0] * (1 - dx) + part[y1, x1] * dx
    return upper * (1 - dy) + lower * dy


def _mirrored(at: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels that a place lies between, of a row that is mirrored at its ends, and the second's share."""
    folded = count - np.abs(at % (2 * count) - count) - 0.5
    first = np.clip(np.floor(folded), 0, count - 1).astype(np.int64)
    second = np.minimum(first + 1, count - 1)
    return first, second, np.clip(folded - first, 0, 1).astype(np.float32)[..., None]


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    return a + (b - a) * share.astype(np.float32)[..., None]


def _band(value: np.ndarray, period: float, ratio: float, soft: float = 0.06) -> np.ndarray:
    """1 within a share of each period, with soft edges."""
    t = np.abs((value / period) % 1 - 0.5)
    return np.clip((ratio / 2 - t) / soft + 0.5, 0, 1)


def _pattern(
    cloth: Cloth,
    x: np.ndarray,
    z: np.ndarray,
    where: str,
    rng: np.random.Generator,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
) -> np.ndarray:
    plain = np.broadcast_to(a, (*x.shape, 3))
    period, family = cloth.period_m, cloth.family
    if family == "stripe":
        return _mix(a, b, _band(x if rng.random() < 0.12 else z, period, cloth.ratio))
    if family == "plaid":
        across, along = _band(z, 1.4 * period, cloth.ratio), _band(x, 1.4 * period, cloth.ratio)
        fine = np.maximum(_band(z + 0.5 * period, 1.4 * period, 0.08), _band(x + 0.5 * period, 1.4 * period, 0.08))
        return _mix(_mix(a, b, 0.42 * across + 0.42 * along), c, 0.5 * fine)
    if family == "herringbone":
        zigzag = _band(z + 0.5 * np.abs((x / 0.03) % 1 - 0.5) * 0.06, 0.016, 0.5, 0.3)
        return plain * (1 + 0.09 * (zigzag - 0.5))[..., None]
    if family in ("block", "raglan"):
        level, both = rng.uniform(0.24, 0.42), rng.random() < 0.6 and family == "block"
        stripe = 0.035 if rng.random() < 0.4 else 0.0
        other = (z > level) if both else np.full(z.shape, where == "sleeve")
        return _mix(_mix(a, b, other), c, (np.abs(z - level) < stripe) & both)
    if family in ("dot", "floral"):
        return _scatter(cloth, x, z, a, b, c)
    if family == "print":
        spots = np.clip((noise(rng, x, z, 0.022, 0.03) - 0.58) * 9, 0, 1)
        more = np.clip((noise(rng, x, z, 0.018, 0.014) - 0.66) * 9, 0, 1)
        return _mix(_mix(a, 0.35 * a + 0.65 * b, spots), 0.4 * a + 0.6 * c, more)
    if family == "logo" and where == "front":
        return _motif(cloth, x, z, rng, a, b, c)
    if family == "gradient":
        return _mix(0.55 * a + 0.45 * b, a, np.clip((z + 0.05) / 0.55, 0, 1))
    if family == "washed":
        return plain * (0.85 + 0.3 * noise(rng, x, z, 0.16, 0.16) + 0.12 * noise(rng, x, z, 0.05, 0.05))[..., None]
    if family == "camouflage":
        first, second = noise(rng, x, z, 0.13, 0.09), noise(rng, x, z, 0.10, 0.07)
        dark, sand = a * 0.5, np.array([0.46, 0.41, 0.29], np.float32)
        return _mix(_mix(a, dark, np.clip((first - 0.55) * 25, 0, 1)), sand, np.clip((second - 0.6) * 25, 0, 1))
    if family == "sport" and where == "shoe":
        mark = np.abs(x - 0.03 - 0.6 * (z + 0.78)) < 0.008
        return _mix(a, b, (mark & (z < -0.76)) | (x < -0.042) & (rng.random() < 0.6))
    return plain


def _scatter(cloth: Cloth, x: np.ndarray, z: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    cell = (1.6 if cloth.family == "floral" else 1.0) * cloth.size_m
    row = np.floor(z / cell)
    shifted = x / cell + 0.5 * (row % 2)
    column = np.floor(shifted)
    dx, dz = shifted % 1 - 0.5, (z / cell) % 1 - 0.5
    if cloth.family == "dot":
        return _mix(a, b, np.clip((0.27 - np.hypot(dx, dz)) * 12, 0, 1))
    kind = (column * 7 + row * 13) % 5
    dx, dz = dx + 0.16 * np.sin(3 * column + 5 * row), dz + 0.16 * np.cos(4 * column - row)
    away, turn = np.hypot(dx, dz), np.arctan2(dz, dx)
    petals = np.clip((0.2 + 0.09 * np.cos(5 * turn + kind) - away) * 14, 0, 1) * (kind < 4)
    image = _mix(a, b, petals)
    leaf = np.clip((0.1 - np.abs(dz - 0.9 * dx - 0.05)) * 12, 0, 1) * (away > 0.26) * (away < 0.42) * (kind > 1)
    image = _mix(image, 0.4 * c + np.array([0.08, 0.16, 0.08], np.float32), 0.8 * leaf)
    return _mix(image, c, np.clip((0.08 - away) * 20, 0, 1) * (kind < 4))


def _motif(
    cloth: Cloth, x: np.ndarray, z: np.ndarray, rng: np.random.Generator, a: np.ndarray, b: np.ndarray, c: np.ndarray
) -> np.ndarray:
    """A print on the chest: a badge, letters, or a picture."""
    kind, level = rng.random(), rng.uniform(0.30, 0.38)
    plain = np.broadcast_to(a, (*x.shape, 3))
    if kind < 0.3:
        at_x, size = rng.choice([-0.07, 0.07]), rng.uniform(0.012, 0.022)
        return _mix(plain, b, np.clip((size - np.hypot(x - at_x, (z - 0.41) * 1.2)) * 400, 0, 1))
    if kind < 0.65:
        high, wide = rng.uniform(0.018, 0.04), rng.uniform(0.06, 0.1)
        cell = 0.75 * high
        letter = np.floor((x + wide) / cell)
        dx, dz = ((x + wide) / cell) % 1, (z - level) / high
        strokes = (np.abs(dx - 0.2) < 0.12) | (np.abs(dz - 0.5 * np.sin(2.1 * letter)) < 0.14)
        strokes |= (np.abs(dx - 0.7) < 0.12) & (np.sin(3.7 * letter + cloth.seed % 7) > 0)
        inside = (np.abs(x) < wide) & (np.abs(dz) < 0.5) & (dx < 0.84) & (np.sin(12.9 * letter) > -0.85)
        return _mix(plain, b, inside & strokes)
    wide, high = rng.uniform(0.06, 0.11), rng.uniform(0.06, 0.11)
    away = (np.abs(x) / wide) ** 4 + (np.abs(z - level) / high) ** 4
    inside = np.clip((1 - away) * 6, 0, 1)
    field = noise(rng, x, z, 0.06, 0.05)
    picture = _mix(_mix(b, c, np.clip((field - 0.5) * 9, 0, 1)), 0.6 * a + 0.2, np.clip((field - 0.68) * 12, 0, 1))
    return plain * (1 - inside[..., None]) + picture * inside[..., None]


def _surface(family: str, x: np.ndarray, z: np.ndarray, grain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What thread and finish do to the brightness."""
    if family in ("knit", "cable"):
        rib = np.cos(2 * np.pi * x / 0.016) * (0.5 + 0.5 * np.cos(2 * np.pi * z / 0.013))
        twist = 0.0 * x
        if family == "cable":
            twist = np.cos(2 * np.pi * (np.abs((x / 0.075) % 1 - 0.5) + 0.18 * np.sin(2 * np.pi * z / 0.06)) * 2)
        return 1 + 0.05 * rib + 0.09 * twist + 0.03 * grain
    if family == "denim":
        return 1 + 0.055 * grain + 0.10 * (noise(rng, x, z, 0.012, 0.09) - 0.5)
    if family in ("wool", "fleece", "herringbone"):
        return 1 + 0.045 * grain + 0.08 * (noise(rng, x, z, 0.02, 0.02) - 0.5)
    if family in ("tech", "silk", "stretch"):
        return 1 + 0.01 * grain + 0.05 * (noise(rng, x, z, 0.25, 0.25) - 0.5)
    if family == "leather":
        return 1 + 0.03 * grain + 0.16 * (noise(rng, x, z, 0.06, 0.06) - 0.5)
    return 1 + 0.022 * grain + 0.06 * (noise(rng, x, z, 0.15, 0.15) - 0.5)
