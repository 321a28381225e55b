from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from unrealperson.synth.people import arms, body, gait, textures
from unrealperson.synth.people.person import Person, make_person


def _skeleton(seed: int) -> gait.Skeleton:
    template = body.load_template()
    one = body.random_body(np.random.default_rng(seed), preset="natural")
    return gait.Skeleton(tuple(template.bone_names.tolist()), template.parents, one.joints)


@pytest.fixture(scope="module")
def skeleton() -> gait.Skeleton:
    return _skeleton(2)


@pytest.fixture(scope="module")
def people() -> Iterator[list[Person]]:
    # Nobody looks at them: leave the paint out.
    blank = textures.Look(np.zeros((4, 4, 3), np.uint8), {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textures, "paint", lambda *_, **__: blank)
        yield [make_person(7, 1, number, body=("massproduce", "natural")[number % 2]) for number in range(100)]


def _posed(skeleton: gait.Skeleton, habits: gait.Gait, phase: float, moving: float = 1.0) -> dict[str, np.ndarray]:
    bones = gait.pose(skeleton, habits, phase, moving)
    return {
        name: bone[:, :3] @ joint + bone[:, 3]
        for name, bone, joint in zip(skeleton.names, bones, skeleton.joints, strict=True)
    }


def test_nothing_of_a_person_stays_after_them():
    passing = _skeleton(3)
    gait.pose(passing, gait.Gait(), 0.25, 1.0)
    gone = weakref.ref(passing)
    del passing
    assert gone() is None


@pytest.mark.parametrize("activity", arms.ACTIVITIES)
@pytest.mark.parametrize("moving", [0.0, 0.5, 1.0])
def test_bones_are_rigid_and_joined(skeleton: gait.Skeleton, moving: float, activity: str):
    for phase in np.linspace(0, 1, 9):
        bones = gait.pose(skeleton, gait.Gait(activity=activity), float(phase), moving)
        rotation = bones[:, :, :3].astype(np.float64)
        squared = rotation @ rotation.transpose(0, 2, 1)
        np.testing.assert_allclose(squared, np.broadcast_to(np.eye(3), squared.shape), atol=1e-4)
        assert (np.linalg.det(rotation) > 0.99).all()
        for bone, parent in enumerate(skeleton.parents):
            # The pelvis rises and sways over the root, which stays on the ground.
            if parent >= 0 and skeleton.names[bone] != "pelvis":
                head = skeleton.joints[bone]
                np.testing.assert_allclose(
                    bones[bone, :, :3] @ head + bones[bone, :, 3],
                    bones[parent, :, :3] @ head + bones[parent, :, 3],
                    atol=1e-4,
                )


def test_phase_is_periodic_and_motion_has_no_jumps(skeleton: gait.Skeleton):
    np.testing.assert_allclose(
        gait.pose(skeleton, gait.Gait(), 0.25, 1.0), gait.pose(skeleton, gait.Gait(), 7.25, 1.0), atol=1e-6
    )
    for walk in gait.WALKS:
        habits = gait.random_gait(
            np.random.default_rng(0), weight=0.5, age=30, gender="female", height_m=1.7, walk=walk
        )
        for moving in (0.0, 0.4, 1.0):
            track = [_posed(skeleton, habits, phase, moving) for phase in np.arange(0, 1, 0.02)]
            for name in ("foot_l", "calf_r", "pelvis", "head", "hand_l"):
                step = np.linalg.norm(np.diff([one[name] for one in [*track, track[0]]], axis=0), axis=1)
                assert step.max() < 0.1, (walk, moving, name)


def _drift_and_sink(person: Person, steps: int) -> tuple[float, float]:
    """Greatest way of a sole's vertex while it touches the ground, and greatest gap or depth of the standing foot."""
    drift = sink = 0.0
    points = np.concatenate([person.positions[person.soles], np.ones((len(person.soles), 1), np.float32)], 1)
    index, weight = person.bone_index[person.soles], person.bone_weight[person.soles]
    phases = np.arange(steps) / steps
    track = np.array([np.einsum("nwij,nj,nw->ni", person.bones(p)[index], points, weight) for p in phases])
    for side, offset in (("l", 0.0), ("r", 0.5)):
        own = np.array([name in (f"foot_{side}", f"ball_{side}") for name in person.skeleton.names])[index[:, 0]]
        order = np.argsort((phases + offset) % 1.0, kind="stable")
        stands = (phases[order] + offset) % 1.0 <= gait.STANCE
        at = track[order[stands]][:, own]
        at[:, :, 0] += ((phases[order[stands]] + offset) % 1.0)[:, None] * person.stride_m
        low = at[:, :, 2].min(1)
        sink = max(sink, float(np.abs(low).max()))
        touches = at[:, :, 2] < low[:, None] + 0.006
        for vertex in range(at.shape[1]):
            rows = np.flatnonzero(touches[:, vertex])
            for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
                if len(run) > 1:
                    drift = max(drift, float(np.linalg.norm(np.ptp(at[run, vertex, :2], axis=0))))
    return drift, sink


def test_standing_feet_neither_drift_nor_sink_in_any_walk_of_a_hundred_people(people: list[Person]):
    for number, person in enumerate(people):
        habits = gait.random_gait(
            np.random.default_rng(number),
            weight=0.5,
            age=float(person.attributes["age"]),
            gender=str(person.attributes["gender"]),
            height_m=person.height_m,
            walk=gait.WALKS[number % len(gait.WALKS)],
        )
        habits = gait.with_stride(habits, person.skeleton)
        walker = replace(person, gait=habits, stride_m=habits.stride_m)
        drift, sink = _drift_and_sink(walker, 24)
        assert drift <= 0.02, (number, habits.walk)
        assert sink <= 0.01, (number, habits.walk)


def test_walks_cover_the_speeds_and_strides_fit_the_legs(people: list[Person]):
    assert len(gait.WALKS) >= 4 and len(gait.IDLES) >= 2
    speeds = np.array([person.speed_mps for person in people])
    assert 0.6 <= speeds.min() and speeds.max() <= 1.8 and np.ptp(speeds) > 0.7
    assert {person.gait.walk for person in people} == set(gait.WALKS)
    assert {person.gait.idle for person in people} == set(gait.IDLES)
    for person in people:
        assert 0.6 <= person.speed_mps / person.stride_m <= 1.5
        assert 0.4 <= person.stride_m / person.height_m <= 1.05


def test_nobodys_arms_pass_through_the_body(people: list[Person]):
    names = np.array(people[0].skeleton.names)
    heavy = [person for person in people if person.attributes["build"] == "heavy"]
    for person in heavy[:10] + people[:5]:
        for phase, moving in ((0.0, 0.0), (0.0, 1.0), (0.25, 1.0)):
            bones = person.bones(phase, moving=moving)[person.bone_index]
            points = np.concatenate([person.positions, np.ones((len(person.positions), 1), np.float32)], 1)
            at = np.einsum("nwij,nj,nw->ni", bones, points, person.bone_weight)
            kind = names[person.bone_index[:, 0]]
            arm = np.char.endswith(kind, "_l") & np.isin([k[:5] for k in kind], ("lower", "hand_", "middl", "index"))
            trunk = np.isin([k[:5] for k in kind], ("pelvi", "spine", "thigh")) & (at[:, 1] > 0)
            widest: dict[tuple[int, ...], float] = {}
            for cell, y in zip(
                map(tuple, np.round(at[trunk][:, [0, 2]] / 0.03).astype(int)), at[trunk, 1], strict=True
            ):
                widest[cell] = max(widest.get(cell, -1.0), float(y))
            cells = np.round(at[arm][:, [0, 2]] / 0.03).astype(int)
            depth = np.array([widest.get(tuple(cell), -1.0) for cell in cells]) - at[arm, 1]
            assert (depth > 0.015).mean() < 0.06, (person.number, phase, moving)


def test_arms_hang_close_and_swing_against_the_legs(skeleton: gait.Skeleton):
    strike = _posed(skeleton, gait.Gait(), 0.0)
    assert strike["foot_l"][0] > strike["foot_r"][0] + 0.3
    assert strike["hand_r"][0] > strike["hand_l"][0] + 0.1
    standing = _posed(skeleton, gait.Gait(), 0.0, 0.0)
    for side, sign in (("l", 1), ("r", -1)):
        out = sign * (standing[f"hand_{side}"][1] - standing[f"upperarm_{side}"][1])
        assert out < 0.12
        assert standing[f"hand_{side}"][2] < standing["spine_01"][2]
        # Relaxed fingers: the tips come back towards the thigh instead of pointing out.
        assert sign * standing[f"middle_03_{side}"][1] < sign * standing[f"middle_01_{side}"][1]


def test_fingers_lie_together_and_the_thumb_beside_them(people: list[Person]):
    for person in people[:10]:
        at = _posed(person.skeleton, person.gait, 0.0, 0.0)
        for side in "lr":
            knuckles = np.linalg.norm(at[f"index_01_{side}"] - at[f"pinky_01_{side}"])
            tips = np.linalg.norm(at[f"index_03_{side}"] - at[f"pinky_03_{side}"])
            assert tips < 1.1 * knuckles
            assert np.linalg.norm(at[f"thumb_03_{side}"] - at[f"index_01_{side}"]) < 0.055


def test_standing_barely_moves(skeleton: gait.Skeleton):
    for idle in gait.IDLES:
        first, later = (_posed(skeleton, gait.Gait(idle=idle), phase, 0.0) for phase in (0.0, 0.25))
        assert max(np.abs(first[name] - later[name]).max() for name in first) < 0.08
        np.testing.assert_allclose(first["foot_l"], later["foot_l"], atol=1e-6)


def test_stride_is_held_to_the_legs(skeleton: gait.Skeleton):
    leg_m = np.linalg.norm(skeleton.at()["foot_l"] - skeleton.at()["thigh_l"])
    assert gait.with_stride(gait.Gait(stride_m=9.0), skeleton).stride_m < 2 * leg_m
    assert gait.with_stride(gait.Gait(stride_m=1.2), skeleton, 0.8).stride_m == pytest.approx(0.96)


def test_habits_change_the_pose(skeleton: gait.Skeleton):
    calm, lively = (_posed(skeleton, replace(gait.Gait(), arm_swing_deg=a), 0.0) for a in (5.0, 25.0))
    assert lively["hand_r"][0] - lively["hand_l"][0] > calm["hand_r"][0] - calm["hand_l"][0] + 0.1


def test_old_and_heavy_people_walk_differently():
    def mean(name: str, weight: float, age: float) -> float:
        drawn = [
            gait.random_gait(np.random.default_rng(s), weight=weight, age=age, gender="male", height_m=1.75)
            for s in range(40)
        ]
        return float(np.mean([getattr(one, name) for one in drawn]))

    assert mean("lean_deg", 0.5, 80) > mean("lean_deg", 0.5, 20)
    assert mean("speed_mps", 0.5, 80) < mean("speed_mps", 0.5, 20) - 0.15
    assert mean("width_m", 0.9, 30) > mean("width_m", 0.3, 30)


def test_activities_put_the_hands_where_they_belong(skeleton: gait.Skeleton):
    for moving in (0.0, 1.0):
        at = {name: _posed(skeleton, gait.Gait(activity=name), 0.1, moving) for name in arms.ACTIVITIES}
        chest, waist = at["none"]["spine_03"][2], at["none"]["spine_01"][2]
        assert at["phone"]["hand_r"][2] > waist and at["phone"]["hand_r"][0] > 0.15
        assert at["phone"]["hand_l"][2] < waist
        for side in "lr":
            assert at["push"][f"hand_{side}"][0] > 0.2
            whole = {"l": "left", "r": "right"}[side]
            assert at[f"carry_{whole}"][f"hand_{side}"][2] < waist
            strap, shoulder = at[f"shoulder_{whole}"][f"hand_{side}"], at["none"][f"upperarm_{side}"]
            assert chest - 0.1 < strap[2] < shoulder[2] + 0.05 and abs(strap[1]) < abs(shoulder[1])
            assert at[f"hold_{whole}"][f"hand_{side}"][0] > 0.15
    both = _posed(skeleton, gait.Gait(activity="carry_left+phone"), 0.1)
    assert both["hand_r"][2] > waist > both["hand_l"][2]


def test_phone_lowers_the_head(skeleton: gait.Skeleton):
    names = skeleton.names
    up, down = (gait.pose(skeleton, gait.Gait(activity=a), 0.0, 0.0)[names.index("head")] for a in ("none", "phone"))
    assert (down[:, :3] @ [1, 0, 0])[2] < (up[:, :3] @ [1, 0, 0])[2] - 0.2


@pytest.mark.parametrize("wrong", [{"walk": "limp"}, {"idle": "sleep"}, {"activity": "carry_left+juggle"}])
def test_unknown_names_are_refused(wrong: dict[str, str]):
    with pytest.raises(ValueError, match=r"must be one of .*got .*(limp|sleep|juggle)"):
        gait.Gait(**wrong)
