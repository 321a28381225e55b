"""The scenes by their number X, as in the folder names unreal_vX.Y."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from unrealperson.synth.scenes.lamps import Lamp
from unrealperson.synth.scenes.light import Light
from unrealperson.synth.scenes.market import build_market
from unrealperson.synth.scenes.scene import Mesh, Scene
from unrealperson.synth.scenes.station import build_station
from unrealperson.synth.scenes.street import build_street

__all__ = ["SCENES", "Lamp", "Light", "Mesh", "Scene", "make_scene"]

SCENES: dict[int, tuple[str, Callable[[int], Scene]]] = {
    1: ("CityStreet", build_street),
    4: ("Supermarket", build_market),
    5: ("StationHall", build_station),
}
"""Name and builder of each scene; a builder takes the seed."""


_LIGHT_STEPS = {1: 1, 2: 12, 3: 6, 4: 1, 5: 1}


def light_steps(scene: int, lights: int) -> int:
    """Light steps of a batch.

    Args:
        scene: scene number X.
        lights: steps asked for; 0 takes the scene's own.

    Source: light_condition of the authors' toolkit/generate_datasets.py.
    """
    return lights or _LIGHT_STEPS.get(scene, 1)


@lru_cache(maxsize=4)
def make_scene(number: int, seed: int) -> Scene:
    """Builds a scene.

    Args:
        number: scene number X.
        seed: chooses textures, clutter and light steps; paths, obstacles and cameras do not depend on it.

    Raises:
        ValueError: no such scene.
    """
    if number not in SCENES:
        known = ", ".join(f"{key} ({name})" for key, (name, _) in SCENES.items())
        raise ValueError(f"no scene {number}; there is {known}")
    return SCENES[number][1](seed)
