"""The scenes by their number X, as in the folder names unreal_vX.Y."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from unrealperson.synth.scenes.lamps import Lamp
from unrealperson.synth.scenes.light import Light
from unrealperson.synth.scenes.market import build_market
from unrealperson.synth.scenes.own_surfaces import take_surfaces
from unrealperson.synth.scenes.place import make_place
from unrealperson.synth.scenes.plaza import build_plaza
from unrealperson.synth.scenes.scene import Mesh, Scene
from unrealperson.synth.scenes.station import build_station
from unrealperson.synth.scenes.street import build_street
from unrealperson.synth.scenes.yard import build_yard

__all__ = ["SCENES", "Lamp", "Light", "Mesh", "Scene", "make_scene"]

SCENES: dict[int, tuple[str, Callable[[int], Scene]]] = {
    1: ("CityStreet", build_street),
    2: ("DowntownPlaza", build_plaza),
    3: ("CampusYard", build_yard),
    4: ("Supermarket", build_market),
    5: ("StationHall", build_station),
}
"""Name and builder of each scene; a builder takes the seed."""


@dataclass(frozen=True)
class Usual:
    """How much of everything a scene has where the configuration leaves it open.

    Attributes:
        cameras: surveillance cameras.
        people: identities that walk together.
        lights: light steps of a batch.
    """

    cameras: int
    people: int
    lights: int


_USUAL = {1: Usual(6, 100, 1), 2: Usual(16, 100, 12), 3: Usual(6, 100, 6), 4: Usual(6, 50, 1)}
_OTHER = Usual(6, 50, 1)


def usual(scene: int) -> Usual:
    """Numbers of a scene.

    Args:
        scene: scene number X.

    Source: paper section 3.3; cam_num, people per batch and light_condition of the authors' tool kit.
    """
    return _USUAL.get(scene, _OTHER)


@lru_cache(maxsize=4)
def make_scene(number: int, seed: int, *, place: str = "", surfaces: str = "") -> Scene:
    """Builds a scene.

    Args:
        number: scene number X.
        seed: chooses textures, clutter and light steps; paths, obstacles and cameras do not depend on it.
        place: function or model that takes the place of the scene of that number, as for `make_place`.
        surfaces: folder of pictures that take the place of painted surfaces, as for `take_surfaces`.

    Raises:
        ValueError: no such scene, or no such surfaces.
    """
    if surfaces:
        return take_surfaces(make_scene(number, seed, place=place), Path(surfaces))
    if place:
        return make_place(place, number, seed)
    if number not in SCENES:
        known = ", ".join(f"{key} ({name})" for key, (name, _) in SCENES.items())
        raise ValueError(f"no scene {number}; there is {known}")
    return SCENES[number][1](seed)
