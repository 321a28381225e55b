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




def random_outfit(rng: np.random.Generator, *, gender: str, age: float) -> Outfit:
    """Draws clothes and a haircut.

    Args:
        rng: source of randomness.
        gender: "female" or "male".
        age: years.
    """
    female = gender == "female"
    top = str(rng.choice(["t-shirt", "shirt", "sweater", "jacket", "coat"], p=[0.33, 0.2, 0.18, 0.19, 0.1]))
    bottom = str(
        rng.choice(["jeans", "trousers", "leggings", "shorts", "short skirt", "long skirt"],
                   p=[0.34, 0.2, 0.14, 0.12, 0.12, 0.08] if female else [0.42, 0.4, 0.0, 0.18, 0.0, 0.0])
    )
    hair = str(
        rng.choice(["long", "bob", "ponytail", "short"], p=[0.45, 0.22, 0.23, 0.1])
        if female
        else rng.choice(["short", "medium", "cropped", "bald"], p=[0.6, 0.16, 0.16, 0.08 if age < 45 else 0.08])
    )
    long_sleeve = top in ("sweater", "jacket", "coat")
    loose = {"t-shirt": 0.009, "shirt": 0.012, "sweater": 0.015, "jacket": 0.021, "coat": 0.024}[top]
    skirted = bottom.endswith("skirt")
    waist_z = float(rng.uniform(0.11, 0.17))
    hem = {"t-shirt": (-0.01, 0.10), "shirt": (-0.03, 0.08), "sweater": (0.0, 0.10), "jacket": (-0.03, 0.1),
           "coat": (-0.33, -0.12)}[top]
    sleeve = {"t-shirt": (0.45, 0.9), "shirt": (0.9, 1.97)}.get(top, (1.88, 1.97))
    leg = {"jeans": (-0.775, -0.74), "trousers": (-0.785, -0.745), "leggings": (-0.76, -0.72),
           "shorts": (-0.4, -0.25), "short skirt": (-0.36, -0.22), "long skirt": (-0.62, -0.45)}[bottom]
    shoes = str(rng.choice(["trainers", "shoes", "boots"], p=[0.6, 0.25, 0.15]))
    leg_z = float(rng.uniform(*leg))
    shaft_z = {"boots": rng.uniform(-0.66, -0.58), "trainers": rng.uniform(-0.745, -0.725)}.get(shoes, -0.755)
    if bottom in ("jeans", "trousers"):
        shaft_z = min(shaft_z, leg_z + 0.02)
    hair_end = {"long": (0.28, 0.48), "bob": (0.56, 0.63), "medium": (0.64, 0.67)}.get(hair, (0.66, 0.68))
    return Outfit(
        top=top,
        bottom=bottom,
        shoes=shoes,
        hair=hair,
        hem_z=waist_z - 0.02 if skirted and top not in ("coat", "jacket") else float(rng.uniform(*hem)),
        sleeve=float(rng.uniform(*sleeve)),
        neck_drop=float(-0.03 if top == "coat" else rng.uniform(-0.03, 0.0) if long_sleeve
                        else rng.uniform(0.0, 0.035 if female else 0.015)),
        v_neck=float(rng.choice([0.0, rng.uniform(0.4, 0.9)], p=[0.75, 0.25])),
        top_offset=float(loose * rng.uniform(0.75, 1.25)),
        top_drape=float(rng.uniform(0.1, 0.35) if skirted else rng.uniform(0.1, 0.6) if female and not long_sleeve else rng.uniform(0.4, 0.95)),
        sleeve_width=float((0.046 if long_sleeve else 0.03) * rng.uniform(0.9, 1.15)),
        waist_z=waist_z,
        leg_z=leg_z,
        leg_width=float({"jeans": rng.uniform(0.05, 0.075), "trousers": rng.uniform(0.06, 0.085),
                         "shorts": rng.uniform(0.085, 0.11)}.get(bottom, 0.0)),
        flare=float(rng.uniform(-0.05, 0.4)),
        sole_m=float(rng.uniform(0.012, 0.03)),
        shaft_z=float(shaft_z),
        hair_z=float(rng.uniform(*hair_end)),
        hair_volume=float({"cropped": 0.006, "short": rng.uniform(0.012, 0.028)}.get(hair, rng.uniform(0.012, 0.024))),
        fringe=float(rng.choice([0.0, rng.uniform(0.01, 0.035)])),
    )
