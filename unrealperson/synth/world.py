"""The world: people who walk along a scene's paths, stop for a while, keep apart; and the light of the hour.

State changes only in `spawn`, `despawn`, `advance`, `next_light` and `reset_light` (or by setting an actor's
position or yaw), in fixed sub-steps, so a world is a pure function of (scene, seed, version) and of those calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from unrealperson.synth.scenes.scene import Light, Scene

if TYPE_CHECKING:
    from unrealperson.ops import Skinned
    from unrealperson.synth.people.person import Person

PERSON_PREFIX = "MHMainClass_C_"
STEP_S = 0.05
PATH_STEP_M = 0.1
BODY_RADIUS_M = 0.27
APART_M = 0.54
LOOK_AHEAD_M = 1.2
SOCIAL_RANGE_M = 2.0
STUCK_S = 5.0
TURN_DEG_PER_S = 150.0


@dataclass
class Actor:
    """One person in the world.

    Attributes:
        name: object name, `MHMainClass_C_<P>`.
        person: shape, clothes, motion.
        position_m: x, y, z of the ground point between the feet.
        yaw_deg: heading, counter-clockwise from +X.
        phase: gait phase in cycles.
        moving: 0 stands, 1 walks fully.
        speed_mps: speed over ground now.
        path: index of the path walked.
        direction: 1 along the path, -1 against it.
        lane_m: distance kept to the right of the path's line.
    """

    name: str
    person: Person
    position_m: tuple[float, float, float]
    yaw_deg: float
    phase: float
    moving: float
    speed_mps: float
    path: int
    direction: int
    lane_m: float
    _rng: np.random.Generator = field(repr=False)
    _node: int = 0
    _velocity: tuple[float, float] = (0.0, 0.0)
    _stop_in_s: float = math.inf
    _stands_for_s: float = 0.0
    _slow_s: float = 0.0
    _pose: tuple[float, float] | None = field(default=None, repr=False)
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
            mesh = person.positions, person.normals, person.bone_index, person.bone_weight
            self._posed = skin(*(values[rows] for values in mesh), bones)
        return self._posed

    def positions(self) -> np.ndarray:
        """Vertices in the world.

        Returns:
            [V, 3] float32 metres.
        """
        return self._to_world(self.posed().positions)

    def keypoints(self) -> np.ndarray:
        """COCO key points in the world.

        Returns:
            [17, 3] float32 metres.
        """
        return self._to_world(self.person.keypoints(self._bones_now()))

    def _bones_now(self) -> np.ndarray:
        pose = (self.phase, self.moving)
        if self._bones is None or self._pose != pose:
            self._bones = self.person.bones(self.phase, moving=self.moving)
            self._pose, self._posed = pose, None
        return self._bones

    def _to_world(self, points: np.ndarray) -> np.ndarray:
        cos, sin = math.cos(math.radians(self.yaw_deg)), math.sin(math.radians(self.yaw_deg))
        turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]], np.float32)
        return points @ turn + np.asarray(self.position_m, np.float32)


class World:
    """People, time and light in a scene.

    Args:
        scene: where.
        seed: chooses people's paths, lanes, pauses and the light steps.
        version: model version Y of the people.
        lights: number of light steps.
        make: makes person (seed, version, number); by default `unrealperson.synth.people.person.make_person`.

    Attributes:
        actors: the people by object name.
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
        self.actors: dict[str, Actor] = {}
        self.actor_count = 0
        self.time_s = 0.0
        self.light = 0
        self.revision = 0
        self._make = make
        self._upcoming_light = 0
        self._steps = 0
        self._paths = [_resample(path) for path in scene.paths]

    @property
    def lighting(self) -> Light:
        """Sun and sky of the light step shown now."""
        return self.scene.light(self.light, self.lights)

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
        self.revision += 1

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
                self._step()
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
        rng = np.random.default_rng([self.seed, self.version, number, 7])
        lengths = np.array([len(path) for path in self._paths], float)
        others = np.array([actor.position_m[:2] for actor in self.actors.values()]).reshape(-1, 2)
        for attempt in range(400):
            path = int(rng.choice(len(self._paths), p=lengths / lengths.sum()))
            node, direction, lane = int(rng.integers(lengths[path])), int(rng.choice([-1, 1])), rng.uniform(0.1, 0.8)
            spot, heading = self._along(path, node, direction, lane)
            room = 1.1 - 0.001 * attempt
            if (np.hypot(*(others - spot).T) > room).all() and self.scene.is_free(spot, BODY_RADIUS_M + 0.05):
                break
        else:
            raise ValueError(f"no room for {name} among {len(others)} people in {self.scene.name}; spawn fewer")
        person = self._make(self.seed, self.version, number)
        standing = rng.random() < 0.12
        return Actor(
            name=name,
            person=person,
            position_m=(float(spot[0]), float(spot[1]), 0.0),
            yaw_deg=math.degrees(math.atan2(heading[1], heading[0])) % 360.0,
            phase=float(rng.random()),
            moving=0.0 if standing else 1.0,
            speed_mps=0.0 if standing else person.speed_mps,
            path=path,
            direction=direction,
            lane_m=float(lane),
            _rng=rng,
            _node=node,
            _velocity=(0.0, 0.0) if standing else (heading[0] * person.speed_mps, heading[1] * person.speed_mps),
            _stop_in_s=rng.exponential(25.0),
            _stands_for_s=rng.uniform(1.0, 4.0) if standing else 0.0,
        )

    def _along(self, path: int, node: int, direction: int, lane: float) -> tuple[np.ndarray, np.ndarray]:
        """The point `lane` metres right of a path's node, and the heading there."""
        line = self._paths[path]
        heading = direction * (line[(node + 1) % len(line)] - line[(node - 1) % len(line)])
        heading = heading / np.hypot(*heading)
        return line[node % len(line)] + lane * np.array([heading[1], -heading[0]]), heading

    def _step(self) -> None:
        actors = list(self.actors.values())
        position = np.array([actor.position_m[:2] for actor in actors])
        velocity = np.array([actor._velocity for actor in actors])
        preferred = np.array([actor.person.speed_mps for actor in actors])
        desired, target_heading = self._desires(actors, position)
        force = (desired - velocity) / 0.4
        force += _social_force(position, target_heading) + self._obstacle_force(position)
        standing = np.array([actor._stands_for_s > 0 for actor in actors])
        velocity = velocity + force * STEP_S
        velocity[standing] *= 0.8 if standing.any() else 1.0
        speed = np.hypot(*velocity.T)
        velocity *= np.minimum(1.0, 1.15 * preferred / np.maximum(speed, 1e-9))[:, None]
        moved = self._keep_apart(position + velocity * STEP_S) - position
        for actor, start, step, wanted in zip(actors, position, moved, velocity, strict=True):
            self._move(actor, start, step, wanted)

    def _desires(self, actors: Iterable[Actor], position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Velocity that each person would choose when alone, and the unit heading towards the point ahead."""
        desired, headings = np.zeros_like(position), np.zeros_like(position)
        ahead = round(LOOK_AHEAD_M / PATH_STEP_M)
        for row, actor in enumerate(actors):
            target, _ = self._along(actor.path, actor._node + ahead * actor.direction, actor.direction, actor.lane_m)
            heading = target - position[row]
            headings[row] = heading / max(float(np.hypot(*heading)), 1e-6)
            if actor._stands_for_s <= 0:
                desired[row] = headings[row] * actor.person.speed_mps
        return desired, headings

    def _obstacle_force(self, position: np.ndarray) -> np.ndarray:
        away = position[:, None] - self.scene.obstacles[None, :, :2]
        distance = np.maximum(np.hypot(away[..., 0], away[..., 1]), 1e-6)
        gap = distance - self.scene.obstacles[None, :, 2] - BODY_RADIUS_M
        push = np.where(gap < 0.8, 2.5 * np.exp(-gap / 0.2), 0.0)
        return np.sum(push[..., None] * away / distance[..., None], axis=1)

    def _keep_apart(self, position: np.ndarray) -> np.ndarray:
        """Moves people out of each other and out of obstacles."""
        obstacles = self.scene.obstacles
        for _ in range(3):
            away = position[:, None] - position[None]
            distance = np.hypot(away[..., 0], away[..., 1])
            np.fill_diagonal(distance, np.inf)
            overlap = np.maximum(APART_M - distance, 0.0)
            position = position + 0.5 * np.sum((overlap / np.maximum(distance, 1e-6))[..., None] * away, axis=1)
            away = position[:, None] - obstacles[None, :, :2]
            distance = np.hypot(away[..., 0], away[..., 1])
            overlap = np.maximum(obstacles[None, :, 2] + BODY_RADIUS_M - distance, 0.0)
            position = position + np.sum((overlap / np.maximum(distance, 1e-6))[..., None] * away, axis=1)
        return position

    def _move(self, actor: Actor, start: np.ndarray, step: np.ndarray, wanted: np.ndarray) -> None:
        distance = float(np.hypot(*step))
        speed = distance / STEP_S
        actor.position_m = (float(start[0] + step[0]), float(start[1] + step[1]), 0.0)
        actor._velocity = (float(step[0]) / STEP_S, float(step[1]) / STEP_S)
        actor.speed_mps = speed
        if float(np.hypot(*wanted)) > 0.25:
            turn = (math.degrees(math.atan2(wanted[1], wanted[0])) - actor.yaw_deg + 180.0) % 360.0 - 180.0
            limit = TURN_DEG_PER_S * STEP_S
            actor.yaw_deg = (actor.yaw_deg + max(-limit, min(limit, turn))) % 360.0
        aim = min(speed / actor.person.speed_mps, 1.0)
        actor.moving += max(-0.12, min(0.12, aim - actor.moving))
        if actor.moving < 0.02:
            actor.moving = 0.0
            actor.phase = (actor.phase + 0.2 * STEP_S) % 1.0
        else:
            actor.phase = (actor.phase + distance / (actor.person.stride_m * max(actor.moving, 0.3))) % 1.0
        self._follow_path(actor)
        self._plan(actor)

    def _follow_path(self, actor: Actor) -> None:
        """Moves the path's node to the nearest one around it, never backwards by more than a little."""
        line = self._paths[actor.path]
        window = (actor._node + actor.direction * np.arange(-3, 10)) % len(line)
        gap = line[window] - np.asarray(actor.position_m[:2])
        actor._node = int(window[np.argmin(np.einsum("ij,ij->i", gap, gap))])

    def _plan(self, actor: Actor) -> None:
        if actor._stands_for_s > 0:
            actor._stands_for_s -= STEP_S
            return
        actor._stop_in_s -= STEP_S
        if actor._stop_in_s <= 0:
            actor._stop_in_s = actor._rng.exponential(25.0)
            actor._stands_for_s = actor._rng.uniform(1.5, 5.0)
        slow = actor.speed_mps < 0.25 * actor.person.speed_mps
        actor._slow_s = actor._slow_s + STEP_S if slow else 0.0
        if actor._slow_s > STUCK_S:
            actor.direction = -actor.direction
            actor._slow_s = 0.0


def _resample(path: np.ndarray) -> np.ndarray:
    """A closed polyline as points `PATH_STEP_M` apart, corners rounded."""
    closed = np.concatenate([path, path[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    count = max(int(length[-1] / PATH_STEP_M), 8)
    at = np.arange(count) * length[-1] / count
    line = np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], axis=1)
    kernel = np.hanning(17)[1:-1]
    kernel /= kernel.sum()
    pad = len(kernel) // 2
    wrapped = np.concatenate([line[-pad:], line, line[:pad]])
    return np.stack([np.convolve(wrapped[:, axis], kernel, "valid") for axis in (0, 1)], axis=1)


def _social_force(position: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Keeps a distance from people ahead and steps to the right of them.

    Source: Helbing and Molnar, Social force model for pedestrian dynamics, 1995.
    """
    away = position[:, None] - position[None]
    distance = np.hypot(away[..., 0], away[..., 1])
    np.fill_diagonal(distance, np.inf)
    unit = away / np.maximum(distance, 1e-6)[..., None]
    ahead = np.clip(-np.einsum("ijk,ik->ij", unit, heading), 0.0, 1.0)
    push = np.where(distance < SOCIAL_RANGE_M, 6.0 * np.exp(-(distance - APART_M) / 0.35) * (0.15 + 0.85 * ahead), 0.0)
    right = np.stack([heading[:, 1], -heading[:, 0]], axis=1)
    return np.sum(push[..., None] * unit, axis=1) + 0.7 * np.sum(push * ahead, axis=1)[:, None] * right
