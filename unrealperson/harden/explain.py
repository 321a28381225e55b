"""Why people are confused: what confused pairs share and in what they differ, against pairs drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unrealperson.config.synth import GROUP_REGIONS
from unrealperson.data.manifest import Manifest
from unrealperson.evaluate.factors import find_factors
from unrealperson.harden.confusions import Confusions
from unrealperson.schema import UNKNOWN

ATTRIBUTES = {
    "gender": ("gender",), "age": ("age_band",), "build": ("build",), "height": ("height",), "skin tone": ("skin",),
    "hair cut": ("hair",), "hair colour": ("hair_color",), "beard": ("beard",),
    "upper garment": ("top_category",), "upper colour": ("top_color",), "upper pattern": ("top_pattern",),
    "outer layer": ("outer_category",), "outer colour": ("outer_color",),
    "lower garment": ("bottom_category",), "lower colour": ("bottom_color",),
    "shoes": ("shoes_category",), "colour of shoes": ("shoes_color",),
    "bag": ("backpack",), "colour of bag": ("backpack_color",), "hat": ("headwear",), "glasses": ("glasses",),
    "in the hand": ("handheld",), "scarf": ("scarf",), "mask": ("mask",),
}  # fmt: skip
"""What two people may share, and the attributes that tell it."""
_REGIONS = {
    "bag": ("backpack", "backpack_color"),
    "shoes": ("shoes_category", "shoes_color"),
    "hair": ("hair",),
    "hat": ("headwear", "headwear_color"),
}
_PRINTS = ("logo", "print")
_RANDOM_PAIRS = 20_000
_GROUPED, _MATES = 1000, 20
_SHRINK = 5
"""Lifts of regions are moved towards 1 as if so many of the confused images were as pairs at random are."""


@dataclass(frozen=True)
class Contrast:
    """A property of pairs.

    Attributes:
        name: of an attribute that both share, or a region in which they differ.
        confused: share of the confused images and what they are taken for.
        chance: share of other pairs, of different people under different cameras.
    """

    name: str
    confused: float
    chance: float

    @property
    def lift(self) -> float:
        """How many times as often as by chance; 1 where chance gives none of it."""
        return self.confused / self.chance if self.chance else 1.0


class Looks:
    """What the people of a data set look like, compared pair by pair.

    Args:
        manifest: rows with attributes.

    Raises:
        ValueError: no row tells what its person looks like.
    """

    def __init__(self, manifest: Manifest) -> None:
        names = {name for keys in (*ATTRIBUTES.values(), *_REGIONS.values()) for name in keys}
        names |= {"outer_pattern", "differs", "group"}
        words = {name: manifest.attribute(name) for name in sorted(names)}
        if not (words["gender"] != "").any():
            raise ValueError(
                f"the manifest of {manifest.root} does not tell what its people look like, so their confusions cannot "
                "be explained; they need a data set of 'unrealperson synth'"
            )
        self._words = words
        self._front = np.where(words["outer_pattern"] != "", words["outer_pattern"], words["top_pattern"])
        self._named = {name: np.char.find(words["differs"], name) >= 0 for name in GROUP_REGIONS}
        seed, version = manifest.column("seed"), manifest.column("version")
        rows = zip(seed, version, words["group"], strict=True)
        self._group = np.array([f"{own}.{kind}.{group}" if group else "" for own, kind, group in rows])

    def alike(self, name: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether two people share an attribute.

        Args:
            name: key of `ATTRIBUTES`.
            first: [n] int64 rows.
            second: [n] int64 rows.

        Returns:
            [n] bool; false where it is not known.
        """
        same = np.ones(len(first), bool)
        for word in (self._words[key] for key in ATTRIBUTES[name]):
            same &= (word[first] == word[second]) & (word[first] != "")
        return same

    def differ(self, region: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether two people differ in a region of hard groups.

        Args:
            region: out of `GROUP_REGIONS`.
            first: [n] int64 rows.
            second: [n] int64 rows.

        Returns:
            [n] bool.
        """
        named = self._named[region][first] | self._named[region][second]
        if region == "logo":
            one, two = self._front[first], self._front[second]
            return named | ((one != two) & (np.isin(one, _PRINTS) | np.isin(two, _PRINTS)))
        found = named & self.one_group(first, second)
        for word in (self._words[key] for key in _REGIONS[region]):
            found |= word[first] != word[second]
        return found

    def one_group(self, first: np.ndarray | int, second: np.ndarray | int) -> np.ndarray:
        """Whether two people belong to one hard group.

        Args:
            first: [n] int64 rows, or one.
            second: [n] int64 rows, or one.

        Returns:
            [n] bool, or one.
        """
        return (self._group[first] != "") & (self._group[first] == self._group[second])

    def shared(self, first: int, second: int) -> list[str]:
        """The attributes that two people share, but for what neither wears.

        Args:
            first: row of the one.
            second: row of the other.
        """
        one, two = np.array([first]), np.array([second])
        worn = [name for name, keys in ATTRIBUTES.items() if self._words[keys[0]][first] != "none"]
        return [name for name in worn if self.alike(name, one, two)[0]]

    def regions(self, first: int, second: int) -> list[str]:
        """The regions of hard groups in which two people differ.

        Args:
            first: row of the one.
            second: row of the other.
        """
        return [name for name in GROUP_REGIONS if self.differ(name, np.array([first]), np.array([second]))[0]]


def explain_pairs(
    looks: Looks, manifest: Manifest, confusions: Confusions, rng: np.random.Generator
) -> tuple[list[Contrast], list[Contrast]]:
    """What confused people share, and in which regions they differ.

    A region in which confused people differ as often as others do (lift 1) is one that the network overlooks; where the
    lift is near 0 it looks there. The others are members of the same hard group where the confused are, who differ in
    little to begin with, and anybody where they are not.

    Args:
        looks: of the manifest.
        manifest: the images.
        confusions: of its images.
        rng: source of the random pairs.

    Returns:
        Attributes, the highest lift first, and regions in the order of `GROUP_REGIONS`, their shares shrunk to chance.
    """
    image, other = confusions.image, confusions.other
    first, second = _others(manifest, *(rng.choice(confusions.asked, _RANDOM_PAIRS) for _ in range(2)))
    mates = looks.one_group(image, other)
    share = float(mates.mean())
    among = _others(manifest, *_group_mates(looks, confusions.asked, rng))
    shared = [
        Contrast(name, float(looks.alike(name, image, other).mean()), float(looks.alike(name, first, second).mean()))
        for name in ATTRIBUTES
    ]
    regions = []
    for name in GROUP_REGIONS:
        chance = (1 - share) * float(looks.differ(name, first, second).mean())
        if share and len(among[0]):
            chance += share * float(looks.differ(name, *among).mean())
        confused = (looks.differ(name, image, other).sum() + _SHRINK * chance) / (len(image) + _SHRINK)
        regions.append(Contrast(name, float(confused), chance))
    return sorted((each for each in shared if each.chance), key=lambda each: -each.lift), regions


def _others(manifest: Manifest, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of different people under different cameras."""
    kept = (manifest.pid[first] != manifest.pid[second]) & (manifest.camid[first] != manifest.camid[second])
    return first[kept], second[kept]


def _group_mates(looks: Looks, asked: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of images of one hard group each, drawn at random."""
    grouped = asked[looks.one_group(asked, asked)]
    image = rng.permutation(grouped)[:_GROUPED]
    mates = [rng.choice(grouped[looks.one_group(row, grouped)], _MATES) for row in image.tolist()]
    return np.repeat(image, _MATES), np.concatenate([np.empty(0, np.int64), *mates])


def explain_images(manifest: Manifest, confusions: Confusions) -> list[dict[str, Any]]:
    """Under which circumstances images are confused: scene, light, view, occlusion, distance, person.

    Args:
        manifest: the images.
        confusions: of its images.

    Returns:
        One entry for each factor that is known and has at least two classes: factor, and groups of label, images,
        confused (share) and lift over all images.
    """
    asked = confusions.asked
    confused = np.isin(asked, confusions.image)
    scene = manifest.column("scene")[asked]
    classes = [("scene", [str(number) for number in np.unique(scene[scene != UNKNOWN])], scene)]
    table = [(name, labels, [of == int(label) for label in labels]) for name, labels, of in classes]
    for factor in find_factors(manifest, asked, asked):
        table.append((factor.name, list(factor.labels), [factor.of == number for number in range(len(factor.labels))]))
    result = []
    for name, labels, members in table:
        groups = [
            {"label": label, "images": int(own.sum()), "confused": float(confused[own].mean()),
             "lift": float(confused[own].mean() / confused.mean())}
            for label, own in zip(labels, members, strict=True) if own.any()
        ]  # fmt: skip
        if len(groups) > 1:
            result.append({"factor": name, "groups": groups})
    return result
