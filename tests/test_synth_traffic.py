from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from stand_in import StandIn

from unrealperson.synth.scenes import make_scene
from unrealperson.synth.traffic import RIDER_RADIUS_M, clear_speed, give_way, steer
from unrealperson.synth.world import World


@dataclass(frozen=True)
class RiderStandIn(StandIn):
    ride: str | None = None


def make_rider_among_others(seed: int, version: int, number: int) -> RiderStandIn:
    rides = number % 10 == 3
    return RiderStandIn(
        seed, version, number, speed_mps=4.0 if rides else 1.2, stride_m=4.3, ride="bicycle" if rides else None
    )


@pytest.mark.parametrize(
    ("away", "velocity", "bend_deg", "low", "high"),
    [
        ((-1.0, 0.0), (0.0, 0.0), 0.0, 4.0, 4.0),
        ((3.0, 2.0), (0.0, 0.0), 0.0, 4.0, 4.0),
        ((1.2, 0.0), (0.0, 0.0), 0.0, 0.0, 0.3),
        ((1.2, 0.0), (1.3, 0.0), 0.0, 1.3, 1.6),
        ((3.0, 0.1), (0.0, 0.0), 0.0, 1.5, 3.5),
        ((-1.0, 0.0), (0.0, 0.0), 80.0, 1.0, 2.0),
    ],
)
def test_riders_brake_for_people_ahead_and_in_bends(away, velocity, bend_deg, low, high):
    rows = np.array([(0.0, 0.0), away]), np.array([(4.0, 0.0), velocity])
    assert low <= clear_speed(0.0, *rows, bend_deg, 4.0) <= high


def test_a_vehicle_rolls_where_it_points():
    yaw_deg, velocity = steer(90.0, 3.0, np.array([3.0, 0.0]), 0.05)
    assert 80 < yaw_deg < 90 and velocity @ (math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))) > 2.5
    assert steer(0.0, 0.0, np.zeros(2), 0.05)[1] == pytest.approx(0.0)
    assert np.hypot(*steer(0.0, 1.0, np.array([5.0, 0.0]), 0.05)[1]) < 1.2


def test_people_step_out_of_the_way_to_both_sides():
    push = give_way(0.0, np.array([(0.0, 0.0), (2.0, 0.3), (2.0, -0.3), (-2.0, 0.0), (2.0, 3.0)]))
    assert push[1, 1] > 1 and push[2, 1] < -1
    assert not push[[0, 3, 4]].any() and not push[:, 0].any()


def test_riders_are_faster_alone_and_keep_off_people():
    world = World(make_scene(2, 0), seed=0, version=1, lights=1, make=make_rider_among_others)
    world.spawn(20)
    riders = [actor for actor in world.actors.values() if actor.person.ride]
    assert len(riders) == 2
    assert all(not world.leader_of(actor.name) for actor in riders)
    assert not {actor.name for actor in riders} & {world.leader_of(name) for name in world.actors}
    speeds, sideways, nearest = [], [], []
    for _ in range(200):
        before = np.array([actor.position_m[:2] for actor in riders])
        phases = [actor.phase for actor in riders]
        world.advance(0.05)
        for actor, start, phase in zip(riders, before, phases, strict=True):
            step, yaw = np.subtract(actor.position_m[:2], start), math.radians(actor.yaw_deg)
            sideways.append(abs(step @ (-math.sin(yaw), math.cos(yaw))) / 0.05)
            assert (actor.phase - phase) % 1.0 == pytest.approx(np.hypot(*step) / 4.3, abs=1e-9)
            others = [other.position_m[:2] for other in world.actors.values() if other is not actor]
            nearest.append(np.hypot(*(np.array(others) - actor.position_m[:2]).T).min())
        speeds += [actor.speed_mps for actor in riders]
    assert 1.5 < np.mean(speeds) < 4.6
    assert np.percentile(sideways, 90) < 0.1 and min(nearest) > RIDER_RADIUS_M
