"""The wardrobe: every type of garment as plain data, built from categories and cuts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from unrealperson.synth.people.cuts import Garment, Lower, Opening, Shoe, Upper

_A = TypeVar("_A")
_B = TypeVar("_B")
_LONG = 1.94
_SHIRTING = ("woven", "stripe", "plaid", "oxford", "dot")
_KNIT = ("knit", "knit", "cable", "stripe", "block")
_SUITING = ("wool", "wool", "herringbone", "plaid")
_JERSEY = ("jersey", "jersey", "stripe", "print", "logo", "washed", "block")
_SPORT = ("tech", "tech", "block", "logo")
_TRIMS = {
    "bomber jacket": "ribs", "varsity jacket": "ribs", "denim jacket": "yoke", "overshirt": "yoke",
    "denim vest": "yoke", "biker jacket": "biker", "track jacket": "stripes", "trench coat": "belt",
    "wrap coat": "belt", "field jacket": "storm", "ski jacket": "storm", "raincoat": "storm", "windbreaker": "storm",
    "pea coat": "double", "double-breasted": "double",
}  # fmt: skip


@lru_cache(maxsize=1)
def catalogue() -> tuple[Garment, ...]:
    """All types of garments, in a fixed order."""
    return (*_light_tops(), *_knitwear(), *_outerwear(), *_bottoms(), *_dresses(), *_footwear())


@lru_cache(maxsize=1)
def by_name() -> dict[str, Garment]:
    """The catalogue by name."""
    return {garment.name: garment for garment in catalogue()}


def _light_tops() -> Iterator[Garment]:
    fits = {
        "slim": (Upper(hem_z=0.06, fall=0.1, arm_m=0.042, room_m=0.005), 3, 2),
        "regular": (Upper(hem_z=0.03, fall=0.55, arm_m=0.051, wrist_m=0.054), 4, 7),
        "oversized": (Upper(hem_z=-0.03, sleeve=1.0, fall=0.95, arm_m=0.068, wrist_m=0.072, room_m=0.012), 2, 3),
        "cropped": (Upper(hem_z=0.155, sleeve=0.5, fall=0.6, arm_m=0.055), 2, 0),
        "longline": (Upper(hem_z=-0.12, fall=0.7, arm_m=0.055), 1, 1),
    }
    necks = {
        "crew neck": (Upper(neck_m=0.004, collar="crew"), 1.0),
        "V-neck": (Upper(neck_m=0.03, v_neck=0.8), 0.3),
        "scoop neck": (Upper(neck_m=0.05, neck_wide_m=0.02), 0.25),
    }
    for (fit, (cut, women, men)), (neck, (at, share)) in _pairs(fits, necks):
        upper = replace(cut, neck_m=at.neck_m, neck_wide_m=at.neck_wide_m, v_neck=at.v_neck, collar=at.collar)
        yield Garment(f"{fit} {neck} t-shirt", "t-shirt", "top", women * share, men * share, _JERSEY, upper)
        if fit in ("slim", "regular", "oversized"):
            long = replace(upper, sleeve=_LONG, wrist_m=0.034, arm_m=max(0.043, cut.arm_m - 0.008))
            yield Garment(f"{fit} {neck} long-sleeve top", "long-sleeve top", "top", share, 0.8 * share, _JERSEY, long)
    tanks = {
        "fitted tank top": Upper(hem_z=0.06, sleeve=-0.35, neck_m=0.05, fall=0.1),
        "loose tank top": Upper(hem_z=0.0, sleeve=-0.3, neck_m=0.05, fall=0.9, room_m=0.01),
        "racer-back top": Upper(hem_z=0.08, sleeve=-0.6, neck_m=0.06, fall=0.1),
        "camisole": Upper(hem_z=0.06, sleeve=-0.7, neck_m=0.1, neck_wide_m=0.02, fall=0.4),
        "crop top": Upper(hem_z=0.2, sleeve=-0.35, neck_m=0.05, fall=0.1),
        "muscle shirt": Upper(hem_z=0.02, sleeve=-0.05, neck_m=0.02, fall=0.6),
        "basketball jersey": Upper(hem_z=-0.06, sleeve=-0.25, neck_m=0.06, v_neck=0.5, fall=0.95, room_m=0.013),
    }
    for name, upper in tanks.items():
        often = 1.0 if name in ("loose tank top", "muscle shirt", "basketball jersey") else 0.0
        rarely = 0.2 if name in ("muscle shirt", "basketball jersey") else 1.0
        yield Garment(name, "tank top", "top", rarely, 0.6 * often, _JERSEY, upper)
    shirt = Upper(hem_z=-0.01, collar="shirt", opening="closed", room_m=0.007, sleeve=_LONG, arm_m=0.051, wrist_m=0.037)
    widths = {
        "slim": replace(shirt, hem_z=0.02, fall=0.15, arm_m=0.044, wrist_m=0.034),
        "regular": replace(shirt, fall=0.65),
        "oversized": replace(shirt, hem_z=-0.12, fall=1.0, arm_m=0.063, room_m=0.013, wrist_m=0.046),
    }
    sleeves = {"shirt": _LONG, "rolled-sleeve shirt": 1.25, "short-sleeve shirt": 0.72}
    for (fit, cut), (name, sleeve) in _pairs(widths, sleeves):
        upper = replace(cut, sleeve=sleeve, wrist_m=cut.wrist_m if sleeve > 1.5 else cut.arm_m)
        yield Garment(f"{fit} {name}", "shirt", "top", 1.6, 3.0, _SHIRTING, upper, pockets="chest")
    polo = Upper(hem_z=0.03, collar="polo", neck_m=0.015, opening="none", sleeve=0.7)
    for fit, cut in {
        "slim": replace(polo, fall=0.15, arm_m=0.044),
        "regular": replace(polo, fall=0.55, arm_m=0.054),
        "loose": replace(polo, hem_z=0.0, fall=0.95, arm_m=0.066, room_m=0.011),
    }.items():
        yield Garment(
            f"{fit} polo shirt", "polo", "top", 0.4, 1.6, ("jersey", "pique", "pique", "stripe", "block"), cut
        )
        long = replace(cut, sleeve=_LONG, wrist_m=0.036)
        yield Garment(f"{fit} long-sleeve polo shirt", "polo", "top", 0.15, 0.4, ("jersey", "pique", "stripe"), long)
    blouses = {
        "V-neck": Upper(neck_m=0.05, v_neck=0.9, opening="closed"),
        "round": Upper(neck_m=0.02, neck_wide_m=0.01),
        "boat-neck": Upper(neck_m=0.0, neck_wide_m=0.06),
        "tie-neck": Upper(neck_m=0.0, collar="stand", opening="closed"),
    }
    arms = {
        "sleeveless": (-0.08, 0.05, 0.05),
        "flutter-sleeve": (0.5, 0.06, 0.1),
        "balloon-sleeve": (1.9, 0.085, 0.03),
        "bell-sleeve": (1.85, 0.05, 0.1),
    }
    for (neck, cut), (arm, (sleeve, arm_m, wrist_m)) in _pairs(blouses, arms):
        upper = replace(cut, hem_z=0.05, sleeve=sleeve, arm_m=arm_m, wrist_m=wrist_m, fall=0.6, room_m=0.008)
        yield Garment(
            f"{arm} {neck} blouse", "blouse", "top", 0.6, 0, ("silk", "silk", "dot", "floral", "woven"), upper
        )
    for name, hem_z, sleeve in (("tunic", -0.2, 1.3), ("kurta", -0.34, _LONG), ("peplum top", 0.02, 0.5)):
        upper = Upper(hem_z=hem_z, sleeve=sleeve, neck_m=0.03, v_neck=0.5, fall=0.5, flare=0.25, opening="closed")
        upper = replace(upper, flare=0.2) if name == "peplum top" else upper
        yield Garment(name, "tunic", "top", 0.7, 0.15 if name == "kurta" else 0, ("woven", "floral", "print"), upper)


def _knitwear() -> Iterator[Garment]:
    knit = Upper(sleeve=_LONG, wrist_m=0.038)
    fits = {
        "fitted": replace(knit, hem_z=0.06, fall=0.15, arm_m=0.046, room_m=0.008),
        "regular": replace(knit, hem_z=0.03, fall=0.55, arm_m=0.051, room_m=0.01),
        "chunky": replace(knit, hem_z=-0.03, fall=0.95, arm_m=0.063, room_m=0.016, wrist_m=0.042),
    }
    necks = {
        "crew-neck": Upper(neck_m=0.004, collar="crew"),
        "V-neck": Upper(neck_m=0.06, v_neck=0.9),
        "turtleneck": Upper(neck_m=-0.02, collar="turtle"),
        "mock-neck": Upper(neck_m=-0.02, collar="stand"),
        "cowl-neck": Upper(neck_m=0.01, collar="cowl"),
    }
    for (fit, cut), (neck, at) in _pairs(fits, necks):
        upper = replace(cut, neck_m=at.neck_m, v_neck=at.v_neck, collar=at.collar)
        men = 0.0 if neck == "cowl-neck" else 1.2
        yield Garment(f"{fit} {neck} sweater", "sweater", "top", 1.2, men, _KNIT, upper)
    for name, sleeve, cut in (("sweater vest", -0.04, fits["regular"]), ("short-sleeve knit top", 0.6, fits["fitted"])):
        upper = replace(cut, sleeve=sleeve, neck_m=0.06, v_neck=0.9)
        yield Garment(name, "sweater", "top", 0.7, 0.6, _KNIT, upper)
    lengths = {"cropped": 0.12, "regular": 0.01, "long": -0.25, "maxi": -0.45}
    openings: dict[str, Opening] = {"open": "open", "buttoned": "closed"}
    for (length, hem_z), (state, opening) in _pairs(lengths, openings):
        upper = replace(fits["regular"], hem_z=hem_z, opening=opening, notch_z=0.36, neck_m=0.03, v_neck=0.7)
        men = 1.0 if length == "regular" else 0.1 if length == "long" else 0
        yield Garment(f"{length} {state} cardigan", "cardigan", "outer", 2, men, ("knit", "cable", "knit"), upper)
    yield Garment(
        "shawl-collar cardigan",
        "cardigan",
        "outer",
        0.6,
        0.8,
        ("knit", "cable"),
        replace(fits["chunky"], opening="open", collar="shawl", neck_m=0.02),
    )
    sweat = replace(knit, hem_z=0.02, fall=0.7, arm_m=0.055, room_m=0.011, wrist_m=0.038)
    widths = {
        "cropped": replace(sweat, hem_z=0.13),
        "regular": sweat,
        "oversized": replace(sweat, hem_z=-0.08, fall=1.0, arm_m=0.067, room_m=0.016),
    }
    kinds: dict[str, tuple[Opening, float]] = {"hoodie": ("none", 2.0), "zipped hoodie": ("closed", 1.2)}
    for (fit, cut), (name, (opening, share)) in _pairs(widths, kinds):
        men = 0 if fit == "cropped" else share
        upper = replace(cut, collar="hood", opening=opening)
        cloth = ("fleece", "fleece", "logo", "block", "washed")
        yield Garment(f"{fit} {name}", "hoodie", "top", 0.6 * share, men, cloth, upper, pockets="kangaroo")
    for fit in ("regular", "oversized"):
        upper = replace(widths[fit], collar="hood", opening="open", room_m=0.012)
        yield Garment(f"{fit} open hoodie", "hoodie", "outer", 2, 3, ("fleece", "fleece", "logo"), upper)
    upper = replace(sweat, sleeve=-0.04, collar="hood")
    yield Garment("sleeveless hoodie", "hoodie", "top", 0.1, 0.3, ("fleece", "logo"), upper, pockets="kangaroo")
    for fit, cut in widths.items():
        men = 0 if fit == "cropped" else 1.5
        cloth = ("fleece", "logo", "block", "washed", "print")
        yield Garment(
            f"{fit} sweatshirt", "sweatshirt", "top", 1, men, cloth, replace(cut, collar="crew", neck_m=0.004)
        )
        half = replace(cut, collar="stand", neck_m=-0.01, room_m=cut.room_m - 0.002)
        yield Garment(f"{fit} half-zip sweatshirt", "sweatshirt", "top", 0.4, 0.5 * men, ("fleece", "block"), half)


def _outerwear() -> Iterator[Garment]:
    base = Upper(sleeve=_LONG, hem_z=0.03, collar="stand", room_m=0.012, fall=0.7, arm_m=0.054, wrist_m=0.041)
    jackets = {
        "bomber jacket": (
            replace(base, hem_z=0.07, fall=0.9, room_m=0.016, arm_m=0.062, wrist_m=0.036),
            ("tech", "tech"),
            2,
            3,
        ),
        "denim jacket": (replace(base, hem_z=0.08, collar="shirt", fall=0.6), ("denim",), 3, 3),
        "biker jacket": (
            replace(base, hem_z=0.1, collar="shirt", fall=0.25, arm_m=0.049, room_m=0.01),
            ("leather",),
            2.5,
            2,
        ),
        "leather jacket": (replace(base, hem_z=0.05, fall=0.45, arm_m=0.052), ("leather",), 1.5, 2),
        "windbreaker": (replace(base, hem_z=0.0, collar="hood", fall=0.9, room_m=0.012), _SPORT, 1.5, 3),
        "track jacket": (replace(base, hem_z=0.06, fall=0.4, arm_m=0.049, wrist_m=0.035, room_m=0.009), _SPORT, 1, 2),
        "field jacket": (replace(base, hem_z=-0.08, collar="shirt", fall=0.9), ("canvas",), 1, 1.5),
        "fleece jacket": (replace(base, hem_z=0.03, room_m=0.016, arm_m=0.059), ("fleece",), 1.2, 1.6),
        "varsity jacket": (replace(base, hem_z=0.06, collar="crew", room_m=0.016), ("raglan",), 0.8, 1.2),
        "overshirt": (replace(base, hem_z=-0.02, collar="shirt", room_m=0.01, fall=0.8), ("plaid", "canvas"), 1, 2.4),
        "ski jacket": (replace(base, hem_z=-0.06, collar="hood", room_m=0.022, arm_m=0.066), _SPORT, 0.4, 0.5),
    }
    openings: dict[str, Opening] = {"closed": "closed", "open": "open"}
    for (name, (cut, cloth, women, men)), (state, opening) in _pairs(jackets, openings):
        pockets = "chest" if name in ("denim jacket", "overshirt") else "cargo" if name == "field jacket" else "slant"
        upper = replace(cut, opening=opening)
        yield Garment(f"{state} {name}", "jacket", "outer", women, men, cloth, upper, pockets=pockets, trim=_trim(name))
    blazer = replace(
        base, collar="lapel", notch_z=0.24, neck_m=0.03, hem_z=-0.045, arm_m=0.051, wrist_m=0.038, room_m=0.01
    )
    blazers = {
        "slim": replace(blazer, fall=0.25),
        "regular": replace(blazer, hem_z=-0.06, fall=0.6),
        "boxy": replace(blazer, hem_z=-0.09, fall=1.0, arm_m=0.066, room_m=0.018),
        "cropped": replace(blazer, hem_z=0.09, fall=0.5),
        "double-breasted": replace(blazer, notch_z=0.3, fall=0.5, room_m=0.014),
    }
    for (fit, cut), (state, opening) in _pairs(blazers, openings):
        men = 0 if fit == "cropped" else 1
        upper = replace(cut, opening=opening)
        yield Garment(
            f"{state} {fit} blazer", "blazer", "outer", 1, men, _SUITING, upper, pockets="slant", trim=_trim(fit)
        )
    coat = replace(base, room_m=0.015, fall=0.75, arm_m=0.058, wrist_m=0.044)
    coats = {
        "pea coat": (replace(coat, hem_z=-0.08, collar="lapel", notch_z=0.36), 1, 1),
        "car coat": (replace(coat, hem_z=-0.2, collar="shirt"), 1, 1.4),
        "overcoat": (replace(coat, hem_z=-0.35, collar="lapel", notch_z=0.26, flare=0.08), 1.6, 1.4),
        "trench coat": (replace(coat, hem_z=-0.33, collar="shirt", flare=0.22, fall=0.4, room_m=0.014), 1.6, 0.6),
        "wrap coat": (replace(coat, hem_z=-0.42, collar="shawl", notch_z=0.2, fall=0.6), 1.2, 0),
        "duffle coat": (replace(coat, hem_z=-0.22, collar="hood", room_m=0.022), 0.6, 0.6),
        "maxi coat": (replace(coat, hem_z=-0.6, collar="lapel", notch_z=0.24, flare=0.12), 0.7, 0.2),
        "cocoon coat": (replace(coat, hem_z=-0.3, collar="stand", room_m=0.03, fall=1.0, flare=-0.08), 0.4, 0),
    }
    for (name, (cut, women, men)), (state, opening) in _pairs(coats, openings):
        upper = replace(cut, opening=opening)
        yield Garment(
            f"{state} {name}", "coat", "outer", women, men, _SUITING, upper, pockets="slant", trim=_trim(name)
        )
    lengths = {"short": -0.02, "mid-length": -0.17, "long": -0.36}
    for (length, hem_z), (state, opening) in _pairs(lengths, openings):
        upper = replace(
            base, hem_z=hem_z, collar="hood", room_m=0.019, fall=0.9, arm_m=0.062, wrist_m=0.044, opening=opening
        )
        share = 0.5 if length == "long" else 1.0
        yield Garment(
            f"{state} {length} parka",
            "parka",
            "outer",
            1.3 * share,
            1.4 * share,
            ("canvas", "tech"),
            upper,
            pockets="cargo",
        )
        upper = replace(
            upper, collar="stand", quilt_m=0.012, room_m=0.026, arm_m=0.071, wrist_m=0.048, hem_z=hem_z + 0.06
        )
        yield Garment(
            f"{state} {length} puffer", "puffer", "outer", 1.3 * share, 1.4 * share, ("tech",), upper, pockets="slant"
        )
    vests = {
        "suit waistcoat": (replace(base, hem_z=0.06, collar="none", neck_m=0.02, room_m=0.008, fall=0.2), _SUITING),
        "puffer gilet": (replace(base, hem_z=0.05, quilt_m=0.012, room_m=0.022), ("tech",)),
        "utility vest": (replace(base, hem_z=0.02, collar="none", neck_m=0.03), ("canvas",)),
        "denim vest": (replace(base, hem_z=0.09, collar="shirt", room_m=0.01), ("denim",)),
        "fleece vest": (replace(base, hem_z=0.04, room_m=0.016), ("fleece",)),
        "long sleeveless coat": (replace(base, hem_z=-0.33, collar="lapel", notch_z=0.26, neck_m=0.03), _SUITING),
    }
    for (name, (cut, cloth)), (state, opening) in _pairs(vests, openings):
        notch_z = 0.34 if name == "suit waistcoat" else cut.notch_z
        upper = replace(cut, sleeve=-0.04, opening=opening, notch_z=notch_z, v_neck=0.8 * (cut.collar == "none"))
        yield Garment(f"{state} {name}", "vest", "outer", 0.5, 0.8, cloth, upper, pockets="slant", trim=_trim(name))
    rain = {
        "raincoat": replace(base, hem_z=-0.3, collar="hood", flare=0.15, room_m=0.018, fall=1.0),
        "short raincoat": replace(base, hem_z=-0.12, collar="hood", flare=0.08, room_m=0.018, fall=1.0),
        "poncho": replace(base, hem_z=-0.02, sleeve=1.3, arm_m=0.1, wrist_m=0.13, collar="hood", fall=1.0, room_m=0.02),
        "kimono jacket": replace(base, hem_z=-0.2, sleeve=1.6, arm_m=0.09, wrist_m=0.11, collar="none", opening="open"),
    }
    for name, upper in rain.items():
        upper = upper if upper.opening == "open" else replace(upper, opening="closed")
        cloth = ("tech",) if "rain" in name else ("woven", "floral", "knit")
        men = 0.4 if "rain" in name else 0.05
        yield Garment(name, "raincoat" if "rain" in name else "cape", "outer", 0.5, men, cloth, upper, trim=_trim(name))
    legs = Lower(thigh_m=0.088, knee_m=0.068, hem_m=0.06)
    suits = {
        "slim": (blazers["slim"], replace(legs, thigh_m=0.08, knee_m=0.058, hem_m=0.05)),
        "classic": (blazers["regular"], legs),
    }
    for (fit, (cut, lower)), (state, opening) in _pairs(suits, openings):
        upper = replace(cut, opening=opening)
        yield Garment(f"{state} {fit} suit", "suit", "outer", 0.5, 2.2, _SUITING, upper, lower, pockets="slant")
    skirt = Lower(leg_z=-0.36, skirt=True, flare=-0.06)
    upper = replace(blazers["slim"], opening="closed")
    yield Garment("skirt suit", "suit", "outer", 0.8, 0, _SUITING, upper, skirt, pockets="slant")
    sweat = replace(base, hem_z=0.04, wrist_m=0.036)
    for (name, cut), (state, opening) in _pairs(
        {"tracksuit": replace(sweat, fall=0.6), "hooded tracksuit": replace(sweat, collar="hood", fall=0.9)}, openings
    ):
        lower = Lower(thigh_m=0.088, knee_m=0.07, hem_m=0.05, cuff_m=0.04)
        upper = replace(cut, opening=opening)
        yield Garment(
            f"{state} {name}", "tracksuit", "outer", 0.7, 1.4, _SPORT, upper, lower, pockets="slant", trim="stripes"
        )


def _bottoms() -> Iterator[Garment]:
    jeans = {
        "skinny": (Lower(leg_z=-0.75), 6, 2),
        "slim": (Lower(thigh_m=0.076, knee_m=0.056, hem_m=0.048), 5, 7),
        "straight": (Lower(thigh_m=0.082, knee_m=0.066, hem_m=0.065), 5, 8),
        "relaxed": (Lower(thigh_m=0.092, knee_m=0.076, hem_m=0.07), 1, 4),
        "mom": (Lower(waist_z=0.19, leg_z=-0.71, thigh_m=0.09, knee_m=0.07, hem_m=0.056), 4, 0),
        "bootcut": (Lower(leg_z=-0.785, thigh_m=0.078, knee_m=0.058, hem_m=0.08), 2, 0.6),
        "flared": (Lower(leg_z=-0.79, thigh_m=0.074, knee_m=0.056, hem_m=0.105), 1.5, 0.1),
        "wide-leg": (Lower(waist_z=0.18, leg_z=-0.785, thigh_m=0.098, knee_m=0.095, hem_m=0.105), 3, 1),
        "baggy": (Lower(waist_z=0.1, leg_z=-0.79, thigh_m=0.105, knee_m=0.095, hem_m=0.09), 1, 2),
        "cropped": (Lower(leg_z=-0.64, thigh_m=0.08, knee_m=0.062, hem_m=0.055), 2.5, 0.4),
        "rolled-up": (Lower(leg_z=-0.68, thigh_m=0.08, knee_m=0.064, hem_m=0.06, cuff_m=0.04), 1.5, 1.2),
    }
    for name, (lower, women, men) in jeans.items():
        yield Garment(f"{name} jeans", "jeans", "bottom", women, men, ("denim",), lower=lower, pockets="slant")
    trousers = {
        "slim trousers": (Lower(thigh_m=0.076, knee_m=0.058, hem_m=0.05), "trousers", 3, 3),
        "straight trousers": (Lower(thigh_m=0.084, knee_m=0.07, hem_m=0.066), "trousers", 2, 4),
        "pleated trousers": (Lower(waist_z=0.18, thigh_m=0.1, knee_m=0.076, hem_m=0.06), "trousers", 1.5, 1.5),
        "wide-leg trousers": (
            Lower(waist_z=0.19, leg_z=-0.785, thigh_m=0.1, knee_m=0.1, hem_m=0.11), "trousers", 2.5, 0.6
        ),
        "palazzo trousers": (
            Lower(waist_z=0.2, leg_z=-0.79, thigh_m=0.11, knee_m=0.125, hem_m=0.15), "trousers", 1.4, 0
        ),
        "cigarette trousers": (Lower(leg_z=-0.68, thigh_m=0.074, knee_m=0.054, hem_m=0.046), "trousers", 2, 0.3),
        "culottes": (Lower(waist_z=0.18, leg_z=-0.52, thigh_m=0.11, knee_m=0.12, hem_m=0.13), "trousers", 1.2, 0),
        "flared trousers": (Lower(leg_z=-0.79, thigh_m=0.076, knee_m=0.06, hem_m=0.11), "trousers", 1, 0),
        "slim chinos": (Lower(thigh_m=0.076, knee_m=0.058, hem_m=0.05), "chinos", 1, 4),
        "straight chinos": (Lower(thigh_m=0.084, knee_m=0.068, hem_m=0.062), "chinos", 1, 4),
        "cropped chinos": (Lower(leg_z=-0.67, thigh_m=0.08, knee_m=0.062, hem_m=0.055), "chinos", 1, 1.2),
        "rolled chinos": (
            Lower(leg_z=-0.69, thigh_m=0.08, knee_m=0.062, hem_m=0.058, cuff_m=0.035), "chinos", 0.6, 1.2
        ),
        "slim cargo trousers": (Lower(thigh_m=0.082, knee_m=0.068, hem_m=0.052), "cargo trousers", 0.6, 1.6),
        "loose cargo trousers": (Lower(thigh_m=0.1, knee_m=0.09, hem_m=0.08), "cargo trousers", 0.8, 1.6),
        "parachute trousers": (
            Lower(waist_z=0.1, thigh_m=0.11, knee_m=0.11, hem_m=0.06, cuff_m=0.02), "cargo trousers", 0.5, 0.3
        ),
        "slim joggers": (
            Lower(leg_z=-0.75, thigh_m=0.082, knee_m=0.064, hem_m=0.044, cuff_m=0.045), "joggers", 1.2, 2.5
        ),
        "loose joggers": (Lower(leg_z=-0.755, thigh_m=0.1, knee_m=0.085, hem_m=0.05, cuff_m=0.045), "joggers", 1, 1.8),
        "straight track trousers": (Lower(thigh_m=0.088, knee_m=0.075, hem_m=0.07), "joggers", 0.8, 1.6),
        "harem trousers": (
            Lower(leg_z=-0.74, thigh_m=0.125, knee_m=0.105, hem_m=0.045, cuff_m=0.03), "joggers", 0.5, 0.1
        ),
    }  # fmt: skip
    cloths = {
        "trousers": _SUITING,
        "chinos": ("twill",),
        "cargo trousers": ("canvas", "camouflage", "canvas"),
        "joggers": ("fleece", "tech", "fleece"),
    }
    for name, (lower, category, women, men) in trousers.items():
        pockets = "cargo" if category == "cargo trousers" else "slant"
        yield Garment(name, category, "bottom", women, men, cloths[category], lower=lower, pockets=pockets)
    shorts = {
        "hot pants": (Lower(leg_z=-0.12, thigh_m=0.09, knee_m=0.09, hem_m=0.09), ("denim", "woven"), 1.2, 0),
        "denim shorts": (Lower(leg_z=-0.17, thigh_m=0.094, knee_m=0.094, hem_m=0.094), ("denim",), 2.5, 0.6),
        "running shorts": (Lower(leg_z=-0.19, thigh_m=0.102, knee_m=0.11, hem_m=0.11), ("tech",), 1, 1.5),
        "chino shorts": (Lower(leg_z=-0.3, thigh_m=0.09, knee_m=0.085, hem_m=0.085), ("twill",), 0.8, 4),
        "bermuda shorts": (Lower(leg_z=-0.36, thigh_m=0.092, knee_m=0.088, hem_m=0.088), ("twill", "plaid"), 0.8, 3),
        "cargo shorts": (Lower(leg_z=-0.38, thigh_m=0.1, knee_m=0.1, hem_m=0.1), ("canvas",), 0.1, 2),
        "basketball shorts": (Lower(leg_z=-0.4, thigh_m=0.108, knee_m=0.115, hem_m=0.115), ("tech", "block"), 0.1, 2),
        "board shorts": (Lower(leg_z=-0.33, thigh_m=0.098, knee_m=0.1, hem_m=0.1), ("floral", "tech"), 0, 0.8),
        "sweat shorts": (Lower(leg_z=-0.27, thigh_m=0.096, knee_m=0.092, hem_m=0.092), ("fleece",), 0.6, 1.2),
        "paper-bag shorts": (
            Lower(waist_z=0.2, leg_z=-0.21, thigh_m=0.11, knee_m=0.12, hem_m=0.12),
            ("woven",),
            0.8,
            0,
        ),
    }
    for name, (lower, cloth, women, men) in shorts.items():
        pockets = "cargo" if name == "cargo shorts" else "slant"
        yield Garment(name, "shorts", "bottom", women, men, cloth, lower=lower, pockets=pockets)
    for name, waist_z, leg_z, women, men in (
        ("full-length leggings", 0.16, -0.76, 4, 0),
        ("ankle leggings", 0.17, -0.7, 3, 0),
        ("capri leggings", 0.16, -0.5, 1.5, 0),
        ("cycling shorts", 0.16, -0.3, 0.8, 0.2),
        ("running tights", 0.12, -0.73, 0.8, 0.4),
    ):
        lower = Lower(waist_z=waist_z, leg_z=leg_z, room_m=0.003)
        yield Garment(name, "leggings", "bottom", women, men, ("stretch",), lower=lower)
    skirts = {
        "pencil": (Lower(flare=-0.08), ("wool", "leather", "woven")),
        "straight": (Lower(flare=0.06), ("denim", "woven", "leather")),
        "A-line": (Lower(flare=0.3), ("woven", "denim", "floral", "plaid")),
        "pleated": (Lower(flare=0.34, pleats=22, wave_m=0.012), ("plaid", "woven", "silk")),
        "circle": (Lower(flare=0.7, pleats=11, wave_m=0.022), ("floral", "woven", "dot")),
        "tiered": (Lower(flare=0.45, pleats=16, wave_m=0.008, tiers=3), ("floral", "woven")),
    }
    lengths = {"mini": -0.2, "knee-length": -0.36, "midi": -0.52, "maxi": -0.72}
    for (name, (cut, cloth)), (length, leg_z) in _pairs(skirts, lengths):
        if name in ("pencil", "straight") and length == "maxi":
            continue
        lower = replace(cut, skirt=True, waist_z=0.17, leg_z=leg_z, room_m=0.008)
        women = 0.5 if length == "maxi" else 1.0
        yield Garment(f"{length} {name} skirt", "skirt", "bottom", women, 0, cloth, lower=lower)


def _dresses() -> Iterator[Garment]:
    bodice = Upper(fall=0.1, room_m=0.007, hem_z=0.12)
    dresses = {
        "sheath": (replace(bodice, sleeve=-0.1, neck_m=0.03), Lower(flare=-0.04), ("woven", "wool", "jersey")),
        "A-line": (replace(bodice, sleeve=0.5, neck_m=0.03), Lower(flare=0.35), ("floral", "dot", "woven")),
        "skater": (
            replace(bodice, sleeve=-0.3, neck_m=0.04), Lower(flare=0.7, pleats=11, wave_m=0.02), ("jersey", "floral")
        ),
        "shirt": (
            replace(bodice, sleeve=_LONG, collar="shirt", opening="closed", fall=0.6),
            Lower(flare=0.12),
            ("stripe", "denim", "woven", "plaid"),
        ),
        "sweater": (
            replace(bodice, sleeve=_LONG, collar="turtle", neck_m=-0.02, fall=0.5, room_m=0.012, arm_m=0.058),
            Lower(flare=0.0),
            ("knit", "cable"),
        ),
        "slip": (replace(bodice, sleeve=-0.7, neck_m=0.1, v_neck=0.6), Lower(flare=0.15), ("silk", "silk", "print")),
        "wrap": (
            replace(bodice, sleeve=1.3, neck_m=0.1, v_neck=0.9, arm_m=0.055),
            Lower(flare=0.3),
            ("floral", "silk", "dot"),
        ),
        "smock": (
            replace(bodice, sleeve=0.9, neck_m=0.02, fall=0.95, arm_m=0.08, wrist_m=0.08, room_m=0.012),
            Lower(flare=0.4, pleats=14, wave_m=0.01, tiers=2),
            ("floral", "woven", "plaid"),
        ),
    }  # fmt: skip
    lengths = {"mini": -0.2, "knee-length": -0.36, "midi": -0.5, "maxi": -0.72}
    for (name, (upper, cut, cloth)), (length, leg_z) in _pairs(dresses, lengths):
        if name == "sweater" and length == "maxi":
            continue
        lower = replace(cut, skirt=True, waist_z=0.18, leg_z=leg_z, room_m=0.003)
        women = 0.6 if length == "maxi" else 1.0
        yield Garment(f"{length} {name} dress", "dress", "dress", women, 0, cloth, upper, lower)
    legs = {
        "slim": Lower(leg_z=-0.75, thigh_m=0.082, knee_m=0.062, hem_m=0.052),
        "loose": Lower(thigh_m=0.098, knee_m=0.085, hem_m=0.075),
        "short": Lower(leg_z=-0.22, thigh_m=0.098, knee_m=0.1, hem_m=0.1),
    }
    for fit, lower in legs.items():
        yield Garment(
            f"{fit} overalls",
            "overalls",
            "outer",
            0.5,
            0.4,
            ("denim",),
            Upper(bib=True, sleeve=-1),
            lower,
            pockets="chest",
        )
    skirt = Lower(leg_z=-0.26, skirt=True, flare=0.25, room_m=0.012)
    cloth = ("denim", "plaid")
    yield Garment(
        "pinafore dress", "overalls", "outer", 0.6, 0, cloth, Upper(bib=True, sleeve=-1), skirt, pockets="chest"
    )
    tops = {
        "sleeveless": replace(bodice, sleeve=-0.3, neck_m=0.04, v_neck=0.5, fall=0.3),
        "short-sleeve": replace(bodice, sleeve=0.6, neck_m=0.02, fall=0.5),
        "long-sleeve": replace(bodice, sleeve=_LONG, collar="shirt", opening="closed", fall=0.6, arm_m=0.06),
    }
    wides = {
        "slim": legs["slim"],
        "wide-leg": Lower(leg_z=-0.78, thigh_m=0.1, knee_m=0.1, hem_m=0.115),
        "short": legs["short"],
    }
    for (top, upper), (fit, lower) in _pairs(tops, wides):
        if (top, fit) in (("long-sleeve", "short"), ("short-sleeve", "slim")):
            continue
        cloth = ("twill", "denim") if top == "long-sleeve" else ("woven", "floral")
        yield Garment(f"{top} {fit} jumpsuit", "jumpsuit", "dress", 0.4, 0, cloth, upper, lower)
    upper = replace(bodice, sleeve=_LONG, collar="shirt", opening="closed", fall=0.9, arm_m=0.066, room_m=0.012)
    yield Garment(
        "boiler suit", "jumpsuit", "dress", 0.2, 0.5, ("twill", "denim"), upper, legs["loose"], pockets="chest"
    )


def _footwear() -> Iterator[Garment]:
    leather, sport = ("leather",), ("sport", "sport", "canvas")
    kinds: dict[str, tuple[str, Shoe, tuple[str, ...], float, float]] = {
        "low sneakers": ("sneakers", Shoe(sole_m=0.018), sport, 8, 9),
        "running shoes": ("sneakers", Shoe(sole_m=0.022, shaft_z=-0.75, toe_m=0.008), ("sport",), 7, 8),
        "chunky sneakers": ("sneakers", Shoe(sole_m=0.034, shaft_z=-0.745, toe_m=0.008), ("sport",), 5, 4),
        "high-top sneakers": ("sneakers", Shoe(sole_m=0.018, shaft_z=-0.685, shaft_m=0.048), sport, 3, 4),
        "platform sneakers": ("sneakers", Shoe(sole_m=0.045), sport, 2, 0.1),
        "slip-on shoes": ("sneakers", Shoe(sole_m=0.016, shaft_z=-0.762, vamp_x=0.05), ("canvas",), 2, 2),
        "oxford shoes": ("leather shoes", Shoe(sole_m=0.015, heel_m=0.01, toe_m=0.012), leather, 1, 6),
        "derby shoes": ("leather shoes", Shoe(sole_m=0.021, heel_m=0.01, toe_m=0.008), leather, 1, 4),
        "loafers": ("leather shoes", Shoe(sole_m=0.014, heel_m=0.008, vamp_x=0.06, toe_m=0.008), leather, 3, 3),
        "boat shoes": ("leather shoes", Shoe(sole_m=0.016, vamp_x=0.04), leather, 0.5, 1.5),
        "ballet flats": ("flats", Shoe(sole_m=0.008, shaft_z=-0.768, vamp_x=0.125), leather, 5, 0),
        "pointed flats": ("flats", Shoe(sole_m=0.01, shaft_z=-0.768, vamp_x=0.13, toe_m=0.022), leather, 2, 0),
        "espadrilles": ("flats", Shoe(sole_m=0.025, shaft_z=-0.765, vamp_x=0.09), ("canvas",), 1, 0.3),
        "kitten heels": (
            "heels", Shoe(sole_m=0.01, heel_m=0.032, vamp_x=0.13, toe_m=0.015, peg_m=0.012), leather, 1.2, 0
        ),
        "pumps": ("heels", Shoe(sole_m=0.01, heel_m=0.04, vamp_x=0.13, toe_m=0.012, peg_m=0.014), leather, 1.5, 0),
        "stilettos": ("heels", Shoe(sole_m=0.01, heel_m=0.044, vamp_x=0.135, toe_m=0.02, peg_m=0.009), leather, 0.7, 0),
        "block heels": ("heels", Shoe(sole_m=0.014, heel_m=0.036, vamp_x=0.1), leather, 1.5, 0),
        "wedges": ("heels", Shoe(sole_m=0.035, heel_m=0.034, vamp_x=0.1), ("canvas", "leather"), 0.8, 0),
        "heeled sandals": (
            "heels", Shoe(sole_m=0.012, heel_m=0.036, straps=(-0.04, 0.13), peg_m=0.016), leather, 1.2, 0
        ),
        "strap sandals": ("sandals", Shoe(sole_m=0.014, straps=(-0.045, 0.05, 0.12)), leather, 2.5, 1),
        "slides": ("sandals", Shoe(sole_m=0.024, straps=(0.1, 0.125)), ("sport",), 1.5, 1.5),
        "flip-flops": ("sandals", Shoe(sole_m=0.014, straps=(0.12,)), ("sport",), 1, 0.8),
        "trekking sandals": ("sandals", Shoe(sole_m=0.03, straps=(-0.045, 0.03, 0.07, 0.13)), ("sport",), 0.5, 1),
        "platform sandals": ("sandals", Shoe(sole_m=0.05, heel_m=0.02, straps=(-0.045, 0.11, 0.13)), leather, 0.8, 0),
        "chelsea boots": ("ankle boots", Shoe(sole_m=0.018, shaft_z=-0.64, shaft_m=0.047, heel_m=0.01), leather, 3, 3),
        "lace-up boots": ("ankle boots", Shoe(sole_m=0.024, shaft_z=-0.62, shaft_m=0.05), leather, 2, 2.5),
        "heeled ankle boots": (
            "ankle boots", Shoe(sole_m=0.018, shaft_z=-0.64, heel_m=0.036, shaft_m=0.05), leather, 2.5, 0
        ),
        "hiking boots": (
            "ankle boots", Shoe(sole_m=0.028, shaft_z=-0.66, shaft_m=0.052, toe_m=0.006), ("sport", "leather"), 1, 2
        ),
        "desert boots": ("ankle boots", Shoe(sole_m=0.02, shaft_z=-0.69, shaft_m=0.05), leather, 0.5, 2),
        "sheepskin boots": ("ankle boots", Shoe(sole_m=0.024, shaft_z=-0.58, shaft_m=0.066), leather, 1, 0),
        "combat boots": ("boots", Shoe(sole_m=0.032, shaft_z=-0.56, shaft_m=0.054), leather, 1.5, 1),
        "western boots": (
            "boots", Shoe(sole_m=0.016, heel_m=0.03, shaft_z=-0.52, shaft_m=0.06, toe_m=0.02), leather, 0.8, 0.3
        ),
        "rain boots": ("boots", Shoe(sole_m=0.026, shaft_z=-0.46, shaft_m=0.068), ("leather",), 0.7, 0.3),
        "knee boots": ("boots", Shoe(sole_m=0.018, heel_m=0.02, shaft_z=-0.42, shaft_m=0.058), leather, 1.8, 0),
        "heeled knee boots": ("boots", Shoe(sole_m=0.014, heel_m=0.036, shaft_z=-0.42, peg_m=0.016), leather, 1, 0),
        "over-knee boots": ("boots", Shoe(sole_m=0.018, heel_m=0.02, shaft_z=-0.28), leather, 0.5, 0),
    }  # fmt: skip
    for name, (category, shoe, cloth, women, men) in kinds.items():
        yield Garment(name, category, "shoes", women, men, cloth, shoe=shoe)


def _pairs(first: dict[str, _A], second: dict[str, _B]) -> Iterator[tuple[tuple[str, _A], tuple[str, _B]]]:
    return ((a, b) for a in first.items() for b in second.items())


def _trim(name: str) -> str:
    return _TRIMS.get(name, "none")
