"""Contact sheets of what the cameras of scenes see, by day, at dusk and by night.

python examples/scene_sheets.py [FOLDER] [PEOPLE] [SCENE ...]    PEOPLE in each scene, 3; scene 1
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from unrealperson.synth.cameras import camera_views
from unrealperson.synth.people.person import make_person
from unrealperson.synth.people.riding import let_ride
from unrealperson.synth.portraits import contact_sheet
from unrealperson.synth.renderer import Renderer
from unrealperson.synth.scenes import make_scene, usual
from unrealperson.synth.sensors import camera_sensors
from unrealperson.synth.world import World

WIDTH, HEIGHT, SEED = 400, 300, 0
RIDERS = 0.15


def main(folder: Path, people: int, scenes: list[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in scenes:
        scene = make_scene(number, SEED)
        count = usual(number).cameras
        views, sensors = camera_views(number, count, SEED), camera_sensors(number, count, SEED)
        with Renderer(scene, width=WIDTH, height=HEIGHT) as renderer:
            make = make_person if scene.indoor else let_ride(make_person, RIDERS)
            world = World(scene, seed=SEED, version=2, lights=1, make=make)
            world.spawn(people)
            world.advance(6.0)
            for hours in ("day",) if scene.indoor else ("day", "dusk", "night"):
                world.hours = hours
                gain, rng = world.lighting.gain, np.random.default_rng(SEED)
                frames = [
                    sensor.apply(sensor.bend(renderer.render(world, view, "lit")), rng, gain=gain)
                    for view, sensor in zip(views, sensors, strict=True)
                ]
                columns = 4 if count > 6 else 3
                rows = [frames[start : start + columns] for start in range(0, count, columns)]
                path = folder / f"scene_{number}_{hours}.jpg"
                Image.fromarray(contact_sheet(rows)).save(path, quality=80)
                print(f"{path}: {count} cameras, exposure {world.lighting.exposure:.2f}")


if __name__ == "__main__":
    words = sys.argv[1:] or ["scene_sheets"]
    main(Path(words[0]), int(words[1]) if len(words) > 1 else 3, [int(word) for word in words[2:]] or [1])
