"""Haircuts and hair colours: a table of styles, and how scalp and strands are painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrealperson.synth.people.noise import smooth_noise

RIBBONS = 8
"""Locks differ: the upper part of the hair's chart holds so many of them side by side."""
RIBBON_V = 0.8
"""Share of the chart's height that the ribbons take; the scalp below them has the rest."""


@dataclass(frozen=True)
class Haircut:
    """One style; lengths in metres on the neutral base mesh.

    Attributes:
        women: how often women wear it.
        men: how often men wear it.
        flow: where the locks on top of the head go: down, back, forward, side, crown, up; "" has no locks.
        top_m: length of the locks on top.
        side_m: length of the locks on the sides and behind.
        end_z: range of the height at which long hair ends; 0 where the lengths decide.
        lift_m: range of the distance between scalp and the hair's surface.
        fade_z: below this height the hair is shaved to stubble.
        wave_m: height of waves or curls.
        period_m: their length.
        mess: how much neighbouring locks disagree, in radians.
        wide_m: width of a lock.
        locks: number of locks spread over the whole head and face, of which the scalp keeps about a third.
        gather: what the locks are tied into: tail, bun, top bun, braid; "" hangs free.
        recede_m: how far the hairline has gone back over the temples.
    """

    women: float
    men: float
    flow: str
    top_m: float = 0.05
    side_m: float = 0.03
    end_z: tuple[float, float] = (0.0, 0.0)
    lift_m: tuple[float, float] = (0.008, 0.014)
    fade_z: float = 0.0
    wave_m: float = 0.0
    period_m: float = 0.05
    mess: float = 0.2
    wide_m: float = 0.015
    locks: int = 880
    gather: str = ""
    recede_m: float = 0.0


HAIRCUTS = {
    "bald": Haircut(0, 5, ""),
    "buzz": Haircut(0.5, 10, ""),
    "receding": Haircut(0, 6, "back", 0.035, 0.022, lift_m=(0.004, 0.007), recede_m=0.035),
    "short back and sides": Haircut(0, 17, "side", 0.055, 0.02, lift_m=(0.010, 0.018), fade_z=0.725, mess=0.25),
    "side parting": Haircut(0.5, 11, "side", 0.075, 0.03, lift_m=(0.008, 0.013), mess=0.12),
    "crop": Haircut(1, 10, "forward", 0.05, 0.022, lift_m=(0.008, 0.012), fade_z=0.715, mess=0.22),
    "undercut": Haircut(1, 7, "back", 0.09, 0.02, lift_m=(0.014, 0.022), fade_z=0.775, mess=0.15),
    "slicked back": Haircut(1, 5, "back", 0.1, 0.05, lift_m=(0.004, 0.007), mess=0.06),
    "spiky": Haircut(0, 5, "up", 0.04, 0.022, lift_m=(0.010, 0.016), mess=0.45, fade_z=0.715, wide_m=0.012),
    "messy": Haircut(3, 10, "crown", 0.085, 0.06, lift_m=(0.012, 0.02), mess=0.5, wave_m=0.004),
    "bowl": Haircut(1, 1.5, "crown", 0.12, 0.07, end_z=(0.735, 0.745), lift_m=(0.008, 0.012), mess=0.08),
    "curly": Haircut(
        4, 5, "crown", 0.075, 0.055, lift_m=(0.016, 0.026), mess=0.5, wave_m=0.0075, period_m=0.026, wide_m=0.0105,
        locks=680,
    ),
    "afro": Haircut(3, 4, "out", 0.013, 0.013, lift_m=(0.025, 0.05), mess=0.5, wide_m=0.011, locks=1500),
    "pixie": Haircut(6, 0, "crown", 0.075, 0.045, lift_m=(0.009, 0.014), mess=0.28),
    "bob": Haircut(
        13, 0, "down", 0.3, 0.3, end_z=(0.60, 0.645), lift_m=(0.01, 0.016), mess=0.07, wide_m=0.02, locks=500
    ),
    "lob": Haircut(
        10, 1, "down", 0.4, 0.4, end_z=(0.535, 0.58), lift_m=(0.010, 0.016), mess=0.1, wave_m=0.004, period_m=0.1,
        wide_m=0.02, locks=500,
    ),
    "long straight": Haircut(
        16, 0.7, "down", 0.7, 0.7, end_z=(0.31, 0.48), lift_m=(0.008, 0.014), mess=0.07, wide_m=0.02, locks=500
    ),
    "long wavy": Haircut(
        15, 0.7, "down", 0.7, 0.7, end_z=(0.33, 0.5), lift_m=(0.012, 0.02), mess=0.2, wave_m=0.009, period_m=0.085,
        wide_m=0.02, locks=500,
    ),
    "ponytail": Haircut(15, 1, "", 0.2, 0.2, lift_m=(0.004, 0.007), mess=0.04, gather="tail", wide_m=0.017, locks=760),
    "bun": Haircut(7, 0.3, "", 0.2, 0.2, lift_m=(0.005, 0.008), mess=0.05, gather="bun", wide_m=0.017, locks=760),
    "top bun": Haircut(3, 1, "", 0.2, 0.2, lift_m=(0.004, 0.007), mess=0.05, gather="top bun", wide_m=0.017, locks=760),
    "braid": Haircut(5, 0, "", 0.2, 0.2, lift_m=(0.005, 0.008), mess=0.06, gather="braid", wide_m=0.017, locks=760),
}  # fmt: skip
"""Styles by name."""

