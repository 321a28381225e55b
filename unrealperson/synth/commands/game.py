"""Commands about the game and the server: status, pausing, console and the level's events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unrealperson.synth.commands.cameras import MODES, Cameras
from unrealperson.synth.commands.objects import Objects
from unrealperson.synth.protocol import CommandError, Dispatcher, Server

if TYPE_CHECKING:
    from unrealperson.synth.world import World

SERVER_VERSION = "1.1.0"
"""The first UnrealCV release whose servers report their commands, as this one does."""


class Game:
    """Time, light and who is there.

    Attributes:
        server: what `vget /unrealcv/status` reports about; None before there is one.
    """

    def __init__(self, world: World, objects: Objects, cameras: Cameras, *, people: int, interval_s: float) -> None:
        """Starts a game that runs.

        Args:
            world: what events change.
            objects: spawns and removes people.
            cameras: the first is the player's.
            people: how many people one AddActor spawns.
            interval_s: simulated seconds by which a Pause after a Resume moves the clock.
        """
        self.server: Server | None = None
        self._world = world
        self._objects = objects
        self._cameras = cameras
        self._people = people
        self._interval_s = interval_s
        self._paused = False
        self._resumed = False
        self._mode = "lit"

    def add_commands(self, dispatcher: Dispatcher) -> None:
        """Registers the commands.

        Args:
            dispatcher: gets them.
        """
        add = dispatcher.add
        add("vget /unrealcv/status", self._status, "State of the server")
        add("vget /unrealcv/version", lambda: SERVER_VERSION, "Version of the protocol")
        add("vget /unrealcv/echo [str]", lambda text: text, "The same text")
        add("vget /scene/name", lambda: "unrealperson", "Name of the project")
        add("vget /level/name", lambda: self._world.scene.name, "Name of the scene")
        add("vbatch [uint]", lambda count: None, "The next commands share one instant, as all do between two steps")
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

        for words in range(5):
            add(
                "vexec [str] [str]" + " [str]" * words, self._execute, "Call a function of the level: one of its events"
            )
            add("vbp [str] [str]" + " [str]" * words, self._execute_blueprint, "The same; the reply is JSON")

    def _status(self) -> str:
        player, server = self._cameras.player, self.server
        return "\n".join(
            (
                "Is Listening",
                "Client Connected" if server is not None and server.connected else "No Client Connected",
                str(server.port if server is not None else 0),
                "Configuration",
                "Config file: none",
                f"Port: {server.port if server is not None else 0}",
                f"Width: {player.width}",
                f"Height: {player.height}",
                f"FOV: {player.view.fov_deg:.1f}",
                "EnableInput: true",
                "EnableRightEye: false",
            )
        )

    def _set_mode(self, mode: str) -> None:
        if mode not in MODES:
            raise CommandError(f"View mode {mode} is unknown; choose one of {', '.join(MODES)}")
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
        if words[0] == "ce" and len(words) > 1:
            self._fire(words[1], words[2:])

    def _fire(self, event: str, arguments: Sequence[str]) -> bool:
        """Fires a level event; false where the level has none of that name."""
        if event == "AddActor":
            self._add_people(arguments)
        elif event == "DelActor":
            self._objects.remove_people()
        elif event == "LC":
            self._world.next_light()
        elif event == "LCreset":
            self._world.reset_light()
        elif event == "Pause":
            self._pause()
        elif event == "Resume":
            self._resume()
        else:
            return False
        return True

    def _execute(self, actor: str, function: str, *arguments: str) -> None:
        """Calls a function: the level has its events, other objects have none."""
        if actor != self._world.scene.name:
            self._objects.require(actor)
            raise CommandError(f"Object {actor} has no function {function}")
        if not self._fire(function, arguments):
            raise CommandError(f"The level has no function {function}")

    def _execute_blueprint(self, actor: str, function: str, *arguments: str) -> str:
        self._execute(actor, function, *arguments)
        return "{}"

    def _add_people(self, arguments: Sequence[str]) -> None:
        """AddActor [FIRST] [COUNT]: without arguments the next `people` numbers, as the original's event.

        The reply comes at once and people are made afterwards: clients give up after 15 s.
        """
        if len(arguments) > 2 or not all(argument.isdecimal() for argument in arguments):
            raise CommandError(f"AddActor takes [FIRST] [COUNT], got '{' '.join(arguments)}'")
        first = int(arguments[0]) if arguments else None
        count = int(arguments[1]) if len(arguments) == 2 else self._people
        self._objects.promise(count, first=first)
