from __future__ import annotations

import numpy as np
import pytest
from stand_in import make_stand_in

from unrealperson.synth.scenes import make_scene
from unrealperson.synth.scenes.clutter import add_clutter
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