_MIXED = (1 / 3, 1 / 3, 1 / 3)

# sRGB 0 ... 1.
_NATURAL = {
    "black": (0.105, 0.094, 0.09),
    "dark brown": (0.17, 0.125, 0.098),
    "brown": (0.265, 0.19, 0.138),
    "light brown": (0.38, 0.285, 0.2),
    "blond": (0.54, 0.45, 0.325),
    "red": (0.38, 0.22, 0.145),
    "grey": (0.36, 0.352, 0.345),
    "white": (0.58, 0.572, 0.555),
}
_DYED = {
    "platinum": (0.62, 0.57, 0.475),
    "copper": (0.47, 0.24, 0.13),
    "burgundy": (0.21, 0.095, 0.1),
    "pink": (0.66, 0.42, 0.49),
    "blue": (0.14, 0.2, 0.34),
    "green": (0.16, 0.3, 0.23),
    "purple": (0.2, 0.14, 0.225),
}


def choose_haircut(
    rng: np.random.Generator, *, gender: str, age: float = 35.0, ethnicity: tuple[float, float, float] = _MIXED
) -> str:
    """Draws a style as often as it is worn.

    Args:
        rng: source of randomness.
        gender: "female" or "male".
        age: years; hair recedes with them, and is cut shorter.
        ethnicity: shares of `body.ETHNICITIES`; they decide how much hair curls.
    """
    old, curls = float(np.clip((age - 28) / 32, 0, 1)), ethnicity[0]
    odds = []
    for name, cut in HAIRCUTS.items():
        share = cut.women if gender == "female" else cut.men
        if name in ("bald", "receding"):
            share *= 0.25 + 1.9 * old
        elif cut.end_z[0] and cut.end_z[0] < 0.59:
            share *= (1 - 0.7 * old) * (1 - 0.55 * curls)
        elif name in ("afro", "curly", "buzz", "braid"):
            share *= (0.1 if name == "afro" else 0.6) + 2.2 * curls
        odds.append(share)
    return str(rng.choice(list(HAIRCUTS), p=np.array(odds) / sum(odds)))


