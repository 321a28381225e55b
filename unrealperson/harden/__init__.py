"""The closed loop: a trained network's confusions are mined, explained, and rendered as new hard groups.

Train, ask whom the network takes for whom and why, render groups of people who look like those and differ in exactly
the regions that it overlooks, train on; again.

Source: paper section 5 (hard example mining on unlimited data, left open there).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.checkpoint import CONFIG_FILE
from unrealperson.config import Config, load_config, save_config
from unrealperson.data.manifest import FILE_NAME, Manifest
from unrealperson.data.subsets import draw, merge, write_set
from unrealperson.evaluate import extract_run
from unrealperson.files import only_process, write_json
from unrealperson.harden.confusions import Pair, count_pairs, find_confusions
from unrealperson.harden.explain import Looks, explain_images, explain_pairs
from unrealperson.harden.plan import plan_world
from unrealperson.log import get_logger
from unrealperson.synth.shards import synthesize
from unrealperson.train import train

logger = get_logger(__name__)

SYNTH_FILE, SUMMARY_FILE = "synth.toml", "hardening.json"
SHOWN_PAIRS = 12


def harden(run: str | Path, manifest: Manifest, config: Config, out: str | Path) -> dict[str, Any]:
    """Mines a network's confusions and writes the configuration of the hard groups to add.

    Args:
        run: folder of the trained run.
        manifest: synthetic crops, such as those that it was trained on.
        config: sections [harden] and [evaluate].
        out: folder for synth.toml and hardening.json.

    Returns:
        What hardening.json holds: counts, pairs, attributes, regions, factors and the new configuration in short.

    Raises:
        ValueError: crops that do not say who they show or how they were made, or nobody who could be confused.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    settings = config.harden
    split = manifest.split
    chosen = manifest.select(split == settings.split) if (split != "").any() else manifest
    if not len(chosen):
        raise ValueError(f"{manifest.root} has no crops of split {settings.split}; choose another harden.split")
    asked = draw(chosen, per_identity=settings.per_identity, seed=0)
    looks = Looks(asked)
    features = extract_run(run, asked, config)
    confusions = find_confusions(features, hardest=settings.hardest)
    pairs = count_pairs(features, confusions)
    attributes, regions = explain_pairs(looks, asked, confusions, np.random.default_rng(107))
    factors = explain_images(asked, confusions)
    world = plan_world(manifest, looks, pairs, regions, factors, settings)
    save_config(world, out / SYNTH_FILE)
    summary = {
        "run": str(Path(run).absolute()), "data": str(manifest.root.absolute()), "split": settings.split,
        "asked": len(confusions.asked), "confused": len(confusions.image), "missed": int(confusions.missed.sum()),
        "pairs": [_described(pair, looks, asked) for pair in pairs[:SHOWN_PAIRS]], "all_pairs": len(pairs),
        "attributes": [asdict(each) | {"lift": each.lift} for each in attributes],
        "regions": [asdict(each) | {"lift": each.lift} for each in regions],
        "factors": factors,
        "world": {name: getattr(world.synth, name) for name in ("seed", "people", "scenes", "hours", "groups")},
    }  # fmt: skip
    write_json(out / SUMMARY_FILE, summary)
    return summary


def run_rounds(run: str | Path, manifest: Manifest, config: Config, out: str | Path) -> Path:
    """Mines, renders, merges and trains on, `harden.rounds` times; goes on where it was stopped.

    Each round leaves OUT/round_N: synth.toml and hardening.json, the new crops in added, all crops so far in data, and
    the network that was trained on with them in run. Held-out people of the data stay held out.

    Args:
        run: folder of the run to start from.
        manifest: the crops that it was trained on.
        config: sections [harden] and [evaluate].
        out: folder of the rounds.

    Returns:
        Folder of the last run.

    Raises:
        ValueError: as `harden`, or OUT was begun with another run or other data.
        RuntimeError: synthesis or training failed.
    """
    out, run = Path(out), Path(run)
    tuned = replace(
        load_config(run / CONFIG_FILE).train,
        epochs=config.harden.epochs, decay_epoch=-(-2 * config.harden.epochs // 3), second_decay_epoch=0,
        warmup_epochs=0,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    with only_process(out):
        for number in range(1, config.harden.rounds + 1):
            folder = out / f"round_{number}"
            logger.info("round %d of %d", number, config.harden.rounds)
            if not (folder / SUMMARY_FILE).is_file():
                harden(run, manifest, config, folder)
            added = synthesize(load_config(folder / SYNTH_FILE), folder / "added")
            if not (folder / "data" / FILE_NAME).is_file():
                write_set(merge([manifest, added]), folder / "data")
            manifest = Manifest.read(folder / "data")
            run = train(manifest, replace(config, train=replace(tuned, from_run=str(run))), folder / "run")
    return run


def format_summary(summary: dict[str, Any]) -> str:
    """What was found, in lines.

    Args:
        summary: as `harden` returns it.
    """
    asked, confused, missed = (summary[name] for name in ("asked", "confused", "missed"))
    lines = [
        f"{asked} crops asked: {missed} are nearer to somebody else than to their own; "
        f"the {confused} nearest to it count as confused, {summary['all_pairs']} pairs of people",
        "",
        f"{'region':<14} {'differs in confused pairs':>26} {'in others':>13} {'lift':>6}",
    ]
    for each in summary["regions"]:
        lines.append(f"{each['name']:<14} {each['confused']:>25.0%}  {each['chance']:>12.0%} {each['lift']:>7.2f}")
    lines += ["", f"{'attribute':<14} {'shared by confused pairs':>26} {'by any pairs':>13} {'lift':>6}"]
    for each in summary["attributes"][:8]:
        lines.append(f"{each['name']:<14} {each['confused']:>25.0%}  {each['chance']:>12.0%} {each['lift']:>7.2f}")
    lines += ["", f"{'circumstance':<30} {'crops':>8} {'confused':>9} {'lift':>6}"]
    for factor in summary["factors"]:
        for group in factor["groups"]:
            name = f"{factor['factor']}: {group['label']}"
            lines.append(f"{name:<30} {group['images']:>8} {group['confused']:>9.1%} {group['lift']:>6.2f}")
    world = summary["world"]
    alike = sum(": " in text for text in world["groups"])
    lines += [
        "",
        f"{world['people']} people in {len(world['groups'])} hard groups, {alike} of them look like people who are "
        f"confused; scenes {', '.join(map(str, world['scenes']))}, {world['hours']}, seed {world['seed']}",
    ]
    return "\n".join(lines)


def _described(pair: Pair, looks: Looks, manifest: Manifest) -> dict[str, Any]:
    """A pair of people for the report."""
    return {
        "people": [f"Y{manifest.column('version')[row]} P{manifest.column('person')[row]}" for row in pair.example],
        "paths": [manifest.path[row] for row in pair.example],
        "images": pair.images, "missed": pair.missed, "one_group": bool(looks.one_group(*pair.example)),
        "share": looks.shared(*pair.example), "differ": looks.regions(*pair.example),
    }  # fmt: skip
