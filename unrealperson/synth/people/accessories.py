"""Accessories: which are worn and held together, how often, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unrealperson.synth.people.charts import REGIONS, grid
from unrealperson.synth.people.cloth import Cloth, Colors, choose_cloth, weave
from unrealperson.synth.people.cuts import Garment
from unrealperson.synth.people.haircuts import HAIRCUTS
from unrealperson.synth.people.outfits import Outfit

SLOTS = {
    "backpack": {"backpack": 0.62, "shoulder bag": 0.19, "crossbody": 0.19},
    "headwear": {"cap": 0.36, "beanie": 0.2, "brimmed hat": 0.1, "hood": 0.1, "headphones": 0.16, "earphones": 0.08},
    "glasses": {"glasses": 0.68, "sunglasses": 0.32},
    "handheld": {
        "phone": 0.26,
        "handbag": 0.23,
        "tote": 0.19,
        "suitcase": 0.11,
        "closed umbrella": 0.07,
        "umbrella": 0.09,
        "trolley": 0.05,
    },
    "scarf": {"scarf": 1.0},
    "mask": {"mask": 1.0},
}
"""Kinds of accessories by the slots of the original, each with its share of the slot."""
KINDS = tuple(kind for kinds in SLOTS.values() for kind in kinds)
"""All kinds."""
PRESETS = {
    "published": {
        "backpack": 0.3, "headwear": 0.3, "glasses": 0.2, "handheld": 0.3, "scarf": 0.05, "mask": 0.05, "outer": 0.2,
    },
    "older": {
        "backpack": 0.05, "headwear": 0.1, "glasses": 0.2, "handheld": 0.2, "scarf": 0.05, "mask": 0.05, "outer": 0.1,
        "full": 0.3,
    },
    "none": dict.fromkeys(SLOTS, 0.0),
}  # fmt: skip
"""Probability of each slot, of a layer over the top and of one garment for trunk and legs: the original's code, the
numbers of its comment, and nothing. The code's own share of whole garments, 0, comes from a condition that never
holds; here the wardrobe decides."""
_LAYERS = ("outer", "full")
GEAR = ("black", "metal", "white", "frame", "lens", "mask")
"""Cells of the atlas's tile for what has one colour, from top to bottom."""
_MOST = 4
_HATS = {"cap": 0.785, "beanie": 0.745, "brimmed hat": 0.785, "hood": 0.62}
_HELD = {
    "handbag": "carry", "tote": "carry", "suitcase": "carry", "closed umbrella": "carry", "umbrella": "hold",
    "phone": "phone", "shoulder bag": "shoulder", "trolley": "push",
}  # fmt: skip
_CLOTHS = {
    "backpack": ("tech", "canvas", "canvas", "leather"), "shoulder bag": ("leather", "leather", "canvas"),
    "crossbody": ("leather", "tech"), "cap": ("twill", "canvas"), "beanie": ("knit", "knit", "cable"),
    "brimmed hat": ("wool", "canvas"), "scarf": ("knit", "wool", "plaid"),
    "handbag": ("leather",), "tote": ("canvas", "canvas", "print", "logo"), "suitcase": ("tech",),
    "umbrella": ("tech", "tech", "stripe"), "closed umbrella": ("tech",), "trolley": ("canvas", "print", "tech"),
}  # fmt: skip
_TILES = {"backpack": "back bag", "headwear": "hat", "handheld": "hand bag", "scarf": "scarf"}


@dataclass(frozen=True)
class Item:
    """One accessory.

    Attributes:
        kind: out of `KINDS`.
        seed: of its measures and its cloth.
        hand: "l" or "r", the side on which it is carried.
        cloth: what it is made of; None for what has one colour.
        tint: [3] sRGB of frames and masks.
    """

    kind: str
    seed: int
    hand: str = "r"
    cloth: Cloth | None = None
    tint: tuple[float, float, float] = (0.05, 0.05, 0.05)

    @property
    def slot(self) -> str:
        """The slot it takes."""
        return next(slot for slot, kinds in SLOTS.items() if self.kind in kinds)

    @property
    def side(self) -> float:
        """1 on the left, -1 on the right."""
        return 1.0 if self.hand == "l" else -1.0


