"""What each stage costs as its input grows: CPU time and memory at three sizes, 1, 4 and 16 times the smallest.

Each stage and size is a process of its own, whose inputs are made before the clock starts; what a stage starts (such as
simulators) counts with it. Of a cost a + b n^p the three sizes tell p: 4^p is (cost16 - cost4) / (cost4 - cost1), so
what every start costs is left out. A stage is warned of whose p is above 1.1 and whose x16 costs more than 4 times x4
(less than that may be a fixed cost and noise). Time is CPU time, user and system, so a busy machine disturbs it little;
where a cost grows by less than a tenth, p says nothing and "-" is printed.

  python soak/growth.py --out soak_out/growth --rounds 3         # of an idle machine; the exponents want the least of 3
  python soak/growth.py --out soak_out/growth                    # all stages once, some minutes
  python soak/growth.py --out soak_out/growth --stages crop,search --rounds 3
  python soak/growth.py --out soak_out/growth --figure docs/scale_growth.svg

Measurements are appended to OUT/growth.jsonl; the same command goes on with those that are missing, and the table and
the figure take the least of all rounds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

TIMES = (1, 4, 16)
WORST_EXPONENT = 1.1
DIMENSIONS = 256
Stage = Callable[[Path, int], Callable[[], Any]]
"""Makes the inputs of a size in a folder, and gives what is measured."""


def vectors(rows: int, *, seed: int = 0) -> np.ndarray:
    """[rows, 256] float32 of length 1: 16 images of each person."""
    rng = np.random.default_rng(seed)
    person = np.random.default_rng(9).standard_normal((max(1, rows // 16), DIMENSIONS), dtype=np.float32)
    x = person[np.arange(rows) % len(person)] + 0.7 * rng.standard_normal((rows, DIMENSIONS), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def features(rows: int) -> Any:
    """Those of 16 images a person under 4 cameras."""
    from unrealperson.schema import Features

    number = np.arange(rows)
    people = max(1, rows // 16)
    return Features(vectors(rows), number % people, number // people % 4, number, tuple(map(str, number.tolist())))


def crops(folder: Path, count: int) -> Any:
    """A data set of noise, 64 x 32 pixels: 16 images a person under 4 cameras."""
    from PIL import Image

    from unrealperson.data.manifest import Manifest

    rng = np.random.default_rng(0)
    people = max(1, count // 16)
    rows = []
    for number in range(count):
        path = f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (64, 32, 3), np.uint8)).save(folder / path)
        rows.append({"path": path, "pid": number % people, "camid": number // people % 4, "frame": number})
    manifest = Manifest.from_rows(rows, folder)
    manifest.write()
    return manifest


def small_network() -> Any:
    """The quickest backbone on small images."""
    from unrealperson.config import Config, EvaluateConfig, TrainConfig

    return Config(
        train=TrainConfig(
            backbone="osnet_x0_25", weights="none", height=64, width=32, epochs=1, decay_epoch=1, pad=2, workers=0,
            cameras_per_batch=2, identities_per_camera=4, images_per_identity=2,
        ),
        evaluate=EvaluateConfig(batch_size=32),
    )  # fmt: skip


def synth(folder: Path, times: int) -> Callable[[], Any]:
    """4 people a batch, 2 cameras, 2 instants, 320 x 240."""
    from unrealperson.config import Config, CropConfig, SynthConfig
    from unrealperson.synth.shards import synthesize

    synth = SynthConfig(
        people=4 * times, test_people=0, people_per_batch=4, cameras=2, instants=2, lights=1, width=320, height=240,
        workers=1, timeout_s=900.0,
    )  # fmt: skip
    config = Config(synth=synth, crop=CropConfig(min_pixels=30, border=0, min_area=30))
    return lambda: synthesize(config, folder / "set")


def crop(folder: Path, times: int) -> Callable[[], Any]:
    """16 frames of 640 x 480 with 8 people each."""
    from PIL import Image

    from unrealperson.config import CropConfig
    from unrealperson.crop import crop_folder

    frames = folder / "unreal_v1.1" / "frames"
    frames.mkdir(parents=True)
    rng = np.random.default_rng(0)
    colors = {person: (255, 20 * person, 60) for person in range(8)}
    for number in range(16 * times):
        mask = np.zeros((480, 640, 3), np.uint8)
        for person, color in colors.items():
            top = int(rng.integers(20, 240))
            mask[top : top + 200, 20 + 76 * person : 80 + 76 * person] = color
        Image.fromarray(mask).save(frames / f"c001_{number}_mask.png", compress_level=1)
        lit = np.repeat(np.repeat(rng.integers(0, 255, (60, 80, 3), np.uint8), 8, 0), 8, 1)
        Image.fromarray(lit).save(frames / f"c001_{number}_lit.png", compress_level=1)
    told = {str(person): f"(R={r},G={g},B={b},A=255)" for person, (r, g, b) in colors.items()}
    (frames / "object_color.json").write_text(json.dumps(told), encoding="utf-8")
    return lambda: crop_folder(frames, folder / "out", CropConfig(min_pixels=500))


def manifest(folder: Path, times: int) -> Callable[[], Any]:
    """10,000 rows with mask and attributes, checked, written and read."""
    from unrealperson.data.manifest import Manifest

    told = {"pid": 1, "camid": 1, "frame": 1, "mask": "x" * 150, "attributes": json.dumps({"gender": "female"})}
    rows = [told | {"path": f"unreal_v1.1/images/{n:08d}.jpg", "sha256": f"{n:064x}"} for n in range(10_000 * times)]

    def run() -> None:
        Manifest.from_rows(rows, folder).write()
        Manifest.read(folder)

    return run


def train(folder: Path, times: int) -> Callable[[], Any]:
    """One epoch of 128 images of 64 x 32, OSNet x0.25."""
    from unrealperson.train import train

    given = crops(folder, 128 * times)
    return lambda: train(given, small_network(), folder / "run")


def extract(folder: Path, times: int) -> Callable[[], Any]:
    """Statistics and features of 128 images of 64 x 32, OSNet x0.25."""
    from unrealperson.evaluate import extract_run

    given = crops(folder, 128 * times)
    return lambda: extract_run(None, given, small_network())


def evaluate(folder: Path, times: int) -> Callable[[], Any]:
    """500 queries in a gallery of 4,000, with intervals."""
    from unrealperson.config import EvaluateConfig
    from unrealperson.evaluate.metrics import score, summarise

    given = features(4_000 * times)
    query, gallery = np.arange(500), np.arange(len(given))
    return lambda: summarise(given, score(given, query, gallery), EvaluateConfig(), gallery=len(gallery))


def rerank(folder: Path, times: int) -> Callable[[], Any]:
    """k-reciprocal distances of 100 queries in a gallery of 500."""
    from unrealperson.ops import k_reciprocal

    query, gallery = vectors(100, seed=1), vectors(500 * times)
    return lambda: k_reciprocal(query, gallery)


def gallery(folder: Path, rows: int) -> Callable[[], Any]:
    """Makes a gallery of float16 vectors, and opens it."""
    from unrealperson.config import SearchConfig
    from unrealperson.data.manifest import Manifest
    from unrealperson.gallery import store

    x = vectors(rows)
    told = Manifest.from_rows([{"path": str(number)} for number in range(rows)], folder)

    def build() -> Any:
        with store.writing(folder, "segment-000001", DIMENSIONS, "float16") as writer:
            for first in range(0, len(x), 4_096):
                writer.append(x[first : first + 4_096])
            entry = writer.finish(told)
        facts = {
            "format_version": store.FORMAT_VERSION, "revision": 1, "images": len(x), "dimension": DIMENSIONS,
            "precision": "float16", "backend": "exact", "root": ".", "model_sha256": "", "segments": [entry],
            "removed": None, "index": None, "milvus_uri": SearchConfig().milvus_uri,
        }  # fmt: skip
        store.commit(folder, facts)
        return store.read_state(folder)

    return build


def index(folder: Path, times: int) -> Callable[[], Any]:
    """10,000 float16 vectors into a gallery; their encoding is `extract`'s."""
    return gallery(folder, 10_000 * times)


