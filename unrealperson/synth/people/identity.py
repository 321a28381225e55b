"""Who somebody is before they are built: body, clothes, accessories, as seeds and choices; cheap to draw and change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from unrealperson.synth.people import body as bodies
from unrealperson.synth.people import cloth, groups, mhclo, outfits
from unrealperson.synth.people.accessories import (
    Item,
    activity_of,
    choose_items,
    describe_items,
    hat_height,
    odds_of,
    raise_hood,
)
from unrealperson.synth.people.haircuts import describe_length

VERSIONS = (1, 2, 3)
"""Models: basic people, people with accessories, groups of five who differ in small regions."""


@dataclass(frozen=True)
class Identity:
    """One person as choices.

    Attributes:
        seed: seed of the data set.
        version: model version Y.
        number: person P.
        body: the shape.
        outfit: clothes and haircut.
        items: accessories.
        colors: how the colours of clothes are drawn.
        cloth_seed: of cloth, skin and hair colour.
        gait_seed: of the habits of walking.
        variant: what a member of a hard group has of their own; None outside of groups.
    """

    seed: int
    version: int
    number: int
    body: bodies.Body
    outfit: outfits.Outfit
    items: tuple[Item, ...]
    colors: cloth.Colors
    cloth_seed: np.random.SeedSequence
    gait_seed: np.random.SeedSequence
    variant: groups.Variant | None = None

    @property
    def worn(self) -> outfits.Outfit:
        """The outfit as the accessories press it: hair below a hat, a hood raised."""
        items = self.items
        pack = any(item.kind == "backpack" for item in items)
        return raise_hood(replace(self.outfit, hat_z=hat_height(items), pack=pack), items)

    def describe(self) -> dict[str, str | float]:
        """Body, clothes, hair and accessories in words and numbers; colours are known when cloth is painted."""
        bands = {25: "16-24", 40: "25-39", 60: "40-59", 200: "60+"}
        shape = self.body
        heavy, strong = shape.weight > 0.68, shape.muscle > 0.6
        words: dict[str, str | float] = {
            "gender": shape.gender,
            "age": round(shape.age),
            "age_band": next(name for end, name in bands.items() if shape.age < end),
            "height_m": round(shape.height_m, 3),
            "height": "short" if shape.height_m < 1.62 else "tall" if shape.height_m > 1.8 else "average",
            "build": "heavy" if heavy else "slim" if shape.weight < 0.32 else "athletic" if strong else "average",
            "activity": activity_of(self.items),
            **outfits.describe(self.outfit),
            "hair": self.outfit.hair,
            "hair_length": describe_length(self.outfit.hair),
            **describe_items(self.items),
        }
        if self.variant is not None:
            words |= {"group": self.number // groups.SIZE, "differs": ", ".join(self.variant.differs)}
        return words


def random_identity(
    seed: int,
    version: int,
    number: int,
    *,
    body: bodies.Preset = "massproduce",
    colors: cloth.Colors = "wardrobe",
    clothes: Path | None = None,
    accessories: str = "published",
    planned: Sequence[str] = (),
) -> Identity:
    """Draws somebody; the same arguments give the same identity in every process.

    Args:
        seed: seed of the data set, 0 or more.
        version: model version Y; 1 is basic people without accessories.
        number: person P, 0 or more.
        body: distribution of body shapes.
        colors: how the colours of clothes are drawn: as people wear them, (almost) all black, or evenly.
        clothes: folder of MakeHuman `.mhclo` garments that half of the people wear.
        accessories: from version 2 on, how often things are worn and held: as for `accessories.odds_of`.
        planned: in version 3, what the first groups are to be, as `synth.groups`.

    Raises:
        ValueError: colors is none of these, no garment in its folder, a negative seed or number, or a version that
            does not exist.
        RuntimeError: the MakeHuman base data is missing.

    Source: paper section 3.3; model versions as in the published folders unreal_vX.Y.
    """
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(map(str, VERSIONS))}, got {version}")
    if colors not in get_args(cloth.Colors):
        raise ValueError(f"colors must be one of {', '.join(get_args(cloth.Colors))}, got {colors!r}")
    if seed < 0 or number < 0:
        raise ValueError(f"seed and number must be 0 or more, got seed {seed} and number {number}")
    look_of = number // groups.SIZE if version == 3 else number
    plan = groups.read_plan(planned[look_of]) if version == 3 and look_of < len(planned) else None
    seeds = np.random.SeedSequence((seed, version, look_of)).spawn(6)
    bodily, clothing, cloth_seed, gait_seed, carrying, differing = seeds
    shape = bodies.random_body(np.random.default_rng(bodily), preset=body)
    fitted = mhclo.load_clothes(clothes) if clothes is not None else ()
    odds = odds_of(accessories)
    odds = odds if version > 1 else {}
    outfit = outfits.random_outfit(
        np.random.default_rng(clothing),
        gender=shape.gender,
        clothes=fitted,
        outer=odds.get("outer"),
        full=odds.get("full"),
        age=shape.age,
        ethnicity=shape.ethnicity,
    )
    items: tuple[Item, ...] = ()
    if version > 1:
        rng = np.random.default_rng(carrying)
        items = choose_items(rng, outfit, gender=shape.gender, accessories=accessories, colors=colors)
    identity = Identity(seed, version, number, shape, outfit, items, colors, cloth_seed, gait_seed)
    if version < 3:
        return identity
    if plan is not None and plan.look is not None:
        like = random_identity(*plan.look, body=body, colors=colors, clothes=clothes, accessories=accessories)
        identity = replace(like, seed=seed, version=version, number=number)
    rng, member = np.random.default_rng(differing), number % groups.SIZE
    variant = groups.vary(
        rng, member, identity.outfit, identity.items, gender=identity.body.gender, colors=colors, plan=plan
    )
    return replace(identity, outfit=variant.outfit, items=variant.items, variant=variant)
