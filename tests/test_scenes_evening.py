from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unrealperson.synth.renderer import Renderer
from unrealperson.synth.scenes import facades, residences, shops, surfaces
from unrealperson.synth.scenes.evening import own_stream, with_shine
from unrealperson.synth.scenes.lamps import Lamp
from unrealperson.synth.scenes.scene import Scene
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.view import aimed
from unrealperson.synth.world import World

FACADES = {
    "street": lambda rng: surfaces.facade(rng, (0.6, 0.5, 0.4), 4, 4, 128),
    "tower": lambda rng: facades.curtain_wall(rng, (0.8, 0.9, 1.0), 4, 4, 128),
    "lobby": lambda rng: facades.lobby(rng, 512, 4),
    "office": lambda rng: facades.office_wall(rng, (0.6, 0.6, 0.5), 4, 4, 128),
    "house": lambda rng: residences.windows(rng, (0.8, 0.8, 0.8), 128),
}


@pytest.mark.parametrize("name", FACADES)
def test_some_rooms_are_lit_and_walls_are_not(name):
    texture = FACADES[name](np.random.default_rng(1))
    shine = texture[..., 3] / 255
    assert texture.dtype == np.uint8 and texture.shape[2] == 4
    assert 0.02 < (shine > 0.2).mean() < 0.9 and (shine < 0.01).mean() > 0.05
    assert len(np.unique(texture[..., 3])) > 3
    assert not np.array_equal(texture[..., 3], FACADES[name](np.random.default_rng(2))[..., 3])


def test_the_evening_draws_nothing_of_the_day():
    one, two = np.random.default_rng(3), np.random.default_rng(3)
    own_stream(one).random(100)
    assert one.random() == two.random()
    assert own_stream(one).random() != own_stream(one).random()


def test_a_window_glows_at_night_in_its_own_colour_and_by_day_not_at_all():
    grey = np.full((8, 8, 3), 120, np.uint8)

    def wall(glow) -> Scene:
        solid = Solid()
        solid.quad(np.array([(3.0, 2, 0), (3.0, -2, 0), (3.0, -2, 3), (3.0, 2, 3)]))
        half = np.zeros((8, 8))
        half[:, 4:] = 1.0
        mesh = replace(solid.mesh("Wall", with_shine(grey, half)), glow=glow)
        path = np.array([(-1.0, -1), (1, -1), (0, 1)])
        return Scene(
            9, "Wall", 0, (mesh,), (path,), np.zeros((0, 3)), (-4, -4, 4, 4), (), (Lamp((0, 0, 3), (1,) * 3, 4),)
        )

    pictures = {}
    for glow in (0.0, (3.0, 0.5, 0.1)):
        scene = wall(glow)
        with Renderer(scene, width=64, height=48) as renderer:
            for hours in ("day", "night"):
                world = World(scene, seed=0, version=1, lights=1, hours=hours)
                pictures[glow, hours] = renderer.render(world, aimed((0, 0, 1.5), (3, 0, 1.5), 50.0), "lit").astype(int)
    warm = (3.0, 0.5, 0.1)
    assert np.array_equal(pictures[0.0, "day"], pictures[warm, "day"])
    more = pictures[warm, "night"] - pictures[0.0, "night"]
    left, right = more[24, 12], more[24, 52]
    lit, dark = (left, right) if left.sum() > right.sum() else (right, left)
    assert lit[0] > lit[1] > lit[2] >= 0 and lit[0] > 40 and np.abs(dark).max() <= 2


def test_shops_of_a_street_are_lit():
    rng = np.random.default_rng(0)
    prop = shops.make_house(shops.House("A", "BAKERY", 7.0, 2, True), (0, 0, 0), 0.0, rng)
    glows = {mesh.name: mesh.glow for mesh in prop.meshes}
    assert np.max(glows["Shop_A_Window"]) > 0 and np.max(glows["Building_A_Wall"]) > 1 and glows["Shop_A_Frame"] == 0
