"""Riding: who rides a bicycle or a kick scooter, how the vehicle becomes part of a person, how riders sit and stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from unrealperson.synth import cycles
from unrealperson.synth.faces import Faces
from unrealperson.synth.people import arms, gait
from unrealperson.synth.people.charts import REGIONS, grid, tile_chart
from unrealperson.synth.people.detail import Level
from unrealperson.synth.people.groups import SIZE
from unrealperson.synth.people.rotations import about_x, about_y, about_z
from unrealperson.synth.people.sheets import SLOTS

if TYPE_CHECKING:
    from unrealperson.synth.people.person import Person

Kind = Literal["bicycle", "scooter"]

SPEED_MPS: dict[Kind, tuple[float, float]] = {"bicycle": (3.0, 5.0), "scooter": (2.5, 4.0)}
"""Preferred speeds."""
WHEEL_TURNS = 2
"""Turns of a bicycle's wheels for one of its crank."""
_BICYCLES = 0.75
_TILE = "hand bag"
"""Nothing of this tile of the atlas is on somebody whose hands are free: the vehicle's colours take it."""
_REACH, _STRETCHED = 0.93, 0.94
"""How far arms and, at the lowest pedal, legs are stretched, as shares of their length."""
_LEG_M = 0.84
"""A bicycle has the size of the parked ones for legs of this length."""
_STOPS, _GOES = 0.04, 0.22
"""Shares of the preferred speed between which a foot goes to the ground."""
_SEAT_M = 0.085
_TOES_DOWN_DEG, _ANKLING_DEG = 9.0, 11.0


@dataclass(frozen=True)
class Ride:
    """What somebody rides, and how.

    Attributes:
        kind: of the vehicle.
        scale: of the vehicle, 1 as parked ones.
        saddle_m: height of a saddle's lower side at scale 1.
        lean_deg: forward lean of the trunk.
    """

    kind: Kind
    scale: float
    saddle_m: float
    lean_deg: float


