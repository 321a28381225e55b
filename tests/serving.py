"""A small gallery, and servers for it: in this process for calls, in another for sockets, signals and browsers."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from encoders import HEIGHT, WIDTH, make_model
from PIL import Image

from unrealperson.config import SearchConfig, ServeConfig
from unrealperson.data.manifest import Manifest
from unrealperson.gallery import Gallery
from unrealperson.serve import Keeper, Service

PEOPLE, CAMERAS = 6, (1, 2)


def image_bytes(seed: int, kind: str = "PNG", size: tuple[int, int] = (WIDTH * 4, HEIGHT * 4)) -> bytes:
    """An image file of its own for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def make_gallery(folder: Path) -> Path:
    """Six people, each seen twice by two cameras, with times and looks."""
    crops = folder / "crops"
    crops.mkdir(parents=True)
    rows = []
    for number in range(PEOPLE * 4):
        person, camera, turn = number // 4, CAMERAS[number % 2], number % 4 // 2
        path = f"{person:04d}_c{camera}_{turn}.png"
        (crops / path).write_bytes(image_bytes(number))
        rows.append(
            {
                "path": path, "pid": person, "camid": camera, "frame": 10 * number, "time_s": 2.0 * number,
                "attributes": json.dumps({"gender": "female" if person % 2 else "male", "hat": "none"}),
            }
        )  # fmt: skip
    model = make_model(folder / "model.onnx")
    Gallery.build(model, Manifest.from_rows(rows, crops), folder / "gallery", SearchConfig())
    return folder / "gallery"


def detail(answer: httpx.Response, status: int) -> str:
    """What an answer of that status explains."""
    assert answer.status_code == status, answer.text
    return answer.json()["detail"]


class Client:
    """Calls a server in this process, whose event loop runs in a thread."""

    def __init__(self, gallery: Path, config: ServeConfig | None = None, *, token: str = "") -> None:
        self.keeper = Keeper(gallery, threads=1)
        self.service = Service(self.keeper, config or ServeConfig(refresh_s=0.05), token=token)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._life = self.service.api.router.lifespan_context(self.service.api)
        self.run(self._life.__aenter__())
        transport = httpx.ASGITransport(self.service.guard)  # type: ignore[arg-type]
        self._http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def run(self, task: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result(30)

    def get(self, url: str, **how: Any) -> httpx.Response:
        return self.run(self._http.get(url, **how))

    def post(self, url: str, **how: Any) -> httpx.Response:
        return self.run(self._http.post(url, **how))

    def search(self, content: bytes, **asked: Any) -> httpx.Response:
        return self.post("/search", files={"image": ("q.png", content)}, params=asked)

    def together(self, *calls: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        """Several requests at once: method, path, settings."""

        async def all_of_them() -> list[httpx.Response]:
            return await asyncio.gather(*(self._http.request(method, url, **how) for method, url, how in calls))

        return self.run(all_of_them())

    def close(self) -> None:
        self.run(self._http.aclose())
        self.run(self._life.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def client(gallery: Path, config: ServeConfig | None = None, *, token: str = "") -> Iterator[Client]:
    own = Client(gallery, config, token=token)
    try:
        yield own
    finally:
        own.close()


class Server:
    """'unrealperson serve' in a process of its own."""

    def __init__(self, gallery: Path, *flags: str, **environment: str) -> None:
        command = [sys.executable, "-m", "unrealperson.cli", "serve", "--gallery", str(gallery)]
        command += ["--serve.port", "0", "--log-json"]
        root = Path(__file__).resolve().parents[1]
        self.process = subprocess.Popen(
            [*command, *flags], cwd=root, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
        )
        self.log: list[dict[str, Any]] = []
        self._started = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._started.wait(60)
        addresses = [line["address"] for line in self.log if "address" in line]
        if not addresses:
            self.stop()
            raise RuntimeError(f"the server did not start: {self.log}")
        self.address = addresses[0]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(json.loads(line) if line.startswith("{") else {"message": line})
            if "address" in self.log[-1]:
                self._started.set()
        self._started.set()

    def stop(self) -> int:
        """Asks it to end; returns its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(120)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


@contextmanager
def server(gallery: Path, *flags: str, **environment: str) -> Iterator[Server]:
    own = Server(gallery, *flags, **environment)
    try:
        yield own
    finally:
        own.stop()


def until(condition: Any, seconds: float = 10.0) -> None:
    """Waits for something that another thread brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
