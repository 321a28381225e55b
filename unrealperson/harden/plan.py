"""What is rendered next: hard groups around the people who are confused, in the scenes where it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from unrealperson.config import Config, HardenConfig, parse_config
from unrealperson.config.synth import GROUP_REGIONS
from unrealperson.data.manifest import Manifest
from unrealperson.data.recipe import read_recipe
from unrealperson.data.subsets import PEOPLE_KEYS
from unrealperson.harden.confusions import Pair
from unrealperson.harden.explain import Contrast, Looks
from unrealperson.synth.people.groups import SIZE
from unrealperson.synth.scenes.light import Hours

_SEED_STEP = 1000
_LEAST_SHARE = 0.05
"""A scene or part of the day with less of the crops is not judged."""


def plan_world(
    manifest: Manifest,
    looks: Looks,
    pairs: Sequence[Pair],
    regions: Sequence[Contrast],
    factors: Sequence[dict[str, Any]],
    config: HardenConfig,
) -> Config:
    """The configuration whose crops are to be added.

    Each confused pair gives a hard group, the most confused first. Its five look like one of the two, and differ in one
    or two of the regions in which the two differ; the more a region is overlooked, the more often it is drawn. Two of
    one hard group, people of version 3 and held-out people give regions alone: their groups look like somebody new.

    Args:
        manifest: the data set, all rows.
        looks: of the crops asked.
        pairs: of people who are confused, the examples among the crops asked.
        regions: in which confused people differ.
        factors: as `explain_images` gives them.
        config: section [harden].

    Raises:
        ValueError: the data set does not say how it was made.
    """
    made = _recipes(manifest)
    base = _base(manifest, made)
    synth = base.synth
    scenes = tuple(number for number in synth.scenes if str(number) in _hard(factors, "scene", least=1.0))
    hours: list[Any] = [part for part in _hard(factors, "light", least=0.0) if part in get_args(Hours)]
    synth = replace(
        synth,
        seed=config.seed or int(manifest.column("seed").max()) + _SEED_STEP,
        scenes=scenes or synth.scenes,
        hours=hours[0] if hours else synth.hours,
        versions=(3,), groups=(), test_people=0, keep_frames=False, workers=0,
    )  # fmt: skip
    seen = manifest.select(np.isin(manifest.column("scene"), synth.scenes))
    count = max(1, round(config.images / max(len(seen) / max(len(seen.identities), 1), 1) / SIZE))
    people = _people(manifest, made, base) if config.split == "train" else {}
    groups = _groups(looks, pairs, regions, people, count, np.random.default_rng([synth.seed, 109]))
    return replace(base, synth=replace(synth, people=SIZE * count, groups=tuple(groups)))


def _groups(
    looks: Looks,
    pairs: Sequence[Pair],
    regions: Sequence[Contrast],
    people: dict[int, str],
    count: int,
    rng: np.random.Generator,
) -> list[str]:
    """Entries of `synth.groups`."""
    lift = {each.name: max(each.lift, 1e-6) for each in regions}
    texts: list[str] = []
    taken: set[str] = set()
    for pair in pairs:
        drawn = _draw(looks.regions(*pair.example) or list(GROUP_REGIONS), lift, rng)
        names = [people[pid] for pid in pair.pid if pid in people and people[pid] not in taken]
        if looks.one_group(*pair.example) or not names:
            texts.append(drawn)
        else:
            taken.add(names[0])
            texts.append(f"{names[0]}: {drawn}")
        if len(texts) == count:
            return texts
    return texts + [_draw(list(GROUP_REGIONS), lift, rng) for _ in range(count - len(texts))]


def _draw(names: list[str], lift: dict[str, float], rng: np.random.Generator) -> str:
    odds = np.array([lift[name] for name in names])
    count = min(1 + int(rng.random() < 0.5), len(names))
    return ", ".join(sorted(rng.choice(names, count, replace=False, p=odds / odds.sum()).tolist()))


def _hard(factors: Sequence[dict[str, Any]], name: str, *, least: float) -> list[str]:
    """Classes of a factor whose images are confused at least so often, the hardest first."""
    groups: list[dict[str, Any]] = next((factor["groups"] for factor in factors if factor["factor"] == name), [])
    images = sum(group["images"] for group in groups)
    chosen = [group for group in groups if group["lift"] >= least and group["images"] >= _LEAST_SHARE * images]
    return [group["label"] for group in sorted(chosen, key=lambda group: -group["lift"])]


def _recipes(manifest: Manifest) -> dict[str, Config]:
    """How the crops were made, by the text of their recipe."""
    where = f"a recipe of {manifest.root}"
    texts = [text for text in dict.fromkeys(manifest.column("recipe").tolist()) if text is not None]
    if not texts:
        raise ValueError(
            f"the manifest of {manifest.root} does not say how its crops were made, so nothing can be made like them; "
            "give a data set of 'unrealperson synth', or one merged of such"
        )
    return {text: parse_config(read_recipe(text, where), where) for text in texts}


def _base(manifest: Manifest, made: dict[str, Config]) -> Config:
    """How the most crops were made, in all scenes that there are."""
    common = Counter(manifest.column("recipe").tolist())
    base = max(made.items(), key=lambda item: common[item[0]])[1]
    place = base.synth.place
    if base.synth.endpoint:
        raise ValueError(
            f"{manifest.root} was captured in an engine of the user's own; hard groups are made here alone"
        )
    if base.synth.place_is_code:
        raise ValueError(f"{manifest.root} says that the code {place!r} made it; a data set may not choose code to run")
    scenes = {number for each in made.values() for number in each.synth.scenes}
    return base if place else replace(base, synth=replace(base.synth, scenes=tuple(sorted(scenes))))


def _people(manifest: Manifest, made: dict[str, Config], base: Config) -> dict[int, str]:
    """Whom a group can look like: people of version 1 or 2 from the base's wardrobe, not held out, not used before."""
    wardrobe = [name for name in PEOPLE_KEYS if name not in ("seed", "groups")]
    fitting = {
        text
        for text, each in made.items()
        if all(getattr(each.synth, name) == getattr(base.synth, name) for name in wardrobe)
    }
    used = {text.partition(":")[0] for each in made.values() for text in each.synth.groups if ":" in text}
    fits = np.array([text in fitting for text in manifest.column("recipe").tolist()], bool)
    version, seed, person = (manifest.column(name) for name in ("version", "seed", "person"))
    rows = np.flatnonzero(fits & np.isin(version, (1, 2)) & (manifest.split != "test"))
    rows = rows[np.unique(manifest.pid[rows], return_index=True)[1]]
    names = {int(manifest.pid[row]): f"{seed[row]}.{version[row]}.{person[row]}" for row in rows.tolist()}
    return {pid: name for pid, name in names.items() if name not in used}
