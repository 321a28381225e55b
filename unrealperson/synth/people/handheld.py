"""What hands hold: umbrellas, phones and trolleys, built where the hand is in the middle of a walk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unrealperson.synth.people.accessories import Item
from unrealperson.synth.people.dressing import Dressing
from unrealperson.synth.people.solids import loft, pillow, tube


def umbrella(wearer: Dressing, item: Item) -> None:
    """An umbrella, open over the head or closed at the side.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    side = item.hand
    carried, grip = wearer.hand(side)
    place = grip[:, 3]
    if item.kind == "closed umbrella":
        z = np.array([0.05, 0.0, -0.06, -0.1, -0.3, -0.55, -0.62])
        z = z * min(1.0, (place[2] - 0.05) / 0.62)
        radius = np.array([0.011, 0.011, 0.011, 0.025, 0.03, 0.022, 0.006])
        wearer.give(tube(place + z[:, None] * [0.12, 0, 1], radius, sides=8), side, carried, "hand bag")
        return
    top = max(wearer.head.to_body(np.array([0.06, 0.0, 0.87]))[2] + 0.13, place[2] + 0.5) - place[2]
    centre = place * [1, 0.35, 1]
    tip = np.array([centre[0] - 0.03, centre[1], place[2] + top])
    shaft = place + np.array([-0.1, -0.05, 0.0, 0.1, 0.3, 1.0])[:, None] * (tip - place)
    wearer.give(tube(shaft, 0.008), side, carried, "gear", cell="metal")
    turn = np.linspace(0, 2 * np.pi, 33)[:-1]
    panel = np.abs((turn / (2 * np.pi) * 8) % 1 - 0.5) * 2
    reach = np.array([0.0, 0.2, 0.38, 0.5, 0.5, 0.37, 0.0])[:, None]
    down = np.array([0.0, 0.03, 0.1, 0.2, 0.205, 0.11, 0.012])[:, None] - 0.03 * (1 - panel) * (reach > 0.4)
    reach = reach * (0.93 + 0.07 * panel)
    canopy = np.stack([reach * np.cos(turn), reach * np.sin(turn), -down], -1)
    wearer.give(loft(tip + canopy), side, carried, "hand bag")


def phone(wearer: Dressing, item: Item) -> None:
    """A phone in the right hand, its screen towards the face.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    carried, grip = wearer.hand("r")
    axes = grip[:, :3]
    box = pillow(np.zeros(3), (0.073, 0.15, 0.01), "local", power=9.0)
    # The screen looks at the face; the fingers lie behind it.
    screen = wearer.at["head"] + [0.1, 0, 0.05] - grip[:, 3]
    out = screen / np.linalg.norm(screen)
    up = np.array([0, 0, 1.0]) - out[2] * out
    up /= np.linalg.norm(up)
    turned = np.stack([np.cross(up, out), up, out], 1)
    place = box.place @ turned.T + grip[:, 3] + 0.03 * axes[:, 0] + 0.015 * out
    wearer.give(replace(box, place=place), "r", carried, "gear", cell="black")


def trolley(wearer: Dressing, item: Item) -> None:
    """A shopping trolley of wire, pushed with both hands, a bag in its basket.

    Args:
        wearer: who pushes it.
        item: its measures and the bag's cloth.
    """
    rng = np.random.default_rng(item.seed)
    grips = np.stack([wearer.hand(side)[1][:, 3] for side in "lr"])
    wide = float(np.abs(grips[:, 1]).max()) + 0.05
    x, z = float(grips[:, 0].mean()), float(grips[:, 2].mean())
    back, front = x + 0.07, x + 0.07 + rng.uniform(0.68, 0.8)
    deep = rng.uniform(0.38, 0.46)

    def rod(path: list[tuple[float, float, float]], radius_m: float = 0.004, cell: str = "metal") -> None:
        wearer.add(tube(np.array(path), radius_m, sides=4), "gear", "Root", cell=cell)

    def corners(share: float) -> np.ndarray:
        """The basket's outline, from its rim (0) to its floor (1)."""
        near, far = back + 0.1 * share, front - 0.08 * share
        half_near, half_far = wide * (1 - 0.2 * share), wide * (0.8 - 0.15 * share)
        level = z - 0.07 - deep * share
        low, high = level, level + 0.1 * share
        return np.array(
            [[near, half_near, low], [far, half_far, high], [far, -half_far, high], [near, -half_near, low]]
        )

    rod([(x, share * (wide + 0.02), z) for share in np.linspace(1, -1, 13)], 0.014, "black")
    rim, floor = corners(0.0), corners(1.0)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        ring = corners(share)
        for start, end in zip(ring, np.roll(ring, -1, 0), strict=True):
            rod([tuple(start), tuple(end)], 0.007 if share == 0 else 0.004)
    for side, bars in ((0, 8), (1, 5), (2, 8), (3, 5)):
        following = (side + 1) % 4
        for along in np.linspace(0, 1, bars, endpoint=False):
            ends = [points[side] + along * (points[following] - points[side]) for points in (rim, floor)]
            rod([tuple(end) for end in ends])
    for along in np.linspace(0.15, 0.85, 4):
        rod([tuple(floor[a] + along * (floor[b] - floor[a])) for a, b in ((0, 3), (1, 2))])
    for sign in (1.0, -1.0):
        near, far = wide * sign, 0.75 * wide * sign
        rod([(x, near, z), (back, near, z - 0.08), (back + 0.05, near, 0.16), (front - 0.02, far, 0.12)], 0.012)
        for place in ((back + 0.05, near), (front - 0.04, far)):
            axle = np.array([[*place, 0.055]]) + np.array([[0, -0.014, 0], [0, 0.014, 0]])
            wearer.add(tube(axle, 0.055, sides=10), "gear", "Root", cell="black")
            rod([(*place, 0.055), (*place, 0.15)], 0.008)
    middle = np.array([back + 0.4 * (front - back), 0.0, z - 0.07 - 0.55 * deep])
    wearer.add(pillow(middle, (1.1 * wide, 0.7 * deep, 0.3), "x"), "hand bag", "Root")
