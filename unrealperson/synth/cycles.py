"""Bicycles and kick scooters, parked or ridden: along +X, 1.75 m and 1.1 m long, wheels on the ground at z = 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unrealperson.synth.faces import Faces

Point = tuple[float, float, float]

BICYCLE_PAINTS = ((0.4, 0.04, 0.04), (0.05, 0.12, 0.3), (0.03, 0.03, 0.03), (0.3, 0.32, 0.33), (0.06, 0.2, 0.13))
SCOOTER_ACCENTS = ((0.2, 0.5, 0.1), (0.65, 0.25, 0.03), (0.05, 0.3, 0.4))
STEEL, RUBBER, PLASTIC = (0.42, 0.43, 0.44), (0.018, 0.018, 0.019), (0.035, 0.035, 0.037)
HUBS, RIM_M, TYRE_M = (0.53, -0.5), 0.32, 0.02
"""X of the front and the rear hub, radius of the rim, and half of what a tyre is thick."""
AXLE = RIM_M + TYRE_M
CRANK = (-0.06, 0.29)
PEDALS = ((0.02, -0.13, -0.09), (-0.02, 0.13, 0.09))
"""Ends of the right and the left crank arm from `CRANK`: along, up, across."""
PEDAL_OUT = 1.5
"""Middles of the pedals lie so much further out than the ends of their arms."""
SADDLE = (-0.25, 0.92)
SADDLE_M = 0.05
GRIPS = ((0.26, 1.015, 0.26), (0.14, 1.02, 0.29))
"""Front and rear end of the left grip of a bicycle."""
DECK = (-0.08, 0.18)
"""Middle of the top of a scooter's deck."""
BAR = (0.27, 1.12, 0.26)
"""Left end of a scooter's bar."""


class Leaning:
    """Points of a thing that leans to its side: along, up, across.

    Args:
        lean: metres to the left per metre of height.
        scale: factor on all measures.
    """

    def __init__(self, lean: float = 0.0, scale: float = 1.0) -> None:
        self._lean, self._scale = lean, scale

    def __call__(self, along: float, up: float, across: float = 0.0) -> Point:
        scale = self._scale
        return scale * along, scale * (across + self._lean * up), scale * (up - abs(self._lean) * 0.2 * abs(across))


@dataclass(frozen=True)
class Bicycle:
    """What differs between bicycles.

    Attributes:
        paint: [3] linear RGB of its frame.
        step_through: whether its upper tube is low.
        guards: whether it has mudguards and a carrier.
        basket: whether it has a basket in front.
    """

    paint: np.ndarray
    step_through: bool
    guards: bool
    basket: bool


def random_bicycle(rng: np.random.Generator) -> Bicycle:
    """Draws a bicycle.

    Args:
        rng: source of randomness.
    """
    paint = np.asarray(BICYCLE_PAINTS[int(rng.integers(len(BICYCLE_PAINTS)))])
    step_through = bool(rng.random() < 0.4)
    return Bicycle(paint, step_through, bool(rng.random() < 0.6), bool(rng.random() < 0.45))


def random_accent(rng: np.random.Generator) -> np.ndarray:
    """Draws the colour of a kick scooter.

    Args:
        rng: source of randomness.

    Returns:
        [3] linear RGB.
    """
    return np.asarray(SCOOTER_ACCENTS[int(rng.integers(len(SCOOTER_ACCENTS)))])


def add_wheels(front: Faces, rear: Faces, place: Leaning) -> None:
    """Adds tyres, rims, spokes and hubs of a bicycle.

    Args:
        front: gathers the front wheel.
        rear: gathers the rear wheel.
        place: where the bicycle's points are.
    """
    for into, hub in ((front, HUBS[0]), (rear, HUBS[1])):
        angles = np.linspace(0, 2 * math.pi, 15)
        for share, thick_m, tone, sides in ((1.0, TYRE_M, RUBBER, 4), (0.9, 0.008, STEEL, 3)):
            reach = share * RIM_M
            into.rod(
                [place(hub + reach * math.cos(a), AXLE + reach * math.sin(a)) for a in angles],
                thick_m,
                tone,
                sides=sides,
            )
        for angle in np.linspace(0, math.pi, 7)[:-1]:
            dx, dz = 0.9 * RIM_M * math.cos(angle), 0.9 * RIM_M * math.sin(angle)
            into.tube(place(hub - dx, AXLE - dz), place(hub + dx, AXLE + dz), 0.0035, STEEL, sides=3, cap=False)
        into.tube(place(hub, AXLE, -0.05), place(hub, AXLE, 0.05), 0.022, STEEL, sides=6)


