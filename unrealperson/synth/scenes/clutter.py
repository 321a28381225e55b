"""Things that stand beside the paths and hide people: the more of them, the more is hidden.

Source: paper section 3.3 (the level of occlusion grows with obstacles, with people and with their speeds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes.furniture import (
    make_board,
    make_market_stall,
    make_planter,
    make_trolley,
    make_vending_machine,
)
from unrealperson.synth.scenes.roadside import make_barrier
from unrealperson.synth.scenes.scene import Prop, Scene
from unrealperson.synth.scenes.vehicles import make_bicycle

_MOST = 16
_FIRST_NUMBER = 901
"""Names of clutter begin here, away from the scene's own things."""
_LANE_M, _GAP_M = 0.75, 0.35
_OUTDOOR: tuple[Callable[..., Prop], ...] = (
    make_planter, make_barrier, make_market_stall, make_board, make_bicycle, make_vending_machine,
)  # fmt: skip
_INDOOR: tuple[Callable[..., Prop], ...] = (make_planter, make_vending_machine, make_board, make_trolley)


def add_clutter(scene: Scene, share: float) -> Scene:
    """Puts obstacles beside the paths, where people can still pass.

    Args:
        scene: a place.
        share: 0 ... 1 of the most things; 0 leaves the scene as it is.

    Returns:
        The scene with more meshes and obstacles; fewer than asked for where there is no room.

    Raises:
        ValueError: no such share.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must lie in 0 ... 1, got {share}")
    rng = np.random.default_rng([scene.seed, scene.number, 12])
    line = np.concatenate([_dense(path) for path in scene.paths])
    obstacles = scene.obstacles
    props: list[Prop] = []
    kinds = _INDOOR if scene.indoor else _OUTDOOR
    for number in range(round(_MOST * share)):
        for _ in range(60):
            x, y = line[rng.integers(len(line))] + rng.uniform(-2.6, 2.6, 2)
            make = kinds[int(rng.integers(len(kinds)))]
            prop = make(_FIRST_NUMBER + number, (float(x), float(y), 0.0), float(rng.uniform(0, 360)), rng)
            circles = np.array(prop.obstacles).reshape(-1, 3)
            if len(circles) and _fits(scene, circles, line, obstacles):
                props.append(prop)
                obstacles = np.concatenate([obstacles, circles])
                break
    meshes = tuple(mesh for prop in props for mesh in prop.meshes)
    lamps = tuple(lamp for prop in props for lamp in prop.lamps)
    return replace(scene, meshes=scene.meshes + meshes, obstacles=obstacles, lamps=scene.lamps + lamps)


def _fits(scene: Scene, circles: np.ndarray, line: np.ndarray, obstacles: np.ndarray) -> bool:
    cameras = np.array([view.position_m[:2] for view in scene.views]).reshape(-1, 2)
    for x, y, radius in circles:
        if not scene.is_free(np.array([x, y]), radius):
            return False
        if np.hypot(*(line - (x, y)).T).min() < radius + _LANE_M:
            return False
        if (np.hypot(*(obstacles[:, :2] - (x, y)).T) < obstacles[:, 2] + radius + _GAP_M).any():
            return False
        if (np.hypot(*(cameras - (x, y)).T) < radius + 1.5).any():
            return False
    return True


def _dense(path: np.ndarray) -> np.ndarray:
    closed = np.concatenate([path, path[:1]])
    return np.concatenate([np.linspace(a, b, 24) for a, b in pairwise(closed)])
