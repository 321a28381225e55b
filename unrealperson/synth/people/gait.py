"""Walking and standing: named styles and one person's habits pose the rig; planted feet stay where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from unrealperson.synth.people import arms
from unrealperson.synth.people.rotations import about_x, about_y, about_z, align

STANCE = 0.62
"""Share of a cycle in which a foot stands on the ground."""
_UNDER_HIP = 0.28
_SIDES = (("l", 1.0, 0.0), ("r", -1.0, 0.5))
# Share of the cycle since heel strike -> upward pitch of foot and toes in degrees (sagittal gait curves).
_FOOT_PHASE = (0.0, 0.04, 0.08, 0.12, 0.36, 0.43, 0.5, 0.56, 0.62, 0.67, 0.74, 0.82, 0.9, 1.0)
_FOOT_PITCH = (18.0, 11.0, 4.0, 0.0, 0.0, -5.0, -16.0, -30.0, -44.0, -52.0, -35.0, -8.0, 11.0, 18.0)
_TOE_PITCH = (18.0, 11.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, -2.0, -22.0, -22.0, -6.0, 11.0, 18.0)
_HEEL_LIFT = 0.36
_HEEL_SHARE, _TIP_SHARE = 0.26, 0.62
"""How far the heel lies behind the ankle and the toes' tip before the ball, as shares of ankle to ball."""
_REACH = 0.998
_DRAG = 0.37
_FULL_STRIDE_M = 1.35


@dataclass(frozen=True, eq=False)
class Skeleton:
    """The rig of one body at rest.

    Attributes:
        names: [B] bone names, parents first.
        parents: [B] int32, -1 for the root.
        joints: [B, 3] float32 metres, heads of the bones.
    """

    names: tuple[str, ...]
    parents: np.ndarray
    joints: np.ndarray

    def at(self) -> dict[str, np.ndarray]:
        """[3] float64 rest position of each joint by name."""
        return self._at

    @cached_property
    def _at(self) -> dict[str, np.ndarray]:
        return {name: joint.astype(np.float64) for name, joint in zip(self.names, self.joints, strict=True)}


@dataclass(frozen=True)
class Gait:
    """How one person walks and holds themself.

    Attributes:
        walk: name of the style, out of `WALKS`.
        idle: how they stand, out of `IDLES`.
        activity: what the arms do, out of `arms.ACTIVITIES`, several joined by "+".
        speed_mps: preferred walking speed, 0.6 ... 1.8.
        stride_m: metres per whole cycle; planted feet do not slide.
        arm_swing_deg: swing of the upper arm to either side.
        arm_asymmetry: -1 ... 1; the share by which the left arm swings more than the right.
        arm_out: outward lean of the upper arms, metres per metre.
        fore_out: outward lean of the forearms, metres per metre.
        elbow_deg: bend of the elbows.
        lean_deg: forward lean of the spine.
        slouch_deg: bend of the upper back.
        head_deg: downward pitch of the head.
        toe_out_deg: how far the feet point outwards.
        width_m: distance of each planted foot from the middle line.
        twist_deg: counter-rotation of pelvis and shoulders.
        roll_deg: by how much the hip of the swinging leg drops.
        sway_m: sideways shift of the pelvis over the standing foot.
        bounce: 0 glides on bent knees ... 1 rises over straight ones.
        lift_m: height at which the sole passes the ground.
        roll_off: how far the foot rolls from heel to toe, 1 is a normal walk.
        curl_deg: bend of each finger joint.
        idle_side: 1 stands on the left leg, -1 on the right.
    """

    walk: str = "stroll"
    idle: str = "even"
    activity: str = "none"
    speed_mps: float = 1.25
    stride_m: float = 1.3
    arm_swing_deg: float = 18.0
    arm_asymmetry: float = 0.0
    arm_out: float = 0.1
    fore_out: float = 0.02
    elbow_deg: float = 12.0
    lean_deg: float = 2.0
    slouch_deg: float = 3.0
    head_deg: float = 4.0
    toe_out_deg: float = 6.0
    width_m: float = 0.065
    twist_deg: float = 5.0
    roll_deg: float = 3.0
    sway_m: float = 0.018
    bounce: float = 0.5
    lift_m: float = 0.015
    roll_off: float = 1.0
    curl_deg: float = 24.0
    idle_side: float = 1.0

    def __post_init__(self) -> None:
        arms.check_activity(self.activity)
        if self.walk not in WALKS or self.idle not in IDLES:
            raise ValueError(
                f"walk must be one of {', '.join(WALKS)} and idle one of {', '.join(IDLES)}, "
                f"got {self.walk!r} and {self.idle!r}"
            )


