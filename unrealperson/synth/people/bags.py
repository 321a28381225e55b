"""Bags, fitted to one dressed person: on the back, over a shoulder, in a hand, on wheels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unrealperson.synth.people.accessories import Item
from unrealperson.synth.people.dressing import Dressing
from unrealperson.synth.people.solids import pillow, tube

_ALONG = 14
"""Places along a strap between shoulder and bag."""


def backpack(wearer: Dressing, item: Item) -> None:
    """A bag on the back with two straps over the shoulders.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    rng, s = np.random.default_rng(item.seed), wearer.scale
    wide, high, deep = rng.uniform(0.27, 0.33), rng.uniform(0.38, 0.48), rng.uniform(0.12, 0.19)
    top = wearer.joint("clavicle_l") + rng.uniform(0.0, 0.03) * s
    middle_z = top - 0.5 * high
    y = np.repeat([-0.09, 0.0, 0.09], 5) * s
    z = np.tile(np.linspace(top - 0.04, top - high + 0.08, 5), 3)
    origin = np.stack([np.full(15, wearer.at["spine_02"][0]), y, z], 1)
    reach, _ = wearer.touch(origin, np.tile([-1.0, 0.0, 0.0], (15, 1)))
    back = origin[0, 0] - float(np.sort(reach)[-3:].mean()) + 0.008
    # It leans with the back.
    row = reach.reshape(3, 5).max(0)
    lean = float(np.clip(0.7 * np.polyfit(z[:5], -row, 1)[0], -0.25, 0.25))
    centre = np.array([back - 0.5 * deep, 0.0, middle_z])
    pocket = np.array([back - deep - 0.012, 0.0, middle_z - 0.2 * high])
    for at, size in ((centre, (wide, high, deep)), (pocket, (0.78 * wide, 0.42 * high, 0.06))):
        solid = pillow(at, size, "x")
        place = solid.place + [[lean, 0, 0]] * (solid.place[:, 2:] - middle_z - 0.1 * high)
        wearer.add(replace(solid, place=place), "back bag", "spine_03")
    centre_z = top - 0.09 * s
    for sign in (1.0, -1.0):
        turn = np.radians([140, 118, 100, 85, 70, 52, 34, 16, 0, -18])
        y = sign * np.linspace(0.07, 0.112, len(turn)) * s
        over = np.stack([np.full(len(turn), 0.012), y, np.full(len(turn), centre_z)], 1)
        towards = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1)
        around = np.radians([48, 66, 86, 106, 126])
        low = np.linspace(centre_z - 0.11 * s, top - high + 0.1, 5)
        side = np.stack([np.full(5, 0.012), np.zeros(5), low], 1)
        towards2 = np.stack([np.cos(around), sign * np.sin(around), 0 * around], 1)
        width = np.interp(np.arange(17), [0, 9, 12, 16], [0.05, 0.055, 0.03, 0.025])
        wearer.strap(
            np.concatenate([over, side]),
            np.concatenate([towards, towards2]),
            width,
            ends=(
                np.array([back - 0.03, sign * 0.06 * s, top - 0.015]),
                np.array([back - 0.03, sign * 0.4 * wide, top - high + 0.06]),
            ),
            bones=("spine_03", "spine_03"),
            region="back bag",
        )


def crossbody(wearer: Dressing, item: Item) -> None:
    """A small bag at one hip, its strap over the other shoulder.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    rng, s = np.random.default_rng(item.seed), wearer.scale
    hip = item.side
    bag_z = wearer.joint("pelvis") + 0.03 * s
    size = (rng.uniform(0.2, 0.28), rng.uniform(0.15, 0.22), rng.uniform(0.05, 0.08))
    _slung(wearer, hip, -hip, bag_z, size, "pelvis", np.radians(rng.uniform(50, 66)))


def shoulder_bag(wearer: Dressing, item: Item) -> None:
    """A bag below one arm, its strap over the shoulder above.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    rng, s = np.random.default_rng(item.seed), wearer.scale
    bag_z = wearer.joint("spine_02") - rng.uniform(0.0, 0.06) * s
    size = (rng.uniform(0.28, 0.36), rng.uniform(0.22, 0.3), rng.uniform(0.08, 0.11))
    _slung(wearer, item.side, item.side, bag_z, size, "spine_01", np.radians(82))


