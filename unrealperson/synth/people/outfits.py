"""What a person wears and how the hair is cut: types out of the wardrobe, drawn as people wear them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unrealperson.synth.people.cuts import Garment, Lower
from unrealperson.synth.people.haircuts import HAIRCUTS, choose_haircut
from unrealperson.synth.people.mhclo import Fitted
from unrealperson.synth.people.wardrobe import by_name, catalogue


@dataclass(frozen=True)
class Outfit:
    """What one person wears.

    Attributes:
        top: the garment on the skin of the trunk, or a dress.
        bottom: skirt or trousers; None below a dress, a suit or overalls.
        outer: what is worn over the top, if anything.
        shoes: on the feet.
        tucked: whether the top ends inside the waistband.
        creases: seed of the wrinkles in the cloth.
        hair: name of the haircut.
        hair_z: lower end of the hair.
        hair_volume: metres between scalp and the hair's surface.
        fringe: how far long hair is cut short over the forehead, in metres; 0 without a fringe.
        fitted: MakeHuman garments worn in the place of the wardrobe's.
        hat_z: height on the neutral base mesh above which a hat presses the hair.
        pack: whether a backpack hangs over the hair.
    """

    top: Garment
    bottom: Garment | None
    outer: Garment | None
    shoes: Garment
    tucked: bool
    creases: int
    hair: str
    hair_z: float
    hair_volume: float
    fringe: float
    fitted: tuple[Fitted, ...] = ()
    hat_z: float | None = None
    pack: bool = False

    @property
    def lower_garment(self) -> Garment:
        """What covers the hips and legs."""
        for garment in (self.outer, self.bottom, self.top):
            if garment is not None and garment.lower is not None:
                return garment
        raise ValueError(f"an outfit needs a bottom, a dress or a suit; {self.top.name} has no lower part")

    @property
    def lower(self) -> Lower:
        """Cut of what covers the hips and legs."""
        lower = self.lower_garment.lower
        if lower is None:
            raise ValueError(f"{self.lower_garment.name} has no lower part")
        return lower

    @property
    def narrow(self) -> bool:
        """Whether a long, narrow skirt shortens the steps."""
        return self.lower.skirt and self.lower.leg_z < -0.4 and self.lower.flare < 0.3


# Category -> how well it goes with cold weather, 0 ... 1; what is not named goes with any.
_WARMTH = {
    "t-shirt": 0.25, "tank top": 0.0, "shirt": 0.5, "polo": 0.25, "blouse": 0.4, "tunic": 0.35, "sweater": 0.85,
    "hoodie": 0.75, "sweatshirt": 0.7, "long-sleeve top": 0.6, "cardigan": 0.55, "jacket": 0.65, "blazer": 0.6,
    "coat": 0.95, "parka": 1.0, "puffer": 1.0, "vest": 0.6, "raincoat": 0.7, "cape": 0.6, "suit": 0.55,
    "tracksuit": 0.6, "overalls": 0.45, "shorts": 0.0, "leggings": 0.55, "skirt": 0.35, "jeans": 0.6, "dress": 0.3,
    "jumpsuit": 0.35, "sandals": 0.0, "flats": 0.35, "ankle boots": 0.8, "boots": 0.9, "heels": 0.4, "joggers": 0.6,
}  # fmt: skip
_TAIL_Z = (0.42, 0.6)


def random_outfit(
    rng: np.random.Generator,
    *,
    gender: str,
    clothes: Sequence[Fitted] = (),
    outer: float | None = None,
    full: float | None = None,
    age: float = 35.0,
    ethnicity: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3),
) -> Outfit:
    """Draws clothes that go together in one weather, and a haircut.

    Args:
        rng: source of randomness.
        gender: "female" or "male".
        clothes: MakeHuman garments that half of the people wear instead of the wardrobe's.
        outer: probability of a layer over the top; None follows the weather.
        full: probability of one garment for trunk and legs; None follows the wardrobe.
        age: years; the haircut goes with them.
        ethnicity: shares of `body.ETHNICITIES`; the haircut goes with them.
    """
    outfit = _from_wardrobe(rng, gender, outer, full)
    hair = choose_haircut(rng, gender=gender, age=age, ethnicity=ethnicity)
    haircut = HAIRCUTS[hair]
    outfit = replace(
        outfit,
        hair=hair,
        hair_z=float(rng.uniform(*(haircut.end_z if haircut.end_z[0] else _TAIL_Z))),
        hair_volume=float(rng.uniform(*haircut.lift_m)),
        fringe=float(rng.uniform(0.012, 0.035)) if rng.random() < 0.3 else 0.0,
    )
    if not clothes:
        return outfit
    worn = []
    for slot in ("suit", "shoes"):
        fits = [garment for garment in clothes if garment.slot == slot and garment.gender in ("", gender)]
        if fits and rng.random() < 0.5:
            worn.append(fits[int(rng.integers(len(fits)))])
    if any(garment.slot == "suit" for garment in worn):
        types = by_name()
        top, bottom = types["regular shirt"], types["straight trousers"]
        outfit = replace(outfit, top=top, bottom=bottom, outer=None, tucked=False)
    return replace(outfit, fitted=tuple(worn))


def _from_wardrobe(rng: np.random.Generator, gender: str, over: float | None, full: float | None) -> Outfit:
    column = ("female", "male").index(gender)
    cold = float(rng.beta(1.6, 1.4))

    def choose(slot: str, *, without: Sequence[str] = (), whole: bool = False) -> Garment:
        worn = [g for g in catalogue() if g.slot == slot and g.category not in without]
        worn = [g for g in worn if not whole or g.lower is not None]
        odds = np.array([(g.women, g.men)[column] * _suits(g.category, cold) for g in worn])
        return _vary(rng, worn[int(rng.choice(len(worn), p=odds / odds.sum()))])

    outer = choose("outer") if rng.random() < (0.08 + 0.75 * cold**1.5 if over is None else over) else None
    if full is not None and gender == "male" and rng.random() < full:
        outer = choose("outer", whole=True)
    whole = outer is not None and outer.lower is not None
    bib = outer is not None and outer.upper is not None and outer.upper.bib
    heavy = outer is not None and outer.category in ("suit", "blazer", "vest", "overalls")
    dressed = gender == "female" and not whole and rng.random() < (0.2 if full is None else full)
    if dressed:
        top = choose("dress")
    else:
        thick = ("hoodie", "tunic", "blouse") if heavy or bib else ()
        top = choose("top", without=thick)
        while heavy and top.upper is not None and (top.upper.room_m > 0.012 or top.upper.hem_z < -0.04):
            top = choose("top", without=thick)
    bottom = None if dressed or whole else choose("bottom")
    shoes = choose("shoes")
    lower = next(g.lower for g in (outer, bottom, top) if g is not None and g.lower is not None)
    tight = top.category in ("sweater", "hoodie", "sweatshirt", "tunic")
    odds = 0.75 if lower.skirt else 0.3 if top.category in ("shirt", "blouse", "polo", "t-shirt") else 0.1
    tucked = dressed or bib or (outer is not None and outer.category == "suit") or (rng.random() < odds and not tight)
    return Outfit(
        top=top,
        bottom=bottom,
        outer=outer,
        shoes=shoes,
        tucked=bool(tucked),
        creases=int(rng.integers(1 << 31)),
        hair="bald",
        hair_z=0.0,
        hair_volume=0.0,
        fringe=0.0,
    )


def describe(outfit: Outfit) -> dict[str, str]:
    """Names the type and category of each layer; "none" where nothing is worn.

    Args:
        outfit: what is worn.
    """
    words: dict[str, str] = {}
    layers = {"top": outfit.top, "outer": outfit.outer, "bottom": outfit.lower_garment, "shoes": outfit.shoes}
    for layer, garment in layers.items():
        words[layer] = garment.name if garment else "none"
        words[f"{layer}_category"] = garment.category if garment else "none"
    for fitted in outfit.fitted:
        for layer in ("top", "bottom") if fitted.slot == "suit" else ("shoes",):
            words[layer], words[f"{layer}_category"] = fitted.name, fitted.slot
    return words


def _suits(category: str, cold: float) -> float:
    return float(np.exp(-(((cold - _WARMTH[category]) / 0.33) ** 2))) if category in _WARMTH else 0.6


def _vary(rng: np.random.Generator, garment: Garment) -> Garment:
    """The same type in another size: a little longer, wider, looser."""
    shift, wide, loose = rng.uniform(-0.014, 0.014), rng.uniform(0.96, 1.07), rng.uniform(0.9, 1.15)
    upper, lower = garment.upper, garment.lower
    if upper is not None and not upper.bib:
        sleeve = upper.sleeve + (rng.uniform(-0.04, 0.02) if upper.sleeve > 0.3 else 0.0)
        upper = replace(
            upper,
            hem_z=upper.hem_z + shift,
            sleeve=sleeve,
            room_m=upper.room_m * loose,
            arm_m=upper.arm_m * wide,
            wrist_m=upper.wrist_m * wide,
            fall=float(np.clip(upper.fall + rng.uniform(-0.12, 0.12), 0, 1)),
        )
    if lower is not None:
        lower = replace(
            lower,
            waist_z=lower.waist_z + rng.uniform(-0.015, 0.015),
            leg_z=max(lower.leg_z + shift, -0.79),
            thigh_m=lower.thigh_m * wide,
            knee_m=lower.knee_m * wide,
            hem_m=lower.hem_m * wide,
        )
    return replace(garment, upper=upper, lower=lower)
