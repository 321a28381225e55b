from __future__ import annotations

import numpy as np
import pytest

from unrealperson.synth.scenes import fences, foliage, ground, plants, shrubs
from unrealperson.synth.scenes.residences import Facade
from unrealperson.synth.scenes.solid import Solid

PLAIN = np.full((4, 4, 3), 128, np.uint8)
TREE_TRIANGLES = 2500


def sound(mesh):
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1.0, abs=1e-3)
    assert np.isfinite(mesh.positions).all() and mesh.faces.max() < len(mesh.positions)
    assert mesh.colors.min() >= 0
    return mesh


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("kind", plants.KINDS)
def test_a_tree_stands_on_the_ground_and_fills_its_crown(rng, kind):
    growth = plants.KINDS[kind]
    trunk, crown = map(sound, plants.make_tree(rng, "Tree_1", 3.0, -2.0, PLAIN, PLAIN, kind=kind))
    assert len(trunk.faces) + len(crown.faces) <= TREE_TRIANGLES
    assert trunk.positions[:, 2].min() == pytest.approx(0.0, abs=0.05)
    reach = np.abs(crown.positions - (3.0, -2.0, 0.0)).max(0)
    assert 0.7 * growth.spread_m < reach[:2].max() < 1.8 * growth.spread_m
    assert 0.85 * growth.height_m < reach[2] < 1.2 * growth.height_m
    assert crown.positions[:, 2].min() > 0.5 * growth.clear_m
    outward = crown.positions - crown.positions.mean(0)
    assert (np.einsum("ij,ij->i", outward, crown.normals) > 0).mean() > 0.7


def test_a_grate_surrounds_a_street_tree(rng):
    names = [mesh.name for mesh in plants.make_tree(rng, "Tree_1", 0.0, 0.0, PLAIN, PLAIN, PLAIN)]
    assert names == ["Tree_1_Trunk", "Tree_1_Crown", "Tree_1_Grate"]


def test_unknown_kind_names_the_known_ones(rng):
    with pytest.raises(ValueError, match="kind must be one of street, linden, maple, birch, apple, got 'palm'"):
        plants.make_tree(rng, "Tree_1", 0.0, 0.0, PLAIN, PLAIN, kind="palm")


def test_a_conifer_narrows_towards_its_top(rng):
    crown = sound(plants.make_conifer(rng, "Tree_1", 0.0, 0.0, PLAIN, PLAIN, 8.0)[1])
    assert len(crown.faces) <= TREE_TRIANGLES
    far, z = np.hypot(*crown.positions[:, :2].T), crown.positions[:, 2]
    assert far[z < 3].max() > 1.5 > 0.9 > far[z > 6.5].max()
    assert 7.0 < z.max() < 8.5


