"""Trials of faults: kill -9, a full disk, a clock set back, damaged files, endpoints that misbehave.

Every trial is a pure function of the seed and its number, apart from the machine's own timing. A verb is disturbed;
then it must either have said in one line what is wrong, or the same command must go on and end with the bytes of an
undisturbed run. Nothing that was finished may be lost, nothing half-made may be taken for whole.

  python soak/faults.py --out soak_out/faults                   # 200 trials, or those of them that are not done yet
  python soak/faults.py --out soak_out/faults --only kill       # only kinds whose name contains the word
  python soak/faults.py --out soak_out/faults --again 17        # one trial, with all that it wrote kept in OUT/again
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import typing
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "soak"), str(ROOT / "tests")]

from trials.damage import READINGS, try_damage  # noqa: E402
from trials.engines import try_engine  # noqa: E402
from trials.hindrances import mounts_below, try_clock, try_full_disk  # noqa: E402
from trials.journal import Journal  # noqa: E402
from trials.kills import try_child, try_process, try_server  # noqa: E402
from trials.running import Outcome, Result, shortened  # noqa: E402
from trials.site import Site  # noqa: E402

RESULTS = typing.get_args(Result)
Trial = Callable[[Site, np.random.Generator, Path], Outcome]


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: in the table.
        share: how many there are of it in each round of trials.
        trial: carries one out.
    """

    name: str
    share: int
    trial: Trial


def _damaged(share: int) -> list[Kind]:
    return [Kind(f"damage: {name}", share, partial(try_damage, name=name)) for name in READINGS]


KINDS = (
    Kind("kill: synth", 14, partial(try_process, name="synth")),
    Kind("kill: simulator", 14, partial(try_child, name="synth", settings=())),
    Kind("kill: train", 18, partial(try_process, name="train")),
    Kind("kill: loading worker", 8, partial(try_child, name="train", settings=("--train.workers", "2"))),
    Kind("kill: adapt", 14, partial(try_process, name="adapt")),
    Kind("kill: serve", 12, try_server),
    Kind("kill: index", 10, partial(try_process, name="index")),
    Kind("kill: gallery add", 14, partial(try_process, name="gallery add")),
    *(Kind(f"full disk: {name}", count, partial(try_full_disk, name=name)) for name, count in (
        ("synth", 3), ("train", 4), ("adapt", 3), ("index", 3), ("gallery add", 3), ("extract", 2))),
    *(Kind(f"clock: {name}", count, partial(try_clock, name=name)) for name, count in (
        ("synth", 2), ("train", 4), ("gallery add", 2))),
    *_damaged(4),
    Kind("endpoint", 20, try_engine),
)  # fmt: skip


def planned(trials: int, kinds: Sequence[Kind] = KINDS) -> list[Kind]:
    """Kinds of so many trials, so mixed that each part of the list has all of them in their shares.

    Args:
        trials: how many.
        kinds: to take.
    """
    ordered = []
    for turn in range(-(-trials // sum(kind.share for kind in kinds))):
        places = [((number + 0.5) / kind.share, kind) for kind in kinds for number in range(kind.share)]
        ordered += [kind for _, kind in sorted(places, key=lambda place: (turn, place[0]))]
    return ordered[:trials]


def carry_out(kind: Kind, number: int, seed: int, site: Site, folder: Path) -> Outcome:
    """One trial, in a folder of its own.

    Args:
        kind: what is tried.
        number: of the trial.
        seed: of all trials.
        site: what the verbs work on.
        folder: new or empty.
    """
    try:
        return kind.trial(site, np.random.default_rng([seed, number]), folder)
    except Exception as error:  # the product's own code is called too, and must not fail on what a fault left
        return Outcome(kind.name, "wrong", f"{type(error).__name__}: {error}")


def table(lines: Sequence[dict[str, object]]) -> str:
    """Kinds by results, with counts, as Markdown.

    Args:
        lines: of the journal.
    """
    counts = Counter((str(line["kind"]), str(line["result"])) for line in lines)
    results = [result for result in RESULTS if any(counts[kind.name, result] for kind in KINDS)]
    rows = [f"| fault | trials | {' | '.join(results)} |", f"|---|{'---|' * (len(results) + 1)}"]
    for kind in KINDS:
        numbers = [counts[kind.name, result] for result in results]
        if sum(numbers):
            rows.append(f"| {kind.name} | {sum(numbers)} | {' | '.join(str(number or '') for number in numbers)} |")
    totals = [sum(counts[kind.name, result] for kind in KINDS) for result in results]
    return "\n".join([*rows, f"| all | {sum(totals)} | {' | '.join(map(str, totals))} |"])


def main() -> int:
    """Carries out what is not done yet; returns 1 where a trial went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for faults.jsonl and the undisturbed outputs")
    parser.add_argument("--trials", type=int, default=200, help="how many trials in all (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the trials (default: 0)")
    parser.add_argument("--minutes", type=float, default=100, help="stop after so long; the next start goes on")
    parser.add_argument("--only", default="", help="only kinds whose name contains this")
    parser.add_argument("--again", type=int, help="carry out one trial again, and keep what it wrote")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for left in mounts_below(options.out):
        subprocess.run(["umount", left], check=False)
    site, journal = Site(options.out.resolve() / "site"), Journal(options.out / "faults.jsonl")
    plan = planned(options.trials)
    if options.again is not None:
        folder = options.out.resolve() / "again"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(carry_out(plan[options.again], options.again, options.seed, site, folder))
        return 0
    done = {(line["seed"], line["number"]) for line in journal.lines}
    end_s = time.monotonic() + 60 * options.minutes
    for number, kind in enumerate(plan):
        if (options.seed, number) in done or options.only not in kind.name:
            continue
        if time.monotonic() > end_s:
            print(f"{options.minutes:g} minutes are over; the same command goes on with trial {number}")
            break
        with tempfile.TemporaryDirectory(dir=options.out, ignore_cleanup_errors=True) as folder:
            start_s = time.monotonic()
            outcome = carry_out(kind, number, options.seed, site, Path(folder).resolve())
        journal.add(
            {"seed": options.seed, "number": number, "kind": kind.name, "what": outcome.what, "result": outcome.result,
             "words": outcome.words, "seconds": round(time.monotonic() - start_s, 1)}
        )  # fmt: skip
        told = outcome.words if outcome.result == "wrong" else shortened(outcome.words)
        print(f"{number:4d}  {outcome.result:22s} {outcome.what}: {told}", flush=True)
    lines = [line for line in journal.lines if line["seed"] == options.seed and line["number"] < options.trials]
    print(f"\n{table(lines)}")
    return int(any(line["result"] == "wrong" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
