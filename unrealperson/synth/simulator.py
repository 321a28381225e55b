"""The embedded simulator: UnrealCV's commands over a `World` and a `Renderer`, without a game engine.

The clock is stepped, so that what a client sees depends only on the commands it sent: time moves by a
fixed interval at every Pause that follows a Resume, and stands still otherwise.

    python -m unrealperson.synth.simulator --port 9000
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrealperson.config import SynthConfig, load_config
from unrealperson.log import configure_logging, get_logger
from unrealperson.synth.cameras import camera_views
from unrealperson.synth.protocol import PALETTE_SIZE, CommandError, Dispatcher, Server, encode_image, palette
from unrealperson.synth.truth import describe_camera, describe_person
from unrealperson.synth.view import View, from_unreal, to_unreal
from unrealperson.synth.world import PERSON_PREFIX

if TYPE_CHECKING:
    from unrealperson.synth.renderer import Renderer, What
    from unrealperson.synth.world import Actor, World

SERVER_VERSION = "1.1.0"
"""The first UnrealCV release whose servers report their commands, as this one does."""

PERSON_CLASS = PERSON_PREFIX.removesuffix("_")
SKY = "Sky"
CACHE_BYTES = 2**28
"""Images of one instant that are kept for further questions about it; the oldest go first."""

Triple = tuple[float, float, float]

_logger = get_logger(__name__)
_modes: dict[str, What] = {
    "lit": "lit",
    "object_mask": "object_mask",
    "seg": "object_mask",
    "normal": "normal",
    "depth": "depth",
}
_min_size, _max_size = 64, 4096
_needs_no_people = re.compile(r"vget /(unrealcv/.*|objects *|cameras *|object/[^ ]*/color *)$")


@dataclass
class _Camera:
    name: str
    view: View
    width: int
    height: int


class Simulator:
    """UnrealCV's commands over a world and a renderer.

    Camera 0 is the player's; cameras 1, 2, ... stand at the scene's surveillance views.
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
        """
        self._world = world
        self._renderer = renderer
        self._people = people
        self._interval_s = interval_s
        self._cameras = [
            _Camera("PlayerCamera" if index == 0 else f"FusionCameraActor_{index}", view, width, height)
            for index, view in enumerate([views[0], *views])
        ]
        self._size = (width, height)
        self._paused = False
        self._resumed = False
        self._mode = "lit"
        self._static = {mesh.name: mesh for mesh in world.scene.meshes}
        self._hidden: dict[str, Actor] = {}
        self._colors: dict[str, tuple[int, int, int]] = {}
        self._images: dict[tuple[int, str], np.ndarray] = {}
        self._pending: list[str] = []
        self._failure = ""
        self._dispatcher = Dispatcher()
        self.server: Server | None = None
        for name in (SKY, *self._static, *world.actors):
            self._annotate(name)
        self._add_commands()

    def run(self, command: str) -> bytes:
        """Runs one command.

        Args:
            command: its text.

        Returns:
            The reply's body.
        """
        if not command.startswith("vget"):
            self._images.clear()
        if not _needs_no_people.match(command):
            while self.idle():
                pass
            if self._failure:
                failure, self._failure = self._failure, ""
                return f"error {failure}".encode()
        return self._dispatcher.run(command)

    def idle(self) -> bool:
        """Makes the next person whom AddActor promised, for a server that has nothing else to do.

        Returns:
            Whether more people wait.
        """
        if self._pending:
            name = self._pending.pop(0)
            try:
                self._world.spawn(1, first=int(name.removeprefix(PERSON_PREFIX)))
            except ValueError as error:
                _logger.warning("AddActor failed: %s", error)
                self._failure = str(error)
                self._pending.clear()
        return bool(self._pending)

    def _add_commands(self) -> None:
        add = self._dispatcher.add
        add("vget /unrealcv/status", self._status, "State of the server")
        add("vget /unrealcv/version", lambda: SERVER_VERSION, "Version of the protocol")
        add("vget /unrealcv/echo [str]", lambda text: text, "The same text")
        add("vget /scene/name", lambda: "unrealperson", "Name of the project")
        add("vget /level/name", lambda: self._world.scene.name, "Name of the scene")
        add("vbatch [uint]", lambda count: None, "The next commands share one instant, as all do between two steps")
        self._add_object_commands(add)
        self._add_camera_commands(add)
        add("vget /viewmode", lambda: self._mode, "View mode of the player")
        add("vset /viewmode [str]", self._set_mode, "Set the view mode of the player")
        add("vset /action/game/pause", self._pause, "Pause the game")
        add("vset /action/game/resume", self._resume, "Resume the game")
        add("vget /action/game/is_paused", lambda: "true" if self._paused else "false", "Whether the game is paused")
        add("vset /action/input/[str]", self._ignore, "Accepted without effect: there is no player")
        add("vset /action/keyboard [str] [float]", self._ignore, "Accepted without effect: there is no player")
        for verb in ("vrun", "vcmd"):
            for words in range(1, 7):
                add(verb + " [str]" * words, self._console, "Run a console command; 'ce EVENT' fires a level event")
        add("vget /person/[str]/attributes", self._attributes, "What a person looks like, as JSON")

    def _add_object_commands(self, add: Callable[[str, Callable[..., Any], str], None]) -> None:
        add("vget /objects", lambda: "".join(f"{name} " for name in self._names()), "Names of all objects")
        add("vget /object/[str]/color", self._color, "Mask colour of an object")
        add("vset /object/[str]/color [uint] [uint] [uint]", self._set_color, "Set the mask colour")
        add("vget /object/[str]/location", self._location, "Location x y z in cm")
        add("vset /object/[str]/location [float] [float] [float]", self._set_location, "Move a person")
        add("vget /object/[str]/rotation", self._rotation, "Rotation pitch yaw roll in degrees")
        add("vset /object/[str]/rotation [float] [float] [float]", self._set_rotation, "Turn a person")
        add("vget /object/[str]/scale", self._scale, "Scale x y z")
        add("vget /object/[str]/bounds", self._bounds, "Bounding box in cm: min x y z, max x y z")
        add("vget /object/[str]/mobility", self._mobility, "Movable or Static")
        add("vget /object/[str]/uclass_name", self._class_name, "Class of an object")
        add("vset /object/[str]/hide", self._hide, "Hide a person")
        add("vset /object/[str]/show", self._show, "Show a hidden person")
        add("vset /object/[str]/destroy", self._destroy, "Remove a person")
        add("vset /objects/spawn [str]", self._spawn, f"Spawn one {PERSON_CLASS}; the reply is its name")

    def _add_camera_commands(self, add: Callable[[str, Callable[..., Any], str], None]) -> None:
        add("vget /cameras", lambda: "".join(f"{camera.name} " for camera in self._cameras), "Names of all cameras")
        add("vset /cameras/spawn", self._spawn_camera, "Add a camera; the reply is its name")
        add("vget /camera/[uint]/location", lambda i: _numbers(to_unreal(self._view(i))[0]), "Location x y z in cm")
        add("vget /camera/[uint]/rotation", lambda i: _numbers(to_unreal(self._view(i))[1]), "Pitch yaw roll")
        add("vget /camera/[uint]/pose", self._pose, "Location and rotation")
        add("vset /camera/[uint]/location [float] [float] [float]", self._set_camera_location, "Move the camera")
        add("vset /camera/[uint]/rotation [float] [float] [float]", self._set_camera_rotation, "Turn the camera")
        add("vset /camera/[uint]/pose" + " [float]" * 6, self._set_pose, "Move and turn the camera")
        add("vget /camera/[uint]/fov", lambda i: f"{self._view(i).fov_deg:f}", "Horizontal field of view in degrees")
        add("vset /camera/[uint]/fov [float]", self._set_fov, "Set the horizontal field of view")
        add("vget /camera/[uint]/size", lambda i: f"{self._camera(i).width} {self._camera(i).height}", "Width height")
        add("vset /camera/[uint]/size [uint] [uint]", self._set_size, "Set the image size in pixels")
        for mode in _modes:
            add(f"vget /camera/[uint]/{mode} [str]", self._image_command(mode), "Image as png, bmp or npy")
        add("vget /camera/[uint]/class_mask [str]", self._class_mask, "Image with one colour a class of objects")
        add("vget /classes", self._classes, "Colour of each class in class_mask, as JSON")
        add("vget /camera/[uint]/annotations", self._annotations, "Every person in view, as JSON")

    # --- server and game

    def _status(self) -> str:
        player = self._cameras[0]
        return "\n".join(
            (
                "Is Listening",
                "Client Connected" if self.server is not None and self.server.connected else "No Client Connected",
                str(self.server.port if self.server is not None else 0),
                "Configuration",
                "Config file: none",
                f"Port: {self.server.port if self.server is not None else 0}",
                f"Width: {player.width}",
                f"Height: {player.height}",
                f"FOV: {player.view.fov_deg:.1f}",
                "EnableInput: true",
                "EnableRightEye: false",
            )
        )

    def _set_mode(self, mode: str) -> None:
        if mode not in _modes:
            raise CommandError(f"View mode {mode} is unknown; choose one of {', '.join(_modes)}")
        self._mode = mode

    def _pause(self) -> None:
        if self._resumed:
            self._world.advance(self._interval_s)
        self._paused, self._resumed = True, False

    def _resume(self) -> None:
        self._paused, self._resumed = False, True

    def _ignore(self, *arguments: object) -> None:
        """Accepts a command that has no meaning without a player."""

    def _console(self, *words: str) -> None:
        """Runs a level event; as in Unreal Engine, whatever is unknown is accepted."""
        if words[0] != "ce" or len(words) < 2:
            return
        event, arguments = words[1], words[2:]
        if event == "AddActor":
            self._add_people(arguments)
        elif event == "DelActor":
            self._world.despawn()
            self._hidden.clear()
        elif event == "LC":
            self._world.next_light()
        elif event == "LCreset":
            self._world.reset_light()
        elif event == "Pause":
            self._pause()
        elif event == "Resume":
            self._resume()

    def _add_people(self, arguments: Sequence[str]) -> None:
        """AddActor [FIRST] [COUNT]: without arguments the next `people` numbers, as the original's event.

        The reply comes at once and people are made afterwards: clients give up after 15 s.
        """
        if len(arguments) > 2 or not all(argument.isdecimal() for argument in arguments):
            raise CommandError(f"AddActor takes [FIRST] [COUNT], got '{' '.join(arguments)}'")
        first = int(arguments[0]) if arguments else None
        count = int(arguments[1]) if len(arguments) == 2 else self._people
        if len(self._colors) + count > PALETTE_SIZE:
            raise CommandError(f"The {PALETTE_SIZE} mask colours are used up; restart the simulator")
        first = self._world.actor_count if first is None else first
        self._pending = [f"{PERSON_PREFIX}{number}" for number in range(first, first + count)]
        for name in self._pending:
            self._annotate(name)

    # --- objects

    def _names(self) -> list[str]:
        return [SKY, *self._static, *self._world.actors, *self._hidden, *self._pending]

    def _annotate(self, name: str) -> None:
        """Gives a name its colour for the lifetime of the server; the first name is black."""
        if name not in self._colors:
            self._colors[name] = palette()[len(self._colors)]

    def _actor(self, name: str) -> Actor:
        actor = self._world.actors.get(name) or self._hidden.get(name)
        if actor is None:
            if name == SKY or name in self._static:
                raise CommandError(f"Object {name} is static")
            raise CommandError("Can not find object")
        return actor

    def _require(self, name: str) -> None:
        if name != SKY and name not in self._static and name not in self._pending:
            self._actor(name)

    def _color(self, name: str) -> str:
        self._require(name)
        return "(R={},G={},B={},A=255)".format(*self._colors[name])

    def _set_color(self, name: str, red: int, green: int, blue: int) -> None:
        self._require(name)
        if max(red, green, blue) > 255:
            raise CommandError("Argument Invalid")
        self._colors[name] = (red, green, blue)

    def _pose_of(self, name: str) -> tuple[Triple, Triple]:
        self._require(name)
        if name == SKY or name in self._static:
            return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        actor = self._actor(name)
        return to_unreal(View(actor.position_m, actor.yaw_deg, 0.0))

    def _location(self, name: str) -> str:
        return _numbers(self._pose_of(name)[0])

    def _rotation(self, name: str) -> str:
        return _numbers(self._pose_of(name)[1])

    def _set_location(self, name: str, x: float, y: float, z: float) -> None:
        self._actor(name).position_m = from_unreal((x, y, z), (0.0, 0.0, 0.0), 90.0).position_m

    def _set_rotation(self, name: str, pitch: float, yaw: float, roll: float) -> None:
        if pitch or roll:
            raise CommandError("People stand upright: pitch and roll must be 0")
        self._actor(name).yaw_deg = from_unreal((0.0, 0.0, 0.0), (0.0, yaw, 0.0), 90.0).yaw_deg

    def _scale(self, name: str) -> str:
        self._require(name)
        return _numbers((1.0, 1.0, 1.0))

    def _bounds(self, name: str) -> str:
        self._require(name)
        if name == SKY:
            corners = np.zeros((1, 3))
        elif name in self._static:
            corners = np.asarray(self._static[name].positions)
        else:
            corners = self._actor(name).positions()
        corners = corners * (100.0, -100.0, 100.0)
        return " ".join(f"{value:.2f}" for value in (*corners.min(0), *corners.max(0)))

    def _mobility(self, name: str) -> str:
        self._require(name)
        return "Static" if name == SKY or name in self._static else "Movable"

    def _class_name(self, name: str) -> str:
        return "StaticMeshActor" if self._mobility(name) == "Static" else PERSON_CLASS

    def _hide(self, name: str) -> None:
        self._hidden[name] = self._actor(name)
        self._world.actors.pop(name, None)
        self._world.revision += 1

    def _show(self, name: str) -> None:
        self._world.actors[name] = self._actor(name)
        self._hidden.pop(name, None)
        self._world.revision += 1

    def _destroy(self, name: str) -> None:
        self._actor(name)
        self._world.actors.pop(name, None)
        self._hidden.pop(name, None)
        self._world.revision += 1

    def _spawn(self, class_name: str) -> str:
        if class_name not in (PERSON_CLASS, PERSON_CLASS.removesuffix("_C")):
            raise CommandError(f"Class {class_name} can not be spawned; only {PERSON_CLASS} can")
        (name,) = self._world.spawn(1)
        self._annotate(name)
        return name

    def _attributes(self, name: str) -> str:
        person = self._actor(name).person
        return json.dumps({"person": person.number, "version": person.version, **person.attributes})

    # --- cameras

    def _camera(self, index: int) -> _Camera:
        if index >= len(self._cameras):
            raise CommandError("Invalid sensor id")
        return self._cameras[index]

    def _view(self, index: int) -> View:
        return self._camera(index).view

    def _spawn_camera(self) -> str:
        if len(self._cameras) > 999:
            raise CommandError("There are 1000 cameras already")
        camera = replace(self._cameras[0], name=f"FusionCameraActor_{len(self._cameras)}")
        self._cameras.append(camera)
        return camera.name

    def _move_camera(self, index: int, location: Triple, rotation: Triple) -> None:
        camera = self._camera(index)
        camera.view = from_unreal(location, rotation, camera.view.fov_deg)

    def _pose(self, index: int) -> str:
        location, rotation = to_unreal(self._view(index))
        return f"{_numbers(location)} {_numbers(rotation)}"

    def _set_pose(self, index: int, x: float, y: float, z: float, pitch: float, yaw: float, roll: float) -> None:
        self._move_camera(index, (x, y, z), (pitch, yaw, roll))

    def _set_camera_location(self, index: int, x: float, y: float, z: float) -> None:
        self._move_camera(index, (x, y, z), to_unreal(self._view(index))[1])

    def _set_camera_rotation(self, index: int, pitch: float, yaw: float, roll: float) -> None:
        self._move_camera(index, to_unreal(self._view(index))[0], (pitch, yaw, roll))

    def _set_fov(self, index: int, fov_deg: float) -> None:
        camera = self._camera(index)
        camera.view = replace(camera.view, fov_deg=fov_deg)

    def _set_size(self, index: int, width: int, height: int) -> None:
        if not (_min_size <= width <= _max_size and _min_size <= height <= _max_size):
            raise CommandError(f"Width and height must lie in {_min_size} ... {_max_size}, got {width} {height}")
        camera = self._camera(index)
        camera.width, camera.height = width, height

    def _image_command(self, mode: str) -> Callable[[int, str], bytes]:
        def command(index: int, form: str) -> bytes:
            self._camera(index)
            if form not in ("png", "bmp", "npy"):
                raise CommandError(f"Invalid filename type, filename {form}: only png, bmp and npy are sent, no files")
            if mode == "depth" and form != "npy":
                raise CommandError("Depth is sent as npy only")
            return encode_image(self._image(index, _modes[mode]), form)

        return command

    def _image(self, index: int, what: What) -> np.ndarray:
        """The image of a camera at this instant; colour, mask and truth of one instant share it."""
        image = self._images.get((index, what))
        if image is None:
            image = self._render(index, what, self._colors)
            if what == "depth":
                image = image * np.float32(100.0)
            self._images[index, what] = image
            while len(self._images) > 1 and sum(each.nbytes for each in self._images.values()) > CACHE_BYTES:
                del self._images[next(iter(self._images))]
        return image

    def _render(self, index: int, what: What, colors: Mapping[str, tuple[int, int, int]]) -> np.ndarray:
        camera = self._camera(index)
        if (camera.width, camera.height) != self._size:
            self._renderer.resize(camera.width, camera.height)
            self._size = (camera.width, camera.height)
        return self._renderer.render(self._world, camera.view, what, colors)

    def _class_colors(self) -> dict[str, tuple[int, int, int]]:
        """Colour of each class; an object's class is its name up to the first underscore, people are one."""
        classes = sorted({name.split("_")[0] for name in self._static})
        return dict(zip([SKY, "Person", *classes], palette(), strict=False))

    def _classes(self) -> str:
        return json.dumps({name: list(color) for name, color in self._class_colors().items()})

    def _class_mask(self, index: int, form: str) -> bytes:
        if form not in ("png", "bmp", "npy"):
            raise CommandError(f"Invalid filename type, filename {form}: only png, bmp and npy are sent, no files")
        colors = self._class_colors()
        objects = {name: colors[name.split("_")[0]] for name in self._static}
        objects |= {name: colors["Person"] for name in self._world.actors}
        return encode_image(self._render(index, "object_mask", objects), form)

    def _annotations(self, index: int) -> str:
        camera = self._camera(index)
        mask = self._image(index, "object_mask")
        people = []
        names = {color: name for name, color in self._colors.items()}
        for name, actor in self._world.actors.items():
            truth = describe_person(actor, camera.view, mask, self._colors[name], names)
            if truth is not None:
                people.append({"name": name, **truth})
        return json.dumps(
            {
                "time_s": round(self._world.time_s, 6),
                "light": self._world.light,
                "camera": camera.name,
                "width": camera.width,
                "height": camera.height,
                **describe_camera(camera.view, camera.width, camera.height),
                "people": people,
            }
        )


