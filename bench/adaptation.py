"""How much adaptation without labels gains: in our simulator, and on real crops where there are some.

    python bench/adaptation.py --out adaptation [--real DIR] [--seeds 0 1 2] [--only simulator/jvtc/0] [--small]

A source of scenes 1 to 3 and a target of scene 4 are synthesised once, a network is trained on the source for each
seed, and each cell adapts it: JVTC with the source, cluster contrast without. Of the target one part of the people is
adapted to, unlabelled, and the other is scored. Cells are appended to OUT/cells.jsonl and not done again; the same
command goes on. With --real DIR (named as in Market-1501) every other person is adapted to and the others are scored.
At the end a table: mean and smallest to largest of the seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from unrealperson.adapt import adapt
from unrealperson.config import Config, CropConfig, EvaluateConfig, SynthConfig, TrainConfig, load_config
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.log import configure_logging
from unrealperson.synth.shards import synthesize
from unrealperson.train import train

SYNTH = SynthConfig(people_per_batch=24, cameras=6, instants=14, interval_s=5.0, lights=4, width=960, height=720)
TRAIN = TrainConfig(
    height=128, width=64, pad=5, epochs=6, decay_epoch=4,
    cameras_per_batch=4, identities_per_camera=4, images_per_identity=2,
)  # fmt: skip
PASSING = {"people_per_batch": 8, "instants": 12, "width": 1280, "height": 960}
"""At the target few people are in the scene at once, for a minute: when somebody was seen tells something. Its cameras
are far from them, so its frames are larger."""
SMALL_SYNTH = dataclasses.replace(SYNTH, people_per_batch=12, cameras=4, lights=1)
METHODS = ("jvtc", "cluster_contrast")


def synthetic(out: Path, small: bool) -> tuple[Manifest, Manifest]:
    """The labelled source, and a target of other people in another scene."""
    base = SMALL_SYNTH if small else SYNTH
    people, others = (12, 12) if small else (48, 160)
    source = dataclasses.replace(base, scenes=(1, 2, 3), people=people, test_people=0, seed=1)
    target = dataclasses.replace(
        base, scenes=(4,), people=others, test_people=others // 2, seed=2, **({} if small else PASSING)
    )
    return tuple(  # type: ignore[return-value]
        synthesize(Config(synth=part, crop=CropConfig()), out / name)
        for name, part in (("source", source), ("target", target))
    )


def halved(folder: Path) -> Manifest:
    """Real crops of which every other identity is adapted to and the others are scored."""
    manifest = read_images(folder)
    _, number = np.unique(manifest.pid, return_inverse=True)
    return manifest.replaced("split", np.where(number % 2, "test", "train").tolist())


def run_cell(out: Path, target: Manifest, source: Manifest, method: str, seed: int, small: bool, clock: str) -> dict:
    """One network, one adaptation."""
    name = f"train-{seed}"
    epochs = {"epochs": 1, "decay_epoch": 1} if small else {}
    run = train(source, Config(train=dataclasses.replace(TRAIN, seed=seed, **epochs)), out / name)
    settings = load_config(Path(__file__).parent.parent / "configs" / "adapt_simulator.toml").adapt
    settings = dataclasses.replace(settings, method=method, seed=seed, clock=clock)
    if method == "cluster_contrast":
        settings = dataclasses.replace(settings, learning_rate=0.0)  # as published
    if small:
        settings = dataclasses.replace(settings, epochs=2, steps=2)
    start, cpu = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    config = Config(adapt=settings, evaluate=EvaluateConfig(bootstrap=0))
    folder = out / f"{target.root.name}-{method}-{seed}"
    summary = adapt(run, target, config, folder, source if method == "jvtc" else None)
    now = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = now.ru_utime + now.ru_stime - cpu.ru_utime - cpu.ru_stime
    return summary["scores"] | {"seconds": round(time.monotonic() - start, 1), "cpu_s": round(cpu_s, 1)}


def table(cells: list[dict]) -> str:
    """Mean and range of the seeds, of every target and way."""
    values = defaultdict(list)
    for cell in cells:
        for way in ("direct", "adapted", "joint"):
            if way in cell:
                label = {"direct": "direct", "adapted": cell["method"], "joint": f"{cell['method']} + times"}[way]
                values[cell["target"], label].append((cell["seed"], cell[way]["rank1"], cell[way]["map"]))
    lines = [f"{'target':<12}{'way':<26}{'seeds':>5}  rank-1, %                mAP, %"]
    for (target, way), found in values.items():
        rows = np.array(sorted(set(found)))
        ranges = "   ".join(
            f"{100 * column.mean():5.1f} ({100 * column.min():5.1f} ... {100 * column.max():5.1f})"
            for column in rows[:, 1:].T
        )
        lines.append(f"{target:<12}{way:<26}{len(rows):>5}  {ranges}")
    return "\n".join(lines)


def main() -> None:
    """Runs the cells that are missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=[], help="cells such as simulator/jvtc/0")
    parser.add_argument("--small", action="store_true", help="minutes instead of hours; the figures mean nothing")
    options = parser.parse_args()
    configure_logging()
    options.out.mkdir(parents=True, exist_ok=True)
    record = options.out / "cells.jsonl"
    cells = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    done = {(cell["target"], cell["method"], cell["seed"]) for cell in cells}
    source, scene = synthetic(options.out, options.small)
    targets = {"simulator": (scene, "time")}
    if options.real is not None:
        targets[options.real.name] = (halved(options.real), "off")
    for seed in options.seeds:
        for name, (target, clock) in targets.items():
            for method in METHODS:
                wanted = not options.only or f"{name}/{method}/{seed}" in options.only
                if (name, method, seed) in done or not wanted:
                    continue
                cell = {"target": name, "method": method, "seed": seed}
                cell |= run_cell(options.out, target, source, method, seed, options.small, clock)
                cells.append(cell)
                with record.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(cell) + "\n")
    print(table(cells))


if __name__ == "__main__":
    main()