# Ranges of a style's habits; the rest is drawn alike for all.
_STYLES: dict[str, dict[str, tuple[float, float]]] = {
    "stroll": {"speed_mps": (0.8, 1.25), "arm_swing_deg": (8, 18), "elbow_deg": (7, 14), "bounce": (0.35, 0.6)},
    "brisk": {
        "speed_mps": (1.35, 1.8), "arm_swing_deg": (14, 22), "elbow_deg": (14, 26), "lean_deg": (3, 6),
        "twist_deg": (6, 9), "bounce": (0.4, 0.7),
    },
    "upright": {
        "speed_mps": (1.1, 1.55), "arm_swing_deg": (11, 20), "lean_deg": (-1.5, 1), "slouch_deg": (-3, 0),
        "head_deg": (-3, 3), "bounce": (0.6, 0.9),
    },
    "sway": {
        "speed_mps": (0.9, 1.4), "roll_deg": (5.5, 8), "twist_deg": (7, 10), "sway_m": (0.022, 0.032),
        "width_m": (0.035, 0.05), "toe_out_deg": (0, 6), "arm_swing_deg": (10, 19),
    },
    "bounce": {
        "speed_mps": (1.1, 1.5), "bounce": (0.9, 1.0), "arm_swing_deg": (15, 22), "elbow_deg": (12, 24),
        "lift_m": (0.02, 0.035), "slouch_deg": (2, 8),
    },
    "shuffle": {
        "speed_mps": (0.6, 0.95), "lift_m": (0.008, 0.014), "roll_off": (0.45, 0.7), "bounce": (0.1, 0.3),
        "lean_deg": (2, 5), "slouch_deg": (4, 9), "head_deg": (4, 12), "arm_swing_deg": (4, 10),
        "elbow_deg": (14, 24), "width_m": (0.075, 0.095), "twist_deg": (2, 4),
    },
}  # fmt: skip
WALKS = tuple(_STYLES)
"""Named walks."""
IDLES = ("even", "hip", "look")
"""Named ways to stand: on both feet, on one leg, on both feet and looking about."""


def random_gait(
    rng: np.random.Generator, *, weight: float, age: float, gender: str, height_m: float, walk: str | None = None
) -> Gait:
    """Draws a person's habits.

    Args:
        rng: source of randomness.
        weight: 0 slim ... 1 heavy; heavy people hold their legs wider and sway more.
        age: years; old people lean, swing and roll their feet less and walk more slowly.
        gender: "female" or "male".
        height_m: body height, to which the stride is proportional.
        walk: style out of `WALKS`; drawn where it is None.
    """
    old = float(np.clip((age - 55) / 25, 0, 1))
    woman = float(gender == "female")
    odds = np.array([30, 22 * (1 - 0.7 * old), 20, 4 + 14 * woman * (1 - old), 12 * (1 - old), 1 + 45 * old**2])
    drawn = str(rng.choice(WALKS, p=odds / odds.sum()))
    walk = walk or drawn
    idle = str(rng.choice(IDLES, p=[0.4, 0.35, 0.25]))

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    habits: dict[str, Any] = {
        "speed_mps": between(0.9, 1.5),
        "arm_swing_deg": between(9, 19),
        "arm_asymmetry": between(-0.25, 0.25),
        "elbow_deg": between(7, 18),
        "lean_deg": between(0, 3),
        "slouch_deg": between(0, 6),
        "head_deg": between(-2, 10),
        "toe_out_deg": between(2, 11),
        "width_m": between(0.05, 0.075),
        "twist_deg": between(3, 7),
        "roll_deg": between(2, 4),
        "sway_m": between(0.012, 0.022),
        "bounce": between(0.4, 0.7),
        "lift_m": between(0.012, 0.022),
        "curl_deg": between(18, 30),
    }
    habits |= {name: between(*span) for name, span in _STYLES[walk].items()}
    habits["speed_mps"] = float(np.clip(habits["speed_mps"] * (1 - 0.2 * old), 0.6, 1.8))
    habits["arm_swing_deg"] *= 1 - 0.35 * old
    habits["lean_deg"] += 1.5 * old
    habits["slouch_deg"] += 3 * old
    heavy = max(0.0, weight - 0.5)
    habits["width_m"] = (habits["width_m"] + 0.09 * heavy) * height_m / 1.7
    habits["sway_m"] += 0.02 * heavy
    stride_m = 0.78 * height_m * (habits["speed_mps"] / 1.3) ** 0.6
    drawn_side = float(rng.choice([-1.0, 1.0]))
    return replace(Gait(walk=walk, idle=idle, stride_m=stride_m, idle_side=drawn_side), **habits)