def odds_of(accessories: str) -> dict[str, float]:
    """Probability of each slot or kind.

    Args:
        accessories: name of a preset, or "name=probability" pairs with commas between them, as in
            "backpack=0.5, cap=0.2"; names are slots, kinds, "outer" and "full".

    Returns:
        Probability by name.

    Raises:
        ValueError: an unknown name, or no probability.
    """
    if accessories in PRESETS:
        return PRESETS[accessories]
    odds: dict[str, float] = {}
    for part in accessories.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            share = float(value)
        except ValueError:
            share = -1.0
        if name not in (*SLOTS, *KINDS, *_LAYERS) or not 0 <= share <= 1:
            raise ValueError(
                f"accessories must be one of {', '.join(PRESETS)}, or pairs such as 'backpack=0.5, cap=0.2' with names "
                f"out of {', '.join(dict.fromkeys((*SLOTS, *KINDS, *_LAYERS)))} and probabilities in 0 ... 1, "
                f"got {part.strip()!r}"
            )
        odds[name] = share
    return odds


def choose_items(
    rng: np.random.Generator, outfit: Outfit, *, gender: str, accessories: str, colors: Colors
) -> tuple[Item, ...]:
    """Draws what somebody wears and holds: at most four things, one a slot.

    Args:
        rng: source of randomness.
        outfit: what they wear.
        gender: handbags are carried by women.
        accessories: as for `odds_of`.
        colors: how colours are drawn.

    Source: MakeHuman plug-in of the paper's tool chain: the slots in this order, at most four.
    """
    odds = odds_of(accessories)
    items: list[Item] = []
    for slot, kinds in SLOTS.items():
        given = {kind: odds[kind] for kind in kinds if kind in odds and kind != slot}
        kind = None
        if rng.random() < odds.get(slot, 0.0):
            weight = np.array([share * _suits(kind, outfit, gender) for kind, share in kinds.items()])
            kind = str(rng.choice(list(kinds), p=weight / weight.sum())) if weight.sum() > 0 else None
        for name, share in given.items():
            kind = name if rng.random() < share else kind
        if kind is not None and len(items) < _MOST and _goes_with(kind, items):
            items.append(_in_free_hand(make_item(rng, kind, outfit, colors=colors), items))
    return tuple(items)


def _goes_with(kind: str, items: list[Item]) -> bool:
    """Whether it can be worn with the others; the phone is held in the right hand, a trolley in both."""
    if kind == "scarf":
        return all(item.kind != "hood" for item in items)
    if kind == "trolley":
        return all(item.kind != "shoulder bag" for item in items)
    return kind != "phone" or all((item.kind, item.hand) != ("shoulder bag", "r") for item in items)


def _in_free_hand(item: Item, items: list[Item]) -> Item:
    """The hand at a shoulder bag's strap holds nothing else."""
    strap = next((other.hand for other in items if other.kind == "shoulder bag"), None)
    if strap is None or item.kind not in _HELD:
        return item
    return replace(item, hand="l" if strap == "r" else "r")


def _suits(kind: str, outfit: Outfit, gender: str) -> float:
    long = HAIRCUTS[outfit.hair].end_z[0] > 0 or HAIRCUTS[outfit.hair].gather in ("tail", "braid", "bun", "top bun")
    if kind == "hood":
        outer = outfit.outer or outfit.top
        return float(outer.upper is not None and outer.upper.collar == "hood" and not long) * 4
    if kind in ("cap", "beanie", "brimmed hat", "headphones") and outfit.hair in ("afro", "top bun"):
        return 0.0
    if kind in ("handbag", "shoulder bag"):
        return 1.6 if gender == "female" else 0.15
    return 1.0


