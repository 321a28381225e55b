"""The embedded simulator: UnrealCV's commands over a `World` and a `Renderer`, without a game engine.

The clock is stepped, so that what a client sees depends only on the commands it sent: time moves by a
fixed interval at every Pause that follows a Resume, and stands still otherwise.

    python -m unrealperson.synth.simulator --port 9000
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unrealperson.config import SynthConfig, load_config
from unrealperson.log import configure_logging, get_logger
from unrealperson.synth.commands.cameras import Cameras
from unrealperson.synth.commands.game import Game
from unrealperson.synth.commands.objects import Objects
from unrealperson.synth.poses import views_of
from unrealperson.synth.protocol import Dispatcher, Server
from unrealperson.synth.view import View

if TYPE_CHECKING:
    from unrealperson.synth.people.person import Person
    from unrealperson.synth.renderer import Renderer
    from unrealperson.synth.world import World

PATIENCE_S = 10.0
"""Longest wait for people who are being made: the official client gives up after 15 s and then mixes up replies."""

_logger = get_logger(__name__)
_needs_no_people = re.compile(
    r"vget /(unrealcv/.*|objects *|object/[^ ]*/color *)$"
    r"|v[gs]et /(cameras.*|camera/\d+/(location|rotation|pose|fov|size)( .*)?)$"
)


class Simulator:
    """UnrealCV's commands over a world and a renderer.

    Attributes:
        objects: names, colours and people.
        cameras: poses and images.
        game: time, light and events.
    """

    def __init__(
        self,
        world: World,
        renderer: Renderer,
        *,
        views: Sequence[View],
        width: int,
        height: int,
        people: int,
        interval_s: float,
        patience_s: float = math.inf,
    ) -> None:
        """Registers the commands.

        Args:
            world: who is where, at what time, in what light.
            renderer: draws that world; used only from the thread that calls `run`.
            views: where cameras 1, 2, ... stand, at least one; camera 0 begins at the first.
            width: image width of every camera at the start, in pixels.
            height: image height of every camera at the start, in pixels.
            people: how many people one AddActor spawns.
            interval_s: simulated seconds by which a Pause after a Resume moves the clock.
            patience_s: longest wait of one command for people whom AddActor promised, in seconds.
        """
        self._patience_s = patience_s
        self.objects = Objects(world)
        self.cameras = Cameras(world, renderer, self.objects, views=views, width=width, height=height)
        self.game = Game(world, self.objects, self.cameras, people=people, interval_s=interval_s)
        self._dispatcher = Dispatcher()
        for part in (self.game, self.objects, self.cameras):
            part.add_commands(self._dispatcher)

    def run(self, command: str) -> bytes:
        """Runs one command.

        Args:
            command: its text.

        Returns:
            The reply's body.
        """
        if not command.startswith("vget"):
            self.cameras.forget_images()
        if not _needs_no_people.match(command):
            late_s = time.monotonic() + self._patience_s
            while self.idle():
                if time.monotonic() >= late_s:
                    return f"error {self.objects.awaited} people are still being made; ask again".encode()
            if failure := self.objects.take_failure():
                return f"error {failure}".encode()
        return self._dispatcher.run(command)

    def idle(self) -> bool:
        """Makes the next person whom AddActor promised, for a server that has nothing else to do.

        Returns:
            Whether more people wait.
        """
        return self.objects.make_next()


def make_simulator(config: SynthConfig, *, people: Path | None = None, patience_s: float = math.inf) -> Simulator:
    """Builds scene, world and renderer; the calling thread owns the graphics context from then on.

    Args:
        config: who, where (the first of its scenes) and when; its split, sensor, endpoint and workers do not matter.
        people: folder in which people are kept, for other simulators of this configuration too.
        patience_s: longest wait of one command for people whom AddActor promised, in seconds.

    Raises:
        RuntimeError: no graphics.
        ValueError: accessories or surfaces that do not exist, or a file of camera poses that holds none.
    """
    from unrealperson.synth.people.keep import keep_people
    from unrealperson.synth.people.person import person_maker
    from unrealperson.synth.people.riding import let_ride
    from unrealperson.synth.renderer import Renderer
    from unrealperson.synth.scenes import make_scene, usual
    from unrealperson.synth.scenes.clutter import add_clutter
    from unrealperson.synth.world import World

    number = config.scenes[0]
    views = views_of(config, number)
    scene = add_clutter(make_scene(number, config.seed, place=config.place, surfaces=config.surfaces), config.crowding)
    make: Callable[[int, int, int], Person] = person_maker(config)
    if people is not None:
        make = keep_people(make, people)
    if config.riders and not scene.indoor:
        make = let_ride(make, config.riders)
    return Simulator(
        World(
            scene,
            seed=config.seed,
            version=config.versions[0],
            lights=config.lights or usual(number).lights,
            hours=config.hours,
            crowding=config.crowding,
            make=make,
        ),
        Renderer(scene, width=config.width, height=config.height),
        views=views,
        width=config.width,
        height=config.height,
        people=(config.people_per_batch or usual(number).people) + config.compat,
        interval_s=config.interval_s,
        patience_s=patience_s,
    )


def serve_simulator(
    config: SynthConfig,
    *,
    people: Path | None = None,
    port: int = 9000,
    unix: bool = False,
    patience_s: float = PATIENCE_S,
    on_ready: Callable[[Server], None] | None = None,
) -> None:
    """Runs a simulator in the calling thread, on 127.0.0.1, until it is interrupted.

    Args:
        config: who, where and when; its split, sensor, endpoint and workers do not matter here.
        people: folder in which people are kept, for other simulators of this configuration too.
        port: TCP port, 0 for a free one.
        unix: also listen on the Unix socket of that port.
        patience_s: longest wait of one command for people whom AddActor promised, in seconds.
        on_ready: called once with the listening server; None logs its addresses.

    Raises:
        ValueError: no such port, or as for `make_simulator`.
        RuntimeError: the port is taken, or no graphics.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"a port lies in 0 ... 65535 (0: a free one), got {port}")
    simulator = make_simulator(config, people=people, patience_s=patience_s)
    with Server(simulator.run, port=port, unix=unix) as server:
        simulator.game.server = server
        (on_ready or _log_ready)(server)
        server.serve(idle=simulator.idle)