def let_ride(make: Callable[[int, int, int], Person], share: float) -> Callable[[int, int, int], Person]:
    """Puts some people on bicycles and scooters; nothing else about anybody changes.

    Args:
        make: makes person (seed, version, number).
        share: how many of those ride whose hands are free, 0 ... 1.

    Returns:
        As `make`. Who rides what follows from seed, version and number alone; a hard group rides together.
    """

    def mounted(seed: int, version: int, number: int) -> Person:
        person = make(seed, version, number)
        # The last number keeps this stream apart from those of looks, paths and phases.
        rng = np.random.default_rng([seed, version, number // SIZE if version == 3 else number, 9])
        rides, bicycle = rng.random() < share, rng.random() < _BICYCLES
        if not rides or person.attributes["activity"] != "none":
            return person
        skirt = {person.attributes["top_category"], person.attributes["bottom_category"]} & {"dress", "skirt"}
        return mount(person, "bicycle" if bicycle and not skirt else "scooter", rng)

    return mounted


def mount(person: Person, kind: Kind, rng: np.random.Generator) -> Person:
    """Puts somebody on a vehicle that becomes part of their mesh, rig and texture.

    Args:
        person: on foot, hands free.
        kind: of the vehicle.
        rng: chooses vehicle and speed.

    Returns:
        The rider; `stride_m` is the way of one turn of the crank.
    """
    skeleton, at = person.skeleton, person.skeleton.at()
    leg_m = gait.leg_length(at, "l")
    ride = Ride(kind, float(np.clip(leg_m / _LEG_M, 0.88, 1.12)) if kind == "bicycle" else 1.0, 0.0, 0.0)
    if kind == "bicycle":
        low, _ = _on_pedal(at, "l", ride, np.pi)
        hip_z = low[2] + np.sqrt((_STRETCHED * leg_m) ** 2 - (low[0] - ride.scale * cycles.SADDLE[0]) ** 2)
        saddle_m = (hip_z - _SEAT_M) / ride.scale - cycles.SADDLE_M
        ride = replace(ride, saddle_m=float(np.clip(saddle_m, 0.84, 1.1)))
    parts = _build(ride, rng)
    bones = {name: joint for name, joint in _joints(ride).items() if name in parts}
    names = (*skeleton.names, *bones)
    parents = [names.index("crank" if name.startswith("pedal") else "Root") for name in bones]
    mesh = [part.arrays() for part in parts.values()]
    starts = np.cumsum([0, *(len(part[0]) for part in mesh)])
    count = int(starts[-1])
    positions, normals, _, colors = (np.concatenate([part[column] for part in mesh]) for column in range(4))
    faces = np.concatenate([part[4] + np.uint32(start) for part, start in zip(mesh, starts, strict=False)])
    bone = np.repeat([names.index(name) for name in parts], np.diff(starts))
    texture, uv = _colored(person.texture, colors)
    index, weight = np.zeros((count, 4), np.uint8), np.zeros((count, 4), np.float32)
    index[:, 0], weight[:, 0] = bone, 1.0
    slots = np.full(len(faces), SLOTS.index("vehicle"), np.uint8)
    # Every level shows the whole vehicle, so its vertices come first.
    levels = tuple(
        Level(
            level.vertices + count,
            np.concatenate([faces, level.faces + np.uint32(count)]),
            np.concatenate([slots, level.slots]),
        )
        for level in person.levels
    )
    tyres = np.isin(bone, [names.index(name) for name in parts if name.startswith("wheel")])
    rider = replace(
        person,
        positions=np.concatenate([positions, person.positions]),
        normals=np.concatenate([normals, person.normals]),
        uv=np.concatenate([uv, person.uv]),
        faces=levels[0].faces,
        slots=levels[0].slots,
        levels=levels,
        bone_index=np.concatenate([index, person.bone_index]),
        bone_weight=np.concatenate([weight, person.bone_weight]),
        texture=texture,
        skeleton=gait.Skeleton(
            names,
            np.concatenate([skeleton.parents, parents]).astype(skeleton.parents.dtype),
            np.concatenate([skeleton.joints, np.array([*bones.values()], np.float32).reshape(-1, 3)]),
        ),
        speed_mps=float(rng.uniform(*SPEED_MPS[kind])),
        stride_m=float(2 * np.pi * WHEEL_TURNS * cycles.AXLE * ride.scale),
        soles=np.flatnonzero(tyres if tyres.any() else positions[:, 2] < 0.03),
        attributes={**person.attributes, "ride": kind},
        ride=ride,
    )
    leans = (replace(rider, ride=replace(ride, lean_deg=float(lean))) for lean in range(4, 60, 2))
    found = next((lean for lean in leans if _stretch(lean) < _REACH), rider)
    style_deg = float(rng.uniform(0.0, 9.0 if kind == "bicycle" else 3.0))
    return replace(rider, ride=replace(ride, lean_deg=found.ride.lean_deg + style_deg if found.ride else style_deg))


def pose(person: Person, ride: Ride, phase: float, moving: float, look_deg: float) -> np.ndarray:
    """Bone matrices of a rider: seated with feet on turning pedals or upright on a deck; at a stop a foot comes down.

    Args:
        person: the rider.
        ride: what they ride.
        phase: turns of the crank.
        moving: share of the preferred speed.
        look_deg: how far the head is turned to the left.

    Returns:
        [B, 3, 4] float32; they map rest positions to posed positions.
    """
    skeleton, at = person.skeleton, person.skeleton.at()
    angle = 2 * np.pi * (phase % 1.0)
    share = np.clip((moving - _STOPS) / (_GOES - _STOPS), 0.0, 1.0)
    rolls = float(share * share * (3 - 2 * share))
    turned, shift = _trunk(person, ride, rolls, look_deg)
    down = "l" if person.gait.idle_side > 0 else "r"
    for side, sign in (("l", 1.0), ("r", -1.0)):
        ankle, foot, yaw = _foot(at, side, sign, ride, angle, front=side != down)
        if side == down:
            beside = np.array([ankle[0], 0.0, at[f"foot_{side}"][2]])
            beside[:2] = (0.04, 0.21 * sign) if ride.kind == "bicycle" else (-0.08, 0.2 * sign)
            ankle = beside + rolls * (ankle - beside)
            foot, yaw = about_z(rolls * yaw) @ about_y(rolls * _pitch_of(foot)), rolls * yaw
        hip = at["pelvis"] + shift + turned["pelvis"] @ (at[f"thigh_{side}"] - at["pelvis"])
        turned |= gait.bend_leg(at, side, hip, ankle, yaw)
        turned |= {f"foot_{side}": foot, f"ball_{side}": foot}
    if ride.kind == "bicycle":
        level, wheel = np.eye(3), about_y(WHEEL_TURNS * angle)
        turned |= {"crank": about_y(angle), "pedal_l": level, "pedal_r": level}
        turned |= {"wheel_front": wheel, "wheel_rear": wheel}
    body = gait.compose(skeleton, turned, shift)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        shoulder, wrist, along, palm = _arm(person, ride, body, side, sign)
        upper_m = float(np.linalg.norm(at[f"lowerarm_{side}"] - at[f"upperarm_{side}"]))
        fore_m = float(np.linalg.norm(at[f"hand_{side}"] - at[f"lowerarm_{side}"]))
        line = wrist - shoulder
        distance = min(float(np.linalg.norm(line)), 0.995 * (upper_m + fore_m))
        line /= np.linalg.norm(line)
        bend = (upper_m**2 + distance**2 - fore_m**2) / (2 * upper_m * distance)
        out = np.array([-0.35, 0.75 * sign, -0.55])
        out -= (out @ line) * line
        upper = bend * line + np.sqrt(max(1 - bend**2, 0.0)) * out / np.linalg.norm(out)
        fore = distance * line - upper_m * upper
        turned |= arms.place_arm(skeleton, side, upper, fore / np.linalg.norm(fore), along, palm, np.radians(64.0))
    return gait.compose(skeleton, turned, shift)


def _pitch_of(turn: np.ndarray) -> float:
    """Radians by which a foot points down."""
    return float(-np.arcsin(np.clip(turn[2, 0], -1, 1)))


def _trunk(person: Person, ride: Ride, rolls: float, look_deg: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rotations of the trunk, and the shift that brings the hips onto the saddle or over the deck."""
    # Who stands over the frame is nearer to the bar.
    at, lean = person.skeleton.at(), np.radians(ride.lean_deg * (0.4 + 0.6 * rolls))
    slouch, look = np.radians(person.gait.slouch_deg), np.radians(look_deg)
    bends = {"pelvis": 0.45, "spine_01": 0.75, "spine_02": 1.0, "spine_03": 1.0}
    turned = {name: about_y(share * lean + slouch * (name == "spine_03")) for name, share in bends.items()}
    turned["neck_01"] = about_z(0.4 * look) @ about_y(0.6 * lean + 0.5 * slouch)
    turned["head"] = about_z(look) @ about_y(np.radians(person.gait.head_deg) + 0.1 * lean)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        turned[f"clavicle_{side}"] = turned["spine_03"] @ about_x(-sign * np.radians(5))
    leg_m, ankle_m = gait.leg_length(at, "l"), at["foot_l"][2]
    if ride.kind == "bicycle":
        seat = np.array([cycles.SADDLE[0] * ride.scale + 0.03, 0.0, 0.0])
        seat[2] = ride.scale * (ride.saddle_m + cycles.SADDLE_M) + _SEAT_M
        astride = np.array([0.02, 0.0, min(0.985 * leg_m + ankle_m, seat[2])])
    else:
        seat = np.array([cycles.DECK[0] - 0.02, 0.0, cycles.DECK[1] + ankle_m + 0.955 * leg_m])
        astride = np.array([cycles.DECK[0], 0.0, ankle_m + 0.985 * leg_m])
    hips = astride + rolls * (seat - astride)
    middle = 0.5 * (at["thigh_l"] + at["thigh_r"]) - at["pelvis"]
    return turned, hips - at["pelvis"] - turned["pelvis"] @ middle


def _foot(
    at: dict[str, np.ndarray], side: str, sign: float, ride: Ride, angle: float, *, front: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Ankle [3], rotation [3, 3] and heading of a foot on its pedal, or on the front or the rear of a deck."""
    if ride.kind == "bicycle":
        return (*_on_pedal(at, side, ride, angle), 0.0)
    yaw = sign * np.radians(12.0 if front else 42.0)
    ahead, aside = (0.04, 0.03) if front else (-0.24, 0.015)
    return np.array([ahead, sign * aside, cycles.DECK[1] + at[f"foot_{side}"][2]]), about_z(yaw), yaw


def _on_pedal(at: dict[str, np.ndarray], side: str, ride: Ride, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Ankle [3] and rotation [3, 3] of a foot whose ball stands on its pedal."""
    along, up, across = cycles.PEDALS[side == "l"]
    arm = about_y(angle) @ np.array([along, 0.0, up])
    pedal = ride.scale * (np.array([cycles.CRANK[0], cycles.PEDAL_OUT * across, cycles.CRANK[1]]) + arm)
    # The heel rises most while the pedal comes up behind.
    foot = about_y(np.radians(_TOES_DOWN_DEG - _ANKLING_DEG * arm[0] / np.hypot(along, up)))
    ball = at[f"ball_{side}"] - at[f"foot_{side}"]
    ball[1] = 0.0
    sole = np.array([0.0, 0.0, at[f"ball_{side}"][2]])
    return pedal + np.array([0.0, 0.0, 0.025]) + sole - foot @ ball, foot


def _arm(
    person: Person, ride: Ride, body: np.ndarray, side: str, sign: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shoulder and wrist [3] of a hand at the bar, where its knuckles point and its palm looks."""
    skeleton = person.skeleton
    at, mirror = skeleton.at(), np.array([1.0, sign, 1.0])
    if ride.kind == "bicycle":
        ahead, up, aside = np.mean(cycles.GRIPS, 0)
        along, palm = np.array([0.62, -0.06, -0.78]), np.array([-0.3, -0.6, -0.75])
    else:
        ahead, up, aside = cycles.BAR[0], cycles.BAR[1], 0.78 * cycles.BAR[2]
        along, palm = np.array([0.9, -0.1, -0.25]), np.array([-0.25, 0.0, -1.0])
    along, palm = mirror * along, mirror * palm
    carried = body[skeleton.names.index(f"upperarm_{side}")].astype(np.float64)
    shoulder = carried[:, :3] @ at[f"upperarm_{side}"] + carried[:, 3]
    held = person.attached[0 if side == "l" else 1][:, 3] - at[f"hand_{side}"]
    grip = ride.scale * np.array([ahead, sign * aside, up])
    wrist = grip - arms.turn_of_hand(skeleton, side, along, palm) @ held
    return shoulder, wrist, along, palm


def _stretch(person: Person) -> float:
    """Distance from shoulder to wrist as a share of the arm's length."""
    if person.ride is None:
        return 0.0
    turned, shift = _trunk(person, person.ride, 1.0, 0.0)
    at, body = person.skeleton.at(), gait.compose(person.skeleton, turned, shift)
    shoulder, wrist, _, _ = _arm(person, person.ride, body, "l", 1.0)
    arm_m = np.linalg.norm(at["lowerarm_l"] - at["upperarm_l"]) + np.linalg.norm(at["hand_l"] - at["lowerarm_l"])
    return float(np.linalg.norm(wrist - shoulder) / arm_m)


def _joints(ride: Ride) -> dict[str, np.ndarray]:
    """Axles of what turns, by the name of its bone."""
    crank = np.array([cycles.CRANK[0], 0.0, cycles.CRANK[1]])
    joints = {"crank": crank}
    for name, (along, up, across) in zip(("pedal_r", "pedal_l"), cycles.PEDALS, strict=True):
        joints[name] = crank + np.array([along, cycles.PEDAL_OUT * across, up + 0.0125])
    for name, hub in zip(("wheel_front", "wheel_rear"), cycles.HUBS, strict=True):
        joints[name] = np.array([hub, 0.0, cycles.AXLE])
    return {name: ride.scale * joint for name, joint in joints.items()}


def _build(ride: Ride, rng: np.random.Generator) -> dict[str, Faces]:
    """Parts of the vehicle by the bone that carries them."""
    place = cycles.Leaning(scale=ride.scale)
    if ride.kind == "scooter":
        parts = {"Root": Faces()}
        cycles.add_scooter(parts["Root"], place, cycles.random_accent(rng))
        return parts
    parts = {name: Faces() for name in ("Root", "crank", "pedal_r", "pedal_l", "wheel_front", "wheel_rear")}
    bicycle = cycles.random_bicycle(rng)
    cycles.add_frame(parts["Root"], place, bicycle, saddle_m=ride.saddle_m)
    cycles.add_fittings(parts["Root"], place, bicycle)
    cycles.add_cranks(parts["crank"], parts["pedal_r"], parts["pedal_l"], place)
    cycles.add_wheels(parts["wheel_front"], parts["wheel_rear"], place)
    return parts


def _colored(texture: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A copy of an atlas whose tile holds a band of each colour, and the place [n, 2] of each linear colour in it."""
    palette, band = np.unique(colors, axis=0, return_inverse=True)
    bright = np.where(palette > 0.0031308, 1.055 * np.maximum(palette, 1e-6) ** (1 / 2.4) - 0.055, 12.92 * palette)
    box, side_px = REGIONS[_TILE], len(texture)
    rows, columns = round(box.height * side_px), round(box.width * side_px)
    top, left = round(box.top * side_px), round(box.left * side_px)
    _, v = grid(_TILE, side_px)
    texture = texture.copy()
    texture[top : top + rows, left : left + columns] = (
        255 * bright[np.clip((v * len(palette)).astype(int), 0, len(palette) - 1)] + 0.5
    )
    uv = np.stack([np.full(len(colors), 0.5), (band.reshape(-1) + 0.5) / len(palette)], 1)
    return texture, tile_chart(_TILE, uv).astype(np.float32)