def hnsw(folder: Path, times: int) -> Callable[[], Any]:
    """faiss's HNSW of 1,000 vectors."""
    import faiss

    x = vectors(1_000 * times)
    faiss.omp_set_num_threads(1)
    return lambda: faiss.IndexHNSWFlat(DIMENSIONS, 32).add(x)


def search(folder: Path, times: int) -> Callable[[], Any]:
    """50 queries, exactly, one after the other, in 20,000 float16 vectors."""
    from unrealperson.gallery import exact

    state = gallery(folder, 20_000 * times)()
    query = vectors(50, seed=1)
    exact.search_exact(state.segments, query[:1], 10, None)
    return lambda: [exact.search_exact(state.segments, query[i : i + 1], 10, None) for i in range(len(query))]


def cluster(folder: Path, times: int) -> Callable[[], Any]:
    """Jaccard graph and DBSCAN of 2,000 unlabelled images, as cluster contrast makes them."""
    from unrealperson.adapt.pseudo_labels import cluster
    from unrealperson.ops import jaccard_graph

    x = vectors(2_000 * times)
    cluster(jaccard_graph(x[:64], k1=30, k2=6, eps=0.6), eps=0.6, min_samples=4)  # imports what it needs
    return lambda: cluster(jaccard_graph(x, k1=30, k2=6, eps=0.6), eps=0.6, min_samples=4)


