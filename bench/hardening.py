"""What added crops bring: hard groups mined from the network's own confusions against as many crops at random.

One network is trained on synthetic people. Then it is trained on, always for as many images, with

none      the same crops again;
random    as many crops more of new people, made as the first ones;
groups    as many crops more of hard groups that nobody chose (model version 3);
mined     as many crops more of the hard groups that 'unrealperson harden' plans from the first network's confusions.

Each is scored on the held-out people of the first set, all of them and those of hard groups alone. The additions are
rendered once, for the network of the first seed; seeds are those of training. Each finished line is appended to
OUT/results.jsonl, and the same command goes on:

    python bench/hardening.py --out hardening --images 1000 --seeds 0 1 2
    python bench/hardening.py --out hardening --config FILE    # [synth] and [train] of your own; needs test_people
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.config import Config, EvaluateConfig, HardenConfig, SynthConfig, TrainConfig, load_config
from unrealperson.data.manifest import Manifest
from unrealperson.data.subsets import merge
from unrealperson.evaluate import evaluate_manifest
from unrealperson.harden import SYNTH_FILE, harden
from unrealperson.log import configure_logging, get_logger
from unrealperson.synth.shards import synthesize
from unrealperson.train import train

logger = get_logger("hardening")

ARMS = ("none", "random", "groups", "mined")
PEOPLE = SynthConfig(
    seed=0, scenes=(1,), versions=(2, 3), people=30, test_people=10, people_per_batch=30, riders=0.0, cameras=6,
    instants=8, interval_s=5.0, lights=3, width=960, height=720,
)  # fmt: skip
NETWORK = TrainConfig(
    backbone="osnet_x0_25", height=128, width=64, pad=5, epochs=6, decay_epoch=4, optimizer="adam", learning_rate=1e-3,
    label_smoothing=0.1, triplet=1.0, cameras_per_batch=4, identities_per_camera=4, images_per_identity=2,
)  # fmt: skip
SETS = {"held out": (), "its hard groups": ("version=3",)}
_MARGIN = 1.3
"""More people are rendered than the images need on average, so that each arm has enough of them."""


class Bench:
    """Crops and runs below one folder, made when they are first needed."""

    def __init__(self, out: Path, config: Config, images: int, epochs: int, first_seed: int) -> None:
        self.out, self.config, self._images, self._epochs, self._first = out, config, images, epochs, first_seed
        self.people = synthesize(config, out / "people")

    def run(self, seed: int) -> Path:
        """The network that is trained on."""
        return train(self.people, self._config(self.config.train, seed), self.out / f"first_{seed}")

    def trained_on(self, arm: str, seed: int) -> Path:
        """The network of an arm."""
        start = self.run(seed)
        added = [] if arm == "none" else [self._added(arm)]
        seen = int((self.people.split != "test").sum()) + self._images
        settings = replace(
            self.config.train, from_run=str(start), epochs=self._epochs, decay_epoch=-(-2 * self._epochs // 3),
            epoch_images=seen,
        )  # fmt: skip
        return train(merge([self.people, *added]), self._config(settings, seed), self.out / f"{arm}_{seed}")

    def _added(self, arm: str) -> Manifest:
        """The arm's crops, as many as the others have."""
        wanted = round(_MARGIN * self._images)
        if arm == "mined":
            plan = self.out / "plan"
            if not (plan / SYNTH_FILE).is_file():
                settings = replace(self.config, harden=HardenConfig(images=wanted))
                harden(self.run(self._first), self.people, settings, plan)
            config = replace(load_config(plan / SYNTH_FILE), crop=self.config.crop)
        else:
            synth = self.config.synth
            versions = synth.versions if arm == "random" else (3,)
            each = len(self.people) / len(self.people.identities)
            people = 5 * max(1, round(wanted / each / len(versions) / 5))
            seed = synth.seed + (2000 if arm == "random" else 3000)
            config = replace(
                self.config, synth=replace(synth, seed=seed, versions=versions, people=people, test_people=0)
            )
        made = synthesize(config, self.out / arm)
        if len(made) < self._images:
            raise SystemExit(f"{self.out / arm} has {len(made)} crops, {self._images} are to be added; take fewer --images")
        return made.select(np.sort(np.random.default_rng(0).permutation(len(made))[: self._images]))

    def _config(self, settings: TrainConfig, seed: int) -> Config:
        return replace(self.config, train=replace(settings, seed=seed))


def scores(run: Path, people: Manifest) -> dict[str, dict[str, float]]:
    """Rank-1 and mAP on each set, as shares."""
    found = {}
    for name, where in SETS.items():
        metrics = evaluate_manifest(run, people, None, Config(evaluate=EvaluateConfig(bootstrap=0, where=where)))
        found[name] = {"rank1": metrics["cmc"]["1"], "map": metrics["map"], "queries": metrics["queries"]}
    return found


def table(lines: list[dict[str, Any]], images: int) -> str:
    """Mean over the seeds, and the gain of mAP over no addition for each 1,000 crops added, by seed."""
    names = list(SETS)
    rows = ["| added | seeds | " + " | ".join(f"{name}, R1/mAP | gain per 1,000" for name in names) + " |"]
    rows.append("|---" * (2 + 2 * len(names)) + "|")
    by = {(line["arm"], line["seed"]): line["scores"] for line in lines}
    for arm in ("first", *ARMS):
        seeds = [seed for each, seed in by if each == arm]
        if not seeds:
            continue
        row = [arm, str(len(seeds))]
        for name in names:
            rank1, precision = (
                100 * np.array([by[arm, seed][name][key] for seed in seeds]) for key in ("rank1", "map")
            )
            gains = [
                100 * (by[arm, seed][name]["map"] - by["none", seed][name]["map"]) * 1000 / images
                for seed in seeds if ("none", seed) in by and arm not in ("first", "none")
            ]  # fmt: skip
            text = f"{np.mean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f})" if gains else "-"
            row += [f"{rank1.mean():.1f} / {precision.mean():.1f}", text]
        rows.append("| " + " | ".join(row) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of data, runs and results.jsonl")
    parser.add_argument("--images", type=int, default=1000, help="crops to add")
    parser.add_argument("--epochs", type=int, default=4, help="of training on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="what is added")
    parser.add_argument("--config", type=Path, help="[synth], [crop] and [train] in place of the script's own")
    given = parser.parse_args()
    configure_logging()
    config = load_config(given.config) if given.config else Config(synth=PEOPLE, train=NETWORK)
    if not config.synth.test_people:
        parser.error("synth.test_people must be above 0: they are what is scored")
    bench = Bench(given.out, config, given.images, given.epochs, given.seeds[0])
    path = given.out / "results.jsonl"
    lines = [json.loads(text) for text in path.read_text("utf-8").splitlines()] if path.is_file() else []
    for seed in given.seeds:
        for arm in ("first", *given.arms):
            key = {"arm": arm, "seed": seed, "images": given.images, "epochs": given.epochs}
            if any(key.items() <= line.items() for line in lines):
                continue
            cpu_s = time.process_time()
            run = bench.run(seed) if arm == "first" else bench.trained_on(arm, seed)
            line = key | {"scores": scores(run, bench.people), "cpu_s": round(time.process_time() - cpu_s, 1)}
            lines.append(line)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            logger.info("%s", json.dumps(line))
    done = [line for line in lines if (line["images"], line["epochs"]) == (given.images, given.epochs)]
    sys.stdout.write(table(done, given.images) + "\n")


if __name__ == "__main__":
    main()
