"""Hard groups: five people who look alike but for one or two small regions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unrealperson.config.synth import GROUP_REGIONS
from unrealperson.synth.people.accessories import Item, make_item
from unrealperson.synth.people.charts import MARGIN, REGIONS, panels_of
from unrealperson.synth.people.cloth import Colors
from unrealperson.synth.people.cuts import Garment
from unrealperson.synth.people.haircuts import HAIRCUTS
from unrealperson.synth.people.outfits import Outfit
from unrealperson.synth.people.wardrobe import catalogue

SIZE = 5
"""People of a group; person P belongs to group P // 5."""
_HATS = ("none", "cap", "beanie", "brimmed hat", "headphones")
_BAGS = ("none", "backpack", "crossbody", "backpack", "crossbody")


@dataclass(frozen=True)
class Plan:
    """What a group is to be, as an entry of `synth.groups` says it.

    Attributes:
        regions: in what its members differ.
        look: seed, version and number of the person whom all of them look like; None draws somebody new.
    """

    regions: tuple[str, ...]
    look: tuple[int, int, int] | None = None


def read_plan(text: str) -> Plan:
    """Reads an entry of `synth.groups`.

    Args:
        text: such as "bag, shoes" or "0.2.17: hat", checked by the configuration.
    """
    look, _, regions = text.rpartition(": ")
    seed, version, number = (int(part) for part in look.split(".")) if look else (0, 0, 0)
    return Plan(tuple(regions.split(", ")), (seed, version, number) if look else None)


@dataclass(frozen=True)
class Variant:
    """What one member of a group has of their own.

    Attributes:
        differs: names out of `GROUP_REGIONS`.
        outfit: with this member's shoes and hair.
        items: with this member's bag and hat.
        logo: seed of the badge on the chest; None without one.
        shoes: seed of the shoes' cloth; None leaves them as they are.
        common_shoes: what the others wear on their feet.
    """

    differs: tuple[str, ...]
    outfit: Outfit
    items: tuple[Item, ...]
    logo: int | None
    shoes: int | None
    common_shoes: Garment


def vary(
    rng: np.random.Generator,
    member: int,
    outfit: Outfit,
    items: tuple[Item, ...],
    *,
    gender: str,
    colors: Colors,
    plan: Plan | None = None,
) -> Variant:
    """Changes small regions of a group's common look: one or two drawn ones, or those of a plan.

    Where the plan names somebody, all five also differ from that person, who is in another data set.

    Args:
        rng: source of randomness of the group, in the same state for all its members.
        member: 0 ... 4.
        outfit: the common clothes.
        items: the common accessories.
        gender: "female" or "male".
        colors: how colours are drawn.
        plan: what the group is to be; None draws it.

    Source: paper section 4.4, hard samples (model version 3).
    """
    count = 1 + int(rng.random() < 0.5)
    differs = tuple(sorted(str(name) for name in rng.choice(GROUP_REGIONS, count, replace=False)))
    if plan is not None:
        differs = tuple(sorted(plan.regions))
    apart = plan is not None and plan.look is not None
    cuts = [name for name, cut in HAIRCUTS.items() if (cut.women if gender == "female" else cut.men) > 1]
    cuts = [str(name) for name in rng.permutation([name for name in cuts if name != outfit.hair])]
    shoes = [g for g in catalogue() if g.slot == "shoes" and (g.women if gender == "female" else g.men) > 0]
    if apart:
        shoes = [garment for garment in shoes if garment != outfit.shoes]
    order = rng.permutation(len(shoes))
    hats, bags = rng.permutation(_HATS), rng.permutation(_BAGS)
    seeds = rng.integers(1 << 31, size=(SIZE, 3))
    own = np.random.default_rng(seeds[member])
    common_shoes = outfit.shoes
    if "hair" in differs and (member or apart):
        name = cuts[member - 1 + apart]
        cut = HAIRCUTS[name]
        end_z = cut.end_z if cut.end_z[0] else (0.44, 0.56)
        outfit = replace(
            outfit,
            hair=name,
            hair_z=float(np.mean(end_z)),
            hair_volume=float(np.mean(cut.lift_m)),
        )
    if "shoes" in differs and not any(garment.slot == "shoes" for garment in outfit.fitted):
        outfit = replace(outfit, shoes=shoes[int(order[member])])
    for region, slot, kinds, spare in (("bag", "backpack", bags, "crossbody"), ("hat", "headwear", hats, "cap")):
        if region in differs:
            worn = any(item.slot == slot for item in items)
            items = tuple(item for item in items if item.slot != slot)
            kind = str(kinds[member])
            if kind == "none" and apart and not worn:
                kind = spare
            if kind != "none":
                items = (*items, make_item(own, kind, outfit, colors=colors))
    return Variant(
        differs,
        outfit,
        items,
        int(seeds[member, 1]) if "logo" in differs else None,
        int(seeds[member, 2]) if "shoes" in differs else None,
        common_shoes,
    )


def paint_logo(texture: np.ndarray, outfit: Outfit, seed: int) -> None:
    """Paints a badge on the chest of the outermost layer, in place.

    Args:
        texture: [S, S, 3] uint8 atlas.
        outfit: what is worn.
        seed: of shape and colours.
    """
    rng, side_px = np.random.default_rng(seed), len(texture)
    region, garment = _outermost(outfit)
    box, panels = REGIONS[region], panels_of(garment)
    rows, columns = round(box.height * side_px), round(box.width * side_px)
    v, u = np.mgrid[0:rows, 0:columns]
    u = ((u + 0.5) / side_px - MARGIN) / (box.width - 2 * MARGIN)
    v = ((v + 0.5) / side_px - MARGIN) / (box.height - 2 * MARGIN)
    x = (u - 0.25) * panels.half_m / 0.245
    z = panels.high_z - v * (panels.high_z - panels.low_z)
    middle = rng.choice([-0.075, 0.075])
    x, z = x - middle, z - rng.uniform(0.33, 0.39)
    size, turn = rng.uniform(0.03, 0.042), np.arctan2(z, x)
    shape = (
        np.hypot(x, z),
        np.maximum(np.abs(x), np.abs(z)),
        np.hypot(x, z) * (1.2 + 0.35 * np.cos(5 * turn)),
        np.maximum(1.9 * np.abs(x), 0.8 * np.abs(z)),
        np.abs(x) + np.abs(z),
    )[int(rng.integers(5))]
    hue = rng.permutation([rng.uniform(0.6, 0.9), rng.uniform(0.1, 0.4), rng.uniform(0.05, 0.25)])
    view = texture[round(box.top * side_px) :, round(box.left * side_px) :][:rows, :columns]
    inside = (shape < size) & (u < 0.5)
    view[inside] = hue * 255
    view[inside & (shape < 0.45 * size)] = (1 - hue) * 255


def _outermost(outfit: Outfit) -> tuple[str, Garment]:
    outer = outfit.outer
    if outer is not None and outer.upper is not None and not outer.upper.bib:
        return "outer", outer
    return "top", outfit.top
