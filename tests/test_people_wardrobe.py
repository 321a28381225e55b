from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from unrealperson.synth.people.outfits import describe, random_outfit
from unrealperson.synth.people.wardrobe import by_name, catalogue

CATEGORIES = """t-shirt, tank top, shirt, polo, blouse, sweater, cardigan, hoodie, sweatshirt, jacket, blazer, coat,
parka, puffer, vest, dress, skirt, trousers, jeans, shorts, leggings, suit, overalls, jumpsuit, tracksuit, sneakers,
ankle boots, boots, sandals, heels"""


def test_at_least_248_distinct_types_in_25_categories():
    """Distinct is another name with another category and cut."""
    types = catalogue()
    assert len({garment.name for garment in types}) == len(types)
    assert len({(garment.category, garment.cut) for garment in types}) >= 248
    assert len({garment.category for garment in types}) >= 25
    assert {" ".join(name.split()) for name in CATEGORIES.split(",")} <= {garment.category for garment in types}


def test_every_type_is_complete():
    for garment in catalogue():
        assert garment.cloth and garment.women >= 0 and garment.men >= 0, garment.name
        assert garment.women + garment.men > 0, garment.name
        assert (garment.shoe is not None) == (garment.slot == "shoes"), garment.name
        assert (garment.upper is not None) == (garment.slot in ("top", "outer", "dress")), garment.name
        assert (garment.lower is not None) or garment.slot in ("top", "outer", "shoes"), garment.name
        if garment.lower is not None:
            assert -0.8 < garment.lower.leg_z < garment.lower.waist_z < 0.25, garment.name


@pytest.mark.parametrize("gender", ["female", "male"])
def test_outfits_are_complete_and_varied(gender: str):
    looks = [random_outfit(np.random.default_rng(seed), gender=gender) for seed in range(300)]
    assert all(look.lower.leg_z < 0 for look in looks)
    worn = Counter(name for look in looks for name in describe(look).values())
    assert len([name for name in worn if name in by_name()]) > 110
    outer = np.mean([look.outer is not None for look in looks])
    assert 0.2 < outer < 0.6
    skirts = np.mean([look.lower.skirt for look in looks])
    assert (skirts == 0) if gender == "male" else (0.1 < skirts < 0.5)
    assert describe(looks[0]).keys() >= {"top", "top_category", "outer", "bottom", "shoes_category"}


def test_the_same_seed_draws_the_same_outfit():
    first, again, other = (random_outfit(np.random.default_rng(seed), gender="female") for seed in (4, 4, 5))
    assert first == again != other
