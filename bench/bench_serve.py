"""The search server at saturation: 16 clients that ask again as soon as they are answered, beside bare ONNX Runtime.

Run alone, it prints one table: python bench/bench_serve.py --seconds 60. `make bench` runs a short one. The model is
EfficientNet-Lite0 at 256x128 with ImageNet weights, the gallery holds random vectors, each query is a JPEG crop of its
own. "Beyond inference" is all CPU time of the server's process without that of ONNX Runtime: the threads of its pool,
and its share of the thread that calls it. Clients are another process.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROWS, CAMERAS, QUERIES = 1_000, 4, 64
CROP_PX = (192, 80)
MOST_MS_BEYOND = 3.0


def crop(rng: np.random.Generator) -> Image.Image:
    """A picture as smooth as those of people."""
    small = Image.fromarray(rng.integers(0, 256, (12, 6, 3), dtype=np.uint8))
    return small.resize(CROP_PX[::-1], Image.Resampling.BICUBIC)


def make_gallery(folder: Path, *, rows: int) -> Path:
    """Exports the network and fills a gallery with vectors that no image lies behind."""
    from unrealperson.checkpoint import RunState, save_checkpoint
    from unrealperson.config import Config, SearchConfig, save_config
    from unrealperson.data.manifest import Manifest
    from unrealperson.data.sources import read_images
    from unrealperson.export.convert import export
    from unrealperson.gallery import Gallery
    from unrealperson.models.reid import build_model

    rng = np.random.default_rng(0)
    crops, run = folder / "crops", folder / "run"
    crops.mkdir(parents=True)
    for number in range(80):
        crop(rng).save(crops / f"{number // 8:04d}_c{number % CAMERAS + 1}s1_{number:06d}_00.jpg", quality=90)
    data = read_images(crops)
    config = Config()
    run.mkdir()
    save_config(config, run / "config.toml")
    model = build_model(config.train, classes=2, cameras=CAMERAS).eval()
    cameras = tuple(map(int, data.cameras))
    state = RunState(epoch=1, identity_keys=(0, 1), camera_keys=cameras, data_sha256="", data_root=str(crops))
    save_checkpoint(run, model, state)
    export(run, folder / "model.onnx", config, data)
    out = folder / "gallery"
    Gallery.build(folder / "model.onnx", data, out, SearchConfig(precision="float16"))
    gallery = Gallery.open(out)
    known = [
        {"path": f"more/{row:07d}.jpg", "pid": row // 20, "camid": row % CAMERAS + 1, "frame": row, "time_s": row / 5.0}
        for row in range(rows)
    ]
    vectors = rng.standard_normal((rows, gallery.encoder.dimension), dtype=np.float32)
    gallery.add_features(Manifest.from_rows(known, crops), vectors)
    return out


def serve_and_count(gallery: Path) -> None:
    """The server in this process; at SIGUSR1 it prints what it has used so far."""
    from unrealperson.config import ServeConfig
    from unrealperson.export import encoder as encoder_module
    from unrealperson.log import configure_logging
    from unrealperson.serve import keeper, serve

    pool: set[str] = set()
    used = {"seconds": 0.0, "images": 0}

    class Counted(encoder_module.OnnxEncoder):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            before = set(os.listdir("/proc/self/task"))
            super().__init__(*arguments, **settings)
            pool.update(set(os.listdir("/proc/self/task")) - before)

        def encode_rows(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
            start = time.thread_time()
            vectors = super().encode_rows(images, rows)
            used["seconds"] += time.thread_time() - start
            used["images"] += len(images)
            return vectors

    def tell(*_: Any) -> None:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        told = {
            "cpu_s": time.process_time(),
            "inference_cpu_s": used["seconds"] + sum(map(_thread_seconds, pool)),
            "images": used["images"],
            "memory_mb": int(status["RssAnon"].split()[0]) / 1024,
        }
        print(json.dumps(told), flush=True)

    keeper.OnnxEncoder = Counted  # type: ignore[misc]
    signal.signal(signal.SIGUSR1, tell)
    configure_logging(as_json=True)
    serve(gallery, ServeConfig(port=0))


def _thread_seconds(tid: str) -> float:
    nanoseconds = Path(f"/proc/self/task/{tid}/schedstat").read_text().split()[0]
    return int(nanoseconds) / 1e9


def bare(gallery: Path, seconds: float, *, batch: int) -> None:
    """Prints what ONNX Runtime alone does with the same images, already decoded."""
    from unrealperson.gallery import OnnxEncoder

    encoder = OnnxEncoder(gallery / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (batch, encoder.height, encoder.width, 3), dtype=np.uint8)
    cameras, done = np.full(batch, 1), 0
    encoder.encode(images, cameras)
    cpu, wall = time.process_time(), time.perf_counter()
    while time.perf_counter() - wall < seconds:
        encoder.encode(images, cameras)
        done += batch
    gone = time.perf_counter() - wall
    print(json.dumps({"images_per_s": done / gone, "cpu_ms": 1e3 * (time.process_time() - cpu) / done}))


def ask(address: tuple[str, int], bodies: list[bytes], until: float, waits: list[float], statuses: list[int]) -> None:
    """One client: the next query as soon as the last one is answered."""
    connection = http.client.HTTPConnection(*address)
    headers = {"Content-Type": "multipart/form-data; boundary=frontier"}
    number = 0
    while time.perf_counter() < until:
        start = time.perf_counter()
        connection.request("POST", "/search?k=20", bodies[number % len(bodies)], headers)
        answer = connection.getresponse()
        answer.read()
        waits.append(time.perf_counter() - start)
        statuses.append(answer.status)
        number += 1
    connection.close()


def query_bodies() -> list[bytes]:
    """Requests with a JPEG image each."""
    rng, bodies = np.random.default_rng(1), []
    for _ in range(QUERIES):
        out = io.BytesIO()
        crop(rng).save(out, "JPEG", quality=90)
        head = b'--frontier\r\nContent-Disposition: form-data; name="image"; filename="q.jpg"\r\n\r\n'
        bodies.append(head + out.getvalue() + b"\r\n--frontier--\r\n")
    return bodies


def load(gallery: Path, *, seconds: float, clients: int) -> dict[str, Any]:
    """Figures of one server under load."""
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(gallery)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert server.stderr is not None and server.stdout is not None
    try:
        line = next(line for line in server.stderr if '"address"' in line)
        threading.Thread(target=server.stderr.read, daemon=True).start()
        host, _, port = json.loads(line)["address"].removeprefix("http://").rpartition(":")
        bodies = query_bodies()

        def told() -> dict[str, float]:
            server.send_signal(signal.SIGUSR1)
            return json.loads(server.stdout.readline())  # type: ignore[union-attr]

        def run(duration: float) -> tuple[list[float], list[int]]:
            waits: list[float] = []
            statuses: list[int] = []
            until = time.perf_counter() + duration
            threads = [
                threading.Thread(target=ask, args=((host, int(port)), bodies[i:] + bodies[:i], until, waits, statuses))
                for i in range(clients)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return waits, statuses

        run(min(5.0, seconds / 4))
        before, start = told(), time.perf_counter()
        waits, statuses = run(seconds)
        gone, after = time.perf_counter() - start, told()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    answered = statuses.count(200)
    inference = after["inference_cpu_s"] - before["inference_cpu_s"]
    return {
        "requests": len(statuses),
        "errors": len(statuses) - answered - statuses.count(429),
        "refused": statuses.count(429),
        "requests_per_s": answered / gone,
        "p50_ms": 1e3 * float(np.percentile(waits, 50)),
        "p99_ms": 1e3 * float(np.percentile(waits, 99)),
        "inference_cpu_ms": 1e3 * inference / answered,
        "beyond_cpu_ms": 1e3 * (after["cpu_s"] - before["cpu_s"] - inference) / answered,
        "memory_before_mb": before["memory_mb"],
        "memory_after_mb": after["memory_mb"],
    }


def run_bare(gallery: Path, seconds: float, batch: int) -> dict[str, float]:
    """Figures of ONNX Runtime alone, in a process of its own."""
    command = [sys.executable, __file__, "--bare", str(gallery), "--seconds", str(seconds), "--batch", str(batch)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def main() -> None:
    """Prints the table, or plays one of its parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--gallery", type=Path, help="a gallery to serve instead of a new one")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve_and_count(given.serve)
        return
    if given.bare:
        bare(given.bare, given.seconds, batch=given.batch)
        return
    with tempfile.TemporaryDirectory(dir=os.environ.get("UNREALPERSON_BENCH_DIR")) as folder:
        gallery = given.gallery or make_gallery(Path(folder), rows=given.rows)
        part = max(2.0, given.seconds / 6)
        for name in ("before", "load", "after"):
            found = load(gallery, seconds=given.seconds, clients=given.clients) if name == "load" else {
                f"bare ONNX Runtime, batches of {batch}": run_bare(gallery, part, batch) for batch in (1, given.batch)
            }  # fmt: skip
            print(name, json.dumps(found, indent=1))


def bench_serve_load(tmp_path: Path) -> None:
    """Ten seconds at saturation: no error but 429, and what the server adds to inference stays small."""
    found = load(make_gallery(tmp_path, rows=ROWS), seconds=10, clients=16)
    assert found["errors"] == 0 and found["requests"] > 0, found
    assert found["beyond_cpu_ms"] <= MOST_MS_BEYOND, found


if __name__ == "__main__":
    main()