def with_stride(gait: Gait, skeleton: Skeleton, share: float = 1.0) -> Gait:
    """Holds the stride to what the legs can do.

    Args:
        gait: habits.
        skeleton: the rig.
        share: factor on the stride, below 1 for narrow clothes.
    """
    at = skeleton.at()
    leg_m = leg_length(at, "l")
    return replace(gait, stride_m=float(np.clip(share * gait.stride_m, 0.5 * leg_m, 1.9 * leg_m)))


def pose(skeleton: Skeleton, gait: Gait, phase: float, moving: float, look_deg: float = 0.0) -> np.ndarray:
    """Bone matrices of one instant; planted feet move backwards by `stride_m` per cycle and stand on the ground.

    Args:
        skeleton: the rig.
        gait: the person's habits.
        phase: cycles; a whole number is a left heel strike.
        moving: 0 stands, 1 walks; the stride shrinks with it.
        look_deg: how far the head is turned to the left.

    Returns:
        [B, 3, 4] float32; they map rest positions to posed positions.
    """
    phase, moving = phase % 1.0, float(np.clip(moving, 0, 1))
    at = skeleton.at()
    turned = _trunk(gait, phase, moving)
    for name, share in (("neck_01", 0.4), ("head", 1.0)):
        turned[name] = about_z(np.radians(share * look_deg)) @ turned[name]
    feet = [_Foot(at, gait, side, sign, (phase + offset) % 1.0, moving) for side, sign, offset in _SIDES]
    shift = _pelvis_shift(at, gait, phase, moving, turned["pelvis"], feet)
    slow = (1 - moving) * np.sin(2 * np.pi * phase)
    for foot, (side, sign, offset) in zip(feet, _SIDES, strict=True):
        # Lowered arms pull the shoulders down; without this the shoulder's bend looks padded.
        turned[f"clavicle_{side}"] = turned["spine_03"] @ about_x(-sign * np.radians(8))
        turned |= foot.bones(at, turned["pelvis"], shift)
        turned |= arms.move_arm(skeleton, gait, side, (phase + offset) % 1.0, moving, slow)
    return compose(skeleton, turned, shift)


def compose(skeleton: Skeleton, turned: dict[str, np.ndarray], shift: np.ndarray) -> np.ndarray:
    """Bone matrices of a pose.

    Args:
        skeleton: the rig.
        turned: [3, 3] rotation from rest by bone name; a bone that is not named keeps its parent's rotation.
        shift: [3] metres by which the pelvis leaves its place at rest.

    Returns:
        [B, 3, 4] float32; they map rest positions to posed positions.
    """
    joints = skeleton.joints.astype(np.float64)
    matrices = np.zeros((len(joints), 3, 4))
    for bone, parent in enumerate(skeleton.parents):
        above = matrices[parent] if parent >= 0 else np.eye(3, 4)
        turn = turned.get(skeleton.names[bone])
        rotation = above[:, :3] if turn is None else turn
        head = above[:, :3] @ joints[bone] + above[:, 3]
        if skeleton.names[bone] == "pelvis":
            head = head + shift
        matrices[bone, :, :3] = rotation
        matrices[bone, :, 3] = head - rotation @ joints[bone]
    return matrices.astype(np.float32)


def _trunk(gait: Gait, phase: float, moving: float) -> dict[str, np.ndarray]:
    wave, still = np.cos(2 * np.pi * phase), 1 - moving
    slow = still * np.sin(2 * np.pi * phase)
    names = gait.activity.split("+")
    more_lean = max((arms.LEAN_DEG.get(name, 0.0) for name in names), default=0.0)
    more_head = max((arms.HEAD_DOWN_DEG.get(name, 0.0) for name in names), default=0.0)
    twist = np.radians(gait.twist_deg) * moving * wave * min(1.0, gait.stride_m / 1.2)
    lean = np.radians(gait.lean_deg + 1.5 * moving + more_lean)
    slouch = np.radians(gait.slouch_deg)
    roll = np.radians(gait.roll_deg) * moving * np.cos(2 * np.pi * (phase - _UNDER_HIP))
    roll += np.radians(4.5) * still * gait.idle_side * (gait.idle == "hip")
    # A weight in one hand pulls the trunk over to the other side.
    weight = ("carry_left" in names) - ("carry_right" in names)
    tilt = np.radians(2.5) * weight - 0.35 * roll
    look = np.radians(24 if gait.idle == "look" and not more_head else 3) * slow
    return {
        "pelvis": about_z(-twist) @ about_x(roll) @ about_y(0.3 * lean),
        "spine_01": about_z(-0.4 * twist) @ about_x(0.3 * roll) @ about_y(0.6 * lean),
        "spine_02": about_z(0.3 * twist) @ about_x(tilt) @ about_y(lean + 0.4 * slouch + np.radians(0.4) * slow),
        "spine_03": about_z(0.8 * twist + 0.12 * look) @ about_x(tilt) @ about_y(lean + slouch),
        "neck_01": about_z(0.3 * twist + 0.5 * look)
        @ about_x(0.4 * tilt)
        @ about_y(lean + 0.7 * slouch + np.radians(0.4 * more_head)),
        "head": about_z(look) @ about_y(np.radians(gait.head_deg + more_head)),
    }


