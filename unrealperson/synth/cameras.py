"""Where surveillance cameras stand in a scene.

Source: paper section 3.3 (34 cameras).
"""

from __future__ import annotations

import math

import numpy as np

from unrealperson.synth.scenes import make_scene
from unrealperson.synth.view import View, aimed

PERSON_HEIGHT_M = 1.7
_TRIES, _CLOSER, _CLOSEST = 100, 0.85, 0.15
"""After so many tries a seeded camera comes closer by this factor; at this share of its distance it gives up."""


def camera_views(
    scene: int, count: int, seed: int, *, place: str = "", heights_m: tuple[float, float] = (0.0, 0.0)
) -> list[View]:
    """The surveillance cameras of a scene: the hand-set ones first, then as many seeded ones as asked for.

    Args:
        scene: scene number X.
        count: number of cameras, 1 or more.
        seed: chooses the seeded cameras.
        place: what takes the scene's place, as for `make_scene`.
        heights_m: least and greatest height, and then no hand-set camera; zeros: 2.5 to 6 beside the hand-set ones.

    Returns:
        `count` views; a longer list starts with the shorter one. People appear about 90 to 300 pixels tall at
        640 x 480; larger where a narrow place brings cameras close.

    Raises:
        ValueError: no room for so many.

    Source: paper section 3.3; poses were recorded by hand there.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 camera, got {count}")
    found = make_scene(scene, seed, place=place) if place else make_scene(scene, 0)
    views = [] if any(heights_m) else list(found.views[:count])
    rng = np.random.default_rng([seed, scene, 101])
    lowest_m, highest_m = heights_m if any(heights_m) else (2.5, 6.0)
    highest_m = min(highest_m, found.ceiling_m - 0.4)
    tries = 0
    while len(views) < count:
        closer = _CLOSER ** max(tries // _TRIES - 1, 0)
        tries += 1
        if closer < _CLOSEST:
            raise ValueError(f"{found.name} has no room for {count} cameras; set them by hand")
        path = found.paths[rng.integers(len(found.paths))]
        x, y = path[rng.integers(len(path))]
        angle = rng.uniform(-math.pi, math.pi)
        distance_m, height_m, tall_px = (
            rng.uniform(5.5, 11.0),
            rng.uniform(min(lowest_m, highest_m), highest_m),
            rng.uniform(115.0, 190.0),
        )
        distance_m *= closer
        at = (x - distance_m * math.cos(angle), y - distance_m * math.sin(angle), height_m)
        slant_m = math.hypot(distance_m, height_m - 0.9)
        fov = 2.0 * math.degrees(math.atan(320.0 * PERSON_HEIGHT_M * distance_m / (tall_px * slant_m**2)))
        if 40.0 <= fov <= 75.0 and found.sees(at, (x, y, 0.9)):
            views.append(aimed(at, (x, y, 0.9), fov, rng.normal(0.0, 1.0)))
            tries = 0
    return views