STAGES: dict[str, Stage] = {
    stage.__name__: stage
    for stage in (synth, crop, manifest, train, extract, evaluate, rerank, index, hnsw, search, cluster)
}
ALL_PAIRS = {
    "rerank": "every image is compared with every other",
    "cluster": "every image is compared with every other",
    "hnsw": "each row searches the graph of those before it",
}
"""Why a stage must grow faster than its input."""


def measure(stage: str, times: int) -> dict[str, Any]:
    """Runs one stage at one size in this process, which does nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        run = STAGES[stage](Path(folder), times)
        ended = threading.Event()
        peak = [0.0]
        watcher = threading.Thread(target=_watch, args=(ended, peak))
        watcher.start()
        before_s, wall_s = _cpu_s(), time.perf_counter()
        run()
        cpu_s, wall_s = _cpu_s() - before_s, time.perf_counter() - wall_s
        ended.set()
        watcher.join()
    return {"stage": stage, "times": times, "cpu_s": cpu_s, "wall_s": wall_s, "memory_mb": peak[0]}


def _cpu_s() -> float:
    """Of this process and the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _watch(ended: threading.Event, peak: list[float]) -> None:
    """Keeps the greatest memory of this process and those below it, shared pages counted once (PSS)."""
    import psutil

    own = psutil.Process()
    last = False
    while not last:
        last = ended.wait(0.1)  # a stage that is over before is looked at once, at its end
        total = 0
        for process in [own, *own.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:  # it has ended
                continue
        peak[0] = max(peak[0], total / 2**20)


def exponent(cost: list[float]) -> float:
    """p of a cost a + b n^p at n = 1, 4, 16; nan where the cost hardly grows."""
    first, second = cost[1] - cost[0], cost[2] - cost[1]
    if first <= 0 or second <= 0 or cost[2] < 1.1 * cost[0]:
        return math.nan
    return math.log(second / first, 4)


def least(found: list[dict[str, Any]], stage: str) -> dict[str, list[float]]:
    """The least of all rounds at each size, for CPU seconds and MB; empty where a size is missing."""
    rows = [[row for row in found if (row["stage"], row["times"]) == (stage, times)] for times in TIMES]
    if not all(rows):
        return {}
    return {key: [min(row[key] for row in each) for each in rows] for key in ("cpu_s", "memory_mb")}


def table(found: list[dict[str, Any]]) -> str:
    """Markdown: what each stage costs at each size, and the exponents."""
    lines = [
        "| stage, smallest size | CPU-s x1, x4, x16 | grows as n^ | MB x1, x4, x16 | grows as n^ |",
        "|---|---|---|---|---|",
    ]
    for name, stage in STAGES.items():
        cost = least(found, name)
        if not cost:
            continue
        told = [f"{name}: {(stage.__doc__ or '').rstrip('.')}"]
        for key, digits in (("cpu_s", 3), ("memory_mb", 0)):
            power = exponent(cost[key])
            told += [
                ", ".join(f"{value:.{digits}f}" for value in cost[key]),
                "-" if math.isnan(power) else f"{power:.2f}",
            ]
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


def warnings(found: list[dict[str, Any]]) -> list[str]:
    """One line for each stage that grows faster than its input."""
    lines = []
    for name in STAGES:
        for key, cost in least(found, name).items():
            power = exponent(cost)
            if power > WORST_EXPONENT and cost[2] > 4 * cost[1]:
                why = ALL_PAIRS.get(name, "to be mended")
                lines.append(f"WARNING: {name}: {key.split('_')[0]} grows as n^{power:.2f}: {why}")
    return lines


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Both costs above the size, each over that of the smallest size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9.0, 4.2), layout="constrained")
    names = [name for name in STAGES if least(found, name)]
    shades = plt.get_cmap("viridis")(np.linspace(0.0, 0.92, len(names)))
    for panel, key, title in zip(panels, ("cpu_s", "memory_mb"), ("CPU time", "peak memory"), strict=True):
        panel.plot(TIMES, TIMES, color="0.75", linewidth=6, zorder=0, label="linear")
        for name, shade, marker in zip(names, shades, "osv^D<>pX*h", strict=False):
            cost = least(found, name)[key]
            panel.plot(TIMES, [value / cost[0] for value in cost], marker=marker, markersize=5, color=shade, label=name)
        panel.set_xscale("log", base=4)
        panel.set_yscale("log", base=4)
        panel.set_xticks(TIMES, [f"x{times}" for times in TIMES])
        panel.set_yticks([1, 4, 16, 64], ["1", "4", "16", "64"])
        panel.set_xlabel("size of the input")
        panel.set_ylabel(f"{title}, times that of x1")
        panel.set_title(title)
        panel.grid(alpha=0.3)
    panels[1].legend(fontsize=8, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of growth.jsonl")
    parser.add_argument("--stages", default=",".join(STAGES), help=f"some of {', '.join(STAGES)}")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each stage and size")
    parser.add_argument("--figure", type=Path, help="file of the figure (.svg, .png); left out: OUT/growth.svg")
    parser.add_argument("--one", nargs=2, metavar=("STAGE", "TIMES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], int(given.one[1]))))
        return 0
    stages = given.stages.split(",")
    unknown = sorted(set(stages) - set(STAGES))
    if unknown:
        parser.error(f"there is no stage {unknown[0]}; there are {', '.join(STAGES)}")
    given.out.mkdir(parents=True, exist_ok=True)
    record = given.out / "growth.jsonl"
    found = [json.loads(line) for line in record.read_text().splitlines()] if record.is_file() else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for turn in range(given.rounds):
        for stage in stages:
            for times in TIMES:
                if sum((row["stage"], row["times"]) == (stage, times) for row in found) > turn:
                    continue
                command = [sys.executable, __file__, "--out", str(given.out), "--one", stage, str(times)]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
                with record.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(found[-1]) + "\n")
                print(f"{stage} x{times}: {found[-1]['cpu_s']:.3f} CPU-s, {found[-1]['memory_mb']:.0f} MB", flush=True)
    print(table(found))
    print("\n".join(warnings(found)))
    draw(found, given.figure or given.out / "growth.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