def make_simulator(config: SynthConfig) -> Simulator:
    """Builds scene, world and renderer; the calling thread owns the graphics context from then on.

    Args:
        config: who, where (the first of its scenes) and when; its split, sensor, endpoint and workers do not matter.

    Raises:
        RuntimeError: no graphics.
        ValueError: accessories that do not exist.
    """
    from unrealperson.synth.people.person import person_maker
    from unrealperson.synth.renderer import Renderer
    from unrealperson.synth.scenes import make_scene, usual
    from unrealperson.synth.scenes.clutter import add_clutter
    from unrealperson.synth.world import World

    number = config.scenes[0]
    scene = add_clutter(make_scene(number, config.seed, place=config.place), config.crowding)
    return Simulator(
        World(
            scene,
            seed=config.seed,
            version=config.versions[0],
            lights=config.lights or usual(number).lights,
            hours=config.hours,
            crowding=config.crowding,
            make=person_maker(config),
        ),
        Renderer(scene, width=config.width, height=config.height),
        views=camera_views(number, config.cameras or usual(number).cameras, config.seed, place=config.place),
        width=config.width,
        height=config.height,
        people=config.people_per_batch or usual(number).people,
        interval_s=config.interval_s,
    )


def serve_simulator(
    config: SynthConfig,
    *,
    port: int = 9000,
    unix: bool = False,
    on_ready: Callable[[Server], None] | None = None,
) -> None:
    """Runs a simulator in the calling thread, on 127.0.0.1, until it is interrupted.

    Args:
        config: who, where and when; its split, sensor, endpoint and workers do not matter here.
        port: TCP port, 0 for a free one.
        unix: also listen on the Unix socket of that port.
        on_ready: called once with the listening server; None logs its addresses.

    Raises:
        RuntimeError: the port is taken, or no graphics.
    """
    simulator = make_simulator(config)
    with Server(simulator.run, port=port, unix=unix) as server:
        simulator.server = server
        (on_ready or _log_ready)(server)
        server.serve(idle=simulator.idle)


def _log_ready(server: Server) -> None:
    also = f" and {server.unix_path}" if server.unix_path is not None else ""
    _logger.info("the simulator listens on 127.0.0.1:%d%s; stop it with Ctrl-C", server.port, also)


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value + 0.0:.3f}".replace("-0.000", "0.000") for value in values)


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
    parser.add_argument("--port", type=int, default=9000, help="TCP port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--unix", action="store_true", help="also listen on a Unix socket")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input does")
    options = parser.parse_args(arguments)
    configure_logging()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if options.exit_with_parent:
        _end_with_parent()
    try:
        serve_simulator(load_config(options.config).synth, port=options.port, unix=options.unix, on_ready=_announce)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"simulator: {error}")


if __name__ == "__main__":
    main()
