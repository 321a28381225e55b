"""Pictures of people in a plain room: who was made, seen from all sides, without a scene around them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from unrealperson.config import load_config
from unrealperson.files import replacing
from unrealperson.synth.people.person import Person, person_maker
from unrealperson.synth.renderer import Renderer
from unrealperson.synth.scenes.light import Hours, Light
from unrealperson.synth.scenes.scene import Mesh, Scene
from unrealperson.synth.view import View, aimed
from unrealperson.synth.world import Actor, World

_WIDE_M, _TALL_M = 1.2, 2.4
_DISTANCE_M = 8.0
_ROOM_M = 14.0
_NOON = Light(
    azimuth_deg=-35.0,
    elevation_deg=42.0,
    sun=(1.4, 1.33, 1.22),
    sky=(0.52, 0.54, 0.58),
    ground=(0.27, 0.26, 0.25),
    haze=(0.62, 0.64, 0.66),
    haze_per_m=0.0,
)


class _Room(Scene):
    def light(self, step: int, steps: int, hours: Hours = "day") -> Light:
        """Always the same light from the front left."""
        return _NOON


class Studio:
    """Photographs one person after the other.

    Args:
        height: picture height in pixels; the width is half of it.
        wide: the pictures are square, with room for vehicles.

    Raises:
        RuntimeError: no OpenGL context can be made.
    """

    def __init__(self, height: int = 256, *, wide: bool = False) -> None:
        if not 32 <= height <= 4096:
            raise ValueError(f"height must lie in 32 ... 4096 pixels, got {height}")
        room = _Room(0, "Studio", 0, (_floor(),), (), np.zeros((0, 3)), (-2.0, -2.0, 2.0, 2.0), ())
        self._world = World(room, seed=0, version=1, lights=1)
        self._renderer = Renderer(room, width=height if wide else height // 2, height=height)
        fov = 2 * math.degrees(math.atan(_WIDE_M * (1.0 if wide else 0.5) / _DISTANCE_M))
        self._whole = View((_DISTANCE_M, 0.0, 0.5 * _TALL_M - 0.12), 180.0, 0.0, 0.0, fov)

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self._renderer.close()

    def shoot(
        self, person: Person, *, turn_deg: float = 0.0, phase: float = 0.1, moving: float = 1.0, head: bool = False
    ) -> np.ndarray:
        """Takes one picture.

        Args:
            person: who.
            turn_deg: how far the person is turned to their left; 0 looks into the camera, 180 shows the back.
            phase: gait phase in cycles.
            moving: 0 stands, 1 walks.
            head: show head and shoulders instead of the whole person.

        Returns:
            [height, height / 2, 3] uint8, square from a wide studio.
        """
        actor = Actor("person", person, (0.0, 0.0, 0.0), turn_deg % 360.0, phase, moving, 0.0)
        self._world.actors = {actor.name: actor}
        view = self._whole
        if head:
            eyes = actor.keypoints()[:5].mean(0)
            x, y, z = (float(value) for value in eyes - (0.0, 0.0, 0.03))
            view = aimed((x + 2.0, y, z + 0.05), (x, y, z), 2 * math.degrees(math.atan(0.17 / 2.0)))
        return self._renderer.render(self._world, view, "lit")


def contact_sheet(rows: Iterable[Sequence[np.ndarray]]) -> np.ndarray:
    """Joins pictures of one size into one; short rows are filled up with white.

    Args:
        rows: from top to bottom, each from left to right, [H, W, 3] uint8.

    Returns:
        [rows x H, longest row x W, 3] uint8.

    Raises:
        ValueError: no picture.
    """
    table = [list(row) for row in rows]
    longest = max((len(row) for row in table), default=0)
    if not longest:
        raise ValueError("a contact sheet needs at least one picture")
    blank = np.full_like(next(row[0] for row in table if row), 255)
    return np.concatenate([np.concatenate(row + [blank] * (longest - len(row)), 1) for row in table])


def front_and_back(studio: Studio, people: Sequence[Person], *, columns: int = 12) -> np.ndarray:
    """A contact sheet of people in mid-stride: a row of fronts above a row of backs.

    Args:
        studio: takes the pictures.
        people: who is shown.
        columns: people in a row.

    Returns:
        [rows x H, columns x W, 3] uint8.
    """
    rows = []
    for start in range(0, len(people), columns):
        row = people[start : start + columns]
        rows.append([studio.shoot(person, turn_deg=20.0) for person in row])
        rows.append([studio.shoot(person, turn_deg=200.0) for person in row])
    return contact_sheet(rows)


def walk_strip(studio: Studio, person: Person, *, frames: int = 8) -> np.ndarray:
    """One gait cycle from the side.

    Args:
        studio: takes the pictures.
        person: who walks.
        frames: pictures of the cycle.

    Returns:
        [H, frames x W, 3] uint8.
    """
    return contact_sheet([[studio.shoot(person, turn_deg=90.0, phase=frame / frames) for frame in range(frames)]])


def _floor() -> Mesh:
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32) * np.float32(_ROOM_M)
    return Mesh(
        name="Floor",
        positions=corners,
        normals=np.tile(np.array([0, 0, 1], np.float32), (4, 1)),
        uv=corners[:, :2].copy(),
        colors=np.ones((4, 3), np.float32),
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.uint32),
        texture=np.full((4, 4, 3), 165, np.uint8),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the contact sheet of a configuration's first people, front and back.

    Args:
        arguments: TOML file, picture to write, number of people; None takes the process's own.
    """
    config_path, out, count = sys.argv[1:] if arguments is None else arguments
    config = load_config(config_path).synth
    make = person_maker(config)
    number = np.arange(min(int(count), config.people * len(config.versions)))
    who = zip(number % len(config.versions), number // len(config.versions), strict=True)
    people = [make(config.seed, config.versions[version], int(person)) for version, person in who]
    with Studio() as studio:
        sheet = Image.fromarray(front_and_back(studio, people))
    with replacing(Path(out)) as partial:
        sheet.save(partial, "JPEG", quality=88)


if __name__ == "__main__":
    main()