def make_item(rng: np.random.Generator, kind: str, outfit: Outfit, *, colors: Colors) -> Item:
    """Draws one accessory's size and cloth.

    Args:
        rng: source of randomness.
        kind: out of `KINDS`.
        outfit: a hood is made of the cloth of what it belongs to.
        colors: how colours are drawn.
    """
    hand = "r" if kind == "phone" or rng.random() < 0.65 else "l"
    cloth = None
    if kind in _CLOTHS:
        sold = replace(outfit.shoes, slot="outer", cloth=_CLOTHS[kind])
        cloth = choose_cloth(rng, sold, colors)
    if kind == "mask":
        tint = ((0.62, 0.74, 0.8), (0.82, 0.82, 0.82), (0.07, 0.07, 0.08))[int(rng.choice(3, p=[0.5, 0.2, 0.3]))]
    else:
        tints = ((0.04, 0.04, 0.045), (0.16, 0.1, 0.07), (0.42, 0.4, 0.38), (0.72, 0.72, 0.72), (0.35, 0.1, 0.12))
        tint = tints[int(rng.choice(5, p=[0.5, 0.2, 0.15, 0.1, 0.05]))]
    return Item(kind, int(rng.integers(1 << 31)), hand, cloth, tint)


def activity_of(items: tuple[Item, ...]) -> str:
    """What the arms do with all that is held.

    Args:
        items: what is worn and held.

    Returns:
        Names out of `arms.ACTIVITIES`, joined by "+".
    """
    names = []
    for item in items:
        kind = _HELD.get(item.kind)
        if kind is not None:
            side = {"l": "left", "r": "right"}[item.hand]
            names.append(kind if kind in ("phone", "push") else f"{kind}_{side}")
    return "+".join(names) or "none"


def hat_height(items: tuple[Item, ...]) -> float | None:
    """Height on the neutral base mesh above which a hat presses the hair; None without a hat.

    Args:
        items: what is worn.
    """
    return next((_HATS[item.kind] for item in items if item.kind in _HATS), None)


def raise_hood(outfit: Outfit, items: tuple[Item, ...]) -> Outfit:
    """Takes a hood that is up away from the back of the neck.

    Args:
        outfit: what is worn.
        items: with or without a hood.
    """
    if all(item.kind != "hood" for item in items):
        return outfit

    def without(garment: Garment | None) -> Garment | None:
        if garment is None or garment.upper is None or garment.upper.collar != "hood":
            return garment
        return replace(garment, upper=replace(garment.upper, collar="stand"))

    return replace(outfit, top=without(outfit.top) or outfit.top, outer=without(outfit.outer))


def describe_items(items: tuple[Item, ...]) -> dict[str, str]:
    """Names each slot's accessory and its colour.

    Args:
        items: what is worn and held.
    """
    words = {"accessories": ", ".join(item.kind for item in items) or "none"}
    for slot in SLOTS:
        found = next((item for item in items if item.slot == slot), None)
        words[slot] = found.kind if found else "none"
        if slot in _TILES:
            words[f"{slot}_color"] = found.cloth.color if found is not None and found.cloth is not None else "none"
    return words


def paint_items(texture: np.ndarray, items: tuple[Item, ...], outfit: Outfit) -> None:
    """Paints the tiles of what is worn and held, in place.

    Args:
        texture: [S, S, 3] uint8 atlas, otherwise finished.
        items: what is worn and held.
        outfit: a hood has the cloth of the garment to which it belongs.
    """
    side_px = len(texture)
    cells = np.array([(0.05, 0.05, 0.055), (0.45, 0.46, 0.48), (0.82, 0.82, 0.82), *[(0.05, 0.05, 0.05)] * 3])
    cells[4] = 0.045, 0.045, 0.06
    for item in items:
        if item.kind in ("glasses", "sunglasses", "headphones"):
            cells[3] = item.tint
        if item.kind == "mask":
            cells[5] = item.tint
        if item.slot in _TILES and item.cloth is not None:
            _put(texture, _TILES[item.slot], _tile(item, item.cloth, side_px))
        if item.kind == "hood":
            _copy_cloth(texture, outfit)
    _, v = grid("gear", side_px)
    _put(texture, "gear", cells[np.clip((v * len(cells)).astype(int), 0, len(cells) - 1)])


