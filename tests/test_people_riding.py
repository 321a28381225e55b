from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unrealperson.ops import skin
from unrealperson.synth import cycles
from unrealperson.synth.people.gltf import describe_person
from unrealperson.synth.people.keep import load_person, save_person
from unrealperson.synth.people.person import KEYPOINTS, Person, make_person
from unrealperson.synth.people.riding import SPEED_MPS, let_ride, mount
from unrealperson.synth.people.sheets import SLOTS

PHASES = np.arange(8) / 8


@pytest.fixture(scope="module")
def walker() -> Person:
    return make_person(0, 1, 3)


@pytest.fixture(scope="module")
def cyclist(walker: Person) -> Person:
    return mount(walker, "bicycle", np.random.default_rng(0))


@pytest.fixture(scope="module")
def scooterist(walker: Person) -> Person:
    return mount(walker, "scooter", np.random.default_rng(0))


def _bone(person: Person, bones: np.ndarray, name: str) -> np.ndarray:
    row = person.skeleton.names.index(name)
    return bones[row, :, :3] @ person.skeleton.joints[row] + bones[row, :, 3]


def _skinned(person: Person, bones: np.ndarray) -> np.ndarray:
    return skin(person.positions, person.normals, person.bone_index, person.bone_weight, bones).positions


@pytest.mark.parametrize("kind", ["bicycle", "scooter"])
def test_the_vehicle_is_part_of_the_person_and_nothing_else_changes(walker, kind, request):
    rider = request.getfixturevalue("cyclist" if kind == "bicycle" else "scooterist")
    count = len(rider.positions) - len(walker.positions)
    assert 200 < count < 3000
    for name in ("positions", "normals", "uv", "bone_index", "bone_weight"):
        assert np.array_equal(getattr(rider, name)[count:], getattr(walker, name)), name
    vehicle = SLOTS.index("vehicle")
    for ours, theirs in zip(rider.levels, walker.levels, strict=True):
        own = ours.slots == vehicle
        assert ours.vertices == theirs.vertices + count and ours.faces[own].max() < count
        assert np.array_equal(ours.faces[~own] - count, theirs.faces)
    assert set(np.unique(rider.faces[rider.slots == vehicle])) == set(range(count))
    changed = (rider.texture != walker.texture).any(-1)
    assert 0 < changed.mean() < 0.015
    assert rider.attributes == {**walker.attributes, "ride": kind}
    assert SPEED_MPS[kind][0] <= rider.speed_mps <= SPEED_MPS[kind][1]
    assert walker.ride is None and "ride" not in walker.attributes


def test_wheels_stand_on_the_ground_while_they_turn(cyclist, scooterist):
    for rider in (cyclist, scooterist):
        for phase in PHASES:
            bones = rider.bones(float(phase))
            posed = _skinned(rider, bones)
            assert abs(float(posed[:, 2].min())) < 1e-3
            for x in (0.3, -0.3):
                assert posed[np.sign(posed[:, 0]) == np.sign(x), 2].min() < 0.02
    turn = [cyclist.bones(phase)[cyclist.skeleton.names.index("wheel_front")] for phase in (0.0, 0.125, 0.5)]
    assert turn[1][0, 2] == pytest.approx(1.0) and turn[2][0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("moving", [1.0, 0.5, 0.0])
def test_hands_hold_the_bar_and_feet_stay_on_their_pedals(cyclist, scooterist, moving):
    ride = cyclist.ride
    for phase in PHASES:
        bones = cyclist.bones(float(phase), moving=moving)
        for name, sign in (("hand_left", 1), ("hand_right", -1)):
            ahead, up, aside = ride.scale * np.mean(cycles.GRIPS, 0)
            place = cyclist.attachment(name, bones)[:, 3]
            assert np.linalg.norm(place - (ahead, sign * aside, up)) < 0.05, (name, phase)
        sides = "lr" if moving else ("r" if cyclist.gait.idle_side > 0 else "l")
        for side in sides:
            away = _bone(cyclist, bones, f"ball_{side}") - _bone(cyclist, bones, f"pedal_{side}")
            assert np.hypot(away[0], away[1]) < 0.06 and 0 < away[2] < 0.12, (side, phase)
    bones = scooterist.bones(0.2, moving=moving)
    place = scooterist.attachment("hand_left", bones)[:, 3]
    assert abs(place[2] - cycles.BAR[1]) < 0.05 and abs(place[0] - cycles.BAR[0]) < 0.05


def test_legs_pedal_and_a_foot_comes_down_at_a_stop(cyclist):
    knee, hip = KEYPOINTS.index("left_knee"), KEYPOINTS.index("left_hip")
    points = np.array([cyclist.keypoints(cyclist.bones(float(phase))) for phase in PHASES])
    assert np.ptp(points[:, knee, 2]) > 0.15 and np.ptp(points[:, hip], axis=0).max() < 0.02
    assert points[:, hip, 2].min() > 0.8
    down = "left_ankle" if cyclist.gait.idle_side > 0 else "right_ankle"
    standing = cyclist.keypoints(cyclist.bones(0.3, moving=0.0))[KEYPOINTS.index(down)]
    assert standing[2] < 0.2 and abs(standing[1]) > 0.15


def test_who_rides_follows_from_the_number_and_nobody_else_changes(walker):
    def make(seed: int, version: int, number: int) -> Person:
        return replace(walker, number=number, attributes={**walker.attributes, **changes})

    changes = {"bottom_category": "trousers"}
    few = let_ride(make, 0.1)
    kinds = [few(0, 1, number).attributes.get("ride") for number in range(60)]
    assert 1 <= sum(kind is not None for kind in kinds) <= 14
    assert kinds == [few(0, 1, number).attributes.get("ride") for number in range(60)]
    more = [let_ride(make, 1.0)(0, 1, number).attributes["ride"] for number in range(24)]
    assert 0.5 < more.count("bicycle") / 24 < 0.95
    assert len({few(0, 3, number).ride is None for number in range(5)}) == 1
    assert let_ride(make, 0.0)(0, 1, 3).ride is None
    changes = {"bottom_category": "skirt"}
    assert {let_ride(make, 1.0)(0, 1, number).attributes["ride"] for number in range(6)} == {"scooter"}
    changes = {"activity": "carry_left"}
    assert let_ride(make, 1.0)(0, 1, 3).ride is None


def test_a_kept_rider_and_its_clips_stay_right(cyclist, tmp_path):
    save_person(cyclist, tmp_path / "rider.npz")
    kept = load_person(tmp_path / "rider.npz")
    assert kept.ride == cyclist.ride and np.array_equal(kept.bones(0.3, moving=0.6), cyclist.bones(0.3, moving=0.6))
    motion = describe_person(cyclist)["motion"]
    assert list(motion) == ["ride", "idle"]
    assert motion["ride"]["metres"] / motion["ride"]["seconds"] == pytest.approx(cyclist.speed_mps, rel=0.03)
