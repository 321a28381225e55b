from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unrealperson.synth import body, gait


@pytest.fixture(scope="module")
def skeleton() -> gait.Skeleton:
    template = body.load_template()
    one = body.random_body(np.random.default_rng(2))
    return gait.Skeleton(tuple(template.bone_names.tolist()), template.parents, one.joints)


def _posed(skeleton: gait.Skeleton, habits: gait.Gait, phase: float, moving: float = 1.0) -> dict[str, np.ndarray]:
    bones = gait.pose(skeleton, habits, phase, moving)
    return {
        name: bone[:, :3] @ joint + bone[:, 3]
        for name, bone, joint in zip(skeleton.names, bones, skeleton.joints, strict=True)
    }


@pytest.mark.parametrize("moving", [0.0, 0.5, 1.0])
def test_bones_are_rigid_and_joined(skeleton: gait.Skeleton, moving: float):
    for phase in np.linspace(0, 1, 9):
        bones = gait.pose(skeleton, gait.Gait(), float(phase), moving)
        rotation = bones[:, :, :3].astype(np.float64)
        squared = rotation @ rotation.transpose(0, 2, 1)
        np.testing.assert_allclose(squared, np.broadcast_to(np.eye(3), squared.shape), atol=1e-4)
        assert (np.linalg.det(rotation) > 0.99).all()
        for bone, parent in enumerate(skeleton.parents):
            if parent >= 0:
                head = skeleton.joints[bone]
                np.testing.assert_allclose(
                    bones[bone, :, :3] @ head + bones[bone, :, 3],
                    bones[parent, :, :3] @ head + bones[parent, :, 3],
                    atol=1e-4,
                )


def test_phase_is_periodic(skeleton: gait.Skeleton):
    np.testing.assert_allclose(
        gait.pose(skeleton, gait.Gait(), 0.25, 1.0), gait.pose(skeleton, gait.Gait(), 7.25, 1.0), atol=1e-6
    )


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


def test_standing_barely_moves(skeleton: gait.Skeleton):
    first, later = (gait.pose(skeleton, gait.Gait(), phase, 0.0) for phase in (0.0, 0.25))
    assert np.abs(first - later).max() < 0.08


@pytest.mark.parametrize("wanted_m", [1.0, 1.25, 1.45])
def test_stride_is_met(skeleton: gait.Skeleton, wanted_m: float):
    scaled, stride_m = gait.with_stride(skeleton, gait.Gait(), wanted_m)
    assert stride_m == pytest.approx(wanted_m, rel=0.12)
    assert stride_m == pytest.approx(gait.stride_length(skeleton, scaled))


def test_habits_change_the_pose(skeleton: gait.Skeleton):
    calm, lively = (_posed(skeleton, replace(gait.Gait(), arm_swing_deg=a), 0.0) for a in (5.0, 25.0))
    assert lively["hand_r"][0] - lively["hand_l"][0] > calm["hand_r"][0] - calm["hand_l"][0] + 0.1


def test_old_and_heavy_people_walk_differently():
    def mean(name: str, **who: float) -> float:
        return float(np.mean([getattr(gait.random_gait(np.random.default_rng(s), **who), name) for s in range(20)]))

    assert mean("lean_deg", weight=0.5, age=80) > mean("lean_deg", weight=0.5, age=20)
    assert mean("arm_out", weight=0.9, age=30) > mean("arm_out", weight=0.3, age=30)
