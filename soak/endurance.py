"""A loop of synth, crop, train, index and search in long-lived processes, which must not grow.

One process makes everything through the Python API; one simulator and one server live as long as it does. After each
round memory, open files, threads, seconds and what lies on the disk are written to OUT/endurance.jsonl. At the end the
trend of each process after its first rounds (Theil-Sen, the median of all slopes) is compared with a bound: over the
measured rounds memory may grow by 5 % and 16 MiB, open files by 2, threads (of pools that fill) by 2.

  python soak/endurance.py --out soak_out/endurance                  # 100 minutes
  python soak/endurance.py --out soak_out/endurance --minutes 10     # a look
  python soak/endurance.py --out soak_out/endurance --minutes 0      # only the table of the last run
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "soak"), str(ROOT / "tests")]

from trials import client  # noqa: E402
from trials.journal import Journal  # noqa: E402
from trials.running import Running  # noqa: E402

from unrealperson.config import Config, CropConfig, SynthConfig, TrainConfig  # noqa: E402
from unrealperson.crop import write_crops  # noqa: E402
from unrealperson.data.loader import training_rows  # noqa: E402
from unrealperson.data.manifest import Manifest  # noqa: E402
from unrealperson.gallery import Gallery  # noqa: E402
from unrealperson.synth.capture import Shard, drive, launch_simulator  # noqa: E402
from unrealperson.synth.endpoint import Endpoint  # noqa: E402
from unrealperson.train import train  # noqa: E402

PEOPLE, SEARCHES = 4, 3
CONFIG = Config(
    synth=SynthConfig(
        people=10**6, test_people=0, people_per_batch=PEOPLE, cameras=2, instants=3, lights=1, width=160, height=120,
        timeout_s=600.0,
    ),
    crop=CropConfig(min_pixels=30, border=0, min_area=30),
    train=TrainConfig(
        backbone="osnet_x0_25", weights="none", height=64, width=32, epochs=1, decay_epoch=1, pad=2,
        cameras_per_batch=2, identities_per_camera=2, images_per_identity=2, sampler="random", workers=0,
    ),
)  # fmt: skip
KINDS = {"memory": (0.05, 16.0), "files": (0.0, 2.0), "threads": (0.0, 2.0)}
"""What is measured -> how much of its own size, and how much besides, it may grow over the measured rounds."""


@dataclass(frozen=True)
class Trend:
    """One measure of one process over the rounds that count.

    Attributes:
        first: median of their first quarter.
        last: median of their last quarter.
        growth: what the slope comes to over all of them.
        most: how much it may.
    """

    first: float
    last: float
    growth: float
    most: float

    @property
    def flat(self) -> bool:
        """Whether it grows by no more than it may."""
        return self.growth <= self.most


def trend(values: Sequence[float], kind: str) -> Trend:
    """The trend of a measure, its first quarter left out: what is loaded and compiled once comes there.

    Args:
        values: one for each round.
        kind: key of `KINDS`.
    """
    kept = np.asarray(values[len(values) // 4 :], dtype=float)
    rounds = np.arange(len(kept))
    later, earlier = np.triu_indices(len(kept), 1)[::-1]
    slope = (
        float(np.median((kept[later] - kept[earlier]) / (rounds[later] - rounds[earlier]))) if len(kept) > 1 else 0.0
    )
    quarter = max(1, len(kept) // 4)
    share, besides = KINDS[kind]
    first, last = float(np.median(kept[:quarter])), float(np.median(kept[-quarter:]))
    return Trend(first, last, slope * (len(kept) - 1), share * first + besides)


def measure(process: psutil.Process) -> dict[str, float]:
    """Memory (resident set size: other processes that share pages sway the other two; MiB), open files, threads.

    Args:
        process: a running one.
    """
    memory = process.memory_full_info()
    return {
        "memory": round(memory.rss / 2**20, 2), "pss": round(memory.pss / 2**20, 2),
        "uss": round(memory.uss / 2**20, 2), "files": process.num_fds(), "threads": process.num_threads(),
    }  # fmt: skip


def rounds(out: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """Makes rounds until the time is over; yields what each has measured.

    Args:
        out: folder to work in.
        seconds: how long.
    """
    from serving import make_gallery

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    gallery = make_gallery(out / "served")
    own = Gallery.open(make_gallery(out / "own"))
    config = CONFIG.synth
    end_s = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        simulator = stack.enter_context(launch_simulator(config))
        endpoint = stack.enter_context(Endpoint(simulator.address, timeout_s=config.timeout_s))
        serve = ("serve", "--gallery", gallery, "--serve.port", "0", "--log-json", "--serve.threads", "1")
        server = stack.enter_context(Running(*serve))
        address = client.address_of(server)
        watched = {
            "main": psutil.Process(), "simulator": psutil.Process(simulator.pid), "server": psutil.Process(server.pid)
        }  # fmt: skip
        number = 0
        while time.monotonic() < end_s:
            begun = time.monotonic(), sum(sum(process.cpu_times()[:2]) for process in watched.values())
            images = _round(out / "round", number, endpoint, config, address, own)
            server.until(lambda: True)  # takes what it has written: a full pipe would stop it
            cpu_s = sum(sum(process.cpu_times()[:2]) for process in watched.values()) - begun[1]
            yield {
                "round": number, "seconds": round(time.monotonic() - begun[0], 2), "cpu_s": round(cpu_s, 2),
                "images": images, "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
                **{name: measure(process) for name, process in watched.items()},
            }  # fmt: skip
            number += 1


def _round(folder: Path, number: int, endpoint: Endpoint, config: SynthConfig, address: str, own: Gallery) -> int:
    """One round, in a folder that the next one takes again."""
    shutil.rmtree(folder, ignore_errors=True)
    data = folder / "data"
    rows: list[dict[str, Any]] = []
    shard = Shard(scene=1, version=1, batch=number, first=PEOPLE * number, count=PEOPLE)
    for frame in drive(endpoint, config, shard):
        rows += write_crops(frame, data, CONFIG.crop, config)[0]
    manifest = Manifest.from_rows(rows, data)
    manifest.write()
    if _teaches(manifest):
        train(Manifest.read(data), CONFIG, folder / "run")
    crops = [manifest.image_path(row) for row in range(min(SEARCHES, len(manifest)))]
    vectors = np.random.default_rng(number).standard_normal((len(manifest), own.encoder.dimension)).astype(np.float32)
    here = Manifest.from_rows([{"path": f"{number}/{path}"} for path in manifest.path], own.root)
    own.add_features(here, vectors)
    own.search(vectors[:SEARCHES], k=5)
    own.remove(here.path)
    own.save()
    for crop in crops:
        content = crop.read_bytes()
        entries = client.add(address, content)
        if client.search(address, content)[:1] != entries:
            raise RuntimeError("the server does not find what it has just added")
        client.remove(address, entries)
    return len(manifest)


def _teaches(manifest: Manifest) -> bool:
    """Whether training takes these crops: few people may all pass the same camera, or each of them once."""
    try:
        training_rows(manifest)
    except ValueError:
        return False
    return True


def verdict(lines: Sequence[dict[str, Any]]) -> tuple[str, bool]:
    """A table of the trends as Markdown, and whether all of them are flat.

    Args:
        lines: of one run.
    """
    rows = [
        "| process | measure | rounds after warming up | first | last | growth | may grow | |",
        "|---|" + "---|" * 7,
    ]
    flat = True
    for name in ("main", "simulator", "server"):
        for kind in KINDS:
            found = trend([line[name][kind] for line in lines], kind)
            flat &= found.flat
            rows.append(
                f"| {name} | {kind}{', MiB' if kind == 'memory' else ''} | {len(lines) - len(lines) // 4} "
                f"| {found.first:.1f} | {found.last:.1f} | {found.growth:+.1f} | {found.most:.1f} "
                f"| {'flat' if found.flat else 'GROWS'} |"
            )
    seconds = [line["seconds"] for line in lines]
    rows.append(
        f"\n{len(lines)} rounds in {sum(seconds) / 60:.1f} minutes, {np.median([line['cpu_s'] for line in lines]):.2f} "
        f"CPU-seconds each (median), {sum(line['images'] for line in lines)} crops; on the disk "
        f"{lines[0]['bytes'] / 2**20:.2f} MiB after the first round, {lines[-1]['bytes'] / 2**20:.2f} after the last."
    )
    return "\n".join(rows), flat


def main() -> int:
    """Makes rounds, then tells the verdict; returns 1 where something grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for endurance.jsonl and the rounds' files")
    parser.add_argument("--minutes", type=float, default=100, help="how long (default: 100)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("unrealperson").setLevel(logging.WARNING)
    import torch

    torch.set_num_threads(1)
    journal = Journal(options.out / "endurance.jsonl")
    run = max((line["run"] for line in journal.lines), default=-1) + (options.minutes > 0)
    for line in rounds(options.out.resolve() / "work", 60 * options.minutes) if options.minutes else ():
        journal.add({"run": run, **line})
        shown = ", ".join(f"{name} {line[name]['memory']:.0f} MiB" for name in ("main", "simulator", "server"))
        print(f"round {line['round']:4d}: {line['seconds']:6.1f} s, {line['images']} crops, {shown}", flush=True)
    lines = [line for line in journal.lines if line["run"] == run]
    if not lines:
        print("no round was made")
        return 1
    told, flat = verdict(lines)
    print(f"\n{told}")
    return int(not flat)


if __name__ == "__main__":
    sys.exit(main())