def _pelvis_shift(
    at: dict[str, np.ndarray], gait: Gait, phase: float, moving: float, pelvis: np.ndarray, feet: list[_Foot]
) -> np.ndarray:
    """Sideways over the standing foot, and as high as both legs reach."""
    still = 1 - moving
    side = gait.sway_m * moving * np.cos(2 * np.pi * (phase - _UNDER_HIP))
    side += still * (0.045 * gait.idle_side if gait.idle == "hip" else 0.008 * np.sin(2 * np.pi * phase))
    shift = np.array([0.0, side, 0.0])
    heights = []
    for foot in feet:
        hip = foot.hip(at, pelvis, shift)
        flat = np.hypot(*(foot.ankle - hip)[:2])
        reach = _REACH * foot.leg_m
        heights.append(foot.ankle[2] + np.sqrt(max(reach**2 - flat**2, (0.4 * reach) ** 2)) - hip[2])
        heights.append(at[f"foot_{foot.side}"][2] + (0.987 + 0.011 * (gait.bounce if moving else 1.0)) * reach - hip[2])
    # A smooth minimum: knees never snap straight.
    soft_m = 0.006
    values = np.array(heights)
    lowest = values.min()
    shift[2] = lowest - soft_m * np.log(np.exp((lowest - values) / soft_m).sum() / 2)
    return shift


