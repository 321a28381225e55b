"""What a tailor adds to cloth: collars, zips, buttons, pockets, belts, yokes, ribbed edges, stripes."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.people.cloth import Cloth
from unrealperson.synth.people.collars import COLLAR_SPAN, lapel_width, opening_gap
from unrealperson.synth.people.cuts import Garment, Upper

_SOFT_M = 0.003
"""Over which lines fade: about one texel, so that they are not jagged."""
_ZIPPED = ("hoodie", "puffer", "parka", "tracksuit", "sweatshirt", "raincoat")
_TAILORED = ("blazer", "coat", "suit")


def ribbed(garment: Garment) -> bool:
    """Whether its edges are knitted.

    Args:
        garment: any type.
    """
    return garment.category in ("sweatshirt", "hoodie", "sweater", "tracksuit") or garment.trim == "ribs"


def rib(image: np.ndarray, x: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Knits an edge.

    Args:
        image: [h, w, 3] sRGB.
        x: [h, w] metres along the edge.
        where: [h, w] which texels.
    """
    lines = 1 + 0.1 * np.cos(2 * np.pi * x / 0.012)
    return np.where(where[..., None], image * 0.93 * lines[..., None], image)


def finish_sleeve(image: np.ndarray, x: np.ndarray, along: np.ndarray, garment: Garment, cloth: Cloth) -> np.ndarray:
    """Ribbed cuffs, buttoned cuffs, and stripes down the arm.

    Args:
        image: [h, w, 3] sRGB.
        x: [h, w] metres around the arm from its front.
        along: [h, w] 0 shoulder, 1 elbow, 2 wrist.
        garment: the type.
        cloth: what it is made of.
    """
    upper = garment.upper
    if upper is None:
        return image
    rng = np.random.default_rng([cloth.seed, 3])
    edge = rng.random()
    if garment.trim == "stripes":
        lines = np.max([_line(x - 0.1 - shift, 0.006) for shift in (-0.018, 0.018)], axis=0)
        image = _blend(image, cloth.second, lines)
    if upper.sleeve < 1.5:
        tipped = garment.category == "polo" and edge < 0.4
        return _blend(image, cloth.second, _within(along, upper.sleeve - 0.06, upper.sleeve)) if tipped else image
    if ribbed(garment):
        image = rib(image, x, along > upper.sleeve - 0.2)
    elif upper.collar == "shirt":
        image = image * (1 - 0.22 * _line(along - upper.sleeve + 0.2, 0.006))[..., None]
    return image


def finish_trunk(
    image: np.ndarray, x: np.ndarray, z: np.ndarray, front: np.ndarray, garment: Garment, cloth: Cloth
) -> None:
    """Everything that is sewn onto a trunk's two panels, in place.

    Args:
        image: [h, w, 3] sRGB.
        x: [h, w] metres from the middle of the panel.
        z: [h, w] height on the neutral base mesh.
        front: [h, w] which texels belong to the front.
        garment: the type.
        cloth: what it is made of.
    """
    upper = garment.upper
    if upper is None:
        return
    rng = np.random.default_rng([cloth.seed, 2])
    if ribbed(garment):
        image[...] = rib(image, x, (z < upper.hem_z + 0.05) & (upper.hem_z > -0.1))
    if garment.trim == "ribs" and rng.random() < 0.4:
        tips = np.max([_line(z - upper.hem_z - level, 0.003) for level in (0.018, 0.032)], axis=0)
        image[...] = _blend(image, cloth.second, tips)
    _collar(rng, image, x, z, upper, garment, cloth)
    dark = 1 - 0.35 * _pockets(x, z, front, garment, upper)
    dark *= 1 - 0.28 * _seams(x, z, front, garment, upper)
    image *= dark[..., None]
    _fasten(rng, image, x, z, front, garment, cloth)
    if garment.trim == "belt":
        band = _within(z, 0.155, 0.195)
        image *= (1 - 0.3 * (_line(z - 0.155, 0.003) + _line(z - 0.195, 0.003)) - 0.12 * band)[..., None]
        buckle = band * (_within(np.abs(x - 0.02), -1.0, 0.026) - _within(np.abs(x - 0.02), -1.0, 0.016)) * front
        image[...] = _blend(image, np.array([0.3, 0.26, 0.2]), np.clip(buckle, 0, 1))


