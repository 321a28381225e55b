"""Walking and standing: a procedural gait that poses the rig, one set of habits per person."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_SIDES = (("l", 1.0, 0.0), ("r", -1.0, 0.5))
_FINGERS = {"index": 0.85, "middle": 1.0, "ring": 1.08, "pinky": 1.1}
# Share of the cycle since heel strike -> upward pitch of foot and toes in degrees (sagittal gait curves).
_FOOT_PHASE = (0.0, 0.08, 0.15, 0.36, 0.5, 0.6, 0.68, 0.8, 0.92, 1.0)
_FOOT_PITCH = (17.0, 3.0, 0.0, 0.0, -17.0, -45.0, -58.0, -22.0, 14.0, 17.0)
_TOE_PITCH = (17.0, 3.0, 0.0, 0.0, 0.0, -14.0, -42.0, -16.0, 14.0, 17.0)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Gait:
    """How one person walks and holds themself.

    Attributes:
        stride: scale of the hip's swing; 1 swings the thigh by 22 degrees to either side.
        arm_swing_deg: swing of the upper arm to either side.
        arm_asymmetry: -1 ... 1; the share by which the left arm swings more than the right.
        arm_out: lateral lean of the upper arms, 0.1 hangs close to a slim body.
        elbow_deg: bend of the elbows.
        lean_deg: forward lean of the spine.
        slouch_deg: bend of the upper back.
        head_deg: downward pitch of the head.
        toe_out_deg: how far the feet point outwards.
        base: lateral lean of the legs, positive is wide.
        twist_deg: counter-rotation of pelvis and shoulders.
        curl_deg: bend of each finger joint.
    """

    stride: float = 1.0
    arm_swing_deg: float = 18.0
    arm_asymmetry: float = 0.0
    arm_out: float = 0.12
    elbow_deg: float = 14.0
    lean_deg: float = 2.0
    slouch_deg: float = 3.0
    head_deg: float = 4.0
    toe_out_deg: float = 6.0
    base: float = 0.0
    twist_deg: float = 5.0
    curl_deg: float = 26.0


def random_gait(rng: np.random.Generator, *, weight: float, age: float) -> Gait:
    """Draws a person's habits.

    Args:
        rng: source of randomness.
        weight: 0 slim ... 1 heavy; heavy people hold their arms and legs wider.
        age: years; old people lean and swing less.
    """
    old = float(np.clip((age - 50) / 30, 0, 1))
    return Gait(
        arm_swing_deg=float(rng.uniform(9, 26) * (1 - 0.4 * old)),
        arm_asymmetry=float(rng.uniform(-0.5, 0.5)),
        arm_out=float(rng.uniform(0.05, 0.1) + 0.12 * max(0.0, weight - 0.45)),
        elbow_deg=float(rng.uniform(6, 22)),
        lean_deg=float(rng.uniform(0, 3) + 2 * old),
        slouch_deg=float(rng.uniform(0, 5) + 4 * old),
        head_deg=float(rng.uniform(-2, 14)),
        toe_out_deg=float(rng.uniform(2, 12)),
        base=float(rng.uniform(-0.02, 0.01) + 0.05 * max(0.0, weight - 0.5)),
        twist_deg=float(rng.uniform(3, 8)),
        curl_deg=float(rng.uniform(18, 34)),
    )


def pose(skeleton: Skeleton, gait: Gait, phase: float, moving: float) -> np.ndarray:
    """Bone matrices of one instant, before the feet are put on the ground.

    Args:
        skeleton: the rig.
        gait: the person's habits.
        phase: cycles; a whole number is a left heel strike.
        moving: 0 stands, 1 walks.

    Returns:
        [B, 3, 4] float32; they map rest positions to posed positions.
    """
    turned = _rotations(skeleton, gait, phase % 1.0, float(np.clip(moving, 0, 1)))
    joints = skeleton.joints.astype(np.float64)
    matrices = np.zeros((len(joints), 3, 4))
    for bone, parent in enumerate(skeleton.parents):
        above = matrices[parent] if parent >= 0 else np.eye(3, 4)
        turn = turned.get(skeleton.names[bone])
        # A bone that the gait does not name keeps its parent's rotation.
        rotation = above[:, :3] if turn is None else turn
        head = above[:, :3] @ joints[bone] + above[:, 3]
        matrices[bone, :, :3] = rotation
        matrices[bone, :, 3] = head - rotation @ joints[bone]
    return matrices.astype(np.float32)


def with_stride(skeleton: Skeleton, gait: Gait, stride_m: float) -> tuple[Gait, float]:
    """Scales the hip's swing to a wanted stride.

    Args:
        skeleton: the rig.
        gait: habits whose `stride` is replaced.
        stride_m: wanted metres per whole cycle.

    Returns:
        The gait, and the stride in metres at which its standing foot does not slide.
    """
    scale = stride_m / stride_length(skeleton, replace(gait, stride=1.0))
    gait = replace(gait, stride=float(np.clip(scale, 0.5, 1.35)))
    return gait, stride_length(skeleton, gait)


def stride_length(skeleton: Skeleton, gait: Gait) -> float:
    """Metres per cycle at which the standing foot does not slide.

    Args:
        skeleton: the rig.
        gait: the person's habits.
    """
    foot = skeleton.names.index("foot_l")
    early, late = 0.12, 0.42
    x = [pose(skeleton, gait, phase, 1.0)[foot] @ np.append(skeleton.joints[foot], 1) for phase in (early, late)]
    return float((x[0][0] - x[1][0]) / (late - early))


def _rotations(skeleton: Skeleton, gait: Gait, phase: float, moving: float) -> dict[str, np.ndarray]:
    at = {name: joint.astype(np.float64) for name, joint in zip(skeleton.names, skeleton.joints, strict=True)}
    wave = np.cos(2 * np.pi * phase)
    sway = (1 - moving) * np.sin(2 * np.pi * phase)
    twist = np.radians(gait.twist_deg) * moving * wave
    lean = np.radians(gait.lean_deg + 1.5 * moving)
    slouch = np.radians(gait.slouch_deg)
    drop = np.radians(2.5) * moving * np.sin(2 * np.pi * phase)
    turned = {
        "pelvis": _rz(-twist) @ _rx(-drop) @ _ry(0.4 * lean),
        "spine_01": _rz(-0.4 * twist) @ _ry(0.7 * lean),
        "spine_02": _rz(0.3 * twist) @ _ry(lean + 0.4 * slouch + np.radians(0.4) * sway),
        "spine_03": _rz(0.8 * twist) @ _ry(lean + slouch),
        "neck_01": _rz(0.3 * twist) @ _ry(lean + 0.7 * slouch),
        "head": _rz(np.radians(2) * sway) @ _ry(np.radians(gait.head_deg)),
    }
    for side, sign, offset in _SIDES:
        # Lowered arms pull the shoulders down; without this the shoulder's bend looks padded.
        turned[f"clavicle_{side}"] = turned["spine_03"] @ _rx(-sign * np.radians(6))
        turned |= _leg(at, gait, side, sign, (phase + offset) % 1.0, moving, sway)
        turned |= _arm(at, gait, side, sign, (phase + offset) % 1.0, moving, sway)
    return turned


def _leg(
    at: dict[str, np.ndarray], gait: Gait, side: str, sign: float, p: float, moving: float, sway: float
) -> dict[str, np.ndarray]:
    swing = moving * gait.stride
    hip = np.radians(1.0 + 7.0 * swing + 22.0 * swing * np.cos(2 * np.pi * p))
    knee = np.radians(3.0 + 3 * moving + 11.0 * swing * _bump(p, 0.13, 0.08) + moving * 54.0 * _bump(p, 0.72, 0.12))
    lateral = sign * (gait.base + 0.02 * (1 - moving)) + 0.01 * sway
    foot = np.radians(np.interp(p, _FOOT_PHASE, _FOOT_PITCH)) * moving * min(1.0, 0.4 + 0.6 * gait.stride)
    toes = np.radians(np.interp(p, _FOOT_PHASE, _TOE_PITCH)) * moving * min(1.0, 0.4 + 0.6 * gait.stride)
    out = _rz(sign * np.radians(gait.toe_out_deg))
    thigh = _align(at[f"calf_{side}"] - at[f"thigh_{side}"], _down(hip, lateral))
    calf = _align(at[f"foot_{side}"] - at[f"calf_{side}"], _down(hip - knee, lateral))
    return {
        f"thigh_{side}": _rz(0.5 * sign * np.radians(gait.toe_out_deg)) @ thigh,
        f"calf_{side}": _rz(0.7 * sign * np.radians(gait.toe_out_deg)) @ calf,
        f"foot_{side}": out @ _ry(-foot),
        f"ball_{side}": out @ _ry(-toes),
    }


def _arm(
    at: dict[str, np.ndarray], gait: Gait, side: str, sign: float, p: float, moving: float, sway: float
) -> dict[str, np.ndarray]:
    share = moving * (0.6 + 0.4 * gait.stride) * (1 + sign * gait.arm_asymmetry)
    forward = -np.cos(2 * np.pi * (p - 0.02))
    swing = np.radians(gait.arm_swing_deg) * share * forward + np.radians(1.0) * sway
    bend = np.radians(gait.elbow_deg * (1 + 0.5 * moving * forward) + 3 * moving)
    upper = _down(swing - np.radians(3), sign * gait.arm_out)
    fore = _down(swing - np.radians(3) + bend, sign * 0.25 * gait.arm_out)
    wrist, elbow = at[f"hand_{side}"], at[f"lowerarm_{side}"]
    lower = _align(wrist - elbow, fore)
    across = at[f"index_01_{side}"] - at[f"pinky_01_{side}"]
    # The palm faces the thigh: knuckles run from front (index) to back (little finger), thumbs a little inwards.
    wanted = _frame(fore, np.array([0.9, -0.45 * sign, 0.0]))
    hand = wanted @ _frame(at[f"middle_01_{side}"] - wrist, across).T
    straight = _frame(fore, lower @ across)
    turn = np.arctan2(*(wanted[:, 1] @ straight[:, [2, 1]]))
    turned = {
        f"upperarm_{side}": _align(elbow - at[f"upperarm_{side}"], upper),
        f"lowerarm_{side}": _about(fore, 0.6 * turn) @ lower,
        f"hand_{side}": hand,
    }
    palm = sign * wanted[:, 2]
    for finger, more in _FINGERS.items():
        for joint, following, bends in (("01", "02", 0.8), ("02", "03", 2.1), ("03", "", 3.1)):
            if following:
                rest = at[f"{finger}_{following}_{side}"] - at[f"{finger}_{joint}_{side}"]
            angle = np.radians(gait.curl_deg * bends * more)
            target = np.cos(angle) * wanted[:, 0] + np.sin(angle) * palm
            turned[f"{finger}_{joint}_{side}"] = _align(hand @ rest, target) @ hand
    thumb = 0.85 * wanted[:, 0] + 0.3 * wanted[:, 1] + 0.42 * palm
    rest = at[f"thumb_03_{side}"] - at[f"thumb_02_{side}"]
    turned[f"thumb_02_{side}"] = _align(hand @ rest, thumb) @ hand
    return turned


def _bump(p: float, centre: float, width: float) -> float:
    distance = (p - centre + 0.5) % 1.0 - 0.5
    return float(np.exp(-((distance / width) ** 2)))


def _down(angle: float, lateral: float) -> np.ndarray:
    direction = np.array([np.sin(angle), lateral, -np.cos(angle)])
    return direction / np.linalg.norm(direction)


def _frame(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Right-handed axes as columns: first along, second as near across as a right angle allows."""
    first = along / np.linalg.norm(along)
    second = across - (across @ first) * first
    second = second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], 1)


def _align(rest: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The smallest rotation that turns one direction into another."""
    a, b = rest / np.linalg.norm(rest), wanted / np.linalg.norm(wanted)
    axis, cosine = np.cross(a, b), float(a @ b)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / max(1 + cosine, 1e-9)


def _about(axis: np.ndarray, angle: float) -> np.ndarray:
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _rx(angle: float) -> np.ndarray:
    return _about(np.array([1.0, 0, 0]), angle)


def _ry(angle: float) -> np.ndarray:
    return _about(np.array([0, 1.0, 0]), angle)


def _rz(angle: float) -> np.ndarray:
    return _about(np.array([0, 0, 1.0]), angle)
