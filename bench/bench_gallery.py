"""Gallery back ends side by side: exact, faiss, milvus-lite and usearch, and the floor that memory sets.

Run alone, it prints one table: python bench/bench_gallery.py --rows 100000. `make bench` runs a small one. Vectors are
those of people: a direction each, and as much again that differs from image to image. Recall counts the true nearest
k (in float64) among those found. faiss reads OPENBLAS_CORETYPE when it is loaded: set it to what suits the machine best
(SkylakeX where there is AVX-512), or the comparison is worthless. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

DIMENSIONS, K, QUERIES, ROUNDS = 512, 10, 200, 25
MILVUS_MOST_ROWS = 20_000


def vectors(rows: int, *, seed: int = 0) -> np.ndarray:
    """[rows, 512] float32 of length 1: 32 images of each person."""
    rng = np.random.default_rng(seed)
    person = np.random.default_rng(9).standard_normal((max(1, rows // 32), DIMENSIONS), dtype=np.float32)
    x = person[rng.integers(0, len(person), rows)] + rng.standard_normal((rows, DIMENSIONS), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def truth(q: np.ndarray, g: np.ndarray) -> np.ndarray:
    """[q, k] the nearest rows."""
    best = np.concatenate([q @ g[first : first + 50_000].T for first in range(0, len(g), 50_000)], axis=1)
    return np.argsort(-best, axis=1, kind="stable")[:, :K]


def resident_mb() -> float:
    """Memory of this process that is not shared with a file's cache."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


def contenders(g: np.ndarray, folder: Path) -> Iterator[tuple[str, Callable[[], Callable[[np.ndarray], np.ndarray]]]]:
    """Name, and what builds a search of [q, d] to [q, k] rows."""
    from unrealperson.config import SearchConfig
    from unrealperson.gallery import ann, exact, store

    def gallery(precision: str, backend: str = "exact") -> Any:
        def build() -> Callable[[np.ndarray], np.ndarray]:
            from unrealperson.data.manifest import Manifest

            own = folder / f"{precision}-{backend}"
            own.mkdir()
            with store.writing(own, "segment-000001", DIMENSIONS, precision) as writer:
                for first in range(0, len(g), 1 << 16):
                    writer.append(g[first : first + (1 << 16)])
                entry = writer.finish(Manifest.from_rows([{"path": str(row)} for row in range(len(g))], own))
            facts = {
                "format_version": store.FORMAT_VERSION, "revision": 1, "images": len(g), "dimension": DIMENSIONS,
                "precision": precision, "backend": backend, "root": ".", "model_sha256": "", "segments": [entry],
                "removed": None, "index": None, "milvus_uri": SearchConfig().milvus_uri,
            }  # fmt: skip
            store.commit(own, facts)
            state = store.read_state(own)
            if backend == "exact":
                return lambda q: exact.search_exact(state.segments, q, K, None)[1]
            facts["index"] = ann.build(own, state)
            index = ann.open_index(own, facts)
            return lambda q: exact.rescore(state.segments, q, index.search(q, 2 * K + 32)[1], K)[1]

        return build

    yield "ours exact float32", gallery("float32")
    yield "ours exact float16", gallery("float16")
    yield "ours int8 + rescoring", gallery("int8")

    def faiss_flat() -> Callable[[np.ndarray], np.ndarray]:
        import faiss

        index = faiss.IndexFlatIP(DIMENSIONS)
        index.add(g)
        return lambda q: index.search(q, K)[1]

    yield "faiss IndexFlatIP", faiss_flat
    yield "ours faiss_hnsw", gallery("float16", "faiss_hnsw")
    yield "ours faiss_ivfpq", gallery("float16", "faiss_ivfpq")

    def usearch_index() -> Callable[[np.ndarray], np.ndarray]:
        from usearch.index import Index

        index = Index(ndim=DIMENSIONS, metric="cos", dtype="f16", expansion_search=128)
        index.add(np.arange(len(g)), g, threads=0)
        return lambda q: np.array(index.search(q, K).keys, np.int64).reshape(len(q), -1)

    yield "usearch f16", usearch_index
    if len(g) <= MILVUS_MOST_ROWS:
        yield "ours milvus (milvus-lite)", gallery("float16", "milvus")


