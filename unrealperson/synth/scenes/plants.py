"""Trees."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.scenes.solid import Solid


def make_tree(
    rng: np.random.Generator, name: str, x: float, y: float, bark: np.ndarray, leaves: np.ndarray, painted: np.ndarray
) -> list[Mesh]:
    """A street tree in an iron grate."""
    trunk = Solid()
    lean = rng.uniform(-0.25, 0.25, 2)
    trunk.tube((x, y, 0), (x + lean[0], y + lean[1], 3.0), 0.15, (0.8,) * 3, end_radius=0.1)
    crown = Solid()
    for _ in range(5):
        tip = np.array([x, y, 4.4]) + rng.uniform(-1, 1, 3) * (1.1, 1.1, 0.7)
        trunk.tube((x + lean[0], y + lean[1], 2.8), tip, 0.06, (0.7,) * 3, end_radius=0.03, cap=False)
        for _ in range(130):
            spread = rng.normal(0, 1, 3)
            at = tip + spread * (0.55, 0.55, 0.4)
            u, v = rng.normal(0, 1, (2, 3))
            u *= rng.uniform(0.1, 0.17) / np.linalg.norm(u)
            v *= rng.uniform(0.06, 0.14) / np.linalg.norm(v)
            shade = rng.uniform(0.45, 1.0) * (1 + 0.2 * spread[2])
            patch = rng.uniform(0, 1, 2) + np.array([[0, 0], [0.3, 0], [0.3, 0.3], [0, 0.3]])
            crown.quad(np.array([at - u, at - v, at + u, at + v]), (shade, shade, shade), patch)
    grate = Solid()
    grate.floor(x - 0.6, y - 0.6, x + 0.6, y + 0.6, 0.004, (0.12, 0.1, 0.08))
    return [
        trunk.mesh(f"{name}_Trunk", bark),
        crown.mesh(f"{name}_Crown", leaves),
        grate.mesh(f"{name}_Grate", painted),
    ]
