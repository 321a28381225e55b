"""A world of coloured boxes and a renderer of rectangles: quick stand-ins behind the real simulator."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from unrealperson.synth.cube import Cube
from unrealperson.synth.protocol import Server
from unrealperson.synth.simulator import Simulator
from unrealperson.synth.view import View

VIEWS = [View((0.0, 0.0, 1.5), 0.0, 0.0), View((0.0, 0.0, 1.5), 20.0, -5.0, fov_deg=70.0)]
CORNERS = np.array([(x, y, z) for x in (-0.2, 0.2) for y in (-0.3, 0.3) for z in (0.0, 1.8)])

FACES = np.array([(a, b, c) for a in range(8) for b in range(a) for c in range(b)], np.uint32)


@dataclass
class FakeActor:
    name: str
    person: Any
    position_m: tuple[float, float, float]
    yaw_deg: float = 90.0
    speed_mps: float = 1.25
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def positions(self) -> np.ndarray:
        return CORNERS * self.scale + self.position_m

    def surface(self) -> tuple[np.ndarray, np.ndarray]:
        return self.positions(), FACES

    def keypoints(self) -> np.ndarray:
        return np.linspace((-0.15, 0.0, 1.7), (-0.15, 0.0, 0.1), 17) + self.position_m


@dataclass
class FakeWorld:
    actors: dict[str, FakeActor] = field(default_factory=dict)
    cubes: dict[str, Any] = field(default_factory=dict)
    actor_count: int = 0
    time_s: float = 0.0
    light: int = 0
    revision: int = 0
    upcoming_light: int = 0
    full: bool = False
    scene: Any = field(
        default_factory=lambda: SimpleNamespace(
            name="box_street", meshes=[SimpleNamespace(name="Ground", positions=np.array([[-1.0, -2.0, 0], [3, 4, 0]]))]
        )
    )

    @property
    def lighting(self) -> SimpleNamespace:
        return SimpleNamespace(gain=1.0)

    def spawn(self, count: int, *, first: int | None = None) -> list[str]:
        names = []
        for number in range(self.actor_count if first is None else first, 10**9)[:count]:
            person = SimpleNamespace(number=number, version=1, attributes={"top": "shirt", "height_m": 1.8})
            name = f"MHMainClass_C_{number}"
            if self.full:
                raise ValueError(f"no room for {name}")
            self.actors[name] = FakeActor(name, person, (4.0 + number % 3, 2.0 - 1.0 * (number % 5), 0.0))
            self.actor_count = number + 1
            names.append(name)
        return names

    @property
    def things(self) -> dict[str, Any]:
        return self.actors | self.cubes

    def add_cube(self, name: str) -> None:
        self.cubes[name] = FakeActor(name, Cube(), (0.0, 0.0, 0.0), 0.0)

    def rename(self, name: str, new_name: str) -> None:
        self.actors[new_name] = self.actors.pop(name)
        self.actors[new_name].name = new_name

    def despawn(self) -> None:
        self.actors.clear()

    def advance(self, seconds: float) -> None:
        self.time_s += seconds
        for actor in self.actors.values():
            x, y, z = actor.position_m
            actor.position_m = (x, y + 0.1 * seconds, z)

    def next_light(self) -> None:
        self.light, self.upcoming_light = self.upcoming_light, self.upcoming_light + 1

    def reset_light(self) -> None:
        self.upcoming_light = 0


class FakeRenderer:
    """Draws each actor's bounding rectangle, the farthest first."""

    driver = "rectangles, 1.0"

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.renders = 0
        self.threads: set[int] = set()

    def resize(self, width: int, height: int) -> None:
        self.width, self.height = width, height

    def render(self, world: FakeWorld, view: View, what: str, colors: Mapping[str, tuple[int, int, int]]) -> np.ndarray:
        self.renders += 1
        self.threads.add(threading.get_ident())
        if what == "depth":
            return np.full((self.height, self.width), 2.5, np.float32)
        image = np.zeros((self.height, self.width, 3), np.uint8)
        if what == "lit":
            image[:] = (np.arange(self.width) % 251)[None, :, None] + 4 * world.light
        for name, actor in sorted(world.actors.items(), key=lambda item: -item[1].position_m[0]):
            points, depth = view.project(actor.positions(), self.width, self.height)
            if (depth > 0.1).all():
                left, top = np.maximum(points.min(0).round().astype(int), 0)
                right, bottom = points.max(0).round().astype(int)
                tint = (60 + 5 * (actor.person.number % 30), 90, 200 - 3 * world.light)
                image[top : max(bottom, 0), left : max(right, 0)] = colors[name] if what == "object_mask" else tint
        return image


@contextlib.contextmanager
def running_simulator(
    *,
    width: int = 160,
    height: int = 120,
    people: int = 3,
    interval_s: float = 2.0,
    patience_s: float = math.inf,
    unix: bool = False,
    twist: Callable[[Simulator, str], bytes] = lambda simulator, command: simulator.run(command),
) -> Iterator[SimpleNamespace]:
    """A simulator over the fakes, served from a thread of its own; `twist` may answer in its place.

    Yields an object with `server`, `simulator`, `world`, `renderer` and `address`.
    """
    world, renderer = FakeWorld(), FakeRenderer(width, height)
    simulator = Simulator(
        world,  # type: ignore[arg-type]
        renderer,  # type: ignore[arg-type]
        views=VIEWS,
        width=width,
        height=height,
        people=people,
        interval_s=interval_s,
        patience_s=patience_s,
    )
    with Server(partial(twist, simulator), unix=unix) as server:
        simulator.game.server = server
        thread = threading.Thread(target=server.serve, kwargs={"idle": simulator.idle})
        thread.start()
        try:
            yield SimpleNamespace(
                server=server,
                thread=thread,
                simulator=simulator,
                world=world,
                renderer=renderer,
                address=("127.0.0.1", server.port),
                last_words=lambda: "it still runs; its last words: none",
            )
        finally:
            server.stop()
            thread.join(10)
            assert not thread.is_alive()