def _log_ready(server: Server) -> None:
    also = f" and {server.unix_path}" if server.unix_path is not None else ""
    _logger.info("the simulator listens on 127.0.0.1:%d%s; stop it with Ctrl-C", server.port, also)


def _end_with_parent() -> None:
    """Ends this process when its standard input does, which is when its parent is gone."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        main_thread = threading.main_thread().ident
        if main_thread is not None:
            signal.pthread_kill(main_thread, signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _announce(server: Server) -> None:
    path = str(server.unix_path) if server.unix_path is not None else None
    sys.stdout.write(json.dumps({"port": server.port, "unix": path, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a simulator and writes one JSON line with its port to standard output when it is ready.

    Args:
        arguments: command line without the program's name; None takes the process's own.
    """
    parser = argparse.ArgumentParser(prog="python -m unrealperson.synth.simulator", description="UnrealCV simulator")
    parser.add_argument("--config", type=Path, help="TOML file whose section synth counts")
    parser.add_argument("--people", type=Path, help="folder in which people are kept for other simulators")
    parser.add_argument("--port", type=int, default=9000, help="TCP port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--unix", action="store_true", help="also listen on a Unix socket")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input does")
    options = parser.parse_args(arguments)
    configure_logging()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if options.exit_with_parent:
        _end_with_parent()
    try:
        config = load_config(options.config).synth
        # Whoever starts this process has a limit of its own.
        serve_simulator(
            config,
            people=options.people,
            port=options.port,
            unix=options.unix,
            patience_s=math.inf,
            on_ready=_announce,
        )
    except (ValueError, RuntimeError) as error:
        sys.exit(f"simulator: {error}")


if __name__ == "__main__":
    main()
