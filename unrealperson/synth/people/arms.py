"""Arms and hands: swinging, hanging relaxed, and what they do when something is carried, pushed or held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from unrealperson.synth.people.rotations import about, align, cross, downwards, frame

if TYPE_CHECKING:
    from unrealperson.synth.people.gait import Gait, Skeleton

ACTIVITIES = (
    "none", "carry_left", "carry_right", "shoulder_left", "shoulder_right", "hold_left", "hold_right", "phone", "push",
)  # fmt: skip
"""What the arms do; several are joined by "+", as in "carry_left+phone", the first that names a side counts."""
HEAD_DOWN_DEG = {"phone": 27.0}
LEAN_DEG = {"push": 5.0}
_FINGERS = {"index": 0.85, "middle": 1.0, "ring": 1.08, "pinky": 1.12}
_TOGETHER = {"index": -0.07, "middle": -0.01, "ring": 0.05, "pinky": 0.13}
_RADIUS_SHARE = 60
_ARM_OUT, _FORE_OUT = (0.03, 0.36), (-0.12, 0.35)
_bent: WeakKeyDictionary[Skeleton, dict[tuple[str, float], dict[str, np.ndarray]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class _Hold:
    """Directions of an arm that does something; y is outwards, mirrored for the right side.

    Attributes:
        upper: direction of the upper arm.
        fore: direction of the forearm.
        along: direction from wrist to knuckles.
        palm: direction in which the palm looks.
        curl_deg: bend of each finger joint.
    """

    upper: tuple[float, float, float]
    fore: tuple[float, float, float]
    along: tuple[float, float, float]
    palm: tuple[float, float, float]
    curl_deg: float


_HOLDS = {
    "shoulder": _Hold((-0.08, 0.24, -0.97), (0.55, -0.42, 0.72), (0.25, -0.62, 0.7), (-1.0, -0.3, 0.0), 62.0),
    "hold": _Hold((0.12, 0.16, -0.98), (0.82, -0.12, 0.42), (0.9, -0.25, 0.3), (-0.2, -1.0, 0.0), 66.0),
    "phone": _Hold((0.22, 0.10, -0.97), (0.80, -0.34, 0.40), (0.78, -0.3, 0.5), (-0.6, -0.1, 0.8), 38.0),
    "push": _Hold((0.38, 0.14, -0.91), (0.90, -0.05, -0.32), (0.98, 0.0, -0.1), (0.05, -0.15, -1.0), 62.0),
}


def check_activity(activity: str) -> None:
    """Refuses an activity that does not exist.

    Args:
        activity: names out of `ACTIVITIES`, joined by "+".

    Raises:
        ValueError: an unknown name.
    """
    for name in activity.split("+"):
        if name not in ACTIVITIES:
            raise ValueError(f"activity must be one of {', '.join(ACTIVITIES)} or some joined by +, got {activity!r}")


def clearance(
    positions: np.ndarray, bone_index: np.ndarray, skeleton: Skeleton, *, gap_m: float = -0.008
) -> tuple[float, float]:
    """How far the arms of a dressed person have to hang outwards so that they do not pass through it.

    Args:
        positions: [V, 3] metres at rest.
        bone_index: [V, 4] bones, the strongest first.
        skeleton: the rig at rest.
        gap_m: free metres between arm and trunk; negative lets soft cloth give way.

    Returns:
        Outward lean of upper arm and forearm in metres per metre of height.
    """
    at = skeleton.at()
    bone = bone_index[:, 0]
    kind = np.array([_segment(name) for name in skeleton.names])[bone]
    trunk, lower = positions[kind == 0], positions[(kind == 2) & (positions[:, 1] > 0)]
    shoulder, elbow, wrist = at["upperarm_l"], at["lowerarm_l"], at["hand_l"]
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    away = (lower - elbow) - ((lower - elbow) @ along)[:, None] * along
    radius = (np.percentile(np.linalg.norm(away, axis=1), _RADIUS_SHARE) if len(lower) else 0.04) + gap_m
    # Lowered arms hang from a shoulder that the collar bone has let down by a little.
    start = shoulder - np.array([0.0, 0.0, 0.02])
    beside = trunk[np.abs(trunk[:, 0] - start[0]) < 0.11]

    def lean(origin: np.ndarray, length: float, shares: tuple[float, ...], thick: float) -> float:
        wanted = [-1.0]
        for share in shares:
            z = origin[2] - share * length
            near = np.abs(beside[:, 2] - z) < 0.025
            if near.any():
                wanted.append((np.abs(beside[near, 1]).max() + thick - origin[1]) / (share * length))
        return max(wanted)

    upper_m, fore_m = float(np.linalg.norm(elbow - shoulder)), float(np.linalg.norm(wrist - elbow))
    arm_out = float(np.clip(lean(start, upper_m, (0.85, 1.0), radius), *_ARM_OUT))
    hinge = start + upper_m * downwards(0.0, arm_out)
    fore_out = float(np.clip(lean(hinge, fore_m, (0.4, 0.7, 1.0, 1.3), 0.85 * radius), *_FORE_OUT))
    return arm_out, fore_out


def _segment(name: str) -> int:
    """0 trunk, legs and head; 1 upper arm, collar bone and hand; 2 forearm."""
    if name.startswith("lowerarm"):
        return 2
    return int(name.startswith(("upperarm", "clavicle", "hand", "thumb", *_FINGERS)))


def move_arm(skeleton: Skeleton, gait: Gait, side: str, p: float, moving: float, sway: float) -> dict[str, np.ndarray]:
    """Rotations of the bones of one arm.

    Args:
        skeleton: the rig at rest.
        gait: the person's habits and activity.
        side: "l" or "r".
        p: phase of the leg of the same side, 0 ... 1.
        moving: 0 stands, 1 walks.
        sway: slow movement of somebody who stands, -1 ... 1.

    Returns:
        [3, 3] rotation from rest by bone name.
    """
    sign = 1.0 if side == "l" else -1.0
    hold, carries = _doing(gait.activity, side)
    swing_share = moving * (1 + sign * gait.arm_asymmetry) * (0.2 if carries else 1.0)
    forward = -np.cos(2 * np.pi * (p - 0.02))
    swing = np.radians(gait.arm_swing_deg) * swing_share * forward + np.radians(1.0) * sway
    if hold is None:
        elbow_deg = 4.0 if carries else gait.elbow_deg
        bend = np.radians(elbow_deg * (1 + 0.4 * moving * max(forward, -0.5) * (not carries)))
        back = swing - np.radians(3)
        upper = downwards(back, sign * (gait.arm_out + 0.02 * carries))
        fore = downwards(back + bend, sign * gait.fore_out)
        along = fore + np.array([0.0, 0.0, -0.25])
        palm = np.array([-0.25 if carries else -0.4, -sign, 0.0])
        curl = np.radians(66.0 if carries else gait.curl_deg)
    else:
        mirror = np.array([1.0, sign, 1.0])
        turn = about(np.array([0.0, 1.0, 0.0]), -0.12 * swing)
        upper, fore, along, palm = (turn @ (mirror * part) for part in (hold.upper, hold.fore, hold.along, hold.palm))
        upper, fore = upper / np.linalg.norm(upper), fore / np.linalg.norm(fore)
        curl = np.radians(hold.curl_deg)
    return place_arm(skeleton, side, upper, fore, along, palm, float(curl), hinged=hold is not None)


def place_arm(
    skeleton: Skeleton,
    side: str,
    upper: np.ndarray,
    fore: np.ndarray,
    along: np.ndarray,
    palm: np.ndarray,
    curl: float,
    *,
    hinged: bool = True,
) -> dict[str, np.ndarray]:
    """Rotations of the bones of an arm whose parts have known directions.

    Args:
        skeleton: the rig at rest.
        side: "l" or "r".
        upper: [3] unit direction of the upper arm.
        fore: [3] unit direction of the forearm.
        along: [3] direction from wrist to knuckles.
        palm: [3] direction in which the palm looks.
        curl: bend of each finger joint in radians.
        hinged: the elbow is a hinge: the upper arm rolls until the forearm can bend where it has to go.

    Returns:
        [3, 3] rotation from rest by bone name.
    """
    at = skeleton.at()
    rest_upper = at[f"lowerarm_{side}"] - at[f"upperarm_{side}"]
    rest_fore = at[f"hand_{side}"] - at[f"lowerarm_{side}"]
    if hinged:
        above = frame(upper, cross(upper, fore)) @ frame(rest_upper, cross(rest_upper, rest_fore)).T
    else:
        above = align(rest_upper, upper)
    below = align(above @ rest_fore, fore) @ above
    lower, hand = _hand(at, side, fore, along, palm, below)
    fingers = {name: hand @ bent for name, bent in _fingers(skeleton, side, curl).items()}
    return {f"upperarm_{side}": above, f"lowerarm_{side}": lower, f"hand_{side}": hand, **fingers}


def turn_of_hand(skeleton: Skeleton, side: str, along: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """Rotation from rest of a hand that lies in a given way.

    Args:
        skeleton: the rig at rest.
        side: "l" or "r".
        along: [3] direction from wrist to knuckles.
        palm: [3] direction in which the palm looks.

    Returns:
        [3, 3].
    """
    return _hand_axes(side, along, palm) @ _hand_frame(skeleton.at(), side).T


def _doing(activity: str, side: str) -> tuple[_Hold | None, bool]:
    """What one arm holds up, and whether it carries something that hangs down."""
    for name in activity.split("+"):
        kind, _, where = name.partition("_")
        where = where or {"phone": "right", "push": side}.get(kind, "")
        if where[:1] == side:
            return _HOLDS.get(kind), kind == "carry"
    return None, False


def _hand(
    at: dict[str, np.ndarray],
    side: str,
    fore: np.ndarray,
    along: np.ndarray,
    palm: np.ndarray,
    below: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Forearm and hand; half of the hand's turn about the forearm happens within the forearm."""
    across = at[f"index_01_{side}"] - at[f"pinky_01_{side}"]
    wanted = _hand_axes(side, along, palm)
    hand = wanted @ _hand_frame(at, side).T
    straight, seen = frame(fore, below @ across), frame(fore, wanted[:, 1])
    turn = np.arctan2(*(seen[:, 1] @ straight[:, [2, 1]]))
    return about(fore, 0.5 * turn) @ below, hand


