"""The world: who is where in a scene, in what pose, and the light of the hour.

State changes only in `spawn`, `despawn`, `rename`, `advance`, `next_light` and `reset_light` (or by setting an actor's
position or yaw), in fixed sub-steps, so a world is a pure function of (scene, seed, version) and of those calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from unrealperson.synth.crowd import STEP_S, Crowd
from unrealperson.synth.scenes.light import Hours, Light
from unrealperson.synth.scenes.scene import Scene

if TYPE_CHECKING:
    from unrealperson.ops import Skinned
    from unrealperson.synth.people.person import Person

PERSON_PREFIX = "MHMainClass_C_"


@dataclass
class Actor:
    """One person in the world.

    Attributes:
        name: object name, `MHMainClass_C_<P>`.
        person: shape, clothes, motion.
        position_m: x, y, z of the ground point between the feet.
        yaw_deg: heading, counter-clockwise from +X.
        phase: gait phase in cycles.
        moving: 0 stands, 1 walks or rides at the preferred speed.
        speed_mps: speed over ground now.
        look_deg: how far the head is turned to the left.
        scale: size along the own x, y, z; 1 as made.
    """

    name: str
    person: Person
    position_m: tuple[float, float, float]
    yaw_deg: float
    phase: float
    moving: float
    speed_mps: float
    look_deg: float = 0.0
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    _pose: tuple[float, float, float] | None = field(default=None, repr=False)
    _bones: np.ndarray | None = field(default=None, repr=False)
    _posed: Skinned | None = field(default=None, repr=False)

    def posed(self, vertices: int | None = None) -> Skinned:
        """Positions and normals in the local frame, skinned once per pose.

        Args:
            vertices: how many of the first are needed, as a level of detail says; None for all.

        Returns:
            `positions` and `normals`, [n, 3] float32 with at least so many rows.
        """
        from unrealperson.ops import skin

        person, bones = self.person, self._bones_now()
        rows = slice(vertices or len(person.positions))
        if self._posed is None or len(self._posed.positions) < len(person.positions[rows]):
            self._posed = skin(
                person.positions[rows], person.normals[rows], person.bone_index[rows], person.bone_weight[rows], bones
            )
        return self._posed

    def positions(self) -> np.ndarray:
        """Vertices in the world.

        Returns:
            [V, 3] float32 metres.
        """
        return self._to_world(self.posed().positions)

    def surface(self) -> tuple[np.ndarray, np.ndarray]:
        """Surface in the world, in the middle level of detail.

        Returns:
            [n, 3] float32 metres and [T, 3] uint32 faces.
        """
        level = self.person.levels[min(1, len(self.person.levels) - 1)]
        return self._to_world(self.posed(level.vertices).positions[: level.vertices]), level.faces

    def keypoints(self) -> np.ndarray:
        """COCO key points in the world.

        Returns:
            [17, 3] float32 metres.
        """
        return self._to_world(self.person.keypoints(self._bones_now()))

    def _bones_now(self) -> np.ndarray:
        pose = (self.phase, self.moving, self.look_deg)
        if self._bones is None or self._pose != pose:
            self._bones = self.person.bones(self.phase, moving=self.moving, look_deg=self.look_deg)
            self._pose, self._posed = pose, None
        return self._bones

    def _to_world(self, points: np.ndarray) -> np.ndarray:
        cos, sin = math.cos(math.radians(self.yaw_deg)), math.sin(math.radians(self.yaw_deg))
        turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]], np.float32)
        return (points * np.asarray(self.scale, np.float32)) @ turn + np.asarray(self.position_m, np.float32)


class World:
    """People, time and light in a scene.

    Args:
        scene: where.
        seed: chooses people's paths, lanes, pauses and the light steps.
        version: model version Y of the people.
        lights: number of light steps.
        hours: part of the day that the light steps are spread over.
        crowding: 0 ... 1: how closely people walk, as for `Crowd`.
        make: makes person (seed, version, number); by default `unrealperson.synth.people.person.make_person`.

    Attributes:
        actors: the people by object name.
        cubes: cubes that stand around, by object name.
        actor_count: people made so far; the number of the next one.
        time_s: simulated seconds.
        light: light step shown now.
        revision: grows with every change of state.
    """

    def __init__(
        self,
        scene: Scene,
        *,
        seed: int,
        version: int,
        lights: int,
        hours: Hours = "day",
        crowding: float = 0.0,
        make: Callable[[int, int, int], Person] | None = None,
    ) -> None:
        if lights < 1:
            raise ValueError(f"lights must be at least 1 step, got {lights}")
        if make is None:
            from unrealperson.synth.people.person import make_person

            make = make_person
        self.scene = scene
        self.seed = seed
        self.version = version
        self.lights = lights
        self.hours = hours
        self.actors: dict[str, Actor] = {}
        self.cubes: dict[str, Actor] = {}
        self.actor_count = 0
        self.time_s = 0.0
        self.light = 0
        self.revision = 0
        self._make = make
        self._upcoming_light = 0
        self._steps = 0
        self._crowd = Crowd(scene, seed=seed, version=version, crowding=crowding)

    @property
    def lighting(self) -> Light:
        """Sun, sky and lamps of the light step shown now."""
        return self.scene.light(self.light, self.lights, self.hours)

    @property
    def things(self) -> dict[str, Actor]:
        """Whatever can be moved, by object name: people, then cubes."""
        return self.actors | self.cubes

    def spawn(self, count: int, *, first: int | None = None) -> list[str]:
        """Adds people, spread over the paths, apart from each other.

        Args:
            count: number of people, 0 or more.
            first: number P of the first of them; None goes on from the last one made.

        Returns:
            Their object names.

        Raises:
            ValueError: a number is taken, or no room is left.

        Source: level blueprint event AddActor (P is the actor count, which DelActor does not reset).
        """
        first = self.actor_count if first is None else first
        if count < 0 or first < 0:
            raise ValueError(f"count and first must not be negative, got {count} and {first}")
        names = [f"{PERSON_PREFIX}{number}" for number in range(first, first + count)]
        taken = [name for name in names if name in self.actors]
        if taken:
            raise ValueError(f"{taken[0]} is already in the world; despawn first or choose another first number")
        for name, number in zip(names, range(first, first + count), strict=True):
            self.actors[name] = self._place(name, number)
            self.actor_count = number + 1
        self.revision += 1
        return names

    def despawn(self) -> None:
        """Removes everyone; the count of people made goes on."""
        self.actors.clear()
        self._crowd.leave()
        self.revision += 1

    def add_cube(self, name: str) -> None:
        """Adds a cube of one metre whose middle is the origin.

        Args:
            name: its object name, which nothing else has.
        """
        from unrealperson.synth.cube import Cube

        cube: Any = Cube()
        self.cubes[name] = Actor(name, cube, (0.0, 0.0, 0.0), 0.0, 0.0, 0.0, 0.0)
        self.revision += 1

    def rename(self, name: str, new_name: str) -> None:
        """Gives somebody another object name; the number P stays.

        Args:
            name: object name of somebody in the world.
            new_name: one that nobody has.

        Raises:
            ValueError: the new name is taken.
        """
        if new_name in self.actors:
            raise ValueError(f"{new_name} is already in the world; choose another name")
        self.actors = {new_name if each == name else each: actor for each, actor in self.actors.items()}
        self.actors[new_name].name = new_name
        self._crowd.rename(name, new_name)
        self.revision += 1

    def leader_of(self, name: str) -> str:
        """Name of the person whom a member of a group follows; "" for everybody else.

        Args:
            name: object name of somebody in the world.
        """
        return self._crowd.leader_of(name)

    def advance(self, seconds: float) -> None:
        """Lets time pass, in sub-steps of 1/20 s; what is left over counts for the next call.

        Args:
            seconds: simulated time, 0 or more.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds must be 0 or more, got {seconds}")
        self.time_s += seconds
        due = int(self.time_s / STEP_S + 1e-6)
        if self.actors:
            for _ in range(due - self._steps):
                self._crowd.step(self.actors)
        self._steps = due
        self.revision += 1

    def next_light(self) -> None:
        """Shows the next light step: step 0 at first and after `reset_light`; the last step stays.

        Source: level blueprint event LC, except that Unreal shows black past the last step.
        """
        self.light = min(self._upcoming_light, self.lights - 1)
        self._upcoming_light = self.light + 1
        self.revision += 1

    def reset_light(self) -> None:
        """Makes step 0 the next light step; the light shown stays until then.

        Source: level blueprint event LCreset.
        """
        self._upcoming_light = 0
        self.revision += 1

    def _place(self, name: str, number: int) -> Actor:
        person = self._make(self.seed, self.version, number)
        (x, y), heading = self._crowd.enter(name, person, self.actors)
        phase = float(np.random.default_rng([self.seed, self.version, number, 8]).random())
        actor = Actor(name, person, (float(x), float(y), 0.0), math.degrees(heading) % 360.0, phase, 1.0, 0.0)
        self._crowd.start(actor, self.actors)
        return actor
