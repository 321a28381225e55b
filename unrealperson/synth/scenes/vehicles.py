"""Cars and bicycles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.scenes.solid import Solid


def make_car(
    name: str, x: float, y: float, paint: Sequence[float], painted: np.ndarray, heading: int, ground_m: float
) -> Mesh:
    """A parked car, along +X or against it; `ground_m` is the height of the road."""
    car = Solid()
    glass, rubber, low = (0.03, 0.035, 0.04), (0.015,) * 3, ground_m
    car.box((x, y, low + 0.28), (4.3, 1.76, 0.3), paint, taper=1.0)
    car.box((x, y, low + 0.58), (4.26, 1.74, 0.28), paint, taper=0.96)
    car.box((x - 0.25 * heading, y, low + 0.86), (2.7, 1.6, 0.5), glass, taper=0.72)
    car.box((x - 0.25 * heading, y, low + 1.355), (1.96, 1.17, 0.03), paint)
    for sx in (-1.35, 1.35):
        for sy in (-0.8, 0.8):
            car.tube((x + sx, y + sy - 0.1, low + 0.32), (x + sx, y + sy + 0.1, low + 0.32), 0.32, rubber, sides=16)
            outer = y + sy + math.copysign(0.105, sy)
            car.tube(
                (x + sx, outer, low + 0.32),
                (x + sx, outer + math.copysign(0.01, sy), low + 0.32),
                0.2,
                (0.35,) * 3,
                sides=12,
            )
    for sy in (-0.62, 0.62):
        car.box((x + 2.13 * heading, y + sy, low + 0.55), (0.06, 0.34, 0.16), (0.8, 0.8, 0.75))
        car.box((x - 2.13 * heading, y + sy, low + 0.58), (0.06, 0.3, 0.16), (0.35, 0.02, 0.02))
    return car.mesh(name, painted, 0.6)


def make_bicycle(name: str, x: float, y: float, yaw_deg: float, paint: Sequence[float], painted: np.ndarray) -> Mesh:
    """A parked bicycle, leaning a little."""
    bicycle = Solid()
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))

    def at(along: float, up: float, across: float = 0.0) -> tuple[float, float, float]:
        return x + cos * along - sin * (across + 0.1 * up), y + sin * along + cos * (across + 0.1 * up), up

    for hub in (-0.52, 0.52):
        rim = [at(hub + 0.33 * math.cos(a), 0.34 + 0.33 * math.sin(a)) for a in np.linspace(0, 2 * np.pi, 15)]
        for start, end in pairwise(rim):
            bicycle.tube(start, end, 0.022, (0.02,) * 3, sides=5, cap=False)
        for angle in np.linspace(0, np.pi, 6)[:-1]:
            across = 0.32 * math.cos(angle), 0.32 * math.sin(angle)
            bicycle.tube(
                at(hub - across[0], 0.34 - across[1]), at(hub + across[0], 0.34 + across[1]), 0.004, (0.4,) * 3, sides=3
            )
    crank, saddle, head, front, rear = (-0.08, 0.3), (-0.22, 0.85), (0.36, 0.82), (0.52, 0.34), (-0.52, 0.34)
    for a, b in ((crank, saddle), (crank, head), (saddle, head), (head, front), (saddle, rear), (crank, rear)):
        bicycle.tube(at(*a), at(*b), 0.02, paint, sides=6)
    bicycle.tube(at(0.32, 1.0, -0.26), at(0.32, 1.0, 0.26), 0.014, (0.1,) * 3, sides=6)
    bicycle.tube(at(*head), at(0.32, 1.0), 0.016, (0.3,) * 3, sides=6)
    bicycle.box(at(-0.24, 0.88), (0.26, 0.14, 0.06), (0.03,) * 3, yaw_deg=yaw_deg)
    return bicycle.mesh(name, painted, 0.2)