def measure(name: str, rows: int) -> dict[str, Any]:
    """Builds one contender in this process, which does nothing else, and searches with it."""
    g, q = vectors(rows), vectors(QUERIES, seed=1)
    expected = truth(q, g)
    with tempfile.TemporaryDirectory(dir=os.environ.get("UNREALPERSON_BENCH_DIR")) as folder:
        build = dict(contenders(g, Path(folder)))[name]
        before, wall, cpu = resident_mb(), time.perf_counter(), time.process_time()
        search = build()
        built = time.perf_counter() - wall, time.process_time() - cpu
        search(q[:2])
        found = search(q)
        memory = resident_mb() - before
        one = [_cpu_and_wall(lambda i=i: search(q[i : i + 1])) for i in range(min(QUERIES, 100))]
        many = min((_cpu_and_wall(lambda: search(q)) for _ in range(3)), key=lambda pair: pair[1])
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), expected.tolist(), strict=True)]
    return {
        "name": name,
        "recall": float(np.mean(hits)) / K,
        "one_ms": 1e3 * float(np.median([wall for _, wall in one])),
        "one_cpu_ms": 1e3 * float(np.median([cpu for cpu, _ in one])),
        "batch_cpu_ms": 1e3 * many[0] / QUERIES,
        "build_cpu_s": built[1],
        "build_s": built[0],
        "memory_mb": memory,
    }