def choose_color(
    rng: np.random.Generator, *, gender: str, age: float, ethnicity: tuple[float, float, float]
) -> tuple[str, np.ndarray, np.ndarray]:
    """Draws the colour of somebody's hair: by descent, greying with age, now and then dyed.

    Args:
        rng: source of randomness.
        gender: women dye more often.
        age: years.
        ethnicity: shares of `body.ETHNICITIES`.

    Returns:
        Its name, [3] sRGB, 0 ... 1, and the same of brows and beard, which nobody dyes.
    """
    fair, woman = ethnicity[2], gender == "female"
    grey = (0.5 if woman else 0.7) * float(np.clip((age - 48) / 30, 0, 1)) ** 2
    odds = np.array([6 - 5 * fair, 4, 0.5 + 3.5 * fair, 2.6 * fair**2, 2.2 * fair**4, 0.5 * fair**4, 0, 0])
    odds = odds / odds.sum() * (1 - grey)
    odds[6:] = grey * np.array([1 - 0.45 * grey, 0.45 * grey])
    name = str(rng.choice(list(_NATURAL), p=odds / odds.sum()))
    tone = np.array(_NATURAL[name]) * rng.uniform(0.82, 1.22)
    dyed = rng.random() < (0.06 if woman else 0.02)
    other = str(rng.choice(list(_DYED), p=[0.28, 0.27, 0.2, 0.08, 0.06, 0.04, 0.07]))
    if dyed:
        return other, np.array(_DYED[other]) * rng.uniform(0.85, 1.1), tone
    return name, tone, tone


def describe_length(name: str) -> str:
    """The word for a style's length: none, short, medium or long.

    Args:
        name: out of `HAIRCUTS`.
    """
    cut = HAIRCUTS[name]
    if cut.gather or (cut.end_z[0] and cut.end_z[0] < 0.59):
        return "long"
    if cut.end_z[0] or cut.side_m > 0.042:
        return "medium"
    return "short" if name != "bald" else "none"


def paint_strands(rng: np.random.Generator, tone: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Paints the hair's chart: ribbons from root to tip, and the scalp's cover below them.

    Args:
        rng: source of randomness.
        tone: [3] sRGB of the hair.
        shape: height and width in pixels.

    Returns:
        [h, w, 3] sRGB.
    """
    height, width = shape
    along = (np.arange(height) + 0.5)[:, None] / height / RIBBON_V
    across = (np.arange(width) + 0.5)[None] / width * RIBBONS
    edge = 2 * np.abs(across % 1 - 0.5)
    fine = smooth_noise(rng, shape, 4, width // 2) - 0.5
    middle = smooth_noise(rng, shape, 3, RIBBONS * 3) - 0.5
    each = rng.normal(0, 0.06, RIBBONS)[np.minimum(across.astype(int), RIBBONS - 1)]
    light = 0.86 + 0.18 * np.clip(along / 0.3, 0, 1) - 0.1 * np.clip((along - 0.75) / 0.25, 0, 1)
    pale = float(tone.mean())
    light = light + (0.62 - 0.35 * pale) * (fine + 0.5 * middle) + each - 0.08 * edge**4
    # Light runs along single strands where a lock turns over the head.
    glow = np.exp(-(((along - 0.28 - each) / 0.14) ** 2)) * np.clip(fine + 0.12, 0, 1)
    below = along > 1
    light = np.where(below, 0.98 + 0.08 * pale + 0.7 * fine + 0.2 * middle, light)
    glow = np.where(below, 0.0, glow)
    image = tone * np.clip(light, 0.25, 1.7)[..., None]
    return image + (0.24 + 0.45 * tone) * glow[..., None]


def scalp_cover(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, z: np.ndarray, hair: str, above: np.ndarray
) -> np.ndarray:
    """How much hair hides the skin of the scalp: single hairs at the edge, stubble where it is shaved.

    Args:
        rng: source of randomness.
        x: [h, w] metres forward.
        y: [h, w] metres to the left.
        z: [h, w] height on the neutral base mesh.
        hair: name of the style.
        above: [h, w] metres above the hairline.

    Returns:
        [h, w] share, 0 ... 1.
    """
    if hair == "bald":
        return np.zeros(above.shape)
    cut, shape = HAIRCUTS[hair], above.shape
    strands = smooth_noise(rng, shape, 36, 190) - 0.5
    grown = np.clip((above + 0.009 * strands) / 0.018 + 0.1, 0, 1)
    if hair == "buzz":
        return grown * (0.78 + 0.3 * strands)
    shaved = np.clip((cut.fade_z - z) / 0.035 + 0.5, 0, 1) if cut.fade_z else np.zeros(shape)
    return grown * (1 - shaved * (0.32 - 0.3 * strands))
