"""A scene of your own: a small yard built from ready things, and one frame of it.

python examples/own_scene.py                                                renders own_scene.png
unrealperson synth --synth.place examples/own_scene.py:build_yard --out X   makes a data set there
"""

import numpy as np
from PIL import Image

from unrealperson.synth.renderer import Renderer
from unrealperson.synth.scenes import Scene, surfaces
from unrealperson.synth.scenes.courtyard import make_lantern
from unrealperson.synth.scenes.foliage import bark
from unrealperson.synth.scenes.furniture import make_bench, make_bin, make_cafe_table, make_planter
from unrealperson.synth.scenes.ground import level_ground
from unrealperson.synth.scenes.plants import make_tree
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.vehicles import make_bicycle
from unrealperson.synth.view import aimed
from unrealperson.synth.world import World

THINGS = (
    (make_bench, -2.5, 5.2, 0.0), (make_bench, 2.5, 5.2, 0.0), (make_bin, 0.0, 5.4, 0.0), (make_lantern, 7.2, 5.3, 0.0),
    (make_planter, -4.5, 0.3, 90.0), (make_cafe_table, 6.6, -2.8, 0.0), (make_bicycle, -7.4, -2.0, 80.0),
    (make_bicycle, -7.4, -2.9, 97.0), (make_lantern, -3.0, -5.4, 0.0),
)  # fmt: skip
WALLS = [[(-8, 6), (8, 6)], [(-8, -6), (-8, 6)], [(8, 6), (8, -6)], [(8, -6), (-8, -6)]]


def build_yard(seed: int) -> Scene:
    """A paved yard between brick walls; paths and cameras stay the same for every seed, colours do not."""
    rng = np.random.default_rng(seed)
    props = [make(number, (x, y, 0.0), yaw_deg, rng) for number, (make, x, y, yaw_deg) in enumerate(THINGS, 1)]
    meshes = [mesh for prop in props for mesh in prop.meshes]
    obstacles = np.array([circle for prop in props for circle in prop.obstacles] + [(0.0, 0.5, 0.35)])
    meshes += make_tree(rng, "Tree_1", 0.0, 0.5, bark(rng), surfaces.leaves(rng))
    paving = surfaces.slabs(rng, (0.5, 0.48, 0.45), 8, 5)
    meshes.append(level_ground(rng, "Paving_1", (-8, -6, 8, 6), paving, tile_m=3.0, obstacles=obstacles, walls=WALLS))
    bricks = surfaces.bricks(rng, (0.5, 0.32, 0.26))
    for number, ((x0, y0), (x1, y1)) in enumerate(WALLS, 1):
        wall, wide = Solid(), abs(x1 - x0) + abs(y1 - y0)
        tiled = np.array([[0, 0], [wide, 0], [wide, 4], [0, 4]]) / 1.4
        wall.quad(np.array([[x0, y0, 0], [x1, y1, 0], [x1, y1, 4], [x0, y0, 4]]), uv=tiled)
        meshes.append(wall.mesh(f"Wall_{number}", bricks))
    around = np.array([[-3, -3], [3, -3], [3, 3], [-3, 3]])
    return Scene(
        number=9,
        name="Yard",
        seed=seed,
        meshes=tuple(meshes),
        paths=(around, around * 0.8, around[::-1] * (0.7, 0.6), around * (0.9, 0.7)),
        obstacles=obstacles,
        bounds=(-8.0, -6.0, 8.0, 6.0),
        views=(aimed((-7.0, -5.6, 4.2), (0.6, 1.0, 0.6), 58.0), aimed((6.5, 5.4, 3.6), (-1.0, -1.0, 0.7), 60.0)),
        lamps=tuple(lamp for prop in props for lamp in prop.lamps),
    )


def main() -> None:
    scene = build_yard(seed=0)
    world = World(scene, seed=0, version=1, lights=1)
    world.spawn(6)
    world.advance(2.0)
    with Renderer(scene, width=640, height=480) as renderer:
        Image.fromarray(renderer.render(world, scene.views[0], "lit")).save("own_scene.png")
    print(f"own_scene.png: {len(world.actors)} people among {len(scene.meshes)} objects")


if __name__ == "__main__":
    main()