def _copy_cloth(texture: np.ndarray, outfit: Outfit) -> None:
    """Fills the tile of hats with the sleeve, or else the chest, of what has a hood."""
    layer, garment = ("outer", outfit.outer) if outfit.outer is not None else ("top", outfit.top)
    upper = garment.upper
    source = f"{layer} sleeve" if upper is not None and upper.sleeve > 0.8 else layer
    side_px, box, tile = len(texture), REGIONS[source], REGIONS["hat"]
    high, wide = round(tile.height * side_px), round(tile.width * side_px)
    top, left = round((box.top + 0.2 * box.height) * side_px), round(box.left * side_px)
    to_top, to_left = round(tile.top * side_px), round(tile.left * side_px)
    texture[to_top : to_top + high, to_left : to_left + wide] = texture[top : top + high, left : left + wide]


def _put(texture: np.ndarray, region: str, image: np.ndarray) -> None:
    box, side_px = REGIONS[region], len(texture)
    top, left = round(box.top * side_px), round(box.left * side_px)
    texture[top : top + image.shape[0], left : left + image.shape[1]] = np.clip(image, 0, 1) * 255 + 0.5


def _tile(item: Item, cloth: Cloth, side_px: int) -> np.ndarray:
    """One thing's cloth: its front in the right 9/10 of the tile, the straps' beside it."""
    region = _TILES[item.slot]
    u, v = grid(region, side_px)
    rng = np.random.default_rng([item.seed, 1])
    wide, high = {"back bag": (0.36, 0.46), "hand bag": (0.34, 0.36), "hat": (0.5, 0.2), "scarf": (0.14, 0.5)}[region]
    x, z = (u - 0.54) * wide, 0.4 - (v - 0.5) * high
    image = np.array(weave(cloth, x, z, "front" if item.kind == "tote" else "legs"), np.float64)
    accent = cloth.second if rng.random() < 0.3 else cloth.first * 0.6
    across, along = np.abs(u - 0.54) / 0.44, v
    dark = 1 - 0.25 * np.clip((np.maximum(across, np.abs(2 * along - 1)) - 0.82) / 0.18, 0, 1)
    if item.kind == "backpack":
        zip_line = np.abs(np.hypot(across, (along - 0.55) / 0.42) - 0.92) < 0.02
        dark = dark * (1 - 0.5 * (zip_line & (along < 0.55)))
        dark = dark * (1 - 0.45 * (np.abs(along - rng.uniform(0.44, 0.5)) < 0.012) * (across < 0.8))
        image = np.where(((along > 0.62) & (rng.random() < 0.4))[..., None], accent, image)
        image = np.where(((across < 0.16) & (np.abs(along - 0.3) < 0.035))[..., None], cloth.second, image)
    elif item.kind in ("shoulder bag", "crossbody", "handbag"):
        dark = dark * (1 - 0.4 * (np.abs(along - 0.52 + 0.12 * across**2) < 0.015))
        image = np.where(((across < 0.06) & (np.abs(along - 0.5) < 0.05))[..., None], [0.62, 0.55, 0.38], image)
    elif item.kind == "suitcase":
        dark = dark * (1 - 0.22 * (np.abs((across * 4) % 1 - 0.5) < 0.12))
    elif item.kind == "cap":
        image = np.where((along > 0.82)[..., None] & (rng.random() < 0.25), accent, image)
        image = np.where(((u > 0.93) & (np.abs(along - 0.55) < 0.1))[..., None], cloth.second, image)
    elif item.kind == "beanie":
        dark = 0.9 + 0.16 * np.cos(2 * np.pi * u * 22)
    elif item.kind == "brimmed hat":
        image = np.where((np.abs(along - 0.47) < 0.06)[..., None], accent, image)
        dark = dark * (1 - 0.15 * (along > 0.6))
    elif item.kind == "scarf":
        dark = 0.85 + 0.2 * np.cos(2 * np.pi * v * 9 + 2 * u)
    elif item.kind in ("umbrella", "closed umbrella"):
        dark = 1 - 0.15 * (np.abs((u * 4) % 1 - 0.5) > 0.44)
    strap = (u < 0.075) & (region in ("back bag", "hand bag"))
    image = np.where(strap[..., None], cloth.first * 0.75, image)
    return image * dark[..., None]