def _collar(
    rng: np.random.Generator,
    image: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    upper: Upper,
    garment: Garment,
    cloth: Cloth,
) -> None:
    """Cloth of what stands around the neck: 0 is its base, 1 its free edge."""
    low, high = COLLAR_SPAN
    down = (high - z) / (high - low)
    zone = z > low - 0.006
    other, shown = rng.random(), np.ones(z.shape)
    share = {"polo": 0.35, "crew": 0.12, "shirt": 0.08, "stand": 0.2, "hood": 0.35}.get(upper.collar, 0.0)
    if upper.collar in ("polo", "shirt"):
        shown *= np.where(down < 0.5, 0.78, 1.07) * (1 - 0.35 * _line(0.075 * (down - 0.9), 0.0016))
    elif upper.collar == "hood":
        shown *= np.where(down < 0.45, 0.72, 1.0)
    elif upper.collar in ("stand", "turtle"):
        shown *= np.where(down > 0.72, 0.75, 1.0)
    if upper.collar in ("crew", "turtle") or (upper.collar == "stand" and ribbed(garment)):
        shown *= 0.92 + 0.08 * np.cos(2 * np.pi * x / 0.01)
    if other < share and garment.category not in _TAILORED and cloth.family not in ("denim", "leather"):
        inside = down < 0.45 if upper.collar == "hood" else zone
        image[zone & inside] = cloth.second
    if other < share and upper.collar == "polo":
        image[...] = _blend(image, cloth.first, zone * _line(0.075 * (down - 0.82), 0.0025))
    image[...] = np.where(zone[..., None], image * shown[..., None], image)
    if upper.collar == "hood" and garment.category != "raincoat":
        cord = _line(np.abs(x) - 0.028 - 0.06 * (0.55 - z), 0.0028) * _within(z, 0.42, 0.56)
        half = x.shape[1] // 2
        tone = cloth.second if rng.random() < 0.3 else np.full(3, 0.85 if cloth.first.mean() < 0.5 else 0.25)
        image[:, :half] = _blend(image[:, :half], tone, 0.8 * cord[:, :half])


def _fasten(
    rng: np.random.Generator,
    image: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    front: np.ndarray,
    garment: Garment,
    cloth: Cloth,
) -> None:
    """Zips and buttons."""
    upper = garment.upper
    half_zip = "half-zip" in garment.name
    if upper is None or (upper.opening == "none" and upper.collar != "polo" and not half_zip):
        return
    low_z = garment.lower.leg_z if garment.lower is not None and garment.lower.skirt else upper.hem_z
    end = upper.notch_z if upper.notch_z < 0.6 else 0.58
    start = 0.40 if upper.opening == "none" else low_z
    along = front * _within(z, start, end)
    if upper.opening == "open":
        # Edges that hang apart show their hem.
        return
    zipped = garment.category in _ZIPPED or cloth.family in ("tech", "leather") or half_zip
    if zipped:
        tone = rng.choice([0.12, 0.3, 0.62, 0.75])
        image *= (1 - 0.35 * along * _line(np.abs(x) - 0.009, 0.002))[..., None]
        image[...] = _blend(image, np.full(3, tone), 0.9 * along * _line(x, 0.0035))
        return
    image *= (1 - 0.22 * along * _line(np.abs(x + 0.0) - 0.016, 0.0018))[..., None]
    coarse = garment.category in _TAILORED
    tone = 0.85 if not coarse and rng.random() < 0.5 else 0.08 if cloth.first.mean() > 0.25 else 0.3
    step = 0.11 if coarse else 0.075
    across = np.abs(x) - 0.055 if garment.trim == "double" else x
    round_m = np.hypot(across, ((z - end + 0.02) / step % 1 - 0.5) * step)
    button = np.clip(((0.011 if coarse else 0.0065) - round_m) / _SOFT_M + 0.5, 0, 1)
    image[...] = _blend(image, np.full(3, tone), along * button)


