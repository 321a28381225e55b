"""From one worker to two: wall time, CPU time and crops per CPU-second of whole `synth` runs, workers and Ray tasks.

Run alone on an idle machine of two processors or more, it prints one table: python bench/bench_scale.py --rounds 3.
The floor of the wall time is that of one worker over the number of workers; people.jpg and the manifest, which one
process makes, are in it. A simulator draws with one thread (LP_NUM_THREADS=1), so workers do not share one's threads.
`make bench` runs a small one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

THREADS = {"LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
SIMULATED = "from unrealperson.config import Config, SynthConfig\nfrom unrealperson.synth.shards import synthesize\n"


def measure(executor: str, workers: int, people: int) -> dict[str, Any]:
    """One whole run of shards of 12 people, 6 cameras, 6 instants of 640 x 480; ours, with all that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        config = (
            f"SynthConfig(people={people}, test_people=0, people_per_batch=12, cameras=6, instants=6, "
            f"width=640, height=480, workers={workers}, timeout_s=900.0)"
        )
        code = f"{SIMULATED}made = synthesize(Config(synth={config}), {folder + '/set'!r}, executor=None)\n"
        if executor == "ray":
            started = f"import ray\nray.init(num_cpus={workers}, include_dashboard=False, log_to_driver=False)\n"
            code = f"{started}from unrealperson.executor import RayCluster\n" + code.replace("=None", "=RayCluster()")
            code += "ray.shutdown()\n"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start_s = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", f"{code}print(len(made), made.sha256())"],
            env=os.environ | THREADS, text=True, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        wall_s = time.perf_counter() - start_s
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        crops, digest = done.stdout.split()[-2:]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "executor": executor, "workers": workers, "crops": int(crops), "sha256": digest, "wall_s": wall_s,
        "cpu_s": cpu_s,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=48, help="a shard has 12")
    parser.add_argument("--rounds", type=int, default=3, help="the least of all rounds counts")
    parser.add_argument("--executors", default="processes,ray")
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    for _ in range(given.rounds):
        for executor in given.executors.split(","):
            for workers in (1, 2):
                found.append(measure(executor, workers, given.people))
                print(json.dumps(found[-1]), flush=True)
    assert len({row["sha256"] for row in found}) == 1, "the output depends on who makes it"
    print("| shards made by | wall s | CPU-s | crops per CPU-s | speed-up of the wall time |\n|---|---|---|---|---|")
    for executor in given.executors.split(","):
        one, two = (
            {key: min(row[key] for row in found if (row["executor"], row["workers"]) == (executor, workers))
             for key in ("wall_s", "cpu_s", "crops")}
            for workers in (1, 2)
        )  # fmt: skip
        for workers, row in ((1, one), (2, two)):
            # Ray's workers are no children of this process, so their CPU time is not known.
            cpu = "- | -" if executor == "ray" else f"{row['cpu_s']:.1f} | {row['crops'] / row['cpu_s']:.2f}"
            told = f"{row['wall_s']:.1f} | {cpu}"
            print(f"| {executor}, {workers} | {told} | {one['wall_s'] / row['wall_s']:.2f} |")


@pytest.mark.parametrize("workers", [1, 2])
def bench_workers(benchmark: BenchmarkFixture, workers: int) -> None:
    row = benchmark.pedantic(measure, ("processes", workers, 24), rounds=1)
    benchmark.extra_info |= {"CPU-s": round(row["cpu_s"], 1), "crops per CPU-s": round(row["crops"] / row["cpu_s"], 2)}


if __name__ == "__main__":
    main()