def _slung(
    wearer: Dressing,
    hip: float,
    shoulder: float,
    bag_z: float,
    size: tuple[float, float, float],
    bone: str,
    turn: float,
) -> None:
    """A bag at one hip, its strap over the shoulder of the same or the other side."""
    s = wearer.scale
    towards = np.array([[np.cos(turn), hip * np.sin(turn), 0.0]])
    axis = np.array([[0.012, 0.0, bag_z], [0.012, 0.0, bag_z + 0.4 * size[1]], [0.012, 0.0, bag_z - 0.4 * size[1]]])
    reach, _ = wearer.touch(axis, np.repeat(towards, 3, 0))
    centre = axis[0] + (reach.max() + 0.5 * size[2] - 0.004) * towards[0]
    wearer.add(pillow(centre, size, "y", turn=hip * (turn - np.pi / 2)), "back bag", bone)
    top_z = wearer.joint("clavicle_l")
    along = np.array([-np.sin(turn), hip * np.cos(turn), 0.0])
    corner = [centre + sign * 0.42 * size[0] * along + [0, 0, 0.44 * size[1]] for sign in (-1.0, 1.0)]
    level = np.linspace(0, 1, _ALONG)
    z = (bag_z + 0.5 * size[1] + 0.02) * (1 - level) + (top_z - 0.03 * s) * level
    start_y = hip * (0.12 if hip != shoulder else 0.15) * s
    y = start_y * (1 - level) + shoulder * (0.075 if hip != shoulder else 0.125) * s * level
    x = np.sqrt(np.clip(1 - (y / (0.175 * s)) ** 2, 0.12, 1)) * 0.12
    turns = np.radians([35, 62, 90, 118, 145])
    over = np.stack([np.cos(turns), np.full(5, shoulder * 0.12), np.sin(turns)], 1)
    middle = np.tile([0.012, shoulder * (0.075 if hip != shoulder else 0.115) * s, top_z - 0.07 * s], (5, 1))
    axis = np.stack([np.full(_ALONG, 0.012), np.zeros(_ALONG), z], 1)
    front, back = np.stack([x, y, 0 * x], 1), np.stack([-x, y, 0 * x], 1)
    wearer.strap(
        np.concatenate([axis, middle, axis[::-1]]),
        np.concatenate([front, over, back[::-1]]),
        0.03,
        ends=(corner[0], corner[1]),
        bones=(bone, bone),
        region="back bag",
        thick_m=0.004,
    )


def handbag(wearer: Dressing, item: Item) -> None:
    """A handbag or tote that hangs from the hand by its handles.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    rng, side = np.random.default_rng(item.seed), item.hand
    carried, grip = wearer.hand(side)
    place, sign = grip[:, 3], 1.0 if side == "l" else -1.0
    if item.kind == "tote":
        size, drop = (rng.uniform(0.32, 0.38), rng.uniform(0.32, 0.38), 0.07), 0.2
    else:
        size, drop = (rng.uniform(0.26, 0.34), rng.uniform(0.18, 0.25), rng.uniform(0.1, 0.13)), 0.1
    drop = min(drop, max(place[2] - size[1] - 0.12, 0.05))
    centre = place + np.array([0.0, sign * 0.015, -drop - 0.5 * size[1]])
    wearer.give(pillow(centre, size, "y"), side, carried, "hand bag")
    turn = np.linspace(0, np.pi, 9)
    for away in (-0.018, 0.018):
        path = np.stack(
            [
                0.28 * size[0] * np.cos(turn),
                away * (1 - 0.8 * np.sin(turn)),
                -drop - 0.03 + (drop + 0.03) * np.sin(turn) ** 0.6,
            ],
            1,
        )
        solid = tube(place + path + np.array([0, sign * 0.015, 0]) * (1 - np.sin(turn))[:, None], 0.007)
        wearer.give(replace(solid, uv=solid.uv * [0.05, 1.0]), side, carried, "hand bag")


def suitcase(wearer: Dressing, item: Item) -> None:
    """A suitcase that rolls beside the hand at its bar.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    rng, side = np.random.default_rng(item.seed), item.hand
    carried, grip = wearer.hand(side)
    place, sign = grip[:, 3], 1.0 if side == "l" else -1.0
    wide, high, deep = rng.uniform(0.3, 0.36), rng.uniform(0.46, 0.58), rng.uniform(0.2, 0.24)
    wheels = np.array([place[0] - 0.55 * place[2], place[1] + 0.09 * sign, 0.035])
    up = place + np.array([0.0, 0.09 * sign, 0.0]) - wheels
    length = float(np.linalg.norm(up))
    up /= length
    out = np.array([-up[2], 0.0, up[0]])
    high = min(high, length - 0.12)
    axes = np.stack([np.array([0.0, 1.0, 0.0]), up, out], 1)
    box = pillow(np.zeros(3), (wide, high, deep), "local", power=7.0)
    centre = wheels + (0.5 * high - 0.01) * up + 0.5 * deep * out
    wearer.add(replace(box, place=box.place @ axes.T + centre), "hand bag", "Root")
    for offset in (-0.4, 0.4):
        wheel = wheels + np.array([0.0, offset * wide, 0.0]) + 0.04 * out
        wheel[2] = 0.034
        path = wheel + np.array([[0.0, -0.015, 0.0], [0.0, 0.015, 0.0]])
        wearer.add(tube(path, 0.033, sides=10), "gear", "Root", cell="black")
    rest = (place - carried[:, 3]) @ carried[:, :3]
    for offset in (-0.05, 0.05):
        foot = wheels + high * up + [0, offset, 0] + 0.3 * deep * out
        solid = tube(np.stack([foot, place + np.array([0, 0.4 * offset, 0])]), 0.008)
        held = len(solid.place) // 2
        dense = np.zeros((len(solid.place), len(wearer.template.bone_names)))
        dense[:held, wearer.template.bone("Root")] = 1
        dense[held:, wearer.template.bone(f"hand_{side}")] = 1
        moved = solid.place.copy()
        moved[held:] = (solid.place[held:] - carried[:, 3]) @ carried[:, :3]
        wearer.add(replace(solid, place=moved), "gear", dense, cell="metal")
    bar = carried[:, :3].T @ np.array([0.0, 1.0, 0.0])
    wearer.add(tube(rest + np.array([[-0.06], [0.06]]) * bar, 0.012), "gear", f"hand_{side}", cell="black")
