"""Commands about objects: names, mask colours, poses, spawning, and the people that AddActor promised."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unrealperson.log import get_logger
from unrealperson.synth.cube import Cube
from unrealperson.synth.protocol import PALETTE_SIZE, CommandError, Dispatcher, palette
from unrealperson.synth.view import View, from_unreal, to_unreal
from unrealperson.synth.world import PERSON_PREFIX

if TYPE_CHECKING:
    from unrealperson.synth.world import Actor, World

PERSON_CLASS = PERSON_PREFIX.removesuffix("_")
SKY = "Sky"
CUBE = "Cube"

Triple = tuple[float, float, float]
Color = tuple[int, int, int]

_logger = get_logger(__name__)


class Objects:
    """Everything that has a name: the sky, the scene's meshes and the people.

    Attributes:
        colors: mask colour of every name that there ever was; the first is black.
        static: the scene's meshes by name.
    """

    def __init__(self, world: World) -> None:
        """Gives each name its colour.

        Args:
            world: who is where.
        """
        self.colors: dict[str, Color] = {}
        self.static = {mesh.name: mesh for mesh in world.scene.meshes}
        self._world = world
        self._hidden: dict[str, Actor] = {}
        self._pending: list[str] = []
        self._failure = ""
        self._cubes = 0
        for name in (SKY, *self.static, *world.actors):
            self._annotate(name)

    def add_commands(self, dispatcher: Dispatcher) -> None:
        """Registers the commands.

        Args:
            dispatcher: gets them.
        """
        add = dispatcher.add
        add("vget /objects", lambda: "".join(f"{name} " for name in self._names()), "Names of all objects")
        add("vget /object/[str]/color", self._color, "Mask colour of an object")
        add("vset /object/[str]/color [uint] [uint] [uint]", self._set_color, "Set the mask colour")
        add("vget /object/[str]/location", self._location, "Location x y z in cm")
        add("vset /object/[str]/location [float] [float] [float]", self._set_location, "Move a person")
        add("vget /object/[str]/rotation", self._rotation, "Rotation pitch yaw roll in degrees")
        add("vset /object/[str]/rotation [float] [float] [float]", self._set_rotation, "Turn a person")
        add("vget /object/[str]/scale", self._scale, "Scale x y z")
        add("vset /object/[str]/scale [float] [float] [float]", self._set_scale, "Size a person")
        add("vset /object/[str]/name [str]", self._rename, "Give a person another name; the colour goes along")
        add("vget /object/[str]/bounds", self._bounds, "Bounding box in cm: min x y z, max x y z")
        add("vget /object/[str]/mobility", self._mobility, "Movable or Static")
        add("vget /object/[str]/uclass_name", self._class_name, "Class of an object")
        add("vset /object/[str]/hide", self._hide, "Hide a person")
        add("vset /object/[str]/show", self._show, "Show a hidden person")
        add("vset /object/[str]/destroy", self._destroy, "Remove a person")
        add("vset /objects/spawn [str]", self._spawn, f"Spawn one {PERSON_CLASS}; the reply is its name")
        add("vset /objects/spawn [str] [str]", self._spawn, f"Spawn one {PERSON_CLASS} of a given name")
        add(
            "vset /objects/spawn_cube", self._spawn_cube, "Add a cube of one metre at the origin; the reply is its name"
        )
        add("vset /objects/spawn_cube [str]", self._spawn_cube, "Add a cube of a given name")
        add("vget /person/[str]/attributes", self._attributes, "What a person looks like, as JSON")

    @property
    def awaited(self) -> int:
        """How many promised people are not made yet."""
        return len(self._pending)

    def promise(self, count: int, *, first: int | None) -> None:
        """Names and colours people who are made later, one at each `make_next`.

        Args:
            count: how many.
            first: number of the first; None goes on from the last one made.

        Raises:
            CommandError: no colours are left for so many.
        """
        self._require_colors(count)
        first = self._world.actor_count if first is None else first
        self._pending = [f"{PERSON_PREFIX}{number}" for number in range(first, first + count)]
        for name in self._pending:
            self._annotate(name)

    def make_next(self) -> bool:
        """Makes the next promised person.

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

    def take_failure(self) -> str:
        """Why the last promise was not kept, told once; empty where it was."""
        failure, self._failure = self._failure, ""
        return failure

    def require(self, name: str) -> None:
        """Checks that there is such an object, if only as a promise.

        Args:
            name: object name.

        Raises:
            CommandError: there is not.
        """
        if not self._is_static(name) and name not in self._pending:
            self._actor(name)

    def remove_people(self) -> None:
        """Removes everyone, hidden or not."""
        self._world.despawn()
        self._hidden = {name: actor for name, actor in self._hidden.items() if isinstance(actor.person, Cube)}

    def class_colors(self) -> dict[str, Color]:
        """Colour of each class: people, cubes, and for meshes their name up to the first underscore."""
        classes = sorted({name.split("_")[0] for name in self.static})
        if self._world.cubes:
            classes.append(CUBE)
        return dict(zip([SKY, "Person", *classes], palette(), strict=False))

    def _names(self) -> list[str]:
        return [SKY, *self.static, *self._world.things, *self._hidden, *self._pending]

    def _annotate(self, name: str) -> None:
        """Gives a name its colour for the lifetime of the server; the first name is black."""
        if name not in self.colors:
            self.colors[name] = palette()[len(self.colors)]

    def _require_colors(self, count: int) -> None:
        if len(self.colors) + count > PALETTE_SIZE:
            raise CommandError(f"The {PALETTE_SIZE} mask colours are used up; restart the simulator")

    def _is_static(self, name: str) -> bool:
        return name == SKY or name in self.static

    def _actor(self, name: str) -> Actor:
        actor = self._world.things.get(name) or self._hidden.get(name)
        if actor is None:
            raise CommandError(f"Object {name} is static" if self._is_static(name) else "Can not find object")
        return actor

    def _color(self, name: str) -> str:
        self.require(name)
        return "(R={},G={},B={},A=255)".format(*self.colors[name])

    def _set_color(self, name: str, red: int, green: int, blue: int) -> None:
        self.require(name)
        if max(red, green, blue) > 255:
            raise CommandError("Argument Invalid")
        self.colors[name] = (red, green, blue)

    def _pose_of(self, name: str) -> tuple[Triple, Triple]:
        if self._is_static(name):
            return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        actor = self._actor(name)
        return to_unreal(View(actor.position_m, actor.yaw_deg, 0.0))

    def _location(self, name: str) -> str:
        return as_text(self._pose_of(name)[0])

    def _rotation(self, name: str) -> str:
        return as_text(self._pose_of(name)[1])

    def _set_location(self, name: str, x: float, y: float, z: float) -> None:
        self._actor(name).position_m = from_unreal((x, y, z), (0.0, 0.0, 0.0), 90.0).position_m

    def _set_rotation(self, name: str, pitch: float, yaw: float, roll: float) -> None:
        if pitch or roll:
            raise CommandError("People and cubes stand upright: pitch and roll must be 0")
        self._actor(name).yaw_deg = from_unreal((0.0, 0.0, 0.0), (0.0, yaw, 0.0), 90.0).yaw_deg

    def _scale(self, name: str) -> str:
        self.require(name)
        return as_text((1.0, 1.0, 1.0) if self._is_static(name) else self._actor(name).scale)

    def _set_scale(self, name: str, x: float, y: float, z: float) -> None:
        if not all(0.01 <= value <= 100.0 for value in (x, y, z)):
            raise CommandError(f"A scale must lie in 0.01 ... 100, got {x} {y} {z}")
        self._actor(name).scale = (x, y, z)

    def _rename(self, name: str, new_name: str) -> None:
        self._actor(name)
        if not new_name:
            raise CommandError("Argument Invalid")
        if new_name in self._names():
            raise CommandError(f"There is an object {new_name} already")
        if name in self._hidden:
            raise CommandError(f"Object {name} is hidden; show it first")
        if name in self._world.cubes:
            self._world.cubes[new_name] = self._world.cubes.pop(name)
            self._world.revision += 1
        else:
            self._world.rename(name, new_name)
        # As in the engine, where the colour belongs to the thing and the old name keeps its slot.
        self.colors[new_name] = self.colors[name]

    def _bounds(self, name: str) -> str:
        if name == SKY:
            corners = np.zeros((1, 3))
        elif name in self.static:
            corners = np.asarray(self.static[name].positions)
        else:
            corners = self._actor(name).positions()
        corners = corners * (100.0, -100.0, 100.0)
        return " ".join(f"{value:.2f}" for value in (*corners.min(0), *corners.max(0)))

    def _mobility(self, name: str) -> str:
        self.require(name)
        return "Static" if self._is_static(name) else "Movable"

    def _class_name(self, name: str) -> str:
        if self._mobility(name) == "Static":
            return "StaticMeshActor"
        return "CubeActor" if name not in self._pending and isinstance(self._actor(name).person, Cube) else PERSON_CLASS

    def _hide(self, name: str) -> None:
        self._hidden[name] = self._actor(name)
        self._home(name).pop(name, None)
        self._world.revision += 1

    def _show(self, name: str) -> None:
        self._home(name)[name] = self._actor(name)
        self._hidden.pop(name, None)
        self._world.revision += 1

    def _destroy(self, name: str) -> None:
        self._home(name).pop(name, None)
        self._hidden.pop(name, None)
        self._world.revision += 1

    def _home(self, name: str) -> dict[str, Actor]:
        """Where the world keeps such a thing."""
        return self._world.cubes if isinstance(self._actor(name).person, Cube) else self._world.actors

    def _spawn_cube(self, wanted: str | None = None) -> str:
        names = self._names()
        name = f"{CUBE}_{self._cubes}" if wanted is None else wanted
        if not name or name in names:
            raise CommandError(f"There is an object {name} already" if name else "Argument Invalid")
        self._require_colors(1)
        self._cubes += 1
        self._world.add_cube(name)
        self._annotate(name)
        return name

    def _spawn(self, class_name: str, wanted: str | None = None) -> str:
        if class_name not in (PERSON_CLASS, PERSON_CLASS.removesuffix("_C")):
            raise CommandError(f"Class {class_name} can not be spawned; only {PERSON_CLASS} can")
        if wanted is not None and (not wanted or wanted in self._names()):
            raise CommandError(f"There is an object {wanted} already" if wanted else "Argument Invalid")
        self._require_colors(1)
        (name,) = self._world.spawn(1)
        if wanted is not None and wanted != name:
            self._world.rename(name, wanted)
            name = wanted
        self._annotate(name)
        return name

    def _attributes(self, name: str) -> str:
        person = self._actor(name).person
        if isinstance(person, Cube):
            raise CommandError(f"Object {name} is no person")
        return json.dumps({"person": person.number, "version": person.version, **person.attributes})


def as_text(values: Sequence[float]) -> str:
    """Numbers as UnrealCV writes them: three decimals, no negative zero.

    Args:
        values: coordinates or angles.
    """
    return " ".join(f"{value + 0.0:.3f}".replace("-0.000", "0.000") for value in values)