class _Foot:
    """One foot at one instant: where the ankle is and how foot and toes are pitched."""

    def __init__(self, at: dict[str, np.ndarray], gait: Gait, side: str, sign: float, p: float, moving: float) -> None:
        self.side, self.sign = side, sign
        self.leg_m = leg_length(at, side)
        ball = at[f"ball_{side}"] - at[f"foot_{side}"]
        ankle_m = at[f"foot_{side}"][2]
        self._ball, self._heel = ball, np.array([-_HEEL_SHARE * ball[0], 0.0, -ankle_m])
        self._tip = np.array([(1 + _TIP_SHARE) * ball[0], ball[1], -ankle_m])
        still = 1 - moving
        free = gait.idle == "hip" and sign * gait.idle_side < 0
        out_deg = gait.toe_out_deg + still * (12.0 if free else 3.0)
        self.yaw = sign * np.radians(out_deg)
        hip_x = at[f"thigh_{side}"][0]
        ahead = still * (0.05 if free else 0.012 * sign)
        wide = sign * (moving * gait.width_m + still * (gait.width_m + 0.03 + 0.03 * free))
        self._under = np.array([hip_x + ahead - 0.01, wide, ankle_m])
        self._stride = moving * gait.stride_m
        self._rolls = gait.roll_off * min(1.0, self._stride / _FULL_STRIDE_M + 0.12 * moving)
        self._lift = gait.lift_m * min(1.0, 2 * moving)
        self.ankle, self.foot, self.toes = self._place(p)

    def _place(self, p: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pitch = np.radians(np.interp(p, _FOOT_PHASE, _FOOT_PITCH)) * self._rolls
        toe_pitch = np.radians(np.interp(p, _FOOT_PHASE, _TOE_PITCH)) * self._rolls
        out = about_z(self.yaw)
        foot, toes = out @ about_y(-pitch), out @ about_y(-toe_pitch)
        if p <= STANCE:
            return self._planted(p, foot, out), foot, toes
        start, end = self._planted_at(STANCE), self._planted_at(0.0, 1.0)
        left = (self._planted_at(STANCE) - self._planted_at(STANCE - 0.01)) / 0.01
        share, span = (p - STANCE) / (1 - STANCE), 1 - STANCE
        arrive = np.array([-0.25 * self._stride, 0.0, -0.12 * min(1.0, self._stride)])
        h00, h10 = (1 + 2 * share) * (1 - share) ** 2, share * (1 - share) ** 2
        h01, h11 = share**2 * (3 - 2 * share), share**2 * (share - 1)
        ankle = h00 * start + h10 * span * left + h01 * end + h11 * span * arrive
        low = min(
            float((foot @ self._heel)[2]), float((foot @ self._ball)[2]) + float((toes @ (self._tip - self._ball))[2])
        )
        clear = self._lift * np.sin(np.pi * share) - low
        band = 1e-4 + 0.02 * np.sin(np.pi * share)
        if ankle[2] < clear + band:
            # Passes from the curve to the least height without a corner.
            ankle[2] = clear + band * np.exp((ankle[2] - clear) / band - 1)
        return ankle, foot, toes

    def _planted_at(self, p: float, phase: float | None = None) -> np.ndarray:
        pitch = np.radians(np.interp(p if phase is None else phase, _FOOT_PHASE, _FOOT_PITCH)) * self._rolls
        out = about_z(self.yaw)
        return self._planted(p, out @ about_y(-pitch), out)

    def _planted(self, p: float, foot: np.ndarray, out: np.ndarray) -> np.ndarray:
        """The ankle of a foot that turns about its heel, then about its ball, while the ground moves back."""
        flat = self._under + np.array([self._stride * (_UNDER_HIP - p), 0.0, 0.0])
        if p < _HEEL_LIFT:
            return flat + out @ self._heel - foot @ self._heel
        # The sole below the ball bends with the toes and would drag backwards: share the drag with the toes' tip.
        drag_m = _DRAG * float((foot @ np.array([0.0, 0.0, self._heel[2] - self._ball[2]]))[0])
        return flat + out @ (self._ball + np.array([-drag_m, 0.0, 0.0])) - foot @ self._ball

    def hip(self, at: dict[str, np.ndarray], pelvis: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """[3] place of the hip joint when the pelvis is turned and shifted."""
        return at["pelvis"] + shift + pelvis @ (at[f"thigh_{self.side}"] - at["pelvis"])

    def bones(self, at: dict[str, np.ndarray], pelvis: np.ndarray, shift: np.ndarray) -> dict[str, np.ndarray]:
        """Rotations of thigh, calf, foot and toes that bring the foot to its place."""
        legs = bend_leg(at, self.side, self.hip(at, pelvis, shift), self.ankle, self.yaw)
        return {**legs, f"foot_{self.side}": self.foot, f"ball_{self.side}": self.toes}


def bend_leg(
    at: dict[str, np.ndarray], side: str, hip: np.ndarray, ankle: np.ndarray, yaw: float
) -> dict[str, np.ndarray]:
    """Rotations of thigh and calf between a hip and an ankle, the knee forwards.

    Args:
        at: [3] rest position of each joint by name.
        side: "l" or "r".
        hip: [3] metres.
        ankle: [3] metres; a leg that is too short points there.
        yaw: radians by which the toes point to the left.

    Returns:
        [3, 3] rotation from rest by bone name.
    """
    thigh, calf = at[f"calf_{side}"] - at[f"thigh_{side}"], at[f"foot_{side}"] - at[f"calf_{side}"]
    upper, lower = float(np.linalg.norm(thigh)), float(np.linalg.norm(calf))
    line = ankle - hip
    distance = min(float(np.linalg.norm(line)), 0.9995 * (upper + lower))
    line = line / np.linalg.norm(line)
    knee_cos = (upper**2 + distance**2 - lower**2) / (2 * upper * distance)
    forward = about_z(0.6 * yaw) @ np.array([1.0, 0.0, 0.0])
    forward = forward - (forward @ line) * line
    forward = forward / np.linalg.norm(forward)
    knee = hip + upper * (knee_cos * line + np.sqrt(max(1 - knee_cos**2, 0.0)) * forward)
    hip_turn, knee_turn = about_z(0.5 * yaw), about_z(0.7 * yaw)
    return {
        f"thigh_{side}": align(hip_turn @ thigh, knee - hip) @ hip_turn,
        f"calf_{side}": align(knee_turn @ calf, hip + distance * line - knee) @ knee_turn,
    }


def leg_length(at: dict[str, np.ndarray], side: str) -> float:
    """Metres from the hip to the ankle of a straight leg.

    Args:
        at: [3] rest position of each joint by name.
        side: "l" or "r".
    """
    return _length(at, f"thigh_{side}", f"calf_{side}") + _length(at, f"calf_{side}", f"foot_{side}")


def _length(at: dict[str, np.ndarray], start: str, end: str) -> float:
    return float(np.linalg.norm(at[end] - at[start]))
