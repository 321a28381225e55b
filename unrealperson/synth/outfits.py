"""What a person wears and how the hair is cut: plain numbers, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outfit:
    """What one person wears, as cut lines on the neutral base mesh (metres) and looseness.

    Attributes:
        top: name of the upper garment.
        bottom: name of the lower garment.
        shoes: name of the shoes.
        hair: name of the haircut.
        hem_z: lower edge of the upper garment.
        sleeve: end of the sleeves; 0 shoulder, 1 elbow, 2 wrist.
        neck_drop: depth of the neckline in metres; negative is a collar.
        v_neck: 0 is a round neckline, 1 a deep V.
        top_offset: metres between body and upper garment.
        top_drape: 0 follows the body ... 1 falls straight from the chest.
        sleeve_width: least radius of the sleeves in metres.
        waist_z: upper edge of the lower garment.
        leg_z: lower edge of the lower garment.
        leg_width: least radius of the trouser legs in metres.
        flare: share by which a skirt widens towards its edge.
        sole_m: thickness of the soles.
        shaft_z: upper edge of the shoes.
        hair_z: lower end of the hair.
        hair_volume: metres between scalp and the hair's surface.
        fringe: lowering of the hairline above the face in metres.
    """

    top: str
    bottom: str
    shoes: str
    hair: str
    hem_z: float
    sleeve: float
    neck_drop: float
    v_neck: float
    top_offset: float
    top_drape: float
    sleeve_width: float
    waist_z: float
    leg_z: float
    leg_width: float
    flare: float
    sole_m: float
    shaft_z: float
    hair_z: float
    hair_volume: float
    fringe: float

    @property
    def skirted(self) -> bool:
        """Whether the lower garment is a skirt."""
        return self.bottom.endswith("skirt")


# Name -> share among women, share among men.
_TOPS = {"t-shirt": (33, 35), "shirt": (18, 22), "sweater": (19, 16), "jacket": (18, 20), "coat": (12, 7)}
_BOTTOMS = {
    "jeans": (33, 42),
    "trousers": (21, 41),
    "leggings": (14, 0),
    "shorts": (11, 17),
    "short skirt": (12, 0),
    "long skirt": (9, 0),
}
_SHOES = {"trainers": (55, 62), "shoes": (28, 28), "boots": (17, 10)}
_HAIR = {
    "long": (43, 0),
    "bob": (23, 0),
    "ponytail": (23, 0),
    "short": (11, 62),
    "medium": (0, 16),
    "cropped": (0, 15),
    "bald": (0, 7),
}
# Name -> ranges, metres on the neutral base mesh.
_HEM_Z = {
    "t-shirt": (-0.01, 0.10),
    "shirt": (-0.03, 0.08),
    "sweater": (0.0, 0.10),
    "jacket": (-0.04, 0.09),
    "coat": (-0.33, -0.12),
}
_SLEEVE = {"t-shirt": (0.45, 0.9), "shirt": (0.9, 1.97)}
_LONG_SLEEVE = (1.88, 1.97)
_OFFSET_M = {"t-shirt": 0.009, "shirt": 0.011, "sweater": 0.014, "jacket": 0.02, "coat": 0.023}
_LEG_Z = {
    "jeans": (-0.785, -0.755),
    "trousers": (-0.79, -0.76),
    "leggings": (-0.76, -0.72),
    "shorts": (-0.4, -0.25),
    "short skirt": (-0.36, -0.24),
    "long skirt": (-0.62, -0.45),
}
_LEG_WIDTH_M = {"jeans": (0.05, 0.075), "trousers": (0.06, 0.085), "shorts": (0.085, 0.11)}
_SHAFT_Z = {"boots": (-0.66, -0.58), "trainers": (-0.745, -0.725), "shoes": (-0.765, -0.75)}
_HAIR_Z = {"long": (0.30, 0.5), "bob": (0.565, 0.63), "ponytail": (0.42, 0.6)}
_VOLUME_M = {"cropped": (0.004, 0.006), "short": (0.012, 0.026)}


def random_outfit(rng: np.random.Generator, *, gender: str) -> Outfit:
    """Draws clothes and a haircut.

    Args:
        rng: source of randomness.
        gender: "female" or "male".
    """
    column = ("female", "male").index(gender)

    def choose(table: dict[str, tuple[int, int]]) -> str:
        odds = np.array([row[column] for row in table.values()], np.float64)
        return str(rng.choice(list(table), p=odds / odds.sum()))

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    top, bottom, shoes, hair = (choose(table) for table in (_TOPS, _BOTTOMS, _SHOES, _HAIR))
    covered = top in ("sweater", "jacket", "coat")
    tucked = bottom.endswith("skirt") and top not in ("jacket", "coat")
    waist_z = between(0.11, 0.17)
    leg_z = between(*_LEG_Z[bottom])
    shaft_z = between(*_SHAFT_Z[shoes])
    if bottom in ("jeans", "trousers"):
        shaft_z = min(shaft_z, leg_z + 0.015)
    loose = (0.4, 0.95) if covered or gender == "male" else (0.1, 0.6)
    return Outfit(
        top=top,
        bottom=bottom,
        shoes=shoes,
        hair=hair,
        hem_z=waist_z - 0.02 if tucked else between(*_HEM_Z[top]),
        sleeve=between(*_SLEEVE.get(top, _LONG_SLEEVE)),
        neck_drop=between(-0.03, 0.0) if covered else between(0.0, 0.03 if gender == "female" else 0.015),
        v_neck=between(0.4, 0.9) if rng.random() < 0.25 else 0.0,
        top_offset=_OFFSET_M[top] * between(0.75, 1.25),
        top_drape=between(0.0, 0.12) if tucked else between(*loose),
        sleeve_width=(0.044 if covered else 0.03) * between(0.9, 1.15),
        waist_z=waist_z,
        leg_z=leg_z,
        leg_width=between(*_LEG_WIDTH_M.get(bottom, (0.0, 0.0))),
        flare=between(-0.05, 0.4),
        sole_m=between(0.012, 0.03),
        shaft_z=shaft_z,
        hair_z=between(*_HAIR_Z.get(hair, (0.66, 0.68))),
        hair_volume=between(*_VOLUME_M.get(hair, (0.012, 0.022))),
        fringe=between(0.01, 0.035) if rng.random() < 0.4 else 0.0,
    )
