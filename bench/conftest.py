"""Races: ours against its peers and against the floor, interleaved in one run, with ratio columns at the end."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import psutil
import pytest

# Read when the libraries load, which is later than this. The OpenBLAS in faiss does not find its best kernel by itself,
# and threads of OpenMP that spin for long take the cores from those of OpenBLAS.
with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpus:
    if "avx512f" in cpus.read():
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
os.environ.pop("OPENBLAS_L2_SIZE", None)
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_finished = pytest.StashKey[list["Race"]]()


def cpu_seconds() -> float:
    """Of all threads of this process and of its children, the ended ones included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = [child.cpu_times() for child in psutil.Process().children()]
    return time.process_time() + sum(times[0] + times[1] for times in (ended, *alive))


@dataclass
class Timing:
    """Best of the rounds.

    Attributes:
        wall_s: seconds by the clock.
        cpu_s: seconds of all threads of this process and its children.
    """

    wall_s: float = float("inf")
    cpu_s: float = float("inf")

    def run(self, contender: Callable[[], Any]) -> None:
        cpu, wall = cpu_seconds(), time.perf_counter()
        contender()
        self.wall_s = min(self.wall_s, time.perf_counter() - wall)
        self.cpu_s = min(self.cpu_s, cpu_seconds() - cpu)


@dataclass
class Race:
    """One finished race.

    Attributes:
        name: of the bench.
        ours: timing of our operation.
        peers: timing of each peer, by name.
        flop: operations that the result needs.
        traffic: bytes that have to move.
        goals: largest allowed ratio of our time to a peer's, by the peer's name.
        clock: which time ratios compare.
    """

    name: str
    ours: Timing
    peers: dict[str, Timing]
    flop: float
    traffic: float
    goals: Mapping[str, float] = field(default_factory=dict)
    clock: Literal["wall", "cpu"] = "wall"

    def ratio(self, peer: str) -> float:
        ours, theirs = (getattr(timing, f"{self.clock}_s") for timing in (self.ours, self.peers[peer]))
        return ours / theirs

    def missed(self) -> list[str]:
        return [
            f"{self.ratio(peer):.2f} x {peer}, goal {goal:.2f}"
            for peer, goal in self.goals.items()
            if not self.ratio(peer) <= goal
        ]

    def lines(self) -> Iterator[str]:
        floor = [f"{self.flop / self.ours.wall_s / 1e9:.0f} GFLOP/s"] if self.flop else []
        floor += [f"{self.traffic / self.ours.wall_s / 1e9:.1f} GB/s"] if self.traffic else []
        yield f"{self.name}  {', '.join(floor)}".rstrip()
        yield f"  {'contender':<42}{'wall ms':>12}{'CPU ms':>12}{'ours / it':>11}{'goal':>7}"
        for who, timing in (("ours", self.ours), *self.peers.items()):
            ratio = "" if who == "ours" else f"{self.ratio(who):.2f}"
            goal = f"{self.goals[who]:.2f}" if who in self.goals else ""
            yield f"  {who:<42}{1e3 * timing.wall_s:>12.3f}{1e3 * timing.cpu_s:>12.3f}{ratio:>11}{goal:>7}"


@pytest.fixture
def race(benchmark, request: pytest.FixtureRequest) -> Callable[..., Race]:
    """Run a race: `race(ours, peers, rounds=3, goals={})`, all contenders without arguments.

    Each round runs every peer once and then ours, after one round to warm up, so that noise of a shared machine falls
    on all of them alike. The best round counts. A goal that is missed fails the bench.
    """

    def run(
        ours: Callable[[], Any],
        peers: Mapping[str, Callable[[], Any]],
        *,
        rounds: int = 3,
        flop: float = 0,
        traffic: float = 0,
        goals: Mapping[str, float] | None = None,
        clock: Literal["wall", "cpu"] = "wall",
    ) -> Race:
        unknown = set(goals or {}) - set(peers)
        if unknown:
            raise ValueError(f"goals name no peer: {', '.join(sorted(unknown))}")
        for contender in (*peers.values(), ours):
            contender()
        name = request.node.name.removeprefix("bench_")
        result = Race(name, Timing(), {peer: Timing() for peer in peers}, flop, traffic, goals or {}, clock)

        def run_peers() -> None:
            for peer, contender in peers.items():
                result.peers[peer].run(contender)

        benchmark.pedantic(lambda: result.ours.run(ours), setup=run_peers, rounds=rounds)
        benchmark.extra_info |= {
            "cpu_s": result.ours.cpu_s,
            "ratio": {peer: round(result.ratio(peer), 4) for peer in peers},
            "floor_flop": flop,
            "floor_bytes": traffic,
        }
        request.config.stash.setdefault(_finished, []).append(result)
        if missed := result.missed():
            pytest.fail(f"{name} takes {'; '.join(missed)}", pytrace=False)
        return result

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    races = config.stash.get(_finished, [])
    if races:
        terminalreporter.section("races: best of the rounds, ours over each peer")
    for race in races:
        for line in race.lines():
            terminalreporter.write_line(line)
