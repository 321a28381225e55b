from __future__ import annotations

import math

import numpy as np
import pytest
from stand_in import make_stand_in

from unrealperson.synth.scenes import make_scene
from unrealperson.synth.world import World


def _world(seed: int = 0, lights: int = 4) -> World:
    return World(make_scene(1, 0), seed=seed, version=1, lights=lights, make=make_stand_in)


def _state(world: World) -> list[tuple]:
    return [
        (name, actor.position_m, actor.yaw_deg, actor.phase, actor.moving, actor.speed_mps)
        for name, actor in world.actors.items()
    ]


def _spacing(world: World) -> float:
    spots = np.array([actor.position_m[:2] for actor in world.actors.values()])
    distance = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1))
    return float(distance[~np.eye(len(spots), dtype=bool)].min())


def test_names_follow_the_actor_count():
    world = _world()
    assert world.spawn(2) == ["MHMainClass_C_0", "MHMainClass_C_1"]
    world.despawn()
    assert world.actors == {} and world.actor_count == 2
    assert world.spawn(1) == ["MHMainClass_C_2"]
    assert world.spawn(2, first=40) == ["MHMainClass_C_40", "MHMainClass_C_41"]
    assert world.actor_count == 42
    assert world.actors["MHMainClass_C_40"].person.number == 40


def test_a_renamed_person_walks_on():
    world, twin = _world(), _world()
    for each in (world, twin):
        each.spawn(12)
    world.rename("MHMainClass_C_3", "Guest")
    assert list(world.actors)[3] == "Guest" and world.actors["Guest"].name == "Guest"
    with pytest.raises(ValueError, match="Guest is already in the world"):
        world.rename("MHMainClass_C_4", "Guest")
    for each in (world, twin):
        each.advance(3.0)
    assert [state[1:] for state in _state(world)] == [state[1:] for state in _state(twin)]


def test_people_stay_apart_inside_and_off_obstacles():
    world = _world()
    world.spawn(40)
    assert _spacing(world) > 0.7
    for _ in range(40):
        world.advance(0.5)
        assert _spacing(world) > 0.45
        for actor in world.actors.values():
            assert world.scene.is_free(np.array(actor.position_m[:2]), 0.15)


def test_steps_match_the_ground_covered():
    world = _world()
    world.spawn(6)
    walked = turned = 0.0
    for _ in range(100):
        before = {name: (np.array(actor.position_m), actor.phase) for name, actor in world.actors.items()}
        world.advance(0.05)
        for name, actor in world.actors.items():
            if actor.moving > 0.95:
                walked += float(np.linalg.norm(np.array(actor.position_m) - before[name][0]))
                turned += (actor.phase - before[name][1]) % 1.0
    assert walked > 3.0
    assert turned == pytest.approx(walked / 1.4, rel=0.04)


def test_speeds_are_individual_and_some_people_stand():
    world = _world()
    world.spawn(30)
    speeds, stood = [], set()
    for _ in range(30):
        world.advance(1.0)
        speeds.append([actor.speed_mps for actor in world.actors.values()])
        stood |= {name for name, actor in world.actors.items() if actor.moving == 0}
    mean = np.mean(speeds, axis=0)
    assert np.std(mean) > 0.05 and 0.4 < np.mean(mean) < 1.5
    assert 2 <= len(stood) <= 29
    assert {walk.direction for walk in world._crowd._walks.values()} == {-1, 1}


def test_people_look_where_they_go():
    world = _world()
    world.spawn(12)
    world.advance(3.0)
    before = {name: actor.position_m for name, actor in world.actors.items()}
    world.advance(0.1)
    for name, actor in world.actors.items():
        step = np.array(actor.position_m) - before[name]
        if actor.speed_mps > 0.7:
            heading = math.radians(actor.yaw_deg)
            along = step[0] * math.cos(heading) + step[1] * math.sin(heading)
            assert along > 0.5 * np.linalg.norm(step)


