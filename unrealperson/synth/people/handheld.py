"""What hands hold: umbrellas and phones, built where the hand is in the middle of a walk."""

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