def reader(x: np.ndarray, threads: int) -> Callable[[], None]:
    """The floor: each thread's part of the same mapped bytes, read at the speed of memory (memcmp with itself)."""
    memcmp = ctypes.CDLL(None).memcmp
    memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    part = -(-x.nbytes // threads)
    pool = ThreadPoolExecutor(threads)

    def read_part(first: int) -> None:
        place = x.ctypes.data + first
        memcmp(place, place, min(part, x.nbytes - first))

    def read() -> None:
        for _ in pool.map(read_part, range(0, x.nbytes, part)):
            pass

    return read


def large(rows: int, folder: Path) -> dict[str, Any]:
    """A float16 gallery on disk with as many known rows: how fast it opens, and one query beside its floor."""
    import pyarrow as pa

    from unrealperson import ops
    from unrealperson.data.manifest import COLUMNS, Manifest
    from unrealperson.gallery import exact, store

    columns: dict[str, Any] = {name: pa.nulls(rows, COLUMNS.field(name).type) for name in COLUMNS.names}
    columns["path"] = pa.array([f"crops/{row:08d}.jpg" for row in range(rows)])
    columns |= {name: pa.array(np.arange(rows) % 1000) for name in ("pid", "camid", "frame")}
    rng = np.random.default_rng(0)
    with store.writing(folder, "segment-000001", DIMENSIONS, "float16") as writer:
        for first in range(0, rows, 1 << 16):
            part = rng.standard_normal((min(rows - first, 1 << 16), DIMENSIONS), dtype=np.float32)
            writer.append(part / np.linalg.norm(part, axis=1, keepdims=True))
        entry = writer.finish(Manifest(pa.table(columns, schema=COLUMNS), folder))
    del columns
    facts = {
        "format_version": store.FORMAT_VERSION, "revision": 1, "images": rows, "dimension": DIMENSIONS,
        "precision": "float16", "backend": "exact", "root": ".", "model_sha256": "", "segments": [entry],
        "removed": None, "index": None,
    }  # fmt: skip
    store.commit(folder, facts)
    found: dict[str, Any] = {"open_s": _cpu_and_wall(lambda: store.read_state(folder))[1]}
    state, q = store.read_state(folder), vectors(256, seed=1)
    features = np.asarray(state.segments[0].features)
    found["first_query_ms"] = 1e3 * _cpu_and_wall(lambda: exact.search_exact(state.segments, q[:1], K, None))[1]
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        read = reader(features, threads)
        search = partial(ops.topk, q[:1], features, k=K, metric="cosine", num_threads=threads)
        rounds = [(*_cpu_and_wall(read), *_cpu_and_wall(search)) for _ in range(ROUNDS)]
        floor_cpu, floor_wall, cpu, wall = (1e3 * np.array(column) for column in zip(*rounds, strict=True))
        found[f"{threads} threads"] = {
            "floor_ms": floor_wall.min(), "query_ms": wall.min(), "floor_cpu_ms": floor_cpu.min(),
            "query_cpu_ms": cpu.min(), "floor_gb_s": features.nbytes / floor_wall.min() / 1e6,
            "best_over_best": wall.min() / floor_wall.min(), "median_round": float(np.median(wall / floor_wall)),
            "cpu_best_over_best": cpu.min() / floor_cpu.min(),
        }  # fmt: skip
    if ops.build_info()["cuda_devices"]:
        found["gpu"] = _on_gpu(state.segments, q)
    return found


def _on_gpu(segments: Any, q: np.ndarray) -> dict[str, float]:
    from unrealperson.gallery import exact
    from unrealperson.gallery.device import placed

    start = time.perf_counter()
    there = placed(segments, "cuda")
    found = {"upload_s": time.perf_counter() - start}
    for queries in (1, len(q)):
        here = exact.search_exact(segments, q[:queries], K, None)
        search = partial(exact.search_exact, there, q[:queries], K, None)
        similarity, rows = search()
        timed = [_cpu_and_wall(search)[1] for _ in range(ROUNDS)]
        if np.abs(similarity - here[0]).max() > 1e-5:
            raise RuntimeError("the GPU finds other similarities than the CPU")
        found[f"query_ms_of_{queries}"] = 1e3 * min(timed)
        found[f"same_rows_of_{queries}"] = float((rows == here[1]).mean())
    return found


def _cpu_and_wall(call: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def table(rows: int) -> list[dict[str, Any]]:
    """Every contender that this machine has, each in a process of its own."""
    results = []
    for name in [name for name, _ in contenders(np.empty((rows, DIMENSIONS), np.float32), Path())]:
        done = subprocess.run(
            [sys.executable, __file__, "--rows", str(rows), "--only", name],
            capture_output=True, text=True, env={**os.environ, "OPENBLAS_CORETYPE": _coretype()},
        )  # fmt: skip
        if done.returncode == 0:
            results.append(json.loads(done.stdout.splitlines()[-1]))
        else:
            print(f"{name}: left out ({done.stderr.strip().splitlines()[-1][:120]})", file=sys.stderr)
    return results


def _coretype() -> str:
    wide = "avx512f" in Path("/proc/cpuinfo").read_text()
    return os.environ.get("OPENBLAS_CORETYPE", "SkylakeX" if wide else "")


def main() -> None:
    """Prints the table, or one contender as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--large", action="store_true", help="a float16 gallery of that many rows: opening, one query")
    given = parser.parse_args()
    if given.large:
        with tempfile.TemporaryDirectory(dir=os.environ.get("UNREALPERSON_BENCH_DIR")) as folder:
            print(json.dumps(large(given.rows, Path(folder)), indent=1))
        return
    if given.only:
        print(json.dumps(measure(given.only, given.rows)))
        return
    for size in (4, 2, 1):
        read = reader(np.ones((given.rows, DIMENSIONS * size), np.uint8), 1)
        print(f"floor, {size} bytes a number: {1e3 * min(_cpu_and_wall(read)[1] for _ in range(7)):.2f} ms")
    keys = ("recall", "one_ms", "one_cpu_ms", "batch_cpu_ms", "build_cpu_s", "build_s", "memory_mb")
    print("| " + " | ".join(("", *keys)) + " |\n|" + "---|" * (1 + len(keys)))
    for result in table(given.rows):
        print(f"| {result['name']} | " + " | ".join(f"{result[key]:.3g}" for key in keys) + " |")


def bench_gallery_one_query(race: Callable[..., Any], tmp_path: Path) -> None:
    """One query over 100,000 float16 rows on disk, against memory that gives as many bytes, and float32 of numpy."""
    from unrealperson.gallery import exact, store

    g, q = vectors(100_000), vectors(1, seed=1)
    writer = store.SegmentWriter(tmp_path, "segment", DIMENSIONS, "float16")
    writer.append(g)
    for stream in writer._streams.values():
        stream.flush()
    writer._write_headers()
    writer._streams["features"].close()
    features = np.load(tmp_path / "segment.features.npy", mmap_mode="r")
    segment = store.Segment("segment", features, None, None)  # type: ignore[arg-type]
    query = q[0]
    race(
        lambda: exact.search_exact([segment], q, K, None),
        {
            "reading the mapped bytes": reader(features, int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))),
            "numpy float32 product + argpartition": lambda: np.argpartition(-(g @ query), K),
        },
        rounds=15,
        traffic=features.nbytes,
        goals={"reading the mapped bytes": 2.0},
    )


if __name__ == "__main__":
    main()
