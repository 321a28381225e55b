"""The wire of the UnrealCV server: what images cost on it beside rendering them, and how many small requests it takes.

CPU seconds of server and official client together, in one process over loopback. The floor is rendering alone (two
images of one instant, 640x480, 20 people); the goal is 10 % on top of it for BMP and npy. PNG is what the original's
scripts ask for.

Run: pytest bench/bench_transfer.py
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from unrealperson.config import SynthConfig
from unrealperson.synth.commands.cameras import Cameras
from unrealperson.synth.endpoint import Endpoint, decode_image
from unrealperson.synth.protocol import Server
from unrealperson.synth.simulator import Simulator, make_simulator

GOAL_SHARE, GOAL_PER_S = 0.10, 200
ROUNDS = 10
DECODERS: dict[str, Callable[[Any], np.ndarray]] = {
    "bmp": decode_image,
    "npy": lambda reply: np.load(io.BytesIO(reply)),
    "png": decode_image,
}

# Read when Mesa loads, which is later than this.
os.environ.setdefault("LP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return make_simulator(SynthConfig(people_per_batch=20))


@pytest.fixture
def render_s(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """CPU seconds that rendering takes, as they add up in `spent`."""
    clock, render = SimpleNamespace(spent=0.0), Cameras._render

    def timed(*arguments: Any) -> np.ndarray:
        start_s = time.process_time()
        image = render(*arguments)
        clock.spent += time.process_time() - start_s
        return image

    monkeypatch.setattr(Cameras, "_render", timed)
    return clock


def serve(simulator: Simulator, talk: Callable[[Endpoint], None], *, unix: bool = False) -> None:
    """Serves in this thread, which owns the graphics, while another one talks."""

    def visit() -> None:
        try:
            with Endpoint(str(server.unix_path) if unix else ("127.0.0.1", server.port), timeout_s=120.0) as endpoint:
                talk(endpoint)
        finally:
            server.stop()

    with Server(simulator.run, unix=unix) as server:
        thread = threading.Thread(target=visit)
        thread.start()
        server.serve(idle=simulator.idle)
        thread.join()


@pytest.fixture
def show(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[str], None]]:
    """Writes a line to the terminal at once."""

    def write(line: str) -> None:
        with capsys.disabled():
            request.config.pluginmanager.get_plugin("terminalreporter").write_line(line)

    yield write


def bench_images(
    benchmark: BenchmarkFixture, simulator: Simulator, render_s: SimpleNamespace, show: Callable[[str], None]
) -> None:
    """Colour image and mask of one instant in one batch, decoded; the forms take turns."""
    shares: dict[str, list[tuple[float, float]]] = {form: [] for form in DECODERS}

    def talk(endpoint: Endpoint) -> None:
        endpoint.request("vrun ce DelActor", "vrun ce AddActor")
        for number in range(ROUNDS + 1):
            for form, decode in DECODERS.items():
                endpoint.request("vrun ce Resume", "vrun ce Pause")
                render_s.spent, start_s = 0.0, time.process_time()
                for reply in endpoint.request(f"vget /camera/0/lit {form}", f"vget /camera/0/object_mask {form}"):
                    decode(reply)
                total_s = time.process_time() - start_s
                if number:  # the first brings textures to the device
                    shares[form].append((render_s.spent, total_s - render_s.spent))

    benchmark.pedantic(lambda: serve(simulator, talk), rounds=1)
    show("")
    for form, pairs in shares.items():
        floor_s, extra_s = np.median(pairs, axis=0)
        share = extra_s / floor_s
        show(f"{form}: render {1e3 * floor_s:.0f} ms, transfer {1e3 * extra_s:.1f} ms: {100 * share:.1f} % on top")
        benchmark.extra_info[form] = {"render_s": floor_s, "transfer_s": extra_s}
        if form != "png" and share > GOAL_SHARE:
            pytest.fail(f"{form} takes {100 * share:.1f} % on top of rendering, goal {100 * GOAL_SHARE:.0f}", False)


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def bench_small_requests(
    benchmark: BenchmarkFixture, simulator: Simulator, show: Callable[[str], None], unix: bool
) -> None:
    """One `vget /camera/0/location` after the other."""
    spent_s: list[float] = []

    def talk(endpoint: Endpoint) -> None:
        for _ in range(5):
            start_s = time.process_time()
            for _ in range(1000):
                endpoint.request("vget /camera/0/location")
            spent_s.append(time.process_time() - start_s)

    benchmark.pedantic(lambda: serve(simulator, talk, unix=unix), rounds=1)
    rate = 1000 / min(spent_s)
    benchmark.extra_info["per_cpu_s"] = rate
    show(f"\n{rate:.0f} small requests a CPU-second, goal {GOAL_PER_S} a second")
