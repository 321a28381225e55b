from __future__ import annotations

import numpy as np
import pytest
from stand_in import make_stand_in

from unrealperson.synth.scenes import make_scene
from unrealperson.synth.scenes.clutter import add_clutter
from unrealperson.synth.truth import describe_person
from unrealperson.synth.world import World


@pytest.mark.parametrize("number", [1, 4])
def test_more_clutter_is_more_obstacles_and_people_still_walk(number):
    scene = make_scene(number, 0)
    assert add_clutter(scene, 0.0).meshes == scene.meshes
    some, full = add_clutter(scene, 0.4), add_clutter(scene, 1.0)
    assert len(scene.obstacles) < len(some.obstacles) < len(full.obstacles)
    names = [mesh.name for mesh in full.meshes]
    assert len(set(names)) == len(names)
    world = World(full, seed=0, version=1, lights=1, crowding=1.0, make=make_stand_in)
    world.spawn(8)
    moved = 0.0
    for _ in range(4):
        before = {name: np.array(actor.position_m) for name, actor in world.actors.items()}
        world.advance(0.5)
        moved += sum(float(np.hypot(*(actor.position_m - before[name])[:2])) for name, actor in world.actors.items())
    assert moved / 8 > 0.4


def test_the_same_clutter_every_time():
    one, two = (add_clutter(make_scene(1, 0), 0.3) for _ in range(2))
    assert np.array_equal(one.obstacles, two.obstacles)
    assert [mesh.name for mesh in one.meshes] == [mesh.name for mesh in two.meshes]


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_share(share):
    with pytest.raises(ValueError, match=r"share must lie in 0 ... 1"):
        add_clutter(make_scene(1, 0), share)


def test_crowding_hides_more_of_people():
    pytest.importorskip("panda3d", reason="rendering needs panda3d: pip install unrealperson[synth]")
    from unrealperson.synth.renderer import Renderer

    hidden = []
    for crowding in (0.0, 1.0):
        scene = add_clutter(make_scene(1, 0), crowding)
        world = World(scene, seed=0, version=1, lights=1, crowding=crowding, make=make_stand_in)
        names = world.spawn(30)
        colors = {name: (10 + 7 * order, 5 * order, 200) for order, name in enumerate(names)}
        shares = []
        with Renderer(scene, width=320, height=240, supersample=2) as renderer:
            for _ in range(2):
                world.advance(4.0)
                for view in scene.views:
                    mask = renderer.render(world, view, "object_mask", colors)
                    for name, color in colors.items():
                        person = describe_person(world.actors[name], view, mask, color)
                        if person is not None and person["unoccluded_pixels"] > 200:
                            shares.append(1 - person["pixels"] / person["unoccluded_pixels"])
        hidden.append(float(np.mean(shares)))
    assert hidden[1] > 1.25 * hidden[0]