def _pockets(x: np.ndarray, z: np.ndarray, front: np.ndarray, garment: Garment, upper: Upper) -> np.ndarray:
    """Edges of pockets, 0 ... 1."""
    edges = np.zeros(x.shape)
    away = np.abs(x)
    if garment.pockets in ("slant", "cargo") and upper.hem_z < 0.05:
        level = max(0.065, upper.hem_z + 0.07)
        if garment.category in (*_TAILORED, "parka"):
            edges = np.maximum(edges, _box(away - 0.105, z - level + 0.01, 0.062, 0.026, top=True))
        else:
            edges = _line(away - 0.115 - 0.25 * (z - level), 0.003) * _within(np.abs(z - level), -1.0, 0.06)
    if garment.pockets in ("chest", "cargo"):
        both = (x > 0) if garment.category == "shirt" else np.ones(x.shape, bool)
        edges = np.maximum(edges, both * _box(away - 0.08, z - 0.375, 0.046, 0.05, top=True))
        if garment.category != "shirt":
            edges = np.maximum(edges, _line(z - 0.4, 0.002) * _within(np.abs(away - 0.08), -1.0, 0.046))
    if garment.pockets == "kangaroo":
        low = upper.hem_z + 0.05
        wide = 0.135 - 0.4 * np.clip(z - low - 0.05, 0, 0.1)
        edges = np.maximum(edges, _line(away - wide, 0.0028) * _within(z, low, low + 0.15))
        edges = np.maximum(edges, _line(z - low - 0.15, 0.0028) * _within(away, -1.0, 0.098))
    return edges * front


def _seams(x: np.ndarray, z: np.ndarray, front: np.ndarray, garment: Garment, upper: Upper) -> np.ndarray:
    """Yokes, panels and diagonal zips, 0 ... 1."""
    away = np.abs(x)
    if garment.trim == "yoke":
        panel = _line(away - 0.05 - 0.13 * (z - upper.hem_z), 0.002) * _within(z, upper.hem_z + 0.04, 0.42)
        yoke = _line(z - 0.42 + 0.12 * np.clip(0.06 - away, 0, 1) * front, 0.002)
        return np.clip(panel + yoke + _line(z - upper.hem_z - 0.04, 0.002), 0, 1)
    if garment.trim == "biker":
        slanted = _line(x + 0.05 - 0.22 * (z - upper.hem_z), 0.004) * front
        return np.clip(slanted + _line(z - 0.36 - 0.3 * (away - 0.1), 0.003) * _within(away, 0.06, 0.14) * front, 0, 1)
    if garment.trim in ("storm", "belt"):
        return _line(z - 0.40 - 0.25 * away, 0.0025)
    if upper.collar in ("lapel", "shawl"):
        edge = away - np.maximum(opening_gap(upper, z), 0.002) - lapel_width(upper, z)
        shadow = np.clip(1 - edge / 0.012, 0, 1) * (edge > 0) * (z > upper.notch_z) * (z < 0.53)
        notch = _line(z - 0.53, 0.002) * (edge < 0) * (upper.collar == "lapel")
        return np.maximum(1.2 * shadow, notch) * front
    return np.zeros(x.shape)


def _line(distance: np.ndarray, half_m: float) -> np.ndarray:
    """1 within half a width of a line, with soft edges."""
    return np.clip((half_m - np.abs(distance)) / _SOFT_M + 0.5, 0, 1)


def _within(value: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((value - low) / _SOFT_M + 0.5, 0, 1) * np.clip((high - value) / _SOFT_M + 0.5, 0, 1)


def _box(x: np.ndarray, z: np.ndarray, wide: float, high: float, *, top: bool) -> np.ndarray:
    """Outline of a patch; with `top` its upper edge is a flap's, twice as thick."""
    inside = _within(np.abs(x), -1.0, wide) * _within(np.abs(z), -1.0, high)
    outline = np.maximum(_line(np.abs(x) - wide, 0.0018), _line(np.abs(z) - high, 0.0018)) * np.minimum(inside * 2, 1)
    return np.maximum(outline, top * inside * _line(z - high, 0.004))


def _blend(image: np.ndarray, tone: np.ndarray, share: np.ndarray) -> np.ndarray:
    return image + (tone - image) * share[..., None]