def test_some_walk_in_groups_abreast_and_at_one_pace():
    world = _world()
    world.spawn(60)
    leaders = {name: world.leader_of(name) for name in world.actors}
    groups = {leader: [name for name in leaders if leaders[name] == leader] for leader in set(leaders.values()) - {""}}
    assert 0.1 < sum(map(len, groups.values())) / 60 < 0.5
    assert max(map(len, groups.values())) <= 3
    apart, faster = [], []
    for _ in range(20):
        world.advance(0.5)
        for leader, members in groups.items():
            for name in members:
                one, other = world.actors[leader], world.actors[name]
                apart.append(math.dist(one.position_m, other.position_m))
                if one.moving > 0.9 and other.moving > 0.9:
                    faster.append(abs(one.speed_mps - other.speed_mps))
    assert np.median(apart) < 1.2 and np.quantile(apart, 0.9) < 2.5
    assert np.median(faster) < 0.2


def test_heads_turn_but_not_like_owls():
    world = _world()
    world.spawn(20)
    looks = []
    for _ in range(60):
        world.advance(0.25)
        looks.append([actor.look_deg for actor in world.actors.values()])
    assert np.abs(looks).max() <= 55.0
    assert 0.05 < (np.abs(looks) > 12).mean() < 0.6
    assert np.abs(np.diff(looks, axis=0)).max() <= 130 * 0.25 + 1e-6


def test_crowding_puts_more_people_on_less_ground():
    spread = []
    for crowding in (0.0, 0.5, 1.0):
        world = World(make_scene(1, 0), seed=0, version=1, lights=1, crowding=crowding, make=make_stand_in)
        world.spawn(25)
        world.advance(6.0)
        spots = np.array([actor.position_m[:2] for actor in world.actors.values()])
        distance = np.sort(np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)), axis=1)
        spread.append(distance[:, 1:6].mean())
    assert spread[0] > 1.1 * spread[2] and spread[1] > spread[2]
    with pytest.raises(ValueError, match=r"crowding must lie in 0 ... 1, got 1.5"):
        World(make_scene(1, 0), seed=0, version=1, lights=1, crowding=1.5, make=make_stand_in)


def test_same_calls_same_world():
    worlds = [_world(), _world(), _world()]
    for world in worlds:
        world.spawn(10)
    worlds[0].advance(2.0)
    worlds[1].advance(2.0)
    for _ in range(16):
        worlds[2].advance(0.125)
    assert _state(worlds[0]) == _state(worlds[1]) == _state(worlds[2])
    other = _world(seed=1)
    other.spawn(10)
    assert _state(other) != _state(worlds[0])


def test_every_change_has_a_revision():
    world = _world()
    seen = [world.revision]
    for change in (
        lambda: world.spawn(1),
        lambda: world.advance(0.5),
        world.next_light,
        world.reset_light,
        world.despawn,
    ):
        change()
        seen.append(world.revision)
    assert len(set(seen)) == len(seen)


def test_light_steps_like_the_blueprint():
    world = _world(lights=3)
    shown = []
    for _ in range(4):
        world.next_light()
        shown.append(world.light)
    assert shown == [0, 1, 2, 2]
    world.reset_light()
    assert world.light == 2
    world.next_light()
    assert world.light == 0


def test_actors_pose_in_the_world():
    world = _world()
    (name,) = world.spawn(1)
    actor = world.actors[name]
    actor.position_m, actor.yaw_deg = (3.0, 2.0, 0.0), 90.0
    actor.phase, actor.moving = 0.5, 1.0
    points = actor.positions()
    assert points[:, 2].max() == pytest.approx(1.8, abs=1e-4)
    assert np.ptp(points[:, 0]) == pytest.approx(0.5, abs=1e-4)
    assert points.mean(0)[:2] == pytest.approx((3.0, 2.0), abs=1e-4)
    assert actor.keypoints()[0] == pytest.approx((3.0, 2.0, 1.7), abs=1e-4)
    assert actor.posed() is actor.posed()
    kept = actor.posed()
    actor.phase = 0.0
    assert actor.posed() is not kept
    assert actor.positions()[:, 2].max() == pytest.approx(1.7, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda world: world.spawn(-1), "must not be negative"),
        (lambda world: world.spawn(1, first=0), "MHMainClass_C_0 is already in the world"),
        (lambda world: world.spawn(2000), "no room for MHMainClass_C_"),
        (lambda world: world.advance(-1.0), "seconds must be 0 or more"),
        (lambda world: world.advance(math.inf), "seconds must be 0 or more"),
    ],
)
def test_errors(change, message):
    world = _world()
    world.spawn(1)
    with pytest.raises(ValueError, match=message):
        change(world)


def test_at_least_one_light():
    with pytest.raises(ValueError, match="lights must be at least 1"):
        _world(lights=0)