def add_frame(into: Faces, place: Leaning, bicycle: Bicycle, *, saddle_m: float = SADDLE[1]) -> None:
    """Adds frame, fork, saddle and handlebar.

    Args:
        into: gathers them.
        place: where the bicycle's points are.
        bicycle: its paint and shape.
        saddle_m: height of the saddle's lower side.
    """
    front, rear = HUBS
    seat, head_low, head = (-0.2, 0.8), (0.36, 0.66), (0.33, 0.84)
    top = (-0.13, 0.52) if bicycle.step_through else (-0.19, 0.76)
    for a, b, thick in ((CRANK, seat, 0.016), (CRANK, head_low, 0.02), (top, head, 0.016), (head_low, head, 0.02)):
        into.tube(place(*a), place(*b), thick, bicycle.paint, sides=7)
    for across in (-0.05, 0.05):
        into.tube(place(*CRANK, across), place(rear, AXLE, across), 0.009, bicycle.paint, sides=5)
        into.tube(place(*seat), place(rear, AXLE, across), 0.008, bicycle.paint, sides=5)
        into.rod([place(*head_low), place(0.4, 0.6, across), place(front, AXLE, across)], 0.011, bicycle.paint, sides=5)
    into.tube(place(*seat), place(-0.23, saddle_m), 0.013, STEEL, sides=6)
    into.box(place(SADDLE[0], saddle_m), (0.26, 0.13, SADDLE_M), PLASTIC, taper=0.85)
    into.tube(place(*head), place(0.3, 1.0), 0.014, STEEL, sides=6)
    into.rod(
        [place(0.18, 1.02, -0.28), place(0.31, 1.0, -0.16), place(0.31, 1.0, 0.16), place(0.18, 1.02, 0.28)],
        0.012,
        (0.2,) * 3,
    )
    for across in (-0.29, 0.29):
        into.tube(place(0.14, 1.02, across), place(0.26, 1.015, across * 0.9), 0.017, RUBBER, sides=6)


def add_cranks(into: Faces, right: Faces, left: Faces, place: Leaning) -> None:
    """Adds the chain ring, the arms of the crank and the pedals.

    Args:
        into: gathers what turns about the crank's axle.
        right: gathers the right pedal.
        left: gathers the left pedal.
        place: where the bicycle's points are.
    """
    into.tube(place(*CRANK, -0.02), place(*CRANK, -0.05), 0.085, (0.09,) * 3, sides=14)
    for pedal, (along, up, across) in zip((right, left), PEDALS, strict=True):
        end = (CRANK[0] + along, CRANK[1] + up)
        into.tube(place(*CRANK, across * 0.7), place(*end, across), 0.01, STEEL, sides=5)
        pedal.box(place(*end, across * PEDAL_OUT), (0.09, 0.08, 0.025), RUBBER)


def add_fittings(into: Faces, place: Leaning, bicycle: Bicycle) -> None:
    """Adds mudguards and carrier, and a basket, to a bicycle that has them.

    Args:
        into: gathers them.
        place: where the bicycle's points are.
        bicycle: what it has.
    """
    if bicycle.guards:
        for hub in HUBS:
            angles = np.linspace(0.35, 2.7, 8)
            guard = [
                [place(hub + 0.375 * math.cos(a), AXLE + 0.375 * math.sin(a), across) for a in angles]
                for across in (0.028, -0.028)
            ]
            into.sheet(np.array(guard), bicycle.paint * 0.7)
        into.box(place(HUBS[1] - 0.02, 0.74), (0.34, 0.12, 0.02), (0.05,) * 3)
    if bicycle.basket:
        for z, half in ((0.82, 0.12), (0.92, 0.14), (1.02, 0.16)):
            ring = [(0.42, half), (0.66, half), (0.66, -half), (0.42, -half), (0.42, half)]
            into.rod([place(x, z, y) for x, y in ring], 0.007, (0.1, 0.08, 0.06), sides=4)
        into.box(place(0.54, 0.82), (0.23, 0.22, 0.015), (0.09, 0.07, 0.05))
        for x in (0.42, 0.5, 0.58, 0.66):
            for y in (-1, 1):
                into.rod([place(x, 0.82, y * 0.12), place(x, 1.02, y * 0.16)], 0.005, (0.1, 0.08, 0.06), sides=3)


def add_scooter(into: Faces, place: Leaning, accent: np.ndarray) -> None:
    """Adds an electric kick scooter.

    Args:
        into: gathers it.
        place: where the scooter's points are.
        accent: [3] linear RGB of its coloured parts.
    """
    for hub in (0.44, -0.44):
        into.tube(place(hub, 0.11, -0.03), place(hub, 0.11, 0.03), 0.11, RUBBER, sides=14)
        into.tube(place(hub, 0.11, -0.034), place(hub, 0.11, 0.034), 0.06, accent, sides=10)
    into.box(place(-0.08, 0.12), (0.62, 0.16, 0.06), PLASTIC)
    into.box(place(-0.44, 0.22), (0.24, 0.1, 0.03), PLASTIC)
    into.tube(place(0.44, 0.11), place(0.4, 0.28), 0.03, PLASTIC, sides=7)
    into.tube(place(0.22, 0.16), place(0.4, 0.3), 0.035, accent, sides=7)
    into.tube(place(0.4, 0.28), place(0.27, 1.12), 0.028, PLASTIC, sides=8)
    into.tube(place(0.27, 1.12, -0.26), place(0.27, 1.12, 0.26), 0.016, PLASTIC, sides=6)
    into.box(place(0.27, 1.12), (0.08, 0.1, 0.05), accent)
