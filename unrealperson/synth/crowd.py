"""How people move: along the scene's paths, around each other, alone, in groups or riding, with stops and glances.

Source: Helbing and Molnar, Social force model for pedestrian dynamics, 1995; groups: Moussaid et al., The walking
behaviour of pedestrian social groups, 2010 (who walks together walks abreast, at the pace of the slowest); stride by
speed: Grieve, Gait patterns and the speed of walking, 1968.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unrealperson.compiled import compiled
from unrealperson.synth import traffic
from unrealperson.synth.scenes.scene import Scene

if TYPE_CHECKING:
    from unrealperson.synth.people.person import Person
    from unrealperson.synth.world import Actor

STEP_S = 0.05
BODY_RADIUS_M = 0.27
LARGEST_GROUP = 4
_GROUPED = 0.3
"""How often somebody joins the person before them."""
_STRIDE_POWER = 0.42
_PATH_STEP_M = 0.1
_APART_M = 0.54
_LOOK_AHEAD_M = 1.2
_SOCIAL_RANGE_M = 2.0
_STUCK_S = 5.0
_TURN_DEG_PER_S = 150.0
_GLANCE_DEG_PER_S = 130.0
_WIDEST_GLANCE_DEG = 55.0
_PLACES_M = ((0.0, 0.0), (0.74, -0.05), (-0.74, -0.05), (0.1, -0.95))
"""Where members of a group walk: metres right of their leader, and ahead."""


@dataclass
class Walk:
    """Where somebody is going.

    Attributes:
        rng: decides when to stop and where to look.
        path: index of the path.
        node: nearest point of the path.
        direction: 1 along the path, -1 against it.
        lane_m: distance kept to the right of the path's line.
        pace_mps: speed when nobody is in the way.
        leader: name of the person whom a member of a group follows; "" for everybody else.
        member: how many joined the leader before, and one.
        velocity: x, y over ground now, metres a second.
        stop_in_s: seconds until the next stop.
        stands_for_s: seconds that the present stop goes on.
        slow_s: seconds since when somebody is in the way.
        glance_deg: where the eyes wander, to the left of ahead.
        glance_in_s: seconds until they wander elsewhere.
        rides: whether on a vehicle: alone, without stops of their own choice.
    """

    rng: np.random.Generator
    path: int
    node: int
    direction: int
    lane_m: float
    pace_mps: float = 1.3
    leader: str = ""
    member: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)
    stop_in_s: float = math.inf
    stands_for_s: float = 0.0
    slow_s: float = 0.0
    glance_deg: float = 0.0
    glance_in_s: float = 1.0
    rides: bool = False


class Crowd:
    """Moves the people of one scene.

    Args:
        scene: paths, obstacles, bounds.
        seed: chooses paths, lanes, groups and pauses.
        version: model version Y of the people.
        crowding: 0 ... 1: how closely people walk: more of them in groups, more paces, fewer paths for all.
    """

    def __init__(self, scene: Scene, *, seed: int, version: int, crowding: float) -> None:
        if not 0.0 <= crowding <= 1.0:
            raise ValueError(f"crowding must lie in 0 ... 1, got {crowding}")
        self._scene = scene
        self._seed, self._version, self._crowding = seed, version, crowding
        middle = np.array([scene.bounds[0] + scene.bounds[2], scene.bounds[1] + scene.bounds[3]]) / 2
        inmost = sorted(scene.paths, key=lambda path: float(np.hypot(*(path - middle).T).mean()))
        used = max(math.ceil(len(inmost) * (1.0 - 0.7 * crowding)), 1)
        chosen = {id(path) for path in inmost[:used]}
        self._paths = [_resample(path) for path in scene.paths if id(path) in chosen]
        self._walks: dict[str, Walk] = {}

    def enter(self, name: str, person: Person, people: Mapping[str, Actor]) -> tuple[np.ndarray, float]:
        """Finds a place for somebody new: beside the one before them, or anywhere along the paths.

        Args:
            name: of the new person.
            person: who; the choice is a pure function of their number, of whether they ride and of who is there.
            people: everyone in the scene, by name.

        Returns:
            [2] metres, and the heading in radians, counter-clockwise from +X.

        Raises:
            ValueError: no room is left.
        """
        rng = np.random.default_rng([self._seed, self._version, person.number, 7])
        rides = person.ride is not None
        others = np.array([actor.position_m[:2] for actor in people.values()]).reshape(-1, 2)
        lengths = np.array([len(path) for path in self._paths], float)
        for attempt in range(400):
            path = int(rng.choice(len(self._paths), p=lengths / lengths.sum()))
            node, direction, lane = int(rng.integers(lengths[path])), int(rng.choice([-1, 1])), rng.uniform(0.1, 0.8)
            spot, ahead = self._along(path, node, direction, lane)
            heading = math.atan2(ahead[1], ahead[0])
            walk = Walk(rng, path, node, direction, lane, rides=rides)
            # The first tries may join a group; a place of one's own is more often free.
            if attempt < 2 and not rides and (beside := self._join(people, rng)) is not None:
                spot, heading, walk = beside
            room = (0.65 if walk.leader else 1.6 if rides else 1.1) - 0.001 * attempt
            if (np.hypot(*(others - spot).T) > room).all() and self._scene.is_free(spot, BODY_RADIUS_M + 0.05):
                break
        else:
            raise ValueError(f"no room for {name} among {len(others)} people in {self._scene.name}; spawn fewer")
        walk.stop_in_s = math.inf if rides else rng.exponential(25.0)
        if not walk.leader and not rides and rng.random() < 0.12:
            walk.stands_for_s = rng.uniform(1.0, 4.0)
        self._walks[name] = walk
        return spot, heading

    def start(self, actor: Actor, people: Mapping[str, Actor]) -> None:
        """Sets somebody who entered going at their own pace, a group at that of its slowest.

        Args:
            actor: the new person.
            people: everyone else in the scene, by name.
        """
        walk = self._walks[actor.name]
        walk.pace_mps = actor.person.speed_mps * (1.0 - 0.45 * self._crowding * walk.rng.random())
        if walk.leader:
            company = [walk, *(self._walks[name] for name in self._company(walk.leader, people))]
            for other in company:
                other.pace_mps = min(each.pace_mps for each in company)
            walk.stands_for_s = self._walks[walk.leader].stands_for_s
        speed = 0.0 if walk.stands_for_s > 0 else walk.pace_mps
        yaw = math.radians(actor.yaw_deg)
        walk.velocity = (speed * math.cos(yaw), speed * math.sin(yaw))
        actor.speed_mps = speed
        actor.moving = _stride_share(actor)

    def leave(self) -> None:
        """Forgets everyone."""
        self._walks.clear()

    def rename(self, name: str, new_name: str) -> None:
        """Follows a change of somebody's name.

        Args:
            name: somebody in the scene.
            new_name: what they are called from now on.
        """
        self._walks[new_name] = self._walks.pop(name)
        for walk in self._walks.values():
            if walk.leader == name:
                walk.leader = new_name

    def leader_of(self, name: str) -> str:
        """Name of the person whom a member of a group follows; "" for everybody else.

        Args:
            name: somebody in the scene.
        """
        return self._walks[name].leader

    def _join(self, people: Mapping[str, Actor], rng: np.random.Generator) -> tuple[np.ndarray, float, Walk] | None:
        """A place in the group of the person before, if there is one to join."""
        last = list(people.values())[-1] if people else None
        if last is None or last.name not in self._walks or self._walks[last.name].rides:
            return None
        if rng.random() > _GROUPED + (0.9 - _GROUPED) * self._crowding:
            return None
        leader = people.get(self._walks[last.name].leader, last)
        size = len(self._company(leader.name, people))
        if size >= LARGEST_GROUP or leader.name not in self._walks:
            return None
        own = self._walks[leader.name]
        walk = Walk(rng, own.path, own.node, own.direction, own.lane_m, leader=leader.name, member=size)
        return _beside(leader, size), math.radians(leader.yaw_deg), walk

    def _company(self, leader: str, people: Mapping[str, Actor]) -> list[str]:
        walks = ((name, self._walks[name]) for name in people if name in self._walks)
        return [name for name, walk in walks if leader in (name, walk.leader)]

    def _along(self, path: int, node: int, direction: int, lane_m: float) -> tuple[np.ndarray, np.ndarray]:
        """The point `lane_m` right of a path's node, and the heading there."""
        line = self._paths[path]
        heading = direction * (line[(node + 1) % len(line)] - line[(node - 1) % len(line)])
        heading = heading / np.hypot(*heading)
        return line[node % len(line)] + lane_m * np.array([heading[1], -heading[0]]), heading

    def step(self, people: Mapping[str, Actor]) -> None:
        """Lets `STEP_S` pass.

        Args:
            people: everyone in the scene, by name.
        """
        actors = list(people.values())
        walks = [self._walks[actor.name] for actor in actors]
        leaders = [people.get(walk.leader) for walk in walks]
        position = np.array([actor.position_m[:2] for actor in actors])
        velocity = np.array([walk.velocity for walk in walks])
        desired, target_heading = self._desires(actors, walks, leaders, position, velocity)
        groups = [leader.name if leader else actor.name for actor, leader in zip(actors, leaders, strict=True)]
        force = (desired - velocity) / 0.4
        force += _social_force(position, target_heading, groups) + self._obstacle_force(position)
        radius = np.array([traffic.RIDER_RADIUS_M if walk.rides else BODY_RADIUS_M for walk in walks])
        riding = np.flatnonzero(radius > BODY_RADIUS_M)
        for row in riding:
            force += traffic.give_way(actors[row].yaw_deg, position - position[row])
        standing = np.array([walk.stands_for_s > 0 for walk in walks])
        velocity = velocity + force * STEP_S
        velocity[standing] *= 0.8
        speed = np.hypot(*velocity.T)
        fastest = 1.15 * np.array([walk.pace_mps for walk in walks])
        velocity *= np.minimum(1.0, fastest / np.maximum(speed, 1e-9))[:, None]
        for row in riding:
            actor = actors[row]
            actor.yaw_deg, velocity[row] = traffic.steer(actor.yaw_deg, actor.speed_mps, velocity[row], STEP_S)
        moved = _keep_apart(position + velocity * STEP_S, radius, self._scene.obstacles) - position
        for actor, walk, leader, start, step, wanted in zip(
            actors, walks, leaders, position, moved, velocity, strict=True
        ):
            turn_deg = _move(actor, walk, leader, start, step, wanted)
            self._follow_path(actor, walk)
            self._plan(actor, walk, leader)
            _look(actor, walk, leader, turn_deg)

    def _desires(
        self,
        actors: Sequence[Actor],
        walks: Sequence[Walk],
        leaders: Sequence[Actor | None],
        position: np.ndarray,
        velocity: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Velocity that each person would choose when alone, and the unit heading towards the point ahead."""
        desired, headings = np.zeros_like(position), np.zeros_like(position)
        for row, (walk, leader) in enumerate(zip(walks, leaders, strict=True)):
            pace = walk.pace_mps
            ahead = round((traffic.AHEAD_M if walk.rides else _LOOK_AHEAD_M) / _PATH_STEP_M)
            if leader is None:
                target, _ = self._along(walk.path, walk.node + ahead * walk.direction, walk.direction, walk.lane_m)
            else:
                place = _beside(leader, walk.member) - position[row]
                way = np.asarray(self._walks[leader.name].velocity)
                target = position[row] + place + 0.8 * way
                pace = min(float(np.hypot(*(way + 1.2 * place))), 1.15 * walk.pace_mps)
            heading = target - position[row]
            headings[row] = heading / max(float(np.hypot(*heading)), 1e-6)
            if walk.rides:
                yaw_deg = actors[row].yaw_deg
                bend_deg = _angle(math.degrees(math.atan2(heading[1], heading[0])) - yaw_deg)
                pace = traffic.clear_speed(yaw_deg, position - position[row], velocity, bend_deg, pace)
            if walk.stands_for_s <= 0:
                desired[row] = headings[row] * pace
        return desired, headings

    def _obstacle_force(self, position: np.ndarray) -> np.ndarray:
        away = position[:, None] - self._scene.obstacles[None, :, :2]
        distance = np.maximum(np.hypot(away[..., 0], away[..., 1]), 1e-6)
        gap = distance - self._scene.obstacles[None, :, 2] - BODY_RADIUS_M
        push = np.where(gap < 0.8, 2.5 * np.exp(-gap / 0.2), 0.0)
        return np.sum(push[..., None] * away / distance[..., None], axis=1)

    def _follow_path(self, actor: Actor, walk: Walk) -> None:
        """Moves the path's node to the nearest one around it, never backwards by more than a little."""
        line = self._paths[walk.path]
        window = (walk.node + walk.direction * np.arange(-3, 10)) % len(line)
        gap = line[window] - np.asarray(actor.position_m[:2])
        walk.node = int(window[np.argmin(np.einsum("ij,ij->i", gap, gap))])

    def _plan(self, actor: Actor, walk: Walk, leader: Actor | None) -> None:
        """Stops for a while, now and then; a group stops with its leader; who is stuck turns back."""
        if leader is not None:
            near = math.dist(actor.position_m, leader.position_m) < 1.6
            walk.stands_for_s = self._walks[leader.name].stands_for_s if near else 0.0
            return
        if walk.stands_for_s > 0:
            walk.stands_for_s -= STEP_S
            return
        walk.stop_in_s -= STEP_S
        if walk.stop_in_s <= 0:
            walk.stop_in_s = walk.rng.exponential(25.0)
            walk.stands_for_s = walk.rng.uniform(1.5, 5.0)
        walk.slow_s = walk.slow_s + STEP_S if actor.speed_mps < 0.25 * walk.pace_mps else 0.0
        if walk.slow_s > _STUCK_S:
            walk.direction = -walk.direction
            walk.slow_s = 0.0


def _beside(leader: Actor, member: int) -> np.ndarray:
    """Where the member of a group who joined as such belongs, [2] metres."""
    yaw = math.radians(leader.yaw_deg)
    right, ahead = _PLACES_M[member % len(_PLACES_M)]
    forward = np.array([math.cos(yaw), math.sin(yaw)])
    return np.asarray(leader.position_m[:2]) + right * np.array([forward[1], -forward[0]]) + ahead * forward


def _move(
    actor: Actor, walk: Walk, leader: Actor | None, start: np.ndarray, step: np.ndarray, wanted: np.ndarray
) -> float:
    """Takes a step and turns the body; returns how far it has still to turn, in degrees."""
    distance = float(np.hypot(*step))
    actor.position_m = (float(start[0] + step[0]), float(start[1] + step[1]), 0.0)
    walk.velocity = (float(step[0]) / STEP_S, float(step[1]) / STEP_S)
    actor.speed_mps = distance / STEP_S
    towards = wanted if float(np.hypot(*wanted)) > 0.25 else None
    if towards is None and leader is not None and walk.stands_for_s > 0:
        towards = np.asarray(leader.position_m[:2]) - start - step
    turn = 0.0
    if towards is not None:
        turn = _angle(math.degrees(math.atan2(towards[1], towards[0])) - actor.yaw_deg)
        limit = _TURN_DEG_PER_S * STEP_S
        actor.yaw_deg = (actor.yaw_deg + max(-limit, min(limit, turn))) % 360.0
    aim = _stride_share(actor)
    actor.moving += max(-0.12, min(0.12, aim - actor.moving))
    if walk.rides:
        actor.phase = (actor.phase + distance / actor.person.stride_m) % 1.0
    elif actor.moving < 0.02:
        actor.moving = 0.0
        actor.phase = (actor.phase + 0.2 * STEP_S) % 1.0
    else:
        actor.phase = (actor.phase + distance / (actor.person.stride_m * max(actor.moving, 0.3))) % 1.0
    return turn


def _stride_share(actor: Actor) -> float:
    """Stride as a share of the preferred one: who is held up takes shorter steps, and even more so fewer."""
    return float(min(actor.speed_mps / actor.person.speed_mps, 1.0) ** _STRIDE_POWER)


def _look(actor: Actor, walk: Walk, leader: Actor | None, turn_deg: float) -> None:
    """Turns the head: ahead and into bends, at times to the side, in a group to each other."""
    walk.glance_in_s -= STEP_S
    if walk.glance_in_s <= 0:
        wanders = walk.glance_deg == 0.0
        walk.glance_in_s = walk.rng.uniform(0.8, 2.2) if wanders else walk.rng.exponential(6.0)
        walk.glance_deg = 0.0
        if wanders:
            walk.glance_deg = walk.rng.uniform(15.0, _WIDEST_GLANCE_DEG) * walk.rng.choice([-1.0, 1.0])
            if leader is not None and walk.rng.random() < 0.7:
                x, y = np.subtract(leader.position_m[:2], actor.position_m[:2])
                walk.glance_deg = _angle(math.degrees(math.atan2(y, x)) - actor.yaw_deg)
    aim = max(-_WIDEST_GLANCE_DEG, min(_WIDEST_GLANCE_DEG, walk.glance_deg + 0.6 * turn_deg))
    limit = _GLANCE_DEG_PER_S * STEP_S
    actor.look_deg += max(-limit, min(limit, aim - actor.look_deg))


@compiled
def _keep_apart(position, radius, obstacles):  # float64 [n, 2], float64 [n], float64 [m, 3] -> float64 [n, 2]
    """Moves people out of each other and out of obstacles."""
    for _ in range(3):
        moved = position.copy()
        for one in range(len(position)):
            for other in range(len(position)):
                x, y = position[one, 0] - position[other, 0], position[one, 1] - position[other, 1]
                apart = radius[one] + radius[other]
                if one != other and x * x + y * y < apart * apart:
                    distance = np.hypot(x, y)
                    share = 0.5 * (apart - distance) / max(distance, 1e-6)
                    moved[one, 0] += share * x
                    moved[one, 1] += share * y
        position = moved.copy()
        for one in range(len(moved)):
            for post in range(len(obstacles)):
                x, y = moved[one, 0] - obstacles[post, 0], moved[one, 1] - obstacles[post, 1]
                room = obstacles[post, 2] + BODY_RADIUS_M
                if x * x + y * y < room * room:
                    distance = np.hypot(x, y)
                    share = (room - distance) / max(distance, 1e-6)
                    position[one, 0] += share * x
                    position[one, 1] += share * y
    return position


def _angle(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0


def _resample(path: np.ndarray) -> np.ndarray:
    """A closed polyline as points `_PATH_STEP_M` apart, corners rounded."""
    closed = np.concatenate([path, path[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    count = max(int(length[-1] / _PATH_STEP_M), 8)
    at = np.arange(count) * length[-1] / count
    line = np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], axis=1)
    kernel = np.hanning(17)[1:-1]
    kernel /= kernel.sum()
    pad = len(kernel) // 2
    wrapped = np.concatenate([line[-pad:], line, line[:pad]])
    return np.stack([np.convolve(wrapped[:, axis], kernel, "valid") for axis in (0, 1)], axis=1)


def _social_force(position: np.ndarray, heading: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Keeps a distance from strangers ahead and steps to the right of them."""
    away = position[:, None] - position[None]
    distance = np.hypot(away[..., 0], away[..., 1])
    np.fill_diagonal(distance, np.inf)
    unit = away / np.maximum(distance, 1e-6)[..., None]
    ahead = np.clip(-np.einsum("ijk,ik->ij", unit, heading), 0.0, 1.0)
    _, number = np.unique(groups, return_inverse=True)
    near = (distance < _SOCIAL_RANGE_M) & (number[:, None] != number[None])
    push = np.where(near, 6.0 * np.exp(-(distance - _APART_M) / 0.35) * (0.15 + 0.85 * ahead), 0.0)
    right = np.stack([heading[:, 1], -heading[:, 0]], axis=1)
    return np.sum(push[..., None] * unit, axis=1) + 0.7 * np.sum(push * ahead, axis=1)[:, None] * right