@pytest.mark.parametrize(
    ("grow", "low", "high"),
    [
        (lambda rng, solid: shrubs.shrub(rng, solid, (1, 2, 0), (0.8, 0.6, 0.5)), (0, 1.2, -0.3), (2, 2.8, 1.3)),
        (lambda rng, solid: shrubs.hedge(rng, solid, (0, 0), (4, 0), 1.2), (-0.4, -0.7, -0.2), (4.4, 0.7, 1.5)),
        (lambda rng, solid: shrubs.ivy(rng, solid, (0, 0, 0), (1, 0, 0), (3, 4)), (-0.7, -0.7, -0.7), (3.7, 0.5, 4.5)),
        (lambda rng, solid: shrubs.tufts(rng, solid, rng.uniform(0, 2, (30, 2))), (-0.4, -0.4, 0), (2.4, 2.4, 0.17)),
        (lambda rng, solid: shrubs.flowers(rng, solid, solid, (0, 0), (2, 1), 20), (-2.4, -1.4, -0.2), (2.4, 1.4, 0.6)),
        (lambda rng, solid: fences.chain_link(solid, (0, 0), (5, 0), 1.5), (-0.1, -0.1, 0), (5.1, 0.1, 1.7)),
        (lambda rng, solid: fences.picket_fence(rng, solid, (0, 0), (0, 3)), (-0.2, -0.1, 0), (0.2, 3.1, 1.1)),
        (lambda rng, solid: fences.hoop_rail(solid, (0, 0), (0, 4)), (-0.1, 0, 0), (0.1, 4, 0.5)),
        (lambda rng, solid: ground.add_puddle(rng, solid, solid, 0, 0, 1.0), (-1.6, -1.0, 0), (1.6, 1.0, 0.01)),
        (lambda rng, solid: ground.add_edging(rng, solid, (0, 0, 4, 3), ()), (-0.1, -0.1, 0), (4.1, 3.1, 0.1)),
    ],
)
def test_things_grow_where_they_are_planted(rng, grow, low, high):
    solid = Solid()
    grow(rng, solid)
    mesh = sound(solid.mesh("Thing_1", PLAIN))
    assert (mesh.positions.min(0) >= low).all() and (mesh.positions.max(0) <= high).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: foliage.foliage(rng, ((0.3, 0.4, 0.2), (0.4, 0.5, 0.2))),
        foliage.needles,
        foliage.bark,
        foliage.birch_bark,
        foliage.grass,
        foliage.soil,
        foliage.sand,
    ],
)
def test_textures_tile_and_are_not_flat(rng, make):
    image = make(rng)
    assert image.dtype == np.uint8 and image.shape[0] == image.shape[1] and image.shape[2] == 3
    assert image.std() > 5
    value = image.astype(float)
    across_the_seam = np.abs(value[0] - value[-1]).mean()
    assert across_the_seam < 1.6 * np.abs(np.diff(value, axis=0)).mean()
    assert np.array_equal(make(np.random.default_rng(0)), image)


def test_lawns_are_worn_where_people_walk(rng):
    line = ((0.0, 5.0), (10.0, 5.0))
    lawn = ground.level_ground(
        rng, "Lawn_1", (0, 0, 10, 10), PLAIN, tile_m=3.0, obstacles=np.array([[2.0, 8.0, 0.3]]), trodden=(line,)
    )
    points = sound(lawn).positions[:, :2]
    brown = lawn.colors[:, 0] / lawn.colors[:, 1]
    inner = (points > 1).all(1) & (points < 9).all(1)
    on, off = inner & (np.abs(points[:, 1] - 5) < 0.4), inner & (np.abs(points[:, 1] - 5) > 2)
    assert brown[on].mean() > 1.3 * brown[off].mean()
    near = np.hypot(*(points - (2, 8)).T) < 0.5
    assert lawn.colors[near].mean() < 0.9 * lawn.colors[off].mean()


def test_distance_to_lines():
    points = np.array([[0.0, 1.0], [3.0, 0.0], [1.0, -2.0]])
    assert ground.distance_to(points, [((0, 0), (2, 0))]) == pytest.approx([1.0, 1.0, 2.0])
    assert np.isinf(ground.distance_to(points, [])).all()


def test_a_house_has_its_doors_where_the_plan_says(rng):
    house = Facade(rng, 20.0, 3, 8)
    house.front(entrances=(2,), balconies=(5,))
    house.roof(9.0)
    prop = house.prop(4, PLAIN, PLAIN, PLAIN)
    assert [mesh.name for mesh in prop.meshes] == ["Building_4", "Plinth_4", "Windows_4", "Trim_4"]
    for mesh in prop.meshes:
        sound(mesh)
    panes = len(prop.meshes[2].faces) // 2
    assert panes == 3 * 8 - 1
    assert {round(lamp.position_m[0], 2) for lamp in prop.lamps} == {6.25}
    assert all(abs(x - 6.25) < 1.0 and -1.5 < y < 0 for x, y, _ in prop.obstacles)
