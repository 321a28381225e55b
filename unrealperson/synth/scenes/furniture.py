"""What stands in streets and halls: tables, planters."""

from __future__ import annotations

import math

import numpy as np

from unrealperson.synth.scenes import surfaces
from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.scenes.solid import Solid


def make_cafe_table(rng: np.random.Generator, name: str, x: float, y: float, painted: np.ndarray) -> Mesh:
    """A round table with three chairs under a parasol."""
    table = Solid()
    table.tube((x, y, 0.02), (x, y, 0.72), 0.035, (0.1,) * 3)
    table.tube((x, y, 0.7), (x, y, 0.73), 0.36, (0.55, 0.42, 0.28), sides=16)
    table.tube((x, y, 0), (x, y, 0.03), 0.22, (0.1,) * 3)
    wood = (0.32, 0.2, 0.11)
    for angle in rng.uniform(0, 1) + np.arange(3) * 2.1:
        cx, cy, yaw = x + 0.72 * math.cos(angle), y + 0.72 * math.sin(angle), math.degrees(angle)
        table.box((cx, cy, 0.43), (0.4, 0.4, 0.035), wood, yaw_deg=yaw)
        back = (cx + 0.2 * math.cos(angle), cy + 0.2 * math.sin(angle))
        table.box((*back, 0.55), (0.03, 0.38, 0.32), wood, yaw_deg=yaw)
        for side in (-0.17, 0.17):
            dx, dy = -side * math.sin(angle), side * math.cos(angle)
            table.box((back[0] + dx, back[1] + dy, 0), (0.03, 0.03, 0.88), wood, yaw_deg=yaw)
            leg = (cx - 0.17 * math.cos(angle) + dx, cy - 0.17 * math.sin(angle) + dy)
            table.box((*leg, 0), (0.03, 0.03, 0.44), wood, yaw_deg=yaw)
    tone = rng.choice([[0.5, 0.46, 0.38], [0.3, 0.05, 0.05], [0.06, 0.13, 0.1]])
    table.tube((x, y, 0.7), (x, y, 2.5), 0.025, (0.25,) * 3)
    table.tube((x, y, 2.15), (x, y, 2.6), 1.25, tone, end_radius=0.03, sides=8, cap=False)
    return table.mesh(name, painted)


def make_planter(rng: np.random.Generator, name: str, x: float, y: float, leaves: np.ndarray) -> list[Mesh]:
    """A stone tub with shrubs."""
    tub = Solid()
    tub.box((x, y, 0), (1.5, 0.8, 0.5), (0.55, 0.54, 0.52))
    shrub = Solid()
    for offset in (-0.5, -0.15, 0.2, 0.52):
        rough = 1 + 0.22 * rng.standard_normal((9, 15))
        rough[:, -1] = rough[:, 0]
        tone = rng.uniform(0.7, 1.1)
        shrub.ball((x + offset, y, 0.65), (0.3, 0.36, rng.uniform(0.3, 0.45)), (tone,) * 3, rough=rough)
    return [
        tub.mesh(f"{name}_Tub", surfaces.slabs(rng, (0.6, 0.58, 0.55), 3, 2, 128)),
        shrub.mesh(f"{name}_Shrub", leaves),
    ]
