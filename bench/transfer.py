"""Two experiments of the paper in small, in our own world, each cell a few minutes on two cores.

norms     Tables 3 and 4: trained on synthetic people in two scenes, scored on other people under the unseen cameras
          of a third scene; camera-based batch norm against plain batch norm, all else alike.
finetune  Table 5: one half of a real set by identity is trained on, the other half is scored; from a run on the same
          synthetic people against from ImageNet weights, all else alike.

Each cell is appended to OUT/results.jsonl when it is finished, and the same command goes on with the next one:

    python bench/transfer.py norms --out transfer
    python bench/transfer.py finetune --out transfer --real FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.config import Config, EvaluateConfig, SynthConfig, TrainConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.data.subsets import split_identities
from unrealperson.evaluate import evaluate_manifest
from unrealperson.log import configure_logging, get_logger
from unrealperson.synth.shards import synthesize
from unrealperson.train import train

logger = get_logger("transfer")

TRAINING = SynthConfig(
    seed=0, scenes=(1, 2), people=60, test_people=0, people_per_batch=20, cameras=0, instants=6, interval_s=5.0,
    lights=3, width=960, height=720,
)  # fmt: skip
HELD_OUT = SynthConfig(
    seed=1, scenes=(3,), people=40, test_people=40, people_per_batch=20, cameras=6, instants=12, interval_s=5.0,
    lights=3, width=960, height=720,
)  # fmt: skip
NETWORK = TrainConfig(
    height=160, width=80, pad=6, epochs=5, decay_epoch=4, cameras_per_batch=4, identities_per_camera=4,
    images_per_identity=2,
)  # fmt: skip
TUNING = replace(NETWORK, epochs=18, decay_epoch=12)
"""The paper's 60 epochs with decay at 40, in proportion."""
TINY = {
    "scenes": (1,),
    "width": 640,
    "height": 480,
    "people": 10,
    "people_per_batch": 10,
    "cameras": 3,
    "instants": 8,
    "lights": 1,
}


@dataclass(frozen=True)
class Cell:
    """One run of an experiment: its name, its seed, and what gives its scores."""

    name: str
    seed: int
    score: Callable[[], dict[str, Any]]


class Bench:
    """Data and runs below one folder, made when they are first needed."""

    def __init__(self, out: Path, *, tiny: bool) -> None:
        self.out = out
        self._tiny = tiny

    def synthetic(self, part: str) -> Manifest:
        """The synthetic people of one part, "training" or "held_out"."""
        synth = TRAINING if part == "training" else HELD_OUT
        if self._tiny:
            synth = replace(synth, **TINY, test_people=10 * (part == "held_out"))
        return synthesize(Config(synth=synth), self.out / part)

    def run(self, name: str, manifest: Manifest, config: TrainConfig) -> Path:
        """A trained run."""
        if self._tiny:
            config = replace(config, height=64, width=32, epochs=2, decay_epoch=1)
        return train(manifest, Config(train=config), self.out / name)

    def synthetic_run(self, norm: str, seed: int) -> Path:
        """The network that learnt from synthetic people alone."""
        config = replace(NETWORK, norm=norm, seed=seed)
        return self.run(f"synthetic_{norm}_{seed}", self.synthetic("training"), config)


def scores(run: Path, manifest: Manifest) -> dict[str, Any]:
    """Rank-1 and mAP of a run, as shares."""
    found = evaluate_manifest(run, manifest, None, Config(evaluate=EvaluateConfig(bootstrap=0)))
    return {"rank1": found["cmc"]["1"], "map": found["map"], "queries": found["queries"]}


def norms(bench: Bench, seeds: list[int]) -> Iterator[Cell]:
    """Camera-based batch norm against plain batch norm on an unseen scene."""
    for seed in seeds:
        for norm in ("cbn", "bn"):
            yield Cell(
                norm,
                seed,
                lambda norm=norm, seed=seed: scores(bench.synthetic_run(norm, seed), bench.synthetic("held_out")),
            )


def finetune(bench: Bench, seeds: list[int], real: Path) -> Iterator[Cell]:
    """A start from synthetic people against one from ImageNet weights, on one half of a real set."""
    whole = read_images(real)

    def tune(start: str, seed: int) -> dict[str, Any]:
        halves = split_identities(whole, len(whole.identities) // 2, seed=seed)
        before = str(bench.synthetic_run("cbn", seed)) if start == "synthetic" else ""
        config = replace(TUNING, seed=seed, from_run=before)
        return scores(bench.run(f"tuned_{start}_{seed}", halves, config), halves)

    for seed in seeds:
        for start in ("synthetic", "imagenet"):
            yield Cell(start, seed, lambda start=start, seed=seed: tune(start, seed))


def fill(cells: Iterator[Cell], experiment: str, path: Path) -> list[dict[str, Any]]:
    """Runs the cells that the file does not hold, one line each, and gives all lines of the experiment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(text) for text in path.read_text().splitlines()] if path.is_file() else []
    for cell in cells:
        key = {"experiment": experiment, "cell": cell.name, "seed": cell.seed}
        if any(key.items() <= line.items() for line in lines):
            continue
        wall_s, cpu_s = time.monotonic(), time.process_time()
        line = key | cell.score()
        line |= {"wall_s": round(time.monotonic() - wall_s, 1), "cpu_s": round(time.process_time() - cpu_s, 1)}
        lines.append(line)
        with path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        logger.info("%s", json.dumps(line))
    return [line for line in lines if line["experiment"] == experiment]


def table(lines: list[dict[str, Any]]) -> str:
    """Mean and spread (lowest to highest) over the seeds, and in how many seeds the first cell wins."""
    rows = ["| | rank-1, % | mAP, % |", "|---|---|---|"]
    names = list(dict.fromkeys(line["cell"] for line in lines))
    for name in names:
        row = [f"| {name} "]
        for score in ("rank1", "map"):
            values = 100 * np.array([line[score] for line in lines if line["cell"] == name])
            row.append(f"| {values.mean():.1f} ({values.min():.1f} to {values.max():.1f}) ")
        rows.append("".join(row) + "|")
    first, other = ({line["seed"]: line["map"] for line in lines if line["cell"] == name} for name in names[:2])
    won = sum(first[seed] > other[seed] for seed in first if seed in other)
    return "\n".join([*rows, f"{names[0]} has the higher mAP in {won} of {len(first)} seeds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=("norms", "finetune"))
    parser.add_argument("--out", type=Path, required=True, help="folder of data, runs and results.jsonl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    shared = os.environ.get("UNREALPERSON_SHARED", Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--real", type=Path, default=Path(shared) / "real" / "cuhk03_100", help="labelled real crops")
    parser.add_argument("--tiny", action="store_true", help="seconds instead of minutes, to see that it works")
    given = parser.parse_args()
    configure_logging()
    bench = Bench(given.out, tiny=given.tiny)
    for part in ("training", "held_out"):
        bench.synthetic(part)
    cells = norms(bench, given.seeds) if given.experiment == "norms" else finetune(bench, given.seeds, given.real)
    sys.stdout.write(table(fill(cells, given.experiment, given.out / "results.jsonl")) + "\n")


if __name__ == "__main__":
    main()