def _hand_axes(side: str, along: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """Axes of a hand that lies in a given way, as `_hand_frame` has them."""
    return frame(along, (1.0 if side == "l" else -1.0) * cross(palm, along))


def _hand_frame(at: dict[str, np.ndarray], side: str) -> np.ndarray:
    """Axes of the hand at rest as columns: to the knuckles, to the index finger, square to both."""
    across = at[f"index_01_{side}"] - at[f"pinky_01_{side}"]
    return frame(at[f"middle_01_{side}"] - at[f"hand_{side}"], across)


def _fingers(skeleton: Skeleton, side: str, curl: float) -> dict[str, np.ndarray]:
    """Turns within the hand, kept for as long as its owner is there."""
    bent = _bent.setdefault(skeleton, {})
    if (side, curl) not in bent:
        bent[side, curl] = _bend_fingers(skeleton, side, curl)
    return bent[side, curl]


def _bend_fingers(skeleton: Skeleton, side: str, curl: float) -> dict[str, np.ndarray]:
    """Turns, within the hand, of fingers that lie together and bend to the palm, the thumb along the index finger."""
    at, turned = skeleton.at(), {}
    wanted = _hand_frame(at, side)
    palm = wanted[:, 2] if side == "l" else -wanted[:, 2]
    for finger, more in _FINGERS.items():
        for joint, following, bends in (("01", "02", 0.75), ("02", "03", 1.85), ("03", "", 2.6)):
            if following:
                rest = at[f"{finger}_{following}_{side}"] - at[f"{finger}_{joint}_{side}"]
            angle = curl * bends * more
            target = np.cos(angle) * wanted[:, 0] + np.sin(angle) * palm + _TOGETHER[finger] * wanted[:, 1]
            turned[f"{finger}_{joint}_{side}"] = align(rest, target)
    grip = np.clip((curl - 0.4) / 0.7, 0, 1)
    reach = {"01": (0.80, 0.36, 0.40), "02": (0.92, 0.02, 0.30), "03": (0.94, -0.12, 0.28)}
    close = {"01": (0.60, 0.25, 0.75), "02": (0.45, -0.35, 0.80), "03": (0.30, -0.75, 0.55)}
    for joint, start, end in (("01", "01", "02"), ("02", "02", "03"), ("03", "02", "03")):
        mixed = (1 - grip) * np.array(reach[joint]) + grip * np.array(close[joint])
        target = mixed[0] * wanted[:, 0] + mixed[1] * wanted[:, 1] + mixed[2] * palm
        rest = at[f"thumb_{end}_{side}"] - at[f"thumb_{start}_{side}"]
        turned[f"thumb_{joint}_{side}"] = align(rest, target)
    return turned
